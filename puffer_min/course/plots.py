"""The course's figures: one message each, labelled axes with units, one size, colours that colour-blind
readers tell apart.

    plot_learning_curve(result)                                  one run
    plot_learning_curve({"PPO": [run0, run1, run2]})             several seeds: mean and band
    plot_stages(result)                                          where the wall time went
    plot_bars({"loop": 9e4, "native": 2e7}, unit="steps/s")      speeds: bars, or dots on a logarithmic axis
    plot_returns({"random": returns0, "trained": returns1})      all episodes; the mean and its interval
    plot_actions(actions, probabilities)                         how often each action came, and should
    plot_observation(env.observations[0])                        what the agent sees, as a heat map

Every function returns a matplotlib `Figure` of its own, outside pyplot: the last expression of a cell shows
it once, and `figure.savefig("curve.png")` keeps it. A run is what `puffer_min.train` returns, or its history
(a list of dicts).
"""

from __future__ import annotations

import io
import textwrap
from collections.abc import Mapping, Sequence

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import (
    EngFormatter,
    FuncFormatter,
    LogLocator,
    MaxNLocator,
    NullLocator,
    PercentFormatter,
)

from puffer_min.clock import STAGES
from puffer_min.measure import quantity

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
"""Okabe and Ito's palette, the best separated first."""

STYLE = {
    "font.size": 10, "axes.titlesize": 11, "axes.titleweight": "bold", "axes.titlelocation": "left",
    "axes.labelsize": 10,
    "axes.spines.top": False, "axes.spines.right": False, "axes.grid": True, "axes.axisbelow": True,
    "grid.color": "#E3E6EA",
    "axes.prop_cycle": mpl.cycler(color=COLOURS), "lines.linewidth": 1.8, "legend.frameon": False,
    "legend.fontsize": 9,
    "figure.facecolor": "white", "axes.facecolor": "white", "savefig.facecolor": "white",
    "image.cmap": "cividis",
}
WIDTH, HEIGHT, DPI = 6.4, 3.4, 110          # inches, inches, pixels an inch
TENFOLD = 10                                # numbers further apart than this get a logarithmic axis

AXES = {
    "step": "steps of all agents", "seconds": "seconds of wall time", "sps": "steps/s", "sps_now": "steps/s",
    "episode_return": "episode return", "episode_length": "episode length (steps)", "score": "score",
}


@FuncFormatter
def plain_ticks(value: float, _=None) -> str:
    """Tick labels: 100k, 2M, 0.5, never 500m."""
    return EngFormatter(sep="")(value) if abs(value) >= 1000 else f"{value:g}"


def in_style(draw):
    """Decorator: draw in the course's style, whatever the notebook has set."""
    def styled(*args, **kwargs):
        with mpl.rc_context():
            mpl.rcdefaults()
            mpl.rcParams.update(STYLE)
            return draw(*args, **kwargs)
    styled.__name__, styled.__doc__, styled.__wrapped__ = draw.__name__, draw.__doc__, draw
    return styled


class Plot(Figure):
    """A figure that any notebook shows as PNG, whether or not pyplot was imported, and that looks the same in
    all of them.
    """

    alt = ""

    @in_style
    def draw(self, renderer):
        # a long title goes on in a second line, not over the edge
        for axes in self.axes:
            axes.set_title(axes.get_title(loc="left"), loc="left", wrap=True)
        super().draw(renderer)

    @in_style
    def savefig(self, *args, **kwargs):
        super().savefig(*args, **kwargs)

    def described(self, alt: str) -> Plot:
        """The same figure with an alt text: what a reader who does not see it should know."""
        self.alt = alt
        return self

    def _repr_png_(self):
        """The picture, and with an alt text the metadata that nbconvert and JupyterLab show."""
        file = io.BytesIO()
        self.savefig(file, format="png", dpi=self.dpi)
        return (file.getvalue(), {"alt": self.alt}) if self.alt else file.getvalue()


