"""GAE and V-trace of the compiled kernel against ten lines of Python, and by what must hold for any rows."""

import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from envs.core.compile_settings import is_debug
from puffer_min.learner.advantage import gae, vtrace

GAMMA, LAMBDA = 0.97, 0.9


def reference(rewards, values, terminals, truncations, final_values, next_values, ratios=None, gamma=GAMMA, gae_lambda=LAMBDA,
              rho_clip=1.0, c_clip=1.0):
    """Float64, one row and one step at a time."""
    rows, horizon = rewards.shape
    advantages = np.zeros((rows, horizon))
    for row in range(rows):
        running = 0.0
        for t in reversed(range(horizon)):
            following = values[row, t + 1] if t + 1 < horizon else next_values[row]
            after = 0.0 if terminals[row, t] else final_values[row, t] if truncations[row, t] else following
            ratio = 1.0 if ratios is None else ratios[row, t]
            delta = min(rho_clip, ratio) * (rewards[row, t] + gamma * after - values[row, t])
            end = terminals[row, t] or truncations[row, t]
            running = advantages[row, t] = delta + gamma * gae_lambda * min(c_clip, ratio) * (0.0 if end else running)
    return advantages, advantages + values


def random_rows(seed, rows, horizon, ends=0.15):
    """Rewards, values, terminals, truncations, final_values, next_values."""
    random = np.random.default_rng(seed)
    rewards, values, final_values = random.normal(size=(3, rows, horizon)).astype(np.float32)
    terminals, truncations = random.random((2, rows, horizon)) < ends
    return [rewards, values, terminals, truncations, final_values, random.normal(size=rows).astype(np.float32)]


def run(kernel, arrays, *extra, gamma=GAMMA, gae_lambda=LAMBDA, **clips):
    advantages, returns = np.full(arrays[0].shape, np.nan, np.float32), np.full(arrays[0].shape, np.nan, np.float32)
    kernel(*arrays, *extra, advantages, returns, gamma, gae_lambda, **clips)
    return advantages, returns


shapes = st.tuples(st.integers(0, 2**32 - 1), st.integers(1, 37), st.integers(1, 70))


@settings(max_examples=60, deadline=None)
@given(shapes)
def test_gae_equals_the_reference(shape):
    arrays = random_rows(*shape)
    for given_, expected in zip(run(gae, arrays), reference(*arrays), strict=False):
        np.testing.assert_allclose(given_, expected, rtol=1e-4, atol=1e-4)


@settings(max_examples=60, deadline=None)
@given(shapes, st.floats(0.1, 2), st.floats(0.1, 2))
def test_vtrace_equals_the_reference(shape, rho_clip, c_clip):
    arrays = random_rows(*shape)
    ratios = np.random.default_rng(shape[0]).lognormal(size=arrays[0].shape).astype(np.float32)
    given_ = run(vtrace, arrays, ratios, rho_clip=rho_clip, c_clip=c_clip)
    for one, other in zip(given_, reference(*arrays, ratios=ratios, rho_clip=rho_clip, c_clip=c_clip), strict=False):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-4)


@settings(max_examples=30, deadline=None)
@given(shapes)
def test_vtrace_on_policy_is_gae(shape):
    arrays = random_rows(*shape)
    for one, other in zip(run(vtrace, arrays, np.ones_like(arrays[0])), run(gae, arrays), strict=False):
        np.testing.assert_allclose(one, other, rtol=1e-6, atol=1e-6)


@settings(max_examples=30, deadline=None)
@given(shapes)
def test_lambda_1_gives_discounted_returns_minus_values(shape):
    arrays = random_rows(*shape)
    rewards, values, terminals, truncations, final_values, next_values = arrays
    for row in range(len(rewards)):
        total = float(next_values[row])
        for t in reversed(range(rewards.shape[1])):
            after = 0.0 if terminals[row, t] else float(final_values[row, t]) if truncations[row, t] else total
            total = float(rewards[row, t]) + GAMMA * after
            assert run(gae, arrays, gae_lambda=1.0)[1][row, t] == pytest.approx(total, rel=1e-3, abs=1e-3)
        if row >= 1:
            break


@settings(max_examples=30, deadline=None)
@given(shapes)
def test_lambda_0_gives_the_error_of_one_step(shape):
    arrays = random_rows(*shape)
    rewards, values, terminals, truncations, final_values, next_values = arrays
    following = np.concatenate([values[:, 1:], next_values[:, None]], 1)
    after = np.where(terminals, 0, np.where(truncations, final_values, following))
    np.testing.assert_allclose(run(gae, arrays, gae_lambda=0.0)[0], rewards + GAMMA * after - values, rtol=1e-5, atol=1e-5)


