"""Adapters out: a vectorizer as trainers of other libraries expect it.

    envs = puffer_min.as_gymnasium_vector(puffer_min.make_vec("cartpole", num_envs=64))     # a VectorEnv

    from stable_baselines3 import PPO
    model = PPO("MlpPolicy", puffer_min.as_sb3(puffer_min.make_vec("cartpole", num_envs=8)))
    model.learn(100_000)

Each agent is one environment of the result. Observation spaces are those that the environment declared,
nested ones with nested arrays. Actions are rows, whose whole numbers count from 0, of any integer or float
dtype. At the end of every episode both give its last observation, or, where a native environment does not
keep that of a terminated episode, the one before: no algorithm uses either.
"""

import time
from copy import deepcopy

import numpy as np
from gymnasium import spaces
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space

from puffer_min.env.spec import EnvSpec, GroupRows


def as_gymnasium_vector(vec, copy=True, autoreset_mode=AutoresetMode.SAME_STEP):
    """`vec` (of `make_vec`, or a native environment) as a `gymnasium.vector.VectorEnv`.

    copy             False returns the vectorizer's own arrays, which the next step overwrites
    autoreset_mode   SAME_STEP: an episode begins on the step that ends the one before. NEXT_STEP and
                     DISABLED, as Gymnasium defines them, are for Gymnasium's environments only

    `infos` holds, as from Gymnasium's own vectorizers in SAME_STEP:

    final_obs, _final_obs       last observations of the episodes that ended, and for which environments
    final_info, _final_info     {"episode": {"r", "l", "t"}}, return, length and seconds
    masks                       only where slots are empty: which of them hold an agent
    """
    return GymnasiumVector(vec, copy, AutoresetMode(autoreset_mode))


class GymnasiumVector(VectorEnv):
    """See `as_gymnasium_vector`; `VectorEnv` documents the methods."""

    def __init__(self, vec, copy, autoreset_mode):
        self.presented = presented = Presented(vec)
        self.vec, self.copy, self.autoreset_mode = vec, copy, autoreset_mode
        self.same_step = autoreset_mode is AutoresetMode.SAME_STEP
        if not self.same_step:
            presented.use_autoreset(autoreset_mode)
        self.num_envs, self.render_mode = vec.num_agents, presented.render_mode
        self.metadata = presented.metadata | {"autoreset_mode": autoreset_mode}
        self.single_observation_space = presented.observation_space
        self.single_action_space = presented.action_space
        self.observation_space = batch_space(self.single_observation_space, self.num_envs)
        self.action_space = batch_space(self.single_action_space, self.num_envs)

    def reset(self, *, seed=None, options=None):
        if seed is not None and not isinstance(seed, int | np.integer):
            raise TypeError(f"seed={seed!r} given, expected a whole number: each environment derives its own")
        if options and not (set(options) == {"reset_mask"} and self.autoreset_mode is AutoresetMode.DISABLED):
            refuse(options)
        super().reset(seed=None if seed is None else int(seed))
        rows = self.presented.restart(options["reset_mask"]) if options else self.presented.reset(seed)
        return self._given(rows), self._masks({})

    def step(self, actions):
        if self.autoreset_mode is AutoresetMode.DISABLED and not self.vec.masks.all():
            over = np.flatnonzero(~self.vec.masks).tolist()
            raise RuntimeError(f"step() where the episodes of environments {over} are over: "
                               "call reset(options={\"reset_mask\": mask}) first")
        rows, rewards, terminals, truncations, finished = self.presented.step(actions)
        infos = {}
        for agent, episode in finished if self.same_step else ():
            last = self.presented.last_observation(agent, truncations[agent])
            infos = self._add_info(infos, {"final_obs": last, "final_info": {"episode": episode}}, agent)
        results = (rewards, terminals, truncations)
        return self._given(rows), *(deepcopy(results) if self.copy else results), self._masks(infos)

    def render(self):
        return tuple(self.vec.render(i) for i in range(self.vec.num_envs))

    def call(self, name, *args, **kwargs):
        return tuple(self.presented.call(name, *args, **kwargs))

    def get_attr(self, name):
        return self.call(name)

    def set_attr(self, name, values):
        values = values if isinstance(values, list | tuple) else [values] * self.num_envs
        if len(values) != self.num_envs:
            raise ValueError(f"{len(values)} values of {name} given, expected {self.num_envs}, "
                             "one for each environment")
        for agent, value in enumerate(values):
            self.presented.set_attr(name, value, [agent])

    def close_extras(self, **kwargs):
        self.vec.close()

    def _given(self, rows):
        observations = self.presented.show(rows)
        return deepcopy(observations) if self.copy else observations

    def _masks(self, infos):
        full = self.vec.masks.all() or not self.same_step
        return infos if full else infos | {"masks": self.vec.masks.copy()}


