"""Action trees as flat rows: the numbers that a policy emits, and the nested action that the environment is given.

    layout = ActionLayout(Dict(move=Discrete(5), tools=MultiBinary(3)))
    layout.row_space                    MultiDiscrete([5 2 2 2]): one int32 for each number, counted from 0
    layout.decode(row)                  {"move": np.int64, "tools": int8 (3,)}
    layout.encode(action)               the row that decodes to `action`

The row of a space
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

from puffer_min.emulation.observations import leaves_of, nested, tree_of

MAX_SCORES = 4096
MAX_COUNT = 2**31 - 1
EXACT = 2**24


class ActionLayout:
    """The place of each leaf of the action space `space` in a row. Raises TypeError or ValueError naming a leaf that no row can hold."""

    def __init__(self, space: spaces.Space):
        self.space, self.tree = space, tree_of(space)
        leaves = list(leaves_of(space, "action"))
        if not leaves:
            raise TypeError(f"action: {space} given, expected a space with something to choose")
        real = [isinstance(leaf, spaces.Box) for _, leaf in leaves]
        self.mixed = any(real) and not all(real)
        self.leaves, start = [], 0
        for path, leaf in leaves:
            self.leaves.append(ActionLeaf(path, leaf, self.mixed, start))
            start = self.leaves[-1].end
        self.width, self.dtype = start, np.dtype(np.float32 if any(real) else np.int32)
        self.row_space = self._row_space(any(real))

    def _row_space(self, real):
        if isinstance(self.space, spaces.Discrete):
            return spaces.Discrete(int(self.space.n))
        if not real:
            return spaces.MultiDiscrete(np.concatenate([leaf.counts for leaf in self.leaves]))
        if isinstance(self.space, spaces.Box):
            return spaces.Box(self.space.low.astype(np.float32), self.space.high.astype(np.float32))
        low, high = (np.concatenate([leaf.bounds[side] for leaf in self.leaves]).astype(np.float32) for side in (0, 1))
        return spaces.Box(low, high)

    def decode_rows(self, rows: np.ndarray) -> list:
        """The actions in `rows` (number of agents, ...), int32 or float32 as the row space; nested as the space is, in memory of their own."""
        if isinstance(self.space, spaces.Discrete):             # the most frequent space, in the fewest calls
            return list((rows + self.leaves[0].low).astype(self.space.dtype, copy=False))
        rows = rows.reshape(len(rows), self.width)
        columns = [leaf.decode(rows[:, leaf.start:leaf.end]) for leaf in self.leaves]
        return columns[0] if self.tree == 0 else [nested(self.tree, parts) for parts in zip(*columns, strict=True)]

    def decode(self, row: np.ndarray):
        """The action in `row`, (width,) of any integer dtype for whole numbers, of any real dtype for others. Raises TypeError or ValueError."""
        given = np.asarray(row)
        if self.dtype == np.int32 and given.dtype.kind not in "iu":
            raise TypeError(f"action row of {given.dtype} given, expected whole numbers (int32)")
        taken = given.astype(self.dtype)
        if self.dtype == np.int32 and not np.array_equal(taken, given):
            raise ValueError(f"action row {given} given, expected numbers that an int32 holds: a row of {self.row_space}")
        return self.decode_rows(taken.reshape(1, *self.row_space.shape))[0]

    def encode(self, action) -> np.ndarray:
        """The row of `action`, a member of the space."""
        if not self.space.contains(action):
            raise ValueError(f"action {action} given, expected a member of {self.space}")
        parts = [leaf.encode(value) for leaf, value in zip(self.leaves, values_of(self.tree, action), strict=True)]
        return np.concatenate(parts).astype(self.dtype).reshape(self.row_space.shape)

    def __reduce__(self):
        return ActionLayout, (self.space,)


class ActionLeaf:
    """One leaf: numbers [start, end) of a row; `mixed` if whole numbers are scores there.

    counts, low     how many values each whole number can take, and the smallest of them, flat
    """

    def __init__(self, path, space, mixed, start):
        self.space, self.start, self.real = space, start, isinstance(space, spaces.Box)
        size, self.scores = int(np.prod(space.shape, dtype=int)), mixed and not self.real
        if self.real:
            self.end, self.bounds = start + size, (space.low.ravel(), space.high.ravel())
            largest = np.abs(np.stack(self.bounds).astype(float)).max(initial=0)
            if space.dtype.kind != "f" and largest > EXACT:
                raise ValueError(f"{path}: {space} given, expected bounds within 2**24 for whole numbers: a row holds float32; "
                                 "declare floats or a Discrete")
            return
        self.signs = isinstance(space, spaces.MultiBinary)
        self.counts = np.full(size, 2) if self.signs else np.ravel(getattr(space, "nvec", getattr(space, "n", None))).astype(np.int64)
        self.low = np.zeros(size, np.int64) if self.signs else np.ravel(space.start).astype(np.int64)
        limit = MAX_SCORES if self.scores and not self.signs else MAX_COUNT
        if (self.counts > limit).any():
            where = " beside a Box, where each value is a score" if mixed else ""
            raise ValueError(f"{path}: {space} given, expected at most {limit:,} values{where}")
        width = int(self.counts.sum()) if self.scores and not self.signs else size
        self.end, self.bounds = start + width, (-np.ones(width), np.ones(width))
        self.ends = np.cumsum(self.counts)                  # of the scores of each number

    def decode(self, part):
        """A list of the actions in rows `part` (N, width), of the space's shape and dtype."""
        space, shape = self.space, (len(part), *self.space.shape)
        if self.real:
            part = part.reshape(shape)
            if space.dtype.kind != "f":
                part = np.rint(part.astype(float))
            values = np.minimum(np.maximum(part, space.low), space.high).astype(space.dtype, copy=False)
            return list(values) if space.shape else [values[i, ...] for i in range(len(part))]        # () is an array too
        if self.scores and self.signs:
            part = part > 0
        elif self.scores:
            part = np.stack([part[:, end - n:end].argmax(1) for n, end in zip(self.counts, self.ends, strict=True)], 1) + self.low
        else:
            part = part + self.low
        return list(part.astype(space.dtype, copy=False).reshape(shape))

    def encode(self, value):
        """The numbers of a row for the action `value`."""
        value = np.ravel(value)
        if self.real:
            return value
        if self.scores and self.signs:
            return np.where(value, 1, -1)
        if not self.scores:
            return value - self.low
        scores = np.full(self.end - self.start, -1)
        scores[self.ends - self.counts + value - self.low] = 1
        return scores


def values_of(tree, action):
    """The leaves of a nested action, in the order of the tree."""
    if isinstance(tree, int):
        yield action
    else:
        for key, part in tree.items() if isinstance(tree, dict) else enumerate(tree):
            yield from values_of(part, action[key])
