"""A person can play every environment: keys that mean something, pictures that show what happens."""

import environments
import numpy as np
import pytest
from environments import make, random_actions
from gymnasium import spaces

from puffer_min.commands.game import Game, key_actions
from puffer_min.course import Player

every_environment = pytest.mark.parametrize("name", environments.names())


@every_environment
def test_every_key_is_an_action_of_the_space(name):
    env = make(name, 1)
    actions = [*key_actions(env).values(), *([] if env.idle_action is None else [env.idle_action])]
    for action in actions:
        action = np.array(action, env.actions.dtype)
        if isinstance(env.single_action_space, spaces.Box):
            action = np.broadcast_to(action, env.single_action_space.shape)
        assert env.single_action_space.contains(action if action.ndim else env.single_action_space.dtype.type(action)), action


@every_environment
def test_the_keys_reach_every_action(name):
    """Every action has a key, or is what happens without one; of several components each goes both ways, where there is a way."""
    env = make(name, 1)
    actions = np.array([*env.keys.values(), *([] if env.idle_action is None else [env.idle_action])])
    if isinstance(env.single_action_space, spaces.Discrete):
        no_op = {"triple_triad": {0}}.get(name, set())                # nobody wants to waste a step
        assert set(actions.tolist()) | no_op == set(range(env.single_action_space.n))
    else:
        idle = np.array(env.idle_action)
        space = env.single_action_space
        low, high = (space.low, space.high) if isinstance(space, spaces.Box) else (0, space.nvec - 1)
        assert (((actions < idle).any(0) | (idle == low)) & ((actions > idle).any(0) | (idle == high))).all()


@every_environment
def test_the_player_presses_each_key_and_the_game_goes_on(name):
    env = make(name, 1)
    player = Player(env, seed=0)
    assert player.controller == "human"
    for count, (key, action) in enumerate(key_actions(env).items(), 1):
        player.press(key)
        player.step()
        assert player.readout["error"] == "" and player.readout["step"] == count
        assert np.array_equal(env.actions[0], np.broadcast_to(np.array(action, env.actions.dtype), env.actions[0].shape)), key


@every_environment
def test_every_action_has_words_beside_its_keys(name):
    words = [description for _, description in Game(make(name, 1)).legend()]
    assert all(words) and len(set(words)) == len(words)


@every_environment
def test_a_picture_is_an_rgb_array_of_its_own_and_shows_each_state(name):
    """Random play gives many different pictures, and an old one is not painted over."""
    env = make(name, 2)
    env.reset(seed=0)
    random, pictures = np.random.RandomState(0), []
    for _ in range(30):
        picture = env.render(1)
        assert picture.dtype == np.uint8 and picture.ndim == 3 and picture.shape[2] == 3
        assert 40 <= min(picture.shape[:2]) and max(picture.shape[:2]) <= 1000, "large enough to see, small enough for a page"
        pictures.append((picture, picture.copy()))
        env.step(random_actions(env, random))
    assert all(np.array_equal(picture, copy) for picture, copy in pictures)
    assert len({copy.tobytes() for _, copy in pictures}) >= 4


@every_environment
def test_the_same_state_gives_the_same_picture(name):
    env = make(name, 2)
    env.reset(seed=0)
    random = np.random.RandomState(1)
    for _ in range(12):
        env.step(random_actions(env, random))
    state, picture = env.get_state(), env.render(1)
    for _ in range(12):
        env.step(random_actions(env, random))
    env.set_state(state)
    assert np.array_equal(env.render(1), picture)


@every_environment
def test_there_is_no_picture_of_an_environment_that_does_not_exist(name):
    env = make(name, 2)
    env.reset(seed=0)
    for index in (2, 10**6):
        with pytest.raises(IndexError):
            env.render(index)
    env.close()
    with pytest.raises(RuntimeError, match="is closed or was never prepared"):
        env.render()
