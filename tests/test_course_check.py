"""`check`: one line when right, one sentence that names the mistake when wrong. `claims`: what a check can claim."""

import sys

import numpy as np
import pytest
import torch

import envs
from puffer_min.course import build, check
from puffer_min.course.check import CheckFailed, hidden_inputs, register, registered
from puffer_min.course.claims import (
    expect,
    faster,
    holds,
    keeps_contract,
    learns,
    no_exception_checks,
    no_python,
    same_values,
)

registry = sys.modules["puffer_min.course.check"]


@pytest.fixture(autouse=True)
def own_registry(monkeypatch):
    """Checks registered in a test are gone after it."""
    monkeypatch.setattr(registry, "_REGISTRY", dict(registered()))


def returns(rewards, gamma):
    """Discounted return of every step."""
    out, total = np.zeros(len(rewards)), 0.0
    for t in reversed(range(len(rewards))):
        total = rewards[t] + gamma * total
        out[t] = total
    return out


@pytest.fixture
def discount():
    """A registered check of an answer that should equal `returns`."""
    @register("discount")
    def _(answer, rng):
        "values on random rewards"
        same_values(answer, returns, [(rng.normal(size=6), 0.9) for _ in range(5)],
                    mistakes={"it forgets gamma": lambda rewards, gamma: returns(rewards, 1.0)})


# ---------------------------------------------------------------------- the mechanism

def test_a_right_answer_gives_one_line(discount, capsys):
    assert check("discount", returns) is None
    assert capsys.readouterr().out == "discount: right (values on random rewards)\n"


def test_a_wrong_answer_gives_the_sentence_of_its_mistake(discount, capsys):
    with pytest.raises(CheckFailed) as caught:
        check("discount", lambda rewards, gamma: returns(rewards, 1.0))
    assert str(caught.value) == "discount: it forgets gamma" and isinstance(caught.value, AssertionError)
    assert capsys.readouterr().out == ""
    assert caught.value._render_traceback_() == ["CheckFailed: discount: it forgets gamma"]


def test_random_inputs_depend_on_the_seed_and_the_id_alone():
    drawn = []

    @register("draws")
    def _(answer, rng):
        "draws a number"
        drawn.append(rng.random())

    for seed in (0, 0, 1):
        check("draws", None, seed=seed)
    assert drawn[0] == drawn[1] != drawn[2]


@pytest.fixture
def drawn():
    """What the checks of a toy exercise were given: (which part, a random number, whether hidden)."""
    given = []

    @register("toy")
    def _(answer, rng, hidden):
        "draws a number"
        given.append(("", rng.random(), hidden))

    @register("toy", part="speed", live=True)
    def _(answer, rng):
        "draws another"
        given.append(("speed", rng.random(), None))
        expect(answer, "too slow")
    return given


def test_a_part_of_an_exercise_is_a_check_of_its_own(drawn, capsys):
    check("toy", True)
    check("toy", True, part="speed")
    assert capsys.readouterr().out == "toy: right (draws a number)\ntoy, speed: right (draws another)\n"
    assert [part for part, *_ in drawn] == ["", "speed"] and drawn[0][1] != drawn[1][1]
    assert not registered()["toy"].live and registered()["toy, speed"].live
    with pytest.raises(CheckFailed, match="^toy, speed: too slow$"):
        check("toy", False, part="speed")
    with pytest.raises(ValueError, match="no check 'toy, sped': did you mean 'toy, speed'"):
        check("toy", True, part="sped")


def test_hidden_inputs_come_from_the_graders_seed_and_else_from_7(drawn):
    check("toy", None)
    check("toy", None, hidden=True)
    check("toy", None, seed=7)
    with hidden_inputs(123):
        check("toy", None, hidden=True)
        check("toy", None)
    check("toy", None, hidden=True)
    numbers, hidden = [number for _, number, _ in drawn], [asked for *_, asked in drawn]
    assert hidden == [False, True, False, True, False, True]
    assert numbers[1] == numbers[2] == numbers[5] and numbers[0] == numbers[4] and len(set(numbers)) == 3


def test_an_unknown_id_suggests_the_nearest(discount):
    with pytest.raises(ValueError, match="no check 'discuont': did you mean 'discount'"):
        check("discuont", returns)


def test_a_wrong_number_of_answers_is_named(discount):
    with pytest.raises(TypeError, match=r"check\('discount'\) takes 1 answer \(answer\), given 2"):
        check("discount", returns, returns)


def test_a_plain_assertion_becomes_the_sentence():
    @register("plain")
    def _(answer):
        "an assertion"
        assert answer > 2, "the answer must be above 2"
        if answer % 2 == 0:
            raise AssertionError

    with pytest.raises(CheckFailed, match="^plain: the answer must be above 2"):
        check("plain", 1)
    with pytest.raises(CheckFailed, match="^plain: a claim does not hold: line .*raise AssertionError"):
        check("plain", 4)


