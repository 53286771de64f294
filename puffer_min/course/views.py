"""Cython's code for memoryviews, compiled once for all modules.

A source with one typed memoryview (`float[:, ::1] rows`) becomes a megabyte of C, nearly all of it the same
in every module: seconds of the C compiler's time for each cell. Cython can keep that code in a module of its
own, which the others import. It is made on first use and kept in the cache.
"""

from __future__ import annotations

import functools
import hashlib
import sysconfig
import tempfile
from pathlib import Path

from envs.core import compile_settings
from puffer_min.course.compiler import cache_folder, compile_c, load, processor
from puffer_min.course.translate import CYTHON


@functools.cache
def shared_views() -> str:
    """Name of the module, which is loaded when this returns."""
    import Cython

    # creating a view is never the hot part
    arguments = [*compile_settings.compile_args(False), "-O1"]
    facts = [Cython.__version__, sysconfig.get_config_var("EXT_SUFFIX"), arguments, processor()]
    name = f"cython_views_{hashlib.sha256(repr(facts).encode()).hexdigest()[:12]}"
    library = cache_folder() / name / f"{name}.so"
    if not library.exists():
        library.parent.mkdir(exist_ok=True)
        compile_c(_views_in_c(name), name, library, arguments, compile_settings.link_args())
    load(name, library)
    return name


def _views_in_c(name: str) -> str:
    from Cython.Build.SharedModule import generate_shared_module
    from Cython.Compiler import Options

    with tempfile.TemporaryDirectory(prefix="cython-") as work, CYTHON:
        c_file = Path(work) / f"{name}.c"
        kept = Options.cimport_from_pyx
        try:
            options = Options.CompilationOptions(shared_c_file_path=str(c_file), language_level=3)
            error, _ = generate_shared_module(options)
        finally:
            Options.cimport_from_pyx = kept
        if error:
            raise error
        return c_file.read_text(encoding="utf-8")
