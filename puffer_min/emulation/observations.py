"""Structured observations as flat rows and back: one layout, computed once from the space.

    layout = Layout(Dict(position=Box(-1, 1, (2,)), tile=Discrete(9),
                         bag=Tuple((MultiBinary(4), Box(0, 255, (3, 3), np.uint8)))))
    layout.row_space            Box of one row: what the environment declares, what buffers and vectorizers
                                hold
    layout.pack(sample, row)    compiled; writes the leaves into the row
    layout.unpack(rows)         {"position": (N, 2), "tile": (N,), "bag": ((N, 4), (N, 3, 3))}, views of the
                                rows

The layout is an aligned NumPy structured dtype, so every leaf can be viewed in place in its own dtype:

    byte    0         8         16     20                29   32
            | position| tile    | bag.0 | bag.1           | -- |        "--" is padding, written as zeros

The row of a space
    Box                             the Box itself
    Discrete of at most 4,096       one-hot uint8, for any network; `unpack` gives the numbers back
    only Box and MultiBinary        if of one dtype: a Box of it, the leaves in order, for any network
    anything else                   a Box of uint8 bytes, which the learner's encoder unpacks

`row_space.layout` is the layout wherever `unpack` does more than return the rows. Text, Graph, Sequence and
OneOf have no fixed size and are refused, with the path of the leaf.
"""

import sys
from dataclasses import dataclass

import numpy as np
from gymnasium import spaces

from puffer_min.emulation.packing import Packer

MAX_ONE_HOT = 4096          # a single Discrete observation of more values than this stays a number
MAX_DIMENSIONS = 63         # of a leaf: NumPy's arrays have at most 64, and one of them counts the rows


@dataclass(frozen=True)
class Leaf:
    """One leaf of the tree: its path, its space, and its place in a row (byte offset, dtype, shape)."""

    path: str
    space: spaces.Space
    offset: int
    dtype: np.dtype
    shape: tuple[int, ...]

    @property
    def end(self) -> int:
        """The byte offset of its end in a row."""
        return self.offset + self.dtype.itemsize * int(np.prod(self.shape))

    @property
    def codes(self) -> np.ndarray | None:
        """How many values each element can take, flat, for Discrete and MultiDiscrete; else None."""
        if isinstance(self.space, spaces.Discrete):
            return np.array([self.space.n])
        return self.space.nvec.ravel() if isinstance(self.space, spaces.MultiDiscrete) else None

    @property
    def start(self) -> np.ndarray:
        """The smallest value of each element, flat, for Discrete and MultiDiscrete."""
        return np.ravel(self.space.start)

    @property
    def limits(self):
        """(lowest, highest) of each whole number, flat; None for a Box.

        The packer checks them at every step, because an encoder would crash on a code outside.
        """
        if isinstance(self.space, spaces.Box):
            return None
        low, count = 0, 2
        if self.codes is not None:
            low, count = self.start.astype(np.int64), self.codes.astype(np.int64)
        size = int(np.prod(self.shape, dtype=int))
        return np.broadcast_to(low, size), np.broadcast_to(low + count - 1, size)


class RowSpace(spaces.Box):
    """The Box of a packed row. It carries the layout, in which an encoder finds the leaves."""

    def __init__(self, low, high, shape, dtype, layout):
        super().__init__(low, high, shape, dtype)
        self.layout = layout

    def __eq__(self, other):
        return super().__eq__(other) and getattr(other, "layout", None) == self.layout


