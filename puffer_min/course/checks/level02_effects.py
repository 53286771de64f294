"""Checks of level 2, the second half: what changes do, which trials are worth their price, shaped rewards."""

import numpy as np

from puffer_min.course.check import register
from puffer_min.course.checks.forms import edges, numbers, whole_numbers
from puffer_min.course.claims import expect, holds, same_values

# ---------------------------------------------------------------------- ablations

def reference_effects(scores):
    """(first, second, interaction) of scores (2, 2, seeds)."""
    mean = np.asarray(scores, float).mean(2)
    interaction = mean[1, 1] - mean[0, 1] - mean[1, 0] + mean[0, 0]
    return (mean[1] - mean[0]).mean(), (mean[:, 1] - mean[:, 0]).mean(), interaction


@register("ablation")
def _(effects, rng, hidden):
    "effects and interaction of random experiments; none for a change that does nothing"
    cases = [(rng.normal(rng.uniform(0, 100, (2, 2, 1)), 10, (2, 2, seeds)),) for seeds in (1, 4, 7)]

    def mean(scores):
        return scores.mean(2)

    def answer(scores):
        return numbers(effects(scores), 3)

    def reference(scores):
        return np.array(reference_effects(scores))

    def with_interaction(first, second):
        return lambda s: np.array((first(mean(s)), second(mean(s)), reference(s)[2]))

    same_values(answer, reference, cases, mistakes={
        "it compares 'both' with 'neither': that is the sum of all three, and says of no change what it did":
            lambda s: np.array((mean(s)[1, 1] - mean(s)[0, 0], mean(s)[1, 1] - mean(s)[0, 0], 0.0)),
        "it takes the effect of a change where the other one is missing: average over both cases":
            with_interaction(lambda m: m[1, 0] - m[0, 0], lambda m: m[0, 1] - m[0, 0]),
        "it takes the effect of a change where the other one is there: average over both cases":
            with_interaction(lambda m: m[1, 1] - m[0, 1], lambda m: m[1, 1] - m[1, 0]),
        "the two changes are swapped: the first axis is the first change": lambda s: reference(s)[[1, 0, 2]],
        "the effects are sums over both states of the other change, expected their means":
            lambda s: reference(s) * (2, 2, 1),
        "the interaction has the wrong sign: both + neither - the two singles":
            lambda s: reference(s) * (1, 1, -1),
        "the interaction is halved: it is a difference of two effects, and no mean":
            lambda s: reference(s) * (1, 1, 0.5),
        "the interaction leaves 'neither' out: both + neither - the two singles":
            lambda s: reference(s) - (0, 0, mean(s)[0, 0]),
        "it takes the best seed of each cell: the mean over the seeds":
            lambda s: reference(s.max(2, keepdims=True)),
        "it takes the median over the seeds: the mean": lambda s: reference(np.median(s, 2, keepdims=True)),
    })
    silent = np.repeat(rng.normal(size=(2, 1, 5)), 2, axis=1)
    holds(lambda scores: np.isclose(answer(scores)[1:], 0).all(), [(silent,)],
          "the second change makes no difference to any run, so its effect and the interaction are 0")
    if hidden:
        edges(answer, reference, {
            "it fails on whole numbers": (rng.integers(-50, 50, (2, 2, 3)),),
            "it fails on scores below zero": (rng.normal(-900, 5, (2, 2, 12)),),
            "it fails where a single seed was run": (rng.normal(size=(2, 2, 1)),),
            "it fails on a view of a larger array": (rng.normal(size=(2, 4, 9))[:, ::2, ::3],)})


def reference_of_three(scores):
    """Three effects and the interactions 1-2, 1-3, 2-3 of scores (2, 2, 2, seeds)."""
    mean = np.asarray(scores, float).mean(-1)
    found = [reference_effects(np.moveaxis(mean, (i, j), (0, 1)))
             for i, j in ((0, 1), (0, 2), (1, 2))]
    return np.array([found[0][0], found[0][1], found[1][1], *(each[2] for each in found)])


