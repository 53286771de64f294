"""`measure`: what is inside the clock, what is counted, and which figures may be compared. `bench`: the table."""

import argparse
import functools
import json
import sys

import gymnasium
import numpy as np
import pytest
from gymnasium.spaces import Box, Discrete, MultiDiscrete

import envs
import puffer_min
from puffer_min import measure as measuring
from puffer_min.commands import bench as benchmark
from puffer_min.course.bench import UnlikeConditions, require_alike
from puffer_min.env.puffer_env import PufferEnv
from puffer_min.measure import draw_actions, duration, measure, measure_together, quantity
from puffer_min.vector import make_vec

real_yardstick = benchmark.yardstick
QUICK = {"seconds": 0.01, "repeats": 2}


class Clock:
    """A clock that only `work` moves, so that figures are exact."""

    def __init__(self, monkeypatch):
        self.now = 0.0
        monkeypatch.setattr(measuring.time, "perf_counter", lambda: self.now)

    def work(self, seconds):
        self.now += seconds


@pytest.fixture
def clock(monkeypatch):
    return Clock(monkeypatch)


class Team(PufferEnv):
    """Three agents; a step takes 2 ms and a reset 1 s of the test's clock."""

    def __init__(self, clock):
        self.clock, self.seen, self.resets = clock, [], 0
        self.single_observation_space, self.single_action_space, self.num_agents = Box(0, 1, (2,), np.uint8), Discrete(4), 3
        super().__init__()

    def reset(self, seed=None):
        self.begin_reset(seed)
        self.clock.work(1)
        self.resets += 1
        return self.observations, []

    def step(self, actions):
        self.begin_step(actions)
        self.seen.append(actions.copy())
        self.clock.work(0.002)
        return self.finish_step()


def test_the_first_reset_and_the_drawing_of_actions_are_outside_the_clock(clock):
    found = measure(Team(clock), seconds=1, repeats=4)
    assert found.rates == pytest.approx((1500,) * 4) and found.best == pytest.approx(found.median)
    assert found.seconds == pytest.approx(1)


def test_every_agent_counts_and_a_tick_is_one_environment(clock):
    found = measure(Team(clock), seconds=0.1)
    assert (found.unit, found.per_call) == ("agent-steps", 3)
    assert (found.best, found.ticks, found.calls) == pytest.approx((1500, 500, 500))


def test_actions_are_random_valid_and_the_same_for_the_same_seed(clock):
    first, again, other = Team(clock), Team(clock), Team(clock)
    for env, seed in ((first, 1), (again, 1), (other, 2)):
        measure(env, seed=seed, seconds=0.2)
        assert env.resets == 1
    assert np.array_equal(first.seen[:64], again.seen[:64])
    assert not np.array_equal(first.seen[:64], other.seen[:64])
    assert set(np.unique(first.seen)) == {0, 1, 2, 3}


@pytest.mark.parametrize("space", [Discrete(3), MultiDiscrete([2, 5]), Box(-2, np.inf, (2,), np.float32)])
def test_drawn_actions_lie_in_the_space(space):
    class Any(PufferEnv):
        def __init__(self):
            self.single_observation_space, self.single_action_space, self.num_agents = Box(0, 1, (1,)), space, 5
            super().__init__()

    env = Any()
    for actions in draw_actions(env):
        assert (actions.shape, actions.dtype) == (env.actions.shape, env.actions.dtype)
        assert all(space.contains(action.astype(space.dtype)) for action in actions)


def test_a_slow_call_is_made_once_a_repeat(clock):
    calls = []
    found = measure(lambda: (calls.append(1), clock.work(5)), seconds=1, repeats=3)
    assert found.rates == pytest.approx((0.2,) * 3) and len(calls) == 3 + 2      # a warm-up and one to calibrate


def test_a_callable_counts_what_it_says(clock):
    found = measure(lambda: clock.work(0.01), per_call=64, unit="samples", seconds=0.1)
    assert (found.best, found.unit, found.ticks) == (pytest.approx(6400), "samples", None)


