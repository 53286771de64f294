"""`annotate`: which lines of a Cython source still talk to Python, as a drawing and as data.

    notes = annotate("envs/squared.pyx")            # draws itself in a notebook
    notes.python_lines("Squared.step_range")        # [] : the loop is plain C
    notes.exception_checks("Squared.step_range")    # []: no line looks for an exception

White is plain C; the yellower a line, the more of Python's C API it calls (Cython's own score: 5 for a call
of CPython, 2 for one of Cython's, 1 for a macro). White is necessary and not enough: a call of a function
that may raise is followed by a question for the exception, and with the GIL released that question takes the
GIL while the line stays white. `exception_checks` finds those.

The drawing carries its colours in style attributes and folds the C with <details>, because a notebook that is
not trusted loses <style> and <script>, and JupyterLab's stylesheet hides the yellow of Cython's own page.
"""

from __future__ import annotations

import difflib
import html
import re
from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path

from envs.core.compile_settings import is_debug
from puffer_min.course.bench import text_table
from puffer_min.course.build import made_by, read_source, settings
from puffer_min.course.translate import MARK, Function, Line, score_of, translate

_TAKES = re.compile(r"__Pyx_ErrOccurredWithGIL|PyGILState_Ensure")
_LOOKS = re.compile(rf"{_TAKES.pattern}|PyErr_Occurred|__PYX_ERR")


@dataclass(frozen=True)
class ExceptionCheck:
    """A line whose C looks for an exception. kind: "takes the GIL", "asks PyErr_Occurred" or "error branch".
    """

    line: int
    kind: str
    source: str
    c: str

    def __str__(self):
        calls_cdef = re.search(r"__pyx_(f_|v\w*->__pyx_vtab|vtab)", self.c)
        cure = "; declare the function it calls noexcept" if calls_cdef else ""
        return f"line {self.line} {self.kind}{cure}: {self.source}"


