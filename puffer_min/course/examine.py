"""`examine`: a rung of a ladder looked into before it is measured: annotation by function, profile of calls,
profile of lines.

    examine("game.pyx", lambda module: module.Game().step, "Game.scan", "Game.act", lines="Game.scan")

The source is built a second time, with both hooks and without optimisation, because nothing that carries a
hook is to be measured and the build that is measured cannot be profiled. So these are shares of a program
that does the same and takes longer.
"""

from __future__ import annotations

import functools
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from types import ModuleType

from puffer_min.course.annotate import Annotation, annotate
from puffer_min.course.bench import html_table, text_table
from puffer_min.course.build import build
from puffer_min.course.hook import traceable
from puffer_min.course.profile import CallProfile, LineProfile, profile_calls, profile_lines


@dataclass(frozen=True, repr=False)
class Examination:
    """Result of `examine`. `module` is the traced build; `lines` is None where this Python does not trace
    Cython functions.
    """

    functions: tuple[str, ...]
    notes: Annotation
    calls: CallProfile
    lines: LineProfile | None
    module: ModuleType

    HEAD = ("function", "Cython's score", "lines that touch Python in loops", "exception checks")

    def scores(self) -> list[tuple[str, ...]]:
        """A row of the annotation for each function, as text."""
        return [(name, str(self.notes.score(name)), str(len(self.notes.python_lines(name, loops=True))),
                 str(len(self.notes.exception_checks(name)))) for name in self.functions]

    def __repr__(self):
        return "\n\n".join([text_table([self.HEAD, *self.scores()]),
                            repr(self.calls), *([repr(self.lines)] if self.lines else [])])

    def _repr_html_(self):
        parts = [html_table(self.HEAD, self.scores(), "Annotation of the build that is measured."),
                 self.calls._repr_html_()]
        return "<br>".join(parts + ([self.lines._repr_html_()] if self.lines else []))


def examine(source, run, *functions: str, lines: str, name: str | None = None, directives: dict | None = None,
            shown: int = 6) -> Examination:
    """Annotate a Cython source and profile its calls and lines.

    source, name, directives    as `build` takes them.
    run         called with the traced module, returns the callable without arguments that is profiled; it
                runs three times.
    functions   whose scores are shown, "f" or "Class.method".
    lines       the function whose lines are timed.
    shown       rows of the profile of calls.
    """
    # one is translated while the other is compiled
    with ThreadPoolExecutor(1) as aside:
        building = aside.submit(build, source, name=name, directives=directives, linetrace=True,
                                compile_args=["-O0"])
        notes = _annotation(source, name, tuple((directives or {}).items()))
        module = building.result()
    call = run(module)
    calls = profile_calls(call)
    # What profile_calls says about the dearer hook of a build for lines is known here, and no speed is read
    # from it.
    calls = replace(calls, shown=shown, notes=tuple(note for note in calls.notes if "linetrace" not in note))
    return Examination(functions, notes, calls, profile_lines(call, lines) if traceable() else None, module)


@functools.lru_cache(8)
def _annotation(source, name: str | None, directives: tuple) -> Annotation:
    """A ladder examines one source under several settings of the game: translating it takes a second and
    gives the same.
    """
    return annotate(source, directives=dict(directives), name=name)
