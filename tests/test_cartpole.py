"""cartpole against Gymnasium's CartPole-v1, bit for bit, and the parts that Gymnasium does not have."""

import math

import gymnasium
import numpy as np
import pytest

import envs

CHOICES = {
    "random": lambda observation, random: int(random.integers(2)),
    "balancing": lambda observation, random: int(observation[2] + 0.5 * observation[3] + 0.05 * observation[0] + 0.1 * observation[1] > 0),
    "drifting": lambda observation, random: int(observation[2] + 0.5 * observation[3] + random.normal(0.05, 0.1) > 0),
}


def start_together(env, peer, seed=None):
    """Reset Gymnasium's environment and put ours into the same state."""
    observation, _ = peer.reset(seed=seed)
    if seed is not None:
        env.reset(seed)
    env.set_physics_state(0, peer.unwrapped.state)
    return observation


@pytest.mark.parametrize("choice", CHOICES)
def test_physics_equal_gymnasium_to_the_last_bit(choice):
    peer, env = gymnasium.make("CartPole-v1"), envs.make("cartpole")
    random = np.random.default_rng(0)
    action, ends = np.zeros(1, np.int32), {"terminated": 0, "truncated": 0}
    expected = start_together(env, peer, seed=0)
    assert env.observations[0].tobytes() == expected.tobytes()
    for _ in range(10_000):
        action[0] = CHOICES[choice](expected, random)
        expected, reward, terminated, truncated, _ = peer.step(int(action[0]))
        _, rewards, terminals, truncations, _ = env.step(action)
        assert (rewards[0], terminals[0], truncations[0]) == (reward, terminated, truncated)
        if terminated or truncated:
            assert env.final_observations[0].tobytes() == expected.tobytes()
            ends["terminated"] += terminated
            ends["truncated"] += truncated
            expected = start_together(env, peer)
        else:
            assert env.physics_state(0) == tuple(peer.unwrapped.state)
        assert env.observations[0].tobytes() == expected.tobytes() and expected.dtype == env.observations.dtype
    assert ends["truncated" if choice == "balancing" else "terminated"] >= 10


def test_sine_and_cosine_of_numpy_are_those_of_the_c_library():
    """What equality with Gymnasium rests on. Where it fails, NumPy was built with vector functions of its own."""
    angles = np.random.default_rng(0).uniform(-0.25, 0.25, 100_000)
    assert np.sin(angles).tolist() == [math.sin(angle) for angle in angles]
    assert np.cos(angles).tolist() == [math.cos(angle) for angle in angles]


def test_both_flags_are_up_when_the_pole_falls_on_the_last_step():
    env = envs.make("cartpole", max_episode_steps=1)
    env.reset(0)
    env.set_physics_state(0, (2.39, 1.0, 0, 0))
    env.step(np.array([1], np.int32))
    assert env.terminals[0] and env.truncations[0] and env.rewards[0] == 1


def test_truncation_keeps_the_last_observation_beside_the_first_of_the_next_episode():
    env = envs.make("cartpole", 3, max_episode_steps=2)
    env.reset(0)
    env.step(np.ones(3, np.int32))
    assert not env.truncations.any()
    env.set_physics_state(1, (1.0, 0.0, 0.1, 0.0))
    env.step(np.ones(3, np.int32))
    assert env.truncations.all() and not env.terminals.any()
    assert env.final_observations[1, 0] == 1 and np.abs(env.observations).max() <= 0.05


def test_episodes_start_near_the_centre_and_each_cart_elsewhere():
    env = envs.make("cartpole", 1000, seed=3)
    first = env.reset()[0].copy()
    assert np.abs(first).max() <= 0.05 and np.abs(first).max() > 0.045
    assert np.abs(first.mean(0)).max() < 0.005 and len(np.unique(first, axis=0)) == 1000


def test_one_batch_equals_its_parts():
    """70 carts fill one block of the step and a part of the next."""
    whole, parts = envs.make("cartpole", 70, seed=5), [envs.make("cartpole", 35, seed=5, first_env=first) for first in (0, 35)]
    random = np.random.default_rng(0)
    for env in (whole, *parts):
        env.reset()
    for _ in range(200):
        actions = random.integers(0, 2, 70, dtype=np.int32)
        whole.step(actions)
        for part in parts:
            part.step(actions[part.first_env:part.first_env + 35])
        for name in ("observations", "rewards", "terminals", "truncations"):
            assert np.array_equal(getattr(whole, name), np.concatenate([getattr(part, name) for part in parts])), name


def test_score_is_the_number_of_steps_survived():
    env = envs.make("cartpole", 8, report_interval=0)
    env.reset(0)
    ends = [env.step(np.ones(8, np.int32))[2].sum() for _ in range(100)]
    log = env.log()
    assert log["n"] == sum(ends) and log["score"] == log["episode_return"] == log["episode_length"]
    assert 7 < log["score"] < 12                                # always to the right: the pole falls after 8 to 11 steps


def test_full_force_in_the_continuous_mode_is_the_discrete_push():
    discrete, real = envs.make("cartpole", 16), envs.make("cartpole", 16, continuous=True)
    discrete.reset(0)
    real.reset(0)
    random = np.random.default_rng(0)
    for _ in range(300):
        push = random.integers(0, 2, 16, dtype=np.int32)
        strength = (2 * push - 1).astype(np.float32)[:, None] * random.choice([1, 1.5, 100], (16, 1)).astype(np.float32)
        discrete.step(push)
        real.step(strength)                                     # what lies outside [-1, 1] is clipped
        assert np.array_equal(discrete.observations, real.observations) and np.array_equal(discrete.terminals, real.terminals)


def test_a_part_of_the_force_is_that_part_of_ten_newtons():
    peer, env = gymnasium.make("CartPole-v1"), envs.make("cartpole", continuous=True)
    start_together(env, peer, seed=0)
    for strength in np.float32([0.5, -0.25, 0.75, -1, 0.125] * 3):
        peer.unwrapped.force_mag = 10 * float(strength)
        expected, *_ = peer.step(1)
        env.step(np.array([[strength]]))
        assert env.observations[0].tobytes() == expected.tobytes()


def test_observation_space_is_gymnasiums():
    assert envs.make("cartpole").single_observation_space == gymnasium.make("CartPole-v1").observation_space


def test_impossible_arguments_are_refused_with_a_sentence():
    env = envs.make("cartpole", 2)
    with pytest.raises(ValueError, match="max_episode_steps=0 given, expected a whole number from 1 to"):
        envs.make("cartpole", max_episode_steps=0)
    with pytest.raises(IndexError, match="index=2 given, expected a whole number from 0 to 1"):
        env.physics_state(2)
    for state in ((0, 0, 0), (0, 0, 0, math.nan)):
        with pytest.raises(ValueError, match="four finite numbers"):
            env.set_physics_state(0, state)


def test_picture_shows_the_pole_leaning_where_it_leans():
    env = envs.make("cartpole")
    env.reset(0)
    pole = []
    for angle in (-0.2, 0.2):
        env.set_physics_state(0, (0, 0, angle, 0))
        image = env.render()
        pole.append(np.argwhere((image == (240, 228, 66)).all(-1))[:, 1].mean())
    assert image.shape == (240, 480, 3) and image.dtype == np.uint8
    assert pole[0] < 235 and pole[1] > 245
    env.set_physics_state(0, (-5, 0, 3, 0))
    assert env.render().shape == image.shape
