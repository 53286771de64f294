"""crafter against the `crafter` package: the same pictures, rewards, ends, inventory, achievements and random draws, step by step."""

import importlib
import json

import crafter_package
import numpy as np
import pytest
from crafter_package import GAMES, INSTALLED, RECORDS, actions, numbers, package

import envs
import envs.crafter
from envs.core import crafter_picture

STYLES = ("random", "wanderer", "miner", "sleeper")
needs_package = pytest.mark.skipif(not INSTALLED, reason="the crafter package is not installed: pip install crafter")


def native(seed, **settings):
    return envs.make("crafter", seed=seed, report_interval=0, **settings)


def shown(env, reward, done) -> bytes:
    """What `numbers` says of a package's step, of a native one."""
    return numbers(env.inventory(0), env.achievements(0), env.position(0), env.semantic(0), reward, done)


def equal_streams(env, peer) -> bool:
    words, position = env.random_state(0)
    _, expected, place, *_ = peer._world.random.get_state()
    return position == place and np.array_equal(words, expected)


def play_both(seed, style, steps, length=10000) -> dict:
    """Step the package and the native game with the same actions, and require at every step that they are equal; what happened."""
    peer, env = package(seed, length), native(seed, view="pixels", length=length)
    assert np.array_equal(env.reset()[0][0], peer.reset()) and equal_streams(env, peer)
    happened = {"deaths": 0, "cut": 0, "unlocked": set(), "nights": 0, "asleep": 0}
    for step, action in enumerate(actions(style, steps, seed % 1000)):
        picture, reward, done, info = peer.step(int(action))
        where = f"seed {seed}, {style}, step {step}, action {action}"
        happened["nights"] += peer._world.daylight < 0.5
        happened["asleep"] += peer._player.sleeping
        happened["unlocked"] |= {name for name, count in info["achievements"].items() if count}
        pictures, rewards, terminals, truncations, _ = env.step(np.array([action], np.int32))
        assert (rewards[0], terminals[0] | truncations[0]) == (np.float32(reward), bool(done)), where
        assert terminals[0] == (info["discount"] == 0), where
        if done:
            happened["deaths"] += terminals[0]
            happened["cut"] += truncations[0]
            assert np.array_equal(env.final_observations[0], picture), where
            assert env.log()["score"] == sum(count > 0 for count in info["achievements"].values()), where
            picture = peer.reset()
        else:
            expected = numbers(info["inventory"], info["achievements"], info["player_pos"], info["semantic"], reward, done)
            assert shown(env, rewards[0], False) == expected, where
        assert np.array_equal(pictures[0], picture), where
        assert equal_streams(env, peer), where
    return happened


@needs_package
def test_three_thousand_steps_equal_those_of_the_package():
    games = [play_both(seed, style, 750) for seed, style in enumerate(STYLES)]
    assert sum(game["deaths"] for game in games) >= 3 and sum(game["nights"] for game in games) >= 300
    assert sum(game["asleep"] for game in games) >= 50
    assert len(set.union(*(game["unlocked"] for game in games))) >= 8, games


@needs_package
def test_an_episode_is_cut_where_the_package_cuts_it():
    assert play_both(5, "random", 150, length=37)["cut"] == 4
    assert play_both(5, "random", 3, length=1)["cut"] == 3


@needs_package
@pytest.mark.long
@pytest.mark.costly("envs/crafter*.p*", "envs/*.py", "envs/core/*", "tests/crafter_package.py")
@pytest.mark.parametrize("first", range(0, 50, 10))
def test_a_hundred_thousand_steps_of_fifty_seeds_equal_those_of_the_package(first):
    unlocked, deaths = set(), 0
    for seed in range(first, first + 10):
        game = play_both(1000 + seed, STYLES[seed % 4], 2000)
        unlocked |= game["unlocked"]
        deaths += game["deaths"]
    assert deaths >= 20 and len(unlocked) >= 10, unlocked


# ---------------------------------------------------------------------- without the package

