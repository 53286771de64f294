"""`Handoff`: how the caller and its worker processes give each other the turn, through words in shared memory.

    caller lines     target | orders  finished  events  sleepers
    worker 0 line A  ticket  sleepers  command      written by the caller
             line B  done    status    order        written by the worker
    worker 1 line A  ...

    caller                                          worker
    command = STEP; ticket += 1, wake worker   ->   sees the ticket, steps into its rows
    target = how many it wants in all               done = ticket; finished += 1
    waits for events until finished >= target  <-   the one that reaches the target: events += 1, wake caller

The caller waits for one word, `events`, whichever worker it is that finishes: the first ready is the first served. It is woken once,
by the worker that makes up the number it wants. What the caller writes often has a cache line apart from what the workers
write. Nothing else happens on the way of a step: no pickle, no pipe, no lock, and a system call only where the other side sleeps.

A side that waits yields its core for a while (whoever has work gets it at once), then sleeps. It does not spin: with more workers
than cores, or other programs on the machine, a spinning side keeps the one it waits for from running. Spinning first, where a core is
to spare, would save 1 microsecond of 3, and costs 100 where it is not (benchmarks/VECTORIZATION.md).
"""

import os

from envs.core.freshness import require_fresh

cimport numpy as cnp
from cpython.exc cimport PyErr_CheckSignals
from libc.stdint cimport int64_t, uint32_t

from envs.core.native cimport Native
from puffer_min.vector.waiting cimport add, ahead, load, now, store, wait, wake

cnp.import_array()
require_fresh("puffer_min.vector.handoff")

STEP, STEP_AND_LOG, CALL, STOP = 1, 2, 3, 4         # commands
DONE, MESSAGE, FAILED = 0, 1, 2                     # statuses; after MESSAGE and FAILED something follows through the pipe

cdef enum:
    LINE = 64                                       # bytes of a cache line
    C_STEP = 1
    C_STOP = 4
    SLICE = 50_000_000                              # ns; how often the caller looks after signals and dead workers
    WORKER_SLICE = 1_000_000_000                    # ns; how often an idle worker looks whether its parent lives

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


cdef class Handoff:
    """The words of `num_workers` workers in `memory`, a zeroed uint8 array of `Handoff.size(num_workers)` bytes on a cache line.

    spin_us, yield_us   how long a waiting side spins, then yields, before it sleeps
    """

    cdef readonly int num_workers
    cdef readonly int64_t spin_ns, yield_ns
    cdef object memory, running_memory
    cdef CallerLines* caller
    cdef WorkerLines* workers
    cdef cnp.uint8_t* running                       # the caller's own: which workers have been given something
    cdef uint32_t taken                             # and how many finished steps it has taken

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
        """Wait until `wanted` of the running workers have finished, or a slice of 50 ms is over; returns how many have.

        Signals are handled (KeyboardInterrupt): nothing is lost, it can be called again.
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
        """(worker, status) of the `wanted` workers that finished first, in that order; they are idle from now on."""
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
        """All workers, which must have finished, are idle from now on; returns (worker, status) of those with something to say."""
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
        """Workers that have been given something and have not been taken yet."""
        return [worker for worker in range(self.num_workers) if self.running[worker]]

    def unfinished_workers(self):
        """Of these, the ones that are still at it."""
        return [worker for worker in self.running_workers() if not self.is_ready(worker)]

    def is_unfinished(self, int worker):
        """Whether it is still at it."""
        return self.running[worker] and not self.is_ready(worker)

    def stop(self, workers, double seconds):
        """Tell each of `workers` that finishes its work within `seconds` to stop; returns those, the others are left alone."""
        cdef int64_t until = now() + <int64_t> (seconds * 1e9)
        self.outlast(workers, until)
        idle = [worker for worker in workers if not self.is_unfinished(worker)]
        self.give(idle, C_STOP)
        self.outlast(idle, until)
        return idle

    def outlast(self, workers, int64_t until):
        """Wait until all of `workers` are done, or the time has come."""
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

        answer(command) -> (status, message) does what is asked, or calls the command if it is a function; answer.deliver(message)
        comes after the caller has been told, because only then does it read the pipe. Steps of a native batch bypass Python.
        """
        cdef WorkerLines* lines = &self.workers[worker]
        cdef Native native = batch if isinstance(batch, Native) else None
        cdef bint compiled = native is not None
        cdef uint32_t seen = lines.done
        cdef bint changed, faulty = False
        while True:
            with nogil:
                while True:
                    changed = wait(&lines.ticket, seen, &lines.sleepers, self.spin_ns, self.yield_ns, WORKER_SLICE)
                    if not changed:
                        break
                    seen += 1
                    if not (compiled and lines.command == C_STEP):
                        break
                    native.advance()
                    faulty = native.fault != NULL
                    if faulty:
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
