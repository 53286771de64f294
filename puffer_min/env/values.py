"""Checks of what an environment returns or raises: rewards, flags, infos, results of `reset` and `step`.

In the checks `who` names the source of a value in errors, such as "environment 3" or "agent lion_0".
"""

import contextlib

import numpy as np

LARGEST = 3.4e38            # of a reward: buffers hold float32


def number(value, who) -> float:
    """A reward: any finite number, or an array or tensor of one element. Raises TypeError or ValueError."""
    try:
        plain = value.item() if hasattr(value, "item") else value
        if isinstance(plain, (str, bytes)) or value is np.ma.masked:
            raise TypeError
        real = float(plain)
    except (TypeError, ValueError, OverflowError, RuntimeError) as error:
        raise TypeError(f"{who}: step gave the reward {value!r:.60}, expected a finite number") from error
    if not -LARGEST < real < LARGEST:
        raise ValueError(f"{who}: step gave the reward {value!r:.60}, expected a finite number")
    return real


def flag(value, name, who) -> bool:
    """The flag `name` as a bool: a bool, 0 or 1, or an array or tensor of one of them. Raises TypeError."""
    try:
        plain = value.item() if hasattr(value, "item") else value
    except (ValueError, RuntimeError):          # several elements
        plain = None
    if plain in (0, 1):
        return bool(plain)
    raise TypeError(f"{who}: step gave {name}={value!r:.60}, expected a bool")


def picture(given) -> np.ndarray:
    """What `render` gave, an RGB array (height, width, 3) uint8. Raises TypeError for anything else."""
    image = np.asarray(given)
    if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8:
        what = type(given).__name__ if image.dtype == object else f"{image.dtype} {image.shape}"
        raise TypeError(f"render() gave {what}, expected an array uint8 (height, width, 3)")
    return image


def info_number(info, key, who) -> float:
    """The number in `info` under `key` at the end of an episode. Raises ValueError without one."""
    info = info or {}
    try:
        return float(info[key])
    except (KeyError, TypeError, ValueError):
        keys = ", ".join(map(repr, info)) or "nothing"
        given = f"{info[key]!r:.60}" if key in info else f"an info with {keys}"
        raise ValueError(f"{who}: info_keys has {key!r}, but the episode ended with {given}, "
                         "expected a number under that key") from None


def step_results(results, who) -> tuple:
    """The results of `step`, as a tuple of five whose last part is a dict. Raises TypeError."""
    if not isinstance(results, (tuple, list)) or len(results) != 5:
        given = f"{len(results)} values" if isinstance(results, (tuple, list)) else type(results).__name__
        raise TypeError(f"{who}: step gave {given}, expected (observation, reward, terminated, truncated, "
                        "info); an environment of the old Gym returns four")
    if not isinstance(results[4], dict):
        raise TypeError(f"{who}: step gave an info of type {type(results[4]).__name__}, expected a dict, "
                        "{} if there is none")
    return tuple(results)


def first_observation(reset, seed, who):
    """The observation that `reset(seed=seed)` gives, or `reset()` without a seed. Raises TypeError."""
    try:
        results = reset() if seed is None else reset(seed=seed)
    except TypeError as error:
        if "unexpected keyword argument 'seed'" not in str(error):
            raise
        raise TypeError(f"{who}: {error}, expected reset(self, *, seed=None, options=None) as in Gymnasium; "
                        "add the arguments, and begin with super().reset(seed=seed)") from error
    if not isinstance(results, tuple) or len(results) != 2:
        raise TypeError(f"{who}: reset gave {type(results).__name__}, expected the tuple (observation, info)"
                        "; an environment of the old Gym returns the observation alone")
    if not isinstance(results[1], dict):
        raise TypeError(f"{who}: reset gave (observation, {results[1]!r:.60}), expected the tuple "
                        "(observation, info) with a dict as info, {} if there is none")
    return results[0]


def agent_names(env) -> list:
    """The possible agents of an environment of PettingZoo. Raises TypeError unless they are names."""
    given, kind = getattr(env, "possible_agents", None), type(env).__name__
    try:
        names = list(() if given is None else given)
        dict.fromkeys(names)                        # a list is no key
    except TypeError:
        raise TypeError(f"{kind} has possible_agents={given!r:.60}, expected a list of texts or numbers, the "
                        "names of all agents that may ever live") from None
    if not names:
        raise TypeError(f"{kind} has no possible_agents, expected the names of all agents that may ever "
                        "live: each gets a slot")
    return names


def spaces_of(env, *agent) -> tuple:
    """(observation space, action space) of an environment of Gymnasium, or of an `agent` of PettingZoo.

    Raises TypeError where `env` has none, or no method that gives those of an agent.
    """
    found, kind = [], type(getattr(env, "unwrapped", env)).__name__
    for name in ("observation_space", "action_space"):
        space = getattr(env, name, None)
        if agent and not callable(space):
            raise TypeError(f"{kind}.{name} is {space!r:.60}, expected a method that gives the space of an "
                            f"agent: def {name}(self, agent)")
        if space is None:
            raise TypeError(f"{kind} has no {name}, expected a space of gymnasium.spaces: set self.{name} in "
                            "__init__")
        found.append(space(*agent) if agent else space)
    return tuple(found)


def truths(given, size: int) -> tuple:
    """(`given` as an array if it can be one, whether it is `size` numbers, whether these are all 0 or 1)."""
    with contextlib.suppress(ValueError):               # of lists of several lengths
        given = np.asarray(given)
    fits = getattr(given, "shape", None) == (size,) and given.dtype.kind in "biuf"
    return given, fits, fits and (given.dtype == bool or bool(((given == 0) | (given == 1)).all()))


def exception_of(error):
    """`error`, or a RuntimeError in its place if it would end the caller's program, as SystemExit does."""
    if isinstance(error, Exception):
        return error
    exits = isinstance(error, SystemExit)
    deed = f"called sys.exit({error.code!r})" if exits else f"raised {type(error).__name__}"
    sentence = f"an environment {deed}: end an episode with a terminal flag, report a fault with an Exception"
    return RuntimeError(sentence).with_traceback(error.__traceback__)
