"""Figures and the notebook's dashboard: the numbers drawn are the numbers given, and every axis says what it is."""

import base64
import io
import math

import nbformat
import numpy as np
import pytest
from matplotlib.figure import Figure
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError
from PIL import Image

import puffer_min
from puffer_min.course import plots
from puffer_min.course.dashboard import TEXT, live_html, training_dashboard

STAGES = {"learn": 3.0, "environment": 1.0}


def run(seed=0, updates=20, **changes):
    """A made-up history of one run; its return is 10 times the update's number plus the seed, and unknown at the first."""
    return [{"step": 1000 * i, "total_steps": 1000 * updates, "seconds": 0.5 * i, "sps": 2000.0,
             "episode_return": None if i == 1 else 10.0 * i + seed, "episode_length": 5.0, "score": 0.1 * i,
             "policy_loss": -0.01, "value_loss": 1 / i, "entropy": 1.0, "stages": STAGES, **changes} for i in range(1, updates + 1)]


class Result:
    def __init__(self, history):
        self.history = history


FIGURES = {
    "learning_curve": lambda: plots.plot_learning_curve(run()),
    "learning_curve_of_seeds": lambda: plots.plot_learning_curve({"PPO": [run(0), run(1), run(2)], "other": run(5)}, x="seconds", goal=100),
    "stages": lambda: plots.plot_stages(run()),
    "bars": lambda: plots.plot_bars({"loop": 9e4, "native": 2e7}),
    "returns": lambda: plots.plot_returns({"random": [0, 1, 2], "trained": [5, 6]}),
    "actions": lambda: plots.plot_actions([0, 1, 1, 2], [0.25, 0.5, 0.25], names=("left", "stay", "right")),
    "observation": lambda: plots.plot_observation(np.arange(9, dtype=np.uint8)),
    "coded_observation": lambda: plots.plot_observation(np.eye(4, dtype=np.uint8), names=("empty", "agent")),
}


@pytest.mark.parametrize("name", FIGURES)
def test_every_figure_has_one_title_and_labelled_axes_and_shows_itself_as_png(name):
    figure = FIGURES[name]()
    assert isinstance(figure, Figure)
    axes = figure.axes[0]
    assert axes.get_title(loc="left") and axes.get_xlabel()
    assert axes.get_ylabel() or all(label.get_text() for label in axes.get_yticklabels())
    first, second = (Image.open(io.BytesIO(each._repr_png_())) for each in (figure, FIGURES[name]()))
    assert first.size == second.size and first.tobytes() == second.tobytes()
    assert first.width in (704, 506)                                    # 6.4 or 4.6 inches


def test_a_figure_ignores_what_the_notebook_has_set():
    import matplotlib as mpl
    plain = FIGURES["bars"]()._repr_png_()
    with mpl.rc_context({"axes.grid": False, "font.size": 30}):
        assert FIGURES["bars"]()._repr_png_() == plain
        assert mpl.rcParams["font.size"] == 30


def lines(figure):
    return [line for line in figure.axes[0].lines if len(line.get_xdata()) > 2]


def test_updates_without_a_finished_episode_are_left_out_of_the_curve():
    line, = lines(plots.plot_learning_curve(run()))
    assert line.get_xdata().tolist() == [1000 * i for i in range(2, 21)]
    assert line.get_ydata().tolist() == [10 * i for i in range(2, 21)]


def test_a_result_and_its_history_draw_the_same_curve():
    one, other = (lines(plots.plot_learning_curve(thing))[0].get_xydata() for thing in (run(), Result(run())))
    assert (one == other).all()


def test_several_seeds_are_drawn_as_their_mean_over_the_stretch_that_all_cover():
    figure = plots.plot_learning_curve([run(seed, updates) for seed, updates in ((0, 20), (10, 20), (20, 15))])
    mean = lines(figure)[-1]
    assert mean.get_xdata()[[0, -1]].tolist() == [2000, 15000]
    assert mean.get_ydata() == pytest.approx(mean.get_xdata() / 100 + 10)
    low, high = figure.axes[0].collections[0].get_datalim(figure.axes[0].transData).intervaly
    assert low >= 20 and high <= 170
    assert "3 seeds" in figure.legends[0].get_texts()[0].get_text()
    assert figure.legends[0].get_title().get_text() == "mean and 95 % band over the seeds"


