"""What the command line names: environments, networks, settings; and the name of an environment.

    load_environment("snake")                       a native environment
    load_environment("my_env.py:MyEnv")             a class or function of a file
    load_environment("my_env.pyx")                  a native environment of one's own, compiled if it changed
    load_environment("my_env.py")                   the one environment of a file
    load_environment("gymnasium:make")              a class or function of a module
    load_environment("LunarLander-v3")              an id of Gymnasium's, or a name of envs.register
    load_object("my_net.py:MyNet")                  a network for --policy, or anything else
    parse_setting("size=7")                         ("size", 7)
    name_of(MyEnv)                                  "MyEnv"

A file is loaded as `python my_env.py` would run it: its folder comes first on `sys.path`, so that modules
next to it are found. It is registered in `sys.modules` under its own name, so that dataclasses, pickle and
worker processes find its classes.
"""

import ast
import functools
import importlib
import importlib.util
import re
import sys
import zlib
from pathlib import Path

import cloudpickle
import gymnasium

import envs
from envs.core.gymnasium_ids import GymnasiumId
from puffer_min.commands.new.compiled import load_compiled
from puffer_min.env.puffer_env import PufferEnv
from puffer_min.learner.config import Config
from puffer_min.vector.serial import adapt, is_native, make_batch

_loaded = {}                # path of a file -> (its time of change when it was loaded, the module)


def load_environment(name: str):
    """The class or function that makes the environment called `name`, as above.

    Raises ValueError if there is no such environment, file or name, ImportError if there is no such module.
    """
    found = environment(name)
    return envs.find(found) if isinstance(found, str) else found


def environment(name: str):
    """The class or function of a file or module; a name that `train` and `make_vec` take itself."""
    if name.endswith(".pyx"):
        return load_compiled(name)
    if name.endswith(".py"):
        return only_environment(name)
    return load_object(name) if ":" in name and not re.search(r"-v\d+$", name) else name


def make_to_watch(name: str, seed: int = 0, settings: dict | None = None):
    """One environment called `name` that can be drawn, for a `Game`."""
    make_env, settings = load_environment(name), settings or {}
    settings = settings_to_watch(make_env) | settings
    if is_native(make_env) or "frame_stack" in settings:
        return make_batch(make_env, 1, seed=seed, env_settings=settings)
    return adapt(make_env(**settings))


def settings_to_watch(make_env) -> dict:
    """The settings with which `make_env`, a name or callable, makes an environment that draws pictures."""
    make_env = envs.find(make_env) if isinstance(make_env, str) else make_env
    return {"render_mode": "rgb_array"} if isinstance(make_env, GymnasiumId) else {}


def only_environment(file: str):
    """The one class of an environment that a Python file defines. Raises ValueError for none or several."""
    module = load_file(file)
    own = [thing for thing in vars(module).values() if isinstance(thing, type)
           and issubclass(thing, PufferEnv | gymnasium.Env) and thing.__module__ == module.__name__]
    if len(own) != 1:
        names = ", ".join(kind.__name__ for kind in own) or "none"
        raise ValueError(f"{file} given, expected one class of PufferEnv or gymnasium.Env in it, found "
                         f"{names}: name what makes the environment, {file}:Name")
    return own[0]


def load_object(name: str):
    """The attribute `Name` of "file.py:Name" or "module:Name". Raises ValueError or ImportError."""
    where, _, attribute = name.rpartition(":")
    if not where or not attribute:
        raise ValueError(f"{name!r} given, expected file.py:Name or module:Name")
    try:
        module = load_file(where) if where.endswith(".py") else importlib.import_module(where)
    except ModuleNotFoundError as error:
        if error.name not in (where, where.partition(".")[0]):      # of an import inside the module
            raise
        raise ImportError(f"No module named {where!r}: expected file.py:Name or module:Name") from error
    if not hasattr(module, attribute):
        things = vars(module).items()
        own = [n for n, v in things if callable(v) and getattr(v, "__module__", "") == module.__name__]
        raise ValueError(f"{where} has no {attribute}; it has {', '.join(own) or 'no class and no function'}")
    return getattr(module, attribute)


