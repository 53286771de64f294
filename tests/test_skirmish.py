"""skirmish against its slow twin, and its rules one by one."""

import numpy as np
import pytest
from environments import random_actions

import envs
from envs.slow.skirmish import Skirmish
from puffer_min.measure import measure_together

NOBODY, OUTSIDE, OWN_HERO, OWN_TOWER, OWN_CREEP, FOE_HERO, FOE_TOWER, FOE_CREEP, WILD = range(9)
STILL = (3, 3, 0, 0, 0, 0)
FIRST_TOWER, FIRST_NEUTRAL, FIRST_CREEP, NUM_ENTITIES = 10, 22, 150, 210


def marching(random, num_agents):
    """Actions that take every hero towards the middle of the map, fighting."""
    actions = (random.random_sample((num_agents, 6)) * (7, 7, 3, 2, 2, 2)).astype(np.int32)
    actions[:, 0] //= 2                                     # up
    actions[:, 1] = 3 + (actions[:, 1] + 1) // 2            # to the right
    return actions


@pytest.mark.parametrize("settings", [{"limit": 620}, {"scan_every": 1, "limit": 130}, {"scan_every": 7, "limit": 260}], ids=str)
@pytest.mark.parametrize("player", ["random", "marching"])
def test_the_native_environment_and_its_slow_twin_take_the_same_trajectory(settings, player):
    seed, random = len(player), np.random.RandomState(0)
    env = envs.make("skirmish", 2, seed=seed, first_env=1, report_interval=0, **settings)
    twins = [Skirmish(index=1 + i, **settings) for i in range(2)]
    observations, _ = env.reset()
    expected = np.concatenate([twin.reset(seed=seed)[0] for twin in twins])
    heroes = []
    for _ in range(settings["limit"] + 20):
        assert np.array_equal(observations, expected)
        actions = random_actions(env, random) if player == "random" else marching(random, 20)
        observations, rewards, terminals, truncations, _ = env.step(actions)
        for i, twin in enumerate(twins):
            rows = slice(10 * i, 10 * i + 10)
            expected[rows], twin_rewards, twin_terminals, _, infos = twin.step(actions[rows])
            assert np.array_equal(rewards[rows], twin_rewards) and np.array_equal(terminals[rows], twin_terminals)
            heroes += infos
        assert not truncations.any()
    log = env.log()
    assert log["n"] == len(heroes) == 20 and log["episode_length"] == settings["limit"]
    assert log["score"] == pytest.approx(np.mean([hero["score"] for hero in heroes]))
    assert log["deaths"] == pytest.approx(np.mean([hero["deaths"] for hero in heroes]))
    if player == "marching" and settings["limit"] > 600:
        assert log["score"] > 0.5 and log["deaths"] > 0.5, "the trajectory has seen fights"
    for i, twin in enumerate(twins):
        for j, theirs in enumerate(twin.entities):
            ours = env.entity(i, j)
            assert (ours["health"] > 0) == (theirs.health > 0)
            if theirs.health > 0:
                assert [ours[name] for name in ("y", "x", "row", "column", "health", "pause")] == [
                    theirs.y, theirs.x, theirs.row, theirs.column, theirs.health, theirs.pause]


# ---------------------------------------------------------------------- the rules

def fresh(**settings):
    env = envs.make("skirmish", 1, report_interval=0, **settings)
    env.reset(seed=3)
    return env


def act(env, *heroes):
    """Step `env`: these heroes do what is given (index, action), the others stand."""
    actions = np.tile(np.array(STILL, np.int32), (10, 1))
    for i, action in heroes:
        actions[i] = action
    return env.step(actions)


def alive(env, first, last):
    return [i for i in range(first, last) if env.entity(0, i)["health"] > 0]


def test_a_skirmish_begins_with_everybody_on_a_cell_of_his_own():
    env = fresh()
    entities = [env.entity(0, i) for i in range(NUM_ENTITIES)]
    living = [entity for entity in entities if entity["health"] > 0]
    assert len(living) == 10 + 12 + 128 + 18
    assert len({(entity["row"], entity["column"]) for entity in living}) == len(living)
    assert [entity["kind"] for entity in entities] == [0] * 10 + [1] * 12 + [2] * 128 + [3] * 60


def test_side_1_sees_the_map_turned_by_half_a_turn():
    env = fresh()
    observations = env.observations
    for i in range(5):
        own, other = env.entity(0, i), env.entity(0, 5 + i)
        assert (own["row"], own["column"]) == (63 - other["row"], 63 - other["column"])
        assert np.array_equal(observations[i, :, :, 0] == OUTSIDE, observations[5 + i, :, :, 0] == OUTSIDE)
        assert np.array_equal(observations[i, :, :, 0] == OWN_HERO, observations[5 + i, :, :, 0] == OWN_HERO)
    own, other = env.entity(0, 4), env.entity(0, 9)
    act(env, (4, (0, 6, 0, 0, 0, 0)), (9, (0, 6, 0, 0, 0, 0)))                      # the same action moves both towards the middle
    assert (env.entity(0, 4)["y"], env.entity(0, 4)["x"]) == (own["y"] - 3, own["x"] + 3)
    assert (env.entity(0, 9)["y"], env.entity(0, 9)["x"]) == (other["y"] + 3, other["x"] - 3)


