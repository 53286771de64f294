"""nbgrader's parts for this course: what is handed out, what is judged, and what is exported.

nbgrader's own ClearSolutions knows one stub for all exercises and would hand the mistakes and the
explanations to the students. `nbgrader_config.py` puts ClearExercises in its place; hidden tests stay until
nbgrader has saved them in its gradebook. nbgrader refuses a submission with a copied cell, another name or a
broken file; `mend` makes of each a notebook of the course with what can be read. nbgrader's own Execute would
run the answers beside the tests in one process, as you; JudgeExercises takes its place and gives what
`python -m puffer_min.course.grade` gives. `StateExporter` tells what could not be graded from 0 points.
"""

import csv
import sys
from pathlib import Path

import nbformat
from nbgrader.api import MissingEntry
from nbgrader.plugins.export import ExportPlugin
from nbgrader.preprocessors import NbGraderPreprocessor
from traitlets import Bool, Unicode

from puffer_min.course.exercises import give_stub, notebook_text, without_links
from puffer_min.course.grade import WARNING, matching, run_notebook
from puffer_min.course.handed_in import LARGEST, NotGradable, find, rebuilt
from puffer_min.course.sandbox import best_mode
from puffer_min.course.secret import hidden_seeds
from puffer_min.course.solutions import SOLUTION_ONLY, SolutionsError, grade_id, read, role

ORIGINALS = "handed-in"             # folder in a submission for the files as they came
ABOUT = "handed_in"                 # a mended notebook's metadata: {"state": …, "notes": […]}
COLUMNS = ("assignment", "student_id", "last_name", "first_name", "email", "timestamp", "state", "raw_score",
           "late_submission_penalty", "score", "max_score", "note")


class ClearExercises(NbGraderPreprocessor):
    """Replaces answers by their stubs, drops the mistakes, the cells meant for the solutions alone and links
    to files that a student does not have.
    """

    def preprocess(self, nb, resources):
        nb.cells = [cell for cell in nb.cells if SOLUTION_ONLY not in cell.metadata.get("tags", [])]
        return super().preprocess(nb, resources)

    def preprocess_cell(self, cell, resources, index):
        if role(cell) == "solution":
            give_stub(cell)
        if cell.cell_type == "markdown":
            cell.source = without_links(cell.source)
        return cell, resources


def mend(assignment, student, notebooks):
    """nbgrader's hook before a submission is graded: for each notebook of the assignment, the course's own
    with the student's answers in it, whatever the file was called and whatever became of it. The files as
    they came lie in a folder beside it. `notebooks`, the paths that nbgrader found, is changed in place.
    """
    folder = Path(notebooks[0]).parent
    originals, source = folder / ORIGINALS, folder.parents[2] / "source" / assignment
    originals.mkdir(exist_ok=True)
    for path in map(Path, notebooks):
        if not is_mended(path) or not (originals / path.name).exists():
            path.replace(originals / path.name)
    made = []
    for solutions in [read(path) for path in sorted(source.glob("*.ipynb"))]:
        try:
            handed_in = find(originals.glob("*.ipynb"), solutions)
            notebook, notes = rebuilt(handed_in.notebook, solutions)
            notes, state = [*handed_in.notes, *notes], "graded"
        except NotGradable as error:
            notebook, _ = rebuilt(nbformat.v4.new_notebook(), solutions)
            notes, state = [str(error)], "not gradable"
        notebook.metadata[ABOUT] = {"state": state, "notes": notes}
        if notes:
            lines = ["**About the file that was handed in.**", "", *(f"- {note}." for note in notes)]
            notebook.cells.insert(0, nbformat.v4.new_markdown_cell("\n".join(lines)))
        made.append(folder / f"{solutions.name}.ipynb")
        made[-1].write_text(notebook_text(notebook), encoding="utf-8")
    notebooks[:] = map(str, made)


def is_mended(path):
    """Whether `mend` wrote a file."""
    return (not path.is_symlink() and path.stat().st_size <= LARGEST
            and f'"{ABOUT}"' in path.read_text(encoding="utf-8", errors="replace"))


