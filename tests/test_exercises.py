"""Exercises are generated from solutions, and the checks tell right answers from wrong ones: on a toy course, then on every real level."""

import json

import nbformat
import pytest
from toy_course import DOUBLE, MEAN, NEGATE, fill_in, make_course, toy_notebook

from puffer_min.course import exercises
from puffer_min.course.authoring import amend, exercise, solutions_notebook, write
from puffer_min.course.mistakes import examine, unfair
from puffer_min.course.session import Session
from puffer_min.course.solutions import (
    FEWEST,
    MOST,
    ROOT,
    WIDGETS,
    SolutionsError,
    is_task,
    parse,
    read,
    regions,
    replace_region,
    without_hidden_tests,
)

REAL = exercises.solutions_of(ROOT)


@pytest.fixture
def course(tmp_path, monkeypatch):
    return make_course(tmp_path, monkeypatch)


def cell_of(notebook, cell_id):
    return next(cell for cell in notebook.cells if cell.id == cell_id)


def problems_of(path, **timeout):
    return [trial.problem for trial in examine(read(path), **timeout) if trial.problem]


# Generation

def test_stub_replaces_the_answer_at_its_own_indentation(course):
    notebook = exercises.generate(read(course))
    assert cell_of(notebook, "double-answer").source == 'def double(number):\n    raise NotImplementedError("write double here")'
    assert cell_of(notebook, "mean-answer").source == MEAN["stub"]


def test_hidden_tests_go_and_the_visible_check_stays(course):
    assert cell_of(exercises.generate(read(course)), "double-test").source == 'check("double", double)'


def test_nothing_of_the_answers_leaks_into_the_exercises(course):
    text = exercises.notebook_text(exercises.generate(read(course)))
    secrets = ("squares", "number * number", "total = number", "mistakes", "Adding needs", "SOLUTION", "HIDDEN", "0.5")
    assert [secret for secret in secrets if secret in text] == []


def test_hints_stay_folded_and_link_to_the_solution(course):
    hints = cell_of(exercises.generate(read(course)), "mean-hints").source
    assert "<details><summary>Hint 1</summary>" in hints
    assert hints.endswith("[Solution](../solutions/05_toys.ipynb#cell-id=mean-header)")


def test_header_shows_goal_difficulty_minutes_and_signature(course):
    header = cell_of(exercises.generate(read(course)), "mean-header").source
    assert header.split("\n\n") == ["## Exercise 5.2: The middle", "**Goal.** Write a mean.", "★★☆☆☆ · 5 minutes",
                                    "**Signature.** `mean(numbers) -> float`", MEAN["text"]]
    found = read(course).exercises[1]
    assert (found.goal, found.difficulty, found.minutes, found.title) == ("Write a mean.", 2, 5, "The middle")


def test_tests_and_set_up_are_locked_and_answers_are_not(course):
    notebook = exercises.generate(read(course))
    editable = {cell.id: cell.metadata.get("editable", True) for cell in notebook.cells}
    assert [name for name, free in editable.items() if not free] == ["setup", "double-test", "mean-setup", "mean-test", "negate-test"]


def test_generated_bytes_are_the_same_each_time_and_outputs_are_cleared(course):
    solutions = read(course)
    solutions.notebook.cells[1].outputs = [nbformat.v4.new_output("stream", text="seen")]
    texts = {exercises.notebook_text(exercises.generate(solutions)) for _ in range(2)}
    assert len(texts) == 1 and "seen" not in texts.pop()


def test_check_mode_names_the_notebook_that_differs_and_the_command(course, tmp_path, capsys):
    with pytest.raises(SystemExit, match="exercises/05_toys.ipynb is missing: run `make exercises`"):
        exercises.main(["--check", "--root", str(tmp_path)])
    exercises.main(["--root", str(tmp_path)])
    exercises.main(["--check", "--root", str(tmp_path)])
    assert "All 1 notebooks" in capsys.readouterr().out
    amend(course, "double", stub="pass")
    with pytest.raises(SystemExit, match="differs from what solutions/05_toys.ipynb generates: run `make exercises`"):
        exercises.main(["--check", "--root", str(tmp_path)])


