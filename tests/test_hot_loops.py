"""Nothing that is called at every step talks to Python: no yellow line in Cython's annotation and no look-out for exceptions in the C.

Hot is every function declared `noexcept nogil`: `step_range` is, by the base's declaration, and a call of a function that is not
shows as an exception check in its caller. Functions of .pxd files, which Cython's annotation leaves out, are read in the C itself.
"""

import functools
import re
from pathlib import Path

import pytest

from envs.core import compile_settings
from puffer_min.course.annotate import Annotation
from puffer_min.course.build import settings
from puffer_min.course.translate import CompileError, translate

ROOT = Path(__file__).resolve().parents[1]
SOURCES = [str(path) for path in compile_settings.sources()]
ASKS = re.compile(r"__Pyx_ErrOccurredWithGIL|PyErr_Occurred|__Pyx_WriteUnraisable|PyGILState_Ensure|__PYX_ERR|PyErr_Set\w+|PyErr_Format")


def read(path: Path) -> tuple[Annotation, str]:
    """The annotation of a source and its whole C, in the release build."""
    made = translate(path.read_text(), path, path.stem, settings(False, None, False, False), path.parent)
    return Annotation(path.name, made.lines, made.functions), made.c_code


read_source = functools.cache(lambda source: read(ROOT / source))


def hot_functions(notes: Annotation) -> list[str]:
    """The functions that are declared `noexcept nogil`."""
    def signature(place):
        return " ".join(line.text for line in notes.lines[place.first - 1:place.body])
    return [name for name, place in notes.functions.items() if re.search(r"\)\s*noexcept\s+nogil\s*:", signature(place))]


def faults(notes: Annotation) -> list[str]:
    """What speaks against the hot functions of a source, a sentence each."""
    found = []
    for name in hot_functions(notes):
        found += [f"{name}, line {number} is yellow: {notes.lines[number - 1].text.strip()}" for number in notes.python_lines(name)]
        found += [f"{name}, {check}" for check in notes.exception_checks(name)]
    return found


@pytest.mark.parametrize("source", SOURCES)
def test_no_hot_function_touches_python_or_looks_for_exceptions(source):
    notes, _ = read_source(source)
    if source.startswith("envs/") and source != "envs/core/actions.pyx":
        assert {"step_range", "reset_range"} <= {name.rpartition(".")[2] for name in hot_functions(notes)}
    assert faults(notes) == []


def pxd_functions() -> list[str]:
    """FILE_NAME of the `noexcept nogil` functions with a body in a .pxd file of the environments."""
    texts = {path.stem: path.read_text() for path in (ROOT / "envs").rglob("*.pxd")}
    return [f"{stem}_{name}" for stem, text in texts.items()
            for name in re.findall(r"^\s*cdef inline [^\n(]*?(\w+)\([^)]*\) noexcept nogil:", text, re.M)]


def asks(c_code: str, name: str) -> list[str] | None:
    """What the C of a .pxd's function does about exceptions; None where the source does not use the function."""
    body = re.search(rf"^static[^;{{\n]*__pyx_f_\w+{name}\([^;{{]*\) {{\n(.*?)^}}$", c_code, re.M | re.S)
    return ASKS.findall(re.sub(r"/\*.*?\*/", "", body[1], flags=re.S)) if body else None


@pytest.mark.parametrize("source", [source for source in SOURCES if source.startswith("envs/")])
def test_no_inline_function_of_a_pxd_looks_for_exceptions(source):
    _, c_code = read_source(source)
    assert not any(asks(c_code, name) for name in pxd_functions())


def test_the_c_of_inline_functions_is_found():
    _, c_code = read_source("envs/squared.pyx")
    assert {"random_mix", "random_draw", "random_draw_below"} <= set(pxd_functions())
    assert [asks(c_code, name) for name in ("random_mix", "random_draw", "random_draw_below")] == [[], [], []]


START = "cdef void start(self, int i) noexcept nogil:"
MUTATIONS = {
    "a line of Python in the loop": ("            square = &self.squares[i]\n", "            square = &self.squares[i]\n            with gil:\n                str(i)\n", "is yellow"),
    "a helper that may raise": (START, START.replace("noexcept ", ""), "takes the GIL"),
    "a helper that returns an error value": (START, START.replace("void", "int").replace("noexcept", "except -1"), "error branch"),
    "a division that is checked": ("centre = cells // 2", "centre = cells // self.size // 2", "takes the GIL"),
}


@pytest.mark.parametrize("what", MUTATIONS)
def test_what_slows_the_loop_is_found(what, tmp_path):
    source = (ROOT / "envs" / "squared.pyx").read_text()
    old, new, words = MUTATIONS[what]
    assert source.count(old) == 1
    path = tmp_path / "squared.pyx"
    directive = "# cython: cdivision=False\n" if "division" in what else ""
    path.write_text(directive + source.replace(old, new))
    found = faults(read(path)[0])
    assert any(words in fault for fault in found), found


def test_an_untyped_loop_variable_does_not_even_compile(tmp_path):
    path = tmp_path / "squared.pyx"
    path.write_text((ROOT / "envs" / "squared.pyx").read_text().replace("cells = size * size, i, here", "cells = size * size, here"))
    with pytest.raises(CompileError, match="nogil"):
        read(path)
