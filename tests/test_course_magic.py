"""The strict %%cython: a cell that does not compile stops the notebook and leaves no older function behind."""

from pathlib import Path

import nbformat
import pytest
from IPython.core.interactiveshell import InteractiveShell
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError

from puffer_min.course import CompileError
from puffer_min.course.annotate import Annotation
from puffer_min.course.magic import defined_names

ROOT = Path(__file__).resolve().parents[1]
BROKEN = "%%cython\ndef f(int x):\n    return x + missing\n"


@pytest.fixture
def shell():
    """IPython without a front end, with the extension loaded."""
    InteractiveShell.clear_instance()
    shell = InteractiveShell.instance()
    shell.run_line_magic("load_ext", "puffer_min.course")
    yield shell
    InteractiveShell.clear_instance()


def notebook(*sources):
    cells = [nbformat.v4.new_code_cell(source) for source in ("%load_ext puffer_min.course", *sources)]
    return nbformat.v4.new_notebook(cells=cells)


def execute(book, **options):
    return NotebookClient(book, timeout=120, resources={"metadata": {"path": str(ROOT)}}, **options).execute()


def test_names_come_into_the_notebook(shell):
    assert shell.run_cell("%%cython\nimport math\ndef f(int x):\n    return x + 1\ncdef class Box:\n    pass\n_hidden = 3\n").success
    assert shell.user_ns["f"](2) == 3 and shell.user_ns["Box"]() and shell.user_ns["math"].pi > 3
    assert "_hidden" not in shell.user_ns


def test_all_limits_what_comes_into_the_notebook(shell):
    shell.run_cell("%%cython\n__all__ = ['g']\ndef g():\n    return 1\ndef h():\n    return 2\n")
    assert shell.user_ns["g"]() == 1 and "h" not in shell.user_ns


def test_a_cell_may_derive_from_the_native_base(shell):
    result = shell.run_cell("%%cython\nfrom envs.core.native cimport Native\ncdef class Mine(Native):\n    pass\n")
    assert result.success and shell.user_ns["Mine"].__mro__[1].__module__ == "envs.core.native"


def test_a_cell_that_does_not_compile_raises_one_sentence_with_the_line_of_the_cell(shell):
    error = shell.run_cell(BROKEN).error_in_exec
    assert isinstance(error, CompileError)
    assert str(error).startswith("cell.pyx, line 3: undeclared name not builtin: missing\n")
    assert "> 3 |     return x + missing" in str(error)


def test_after_a_failure_the_old_function_is_gone_and_the_error_says_so(shell):
    shell.run_cell("%%cython\ndef f(int x):\n    return x\ncdef class Box:\n    pass\n")
    error = shell.run_cell(BROKEN + "cdef class Box:\n    pass\nlimit = 3\n").error_in_exec
    assert str(error).endswith("Taken out of the notebook until this cell compiles: Box, f")
    assert "f" not in shell.user_ns and "Box" not in shell.user_ns
    assert not shell.run_cell("f(1)").success


def test_a_failure_of_the_modules_own_code_takes_the_names_out_too(shell):
    shell.run_cell("%%cython\ndef f(int x):\n    return x\n")
    error = shell.run_cell("%%cython\ndef f(int x):\n    return x\nraise RuntimeError('while importing')\n").error_in_exec
    assert isinstance(error, RuntimeError) and "f" not in shell.user_ns and "until this cell compiles: f" in error.__notes__[0]


def test_names_that_the_cell_does_not_define_stay(shell):
    shell.run_cell("keep = 1\nimport math\n")
    shell.run_cell(BROKEN.replace("%%cython\n", "%%cython\nimport math\n"))
    assert shell.user_ns["keep"] == 1 and "math" in shell.user_ns


def test_annotate_returns_the_drawing_with_the_lines_of_the_cell(shell):
    result = shell.run_cell("%%cython -a\ndef f(int x):\n    return x + 1\n").result
    assert isinstance(result, Annotation) and result.python_lines("f") == [3]


def test_debug_checks_bounds_and_a_directive_can_be_set(shell):
    shell.run_cell("%%cython --debug\ndef last(int[:] row, int i):\n    return row[i]\n")
    shell.run_cell("import numpy as np\ntry:\n    last(np.zeros(2, np.int32), 2)\nexcept IndexError:\n    checked = True\n")
    assert shell.user_ns["checked"]
    shell.run_cell("%%cython -X cdivision=False\ndef over(int x):\n    return 1 // x\n")
    assert isinstance(shell.run_cell("over(0)").error_in_exec, ZeroDivisionError)


def test_the_names_of_a_cell_are_read_without_compiling_it():
    cell = "def f(x): pass\nasync def g(): pass\ncpdef inline int h(int x) except -1: pass\ncdef int hidden(int x): pass\n" \
           "class A: pass\ncdef class B(A): pass\ncpdef enum E:\n    X\nlimit: int = 3\n" \
           "if limit == 3:\n    inner = 1\n    def nested(): pass\n"
    assert defined_names(cell) == {"f", "g", "h", "A", "B", "E", "limit"}


def test_run_all_stops_at_the_cell_that_does_not_compile():
    book = notebook("%%cython\ndef f(int x):\n    return x\n", BROKEN, "print(f(1))")
    with pytest.raises(CellExecutionError, match="cell.pyx, line 3: undeclared name not builtin: missing"):
        execute(book)
    assert book.cells[3].execution_count is None


def test_a_notebook_that_goes_on_all_the_same_has_no_stale_function():
    book = notebook("%%cython\ndef f(int x):\n    return x\n", BROKEN, "f(1)")
    execute(book, allow_errors=True)
    (broken,), (stale,) = book.cells[2].outputs, book.cells[3].outputs
    assert broken.ename == "CompileError" and len(broken.traceback) == 1
    assert stale.ename == "NameError"


def test_an_edited_cell_takes_effect_without_a_new_kernel():
    book = notebook("%%cython\ndef f(int x):\n    return x + 1\n", "f(1)", "%%cython\ndef f(int x):\n    return x + 2\n", "f(1)")
    execute(book)
    assert [book.cells[i].outputs[0].data["text/plain"] for i in (2, 4)] == ["2", "3"]
