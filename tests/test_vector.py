"""`make_vec`: many environments behind the face of one; the same trajectories however they are split."""

import pickle
from functools import partial

import gymnasium
import numpy as np
import pytest
import torch
from gymnasium.spaces import Box, Discrete

import envs
from envs.core.buffers import Buffers
from puffer_min.env.checks import ATTRIBUTES
from puffer_min.env.puffer_env import PufferEnv
from puffer_min.vector import make_batch, make_vec, seed_of


class Drift(PufferEnv):
    """A number walks at random, pushed by the action; the episode ends at `edge`, or by time after 30 steps."""

    metric_names = ("score", "edge")
    truncates = True

    def __init__(self, buffers=None, seed=0, num_agents=1, edge=3.0):
        self.single_observation_space = Box(-np.inf, np.inf, (2,), np.float32)
        self.single_action_space = Discrete(3)
        self.num_agents, self.edge = num_agents, edge
        super().__init__(buffers, seed)

    def reset(self, seed=None):
        self.begin_reset(seed)
        self.observations[:] = self.random.normal(size=(self.num_agents, 2))
        return self.observations, []

    def step(self, actions):
        self.begin_step(actions)
        self.observations += self.random.normal(size=(self.num_agents, 2)) + 0.1 * (self.actions[:, None] - 1)
        self.rewards[:] = self.observations[:, 0]
        self.terminals[:] = np.abs(self.observations[:, 0]) > self.edge
        self.truncations[:] = self.lengths >= 29
        self.metrics[:] = (1, self.edge)
        self.final_observations[:] = self.observations
        ended = self.terminals | self.truncations
        self.observations[ended] = self.random.normal(size=(ended.sum(), 2))
        return self.finish_step()


MAKERS = {
    "native name": "squared",
    "native class": envs.load("cartpole"),
    "Python class": Drift,
    "Python class with several agents": partial(Drift, num_agents=3),
    "Gymnasium's": lambda: gymnasium.make("CartPole-v1"),
}


def play(env, steps, seed=0):
    """Everything that `steps` random steps give, copied; the actions of row i depend on seed and i alone."""
    random, trace = np.random.default_rng(seed), []
    counts = int(env.single_action_space.n)
    for _ in range(steps):
        actions = random.integers(0, counts, 64, dtype=np.int32)[:env.num_agents]
        trace.append([part.copy() for part in env.step(actions)[:4]])
    return [np.stack(parts) for parts in zip(*trace, strict=False)]


def same(trace, other):
    return all(np.array_equal(a, b) for a, b in zip(trace, other, strict=True))


@pytest.mark.parametrize("maker", MAKERS)
def test_trajectories_are_identical_for_any_split(maker):
    make_env = MAKERS[maker]
    whole = make_vec(make_env, 7, seed=3)
    whole.reset()
    expected = play(whole, 120)
    buffers = Buffers.allocate(whole.num_agents, whole.single_observation_space, whole.single_action_space, whole.truncates)
    agents = whole.num_agents // 7
    for first, last in ((0, 1), (1, 3), (3, 7)):
        rows = slice(first * agents, last * agents)
        part = make_batch(make_env, last - first, first_env=first, buffers=buffers.rows(rows.start, rows.stop), seed=3)
        part.reset()
        random = np.random.default_rng(0)
        for t in range(120):
            actions = random.integers(0, int(part.single_action_space.n), 64, dtype=np.int32)[rows]
            part.step(actions)
            for name, parts in zip(("observations", "rewards", "terminals", "truncations"), expected, strict=False):
                assert np.array_equal(getattr(buffers, name)[rows], parts[t, rows]), (name, t)


@pytest.mark.parametrize("maker", MAKERS)
def test_environments_of_a_batch_differ_and_the_seed_repeats_them(maker):
    vec = make_vec(MAKERS[maker], 5)
    first = vec.reset(1)[0].copy()
    trace = play(vec, 60)
    assert len(np.unique(trace[0].swapaxes(0, 1).reshape(vec.num_agents, -1), axis=0)) == vec.num_agents
    assert np.array_equal(vec.reset(1)[0], first) and same(trace, play(vec, 60))
    vec.reset(2)
    assert not same(trace, play(vec, 60))


def test_environment_zero_has_the_seed_itself():
    vec, env = make_vec(Drift, 3, seed=9), Drift(seed=9)
    assert np.array_equal(vec.reset()[0][0], env.reset()[0][0])
    vec.reset(4)
    env.reset(4)
    assert np.array_equal(vec.observations[0], env.observations[0])


