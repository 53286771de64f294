"""The policy: scaled inputs, one head, a memory that is replayed exactly, and a face in NumPy for those who play."""

import functools
import math
import re
import textwrap

import numpy as np
import pytest
import torch
from gymnasium import spaces

import envs
import puffer_min
from puffer_min import load_policy
from puffer_min.env.actions import RandomPolicy
from puffer_min.env.spec import EnvSpec
from puffer_min.learner import kernels
from puffer_min.learner import policy as policy_module
from puffer_min.learner.actor import Actor, build_policy, find_factory, name_of_factory
from puffer_min.learner.checkpoint import CheckpointError, describe_policy, read_checkpoint, save_checkpoint
from puffer_min.learner.config import Config
from puffer_min.learner.distributions import distribution_of
from puffer_min.learner.kernels import lstm_cell, sparse
from puffer_min.learner.kernels.lstm import LSTM, Unroll, cell
from puffer_min.learner.networks.encoders import make_encoder, scale_of
from puffer_min.learner.policy import Policy, make_policy
from puffer_min.learner.ppo import PPO

NINE_CELLS, FIVE_ACTIONS = spaces.Box(0, 2, (9,), np.uint8), spaces.Discrete(5)


def policy_for(observation_space=NINE_CELLS, action_space=FIVE_ACTIONS, seed=0, **settings):
    torch.manual_seed(seed)
    return Policy(observation_space, action_space, **settings)


def bytes_of(shape, most=2, seed=0):
    return torch.from_numpy(np.random.default_rng(seed).integers(0, most + 1, shape, dtype=np.uint8))


@pytest.mark.parametrize("action_space, outputs", [
    (spaces.Discrete(5), 5), (spaces.MultiDiscrete([3, 4]), 7), (spaces.Box(-1, 1, (2,)), 4),
])
def test_outputs_are_actions_first_and_there_is_one_value_an_agent(action_space, outputs):
    given, values, _ = policy_for(action_space=action_space)(bytes_of((13, 9)))
    assert given.shape == (outputs, 13) and values.shape == (13,)
    assert given.is_contiguous() or outputs == 4


def test_at_first_every_action_is_about_equally_likely():
    outputs, _, _ = policy_for()(bytes_of((100, 9)))
    assert (torch.softmax(outputs, 0) - 0.2).abs().max() < 0.02


@pytest.mark.parametrize("low, high, dtype, expected", [
    (0, 255, np.uint8, 1 / 255), (0, 2, np.uint8, 0.5), (-6, 6, np.int8, 1 / 6), (-1, 1, np.float32, 1.0), (-4, 2, np.float32, 0.25),
    (-np.inf, np.inf, np.float32, 1.0), (0, 0, np.uint8, 1.0),
])
def test_observations_are_scaled_by_the_bounds_of_their_space(low, high, dtype, expected):
    space = spaces.Box(low, high, (3,), dtype)
    assert scale_of(space.low, space.high).tolist() == pytest.approx([expected] * 3)


def test_unbounded_numbers_stay_and_bounded_ones_beside_them_are_scaled():
    space = envs.make("cartpole").single_observation_space
    assert scale_of(space.low, space.high).tolist() == pytest.approx([1 / 4.8, 1, 1 / 0.41887903, 1])


def test_the_scaled_encoder_is_a_linear_layer_over_scaled_numbers():
    space = spaces.Box(np.float32([0, -2]), np.float32([10, 4]))
    encoder = make_encoder("auto", space, 8)
    numbers = torch.tensor([[5.0, -1.0], [10.0, 4.0]])
    torch.testing.assert_close(encoder(numbers), encoder.layer(numbers / torch.tensor([10.0, 4.0])))


def test_the_standardising_encoder_is_a_linear_layer_over_numbers_of_mean_0_and_deviation_1():
    encoder, random = make_encoder("standard", spaces.Box(0, 100, (3,), np.float32), 8), torch.Generator().manual_seed(0)
    torch.testing.assert_close(encoder(torch.full((1, 3), 50.0)), encoder.layer(torch.full((1, 3), 0.5)), msg="scaled at first")
    rounds = [torch.randn(500, 3, generator=random) * torch.tensor([20.0, 1.0, 0.0]) + torch.tensor([30.0, 70.0, 5.0]) for _ in range(3)]
    for numbers in rounds:
        encoder.observe(numbers)
    everything = torch.cat(rounds)
    deviation = torch.tensor([everything[:, 0].std(correction=0), 10.0, 10.0])          # no less than a tenth of the bound
    expected = encoder.layer((everything - everything.mean(0)) / deviation)
    torch.testing.assert_close(encoder(everything), expected, rtol=1e-4, atol=1e-4)


BOUNDS = spaces.Box(0, np.uint8([[3, 1, 15, 2], [0, 2, 2, 1], [4, 4, 1, 9]]), (3, 4), np.uint8)       # one cell is always 0


