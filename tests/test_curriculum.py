"""Prioritised level replay draws levels as the paper says, and every level is replayed exactly."""

import numpy as np
import pytest

import envs
from puffer_min.learner.ppo import PPO
from puffer_min.learner.presets import settings_for
from puffer_min.selfplay.curriculum import (
    BestReturns,
    LevelLearner,
    Levels,
    PrioritisedReplay,
    Uniform,
    rank_probabilities,
    stale_probabilities,
)

MAZE = {"task": "maze", "size": 7, "max_steps": 40, "report_interval": 0}
DONE = 6


def scored(scores, *, last_played=None, now=0, **settings):
    """A sampler of as many levels; None: the level has no score."""
    levels = PrioritisedReplay(len(scores), **settings)
    for index, score in enumerate(scores):
        if score is not None:
            levels.record(index, score)
    if last_played is not None:
        levels.last_played[:], levels.now = last_played, now
    return levels


def test_ranks_decide_by_the_formula_of_the_paper():
    """P_S(i) = h(S_i)^(1/beta) / sum, with h = 1/rank: worked out here by hand, level by level."""
    scores, temperature = [0.2, 0.9, 0.1, 0.5], 0.5
    rank = {1: 1, 3: 2, 0: 3, 2: 4}
    weights = [(1 / rank[i]) ** (1 / temperature) for i in range(4)]
    assert rank_probabilities(scores, temperature) == pytest.approx([w / sum(weights) for w in weights])


def test_only_the_order_of_the_scores_counts():
    scores = np.random.default_rng(0).normal(size=40)
    assert np.array_equal(rank_probabilities(scores, 0.1), rank_probabilities(np.exp(5 * scores), 0.1))


def test_a_level_is_replayed_by_the_episodes_it_has_waited():
    assert stale_probabilities([7, 10, 4], 10) == pytest.approx([3 / 9, 0, 6 / 9])
    assert stale_probabilities([5, 5], 5) == pytest.approx([0.5, 0.5])


@pytest.mark.parametrize("staleness", [0.0, 0.3, 1.0])
def test_score_and_staleness_are_mixed_by_their_share(staleness):
    levels = scored([3.0, 1.0, 2.0], last_played=[1, 2, 3], now=6, temperature=1.0, staleness=staleness)
    by_score, by_age = np.array([6, 2, 3]) / 11, np.array([5, 4, 3]) / 12
    assert levels.probabilities() == pytest.approx((1 - staleness) * by_score + staleness * by_age)


def test_draws_have_the_distribution_that_is_told():
    levels = scored([3.0, None, 2.0, 1.0, None], temperature=0.7, staleness=0.2, seed=3, last_played=[9, 0, 2, 5, 0], now=9)
    expected, counts = levels.probabilities(), np.zeros(5)
    assert expected.sum() == pytest.approx(1) and expected[[1, 4]] == pytest.approx(0.2)
    assert levels.replay_probabilities()[[1, 4]].tolist() == [0, 0]
    state = levels.last_played.copy(), levels.now
    for _ in range(4000):
        counts[levels.draw()] += 1
        levels.last_played[:], levels.now = state[0], state[1]
    assert ((counts - 4000 * expected) ** 2 / (4000 * expected)).sum() < 18.5, "chi-square, 4 degrees, one in a thousand"


def test_before_any_score_every_level_is_as_probable_and_afterwards_all_are_replays():
    fresh = PrioritisedReplay(8)
    assert fresh.probabilities() == pytest.approx(np.full(8, 1 / 8)) == Uniform(8).probabilities()
    levels = scored(np.arange(8.0), staleness=0.0, temperature=0.1)
    assert levels.probabilities().argmax() == 7 and levels.probabilities()[7] > 0.99


def test_a_level_that_waits_is_replayed_sooner_or_later():
    """With staleness 0 and a low temperature the first level takes it all; with staleness none is forgotten."""
    counts = {}
    for staleness in (0.0, 0.3):
        levels = scored(np.arange(20.0), staleness=staleness, temperature=0.05, seed=1)
        for _ in range(400):
            levels.draw()
        counts[staleness] = (levels.episodes > 0).sum()
    assert counts == {0.0: 1, 0.3: 20}


def test_the_same_seed_draws_the_same_levels_and_another_range_has_its_own():
    draws = [[levels.draw() for _ in range(30)] for levels in (Uniform(5, 100, seed=2), Uniform(5, 100, seed=2), Uniform(5, 100, seed=3))]
    assert draws[0] == draws[1] != draws[2] and set(draws[0]) == set(range(100, 105))


