"""A linear layer over inputs that are nearly all 0, compiled: the sum of a few rows of the weights.

    outputs = bias + factor * row of the weights, for each cell of an observation that is not 0

    numbers     each cell has one row, and its number is the factor (`most` is None)
    one-hot     cell 0 has the rows 0 to most[0] - 1, one for each value above 0; cell 1 has the next most[1]
                rows; and so on. The factor is 1.

A view of `squared` has 121 cells, of which 2 are not 0; a view of `grid` has 784 one-hot inputs, of which at
most 147 are 1: the sum reads those rows and nothing else. `rows_sum` is the layer, `rows_gradient` the
gradient of its weights. Both work on the CPU in float32 and give the same to the last digit for any number of
threads. A test compares them with the product over written-out inputs.
"""

import numpy as np

from cython.parallel import prange

from envs.core.freshness import require_fresh

from libc.stdint cimport int32_t, uint8_t

require_fresh("puffer_min.learner.kernels.sparse")

cdef enum:
    MOST_CELLS = 4096
    LANES = 32                      # columns that are added at once, and that threads share a gradient by
    SAMPLED = 16                    # `density` looks at every 16th observation

MAX_CELLS = MOST_CELLS              # for Python

cdef extern from * nogil:
    """
    #include <stdint.h>
    #include <string.h>

#ifdef __AVX512F__
    enum { PACK = 16 };                     /* floats in a register */
#else
    enum { PACK = 8 };                      /* wider packs would be kept on the stack */
#endif
    typedef float Pack __attribute__((vector_size(4 * PACK), aligned(4)));      /* floats, added at once */

    static uint64_t nonzero_of_eight(const uint8_t* cells) {            /* one bit a cell, the first lowest */
        const uint64_t low = 0x7f7f7f7f7f7f7f7full;
        uint64_t word;
        memcpy(&word, cells, 8);
        word = (((word & low) + low) | word) & ~low;                    /* the top bits of bytes not 0 */
        return (word >> 7) * 0x0102040810204080ull >> 56;
    }

    static int find_nonzero(long cells, const uint8_t* line, int* found) {  /* 64 cells at a time */
        int count = 0;
        for (long first = 0; first < cells; first += 64) {
            uint64_t bits = 0;
            long last = first + 64 < cells ? first + 64 : cells, cell = first;
            for (; cell + 8 <= last; cell += 8) bits |= nonzero_of_eight(line + cell) << (cell - first);
            for (; cell < last; cell++) bits |= (uint64_t) (line[cell] != 0) << (cell - first);
            for (; bits; bits &= bits - 1) found[count++] = (int) first + __builtin_ctzll(bits);
        }
        return count;
    }

    static long count_nonzero(long cells, const uint8_t* line) {
        long count = 0;
        for (long cell = 0; cell < cells; cell++) count += line[cell] != 0;
        return count;
    }

    static void add_rows(long size, long count, const int* rows, const float* factors, const float* weight,
                         const float* bias, float* out) {
        enum { HELD = 64 / PACK };                                          /* 64 outputs stay in registers */
        long k = 0, n;
        for (; k + 64 <= size; k += 64) {
            Pack sums[HELD];
            for (int p = 0; p < HELD; p++) sums[p] = ((const Pack*) (bias + k))[p];
            for (n = 0; n < count; n++) {
                const Pack* row = (const Pack*) (weight + rows[n] * size + k);
                for (int p = 0; p < HELD; p++) sums[p] += factors[n] * row[p];
            }
            for (int p = 0; p < HELD; p++) ((Pack*) (out + k))[p] = sums[p];
        }
        for (; k < size; k++) {
            float sum = bias[k];
            for (n = 0; n < count; n++) sum += factors[n] * weight[rows[n] * size + k];
            out[k] = sum;
        }
    }

    static void add_to_rows(long size, long stride, long count, const int* rows, const float* factors,
                            const float* grad, float* sums) {
        enum { HELD = 32 / PACK };                                          /* 32 stay in registers */
        long k = 0, n;
        for (; k + 32 <= size; k += 32) {
            Pack of_output[HELD];
            for (int p = 0; p < HELD; p++) of_output[p] = ((const Pack*) (grad + k))[p];
            for (n = 0; n < count; n++) {
                Pack* row = (Pack*) (sums + rows[n] * stride + k);
                for (int p = 0; p < HELD; p++) row[p] += factors[n] * of_output[p];
            }
        }
        for (; k < size; k++)
            for (n = 0; n < count; n++) sums[rows[n] * stride + k] += factors[n] * grad[k];
    }
    """
    int find_nonzero(long cells, const uint8_t* line, int* found)
    long count_nonzero(long cells, const uint8_t* line)
    void add_rows(long size, long count, const int* rows, const float* factors, const float* weight,
                  const float* bias, float* out)
    void add_to_rows(long size, long stride, long count, const int* rows, const float* factors,
                     const float* grad, float* sums)