def test_no_two_environments_share_a_seed():
    seeds = {seed_of(seed, index) for seed in range(20) for index in range(10_000)}
    assert len(seeds) == 200_000 and max(seeds) < 2**31 and seed_of(5, 0) == 5


def test_python_environments_write_into_rows_of_one_buffer():
    vec = make_vec(partial(Drift, num_agents=2), 3)
    vec.reset(0)
    for i, env in enumerate(vec.environments):
        for name in Buffers._fields:
            assert np.shares_memory(getattr(env, name), getattr(vec, name)[2 * i:2 * i + 2]), name
    results = vec.step(np.ones(6, np.int32))
    assert results[0] is vec.observations and results[1] is vec.rewards and results[2] is vec.terminals and results[3] is vec.truncations


@pytest.mark.parametrize("maker", MAKERS)
def test_vectorizer_has_the_attributes_of_an_environment(maker):
    vec = make_vec(MAKERS[maker], 4)
    for name in (*ATTRIBUTES, "seed"):
        assert hasattr(vec, name), name
    assert vec.num_envs == 4 and vec.num_agents == 4 * vec.agents_per_env == len(vec.observations)
    assert vec.observation_space.shape == vec.observations.shape and vec.action_space.shape == vec.actions.shape
    vec.reset(0)
    assert np.all(vec.masks)


@pytest.mark.parametrize("maker", MAKERS)
def test_log_of_a_batch_counts_every_episode_once(maker):
    vec = make_vec(MAKERS[maker], 6, report_interval=10)
    vec.reset(0)
    random, seen, reported = np.random.default_rng(0), 0, []
    for _ in range(400):
        *_, terminals, truncations, infos = vec.step(random.integers(0, int(vec.single_action_space.n), vec.num_agents, dtype=np.int32))
        seen += np.count_nonzero(terminals | truncations)
        reported += infos
    assert sum(report["n"] for report in reported) == seen > 20
    assert {"n", "episode_return", "episode_length", "score"} <= set(reported[0])


def test_metrics_of_python_environments_reach_the_log():
    vec = make_vec(Drift, 4, edge=2.0)
    vec.reset(0)
    play(vec, 100)
    log = vec.log()
    assert log["score"] == 1 and log["edge"] == 2 and log["episode_length"] < 30


def test_truncated_python_environment_keeps_its_last_observation():
    vec = make_vec(Drift, 4, edge=np.inf)
    vec.reset(0)
    play(vec, 30)
    assert vec.truncations.all() and np.array_equal(vec.rewards, vec.final_observations[:, 0])
    assert not np.array_equal(vec.final_observations, vec.observations)


def test_batch_moves_into_other_memory_in_the_middle_of_an_episode():
    moving, staying = make_vec(Drift, 3), make_vec(Drift, 3)
    for vec in (moving, staying):
        vec.reset(0)
        play(vec, 20)
    moving.bind(Buffers.allocate(3, moving.single_observation_space, moving.single_action_space, truncates=True))
    assert same(play(moving, 50), play(staying, 50)) and moving.log() == staying.log()


@pytest.mark.parametrize("maker", MAKERS)
def test_saved_state_of_a_batch_goes_on_as_if_nothing_had_happened(maker):
    vec = make_vec(MAKERS[maker], 3)
    vec.reset(2)
    play(vec, 40)
    saved = pickle.loads(pickle.dumps(vec.get_state()))
    expected, log = play(vec, 60, seed=1), vec.log()
    vec.set_state(saved)
    assert same(expected, play(vec, 60, seed=1)) and vec.log() == log


def test_asynchronous_use_gives_what_synchronous_use_gives():
    one, other = make_vec(Drift, 4, seed=1), make_vec(Drift, 4, seed=1)
    one.reset(5)
    other.async_reset(5)
    random = np.random.default_rng(0)
    for _ in range(50):
        batch = other.recv()
        assert batch.rows == slice(0, 4) and batch.infos == []
        for name in ("observations", "rewards", "terminals", "truncations", "masks"):
            assert np.array_equal(getattr(one, name), getattr(batch, name)), name
        actions = random.integers(0, 3, 4, dtype=np.int32)
        one.step(actions)
        other.send(actions)


