"""Processes that were asked for: taken where they are not slower, and a trial that goes wrong harms nobody (process_trial.py)."""

import multiprocessing
import os
import time

import gymnasium
import numpy as np
import pytest
from gymnasium.spaces import Box, Discrete
from test_vec_plan import measured
from vectorizer_environments import Counter, Walk

from puffer_min.vector import process_trial
from puffer_min.vector.process_trial import plan_for_processes
from puffer_min.vector import WorkerDied, make_vec


class Light(gymnasium.Env):
    """A step takes about a microsecond."""

    observation_space, action_space = Box(0, 255, (1,), np.uint8), Discrete(2)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.seen = np.array([self.np_random.integers(200)], np.uint8)
        return self.seen, {}

    def step(self, action):
        return self.seen, float(action), False, False, {}


class Slow(Walk):
    """A step takes a millisecond of a core's time."""

    def step(self, actions):
        until = time.thread_time() + 1e-3
        while time.thread_time() < until:
            pass
        return super().step(actions)


class Broken(Counter):
    """Cannot be stepped: raises, ends its process or hangs at the first step."""

    def __init__(self, buffers=None, seed=0, how="raise"):
        super().__init__(buffers, seed)
        self.how = how

    def step(self, actions):
        if self.how == "raise":
            raise RuntimeError("no step")
        if self.how == "exit":
            os._exit(3)
        while True:
            time.sleep(0.01)


@pytest.fixture(autouse=True)
def nothing_left():
    yield
    assert not multiprocessing.active_children()


@pytest.mark.parametrize("processes, chosen", [([10e-6] * 10, "process"), ([17e-6] * 10, "process"), ([18e-6] * 10, "serial"),
                                               ([1e-3] * 10, "serial"), ([1.0] * 2 + [17e-6] * 8, "process"), ([1e-6] * 7 + [18e-6] * 3, "serial")])
def test_cheap_steps_have_processes_where_these_gain_as_much_as_auto_asks_for_in_all_moments_but_two(monkeypatch, processes, chosen):
    monkeypatch.setattr(process_trial, "try_apart", lambda *arguments: (measured(1e-6), 20e-6))
    monkeypatch.setattr(process_trial, "moments", lambda vec, seed: processes)
    plan = plan_for_processes(Light, 4, 2)
    assert (plan.backend, plan.num_workers, plan.batch_envs) == (chosen, 2 if chosen == "process" else 1, 4)
    assert (chosen == "process") == (plan.reason == "as asked for")


@pytest.mark.parametrize("start_method", ["fork", "spawn"])
def test_cheap_environments_asked_for_in_processes_are_stepped_here_to_the_same_numbers(start_method):
    with make_vec(Light, 2, 2, "process", seed=5, start_method=start_method) as vec, make_vec(Light, 2, seed=5) as serial:
        assert vec.backend == "serial" and not multiprocessing.active_children()
        assert "processes were asked for" in str(vec.plan) and "isolate=True" in str(vec.plan) and vec.plan.profile.step < 1e-3
        assert np.array_equal(vec.reset(5)[0], serial.reset(5)[0])
        for _ in range(30):
            for ours, theirs in zip(vec.step(np.ones(2, np.int32))[:4], serial.step(np.ones(2, np.int32))[:4]):
                assert np.array_equal(ours, theirs)
    with make_vec(Light, 2, 2, "process", isolate=True) as vec:
        assert vec.backend == "process" and len(vec.pids) == 2


def test_environments_that_take_time_and_batches_in_parts_have_the_processes_they_ask_for():
    with make_vec(Slow, 8, 2, "process") as vec:
        assert vec.backend == "process" and len(vec.pids) == 2 and vec.plan.profile.step > 5e-4
    with make_vec(Walk, 4, 4, "process", batch_envs=2) as vec:
        assert vec.backend == "process" and vec.plan.profile is None


@pytest.mark.parametrize("how, error", [("raise", RuntimeError), ("exit", WorkerDied), ("hang", TimeoutError)])
def test_what_goes_wrong_in_the_trial_is_left_to_the_workers_to_say(how, error):
    with make_vec(Broken, 2, 2, "process", timeout=2, how=how) as vec:
        assert vec.backend == "process" and vec.plan.profile is None and len(multiprocessing.active_children()) == 2
        vec.reset(0)
        with pytest.raises(error):
            vec.step(np.zeros(2, np.int32))


def test_what_cannot_be_pickled_for_a_trial_is_one_sentence():
    with pytest.raises(TypeError, match="cannot be pickled for a worker"):
        make_vec(Walk, 2, 2, "process", start_method="spawn", edge=(i for i in range(3)))
