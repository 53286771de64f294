"""How Cython sources are compiled; setup.py, `puffer_min.course.build` and the tests all read it here.

Two builds come from one source. *release* removes every check; *debug* (PUFFER_DEBUG=1) puts them back:
bounds, wraparound and overflow checks, and the `require(...)` assertions of `native.pxd`. None checks stay
off: code that runs without the GIL holds no object but `self`, which is never None, and with them on Cython
refuses `self.rows.rewards[i] += 1` there. `cdivision` is on in both, because it changes results and not only
checks. Floating-point contraction is off in both, so that a trajectory is the same to the last bit in either
build and on any machine.

PUFFER_SANITIZE=1 (with PUFFER_DEBUG=1) adds AddressSanitizer and UBSan; PUFFER_MARCH=x86-64-v2 (or another
name the compiler knows) replaces the default `native` when the build must run on other machines than the one
that compiles it.
"""

import hashlib
import importlib.util
import os
import platform
import sys
import sysconfig
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]

RELEASE = {
    "language_level": 3,
    "boundscheck": False,
    "wraparound": False,
    "initializedcheck": False,
    "nonecheck": False,
    "overflowcheck": False,
    "cdivision": True,
}
DEBUG = RELEASE | {
    "boundscheck": True,
    "wraparound": True,
    "initializedcheck": True,
    "overflowcheck": True,
}


def is_debug() -> bool:
    """Whether this process builds or loads the debug build (PUFFER_DEBUG=1)."""
    return os.environ.get("PUFFER_DEBUG", "") not in ("", "0")


def is_sanitized() -> bool:
    """Whether the build carries AddressSanitizer and UBSan (PUFFER_SANITIZE=1)."""
    return os.environ.get("PUFFER_SANITIZE", "") not in ("", "0")


def build_name() -> str:
    """`release`, `debug` or `sanitize`: the folder under build/ and the name of the manifest."""
    if is_sanitized():
        return "sanitize"
    return "debug" if is_debug() else "release"


def directives(debug: bool | None = None) -> dict:
    """Cython compiler directives of the build; `debug=None` asks the environment variable."""
    return dict(DEBUG if (is_debug() if debug is None else debug) else RELEASE)


def compile_args(debug: bool | None = None) -> list[str]:
    """Arguments for the C compiler. They belong to the Extension, not to the command line of build_ext."""
    debug = is_debug() if debug is None else debug
    shared = ["-ffp-contract=off", "-fno-math-errno", "-Wno-unused-function",
              "-DNPY_NO_DEPRECATED_API=NPY_2_0_API_VERSION"]
    if not debug:
        return ["-O3", "-g0", *_processor(), *shared]       # -g0: Python's flags ask for -g
    checks = ["-O1", "-g1", "-fno-omit-frame-pointer", "-DPUFFER_DEBUG=1"]
    return checks + shared + (_sanitizers() if is_sanitized() else [])


def link_args() -> list[str]:
    """Arguments for the linker."""
    return _sanitizers() if is_sanitized() else []


def openmp_args(source) -> list[str]:
    """Flags of compiler and linker for a source that uses `prange`; none except on Linux: loops are serial.

    Only those sources: libgomp reads its settings when it is loaded, and an environment must not load it
    before torch does.
    """
    parallel = sys.platform == "linux" and "cython.parallel" in (ROOT / source).read_text()
    return ["-fopenmp"] if parallel else []


def sources() -> list[Path]:
    """Every `.pyx` of the project, relative to ROOT: the folders are the list."""
    paths = [path for folder in ("envs", "puffer_min") for path in (ROOT / folder).rglob("*.pyx")]
    return sorted(path.relative_to(ROOT) for path in paths)


class BuildFinder:
    """Finds the extensions of a build that is not the release: `build/debug/envs/snake.so`, for instance."""

    @staticmethod
    def find_spec(name, path=None, target=None):
        """The spec of extension `name` in this process's build, or None: Python then looks elsewhere."""
        if not name.startswith(("envs.", "puffer_min.")):
            return None
        suffix = sysconfig.get_config_var("EXT_SUFFIX")
        file = ROOT / "build" / build_name() / (name.replace(".", "/") + suffix)
        return importlib.util.spec_from_file_location(name, file) if file.exists() else None


def source_hash(module: str) -> str:
    """Hash of what an extension is compiled from: its own `.pyx` and `.pxd`, its parts `NAME_*.pxd` (in
    `puffer_min`: every `.pxd` beside it), and the `.pxd` files of the base.

    `setup.py` writes them to `.manifest-<build>.json`, and a module whose hash has changed is refused when it
    is used. Hashes, not time stamps: a checkout, a copy or an unpacked wheel changes the times and not the
    sources.
    """
    source = ROOT / (module.replace(".", "/") + ".pyx")
    parts = source.parent.glob(f"{source.stem}_*.pxd" if module.startswith("envs.") else "*.pxd")
    files = {source, *(ROOT / "envs" / "core").glob("*.pxd"), *parts}
    files |= {path for path in [source.with_suffix(".pxd")] if path.exists()}
    digest = hashlib.sha256()
    for file in sorted(files):
        digest.update(file.name.encode() + b"\0" + file.read_bytes() + b"\0")
    return digest.hexdigest()[:16]


def manifest_path() -> Path:
    """Where the hashes of the build in use are kept."""
    return ROOT / "envs" / f".manifest-{build_name()}.json"


def _processor() -> list[str]:
    """The flags that name the processor. Tuning stays general, because `native` tunes for the processor that
    the compiler recognises, gcc 12 mistakes a Zen 4 for a Zen 3, and general tuning was not slower there."""
    name = os.environ.get("PUFFER_MARCH", "native")
    if platform.machine() in ("x86_64", "AMD64"):
        return [f"-march={name}", "-mtune=generic"]
    return [f"-mcpu={name}"]


def _sanitizers() -> list[str]:
    return ["-fsanitize=address,undefined", "-fno-sanitize-recover=undefined"]


imported = __name__ == "envs.core.compile_settings"             # not run by setup.py
if build_name() != "release" and BuildFinder not in sys.meta_path and imported:
    sys.meta_path.insert(0, BuildFinder)
