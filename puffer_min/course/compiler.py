"""C in, module out: the second half of a build, and the folder where the results are kept.

The compiler is called as Python's own build calls it (`sysconfig`), with its words kept for the error. A
shared object appears in the cache complete or not at all, and from the second time on a copy of it is loaded,
because the system maps one file only once.
"""

from __future__ import annotations

import functools
import importlib.util
import os
import platform
import re
import shlex
import shutil
import subprocess
import sys
import sysconfig
import tempfile
import time
from importlib.machinery import ExtensionFileLoader
from pathlib import Path
from types import ModuleType

import numpy as np

from puffer_min.commands.new.compiled import cache_folder
from puffer_min.course.translate import CompileError

_LOADED: set[str] = set()                   # modules whose cached file this process has mapped already


def prune(days: float = 30) -> int:
    """Delete built modules that nothing has used for `days` days; returns how many."""
    old = [folder for folder in cache_folder().iterdir() if folder.is_dir()
           and folder.stat().st_mtime < time.time() - days * 86400]
    for folder in old:
        shutil.rmtree(folder, ignore_errors=True)
    return len(old)


def write_whole(path: Path, content: bytes) -> None:
    """Write a file that other processes see complete or not at all."""
    handle, aside = tempfile.mkstemp(dir=path.parent, prefix=".")
    with os.fdopen(handle, "wb") as file:
        file.write(content)
    os.replace(aside, path)


@functools.cache
def processor() -> str:
    """What -march=native depends on: a home folder may be shared by unlike machines."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return ("\n".join(sorted({line for line in lines
                                  if line.startswith(("model name", "flags", "Features", "CPU part"))})))
    except OSError:
        return f"{platform.machine()} {platform.processor()}"


def compile_c(c_code: str, module_name: str, library: Path, arguments: list[str], links: list[str]) -> None:
    """Compile the C with the compiler Python was built with (or CC); `library` appears at the end, complete.
    """
    with tempfile.TemporaryDirectory(dir=library.parent, prefix=".work-") as work:
        c_file, made = Path(work) / f"{module_name}.c", Path(work) / library.name
        c_file.write_text(c_code, encoding="utf-8")
        includes = {sysconfig.get_path("include"), sysconfig.get_path("platinclude"), np.get_include()}
        command = [*_compiler(), *(f"-I{folder}" for folder in sorted(includes)), *arguments, str(c_file),
                   "-o", str(made), *links]
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode:
            raise CompileError(_refusal(done.stderr, done.returncode))
        os.replace(made, library)


def _compiler() -> list[str]:
    """The command that makes a shared object for this Python, as Python's own build says it."""
    command = shlex.split(sysconfig.get_config_var("LDSHARED") or "cc -shared")
    there = [name for name in (command[0], "cc", "gcc", "clang") if shutil.which(name)]
    named = shlex.split(os.environ.get("CC", "")) or (there or command)[:1]
    if not shutil.which(named[0]):
        raise CompileError(f"there is no C compiler {named[0]!r} on this machine: install one "
                           "(Debian, Ubuntu: apt-get install gcc; macOS: xcode-select --install; conda: "
                           "conda install c-compiler)")
    flags = [word for name in ("CFLAGS", "CCSHARED")
             for word in shlex.split(sysconfig.get_config_var(name) or "")]
    own = [word for name in ("CFLAGS", "LDFLAGS") for word in shlex.split(os.environ.get(name, ""))]
    words = [*named, *command[1:], *flags, *own]
    foreign = {i for i, word in enumerate(words) if word == "-arch"
               and words[i + 1:i + 2] != [platform.machine()]}
    # a universal Python: this half only
    return [word for i, word in enumerate(words) if i not in foreign and i - 1 not in foreign]


def _refusal(words: str, status: int) -> str:
    """What the compiler said, as one sentence and its first lines."""
    if "Python.h" in words:
        return ("the C compiler finds no Python.h: install Python's headers (Debian, Ubuntu: apt-get install "
                "python3-dev)")
    lines = words.splitlines()
    first = next((i for i, line in enumerate(lines) if "error" in line), 0)
    sentence = (re.sub(r"^\S*?:(\d+):\d+: (fatal )?error: ", r"line \1 of it: ", lines[first]) if lines
                else f"it ended with status {status}")
    return (f"the C compiler refused the C that Cython wrote; {sentence}\n"
            + "\n".join(lines[first:first + 12]))


def load(module_name: str, library: Path, made=None) -> ModuleType:
    """Load the shared object; from the second time on a copy of it, so that the module's body runs afresh.

    made    becomes `module.__build__`, before the module's body runs
    """
    __tracebackhide__ = True
    os.utime(library.parent)                                    # in use: `prune` leaves it
    copies = None
    if module_name in _LOADED:
        copies = tempfile.mkdtemp(prefix="build-")
        library = Path(shutil.copy(library, copies))
    _LOADED.add(module_name)
    before = sys.modules.get(module_name)
    try:
        loader = ExtensionFileLoader(module_name, str(library))
        module = importlib.util.module_from_spec(importlib.util.spec_from_loader(module_name, loader))
        module.__build__ = made
        # a class of the module is pickled by this name
        sys.modules[module_name] = module
        loader.exec_module(module)
        return module
    except BaseException:
        if before is None:
            sys.modules.pop(module_name, None)
        else:
            sys.modules[module_name] = before
        raise
    finally:
        if copies:
            # mapped already; the name is not needed any more
            shutil.rmtree(copies, ignore_errors=True)