def blank(rows: int = 1, columns: int = 1, height: float = HEIGHT, width: float = WIDTH, **options):
    """A figure in the course's style and its axes; called by functions that are `in_style`."""
    figure = Plot(figsize=(width, height), dpi=DPI, layout="constrained")
    figure.get_layout_engine().set(w_pad=0.08, h_pad=0.08)
    return figure, figure.subplots(rows, columns, **options)


def history_of(run) -> list[dict]:
    """The list of update dicts of a run; raises TypeError or ValueError if it is none or empty."""
    history = getattr(run, "history", run)
    if not isinstance(history, Sequence) or not all(isinstance(row, Mapping) for row in history):
        raise TypeError(f"run: given {type(run).__name__}, expected the result of puffer_min.train or its "
                        "history, a list of dicts")
    if not history:
        raise ValueError("run: given an empty history, expected at least one update; train longer")
    return list(history)


def is_run(thing) -> bool:
    return hasattr(thing, "history") or (isinstance(thing, Sequence) and len(thing) > 0
                                         and isinstance(thing[0], Mapping))


def runs_of(group) -> list:
    """One run or several as a list; raises TypeError or ValueError if there is none."""
    if is_run(group) or not isinstance(group, Sequence) or isinstance(group, str) or len(group) == 0:
        history_of(group)
        return [group]
    return list(group)


def series(run, x: str, y: str) -> tuple[np.ndarray, np.ndarray]:
    """x and y of a run as float arrays, without the updates at which no episode had ended (None or NaN)."""
    rows = [(row[x], row[y]) for row in history_of(run) if row.get(x) is not None and row.get(y) is not None]
    points = np.array(rows, float).reshape(-1, 2)
    points = points[np.isfinite(points).all(1)]
    if not len(points):
        raise ValueError(f"run: no update holds both {x!r} and {y!r}; there are "
                         f"{', '.join(sorted(history_of(run)[0]))}")
    return points[:, 0], points[:, 1]


def confidence(values: np.ndarray, level: float = 0.95,
               resamples: int = 1000) -> tuple[np.ndarray, np.ndarray]:
    """Percentile bootstrap interval of the mean over axis 0: (low, high)."""
    draws = np.random.default_rng(0).integers(len(values), size=(resamples, len(values)))
    tail = 50 * (1 - level)
    return tuple(np.percentile(values[draws].mean(1), [tail, 100 - tail], axis=0))


def legend_below(figure: Figure, axes, title: str | None = None) -> None:
    """The legend under the axes, in as many columns (three at most) as its names fit into the figure's width;
    long names are broken.
    """
    handles, names = axes.get_legend_handles_labels()
    if not names:
        return
    names = [textwrap.fill(name, 72) for name in names]
    letters = max(len(line) for name in names for line in name.split("\n"))
    # a letter of size 9 and a line's sample, in inches
    columns = int(figure.get_figwidth() / (0.075 * letters + 0.55))
    figure.legend(handles, names, loc="outside lower center", ncols=min(3, len(names), max(1, columns)),
                  title=title, title_fontsize=9)


