"""Checks of level 6: where the leaves of a structure lie, views of rows, flags that are events, the encoder
of sets, the bug in a view.
"""

import numpy as np

from puffer_min.course.check import register
from puffer_min.course.claims import expect, same_values

DTYPES = ("uint8", "int16", "float32", "int64", "float64")
OTHER_DTYPES = ("bool", "int8", "uint16", "float16", "int32", "uint64", "float64")

# ---------------------------------------------------------------------- offsets


def reference_offsets(parts):
    fields = [(f"f{i}", np.dtype((dtype, shape))) for i, (dtype, shape) in enumerate(parts)]
    whole = np.dtype(fields, align=True)
    return [whole.fields[name][1] for name, _ in fields], whole.itemsize


def walked(parts, *, align=lambda dtype: dtype.itemsize, close=True, whole_part=False):
    """The walk over the parts, with or without its two kinds of padding."""
    offsets, at, widest = [], 0, 1
    for name, shape in parts:
        dtype = np.dtype(name)
        step = align(dtype) * (int(np.prod(shape)) if whole_part else 1)
        at += -at % step
        offsets.append(at)
        at += dtype.itemsize * int(np.prod(shape, dtype=int))
        widest = max(widest, align(dtype))
    return offsets, at + (-at % widest if close else 0)


def random_parts(rng, dtypes=DTYPES, longest=4):
    return [(str(rng.choice(dtypes)), tuple(rng.integers(1, longest, rng.integers(0, 3)).tolist()))
            for _ in range(rng.integers(2, 7))]


def parts_cases(rng, hidden):
    cases = [[("uint8", ()), ("float64", ())], [("float64", ()), ("uint8", (3,))],
             *(random_parts(rng) for _ in range(40))]
    if hidden:
        cases += [[("uint8", (5,))], [("int16", ())], [("uint8", (3,)), ("int16", (2, 2, 2)), ("uint8", ())],
                  *(random_parts(rng, OTHER_DTYPES, 12) for _ in range(40))]
    return [(parts,) for parts in cases]


def whole_numbers(offsets, parts):
    """What the answer gives for some parts, as one array: the offsets, then the size."""
    found = offsets(parts)
    expect(isinstance(found, tuple | list) and len(found) == 2,
           "it must return two things: the list of offsets and the size of the whole")
    numbers = [*np.asarray(found[0]).tolist(), found[1]]
    for number in numbers:
        expect(isinstance(number, int | np.integer) and not isinstance(number, bool),
               f"{number!r} is no whole number: offsets are bytes, so divide with // and %")
    return np.array(numbers)


def wrong(**settings):
    return lambda parts: np.array([*(found := walked(parts, **settings))[0], found[1]])


OFFSETS = {
    "the parts lie one behind the other: each must begin at a multiple of the size of its element":
    wrong(align=lambda dtype: 1),
"the offsets are right, but the end is not padded: the next row must begin aligned as well":
    wrong(close=False),
"everything is aligned to 8 bytes: a part needs multiples of its own element only":
    wrong(align=lambda dtype: 8),
"a part is aligned to its whole size, expected to that of one element": wrong(whole_part=True)}


@register("offsets", part="offsets")
def _(offsets, rng, hidden):
    "the offsets that NumPy gives the parts of an aligned structure; the size aside"
    same_values(lambda parts: whole_numbers(offsets, parts)[:-1],
                lambda parts: np.array(reference_offsets(parts)[0]), parts_cases(rng, hidden), rtol=0, atol=0,
                mistakes={sentence: lambda parts, function=function: function(parts)[:-1]
                          for sentence, function in OFFSETS.items()})


@register("offsets")
def _(offsets, rng, hidden):
    "the offsets and the size that NumPy gives an aligned structure, for random parts"
    cases = parts_cases(rng, hidden)

    def answer(parts):
        return whole_numbers(offsets, parts)

    same_values(answer,
                lambda parts: np.array([*(found := reference_offsets(parts))[0], found[1]]), cases, rtol=0,
                atol=0, mistakes=OFFSETS)


# ---------------------------------------------------------------------- views

def reference_views(rows, layout):
    views = {}
    for name, (offset, dtype, shape) in layout.items():
        end = offset + np.dtype(dtype).itemsize * int(np.prod(shape, dtype=int))
        views[name] = rows[:, offset:end].view(dtype).reshape(len(rows), *shape)
    return views


