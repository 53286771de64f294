"""`ProcessVectorizer`: each worker a process that steps its environments straight into memory which the caller sees.

    caller          one block of shared memory                          worker w
    actions  ---->  | hand-off | logs | observations | actions ... | <- rows spans[w], nobody else's
    results  <----

A step goes through the hand-off (handoff.pyx): nothing is copied, pickled or sent. A pipe to each worker carries the rest.
What can go wrong, and who notices:

    an environment raises        the worker sends the exception and its traceback; it is raised here
    a worker dies                seen within 50 ms while its result is awaited
    a worker hangs               TimeoutError after `timeout` seconds
    Ctrl-C                       workers ignore it; here it is KeyboardInterrupt, and `recv` may be called again
    the caller dies              Linux ends the workers at once; elsewhere they look every second
    the caller forgets close()   a finalizer ends them, at the latest when the interpreter exits
The vectorizer is closed after the first three. Shared memory has no name, so none can be left behind.
"""

import multiprocessing
import os
import pickle
import signal
import sys
import threading
import time
import weakref
from multiprocessing import connection, reduction
from types import SimpleNamespace

import numpy as np
from gymnasium.vector.utils import CloudpickleWrapper

from envs.core.buffers import Buffers
from puffer_min.env.episodes import mean_of
from puffer_min.vector import handoff
from puffer_min.vector.shared_memory import Layout, buffers_of, create_block, map_block
from puffer_min.vector.turns import Vectorizer, part_bounds
from puffer_min.vector.worker import Job, log_fields, work

START_METHOD = "fork" if sys.platform == "linux" else "spawn"
GRACE = 0.5         # seconds a worker is given to finish its step and close its environments


class WorkerDied(RuntimeError):
    """A worker process has ended without being told to."""


