"""The environments in use beside what the talk says of them, and the ladder on the `crafter` package.

    python benchmarks/survey.py                      about three minutes; prints the tables
    python benchmarks/survey.py --write              and writes SURVEY.md, SURVEY.json and pictures/survey.png
    pip install .[survey]; pip install --no-deps nle     what is measured; what is missing is left out by name

Random play. Read ratios: absolute figures are those of one machine. SURVEY.md keeps what was tried and what
the figures mean between its two marks; the tables around them are written anew.
"""

import argparse
import json
import os
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")                  # one core, before NumPy is imported

import torch

from puffer_min.course import Ladder
from puffer_min.course import crafter_ladder as slow
from puffer_min.course.survey import Survey, survey
from puffer_min.course.survey_rows import CLAIMS
from puffer_min.measure import duration, quantity

HERE = Path(__file__).parent
BEGIN, END = "<!-- written by hand -->", "<!-- to here -->"


def markdown(head, rows) -> str:
    """A table; the first column to the left."""
    lines = [head, [":--", *["--:"] * (len(head) - 1)], *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def ladders(repeats: int) -> tuple[Ladder, Ladder]:
    """Steps a second on each rung, and resets a second on those that change them."""
    steps, resets = Ladder("the crafter package, steps"), Ladder("the crafter package, resets")
    for name in slow.RUNGS:
        steps.measure(name, slow.step_speed(name, repeats=repeats))
    for name in ("package", "in order", "compiled", "world", "native"):
        resets.measure(name, slow.reset_speed(name, repeats=3 * repeats))
    return steps, resets


def rungs_table(ladder: Ladder) -> str:
    unit = next(iter(ladder)).measurement.unit
    first = next(iter(ladder)).measurement.best
    rows = [(rung.name, quantity(rung.measurement.best), duration(1 / rung.measurement.best),
             "" if rung.times is None else f"{rung.times:.2f}", f"{rung.measurement.best / first:.3g}")
            for rung in ladder]
    return markdown(("rung", f"{unit}/s", "one takes", "times the rung before", "times the package"), rows)


def document(found: Survey, steps: Ladder, resets: Ladder, numba: dict, stalls: dict) -> str:
    """The text of SURVEY.md, with what stands there by hand."""
    path = HERE / "SURVEY.md"
    before = path.read_text() if path.exists() else f"{BEGIN}\n{END}"
    by_hand = before[before.index(BEGIN):before.index(END) + len(END)]
    claims = found.claims()
    return "\n\n".join([
        "# The environments in use, measured", f"`python benchmarks/survey.py --write`. {found.conditions}",
        by_hand, "## Beside the talk", markdown(claims.HEAD, claims.rows()),
        "## All rows", markdown(Survey.HEAD, found.rows()), "![steps a second](pictures/survey.png)",
        "## Crafter, the package made faster rung by rung",
        "The same 300 steps on each rung, a day and a night, resets not counted; equal to the last pixel.",
        rungs_table(steps), "Resets:", rungs_table(resets),
        "A reset of the package " + ", ".join(f"{title} {duration(took)}" for title, took in numba.items())
        + ", each in a process of its own.",
        "Eight environments of the package through our vectorizer, steps/s by the wall clock: "
        + ", ".join(f"{title} {quantity(rate)}" for title, rate in stalls.items()) + "."]) + "\n"


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=1.0, help="clocked time for a row (default 1)")
    parser.add_argument("--write", action="store_true", help="write SURVEY.md, SURVEY.json and the picture")
    options = parser.parse_args()
    torch.set_num_threads(1)
    found = survey(options.seconds)
    print(found, found.claims(), sep="\n\n")
    steps, resets = ladders(3)
    numba, stalls = slow.with_and_without_numba(), slow.stalls(3 * options.seconds)
    print(steps, resets, numba, stalls, sep="\n\n")
    if options.write:
        (HERE / "SURVEY.md").write_text(document(found, steps, resets, numba, stalls))
        figures = found.as_dict() | {
            ladder.title: [rung.measurement.as_dict() for rung in ladder] for ladder in (steps, resets)}
        figures |= {"a reset of the package, seconds": numba, "eight crafters, steps a second": stalls}
        (HERE / "SURVEY.json").write_text(json.dumps(figures, indent=1) + "\n")
        found.plot().savefig(HERE / "pictures/survey.png")
    print(f"{sum(row.rate is not None for row in found)} of {len(list(found))} rows measured, "
          f"{len(CLAIMS)} claims; {'written beside this file' if options.write else 'nothing was written'}.")


if __name__ == "__main__":
    main()
