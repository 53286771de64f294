"""The C face of `ActionCheck`."""

cimport numpy as cnp
from libc.stdint cimport int32_t

cdef class ActionCheck:
    cdef object space
    cdef cnp.ndarray actions, counts_memory
    cdef int type_number, width, num_counts
    cdef Py_ssize_t row_bytes
    cdef int32_t* counts            # choices of each component of a Discrete or MultiDiscrete action

    cpdef take(self, given)
    cpdef take_spans(self, given, spans)
    cdef bint fits(self, given, Py_ssize_t rows)
    cdef bint in_range(self, void* data, Py_ssize_t rows) noexcept nogil
