"""Arrays of other libraries as NumPy arrays over the same memory: torch, JAX, CuPy and whatever else speaks DLPack.

    rows = as_numpy(simulator.get_observations())       # a torch tensor on the CPU: no copy, a view
"""

import numpy as np


def as_numpy(array) -> np.ndarray:
    """`array` as a NumPy array over the same memory, without a copy where it lives in the CPU's memory.

    NumPy arrays come back as they are; what offers `__dlpack__` (torch, JAX, ...) is taken over as a view, read-only where its owner
    says so; numbers, lists and what offers `__array__` are converted. Raises ValueError for memory of another device, TypeError for
    what is no array.
    """
    if isinstance(array, np.ndarray):
        return array
    if hasattr(array, "__dlpack__") and not isinstance(array, np.generic):
        return from_dlpack(array)
    converted = np.asarray(array)
    if converted.dtype == object:
        raise TypeError(f"{type(array).__name__} given, expected an array, a number or a nested list of numbers")
    return converted


def from_dlpack(array):
    """A view of what speaks DLPack and lives in the CPU's memory."""
    name = f"{type(array).__module__.partition('.')[0]} {type(array).__name__}"
    if array.__dlpack_device__()[0] not in (1, 3):              # kDLCPU; kDLCUDAHost, pinned memory of the CPU
        raise ValueError(f"{name} on device {getattr(array, 'device', 'unknown')} given, expected CPU memory; "
                         "run the simulator on the CPU, or copy with .cpu() once for the whole batch")
    if getattr(array, "requires_grad", False):
        array = array.detach()
    try:
        return np.from_dlpack(array)
    except (BufferError, RuntimeError, TypeError) as error:     # bfloat16, for instance
        raise TypeError(f"{name} of {getattr(array, 'dtype', 'unknown type')} given, which NumPy cannot view ({error}); "
                        "convert it to float32 first") from error