@pytest.mark.parametrize("letters", [3, 20, 40, 75, 150])
def test_the_legend_stays_inside_the_figure_however_long_the_names(letters):
    names = [f"{number} " + "name " * (letters // 5) for number in range(4)]
    figure = plots.plot_learning_curve({name: [run(0), run(1)] for name in names})
    figure._repr_png_()
    legend, canvas = figure.legends[0].get_window_extent(), figure.bbox
    assert canvas.x0 <= legend.x0 and legend.x1 <= canvas.x1 and canvas.y0 <= legend.y0
    assert figure.axes[0].get_window_extent().y0 > legend.y1


def test_the_confidence_interval_covers_the_mean_as_often_as_it_says():
    chance = np.random.default_rng(0)
    samples = chance.normal(3, 1, size=(30, 400))
    low, high = plots.confidence(samples)
    assert 0.90 <= np.mean((low <= 3) & (3 <= high)) <= 0.98


def test_stage_shares_add_up_and_stand_in_the_order_of_the_loop():
    axes = plots.plot_stages(STAGES).axes[0]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["environment", "learn"]
    assert [bar.get_width() for bar in axes.patches] == [0.25, 0.75]


def test_the_stages_of_a_run_weigh_each_update_by_its_seconds():
    history = [{"seconds": 1.0, "stages": {"learn": 1.0, "copy": 0.0}}, {"seconds": 4.0, "stages": {"learn": 0.5, "copy": 0.5}}]
    assert plots.stage_seconds(history) == {"copy": 1.5, "learn": 2.5}


def test_the_stages_of_a_run_are_those_of_the_whole_run_and_not_of_its_last_update():
    history = [{"seconds": 9.0, "stages": {"learn": 1.0, "copy": 0.0}}, {"seconds": 10.0, "stages": {"learn": 0.0, "copy": 1.0}}]
    axes = plots.plot_stages(Result(history)).axes[0]
    assert dict(zip([label.get_text() for label in axes.get_yticklabels()], [bar.get_width() for bar in axes.patches], strict=False)) == {
        "copy": pytest.approx(0.1), "learn": pytest.approx(0.9)}
    assert [text.get_text() for text in axes.texts] == ["10%  (1 s)", "90%  (9 s)"]
    last, = [bar.get_width() for bar in plots.plot_stages(history[-1]["stages"]).axes[0].patches if bar.get_width()]
    assert last == 1                                        # a dict is taken as it is: shares of one update, or seconds


def test_amounts_say_their_value_and_their_ratio_to_the_first():
    axes, = plots.plot_bars({"loop": 90_000, "native": 118_000_000, "slow": 45_000}).axes
    assert [text.get_text() for text in axes.texts] == ["90k", "118M  (1,300×)", "45k  (0.5×)"]


def test_a_logarithmic_axis_has_dots_and_a_plain_one_has_bars_from_zero():
    far, near = (plots.plot_bars({"loop": 9e4, "native": ratio * 9e4}).axes[0] for ratio in (200, 2))
    assert far.get_xscale() == "log" and "logarithmic" in far.get_xlabel() and not far.patches
    assert far.collections[0].get_offsets().tolist() == [[9e4, 0], [1.8e7, 1]]
    assert near.get_xscale() == "linear" and near.get_xlim()[0] == 0 and not near.collections
    assert [bar.get_width() for bar in near.patches] == [9e4, 1.8e5]


def test_action_bars_are_the_frequencies():
    figure = plots.plot_actions([0, 1, 1, 3], [0.25] * 4)
    assert [bar.get_height() for bar in figure.axes[0].patches] == [0.25, 0.5, 0, 0.25]


def test_an_observation_is_drawn_cell_by_cell():
    observation = np.arange(12, dtype=np.uint8)
    image = plots.plot_observation(observation, shape=(3, 4)).axes[0].images[0]
    assert (image.get_array() == observation.reshape(3, 4)).all()


@pytest.mark.parametrize("draw, sentence", [
    (lambda: plots.plot_learning_curve([]), "given an empty history, expected at least one update"),
    (lambda: plots.plot_learning_curve(3), "given int, expected the result of puffer_min.train"),
    (lambda: plots.plot_learning_curve(run(episode_return=None)), "no update holds both 'step' and 'episode_return'"),
    (lambda: plots.plot_stages({}), "stages: given none"),
    (lambda: plots.plot_bars({"a": 0}), "expected at least one number, all above 0"),
    (lambda: plots.plot_returns({"a": []}), "expected at least one number in each group"),
    (lambda: plots.plot_actions([5], [0.5, 0.5]), "expected at least one, from 0 to 1"),
    (lambda: plots.plot_observation(np.zeros((2, 2, 2))), "expected one agent's grid of two axes"),
    (lambda: training_dashboard()({"step": 1}), "expected also total_steps, seconds, sps"),
    (lambda: training_dashboard().figure(), "has seen no update yet"),
])
def test_bad_input_is_one_sentence(draw, sentence):
    with pytest.raises((ValueError, TypeError), match=sentence):
        draw()


# ---------------------------------------------------------------------- the dashboard

def test_outside_a_notebook_the_dashboard_keeps_the_history_and_prints_nothing(capsys):
    dashboard = training_dashboard("cartpole")
    for update in run():
        dashboard(update)
    assert capsys.readouterr() == ("", "")
    assert dashboard.history == run()


def test_the_final_figure_holds_every_curve_and_the_time_of_all_updates():
    dashboard = training_dashboard()
    for update in run():
        dashboard(update)
    axes = {place.get_title(loc="left"): place for place in dashboard.figure().axes}
    assert set(axes) == {"episode return", "episode length (steps)", "score", "steps/s", "policy loss", "value loss", "entropy",
                         "where the time went"}
    assert axes["episode return"].lines[0].get_ydata()[-1] == 200
    assert axes["value loss"].lines[0].get_ydata()[-1] == 1 / 20
    assert [bar.get_width() for bar in axes["where the time went"].patches] == [0.25, 0.75]


def test_curves_that_are_the_same_share_a_panel_and_empty_ones_have_none():
    dashboard = training_dashboard()
    for update in run(score=None, entropy=5.0):
        dashboard(update)
    titles = [place.get_title(loc="left") for place in dashboard.figure().axes]
    assert "episode length (steps) =\nentropy" in titles and not any("score" in title for title in titles)


def test_the_live_panel_names_progress_and_survives_numbers_that_are_missing():
    page = live_html("a <b> name", run(updates=4)[:2])
    assert "width:50.0%" in page and "2.00k of 4.00k" in page and "a &lt;b&gt; name" in page
    assert "<polyline" in page
    first = run()[0] | {"value_loss": math.nan, "stages": {}}
    assert "–" in live_html("first", [first])
    assert "–" in live_html("bare", [{name: first[name] for name in ("step", "total_steps", "seconds", "sps")}])


def test_a_real_run_fills_the_dashboard_and_the_plots(tmp_path):
    dashboard = training_dashboard("squared")
    result = puffer_min.train("squared", total_steps=400_000, run_dir=tmp_path, dashboard=dashboard)
    assert dashboard.history == result.history
    curves = {place.get_title(loc="left"): place.lines[0].get_ydata() for place in dashboard.figure().axes if place.lines}
    assert len(curves) == 7 and all(len(curve) >= 2 for curve in curves.values())
    assert curves["steps/s"].tolist() == [update["sps_now"] for update in result.history]
    assert sum(plots.stage_seconds(result).values()) == pytest.approx(result.history[-1]["seconds"])
    assert lines(plots.plot_learning_curve(result, x="seconds", y="score"))


NOTEBOOK = ["from puffer_min.course import training_dashboard\n"
            "update = lambda i: dict(step=i, total_steps=10, seconds=i / 10, sps=10.0, episode_return=float(i))",
            "dashboard = training_dashboard()\nfor i in range(1, 11):\n    dashboard(update(i))",
            "dashboard = training_dashboard()\nfor i in range(1, 4):\n    dashboard(update(i))",
            "dashboard = training_dashboard()\ndashboard(update(1))\nraise KeyboardInterrupt"]


def test_in_a_notebook_one_output_with_a_constant_text_is_left_however_the_training_ended():
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in NOTEBOOK])
    with pytest.raises(CellExecutionError, match="KeyboardInterrupt"):
        NotebookClient(notebook, timeout=120, kernel_name="python3").execute()
    for cell in notebook.cells[1:]:
        output = cell.outputs[0]
        assert [each.output_type for each in cell.outputs if each.output_type != "error"] == ["display_data"]
        assert set(output.data) == {"text/plain", "image/png"} and output.data["text/plain"] == TEXT
        assert Image.open(io.BytesIO(base64.b64decode(output.data["image/png"]))).size == (880, 253)
        assert output.metadata["image/png"]["alt"] == "Training: episode return, steps/s over the steps of the run."


def test_a_described_figure_carries_its_alt_text_into_the_notebook():
    figure = plots.blank()[0]
    assert isinstance(figure._repr_png_(), bytes)
    picture, metadata = figure.described("A line that rises.")._repr_png_()
    assert picture.startswith(b"\x89PNG") and metadata == {"alt": "A line that rises."}
