"""What two environments share and one of them changes: class attributes, globals, defaults of arguments.

    written = changed(env, other, step_other)      {"Board.cells": False, "Board.seen": True}

From each environment a walk goes through the attributes of its layers and of their classes, through the
globals, defaults and closures of their methods, and through lists, dicts and objects in these. What both
walks reach is shared. That is sound for a table that nobody writes; so `other` is stepped, and what has
changed by then is told.
"""

import random
import sys
import types
from collections import deque

import numpy as np
from gymnasium import Space

MOST = 20_000               # things that a walk looks at
DEPTH = 6                   # attributes and members from an environment to a thing
LARGEST = 1 << 26           # bytes of an array that is compared; of a larger one, its first part
FOREIGN = {"gymnasium", "numpy", "pettingzoo", "puffer_min", "torch", *sys.stdlib_module_names} - {"__main__"}
STREAMS = np.random.Generator | np.random.RandomState | random.Random
SKIPPED = (type, types.ModuleType, types.FunctionType, types.MethodType, Space)


def changed(env, other, step_other) -> dict[str, bool]:
    """Name of what both reach and `step_other()` changes -> whether it is a dict, set or list that only grew.
    """
    first, second = reached(env), reached(other)
    shared = {key: first[key] for key in first.keys() & second.keys()}
    before = {key: content(thing) for key, (_, thing) in shared.items()}
    step_other()
    found = {}
    for key, (name, thing) in shared.items():
        now = content(thing)
        if now != before[key]:
            found[name] = only_grew(thing, before[key], now)
    return found


def reached(env) -> dict[int, tuple[str, object]]:
    """Identity -> (name, thing) of everything that a walk from `env` finds and that can be changed."""
    found, queue, looked = {}, deque(roots(env)), 0
    while queue and looked < MOST:
        (name, thing, depth), looked = queue.popleft(), looked + 1
        if isinstance(thing, np.ndarray):
            while isinstance(thing.base, np.ndarray):           # of a view, the array whose memory it is
                thing = thing.base
        if id(thing) in found or not changeable(thing):
            continue
        found[id(thing)] = name, thing
        if depth < DEPTH and not isinstance(thing, np.ndarray | STREAMS):
            queue.extend((f"{name}{suffix}", part, depth + 1) for suffix, part in members(thing))
    return found


def roots(env):
    """(name, thing, depth) of the attributes of each layer of `env`, and of what its class holds."""
    while env is not None:
        kind, own = type(env), vars(env) if hasattr(env, "__dict__") else {}
        yield from ((f"{kind.__name__}.{name}", thing, 1) for name, thing in own.items() if name != "env")
        for base in kind.__mro__:
            if base.__module__.partition(".")[0] not in FOREIGN:
                for name, thing in vars(base).items():
                    yield f"{base.__name__}.{name}", thing, 1
                    yield from of_function(getattr(thing, "__func__", getattr(thing, "fget", thing)))
        env = own.get("env")


def of_function(function):
    """(name, thing, depth) of the globals, defaults and closures of a function."""
    if not isinstance(function, types.FunctionType):
        return
    codes = [function.__code__]
    for code in codes:                                          # of inner functions too
        codes += [inner for inner in code.co_consts if isinstance(inner, types.CodeType)]
    for name in {name for code in codes for name in code.co_names} & function.__globals__.keys():
        yield name, function.__globals__[name], 1
    for default in [*(function.__defaults__ or ()), *(function.__kwdefaults__ or {}).values()]:
        yield f"a default argument of {function.__qualname__}", default, 1
    for name, cell in zip(function.__code__.co_freevars, function.__closure__ or (), strict=True):
        try:
            yield name, cell.cell_contents, 1
        except ValueError:                                      # not assigned yet
            continue


def changeable(thing) -> bool:
    if isinstance(thing, np.ndarray | list | dict | set | bytearray | deque | STREAMS):
        return True
    own = hasattr(type(thing), "__dict__") and hasattr(thing, "__dict__") and not isinstance(thing, SKIPPED)
    return own and type(thing).__module__.partition(".")[0] not in FOREIGN


def members(thing):
    """(suffix of the name, member) of a container or object."""
    if isinstance(thing, dict):
        return [(f"[{key!r:.20}]", part) for key, part in list(thing.items())[:MOST]]
    if isinstance(thing, list | set | deque):
        return [("[...]", part) for part in list(thing)[:MOST]]
    return [(f".{name}", part) for name, part in list(getattr(thing, "__dict__", {}).items())]


def content(thing):
    """What can be compared later with the content of `thing` by then: a tuple, or bytes."""
    if isinstance(thing, np.ndarray):
        if thing.dtype.hasobject:
            return tuple(map(plain, thing.ravel()[:MOST]))
        return thing.ravel()[:LARGEST // max(1, thing.itemsize)].tobytes()
    if isinstance(thing, STREAMS):
        state = getattr(thing, "getstate", getattr(thing, "get_state", lambda: thing.bit_generator.state))
        return repr(state())
    if isinstance(thing, bytearray):
        return bytes(thing)
    if isinstance(thing, dict):
        return {plain(key): plain(part) for key, part in list(thing.items())[:MOST]}
    if isinstance(thing, set):
        return {plain(part): None for part in list(thing)[:MOST]}
    return tuple((name, plain(part)) for name, part in members(thing))


def plain(part):
    """A number or text itself, of anything else the identity."""
    return part if isinstance(part, int | float | str | bytes | np.generic | None) else id(part)


def only_grew(thing, before, now) -> bool:
    if isinstance(thing, dict | set):
        return before.items() <= now.items()
    return isinstance(thing, list | deque) and now[:len(before)] == before
