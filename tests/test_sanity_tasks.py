"""bandit, memory, password, stochastic: what a perfect, a blind and a random player score, as their docstrings say."""

from itertools import product

import numpy as np
import pytest

import envs
from puffer_min.commands.check import check_environment

TASKS = ("bandit", "memory", "password", "stochastic")


def play(env, choose, steps):
    """The log of `steps` steps in which `choose(observations, t, random)` acts."""
    env.report_interval = 0
    random = np.random.default_rng(0)
    observations, _ = env.reset(1)
    for t in range(steps):
        observations = env.step(np.asarray(choose(observations, t, random), np.int32))[0]
    return env.log()


def at_random(env):
    return lambda observations, t, random: random.integers(0, int(env.single_action_space.n), env.num_agents)


def always(action):
    return lambda observations, t, random: np.full(len(observations), action)


@pytest.mark.parametrize("name", TASKS)
def test_task_keeps_the_contract(name):
    report = check_environment(name, steps=300)
    assert report.ok and not report.doubts, f"\n{report}"


@pytest.mark.parametrize("name, length", [("bandit", 16), ("memory", 5), ("password", 5), ("stochastic", 64)])
def test_episodes_have_the_documented_length(name, length):
    env = envs.make(name, 3)
    log = play(env, at_random(env), 4 * length)
    assert log["n"] == 12 and log["episode_length"] == length


def test_bandit_is_solved_by_its_best_arm_alone():
    env = envs.make("bandit", 256)
    best, other, random = (play(env, choose, 160) for choose in (always(2), always(0), at_random(env)))
    assert best["score"] == pytest.approx(1) and best["episode_return"] == pytest.approx(0.8 * 16, rel=0.02)
    assert other["score"] == 0 and other["episode_return"] == pytest.approx(0.2 * 16, rel=0.05)
    assert random["score"] == pytest.approx(1 / 4, rel=0.05)


@pytest.mark.parametrize("settings", [{}, {"delay": 0}, {"symbols": 2, "length": 3}, {"symbols": 7, "length": 2, "delay": 100}])
def test_memory_is_solved_by_repeating_what_was_shown(settings):
    env = envs.make("memory", 64, **settings)
    period = 2 * env.length + env.delay
    shown = np.zeros((64, env.length), int)

    def remember(observations, t, random):
        time = t % period
        if time < env.length:
            shown[:, time] = observations[:, :-1].argmax(1)
            assert (observations.sum(1) == 1).all() and not observations[:, -1].any()
        due = time - env.length - env.delay
        assert observations[:, -1].all() == (due >= 0)
        return shown[:, due] if due >= 0 else np.zeros(64)

    log = play(env, remember, 5 * period)
    assert log["score"] == pytest.approx(1) and log["episode_length"] == period
    assert log["episode_return"] == pytest.approx(1)


def test_memory_cannot_be_guessed():
    env = envs.make("memory", 256, length=2)
    for choose in (at_random(env), always(1), lambda observations, t, random: observations[:, :-1].argmax(1)):
        assert play(env, choose, 350)["score"] == pytest.approx(1 / 4, rel=0.05)


def test_memory_shows_every_symbol_equally_often():
    env = envs.make("memory", 4096)
    counts = env.reset(0)[0][:, :-1].sum(0, dtype=int)
    assert counts.sum() == 4096 and np.abs(counts - 1024).max() < 120


@pytest.mark.parametrize("password", ["10110", "0", "93", "1" * 64])
def test_password_pays_the_whole_password_only(password):
    env = envs.make("password", 2, password=password)
    digits = [int(digit) for digit in password]
    assert play(env, lambda observations, t, random: [digits[t % len(digits)]] * 2, 3 * len(digits))["score"] == 1
    for place in range(len(digits)):                            # one digit wrong, wherever it is
        wrong = digits.copy()
        wrong[place] = (wrong[place] + 1) % env.digits
        assert play(env, lambda observations, t, random, wrong=wrong: [wrong[t % len(wrong)]] * 2, len(digits))["episode_return"] == 0


def test_password_is_one_of_all_sequences():
    env = envs.make("password", 32)
    guesses = np.array(list(product((0, 1), repeat=5)))
    log = play(env, lambda observations, t, random: guesses[:, t], 5)
    assert log["n"] == 32 and log["score"] == 1 / 32
    assert play(env, at_random(env), 5000)["score"] == pytest.approx(1 / 32, rel=0.1)


def test_password_observation_is_what_was_typed():
    env = envs.make("password", 1, password="021")
    assert env.reset(0)[0].reshape(3, 4).argmax(1).tolist() == [0, 0, 0]
    env.step(np.array([2], np.int32))
    env.step(np.array([0], np.int32))
    assert env.observations.reshape(3, 4).argmax(1).tolist() == [3, 1, 0] and env.observations.sum() == 3
    env.step(np.array([1], np.int32))
    assert env.terminals[0] and env.observations.reshape(3, 4).argmax(1).tolist() == [0, 0, 0]


def test_stochastic_is_solved_by_the_right_mixture_and_by_no_single_action():
    env = envs.make("stochastic", 512)
    scores = {}
    for probability in (0, 0.25, 0.5, 0.6, 0.7, 0.75, 0.8, 0.9, 1):
        log = play(env, lambda observations, t, random, least=probability: random.random(512) >= least, 640)
        scores[probability] = log["score"], log["episode_return"]
        assert log["share"] == pytest.approx(probability, abs=0.01)
    assert scores[0.75] == (pytest.approx(0.98, abs=0.01), pytest.approx(0.83, abs=0.01))
    assert scores[0.5] == (pytest.approx(0.03, abs=0.02), pytest.approx(0.10, abs=0.02))
    assert scores[0] == scores[1] == (0, 0)
    assert max(scores, key=lambda probability: scores[probability][1]) == 0.75


def test_stochastic_pays_one_for_the_exact_share():
    env = envs.make("stochastic", 1)
    log = play(env, lambda observations, t, random: [t % 64 >= 48], 64)
    assert log["episode_return"] == log["score"] == 1 and log["share"] == 0.75


@pytest.mark.parametrize("name, settings, sentence", [
    ("bandit", {"best": 4}, "best=4 given, expected a whole number below arms=4"),
    ("bandit", {"length": 0}, "length=0 given, expected a whole number from 1 to"),
    ("memory", {"symbols": 1}, "symbols=1 given, expected a whole number from 2 to 255"),
    ("password", {"password": "12a"}, "password='12a' given, expected a string of 1 to 64 digits"),
    ("password", {"password": "²"}, "expected a string of 1 to 64 digits"),
    ("stochastic", {"share": 1}, "share=1 given, expected a finite number at least 0.5 and below 1"),
])
def test_impossible_settings_are_refused_with_a_sentence(name, settings, sentence):
    with pytest.raises(ValueError, match=sentence):
        envs.make(name, **settings)


@pytest.mark.parametrize("name", TASKS)
def test_picture_changes_with_what_is_played(name):
    env = envs.make(name, 2)
    env.reset(0)
    before = env.render(1)
    env.step(np.ones(2, np.int32))
    after = env.render(1)
    assert before.shape == after.shape and before.dtype == np.uint8 and not np.array_equal(before, after)
    with pytest.raises(IndexError):
        env.render(2)
    assert env.keys and all(env.single_action_space.contains(action) for action in env.keys.values())
