"""Actions on their way into an environment: the check at the border, and the one random player."""

import numpy as np
from gymnasium import spaces


def take_actions(given, actions, space):
    """Copy `given` into the buffer `actions`, one row for each agent, after checking dtype, shape and range.

    Raises TypeError or ValueError, naming what was given and what `space`, the action space of one agent, expects.
    """
    if not isinstance(given, np.ndarray):
        raise TypeError(f"actions: given {type(given).__name__}, expected a NumPy array {actions.dtype} {actions.shape}; "
                        f"write np.asarray(actions, dtype=np.{actions.dtype})")
    if given.dtype != actions.dtype:
        raise TypeError(f"actions: given {given.dtype}, expected {actions.dtype}; write actions.astype(np.{actions.dtype})")
    if given.shape != actions.shape:
        raise ValueError(f"actions: given shape {given.shape}, expected {actions.shape}, one row for each agent")
    if isinstance(space, spaces.Discrete):
        bad = given.view(np.uint32) >= int(space.n)     # a negative number is a huge one without a sign
    elif isinstance(space, spaces.MultiDiscrete):
        bad = given.view(np.uint32) >= space.nvec
    else:
        bad = ~np.isfinite(given)                       # any finite number will do, environments clip
    if np.count_nonzero(bad):
        agent = np.argwhere(bad)[0, 0]
        raise ValueError(f"actions: agent {agent} has {given[agent]}, expected an action of {space}")
    actions[...] = given


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
