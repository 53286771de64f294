"""pong: points, serves, rallies that end, and observations that are neither empty nor unscaled."""

import numpy as np
import pytest

import envs

OWN, RIVAL, ACROSS, DOWN, VELOCITY_ACROSS, VELOCITY_DOWN, POINTS, RIVAL_POINTS = range(8)


def follow(observations):
    """Keep the paddle level with the ball."""
    gap = observations[:, DOWN] - observations[:, OWN]
    return (2 * (gap > 0.02) + (gap < -0.02)).astype(np.int32)


def play(env, policy, steps):
    """Stack of (observations before, rewards, terminals) of `steps` steps."""
    observations, _ = env.reset()
    rows = []
    for _ in range(steps):
        before = observations.copy()
        _, rewards, terminals, _, _ = env.step(policy(observations))
        rows.append((before, rewards.copy(), terminals.copy()))
    return [np.stack(column) for column in zip(*rows, strict=False)]


def test_points_and_games_add_up():
    """A reward is a point on the board; the 21st point ends the game and clears the board."""
    env = envs.make("pong", 64, seed=1, points_to_win=3)
    observations, rewards, terminals = play(env, follow, 3000)
    points = np.rint(observations[..., [POINTS, RIVAL_POINTS]] * 3).astype(int)
    gained = points[1:] - points[:-1]
    own, rival = (rewards[:-1] == 1), (rewards[:-1] == -1)
    on = ~terminals[:-1]
    assert np.array_equal(gained[..., 0][on], own[on]) and np.array_equal(gained[..., 1][on], rival[on])
    assert (points[1:][terminals[:-1]] == 0).all() and terminals.sum() > 50
    last = points[:-1][terminals[:-1]] + np.stack([own, rival], -1)[terminals[:-1]]
    assert (last.max(1) == 3).all() and (last.min(1) < 3).all()


def test_score_entries_are_fractions_and_not_always_zero():
    """The streams divided whole numbers: both entries stayed 0 for whole games."""
    observations, _, _ = play(envs.make("pong", 32, seed=2), follow, 2000)
    assert 0 < observations[..., POINTS].max() < 1 and 0 < observations[..., RIVAL_POINTS].max() < 1


def test_serves_go_both_ways_about_equally_often():
    """`rand() % 2 - 1` served only to one side, or not at all."""
    observations, _ = envs.make("pong", 4000, seed=3).reset()
    assert (observations[:, VELOCITY_ACROSS] != 0).all()
    assert 0.45 < (observations[:, VELOCITY_ACROSS] > 0).mean() < 0.55


def test_holding_an_action_for_four_frames_is_four_steps_of_one():
    one, four = envs.make("pong", 128, seed=4, frame_skip=1), envs.make("pong", 128, seed=4, frame_skip=4)
    a, b = one.reset()[0], four.reset()[0]
    rng = np.random.default_rng(0)
    for _ in range(500):
        actions = rng.integers(0, 3, 128, dtype=np.int32)
        rewards = sum(one.step(actions)[1].copy() for _ in range(4))
        _, held, terminals, _, _ = four.step(actions)
        if terminals.any():
            break                                       # the next game begins with the next step, not within this one
        assert np.array_equal(held, rewards) and np.array_equal(a, b)


def test_the_ball_keeps_its_height_between_the_walls_and_never_passes_through_a_paddle():
    observations, _, _ = play(envs.make("pong", 64, seed=5, frame_skip=1), follow, 4000)
    assert (observations[..., DOWN] >= 0).all() and (observations[..., DOWN] <= 1).all()
    across = observations[..., ACROSS] * 160
    gap = np.abs(observations[..., DOWN] - observations[..., OWN]) * 120
    arrived = (across[:-1] < 151.99) & (across[1:] >= 151.99)
    passed = observations[1:, :, VELOCITY_ACROSS] > 0
    assert (arrived & passed).any() and (arrived & ~passed).any()
    assert (gap[1:][arrived & passed] > 9.5 - 1e-3).all() and (gap[1:][arrived & ~passed] < 9.5 + 1e-3).all()


def test_every_rally_ends_even_between_two_careful_players():
    _, rewards, _ = play(envs.make("pong", 64, seed=6, frame_skip=4), follow, 4000)
    points = (rewards != 0).sum(0)
    assert points.min() >= 8


def test_a_still_paddle_loses_every_game_and_a_following_one_wins_some():
    for policy, low, high in ((lambda o: np.zeros(len(o), np.int32), -21, -15), (follow, 5, 12)):
        env = envs.make("pong", 128, seed=7, frame_skip=4, report_interval=0)
        play(env, policy, 8000)
        assert low <= env.log()["score"] <= high


@pytest.mark.parametrize("wrong", [{"frame_skip": 0}, {"points_to_win": 0}, {"rival_speed": 3.0}])
def test_wrong_settings_are_refused(wrong):
    with pytest.raises(ValueError, match="expected"):
        envs.make("pong", **wrong)


def foresee(observations):
    """Wait in the middle while the ball goes away; when it comes, go where it will arrive, reflections at top and bottom included."""
    own, x, y, across, down = (observations[:, i].astype(float) * unit for i, unit in
                               ((OWN, 120), (ACROSS, 160), (DOWN, 120), (VELOCITY_ACROSS, 6), (VELOCITY_DOWN, 6)))
    coming = across > 0
    way = (y - 1.5 + down * np.where(coming, (152 - x).clip(0) / np.where(coming, across, 1), 0)) % 234
    gap = np.where(coming, 1.5 + np.where(way > 117, 234 - way, way), 60) - own
    return (2 * (gap > 5) + (gap < -5)).astype(np.int32)


def test_who_foresees_where_the_ball_arrives_loses_no_point():
    """So 21 to 0 is there to be learned: no serve and no return is out of the paddle's reach."""
    _, rewards, _ = play(envs.make("pong", 256, seed=5, frame_skip=4), foresee, 2000)
    assert (rewards == 1).sum() > 3000 and (rewards == -1).sum() == 0
