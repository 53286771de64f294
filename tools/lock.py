"""Writes requirements.lock: the exact versions in .venv of everything that pyproject.toml names, and of
everything that they need.

    make lock                                         after `pip install` of a newer version into .venv

Every supported platform is walked, not only this one: a package that another platform needs besides carries a
marker. A package of which this machine has no copy keeps the version it has in the file. PyTorch's own GPU
libraries are left to PyTorch, which pins them itself, so that any build of it serves, CPU or CUDA.
"""

import re
import sys
import tomllib
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

ROOT = Path(__file__).resolve().parents[1]
LOCK = ROOT / "requirements.lock"
HEADER = (
    "# The exact versions that the tests ran with, for Linux and macOS, Python 3.11 to 3.13. "
    "Written by `make lock` from .venv.\n"
    "# The set is complete: nothing is installed that is not named here, but for the GPU libraries that "
    "a CUDA build of PyTorch brings along.\n")
PYTHONS = ("3.11", "3.12", "3.13")
PLATFORMS = {
    'sys_platform == "linux"':
        {"sys_platform": "linux", "platform_system": "Linux", "os_name": "posix",
         "platform_machine": "x86_64"},
    'sys_platform == "darwin"':
        {"sys_platform": "darwin", "platform_system": "Darwin", "os_name": "posix",
         "platform_machine": "arm64"},
}
BY_HAND = {"benchmarks"}
OF_TORCH = re.compile(r"nvidia-|cuda-|triton")


def targets() -> list[tuple[str, dict[str, str]]]:
    """(marker of the platform, variables of PEP 508 markers) of every supported platform and Python."""
    common = {"implementation_name": "cpython", "platform_python_implementation": "CPython",
              "platform_release": "", "platform_version": ""}
    releases = [(python, f"{python}.9") for python in PYTHONS]
    pythons = [{"python_version": python, "python_full_version": full, "implementation_version": full}
               for python, full in releases]
    return [(marker, {**common, **platform, **python}) for marker, platform in PLATFORMS.items()
            for python in pythons]


def declared() -> dict[str, list[Requirement]]:
    """Requirements in pyproject.toml by group, `build`, `dependencies` and each extra, but for those that are
    installed by hand.
    """
    document = tomllib.loads((ROOT / "pyproject.toml").read_text())
    groups = {"build": document["build-system"]["requires"],
              "dependencies": document["project"]["dependencies"],
              **document["project"]["optional-dependencies"]}
    return {group: [Requirement(text) for text in texts] for group, texts in groups.items()
            if group not in BY_HAND}


def closure(variables: dict[str, str]) -> set[str]:
    """Canonical names of all that the declared requirements need where markers evaluate with `variables`."""
    found: dict[str, set[str]] = {}
    waiting = [requirement for group in declared().values() for requirement in group]
    while waiting:
        requirement = waiting.pop()
        name, extras = canonicalize_name(requirement.name), {"", *requirement.extras}
        if OF_TORCH.match(name) or extras <= found.get(name, set()):
            continue
        found.setdefault(name, set()).update(extras)
        try:
            needs = [Requirement(text) for text in distribution(name).requires or []]
        # another platform's: a leaf, as far as this machine can see
        except PackageNotFoundError:
            continue
        for need in needs:
            if need.marker is None or any(need.marker.evaluate({**variables, "extra": extra})
                                          for extra in extras):
                waiting.append(need)
    return set(found)


def locked() -> dict[str, str]:
    """Version in requirements.lock by canonical name."""
    lines = LOCK.read_text().splitlines() if LOCK.exists() else []
    pins = [Requirement(line) for line in lines if line and not line.startswith("#")]
    return {canonicalize_name(pin.name): str(pin.specifier).removeprefix("==") for pin in pins}


def lock() -> str:
    """The text of requirements.lock. Raises SystemExit for a package that is neither installed nor pinned."""
    needed: dict[str, set[str]] = {}
    for marker, variables in targets():
        for name in closure(variables):
            needed.setdefault(name, set()).add(marker)
    lines, before = [], locked()
    for name, markers in sorted(needed.items()):
        try:
            # torch 2.13.0+cpu is a build of 2.13.0
            version = Version(distribution(name).version).public
        except PackageNotFoundError:
            if name not in before:
                sys.exit(f"{name} is needed where {' and '.join(markers)} and is not installed here: "
                         f"add a line `{name}==VERSION` to requirements.lock.")
            version = before[name]
        lines.append(f"{name}=={version}" + ("" if len(markers) == len(PLATFORMS) else f" ; {min(markers)}"))
    return HEADER + "\n".join(lines) + "\n"


if __name__ == "__main__":
    LOCK.write_text(lock())
    print(f"Wrote {len(locked())} versions to {LOCK.name}.")
