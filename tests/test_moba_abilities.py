"""Each ability of the five heroes of `moba` does what moba_combat.pxd says, costs its mana, cools down, and spares towers."""

import numpy as np
import pytest
from moba_stage import ASSASSIN, BURST, CARRY, COSTS, HALF, SUPPORT, TANK, E, Q, Stage, W

ROW, COLUMN = 64, 63                            # the middle of the map: open ground all around
RIVAL, SECOND = HALF + TANK, HALF + CARRY


def scene(hero, rival=(0, 3), second=None, level=1, **fields):
    """A stage with `hero` in the middle, a rival tank so many rows and columns away, perhaps another one; no basic attacks."""
    stage = Stage()
    stage.put(hero, ROW, COLUMN, level=level, **fields)
    stage.put(RIVAL, ROW + rival[0], COLUMN + rival[1])
    if second:
        stage.put(SECOND, ROW + second[0], COLUMN + second[1])
    stage.entities["attack_at"] = 1000
    return stage


def lost(stage, id=RIVAL):
    """Health that an entity has lost."""
    return int(stage.entities["max_health"][id] - stage.entities["health"][id])


@pytest.mark.parametrize("level", [1, 9])
@pytest.mark.parametrize("hero, ability, first, more", [(SUPPORT, Q, 50, 10), (SUPPORT, E, 30, 8), (ASSASSIN, W, 70, 18),
                                                        (BURST, Q, 90, 20), (BURST, W, 50, 10), (BURST, E, 20, 4), (TANK, Q, 50, 10),
                                                        (TANK, E, 20, 6), (CARRY, W, 50, 14), (CARRY, E, 30, 8)])
def test_an_ability_hurts_as_much_as_its_level_says(hero, ability, first, more, level):
    stage = scene(hero, (0, 2), level=level)
    stage.step({hero: ability})
    assert lost(stage) == first + more * level


@pytest.mark.parametrize("hero", range(5))
@pytest.mark.parametrize("ability", [Q, W, E])
def test_an_ability_costs_its_mana_once_and_cools_down(hero, ability):
    stage = scene(hero, (0, 2))
    stage.entities["health"][hero] = 300
    stage.put(HALF + 5, ROW + 1, COLUMN + 1, kind=1, health=450, max_health=450, lane=1, target=-1, reach=1, speed=0)
    which = ability[3:].index(1)
    stage.heroes["mana"][hero] = 99
    stage.step({hero: ability}, ticks=2)
    assert stage.heroes["mana"][hero] == 100 - COSTS[hero][which]
    assert stage.heroes["ready_at"][hero][which] > stage.game["tick"] + 10
    seen = stage.env.observations[hero, 495:498]
    assert seen[which] == 0 and (seen[np.arange(3) != which] == (np.delete(COSTS[hero], which) <= 100 - COSTS[hero][which])).all()
    stage.heroes["ready_at"][hero], stage.heroes["mana"][hero] = 0, COSTS[hero][which] - 2
    before = stage.entities.copy()
    stage.step({hero: ability})
    assert stage.heroes["ready_at"][hero][which] == 0, "too little mana: nothing happens"
    assert abs(lost(stage) - int(before["max_health"][RIVAL] - before["health"][RIVAL])) <= 1, "but a little that comes back"


@pytest.mark.parametrize("hero, ability", [(SUPPORT, Q), (SUPPORT, E), (ASSASSIN, W), (BURST, Q), (TANK, E), (CARRY, Q), (CARRY, W)])
def test_an_ability_without_its_target_in_reach_costs_nothing(hero, ability):
    stage = scene(hero, (0, 9))
    stage.step({hero: ability})
    assert stage.heroes["mana"][hero] >= 99 and not stage.heroes["ready_at"][hero].any() and lost(stage) == 0


@pytest.mark.parametrize("hero", range(5))
def test_abilities_do_nothing_to_towers_and_ancients(hero):
    stage = Stage()
    tower = HALF + 91
    row, column = stage.cell(tower)
    stage.put(hero, row, column + 2, max_health=9999, health=9999)
    stage.entities["attack_at"] = 1000
    for ability in (Q, W, E):
        stage.heroes["mana"][hero] = 100
        stage.step({hero: ability})
    assert stage.entities["health"][tower] == 1800


