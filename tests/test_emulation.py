"""Structured spaces as flat rows and back: nothing is lost, views are views, and what cannot be emulated is refused by name."""

import pickle
import timeit

import gymnasium
import numpy as np
import pytest
import torch
from gymnasium.spaces import (
    Box,
    Dict,
    Discrete,
    Graph,
    MultiBinary,
    MultiDiscrete,
    OneOf,
    Sequence,
    Text,
    Tuple,
)
from gymnasium.spaces.utils import flatten
from random_spaces import random_space, same, sample_of

from puffer_min.emulation.actions import ActionLayout
from puffer_min.emulation.observations import Layout

SCENE = Dict({
    "ego": Box(-1, 1, (6,)), "partners": Box(-1, 1, (8, 4)), "cell": Discrete(5, start=1),
    "inside": Dict(map=Box(0, 255, (7, 8), np.uint8), tools=MultiBinary(8), kind=MultiDiscrete([3, 4]),
                   motion=Tuple((Box(-1, 1, (2,)), Discrete(3)))),
})
"""256 bytes of every kind of leaf."""


def random_layouts(seed, number):
    """`number` random spaces that hold something, with their layouts."""
    random, made = np.random.default_rng(seed), 0
    while made < number:
        space = random_space(random)
        space.seed(int(random.integers(2**31)))
        try:
            layout = Layout(space)
        except TypeError as error:
            assert "expected a space that holds something" in str(error)
            continue
        made += 1
        yield space, layout


def packed(layout, samples):
    """The samples as rows of a buffer that held something else before."""
    rows = np.full((len(samples), *layout.row_space.shape), 77).astype(layout.row_space.dtype)
    for i, sample in enumerate(samples):
        layout.pack(sample, rows[i:i + 1])
    return rows


def test_a_thousand_random_spaces_come_back_to_the_bit():
    for space, layout in random_layouts(0, 1000):
        samples = [space.sample() for _ in range(3)]
        rows = packed(layout, samples)
        assert all(map(layout.row_space.contains, rows)), space
        views, tensors = layout.unpack(rows), layout.unpack(torch.from_numpy(rows))
        for i, sample in enumerate(samples):
            assert same(sample_of(layout.space, views, i), sample), space
            in_torch = numpy_of(tensors)
            assert same(sample_of(layout.space, in_torch, i), sample), space


def numpy_of(tensors):
    if isinstance(tensors, dict):
        return {key: numpy_of(part) for key, part in tensors.items()}
    return tuple(map(numpy_of, tensors)) if isinstance(tensors, tuple) else tensors.numpy()


def test_a_row_depends_on_its_sample_alone():
    for space, layout in random_layouts(1, 200):
        sample = space.sample()
        once, again = packed(layout, [sample]), np.zeros((1, *layout.row_space.shape), layout.row_space.dtype)
        layout.pack(sample, again)
        assert once.tobytes() == again.tobytes(), space


def views_of(part):
    parts = part.values() if isinstance(part, dict) else part
    return [view for inner in parts for view in views_of(inner)] if isinstance(part, (dict, tuple)) else [part]


def test_unpacked_leaves_are_views():
    layout = Layout(SCENE)
    rows = np.zeros((5, 256), np.uint8)
    for view in views_of(layout.unpack(rows)):
        assert view.base is not None and np.shares_memory(view, rows)
    tensor = torch.from_numpy(rows)
    for view in views_of(layout.unpack(tensor)):
        assert view.untyped_storage().data_ptr() == tensor.untyped_storage().data_ptr()
    layout.unpack(tensor)["inside"]["motion"][0][3] = 0.5
    assert layout.unpack(rows)["inside"]["motion"][0].tolist() == [[0, 0]] * 3 + [[0.5, 0.5]] + [[0, 0]]


