"""Packing a sample into a row and taking an action out of one, compiled: a walk over a small tree of C numbers.

`Packer` follows the program that observations.py makes of an observation space, `Decoder` the one that actions.py makes of an
action space. A leaf that arrives in the declared dtype and shape is one `memcpy`; anything else (a list, a Python number, another
dtype, a torch or JAX array) takes a slow path that converts what can be converted without loss of meaning and refuses the rest with the
leaf's path.
"""

import numpy as np

from envs.core.freshness import require_fresh
from puffer_min.emulation.arrays import as_numpy

cimport numpy as cnp
from cpython.dict cimport PyDict_CheckExact, PyDict_GetItem, PyDict_Size
from cpython.list cimport PyList_CheckExact, PyList_GET_ITEM, PyList_GET_SIZE
from cpython.long cimport PyLong_AsLongLongAndOverflow, PyLong_CheckExact
from cpython.object cimport PyObject
from cpython.tuple cimport PyTuple_CheckExact, PyTuple_GET_ITEM, PyTuple_GET_SIZE
from libc.math cimport rint
from libc.stdint cimport int8_t, int16_t, int32_t, int64_t, uint8_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memcmp, memcpy, memset

cnp.import_array()
require_fresh("puffer_min.emulation.packing")

cdef enum:
    DICT
    TUPLE
    LEAF
    # leaves of an action
    DISCRETE
    MULTI
    REAL
    SCORES          # one Discrete among real numbers: n scores, the largest is the action
    SIGNS           # MultiBinary among real numbers: one score each, positive is 1
    MULTI_SCORES    # MultiDiscrete among real numbers

KINDS = {"dict": DICT, "tuple": TUPLE, "leaf": LEAF, "discrete": DISCRETE, "multi": MULTI, "real": REAL, "scores": SCORES,
         "signs": SIGNS, "multi scores": MULTI_SCORES}


cdef class Node:
    """A Dict or Tuple with its parts, or a leaf."""
    cdef int kind
    cdef str path
    cdef tuple keys
    cdef list children
    cdef Py_ssize_t offset, size, count             # bytes into the row, bytes, elements
    cdef int type, ndim
    cdef cnp.npy_intp dims[64]                     # as many as NumPy allows
    cdef object dtype, shape, scalar, low, high
    cdef bint coded                                 # low and high are to be kept
    cdef const int64_t* lows
    cdef const int64_t* highs

    def take_shape(self, dtype, shape, low, high):
        self.dtype, self.shape, self.scalar, self.type, self.ndim = dtype, shape, dtype.type, dtype.num, len(shape)
        for i, extent in enumerate(shape):
            self.dims[i] = extent
        self.count = int(np.prod(shape, dtype=int))
        self.size = self.count * dtype.itemsize
        self.coded = low is not None
        if self.coded:
            self.low, self.high = np.array(low, np.int64), np.array(high, np.int64)
            self.lows = <const int64_t*> cnp.PyArray_DATA(self.low)
            self.highs = <const int64_t*> cnp.PyArray_DATA(self.high)


# ---------------------------------------------------------------------------------------------------------------- observations

cdef class Packer:
    """Packs samples of one space into rows of `size` bytes; with `one_hot`, a single whole number into a row of one byte a value."""

    cdef Node root
    cdef Py_ssize_t size
    cdef bint one_hot

    def __init__(self, program, size, one_hot=False):
        self.root, self.size, self.one_hot = observation_node(program), size, one_hot

    def pack(self, sample, cnp.ndarray row not None):
        """Write `sample` into `row`, a contiguous writable array of `size` bytes."""
        if cnp.PyArray_NBYTES(row) != self.size or not cnp.PyArray_ISCARRAY(row):
            raise ValueError(f"row of {row.nbytes} bytes given, expected {self.size} contiguous writable bytes")
        cdef char* where = <char*> cnp.PyArray_DATA(row)
        cdef char number[8]
        if self.root.kind == LEAF and not self.one_hot:
            pack_leaf(self.root, sample, where)
            return
        memset(where, 0, self.size)                 # the padding, and what is not hot
        if self.one_hot:
            pack_leaf(self.root, sample, number)
            where[whole(number, 0, self.root.type) - self.root.lows[0]] = 1
        else:
            pack(self.root, sample, where)


def observation_node(program):
    cdef Node node = Node()
    node.kind, node.path = KINDS[program[0]], program[1]
    if node.kind == LEAF:
        node.offset = program[2]
        node.take_shape(*program[3:])
    else:
        node.keys, node.children = program[2], [observation_node(part) for part in program[3]]
    return node


