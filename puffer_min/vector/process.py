"""`ProcessVectorizer`: each worker is a process that steps its environments in memory which the caller sees.

    caller          one block of shared memory                          worker w
    actions  ---->  | hand-off | logs | observations | actions ... | <- rows spans[w], no other worker's
    results  <----

A step goes through the hand-off (handoff.pyx): nothing is copied, pickled or sent. A pipe to each worker
carries everything else. What can go wrong, and how it is noticed:

    an environment raises        the worker sends the exception and its traceback, and the caller raises it
    a worker dies                the caller sees it within 50 ms while it waits for the worker: WorkerDied
    a worker hangs               TimeoutError after `timeout` seconds
    Ctrl-C                       workers ignore it; the caller raises KeyboardInterrupt and can call `recv`
    the caller dies              a thread of each worker notices, also during a long step, and ends the worker
    the caller forgets close()   a finalizer ends the workers, at the latest when the interpreter exits

The first three close the vectorizer. An environment may start processes: they end with its worker at the
latest. Shared memory has no name, so none can be left behind.
"""

import contextlib
import ctypes
import multiprocessing
import os
import pickle
import signal
import sys
import time
import weakref
from multiprocessing import connection, reduction
from types import SimpleNamespace

from gymnasium.vector.utils import CloudpickleWrapper

from puffer_min.vector.handoff import Handoff
from puffer_min.vector.parts import part_bounds
from puffer_min.vector.shared_memory import buffers_of, create_block, map_block
from puffer_min.vector.turns import GRACE, Vectorizer
from puffer_min.vector.worker import work

START_METHOD = "fork" if sys.platform == "linux" else "spawn"
PAUSE_HARD = 2      # omp_pause_hard of OpenMP


class WorkerDied(RuntimeError):
    """A worker process has ended although the caller did not stop it."""


class ProcessVectorizer(Vectorizer):
    """The process backend; arguments as in `make_vec`. `pids` are the process numbers of the workers."""

    backend = "process"

    def __init__(self, make_env, num_envs, num_workers, *, seed=0, batch_envs=None, report_interval=128,
                 timeout=120.0, start_method=None, spin_us=0, yield_us=100, env_settings=None):
        self._timeout, self._creator, self._method = timeout, os.getpid(), start_method or START_METHOD
        self._bounds, waits = part_bounds(num_envs, num_workers), {"spin_us": spin_us, "yield_us": yield_us}
        made = packed_for(self._method, make_env, env_settings)
        self._processes, self._pipes, self._handoff = [], [], None
        self._finalizer = weakref.finalize(self, end_workers, self._processes, self._pipes, self._creator)
        if self._method == "fork":
            rest_openmp()
        try:
            for worker, (first, last) in enumerate(self._bounds):
                self._start(worker, first, last - first, seed, made, self._creator)
            parts = [self._answer(worker) for worker in range(num_workers)]
            arrays = self._share(self._prepare(parts, num_envs, batch_envs, seed, report_interval), waits)
            for worker in range(num_workers):
                self._answer(worker)
        except BaseException:
            self._finalizer()
            raise
        self.use_buffers(buffers_of(arrays))
        self._adopt(arrays, Handoff(arrays["handoff"], num_workers, **waits))
        self.spec = SimpleNamespace(id=parts[0].name)
        self.pids = [process.pid for process in self._processes]

    def _start(self, worker, *task):
        """Start a worker process with arguments of `work`, and keep it and its pipe."""
        context, name = multiprocessing.get_context(self._method), f"puffer_min worker {worker}"
        pipe, far_end = context.Pipe()
        process = context.Process(target=work, args=(far_end, worker, *task), daemon=True, name=name)
        self._pipes.append(pipe)
        with children_allowed():
            process.start()
        far_end.close()             # the worker's end is now the only one: the worker's death ends the pipe
        self._processes.append(process)
        with contextlib.suppress(OSError):
            os.setpgid(process.pid, process.pid)        # the worker does it too; the first of both counts

    def _share(self, layout, waits):
        """Allocate memory for all parts and send it to the workers; returns its arrays."""
        descriptor = create_block(layout.size)
        try:
            arrays = layout.arrays(map_block(descriptor))
            arrays["masks"][:] = True
            for worker, span in enumerate(self.spans):
                reduction.send_handle(self._pipes[worker], descriptor, self._processes[worker].pid)
                self._pipes[worker].send((layout, *span, waits))
        except (BrokenPipeError, ConnectionResetError):
            self._lose(worker)
        finally:
            os.close(descriptor)
        return arrays

    def bind(self, buffers):
        """Raise ValueError: workers write into memory that was shared with them when they were made."""
        raise ValueError("bind: workers in other processes write into shared memory of their own; copy from "
                         "vec.observations, or use backend=\"thread\" or \"serial\", which write anywhere")

    # ------------------------------------------------------------------ messages, death and the end

    def _request(self, worker, method, arguments):
        try:
            self._pipes[worker].send((method, arguments))
        except BrokenPipeError:
            self._lose(worker)

    def _message(self, worker):
        pipe, death = self._pipes[worker], self._processes[worker].sentinel
        try:
            return pipe.recv() if connection.wait([pipe, death], self._timeout) else None
        except (EOFError, ConnectionResetError):
            self._lose(worker)

    def _look_after(self, workers):
        for worker in workers:
            if not self._processes[worker].is_alive() and self._handoff.is_unfinished(worker):
                self._lose(worker)

    def _lose(self, worker):
        """A worker is gone: close the vectorizer and say how the worker ended."""
        process = self._processes[worker]
        process.join(GRACE[0])
        code, hint = process.exitcode, ""
        killed = code is not None and code < 0
        how = f"was killed by {signal.Signals(-code).name}" if killed else f"ended with exit code {code}"
        if code == -signal.SIGKILL:
            hint = "; out of memory?"
        elif code in (-signal.SIGSEGV, -signal.SIGABRT):
            hint = "; a crash in compiled code?"
        elif self._method == "spawn" and self._handoff is None:
            hint = "; with start_method=\"spawn\" a script needs `if __name__ == \"__main__\":`"
        name = self._name(worker)
        self._close(f"{name} {how}")
        raise WorkerDied(f"{name} {how}{hint}")

    def _living(self):
        here = os.getpid() == self._creator         # not in a fork of the creator
        return [worker for worker in self._everyone if here and self._processes[worker].is_alive()]

    def _end(self, stopped):
        for worker in stopped:
            self._processes[worker].join(GRACE[0])
        self._finalizer()


def packed_for(start_method, make_env, env_settings):
    """(make_env, env_settings) for a worker; pickled by value for a worker that is no fork."""
    if start_method == "fork":
        return make_env, env_settings
    try:
        return pickle.dumps(CloudpickleWrapper((make_env, env_settings)))
    except Exception as error:
        raise TypeError(f"make_env or a setting cannot be pickled for a worker ({error}): give a function or "
                        "a class, or use start_method=\"fork\"") from error


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


def end_workers(processes, pipes, creator):
    """End the workers that are left, with what their environments have started. In a fork, do nothing."""
    if os.getpid() != creator:
        return
    for pipe in pipes:
        pipe.close()
    for number in (signal.SIGTERM, signal.SIGKILL):
        for process in processes:
            with contextlib.suppress(OSError):
                os.killpg(process.pid, number)          # a worker leads a group, once it has begun
            if process.is_alive():
                os.kill(process.pid, number)
        deadline = time.monotonic() + GRACE[0]
        for process in processes:
            process.join(max(0.0, deadline - time.monotonic()))
    processes.clear()
    pipes.clear()
