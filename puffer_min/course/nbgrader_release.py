"""nbgrader's preprocessor for this course: a released notebook equals the generated exercise.

nbgrader's own ClearSolutions knows one stub for all exercises and would hand the mistakes and the
explanations to the students. `nbgrader_config.py` puts this one in its place; hidden tests stay until
nbgrader has saved them in its gradebook.
"""

from nbgrader.preprocessors import NbGraderPreprocessor

from puffer_min.course.exercises import give_stub
from puffer_min.course.solutions import SOLUTION_ONLY, role


class ClearExercises(NbGraderPreprocessor):
    """Replaces answers by their stubs, drops the mistakes and the cells meant for the solutions alone."""

    def preprocess(self, nb, resources):
        nb.cells = [cell for cell in nb.cells if SOLUTION_ONLY not in cell.metadata.get("tags", [])]
        return super().preprocess(nb, resources)

    def preprocess_cell(self, cell, resources, index):
        if role(cell) == "solution":
            give_stub(cell)
        return cell, resources
