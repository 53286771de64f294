"""Adapters out: a vectorizer as trainers of other libraries expect it.

    envs = puffer_min.as_gymnasium_vector(puffer_min.make_vec("cartpole", num_envs=64))     # a gymnasium.vector.VectorEnv
    observations, infos = envs.reset(seed=0)
    observations, rewards, terminations, truncations, infos = envs.step(envs.action_space.sample())

    from stable_baselines3 import PPO
    model = PPO("MlpPolicy", puffer_min.as_sb3(puffer_min.make_vec("cartpole", num_envs=8)))
    model.learn(100_000)
"""

import functools
import time

import numpy as np
from gymnasium import spaces
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space

LEAVES = (spaces.Box, spaces.Discrete, spaces.MultiDiscrete, spaces.MultiBinary)



def as_gymnasium_vector(vec, copy=True):
    """`vec` (of `make_vec`, or a native environment) as a `gymnasium.vector.VectorEnv`.

    Each agent is an environment of its own: num_envs is `vec.num_agents`. Observation spaces are those the environment declared, nested
    ones as nested arrays; actions are rows (whole numbers count from 0) of any integer or float dtype. Episodes start anew in the same
    step (AutoresetMode.SAME_STEP). `infos` is what Gymnasium's own vectorizers give in that mode:

    final_obs, _final_obs       last observations and for whom they are known: for all episodes that were truncated
    final_info, _final_info     {"episode": {"r", "l", "t"}}, return, length and seconds, of all episodes that ended
    masks                       only where slots are empty: which of them hold an agent

    copy     False hands out the vectorizer's own arrays, which the next step overwrites.
    """
    return GymnasiumVector(vec, copy)


class GymnasiumVector(VectorEnv):
    """See `as_gymnasium_vector`."""

    metadata = {"autoreset_mode": AutoresetMode.SAME_STEP, "render_modes": []}

    def __init__(self, vec, copy):
        self.vec, self.copy, self.presented = vec, copy, Presented(vec)
        self.num_envs = vec.num_agents
        self.single_observation_space, self.single_action_space = self.presented.observation_space, self.presented.action_space
        self.observation_space = batch_space(self.single_observation_space, self.num_envs)
        self.action_space = batch_space(self.single_action_space, self.num_envs)

    def reset(self, *, seed=None, options=None):
        """Reset every environment. seed: a whole number; environment i is seeded from it and from i. Options are refused."""
        if seed is not None and not isinstance(seed, (int, np.integer)):
            raise TypeError(f"seed={seed!r} given, expected a whole number: each environment derives its own from it")
        if options:
            raise ValueError(f"options={options!r} given, expected none: environments that start anew by themselves take none")
        super().reset(seed=None if seed is None else int(seed))
        return self._given(self.presented.reset(seed)), self._masks({})

    def step(self, actions):
        """Step every environment once."""
        rows, rewards, terminals, truncations, finished = self.presented.step(actions)
        infos = {}
        for agent, episode in finished:
            known = {"final_obs": self.presented.last_observation(agent)} if truncations[agent] else {}
            infos = self._add_info(infos, known | {"final_info": {"episode": episode}}, agent)
        results = (rewards, terminals, truncations)
        return self._given(self.presented.show(rows)), *(copied(results) if self.copy else results), self._masks(infos)

    def render(self):
        """One picture of each environment, where the environment draws one."""
        return tuple(self.vec.render(i) for i in range(self.vec.num_envs))

    def close_extras(self, **kwargs):
        """Close the vectorizer."""
        self.vec.close()

    def _given(self, observations):
        return copied(observations) if self.copy else observations

    def _masks(self, infos):
        return infos if self.vec.masks.all() else infos | {"masks": self.vec.masks.copy()}


# ------------------------------------------------------------------------------------------------ Stable-Baselines3

def as_sb3(vec):
    """`vec` (of `make_vec`, or a native environment) as a Stable-Baselines3 `VecEnv`, of as many environments as `vec` has agents.

    Dicts of one level stay Dicts ("MultiInputPolicy"), what is nested deeper but of one dtype is a Box, anything else raises TypeError. At
    the end of an episode its info holds "episode" (r, l, t, as Monitor gives them), "TimeLimit.truncated", and, if it was truncated,
    "terminal_observation".
    """
    from stable_baselines3.common.vec_env import VecEnv         # the library itself does without

    return vec_env_class(VecEnv)(vec)


@functools.cache
def vec_env_class(base):
    """The methods below on the base class of Stable-Baselines3."""
    return type("SB3Vec", (SB3Methods, base), {"__module__": __name__})


def is_plain(space):
    """Whether Stable-Baselines3 can read a part of a Dict."""
    return isinstance(space, LEAVES) and not np.any(getattr(space, "start", 0))


