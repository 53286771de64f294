"""Grades a folder of filled-in exercise notebooks without nbgrader.

    python -m puffer_min.course.grade DIR        every .ipynb under DIR; writes DIR/grades.csv and
                                                 DIR/grades.json

The grader runs the course's own notebook with the student's answers put into it: set-up cells and tests, the
hidden ones included, come from solutions/, so a changed, moved or deleted test cell changes nothing. Cells
that the student added run at their place in the submission.

Each exercise's answer runs in a process of its own, in a sandbox (`sandbox` says what it sees and may use),
after the set-up cells and the student's own cells, without the other answers. What is right is decided in a
kernel of the course's own, see `judge`: nothing an answer does costs or earns another exercise's points.
Hidden tests draw their inputs from the course's secret where there is one (`secret`). A submission that holds
nothing to grade has the state "not gradable", which is not 0 points.
Where the system has no sandbox, the answers run as you, and a warning says so.
"""

import argparse
import csv
import json
import sys
import tempfile
import time
from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path

from puffer_min.course.exercises import solutions_of
from puffer_min.course.handed_in import NotGradable, level_of, load, rebuilt
from puffer_min.course.sandbox import MODES, best_mode, works
from puffer_min.course.secret import NO_SECRET, PLACE, hidden_seeds
from puffer_min.course.session import Session
from puffer_min.course.solutions import ROOT, SolutionsError, grade_id, is_task, read, replace_region, role

CELL_SECONDS = 120.0
NOTEBOOK_SECONDS = 1800.0
STOP_SECONDS = 120.0            # what the judge needs beyond the answer's own time
TRIAL = """from puffer_min.course.judge import trial as _trial
_trial(get_ipython(), {program!r}, {test!r}, {seconds!r}, {mode!r}, {seed!r})"""
WARNING = """WARNING: there is no sandbox here, so the answers run as you: they can read and change whatever
you can, gradebooks included, and use the network. Install bubblewrap (`apt install bubblewrap`), or grade in
a container (Containerfile), or grade only submissions from people you trust."""


@dataclass(frozen=True)
class Grade:
    """One exercise of one submission. `note` is empty for full points, otherwise one sentence. `state` is
    "graded", "not attempted", "not gradable" (there is nothing to grade, which is not 0 points), "waits for a
    person", or "remark" for a sentence about the whole submission.
    """

    submission: str
    notebook: str
    exercise: str
    points: float
    max_points: float
    note: str
    state: str = "graded"


@dataclass(frozen=True)
class Step:
    """One cell to run; `kind` is "setup", "answer", "test" or "added"; `exercise` is its exercise's id, ""
    where it has none; `cell` is a test's grade id.
    """

    kind: str
    source: str
    exercise: str = ""
    points: float = 0.0
    cell: str = ""


def matching(notebook, courses):
    """The `Solutions` that share the most exercises with a submitted notebook, or None; file names do not
    matter.
    """
    present = {grade_id(cell) for cell in notebook.cells}
    shared = [(sum(exercise.id in present for exercise in course.exercises), course) for course in courses]
    count, course = max(shared, key=lambda pair: pair[0], default=(0, None))
    return course if count else None


def answers_in(notebook, solutions):
    """{exercise id: the student's cell}; of two copies the last counts, as in nbgrader."""
    names = {exercise.id for exercise in solutions.exercises}
    return {grade_id(cell): cell.source for cell in notebook.cells if grade_id(cell) in names}


def assemble(notebook, solutions):
    """The steps that grade a submission: the course's cells in the course's order, answers and added cells
    from the student.
    """
    known = {grade_id(cell) for cell in solutions.notebook.cells if role(cell)}
    answers, added, after = answers_in(notebook, solutions), defaultdict(list), ""
    for cell in notebook.cells:
        if grade_id(cell) in known:
            after = grade_id(cell)
        elif cell.cell_type == "code" and cell.source.strip():
            added[after].append(Step("added", cell.source))
    steps, owner = list(added[""]), {index: exercise.id for exercise in solutions.exercises
                                     for index in exercise.cells}
    for index, cell in enumerate(solutions.notebook.cells):
        kind, name = role(cell), grade_id(cell)
        if cell.cell_type == "code" and kind == "locked":
            steps.append(Step("setup", cell.source))
        elif kind == "solution" and name in answers:
            steps.append(Step("answer", answers[name], owner[index]))
        elif kind == "grade":
            steps.append(Step("test", cell.source, owner[index], float(cell.metadata.nbgrader.points),
                              name))
        if kind:
            steps += added[name]
    return steps