def test_hook_pulls_the_target_beside_the_support():
    stage = scene(SUPPORT, (0, 5))
    stage.step({SUPPORT: Q})
    assert stage.distance(SUPPORT, RIVAL) < 1.5 and stage.cell(SUPPORT) == (ROW, COLUMN)


def test_heal_heals_heroes_and_creeps_around_and_no_rival():
    stage = scene(SUPPORT, (0, 2))
    stage.put(BURST, ROW + 2, COLUMN, health=100), stage.put(TANK, ROW + 5, COLUMN - 3, health=100)
    stage.creep(0, 7, ROW - 1, COLUMN, health=100, speed=0, attack_at=1000)
    stage.entities["health"][SUPPORT] = stage.entities["health"][RIVAL] = 100
    stage.step({SUPPORT: W})
    healed = [int(stage.entities["health"][id]) - 100 for id in (SUPPORT, BURST, 5 + 7, TANK, RIVAL)]
    assert np.allclose(healed, [72, 72, 72, 0, 0], atol=1)


def test_stun_keeps_a_hero_from_walking_casting_and_attacking():
    stage = scene(SUPPORT, (0, 2))
    stage.step({SUPPORT: E})
    place = stage.cell(RIVAL)
    assert stage.env.observations[5 + TANK, 484 + 15] == 1
    stage.entities["attack_at"] = 0
    stage.entities["attack_at"][SUPPORT] = 1000
    before = int(stage.entities["health"][SUPPORT])
    stage.step({5 + TANK: (0, 0, 0, 1, 1, 1)}, ticks=11)
    assert stage.cell(RIVAL) == place and stage.entities["health"][SUPPORT] >= before and not stage.heroes["ready_at"][5 + TANK].any()
    stage.step({5 + TANK: (3, 6, 0, 0, 0, 0)}, ticks=6)
    assert stage.cell(RIVAL) != place and stage.entities["health"][SUPPORT] < before


def test_cull_hurts_creeps_and_neutrals_but_no_heroes():
    stage = scene(ASSASSIN, (0, 2))
    stage.creep(1, 0, ROW + 1, COLUMN, speed=0)
    stage.creep(1, 1, ROW + 4, COLUMN, speed=0)
    stage.put(55, ROW - 1, COLUMN - 1)
    stage.step({ASSASSIN: Q})
    assert [lost(stage, id) for id in (RIVAL, HALF + 5, 55, HALF + 6)] == [0, 140, 140, 0]


def test_strike_leaps_beside_the_target():
    stage = scene(ASSASSIN, (3, 4))
    stage.step({ASSASSIN: W})
    assert stage.distance(ASSASSIN, RIVAL) < 1.5 and stage.cell(RIVAL) == (ROW + 3, COLUMN + 4)


def test_haste_makes_half_again_as_fast():
    far = []
    for cast in (False, True):
        stage = scene(ASSASSIN, (0, 9))
        stage.step({ASSASSIN: E} if cast else {})
        x = int(stage.entities["x"][ASSASSIN])
        stage.step({ASSASSIN: (3, 0, 0, 0, 0, 0)}, ticks=10)
        far.append(x - int(stage.entities["x"][ASSASSIN]))
    assert far == [1400, 2100]


def test_the_stun_of_the_burst_stuns_all_around_and_only_them():
    stage = scene(BURST, (0, 2), (2, 0))
    stage.put(HALF + SUPPORT, ROW - 4, COLUMN)
    stage.step({BURST: E})
    assert [int(stage.entities["stunned_until"][id]) > 10 for id in (RIVAL, SECOND, HALF + SUPPORT, BURST)] == [True, True, False, False]


def test_blast_slam_and_volley_hurt_all_around_within_their_reach():
    for hero, ability, inside, outside in ((BURST, W, 3, 4), (TANK, Q, 2, 3), (CARRY, E, 4, 5)):
        stage = scene(hero, (0, inside), (outside, 0))
        stage.step({hero: ability})
        assert lost(stage) > 0 and lost(stage, SECOND) == 0


