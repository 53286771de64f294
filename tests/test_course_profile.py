"""`profile_calls` and `profile_lines`: Cython functions included, the hook's share estimated, speeds labelled."""

import sys

import pytest

from puffer_min.course import build, profile_calls, profile_lines
from puffer_min.course.hook import HookCost, hook_cost
from puffer_min.course.profile import CallProfile, CallRow
from puffer_min.measure import measure, measure_together

profiling = sys.modules["puffer_min.course.profile"]
N = 5000

GAME = """
cimport cython

cdef int tiny(int x) noexcept nogil:
    return x + 1

@cython.profile(False)
cdef int unseen(int x) noexcept nogil:
    return x + 2

cdef class Game:
    cdef int s
    cdef void move(self, int i) noexcept nogil:
        self.s = unseen(tiny(self.s))
    cdef void loop(self, int n) noexcept nogil:
        cdef int i
        for i in range(n):
            self.move(i)
    def step(self, int n):
        with nogil:
            self.loop(n)
        return self.s
"""


@pytest.fixture(scope="module")
def hooked():
    return build(GAME, name="game", profile=True).Game()


@pytest.fixture(scope="module")
def traced():
    return build(GAME, name="game", linetrace=True).Game()


@pytest.fixture(scope="module")
def plain():
    return build(GAME, name="game").Game()


needs_cython_profiling = pytest.mark.skipif(sys.version_info[:2] == (3, 12), reason="Python 3.12 cannot profile Cython functions")


def busy(n):
    total = 0
    for i in range(n):
        total += len(str(i))
    return total


@needs_cython_profiling
def test_cython_functions_are_counted_under_their_full_names(hooked):
    found = profile_calls(lambda: hooked.step(N))
    assert {row.function: row.calls for row in found.table if row.file.endswith("game.pyx")} == {
        "tiny": N, "Game.move": N, "Game.loop": 1, "Game.step": 1}
    assert found.row("move").kind == found.row("tiny").kind == "nogil" and found.row("step").kind == "cython"


@needs_cython_profiling
def test_own_times_add_up_to_the_total_of_the_outermost(hooked):
    found = profile_calls(lambda: hooked.step(N))
    assert sum(row.own for row in found.table) == pytest.approx(found.row("<lambda>").total, rel=0.02)
    assert found.row("<lambda>").total <= found.seconds


@pytest.mark.alone
@needs_cython_profiling
def test_a_function_that_does_nothing_is_mostly_hook_and_so_is_its_caller(hooked):
    found = min((profile_calls(lambda: hooked.step(N)) for _ in range(5)), key=lambda found: found.seconds)
    assert found.hook_share > 0.3
    for name in ("tiny", "move", "loop"):
        assert 0 < found.row(name).hook <= found.row(name).own
    caller = found.row("loop")
    assert caller.hook > 0.25 * caller.own and caller.calls == 1          # the phantom: booked to who calls


def test_the_hook_is_calibrated_once_for_each_kind():
    for kind in ("python", "builtin", *(("cython", "nogil") if sys.version_info[:2] != (3, 12) else ())):
        cost = hook_cost(kind)
        assert 1e-9 < cost.total < 1e-4 and hook_cost(kind) is cost


def test_python_functions_and_built_ins_are_rows_too():
    found = profile_calls(lambda: busy(100))
    assert (found.row("busy").kind, found.row("busy").calls) == ("python", 1)
    assert (found.row("len").kind, found.row("len").calls) == ("builtin", 100)
    assert found.top(1, by="calls")[0].function == "len"


def test_a_statement_sees_the_callers_variables_or_those_given():
    amount = 30
    assert profile_calls("busy(amount)").row("len").calls == amount
    assert profile_calls("busy(amount)", namespace={"busy": busy, "amount": 7}).row("len").calls == 7


def test_rows_can_be_ordered_by_what_is_left_without_the_hook():
    rows = (CallRow("a", 9, 3.0, 2.5, 3.0, "python", "", 0), CallRow("b", 1, 2.0, 0.0, 5.0, "python", "", 0))
    found = CallProfile(rows, 6.0, {"python": HookCost(1e-7, 1e-7)})
    assert [row.function for row in found.top(2)] == ["a", "b"] and [row.function for row in found.top(2, by="net")] == ["b", "a"]
    assert found.top(1, by="total")[0].function == "b" and found.hook_share == pytest.approx(2.5 / 6)
    with pytest.raises(ValueError, match="by='speed' given, expected one of own, total, calls, hook, net"):
        found.top(by="speed")
    with pytest.raises(ValueError, match="'c' names 0 rows, expected one: there is a, b"):
        found.row("c")
    assert "of which its hook about 42% (200 ns a call of a Python function)" in repr(found)
    assert "<td" in found._repr_html_() and "<style" not in found._repr_html_()