def random_rows(rng, number, hidden=False):
    """Packed rows of a random structure and its layout; hidden: of other dtypes, packed without padding, the
    names in another order than the bytes.
    """
    parts = random_parts(rng, OTHER_DTYPES, 6) if hidden else random_parts(rng)
    offsets, size = walked(parts, align=lambda dtype: 1) if hidden else reference_offsets(parts)
    layout = {f"part {i}": (offset, dtype, shape)
              for i, (offset, (dtype, shape)) in enumerate(zip(offsets, parts, strict=True))}
    if hidden:
        layout = {name: layout[name] for name in rng.permutation(list(layout)).tolist()}
    rows = np.zeros((number, size), np.uint8)
    for view, (_, dtype, shape) in zip(reference_views(rows, layout).values(), layout.values(), strict=True):
        view[...] = rng.integers(0, 100, (number, *shape)).astype(dtype)
    return rows, layout


def rows_cases(rng, hidden):
    for number in (1, 3, 6, 8):
        rows, layout = random_rows(rng, number)
        yield rows, layout
        yield rows[::2], layout
    for number in (1, 5, 40) if hidden else ():
        rows, layout = random_rows(rng, number, hidden=True)
        wide = rng.integers(0, 255, (number + 2, rows.shape[1] + 3)).astype(np.uint8)
        wide[1:-1, 2:-1] = rows
        yield wide[1:-1, 2:-1], layout
        yield rows[::-1], layout


def unpacked(unpack, rows, layout):
    """(name, what the answer made of a part, what it should be), for each part."""
    before = rows.copy()
    found, right = unpack(rows, layout), reference_views(rows, layout)
    expect(isinstance(found, dict) and list(found) == list(layout),
           "it must return a dict with the names of the layout")
    expect(np.array_equal(rows, before), "it writes into the rows: a view only looks at them")
    for name, view in right.items():
        part = found[name]
        expect(isinstance(part, np.ndarray) and part.dtype == view.dtype,
               f"{name} has dtype {getattr(part, 'dtype', None)}, expected {view.dtype}: reinterpret the "
               "bytes with .view(dtype)")
        expect(part.shape == view.shape,
               f"{name} has shape {part.shape}, expected {view.shape}: the number of rows comes first")
        expect(np.array_equal(part, view),
               f"{name} holds other values: are these the bytes from its offset on, and not converted one by "
               "one?")
        yield name, part, view


@register("unpack", part="values")
def _(unpack, rng, hidden):
    "the values, shapes and dtypes of random structures, whether views or copies"
    for rows, layout in rows_cases(rng, hidden):
        for _ in unpacked(unpack, rows, layout):
            pass


@register("unpack", live=True)
def _(unpack, rng, hidden):
    ("the values, shapes and dtypes of random structures; views that can be written, and not copies, also of "
     "every second row")
    for rows, layout in rows_cases(rng, hidden):
        for name, part, view in unpacked(unpack, rows, layout):
            expect(np.shares_memory(part, rows),
                   f"{name} is a copy, expected a view: slice, view and reshape copy nothing, astype and "
                   "ascontiguousarray do")
            expect(part.flags.writeable,
                   f"{name} is read-only, expected a view whose writes are seen in the rows")
            part[...] = 1
            expect((view == 1).all(), f"a write into {name} is not seen in the rows")


# ---------------------------------------------------------------------- events

def reference_events(lived, dones, at_limit):
    ended = lived & (dones == 1)
    return ended & ~at_limit, ended & at_limit, lived & ~ended


def random_step(rng, n):
    return rng.random(n) < 0.6, (rng.random(n) < 0.5).astype(np.int32), rng.random(n) < 0.3


def steps_cases(rng, hidden):
    cases = [random_step(rng, n) for n in (4, 12, 60)]
    if hidden:
        lived, dones, at_limit = random_step(rng, 20)
        none, everybody = np.zeros(20, bool), np.ones(20, bool)
        cases += [random_step(rng, 1), random_step(rng, 700), (none, dones, at_limit),
                  (everybody, np.ones(20, np.int32), everybody),
                  (everybody, np.zeros(20, np.int32), everybody), (lived, dones, none)]
    return cases