def test_the_tank_heals_itself():
    stage = scene(TANK, (0, 9))
    stage.entities["health"][TANK] = 300
    stage.step({TANK: W})
    assert abs(int(stage.entities["health"][TANK]) - 410) <= 1


def test_charge_leaps_to_the_target_and_pushes_all_around_away():
    stage = scene(TANK, (0, 4), (-2, 4))
    stage.step({TANK: E})
    assert stage.distance(TANK, RIVAL) > 2 and stage.distance(TANK, SECOND) > 2
    assert abs(stage.cell(TANK)[1] - COLUMN - 4) <= 1, "it stands where the target stood, or beside it"
    assert (stage.entities["slowed_until"][[RIVAL, SECOND]] > stage.game["tick"]).all()


def test_the_carry_leaps_back_and_slows_all_around():
    stage = scene(CARRY, (0, 3))
    stage.step({CARRY: Q})
    assert stage.cell(CARRY) == (ROW, COLUMN - 3)
    assert stage.entities["slowed_until"][RIVAL] == 0, "it was slowed within 5 cells of where the carry landed"
    stage = scene(CARRY, (0, 1))
    stage.step({CARRY: Q})
    assert stage.cell(CARRY) == (ROW, COLUMN - 3) and stage.entities["slowed_until"][RIVAL] > 15


def test_a_shot_halves_the_speed_of_one():
    stage = scene(CARRY, (0, 3), (2, 3))
    stage.step({CARRY: W})
    slowed = stage.entities["slowed_until"]
    assert slowed[RIVAL] > 10 and slowed[SECOND] == 0
    before = stage.entities["x"][[RIVAL, SECOND]].astype(int)
    stage.step({5 + TANK: (3, 0, 0, 0, 0, 0), 5 + CARRY: (3, 0, 0, 0, 0, 0)}, ticks=8)
    walked = np.abs(stage.entities["x"][[RIVAL, SECOND]] - before)
    assert walked.tolist() == [8 * 62, 8 * 128]


@pytest.mark.parametrize("preference, expected", [(0, HALF + 5), (1, HALF + 6), (2, RIVAL)])
def test_the_basic_attack_goes_for_whom_the_agent_prefers(preference, expected):
    """The nearest is a creep, the weakest another one, the hero is the third."""
    stage = scene(SUPPORT, (0, 3))
    stage.creep(1, 0, ROW + 1, COLUMN, speed=0, attack_at=1000), stage.creep(1, 1, ROW - 2, COLUMN, health=150, speed=0, attack_at=1000)
    stage.entities["attack_at"][SUPPORT] = 0
    before = stage.entities["health"].copy()
    stage.step({SUPPORT: (3, 3, preference, 0, 0, 0)})
    assert np.flatnonzero(stage.entities["health"] < before).tolist() == [expected]


def test_a_basic_attack_comes_at_the_heros_pace_and_within_its_reach():
    stage = scene(SUPPORT, (0, 4))
    stage.entities["attack_at"][SUPPORT] = 0
    stage.step(ticks=17)
    assert abs(lost(stage) - 3 * 46) <= 5, "ticks 2, 10, 18; a little comes back"
    stage = scene(TANK, (0, 2))
    stage.entities["attack_at"][TANK] = 0
    stage.step()
    assert lost(stage) == 0, "two cells are too far for a tank"
    stage.step({TANK: (3, 6, 0, 0, 0, 0)}, ticks=4)
    assert lost(stage) > 0


def test_nobody_walks_through_trees_or_others():
    stage = scene(SUPPORT, (0, 1))
    for _ in range(20):
        stage.step({SUPPORT: (3, 6, 0, 0, 0, 0)})
        assert stage.cell(SUPPORT) != stage.cell(RIVAL)
    stage = Stage()
    stage.put(SUPPORT, 122, 3)
    stage.step({SUPPORT: (3, 0, 0, 0, 0, 0)}, ticks=60)
    assert stage.cell(SUPPORT)[1] >= 0
    assert stage.env.observations[SUPPORT, :484].reshape(11, 11, 4)[5, 5, 0] == 4
