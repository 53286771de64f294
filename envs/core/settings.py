"""Settings at the border: an environment's constructor checks each one in a line that names the bounds.

    self.size = whole("size", size, 3, 255)
    self.share = number("share", share, low=0.5, below=1)
    self.task = choice("task", task, TASKS)
    self.threats = flag("threats", threats)

Each function returns a plain int, float, str or bool that lies within the bounds, or raises ValueError with
one sentence. Scalars of NumPy and torch are numbers; True is none, and neither is an array of one element.
The bounds keep every product that the rules compute within 32 bits; `Native.prepare` does the same for the
batch as a whole, and refuses one that needs more memory than is free.
"""

import math
import operator

import numpy as np

LONGEST = 1_000_000_000         # steps, ticks or frames of a setting: they are counted in 32 bits
LARGEST_REWARD = 1_000_000      # what a setting may pay or take: rewards and returns are float32


def whole(name, value, low=0, high=None) -> int:
    """`value` as an int from `low` to `high` (without an end if None)."""
    if not is_flag(value):
        try:
            found = operator.index(value)
        except Exception:           # TypeError, or torch's error for a tensor of several elements
            found = None
        if found is not None and low <= found and (high is None or found <= high):
            return found
    limits = f">= {low}" if high is None else f"from {low:,} to {high:,}"
    raise refusal(name, value, f"a whole number {limits}")


def number(name, value, low=None, high=None, *, above=None, below=None) -> float:
    """`value` as a finite float, >= `low` and <= `high`, or > `above` and < `below`; None is no bound."""
    try:
        scalar = np.ndim(value) == 0 and not is_flag(value) and not isinstance(value, str | bytes)
        found = float(value) if scalar else math.nan
    except Exception:               # no number, or one beyond the largest float
        found = math.nan
    if (math.isfinite(found) and (low is None or found >= low) and (high is None or found <= high)
            and (above is None or found > above) and (below is None or found < below)):
        return found
    given = ("at least", low), ("above", above), ("at most", high), ("below", below)
    bounds = [f"{words} {bound:,}" for words, bound in given if bound is not None]
    raise refusal(name, value, " ".join(["a finite number", " and ".join(bounds)]).strip())


def choice(name, value, options) -> str:
    """`value`, one of the strings `options`."""
    if isinstance(value, str) and value in options:
        return str(value)
    raise refusal(name, value, f"one of {', '.join(map(repr, options))}")


def flag(name, value) -> bool:
    """`value`, True or False."""
    if is_flag(value):
        return bool(value)
    raise refusal(name, value, "True or False")


def is_flag(value) -> bool:
    """Whether `value` is True or False, Python's, NumPy's or torch's."""
    boolean = "bool" in str(getattr(value, "dtype", "")) and np.ndim(value) == 0
    return isinstance(value, bool | np.bool_) or boolean


def refusal(name, value, expected) -> ValueError:
    """The error for a setting `name` that is not what was expected; to be raised."""
    return ValueError(f"{name}={shown(value)} given, expected {expected}")


def shown(value) -> str:
    """`value` in one line of at most 60 characters."""
    try:
        text = " ".join(repr(value).split())
    except Exception:               # a number of more than 4,300 digits, or a class whose repr fails
        text = f"<{type(value).__name__}>"
    return text if len(text) <= 60 else f"{text[:57]}..."
