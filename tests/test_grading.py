"""Submissions are graded: without nbgrader, whatever a student did to the notebook; and by nbgrader's whole cycle, run for real."""

import copy
import csv
import json
import os
import sys
import zlib
from html.parser import HTMLParser
from pathlib import Path

import nbformat
import numpy as np
import pytest
from toy_course import DOUBLE, MEAN, fill_in, make_course, toy_notebook

from puffer_min.course import exercises, grade, secret
from puffer_min.course.solutions import ROOT, SolutionsError, grade_id, is_task, read

REAL = exercises.solutions_of(ROOT)
RIGHT = {"double": "def double(number):\n    return 2 * number", "mean": MEAN["solution"], "negate": "negate = lambda number: -number"}
WAITS = {"level05-project": 0}              # graded by a person
CONSTANT = "def double(number):\n    return 6"


@pytest.fixture
def course(tmp_path, monkeypatch):
    return make_course(tmp_path, monkeypatch)


@pytest.fixture
def blank(course):
    """A student's untouched notebook, anew at each call."""
    return lambda: exercises.generate(read(course))


def hand_in(root, student, notebook):
    folder = root / "handed in" / student
    folder.mkdir(parents=True)
    nbformat.write(notebook, folder / "05_toys.ipynb")


def grade_one(root, notebook, **timeouts):
    """{exercise: (points, note)} for one submitted notebook."""
    hand_in(root, "student", notebook)
    grades = grade.grade_folder(root / "handed in", root, **timeouts)
    return {entry.exercise: (entry.points, entry.note) for entry in grades}


def cell_of(notebook, cell_id):
    return next(cell for cell in notebook.cells if cell.id == cell_id)


# Without nbgrader

def test_right_answers_earn_all_points_and_wrong_ones_the_sentence_of_their_check(tmp_path, blank):
    result = grade_one(tmp_path, fill_in(blank(), double=RIGHT["double"], mean="def mean(numbers):\n    return sum(numbers)"))
    assert result["double"] == (2, "")
    assert result["mean"] == (0, "the mean of 1, 2, 3 is not 2: is the sum divided by the length?")
    assert result["negate"] == (0, "not attempted")


def test_hidden_tests_are_put_back(tmp_path, blank):
    assert grade_one(tmp_path, fill_in(blank(), double=CONSTANT))["double"] == (0, "double(0.5) is not 1.0")


def test_changed_moved_and_deleted_test_cells_have_no_effect(tmp_path, blank):
    notebook = fill_in(blank(), double=CONSTANT, mean=RIGHT["mean"], negate="def negate(number):\n    return number")
    cell_of(notebook, "double-test").source = "pass"
    cell_of(notebook, "double-test").metadata.nbgrader.points = 100
    cell_of(notebook, "double-answer").metadata.nbgrader.update(solution=False, locked=True)
    notebook.cells = [cell for cell in notebook.cells if cell.id not in ("negate-test", "mean-setup", "title")][::-1]
    result = grade_one(tmp_path, notebook)
    assert {name: points for name, (points, _) in result.items()} == {"double": 0, "mean": 3, "negate": 0}


def test_another_check_in_the_students_cell_is_not_the_one_that_is_asked(tmp_path, blank):
    cheat = CONSTANT.replace("6", "7") + "\ncheck = lambda *_: None"
    assert grade_one(tmp_path, fill_in(blank(), double=cheat))["double"][0] == 0


def test_cells_the_student_added_run_where_they_stand(tmp_path, blank):
    notebook = fill_in(blank(), double="def double(number):\n    return number * factor()")
    place = notebook.cells.index(cell_of(notebook, "double-answer"))
    notebook.cells.insert(place, nbformat.v4.new_code_cell("def factor():\n    return 2"))
    notebook.cells.insert(place, nbformat.v4.new_code_cell("this is not Python"))
    assert grade_one(tmp_path, notebook)["double"] == (2, "")


def test_hang_and_crash_cost_their_own_exercise_only(tmp_path, blank):
    notebook = fill_in(blank(), double="def double(number):\n    while True: pass", mean="import os; os._exit(1)", negate=RIGHT["negate"])
    result = grade_one(tmp_path, notebook, cell_timeout=4)
    assert result["double"] == (0, "the cell ran longer than 4 s and was stopped")
    assert result["mean"][0] == 0 and result["mean"][1].startswith("the cell killed its kernel")
    assert result["negate"] == (1, "")


