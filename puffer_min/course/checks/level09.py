"""Checks of level 9: trajectory hashes, the profiler's hook, exception checks, the nearest ten, staggered
looks, buckets.
"""

import tracemalloc

import numpy as np

from puffer_min.course.annotate import annotate
from puffer_min.course.build import made_by
from puffer_min.course.check import register
from puffer_min.course.checks.recordings import (
    Recorded,
    changed,
    compensated,
    cut_off,
    exchanged,
    in_another_order,
    in_the_last_bit,
    no_builtin_hash,
    one_end,
)
from puffer_min.course.claims import expect, faster, no_python, same_values

# ---------------------------------------------------------------------- trajectories

@register("fingerprint", live=True)
def _(fingerprint, rng):
    ("equal for equal trajectories, in any process; different where one bit of one step differs, or the "
     "order of steps; a plain text")
    seed, actions = int(rng.integers(1000)), rng.integers(0, 4, (12, 3)).astype(np.int32)

    def of(*edits):
        def edit(recording):
            one_end(recording)
            for change in edits:
                change(recording)
        with no_builtin_hash():
            return fingerprint(Recorded(np.random.default_rng(seed), edit), actions)

    found = of()
    expect(isinstance(found, str) and len(found) >= 8,
           f"it returns {found!r}, expected a text of 8 characters or more: hexdigest()")
    expect(found == of(),
           "two equal trajectories have different hashes: is something random or an address in it?")
    game = Recorded(np.random.default_rng(seed))
    fingerprint(game, actions)
    expect(len(game.received) == len(actions) and np.array_equal(game.received, actions),
           "it must take one step for each row of actions, with that row")
    expect(of(changed("observations", 5)) != found,
           "one number of one observation may change without changing the hash: hash all bytes of every step "
           "(the arrays are overwritten in place, so a list of them holds the last step many times; str() "
           "writes ... for the middle of a large array)")
    expect(of(changed("observations", 0)) != found,
           "the first observation, that of reset, is not in the hash")
    expect(of(changed("observations", 12)) != found, "the observation after the last step is not in the hash")
    for name in ("rewards", "terminals", "truncations"):
        expect(of(changed(name, 7)) != found, f"the {name} may change without changing the hash")
    expect(of(compensated) != found and of(in_another_order) != found,
           "two numbers of one step may change against each other without changing the hash: hash the bytes, "
           "not their sum or mean")
    expect(of(exchanged) != found,
           "two steps may change places without changing the hash: their order counts, so update one digest")
    expect(of(in_the_last_bit) != found,
           "a reward may change in its last bit without changing the hash: hash it as it is, not rounded")
    expect(of(cut_off) != found,
           "a terminal may become a truncation without changing the hash: hash the two apart")


# ---------------------------------------------------------------------- the hook of the profiler

@register("phantom")
def _(phantom, rng):
    "values on random tables; nothing below zero; the caller's own work is not called a hook"
    def reference(own, calls, callees):
        own, calls, callees = (np.asarray(part, float) for part in (own, calls, callees))
        slope, work = np.polyfit(callees, own / calls, 1)
        return max(slope, 0.0), max(work, 0.0)

    def table(rows, noise=0.0):
        """Without noise for any number of calls; with noise as many calls in each version, so that no fit
        weighs one more.
        """
        callees = rng.permutation(np.arange(rows)) % 4
        calls = np.full(rows, 2000) if noise else rng.integers(1000, 5000, rows)
        hook, work = rng.uniform(50e-9, 200e-9), rng.uniform(20e-9, 90e-9)
        off = rng.normal(size=rows)
        # leaves the line of least squares where it is
        off -= np.polyval(np.polyfit(callees, off, 1), callees)
        return (work + hook * callees + noise * hook * off) * calls, calls, callees

    def in_total(own, calls, callees):
        return tuple(max(part, 0.0) for part in np.polyfit(callees, own, 1))

    def without_work(own, calls, callees):
        traced = callees > 0
        return float(np.mean(own[traced] / calls[traced] / callees[traced])), 0.0

    def other_way_round(own, calls, callees):
        slope, start = np.polyfit(own / calls, callees, 1)
        return max(1 / slope, 0.0), max(-start / slope, 0.0)

    cases = [table(4), table(8), table(8, noise=0.3), table(12, noise=0.3)]
    same_values(phantom, reference, cases, rtol=1e-3, atol=1e-10, mistakes={
        "it fits the total time: divide by the number of calls first": in_total,
        "it books the caller's own work as hook too: fit a line, slope and intercept": without_work,
        "it returns the two the wrong way round: first the hook of one callee, then the caller's own work":
            lambda *case: reference(*case)[::-1],
        "it fits the callees to the times: the times have the noise, so fit them to the callees":
            other_way_round})
    none = (np.array([3e-5, 2.9e-5, 2.8e-5]), np.array([1000, 1000, 1000]), np.array([0, 1, 2]))
    hook, work = phantom(*none)
    expect(hook >= 0, f"noise gives a hook of {hook:.2g} s, below zero: take 0 for it")
    expect(hook < 1e-10 and 2.7e-8 < work < 3.1e-8,
           f"where more callees take no more time it gives {hook:.2g} and {work:.2g} s, expected no "
           "hook, and the time of a call as the caller's own work")


