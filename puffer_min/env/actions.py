"""The one random player. Actions are checked by `ActionCheck` of envs/core/actions.pyx."""

import numpy as np
from gymnasium import spaces


def random_actions(space, num_agents, random):
    """Actions of `num_agents` agents, drawn from `space` by `random`, a NumPy Generator: int32 or float32 (num_agents, *action shape).

    Every choice of a Discrete or MultiDiscrete is equally likely. A Box is uniform between its bounds; a side without a bound ends at
    -2 or 2, and at least 2 from the other side.
    """
    if isinstance(space, spaces.Discrete):
        return random.integers(0, int(space.n), num_agents, dtype=np.int32)
    if isinstance(space, spaces.MultiDiscrete):
        return random.integers(0, space.nvec, (num_agents, *space.nvec.shape), dtype=np.int32)
    low, high = space.low.astype(float), space.high.astype(float)
    bounded_low = np.where(np.isfinite(low), low, np.minimum(-2, high - 2))
    bounded_high = np.where(np.isfinite(high), high, np.maximum(2, low + 2))
    return random.uniform(bounded_low, bounded_high, (num_agents, *space.shape)).astype(np.float32)
