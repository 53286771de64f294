"""grid against the `minigrid` package and against its slow twin; layouts given by hand, and what is said about wrong ones."""

import time
from collections import Counter

import numpy as np
import pytest
from environments import random_actions
from minigrid.core.grid import Grid as PeerGrid
from minigrid.core.world_object import WorldObj
from minigrid.envs import DoorKeyEnv, EmptyEnv, FourRoomsEnv, LavaGapEnv

import envs
from envs.slow.grid import Grid

LEFT, RIGHT, FORWARD, PICKUP, DROP, TOGGLE, DONE = range(7)
EMPTY, WALL, DOOR, KEY, BALL, BOX, GOAL, LAVA = 1, 2, 4, 5, 6, 7, 8, 9
GREY = 5
PEERS = {
    "empty": (8, lambda: EmptyEnv(size=8)),
    "four_rooms": (19, FourRoomsEnv),
    "door_key": (5, lambda: DoorKeyEnv(size=5)),
    "lava_gap": (7, lambda: LavaGapEnv(size=7)),
}

SEEN = {"empty": ["goal", "time"], "four_rooms": ["time"], "door_key": ["goal", "time", "changed"], "lava_gap": ["lava"]}
"""What ten thousand random steps have to contain to prove something."""


def take_over(env, peer):
    """Start an episode of `env` on the present state of MiniGrid's environment `peer`."""
    carrying = None if peer.carrying is None else peer.carrying.encode()
    env.set_layout(0, peer.grid.encode(), peer.agent_pos, peer.agent_dir, carrying, peer.max_steps)


def cell(peer, position):
    thing = peer.grid.get(*position)
    return thing and thing.encode()


def equal_states(env, peer):
    layout = env.get_layout(0)
    carrying = None if peer.carrying is None else peer.carrying.encode()
    return (np.array_equal(layout.grid, peer.grid.encode()) and layout.agent_position == tuple(peer.agent_pos)
            and layout.direction == peer.agent_dir and layout.carrying == carrying)


def step_both(env, peer, action):
    """Step both and require that what they give is equal to the last bit; returns whether the episode ended, and how."""
    observation, reward, terminated, truncated, _ = peer.step(action)
    observations, rewards, terminals, truncations, _ = env.step(np.array([action], np.int32))
    assert (np.float32(reward), terminated, truncated) == (rewards[0], terminals[0], truncations[0])
    seen = env.final_observations[0] if terminated or truncated else observations[0]
    assert seen.dtype == observation["image"].dtype and np.array_equal(seen, observation["image"])
    return "goal" if reward else "lava" if terminated else "time" if truncated else ""


@pytest.mark.parametrize("task", PEERS)
def test_ten_thousand_random_steps_equal_those_of_minigrid(task):
    size, make_peer = PEERS[task]
    peer, env, random, happened = make_peer(), envs.make("grid", task=task, size=size), np.random.default_rng(0), Counter()
    peer.reset(seed=0)
    env.reset()
    take_over(env, peer)
    assert np.array_equal(env.observations[0], peer.gen_obs()["image"])
    for step in range(10_000):
        ahead = tuple(peer.front_pos)
        before = cell(peer, ahead)
        end = step_both(env, peer, int(random.integers(7)))
        changed = cell(peer, ahead) != before
        happened.update([end, "changed"] if changed else [end])
        if end:
            peer.reset()
            take_over(env, peer)
            assert np.array_equal(env.observations[0], peer.gen_obs()["image"])
        elif changed or step % 40 == 0:
            assert equal_states(env, peer)
    assert all(happened[what] >= 3 for what in SEEN[task]), happened