class Corridor(gymnasium.Env):
    """Gymnasium environment of episodes of four steps of 1 ms; a reset takes 6 ms."""

    observation_space, action_space = Discrete(4), Discrete(2)

    def __init__(self, clock):
        self.clock, self.at = clock, 0

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.clock.work(0.006)
        self.at = 0
        return 0, {}

    def step(self, action):
        assert self.at < 4, "stepped after the end of an episode"
        self.clock.work(0.001)
        self.at += 1
        return 0, 0.0, self.at == 4, False, {}


def test_a_gymnasium_environment_is_reset_when_an_episode_ends_and_the_share_is_told(clock):
    found = measure(Corridor(clock), seconds=4, repeats=1)
    assert found.best == pytest.approx(400, rel=0.02)
    assert found.reset_share == pytest.approx(0.6, rel=0.02) and "60% in resets" in str(found)


def test_what_others_step_is_measured_too():
    vector = gymnasium.make_vec("CartPole-v1", num_envs=3)
    assert measure(vector, **QUICK).conditions.num_envs == 3
    assert measure(gymnasium.make("CartPole-v1"), **QUICK).name == "CartPole-v1"
    from stable_baselines3.common.vec_env import DummyVecEnv
    assert measure(DummyVecEnv([lambda: gymnasium.make("CartPole-v1")] * 2), **QUICK).per_call == 2


def test_native_environments_and_vectorizers_are_counted_by_agents():
    for env in (envs.make("squared", num_envs=5), make_vec("squared", num_envs=5)):
        found = measure(env, **QUICK)
        assert (found.conditions.num_envs, found.conditions.num_agents, found.per_call) == (5, 5, 5)
        assert found.best > 0 and found.reset_share is None


def test_repeats_of_several_things_take_turns():
    order = []
    measure_together({"a": lambda: order.append("a"), "b": lambda: order.append("b")}, seconds=1e-9, repeats=3)
    assert "".join(order)[-6:] == "ababab"


def test_the_collector_of_garbage_is_off_inside_the_clock_and_on_again_after_an_error():
    import gc
    states = []

    def fail():
        states.append(gc.isenabled())
        raise RuntimeError
    with pytest.raises(RuntimeError):
        measure(fail, **QUICK)
    assert states == [False] and gc.isenabled()


def test_figures_of_unlike_conditions_are_not_compared():
    one, many = (measure(envs.make("squared", num_envs=n), name=f"squared{n}", **QUICK) for n in (1, 8))
    with pytest.raises(UnlikeConditions, match="squared1 and squared8 were measured under different conditions.*num_envs 1 and 8"):
        require_alike(one, many)
    require_alike(one, many, apart_from=("num_envs", "num_agents"))
    with pytest.raises(UnlikeConditions, match="unit 'calls' and 'samples'"):
        require_alike(measure(lambda: None, **QUICK), measure(lambda: None, unit="samples", **QUICK))


def test_a_figure_taken_under_a_profiler_says_so():
    sys.setprofile(lambda *_: None)
    try:
        found = measure(lambda: None, **QUICK)
    finally:
        sys.setprofile(None)
    assert found.conditions.profiled and "PROFILED" in str(found)
    assert not measure(lambda: None, **QUICK).conditions.profiled


def test_what_cannot_be_measured_is_refused():
    with pytest.raises(TypeError, match="given the class Team, expected an object"):
        measure(Team)
    with pytest.raises(TypeError, match="given int, expected an environment or a callable"):
        measure(3)
    with pytest.raises(ValueError, match="seconds=0"):
        measure(lambda: None, seconds=0)
    assert measure(functools.partial(int, "3"), **QUICK).best > 0


@pytest.mark.parametrize("value, text", [(0.5, "0.5"), (999, "999"), (1234, "1.23 k"), (999_700, "1 M"), (48.4e6, "48.4 M"), (2e9, "2 G")])
def test_quantities_have_three_digits_and_a_prefix(value, text):
    assert quantity(value) == text


@pytest.mark.parametrize("value, text", [(2, "2 s"), (0.00456, "4.56 ms"), (1.5e-6, "1.5 µs"), (2e-8, "20 ns")])
def test_durations_have_three_digits_and_a_unit(value, text):
    assert duration(value) == text


# ---------------------------------------------------------------------- the table

def bench(*words):
    parser = argparse.ArgumentParser()
    benchmark.add_arguments(parser)
    return benchmark.run(parser.parse_args(words))