def test_a_view_scaled_in_place_scales_the_rows_and_twice_scales_twice():
    """The trap of every zero-copy interface: normalise a copy, or in a new tensor."""
    layout = Layout(Dict(speed=Box(0, 100, (1,)), gear=Discrete(3)))
    rows = torch.zeros(1, layout.dtype.itemsize, dtype=torch.uint8)
    layout.unpack(rows)["speed"][:] = 50
    for expected in (0.5, 0.005):
        layout.unpack(rows)["speed"].div_(100)
        assert layout.unpack(rows)["speed"].item() == pytest.approx(expected)


def test_unpacking_works_on_part_of_a_larger_batch():
    layout = Layout(SCENE)
    samples = [SCENE.sample() for _ in range(8)]
    rows = torch.from_numpy(packed(layout, samples))
    part = layout.unpack(rows[2:8:2])
    assert same(sample_of(layout.space, numpy_of(part), 1), samples[4])


def test_a_batch_without_rows_is_unpacked_too():
    """NumPy gives a copy of none strides of 0."""
    layout = Layout(Dict(speed=Box(0, 100, (2,)), gear=Discrete(3)))
    parts = layout.unpack(np.zeros((3, layout.dtype.itemsize), np.uint8)[:0].copy())
    assert {name: part.shape for name, part in parts.items()} == {"speed": (0, 2), "gear": (0,)}


def test_leaves_of_one_numeric_dtype_make_an_ordinary_box_with_their_bounds():
    layout = Layout(Dict(a=Box(-2, 3, (2,)), b=Tuple((Box(0, 1, (1, 2)),))))
    assert (layout.row_space.dtype, layout.row_space.shape) == (np.float32, (4,))
    assert layout.row_space.low.tolist() == [-2, -2, 0, 0] and layout.row_space.high.tolist() == [3, 3, 1, 1]
    row = packed(layout, [{"a": np.float32([1, 2]), "b": (np.float32([[0, 1]]),)}])
    assert row.tolist() == [[1, 2, 0, 1]]


def test_a_single_discrete_is_one_hot():
    layout = Layout(Discrete(4, start=-1))
    rows = packed(layout, [np.int64(-1), np.int64(2), 0])
    assert rows.tolist() == [[1, 0, 0, 0], [0, 0, 0, 1], [0, 1, 0, 0]] and layout.unpack(rows).tolist() == [-1, 2, 0]
    assert Layout(Discrete(10**6)).row_space.shape == (8,)              # too many to be one-hot


def test_offsets_are_numpys_own():
    layout = Layout(SCENE)
    for leaf in layout.leaves:
        assert leaf.offset % leaf.dtype.alignment == 0, leaf
    offsets = {leaf.path: leaf.offset for leaf in layout.leaves}
    inside, at = layout.dtype.fields["inside"]
    assert layout.dtype.isalignedstruct and offsets["observation['inside']['tools']"] == at + inside.fields["tools"][1]


def test_what_environments_really_return_is_converted_where_nothing_is_lost():
    space = Dict(x=Box(-1, 1, (2,)), n=Box(0, 255, (2,), np.uint8), tile=Discrete(5), pair=Tuple((MultiBinary(2), Box(0, 9, ()))))
    layout = Layout(space)
    expected = {"x": np.float32([0.5, -1]), "n": np.uint8([7, 255]), "tile": np.int64(3), "pair": (np.int8([1, 0]), np.float32(2))}
    for given in (
        {"x": np.float64([0.5, -1]), "n": np.int64([7, 255]), "tile": 3, "pair": ([True, False], 2.0)},
        {"x": [0.5, -1], "n": (7, 255), "tile": np.int32(3), "pair": [np.array([1, 0]), np.float32(2)]},
        {"x": torch.tensor([0.5, -1]), "n": torch.tensor([7, 255]), "tile": torch.tensor(3), "pair": (np.array([True, False]), 2)},
        {"x": np.float32([[0.5, 0], [-1, 0]])[:, 0], "n": np.array([7, 255], ">i2"), "tile": np.array(3),
         "pair": (np.int8([1, 9, 0])[::2], np.array(2))},
    ):
        rows = packed(layout, [given])
        assert same(sample_of(layout.space, layout.unpack(rows), 0), expected), given