# ---------------------------------------------------------------------- white is not free

def reference_nearest_foe(rows, columns, sides, row, column, side):
    away = (rows.astype(np.int64) - row) ** 2 + (columns.astype(np.int64) - column) ** 2
    away[sides == side] = 1 << 40
    return int(away.argmin()) if (sides != side).any() else -1


def slow_nearest_foe(rows, columns, sides, row, column, side):
    best, best_away = -1, None
    for i in range(len(rows)):
        away = (rows[i] - row) ** 2 + (columns[i] - column) ** 2
        if sides[i] != side and (best_away is None or away < best_away):
            best, best_away = i, away
    return best


def crowd(rng, n, size=64):
    cells = rng.choice(size * size, n, replace=False)
    sides = rng.integers(0, 2, n).astype(np.uint8)
    return (cells // size).astype(np.int32), (cells % size).astype(np.int32), sides


@register("white", live=True)
def _(nearest_foe, rng):
    ("values in random crowds, also of friends alone; no Python in the loop; no look-out for exceptions; at "
     "least 50 times as fast as Python")
    expect(made_by(nearest_foe) is not None, "it is not compiled: write it in a %%cython cell")
    cases = [(*crowd(rng, n), int(rng.integers(64)), int(rng.integers(64)), int(rng.integers(2)))
             for n in (1, 2, 5, 20, 60)]
    cases.append((*(part[:4] for part in crowd(rng, 8)[:2]), np.zeros(4, np.uint8), 3, 3, 0))
    # a small map of four sides, full of foes as near as each other
    for n in (8, 16):
        rows, columns, _ = crowd(rng, n, size=4)
        cases += [(rows, columns, rng.integers(0, 4, n).astype(np.uint8), int(row), int(column), side)
                  for row, column, side in rng.integers(0, 4, (6, 3))]

    def of_all(rows, columns, sides, row, column, side):
        return reference_nearest_foe(rows, columns, 1 - np.full_like(sides, side), row, column, side)

    def l1(rows, columns, sides, row, column, side):
        away = np.abs(rows - row) + np.abs(columns - column)
        return int(np.where(sides == side, 1 << 30, away).argmin()) if (sides != side).any() else -1

    def last_of_the_nearest(rows, columns, sides, row, column, side):
        found = reference_nearest_foe(rows[::-1], columns[::-1], sides[::-1], row, column, side)
        return len(rows) - 1 - found if found >= 0 else -1

    def not_on_the_cell(rows, columns, sides, row, column, side):
        return reference_nearest_foe(rows, columns,
                                     np.where((rows == row) & (columns == column), side, sides), row, column,
                                     side)

    same_values(nearest_foe, reference_nearest_foe, cases, mistakes={
        "it finds friends too: pass over those of the same side": of_all,
        "it measures by |dx| + |dy|, which is another game: compare squared distances": l1,
        "of two as near it takes the last, expected the one of lower index: compare with <":
            lambda *case: last_of_the_nearest(*case),
        "it takes 1 - side for the only other side: every entity of another side is a foe":
            lambda rows, columns, sides, *rest:
            reference_nearest_foe(rows, columns, np.where(sides == 1 - rest[2], sides, rest[2]), *rest),
        "a foe on the very cell is passed over: a distance of 0 is the nearest of all": not_on_the_cell,
        "where no foe is seen it returns 0, which is an entity: return -1":
            lambda *case: max(reference_nearest_foe(*case), 0)})
    asked = [str(check) for check in asked_in_loops(nearest_foe)]
    for sentence in asked:
        expect("noexcept" not in sentence, sentence)
    no_python(nearest_foe)
    expect(not asked, asked[0] if asked else "")
    large = (*crowd(rng, 200), 30, 30, 0)
    faster(lambda: nearest_foe(*large), lambda: slow_nearest_foe(*large), 50,
           advice="does the loop do more than compare squared distances of C numbers, such as taking a root?")


def asked_in_loops(answer):
    """The exception checks in the loops of a compiled function."""
    notes = annotate(answer)
    loops = notes.function(answer.__qualname__).loops
    return [check for check in notes.exception_checks(answer.__qualname__)
            if any(first <= check.line <= last for first, last in loops)]


# ---------------------------------------------------------------------- the nearest ten

@register("nearest_cells")
def _(nearest_cells, rng):
    ("as many as asked for, nearest first; never the centre; fewer where there are fewer; no direction "
     "preferred among those as near")
    def ask(there, most=10, chance=rng):
        return np.asarray(nearest_cells(there.copy(), most, chance))

    for density in (0.0, 0.03, 0.2, 0.6):
        for most in (10, 10, 10, 10, 10, 3, 1, 30):
            there = rng.random((11, 11)) < density
            everybody = np.argwhere(there) - 5
            everybody = everybody[(everybody != 0).any(1)]
            count, away = min(most, len(everybody)), np.sort((everybody**2).sum(1))
            found = ask(there, most)
            fits = found.shape == (count, 2) or found.size == count == 0
            expect(fits,
                   f"it gives the shape {found.shape} for count={most} where {len(everybody)} stand around, "
                   f"expected ({count}, 2)")
            if count == 0:
                continue
            expect((found != 0).any(1), "the hero in the centre is in its own list")
            inside = np.abs(found).max() <= 5
            expect(inside and there[tuple((found + 5).T)].all(),
                   "it names empty cells: rows and columns count from the centre, row first")
            expect(len({tuple(cell) for cell in found.tolist()}) == count, "it names a cell twice")
            distances = (found**2).sum(1)
            expect(np.array_equal(np.sort(distances), away[:count]),
                   f"its {count} are not the nearest: one is {distances.max()} away (squared), where "
                   f"{away[count - 1]} would do")
            expect((np.diff(distances) >= 0).all(), "they must come nearest first")
    there = np.zeros((11, 11), bool)
    there[4, 5] = there[6, 5] = there[5, 4] = there[5, 6] = True
    again = [ask(there, 4, np.random.default_rng(5)).tolist() for _ in range(6)]
    expect(again == again[:1] * 6,
           "a new generator gives another choice: draw from `rng` alone, so that a run can be "
           "repeated")
    first = np.array([ask(there, 1)[0] for _ in range(400)])
    often = [int((first == cell).all(1).sum()) for cell in np.argwhere(there) - 5]
    expect(min(often) > 50,
           f"of four that are as near, the first one is chosen {', '.join(map(str, often))} times of 400, "
           "expected about 100 each: let `rng` decide among all of them")
    bias = np.mean([ask(rng.random((11, 11)) < 0.35).mean(0) for _ in range(600)], axis=0)
    expect(np.abs(bias).max() < 0.08,
           f"it prefers a direction: its choices lie at {bias.round(2).tolist()} on average, "
           "expected [0, 0]. A stable sort keeps the order of the scan: let chance decide")


# ---------------------------------------------------------------------- staggered looks

@register("looks")
def _(looks, rng):
    "each entity exactly once in any `every` ticks; no tick with more than its share; every tick for every=1"
    for every in (1, 3, 5, 7):
        index, begin = np.arange(int(rng.integers(30, 60))), int(rng.integers(1, 1000))
        ticks = range(begin, begin + 4 * every)
        table = np.stack([np.broadcast_to(np.asarray(looks(tick, index.copy(), every), bool), index.shape)
                          for tick in ticks])
        for start in range(3 * every):
            times = table[start:start + every].sum(0)
            expect(times > 0,
                   f"with every={every} there is an entity that does not look at all in {every} ticks")
            expect(times == 1, f"with every={every} an entity looks {times.max()} times in {every} ticks")
        most, share = table.sum(1).max(), -(-len(index) // every)
        expect(most <= share,
               f"with every={every}, {most} of {len(index)} entities look in the same tick, expected at most "
               f"{share}: stagger them by their index")


# ---------------------------------------------------------------------- buckets

def brute_force(rows, columns, sides, radius):
    away = (rows[:, None] - rows.astype(np.int64)) ** 2 + (columns[:, None] - columns.astype(np.int64)) ** 2
    far = (np.abs(rows[:, None] - rows) > radius) | (np.abs(columns[:, None] - columns) > radius)
    out = (sides[:, None] == sides) | far
    away[out] = 1 << 40
    found = away.argmin(1)
    found[out.all(1)] = -1
    return found


def own_bucket_only(rows, columns, sides, radius):
    found = np.full(len(rows), -1)
    for bucket in set(zip(rows // 8, columns // 8, strict=True)):
        members = np.flatnonzero((rows // 8 == bucket[0]) & (columns // 8 == bucket[1]))
        best = brute_force(rows[members], columns[members], sides[members], radius)
        found[members] = np.where(best >= 0, members[best], -1)
    return found


def slow_buckets(rows, columns, sides, radius):
    """The baseline of the speed claim: everybody asks everybody."""
    rows, columns, sides, found = rows.tolist(), columns.tolist(), sides.tolist(), []
    for i in range(len(rows)):
        best, best_away = -1, 1 << 40
        for j in range(len(rows)):
            dy, dx = rows[j] - rows[i], columns[j] - columns[i]
            if (sides[j] != sides[i] and abs(dy) <= radius and abs(dx) <= radius
                and dy * dy + dx * dx < best_away):
                best, best_away = j, dy * dy + dx * dx
        found.append(best)
    return found


def of_one_side(rows, columns, sides, radius):
    """Foes are of side 1 - side alone."""
    found, both = np.full(len(rows), -1), np.flatnonzero(sides <= 1)
    best = brute_force(rows[both], columns[both], sides[both], radius)
    found[both] = np.where(best >= 0, both[best], -1)
    return found


def of_higher_index(rows, columns, sides, radius):
    found = brute_force(rows[::-1], columns[::-1], sides[::-1], radius)[::-1]
    return np.where(found >= 0, len(rows) - 1 - found, -1)


class Counted(np.ndarray):
    """An array that counts the numbers which functions of NumPy make of it."""

    made = 0

    def __array_ufunc__(self, function, method, *inputs, out=None, **options):
        plain = [part.view(np.ndarray) if isinstance(part, Counted) else part for part in inputs]
        if out is not None:
            options["out"] = tuple(part.view(np.ndarray) if isinstance(part, Counted) else part
                                   for part in out)
        found = getattr(function, method)(*plain, **options)
        Counted.made += np.size(found)
        return found.view(Counted) if isinstance(found, np.ndarray) and found.dtype != bool else found


def work_of(answer, *case):
    """(numbers that NumPy computes from the arrays of a case, the most bytes in use meanwhile)."""
    Counted.made = 0
    counted = [part.view(Counted) if isinstance(part, np.ndarray) else part for part in case]
    tracemalloc.start()
    try:
        answer(*counted)
        return Counted.made, tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@register("buckets", live=True)
def _(nearest_by_buckets, rng):
    ("values in random crowds for radii of 1 to 8, at the edges too; at least 2.5 times as fast as asking "
     "everybody")
    cases = [(*crowd(rng, n), radius)
             for n, radius in ((1, 5), (30, 3), (200, 5), (200, 8), (400, 1), (60, 8))]
    rows, columns, _ = crowd(rng, 300)
    cases.append((rows, columns, rng.integers(0, 4, 300).astype(np.uint8), 4))
    same_values(lambda *case: np.asarray(nearest_by_buckets(*case)), brute_force, cases, mistakes={
        "it looks into the own bucket alone: a foe next door may be nearer": own_bucket_only,
        "it finds friends too: pass over those of the same side":
            lambda rows, columns, sides, radius: brute_force(rows, columns, np.arange(len(rows)), radius),
        "it finds friends, and first of all itself: pass over those of the same side":
            lambda rows, *rest: np.arange(len(rows)),
        "of two as near it takes the one of higher index": of_higher_index,
        "the radius is one short: a foe `radius` rows away is still seen":
            lambda rows, columns, sides, radius: brute_force(rows, columns, sides, radius - 1),
        "it takes 1 - side for the only other side: every entity of another side is a foe": of_one_side})
    looked_at, bytes_used = work_of(nearest_by_buckets, *crowd(rng, 800), 3)
    expect(looked_at < 800 * 400 and bytes_used < 2_000_000,
           f"for 800 entities it works on {looked_at:,} numbers in arrays and {bytes_used:,} bytes: that "
           "asks everybody, without an index; look into the buckets around an entity alone")
    large = (*crowd(rng, 500), 5)
    faster(lambda: nearest_by_buckets(*large), lambda: slow_buckets(*large), 2.5,
           advice="does it look into the buckets around alone, or at everybody?")
