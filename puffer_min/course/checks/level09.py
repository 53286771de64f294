"""Checks of level 9: trajectory hashes, the profiler's hook, exception checks, the nearest ten, a budget of
looks, buckets, the bug in an index.
"""

from collections import Counter

import numpy as np

from puffer_min.course.annotate import annotate
from puffer_min.course.build import made_by
from puffer_min.course.check import register
from puffer_min.course.checks.crowds import (
    BUCKETS,
    FOES,
    brute_force,
    bucket_cases,
    crowd,
    crowds,
    reference_nearest_foe,
    slow_buckets,
    slow_nearest_foe,
)
from puffer_min.course.checks.recordings import (
    Index,
    Recorded,
    changed,
    compensated,
    cut_off,
    exchanged,
    in_another_order,
    in_the_last_bit,
    no_builtin_hash,
    one_end,
    work_of,
)
from puffer_min.course.claims import expect, faster, no_python, same_values

# ---------------------------------------------------------------------- trajectories

@register("fingerprint", live=True)
def _(fingerprint, rng, hidden):
    ("equal for equal games, in any process; from the moment on at which one bit differs, every text is "
     "another, and none before")
    watch(fingerprint, rng, {})
    if hidden:
        watch(fingerprint, rng, {"steps": 30, "agents": 2, "numbers": 7, "dtype": np.float32})
        watch(fingerprint, rng, {"steps": 9, "agents": 1, "numbers": 3000, "dtype": np.int16})


def watch(fingerprint, rng, settings):
    """Plays recordings to the answer, unchanged and each changed in one thing."""
    seed, agents, steps = int(rng.integers(1000)), settings.get("agents", 3), settings.get("steps", 12)
    actions = rng.integers(0, 4, (steps, agents)).astype(np.int32)

    def of(*edits):
        def edit(recording):
            one_end(recording)
            for change in edits:
                change(recording)
        with no_builtin_hash():
            return fingerprint(Recorded(np.random.default_rng(seed), edit, **settings), actions)

    found = of()
    expect(not isinstance(found, str),
           "it returns one text, which says whether two games differ and not where: return a list, the hash "
           "after the reset and after every step")
    expect(isinstance(found, list | tuple) and len(found) == steps + 1
           and all(isinstance(text, str) and len(text) >= 8 for text in found),
           f"it returns {found!r:.60}, expected a list of {steps + 1} texts of 8 characters or more: "
           "hexdigest() after the reset and after each of the steps")
    expect(of() == found,
           "two equal trajectories have different hashes: is something random or an address in it?")
    game = Recorded(np.random.default_rng(seed), **settings)
    fingerprint(game, actions)
    expect(len(game.received) == len(actions) and np.array_equal(game.received, actions),
           "it must take one step for each row of actions, with that row")

    def shows(edit, moment, sentence):
        differ = [t for t, (one, other) in enumerate(zip(of(edit), found, strict=True)) if one != other]
        expect(differ, sentence)
        expect(differ[0] == moment,
               f"a change at moment {moment} shows in the text of moment {differ[0]}: text t is for what has "
               "happened up to then, the reset being moment 0")
        expect(differ == list(range(moment, steps + 1)),
               f"a change at moment {moment} is forgotten at moment {steps}: hash all that has happened so "
               "far, with one digest that goes on")

    shows(changed("observations", 5), 5,
          "one number of one observation may change without changing the hash: hash all bytes of every step "
          "(the arrays are overwritten in place, so a list of them holds the last step many times; str() "
          "writes ... for the middle of a large array)")
    shows(changed("observations", 0), 0, "the first observation, that of reset, is not in the hash")
    shows(changed("observations", steps), steps, "the observation after the last step is not in the hash")
    for name in ("rewards", "terminals", "truncations"):
        shows(changed(name, 7), 8, f"the {name} may change without changing the hash")
    shows(compensated, 6, "two numbers of one step may change against each other without changing the hash: "
                          "hash the bytes, not their sum or mean")
    if agents > 1:
        shows(in_another_order, 4, "two rewards of one step may change places without changing the hash: "
                                   "hash the bytes, not their sum or mean")
    expect(of(exchanged)[-1] != found[-1],
           "two steps may change places without changing the last hash: their order counts, so update one "
           "digest")
    shows(in_the_last_bit, 8,
          "a reward may change in its last bit without changing the hash: hash it as it is, not rounded")
    shows(cut_off, 6, "a terminal may become a truncation without changing the hash: hash the two apart")


