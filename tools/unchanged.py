"""Leaves out an expensive check while everything it depends on is what it was when the check last passed.

    @pytest.mark.costly("envs/**/*", "tests/adversary.py")
    @pytest.mark.costly(inputs=lambda parameters: [f"envs/{parameters['name']}.pyx"])

Such a check is deterministic: a second run on the same inputs says nothing new. Its inputs are the files that
the patterns (glob patterns from the repository's root) or the function of the test's parameters name, the
test's own file, requirements.lock, Python, the C compiler, the machine's architecture and the variables
PUFFER_*. Their hash is kept in .pytest_cache when the check passes. The end of each run says what was left
out; `--all` leaves out nothing.
"""

import collections
import contextlib
import functools
import hashlib
import os
import platform
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
ROOMS = sorted(path.name for path in (ROOT / "puffer_min").iterdir() if path.is_dir()
               and path.name[0] not in "._")
# its files
LIBRARY = ["envs/**/*", "puffer_min/*", *(f"puffer_min/{room}/**/*" for room in ROOMS if room != "course")]
BUILT = {".so", ".pyc", ".c", ".html"}          # made from the sources, which are hashed themselves
LEFT_OUT = pytest.StashKey[collections.Counter]()           # tests left out, by their files


@functools.cache
def content(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


@functools.cache
def surroundings(root: Path) -> str:
    """Hash of what every check depends on besides the sources under `root`."""
    compiler = shlex.split(os.environ.get("CC", "cc"))[0]
    try:
        said = subprocess.run([compiler, "--version"], capture_output=True, text=True).stdout
    except OSError:
        said = "none"
    variables = sorted((name, value) for name, value in os.environ.items() if name.startswith("PUFFER_"))
    facts = [content(root / "requirements.lock"), sys.version, platform.machine(), said, variables]
    return hashlib.sha256(repr(facts).encode()).hexdigest()


def place(item) -> str:
    """Path of a test's file from the root."""
    return item.path.relative_to(item.config.rootpath).as_posix()


def identity(item) -> str:
    """Name of a test that is the same whether or not xdist put it in a group."""
    return f"{place(item)}::{item.name}"


def key(item) -> str:
    """Hash of the test's name and of all that its result depends on. Raises ValueError for a pattern without
    files.
    """
    root, patterns = item.config.rootpath, [place(item)]
    for mark in item.iter_markers("costly"):
        patterns += mark.args
        if "inputs" in mark.kwargs:
            patterns += mark.kwargs["inputs"](item.callspec.params)
    files = set()
    for pattern in patterns:
        found = [path for path in root.glob(pattern) if path.is_file() and path.suffix not in BUILT]
        if not found:
            raise ValueError(f"{identity(item)} is marked costly with {pattern!r}, which names no file")
        files.update(found)
    facts = [identity(item), surroundings(root),
             [(str(path.relative_to(root)), content(path)) for path in sorted(files)]]
    return hashlib.sha256(repr(facts).encode()).hexdigest()


def is_costly(item) -> bool:
    """Whether a test carries the marker, in a session that can keep records."""
    return item.get_closest_marker("costly") is not None and hasattr(item.config, "cache")


def record(item) -> Path:
    """The file that holds the key with which a test last passed."""
    return item.config.cache.mkdir("passed") / hashlib.sha256(identity(item).encode()).hexdigest()[:24]


def passed(config) -> dict[str, str]:
    """Keys of all tests that have passed, by the names of their records."""
    if not hasattr(config, "cache"):
        return {}
    return {path.name: path.read_text() for path in config.cache.mkdir("passed").iterdir()}


def pytest_addoption(parser):
    parser.addoption("--all", action="store_true",
                     help="leave out no check, not even one whose inputs are unchanged")


def pytest_configure(config):
    config.addinivalue_line("markers",
                            "costly(*patterns, inputs): left out while its inputs are those of its last "
                            "success")
    config.stash[LEFT_OUT] = collections.Counter()


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node):
    """Every worker leaves out the same tests, also one that replaces a worker in the middle of the run."""
    node.workerinput["passed"] = passed(node.config)


@pytest.hookimpl(trylast=True)                  # after -m and -k
def pytest_collection_modifyitems(config, items):
    """Deselect the costly tests whose inputs are unchanged."""
    before = config.workerinput["passed"] if hasattr(config, "workerinput") else passed(config)
    left_out = []
    for item in [item for item in items if is_costly(item)]:
        with contextlib.suppress(ValueError):               # which fails the test, when it runs
            if before.get(record(item).name) == key(item) and not config.getoption("--all"):
                left_out.append(item)
    if left_out:
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if item not in set(left_out)]
        config.stash[LEFT_OUT].update(map(place, left_out))


def pytest_runtest_setup(item):
    if is_costly(item):
        key(item)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item, call):
    report = yield
    if report.when == "call" and report.passed and is_costly(item):
        record(item).write_text(key(item))
    return report


def pytest_sessionfinish(session):
    if hasattr(session.config, "workeroutput"):
        session.config.workeroutput["left_out"] = dict(session.config.stash[LEFT_OUT])
    elif session.exitstatus == pytest.ExitCode.NO_TESTS_COLLECTED and session.config.stash[LEFT_OUT]:
        session.exitstatus = pytest.ExitCode.OK


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node):
    """What was left out is the same in every worker."""
    node.config.stash[LEFT_OUT] |= collections.Counter(getattr(node, "workeroutput", {}).get("left_out", {}))


def pytest_terminal_summary(terminalreporter, config):
    for file, count in sorted(config.stash[LEFT_OUT].items()):
        terminalreporter.write_line(f"{file}: {count} costly checks left out, unchanged since they passed")
    if config.stash[LEFT_OUT]:
        terminalreporter.write_line("`make test-long ARGS=--all` runs them.")
