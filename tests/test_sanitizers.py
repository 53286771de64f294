"""No environment and no kernel of the learner reaches outside its memory: a million random and adversarial steps of each, and arrays of
every size, under AddressSanitizer and UBSan, without a report.

The sanitize build also holds what the debug build checks: an overflow of a whole number, or a `require` that is false, ends the process
or raises. `adversary.py` is what is played; here it is started, and shown to notice mistakes that are put in.
"""

import os
import subprocess
import sys
import sysconfig
from pathlib import Path

import adversary
import environments
import mutants
import pytest
from builds import compiled
from mutants import ROOT, SANITIZE

REPORTS = ("AddressSanitizer", "runtime error:", "Segmentation fault")
SLOWEST = ("crafter", "moba")        # first, so that no worker is left alone with one at the end
PLAYERS = [f"tests/{name}.py" for name in ("adversary", "builds", "environments", "mutants")]
KERNELS = [f"puffer_min.learner.{name}" for name in ("advantage", "kernels.categorical", "kernels.lstm_cell", "kernels.sparse")]
pytestmark = pytest.mark.long


@pytest.fixture(scope="module")
def watched():
    """Environment variables under which a process loads the sanitize build; compiled where it is missing or older than its sources."""
    compiler = (sysconfig.get_config_var("CC") or "cc").split()[0]
    runtime = Path(subprocess.run([compiler, "-print-file-name=libasan.so"], capture_output=True, text=True).stdout.strip())
    if not runtime.is_absolute():
        pytest.skip(f"{compiler} brings no libasan.so; the sanitizers are run on Linux with GCC (apt-get install gcc)")
    modules = ["envs.core.actions", "envs.core.native", *(f"envs.{name}" for name in environments.names()), *KERNELS]
    compiled("sanitize", SANITIZE, modules)
    return SANITIZE | {"LD_PRELOAD": str(runtime), "ASAN_OPTIONS": "detect_leaks=0:abort_on_error=1", "UBSAN_OPTIONS": "print_stacktrace=1"}


def play(watched, folder, name, *options):
    """The adversary's play of environment `name` in a process of its own."""
    return mutants.run_in(folder, [sys.executable, "tests/adversary.py", name, *options], watched)


def inputs(parameters):
    """What a run under the sanitizers reads of an environment's files and of what plays it."""
    name = parameters.get("name") or BITES[parameters["what"]][0]
    return [f"envs/{name}*.p*", "envs/*.py", "envs/core/*", "setup.py", *PLAYERS]


@pytest.mark.costly(inputs=inputs)
@pytest.mark.parametrize("name", sorted(environments.names(), key=lambda name: name not in SLOWEST))
def test_a_million_random_and_adversarial_steps_stay_inside_memory(name, watched):
    run = play(watched, ROOT, name)
    assert run.returncode == 0 and not any(report in run.stderr for report in REPORTS), run.stderr[-6000:]
    _, random, _, _, odd = run.stdout.split()[:5]
    assert int(random) >= adversary.RANDOM_STEPS and int(odd) >= 10_000, run.stdout


@pytest.mark.costly("puffer_min/learner/*.p*", "puffer_min/learner/kernels/*", "envs/core/*", "setup.py", "tests/kernels.py")
def test_the_learners_kernels_stay_inside_memory_at_every_size_and_with_several_threads(watched):
    run = mutants.run_in(ROOT, [sys.executable, "tests/kernels.py"], watched)
    assert run.returncode == 0 and not any(report in run.stderr for report in REPORTS), run.stderr[-6000:]
    assert run.stdout == "72 sizes\n"


def test_every_environment_has_odd_settings():
    assert set(adversary.ODD) == set(environments.names())


BITES = {
    "one byte written behind the observations":
        ("squared", "        memset(cell, EMPTY, cells)\n", "        memset(cell, EMPTY, cells + 1)\n", "AddressSanitizer: heap-buffer-overflow"),
    "one number written before the rewards":
        ("stochastic", "self.rows.rewards[i] = max(", "self.rows.rewards[i - 1] = max(", "AddressSanitizer: heap-buffer-overflow"),
    "a state of sizeof(pointer)":
        ("triple_triad", "num_envs * sizeof(Table)", "num_envs * sizeof(Table*)", "AddressSanitizer"),
    "one symbol read behind the state":
        ("memory", "actions[i] == self.shown[i * self.length + asked]", "actions[i] == self.shown[i * self.length + asked + 1]",
         "AddressSanitizer: use-after-poison"),
    "-1 for no neighbour used as an index":
        ("triple_triad", "if (other >= 0 and table.owner[other] == 1 - side\n", "if (table.owner[other] == 1 - side\n",
         "runtime error: index -1 out of bounds"),
    "one too many in a list on the stack":
        ("drive", "cdef int32_t[LANES] place\n", "cdef int32_t[LANES - 1] place\n", "runtime error: index 15 out of bounds"),
    "a stone on a full column":
        ("connect4", "if not free_cell(game.mine | game.theirs, column):", "if False:", "runtime error: passing zero to ctz()"),
}


@pytest.mark.costly(inputs=inputs)
@pytest.mark.parametrize("what", BITES)
def test_a_mistake_of_that_kind_is_reported(what, watched, tmp_path):
    name, old, new, report = BITES[what]
    mutants.copy_with(tmp_path, f"envs/{name}.pyx", old, new, build=SANITIZE)
    run = play(watched, tmp_path, name, "--steps", "20000")
    assert run.returncode != 0 and report in run.stderr, run.stderr[-3000:]


def test_without_a_mistake_the_same_copy_plays_on(watched, tmp_path):
    run = play(watched, mutants.copy_with(tmp_path, "envs/squared.pyx", build=SANITIZE), "squared", "--steps", "20000")
    assert run.returncode == 0, run.stderr[-3000:]


def test_the_adversary_asks_for_the_build_that_watches():
    run = subprocess.run([sys.executable, "tests/adversary.py", "squared"], cwd=ROOT, env={**os.environ, "PUFFER_SANITIZE": ""}, capture_output=True, text=True)
    assert run.returncode != 0 and "This is not the sanitize build" in run.stderr