def of(function):
    return lambda *case: np.stack(function(*case))


def always(lived, dones, at_limit):
    ended = dones == 1
    return ended & ~at_limit, ended & at_limit, lived & ~ended


EVENTS = {
    "an empty slot ends as well: done is a state of the simulator, a flag is an event, up only where an "
"agent lived":
    of(always),
"the end by time is a terminal: it says that nothing would have followed": of(
    lambda lived, dones, at_limit: (lived & (dones == 1), np.zeros_like(lived),
                                lived & (dones == 0))),
"terminals and truncations are both up: where the limit is what ended it, only the truncation is": of(
    lambda lived, dones, at_limit: (lived & (dones == 1), lived & (dones == 1) & at_limit,
                                lived & (dones == 0))),
"the two flags are the wrong way round: first the terminals, then the truncations": of(
    lambda *case: [reference_events(*case)[i] for i in (1, 0, 2)]),
"who ended is still masked as alive: its slot is empty from this step on": of(
    lambda lived, dones, at_limit: (*reference_events(lived, dones, at_limit)[:2], lived)),
"the masks are where the simulator is not done, expected only of those who lived before": of(
    lambda lived, dones, at_limit: (*reference_events(lived, dones, at_limit)[:2], dones == 0)),
"everybody is cut at the limit, expected only whom the simulator calls done": of(
    lambda lived, dones, at_limit: (lived & (dones == 1) & ~at_limit, lived & at_limit,
                                lived & (dones == 0)))}


@register("events", part="ends")
def _(events, rng, hidden):
    "who ended at this step, and by what; the masks aside"
    same_values(lambda *case: np.stack([np.asarray(part, bool) for part in list(events(*case))[:2]]),
                lambda *case: np.stack(reference_events(*case)[:2]), steps_cases(rng, hidden),
                mistakes={sentence: lambda *case, function=function: function(*case)[:2]
                          for sentence, function in EVENTS.items()})


@register("events")
def _(events, rng, hidden):
    "who ended at this step, by what, and who lives on; nothing for empty slots"
    def answer(*case):
        found = events(*case)
        expect(isinstance(found, tuple | list | np.ndarray) and len(found) == 3,
               "it must return three arrays: terminals, truncations, masks")
        for name, part in zip(("terminals", "truncations", "masks"), found, strict=True):
            dtype = np.asarray(part).dtype
            expect(dtype.kind == "b",
                   f"{name} are {dtype}, expected bool: of whole numbers ~ gives -2 for 1, and they choose "
                   "rows by number")
        return np.stack([np.asarray(part) for part in found])

    same_values(answer, of(reference_events), steps_cases(rng, hidden), mistakes=EVENTS)


# ---------------------------------------------------------------------- the set encoder

def reference_pool(things, weight, bias):
    hidden = np.maximum(things @ weight + bias, 0)
    hidden[(things == 0).all(2)] = 0
    return hidden.max(1)


