"""Blocks of memory with arrays of random shapes in them, for the check of `shared_layout` in level 5."""

import numpy as np

LINE = 64


def lines(size):
    return -(-size // LINE) * LINE


def random_arrays(rng, count, hidden):
    """name -> (shape, dtype), with sizes that fill their cache lines exactly and sizes that do not; hidden:
    with single numbers, large arrays and dtypes in other forms too.
    """
    dtypes = ["float32", "int32", "float64", "uint8", "bool"]
    shapes = {f"array {i}": (tuple(int(n) for n in rng.integers(1, 9, rng.integers(1, 4))),
                             dtypes[rng.integers(5)]) for i in range(count)}
    shapes["line"] = (16,), "float32"
    if hidden:
        shapes |= {"one": ((), "float64"), "two lines": ((2, 8), np.float64), "large": ((300, 7), np.int16),
                   "line and one": ((65,), np.dtype("uint8"))}
    return shapes | {"last": ((3,), "float64")}


def random_block(rng, shapes):
    """A block with bytes drawn at random, as if the first process had written already, and {name: (first,
    last) byte of the array that belongs there}.
    """
    places, at = {}, 0
    for name, (shape, dtype) in shapes.items():
        size = int(np.prod(shape)) * np.dtype(dtype).itemsize
        places[name], at = (at, at + size), at + lines(size)
    raw = np.zeros(at + 20 * LINE, np.uint8)
    start = -raw.ctypes.data % LINE
    block = raw[start:start + at + 19 * LINE]
    block[:] = rng.integers(2, 255, len(block))
    for name, (first, last) in places.items():
        if np.dtype(shapes[name][1]) == bool:
            block[first:last] %= 2
    return block, places