def test_the_hero_stands_in_the_centre_and_what_lies_outside_is_marked():
    env = fresh(limit=10_000)
    assert (env.observations[:, 5, 5, 0] == OWN_HERO).all() and not (env.observations[..., 0] == OUTSIDE).any()
    expected = np.zeros((11, 11), bool)
    expected[6:] = expected[:, :5] = True
    for hero in (0, 5):                                                             # each into the corner behind its base
        for _ in range(150):
            act(env, (hero, (6, 0, 0, 0, 0, 0)))
        assert np.array_equal(env.observations[hero, :, :, 0] == OUTSIDE, expected)


def test_a_skill_is_followed_by_its_rest_and_of_several_the_first_counts():
    env = fresh()
    y = env.entity(0, 0)["y"]
    act(env, (0, (0, 3, 0, 0, 0, 1)))
    assert env.entity(0, 0)["y"] == y - 6 and env.observations[0, 5, 5, 2] == 15    # a sprint is twice three units
    for rest in range(14, -1, -1):
        act(env, (0, (3, 3, 0, 0, 0, 1)))
        assert env.observations[0, 5, 5, 2] == rest, "no skill while it rests"
    act(env, (0, (0, 3, 0, 0, 1, 1)))
    assert env.entity(0, 0)["y"] == y - 9, "it mended, so it did not sprint"


def test_a_creep_of_a_new_wave_takes_a_free_slot_and_a_side_never_has_more_than_thirty():
    env = fresh(limit=10_000)
    counts = []
    for _ in range(900):
        act(env)
        counts.append([len(alive(env, FIRST_CREEP + 30 * side, FIRST_CREEP + 30 * side + 30)) for side in range(2)])
    counts = np.array(counts)
    assert counts.max() <= 30 and (np.diff(counts, axis=0).max(axis=0) >= 5).all()


def test_neutrals_stand_still_until_somebody_comes():
    env = fresh(limit=10_000)

    def astray(idle):
        entities = [env.entity(0, i) for i in range(FIRST_NEUTRAL, FIRST_CREEP)]
        return sum((entity["row"], entity["column"]) != (entity["home_row"], entity["home_column"]) and (entity["target"] == NUM_ENTITIES) >= idle
                   for entity in entities)

    for _ in range(12):                                                             # the first creeps are still on their way
        act(env)
    assert astray(idle=True) == 0 and astray(idle=False) < 20, "only those beside a tower have left their cells"
    for _ in range(100):
        act(env)
    assert astray(idle=False) > 20


def test_entities_look_for_targets_in_turns():
    """With scan_every=5 about a fifth of the targets is found in each tick, not all in one."""
    env, found = fresh(limit=10_000), np.zeros(5, int)
    last = [None] * NUM_ENTITIES
    for tick in range(1, 201):
        act(env)
        now = [env.entity(0, i)["target"] if env.entity(0, i)["health"] > 0 else None for i in range(NUM_ENTITIES)]
        for i in range(FIRST_TOWER, NUM_ENTITIES):
            if last[i] == NUM_ENTITIES and now[i] not in (None, NUM_ENTITIES):
                assert (tick + i) % 5 == 0, "nobody finds a target when it is not his turn"
                found[tick % 5] += 1
        last = now
    assert found.min() > 0.3 * found.mean()


def test_the_game_ends_for_all_when_the_time_is_up_and_begins_anew_in_the_same_step():
    env = fresh(limit=7)
    for tick in range(1, 22):
        _, _, terminals, truncations, _ = act(env)
        assert terminals.all() == (tick % 7 == 0) == terminals.any() and not truncations.any()
    assert len(alive(env, FIRST_CREEP, NUM_ENTITIES)) == 18 and env.log()["episode_length"] == 7


@pytest.mark.parametrize("settings", [{"scan_every": 0}, {"limit": 0}])
def test_settings_that_make_no_game_are_refused(settings):
    with pytest.raises(ValueError, match="=0 given, expected a whole number from 1 to"):
        envs.make("skirmish", **settings)


# ---------------------------------------------------------------------- what the cadence changes, and what it gains

def summary(scan_every, games=48, seed=0):
    """Kills by heroes, deaths, creeps and neutrals alive at the end, a row a game."""
    env = envs.make("skirmish", games, seed=seed, scan_every=scan_every, limit=10_000, report_interval=0)
    env.reset()
    random, rewards = np.random.RandomState(seed), np.zeros(10 * games)
    for _ in range(500):
        rewards += env.step(marching(random, 10 * games))[1]
    counts = [[env.entity(game, i)["health"] > 0 for i in range(FIRST_NEUTRAL, NUM_ENTITIES)] for game in range(games)]
    counts = np.array(counts)
    return np.stack([rewards.reshape(games, 10).sum(1), counts[:, :128].sum(1), counts[:, 128:].sum(1)], 1)


def test_looking_every_fifth_tick_changes_the_game_little():
    every, fifth = summary(1), summary(5)
    spread = np.sqrt(every.var(0) + fifth.var(0)) / np.sqrt(2)
    assert (np.abs(every.mean(0) - fifth.mean(0)) < spread).all(), "means of a game differ by less than one game differs from the next"


def test_the_native_environment_is_hundreds_of_times_as_fast_as_its_twin():
    found = measure_together({"native": envs.make("skirmish", 1), "twin": Skirmish(scan_every=1)}, seconds=0.3)
    assert found["native"].best > 200 * found["twin"].best
