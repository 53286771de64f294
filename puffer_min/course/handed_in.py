"""What a student handed in, whatever became of the file on the way.

    find(folder, solutions)         the notebook of a level among the files of a folder, under any name
    rebuilt(notebook, solutions)    the course's own notebook with the student's answers and cells in it

A copied cell, a lost test, metadata of any kind and outputs of any size are gone after `rebuilt`. What was
found wrong is said in a sentence.
"""

import json
import re
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

import nbformat

from puffer_min.course.exercises import generate, without_links
from puffer_min.course.solutions import grade_id, role

LARGEST = 256 << 20             # bytes of a file that is read
MOST_ADDED = 200                # cells of the student's own that are kept
LONGEST = 1 << 20               # characters of a cell
MISSING = "# The cell of this answer was not in the file that was handed in."


class NotGradable(ValueError):
    """A file that holds no answers to this course; the text is the sentence for the student."""


@dataclass(frozen=True)
class HandedIn:
    """A notebook found: its cells as they can be trusted, and what is to be said about the file."""

    path: Path
    notebook: nbformat.NotebookNode
    notes: tuple[str, ...] = ()


def load(path):
    """The notebook in a file, its cells reduced to type, source, nbgrader's grade id and whether one is
    marked as nbgrader's. Raises NotGradable with a sentence; never another error for what a file holds.
    """
    path = Path(path)
    if path.is_symlink():
        raise NotGradable(f"{path.name} is a link to another file: hand in the notebook itself")
    try:
        size = path.stat().st_size
        if size > LARGEST:
            raise NotGradable(f"{path.name} has {size >> 20} MB, the most is {LARGEST >> 20}: clear the "
                              "outputs and hand it in again")
        cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
        return nbformat.from_dict({"cells": [plain(cell) for cell in cells if isinstance(cell, dict)],
                                   "metadata": {}, "nbformat": 4, "nbformat_minor": 4})
    except (OSError, ValueError, KeyError, TypeError, RecursionError, MemoryError) as error:
        if isinstance(error, NotGradable):
            raise
        raise NotGradable(f"{path.name} is not a notebook that can be read ({type(error).__name__}): hand in "
                          "the file that JupyterLab saves") from None


def plain(cell):
    """A cell with its type, its source and the nbgrader marks that name it; nothing else of what came."""
    source = cell.get("source", "")
    source = "".join(map(str, source)) if isinstance(source, list) else str(source)
    metadata = cell.get("metadata")
    found = metadata.get("nbgrader") if isinstance(metadata, dict) else None
    found = found if isinstance(found, dict) else {}
    kept = {"grade_id": str(found["grade_id"])} if found.get("grade_id") else {}
    return {"cell_type": "code" if cell.get("cell_type") == "code" else "markdown", "source": source,
            "metadata": {"nbgrader": kept} if kept else {}}


def exercises_in(notebook, solutions):
    """How many of a level's exercises a notebook holds."""
    present = {grade_id(cell) for cell in notebook.cells}
    return sum(exercise.id in present for exercise in solutions.exercises)


def find(paths, solutions):
    """The `HandedIn` for a level among files: the one with the level's own name if it holds the level's
    exercises, else the one that holds most of them. Raises NotGradable.
    """
    found, broken = [], []
    for path in sorted(map(Path, paths), key=lambda path: (path.stem != solutions.name, path.name)):
        try:
            notebook = load(path)
        except NotGradable as error:
            broken.append(str(error))
            continue
        count = exercises_in(notebook, solutions)
        if count:
            found.append((count, path, notebook))
        else:
            broken.append(f"{path.name} holds no exercise of {solutions.name}: hand in that notebook with "
                          "its cells kept")
    if not found:
        raise NotGradable("; ".join(broken) or "there is no notebook: hand in an .ipynb file")
    named = found[0] if found[0][1].stem == solutions.name else max(found, key=lambda entry: entry[0])
    notes = broken
    if named[1].stem != solutions.name:
        notes.append(f"{named[1].name} was taken for {solutions.name}.ipynb")
    others = [path.name for _, path, _ in found if path != named[1]]
    if others:
        notes.append(f"{', '.join(others)} was left aside, because {named[1].name} was handed in as well")
    return HandedIn(named[1], named[2], tuple(notes))


def rebuilt(notebook, solutions):
    """(the exercises notebook of a level with a student's answers and own cells in it, sentences about what
    was left out). Of an answer that stands in several cells the last counts.
    """
    course = generate(solutions)
    known = {grade_id(cell) for cell in course.cells if role(cell)}
    texts = {words(cell) for cell in course.cells if not role(cell)}
    answers, added, after, notes, count = {}, defaultdict(list), "", [], 0
    for cell in notebook.cells:
        name = grade_id(cell)
        if name in known:
            after = name
            if name in answers:
                notes.append(f"of the copies of the answer '{name}' the last one counts")
            answers[name] = cell.source
        elif words(cell) and words(cell) not in texts:
            count += 1
            if count <= MOST_ADDED and len(cell.source) <= LONGEST:
                added[after].append(own(cell))
    if count > MOST_ADDED:
        notes.append(f"only the first {MOST_ADDED} of {count} added cells are kept")
    cells = list(added[""])
    for cell in course.cells:
        name = grade_id(cell)
        if role(cell) == "solution":
            # a stub would hide an answer that stands in an added cell
            cell.source = answers.get(name, MISSING)[:LONGEST]
        elif cell.cell_type == "markdown":
            cell.source = words(cell)
        cells.append(cell)
        if role(cell):
            cells += added[name]
    course.cells = cells
    course.nbformat, course.nbformat_minor = 4, 5
    return course, list(dict.fromkeys(notes))


def words(cell):
    """A cell's text without links to files of the repository, that to the solution included."""
    text = cell.source.split("\n\n[Solution]")[0].strip()
    return without_links(text) if cell.cell_type == "markdown" else text


def own(cell):
    make = nbformat.v4.new_code_cell if cell.cell_type == "code" else nbformat.v4.new_markdown_cell
    return make(cell.source)


def level_of(path, courses):
    """The `Solutions` whose level a file's name begins with, or None: "03_algorithms (1).ipynb" is level 3's.
    """
    number = re.match(r"\d\d?", Path(path).name)
    return next((course for course in courses if number and course.level == int(number[0])), None)
