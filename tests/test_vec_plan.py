"""backend="auto": what it chooses for which environment, and that it says why."""

import time

import numpy as np
import pytest
from vectorizer_environments import Counter, Walk

from puffer_min.vector.plan import LEAST_STEPS, Profile, choose, profile
from puffer_min.vector import make_vec


def measured(steps, *, native=False, call=1e-6, busy=1.0):
    return Profile(native=native, agents=1, row_bytes=16, call=call, steps=np.atleast_1d(steps).astype(float), reset=1e-5, busy=busy)


UNEVEN = np.array([1e-4] * 49 + [5e-3])
SLOW_RESET = np.array([1e-4] * 99 + [2e-2])


@pytest.mark.parametrize("what, found, num_envs, num_cores, expected", [
    ("a trivial environment", measured(1e-7), 16, 2, ("serial", 1, 16)),
    ("a trivial environment on a server", measured(1e-7), 16, 64, ("serial", 1, 16)),
    ("steps of 100 µs", measured(1e-4), 16, 2, ("process", 2, 16)),
    ("steps of 1 ms", measured(1e-3), 16, 2, ("process", 2, 16)),
    ("steps of 1 ms on a server", measured(1e-3), 64, 32, ("process", 32, 64)),
    ("one environment alone", measured(1e-3), 1, 32, ("serial", 1, 1)),
    ("one core", measured(1e-3), 16, 1, ("serial", 1, 16)),
    ("uneven steps", measured(UNEVEN), 16, 2, ("process", 8, 8)),
    ("slow resets", measured(SLOW_RESET), 16, 2, ("process", 8, 8)),
    ("one that waits for something", measured(1e-2, busy=0.01), 16, 2, ("process", 16, 16)),
    ("a small native batch", measured(1e-9, native=True), 64, 2, ("serial", 1, 64)),
    ("a large native batch", measured(1e-7, native=True), 4096, 2, ("thread", 2, 4096)),
    ("a large native batch on a server", measured(1e-7, native=True), 4096, 64, ("thread", 41, 4096)),
])
def test_plan_for(what, found, num_envs, num_cores, expected):
    plan = choose(found, num_envs, num_cores)
    assert (plan.backend, plan.num_workers, plan.batch_envs) == expected, f"{what}: {plan}"


def test_workers_are_never_more_than_asked_for():
    for found in (measured(1e-3), measured(UNEVEN), measured(1e-2, busy=0.01), measured(1e-7, native=True)):
        for most in (1, 2, 3, 5):
            assert choose(found, 4096 if found.native else 16, 64, most).num_workers <= most


def test_a_plan_predicts_no_way_to_be_a_tenth_slower_than_serial():
    random = np.random.default_rng(0)
    for _ in range(200):
        steps = 10 ** random.uniform(-7, -2) * random.lognormal(0, random.uniform(0, 2), 50)
        num_envs, num_cores = int(random.integers(1, 40)), int(random.integers(1, 40))
        plan = choose(measured(steps, native=bool(random.integers(2))), num_envs, num_cores, int(random.integers(1, 9)))
        assert max(plan.predicted.values()) >= 0.9 * plan.predicted["serial with 1"]
        way = f"{plan.backend} with {plan.num_workers}" + ", asynchronous" * (plan.batch_envs < num_envs)
        assert plan.predicted[way] >= plan.predicted["serial with 1"]


def test_batch_asked_for_is_given_if_workers_can_be_divided_so():
    plan = choose(measured(1e-3), 12, 2, batch_envs=4)
    assert plan.batch_envs == 4 and 12 % plan.num_workers == 0 and 4 % (12 // plan.num_workers) == 0
    with pytest.raises(ValueError, match="batch_envs=5 with num_envs=12 and at most 4 workers: expected num_workers to divide num_envs"):
        choose(measured(1e-3), 12, 2, most_workers=4, batch_envs=5)


def test_plan_says_what_it_measured_and_why_it_chose():
    text = str(choose(measured(UNEVEN), 16, 2))
    assert text.startswith("process, 8 workers, batches of 8 environments: steps or resets are uneven, so recv returns the half")
    assert "a step of one environment takes 198 µs (slowest of 50: 5 ms" in text and "process with 8, asynchronous" in text
    assert "100% of it waiting" not in text and "99% of it waiting" in str(choose(measured(1e-2, busy=0.01), 16, 2))


def test_waiting_is_told_from_working_whatever_else_the_machine_does():
    class Sleeping(Counter):
        def step(self, actions):
            time.sleep(0.002)
            return super().step(actions)

    class Working(Counter):
        def step(self, actions):
            for _ in range(3000):
                pass
            return super().step(actions)

    assert profile(Sleeping, 4, {}, seconds=0.05).busy < 0.5 and profile(Working, 4, {}, seconds=0.05).busy == 1.0


def test_settings_reach_the_environment_whatever_they_are_called():
    class Lasting(Counter):
        def __init__(self, seconds, steps, **base):
            self.seconds, self.steps = seconds, steps
            super().__init__(**base)

        def step(self, actions):
            time.sleep(self.seconds)
            return super().step(actions)

    with make_vec(Lasting, 2, backend="auto", seconds=0.005, steps=1) as vec:
        assert vec.plan.profile.step > 0.004


def test_a_native_step_is_told_from_the_call_around_it():
    """A cart takes 15 to 50 ns, a call about a microsecond, and a clock between two calls as long again."""
    with make_vec("cartpole", 4096, backend="auto") as vec:
        measured = vec.plan.profile
        assert measured.step < 0.3e-6 < measured.call + 4096 * measured.step


def test_a_slow_environment_is_measured_by_a_few_steps():
    assert len(profile(Counter, 4, {}, seconds=0).steps) == LEAST_STEPS


@pytest.mark.parametrize("make_env", ["squared", Walk])
def test_auto_gives_the_trajectories_of_serial_and_a_plan(make_env):
    with make_vec(make_env, 6, seed=4, backend="auto") as vec, make_vec(make_env, 6, seed=4) as serial:
        assert np.array_equal(vec.reset()[0], serial.reset()[0])
        for t in range(40):
            actions = np.random.default_rng(t).integers(0, int(vec.single_action_space.n), 6, dtype=np.int32)
            for part, other in zip(vec.step(actions)[:4], serial.step(actions)[:4]):
                assert np.array_equal(part, other)
        assert vec.plan.backend == vec.backend and vec.plan.profile.native == (make_env == "squared")
        assert str(serial.plan) == "serial, 1 worker, batches of 6 environments: as asked for"


def test_auto_gives_batches_that_were_asked_for():
    with make_vec(Walk, 4, backend="auto", batch_envs=2) as vec:
        vec.async_reset(0)
        assert len(vec.recv().rewards) == 2 and vec.batch_envs == 2
