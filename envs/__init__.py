"""Native environments: each file `envs/NAME.pyx` is one environment, named after the file.

    import envs
    env = envs.make("snake", num_envs=4, seed=0)
    observations, infos = env.reset()

The registry is the folder. `envs/README.md` is the way from nothing to a trained environment of your own.
"""

import difflib
import importlib
import os
import re
from pathlib import Path

from envs.core.compile_settings import build_name

_HERE = Path(__file__).parent


def names() -> list[str]:
    """The names of all native environments, in alphabetical order."""
    return sorted(path.stem for path in _HERE.glob("*.pyx"))


def load(name: str) -> type:
    """The class of environment `name`. Raises ValueError if there is none, ImportError if it is not built."""
    if name not in names():
        near = difflib.get_close_matches(name, names(), n=1, cutoff=0.4)
        hint = f"did you mean {near[0]!r}?" if near else f"there are {', '.join(names())}"
        if re.search(r"-v\d+$", name):
            hint = (f"for an environment of Gymnasium give a function, lambda: gymnasium.make({name!r}), or "
                    f"on the command line gymnasium:make --set env.id={name}")
        raise ValueError(f"unknown environment {name!r}: {hint}")
    try:
        module = importlib.import_module(f"envs.{name}")
        native = importlib.import_module("envs.core.native").Native
    except ModuleNotFoundError as error:
        if error.name and error.name.startswith("envs."):
            setting = " with PUFFER_DEBUG=1" if os.environ.get("PUFFER_DEBUG") else ""
            raise ImportError(f"envs.{name} is not compiled in the {build_name()} build: run `make build`"
                              f"{setting}") from error
        raise
    classes = [thing for thing in vars(module).values() if isinstance(thing, type)]
    found = [kind for kind in classes if issubclass(kind, native) and kind.__module__ == module.__name__]
    if len(found) != 1:
        raise ImportError(f"envs/{name}.pyx defines {len(found)} environments, expected exactly one subclass "
                          "of Native")
    return found[0]


def make(name: str, num_envs: int = 1, *, seed: int = 0, **settings):
    """A batch of `num_envs` environments behind one object.

    seed       whole number >= 0; environment i draws from its own stream (seed, i).
    settings   the environment's own (see `help(envs.load(name))`) and those of every environment:
               buffers (write into the caller's memory), first_env (index of environment 0 in a larger batch),
               report_interval (steps between logs in `infos`, 0 for never).
    """
    return load(name)(num_envs, seed=seed, **settings)