def test_an_error_of_the_readers_code_shows_their_line(discount):
    def answer(rewards, gamma):
        return rewards["first"]

    with pytest.raises(CheckFailed, match=r'^discount: your code raises IndexError: .*line \d+: return rewards\["first"\]\)$') as caught:
        check("discount", answer)
    assert isinstance(caught.value.__cause__, IndexError)


def test_a_stub_is_called_not_written_yet(discount):
    def answer(rewards, gamma):
        raise NotImplementedError("write discount here")

    with pytest.raises(CheckFailed, match="^discount: this is not written yet$"):
        check("discount", answer)


def test_ids_are_unique_and_claims_are_stated(discount):
    with pytest.raises(ValueError, match="check 'silent' has no docstring"):
        @register("silent")
        def _(answer):
            pass

    def elsewhere(answer):
        "the same id in another file"
    elsewhere.__module__ = "another"
    with pytest.raises(ValueError, match="check 'discount' is registered by .* already"):
        register("discount")(elsewhere)


# ---------------------------------------------------------------------- values and properties

CASES = [(np.arange(6.0).reshape(2, 3), 0.5)]


def scaled(x, factor):
    return x * factor


@pytest.mark.parametrize("answer, sentence", [
    (lambda x, factor: (x * factor)[0], r"it gives the shape \(3,\), expected \(2, 3\)"),
    (lambda x, factor: None, "it returns nothing: is the return missing?"),
    (lambda x, factor: x * factor + (x > 4), r"it gives 3.5 at \(1, 2\), expected 2.5, for the arguments array"),
    (lambda x, factor: x.__imul__(factor), "it changes its arguments: work on a copy"),
    (lambda x, factor: "text", r"it gives the shape \(\), expected \(2, 3\)"),
])
def test_a_wrong_value_is_described(answer, sentence):
    with pytest.raises(CheckFailed, match=sentence):
        same_values(answer, scaled, CASES)


def test_equal_values_pass_whatever_their_kind():
    same_values(scaled, scaled, CASES)
    for value in (3, [1, 2], (1.0, np.ones(2)), {"a": np.ones(2)}, "word", None, np.array(["x"]), float("nan")):
        same_values(lambda v: v, lambda v: v, [(value,)])


@pytest.mark.parametrize("right, wrong, sentence", [
    ((1.0, np.ones(2)), (1.0, np.zeros(2)), "of value 1: it gives 0 at 0, expected 1"),
    ((1.0, 2.0), 1.0, "it returns 1.0, expected 2 values"),
    ({"a": 1}, {"b": 1}, "expected a dict with the keys a"),
    ({"a": 1}, {"a": 2}, "of 'a': it gives 2, expected 1"),
    ("up", "down", "it gives 'down', expected 'up'"),
])
def test_structures_are_compared_part_by_part(right, wrong, sentence):
    with pytest.raises(CheckFailed, match=sentence):
        same_values(lambda: wrong, lambda: right, [()])


def test_of_several_failures_the_smallest_input_is_told():
    cases = [(np.arange(9.0),), (np.arange(4.0),), (np.array([3.0]),), (np.array([0.0]),)]
    with pytest.raises(CheckFailed, match=r"^it gives 6, expected 3, for the arguments array\(\[3.\]\)$"):
        same_values(lambda x: 2 * x.sum(), np.sum, cases)


def test_containers_are_accepted_alike():
    two = lambda: (np.arange(3.0), np.ones(3))                                                  # noqa: E731
    for value in ([np.arange(3.0), np.ones(3)], np.stack(two()), torch.ones(2, 3) * torch.tensor([[0.], [1.]]) + torch.tensor([[0., 1, 2], [0, 0, 0]])):
        same_values(lambda value=value: value, two, [()])
    for one in ([2.0], np.array([2.0]), torch.tensor([2.0], requires_grad=True), np.float32(2), torch.tensor(2)):
        same_values(lambda one=one: one, lambda: 2.0, [()])
    with pytest.raises(CheckFailed, match=r"it gives the shape \(1, 1\), expected \(\)"):
        same_values(lambda: np.array([[2.0]]), lambda: 2.0, [()])


@pytest.mark.parametrize("wrong, sentence", [
    (lambda x: x.double().numpy(), "^it gives the dtype float64, expected float32, for the arguments array"),
    (lambda x: x[:, None], r"^it gives the shape \(2, 1\), expected \(2,\), for the arguments array"),
    (lambda x: x > 0, "^it gives the dtype bool, expected float32"),
    (lambda x: x + torch.tensor([0.0, 1.0]), "^it gives 2 at 1, expected 1, for the arguments array"),
])
def test_tensors_are_described_as_arrays_are(wrong, sentence):
    with pytest.raises(CheckFailed, match=sentence):
        same_values(wrong, lambda x: x.numpy(), [(torch.ones(2),)], dtypes=True)


