"""Every environment goes the way that tests/golden keeps, in the release build and in the debug build, to the last bit."""

import json
import os
import subprocess
import sys
from pathlib import Path

import environments
import pytest
import trajectories
from builds import compiled

ROOT = Path(__file__).resolve().parents[1]
DEBUG = {**os.environ, "PUFFER_DEBUG": "1"}
CORE = ("envs.core.actions", "envs.core.native")


@pytest.fixture(scope="module")
def debug_records() -> dict:
    """Name -> records of every environment in the debug build, made by one process of its own."""
    compiled("debug", {"PUFFER_DEBUG": "1"}, [*CORE, *(f"envs.{name}" for name in environments.names())])
    run = subprocess.run([sys.executable, "tests/trajectories.py", "--print"], cwd=ROOT, env=DEBUG, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr[-3000:]
    return json.loads(run.stdout)


@pytest.mark.parametrize("name", environments.names())
def test_the_release_build_goes_the_way_that_is_kept(name):
    kept = trajectories.golden(name)
    assert [record["settings"] for record in kept] == trajectories.cases(name), f"write it anew: python tests/trajectories.py {name}"
    for expected in kept:
        difference = trajectories.difference(expected, trajectories.record(name, expected["settings"]))
        assert not difference, f"{name} {expected['settings']}: {difference}; if that was meant, run python tests/trajectories.py {name}"
        assert expected["episodes"] > 0, "the trajectory has seen an episode end"


@pytest.mark.together("the debug build's records")
@pytest.mark.parametrize("name", environments.names())
def test_the_debug_build_goes_the_same_way_as_the_release_build(name, debug_records):
    for expected, found in zip(trajectories.golden(name), debug_records[name], strict=True):
        assert not trajectories.difference(expected, found), f"{name} {expected['settings']}: {trajectories.difference(expected, found)}"


def test_a_difference_says_what_and_where():
    kept = trajectories.golden("squared")[0]
    marks = kept["after every 50 steps"].split()
    changed = kept | {"rewards": "0", "after every 50 steps": " ".join([*marks[:3], *("0" * 8 for _ in marks[3:])])}
    assert trajectories.difference(kept, changed) == "rewards differ, first between steps 150 and 200"
    assert trajectories.difference(kept, dict(kept)) == ""


def test_a_missing_record_names_the_command_that_writes_it():
    with pytest.raises(FileNotFoundError, match="write it with `python tests/trajectories.py chess`"):
        trajectories.golden("chess")
