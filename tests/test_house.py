"""The house rules that a reader relies on: the form of every source."""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def test_ruff_finds_nothing_to_mend_in_any_source():
    found = subprocess.run([sys.executable, "-m", "ruff", "check", "--no-cache", "--output-format", "concise", "."],
                           cwd=ROOT, capture_output=True, text=True)
    assert found.returncode == 0, f"run `make format`; what it leaves is to be mended by hand:\n{found.stdout}{found.stderr}"


# ---------------------------------------------------------------------- paths of the version before

def test_a_module_is_found_by_its_path_of_the_version_before_and_the_warning_names_the_new_path():
    script = """
import importlib, warnings
import puffer_min
for old, new in puffer_min._NOW.items():
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        module = importlib.import_module(old)
    assert module is importlib.import_module(new) and module.__spec__.name == new, old
    texts = [str(warning.message) for warning in caught if warning.category is DeprecationWarning]
    assert f"{old} is now {new}; the old path ends with the next version" in texts, (old, texts)
"""
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_a_program_for_the_version_before_runs_and_the_warning_points_into_it(tmp_path):
    program = tmp_path / "program.py"
    program.write_text("from puffer_min.env import PufferEnv\nfrom puffer_min.adapters.sb3 import as_sb3\n"
                       "from puffer_min.checkpoint import read_checkpoint\nimport puffer_min.vector\n")
    done = subprocess.run([sys.executable, str(program)], capture_output=True, text=True,
                          env=os.environ | {"PYTHONPATH": str(ROOT)})
    assert done.returncode == 0, done.stderr
    assert [f"program.py:{line}: DeprecationWarning" in done.stderr for line in (1, 2, 3, 4)] == [True] * 3 + [False]
