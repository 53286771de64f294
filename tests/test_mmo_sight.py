"""mmo: what is seen is what a slow recomputation sees, the grid is what the inhabitants make of it, and masks are the rules'."""

import numpy as np
import pytest
from mmo_stage import (
    DOWN,
    FISHES,
    FOREST,
    HERB,
    HERBS,
    IDLE,
    LEFT,
    MELEE,
    PILE,
    RANGE,
    RARE_HERBS,
    RIGHT,
    ROCK,
    STAY,
    STONE,
    THICKET,
    TOWN,
    UP,
    WATER,
    WOOD,
    Stage,
    bits_of,
    look_into,
    neighbours,
    observation_of,
    occupant_of,
    striking,
    views,
    walking,
    world_of,
)

import envs
from puffer_min.env.actions import legal_actions

# ------------------------------------------------------------------ what is seen, and what is legal

def played(num_steps, every, seed=0, **settings):
    """Plays two worlds with legal random actions; yields the environment after every so many steps."""
    env = envs.make("mmo", 2, seed=seed, report_interval=0, **settings)
    env.reset()
    random = np.random.RandomState(seed)
    for step in range(num_steps):
        env.step(legal_random(env, random))
        if step % every == 0:
            yield env


def legal_random(env, random):
    """A random legal choice in each part."""
    scores = random.random_sample((env.num_agents, 62)) * env.action_masks()
    starts = np.cumsum([0, 5, 4, 8, 15, 19, 11])
    return np.stack([scores[:, a:b].argmax(1) for a, b in zip(starts, starts[1:], strict=False)], 1).astype(np.int32)


CROWDED = {"agents": 60, "size": 40}


@pytest.mark.parametrize("settings", [CROWDED, CROWDED | {"natives": 20}, {"agents": 70, "size": 64, "autopilot": True, "lifespan": 300}])
def test_observations_are_those_of_a_slow_recomputation(settings):
    seen = np.zeros(614, bool)
    for env in played(800, 53, **settings):
        parts = look_into(env)
        for i in range(2):
            world = world_of(parts, i)
            for n in range(env.agents):
                found = env.observations[i * env.agents + n].copy()
                seen |= found > 0
                found[495 + 27] = 0
                expected = observation_of(world, n, env.size, env.lifespan)
                wrong = np.flatnonzero(expected != found)
                assert len(wrong) == 0, f"agent {n}, numbers {wrong[:8]}: expected {expected[wrong[:8]]}, found {found[wrong[:8]]}"
    assert seen[542:].reshape(8, 9).any(0).sum() >= 6 and seen[537:542].all()


