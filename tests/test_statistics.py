"""The statistics of level 2 are rliable's: its numbers, its definitions in scipy's words, and intervals that hold what they promise to."""

import numpy as np
import pytest
import scipy.stats
from hypothesis import given
from hypothesis import strategies as some
from hypothesis.extra.numpy import arrays

from puffer_min.course.statistics import (
    bootstrap,
    interval,
    iqm,
    mean,
    optimality_gap,
    performance_profile,
    probability_of_improvement,
)

X = ((np.arange(30) * 7919) % 101).reshape(10, 3) / 100
Y = ((np.arange(21) * 6007 + 13) % 97).reshape(7, 3) / 100

# What rliable 1.2.0 gives for X and Y (NumPy 2.4.6, pandas 2.3.3; its arch does not import beside pandas 3): estimate, ends of the
# interval with 50,000 resamples, 5,000 for the last.
RLIABLE = {
    iqm: (0.494375, 0.350625, 0.638125),
    mean: (0.491, 0.386, 0.598),
    lambda scores: optimality_gap(scores, 0.8): (0.328, 0.233, 0.42433333),
}
scores_of = arrays(float, some.tuples(some.integers(1, 9), some.integers(1, 4)), elements=some.integers(-20, 20).map(lambda n: n / 4))


@pytest.mark.parametrize("statistic", RLIABLE)
def test_estimate_and_interval_are_rliables(statistic):
    found = interval(statistic, X, resamples=20_000)
    estimate, low, high = RLIABLE[statistic]
    assert found.estimate == pytest.approx(estimate)
    assert (found.low, found.high) == (pytest.approx(low, abs=0.01), pytest.approx(high, abs=0.01))


def test_probability_of_improvement_and_its_interval_are_rliables():
    found = interval(probability_of_improvement, X, Y)
    assert found.estimate == pytest.approx(0.4523809523809524)
    assert (found.low, found.high) == (pytest.approx(0.2929, abs=0.02), pytest.approx(0.6238, abs=0.02))
    assert probability_of_improvement(X.round(1), Y.round(1)) == pytest.approx(0.45)        # with ties


def test_the_profile_is_rliables():
    assert performance_profile(X, np.linspace(0, 1, 6)) == pytest.approx([29 / 30, 0.8, 0.6, 0.4, 0.2, 0])


@given(scores_of)
def test_iqm_is_the_mean_trimmed_by_a_quarter_at_both_ends(scores):
    assert iqm(scores) == pytest.approx(scipy.stats.trim_mean(scores, 0.25, axis=None))


@given(some.integers(1, 4).flatmap(lambda tasks: some.tuples(*[
    arrays(float, some.tuples(some.integers(1, 8), some.just(tasks)), elements=some.integers(0, 6).map(float))] * 2)))
def test_probability_of_improvement_is_mann_and_whitneys_statistic_and_adds_up_to_one(pair):
    x, y = pair
    u = [scipy.stats.mannwhitneyu(x[:, task], y[:, task]).statistic for task in range(x.shape[1])]
    assert probability_of_improvement(x, y) == pytest.approx(np.mean(u) / (len(x) * len(y)))
    assert probability_of_improvement(x, y) + probability_of_improvement(y, x) == pytest.approx(1)


@given(scores_of)
def test_the_area_below_the_profile_is_what_is_missing_to_the_gap(scores):
    grid = np.linspace(-6, 1, 2801)
    reached = -6 + performance_profile(scores, grid).mean() * 7
    assert optimality_gap(scores) == pytest.approx(1 - reached, abs=0.02)


@given(scores_of)
def test_every_statistic_takes_many_data_sets_at_once(scores):
    stack = np.stack([scores, scores + 1, -scores])
    for statistic in (iqm, mean, optimality_gap, lambda s: performance_profile(s, [0.0, 0.5]),
                      lambda s: probability_of_improvement(s, scores)):
        assert np.allclose(statistic(stack), [statistic(each) for each in stack])


def test_one_wild_run_moves_the_mean_and_not_the_iqm():
    scores = np.linspace(1, 2, 12)[:, None]
    wild = scores.copy()
    wild[-1] = 1000
    assert iqm(wild) == iqm(scores) and mean(wild) > 50 * mean(scores)


# The bootstrap

def test_each_task_is_resampled_from_its_own_runs_and_by_itself():
    scores = np.stack([np.arange(8.0), -np.arange(8.0) + 100], 1)               # the two tasks always add up to 100
    assert bootstrap(lambda s: s[..., 0].max(-1), scores).max() == 7 and bootstrap(lambda s: s[..., 1].min(-1), scores).min() == 93
    by_itself = np.arange(8).std() / np.sqrt(8) / np.sqrt(2)                    # it would be 0 if rows stayed together
    assert bootstrap(mean, scores).std() == pytest.approx(by_itself, rel=0.1)


def test_the_same_seed_gives_the_same_interval_and_another_one_nearly_the_same():
    one, same, other = (interval(iqm, X, seed=seed) for seed in (0, 0, 1))
    assert one == same and one != other
    assert one.low == pytest.approx(other.low, abs=0.03) and one.high == pytest.approx(other.high, abs=0.03)


def coverage(runs, tasks=1, experiments=400):
    chance = np.random.default_rng(1)
    return np.mean([0 in interval(mean, chance.normal(size=(runs, tasks)), resamples=500, seed=i) for i in range(experiments)])


@pytest.mark.parametrize("runs, tasks", [(20, 1), (10, 4)])
def test_an_interval_of_95_percent_from_many_runs_holds_the_truth_about_as_often(runs, tasks):
    assert 0.88 <= coverage(runs, tasks) <= 0.99


def test_an_interval_from_three_runs_holds_the_truth_far_less_often_as_the_docstring_says():
    assert 0.68 <= coverage(3) <= 0.82


def test_four_times_the_runs_give_half_the_width():
    scores = np.random.default_rng(2).normal(size=(400, 1))
    assert interval(mean, scores).width / interval(mean, scores[:100]).width == pytest.approx(0.5, rel=0.2)


def test_a_higher_level_is_a_wider_interval_around_the_estimate():
    narrow, wide = (interval(mean, X, level=level) for level in (0.5, 0.99))
    assert wide.low < narrow.low < narrow.estimate < narrow.high < wide.high


def test_an_interval_of_several_numbers_has_arrays_for_ends():
    found = interval(lambda s: performance_profile(s, np.linspace(0, 1, 6)), X)
    assert found.low.shape == found.high.shape == (6,) and (found.low <= found.estimate).all() and (found.estimate <= found.high).all()


def test_runs_of_one_task_may_be_a_plain_list():
    assert interval(mean, [1.0, 2.0, 3.0]) == interval(mean, [[1.0], [2.0], [3.0]])
    assert str(interval(mean, [2.0, 2.0])) == "2 [2, 2]"


@pytest.mark.parametrize("scores, sentence", [
    (([],), "given shape \\(0,\\), expected \\(runs, tasks\\)"), ((np.zeros((2, 3, 4)),), "given shape \\(2, 3, 4\\)"),
    (([1.0, np.nan],), "given a NaN or an infinity"),
    ((np.zeros((4, 2)), np.zeros((4, 3))), "given 2 and 3 tasks, expected the same tasks")])
def test_bad_scores_are_one_sentence(scores, sentence):
    with pytest.raises(ValueError, match=sentence):
        interval(lambda *each: mean(each[0]), *scores)
