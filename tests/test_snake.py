"""snake against its slow twin, and its rules one by one."""

import numpy as np
import pytest
from environments import random_actions

import envs
from envs.slow.snake import SnakeBoard

FOOD, CORPSE, EMPTY, WALL, HEAD, BODY = 6, 5, 0, -1, -2, -3
UP, DOWN, LEFT, RIGHT = range(4)
MOVES = np.array([(-1, 0), (1, 0), (0, -1), (0, 1)])


def act(env, *actions):
    """Step `env` with these actions."""
    return env.step(np.array(actions, np.int32))


def steer(observations, vision=5, blunder=None):
    """A simple snake for each row: towards the nearest food in sight, else straight on, never into what kills if there is another way."""
    observations = observations.reshape(len(observations), -1)
    offsets = np.stack(np.mgrid[-vision:vision + 1, -vision:vision + 1], axis=-1).reshape(-1, 2)
    distances = np.where(observations > EMPTY, np.abs(offsets).sum(axis=1), 99)
    nearest = np.where(distances.min(axis=1, keepdims=True) < 99, offsets[distances.argmin(axis=1)], 0)
    around = [int(np.flatnonzero((offsets == move).all(axis=1))[0]) for move in MOVES]
    actions = np.where(observations[:, around] >= EMPTY, nearest @ MOVES.T, -99).argmax(axis=1).astype(np.int32)
    if blunder is not None:
        wrong = blunder.random_sample(len(actions)) < 0.02
        actions[wrong] = blunder.randint(0, 4, wrong.sum())
    return actions


BOARDS = [
    {"num_snakes": 16, "width": 160, "height": 90, "num_food": 256, "max_length": 883},             # the default
    {"num_snakes": 1, "width": 8, "height": 6, "num_food": 3, "max_length": 44},
    {"num_snakes": 1, "width": 3, "height": 3, "num_food": 1, "max_length": 7, "vision": 1},
    {"num_snakes": 12, "width": 12, "height": 9, "num_food": 20, "max_length": 7, "vision": 2, "starvation": 15},
    {"num_snakes": 30, "width": 9, "height": 9, "num_food": 20, "max_length": 2, "vision": 7, "leave_corpse": False},
    {"num_snakes": 5, "width": 40, "height": 4, "num_food": 40, "max_length": 20, "reward_food": 1.0, "reward_corpse": 0.5, "reward_death": -2.0},
]


@pytest.mark.parametrize("board", range(len(BOARDS)))
@pytest.mark.parametrize("player", ["random", "steered"])
def test_the_native_environment_and_its_slow_twin_take_the_same_trajectory(board, player):
    settings = BOARDS[board]
    env = envs.make("snake", 3, seed=board, first_env=1, report_interval=0, **settings)
    twins = [SnakeBoard(index=1 + i, **settings) for i in range(3)]
    n = env.num_snakes
    observations, _ = env.reset()
    expected = np.concatenate([twin.reset(seed=board)[0] for twin in twins])
    random = np.random.RandomState(board)
    lives, longest = [], 0
    for _ in range(600 if n > 10 else 2000):
        assert np.array_equal(observations, expected)
        actions = random_actions(env, random) if player == "random" else steer(observations, env.vision, blunder=random)
        observations, rewards, terminals, truncations, _ = env.step(actions)
        for i, twin in enumerate(twins):
            rows = slice(i * n, (i + 1) * n)
            expected[rows], twin_rewards, twin_terminals, _, infos = twin.step(actions[rows])
            assert np.array_equal(rewards[rows], twin_rewards) and np.array_equal(terminals[rows], twin_terminals)
            lives += infos
        longest = max([longest, *(len(snake.cells) for twin in twins for snake in twin.snakes)])
        assert not truncations.any()
    log = env.log()
    assert log["n"] == len(lives) > 0
    assert log["score"] == pytest.approx(np.mean([life["score"] for life in lives]))
    assert log["episode_length"] == pytest.approx(np.mean([life["episode_length"] for life in lives]))
    assert longest >= min(5, env.max_length), "the trajectory has shown long snakes"
    for i, twin in enumerate(twins):
        assert np.array_equal(env.board(i), twin.board)
        for j, snake in enumerate(twin.snakes):
            assert env.body(i * n + j) == list(snake.cells)


