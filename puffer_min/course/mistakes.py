"""Tries the checks: the solution must pass; the untouched stub and every listed wrong answer must fail.

    python -m puffer_min.course.mistakes                                every solutions notebook
    python -m puffer_min.course.mistakes solutions/03_algorithms.ipynb  one, with each wrong answer's sentence
    python -m puffer_min.course.mistakes --secrets 200                  do the solutions pass for 200 secrets?

One kernel a notebook. Before each try the names are put back as the locked set-up cells left them, so that no
answer leans on another: a student who fails the first exercise can still solve the second. A mistake has to
fail for its own reason: one that does not run at all (a misspelt name, a syntax error, a cell that does not
compile) would be caught by any check, proves nothing, and is reported.
"""

import argparse
import sys
from dataclasses import dataclass
from pathlib import Path

from puffer_min.course.exercises import solutions_of
from puffer_min.course.secret import HiddenSeeds
from puffer_min.course.session import Session
from puffer_min.course.solutions import (
    HIDDEN,
    ROOT,
    SolutionsError,
    grade_id,
    read,
    regions,
    replace_region,
    role,
)

CELL_SECONDS = 60.0
EACH_SEED = """
def _each_seed():
    import sys
    hidden_inputs = sys.modules["puffer_min.course.check"].hidden_inputs
    for seed in {seeds!r}:
        try:
            with hidden_inputs(seed):
                exec({test!r}, get_ipython().user_ns)
        except Exception as error:
            raise AssertionError(f"{{error}} (with the seed {{seed}})") from error
_each_seed()"""
NOT_RUNNABLE = {"NameError", "UnboundLocalError", "SyntaxError", "IndentationError", "TabError",
                "ImportError", "ModuleNotFoundError", "NotImplementedError", "CompileError"}


@dataclass(frozen=True)
class Trial:
    """One answer put to one exercise's tests: what the student would read, and what is wrong with the
    exercise (empty when nothing is).
    """

    exercise: str
    answer: str
    shown: str
    problem: str
    seconds: float


def examine(solutions, timeout=CELL_SECONDS):
    """Runs every answer of a `Solutions` through its tests and yields a `Trial` each. Raises SolutionsError
    when a set-up cell fails.
    """
    cells = solutions.notebook.cells
    exercise_at = {exercise.cells[0]: exercise for exercise in solutions.exercises}
    current = None
    with Session(solutions.path.parent, setup_timeout=timeout) as session:
        for index, cell in enumerate(cells):
            current = exercise_at.get(index, current)
            if cell.cell_type != "code":
                continue
            if role(cell) == "locked":
                session.restore()
                outcome = session.set_up(cell.source, timeout)
                if not outcome.ok:
                    raise SolutionsError(f"{solutions.path.name}: set-up cell '{grade_id(cell)}' fails: "
                                         f"{outcome.sentence}")
            elif role(cell) == "solution":
                tests = [cells[test].source for test in current.tests]
                yield from examine_exercise(session, current, tests, timeout)


def unfair(solutions, count, timeout=CELL_SECONDS):
    """Puts a `Solutions`' own answers to their hidden tests, with the inputs of `count` secrets; yields
    (grade id of the test cell, the sentence that refuses the answer or "", seconds). Cells of a part "speed"
    are left out: nothing in them is drawn.
    """
    cells, done = solutions.notebook.cells, 0
    with Session(solutions.path.parent, setup_timeout=timeout) as session:
        for current in solutions.exercises:
            for cell in cells[done:current.cells[-1] + 1]:
                if cell.cell_type == "code" and role(cell) == "locked":
                    session.restore()
                    session.set_up(cell.source, timeout)
            done = current.cells[-1] + 1
            session.restore()
            session.run(current.source, timeout)
            for test in [cells[i] for i in current.tests if not grade_id(cells[i]).endswith("-speed-test")]:
                seeds = [HiddenSeeds(number.to_bytes(32, "little")).of(current.id) for number in range(count)]
                outcome = session.run(EACH_SEED.format(seeds=seeds, test=hidden_part(test.source)),
                                      timeout * max(1, count))
                yield grade_id(test), outcome.sentence, outcome.seconds


def examine_exercise(session, exercise, tests, timeout):
    """Trials of one exercise: its solution, its stub, its mistakes."""
    yield try_solution(session, exercise, tests, timeout)
    yield try_stub(session, exercise, tests, timeout)
    for mistake in exercise.mistakes:
        yield try_mistake(session, exercise, mistake, tests, timeout)


