"""What students hand in is read whatever became of it, and hidden inputs come from a secret that nothing gives away."""

import json
import os

import nbformat
import pytest
from toy_course import DOUBLE, fill_in, make_course

from puffer_min.course import exercises, secret
from puffer_min.course.handed_in import MISSING, MOST_ADDED, NotGradable, find, load, rebuilt
from puffer_min.course.secret import HiddenSeeds, hidden_seeds
from puffer_min.course.solutions import ROOT, SolutionsError, grade_id, read

RIGHT = "def double(number):\n    return 2 * number"


@pytest.fixture
def course(tmp_path, monkeypatch):
    return read(make_course(tmp_path, monkeypatch))


@pytest.fixture
def blank(course):
    return exercises.generate(course)


def cell_of(notebook, name):
    return next(cell for cell in notebook.cells if grade_id(cell) == name)


def saved(folder, notebook, name="05_toys.ipynb"):
    path = folder / name
    path.write_text(json.dumps(notebook), encoding="utf-8")
    return path


def through(folder, notebook, course):
    """What becomes of a submitted notebook: (rebuilt, notes)."""
    return rebuilt(load(saved(folder, notebook)), course)


# Rebuilt

def test_an_untouched_notebook_is_rebuilt_as_it_was(tmp_path, course, blank):
    notebook, notes = through(tmp_path, blank, course)
    assert notes == [] and len(notebook.cells) == len(blank.cells)
    assert [cell.metadata for cell in notebook.cells] == [cell.metadata for cell in blank.cells]


def test_answers_and_added_cells_are_kept_at_their_place(tmp_path, course, blank):
    fill_in(blank, double=RIGHT)
    blank.cells.insert(blank.cells.index(cell_of(blank, "double")), nbformat.v4.new_code_cell("mine = 1"))
    notebook, notes = through(tmp_path, blank, course)
    place = notebook.cells.index(cell_of(notebook, "double"))
    assert notebook.cells[place].source == RIGHT and "mine = 1" in [cell.source for cell in notebook.cells[:place]] and notes == []


def test_of_a_copied_answer_the_last_counts_and_it_is_said(tmp_path, course, blank):
    copy = nbformat.from_dict(cell_of(blank, "double") | {"source": RIGHT})
    blank.cells.append(copy)
    notebook, notes = through(tmp_path, blank, course)
    assert cell_of(notebook, "double").source == RIGHT and notes == ["of the copies of the answer 'double' the last one counts"]
    assert sum(grade_id(cell) == "double" for cell in notebook.cells) == 1


def test_tests_points_and_metadata_are_the_courses(tmp_path, course, blank):
    expected = [cell.metadata for cell in exercises.generate(course).cells]
    fill_in(blank, double=RIGHT)
    for cell in blank.cells:
        cell.metadata |= {"nbgrader": {"grade_id": grade_id(cell), "points": 1000, "locked": "no", "schema_version": 99}, "evil": [{}] * 100}
        cell.id = "same"
    cell_of(blank, "double-test").source = "pass"
    blank.cells.remove(cell_of(blank, "mean-test"))
    blank.cells[0].metadata.nbgrader = "lost"
    blank["metadata"] = {"kernelspec": {"name": "evil"}}
    notebook, _ = through(tmp_path, blank, course)
    assert [cell.metadata for cell in notebook.cells] == expected
    assert cell_of(notebook, "double-test").source == DOUBLE["check"] and notebook.metadata.kernelspec.name == "python3"
    nbformat.validate(notebook)


def test_a_hundred_thousand_cells_and_large_outputs_cost_nothing(tmp_path, course, blank):
    fill_in(blank, double=RIGHT)
    blank.cells[1]["outputs"] = [{"output_type": "stream", "name": "stdout", "text": "x" * 20_000_000}]
    blank.cells += [{"cell_type": "code", "source": "x", "metadata": {}}] * 100_000
    notebook, notes = through(tmp_path, blank, course)
    assert notes == [f"only the first {MOST_ADDED} of 100000 added cells are kept"]
    assert cell_of(notebook, "double").source == RIGHT and len(exercises.notebook_text(notebook)) < 100_000


