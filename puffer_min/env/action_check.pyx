"""`ActionCheck`: the border where actions enter a vectorizer: dtype, shape and range in one compiled pass, then one copy.

It is `take_actions` of actions.py for many calls a second. What it cannot take at once (another dtype, a strided array, an action out of
range) it leaves to `take_actions`, which copies it or raises the sentence.
"""

import numpy as np

from envs.core.buffers import action_layout
from envs.core.freshness import require_fresh
from puffer_min.env.actions import take_actions

cimport numpy as cnp
from libc.stdint cimport int32_t, uint32_t
from libc.string cimport memmove

cnp.import_array()
require_fresh("puffer_min.env.action_check")


cdef class ActionCheck:
    """Checks actions of one agent's `space`, copies them into `actions`, an array with one row an agent."""

    cdef object space
    cdef cnp.ndarray actions, counts_memory
    cdef int type_number, width, num_counts
    cdef Py_ssize_t row_bytes
    cdef int32_t* counts

    def __init__(self, space, cnp.ndarray actions):
        shape, dtype = action_layout(space)
        self.space, self.actions = space, actions
        self.type_number, self.width = dtype.num, int(np.prod(shape, dtype=int))
        self.row_bytes = self.width * dtype.itemsize
        self.counts_memory = np.ascontiguousarray(np.ravel(getattr(space, "nvec", getattr(space, "n", ()))), np.int32)
        self.num_counts = len(self.counts_memory)
        self.counts = <int32_t*> cnp.PyArray_DATA(self.counts_memory)

    def take(self, given):
        """Check and copy the actions of all agents. `actions` itself may be given, filled in place."""
        if not self.fits(given, self.actions.shape[0]):
            take_actions(given, self.actions, self.space)
        elif given is not self.actions:
            memmove(cnp.PyArray_DATA(self.actions), cnp.PyArray_DATA(given), self.actions.shape[0] * self.row_bytes)

    def take_spans(self, given, spans):
        """The same for some agents: rows [first, last) of each of `spans`, one after the other in `given`."""
        cdef Py_ssize_t first, last, at = 0
        if not self.fits(given, sum([last - first for first, last in spans])):
            checked = np.empty((sum([last - first for first, last in spans]), *(<object> self.actions).shape[1:]), self.actions.dtype)
            take_actions(given, checked, self.space)
            given = checked
        for first, last in spans:
            memmove(<char*> cnp.PyArray_DATA(self.actions) + first * self.row_bytes, <char*> cnp.PyArray_DATA(given) + at * self.row_bytes,
                    (last - first) * self.row_bytes)
            at += last - first

    cdef bint fits(self, given, Py_ssize_t rows):
        """Whether `given` is a plain array of `rows` valid actions."""
        cdef int axis
        if not (cnp.PyArray_Check(given) and cnp.PyArray_TYPE(given) == self.type_number and cnp.PyArray_IS_C_CONTIGUOUS(given)
                and cnp.PyArray_NDIM(given) == cnp.PyArray_NDIM(self.actions) and cnp.PyArray_DIM(given, 0) == rows):
            return False
        for axis in range(1, cnp.PyArray_NDIM(given)):
            if cnp.PyArray_DIM(given, axis) != cnp.PyArray_DIM(self.actions, axis):
                return False
        return self.in_range(cnp.PyArray_DATA(given), rows)

    cdef bint in_range(self, void* data, Py_ssize_t rows) noexcept nogil:
        """No early exit, so that it vectorises."""
        cdef int32_t* whole = <int32_t*> data
        cdef float* real = <float*> data
        cdef Py_ssize_t i, j, k = self.width
        cdef uint32_t count, bad = 0
        if self.num_counts == 0:                        # Box: any finite number will do, environments clip
            for i in range(rows * k):
                bad |= not (real[i] - real[i] == 0)
        elif self.num_counts == 1 and k == 1:
            count = <uint32_t> self.counts[0]
            for i in range(rows):                       # a negative number is a huge one without a sign
                bad |= <uint32_t> whole[i] >= count
        else:
            for i in range(rows):
                for j in range(k):
                    bad |= <uint32_t> whole[i * k + j] >= <uint32_t> self.counts[j]
        return bad == 0
