"""`GymnasiumEnv`: one ordinary Gymnasium environment, with spaces nested at will, as a `PufferEnv` of one agent.

    env = GymnasiumEnv(gymnasium.make("CartPole-v1"))
    vec = make_vec(lambda: gymnasium.make("CartPole-v1"), num_envs=8)       # make_vec adapts by itself, and steps all in one loop
    vec = make_vec(lambda: GymnasiumEnv(gymnasium.make("MyEnv-v0"), info_keys=["is_success"]), num_envs=8)
    vec.log()["is_success"]
"""

import functools

import gymnasium

from puffer_min.emulation.actions import ActionLayout
from puffer_min.emulation.observations import Layout
from puffer_min.emulation.values import LARGEST, first_observation, flag, info_number, number, step_results
from puffer_min.env.episodes import metric_names_of
from puffer_min.env.puffer_env import PufferEnv


class GymnasiumEnv(PufferEnv):
    """A `gymnasium.Env` behind the contract of this project: flat rows, SAME_STEP autoreset, final observation kept.

    Observation   as observations.py says: a Box as it is, a Discrete one-hot, structured ones as rows; where the row is not the
                  observation itself, `single_observation_space.layout.unpack(rows)` gives nested views.
    Actions       as actions.py says: whole numbers count from 0 here, whatever their `start`; a Box is clipped to its bounds, as
                  most environments expect, and converted to its dtype.
    Log           episode_return, episode_length, score (the return), and the numbers under `info_keys` in the environment's `info`
                  of the last step of an episode. The dicts themselves are not passed on.

    The environment is reset with the seed given, so its random draws from its `np_random` are reproducible. Raises TypeError for spaces
    without a fixed size, naming the leaf.
    """

    truncates = keeps_last_observations = True
    derived = ("loop", "layout", "action_layout")
    own_methods = ("set_attr", "use_autoreset", "restart")          # the others that `call` reaches are those of `env`

    def __init__(self, env, buffers=None, seed=0, report_interval=128, *, info_keys=()):
        if not isinstance(env, gymnasium.Env):
            raise TypeError(f"given {type(env).__name__}, expected a gymnasium.Env, as gymnasium.make(...) gives")
        self.env, self.num_agents, self.metric_names = env, 1, metric_names_of(info_keys)
        self.autoreset, self.over = "SameStep", False               # over: the next step is a reset
        self.layout, self.action_layout = Layout(env.observation_space), ActionLayout(env.action_space)
        self.single_observation_space, self.single_action_space = self.layout.row_space, self.action_layout.row_space
        super().__init__(buffers, seed, report_interval)
        self._pending_seed = self.seed              # Gymnasium's stream begins at the first reset

    def bind(self, buffers):
        """Write into `buffers` from now on."""
        super().bind(buffers)
        self.loop = GymnasiumLoop([self], buffers)

    def reset(self, seed=None):
        """Start an episode, with a seed also the environment's random stream; returns (observations, infos)."""
        self.begin_reset(seed)
        seed, self._pending_seed = (self._pending_seed if seed is None else self.seed), None
        self.loop.reset(seed)
        return self.observations, []

    def step(self, actions):
        """Step once; at an end `final_observations` holds the last observation and the environment is reset."""
        self.begin_step(actions)
        self.loop.step()
        return self.finish_step()

    def set_state(self, state):
        """Go on from what `get_state` gave, which holds a deep copy of Gymnasium's environment."""
        super().set_state(state)
        self.loop = GymnasiumLoop([self], self.buffers)         # of the environment that was saved

    def use_autoreset(self, mode):
        """When an episode that has ended starts anew: "SameStep", "NextStep" or "Disabled", values of Gymnasium's `AutoresetMode`.

        In the last two the row holds the last observation, and is masked, until a step without effect, or `restart()`, begins the next
        episode.
        """
        self.autoreset = mode

    def restart(self):
        """Begin an episode with the random stream as it is."""
        self.masks[0] = True
        self.loop.reset(None)

    def set_attr(self, name, value):
        """Set the attribute `name` of Gymnasium's environment."""
        self.env.set_wrapper_attr(name, value)

    def render(self, index=0):
        """The environment's own picture; it must have been made with render_mode="rgb_array"."""
        if self.env.render_mode != "rgb_array":
            raise ValueError(f"render_mode={self.env.render_mode!r}: make the environment with render_mode=\"rgb_array\"")
        return self.env.render()

    def close(self):
        """Close the environment and let go of the buffers."""
        if self.buffers is not None:
            self.env.close()
        self.loop = None
        super().close()

    def _find(self, name):
        return getattr(self, name) if name in self.own_methods else self.env.get_wrapper_attr(name)


class GymnasiumLoop:
    """One step of many Gymnasium environments of one kind; environment i has row i of `buffers`.

    For each: action out of its row -> env.step -> reward, flags and observation into the buffers. Where an episode ended, its last
    observation goes into `final_observations`, and the row holds the first observation after env.reset() (SAME_STEP).
    """

    def __init__(self, environments, buffers):
        driver, self.environments, self.buffers = environments[0], environments, buffers
        self.pack, self.decode_rows = driver.layout.packer.pack, driver.action_layout.decode_rows
        rows = range(len(environments))
        self.rows = [buffers.observations[i:i + 1] for i in rows]
        self.final_rows = [buffers.final_observations[i:i + 1] for i in rows]
        self.steps = [env.env.step if not env.over else functools.partial(self._begin, i) for i, env in enumerate(environments)]
        self.results = [[None] * len(environments) for _ in range(3)]

    def step(self):
        """Step every environment once with the actions in the buffers; rewards and flags are all written anew."""
        pack, buffers, i = self.pack, self.buffers, 0
        rewards, terminals, truncations = self.results
        for step, action, row in zip(self.steps, self.decode_rows(buffers.actions), self.rows):
            results = step(action)
            if type(results) is not tuple or len(results) != 5 or type(results[4]) is not dict:
                results = step_results(results, f"environment {i}")
            observation, reward, terminated, truncated, info = results
            rewards[i] = reward if type(reward) is float else number(reward, f"environment {i}")
            terminals[i] = terminated if terminated is False else flag(terminated, "terminated", f"environment {i}")
            truncations[i] = truncated if truncated is False else flag(truncated, "truncated", f"environment {i}")
            if terminals[i] or truncations[i]:
                observation = self._restart(i, observation, info)
            pack(observation, row)
            i += 1
        if not sum(map(abs, rewards)) < LARGEST:                # one that is not finite, or all of them too large
            for i, reward in enumerate(rewards):
                number(reward, f"environment {i}")
        buffers.rewards[:], buffers.terminals[:], buffers.truncations[:] = rewards, terminals, truncations

    def _restart(self, i, last, info):
        """Keep the last observation and the numbers that are logged; returns the first observation of the next episode."""
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
        """In the place of a step: the first observation of the next episode, or the step if a reset has begun one meanwhile."""
        env = self.environments[i]
        self.steps[i] = env.env.step
        if not env.over:
            return env.env.step(action)
        env.over = False
        env.masks[0] = True
        return first_observation(env.env.reset, None, f"environment {i}"), 0.0, False, False, {}

    def reset(self, seed):
        """Reset the first environment with a seed, or None to go on with its random stream."""
        self.environments[0].over = False
        self.pack(first_observation(self.environments[0].env.reset, seed, "environment 0"), self.rows[0])


def common_loop(environments, buffers):
    """One loop over all `environments` if every one is a plain `GymnasiumEnv`, else None."""
    return GymnasiumLoop(environments, buffers) if all(type(env) is GymnasiumEnv for env in environments) else None