@pytest.mark.parametrize("text", ["", "{", "[]", "null", '{"cells": 3}', "[" * 100_000, '{"cells": {}}', "\x00\x01"])
def test_a_file_that_is_no_notebook_is_one_sentence(tmp_path, course, text):
    (tmp_path / "05_toys.ipynb").write_text(text)
    with pytest.raises(NotGradable, match="05_toys.ipynb (is not a notebook that can be read|holds no exercise of 05_toys)"):
        find([tmp_path / "05_toys.ipynb"], course)


@pytest.mark.parametrize("cell", [3, {}, {"source": 3}, {"source": [[1], None], "cell_type": []}, {"metadata": 7}, {"metadata": {"nbgrader": {"grade_id": [1]}}}])
def test_no_cell_is_too_odd(tmp_path, course, blank, cell):
    notebook = json.loads(json.dumps(fill_in(blank, double=RIGHT)))
    notebook["cells"] += [cell]
    assert cell_of(through(tmp_path, notebook, course)[0], "double").source == RIGHT


def test_a_link_is_refused(tmp_path, course, blank):
    saved(tmp_path, blank, "other.ipynb")
    os.symlink(tmp_path / "other.ipynb", tmp_path / "05_toys.ipynb")
    with pytest.raises(NotGradable, match="05_toys.ipynb is a link to another file"):
        find([tmp_path / "05_toys.ipynb"], course)


def test_an_answer_in_a_cell_without_its_name_is_not_hidden_by_a_stub(tmp_path, course, blank):
    fill_in(blank, double=RIGHT)
    cell_of(blank, "double").metadata.nbgrader = "lost"
    notebook, _ = through(tmp_path, blank, course)
    assert cell_of(notebook, "double").source == MISSING and RIGHT in [cell.source for cell in notebook.cells]


# Found under any name

def test_a_renamed_file_is_taken_and_it_is_said(tmp_path, course, blank):
    found = find([saved(tmp_path, blank, "05_toys (1).ipynb")], course)
    assert found.notes == ("05_toys (1).ipynb was taken for 05_toys.ipynb",)


def test_the_levels_own_name_goes_before_another(tmp_path, course, blank):
    paths = [saved(tmp_path, fill_in(blank, double=RIGHT), name) for name in ("05_toys (1).ipynb", "05_toys.ipynb")]
    assert find(paths, course).notes == ("05_toys (1).ipynb was left aside, because 05_toys.ipynb was handed in as well",)
    paths[1].write_text("{")
    assert find(paths, course).path == paths[0]


# Secrets

def test_a_secret_is_made_once_and_for_its_owner(tmp_path, capsys):
    path = tmp_path / "course" / "secret"
    secret.main([str(path)])
    assert path.stat().st_mode & 0o77 == 0 and path.read_text().strip() not in capsys.readouterr().out
    with pytest.raises(SystemExit, match="is there already"):
        secret.main([str(path)])
    assert len(secret.read_secret(path)) == 32


def test_seeds_depend_on_secret_exercise_and_if_wished_student():
    one, two = HiddenSeeds(b"1" * 32), HiddenSeeds(b"2" * 32)
    own = HiddenSeeds(b"1" * 32, per_student=True)
    seeds = [one.of("gae"), two.of("gae"), one.of("looks"), own.of("gae", "anna"), own.of("gae", "bert")]
    assert len(set(seeds)) == 5 and all(0 <= seed < 2 ** 64 for seed in seeds)
    assert one.of("gae", "anna") == one.of("gae", "bert") == one.of("gae")
    assert HiddenSeeds().of("gae", "anna") == 7


def test_a_secret_that_is_asked_for_must_be_one(tmp_path):
    assert hidden_seeds(place=tmp_path / "none") == HiddenSeeds()
    (tmp_path / "short").write_text("abcd")
    for name in ("none", "short"):
        with pytest.raises(SolutionsError, match="holds no secret of a course: make one by `python -m puffer_min.course.secret"):
            hidden_seeds(tmp_path / name)


def test_the_secrets_place_is_outside_git_and_the_release():
    assert "classroom/" in (ROOT / ".gitignore").read_text().split() and secret.PLACE.parent == ROOT / "classroom"


# Links

def test_a_student_without_the_repository_sees_no_dead_link():
    text = "See [chapter 3](../chapters/03_algorithms.ipynb#gae), [nbgrader](https://nbgrader.readthedocs.io) and [below](#next)."
    assert exercises.without_links(text) == "See chapter 3, [nbgrader](https://nbgrader.readthedocs.io) and [below](#next)."
