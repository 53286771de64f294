"""Reads an answer in whatever form it comes: a number of Python, NumPy or torch, or an array of one; a list,
a tuple or an array of numbers. And names the special case that an answer fails.
"""

import numpy as np

from puffer_min.course.check import CheckFailed
from puffer_min.course.claims import expect, same_values


def plain(found):
    """`found` as a NumPy array; tensors leave their gradient behind. Raises CheckFailed for anything else."""
    expect(found is not None, "it returns nothing: is the return missing?")
    if isinstance(found, tuple | list) and any(hasattr(part, "detach") for part in found):
        found = [plain(part) for part in found]
    try:
        array = np.asarray(found.detach().numpy() if hasattr(found, "detach") else found)
    except (TypeError, ValueError):
        array = None
    expect(array is not None and array.dtype.kind in "fiub",
           f"it returns {shown(found)}, expected a number or an array of numbers")
    return array


def number(found) -> float:
    """The one number that an answer returns."""
    array = plain(found)
    expect(array.size == 1, f"it returns {shown(found)}, expected one number")
    return float(array.reshape(()))


def numbers(found, count: int | None = None):
    """The numbers (n,) that an answer returns one after another, in a list, a tuple or an array."""
    many = isinstance(found, tuple | list)
    array = plain([] if many and not found else found)
    expect(array.ndim == 1 or many and array.ndim == 2 and array.shape[1] == 1,
           f"it returns {shown(found)}, expected a list of numbers, one after another")
    expect(count is None or len(array) == count, f"it returns {len(array)} numbers, expected {count}")
    return array.reshape(-1)


def whole_numbers(found, count: int | None = None):
    """As `numbers`, of which each must be a whole number by its type."""
    array = numbers(found, count)
    expect(array.dtype.kind in "iu" or not len(array),
           f"it returns numbers of the type {array.dtype}, expected whole numbers (int)")
    return array.astype(np.int64)


def pair(found):
    """The two numbers that an answer returns as a tuple, a list or an array."""
    expect(found is not None, "it returns nothing: is the return missing?")
    size = len(found) if hasattr(found, "__len__") else 1
    expect(size == 2, f"it returns {shown(found)}, expected two numbers")
    return number(found[0]), number(found[1])


def pair_of(found, count, names):
    """The two arrays (count,) that an answer returns as a tuple or a list."""
    expect(isinstance(found, tuple | list) and len(found) == 2,
           f"it returns {shown(found)}, expected two tensors: {names}")
    return tuple(numbers(part, count) for part in found)


def shown(found) -> str:
    text = " ".join(repr(found).split())
    return text if len(text) <= 80 else f"a {type(found).__name__}"


def edges(answer, reference, cases, **settings) -> None:
    """Claim as `same_values` that the answer holds in special cases.

    cases       sentence -> arguments; the failure is the sentence and then what was found
    settings    of `same_values`
    """
    for sentence, case in cases.items():
        try:
            same_values(answer, reference, [case], **settings)
        except CheckFailed as error:
            raise CheckFailed(f"{sentence} ({error})") from None
        except NotImplementedError:
            raise
        except Exception as error:
            raise CheckFailed(f"{sentence} (it raises {type(error).__name__}: {error})") from error