def test_a_build_without_the_hook_is_named_with_the_cure(plain):
    found = profile_calls(lambda: plain.step(N))
    if sys.version_info[:2] != (3, 12):
        assert found.notes == ("game was built without its hook, so its functions are missing: build(..., profile=True).",)
    assert found.row("<lambda>").calls == 1


def test_python_3_12_says_that_cython_functions_are_missing(plain, monkeypatch):
    monkeypatch.setattr(profiling, "traceable", lambda: False)
    assert "Python 3.12 does not let Cython functions be profiled" in profile_calls(lambda: plain.step(N)).notes[0]
    found = profile_lines(lambda: (plain.step(N), busy(10)), busy, "Game.move")
    assert "Python 3.12" in found.notes[0] and {row.function.rpartition(".")[2] for row in found.table} == {"busy"}


def test_an_error_inside_leaves_no_profiler_on():
    with pytest.raises(ZeroDivisionError):
        profile_calls(lambda: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        profile_lines(lambda: busy(1) / 0, busy)
    assert sys.getprofile() is None and sys.gettrace() is None


def test_lines_of_a_python_function_are_counted():
    found = profile_lines(lambda: busy(50), busy)
    hits = {row.source.strip(): row.hits for row in found.table}
    assert hits["total += len(str(i))"] == 50 and hits["return total"] == 1
    assert sum(row.share for row in found.table) == pytest.approx(1)
    assert found.top(1)[0].seconds == max(row.seconds for row in found.table)


class Worker:
    def work(self, n):
        return busy(n)


def test_lines_of_python_functions_and_methods_are_counted_by_name_as_often_as_asked():
    by_object = profile_lines(lambda: busy(50), busy)
    code = busy.__code__
    for _ in range(2):
        found = profile_lines(lambda: Worker().work(50), "busy", "Worker.work")
        lines = {row.source.strip(): row.hits for row in found.table}
        assert lines == {row.source.strip(): row.hits for row in by_object.table} | {"return busy(n)": 1} and not found.notes
    assert busy.__code__ is code, "the mark is taken off again"


def test_a_function_that_each_call_makes_anew_is_refused_with_what_to_do():
    def outer():
        def inner():
            return 1
        return inner()

    with pytest.raises(ValueError, match="each call makes a new 'inner'.*define it outside"):
        profile_lines(outer, "inner")


@needs_cython_profiling
def test_lines_of_c_functions_are_counted_by_name(traced):
    found = profile_lines(lambda: traced.step(N), "Game.move", "loop")
    assert [(row.function, row.source.strip(), row.hits) for row in found.table] == [
        ("Game.move", "self.s = unseen(tiny(self.s))", N), ("Game.loop", "for i in range(n):", N + 1), ("Game.loop", "self.move(i)", N)]
    assert "a line that does nothing shows" in repr(found) and found.hook > 0
    assert "Game.loop:" in found._repr_html_()


@needs_cython_profiling
def test_lines_of_a_method_given_as_such_are_counted(traced):
    found = profile_lines(lambda: traced.step(N), type(traced).step)
    assert [row.source.strip() for row in found.table] == ["with nogil:", "self.loop(n)", "return self.s"]


@needs_cython_profiling
def test_a_name_that_nothing_calls_lists_what_is_called(traced, plain):
    with pytest.raises(ValueError, match="'mvoe' names 0 functions that were called, expected one: there is .*Game.move"):
        profile_lines(lambda: traced.step(3), "mvoe")
    with pytest.raises(ValueError, match=r"build\(..., linetrace=True\)"):
        profile_lines(lambda: plain.step(3), "Game.move")


def test_bad_input_is_one_sentence():
    with pytest.raises(TypeError, match="given int, expected a callable without arguments or a statement"):
        profile_calls(3)
    with pytest.raises(ValueError, match="say which functions"):
        profile_lines("busy(3)")


def test_a_speed_of_a_profiled_build_is_labelled(hooked, plain):
    quick = {"seconds": 0.01, "repeats": 2}
    assert measure(lambda: hooked.step(1), **quick).conditions.profiled
    assert not measure(lambda: plain.step(1), **quick).conditions.profiled


@pytest.mark.alone
@needs_cython_profiling
def test_the_hook_slows_a_build_down_even_when_nobody_profiles(hooked, plain):
    both = measure_together({"hooked": lambda: hooked.step(500), "plain": lambda: plain.step(500)}, seconds=0.1)
    assert both["plain"].best > 3 * both["hooked"].best
