"""The commands of `python -m puffer_min`, and their functions: train, evaluate, run_sweep, check_environment.

`tune_process` is in this file because it must run before torch is imported, and the other modules import it.
"""

import contextlib
import ctypes
import os
import sys


def tune_process() -> None:
    """Make training faster by two settings of the whole process; they stay. `train` calls this.

    GOMP_SPINCOUNT      Threads of torch spin while they wait. On a busy machine this keeps other threads off
                        the cores; with this setting they sleep after 5,000 rounds. libgomp reads the variable
                        when torch is first imported, so train.py calls this function before that. A program
                        that imports torch earlier sets the variable itself. A value that is set already, or
                        OMP_WAIT_POLICY, is not changed.
    mallopt             On Linux, glibc keeps freed blocks of several MB. Every minibatch allocates and frees
                        tensors of 2 to 8 MB, and each page of a new block costs a page fault.
    """
    if "torch" not in sys.modules and "OMP_WAIT_POLICY" not in os.environ:
        os.environ.setdefault("GOMP_SPINCOUNT", "5000")
    if sys.platform == "linux":
        with contextlib.suppress(OSError, AttributeError):
            mallopt = ctypes.CDLL(None).mallopt
            mallopt(-1, 2**30)          # M_TRIM_THRESHOLD: bytes at the end of the heap that are kept
            mallopt(-3, 2**30)          # M_MMAP_THRESHOLD: blocks from this size on are pages of their own