def test_an_attack_or_a_deadly_cell_of_ones_own_costs_nothing_else(tmp_path, blank):
    patch = ("import sys\nfor module in list(sys.modules.values()):\n    if hasattr(module, 'check'):\n        module.check = lambda *_: None\n")
    notebook = fill_in(blank(), **RIGHT | {"double": patch + CONSTANT})
    notebook.cells.insert(0, nbformat.v4.new_code_cell("import os; os._exit(0)"))
    result = grade_one(tmp_path, notebook)
    assert result == {"double": (0, "double(0.5) is not 1.0"), "mean": (3, ""), "negate": (1, "")}


def test_an_answer_that_leans_on_another_exercise_is_told_so(tmp_path, blank):
    notebook = fill_in(blank(), double=RIGHT["double"], mean="def mean(numbers):\n    return double(sum(numbers)) / 2 / len(numbers)")
    assert grade_one(tmp_path, notebook)["mean"] == (0, "NameError: name 'double' is not defined")


def test_a_machine_without_a_sandbox_is_warned_of(tmp_path, blank, capsys, monkeypatch):
    monkeypatch.setattr(grade, "best_mode", lambda: "plain")
    assert grade_one(tmp_path, fill_in(blank(), **RIGHT))["mean"] == (3, "")
    assert "WARNING: there is no sandbox here, so the answers run as you" in capsys.readouterr().err


def test_notebook_past_its_time_is_stopped_with_a_sentence(tmp_path, blank):
    result = grade_one(tmp_path, fill_in(blank(), **RIGHT), notebook_timeout=0)
    assert set(result.values()) == {(0, "the notebook had already run for 0 s")}


def test_unreadable_foreign_and_mangled_notebooks_get_a_sentence_and_the_others_their_grades(tmp_path, blank):
    hand_in(tmp_path, "anna", fill_in(blank(), **RIGHT))
    hand_in(tmp_path, "bert", nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell("1")]))
    hand_in(tmp_path, "carl", blank())
    (tmp_path / "handed in" / "carl" / "05_toys.ipynb").write_text("{")
    mangled = fill_in(blank(), **RIGHT)
    mangled.cells.remove(cell_of(mangled, "double-answer"))
    cell_of(mangled, "mean-answer").metadata.nbgrader = "lost"
    hand_in(tmp_path, "dora", mangled)
    grades = grade.grade_folder(tmp_path / "handed in", tmp_path, jobs=2)
    assert grade.totals(grades) == {"anna/05_toys": (6, 6), "bert/05_toys": (0, 6), "carl/05_toys": (0, 6), "dora/05_toys": (4, 6)}
    notes = {(entry.submission[:4], entry.exercise): entry.note for entry in grades if entry.note}
    assert {entry.submission[:4] for entry in grades if entry.state == "not gradable"} == {"bert", "carl"}
    assert notes == {("bert", ""): "holds no exercise of this course: hand in a notebook from exercises/ with its cells kept",
                     ("carl", ""): "05_toys.ipynb is not a notebook that can be read (JSONDecodeError): hand in the file that JupyterLab saves",
                     ("dora", "double"): "the answer's cell is missing (grade id 'double')"}


def test_command_prints_points_and_writes_csv_and_json(tmp_path, blank, capsys):
    hand_in(tmp_path, "anna", fill_in(blank(), **RIGHT))
    folder = tmp_path / "handed in"
    grade.main([str(folder), "--root", str(tmp_path)])
    printed = capsys.readouterr().out
    assert [line.split()[:4] for line in printed.splitlines()[1:5]] == [
        ["double", "2", "/", "2"], ["mean", "3", "/", "3"], ["negate", "1", "/", "1"], ["total", "6", "/", "6"]]
    assert printed.splitlines()[-1] == f"The grades of 1 notebooks are in {folder / 'grades.csv'} and {folder / 'grades.json'}."
    with (folder / "grades.csv").open() as file:
        assert [(row["exercise"], row["points"]) for row in csv.DictReader(file)] == [("double", "2.0"), ("mean", "3.0"), ("negate", "1.0")]
    submission, = json.loads((folder / "grades.json").read_text())["submissions"]
    assert (submission["submission"], submission["points"], submission["max_points"]) == ("anna/05_toys", 6, 6)


