"""The scaling plan: the arithmetic by hand, costs found again in data that were made with them, losses that grow."""

import dataclasses
import runpy
from pathlib import Path

import numpy as np
import pytest
import torch

from puffer_min.course.scaling import (
    NEURAL_MMO_3,
    OPENAI_FIVE_A_DAY,
    YEAR,
    Costs,
    Machine,
    breaks_first,
    exchange_seconds,
    fit_exchange,
    noise_scale,
    plan,
    scaling,
)

COSTS = Costs(collect=np.array([0.04, 0.05, 0.06]), learn=0.05, gradient_steps=4, batch=4000, size=80_000, latency=1e-4,
              bandwidth=1e9, noise=50_000.0)


def test_a_day_of_openai_five_and_three_days_of_neural_mmo_are_what_the_sources_say():
    assert OPENAI_FIVE_A_DAY == pytest.approx(212e9, rel=0.01), "28 billion seconds, 7.5 observations each"
    assert NEURAL_MMO_3 == pytest.approx(104e9, rel=0.01)
    assert 2000 * YEAR / NEURAL_MMO_3 == pytest.approx(0.6, rel=0.02), "2,000 years of play: a step is 0.6 s of it"


def test_days_and_dollars_by_hand():
    machine = Machine("box", steps_per_second=1e6, price=3652.5, watts=500, years=1, per_kwh=0.25)
    assert machine.steps_per_day == 86.4e9 and machine.days(864e9) == 10
    assert machine.dollars_per_day == pytest.approx(10 + 3) and machine.dollars(864e9) == pytest.approx(130)


def test_a_ring_takes_two_rounds_and_nothing_for_one_process():
    assert exchange_seconds(1e6, 1, 1e-3, 1e9) == 0
    assert exchange_seconds(1e6, 2, 1e-3, 1e9) == pytest.approx(2e-3 + 1e-3)
    assert exchange_seconds(1e6, 5, 1e-3, 1e9) == pytest.approx(8e-3 + 1.6e-3)
    assert exchange_seconds(1e6, 10**6, 0, 1e9) == pytest.approx(2e-3, rel=1e-4), "bytes do not grow with the processes, messages do"


def test_latency_and_bandwidth_are_found_again():
    sizes = 4.0 ** np.arange(4, 13)
    seconds = [exchange_seconds(size, 2, 3e-5, 2e9) for size in sizes]
    assert fit_exchange(sizes, seconds) == pytest.approx((3e-5, 2e9))
    noisy = seconds * np.random.default_rng(0).uniform(0.9, 1.1, len(sizes))
    assert fit_exchange(sizes, noisy) == pytest.approx((3e-5, 2e9), rel=0.15)
    with pytest.raises(ValueError, match="sizes: given 1, expected two or more that differ"):
        fit_exchange([8, 8], [1e-3, 2e-3])


def test_fits_of_noise_stay_above_zero():
    for seconds in ([1e-3, 1e-4, 1e-2], [1e-3, 1e-3, 1e-4]):
        latency, bandwidth = fit_exchange([1e3, 1e5, 1e6], seconds)
        assert latency >= 0 and bandwidth > 0


@pytest.mark.parametrize("batch", [10, 100])
def test_the_noise_scale_is_found_again_from_batches_and_their_means(batch):
    """Gradients of known mean and spread: |G|^2 = 4, tr(S) = 400, so the scale is 100."""
    chance = np.random.default_rng(1)
    mean, spread = np.zeros(100), 2.0
    mean[0] = 2.0
    draws = mean + spread / np.sqrt(batch) * chance.normal(size=(2, 20_000, 100))
    one = np.mean([(draw**2).sum(1).mean() for draw in draws])
    both = (draws.mean(0) ** 2).sum(1).mean()
    assert noise_scale(one, both, batch) == pytest.approx(100, rel=0.05)
    assert noise_scale(2.0, 1.0, batch) == float("inf"), "averaging halves it: nothing but noise"
    assert noise_scale(2.0, 2.0, batch) == 0, "averaging changes nothing: no noise"


def test_one_process_loses_nothing():
    alone = plan(COSTS, 1, updates=2000)
    assert alone.batch == 1 and alone.exchange == 1 and alone.waiting == pytest.approx(1, abs=0.01)
    assert alone.steps_per_second == pytest.approx(4000 / 0.1, rel=0.01) and alone.useful_steps_per_second == alone.steps_per_second


def test_each_loss_is_the_arithmetic_of_its_costs():
    two = plan(dataclasses.replace(COSTS, collect=np.array([0.05])), 2)
    exchange = 4 * (2e-4 + 80_000 / 1e9)
    assert two.waiting == 1 and two.exchange == pytest.approx(0.1 / (0.1 + exchange))
    assert two.steps_per_second == pytest.approx(8000 / (0.1 + exchange))
    assert two.batch == pytest.approx((1 + 1000 / 50_000) / (1 + 2000 / 50_000))


def test_waiting_ends_at_the_slowest_that_was_measured():
    many = plan(COSTS, 4096, updates=5)
    assert many.waiting == pytest.approx(0.1 / 0.11)
    even = plan(dataclasses.replace(COSTS, collect=np.array([0.05])), 4096, updates=5)
    assert even.waiting == 1


def test_losses_grow_with_the_processes_and_the_first_to_halve_is_named():
    plans = scaling(COSTS)
    for name in ("waiting", "exchange", "batch"):
        kept = [getattr(each, name) for each in plans]
        assert all(later <= earlier + 0.01 for earlier, later in zip(kept, kept[1:], strict=False)), name
    assert breaks_first(plans)[0] == "batch"
    slow_cable = dataclasses.replace(COSTS, latency=1e-2)
    assert breaks_first(scaling(slow_cable)) == ("exchange", 8) and scaling(slow_cable)[2].worst == "exchange"
    patient = dataclasses.replace(COSTS, noise=1e12, latency=1e-9, size=4)
    assert breaks_first(scaling(patient)) is None
    with pytest.raises(ValueError, match="processes=0 given, expected 1 or more"):
        plan(COSTS, 0)


def test_what_a_process_watches_is_the_gradient_before_and_after_the_average():
    watched = runpy.run_path(str(Path(__file__).resolve().parents[1] / "benchmarks" / "scaling.py"))["Watched"]

    class Half:
        rank = 0

        def average_(self, tensor):
            return tensor.div_(2) if tensor.dtype == torch.float32 else tensor

    world = watched(Half())
    world.average_(torch.ones(2000))
    world.average_(torch.ones(6))
    assert world.norms == [[2000, 500]] and world.seconds > 0 and world.rank == 0