cdef int pack(Node node, object value, char* row) except -1:
    cdef Py_ssize_t i, n
    cdef PyObject* part
    if node.kind == LEAF:
        return pack_leaf(node, value, row + node.offset)
    n = PyList_GET_SIZE(node.children)
    if node.kind == DICT:
        if not PyDict_CheckExact(value):
            value = as_dict(node, value)
        if PyDict_Size(value) != n:
            wrong_keys(node, value)
        for i in range(n):
            part = PyDict_GetItem(value, <object> PyTuple_GET_ITEM(node.keys, i))
            if part == NULL:
                wrong_keys(node, value)
            pack(<Node> PyList_GET_ITEM(node.children, i), <object> part, row)
        return 0
    if not PyTuple_CheckExact(value):
        value = as_tuple(node, value)
    if PyTuple_GET_SIZE(value) != n:
        raise ValueError(f"{node.path}: {len(value)} parts given, expected {n}")
    for i in range(n):
        pack(<Node> PyList_GET_ITEM(node.children, i), <object> PyTuple_GET_ITEM(value, i), row)
    return 0


cdef inline bint fits(Node node, object value):
    """Whether `value` is an array whose bytes are the leaf's bytes."""
    return (cnp.PyArray_Check(value) and cnp.PyArray_TYPE(<cnp.ndarray> value) == node.type
            and cnp.PyArray_NDIM(<cnp.ndarray> value) == node.ndim
            and cnp.PyArray_ISCARRAY_RO(<cnp.ndarray> value)
            and memcmp(cnp.PyArray_DIMS(<cnp.ndarray> value), node.dims, node.ndim * sizeof(cnp.npy_intp)) == 0)


cdef int pack_leaf(Node node, object value, char* where) except -1:
    cdef int64_t number
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
    if node.coded:
        check_codes(node, value, where)
    return 0


cdef int check_codes(Node node, object value, const char* where) except -1:
    """Every number within its bounds."""
    cdef Py_ssize_t i
    cdef int64_t number
    if node.type == cnp.NPY_INT64:
        for i in range(node.count):
            number = (<const int64_t*> where)[i]
            if number < node.lows[i] or number > node.highs[i]:
                out_of_range(node, value, i)
    else:
        for i in range(node.count):
            number = whole(where, i, node.type)
            if number < node.lows[i] or number > node.highs[i]:
                out_of_range(node, value, i)
    return 0


cdef int64_t whole(const char* where, Py_ssize_t i, int type) noexcept:
    """Element i of an array of whole numbers of any type."""
    if type == cnp.NPY_INT8:
        return (<const int8_t*> where)[i]
    if type == cnp.NPY_UINT8 or type == cnp.NPY_BOOL:
        return (<const uint8_t*> where)[i]
    if type == cnp.NPY_INT16:
        return (<const int16_t*> where)[i]
    if type == cnp.NPY_UINT16:
        return (<const uint16_t*> where)[i]
    if type == cnp.NPY_INT32:
        return (<const int32_t*> where)[i]
    if type == cnp.NPY_UINT32:
        return (<const uint32_t*> where)[i]
    return (<const int64_t*> where)[i]


def out_of_range(Node node, value, i):
    given = np.ravel(value)[i]
    element = f" in element {i}" if node.ndim else ""
    raise ValueError(f"{node.path}: {given} given{element}, expected a whole number from {node.low[i]} to {node.high[i]}")


def as_dict(Node node, value):
    """A mapping of another kind as a dict."""
    if not hasattr(value, "keys"):
        raise TypeError(f"{node.path}: {type(value).__name__} given, expected a dict with the keys {', '.join(map(repr, node.keys))}")
    return {key: value[key] for key in value.keys()}


def as_tuple(Node node, value):
    """A list as a tuple."""
    if not isinstance(value, (list, tuple)):
        raise TypeError(f"{node.path}: {type(value).__name__} given, expected a tuple of {len(node.keys)}")
    return tuple(value)


def wrong_keys(Node node, value):
    missing, extra = [k for k in node.keys if k not in value], [k for k in value if k not in node.keys]
    what = [f"{text} {', '.join(map(repr, keys))}" for text, keys in (("no", missing), ("unexpected", extra)) if keys]
    raise ValueError(f"{node.path}: a dict with {' and '.join(what)} given, expected the keys {', '.join(map(repr, node.keys))}")


def convert(Node node, value):
    """`value` as a contiguous array of the leaf's dtype and shape; TypeError or ValueError where a number would be cut off or wrapped."""
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
        exact = node.dtype.kind == "f" or np.array_equal(converted, array)
        if not exact:
            raise ValueError(f"{node.path}: {array.dtype} given with numbers that {node.dtype} cannot hold, {expected}; "
                             "convert it in the environment")
        array = converted
    return np.ascontiguousarray(array).reshape(node.shape)


# ---------------------------------------------------------------------------------------------------------------- actions

