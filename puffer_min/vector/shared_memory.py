"""One block of memory that several processes see, and arrays laid out in it.

The block has no name: it is a file descriptor (memfd on Linux, a shared-memory object whose name is removed
at once elsewhere), which workers are sent through their pipe. So there is nothing that could be left behind:
when the last process that holds it is gone, for whatever reason, the system frees it.
"""

import mmap
import os
import secrets

import numpy as np

from envs.core.buffers import Buffers

CACHE_LINE = 64


def create_block(size: int) -> int:
    """File descriptor of `size` zeroed bytes that can be mapped by several processes."""
    if hasattr(os, "memfd_create"):
        descriptor = os.memfd_create("puffer_min", os.MFD_CLOEXEC)
    else:
        import _posixshmem
        name = f"/puffer{secrets.token_hex(6)}"
        descriptor = _posixshmem.shm_open(name, os.O_RDWR | os.O_CREAT | os.O_EXCL, mode=0o600)
        _posixshmem.shm_unlink(name)
    os.ftruncate(descriptor, size)
    return descriptor


def map_block(descriptor: int) -> np.ndarray:
    """The block as a writable uint8 array; it stays mapped as long as an array of it lives."""
    return np.frombuffer(mmap.mmap(descriptor, 0), np.uint8)


class Layout:
    """Names, shapes and dtypes of arrays in one block, each on a cache line of its own. Picklable."""

    def __init__(self, arrays: dict):
        """arrays: name -> (shape, dtype)."""
        self.places, self.size = {}, 0
        for name, (shape, dtype) in arrays.items():
            self.places[name] = self.size, tuple(shape), np.dtype(dtype)
            size = int(np.prod(shape, dtype=np.int64)) * np.dtype(dtype).itemsize
            self.size += -(-max(size, 1) // CACHE_LINE) * CACHE_LINE

    def arrays(self, block: np.ndarray) -> dict:
        """name -> array in `block`, a uint8 array of at least `size` bytes."""
        return {name: np.ndarray(shape, dtype, block, at) for name, (at, shape, dtype) in self.places.items()}


def buffers_of(arrays: dict) -> Buffers:
    """The arrays that belong to the contract of environments."""
    return Buffers(**{name: arrays[name] for name in Buffers._fields if name in arrays})