class ProcessVectorizer(Vectorizer):
    """The process backend; arguments as in `make_vec`. `pids` are the process numbers of the workers."""

    backend = "process"

    def __init__(self, make_env, num_envs, num_workers, *, seed=0, batch_envs=None, report_interval=128, timeout=120.0, start_method=None,
                 spin_us=0, yield_us=100, **settings):
        self._timeout, self._grace, self._creator = timeout, GRACE, os.getpid()
        self._method = start_method or START_METHOD
        self._bounds, waits = part_bounds(num_envs, num_workers), {"spin_us": spin_us, "yield_us": yield_us}
        made = packed_for(self._method, make_env, settings)
        context = multiprocessing.get_context(self._method)
        self._processes, self._pipes, self._handoff = [], [], None
        self._finalizer = weakref.finalize(self, end_workers, self._processes, self._pipes, self._creator)
        try:
            for worker, (first, last) in enumerate(self._bounds):
                job = Job(worker, first, last - first, seed, made, self._creator, threading.current_thread() is threading.main_thread())
                pipe, far_end = context.Pipe()
                process = context.Process(target=work, args=(job, far_end), daemon=True, name=f"puffer_min worker {worker}")
                self._pipes.append(pipe)
                process.start()
                far_end.close()                     # so that the worker's end is the only one: its death is the end of the pipe
                self._processes.append(process)
            parts = [self._answer(worker) for worker in range(num_workers)]
            arrays = self._share(parts, waits)
            for worker in range(num_workers):
                self._answer(worker)
            self._describe(parts, buffers_of(arrays), batch_envs, seed, report_interval)
        except BaseException:
            self._finalizer()
            raise
        self._logs, self._fields, self._logging = arrays["logs"], log_fields(self.metric_names), set()
        self._handoff = handoff.Handoff(arrays["handoff"], num_workers, **waits)
        self.spec = SimpleNamespace(id=parts[0].name)
        self.pids = [process.pid for process in self._processes]

    def _share(self, parts, waits):
        """Allocate memory for all parts and send it to the workers; returns its arrays."""
        first, total = parts[0], sum(part.num_agents for part in parts)
        rows = Buffers.layout(total, first.single_observation_space, first.single_action_space, first.truncates)
        layout = Layout({"handoff": ((handoff.Handoff.size(len(parts)),), np.uint8),
                         "logs": ((len(parts), len(log_fields(first.metric_names))), np.float64), **rows})
        descriptor = create_block(layout.size)
        arrays, row = layout.arrays(map_block(descriptor)), 0
        arrays["masks"][:] = True
        for worker, part in enumerate(parts):
            reduction.send_handle(self._pipes[worker], descriptor, self._processes[worker].pid)
            self._pipes[worker].send((layout, row, row + part.num_agents, waits))
            row += part.num_agents
        os.close(descriptor)
        return arrays

    # ------------------------------------------------------------------ the hot path

    def _begin(self, workers, request):
        kind, argument = request
        if kind == "step":
            self._handoff.give(workers, handoff.STEP_AND_LOG if argument else handoff.STEP)
            if argument:
                self._logging.update(workers)
            return
        self._handoff.give(workers, handoff.CALL)
        for worker in workers:
            self._request(worker, "reset", (argument,))

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
        if self._logging:
            infos += self._reports(workers)
        return workers, infos

    # ------------------------------------------------------------------ what is rare

    def _reports(self, workers):
        """The logs that `workers` have written, as one."""
        logs = [dict(zip(self._fields, self._logs[worker].tolist())) for worker in workers if worker in self._logging]
        self._logging.difference_update(workers)
        log = mean_of([log | {"n": int(log["n"])} for log in logs])
        return [log] if log else []

    def _await(self, wanted):
        """Wait on in slices, looking after dead workers and the time."""
        deadline = time.monotonic() + self._timeout
        while self._handoff.await_any(wanted) < wanted:
            late = self._handoff.unfinished_workers()
            for worker in late:
                if not self._processes[worker].is_alive() and self._handoff.is_unfinished(worker):
                    self._lose(worker)
            if time.monotonic() > deadline:
                names = ", ".join(self._name(worker) for worker in late)
                error = TimeoutError(f"{names} did not finish within timeout={self._timeout:g} s: its environments hang, or are slower "
                                     "than that; make_vec(..., timeout=...) sets the limit")
                self._grace = 0.0
                self._close(f"{names} did not finish in time")
                raise error

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
        """The message that a worker has sent or is about to send."""
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
        if kind != "error":
            return content
        error, text = content
        error.add_note(f"This happened in {self._name(worker)}:\n\n{text}")
        if close:
            self._close(f"{self._name(worker)} raised {type(error).__name__}")
        raise error

    def _lose(self, worker):
        """A worker is gone: say how it ended."""
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
        """Not possible: workers write into memory that was shared with them when they were made. Copy rows where you need them."""
        raise ValueError("bind: workers in other processes write into shared memory of their own; read vec.observations and copy, "
                         "or use backend=\"thread\" or \"serial\", which write into any memory")

    def _stop(self):
        if self._handoff is not None and os.getpid() == self._creator:
            alive = [worker for worker, process in enumerate(self._processes) if process.is_alive()]
            deadline = time.monotonic() + self._grace
            for worker in self._handoff.stop(alive, self._grace):
                self._processes[worker].join(max(0.0, deadline - time.monotonic()))
        self._handoff = self._logs = None
        self._finalizer()


def packed_for(start_method, make_env, settings):
    """What makes the environments, for a process started so; pickled by value for one that does not share this one's memory."""
    if start_method == "fork":
        return make_env, settings
    try:
        return pickle.dumps(CloudpickleWrapper((make_env, settings)))
    except Exception as error:
        raise TypeError(f"make_env or a setting cannot be pickled for a worker ({error}): give a function or a class, "
                        "or use start_method=\"fork\"") from error


def end_workers(processes, pipes, creator):
    """End what is still there; nothing in a fork of the process that made them."""
    if os.getpid() != creator:
        return
    for pipe in pipes:
        pipe.close()
    for end in ("terminate", "kill"):
        for process in processes:
            if process.is_alive():
                getattr(process, end)()
        deadline = time.monotonic() + GRACE
        for process in processes:
            process.join(max(0.0, deadline - time.monotonic()))
    processes.clear()
    pipes.clear()