# ---------------------------------------------------------------------- the hook of the profiler

def line(own, calls, callees):
    own, calls, callees = (np.asarray(part, float) for part in (own, calls, callees))
    slope, work = np.polyfit(callees, own / calls, 1)
    return max(slope, 0.0), max(work, 0.0)


def table(rng, rows, noise=0.0, unit=1.0):
    """Without noise for any number of calls; with noise as many calls in each version, so that no fit
    weighs one more.
    """
    callees = rng.permutation(np.arange(rows)) % 4
    calls = np.full(rows, 2000) if noise else rng.integers(1000, 5000, rows)
    hook, work = unit * rng.uniform(50e-9, 200e-9), unit * rng.uniform(20e-9, 90e-9)
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


PHANTOM = {
    "it fits the total time: divide by the number of calls first": in_total,
    "it books the caller's own work as hook too: fit a line, slope and intercept": without_work,
    "it returns the two the wrong way round: first the hook of one callee, then the caller's own work":
        lambda *case: line(*case)[::-1],
    "it fits the callees to the times: the times have the noise, so fit them to the callees":
        other_way_round}


@register("phantom", part="line")
def _(phantom, rng, hidden):
    "the two numbers of tables without noise, for any number of calls"
    cases = [table(rng, rows) for rows in (4, 8, 12, *((2, 3, 60) if hidden else ()))]
    same_values(phantom, line, cases, rtol=1e-3, atol=1e-10, mistakes=PHANTOM)


@register("phantom")
def _(phantom, rng, hidden):
    "values on random tables; nothing below zero; the caller's own work is not called a hook"
    cases = [table(rng, 4), table(rng, 8), table(rng, 8, noise=0.3), table(rng, 12, noise=0.3)]
    if hidden:
        cases += [table(rng, 2), table(rng, 40, noise=0.5), table(rng, 8, noise=0.3, unit=1e5)]
    same_values(phantom, line, cases, rtol=1e-3, atol=1e-10, mistakes=PHANTOM)
    none = (np.array([3e-5, 2.9e-5, 2.8e-5]), np.array([1000, 1000, 1000]), np.array([0, 1, 2]))
    hook, work = map(float, np.ravel(phantom(*none)))
    expect(hook >= 0, f"noise gives a hook of {hook:.2g} s, below zero: take 0 for it")
    expect(hook < 1e-10 and 2.7e-8 < work < 3.1e-8,
           f"where more callees take no more time it gives {hook:.2g} and {work:.2g} s, expected no "
           "hook, and the time of a call as the caller's own work")
    # a hook, and work that noise has brought below zero
    none = np.array([0.0, 1.8e-5, 4.1e-5, 6.1e-5]), np.full(4, 1000), np.arange(4)
    hook, work = map(float, np.ravel(phantom(*none)))
    expect(work >= 0, f"noise gives work of {work:.2g} s, below zero: take 0 for it")
    expect(1.8e-8 < hook < 2.2e-8 and work < 1e-9,
           f"where the caller does nothing itself it gives {hook:.2g} and {work:.2g} s, expected a hook of "
           "about 2e-08 s and no work")


# ---------------------------------------------------------------------- white is not free

@register("white", part="values")
def _(nearest_foe, rng, hidden):
    "values in random crowds, also of friends alone"
    same_values(nearest_foe, reference_nearest_foe, crowds(rng, hidden), mistakes=FOES)


@register("white", live=True)
def _(nearest_foe, rng, hidden):
    "compiled; values in random crowds; no Python in the loop; no look-out for exceptions"
    expect(made_by(nearest_foe) is not None, "it is not compiled: write it in a %%cython cell")
    same_values(nearest_foe, reference_nearest_foe, crowds(rng, hidden), mistakes=FOES)
    asked = [str(check) for check in asked_in_loops(nearest_foe)]
    for sentence in asked:
        expect("noexcept" not in sentence, sentence)
    no_python(nearest_foe)
    expect(not asked, asked[0] if asked else "")