def test_hidden_inputs_come_from_the_secret_and_nothing_tells_it(tmp_path, monkeypatch, capsys):
    """The visible inputs and those of the seed 7 are public: an answer that knows both passes without a secret."""
    setup = """from puffer_min.course.check import register
@register("double")
def _(double, rng, hidden):
    "on a number"
    number = int(rng.integers(3, 10 ** 6)) if hidden else 3
    assert double(number) == 2 * number, f"double({number}) is wrong"
"""
    public = int(np.random.default_rng([7, zlib.crc32(b"double")]).integers(3, 10 ** 6))
    toy = DOUBLE | dict(setup=setup, hidden='check("double", double, hidden=True)')
    path = make_course(tmp_path, monkeypatch, toy_notebook(toy, module="puffer_min.course"))
    guess = f"def double(number):\n    return 2 * number if number in (3, {public}) else 0"
    for student in ("anna", "bert"):
        hand_in(tmp_path, student, fill_in(exercises.generate(read(path)), double=guess))
    secret.make(tmp_path / "secret")

    def notes(*words):
        grade.main([str(tmp_path / "handed in"), "--root", str(tmp_path), "--secret", str(tmp_path / "secret"), *words])
        return [row["note"] for row in csv.DictReader((tmp_path / "handed in" / "grades.csv").open())]

    same, own, again = notes(), notes("--per-student"), notes("--per-student")
    assert same[0] == same[1] and same[0].startswith("double: double(") and own[0] != own[1] and own == again
    seeds = secret.hidden_seeds(tmp_path / "secret")
    told = capsys.readouterr().out + (tmp_path / "handed in" / "grades.json").read_text()
    assert (tmp_path / "secret").read_text().strip() not in told and str(seeds.of("double")) not in told
    assert [entry.points for entry in grade.grade_folder(tmp_path / "handed in", tmp_path)] == [2, 2]


def test_nothing_to_grade_is_one_sentence(tmp_path, course):
    with pytest.raises(SolutionsError, match="there is no notebook under"):
        grade.grade_folder(tmp_path / "exercises", tmp_path)
    with pytest.raises(SolutionsError, match="there are no solutions under"):
        grade.grade_folder(tmp_path, tmp_path / "modules")


# nbgrader's cycle

def test_release_of_a_level_that_is_not_there_is_one_sentence(tmp_path, course):
    with pytest.raises(SystemExit, match="there are no solutions for level 7: the levels there are: 5"):
        exercises.main(["release", "--level", "7", "--root", str(tmp_path)])


def test_release_without_nbgrader_says_how_to_get_it(tmp_path, course, monkeypatch):
    monkeypatch.setitem(sys.modules, "nbgrader", None)
    with pytest.raises(SystemExit, match="nbgrader is not installed: run `pip install nbgrader`"):
        exercises.main(["release", "--level", "5", "--root", str(tmp_path)])


class Text(HTMLParser):
    """The words of a feedback page."""

    def __init__(self, page):
        super().__init__()
        self.words = ""
        self.feed(page)

    def handle_data(self, data):
        self.words += data


def run_nbgrader(classroom, exchange):
    """(config, api) of nbgrader with this course's nbgrader_config.py, as its command line would load it."""
    from nbgrader.apps.api import NbGraderAPI
    from traitlets.config import PyFileConfigLoader

    config = PyFileConfigLoader("nbgrader_config.py", path=str(ROOT)).load_config()
    config.CourseDirectory.root = str(classroom)
    config.Exchange.root, config.Exchange.cache = str(exchange), str(exchange.parent / "cache")
    return config, NbGraderAPI(config=config)


def exchange_step(name, config, assignment, student="*"):
    """One step of nbgrader's exchange, in the current folder: ReleaseAssignment, FetchAssignment, Submit, Collect."""
    from nbgrader.auth import Authenticator
    from nbgrader.coursedir import CourseDirectory
    from nbgrader.exchange import default

    directory = CourseDirectory(config=config, assignment_id=assignment, student_id=student)
    getattr(default, f"Exchange{name}")(coursedir=directory, authenticator=Authenticator(config=config), config=config).start()


def points_in_gradebook(classroom, assignment, notebook, student):
    from nbgrader.api import Gradebook

    with Gradebook(f"sqlite:///{classroom / 'gradebook.db'}") as gradebook:
        return {entry.name: entry.score for entry in gradebook.find_submission_notebook(notebook, assignment, student).grades}


