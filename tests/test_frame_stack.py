"""A frame stack holds the last k observations of the running episode and of no other, on every backend."""

from collections import deque

import gymnasium
import numpy as np
import pytest
from gymnasium.spaces import Box, Dict, Discrete
from vectorizer_environments import Counter, Walk

import puffer_min
from puffer_min.env.actions import random_actions
from puffer_min.env.puffer_env import PufferEnv
from puffer_min.vector import make_batch, make_vec
from puffer_min.wrappers.frame_stack import StackedBatch

BACKENDS = [("serial", 1), ("thread", 2), ("process", 2)]


class SlowStack:
    """The stack as everybody writes it: a deque for each agent, filled where an episode begins."""

    def __init__(self, observations, frames):
        self.frames, self.stacks = frames, [deque([row.copy()] * frames, frames) for row in observations]

    def step(self, env, lived):
        """Take a step of the bare environment; returns the stacks, and the last stack of each ended episode."""
        last = {}
        for i, (row, stack) in enumerate(zip(env.observations, self.stacks, strict=True)):
            if env.terminals[i] or env.truncations[i]:
                if env.final_observations is not None:
                    last[i] = np.stack([*list(stack)[1:], env.final_observations[i]])
            if env.masks[i] and (env.terminals[i] or env.truncations[i] or not lived[i]):
                stack.extend([row.copy()] * self.frames)
            else:
                stack.append(row.copy())
        return np.stack(self.stacks), last


def same_as_slow(make_env, steps, num_envs=4, frames=3, backend="serial", workers=1, **settings):
    """Play the bare and the stacked environments side by side; returns the number of ended episodes."""
    random, ends = np.random.default_rng(0), 0
    bare = make_vec(make_env, num_envs, **settings)
    with make_vec(make_env, num_envs, workers, backend, frame_stack=frames, **settings) as vec, bare:
        slow = SlowStack(bare.reset(7)[0], frames)
        assert np.array_equal(vec.reset(7)[0], np.stack(slow.stacks))
        for _ in range(steps):
            actions, lived = random_actions(bare.single_action_space, bare.num_agents, random), bare.masks.copy()
            bare.step(actions)
            expected, last = slow.step(bare, lived)
            observations, rewards, terminals, truncations, _ = vec.step(actions)
            assert np.array_equal(observations[bare.masks], expected[bare.masks])
            for name, array in (("rewards", rewards), ("terminals", terminals), ("truncations", truncations)):
                assert np.array_equal(array, getattr(bare, name))
            for i, stack in last.items():
                if bare.truncations[i] or vec.keeps_last_observations:
                    assert np.array_equal(vec.final_observations[i], stack)
            ends += np.count_nonzero(terminals | truncations)
        assert vec.log() == bare.log()
    return ends


def cartpole():
    return gymnasium.make("CartPole-v1")


@pytest.mark.parametrize("backend, workers", BACKENDS)
@pytest.mark.parametrize("make_env", ["cartpole", "snake", "drive", Walk, cartpole], ids=lambda each: getattr(each, "__name__", each))
def test_stacks_are_those_of_a_deque_for_each_agent(make_env, backend, workers):
    """Native and Python, ended and cut, one agent and many; the slots of `drive` empty and fill again."""
    assert same_as_slow(make_env, 60, backend=backend, workers=workers) > 0


def test_nothing_of_the_episode_before_is_left_in_a_stack():
    """Counter's episodes end at every 7th step; its first observation is that of the step itself."""
    with make_vec(Counter, 2, frame_stack=4) as vec:
        vec.reset(0)
        for step in range(1, 30):
            counts = vec.step(np.zeros_like(vec.actions))[0][:, :, 1]
            begun = step - step % 7                 # the newest observation that an episode began with
            assert (counts == np.maximum(np.arange(step - 3, step + 1), begun)).all()