@pytest.mark.parametrize("change, error, sentence", [
    (dict(ego=np.zeros(5, np.float32)), ValueError, r"observation\['ego'\]: shape \(5,\) given, expected float32 \(6,\)"),
    (dict(ego=None), TypeError, r"observation\['ego'\]: NoneType given, expected float32 \(6,\)"),
    (dict(ego="hello"), ValueError, r"observation\['ego'\]: shape \(\) given"),
    (dict(cell=6), ValueError, r"observation\['cell'\]: 6 given, expected a whole number from 1 to 5"),
    (dict(cell=-1), ValueError, r"observation\['cell'\]: -1 given"),
    (dict(cell=2**70), ValueError, r"observation\['cell'\]: 1180591620717411303424 given"),
    (dict(cell=2.5), ValueError, r"observation\['cell'\]: float64 given with numbers that int64 cannot hold"),
    (dict(inside=None), TypeError, r"observation\['inside'\]: NoneType given, expected a dict with the keys 'map'"),
    (dict(extra=1), ValueError, r"observation: a dict with unexpected 'extra' given, expected the keys"),
])
def test_what_does_not_fit_is_refused_with_the_path_of_the_leaf(change, error, sentence):
    layout = Layout(SCENE)
    with pytest.raises(error, match=sentence):
        layout.pack(SCENE.sample() | change, np.zeros(256, np.uint8))


@pytest.mark.parametrize("change, sentence", [
    (dict(map=np.full((7, 8), 300)), r"observation\['inside'\]\['map'\]: int64 given with numbers that uint8 cannot hold"),
    (dict(tools=np.full(8, 2, np.int8)), r"observation\['inside'\]\['tools'\]: 2 given in element 0, expected a whole number from 0 to 1"),
    (dict(kind=np.array([2, 4])), r"observation\['inside'\]\['kind'\]: 4 given in element 1, expected a whole number from 0 to 3"),
    (dict(motion=(np.zeros(2, np.float32),)), r"observation\['inside'\]\['motion'\]: 1 parts given, expected 2"),
    (dict(motion=(np.zeros(2, np.float32), 3)), r"observation\['inside'\]\['motion'\]\[1\]: 3 given, expected a whole number from 0 to 2"),
])
def test_deep_leaves_are_named_too(change, sentence):
    sample = SCENE.sample()
    sample["inside"] |= change
    with pytest.raises(ValueError, match=sentence):
        Layout(SCENE).pack(sample, np.zeros(256, np.uint8))


def test_a_missing_key_is_named():
    sample = SCENE.sample()
    del sample["ego"]
    with pytest.raises(ValueError, match="observation: a dict with no 'ego' given, expected the keys 'cell', 'ego'"):
        Layout(SCENE).pack(sample, np.zeros(256, np.uint8))


@pytest.mark.parametrize("space", [
    Text(5), Sequence(Discrete(2)), Graph(Box(0, 1, (1,)), None), OneOf([Discrete(2), Box(0, 1, (1,))]),
])
def test_spaces_without_a_fixed_size_are_refused_by_name(space):
    kind = type(space).__name__
    nested = Dict(a=Tuple((Discrete(2), space)))
    with pytest.raises(TypeError, match=rf"observation\['a'\]\[1\]: {kind} given, expected Box, Discrete"):
        Layout(nested)
    with pytest.raises(TypeError, match=rf"action\['a'\]\[1\]: {kind} given, expected Box, Discrete"):
        ActionLayout(nested)


def test_empty_spaces_are_refused():
    for space in (Dict(), Tuple(()), Box(0, 1, (0,))):
        with pytest.raises(TypeError, match="expected a space that holds something"):
            Layout(space)


