"""What starting and ending processes asks for beyond `multiprocessing`: threads that a fork does not have,
children of daemonic processes, and groups that end as a whole.
"""

import contextlib
import ctypes
import multiprocessing
import os
import signal
import time

PAUSE_HARD = 2                          # omp_pause_hard of OpenMP


def rest_openmp():
    """End the idle threads of GNU OpenMP (torch's on Linux); they start again when they are needed.

    A fork has no threads but the one that called it, and GNU OpenMP does not know: an environment that used
    torch with two threads would wait for the others without end.
    """
    with contextlib.suppress(OSError), open("/proc/self/maps") as maps:
        for path in {line.split()[-1] for line in maps if "/libgomp" in line}:
            pause = getattr(ctypes.CDLL(path), "omp_pause_resource_all", None)
            if pause is not None:
                pause(PAUSE_HARD)


@contextlib.contextmanager
def children_allowed():
    """Let this process start others even if it is daemonic, as a worker of a `multiprocessing.Pool` is."""
    own = multiprocessing.current_process()._config
    before = own.get("daemon", False)
    own["daemon"] = False
    try:
        yield
    finally:
        own["daemon"] = before


def end_processes(processes, pipes, creator, grace):
    """End what is left of `processes`, each with its group, and close their pipes. In a fork, do nothing.

    grace   seconds after SIGTERM, and after SIGKILL
    """
    if os.getpid() != creator:
        return
    for pipe in pipes:
        pipe.close()
    for number in (signal.SIGTERM, signal.SIGKILL):
        for process in processes:
            with contextlib.suppress(OSError):
                os.killpg(process.pid, number)          # it leads a group, once it has begun
            if process.is_alive():
                os.kill(process.pid, number)
        deadline = time.monotonic() + grace
        for process in processes:
            process.join(max(0.0, deadline - time.monotonic()))
    processes.clear()
    pipes.clear()
