"""mmo: the rules are those of the docstring, each tried on a stage of its own: walking, body, goods, market, fighting, lives."""

import numpy as np
import pytest
from mmo_stage import (
    ARMOUR,
    BIG_FISHES,
    CRAFTING,
    DOWN,
    FISH,
    FISHES,
    FISHING,
    HERB,
    HERBS,
    IDLE,
    LEFT,
    LUMBER,
    MAGIC,
    MELEE,
    MINING,
    NOTHING,
    OLD_TREE,
    ORE,
    ORES,
    PILE,
    POTION,
    PRICES,
    RANGE,
    RARE_HERBS,
    RATION,
    RICH_ORES,
    RIGHT,
    ROCK,
    STAY,
    THICKET,
    TOOL,
    TOWN,
    TREE,
    UP,
    WATER,
    WEAPON,
    WOOD,
    Stage,
    buying,
    crafting,
    giving,
    price,
    selling,
    striking,
    using,
    walking,
)

import envs

# ------------------------------------------------------------------ walking and gathering

@pytest.mark.parametrize("move, place", [(STAY, (20, 20)), (UP, (19, 20)), (DOWN, (21, 20)), (LEFT, (20, 19)), (RIGHT, (20, 21))])
def test_walking_leads_one_cell_on(move, place):
    stage = Stage()
    stage.put(0, 20, 20)
    stage.step(walking(move))
    assert stage.place(0) == place and stage.agents["distance"][0] == (move != STAY)


def test_nobody_walks_onto_another_into_water_or_out_of_the_world():
    stage = Stage(agents=2)
    stage.put(0, 20, 20), stage.put(1, 20, 21)
    stage.ground(19, 20, WATER)
    stage.step(walking(RIGHT))
    assert stage.place(0) == (20, 20)
    stage.step(walking(UP))
    assert stage.place(0) == (20, 20)
    stage.put(0, 0, 5)
    stage.step(walking(UP))
    assert stage.place(0) == (0, 5) and not stage.masks()[0, UP]


@pytest.mark.parametrize("terrain, skill", [(ROCK, MINING), (THICKET, LUMBER)])
def test_rock_and_thicket_open_at_level_five(terrain, skill):
    stage = Stage()
    stage.put(0, 20, 20)
    stage.ground(20, 21, terrain)
    for level, place in ((4, (20, 20)), (5, (20, 21))):
        stage.agents["level"][0, skill] = level
        assert stage.masks()[0, RIGHT] == (level == 5)
        stage.step(walking(RIGHT))
        assert stage.place(0) == place


@pytest.mark.parametrize("item, good, skill, rich", [(HERBS, HERB, 3, 0), (RARE_HERBS, HERB, 3, 1), (TREE, WOOD, LUMBER, 0), (OLD_TREE, WOOD, LUMBER, 1),
                                                      (ORES, ORE, MINING, 0), (RICH_ORES, ORE, MINING, 1), (FISHES, FISH, FISHING, 0),
                                                      (BIG_FISHES, FISH, FISHING, 1)])
@pytest.mark.parametrize("tool", [0, 2])
def test_gathering_takes_what_grows_and_teaches_the_skill_for_it(item, good, skill, rich, tool):
    """Fish are in water, which one walks into; the rest is underfoot. Rich items need level 4."""
    stage = Stage()
    stage.put(0, 20, 20)
    place, move = ((20, 21), RIGHT) if good == FISH else ((20, 20), STAY)
    stage.ground(*place, WATER if good == FISH else None, item)
    stage.agents["tool"][0] = tool
    if rich:
        stage.agents["level"][0, skill], stage.agents["experience"][0, skill] = 3, 12
        stage.step(walking(move))
        assert stage.item(*place) == item and stage.agents["goods"][0].sum() == 0, "not with level 3"
        stage.agents["level"][0, skill], stage.agents["experience"][0, skill] = 4, 24
    before = stage.agents["experience"][0].copy()
    stage.step(walking(move))
    assert stage.agents["goods"][0].tolist() == [1 + rich + tool if kind == good else 0 for kind in range(9)]
    assert stage.item(*place) == NOTHING and stage.place(0) == (20, 20) and stage.agents["gathered"][0] == 1 + rich + tool
    taught = stage.agents["experience"][0] - before
    assert taught.tolist() == [1 + 2 * rich if kind == skill else 0 for kind in range(8)]