def verdicts(steps, session, cell_timeout, notebook_timeout, mode, seed_of):
    """Puts every answer to its tests, each test in a process of its own; yields (step, sentence) of every
    test, the sentence empty where it passes.

    session: the judge's kernel, which runs set-up cells and tests but no cell of the student's. mode: of
    `sandbox`. seed_of: the seed of an exercise's hidden inputs. Raises SolutionsError when a set-up cell of
    the course fails.
    """
    before, deadline = [], time.monotonic() + notebook_timeout
    for step in steps:
        seconds = min(cell_timeout, deadline - time.monotonic())
        if step.kind != "test":
            before.append(step)
        if seconds <= 0:
            if step.kind == "test":
                yield step, f"the notebook had already run for {notebook_timeout:.0f} s"
        elif step.kind == "setup":
            outcome = session.set_up(step.source, seconds)
            if not outcome.ok:
                raise SolutionsError("a set-up cell of the course fails in this notebook: "
                                     f"{outcome.sentence}")
        elif step.kind == "test":
            program = [(cell.kind, cell.source) for cell in before if cell.exercise in ("", step.exercise)]
            outcome = session.run(TRIAL.format(program=program, test=step.source, seconds=seconds, mode=mode,
                                               seed=seed_of(step.exercise)),
                                  seconds * (len(program) + 1) + STOP_SECONDS)
            if outcome.status in ("timeout", "died"):
                session.restore()
            yield step, outcome.sentence


def run_notebook(notebook, solutions, cell_timeout=CELL_SECONDS, notebook_timeout=NOTEBOOK_SECONDS,
                 mode=None, seed_of=NO_SECRET.of):
    """All `verdicts` on a submitted notebook, by a judge of its own."""
    # the judge starts in an empty folder: a numpy.py beside the notebook must not become its numpy
    with tempfile.TemporaryDirectory() as empty, Session(empty, setup_timeout=cell_timeout) as session:
        return list(verdicts(assemble(notebook, solutions), session, cell_timeout, notebook_timeout,
                             mode or best_mode(), seed_of))


def grade_notebook(path, courses, name, cell_timeout=CELL_SECONDS, notebook_timeout=NOTEBOOK_SECONDS,
                   mode=None, seeds=NO_SECRET):
    """Grades one submitted notebook: a `Grade` per exercise. Never raises for what a student handed in: the
    note says what is wrong. mode: of `sandbox`, default the safest that there is.
    """
    try:
        given = load(path)
        solutions = matching(given, courses)
        if solutions is None:
            raise NotGradable("holds no exercise of this course: hand in a notebook from exercises/ with its "
                              "cells kept")
    except NotGradable as error:
        level = level_of(path, courses)
        return [Grade(name, level.name if level else "", "", 0.0, points_of(level) if level else 0.0,
                      str(error), "not gradable")]
    notebook, remarks = rebuilt(given, solutions)
    points, notes, student = defaultdict(float), defaultdict(list), name.split("/")[0]
    try:
        for step, sentence in run_notebook(notebook, solutions, cell_timeout, notebook_timeout, mode,
                                           lambda exercise: seeds.of(exercise, student)):
            points[step.exercise] += 0.0 if sentence else step.points
            notes[step.exercise] += [sentence] if sentence else []
    except SolutionsError as error:
        notes = {exercise.id: [str(error)] for exercise in solutions.exercises}
    answers = answers_in(given, solutions)
    return [*(grade_exercise(name, solutions, exercise, answers, points, notes)
              for exercise in solutions.exercises),
            *(Grade(name, solutions.name, grade_id(cell), 0.0, 0.0,
                    f"graded by a person, of {cell.metadata.nbgrader.points:g} points", "waits for a person")
              for cell in solutions.notebook.cells if is_task(cell)),
            *(Grade(name, solutions.name, "", 0.0, 0.0, remark, "remark") for remark in remarks)]


def points_of(solutions):
    """The most points of a level."""
    cells = solutions.notebook.cells
    return float(sum(cells[test].metadata.nbgrader.points for exercise in solutions.exercises
                     for test in exercise.tests))


def grade_exercise(name, solutions, exercise, answers, points, notes):
    """The `Grade` of one exercise from what its steps earned and said."""
    cells = solutions.notebook.cells
    worth = float(sum(cells[test].metadata.nbgrader.points for test in exercise.tests))
    earned = points.get(exercise.id, 0.0)
    note, state = "; ".join(dict.fromkeys(notes.get(exercise.id, []))), "graded"
    if earned == worth:
        note = ""
    elif exercise.id not in answers:
        note, state = f"the answer's cell is missing (grade id '{exercise.id}')", "not attempted"
    elif answers[exercise.id].strip() == replace_region(exercise.source, exercise.stub).strip():
        note = state = "not attempted"
    return Grade(name, solutions.name, exercise.id, earned, worth, note, state)


