"""Reads `solutions/NN_name.ipynb`, the single source of a level's exercises, and says what is wrong with one.

The notebook is an ordinary nbgrader source notebook. An exercise is the run of cells from one header to the
next:

    markdown   ## Exercise 3.1: Title    **Goal.** …   ★★★☆☆ · 15 minutes   **Signature.** `gae(…) -> …`
    code       [locked]    more set-up, optional
    code       [solution]  def gae(…):
                               ### BEGIN SOLUTION … ### END SOLUTION       one region, replaced by the stub
                           metadata "exercise": {id, stub, mistakes: [{name, source, why}], beyond}
    code       [grade]     check("gae", gae)                               stays; one cell for each part
                           ### BEGIN HIDDEN TESTS … ### END HIDDEN TESTS  removed; one imports check afresh
    markdown   <details> hints </details>
    markdown   tag "solution-only": explanation, optional                  removed
    markdown   [task]      a project that a person grades, the last cell, optional

What can be read in the notebook (goal, difficulty, minutes) is read from there and kept nowhere else.
nbgrader's own metadata allows no foreign key, so the stub, the mistakes and `beyond`, a sentence on what only
the hidden tests ask, are beside it, under "exercise".
"""

import re
from dataclasses import dataclass
from pathlib import Path

import nbformat

ROOT = Path(__file__).resolve().parents[2]
SOLUTION = ("BEGIN SOLUTION", "END SOLUTION")
HIDDEN = ("BEGIN HIDDEN TESTS", "END HIDDEN TESTS")
SOLUTION_ONLY = "solution-only"
FEWEST, MOST = 3, 8
WIDGETS = re.compile(r"\b(ipywidgets|anywidget|interact\(|interactive\(|Player\(|training_dashboard\()")
HEADER = re.compile(r"^## Exercise (?P<level>\d+)\.(?P<number>\d+): (?P<title>.+)$", re.M)
GOAL = re.compile(r"^\*\*Goal\.\*\* +(.+)$", re.M)
EFFORT = re.compile(r"^(★{1,5})(☆{0,4}) · (\d+) minutes?$", re.M)
SIGNATURE = re.compile(r"^\*\*Signature\.\*\* +`.+`", re.M)


class SolutionsError(ValueError):
    """A solutions notebook that breaks a rule; the text has one sentence a line."""


@dataclass(frozen=True)
class Mistake:
    """A wrong answer a student would really give: the text put in the solution region's place."""

    name: str
    source: str
    why: str = ""


@dataclass(frozen=True)
class Exercise:
    """One exercise of the notebook; `cells` are indices into it, header first."""

    id: str
    title: str
    goal: str
    difficulty: int
    minutes: int
    stub: str
    mistakes: tuple[Mistake, ...]
    source: str
    tests: tuple[int, ...]
    cells: range
    beyond: str = ""


@dataclass(frozen=True)
class Solutions:
    """A level's solutions: the file, the notebook, the exercises in order."""

    path: Path
    notebook: nbformat.NotebookNode
    exercises: tuple[Exercise, ...]

    @property
    def name(self):
        return self.path.stem

    @property
    def level(self):
        return int(self.name[:2])


def marks(cell):
    """nbgrader's metadata of a cell; empty when there is none, or when a student made something else of it.
    """
    found = cell.metadata.get("nbgrader")
    return found if isinstance(found, dict) else {}


def role(cell):
    """What nbgrader makes of a cell: "solution", "grade", "locked", or "" for an ordinary one."""
    return next((kind for kind in ("solution", "grade", "locked") if marks(cell).get(kind)), "")


def is_task(cell):
    """Whether a person grades a cell."""
    return bool(marks(cell).get("task"))


def grade_id(cell):
    return str(marks(cell).get("grade_id", ""))


def regions(source, markers):
    """Pairs of line numbers (begin marker, end marker) of the marked regions in `source`. Raises
    SolutionsError when they do not match.
    """
    found, start = [], None
    for number, line in enumerate(source.split("\n")):
        if markers[0] in line:
            if start is not None:
                raise SolutionsError(f"a `### {markers[0]}` stands inside another one: end the first with "
                                     f"`### {markers[1]}`.")
            start = number
        elif markers[1] in line:
            if start is None:
                raise SolutionsError(f"a `### {markers[1]}` has no `### {markers[0]}` before it.")
            found.append((start, number))
            start = None
    if start is not None:
        raise SolutionsError(f"a `### {markers[0]}` is never ended: add `### {markers[1]}`.")
    return found


