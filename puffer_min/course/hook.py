"""What a profiler's hook costs on this machine, calibrated once for each kind of function.

The hook runs at the start and at the end of every function that is profiled. What it takes before the first
and after the second moment is booked to the caller, the rest to the function itself. Without the GIL it has
to take the GIL and give it back, twice a call: that is most of its cost.
"""

from __future__ import annotations

import cProfile
import functools
import sys
import time
from dataclasses import dataclass

from puffer_min.course.build import build

CALIBRATION = 20_000            # calls in one run of the calibration
KINDS = {"python": "a Python function", "builtin": "a built-in", "cython": "a Cython function",
         "nogil": "a Cython function without the GIL"}


@dataclass(frozen=True)
class HookCost:
    """Seconds that the profiler adds to one call: `caller` is booked to the function that calls, `callee` to
    the one called.
    """

    caller: float
    callee: float

    @property
    def total(self) -> float:
        """Both together."""
        return self.caller + self.callee


def traceable() -> bool:
    """Whether this Python lets Cython functions be profiled: 3.12 took the old interface away before Cython
    had the new one.
    """
    return sys.version_info[:2] != (3, 12)


_EMPTY = """
cdef int empty(int x) noexcept nogil:
    return x + 1

cdef int calls(int n) noexcept nogil:
    cdef int i, x = 0
    for i in range(n):
        x = empty(x)
    return x

def cython(int n):
    return calls(n)

def nogil(int n):
    with nogil:
        n = calls(n)
    return n
"""


@functools.cache
def hook_cost(kind: str) -> HookCost:
    """What cProfile adds to one call of a function of `kind` (see KINDS) on this machine."""
    def empty():
        pass

    def python(n):
        for _ in range(n):
            empty()

    def builtin(n, nothing=()):
        for _ in range(n):
            len(nothing)

    if kind in ("cython", "nogil"):
        bare, hooked = (getattr(build(_EMPTY, name="hook", profile=profile), kind)
                        for profile in (False, True))
    else:
        bare = hooked = {"python": python, "builtin": builtin}[kind]
    plain = min(_seconds(bare, CALIBRATION) for _ in range(5)) / CALIBRATION
    found = []
    for _ in range(5):
        profiler = cProfile.Profile()
        profiler.enable()
        hooked(CALIBRATION)
        profiler.disable()
        entries = [entry for entry in profiler.getstats() if entry.callcount == CALIBRATION]
        inside = entries[0].inlinetime / CALIBRATION
        caller = max(entry.inlinetime for entry in profiler.getstats() if entry.callcount == 1) / CALIBRATION
        found.append(HookCost(max(0.0, caller - plain), inside))
    return min(found, key=lambda cost: cost.total)


_LINES = """
def cython(int n):
    cdef int i, x = 0
    for i in range(n):
        x = n
    return x

def nogil(int n):
    cdef int i, x = 0
    with nogil:
        for i in range(n):
            x = n
    return x
"""


@functools.cache
def line_hook_cost(kind: str) -> float:
    """Seconds that line_profiler shows for a line that does next to nothing, in a function of `kind` (see
    KINDS, without "builtin").
    """
    import line_profiler

    def python(n):
        x = 0
        for _ in range(n):
            x = n
        return x

    function = python if kind == "python" else getattr(build(_LINES, name="hook", linetrace=True), kind)
    best = float("inf")
    for _ in range(3):
        profiler = line_profiler.LineProfiler()
        profiler.add_callable(function)
        profiler.enable()
        function(CALIBRATION)
        profiler.disable()
        stats = profiler.get_stats()
        best = (min([best, *(ticks * stats.unit / hits for timings in stats.timings.values()
                             for _, hits, ticks in timings if hits > 1)]))
    return best


def _seconds(call, *arguments) -> float:
    began = time.perf_counter()
    call(*arguments)
    return time.perf_counter() - began
