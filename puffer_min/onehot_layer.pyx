"""A linear layer over one-hot inputs, compiled: nearly all inputs are 0, so it is a sum of a few rows of the weights.

    cells     0 1 2 ...         each holds a small whole number, 0 to its `most`
    rows      cell 0 has rows 0 to most[0] - 1 of the weights, one for each value above 0; cell 1 the next most[1]; ...
    output    bias + the row of each cell that is not 0

Of the 784 inputs that a view of `grid` would have at most 147 are 1: writing them out takes 2.2 us a view and the product 1.3 us on one
core; this sum takes a tenth of both. `rows_sum` is the layer, `rows_gradient` what its weights get. Both work on the CPU in float32; a
test holds them to the product (tests/test_policy.py).
"""

from envs.core.freshness import require_fresh

from libc.stdint cimport int32_t, uint8_t

require_fresh("puffer_min.onehot_layer")

cdef enum:
    MOST_CELLS = 4096

cdef extern from * nogil:
    """
    typedef float Sixteen __attribute__((vector_size(64), aligned(4)));        /* sixteen floats, added at once */

    static void add_rows(long size, long count, const int* rows, const float* weight, const float* bias, float* out) {
        long k = 0, n;
        for (; k + 64 <= size; k += 64) {                                       /* 64 outputs stay in registers while rows are added */
            const Sixteen* start = (const Sixteen*) (bias + k);
            Sixteen a = start[0], b = start[1], c = start[2], d = start[3];
            for (n = 0; n < count; n++) {
                const Sixteen* row = (const Sixteen*) (weight + rows[n] * size + k);
                a += row[0]; b += row[1]; c += row[2]; d += row[3];
            }
            Sixteen* end = (Sixteen*) (out + k);
            end[0] = a; end[1] = b; end[2] = c; end[3] = d;
        }
        for (; k < size; k++) {
            float sum = bias[k];
            for (n = 0; n < count; n++) sum += weight[rows[n] * size + k];
            out[k] = sum;
        }
    }

    static void add_to_rows(long size, long count, const int* rows, const float* restrict grad, float* restrict grad_weight) {
        for (long n = 0; n < count; n++) {
            float* restrict row = grad_weight + rows[n] * size;
            for (long k = 0; k < size; k++) row[k] += grad[k];
        }
    }
    """
    void add_rows(long size, long count, const int* rows, const float* weight, const float* bias, float* out)
    void add_to_rows(long size, long count, const int* rows, const float* grad, float* grad_weight)


def rows_sum(const uint8_t[:, ::1] observations, const uint8_t[::1] most, const float[:, ::1] weight, const float[::1] bias,
             float[:, ::1] out):
    """Fill `out` (N, size) float32: bias (size,) and, of weight (most.sum(), size), the rows of observations (N, cells) uint8.

    Raises ValueError for a number above its cell's `most` (cells,) uint8.
    """
    cdef Py_ssize_t n, size = out.shape[1]
    cdef int count = 0
    cdef int[MOST_CELLS] rows
    require(observations.shape[1], most, weight, size)
    with nogil:
        for n in range(observations.shape[0]):
            count = rows_of(&observations[n, 0], most, rows)
            if count < 0:
                break
            add_rows(size, count, rows, &weight[0, 0], &bias[0], &out[n, 0])
    refuse(count)


def rows_gradient(const uint8_t[:, ::1] observations, const uint8_t[::1] most, const float[:, ::1] grad, float[:, ::1] grad_weight):
    """Add to grad_weight (most.sum(), size) what its rows get from grad (N, size), the gradient of what `rows_sum` gave."""
    cdef Py_ssize_t n, size = grad.shape[1]
    cdef int count = 0
    cdef int[MOST_CELLS] rows
    require(observations.shape[1], most, grad_weight, size)
    with nogil:
        for n in range(observations.shape[0]):
            count = rows_of(&observations[n, 0], most, rows)
            if count < 0:
                break
            add_to_rows(size, count, rows, &grad[n, 0], &grad_weight[0, 0])
    refuse(count)


cdef int rows_of(const uint8_t* cells, const uint8_t[::1] most, int* rows) noexcept nogil:
    """Which rows a line of cells has; returns their number, or -1 - cell where a cell holds too large a number."""
    cdef int cell, first = 0, count = 0
    for cell in range(<int> most.shape[0]):
        if cells[cell] > most[cell]:
            return -1 - cell
        rows[count] = first + cells[cell] - 1
        count += cells[cell] > 0
        first += most[cell]
    return count


cdef refuse(int count):
    if count < 0:
        raise ValueError(f"observation whose number {-1 - count} is above the bound of its space given to encoder=\"onehot\": "
                         "the environment writes what its space does not contain (`python -m puffer_min check` finds it)")


cdef require(Py_ssize_t cells, const uint8_t[::1] most, const float[:, ::1] weight, Py_ssize_t size):
    """ValueError unless there are as many rows of `size` as the cells have values, and not too many cells."""
    cdef Py_ssize_t cell, rows = 0
    for cell in range(most.shape[0]):
        rows += most[cell]
    if cells != most.shape[0] or cells > MOST_CELLS or weight.shape[0] != rows or weight.shape[1] != size:
        raise ValueError(f"{cells} cells and weights {weight.shape[0]} x {weight.shape[1]} given, expected {most.shape[0]} cells "
                         f"(at most {MOST_CELLS}) and {rows} x {size}")