@register("white", part="speed", live=True)
def _(nearest_foe, rng):
    "at least 50 times as fast as plain Python"
    large = (*crowd(rng, 200), 30, 30, 0)
    faster(lambda: nearest_foe(*large), lambda: slow_nearest_foe(*large), 50,
           advice="is it compiled, and does the loop do more than compare squared distances of C numbers, "
                  "such as taking a root?")


def asked_in_loops(answer):
    """The exception checks in the loops of a compiled function."""
    notes = annotate(answer)
    loops = notes.function(answer.__qualname__).loops
    return [check for check in notes.exception_checks(answer.__qualname__)
            if any(first <= check.line <= last for first, last in loops)]


# ---------------------------------------------------------------------- the nearest ten

def seen(nearest_cells, rng, densities, counts):
    """Asks for random surroundings and expects as many as there are, nearest first, and never the centre."""
    for density in densities:
        for most in counts:
            there = rng.random((11, 11)) < density
            everybody = np.argwhere(there) - 5
            everybody = everybody[(everybody != 0).any(1)]
            count, away = min(most, len(everybody)), np.sort((everybody**2).sum(1))
            given = there.copy()
            found = np.asarray(nearest_cells(given, most, rng))
            expect(np.array_equal(given, there), "it writes into `there`: work on a copy")
            fits = found.shape == (count, 2) or found.size == count == 0
            expect(fits,
                   f"it gives the shape {found.shape} for count={most} where {len(everybody)} stand around, "
                   f"expected ({count}, 2)")
            if count == 0:
                continue
            expect(found.dtype.kind in "iu", f"its cells are {found.dtype}, expected whole numbers")
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


@register("nearest_cells", part="nearest")
def _(nearest_cells, rng, hidden):
    "as many as asked for, nearest first; never the centre; fewer where there are fewer"
    seen(nearest_cells, rng, (0.0, 0.03, 0.2, 0.6, *((0.01, 1.0) if hidden else ())),
         (10, 10, 3, 1, 30, *((0, 2, 120, 200) if hidden else ())))


@register("nearest_cells")
def _(nearest_cells, rng, hidden):
    ("as many as asked for, nearest first; never the centre; fewer where there are fewer; no direction "
     "preferred among those as near")
    seen(nearest_cells, rng, (0.0, 0.03, 0.2, 0.6), (10, 10, 10, 3, 1, 30))

    def ask(there, most, chance=rng):
        return np.asarray(nearest_cells(there.copy(), most, chance))

    near = np.zeros((11, 11), bool)
    near[4, 5] = near[6, 5] = near[5, 4] = near[5, 6] = True
    again = [ask(near, 4, np.random.default_rng(5)).tolist() for _ in range(6)]
    expect(again == again[:1] * 6,
           "a new generator gives another choice: draw from `rng` alone, so that a run can be "
           "repeated")
    far = np.zeros((11, 11), bool)
    far[2, 1] = far[1, 8] = far[8, 9] = far[9, 2] = True           # all of them 25 away
    for there in (near, far) if hidden else (near,):
        places = np.argwhere(there) - 5
        orders = np.array([ask(there, 4) for _ in range(800)])
        for rank in (0, 3):
            often = [int((orders[:, rank] == cell).all(1).sum()) for cell in places]
            expect(min(often) > 100,
                   f"of four that are as near, number {rank + 1} of the list is {', '.join(map(str, often))} "
                   "times of 800 each of them, expected about 200 times: let `rng` decide among all of them")
        pairs = Counter(map(str, orders[:, :2].tolist()))
        expect(len(pairs) == 12 and min(pairs.values()) > 20,
               f"of four that are as near, the first two are one of only {len(pairs)} pairs, or some pairs "
               f"are rare ({min(pairs.values())} times of 800), expected 12 pairs of about 67: let `rng` "
               "decide the whole order, not where it begins")
    crowds = [rng.random((11, 11)) < 0.35 for _ in range(300)]
    bias = np.mean([ask(part, 10).mean(0) for there in crowds for part in (there, there[::-1, ::-1])], axis=0)
    expect(np.abs(bias).max() < 0.05,
           f"it prefers a direction: its choices lie at {bias.round(2).tolist()} on average, "
           "expected [0, 0]. A stable sort keeps the order of the scan: let chance decide")


# ---------------------------------------------------------------------- a budget of looks

def reference_looks(waited, budget):
    found = np.zeros(len(waited), bool)
    found[np.argsort(-np.asarray(waited, np.int64), kind="stable")[:budget]] = True
    return found


