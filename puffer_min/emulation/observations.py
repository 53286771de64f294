"""Structured observations as flat rows and back: one layout, computed once from the space.

    layout = Layout(Dict(position=Box(-1, 1, (2,)), tile=Discrete(9), bag=Tuple((MultiBinary(4), Box(0, 255, (3, 3), np.uint8)))))
    layout.row_space                    Box of one row: what the environment declares, what buffers and vectorizers see
    layout.pack(sample, row)            compiled; writes the leaves into the row
    layout.unpack(rows)                 {"position": (N, 2), "tile": (N,), "bag": ((N, 4), (N, 3, 3))}, views of NumPy or torch rows

The layout is an aligned NumPy structured dtype, so every offset is NumPy's own and every leaf can be viewed in place in its own dtype:

    byte    0         8         16     20                29   32
            | position| tile    | bag.0 | bag.1           | -- |        "--" is padding, written as zeros

What a row is
    Box                             the Box itself
    Discrete of at most 4,096       one-hot uint8, for any network to read; `unpack` gives the numbers back
    Box and MultiBinary leaves of   a Box of that dtype, the leaves one after the other with their bounds: any network can read it
    one dtype
    anything else                   a Box of uint8 bytes; structured_encoder.py unpacks them for a network

`row_space.layout` is the layout wherever `unpack` does more than hand the rows back. Text, Graph, Sequence and OneOf have no fixed size and
are refused, with the path of the leaf.
"""

import itertools
import sys
from dataclasses import dataclass

import numpy as np
from gymnasium import spaces

from puffer_min.emulation.packing import Packer

MAX_ONE_HOT = 4096
"""A single Discrete observation of more values than these stays a number."""


@dataclass(frozen=True)
class Leaf:
    """One leaf of the tree: its path, its space, and where a row holds it (byte offset, dtype, shape)."""

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


class RowSpace(spaces.Box):
    """The Box of a packed row. It carries the layout, by which an encoder finds the leaves again."""

    def __init__(self, low, high, shape, dtype, layout):
        super().__init__(low, high, shape, dtype)
        self.layout = layout

    def __eq__(self, other):
        return super().__eq__(other) and getattr(other, "layout", None) == self.layout


