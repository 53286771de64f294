"""The strict %%cython: a cell that does not compile stops the notebook.

    %load_ext puffer_min.course

    %%cython -a
    from envs.core.native cimport Native
    ...

Three differences from the stock magic, which prints the compiler's words and lets Run All go on with
yesterday's function:
  * A cell that does not compile raises CompileError: one sentence and the line, numbered as the cell's editor
    numbers it.
  * The names that the cell would have defined are taken out of the notebook when it fails, so that no older
    version answers for them; the error says which.
  * It compiles with the project's directives and arguments (`envs/core/compile_settings.py`). The release
    build checks nothing, so an index out of range may end the kernel; with `--debug` it is an IndexError.
"""

from __future__ import annotations

import ast
import re

from IPython.core.magic import Magics, cell_magic, magics_class
from IPython.core.magic_arguments import argument, magic_arguments, parse_argstring

from puffer_min.course.annotate import annotate
from puffer_min.course.build import build
from puffer_min.course.translate import CompileError

_CLASS = re.compile(r"^(?:(?:cdef\s+)?(?:(?:public|api)\s+)?class|cpdef\s+enum(?:\s+class)?)\s+(\w+)", re.M)
_FUNCTION = re.compile(r"^(?:(?:async\s+)?def|cpdef)\s[^(\n]*?(\w+)\s*\(", re.M)
_ASSIGNMENT = re.compile(r"^([A-Za-z_]\w*)\s*(?::[^=\n]*)?=(?!=)", re.M)


@magics_class
class StrictCython(Magics):
    """Holds the cell magic %%cython."""

    @magic_arguments()
    @argument("-a", "--annotate", action="store_true", help="show which lines still talk to Python")
    @argument("--debug", action="store_true", default=None,
              help="with bounds, wraparound, None and overflow checks")
    @argument("--profile", action="store_true",
              help="compile the hook of cProfile in (profile_calls); speeds are no speeds then")
    @argument("--linetrace", action="store_true",
              help="compile the hook of the line profiler in (profile_lines)")
    @argument("-n", "--name", default="cell",
              help="stem of the module's name, as tables and tracebacks show it")
    @argument("-X", "--directive", action="append", default=[], metavar="NAME=VALUE",
              help="a Cython directive, e.g. -X boundscheck=True")
    @argument("-c", "--compile-args", action="append", default=[],
              help="argument for the C compiler, e.g. -c=-fopenmp")
    @argument("--link-args", action="append", default=[], help="argument for the linker")
    @cell_magic
    def cython(self, line, cell):
        """Compile the cell and bring its public names into the notebook; raise CompileError if it does not
        compile.
        """
        __tracebackhide__ = True                                # IPython leaves this frame out of tracebacks
        given = parse_argstring(self.cython, line)
        # so that lines have the numbers they have in the cell
        source = f"# %%cython {line}".rstrip() + "\n" + cell
        try:
            module = build(source, name=given.name, debug=given.debug,
                           directives=_directives(given.directive), profile=given.profile,
                           linetrace=given.linetrace, compile_args=given.compile_args,
                           link_args=given.link_args)
        except BaseException as error:
            self._forget(cell, error)
            raise
        names = getattr(module, "__all__", None) or [name for name in vars(module)
                                                     if not name.startswith("_")]
        self.shell.push({name: getattr(module, name) for name in names})
        return annotate(module) if given.annotate else None

    def _forget(self, cell: str, error: BaseException) -> None:
        """Take the names that the failed cell would have defined out of the notebook, and say so in the
        error.
        """
        stale = sorted(name for name in defined_names(cell) if name in self.shell.user_ns)
        if not stale:
            return
        self.shell.drop_by_id({name: self.shell.user_ns[name] for name in stale})
        note = f"Taken out of the notebook until this cell compiles: {', '.join(stale)}"
        if isinstance(error, CompileError):
            error.args = (f"{error}\n{note}",)
        else:
            error.add_note(note)


def defined_names(cell: str) -> set[str]:
    """Names that a Cython source binds at its top level by def, cpdef, class or assignment; it need not
    compile.
    """
    return {name for pattern in (_CLASS, _FUNCTION, _ASSIGNMENT) for name in pattern.findall(cell)}


def _directives(given: list[str]) -> dict:
    pairs = [text.partition("=") for text in given]
    wrong = [name for name, equals, _ in pairs if not equals]
    if wrong:
        raise ValueError(f"-X {wrong[0]}: expected NAME=VALUE, e.g. -X boundscheck=True")
    return {name: ast.literal_eval(value) for name, _, value in pairs}


def load_ipython_extension(shell) -> None:
    """Called by `%load_ext puffer_min.course`."""
    shell.register_magics(StrictCython)
