"""moba: the grid is what the entities make of it, observations are what the docstring says, and its rules hold: waves, towers, rewards."""

import numpy as np
import pytest
from environments import random_actions
from moba_stage import BORDER, CREEP, HALF, IDLE, Stage, games, grid_of, observation_of

import envs
from envs.core.battlefield import TREE, battlefield


def forth(env, random):
    """Random actions that lead along the lane most of the time, so that there is fighting."""
    actions = (random.random_sample(env.actions.shape) * [7, 7, 3, 2, 2, 2]).astype(np.int32)
    on = random.random_sample(len(actions)) < 0.8
    actions[on, :2] = (3 * env.observations[:, 508:510].astype(np.int32))[on]
    return actions


def course(num_steps, every=1, seed=0, **settings):
    """Plays two games and yields the environment after every so many steps, in all stages of a game."""
    env = envs.make("moba", 2, seed=seed, report_interval=0, **settings)
    env.reset()
    random = np.random.RandomState(seed)
    for step in range(num_steps):
        env.step(forth(env, random))
        if step % every == 0:
            yield env


# ------------------------------------------------------------------ the grid and what is seen of it

@pytest.mark.parametrize("settings", [{"agents": 10}, {"agents": 5}, {"agents": 10, "autopilot": True}])
def test_ids_picture_bitboards_and_sets_are_those_of_the_entities(settings):
    blank = battlefield().terrain == TREE
    dead = 0
    for env in course(3000, every=37, **settings):
        for game in games(env):
            expected = grid_of(game)
            for name, value in expected.items():
                assert np.array_equal(game[name], value), name
            inside = game["ids"][BORDER:-BORDER, BORDER:-BORDER] == 255
            assert np.array_equal(inside, blank) and (game["ids"] == 255).sum() == blank.sum() + 144 * 144 - 128 * 128
            assert (game["awake"] & ~game["neutrals"] == 0).all()
            dead += int((game["entities"]["alive"][:5] == 0).sum())
    assert dead > 0, "somebody died on the way"


@pytest.mark.parametrize("settings", [{"agents": 10}, {"agents": 5, "max_ticks": 900}, {"agents": 10, "autopilot": True}])
def test_observations_are_those_of_a_slow_recomputation(settings):
    """Window, scalars and records, for both sides, alive and dead."""
    flow = battlefield().flow
    dead = full = 0
    for env in course(2600, every=61, seed=1, **settings):
        for i, game in enumerate(games(env)):
            for agent in range(env.agents):
                expected = observation_of(game, agent, env.max_ticks, flow)
                found = env.observations[i * env.agents + agent]
                wrong = np.flatnonzero(expected != found)
                assert len(wrong) == 0, f"agent {agent}, numbers {wrong[:8]}: expected {expected[wrong[:8]]}, found {found[wrong[:8]]}"
                dead += expected[484 + 18] > 0
                full += expected[-8:].any()
    assert dead > 0 and full > 0, "the dead were seen, and windows of ten and more"