@pytest.fixture(autouse=True)
def quick_machine(monkeypatch):
    """The yardstick is measured once in `test_the_yardstick_…`; here it would only take time."""
    machine = benchmark.Yardstick(1e7, 1e10, 5e10, 1e11, "a test")
    monkeypatch.setattr(benchmark, "yardstick", lambda seconds: machine)
    monkeypatch.setattr(benchmark, "BATCHES", (1, 8))


def test_the_table_has_a_row_an_environment_and_says_where_it_went(capsys):
    assert bench("squared", "cartpole", "--seconds", "0.01") == 0
    out = capsys.readouterr().out
    rows = {line.split()[0]: line.split() for line in out.splitlines() if line}
    assert rows["squared"][1:3] == ["1", str(121 + 4 + 4 + 3)]
    assert "Yardstick, one thread: Python loop 10 M additions/s" in out
    assert out.endswith("The figures went to this terminal only; --json FILE keeps them.\n")


def test_json_keeps_the_figures(tmp_path, capsys):
    path = tmp_path / "bench.json"
    assert bench("squared", "--seconds", "0.01", "--json", str(path)) == 0
    report = json.loads(path.read_text())
    (row,) = report["environments"]
    assert [r["num_envs"] for r in row["rows"]] == [1, 8] and row["rows"][1]["conditions"]["num_agents"] == 8
    assert row["rows"][0]["best"] > 0 and report["yardstick"]["copy_memory"] == 1e10
    assert f"The figures are in {path}." in capsys.readouterr().out


def test_json_to_standard_output_is_nothing_but_json(capsys):
    assert bench("squared", "--seconds", "0.01", "--json", "-") == 0
    assert json.loads(capsys.readouterr().out)["environments"][0]["name"] == "squared"


def test_an_unknown_environment_is_named_and_the_others_are_measured(capsys):
    assert bench("sqared", "cartpole", "--seconds", "0.01") == 1
    out = capsys.readouterr().out
    assert "not measured: unknown environment 'sqared': did you mean 'squared'?" in out and "cartpole  " in out


def test_an_environment_that_fails_while_it_is_measured_costs_the_others_nothing(capsys, monkeypatch):
    def fails(name, *_):
        raise KeyError("x") if name == "snake" else ValueError("no such size")
    monkeypatch.setattr(benchmark, "speeds", fails)
    assert bench("snake", "squared") == 1
    out = capsys.readouterr().out
    assert "snake          not measured: KeyError: 'x'" in out and "squared        not measured: no such size" in out


def test_a_file_that_cannot_be_written_is_said_before_anything_is_measured(tmp_path, monkeypatch):
    monkeypatch.setattr(benchmark, "yardstick", lambda seconds: pytest.fail("measured"))
    with pytest.raises(OSError, match="directory"):
        bench("squared", "--json", str(tmp_path))


def test_without_a_name_the_names_are_told(capsys):
    assert bench() == 2
    assert "name environments (" in capsys.readouterr().err


def test_too_large_batches_are_left_out(monkeypatch):
    monkeypatch.setattr(benchmark, "MAX_AGENTS", 4)
    assert [speed["num_envs"] for speed in benchmark.speeds("squared", (1, 4, 8), 0.01)] == [1, 4]


@pytest.mark.alone
def test_the_yardstick_measures_the_machine_and_puts_the_threads_back():
    import torch
    threads = torch.get_num_threads()
    machine = real_yardstick(seconds=0.04)
    assert 1e5 < machine.python_adds < machine.matmul and machine.copy_memory > 1e8 and machine.copy_cache > 1e8
    assert torch.get_num_threads() == threads


@pytest.mark.parametrize("name", ["snake", "memory"])
def test_the_time_of_one_decision_is_measured_for_every_way_to_make_it(name, tmp_path, capsys):
    result = puffer_min.train(name, total_steps=64, num_envs=2, horizon=4, minibatch_size=4, run_dir=tmp_path, torch_threads=1)
    assert bench("--checkpoint", str(result.checkpoint), "--seconds", "0.02", "--json", str(tmp_path / "bench.json")) == 0
    said, report = capsys.readouterr().out, json.loads((tmp_path / "bench.json").read_text())
    assert "µs of one decision of" in said and "steps/s" not in said
    assert set(report["decisions"]) >= {"act"} and all(0 < median <= late for median, late in report["decisions"].values())
