"""Figures that compare: runs of several seeds, methods over several tasks, trials of a sweep.

They are drawn as `plots.py` draws.

    plot_seeds({"A": returns_a, "B": returns_b})                 every run; an aggregate and its interval
    plot_profiles({"A": scores_a, "B": scores_b})                share of the runs above each score
    plot_intervals({"A over B": interval(...)}, reference=0.5)   intervals side by side
    plot_pareto(seconds, scores)                                 cost and score of each trial, and the front
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, PercentFormatter

from puffer_min.course.plots import COLOURS, blank, in_style, legend_below, plain_ticks
from puffer_min.course.statistics import Interval, interval, iqm, performance_profile


def draw_interval(axes, found: Interval, height: float, colour: str) -> None:
    """A diamond at the estimate, whiskers to the ends."""
    axes.errorbar(found.estimate, height, xerr=[[found.estimate - found.low], [found.high - found.estimate]],
                  fmt="D", color=colour,
                  ecolor="black", markeredgecolor="black", markersize=6, capsize=4, zorder=3)


@in_style
def plot_seeds(groups: Mapping[str, Sequence[float]], *, title: str, label: str = "score of a run",
               statistic: Callable = iqm, name: str = "interquartile mean") -> Figure:
    """One dot a run, a row for each group, and above them `statistic` of the group, called `name`, with its
    95 % bootstrap interval.
    """
    if not groups or any(len(np.ravel(values)) == 0 for values in groups.values()):
        raise ValueError(f"groups: given {list(groups) or 'nothing'}, expected name -> scores of at least "
                         "one run")
    figure, axes = blank(height=1.2 + 0.62 * len(groups))
    chance = np.random.default_rng(0)
    for row, values in enumerate(groups.values()):
        values, colour = np.asarray(values, float).ravel(), COLOURS[row % len(COLOURS)]
        axes.scatter(values, row + chance.uniform(0.02, 0.28, len(values)), s=18, color=colour, alpha=0.55,
                     linewidth=0)
        found = interval(statistic, values)
        draw_interval(axes, found, row - 0.16, colour)
        axes.annotate(f"{found.estimate:.3g}", (found.estimate, row - 0.16), xytext=(0, 7),
                      textcoords="offset points", ha="center", fontsize=9)
    axes.set_yticks(range(len(groups)),
                    [f"{group}\n({np.size(values)} seeds)" for group, values in groups.items()])
    axes.set_ylim(len(groups) - 0.5, -0.75)
    axes.grid(axis="y", visible=False)
    axes.xaxis.set_major_formatter(plain_ticks)
    axes.set_xlabel(f"{label} (diamond: {name}, 95 % interval)")
    axes.set_title(title)
    return figure


@in_style
def plot_profiles(groups: Mapping[str, np.ndarray], *, title: str, label: str = "score") -> Figure:
    """Share of all runs on all tasks above each score, with 95 % bands. groups: name -> scores (runs, tasks)
    or (runs,).
    """
    if not groups:
        raise ValueError("groups: given nothing, expected name -> scores")
    every = np.concatenate([np.ravel(scores) for scores in groups.values()])
    thresholds = np.linspace(min(0, every.min()), every.max(), 201)
    figure, axes = blank()
    for colour, (name, scores) in zip(COLOURS, groups.items(), strict=False):
        found = interval(partial(performance_profile, thresholds=thresholds), scores)
        axes.plot(thresholds, found.estimate, color=colour, label=f"{name} ({np.size(scores)} runs)")
        axes.fill_between(thresholds, found.low, found.high, color=colour, alpha=0.18, linewidth=0)
    axes.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    axes.xaxis.set_major_formatter(plain_ticks)
    axes.set_xlabel(label)
    axes.set_ylabel("runs that score higher")
    axes.set_title(title)
    legend_below(figure, axes, title="95 % bands")
    return figure


@in_style
def plot_intervals(intervals: Mapping[str, Interval], *, title: str, label: str,
                   reference: float | None = None, reference_name: str = "no difference") -> Figure:
    """Intervals of one number each, side by side, and a dashed line at `reference`."""
    if not intervals:
        raise ValueError("intervals: given nothing, expected name -> Interval")
    figure, axes = blank(height=1.3 + 0.42 * len(intervals))
    for row, found in enumerate(intervals.values()):
        draw_interval(axes, found, row, COLOURS[row % len(COLOURS)])
    if reference is not None:
        axes.axvline(reference, color="#555555", linestyle="--", linewidth=1.2)
        axes.annotate(reference_name, (reference, 1), xycoords=("data", "axes fraction"), xytext=(4, -10),
                      textcoords="offset points",
                      color="#555555", fontsize=9)
    axes.set_yticks(range(len(intervals)), list(intervals))
    axes.set_ylim(len(intervals) - 0.5, -0.8)
    axes.grid(axis="y", visible=False)
    axes.xaxis.set_major_formatter(plain_ticks)
    axes.set_xlabel(f"{label} (95 % interval)")
    axes.set_title(title)
    return figure


def pareto_front(costs, scores) -> np.ndarray:
    """Indices of the trials that no other beats, cheapest first. A trial is beaten by one no dearer and no
    worse, and better in one.
    """
    costs, scores = np.asarray(costs, float), np.asarray(scores, float)
    if costs.ndim != 1 or costs.shape != scores.shape or not len(costs):
        raise ValueError(f"costs, scores: given shapes {costs.shape} and {scores.shape}, "
                         "expected as many of one as of the other, at least one")
    order = np.lexsort((-scores, costs))
    best = np.maximum.accumulate(scores[order])
    first = np.concatenate([[True], (scores[order] > np.concatenate([[-np.inf], best[:-1]]))[1:]])
    equal = np.concatenate([[False], (np.diff(costs[order]) == 0) & (np.diff(scores[order]) == 0)])
    # the very same cost and score: neither beats the other
    for place in np.flatnonzero(equal):
        first[place] |= first[place - 1]
    return order[first]


@in_style
def plot_pareto(costs, scores, *, title: str, cost: str = "seconds of wall time", score: str = "score",
                chosen: int | None = None) -> Figure:
    """Each trial by what it cost and what it brought; the Pareto front is a line, and `chosen`, an index, a
    ring.
    """
    costs, scores, front = np.asarray(costs, float), np.asarray(scores, float), pareto_front(costs, scores)
    figure, axes = blank()
    axes.scatter(costs, scores, color=COLOURS[5], s=30, linewidth=0, label="a trial")
    axes.step(costs[front], scores[front], where="post", color=COLOURS[1], marker="o", markersize=6,
              label="Pareto front: nothing is better and cheaper")
    if chosen is not None:
        axes.scatter(costs[chosen], scores[chosen], s=170, facecolors="none", edgecolors="black",
                     linewidths=1.8, label="chosen", zorder=3)
    axes.set_xlim(0, costs.max() * 1.05)
    axes.margins(y=0.09)
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_locator(MaxNLocator(6))
        axis.set_major_formatter(plain_ticks)
    axes.set_xlabel(cost)
    axes.set_ylabel(score)
    axes.set_title(title)
    legend_below(figure, axes)
    return figure
