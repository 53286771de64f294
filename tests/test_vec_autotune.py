"""backend="auto": which way it takes at which speeds, which environments it constructs for that, and that it says why."""

import os
import threading
import time

import gymnasium
import numpy as np
import pytest
from gymnasium.spaces import Box, Discrete
from vectorizer_environments import Counter, Walk

import envs
from puffer_min.env.spec import EnvSpec
from puffer_min.vector import ProcessVectorizer, Serial, ThreadVectorizer, autotune, make_vec
from puffer_min.vector.autotune import FEWEST, Probe, StandIn, probe_of, speeds_of, workers_for


def common(**settings):
    return {"seed": 0, "report_interval": 0, "env_settings": settings}


@pytest.fixture
def speeds(monkeypatch):
    """A function that fixes the env-steps/s of each candidate, in their order, and the number of cores; nothing is timed."""
    def fix(*rates, cores=2):
        monkeypatch.setattr(autotune, "cores", lambda: cores)
        monkeypatch.setattr(autotune, "rates_of", lambda ways, *_: dict(zip(ways, rates, strict=False)))
        monkeypatch.setattr(autotune, "speeds_of", lambda calls: dict(zip(calls, rates, strict=False)))
    return fix


@pytest.mark.parametrize("rates, expected", [
    ((100, 50, 40), ("serial", 1, 4)),
    ((100, 114, 114), ("serial", 1, 4)),                    # workers must be 1.15 times as fast as serial
    ((100, 116, 120), ("process", 2, 4)),                   # and halves 1.15 times as fast as workers that are all awaited
    ((100, 116, 140), ("process", 4, 2)),
    ((100, 90, 120), ("process", 4, 2)),
])
def test_auto_takes_the_fastest_candidate_with_a_margin_for_the_simpler_one(rates, expected, speeds):
    speeds(*rates)
    with make_vec(Counter, 4, backend="auto") as vec:
        plan = vec.plan
        assert (plan.backend, plan.num_workers, plan.batch_envs) == expected == (vec.backend, vec.num_workers, vec.batch_envs)
        assert list(plan.rates.values()) == list(rates)


@pytest.mark.parametrize("rates, kind", [((100, 114), Serial), ((100, 116), ThreadVectorizer)])
def test_auto_takes_threads_for_native_environments_where_they_gain(rates, kind, speeds):
    speeds(*rates)
    with make_vec("squared", 8, backend="auto") as vec:
        assert type(vec) is kind and vec.plan.backend == vec.backend
        assert f"{rates[1] / rates[0]:.2f} times as fast" in str(vec.plan)


def test_auto_says_what_it_measured_and_why_it_chose(speeds):
    speeds(9_000, 17_100, 16_000)
    with make_vec(Counter, 4, backend="auto") as vec:
        text = str(vec.plan)
    assert text.startswith("process, 2 workers, batches of 4 environments: 1.90 times as fast as serial\n  measured: a step of one")
    assert text.endswith("env-steps/s of serial with 1, batches of 4: 9 k; process with 2, batches of 4: 17.1 k; "
                         "process with 4, batches of 2: 16 k")
    speeds(9_000, 3_000, 4_500)
    with make_vec(Counter, 4, backend="auto") as vec:
        assert "serial, 1 worker, batches of 4 environments: the others are 0.50 times as fast" in str(vec.plan)


def test_workers_are_never_more_than_asked_for(speeds):
    speeds(1, 2, 4, cores=8)
    for most in (2, 3, 5):
        with make_vec(Counter, 12, most, "auto") as vec:
            assert 1 < vec.num_workers <= most


def test_nothing_is_measured_where_there_is_nothing_to_choose(monkeypatch):
    monkeypatch.setattr(autotune, "probe_of", None)
    for make_env in ("squared", Counter):
        with make_vec(make_env, 1, backend="auto") as one, make_vec(make_env, 4, 1, "auto") as asked:
            assert one.plan.backend == asked.plan.backend == "serial" and not one.plan.rates