def test_what_cannot_be_carried_stays():
    stage = Stage()
    stage.put(0, 20, 20), stage.ground(20, 20, item=TREE)
    stage.agents["goods"][0, WOOD] = 15
    stage.step(IDLE)
    assert stage.item(20, 20) == TREE and stage.agents["goods"][0, WOOD] == 15


def test_level_n_takes_twice_n_times_n_minus_one_of_experience_and_pays_once():
    stage = Stage(reward_level=1.0, reward_alive=0.0)
    stage.put(0, 20, 20)
    levels = 1
    for uses in range(1, 200):
        stage.ground(20, 20, item=HERBS)
        stage.agents["goods"][0, HERB] = 0
        stage.agents["food"][0] = stage.agents["water"][0] = 100
        rewards, _ = stage.step(IDLE)
        now = max(level for level in range(1, 11) if uses >= 2 * level * (level - 1))
        assert stage.agents["level"][0].tolist() == [1, 1, 1, now, 1, 1, 1, 1] and rewards[0] == now - levels
        levels = now
    assert levels == 10


def test_water_is_drunk_by_walking_into_it():
    stage = Stage()
    stage.put(0, 20, 20), stage.ground(20, 21, WATER)
    stage.agents["water"][0] = 40
    stage.step(walking(RIGHT))
    assert stage.agents["water"][0] == 72 - (stage.head["tick"] % 2) and stage.place(0) == (20, 20)


# ------------------------------------------------------------------ body

def test_food_and_water_go_every_second_tick_and_health_without_them():
    stage = Stage()
    stage.agents["food"][0], stage.agents["water"][0], stage.agents["health"][0] = 30, 20, 127
    course = []
    for _ in range(64):
        stage.step()
        course.append([int(stage.agents[name][0]) for name in ("food", "water", "health")])
    assert course[19] == [20, 10, 127] and course[39] == [10, 0, 125]
    assert course[49] == [5, 0, 115] and course[61][0] == 0 and course[61][2] - course[63][2] == 4, "without both, 2 a tick"


def test_health_comes_back_every_fourth_tick_to_who_is_fed_and_unhurt():
    stage = Stage()
    stage.agents["health"][0] = 60
    stage.step(ticks=40)
    assert stage.agents["health"][0] == 70
    stage.agents["food"][0] = 32
    stage.step(ticks=8)
    assert stage.agents["health"][0] == 70


@pytest.mark.parametrize("cause, change", [("thirst", {"water": 0, "health": 1}), ("hunger", {"food": 0, "health": 1}), ("age", {"born": 900}),
                                           ("killed", {})])
def test_each_death_has_its_cause_and_a_new_life_begins_at_once(cause, change):
    stage = Stage(agents=2, lifespan=101 if cause == "age" else 5000, reward_death=-1.0)
    stage.put(0, 20, 20), stage.put(1, 20, 21)
    stage.agents["health"][1], stage.agents["born"] = 5 if cause == "killed" else 100, 910
    for name, value in change.items():
        stage.agents[name][1] = value
    born = int(stage.agents["born"][1])
    rewards, terminals = stage.step(striking(MELEE) if cause == "killed" else IDLE)
    assert terminals.tolist() == [False, True] and rewards[1] == -1
    lives = stage.env.lives()
    assert len(lives) == 1 and lives["agent"] == 1 and lives["age"] == 1001 - born and stage.env.causes[lives["cause"][0]] == cause
    one = stage.agents[1]
    assert [int(one[name]) for name in ("health", "food", "water", "born")] == [127, 64, 64, 1001] and (one["level"] == 1).all()
    assert one["goods"].sum() == one["gold"] == one["distance"] == 0
    log = stage.env.log()
    assert log["n"] == 1 and log["score"] == 1001 - born and [log[name] for name in ("thirst", "hunger", "killed")] == [
        float(cause == name) for name in ("thirst", "hunger", "killed")]