@register("ablation", part="three")
def _(effects, rng, hidden):
    "three effects and three interactions of three changes"
    def answer(scores):
        return numbers(effects(scores), 6)

    def at(state):
        """As if the remaining change were always left out or always made."""
        return lambda s: np.array([*reference_of_three(s)[:3], *(
            reference_effects(np.moveaxis(s.mean(-1), (i, j), (0, 1))[:, :, state, None])[2]
            for i, j in ((0, 1), (0, 2), (1, 2)))])

    cases = [(rng.normal(rng.uniform(0, 100, (2, 2, 2, 1)), 10, (2, 2, 2, seeds)),) for seeds in (1, 5)]
    if hidden:
        cases += [(rng.normal(size=(2, 2, 2, 3)),), (rng.integers(-50, 50, (2, 2, 2, 2)),)]
    same_values(answer, reference_of_three, cases, mistakes={
        "an interaction of two changes is taken where the third is left out: average over both its states":
            at(0),
        "an interaction of two changes is taken where the third is made: average over both its states": at(1),
        "the interactions are in another order: 1 with 2, 1 with 3, 2 with 3":
            lambda s: reference_of_three(s)[[0, 1, 2, 3, 5, 4]],
        "the interactions have the wrong sign": lambda s: reference_of_three(s) * (1, 1, 1, -1, -1, -1),
        "the interactions are sums over both states of the third change, expected their means":
            lambda s: reference_of_three(s) * (1, 1, 1, 2, 2, 2)})


# ---------------------------------------------------------------------- Pareto

def beaten(seconds, scores, strictly=False):
    """Whether each trial is beaten: by one at least as cheap and as good, and better in one of the two."""
    better = [(seconds < seconds[i]) & (scores > scores[i]) if strictly else
              (seconds <= seconds[i]) & (scores >= scores[i])
              & ((seconds < seconds[i]) | (scores > scores[i]))
              for i in range(len(seconds))]
    return np.array([one.any() for one in better], bool)


def front(seconds, scores, strictly=False):
    return np.flatnonzero(~beaten(seconds, scores, strictly))


def first_of_equals(seconds, scores):
    """The front with one of each group of identical trials."""
    keep = front(seconds, scores)
    return np.sort(keep[np.unique(np.stack([seconds[keep], scores[keep]]), axis=1, return_index=True)[1]])


