"""mmo: a world is joined together, grows back, and neither makes nor loses goods or gold but by rule; the same seed gives the same world."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mmo_stage import (
    BORDER,
    FISHES,
    GRASS,
    HERBS,
    NOTHING,
    ORES,
    PILE,
    ROCK,
    STONE,
    TOWN,
    TREE,
    WATER,
    Stage,
    look_into,
)
from scipy import ndimage

import envs


def make(seed=0, num_envs=1, **settings):
    env = envs.make("mmo", num_envs, seed=seed, report_interval=0, **({"agents": 16} | settings))
    env.reset()
    return env


def acting(env, random):
    """Random actions, legal or not; half of them stay and work."""
    actions = (random.random_sample((env.num_agents, 6)) * [5, 4, 8, 15, 19, 11]).astype(np.int32)
    actions[random.random_sample(len(actions)) < 0.5, 0] = 0
    return actions


# ------------------------------------------------------------------ the land

@pytest.mark.parametrize("seed", range(12))
def test_from_every_birth_place_nearly_all_walkable_land_can_be_reached(seed):
    """A flood fill over what everybody walks on has one large piece, and newcomers are in it; all kinds of ground are there."""
    env = make(seed, agents=256, size=256)
    terrain = env.tiles_of()[..., 0]
    walkable = terrain <= STONE
    pieces, count = ndimage.label(walkable)
    people = env.people()
    for row, column in zip(people["row"], people["column"], strict=True):
        assert (pieces == pieces[row, column]).sum() >= 0.95 * walkable.sum()
    assert walkable.mean() >= 0.5
    assert (np.bincount(terrain.ravel(), minlength=9)[:8] > 100).all()


@pytest.mark.parametrize("size", [32, 33, 40, 256, 500])
def test_every_size_has_a_border_and_room(size):
    """Nobody's window leaves the grid: around the world lie eight cells of its end."""
    for seed in range(3 if size > 100 else 20):
        env = make(seed, agents=size * size // 16 if size < 100 else 500, size=size)
        tiles = look_into(env)["tiles"][0]
        inside = slice(BORDER, BORDER + size)
        assert (tiles[inside, inside, 0] <= WATER).all() and (tiles[..., 0] <= WATER).sum() == size * size
        terrain = env.tiles_of()[..., 0]
        pieces, count = ndimage.label(terrain <= STONE)
        assert count == 1 and 2 * (pieces > 0).sum() >= size * size


def test_towns_are_all_over_the_world():
    terrain = make(3, size=256).tiles_of()[..., 0]
    districts = (terrain == TOWN).reshape(8, 32, 8, 32).sum((1, 3))
    assert (districts > 0).mean() > 0.85 and districts.max() <= 60


def test_what_grows_fits_the_ground():
    env = make(5, size=256)
    terrain, _, item = np.moveaxis(env.tiles_of(), 2, 0)
    grows = {GRASS: (HERBS, HERBS + 1), STONE: (ORES, ORES + 1), ROCK: (ORES + 1,), WATER: (FISHES, FISHES + 1), TOWN: ()}
    for ground, items in grows.items():
        assert set(np.unique(item[terrain == ground]).tolist()) == {NOTHING, *items}
    assert (item[terrain == GRASS] == HERBS).mean() > 3 * (item[terrain == GRASS] == HERBS + 1).mean() > 0


@pytest.mark.parametrize("env_settings", [{"agents": 40, "size": 64}, {"agents": 20, "natives": 20, "size": 64}])
def test_the_same_seed_gives_the_same_world_and_another_seed_another(env_settings):
    courses = []
    for seed in (7, 7, 8):
        env, random, course = make(seed, **env_settings), np.random.RandomState(0), []
        for _ in range(120):
            env.step(acting(env, random))
            course.append(env.observations.tobytes())
        courses.append((course, env.tiles_of().tobytes()))
    assert courses[0] == courses[1] != courses[2]


def test_worlds_of_a_batch_draw_from_their_own_streams():
    """A batch may be split over workers at will: world 2 of three is the one that a worker of its own makes."""
    random = np.random.RandomState(0)
    whole, part = make(4, 3, size=64), make(4, 1, size=64, first_env=2)
    for _ in range(400):
        actions = acting(whole, random)
        whole.step(actions), part.step(actions[32:])
        assert np.array_equal(whole.observations[32:], part.observations)
        assert np.array_equal(whole.rewards[32:], part.rewards) and np.array_equal(whole.terminals[32:], part.terminals)


# ------------------------------------------------------------------ growth and seasons

def grown(first_row, seasons=True, ticks=150):
    """Shares of the cells that grew back, by row, in a world of bare trees whose fertile half begins at a row."""
    stage = Stage(size=64, season_ticks=1_000_000_000, seasons=seasons)
    stage.nature[BORDER:-BORDER, BORDER:-BORDER] = TREE
    stage.head["tick"] = first_row * (1_000_000_000 // 64) + 1000
    stage.agents["born"] = stage.head["tick"]
    stage.put(0, 32, 32)
    stage.agents["food"] = stage.agents["water"] = 127
    stage.step(ticks=ticks)
    return (stage.tiles[BORDER:-BORDER, BORDER:-BORDER, 2] == TREE).mean(1)


@pytest.mark.parametrize("first, seasons", [(0, True), (16, True), (48, True), (0, False), (48, False)])
def test_things_grow_back_in_the_fertile_half_and_an_eighth_as_fast_elsewhere(first, seasons):
    shares = grown(first, seasons)
    start = first if seasons else 16
    fertile = (np.arange(64) - start) % 64 < 32
    rate = 1 - np.exp(-150 / 128)
    assert abs(shares[fertile].mean() - rate) < 0.06 and abs(shares[~fertile].mean() - (1 - np.exp(-150 / 128 / 8))) < 0.04


def test_ore_knows_no_seasons():
    stage = Stage(size=64)
    stage.nature[BORDER:-BORDER, BORDER:-BORDER] = ORES
    stage.step(ticks=60)
    ore = stage.tiles[BORDER:-BORDER, BORDER:-BORDER, 2] == ORES
    fertile = (np.arange(64) - int(stage.head["fertile"])) % 64 < 32
    assert abs(ore[fertile].mean() - ore[~fertile].mean()) < 0.04 and abs(ore.mean() - (1 - np.exp(-60 / 512))) < 0.03


def test_the_fertile_half_goes_once_round_the_world_in_a_cycle():
    env = make(size=64, season_ticks=128)
    firsts = []
    for _ in range(256):
        env.step(np.zeros_like(env.actions))
        firsts.append(env.situation()["fertile"])
    assert firsts == [tick * 64 // 128 % 64 for tick in range(1, 257)]
    assert np.array_equal(np.unique(env.observations[:, 495 + 29]), [firsts[-1] * 16 // 64])


def test_what_was_taken_stays_away_for_a_while_and_piles_rot():
    stage = Stage(agents=2, size=64)
    stage.put(0, 20, 20), stage.put(1, 50, 50)
    stage.agents["water"][0], stage.agents["health"][0], stage.agents["gold"][0], stage.agents["goods"][0, 4] = 0, 1, 6, 3
    treasury = int(stage.head["treasury"])
    stage.step()
    assert stage.item(20, 20) == PILE
    for _ in range(4000):
        stage.agents["food"] = stage.agents["water"] = 127
        stage.put(0, 60, 60), stage.put(1, 50, 50)
        stage.step()
        if stage.item(20, 20) != PILE:
            break
    assert stage.item(20, 20) == NOTHING and stage.head["treasury"] == treasury + 6 and stage.head["used"][4] == 3 and not stage.piles["goods"].any()


# ------------------------------------------------------------------ conservation

def holdings(env, index=0):
    """Goods and gold of a world by where they are: with the inhabitants, in piles, at the market."""
    people, situation = env.people(index), env.situation(index)
    goods = people["goods"].sum(0) + np.array(situation["piles"][:9]) + np.array(situation["stock"])
    return goods, int(people["gold"].sum()) + situation["piles"][9] + situation["treasury"]


@settings(max_examples=15, deadline=None, derandomize=True)
@given(seed=st.integers(0, 2**32 - 1), agents=st.integers(2, 60), natives=st.integers(0, 20), autopilot=st.booleans(), lifespan=st.integers(20, 400))
def test_goods_and_gold_are_neither_made_nor_lost_but_by_rule(seed, agents, natives, autopilot, lifespan):
    """At every moment: what is there was made and not used, and the gold is what the world began with."""
    env = make(seed, agents=agents, natives=natives, autopilot=autopilot, size=40, lifespan=lifespan)
    random = np.random.RandomState(seed)
    gold = 16 * (agents + natives)
    for step in range(400):
        env.step(acting(env, random))
        if step % 40 == 0:
            goods, total = holdings(env)
            situation = env.situation()
            assert (goods == np.array(situation["made"]) - np.array(situation["used"])).all() and total == gold
            people = env.people()
            assert people["goods"].min() >= 0 and people["goods"].max() <= 15 and people["gold"].min() >= 0 and situation["treasury"] >= 0


@settings(max_examples=10, deadline=None, derandomize=True)
@given(seed=st.integers(0, 2**32 - 1))
def test_a_tick_makes_what_was_gathered_and_crafted_and_no_more(seed):
    """The ledger itself is held to account: from tick to tick it changes by what the inhabitants' own counts say."""
    env = make(seed, agents=40, size=32)
    random = np.random.RandomState(seed)
    before = env.people(), env.situation()
    for _ in range(60):
        env.step(acting(env, random))
        after = env.people(), env.situation()
        same = after[0]["age"] == before[0]["age"] + 1
        if same.all():
            made = np.array(after[1]["made"]) - np.array(before[1]["made"])
            assert made[:4].sum() == (after[0]["gathered"] - before[0]["gathered"]).sum()
            assert made[4:].sum() == (after[0]["crafted"] - before[0]["crafted"]).sum()
        before = after
