"""Builds the cells of a solutions notebook, so that a chapter's author writes Python text instead of notebook
JSON.

    from puffer_min.course.authoring import exercise, solutions_notebook, write

    write(solutions_notebook(level=3, title="Algorithms", introduction="…", setup="import numpy as np",
    exercises=[
        exercise(id="gae", title="Generalised advantage estimation", goal="…", difficulty=3, minutes=20, …),
    ]), "solutions/03_algorithms.ipynb")

The script is thrown away afterwards: the notebook is the source, edited in JupyterLab from then on. What
JupyterLab shows badly, the stub and the mistakes in a cell's metadata, `amend` changes in place.
solutions/README.md tells the whole story on one page.
"""

import itertools
from pathlib import Path

import nbformat
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

from puffer_min.course.exercises import KERNEL, notebook_text
from puffer_min.course.solutions import HEADER, SOLUTION_ONLY, SolutionsError, grade_id, parse, role

IMPORT_CHECK = "### BEGIN HIDDEN TESTS\nfrom puffer_min.course import check\n### END HIDDEN TESTS"


def nbgrader_marks(name, *, solution=False, grade=False, points=None):
    """nbgrader's cell metadata, schema version 3; a cell that is neither solution nor test is locked."""
    marks = {"schema_version": 3, "grade_id": name, "solution": solution, "grade": grade,
             "locked": not solution}
    return marks | ({"points": points} if grade else {})


def exercise(*, id, title, goal, difficulty, minutes, signature, solution, hints, mistakes, stub=None,
             check="", hidden="", points=None, tests=None, beyond="", setup="", text="", explanation=""):
    """The parts of one exercise, for `solutions_notebook` to number and lay out.

    id: short name, unique in the course, the same as in `check("id", …)`; letters, digits, underscores,
    hyphens. title, goal: one line, one sentence. difficulty: 1 to 5. minutes: what a student needs.
    signature: `name(arguments) -> result`, with shapes and dtypes; shown in the header.
    solution: the whole solution cell with one region from `### BEGIN SOLUTION` to `### END SOLUTION`; may
    begin with %%cython. stub: what stands in the region's place (default: raise NotImplementedError("write ID
    here")); it must not pass the check. check: the visible test, `check("id", thing)`; hidden: more tests,
    which import what they use. hints: Markdown texts, each folded. mistakes: dicts {name, source, why};
    source is put in the region's place, indented as the region is. setup: a locked code cell before the
    answer. text: Markdown under the header. explanation: Markdown shown in the solutions alone. points: what
    the test cell is worth (default: the difficulty).

    tests: in place of check, hidden and points, where an exercise has several test cells: dicts {part, check,
    hidden, points}, part and hidden "" unless given. beyond: one sentence on what only the hidden tests ask.
    """
    tests = tests or [{"check": check, "hidden": hidden, "points": points or difficulty}]
    return {"id": id, "title": title, "goal": goal, "difficulty": difficulty, "minutes": minutes,
            "signature": signature,
            "solution": solution.strip("\n"),
            "stub": (stub or f'raise NotImplementedError("write {id} here")').strip("\n"),
            "tests": tests, "beyond": beyond.strip("\n"), "setup": setup.strip("\n"),
            "text": text.strip("\n"), "explanation": explanation.strip("\n"),
            "hints": [hint.strip("\n") for hint in hints], "mistakes": tidy(mistakes)}


def tidy(mistakes):
    return [{key: text.strip("\n") for key, text in mistake.items()} for mistake in mistakes]


def header_text(part, level, number):
    """The header's Markdown, in the form `puffer_min.course.solutions` reads it back."""
    stars = "★" * part["difficulty"] + "☆" * (5 - part["difficulty"])
    unit = "minute" if part["minutes"] == 1 else "minutes"
    lines = [f"## Exercise {level}.{number}: {part['title']}", f"**Goal.** {part['goal']}",
             f"{stars} · {part['minutes']} {unit}", f"**Signature.** `{part['signature']}`", part["text"]]
    return "\n\n".join(filter(None, lines))


def hints_text(hints):
    return "\n\n".join(f"<details><summary>Hint {number}</summary>\n\n{hint}\n\n</details>"
                       for number, hint in enumerate(hints, 1))


