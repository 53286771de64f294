"""`profile_calls` and `profile_lines`: where the time goes, with the profiler's own share of it.

    game = build("skirmish.pyx", profile=True)          # the hook must be compiled in; linetrace=True for
                                                        lines
    env = game.Skirmish(64)
    profile_calls(lambda: env.step(actions))            # draws a table
    profile_lines(lambda: env.step(actions), "Skirmish.scan")

A profiler is a function that runs at the start and the end of every other one. A small function costs less
than its hook, and most of the hook's time is booked to the *caller*: a function that calls ten trivial ones
looks slow, and stops looking slow when the trivial ones are left out of the profile
(`@cython.profile(False)`). So the hook is calibrated on this machine, the table says how much of each row is
likely to be hook, and how fast the program is must be measured on a build without it.

Both run cProfile and line_profiler through their programming interfaces, because what their magics print is
lost outside a front end.
"""

from __future__ import annotations

import cProfile
import gc
import linecache
import sys
import time
import types
from dataclasses import dataclass

from puffer_min.course.bench import html_table, text_table
from puffer_min.course.build import Build, builds_of
from puffer_min.course.hook import KINDS, HookCost, hook_cost, line_hook_cost, traceable
from puffer_min.measure import duration


@dataclass(frozen=True)
class CallRow:
    """A function in a profile. Times in seconds; `hook` is the estimated part of `own` that is the profiler.
    """

    function: str
    calls: int
    own: float
    hook: float
    total: float
    kind: str                   # of KINDS
    file: str
    line: int


@dataclass(frozen=True, repr=False)
class CallProfile:
    """Result of `profile_calls`; `table` is sorted by own time. These are shares, not speeds: measure those
    without a profiler.
    """

    table: tuple[CallRow, ...]
    seconds: float
    hooks: dict[str, HookCost]
    notes: tuple[str, ...] = ()
    shown: int = 12

    def top(self, n: int = 10, by: str = "own") -> list[CallRow]:
        """The first `n` rows by "own", "total", "calls", "hook" or "net" (own without hook)."""
        keys = {"own": lambda row: row.own, "total": lambda row: row.total, "calls": lambda row: row.calls,
                "hook": lambda row: row.hook, "net": lambda row: row.own - row.hook}
        if by not in keys:
            raise ValueError(f"by={by!r} given, expected one of {', '.join(keys)}")
        return sorted(self.table, key=keys[by], reverse=True)[:n]

    def row(self, function: str) -> CallRow:
        """The row of a function, by its name as the table shows it or the last part of it."""
        found = [row for row in self.table if row.function == function
                 or row.function.rpartition(".")[2] == function]
        if len(found) != 1:
            names = ", ".join(row.function for row in (found or self.table))
            raise ValueError(f"{function!r} names {len(found)} rows, expected one: there is {names}")
        return found[0]

    @property
    def hook_share(self) -> float:
        """The part of the profiled time that is likely to be the profiler's, between 0 and 1."""
        return min(1.0, sum(row.hook for row in self.table) / self.seconds)

    def sentence(self) -> str:
        """What the hook costs and how much of the run it was."""
        costs = ", ".join(f"{cost.total * 1e9:.0f} ns a call of {KINDS[kind]}"
                          for kind, cost in self.hooks.items())
        return (f"{duration(self.seconds)} under the profiler, of which its hook about {self.hook_share:.0%} "
                f"({costs or 'no calls'}). Shares, not speeds.")

    def rows(self) -> list[tuple[str, ...]]:
        """The rows that are drawn, as text."""
        return [(row.function,
                 f"{row.calls:,}", *(f"{seconds * 1e3:.2f}" for seconds in (row.own, row.hook, row.total)))
                for row in self.top(self.shown)]

    HEAD = ("function", "calls", "own ms", "of it hook", "total ms")

    def __repr__(self):
        return "\n".join([self.sentence(), text_table([self.HEAD, *self.rows()]), *self.notes])

    def _repr_html_(self):
        return html_table(self.HEAD, self.rows(), " ".join([self.sentence(), *self.notes]))