def random_layout(random, size, colours=6):
    """A level with every kind of object in every state and some colours strewn about, as MiniGrid's encoding can hold it."""
    grid = np.zeros((size, size, 3), np.uint8)
    grid[...] = (WALL, GREY, 0)
    for x in range(1, size - 1):
        for y in range(1, size - 1):
            kind = random.choice([EMPTY, WALL, 3, DOOR, KEY, BALL, BOX, GOAL, LAVA], p=[0.5, 0.1, 0.05, 0.15, 0.06, 0.04, 0.06, 0.02, 0.02])
            colour = {EMPTY: 0, GOAL: 1, LAVA: 0}.get(kind, random.integers(colours))
            grid[x, y] = (kind, colour, random.integers(3) if kind == DOOR else 0)
    grid[size // 2, size // 2] = (EMPTY, 0, 0)
    return grid


def test_levels_full_of_all_objects_behave_as_in_minigrid():
    size, random, happened = 9, np.random.default_rng(1), Counter()
    peer, env = EmptyEnv(size=size, max_steps=300), envs.make("grid", task="empty", size=size, see_through_walls=False)
    env.reset()
    peer.see_through_walls = False
    for level in range(100):
        peer.reset(seed=level)
        peer.grid, _ = PeerGrid.decode(random_layout(random, size, colours=1 + level % 6))
        peer.agent_pos, peer.agent_dir = (size // 2, size // 2), int(random.integers(4))
        held = WorldObj.decode(random.choice([KEY, BALL, BOX]), random.integers(1 + level % 6), 0)
        peer.carrying = held if random.random() < 0.5 else None
        take_over(env, peer)
        assert np.array_equal(env.observations[0], peer.gen_obs()["image"])
        for step in range(200):
            ahead, hands = tuple(peer.front_pos), peer.carrying
            before = cell(peer, ahead)
            action = int(random.choice(7, p=[0.12, 0.12, 0.3, 0.13, 0.13, 0.17, 0.03]))
            end = step_both(env, peer, action)
            if end:
                happened[end] += 1
                break
            after = cell(peer, ahead)
            if before != after:
                happened[action, before and before[0], after and after[0]] += 1
                happened["locked door"] += before is not None and before[0::2] == (DOOR, 2)
                happened["door closed"] += after is not None and after[0::2] == (DOOR, 1)
            elif action == TOGGLE and hands is not None and before is not None:
                happened["wrong key"] += before[0::2] == (DOOR, 2)
            if before != after or step % 40 == 0:
                assert equal_states(env, peer)
    expected = ["goal", "lava", "locked door", "door closed", "wrong key", (TOGGLE, BOX, None)]
    expected += [(action, *change) for kind in (KEY, BALL, BOX) for action, change in ((PICKUP, (kind, None)), (DROP, (None, kind)))]
    assert all(happened[what] >= 3 for what in expected), happened


def test_what_the_agent_sees_is_what_minigrid_lights():
    random = np.random.default_rng(2)
    peer, env = EmptyEnv(size=11), envs.make("grid", task="empty", size=11, see_through_walls=False)
    peer.see_through_walls = False
    for level in range(100):
        peer.reset(seed=level)
        peer.grid, _ = PeerGrid.decode(random_layout(random, 11))
        peer.agent_pos, peer.agent_dir = (5, 5), level % 4
        take_over(env, peer)
        _, mask = peer.gen_obs_grid()
        expected = np.zeros((11, 11), bool)
        for x in range(11):
            for y in range(11):
                place = peer.relative_coords(x, y)
                expected[x, y] = place is not None and mask[place]
        assert np.array_equal(env.visible_cells(0), expected)


# ------------------------------------------------------------------ the slow twin

TWINS = [("empty", 8), ("empty_random", 6), ("four_rooms", 19), ("four_rooms", 9), ("door_key", 8), ("door_key", 5), ("lava_gap", 7),
         ("maze", 5), ("maze", 13), ("maze", 47)]


@pytest.mark.parametrize("task, size", TWINS)
def test_the_native_environment_and_its_slow_twin_take_the_same_trajectory(task, size):
    env = envs.make("grid", 4, seed=5, task=task, size=size, max_steps=60, first_env=3)
    twins = [Grid(task, size, 60, index=3 + i) for i in range(4)]
    observations, _ = env.reset()
    expected = np.stack([twin.reset(seed=5)[0] for twin in twins])
    random, ends = np.random.default_rng(0), 0
    for _ in range(250):
        assert np.array_equal(observations, expected)
        actions = random.choice(7, size=4, p=[0.15, 0.15, 0.4, 0.1, 0.05, 0.1, 0.05]).astype(np.int32)
        observations, rewards, terminals, truncations, _ = env.step(actions)
        for i, twin in enumerate(twins):
            expected[i], reward, terminated, truncated, _ = twin.step(actions[i])
            assert (np.float32(reward), terminated, truncated) == (rewards[i], terminals[i], truncations[i])
            if terminated or truncated:
                assert np.array_equal(env.final_observations[i], expected[i])
                expected[i], _ = twin.reset()
                ends += 1
    assert ends >= 12


def test_the_defaults_are_those_of_minigrid_and_of_the_twin():
    for task in ("empty", "four_rooms", "door_key", "lava_gap"):
        env, twin = envs.make("grid", task=task), Grid(task)
        peer = {"empty": EmptyEnv, "four_rooms": FourRoomsEnv, "door_key": DoorKeyEnv, "lava_gap": lambda: LavaGapEnv(7)}[task]()
        assert env.size == peer.width == peer.height == twin.size
        assert env.max_steps == peer.max_steps == twin.max_steps
        assert env.see_through_walls == peer.see_through_walls == twin.see_through_walls


# ------------------------------------------------------------------ layouts

def test_a_layout_that_is_read_and_given_back_goes_on_in_the_same_way():
    env = envs.make("grid", 2, seed=4, task="door_key", size=6, report_interval=0)
    env.reset()
    random = np.random.RandomState(0)
    for _ in range(40):
        for _ in range(20):
            env.step(random_actions(env, random))
        env.set_layout(1, *env.get_layout(0))
        env.set_layout(0, *env.get_layout(1))
        assert env.level_seeds.tolist() == [-1, -1]
        for _ in range(20):
            actions = np.repeat(random_actions(env, random)[:1], 2)
            env.step(actions)
            if (env.terminals | env.truncations).any():
                break
            assert np.array_equal(env.observations[0], env.observations[1])
        assert np.array_equal(env.terminals[:1], env.terminals[1:]) and env.rewards[0] == env.rewards[1]
        assert np.array_equal(env.final_observations[0], env.final_observations[1]) or not env.terminals[0]


def test_a_smaller_layout_is_filled_up_with_walls():
    peer, env = EmptyEnv(size=5), envs.make("grid", task="empty", size=9)
    peer.reset()
    env.reset()
    take_over(env, peer)
    assert np.array_equal(env.observations[0], peer.gen_obs()["image"])
    assert (env.get_layout().grid[5:] == (WALL, GREY, 0)).all() and (env.get_layout().grid[:, 5:] == (WALL, GREY, 0)).all()


def room(size=5):
    grid = np.full((size, size, 3), (WALL, GREY, 0), np.uint8)
    grid[1:-1, 1:-1] = (EMPTY, 0, 0)
    return grid


def with_cell(x, y, cell):
    grid = room()
    grid[x, y] = cell
    return grid


@pytest.mark.parametrize("layout, sentence", [
    ((np.zeros((5, 5)), (1, 1), 0), r"grid: shape \(5, 5\) given, expected \(width, height, 3\)"),
    ((room(9), (1, 1), 0), "grid: 9 x 9 cells given, expected 3 to 8 a side with walls all round"),
    ((with_cell(0, 2, (DOOR, 0, 0)), (1, 1), 0), "grid: 5 x 5 cells given, expected 3 to 8 a side with walls all round"),
    ((with_cell(2, 2, (0, 0, 0)), (1, 1), 0), r"\(0, 0, 0\) given, expected a type from 1 to 9"),
    ((with_cell(2, 2, (10, 0, 0)), (1, 1), 0), r"\(10, 0, 0\) given, expected a type from 1 to 9"),
    ((with_cell(2, 2, (KEY, 6, 0)), (1, 1), 0), r"\(5, 6, 0\) given, expected .* a colour from 0 to 5"),
    ((with_cell(2, 2, (DOOR, 1, 3)), (1, 1), 0), r"\(4, 1, 3\) given"),
    ((with_cell(2, 2, (KEY, 1, 1)), (1, 1), 0), "state 0 unless it is a door"),
    ((room(), (0, 1), 0), r"agent_position=\(0, 1\) given, expected a cell of the grid on which the agent may stand"),
    ((room(), (5, 5), 0), r"agent_position=\(5, 5\) given"),
    ((with_cell(2, 2, (DOOR, 1, 2)), (2, 2), 0), r"agent_position=\(2, 2\) given"),
    ((with_cell(2, 2, (BALL, 1, 0)), (2, 2), 0), r"agent_position=\(2, 2\) given"),
    ((room(), (1, 1), 4), "direction=4, max_steps=256 given, expected 0 to 3"),
    ((room(), (1, 1), 0, None, 0), "max_steps=0 given, expected .* at least 1 step"),
    ((room(), (1, 1), 0, (DOOR, 1, 0)), r"carrying=\(4, 1, 0\) given, expected None or \(type, colour, 0\) of a key, ball or box"),
])
def test_a_wrong_layout_is_one_sentence_and_nothing_changes(layout, sentence):
    env = envs.make("grid", 1, task="empty")
    env.reset()
    before = env.get_state()
    with pytest.raises(ValueError, match=sentence):
        env.set_layout(0, *layout)
    assert all(np.array_equal(a, b) for a, b in zip(before["blocks"], env.get_state()["blocks"], strict=False))


@pytest.mark.parametrize("settings, sentence", [
    ({"task": "labyrinth"}, "task='labyrinth' given, expected one of 'empty', 'empty_random', 'four_rooms'"),
    ({"task": "maze", "size": 8}, "size=8 given, expected an odd number from 5 to 47 for maze"),
    ({"task": "maze", "size": 49}, "size=49 given, expected a whole number from 5 to 47"),
    ({"size": 4}, "size=4 given, expected a whole number from 5 to 47"),
    ({"max_steps": 0}, "max_steps=0 given, expected a whole number from 1 to 1,000,000,000"),
    ({"num_levels": -1}, "num_levels=-1 given, expected a whole number from 0 to"),
])
def test_wrong_settings_are_refused(settings, sentence):
    with pytest.raises(ValueError, match=sentence):
        envs.make("grid", **settings)


def test_an_environment_or_level_that_does_not_exist_is_refused():
    env = envs.make("grid", 2)
    env.reset()
    for method, *arguments in ((env.get_layout, 2), (env.set_level, -1, 0), (env.shortest_path_length, 7), (env.visible_cells, 2)):
        with pytest.raises(IndexError, match="given, expected a whole number from 0 to 1"):
            method(*arguments)
    with pytest.raises(ValueError, match="level_seed=-5 given, expected a whole number from 0 to"):
        env.set_level(0, -5)


# ------------------------------------------------------------------ observation, ends, picture

def test_every_observation_lies_in_the_space_and_its_bounds_are_reached():
    env = envs.make("grid", 32, task="empty", size=9, see_through_walls=False)
    random, largest = np.random.default_rng(0), np.zeros(3, int)
    env.reset()
    for i in range(32):
        env.set_layout(i, random_layout(random, 9), (4, 4), int(random.integers(4)))
    for _ in range(60):
        observations, *_ = env.step(random.integers(7, size=32).astype(np.int32))
        assert all(env.single_observation_space.contains(row) for row in observations)
        largest = np.maximum(largest, observations.max(axis=(0, 1, 2)))
    assert largest.tolist() == [LAVA, GREY, 2] == env.single_observation_space.high[0, 0].tolist()


def test_the_goal_on_the_last_step_raises_both_flags():
    env = envs.make("grid", task="empty", size=5, max_steps=1)
    env.reset()
    grid = room()
    grid[2, 1] = (GOAL, 1, 0)
    env.set_layout(0, grid, (1, 1), 0)
    env.step(np.array([FORWARD], np.int32))
    assert env.terminals[0] and env.truncations[0] and env.rewards[0] == np.float32(1 - 0.9)


def test_a_view_does_not_reach_into_its_neighbours_rows():
    """Rows are written eight bytes at a time: the last write of a row must not spill into the next row or past the buffer."""
    env = envs.make("grid", 70, task="four_rooms")
    env.reset(0)
    rows = np.full((72, 7, 7, 3), 255, np.uint8)
    env.bind(env.buffers._replace(observations=rows[1:71]))
    for _ in range(50):
        env.step(np.random.default_rng(0).integers(7, size=70).astype(np.int32))
        assert (rows[0] == 255).all() and (rows[71] == 255).all()
    assert (rows[1:71] <= (LAVA, GREY, 2)).all()


def test_the_picture_shows_the_level_and_lights_what_is_seen():
    env = envs.make("grid", task="four_rooms")
    env.reset(0)
    layout, picture = env.get_layout(), env.render()
    scale = len(picture) // 19
    assert picture.shape == (19 * scale, 19 * scale, 3) and picture.dtype == np.uint8
    corners = picture[1::scale, 1::scale].transpose(1, 0, 2).astype(int)         # by [x, y], a pixel that no object covers
    dark = ~env.visible_cells()
    dark[layout.agent_position] = False
    walls, floor, goal = (dark & (layout.grid[..., 0] == kind) for kind in (WALL, EMPTY, GOAL))
    colours = [{tuple(pixel) for pixel in corners[cells].tolist()} for cells in (walls, floor, goal)]
    assert all(len(found) <= 1 for found in colours) and len(set.union(*colours)) == sum(map(len, colours))
    assert corners[~dark & (layout.grid[..., 0] == EMPTY)].min() > corners[floor].max()
    before = picture.copy()
    env.step(np.array([LEFT], np.int32))
    assert not np.array_equal(before, env.render()), "the agent has turned"


@pytest.mark.alone
def test_a_batch_is_five_hundred_times_as_fast_as_minigrid():
    peer, env = DoorKeyEnv(size=8), envs.make("grid", 1024, task="door_key", report_interval=0)
    peer.reset(seed=0)
    env.reset()
    actions = np.random.default_rng(0).integers(7, size=(50, 1024)).astype(np.int32)
    ours, theirs = [], []
    for _ in range(5):
        start = time.process_time()
        for row in actions:
            env.step(row)
        ours.append((time.process_time() - start) / actions.size)
        start = time.process_time()
        for action in actions[0, :200]:
            _, _, terminated, truncated, _ = peer.step(action)
            if terminated or truncated:
                peer.reset()
        theirs.append((time.process_time() - start) / 200)
    assert min(theirs) > 500 * min(ours), f"{min(theirs) / min(ours):.0f} times"
