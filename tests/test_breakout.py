"""breakout: bricks, balls, speeds and ends, and a wall that is really all gone when it is cleared."""

import numpy as np
import pytest

import envs

PADDLE, BALL, BALL_DOWN, ACROSS, DOWN, FLYING, BALLS, WIDTH, BROKEN, BRICKS = *range(9), slice(9, 117)
VALUES = np.repeat([7, 7, 4, 4, 1, 1], 18)


class Tracker:
    """A careful player: keeps under the ball, with an offset that changes now and then so that the ball does not go in circles."""

    def __init__(self, num_envs, seed):
        self.rng, self.step, self.num_envs = np.random.default_rng(seed), 0, num_envs

    def __call__(self, observations):
        if self.step % 40 == 0:
            self.offset = self.rng.uniform(-0.045, 0.045, self.num_envs)
        self.step += 1
        gap = observations[:, BALL] + self.offset * observations[:, WIDTH] - observations[:, PADDLE]
        aim = np.where(gap > 0.01, 3, np.where(gap < -0.01, 2, 0))
        return np.where(observations[:, FLYING] == 0, 1, aim).astype(np.int32)


def play(env, policy, steps):
    observations, _ = env.reset()
    rows = []
    for _ in range(steps):
        before = observations.copy()
        _, rewards, terminals, _, _ = env.step(policy(observations))
        rows.append((before, rewards.copy(), terminals.copy()))
    return [np.stack(column) for column in zip(*rows, strict=False)]


def standing(observations):
    """Bricks of this wall that stand; observations (..., 117)."""
    return (observations[..., BRICKS] > 0).sum(-1)


def second_wall(observations):
    """Whether the first wall has been cleared and built anew: of the bricks that are broken, 108 are not missing here."""
    return np.rint(216 * observations[..., BROKEN]) + standing(observations) > 108


@pytest.fixture(scope="module")
def games():
    return play(envs.make("breakout", 128, seed=1), Tracker(128, 0), 4500)


def test_a_reward_is_a_brick_gone(games):
    observations, rewards, terminals = games
    bricks, second = standing(observations), second_wall(observations)
    same_wall = (second[1:] == second[:-1]) & ~terminals[:-1]
    assert np.array_equal((bricks[:-1] - bricks[1:])[same_wall], rewards[:-1][same_wall])
    assert np.unique(observations[..., BRICKS]).tolist() == [0.0, np.float32(1 / 108)]


def test_the_share_of_broken_bricks_counts_both_walls(games):
    observations, rewards, terminals = games
    broken = 216 * observations[..., BROKEN]
    assert np.allclose(broken, np.rint(broken), atol=1e-3)
    assert np.array_equal(np.rint(broken[1:] - broken[:-1])[~terminals[:-1]], rewards[:-1][~terminals[:-1]])
    assert (broken[1:][terminals[:-1]] == 0).all() and broken.max() > 150


def test_a_cleared_wall_is_rebuilt_once_and_the_second_ends_the_episode(games):
    observations, rewards, terminals = games
    second = second_wall(observations)
    rebuilt = second[1:] & ~second[:-1]
    assert rebuilt.any() and (standing(observations[:-1][rebuilt]) <= 2).all()
    first_end = [int(column.argmax()) if column.any() else len(column) for column in terminals.T]
    returns = np.array([rewards[:end + 1, n].sum() for n, end in enumerate(first_end)])
    assert 108 < returns.max() <= 216, "two walls hold 216 bricks"


def test_score_is_the_value_of_the_bricks_and_return_their_number():
    assert 2 * VALUES.sum() == 864
    env = envs.make("breakout", 1, seed=3, report_interval=0)
    observations, rewards, terminals = play(env, Tracker(1, 1), 1)
    value, episode, player = 0, 0, Tracker(1, 1)
    current = env.reset(seed=3)[0]
    for _ in range(12000):
        before = current[0].copy()
        _, rewards, terminals, _, _ = env.step(player(current))
        episode += rewards[0]
        if terminals[0]:
            break
        if second_wall(before) == second_wall(current[0]):
            value += VALUES[before[BRICKS] > current[0, BRICKS]].sum()
    log = env.log()
    assert log["n"] == 1 and log["episode_return"] == episode
    assert value <= log["score"] <= value + 14, "the bricks of the last step and of a rebuilt wall are not in the observations"


def test_an_idle_player_does_not_play_for_ever():
    """The ball is fired after 60 frames, so an episode of six lost balls ends."""
    env = envs.make("breakout", 64, seed=2, report_interval=0)
    play(env, lambda observations: np.zeros(64, np.int32), 1000)
    assert env.log()["n"] > 100


def test_a_ball_that_breaks_nothing_is_taken_away():
    env = envs.make("breakout", 32, seed=2, patience=20)
    observations, _, terminals = play(env, Tracker(32, 0), 400)
    assert terminals.any()


def test_the_paddle_shrinks_at_the_top_wall_and_the_ball_only_gets_faster(games):
    observations, _, terminals = games
    assert set(np.unique(observations[..., WIDTH])) == {0.5, 1.0}
    speed = np.hypot(observations[..., ACROSS], observations[..., DOWN])
    same_ball = (observations[1:, :, FLYING] == 1) & (observations[:-1, :, FLYING] == 1) & (observations[1:, :, BALLS] == observations[:-1, :, BALLS])
    same_ball &= ~terminals[:-1]
    assert (speed[1:] - speed[:-1])[same_ball].min() > -1e-5
    assert np.ptp(speed[observations[..., FLYING] == 1]) > 0.3 and speed.max() <= 1 + 1e-5


def test_the_ball_stays_in_the_field_and_leaves_it_only_at_the_bottom(games):
    observations, _, _ = games
    assert observations[..., BALL].min() >= 3 / 576 - 1e-6 and observations[..., BALL].max() <= 1 - 3 / 576 + 1e-6
    assert observations[..., BALL_DOWN].min() >= 3 / 330 - 1e-6


def test_holding_an_action_for_four_frames_is_four_steps_of_one():
    one, four = envs.make("breakout", 64, seed=4, frame_skip=1), envs.make("breakout", 64, seed=4, frame_skip=4)
    a, b = one.reset()[0], four.reset()[0]
    rng = np.random.default_rng(0)
    for _ in range(600):
        actions = rng.integers(0, 4, 64, dtype=np.int32)
        steps = [tuple(x.copy() for x in one.step(actions)[1:3]) for _ in range(4)]
        _, rewards, terminals, _, _ = four.step(actions)
        if terminals.any():
            break                                       # the new game begins with the next step, not within this one
        assert np.array_equal(rewards, sum(r for r, _ in steps)) and np.array_equal(a, b)


@pytest.mark.parametrize("wrong", [{"frame_skip": 0}, {"patience": 0}])
def test_wrong_settings_are_refused(wrong):
    with pytest.raises(ValueError, match="expected"):
        envs.make("breakout", **wrong)
