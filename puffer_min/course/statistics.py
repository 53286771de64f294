"""What may be said of scores from a few runs: robust aggregates, and intervals by the stratified bootstrap
(Agarwal et al. 2021).

    x, y = np.array(...), np.array(...)             scores (runs, tasks), or (runs,) for one task; higher is
                                                    better
    print(interval(iqm, x))                         0.71 [0.64, 0.78]
    print(interval(probability_of_improvement, x, y))

A run is one training with a seed of its own. A statistic is a function of arrays (..., runs, tasks) that
gives (...): it works on the last two axes, so that thousands of resamples are one call; `iqm`, `mean`,
`optimality_gap`, `probability_of_improvement` and `performance_profile` are such functions, and so is one of
your own that is written like them.

The definitions are those of Agarwal, Schwarzer, Castro, Courville and Bellemare, "Deep reinforcement learning
at the edge of the statistical precipice" (https://arxiv.org/abs/2108.13264), and of their package rliable,
whose results the tests compare with.
"""

from dataclasses import dataclass

import numpy as np


def iqm(scores: np.ndarray) -> np.ndarray:
    """Interquartile mean: of all runs and tasks together, without the lowest and the highest quarter. (...,
    runs, tasks) -> (...).

    A quarter is rounded down, so of fewer than four scores it is the mean.
    """
    scores = np.asarray(scores, float)
    every = np.sort(scores.reshape(*scores.shape[:-2], -1), axis=-1)
    cut = every.shape[-1] // 4
    return every[..., cut:every.shape[-1] - cut].mean(-1)


def mean(scores: np.ndarray) -> np.ndarray:
    """Mean over runs and tasks: (..., runs, tasks) -> (...)."""
    return np.asarray(scores, float).mean((-2, -1))


def optimality_gap(scores: np.ndarray, target: float = 1.0) -> np.ndarray:
    """By how much the runs fall short of `target`, on average; what lies above it counts as reached. (...,
    runs, tasks) -> (...).
    """
    return target - np.minimum(scores, target).mean((-2, -1))


def probability_of_improvement(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """How probable it is that a run of `x` scores higher than a run of `y` on the same task, averaged over
    the tasks; a tie is a half.

    x (..., runs, tasks), y (..., other runs, tasks) -> (...). 0.5 says that neither is better.
    """
    x, y = np.asarray(x)[..., :, None, :], np.asarray(y)[..., None, :, :]
    return ((x > y) + 0.5 * (x == y)).mean((-3, -2, -1))


def performance_profile(scores: np.ndarray, thresholds: np.ndarray) -> np.ndarray:
    """Share of all runs on all tasks that score above each threshold: (..., runs, tasks) and (n,) -> (...,
    n).
    """
    scores = np.asarray(scores)[..., None]
    return (scores > np.asarray(thresholds)).mean((-3, -2))


@dataclass(frozen=True)
class Interval:
    """A statistic of the scores, and the ends of its interval: numbers, or arrays where the statistic gives
    several.
    """

    estimate: float | np.ndarray
    low: float | np.ndarray
    high: float | np.ndarray
    level: float

    @property
    def width(self):
        """high - low."""
        return self.high - self.low

    def __contains__(self, value: float) -> bool:
        return bool(np.all((self.low <= value) & (value <= self.high)))

    def __str__(self):
        return f"{self.estimate:.3g} [{self.low:.3g}, {self.high:.3g}]"


def bootstrap(statistic, *scores, resamples: int = 2000, seed: int = 0) -> np.ndarray:
    """`statistic` of `resamples` data sets that might have been: (resamples, ...).

    From each array of `scores`, and in it from each task, as many runs are drawn with replacement as it has.
    The draws of one task say nothing about another's, which is what makes the bootstrap stratified. Raises
    ValueError for scores that are no numbers, have no run, or not the same tasks.
    """
    scores = checked(scores)
    chance = np.random.default_rng(seed)
    drawn = []
    for each in scores:
        runs, tasks = each.shape
        drawn.append(each[chance.integers(runs, size=(resamples, runs, tasks)), np.arange(tasks)])
    return statistic(*drawn)


def interval(statistic, *scores, level: float = 0.95, resamples: int = 2000, seed: int = 0) -> Interval:
    """`statistic` of the scores with its percentile bootstrap interval. Raises as `bootstrap` does.

    If the whole experiment were repeated, about `level` of such intervals would hold the true value. With
    fewer than about ten runs they are too narrow and hold it less often (three runs: about 75 % of the time):
    what the runs have missed no resample can show.
    """
    values = bootstrap(statistic, *scores, resamples=resamples, seed=seed)
    low, high = np.quantile(values, [(1 - level) / 2, (1 + level) / 2], axis=0)
    return Interval(statistic(*checked(scores)), low, high, level)


def checked(scores) -> list[np.ndarray]:
    """Each of several sets of scores as a float array (runs, tasks)."""
    out = []
    for each in scores:
        array = np.asarray(each, float)
        array = array[:, None] if array.ndim == 1 else array
        if array.ndim != 2 or not array.size:
            raise ValueError(f"scores: given shape {np.shape(each)}, expected (runs, tasks) or (runs,), at "
                             "least one run")
        if not np.isfinite(array).all():
            raise ValueError("scores: given a NaN or an infinity; a run that broke down needs a score too, "
                             "such as the lowest there is")
        out.append(array)
    if len({array.shape[1] for array in out}) > 1:
        raise ValueError(f"scores: given {' and '.join(str(array.shape[1]) for array in out)} tasks, "
                         "expected the same tasks in each")
    return out
