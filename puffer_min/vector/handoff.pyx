"""`Handoff`: how the caller and its worker processes give each other the turn, through words in shared memory.

    caller lines     target | orders  finished  events  sleepers
    worker 0 line A  ticket  sleepers  command      written by the caller
             line B  done    status    order        written by the worker
    worker 1 line A  ...

    caller                                          worker
    command = STEP; ticket += 1, wake worker   ->   sees the ticket, steps into its rows
    target = finished steps it waits for            done = ticket; finished += 1
    waits for events until finished >= target  <-   the worker that reaches the target: events += 1, wake caller

The caller waits for one word, `events`, for all workers together, so it receives results in the order in which workers finish. The
worker that completes the number that the caller wants wakes it, once. The words that the caller writes often lie on another cache
line than those of the workers. A step needs nothing else: no pickle, no pipe, no lock, and a system call only to wake a sleeper.

A waiting side yields its core for a while, so that a process with work gets it at once, and then sleeps. It does not spin: with
more workers than cores, or with other programs on the machine, a spinning side keeps the other side from running
(benchmarks/VECTORIZATION.md has the figures).
"""

import os

from envs.core.freshness import require_fresh

cimport numpy as cnp
from cpython.exc cimport PyErr_CheckSignals
from libc.signal cimport SIGKILL
from libc.stdint cimport int64_t, uint32_t
from posix.signal cimport kill
from posix.unistd cimport getpgrp, getpid, getppid, usleep

from envs.core.native cimport Native
from puffer_min.vector.waiting cimport add, ahead, load, now, store, wait, wake

cnp.import_array()
require_fresh("puffer_min.vector.handoff")

STEP, STEP_AND_LOG, CALL, STOP = 1, 2, 3, 4         # commands
DONE, MESSAGE, FAILED = 0, 1, 2                     # statuses; after MESSAGE and FAILED a message follows through the pipe

cdef enum:
    LINE = 64                                       # bytes of a cache line
    C_STEP = 1
    C_STEP_AND_LOG = 2
    C_STOP = 4
    SLICE = 50_000_000                              # ns after which a waiting caller handles signals and dead workers
    WORKER_SLICE = 1_000_000_000                    # ns after which an idle worker looks whether its parent lives
    PARENT_SLICE = 200_000                          # microseconds after which its thread does, in `end_with`

cdef struct CallerLines:
    uint32_t target
    uint32_t[15] apart
    uint32_t orders, finished, events, sleepers
    uint32_t[12] apart_too

cdef struct WorkerLines:
    uint32_t ticket, sleepers, command
    uint32_t[13] apart
    uint32_t done, status, order
    uint32_t[13] apart_too


def end_with(int parent):
    """Never returns: kills this process, and the group that it leads, when the process `parent`, which started it, is gone.

    For a thread of a worker. It needs no lock of Python, so it also ends a worker in the middle of a long step.
    """
    with nogil:
        while getppid() == parent:
            usleep(PARENT_SLICE)
        if getpgrp() == getpid():
            kill(0, SIGKILL)
        kill(getpid(), SIGKILL)


