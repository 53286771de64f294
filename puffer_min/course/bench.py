"""`bench`: the speed of one thing, or of several beside each other.

    bench("snake", num_envs=64)                                  # an environment by name
    bench({"loop": lambda: gae_loop(*rows), "cython": lambda: gae(*rows)}, unit="samples")

`puffer_min.measure` says what is timed and what is not. Several things take turns, repeat by repeat,
so that their ratio holds on a busy machine.
"""

from __future__ import annotations

import html
from dataclasses import asdict, dataclass

import envs
from puffer_min.measure import Measurement, duration, measure, measure_together, quantity


class UnlikeConditions(ValueError):
    """Two figures that were measured under different conditions cannot be compared."""


def require_alike(a: Measurement, b: Measurement, apart_from=()) -> None:
    """Raise UnlikeConditions, naming what differs, unless all conditions but `apart_from` are equal."""
    others = asdict(b.conditions)
    unlike = [f"{name} {value!r} and {others[name]!r}" for name, value in asdict(a.conditions).items()
              if value != others[name] and name not in apart_from]
    if unlike:
        raise UnlikeConditions(f"{a.name} and {b.name} were measured under different conditions "
                               f"({'; '.join(unlike)}): measure both alike")


@dataclass(frozen=True, repr=False)
class Comparison:
    """Measurements by name, taken in turns. `comparison["name"]` is one of them."""

    measurements: dict[str, Measurement]

    def __getitem__(self, name: str) -> Measurement:
        return self.measurements[name]

    def ratio(self, name: str, to: str) -> float:
        """How many times as fast `name` is as `to`. Raises UnlikeConditions unless both were measured alike.
        """
        require_alike(self[name], self[to])
        return self[name].best / self[to].best

    def rows(self) -> list[tuple[str, str, str, str]]:
        """Name, rate, time of a call, and times the first; "unlike" where the conditions forbid the ratio."""
        first = next(iter(self.measurements))
        out = []
        for name, found in self.measurements.items():
            try:
                times = f"{factor(self.ratio(name, first))} x"
            except ValueError:
                times = "unlike"
            out.append((name, f"{quantity(found.best)} {found.unit}/s", duration(1 / found.calls), times))
        return out

    def __repr__(self):
        rows = [("", "best", "a call", f"times {next(iter(self.measurements))}"), *self.rows()]
        return text_table(rows)

    def _repr_html_(self):
        return html_table(("", "best", "a call", f"times {next(iter(self.measurements))}"), self.rows())


def bench(thing, *, seconds: float = 1.0, repeats: int = 5, seed: int = 0, per_call: int = 1,
          unit: str | None = None, name: str | None = None, **settings) -> Measurement | Comparison:
    """Measure `thing`: see `puffer_min.measure.measure`. `.best` is the figure, `.unit` what is counted,
    `.conditions` what to keep equal.

    thing       what `measure` takes; or the name of a native environment, made with `settings` (num_envs=...,
                ...) and closed afterwards; or a dict name -> thing, which gives a Comparison.
    seconds     clocked time, for each thing.
    """
    options = {"seconds": seconds, "repeats": repeats, "seed": seed, "per_call": per_call, "unit": unit}
    if settings and not isinstance(thing, str):
        raise TypeError(f"bench: {', '.join(settings)} can only be set where the thing is the name of an "
                        "environment")
    if isinstance(thing, dict):
        if not thing:
            raise ValueError("bench: given an empty dict, expected name -> environment or callable")
        return Comparison(measure_together(thing, **options))
    if not isinstance(thing, str):
        return measure(thing, name=name, **options)
    env = envs.make(thing, **settings)
    try:
        return measure(env, name=name or thing, **options)
    finally:
        env.close()


def factor(value: float, digits: int = 3) -> str:
    """A factor as people write it, with so many digits that count: 1,250, 20.5, 0.0028."""
    return f"{float(f'{value:.{digits}g}'):,.12g}"


def text_table(rows) -> str:
    """Rows of strings as an aligned table; the first column to the left, the others to the right."""
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    lines = ([cell.rjust(width) if i else cell.ljust(width)
              for i, (cell, width) in enumerate(zip(row, widths, strict=True))] for row in rows)
    return "\n".join("  ".join(line).rstrip() for line in lines)


def html_table(head, rows, caption: str = "", left=(0,)) -> str:
    """Rows of strings as an HTML table that needs no stylesheet; columns `left` to the left, the others to
    the right.
    """
    def line(cells, tag):
        return "<tr>" + "".join(f'<{tag} style="text-align:{"left" if i in left else "right"};padding:2px '
                                f'10px">{html.escape(cell)}</{tag}>'
                                for i, cell in enumerate(cells)) + "</tr>"

    title = f"<div>{html.escape(caption)}</div>" if caption else ""
    body = "".join(line(row, "td") for row in rows)
    return f"{title}<table><thead>{line(head, 'th')}</thead><tbody>{body}</tbody></table>"
