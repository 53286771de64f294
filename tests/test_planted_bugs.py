"""Find the planted bug, levels 1 to 3: what stands in the notebooks is what the checks run, and the proof counts, not the guess."""

import ast
import inspect
import textwrap

import numpy as np
import pytest

from puffer_min.course.check import CheckFailed, check
from puffer_min.course.checks import level_bugs
from puffer_min.course.solutions import ROOT, read

BUGS = {"suspects": ("01_results", "returns"), "too_good": ("02_research", "gain"), "leak": ("03_algorithms", "advantages")}
PROOFS = {"suspects": ("B", [[1, 2], [4, 8]], [[1, 0], [1, 1]]), "too_good": ("C", [[9, 5], [8, 3], [1, np.nan]], [[1]]),
          "leak": ("A", [1, 2], [3, 5], [1, 0], 7)}


def function_of(tree, name):
    """The function's arguments and body, without its name and docstring."""
    found = next(node for node in tree.body if isinstance(node, ast.FunctionDef) and node.name == name)
    body = [node for node in found.body if not (isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant))]
    return ast.dump(found.args), [ast.dump(node) for node in body]


@pytest.mark.parametrize("id", BUGS)
def test_the_listings_of_the_notebook_are_those_that_the_check_runs(id):
    notebook, name = BUGS[id]
    cells = read(ROOT / "solutions" / f"{notebook}.ipynb").notebook.cells
    shown = ast.parse(next(cell.source for cell in cells if cell.id == f"{id}-setup"))
    for letter in "ABC":
        run = ast.parse(textwrap.dedent(inspect.getsource(getattr(level_bugs, f"{name}_{letter.lower()}"))))
        assert function_of(shown, letter) == function_of(run, run.body[0].name)


@pytest.mark.parametrize("form", [tuple, list])
@pytest.mark.parametrize("id", BUGS)
def test_a_proof_counts_as_lists_and_as_arrays(id, form):
    letter, *inputs = PROOFS[id]
    for given in (inputs, [np.array(each) for each in inputs]):
        check(id, lambda given=given: form([letter.lower(), *given]), hidden=True)


@pytest.mark.parametrize("id, letter, inputs, sentence", [
    ("suspects", "B", ([[1], [4]], [[1], [1]]), "the right version and C both give"),
    ("suspects", "A", PROOFS["suspects"][1:], "it is not A: A is wrong for a single agent"),
    ("suspects", "D", PROOFS["suspects"][1:], "expected 'A', 'B' or 'C'"),
    ("suspects", "B", ([[1, 2]], [[1], [1]]), "must have one shape"),
    ("suspects", "B", ([[1, 2]],), "it gives 1 inputs after the letter, expected 2"),
    ("too_good", "C", ([[np.nan]], [[1]]), "every run of new broke down"),
    ("leak", "A", ([1, 2], [3, 5], [0, 0], 7), "the right version and A both give"),
    ("leak", "A", ([1, 2], [3, 5], [2, 0], 7), "expected 1 where an episode ended and 0 elsewhere"),
    ("leak", "A", ([1, 2], [3, 5], [1, 0], "x"), "next_value is")])
def test_a_guess_without_a_proof_is_told_what_the_proof_lacks(id, letter, inputs, sentence):
    with pytest.raises(CheckFailed, match=sentence):
        check(id, lambda: (letter, *inputs))


def test_the_hidden_test_asks_for_a_bug_that_is_not_listed():
    def experiment():
        return "A", [1, 2], [3, 5], [1, 0], 0

    check("leak", experiment)
    with pytest.raises(CheckFailed, match="not listed"):
        check("leak", experiment, hidden=True)


@pytest.mark.parametrize("seed", [1, 4, 9, 10, 19])
def test_the_bootstrap_of_the_course_passes_where_a_discrete_statistic_refused_it(seed):
    def bootstrap_interval(scores, statistic, resamples, rng):
        runs, tasks = scores.shape
        values = [statistic(scores[rng.integers(runs, size=(runs, tasks)), np.arange(tasks)]) for _ in range(resamples)]
        return np.quantile(values, [0.025, 0.975]).tolist()

    check("bootstrap", bootstrap_interval, seed=seed)
