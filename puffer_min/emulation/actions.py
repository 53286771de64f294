"""Action trees as flat rows: what the policy emits, and the nested action the environment is given.

    layout = ActionLayout(Dict(move=Discrete(5), tools=MultiBinary(3)))
    layout.row_space                    MultiDiscrete([5 2 2 2]): one int32 a number, counted from 0
    layout.decode(row)                  {"move": np.int64, "tools": int8 (3,)}, compiled
    layout.encode(action)               the row that decodes to `action`

What a row is
    Discrete alone                      Discrete
    whole numbers only                  MultiDiscrete, the leaves one after the other; MultiBinary(n) is n numbers below 2
    Box leaves only                     Box of float32 with their bounds; decoding clips, and rounds where the Box holds whole numbers
    both                                Box of float32: a Box leaf as above; a Discrete of n is n scores in [-1, 1], of which the largest
                                        is the action; a MultiBinary element is one score, 1 where positive

Scores and not one number rounded to an index: categories have no order, and a Gaussian policy that starts at zero then starts with
every category equally likely. The price is n outputs, so in a mixed tree a Discrete has at most 4,096 values.

A float32 holds whole numbers exactly up to 2**24, so Boxes of whole numbers have bounds within that.
"""

import numpy as np
from gymnasium import spaces

from puffer_min.emulation.observations import children_of, require_emulated
from puffer_min.emulation.packing import Decoder

MAX_SCORES = 4096
MAX_COUNT = 2**31 - 1
EXACT = 2**24


class ActionLayout:
    """Where each leaf of the action space `space` lies in a row. Raises TypeError or ValueError naming a leaf that cannot be emulated."""

    def __init__(self, space: spaces.Space):
        self.space = space
        self.leaves = list(leaves_of(space, "action"))
        if not self.leaves:
            raise TypeError(f"action: {space} given, expected a space with something to choose")
        real = [isinstance(leaf, spaces.Box) for _, leaf in self.leaves]
        self.mixed = any(real) and not all(real)
        for path, leaf in self.leaves:
            require_row(path, leaf, self.mixed)
        self.dtype = np.dtype(np.float32 if any(real) else np.int32)
        ends = np.cumsum([self.width_of(leaf) for _, leaf in self.leaves]).tolist()
        self.starts = [0, *ends[:-1]]
        self.row_space = self._row_space(any(real))
        self.decoder = Decoder(self._program(space, iter(self.starts)), ends[-1], self.dtype)

    def width_of(self, leaf) -> int:
        """Numbers that `leaf` takes in a row."""
        if self.mixed and isinstance(leaf, (spaces.Discrete, spaces.MultiDiscrete)):
            return int(counts_of(leaf).sum())
        return int(np.prod(leaf.shape, dtype=int))

    def _row_space(self, real):
        leaves = [leaf for _, leaf in self.leaves]
        if not real:
            if isinstance(self.space, spaces.Discrete):
                return spaces.Discrete(int(self.space.n))
            return spaces.MultiDiscrete(np.concatenate([counts_of(leaf) for leaf in leaves]))
        if isinstance(self.space, spaces.Box):
            return spaces.Box(self.space.low.astype(np.float32), self.space.high.astype(np.float32))
        sides = [(leaf.low.ravel(), leaf.high.ravel()) if isinstance(leaf, spaces.Box) else (-np.ones(n), np.ones(n))
                 for leaf, n in ((leaf, self.width_of(leaf)) for leaf in leaves)]
        low, high = (np.concatenate([side[k] for side in sides]).astype(np.float32) for k in (0, 1))
        return spaces.Box(low, high)

    def _program(self, space, starts):
        """What the compiled decoder follows; `starts` gives the first number of each leaf, in order."""
        children = children_of(space, "action")
        if children is not None:
            kind = "dict" if isinstance(space, spaces.Dict) else "tuple"
            return kind, tuple(key for key, _, _ in children), [self._program(inner, starts) for _, _, inner in children]
        start = next(starts)
        if isinstance(space, spaces.Box):
            return "real", start, space.dtype, space.shape, space.low, space.high
        kinds = {spaces.Discrete: ("discrete", "scores"), spaces.MultiDiscrete: ("multi", "multi scores"),
                 spaces.MultiBinary: ("multi", "signs")}
        kind = next(names[self.mixed] for known, names in kinds.items() if isinstance(space, known))
        return kind, start, space.dtype, space.shape, starts_of(space).tolist(), counts_of(space).tolist()

    def decode(self, row: np.ndarray):
        """The action in `row`, (width,) of any integer dtype for whole numbers, float for others; nested as the space is."""
        row = np.asarray(row)
        if self.dtype == np.int32 and row.dtype.kind not in "iu":
            raise TypeError(f"action row of {row.dtype} given, expected whole numbers (int32)")
        return self.decoder.decode_rows(np.ascontiguousarray(row, self.dtype).reshape(1, -1))[0]

    def encode(self, action) -> np.ndarray:
        """The row of `action`, a member of the space."""
        if not self.space.contains(action):
            raise ValueError(f"action {action} given, expected a member of {self.space}")
        row = np.zeros(self.decoder.width, self.dtype)
        for (_, leaf), start, value in zip(self.leaves, self.starts, values_of(self.space, action)):
            part = row[start:start + self.width_of(leaf)]
            if isinstance(leaf, spaces.Box) or not self.mixed:
                part[:] = np.ravel(value) - (0 if isinstance(leaf, spaces.Box) else starts_of(leaf))
            elif isinstance(leaf, spaces.MultiBinary):
                part[:] = np.where(np.ravel(value), 1, -1)
            else:
                part[:] = -1
                counts = counts_of(leaf)
                part[np.cumsum(counts) - counts + np.ravel(value) - starts_of(leaf)] = 1
        return row.reshape(self.row_space.shape)

    def __reduce__(self):
        return ActionLayout, (self.space,)


