"""The flat buffers through which every environment speaks: one row per agent, in one fixed order.

    observations  actions  rewards  terminals  truncations  masks  [final_observations]

The order is the same in every signature of the project. Swapped arguments of one dtype are silent bugs; a
fixed order and a check by name at the border (`Buffers.check`) make them loud ones.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from gymnasium import spaces


def action_layout(space: spaces.Space) -> tuple[tuple[int, ...], np.dtype]:
    """Shape of one agent's action and its dtype: int32 for Discrete and MultiDiscrete, float32 for Box."""
    if isinstance(space, spaces.Discrete):
        return (), np.dtype(np.int32)
    if isinstance(space, spaces.MultiDiscrete):
        return tuple(space.nvec.shape), np.dtype(np.int32)
    if isinstance(space, spaces.Box):
        return tuple(space.shape), np.dtype(np.float32)
    raise TypeError(f"actions: {space} given, expected Discrete, MultiDiscrete or Box; emulate it first")


class Buffers(NamedTuple):
    """Arrays of `num_agents` rows, C-contiguous, in the order of the contract.

    observations        (num_agents, *observation shape), the space's dtype
    actions             (num_agents, *action shape), int32 or float32
    rewards             (num_agents,) float32
    terminals           (num_agents,) bool
    truncations         (num_agents,) bool
    masks               (num_agents,) bool, False where the slot holds no agent
    final_observations  as observations, or None; row i is the last observation of the episode that ended at
                        this step by truncation (its value is needed to bootstrap). Other rows are undefined.
    """

    observations: np.ndarray
    actions: np.ndarray
    rewards: np.ndarray
    terminals: np.ndarray
    truncations: np.ndarray
    masks: np.ndarray
    final_observations: np.ndarray | None = None

    @staticmethod
    def layout(num_agents: int, observation_space: spaces.Box, action_space: spaces.Space,
               truncates: bool = False) -> dict:
        """Name -> (shape, dtype) of each buffer, in order."""
        action_shape, action_dtype = action_layout(action_space)
        observations = ((num_agents, *observation_space.shape), np.dtype(observation_space.dtype))
        rows = {
            "observations": observations,
            "actions": ((num_agents, *action_shape), action_dtype),
            "rewards": ((num_agents,), np.dtype(np.float32)),
            "terminals": ((num_agents,), np.dtype(bool)),
            "truncations": ((num_agents,), np.dtype(bool)),
            "masks": ((num_agents,), np.dtype(bool)),
        }
        return rows | ({"final_observations": observations} if truncates else {})

    @classmethod
    def allocate(cls, num_agents: int, observation_space: spaces.Box, action_space: spaces.Space,
                 truncates: bool = False) -> Buffers:
        """Zeroed buffers for `num_agents` agents; masks are all True."""
        layout = cls.layout(num_agents, observation_space, action_space, truncates)
        buffers = cls(**{name: np.zeros(shape, dtype) for name, (shape, dtype) in layout.items()})
        buffers.masks[:] = True
        return buffers

    def check(self, num_agents: int, observation_space: spaces.Box, action_space: spaces.Space,
              truncates: bool = False) -> Buffers:
        """Return self if every array fits the layout. Raises ValueError naming the array and both sides."""
        layout = self.layout(num_agents, observation_space, action_space, truncates)
        for name, (shape, dtype) in layout.items():
            array = getattr(self, name)
            if not isinstance(array, np.ndarray) or array.shape != shape or array.dtype != dtype:
                is_array = isinstance(array, np.ndarray)
                given = f"{array.dtype} {array.shape}" if is_array else type(array).__name__
                raise ValueError(f"{name}: given {given}, expected {dtype} {shape}; Buffers.allocate "
                                 "makes fitting ones")
            if not array.flags.carray:
                raise ValueError(f"{name}: given a strided, misaligned or read-only array, "
                                 "expected C-contiguous writable memory; "
                                 "pass a whole block of rows")
        return self

    def rows(self, first: int, last: int) -> Buffers:
        """Views of the rows [first, last): what one worker writes."""
        return Buffers(*(None if array is None else array[first:last] for array in self))