def test_rows_and_columns_are_not_exchanged_in_any_plane():
    """A rival three cells up and one to the right is there in the window, in the record, and in the mirror image of it for its own side."""
    stage = Stage()
    stage.put(0, 66, 61, health=240)
    stage.put(HALF + 3, 63, 62, health=170, level=7)
    stage.heroes["mana"][8] = 49                        # one more comes back in this tick
    stage.entities["attack_at"] = 99
    stage.step()
    window, record = stage.env.observations[0, :484].reshape(11, 11, 4), stage.env.observations[0, 510:518]
    assert window[5 - 3, 5 + 1].tolist() == [8, 170 * 255 // 680, 50 * 255 // 100, 7]
    assert window[5, 5, 0] == 4 and (window[..., 0] >= 7).sum() == 1
    assert record[:6].tolist() == [96 - 48, 96 + 16, 0, 1, 1, 0]
    window = stage.env.observations[8, :484].reshape(11, 11, 4)
    assert window[5 - 3, 5 + 1, 0] == 8 and window[5, 5].tolist() == [4, 170 * 255 // 680, 50 * 255 // 100, 7]


def test_the_first_observation_shows_a_hero_at_its_base_for_either_side():
    env = envs.make("moba", 2, seed=0, agents=10)
    observations, _ = env.reset()
    assert np.array_equal(observations[:5], observations[5:10]), "both sides see the same"
    assert (observations[:, :484:4] == 4).sum(1).min() == 5, "five heroes stand together"
    assert (observations[:, 484] == 255).all() and (observations[:, 486] == 1).all() and (observations[:, 506:508] == 11).all()
    assert np.array_equal(observations[:, 490:495], np.tile(np.eye(5), (4, 1)))


def test_the_declared_bounds_are_reached():
    """A bound that no value comes near would waste the scale that a network divides by."""
    largest = np.zeros(590, np.uint8)
    for env in course(6000, every=5, seed=4, agents=10, autopilot=True):
        np.maximum(largest, env.observations.max(0), out=largest)
    high = env.single_observation_space.high
    assert (largest <= high).all()
    window = largest[:484].reshape(11, 11, 4)
    assert window[5, 5].tolist() == [4, 255, 255, largest[486]] and np.median(window[..., 0]) >= 8 and window[..., 0].max() == 10
    assert window[..., 1].min() == 255 and np.median(window[..., 2]) > 200
    assert np.array_equal(largest[490:502] > 0, np.ones(12, bool)) and largest[484 + 24] == largest[484 + 25] == 2
    records = largest[510:].reshape(10, 8)
    assert records[:, :2].min() > 150 and (records[:, 2:6] == 1).all()


# ------------------------------------------------------------------ the map

def test_all_places_can_be_walked_to_and_every_lane_leads_to_the_rival_ancient():
    made = battlefield()
    places = made.places[made.places[:, 0] >= 0]
    assert len(places) == 5 + 3 + 36 + 11 + 1 and (made.terrain[tuple(places.T)] != TREE).all()
    for lane, (row, column) in enumerate(made.places[5:8].tolist()):
        steps = 0
        while made.flow[lane, row, column] != 4:
            down, right = divmod(int(made.flow[lane, row, column]), 3)
            row, column, steps = row + down - 1, column + right - 1, steps + 1
            assert steps < 260 and made.terrain[row, column] != TREE
        assert (row, column) == (10, 117)
    walkable = made.distance[made.terrain != TREE]
    assert (walkable == 255).mean() < 0.01, "hardly a cell is cut off"


# ------------------------------------------------------------------ waves, neutrals, towers

def test_a_wave_of_five_sets_out_on_each_lane_every_150_ticks():
    env = envs.make("moba", 1, seed=0, agents=10)
    env.reset()
    ticks, counts = [], []
    for _ in range(310):
        env.actions[:] = IDLE
        env.step(env.actions)
        entities = env.entities()
        creeps = entities[(entities["kind"] == CREEP) & entities["alive"]]
        if not counts:
            assert np.array_equal(np.bincount(creeps["lane"]), [10, 10, 10]) and np.array_equal(np.bincount(creeps["side"]), [15, 15])
        counts.append(len(creeps))
        if len(counts) > 1 and counts[-1] > counts[-2]:
            ticks.append(len(counts))
    assert counts[0] == 30 and ticks == [151, 301]


def test_creeps_of_one_lane_meet_and_fight():
    env = envs.make("moba", 1, seed=0, agents=10)
    env.reset()
    for _ in range(700):
        env.actions[:] = IDLE
        env.step(env.actions)
    entities = env.entities()
    creeps = entities[(entities["kind"] == CREEP) & entities["alive"]]
    assert (creeps["health"] < creeps["max_health"]).sum() >= 6 and len(creeps) < 150
    middle = creeps[creeps["lane"] == 1]
    assert abs(middle["y"] + middle["x"] - 127).max() < 16, "those of the middle keep to the diagonal"


def test_neutrals_stand_still_until_somebody_comes_near_and_come_back_after_600_ticks():
    stage = Stage()
    ids = np.arange(55, 59)
    before = [stage.cell(n) for n in ids]
    stage.step(ticks=100)
    assert [stage.cell(n) for n in ids] == before and (stage.entities["health"][ids] == 500).all()
    stage.put(3, before[0][0] - 2, before[0][1])                            # the tank
    stage.step(ticks=30)
    assert stage.entities["health"][3] < 680 and min(stage.entities["health"][ids]) < 500
    for n in ids:
        stage.entities["alive"][n] = 0
    stage.put(3, 124, 5)
    stage.game["tick"] = 590
    stage.step(ticks=9)
    assert not stage.entities["alive"][ids].any()
    stage.step()
    assert stage.entities["alive"][ids].all() and [stage.cell(n) for n in ids] == before and (stage.entities["health"][ids] == 500).all()


def test_neutrals_let_go_of_who_runs_and_walk_home():
    stage = Stage()
    row, column = stage.cell(55)
    stage.put(0, row - 3, column, max_health=5000, health=5000)
    stage.step(ticks=12)
    assert stage.cell(55) != (row, column), "it went for the hero"
    stage.put(0, 122, 4)
    stage.step(ticks=80)
    assert stage.cell(55) == (row, column) and stage.game["awake"][0] == 0


def test_towers_fall_from_the_outermost_inwards_and_the_ancient_last():
    stage = Stage()

    def tower(lane, tier):
        return HALF + 91 + 3 * (tier - 1) + lane

    assert stage.entities["exposed"][HALF + 91:HALF + 103].tolist() == [1, 1, 1] + [0] * 9
    order = [(0, 1), (0, 2), (0, 3)]
    for n, (lane, tier) in enumerate(order):
        stage.entities["health"][tower(lane, tier)] = 1
        row, column = stage.cell(tower(lane, tier))
        stage.put(4, row, column + 2, max_health=9999, health=9999)
        inner = stage.entities["health"][HALF + 100]
        stage.step(ticks=10)
        assert not stage.entities["alive"][tower(lane, tier)] and stage.game["fallen"].tolist() == [0, n + 1]
        assert stage.entities["exposed"][tower(0, min(tier + 1, 3))] and stage.entities["health"][HALF + 100] == inner
    assert stage.entities["exposed"][HALF + 100] and stage.entities["exposed"][HALF + 101] and not stage.entities["exposed"][HALF + 102]
    for id in (HALF + 100, HALF + 101):
        stage.entities["health"][id] = 1
        row, column = stage.cell(id)
        stage.put(4, row, column + 2, max_health=9999, health=9999)
        stage.step(ticks=10)
        assert not stage.entities["alive"][id]
    assert stage.entities["exposed"][HALF + 102] and stage.entities["health"][HALF + 102] == 4500


def test_a_tower_that_is_not_exposed_is_not_hurt():
    stage = Stage()
    id = HALF + 94
    row, column = stage.cell(id)
    stage.put(4, row, column + 2, max_health=9999, health=9999)
    stage.step(ticks=30)
    assert stage.entities["health"][id] == 2500 and stage.entities["health"][4] < 9999, "it shoots all the same"


def test_the_game_is_won_when_an_ancient_falls():
    stage = Stage()
    for id in range(HALF + 91, HALF + 102):
        stage.entities["alive"][id] = 0
    stage.game["fallen"][1] = stage.game["known_fallen"][1] = 11
    stage.entities["exposed"][HALF + 102], stage.entities["health"][HALF + 102] = 1, 1
    row, column = stage.cell(HALF + 102)
    stage.put(4, row, column - 2)
    stage.write()
    stage.env.actions[:] = IDLE
    _, rewards, terminals, truncations, _ = stage.env.step(stage.env.actions)
    assert terminals.all() and not truncations.any()
    assert (rewards[:5] > 4).all() and (rewards[5:] < -4).all()
    log = stage.env.log()
    assert log["n"] == 10 and log["score"] == 0.5 and log["lost"] == 0.5 and log["towers"] == 5.5
    assert stage.env.situation()["tick"] == 0 and (stage.env.observations[:, 486] == 1).all(), "the next game has begun"


def test_the_end_of_time_is_a_truncation_with_the_last_observation_kept():
    env, longer = (envs.make("moba", 2, seed=0, max_ticks=ticks) for ticks in (50, 500))
    env.reset(), longer.reset()
    for step in range(50):
        _, _, terminals, truncations, _ = env.step(env.actions)
        longer.step(longer.actions)
        assert not terminals.any() and truncations.all() == (step == 49)
    clock = 484 + 19
    same = np.delete(np.arange(590), clock)
    assert np.array_equal(env.final_observations[:, same], longer.observations[:, same]) and (env.final_observations[:, clock] == 255).all()
    assert (env.observations[:, clock] == 0).all()


# ------------------------------------------------------------------ death, experience, rewards

def test_a_dead_hero_comes_back_at_its_base_after_its_time():
    stage = Stage(reward_death=-0.5)
    stage.put(0, 64, 63, attack_at=99), stage.put(HALF + 4, 64, 65, attack_at=3)
    stage.step()
    stage.entities["health"][0] = 1
    rewards = stage.step()
    assert not stage.entities["alive"][0] and stage.heroes["deaths"][0] == 1 and stage.heroes["kills"][9] == 1
    assert rewards[0] < -0.4 and stage.env.observations[0, :484].max() == 0 and stage.env.observations[0, 484 + 18] == 46
    stage.step(ticks=45)
    assert not stage.entities["alive"][0]
    stage.step()
    assert stage.entities["alive"][0] and stage.cell(0) == (122, 4) and stage.entities["health"][0] == stage.entities["max_health"][0]


def test_experience_is_shared_by_the_heroes_near_and_brings_levels():
    stage = Stage()
    stage.put(0, 64, 62), stage.put(1, 64, 65), stage.put(2, 90, 37)
    stage.put(HALF + 4, 64, 63, health=1)
    stage.heroes["experience"][9] = 1538
    stage.step()
    gained = 100 + 1538 * 100 // 769
    assert stage.heroes["experience"][:3].tolist() == [gained // 2, gained // 2, 0]
    assert stage.entities["level"][0] == 2 and stage.entities["max_health"][0] == 510 and stage.entities["damage"][0] == 52


def test_the_30_levels_need_what_the_table_says():
    stage = Stage()
    for level in range(2, 31):
        for short in (0, 1):                            # killing a hero without experience brings 100
            stage.game["tick"], stage.heroes["experience"][9] = 1, 0
            stage.entities["attack_at"] = 0
            stage.entities["level"][0], stage.heroes["experience"][0] = 1, 60 * level * (level - 1) - 100 - short
            stage.put(0, 64, 62), stage.put(HALF + 4, 64, 63, health=1)
            stage.step(ticks=8)
            assert stage.entities["level"][0] == level - short


@pytest.mark.parametrize("name, weight", [("reward_death", -3.0), ("reward_xp", 0.5), ("reward_tower", 2.0), ("reward_distance", 4.0)])
def test_each_reward_has_its_weight_and_no_other(name, weight):
    """One thing at a time is worth something; what it brings is counted in the state."""
    weights = dict.fromkeys(("reward_death", "reward_xp", "reward_distance", "reward_tower", "reward_win"), 0.0) | {name: weight}
    env = envs.make("moba", 1, seed=5, agents=10, autopilot=True, max_ticks=20_000, report_interval=0, **weights)
    env.reset()
    total, distance = np.zeros(10), battlefield().distance
    counts = {"reward_death": lambda e, h, s: h["deaths"], "reward_xp": lambda e, h, s: h["experience"],
              "reward_tower": lambda e, h, s: np.repeat([s["fallen"][1] - s["fallen"][0], s["fallen"][0] - s["fallen"][1]], 5),
              "reward_distance": lambda e, h, s: -np.array([steps_to_go(e[n // 5 * HALF + n % 5], distance) for n in range(10)])}

    def count():
        return np.array(counts[name](env.entities(), env.heroes(), env.situation()), float)

    first = count()
    for step in range(8000):
        total += env.step(env.actions)[1]
        if step > 3000 and np.any(total):
            break
    assert np.allclose(total, weight * (count() - first), atol=1e-2) and np.abs(total).max() > 0


def steps_to_go(entity, distance):
    row, column = int(entity["y"]), int(entity["x"])
    return int(distance[row, column] if entity["side"] == 0 else distance[127 - row, 127 - column])


def test_standing_still_earns_nothing_and_walking_to_and_fro_neither():
    env = envs.make("moba", 1, seed=0, agents=10, max_ticks=20_000)
    env.reset()
    total = np.zeros(10)
    for step in range(280):                             # before the creeps meet
        env.actions[:] = IDLE
        if step < 140:
            env.actions[:, :2] = (0, 6) if step // 10 % 2 else (6, 0)
        total += env.step(env.actions)[1]
    assert np.abs(total).max() < 0.15


def test_a_death_takes_back_what_the_way_had_earned():
    """Running to the enemy and dying there again and again pays nothing."""
    stage = Stage(reward_death=0.0, reward_xp=0.0)
    total = 0.0
    stage.write()
    flow = slice(508, 510)
    for _ in range(1200):
        stage.env.actions[:] = IDLE
        stage.env.actions[2, :2] = 3 * stage.env.observations[2, flow].astype(np.int32)
        total += float(stage.env.step(stage.env.actions)[1][2])
    stage.read()
    assert stage.heroes["deaths"][2] >= 2
    assert abs(total) < 2 * 127 * 0.01, "no more than the way from the base to where it stands"


# ------------------------------------------------------------------ chance

def seen_under(seed, steps, **settings):
    """Every observation of one game under the same random actions, whatever the seed."""
    env = envs.make("moba", 1, seed=seed, report_interval=0, **settings)
    random, rows = np.random.RandomState(3), [env.reset()[0].copy()]
    for _ in range(steps):
        rows.append(env.step(random_actions(env, random))[0].copy())
    return np.stack(rows)


@pytest.mark.parametrize("settings", [{}, {"first": 0}, {"agents": 10}], ids=["team", "no coin", "both teams"])
def test_a_game_under_another_seed_begins_alike_and_goes_another_way(settings):
    """Chance is seen only where somebody has to step around something: a comparison of too few ticks finds no seed at all."""
    games = [seen_under(seed, 200, **settings) for seed in range(4)]
    assert np.array_equal(games[0], seen_under(0, 200, **settings))
    first = [int((games[i] != games[j]).any((1, 2)).argmax()) for i in range(4) for j in range(i)]
    assert min(first) > 5, "nothing is drawn that is seen at once"
    assert all((games[i] != games[j]).any() for i in range(4) for j in range(i))


# ------------------------------------------------------------------ settings

@pytest.mark.parametrize("agents", [1, 5, 7, 10])
def test_the_first_heroes_are_the_agents_and_the_others_are_scripted(agents):
    env = envs.make("moba", 1, seed=0, agents=agents)
    env.reset()
    before = env.entities()
    for _ in range(60):
        env.actions[:] = IDLE
        env.step(env.actions)
    walked = np.hypot(env.entities()["y"] - before["y"], env.entities()["x"] - before["x"])
    walked = np.concatenate([walked[:5], walked[HALF:HALF + 5]])
    assert env.observations.shape == (agents, 590) and (walked[:agents] == 0).all() and (walked[agents:] > 15).all()


@pytest.mark.parametrize("settings, words", [({"agents": 11}, "expected a whole number from 1 to 10"),
                                             ({"max_ticks": 0}, "expected a whole number from 1 to 1,000,000"),
                                             ({"first": 2}, "expected a whole number from 0 to 1"), ({"reward_win": np.nan}, "a finite number"),
                                             ({"rivals": "kind"}, "expected one of 'plain', 'strong'")])
def test_settings_out_of_range_are_one_sentence(settings, words):
    with pytest.raises(ValueError, match=words):
        envs.make("moba", **settings)


def test_continuous_actions_mean_what_discrete_ones_mean():
    """The seven speeds, the three preferences and the three abilities, given as numbers."""
    whole, real = (envs.make("moba", 2, seed=9, agents=10, continuous=continuous) for continuous in (False, True))
    whole.reset(), real.reset()
    random = np.random.RandomState(0)
    for _ in range(600):
        actions = forth(whole, random)
        actions[:, :2] = actions[:, :2] // 3 * 3                # full speed or none: a third of it is rounded otherwise
        rows = (actions / [3, 3, 1, 0.5, 0.5, 0.5] - 1).astype(np.float32)
        assert np.array_equal(whole.step(actions)[0], real.step(rows)[0])
