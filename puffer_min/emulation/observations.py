"""Structured observations as flat rows and back: one layout, computed once from the space.

    layout = Layout(Dict(position=Box(-1, 1, (2,)), tile=Discrete(9), bag=Tuple((MultiBinary(4), Box(0, 255, (3, 3), np.uint8)))))
    layout.row_space                    Box of one row: what the environment declares, what buffers and vectorizers see
    layout.pack(sample, row)            compiled; writes the leaves into the row
    layout.unpack(rows)                 {"position": (N, 2), "tile": (N,), "bag": ((N, 4), (N, 3, 3))}, views of NumPy or torch rows

The layout is an aligned NumPy structured dtype, so every offset is NumPy's own and every leaf can be viewed in place in its own dtype:

    byte    0         8         16     20                29   32
            | position| tile    | bag.0 | bag.1           | -- |        "--" is padding, written as zeros

The row of a space
    Box                             the Box itself
    Discrete of at most 4,096       one-hot uint8, for any network to read; `unpack` gives the numbers back
    Box and MultiBinary leaves of   a Box of that dtype, the leaves one after the other with their bounds: any network can read it
    one dtype
    anything else                   a Box of uint8 bytes; the learner's encoder unpacks them

`row_space.layout` is the layout wherever `unpack` does more than return the rows. Text, Graph, Sequence and OneOf have no fixed size and
are refused, with the path of the leaf.
"""

import itertools
import sys
from dataclasses import dataclass

import numpy as np
from gymnasium import spaces

from puffer_min.emulation.packing import Packer

MAX_ONE_HOT = 4096
"""A single Discrete observation of more values than this stays a number."""

MAX_DIMENSIONS = 63
"""Of a leaf: NumPy's arrays have at most 64, and one of them counts the rows."""


@dataclass(frozen=True)
class Leaf:
    """One leaf of the tree: its path, its space, and its place in a row (byte offset, dtype, shape)."""

    path: str
    space: spaces.Space
    offset: int
    dtype: np.dtype
    shape: tuple[int, ...]

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
        """(lowest, highest) of each whole number of a Discrete, MultiDiscrete or MultiBinary, flat; None for a Box.

        The packer holds codes to them, because an encoder would crash on a code outside. It does not look at the numbers of a Box: the
        contract's check does, and not every step.
        """
        if isinstance(self.space, spaces.Box):
            return None
        low, count = (0, 2) if self.codes is None else (self.start.astype(np.int64), self.codes.astype(np.int64))
        size = int(np.prod(self.shape, dtype=int))
        return np.broadcast_to(low, size), np.broadcast_to(low + count - 1, size)


class RowSpace(spaces.Box):
    """The Box of a packed row. It carries the layout, by which an encoder finds the leaves again."""

    def __init__(self, low, high, shape, dtype, layout):
        super().__init__(low, high, shape, dtype)
        self.layout = layout

    def __eq__(self, other):
        return super().__eq__(other) and getattr(other, "layout", None) == self.layout


class Layout:
    """The place of each leaf of the observation space `space` in a row. Raises TypeError naming a leaf that has no fixed size."""

    def __init__(self, space: spaces.Space):
        self.space, self.tree, self.torch_plan = space, tree_of(space), None
        named = list(leaves_of(space, "observation"))
        self.dtype = structured_dtype(space)
        self.leaves = tuple(Leaf(*leaf, *place) for leaf, place in zip(named, places_of(self.dtype), strict=True))
        if self.dtype.itemsize == 0:
            raise TypeError(f"observation: {space} given, expected a space that holds something")
        self.one_hot = isinstance(space, spaces.Discrete) and space.n <= MAX_ONE_HOT
        alike = len({leaf.dtype for leaf in self.leaves}) == 1 and all(leaf.codes is None for leaf in self.leaves)
        self.structured = not (alike or self.one_hot)           # rows are bytes
        self.row_space = self._row_space()
        size = self.row_space.dtype.itemsize * int(np.prod(self.row_space.shape))
        self.packer = Packer(self.tree, self.leaves, size, self.one_hot)

    def _row_space(self):
        space, leaves = self.space, self.leaves
        if isinstance(space, spaces.Box):
            return space
        if self.one_hot:
            return RowSpace(0, 1, (int(space.n),), np.uint8, self)
        if not self.structured:
            low, high = (np.concatenate([np.ravel(bounds(leaf.space)[side]) for leaf in leaves]) for side in (0, 1))
            return RowSpace(low, high, low.shape, leaves[0].dtype, self)
        return RowSpace(0, 255, (self.dtype.itemsize,), np.uint8, self)

    def pack(self, sample, row: np.ndarray) -> None:
        """Write `sample` into `row`, one row of the observations. Raises TypeError or ValueError naming the leaf that does not fit."""
        self.packer.pack(sample, row)

    def unpack(self, rows):
        """Nested dicts and tuples of views of `rows` (N, *row shape), a NumPy array or a torch tensor; leaves are (N, *leaf shape).

        Writing into a view writes into the rows. Of one-hot rows the numbers are computed, (N,) of the space's dtype.
        """
        if tuple(rows.shape[1:]) != self.row_space.shape:
            raise ValueError(f"rows of shape {tuple(rows.shape)} given, "
                             f"expected (N, {', '.join(map(str, self.row_space.shape))})")
        if isinstance(self.space, spaces.Box):
            return rows
        in_numpy = isinstance(rows, np.ndarray)
        if self.one_hot:
            codes = rows.argmax(1) + int(self.space.start)
            return codes.astype(self.space.dtype) if in_numpy else codes.to(torch_dtype(self.leaves[0]))
        if not in_numpy and self.torch_plan is None:
            self.torch_plan = torch_plan(self)
        return nested(self.tree, numpy_views(rows, self) if in_numpy else torch_views(rows, self.torch_plan))

    def __eq__(self, other):
        return isinstance(other, Layout) and self.space == other.space and self.leaves == other.leaves      # Dicts compare without order

    def __hash__(self):
        return hash(self.dtype.itemsize)

    def __reduce__(self):
        return Layout, (self.space,)

    def __repr__(self):
        return "\n".join([f"Layout of {self.dtype.itemsize} bytes, rows {self.row_space.dtype} {self.row_space.shape}",
                          *(f"  {leaf.offset:5} {str(leaf.dtype):8} {str(leaf.shape):12} {leaf.path}" for leaf in self.leaves)])


