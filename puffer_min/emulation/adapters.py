"""Adapters out: a vectorizer as trainers of other libraries expect it.

    envs = puffer_min.as_gymnasium_vector(puffer_min.make_vec("cartpole", num_envs=64))     # a gymnasium.vector.VectorEnv
    observations, infos = envs.reset(seed=0)
    observations, rewards, terminations, truncations, infos = envs.step(envs.action_space.sample())

    from stable_baselines3 import PPO
    model = PPO("MlpPolicy", puffer_min.as_sb3(puffer_min.make_vec("cartpole", num_envs=8)))
    model.learn(100_000)

Each agent is an environment of its own there: num_envs is `vec.num_agents`. Observation spaces are the ones that the environment
declared, nested ones as nested arrays; actions are rows (whole numbers count from 0) of any integer or float dtype.

At the end of every episode both give its last observation. A native environment keeps that of a truncated episode alone: for a
terminated one it is the observation that the last action was chosen on, since no algorithm looks further.
"""

import functools
import time

import numpy as np
from gymnasium import spaces
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space

from puffer_min.env.spec import EnvSpec

LEAVES = (spaces.Box, spaces.Discrete, spaces.MultiDiscrete, spaces.MultiBinary)


def as_gymnasium_vector(vec, copy=True, autoreset_mode=AutoresetMode.SAME_STEP):
    """`vec` (of `make_vec`, or a native environment) as a `gymnasium.vector.VectorEnv`.

    copy             False returns the vectorizer's own arrays, which the next step overwrites
    autoreset_mode   SAME_STEP: an episode starts anew on the step that ends the one before. NEXT_STEP and DISABLED, as Gymnasium
                     defines them, are for Gymnasium's environments alone: the others restart by themselves

    `infos` holds, as from Gymnasium's own vectorizers in SAME_STEP:

    final_obs, _final_obs       last observations of the episodes that ended, and for which environments
    final_info, _final_info     {"episode": {"r", "l", "t"}}, return, length and seconds
    masks                       only where slots are empty: which of them hold an agent
    """
    return GymnasiumVector(vec, copy, AutoresetMode(autoreset_mode))


class GymnasiumVector(VectorEnv):
    """See `as_gymnasium_vector`."""

    def __init__(self, vec, copy, autoreset_mode):
        self.vec, self.copy, self.autoreset_mode, self.presented = vec, copy, autoreset_mode, Presented(vec)
        self.same_step = autoreset_mode is AutoresetMode.SAME_STEP
        if not self.same_step:
            self.presented.use_autoreset(autoreset_mode)
        self.num_envs, self.render_mode = vec.num_agents, self.presented.render_mode
        self.metadata = self.presented.metadata | {"autoreset_mode": autoreset_mode}
        self.single_observation_space, self.single_action_space = self.presented.observation_space, self.presented.action_space
        self.observation_space = batch_space(self.single_observation_space, self.num_envs)
        self.action_space = batch_space(self.single_action_space, self.num_envs)

    def reset(self, *, seed=None, options=None):
        """Reset every environment. seed: a whole number; environment i is seeded from it and from i.

        In DISABLED mode options={"reset_mask": bool (num_envs,)} resets some. Other options are refused.
        """
        if seed is not None and not isinstance(seed, int | np.integer):
            raise TypeError(f"seed={seed!r} given, expected a whole number: each environment derives its own from it")
        if options and not (set(options) == {"reset_mask"} and self.autoreset_mode is AutoresetMode.DISABLED):
            raise ValueError(f"options={options!r} given, expected none: environments that restart by themselves take none")
        super().reset(seed=None if seed is None else int(seed))
        rows = self.presented.restart(options["reset_mask"]) if options else self.presented.reset(seed)
        return self._given(rows), self._masks({})

    def step(self, actions):
        """Step every environment once."""
        if self.autoreset_mode is AutoresetMode.DISABLED and not self.vec.masks.all():
            raise RuntimeError(f"step() where the episodes of environments {np.flatnonzero(~self.vec.masks).tolist()} are over: "
                               "call reset(options={\"reset_mask\": mask}) first")
        rows, rewards, terminals, truncations, finished = self.presented.step(actions)
        infos = {}
        for agent, episode in finished if self.same_step else ():
            ended = {"final_obs": self.presented.last_observation(agent, truncations[agent]), "final_info": {"episode": episode}}
            infos = self._add_info(infos, ended, agent)
        results = (rewards, terminals, truncations)
        return self._given(rows), *(copied(results) if self.copy else results), self._masks(infos)

    def render(self):
        """One picture of each environment, where the environment draws one."""
        return tuple(self.vec.render(i) for i in range(self.vec.num_envs))

    def call(self, name, *args, **kwargs):
        """For each environment its attribute `name`, or the result of its method `name`."""
        return tuple(self.presented.call(name, *args, **kwargs))

    def get_attr(self, name):
        """The attribute `name` of each environment."""
        return self.call(name)

    def set_attr(self, name, values):
        """Set the attribute `name` of each environment; a list or tuple holds a value for each."""
        values = values if isinstance(values, list | tuple) else [values] * self.num_envs
        if len(values) != self.num_envs:
            raise ValueError(f"{len(values)} values of {name} given, expected {self.num_envs}, one for each environment")
        for agent, value in enumerate(values):
            self.presented.set_attr(name, value, [agent])

    def close_extras(self, **kwargs):
        """Close the vectorizer."""
        self.vec.close()

    def _given(self, rows):
        observations = self.presented.show(rows)
        return copied(observations) if self.copy else observations

    def _masks(self, infos):
        return infos if self.vec.masks.all() or not self.same_step else infos | {"masks": self.vec.masks.copy()}