class SB3Methods:
    """What a `VecEnv` must do."""

    def __init__(self, vec):
        self.vec, self.presented = vec, Presented(vec)
        space = self.presented.observation_space
        if isinstance(space, (spaces.Dict, spaces.Tuple)):
            if not (isinstance(space, spaces.Dict) and all(map(is_plain, space.spaces.values()))):
                if self.presented.layout.structured:
                    raise TypeError(f"observations of {space} given, which Stable-Baselines3 has no policy for; expected a Box, or a "
                                    "Dict of one level whose numbers count from 0: change them in a wrapper")
                self.presented.layout, space = None, vec.single_observation_space
        self.actions = None
        super().__init__(vec.num_agents, space, self.presented.action_space)

    def reset(self):
        """Reset every environment, with the seed given to `seed` if there was one."""
        seed = self._seeds[0]
        self._reset_seeds()
        self._reset_options()
        return copied(self.presented.reset(seed))

    def step_async(self, actions):
        """Remember the actions."""
        self.actions = actions

    def step_wait(self):
        """Step every environment once."""
        rows, rewards, terminals, truncations, finished = self.presented.step(self.actions)
        infos = [{} for _ in range(self.num_envs)]
        for agent, episode in finished:
            cut = bool(truncations[agent] and not terminals[agent])
            infos[agent] = {"episode": episode, "TimeLimit.truncated": cut}
            if cut:
                infos[agent]["terminal_observation"] = self.presented.last_observation(agent)
        return copied(self.presented.show(rows)), rewards.copy(), terminals | truncations, infos

    def close(self):
        """Close the vectorizer."""
        self.vec.close()

    def get_attr(self, attr_name, indices=None):
        """An attribute of the vectorizer, once for each environment asked for; they have no objects of their own."""
        value = None if attr_name == "render_mode" else getattr(self.vec, attr_name)
        return [value for _ in self._get_indices(indices)]

    def set_attr(self, attr_name, value, indices=None):
        """Refused: the environments share one object."""
        raise NotImplementedError(f"set_attr({attr_name!r}): the environments of {self.vec!r} share one object; "
                                  "make it with other settings")

    def env_method(self, method_name, *method_args, indices=None, **method_kwargs):
        """Refused: the environments share one object."""
        raise NotImplementedError(f"env_method({method_name!r}): the environments of {self.vec!r} share one object; call its method")

    def env_is_wrapped(self, wrapper_class, indices=None):
        """Whether the environments report what the wrapper would: returns and lengths are in the infos, as from a Monitor."""
        return [wrapper_class.__name__ == "Monitor" for _ in self._get_indices(indices)]

    def get_images(self):
        """A picture of each environment."""
        return [np.asarray(self.vec.render(i)) for i in range(self.vec.num_envs)]


# ------------------------------------------------------------------------------------------------ what both share

class Presented:
    """The agents of `vec`, each shown as an environment of its own, with spaces as trainers of other libraries expect them."""

    def __init__(self, vec):
        self.vec, self.num_agents = vec, vec.num_agents
        self.layout = getattr(vec.single_observation_space, "layout", None)
        self.observation_space = self.layout.space if self.layout else vec.single_observation_space
        self.action_space = vec.single_action_space
        self.began = time.perf_counter()
        self.returns, self.lengths = np.zeros(self.num_agents), np.zeros(self.num_agents, np.int64)

    def reset(self, seed):
        """Observations after a reset, as `show` gives them."""
        self.returns[:] = self.lengths[:] = 0
        return self.show(self.vec.reset(seed)[0])

    def step(self, actions):
        """The first four results of a step, and [(agent, its finished episode)]."""
        rows, rewards, terminals, truncations, _ = self.vec.step(self.take(actions))
        self.returns += rewards
        self.lengths += 1
        finished = []
        for agent in np.flatnonzero(terminals | truncations).tolist():
            finished.append((agent, {"r": float(self.returns[agent]), "l": int(self.lengths[agent]),
                                     "t": round(time.perf_counter() - self.began, 6)}))
            self.returns[agent] = self.lengths[agent] = 0
        return rows, rewards, terminals, truncations, finished

    def take(self, actions):
        """Actions of any integer or float dtype as the rows that `vec` takes. Raises where a whole number would change."""
        given, expected = np.asarray(actions), self.vec.actions
        taken = given.astype(expected.dtype)
        if expected.dtype == np.int32 and not np.array_equal(taken, given):
            raise ValueError(f"actions of {given.dtype} given that are no whole numbers of 32 bits, expected an action of "
                             f"{self.action_space} for each agent")
        return taken

    def show(self, rows):
        """Rows as the environment declared its observations: nested arrays for structured spaces. Views."""
        return self.layout.unpack(rows) if self.layout else rows

    def last_observation(self, agent):
        """A copy of the last observation of the episode of `agent` that was cut in this step."""
        last = copied(self.show(self.vec.final_observations[agent:agent + 1]))
        return first_of(self.observation_space, last)


def copied(part):
    """A deep copy of nested arrays."""
    if isinstance(part, dict):
        return {key: copied(inner) for key, inner in part.items()}
    return tuple(map(copied, part)) if isinstance(part, tuple) else part.copy()


def first_of(space, part):
    """The first sample of nested batched arrays."""
    if isinstance(space, spaces.Dict):
        return {key: first_of(inner, part[key]) for key, inner in space.spaces.items()}
    return tuple(map(first_of, space.spaces, part)) if isinstance(space, spaces.Tuple) else part[0]
