"""The mistakes that the streams made, each put into a copy of the sources and compiled: a named test has to fail.

A test that never fails proves nothing. Here every guard of the contract is shown to bite: the list is that of stream 003 and of its
public code, and what is like it. `MISTAKES` grows with the environments.
"""

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
FAILED, CRASHED = 1, (-6, -7, -11)              # pytest's status; abort, bus error, segmentation fault


@dataclass(frozen=True)
class Mistake:
    """In `source` the text `old` becomes `new`, and `test` fails."""

    what: str
    source: str
    old: str
    new: str
    test: str


BASE, SQUARED, SNAKE = "envs/core/native.pyx", "envs/squared.pyx", "envs/snake.pyx"
CONTRACT = "tests/test_native_base.py::test_"

MISTAKES = [
    Mistake("terminal flag cleared by the self-reset", SQUARED,
            "        self.metrics[i] = reward > 0\n        self.start(i)\n", "        self.metrics[i] = reward > 0\n        self.start(i)\n        self.rows.terminals[i] = 0\n",
            CONTRACT + "the_end_of_an_episode_is_visible_on_its_step_and_only_there[squared]"),
    Mistake("flags cleared by the base after the log has seen them", BASE,
            "        self.account()\n", "        self.account()\n        self.clear_flags()\n",
            CONTRACT + "the_end_of_an_episode_is_visible_on_its_step_and_only_there[snake]"),
    Mistake("flags never cleared", BASE,
            "        memset(self.rows.terminals, 0, self.num_agents)\n", "",
            CONTRACT + "the_terminal_and_its_reward_come_with_the_first_observation_of_the_next_episode"),
    Mistake("first observation after reset left empty", SNAKE,
            "                self.spawn(env, i)\n            self.observe(env)\n", "                self.spawn(env, i)\n",
            CONTRACT + "the_first_observation_after_reset_is_filled[snake]"),
    Mistake("first observation of the next episode left out", SQUARED,
            "        self.metrics[i] = reward > 0\n        self.start(i)\n",
            "        self.metrics[i] = reward > 0\n        self.start(i)\n        memset(<uint8_t*> self.rows.observations + i * self.size * self.size, 0, self.size * self.size)\n",
            CONTRACT + "the_terminal_and_its_reward_come_with_the_first_observation_of_the_next_episode"),
    Mistake("a space that does not hold what is written", SNAKE,
            "Box(LAST, FOOD,", "Box(-2, 2,",
            CONTRACT + "observations_stay_inside_the_declared_space[snake]"),
    Mistake("a target that never comes up on the first cell", SQUARED,
            "cdef int target = draw_below(&self.streams[i], cells - 1)", "cdef int target = draw_below(&self.streams[i], cells - 2) + 1",
            "tests/test_squared.py::test_the_target_comes_up_on_every_other_cell_equally_often"),
    Mistake("target index one past the end", SQUARED,
            "cdef int target = draw_below(&self.streams[i], cells - 1)", "cdef int target = draw_below(&self.streams[i], cells)",
            "tests/test_squared.py::test_the_target_comes_up_on_every_other_cell_equally_often"),
    Mistake("allocation of sizeof(pointer)", SNAKE,
            "self.num_agents * sizeof(Snake)", "self.num_agents * sizeof(Snake*)",
            CONTRACT + "a_saved_state_resumes_exactly[snake]"),
    Mistake("actions read in a wrong dtype, which batches of one hide", SQUARED,
            "cdef int32_t* actions = <int32_t*> self.rows.actions", "cdef uint8_t* actions = <uint8_t*> self.rows.actions",
            "tests/test_squared.py::test_the_native_environment_and_its_slow_twin_take_the_same_trajectory[11-0]"),
    Mistake("actions of a wrong dtype let in", BASE,
            "cnp.PyArray_TYPE(actions) == self.action_type\n", "True\n",
            CONTRACT + "wrong_actions_are_one_sentence_and_nothing_is_stepped[squared]"),
    Mistake("actions out of range let in", BASE,
            "            raise ValueError(f\"actions: agent", "            ValueError(f\"actions: agent",
            CONTRACT + "wrong_actions_are_one_sentence_and_nothing_is_stepped[cartpole]"),
    Mistake("swapped row and column in the observation", SQUARED,
            "here = square.row * size + square.column", "here = square.column * size + square.row",
            "tests/test_squared.py::test_the_native_environment_and_its_slow_twin_take_the_same_trajectory[5-2]"),
    Mistake("stalling pays better than playing, squared", SQUARED,
            "elif self.lengths[i] + 1 >= self.limit:", "elif False:",
            "tests/test_squared.py::test_standing_still_ends_after_three_times_the_size_and_costs_one"),
    Mistake("stalling pays better than playing, snake", SNAKE,
            "steps - snake.fed >= self.starvation", "False",
            "tests/test_snake.py::test_circling_in_safety_never_pays"),
    Mistake("eaten food that comes back on a body", SNAKE,
            "            if self.cells[cell] == EMPTY:\n                return cell\n", "            return cell\n",
            "tests/test_snake.py::test_the_number_of_foods_never_changes"),
    Mistake("half a corpse too many", SNAKE,
            "behind % 2 == 1", "behind % 2 == 0",
            "tests/test_snake.py::test_every_second_cell_of_the_dead_becomes_a_corpse[3]"),
    Mistake("logs dropped silently when a buffer is full", BASE,
            "        log.episodes += 1\n", "        if log.episodes >= 8:\n            return\n        log.episodes += 1\n",
            CONTRACT + "reports_at_any_interval_hold_every_episode_once[7-snake]"),
    Mistake("log counted twice", BASE,
            "for j in range(n - n % 8, n):", "for j in range(n):",
            CONTRACT + "the_log_is_the_mean_over_the_episodes_that_ended[snake]"),
    Mistake("several agents' logs in one", BASE,
            "        log.episode_return += self.returns[agent]\n", "        log.episode_return += self.returns[agent - agent % self.agents_per_env]\n",
            CONTRACT + "the_log_is_the_mean_over_the_episodes_that_ended[snake]"),
    Mistake("returns that run on into the next episode", BASE,
            "        self.returns[agent] = 0\n", "",
            CONTRACT + "the_log_is_the_mean_over_the_episodes_that_ended[squared]"),
    Mistake("the same random stream in every part of a batch", BASE,
            "<uint64_t> (self.first_env + i)", "<uint64_t> i",
            CONTRACT + "a_batch_may_be_split_without_changing_a_trajectory[squared]"),
    Mistake("one random stream for all environments", BASE,
            "<uint64_t> (self.first_env + i)", "<uint64_t> 0",
            CONTRACT + "other_seeds_and_other_environments_of_a_batch_go_other_ways[squared]"),
    Mistake("the lock held while stepping", BASE,
            "        with nogil:\n            self.advance()\n", "        self.advance()\n",
            CONTRACT + "other_python_threads_run_while_a_batch_is_stepped"),
    Mistake("a stale environment let in", BASE,
            "        require_fresh(type(self).__module__)\n", "",
            CONTRACT + "an_extension_older_than_its_source_is_refused_with_the_command_that_mends_it[envs.squared]"),
    Mistake("a stale base let in", BASE,
            "        require_fresh(\"envs.core.native\")\n", "",
            CONTRACT + "an_extension_older_than_its_source_is_refused_with_the_command_that_mends_it[envs.core.native]"),
]
by_what = pytest.mark.parametrize("mistake", MISTAKES, ids=[mistake.what for mistake in MISTAKES])