@in_style
def plot_learning_curve(runs, *, x: str = "step", y: str = "episode_return", title: str | None = None,
                        goal: float | None = None, goal_name: str = "solved") -> Figure:
    """How `y` grows with `x` while training: one line a run, or for several seeds their mean with a 95 %
    band.

    runs   one run, a list of runs (seeds of one setting), or a dict of name -> run or list of runs
    x      "step" or "seconds"; any number kept in the history will do
    y      "episode_return", "episode_length", "score", "sps" or another number of the history
    goal   a horizontal line at this height, labelled `goal_name`
    The band is a bootstrap confidence interval of the mean over seeds, on the stretch of `x` that all seeds
    cover.
    """
    runs = runs if isinstance(runs, Mapping) else {"": runs}
    figure, axes = blank()
    bands = None
    for (name, group), colour in zip(runs.items(), COLOURS * (1 + len(runs) // len(COLOURS)), strict=False):
        curves = [series(run, x, y) for run in runs_of(group)]
        if len(curves) == 1:
            axes.plot(*curves[0], color=colour, label=name or None)
            continue
        grid = np.linspace(max(xs[0] for xs, _ in curves), min(xs[-1] for xs, _ in curves), 200)
        values = np.stack([np.interp(grid, xs, ys) for xs, ys in curves])
        for xs, ys in curves if len(curves) <= 10 else ():
            axes.plot(xs, ys, color=colour, alpha=0.25, linewidth=0.7)
        axes.fill_between(grid, *confidence(values), color=colour, alpha=0.22, linewidth=0)
        axes.plot(grid, values.mean(0), color=colour, label=f"{name} ({len(curves)} seeds)".strip())
        bands = "mean and 95 % band over the seeds"
    if goal is not None:
        axes.axhline(goal, color="#555555", linestyle="--", linewidth=1.2)
        axes.annotate(f"{goal_name} ({goal:g})", (0.01, goal), xycoords=("axes fraction", "data"),
                      xytext=(0, 3),
                      textcoords="offset points", color="#555555", fontsize=9)
    axes.set_xlabel(AXES.get(x, x))
    axes.set_ylabel(AXES.get(y, y))
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter(plain_ticks)
    legend_below(figure, axes, title=bands)
    axes.set_title(title or f"{AXES.get(y, y).split(' (')[0].capitalize()} while training")
    return figure


def stage_seconds(stages) -> dict[str, float]:
    """Stage -> seconds over the whole run, in the order of the loop; from a run, or from a dict, whose
    numbers are taken as they are.

    The history of a run says of each update its seconds so far and the share that each stage had of them: an
    update of two seconds weighs twice as much as one of one.
    """
    total: dict[str, float] = {}
    if isinstance(stages, Mapping):
        total = {name: float(seconds) for name, seconds in stages.items()}
    else:
        before = 0.0
        for row in history_of(stages):
            parts, spent, before = row.get("stages") or {}, row["seconds"] - before, row["seconds"]
            for name, part in parts.items():
                total[name] = total.get(name, 0.0) + spent * part / (sum(parts.values()) or 1)
    if sum(total.values()) <= 0:
        raise ValueError("stages: given none, expected a run, or a number for each stage, such as "
                         "{'environment': 1.2, 'learn': 3.4}")
    return dict(sorted(total.items(),
                       key=lambda item: (STAGES.index(item[0]) if item[0] in STAGES else len(STAGES),
                                         item[0])))


def draw_shares(axes, seconds: Mapping[str, float], *, say_seconds: bool = False) -> None:
    """Horizontal bars: the share of each stage, with its number and, on request, its seconds."""
    total = sum(seconds.values())
    shares = [value / total for value in seconds.values()]
    bars = axes.barh(list(seconds), shares, color=COLOURS[0], height=0.65)
    labels = ["<1%" if 0 < share < 0.005 else f"{share:.0%}" for share in shares]
    if say_seconds:
        labels = [f"{label}  ({value:.2g} s)" if value else label
                  for label, value in zip(labels, seconds.values(), strict=True)]
    axes.bar_label(bars, labels, padding=3, fontsize=9)
    axes.invert_yaxis()
    axes.set_xlim(0, max(shares) * (1.3 if say_seconds else 1.18))
    axes.grid(axis="y", visible=False)
    axes.xaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    axes.set_xlabel("share of wall time")


@in_style
def plot_stages(stages, *, title: str = "Where the time goes") -> Figure:
    """Share of the wall time of each stage of the loop.

    stages   a run: the shares of its whole wall time, and the seconds, from the first update to the last; or
             a dict of stage -> seconds, or share, of whatever was measured. `history[-1]["stages"]` is such a
             dict, of the last update alone.
    """
    figure, axes = blank(height=2.6)
    draw_shares(axes, stage_seconds(stages), say_seconds=not isinstance(stages, Mapping))
    axes.set_title(title)
    return figure


def draw_amounts(axes, values: Mapping[str, float], labels: Sequence[str], unit: str, *,
                 log: bool, colours, others: Sequence[float] = ()) -> None:
    """A row for each amount, with its label at the right edge: bars from zero, or on a logarithmic axis,
    where the length of a bar would mean nothing, dots. `others`: further numbers that the axis must cover.
    """
    rows, amounts = range(len(values)), list(values.values())
    low, high = min([*amounts, *others]), max([*amounts, *others])
    if log:
        axes.set_xscale("log")
        axes.set_xlim(low / 1.6, high * 1.6)
        axes.scatter(amounts, rows, s=64, color=colours, zorder=3)
        axes.grid(axis="y", linestyle=":", color="#B8BEC6")
        axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5) if high < 50 * low else (1,)))
        axes.xaxis.set_minor_locator(NullLocator())
    else:
        axes.barh(rows, amounts, color=colours, height=0.6)
        axes.set_xlim(0, high * 1.05)
        axes.xaxis.set_major_locator(MaxNLocator(6))
        axes.grid(axis="y", visible=False)
    axes.set_yticks(rows, [textwrap.fill(name, 30) for name in values])
    axes.set_ylim(len(values) - 0.45, -0.55)
    for row, label in enumerate(labels):
        axes.annotate(label, (1.02, row), xycoords=("axes fraction", "data"), va="center", fontsize=9)
    axes.xaxis.set_major_formatter(plain_ticks)
    axes.set_xlabel(f"{unit} (logarithmic)" if log else unit)


