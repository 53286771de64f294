"""Action trees as flat rows: the numbers of a policy, and the nested action that the environment gets.

    layout = ActionLayout(Dict(move=Discrete(5), tools=MultiBinary(3)))
    layout.row_space                    MultiDiscrete([5 2 2 2]): one int32 for each number, counted from 0
    layout.decode(row)                  {"move": np.int64, "tools": int8 (3,)}
    layout.encode(action)               the row that decodes to `action`

The row of a space
    Discrete alone              Discrete
    whole numbers only          MultiDiscrete, the leaves in order; MultiBinary(n) is n numbers below 2
    Box leaves only             Box of float32 with their bounds; decoding clips, and rounds whole numbers
    both                        Box of float32: a Box leaf as above; a Discrete of n is n scores in [-1, 1],
                                of which the largest is the action; a MultiBinary element is one score,
                                1 where positive

Categories are scores, not one number rounded to an index, because they have no order: a Gaussian policy that
starts at zero starts with all equally likely. The price is n outputs, so a Discrete beside a Box has at most
4,096 values. A float32 holds whole numbers exactly up to 2**24, which bounds Boxes of whole numbers.
"""

import numpy as np
from gymnasium import spaces

from puffer_min.emulation.observations import nested, tree_of

MAX_SCORES = 4096
MAX_COUNT = 2**31 - 1
EXACT = 2**24


class ActionLayout:
    """The place of each leaf of an action space in a row. Raises TypeError or ValueError, naming the leaf."""

    def __init__(self, space: spaces.Space):
        leaves = []
        self.space, self.tree = space, tree_of(space, "action", leaves)
        if not leaves:
            raise TypeError(f"action: {space} given, expected a space with something to choose")
        real = [isinstance(leaf, spaces.Box) for _, leaf in leaves]
        self.mixed = any(real) and not all(real)
        self.leaves, self.width = [], 0
        for path, leaf in leaves:
            self.leaves.append(ActionLeaf(path, leaf, self.mixed, self.width))
            self.width = self.leaves[-1].end
        self.dtype = np.dtype(np.float32 if any(real) else np.int32)
        if isinstance(space, spaces.Discrete):
            self.row_space = spaces.Discrete(int(space.n))
        elif not any(real):
            self.row_space = spaces.MultiDiscrete(np.concatenate([leaf.counts for leaf in self.leaves]))
        elif isinstance(space, spaces.Box):
            self.row_space = spaces.Box(space.low.astype(np.float32), space.high.astype(np.float32))
        else:
            low, high = np.concatenate([leaf.bounds for leaf in self.leaves], 1).astype(np.float32)
            self.row_space = spaces.Box(low, high)

    def decode_rows(self, rows: np.ndarray) -> list:
        """The nested actions in `rows` (num_agents, ...), of the row space's dtype, in their own memory."""
        if isinstance(self.space, spaces.Discrete):             # the most frequent space, in the fewest calls
            return list((rows + self.leaves[0].low).astype(self.space.dtype, copy=False))
        rows = rows.reshape(len(rows), self.width)
        columns = [leaf.decode(rows[:, leaf.start:leaf.end]) for leaf in self.leaves]
        if self.tree == 0:
            return columns[0]
        return [nested(self.tree, parts) for parts in zip(*columns, strict=True)]

    def decode(self, row: np.ndarray):
        """The action in `row`, (width,) of any integer dtype, for a Box of any real one, or an error."""
        given = np.asarray(row)
        if self.dtype == np.int32 and given.dtype.kind not in "iu":
            raise TypeError(f"action row of {given.dtype} given, expected whole numbers (int32)")
        taken = given.astype(self.dtype)
        if self.dtype == np.int32 and not np.array_equal(taken, given):
            raise ValueError(f"action row {given} given, expected numbers that an int32 holds: "
                             f"a row of {self.row_space}")
        return self.decode_rows(taken.reshape(1, *self.row_space.shape))[0]

    def encode(self, action) -> np.ndarray:
        """The row of `action`, a member of the space."""
        if not self.space.contains(action):
            raise ValueError(f"action {action} given, expected a member of {self.space}")
        values = values_of(self.tree, action)
        parts = [leaf.encode(value) for leaf, value in zip(self.leaves, values, strict=True)]
        return np.concatenate(parts).astype(self.dtype).reshape(self.row_space.shape)

    def __reduce__(self):
        return ActionLayout, (self.space,)


class ActionLeaf:
    """One leaf: numbers [start, end) of a row; whole numbers are scores there if `mixed`.

    counts, low     how many values each whole number can take, and the smallest of them, flat
    """

    def __init__(self, path, space, mixed, start):
        self.space, self.start, self.real = space, start, isinstance(space, spaces.Box)
        size, self.scores = int(np.prod(space.shape, dtype=int)), mixed and not self.real
        if self.real:
            self.end, self.bounds = start + size, (space.low.ravel(), space.high.ravel())
            largest = np.abs(np.stack(self.bounds).astype(float)).max(initial=0)
            if space.dtype.kind != "f" and largest > EXACT:
                raise ValueError(f"{path}: {space} given, expected bounds within 2**24 for whole numbers: "
                                 "a row holds float32; declare floats or a Discrete")
            return
        self.signs = isinstance(space, spaces.MultiBinary)
        self.counts, self.low = np.full(size, 2), np.zeros(size, np.int64)
        if not self.signs:
            self.counts = np.ravel(getattr(space, "nvec", getattr(space, "n", None))).astype(np.int64)
            self.low = np.ravel(space.start).astype(np.int64)
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
            return list(values) if space.shape else [values[i, ...] for i in range(len(part))]      # arrays
        if self.scores and self.signs:
            part = part > 0
        elif self.scores:
            chosen = [part[:, end - n:end].argmax(1) for n, end in zip(self.counts, self.ends, strict=True)]
            part = np.stack(chosen, 1) + self.low
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