def stage(bodies, food=(), corpses=(), headings=None, width=7, height=7, **settings):
    """A board with exactly these snakes (lists of cells from head to tail), food and corpses."""
    env = envs.make("snake", 1, num_snakes=len(bodies), width=width, height=height, num_food=0, report_interval=0, **settings)
    env.reset(seed=0)
    state = env.get_state()
    snakes, cells = state["blocks"][4].view(np.int32).reshape(-1, 5), state["blocks"][5].view(np.int8).reshape(height + 10, width + 10)
    board = np.full((height, width), EMPTY, np.int8)
    for row in (*food, *corpses):
        board[row] = FOOD if row in food else CORPSE
    links = {tuple(move): action for action, move in enumerate(MOVES.tolist())}
    for i, body in enumerate(bodies):
        board[body[0]] = HEAD
        for ahead, cell in zip(body, body[1:], strict=False):
            board[cell] = BODY - links[ahead[0] - cell[0], ahead[1] - cell[1]]
        heading = BODY - board[body[1]] if len(body) > 1 else UP
        flat = [(row + 5) * (width + 10) + column + 5 for row, column in body]
        snakes[i] = flat[0], flat[-1], len(body), headings[i] if headings else heading, 0
    cells[5:-5, 5:-5] = board
    env.set_state(state)
    return env


def alone(width=20, height=15, num_food=1, seed=0, **settings):
    env = envs.make("snake", 1, seed=seed, num_snakes=1, width=width, height=height, num_food=num_food, report_interval=0, **settings)
    env.reset()
    return env


def grow(env, length):
    """Steer agent 0 until it has `length` cells."""
    for _ in range(5000):
        if len(env.body(0)) >= length:
            return
        env.step(steer(env.observations, env.vision))
    raise AssertionError(f"no snake of {length} cells came about")


def crowd(seed=0, **settings):
    return envs.make("snake", 1, seed=seed, num_snakes=60, width=30, height=20, num_food=60, report_interval=0, **settings)


# ------------------------------------------------------------------ what is seen

def test_the_observation_is_the_window_around_the_head():
    env = crowd(vision=4)
    env.reset(seed=0)
    random = np.random.RandomState(0)
    for _ in range(300):
        padded = np.pad(env.board(), 4, constant_values=WALL)
        for agent in range(60):
            row, column = env.body(agent)[0]
            assert np.array_equal(env.observations[agent], padded[row:row + 9, column:column + 9])
        env.step(steer(env.observations, 4, blunder=random))


def test_every_code_is_seen_and_none_is_outside_the_space():
    env = crowd()
    env.reset(seed=0)
    random = np.random.RandomState(0)
    seen = set()
    for _ in range(300):
        seen |= set(np.unique(env.observations).tolist())
        env.step(steer(env.observations, blunder=random))
    assert seen == {6, 5, 0, -1, -2, -3, -4, -5, -6}
    assert env.single_observation_space.high.max() == 6 and env.single_observation_space.low.min() == -6


def test_the_own_head_is_in_the_centre_and_the_neck_points_at_it():
    env = alone()
    grow(env, 4)
    window = env.observations[0]
    assert window[5, 5] == HEAD
    necks = [action for action in range(4) if window[tuple(np.array([5, 5]) - MOVES[action])] == BODY - action]
    assert necks == [env.idle_action]


def test_the_board_holds_exactly_the_snakes():
    env = crowd()
    env.reset(seed=0)
    random = np.random.RandomState(0)
    for _ in range(300):
        env.step(steer(env.observations, blunder=random))
        cells = [cell for agent in range(60) for cell in env.body(agent)]
        assert len(set(cells)) == len(cells), "no cell belongs to two snakes"
        board = env.board()
        assert set(map(tuple, np.argwhere(board <= HEAD).tolist())) == set(cells)
        assert (board == HEAD).sum() == 60 and (board == FOOD).sum() == 60 and not (board == WALL).any()