@pytest.mark.parametrize("size", [8, 64, 100, 128])
@pytest.mark.parametrize("space", [spaces.Box(0, 3, (4,), np.uint8), BOUNDS], ids=["equal bounds", "unequal bounds"])
def test_the_onehot_encoder_is_a_linear_layer_over_one_input_for_each_value_and_so_is_its_gradient(space, size):
    encoder, most = make_encoder("onehot", space, size), space.high.ravel()
    cells = torch.from_numpy(np.random.default_rng(0).integers(0, space.high + 1, (50, *space.shape)).astype(np.uint8))
    dense = torch.cat([torch.nn.functional.one_hot(column.long(), 16)[:, 1:n + 1] for column, n in zip(cells.flatten(1).t(), most, strict=False)], 1)
    assert encoder.weight.shape == (most.sum(), size)
    expected = dense.float() @ encoder.weight + encoder.bias
    of_output = torch.randn(50, size, generator=torch.Generator().manual_seed(0))
    gradients = []
    for output in (encoder(cells), expected):
        torch.testing.assert_close(output, expected, rtol=1e-5, atol=1e-5)
        gradients.append(torch.autograd.grad(output, [encoder.weight, encoder.bias], of_output))
    torch.testing.assert_close(*gradients, rtol=1e-5, atol=1e-5)
    assert gradients[0][0].abs().sum() > 0


