"""`build`: a Cython source to a module, in the running process, never stale.

    module = build("envs/squared.pyx")
    module = build('''
    def twice(int x):
        return 2 * x
    ''')

How it stays fresh
  * The module's name ends in a hash of everything it is made from: the source, the `.pxd` files it may
    cimport, the directives, the compiler's arguments, and the versions of Python, NumPy and Cython. An edited
    source is another module; no kernel restarts.
  * The shared object is kept under that hash in a cache folder (PUFFER_CACHE, else the user's), so that the
    same source costs nothing the second time, in this process or another one.
  * A second `build` of the same source loads a copy: the module's body runs again and shares nothing with the
    first.
  * Files appear in the cache complete or not at all (written aside, then renamed), so several processes may
    build at once.
"""

from __future__ import annotations

import contextlib
import hashlib
import inspect
import json
import os
import re
import sys
import sysconfig
import time
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType

import numpy as np

from envs.core import compile_settings
from envs.core.freshness import require_fresh
from puffer_min import measure
from puffer_min.course.compiler import cache_folder, compile_c, load, processor, write_whole
from puffer_min.course.translate import read_text, source_bytes, translate
from puffer_min.course.views import shared_views


@dataclass(frozen=True)
class Build:
    """How a module was made; `module.__build__` of every module from `build`.

    path        the copy of the source that tracebacks and profiles name; it never changes
    folder      where `.pxd` files beside the source are looked for
    profile     the profiler's hook is compiled in: speeds of this module are not speeds
    linetrace   the line profiler's hook too
    cached      the shared object was there already
    seconds     what `build` took
    """

    name: str
    source: str
    path: Path
    folder: Path
    debug: bool
    profile: bool
    linetrace: bool
    directives: dict = field(hash=False)
    functions: dict[int, str] = field(hash=False)       # line of the signature -> "f" or "Class.method"
    released: frozenset[str]                            # those of them that run with the GIL released
    cached: bool
    seconds: float

    @property
    def label(self) -> str:
        """`release`, `debug`, and `profiled` where the hook is in."""
        return ("debug" if self.debug else "release") + (", profiled" if self.profile else "")


def build(source, *, name: str | None = None, debug: bool | None = None, directives: dict | None = None,
          profile: bool = False,
          linetrace: bool = False, compile_args=(), link_args=(), progress: bool = False) -> ModuleType:
    """Compile Cython and return the module; `annotate(module)` draws which of its lines touch Python.

    source      a path (`Path`, or a string that ends in .pyx or .py; taken from the working directory or the
                project's root) or the text of a source (a string with a line break).
    name        the stem of the module's name; default: the file's, or `cell`.
    debug       the debug build (bounds, wraparound, None and overflow checks); default: as PUFFER_DEBUG says.
    directives  Cython directives on top of the project's, e.g. `{"boundscheck": True}`.
    profile     compile cProfile's hook into every function (`profile_calls` needs it);
                `@cython.profile(False)` leaves one out.
    linetrace   compile the line hook too (`profile_lines` needs it).
    compile_args, link_args     more arguments for the C compiler and the linker, e.g. `["-fopenmp"]`.
    progress    say in one line that the compiler runs, where it has to.

    Raises CompileError (one sentence and the place) if Cython or the C compiler refuses, FileNotFoundError or
    ValueError for a source that is none.
    """
    # IPython leaves these frames out of tracebacks
    __tracebackhide__ = True
    began = time.perf_counter()
    text, given, stem = read_source(source, name)
    debug = compile_settings.is_debug() if debug is None else debug
    directives = settings(debug, directives, profile, linetrace)
    arguments = _arguments(debug, profile or linetrace, compile_args)
    links = [*compile_settings.link_args(), *link_args]
    if "envs.core.native" in text:
        require_fresh("envs.core.native")
    module_name = f"{stem}_{_key(text, stem, given, directives, arguments, links)}"
    views = shared_views() if "[:" in text and not (profile or linetrace
                                                    or compile_settings.is_sanitized()) else None
    path, library = _places(module_name, stem, given)
    cached = library.exists()
    if not cached:
        if progress:
            print(f"compiling {stem} …", file=sys.stderr)
        write_whole(path, source_bytes(text))
        includes = [f"-I{given.parent}"] if given else []
        translation = translate(text, path, module_name, directives, _folder(given), views)
        places = {function.first: (name, function.nogil) for name, function in translation.functions.items()}
        write_whole(path.with_suffix(".json"), json.dumps(places).encode())
        compile_c(translation.c_code, module_name, library, [*includes, *arguments], links)
    places = json.loads(path.with_suffix(".json").read_text())
    functions = {int(line): name for line, (name, _) in places.items()}
    # the base steps its environments without the GIL
    releases = "with nogil" in text or "envs.core.native" in text
    released = frozenset(name for name, nogil in places.values() if nogil and releases)
    made = Build(module_name, text, path, _folder(given) or path.parent, debug, profile or linetrace,
                 linetrace, directives, functions, released, cached, time.perf_counter() - began)
    return load(module_name, library, made)


def made_by(thing) -> Build | None:
    """The Build of a module, function, class or object that `build` made, None for any other."""
    name = (thing.__name__ if isinstance(thing, ModuleType) else getattr(thing, "__module__", None)
            or type(thing).__module__)
    return getattr(sys.modules.get(name), "__build__", None) if isinstance(name, str) else None


