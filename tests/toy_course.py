"""A course of one tiny level, for the tests of the exercise pipeline: two exercises, honest mistakes, a hidden test, a check of its own."""

import os

from puffer_min.course.authoring import exercise, solutions_notebook, write

CHECKS = '''
def check(name, answer):
    """The visible check of both toy exercises: one fixed input, so that only a hidden test finds an answer that returns its constant."""
    if name == "double":
        assert answer(3) == 6, "double(3) is not 6: is it added to itself?"
    else:
        assert answer([1, 2, 3]) == 2, "the mean of 1, 2, 3 is not 2: is the sum divided by the length?"
'''
DOUBLE = dict(
    id="double", title="Twice as much", goal="Write a function that doubles.", difficulty=1, minutes=2, points=2,
    signature="double(number) -> number",
    solution="def double(number):\n    ### BEGIN SOLUTION\n    total = number + number\n    return total\n    ### END SOLUTION",
    check='check("double", double)',
    hidden='assert double(0.5) == 1.0, "double(0.5) is not 1.0"', beyond="Numbers that are not whole.",
    hints=["Add it to itself.", "`number + number`"],
    mistakes=[{"name": "squares", "source": "return number * number"},
              {"name": "returns the visible test's constant", "source": "return 6", "why": "only the hidden test sees it"}],
    explanation="Adding needs no constant.")
MEAN = dict(
    id="mean", title="The middle", goal="Write a mean.", difficulty=2, minutes=5, points=3, signature="mean(numbers) -> float",
    setup="NOTHING = 0", text="An empty list has the mean `NOTHING`.",
    solution="### BEGIN SOLUTION\ndef mean(numbers):\n    return sum(numbers) / len(numbers) if numbers else NOTHING\n### END SOLUTION",
    stub="def mean(numbers):\n    raise NotImplementedError(\"write mean here\")",
    check='check("mean", mean)', hidden="assert mean([]) == NOTHING", beyond="An empty list.",
    hints=["Sum, then divide."],
    mistakes=[{"name": "forgets to divide", "source": "def mean(numbers):\n    return sum(numbers)"},
              {"name": "divides by zero", "source": "def mean(numbers):\n    return sum(numbers) / len(numbers)"}])
NEGATE = dict(
    id="negate", title="The other side", goal="Write a function that negates.", difficulty=1, minutes=1, points=1,
    signature="negate(number) -> number", solution="def negate(number):\n    ### BEGIN SOLUTION\n    return -number\n    ### END SOLUTION",
    check="assert check\nassert negate(2) == -2, \"negate(2) is not -2\"\nprint('check(\"negate\") passed')", hints=["`-number`"],
    mistakes=[{"name": "returns it as it is", "source": "return number"}])


def toy_notebook(*parts, module="toy_checks", project=""):
    """The solutions notebook of level 5 with the given exercises (default: all three), `check` taken from `module`, and `project` for a person to grade."""
    exercises = [exercise(**part) for part in parts or (DOUBLE, MEAN, NEGATE)]
    notebook = solutions_notebook(level=5, title="Toys", introduction="Three small things.", project=project,
                                  setup=f"import math\nfrom {module} import check", exercises=exercises)
    for cell in notebook.cells:
        cell.source = cell.source.replace("from puffer_min.course import check", f"from {module} import check")
    return notebook


def make_course(root, monkeypatch, notebook=None):
    """Writes solutions/05_toys.ipynb under `root`, with toy_checks where kernels find it; returns the notebook's path."""
    (root / "modules").mkdir()
    (root / "modules" / "toy_checks.py").write_text(CHECKS)
    monkeypatch.setenv("PYTHONPATH", str(root / "modules"), prepend=os.pathsep)
    (root / "solutions").mkdir()
    path = root / "solutions" / "05_toys.ipynb"
    write(notebook or toy_notebook(), path)
    return path


def fill_in(notebook, **answers):
    """Puts answers (exercise id = whole cell source) into a student's notebook, in place, and returns it."""
    for cell in notebook.cells:
        name = cell.metadata.get("nbgrader", {}).get("grade_id")
        if name in answers:
            cell.source = answers[name]
    return notebook