def grade_folder(folder, root=ROOT, cell_timeout=CELL_SECONDS, notebook_timeout=NOTEBOOK_SECONDS, jobs=1,
                 report=None, mode=None, seeds=NO_SECRET):
    """Grades every notebook under `folder`, in the order of their paths; calls report(grades of one notebook)
    as each is done.

    jobs: notebooks graded at once; checks that measure speed are fair only with 1. mode: of `sandbox`,
    default the safest that there is; a warning goes to stderr when that is none. seeds: of the hidden
    inputs; a student is the first folder of a path. Raises SolutionsError when there is nothing to grade.
    """
    folder = Path(folder)
    paths = [path for path in sorted(folder.rglob("*.ipynb")) if ".ipynb_checkpoints" not in path.parts]
    if not paths:
        raise SolutionsError(f"there is no notebook under {folder}: give the folder that holds the filled-in "
                             "exercises.")
    courses = [read(path) for path in solutions_of(root)]
    if not courses:
        raise SolutionsError(f"there are no solutions under {root}: run this from a clone of the course's "
                             "repository.")

    mode = mode or best_mode()
    if mode == "plain":
        print(WARNING, file=sys.stderr, flush=True)

    def grade_one(path):
        name = path.relative_to(folder).with_suffix("").as_posix()
        return grade_notebook(path, courses, name, cell_timeout, notebook_timeout, mode, seeds)

    everything = []
    with ThreadPoolExecutor(jobs) as pool:
        for grades in pool.map(grade_one, paths):
            everything += grades
            if report:
                report(grades)
    return everything


def write_grades(grades, folder):
    """Writes grades.csv and grades.json into `folder`, made if need be, and returns the two paths."""
    Path(folder).mkdir(parents=True, exist_ok=True)
    table, record = Path(folder) / "grades.csv", Path(folder) / "grades.json"
    rows = [asdict(grade) for grade in grades]
    with table.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, fieldnames=list(Grade.__dataclass_fields__))
        writer.writeheader()
        writer.writerows(rows)
    submissions = [{"submission": name, "state": state_of(name, grades), "points": points,
                    "max_points": worth, "exercises": [row for row in rows if row["submission"] == name]}
                   for name, (points, worth) in totals(grades).items()]
    record.write_text(json.dumps({"submissions": submissions}, indent=1, ensure_ascii=False) + "\n",
                      encoding="utf-8")
    return table, record


def state_of(submission, grades):
    """"not gradable" for a submission that holds nothing to grade, else "graded"."""
    states = {grade.state for grade in grades if grade.submission == submission}
    return "not gradable" if "not gradable" in states else "graded"


def totals(grades):
    """{submission: (points, max_points)} in the order graded."""
    sums = {}
    for grade in grades:
        points, worth = sums.get(grade.submission, (0.0, 0.0))
        sums[grade.submission] = (points + grade.points, worth + grade.max_points)
    return sums


def print_grades(grades):
    """The rows of one submission and its total."""
    print(grades[0].submission)
    for grade in grades:
        print(f"  {grade.exercise or '-':24} {grade.points:5g} / {grade.max_points:<5g} {grade.note}")
    (points, worth), = totals(grades).values()
    print(f"  {'total':24} {points:5g} / {worth:<5g}", flush=True)


def main(arguments=None):
    parser = argparse.ArgumentParser(prog="python -m puffer_min.course.grade",
                                     description=__doc__.split("\n")[0])
    parser.add_argument("folder", type=Path,
                        help="folder of submitted notebooks, for example one subfolder a student")
    parser.add_argument("--out", type=Path, help="folder for grades.csv and grades.json (default: the same)")
    parser.add_argument("--timeout", type=float, default=CELL_SECONDS, help="seconds allowed to a cell")
    parser.add_argument("--notebook-timeout", type=float, default=NOTEBOOK_SECONDS,
                        help="seconds allowed to a notebook")
    parser.add_argument("--jobs", type=int, default=1,
                        help="notebooks graded at once; more than one disturbs checks of speed")
    parser.add_argument("--sandbox", choices=MODES, help="default: the first of these that works here")
    parser.add_argument("--secret", type=Path, help="file of the course's secret (default: "
                                                    f"{PLACE.relative_to(ROOT)} if it is there)")
    parser.add_argument("--per-student", action="store_true",
                        help="other hidden inputs for each student, the first folder of a path")
    parser.add_argument("--root", type=Path, default=ROOT, help="the folder that holds solutions/")
    options = parser.parse_args(arguments)
    if options.sandbox and not works(options.sandbox):
        sys.exit(f"the sandbox {options.sandbox} does not start here: leave --sandbox out to take the safest "
                 "that does.")
    try:
        seeds = hidden_seeds(options.secret, options.per_student)
        grades = grade_folder(options.folder, options.root, options.timeout, options.notebook_timeout,
                              options.jobs, print_grades, options.sandbox, seeds)
    except (SolutionsError, ChildProcessError) as error:
        sys.exit(str(error))
    table, record = write_grades(grades, options.out or options.folder)
    print(f"The grades of {len(totals(grades))} notebooks are in {table} and {record}.")


if __name__ == "__main__":
    main()
