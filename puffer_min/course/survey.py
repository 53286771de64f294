"""`survey`: the environments in use, measured on this machine beside what the talk says of them.

    found = survey()                    # about 25 s on two quiet cores; the table of all rows
    found = survey(names=["Crafter"], seconds=5)
    found["Crafter"].step.p95           # seconds
    found.claims()                      # the talk's sentences beside the figures that measure them
    found.plot()

Random actions, drawn before the clock starts. Every step and every reset is clocked on its own, so a row has
their spread; its rate holds the resets that the play needed. A second, shorter play clocks the functions that
make the observation. The last figure goes through our vectorizer, two processes that the caller serves first
come, first served (our own environments: two threads).

A package that is missing, and an environment that fails, cost their row and one sentence. Some packages leave
files in the current folder: the survey runs in a temporary one.
"""

from __future__ import annotations

import contextlib
import json
import sys
import tempfile
import warnings
from dataclasses import asdict
from pathlib import Path

import gymnasium

from puffer_min.cores import cores
from puffer_min.course import plots
from puffer_min.course.bench import factor, html_table, text_table
from puffer_min.course.survey_plays import Found, measure_row
from puffer_min.course.survey_rows import CLAIMS, ROWS, Claim
from puffer_min.measure import quantity


class Survey:
    """What `survey` found, in the order of its rows: a table. `found[name]` is one row."""

    HEAD = ("environment", "frames a step", "steps/s", "step, µs: median", "95 %", "longest",
            "reset, ms: median", "longest", "bytes", "rules", "observation", "resets",
            "two workers, steps/s", "")

    def __init__(self, rows, conditions: str):
        self.found = {row.name: row for row in rows}
        self.conditions = conditions

    def __getitem__(self, name: str) -> Found:
        if name not in self.found:
            raise KeyError(f"{name!r} given, expected one of {', '.join(self.found)}")
        return self.found[name]

    def __iter__(self):
        return iter(self.found.values())

    def rows(self) -> list[tuple[str, ...]]:
        """The table as text."""
        return [_cells(row) for row in self]

    def __repr__(self):
        return f"{self.conditions}\n{text_table([self.HEAD, *self.rows()])}"

    def _repr_html_(self):
        return html_table(self.HEAD, self.rows(), self.conditions, left=(0, len(self.HEAD) - 1))

    def claims(self) -> ClaimTable:
        """The talk's sentences beside the figures of this survey."""
        return ClaimTable([(claim, self.found.get(claim.row)) for claim in CLAIMS])

    def as_dict(self) -> dict:
        """All figures, for JSON."""
        return {"conditions": self.conditions, "rows": [asdict(row) for row in self],
                "claims": self.claims().as_dicts()}

    def save(self, path) -> None:
        """Write `as_dict()` as JSON."""
        Path(path).write_text(json.dumps(self.as_dict(), indent=1) + "\n")

    def plot(self):
        """Steps a second as dots on a logarithmic axis, one process and two workers; what the talk says as
        bars.
        """
        return _draw(self)


class ClaimTable:
    """The talk's figures beside ours: (claim, row or None) pairs, shown as a table."""

    HEAD = ("the talk", "says", "measured here", "times the claim", "row and column")

    def __init__(self, pairs):
        self.pairs = pairs

    def rows(self) -> list[tuple[str, ...]]:
        """The table as text."""
        out = []
        for claim, found in self.pairs:
            value = measured(claim, found)
            unit = "frames/s" if claim.frames else "steps/s"
            said = quantity(claim.low) + ("" if claim.low == claim.high else f" to {quantity(claim.high)}")
            where = f"{claim.row}, {'two workers' if claim.of == 'vectorized' else 'one process'}"
            why = "not in this survey" if found is None else found.missing or found.alone or "not measured"
            out.append((claim.words, f"{said} {unit}", why if value is None else f"{quantity(value)} {unit}",
                        "" if value is None else times_the_claim(claim, value), where))
        return out

    def as_dicts(self) -> list[dict]:
        """Each claim's fields and what was measured, for JSON."""
        return [asdict(claim) | {"measured": measured(claim, found)} for claim, found in self.pairs]

    def __repr__(self):
        return text_table([self.HEAD, *self.rows()])

    def _repr_html_(self):
        return html_table(self.HEAD, self.rows(), left=(0, 4))