def amount(value: float) -> str:
    """A number with three digits: 8.27M, 90.1k, 0.96."""
    return quantity(value).replace(" ", "")


def times(ratio: float) -> str:
    """A ratio with two digits that count: 1,300×, 20×, 0.5×."""
    return f"{float(f'{ratio:.2g}'):,.12g}×"


@in_style
def plot_bars(values: Mapping[str, float], *, unit: str = "steps/s", title: str | None = None,
              log: bool | None = None) -> Figure:
    """Positive numbers one below the other; each row says its value and its ratio to the first.

    log     dots on a logarithmic axis; False: bars from zero; by default dots if the largest number is more
            than TENFOLD times the smallest
    """
    values = {name: float(value) for name, value in values.items()}
    if not values or min(values.values()) <= 0:
        raise ValueError(f"values: given {values}, expected at least one number, all above 0")
    figure, axes = blank(height=0.9 + 0.42 * len(values))
    first = next(iter(values.values()))
    labels = [amount(value) + (f"  ({times(value / first)})" if row else "")
              for row, value in enumerate(values.values())]
    draw_amounts(axes, values, labels, unit, colours=[COLOURS[0]] + [COLOURS[5]] * (len(values) - 1),
                 log=max(values.values()) > TENFOLD * min(values.values()) if log is None else log)
    axes.set_title(title or f"{unit}, and the ratio to “{next(iter(values))}”")
    return figure


@in_style
def plot_returns(groups, *, title: str = "Return of every episode", label: str = "episode return") -> Figure:
    """Every episode's return as a dot, a row for each group, and the mean with its 95 % interval.

    groups  list of returns, or dict of name -> list
    """
    groups = {name: np.asarray(values, float).ravel()
              for name, values in (groups if isinstance(groups, Mapping) else {"": groups}).items()}
    empty = [name for name, values in groups.items() if not len(values)]
    if empty or not groups:
        raise ValueError(f"groups: {empty or 'nothing'} given without a return, expected at least one number "
                         "in each group")
    figure, axes = blank(height=1.2 + 0.6 * len(groups))
    chance = np.random.default_rng(0)
    for row, values in enumerate(groups.values()):
        colour, mean = COLOURS[row % len(COLOURS)], values.mean()
        heights, faint = row + chance.uniform(-0.22, 0.22, len(values)), max(0.15, 0.6 - len(values) / 500)
        axes.scatter(values, heights, s=14, color=colour, alpha=faint, linewidth=0)
        low, high = confidence(values)
        axes.errorbar(mean, row, xerr=[[mean - low], [high - mean]], fmt="D", color="black", markersize=6,
                      capsize=4, zorder=3)
        axes.annotate(f"{mean:.3g}", (mean, row), xytext=(0, 9), textcoords="offset points", ha="center",
                      fontsize=9)
    axes.set_yticks(range(len(groups)),
                    [f"{name}\n({len(values)} episodes)".strip() for name, values in groups.items()])
    axes.set_ylim(len(groups) - 0.5, -0.6)
    axes.grid(axis="y", visible=False)
    axes.set_xlabel(f"{label} (diamond: mean, 95 % interval)")
    axes.set_title(title)
    return figure


