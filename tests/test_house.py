"""The house rules that a reader relies on: the form of every source."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def test_ruff_finds_nothing_to_mend_in_any_source():
    found = subprocess.run([sys.executable, "-m", "ruff", "check", "--no-cache", "--output-format", "concise", "."],
                           cwd=ROOT, capture_output=True, text=True)
    assert found.returncode == 0, f"run `make format`; what it leaves is to be mended by hand:\n{found.stdout}{found.stderr}"
