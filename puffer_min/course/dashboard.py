"""`training_dashboard()`: watch a training run in the notebook, and keep its curves in the saved file.

    result = puffer_min.train("cartpole", dashboard=training_dashboard())

While the learner runs, one output shows progress, speed, the shares of the stages and small curves, redrawn
at most four times a second in under a hundredth of the time. When the run has reached its last step, when
`close` is called, or when the cell ends in whatever way, that same output becomes a PNG with all curves: what
readers of the saved notebook see.

It is one output with one display id and a constant text, so nbval compares equal however long the training
took.
"""

from __future__ import annotations

import base64
import html
import math
import textwrap
import time
from collections.abc import Mapping

import ipywidgets
import matplotlib as mpl
from IPython import get_ipython
from IPython.display import display, update_display
from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter, MaxNLocator

from puffer_min.course.plots import COLOURS, blank, draw_shares, in_style, plain_ticks, stage_seconds

TEXT = "training dashboard"
REFRESH = 0.25                  # seconds between two redraws at the least
SHARE = 0.01                    # of the wall time that redrawing may take
NAMES = {"episode_return": "episode return", "episode_length": "episode length (steps)", "score": "score",
         "sps": "steps/s", "policy_loss": "policy loss", "value_loss": "value loss", "entropy": "entropy"}
NEEDED = ("step", "total_steps", "seconds", "sps")


def short(value: float | None) -> str:
    """A number in a few characters: 1.24M, 83.1k, 0.0031."""
    if value is None or not math.isfinite(value):
        return "–"
    return EngFormatter(places=2, sep="")(value) if abs(value) >= 1000 else f"{value:.3g}"


