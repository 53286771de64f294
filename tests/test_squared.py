"""squared against its slow twin, and its rules one by one."""

import numpy as np
import pytest
from environments import random_actions

import envs
from envs.slow.squared import Squared

STAY, UP, DOWN, LEFT, RIGHT = range(5)


@pytest.mark.parametrize("size, seed", [(11, 0), (11, 123456789), (3, 1), (5, 2), (21, 3)])
def test_the_native_environment_and_its_slow_twin_take_the_same_trajectory(size, seed):
    env = envs.make("squared", 6, seed=seed, size=size, first_env=2)
    twins = [Squared(size=size, index=2 + i) for i in range(6)]
    observations, _ = env.reset()
    expected = np.stack([twin.reset(seed=seed)[0] for twin in twins])
    random = np.random.RandomState(seed % 1000)
    ends = 0
    for _ in range(1500):
        assert np.array_equal(observations, expected)
        actions = random_actions(env, random)
        observations, rewards, terminals, truncations, _ = env.step(actions)
        for i, twin in enumerate(twins):
            expected[i], reward, terminated, truncated, _ = twin.step(actions[i])
            assert (reward, terminated, truncated) == (rewards[i], terminals[i], truncations[i])
            if terminated:
                expected[i], _ = twin.reset()
                ends += 1
    assert ends > 100


def walk_to(observation, size):
    """The action that leads from the agent to the target, first along the rows."""
    cells = observation.reshape(size, size)
    (row, column), (goal_row, goal_column) = np.argwhere(cells == 1)[0], np.argwhere(cells == 2)[0]
    if row != goal_row:
        return DOWN if goal_row > row else UP
    return RIGHT if goal_column > column else LEFT


def test_walking_to_the_target_pays_one_and_counts_as_a_success():
    env = envs.make("squared", 32, report_interval=0)
    observations, _ = env.reset(seed=0)
    for _ in range(200):
        actions = np.array([walk_to(row, 11) for row in observations], np.int32)
        observations, rewards, terminals, _, _ = env.step(actions)
        assert np.array_equal(rewards == 1, terminals) and (rewards >= 0).all()
    log = env.log()
    assert log["score"] == 1 and log["episode_return"] == 1
    assert 1 < log["episode_length"] <= 10, "never further than two sides of half a square"


def test_leaving_the_square_costs_one():
    env = envs.make("squared", 8, size=5)
    env.reset(seed=0)
    lefts = np.full(8, LEFT, np.int32)
    for _ in range(3):
        _, rewards, terminals, _, _ = env.step(lefts)
    assert np.isin(rewards[terminals], (-1, 1)).all() and (rewards == -1).any()


def test_standing_still_ends_after_three_times_the_size_and_costs_one():
    env = envs.make("squared", 4, size=7)
    env.reset(seed=0)
    for step in range(1, 22):
        _, rewards, terminals, truncations, _ = env.step(np.zeros(4, np.int32))
        assert terminals.all() == (step == 21) and not truncations.any()
    assert (rewards == -1).all()


def test_the_target_comes_up_on_every_other_cell_equally_often():
    env = envs.make("squared", 12_000, size=5)
    observations, _ = env.reset(seed=0)
    counts = (observations == 2).sum(axis=0)
    assert counts[12] == 0 and counts.sum() == 12_000
    others = np.delete(counts, 12)
    assert ((others - 500) ** 2 / 500).sum() < 60, "chi-square with 23 degrees of freedom"


@pytest.mark.parametrize("size", [1, 2, 10, -3])
def test_a_size_without_a_centre_is_refused(size):
    with pytest.raises(ValueError, match=f"size={size} given, expected an odd number from 3 to 255|size={size} given, expected a whole number from 3 to 255"):
        envs.make("squared", size=size)
