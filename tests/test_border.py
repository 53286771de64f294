"""The border of native code: whatever an environment is given, it works or says in a sentence why not; nothing crashes, hangs or floods memory."""

import os
import re
import subprocess
import sys
from pathlib import Path

import environments
import numpy as np
import pytest
import torch

import envs
from envs.core import free_memory
from envs.core.settings import choice, flag, number, whole

ROOT = Path(__file__).resolve().parents[1]


@pytest.mark.skipif(sys.platform != "linux", reason="a process's memory is limited through RLIMIT_AS and read from /proc")
@pytest.mark.parametrize("name", environments.names())
def test_any_argument_is_taken_or_refused_in_a_sentence_that_names_it(name):
    run = subprocess.run([sys.executable, "tests/border.py", name], cwd=ROOT, env={**os.environ, "OMP_NUM_THREADS": "1"}, capture_output=True, text=True)
    lines = run.stdout.splitlines()
    wrong = [line for line in lines if line.startswith("WRONG")]
    assert run.returncode == 0 and not wrong, f"{len(wrong)} wrong: {wrong[:5]}; last: {lines[-1:]}; {run.stderr[-2000:]}"
    trials, made, refused = map(int, re.fullmatch(rf"{name}: (\d+) trials, (\d+) made, (\d+) refused", lines[-1]).groups())
    assert trials == made + refused > 500 and made > 50 and refused > 200


@pytest.mark.parametrize("value", [3, np.int64(3), np.uint8(3), np.array(3), torch.tensor(3)])
def test_a_whole_number_may_be_a_scalar_of_any_library(value):
    found = whole("size", value, 3, 3)
    assert found == 3 and type(found) is int


@pytest.mark.parametrize("value, said", [
    (2, "2"), (8, "8"), (-10**30, "-1" + 30 * "0"), (3.0, "3.0"), (np.float32(3), "np.float32(3.0)"), (True, "True"), (np.True_, "np.True_"),
    (torch.tensor(True), "tensor(True)"), ("3", "'3'"), (None, "None"), ([3], "[3]"), (np.array([3, 4]), "array([3, 4])"), (float("nan"), "nan"),
    (10**5000, "<int>"), (list(range(100)), "[0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16..."),
    (np.zeros((2, 2)), "array([[0., 0.], [0., 0.]])"),
], ids=lambda value: type(value).__name__)
def test_what_is_no_whole_number_within_the_bounds_is_said_in_one_line(value, said):
    with pytest.raises(ValueError) as error:
        whole("size", value, 3, 7)
    assert str(error.value) == f"size={said} given, expected a whole number from 3 to 7"


@pytest.mark.parametrize("value", [0.5, np.float32(0.5), np.array(0.5), torch.tensor(0.5), np.float64(0.5)])
def test_a_number_may_be_a_scalar_of_any_library(value):
    found = number("share", value, 0, 1)
    assert found == 0.5 and type(found) is float


@pytest.mark.parametrize("bounds, words, inside, outside", [
    ({}, "a finite number", (0, -1e300), (float("nan"), float("inf"), 10**400, "0", None, True, [0.5], np.array([0.5]), 1j)),
    ({"low": 0.5, "below": 1}, "a finite number at least 0.5 and below 1", (0.5, 0.75), (1, 0.49)),
    ({"above": 0, "high": 2.5}, "a finite number above 0 and at most 2.5", (1e-45, 2.5), (0, -0.0, 2.6)),
])
def test_a_number_lies_within_its_bounds(bounds, words, inside, outside):
    assert [number("share", value, **bounds) for value in inside] == list(inside)
    for value in outside:
        with pytest.raises(ValueError, match=f"given, expected {words}$"):
            number("share", value, **bounds)


def test_flags_and_choices_are_themselves_and_nothing_like_them():
    assert flag("threats", True) is True and flag("threats", np.False_) is False and choice("task", np.str_("maze"), ("maze", "empty")) == "maze"
    for value in (0, 1, "False", None, [True]):
        with pytest.raises(ValueError, match="expected True or False"):
            flag("threats", value)
    for value in (0, None, "mazes", ["maze"], np.array(["maze", "empty"])):
        with pytest.raises(ValueError, match="expected one of 'maze', 'empty'"):
            choice("task", value, ("maze", "empty"))


# ------------------------------------------------------------------ the size of a batch

def test_a_batch_that_takes_more_memory_than_is_free_is_refused_before_it_takes_any(monkeypatch):
    monkeypatch.setattr("envs.core.native.free_memory", lambda: 2**30)
    envs.make("squared", 1_000_000).close()
    with pytest.raises(ValueError, match=r"num_envs=10000000 given, for which Squared takes 1\.\d GiB of memory, expected at most the 1\.0 GiB"):
        envs.make("squared", 10_000_000)


def test_a_batch_whose_numbers_are_not_counted_in_32_bits_is_refused_with_the_largest_that_is():
    for name, given, largest in (("snake", {}, 2280), ("memory", {"length": 1_000_000}, 2147), ("drive", {}, 155_705)):
        with pytest.raises(ValueError, match=f"num_envs={largest + 1} given, expected at most {largest:,}, because"):
            envs.make(name, largest + 1, **given)


def test_the_spaces_of_a_batch_are_those_of_its_buffers():
    env = envs.make("cartpole", 5)
    assert env.observation_space.shape == (5, 4) and env.observation_space is env.observation_space and env.action_space.shape == (5,)


def test_what_a_container_leaves_is_its_limit_less_what_cannot_be_dropped(monkeypatch, tmp_path):
    monkeypatch.setattr(free_memory, "CGROUP", tmp_path)
    assert free_memory._container() == free_memory.UNLIMITED
    for name, text in (("memory.max", "1000\n"), ("memory.current", "700\n"), ("memory.stat", "anon 500\ninactive_file 150\n")):
        (tmp_path / name).write_text(text)
    assert free_memory._container() == 450 and free_memory.free_memory() == 450
    (tmp_path / "memory.max").write_text("max\n")
    assert free_memory._container() == free_memory.UNLIMITED and free_memory.free_memory() > 2**20
