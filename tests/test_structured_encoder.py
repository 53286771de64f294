"""A network reads structured observations: unpacked inside the encoder, learned from, saved and loaded."""

import contextlib

import gymnasium
import numpy as np
import pytest
import torch
from gymnasium.spaces import Box, Dict, Discrete, MultiBinary, MultiDiscrete, Tuple
from random_spaces import random_space

import puffer_min
from puffer_min.emulation.observations import Layout
from puffer_min.env.puffer_env import PufferEnv
from puffer_min.learner.checkpoint import pack_space, unpack_space
from puffer_min.learner.networks.encoders import Structured, make_encoder


class Locks(gymnasium.Env):
    """Two locks; the observation says which is looked at and shows every key. Right is the lock's own key, and whether to turn it."""

    observation_space = Dict(lock=Discrete(2, start=5), keys=MultiDiscrete([3, 3]), turn=Box(-1, 1, (1,)), label=Tuple((MultiBinary(2),)))
    action_space = Dict(key=Discrete(3, start=1), turn=MultiBinary(1))

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.count = 0
        return self.look(), {}

    def look(self):
        draw = self.np_random
        self.seen = {"lock": int(draw.integers(5, 7)), "keys": draw.integers(0, 3, 2), "turn": np.float32([draw.choice([-1, 1])]),
                     "label": (draw.integers(0, 2, 2).astype(np.int8),)}
        return self.seen

    def step(self, action):
        right = action["key"] - 1 == self.seen["keys"][self.seen["lock"] - 5]
        turned = bool(action["turn"][0]) == bool(self.seen["turn"][0] > 0)
        self.count += 1
        return self.look(), float(right and turned), False, self.count >= 8, {}


def test_training_on_a_structured_environment_learns(tmp_path):
    settings = dict(num_envs=64, horizon=16, minibatch_size=512, learning_rate=5e-3, gamma=0.5, torch_threads=1)
    result = puffer_min.train(Locks, seed=0, total_steps=60_000, run_dir=tmp_path, **settings)
    assert result.history[0]["episode_return"] < 2.5 and result.history[-1]["episode_return"] > 7      # of 8; 1.3 by chance
    path = result.save(tmp_path / "locks.pt")
    policy = puffer_min.load_policy(path, greedy=True)
    vec = puffer_min.make_vec(Locks, num_envs=16)
    observations, _ = vec.reset(3)
    for _ in range(8):
        observations = vec.step(policy.act(observations))[0]
    assert vec.log()["episode_return"] > 7


def rows_of(layout, samples):
    rows = np.zeros((len(samples), *layout.row_space.shape), layout.row_space.dtype)
    for i, sample in enumerate(samples):
        layout.pack(sample, rows[i:i + 1])
    return torch.from_numpy(rows)


def test_a_table_is_a_linear_layer_over_one_hot_inputs():
    space = Dict(a=Discrete(3, start=-1), b=MultiDiscrete([2, 4], start=[1, 0]), c=Box(-4, 2, (2,)))
    layout = Layout(space)
    samples = [space.sample() for _ in range(20)]
    encoder = Structured(layout, 8)
    expected = []
    for s in samples:
        one_hot = np.zeros(9)
        one_hot[[s["a"] + 1, 3 + s["b"][0] - 1, 5 + s["b"][1]]] = 1
        numbers = torch.as_tensor(s["c"]) / 4
        expected.append(torch.as_tensor(one_hot, dtype=torch.float32) @ encoder.table.weight + encoder.layer(numbers))
    assert torch.allclose(encoder(rows_of(layout, samples)), torch.stack(expected), atol=1e-5)


def test_every_kind_of_leaf_enters_and_receives_a_gradient():
    random = np.random.default_rng(5)
    made = 0
    while made < 60:
        space = random_space(random)
        try:
            layout = Layout(space)
        except TypeError:
            continue
        if not layout.structured:
            continue
        made += 1
        encoder = make_encoder("auto", layout.row_space, 4)
        out = encoder(rows_of(layout, [space.sample() for _ in range(3)]))
        assert out.shape == (3, 4), space
        out.sum().backward()
        assert all(p.grad is not None for p in encoder.parameters())


def test_rows_of_one_dtype_need_no_unpacking():
    space = Layout(Dict(a=Box(-2, 2, (3,)), b=Box(0, 1, (2,)))).row_space
    assert make_encoder("scaled", space, 4).scale.tolist() == [0.5, 0.5, 0.5, 1, 1]


def test_bytes_are_not_taken_for_numbers():
    with pytest.raises(ValueError, match="encoder='scaled' given for structured observations, whose rows are bytes; use encoder=\"auto\""):
        make_encoder("scaled", Layout(Locks.observation_space).row_space, 4)


def test_three_thousand_random_spaces_survive_a_checkpoint(tmp_path):
    random, given = np.random.default_rng(1), []
    for _ in range(3000):
        space = random_space(random)
        with contextlib.suppress(TypeError):                    # a space that holds nothing has no row
            space = Layout(space).row_space if random.random() < 0.5 else space
        given.append(space)
    torch.save([pack_space(space) for space in given], tmp_path / "spaces.pt")
    loaded = [unpack_space(packed) for packed in torch.load(tmp_path / "spaces.pt", weights_only=True)]
    for space, other in zip(given, loaded, strict=True):
        assert other == space and getattr(other, "layout", None) == getattr(space, "layout", None), space
        assert space.dtype == other.dtype, space


def test_a_structured_environment_keeps_the_contract():
    report = puffer_min.check_environment(Locks)
    assert report.ok, report


def test_saved_state_of_a_structured_environment_goes_on():
    vec = puffer_min.make_vec(Locks, num_envs=3)
    assert not isinstance(vec, PufferEnv)
    vec.reset(0)
    actions = np.zeros((3, 2), np.int32)
    vec.step(actions)
    saved = vec.get_state()
    expected = [vec.step(actions)[0].copy() for _ in range(20)]
    vec.set_state(saved)
    assert all(np.array_equal(a, vec.step(actions)[0]) for a in expected)