def test_what_the_dead_carried_lies_there_until_somebody_takes_it():
    stage = Stage(agents=2)
    stage.put(0, 20, 20), stage.put(1, 20, 22)
    stage.agents["goods"][0], stage.agents["gold"][0], stage.agents["water"][0], stage.agents["health"][0] = [1, 2, 3, 4, 5, 6, 7, 8, 9], 11, 0, 1
    stage.agents["goods"][1, ARMOUR] = 10
    stage.ground(20, 20, item=RARE_HERBS)
    stage.step()
    assert stage.item(20, 20) == PILE and stage.piles[28, 28]["goods"].tolist() == [1, 2, 3, 4, 5, 6, 7, 8, 9] and stage.piles[28, 28]["gold"] == 11
    stage.step(IDLE, walking(LEFT))
    stage.step(IDLE, walking(LEFT))
    assert stage.place(1) == (20, 20) and stage.agents["goods"][1].tolist() == [1, 2, 3, 4, 5, 6, 7, 8, 15] and stage.agents["gold"][1] == 11
    assert stage.item(20, 20) == PILE and stage.piles[28, 28]["goods"].tolist() == [0, 0, 0, 0, 0, 0, 0, 0, 4], "as much as can be carried"
    stage.agents["goods"][1, ARMOUR] = 0
    stage.step(IDLE, IDLE)
    assert stage.item(20, 20) == NOTHING and stage.agents["goods"][1, ARMOUR] == 4


# ------------------------------------------------------------------ goods

@pytest.mark.parametrize("good, change", [(HERB, {"food": 24}), (FISH, {"food": 30}), (RATION, {"food": 80, "health": 10}),
                                          (POTION, {"health": 40, "water": 20})])
def test_food_and_potions_do_what_they_say(good, change):
    stage = Stage()
    stage.agents["goods"][0, good], stage.head["tick"] = 2, 1001                  # an even tick follows: nothing goes
    for name in ("food", "water", "health"):
        stage.agents[name][0] = 30
    stage.step(using(good))
    assert {name: int(stage.agents[name][0]) - 30 for name in ("food", "water", "health")} == {"food": 0, "water": 0, "health": 0} | change
    assert stage.agents["goods"][0, good] == 1 and stage.head["used"][good] == 1
    stage.agents["food"][0] = stage.agents["health"][0] = 112
    assert not stage.masks()[0, 18 + good]
    stage.step(using(good))
    assert stage.agents["goods"][0, good] == 1, "not when full"


@pytest.mark.parametrize("good, name, skill", [(TOOL, "tool", 3), (TOOL, "tool", FISHING), (WEAPON, "weapon", MAGIC), (ARMOUR, "armour", MELEE)])
def test_gear_gives_its_next_tier_with_twice_the_level(good, name, skill):
    stage = Stage()
    for tier in range(3):
        stage.agents["goods"][0, good] = 1
        stage.agents["level"][0, skill] = 2 * tier + 1
        stage.step(using(good))
        assert stage.agents[name][0] == tier
        stage.agents["level"][0, skill] = 2 * tier + 2
        assert stage.masks()[0, 18 + good]
        stage.step(using(good))
        assert stage.agents[name][0] == tier + 1 and stage.agents["goods"][0, good] == 0
    stage.agents["goods"][0, good], stage.agents["level"][0, skill] = 1, 10
    stage.step(using(good))
    assert stage.agents[name][0] == 3 and stage.agents["goods"][0, good] == 1


def test_wood_and_ore_are_of_no_use_as_they_are():
    stage = Stage()
    stage.agents["goods"][0, [WOOD, ORE]] = 3
    assert not stage.masks()[0, [18 + WOOD, 18 + ORE]].any()
    stage.step(using(WOOD)), stage.step(using(ORE))
    assert stage.agents["goods"][0, [WOOD, ORE]].tolist() == [3, 3]


RECIPES = {RATION: ([1, 0, 0, 1], 1, 1), POTION: ([2, 0, 0, 0], 2, 2), TOOL: ([0, 1, 1, 0], 1, 2), WEAPON: ([0, 1, 2, 0], 3, 3), ARMOUR: ([0, 0, 3, 0], 5, 4)}


@pytest.mark.parametrize("good", RECIPES)
def test_crafting_takes_its_goods_its_level_and_teaches(good):
    needs, level, experience = RECIPES[good]
    stage = Stage()
    for kind, needed in enumerate(needs):
        stage.agents["goods"][0, :4], stage.agents["level"][0, CRAFTING] = needs, level
        if needed:
            stage.agents["goods"][0, kind] -= 1
            assert not stage.masks()[0, 27 + good - RATION]
            stage.step(crafting(good))
            assert stage.agents["goods"][0, good] == 0, "a piece is missing"
    stage.agents["goods"][0, :4], stage.agents["level"][0, CRAFTING] = needs, level - 1
    stage.step(crafting(good))
    assert level == 1 or stage.agents["goods"][0, good] == 0, "the level is missing"
    stage.agents["goods"][0] = 0
    stage.agents["goods"][0, :4], stage.agents["level"][0, CRAFTING], stage.agents["experience"][0, CRAFTING] = needs, level, 2 * level * (level - 1)
    stage.head["used"] = stage.head["made"] = 0
    stage.step(crafting(good))
    assert stage.agents["goods"][0].tolist() == [1 if kind == good else 0 for kind in range(9)]
    assert stage.head["used"][:4].tolist() == needs and stage.head["made"][good] == 1 and stage.head["made"].sum() == 1
    assert stage.agents["experience"][0, CRAFTING] == 2 * level * (level - 1) + experience and stage.agents["crafted"][0] >= 1