def test_check_mode_finds_exercises_that_nothing_generates(course, tmp_path):
    exercises.main(["--root", str(tmp_path)])
    (tmp_path / "exercises" / "06_lost.ipynb").write_text("{}")
    with pytest.raises(SystemExit, match="exercises/06_lost.ipynb has no solutions/06_lost.ipynb"):
        exercises.main(["--check", "--root", str(tmp_path)])


def test_answers_somebody_wrote_are_not_overwritten_unasked(course, tmp_path):
    exercises.main(["--root", str(tmp_path)])
    path = tmp_path / "exercises" / "05_toys.ipynb"
    nbformat.write(fill_in(nbformat.read(path, 4), double="def double(number):\n    return 2 * number"), path)
    with pytest.raises(SystemExit, match="holds answers to double: move it away"):
        exercises.main(["--root", str(tmp_path)])
    assert "2 * number" in path.read_text()
    exercises.main(["--root", str(tmp_path), "--overwrite"])
    assert "2 * number" not in path.read_text()


# Reading and authoring

@pytest.mark.parametrize("change, sentence", [
    (dict(goal=""), "no line `\\*\\*Goal"),
    (dict(minutes="ten"), "no line like `★★★☆☆ · 15 minutes`"),
    (dict(solution="def double(n):\n    return n + n"), "exactly one region"),
    (dict(solution="def double(n):\n    ### BEGIN SOLUTION\n    return n"), "never ended"),
    (dict(mistakes=[]), "exercise.mistakes is empty"),
    (dict(mistakes=[{"name": "a", "source": "pass"}, {"name": "a", "source": "pass"}]), "a name of its own"),
    (dict(check="assert double(2) == 4"), "no visible `check"),
    (dict(hints=[]), "no folded hint"),
    (dict(setup="import ipywidgets"), "uses a widget"),
    (dict(points=-1), "worth no points"),
])
def test_a_broken_exercise_is_named_with_the_rule_it_breaks(tmp_path, change, sentence):
    with pytest.raises(SolutionsError, match=f"05_toys.ipynb: (exercise 2 \\(.*\\): )?.*{sentence}"):
        write(toy_notebook(NEGATE, DOUBLE | change), tmp_path / "05_toys.ipynb")
    assert not (tmp_path / "05_toys.ipynb").exists()


def test_code_outside_nbgraders_cells_is_refused(tmp_path):
    notebook = toy_notebook()
    notebook.cells.append(nbformat.v4.new_code_cell("x = 1"))
    with pytest.raises(SolutionsError, match="neither solution, test nor locked"):
        parse(notebook, tmp_path / "05_toys.ipynb")


def test_a_test_cell_must_import_check_itself(tmp_path):
    notebook = toy_notebook()
    cell_of(notebook, "double-test").source = 'check("double", double)'
    with pytest.raises(SolutionsError, match="does not import check itself"):
        parse(notebook, tmp_path / "05_toys.ipynb")


def test_every_broken_rule_is_told_at_once(tmp_path):
    with pytest.raises(SolutionsError) as caught:
        write(toy_notebook(DOUBLE | dict(goal="", hints=[], mistakes=[])), tmp_path / "05_toys.ipynb")
    assert len(str(caught.value).split("\n")) == 3


def test_a_missing_or_unreadable_notebook_is_one_sentence(tmp_path):
    (tmp_path / "05_toys.ipynb").write_text("not json")
    with pytest.raises(SolutionsError, match="is not a notebook that can be read"):
        read(tmp_path / "05_toys.ipynb")
    with pytest.raises(SolutionsError, match="there is no solutions notebook"):
        read(tmp_path / "06_none.ipynb")


def test_amend_changes_the_mistakes_and_nothing_else(course):
    before = json.loads(course.read_text())
    amend(course, "double", mistakes=[{"name": "triples", "source": "return 3 * number\n"}])
    after = json.loads(course.read_text())
    assert read(course).exercises[0].mistakes[0].source == "return 3 * number"
    before["cells"][3]["metadata"]["exercise"]["mistakes"] = after["cells"][3]["metadata"]["exercise"]["mistakes"]
    assert before == after
    with pytest.raises(SolutionsError, match="no exercise 'triple': it has double, mean, negate"):
        amend(course, "triple", stub="pass")