@dataclass(frozen=True, repr=False)
class Annotation:
    """The lines of one Cython source with their scores and their C. Functions are named "f" or
    "Class.method".
    """

    name: str
    lines: tuple[Line, ...]
    functions: dict[str, Function]
    hints: tuple[tuple[int, str], ...] = ()         # (line, performance hint of Cython)
    shown: tuple[str, ...] = ()                     # functions the drawing is limited to
    c_lines: int = 16

    # ------------------------------------------------------------------ data

    def score(self, function: str | None = None) -> int:
        """Sum of the lines' scores: of the whole source, or of a function's body (its signature is entry and
        exit, once a call).
        """
        return sum(line.score for line in self._body(function))

    def python_lines(self, function: str | None = None, *, loops: bool = False) -> list[int]:
        """Numbers of the lines that touch Python; of a function's body, or with loops=True only of what its
        loops repeat.
        """
        if not loops:
            return [line.number for line in self._body(function) if line.score]
        names = [function] if function else list(self.functions)
        return sorted({number for name in names for number in self._repeated(self.function(name))})

    def calls(self, function: str | None = None) -> Counter:
        """Names of the C API of Python and Cython in the C, with how often each is written (not how often it
        runs).
        """
        names = (name for line in self._body(function)
                 for name in re.findall(r"\b((?:__Pyx_|__pyx_convert_|Py[A-Z])\w+)\(", line.c))
        # these compile to nothing
        return Counter(name for name in names if not re.match(r"__Pyx_(X?(GOT|GIVE)REF|RefNanny)", name))

    def exception_checks(self, function: str | None = None) -> list[ExceptionCheck]:
        """The lines whose C looks for an exception. In a hot function there should be none: white is not
        free.
        """
        found = []
        for line in self._body(function):
            c = line.c
            kind = ("takes the GIL" if _TAKES.search(c) else
                    "asks PyErr_Occurred" if "PyErr_Occurred" in c else
                    "error branch" if "__PYX_ERR" in c else "")
            if kind:
                where = next(part.strip() for part in c.splitlines() if _LOOKS.search(part))
                found.append(ExceptionCheck(line.number, kind, line.text.strip(), where))
        return found

    def function(self, name: str) -> Function:
        """Where function `name` is; a method's class may be left out where that is clear. ValueError with the
        nearest name otherwise.
        """
        if name in self.functions:
            return self.functions[name]
        short = [full for full in self.functions if full.rpartition(".")[2] == name]
        if len(short) == 1:
            return self.functions[short[0]]
        near = (short or difflib.get_close_matches(name, self.functions, n=1, cutoff=0.4)
                or list(self.functions))
        raise ValueError(f"no function {name!r} in {self.name}: there is {', '.join(near)}" if near
                         else f"{self.name} has no function")

    def only(self, *functions: str) -> Annotation:
        """The same, drawn for these functions alone."""
        return replace(self, shown=tuple(self.function(name).name for name in functions))

    # ------------------------------------------------------------------ drawing

    def display(self) -> None:
        """Show the drawing in a notebook, the table elsewhere."""
        try:
            from IPython.display import display
        except ImportError:
            print(self)
        else:
            display(self)

    def __repr__(self):
        names = self.shown or tuple(self.functions)
        touching = len(self.python_lines())
        rows = [("function", "lines", "python lines", "in loops", "score", "exception checks")]
        for name in names:
            place = self.functions[name]
            loops = str(len(self.python_lines(name, loops=True))) if place.loops else "-"
            rows.append((name, f"{place.first}-{place.last}", str(len(self.python_lines(name))), loops,
                         str(self.score(name)), str(len(self.exception_checks(name)))))
        return f"{self.name}: {touching} of {len(self.lines)} lines touch Python\n{text_table(rows)}"

    def _repr_html_(self):
        blocks, plain = [], []
        signatures = {place.first for place in self.functions.values() if place.body > place.first}
        asking = {check.line for check in self.exception_checks()
                  if check.kind != "error branch"} - signatures
        for line in self._shown_lines():
            c = _excerpt(line.c_html, self.c_lines) if line.score or line.number in asking else ""
            if c and line.number in signatures:
                c = (f"{len(line.c.splitlines())} lines of C that take the arguments apart and leave the "
                     "function: once a call.")
            mark = "!" if line.number in asking else " "
            text = (f"{'+' if c else ' '}{line.number:4d} {line.score or '':>4}{mark}| {line.text}"
                    if line.number else "   ⋯")
            text = html.escape(text, quote=False)
            if not c:
                plain.append(text)
                continue
            blocks.append(_plain(plain))
            plain = []
            blocks.append('<details><summary '
                          f'style="{_FOLDED};background-color:{_yellow(line.score)}">{text}</summary><pre '
                          f'style="{_C}">{c}</pre></details>')
        blocks.append(_plain(plain))
        head = (f'<div style="font-family:sans-serif;margin-bottom:4px">{html.escape(self.name)}: '
                f'{len(self.python_lines())} of '
                f"{len(self.lines)} lines touch Python (yellow, with Cython's score); ! looks for an "
                "exception. Open a line marked + to see its C.</div>")
        return f'<div style="{_SHEET}">{head}{"".join(blocks)}</div>'

    # ------------------------------------------------------------------ private

    def _body(self, function: str | None) -> list[Line]:
        """The lines of a function's body; a body on the line of the signature is cut out of it."""
        if function is None:
            return list(self.lines)
        place = self.function(function)
        lines = list(self.lines[place.body - 1:place.last])
        if place.body == place.first:
            c_html = lines[0].c_html
            # after it the module's own statements
            c_html = c_html[:c_html.rindex("\n}\n")] if "\n}\n" in c_html else c_html
            lines[0] = replace(lines[0], c_html=c_html, score=score_of(c_html))
        return lines

    def _repeated(self, place: Function) -> set[int]:
        """Numbers of the lines that touch Python each time round; what an outermost loop's own line does
        before it starts is once.
        """
        outermost = {first: last for first, last in place.loops
                     if not any(f < first <= e for f, e in place.loops)}
        inside = {number for first, last in outermost.items() for number in range(first, last + 1)}
        return {n for n in inside
                if (_each_time(self.lines[n - 1].c_html, outermost[n] == n) if n in outermost
                    else self.lines[n - 1].score)}

    def _shown_lines(self) -> list[Line]:
        """The lines to draw, without blank ones at the ends; a line of number 0 stands for a gap."""
        if not self.shown:
            lines = list(self.lines)
            while lines and not lines[0].text.strip():
                lines.pop(0)
            while lines and not lines[-1].text.strip():
                lines.pop()
            return lines
        places = sorted((self.functions[name] for name in self.shown), key=lambda place: place.first)
        out = []
        for place in places:
            out += [Line(0, "")] * bool(out) + list(self.lines[place.first - 1:place.last])
        return out


