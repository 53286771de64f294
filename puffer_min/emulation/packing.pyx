"""Packing a sample into a row, compiled: a walk over a small tree of C numbers.

A leaf in the declared dtype and shape is one `memcpy`. Anything else (a list, a Python number, another dtype,
a torch or JAX array) takes a slow path: it is converted if nothing is lost, and else refused with its path.
"""

import numpy as np

from envs.core.freshness import require_fresh
from puffer_min.env.arrays import as_numpy

cimport numpy as cnp
from cpython.dict cimport PyDict_CheckExact, PyDict_GetItem, PyDict_Size
from cpython.list cimport PyList_GET_ITEM, PyList_GET_SIZE
from cpython.long cimport PyLong_AsLongLongAndOverflow, PyLong_CheckExact
from cpython.object cimport PyObject
from cpython.tuple cimport PyTuple_GET_ITEM
from libc.stdint cimport int64_t, uint64_t
from libc.string cimport memcmp, memcpy, memset

cnp.import_array()
require_fresh("puffer_min.emulation.packing")

cdef enum:
    DICT
    TUPLE
    LEAF


cdef class Node:
    """A Dict or Tuple with its parts, or a leaf."""
    cdef int kind
    cdef str path
    cdef tuple keys
    cdef list children
    cdef Py_ssize_t offset, size, count, itemsize   # bytes into the row, bytes, elements, bytes of each
    cdef int type, ndim, spare                      # spare: bits of an int64 that an element leaves
    cdef cnp.npy_intp dims[64]                      # as many as NumPy allows
    cdef object dtype, shape, scalar, low, high
    cdef bint signed, coded                         # coded: whole numbers, to be held to low and high
    cdef const int64_t* lows
    cdef const int64_t* highs

    def __init__(self, tree, leaves, path):
        """tree: the number of one of `leaves`, or a dict or tuple of trees."""
        self.path = path
        if not isinstance(tree, int):
            self.kind = DICT if isinstance(tree, dict) else TUPLE
            self.keys = tuple(tree) if self.kind == DICT else tuple(range(len(tree)))
            self.children = [Node(tree[key], leaves, f"{path}[{key!r}]") for key in self.keys]
            return
        leaf = leaves[tree]
        self.kind, self.offset = LEAF, leaf.offset
        self.dtype, self.scalar, self.type = leaf.dtype, leaf.dtype.type, leaf.dtype.num
        self.signed, self.itemsize = leaf.dtype.kind == "i", leaf.dtype.itemsize
        self.spare = 64 - 8 * self.itemsize
        self.shape, self.ndim = leaf.shape, len(leaf.shape)
        for i, extent in enumerate(leaf.shape):
            self.dims[i] = extent
        self.count = int(np.prod(leaf.shape, dtype=int))
        self.size = self.count * self.itemsize
        self.coded = leaf.limits is not None
        if self.coded:
            self.low, self.high = (np.array(side, np.int64) for side in leaf.limits)
            self.lows = <const int64_t*> cnp.PyArray_DATA(self.low)
            self.highs = <const int64_t*> cnp.PyArray_DATA(self.high)


cdef class Packer:
    """Packs samples of one space into rows of `size` bytes; if `one_hot`, a number into a byte a value."""

    cdef Node root
    cdef Py_ssize_t size
    cdef bint one_hot

    def __init__(self, tree, leaves, size, one_hot=False):
        self.root, self.size, self.one_hot = Node(tree, leaves, "observation"), size, one_hot

    def pack(self, sample, cnp.ndarray row not None):
        """Write `sample` into `row`, a contiguous writable array of `size` bytes."""
        if cnp.PyArray_NBYTES(row) != self.size or not cnp.PyArray_ISCARRAY(row):
            raise ValueError(f"row of {row.nbytes} bytes given, expected {self.size}, contiguous, writable")
        cdef char* where = <char*> cnp.PyArray_DATA(row)
        cdef char number[8]
        if self.root.kind == LEAF and not self.one_hot:
            pack_leaf(self.root, sample, where)
            return
        memset(where, 0, self.size)                 # the padding, and the one-hot bytes
        if self.one_hot:
            pack_leaf(self.root, sample, number)
            where[whole(self.root, number, 0) - self.root.lows[0]] = 1
        else:
            pack(self.root, sample, where)


