"""Checks of *find the planted bug* in levels 1, 2 and 3: which of three listings shows the symptom, and an
experiment that proves it.

The listings stand in the notebooks letter for letter (a test compares them). An answer gives the letter and
inputs; the right version and all listings are run on the inputs here, and no two may give the same.
"""

import copy

import numpy as np

from puffer_min.course.check import register
from puffer_min.course.checks.forms import shown
from puffer_min.course.claims import expect

GAMMA, GAE_LAMBDA, CLOSE = 0.9, 0.8, 1e-3


def tells_apart(given, inputs, listings, guilty, contradicts):
    """Claim that `given`, (letter, *inputs), names the guilty listing and that no two of the listings give
    the same for the inputs.

    inputs          function of the given inputs that refuses what no listing takes, and returns the arguments
    listings        name -> function, the right version among them
    contradicts     letter -> what in the symptom speaks against that listing
    """
    expect(isinstance(given, tuple | list) and len(given) and isinstance(given[0], str),
           f"it returns {shown(given)}, expected the letter of a listing and then the inputs")
    letter, case = given[0].strip().upper(), inputs(*given[1:])
    expect(letter in contradicts or letter == guilty, f"it names {given[0]!r}, expected 'A', 'B' or 'C'")
    names = list(listings)
    results = [np.asarray(listing(*copy.deepcopy(case)), float) for listing in listings.values()]
    for i, one in enumerate(results):
        for j in range(i + 1, len(results)):
            same = np.allclose(one, results[j], CLOSE, CLOSE, equal_nan=True)
            expect(not same, f"for these inputs {names[i]} and {names[j]} both give "
                             f"{shown(one.round(4).tolist())}: they do not tell the two apart")
    expect(letter == guilty, f"it is not {letter}: {contradicts.get(letter)}")


def tables(given, names, ndim):
    """The given inputs as arrays of finite numbers or nan, one for each name."""
    expect(len(given) == len(names), f"it gives {len(given)} inputs after the letter, expected {len(names)}: "
                                     f"{', '.join(names)}")
    found = []
    for name, each in zip(names, given, strict=True):
        try:
            found.append(np.array(each, float))
        except (TypeError, ValueError):
            found.append(np.zeros((0,) * ndim))
        expect(found[-1].ndim == ndim and found[-1].size and not np.isinf(found[-1]).any(),
               f"{name} is {shown(each)}, expected numbers in an array of {ndim} "
               f"dimension{'s' * (ndim > 1)}")
    return found


def alike(arrays, names):
    expect(len({each.shape for each in arrays}) == 1 and not any(np.isnan(each).any() for each in arrays),
           f"{', '.join(names)} must have one shape and hold no nan")


# ---------------------------------------------------------------------- level 1: returns of first episodes

def first_returns(rewards, ends):
    """Right: each agent's return of its first episode, nan where none has ended."""
    found, running = np.full(rewards.shape[1], np.nan), np.zeros(rewards.shape[1])
    for row, over in zip(rewards, ends, strict=True):
        running += row
        new = over & np.isnan(found)
        found[new] = running[new]
    return found


def returns_a(rewards, ends):
    found, running = np.full(rewards.shape[1], np.nan), np.zeros(rewards.shape[1])
    for row, over in zip(rewards, ends, strict=True):
        new = over & np.isnan(found)
        found[new] = running[new]
        running += row
    return found


def returns_b(rewards, ends):
    found, running = np.full(rewards.shape[1], np.nan), np.zeros(rewards.shape[1])
    for row, over in zip(rewards, ends, strict=True):
        running += row
        found[over] = running[over]
        running[over] = 0
    return found


def returns_c(rewards, ends):
    found, running = np.full(rewards.shape[1], np.nan), np.zeros(rewards.shape[1])
    for row, over in zip(rewards, ends, strict=True):
        running += row
        if over.any() and np.isnan(found).all():
            found[:] = running
    return found


def returns_unlisted(rewards, ends):
    """The last sum, which is never set back."""
    found, running = np.full(rewards.shape[1], np.nan), np.zeros(rewards.shape[1])
    for row, over in zip(rewards, ends, strict=True):
        running += row
        found[over] = running[over]
    return found


def a_record(*given):
    """Rewards and ends (steps, agents)."""
    rewards, ends = tables(given, ("rewards", "ends"), 2)
    alike((rewards, ends), ("rewards", "ends"))
    return rewards, ends != 0


@register("suspects")
def _(experiment, hidden):
    "the guilty listing, and a record for which the right version and the listings all give something else"
    listings = {"the right version": first_returns, "A": returns_a, "B": returns_b, "C": returns_c}
    if hidden:
        listings["a bug that is not listed (a sum that is never set back)"] = returns_unlisted
    tells_apart(experiment(), a_record, listings, "B", {
        "A": "A is wrong for a single agent with a single episode as well, and there the report is right",
        "C": "C writes its numbers down once and never again, and the report goes on changing"})


