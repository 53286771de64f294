"""`Handoff`: how a caller and its workers, threads or processes, tell each other that a step may start or
has finished.

    caller lines     target | orders  finished  events  sleepers
    worker 0 line A  ticket  sleepers  command          written by the caller
             line B  claimed  done  status  order       written by the worker
    worker 1 line A  ...

    caller                                          worker
    command = STEP; ticket += 1, wake worker   ->   claims the ticket, steps into its rows
    target = finished steps it waits for            done = ticket; finished += 1
    waits for events until finished >= target  <-   if that reaches the target: events += 1, wake caller

The caller waits for one word, `events`, for all workers together, so the first to finish is the first
received. The worker that completes the wanted number wakes it, once. Words that the caller writes often have
a cache line of their own. A step needs nothing else: no pickle, no pipe, no lock, and a system call only to
wake a sleeper.

A waiting side yields its core for a while, so that a process with work gets it at once, and then sleeps. It
does not spin: with more workers than cores, or with other programs on the machine, a spinning side keeps the
other side from running (figures: benchmarks/VECTORIZATION.md). Threads share native batches: a free thread
claims and steps the next one, and so does the caller, which would only wait (`step_all`). So parts and
threads need not be equal in number.
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
from puffer_min.vector.waiting cimport add, ahead, load, now, store, swap, wait, wake

cnp.import_array()
require_fresh("puffer_min.vector.handoff")

STEP, STEP_AND_LOG, CALL, STOP = 1, 2, 3, 4         # commands
DONE, MESSAGE, FAILED = 0, 1, 2                     # statuses; after MESSAGE and FAILED a message follows

cdef enum:
    LINE = 64                                       # bytes of a cache line
    C_STEP = 1
    C_STEP_AND_LOG = 2
    C_STOP = 4
    C_FAILED = 2
    SLICE = 50_000_000                              # ns after which a waiting caller handles signals
    WORKER_SLICE = 1_000_000_000                    # ns after which an idle worker looks for its parent
    PARENT_SLICE = 200_000                          # microseconds after which `end_with` does

cdef struct CallerLines:
    uint32_t target
    uint32_t[15] apart
    uint32_t orders, finished, events, sleepers
    uint32_t[12] apart_too

cdef struct WorkerLines:
    uint32_t ticket, sleepers, command, gap
    void* batch                                     # of a thread that shares it
    uint32_t[10] apart
    uint32_t claimed, done, status, order
    uint32_t[12] apart_too

ctypedef bint (*Advance)(void*) noexcept nogil

cdef bint advance_batch(Native batch) noexcept nogil:
    """Step a batch; returns whether the debug build has found a fault."""
    batch.advance()
    return batch.fault != NULL

cdef Advance ADVANCE = <Advance> <void*> advance_batch      # takes an address: it is called without the lock


cdef class Handoff:
    """The words of `num_workers` workers in `memory`: `size(num_workers)` zeroed bytes on a cache line.

    spin_us, yield_us   how long a waiting side spins, then yields, before it sleeps
    """

    cdef readonly int num_workers, in_flight        # in_flight: workers whose command has not been taken
    cdef readonly set unread                        # workers taken, whose message has not been read
    cdef readonly int64_t spin_ns, yield_ns
    cdef object memory, running_memory
    cdef CallerLines* caller
    cdef WorkerLines* workers
    cdef cnp.uint8_t* running                       # the caller's own: whether each worker has a command
    cdef uint32_t taken                             # and the number of finished commands that it has taken

    def __init__(self, cnp.ndarray memory, int num_workers, double spin_us=0, double yield_us=100):
        size = Handoff.size(num_workers)
        if memory.nbytes < size or <size_t> cnp.PyArray_DATA(memory) % LINE:
            raise ValueError(f"memory of {memory.nbytes} bytes given, expected {size} on a cache line")
        self.spin_ns, self.yield_ns = <int64_t> (1000 * spin_us), <int64_t> (1000 * yield_us)
        self.num_workers, self.memory = num_workers, memory
        self.caller = <CallerLines*> cnp.PyArray_DATA(memory)
        self.workers = <WorkerLines*> (<char*> cnp.PyArray_DATA(memory) + sizeof(CallerLines))
        self.taken = self.caller.finished
        self.running_memory = bytearray(num_workers)
        self.running = <cnp.uint8_t*> <char*> self.running_memory
        self.in_flight, self.unread = 0, set()

    @staticmethod
    def size(int num_workers):
        """Bytes that `num_workers` workers need."""
        return sizeof(CallerLines) + num_workers * sizeof(WorkerLines)

    # ------------------------------------------------------------------ the caller's side

    def give(self, workers, int command):
        """Give each of `workers`, which must be idle, a command."""
        for worker in workers:
            self.give_one(worker, command, True)

    cdef void give_one(self, int worker, uint32_t command, bint waking) noexcept nogil:
        cdef WorkerLines* lines = &self.workers[worker]
        lines.command = command
        self.running[worker] = True
        self.in_flight += 1
        if waking:
            wake(&lines.ticket, &lines.sleepers, 1)
        else:
            add(&lines.ticket, 1)

    def share(self, list batches):
        """Let the workers, threads of this process with these native batches, step each other's batches."""
        for worker, batch in enumerate(batches):    # which must live as long as the threads
            self.workers[worker].batch = <void*> batch

    def step_all(self, int helpers):
        """Give all workers, which share, a STEP; wake `helpers` of them, and step what they do not claim."""
        cdef int worker
        for worker in range(self.num_workers):
            self.give_one(worker, C_STEP, 0 < worker <= helpers)
        with nogil:
            self.step_unclaimed()

    cdef void step_unclaimed(self) noexcept nogil:
        cdef WorkerLines* lines
        cdef uint32_t ticket
        cdef int worker
        for worker in range(self.num_workers):
            lines = &self.workers[worker]
            ticket = load(&lines.ticket)
            if lines.batch != NULL and lines.command == C_STEP and swap(&lines.claimed, ticket - 1, ticket):
                self.finish(worker, ticket, C_FAILED if ADVANCE(lines.batch) else 0)

    def await_any(self, int wanted):
        """Wait until `wanted` running workers have finished, or for 50 ms; returns how many have.

        Signals are handled: after KeyboardInterrupt nothing is lost, and it can be called again.
        """
        cdef uint32_t* events = &self.caller.events
        cdef uint32_t seen, target = self.taken + <uint32_t> wanted
        cdef int64_t until
        with nogil:
            store(&self.caller.target, target)
            until = now() + SLICE
            while True:
                seen = load(events)
                if ahead(load(&self.caller.finished), target) >= 0:
                    break
                if not wait(events, seen, &self.caller.sleepers, self.spin_ns, self.yield_ns, until - now()):
                    break
        PyErr_CheckSignals()
        return ahead(load(&self.caller.finished), self.taken)

    def take_ready(self, int wanted):
        """(worker, status) of the `wanted` workers that finished first, in that order; they become idle."""
        cdef int worker
        cdef uint32_t orders = load(&self.caller.orders)
        found = []
        for worker in range(self.num_workers):
            if self.running[worker] and not self.is_unfinished(worker):
                found.append((ahead(self.workers[worker].order, orders), worker))
        found.sort()
        ready = [(worker, self.workers[worker].status) for _, worker in found[:wanted]]
        for worker, status in ready:
            self.running[worker] = False
            self.taken += 1
            self.in_flight -= 1
            if status:
                self.unread.add(worker)
        return ready

    def take_all(self):
        """(worker, status) of the workers with a message. All must have finished, and become idle."""
        cdef int worker
        cdef uint32_t said = 0
        for worker in range(self.num_workers):
            self.running[worker] = False
            said |= self.workers[worker].status
        self.taken += <uint32_t> self.num_workers
        self.in_flight = 0
        if not said:
            return ()
        statuses = [(worker, self.workers[worker].status) for worker in range(self.num_workers)]
        found = [pair for pair in statuses if pair[1]]
        self.unread.update([worker for worker, _ in found])
        return found

    def unfinished_workers(self):
        """Workers that have a command and have not finished it."""
        return [worker for worker in range(self.num_workers) if self.is_unfinished(worker)]

    cpdef bint is_unfinished(self, int worker):
        """Whether `worker` has a command and has not finished it."""
        cdef WorkerLines* lines = &self.workers[worker]
        return self.running[worker] and load(&lines.done) != lines.ticket

    def settle(self, int worker):
        """Finish the step of a worker that has died in its place; returns False if it is no step."""
        cdef WorkerLines* lines = &self.workers[worker]
        if lines.command > C_STEP_AND_LOG:
            return False
        lines.claimed = lines.ticket
        self.finish(worker, lines.ticket, 0)
        return True

    def stop(self, workers, double finishing, double closing):
        """Stop the workers that finish their step, then close, in so many seconds: (worker, status)."""
        self.outlast(workers, finishing)
        idle = [worker for worker in workers if not self.is_unfinished(worker)]
        self.give(idle, C_STOP)
        self.outlast(idle, closing)
        return [(worker, self.workers[worker].status) for worker in idle if not self.is_unfinished(worker)]

    def outlast(self, workers, double seconds):
        """Wait until all of `workers` have finished, at most so many seconds."""
        cdef uint32_t* events = &self.caller.events
        cdef int64_t left = <int64_t> (seconds * 1e9), until = now() + left
        while left > 0 and any([self.is_unfinished(worker) for worker in workers]):
            with nogil:
                wait(events, load(events), &self.caller.sleepers, 0, 0, min(left, 2_000_000))
            left = until - now()

    # ------------------------------------------------------------------ a worker's side

    def serve(self, int worker, batch, answer, int parent=0):
        """The loop of a worker, until STOP or until the process `parent` is no longer the parent of this one.

        answer(command) -> (status, message) carries out a command, or calls it if it is a function. Then the
        caller is told, and answer.deliver(message) follows, because only then does the caller look for a
        message. A native batch is stepped here, without Python; its log, and its action masks if
        `answer.masks` is not None, are up to `answer`.
        """
        cdef WorkerLines* lines = &self.workers[worker]
        cdef Native native = batch if isinstance(batch, Native) else None
        cdef bint compiled = native is not None
        cdef bint silent = getattr(answer, "masks", None) is None
        cdef uint32_t command, seen = load(&lines.claimed)
        cdef bint changed, faulty = False
        while True:
            with nogil:
                while True:
                    changed = wait(&lines.ticket, seen, &lines.sleepers, self.spin_ns, self.yield_ns,
                                   WORKER_SLICE)
                    if not changed:
                        break
                    if not swap(&lines.claimed, seen, seen + 1):    # another thread has stepped the batch
                        seen = load(&lines.claimed)
                        continue
                    seen += 1
                    if not compiled or lines.command > C_STEP_AND_LOG:
                        break
                    native.advance()
                    faulty = native.fault != NULL
                    if faulty or not silent or lines.command != C_STEP:
                        break
                    self.finish(worker, seen, 0)
                    self.step_unclaimed()
            if not changed:
                if parent and os.getppid() != parent:
                    return
                continue
            command = lines.command             # the caller may give the next one before this is delivered
            status, message = answer(native.raise_fault if faulty else command)
            faulty = False
            self.finish(worker, seen, status)
            if message is not None:
                answer.deliver(message)
            if command == C_STOP:
                return

    cdef void finish(self, int worker, uint32_t ticket, uint32_t status) noexcept nogil:
        cdef WorkerLines* lines = &self.workers[worker]
        lines.status = status
        lines.order = add(&self.caller.orders, 1)
        store(&lines.done, ticket)
        if ahead(add(&self.caller.finished, 1), load(&self.caller.target)) >= -1:
            wake(&self.caller.events, &self.caller.sleepers, 1)


def end_with(int parent):
    """Never returns: kills this process, and the group that it leads, once its parent is no longer `parent`.

    For a thread of a worker. It needs no lock of Python, so it ends a worker also in the middle of a long
    step.
    """
    with nogil:
        while getppid() == parent:
            usleep(PARENT_SLICE)
        if getpgrp() == getpid():
            kill(0, SIGKILL)
        kill(getpid(), SIGKILL)