def test_a_level_is_replayed_exactly():
    """What the sampler draws is what is played: the same maze, the same first observation, as often as it is drawn."""
    levels = Uniform(4, 50, seed=0)
    env = Levels(envs.make("grid", 3, **MAZE), levels)
    env.reset(0)
    plain, seen = envs.make("grid", 1, **MAZE), {}
    for _ in range(6):
        for i, level in enumerate(env.level_seeds.tolist()):
            plain.set_level(0, level)
            assert np.array_equal(env.observations[i], plain.observations[0])
            assert np.array_equal(env.get_layout(i).grid, plain.get_layout(0).grid)
            seen[level] = seen.get(level, 0) + 1
        for _ in range(MAZE["max_steps"]):
            env.step(np.full(3, DONE, np.int32))
        assert env.truncations.all() and not env.terminals.any()
    assert set(seen) <= set(range(50, 54)) and max(seen.values()) > 1


def learner_of(levels, score="value_loss", steps=4096, **settings):
    env = Levels(envs.make("grid", 16, seed=1, **MAZE), levels)
    config = settings_for("grid", num_envs=16, horizon=16, minibatch_size=256, total_steps=steps, torch_threads=1, **settings)
    return LevelLearner(env, config, score=score, best=BestReturns(envs.make("grid", 1, **MAZE)))


@pytest.mark.parametrize("score", ["value_loss", "regret"])
def test_scores_are_those_of_whole_episodes_across_updates(score, monkeypatch):
    """A slow twin: every step is kept, and an episode's score is worked out when it is over."""
    told, expected = [], []
    monkeypatch.setattr(PrioritisedReplay, "record", lambda self, level, value: told.append((level, value)))
    learner = learner_of(PrioritisedReplay(6), score)
    plain, running = envs.make("grid", 1, **MAZE), [[] for _ in range(16)]
    for _ in range(6):
        learner.collect()
        levels = np.stack(learner.env.played)
        PPO.estimate(learner)
        advantages, rewards = learner.buffer.advantages.numpy().copy(), learner.buffer.rewards.numpy().copy()
        ends = (learner.buffer.terminals | learner.buffer.truncations).numpy().copy()
        learner.estimate()
        for step in range(16):
            for i in range(16):
                running[i].append(max(advantages[i, step], 0))
                if ends[i, step]:
                    level = int(levels[step, i])
                    plain.set_level(0, level)
                    expected.append((level, np.mean(running[i]) if score == "value_loss" else plain.best_return(0) - rewards[i, step]))
                    running[i].clear()
        learner.update()
        learner.buffer.recycle()
    assert len(told) > 20 and [level for level, _ in told] == [level for level, _ in expected]
    assert [value for _, value in told] == pytest.approx([value for _, value in expected], abs=1e-6)


def test_a_run_is_repeated_by_its_seed_and_learns_from_its_levels():
    first, second = (learner_of(PrioritisedReplay(6, seed=4)) for _ in range(2))
    for learner in (first, second):
        for _ in range(4):
            learner.iterate()
    assert first.weights.equal(second.weights) and np.array_equal(first.env.levels.scores, second.env.levels.scores)
    assert first.env.levels.seen.any() and first.env.levels.episodes.sum() >= 16


@pytest.mark.parametrize("call, sentence", [
    (lambda: Uniform(0), "num_levels=0 given, expected a whole number from 1 to"),
    (lambda: Uniform(10, 2**62 - 5), "start_level=4611686018427387899 given, expected a whole number from 0 to"),
    (lambda: PrioritisedReplay(5, temperature=0), "temperature=0 given, expected a finite number above 0"),
    (lambda: PrioritisedReplay(5, staleness=1.5), "staleness=1.5 given, expected a finite number at least 0 and at most 1"),
    (lambda: Uniform(5, 10).record(15, 0.1), "level_seed=15 given, expected one of the levels 10 to 14"),
    (lambda: Uniform(5, 10).record(9, 0.1), "level_seed=9 given, expected one of the levels 10 to 14"),
    (lambda: learner_of(Uniform(3), score="fun"), "score='fun' given, expected one of 'value_loss', 'regret'"),
])
def test_what_cannot_be_is_one_sentence(call, sentence):
    with pytest.raises(ValueError) as caught:
        call()
    assert sentence in str(caught.value) and "\n" not in str(caught.value)


def test_environments_without_levels_and_regret_without_best_returns_are_refused():
    with pytest.raises(TypeError, match="Snakes given, expected an environment with set_level, such as grid"):
        Levels(envs.make("snake", 1), Uniform(3))
    with pytest.raises(TypeError, match="best: not given, expected the best return of each level"):
        LevelLearner(Levels(envs.make("grid", 1, **MAZE), Uniform(3)), score="regret")
