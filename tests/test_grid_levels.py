"""The levels of grid: the distribution of MiniGrid's, perfect mazes with a known shortest path, levels named by seeds."""

from collections import Counter, deque

import numpy as np
import pytest
from minigrid.envs import DoorKeyEnv, EmptyEnv, FourRoomsEnv, LavaGapEnv

import envs
from envs.core import gridworld

LEFT, RIGHT, FORWARD, PICKUP, DROP, TOGGLE, DONE = range(7)
EMPTY, WALL, DOOR, KEY, GOAL = 1, 2, 4, 5, 8
YELLOW, GREY = 4, 5


def layout_key(grid, position, direction):
    return grid.tobytes(), tuple(int(v) for v in position), int(direction)


def drawn_layouts(task, size, count):
    env = envs.make("grid", count, seed=7, task=task, size=size)
    env.reset()
    return [env.get_layout(i) for i in range(count)]


@pytest.mark.parametrize("task, size, make_peer, distinct", [
    ("empty_random", 5, lambda: EmptyEnv(size=5, agent_start_pos=None), 8 * 4),
    ("door_key", 5, lambda: DoorKeyEnv(size=5), 3 * 4 * 2 * 2),
    ("lava_gap", 6, lambda: LavaGapEnv(size=6), 2 * 4),
])
def test_small_tasks_draw_the_layouts_of_minigrid_equally_often(task, size, make_peer, distinct):
    peer, theirs = make_peer(), Counter()
    peer.reset(seed=0)
    for _ in range(distinct * 60):
        peer._gen_grid(size, size)
        theirs[layout_key(peer.grid.encode(), peer.agent_pos, peer.agent_dir)] += 1
    ours = Counter(layout_key(*layout[:3]) for layout in drawn_layouts(task, size, distinct * 60))
    assert set(ours) == set(theirs) and len(ours) == distinct
    assert sum((count - 60) ** 2 / 60 for count in ours.values()) < distinct + 5 * (2 * distinct) ** 0.5, "chi-square"


@pytest.mark.parametrize("task, size, make_peer, count", [
    ("door_key", 8, lambda: DoorKeyEnv(size=8), 3000),
    ("four_rooms", 19, FourRoomsEnv, 1500),
])
def test_larger_tasks_put_everything_in_the_same_places_as_often_as_minigrid(task, size, make_peer, count):
    peer, theirs, ours = make_peer(), np.zeros((size, size, 11)), np.zeros((size, size, 11))
    x, y = np.indices((size, size))
    peer.reset(seed=0)
    for layout in drawn_layouts(task, size, count):
        peer._gen_grid(size, size)
        theirs[x, y, peer.grid.encode()[..., 0]] += 1
        theirs[(*peer.agent_pos, 10)] += 1
        ours[x, y, layout.grid[..., 0]] += 1
        ours[(*layout.agent_position, 10)] += 1
    share = (ours + theirs) / (2 * count)
    spread = np.sqrt(2 * share * (1 - share) / count)
    assert (np.abs(ours - theirs) / count <= 5 * spread).all()
    assert ((ours > 0) == (theirs > 0))[..., :10].all() or task == "four_rooms"


def walkable(layout):
    return {tuple(cell) for cell in np.argwhere(layout.grid[..., 0] != WALL).tolist()}


@pytest.mark.parametrize("size", [5, 7, 15, 47])
def test_a_maze_is_a_spanning_tree_of_its_rooms(size):
    seen = set()
    for layout in drawn_layouts("maze", size, 12):
        cells, rooms = walkable(layout), {(x, y) for x in range(1, size, 2) for y in range(1, size, 2)}
        passages = cells - rooms
        assert rooms <= cells and all((x + y) % 2 for x, y in passages), "passages join two rooms, pillars stand"
        assert len(passages) == len(rooms) - 1
        reached, frontier = {(1, 1)}, [(1, 1)]
        while frontier:
            x, y = frontier.pop()
            new = {(x + dx, y + dy) for dx, dy in gridworld.AHEAD} & cells - reached
            reached |= new
            frontier += new
        assert reached == cells, "every room is reached, and with as few passages only in one way"
        assert (layout.grid[..., 0] == GOAL).sum() == 1 and layout.grid[layout.agent_position][0] == EMPTY
        assert layout.agent_position in rooms and tuple(np.argwhere(layout.grid[..., 0] == GOAL)[0]) in rooms
        seen.add(layout.grid.tobytes())
    assert len(seen) == 12 or size == 5


def shortest_actions(layout):
    """The fewest actions to the goal of a level without objects, by a breadth-first search over places and directions."""
    cells = walkable(layout)
    start = (*layout.agent_position, layout.direction)
    came, queue = {start: None}, deque([start])
    while queue:
        x, y, direction = state = queue.popleft()
        if layout.grid[x, y, 0] == GOAL:
            break
        dx, dy = gridworld.AHEAD[direction]
        ahead = (x + dx, y + dy, direction) if (x + dx, y + dy) in cells else state
        for action, after in ((LEFT, (x, y, (direction - 1) % 4)), (RIGHT, (x, y, (direction + 1) % 4)), (FORWARD, ahead)):
            if after not in came:
                came[after] = (state, action)
                queue.append(after)
    actions = []
    while came[state]:
        state, action = came[state]
        actions.append(action)
    return actions[::-1]


