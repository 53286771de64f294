"""`load_compiled`: the environment of a `.pyx` file of one's own, compiled where that is needed.

    environment = load_compiled("my_env.pyx")       a native class, as envs.load gives it

The module is kept in the cache folder under a hash of all that it is made from: the source, the `.pxd` files
of the native base and of its own folder, directives, arguments, and the versions of Python, NumPy and Cython.
An edited source is another module; an unchanged one costs a look at a few files. PUFFER_DEBUG=1 compiles and
loads the debug build, as for the environments of the project.
"""

import hashlib
import importlib.metadata
import importlib.util
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from pathlib import Path

import numpy as np

import envs
from envs.core import compile_settings
from envs.core.freshness import require_fresh

MAKE = """
import json, sys
from Cython.Build import cythonize
from setuptools import Extension, setup
given = json.loads(sys.argv.pop())
extension = Extension(given["name"], [given["source"]], include_dirs=given["includes"],
                      extra_compile_args=given["compile"], extra_link_args=given["link"])
modules = cythonize([extension], include_path=given["cimports"], compiler_directives=given["directives"])
setup(name=given["name"], script_args=["build_ext", "--inplace"], ext_modules=modules)
"""


def cache_folder() -> Path:
    """Where built modules are kept: PUFFER_CACHE, else the user's cache folder, else a private folder for
    temporary files.
    """
    if os.environ.get("PUFFER_CACHE"):
        candidates = [Path(os.environ["PUFFER_CACHE"])]
    else:
        home = Path.home() / ("Library/Caches" if sys.platform == "darwin" else ".cache")
        candidates = [Path(os.environ.get("XDG_CACHE_HOME") or home) / "ten-levels" / "build",
                      Path(tempfile.gettempdir()) / f"ten-levels-{os.getuid()}"]
    for folder in candidates:
        try:
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        except OSError:
            continue
        if os.access(folder, os.W_OK) and folder.stat().st_uid == os.getuid():
            return folder
    raise PermissionError(f"cannot write in {' nor in '.join(map(str, candidates))}: set PUFFER_CACHE to a "
                          "folder of yours")


def load_compiled(path) -> type:
    """The native environment in the Cython file `path`, compiled first if it has changed.

    Raises ValueError if there is no such file or Cython or the C compiler refuses it, ImportError where there
    is no Cython or C compiler, or where the file defines no environment, or several.
    """
    path = Path(path)
    if not path.is_file():
        raise ValueError(f"there is no file {path}; `python -m puffer_min new {path}` writes one")
    if not path.stem.isidentifier():
        raise ValueError(f"{path} given, expected the name of a module before .pyx, such as my_env.pyx")
    require_fresh("envs.core.native")
    key = key_of(path)
    name = f"{path.stem}_{key}"
    library = cache_folder() / name / (name + sysconfig.get_config_var("EXT_SUFFIX"))
    if not library.exists():
        compile_into(library, path.resolve(), name)
    if str(library.parent) not in sys.path:
        sys.path.append(str(library.parent))            # where a worker process finds the class by its name
    return envs.environment_of(importlib.import_module(name), str(path))


def key_of(path: Path) -> str:
    """Hash of all that the module is made from."""
    digest = hashlib.sha256()
    parts = [*(compile_settings.ROOT / "envs" / "core").glob("*.pxd"), *path.parent.glob("*.pxd")]
    for file in [path, *sorted(parts)]:
        digest.update(file.name.encode() + b"\0" + file.read_bytes() + b"\0")
    cython = importlib.util.find_spec("Cython") and importlib.metadata.version("cython")
    versions = sys.version, np.__version__, cython, compile_settings.is_sanitized()
    digest.update(repr((compile_settings.directives(), compile_settings.compile_args(), versions)).encode())
    return digest.hexdigest()[:16]


def compile_into(library: Path, source: Path, name: str) -> None:
    """Compile `source` to the module `name` at `library`, which appears whole or not at all."""
    missing = [package for package in ("Cython", "setuptools") if importlib.util.find_spec(package) is None]
    if missing:
        raise ImportError(f"compiling {source.name} needs {' and '.join(missing)}: python -m pip install "
                          f"{' '.join(missing).lower()}")
    compiler = shlex.split(os.environ.get("CC") or sysconfig.get_config_var("CC") or "cc")[0]
    if shutil.which(compiler) is None:
        raise ImportError(f"compiling {source.name} needs a C compiler, and {compiler!r} is not found: "
                          "install gcc or clang, or set CC")
    with tempfile.TemporaryDirectory(dir=cache_folder(), prefix=".") as folder:
        copy = Path(folder) / f"{name}.pyx"
        copy.write_bytes(source.read_bytes())
        for part in source.parent.glob("*.pxd"):
            shutil.copy(part, folder)
        given = {"name": name, "source": copy.name, "includes": [np.get_include(), str(source.parent)],
                 "compile": compile_settings.compile_args(), "link": compile_settings.link_args(),
                 "cimports": [str(compile_settings.ROOT)], "directives": compile_settings.directives()}
        print(f"compiling {source.name} ...", file=sys.stderr)
        said = subprocess.run([sys.executable, "-c", MAKE, json.dumps(given)], cwd=folder, text=True,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        built = list(Path(folder).glob(f"{name}*{sysconfig.get_config_var('EXT_SUFFIX')}"))
        if said.returncode or not built:
            why = reason(said.stdout, copy.name, source.name)
            raise ValueError(f"{source.name} could not be compiled: {why}")
        library.parent.mkdir(parents=True, exist_ok=True)
        os.replace(built[0], library)


def reason(output: str, copy: str, name: str) -> str:
    """The first error in the compilers' output, with its place."""
    lines = [line.strip() for line in output.replace(copy, name).splitlines() if line.strip()]
    placed = [line for line in lines if re.match(rf"{re.escape(name)}:\d+|.*: error: ", line)]
    return placed[0] if placed else (lines or ["the compiler said nothing"])[-1]
