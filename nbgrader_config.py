"""nbgrader's settings for this course; nbgrader reads this file when it runs in the root of the repository.

    make release LEVEL=5                        generate: classroom/source and classroom/release
    nbgrader release_assignment level05         hand out by the exchange (or send classroom/release/level05)
    nbgrader collect level05                    collect (or put files at classroom/submitted/STUDENT/level05)
    nbgrader autograde level05                  judge them in a sandbox; points go to classroom/gradebook.db
    nbgrader generate_feedback level05          HTML at classroom/feedback
    nbgrader export                             grades.csv, with the state of each submission
"""

import os
import sys
from pathlib import Path

from nbgrader import preprocessors

from puffer_min.course.nbgrader_release import ClearExercises, JudgeExercises, StateExporter, mend

c = get_config()  # noqa: F821  (traitlets puts it there)

# nbgrader starts `alembic` by name, which must be found even where the environment is not activated.
os.environ["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)])

c.CourseDirectory.course_id = "ten-levels-of-rl"
c.CourseDirectory.root = str(Path(__file__).resolve().parent / "classroom")

# nbgrader's own list with the course's way of clearing answers, and without header files, test templates and
# marking schemes, which the course does not use.
# The gradebook keeps the tests with their hidden part: ClearHiddenTests comes after SaveCells.
c.GenerateAssignment.preprocessors = [
    preprocessors.LockCells,
    ClearExercises,
    preprocessors.ClearOutput,
    preprocessors.CheckCellMetadata,
    preprocessors.ComputeChecksums,
    preprocessors.SaveCells,
    preprocessors.ClearHiddenTests,
    preprocessors.ComputeChecksums,
    preprocessors.CheckCellMetadata,
]

c.Autograde.pre_convert_hook = mend             # any file name, copied and lost cells, broken files
c.ExportApp.plugin_class = StateExporter        # tells what could not be graded from 0 points
# c.JudgeExercises.per_student = True           # other hidden inputs for each student; see course.secret
# Not nbgrader's Execute: the answers run in a sandbox, and what is right is decided outside (see the page
# for instructors, solutions/README.md).
c.Autograde.autograde_preprocessors = [
    JudgeExercises,
    preprocessors.LimitOutput,
    preprocessors.SaveAutoGrades,
    preprocessors.AssignLatePenalties,
    preprocessors.CheckCellMetadata,
]
c.Autograde.sanitize_preprocessors = [
    preprocessors.ClearOutput,
    preprocessors.OverwriteKernelspec,
    preprocessors.OverwriteCells,
    preprocessors.CheckCellMetadata,
]
