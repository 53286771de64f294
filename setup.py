"""Compiles every `.pyx` of `envs` and `puffer_min`; everything else about the project is in pyproject.toml.

    python setup.py build_ext --inplace                  release, beside the sources
    PUFFER_DEBUG=1 python setup.py build_ext             debug, under build/debug

    PUFFER_ONLY=envs/mine.pyx python setup.py build_ext --inplace     one source alone

A new environment needs no line here: the folder is the list.
"""

import json
import multiprocessing
import os
import runpy
from pathlib import Path

import numpy
from Cython.Build import cythonize
from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext

ROOT = Path(__file__).resolve().parent
settings = runpy.run_path(str(ROOT / "envs/core/compile_settings.py"))
BUILD = settings["build_name"]()
SOURCES = settings["sources"]()
if "PUFFER_ONLY" in os.environ:                                 # empty: none, to install the Python alone
    SOURCES = [Path(name) for name in os.environ["PUFFER_ONLY"].split(",") if name]
# A translator that is not forked would run this file again, so elsewhere there is one and it is this process.
TRANSLATORS = 0
if multiprocessing.get_start_method() == "fork" and len(SOURCES) > 1:
    TRANSLATORS = runpy.run_path(str(ROOT / "puffer_min/cores.py"))["cores"]()


class BuildExtensions(build_ext):
    """build_ext that keeps the debug build apart and writes the manifest that tells a stale build."""

    def finalize_options(self):
        if BUILD != "release":
            self.build_lib = f"build/{BUILD}"
        super().finalize_options()

    def run(self):
        super().run()
        path = settings["manifest_path"]()
        if not self.inplace and BUILD == "release":             # a wheel carries its own
            path = Path(self.build_lib) / path.relative_to(ROOT)
        path.parent.mkdir(parents=True, exist_ok=True)
        built = json.loads(path.read_text()) if path.exists() else {}
        built |= {extension.name: settings["source_hash"](extension.name) for extension in self.extensions}
        path.write_text(json.dumps(built, indent=1) + "\n")


extensions = [
    Extension(
        ".".join(source.with_suffix("").parts),
        [str(source)],
        include_dirs=[numpy.get_include()],
        extra_compile_args=settings["compile_args"]() + settings["openmp_args"](source),
        extra_link_args=settings["link_args"]() + settings["openmp_args"](source),
    )
    for source in SOURCES
]
setup(
    ext_modules=cythonize(extensions, compiler_directives=settings["directives"](),
                          build_dir=f"build/cython-{BUILD}", nthreads=TRANSLATORS),
    cmdclass={"build_ext": BuildExtensions},
)
