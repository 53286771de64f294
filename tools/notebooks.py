"""Execute chapters in place, and give every picture in their outputs its alt text.

    make chapters                                       all of them; minutes
    make chapters ARGS=chapters/05_vectorization.ipynb  one
    python tools/notebooks.py --describe                only the alt texts, nothing is executed

A cell keeps its metadata, so tags and listed claims survive. A picture's alt text is `alt` of the cell's
metadata; else the one it has, from its maker or from before; else the sentence below it that says what the
figure shows.
"""

import argparse
import copy
import re
import sys
import time
from pathlib import Path

import nbformat
from nbclient import NotebookClient

ROOT = Path(__file__).resolve().parents[1]
SAYS = re.compile(r"\b[Tt]he (?:figure|picture|heat map|film)\b")
SENTENCE = re.compile(r"(?<=[.!?:])\s+(?=[A-Z*`(])")
OPENING = re.compile(r"^The (?:figure|picture|heat map|film) shows,? ")
NO_TEXT = re.compile(r"!\[[^\]]*\]\([^)]*\)|\[([^\]]*)\]\([^)]*\)|[*`_$]")


def execute(path: Path) -> float:
    """Run the notebook from top to bottom and write its outputs into the file. Returns the seconds it took.

    Raises nbclient's CellExecutionError, and leaves the file as it was, if a cell fails.
    """
    notebook, began = nbformat.read(path, as_version=4), time.monotonic()
    metadata, of_cells = (
        copy.deepcopy(notebook.metadata),
        [copy.deepcopy(cell.metadata) for cell in notebook.cells],
    )
    said = [[about.get("alt") for about in pictures(cell)] for cell in notebook.cells]
    NotebookClient(
        notebook,
        timeout=300,
        kernel_name="python3",
        record_timing=False,
        resources={"metadata": {"path": str(path.parent)}},
    ).execute()
    widgets = notebook.metadata.get("widgets")
    notebook.metadata = metadata
    if widgets and "widgets" in metadata:
        notebook.metadata["widgets"] = widgets
    for cell, kept in zip(notebook.cells, of_cells, strict=True):
        cell.metadata = kept
    for cell, alts in zip(notebook.cells, said, strict=True):       # the same pictures, with new figures
        for about, alt in zip(pictures(cell), alts, strict=False):
            about["alt"] = about.get("alt") or alt
    describe(notebook)
    write(path, notebook)
    return time.monotonic() - began


def pictures(cell) -> list[dict]:
    """The metadata of each picture in a cell's outputs."""
    return [output.metadata.setdefault(kind, {}) for output in cell.get("outputs", ())
            for kind in output.get("data", {}) if kind.startswith("image/")]


def describe(notebook) -> int:
    """Give every picture in the outputs that has no alt text one; returns the number of pictures."""
    found = 0
    for place, cell in enumerate(notebook.cells):
        for about in pictures(cell):                # the author's words, the picture's own, or the text below
            about["alt"] = cell.metadata.get("alt") or about.get("alt") or alt_text(notebook.cells, place)
            found += 1
    return found


def alt_text(cells, place: int) -> str:
    """What the pictures of cell number `place` show, in plain text, by the text below it."""
    below = next((cell.source for cell in cells[place + 1 :] if cell.cell_type == "markdown"), "")
    paragraphs = [
        " ".join(NO_TEXT.sub(r"\1", text).split())
        for text in below.split("\n\n")
        if text and not text.startswith(("#", "|", "!["))
    ]
    sentences = [sentence for paragraph in paragraphs for sentence in SENTENCE.split(paragraph)]
    said = [sentence for sentence in sentences if SAYS.search(sentence)] or sentences
    text = OPENING.sub("", said[0]).rstrip(":") if said else ""
    return text[:1].upper() + text[1:]


def write(path: Path, notebook) -> None:
    """Write the file with a newline at its end."""
    text = nbformat.writes(notebook)
    path.write_text(text + ("" if text.endswith("\n") else "\n"), encoding="utf-8")


def main(arguments=None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("notebooks", nargs="*", type=Path, help="default: all chapters")
    parser.add_argument("--describe", action="store_true", help="only the alt texts")
    given = parser.parse_args(arguments)
    for path in given.notebooks or sorted((ROOT / "chapters").glob("*.ipynb")):
        if given.describe:
            notebook = nbformat.read(path, as_version=4)
            print(f"{path.name}: {describe(notebook)} pictures")
            write(path, notebook)
        else:
            print(f"{path.name}: {execute(path):.0f} s", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
