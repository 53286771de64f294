"""The course tools: what notebooks use to measure, look into and teach. The library itself never imports
them.

    %load_ext puffer_min.course         installs the strict %%cython
    from puffer_min.course import build, annotate, bench, examine, Ladder, profile_calls, profile_lines,
    check, Player

Only light modules are imported here; a tool that draws or plays brings its own packages along when it is
asked for.
"""

import importlib

from puffer_min.course.annotate import annotate
from puffer_min.course.bench import bench
from puffer_min.course.build import build
from puffer_min.course.check import CheckFailed, check
from puffer_min.course.examine import examine
from puffer_min.course.ladder import Ladder
from puffer_min.course.profile import profile_calls, profile_lines
from puffer_min.course.translate import CompileError

# name -> module that brings a heavy package
_LATER = {"Player": "player", "explore": "sliders", "training_dashboard": "dashboard"}

__all__ = ["CheckFailed", "CompileError", "Ladder", "Player", "annotate", "bench", "build", "check",
           "examine", "explore", "profile_calls", "profile_lines", "training_dashboard"]


def __getattr__(name):
    if name in _LATER:
        return getattr(importlib.import_module(f"puffer_min.course.{_LATER[name]}"), name)
    for module in ("plots", "comparison_plots") if name.startswith("plot_") else ():
        found = getattr(importlib.import_module(f"puffer_min.course.{module}"), name, None)
        if found is not None:
            return found
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def load_ipython_extension(shell):
    """`%load_ext puffer_min.course`: install the %%cython that raises when a cell does not compile."""
    from puffer_min.course import magic

    magic.load_ipython_extension(shell)