class Layout:
    """The place of each leaf of an observation space in a row. Raises TypeError for a leaf of no fixed size.

    pack(sample, row)   writes a sample into a row; TypeError or ValueError names a leaf that does not fit
    """

    def __init__(self, space: spaces.Space):
        named = []
        self.space, self.tree, self.torch_dtypes = space, tree_of(space, "observation", named), None
        self.dtype = structured_dtype(space)
        places = places_of(self.dtype)
        self.leaves = tuple(Leaf(*leaf, *place) for leaf, place in zip(named, places, strict=True))
        if self.dtype.itemsize == 0:
            raise TypeError(f"observation: {space} given, expected a space that holds something")
        self.one_hot = isinstance(space, spaces.Discrete) and space.n <= MAX_ONE_HOT
        numbers_only = all(leaf.codes is None for leaf in self.leaves)
        alike = numbers_only and len({leaf.dtype for leaf in self.leaves}) == 1
        self.structured = not (alike or self.one_hot)           # rows are bytes
        self.row_space = self._row_space()
        size = self.row_space.dtype.itemsize * int(np.prod(self.row_space.shape))
        self.pack = Packer(self.tree, self.leaves, size, self.one_hot).pack

    def _row_space(self):
        space, leaves = self.space, self.leaves
        if isinstance(space, spaces.Box):
            return space
        if self.one_hot:
            return RowSpace(0, 1, (int(space.n),), np.uint8, self)
        if self.structured:
            return RowSpace(0, 255, (self.dtype.itemsize,), np.uint8, self)
        sides = zip(*[bounds(leaf.space) for leaf in leaves], strict=True)
        low, high = (np.concatenate([side.ravel() for side in parts]) for parts in sides)
        return RowSpace(low, high, low.shape, leaves[0].dtype, self)

    def unpack(self, rows):
        """Nested views of `rows` (N, *row shape), NumPy or torch; the leaves are (N, *leaf shape).

        For one-hot rows the numbers are computed, (N,) of the space's dtype.
        """
        if tuple(rows.shape[1:]) != self.row_space.shape:
            raise ValueError(f"rows of shape {tuple(rows.shape)} given, "
                             f"expected (N, {', '.join(map(str, self.row_space.shape))})")
        if isinstance(self.space, spaces.Box):
            return rows
        if self.one_hot:
            codes, in_numpy = rows.argmax(1) + int(self.space.start), isinstance(rows, np.ndarray)
            return codes.astype(self.space.dtype) if in_numpy else codes.to(torch_dtype(self.leaves[0]))
        return nested(self.tree, self.views(rows))

    def views(self, rows) -> list:
        """One view of `rows`, NumPy or torch, for each leaf in order; not for a Box, nor one-hot rows."""
        in_numpy = isinstance(rows, np.ndarray)
        if in_numpy and rows.size and rows.strides[1] != rows.itemsize:
            raise ValueError(f"rows with strides {rows.strides} given, expected rows that are contiguous in "
                             "themselves; make a copy first")
        if not in_numpy and self.torch_dtypes is None:
            self.torch_dtypes = [torch_dtype(leaf) for leaf in self.leaves]
        dtypes, unit = [leaf.dtype for leaf in self.leaves] if in_numpy else self.torch_dtypes, rows.itemsize
        found = [rows[:, leaf.offset // unit:leaf.end // unit] for leaf in self.leaves]
        return [part.view(dtype).reshape(rows.shape[0], *leaf.shape)
                for part, dtype, leaf in zip(found, dtypes, self.leaves, strict=True)]

    def __eq__(self, other):                # spaces of type Dict compare without order, leaves with it
        return isinstance(other, Layout) and self.space == other.space and self.leaves == other.leaves

    def __hash__(self):
        return hash(self.dtype.itemsize)

    def __reduce__(self):
        return Layout, (self.space,)

    def __repr__(self):
        lines = [f"Layout of {self.dtype.itemsize} bytes, rows {self.row_space.dtype} {self.row_space.shape}"]
        for leaf in self.leaves:
            lines.append(f"  {leaf.offset:5} {str(leaf.dtype):8} {str(leaf.shape):12} {leaf.path}")
        return "\n".join(lines)


def tree_of(space, path, leaves):
    """A dict or tuple of trees, or the number of a leaf, whose (path, space) is appended to `leaves`."""
    if isinstance(space, spaces.Dict):
        return {key: tree_of(part, f"{path}[{key!r}]", leaves) for key, part in space.spaces.items()}
    if isinstance(space, spaces.Tuple):
        return tuple([tree_of(part, f"{path}[{i}]", leaves) for i, part in enumerate(space.spaces)])
    if not isinstance(space, spaces.Box | spaces.Discrete | spaces.MultiDiscrete | spaces.MultiBinary):
        raise TypeError(f"{path}: {type(space).__name__} given, expected Box, Discrete, MultiDiscrete, "
                        "MultiBinary, Dict or Tuple: only a space of fixed size becomes a row; turn it into "
                        "a Box in a wrapper")
    if len(space.shape) > MAX_DIMENSIONS:
        raise TypeError(f"{path}: {type(space).__name__} of {len(space.shape)} dimensions given, "
                        f"expected at most {MAX_DIMENSIONS}; reshape it in a wrapper")
    leaves.append((path, space))
    return len(leaves) - 1


def nested(tree, views):
    """The views, one for each leaf, in the shape of the tree."""
    if isinstance(tree, dict):
        return {key: nested(part, views) for key, part in tree.items()}
    return tuple([nested(part, views) for part in tree]) if isinstance(tree, tuple) else views[tree]


def bounds(space):
    """(low, high) of a Box, 0 and 1 of a MultiBinary."""
    if isinstance(space, spaces.Box):
        return space.low, space.high
    return np.zeros(space.shape), np.ones(space.shape)


def structured_dtype(space) -> np.dtype:
    """The aligned dtype of one sample. Its fields are a Dict's keys if all are words, else f0, f1..."""
    if not isinstance(space, spaces.Dict | spaces.Tuple):
        return np.dtype((space.dtype, space.shape))
    parts = space.spaces if isinstance(space, spaces.Dict) else dict(enumerate(space.spaces))
    if not all(isinstance(key, str) and key for key in parts):
        parts = {f"f{i}": part for i, part in enumerate(parts.values())}
    return np.dtype([(name, structured_dtype(part)) for name, part in parts.items()], align=True)


def places_of(dtype, offset=0):
    """(byte offset, dtype, shape) of each leaf of a structured dtype."""
    if dtype.names is None:
        yield offset, dtype.base, dtype.shape
    for name in dtype.names or ():
        yield from places_of(dtype.fields[name][0], offset + dtype.fields[name][1])


def torch_dtype(leaf):
    """Torch's dtype of a leaf. Raises TypeError where it has none."""
    try:                                    # a torch tensor was given, so torch is imported
        return sys.modules["torch"].from_numpy(np.zeros(0, leaf.dtype)).dtype
    except TypeError as error:
        raise TypeError(f"{leaf.path}: {leaf.dtype} given, for which torch has no type; "
                        "declare float32 or an integer type") from error
