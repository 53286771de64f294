"""`PufferEnv`: a Python environment with the face of a native one; `GymnasiumEnv`: Gymnasium's environments behind it."""

import pickle
import textwrap

import gymnasium
import numpy as np
import pytest
from gymnasium.spaces import Box, Discrete, MultiDiscrete

import envs
import puffer_min.env.puffer_env
from envs.core.buffers import Buffers
from puffer_min.emulation.gymnasium_env import GymnasiumEnv
from puffer_min.env.actions import random_actions
from puffer_min.env.episodes import mean_of
from puffer_min.env.puffer_env import PufferEnv
from puffer_min.env.spec import EnvSpec


class Corridor(PufferEnv):
    """Walkers on `length` cells start in the middle: +1 at the right end, -1 at the left one, cut after `limit` steps."""

    metric_names = ("score", "steps_right")
    truncates = True

    def __init__(self, buffers=None, seed=0, num_agents=3, length=7, limit=20):
        self.single_observation_space = Box(0, 1, (length,), np.uint8)
        self.single_action_space = Discrete(2)
        self.num_agents, self.length, self.limit = num_agents, length, limit
        super().__init__(buffers, seed)

    def reset(self, seed=None):
        self.begin_reset(seed)
        self.cells = np.full(self.num_agents, self.length // 2)
        self.show(self.observations)
        return self.observations, []

    def step(self, actions):
        self.begin_step(actions)
        self.cells += 2 * self.actions - 1 if self.random.random() < 0.9 else 0
        self.metrics[:, 1] += self.actions
        self.rewards[:] = 1 * (self.cells == self.length - 1) - 1 * (self.cells == 0)
        self.terminals[:] = self.rewards != 0
        self.truncations[:] = self.lengths + 1 >= self.limit
        self.metrics[:, 0] = self.rewards > 0
        self.show(self.final_observations)
        self.cells[self.terminals | self.truncations] = self.length // 2
        self.show(self.observations)
        return self.finish_step()

    def show(self, rows):
        rows[:] = np.arange(self.length) == self.cells[:, None]


def play(env, steps, seed=0):
    """Everything that `steps` random steps give, copied."""
    random, trace = np.random.default_rng(seed), []
    for _ in range(steps):
        actions = random.integers(0, 2, env.num_agents, dtype=np.int32)
        trace.append([np.array(part) for part in env.step(actions)[:4]])
    return trace


def same(trace, other):
    return all(np.array_equal(a, b) for step, twin in zip(trace, other, strict=True) for a, b in zip(step, twin, strict=True))


def listing_of_the_docstring():
    text = puffer_min.env.puffer_env.__doc__
    return textwrap.dedent(text[text.index("    class Coin"):text.index("\nEverything is written")])


def test_the_listing_in_the_docstring_is_a_working_environment():
    scope = {"PufferEnv": PufferEnv, "Box": Box, "Discrete": Discrete, "np": np}
    exec(listing_of_the_docstring(), scope)
    env = scope["Coin"](seed=1)
    env.reset()
    for _ in range(127):
        right = np.array([env.side], np.int32)
        observations, rewards, terminals, truncations, infos = env.step(right)
        assert rewards[0] == 1 and terminals[0] and not truncations[0] and observations[0, env.side] == 1 and infos == []
    *_, infos = env.step(1 - np.array([env.side], np.int32))
    assert infos == [{"n": 128, "episode_return": 127 / 128, "episode_length": 1.0, "score": 127 / 128}]


def test_attributes_are_those_of_a_native_environment():
    native, python = envs.make("squared", 3), Corridor()
    public = [name for name in dir(native) if not name.startswith("_") and name not in ("size", "limit", "first_env")
              and name not in ("prepare", "set_seed", "raise_fault", "require_ready", "require_index")]
    assert [name for name in public if not hasattr(python, name)] == []
    assert python.native is False and python.agents_per_env == 3 and python.observation_space.shape == (3, 7)


def test_step_writes_in_place_and_returns_the_same_arrays():
    env = Corridor()
    first = env.reset(0)[0]
    results = env.step(np.ones(3, np.int32))
    assert results[0] is first is env.observations and results[1] is env.rewards
    assert results[2] is env.terminals and results[3] is env.truncations and isinstance(results[4], list)


def test_flag_is_visible_beside_the_first_observation_of_the_next_episode():
    env = Corridor(length=3)
    env.reset(0)
    while not env.terminals.any():
        env.step(np.array([1, 0, 1], np.int32))
    assert env.terminals.all() and env.rewards.tolist() == [1, -1, 1]
    assert env.observations.tolist() == [[0, 1, 0]] * 3
    assert env.final_observations.tolist() == [[0, 0, 1], [1, 0, 0], [0, 0, 1]]


def test_rewards_and_flags_are_zero_again_on_the_next_step():
    env = Corridor(length=5)
    env.reset(0)
    while not env.terminals.any():
        env.step(np.ones(3, np.int32))
    env.step(np.ones(3, np.int32))
    assert not env.terminals.any() and not env.rewards.any()


def test_log_is_the_mean_over_the_episodes_that_ended():
    env = Corridor(limit=6)
    env.report_interval = 0
    env.reset(0)
    trace, ended = play(env, 500), []
    running = np.zeros((3, 2))
    for _, rewards, terminals, truncations in trace:
        running += np.stack([rewards, np.ones(3)], 1)
        for agent in np.flatnonzero(terminals | truncations):
            ended.append((*running[agent], rewards[agent] > 0))
            running[agent] = 0
    log, expected = env.log(), np.mean(ended, 0)
    assert log["n"] == len(ended) > 100 and env.log() == {}
    assert np.allclose([log["episode_return"], log["episode_length"], log["score"]], expected)
    assert 0 < log["steps_right"] <= log["episode_length"]


def test_a_mean_of_logs_is_weighted_by_episodes_and_each_name_by_the_logs_that_have_it():
    logs = [{"n": 1, "score": 4.0, "wins": 1.0}, {}, {"n": 3, "score": 0.0}, {"n": 0, "score": 99.0}]
    assert mean_of(logs) == {"n": 4, "score": 1.0, "wins": 1.0}
    assert mean_of([]) == mean_of([{}, {"n": 0, "score": 1.0}]) == {}
    assert mean_of([{"n": 3, "score": 0.1}]) == {"n": 3, "score": 0.1}          # to the bit: 3 * 0.1 / 3 is another number


def test_absent_agents_do_not_live():
    env = Corridor(num_agents=2)
    env.reset(0)
    env.masks[1] = False
    env.step(np.ones(2, np.int32))
    assert env.lengths.tolist() == [1, 0]


def test_same_seed_gives_the_same_trajectory_and_another_seed_another():
    first, second, third = (Corridor() for _ in range(3))
    for env, seed in ((first, 5), (second, 5), (third, 6)):
        env.reset(seed)
    trace = play(first, 300)
    assert same(trace, play(second, 300)) and not same(trace, play(third, 300))
    first.reset(5)
    assert same(trace, play(first, 300))


def test_seed_of_the_constructor_is_that_of_the_first_reset():
    made, reset = Corridor(seed=7), Corridor()
    made.reset()
    reset.reset(7)
    assert same(play(made, 100), play(reset, 100)) and made.seed == reset.seed == 7


def test_bound_environment_writes_into_the_callers_memory():
    env = Corridor(num_agents=2)
    env.reset(0)
    whole = Buffers.allocate(6, env.single_observation_space, env.single_action_space, truncates=True)
    env.bind(whole.rows(2, 4))
    assert whole.observations[2:4].tolist() == env.observations.tolist() != [[0] * 7] * 2     # contents move along
    env.step(np.ones(2, np.int32))
    assert whole.actions.tolist() == [0, 0, 1, 1, 0, 0] and not whole.observations[[0, 1, 4, 5]].any()
    assert np.shares_memory(env.observations, whole.observations)


def test_buffers_that_do_not_fit_are_refused_by_name():
    env = Corridor()
    with pytest.raises(ValueError, match=r"observations: given uint8 \(2, 7\), expected uint8 \(3, 7\)"):
        env.bind(Buffers.allocate(2, env.single_observation_space, env.single_action_space, truncates=True))


def test_saved_state_goes_on_as_if_nothing_had_happened():
    env = Corridor()
    env.reset(3)
    play(env, 50)
    saved = pickle.loads(pickle.dumps(env.get_state()))
    expected, expected_log = play(env, 100, seed=1), env.log()
    env.set_state(saved)
    assert same(expected, play(env, 100, seed=1)) and env.log() == expected_log
    other = Corridor()
    other.set_state(saved)
    assert same(expected, play(other, 100, seed=1))


def test_views_stay_views_when_a_state_is_set():
    env = Corridor()
    env.reset(0)
    env.board = env.observations[0]
    saved = env.get_state()
    env.set_state(saved)
    assert np.shares_memory(env.board, env.observations)


@pytest.mark.parametrize("actions, error, sentence", [
    ([1, 0, 1], TypeError, r"actions: given list, expected a NumPy array int32 \(3,\)"),
    (np.zeros(3), TypeError, "actions: given float64, expected int32; write actions.astype"),
    (np.zeros(3, np.int64), TypeError, "actions: given int64, expected int32"),
    (np.zeros((3, 1), np.int32), ValueError, r"actions: given shape \(3, 1\), expected \(3,\), one row for each agent"),
    (np.array([0, 0, 2], np.int32), ValueError, r"actions: agent 2 has 2, expected an action of Discrete\(2\)"),
    (np.array([0, -1, 0], np.int32), ValueError, "actions: agent 1 has -1, expected"),
])
def test_wrong_actions_are_refused_before_anything_is_stepped(actions, error, sentence):
    env = Corridor()
    env.reset(0)
    before = env.observations.copy()
    with pytest.raises(error, match=sentence):
        env.step(actions)
    assert np.array_equal(before, env.observations) and not env.lengths.any()


@pytest.mark.parametrize("space, bad", [
    (MultiDiscrete([2, 3]), np.int32([[1, 2], [0, 3]])),
    (Box(-1, 1, (2,)), np.float32([[0, 5], [np.nan, 0]])),
])
def test_actions_of_every_space_are_checked_for_range(space, bad):
    class Empty(Corridor):
        def __init__(self):
            self.single_observation_space, self.single_action_space, self.num_agents = Box(0, 1, (1,)), space, 2
            PufferEnv.__init__(self)

        def step(self, actions):
            self.begin_step(actions)
            return self.finish_step()

    env = Empty()
    env.step(np.zeros_like(bad))
    with pytest.raises(ValueError, match="actions: agent 1 has"):
        env.step(bad)


@pytest.mark.parametrize("space, low, high", [
    (Box(-3, 5, (2,), np.float32), -3, 5), (Box(-np.inf, np.inf, (2,), np.float32), -2, 2),
    (Box(5, np.inf, (2,), np.float32), 5, 7), (Box(-np.inf, -10, (2,), np.float32), -12, -10),
    (Box(np.float32(-3.4e38), np.float32(3.4e38)), -3.4e38, 3.4e38)])
def test_random_actions_fill_a_box_and_go_two_beyond_a_missing_bound(space, low, high):
    drawn = random_actions(space, 4000, np.random.default_rng(0))
    assert drawn.dtype == np.float32 and drawn.shape == (4000, *space.shape)
    assert all(space.contains(action) for action in drawn[:20])
    width = float(high) - low
    assert low <= drawn.min() < low + 0.01 * width and high - 0.01 * width < drawn.max() <= high


def test_random_actions_use_every_choice():
    for space, choices in ((Discrete(3), [3]), (MultiDiscrete([2, 5]), [2, 5])):
        drawn = random_actions(space, 400, np.random.default_rng(0)).reshape(400, -1)
        assert drawn.dtype == np.int32 and [set(column) for column in drawn.T] == [set(range(n)) for n in choices]


def test_what_a_subclass_forgot_is_named():
    class Bare(PufferEnv):
        pass

    with pytest.raises(TypeError, match=r"Bare has no single_observation_space, single_action_space, num_agents: set them before super"):
        Bare()
    Bare.single_observation_space, Bare.single_action_space, Bare.num_agents = Discrete(3), Discrete(2), 1
    with pytest.raises(TypeError, match=r"Bare.single_observation_space: given Discrete\(3\), expected a Box"):
        Bare()
    Bare.single_observation_space, Bare.num_agents = Box(0, 1, (2,)), 0
    with pytest.raises(ValueError, match="num_agents=0 with num_envs=1, expected a positive multiple"):
        Bare()
    Bare.num_agents = 1
    with pytest.raises(NotImplementedError, match=r"Bare has no reset\(seed\)"):
        Bare().reset()
    with pytest.raises(NotImplementedError, match=r"Bare has no step\(actions\)"):
        Bare().step(np.zeros(1, np.int32))
    with pytest.raises(NotImplementedError, match="Bare draws nothing"):
        Bare().render()


@pytest.mark.parametrize("seed", [-1, 1.5, "seven", True])
def test_impossible_seeds_are_refused(seed):
    with pytest.raises(ValueError, match="expected a whole number >= 0"):
        Corridor().reset(seed)


def test_closed_environment_says_so_and_closing_twice_is_harmless():
    env = Corridor()
    env.close()
    env.close()
    for use in (lambda: env.reset(), lambda: env.step(np.zeros(3, np.int32)), lambda: env.step(env.actions), lambda: env.get_state()):
        with pytest.raises(RuntimeError, match="Corridor is closed"):
            use()


# ---------------------------------------------------------------------------------------------------------------- Gymnasium's

def test_gymnasium_environment_gives_the_trajectory_that_gymnasium_gives():
    peer, env = gymnasium.make("CartPole-v1"), GymnasiumEnv(gymnasium.make("CartPole-v1"))
    expected, _ = peer.reset(seed=4)
    env.reset(4)
    random, ends = np.random.default_rng(0), 0
    for _ in range(500):
        action = random.integers(0, 2, 1, dtype=np.int32)
        expected, reward, terminated, truncated, _ = peer.step(int(action[0]))
        env.step(action)
        assert (env.rewards[0], env.terminals[0], env.truncations[0]) == (reward, terminated, truncated)
        if terminated or truncated:
            assert np.array_equal(env.final_observations[0], expected)
            expected, ends = peer.reset()[0], ends + 1
        assert np.array_equal(env.observations[0], expected)
    assert ends > 10


def test_truncated_gymnasium_episode_keeps_its_last_observation():
    env = GymnasiumEnv(gymnasium.make("Pendulum-v1"))
    env.reset(0)
    before = None
    for _ in range(200):
        before = env.observations[0].copy()
        env.step(np.float32([[0.5]]))
    assert env.truncations[0] and not env.terminals[0]
    assert np.abs(env.final_observations[0] - before).max() < 0.5 and not np.array_equal(env.final_observations[0], env.observations[0])
    assert env.log()["episode_length"] == 200


def test_actions_arrive_as_the_gymnasium_environment_expects_them():
    class Echo(gymnasium.Env):
        observation_space = Box(0, 1, (1,))

        def __init__(self, space):
            self.action_space = space

        def reset(self, *, seed=None, options=None):
            return np.zeros(1, np.float32), {}

        def step(self, action):
            assert self.action_space.contains(action), action
            self.action = action
            return np.zeros(1, np.float32), 0.0, False, False, {}

    for space, given, expected in [
        (Discrete(3, start=5), np.int32([2]), 7),
        (MultiDiscrete([2, 3]), np.int32([[1, 2]]), [1, 2]),
        (Box(-1, 2, (2,), np.float64), np.float32([[-3, 1.5]]), [-1, 1.5]),
    ]:
        env = GymnasiumEnv(Echo(space))
        env.reset(0)
        env.step(given)
        assert np.array_equal(env.env.action, expected)


def test_discrete_observations_become_one_hot_rows():
    env = GymnasiumEnv(gymnasium.make("FrozenLake-v1", is_slippery=False))
    assert env.reset(0)[0].tolist() == [[1] + [0] * 15]
    env.step(np.array([2], np.int32))
    assert env.observations[0].argmax() == 1 and env.observations.sum() == 1 and env.observations.dtype == np.uint8


def test_only_gymnasium_environments_are_taken():
    with pytest.raises(TypeError, match="given Discrete, expected a gymnasium.Env"):
        GymnasiumEnv(Discrete(2))


def test_gymnasium_state_can_be_saved_and_set():
    env = GymnasiumEnv(gymnasium.make("CartPole-v1"))
    env.reset(1)
    play(env, 30)
    saved = env.get_state()
    expected = play(env, 60, seed=1)
    env.set_state(saved)
    assert same(expected, play(env, 60, seed=1))


def test_gymnasium_picture_is_the_environments_own():
    with pytest.raises(ValueError, match="make the environment with render_mode=\"rgb_array\""):
        GymnasiumEnv(gymnasium.make("CartPole-v1")).render()


# ---------------------------------------------------------------------------------------------------------------- EnvSpec

def test_an_environment_and_what_holds_it_have_one_record():
    env = Corridor()
    spec = EnvSpec.of(env)
    assert spec == env.env_spec and (spec.truncates, spec.metric_names, spec.masks_actions) == (True, ("score", "steps_right"), False)

    class Masking(Corridor):
        def action_masks(self):
            return np.ones((self.num_agents, 2), bool)

    assert EnvSpec.of(Masking()).masks_actions and EnvSpec.of(Masking()).single_observation_space == env.single_observation_space