# ------------------------------------------------------------------ moves

@pytest.mark.parametrize("action", range(4))
def test_each_action_moves_the_head_its_own_way(action):
    env = alone(num_food=0)
    row, column = env.body(0)[0]
    act(env, action)
    assert env.body(0) == [(row + MOVES[action][0], column + MOVES[action][1])]


def test_a_turn_back_into_the_neck_goes_straight_on():
    env, other = alone(width=60, height=60, num_food=500), alone(width=60, height=60, num_food=500)
    grow(env, 3), grow(other, 3)
    heading = env.idle_action
    ahead = env.observations[0][tuple(np.array([5, 5]) + MOVES[heading])]
    assert ahead >= EMPTY
    act(env, heading ^ 1), act(other, heading)
    assert np.array_equal(env.board(), other.board()) and not env.terminals[0]


def test_a_snake_of_one_cell_may_turn_back():
    env = alone(num_food=0)
    start = env.body(0)
    act(env, LEFT), act(env, RIGHT)
    assert env.body(0) == start


def test_a_snake_may_follow_its_own_tail():
    env = stage([[(3, 3), (3, 4), (4, 4), (4, 3)]])
    for action in (DOWN, RIGHT, UP, LEFT) * 3:
        tail = env.body(0)[-1]
        act(env, action)
        assert not env.terminals[0] and env.body(0)[0] == tail


def test_running_into_the_own_body_before_its_tail_is_death():
    env = stage([[(3, 3), (3, 4), (4, 4), (4, 3), (4, 2)]])
    act(env, DOWN)
    assert env.terminals[0]


# ------------------------------------------------------------------ meetings of several snakes

def test_of_two_heads_at_one_cell_the_one_with_the_lower_index_lives():
    env = stage([[(3, 2)], [(3, 4)]])
    act(env, RIGHT, LEFT)
    assert env.terminals.tolist() == [False, True] and env.body(0) == [(3, 3)]


def test_a_cell_that_an_earlier_snake_has_left_is_free_and_one_that_a_later_snake_leaves_is_not():
    env = stage([[(3, 3)], [(3, 2)]])
    act(env, RIGHT, RIGHT)
    assert env.terminals.tolist() == [False, False]
    env = stage([[(3, 2)], [(3, 3)]])
    act(env, RIGHT, RIGHT)
    assert env.terminals.tolist() == [True, False]


def test_a_body_in_the_way_kills_the_one_who_runs_into_it_alone():
    env = stage([[(2, 3)], [(3, 5), (3, 4), (3, 3), (3, 2)]])
    act(env, DOWN, RIGHT)
    assert env.terminals.tolist() == [True, False] and env.rewards.tolist() == [-1, 0]
    assert env.body(1) == [(3, 6), (3, 5), (3, 4), (3, 3)]


# ------------------------------------------------------------------ food

def test_food_pays_lengthens_by_one_cell_and_comes_back_elsewhere():
    env = stage([[(3, 3), (3, 2)]], food=[(3, 4)], reward_food=0.25)
    act(env, RIGHT)
    assert env.rewards[0] == 0.25 and env.body(0) == [(3, 4), (3, 3), (3, 2)]
    board = env.board()
    assert (board == FOOD).sum() == 1 and board[3, 4] == HEAD


def test_a_corpse_pays_and_does_not_come_back():
    env = stage([[(3, 3)]], corpses=[(3, 4), (0, 0)], reward_corpse=0.75)
    act(env, RIGHT)
    assert env.rewards[0] == 0.75 and env.body(0) == [(3, 4), (3, 3)]
    assert (env.board() == CORPSE).sum() == 1


def test_a_snake_of_the_greatest_length_eats_without_growing():
    env = stage([[(3, 3), (3, 2)]], food=[(3, 4)], max_length=2)
    act(env, RIGHT)
    assert env.rewards[0] == np.float32(0.1) and env.body(0) == [(3, 4), (3, 3)]


