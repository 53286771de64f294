"""`Ladder`: predictions made beforehand, figures measured alike, a verdict."""

import math

import pytest

from puffer_min.course import Ladder
from puffer_min.course.bench import UnlikeConditions, bench
from puffer_min.measure import Conditions, Measurement


def measured(rate, **conditions):
    return Measurement("thing", (rate,), 1, Conditions(**({"unit": "agent-steps", "num_envs": 1, "num_agents": 10, "profiled": False,
                                                           "debug": False, "python": "3.11"} | conditions)), 1.0)


@pytest.fixture
def ladder():
    ladder = Ladder("skirmish")
    ladder.measure("python", measured(1e4))
    ladder.predict("types", 30)
    ladder.measure("types", measured(2e5))
    return ladder


def test_a_rung_is_compared_with_the_one_before_and_with_the_first(ladder):
    ladder.measure("noexcept", measured(3e5))
    assert [rung.times for rung in ladder] == [None, pytest.approx(20), pytest.approx(1.5)]
    assert [row[4] for row in ladder.rows()] == ["", "20 x", "30 x"]


@pytest.mark.parametrize("predicted, rate, verdict", [
    (2, 2e4, "as predicted"), (2, 2.4e4, "as predicted"), (2, 1.62e4, "as predicted"), (2, 8e4, "4 times the predicted gain"),
    (10, 5e4, "50% of the predicted gain"),
    (100, 2e3, "1/500 of the predicted gain"), (0.5, 6.25e6, "1,200 times the predicted gain"), (3, 1.05e4, "no gain"), (1, 1.05e4, "as predicted")])
def test_the_verdict_says_whether_the_prediction_held(predicted, rate, verdict):
    ladder = Ladder()
    ladder.measure("first", measured(1e4))
    ladder.predict("next", predicted)
    assert ladder.measure("next", measured(rate)).verdict == verdict


def test_there_is_no_verdict_without_a_prediction(ladder):
    assert ladder.measure("more", measured(4e5)).verdict == "" and ladder["python"].verdict == ""


def test_a_prediction_made_after_the_measurement_is_refused(ladder):
    with pytest.raises(ValueError, match="'types' has been measured"):
        ladder.predict("types", 20)
    assert ladder.predict("types", 30).predicted == 30              # a cell that runs again says the same
    ladder.forget("types")
    ladder.predict("types", 20)
    assert ladder["types"].measurement is None


@pytest.mark.parametrize("condition, value", [("profiled", True), ("num_envs", 64), ("num_agents", 20), ("unit", "ticks"), ("debug", True)])
def test_a_figure_measured_under_other_conditions_is_refused(ladder, condition, value):
    with pytest.raises(UnlikeConditions, match=f"next and types were measured under different conditions.*{condition}"):
        ladder.measure("next", measured(1e6, **{condition: value}))
    assert "next" not in [rung.name for rung in ladder]


def test_a_rung_may_change_one_condition_on_purpose(ladder):
    ladder.measure("batch", measured(9e6, num_envs=64, num_agents=640), changing="num_envs")
    assert ladder["batch"].times == pytest.approx(45) and "changes num_envs" in repr(ladder)
    ladder.measure("later", measured(9e6, num_envs=64, num_agents=640))
    with pytest.raises(UnlikeConditions):
        ladder.measure("back", measured(9e6))
    with pytest.raises(ValueError, match="changing='batch' given, expected one of unit, num_envs"):
        ladder.measure("again", measured(1.0), changing="batch")


def test_measuring_again_replaces_the_figure_and_those_that_lean_on_it(ladder):
    ladder.measure("more", measured(4e5))
    ladder.measure("types", measured(1e5))
    assert (ladder["types"].times, ladder["more"].times) == (pytest.approx(10), pytest.approx(4))
    with pytest.raises(UnlikeConditions):
        ladder.measure("types", measured(1e5, profiled=True))


def test_a_thing_is_measured_and_a_measurement_taken_as_it_is():
    ladder = Ladder()
    rung = ladder.measure("sum", lambda: sum(range(10)), seconds=0.01, unit="sums")
    assert rung.measurement.unit == "sums" and rung.measurement.name == "sum"
    taken = bench(lambda: None, seconds=0.01, unit="sums")
    assert ladder.measure("nothing", taken).measurement.rates == taken.rates
    with pytest.raises(TypeError, match="expected one thing"):
        ladder.measure("two", {"a": lambda: 1, "b": lambda: 2}, seconds=0.01)


