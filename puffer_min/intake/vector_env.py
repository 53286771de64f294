"""`from_vector_env`: somebody else's vector environment as one batch, such as a native environment is.

    vec = puffer_min.from_vector_env(gymnasium.make_vec("CartPole-v1", 64))
    vec = puffer_min.from_vector_env(envpool.make_gymnasium("Pong-v5", num_envs=64))
    vec = puffer_min.from_vector_env(jax_batch, 4096, observation_space, action_space, autoreset="SameStep")
    puffer_min.train(vec)                                   # it stays open

Any object will do whose `reset()` gives (observations, info) and whose `step(actions)` gives (observations,
rewards, terminations, truncations, info), each with a row for every environment: NumPy's arrays, or others in
the CPU's memory that speak DLPack (torch, JAX). They are copied once, into the batch's buffers.
"""

import inspect

import numpy as np
from gymnasium import spaces

from puffer_min.emulation.actions import ActionLayout, values_of
from puffer_min.emulation.observations import Layout
from puffer_min.env.arrays import as_numpy
from puffer_min.env.puffer_env import PufferEnv

MODES = ("SameStep", "NextStep")


def from_vector_env(envs, num_envs=None, observation_space=None, action_space=None, *, autoreset=None):
    """The batch of `envs`; what is not given is read from its attributes. See `VectorEnvBatch`."""
    return VectorEnvBatch(envs, num_envs, observation_space, action_space, autoreset)


class VectorEnvBatch(PufferEnv):
    """`envs` behind our contract: flat rows, SAME_STEP autoreset.

    num_envs              the attribute of that name, or the length of `envs`
    observation_space, action_space     of one environment: single_observation_space or else observation_space
    autoreset             "SameStep": the step that ends an episode gives the first observation of the next;
                          the last one is info["final_obs"], and without it the one before is taken.
                          "NextStep": it gives the last one, and the next step begins an episode, whatever the
                          action: that row is masked once. None: the mode in the metadata, else "NextStep", as
                          EnvPool does it

    Raises TypeError for actions that are not Discrete, MultiDiscrete or Box, and ValueError for a mode that
    is none of these, and for results of another number of rows.
    """

    truncates = keeps_last_observations = True
    derived = ("layout",)

    def __init__(self, envs, num_envs=None, observation_space=None, action_space=None, autoreset=None,
                 seed=0):
        self.envs = envs
        self.num_envs = self.num_agents = num_envs or getattr(envs, "num_envs", None) or len(envs)
        space = observation_space or getattr(envs, "single_observation_space", None) or envs.observation_space
        self.choice = action_space or getattr(envs, "single_action_space", None) or envs.action_space
        if not isinstance(self.choice, spaces.Discrete | spaces.MultiDiscrete | spaces.Box):
            raise TypeError(f"action_space: {self.choice} given, expected Discrete, MultiDiscrete or Box")
        mode = autoreset or getattr(envs, "metadata", None) and envs.metadata.get("autoreset_mode")
        self.autoreset = getattr(mode, "value", mode) or "NextStep"
        if self.autoreset not in MODES:
            raise ValueError(f"autoreset={self.autoreset!r} given, expected {' or '.join(map(repr, MODES))}: "
                             "make the environments with another mode")
        self.layout = Layout(space)
        self.single_observation_space = self.layout.row_space
        self.single_action_space = self.choice
        if not isinstance(self.choice, spaces.Box):             # rows count from 0
            self.single_action_space = ActionLayout(self.choice).row_space
        takes = inspect.signature(envs.reset).parameters
        self.seeds = "seed" in takes or any(part.kind is part.VAR_KEYWORD for part in takes.values())
        super().__init__(None, seed)
        self._pending_seed = self.seed
        self.waiting = np.zeros(self.num_envs, bool)            # their next step begins an episode

    @property
    def spec(self):
        """Gymnasium's, in which the name is."""
        return getattr(self.envs, "spec", None)

    def reset(self, seed=None):
        self.begin_reset(seed)
        seed, self._pending_seed = (self._pending_seed if seed is None else self.seed), None
        given = {"seed": seed} if self.seeds and seed is not None else {}
        self.show(self.envs.reset(**given)[0], self.observations)
        self.waiting[:] = False
        return self.observations, []

    def step(self, actions):
        self.begin_step(actions)
        began, self.waiting = self.waiting, np.zeros(self.num_envs, bool)
        before = self.observations.copy() if self.autoreset == "SameStep" else None
        results = self.envs.step(self.decoded())
        self.show(results[0], self.observations)
        names = ("rewards", "terminals", "truncations")
        for name, given in zip(names, results[1:4], strict=True):
            array = getattr(self, name)
            array[:] = self.rows(given, name)
            array[began] = 0                                    # of the step that began an episode
        ends = self.terminals | self.truncations
        if not np.isfinite(self.rewards).all():
            raise ValueError(f"step of {type(self.envs).__name__} gave a reward that is no finite number")
        if self.autoreset == "SameStep":
            self.keep_last(ends, before, results[4])
        else:
            self.final_observations[ends] = self.observations[ends]
            self.waiting = ends
        found = self.finish_step()
        self.masks[:] = ~self.waiting                           # after the log, which counts who acted
        return found

    def decoded(self):
        """The actions as `envs` takes them."""
        if isinstance(self.choice, spaces.Box):
            whole = self.choice.dtype.kind != "f"
            taken = np.rint(self.actions) if whole else self.actions
            return np.clip(taken, self.choice.low, self.choice.high).astype(self.choice.dtype)
        return (self.actions + self.choice.start).astype(self.choice.dtype)

    def keep_last(self, ends, before, info):
        """Write the last observations of the episodes that ended in this step."""
        self.final_observations[ends] = before[ends]
        last = info.get("final_obs") if isinstance(info, dict) else None
        if last is None:
            return
        if isinstance(last, np.ndarray) and last.dtype == object:       # one for each that ended, else None
            for i in np.flatnonzero(ends):
                self.layout.pack(last[i], self.final_observations[i:i + 1])
        else:
            rows = np.empty_like(self.final_observations)
            self.show(last, rows)
            self.final_observations[ends] = rows[ends]

    def show(self, given, rows):
        """Write a batch of observations, nested as the space is, into `rows`."""
        layout = self.layout
        if layout.one_hot:
            codes = self.rows(given, "observations") - layout.space.start
            rows[:] = np.arange(layout.space.n) == codes[:, None]
        elif layout.row_space is layout.space:
            rows[:] = self.rows(given, "observations")
        else:
            parts = values_of(layout.tree, given)
            for view, leaf, part in zip(layout.views(rows), layout.leaves, parts, strict=True):
                view[:] = self.rows(part, leaf.path)

    def rows(self, given, name):
        """An array of a row for each environment."""
        array = as_numpy(given)
        if array.shape[:1] != (self.num_envs,):
            raise ValueError(f"{type(self.envs).__name__} gave {name} of shape {array.shape}, expected "
                             f"{self.num_envs} rows, one for each environment")
        return array

    def close(self):
        if self.buffers is not None:
            self.envs.close()
        super().close()