@register("pareto")
def _(pareto, rng, hidden):
    "the front of random trials, cheapest first; ties, identical trials and scores below zero"
    def answer(seconds, scores):
        given = pareto(seconds, scores)
        expect(getattr(given, "dtype", None) is not np.dtype(bool),
               "it says of each trial whether it is on the front, expected the indices of those that are: "
               "np.flatnonzero")
        return whole_numbers(given)

    def indices(*case):
        return np.sort(answer(*case))

    def case(n, below=0.0):
        return rng.permutation(n) / 4 + 0.25, rng.permutation(n) * 5.0 - below

    cases = [case(20) for _ in range(4)]
    expect(len(answer(*cases[0])) > 0, "it returns no trial at all: the cheapest one is always on the front")
    same_values(indices, front, cases, mistakes={
        "it looks for low scores: a higher score is better": lambda seconds, scores: front(seconds, -scores),
        "it prefers dear trials: fewer seconds are better": lambda seconds, scores: front(-seconds, scores),
        "it returns the best trial alone: the front holds the cheaper ones as well":
            lambda seconds, scores: np.array([scores.argmax()]),
        "it ranks by score a second: that is one way to weigh the two, and the front is for all of them":
            lambda seconds, scores: np.array([(scores / seconds).argmax()]),
        "it returns those that are beaten: turn it round":
            lambda *case: np.flatnonzero(beaten(*case)),
        "it keeps every trial that beats the trials before it: go from the cheapest to the dearest, not in "
        "the order of the trials":
            lambda seconds, scores: np.array([i for i in range(len(scores))
                                              if scores[i] > scores[:i].max(initial=-np.inf)]),
        "it keeps only trials that are cheaper than all and better than all":
            lambda seconds, scores: np.array([i for i in range(len(seconds)) if (
                (seconds[i] <= seconds) & (scores[i] >= scores)).all()], int),
    })
    ties = [(np.array([1.0, 2.0, 2.0, 3.0, 4.0]), np.array([5.0, 5.0, 7.0, 7.0, 9.0])),
            (np.array([2.0, 2.0, 1.0]), np.array([3.0, 8.0, 1.0]))]
    same_values(indices, front, ties, mistakes={
        "a trial with the same cost and a lower score, or the same score and a higher cost, is beaten too":
            lambda *case: front(*case, strictly=True)})
    special = {"scores may lie below zero: what is the worst score there can be?": case(9, below=1000.0),
               "a trial that costs nothing is on the front": (np.array([0.0, 1.0]), np.array([-1.0, 0.0])),
               "a single trial is beaten by none": (np.array([3.0]), np.array([-2.0]))}
    if hidden:
        many = rng.integers(0, 12, (2, 150))
        special |= {"no trial, no front": (np.zeros(0), np.zeros(0)),
                    "it fails on whole numbers with many ties": tuple(many),
                    "a broken run may have the score -inf":
                        (np.array([1.0, 2.0, 3.0]), np.array([-np.inf, -np.inf, 4.0])),
                    "it fails where all trials are identical": (np.ones(5), np.ones(5)),
                    "it fails on costs of many sizes": (10 ** rng.uniform(-6, 6, 40), rng.normal(size=40))}
    edges(indices, front, special)
    equals = [(np.array([2.0, 1.0, 1.0]), np.array([9.0, 3.0, 3.0])),
              (np.array([4.0, 4.0, 4.0]), np.array([1.0, 1.0, 0.0]))]
    same_values(indices, front, equals, mistakes={
        "of identical trials it keeps one: neither beats the other, so both are on the front":
            first_of_equals,
        "it drops identical trials: neither beats the other, so both are on the front":
            lambda seconds, scores: np.array([
                i for i in front(seconds, scores)
                if ((seconds == seconds[i]) & (scores == scores[i])).sum() == 1], int)})
    for seconds, scores in [*cases, *ties, *equals, case(30)]:
        costs = seconds[answer(seconds, scores)]
        expect((np.diff(costs) >= 0).all(),
               "the trials are the right ones, in the wrong order: cheapest first")


# ---------------------------------------------------------------------- a reward that cannot be hacked

def reference_shaped(rewards, here, there, terminals, gamma, truncations=None, final=None):
    if truncations is not None:
        there = np.where(truncations, final, there)
    return rewards + gamma * there * ~terminals - here


def walk(rng, steps, gamma, ends=0.3):
    """Random arguments of `shaped`; at most about a share `ends` of the steps ends an episode."""
    rewards, here, there = rng.normal(size=(3, steps))
    return rewards, here, there, rng.random(steps) < ends, gamma


