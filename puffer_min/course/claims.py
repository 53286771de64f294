"""What a check can claim of an answer: values, properties, a contract, no Python in the loop, speed,
learning.

Every helper raises CheckFailed with one sentence that says what was found, what was expected and, where it
can tell, which mistake this looks like. Only `check` reports to the reader, so a helper prints nothing.
"""

from __future__ import annotations

import copy
import functools
from collections.abc import Callable, Iterable, Mapping

import numpy as np

from puffer_min.commands.check import check_environment
from puffer_min.course.annotate import Annotation, annotate
from puffer_min.course.build import made_by
from puffer_min.course.check import CheckFailed
from puffer_min.measure import measure_together

# a claim about speed may be disturbed by other programs: the best of so many attempts counts
TRIES = 3


def expect(condition, sentence: str) -> None:
    """Fail with `sentence` unless `condition` holds; NumPy arrays must hold everywhere."""
    if not (condition.all() if isinstance(condition, np.ndarray) else condition):
        raise CheckFailed(sentence)


def same_values(answer: Callable, reference: Callable, cases: Iterable[tuple], *,
                mistakes: Mapping[str, Callable] | None = None,
                rtol: float = 1e-5, atol: float = 1e-6, changes_arguments: bool = False,
                dtypes: bool = False) -> None:
    """Claim that `answer(*case)` equals `reference(*case)` for every case.

    mistakes    sentence -> wrong version of the reference: where the answer equals that version on all cases
                (and the reference does not), the sentence is the failure, e.g. {"it forgets gamma": lambda
                ...}.
    changes_arguments   compare the arguments after the call instead of what is returned, for functions that
                        write in place.
    dtypes      claim the dtypes of the arrays as well.
    Each call gets its own copy of the arguments; unless it may change them, an answer that does is refused.
    What holds several values may be a tuple, a list or an array stacked of them, and a single number may be
    an array or tensor of one.
    """
    cases = list(cases)
    compare = functools.partial(difference, rtol=rtol, atol=atol, dtypes=dtypes)

    def results(function):
        return [_call(function, case, changes_arguments) for case in cases]

    expected = results(reference)
    for case, right in zip(cases, expected, strict=True):
        found, arguments = _call_keeping(answer, case, changes_arguments)
        if not changes_arguments and difference(arguments, case, 0, 0):
            raise CheckFailed("it changes its arguments: work on a copy")
        if found is None and right is not None:
            raise CheckFailed("it returns nothing: is the return missing?")
        wrong_here = compare(found, right)
        if wrong_here:
            answers = results(answer) if mistakes else []
            for sentence, wrong in (mistakes or {}).items():
                if all(not compare(found, _call(wrong, case, changes_arguments))
                       for found, case in zip(answers, cases, strict=True)):
                    raise CheckFailed(sentence)
            wrong_here, case = _smallest_failure((wrong_here, case), answer, cases, expected, compare,
                                                 changes_arguments)
            raise CheckFailed(f"{wrong_here}, for the arguments {_describe(case)}")


def holds(claim: Callable[..., bool], cases: Iterable[tuple], sentence: str) -> None:
    """Claim that `claim(*case)` is true for every case; the failure says `sentence` and the smallest case
    it fails for.
    """
    failures = [case for case in cases if not np.all(claim(*copy.deepcopy(case)))]
    if failures:
        raise CheckFailed(f"{sentence} (found with {_describe(min(failures, key=_numbers))})")


def keeps_contract(environment, **settings) -> None:
    """Claim that an environment (a class, a function that makes one, or an object) passes the contract test
    of `puffer_min check`.
    """
    report = check_environment(environment, **settings)
    if not report.ok:
        line = next(line for line in report.lines if line.verdict == "problem")
        raise CheckFailed(f"the contract test finds a problem in {line.name}: {line.sentence}")