def leaves_of(space, path):
    """(path, space) of each leaf, in the order of the tree."""
    children = children_of(space, path)
    if children is None:
        require_emulated(space, path)
        yield path, space
    else:
        for _, inner_path, inner in children:
            yield from leaves_of(inner, inner_path)


def values_of(space, action):
    """The leaves of a nested action, in the order of the tree."""
    children = children_of(space, "")
    if children is None:
        yield action
    else:
        for key, _, inner in children:
            yield from values_of(inner, action[key])


def counts_of(space) -> np.ndarray:
    """How many values each whole number of a leaf can take, flat."""
    if isinstance(space, spaces.Discrete):
        return np.array([space.n], np.int64)
    return space.nvec.ravel().astype(np.int64) if isinstance(space, spaces.MultiDiscrete) else np.full(int(np.prod(space.shape)), 2)


def starts_of(space) -> np.ndarray:
    """The smallest value of each whole number of a leaf, flat."""
    starts = np.zeros(space.shape) if isinstance(space, spaces.MultiBinary) else space.start
    return np.ravel(starts).astype(np.int64)


def require_row(path, leaf, mixed):
    """Raise ValueError where a row of int32 or float32 cannot hold the leaf."""
    if isinstance(leaf, spaces.Box):
        largest = np.abs(np.stack([leaf.low, leaf.high]).astype(float)).max(initial=0)
        if leaf.dtype.kind != "f" and largest > EXACT:
            raise ValueError(f"{path}: {leaf} given, expected bounds within 2**24 for whole numbers: a row holds float32; "
                             "declare floats or a Discrete")
    else:
        limit = MAX_SCORES if mixed and not isinstance(leaf, spaces.MultiBinary) else MAX_COUNT
        if (counts_of(leaf) > limit).any():
            where = " beside a Box, where each value is a score" if mixed else ""
            raise ValueError(f"{path}: {leaf} given, expected at most {limit:,} values{where}")
