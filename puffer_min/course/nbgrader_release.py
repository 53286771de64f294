"""nbgrader's preprocessors for this course: a released notebook equals the generated exercise, and points
come from the course's judge.

nbgrader's own ClearSolutions knows one stub for all exercises and would hand the mistakes and the
explanations to the students. `nbgrader_config.py` puts this one in its place; hidden tests stay until
nbgrader has saved them in its gradebook. nbgrader's own Execute would run the answers beside the tests in one
process, as you; JudgeExercises takes its place and gives what `python -m puffer_min.course.grade` gives.
"""

import sys
from pathlib import Path

import nbformat
from nbgrader.preprocessors import DeduplicateIds, NbGraderPreprocessor

from puffer_min.course.exercises import give_stub
from puffer_min.course.grade import WARNING, matching, run_notebook
from puffer_min.course.sandbox import best_mode
from puffer_min.course.solutions import SOLUTION_ONLY, SolutionsError, grade_id, read, role


class ClearExercises(NbGraderPreprocessor):
    """Replaces answers by their stubs, drops the mistakes and the cells meant for the solutions alone."""

    def preprocess(self, nb, resources):
        nb.cells = [cell for cell in nb.cells if SOLUTION_ONLY not in cell.metadata.get("tags", [])]
        return super().preprocess(nb, resources)

    def preprocess_cell(self, cell, resources, index):
        if role(cell) == "solution":
            give_stub(cell)
        return cell, resources


class ForgetCopies(DeduplicateIds):
    """Of a cell that a student copied, the last counts, as in `grade`; the others become ordinary cells."""

    def preprocess_cell(self, cell, resources, index):
        cell, resources = super().preprocess_cell(cell, resources, index)
        if cell.metadata.get("nbgrader") == {}:
            del cell.metadata["nbgrader"]
        return cell, resources


class JudgeExercises(NbGraderPreprocessor):
    """Judges the answers of a submission and leaves at each test cell its sentence as an error, or nothing:
    nbgrader then gives no points, or all of the cell's.
    """

    def preprocess(self, nb, resources):
        if best_mode() == "plain":
            print(WARNING, file=sys.stderr, flush=True)
        found = self.sentences(nb, Path(self.config.CourseDirectory.root) / "source"
                               / resources["nbgrader"]["assignment"])
        for cell in nb.cells:
            if role(cell) == "grade":
                sentence = found.get(grade_id(cell), "the answer was not judged")
                cell.outputs = [nbformat.v4.new_output("error", ename="CheckFailed", evalue=sentence,
                                                       traceback=[sentence])] if sentence else []
        return nb, resources

    def sentences(self, nb, source):
        """{grade id of a test cell: its sentence, empty where it passes}; `source` is nbgrader's folder of
        the assignment's solutions.
        """
        solutions = matching(nb, [read(path) for path in sorted(source.glob("*.ipynb"))])
        if solutions is None:
            return {}
        try:
            return {step.cell: sentence for step, sentence in run_notebook(nb, solutions)}
        except SolutionsError as error:
            tests = [index for exercise in solutions.exercises for index in exercise.tests]
            return {grade_id(solutions.notebook.cells[index]): str(error) for index in tests}
