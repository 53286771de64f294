"""Native environments: each file `envs/NAME.pyx` is one environment, named after the file.

    import envs
    env = envs.make("snake", num_envs=4, seed=0)
    observations, infos = env.reset()

The registry is the folder. `envs/README.md` is the way from nothing to a trained environment of your own.
"""

import difflib
import importlib
import os
from pathlib import Path

from envs.core.compile_settings import build_name

_HERE = Path(__file__).parent
_registered = {}                # name -> what makes the environment


def names() -> list[str]:
    """The names of all native environments, in alphabetical order."""
    return sorted(path.stem for path in _HERE.glob("*.pyx"))


def load(name: str) -> type:
    """The class of native environment `name`. Raises ValueError if there is none, ImportError if it is not
    built.
    """
    if name not in names():
        raise unknown(name, names())
    try:
        return environment_of(importlib.import_module(f"envs.{name}"), f"envs/{name}.pyx")
    except ModuleNotFoundError as error:
        if error.name and error.name.startswith("envs."):
            setting = " with PUFFER_DEBUG=1" if os.environ.get("PUFFER_DEBUG") else ""
            raise ImportError(f"envs.{name} is not compiled in the {build_name()} build: run `make build`"
                              f"{setting}") from error
        raise


def environment_of(module, file: str) -> type:
    """The one native environment that `module` defines; otherwise an ImportError that names its `file`."""
    native = importlib.import_module("envs.core.native").Native
    classes = [thing for thing in vars(module).values() if isinstance(thing, type)]
    found = [kind for kind in classes if issubclass(kind, native) and kind.__module__ == module.__name__]
    if len(found) != 1:
        raise ImportError(f"{file} defines {len(found)} environments, expected exactly one subclass of "
                          "Native")
    return found[0]


def register(name: str, make_env) -> None:
    """Give `make_env`, a class or function that makes environments, a name for `make_vec`, `train` ...

    Raises ValueError for the name of a native environment, TypeError for something that makes none.
    """
    if not isinstance(name, str) or not callable(make_env):
        raise TypeError(f"register({name!r}, {make_env!r}) given, expected a name and a class or function "
                        "that makes an environment")
    if name in names():
        raise ValueError(f"{name!r} is a native environment, expected another name")
    _registered[name] = make_env


def find(name: str):
    """What makes the environments called `name`: native, else registered, else those of Gymnasium's id.

    Raises ValueError with the nearest name if there is none, ImportError if it cannot be imported.
    """
    if name in names():
        return load(name)
    if name in _registered:
        return _registered[name]
    gymnasium_ids = importlib.import_module("envs.core.gymnasium_ids")      # brings Gymnasium
    found = gymnasium_ids.gymnasium_id(name)
    if found is None:
        raise unknown(name, [*names(), *_registered, *gymnasium_ids.known_ids()])
    return found


def unknown(name: str, known) -> ValueError:
    """The error for a name that is not among `known`, with the nearest one."""
    lower = {text.lower(): text for text in reversed(known)}
    near = difflib.get_close_matches(name.lower(), lower, n=1, cutoff=0.4)
    hint = f"did you mean {lower[near[0]]!r}?" if near else f"there are {', '.join(names())}"
    return ValueError(f"unknown environment {name!r}: {hint}")


def make(name: str, num_envs: int = 1, *, seed: int = 0, **settings):
    """A batch of `num_envs` environments behind one object.

    seed       whole number >= 0; environment i draws from its own stream (seed, i).
    settings   the environment's own (see `help(envs.load(name))`) and those of every environment:
               buffers (write into the caller's memory), first_env (index of environment 0 in a larger batch),
               report_interval (steps between logs in `infos`, 0 for never).
    """
    return load(name)(num_envs, seed=seed, **settings)
