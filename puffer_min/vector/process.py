"""`ProcessVectorizer`: each worker is a process that steps its environments straight into memory which the caller sees.

    caller          one block of shared memory                          worker w
    actions  ---->  | hand-off | logs | observations | actions ... | <- rows spans[w], which no other worker writes
    results  <----

A step goes through the hand-off (handoff.pyx): nothing is copied, pickled or sent. A pipe to each worker carries everything else.
What can go wrong, and how it is noticed:

    an environment raises        the worker sends the exception and its traceback, and the caller raises it
    a worker dies                the caller sees it within 50 ms while it waits for the worker: WorkerDied
    a worker hangs               TimeoutError after `timeout` seconds
    Ctrl-C                       workers ignore it; the caller raises KeyboardInterrupt, and may call `recv` again
    the caller dies              a thread of each worker notices it within a second, also during a long step, and ends the worker
    the caller forgets close()   a finalizer ends the workers, at the latest when the interpreter exits

The first three close the vectorizer. An environment may start processes: they end with its worker at the latest. Shared memory has
no name, so none can be left behind.
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

import numpy as np
from gymnasium.vector.utils import CloudpickleWrapper

from envs.core.buffers import Buffers
from puffer_min.vector import handoff
from puffer_min.vector.serial import choices
from puffer_min.vector.shared_memory import Layout, buffers_of, create_block, map_block
from puffer_min.vector.turns import Vectorizer, part_bounds
from puffer_min.vector.worker import Job, log_fields, work

START_METHOD = "fork" if sys.platform == "linux" else "spawn"
GRACE = 0.5         # seconds in which a worker may finish its step and close its environments
PAUSE_HARD = 2      # omp_pause_hard of OpenMP


class WorkerDied(RuntimeError):
    """A worker process has ended although the caller did not stop it."""


class ProcessVectorizer(Vectorizer):
    """The process backend; arguments as in `make_vec`. `pids` are the process numbers of the workers."""

    backend = "process"

    def __init__(self, make_env, num_envs, num_workers, *, seed=0, batch_envs=None, report_interval=128, timeout=120.0,
                 start_method=None, spin_us=0, yield_us=100, env_settings=None):
        self._timeout, self._grace, self._creator = timeout, GRACE, os.getpid()
        self._method = start_method or START_METHOD
        self._bounds, waits = part_bounds(num_envs, num_workers), {"spin_us": spin_us, "yield_us": yield_us}
        made = packed_for(self._method, make_env, env_settings)
        self._processes, self._pipes, self._handoff = [], [], None
        self._finalizer = weakref.finalize(self, end_workers, self._processes, self._pipes, self._creator)
        if self._method == "fork":
            rest_openmp()
        try:
            for worker, (first, last) in enumerate(self._bounds):
                self._start(Job(worker, first, last - first, seed, made, self._creator))
            parts = [self._answer(worker) for worker in range(num_workers)]
            self._prepare(parts, None, batch_envs, seed, report_interval)
            arrays = self._share(parts, waits)
            for worker in range(num_workers):
                self._answer(worker)
            self._use_buffers(buffers_of(arrays))
        except BaseException:
            self._finalizer()
            raise
        self._logs, self._fields, self._masks = arrays["logs"], log_fields(self.metric_names), arrays.get("action_masks")
        self._handoff = handoff.Handoff(arrays["handoff"], num_workers, **waits)
        self.spec = SimpleNamespace(id=parts[0].name)
        self.pids = [process.pid for process in self._processes]

    def _start(self, job):
        """Start a worker process and keep it and its pipe."""
        context = multiprocessing.get_context(self._method)
        pipe, far_end = context.Pipe()
        process = context.Process(target=work, args=(job, far_end), daemon=True, name=f"puffer_min worker {job.worker}")
        self._pipes.append(pipe)
        with children_allowed():
            process.start()
        far_end.close()                     # the worker's end is now the only one: the worker's death is the end of the pipe
        self._processes.append(process)
        with contextlib.suppress(OSError):
            os.setpgid(process.pid, process.pid)        # the worker does it too; the first of both counts

    def _share(self, parts, waits):
        """Allocate memory for all parts and send it to the workers; returns its arrays."""
        rows = Buffers.layout(self.num_agents, self.single_observation_space, self.single_action_space, self.truncates)
        if self.masks_actions:
            rows["action_masks"] = (self.num_agents, choices(self.single_action_space)), np.bool_
        layout = Layout({"handoff": ((handoff.Handoff.size(len(parts)),), np.uint8),
                         "logs": ((len(parts), len(log_fields(self.metric_names))), np.float64), **rows})
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

    # ------------------------------------------------------------------ the hot path

    def _begin_step(self, workers, asked):
        if asked:
            self._handoff.give(asked, handoff.STEP_AND_LOG)
            workers = [worker for worker in workers if worker not in asked]
        self._handoff.give(workers, handoff.STEP)

    def _begin_reset(self, seed):
        self._handoff.give(self._everyone, handoff.CALL)
        for worker in self._everyone:
            self._request(worker, "reset", (seed,))

    def _finish(self, wanted):
        channel = self._handoff
        if channel.await_any(wanted) < wanted:
            self._await(wanted)
        if wanted == self.num_workers:
            workers, said = self._everyone, channel.take_all()
        else:
            ready = channel.take_ready(wanted)
            workers, said = [worker for worker, _ in ready], [pair for pair in ready if pair[1]]
        infos = []
        for worker, _ in said:
            infos += self._answer(worker)
        return workers, infos

    def _log_of(self, worker):
        log = dict(zip(self._fields, self._logs[worker].tolist(), strict=True))
        return log | {"n": int(log["n"])}

    def _masks_of(self, workers):
        return self._masks

    # ------------------------------------------------------------------ off the fast path

    def _await(self, wanted):
        """Wait on in slices, looking for dead workers and at the time."""
        deadline = time.monotonic() + self._timeout
        while self._handoff.await_any(wanted) < wanted:
            late = self._handoff.unfinished_workers()
            for worker in late:
                if not self._processes[worker].is_alive() and self._handoff.is_unfinished(worker):
                    self._lose(worker)
            if time.monotonic() > deadline:
                names = ", ".join(self._name(worker) for worker in late)
                self._grace = 0.0
                self._close(f"{names} did not finish in time")
                raise TimeoutError(f"{names} did not finish within timeout={self._timeout:g} s: its environments hang, or are slower "
                                   "than that; make_vec(..., timeout=...) sets the limit")

    def _call(self, worker, method, *arguments):
        self._handoff.give([worker], handoff.CALL)
        self._request(worker, method, arguments)
        self._await(1)
        self._handoff.take_ready(1)
        return self._answer(worker, close=False)

    def _request(self, worker, method, arguments):
        try:
            self._pipes[worker].send((method, arguments))
        except BrokenPipeError:
            self._lose(worker)

    def _answer(self, worker, close=True):
        """The content of the message that a worker has sent or is about to send."""
        pipe, process = self._pipes[worker], self._processes[worker]
        try:
            if not connection.wait([pipe, process.sentinel], self._timeout):
                self._grace = 0.0
                self._close(f"{self._name(worker)} did not answer")
                raise TimeoutError(f"{self._name(worker)} did not answer within timeout={self._timeout:g} s; make_vec(..., timeout=...) "
                                   "sets the limit")
            kind, content = pipe.recv()
        except (EOFError, ConnectionResetError):
            self._lose(worker)
        if kind == "result" or kind == "ready":
            return content
        error = self._error_of(worker, content)
        if close:
            self._close(f"{self._name(worker)} raised {type(error).__name__}")
        raise error

    def _error_of(self, worker, content):
        """The exception that a worker has sent, with a note where it happened."""
        error, text = content
        error.add_note(f"This happened in {self._name(worker)}:\n\n{text}")
        return error

    def _lose(self, worker):
        """A worker is gone: close the vectorizer and say how the worker ended."""
        process = self._processes[worker]
        process.join(GRACE)
        code = process.exitcode
        how = f"was killed by {signal.Signals(-code).name}" if code is not None and code < 0 else f"ended with exit code {code}"
        hint = ""
        if code == -signal.SIGKILL:
            hint = "; out of memory?"
        elif code in (-signal.SIGSEGV, -signal.SIGABRT):
            hint = "; a crash in compiled code?"
        elif self._method == "spawn" and self._handoff is None:
            hint = "; with start_method=\"spawn\" a script needs `if __name__ == \"__main__\":` around what it does"
        name = self._name(worker)
        self._close(f"{name} {how}")
        raise WorkerDied(f"{name} {how}{hint}")

    def _name(self, worker):
        first, last = self._bounds[worker]
        return f"worker {worker} (environments {first} to {last - 1})"

    def bind(self, buffers):
        """Raise ValueError: workers write into memory that was shared with them when they were made."""
        raise ValueError("bind: workers in other processes write into shared memory of their own; read vec.observations and copy, "
                         "or use backend=\"thread\" or \"serial\", which write into any memory")

    def _stop(self):
        error = None
        if self._handoff is not None and os.getpid() == self._creator:
            alive = [worker for worker, process in enumerate(self._processes) if process.is_alive()]
            deadline = time.monotonic() + self._grace
            for worker in self._handoff.stop(alive, self._grace):
                self._processes[worker].join(max(0.0, deadline - time.monotonic()))
                error = error or self._closing_error(worker)
        self._handoff = self._logs = self._masks = None
        self._finalizer()
        return error

    def _closing_error(self, worker):
        """The exception with which a stopped worker has closed its environments, or None."""
        pipe = self._pipes[worker]
        with contextlib.suppress(OSError, EOFError):
            while self._processes[worker].exitcode == 0 and pipe.poll():
                kind, content = pipe.recv()
                if kind == "close":
                    return self._error_of(worker, content)


def packed_for(start_method, make_env, env_settings):
    """(make_env, env_settings) for a worker; pickled by value for a worker that does not share this process's memory."""
    if start_method == "fork":
        return make_env, env_settings
    try:
        return pickle.dumps(CloudpickleWrapper((make_env, env_settings)))
    except Exception as error:
        raise TypeError(f"make_env or a setting cannot be pickled for a worker ({error}): give a function or a class, "
                        "or use start_method=\"fork\"") from error


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
    """Let this process start others, even if it is daemonic itself, as the workers of a `multiprocessing.Pool` are."""
    own = multiprocessing.current_process()._config
    before = own.get("daemon", False)
    own["daemon"] = False
    try:
        yield
    finally:
        own["daemon"] = before


def end_workers(processes, pipes, creator):
    """End the workers that are left, and the processes that their environments started. Does nothing in a fork of the creator."""
    if os.getpid() != creator:
        return
    for pipe in pipes:
        pipe.close()
    for number in (signal.SIGTERM, signal.SIGKILL):
        for process in processes:
            with contextlib.suppress(OSError):
                os.killpg(process.pid, number)          # the worker leads a group, unless it has only just begun
            if process.is_alive():
                os.kill(process.pid, number)
        deadline = time.monotonic() + GRACE
        for process in processes:
            process.join(max(0.0, deadline - time.monotonic()))
    processes.clear()
    pipes.clear()
