"""The minds of `moba`: looking around on every fourth tick changes little, scripted heroes finish games, neither side is favoured."""

import numpy as np
import pytest
from moba_stage import CREEP, HALF, HERO, TOWER, Stage, games

import envs

CADENCE, SIGHT = 4, 1408


def scripted(num_envs, seed=0, **settings):
    env = envs.make("moba", num_envs, seed=seed, **{"agents": 10, "autopilot": True, "max_ticks": 20_000, "report_interval": 0} | settings)
    env.reset()
    return env


def nearest_rivals(game):
    """For each creep: (id, target, the nearest rival that it might see and attack or -1, distance of the target, of the nearest)."""
    entities = game["entities"]
    y, x = entities["y"].astype(np.int64), entities["x"].astype(np.int64)
    for creep in entities[(entities["kind"] == CREEP) & (entities["alive"] == 1)]:
        rivals = entities[(entities["alive"] == 1) & (entities["exposed"] == 1) & (entities["side"] == 1 - creep["side"])]["id"]
        down, right = (y[rivals] >> 8) - (creep["y"] >> 8), (x[rivals] >> 8) - (creep["x"] >> 8)
        far = np.hypot(y[rivals] - int(creep["y"]), x[rivals] - int(creep["x"]))
        far[(abs(down) > 5) | (abs(right) > 5) | (far >= SIGHT)] = np.inf
        best = int(rivals[far.argmin()]) if len(far) and np.isfinite(far.min()) else -1
        now = np.hypot(y[creep["target"]] - int(creep["y"]), x[creep["target"]] - int(creep["x"])) if creep["target"] >= 0 else np.inf
        yield int(creep["id"]), int(creep["target"]), best, now, far.min() if len(far) else np.inf


def test_a_rival_in_sight_is_never_overlooked_for_longer_than_the_cadence():
    """And a target is the nearest rival nearly always: where it is not, it was a moment ago, and is hardly further away."""
    env = scripted(1, seed=2)
    overlooked, nearest, all_targets, excess = {}, 0, 0, []
    for tick in range(1500):
        env.step(env.actions)
        if tick < 200:
            continue
        seen = set()
        for id, target, best, now, least in nearest_rivals(games(env)[0]):
            seen.add(id)
            overlooked[id] = overlooked.get(id, 0) + 1 if target < 0 <= best else 0
            assert overlooked[id] <= CADENCE, f"creep {id} has looked past a rival for {overlooked[id]} ticks"
            if target >= 0 and best >= 0:
                all_targets += 1
                nearest += target == best
                excess.append((now - least) / 256)
        overlooked = {id: count for id, count in overlooked.items() if id in seen}
    assert all_targets > 5000 and nearest / all_targets > 0.85 and np.mean(excess) < 0.1 and np.quantile(excess, 0.99) < 2


def test_every_tick_has_its_share_of_those_who_look_around():
    """Creeps get their first target on a tick that fits their slot, and all four remainders come up alike."""
    env = scripted(2, seed=3)
    before, ticks = games(env)["entities"]["target"].copy(), np.zeros(CADENCE, int)
    for _ in range(1500):
        env.step(env.actions)
        game = games(env)
        creeps = (game["entities"]["kind"] == CREEP) & (before < 0) & (game["entities"]["target"] >= 0)
        for i, id in zip(*np.nonzero(creeps), strict=False):
            assert (id % HALF - 5 - game["tick"][i]) % CADENCE == 0
            ticks[game["tick"][i] % CADENCE] += 1
        before = game["entities"]["target"].copy()
    assert ticks.sum() > 300 and ticks.min() > 0.6 * ticks.mean()