@by_what
def test_the_mistake_can_be_made(mistake):
    """Its place is there exactly once, and so is its test."""
    assert (ROOT / mistake.source).read_text().count(mistake.old) == 1
    file, _, test = mistake.test.partition("::")
    assert f"def {test.partition('[')[0]}(" in (ROOT / file).read_text()


@pytest.fixture(scope="module")
def copy(tmp_path_factory):
    """A copy of the compiled sources and of their tests, in which mistakes may be made."""
    folder = tmp_path_factory.mktemp("mistakes")
    for part in ("envs", "tests"):
        shutil.copytree(ROOT / part, folder / part, ignore=shutil.ignore_patterns("__pycache__", "browser"))
    shutil.copy(ROOT / "setup.py", folder)
    return folder


def run_test(folder, test) -> subprocess.CompletedProcess:
    command = [sys.executable, "-m", "pytest", "-q", "-c", os.devnull, "--rootdir", str(folder), "-p", "no:cacheprovider", test]
    return subprocess.run(command, cwd=folder, env={**os.environ, "PYTHONPATH": str(folder)}, capture_output=True, text=True)


@pytest.mark.long
@by_what
def test_the_mistake_makes_its_test_fail(mistake, copy):
    source = copy / mistake.source
    right, extensions = source.read_text(), list(source.parent.glob(source.stem + ".*.so"))
    kept = {file: file.read_bytes() for file in [*extensions, *(copy / "envs").glob(".manifest-*.json")]}
    try:
        source.write_text(right.replace(mistake.old, mistake.new))
        build = subprocess.run([sys.executable, "setup.py", "-q", "build_ext", "--inplace", "--force"], cwd=copy, capture_output=True, text=True,
                               env={**os.environ, "PUFFER_ONLY": mistake.source, "PYTHONPATH": str(copy)})
        assert build.returncode == 0, build.stderr[-3000:]
        run = run_test(copy, mistake.test)
        assert run.returncode == FAILED and "1 failed" in run.stdout or run.returncode in CRASHED, run.stdout[-3000:] + run.stderr[-3000:]
    finally:
        source.write_text(right)
        for file, content in kept.items():
            file.write_bytes(content)


@pytest.mark.long
@pytest.mark.parametrize("test", sorted({mistake.test for mistake in MISTAKES}))
def test_without_a_mistake_the_same_test_passes(test, copy):
    run = run_test(copy, test)
    assert run.returncode == 0 and "1 passed" in run.stdout, run.stdout[-3000:] + run.stderr[-3000:]