def test_the_number_of_foods_never_changes():
    env = crowd()
    env.reset(seed=0)
    for _ in range(300):
        env.step(steer(env.observations))
        assert (env.board() == FOOD).sum() == 60


def test_food_appears_everywhere_equally_often():
    env = envs.make("snake", 4000, num_snakes=1, width=8, height=5, num_food=4)
    env.reset(seed=0)
    counts = sum((env.board(i) == FOOD).astype(int) for i in range(4000))
    assert ((counts - 400) ** 2 / 400).sum() < 90, "chi-square with 39 degrees of freedom"


# ------------------------------------------------------------------ death

@pytest.mark.parametrize("action, head", [(UP, (0, 3)), (DOWN, (6, 3)), (LEFT, (3, 0)), (RIGHT, (3, 6))])
def test_every_wall_is_death(action, head):
    env = stage([[head]], reward_death=-3)
    act(env, action)
    assert env.terminals[0] and env.rewards[0] == -3


def test_a_dead_snake_starts_anew_in_the_same_step_and_sees_it():
    env = stage([[(0, 3), (0, 2), (0, 1)]])
    act(env, UP)
    (row, column), = env.body(0)
    padded = np.pad(env.board(), 5, constant_values=WALL)
    assert env.terminals[0] and np.array_equal(env.observations[0], padded[row:row + 11, column:column + 11])
    act(env, env.idle_action)
    assert not env.terminals[0], "the flag is up for one step"


@pytest.mark.parametrize("length", [1, 2, 3, 6])
def test_every_second_cell_of_the_dead_becomes_a_corpse(length):
    body = [(0, 6 - k) for k in range(length)]
    env = stage([body])
    act(env, UP)
    corpses = {cell for cell in map(tuple, np.argwhere(env.board() == CORPSE).tolist())} | set(env.body(0)) & set(body[1::2])
    assert corpses - set(env.body(0)) == set(body[1::2]) - set(env.body(0))
    assert (env.board() < EMPTY).sum() == 1, "nothing else is left of the body"


def test_corpses_can_be_switched_off():
    env = stage([[(0, 3), (0, 2), (0, 1)]], leave_corpse=False)
    act(env, UP)
    assert not (env.board() == CORPSE).any()


def test_a_snake_that_does_not_eat_starves_on_the_very_step():
    env = stage([[(3, 3)]], starvation=6)
    ends = [bool(act(env, action)[2][0]) for action in (LEFT, RIGHT) * 6]
    assert ends == [False] * 5 + [True] + [False] * 5 + [True]


def test_a_meal_on_the_last_step_saves_it():
    env = stage([[(3, 3)]], food=[(3, 4)], starvation=3)
    ends = [bool(act(env, action)[2][0]) for action in (LEFT, RIGHT, RIGHT, UP, UP)]
    assert not any(ends)


def test_circling_in_safety_never_pays():
    """Stalling is not rewarded: a snake that goes round and round gets nothing and starves."""
    env = stage([[(3, 3), (3, 4), (4, 4), (4, 3)]], starvation=50)
    rewards = [float(act(env, action)[1][0]) for action in (DOWN, RIGHT, UP, LEFT) * 13]
    assert rewards[:49] == [0] * 49 and rewards[49] == -1


def test_the_score_is_the_length_at_death():
    env = stage([[(0, 3), (0, 2), (0, 1)]])
    act(env, UP)
    assert env.log()["score"] == 3


def test_a_snake_is_born_on_a_free_cell_facing_the_farther_wall():
    env = envs.make("snake", 50, num_snakes=4, width=9, height=9, num_food=20)
    env.reset(seed=0)
    for i in range(50):
        assert len({env.body(4 * i + j)[0] for j in range(4)}) == 4 and (env.board(i) == FOOD).sum() == 20
        (row, _), = env.body(4 * i)
        heading = env.get_state()["blocks"][4].view(np.int32).reshape(-1, 5)[4 * i, 3]
        assert heading == (UP if row > 4 else DOWN)