def no_python(answer, function: str | None = None, *, loops: bool = True) -> None:
    """Claim that no line of a compiled function's loops (loops=False: of its body) touches Python.

    answer      what a %%cython cell or `build` made: a function, a class, a module; or the text or path of a
                source.
    function    its name ("f", "Class.method"); default: the name of `answer`.
    """
    notes, name = _notes(answer, function)
    if loops and not notes.function(name).loops:
        raise CheckFailed(f"{name} has no loop of its own: the loop that was to become fast must be "
                          "inside it")
    lines = notes.python_lines(name, loops=loops)
    if lines:
        number = lines[0]
        others = (f" (and line{'s' * (len(lines) > 2)} {', '.join(map(str, lines[1:6]))})" if len(lines) > 1
                  else "")
        raise CheckFailed(f"line {number}{others} still talks to Python{' in the loop' if loops else ''}: "
                          f"{notes.lines[number - 1].text.strip()} -- declare the C types of what it uses; "
                          "annotate() shows the C")


def no_exception_checks(answer, function: str | None = None) -> None:
    """Claim that the C of a compiled function never looks for an exception. Arguments as for `no_python`."""
    notes, name = _notes(answer, function)
    found = notes.exception_checks(name)
    if found:
        raise CheckFailed(str(found[0]))


def faster(answer: Callable, baseline: Callable, at_least: float, *,
           advice: str = "is there still Python in the loop?", seconds: float = 0.2) -> None:
    """Claim that `answer()` is at least `at_least` times as fast as `baseline()`; both are callables without
    arguments.

    The two take turns in one process; the best ratio of three attempts counts. Choose `at_least` at a third
    of what you measure.
    """
    made = made_by(answer)
    if made and (made.profile or made.debug):
        raise CheckFailed(f"it was compiled as a {made.label} build, whose speed is no speed: leave out "
                          "--profile, --linetrace and --debug")
    best = 0.0
    for _ in range(TRIES):
        found = measure_together({"answer": answer, "baseline": baseline}, seconds=seconds)
        if found["answer"].conditions.profiled:
            raise CheckFailed("a profiler is on, or its hook is compiled in: measure without it")
        best = max(best, found["answer"].best / found["baseline"].best)
        if best >= at_least:
            return
    raise CheckFailed(f"it is {best:.2g} times as fast as the baseline, expected at least {at_least:g} "
                      f"times: {advice}")


def learns(train: Callable[[int], float], at_least: float, *, seeds: Iterable[int] = (0, 1, 2),
           enough: int = 2) -> None:
    """Claim that `train(seed)`, a mean episode return, reaches `at_least` for `enough` of the seeds; stops as
    soon as that is settled.
    """
    seeds, reached, found = list(seeds), 0, []
    for i, seed in enumerate(seeds):
        found.append(float(train(seed)))
        reached += found[-1] >= at_least
        if reached >= enough:
            return
        if reached + len(seeds) - i - 1 < enough:
            break
    raise CheckFailed(f"it does not learn: returns of {', '.join(f'{value:.4g}' for value in found)} for "
                      f"seeds {seeds[:len(found)]}, expected at least {at_least:g} for {enough} of "
                      f"{len(seeds)} seeds")


# ---------------------------------------------------------------------- comparing

def _smallest_failure(first, answer, cases, expected, compare, changes_arguments):
    """(difference, case) of the case with the fewest numbers that `answer` fails; `first` is the first that
    it failed, which is told when no other is smaller.
    """
    failures = [first]
    for case, right in zip(cases, expected, strict=True):
        try:
            wrong_here = compare(_call(answer, case, changes_arguments), right)
        except Exception:
            continue                                # the first failure had no exception
        if wrong_here:
            failures.append((wrong_here, case))
    return min(failures, key=lambda failure: _numbers(failure[1]))


def _numbers(value) -> int:
    """How many numbers a case holds."""
    value = _as_array(value)
    if isinstance(value, tuple | list):
        return sum(map(_numbers, value))
    if isinstance(value, Mapping):
        return sum(map(_numbers, value.values()))
    return value.size if isinstance(value, np.ndarray) else 1