# ------------------------------------------------------------------ the market and gifts

def test_a_piece_is_sold_at_the_posted_price_in_a_town_only():
    stage = Stage(agents=4)
    stage.put(0, 20, 20)
    stage.agents["goods"][0, WEAPON] = 3
    stage.step(selling(WEAPON))
    assert stage.agents["gold"][0] == 0, "not outside"
    stage.ground(20, 20, TOWN)
    for stock in range(3):
        before, treasury = int(stage.agents["gold"][0]), int(stage.head["treasury"])
        paid = price(WEAPON, stock + 1, 4)
        assert stage.env.situation()["bid"][WEAPON] == paid
        stage.step(selling(WEAPON))
        assert stage.agents["gold"][0] == before + paid and stage.head["treasury"] == treasury - paid and stage.head["stock"][WEAPON] == stock + 1
    assert stage.agents["trades"][0] == 3 and stage.agents["goods"][0, WEAPON] == 0


def test_a_piece_is_bought_for_the_price_asked():
    stage = Stage(agents=4)
    stage.put(0, 20, 20), stage.ground(20, 20, TOWN)
    stage.head["stock"][FISH], stage.agents["gold"][0] = 2, 3
    asked = price(FISH, 2, 4) + 1
    assert asked == 2 == stage.env.situation()["ask"][FISH] - (price(FISH, 0, 4) - price(FISH, 2, 4))
    stage.step(buying(FISH))
    assert stage.agents["gold"][0] == 1 and stage.agents["goods"][0, FISH] == 1 and stage.head["stock"][FISH] == 1
    stage.step(buying(FISH))
    assert stage.agents["gold"][0] == 1 and stage.agents["goods"][0, FISH] == 1, "one coin is too few"
    assert not stage.masks()[0, 42 + FISH]


@pytest.mark.parametrize("inhabitants", [1, 2, 5, 100, 1000])
@pytest.mark.parametrize("good", range(9))
def test_nothing_is_gained_by_buying_and_selling_back(inhabitants, good):
    """Whatever the stock: the price asked for a piece is above the one paid for it a moment later, and prices fit into a number of the observation."""
    for stock in range(1, 300):
        assert 1 <= price(good, stock, inhabitants) + 1 <= 15
        assert price(good, stock, inhabitants) + 1 > price(good, (stock - 1) + 1, inhabitants)


def test_the_market_pays_no_more_than_it_has():
    stage = Stage(agents=4)
    stage.put(0, 20, 20), stage.ground(20, 20, TOWN)
    stage.agents["goods"][0, ARMOUR], stage.head["treasury"] = 1, price(ARMOUR, 1, 4) - 1
    assert not stage.masks()[0, 33 + ARMOUR]
    stage.step(selling(ARMOUR))
    assert stage.agents["goods"][0, ARMOUR] == 1


def test_a_gift_goes_to_the_neighbour_beside_and_a_coin_too():
    stage = Stage(agents=3)
    stage.put(0, 20, 20), stage.put(1, 21, 21), stage.put(2, 20, 22)
    stage.agents["goods"][0, POTION], stage.agents["gold"][0], stage.agents["goods"][1, POTION] = 2, 1, 14
    stage.step(giving(POTION, 1))
    assert stage.agents["goods"][:, POTION].tolist() == [2, 14, 0], "two cells are too far"
    stage.step(giving(POTION, 0))
    stage.step(giving(POTION, 0))
    assert stage.agents["goods"][:, POTION].tolist() == [1, 15, 0], "fifteen are enough"
    stage.step(giving(9))
    stage.step(giving(9))
    assert stage.agents["gold"].tolist() == [0, 1, 0] and stage.agents["gifts"].tolist() == [2, 0, 0]


# ------------------------------------------------------------------ fighting

