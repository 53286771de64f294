"""`GymnasiumEnv`: one Gymnasium environment, its spaces nested or not, as a `PufferEnv` of one agent.

    env = GymnasiumEnv(gymnasium.make("CartPole-v1"))
    vec = make_vec(lambda: gymnasium.make("CartPole-v1"), num_envs=8)           # make_vec adapts by itself
    vec = make_vec(lambda: GymnasiumEnv(gymnasium.make("MyEnv-v0"), info_keys=["is_success"]), num_envs=8)
"""

import functools

import gymnasium

from puffer_min.emulation.adapted import Adapted
from puffer_min.env import values
from puffer_min.env.values import LARGEST, first_observation, flag, info_number, number, step_results


class GymnasiumEnv(Adapted):
    """A `gymnasium.Env` behind our contract: flat rows, SAME_STEP autoreset, final observation kept.

    Observation, actions   as in observations.py and actions.py. Nested views of observations are
                           `single_observation_space.layout.unpack(rows)`
    Log                    episode_return, episode_length, score (the return), and the numbers under
                           `info_keys` in the last `info` of an episode. The infos themselves are dropped
    """

    own_methods = ("set_attr", "use_autoreset", "restart")          # `call` looks for other names in `env`

    def __init__(self, env, buffers=None, seed=0, report_interval=128, *, info_keys=()):
        if not isinstance(env, gymnasium.Env):
            raise TypeError(f"given {type(env).__name__}, expected a gymnasium.Env, as gymnasium.make gives")
        self.num_agents, self.autoreset = 1, "SameStep"
        self.over = False                                           # whether the next step is a reset
        super().__init__(env, *values.spaces_of(env), info_keys, buffers, seed, report_interval)

    def _begin(self, seed):
        GymnasiumLoop([self], self.buffers).reset(seed)

    def step(self, actions):
        """Step once. At an end `final_observations` gets the last observation, and `env` is reset."""
        self.begin_step(actions)
        GymnasiumLoop([self], self.buffers).step()
        return self.finish_step()

    def loop_over(self, environments, buffers):
        """One loop over all `environments` if every one is a plain `GymnasiumEnv`, else None."""
        alike = all(type(env) is GymnasiumEnv for env in environments)
        return GymnasiumLoop(environments, buffers) if alike else None

    def use_autoreset(self, mode):
        """When an episode begins: in the last step of the one before ("SameStep"), in a step of its own
        ("NextStep") or in `restart()` ("Disabled"). Until then the last observation stays, and is masked."""
        self.autoreset = mode

    def restart(self):
        """Begin an episode with the random stream as it is."""
        self.masks[0] = True
        self._begin(None)

    def set_attr(self, name, value):
        """Set the attribute `name` of Gymnasium's environment."""
        self.env.set_wrapper_attr(name, value)

    def _find(self, name):
        return getattr(self, name) if name in self.own_methods else self.env.get_wrapper_attr(name)


class GymnasiumLoop:
    """One step of many Gymnasium environments of one kind; environment i has row i of `buffers`.

    For each: action out of its row -> env.step -> reward, flags and observation into the buffers.
    """

    def __init__(self, environments, buffers):
        driver, self.environments, self.buffers = environments[0], environments, buffers
        self.pack, self.decode_rows = driver.layout.pack, driver.action_layout.decode_rows
        rows = [slice(i, i + 1) for i in range(len(environments))]
        self.rows = [buffers.observations[row] for row in rows]
        self.final_rows = [buffers.final_observations[row] for row in rows]
        self.steps = [functools.partial(self._begin, i) if env.over else env.env.step
                      for i, env in enumerate(environments)]
        self.results = [[None] * len(environments) for _ in range(3)]

    def step(self):
        """Step every environment once with the actions in the buffers; all rewards and flags are written."""
        pack, buffers, i = self.pack, self.buffers, 0
        rewards, terminals, truncations = self.results
        for step, action, row in zip(self.steps, self.decode_rows(buffers.actions), self.rows, strict=True):
            results = step(action)
            if type(results) is not tuple or len(results) != 5 or type(results[4]) is not dict:
                results = step_results(results, f"environment {i}")
            observation, reward, terminated, truncated, info = results
            rewards[i] = reward if type(reward) is float else number(reward, f"environment {i}")
            terminals[i] = terminated is not False and flag(terminated, "terminated", f"environment {i}")
            truncations[i] = truncated is not False and flag(truncated, "truncated", f"environment {i}")
            if terminals[i] or truncations[i]:
                observation = self._restart(i, observation, info)
            pack(observation, row)
            i += 1
        if not sum(map(abs, rewards)) < LARGEST:                # one is not finite, or their sum is too large
            for i, reward in enumerate(rewards):
                number(reward, f"environment {i}")
        buffers.rewards[:], buffers.terminals[:], buffers.truncations[:] = rewards, terminals, truncations

    def _restart(self, i, last, info):
        """Keep the last observation and the logged numbers; returns the next first observation."""
        env = self.environments[i]
        self.pack(last, self.final_rows[i])
        for j, key in enumerate(env.metric_names):
            env.metrics[0, j] = info_number(info, key, f"environment {i}")
        if env.autoreset == "SameStep":
            return first_observation(env.env.reset, None, f"environment {i}")
        env.masks[0] = False
        if env.autoreset == "NextStep":
            env.over, self.steps[i] = True, functools.partial(self._begin, i)
        return last

    def _begin(self, i, action):
        """In the place of a step: begin the next episode; or step, if a reset has begun it meanwhile."""
        env = self.environments[i]
        self.steps[i] = env.env.step
        if not env.over:
            return env.env.step(action)
        env.over, env.masks[0] = False, True
        return first_observation(env.env.reset, None, f"environment {i}"), 0.0, False, False, {}

    def reset(self, seed):
        """Reset the first environment with a seed, or None to go on with its random stream."""
        env = self.environments[0]
        env.over = False
        self.pack(first_observation(env.env.reset, seed, "environment 0"), self.rows[0])
