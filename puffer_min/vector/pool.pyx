"""`ThreadPool`: parts of a batch, stepped by threads of this process; native parts without Python and without its lock.

Each part has a word of its own: IDLE -> READY (the caller gave it) -> RUNNING (some thread claimed it) -> FINISHED -> IDLE (taken).
Any thread may claim any ready part, the caller's own among them: while it awaits all parts it would be idle anyway. So parts and
threads need not be equal in number, four parts on two cores are stepped by two threads, and a part that is late delays no other.

A pool of threads can also be slower than none: where a step is shorter than the hand-off, or where Python's lock lets only one run. So
`run_all` measures both ways of stepping, alone and with the others, now and then, and goes on with the faster one. This changes the
time a step takes and nothing else.
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

cdef enum Trial:
    NONE, ALONE, TOGETHER

cdef enum:
    SLICE = 50_000_000              # ns; how often the caller looks after signals
    HELPER_SLICE = 1_000_000_000
    TRIAL = 1_000_000               # ns; a way of stepping is tried for so long (a sleeping thread must get a core), the fastest step counts,
    TRIAL_STEPS = 3                 # and at least for so many steps
    FIRST_PAUSE = 2_000_000         # ns between trials: at first, then twice as long, ...
    LAST_PAUSE = 500_000_000        # up to this
    GAIN = 115                      # per cent of the others' fastest step that alone may take: a fast hand-off is the exception

cdef int64_t FOREVER = 2**62

ctypedef void (*Advance)(void*) noexcept nogil

cdef void advance_native(Native part) noexcept nogil:
    part.advance()

cdef Advance ADVANCE = <Advance> <void*> advance_native         # a part by its address: without Python's lock no reference is counted

cdef struct Part:
    uint32_t state, order
    void* native                    # NULL: stepped by Python
    uint32_t[12] apart              # a cache line


cdef class ThreadPool:
    """parts: batches; `run(part)` is called, with the lock of Python held, for a part that is not native or that has a request."""

    cdef readonly list parts, natives
    cdef object run, memory
    cdef Part* states
    cdef int num_parts
    cdef int64_t spin_ns, yield_ns
    cdef uint32_t work, helpers_asleep, orders, finished, taken, target, events, caller_asleep, stopping
    cdef readonly int helpers
    cdef bint alone
    cdef Trial trial
    cdef int trial_steps
    cdef int64_t alone_ns, together_ns, trial_began, pause, next_trial

    def __cinit__(self, list parts, run, *, int64_t spin_us=0, int64_t yield_us=100):
        self.num_parts, self.parts, self.run = len(parts), parts, run
        self.states = <Part*> calloc(self.num_parts, sizeof(Part))
        if self.states == NULL:
            raise MemoryError()
        self.natives = [isinstance(part, Native) for part in parts]
        for i, part in enumerate(parts):
            self.states[i].native = <void*> part if isinstance(part, Native) else NULL
        self.spin_ns, self.yield_ns = 1000 * spin_us, 1000 * yield_us
        self.pause, self.next_trial = FIRST_PAUSE, now() + FIRST_PAUSE

    def __dealloc__(self):
        free(self.states)

    # ------------------------------------------------------------------ helper threads

    def help(self):
        """What a helper thread does until `stop`."""
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
        """Let the helpers end when they have finished what they are at."""
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
        """Let Python step a part; `run` catches what it raises."""
        self.run(i)

    # ------------------------------------------------------------------ the caller's side

    def use_python(self, int part, bint always):
        """Whether `run` is called for a native part too (for one that is asked something else than a step)."""
        self.states[part].native = NULL if always or not self.natives[part] else <void*> self.parts[part]

    def give(self, workers):
        """Make idle parts ready and wake the helpers."""
        cdef int i
        for i in workers:
            store(&self.states[i].state, READY)
        wake(&self.work, &self.helpers_asleep, len(workers))

    def await_any(self, int wanted, bint helping):
        """Wait until `wanted` of the parts have finished, or a slice of 50 ms is over; returns how many have. `helping`: step parts too."""
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
        """The `wanted` parts that finished first, in that order; they are idle from now on."""
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
        """Step all parts, which are idle, and wait for them. After a signal that raises they are on their way, as after `give`.

        Returns whether there is something to look at: a part was stepped by Python, or the debug build has found a fault.
        """
        cdef int64_t began = now()
        cdef bint alone = self.alone
        cdef int i
        if self.helpers == 0 or self.num_parts == 1:
            alone = True
        elif self.trial != NONE:
            alone = self.trial == ALONE
        if alone:
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
        if self.helpers:
            self.judge(began, now())
        return self.remarkable()

    cdef bint remarkable(self):
        cdef int i
        for i in range(self.num_parts):
            if self.states[i].native == NULL or (<Native> self.states[i].native).fault != NULL:
                return True
        return False

    cdef void judge(self, int64_t began, int64_t ended) noexcept nogil:
        """After a step: take its time if it was a trial, go on to the next trial if it is time, and after both decide."""
        if self.trial == NONE:
            if ended > self.next_trial:
                self.trial, self.trial_began, self.trial_steps, self.alone_ns = ALONE, ended, 0, FOREVER
            return
        self.trial_steps += 1
        if self.trial == ALONE:
            self.alone_ns = min(self.alone_ns, ended - began)
        else:
            self.together_ns = min(self.together_ns, ended - began)
        if self.trial_steps < TRIAL_STEPS or ended - self.trial_began < TRIAL:
            return
        if self.trial == ALONE:
            self.trial, self.trial_began, self.trial_steps, self.together_ns = TOGETHER, ended, 0, FOREVER
        else:
            self.alone = 100 * self.alone_ns < GAIN * self.together_ns
            self.trial = NONE
            self.pause = min(2 * self.pause, LAST_PAUSE)
            self.next_trial = ended + self.pause

    @property
    def mode(self):
        """How `run_all` steps at present: "alone" or "together"."""
        return "alone" if self.alone or self.helpers == 0 else "together"

    def check_faults(self):
        """Raise what a native part of the debug build has found."""
        cdef Native native
        for i in range(self.num_parts):
            if self.states[i].native != NULL:
                native = <Native> self.parts[i]
                if native.fault != NULL:
                    native.raise_fault()
