"""The rungs of the ladder on the `crafter` package: equal to the last pixel, and what the tools around them say."""

import numpy as np
import pytest

pytest.importorskip("crafter")
import crafter_package  # noqa: E402 - scripted players, needs no package itself

from puffer_min.course import Ladder, build, crafter_rungs
from puffer_min.course import crafter_ladder as slow

LATER = [name for name in slow.RUNGS if name not in ("package", "in order")]


@pytest.mark.parametrize("name", LATER)
def test_a_rung_equals_the_package_by_day_and_by_night(name):
    assert slow.require_equal(name, seeds=(0,), steps=240) == 240           # darkness falls at step 148


def test_the_last_rung_in_python_equals_the_package_for_those_who_build_sleep_and_die():
    for seed, style in enumerate(("sleeper", "miner", "wanderer")):
        assert slow.difference("world", seed, actions=crafter_package.actions(style, 260, seed)) == ""


@pytest.mark.long
@pytest.mark.costly("puffer_min/course/crafter_*.py", "envs/crafter*.p*", "envs/core/*", "tests/crafter_package.py")
@pytest.mark.parametrize("name", LATER)
def test_a_rung_equals_the_package_for_a_thousand_steps_of_each_style(name):
    for seed, style in enumerate(["random", "wanderer", "miner", "sleeper"]):
        assert slow.difference(name, seed, actions=crafter_package.actions(style, 1000, seed)) == ""


def test_the_oracle_is_the_one_of_the_tests_of_the_native_game():
    ours, theirs = slow.make("in order", 4), crafter_package.package(4)
    assert np.array_equal(ours.reset(), theirs.reset())
    for action in crafter_package.actions("miner", 80, 4).tolist():
        assert np.array_equal(ours.step(action)[0], theirs.step(action)[0])


@pytest.mark.parametrize(("where", "what"), [("picture", "picture"), ("stream", "random stream"), ("info", "semantic"), ("begin", "first picture")])
def test_a_difference_is_named_with_its_step(monkeypatch, where, what):
    class Wrong(crafter_rungs.Ordered):
        def reset(self):
            picture = super().reset()
            return picture + 1 if where == "begin" else picture

        def step(self, action):
            picture, reward, done, info = super().step(action)
            if self._step == 3:
                if where == "picture":
                    picture[0, 0] ^= 1
                elif where == "stream":
                    self._world.random.random_sample()
                elif where == "info":
                    info["semantic"][0, 0] += 1
            return picture, reward, done, info

    monkeypatch.setitem(slow.RUNGS, "wrong", (Wrong,))
    found = slow.difference("wrong", 7, 5)
    assert found == ("wrong, seed 7: the first picture differs" if where == "begin" else f"wrong, seed 7: {what} differs at step 3")
    with pytest.raises(AssertionError, match=f"wrong, seed 7.*{what} differs"):
        slow.require_equal("wrong", seeds=(7,), steps=5)


def test_the_next_episode_is_equal_too():
    for name in ("world", "native"):
        made = slow.make(name, 3), slow.make("in order", 3)
        for _ in range(3):
            assert np.array_equal(*(env.reset() for env in made))
        assert all(np.array_equal(slow.begin(env), slow.make("package", 3).reset()) for env in made)


def test_a_listing_shows_what_is_new_and_what_is_compiled():
    assert "class GatheredGround" in slow.listing("ground") and "class RememberedItems" not in slow.listing("ground")
    assert slow.listing("compiled").endswith(slow.CYTHON["compiled"].strip() + "\n")
    assert build(slow.CYTHON["world"]).make_world                           # as a reader's cell compiles it
    for name in slow.RUNGS:
        assert slow.listing(name).startswith("class ")
    with pytest.raises(ValueError, match="'fast' given, expected one of package, in order"):
        slow.listing("fast")


def test_speeds_are_measurements_that_a_ladder_takes():
    ladder = Ladder("steps")
    for name in ("compiled", "native"):
        ladder.measure(name, slow.step_speed(name, steps=20, repeats=2))
    assert ladder["native"].times > 2 and ladder["native"].measurement.unit == "steps"
    found = slow.reset_speed("native", repeats=2)
    assert found.unit == "resets" and len(found.rates) == 2 and found.best > 0


def test_steps_with_resets_are_slower_where_games_end(monkeypatch):
    class Short(crafter_rungs.MadeWorld):
        def __init__(self, seed, length):
            super().__init__(seed=seed, length=2)

    monkeypatch.setitem(slow.RUNGS, "short", (Short,))
    alone, whole = (slow.step_speed("short", steps=8, repeats=2, resets=resets) for resets in (False, True))
    assert whole.best < alone.best


def test_by_arithmetic_waiting_for_the_slowest_costs_more_the_more_there_are():
    assert slow.expected_rate(0.001, 0.0, 200, 8) == pytest.approx(8000)
    assert slow.expected_rate(0.001, 0.6, 200) == pytest.approx(slow.expected_rate(0.001, 0.6, 200, together=False))
    together, apart = (slow.expected_rate(0.001, 0.6, 200, 8, together) for together in (True, False))
    assert apart == pytest.approx(8 * 250) and together == pytest.approx(8 / (0.001 + (1 - 0.995**8) * 0.6))


@pytest.mark.long
def test_processes_are_measured_together_and_first_come_and_numba_with_and_without():
    found = slow.stalls(1.0, num_envs=4)
    assert list(found) == ["serial", "2 processes, all together", "2 processes, first come"] and min(found.values()) > 0
    seconds = slow.with_and_without_numba(1)
    assert set(seconds) == {"with numba", "without"} and min(seconds.values()) > 0