def _call_keeping(function, case, changes_arguments):
    arguments = copy.deepcopy(case)
    result = function(*arguments)
    return (arguments if changes_arguments else copy.deepcopy(result)), arguments


def _call(function, case, changes_arguments):
    return _call_keeping(function, case, changes_arguments)[0]


def difference(found, right, rtol: float = 1e-5, atol: float = 1e-6, dtypes: bool = False) -> str:
    """What is wrong with `found`, in words; "" if it equals `right`; see `same_values`."""
    compare = functools.partial(difference, rtol=rtol, atol=atol, dtypes=dtypes)
    found, right = _as_array(found), _as_array(right)
    if isinstance(right, tuple | list):
        stacked = isinstance(found, np.ndarray) and found.ndim > 0
        if not (stacked or isinstance(found, tuple | list)) or len(found) != len(right):
            return f"it returns {_describe_one(found)}, expected {len(right)} values"
        parts = ((i, compare(a, b)) for i, (a, b) in enumerate(zip(found, right, strict=True)))
        return next((f"of value {i}: {text}" for i, text in parts if text), "")
    if isinstance(right, Mapping):
        if not isinstance(found, Mapping) or set(found) != set(right):
            return (f"it returns {_describe_one(found)}, expected a dict with the keys "
                    f"{', '.join(map(str, right))}")
        return next((f"of {key!r}: {text}" for key in right if (text := compare(found[key], right[key]))), "")
    try:
        a, b = np.asarray(found), np.asarray(right)
        if b.shape == () and a.shape == (1,):
            a = a[0]
        if a.shape != b.shape:
            return f"it gives the shape {a.shape}, expected {b.shape}"
        if dtypes and isinstance(right, np.ndarray | np.generic) and a.dtype != b.dtype:
            return f"it gives the dtype {a.dtype}, expected {b.dtype}"
        if b.dtype.kind not in "fciub" or a.dtype.kind not in "fciub":
            return ("" if np.array_equal(a, b)
                    else f"it gives {_describe_one(found)}, expected {_describe_one(right)}")
    except (TypeError, ValueError):
        return f"it gives {_describe_one(found)}, expected {_describe_one(right)}"
    close = np.isclose(a, b, rtol=rtol, atol=atol, equal_nan=True)
    if close.all():
        return ""
    where = tuple(int(i) for i in np.argwhere(~close)[0])
    place = f" at {where if len(where) > 1 else where[0]}" if where else ""
    return f"it gives {_number(a[where])}{place}, expected {_number(b[where])}"


def _as_array(value):
    """A tensor's values as an array; anything else as it is."""
    return value.detach().cpu().numpy() if hasattr(value, "detach") else value


def _number(value) -> str:
    return str(value) if value.dtype.kind == "b" else f"{value:.6g}"


def _describe(case) -> str:
    return ", ".join(_describe_one(value) for value in case)


def _describe_one(value) -> str:
    value = _as_array(value)
    if isinstance(value, np.ndarray) and value.size > 12:
        return f"{value.dtype} {value.shape}"
    text = repr(value).replace("\n", "")
    return text if len(text) <= 120 else f"a {type(value).__name__}"


def _notes(answer, function: str | None) -> tuple[Annotation, str]:
    notes = answer if isinstance(answer, Annotation) else _annotated(answer)
    name = function or getattr(answer, "__qualname__", None)
    if name is None:
        raise ValueError("no_python: say which function, e.g. no_python(source, 'Class.method')")
    return notes, name


def _annotated(answer) -> Annotation:
    if not isinstance(answer, str) and not hasattr(answer, "__fspath__") and made_by(answer) is None:
        raise CheckFailed(f"{getattr(answer, '__name__', 'it')} is not compiled: write it in a %%cython cell")
    return annotate(answer)
