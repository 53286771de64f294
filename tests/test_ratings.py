"""Ratings: the maximum of the likelihood, as a peer package and a general optimiser find it; intervals that hold; cycles."""

import choix
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import minimize

from puffer_min.selfplay.ratings import ELO, bootstrap, both_sides, cycle, predicted, ratings, wilson


def random_counts(seed, n=6, games=40, draws=0.0):
    """Counts (n, n, 3) of games between players of random strengths."""
    random = np.random.default_rng(seed)
    strength = random.normal(0, 1, n)
    counts = np.zeros((n, n, 3), int)
    for i in range(n):
        for j in range(n):
            if i != j:
                win = (1 - draws) / (1 + np.exp(strength[j] - strength[i]))
                counts[i, j] = random.multinomial(games, [win, draws, 1 - draws - win])
    return counts, strength


@pytest.mark.parametrize("seed", range(5))
def test_without_ties_the_ratings_are_those_of_choix(seed):
    counts, _ = random_counts(seed)
    theirs = choix.ilsr_pairwise_dense(both_sides(counts)[..., 0].astype(float), max_iter=1000, tol=1e-12)
    ours = ratings(counts, prior=0)
    assert np.allclose(ours.elo / ELO, theirs - theirs.mean(), atol=1e-6) and ours.draw == 0


@pytest.mark.parametrize("seed", range(3))
def test_with_ties_no_general_optimiser_finds_a_likelier_rating(seed):
    counts, _ = random_counts(seed, draws=0.3)
    total, n = both_sides(counts), len(counts)

    def loss(x):
        s, draw = np.exp(x[:n] - x[:n].mean()), np.exp(x[n])
        tie = draw * np.sqrt(np.outer(s, s))
        z = s[:, None] + s[None, :] + tie
        return -(total[..., 0] * np.log(s[:, None] / z)).sum() - (total[..., 1] * np.log(tie / z)).sum() / 2
    ours = ratings(counts, prior=0)
    best = minimize(loss, np.zeros(n + 1), method="BFGS", options={"gtol": 1e-6})
    assert np.allclose(ours.elo / ELO, best.x[:n] - best.x[:n].mean(), atol=1e-4) and np.log(ours.draw) == pytest.approx(best.x[n], abs=1e-4)
    assert loss(np.append(ours.elo / ELO, np.log(ours.draw))) <= best.fun + 1e-9


def test_400_elo_are_ten_wins_for_each_loss():
    counts = np.zeros((2, 2, 3), int)
    counts[0, 1] = 1000, 0, 100
    assert np.diff(ratings(counts, prior=0).elo)[0] == pytest.approx(-400)


def test_a_player_that_wins_every_game_has_a_finite_rating_and_an_interval():
    counts = np.zeros((2, 2, 3), int)
    counts[0, 1], counts[1, 0] = (50, 0, 0), (0, 0, 50)
    elo, (low, high) = ratings(counts).elo, bootstrap(counts)
    assert np.isfinite(elo).all() and elo[0] > 300 and low[0] <= elo[0] <= high[0] and high[0] - low[0] > 50


def test_players_that_only_drew_are_equal_and_without_games_everybody_is():
    counts = np.zeros((3, 3, 3), int)
    assert (ratings(counts).elo == 0).all()
    counts[0, 1, 1] = counts[1, 2, 1] = 20
    assert np.allclose(ratings(counts).elo, 0, atol=1e-6)


def test_the_ratings_of_many_resamples_at_once_are_those_of_each():
    many = np.stack([random_counts(seed, draws=0.2 * (seed % 2))[0] for seed in range(4)])
    together = ratings(many)
    for k, counts in enumerate(many):
        alone = ratings(counts)
        assert np.allclose(together.elo[k], alone.elo, atol=1e-5) and together.draw[k] == pytest.approx(float(alone.draw), abs=1e-6)


def test_the_predictions_are_the_shares_the_ratings_were_made_from_where_these_are_in_one_order():
    strength = np.linspace(-1, 1, 4)
    win = 1 / (1 + np.exp(strength[None, :] - strength[:, None]))
    counts = np.round(np.stack([win, 0 * win, 1 - win], -1) * 100_000).astype(int)
    assert np.abs(predicted(ratings(counts, prior=0)) - win)[~np.eye(4, dtype=bool)].max() < 1e-4


def test_about_95_of_100_bootstrap_intervals_hold_the_true_difference():
    held = 0
    for seed in range(60):
        counts, strength = random_counts(seed, n=3, games=60, draws=0.1)
        low, high = bootstrap(counts, resamples=100, prior=0)
        # a tie of 0.1 whoever plays is not Davidson's, so the truth is the rating of very many games
        truth = ratings(random_counts(seed, n=3, games=100_000, draws=0.1)[0], prior=0).elo
        held += ((low <= truth) & (truth <= high)).sum()
    assert 0.88 <= held / 180 <= 0.99


@given(st.integers(0, 500), st.integers(1, 500))
def test_wilsons_interval_holds_the_share_and_lies_between_0_and_1(won, more):
    games = won + more
    low, high = wilson(won, games)
    assert 0 <= low <= won / games <= high <= 1


def test_wilsons_interval_is_that_of_scipy():
    from scipy.stats import binomtest
    for won, games in ((0, 10), (3, 17), (500, 1000), (20, 20)):
        theirs = binomtest(won, games).proportion_ci(0.95, "wilson")
        assert np.allclose(wilson(won, games, 1.959963984540054), theirs)


def test_a_cycle_is_found_only_where_the_games_leave_no_doubt():
    counts = np.zeros((4, 4, 3), int)
    for i, j in ((0, 1), (1, 2), (2, 0)):
        counts[i, j] = 58, 0, 42
        counts[j, i] = 42, 0, 58
    counts[3, 0] = counts[3, 1] = counts[3, 2] = 200, 0, 0
    assert cycle(counts) == []
    assert sorted(cycle(5 * counts)) == [0, 1, 2]
