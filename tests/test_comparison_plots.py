"""Figures that compare: the dots are the runs, the intervals those of `puffer_min.course.statistics`, the front what nothing beats."""

import io

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as some
from PIL import Image

from puffer_min.course import comparison_plots as plots
from puffer_min.course import plot_pareto
from puffer_min.course.statistics import interval, iqm, mean, performance_profile

A, B = [3.0, 5.0, 4.0, 9.0], [2.0, 2.5, 3.0]
FIGURES = {
    "seeds": lambda: plots.plot_seeds({"A": A, "B": B}, title="Two methods"),
    "profiles": lambda: plots.plot_profiles({"A": np.outer(A, [1, 2]), "B": B}, title="Two methods"),
    "intervals": lambda: plots.plot_intervals({"A": interval(iqm, A), "B": interval(mean, B)}, title="Two", label="return", reference=3),
    "pareto": lambda: plots.plot_pareto([1, 2, 3], [5, 4, 7], title="Trials", chosen=2),
}


@pytest.mark.parametrize("name", FIGURES)
def test_every_figure_has_one_title_and_labelled_axes_and_is_the_same_each_time(name):
    axes = FIGURES[name]().axes[0]
    assert axes.get_title(loc="left") and axes.get_xlabel()
    assert axes.get_ylabel() or all(label.get_text() for label in axes.get_yticklabels())
    first, second = (Image.open(io.BytesIO(FIGURES[name]()._repr_png_())) for _ in range(2))
    assert first.tobytes() == second.tobytes() and first.width == 704


def test_every_run_is_a_dot_and_the_diamond_is_the_iqm_with_its_interval():
    axes = FIGURES["seeds"]().axes[0]
    dots = [sorted(each.get_offsets()[:, 0]) for each in axes.collections if len(each.get_offsets()) in (3, 4)]
    assert dots == [sorted(A), sorted(B)]
    found = interval(iqm, A)
    assert axes.lines[0].get_xdata()[0] == found.estimate
    bars = [each.get_segments()[0][:, 0] for each in axes.collections if hasattr(each, "get_segments")]
    assert np.allclose(bars[0], [found.low, found.high])
    assert [label.get_text() for label in axes.get_yticklabels()] == ["A\n(4 seeds)", "B\n(3 seeds)"]


def test_a_profile_falls_from_all_runs_to_none():
    line = FIGURES["profiles"]().axes[0].lines[1]
    thresholds, shares = line.get_data()
    assert shares[0] == 1 and shares[-1] == 0 and (np.diff(shares) <= 0).all()
    assert shares == pytest.approx(performance_profile(np.array(B)[:, None], thresholds))


def beaten(i, trials):
    cost, score = trials[i]
    return any(c <= cost and s >= score and (c, s) != (cost, score) for c, s in trials)


@given(some.lists(some.tuples(some.integers(0, 5), some.integers(0, 5)), min_size=1, max_size=12))
def test_the_front_is_what_no_trial_beats_cheapest_first(trials):
    front = plots.pareto_front(*zip(*trials, strict=False)).tolist()
    assert sorted(front) == [i for i in range(len(trials)) if not beaten(i, trials)]
    assert [trials[i] for i in front] == sorted(trials[i] for i in front)


def test_the_course_offers_them_by_name():
    assert plot_pareto is plots.plot_pareto


@pytest.mark.parametrize("draw, sentence", [
    (lambda: plots.plot_seeds({"A": []}, title=""), "expected name -> scores of at least one run"),
    (lambda: plots.plot_profiles({}, title=""), "groups: given nothing"),
    (lambda: plots.plot_intervals({}, title="", label=""), "intervals: given nothing"),
    (lambda: plots.plot_pareto([1, 2], [1], title=""), "as many of one as of the other")])
def test_bad_input_is_one_sentence(draw, sentence):
    with pytest.raises(ValueError, match=sentence):
        draw()