def annotate(source, *, debug: bool | None = None, directives: dict | None = None, name: str | None = None,
             c_lines: int = 16) -> Annotation:
    """Cython's annotation of a source.

    source      a path, the text of a source (as `build` takes them), or a module, function or class that
                `build` or a %%cython cell made; that one is annotated with the directives it was built with.
    c_lines     how many lines of C the drawing folds under a yellow line at most.
    Raises CompileError if Cython refuses the source. Nothing is compiled by the C compiler.
    """
    made = None if isinstance(source, (str, Path)) else made_by(source)
    if made:
        text, stem, folder, directives = (made.source, made.name.rpartition("_")[0], made.folder,
                                          made.directives)
        file_name = made.path.name
    else:
        text, path, stem = read_source(source, name)
        folder, file_name = path.parent if path else None, path.name if path else f"{stem}.pyx"
        directives = settings(is_debug() if debug is None else debug, directives, False, False)
    translation = translate(text, Path(file_name), stem, directives, folder or Path.cwd())
    return Annotation(file_name, translation.lines, translation.functions, translation.hints, c_lines=c_lines)


# ---------------------------------------------------------------------- pieces of C

def _each_time(c_html: str, alone: bool) -> int:
    """Score of what the C of a loop's own line does in each turn; `alone`: the whole loop is on this line."""
    start = re.search(r"\b(for|while) \(", c_html)
    if not start:
        return score_of(c_html)
    inside = c_html[start.start():]
    return score_of(inside if alone else inside.split(MARK)[0])


def _yellow(score: int) -> str:
    """Cython's colour of a score."""
    return f"#ffff{int(255 / (1 + score / 10)):02x}" if score else "#ffffff"


_SHEET = ("font-family:monospace;font-size:12px;line-height:1.35;color:#222222;background-color:#ffffff;"
          "padding:4px;overflow-x:auto")
_FOLDED = "display:block;white-space:pre;cursor:pointer"
_C = "margin:0 0 4px 92px;background-color:#f4f4f4;color:#444444;font-size:11px"
_INK = {"py_c_api": "#cc0000", "pyx_c_api": "#cc3300", "py_macro_api": "#b85c00", "pyx_macro_api": "#b85c00",
        "error_goto": "#a06000"}


def _excerpt(c_html: str, limit: int) -> str:
    """The C to show: no blank lines, no reference-counting aids that compile to nothing, at most `limit`
    lines, inline colours.
    """
    lines = [line for line in c_html.splitlines() if line.strip() and "<span class='refnanny'>" not in line]
    more = len(lines) - limit
    if more > 0:
        lines = [*lines[:limit], f"… {more} more lines of C"]
    return re.sub(r"<span class='(\w+)'>",
                  lambda found: f'<span style="color:{_INK.get(found[1], "#444444")}">', "\n".join(lines))


def _plain(lines: list[str]) -> str:
    return '<div style="white-space:pre">' + "\n".join(lines) + "</div>" if lines else ""