# ------------------------------------------------------------------ crowded boards

def test_a_board_that_is_as_full_as_it_may_be_goes_on():
    """Bodies, food and corpses fill all but a cell or two: births and food still find their place."""
    env = envs.make("snake", 1, num_snakes=3, width=4, height=3, num_food=2, report_interval=0)
    assert env.max_length == 3
    env.reset(seed=0)
    random = np.random.RandomState(0)
    for _ in range(5000):
        env.step(steer(env.observations, blunder=random))
        board = env.board()
        assert (board == FOOD).sum() == 2 and (board == HEAD).sum() == 3
    assert env.log()["n"] > 100


# ------------------------------------------------------------------ settings

def test_the_board_grows_with_the_number_of_snakes():
    sizes = {n: envs.make("snake", num_snakes=n) for n in (1, 16, 256, 4096)}
    assert [(env.width, env.height, env.num_food) for env in sizes.values()] == [(40, 22, 16), (160, 90, 256), (640, 360, 4096), (2560, 1440, 65536)]


@pytest.mark.parametrize("settings, words", [
    ({"num_snakes": 0}, "num_snakes=0 given, expected a whole number from 1 to 16,384"),
    ({"vision": 0}, "vision=0 given, expected a whole number from 1 to 127"),
    ({"starvation": 0}, "starvation=0 given, expected a whole number from 1 to"),
    ({"width": 0}, "width=0 given, expected a whole number from 1 to 65,536"),
    ({"height": -2}, "height=-2 given, expected a whole number from 1 to 65,536"),
    ({"num_food": -1}, "num_food=-1 given, expected a whole number from 0 to 459,776"),
    ({"width": 4, "height": 4, "num_food": 0}, "num_snakes=1024 given, expected at most 15 on 4 x 4 cells; enlarge width or height"),
    ({"num_snakes": 1, "width": 4, "height": 4, "num_food": 15}, "num_food=15 given, expected a whole number from 0 to 14"),
    ({"max_length": 0}, "max_length=0 given, expected a whole number from 1 to 883"),
    ({"max_length": 884}, "max_length=884 given, expected a whole number from 1 to 883"),
    ({"width": 60_000, "height": 60_000}, "width=60000 given, expected at most 279 with height=60000: a board of 16,777,216 cells"),
    ({"num_envs": 3000}, "num_envs=3000 given, expected at most 2,280, because each environment has"),
])
def test_settings_that_cannot_be_are_refused_in_a_sentence(settings, words):
    with pytest.raises(ValueError) as error:
        envs.make("snake", **settings)
    assert words in str(error.value) and "\n" not in str(error.value)


def test_board_and_body_name_what_there_is():
    env = stage([[(3, 3)]])
    with pytest.raises(IndexError, match="index=1 given, expected a whole number from 0 to 0"):
        env.board(1)
    with pytest.raises(IndexError, match="agent=1 given, expected a whole number from 0 to 0"):
        env.body(1)


# ------------------------------------------------------------------ play

def test_the_persons_snake_stands_out_and_a_large_board_is_cut_around_it():
    env = stage([[(3, 3), (3, 4)], [(5, 1), (5, 0)]], food=[(0, 0)])
    image = env.render()
    assert image.shape == (9 * 24, 9 * 24, 3)
    colours = {cell: tuple(image[(cell[0] + 1) * 24 + 5, (cell[1] + 1) * 24 + 5].tolist()) for cell in [(3, 3), (3, 4), (5, 1), (5, 0), (0, 0), (6, 6), (-1, -1)]}
    assert len(set(colours.values())) == 7, "own head and body, another's head and body, food, ground and wall"
    assert envs.make("snake", num_snakes=256).render().shape == (540, 960, 3)


def test_idle_means_straight_on():
    env = stage([[(3, 3), (3, 2)]], headings=[RIGHT])
    for column in (4, 5, 6):
        act(env, env.idle_action)
        assert env.body(0)[0] == (3, column)
