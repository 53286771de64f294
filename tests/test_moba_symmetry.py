"""The mirror image of a game of `moba` is a game: turned by half, the sides exchanged, it takes the mirrored course, to the last bit."""

import numpy as np
import pytest
from moba_stage import GAME, games

import envs
from envs.core.battlefield import battlefield, turned


def pair(**settings):
    """Two batches with the same random streams; in the second one the other half moves first."""
    one, other = (envs.make("moba", 4, seed=3, agents=10, first=first, report_interval=0, **settings) for first in (0, 1))
    one.reset(), other.reset()
    return one, other


def exchanged(rows):
    """The agents' rows with the teams exchanged."""
    return rows.reshape(4, 2, 5, -1)[:, ::-1].reshape(rows.shape)


@pytest.mark.parametrize("settings", [{}, {"autopilot": True}, {"continuous": True}, {"max_ticks": 400}])
def test_the_mirrored_game_takes_the_mirrored_course(settings):
    one, other = pair(**settings)
    random = np.random.RandomState(0)
    fights = 0.0
    for step in range(1500):
        actions = random.uniform(-1, 1, one.actions.shape).astype(np.float32)
        if not one.continuous:
            forth = random.random_sample(len(actions)) < 0.8            # towards the enemy, so that there is something to see
            actions = (random.random_sample(one.actions.shape) * [7, 7, 3, 2, 2, 2]).astype(np.int32)
            lane = one.observations[:, 484 + 24:484 + 26].astype(np.int32)
            actions[forth, :2] = (3 * lane)[forth]
        results, mirrored = one.step(actions)[:4], other.step(exchanged(actions))[:4]
        for name, a, b in zip(("observations", "rewards", "terminals", "truncations"), results, mirrored, strict=False):
            assert np.array_equal(a, exchanged(b)), f"{name} differ at step {step}"
        fights += float(np.abs(results[1]).sum())
    assert fights > 10, "there was something to see"


def test_after_a_thousand_steps_every_entity_has_its_mirror_image():
    one, other = pair(autopilot=True)
    for _ in range(1000):
        one.step(one.actions), other.step(other.actions)
    for game, image in zip(games(one), games(other), strict=False):
        entities, mirrored = game["entities"], np.roll(image["entities"], 103)
        alive = entities["alive"] == 1
        assert np.array_equal(entities["health"][alive], mirrored["health"][alive]) and np.array_equal(entities["alive"], mirrored["alive"])
        assert np.array_equal(entities["y"][alive], 144 * 256 - 1 - mirrored["y"][alive])
        assert np.array_equal(entities["x"][alive], 144 * 256 - 1 - mirrored["x"][alive])
        assert np.array_equal(game["fallen"], image["fallen"][::-1])
    assert (games(one)["entities"]["health"] != games(one)["entities"]["max_health"]).any(), "there was a fight"


def test_the_map_is_its_own_image_under_a_half_turn():
    terrain = battlefield().terrain
    assert np.array_equal(terrain, turned(terrain))
    assert (terrain == 1).any(), "there are trees"


def test_the_records_of_the_tests_are_the_structs_of_the_game():
    env = envs.make("moba", 3)
    assert len(env.get_state()["blocks"][-1]) == 3 * GAME.itemsize
    env.reset(seed=0)
    assert (games(env)["winner"] == -1).all() and np.array_equal(games(env)["entities"]["id"], np.tile(np.arange(206), (3, 1)))