cdef int pack(Node node, object value, char* row) except -1:
    cdef Py_ssize_t i, n
    cdef PyObject* part
    if node.kind == LEAF:
        return pack_leaf(node, value, row + node.offset)
    n = PyList_GET_SIZE(node.children)
    if node.kind == DICT:
        if not PyDict_CheckExact(value):
            if not hasattr(value, "keys"):
                raise TypeError(f"{node.path}: {type(value).__name__} given, expected a dict with the keys "
                                f"{', '.join(map(repr, node.keys))}")
            value = {key: value[key] for key in value.keys()}
        if PyDict_Size(value) != n:
            wrong_keys(node, value)
        for i in range(n):
            part = PyDict_GetItem(value, <object> PyTuple_GET_ITEM(node.keys, i))
            if part == NULL:
                wrong_keys(node, value)
            pack(<Node> PyList_GET_ITEM(node.children, i), <object> part, row)
        return 0
    if not isinstance(value, (list, tuple)):
        raise TypeError(f"{node.path}: {type(value).__name__} given, expected a tuple of {n}")
    if len(value) != n:
        raise ValueError(f"{node.path}: {len(value)} parts given, expected {n}")
    for i in range(n):
        pack(<Node> PyList_GET_ITEM(node.children, i), value[i], row)
    return 0


cdef inline bint fits(Node node, object value):
    """Whether `value` is an array whose bytes are the leaf's bytes."""
    return (cnp.PyArray_Check(value) and cnp.PyArray_TYPE(<cnp.ndarray> value) == node.type
            and cnp.PyArray_NDIM(<cnp.ndarray> value) == node.ndim
            and cnp.PyArray_ISCARRAY_RO(<cnp.ndarray> value)
            and memcmp(cnp.PyArray_DIMS(<cnp.ndarray> value), node.dims,
                       node.ndim * sizeof(cnp.npy_intp)) == 0)


cdef int pack_leaf(Node node, object value, char* where) except -1:
    cdef int64_t number
    cdef Py_ssize_t i
    cdef int overflow = 0
    if fits(node, value):
        memcpy(where, cnp.PyArray_DATA(<cnp.ndarray> value), node.size)
    elif node.ndim == 0 and node.type == cnp.NPY_INT64 and PyLong_CheckExact(value):
        number = PyLong_AsLongLongAndOverflow(value, &overflow)
        if overflow:
            out_of_range(node, value, 0)
        memcpy(where, &number, 8)
    elif node.ndim == 0 and type(value) is node.scalar:         # np.int64(3), for instance
        cnp.PyArray_ScalarAsCtype(value, where)
    else:
        value = convert(node, value)
        memcpy(where, cnp.PyArray_DATA(<cnp.ndarray> value), node.size)
    for i in range(node.count if node.coded else 0):
        number = whole(node, where, i)
        if number < node.lows[i] or number > node.highs[i]:
            out_of_range(node, value, i)
    return 0


cdef inline int64_t whole(Node node, const char* where, Py_ssize_t i) noexcept:
    """Element i of the whole numbers of a leaf, of any type, little-endian."""
    cdef uint64_t bits = 0
    if node.spare == 0:
        return (<const int64_t*> where)[i]
    memcpy(&bits, where + i * node.itemsize, node.itemsize)
    return <int64_t> (bits << node.spare) >> node.spare if node.signed else <int64_t> bits


def out_of_range(Node node, value, i):
    given, element = np.ravel(value)[i], f" in element {i}" if node.ndim else ""
    raise ValueError(f"{node.path}: {given} given{element}, expected a whole number from {node.low[i]} to "
                     f"{node.high[i]}")


def wrong_keys(Node node, value):
    missing, extra = [k for k in node.keys if k not in value], [k for k in value if k not in node.keys]
    what = [f"{text} {', '.join(map(repr, keys))}"
            for text, keys in (("no", missing), ("unexpected", extra)) if keys]
    raise ValueError(f"{node.path}: a dict with {' and '.join(what)} given, expected the keys "
                     f"{', '.join(map(repr, node.keys))}")


def convert(Node node, value):
    """`value` as a contiguous array of the leaf's dtype and shape.

    Raises TypeError or ValueError where a number would be cut off or wrapped.
    """
    expected = f"expected {node.dtype} {tuple(node.shape)}"
    try:
        array = as_numpy(value)
    except (TypeError, ValueError) as error:
        raise TypeError(f"{node.path}: {type(value).__name__} given, {expected} ({error})") from error
    if array.shape != node.shape:
        raise ValueError(f"{node.path}: shape {array.shape} given, {expected}")
    if array.dtype.kind not in "biuf":
        raise TypeError(f"{node.path}: {array.dtype} given, {expected}")
    if array.dtype != node.dtype:
        with np.errstate(all="ignore"):
            converted = array.astype(node.dtype)
        if node.dtype.kind != "f" and not np.array_equal(converted, array):
            raise ValueError(f"{node.path}: {array.dtype} given with numbers that {node.dtype} cannot hold, "
                             f"{expected}; convert it in the environment")
        array = converted
    return np.ascontiguousarray(array).reshape(node.shape)