def play_native(seed, style, length, steps, view) -> tuple[list, int]:
    """The marks of `play_package`, of the native game: (picture and the rest, or the rest alone) after every 50 steps, and the ends."""
    env, hashes, marks, ends = native(seed, view=view, length=length, noise=True), crafter_package.Hashes(), [], 0
    hashes.pictures.update(env.reset()[0])
    for step, action in enumerate(actions(style, steps, seed % 1000), 1):
        pictures, rewards, terminals, truncations, _ = env.step(np.array([action], np.int32))
        if terminals[0] | truncations[0]:
            hashes.pictures.update(env.final_observations)
            hashes.rest.update(rewards[0].tobytes() + b"end")
            ends += 1
        else:
            hashes.rest.update(shown(env, rewards[0], False))
        hashes.pictures.update(pictures)
        if step % 50 == 0:
            marks.append(hashes.mark())
    return marks, ends


@pytest.mark.parametrize("game", json.loads(RECORDS.read_text()), ids=lambda game: f"{game['seed']} {game['style']}")
def test_the_symbolic_game_goes_the_way_that_the_package_went(game):
    """Inventory, achievements, place, the whole map, rewards and ends."""
    marks, ends = play_native(*(game[key] for key in ("seed", "style", "length", "steps")), "symbolic")
    expected = game["after every 50 steps"]
    differ = [50 * (k + 1) for k, (one, other) in enumerate(zip(marks, expected, strict=True)) if one.split()[1] != other.split()[1]]
    assert not differ and ends == game["ends"], f"differs first in the 50 steps before step {differ[:1]}"


@needs_package
@pytest.mark.parametrize("game", json.loads(RECORDS.read_text())[:2], ids=lambda game: f"{game['seed']} {game['style']}")
def test_the_pixel_game_goes_the_way_that_the_package_went(game):
    marks, ends = play_native(*(game[key] for key in ("seed", "style", "length", "steps")), "pixels")
    assert marks == game["after every 50 steps"] and ends == game["ends"]


def test_the_records_are_of_the_games_that_are_named():
    assert [{key: game[key] for key in GAMES[0]} for game in json.loads(RECORDS.read_text())] == GAMES


# ---------------------------------------------------------------------- what the package leaves to chance

@needs_package
def test_the_order_of_a_set_decides_how_a_game_of_the_package_goes():
    """Two orders that a set of objects may have by their addresses lead one seed to two games; so the package's seeds fix nothing."""
    class LastFirst(crafter_package.InOrder):
        def __iter__(self):
            return iter(list(dict.__iter__(self))[::-1])

    games = [package(3), package(3, order=LastFirst)]
    for game in games:
        game.reset()
    for step in range(2000):
        (one, *_), (other, *_) = (game.step(6 if step % 100 else 0) for game in games)
        semantic = [game._sem_view() for game in games]
        if not np.array_equal(*semantic):
            return
        assert not games[0]._player.health <= 0, "the player lived long enough to see it"
    pytest.fail("no difference in 2,000 steps")


# ---------------------------------------------------------------------- what is ours

def test_environment_k_of_a_batch_plays_the_package_seed_of_its_index():
    batch = envs.make("crafter", 3, seed=11, first_env=4)
    alone = [native(11 + (k << 32)) for k in (4, 5, 6)]
    batch.reset()
    for env in alone:
        env.reset()
    for _ in range(2):
        assert all(np.array_equal(batch.semantic(k), env.semantic(0)) for k, env in enumerate(alone))
        assert not np.array_equal(alone[0].semantic(0), alone[1].semantic(0))
        batch.reset()                                           # the next episode of each
        for env in alone:
            env.reset()


def test_a_reset_with_the_seed_begins_with_the_first_episode_again():
    env = native(3)
    first, second = env.reset()[0].copy(), env.reset()[0].copy()
    assert not np.array_equal(first, second)
    assert np.array_equal(env.reset(seed=3)[0], first) and np.array_equal(env.reset()[0], second)