def as_sb3(vec):
    """`vec` (of `make_vec`, or a native environment) as a Stable-Baselines3 `VecEnv`.

    Dicts of one level stay Dicts ("MultiInputPolicy"); a space that is nested deeper but of one dtype is a
    Box; any other raises TypeError. At the end of an episode its info holds "episode" (r, l, t, as Monitor
    gives them), "TimeLimit.truncated" and "terminal_observation"; the info of an empty slot is {"mask":
    False}.
    """
    from stable_baselines3.common.vec_env import VecEnv  # optional: puffer_min itself does not need it

    return type("SB3Vec", (SB3Methods, VecEnv), {"__module__": __name__})(vec)


class SB3Methods:
    """The methods of a `VecEnv`, which documents them; `indices` are environments, None for all."""

    def __init__(self, vec):
        self.vec, self.presented, self.actions = vec, Presented(vec), None
        space = self.presented.observation_space
        parts = space.spaces.values() if isinstance(space, spaces.Dict) else [space]
        nested = any(isinstance(part, spaces.Dict | spaces.Tuple) for part in parts)
        if nested or any(np.any(getattr(part, "start", 0)) for part in parts):
            if self.presented.layout.structured:
                raise TypeError(f"observations of {space} given, which Stable-Baselines3 has no policy for; "
                                "expected a Box, or a Dict of one level whose numbers count from 0: change "
                                "them in a wrapper")
            self.presented.layout, space = None, vec.single_observation_space
        super().__init__(vec.num_agents, space, self.presented.action_space)
        self.metadata = self.presented.metadata | self.metadata

    def reset(self):
        seed, options = self._seeds[0], [option for option in self._options if option]
        self._reset_seeds()
        self._reset_options()
        if options:
            refuse(options[0])
        return deepcopy(self.presented.show(self.presented.reset(seed)))

    def step_async(self, actions):
        self.actions = actions

    def step_wait(self):
        rows, rewards, terminals, truncations, finished = self.presented.step(self.actions)
        infos = [{} if living else {"mask": False} for living in self.vec.masks]
        for agent, episode in finished:
            last = self.presented.last_observation(agent, truncations[agent])
            cut = bool(truncations[agent] and not terminals[agent])
            infos[agent] |= {"episode": episode, "TimeLimit.truncated": cut, "terminal_observation": last}
        return deepcopy(self.presented.show(rows)), rewards.copy(), terminals | truncations, infos

    def close(self):
        self.vec.close()

    def get_attr(self, attr_name, indices=None):
        return self.env_method(attr_name, indices=indices)

    def set_attr(self, attr_name, value, indices=None):
        self.presented.set_attr(attr_name, value, self._get_indices(indices))

    def env_method(self, method_name, *args, indices=None, **kwargs):
        return self.presented.call(method_name, *args, indices=self._get_indices(indices), **kwargs)

    def env_is_wrapped(self, wrapper_class, indices=None):
        """True for Monitor: the infos hold returns and lengths, as a Monitor would give them."""
        return [wrapper_class.__name__ == "Monitor" for _ in self._get_indices(indices)]

    def get_images(self):
        return [np.asarray(self.vec.render(i)) for i in range(self.vec.num_envs)]