def profile_calls(what, *, namespace: dict | None = None) -> CallProfile:
    """Run `what` once under cProfile.

    what        a callable without arguments, or a statement (a string), which sees `namespace` (default: the
                caller's variables).
    Cython functions appear if they were built with `build(..., profile=True)`; Python 3.12 cannot profile
    them, which a note says.
    """
    call, seen = _callable(what, namespace, sys._getframe(1))
    profiler = cProfile.Profile()
    began = time.perf_counter()
    profiler.enable()
    try:
        call()
    finally:
        profiler.disable()
    seconds = time.perf_counter() - began
    builds = _builds(seen)
    entries = [entry for entry in profiler.getstats() if "_lsprof.Profiler" not in str(entry.code)]
    kinds = [_kind(entry.code, builds) for entry in entries]
    hooks = {kind: hook_cost(kind) for kind in KINDS if kind in kinds}
    rows = []
    for entry, kind in zip(entries, kinds, strict=True):
        called = sum(part.callcount * hooks[_kind(part.code, builds)].caller for part in entry.calls or ())
        hook = min(entry.inlinetime, called + entry.callcount * hooks[kind].callee)
        rows.append(CallRow(_name(entry.code, builds), entry.callcount, entry.inlinetime, hook,
                            entry.totaltime, kind,
                            getattr(entry.code, "co_filename", ""), getattr(entry.code, "co_firstlineno", 0)))
    rows.sort(key=lambda row: row.own, reverse=True)
    return CallProfile(tuple(rows), seconds, hooks, tuple(_notes(builds, "profile")))


# ---------------------------------------------------------------------- lines

@dataclass(frozen=True)
class LineRow:
    """A line in a profile: how often it ran, and its seconds with everything it calls."""

    function: str
    line: int
    source: str
    hits: int
    seconds: float
    share: float                # of its function

    @property
    def per_hit(self) -> float:
        """Seconds each time."""
        return self.seconds / self.hits


@dataclass(frozen=True, repr=False)
class LineProfile:
    """Result of `profile_lines`; `table` is in the order of the source. `hook` is what a line costs that does
    nothing, in seconds.
    """

    table: tuple[LineRow, ...]
    seconds: float
    hook: float
    notes: tuple[str, ...] = ()

    def top(self, n: int = 10) -> list[LineRow]:
        """The `n` most expensive lines."""
        return sorted(self.table, key=lambda row: row.seconds, reverse=True)[:n]

    def sentence(self) -> str:
        """What the hook costs."""
        return (f"{duration(self.seconds)} under the line profiler; a line that does nothing shows "
                f"{self.hook * 1e9:.0f} ns a time here. Shares, not speeds.")

    def rows(self) -> list[tuple[str, ...]]:
        """The rows as text, with a row for each function's name."""
        out, current = [], None
        for row in self.table:
            if row.function != current:
                current = row.function
                out.append((f"{current}:", "", "", "", ""))
            out.append((f"{row.line:4d} {row.source}", f"{row.hits:,}", f"{row.seconds * 1e3:.2f}",
                        f"{row.per_hit * 1e9:.0f}", f"{row.share:.0%}"))
        return out

    HEAD = ("line", "times", "ms", "ns each", "share")

    def __repr__(self):
        return "\n".join([self.sentence(), text_table([self.HEAD, *self.rows()]), *self.notes])

    def _repr_html_(self):
        rows = [(row[0].replace(" ", "\N{NO-BREAK SPACE}"), *row[1:]) for row in self.rows()]
        return html_table(self.HEAD, rows, " ".join([self.sentence(), *self.notes]))


def profile_lines(what, *functions, namespace: dict | None = None) -> LineProfile:
    """Run `what` under line_profiler and report the lines of `functions`.

    what        as for `profile_calls`.
    functions   Python functions; Cython functions and methods of a module built with `linetrace=True`; or
                names, "f" or "Class.method", which also reach `cdef` functions. Without any, `what` itself if
                it is a Python function.
    Names are looked up among the functions that a first run of `what` calls, so with names `what` runs twice.
    """
    import line_profiler

    call, seen = _callable(what, namespace, sys._getframe(1))
    functions = functions or ((what,) if isinstance(what, types.FunctionType) else ())
    if not functions:
        raise ValueError("profile_lines: say which functions, e.g. profile_lines(call, 'Skirmish.scan')")
    builds = _builds([*seen, *(function for function in functions if not isinstance(function, str))])
    names = [name for name in functions if isinstance(name, str)]
    profiler = line_profiler.LineProfiler()
    given = [function for function in functions if not isinstance(function, str)]
    for name, code in _named_codes(call, names, builds).items() if names else ():
        if any(code.co_code):
            given += _functions_of(name, code)
        # Cython's: line_profiler reads no more than this of it
        else:
            profiler.add_function(types.SimpleNamespace(
                __code__=code, __globals__={"__file__": code.co_filename}, __name__=code.co_name))
    before = {function: function.__code__ for function in given if isinstance(function, types.FunctionType)}
    for function in given:
        profiler.add_callable(function)
    began = time.perf_counter()
    profiler.enable()
    try:
        call()
    finally:
        profiler.disable()
        # line_profiler marks a function by another code object
        for function, code in before.items():
            function.__code__ = code
    seconds = time.perf_counter() - began
    stats = profiler.get_stats()
    rows = []
    for (file, first, name), timings in sorted(stats.timings.items()):
        whole = sum(ticks for _, _, ticks in timings) or 1
        made = _build_at(file, builds)
        shown = made.functions.get(first, name) if made else name
        rows += [LineRow(shown, line, linecache.getline(file, line).rstrip(), hits, ticks * stats.unit,
                         ticks / whole)
                 for line, hits, ticks in timings]
    notes = _notes(builds, "linetrace")
    if not rows and not notes:
        notes = ["None of these functions ran."]
    compiled = [made for file, _, _ in stats.timings if (made := _build_at(file, builds))]
    kind = "nogil" if any(made.released for made in compiled) else "cython" if compiled else "python"
    return LineProfile(tuple(rows), seconds, line_hook_cost(kind), tuple(notes))


