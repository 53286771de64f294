"""`Atari` plays Gymnasium's preprocessing to the bit, and its small frames are OpenCV's."""

import numpy as np
import pytest

from puffer_min.vector import make_vec
from puffer_min.wrappers.pixels import Shrink, areas, nearest

cv2 = pytest.importorskip("cv2", reason="the reference of the small frames is OpenCV: pip install opencv-python-headless")


def small(one, other, ways):
    """The frame of two screens, given as grey pictures: the colours are the greys themselves."""
    shrink = Shrink(*one.shape, *ways)
    for which, picture in enumerate((one, other)):
        shrink.screen[:] = picture
        if not shrink.look(which):
            shrink.teach(which, picture)
    frame = np.empty((len(ways[0][0]), len(ways[1][0])), np.uint8)
    shrink.write(frame)
    return frame


@pytest.mark.parametrize("shape", [(210, 160), (250, 160), (120, 160), (90, 97)], ids=str)
def test_a_small_frame_is_opencvs_mean_over_areas_of_the_maximum(shape):
    random = np.random.default_rng(0)
    for _ in range(20):
        one, other = random.integers(0, 256, (2, *shape), np.uint8)
        expected = cv2.resize(np.maximum(one, other), (84, 84), interpolation=cv2.INTER_AREA)
        assert np.array_equal(small(one, other, (areas(shape[0], 84), areas(shape[1], 84))), expected)


def test_the_nearest_pixel_is_opencvs_and_every_second_pixel_at_half_the_size():
    one, other = np.random.default_rng(1).integers(0, 256, (2, 210, 160), np.uint8)
    largest = np.maximum(one, other)
    assert np.array_equal(small(one, other, (nearest(210, 105), nearest(160, 80))), largest[::2, ::2])
    expected = cv2.resize(largest, (84, 84), interpolation=cv2.INTER_NEAREST)
    assert np.array_equal(small(one, other, (nearest(210, 84), nearest(160, 84))), expected)


def test_rows_that_did_not_change_are_still_those_of_the_screens():
    random, ways = np.random.default_rng(2), (areas(210, 84), areas(160, 84))
    shrink, screens, frame = Shrink(210, 160, *ways), np.zeros((2, 210, 160), np.uint8), np.empty((84, 84), np.uint8)
    for _ in range(60):
        for which in (0, 1):
            row = random.integers(0, 200)
            screens[which, row:row + random.integers(0, 12)] = random.integers(0, 256)
            shrink.screen[:] = screens[which]
            if not shrink.look(which):
                shrink.teach(which, screens[which])
        shrink.write(frame)
        assert np.array_equal(frame, cv2.resize(screens.max(0), (84, 84), interpolation=cv2.INTER_AREA))


def test_a_frame_of_another_shape_is_refused():
    with pytest.raises(ValueError, match="frame of shape 80 x 80 given, expected 84 x 84"):
        Shrink(210, 160, areas(210, 84), areas(160, 84)).write(np.zeros((80, 80), np.uint8))


# ---------------------------------------------------------------------- the games

def atari():
    """(ale_py, Atari), or a skip with a sentence."""
    ale_py = pytest.importorskip("ale_py", reason="Atari's games are in ale-py: pip install ale-py")
    from puffer_min.wrappers.atari import Atari
    return ale_py, Atari


def reference(game, frames, sticky, **settings):
    """Gymnasium's preprocessing of a game."""
    gymnasium = pytest.importorskip("gymnasium")
    gymnasium.register_envs(atari()[0])
    env = gymnasium.make(f"ALE/{game}-v5", frameskip=1, repeat_action_probability=sticky)
    env = gymnasium.wrappers.AtariPreprocessing(env, **settings)
    return gymnasium.wrappers.FrameStackObservation(env, frames)


@pytest.mark.parametrize("game, name, skip", [("Breakout", "breakout", 4), ("Pong", "pong", 4), ("Robotank", "robotank", 2),
                                              ("MsPacman", "ms_pacman", 4), ("Freeway", "freeway", 1)])
def test_a_game_is_gymnasiums_preprocessing_to_the_bit(game, name, skip):
    theirs, random, ends = reference(game, 4, sticky=0.25, frame_skip=skip), np.random.default_rng(0), 0
    with make_vec(atari()[1], 1, game=name, frame_skip=skip, frame_stack=4, clip_rewards=False, sticky=0.25) as ours:
        assert np.array_equal(ours.reset(3)[0][0], theirs.reset(seed=3)[0])
        for _ in range(400):
            action = random.integers(ours.single_action_space.n)
            expected, reward, terminated, truncated, _ = theirs.step(action)
            observations, rewards, terminals, truncations, _ = ours.step(np.array([action], np.int32))
            assert (rewards[0], terminals[0], truncations[0]) == (reward, terminated, truncated)
            if terminated or truncated:
                expected, ends = theirs.reset()[0], ends + 1
            assert np.array_equal(observations[0], expected)
    assert ends or name != "breakout"