def test_calls_out_of_order_are_refused():
    vec = make_vec("squared", 2)
    with pytest.raises(RuntimeError, match=r"recv\(\) while no step is running"):
        vec.recv()
    vec.async_reset(0)
    for use in (vec.send, vec.step):
        with pytest.raises(RuntimeError, match=r"call recv\(\)"):
            use(np.zeros(2, np.int32))


@pytest.mark.parametrize("actions, error, sentence", [
    (np.zeros(2, np.int64), TypeError, "actions: given int64, expected int32"),
    (np.array([0, 3], np.int32), ValueError, "actions: agent 1 has 3"),
])
def test_wrong_actions_are_refused_for_the_whole_batch(actions, error, sentence):
    vec = make_vec(Drift, 2)
    vec.reset(0)
    with pytest.raises(error, match=sentence):
        vec.step(actions)


@pytest.mark.parametrize("arguments, error, sentence", [
    (dict(make_env="sqared"), ValueError, "unknown environment 'sqared': did you mean 'squared'"),
    (dict(make_env=3), TypeError, "make_env: given 3, expected a function or class that makes an environment in each call"),
    (dict(make_env=Drift()), TypeError, r"make_env: given an environment, Drift, expected .* such as lambda: gymnasium.make"),
    (dict(make_env=gymnasium.make("CartPole-v1")), TypeError, "make_env: given an environment, TimeLimit, expected"),
    (dict(make_env=envs.make("squared")), TypeError, "make_env: given an environment, Squared, expected"),
    (dict(make_env=gymnasium.make_vec("CartPole-v1", 2)), TypeError, "make_env: given an environment, CartPoleVectorEnv, expected"),
    (dict(make_env=lambda: gymnasium.make_vec("CartPole-v1", 2)), TypeError, "make_env made CartPoleVectorEnv, expected a PufferEnv"),
    (dict(make_env=lambda: 3), TypeError, "make_env made int, expected a PufferEnv, gymnasium.Env or PettingZoo environment"),
    (dict(make_env=lambda: envs.make("squared")), TypeError, r"made a native Squared.*give its name or its class: make_vec\(\"squared\""),
    (dict(make_env=Drift, backend="proces"), ValueError, "backend='proces' given, expected one of 'serial'"),
    (dict(make_env=Drift, num_envs=2, num_workers=3, backend="process"), ValueError, "num_workers=3 with num_envs=2: expected"),
    (dict(make_env=Drift, num_workers=0), ValueError, "num_workers=0 given, expected a whole number >= 1"),
    (dict(make_env=Drift, num_envs=2.0), ValueError, "num_envs=2.0 given, expected a whole number >= 1"),
    (dict(make_env=Drift, timeout=0), ValueError, "timeout=0 given, expected a finite number above 0 and at most 2,000,000"),
    (dict(make_env=Drift, start_method="forkserver"), ValueError, "start_method='forkserver' given, expected \"fork\" or \"spawn\""),
    (dict(make_env=Drift, num_envs=6, num_workers=3, backend="thread", batch_envs=3), ValueError, "batch_envs=3 with num_envs=6"),
    (dict(make_env=Drift, num_workers=2), ValueError, "num_workers=2 given, expected 1"),
    (dict(make_env=Drift, num_envs=4, batch_envs=2), ValueError, "batch_envs=2 with num_envs=4"),
    (dict(make_env=Drift, num_envs=0), ValueError, "num_envs=0 given, expected a whole number >= 1"),
    (dict(make_env=Drift, seed=-1), ValueError, "seed=-1 given, expected a whole number >= 0"),
    (dict(make_env=iter([Drift(), Drift(num_agents=2), Drift(edge=1)]).__next__, num_envs=3), None, None),
])
def test_impossible_arguments_are_refused_with_a_sentence(arguments, error, sentence):
    if error is None:
        assert make_vec(**arguments).num_agents == 4            # environments may differ in agents and settings, not in spaces
        return
    with pytest.raises(error, match=sentence):
        make_vec(**arguments)


@pytest.mark.parametrize("timeout", [float("inf"), float("nan"), 2**70, "2", None, True, np.array([2, 3])], ids=repr)
def test_a_time_limit_that_is_none_is_refused_by_its_name(timeout):
    with pytest.raises(ValueError, match="timeout=.* given, expected a finite number above 0 and at most 2,000,000"):
        make_vec(Drift, timeout=timeout)