cdef class Handoff:
    """The words of `num_workers` workers in `memory`, a zeroed uint8 array of `Handoff.size(num_workers)` bytes on a cache line.

    spin_us, yield_us   how long a waiting side spins, then yields, before it sleeps
    """

    cdef readonly int num_workers
    cdef readonly int64_t spin_ns, yield_ns
    cdef object memory, running_memory
    cdef CallerLines* caller
    cdef WorkerLines* workers
    cdef cnp.uint8_t* running                       # the caller's own: whether each worker has a command
    cdef uint32_t taken                             # and the number of finished commands that it has taken

    def __init__(self, cnp.ndarray memory, int num_workers, double spin_us=0, double yield_us=100):
        if memory.nbytes < Handoff.size(num_workers) or <size_t> cnp.PyArray_DATA(memory) % LINE:
            raise ValueError(f"memory of {memory.nbytes} bytes given, expected {Handoff.size(num_workers)} on a cache line")
        self.spin_ns, self.yield_ns = <int64_t> (1000 * spin_us), <int64_t> (1000 * yield_us)
        self.num_workers, self.memory = num_workers, memory
        self.caller = <CallerLines*> cnp.PyArray_DATA(memory)
        self.workers = <WorkerLines*> (<char*> cnp.PyArray_DATA(memory) + sizeof(CallerLines))
        self.taken = self.caller.finished
        self.running_memory = bytearray(num_workers)
        self.running = <cnp.uint8_t*> <char*> self.running_memory

    @staticmethod
    def size(int num_workers):
        """Bytes that `num_workers` workers need."""
        return sizeof(CallerLines) + num_workers * sizeof(WorkerLines)

    # ------------------------------------------------------------------ the caller's side

    def give(self, workers, int command):
        """Give each of `workers`, which must be idle, a command."""
        cdef WorkerLines* lines
        cdef int worker
        for worker in workers:
            lines = &self.workers[worker]
            lines.command = command
            self.running[worker] = True
            wake(&lines.ticket, &lines.sleepers, 1)

    def await_any(self, int wanted):
        """Wait until `wanted` running workers have finished, or for 50 ms; returns how many have.

        Signals are handled: after KeyboardInterrupt nothing is lost, and it can be called again.
        """
        cdef uint32_t events, target = self.taken + <uint32_t> wanted
        cdef int64_t until
        with nogil:
            store(&self.caller.target, target)
            until = now() + SLICE
            while True:
                events = load(&self.caller.events)
                if ahead(load(&self.caller.finished), target) >= 0:
                    break
                if not wait(&self.caller.events, events, &self.caller.sleepers, self.spin_ns, self.yield_ns, until - now()):
                    break
        PyErr_CheckSignals()
        return ahead(load(&self.caller.finished), self.taken)

    def take_ready(self, int wanted):
        """(worker, status) of the `wanted` workers that finished first, in that order; the workers become idle."""
        cdef int worker
        cdef uint32_t orders = load(&self.caller.orders)
        found = []
        for worker in range(self.num_workers):
            if self.is_ready(worker):
                found.append((ahead(self.workers[worker].order, orders), worker))
        found.sort()
        ready = []
        for _, worker in found[:wanted]:
            self.running[worker] = False
            self.taken += 1
            ready.append((worker, self.workers[worker].status))
        return ready

    def take_all(self):
        """Let all workers, which must have finished, become idle; returns (worker, status) of those with a message."""
        cdef int worker
        cdef uint32_t said = 0
        for worker in range(self.num_workers):
            self.running[worker] = False
            said |= self.workers[worker].status
        self.taken += <uint32_t> self.num_workers
        if not said:
            return ()
        return [(worker, self.workers[worker].status) for worker in range(self.num_workers) if self.workers[worker].status]

    def running_workers(self):
        """Workers that have a command and have not been taken yet."""
        return [worker for worker in range(self.num_workers) if self.running[worker]]

    def unfinished_workers(self):
        """Running workers that have not finished."""
        return [worker for worker in self.running_workers() if not self.is_ready(worker)]

    def is_unfinished(self, int worker):
        """Whether `worker` runs and has not finished."""
        return self.running[worker] and not self.is_ready(worker)

    def stop(self, workers, double seconds):
        """Stop each of `workers` that finishes its work within `seconds`; returns those, and leaves the others alone."""
        cdef int64_t until = now() + <int64_t> (seconds * 1e9)
        self.outlast(workers, until)
        idle = [worker for worker in workers if not self.is_unfinished(worker)]
        self.give(idle, C_STOP)
        self.outlast(idle, until)
        return idle

    def outlast(self, workers, int64_t until):
        """Wait until all of `workers` have finished, or until the time `until`."""
        cdef int64_t left = until - now()
        while left > 0 and any([self.is_unfinished(worker) for worker in workers]):
            with nogil:
                wait(&self.caller.events, load(&self.caller.events), &self.caller.sleepers, 0, 0, min(left, 2_000_000))
            left = until - now()

    cdef bint is_ready(self, int worker) noexcept nogil:
        cdef WorkerLines* lines = &self.workers[worker]
        return self.running[worker] and load(&lines.done) == lines.ticket

    # ------------------------------------------------------------------ a worker's side

    def serve(self, int worker, batch, answer, int parent):
        """The loop of a worker process, until STOP or until its parent is gone.

        answer(command) -> (status, message) carries out a command; if the command is a function, it calls that instead.
        answer.deliver(message) follows when the caller knows of it, because only then does the caller read the pipe.
        A native batch is stepped here, without Python; `answer` does the rest: its log, or its action masks if it
        has any (then `answer.masks` is not None).
        """
        cdef WorkerLines* lines = &self.workers[worker]
        cdef Native native = batch if isinstance(batch, Native) else None
        cdef bint compiled = native is not None
        cdef bint silent = getattr(answer, "masks", None) is None
        cdef uint32_t seen = lines.done
        cdef bint changed, faulty = False
        while True:
            with nogil:
                while True:
                    changed = wait(&lines.ticket, seen, &lines.sleepers, self.spin_ns, self.yield_ns, WORKER_SLICE)
                    if not changed:
                        break
                    seen += 1
                    if not compiled or lines.command > C_STEP_AND_LOG:
                        break
                    native.advance()
                    faulty = native.fault != NULL
                    if faulty or not silent or lines.command != C_STEP:
                        break
                    self.finish(worker, seen, 0)
            if not changed:
                if os.getppid() != parent:
                    return
                continue
            if lines.command == C_STOP:
                self.finish(worker, seen, 0)
                return
            status, message = answer(native.raise_fault if faulty else lines.command)
            faulty = False
            self.finish(worker, seen, status)
            if message is not None:
                answer.deliver(message)

    cdef void finish(self, int worker, uint32_t ticket, uint32_t status) noexcept nogil:
        cdef WorkerLines* lines = &self.workers[worker]
        lines.status = status
        lines.order = add(&self.caller.orders, 1)
        store(&lines.done, ticket)
        if ahead(add(&self.caller.finished, 1), load(&self.caller.target)) >= -1:
            wake(&self.caller.events, &self.caller.sleepers, 1)