class TrainingDashboard:
    """Callable with one update dict at a time; see the module's docstring.

    An update is what `puffer_min.train` gives: step, total_steps, seconds (since the start), sps, and where
    there are any sps_now, episode_return, episode_length, score (None while no episode has ended),
    policy_loss, value_loss, entropy (these three also in a dict `losses`) and stages (dict of stage -> its
    share of the update, or its seconds). `history` keeps all updates; `figure()` draws them at any time.
    Outside a notebook it only keeps them.
    """

    def __init__(self, title: str = "Training"):
        self.title, self.history = title, []
        self.panel = self.shell = self.display_id = None
        self.next_draw = 0.0

    def __call__(self, update: Mapping) -> None:
        missing = [name for name in NEEDED if name not in update]
        if missing:
            raise ValueError(f"update: given {', '.join(update)}, expected also {', '.join(missing)}")
        self.history.append(dict(update))
        last = update["step"] >= update["total_steps"]
        if self.panel is None and get_ipython() is not None:
            self.open()
        if self.panel is not None and time.monotonic() >= self.next_draw and not last:
            start = time.monotonic()
            self.panel.value = live_html(self.title, self.history)
            self.next_draw = time.monotonic() + max(REFRESH, (time.monotonic() - start) / SHARE)
        if last:
            self.close()

    def open(self) -> None:
        """Show the live output in the cell that is running, and have it closed when the cell ends."""
        self.shell, self.panel = get_ipython(), ipywidgets.HTML()
        self.next_draw = 0.0
        self.display_id = f"training-{id(self):x}-{len(self.history)}"
        data = self.panel._repr_mimebundle_()
        display(data | {"text/plain": TEXT}, raw=True, display_id=self.display_id)
        self.shell.events.register("post_run_cell", self.close)

    def close(self, *_) -> None:
        """Turn the live output into the figure. Harmless when there is none; a later update opens a new one.
        """
        if self.panel is None:
            return
        self.shell.events.unregister("post_run_cell", self.close)
        picture, about = self.figure()._repr_png_()
        data = {"text/plain": TEXT, "image/png": base64.b64encode(picture).decode()}
        update_display(data, metadata={"image/png": about}, raw=True, display_id=self.display_id)
        self.panel.close()
        self.panel = None

    @in_style
    def figure(self) -> Figure:
        """The curves of all updates so far, and the shares of the stages."""
        if not self.history:
            raise ValueError("the dashboard has seen no update yet; call it with one, or pass it to "
                             "puffer_min.train(dashboard=…)")
        mpl.rcParams.update({"axes.titlesize": 9, "axes.labelsize": 8, "lines.linewidth": 1.4})
        panels, stages = panels_of(self.history), total_stages(self.history)
        count = len(panels) + bool(stages)
        columns = min(count, 3)
        rows = -(-count // columns)
        figure, axes = blank(rows, columns, height=0.6 + 1.7 * rows, width=8.0, squeeze=False)
        for place in axes.flat[count:]:
            place.remove()
        for place, (name, points) in zip(axes.flat, panels, strict=False):
            place.set_title(textwrap.fill(name, 26))
            place.plot(*zip(*points, strict=True), color=COLOURS[0])
            for axis, count_of_ticks in ((place.xaxis, 3), (place.yaxis, 5)):
                axis.set_major_locator(MaxNLocator(count_of_ticks))
                axis.set_major_formatter(plain_ticks)
            place.set_xlabel("steps of all agents")
            place.tick_params(labelsize=8)
            if name == NAMES["sps"]:
                place.set_ylim(bottom=0)
        if stages:
            place = axes.flat[count - 1]
            draw_shares(place, stages)
            place.set_title("where the time went")
            place.tick_params(labelsize=8)
        last = self.history[-1]
        figure.suptitle(f"{self.title}: {short(last['step'])} steps in {last['seconds']:.1f} s", x=0.01,
                        ha="left", fontsize=11, fontweight="bold")
        names = ", ".join(name for name, _ in panels)
        return figure.described(f"{self.title}: {names} over the steps of the run"
                                f"{', and the share of each stage in its time' if stages else ''}.")


def training_dashboard(title: str = "Training") -> TrainingDashboard:
    """A dashboard for `puffer_min.train(..., dashboard=training_dashboard())`; see `TrainingDashboard`."""
    return TrainingDashboard(title)


def curves_of(history: list[dict]) -> list[tuple[str, list]]:
    """(name, [(step, value), …]) of seven curves: four of the episodes, three of the losses. Updates without
    the number are left out.
    """
    rows = [row | (row.get("losses") or {}) | {"sps": row.get("sps_now", row["sps"])} for row in history]

    def known(value):
        return value is not None and math.isfinite(value)

    return [(title, [(row["step"], row[key]) for row in rows if known(row.get(key))])
            for key, title in NAMES.items()]


def panels_of(history: list[dict]) -> list[tuple[str, tuple]]:
    """(title, points) of the curves that hold anything; curves that are the same share a panel."""
    panels: dict[tuple, list[str]] = {}
    for title, points in curves_of(history):
        if points:
            panels.setdefault(tuple(points), []).append(title)
    return [(" = ".join(titles), points) for points, titles in panels.items()]


def total_stages(history: list[dict]) -> dict[str, float]:
    """Seconds of each stage over all updates; {} where none of them says."""
    return stage_seconds(history) if any(row.get("stages") for row in history) else {}


# ---------------------------------------------------------------------- the live panel

def live_html(title: str, history: list[dict]) -> str:
    """Progress, numbers, stage shares and small curves as HTML; a few milliseconds of work."""
    last = history[-1]
    done = min(1.0, last["step"] / max(1, last["total_steps"]))
    left = last["seconds"] * (1 - done) / done if done else math.inf
    numbers = [("steps", f"{short(last['step'])} of {short(last['total_steps'])}"),
               ("seconds", f"{last['seconds']:.1f}"),
               ("left", f"about {left:.0f} s"), ("steps/s", short(last["sps"]))]
    numbers += [(NAMES[key].split(" (")[0], short(last.get(key)))
                for key in ("episode_return", "episode_length", "score")]
    cells = " ".join(f'<span style="margin-right:16px;white-space:nowrap">{name} <b>{value}</b></span>'
                     for name, value in numbers)
    curves = "".join(sparkline(name, points[-4000:]) for name, points in curves_of(history)
                     if name != NAMES["sps"])
    return ('<div style="font-size:13px;line-height:1.5;font-variant-numeric:tabular-nums">'
            f'<b>{html.escape(title)}</b>'
            '<div style="background:#E3E6EA;height:10px;width:100%;max-width:880px;margin:4px 0">'
            f'<div style="background:{COLOURS[0]};height:10px;width:{done:.1%}"></div></div>'
            f"<div>{cells}</div>{stage_bar(total_stages(history[-50:]))}<div>{curves}</div></div>")


def sparkline(name: str, points: list, width: int = 200, height: int = 56) -> str:
    """One small curve with its name and last value, as inline SVG."""
    if len(points) < 2:
        return ""
    points = points[::max(1, len(points) // 150)] + points[-1:]
    xs, ys = zip(*points, strict=True)
    left, low = xs[0], min(ys)
    across, up = (width - 8) / ((xs[-1] - left) or 1), (height - 8) / ((max(ys) - low) or 1)
    path = " ".join(f"{4 + (x - left) * across:.1f},{height - 4 - (y - low) * up:.1f}" for x, y in points)
    return (f'<span style="display:inline-block;margin:4px 14px 0 0;font-size:12px">{html.escape(name)} '
            f'<b>{short(ys[-1])}</b><br><svg width="{width}" height="{height}" style="background:#F6F7F9">'
            f'<polyline points="{path}" fill="none" stroke="{COLOURS[0]}" stroke-width="1.6"/></svg></span>')


def stage_bar(stages: Mapping[str, float]) -> str:
    """The shares of the stages as one stacked bar with a legend."""
    total = sum(stages.values())
    if not total:
        return ""
    parts = [(name, seconds / total, colour)
             for (name, seconds), colour in zip(stages.items(), COLOURS * 3, strict=False)]
    bar = "".join(f'<div style="background:{colour};width:{share:.1%}"></div>' for _, share, colour in parts)
    legend = "".join(f'<span style="margin-right:12px"><span style="color:{colour}">■</span> '
                     f'{html.escape(name)} {share:.0%}</span>'
                     for name, share, colour in parts)
    return (f'<div style="display:flex;height:8px;max-width:880px;margin-top:4px">{bar}</div><div '
            f'style="font-size:12px">{legend}</div>')
