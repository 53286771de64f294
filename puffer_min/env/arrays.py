"""Arrays of other libraries as NumPy arrays over the same memory: torch, JAX, CuPy, all that speak DLPack.

    rows = as_numpy(simulator.get_observations())       # a torch tensor on the CPU: no copy, a view
"""

import numpy as np


def as_numpy(array) -> np.ndarray:
    """`array` as a NumPy array over the same memory, without a copy where it lives in the CPU's memory.

    A NumPy array comes back as it is. An object with `__dlpack__` (torch, JAX, ...) gives a view, read-only
    where its owner says so. A number, a list or an object with `__array__` is converted. Raises ValueError
    for memory of another device, TypeError for something that is no array.
    """
    if isinstance(array, np.ndarray):
        return array
    if not hasattr(array, "__dlpack__") or isinstance(array, np.generic):
        converted = np.asarray(array)
        if converted.dtype == object:
            raise TypeError(f"{type(array).__name__} given, expected an array, a number or a nested list of "
                            "numbers")
        return converted
    name = f"{type(array).__module__.partition('.')[0]} {type(array).__name__}"
    if array.__dlpack_device__()[0] not in (1, 3):              # kDLCPU; kDLCUDAHost, the CPU's pinned memory
        device = getattr(array, "device", "unknown")
        raise ValueError(f"{name} on device {device} given, expected CPU memory; run the simulator on the CPU"
                         ", or copy with .cpu() once for the whole batch")
    if getattr(array, "requires_grad", False):
        array = array.detach()
    try:
        return np.from_dlpack(array)
    except (BufferError, RuntimeError, TypeError) as error:     # bfloat16, for instance
        dtype = getattr(array, "dtype", "unknown type")
        raise TypeError(f"{name} of {dtype} given, which NumPy cannot view ({error}); convert it to float32 "
                        "first") from error