# ---------------------------------------------------------------------------------------------------------------- Stable-Baselines3

def as_sb3(vec):
    """`vec` (of `make_vec`, or a native environment) as a Stable-Baselines3 `VecEnv`, of as many environments as `vec` has agents.

    Dicts of one level stay Dicts ("MultiInputPolicy"), a space that is nested deeper but of one dtype is a Box, any other raises
    TypeError. At the end of an episode its info holds "episode" (r, l, t, as Monitor gives them), "TimeLimit.truncated" and
    "terminal_observation"; the info of an empty slot is {"mask": False}.
    """
    from stable_baselines3.common.vec_env import VecEnv         # the library itself does without

    return vec_env_class(VecEnv)(vec)


@functools.cache
def vec_env_class(base):
    """The methods below on the base class of Stable-Baselines3."""
    return type("SB3Vec", (SB3Methods, base), {"__module__": __name__})


def is_plain(space):
    """Whether Stable-Baselines3 can read a space alone or as a part of a Dict."""
    return isinstance(space, LEAVES) and not np.any(getattr(space, "start", 0))


class SB3Methods:
    """The methods of a `VecEnv`."""

    def __init__(self, vec):
        self.vec, self.presented = vec, Presented(vec)
        space = self.presented.observation_space
        parts = space.spaces.values() if isinstance(space, spaces.Dict) else [space]
        if not all(map(is_plain, parts)):
            if self.presented.layout.structured:
                raise TypeError(f"observations of {space} given, which Stable-Baselines3 has no policy for; expected a Box, or a "
                                "Dict of one level whose numbers count from 0: change them in a wrapper")
            self.presented.layout, space = None, vec.single_observation_space
        self.actions = None
        super().__init__(vec.num_agents, space, self.presented.action_space)
        self.metadata = self.presented.metadata | self.metadata

    def reset(self):
        """Reset every environment, with the seed given to `seed` if there was one."""
        seed, options = self._seeds[0], [option for option in self._options if option]
        self._reset_seeds()
        self._reset_options()
        if options:
            raise ValueError(f"options={options[0]!r} given, expected none: environments that restart by themselves take none")
        return copied(self.presented.show(self.presented.reset(seed)))

    def step_async(self, actions):
        """Remember the actions."""
        self.actions = actions

    def step_wait(self):
        """Step every environment once."""
        rows, rewards, terminals, truncations, finished = self.presented.step(self.actions)
        infos = [{} if living else {"mask": False} for living in self.vec.masks]
        for agent, episode in finished:
            infos[agent] |= {"episode": episode, "TimeLimit.truncated": bool(truncations[agent] and not terminals[agent]),
                             "terminal_observation": self.presented.last_observation(agent, truncations[agent])}
        return copied(self.presented.show(rows)), rewards.copy(), terminals | truncations, infos

    def close(self):
        """Close the vectorizer."""
        self.vec.close()

    def get_attr(self, attr_name, indices=None):
        """The attribute of each environment in `indices`."""
        return self.env_method(attr_name, indices=indices)

    def set_attr(self, attr_name, value, indices=None):
        """Set the attribute of each environment in `indices`."""
        self.presented.set_attr(attr_name, value, self._get_indices(indices))

    def env_method(self, method_name, *method_args, indices=None, **method_kwargs):
        """The result of the method of each environment in `indices`."""
        return self.presented.call(method_name, *method_args, indices=self._get_indices(indices), **method_kwargs)

    def env_is_wrapped(self, wrapper_class, indices=None):
        """Whether the environments report what the wrapper would: returns and lengths are in the infos, as from a Monitor."""
        return [wrapper_class.__name__ == "Monitor" for _ in self._get_indices(indices)]

    def get_images(self):
        """A picture of each environment."""
        return [np.asarray(self.vec.render(i)) for i in range(self.vec.num_envs)]


