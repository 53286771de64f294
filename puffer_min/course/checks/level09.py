"""Checks of level 9: trajectory hashes, the profiler's hook, exception checks, the nearest ten, staggered looks, buckets."""

import numpy as np

from puffer_min.course.annotate import annotate
from puffer_min.course.check import register
from puffer_min.course.claims import expect, faster, no_python, same_values

# ---------------------------------------------------------------------- trajectories


class Recorded:
    """An environment that plays back a recording, in place as the real ones do; one entry of it can be changed."""

    def __init__(self, rng, change=None, at=0):
        steps = 12
        self.recording = {"observations": rng.integers(0, 9, (steps + 1, 3, 4)).astype(np.uint8),
                          "rewards": rng.random((steps, 3)).astype(np.float32),
                          "terminals": rng.random((steps, 3)) < 0.1, "truncations": rng.random((steps, 3)) < 0.1}
        if change is not None:
            array = self.recording[change]
            array[at] = ~array[at] if array.dtype == bool else array[at] + 1
        self.arrays = [array[0].copy() for array in self.recording.values()]
        self.tick, self.received = 0, []

    def reset(self, seed=None):
        self.tick, self.received = 0, []
        self.arrays[0][...] = self.recording["observations"][0]
        return self.arrays[0], []

    def step(self, actions):
        self.received.append(np.array(actions))
        for array, (name, recorded) in zip(self.arrays, self.recording.items()):
            array[...] = recorded[self.tick + (name == "observations")]
        self.tick += 1
        return *self.arrays, []


@register("fingerprint")
def _(fingerprint, rng):
    "equal for equal trajectories; different where one observation, reward or flag of one step differs; a plain text"
    seed, actions = int(rng.integers(1000)), rng.integers(0, 4, (12, 3)).astype(np.int32)

    def of(change=None, at=0):
        return fingerprint(Recorded(np.random.default_rng(seed), change, at), actions)

    found = of()
    expect(isinstance(found, str) and len(found) >= 8, f"it returns {found!r}, expected a text of 8 characters or more: hexdigest()")
    expect(found == of(), "two equal trajectories have different hashes: is something random or an address in it? (hash() of bytes changes "
                          "between runs)")
    game = Recorded(np.random.default_rng(seed))
    fingerprint(game, actions)
    expect(len(game.received) == len(actions) and np.array_equal(game.received, actions),
           "it must take one step for each row of actions, with that row")
    expect(of("observations", 5) != found, "an observation may change without changing the hash: hash every step, not the last "
                                           "(the arrays are overwritten in place: keeping them in a list keeps one array many times)")
    expect(of("observations", 0) != found, "the first observation, that of reset, is not in the hash")
    expect(of("observations", 12) != found, "the observation after the last step is not in the hash")
    for name in ("rewards", "terminals", "truncations"):
        expect(of(name, 7) != found, f"the {name} may change without changing the hash")


# ---------------------------------------------------------------------- the hook of the profiler

