"""No adjective without an assert: what the prose of a chapter says about a measurement is backed by a cell that would fail if it were untrue.

A Markdown cell lists its claims in its metadata, `"claims": {"a phrase of the cell": "the id of the code cell that backs it"}`. The backing
cell stands earlier in the chapter and holds an `assert`, prints the phrase from its data, or has an output that nbval compares word for word.
A sentence that follows a measurement, up to the next heading, or stands in a summary, and compares (CLAIM_WORDS) must hold one of the phrases.
Where it claims nothing about the measurement, the phrase is given one of REASONS instead of a cell. `python tests/test_claims.py [chapter]` prints the claims and what is still uncovered.
"""

import ast
import json
import re
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
CHAPTERS = sorted((ROOT / "chapters").glob("*.ipynb"))
REASONS = {
    "definition": "says what a word, an axis or a mark means",
    "reasoning": "follows from the text or from arithmetic, whatever was measured",
    "advice": "tells the reader what to do",
    "source": "retells a paper, the talk or a stream, which the sentence names",
}
CLAIM_WORDS = re.compile(
    r"\b(faster|slower|sooner|later than|(?<!no )(?<!any )longer|shorter|larger|smaller|higher|lower|better|worse|cheaper|dearer|wider|narrower|steeper|fewer"
    r"|fastest|slowest|longest|shortest|largest|smallest|highest|lowest|worst|cheapest|hardly|barely|never|always|almost|nearly"
    r"|(?<!once )(?<!no )(?<!or )(?<!one )(?<!two )(?<!any )more(?! questions)|less|(?<!at )most(?! people)|(?<!at )least|(?<!the )best"
    r"|(?:above|below) (?:the|all|it|them|that|chance|\d)|beats?|times as|times the|times as much|twice|a (?:half|third|quarter|tenth) of"
    r"|nowhere|everywhere|flat|level with|out of reach)\b", re.IGNORECASE)
NO_CLAIM = re.compile(r"\?\W*$|\b(guess|predict)", re.IGNORECASE)               # a question, or what the reader is to do before measuring
HEADING = re.compile(r"^#+ (.*)$", re.MULTILINE)
SUMS_UP = ("What limits it now", "Summary")                                     # headings whose text speaks of what was measured before


def text_of(cell) -> str:
    return "".join(cell["source"])


def plain(text: str) -> str:
    """Without emphasis and line breaks, so that a phrase is found however it is set."""
    return " ".join(re.sub(r"[*`_]", "", text).split())


def printed(cell) -> str:
    parts = [output.get("text") or output.get("data", {}).get("text/plain", "") for output in cell["outputs"]]
    return plain(" ".join("".join(part) for part in parts))


def about_the_measurement(text: str) -> str:
    """What stands before the first heading and what sums up; folded answers, code and tables apart."""
    drawn = r"!\[[^\]]*\]\(diagrams/[^)]*\)"                   # the alt text of a drawing, which measures nothing
    text = re.sub(rf"```.*?```|<details>.*?</details>|^\|.*$|{drawn}", "", text, flags=re.DOTALL | re.MULTILINE)
    before, *parts = HEADING.split(text)
    return "\n\n".join([before, *(part for heading, part in zip(parts[::2], parts[1::2], strict=False) if heading in SUMS_UP)])


def sentences(text: str) -> list[str]:
    """The sentences, and the halves of those with a semicolon."""
    blocks = re.split(r"\n\s*\n|\n(?=\s*(?:-|\d+\.) )", text)
    return [sentence for block in blocks for sentence in re.split(r"(?<=[.!?;])\s+", plain(block)) if sentence]


def after_a_measurement(cells) -> list[dict]:
    """The Markdown cells that follow code with an output, the set-up apart, and those that sum up."""
    found, measured = [], False
    for number, cell in enumerate(cells):
        if cell["cell_type"] == "code":
            earlier = cells[number - 1]["cell_type"] == "code" and measured
            measured = earlier or bool(cell["outputs"]) and "import " not in text_of(cell)
        elif measured or set(HEADING.findall(text_of(cell))) & set(SUMS_UP):
            found.append(cell)
            measured = False
    return found


def holds_an_assert(source: str) -> bool:
    source = re.sub(r"^\s*[%!].*$", "", source, flags=re.MULTILINE)
    return any(isinstance(node, ast.Assert) for node in ast.walk(ast.parse(source)))


def backs(cell, phrase: str) -> bool:
    if text_of(cell).startswith("%%"):
        return "nbval-ignore-output" not in cell["metadata"].get("tags", [])
    compared = bool(printed(cell)) and "nbval-ignore-output" not in cell["metadata"].get("tags", [])
    return holds_an_assert(text_of(cell)) or compared or plain(phrase).lower() in printed(cell).lower()