@in_style
def plot_actions(actions, probabilities, *, names: Sequence[str] = (),
                 title: str = "Frequency of each action") -> Figure:
    """How often each action was drawn, as bars, and how often it should be, as points with two standard
    deviations of chance.

    actions        whole numbers, the drawn actions
    probabilities  (number of actions,), what they were drawn from
    """
    actions, probabilities = np.asarray(actions).ravel(), np.asarray(probabilities, float).ravel()
    if not len(actions) or actions.min() < 0 or actions.max() >= len(probabilities):
        raise ValueError(f"actions: given {len(actions)} of "
                         f"them{f', up to {actions.max()}' if len(actions) else ''}, expected at least one, "
                         f"from 0 to {len(probabilities) - 1}")
    places = np.arange(len(probabilities))
    frequency = np.bincount(actions, minlength=len(probabilities)) / len(actions)
    chance = 2 * np.sqrt(probabilities * (1 - probabilities) / len(actions))
    figure, axes = blank()
    axes.bar(places, frequency, color=COLOURS[5], width=0.7, label=f"frequency in {len(actions):,} draws")
    axes.errorbar(places, probabilities, yerr=chance, fmt="o", color=COLOURS[1], markersize=5, capsize=4,
                  label="probability ± 2 standard deviations")
    axes.set_xticks(places, names if len(names) == len(places) else places)
    axes.grid(axis="x", visible=False)
    axes.set_ylim(0, max(frequency.max(), (probabilities + chance).max()) * 1.25)
    axes.set_xlabel("action")
    axes.set_ylabel("fraction of draws")
    axes.legend(loc="upper right", ncols=2)
    axes.set_title(title)
    return figure


@in_style
def plot_observation(observation, *, shape: tuple[int, int] | None = None, names: Sequence[str] = (),
                     title: str = "What the agent sees") -> Figure:
    """One agent's observation as a heat map. `shape`: rows and columns of a flat one; `names`: what the codes
    0, 1, 2, … mean.
    """
    grid = np.asarray(observation)
    if grid.ndim == 1:
        side = round(len(grid) ** 0.5)
        shape = shape or ((side, side) if side * side == len(grid) else (1, len(grid)))
    grid = grid.reshape(shape) if shape else grid
    if grid.ndim != 2:
        raise ValueError(f"observation: given shape {np.shape(observation)}, expected one agent's grid of "
                         f"two axes, or a flat one with shape=(rows, columns)")
    coded = len(names) > 1
    figure, axes = blank(height=3.6, width=4.6 if grid.shape[0] * 2 > grid.shape[1] else WIDTH)
    colours = mpl.colormaps["cividis"].resampled(len(names)) if coded else "cividis"
    image = axes.imshow(grid, cmap=colours, vmin=-0.5 if coded else None,
                        vmax=len(names) - 0.5 if coded else None,
                        aspect="equal" if grid.shape[0] > 1 else "auto")
    bar = figure.colorbar(image, cax=axes.inset_axes([1.04, 0, 0.05, 1]),
                          ticks=range(len(names)) if coded else None,
                          label="" if coded else "value")
    if coded:
        bar.ax.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:.0f} {names[int(value)]}"))
    axes.grid(visible=False)
    axes.set_xlabel("column")
    axes.set_ylabel("row")
    axes.set_title(title)
    return figure