def test_elsewhere_than_on_the_cpu_the_onehot_inputs_are_written_out_with_the_same_result():
    encoder = make_encoder("onehot", BOUNDS, 64)
    cells = bytes_of((20, 3, 4), 1) * torch.from_numpy(BOUNDS.high)
    torch.testing.assert_close(encoder.double()(cells), encoder.float()(cells).double(), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", ["scaled", "standard", "onehot"])
def test_a_large_picture_of_zeros_is_no_more_than_the_product_can_do(name):
    cells = torch.zeros((3, 72, 72), dtype=torch.uint8)
    encoder = make_encoder(name, spaces.Box(0, 2, (72, 72), np.uint8), 8)
    torch.testing.assert_close(encoder(cells), torch.zeros(3, 8))


@pytest.mark.parametrize("dtype", [np.int8, np.int32])
def test_onehot_codes_may_be_of_any_whole_dtype(dtype):
    space = spaces.Box(0, 3, (6,), dtype)
    torch.manual_seed(0)
    signed = make_encoder("onehot", space, 16)
    torch.manual_seed(0)
    plain = make_encoder("onehot", spaces.Box(0, 3, (6,), np.uint8), 16)
    cells = bytes_of((30, 6), 3)
    torch.testing.assert_close(signed(cells.to(torch.from_numpy(np.zeros(1, dtype)).dtype)), plain(cells), rtol=1e-5, atol=1e-5)


def test_a_cell_above_the_bound_of_its_space_is_refused_by_name():
    encoder, cells = make_encoder("onehot", BOUNDS, 8), bytes_of((5, 3, 4), 0)
    cells[3, 1, 1] = 3
    with pytest.raises(ValueError, match="number 5 is above the bound of its space"):
        encoder(cells)


@pytest.mark.parametrize("given, message", [
    ({"cells": 11}, "11 cells of uint8 given, expected 12 of uint8"), ({"dtype": np.int8}, "12 cells of int8 given, expected 12 of uint8"),
    ({"rows": 43}, "5 x 8 outputs and weights 43 x 8 given, expected 5 x 8 and 44 x 8"), ({"size": 7}, "weights 44 x 7 given, expected 5 x 8 and 44 x 8"),
    ({"lines": 6}, "5 x 8 outputs .* expected 6 x 8"), ({"bias": 9}, "bias of 9 given, expected 8"),
    ({"cells": 4097, "most": np.ones(4097, np.uint8)}, "4097 cells of uint8 given, expected 4097 of uint8, 4096 at most"),
])
def test_the_sum_of_rows_refuses_sizes_that_do_not_fit(given, message):
    sizes = {"lines": 5, "cells": 12, "dtype": np.uint8, "most": BOUNDS.high.ravel(), "rows": 44, "size": 8, "bias": 8} | given
    observations = np.zeros((sizes["lines"], sizes["cells"]), sizes["dtype"])
    weight, bias, out = (np.zeros(shape, np.float32) for shape in ((sizes["rows"], sizes["size"]), sizes["bias"], (5, 8)))
    with pytest.raises(ValueError, match=message):
        sparse.rows_sum(observations, sizes["most"], weight, bias, out)


SIGNED = spaces.Box(-100, 100, (11, 11), np.int8)


def nearly_empty(space, count=50, filled=0.05):
    """Observations of which `filled` of the cells are not 0, their numbers drawn from the whole space."""
    random = np.random.default_rng(0)
    drawn = random.integers(space.low.astype(int), space.high.astype(int) + 1, (count, *space.shape))
    return torch.from_numpy((drawn * (random.random(drawn.shape) < filled)).astype(space.dtype))


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("size", [1, 8, 36, 64, 100, 128])
@pytest.mark.parametrize("space", [SIGNED, spaces.Box(0, 255, (70,), np.uint8), spaces.Box(0, 2, (3,), np.uint8)], ids=["int8", "uint8", "three cells"])
@pytest.mark.parametrize("name", ["scaled", "standard"])
def test_few_numbers_that_are_not_0_give_what_the_product_gives_and_so_does_their_gradient(monkeypatch, name, space, size, threads):
    encoder, cells = make_encoder(name, space, size), nearly_empty(space)
    if name == "standard":
        encoder.observe(cells[:40])
    of_output, results = torch.randn(50, size, generator=torch.Generator().manual_seed(0)), []
    for most_filled in (1.1, 0.0):                  # always sparse, never
        monkeypatch.setattr(kernels, "FEW", most_filled)
        monkeypatch.setattr(torch, "get_num_threads", lambda: threads)
        output = encoder(cells)
        assert ("SumOfRows" in repr(output.grad_fn)) == (most_filled > 1)
        results.append((output, *torch.autograd.grad(output, [encoder.layer.weight, encoder.layer.bias], of_output)))
    for summed, product in zip(*results, strict=True):
        torch.testing.assert_close(summed, product, rtol=1e-4, atol=1e-4)
    assert results[0][1].abs().sum() > 0


def test_the_sum_of_rows_is_the_same_to_the_last_digit_for_any_number_of_threads():
    random, most = np.random.default_rng(1), BOUNDS.high.ravel()
    cells = random.integers(0, most + 1, (300, 12)).astype(np.uint8)
    weight, bias, grad = (random.normal(size=shape).astype(np.float32) for shape in ((44, 100), 100, (300, 100)))
    results = []
    for threads in (1, 2, 3, 8):
        out, of_weight = np.zeros((300, 100), np.float32), np.zeros((44, 100), np.float32)
        sparse.rows_sum(cells, most, weight, bias, out, threads)
        sparse.rows_gradient(cells, most, grad, of_weight, threads)
        results.append((out, of_weight))
    for out, of_weight in results[1:]:
        np.testing.assert_array_equal(out, results[0][0])
        np.testing.assert_array_equal(of_weight, results[0][1])


def test_the_product_is_taken_where_many_numbers_are_not_0():
    encoder = make_encoder("scaled", SIGNED, 8)
    few, many = nearly_empty(SIGNED, filled=0.1), nearly_empty(SIGNED, filled=0.3)
    assert "SumOfRows" in repr(encoder(few).grad_fn) and "SumOfRows" not in repr(encoder(many).grad_fn)
    assert sparse.density(many.flatten(1).numpy()) == pytest.approx(0.3, abs=0.05)
    assert sparse.density(np.zeros((0, 5), np.uint8)) == 0


@pytest.mark.parametrize("space", [
    spaces.Box(0, 2, (7, 7), np.uint8), spaces.Box(0, 10, (7, 7, 3), np.uint8), spaces.Box(0, 255, (8, 6, 3), np.uint8),
    spaces.Box(-1, 1, (5, 5), np.float32),
])
def test_the_convolution_takes_pictures_of_codes_and_of_quantities(space):
    policy = policy_for(space, encoder="conv")
    space.seed(0)
    pictures = torch.from_numpy(np.stack([space.sample() for _ in range(3)]))
    outputs, values, _ = policy(pictures)
    assert outputs.shape == (5, 3) and torch.isfinite(outputs).all() and torch.isfinite(values).all()


def test_a_convolution_sees_the_same_wherever_a_row_is_in_the_batch():
    policy = policy_for(spaces.Box(0, 3, (5, 6, 2), np.uint8), encoder="conv")
    pictures = bytes_of((4, 5, 6, 2), 3)
    torch.testing.assert_close(policy(pictures)[0][:, 2:3], policy(pictures[2:3])[0], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("dtype", [np.uint8, np.int8, np.uint16, np.int32, np.uint32, np.int64, np.uint64, np.float32, np.float64])
@pytest.mark.parametrize("name", ["auto", "standard", "onehot", "conv"])
def test_every_encoder_takes_every_dtype_with_the_same_result(name, dtype):
    if name == "onehot" and np.dtype(dtype).kind == "f":
        pytest.skip("one-hot inputs are whole numbers")
    codes = np.random.default_rng(0).integers(0, 4, (6, 5, 4)).astype(dtype)
    results = []
    for kind in (dtype, np.float32 if np.dtype(dtype).kind == "f" else np.uint8):
        torch.manual_seed(0)
        encoder = make_encoder(name, spaces.Box(0, 3, (5, 4), kind), 8)
        results.append(encoder(torch.from_numpy(codes.astype(kind))))
    assert results[0].dtype == torch.float32
    torch.testing.assert_close(*results, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("dtype", [np.uint16, np.uint32, np.uint64, np.float64])
def test_the_convolution_scales_pictures_of_wide_numbers(dtype):
    high = 60_000
    encoder = make_encoder("conv", spaces.Box(0, high, (5, 4, 3), dtype), 8)
    picture = np.random.default_rng(0).integers(0, high, (2, 5, 4, 3)).astype(dtype)
    torch.manual_seed(0)
    expected = encoder.out(encoder.layers(torch.from_numpy(picture / high).float().permute(0, 3, 1, 2)).flatten(1))
    torch.testing.assert_close(encoder(torch.from_numpy(picture)), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("dtype, high", [(np.uint8, 255), (np.uint8, 3), (np.float32, 1)])
def test_a_picture_with_its_channels_first_is_seen_as_with_its_channels_last(dtype, high):
    results, picture = [], torch.from_numpy(np.random.default_rng(0).integers(0, high + 1, (2, 3, 8, 7)).astype(dtype))
    for shape, given in (((3, 8, 7), picture), ((8, 7, 3), picture.permute(0, 2, 3, 1))):
        torch.manual_seed(0)
        encoder = make_encoder("conv", spaces.Box(0, high, shape, dtype), 8)
        assert encoder.first == (shape == (3, 8, 7))
        results.append(encoder(given))
    torch.testing.assert_close(*results, rtol=1e-4, atol=1e-5)


def test_boards_of_many_planes_keep_their_channels_last():
    for shape in ((7, 7, 20), (4, 4, 20), (8, 8, 3), (3, 7, 3)):
        assert not make_encoder("conv", spaces.Box(0, 255, shape, np.uint8), 4).first, shape
    for shape in ((3, 84, 84), (4, 84, 84), (1, 28, 28)):
        assert make_encoder("conv", spaces.Box(0, 255, shape, np.uint8), 4).first, shape


@pytest.mark.parametrize("name, space, message", [
    ("onehot", spaces.Box(0, 255, (4,), np.uint8), "one-hot inputs need whole numbers from 0 to at most 15"),
    ("conv", spaces.Box(0, 1, (9,), np.uint8), r"needs a picture .* but the observation is \(9,\)"),
    ("convolution", spaces.Box(0, 1, (9,), np.uint8),
     "encoder='convolution' given, expected one of auto, scaled, standard, normalised, onehot, conv, nature, set"),
])
def test_an_encoder_that_does_not_fit_says_why(name, space, message):
    with pytest.raises(ValueError, match=message):
        make_encoder(name, space, 8)


SETS = {"cars": (2, 3, 4), "posts": (15, 5, 2)}         # of 26 numbers; 0, 1, 14 and 25 are the agent's own


def set_encoder(width=16):
    torch.manual_seed(0)
    return make_encoder("set", spaces.Box(-2, 2, (26,), np.float32), width, SETS)


def test_a_set_is_seen_the_same_in_whatever_order_its_members_stand():
    encoder, seen = set_encoder(), torch.randn(6, 26)
    mixed = seen.clone()
    mixed[:, 2:14] = seen[:, 2:14].view(6, 3, 4)[:, [2, 0, 1]].flatten(1)
    mixed[:, 15:25] = seen[:, 15:25].view(6, 5, 2)[:, [4, 2, 0, 1, 3]].flatten(1)
    torch.testing.assert_close(encoder(mixed), encoder(seen))
    for number in (0, 1, 14, 25, 2, 20):
        changed = seen.clone()
        changed[:, number] += 3
        assert not torch.allclose(encoder(changed), encoder(seen)), f"number {number} is not seen"


def test_absent_members_of_a_set_take_no_part_and_an_empty_set_is_zeros():
    encoder, seen = set_encoder(), torch.randn(6, 26)
    seen[:, 10:14] = 0                                  # the third car is absent
    fewer = make_encoder("set", spaces.Box(-2, 2, (22,), np.float32), 16, {"cars": (2, 2, 4), "posts": (11, 5, 2)})
    fewer.load_state_dict(encoder.state_dict())
    torch.testing.assert_close(encoder(seen), fewer(torch.cat([seen[:, :10], seen[:, 14:]], 1)))
    seen[:, 2:25] = 0
    own = seen[:, [0, 1, 14, 25]] / 2
    torch.testing.assert_close(encoder(seen), encoder.layer(torch.cat([own, torch.zeros(6, 32)], 1)))


@pytest.mark.parametrize("sets, sentence", [
    (None, "needs an environment that declares observation_sets"),
    ({"cars": (20, 3, 4)}, r"observation_sets\['cars'\] = \(20, 3, 4\) given, expected \(first, members, size\) within the 26 numbers"),
    ({"cars": (2, 3, 4), "posts": (13, 5, 2)}, "apart from the other sets"),
])
def test_a_layout_that_does_not_fit_is_refused_in_a_sentence(sets, sentence):
    with pytest.raises(ValueError, match=sentence):
        make_encoder("set", spaces.Box(-2, 2, (26,), np.float32), 16, sets)


def test_drive_declares_its_sets():
    env = envs.make("drive", 4, seed=1)
    env.reset(1)
    for name, (first, members, size) in env.observation_sets.items():
        things = env.observations[env.masks][:, first:first + members * size].reshape(-1, members, size)
        present = (things != 0).any(2)
        assert present.any() and (np.diff(present.astype(int), axis=1) <= 0).all(), f"{name}: present members come first"
        directions = np.hypot(*np.moveaxis(things[present][:, 2:4], 1, 0))
        assert np.allclose(directions, 1, atol=1e-5), f"{name}: third and fourth number are cosine and sine"


# ---------------------------------------------------------------------- memory

def step_by_step(policy, observations, state, ends):
    """Rows (rows, horizon, ...) one step at a time, the memory set to zero after every end: (outputs, values), as `replay` gives them."""
    outputs, values = [], []
    for t in range(observations.shape[1]):
        out, value, state = policy(observations[:, t], state)
        state = state * (~ends[:, t]).float().unsqueeze(1)
        outputs.append(out)
        values.append(value)
    return torch.stack(outputs, 2).flatten(1), torch.stack(values, 1).flatten()


@pytest.mark.parametrize("recurrent", [False, True])
def test_a_replay_equals_acting_step_by_step(recurrent):
    policy = policy_for(recurrent=recurrent, hidden_size=16)
    observations, random = bytes_of((6, 11, 9)), np.random.default_rng(1)
    ends = torch.from_numpy(random.random((6, 11)) < 0.2)
    state = torch.randn(6, policy.state_size)
    replayed = policy.replay(observations.flatten(0, 1), state, ends)
    for one, other in zip(replayed, step_by_step(policy, observations, state, ends), strict=False):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5)


def test_gradients_flow_back_through_time_and_not_across_an_end():
    policy = policy_for(spaces.Box(-1, 1, (3,)), recurrent=True, hidden_size=8)
    observations = torch.randn(1, 6, 3, requires_grad=True)
    ends = torch.tensor([[False, False, True, False, False, False]])
    _, values = policy.replay(observations.flatten(0, 1), torch.zeros(1, policy.state_size), ends)
    values[-1].backward()
    reached = observations.grad.abs().sum(2)[0] > 0
    assert reached.tolist() == [False] * 3 + [True] * 3


def test_memory_and_its_gradients_equal_torchs_lstm():
    torch.manual_seed(0)
    ours, peer = LSTM(8), torch.nn.LSTM(8, 8, batch_first=True)
    order = torch.cat([torch.arange(0, 16), torch.arange(24, 32), torch.arange(16, 24)])    # torch's gates are i f g o, ours i f o g
    with torch.no_grad():
        peer.weight_ih_l0.copy_(ours.gates.weight[order, :8])
        peer.weight_hh_l0.copy_(ours.gates.weight[order, 8:])
        peer.bias_ih_l0.copy_(ours.gates.bias[order])
        peer.bias_hh_l0.zero_()
    inputs = [torch.randn(4, 7, 8).requires_grad_() for _ in range(2)]
    inputs[1].data.copy_(inputs[0].data)
    state, weights = torch.randn(4, 16), torch.randn(4, 7, 8)
    given = ours.replay(inputs[0], state, torch.zeros(4, 7, dtype=torch.bool))
    expected = peer(inputs[1], (state[None, :, :8].contiguous(), state[None, :, 8:].contiguous()))[0]
    torch.testing.assert_close(given, expected, rtol=1e-4, atol=1e-5)
    (given * weights).sum().backward()
    (expected * weights).sum().backward()
    weight = torch.cat([peer.weight_ih_l0.grad, peer.weight_hh_l0.grad], 1)
    for one, other in ((inputs[0].grad, inputs[1].grad), (ours.gates.weight.grad[order], weight),
                       (ours.gates.bias.grad[order], peer.bias_ih_l0.grad)):
        torch.testing.assert_close(one, other, rtol=1e-3, atol=1e-5)


def test_back_propagation_through_time_equals_differences_also_across_ends():
    inputs, state, *weights, goes_on = unroll_arguments(torch.float64)
    given = [tensor.requires_grad_() for tensor in (inputs, *weights)]
    assert torch.autograd.gradcheck(lambda inputs, *weights: Unroll.apply(inputs, state, *weights, goes_on), given)


def unroll_arguments(dtype, horizon=5, rows=3, size=2):
    random = torch.Generator().manual_seed(0)
    shapes = (rows, horizon, size), (rows, 2 * size), (4 * size, 2 * size), (4 * size,)
    numbers = [torch.randn(*shape, generator=random, dtype=torch.float64) for shape in shapes]
    goes_on = (torch.rand(horizon, rows, 1, generator=random) > 0.4).double()
    return [tensor.to(dtype) for tensor in (*numbers, goes_on)]


@pytest.mark.parametrize("size", [1, 5, 16, 33])
def test_the_compiled_cell_and_its_gradient_equal_torchs_operations(size):
    """float32 on the CPU is compiled, float64 is not."""
    results = []
    for dtype in (torch.float32, torch.float64):
        inputs, state, *weights, goes_on = unroll_arguments(dtype, 7, 4, size)
        given = [tensor.requires_grad_() for tensor in (inputs, *weights)]
        seen = Unroll.apply(inputs, state, *weights, goes_on)
        results.append([seen, *torch.autograd.grad((seen * torch.arange(seen.numel()).view_as(seen).sin()).sum(), given)])
    for compiled, plain in zip(*results, strict=True):
        torch.testing.assert_close(compiled.double(), plain, rtol=2e-4, atol=2e-5)


def test_the_compiled_cell_is_the_same_on_any_number_of_threads():
    random, results = np.random.default_rng(0), []
    gates, before, grads = (random.normal(size=shape).astype(np.float32) for shape in ((37, 20), (37, 5), (3, 37, 5)))
    for threads in (1, 2, 5):
        active, grad, grad_cell = gates.copy(), np.zeros_like(gates), grads[2].copy()
        squashed, seen, hidden, after = (np.zeros((37, 5), np.float32) for _ in range(4))
        lstm_cell.cell(active, before, np.ones(37, np.float32), squashed, seen, hidden, after, threads)
        lstm_cell.cell_gradient(active, before, np.ones(37, np.float32), squashed, *grads[:2], grad_cell, grad, threads)
        results.append(np.concatenate([active, squashed, seen, hidden, after, grad, grad_cell], 1))
    assert all(np.array_equal(result, results[0]) for result in results)


def test_the_compiled_cell_saturates_and_passes_a_nan_on():
    gates = torch.tensor([[200.0, -200.0, 200.0, -200.0], [float("nan"), 0, 0, 0]])
    before, on, *rest = torch.ones(2, 1), torch.ones(2, 1), *(torch.empty(2, 1) for _ in range(4))
    cell(gates, before, on, *rest)
    assert gates[0].tolist() == [1.0, pytest.approx(0, abs=1e-30), 1.0, -1.0] and rest[3][0] == -1 and torch.isnan(rest[1][1]).all()


def test_the_compiled_cell_refuses_arrays_that_do_not_fit():
    good = [torch.zeros(3, 8), torch.zeros(3, 2), torch.zeros(3), *(torch.zeros(3, 2) for _ in range(4))]
    for place in (1, 3, 6):
        bad = [tensor.numpy() for tensor in good]
        bad[place] = np.zeros((3, 3), np.float32)
        with pytest.raises(ValueError, match="given, expected 3 contiguous rows of"):
            lstm_cell.cell(*bad)


# ---------------------------------------------------------------------- those who play

@pytest.mark.parametrize("action_space, dtype, shape", [
    (spaces.Discrete(5), np.int32, (7,)), (spaces.MultiDiscrete([3, 4]), np.int32, (7, 2)), (spaces.Box(-1, 1, (2,)), np.float32, (7, 2)),
])
def test_an_actor_gives_actions_an_environment_takes(action_space, dtype, shape):
    actions = Actor(policy_for(action_space=action_space)).act(bytes_of((7, 9)).numpy())
    assert actions.dtype == dtype and actions.shape == shape and actions.flags.c_contiguous


def test_an_actor_draws_the_same_again_after_reset():
    actor, observations = Actor(policy_for(), seed=3), bytes_of((200, 9)).numpy()
    first, second = actor.act(observations), actor.act(observations)
    actor.reset()
    assert np.array_equal(actor.act(observations), first) and not np.array_equal(first, second)


def test_a_greedy_actor_takes_the_most_probable_action():
    policy, observations = policy_for(), bytes_of((50, 9))
    assert np.array_equal(Actor(policy, greedy=True).act(observations.numpy()), policy(observations)[0].argmax(0).numpy())


def test_an_actor_remembers_until_an_end():
    policy, observations = policy_for(recurrent=True, hidden_size=8), bytes_of((3, 9)).numpy()
    actor = Actor(policy, greedy=True)
    actor.act(observations)
    actor.act(observations)
    actor.observe_ends(np.array([False, True, False]))
    assert (actor.state[1] == 0).all() and (actor.state[[0, 2]] != 0).any()
    actor.reset()
    assert actor.state is None


def test_an_actor_takes_any_number_of_agents():
    actor = Actor(policy_for(recurrent=True, hidden_size=8))
    assert actor.act(bytes_of((3, 9)).numpy()).shape == (3,) and actor.act(bytes_of((8, 9)).numpy()).shape == (8,)


@pytest.mark.parametrize("name", ["squared", "cartpole"])
def test_a_random_policy_plays_any_environment_and_repeats_itself(name):
    env = envs.make(name, 5)
    observations, _ = env.reset()
    policy = RandomPolicy(env, seed=1)
    first = [policy.act(observations) for _ in range(20)]
    for actions in first:
        env.step(actions)
    policy.reset()
    assert all(np.array_equal(policy.act(observations), actions) for actions in first)


def test_a_random_policy_uses_every_action_of_multidiscrete_and_the_range_of_a_box():
    class Face:
        num_agents = 400

        def __init__(self, space):
            self.single_action_space = space
    drawn = RandomPolicy(Face(spaces.MultiDiscrete([2, 5]))).act()
    assert [set(column) for column in drawn.T] == [{0, 1}, {0, 1, 2, 3, 4}] and drawn.dtype == np.int32
    drawn = RandomPolicy(Face(spaces.Box(np.float32([-3]), np.float32([5])))).act()
    assert drawn.min() < -2.5 and drawn.max() > 4.5 and drawn.dtype == np.float32


def test_the_package_imports_without_torch_and_leaves_the_process_alone():
    import subprocess
    import sys
    code = ("import signal, warnings, sys\n"
            "handlers = [signal.getsignal(s) for s in (signal.SIGINT, signal.SIGTERM)]\n"
            "filters = list(warnings.filters)\n"
            "import puffer_min\nassert 'torch' not in sys.modules and 'numpy' not in sys.modules\n"
            "assert handlers == [signal.getsignal(s) for s in (signal.SIGINT, signal.SIGTERM)] and filters == warnings.filters\n"
            "assert set(puffer_min.__all__) <= set(dir(puffer_min))")
    subprocess.run([sys.executable, "-c", code], check=True)


def test_every_name_of_the_package_is_where_it_says():
    for name in puffer_min.__all__:
        assert getattr(puffer_min, name).__name__ == name
    with pytest.raises(AttributeError, match="no attribute 'trian'"):
        _ = puffer_min.trian


def test_an_actor_takes_only_legal_actions():
    masks = np.random.default_rng(0).random((300, 5)) < 0.4
    masks[:, 2] |= ~masks.any(1)
    for greedy in (False, True):
        actions = Actor(policy_for(), seed=1, greedy=greedy).act(bytes_of((300, 9)).numpy(), masks)
        assert masks[np.arange(300), actions].all()
    assert set(actions) == set(range(5))


@pytest.mark.parametrize("observations, error, says", [
    (np.ones(8, np.float32), ValueError, r"observations: shape \(8,\) given, expected \(N, 9\), one row for each agent, or \(9,\) of one"),
    (np.ones((2, 4), np.uint8), ValueError, r"observations: shape \(2, 4\) given, expected \(N, 9\)"),
    ({"place": np.ones(9)}, TypeError, "observations: dict given, expected the NumPy rows"),
    (np.array([{}]), TypeError, "expected the NumPy rows"), (3, TypeError, "observations: int given, expected"),
])
def test_an_observation_that_is_no_row_of_the_policys_space_is_refused_in_a_sentence(observations, error, says):
    policy = build_policy(make_policy, SPEC, Config())
    with pytest.raises(error, match=says):
        Actor(policy).act(observations)


# ---------------------------------------------------------------------- networks of your own

SPEC = EnvSpec(spaces.Box(0, 2, (9,), np.uint8), spaces.Discrete(5))


def example():
    """The class that the module's docstring shows."""
    source = re.search(r"\n    class OneLayer.*?(?=\n\n    distribution )", policy_module.__doc__, re.DOTALL).group()
    names = {"math": math, "nn": torch.nn, "torch": torch, "distribution_of": distribution_of}
    exec(textwrap.dedent(source), names)
    return names["OneLayer"]


def test_the_network_shown_in_the_documentation_learns_and_is_saved(tmp_path):
    network = example()
    learner = PPO(envs.make("bandit", 64), Config(num_envs=64, minibatch_size=512, learning_rate=0.03), network, seed=1)
    for _ in range(90):
        report = learner.iterate()
    assert report["score"] > 0.9
    description = describe_policy(learner.policy, learner.env, "bandit", {}, learner.config, 1)
    path = save_checkpoint(tmp_path / "policy.pt", description)
    with pytest.raises(CheckpointError, match="holds a network made by OneLayer, which cannot be imported here: pass policy="):
        load_policy(path)
    actor = load_policy(path, policy=network)
    assert all(a.equal(b) for a, b in zip(actor.policy.parameters(), learner.policy.parameters(), strict=False))


class Remembering(torch.nn.Module):
    """A network of its own with a memory: the running sum of what it has seen."""

    def __init__(self, spec, config):
        super().__init__()
        self.distribution, self.size = distribution_of(spec.single_action_space), math.prod(spec.single_observation_space.shape)
        self.layer = torch.nn.Linear(self.size, self.distribution.num_outputs + 1)

    def initial_state(self, num_agents):
        return torch.zeros(num_agents, self.size)

    def forward(self, observations, state):
        state = state + observations.flatten(1).float()
        both = self.layer(state).t()
        return both[:-1], both[-1], state

    def replay(self, observations, states, ends):
        steps, state, sums = observations.flatten(1).float().view(*ends.shape, -1), states, []
        for t in range(ends.shape[1]):
            state = state + steps[:, t]
            sums.append(state)
            state = state * (~ends[:, t:t + 1])
        both = self.layer(torch.stack(sums, 1).flatten(0, 1)).t()
        return both[:-1], both[-1]


def test_a_network_with_a_memory_of_its_own_is_replayed_as_it_acted_and_found_again_by_its_name(tmp_path):
    learner = PPO(envs.make("cartpole", 8), Config(num_envs=8, horizon=8, minibatch_size=64, learning_rate=0.0), Remembering)
    for _ in range(4):
        learner.collect()
        batch = learner.buffer.gather(learner.buffer.trained_rows)
        values = learner.policy.replay(batch.observations, batch.states, batch.ends)[1]
        torch.testing.assert_close(values, batch.values, rtol=1e-4, atol=1e-4)
        learner.buffer.recycle()
    path = save_checkpoint(tmp_path / "p.pt", describe_policy(learner.policy, learner.env, "cartpole", {}, learner.config, 0))
    assert read_checkpoint(path)["made_by"] == "test_policy:Remembering"
    assert isinstance(load_policy(path).policy, Remembering)


def test_factories_that_cannot_be_imported_again_have_a_name_without_a_module():
    local = type("Local", (Remembering,), {"__module__": "__main__"})

    def given(spec, config):
        return Remembering(spec, config)

    assert name_of_factory(make_policy) == "puffer_min.learner.policy:make_policy"
    assert name_of_factory(local) == "Local" and name_of_factory(functools.partial(Remembering)) == "partial"
    assert ":" not in name_of_factory(given)
    assert find_factory("puffer_min.learner.policy:make_policy") is make_policy
    assert find_factory("nowhere_at_all:thing") is find_factory("math:nothing") is find_factory("Local") is None


def altered(**methods):
    return type("Altered", (Remembering,), methods)


@pytest.mark.parametrize("factory, error, says", [
    (lambda spec, config: None, TypeError, "gave NoneType, expected an nn.Module with distribution, initial_state, forward, replay"),
    (lambda spec, config: torch.nn.Linear(1, 1), TypeError, "gave Linear without distribution, initial_state, replay, expected"),
    (altered(forward=lambda self, seen, state: (torch.zeros(6, 5), torch.zeros(6), state)), ValueError,
     r"Altered.forward gave outputs of torch.float32 \(6, 5\) for 6 agents, expected torch.float32 \(5, 6\)"),
    (altered(forward=lambda self, seen, state: (torch.zeros(5, 6), torch.zeros(6, 1), state)), ValueError,
     r"gave values of torch.float32 \(6, 1\) for 6 agents, expected torch.float32 \(6,\)"),
    (altered(forward=lambda self, seen, state: (torch.zeros(5, 6), torch.zeros(6))), TypeError,
     r"Altered.forward gave 2, expected the tuple \(outputs, values, state\)"),
    (altered(replay=lambda self, seen, states, ends: torch.zeros(6, 6)), TypeError,
     r"Altered.replay gave Tensor, expected the tuple \(outputs, values\)"),
    (altered(replay=lambda self, seen, states, ends: (torch.zeros(5, 6).double(), torch.zeros(6))), ValueError,
     "gave outputs of torch.float64"),
    (altered(initial_state=lambda self, n: torch.zeros(n)), ValueError, r"Altered.initial_state gave state of torch.float32 \(6,\)"),
], ids=lambda value: getattr(value, "__name__", None))
def test_a_network_that_does_not_fit_is_refused_in_a_sentence(factory, error, says):
    with pytest.raises(error, match=says):
        PPO(envs.make("squared", 4, size=3), Config(num_envs=4, minibatch_size=32), factory)


def test_everything_is_float32_whatever_torchs_default_is():
    torch.set_default_dtype(torch.float64)
    try:
        for settings in ({"recurrent": True, "encoder": "standard"}, {"recurrent": True}, {}):
            learner = PPO(envs.make("cartpole", 4), Config(num_envs=4, horizon=8, minibatch_size=16, **settings))
            learner.iterate()
            assert learner.weights.dtype == torch.float32 and learner.buffer.values.dtype == torch.float32
        box = Policy(spaces.Box(-1, 1, (3,)), spaces.Box(-1, 1, (2,)))
        outputs = box(torch.zeros(4, 3, dtype=torch.float32))[0]
        assert box.distribution.sample(outputs)[0].dtype == outputs.dtype == torch.float32
    finally:
        torch.set_default_dtype(torch.float32)
