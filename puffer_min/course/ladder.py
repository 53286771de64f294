"""`Ladder`: prediction, measurement, verdict, rung by rung through a chapter.

    ladder = Ladder("gae")
    ladder.measure("python loop", lambda: gae_loop(*rows))
    ladder.predict("types", 30)                         # or ladder.slider("types", default=30)
    ladder.measure("types", lambda: gae(*rows))         # times the rung before, and whether the prediction
                                                        held
    ladder.explain("types", "the index was a Python int")
    ladder                                              # the table so far
    ladder.plot()

A ladder compares like with like: a rung that was measured under other conditions than the one before (a
profiler compiled in, another number of environments behind a call, another unit) is refused, unless the rung
says that this condition is what it changes: `ladder.measure("batch", env, changing="num_envs")`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import log10

from puffer_min.course.bench import bench, factor, html_table, require_alike, text_table
from puffer_min.measure import Conditions, Measurement, quantity

AS_PREDICTED = 1.25             # a factor this close, up or down, counts as predicted
NO_GAIN = 1.1


@dataclass(repr=False)
class Rung:
    """One row. predicted: times the rung before (None: no prediction); default: the slider was not moved."""

    name: str
    predicted: float | None = None
    default: bool = False
    measurement: Measurement | None = None
    times: float | None = None              # the rung before
    expected: float | None = None           # units/s that the prediction meant
    changing: tuple[str, ...] = ()
    why: str = ""

    @property
    def verdict(self) -> str:
        """Whether the prediction held, in words; "" while there is nothing to say."""
        if self.predicted is None or self.times is None:
            return ""
        off = self.times / self.predicted
        if 1 / AS_PREDICTED <= off <= AS_PREDICTED:
            return "as predicted"
        if 1 / NO_GAIN < self.times < NO_GAIN:
            return "no gain"
        if off > 1:
            return f"{factor(off, 2)} times the predicted gain"
        return (f"{off:.0%} of the predicted gain" if off > 0.1
                else f"1/{factor(1 / off, 2)} of the predicted gain")

    def __str__(self):
        if self.measurement is None:
            return (f"{self.name}: nothing yet" if self.predicted is None
                    else f"{self.name}: predicted {factor(self.predicted)} times the rung before")
        times = "" if self.times is None else f", {factor(self.times)} times the rung before"
        predicted = ("" if self.predicted is None or self.times is None
                     else f" (predicted {factor(self.predicted)}): {self.verdict}")
        return f"{self.name}: {quantity(self.measurement.best)} {self.measurement.unit}/s{times}{predicted}"

    __repr__ = __str__


class Ladder:
    """A table of rungs. `ladder[name]` is a Rung; `list(ladder)` all of them in order."""

    def __init__(self, title: str = "ladder"):
        self.title = title
        self.rungs: dict[str, Rung] = {}

    def __getitem__(self, name: str) -> Rung:
        return self.rungs[name]

    def __iter__(self):
        return iter(self.rungs.values())

    def __len__(self):
        return len(self.rungs)

    # ------------------------------------------------------------------ filling it

    def predict(self, name: str, times: float) -> Rung:
        """Predict that rung `name` will be `times` times as fast as the rung before.

        Raises ValueError for a factor that is not positive, and once the rung has been measured: a prediction
        made afterwards is none.
        """
        self._require_factor(name, times)
        rung = self.rungs.setdefault(name, Rung(name))
        if rung.measurement is not None and rung.predicted != float(times):
            raise ValueError(f"{name!r} has been measured, so it is too late to predict it; "
                             f"ladder.forget({name!r}) begins it again")
        rung.predicted, rung.default = float(times), False
        return rung

    def slider(self, name: str, default: float = 2.0, low: float = 0.5, high: float = 100.0):
        """A slider for the prediction of rung `name`; returns the widget. Untouched (a notebook run without a
        reader) it is `default`.

        Moving it changes the prediction until the rung is measured; from then on the line above says that the
        old one stands.
        """
        import ipywidgets

        from puffer_min.course.sliders import Guess

        for bound in (default, low, high):
            self._require_factor(name, bound)
        if not low <= default <= high:
            raise ValueError(f"slider: default={default} given, expected it between low={low} and "
                             f"high={high}")
        rung = self.rungs.setdefault(name, Rung(name))
        if rung.predicted is None:
            rung.predicted, rung.default = float(default), True
        # The rung's name has its own line, where it is never cut off; the read-out has the three
        # digits of the table.
        handle = ipywidgets.FloatLogSlider(value=rung.predicted, base=10, min=log10(low), max=log10(high),
                                           step=0.01, readout_format=".3r",
                                           description="times", layout={"width": "520px"})
        label = ipywidgets.Label(str(rung), layout={"width": "100%"})

        def moved(change):
            if rung.measurement is None:
                rung.predicted, rung.default = float(f"{change['new']:.3g}"), False
            label.value = str(rung) + ("; measured, so this prediction stands" if rung.measurement else "")

        handle.observe(moved, names="value")
        return Guess([label, handle])

    def measure(self, name: str, thing, *, changing=(), **options) -> Rung:
        """Measure rung `name`: `thing` is what `bench` takes (with its `options`), or a Measurement that is
        there already.

        changing    the condition or conditions that this rung changes on purpose, e.g. "num_envs" (which
                    stands for num_agents too).
        Measuring again replaces the figure. Raises UnlikeConditions if the rung before was measured under
        other conditions.
        """
        changing = (changing,) if isinstance(changing, str) else tuple(changing)
        known = Conditions.__dataclass_fields__
        if unknown := [condition for condition in changing if condition not in known]:
            raise ValueError(f"changing={unknown[0]!r} given, expected one of {', '.join(known)}")
        changing += ("num_agents",) * ("num_envs" in changing)
        found = thing if isinstance(thing, Measurement) else bench(thing, name=name, **options)
        if not isinstance(found, Measurement):
            raise TypeError(f"ladder: given {type(thing).__name__}, expected one thing to measure for each "
                            "rung")
        found = replace(found, name=name)
        before, after = self._neighbours(name)
        if before is not None:
            require_alike(found, before.measurement, apart_from=changing)
        if after is not None:
            require_alike(after.measurement, found, apart_from=after.changing)
        rung = self.rungs.setdefault(name, Rung(name))
        rung.measurement, rung.changing = found, changing
        self._compare()
        return rung

    def explain(self, name: str, why: str) -> None:
        """Note in the table why rung `name` came out as it did."""
        self._existing(name).why = why

    def forget(self, name: str) -> None:
        """Take rung `name` out, with its prediction."""
        self._existing(name)
        del self.rungs[name]
        self._compare()

    # ------------------------------------------------------------------ showing it

    def rows(self) -> list[tuple[str, ...]]:
        """Rung, prediction, measurement, times the rung before, times the first, verdict, explanation."""
        first = next((rung.measurement for rung in self if rung.measurement), None)
        out = []
        for rung in self:
            predicted = ("" if rung.predicted is None
                         else f"{factor(rung.predicted)} x" + (" (default)" if rung.default else ""))
            rate = ("" if rung.measurement is None
                    else f"{quantity(rung.measurement.best)} {rung.measurement.unit}/s")
            total = "" if rung.times is None else f"{factor(rung.measurement.best / first.best)} x"
            verdict = rung.verdict + (f" (changes {rung.changing[0]})" if rung.changing else "")
            out.append((rung.name, predicted, rate, "" if rung.times is None else f"{factor(rung.times)} x",
                        total, verdict.strip(), rung.why))
        return out

    HEAD = ("rung", "predicted", "measured", "rung before", "first", "verdict", "why")

    def __repr__(self):
        rows = self.rows()
        return (f"{self._caption()}\n{text_table([self.HEAD, *rows])}" if rows
                else f"{self.title}: no rung yet")

    def _repr_html_(self):
        if not self.rungs:
            return repr(self)
        return html_table(self.HEAD, self.rows(), self._caption(), left=(0, 5, 6))

    def plot(self):
        """The ladder as a figure: a bar for each rung, a ring where the prediction was; where the numbers are
        more than tenfold apart, dots on a logarithmic axis.
        """
        from puffer_min.course import plots

        done = [rung for rung in self if rung.measurement]
        if not done:
            raise ValueError(f"{self.title}: nothing is measured yet, so there is nothing to plot")
        return plots.in_style(_draw)(self.title, done)

    # ------------------------------------------------------------------ private

    def _caption(self) -> str:
        last = next((rung.measurement for rung in reversed(self.rungs.values()) if rung.measurement), None)
        if last is None:
            return self.title
        return (f"{self.title} "
                f"({last.conditions}{'; relative only, no speeds' if last.conditions.profiled else ''})")

    def _neighbours(self, name: str) -> tuple[Rung | None, Rung | None]:
        """The measured rungs before and after `name`; a new rung comes last."""
        names = list(self.rungs)
        at = names.index(name) if name in names else len(names)
        done = [rung.measurement is not None for rung in self]
        before = next((self.rungs[names[i]] for i in range(at - 1, -1, -1) if done[i]), None)
        return before, next((self.rungs[names[i]] for i in range(at + 1, len(names)) if done[i]), None)

    def _compare(self) -> None:
        """Set every rung's factor over the measured rung before it."""
        before = None
        for rung in self:
            if rung.measurement is None:
                continue
            rung.times = None if before is None else rung.measurement.best / before.best
            rung.expected = None if before is None or rung.predicted is None else rung.predicted * before.best
            before = rung.measurement

    def _existing(self, name: str) -> Rung:
        if name not in self.rungs:
            raise ValueError(f"no rung {name!r} in {self.title}: there is "
                             f"{', '.join(self.rungs) or 'none yet'}")
        return self.rungs[name]

    def _require_factor(self, name: str, times) -> None:
        if not times > 0:
            raise ValueError(f"{name}: predicted {times!r}, expected a factor above 0, times the rung before "
                             "(2 is twice as fast)")


def _draw(title: str, rungs: list[Rung]):
    from puffer_min.course import plots

    figure, axes = plots.blank(height=1.2 + 0.42 * len(rungs))
    rates = {rung.name: rung.measurement.best for rung in rungs}
    labels = [plots.amount(rung.measurement.best)
              + ("" if rung.times is None else f"  ({plots.times(rung.times)})") for rung in rungs]
    guessed = [(rung.expected, row) for row, rung in enumerate(rungs) if rung.expected]
    every = [*rates.values(), *(value for value, _ in guessed)]
    plots.draw_amounts(axes, rates, labels, f"{rungs[0].measurement.unit}/s, and times the rung before",
                       log=max(every) > plots.TENFOLD * min(every), colours=plots.COLOURS[0], others=every)
    if guessed:
        axes.scatter(*zip(*guessed, strict=True), s=110, facecolors="none", edgecolors=plots.COLOURS[1],
                     linewidths=2.2, zorder=4, label="predicted")
        plots.legend_below(figure, axes)
    axes.set_title(title)
    return figure
