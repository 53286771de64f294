"""`annotate`: scores, loops, exception checks, and a drawing that survives an untrusted notebook."""

import re

import pytest

from puffer_min.course import CompileError, annotate, build
from puffer_min.course.translate import score_of

SOURCE = '''
cdef float square(float x):
    return x * x

cdef float quiet(float x) noexcept:
    return x * x

cdef class Walker:
    cdef float v
    cdef void move(self, float x) nogil:
        self.v += x
    cdef void still(self, float x) noexcept nogil:
        self.v += x
    cdef void walk(self, int n) noexcept nogil:
        cdef int i
        for i in range(n):
            self.move(i)
    cdef void glide(self, int n) noexcept nogil:
        cdef int i
        for i in range(n):
            self.still(i)

def asking(int n):
    cdef float s = 0
    cdef int i
    for i in range(n):
        s += square(i)
    return s

def white(int n):
    cdef float s = 0
    cdef int i
    for i in range(n):
        s += quiet(i)
    return s

def yellow(xs):
    total = 0
    for x in xs:
        total += x
    return total

def setup_only(xs):
    cdef int i, n = 0
    for i in range(len(xs)):
        n += i
    return n

def nested(int n, xs):
    cdef int i, j, s = 0
    for i in range(n):
        for j in range(len(xs)):
            s += j
    return s

def one_line(x): return x + 1

def outer(int n):
    def inner(x):
        return x
    return inner(n)
'''


@pytest.fixture(scope="module")
def notes():
    return annotate(SOURCE)


def line_of(text: str) -> int:
    return next(number for number, line in enumerate(SOURCE.splitlines(), 1) if line.strip() == text)


def test_a_loop_of_c_is_white_and_a_loop_of_objects_is_yellow(notes):
    assert notes.python_lines("white", loops=True) == []
    assert notes.python_lines("yellow", loops=True) == [line_of("for x in xs:"), line_of("total += x")]


def test_the_lines_of_a_function_leave_out_its_signature(notes):
    assert notes.python_lines("Walker.still") == [] and notes.score("Walker.still") == 0
    assert notes.python_lines("white") == [notes.function("white").last]            # the float it returns
    assert notes.python_lines("one_line") == [line_of("def one_line(x): return x + 1")]


def test_what_a_loop_does_once_before_it_starts_is_not_in_the_loop(notes):
    header = line_of("for i in range(len(xs)):")
    assert notes.python_lines("setup_only") == [header, header + 2]
    assert notes.python_lines("setup_only", loops=True) == []


def test_what_an_inner_loop_does_before_it_starts_is_in_the_outer_one(notes):
    assert notes.python_lines("nested", loops=True) == [line_of("for j in range(len(xs)):")]


def test_the_score_is_cythons(notes):
    for line in notes.lines:
        assert line.score == score_of(line.c_html)
    assert notes.score("yellow") == sum(notes.lines[n - 1].score for n in notes.python_lines("yellow")) > 10
    assert notes.score() > notes.score("yellow")


def test_white_is_not_free_where_the_callee_may_raise(notes):
    (check,) = notes.exception_checks("walk")
    assert check.kind == "takes the GIL" and check.line == line_of("self.move(i)")
    assert notes.lines[check.line - 1].score == 0
    assert str(check) == f"line {check.line} takes the GIL; declare the function it calls noexcept: self.move(i)"
    assert notes.exception_checks("glide") == []


def test_the_mystery_of_minus_one_is_found_and_noexcept_solves_it(notes):
    (check, *_) = notes.exception_checks("asking")
    assert check.kind == "asks PyErr_Occurred" and "-1" in check.c and check.source == "s += square(i)"
    assert [check.kind for check in notes.exception_checks("white")] == ["error branch"]        # of the float it returns
    assert notes.calls("asking")["PyErr_Occurred"] == 1 and "PyErr_Occurred" not in notes.calls("white")


def test_cythons_performance_hints_are_kept(notes):
    assert any(line == line_of("self.move(i)") and "require the GIL" in text for line, text in notes.hints)


def test_a_first_function_of_plain_c_is_white_although_the_module_is_set_up_there(notes):
    assert notes.lines[line_of("cdef float square(float x):") - 1].score == 0


def test_functions_are_found_by_name_by_method_and_inside_each_other(notes):
    assert notes.function("move").name == "Walker.move" and notes.function("Walker.move").nogil
    assert {"outer", "outer.inner", "one_line"} <= set(notes.functions)
    with pytest.raises(ValueError, match="no function 'yelow' in cell.pyx: there is yellow"):
        notes.score("yelow")


def test_a_method_name_that_two_classes_share_must_be_qualified():
    two = annotate("\nclass A:\n    def f(self):\n        pass\nclass B:\n    def f(self):\n        pass\n")
    with pytest.raises(ValueError, match="no function 'f' in cell.pyx: there is A.f, B.f"):
        two.score("f")


def test_the_drawing_needs_neither_style_sheet_nor_script(notes):
    page = notes._repr_html_()
    assert not re.search(r"<style|<script|onclick|class=", page)
    assert "background-color:#ffff" in page and page.count("<details>") == page.count("</details>") > 5
    assert "self.move(i)" in page and "__Pyx_ErrOccurredWithGIL" in page


def test_the_drawing_shows_every_line_of_the_source(notes):
    import html
    text = html.unescape(re.sub(r"<pre.*?</pre>|<[^>]*>", "", notes._repr_html_(), flags=re.S))
    for number, line in enumerate(SOURCE.strip("\n").splitlines(), 2):
        assert re.search(rf"^.*\b{number} .*\| {re.escape(line)}", text, re.M), line


def test_the_drawing_can_be_limited_to_some_functions(notes):
    page = notes.only("walk")._repr_html_()
    assert "self.move(i)" in page and "total += x" not in page and len(page) < len(notes._repr_html_()) / 3


def test_the_drawing_of_a_built_module_carries_no_hash(notes):
    module = build(SOURCE)
    page, name = annotate(module)._repr_html_(), module.__name__
    assert page == notes._repr_html_() and name.rpartition("_")[2] not in page


def test_a_function_or_class_of_a_built_module_leads_to_its_source():
    module = build(SOURCE)
    assert annotate(module.yellow).lines == annotate(module.Walker).lines == annotate(module).lines


def test_the_table_says_what_matters_of_each_function(notes):
    rows = {line.split()[0]: line.split()[1:] for line in repr(notes).splitlines()[2:]}
    first = line_of("def yellow(xs):")
    assert rows["yellow"][:3] == [f"{first}-{first + 4}", "4", "2"]
    assert rows["Walker.walk"][1:] == ["0", "0", "0", "1"]


def test_a_source_that_does_not_compile_is_refused():
    with pytest.raises(CompileError, match="line 2"):
        annotate("\ndef f(:\n")