def test_layouts_compare_copy_and_pickle():
    layout = Layout(SCENE)
    other = pickle.loads(pickle.dumps(layout))
    assert other == layout and other.row_space == layout.row_space and Layout(Discrete(3)) != layout
    narrower = Layout(Dict(SCENE.spaces | {"cell": Discrete(4, start=1)}))
    assert narrower.row_space.shape == layout.row_space.shape and narrower.row_space != layout.row_space


# ---------------------------------------------------------------------------------------------------------------- actions

def rounded(space, action):
    """The action as a row of float32 can hold it."""
    if isinstance(space, Dict):
        return {key: rounded(inner, action[key]) for key, inner in space.spaces.items()}
    if isinstance(space, Tuple):
        return tuple(map(rounded, space.spaces, action))
    if isinstance(space, Box) and space.dtype == np.float64:
        return np.clip(action.astype(np.float32), space.low, space.high).astype(np.float64)
    return action


def test_a_thousand_random_action_trees_come_back():
    random, made, kinds = np.random.default_rng(0), 0, set()
    while made < 1000:
        space = random_space(random, largest=2**24)
        space.seed(int(random.integers(2**31)))
        try:
            layout = ActionLayout(space)
        except TypeError as error:
            assert "something to choose" in str(error)
            continue
        made += 1
        kinds.add((type(layout.row_space).__name__, layout.mixed))
        for _ in range(3):
            action = rounded(space, space.sample())
            row = layout.encode(action)
            assert layout.row_space.contains(row.astype(layout.row_space.dtype)), space
            assert same(layout.decode(row), action), space
    assert kinds == {("Discrete", False), ("MultiDiscrete", False), ("Box", False), ("Box", True)}


def test_every_row_of_the_row_space_decodes_to_a_member_of_the_space():
    random = np.random.default_rng(2)
    for _ in range(300):
        space = random_space(random, largest=2**24)
        try:
            layout = ActionLayout(space)
        except TypeError:
            continue
        layout.row_space.seed(0)
        row = np.asarray(layout.row_space.sample()).astype(layout.dtype)
        wild = row if layout.dtype == np.int32 else (row + random.normal(0, 100, row.shape)).astype(np.float32)
        for given in (row, wild):
            assert space.contains(layout.decode(given)), (space, given)


def test_whole_numbers_become_a_multidiscrete_and_real_ones_a_box():
    assert ActionLayout(Dict(a=Discrete(3, start=7), b=MultiBinary((2, 2)))).row_space == MultiDiscrete([3, 2, 2, 2, 2])
    assert ActionLayout(Discrete(3, start=7)).row_space == Discrete(3) and ActionLayout(MultiBinary(2)).row_space == MultiDiscrete([2, 2])
    assert ActionLayout(Tuple((Box(-1, 2, (2,)), Box(0, 1, ())))).row_space == Box(np.float32([-1, -1, 0]), np.float32([2, 2, 1]))


def test_in_a_mixed_tree_the_largest_score_is_the_action():
    layout = ActionLayout(Dict(gear=Discrete(3, start=1), horn=MultiBinary(2), steer=Box(-1, 1, (1,))))
    assert layout.row_space == Box(-1, 1, (6,))
    action = layout.decode(np.float32([0.1, 0.9, -3, -0.2, 0.2, 5]))
    assert same(action, {"gear": np.int64(2), "horn": np.int8([0, 1]), "steer": np.float32([1])})


@pytest.mark.parametrize("dtype", [np.int64, np.int32, np.uint8])
def test_actions_of_any_integer_dtype_decode_alike(dtype):
    layout = ActionLayout(Tuple((Discrete(300 if dtype != np.uint8 else 200), MultiDiscrete([3, 4]))))
    assert same(layout.decode(np.array([150, 2, 1], dtype)), (np.int64(150), np.array([2, 1])))
    with pytest.raises(TypeError, match="action row of float64 given, expected whole numbers"):
        layout.decode(np.zeros(3))


