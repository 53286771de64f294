"""`ActionCheck`: the border where actions enter an environment, a batch or a vectorizer.

Dtype, shape and range are checked in one compiled pass before anything is stepped; then the actions are
copied. An array that does not pass at once (a list, another dtype, a strided array, an action out of range)
goes to `take_actions`, which copies a strided one and refuses the others in a sentence.
"""

import numpy as np
from gymnasium import spaces

from envs.core.buffers import action_layout
from envs.core.freshness import require_fresh

cimport numpy as cnp
from libc.stdint cimport int32_t, uint32_t
from libc.string cimport memmove

cnp.import_array()


cdef class ActionCheck:
    """Checks actions of `space`, the action space of one agent, and copies them into `actions`,
    an array with one row for each agent."""

    def __init__(self, space, cnp.ndarray actions):
        require_fresh("envs.core.actions")
        shape, dtype = action_layout(space)
        counts = np.ravel(getattr(space, "nvec", getattr(space, "n", ())))
        if len(counts) and counts.max() >= 2**31:
            raise ValueError(f"action space {space} given, expected fewer than 2**31 choices: "
                             "actions are int32")
        self.space, self.actions = space, actions
        self.type_number, self.width = dtype.num, int(np.prod(shape, dtype=int))
        self.row_bytes = self.width * dtype.itemsize
        self.counts_memory = np.ascontiguousarray(counts, np.int32)
        self.num_counts = len(self.counts_memory)
        self.counts = <int32_t*> cnp.PyArray_DATA(self.counts_memory)

    cpdef take(self, given):
        """Check and copy the actions of all agents. `actions` itself may be given, filled in place.

        Raises TypeError or ValueError; then `actions` is as it was.
        """
        if not self.fits(given, self.actions.shape[0]):
            take_actions(given, self.actions, self.space)
        elif given is not self.actions:
            memmove(cnp.PyArray_DATA(self.actions), cnp.PyArray_DATA(given),
                    self.actions.shape[0] * self.row_bytes)

    cpdef take_spans(self, given, spans):
        """The same for some of the agents: rows [first, last) of each of `spans`,
        one after the other in `given`."""
        cdef Py_ssize_t first, last, at = 0
        if not self.fits(given, sum([last - first for first, last in spans])):
            checked = np.empty((sum([last - first for first, last in spans]),
                                *(<object> self.actions).shape[1:]), self.actions.dtype)
            take_actions(given, checked, self.space)
            given = checked
        for first, last in spans:
            memmove(<char*> cnp.PyArray_DATA(self.actions) + first * self.row_bytes,
                    <char*> cnp.PyArray_DATA(given) + at * self.row_bytes, (last - first) * self.row_bytes)
            at += last - first

    cdef bint fits(self, given, Py_ssize_t rows):
        """Whether `given` is a contiguous array, in this machine's byte order,
        of `rows` actions inside the space."""
        cdef int axis
        if not (cnp.PyArray_Check(given) and cnp.PyArray_TYPE(given) == self.type_number
                and cnp.PyArray_ISCARRAY_RO(given)
                and cnp.PyArray_NDIM(given) == cnp.PyArray_NDIM(self.actions)
                and cnp.PyArray_DIM(given, 0) == rows):
            return False
        for axis in range(1, cnp.PyArray_NDIM(given)):
            if cnp.PyArray_DIM(given, axis) != cnp.PyArray_DIM(self.actions, axis):
                return False
        return self.in_range(cnp.PyArray_DATA(given), rows)

    cdef bint in_range(self, void* data, Py_ssize_t rows) noexcept nogil:
        """Whether all actions are inside the space. No early exit, so that the loops vectorise."""
        cdef int32_t* whole = <int32_t*> data
        cdef float* real = <float*> data
        cdef Py_ssize_t i, j, k = self.width
        cdef uint32_t count, bad = 0
        if self.num_counts == 0:                        # Box: every finite number is taken; environments clip
            for i in range(rows * k):
                bad |= not (real[i] - real[i] == 0)
        elif self.num_counts == 1 and k == 1:
            count = <uint32_t> self.counts[0]
            for i in range(rows):                       # read without a sign, a negative number is a huge one
                bad |= <uint32_t> whole[i] >= count
        else:
            for i in range(rows):
                for j in range(k):
                    bad |= <uint32_t> whole[i * k + j] >= <uint32_t> self.counts[j]
        return bad == 0


def take_actions(given, actions, space):
    """Copy `given` into the array `actions`, one row for each agent, after checking dtype, shape and range.

    Raises TypeError or ValueError that names what was given and what `space`, the action space of
    one agent, expects.
    """
    if not isinstance(given, np.ndarray):
        raise TypeError(f"actions: given {type(given).__name__}, "
                        f"expected a NumPy array {actions.dtype} {actions.shape}; "
                        f"write np.asarray(actions, dtype=np.{actions.dtype})")
    if given.dtype != actions.dtype:
        raise TypeError(f"actions: given {given.dtype}, expected {actions.dtype}; "
                        f"write actions.astype(np.{actions.dtype})")
    if given.shape != actions.shape:
        raise ValueError(f"actions: given shape {given.shape}, expected {actions.shape}, "
                         "one row for each agent")
    if isinstance(space, spaces.Box):
        bad = ~np.isfinite(given)
    else:
        bad = given.view(np.uint32) >= getattr(space, "nvec", getattr(space, "n", None))
    if bad.any():
        agent = np.argwhere(bad)[0, 0]
        raise ValueError(f"actions: agent {agent} has {given[agent]}, expected an action of {space}")
    actions[...] = given