@pytest.mark.parametrize("task, size", [("maze", 5), ("maze", 9), ("maze", 21), ("four_rooms", 11), ("empty_random", 8)])
def test_the_shortest_path_is_known_and_pays_the_best_return(task, size):
    env = envs.make("grid", 8, seed=3, task=task, size=size, max_steps=4 * size**2)
    env.reset()
    for i in range(8):
        actions = shortest_actions(env.get_layout(i))
        assert env.shortest_path_length(i) == len(actions)
        best = env.best_return(i)
        for taken, action in enumerate(actions, 1):
            assert not env.terminals[i] and env.shortest_path_length(i) == len(actions) - taken + 1
            everyone = np.full(8, DONE, np.int32)
            everyone[i] = action
            env.step(everyone)
        assert env.terminals[i] and env.rewards[i] == np.float32(best)
        env.reset(3)


def test_the_shortest_path_through_a_locked_door_counts_key_and_door():
    env = envs.make("grid", task="door_key", size=5)
    grid = np.full((5, 5, 3), (WALL, GREY, 0), np.uint8)
    grid[1:4:2, 1:4], grid[2, 1], grid[1, 3], grid[3, 3] = (EMPTY, 0, 0), (DOOR, YELLOW, 2), (KEY, YELLOW, 0), (GOAL, 1, 0)
    env.reset()
    env.set_layout(0, grid, (1, 2), 1)
    actions = [PICKUP, LEFT, LEFT, FORWARD, RIGHT, TOGGLE, FORWARD, FORWARD, RIGHT, FORWARD, FORWARD]
    assert env.shortest_path_length() == len(actions)
    for action in actions:
        env.step(np.array([action], np.int32))
    assert env.terminals[0] and env.rewards[0] == np.float32(1 - 0.9 * len(actions) / env.max_steps)


def test_a_goal_out_of_reach_has_no_path_and_no_return():
    env = envs.make("grid", task="maze", size=5, max_steps=10)
    grid = np.full((5, 5, 3), (WALL, GREY, 0), np.uint8)
    grid[1, 1], grid[3, 3] = (EMPTY, 0, 0), (GOAL, 1, 0)
    env.reset()
    env.set_layout(0, grid, (1, 1), 0)
    assert env.shortest_path_length() is None and env.best_return() == 0
    for _ in range(10):
        env.step(np.array([FORWARD], np.int32))
    assert env.log() == {"n": 1, "episode_return": 0, "episode_length": 10, "score": 0, "regret": 0}


def test_regret_in_a_maze_is_what_is_missed_of_the_best_return():
    env = envs.make("grid", 3, seed=1, task="maze", size=9, max_steps=200, report_interval=0)
    env.reset()
    best = [env.best_return(i) for i in range(3)]
    path = shortest_actions(env.get_layout(0))
    for step in range(200):
        actions = np.full(3, DONE, np.int32)
        actions[0] = path[step] if step < len(path) else DONE
        _, _, terminals, truncations, _ = env.step(actions)
        if terminals[0]:
            log = env.log()
            assert step + 1 == len(path) and log["score"] == 1 and log["regret"] == pytest.approx(0, abs=1e-7)
            assert log["episode_return"] == pytest.approx(best[0])
    assert truncations[1:].all() and not terminals[1:].any()
    assert env.log()["regret"] == pytest.approx((best[1] + best[2]) / 2)


@pytest.mark.parametrize("task", ["empty_random", "four_rooms", "door_key", "lava_gap", "maze"])
def test_a_level_seed_brings_the_same_level_back(task):
    env, other = (envs.make("grid", 3, seed=seed, task=task) for seed in (1, 2))
    env.reset()
    other.reset()
    seeds = env.level_seeds
    assert seeds.dtype == np.int64 and (seeds >= 0).all() and len({*seeds.tolist(), *other.level_seeds.tolist()}) == 6
    for i in range(3):
        other.set_level(2 - i, seeds[i])
        mine, theirs = env.get_layout(i), other.get_layout(2 - i)
        assert np.array_equal(mine.grid, theirs.grid) and mine[1:] == theirs[1:]
        assert np.array_equal(env.observations[i], other.observations[2 - i])
    assert np.array_equal(other.level_seeds, seeds[::-1])


def test_the_number_of_levels_restricts_what_is_drawn():
    env = envs.make("grid", 64, task="maze", size=7, num_levels=5, start_level=100, max_steps=3)
    env.reset()
    seen = Counter()
    for _ in range(90):
        env.step(np.full(64, DONE, np.int32))
        seen.update(env.level_seeds.tolist() if env.truncations.all() else [])
    assert set(seen) == set(range(100, 105)) and min(seen.values()) > 300
    assert len({env.get_layout(i).grid.tobytes() + bytes(env.get_layout(i).agent_position) for i in range(64)}) == 5


def test_a_level_of_choice_starts_a_new_episode():
    env = envs.make("grid", task="lava_gap", max_steps=5, report_interval=0)
    env.reset(0)
    for _ in range(4):
        env.step(np.array([DONE], np.int32))
    env.set_level(0, 77)
    for step in range(1, 6):
        env.step(np.array([DONE], np.int32))
        assert env.truncations[0] == (step == 5)
    assert env.log()["episode_length"] == 5
