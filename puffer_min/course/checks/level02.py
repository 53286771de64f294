"""Checks of level 2: robust means, intervals, probability of improvement, ablations, fronts, shaping."""

import numpy as np

from puffer_min.course import statistics
from puffer_min.course.check import register
from puffer_min.course.claims import expect, holds, same_values
from puffer_min.course.comparison_plots import pareto_front


def random_scores(rng, runs, tasks):
    """Scores (runs, tasks) whose tasks differ in level and spread, with one wild run."""
    scores = rng.normal(rng.uniform(0, 20, tasks), rng.uniform(1, 5, tasks), (runs, tasks))
    scores[rng.integers(runs), rng.integers(tasks)] += 500
    return scores


# ---------------------------------------------------------------------- the interquartile mean

def trimmed(scores, low, high):
    """Mean of the sorted scores without so many at either end."""
    every = np.sort(np.ravel(scores))
    return every[low:len(every) - high].mean()


@register("interquartile_mean")
def _(interquartile_mean, rng):
    "values on random scores of several tasks, also where a quarter is no whole number"
    cases = [(random_scores(rng, runs, tasks),) for runs, tasks in ((8, 1), (5, 3), (10, 3), (7, 2))]
    same_values(interquartile_mean, statistics.iqm, cases, mistakes={
        "that is the mean of all scores: leave out the lowest and the highest quarter": lambda s: s.mean(),
        "that is the median: the middle half has a mean": lambda s: np.median(s),
        "it trims an eighth at each end: a quarter at the bottom and a quarter at the top":
            lambda s: trimmed(s, s.size // 8, s.size // 8),
        "it trims the top only: a quarter of the lowest scores goes too":
            lambda s: trimmed(s, 0, s.size // 4),
        "it trims the scores as they stand: sort them first":
            lambda s: np.ravel(s)[s.size // 4:s.size - s.size // 4].mean(),
        "it trims each task by itself: put all runs of all tasks together, then sort": lambda s: np.mean(
            [trimmed(task, len(task) // 4, len(task) // 4) for task in s.T]),
        "it takes the mean over the tasks first, and trims the runs: trim all scores together":
            lambda s: trimmed(
            s.mean(1), len(s) // 4, len(s) // 4),
        "a quarter of the scores is rounded up: round it down":
            lambda s: trimmed(s, -(-s.size // 4), -(-s.size // 4)),
    })


# ---------------------------------------------------------------------- the bootstrap

# two bootstraps of so many resamples agree to a few percent of the interval's width
RESAMPLES, CLOSE = 3000, 0.06


def quantiles(values, level=0.95):
    return np.quantile(values, [(1 - level) / 2, (1 + level) / 2])


def wrong_bootstrap(draw, level=0.95):
    """Interval of `statistic(draw(scores, rng))`, to recognise a mistake by its ends."""
    def found(scores, statistic, rng):
        return quantiles([statistic(draw(scores, rng)) for _ in range(RESAMPLES)], level)
    return found


def by_task(scores, rng, runs=None):
    drawn = rng.integers(len(scores), size=(runs or len(scores), scores.shape[1]))
    return scores[drawn, np.arange(scores.shape[1])]


WRONG_BOOTSTRAPS = {
    "it draws whole rows, so that the runs of different tasks stay together: draw for each task by itself":
        wrong_bootstrap(lambda scores, rng: scores[rng.integers(len(scores), size=len(scores))]),
    "it draws from all tasks at once: the runs of a task are drawn from that task":
        wrong_bootstrap(lambda scores, rng: rng.choice(scores.ravel(), scores.shape)),
    "that interval holds 90 %: leave out 2.5 % at each end": wrong_bootstrap(by_task, level=0.9),
    "that is where the scores lie, expected where the statistic of the resamples lies":
        lambda scores, statistic, rng: quantiles(scores),
    "the resamples are smaller than the data: draw as many runs as there are":
        wrong_bootstrap(lambda scores, rng: by_task(scores, rng, max(1, len(scores) // 2))),
}


@register("bootstrap")
def _(bootstrap_interval, rng):
    ("ends like the reference's, for two statistics and for tasks that rise and fall together; draws from "
     "the generator it is given")
    rising = np.arange(12.0) + rng.normal(0, 0.5, 12)
    # a row that is good at one task is bad at the other
    tied = np.stack([rising, 30 - rising + rng.normal(0, 0.2, 12)], 1)
    level = np.stack([rng.normal(0, 1, 9), rng.normal(40, 3, 9), rng.normal(10, 2, 9)], 1)
    for scores in (tied, level):
        for statistic in (lambda s: float(s.mean()), lambda s: float(s.max(0).mean())):
            found = bootstrap_interval(scores.copy(), statistic, RESAMPLES,
                                       np.random.default_rng(rng.integers(1000)))
            pair = isinstance(found, tuple | list | np.ndarray) and np.shape(found) == (2,)
            expect(pair, f"it returns {found!r}, expected the pair (low, high)")
            low, high = (float(end) for end in found)
            expect(np.isfinite([low, high]), "an end of the interval is not finite")
            expect(low <= high, "the ends are the wrong way round: (low, high)")
            right = wrong_bootstrap(by_task)(scores, statistic, np.random.default_rng(5))
            close = CLOSE * (right[1] - right[0])
            if max(abs(low - right[0]), abs(high - right[1])) <= close:
                continue
            expect(high - low > 1e-6,
                   "every resample is the same: draw with replacement, so that some runs come twice and "
                   "some not at all")
            for sentence, wrong in WRONG_BOOTSTRAPS.items():
                ends = wrong(scores, statistic, np.random.default_rng(6))
                near = max(close, CLOSE * (ends[1] - ends[0]))
                expect(max(abs(low - ends[0]), abs(high - ends[1])) > near, sentence)
            expect(False,
                   f"it gives [{low:.4g}, {high:.4g}], expected about [{right[0]:.4g}, {right[1]:.4g}]")
    one, same, other = (tuple(np.ravel(bootstrap_interval(level.copy(), lambda s: float(s.mean()), 50,
                                                          np.random.default_rng(seed))))
                        for seed in (1, 1, 2))
    expect(one == same,
           "two generators with the same seed give different intervals: draw from `rng` and nothing else")
    expect(one != other,
           "it does not draw from the generator it is given: two seeds give the very same interval")


# ---------------------------------------------------------------------- the probability of improvement

@register("improvement")
def _(probability_of_improvement, rng):
    "values on random scores, ties a half, tasks one by one, another number of runs in each"
    def case(runs, others, tasks):
        levels = 10.0 * np.arange(tasks)
        return rng.integers(0, 6, (runs, tasks)) + levels, rng.integers(1, 7, (others, tasks)) + levels

    def pairs(x, y, tie=0.5):
        x, y = x[:, None], y[None]
        return ((x > y) + tie * (x == y)).mean()

    def in_order(x, y):
        n = min(len(x), len(y))
        return ((x[:n] > y[:n]) + 0.5 * (x[:n] == y[:n])).mean()

    cases = [case(*sizes) for sizes in ((6, 6, 1), (5, 8, 2), (9, 4, 3))]
    same_values(probability_of_improvement, statistics.probability_of_improvement, cases, mistakes={
        "a tie counts nothing: it is a half": lambda x, y: pairs(x, y, 0),
        "a tie counts as an improvement: it is a half": lambda x, y: pairs(x, y, 1),
        "it is the wrong way round: how often is x better than y?": lambda x, y: pairs(y, x),
        "it compares the first run with the first, the second with the second: every run with every other":
            in_order,
        "it compares the tasks with one another: pair the runs of the same task only":
            lambda x, y: pairs(x.ravel(), y.ravel()),
        "it compares the means: that says yes or no, and not how often":
            lambda x, y: float(x.mean() > y.mean()),
        "it compares each run with the mean of the others: every run with every other":
            lambda x, y: ((x > y.mean(0)) + 0.5 * (x == y.mean(0))).mean(),
    })


# ---------------------------------------------------------------------- ablations

def reference_effects(scores):
    mean = np.asarray(scores, float).mean(2)
    interaction = mean[1, 1] - mean[0, 1] - mean[1, 0] + mean[0, 0]
    return (mean[1] - mean[0]).mean(), (mean[:, 1] - mean[:, 0]).mean(), interaction


@register("ablation")
def _(effects, rng):
    "effects and interaction of random experiments; none for a change that does nothing"
    cases = [(rng.normal(rng.uniform(0, 100, (2, 2, 1)), 10, (2, 2, seeds)),) for seeds in (1, 4, 7)]

    def mean(scores):
        return scores.mean(2)

    same_values(lambda scores: tuple(effects(scores)), reference_effects, cases, mistakes={
        "it compares 'both' with 'neither': that is the sum of all three, and says of no change what it did":
            lambda s: (mean(s)[1, 1] - mean(s)[0, 0], mean(s)[1, 1] - mean(s)[0, 0], 0.0),
        "it takes the effect of a change where the other one is missing: average over both cases": lambda s: (
            mean(s)[1, 0] - mean(s)[0, 0], mean(s)[0, 1] - mean(s)[0, 0], reference_effects(s)[2]),
        "it takes the effect of a change where the other one is there: average over both cases": lambda s: (
            mean(s)[1, 1] - mean(s)[0, 1], mean(s)[1, 1] - mean(s)[1, 0], reference_effects(s)[2]),
        "the two changes are swapped: the first axis is the first change":
            lambda s: tuple(np.array(reference_effects(s))[[1, 0, 2]]),
        "the interaction has the wrong sign: both + neither - the two singles":
            lambda s: (*reference_effects(s)[:2], -reference_effects(s)[2]),
        "the interaction leaves 'neither' out: both + neither - the two singles": lambda s: (
            *reference_effects(s)[:2], mean(s)[1, 1] - mean(s)[0, 1] - mean(s)[1, 0]),
        "it takes the best seed of each cell: the mean over the seeds":
            lambda s: reference_effects(s.max(2, keepdims=True)),
    })
    silent = np.repeat(rng.normal(size=(2, 1, 5)), 2, axis=1)
    holds(lambda scores: np.isclose(tuple(effects(scores))[1:], 0).all(), [(silent,)],
          "the second change makes no difference to any run, so its effect and the interaction are 0")


# ---------------------------------------------------------------------- Pareto

@register("pareto")
def _(pareto, rng):
    "the front of random trials, cheapest first; ties"
    def beaten(seconds, scores, strictly):
        better = [(seconds < seconds[i]) & (scores > scores[i]) if strictly else
                  (seconds <= seconds[i]) & (scores >= scores[i])
                  & ((seconds < seconds[i]) | (scores > scores[i]))
                  for i in range(len(seconds))]
        return np.array([one.any() for one in better])

    def front(seconds, scores, strictly=False, worst=False):
        keep = np.flatnonzero(~beaten(seconds, -scores if worst else scores, strictly))
        return keep[np.argsort(seconds[keep], kind="stable")].tolist()

    cases = []
    while len(cases) < 4:
        seconds, scores = rng.permutation(20) / 4 + 0.25, rng.permutation(20) * 5.0
        cases.append((seconds, scores))
    ties = [(np.array([1.0, 2.0, 2.0, 3.0, 4.0]), np.array([5.0, 5.0, 7.0, 7.0, 9.0])),
            (np.array([2.0, 2.0, 1.0]), np.array([3.0, 8.0, 1.0]))]
    assert all(front(*case) == pareto_front(*case).tolist() for case in cases + ties)

    def answer(seconds, scores):
        return [int(i) for i in pareto(seconds, scores)]

    expect(len(answer(*cases[0])) > 0, "it returns no trial at all: the cheapest one is always on the front")
    same_values(lambda *case: sorted(answer(*case)), lambda *case: sorted(front(*case)), cases, mistakes={
        "it looks for low scores: a higher score is better": lambda *case: sorted(front(*case, worst=True)),
        "it returns the best trial alone: the front holds the cheaper ones as well":
            lambda seconds, scores: [int(scores.argmax())],
        "it ranks by score a second: that is one way to weigh the two, and the front is for all of them":
            lambda seconds, scores: [int((scores / seconds).argmax())],
        "it returns those that are beaten: turn it round":
            lambda *case: np.flatnonzero(beaten(*case, False)).tolist(),
        "it keeps every trial that beats the trials before it: go from the cheapest to the dearest, not in "
        "the order of the trials":
            lambda seconds, scores: [i for i in range(len(scores))
                                     if scores[i] > scores[:i].max(initial=-np.inf)],
        "it keeps only trials that are cheaper than all and better than all": lambda seconds, scores: [
            i for i in range(len(seconds)) if ((seconds[i] <= seconds) & (scores[i] >= scores)).all()],
    })
    same_values(lambda *case: sorted(answer(*case)), lambda *case: sorted(front(*case)), ties, mistakes={
        "a trial with the same cost and a lower score, or the same score and a higher cost, is beaten too":
            lambda *case: sorted(front(*case, strictly=True))})
    same_values(answer, front, cases, mistakes={
        "the trials are the right ones, in the wrong order: cheapest first":
            lambda *case: sorted(front(*case))})


# ---------------------------------------------------------------------- a reward that cannot be hacked

def reference_shaped(rewards, here, there, terminals, gamma):
    return rewards + gamma * there * ~terminals - here


@register("shaping")
def _(shaped, rng):
    ("values on random steps; a walk in a circle earns nothing; what an episode earns by it depends on its "
     "start alone")
    def case(n):
        return rng.normal(size=n), rng.normal(size=n), rng.normal(size=n), rng.random(n) < 0.3, 0.9

    cases = [case(n) for n in (4, 12, 40)]
    same_values(shaped, reference_shaped, cases, mistakes={
        "it forgets gamma: the next potential is discounted": lambda r, h, t, ends, g: r + t * ~ends - h,
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
    })
    potential = rng.uniform(0, 5, 6)
    circle = np.append(potential, potential[0])
    paid = shaped(np.zeros(6), circle[:-1], circle[1:], np.zeros(6, bool), 1.0)
    expect(abs(np.sum(paid)) < 1e-9,
           "walking in a circle earns something: without a discount the sum must be 0")
    ends = np.arange(6) == 5
    paid = shaped(np.zeros(6), circle[:-1], rng.normal(size=6) * ends + circle[1:] * ~ends, ends, 0.9)
    expect(np.isclose(np.sum(paid * 0.9 ** np.arange(6)), -potential[0]),
           "over an episode the discounted sum of what is added must be minus the potential of its start, "
           "whatever happened on the way")
