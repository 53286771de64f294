"""The simulated vectorizer: exact where the sum can be done by hand, and the laws it must obey elsewhere."""

import numpy as np
import pytest

from puffer_min.course.scheduler import Costs, scaling, simulate

EVEN = Costs(steps=np.array([1e-3]), call=2e-5, handoff=5e-6, policy_call=1e-4, policy_env=1e-6)


def test_synchronous_steps_of_equal_length_take_one_part_and_one_thought():
    for num_workers, num_cores in ((1, 1), (4, 4), (8, 4)):
        result = simulate(EVEN, 16, num_workers, num_cores, batches=100)
        waves = -(-num_workers // num_cores)
        expected = waves * (16 // num_workers * 1e-3 + 2e-5) + num_workers * 5e-6 + 1e-4 + 16e-6
        assert result.seconds == pytest.approx(100 * expected) and result.steps == 1600


def test_the_slowest_worker_is_awaited():
    steps = Costs(steps=np.array([1.0, 3.0]))
    result = simulate(steps, 2, 2, 2, batches=4000)
    assert result.steps_per_second == pytest.approx(2 / 2.5, rel=0.03)          # the mean of the larger of two is 2.5


def test_double_buffering_hides_the_thought():
    each = Costs(steps=np.array([1.0]), policy_env=0.25)
    assert simulate(each, 2, 2, 3, batches=200).steps_per_second == pytest.approx(2 / 1.5, rel=0.01)
    assert simulate(each, 2, 2, 3, batch_workers=1, batches=400).steps_per_second == pytest.approx(2 / 1.25, rel=0.01)


def test_asynchronous_batches_win_where_steps_are_uneven_and_nothing_beats_the_ideal():
    uneven = Costs(steps=np.array([1e-4] * 49 + [5e-3]), handoff=3e-6)
    for row in scaling(uneven, cores=(8, 32), batches=100):
        assert row["synchronous"] < 0.6 * row["ideal"] and row["synchronous"] < 0.75 * row["asynchronous"]
        assert row["asynchronous"] <= 1.02 * row["ideal"] and 0 < row["caller_busy"] < 1


def test_the_caller_is_the_limit_when_there_are_cores_enough():
    costs = Costs(steps=np.array([1e-5]), handoff=1e-5)
    rows = scaling(costs, cores=(8, 64), envs_per_core=1, workers_per_core=1, batches=100)
    assert rows[1]["caller_busy"] > 0.9 and rows[1]["asynchronous"] < 1.3 / 1e-5


def test_impossible_divisions_are_refused():
    with pytest.raises(ValueError, match="num_envs=5, num_workers=2, batch_workers=2: expected num_workers to divide num_envs"):
        simulate(EVEN, 5, 2, 2)
