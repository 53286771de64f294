"""Random Gymnasium spaces, nested at will, for the tests of emulation: every kind of leaf, odd keys, odd dtypes, empty parts."""

import numpy as np
from gymnasium import spaces

FLOATS = (np.float32, np.float64, np.float16)
WHOLE = (np.uint8, np.int8, np.int16, np.uint16, np.int32, np.int64)
KEYS = ("position", "map", "a", "b", "left hand", "0", "self", "é", "")


def random_shape(random, empty=True):
    return tuple(random.integers(0 if empty and random.random() < 0.05 else 1, 5, random.integers(0, 4)).tolist())


def random_box(random, largest=None):
    """A Box of any dtype; whole numbers within `largest` where given."""
    shape = random_shape(random)
    if random.random() < 0.5:
        dtype = FLOATS[random.integers(len(FLOATS))]
        low = random.uniform(-9, 0, shape).astype(dtype)
        unbounded = random.random() < 0.2
        return spaces.Box(-np.inf, np.inf, shape, dtype) if unbounded else spaces.Box(low, (low + 5).astype(dtype), shape, dtype)
    dtype = WHOLE[random.integers(len(WHOLE))]
    limits = np.iinfo(dtype)
    low, high = (int(limits.min), int(limits.max)) if largest is None else (max(int(limits.min), -largest), min(int(limits.max), largest))
    return spaces.Box(low, high, shape, dtype)


def random_leaf(random, largest=None):
    kind = random.integers(5)
    dtype = np.dtype(WHOLE[random.integers(len(WHOLE))] if random.random() < 0.5 else np.int64)
    least = 0 if dtype.kind == "u" else -5
    if kind == 0:
        return spaces.Discrete(int(random.integers(1, 12)), start=int(random.integers(least, 6)), dtype=dtype)
    if kind == 1:
        shape = random_shape(random, empty=False) or (1,)
        return spaces.MultiDiscrete(random.integers(1, 9, shape), start=random.integers(least, 4, shape), dtype=dtype)
    if kind == 2:
        return spaces.MultiBinary(random_shape(random, empty=False) or 3)
    return random_box(random, largest)


def random_space(random, depth=3, largest=None):
    """A space nested up to `depth` deep, at times a single leaf."""
    kind = random.random()
    if depth == 0 or kind < 0.35:
        return random_leaf(random, largest)
    size = random.integers(1, 5)
    parts = [random_space(random, depth - 1, largest) for _ in range(size)]
    if kind < 0.7:
        return spaces.Dict(dict(zip(random.permutation(KEYS)[:size].tolist(), parts, strict=False)))
    return spaces.Tuple(parts)


def sample_of(space, views, index):
    """The sample in row `index` of what `Layout.unpack` gave for NumPy rows, as the environment itself would give it: copies."""
    if isinstance(space, spaces.Dict):
        return {key: sample_of(inner, views[key], index) for key, inner in space.spaces.items()}
    if isinstance(space, spaces.Tuple):
        return tuple([sample_of(inner, part, index) for inner, part in zip(space.spaces, views, strict=True)])
    return views[index] if isinstance(space, spaces.Discrete) else views[index].copy()


def same(one, other):
    """Whether two samples are equal, in structure, dtype and every bit."""
    if isinstance(one, dict):
        return isinstance(other, dict) and one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    if isinstance(one, tuple):
        return isinstance(other, tuple) and len(one) == len(other) and all(map(same, one, other))
    one, other = np.asarray(one), np.asarray(other)
    return one.dtype == other.dtype and one.shape == other.shape and one.tobytes() == other.tobytes()
