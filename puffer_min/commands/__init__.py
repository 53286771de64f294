"""The commands of `python -m puffer_min`, and the functions behind them: train, evaluate, run_sweep,
check_environment.

`tune_process` stands here because it must run before torch is imported, and every other module of this room
may import torch.
"""

import contextlib
import ctypes
import os
import sys


def tune_process() -> None:
    """Change two settings of the whole process that decide how fast training is; neither is put back.
    `train` calls this.

    GOMP_SPINCOUNT      Threads of torch wait for each other by spinning. On a busy machine that keeps other
                        programs, and the threads that are waited for, off the cores; after 5,000 rounds they
                        now sleep. libgomp reads the variable when torch is first imported.
                        `puffer_min.train` is looked up when it is first used, and the head of train.py calls
                        this function before it imports torch. In a program that imports torch before that,
                        set the variable yourself. A value of yours, or OMP_WAIT_POLICY, is left as it is.
    mallopt             glibc keeps freed blocks of several MB. A minibatch allocates and frees tensors of 2
                        to 8 MB all the time, and each page of a fresh one costs a fault. Nothing is done
                        elsewhere than on Linux with glibc.
    """
    if "torch" not in sys.modules and "OMP_WAIT_POLICY" not in os.environ:
        os.environ.setdefault("GOMP_SPINCOUNT", "5000")
    if sys.platform == "linux":
        with contextlib.suppress(OSError, AttributeError):
            mallopt = ctypes.CDLL(None).mallopt
            mallopt(-1, 2**30)          # M_TRIM_THRESHOLD: bytes at the end of the heap that are kept
            mallopt(-3, 2**30)          # M_MMAP_THRESHOLD: blocks from this size on are pages of their own