@pytest.mark.parametrize("space, sentence", [
    (Dict(a=Box(-2**40, 2**40, (2,), np.int64)), r"action\['a'\]: Box.* given, expected bounds within 2\*\*24"),
    (Tuple((Discrete(5000), Box(0, 1, (1,)))), r"action\[0\]: Discrete\(5000\) given, expected at most 4,096 values beside a Box"),
    (Discrete(2**40), r"action: Discrete\(1099511627776\) given, expected at most 2,147,483,647 values"),
])
def test_actions_that_no_row_can_hold_are_refused_by_name(space, sentence):
    with pytest.raises(ValueError, match=sentence):
        ActionLayout(space)


def test_only_members_are_encoded():
    with pytest.raises(ValueError, match=r"action 3 given, expected a member of Discrete\(3\)"):
        ActionLayout(Discrete(3)).encode(3)


# ---------------------------------------------------------------------------------------------------------------- speed

def fastest(statement, number):
    return min(timeit.repeat(statement, number=number, repeat=7))


def test_packing_is_several_times_as_fast_as_gymnasiums_flatten():
    layout, sample, row = Layout(SCENE), SCENE.sample(), np.zeros(256, np.uint8)
    assert fastest(lambda: flatten(SCENE, sample), 300) > 5 * fastest(lambda: layout.pack(sample, row), 300)


def test_unpacking_does_not_touch_the_data():
    layout = Layout(SCENE)
    few, many = torch.zeros(8, 256, dtype=torch.uint8), torch.zeros(100_000, 256, dtype=torch.uint8)
    assert fastest(lambda: layout.unpack(many), 200) < 3 * fastest(lambda: layout.unpack(few), 200)


def test_gymnasiums_own_checker_agrees_with_the_sample():
    """The spaces of these tests are ones that Gymnasium itself accepts."""
    assert gymnasium.spaces.utils.flatdim(SCENE) > 0 and SCENE.contains(SCENE.sample())


# ---------------------------------------------------------------------------------------------------------------- many dimensions

@pytest.mark.parametrize("dimensions", [33, 63])
def test_as_many_dimensions_as_a_batch_can_have_are_taken(dimensions):
    """33 once overran an array of the packer."""
    shape = (1,) * (dimensions - 1) + (2,)
    for space in (Box(0, 1, shape), MultiBinary(shape), Dict(a=Box(0, 1, shape), b=Discrete(3)), MultiDiscrete(np.full(shape, 3))):
        layout, sample = Layout(space), space.sample()
        assert same(sample_of(space, layout.unpack(packed(layout, [sample])), 0), sample)
        actions = ActionLayout(space)
        assert same(actions.decode(actions.encode(sample)), sample)


def test_more_dimensions_are_refused_by_name():
    space = Dict(a=Box(0, 1, (1,) * 64), b=Discrete(3))
    for kind, name in ((Layout, "observation"), (ActionLayout, "action")):
        with pytest.raises(TypeError, match=rf"{name}\['a'\]: Box of 64 dimensions given, expected at most 63"):
            kind(space)


def test_a_number_that_no_int32_holds_is_refused_and_not_wrapped():
    for layout, row in ((ActionLayout(Dict(a=Discrete(4), b=Discrete(3))), [2**32 + 1, 1]), (ActionLayout(Discrete(4)), [-2**32])):
        with pytest.raises(ValueError, match="expected numbers that an int32 holds"):
            layout.decode(np.array(row))


def test_one_hot_rows_come_back_in_the_dtype_of_the_space():
    layout = Layout(Discrete(4, start=1, dtype=np.int16))
    rows = packed(layout, [np.int16(3), np.int16(1)])
    numbers, tensor = layout.unpack(rows), layout.unpack(torch.from_numpy(rows))
    assert (numbers.dtype, tensor.dtype) == (np.int16, torch.int16) and numbers.tolist() == tensor.tolist() == [3, 1]