def test_a_wrong_truth_value_is_told():
    with pytest.raises(CheckFailed, match="^it gives True at 1, expected False"):
        same_values(lambda: np.array([True, True]), lambda: np.array([True, False]), [()])


def test_work_in_place_is_compared_by_the_arguments():
    def in_place(x, factor):
        x *= factor
    same_values(in_place, in_place, CASES, changes_arguments=True)
    with pytest.raises(CheckFailed, match=r"of value 0: it gives 1 at \(0, 1\), expected 0.5"):
        same_values(lambda x, factor: None, in_place, CASES, changes_arguments=True)


def test_a_property_says_which_case_breaks_it():
    holds(lambda x: x * x >= 0, [(1,), (-2,)], "a square is not negative")
    with pytest.raises(CheckFailed, match=r"^it is above zero \(found with -2\)$"):
        holds(lambda x: x > 0, [(1,), (-2,)], "it is above zero")


def test_expect_wants_arrays_to_hold_everywhere():
    expect(np.array([True, True]), "all")
    with pytest.raises(CheckFailed, match="^all$"):
        expect(np.array([True, False]), "all")


# ---------------------------------------------------------------------- contract, annotation, speed, learning

def test_an_environment_that_keeps_the_contract_passes_and_another_is_told_what_is_wrong():
    keeps_contract("squared", steps=50)

    class Silent(type(envs.make("squared"))):
        def render(self, index=0):
            return None
        def step(self, actions):
            result = super().step(actions)
            self.observations[:] = 77
            return result

    with pytest.raises(CheckFailed, match="^the contract test finds a problem in "):
        keeps_contract(Silent, steps=50)


COMPILED = """
cdef int raising(int x):
    return x

def white(int n):
    cdef int i, s = 0
    for i in range(n):
        s += i & 3
    return s

def yellow(n):
    s = 0
    for i in range(n):
        s += i & 3
    return s

def asking(int n):
    cdef int i, s = 0
    for i in range(n):
        s += raising(i)
    return s

def loopless(int n):
    return n
"""


@pytest.fixture(scope="module")
def compiled():
    return build(COMPILED)


def test_no_python_in_the_loop_is_read_from_the_annotation(compiled):
    no_python(compiled.white)
    no_python(COMPILED, "white")
    with pytest.raises(CheckFailed, match=r"^line 13 \(and line 14\) still talks to Python in the loop: for i in range"):
        no_python(compiled.yellow)
    with pytest.raises(CheckFailed, match="loopless has no loop of its own"):
        no_python(compiled.loopless)
    with pytest.raises(CheckFailed, match="returns is not compiled: write it in a %%cython cell"):
        no_python(returns)


def test_exception_checks_are_found_where_the_line_is_white_or_not(compiled):
    with pytest.raises(CheckFailed, match="line 20 asks PyErr_Occurred; declare the function it calls noexcept"):
        no_exception_checks(compiled.asking)


def test_speed_is_a_ratio_in_one_process(compiled):
    faster(lambda: compiled.white(2000), lambda: compiled.yellow(2000), at_least=2, seconds=0.05)
    with pytest.raises(CheckFailed, match=r"^it is .* times as fast as the baseline, expected at least 2 times: is it typed\?$"):
        faster(lambda: compiled.yellow(2000), lambda: compiled.white(2000), at_least=2, seconds=0.02, advice="is it typed?")


def test_the_speed_of_a_profiled_or_checked_build_is_no_speed(compiled):
    hooked = build("\ndef f():\n    return 1\n", profile=True)
    with pytest.raises(CheckFailed, match="compiled as a release, profiled build, whose speed is no speed"):
        faster(hooked.f, compiled.loopless, 1)
    with pytest.raises(CheckFailed, match="a profiler is on, or its hook is compiled in"):
        faster(lambda: hooked.f(), lambda: None, 1, seconds=0.01)


def test_learning_needs_enough_seeds_and_stops_when_settled():
    tried = []

    def train(seed):
        tried.append(seed)
        return {0: 480, 1: 100, 2: 490, 3: 500}[seed]

    learns(train, 475, seeds=(0, 1, 2, 3), enough=2)
    assert tried == [0, 1, 2]
    with pytest.raises(CheckFailed, match=r"does not learn: returns of 480, 100 for seeds \[0, 1\], expected at least 475 for 2 of 2 seeds"):
        learns(train, 475, seeds=(0, 1), enough=2)


def test_the_courses_own_checks_can_all_be_loaded():
    for id, found in registered().items():
        assert found.claims and found.answers, f"check {id!r} takes no answer"