def uncovered(cells) -> list[tuple[str, str]]:
    """(cell id, sentence) of every sentence after a measurement that compares and holds no listed phrase."""
    found = []
    for cell in after_a_measurement(cells):
        phrases = [plain(phrase) for phrase in cell["metadata"].get("claims", {})]
        found += [(cell["id"], sentence) for sentence in sentences(about_the_measurement(text_of(cell)))
                  if CLAIM_WORDS.search(sentence) and not NO_CLAIM.search(sentence) and not any(phrase in sentence for phrase in phrases)]
    return found


def unbacked(cells) -> list[str]:
    """One sentence for each listed claim that no cell backs."""
    places, wrong = {cell["id"]: number for number, cell in enumerate(cells)}, []
    for number, cell in enumerate(cells):
        for phrase, backing in cell["metadata"].get("claims", {}).items():
            where = f"cell {cell['id']}, claim {phrase!r}"
            if plain(phrase) not in plain(text_of(cell)):
                wrong.append(f"{where}: the cell does not say that any more")
            elif backing in REASONS:
                continue
            elif places.get(backing, number) >= number or cells[places[backing]]["cell_type"] != "code":
                wrong.append(f"{where}: {backing!r} is no earlier code cell, and none of {', '.join(REASONS)}")
            elif not backs(cells[places[backing]], phrase):
                wrong.append(f"{where}: cell {backing} varies from run to run, and neither asserts anything nor prints the claim")
    return wrong


@pytest.fixture(params=CHAPTERS, ids=lambda path: path.stem)
def cells(request):
    return json.loads(request.param.read_text())["cells"]


def test_every_comparison_in_the_prose_after_a_measurement_is_a_listed_claim(cells):
    missing = uncovered(cells)
    assert not missing, "add to the cell's metadata under claims:\n" + "\n".join(f"  {cell}: {sentence}" for cell, sentence in missing)


def test_every_listed_claim_is_backed_by_an_assert_a_printed_sentence_or_a_compared_output(cells):
    wrong = unbacked(cells)
    assert not wrong, "\n".join(wrong)


# What the two tests find

def toy(prose, claims=None, code="assert a > b", text="", tags=("nbval-ignore-output",)):
    outputs = [{"output_type": "stream", "name": "stdout", "text": [text or "1.0"]}]
    return [{"cell_type": "code", "id": "measure", "source": [code], "outputs": outputs, "metadata": {"tags": list(tags)}},
            {"cell_type": "markdown", "id": "read", "source": [prose], "metadata": {"claims": claims} if claims else {}}]


@pytest.mark.parametrize("prose", ["A is **hardly** slower.", "It costs three times as much.\n\nGood.", "- first\n- the other is never far behind"])
def test_a_comparison_that_is_listed_nowhere_is_found(prose):
    assert [cell for cell, _ in uncovered(toy(prose))] == ["read"]


@pytest.mark.parametrize("prose", ["Which is faster?", "Guess how much faster it is.", "```\nfaster\n```", "## Faster", "At most 500, or more.",
                                   "## Summary\n\nGood.\n\n## For instructors\n\nAlways ask."])
def test_questions_guesses_code_headings_and_what_follows_the_summary_are_no_claims(prose):
    assert uncovered(toy(prose)) == []


def test_a_claim_needs_a_phrase_of_its_cell_and_an_earlier_cell_that_would_fail():
    assert unbacked(toy("A is *hardly* slower.", {"hardly slower": "measure"})) == []
    assert unbacked(toy("A is slower.", {"faster": "measure"}))[0].endswith("does not say that any more")
    assert "no earlier code cell" in unbacked(toy("A is slower.", {"slower": "elsewhere"}))[0]
    assert "neither asserts" in unbacked(toy("A is slower.", {"slower": "measure"}, code="print(a)"))[0]
    assert unbacked(toy("A is slower.", {"slower": "measure"}, code="print(a)", text="A is slower by 2")) == []
    assert unbacked(toy("A is slower.", {"slower": "measure"}, code="print(a)", tags=())) == []
    assert unbacked(toy("Take the slower one.", {"slower": "advice"}, code="print(a)")) == []


if __name__ == "__main__":
    for path in CHAPTERS:
        if len(sys.argv) > 1 and sys.argv[1] not in path.stem:
            continue
        chapter = json.loads(path.read_text())["cells"]
        for cell in chapter:
            for phrase, backing in cell["metadata"].get("claims", {}).items():
                print(f"{path.stem} {cell['id']}: {phrase} <- {backing}")
        print(*(f"{path.stem} {cell}: NOT LISTED: {sentence}" for cell, sentence in uncovered(chapter)), *unbacked(chapter), sep="\n")
