"""Execute chapters in place, and give every picture in their outputs its alt text.

    make chapters                                       all of them; minutes
    make chapters ARGS=chapters/05_vectorization.ipynb  one
    python tools/notebooks.py --describe                only the alt texts, nothing is executed

A cell keeps its metadata, so tags and listed claims survive. The alt text of a picture is the sentence of the
text below it that says what the figure shows, or `alt` in the metadata of the cell that draws it.
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
    describe(notebook)
    write(path, notebook)
    return time.monotonic() - began


def describe(notebook) -> int:
    """Put an alt text into the metadata of every picture in the outputs; returns the number of pictures."""
    pictures = 0
    for place, cell in enumerate(notebook.cells):
        for output in cell.get("outputs", ()):
            for kind in output.get("data", {}):
                if kind.startswith("image/"):
                    output.metadata.setdefault(kind, {})["alt"] = alt_text(notebook.cells, place)
                    pictures += 1
    return pictures


def alt_text(cells, place: int) -> str:
    """What the pictures of cell number `place` show, in plain text."""
    if "alt" in cells[place].metadata:
        return cells[place].metadata["alt"]
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