# ---------------------------------------------------------------------------------------------------------------- what both share

class Presented:
    """The agents of `vec`, each shown as an environment of its own, with spaces as trainers of other libraries expect them."""

    def __init__(self, vec):
        if not hasattr(vec, "single_observation_space") or not hasattr(vec, "num_agents"):
            raise TypeError(f"{type(vec).__name__} given, expected a vectorizer, as puffer_min.make_vec(...) gives")
        self.vec, self.num_agents = vec, vec.num_agents
        self.layout = getattr(vec.single_observation_space, "layout", None)
        self.observation_space = self.layout.space if self.layout else vec.single_observation_space
        self.action_space, self.spec = vec.single_action_space, EnvSpec.of(vec)
        self.previous = None                        # the observations before the step, where the environment keeps none
        self.render_mode = self.call("render_mode", indices=[0])[0]
        self.metadata = {"render_fps": 30} | self.call("metadata", indices=[0])[0]
        self.metadata["render_modes"] = [self.render_mode] if self.render_mode else []
        self.began = time.perf_counter()
        self.returns, self.lengths = np.zeros(self.num_agents), np.zeros(self.num_agents, np.int64)

    def reset(self, seed):
        """Rows of observations after a reset."""
        self.returns[:] = self.lengths[:] = 0
        return self.vec.reset(seed)[0]

    def step(self, actions):
        """The first four results of a step, and [(agent, its finished episode)]."""
        acting = self.vec.masks.copy()              # an empty slot plays no episode
        if not self.spec.keeps_last_observations:
            self.previous = self.vec.observations.copy()
        rows, rewards, terminals, truncations, _ = self.vec.step(self.take(actions))
        self.returns += rewards
        self.lengths += acting
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
            changed = np.argwhere(taken != given)[0]
            raise ValueError(f"actions of {given.dtype} given that are no whole numbers of 32 bits, agent {changed[0]} has "
                             f"{given[tuple(changed)]}, expected an action of {self.action_space} for each agent")
        return taken

    def show(self, rows):
        """Rows as the environment declared its observations: nested arrays for structured spaces. Views."""
        return self.layout.unpack(rows) if self.layout else rows

    def last_observation(self, agent, truncated):
        """A copy of the last observation of the episode of `agent` that ended in this step."""
        rows = self.vec.final_observations if truncated or self.spec.keeps_last_observations else self.previous
        return first_of(self.observation_space, copied(self.show(rows[agent:agent + 1])))

    def call(self, name, *args, indices=None, **kwargs):
        """For each agent in `indices` the attribute `name` of its environment, or the result of its method `name`."""
        environments = [agent // self.vec.agents_per_env for agent in (range(self.num_agents) if indices is None else indices)]
        if not self.spec.native:
            return self.vec.call(name, *args, indices=environments, **kwargs)
        known = {"render_mode": "rgb_array", "metadata": {}}        # every native environment draws itself
        if name not in known and (args or kwargs or callable(getattr(self.vec, name, None))):
            raise NotImplementedError(f"{name}(...): the environments of {self.vec!r} share one object; call its method")
        return [known[name] if name in known else getattr(self.vec, name)] * len(environments)

    def set_attr(self, name, value, indices):
        """Set the attribute `name` of the environments of the agents in `indices`."""
        if self.spec.native:
            raise NotImplementedError(f"set_attr({name!r}): the environments of {self.vec!r} share one object; "
                                      "make it with other settings")
        self.call("set_attr", name, value, indices=indices)

    def use_autoreset(self, mode):
        """Let the environments restart as `mode` says. Raises ValueError where they cannot."""
        try:
            self.call("use_autoreset", mode.value)
        except (AttributeError, NotImplementedError) as error:
            raise ValueError(f"autoreset_mode={mode} given, expected SAME_STEP: these environments restart by themselves on the step "
                             "that ends an episode; the other modes are for Gymnasium's environments") from error

    def restart(self, mask):
        """Rows of observations after a reset of the environments in `mask`, bool (num_envs,)."""
        mask = np.asarray(mask)
        if mask.shape != (self.num_agents,) or mask.dtype != bool or not mask.any():
            raise ValueError(f"reset_mask={mask!r:.60} given, expected bool ({self.num_agents},) with at least one True")
        self.returns[mask] = self.lengths[mask] = 0
        self.call("restart", indices=np.flatnonzero(mask).tolist())
        return self.vec.observations


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