def replace_region(source, text):
    """`source` with its one solution region, markers included, replaced by `text` at the region's own
    indentation.
    """
    lines = source.split("\n")
    (begin, end), = regions(source, SOLUTION)
    indent = lines[begin][:len(lines[begin]) - len(lines[begin].lstrip())]
    body = [(indent + line) if line.strip() else "" for line in text.strip("\n").split("\n")]
    return "\n".join(lines[:begin] + body + lines[end + 1:])


def without_hidden_tests(source):
    """`source` without its hidden regions and without the blank lines they leave at the ends."""
    lines = source.split("\n")
    for begin, end in reversed(regions(source, HIDDEN)):
        del lines[begin:end + 1]
    return "\n".join(lines).strip("\n")


def asks_more(source):
    """Whether a test cell's hidden regions hold more than imports."""
    try:
        lines = source.split("\n")
        inside = [line for begin, end in regions(source, HIDDEN) for line in lines[begin + 1:end]]
    except SolutionsError:
        return False                            # `test_problems` tells
    return any(line.strip() and not re.match(r"\s*(import|from) ", line) for line in inside)


def read(path):
    """Reads and checks one solutions notebook. Raises SolutionsError with every rule it breaks, one sentence
    a line.
    """
    path = Path(path)
    if not path.exists():
        raise SolutionsError(f"there is no solutions notebook {path}: the ones there are lie in "
                             f"{path.parent}.")
    try:
        notebook = nbformat.read(path, as_version=4)
    except Exception as error:
        raise SolutionsError(f"{path} is not a notebook that can be read ({type(error).__name__}: "
                             f"{error}).") from error
    return parse(notebook, path)


def parse(notebook, path):
    """The `Solutions` in a notebook that is to stand at `path`. Raises SolutionsError with every rule it
    breaks, one sentence a line.
    """
    path = Path(path)
    problems = notebook_problems(notebook, path)
    headers = [index for index, cell in enumerate(notebook.cells) if cell.cell_type == "markdown"
               and HEADER.search(cell.source)]
    exercises = []
    for number, start in enumerate(headers, 1):
        stop = headers[number] if number < len(headers) else len(notebook.cells)
        try:
            exercises.append(parse_exercise(notebook, range(start, stop), path.stem[:2], number))
        except SolutionsError as error:
            title = HEADER.search(notebook.cells[start].source)["title"]
            problems += [f"exercise {number} ({title}): {line}" for line in str(error).split("\n")]
    if problems:
        raise SolutionsError("\n".join(f"{path.name}: {problem}" for problem in problems))
    return Solutions(path, notebook, tuple(exercises))


def notebook_problems(notebook, path):
    """Sentences about what is wrong with the notebook as a whole."""
    problems, seen = [], set()
    if not re.fullmatch(r"\d\d_[a-z0-9_]+", path.stem):
        problems.append("the name is not of the form NN_name.ipynb: name it after its chapter.")
    for index, cell in enumerate(notebook.cells):
        name = grade_id(cell)
        if cell.cell_type == "code" and not role(cell):
            problems.append(f"code cell {index} is neither solution, test nor locked: mark set-up cells "
                            "read-only in nbgrader's toolbar.")
        if role(cell) and (not name or name in seen):
            problems.append(f"cell {index} has the grade id '{name}', which is empty or taken: give it one "
                            "of its own.")
        if name and marks(cell).get("schema_version") != 3:
            problems.append(f"cell '{name}' does not have nbgrader's schema_version 3: save it from nbgrader "
                            "0.9.")
        if cell.cell_type == "code" and WIDGETS.search(cell.source):
            problems.append(f"cell {index} uses a widget ({WIDGETS.search(cell.source)[0]}): exercises must "
                            "run without a front end.")
        seen.add(name)
    return problems


