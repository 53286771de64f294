"""`check("gae", gae)`: one line when an answer is right, one sentence that names the likely mistake when it
is not.

    check("gae", gae)               gae: right (values on random rows; nothing flows back over the end of an
                                    episode)
    check("gae", gae, seed=7)       the same claims on other random inputs: what a hidden test asks

The checks live in `checks/levelNN.py`, one file a level. A check is a function of the answers; it makes its
claims with `assert` or with the helpers of `claims.py`, and is given `rng`, a seeded NumPy generator, where
it asks for it:

    @register("gae")
    def _(gae, rng):
        "values on random rows; nothing flows back over the end of an episode"
        same_values(gae, reference_gae, [random_rows(rng) for _ in range(20)], mistakes={"it forgets gamma":
        without_gamma})
        assert ..., "the advantage of the last step of an episode must be reward - value"
"""

from __future__ import annotations

import difflib
import functools
import importlib
import inspect
import pkgutil
import traceback
import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from puffer_min.course import checks

_REGISTRY: dict[str, Check] = {}


class CheckFailed(AssertionError):
    """An answer that does not hold; its text is the sentence for the reader."""

    def _render_traceback_(self):
        """IPython asks for this: the sentence alone, without the frames of the check."""
        return [f"{type(self).__name__}: {self}"]


@dataclass(frozen=True)
class Check:
    """A registered check: `claims` is the first line of its docstring; `live` as in `register`."""

    id: str
    function: object
    claims: str
    live: bool = False

    @property
    def answers(self) -> list[str]:
        """Names of the objects it is called with."""
        return [name for name in inspect.signature(self.function).parameters if name != "rng"]

    def run(self, objects, seed: int) -> None:
        """Raise what the function raises. The random inputs depend on (seed, id) alone."""
        extra = {}
        if "rng" in inspect.signature(self.function).parameters:
            extra["rng"] = np.random.default_rng([seed, zlib.crc32(self.id.encode())])
        self.function(*objects, **extra)


def register(id: str, *, live: bool = False):
    """Decorator: make a function the check of exercise `id`. Its docstring says in a line what it claims.

    live: it looks at more than the values that the answer is given and gives (environments, shared memory,
    callables, speed, compiled code), so the grader must run it in the answer's own process; see `judge`.
    """
    def keep(function):
        claims = (inspect.getdoc(function) or "").split("\n")[0]
        if not claims:
            raise ValueError(f"check {id!r} has no docstring: say in one line what it claims")
        there = _REGISTRY.get(id)
        if there is not None and there.function.__module__ != function.__module__:
            raise ValueError(f"check {id!r} is registered by {there.function.__module__} already: ids are "
                             "unique in the course")
        _REGISTRY[id] = Check(id, function, claims, live)
        return function
    return keep


def check(id: str, *objects, seed: int = 0) -> None:
    """Check the answers of exercise `id`; prints a line if they are right.

    Raises CheckFailed (an AssertionError) with a sentence if not, ValueError for an unknown id, TypeError for
    a wrong number of answers.
    """
    known = registered()
    if id not in known:
        near = difflib.get_close_matches(id, known, n=1, cutoff=0.4)
        there = f"did you mean {near[0]!r}?" if near else f"there is {', '.join(known) or 'none yet'}"
        raise ValueError(f"no check {id!r}: {there}")
    found = known[id]
    if len(objects) != len(found.answers):
        raise TypeError(f"check({id!r}) takes {len(found.answers)} answer{'s' * (len(found.answers) != 1)} "
                        f"({', '.join(found.answers)}), given {len(objects)}")
    try:
        found.run(objects, seed)
    except CheckFailed as error:
        raise CheckFailed(f"{id}: {error}") from error.__cause__
    except AssertionError as error:
        raise CheckFailed(f"{id}: {str(error) or 'a claim does not hold: ' + _place(error)}") from None
    except NotImplementedError as error:
        raise CheckFailed(f"{id}: this is not written yet") from error
    except Exception as error:
        raise CheckFailed(f"{id}: your code raises {type(error).__name__}: {error} "
                          f"({_place(error)})") from error
    print(f"{id}: right ({found.claims})")


@functools.cache
def _load_levels() -> None:
    for module in pkgutil.iter_modules(checks.__path__):
        if module.name.startswith("level"):
            importlib.import_module(f"{checks.__name__}.{module.name}")


def registered() -> dict[str, Check]:
    """All checks of the course by id."""
    _load_levels()
    return _REGISTRY


def _place(error: BaseException) -> str:
    """The line nearest to the error that is neither a library's nor the checks', as the reader can find it.
    An error from another process brings its place along.
    """
    if getattr(error, "place", ""):
        return error.place
    frames = traceback.extract_tb(error.__traceback__)
    here = str(Path(__file__).parent)
    theirs = [frame for frame in frames if not frame.filename.startswith(here)
              and "site-packages" not in frame.filename] or frames
    return f"line {theirs[-1].lineno}: {(theirs[-1].line or theirs[-1].name).strip()}"