# ---------------------------------------------------------------------------------------------------------------- the tree of a space

def leaves_of(space, path):
    """(path, space) of each leaf, in the order of the tree. Raises TypeError for a leaf without a fixed size."""
    if isinstance(space, spaces.Dict | spaces.Tuple):
        for key, inner in space.spaces.items() if isinstance(space, spaces.Dict) else enumerate(space.spaces):
            yield from leaves_of(inner, f"{path}[{key!r}]")
        return
    if not isinstance(space, spaces.Box | spaces.Discrete | spaces.MultiDiscrete | spaces.MultiBinary):
        raise TypeError(f"{path}: {type(space).__name__} given, expected Box, Discrete, MultiDiscrete, MultiBinary, Dict or Tuple: "
                        "only a space of fixed size becomes a row; turn it into a Box in a wrapper of your own")
    if len(space.shape) > MAX_DIMENSIONS:
        raise TypeError(f"{path}: {type(space).__name__} of {len(space.shape)} dimensions given, "
                        f"expected at most {MAX_DIMENSIONS}; reshape it in a wrapper of your own")
    yield path, space


def tree_of(space, numbers=None):
    """The shape of the tree in plain terms: the number of a leaf, a dict or a tuple of trees."""
    numbers = itertools.count() if numbers is None else numbers
    if isinstance(space, spaces.Dict):
        return {key: tree_of(inner, numbers) for key, inner in space.spaces.items()}
    return tuple([tree_of(inner, numbers) for inner in space.spaces]) if isinstance(space, spaces.Tuple) else next(numbers)


def nested(tree, views):
    """The views, one for each leaf, in the shape of the tree."""
    kind = type(tree)
    if kind is dict:
        return {key: nested(part, views) for key, part in tree.items()}
    return tuple([nested(part, views) for part in tree]) if kind is tuple else views[tree]


def bounds(space):
    """(low, high) of a Box, 0 and 1 of a MultiBinary."""
    return (space.low, space.high) if isinstance(space, spaces.Box) else (np.zeros(space.shape), np.ones(space.shape))


def structured_dtype(space) -> np.dtype:
    """The aligned dtype of one sample; NumPy decides about offsets and padding. Fields are the keys where they are distinct words."""
    if not isinstance(space, spaces.Dict | spaces.Tuple):
        return np.dtype((space.dtype, space.shape))
    parts = space.spaces
    if isinstance(space, spaces.Tuple) or not all(isinstance(key, str) and key for key in parts):
        parts = {f"f{i}": part for i, part in enumerate(parts.values() if isinstance(space, spaces.Dict) else parts)}
    return np.dtype([(name, structured_dtype(part)) for name, part in parts.items()], align=True)


def places_of(dtype, offset=0):
    """(byte offset, dtype, shape) of each leaf of a structured dtype."""
    if dtype.names is None:
        yield offset, dtype.base, dtype.shape
    else:
        for name in dtype.names:
            yield from places_of(dtype.fields[name][0], offset + dtype.fields[name][1])


# ---------------------------------------------------------------------------------------------------------------- views of rows

def numpy_views(rows, layout):
    """One view of NumPy rows for each leaf, in order."""
    if rows.strides[1] != rows.itemsize:
        raise ValueError(f"rows with strides {rows.strides} given, expected rows that are contiguous in themselves; make a copy first")
    rows = rows.view(np.uint8)
    ends = [leaf.offset + leaf.dtype.itemsize * int(np.prod(leaf.shape)) for leaf in layout.leaves]
    return [rows[:, leaf.offset:end].view(leaf.dtype).reshape(len(rows), *leaf.shape) for leaf, end in zip(layout.leaves, ends)]


def torch_views(rows, plan):
    """One view of torch rows for each leaf, in order. The rows are viewed once in each dtype; a leaf is then one call."""
    views, count, dtype = [None] * len(plan), len(rows), None
    for leaf, leaf_dtype, shape, strides, start in plan:
        if leaf_dtype is not dtype:
            dtype, whole = leaf_dtype, rows.view(leaf_dtype)
            stride, first = whole.stride(0), whole.storage_offset()
        views[leaf] = whole.as_strided((count, *shape), (stride, *strides), first + start)
    return views


def torch_plan(layout):
    """(number, dtype, shape, strides, first element) of each leaf, in torch's terms, ordered by dtype."""
    plan = []
    for number, leaf in enumerate(layout.leaves):
        strides = np.cumprod((1, *leaf.shape[:0:-1]))[::-1].tolist() if leaf.shape else []
        plan.append((number, torch_dtype(leaf), leaf.shape, tuple(strides), leaf.offset // leaf.dtype.itemsize))
    return sorted(plan, key=lambda entry: str(entry[1]))


def torch_dtype(leaf):
    """Torch's dtype of a leaf. Raises TypeError where it has none."""
    try:
        return sys.modules["torch"].from_numpy(np.zeros(0, leaf.dtype)).dtype       # a torch tensor was given, so torch is imported
    except TypeError as error:
        raise TypeError(f"{leaf.path}: {leaf.dtype} given, for which torch has no type; declare float32 or an integer type") from error