def measured(claim: Claim, found: Found | None) -> float | None:
    """The figure of a row that a claim is about, in the claim's unit; None where there is none."""
    value = None if found is None else getattr(found, claim.of)
    return None if value is None else value * (found.frames if claim.frames else 1)


def times_the_claim(claim: Claim, value: float) -> str:
    """The measured figure over the claimed one, of a range over its nearer end: "0.25", "as said" inside."""
    if claim.low <= value <= claim.high and claim.low < claim.high:
        return "as said"
    return factor(value / (claim.low if value < claim.low else claim.high), 2)


def survey(seconds: float = 0.25, names=None, *, vectorized: bool = True, rows=ROWS, say=None) -> Survey:
    """Measure `rows`, or those of them that are in `names`; returns a `Survey`.

    seconds     clocked time of a play; a slow row takes several times as many (its weight), and at least
                three steps
    vectorized  whether to measure through our vectorizer as well
    say         a function that is told the name of each row before it begins, e.g. print
    Raises ValueError for a name that no row has, and unless seconds > 0.
    """
    if not seconds > 0:
        raise ValueError(f"seconds={seconds} given, expected more than 0")
    known = [row.name for row in rows]
    if unknown := [name for name in names or () if name not in known]:
        raise ValueError(f"names: {unknown[0]!r} given, expected some of {', '.join(known)}")
    found = []
    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for row in rows:
            if names is None or row.name in names:
                if say:
                    say(row.name)
                found.append(measure_row(row, seconds * row.weight, vectorized))
    return Survey(found, f"Random play, {seconds:g} s a row and more for slow ones, one core; two workers on "
                         f"{cores()}. Python {sys.version.split()[0]}, Gymnasium {gymnasium.__version__}.")


def _cells(row: Found) -> tuple[str, ...]:
    """The cells of a row as text."""
    if row.missing:
        return (row.name, *[""] * (len(Survey.HEAD) - 2), row.missing)
    shares = [(row.shares or {}).get(name) for name in ("rules", "observation", "reset")]
    return (row.name, str(row.frames), quantity(row.rate),
            *(factor(1e6 * value) for value in (row.step.median, row.step.p95, row.step.longest)),
            *(factor(1e3 * value) for value in (row.reset.median, row.reset.longest)), f"{row.bytes:,}",
            *("" if share is None else f"{share:.0%}" for share in shares),
            "" if row.vectorized is None else quantity(row.vectorized), row.alone)


@plots.in_style
def _draw(found: Survey):
    rows = [row for row in found if row.rate]
    figure, axes = plots.blank(height=1.2 + 0.24 * len(rows), width=7.6)
    height = {row.name: place for place, row in enumerate(rows)}
    for claim in CLAIMS:
        if claim.row in height:
            frames = found[claim.row].frames if claim.frames else 1
            low, high = claim.low / frames / 1.06, claim.high / frames * 1.06
            axes.barh(height[claim.row], high - low, 0.75, low, color=plots.COLOURS[4], alpha=0.55, zorder=1)
    axes.scatter([], [], marker="|", s=120, linewidths=4, color=plots.COLOURS[4], label="the talk")
    for ours, colour, label in ((False, plots.COLOURS[1], "in use"), (True, plots.COLOURS[0], "ours")):
        some = [row for row in rows if row.ours == ours]
        two = [row for row in some if row.vectorized]
        axes.scatter([row.rate for row in some], [height[row.name] for row in some], s=34, color=colour,
                     zorder=3, label=f"{label}, one process")
        axes.scatter([row.vectorized for row in two], [height[row.name] for row in two], s=46, zorder=2,
                     facecolors="none", edgecolors=colour, linewidths=1.5, label=f"{label}, two workers")
    rates = [rate for row in rows for rate in (row.rate, row.vectorized) if rate]
    axes.set_xscale("log")
    axes.set_xlim(min(rates) / 2, max(rates) * 2)
    axes.xaxis.set_major_formatter(plots.plain_ticks)
    axes.set_yticks(list(height.values()), list(height))
    axes.invert_yaxis()
    axes.set_xlabel("steps/s, resets included (logarithmic)")
    axes.set_title("Environments in use, and ours")
    plots.legend_below(figure, axes)
    return figure