def modules_of(thing) -> list[ModuleType]:
    """The modules that `thing` comes from: of an object and its class, of what it wraps, of what a function's
    code names.
    """
    seen = [thing, *(getattr(thing, name, None) for name in ("func", "__self__", "batch", "env"))]
    if inspect.isfunction(thing):
        # a variable of an enclosing function that is not set yet
        with contextlib.suppress(ValueError):
            variables = inspect.getclosurevars(thing)
            seen += [*variables.nonlocals.values(), *variables.globals.values()]
    names = {item.__name__ if isinstance(item, ModuleType) else getattr(item, "__module__", None)
             or type(item).__module__
             for item in seen}
    names |= {type(item).__module__ for item in seen}
    return [sys.modules[name] for name in names if isinstance(name, str) and name in sys.modules]


def builds_of(thing) -> list[Build]:
    """The Builds of all modules that `thing` comes from."""
    return [module.__build__ for module in modules_of(thing) if hasattr(module, "__build__")]


def profiled_and_debug(thing) -> tuple[bool, bool]:
    """For `measure`: whether a profiler's hook, and whether checks are compiled into something that `thing`
    comes from.
    """
    builds = builds_of(thing)
    return any(made.profile for made in builds), any(made.debug for made in builds)


measure.INSPECTORS.append(profiled_and_debug)


def read_source(source, name: str | None = None) -> tuple[str, Path | None, str]:
    """Text, path (None for a text given as such) and stem of what a caller calls a source."""
    if isinstance(source, str) and "\n" in source:
        return source, None, _stem(name or "cell")
    if not isinstance(source, (str, Path)) or Path(source).suffix not in (".pyx", ".py"):
        raise ValueError(f"source: given {source!r}, expected a path that ends in .pyx or .py, or the text "
                         "of a source (several lines)")
    for path in (Path(source), compile_settings.ROOT / source):
        if path.is_file():
            return read_text(path), path.resolve(), _stem(name or path.stem)
    raise FileNotFoundError(f"source: no file {str(source)!r} in {Path.cwd()} nor in the project's folder "
                            f"{compile_settings.ROOT}")


def settings(debug: bool, directives: dict | None, profile: bool, linetrace: bool) -> dict:
    """The directives of a build: the project's, then those of profiling, then the caller's."""
    hooks = {"profile": True} if profile or linetrace else {}
    return (compile_settings.directives(debug) | hooks | ({"linetrace": True} if linetrace else {})
            | (directives or {}))


# ---------------------------------------------------------------------- names and arguments

def _stem(name: str) -> str:
    stem = re.sub(r"\W", "_", name)
    return f"_{stem}" if stem[:1].isdigit() else stem


def _folder(path: Path | None) -> Path | None:
    return path.parent if path else None


def _places(module_name: str, stem: str, given: Path | None) -> tuple[Path, Path]:
    """Where the copy of the source and the shared object are kept."""
    folder = cache_folder() / module_name
    folder.mkdir(exist_ok=True)
    return folder / f"{stem}{given.suffix if given else '.pyx'}", folder / f"{module_name}.so"


def _arguments(debug: bool, hooks: bool, more) -> list[str]:
    """Arguments for the C compiler."""
    tracing = ["-DCYTHON_TRACE_NOGIL=1", "-DCYTHON_TRACE=1"] if hooks else []
    return [*compile_settings.compile_args(debug), *tracing, *more]


def _key(text: str, stem: str, given: Path | None, directives: dict, arguments: list[str],
         links: list[str]) -> str:
    """Hash of everything the module is made from."""
    import Cython

    tool = [Path(__file__).with_name(f"{name}.py") for name in ("build", "compiler", "translate", "views")]
    # a .pxd of the same name belongs to the source
    own = f"\ncimport {given.stem}" if given else ""
    files = [*tool, *_read_by(text + own,
                              [folder for folder in (_folder(given), compile_settings.ROOT) if folder])]
    facts = [text, stem, str(given), sorted(directives.items()), arguments, links, Cython.__version__,
             np.__version__,
             sysconfig.get_config_var("EXT_SUFFIX"),
             [os.environ.get(name) for name in ("CC", "CFLAGS", "LDFLAGS")], processor(),
             [(str(file), hashlib.sha256(file.read_bytes()).hexdigest()) for file in files]]
    return hashlib.sha256(json.dumps(facts, default=str).encode()).hexdigest()[:12]


_READS = re.compile(r"""^[ \t]*(?:from\s+\.*([\w.]*)\s+cimport\s+([^\n]*)|cimport\s+([^\n]*)
                        |(?:include|cdef\s+extern\s+from)\s+["']([^"'\n]+)["'])""", re.M | re.X)


def _read_by(text: str, folders: list[Path]) -> list[Path]:
    """The `.pxd`, included and C files in `folders` that a source reads, directly or not; sorted."""
    found: set[Path] = set()

    def follow(text):
        for package, members, modules, file in _READS.findall(text):
            dotted = [package, *(f"{package}.{name}".strip(".")
                                 for name in re.findall(r"\w+", members)), *re.findall(r"[\w.]+", modules)]
            names = [file] if file else [name.replace(".", "/") + ".pxd" for name in dotted if name]
            for path in (folder / name for folder in folders for name in names):
                if path.is_file() and path not in found:
                    found.add(path)
                    follow(path.read_text(encoding="utf-8", errors="replace"))

    follow(text)
    return sorted(found)