@settings(max_examples=40, deadline=None)
@given(shapes, st.data())
def test_nothing_leaks_back_across_an_end(shape, data):
    arrays = random_rows(*shape, ends=0)
    rows, horizon = arrays[0].shape
    row, end = data.draw(st.integers(0, rows - 1)), data.draw(st.integers(0, horizon - 1))
    arrays[data.draw(st.sampled_from((2, 3)))][row, end] = True
    before = run(gae, arrays)[0]
    for index in (0, 1):                                    # other rewards and values after the end, however large
        arrays[index][row, end + 1:] = 1e30
    arrays[5][row] = 1e30
    after = run(gae, arrays)[0]
    np.testing.assert_array_equal(after[row, :end + 1], before[row, :end + 1])


@settings(max_examples=40, deadline=None)
@given(shapes, st.data())
def test_a_row_does_not_depend_on_its_neighbours(shape, data):
    arrays = random_rows(*shape)
    row = data.draw(st.integers(0, len(arrays[0]) - 1))
    alone = [array[row:row + 1].copy() for array in arrays]
    for one, other in zip(run(gae, arrays), run(gae, alone), strict=False):
        np.testing.assert_array_equal(one[row:row + 1], other)


def test_a_truncation_bootstraps_from_the_final_observation_and_a_terminal_from_nothing():
    rewards, values = np.ones((1, 2), np.float32), np.zeros((1, 2), np.float32)
    final_values, next_values = np.full((1, 2), 10, np.float32), np.full(1, 100, np.float32)
    up, down = np.array([[False, True]]), np.zeros((1, 2), bool)
    ends = {"goes on": (down, down, 100), "cut": (down, up, 10), "over": (up, down, 0), "both": (up, up, 0)}
    for name, (terminals, truncations, after) in ends.items():
        advantages, _ = run(gae, [rewards, values, terminals, truncations, final_values, next_values])
        assert advantages[0, 1] == pytest.approx(1 + GAMMA * after), name


def test_the_last_step_of_a_row_counts():
    """PufferLib 3.0 leaves it at 0."""
    arrays = random_rows(0, 3, 5, ends=0)
    assert np.all(run(gae, arrays)[0][:, -1] != 0)


def test_without_truncations_final_values_may_be_left_out():
    arrays = random_rows(0, 20, 33)
    arrays[3][:] = False
    with_values = run(gae, arrays)
    arrays[4] = None
    np.testing.assert_array_equal(run(gae, arrays)[0], with_values[0])


@pytest.mark.parametrize("index, wrong, message", [
    (1, np.zeros((2, 4), np.float32), r"values: given float32 \(2, 4\), expected C-contiguous float32 \(2, 3\)"),
    (1, np.zeros((2, 3)), "values: given float64"),
    (2, np.zeros((2, 3), np.float32), r"terminals: given float32 \(2, 3\), expected C-contiguous bool"),
    (0, np.zeros((3, 2), np.float32).T, "rewards: given float32 .*not contiguous"),
    (5, np.zeros(3, np.float32), r"next_values: given float32 \(3,\), expected C-contiguous float32 \(2,\)"),
    (0, np.zeros(3, np.float32), r"rewards: given shape \(3,\), expected \(rows, horizon\)"),
])
def test_an_array_that_does_not_fit_is_named_with_both_sides(index, wrong, message):
    arrays = random_rows(0, 2, 3)
    arrays[index] = wrong
    with pytest.raises(ValueError, match=message):
        gae(*arrays, np.zeros((2, 3), np.float32), np.zeros((2, 3), np.float32), GAMMA, LAMBDA)


def test_a_missing_array_is_named():
    arrays = random_rows(0, 2, 3)
    arrays[2] = None
    with pytest.raises(TypeError, match="terminals: given None"):
        run(gae, arrays)


@pytest.mark.alone
@pytest.mark.skipif(is_debug(), reason="the debug build is slow on purpose")
def test_the_kernel_is_many_times_faster_than_numpy_columns():
    """NumPy over columns is what Stable-Baselines3 does. Measured 5 to 8 times faster; 2 leaves room for a busy machine."""
    arrays = random_rows(0, 1024, 64)
    rewards, values, terminals, truncations, final_values, next_values = arrays
    ends = terminals | truncations

    def columns():
        advantages, running = np.zeros_like(rewards), np.zeros(len(rewards), np.float32)
        for t in reversed(range(rewards.shape[1])):
            following = values[:, t + 1] if t + 1 < rewards.shape[1] else next_values
            after = np.where(terminals[:, t], 0, np.where(truncations[:, t], final_values[:, t], following))
            running = rewards[:, t] + GAMMA * after - values[:, t] + GAMMA * LAMBDA * ~ends[:, t] * running
            advantages[:, t] = running
        return advantages

    def best(function):
        times = []
        for _ in range(15):
            start = time.perf_counter()
            function()
            times.append(time.perf_counter() - start)
        return min(times)

    np.testing.assert_allclose(columns(), run(gae, arrays)[0], rtol=1e-4, atol=1e-4)
    assert best(columns) > 2 * best(lambda: run(gae, arrays))