def load_file(path):
    """The module of a Python file, which is executed once, and again after the file has changed.

    Raises ValueError if there is no such file, ImportError if it is no Python or calls sys.exit.
    """
    if not Path(path).is_file():
        raise ValueError(f"there is no file {path}; expected file.py:Name")
    path = Path(path).resolve()
    changed = path.stat().st_mtime_ns
    if _loaded.get(path, (None,))[0] == changed:
        return _loaded[path][1]
    if str(path.parent) not in sys.path:
        sys.path.insert(0, str(path.parent))
    importlib.invalidate_caches()
    name = path.stem
    by_name = _file_of(name) == path        # whether `import name` finds this file, also in another process
    if not by_name:
        name = f"{name.replace('.', '_')}_{zlib.crc32(bytes(path)):08x}"
    spec = importlib.util.spec_from_file_location(name, path)
    module = importlib.util.module_from_spec(spec)
    before = sys.modules.get(name)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except BaseException as error:
        sys.modules.pop(name)
        if before is not None:
            sys.modules[name] = before
        if isinstance(error, SystemExit):
            raise ImportError(f"{path} called sys.exit({error.code!r}) while it was loaded, expected "
                              "definitions: put what it runs under if __name__ == \"__main__\"") from error
        if isinstance(error, SyntaxError):
            where = f"{error.filename or path}, line {error.lineno}"
            raise ImportError(f"{where} is no Python ({error.msg}): mend it") from error
        raise
    if not by_name:
        cloudpickle.register_pickle_by_value(module)        # a worker process cannot import it
    _loaded[path] = changed, module
    return module


def _file_of(name: str) -> Path | None:
    """The file that `import name` loads, or has loaded; None if there is none."""
    try:
        found = importlib.util.find_spec(name)
    except (ImportError, ValueError):
        return None
    return Path(found.origin).resolve() if found is not None and found.has_location else None


def add_environment(parser, settings="a setting of the environment") -> None:
    """The arguments by which a command is given an environment, its settings and a seed."""
    parser.add_argument("environment", help="name of an environment, native or Gymnasium's; a file .pyx or "
                        ".py; or file.py:Name, module:Name")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--set", action="append", default=[], metavar="NAME=VALUE",
                        help=f"{settings}; may be repeated")


def add_policy(parser) -> None:
    """The argument `--policy`, which `load_object` reads."""
    parser.add_argument("--policy", metavar="FILE.py:NAME",
                        help="the function or class that makes a network of your own, also module:Name "
                             "(see puffer_min/learner/policy.py); a checkpoint remembers it")


def parse_setting(text: str) -> tuple[str, object]:
    """(name, value) of "name=value", where the value is a Python literal, or else the text itself.

    Raises ValueError without a "=".
    """
    name, equals, value = text.partition("=")
    if not equals:
        raise ValueError(f"--set {text} given, expected NAME=VALUE")
    try:
        return name, ast.literal_eval(value)
    except (ValueError, SyntaxError):
        return name, value


def parse_settings(args) -> tuple[dict, dict | None]:
    """Settings of the learner, and of the environment (None without any), of --set horizon=64, env.size=7.

    Raises ValueError for the name of an argument of the command that is no setting of the learner.
    """
    settings = dict(parse_setting(text) for text in args.set)
    for name in settings.keys() & vars(args).keys() - vars(Config()).keys():
        raise ValueError(f"--set {name} given, expected --{name.replace('_', '-')} for the command itself, "
                         f"env.{name} for the environment, or a setting of the learner")
    of_env = [name for name in settings if name.startswith("env.")]
    env_settings = {name.removeprefix("env."): settings.pop(name) for name in of_env}
    return settings, env_settings or None


def name_of(env) -> str:
    """The name of an environment or vectorizer, or of a class or function that makes environments.

    It is a native environment's name, a Gymnasium environment's id, else the name of the class or function.
    """
    if isinstance(env, str):
        return env.rpartition(":")[2].replace("/", "-")
    while isinstance(env, functools.partial):
        env = env.func
    for inner in ("batch", "driver", "env"):    # of a vectorizer, a batch of Python environments, an adapter
        env = getattr(env, inner, env)
    named = getattr(getattr(env, "spec", None), "id", None)
    if isinstance(named, str):
        return named.replace("/", "-")
    kind = env if hasattr(env, "__name__") else type(env)       # an object may be a factory with __call__
    native = kind.__module__.startswith("envs.")
    return kind.__module__.removeprefix("envs.") if native else kind.__name__.replace("<lambda>", "lambda")