def random_sets(rng, agents, members, numbers=4, features=6):
    """Sets with members that are absent, and with members of whose numbers some are 0, or which add up to 0.
    """
    things = rng.normal(size=(agents, members, numbers))
    # straight ahead, standing still
    things[rng.random(things.shape) < 0.3] = 0
    opposite = rng.random((agents, members)) < 0.2
    things[opposite, numbers // 2:] = -things[opposite, :numbers - numbers // 2]
    things[rng.random((agents, members)) < 0.3] = 0
    if numbers == 4:
        things[1, 0], things[2, 0] = (0, 1, 2, -1), (1, -1, 2, -2)
    things[0] = 0                                       # an agent that sees nobody
    return things, rng.normal(size=(numbers, features)), rng.normal(size=features) + 0.5


def set_cases(rng, hidden):
    cases = [random_sets(rng, *shape) for shape in ((3, 2), (5, 7), (9, 4))]
    if hidden:
        cases += [random_sets(rng, *shape) for shape in ((4, 1, 4, 1), (3, 40, 2, 9), (1, 3, 6, 2))]
        things, weight, bias = random_sets(rng, 6, 5)
        # in single precision; whose bias is far below zero, so that the ReLU has all to do
        cases += [tuple(part.astype(np.float32) for part in (things, weight, bias)),
                  (things, weight, bias - 3)]
    return cases


def pooled(reduce, masked=True):
    def pool(things, weight, bias):
        hidden = np.maximum(things @ weight + bias, 0)
        return reduce(hidden * ~(things == 0).all(2, keepdims=True) if masked else hidden)
    return pool


def present(there):
    def pool(things, weight, bias):
        return (np.maximum(things @ weight + bias, 0) * there(things)[:, :, None]).max(1)
    return pool


POOL = {
    "members of zeros take part: through the bias, who is absent still speaks":
    pooled(lambda h: h.max(1), masked=False),
"it adds the members up, expected the maximum: two cars are then twice as much car":
    pooled(lambda h: h.sum(1)),
"it takes the mean, expected the maximum: a far car then dilutes the near one":
    pooled(lambda h: h.mean(1)),
"it looks at the first member alone":
    lambda things, weight, bias: reference_pool(things[:, :1], weight, bias),
"the maximum runs over the agents, expected over the members of each": pooled(lambda h: h.max(0)),
"the maximum runs over the numbers, expected over the members": pooled(lambda h: h.max(2)),
"a member of whose numbers one is 0 is taken for absent: absent is who has zeros only":
    present(lambda things: (things != 0).all(2)),
"a member whose numbers add up to 0 is taken for absent: absent is who has zeros only":
    present(lambda things: things.sum(2) != 0),
"a member whose first number is 0 is taken for absent: absent is who has zeros only":
    present(lambda things: things[:, :, 0] != 0),
"a member whose last number is 0 is taken for absent: absent is who has zeros only":
    present(lambda things: things[:, :, -1] != 0),
"there is no ReLU before the maximum": lambda things, weight, bias: np.where(
    (things == 0).all(2, keepdims=True), 0, things @ weight + bias).max(1)}


@register("pool_set", part="present")
def _(pool_set, rng, hidden):
    "values on sets in which nobody is absent"
    cases = [(rng.normal(size=things.shape), weight, bias) for things, weight, bias in set_cases(rng, hidden)]
    same_values(pool_set, reference_pool, cases, rtol=1e-4, mistakes=POOL)


@register("pool_set")
def _(pool_set, rng, hidden):
    "values on random sets; the same for any order of the members; absent members take no part"
    cases = set_cases(rng, hidden)

    same_values(pool_set, reference_pool, cases, rtol=1e-4, mistakes=POOL)
    things, weight, bias = cases[1]
    order = rng.permutation(things.shape[1])
    expect(np.allclose(pool_set(things[:, order].copy(), weight, bias),
                       pool_set(things.copy(), weight, bias)),
           "another order of the members gives another answer: a set has none")


# ---------------------------------------------------------------------- the planted bug

class View:
    """What a network is given of a simulator's rows; `fault` is one of the listings of exercise 6.5."""

    def __init__(self, rows, fault):
        self.rows, self.fault = rows.copy() if fault == "late" else rows, fault

    def read(self):
        """float32 (N, numbers)."""
        if self.fault == "bytes":
            return self.rows[:, ::4].astype(np.float32) / 10
        numbers = self.rows.view(np.float32)
        if self.fault == "in place":
            numbers /= 10
            return numbers
        return numbers / 10


@register("view_culprit", live=True)
def _(culprit, rng, hidden):
    "the right listing for rows of other sizes and contents, also where they hold zeros at first"
    hints = {"in place": "reading changes the simulator's rows (zeros stay zeros: write other numbers first)",
             "late": "what the simulator writes later is never seen",
             "bytes": "the numbers are those of single bytes",
             "healthy": "reading changes nothing and shows a tenth of what the simulator has written"}
    # every second simulator has written nothing yet
    runs = [(name, filled) for name in hints for filled in (True, False)] * (3 if hidden else 1)
    for name, filled in (runs[i] for i in rng.permutation(len(runs))):
        shape = (int(rng.integers(1, 60)), int(rng.integers(1, 9))) if hidden else (4, 3)
        rows = (rng.integers(-50, 50, shape) * filled).astype(np.float32).view(np.uint8)
        found = culprit(lambda name=name, rows=rows: (rows, View(rows, name).read))
        expect(found in hints, f"it returns {found!r}, expected one of {', '.join(hints)}")
        expect(found == name, f"it blames {found!r} where it is {name!r}: {hints[name]}")
