"""`ThreadPool`: parts of a batch, stepped by threads of this process; native parts without Python and its lock.

Each part has a word of its own:

    IDLE -> READY (the caller gave it) -> RUNNING (a thread claimed it) -> FINISHED -> IDLE (the caller took it)

Any thread may claim any ready part, so parts and threads need not be equal in number: two threads step four parts on two cores,
and a part that is late delays no other. In `run_all` the caller claims parts too, because it would only wait.
"""

from envs.core.freshness import require_fresh

cimport numpy as cnp
from cpython.exc cimport PyErr_CheckSignals
from libc.stdint cimport int64_t, uint32_t
from libc.stdlib cimport calloc, free

from envs.core.native cimport Native
from puffer_min.vector.waiting cimport add, ahead, load, now, store, swap, wait, wake

cnp.import_array()
require_fresh("puffer_min.vector.pool")

cdef enum State:
    IDLE, READY, RUNNING, FINISHED

cdef enum:
    SLICE = 50_000_000              # ns after which a waiting caller handles signals
    HELPER_SLICE = 1_000_000_000    # ns after which an idle helper looks for the stop

ctypedef void (*Advance)(void*) noexcept nogil

cdef void advance_native(Native part) noexcept nogil:
    part.advance()

cdef Advance ADVANCE = <Advance> <void*> advance_native         # takes an address: without Python's lock nothing counts references

cdef struct Part:
    uint32_t state, order
    void* native                    # NULL: stepped by Python
    uint32_t[12] apart              # fills the cache line


cdef class ThreadPool:
    """Steps `parts`, a list of batches. Python parts, and native ones after `use_python`, are stepped by `run(index)`.

    alone   whether the caller of `run_all` steps all parts by itself, although there are helpers
    """

    cdef readonly list parts, natives
    cdef object run, memory
    cdef Part* states
    cdef int num_parts
    cdef int64_t spin_ns, yield_ns
    cdef uint32_t work, helpers_asleep, orders, finished, taken, target, events, caller_asleep, stopping
    cdef readonly int helpers
    cdef public bint alone

    def __cinit__(self, list parts, run, *, int64_t spin_us=0, int64_t yield_us=100):
        self.num_parts, self.parts, self.run = len(parts), parts, run
        self.states = <Part*> calloc(self.num_parts, sizeof(Part))
        if self.states == NULL:
            raise MemoryError()
        self.natives = [isinstance(part, Native) for part in parts]
        for i, part in enumerate(parts):
            self.states[i].native = <void*> part if isinstance(part, Native) else NULL
        self.spin_ns, self.yield_ns = 1000 * spin_us, 1000 * yield_us

    def __dealloc__(self):
        free(self.states)

    # ------------------------------------------------------------------ helper threads

    def help(self):
        """Step ready parts until `stop`: the main function of a helper thread."""
        cdef uint32_t seen
        self.helpers += 1
        with nogil:
            while not load(&self.stopping):
                seen = load(&self.work)
                while self.run_one():
                    pass
                if not load(&self.stopping):
                    wait(&self.work, seen, &self.helpers_asleep, self.spin_ns, self.yield_ns, HELPER_SLICE)

    def stop(self):
        """Let each helper end after the part that it steps."""
        store(&self.stopping, 1)
        wake(&self.work, &self.helpers_asleep, 2**30)

    cdef bint run_one(self) noexcept nogil:
        """Claim a ready part and step it; returns whether there was one."""
        cdef int i
        for i in range(self.num_parts):
            if self.states[i].state == READY and swap(&self.states[i].state, READY, RUNNING):
                self.advance(i)
                self.states[i].order = add(&self.orders, 1)
                store(&self.states[i].state, FINISHED)
                if ahead(add(&self.finished, 1), load(&self.target)) >= -1:
                    wake(&self.events, &self.caller_asleep, 1)
                return True
        return False

    cdef void advance(self, int i) noexcept nogil:
        if self.states[i].native != NULL:
            ADVANCE(self.states[i].native)
        else:
            self.ask(i)

    cdef void ask(self, int i) noexcept with gil:
        """Let Python step a part; `run` catches exceptions."""
        self.run(i)

    # ------------------------------------------------------------------ the caller's side

    def use_python(self, int part, bint always):
        """Let `run` handle a native part, for a request that is not a step, or no longer."""
        self.states[part].native = NULL if always or not self.natives[part] else <void*> self.parts[part]

    def give(self, workers):
        """Make idle parts ready and wake the helpers."""
        cdef int i
        for i in workers:
            store(&self.states[i].state, READY)
        wake(&self.work, &self.helpers_asleep, len(workers))

    def await_any(self, int wanted, bint helping):
        """Wait until `wanted` parts have finished, or for 50 ms; returns how many have. `helping`: step parts meanwhile."""
        cdef uint32_t events, target = self.taken + <uint32_t> wanted
        cdef int64_t until
        with nogil:
            store(&self.target, target)
            until = now() + SLICE
            while True:
                events = load(&self.events)
                if ahead(load(&self.finished), target) >= 0:
                    break
                if helping and self.run_one():
                    continue
                if not wait(&self.events, events, &self.caller_asleep, self.spin_ns, self.yield_ns, until - now()):
                    break
        PyErr_CheckSignals()
        return ahead(load(&self.finished), self.taken)

    def take_ready(self, int wanted):
        """Indices of the `wanted` parts that finished first, in that order; the parts become idle."""
        cdef int i
        cdef uint32_t orders = load(&self.orders)
        found = []
        for i in range(self.num_parts):
            if load(&self.states[i].state) == FINISHED:
                found.append((ahead(self.states[i].order, orders), i))
        found.sort()
        for _, i in found[:wanted]:
            self.states[i].state = IDLE
            self.taken += 1
        return [i for _, i in found[:wanted]]

    def run_all(self):
        """Step all parts, which must be idle, and wait for them. If a signal raises, the parts are on their way, as after `give`.

        Returns whether a part was stepped by Python or, in the debug build, has found a fault.
        """
        cdef int i
        if self.alone or self.helpers == 0 or self.num_parts == 1:
            with nogil:
                for i in range(self.num_parts):
                    self.advance(i)
        else:
            self.give(range(self.num_parts))
            while self.await_any(self.num_parts, True) < self.num_parts:
                pass
            for i in range(self.num_parts):
                self.states[i].state = IDLE
            self.taken += <uint32_t> self.num_parts
        return self.remarkable()

    cdef bint remarkable(self):
        cdef int i
        for i in range(self.num_parts):
            if self.states[i].native == NULL or (<Native> self.states[i].native).fault != NULL:
                return True
        return False

    def check_faults(self):
        """Raise the fault that a native part of the debug build has found."""
        cdef Native native
        for i in range(self.num_parts):
            if self.states[i].native != NULL:
                native = <Native> self.parts[i]
                if native.fault != NULL:
                    native.raise_fault()