@pytest.mark.parametrize("style, reach, damage", [(MELEE, 1, 6), (RANGE, 4, 4), (MAGIC, 3, 5)])
def test_each_style_has_its_reach_and_its_damage(style, reach, damage):
    stage = Stage(agents=2)
    stage.agents["goods"][0, WOOD] = 9
    for distance in range(1, 6):
        stage.put(0, 20, 20), stage.put(1, 20 - distance, 20 + distance % 2)
        stage.agents["health"], stage.agents["ready_at"], stage.agents["level"][0, style] = 100, 0, 3
        stage.step(striking(style))
        done = damage + 3 if distance <= reach else 0
        assert stage.agents["health"][1] in (100 - done, 101 - done - (done > 0)), (distance, done)


def test_blows_cost_wood_or_water_and_come_every_third_tick():
    stage = Stage(agents=2)
    stage.put(0, 20, 20), stage.put(1, 20, 22)
    stage.agents["goods"][0, WOOD] = 1
    stage.step(striking(RANGE))
    assert stage.agents["health"][1] < 100 and stage.agents["goods"][0, WOOD] == 0 and stage.head["used"][WOOD] == 1
    hurt = []
    for _ in range(7):
        before, water = int(stage.agents["health"][1]), int(stage.agents["water"][0])
        stage.step(striking(MAGIC))
        hurt.append(before - int(stage.agents["health"][1]) > 1)
        assert water - int(stage.agents["water"][0]) in ((8, 9) if hurt[-1] else (0, 1))
    assert hurt == [False, False, True, False, False, True, False]
    stage.agents["ready_at"][0] = 0
    assert not stage.masks()[0, 6 + RANGE] and stage.masks()[0, 6 + MAGIC], "no arrows are left"