def test_one_core_takes_serial(speeds):
    speeds(1, 100, cores=1)
    for make_env in ("squared", Counter):
        with make_vec(make_env, 4, backend="auto") as vec:
            assert type(vec) is Serial and "there is one core" in str(vec.plan)


# ---------------------------------------------------------------------- what is constructed

class Counted(gymnasium.Env):
    """Notes each construction and each close in a folder, from whichever process."""

    observation_space, action_space = Box(0, 1, (1,), np.float32), Discrete(2)

    def __init__(self, folder):
        self.folder = folder
        self.note("made")

    def note(self, word):
        with open(self.folder / f"{word}-{os.getpid()}-{threading.get_ident()}", "a") as file:
            file.write("x")

    def reset(self, *, seed=None, options=None):
        return np.zeros(1, np.float32), {}

    def step(self, action):
        return np.zeros(1, np.float32), 0.0, False, False, {}

    def close(self):
        self.note("closed")


def counted(folder, word):
    return sum(len(path.read_text()) for path in folder.glob(f"{word}-*"))


@pytest.mark.parametrize("rates", [(100, 1, 1), (100, 200, 1), (100, 200, 400)])
@pytest.mark.parametrize("num_envs", [2, 16])
def test_auto_constructs_no_more_environments_than_it_keeps_plus_one(rates, num_envs, speeds, tmp_path):
    speeds(*rates)
    with make_vec(Counted, num_envs, backend="auto", folder=tmp_path):
        assert counted(tmp_path, "made") <= num_envs + 1
        assert counted(tmp_path, "made") - counted(tmp_path, "closed") == num_envs
    assert counted(tmp_path, "closed") == counted(tmp_path, "made")


def test_auto_constructs_no_more_environments_when_it_times_the_candidates_for_real(tmp_path):
    with make_vec(Counted, 8, backend="auto", folder=tmp_path):
        assert counted(tmp_path, "made") <= 9


@pytest.mark.parametrize("backend, workers", [("serial", 1), ("thread", 2), ("process", 2), ("process", 3)])
def test_other_backends_construct_exactly_the_environments_they_keep(backend, workers, tmp_path):
    with make_vec(Counted, 6, workers, backend, folder=tmp_path):
        assert counted(tmp_path, "made") == 6 and counted(tmp_path, "closed") == 0
    assert counted(tmp_path, "closed") == 6


def test_threads_that_win_keep_the_environments_they_were_timed_with(speeds, monkeypatch):
    speeds(100, 200)
    made = []

    class Noted(envs.load("squared")):
        def __init__(self, num_envs, **settings):
            made.append(num_envs)
            super().__init__(num_envs, **settings)

    with make_vec(Noted, 8, backend="auto", seed=3) as vec:
        assert type(vec) is ThreadVectorizer and made == [4, 4]


def test_an_environment_that_raises_in_the_probe_raises_here_and_is_closed(tmp_path):
    class Broken(Counted):
        def step(self, action):
            raise ValueError("no step")

    with pytest.raises(ValueError, match="no step"):
        make_vec(Broken, 4, backend="auto", folder=tmp_path)
    assert counted(tmp_path, "made") == counted(tmp_path, "closed") == 1


def test_a_factory_that_no_worker_can_take_is_stepped_here(speeds):
    speeds(100, 200, 300)
    lock = threading.Lock()
    with make_vec(lambda: (lock, Counter())[1], 4, backend="auto", start_method="spawn") as vec:
        assert type(vec) is Serial and "processes cannot be used here: make_env or a setting cannot be pickled" in str(vec.plan)


# ---------------------------------------------------------------------- the measurements

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

    assert probe_of(Sleeping, common()).busy < 0.5 and probe_of(Working, common()).busy == 1.0


def test_environments_that_wait_get_more_workers_than_cores(speeds):
    class Sleeping(Counter):
        def step(self, actions):
            time.sleep(0.002)
            return super().step(actions)

    speeds(1, 10)
    with make_vec(Sleeping, 8, backend="auto") as vec:
        assert (vec.backend, vec.num_workers) == ("process", 8)