@register("shaping")
def _(shaped, rng, hidden):
    ("values on random steps for several gamma; a walk in a circle earns nothing; what an episode earns by "
     "it depends on its start alone")
    def answer(*case):
        return numbers(shaped(*case), len(case[0]))

    cases = [walk(rng, n, gamma) for n, gamma in ((4, 0.9), (12, float(rng.uniform(0.5, 0.8))), (40, 0.99))]
    same_values(answer, reference_shaped, cases, mistakes={
        "it forgets gamma: the next potential is discounted": lambda r, h, t, ends, g: r + t * ~ends - h,
        "it takes a gamma of its own, expected the one it is given":
            lambda r, h, t, ends, g: r + 0.9 * t * ~ends - h,
        "it ignores the ends: after a terminal the potential is 0, and what `there` holds belongs to the "
        "next episode":
            lambda r, h, t, ends, g: r + g * t - h,
        "it pays for progress and charges nothing for going back: that is what the agent of the chapter "
        "lived on":
            lambda r, h, t, ends, g: r + np.maximum(g * t * ~ends - h, 0),
        "it is the wrong way round: the potential of where the step leads, minus that of where it began":
            lambda r, h, t, ends, g: r + h - g * t * ~ends,
        "it pays for being in a good place, on every step: pay for the change":
            lambda r, h, t, ends, g: r + g * t * ~ends,
        "it leaves the reward of the task out": lambda r, h, t, ends, g: g * t * ~ends - h,
        "gamma belongs to the potential that follows, and not to the one that is left":
            lambda r, h, t, ends, g: r + g * (t * ~ends - h),
        "an end cuts the whole of the shaping off, also the potential that is to be paid back":
            lambda r, h, t, ends, g: r + (g * t - h) * ~ends,
        "an end cuts the reward off as well: that of the last step is the one that matters":
            lambda r, h, t, ends, g: r * ~ends + g * t * ~ends - h,
    })
    potential = rng.uniform(0, 5, 6)
    circle = np.append(potential, potential[0])
    paid = answer(np.zeros(6), circle[:-1], circle[1:], np.zeros(6, bool), 1.0)
    expect(abs(np.sum(paid)) < 1e-9,
           "walking in a circle earns something: without a discount the sum must be 0")
    ends = np.arange(6) == 5
    paid = answer(np.zeros(6), circle[:-1], rng.normal(size=6) * ends + circle[1:] * ~ends, ends, 0.9)
    expect(np.isclose(np.sum(paid * 0.9 ** np.arange(6)), -potential[0]),
           "over an episode the discounted sum of what is added must be minus the potential of its start, "
           "whatever happened on the way")
    special = {"a gamma of 0 leaves the potential that is left": walk(rng, 5, 0.0),
               "every step may be the last of its episode": walk(rng, 4, 0.9, ends=2.0)}
    if hidden:
        large = walk(rng, 3000, 0.97)
        special |= {"it fails on a single step": walk(rng, 1, 0.9),
                    "it fails where no episode ends": walk(rng, 20, 0.9, ends=-1.0),
                    "it fails on 3,000 steps": large,
                    "it fails on rewards that are whole numbers": (rng.integers(-3, 3, 3000), *large[1:]),
                    "it fails on float32": (*(each.astype(np.float32) for each in large[:3]), *large[3:])}
    edges(answer, reference_shaped, special, rtol=1e-4, atol=1e-5)


@register("shaping", part="truncations")
def _(shaped, rng, hidden):
    "where an episode was only cut off, the potential of its last observation counts"
    def case(steps, gamma):
        truncations = rng.random(steps) < 0.3
        walked = walk(rng, steps, gamma)
        return *walked[:3], walked[3] & ~truncations, gamma, truncations, rng.normal(size=steps)

    cases = [case(6, 0.9), case(25, 0.97), case(40, float(rng.uniform(0.5, 0.9)))]
    if hidden:
        none = case(9, 0.9)
        both = case(30, 0.9)
        cases += [(*none[:5], np.zeros(9, bool), none[6]),
                  (*both[:3], both[3] | (rng.random(30) < 0.3), *both[4:]), case(1, 1.0)]
    same_values(lambda *case: numbers(shaped(*case), len(case[0])), reference_shaped, cases, mistakes={
        "it ignores truncations, and takes the potential of the next episode's start":
            lambda *case: reference_shaped(*case[:5]),
        "it takes a truncation for a terminal: the episode would have gone on, so its potential counts":
            lambda r, h, t, ends, g, cut, final: reference_shaped(r, h, t, ends | cut, g),
        "it takes the final potential on every step: only where the episode was cut off":
            lambda r, h, t, ends, g, cut, final: reference_shaped(r, h, final, ends, g),
        "it takes the final potential at terminals as well: there it is 0":
            lambda r, h, t, ends, g, cut, final: r + g * np.where(cut | ends, final, t) - h,
        "the potential at a cut is discounted too": lambda r, h, t, ends, g, cut, final:
            r + np.where(cut, final, g * t * ~ends) - h})
