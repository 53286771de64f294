"""Checks of level 2, the first half: robust means, intervals, how often one method beats another."""

import numpy as np

from puffer_min.course import statistics
from puffer_min.course.check import register
from puffer_min.course.checks.forms import edges, number, pair
from puffer_min.course.claims import expect, same_values


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
def _(interquartile_mean, rng, hidden):
    "values on random scores of one or several tasks, also where a quarter is no whole number or is nothing"
    def answer(scores):
        return number(interquartile_mean(scores))

    cases = [(random_scores(rng, runs, tasks),) for runs, tasks in ((8, 1), (5, 3), (10, 3), (7, 2))]
    same_values(answer, statistics.iqm, cases, mistakes={
        "that is the mean of all scores: leave out the lowest and the highest quarter": lambda s: s.mean(),
        "that is the median: the middle half has a mean": lambda s: np.median(s),
        "it trims an eighth at each end: a quarter at the bottom and a quarter at the top":
            lambda s: trimmed(s, s.size // 8, s.size // 8),
        "it trims the top only: a quarter of the lowest scores goes too":
            lambda s: trimmed(s, 0, s.size // 4),
        "it trims the bottom only: a quarter of the highest scores goes too":
            lambda s: trimmed(s, s.size // 4, 0),
        "it trims the scores as they stand: sort them first":
            lambda s: np.ravel(s)[s.size // 4:s.size - s.size // 4].mean(),
        "it trims each task by itself: put all runs of all tasks together, then sort": lambda s: np.mean(
            [trimmed(task, len(task) // 4, len(task) // 4) for task in s.T]),
        "it takes the mean over the tasks first, and trims the runs: trim all scores together":
            lambda s: trimmed(s.mean(1), len(s) // 4, len(s) // 4),
        "a quarter of the scores is rounded up: round it down":
            lambda s: trimmed(s, -(-s.size // 4), -(-s.size // 4)),
    })
    special = {
        "of three scores a quarter is nothing, so all of them count": (rng.normal(3, 1, (3, 1)),),
        "a single score is its own mean": (rng.normal(3, 1, (1, 1)),),
        "equal scores are trimmed by their number, not by their value":
            (np.array([[1.0, 1, 1, 1, 1, 5, 9, 9]]),)}
    if hidden:
        large = rng.normal(-50, 20, (60, 7))
        special |= {"it fails on scores of a whole-number type": (rng.integers(-9, 9, (6, 3)),),
                    "it fails on negative scores, of which there are many": (large,),
                    "it fails on a view of a larger array": (large.T[::2],),
                    "it fails on float32": (large.astype(np.float32),)}
    edges(answer, statistics.iqm, special)


def lowest_first(scores):
    """Right: a run that broke down counts as lower than every number."""
    scores = np.sort(np.where(np.isnan(scores), -np.inf, scores), axis=None)
    return scores[scores.size // 4:scores.size - scores.size // 4].mean()


@register("interquartile_mean", part="crashed")
def _(interquartile_mean, rng, hidden):
    "a run that broke down (nan) counts as the lowest, and not as none, as 0 or as the best"
    def case(runs, tasks, crashed):
        scores = rng.normal(rng.uniform(-9, 9, tasks), 3, (runs, tasks))
        scores.reshape(-1)[rng.permutation(scores.size)[:crashed]] = np.nan
        return (scores,)

    cases = [case(8, 1, 1), case(6, 2, 3), case(10, 3, 7), case(12, 2, 5)]
    if hidden:
        cases += [case(4, 1, 1), case(40, 5, 50), case(9, 2, 0), (case(5, 4, 3)[0].astype(np.float32),)]

    def of(value):
        return lambda s: statistics.iqm(np.where(np.isnan(s), value, s))

    same_values(lambda scores: number(interquartile_mean(scores)), lowest_first, cases, mistakes={
        "the result is nan: say what the score of a run that broke down is before you sort": lambda s:
            np.nan if np.isnan(s).any() else statistics.iqm(s),
        "NumPy sorts nan to the end, so the broken runs are trimmed as if they were the best": of(np.inf),
        "it leaves the broken runs out: then breaking down costs nothing":
            lambda s: statistics.iqm(s[~np.isnan(s)]),
        "it takes 0 for a run that broke down: where scores are negative that is a good run": of(0.0)})
    found = number(interquartile_mean(np.array([[np.nan, np.nan, 4.0, 5.0]])))
    expect(found == -np.inf,
           f"where more than a quarter broke down it gives {found:g}, expected -inf: no trimming hides that")


# ---------------------------------------------------------------------- the bootstrap

# With so many resamples, and so many of the reference, CLOSE of the interval's width is five standard errors
# of its ends. The statistics are smooth: where they take few values, a quantile jumps.
RESAMPLES, OF_REFERENCE, CLOSE = 6000, 20_000, 0.045
LEVEL = 0.95


def draws(rng, scores, resamples, runs=None):
    """Right: resamples (resamples, runs, tasks), each task drawn from its own runs."""
    size = resamples, runs or len(scores), scores.shape[1]
    return scores[rng.integers(len(scores), size=size), np.arange(scores.shape[1])]


def whole_rows(rng, scores, resamples):
    return scores[rng.integers(len(scores), size=(resamples, len(scores)))]


def from_all_tasks(rng, scores, resamples):
    return rng.choice(scores.ravel(), (resamples, *scores.shape))


def half_as_many(rng, scores, resamples):
    return draws(rng, scores, resamples, max(1, len(scores) // 2))


def ends_of(values, level=LEVEL):
    return np.quantile(values, [(1 - level) / 2, (1 + level) / 2])


def wrong_bootstrap(draw, level=LEVEL):
    """Interval of the statistic of what `draw` draws, to recognise a mistake by its ends."""
    def found(scores, statistic, rng):
        return ends_of(statistic(draw(rng, scores, OF_REFERENCE)), level)
    return found


WRONG_BOOTSTRAPS = {
    "it draws whole rows, so that the runs of different tasks stay together: draw for each task by itself":
        wrong_bootstrap(whole_rows),
    "it draws from all tasks at once: the runs of a task are drawn from that task":
        wrong_bootstrap(from_all_tasks),
    "that interval holds 90 %: leave out 2.5 % at each end": wrong_bootstrap(draws, level=0.9),
    "that is where the scores lie, expected where the statistic of the resamples lies":
        lambda scores, statistic, rng: ends_of(scores),
    "the resamples are smaller than the data: draw as many runs as there are": wrong_bootstrap(half_as_many),
}


# statistics of (…, runs, tasks): of one array for the answer, of all resamples at once for the reference
STATISTICS = (lambda scores: scores.mean((-2, -1)), lambda scores: scores.std(-2).sum(-1))


def closest(found, right, wrong, close):
    """Fail where the ends `found` are not `right`, by the sentence of the wrong version that they are.

    wrong       () -> sentence -> ends: it takes longer than the comparison, and is asked only where one fails
    """
    low, high = found
    width = right[1] - right[0]
    if max(abs(low - right[0]), abs(high - right[1])) <= close * width:
        return
    off = {sentence: max(abs(low - ends[0]), abs(high - ends[1])) / (close * max(width, ends[1] - ends[0]))
           for sentence, ends in wrong().items()}
    nearest = min(off, key=off.get, default="")
    expect(not off or off[nearest] > 1, nearest)
    expect(False, f"it gives [{low:.4g}, {high:.4g}], expected about [{right[0]:.4g}, {right[1]:.4g}]")


def interval_of(bootstrap_interval, *arguments):
    """The two ends that an answer gives, in order."""
    low, high = pair(bootstrap_interval(*arguments))
    expect(np.isfinite([low, high]), "an end of the interval is not finite")
    expect(low <= high, "the ends are the wrong way round: (low, high)")
    return low, high


def two_tables(rng):
    """Scores in which a row that is good at one task is bad at the other; and three tasks far apart."""
    rising = np.arange(12.0) + rng.normal(0, 0.5, 12)
    tied = np.stack([rising, 30 - rising + rng.normal(0, 0.2, 12)], 1)
    return tied, np.stack([rng.normal(0, 1, 9), rng.normal(40, 3, 9), rng.normal(10, 2, 9)], 1)


@register("bootstrap")
def _(bootstrap_interval, rng, hidden):
    ("ends like the reference's, for two statistics and for tasks that rise and fall together; `resamples` "
     "draws from the generator it is given")
    (tied, level), mean = two_tables(rng), STATISTICS[0]
    tables = [tied, level, *((rng.exponential(5, (25, 1)), rng.normal(0, 9, (6, 5))) if hidden else ())]
    seed = int(rng.integers(1000))
    for scores in tables:
        for statistic in STATISTICS:
            given = scores.copy()
            found = interval_of(bootstrap_interval, given, statistic, RESAMPLES, np.random.default_rng(seed))
            expect(np.array_equal(given, scores), "it changes the scores: work on a copy")
            expect(found[1] - found[0] > 1e-6,
                   "every resample is the same: draw with replacement, so that some runs come twice and "
                   "some not at all")
            case = scores, statistic, np.random.default_rng(5)
            closest(found, wrong_bootstrap(draws)(*case),
                    lambda case=case: {name: wrong(*case) for name, wrong in WRONG_BOOTSTRAPS.items()}, CLOSE)

    def short(statistic, resamples, generator):
        return interval_of(bootstrap_interval, level.copy(), statistic, resamples, generator)

    size = short(lambda scores: 1000.0 * scores.shape[0] + scores.shape[1], 20, np.random.default_rng(1))
    expect(size == (9003, 9003), "its resamples have another shape than the scores")
    low, high = short(mean, 1, np.random.default_rng(1))
    expect(np.isclose(low, high),
           "with resamples=1 there is one statistic, so both ends are that number: it makes another number "
           "of resamples than it is asked for")
    one, same, other = (short(mean, 50, np.random.default_rng(seed)) for seed in (1, 1, 2))
    expect(one == same,
           "two generators with the same seed give different intervals: draw from `rng` and nothing else")
    expect(one != other,
           "it does not draw from the generator it is given: two seeds give the very same interval")
    generator = np.random.default_rng(1)
    first, second = (short(mean, 50, generator) for _ in range(2))
    expect(first != second,
           "called twice with one generator it draws the same again: it must draw from `rng` itself, not "
           "from a copy")


@register("bootstrap", part="difference")
def _(bootstrap_interval, rng, hidden):
    "with `others`, the interval of statistic(scores) - statistic(others), each side drawn for itself"
    scores, mean = two_tables(rng)[0], STATISTICS[0]
    others = [scores - 3 + rng.normal(0, 0.3, scores.shape), rng.normal(12, 4, (7, 2))]
    if hidden:
        others += [rng.normal(0, 9, (40, 2)), scores.copy()]
    seed = int(rng.integers(1000))
    for other in others:
        given = scores.copy(), other.copy()
        generator = np.random.default_rng(seed)
        low, high = pair(bootstrap_interval(given[0], mean, RESAMPLES, generator, given[1]))
        expect(np.array_equal(given[0], scores) and np.array_equal(given[1], other),
               "it changes the scores: work on a copy")
        reference = np.random.default_rng(5)
        ours, theirs = (mean(draws(reference, each, OF_REFERENCE)) for each in (scores, other))
        right, (a, b), (c, d) = ends_of(ours - theirs), ends_of(ours), ends_of(theirs)
        wrong = {
            "it is the interval of `scores` alone: subtract the statistic of the others, drawn anew":
                (a, b),
            "it is the wrong way round: statistic(scores) - statistic(others)": ends_of(theirs - ours),
            "it subtracts the ends of two intervals, low from low and high from high: subtract the "
            "statistics of each pair of resamples, then take the ends": (a - c, b - d),
            "it sets the worst of one against the best of the other, which is too wide: subtract the "
            "statistics of each pair of resamples, then take the ends": (a - d, b - c),
            "it subtracts the statistic of the others as they are: they are a sample too, so draw them":
                ends_of(ours - mean(other)),
            "it draws the scores and leaves the others fixed": ends_of(mean(scores) - theirs)}
        if other.shape == scores.shape:
            drawn = reference.integers(len(scores), size=(OF_REFERENCE, *scores.shape)), np.arange(2)
            wrong["it draws the same runs on both sides: nothing ties run 3 of one method to run 3 of "
                  "another, so draw anew"] = ends_of(mean(scores[drawn]) - mean(other[drawn]))
        closest((low, high), right, lambda wrong=wrong: wrong, CLOSE)
    one, two = (pair(bootstrap_interval(scores.copy(), mean, 1, np.random.default_rng(seed),
                                        others[0].copy())) for seed in (1, 2))
    expect(np.isclose(*one), "with resamples=1 there is one difference, so both ends are that number")
    expect(one != two,
           "it does not draw from the generator it is given: two seeds give the very same interval")


# ---------------------------------------------------------------------- the probability of improvement

@register("improvement")
def _(probability_of_improvement, rng, hidden):
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

    def answer(x, y):
        return number(probability_of_improvement(x, y))

    cases = [case(*sizes) for sizes in ((6, 6, 1), (5, 8, 2), (9, 4, 3))]
    same_values(answer, statistics.probability_of_improvement, cases, mistakes={
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
        "it takes the mean over the tasks first: compare task by task":
            lambda x, y: pairs(x.mean(1, keepdims=True), y.mean(1, keepdims=True)),
        "it adds the comparisons up: take their mean":
            lambda x, y: pairs(x, y) * len(x) * len(y) * x.shape[1],
    })
    special = {
        "two runs that tie are worth a half": (np.array([[2.0]]), np.array([[2.0]])),
        "a gain by a hair is a gain": (np.array([[1.0 + 1e-9]]), np.array([[1.0]])),
        "it fails on negative scores": (-rng.random((5, 2)), -rng.random((3, 2)))}
    if hidden:
        special |= {"it fails on whole numbers": (rng.integers(0, 4, (9, 3)), rng.integers(0, 4, (2, 3))),
                    "it fails where all scores are equal": (np.ones((4, 2)), np.ones((7, 2))),
                    "it fails on many runs": (rng.normal(size=(120, 4)), rng.normal(size=(90, 4))),
                    "it fails on unsigned numbers": tuple(rng.integers(0, 9, (2, 8, 2)).astype(np.uint8))}
    edges(answer, statistics.probability_of_improvement, special, rtol=1e-9, atol=1e-9)