class Layout:
    """Where each leaf of the observation space `space` lies in a row. Raises TypeError naming the leaf that has no fixed size."""

    def __init__(self, space: spaces.Space):
        self.space = space
        self.dtype = structured_dtype(space, "observation")
        self.leaves = tuple(leaves_of(space, "observation", self.dtype))
        if self.dtype.itemsize == 0:
            raise TypeError(f"observation: {space} given, expected a space that holds something")
        self.one_hot = isinstance(space, spaces.Discrete) and space.n <= MAX_ONE_HOT
        alike = len({leaf.dtype for leaf in self.leaves}) == 1 and all(leaf.codes is None for leaf in self.leaves)
        self.structured = not (alike or self.one_hot)           # rows are bytes
        self.tree, self.torch_plan = tree_of(space, itertools.count()), None
        self.row_space = self._row_space()
        size = self.row_space.dtype.itemsize * int(np.prod(self.row_space.shape))
        self.packer = Packer(program_of(space, "observation", self.dtype), size, self.one_hot)

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

        Writing into a view writes into the rows. (Of one-hot rows the numbers are computed, (N,) of the space's dtype.)
        """
        if tuple(rows.shape[1:]) != self.row_space.shape:
            raise ValueError(f"rows of shape {tuple(rows.shape)} given, expected (N, {', '.join(map(str, self.row_space.shape))})")
        if isinstance(self.space, spaces.Box):
            return rows
        if self.one_hot:
            return rows.argmax(1) + int(self.space.start)
        if isinstance(rows, np.ndarray):
            return nested(self.tree, numpy_views(rows, self))
        if self.torch_plan is None:
            self.torch_plan = torch_plan(self)
        return nested(self.tree, torch_views(rows, self.torch_plan))

    def sample_of(self, views, index):
        """The sample in row `index` of what `unpack` gave for NumPy rows, as the environment itself would give it: copies."""
        def pick(space, part):
            if isinstance(space, spaces.Dict):
                return {key: pick(inner, part[key]) for key, inner in space.spaces.items()}
            if isinstance(space, spaces.Tuple):
                return tuple(map(pick, space.spaces, part))
            return part[index] if isinstance(space, spaces.Discrete) else part[index].copy()
        return pick(self.space, views)

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

def children_of(space, path):
    """(key, path, space) of each part of a Dict or Tuple, or None for a leaf."""
    if isinstance(space, spaces.Dict):
        return [(key, f"{path}[{key!r}]", inner) for key, inner in space.spaces.items()]
    if isinstance(space, spaces.Tuple):
        return [(i, f"{path}[{i}]", inner) for i, inner in enumerate(space.spaces)]
    return None


def require_emulated(space, path):
    """Raise TypeError unless the leaf `space` has a fixed size."""
    if not isinstance(space, (spaces.Box, spaces.Discrete, spaces.MultiDiscrete, spaces.MultiBinary)):
        raise TypeError(f"{path}: {type(space).__name__} given, expected Box, Discrete, MultiDiscrete, MultiBinary, Dict or Tuple: "
                        "only what has a fixed size becomes a row; turn it into a Box in a wrapper of your own")


def bounds(space):
    """(low, high) of a Box, 0 and 1 of a MultiBinary."""
    return (space.low, space.high) if isinstance(space, spaces.Box) else (np.zeros(space.shape), np.ones(space.shape))


def field_names(space):
    """Names of the fields of a Dict or Tuple in the structured dtype: its keys where they are distinct words, else f0, f1 ..."""
    if isinstance(space, spaces.Dict) and all(isinstance(key, str) and key for key in space.spaces):
        return list(space.spaces)
    return [f"f{i}" for i in range(len(space.spaces))]


def structured_dtype(space, path) -> np.dtype:
    """The aligned dtype of one sample; NumPy decides about offsets and padding."""
    children = children_of(space, path)
    if children is None:
        require_emulated(space, path)
        return np.dtype((space.dtype, space.shape))
    return np.dtype([(name, structured_dtype(inner, inner_path)) for name, (_, inner_path, inner) in zip(field_names(space), children)],
                    align=True)


def parts_of(space, path, dtype, offset):
    """(space, path, dtype, offset) of each part of a Dict or Tuple whose row part begins at byte `offset`, or None for a leaf."""
    children = children_of(space, path)
    if children is None:
        return None
    fields = [dtype.fields[name] for name in field_names(space)]
    return [(inner, inner_path, field[0], offset + field[1]) for (_, inner_path, inner), field in zip(children, fields)]


def leaves_of(space, path, dtype, offset=0):
    """The leaves, in the order of the tree."""
    parts = parts_of(space, path, dtype, offset)
    if parts is None:
        yield Leaf(path, space, offset, dtype.base, dtype.shape)
    else:
        for part in parts:
            yield from leaves_of(*part)


def program_of(space, path, dtype, offset=0):
    """What the compiled packer follows: ("dict" or "tuple", path, keys, programs) or ("leaf", path, offset, dtype, shape, low, high).

    low and high bound each whole number of a Discrete, MultiDiscrete or MultiBinary leaf: a code outside is an error of the environment
    that an encoder would only meet later, as a crash. A Box has none here: the contract's check looks at it, not every step.
    """
    parts = parts_of(space, path, dtype, offset)
    if parts is not None:
        keys = tuple(space.spaces) if isinstance(space, spaces.Dict) else tuple(range(len(parts)))
        return "dict" if isinstance(space, spaces.Dict) else "tuple", path, keys, [program_of(*part) for part in parts]
    low = high = None
    if isinstance(space, (spaces.Discrete, spaces.MultiDiscrete)):
        low = [int(start) for start in np.ravel(space.start)]
        counts = space.nvec.ravel() if isinstance(space, spaces.MultiDiscrete) else [space.n]
        high = [start + int(n) - 1 for start, n in zip(low, counts)]
    elif isinstance(space, spaces.MultiBinary):
        low, high = [0] * int(np.prod(space.shape)), [1] * int(np.prod(space.shape))
    return "leaf", path, offset, dtype.base, dtype.shape, low, high


# ---------------------------------------------------------------------------------------------------------------- views of rows

def tree_of(space, numbers):
    """The shape of the tree in plain terms: the number of a leaf, a dict or a tuple of such."""
    if isinstance(space, spaces.Dict):
        return {key: tree_of(inner, numbers) for key, inner in space.spaces.items()}
    if isinstance(space, spaces.Tuple):
        return tuple([tree_of(inner, numbers) for inner in space.spaces])
    return next(numbers)


def nested(tree, views):
    """The views, one for each leaf, in the shape of the tree."""
    kind = type(tree)
    if kind is dict:
        return {key: nested(part, views) for key, part in tree.items()}
    return tuple([nested(part, views) for part in tree]) if kind is tuple else views[tree]


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
    torch, plan = sys.modules["torch"], []          # rows that are torch tensors have imported it; this module does not
    for number, leaf in enumerate(layout.leaves):
        try:
            dtype = torch.from_numpy(np.zeros(0, leaf.dtype)).dtype
        except TypeError as error:
            raise TypeError(f"{leaf.path}: {leaf.dtype} given, which torch has no type for; declare float32 or an integer type") from error
        strides = np.cumprod((1, *leaf.shape[:0:-1]))[::-1].tolist() if leaf.shape else []
        plan.append((number, dtype, leaf.shape, tuple(strides), leaf.offset // leaf.dtype.itemsize))
    return sorted(plan, key=lambda entry: str(entry[1]))
