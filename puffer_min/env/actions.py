"""Legal actions, and the one random player. Actions are checked by `ActionCheck` of envs/core/actions.pyx."""

import numpy as np
from gymnasium import spaces

from puffer_min.env.spec import EnvSpec
from puffer_min.env.values import truths


def legal_actions(env):
    """`env.action_masks()`, bool (num_agents, choices), with every action legal in the rows of empty slots.

    None if the environment masks no actions.
    """
    return env.action_masks() | ~env.masks[:, None] if EnvSpec.of(env).masks_actions else None


def actions_of(policy, env, observations):
    """The actions of a policy, an object with `act` or a function; only legal ones if it takes masks."""
    act = getattr(policy, "act", policy)
    masks = (legal_actions(env),) if getattr(policy, "takes_masks", False) else ()
    return act(observations, *masks)


def random_actions(space, num_agents, random):
    """Actions drawn by `random`, a NumPy Generator: int32 or float32 (num_agents, *action shape).

    Every choice of a Discrete or MultiDiscrete is equally likely. A Box is uniform between its bounds; a side
    without a bound ends at -2 or 2, and at least 2 from the other side.
    """
    if isinstance(space, spaces.Discrete):
        return random.integers(0, int(space.n), num_agents, dtype=np.int32)
    if isinstance(space, spaces.MultiDiscrete):
        return random.integers(0, space.nvec, (num_agents, *space.nvec.shape), dtype=np.int32)
    low, high = space.low.astype(float), space.high.astype(float)
    bounded_low = np.where(np.isfinite(low), low, np.minimum(-2, high - 2))
    bounded_high = np.where(np.isfinite(high), high, np.maximum(2, low + 2))
    return random.uniform(bounded_low, bounded_high, (num_agents, *space.shape)).astype(np.float32)


class RandomPolicy:
    """Random actions for every agent of `env`, drawn from its action space (`random_actions`) with `seed`."""

    def __init__(self, env, seed=0):
        self.space, self.num_agents, self.seed = env.single_action_space, env.num_agents, seed
        self.reset()

    def reset(self):
        """Back to the start of the random stream."""
        self.random = np.random.default_rng(self.seed)

    def act(self, observations=None):
        """One random action for each agent; `observations` are ignored."""
        return random_actions(self.space, self.num_agents, self.random)


# ---------------------------------------------------------------------- action masks

def choices(space):
    """Columns of an action mask for `space`: the sizes of all components of the action added; 0 for a Box."""
    return int(np.sum(getattr(space, "nvec", getattr(space, "n", 0))))


def random_legal_actions(env, random):
    """`random_actions` for each agent, drawn from the actions that `env.action_masks()` allows, if any."""
    space = env.single_action_space
    if not env.masks_actions:
        return random_actions(space, env.num_agents, random)
    return random_choices(space, env.action_masks(), random)


def random_choices(space, masks, random):
    """Actions int32 (n, *action shape) drawn by `random` from those that masks, bool (n, choices), allow."""
    edges = np.cumsum(np.ravel(getattr(space, "nvec", ())))[:-1].astype(int)
    columns = [part.argmax(1) for part in np.split(random.random(masks.shape) * masks, edges, axis=1)]
    return np.stack(columns, 1).reshape(len(masks), *space.shape).astype(np.int32)


def mask_rows(env, given):
    """The masks that the environment behind the adapter `env` gives, as bool (num_agents, choices).

    given   its attribute or method action_masks: the mask of one agent, or where agents have names a dict,
            agent -> mask; agents without one may do everything

    Raises TypeError for a mask that has not one truth value, 0 or 1, for each choice.
    """
    given, who = given() if callable(given) else given, f"action_masks of {type(env.innermost).__name__} gave"
    slots, size = getattr(env, "slots", None), choices(env.single_action_space)
    if slots is not None and (not isinstance(given, dict) or given.keys() - slots.keys()):
        raise TypeError(f"{who} {given!r:.60}, expected a dict, agent -> mask, of possible_agents: "
                        f"{', '.join(map(str, slots))}")
    legal = np.ones((env.num_agents, size), bool)
    for name, mask in given.items() if slots else [(None, given)]:
        mask, fits, right = truths(mask, size)
        if not right:
            shape = "" if fits or not hasattr(mask, "shape") else f"{mask.dtype} {mask.shape}, "
            raise TypeError(f"{who} {shape}{mask!r:.60}{f' for agent {name}' if slots else ''}, expected "
                            f"({size},): a truth value for each choice of {env.single_action_space}")
        legal[slots[name] if slots else 0] = mask != 0
    return legal


def require_mask(env):
    """Raise TypeError unless `env.action_masks()` gives a mask of the right dtype and shape."""
    mask, expected = env.action_masks(), (env.num_agents, choices(env.single_action_space))
    if getattr(mask, "dtype", None) != np.dtype(bool) or mask.shape != expected:
        given = f"{mask.dtype} {mask.shape}" if isinstance(mask, np.ndarray) else type(mask).__name__
        raise TypeError(f"{type(env).__name__}.action_masks gave {given}, expected bool {expected}: a row "
                        "for each agent, a column for each choice of its action")
