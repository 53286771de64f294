"""The scripted minds of `mmo`: all four trades live long in one world, and each earns most where the ground is its own."""

import json
from pathlib import Path

import numpy as np
import pytest
from mmo_stage import (
    BORDER,
    FOREST,
    GRASS,
    HERBS,
    ORES,
    STONE,
    TOWN,
    TREE,
    WATER,
    Stage,
)

import envs
import puffer_min
from puffer_min.env.actions import random_choices

POLICIES = Path(puffer_min.__file__).parent / "policies"
FORAGER, MINER, HUNTER, TRADER = range(4)
RANDOM_AGE = 200                # median age at which random play dies


def scripted(agents, ticks, seed=0, **settings):
    """(the living, the lives that ended) after so many ticks of a scripted world."""
    env = envs.make("mmo", 1, seed=seed, agents=agents, autopilot=True, report_interval=0, **settings)
    env.reset()
    lives = []
    for tick in range(ticks):
        env.step(env.actions)
        if tick % 200 == 0:
            lives.append(env.lives())
    assert env.lives_missed == 0
    return env, env.people(), np.concatenate([*lives, env.lives()])


def test_all_trades_live_long_and_each_has_its_skill():
    env, people, lives = scripted(64, 2500, size=80)
    for trade in range(4):
        living, dead = people[people["trade"] == trade], lives[lives["trade"] == trade]
        ages = np.concatenate([living["age"], dead["age"]])
        assert np.median(living["age"]) > 2 * RANDOM_AGE and np.median(ages) > RANDOM_AGE, env.trades[trade]
    levels = np.array([people["levels"][people["trade"] == trade].mean(0) for trade in range(4)])
    for trade, skill in ((MINER, "mining"), (HUNTER, "range"), (HUNTER, "wood"), (TRADER, "crafting")):
        assert levels[:, env.skills.index(skill)].argmax() == trade, skill
    assert people["trades"][people["trade"] == TRADER].mean() > 2 * people["trades"][people["trade"] == HUNTER].mean()
    assert people["kills"][people["trade"] != HUNTER].mean() < 0.5 * people["kills"][people["trade"] == HUNTER].mean() + 0.1


@pytest.mark.long
@pytest.mark.costly("envs/mmo*.p*", "envs/core/*", "tests/mmo_stage.py")
def test_all_trades_are_there_and_well_after_ten_thousand_ticks_of_moving_seasons():
    env, people, lives = scripted(128, 10_000, size=112, lifespan=4000)
    for trade in range(4):
        living, late = people[people["trade"] == trade], lives[(lives["trade"] == trade) & (lives["born"] > 3000)]
        assert len(living) == 32 and np.median(living["age"]) > 2 * RANDOM_AGE
        assert living["food"].mean() > 50 and living["water"].mean() > 50 and len(late) < 0.5 * 32 * 7000 / RANDOM_AGE


