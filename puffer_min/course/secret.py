"""The secret of a course: hidden tests draw their inputs from it, so that nobody without it can repeat them.

    python -m puffer_min.course.secret          makes classroom/secret; keep it as you keep the gradebook

Made once for a course and never released: `classroom/` is not in git, nbgrader hands out `classroom/release`
alone, and the sandbox does not show it to an answer. The grader and nbgrader find it there, or take another
by `--secret FILE` and `JudgeExercises.secret`. From it and the exercise, and if wished the student, come the
seeds; a seed tells nothing about the secret, nor about another exercise.
"""

import hashlib
import secrets
import sys
from dataclasses import dataclass
from pathlib import Path

from puffer_min.course.check import HIDDEN_SEED
from puffer_min.course.solutions import ROOT, SolutionsError

PLACE = ROOT / "classroom" / "secret"
BYTES = 32


@dataclass(frozen=True)
class HiddenSeeds:
    """The seeds of the hidden inputs. secret: bytes, or None: then all are 7, as in the course's own tests.
    per_student: whether each student gets other inputs.
    """

    secret: bytes | None = None
    per_student: bool = False

    def of(self, exercise, student=""):
        """The seed of one exercise of a student, from 0 to 2**64 - 1."""
        if self.secret is None:
            return HIDDEN_SEED
        words = "\0".join([exercise, student if self.per_student else ""]).encode()
        return int.from_bytes(hashlib.blake2b(words, key=self.secret, digest_size=8).digest(), "little")


NO_SECRET = HiddenSeeds()


def hidden_seeds(path=None, per_student=False, place=PLACE):
    """The seeds from the secret at `path`; without one from that at `place`, 7 where there is none.

    Raises SolutionsError when `path` is missing or is no secret.
    """
    if path is None and not Path(place).exists():
        return NO_SECRET
    return HiddenSeeds(read_secret(path or place), per_student)


def read_secret(path):
    """The bytes of a secret. Raises SolutionsError when there is none that `make` wrote."""
    try:
        secret = bytes.fromhex(Path(path).read_text(encoding="ascii"))
    except (OSError, ValueError):
        secret = b""
    if len(secret) != BYTES:
        raise SolutionsError(f"{path} holds no secret of a course: make one by `python -m "
                             f"puffer_min.course.secret {path}`.")
    return secret


def make(path=PLACE):
    """Writes a new secret, readable by its owner alone. Raises SolutionsError when there is one already."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        path.touch(mode=0o600, exist_ok=False)
    except FileExistsError:
        raise SolutionsError(f"{path} is there already: another secret would give other hidden tests to "
                             "those who are graded later.") from None
    path.write_text(secrets.token_hex(BYTES) + "\n", encoding="ascii")
    return path


def main(arguments=None):
    given = sys.argv[1:] if arguments is None else arguments
    if len(given) > 1 or any(word.startswith("-") for word in given):
        sys.exit(f"usage: python -m puffer_min.course.secret [FILE]    (default: {PLACE.relative_to(ROOT)})")
    try:
        path = make(*given)
    except SolutionsError as error:
        sys.exit(str(error))
    print(f"The course's secret is in {path}: keep it, and hand it to nobody.")


if __name__ == "__main__":
    main()