@pytest.mark.parametrize("style, rival", [(style, rival) for style in range(3) for rival in range(3)])
def test_melee_beats_range_range_magic_and_magic_melee(style, rival):
    stage = Stage(agents=2)
    stage.put(0, 20, 20), stage.put(1, 20, 21)
    stage.agents["goods"][0, WOOD], stage.agents["level"][1, rival] = 1, 2
    stage.step(striking(style))
    damage = (7, 5, 6)[style]
    beaten = (style, rival) in ((MELEE, RANGE), (RANGE, MAGIC), (MAGIC, MELEE))
    assert 100 - stage.agents["health"][1] == damage + (damage // 2 if beaten else 0)


def test_weapon_and_armour_count_two_a_tier_and_a_blow_does_at_least_one():
    stage = Stage(agents=2)
    for weapon, armour, damage in ((0, 0, 7), (2, 0, 11), (2, 3, 5), (0, 3, 1)):
        stage.put(0, 20, 20), stage.put(1, 20, 21)
        stage.agents["health"], stage.agents["ready_at"], stage.agents["weapon"][0], stage.agents["armour"][1] = 100, 0, weapon, armour
        stage.agents["level"], stage.agents["experience"] = 1, 0
        stage.step(striking(MELEE))
        assert 100 - stage.agents["health"][1] == damage


@pytest.mark.parametrize("why", ["town", "town of the other", "newborn", "newborn other", "nobody"])
def test_nobody_is_struck_in_towns_or_in_the_first_64_ticks(why):
    stage = Stage(agents=2)
    stage.put(0, 20, 20), stage.put(1, 20, 21)
    if why == "nobody":
        stage.put(1, 50, 50)
    if why.startswith("town"):
        stage.ground(20, 20 + (why != "town"), TOWN)
    if why.startswith("newborn"):
        stage.agents["born"][int(why != "newborn")] = 1000 - 62
    assert not stage.masks()[0, 6 + MELEE]
    stage.step(striking(MELEE))
    assert stage.agents["health"][1] == 100
    if why.startswith("newborn"):
        stage.step(striking(MELEE))
        assert stage.agents["health"][1] == 93, "64 ticks are over"


def test_a_kill_teaches_five_more_and_is_counted():
    stage = Stage(agents=2)
    stage.put(0, 20, 20), stage.put(1, 20, 21)
    stage.agents["health"][1] = 7
    stage.step(striking(MELEE))
    assert stage.agents["kills"].tolist() == [1, 0] and stage.agents["experience"][0].tolist() == [6, 0, 0, 0, 0, 0, 0, 0]
    assert stage.agents["level"][0, MELEE] == 2


# ------------------------------------------------------------------ rewards, lives

def test_staying_alive_and_levels_are_paid_and_in_survival_only_the_first():
    for goal, level in (("levels", 0.5), ("survival", 0.0)):
        stage = Stage(goal=goal, reward_alive=0.25, reward_level=0.5)
        stage.put(0, 20, 20), stage.ground(20, 20, item=TREE)
        stage.agents["experience"][0, LUMBER] = 3
        assert stage.step(IDLE)[0][0] == 0.25 + level
        assert stage.step(IDLE)[0][0] == 0.25


def test_a_life_is_recorded_with_all_that_was_done_in_it():
    stage = Stage(agents=2)
    stage.put(0, 20, 20), stage.put(1, 20, 24)
    stage.agents["born"], stage.agents["goods"][0, ORE], stage.agents["gold"][0], stage.agents["regions"] = 1000, 3, 5, 0
    stage.ground(20, 20, item=TREE), stage.ground(20, 22, TOWN)
    for action in (IDLE, walking(RIGHT), walking(RIGHT), selling(ORE), giving(ORE), IDLE):
        stage.step(action)
    stage.agents["health"][0] = stage.agents["water"][0] = 0
    stage.step()
    life, = stage.env.lives()
    assert life["born"] == 1000 and life["age"] == 7 and life["world"] == life["agent"] == 0 and life["trade"] == -1
    shares = dict(zip(stage.env.activities, life["activity"] * 7, strict=True))
    assert {name: round(float(count)) for name, count in shares.items() if count > 0.5} == {"wood": 1, "walk": 2, "trade": 1, "idle": 3}
    paid = price(ORE, 1, 2)
    assert life["gold"] == 5 + paid and life["wealth"] == 5 + paid + 2 * PRICES[ORE] + PRICES[WOOD] and life["distance"] == 2
    assert (life["row"], life["column"]) == (20, 22) and life["trades"] == 1 and life["gathered"] == 1 and life["gifts"] == 0
    assert life["regions"] == 1 and len(stage.env.lives()) == 0, "each is given once"


def test_every_life_is_given_once_and_what_is_overwritten_is_counted():
    env = envs.make("mmo", 2, agents=8, size=32, seed=3, lifespan=5, report_interval=0)
    env.reset()
    found = []
    for step in range(60):
        env.step(np.zeros_like(env.actions))
        if step % 7 == 0:
            found.append(env.lives())
    found = np.concatenate([*found, env.lives()])
    assert len(found) == env.log()["n"] == 2 * 8 * 12 and env.lives_missed == 0
    assert set(found["world"].tolist()) == {0, 1} and (found["age"] == 5).all()
    for _ in range(500):
        env.step(np.zeros_like(env.actions))
    assert len(env.lives()) == 2 * 8 * 8 and env.lives_missed == 2 * 8 * 100 - 2 * 8 * 8


# ------------------------------------------------------------------ chance and the border

def test_the_order_of_acting_turns():
    """Of two who walk onto the same free cell, now one comes first and now the other."""
    winners = set()
    for tick in range(1000, 1008):
        stage = Stage(agents=2)
        stage.head["tick"] = tick
        stage.put(0, 20, 20), stage.put(1, 20, 22)
        stage.step(walking(RIGHT), walking(LEFT))
        winners.add([n for n in range(2) if stage.place(n) == (20, 21)][0])
    assert winners == {0, 1}


@pytest.mark.parametrize("arguments, sentence", [
    ({"agents": 0}, "agents=0 given, expected a whole number from 1 to 16,384"),
    ({"agents": 1024, "size": 64}, "size=64 given, expected at least 128 for 1,024 inhabitants: 16 cells each"),
    ({"size": 2**31}, "size=2147483648 given, expected a whole number from 32 to 2,048"),
    ({"goal": "win"}, "goal='win' given, expected one of 'levels', 'survival'"),
    ({"lifespan": 0}, "lifespan=0 given, expected a whole number from 1 to 1,000,000,000"),
    ({"seasons": 1}, "seasons=1 given, expected True or False"),
    ({"natives": 2**31}, "natives=2147483648 given, expected a whole number from 0 to 16,384"),
])
def test_what_does_not_fit_is_refused_in_one_sentence(arguments, sentence):
    with pytest.raises(ValueError) as error:
        envs.make("mmo", **arguments)
    assert str(error.value) == sentence


def test_a_batch_beyond_32_bits_is_refused_in_one_sentence():
    with pytest.raises(ValueError, match=r"num_envs=10000 given, expected at most [\d,]+, because each environment has [\d,]+ numbers"):
        envs.make("mmo", 10_000)
