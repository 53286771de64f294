"""Copies of the compiled sources in which one of them is changed: how a test puts a mistake in and sees what notices it.

A copy holds `envs` and `tests` and links to the extensions that are built already, so that only the changed source is compiled, and
that without optimisation: it takes a tenth of the time. Compiler and tests run in processes that are forked from one in which their
libraries are loaded already, which takes half of what remains. Each copy has a folder of its own; several may be made at once.
"""

import contextlib
import multiprocessing
import os
import runpy
import shutil
import signal
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
SANITIZE = {"PUFFER_DEBUG": "1", "PUFFER_SANITIZE": "1"}
LIMIT = 120                     # seconds a test; most take a few, and one whose copy overran its memory may never come back
LOADED = multiprocessing.get_context("forkserver")
LOADED.set_forkserver_preload(["Cython.Build", "setuptools", "numpy", "gymnasium", "hypothesis", "pytest"])


def copy_with(folder: Path, source: str, old: str = "", new: str = "", build: dict | None = None) -> Path:
    """Make `folder` a copy in which the text `old` of `source` is `new`, and compile what it changes.

    source   path below the root: a `.pyx`, or the `.pxd` of one. Raises ValueError where `old` is not there exactly once.
    build    environment variables that name the build; None for release. The rest of that build must be there.
    """
    text = (ROOT / source).read_text()
    if old and text.count(old) != 1:
        raise ValueError(f"{old!r} is {text.count(old)} times in {source}, expected once")
    module = Path(source).with_suffix("")
    while not (ROOT / module).with_suffix(".pyx").exists():     # moba_world.pxd is a part of moba.pyx
        module = module.with_name(module.name.rpartition("_")[0])
    for part in ("envs", "tests"):
        shutil.copytree(ROOT / part, folder / part, ignore=shutil.ignore_patterns("__pycache__", "browser", "*.so"))
    shutil.copy(ROOT / "setup.py", folder)
    built = Path("build/sanitize") if build else Path()
    for extension in (ROOT / built / "envs").rglob("*.so"):
        link = folder / extension.relative_to(ROOT)
        if link.relative_to(folder / built).parent / link.name.partition(".")[0] != module:
            link.parent.mkdir(parents=True, exist_ok=True)
            link.symlink_to(extension)
    (folder / source).write_text(text.replace(old, new) if old else text)
    settings = folder / "envs/core/compile_settings.py"
    settings.write_text(settings.read_text().replace('"-O3"', '"-O0"').replace('"-O1"', '"-O0"'))
    options = ["-q", "build_ext", *([] if build else ["--inplace"])]
    run = run_loaded(folder, compile_sources, options, variables=(build or {}) | {"PUFFER_ONLY": f"{module}.pyx"})
    if run.returncode:
        raise RuntimeError(f"{source} with {new!r} does not compile: {run.stdout[-3000:]}")
    return folder


def run_in(folder: Path, command: list[str], variables: dict | None = None, limit: float | None = None) -> subprocess.CompletedProcess:
    """Run a command in a copy, which is imported before the original.

    limit    seconds after which the command and what it started are killed, and the status is -9; None waits for ever.
    """
    environment = {**os.environ, **(variables or {}), "PYTHONPATH": str(folder)}
    with subprocess.Popen(command, cwd=folder, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                          start_new_session=True) as process:
        try:
            out, err = process.communicate(timeout=limit)
        except BaseException as error:              # the caller's own end, too: nothing is left running
            os.killpg(process.pid, signal.SIGKILL)
            if not isinstance(error, subprocess.TimeoutExpired):
                raise
            out, err = process.communicate()
    return subprocess.CompletedProcess(command, process.returncode, out, err)


def run_tests(folder: Path, *tests: str) -> subprocess.CompletedProcess:
    """Run tests, named as pytest names them, in a copy; status -9 where they hang, and all they said in `stdout`."""
    options = ["-q", "-c", os.devnull, "--rootdir", str(folder), "-p", "no:cacheprovider", "-p", "no:nbval", "-p", "no:xdist"]
    return run_loaded(folder, test_sources, [*options, *tests], limit=LIMIT * len(tests))


def compile_sources(options: list[str]):
    sys.argv = ["setup.py", *options]
    runpy.run_path("setup.py", run_name="__main__")


def test_sources(options: list[str]):
    import pytest

    sys.exit(pytest.main(options))


test_sources.__test__ = False


def run_loaded(folder: Path, work, *arguments, variables: dict | None = None,
               limit: float | None = None) -> subprocess.CompletedProcess:
    """Call `work(*arguments)` in a copy, as `run_in` runs a command, in a fork of a process that has loaded the libraries."""
    said = folder / "said.txt"
    process = LOADED.Process(target=begin, args=(folder, said, variables or {}, work, arguments))
    process.start()
    try:
        process.join(limit)
    finally:
        if process.is_alive():
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.join()
    return subprocess.CompletedProcess(work.__name__, process.exitcode, said.read_text(errors="replace"), "")


def begin(folder: Path, said: Path, variables: dict, work, arguments):
    """What the forked process does: it becomes one that was started in the copy, and calls `work`."""
    os.setsid()
    with said.open("wb") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    os.chdir(folder)
    os.environ.update(variables | {"PYTHONPATH": str(folder)})
    own = {"", *(str(ROOT / part) for part in ("", "tests", "tools"))}
    sys.path[:] = [str(folder), *(place for place in sys.path if place not in own)]
    work(*arguments)