def test_a_blow_is_felt_in_the_tick_it_falls():
    stage = Stage(agents=2)
    stage.put(0, 20, 20), stage.put(1, 20, 21)
    stage.step(striking(MELEE))
    assert stage.env.observations[:, 495 + 27].tolist() == [0, 7 // 4]
    stage.step()
    assert stage.env.observations[:, 495 + 27].tolist() == [0, 0]


@pytest.mark.parametrize("settings", [CROWDED, CROWDED | {"natives": 20, "autopilot": True}])
def test_the_grid_is_what_the_inhabitants_make_of_it(settings):
    for env in played(600, 41, seed=1, **settings):
        parts = look_into(env)
        for i in range(2):
            world = world_of(parts, i)
            occupants = np.zeros_like(world["tiles"][..., 1])
            for one in world["agents"]:
                assert occupants[one["y"], one["x"]] == 0, "one a cell"
                occupants[one["y"], one["x"]] = occupant_of(one, world["head"]["tick"])
            assert np.array_equal(occupants, world["tiles"][..., 1])
            for name, cells in (("present", occupants > 0), ("lakes", world["tiles"][..., 0] == WATER), ("meals", np.isin(world["tiles"][..., 2], (HERBS, FISHES)))):
                assert np.array_equal(world[name], bits_of(cells, world[name].size)), name
            holds = world["piles"]["goods"].any(-1) | (world["piles"]["gold"] > 0)
            assert np.array_equal(holds, world["tiles"][..., 2] == PILE), "a pile is shown where something lies"


def test_the_world_turned_over_is_seen_turned_over():
    """Rows and columns exchanged, up with left and down with right: the same tick, seen in the mirror."""
    turned = [STAY, LEFT, RIGHT, UP, DOWN]
    for env in played(300, 43, seed=2, agents=30, size=40, seasons=False):
        state = env.get_state()
        parts = look_into(env)
        other = envs.make("mmo", 2, agents=30, size=40, seasons=False, report_interval=0)
        other.reset()
        mirrored = other.get_state() | {"blocks": [block.copy() for block in state["blocks"]]}
        there = views(other, mirrored)
        there["agents"]["y"], there["agents"]["x"] = parts["agents"]["x"], parts["agents"]["y"]
        there["agents"]["cell"] = there["agents"]["y"] * 56 + there["agents"]["x"]
        for name in ("tiles", "nature", "piles"):
            there[name][:] = parts[name].swapaxes(1, 2)
        there["agents"]["shore"] = parts["agents"]["shore"][..., ::-1]
        there["agents"]["heading"] = np.array(turned)[parts["agents"]["heading"]]
        for i in range(2):
            for name, cells in (("present", there["tiles"][i, ..., 1] > 0), ("lakes", there["tiles"][i, ..., 0] == WATER),
                                ("meals", np.isin(there["tiles"][i, ..., 2], (HERBS, FISHES)))):
                there[name][i] = bits_of(cells, there[name].shape[1])
        other.set_state(mirrored)
        actions = legal_random(env, np.random.RandomState(5))
        env.actions[:] = other.actions[:] = actions
        other.actions[:, 0] = np.array(turned)[actions[:, 0]]
        ours, theirs = env.step(env.actions), other.step(other.actions)
        assert np.array_equal(ours[1], theirs[1]) and np.array_equal(ours[2], theirs[2])
        lives = ~ours[2]
        left, right = (step[0][:, :495].reshape(-1, 11, 15, 3)[:, :, 2:13] for step in (ours, theirs))
        ground = left[lives].swapaxes(1, 2) == right[lives]
        assert ground[..., 0].all() and ground[..., 1:].mean() > 0.995, "births and growth are drawn, and differ"
        assert np.array_equal(ours[0][lives][:, 495:495 + 28], theirs[0][lives][:, 495:495 + 28])
        env.set_state(state)


def test_a_part_of_an_action_does_something_if_and_only_if_it_is_legal():
    """Each choice of each part, taken alone by one agent: the world of a stage differs from one in which it idles just where the mask says so."""
    random = np.random.RandomState(4)
    changed = np.zeros(62, int)
    for trial in range(60):
        stage = Stage(agents=12, size=64, seed=trial)
        stage.put(0, 26, 33), stage.put(1, 26 + random.randint(2), 34), stage.put(2, 22, 31)
        for name, most in (("level", 11), ("goods", 16)):
            stage.agents[name] = random.randint(1 if name == "level" else 0, most, stage.agents[name].shape)
        stage.agents["goods"] *= random.randint(0, 2, stage.agents["goods"].shape).astype(np.uint8)
        stage.agents["goods"][0][random.random_sample(9) < 0.2] = 15
        for name in ("tool", "weapon", "armour"):
            stage.agents[name] = random.randint(0, 4, 12)
        stage.agents["gold"], stage.head["stock"] = random.randint(0, 12, 12), random.randint(0, 5, 9)
        stage.agents["health"], stage.agents["food"], stage.agents["water"] = random.randint(20, 128, (3, 12))
        stage.agents["ready_at"][0] = 1000 + random.randint(0, 3)
        stage.agents["born"][1] = 1000 - random.choice([50, 900])
        for row, column in ((25, 33), (27, 33), (26, 32)):
            stage.ground(row, column, random.choice([0, STONE, FOREST, ROCK, WATER, THICKET]))
        stage.ground(26, 33, random.choice([0, TOWN]))
        mask = stage.masks()[0]
        state = stage.env.get_state()
        outcome = {}
        starts = np.cumsum([0, 5, 4, 8, 15, 19, 11])
        for part in (0, 1, 3, 4, 5):
            for choice in range(starts[part + 1] - starts[part]):
                done = []
                for target in range(2 if part in (1, 5) else 1):
                    stage.env.set_state(state)
                    action = list(IDLE)
                    action[part], action[2] = choice, target
                    stage.env.actions[:] = 0
                    stage.env.actions[0] = action
                    stage.env.step(stage.env.actions)
                    agents = look_into(stage.env)["agents"]
                    done.append(b"".join(agents[0][name].tobytes() for name in ("y", "x", "health", "food", "water", "goods", "gold", "tool", "weapon",
                                                                                 "armour", "activity", "experience")))
                outcome[part, choice] = set(done)
                if choice:
                    does = bool(outcome[part, choice] - outcome[part, 0])
                    assert does == mask[starts[part] + choice], (trial, part, choice, does)
                    changed[starts[part] + choice] += does
    assert (changed[[*range(1, 5), *range(6, 9), 18, *range(21, 32), *range(33, 42), *range(42, 51), *range(52, 62)]] > 0).all(), changed


def test_masks_allow_the_first_choice_always_and_a_target_where_somebody_is():
    for env in played(200, 29, seed=6, **CROWDED):
        masks = env.action_masks()
        assert masks.shape == (120, 62) and masks.dtype == bool and masks[:, [0, 5, 9, 17, 32, 51]].all()
        assert np.array_equal(masks[:, 9:17].sum(1), np.maximum(1, (env.observations[:, 542::9] > 0).sum(1)))
        assert env.action_masks() is masks and np.array_equal(legal_actions(env), masks)


def test_records_are_the_nearest_and_targets_follow_them():
    stage = Stage(agents=6)
    for n, place in enumerate(((30, 30), (30, 34), (27, 30), (31, 31), (25, 30), (30, 38))):
        stage.put(n, *place)
    stage.store()
    assert neighbours({"agents": stage.agents}, 0) == [3, 2, 1, 4], "the last is out of sight"
    stage.agents["goods"][0, WOOD] = 5
    stage.step(striking(RANGE, 1))
    assert [int(n) for n in np.flatnonzero(stage.agents["health"] < 100)] == [2]
    records = stage.env.observations[0, 542:].reshape(8, 9)
    assert records[:, :2].tolist() == [[7, 9], [3, 8], [6, 12], [1, 8], [0, 0], [0, 0], [0, 0], [0, 0]]


def test_the_nearest_water_and_food_are_seen_and_where_one_drank_is_remembered():
    stage = Stage()
    stage.put(0, 30, 30)

    def seen():
        return stage.env.observations[0, 537:542].tolist()

    stage.ground(30, 33, WATER), stage.ground(28, 30, WATER), stage.ground(34, 30, item=FISHES), stage.ground(30, 32, item=RARE_HERBS)
    stage.step()
    assert seen() == [0, 6 - 2, 8, 6 + 4, 8], "rich herbs are not for everybody, so fish four steps down are the nearest food"
    stage.ground(30, 30, item=HERBS), stage.ground(28, 30, 0)
    stage.agents["goods"][0, HERB] = 15
    stage.step()
    assert seen() == [0, 6, 8 + 3, 6, 8], "herbs under one's own feet are the nearest"
    stage.step(walking(RIGHT), ticks=3)
    assert seen()[:3] == [RIGHT, 6, 8 + 1] and stage.agents["shore"][0].tolist() == [38, 40], "the third step drinks"
    stage.ground(30, 33, 0)
    stage.step(walking(DOWN), ticks=7)
    assert seen()[:3] == [DOWN, 6 - 5, 8], "no water is in sight: the way back to where it drank, up to the border of the window"
    stage.put(0, 2, 60)
    stage.step()
    assert seen()[:3] == [DOWN, 6 + 5, 8 - 7]
