"""How the tests are run: several at a time, those that measure time alone, and expensive ones only when their inputs changed."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

TOOLS = Path(__file__).resolve().parents[1] / "tools"

TIMED = """
import time
import pytest

def spend(name):
    began = time.monotonic()
    time.sleep(0.15)
    with open("times", "a") as file:
        print(name, began, time.monotonic(), file=file)

@pytest.mark.parametrize("case", range(6))
def test_usual(case):
    spend("usual")

@pytest.mark.alone
@pytest.mark.parametrize("case", range(3))
def test_timed(case):
    spend("timed")
"""
COSTLY = """
import pytest

@pytest.mark.costly("input.txt", inputs=lambda parameters: [parameters["name"] + ".txt"])
@pytest.mark.parametrize("name", ["one", "two"])
def test_costly(name):
    assert open(name + ".txt").read() != "wrong"
"""


@pytest.fixture
def folder(tmp_path):
    """A repository of its own; its tests are run by `run`."""
    (tmp_path / "conftest.py").write_text('pytest_plugins = ["alone", "unchanged"]')
    (tmp_path / "requirements.lock").write_text("numpy==2.0.0\n")
    return tmp_path


def run(folder, *options):
    """pytest in `folder` with two workers: (status, what it said)."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("PYTEST_", "PUFFER_"))}
    environment |= {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
                    "PYTHONPATH": os.pathsep.join([str(TOOLS), environment.get("PYTHONPATH", "")])}
    command = [sys.executable, "-m", "pytest", "-q", "-c", os.devnull, "--rootdir", str(folder), "-p", "xdist", "-n", "2"]
    said = subprocess.run([*command, *options], cwd=folder, capture_output=True, text=True, env=environment)
    return said.returncode, said.stdout + said.stderr


def spans(folder):
    """(name, beginning, end) of each test that ran, in seconds, in the order of their beginnings."""
    lines = [line.split() for line in (folder / "times").read_text().splitlines()]
    return sorted(((name, float(began), float(ended)) for name, began, ended in lines), key=lambda span: span[1])


@pytest.mark.parametrize("options", [(), ("-k", "timed or 0"), ("-k", "timed"), ("-n", "1")], ids=str)
def test_what_measures_time_runs_alone_and_after_the_rest(folder, options):
    (folder / "test_toy.py").write_text(TIMED)
    status, said = run(folder, *options)
    ran = spans(folder)
    names = [name for name, _, _ in ran]
    assert status == 0 and f"{len(ran)} passed" in said, said
    assert names == sorted(names, reverse=True), "usual ones first"
    timed = [span for span in ran if span[0] == "timed"]
    assert timed, said
    for name, began, ended in timed:
        assert all(other[2] <= began or other[1] >= ended for other in ran if other != (name, began, ended)), ran


def test_others_run_two_at_a_time(folder):
    (folder / "test_toy.py").write_text(TIMED)
    run(folder)
    usual = [span for span in spans(folder) if span[0] == "usual"]
    assert any(after[1] < before[2] for before, after in zip(usual, usual[1:], strict=False)), usual


def test_a_worker_that_dies_costs_its_test_and_no_other(folder):
    (folder / "test_toy.py").write_text(TIMED + "\ndef test_dies():\n    import os\n    os._exit(3)\n")
    status, said = run(folder)
    assert status == 1 and "1 failed, 9 passed" in said, said


@pytest.fixture
def costly(folder):
    """The repository with two costly tests that have passed."""
    (folder / "test_toy.py").write_text(COSTLY)
    for name in ("input", "one", "two"):
        (folder / f"{name}.txt").write_text("right")
    status, said = run(folder, "-n", "0")
    assert status == 0 and "2 passed" in said and "left out" not in said, said
    return folder


def test_a_costly_check_is_left_out_when_nothing_changed_and_the_end_says_so(costly):
    status, said = run(costly)
    assert status == 0 and "passed" not in said.splitlines()[-1], said
    assert "test_toy.py: 2 costly checks left out" in said and "ARGS=--all" in said


def test_all_leaves_out_nothing(costly):
    assert "2 passed" in run(costly, "--all", "-n", "0")[1]


def test_a_change_of_an_input_runs_the_checks_that_depend_on_it(costly):
    for change, count in [("one.txt", 1), ("input.txt", 2), ("requirements.lock", 2), ("test_toy.py", 2), ("unrelated.txt", 0)]:
        path = costly / change
        path.write_text(path.read_text() + "\n" if path.exists() else "new")
        _, said = run(costly, "-n", "0")
        assert (f"{count} passed" in said) == (count > 0), said
        assert (f"{2 - count} costly checks left out" in said) == (count < 2), said


def test_a_check_that_failed_runs_again(costly):
    (costly / "one.txt").write_text("wrong")
    for _ in range(2):
        status, said = run(costly, "-n", "0")
        assert status == 1 and "1 failed" in said, said
    (costly / "one.txt").write_text("right")
    assert "2 costly checks left out" in run(costly, "-n", "0")[1], "the last success was with this content"


def test_a_pattern_that_names_no_file_is_refused(costly):
    (costly / "two.txt").unlink()
    status, said = run(costly, "-n", "0")
    assert status == 1 and "1 error" in said and "'two.txt', which names no file" in said
