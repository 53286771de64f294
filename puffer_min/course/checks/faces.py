"""What the checks of level 4 show to an adapter, and adapters with a planted fault."""

import copy

import gymnasium
import numpy as np

from puffer_min.course.claims import expect


class Recited:
    """Stands for a vectorizer: writes what was drawn beforehand into the same arrays at every step."""

    def __init__(self, rng, agents, shape=(4,), steps=30):
        self.num_envs = self.num_agents = agents
        self.single_observation_space = gymnasium.spaces.Box(-9, 9, shape, np.float32)
        self.single_action_space = gymnasium.spaces.Discrete(4)
        self.seen = rng.uniform(-9, 9, (steps + 1, agents, *shape)).astype(np.float32)
        self.last = rng.uniform(-9, 9, (steps + 1, agents, *shape)).astype(np.float32)
        self.paid = rng.normal(size=(steps + 1, agents)).astype(np.float32)
        self.ended, self.cut = rng.random((2, steps + 1, agents)) < 0.3
        self.observations, self.final_observations = self.seen[0].copy(), self.last[0].copy()
        self.rewards, self.terminals, self.truncations = (part[0].copy() for part in
                                                          (self.paid, self.ended, self.cut))
        self.tick, self.received, self.closed = 0, [], False

    def show(self):
        for array, script in ((self.observations, self.seen), (self.final_observations, self.last),
                              (self.rewards, self.paid), (self.terminals, self.ended),
                              (self.truncations, self.cut)):
            array[...] = script[self.tick]

    def reset(self, seed=None):
        self.tick = 0
        self.show()
        return self.observations, []

    def step(self, actions):
        expect(isinstance(actions, np.ndarray) and actions.dtype == np.int32,
               f"the vectorizer is given {getattr(actions, 'dtype', type(actions).__name__)} actions, "
               "expected an int32 array")
        self.received.append(actions.copy())
        self.tick += 1
        self.show()
        return self.observations, self.rewards, self.terminals, self.truncations, []

    def close(self):
        self.closed = True

    def compare(self, t, given):
        """Expects of what a face returned at step t what the script says."""
        observations, rewards, ends, infos = given
        expect(np.array_equal(observations, self.seen[t]), f"the observations differ after {t} steps")
        expect(np.array_equal(rewards, self.paid[t]), f"the rewards differ after {t} steps")
        expect(np.asarray(ends).dtype == bool and np.array_equal(ends, self.ended[t] | self.cut[t]),
               f"the ends differ after {t} steps: terminated or truncated, as bool")
        expect(isinstance(infos, list) and len(infos) == self.num_agents,
               "the infos must be a list with a dict for each environment")
        expect(len(set(map(id, infos))) == len(infos),
               "all environments are given one and the same dict as info, so what one is told all are told: "
               "make a new one for each, [{} for _ in range(n)]")
        for agent, info in enumerate(infos):
            cut = self.cut[t, agent] and not self.ended[t, agent]
            expect(bool(info.get("TimeLimit.truncated")) == bool(cut),
                   f"\"TimeLimit.truncated\" of environment {agent} is wrong: True if the episode was cut "
                   "and did not terminate")
            if cut:                                         # PPO reads the last observation at no other end
                expect("terminal_observation" in info,
                       "an episode was cut short and its info holds no \"terminal_observation\": PPO would "
                       "learn that time running out is failure")
                expect(np.array_equal(info["terminal_observation"], self.last[t, agent]),
                       "\"terminal_observation\" is not the last observation of the episode: it is in "
                       "final_observations")


def recite(make_face, rng, agents, shape=(4,), memory=True):
    """Plays a face over a script. `memory`: what it handed out must stay as it was."""
    vec = Recited(rng, agents, shape)
    face, actions = make_face(vec), rng.integers(0, 4, (30, agents))
    expect(face.num_envs == agents, f"num_envs is {face.num_envs}, expected {agents}: one for each agent")
    first = face.reset()
    expect(np.array_equal(first, vec.seen[0]), "reset does not return the observations of vec.reset()")
    kept = [((first,), (first.copy(),))]
    for t, action in enumerate(actions, 1):
        face.step_async(action)
        given = face.step_wait()
        kept.append((given, copy.deepcopy(given)))
        vec.compare(t, given)
    expect(np.array_equal(vec.received, actions),
           "the actions do not reach the vectorizer as they were given")
    for given, at_once in kept if memory else ():
        names = ("observations", "rewards", "ends")
        for name, array, before in zip(names, given[:3], at_once[:3], strict=False):
            expect(np.array_equal(array, before),
                   f"the {name} of {'one step' if len(given) > 1 else 'reset'} are overwritten by the next "
                   "step: hand out copies, because the rollout keeps them")
        for info, before in zip(given[3], at_once[3], strict=True) if len(given) > 1 else ():
            expect(np.array_equal(info.get("terminal_observation"), before.get("terminal_observation")),
                   "a \"terminal_observation\" is overwritten by a later episode's: hand out a copy")
    face.close()
    return vec


def planted(name, num_envs, limit, seed):
    """Carts as Stable-Baselines3 sees them, with the fault `name` of the listings of exercise 4.6."""
    from stable_baselines3.common.vec_env import VecEnvWrapper

    import puffer_min

    class Faulty(VecEnvWrapper):
        def reset(self):
            self.rows = self.venv.reset()
            return self.rows

        def step_wait(self):
            observations, rewards, ends, infos = self.venv.step_wait()
            for agent, info in enumerate(infos):
                if name == "last" and "terminal_observation" in info:
                    info["terminal_observation"] = observations[agent].copy()
                if name == "time":
                    info["TimeLimit.truncated"] = False
            if name == "memory":
                self.rows[:] = observations
                observations = self.rows
            return observations, rewards, ends, infos

    return Faulty(puffer_min.as_sb3(puffer_min.make_vec("cartpole", num_envs=num_envs, seed=seed,
                                                        max_episode_steps=limit)))
