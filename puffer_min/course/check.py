"""`check("gae", gae)`: one line when an answer is right, one sentence that names the likely mistake when it
is not.

    check("gae", gae)                   gae: right (values on random rows; nothing flows back over the end of
                                        an episode)
    check("gae", gae, part="speed")     gae, speed: right (at least 300 times as fast as the plain loop)
    check("gae", gae, hidden=True)      more than the first asks, on other inputs: what a hidden test runs

The checks live in `checks/levelNN.py`, one file a level. A check is a function of the answers; it makes its
claims with `assert` or with the helpers of `claims.py`. It is given `rng`, a seeded NumPy generator, and
`hidden`, whether this is the hidden test, where it asks for them:

    @register("gae")
    def _(gae, rng, hidden):
        "values on random rows; nothing flows back over the end of an episode"
        sizes = [(1, 6), (3, 5), *([(1, 1), (64, 1), (5, 0)] if hidden else [])]
        same_values(gae, reference_gae, [random_rows(rng, *size) for size in sizes], mistakes={
            "it forgets gamma": without_gamma})

    @register("gae", part="speed", live=True)
    def _(gae, rng):
        "at least 300 times as fast as the plain loop"
        faster(...)

An exercise has one main check and may have further parts, each with a test cell and points of its own.
"""

from __future__ import annotations

import contextlib
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
GIVEN = ("rng", "hidden")           # what a check function may ask for beside the answers
VISIBLE_SEED, HIDDEN_SEED = 0, 7
_hidden_seed = HIDDEN_SEED          # `hidden_inputs` sets it


class CheckFailed(AssertionError):
    """An answer that does not hold; its text is the sentence for the reader."""

    def _render_traceback_(self):
        """IPython asks for this: the sentence alone, without the frames of the check."""
        return [f"{type(self).__name__}: {self}"]


@dataclass(frozen=True)
class Check:
    """A registered check: `name` as in `name_of`; `claims` is the first line of its docstring; `live` as in
    `register`.
    """

    name: str
    function: object
    claims: str
    live: bool = False

    @property
    def answers(self) -> list[str]:
        """Names of the objects it is called with."""
        return [name for name in inspect.signature(self.function).parameters if name not in GIVEN]

    def run(self, objects, seed: int, hidden: bool = False) -> None:
        """Raise what the function raises. The random inputs depend on (seed, name) alone."""
        extra = {"rng": np.random.default_rng([seed, zlib.crc32(self.name.encode())]), "hidden": hidden}
        asked = inspect.signature(self.function).parameters
        self.function(*objects, **{name: extra[name] for name in GIVEN if name in asked})


def name_of(id: str, part: str = "") -> str:
    """What a part of an exercise is called: `gae`, or `gae, speed`."""
    return f"{id}, {part}" if part else id


def register(id: str, part: str = "", *, live: bool = False):
    """Decorator: make a function the check of exercise `id`, or of a further part of it ("edges", "speed").
    Its docstring says in a line what it claims.

    live: it looks at more than the values that the answer is given and gives (environments, shared memory,
    callables, speed, compiled code), so the grader must run it in the answer's own process; see `judge`. An
    exercise is better protected where the part that decides values is not live.
    """
    name = name_of(id, part)

    def keep(function):
        claims = (inspect.getdoc(function) or "").split("\n")[0]
        if not claims:
            raise ValueError(f"check {name!r} has no docstring: say in one line what it claims")
        there = _REGISTRY.get(name)
        if there is not None and there.function.__module__ != function.__module__:
            raise ValueError(f"check {name!r} is registered by {there.function.__module__} already: ids are "
                             "unique in the course")
        _REGISTRY[name] = Check(name, function, claims, live)
        return function
    return keep


@contextlib.contextmanager
def hidden_inputs(seed: int):
    """While it is open, `check(…, hidden=True)` draws its inputs from `seed`: the grader's, from the course's
    secret.
    """
    global _hidden_seed
    before, _hidden_seed = _hidden_seed, seed
    try:
        yield
    finally:
        _hidden_seed = before


def check(id: str, *objects, part: str = "", hidden: bool = False, seed: int | None = None) -> None:
    """Check the answers of exercise `id`, or of a part of it; prints a line if they are right.

    hidden: ask what only the hidden test asks. seed: of the random inputs; default 0, or with `hidden` the
    seed of `hidden_inputs`, 7 where there is none.

    Raises CheckFailed (an AssertionError) with a sentence if not, ValueError for an unknown id or part,
    TypeError for a wrong number of answers.
    """
    known, name = registered(), name_of(id, part)
    if name not in known:
        near = difflib.get_close_matches(name, known, n=1, cutoff=0.4)
        there = f"did you mean {near[0]!r}?" if near else f"there is {'; '.join(known) or 'none yet'}"
        raise ValueError(f"no check {name!r}: {there}")
    found = known[name]
    if seed is None:
        seed = _hidden_seed if hidden else VISIBLE_SEED
    if len(objects) != len(found.answers):
        raise TypeError(f"check({name!r}) takes {len(found.answers)} answer{'s' * (len(found.answers) != 1)} "
                        f"({', '.join(found.answers)}), given {len(objects)}")
    try:
        found.run(objects, seed, hidden)
    except CheckFailed as error:
        raise CheckFailed(f"{name}: {error}") from error.__cause__
    except AssertionError as error:
        raise CheckFailed(f"{name}: {str(error) or 'a claim does not hold: ' + _place(error)}") from None
    except NotImplementedError as error:
        raise CheckFailed(f"{name}: this is not written yet") from error
    except Exception as error:
        raise CheckFailed(f"{name}: your code raises {type(error).__name__}: {error} "
                          f"({_place(error)})") from error
    print(f"{name}: right ({found.claims})")


@functools.cache
def _load_levels() -> None:
    for module in pkgutil.iter_modules(checks.__path__):
        if module.name.startswith("level"):
            importlib.import_module(f"{checks.__name__}.{module.name}")


def registered() -> dict[str, Check]:
    """All checks of the course by name: `gae`, `gae, speed`."""
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