def exercise_cells(part, level, number):
    """The cells of one exercise, with ids made from its own: NAME-header, -setup, -answer, -test (or
    -PART-test), -hints, -explanation.
    """
    name = part["id"]
    answer = {"nbgrader": nbgrader_marks(name, solution=True),
              "exercise": {key: part[key] for key in ("id", "stub", "mistakes", "beyond") if part[key]}}
    cells = [new_markdown_cell(header_text(part, level, number), id=f"{name}-header")]
    if part["setup"]:
        cells.append(new_code_cell(part["setup"], id=f"{name}-setup",
                                   metadata={"nbgrader": nbgrader_marks(f"{name}-setup")}))
    cells.append(new_code_cell(part["solution"], id=f"{name}-answer", metadata=answer))
    cells += [test_cell(name, **test) for test in part["tests"]]
    cells.append(new_markdown_cell(hints_text(part["hints"]), id=f"{name}-hints"))
    if part["explanation"]:
        cells.append(new_markdown_cell(part["explanation"], id=f"{name}-explanation",
                                       metadata={"tags": [SOLUTION_ONLY]}))
    return cells


def test_cell(exercise, *, check, points, part="", hidden=""):
    """One test cell of an exercise."""
    name = "-".join(filter(None, [exercise, part, "test"]))
    hidden = f"\n### BEGIN HIDDEN TESTS\n{hidden.strip()}\n### END HIDDEN TESTS" if hidden else ""
    return new_code_cell(f"{IMPORT_CHECK}\n{check.strip()}{hidden}", id=name,
                         metadata={"nbgrader": nbgrader_marks(name, grade=True, points=points)})


def project_cell(level, text, points):
    """A locked Markdown cell that a person grades: the level's open project and its rubric. The student adds
    cells under it.
    """
    marks = nbgrader_marks(f"level{level:02d}-project") | {"task": True, "points": points}
    return new_markdown_cell(text.strip("\n"), id="project", metadata={"nbgrader": marks})


def solutions_notebook(*, level, title, introduction, setup, exercises, project="", project_points=10):
    """The notebook: a title, the introduction, one locked set-up cell, then the exercises in order.

    setup: code that every exercise may rely on; it imports, defines and fixes constants, and holds nothing
    that an answer would change, because each exercise is tried in a namespace of this cell's names alone.
    project: Markdown of an open project that a person grades, the last cell.
    """
    cells = [new_markdown_cell(f"# Level {level} exercises: {title}\n\n{introduction.strip()}", id="title"),
             new_code_cell(setup.strip("\n"), id="setup", metadata={"nbgrader": nbgrader_marks("setup")})]
    for number, part in enumerate(exercises, 1):
        cells += exercise_cells(part, level, number)
    if project:
        cells.append(project_cell(level, project, project_points))
    return new_notebook(cells=cells, metadata=KERNEL)


def write(notebook, path):
    """Checks the notebook and writes it without outputs. Raises SolutionsError with every rule it breaks, one
    sentence a line.
    """
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None
        cell.metadata.pop("execution", None)
    parse(notebook, path)
    Path(path).write_text(notebook_text(notebook), encoding="utf-8")


def amend(path, id, *, stub=None, mistakes=None, tests=None, beyond=None):
    """Replaces the stub, the mistakes, the test cells (as in `exercise`) or what only the hidden tests ask of
    one exercise of a written notebook, and leaves all else as it is. Outputs go: run the notebook again.
    """
    notebook = nbformat.read(path, as_version=4)
    cell = next((cell for cell in notebook.cells if grade_id(cell) == id and "exercise" in cell.metadata),
                None)
    if cell is None:
        names = ", ".join(cell.metadata.exercise.id for cell in notebook.cells if "exercise" in cell.metadata)
        raise SolutionsError(f"{path} has no exercise '{id}': it has {names or 'none'}.")
    if stub is not None:
        cell.metadata.exercise.stub = stub.strip("\n")
    if mistakes is not None:
        cell.metadata.exercise.mistakes = [nbformat.from_dict(mistake) for mistake in tidy(mistakes)]
    if beyond is not None:
        cell.metadata.exercise.beyond = beyond.strip("\n")
    if tests is not None:
        after = notebook.cells.index(cell) + 1
        rest = list(itertools.takewhile(lambda later: not HEADER.search(later.source),
                                        notebook.cells[after:]))
        kept = [later for later in rest if role(later) != "grade"]
        notebook.cells[after:after + len(rest)] = [*(test_cell(id, **test) for test in tests), *kept]
    write(notebook, path)