@register("looks")
def _(looks, rng, hidden):
    "those who have waited longest, of those as long the lower index; never more than the budget"
    def case(n, budget, most=6):
        return rng.integers(0, most, n), budget

    cases = [case(12, 3), case(40, 8), case(5, 9), case(7, 1), case(30, 10, 3), (np.arange(9) % 3, 4)]
    if hidden:
        cases += [case(6, 0), case(1, 1), case(0, 3), case(3000, 250, 1000), (np.zeros(20, np.int64), 5),
                  (np.full(4, 2**40), 3), (rng.integers(0, 5, 50).astype(np.int32), 20)]

    def answer(waited, budget):
        found = np.asarray(looks(waited, budget))
        expect(found.dtype == bool or not found.size,
               f"it gives {found.dtype}, expected bool: who looks, and not their numbers")
        return found

    same_values(answer, reference_looks, cases, mistakes={
        "those who have waited least look first: the longest waits come first": lambda waited, budget:
            reference_looks(-waited, budget),
        "of those who waited as long it takes the higher index: sort in a stable way": lambda waited, budget:
            reference_looks(waited[::-1], budget)[::-1],
        "all who waited as long as the last one look too: that may be more than the budget":
            lambda waited, budget: waited >= (np.sort(waited)[::-1][min(budget, len(waited)) - 1]
                                              if budget and len(waited) else np.inf),
        "the first of the list look, however long they have waited": lambda waited, budget:
            np.arange(len(waited)) < budget,
        "the budget counts one too many": lambda waited, budget: reference_looks(waited, budget + 1)})
    waited, longest = np.zeros(50, np.int64), 0
    for _ in range(60):
        look = np.asarray(looks(waited.copy(), 8), bool)
        waited = np.where(look, 0, waited + 1)
        longest = max(longest, int(waited.max()))
    expect(longest < 7, f"of 50 entities with a budget of 8 one waited {longest} ticks, expected at most 6")


# ---------------------------------------------------------------------- buckets

def found_by(nearest_by_buckets, *case):
    found = np.asarray(nearest_by_buckets(*case))
    expect(found.dtype.kind in "iu", f"it gives {found.dtype}, expected the whole numbers of entities")
    return found


@register("buckets", part="values")
def _(nearest_by_buckets, rng, hidden):
    "values in random crowds for radii of 1 to 8, at the edges too"
    same_values(lambda *case: found_by(nearest_by_buckets, *case), brute_force, bucket_cases(rng, hidden),
                mistakes=BUCKETS)


@register("buckets", live=True)
def _(nearest_by_buckets, rng, hidden):
    "values in random crowds; not everybody is asked"
    same_values(lambda *case: found_by(nearest_by_buckets, *case), brute_force, bucket_cases(rng, hidden),
                mistakes=BUCKETS)
    looked_at, bytes_used = work_of(nearest_by_buckets, *crowd(rng, 800), 3)
    expect(looked_at < 800 * 2000 and bytes_used < 2_000_000,
           f"for 800 entities it works on {looked_at:,} numbers in arrays and {bytes_used:,} bytes: that "
           "asks everybody, without an index; look into the buckets around an entity alone")


@register("buckets", part="speed", live=True)
def _(nearest_by_buckets, rng):
    "at least 2.5 times as fast as asking everybody"
    large = (*crowd(rng, 500), 5)
    faster(lambda: nearest_by_buckets(*large), lambda: slow_buckets(*large), 2.5,
           advice="does it look into the buckets around alone, or at everybody?")


# ---------------------------------------------------------------------- the planted bug

@register("index_culprit", live=True)
def _(culprit, rng, hidden):
    "the right listing, from what the index finds alone"
    hints = {"ties": "of two foes as near it names the one of higher index",
             "edge": "a foe exactly `radius` rows away is not seen",
             "stale": "asked about a new crowd it answers about the first one it was shown",
             "healthy": "ties, the edge of the window and a second crowd are all as they should be"}
    for name in rng.permutation([*hints] * (6 if hidden else 2)).tolist():
        found = culprit(lambda name=name: Index(name).nearest)
        expect(found in hints, f"it returns {found!r}, expected one of {', '.join(hints)}")
        expect(found == name, f"it blames {found!r} where it is {name!r}: {hints[name]}")
