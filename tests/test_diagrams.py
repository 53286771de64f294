"""The drawn diagrams: rebuilt from their scripts, every one shown by a notebook with its own alt text."""

import json
import re
import runpy
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest

ROOT = Path(__file__).resolve().parents[1]
FOLDER = ROOT / "chapters" / "diagrams"
SHOWN = re.compile(r"!\[([^\]]*)\]\(((?:\.\./chapters/|chapters/)?diagrams/[^)]+)\)")


@pytest.fixture(scope="module")
def draw():
    return runpy.run_path(str(ROOT / "tools/diagrams/draw.py"))


def test_the_committed_diagrams_are_those_that_the_scripts_draw(tmp_path):
    subprocess.run([sys.executable, ROOT / "tools/diagrams", tmp_path], check=True, capture_output=True)
    built = {path.name: path.read_text(encoding="utf-8") for path in tmp_path.glob("*.svg")}
    committed = {path.name: path.read_text(encoding="utf-8") for path in FOLDER.glob("*.svg")}
    assert built == committed, "run `make diagrams` and commit chapters/diagrams"


def test_every_diagram_is_shown_by_a_notebook_with_its_own_alt_text():
    shown = {}
    for path in [ROOT / "index.ipynb", *(ROOT / "chapters").glob("*.ipynb")]:
        for cell in json.loads(path.read_text(encoding="utf-8"))["cells"]:
            for alt, link in SHOWN.findall("".join(cell["source"]) if cell["cell_type"] == "markdown" else ""):
                assert (path.parent / link).is_file(), f"{path.name} shows {link}, which does not exist"
                shown[Path(link).name] = alt
    for path in FOLDER.glob("*.svg"):
        title = ElementTree.parse(path).getroot().find("{http://www.w3.org/2000/svg}title").text
        assert shown.get(path.name) == title, f"no notebook shows {path.name} with its alt text: ![{title}](diagrams/{path.name})"


@pytest.mark.parametrize("mistake", [
    lambda d: d.box(10, 10, 40, 20, "a text that is too long for it"), lambda d: d.box(90, 10, 40, 20), lambda d: d.dot(2, 2, 5),
    lambda d: d.text(80, 20, "outside"), lambda d: d.line((0, 0), (101, 5)), lambda d: d.arrow((5, 5), (5, 5)),
    lambda d: d.box(1, 1, 9, 9, colour="pink"),
])
def test_what_a_reader_would_see_wrong_is_an_error_when_it_is_drawn(draw, mistake):
    with pytest.raises(ValueError, match=r"given.*, expected"):
        mistake(draw["Drawing"](100, 60, "A picture."))


def test_a_diagram_without_alt_text_is_refused(draw):
    with pytest.raises(ValueError, match="alt text"):
        draw["Drawing"](100, 60, " ")


def test_the_moving_picture_of_the_readme_moves_and_its_tool_draws_another():
    """The games are played anew: frames are compared by their kind, because sums differ between processors."""
    image = pytest.importorskip("PIL.Image")
    committed = image.open(ROOT / "docs" / "pictures" / "games.gif")
    assert committed.n_frames == 60
    first = committed.convert("RGB").tobytes()
    committed.seek(59)
    assert committed.convert("RGB").tobytes() != first
    one, two = runpy.run_path(str(ROOT / "tools" / "games.py"))["film"](frames=2)
    assert one.size == two.size == committed.size
    for place in range(4):                                  # each of the four games moves
        part = (240 * place, 0, 240 * (place + 1), 240)
        assert one.crop(part).tobytes() != two.crop(part).tobytes()