PARTS = [dict(check='check("double", double)', points=2),
         dict(part="halves", check='check("double", double)\nassert double(4) == 8', hidden='assert double(0.5) == 1.0, "double(0.5) is not 1.0"', points=1)]


def test_an_exercise_may_have_several_test_cells_with_points_of_their_own(tmp_path, monkeypatch):
    constant = DOUBLE["mistakes"][1] | dict(source="return 6 if number == 3 else 8")
    parts = {key: value for key, value in DOUBLE.items() if key not in ("check", "hidden", "points")} | dict(tests=PARTS, mistakes=[constant])
    path = make_course(tmp_path, monkeypatch, toy_notebook(parts))
    found = read(path)
    assert [(cell.metadata.nbgrader.grade_id, cell.metadata.nbgrader.points) for cell in map(found.notebook.cells.__getitem__, found.exercises[0].tests)] \
        == [("double-test", 2), ("double-halves-test", 1)]
    assert [trial.problem for trial in examine(found)] == ["", "", ""]
    assert cell_of(exercises.generate(found), "double-halves-test").source == PARTS[1]["check"]


def test_a_project_waits_for_a_person(tmp_path, monkeypatch):
    course = read(make_course(tmp_path, monkeypatch, toy_notebook(NEGATE, project="## Project\n\nInvent a toy. Ten points.")))
    project = exercises.generate(course).cells[-1]
    assert project.metadata.nbgrader.task and project.metadata.nbgrader.points == 10 and project.metadata.editable is False
    assert [found.id for found in course.exercises] == ["negate"] and is_task(project)


def test_amend_replaces_test_cells_and_says_what_only_they_ask(course):
    amend(course, "double", tests=PARTS, beyond="Halves.")
    cells = read(course).notebook.cells
    assert [cell.id for cell in cells[2:7]] == ["double-header", "double-answer", "double-test", "double-halves-test", "double-hints"]
    assert read(course).exercises[0].beyond == "Halves."


def test_hidden_tests_must_be_named(tmp_path):
    parse(toy_notebook(), tmp_path / "05_toys.ipynb")
    with pytest.raises(SolutionsError, match="exercise 1 .* no exercise.beyond: say in one sentence what only they ask"):
        parse(toy_notebook(DOUBLE | dict(beyond="")), tmp_path / "05_toys.ipynb")


def test_default_stub_names_the_exercise_and_default_points_are_the_difficulty():
    part = exercise(**{key: value for key, value in DOUBLE.items() if key != "points"})
    assert part["stub"] == 'raise NotImplementedError("write double here")'
    assert part["tests"][0]["points"] == 1
    notebook = solutions_notebook(level=5, title="Toys", introduction="", setup="", exercises=[part])
    assert cell_of(notebook, "double-test").source.startswith("### BEGIN HIDDEN TESTS\nfrom puffer_min.course import check\n")


def test_regions_are_replaced_at_any_depth_and_hidden_ones_removed():
    source = "class A:\n    def f(self):\n        ### BEGIN SOLUTION\n        return 1\n        ### END SOLUTION\nlast"
    assert replace_region(source, "x = 2\n\nreturn x") == "class A:\n    def f(self):\n        x = 2\n\n        return x\nlast"
    hidden = "### BEGIN HIDDEN TESTS\n{}\n### END HIDDEN TESTS"
    assert without_hidden_tests(f"{hidden.format('a')}\nb\n{hidden.format('c')}") == "b"
    with pytest.raises(SolutionsError, match="inside another one"):
        regions("### BEGIN SOLUTION\n### BEGIN SOLUTION", ("BEGIN SOLUTION", "END SOLUTION"))


# Wrong answers

