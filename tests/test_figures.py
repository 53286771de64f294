"""The lecturer's table of expected figures says what the chapters' committed outputs say."""

import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tools"))
import figures  # noqa: E402

PAGE = (ROOT / "teaching" / "figures.md").read_text(encoding="utf-8")


def plain(written):
    """The number in a cell of the table, such as 0.85 M or 1,100."""
    digits, _, letter = written.partition(" ")
    return float(digits.replace(",", "")) * figures.SCALE[letter]


@pytest.mark.parametrize("figure", figures.FIGURES, ids=lambda figure: figure.name)
def test_the_table_says_what_the_outputs_say_and_the_outputs_lie_within_the_bounds(figure):
    number = figures.here(figure)
    assert number is not None, f"{figure.cell} of level {figure.level} prints no such line any more"
    name = f"| {figure.level} | {figure.name}, {figure.unit} | "
    [row] = [row for row in PAGE.splitlines() if row.startswith(name)]
    now, seen, holds = row.removeprefix(name).removesuffix(" |").split(" | ")
    assert now == figures.written(number, figure.unit), "run `python tools/figures.py`"
    assert holds == figures.bounds(figure)
    ends = [plain(end) for end in seen.partition(" (")[0].split(" to ")]
    assert ends[0] <= plain(now) <= ends[-1], "run `python tools/figures.py --history`"
    assert figure.low <= number <= figure.high


def test_a_ratio_of_two_printed_numbers_and_their_letters_are_read():
    ratio = next(figure for figure in figures.FIGURES if "advantages" in figure.name)
    text = "rung\nNumPy columns  50 x  40.0 M samples/s  75 x\npackage  2 x (default)  1.6 G samples/s  2 x"
    assert figures.value(ratio, {ratio.cell: text}) == pytest.approx(40)
    assert figures.value(ratio, {"another": text}) is None