def test_the_table_holds_prediction_measurement_verdict_and_reason(ladder):
    ladder.explain("types", "no Python objects in the loop")
    ladder.predict("next", 2)
    lines = repr(ladder).splitlines()
    assert lines[0] == "skirmish (num_envs=1, num_agents=10, Python 3.11)"
    assert lines[3].split("  ")[0] == "types" and "30 x" in lines[3] and "200 k agent-steps/s" in lines[3]
    assert "67% of the predicted gain  no Python objects in the loop" in lines[3]
    assert lines[4].split() == ["next", "2", "x"]
    page = ladder._repr_html_()
    assert "no Python objects in the loop" in page and "<style" not in page


def test_a_ladder_of_profiled_figures_says_that_they_are_no_speeds():
    ladder = Ladder("hooked")
    ladder.measure("first", measured(1e3, profiled=True))
    assert "PROFILED" in repr(ladder) and "relative only, no speeds" in repr(ladder)


def test_an_untouched_slider_predicts_its_default_and_says_so(ladder):
    ladder.slider("next", default=5, low=1, high=100)
    assert ladder["next"].predicted == 5 and "5 x (default)" in repr(ladder)
    assert ladder.measure("next", measured(1e6)).verdict == "as predicted"


def test_a_moved_slider_predicts_until_the_rung_is_measured(ladder):
    label, handle = ladder.slider("next", default=5, low=1, high=100).children
    handle.value = 10.0
    assert ladder["next"].predicted == pytest.approx(10) and "default" not in repr(ladder)
    assert "predicted 10 times the rung before" in label.value
    ladder.measure("next", measured(1e6))
    handle.value = 50.0
    assert ladder["next"].predicted == pytest.approx(10) and "this prediction stands" in label.value


def test_a_reader_of_the_saved_notebook_sees_the_prediction_and_the_sliders_range(ladder):
    data = ladder.slider("next", default=5, low=1, high=100)._repr_mimebundle_()
    assert data["text/plain"] == "next: predicted 5 times the rung before (slider from 1 to 100)"


def test_the_slider_shows_a_long_name_whole_and_the_prediction_with_its_three_digits(ladder):
    name = "a rung with a name that is far too long for the description of a slider"
    label, handle = ladder.slider(name, default=64, low=0.5, high=1000).children
    assert label.value.startswith(f"{name}: predicted 64 times") and name not in handle.description
    handle.value = 123.456
    assert ladder[name].predicted == 123 and "predicted 123 times" in label.value
    assert handle.readout_format == ".3r"                          # d3: three digits, never 1.2e+2


def test_bad_input_is_one_sentence(ladder):
    with pytest.raises(ValueError, match="next: predicted 0, expected a factor above 0"):
        ladder.predict("next", 0)
    with pytest.raises(ValueError, match="default=500 given, expected it between low=0.5 and high=100"):
        ladder.slider("next", default=500)
    with pytest.raises(ValueError, match="no rung 'tpes' in skirmish: there is python, types"):
        ladder.explain("tpes", "")
    with pytest.raises(ValueError, match="nothing is measured yet"):
        Ladder("empty").plot()


def test_the_plot_has_labelled_rows_their_figures_and_the_predictions(ladder):
    ladder.predict("unmeasured", 2)
    figure = ladder.plot()
    (axes,) = figure.axes
    assert axes.get_xlabel() == "agent-steps/s, and times the rung before (logarithmic)" and axes.get_xscale() == "log"
    assert not axes.patches                                             # dots: on this axis a bar's length means nothing
    assert [dots.get_offsets().tolist() for dots in axes.collections] == [[[1e4, 0], [2e5, 1]], [[3e5, 1]]]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["python", "types"]
    assert [text.get_text() for text in axes.texts] == ["10k", "200k  (20×)"]


def test_a_logarithmic_plot_names_every_line_it_draws(ladder):
    axes = ladder.plot().axes[0]
    low, high = axes.get_xlim()
    ticks = [tick for tick in axes.get_xticks() if low <= tick <= high]
    assert 3 <= len(ticks) <= 9 and not len(axes.get_xticks(minor=True))
    ladder.measure("far", measured(3e8))
    low, high = (axes := ladder.plot().axes[0]).get_xlim()
    assert all(tick == 10 ** round(math.log10(tick)) for tick in axes.get_xticks() if low <= tick <= high)


def test_rungs_that_are_close_are_plotted_on_a_plain_axis():
    ladder = Ladder()
    ladder.measure("a", measured(1e4))
    ladder.measure("b", measured(2e4))
    assert ladder.plot().axes[0].get_xscale() == "linear" and [bar.get_width() for bar in ladder.plot().axes[0].patches] == [1e4, 2e4]
