"""The answer's process: runs set-up and answer, and does what the judge asks over a pipe.

    ("load", wanted, texts)          the checks as text, before the answer: for parts judged inside
    ("guard",)                       remembers the library's functions before the answer, for ("test", …)
    ("cell", source)                 runs a cell as JupyterLab would, %%magics included
    ("names", names)                 what the answer's names stand for
    ("call", name, args, kwargs)     calls one of them
    ("test", source, seed)           runs a test cell in this process
    ("confirm", token)               the token, after a test that passed

Requests are pickles from the judge, replies are what `wire` packs. Nothing here decides about points, except
for "test": that is for exercises whose answers work on live objects, see `judge`.
"""

import builtins
import importlib.abc
import importlib.util
import os
import pickle
import struct
import sys
import types

from IPython.core.interactiveshell import InteractiveShell
from traitlets.config import Config

from puffer_min.course.sandbox import limit
from puffer_min.course.wire import NotPlain, pack

REGISTRY = sys.modules["puffer_min.course.check"]
PACKAGE = "puffer_min.course.checks"
WATCHED = ("puffer_min", "envs", "numpy", "IPython", "builtins", "math", "random", "time", "copy", "inspect",
           "functools", "contextlib", "traceback")
OURS = ("puffer_min", "envs", "IPython")    # whose classes and use of builtins nothing may be added to hide


class FromText(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Imports the checks' modules from the texts that the judge sent: in a sandbox there is no file of them.
    """

    def __init__(self, texts):
        self.texts = texts

    def find_spec(self, name, path=None, target=None):
        return importlib.util.spec_from_loader(name, self) if name in self.texts else None

    def exec_module(self, module):
        exec(compile(self.texts[module.__name__], f"<{module.__name__}>", "exec"), module.__dict__)


def load(wanted, texts):
    """Loads the checks `wanted`, [(name, module)], and returns them by name; afterwards no import finds them.
    """
    finder = FromText(texts)
    sys.meta_path.insert(0, finder)
    for _, module in wanted:
        importlib.import_module(module)
    sys.meta_path.remove(finder)
    for name in texts:
        if name in sys.modules:
            del sys.modules[name]
            vars(sys.modules[PACKAGE]).pop(name.rpartition(".")[2], None)
    found = {name: REGISTRY._REGISTRY[name] for name, _ in wanted}
    REGISTRY._REGISTRY.clear()
    REGISTRY._load_levels = lambda: None
    return found


def functions(checks):
    """{place: what identifies it} of every function, class and property of the watched modules and of the
    modules of `checks`, to see later whether an answer changed or added one.
    """
    spaces = {name: vars(module) for name, module in list(sys.modules.items())
              if name.partition(".")[0] in WATCHED and isinstance(module, types.ModuleType)}
    spaces |= {check.function.__module__: check.function.__globals__ for check in checks.values()}
    spaces["puffer_min.course.answering"] = globals()       # the running one; it is not in sys.modules
    found = {}
    for name, space in spaces.items():
        for key, value in list(space.items()):
            if callable(value):
                found[name, key] = _identity(value)
            if isinstance(value, type) and value.__module__.startswith((*OURS, __name__)):
                found |= {(name, key, part): _identity(inner) for part, inner in list(vars(value).items())
                          if callable(inner) or hasattr(inner, "__get__")}
    return found


def _identity(value):
    return id(value), id(getattr(value, "__code__", None)), id(getattr(value, "__defaults__", None))


def described(error):
    """(name, text, place) of an exception; the place is the last line that is neither a library's nor the
    course's.
    """
    return type(error).__name__, str(error)[:2000], REGISTRY._place(error) if error.__traceback__ else ""


class Answering:
    """The shell that holds the answer, and the requests it serves."""

    def __init__(self):
        config = Config()
        config.HistoryManager.enabled = False
        self.shell = InteractiveShell.instance(config=config)
        self.checks, self.before, self.passed = {}, None, False

    def load(self, wanted, texts):
        self.checks = load(wanted, texts)
        return None

    def cell(self, source):
        """None, or the error of the cell."""
        result = self.shell.run_cell(source, store_history=False)
        error = result.error_before_exec or result.error_in_exec
        return described(error) if error else None

    def guard(self):
        """Remembers the functions as they are before the answer."""
        self.before = functions(self.checks)

    def names(self, names):
        """{name: (whether it can be called, its value where it cannot)} of those that there are, as bytes."""
        found = {name: self.shell.user_ns[name] for name in names if name in self.shell.user_ns}
        return pack({name: (callable(value), None if callable(value) else value)
                     for name, value in found.items()}, lenient=True)

    def call(self, name, args, kwargs):
        """{"result": …, "after": the arguments after the call} or {"error": …}, as bytes."""
        try:
            result = self.shell.user_ns[name](*args, **kwargs)
            return pack({"result": pack(result), "after": pack((args, kwargs), lenient=True)})
        except NotPlain as error:
            return pack({"error": ("CheckFailed", str(error), "")})
        except BaseException as error:
            return pack({"error": described(error)})

    def test(self, source, seed):
        """"passed" when the test cell passes; else {"error": …}."""
        error = self.changed()
        if error is None:
            REGISTRY._REGISTRY.update(self.checks)
            with REGISTRY.hidden_inputs(seed):
                error = self.cell(source) or self.changed()
        self.passed = not error
        return {"error": error} if error else "passed"

    def confirm(self, token):
        """The token, which did not exist while the answer ran."""
        return token if self.passed else ""

    def changed(self):
        """The error that the answer has changed a function that it was to leave alone, or None."""
        now = functions(self.checks)
        modules = {place[0] for place in self.before}
        added = [place for place in now if place not in self.before and place[0] in modules
                 and place[0].partition(".")[0] in OURS and (len(place) > 2 or hasattr(builtins, place[1]))]
        for place in [*(place for place in self.before if now.get(place) != self.before[place]), *added]:
            return "CheckFailed", f"the answer changes {'.'.join(place)}, which is not part of it", ""
        return None


def main():
    mode, seconds = os.environ.pop("ANSWER_LIMITS").split()
    requests, replies = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    nothing = os.open(os.devnull, os.O_RDWR)
    for descriptor in (0, 1, 2):
        os.dup2(nothing, descriptor)
    os.makedirs(os.environ["HOME"], exist_ok=True)
    os.chdir(os.environ["HOME"])
    limit(mode, float(seconds))
    serve(Answering(), requests, replies)


def serve(answering, requests, replies):
    """Serves requests until the judge closes the pipe."""
    while header := requests.read(8):
        name, *arguments = pickle.loads(requests.read(struct.unpack("<Q", header)[0]))
        reply = getattr(answering, name)(*arguments)
        data = reply if isinstance(reply, bytes) else pack(reply)
        replies.write(struct.pack("<Q", len(data)) + data)
        replies.flush()


if __name__ == "__main__":
    main()