def about(path):
    """(state, sentences) of a notebook that `mend` wrote."""
    found = nbformat.read(path, as_version=4).metadata.get(ABOUT, {})
    return found.get("state", "graded"), list(found.get("notes", []))


class JudgeExercises(NbGraderPreprocessor):
    """Judges the answers of a submission and leaves at each test cell its sentence as an error, or nothing:
    nbgrader then gives no points, or all of the cell's.
    """

    secret = Unicode("", help="File of the course's secret; default: `secret` in the course directory, if it "
                              "is there.").tag(config=True)
    per_student = Bool(False, help="Whether each student gets other hidden inputs.").tag(config=True)

    def preprocess(self, nb, resources):
        if best_mode() == "plain":
            print(WARNING, file=sys.stderr, flush=True)
        state = nb.metadata.get(ABOUT, {}).get("state")
        found = {} if state == "not gradable" else self.sentences(nb, resources["nbgrader"])
        for cell in nb.cells:
            if role(cell) == "grade":
                sentence = found.get(grade_id(cell), "the answer was not judged: there is nothing to grade")
                cell.outputs = [nbformat.v4.new_output("error", ename="CheckFailed", evalue=sentence,
                                                       traceback=[sentence])] if sentence else []
        return nb, resources

    def sentences(self, nb, names):
        """{grade id of a test cell: its sentence, empty where it passes}; `names` are nbgrader's of the
        student and the assignment.
        """
        root = Path(self.config.CourseDirectory.root)
        solutions = matching(nb, [read(path) for path in
                                  sorted((root / "source" / names["assignment"]).glob("*.ipynb"))])
        if solutions is None:
            return {}
        seeds = hidden_seeds(self.secret or None, self.per_student, root / "secret")
        try:
            return {step.cell: sentence for step, sentence in run_notebook(
                nb, solutions, seed_of=lambda exercise: seeds.of(exercise, names["student"]))}
        except SolutionsError as error:
            tests = [index for exercise in solutions.exercises for index in exercise.tests]
            return {grade_id(solutions.notebook.cells[index]): str(error) for index in tests}


class StateExporter(ExportPlugin):
    """`nbgrader export` for this course: a row for each student and assignment, with what nbgrader's own says
    and its state. Points stand only where there was something to grade.
    """

    def export(self, gradebook):
        root, rows = Path(self.parent.coursedir.root), []
        for assignment in gradebook.assignments:
            students = {student.id: student for student in gradebook.students}
            handed_in = {path.parent.name for path in root.glob(f"submitted/*/{assignment.name}")}
            rows += [self.row(gradebook, root, assignment, name, students.get(name), name in handed_in)
                     for name in sorted({*students, *handed_in})
                     if not (self.student and name not in map(str, self.student))
                     and not (self.assignment and assignment.name not in map(str, self.assignment))]
        with open(self.to or "grades.csv", "w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, COLUMNS, restval="")
            writer.writeheader()
            writer.writerows(rows)

    def row(self, gradebook, root, assignment, name, student, handed_in):
        row = {"assignment": assignment.name, "student_id": name, "max_score": assignment.max_score}
        row |= {key: getattr(student, key) or "" for key in ("last_name", "first_name", "email") if student}
        graded = sorted(root.glob(f"autograded/{name}/{assignment.name}/*.ipynb"))
        try:
            submission = gradebook.find_submission(assignment.name, name) if graded else None
        except MissingEntry:
            submission = None
        if submission is None:
            return row | {"state": "not gradable" if handed_in else "not handed in",
                          "note": "nbgrader has not graded it: its log says why" if handed_in else ""}
        found = [about(path) for path in graded]
        row |= {"timestamp": submission.timestamp or "",
                "note": "; ".join(note for _, notes in found for note in notes)}
        if all(state == "not gradable" for state, _ in found):
            return row | {"state": "not gradable"}
        penalty = submission.late_submission_penalty or 0.0
        return row | {"state": "waits for a person" if submission.needs_manual_grade else "graded",
                      "raw_score": submission.score, "late_submission_penalty": penalty,
                      "score": max(0.0, submission.score - penalty)}