def test_solution_passes_stub_fails_and_mistakes_are_caught(course):
    trials = list(examine(read(course)))
    assert [trial.problem for trial in trials if trial.problem] == []
    assert [(trial.exercise, trial.answer) for trial in trials][:4] == [
        ("double", "the solution"), ("double", "the stub"), ("double", "squares"), ("double", "returns the visible test's constant")]
    assert trials[2].shown == "double(3) is not 6: is it added to itself?"
    assert trials[3].shown == "double(0.5) is not 1.0"


def test_survivor_is_named_with_its_exercise(tmp_path, monkeypatch):
    lax = DOUBLE | dict(hidden="")
    path = make_course(tmp_path, monkeypatch, toy_notebook(lax))
    assert problems_of(path) == ["exercise double, mistake 'returns the visible test's constant' survives: every test passes it; "
                                 "sharpen `check` or add a hidden test (only the hidden test sees it)"]


@pytest.mark.parametrize("source, reason", [
    ("return nunber", "badly written: it fails by NameError, not by being wrong"),
    ("import no_such_module", "badly written: it fails by ModuleNotFoundError"),
    ("return (", "badly written: its own cell fails before any test runs"),
    ("while True: pass", "badly written: the cell ran longer than 4 s"),
    ("import os; os._exit(1)", "badly written: the cell killed its kernel"),
])
def test_mistake_that_fails_for_the_wrong_reason_is_reported(tmp_path, monkeypatch, source, reason):
    path = make_course(tmp_path, monkeypatch, toy_notebook(DOUBLE | dict(mistakes=[{"name": "odd", "source": source}])))
    problem, = problems_of(path, timeout=4)
    assert problem.startswith("exercise double, mistake 'odd' is " + reason)


def test_misspelt_mistake_is_seen_behind_a_check_that_wraps_its_error(tmp_path, monkeypatch):
    wrapping = 'check\ntry:\n    double(2)\nexcept Exception as error:\n    raise AssertionError("double(2) raised") from error\n'
    lax = DOUBLE | dict(hidden=wrapping, check='assert check("mean", lambda _: 2) is None',
                        mistakes=[{"name": "odd", "source": "return nunber"}])
    problem, = [text for text in problems_of(make_course(tmp_path, monkeypatch, toy_notebook(lax))) if "odd" in text]
    assert "fails by NameError" in problem


def test_wrong_solution_and_passing_stub_are_reported(tmp_path, monkeypatch):
    wrong = DOUBLE | dict(solution=DOUBLE["solution"].replace("number + number", "number"), stub="return number + number")
    path = make_course(tmp_path, monkeypatch, toy_notebook(wrong))
    problems = problems_of(path)
    assert problems[0] == "exercise double: the true solution fails in its test: double(3) is not 6: is it added to itself?"
    assert problems[1].startswith("exercise double: the untouched stub passes every test")


def test_answer_that_leans_on_another_exercise_is_reported(tmp_path, monkeypatch):
    leaning = NEGATE | dict(solution=NEGATE["solution"].replace("-number", "number - double(number)"))
    problems = problems_of(make_course(tmp_path, monkeypatch, toy_notebook(DOUBLE, leaning)))
    assert problems == ["exercise negate: the true solution fails in its test: NameError: name 'double' is not defined"]


def test_answer_that_changes_the_set_up_of_later_exercises_is_reported(tmp_path, monkeypatch):
    rebinding = NEGATE | dict(solution=NEGATE["solution"] + "\nmath = 3")
    problem, = problems_of(make_course(tmp_path, monkeypatch, toy_notebook(rebinding)))
    assert "exercise negate: its solution redefines math" in problem


def test_failing_set_up_is_one_sentence(tmp_path, monkeypatch):
    path = make_course(tmp_path, monkeypatch, toy_notebook(DOUBLE, MEAN | dict(setup="1 / 0")))
    with pytest.raises(SolutionsError, match="set-up cell 'mean-setup' fails: ZeroDivisionError: division by zero"):
        list(examine(read(path)))


