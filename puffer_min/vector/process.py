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

The first three close the vectorizer. With `restarts`, the first two start the worker again instead: its
environments are made anew with other seeds, and their episodes are shown as cut. An environment may start
processes: they end with its worker at the latest. Shared memory has no name, so none can be left behind.
"""

import contextlib
import multiprocessing
import os
import pickle
import signal
import sys
import warnings
import weakref
from multiprocessing import connection, reduction
from types import SimpleNamespace

from gymnasium.vector.utils import CloudpickleWrapper

from puffer_min.processes import children_allowed, end_processes, rest_openmp
from puffer_min.vector.handoff import Handoff
from puffer_min.vector.parts import part_bounds
from puffer_min.vector.shared_memory import buffers_of, create_block, map_block
from puffer_min.vector.turns import GRACE, Vectorizer
from puffer_min.vector.worker import work

START_METHOD = "fork" if sys.platform == "linux" else "spawn"


class WorkerDied(RuntimeError):
    """A worker process has ended although the caller did not stop it."""


class ProcessVectorizer(Vectorizer):
    """The process backend; arguments as in `make_vec`. `pids` are the process numbers of the workers."""

    backend = "process"

    def __init__(self, make_env, num_envs, num_workers, *, seed=0, batch_envs=None, report_interval=128,
                 timeout=120.0, start_method=None, spin_us=0, yield_us=100, env_settings=None, restarts=0):
        self._timeout, self._creator, self._method = timeout, os.getpid(), start_method or START_METHOD
        self._bounds, waits = part_bounds(num_envs, num_workers), {"spin_us": spin_us, "yield_us": yield_us}
        self.restarts, self.restarted = restarts, 0     # times that workers may be, and were started again
        self._made = made = packed_for(self._method, make_env, env_settings)
        self._processes, self._pipes, self._handoff = [], [], None
        self._finalizer = weakref.finalize(self, end_processes, self._processes, self._pipes, self._creator,
                                           GRACE[0])
        try:
            for worker, (first, last) in enumerate(self._bounds):
                self._start(worker, first, last - first, seed, made, self._creator)
            parts = [self._answer(worker) for worker in range(num_workers)]
            layout = self._prepare(parts, num_envs, batch_envs, seed, report_interval)
            self._block = create_block(layout.size)
            self._free = weakref.finalize(self, os.close, self._block)
            arrays, self._sent = layout.arrays(map_block(self._block)), (layout, waits)
            arrays["masks"][:] = True
            for worker in range(num_workers):
                self._share(worker)
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
        self._pipes[worker:worker + 1] = [pipe]
        if self._method == "fork":
            rest_openmp()
        with children_allowed():
            process.start()
        far_end.close()             # the worker's end is now the only one: the worker's death ends the pipe
        self._processes[worker:worker + 1] = [process]
        with contextlib.suppress(OSError):
            os.setpgid(process.pid, process.pid)        # the worker does it too; the first of both counts

    def _share(self, worker, reset=None):
        """Send a worker its part of the memory, and the seed of a reset that it begins with, or None."""
        layout, waits = self._sent
        try:
            reduction.send_handle(self._pipes[worker], self._block, self._processes[worker].pid)
            self._pipes[worker].send((layout, *self.spans[worker], waits, reset))
        except (BrokenPipeError, ConnectionResetError):
            self._lose(worker)

    def _restart(self, worker, why):
        """Start a worker again, with new environments whose episodes begin; those from before are cut."""
        self.restarted += 1
        warnings.warn(f"{self._name(worker)} {why}: it is started again ({self.restarted} of {self.restarts} "
                      "restarts), and its episodes end here", RuntimeWarning, stacklevel=2)
        end_processes([self._processes[worker]], [self._pipes[worker]], self._creator, GRACE[0])
        (first, last), seed = self._bounds[worker], self.seed + self.restarted
        rows, flags = slice(*self.spans[worker]), self.truncations if self.truncates else self.terminals
        observations, living = self.observations[rows].copy(), self.masks[rows].copy()
        self._start(worker, first, last - first, seed, self._made, self._creator)
        handoff, self._handoff = self._handoff, None    # while it is made, as at the beginning
        self._answer(worker)
        self._share(worker, seed)
        self._answer(worker)
        self._handoff, self.pids[worker] = handoff, self._processes[worker].pid
        self._logs[worker], flags[rows] = 0, living
        if self.truncates:
            self.final_observations[rows] = observations
        return True

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
                if self.restarted == self.restarts or not self._handoff.settle(worker):
                    self._lose(worker)
                self._restart(worker, self._end_of(worker))

    def _excuse(self, worker, error):
        return self.restarted < self.restarts and self._restart(worker, f"raised {error!r}")

    def _lose(self, worker):
        """A worker is gone: close the vectorizer and say how the worker ended."""
        how, name = self._end_of(worker), self._name(worker)
        self._close(f"{name} {how.partition(';')[0]}")
        raise WorkerDied(f"{name} {how}")

    def _end_of(self, worker):
        """How a worker ended, and what may be the cause."""
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
        return how + hint

    def _living(self):
        here = os.getpid() == self._creator         # not in a fork of the creator
        return [worker for worker in self._everyone if here and self._processes[worker].is_alive()]

    def _end(self, stopped):
        for worker in stopped:
            self._processes[worker].join(GRACE[0])
        self._finalizer()
        self._free()


def packed_for(start_method, make_env, env_settings):
    """(make_env, env_settings) for a worker; pickled by value for a worker that is no fork."""
    if start_method == "fork":
        return make_env, env_settings
    try:
        return pickle.dumps(CloudpickleWrapper((make_env, env_settings)))
    except Exception as error:
        raise TypeError(f"make_env or a setting cannot be pickled for a worker ({error}): give a function or "
                        "a class, or use start_method=\"fork\"") from error