def test_a_lost_life_ends_the_episode_but_not_the_game():
    Atari = atari()[1]
    env = Atari("breakout", episodic_life=True, start_actions=(1,))
    env.reset(0)
    random, lives, ends = np.random.default_rng(0), [], 0
    while ends < 7:
        env.step(random.integers(0, 4, 1).astype(np.int32))
        if env.terminals[0]:
            ends += 1
            lives.append(env.ale.lives())
    assert lives == [4, 3, 2, 1, 5, 4, 3]


def test_rewards_are_summed_before_they_are_clipped():
    """A submarine's shot is worth 20 points: its sign is 1, and the score counts the points."""
    Atari, played = atari()[1], {}
    for clip in (True, False):
        env, random, rewards = Atari("seaquest", clip_rewards=clip, max_frames=1600), np.random.default_rng(0), []
        env.report_interval = 0
        env.reset(0)
        while not (env.terminals[0] or env.truncations[0]):
            env.step(random.integers(0, 18, 1).astype(np.int32))
            rewards.append(float(env.rewards[0]))
        played[clip] = np.array(rewards), env.log()
    (signs, log), (points, _) = played[True], played[False]
    assert points.max() > 1 and np.array_equal(signs, np.sign(points))
    assert log["score"] == points.sum() and log["episode_return"] == signs.sum()


def test_a_game_that_is_cut_is_truncated_and_keeps_its_last_observation():
    Atari = atari()[1]
    env = Atari("pong", max_frames=200, noops=0)
    env.reset(0)
    cut = []
    for step in range(1, 120):
        env.step(np.zeros(1, np.int32))
        if env.truncations[0]:
            cut.append(step)
            assert not env.terminals[0] and env.final_observations[0].any()
    assert cut[:2] == [50, 100]


@pytest.mark.parametrize("backend, workers", [("process", 2), ("thread", 2)])
def test_trajectories_are_the_same_on_every_backend(backend, workers):
    Atari, settings, random = atari()[1], {"game": "breakout", "frame_stack": 2, "sticky": 0.25}, np.random.default_rng(0)
    with make_vec(Atari, 2, **settings) as one, make_vec(Atari, 2, workers, backend, **settings) as many:
        assert np.array_equal(one.reset(5)[0], many.reset(5)[0])
        for _ in range(60):
            actions = random.integers(0, 4, 2).astype(np.int32)
            for ours, theirs in zip(one.step(actions)[:4], many.step(actions)[:4], strict=True):
                assert np.array_equal(ours, theirs)


def test_a_state_brings_a_game_back():
    Atari, random = atari()[1], np.random.default_rng(0)
    actions = random.integers(0, 4, (50, 1)).astype(np.int32)
    with make_vec(Atari, 1, game="breakout", sticky=0.25) as vec:
        vec.reset(0)
        for row in actions[:25]:
            vec.step(row)
        state = vec.get_state()
        seen = [vec.step(row)[0].copy() for row in actions[25:]]
        vec.set_state(state)
        assert all(np.array_equal(vec.step(row)[0], frame) for row, frame in zip(actions[25:], seen, strict=True))


def test_the_consoles_memory_is_an_observation():
    with make_vec(atari()[1], 1, game="pong", observation="ram") as vec:
        seen = [vec.reset(0)[0].copy()] + [vec.step(np.full(1, 2, np.int32))[0].copy() for _ in range(20)]
        assert vec.observations.shape == (1, 128) and len({row.tobytes() for row in seen}) > 10
        assert np.array_equal(vec.observations[0], vec.call("ale")[0].getRAM())


@pytest.mark.parametrize("settings, sentence", [
    ({"game": "breakdown"}, "game='breakdown' given, expected one of"), ({"observation": "big"}, "observation='big' given"),
    ({"frame_skip": 0}, "frame_skip"), ({"size": (84,)}, "size="), ({"size": (84, 900)}, "size"), ({"start_actions": (9,)}, "start_actions"), ({"sticky": 1.5}, "sticky")])
def test_a_setting_that_does_not_fit_is_refused(settings, sentence):
    with pytest.raises(ValueError, match=sentence):
        atari()[1](**settings)


def test_a_console_of_ones_own_is_played_without_ale_py(monkeypatch):
    from puffer_min.course.console import PongConsole
    from puffer_min.wrappers import atari
    monkeypatch.setattr(atari, "ale_py", None)
    settings = {"emulator": PongConsole, "size": (30, 40), "frame_stack": 2}
    with make_vec(atari.Atari, 2, **settings) as one, make_vec(atari.Atari, 2, 2, "process", **settings) as other:
        random, ends = np.random.default_rng(0), 0
        assert np.array_equal(one.reset(1)[0], other.reset(1)[0]) and one.observations.any()
        for _ in range(300):
            actions = random.integers(0, 3, 2).astype(np.int32)
            ends += np.count_nonzero(one.step(actions)[2])
            assert np.array_equal(one.observations, other.step(actions)[0])
        state = one.get_state()
        frames = [one.step(actions)[0].copy() for _ in range(9)]
        one.set_state(state)
        assert ends and all(np.array_equal(one.step(actions)[0], frame) for frame in frames)


def test_without_ale_py_the_error_says_what_to_install(monkeypatch):
    from puffer_min.wrappers import atari
    monkeypatch.setattr(atari, "ale_py", None)
    with pytest.raises(ImportError, match="pip install ale-py"):
        atari.Atari()