def parse_exercise(notebook, cells, level, number):
    """The exercise in the given run of cells. Raises SolutionsError with every rule it breaks."""
    header = notebook.cells[cells[0]].source
    match, goal, effort = HEADER.search(header), GOAL.search(header), EFFORT.search(header)
    problems = []
    if (match["level"], match["number"]) != (str(int(level) if level.isdigit() else 0), str(number)):
        problems.append(f"the header is numbered {match['level']}.{match['number']}, expected "
                        f"{int(level)}.{number}.")
    if not goal:
        problems.append("the header has no line `**Goal.** …`.")
    if not effort or len(effort[1] + effort[2]) != 5:
        problems.append("the header has no line like `★★★☆☆ · 15 minutes`.")
    if not SIGNATURE.search(header):
        problems.append("the header has no line ``**Signature.** `name(arguments) -> result` ``.")
    parts = {kind: [index for index in cells if role(notebook.cells[index]) == kind]
             for kind in ("solution", "grade")}
    if len(parts["solution"]) != 1:
        raise SolutionsError("\n".join(problems + [f"it has {len(parts['solution'])} solution cells, "
                                                   "expected exactly one."]))
    answer = notebook.cells[parts["solution"][0]]
    details = answer.metadata.get("exercise", {})
    problems += answer_problems(answer, details)
    if not parts["grade"] or parts["grade"][0] < parts["solution"][0]:
        problems.append("it has no test cell after its solution: add one with points that calls "
                        "`check(...)`.")
    for index in parts["grade"]:
        problems += test_problems(notebook.cells[index])
    hides = any(asks_more(notebook.cells[index].source) for index in parts["grade"])
    if hides and not details.get("beyond", "").strip():
        problems.append("it has hidden tests but no exercise.beyond: say in one sentence what only they ask.")
    if not any("<details>" in notebook.cells[index].source for index in cells
               if notebook.cells[index].cell_type == "markdown"):
        problems.append("it has no folded hint: add a Markdown cell with `<details>` after the test cell.")
    if problems:
        raise SolutionsError("\n".join(problems))
    mistakes = tuple(Mistake(entry["name"], entry["source"], entry.get("why", ""))
                     for entry in details["mistakes"])
    return Exercise(details["id"], match["title"], goal[1], len(effort[1]), int(effort[3]), details["stub"],
                    mistakes, answer.source, tuple(parts["grade"]), cells, details.get("beyond", ""))


def answer_problems(cell, details):
    """Sentences about what is wrong with a solution cell and its "exercise" metadata."""
    problems = []
    try:
        if len(regions(cell.source, SOLUTION)) != 1:
            problems.append("its solution cell needs exactly one region from `### BEGIN SOLUTION` to `### "
                            "END SOLUTION`.")
    except SolutionsError as error:
        problems.append(str(error))
    if cell.cell_type != "code" or marks(cell).get("grade"):
        problems.append("its solution cell must be code that is autograded, not a manually graded answer.")
    for field in ("id", "stub"):
        if not isinstance(details.get(field), str) or not details[field].strip():
            problems.append(f"the solution cell's metadata has no exercise.{field}.")
    if details.get("id") and details["id"] != grade_id(cell):
        problems.append(f"exercise.id is '{details['id']}' but the grade id is '{grade_id(cell)}': make them "
                        "the same.")
    mistakes = details.get("mistakes") or []
    if not mistakes:
        problems.append("exercise.mistakes is empty: list the wrong answers a student would really give.")
    names = [entry.get("name") for entry in mistakes]
    if not all(entry.get("name") and entry.get("source",
                                               "").strip()
               for entry in mistakes) or len(set(names)) != len(names):
        problems.append("every mistake needs a name of its own and a source.")
    return problems


def test_problems(cell):
    """Sentences about what is wrong with a test cell."""
    name = grade_id(cell)
    problems = [] if marks(cell).get("points", 0) > 0 else [f"test cell '{name}' is worth no points."]
    try:
        if "check(" not in without_hidden_tests(cell.source):
            problems.append(f"test cell '{name}' has no visible `check(...)`, so the student would see "
                            "nothing.")
        if not re.search(r"import .*\bcheck\b", cell.source):
            problems.append(f"test cell '{name}' does not import check itself (in a hidden region), so a "
                            "student's own would be asked.")
    except SolutionsError as error:
        problems.append(str(error))
    return problems