def hand_out(classroom, assignment, monkeypatch):
    """Releases through a fresh exchange and fetches as a student, whose folder becomes the current one; returns (config, api)."""
    exchange, home = classroom.parent / "exchange", classroom.parent / "home"
    exchange.mkdir()
    exchange.chmod(0o777)
    home.mkdir()
    monkeypatch.chdir(home)
    config, api = run_nbgrader(classroom, exchange)
    exchange_step("ReleaseAssignment", config, assignment)
    exchange_step("FetchAssignment", config, assignment)
    return config, api


def submit_and_grade(config, api, assignment, student):
    """The student's notebook in the current folder goes through submit, collect, autograde and feedback."""
    exchange_step("Submit", config, assignment, student)
    exchange_step("Collect", config, assignment)
    for result in (api.autograde(assignment, student), api.generate_feedback(assignment, student)):
        assert result["success"], result.get("log", "") + result.get("error", "")


@pytest.fixture(scope="module")
def released(tmp_path_factory):
    """(solutions, classroom) of the toy level as `release` leaves it, which runs nbgrader's own command line."""
    pytest.importorskip("nbgrader")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PATH", os.environ["PATH"])             # nbgrader_config.py adds to it
        root = tmp_path_factory.mktemp("toys")
        solutions = make_course(root, patch, toy_notebook(project="## Project\n\nInvent a toy. See [the rubric](../teaching/rubrics.md)."))
        exercises.main(["release", "--level", "5", "--root", str(root), "--course", str(root / "classroom")])
        yield solutions, root / "classroom"


def test_released_notebook_is_the_generated_exercise(released):
    solutions, classroom = released
    notebook = nbformat.read(classroom / "release" / "level05" / "05_toys.ipynb", 4)
    assert notebook.cells[-1].source == "## Project\n\nInvent a toy. See the rubric." and "](../" not in str(notebook)
    assert "mistakes" not in str(notebook) and "Adding needs" not in str(notebook)
    generated = exercises.generate(read(solutions))
    sources = [[exercises.without_links(cell.source.split("\n\n[Solution]")[0]) for cell in found.cells] for found in (notebook, generated)]
    assert sources[0] == sources[1]
    assert [cell.metadata.get("exercise") for cell in notebook.cells] == [cell.metadata.get("exercise") for cell in generated.cells]


def test_nbgraders_cycle_from_release_to_feedback(released, monkeypatch):
    _, classroom = released
    config, api = hand_out(classroom, "level05", monkeypatch)
    path = Path("level05/05_toys.ipynb")
    blank = path.read_text()
    noisy = "import sys\nprint('warning', file=sys.stderr)\n" + RIGHT["mean"]
    for student, answers in {"right": RIGHT | {"mean": noisy}, "wrong": {"double": CONSTANT, "mean": RIGHT["mean"]}}.items():
        notebook = fill_in(nbformat.reads(blank, 4), **answers)
        if student == "wrong":
            cell_of(notebook, "double-test").source = "pass"
            cell_of(notebook, "double-answer").source += "\nimport sys\nsys.modules['toy_checks'].check = lambda *_: None"
            notebook.cells.remove(cell_of(notebook, "negate-test"))
            copied = copy.deepcopy(cell_of(notebook, "mean-answer"))
            notebook.cells.append(nbformat.from_dict(copied | {"id": "copied"}))
        nbformat.write(notebook, path)
        submit_and_grade(config, api, "level05", student)
    assert points_in_gradebook(classroom, "level05", "05_toys", "right") == {"double-test": 2, "mean-test": 3, "negate-test": 1, **WAITS}
    assert points_in_gradebook(classroom, "level05", "05_toys", "wrong") == {"double-test": 0, "mean-test": 3, "negate-test": 0, **WAITS}
    feedback = Text((classroom / "feedback" / "wrong" / "level05" / "05_toys.html").read_text())
    assert "double(0.5) is not 1.0" in feedback.words