def test_settings_reach_the_environment_whatever_they_are_called():
    class Lasting(Counter):
        def __init__(self, seconds, steps, timeout=0, **base):
            self.seconds, self.steps, self.limit = seconds, steps, timeout
            super().__init__(**base)

        def step(self, actions):
            time.sleep(self.seconds)
            return super().step(actions)

    with make_vec(Lasting, 2, backend="auto", seconds=0.005, steps=1, env_settings={"timeout": 3}) as vec:
        assert vec.plan.probe.step > 0.004
    with make_vec(Lasting, 2, seconds=0.005, steps=1, env_settings={"timeout": 3}) as vec:
        assert vec.environments[0].limit == 3


def test_a_slow_environment_is_measured_by_a_few_steps(monkeypatch):
    monkeypatch.setattr(autotune, "SECONDS", 0.001)

    class Slow(Counter):
        def step(self, actions):
            time.sleep(0.0005)
            return super().step(actions)

    assert 1 <= len(probe_of(Slow, common()).steps) <= FEWEST


def test_a_stand_in_takes_the_time_of_the_environments_it_stands_for():
    probe = Probe(EnvSpec.of(Counter()), np.array([1e-4, 3e-4]), 1.0)
    env = StandIn(probe, 5, 2.0)
    env.reset(0)
    began = time.thread_time()
    for _ in range(100):
        env.step(env.actions)
    assert env.num_agents == 5 and time.thread_time() - began >= 0.9 * 100 * 5 * 2 * 2e-4


def test_ways_take_turns():
    calls = []
    rates = speeds_of({"a": lambda: calls.append("a"), "b": lambda: calls.append("b")})
    turns = "".join(name for name, before in zip(calls, [None, *calls], strict=False) if name != before)
    assert turns == "ab" * 5 and min(rates.values()) > 0


def test_the_probe_takes_only_actions_that_the_masks_allow():
    class Picky(Counter):
        def action_masks(self):
            masks = np.zeros((1, 1000), bool)
            masks[0, 7 + self.count % 3] = True
            return masks

        def step(self, actions):
            assert self.action_masks()[0, actions[0]], "an action that is not allowed"
            return super().step(actions)

    assert probe_of(Picky, common()).step > 0


@pytest.mark.parametrize("make_env", ["squared", Walk])
@pytest.mark.parametrize("rates", [(100, 1, 1), (100, 200, 1)])
def test_auto_gives_the_trajectories_of_serial(make_env, rates, speeds):
    speeds(*rates)
    with make_vec(make_env, 6, seed=4, backend="auto") as vec, make_vec(make_env, 6, seed=4) as serial:
        with pytest.raises(RuntimeError, match="before the first reset"):
            vec.step(np.zeros(6, np.int32))
        assert np.array_equal(vec.reset()[0], serial.reset()[0])
        for t in range(40):
            actions = np.random.default_rng(t).integers(0, int(vec.single_action_space.n), 6, dtype=np.int32)
            for part, other in zip(vec.step(actions)[:4], serial.step(actions)[:4], strict=True):
                assert np.array_equal(part, other)
        assert str(serial.plan) == "serial, 1 worker, batches of 6 environments: the backend that was given"


# ---------------------------------------------------------------------- batches that are asked for

def test_batch_asked_for_is_given_if_workers_can_be_divided_so():
    workers = workers_for(12, 4, 12)
    assert 12 % workers == 0 and 4 % (12 // workers) == 0
    with pytest.raises(ValueError, match="batch_envs=5 with num_envs=12 and at most 4 workers: expected a number of workers that divides"):
        workers_for(12, 5, 4)


@pytest.mark.parametrize("make_env, kind", [(Walk, ProcessVectorizer), ("squared", ThreadVectorizer)])
def test_auto_gives_batches_that_were_asked_for(make_env, kind):
    with make_vec(make_env, 4, backend="auto", batch_envs=2) as vec:
        vec.async_reset(0)
        assert type(vec) is kind and len(vec.recv().rewards) == 2 and vec.batch_envs == 2