@register("phantom")
def _(phantom, rng):
    "values on random tables; nothing below zero; the caller's own work is not called a hook"
    def reference(own, calls, callees):
        own, calls, callees = (np.asarray(part, float) for part in (own, calls, callees))
        slope, work = np.polyfit(callees, own / calls, 1)
        return max(slope, 0.0), max(work, 0.0)

    def table(rows):
        callees = rng.permutation(np.arange(rows)) % 4
        calls = rng.integers(1000, 5000, rows)
        hook, work = rng.uniform(50e-9, 200e-9), rng.uniform(20e-9, 90e-9)
        return (work + hook * callees + rng.normal(0, 2e-9, rows)) * calls, calls, callees

    def in_total(own, calls, callees):
        return tuple(max(part, 0.0) for part in np.polyfit(callees, own, 1))

    def without_work(own, calls, callees):
        traced = callees > 0
        return float(np.mean(own[traced] / calls[traced] / callees[traced])), 0.0

    cases = [table(rows) for rows in (4, 8, 12)]
    same_values(phantom, reference, cases, rtol=1e-3, atol=1e-10, mistakes={
        "it fits the total time: divide by the number of calls first": in_total,
        "it books the caller's own work as hook too: fit a line, slope and intercept": without_work,
        "it returns the two the wrong way round: first the hook of one callee, then the caller's own work":
            lambda *case: reference(*case)[::-1]})
    none = (np.array([3e-5, 2.9e-5, 2.8e-5]), np.array([1000, 1000, 1000]), np.array([0, 1, 2]))
    same_values(phantom, reference, [none], rtol=1e-3, atol=1e-10, mistakes={
        "noise gives a hook below zero: take 0 for it": lambda *case: tuple(np.polyfit(case[2], case[0] / case[1], 1))})


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
    return (cells // size).astype(np.int32), (cells % size).astype(np.int32), rng.integers(0, 2, n).astype(np.uint8)


@register("white")
def _(nearest_foe, rng):
    "values in random crowds, also of friends alone; no Python in the loop; no look-out for exceptions; at least 50 times as fast as Python"
    cases = [(*crowd(rng, n), int(rng.integers(64)), int(rng.integers(64)), int(rng.integers(2))) for n in (1, 2, 5, 20, 60)]
    cases.append((*(part[:4] for part in crowd(rng, 8)[:2]), np.zeros(4, np.uint8), 3, 3, 0))

    def of_all(rows, columns, sides, row, column, side):
        return reference_nearest_foe(rows, columns, 1 - np.full_like(sides, side), row, column, side)

    def l1(rows, columns, sides, row, column, side):
        away = np.abs(rows - row) + np.abs(columns - column)
        return int(np.where(sides == side, 1 << 30, away).argmin()) if (sides != side).any() else -1

    same_values(nearest_foe, reference_nearest_foe, cases, mistakes={
        "it finds friends too: pass over those of the same side": of_all,
        "it measures by |dx| + |dy|, which is another game: compare squared distances": l1,
        "of nobody it returns 0, which is somebody: return -1": lambda *case: max(reference_nearest_foe(*case), 0)})
    asked = [str(check) for check in asked_in_loops(nearest_foe)]
    for sentence in asked:
        expect("noexcept" not in sentence, sentence)
    no_python(nearest_foe)
    expect(not asked, asked[0] if asked else "")
    large = (*crowd(rng, 200), 30, 30, 0)
    faster(lambda: nearest_foe(*large), lambda: slow_nearest_foe(*large), 50)


def asked_in_loops(answer):
    """The exception checks in the loops of a compiled function."""
    notes = annotate(answer)
    loops = notes.function(answer.__qualname__).loops
    return [check for check in notes.exception_checks(answer.__qualname__) if any(first <= check.line <= last for first, last in loops)]


# ---------------------------------------------------------------------- the nearest ten

@register("nearest_cells")
def _(nearest_cells, rng):
    "as many as asked for, nearest first; never the centre; fewer where there are fewer; no direction preferred among those as near"
    def ask(there):
        return np.asarray(nearest_cells(there.copy(), 10, rng))

    for density in (0.0, 0.03, 0.2, 0.6):
        for _ in range(10):
            there = rng.random((11, 11)) < density
            everybody = np.argwhere(there) - 5
            everybody = everybody[(everybody != 0).any(1)]
            count, away = min(10, len(everybody)), np.sort((everybody**2).sum(1))
            found = ask(there)
            fits = found.shape == (count, 2) or found.size == count == 0
            expect(fits, f"it gives the shape {found.shape} where {len(everybody)} stand around, expected ({count}, 2)")
            if count == 0:
                continue
            expect((found != 0).any(1), "the hero in the centre is in its own list")
            inside = np.abs(found).max() <= 5
            expect(inside and there[tuple((found + 5).T)].all(),
                   "it names cells on which nobody stands: rows and columns count from the centre, row first")
            expect(len({tuple(cell) for cell in found.tolist()}) == count, "it names a cell twice")
            distances = (found**2).sum(1)
            expect(np.array_equal(np.sort(distances), away[:count]),
                   f"its {count} are not the nearest: one is {distances.max()} away (squared), where {away[count - 1]} would do")
            expect((np.diff(distances) >= 0).all(), "they must come nearest first")
    bias = np.mean([ask(rng.random((11, 11)) < 0.35).mean(0) for _ in range(600)], axis=0)
    expect(np.abs(bias).max() < 0.08, f"it prefers a direction: its choices lie at {bias.round(2).tolist()} on average, "
                                      "expected [0, 0]. A stable sort keeps the order of the scan: let chance decide")


# ---------------------------------------------------------------------- staggered looks

@register("looks")
def _(looks, rng):
    "each entity exactly once in any `every` ticks; no tick with more than its share; every tick for every=1"
    for every in (1, 3, 5, 7):
        index, begin = np.arange(int(rng.integers(30, 60))), int(rng.integers(1, 1000))
        ticks = range(begin, begin + 4 * every)
        table = np.stack([np.broadcast_to(np.asarray(looks(tick, index.copy(), every), bool), index.shape) for tick in ticks])
        for start in range(3 * every):
            times = table[start:start + every].sum(0)
            expect(times > 0, f"with every={every} there is an entity that does not look at all in {every} ticks")
            expect(times == 1, f"with every={every} an entity looks {times.max()} times in {every} ticks")
        most, share = table.sum(1).max(), -(-len(index) // every)
        expect(most <= share, f"with every={every}, {most} of {len(index)} entities look in the same tick, expected at most {share}: "
                              "stagger them by their index")


# ---------------------------------------------------------------------- buckets

def brute_force(rows, columns, sides, radius):
    away = (rows[:, None] - rows.astype(np.int64)) ** 2 + (columns[:, None] - columns.astype(np.int64)) ** 2
    out = (sides[:, None] == sides) | (np.abs(rows[:, None] - rows) > radius) | (np.abs(columns[:, None] - columns) > radius)
    away[out] = 1 << 40
    found = away.argmin(1)
    found[out.all(1)] = -1
    return found


def own_bucket_only(rows, columns, sides, radius):
    found = np.full(len(rows), -1)
    for bucket in set(zip(rows // 8, columns // 8)):
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
            if sides[j] != sides[i] and abs(dy) <= radius and abs(dx) <= radius and dy * dy + dx * dx < best_away:
                best, best_away = j, dy * dy + dx * dx
        found.append(best)
    return found


@register("buckets")
def _(nearest_by_buckets, rng):
    "values in random crowds for radii of 1 to 8, at the edges too; at least 2.5 times as fast as asking everybody"
    cases = [(*crowd(rng, n), radius) for n, radius in ((1, 5), (30, 3), (200, 5), (200, 8), (400, 1), (60, 8))]
    same_values(lambda *case: np.asarray(nearest_by_buckets(*case)), brute_force, cases, mistakes={
        "it looks into the own bucket alone: a foe next door may be nearer": own_bucket_only,
        "it finds friends too: pass over those of the same side":
            lambda rows, columns, sides, radius: brute_force(rows, columns, np.arange(len(rows)), radius)})
    large = (*crowd(rng, 500), 5)
    faster(lambda: nearest_by_buckets(*large), lambda: slow_buckets(*large), 2.5,
           advice="does it look into the buckets around alone, or at everybody?")