def test_the_symbolic_view_shows_what_stands_around_the_player():
    env = native(2, noise=True)
    env.reset()
    kinds = np.array([0] + [13] * 5 + [14, 15, 16] + [17] * 4 + [18] * 2)       # of each look, in the package's map
    seen = set()
    for action in actions("miner", 1500, 2):
        observations, *_ = env.step(np.array([action], np.int32))
        symbols, (x, y) = observations[0], env.position(0)
        world = np.pad(env.semantic(0), 8)[x + 4:x + 13, y + 5:y + 12].T        # the cells around, line by line
        materials, looks = symbols[:63].reshape(7, 9), symbols[63:126].reshape(7, 9)
        assert np.array_equal(np.where(looks > 0, kinds[looks], materials), world)
        assert list(symbols[126:142]) == list(env.inventory(0).values())
        seen |= set(looks.ravel().tolist())
    assert {1, 2, 3, 4, 6, 7} <= seen, seen


def test_noise_moves_the_stream_and_is_not_seen():
    quiet, noisy = native(1), native(1, noise=True)
    quiet.reset(), noisy.reset()
    differed = False
    for step in range(1, 260):
        quiet.step(np.zeros(1, np.int32)), noisy.step(np.zeros(1, np.int32))
        same = np.array_equal(quiet.random_state(0)[0], noisy.random_state(0)[0])
        differed |= not same
        if crafter_picture.daylight(step)[-1] >= 0.5 and not differed:
            assert same
    assert differed


def test_success_rates_count_the_episodes_since_the_reset():
    env = envs.make("crafter", 8, seed=0, length=60, report_interval=0)
    env.reset()
    assert env.success_rates() == {}
    for action in actions("wanderer", 180, 0):
        env.step(np.full(8, action, np.int32))
    rates, log = env.success_rates(), env.log()
    assert set(rates) == set(envs.crafter.ACHIEVEMENTS) and log["n"] >= 24
    assert sum(rates.values()) == pytest.approx(log["score"]) and rates["collect_sapling"] > 0
    env.reset()
    assert env.success_rates() == {}


def test_without_the_package_the_pixel_view_says_what_to_install(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ImportError, match="expected the crafter package.*pip install crafter, or take view='symbolic'"):
        envs.make("crafter", view="pixels")
    envs.make("crafter").reset()


@needs_package
def test_noise_is_that_of_opensimplex():
    random, simplex = np.random.RandomState(0), importlib.import_module("opensimplex").OpenSimplex(seed=5)
    for x, y, z in random.uniform(-30, 30, (300, 3)).tolist() + (random.randint(0, 64, (300, 3)) / [3, 5, 1]).tolist():
        assert envs.crafter.noise(5, x, y, z) == simplex.noise3(x, y, z)


def test_the_noise_of_a_whole_world_is_close_enough_to_decide():
    """CLOSE is 3e-4. Most of the difference are far corners, of little weight, that the package leaves out."""
    meadow = np.hypot(*np.mgrid[-32:32, -32:32]) <= 20
    for seed in range(40):
        about, exact = envs.crafter.noise_of_world(seed)
        about[4], exact[4] = about[4] * meadow, exact[4] * meadow
        assert np.abs(about - exact).max() < 1.5e-4
        assert np.abs(exact).max() > 0.5


@needs_package
def test_each_layer_of_a_worlds_noise_is_the_packages():
    simplex, x, y = importlib.import_module("opensimplex").OpenSimplex(seed=3), 41, 7
    asked = [(x / 15, y / 15, 0), (x / 15, y / 15, 3), (x / 5, y / 5, 0), (x / 5, y / 5, 3), (x / 3, y / 3, 8), (x / 7, y / 7, 6),
             (2 * x / 3, y / 5 / 3, 7), (x / 5 / 3, 2 * y / 3, 7), (x / 8, y / 8, 1), (x / 6, y / 6, 2), (x / 5, y / 5, 6),
             (x / 9, y / 9, 4), (x / 7, y / 7, 5)]
    assert envs.crafter.noise_of_world(3)[1, :, x, y].tolist() == [simplex.noise3(*point) for point in asked]