def test_course_check_and_strict_cython_work_in_exercises(tmp_path, monkeypatch):
    setup = """%load_ext puffer_min.course
from puffer_min.course.check import register
@register("double")
def _(double, rng):
    "on random integers"
    number = int(rng.integers(3, 1000))
    assert double(number) == 2 * number, f"double({number}) is wrong"
"""
    source = "%%cython\ndef double(double number):\n    ### BEGIN SOLUTION\n    return 2 * number\n    ### END SOLUTION"
    mistakes = [{"name": "squares", "source": "return number * number"}, {"name": "odd", "source": "return nunber +"},
                {"name": "raises", "source": "import no_such_module"}]
    cython = DOUBLE | dict(solution=source, setup=setup, stub="return 0", mistakes=mistakes, hidden='check("double", double, seed=7)')
    path = make_course(tmp_path, monkeypatch, toy_notebook(cython, module="puffer_min.course"))
    solution, stub, squares, odd, raises = examine(read(path))
    assert (solution.problem, stub.problem, squares.problem) == ("", "", "")
    assert squares.shown.startswith("double: double(") and squares.shown.endswith("is wrong")
    assert "mistake 'odd' is badly written: its own cell fails before any test runs (CompileError" in odd.problem
    assert "mistake 'raises' is badly written: it fails by ModuleNotFoundError, not by being wrong" in raises.problem


def test_a_hidden_test_that_refuses_the_solution_for_some_secret_is_told(tmp_path, monkeypatch):
    setup = """from puffer_min.course.check import register
@register("double")
def _(double, rng, hidden):
    "on a number"
    number = int(rng.integers(10)) if hidden else 3
    assert double(number) == 2 * number and (number != 4 or not hidden), f"double({number}) is wrong"
"""
    toy = DOUBLE | dict(setup=setup, hidden='check("double", double, hidden=True)')
    solutions = read(make_course(tmp_path, monkeypatch, toy_notebook(toy, module="puffer_min.course")))
    (name, sentence, _), = unfair(solutions, 40)
    assert name == "double-test" and sentence.startswith("double: double(4) is wrong (with the seed ")


def test_session_recovers_from_a_dead_kernel_with_its_set_up(tmp_path):
    with Session(tmp_path) as session:
        assert session.set_up("base = 40", 10).ok
        assert session.run("base = base + 2; extra = 1", 10).ok
        session.restore()
        assert session.run("assert base == 40 and 'extra' not in globals()", 10).ok
        assert session.run("import os; os._exit(3)", 10).status == "died"
        assert session.run("base", 10).status == "died"
        session.restore()
        assert session.run("assert base == 40", 10).ok
        assert session.run("for _ in range(20_000): print('x' * 1000)", 60).ok, "a cell that prints much must not block"


# Every real level

@pytest.mark.parametrize("path", REAL, ids=lambda path: path.stem)
def test_committed_exercises_are_what_the_solutions_generate(path):
    assert exercises.difference(path, ROOT / "exercises" / path.name) == ""


@pytest.mark.parametrize("path", REAL, ids=lambda path: path.stem)
def test_a_level_has_three_to_eight_exercises_without_widgets(path):
    solutions = read(path)
    assert FEWEST <= len(solutions.exercises) <= MOST
    assert not WIDGETS.search(exercises.notebook_text(exercises.generate(solutions)))
    assert (ROOT / "chapters" / path.name).exists(), "exercises are named after their chapter"


@pytest.mark.parametrize("path", REAL, ids=lambda path: path.stem)
def test_real_solution_passes_stub_fails_and_every_mistake_is_caught(path):
    assert problems_of(path) == []


@pytest.mark.parametrize("path", REAL, ids=lambda path: path.stem)
def test_no_secret_refuses_a_real_solution(path):
    """Three secrets here, some more below, and 200 by `python -m puffer_min.course.mistakes --secrets 200`."""
    assert [found for found in unfair(read(path), 3) if found[1]] == []


@pytest.mark.long
@pytest.mark.parametrize("path", REAL, ids=lambda path: path.stem)
def test_two_dozen_secrets_refuse_no_real_solution(path):
    assert [found for found in unfair(read(path), 24) if found[1]] == []


def test_exercise_ids_are_unique_in_the_course_and_no_exercises_are_strays():
    ids = [found.id for path in REAL for found in read(path).exercises]
    assert len(ids) == len(set(ids))
    assert exercises.strangers(ROOT) == []
