"""The dashboard in the terminal: the state of a run, drawn at most three times a second.

`make_dashboard("terminal" | None | function)` gives an object that is called with the dict of each update
and closed at the end. Without a terminal, `TerminalDashboard` prints a plain line every few seconds. In a
notebook, give `puffer_min.course.training_dashboard()` as the function.
"""

import sys
import time
from collections import deque

from rich.console import Console, Group
from rich.live import Live
from rich.panel import Panel
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

BLOCKS = "▁▂▃▄▅▆▇█"
LOSSES = ("policy_loss", "value_loss", "entropy", "approx_kl", "clip_fraction", "explained_variance",
          "grad_norm", "learning_rate")
EPISODE = ("score", "episode_return", "episode_length")
NOT_EPISODE = {"update", "step", "total_steps", "seconds", "sps", "sps_now", "stages", "density", "waiting",
               "epochs", *LOSSES}


def make_dashboard(kind, env_name):
    """A dashboard of the given kind. Raises ValueError if there is no such kind."""
    if kind is None or callable(kind):
        return Plain(kind)
    if kind == "terminal":
        return TerminalDashboard(env_name)
    notebook = "; in a notebook give puffer_min.course.training_dashboard()" if kind == "notebook" else ""
    raise ValueError(f"dashboard={kind!r} given, expected \"terminal\", a function of one dict, or None"
                     f"{notebook}")


class Plain:
    """The dashboard of a run that was given a function or None: calls the function, if there is one."""

    def __init__(self, function):
        self.function = function

    def __call__(self, update):
        if self.function is not None:
            self.function(update)

    def close(self):
        if hasattr(self.function, "close"):
            self.function.close()


def sparkline(values, width: int = 40) -> str:
    """A curve of at most `width` blocks, each the mean of an equal share of `values` without their None."""
    values = [value for value in values if value is not None]
    if not values:
        return ""
    count = min(width, len(values))
    groups = [values[i * len(values) // count:(i + 1) * len(values) // count] for i in range(count)]
    means = [sum(group) / len(group) for group in groups]
    low, high = min(means), max(means)
    scale = (len(BLOCKS) - 1) / (high - low) if high > low else 0.0
    return "".join(BLOCKS[int((mean - low) * scale + 0.5)] for mean in means)


def in_words(seconds: float) -> str:
    """Seconds as 4 s, 3 min 20 s or 2 h 5 min."""
    minutes, seconds = divmod(int(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {seconds} s" if minutes else f"{seconds} s"
    return f"{minutes // 60} h {minutes % 60} min"


def number(value) -> str:
    """A number in at most eight characters; a dash for None."""
    if value is None:
        return "-"
    return f"{value:,.0f}" if abs(value) >= 10_000 else f"{value:.4g}"


def columns(first: str, second: str, rows: dict) -> Table:
    """A table of two columns with these heads."""
    table = Table(first, second, box=None, padding=(0, 1, 0, 0))
    for row in rows.items():
        table.add_row(*row)
    return table


class Panels:
    """The picture of a run, drawn from its updates."""

    def __init__(self, env_name: str, curve: int = 600):
        self.env_name = env_name
        self.curves = {name: deque(maxlen=curve) for name in ("sps_now", *EPISODE, "entropy")}
        self.last = None

    def add(self, update: dict) -> None:
        """Add an update of the run."""
        self.last = update
        for name, curve in self.curves.items():
            curve.append(update.get(name))

    def draw(self, width: int = 100):
        """A rich renderable of the last update, for `width` columns: 80 or more."""
        last = self.last
        left = (last["total_steps"] - last["step"]) / last["sps"]
        head = Table.grid(expand=True)
        head.add_row(Text(f"{last['step']:,} of {last['total_steps']:,} steps", style="bold"),
                     Text(f"{last['sps']:,.0f} steps/s", style="bold cyan", justify="center"),
                     Text(f"{in_words(last['seconds'])}, {in_words(max(0, left))} left", justify="right"))
        body = Table.grid(padding=(0, 2 if width < 100 else 4))
        numbers = (columns(title, "", {name: number(last.get(name)) for name in names})
                   for title, names in (("loss", LOSSES), ("episodes", self._episodes())))
        body.add_row(self._stages(bars=width >= 100), *numbers)
        curves = Table.grid(padding=(0, 2))
        for name, curve in self.curves.items():
            line = sparkline(curve, width - 34)
            if line:
                curves.add_row(Text(name, style="dim"), Text(line, style="green"), number(curve[-1]))
        bar = ProgressBar(total=last["total_steps"], completed=min(last["step"], last["total_steps"]))
        parts = Group(head, bar, Text(), body, Text(), curves)
        return Panel(parts, title=f"puffer_min: {self.env_name}", border_style="cyan")

    def _stages(self, bars):
        shares = self.last["stages"]
        return columns("stage", "share", {stage: f"{share:5.1%}" + f" {'█' * round(share * 12):12}" * bars
                                          for stage, share in shares.items()})

    def _episodes(self):
        own = [name for name in self.last if name not in NOT_EPISODE]
        return sorted(own, key=lambda name: (name not in ("episodes", *EPISODE), name))[:9]


class TerminalDashboard:
    """Draws in place in a terminal; without one, prints a line every `interval` seconds and at the end."""

    def __init__(self, env_name: str, *, console: Console | None = None, interval: float = 5.0,
                 frames_per_second: float = 3.0):
        self.console = console or Console(file=sys.stderr)
        self.panels = Panels(env_name)
        self.pause = 1 / frames_per_second if self.console.is_terminal else interval
        self.due, self.live, self.shown = 0.0, None, True

    def __call__(self, update):
        self.panels.add(update)
        self.shown = False
        if time.monotonic() >= self.due:
            self.show()

    def show(self):
        """Draw the last update now."""
        self.shown = True
        if self.console.is_terminal:
            if self.live is None:
                self.live = Live(console=self.console, auto_refresh=False)
                self.live.start()
            self.live.update(self.panels.draw(self.console.width), refresh=True)
        else:
            last = self.panels.last
            score, return_, length = (number(last.get(name)) for name in EPISODE)
            progress = f"{last['step']:,} of {last['total_steps']:,} steps, {last['sps']:,.0f} steps/s"
            self.console.print(f"{in_words(last['seconds'])}: {progress}, score {score}, return {return_}, "
                               f"length {length}", highlight=False, soft_wrap=True)
        self.due = time.monotonic() + self.pause

    def close(self):
        """Leave the last update on the screen."""
        if not self.shown:
            self.show()
        if self.live is not None:
            self.live.stop()