@register("suspects", part="small")
def _(experiment):
    "a record of at most six rewards"
    rewards, _ = a_record(*experiment()[1:])
    expect(rewards.size <= 6, f"the record has {rewards.size} rewards, expected at most six: drop rows and "
                              "columns while no two of the versions give the same")


# ---------------------------------------------------------------------- level 2: a gain

def gain(new, old):
    """Right: the last score of each run, 0 for a run that broke down (nan), averaged over the runs."""
    return np.nan_to_num(new[:, -1]).mean() - np.nan_to_num(old[:, -1]).mean()


def gain_a(new, old):
    new, old = np.nan_to_num(new), np.nan_to_num(old)
    return new.max(axis=1).mean() - old.max(axis=1).mean()


def gain_b(new, old):
    return np.nanmean(new[:, -1]) - np.nanmean(old[:, -1])


def gain_c(new, old):
    new, old = np.nan_to_num(new[:, -1]), np.nan_to_num(old[:, -1])
    return new.max() - old.mean()


def gain_unlisted(new, old):
    """Medians for means."""
    return np.median(np.nan_to_num(new[:, -1])) - np.median(np.nan_to_num(old[:, -1]))


def two_methods(*given):
    """Scores (runs, evaluations) of the new and the old method."""
    new, old = tables(given, ("new", "old"), 2)
    for name, scores in (("new", new), ("old", old)):
        expect(not np.isnan(scores[:, -1]).all(), f"every run of {name} broke down: leave one that did not")
    return new, old


@register("too_good")
def _(experiment, hidden):
    "the guilty listing, and scores for which the right version and the listings all give something else"
    listings = {"the right version": gain, "A": gain_a, "B": gain_b, "C": gain_c}
    if hidden:
        listings["a bug that is not listed (medians for means)"] = gain_unlisted
    tells_apart(experiment(), two_methods, listings, "C", {
        "A": "A treats both methods alike, so for the same scores twice it gives 0",
        "B": "B leaves broken runs out on both sides, so for the same scores twice it gives 0"})


@register("too_good", part="small")
def _(experiment):
    "at most eight scores in all"
    new, old = two_methods(*experiment()[1:])
    expect(new.size + old.size <= 8,
           f"there are {new.size + old.size} scores, expected at most eight in both arrays together")


# ---------------------------------------------------------------------- level 3: advantages

def backwards(rewards, values, ends, next_value, value_goes_on, sum_goes_on):
    """GAE of one row (steps,), from the end, with what each end lets through."""
    found, running, after = np.zeros(len(rewards)), 0.0, next_value
    for t in reversed(range(len(rewards))):
        delta = rewards[t] + GAMMA * after * value_goes_on[t] - values[t]
        running = delta + GAMMA * GAE_LAMBDA * sum_goes_on[t] * running
        found[t], after = running, values[t]
    return found


def advantages(rewards, values, ends, next_value):
    """Right: an end cuts the value of what follows and the running sum."""
    return backwards(rewards, values, ends, next_value, 1 - ends, 1 - ends)


def advantages_a(rewards, values, ends, next_value):
    return backwards(rewards, values, ends, next_value, np.ones(len(ends)), 1 - ends)


def advantages_b(rewards, values, ends, next_value):
    before = np.append(0, ends[:-1])
    return backwards(rewards, values, ends, next_value, 1 - before, 1 - before)


def advantages_c(rewards, values, ends, next_value):
    return backwards(rewards, values, ends, next_value, 1 - ends, np.ones(len(ends)))


def advantages_unlisted(rewards, values, ends, next_value):
    """Nothing comes after the last step."""
    return advantages(rewards, values, ends, 0.0)


def a_row(*given):
    """Rewards, values and ends (steps,), and the value of what follows."""
    names = ("rewards", "values", "ends", "next_value")
    expect(len(given) == 4,
           f"it gives {len(given)} inputs after the letter, expected four: {', '.join(names)}")
    arrays = tables(given[:3], names[:3], 1)
    alike(arrays, names[:3])
    after, = tables([np.atleast_1d(given[3])], names[3:], 1)
    expect(after.size == 1, f"next_value is {shown(given[3])}, expected one number")
    expect(np.isin(arrays[2], (0, 1)).all(),
           f"ends is {shown(given[2])}, expected 1 where an episode ended and 0 elsewhere")
    return *arrays, float(after[0])


@register("leak")
def _(experiment, hidden):
    "the guilty listing, and a row for which the right version and the listings all give something else"
    listings = {"the right version": advantages, "A": advantages_a, "B": advantages_b, "C": advantages_c}
    if hidden:
        listings["a bug that is not listed (nothing comes after the last step)"] = advantages_unlisted
    tells_apart(experiment(), a_row, listings, "A", {
        name: f"{name} lets the running sum through at the end of an episode, and with it the next episode's "
              "rewards" for name in "BC"})


@register("leak", part="small")
def _(experiment):
    "a row of at most two steps"
    rewards, *_ = a_row(*experiment()[1:])
    expect(len(rewards) <= 2,
           f"the row has {len(rewards)} steps, expected at most two: one that ends, one after it")