class Once(PufferEnv):
    """Two slots; the second is empty in steps 3 to 5. What an empty slot shows is 99."""

    def __init__(self, **base):
        self.single_observation_space, self.single_action_space = Box(0, 99, (1,), np.int32), Discrete(2)
        self.num_agents = 2
        super().__init__(**base)

    def reset(self, seed=None):
        self.begin_reset(seed)
        self.count, self.observations[:] = 0, 0
        return self.observations, []

    def step(self, actions):
        self.begin_step(actions)
        self.count += 1
        self.masks[1] = not 3 <= self.count <= 5
        self.terminals[1] = self.count == 3
        self.observations[:, 0] = self.count, self.count if self.masks[1] else 99
        return self.finish_step()


def test_an_agent_that_appears_later_has_nothing_of_the_slots_last_one():
    with make_vec(Once, 1, frame_stack=3) as vec:
        vec.reset(0)
        seen = [vec.step(np.zeros_like(vec.actions))[0][:, :, 0].copy() for _ in range(7)]
    assert seen[5][1].tolist() == [6, 6, 6] and seen[6][1].tolist() == [6, 6, 7]
    assert seen[5][0].tolist() == [4, 5, 6]


def test_asynchronous_halves_receive_stacks():
    with make_vec(Counter, 4, 4, "process", batch_envs=2, frame_stack=2) as vec:
        vec.async_reset(0)
        counts = np.zeros(4, int)
        for _ in range(40):
            received = vec.recv()
            assert (received.observations[:, 1, 1] == counts[received.rows]).all()
            counts[received.rows] += 1
            vec.send(np.zeros(len(received.rewards), np.int32))


@pytest.mark.parametrize("make_env", ["pong", Walk])
def test_a_state_brings_the_stacks_back(make_env):
    random = np.random.default_rng(1)
    with make_vec(make_env, 3, frame_stack=4) as vec:
        actions = random.integers(0, 3, (40, 3)).astype(np.int32)
        vec.reset(0)
        for row in actions[:20]:
            vec.step(row)
        state = vec.get_state()
        first = [vec.step(row)[0].copy() for row in actions[20:]]
        vec.set_state(state)
        assert all(np.array_equal(vec.step(row)[0], seen) for row, seen in zip(actions[20:], first, strict=True))


def test_a_step_writes_into_the_same_memory_and_moves_along_with_new_buffers():
    batch = make_batch("pong", 5, frame_stack=4)
    assert isinstance(batch, StackedBatch)
    before = batch.reset(0)[0]
    batch.step(np.zeros_like(batch.actions))
    assert batch.step(np.zeros_like(batch.actions))[0] is before
    kept, old = before.copy(), batch.buffers
    batch.bind(type(old)(*(None if array is None else np.zeros_like(array) for array in old)))
    assert np.array_equal(batch.observations, kept) and batch.observations is not before
    assert np.array_equal(batch.step(np.zeros_like(batch.actions))[0][:, :3], kept[:, 1:])
    assert np.array_equal(before, kept)
    batch.close()
    with pytest.raises(RuntimeError, match="closed"):
        batch.step(np.zeros(5, np.int32))


def test_training_and_evaluation_play_the_stacked_game(tmp_path):
    result = puffer_min.train("cartpole", total_steps=8192, env_settings={"frame_stack": 2}, run_dir=tmp_path,
                              dashboard=None)
    assert result.policy.act(np.zeros((3, 2, 4), np.float32)).shape == (3,)
    report = puffer_min.evaluate("cartpole", result.policy, episodes=5, env_settings={"frame_stack": 2})
    assert report["episodes"] >= 5
    again = puffer_min.train("cartpole", resume=result.checkpoint, total_steps=16384, dashboard=None)
    assert again.description["env_settings"] == {"frame_stack": 2} and again.env_name == "cartpole"


@pytest.mark.parametrize("frames", [0, -1, 1.5, "four", 4096])
def test_a_number_of_frames_that_is_none_is_refused(frames):
    with pytest.raises(ValueError, match="frame_stack"):
        make_vec("pong", 2, frame_stack=frames)


def test_structured_observations_are_refused_in_a_sentence():
    class Structured(gymnasium.Env):
        observation_space = Dict(place=Box(0, 1, (2,), np.float32), kind=Discrete(20))
        action_space = Discrete(2)

    with pytest.raises(TypeError, match="frame_stack=2 given for structured observations"):
        make_vec(Structured, 1, frame_stack=2)
