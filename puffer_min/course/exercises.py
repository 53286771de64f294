"""Generates `exercises/*.ipynb` from `solutions/*.ipynb`, and releases a level to an nbgrader course.

    python -m puffer_min.course.exercises                       write every exercises notebook
    python -m puffer_min.course.exercises --check               name those that differ; exit status 1 then
    python -m puffer_min.course.exercises run                   run and save every solutions notebook
    python -m puffer_min.course.exercises release --level 5     nbgrader's folders for one level

The same solutions give the same bytes. A notebook that holds answers is not overwritten without
`--overwrite`: each stub carries its own hash, which tells an answered cell from an untouched one.
"""

import argparse
import copy
import hashlib
import importlib.util
import re
import shutil
import subprocess
import sys
from pathlib import Path

import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError

from puffer_min.course.solutions import (
    ROOT,
    SOLUTION_ONLY,
    SolutionsError,
    read,
    replace_region,
    role,
    without_hidden_tests,
)

KERNEL = {"kernelspec": {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"},
          "language_info": {"name": "python"}}


def text_hash(text):
    return hashlib.sha256(text.strip().encode()).hexdigest()[:16]


def generate(solutions):
    """The exercises notebook of `Solutions`: stubs for answers, no hidden tests, no mistakes, no outputs,
    cell ids as in the source.
    """
    notebook = copy.deepcopy(solutions.notebook)
    for exercise in solutions.exercises:
        hints = [index for index in exercise.cells if "<details>" in notebook.cells[index].source]
        # JupyterLab scrolls to the cell
        place = f"{solutions.name}.ipynb#cell-id={notebook.cells[exercise.cells[0]].id}"
        notebook.cells[hints[-1]].source += f"\n\n[Solution](../solutions/{place})"
    notebook.cells = [student_cell(cell) for cell in notebook.cells
                      if SOLUTION_ONLY not in cell.metadata.get("tags", [])]
    notebook.metadata = nbformat.from_dict(copy.deepcopy(KERNEL))
    notebook.nbformat, notebook.nbformat_minor = 4, 5
    return notebook


def student_cell(cell):
    """The cell as a student gets it, changed in place: a stub for the answer, tests without hidden part,
    locked as nbgrader does.
    """
    kind = role(cell)
    if kind == "solution":
        give_stub(cell)
    elif kind == "grade":
        cell.source = without_hidden_tests(cell.source)
    if kind:
        cell.metadata.deletable = False
    if kind in ("grade", "locked"):
        cell.metadata.editable = False
    if cell.cell_type == "code":
        cell.outputs, cell.execution_count = [], None
    cell.metadata.pop("execution", None)
    return cell


def give_stub(cell):
    """Puts the stub in the answer's place, in place, and leaves of the "exercise" metadata only the id and
    the stub's hash.
    """
    details = cell.metadata.exercise
    cell.source = replace_region(cell.source, details["stub"])
    cell.metadata.exercise = nbformat.from_dict({"id": details["id"], "stub_hash": text_hash(cell.source)})


def without_links(text):
    """Markdown whose links to files of the repository are words alone, for a reader who has none of them."""
    return re.sub(r"(?<!!)\[([^\]]+)\]\((?![a-z]+:|#)[^)\s]+\)", r"\1", text)


def answered(notebook):
    """Ids of the exercises in a generated notebook whose cell is no longer the untouched stub."""
    stubs = [(cell.metadata.get("exercise", {}), cell.source) for cell in notebook.cells]
    return [details["id"] for details, source in stubs
            if details.get("stub_hash", text_hash(source)) != text_hash(source)]


def notebook_text(notebook):
    """The notebook as the bytes of its file, the same each time."""
    return nbformat.writes(notebook, version=4).rstrip("\n") + "\n"


def difference(solutions_path, exercises_path):
    """A sentence saying how the committed exercises differ from what their solutions generate; empty when
    they are the same.
    """
    source, target = Path(solutions_path), Path(exercises_path)
    names = f"{target.parent.name}/{target.name}", f"{source.parent.name}/{source.name}"
    if not target.exists():
        return f"{names[0]} is missing: run `make exercises` and commit it."
    if target.read_text(encoding="utf-8") == notebook_text(generate(read(source))):
        return ""
    answers = answered(nbformat.read(target, as_version=4))
    if answers:
        return (f"{names[0]} holds answers to {', '.join(answers)}: keep your copy under another name and "
                "`git checkout` the file.")
    return f"{names[0]} differs from what {names[1]} generates: run `make exercises` and commit the result."


def write(solutions_path, exercises_path, overwrite=False):
    """Generates one notebook. Raises SolutionsError rather than overwrite answers, unless `overwrite`."""
    target = Path(exercises_path)
    if target.exists() and not overwrite:
        answers = answered(nbformat.read(target, as_version=4))
        if answers:
            raise SolutionsError(f"{target} holds answers to {', '.join(answers)}: move it away first, or "
                                 "pass --overwrite to lose them.")
    text = notebook_text(generate(read(solutions_path)))
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(text, encoding="utf-8")


def solutions_of(root):
    """All solutions notebooks under a course's root, in the order of the levels."""
    return sorted((Path(root) / "solutions").glob("*.ipynb"))


def strangers(root):
    """Sentences about exercises that no solutions notebook generates."""
    known = {path.name for path in solutions_of(root)}
    return [f"exercises/{path.name} has no solutions/{path.name}: remove it, because exercises are only ever "
            "generated."
            for path in sorted((Path(root) / "exercises").glob("*.ipynb")) if path.name not in known]


def run_solutions(path):
    """Runs a solutions notebook from top to bottom and saves it with its outputs, as a reader of the
    repository sees it.

    Raises SolutionsError with the sentence of the first cell that fails; the file is then as it was.
    """
    notebook = nbformat.read(path, as_version=4)
    client = NotebookClient(notebook, timeout=300, kernel_name="python3",
                            resources={"metadata": {"path": str(Path(path).parent)}},
                            record_timing=False, store_widget_state=False)
    try:
        client.execute()
    except CellExecutionError as error:
        raise SolutionsError(f"{path} does not run: {error.ename}: {error.evalue}") from None
    Path(path).write_text(notebook_text(notebook), encoding="utf-8")


def release(level, root, course):
    """Copies the level's solutions into nbgrader's source folder, runs `nbgrader generate_assignment`,
    returns the released notebook.

    Raises SolutionsError when there is no such level, nbgrader is not installed, or nbgrader refuses (the
    text holds its log).
    """
    found = [path for path in solutions_of(root) if path.name.startswith(f"{level:02d}_")]
    if not found:
        levels = ", ".join(str(int(path.name[:2])) for path in solutions_of(root))
        raise SolutionsError(f"there are no solutions for level {level}: the levels there are: "
                             f"{levels or 'none'}.")
    if importlib.util.find_spec("nbgrader") is None:
        raise SolutionsError("nbgrader is not installed: run `pip install nbgrader` in this environment, "
                             "or grade without it by `python -m puffer_min.course.grade DIR`.")
    read(found[0])
    assignment, course = f"level{level:02d}", Path(course).resolve()
    source = course / "source" / assignment
    source.mkdir(parents=True, exist_ok=True)
    shutil.copy(found[0], source / found[0].name)
    command = [sys.executable, "-m", "nbgrader", "generate_assignment", assignment, "--force",
               f"--CourseDirectory.root={course}"]
    # nbgrader reads nbgrader_config.py where it runs
    finished = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    if finished.returncode:
        raise SolutionsError(f"nbgrader could not release level {level}:\n{finished.stderr.strip()}")
    return course / "release" / assignment / found[0].name


def parse_arguments(arguments):
    parser = argparse.ArgumentParser(prog="python -m puffer_min.course.exercises",
                                     description=__doc__.split("\n")[0])
    parser.add_argument("action", nargs="?", choices=["generate", "release", "run"], default="generate")
    parser.add_argument("--check", action="store_true",
                        help="write nothing; fail when a committed notebook differs")
    parser.add_argument("--overwrite", action="store_true", help="overwrite notebooks that hold answers")
    parser.add_argument("--level", type=int, help="the level to release, 1 to 10")
    parser.add_argument("--course", type=Path,
                        help="nbgrader's course directory (default: classroom/ in the repository)")
    parser.add_argument("--root", type=Path, default=ROOT,
                        help="the folder that holds solutions/ and exercises/")
    options = parser.parse_args(arguments)
    if options.action == "release" and options.level is None:
        parser.error("release needs --level N, for example `make release LEVEL=5`")
    return options


def main(arguments=None):
    options = parse_arguments(arguments)
    sources = solutions_of(options.root)
    exercises = options.root / "exercises"
    try:
        if options.action == "release":
            released = release(options.level, options.root, options.course or options.root / "classroom")
            step = f"nbgrader release_assignment level{options.level:02d}"
            print(f"Level {options.level} is released to {released}; hand it out with `{step}`.")
        elif options.action == "run":
            for path in sources:
                run_solutions(path)
                print(f"{path} is run, and its outputs are saved in it.")
        elif options.check:
            problems = [difference(path, exercises / path.name) for path in sources] + strangers(options.root)
            if any(problems):
                raise SolutionsError("\n".join(filter(None, problems)))
            print(f"All {len(sources)} notebooks in {exercises} are what their solutions generate.")
        else:
            problems = []
            for path in sources:
                try:
                    write(path, exercises / path.name, overwrite=options.overwrite)
                except SolutionsError as error:
                    problems.append(str(error))
            print(f"{len(sources) - len(problems)} of {len(sources)} exercise notebooks are written to "
                  f"{exercises}.")
            if problems:
                raise SolutionsError("\n".join(problems))
    except SolutionsError as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