def income(ground, item, ticks=500):
    """Gold that each trade's two inhabitants earn in a world of one ground, with some herbs, ponds and towns everywhere."""
    stage = Stage(agents=8, size=64, autopilot=True, seasons=False)
    stage.tiles[BORDER:-BORDER, BORDER:-BORDER, 0] = ground
    random = np.random.RandomState(1)
    grows = random.random_sample((64, 64))
    stage.nature[BORDER:-BORDER, BORDER:-BORDER] = np.where(grows < 0.06, HERBS, np.where(grows > 0.6, item, 0))
    for row in range(3, 64, 12):
        for column in range(3, 64, 12):
            stage.tiles[BORDER + row:BORDER + row + 2, BORDER + column:BORDER + column + 2, 0] = WATER
            stage.tiles[BORDER + row:BORDER + row + 3, BORDER + column + 6:BORDER + column + 8, 0] = TOWN
    special = stage.tiles[..., 0] != ground
    stage.nature[special] = 0
    stage.tiles[..., 2] = stage.nature
    stage.head["treasury"] = 10_000
    for n in range(8):
        stage.put(n, 8 + 6 * (n % 4), 20 + 24 * (n // 4))
        stage.agents["trade"][n], stage.agents["gold"][n] = n % 4, 0
    stage.store()
    earned = np.zeros(4)
    for tick in range(ticks):
        before = stage.env.people()["gold"]
        stage.env.step(stage.env.actions)
        gained = np.maximum(0, stage.env.people()["gold"] - before)
        earned += [gained[trade::4].sum() for trade in range(4)]
        if tick % 5 == 0:                               # the market sells on, so that its prices stay up
            stage.load()
            stage.head["stock"] = 0
            stage.env.set_state(stage.state)
    return earned


def test_each_gathering_trade_earns_more_on_its_own_ground_than_on_that_of_the_others():
    grounds = {FORAGER: (GRASS, HERBS), MINER: (STONE, ORES), HUNTER: (FOREST, TREE)}
    earned = np.array([income(*ground) for ground in grounds.values()])
    for n, trade in enumerate(grounds):
        assert earned[:, trade].argmax() == n, earned


def test_a_mind_drinks_eats_and_strikes_back():
    stage = Stage(agents=2, autopilot=True)
    stage.agents["trade"] = FORAGER
    stage.put(0, 20, 20), stage.put(1, 20, 21)
    stage.ground(22, 20, WATER)
    stage.agents["water"][0], stage.agents["food"][0], stage.agents["goods"][0, 0] = 30, 50, 2
    stage.step(ticks=3)
    assert stage.agents["water"][0] > 50 and stage.agents["food"][0] > 60
    stage.agents["striker"][0] = 1
    struck = []
    for _ in range(4):                                  # now and then the other walks away before it strikes
        stage.put(0, 20, 20), stage.put(1, 20, 21)
        stage.agents["health"][1] = 100
        stage.step()
        struck.append(stage.agents["health"][1] < 100)
    assert any(struck)


def test_a_hunter_strikes_for_a_full_purse_only():
    for gold, struck in ((5, False), (6, True)):
        stage = Stage(agents=2, autopilot=True)
        stage.put(0, 20, 20), stage.put(1, 20, 21)
        stage.agents["trade"], stage.agents["gold"][1], stage.agents["goods"][:, 0] = [HUNTER, FORAGER], gold, 5
        stage.step()
        assert (stage.agents["health"][1] < 100) == struck


# ---------------------------------------------------------------------- the policy that is shipped

def first_lives(choose, ticks, agents, seed):
    """(ages at the end of the first life of each agent, or after `ticks`; skills used by those who live then)."""
    env = envs.make("mmo", 1, seed=seed, agents=agents, report_interval=0)
    env.reset()
    ages = np.full(agents, ticks)
    for tick in range(ticks):
        env.step(choose(env))
        ended = env.terminals & (ages == ticks)
        ages[ended] = tick + 1
    people = env.people()
    return ages, (people["levels"][people["age"] == ticks] > 1).sum(1)


def test_the_policy_that_is_shipped_lives_five_times_as_long_as_chance_and_uses_three_skills():
    """In a world that it never saw. Half of its first lives are not over after 1,300 ticks; the median of random ones is some 250."""
    policy, chance = puffer_min.load_policy(POLICIES / "mmo.pt"), np.random.default_rng(0)
    learned, skills = first_lives(lambda env: policy.act(env.observations, env.action_masks()), 1300, 96, seed=5)
    random, _ = first_lives(lambda env: random_choices(env.single_action_space, env.action_masks(), chance), 600, 96, seed=5)
    assert 150 < np.median(random) < 300 and np.median(learned) >= 5 * np.median(random)
    assert np.median(skills) >= 3


def test_the_log_of_its_training_says_the_same():
    log = [json.loads(line) for line in (POLICIES / "mmo.jsonl").read_text().splitlines()]
    first, last = log[0], log[-9:]
    lives = sum(row["episodes"] for row in last)
    assert log[-1]["step"] >= 29_000_000 and lives > 500
    assert sum(row["score"] * row["episodes"] for row in last) / lives > 5 * first["score"]