def test_a_dead_target_is_forgotten_on_the_next_tick():
    """Unless it was stunned itself; and no target is of the own side."""
    env, deaths = scripted(2, seed=4), 0
    dead = np.full((2, 206), -1)
    for _ in range(1200):
        env.step(env.actions)
        for i, game in enumerate(games(env)):
            entities = game["entities"]
            creeps = entities["kind"] == CREEP
            after = creeps & (entities["alive"] == 1) & (entities["target"] >= 0)
            assert (entities["side"][entities["target"][after]] != entities["side"][after]).all()
            gone = after & (entities["alive"][entities["target"]] == 0) & (entities["stunned_until"] <= game["tick"])
            assert not (gone & (dead[i] == entities["target"])).any()
            dead[i], deaths = np.where(gone, entities["target"], -1), deaths + gone.sum()
    assert deaths > 20


def test_creeps_walk_on_where_a_neighbour_stands_in_the_way():
    stage = Stage()
    stage.creep(0, 0, 64, 63), stage.creep(0, 1, 63, 64, speed=0)
    stage.step(ticks=60)
    row, column = stage.cell(5)
    assert column - row > 8, "it went round"


def test_scripted_heroes_heal_at_home_and_come_back():
    env = scripted(1, seed=5)
    healed = 0
    low = np.zeros(10, bool)
    for _ in range(4000):
        env.step(env.actions)
        entities = env.entities()
        heroes = entities[entities["kind"] == HERO]
        share = heroes["health"] / heroes["max_health"]
        healed += int((low & heroes["alive"] & (share > 0.9)).sum())
        low = ((share < 0.25) | (low & (share <= 0.9))) & heroes["alive"]
    assert healed >= 10


def test_scripted_heroes_keep_out_of_a_towers_reach_without_creeps_and_go_in_with_them():
    stage = Stage(autopilot=True)
    tower = HALF + 91 + 1                               # the first of the middle
    row, column = stage.cell(tower)
    for id in range(10):
        stage.entities["alive"][id // 5 * HALF + id % 5] = id == 2
        stage.heroes["back_at"][id] = 10_000
    stage.put(2, row + 4, column - 4)
    stage.step(ticks=45)
    assert stage.entities["health"][2] > 200 and stage.distance(2, tower) > 6, "it was hit on its way, and left"
    for n in range(4):
        stage.creep(0, n, row + 2, column - 2 - n, max_health=9999, health=9999)
    stage.put(2, row + 4, column - 4)
    before = int(stage.entities["health"][tower])
    stage.step(ticks=60)
    assert stage.entities["health"][tower] < before - 10 * 22 and stage.distance(2, tower) < 5 and stage.entities["kind"][tower] == TOWER


def finished_games(num_games, seed, **settings):
    """(winner, ticks) of the first game in each of `num_games` environments, played by ten scripted heroes."""
    env = scripted(num_games, seed=seed, **settings)
    winners, ticks = np.full(num_games, -1), np.zeros(num_games, int)
    for tick in range(1, 20_001):
        _, rewards, terminals, truncations, _ = env.step(env.actions)
        ended = (terminals | truncations)[::10] & (ticks == 0)
        ticks[ended] = tick
        won = ended & terminals[::10]
        winners[won] = (rewards[::10] < 0)[won]
        if ticks.all():
            break
    return winners, ticks


def test_ten_scripted_heroes_finish_games_and_either_side_may_win():
    winners, ticks = finished_games(16, seed=1)
    assert set(winners.tolist()) == {0, 1} and 2500 < ticks.min() and np.median(ticks) < 9000


def test_strong_rivals_win_most_games_against_plain_ones():
    winners, _ = finished_games(24, seed=1, rivals="strong")
    assert (winners == 1).mean() > 0.65


@pytest.mark.long
@pytest.mark.costly("envs/moba*.p*", "envs/*.py", "envs/core/*", "tests/moba_stage.py")
def test_each_side_wins_between_45_and_55_percent_of_a_thousand_scripted_games():
    winners = np.concatenate([finished_games(125, seed=seed)[0] for seed in range(100, 108)])
    assert len(winners) == 1000 and (winners >= 0).mean() > 0.99
    assert 0.45 < (winners[winners >= 0] == 0).mean() < 0.55