def hidden_part(source):
    """The text of a test cell's hidden regions."""
    lines = source.split("\n")
    return "\n".join("\n".join(lines[begin + 1:end]) for begin, end in regions(source, HIDDEN))


def attempt(session, answer, tests, timeout):
    """Runs the answer and its tests on fresh names; returns (which cell failed first: "answer", "test" or "",
    its outcome, seconds).
    """
    session.restore()
    outcome = session.run(answer, timeout)
    seconds, failed = outcome.seconds, "" if outcome.ok else "answer"
    for test in tests:
        if failed:
            break
        outcome = session.run(test, timeout)
        seconds, failed = seconds + outcome.seconds, "" if outcome.ok else "test"
    return failed, outcome, seconds


def try_solution(session, exercise, tests, timeout):
    failed, outcome, seconds = attempt(session, exercise.source, tests, timeout)
    where = {"answer": "its own cell", "test": "its test"}.get(failed)
    problem = (f"exercise {exercise.id}: the true solution fails in {where}: {outcome.sentence}" if failed
               else "")
    rebound = [] if failed else session.rebound()
    if rebound:
        problem = (f"exercise {exercise.id}: its solution redefines {', '.join(rebound)} of the shared "
                   "set-up: rename it")
    return Trial(exercise.id, "the solution", outcome.sentence or "passes", problem, seconds)


def try_stub(session, exercise, tests, timeout):
    failed, outcome, seconds = attempt(session, replace_region(exercise.source, exercise.stub), tests,
                                       timeout)
    problem = ("" if failed else f"exercise {exercise.id}: the untouched stub passes every test, so an empty "
                                 "answer would earn the points")
    return Trial(exercise.id, "the stub", outcome.sentence or "passes", problem, seconds)


def try_mistake(session, exercise, mistake, tests, timeout):
    failed, outcome, seconds = attempt(session, replace_region(exercise.source, mistake.source), tests,
                                       timeout)
    named = f"exercise {exercise.id}, mistake '{mistake.name}'"
    if not failed:
        reason = f" ({mistake.why})" if mistake.why else ""
        problem = f"{named} survives: every test passes it; sharpen `check` or add a hidden test{reason}"
    elif failed == "answer":
        problem = f"{named} is badly written: its own cell fails before any test runs ({outcome.sentence})"
    elif outcome.status != "error":
        problem = f"{named} is badly written: {outcome.sentence}"
    else:
        broken = [error for error in session.last_errors() if error in NOT_RUNNABLE]
        problem = (f"{named} is badly written: it fails by {broken[-1]}, not by being wrong "
                   f"({outcome.sentence})" if broken else "")
    return Trial(exercise.id, mistake.name, outcome.sentence or "passes", problem, seconds)


def main(arguments=None):
    parser = argparse.ArgumentParser(prog="python -m puffer_min.course.mistakes",
                                     description=__doc__.split("\n")[0])
    parser.add_argument("notebooks", nargs="*", type=Path, help="solutions notebooks (default: all)")
    parser.add_argument("--secrets", type=int, metavar="N",
                        help="put the solutions alone to their hidden tests, with the inputs of N secrets")
    parser.add_argument("--timeout", type=float, default=CELL_SECONDS, help="seconds allowed to a cell")
    options = parser.parse_args(arguments)
    paths, trials = options.notebooks or solutions_of(ROOT), []
    try:
        for path in paths:
            print(path.name)
            if options.secrets:
                for name, sentence, seconds in unfair(read(path), options.secrets, options.timeout):
                    problem = f"{name}: the true solution is refused: {sentence}" if sentence else ""
                    trials.append(Trial(name, "the solution", sentence or "passes", problem, seconds))
                    print(f"  {name:36} {seconds:6.2f} s  {sentence or 'passes'}")
                continue
            for trial in examine(read(path), options.timeout):
                trials.append(trial)
                print(f"  {trial.exercise:24} {trial.answer:36} {trial.seconds:6.2f} s  {trial.shown}")
    except (SolutionsError, ChildProcessError) as error:
        sys.exit(str(error))
    problems = [trial.problem for trial in trials if trial.problem]
    if problems:
        sys.exit("\n".join(problems))
    print(f"{len(trials)} answers to the exercises of {len(paths)} notebooks fare as they should.")


if __name__ == "__main__":
    main()