def test_accidents_cost_what_they_concern_and_export_tells_them_from_0_points(released, monkeypatch, tmp_path):
    from nbgrader.api import Gradebook
    from nbgrader.apps.exportapp import ExportApp
    from nbgrader.coursedir import CourseDirectory

    _, classroom = released
    config, api = run_nbgrader(classroom, tmp_path / "exchange")
    blank = nbformat.read(classroom / "release" / "level05" / "05_toys.ipynb", 4)
    odd = fill_in(copy.deepcopy(blank), double=RIGHT["double"])
    odd.cells.append(nbformat.from_dict(cell_of(odd, "mean-answer") | {"id": "copied", "source": RIGHT["mean"]}))
    cell_of(odd, "double-test").metadata.nbgrader = {"grade_id": "double-test", "points": 1000, "schema_version": 99}
    folders = {}
    for student in ("broken", "foreign", "linked", "odd"):
        folders[student] = classroom / "submitted" / student / "level05"
        folders[student].mkdir(parents=True)
    nbformat.write(odd, folders["odd"] / "05_toys (1).ipynb")
    (folders["broken"] / "05_toys.ipynb").write_text("{")
    nbformat.write(nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell("1")]), folders["foreign"] / "03_algorithms.ipynb")
    (folders["linked"] / "05_toys.ipynb").symlink_to(folders["odd"] / "05_toys (1).ipynb")
    for student in folders:
        result = api.autograde("level05", student)
        assert result["success"], result.get("log", "") + result.get("error", "")
    with Gradebook(f"sqlite:///{classroom / 'gradebook.db'}") as gradebook:
        gradebook.update_or_create_student("absent")
    assert points_in_gradebook(classroom, "level05", "05_toys", "odd") == {"double-test": 2, "mean-test": 3, "negate-test": 0, **WAITS}
    assert api.generate_feedback("level05", "odd")["success"] and api.generate_feedback("level05", "broken")["success"]
    words = Text((classroom / "feedback" / "odd" / "level05" / "05_toys.html").read_text()).words
    assert "05_toys (1).ipynb was taken for 05_toys.ipynb" in words and "of the copies of the answer 'mean' the last one counts" in words
    assert "is not a notebook that can be read" in Text((classroom / "feedback" / "broken" / "level05" / "05_toys.html").read_text()).words

    app = ExportApp(config=config)
    app.plugin_class = config.ExportApp.plugin_class
    app.coursedir = CourseDirectory(config=config)
    app.init_plugin()
    app.plugin_inst.to = str(tmp_path / "grades.csv")
    with Gradebook(app.coursedir.db_url, app.coursedir.course_id) as gradebook:
        app.plugin_inst.export(gradebook)
    rows = {row["student_id"]: row for row in csv.DictReader((tmp_path / "grades.csv").open())}
    assert {name: (row["state"], row["score"]) for name, row in rows.items() if name in ("absent", *folders)} == {
        "absent": ("not handed in", ""), "broken": ("not gradable", ""), "foreign": ("not gradable", ""), "linked": ("not gradable", ""),
        "odd": ("waits for a person", "5.0")}
    assert rows["linked"]["note"] == "05_toys.ipynb is a link to another file: hand in the notebook itself"
    assert rows["foreign"]["note"].startswith("03_algorithms.ipynb holds no exercise of 05_toys") and rows["odd"]["max_score"] == "16.0"


@pytest.mark.skipif(not REAL, reason="no level has exercises yet")
def test_nbgraders_cycle_on_a_real_level(tmp_path, monkeypatch):
    pytest.importorskip("nbgrader")
    monkeypatch.setenv("PATH", os.environ["PATH"])
    solutions, classroom = read(REAL[0]), tmp_path / "classroom"
    assignment, worth = f"level{solutions.level:02d}", {grade_id(cell): 0 for cell in solutions.notebook.cells if is_task(cell)}
    exercises.release(solutions.level, ROOT, classroom)
    config, api = hand_out(classroom, assignment, monkeypatch)
    path = Path(assignment) / solutions.path.name
    answers = {exercise.id: exercise.source for exercise in solutions.exercises[1:]}        # all but the first, which stays a stub
    nbformat.write(fill_in(nbformat.read(path, 4), **answers), path)
    submit_and_grade(config, api, assignment, "student")
    for exercise in solutions.exercises:
        for cell in (solutions.notebook.cells[index] for index in exercise.tests):
            worth[cell.metadata.nbgrader.grade_id] = cell.metadata.nbgrader.points if exercise.id in answers else 0
    assert points_in_gradebook(classroom, assignment, solutions.name, "student") == worth
