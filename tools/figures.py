"""Write the table of teaching/figures.md from the chapters' committed outputs.

    python tools/figures.py            the column `here`: what the outputs say now
    python tools/figures.py --history  and `seen`: the least and the most of it and of all that git keeps

tests/test_figures.py fails when the outputs say something else than `here`, or leave `seen` or the bounds.
"""

import argparse
import functools
import json
import re
import subprocess
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "teaching" / "figures.md"
ROW = re.compile(r"^\| *\d+ \|.*\n", re.MULTILINE)
SCALE = {"": 1, "k": 1e3, "M": 1e6, "G": 1e9}
NUMBER = r"([\d.,]*\d ?[kMG]?)"


class Figure(NamedTuple):
    """A printed figure in `unit`; where the pattern names two numbers it is `over` divided by `under`."""

    level: int
    name: str
    cell: str
    pattern: str
    unit: str
    low: float
    high: float = float("inf")


CARTS = "agent-steps/s"
FIGURES = [
    Figure(1, "Gymnasium's CartPole", "code-3",
           rf"CartPole-v1: {NUMBER} agent", CARTS, 50e3, 250e3),
    Figure(1, "`squared`, 1,024 a call, against plain Python", "code-24",
           rf"1024 a call.*?agent-steps/s +\S+ x +{NUMBER} x", "×", 50),
    Figure(1, "training `squared`, 2,048 boards", "code-37",
           rf"{NUMBER} steps/s with", CARTS, 0.4e6, 1.2e6),
    Figure(2, "two teams of three runs of one program: the first leads by 5 % or more", "noise-deal",
           rf"in {NUMBER}%", "% of the draws", 20),
    Figure(3, "the tutorial loop", "tutorial-speed",
           rf"tutorial loop: {NUMBER} agent", CARTS, 2e3, 12e3),
    Figure(3, "advantages: the package against NumPy columns", "gae-measure-3",
           rf"(?m)^package .*?(?P<over>{NUMBER}) samples/s|"
           rf"^NumPy columns.*?(?P<under>{NUMBER}) samples/s", "×", 15),
    Figure(3, "training through the package against the tutorial loop", "together-audit",
           rf"{NUMBER} times the tutorial loop", "×", 30),
    Figure(4, "fastest against slowest library, equal terms", "equal-assert",
           rf"the first is {NUMBER} times", "×", 2, 5),
    Figure(4, "SB3 with our carts through the adapter", "adapter-run",
           rf"\n{NUMBER} times \(you", "×", 1.3, 2.5),
    Figure(5, "hand-off to two workers by pipes", "amdahl-numbers",
           rf"through pipes {NUMBER} µs", "µs", 40, 200),
    Figure(5, "the same by yield, then sleep", "amdahl-numbers",
           rf"hand-off {NUMBER} µs", "µs", 2, 15),
    Figure(5, "two spinning workers on two cores, half of the steps take less than", "collapse-plot",
           rf"spinning: half of the steps take less than {NUMBER} ms", "ms", 0.1),
    Figure(5, "native batch of 4,096 against 16 objects", "native-4096",
           rf"{NUMBER} times the 16", "×", 5),
    Figure(5, "training in two processes against the loop, a slow cart", "together-shares",
           rf"loop +(?P<over>{NUMBER}) s,|2 processes +(?P<under>{NUMBER}) s,", "×", 0.95, 2),
    Figure(6, "packing a sample, compiled against `flatten`", "pack-compiled",
           rf"compiled .*?samples/s +\S+ x +{NUMBER} x", "×", 20),
    Figure(6, "a step of the set encoder against the plain layer", "sets-train",
           rf"costs {NUMBER} times", "×", 2),
    Figure(6, "`drive`: the shipped driver arrives", "drive-marks",
           rf"eight million steps +arrive +{NUMBER}%", "%", 50),
    Figure(6, "`drive`: the script arrives", "drive-marks",
           rf"scripted +arrive +{NUMBER}%", "%", 70),
    Figure(6, "`drive`: chance arrives", "drive-marks",
           rf"chance +arrive +{NUMBER}%", "%", 0, 15),
    Figure(7, "Atari's wrappers peeled, the package against the first chain", "peel-measure",
           rf"\n{NUMBER} times as fast", "×", 1.15),
    Figure(7, "Doom drawn small against shrunk", "doom-measure",
           rf"is {NUMBER} times", "×", 1),
    Figure(8, "Crafter: a reset without numba against one with it", "crafter-numba",
           rf"takes {NUMBER} times", "×", 1.2),
    Figure(8, "Crafter: the native game against the package, resets apart", "ladder-native",
           rf"\nnative .*?steps/s +\S+ x +{NUMBER} x", "×", 20),
    Figure(8, "Crafter: 64 native games of pixels a call against the package", "crafter-symbolic",
           rf"pixels {NUMBER} times", "×", 15),
    Figure(9, "`skirmish`, package against the Python twin, same settings", "whole-game",
           rf"same settings.*the package {NUMBER} times", "×", 150),
    Figure(9, "`moba`, ten learning heroes", "moba-bench",
           rf"10 learning heroes: {NUMBER} agent", CARTS, 0.7e6),
    Figure(10, "the champion of the random world against four lines of Python", "hook-play",
           rf"wins {NUMBER}%", "%", 0, 50),
]