cdef class Cells:
    """Observations (N, cells) uint8 or int8; the row and the factor of each cell that is not 0."""

    cdef const uint8_t[:, ::1] lines
    cdef const uint8_t[::1] most
    cdef const int32_t[::1] first   # one-hot: the row of each cell's value 1
    cdef bint onehot, signed
    cdef Py_ssize_t rows            # of the weights

    def __init__(self, observations, most):
        self.onehot, self.signed = most is not None, observations.dtype == np.int8
        cells = observations.shape[1]
        if cells > MOST_CELLS or self.onehot and (observations.dtype != np.uint8 or cells != len(most)):
            expected = f"{len(most)} of uint8, " if self.onehot else ""
            raise ValueError(f"{cells} cells of {observations.dtype} given, expected {expected}"
                             f"{MOST_CELLS} at most")
        self.lines, self.most, self.rows = observations.view(np.uint8), most, cells
        if self.onehot:
            self.first, self.rows = np.cumsum(most, dtype=np.int32) - most, int(most.sum())

    cdef require(self, const float[:, ::1] weight, const float[:, ::1] outputs):
        """ValueError unless there is a line of outputs for each observation, a row for each input."""
        lines, size = self.lines.shape[0], outputs.shape[1]
        if lines != outputs.shape[0] or self.rows != weight.shape[0] or size != weight.shape[1]:
            raise ValueError(f"{outputs.shape[0]} x {size} outputs and weights {weight.shape[0]} x "
                             f"{weight.shape[1]} given, expected {lines} x {size} and {self.rows} x {size}")

    cdef int list(self, Py_ssize_t n, int* rows, float* factors) noexcept nogil:
        """Rows and factors of observation n; returns how many, or -1 if a cell holds more than its most."""
        cdef const uint8_t* line = &self.lines[n, 0]
        cdef int count = find_nonzero(self.lines.shape[1], line, rows), i, cell
        for i in range(count):
            cell = rows[i]
            if self.signed:
                factors[i] = <signed char> line[cell]
            elif not self.onehot:
                factors[i] = line[cell]
            elif line[cell] > self.most[cell]:
                return -1
            else:
                rows[i], factors[i] = self.first[cell] + line[cell] - 1, 1
        return count

    cdef bint sum_line(self, Py_ssize_t n, const float* weight, const float* bias, Py_ssize_t size,
                       float* out) noexcept nogil:
        """The outputs of observation n; False if it holds more than it may."""
        cdef int[MOST_CELLS] rows
        cdef float[MOST_CELLS] factors
        cdef int count = self.list(n, rows, factors)
        if count >= 0:
            add_rows(size, count, rows, factors, weight, bias, out)
        return count >= 0

    cdef bint add_lines(self, const float* grad, Py_ssize_t row, Py_ssize_t size, float* sums,
                        Py_ssize_t stride) noexcept nogil:
        """`size` columns of the weights' gradient, from rows of `row` numbers to rows of `stride`.

        False if a cell holds more than it may.
        """
        cdef int[MOST_CELLS] rows
        cdef float[MOST_CELLS] factors
        cdef Py_ssize_t n
        cdef int count
        for n in range(self.lines.shape[0]):
            count = self.list(n, rows, factors)
            if count < 0:
                return False
            add_to_rows(size, stride, count, rows, factors, grad + n * row, sums)
        return True

    cdef refuse(self):
        """Name the first cell that is above its bound."""
        cell = np.argwhere(np.asarray(self.lines) > np.asarray(self.most))[0, 1]
        raise ValueError(f"observation whose number {cell} is above the bound of its space given to "
                         "encoder=\"onehot\": the environment writes what its space does not contain "
                         "(`python -m puffer_min check` finds it)")


def rows_sum(observations, most, const float[:, ::1] weight, const float[::1] bias, float[:, ::1] out,
             int threads=1):
    """Fill `out` (N, size) float32 from observations (N, cells), weight (rows, size) and bias (size,).

    observations    uint8 or int8
    most            one-hot: the largest number of each cell, (cells,) uint8, and rows is their sum. None:
                    numbers, and rows is cells.

    Raises ValueError for sizes that do not fit, and for a number above its cell's `most`.
    """
    cdef Cells cells = Cells(observations, most)
    cdef Py_ssize_t n, size = out.shape[1]
    cdef int bad = 0
    cells.require(weight, out)
    if bias.shape[0] != size:
        raise ValueError(f"bias of {bias.shape[0]} given, expected {size}")
    if out.size and weight.size:
        for n in prange(out.shape[0], nogil=True, schedule="static", num_threads=threads):
            bad += not cells.sum_line(n, &weight[0, 0], &bias[0], size, &out[n, 0])
    if bad:
        cells.refuse()


def rows_gradient(observations, most, const float[:, ::1] grad, float[:, ::1] grad_weight, int threads=1):
    """Add the gradient of the weights to grad_weight (rows, size), from grad (N, size) of the outputs."""
    cdef Cells cells = Cells(observations, most)
    cdef Py_ssize_t part, start, size = grad.shape[1], blocks = (size + LANES - 1) // LANES, share
    cdef float[:, :, ::1] sums
    cdef int bad = 0
    cells.require(grad_weight, grad)
    if not (grad.size and grad_weight.size):
        return
    threads = <int> max(1, min(threads, blocks))
    share = (blocks + threads - 1) // threads * LANES   # columns of a thread, which has memory of its own
    sums = np.zeros((threads, grad_weight.shape[0], share), np.float32)
    for part in prange(threads, nogil=True, schedule="static", num_threads=threads):
        start = min(size, part * share)
        bad += not cells.add_lines(&grad[0, 0] + start, size, min(size - start, share), &sums[part, 0, 0],
                                   share)
    if bad:
        cells.refuse()
    for part in range(threads):
        start = min(size, part * share)
        total = np.asarray(grad_weight)[:, start:start + share]
        total += np.asarray(sums)[part, :, :total.shape[1]]


def density(observations) -> float:
    """The share of cells that are not 0, in one of SAMPLED observations (N, cells) uint8 or int8."""
    cdef const uint8_t[:, ::1] lines = observations.view(np.uint8)
    cdef Py_ssize_t n, found = 0, cells = lines.shape[1]
    cdef Py_ssize_t looked_at = (lines.shape[0] + SAMPLED - 1) // SAMPLED
    with nogil:
        for n in range(looked_at):
            found += count_nonzero(cells, &lines[SAMPLED * n, 0])
    return <double> found / max(1, looked_at * cells)
