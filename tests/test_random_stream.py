"""The random streams: the compiled one and its Python twin are one generator, and its numbers are fair."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

import envs
from envs.slow.stream import Stream, mix


def test_the_generator_is_splitmix64():
    """The first numbers of SplitMix64 from state 0, as its authors' reference program prints them."""
    stream = Stream(0)
    stream.state = 0
    assert [stream.draw() for _ in range(3)] == [0xE220A8397B1DCDAF, 0x6E789E6AA1B965F4, 0x06C45D188009454F]


@pytest.mark.parametrize("seed", [0, 1, 12345, 2**63, 2**64 - 1, 2**64 + 5])
def test_the_compiled_stream_and_its_twin_start_alike(seed):
    """The first block of a batch's state is its streams; after a reset of squared each has made one draw."""
    env = envs.make("squared", 5, seed=seed, first_env=3)
    states = env.get_state()["blocks"][0].view(np.uint64)
    assert states.tolist() == [Stream(seed, 3 + i).state for i in range(5)]
    env.reset()
    for i, state in enumerate(env.get_state()["blocks"][0].view(np.uint64).tolist()):
        twin = Stream(seed, 3 + i)
        twin.below(120)
        assert twin.state == state


def test_streams_of_near_seeds_and_indices_have_nothing_in_common():
    first = {Stream(seed, index).draw() for seed in range(100) for index in range(100)}
    assert len(first) == 10_000
    bits = np.array([[bin(Stream(seed, 0).draw() ^ Stream(seed + 1, 0).draw()).count("1")] for seed in range(500)])
    assert abs(bits.mean() - 32) < 1, "half of the bits differ between neighbours"


@pytest.mark.parametrize("n", [1, 2, 3, 7, 120, 1000])
def test_below_is_uniform(n):
    stream = Stream(42)
    counts = np.bincount([stream.below(n) for _ in range(20_000)], minlength=n)
    assert len(counts) == n
    assert n == 1 or stats.chisquare(counts).pvalue > 1e-4


@given(st.integers(0, 2**64 - 1), st.integers(1, 2**31 - 1))
def test_below_stays_below(state, n):
    stream = Stream(0)
    stream.state = state
    assert 0 <= stream.below(n) < n


def test_unit_and_between_are_uniform():
    stream = Stream(7)
    assert stats.kstest([stream.unit() for _ in range(20_000)], "uniform").pvalue > 1e-4
    numbers = [stream.between(-2.0, 3.0) for _ in range(20_000)]
    assert -2 <= min(numbers) and max(numbers) < 3
    assert stats.kstest(numbers, "uniform", args=(-2, 5)).pvalue > 1e-4


def test_consecutive_draws_are_not_correlated():
    stream = Stream(3)
    numbers = np.array([stream.unit() for _ in range(20_000)])
    assert abs(np.corrcoef(numbers[:-1], numbers[1:])[0, 1]) < 4 / math.sqrt(len(numbers))


@given(st.integers(0, 2**64 - 1))
def test_mix_keeps_numbers_apart(x):
    """The finaliser is a bijection: flipping a bit of its input never gives the same output."""
    assert all(mix(x) != mix(x ^ (1 << bit)) for bit in range(64))
