"""The compiled packer and the compiled action decoder, for the loop over environments (gymnasium_loop.pyx)."""


cdef class Packer:
    cdef object root
    cdef readonly Py_ssize_t size
    cdef bint one_hot
    cdef int pack_into(self, object sample, char* row) except -1


cdef class Decoder:
    cdef object root
    cdef readonly object dtype
    cdef readonly Py_ssize_t width
    cdef object decode_from(self, const char* row)