def _named_codes(call, names: list[str], builds: list[Build]) -> dict[str, types.CodeType]:
    """The code object behind each name, found among what one run under cProfile calls.

    On Python 3.12, which hides Cython functions, a name that is not found is left out; a note tells why.
    """
    profiler = cProfile.Profile()
    profiler.enable()
    try:
        call()
    finally:
        profiler.disable()
    codes = {_name(entry.code, builds): entry.code for entry in profiler.getstats()
             if isinstance(entry.code, types.CodeType)}
    found = {}
    for name in names:
        matching = [code for full, code in codes.items() if full == name or full.rpartition(".")[2] == name]
        if not matching and not traceable():
            continue
        if len(matching) != 1:
            raise ValueError(f"{name!r} names {len(matching)} functions that were called, expected one: "
                             f"there is {', '.join(sorted(codes))}"
                             + "".join(f"; {note}" for note in _notes(builds, "linetrace")))
        found[name] = matching[0]
    return found


def _functions_of(name: str, code: types.CodeType) -> list[types.FunctionType]:
    """The Python functions that run `code`. Raises ValueError if there is none any more, as for a function
    inside another.
    """
    found = [thing for thing in gc.get_referrers(code) if isinstance(thing, types.FunctionType)]
    if not found:
        raise ValueError(f"each call makes a new {name!r}, so its lines cannot be marked: "
                         "define it outside the function that calls it, or profile that function")
    return found


# ---------------------------------------------------------------------- names and builds

def _callable(what, namespace, frame):
    """The thing to call and what to look for builds in."""
    if callable(what):
        return what, [what]
    if not isinstance(what, str):
        raise TypeError(f"profile: given {type(what).__name__}, expected a callable without arguments or a "
                        "statement")
    variables = {**frame.f_globals, **frame.f_locals} if namespace is None else namespace
    code = compile(what, "<statement>", "exec")
    return lambda: exec(code, variables), [variables[name] for name in code.co_names if name in variables]


def _builds(things) -> list[Build]:
    found = {made.name: made for thing in things for made in builds_of(thing)}
    return list(found.values())


def _build_at(file: str, builds: list[Build]) -> Build | None:
    return next((made for made in builds if str(made.path) == file), None)


def _kind(code, builds: list[Build]) -> str:
    """Which of KINDS a code object is: Cython's have no bytecode."""
    if isinstance(code, str):
        return "builtin"
    if any(code.co_code):
        return "python"
    made = _build_at(code.co_filename, builds)
    # an inline function of a .pxd: it runs as the functions that use it do
    if made is None:
        return "nogil" if any(made.released for made in builds) else "cython"
    return "nogil" if made.functions.get(code.co_firstlineno) in made.released else "cython"


def _name(code, builds: list[Build]) -> str:
    """A function as the table names it: qualified where that is known, a built-in without its angle brackets.
    """
    if isinstance(code, str):
        return code.strip("<>").replace("built-in method ", "").replace("builtins.", "")
    made = _build_at(code.co_filename, builds)
    if made:
        return made.functions.get(code.co_firstlineno, code.co_name)
    return getattr(code, "co_qualname", code.co_name).replace("<locals>.", "")


def _notes(builds: list[Build], hook: str) -> list[str]:
    """Why Cython functions are missing from the table, where they are."""
    if builds and not traceable():
        return ["Python 3.12 does not let Cython functions be profiled (3.11 and 3.13 do): their time is in "
                "the rows that call them."]
    notes = [f"{made.path.stem} was built without its hook, so its functions are missing: build(..., "
             f"{hook}=True)."
             for made in builds if not getattr(made, hook)]
    if hook == "profile":
        notes += [f"{made.path.stem} was built with linetrace=True, whose hook costs more than is estimated "
                  "here; profile=True is enough."
                  for made in builds if made.linetrace]
    return notes
