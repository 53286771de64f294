"""Measures of novelty on streams whose answer is known: a source that goes on inventing, one that stopped, one that only makes noise."""

import numpy as np
import pytest

from puffer_min.course.novelty import (
    Archive,
    coverage,
    describe,
    judge,
    late_rate,
    main_trades,
    shuffled,
    shuffled_columns,
    thin,
    trade_shares,
)

N, RADIUS = 3000, 0.3
ACTIVITIES = ("idle", "walk", "drink", "herbs", "wood", "mine", "fish", "craft", "trade", "give", "fight")


def blobs(centres, chance, spread=0.02):
    """A point near each of the centres (n, d)."""
    return centres + spread * chance.normal(size=np.shape(centres))


def inventing(seed=0, every=50):
    """A new way of living each `every` lives: centres that were never there before."""
    chance = np.random.default_rng(seed)
    return blobs(chance.uniform(size=(N // every, 12)).repeat(every, 0), chance)


def stopped(seed=0):
    """Twelve ways in turn in the first third, and the last of them for ever."""
    chance = np.random.default_rng(seed)
    centres = chance.uniform(size=(12, 12))
    return blobs(centres[np.minimum(np.arange(N) // (N // 36), 11)], chance)


def television(seed=0):
    return np.random.default_rng(seed).uniform(size=(N, 12))


def still(seed=0):
    chance = np.random.default_rng(seed)
    return blobs(np.full((N, 12), 0.5), chance)


def verdict_on(trained, shadow, frozen=None, random=None):
    return judge({"trained": trained, "shadow": shadow, "frozen": still(7) if frozen is None else frozen,
                  "random": still(8) if random is None else random}, RADIUS)


def test_an_archive_keeps_what_is_further_than_its_radius_from_all_before():
    points = np.array([[0, 0], [0.5, 0], [1.2, 0], [1.1, 0], [0, 3], [0.2, 2.9]])
    archive = Archive(1.0)
    assert archive.add(points).tolist() == [True, False, True, False, True, False]
    assert archive.points.tolist() == [[0, 0], [1.2, 0], [0, 3]]
    assert not archive.add(points).any(), "a second time nothing is new"


def test_an_archive_in_blocks_is_the_archive_one_by_one():
    points = np.random.default_rng(0).uniform(size=(700, 4))
    expected, kept = [], []
    for point in points:
        expected.append(all(np.linalg.norm(point - other) > 0.5 for other in kept))
        kept += [point] if expected[-1] else []
    assert Archive(0.5).add(points).tolist() == expected and 5 < sum(expected) < 200
    halves = Archive(0.5)
    assert [*halves.add(points[:300]), *halves.add(points[300:])] == expected


def test_coverage_counts_the_cells_entered_so_far():
    points = np.array([[0.1, 0.1], [0.2, 0.1], [0.9, 0.1], [1.0, 1.0], [0.1, 0.1]])
    assert coverage(points, bins=2).tolist() == [1, 1, 2, 3, 3]
    everything = coverage(np.random.default_rng(0).uniform(size=(5000, 3)), bins=4)
    assert everything[-1] == 64 and (np.diff(everything) >= 0).all()


def test_a_source_that_goes_on_inventing_is_believed():
    found = verdict_on(inventing(0), inventing(1))
    assert found.keeps_coming and set(found.beaten) >= {"random", "frozen", "shuffled"}, str(found)
    assert found.rates["trained"].estimate == pytest.approx(20, abs=4), "one of fifty lives"
    assert "no control explains it" in str(found)


def test_a_source_that_stopped_is_not_believed():
    found = verdict_on(stopped(0), stopped(1))
    assert found.rates["trained"].estimate == 0 and not found.keeps_coming and found.beaten == ("columns",)


def test_a_noisy_television_is_new_for_ever_and_not_believed():
    """Its archive grows to the end; in another order it grows as fast, and so does one that nobody watches."""
    found = verdict_on(television(0), television(1))
    assert found.rates["trained"].estimate > 300, "every third frame is unlike all before"
    assert "shuffled" in found.explained_by and not found.keeps_coming
    assert "columns" in found.explained_by, "no column of it belonged to another"


def test_a_world_that_moves_by_itself_is_not_credited_to_the_policy():
    found = verdict_on(inventing(0), inventing(1), frozen=inventing(5))
    assert found.explained_by == ("frozen",) and "frozen would look the same" in str(found)


def test_chance_that_finds_as_much_is_a_control():
    assert verdict_on(inventing(0), inventing(1), random=television(3)).explained_by == ("random",)


def test_a_lead_that_is_smaller_than_the_luck_of_two_seeds_is_none():
    fast, slow = inventing(0, every=20), inventing(1, every=50)
    found = verdict_on(fast, slow, frozen=inventing(5, every=40))
    assert found.rates["trained"].low > found.rates["frozen"].high and found.luck > 20
    assert "frozen" in found.explained_by


def test_streams_of_other_lengths_are_thinned_evenly_and_not_cut():
    points = np.arange(100)[:, None]
    assert thin(points, 4).ravel().tolist() == [0, 33, 66, 99] and thin(points, 100).tolist() == points.tolist()


def test_shuffling_keeps_the_lives_and_shuffling_columns_keeps_the_averages_alone():
    points = stopped()
    assert sorted(map(tuple, shuffled(points))) == sorted(map(tuple, points)) and not np.array_equal(shuffled(points), points)
    mixed = shuffled_columns(points)
    assert np.allclose(mixed.mean(0), points.mean(0)) and np.allclose(np.sort(mixed, 0), np.sort(points, 0))
    assert not set(map(tuple, mixed)) & set(map(tuple, points))


def test_what_cannot_be_judged_is_one_sentence():
    with pytest.raises(ValueError, match="streams: frozen, shadow missing, expected trained, random, frozen and shadow"):
        judge({"trained": still(), "random": still()}, RADIUS)
    with pytest.raises(ValueError, match="a stream of 20 lives given, expected at least 36"):
        late_rate(np.zeros(20, bool))
    with pytest.raises(ValueError, match="radius=0 given, expected a number above 0"):
        Archive(0)


def records(n, **columns):
    lives = np.zeros(n, [("activity", "f4", 11), ("levels", "i4", 8), ("regions", "i4")])
    lives["levels"] = 1
    for name, value in columns.items():
        lives[name] = value
    return lives


def test_a_life_is_described_by_shares_levels_and_regions_from_0_to_1():
    lives = records(2, regions=[64, 256], levels=[[1, 10, 1, 1, 1, 1, 1, 1]] * 2)
    lives["activity"][:, ACTIVITIES.index("mine")] = 1
    points = describe(lives)
    assert points.shape == (2, 20) and points.dtype == np.float32 and points[:, 19].tolist() == [0.5, 1]
    assert points[0, :19].tolist() == [0] * 5 + [1] + [0] * 6 + [1] + [0] * 6


def test_the_trade_of_a_life_is_what_took_most_of_its_working_time():
    lives = records(4)
    for life, (walk, herbs, mine) in enumerate([(0.9, 0.1, 0), (0.2, 0.3, 0.5), (1.0, 0, 0), (0, 0.4, 0.6)]):
        lives["activity"][life, [1, 3, 5]] = walk, herbs, mine
    trades = main_trades(lives, ACTIVITIES)
    assert trades.tolist() == [0, 2, -1, 2]
    shares = trade_shares(trades, windows=2)
    assert shares["forager"].tolist() == [0.5, 0] and shares["miner"].tolist() == [0.5, 0.5] and shares["hunter"].tolist() == [0, 0]