class Presented:
    """The agents of `vec`, each as one environment, with the spaces that other trainers expect."""

    def __init__(self, vec):
        if not hasattr(vec, "single_observation_space") or not hasattr(vec, "num_agents"):
            raise TypeError(f"{type(vec).__name__} given, expected a vectorizer, as puffer_min.make_vec()")
        if isinstance(vec.single_observation_space, GroupRows):
            raise TypeError("agents of several groups given, expected agents with equal spaces: trainers of "
                            "other libraries have one network; pad the spaces in a wrapper")
        self.vec, self.num_agents = vec, vec.num_agents
        self.layout = getattr(vec.single_observation_space, "layout", None)
        self.observation_space = self.layout.space if self.layout else vec.single_observation_space
        self.action_space, self.spec = vec.single_action_space, EnvSpec.of(vec)
        self.render_mode = self.call("render_mode", indices=[0])[0]
        self.metadata = {"render_fps": 30} | self.call("metadata", indices=[0])[0]
        self.metadata["render_modes"] = [self.render_mode] if self.render_mode else []
        self.began, self.previous = time.perf_counter(), None   # previous: observations, if no last are kept
        self.returns, self.lengths = np.zeros(self.num_agents), np.zeros(self.num_agents, np.int64)

    def reset(self, seed):
        """Rows of observations after a reset."""
        self.returns[:] = self.lengths[:] = 0
        return self.vec.reset(seed)[0]

    def step(self, actions):
        """The first four results of a step, and [(agent, its finished episode)]."""
        acting = self.vec.masks.copy()          # an empty slot plays no episode
        if not self.spec.keeps_last_observations:
            self.previous = self.vec.observations.copy()
        rows, rewards, terminals, truncations, _ = self.vec.step(self.take(actions))
        self.returns += rewards
        self.lengths += acting
        finished, seconds = [], round(time.perf_counter() - self.began, 6)
        for agent in np.flatnonzero(terminals | truncations).tolist():
            episode = {"r": float(self.returns[agent]), "l": int(self.lengths[agent]), "t": seconds}
            finished.append((agent, episode))
            self.returns[agent] = self.lengths[agent] = 0
        return rows, rewards, terminals, truncations, finished

    def take(self, actions):
        """Actions of any dtype as rows for `vec`; ValueError if a whole number would change."""
        given, expected = np.asarray(actions), self.vec.actions
        taken = given.astype(expected.dtype)
        if expected.dtype == np.int32 and not np.array_equal(taken, given):
            changed = np.argwhere(taken != given)[0]
            raise ValueError(f"actions of {given.dtype} given that are no whole numbers of 32 bits, agent "
                             f"{changed[0]} has {given[tuple(changed)]}, expected an action of "
                             f"{self.action_space} for each agent")
        return taken

    def show(self, rows):
        """Rows as the environment declared its observations: nested arrays for structured spaces. Views."""
        return self.layout.unpack(rows) if self.layout else rows

    def last_observation(self, agent, truncated):
        """A copy of the last observation of the episode of `agent` that ended in this step."""
        kept = truncated or self.spec.keeps_last_observations
        rows = self.vec.final_observations if kept else self.previous
        return first_of(self.show(rows[agent:agent + 1]))

    def call(self, name, *args, indices=None, **kwargs):
        """For each agent in `indices`, an attribute of its environment, or the result of a method."""
        agents = range(self.num_agents) if indices is None else indices
        environments = [agent // self.vec.agents_per_env for agent in agents]
        if not self.spec.native:
            return self.vec.call(name, *args, indices=environments, **kwargs)
        known = {"render_mode": "rgb_array", "metadata": {}}        # every native environment draws itself
        if name not in known and (args or kwargs or callable(getattr(self.vec, name, None))):
            raise NotImplementedError(f"{name}: the environments of {self.vec!r} share one object; call its "
                                      "method")
        return [known[name] if name in known else getattr(self.vec, name)] * len(environments)

    def set_attr(self, name, value, indices):
        """Set the attribute `name` of the environments of the agents in `indices`."""
        if self.spec.native:
            raise NotImplementedError(f"set_attr({name!r}): the environments of {self.vec!r} share one "
                                      "object; make it with other settings")
        self.call("set_attr", name, value, indices=indices)

    def use_autoreset(self, mode):
        """Let the environments restart as `mode` says. Raises ValueError where they cannot."""
        try:
            self.call("use_autoreset", mode.value)
        except (AttributeError, NotImplementedError) as error:
            raise ValueError(f"autoreset_mode={mode} given, expected SAME_STEP: these environments restart "
                             "by themselves; the other modes are for Gymnasium's environments") from error

    def restart(self, mask):
        """Rows of observations after a reset of the environments in `mask`, bool (num_envs,)."""
        mask = np.asarray(mask)
        if mask.shape != (self.num_agents,) or mask.dtype != bool or not mask.any():
            raise ValueError(f"reset_mask={mask!r:.60} given, expected bool ({self.num_agents},) with at "
                             "least one True")
        self.returns[mask] = self.lengths[mask] = 0
        self.call("restart", indices=np.flatnonzero(mask).tolist())
        return self.vec.observations


def refuse(options):
    """Raise ValueError for options of a reset."""
    raise ValueError(f"options={options!r} given, expected none: these environments restart by themselves")


def first_of(part):
    """A copy of the first sample of nested batched arrays."""
    if isinstance(part, dict):
        return {key: first_of(inner) for key, inner in part.items()}
    return tuple(map(first_of, part)) if isinstance(part, tuple) else part[0].copy()