@pytest.mark.parametrize("number", [np.int64, np.uint8, np.array, torch.tensor])
def test_sizes_may_be_scalars_of_any_library(number):
    with make_vec(Drift, num_envs=number(4), num_workers=number(2), batch_envs=number(2), backend="thread", seed=number(3),
                  report_interval=number(5), timeout=number(60)) as vec:
        assert (vec.num_envs, vec.batch_envs) == (4, 2) and type(vec.num_envs) is int


def wrapped(env):
    """A factory of new wrappers around the same environment."""
    return lambda: gymnasium.wrappers.TimeLimit(env, 5)


def always(env):
    """A function that returns the same environment in each call."""
    return lambda: env


@pytest.mark.parametrize("backend, workers", [("serial", 1), ("thread", 3), ("process", 1), ("auto", None)])
@pytest.mark.parametrize("make", [always(Drift()), always(gymnasium.make("CartPole-v1")),
                                  wrapped(gymnasium.make("CartPole-v1").unwrapped)])
def test_one_environment_made_several_times_is_refused(make, backend, workers):
    with pytest.raises(ValueError, match="make_env made the same (Drift|CartPoleEnv) twice, expected another one in each call"):
        make_vec(make, 3, workers, backend).close()


@pytest.mark.parametrize("maker", MAKERS)
def test_step_before_the_first_reset_is_refused(maker):
    vec = make_vec(MAKERS[maker], 2)
    for use in (vec.step, vec.send):
        with pytest.raises(RuntimeError, match=rf"{use.__name__}\(\) before the first reset: call reset\(seed\) or async_reset\(seed\)"):
            use(np.zeros_like(vec.actions))


@pytest.mark.parametrize("whole", [np.int64, np.int32, np.uint8])
def test_whole_numbers_of_numpy_are_whole_numbers(whole):
    arguments = dict(num_envs=whole(4), num_workers=whole(2), batch_envs=whole(2), seed=whole(3), report_interval=whole(5))
    for make_env in (Drift, "squared"):
        with make_vec(make_env, backend="thread", **arguments) as vec:
            assert (vec.num_envs, vec.num_workers, vec.batch_envs, vec.seed, vec.report_interval) == (4, 2, 2, 3, 5)
            assert all(type(number) is int for number in (vec.num_envs, vec.num_workers, vec.batch_envs, vec.plan.batch_envs))


def test_environments_of_different_spaces_are_refused():
    makers = iter([Drift, lambda: gymnasium.make("CartPole-v1")])
    with pytest.raises(ValueError, match="environments differ in single_observation_space"):
        make_vec(lambda: next(makers)(), 2)


def test_environment_that_replaces_its_arrays_is_found_out():
    class Replacing(Drift):
        def reset(self, seed=None):
            super().reset(seed)
            self.observations = self.observations.copy()
            return self.observations, []

    with pytest.raises(TypeError, match="Replacing.reset replaced self.observations; write into it"):
        make_vec(Replacing, 2).reset(0)


def test_what_an_environment_reports_itself_is_passed_on():
    class Talking(Drift):
        def step(self, actions):
            return *super().step(actions)[:4], [{"said": self.seed}]

    vec = make_vec(Talking, 2)
    vec.reset(0)
    assert [info["said"] for info in vec.step(np.ones(2, np.int32))[4]] == [0, seed_of(0, 1)]


def test_picture_of_the_environment_asked_for():
    vec = make_vec("cartpole", 2)
    vec.reset(0)
    vec.set_physics_state(1, (1, 0, 0.2, 0))
    assert not np.array_equal(vec.render(0), vec.render(1))
    pictures = make_vec(lambda: gymnasium.make("FrozenLake-v1"), 2)
    with pytest.raises(IndexError, match="expected 0 to 1"):
        pictures.render(2)


@pytest.mark.parametrize("maker", MAKERS)
def test_closed_vectorizer_says_so_and_closing_twice_is_harmless(maker):
    with make_vec(MAKERS[maker], 2) as vec:
        vec.reset(0)
    vec.close()
    with pytest.raises(RuntimeError, match="closed"):
        vec.step(np.zeros(2, np.int32))
    with pytest.raises(RuntimeError, match="closed"):
        vec.reset()


def test_make_vec_ignores_the_option_isolate_of_the_version_before():
    with pytest.warns(DeprecationWarning, match='isolate given, which is no option any more: backend="process" always means processes'):
        vec = make_vec("squared", num_envs=2, isolate=True)
    vec.close()