cdef class Decoder:
    """Takes the action of one agent out of its row of `width` numbers of `dtype` (int32 or float32)."""

    cdef Node root
    cdef readonly object dtype
    cdef readonly Py_ssize_t width

    def __init__(self, program, width, dtype):
        self.root, self.width, self.dtype = action_node(program), width, np.dtype(dtype)

    def decode_rows(self, cnp.ndarray rows not None):
        """A list of the actions in `rows`, a contiguous array (number of agents, ...) of `width` numbers for each."""
        cdef Py_ssize_t i, num_rows = cnp.PyArray_DIM(rows, 0), step = self.width * 4
        cdef const char* first = <const char*> cnp.PyArray_DATA(rows)
        if rows.dtype != self.dtype or rows.size != num_rows * self.width or not cnp.PyArray_IS_C_CONTIGUOUS(rows):
            raise ValueError(f"rows {rows.dtype} {(<object> rows).shape} given, expected {self.width} contiguous {self.dtype} an agent")
        return [decode(self.root, first + i * step) for i in range(num_rows)]


def action_node(program):
    """A node of ("dict" or "tuple", keys, programs) or (kind, first number in the row, space's dtype, shape, low, high); low and high
    are the bounds of a Box, else the smallest value and the count of each element."""
    cdef Node node = Node()
    node.kind = KINDS[program[0]]
    if node.kind == DICT or node.kind == TUPLE:
        node.keys, node.children = program[1], [action_node(part) for part in program[2]]
        return node
    node.offset = program[1] * 4
    if node.kind == REAL:
        node.take_shape(program[2], program[3], None, None)
        node.low, node.high = (np.array(side, order="C") for side in program[4:])       # keeps no dimensions where there are none
    else:
        node.take_shape(*program[2:])
    return node


cdef object decode(Node node, const char* row):
    cdef Py_ssize_t i, n
    cdef dict parts
    if node.kind == DICT:
        parts = {}
        for i in range(PyList_GET_SIZE(node.children)):
            parts[<object> PyTuple_GET_ITEM(node.keys, i)] = decode(<Node> PyList_GET_ITEM(node.children, i), row)
        return parts
    if node.kind == TUPLE:
        return tuple([decode(<Node> part, row) for part in node.children])
    row += node.offset
    if node.kind == DISCRETE:
        return whole_number(node, node.lows[0] + (<const int32_t*> row)[0])
    if node.kind == SCORES:
        return whole_number(node, node.lows[0] + largest(<const float*> row, node.highs[0]))
    if node.kind == REAL:
        return real_numbers(node, <const float*> row)
    return whole_numbers(node, row)


cdef object whole_number(Node node, int64_t number):
    """A NumPy scalar of the space's dtype, as Gymnasium's own sampling gives."""
    if node.type == cnp.NPY_INT64:
        return cnp.PyArray_ToScalar(&number, node.low)
    return node.dtype.type(number)


cdef int64_t largest(const float* scores, int64_t n) noexcept:
    """The place of the largest score; the first of equals."""
    cdef int64_t i, best = 0
    for i in range(1, n):
        if scores[i] > scores[best]:
            best = i
    return best


cdef object whole_numbers(Node node, const char* row):
    """A MultiDiscrete or MultiBinary action."""
    cdef cnp.ndarray action = cnp.PyArray_EMPTY(node.ndim, node.dims, cnp.NPY_INT64, 0)
    cdef int64_t* numbers = <int64_t*> cnp.PyArray_DATA(action)
    cdef const float* scores = <const float*> row
    cdef Py_ssize_t i
    for i in range(node.count):
        if node.kind == MULTI:
            numbers[i] = node.lows[i] + (<const int32_t*> row)[i]
        elif node.kind == SIGNS:
            numbers[i] = scores[i] > 0
        else:
            numbers[i] = node.lows[i] + largest(scores, node.highs[i])
            scores += node.highs[i]
    return action if node.type == cnp.NPY_INT64 else action.astype(node.dtype)


cdef object real_numbers(Node node, const float* row):
    """A Box action, within its bounds, in its own dtype; whole numbers are rounded."""
    cdef cnp.ndarray action = cnp.PyArray_EMPTY(node.ndim, node.dims, cnp.NPY_FLOAT32, 0)
    cdef float* numbers = <float*> cnp.PyArray_DATA(action)
    cdef const float* low
    cdef const float* high
    cdef Py_ssize_t i
    if node.type == cnp.NPY_FLOAT32:
        low, high = <const float*> cnp.PyArray_DATA(<cnp.ndarray> node.low), <const float*> cnp.PyArray_DATA(<cnp.ndarray> node.high)
        for i in range(node.count):
            numbers[i] = min(max(row[i], low[i]), high[i])
        return action
    memcpy(numbers, row, node.count * sizeof(float))
    if node.dtype.kind == "f":
        return np.asarray(np.clip(action, node.low, node.high)).astype(node.dtype)
    return np.asarray(np.clip(np.rint(action.astype(np.float64)), node.low, node.high)).astype(node.dtype)