def printed(notebook: dict) -> dict[str, str]:
    """The text that each cell printed, by the cell's id."""
    def words(output):
        return "".join(output.get("text") or output.get("data", {}).get("text/plain", ""))

    return {cell["id"]: "".join(words(output) for output in cell["outputs"])
            for cell in notebook["cells"] if cell["cell_type"] == "code" and "id" in cell}


def value(figure: Figure, texts: dict[str, str]) -> float | None:
    """The figure in the texts of a notebook, None where that execution has no such line."""
    found = {}
    for match in re.finditer(figure.pattern, texts.get(figure.cell, "")):
        named = match.groupdict() or {"over": match[1]}
        found |= {name: number for name, number in named.items() if number}
    if not found:
        return None
    numbers = {name: float(re.sub("[, kMG]", "", number)) * SCALE[number.strip("0123456789., ")]
               for name, number in found.items()}
    return numbers["over"] / numbers.get("under", 1)


def written(number: float, unit: str = "", digits: int = 2) -> str:
    """Two significant digits, as people write them: 0.85 M, 160 k, 5.3."""
    letters = ("M", "k", "") if unit == CARTS else ("",)
    letter = next(key for key in letters if number >= 0.3 * SCALE[key] or not key)
    number = float(f"{number / SCALE[letter]:.{digits}g}")
    return f"{number:,g}" + f" {letter}".rstrip()


def bounds(figure: Figure) -> str:
    low, high = (written(bound, figure.unit, 3) for bound in (figure.low, min(figure.high, 1e99)))
    if figure.high == float("inf"):
        return f"above {low}"
    return f"{low} to {high}" if figure.low else f"below {high}"


def chapter(level: int) -> Path:
    return next((ROOT / "chapters").glob(f"{level:02}_*.ipynb"))


@functools.cache                # a level has several figures
def standing(level: int) -> dict[str, str]:
    """The texts of the chapter as it stands."""
    return printed(json.loads(chapter(level).read_text(encoding="utf-8")))


def here(figure: Figure) -> float | None:
    """The figure in the chapter as it stands."""
    return value(figure, standing(figure.level))


def history(level: int) -> list[dict[str, str]]:
    """The texts of every execution of a chapter that git keeps, and of the one that stands there now."""
    def git(*arguments):
        run = subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=True)
        return run.stdout

    path = chapter(level).relative_to(ROOT)
    commits = git("log", "--format=%h", "--diff-filter=AM", "--", path).split()
    return [standing(level), *(printed(json.loads(git("show", f"{commit}:{path}"))) for commit in commits)]


def main() -> None:
    parser = argparse.ArgumentParser(description="Write the table of teaching/figures.md.")
    parser.add_argument("--history", action="store_true", help="also the column `seen`, from git's log")
    with_history = parser.parse_args().history
    page = PAGE.read_text(encoding="utf-8")
    kept = {row.split(" | ")[1]: row.split(" | ")[3] for row in ROW.findall(page)}
    past = {level: history(level) for level in range(1, 11)} if with_history else {}
    rows = []
    for figure in FIGURES:
        numbers = {value(figure, texts) for texts in past.get(figure.level, ())}
        seen = sorted(numbers - {None})
        name, now = f"{figure.name}, {figure.unit}", written(here(figure), figure.unit)
        ends = dict.fromkeys(written(number, figure.unit) for number in seen[:1] + seen[-1:])
        span = f"{' to '.join(ends)} ({len(seen)})" if seen else kept.get(name, "")
        rows.append(f"| {figure.level} | {name} | {now} | {span} | {bounds(figure)} |\n")
    start = page.index("\n", page.index("|--:|")) + 1
    PAGE.write_text(page[:start] + "".join(rows) + ROW.sub("", page[start:]), encoding="utf-8")


if __name__ == "__main__":
    main()
