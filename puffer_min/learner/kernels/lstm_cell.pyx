"""The cell of the LSTM, compiled: the operations between the matrix products of a step, in one pass.

torch takes a dozen operations for it forward and twenty backward, each a pass over memory of its own. The
functions here do the same arithmetic as `cell` and `cell_gradient` of lstm.py, which serve every device and
precision; a test compares them. The exponential is a polynomial that the C compiler turns into vector
instructions, exact to 2 in the last of float32's digits.

All arrays are float32 with neighbouring numbers in a row: gates (N, 4 * size), goes_on (N,), all others
(N, size).
"""

from cython.parallel import prange

from envs.core.freshness import require_fresh

require_fresh("puffer_min.learner.kernels.lstm_cell")

cdef extern from * nogil:
    """
    #include <string.h>
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC optimize("no-trapping-math")  /* else the clamps below are branches and the loop has no vectors */
#endif
    static inline float sigmoid(float x) {
        const float round = 12582912.0f;                /* 1.5 * 2^23: adding it rounds to a whole number */
        float t, n, f, p, power;
        int bits;
        x = x < -87.0f ? -87.0f : x;
        x = x > 87.0f ? 87.0f : x;
        t = x * -1.44269504f;                           /* exp(-x) = 2^t = 2^n * 2^f, n whole, |f| <= 1/2 */
        n = t + round;
        memcpy(&bits, &n, 4);
        f = t - (n - round);
        p = 0.00961813f + f * (0.00133336f + f * 0.00015469f);
        p = 1.0f + f * (0.69314718f + f * (0.24022651f + f * (0.05550411f + f * p)));
        bits = (int) (((unsigned) bits << 23) + 0x3f800000u);           /* n as the exponent of a float */
        memcpy(&power, &bits, 4);
        return 1.0f / (1.0f + p * power);
    }

    static void cell_row(long size, float* restrict gates, const float* restrict cell, float goes_on,
                         float* restrict squashed, float* restrict seen, float* restrict next_hidden,
                         float* restrict next_cell) {
        float* restrict input = gates;
        float* restrict forget = gates + size;
        float* restrict output = gates + 2 * size;
        float* restrict written = gates + 3 * size;
        for (long k = 0; k < size; k++) {
            float i = sigmoid(input[k]), f = sigmoid(forget[k]), o = sigmoid(output[k]);
            float g = 2 * sigmoid(2 * written[k]) - 1;                              /* tanh */
            float after = f * cell[k] + i * g, s = 2 * sigmoid(2 * after) - 1;
            input[k] = i; forget[k] = f; output[k] = o; written[k] = g;
            squashed[k] = s;
            seen[k] = o * s;
            next_hidden[k] = o * s * goes_on;
            next_cell[k] = after * goes_on;
        }
    }

    static void gradient_row(long size, const float* restrict gates, const float* restrict cell,
                             float goes_on, const float* restrict squashed, const float* restrict grad_seen,
                             const float* restrict grad_hidden, float* restrict grad_cell,
                             float* restrict grad) {
        for (long k = 0; k < size; k++) {
            float i = gates[k], f = gates[size + k], o = gates[2 * size + k], g = gates[3 * size + k];
            float s = squashed[k];
            float of_hidden = grad_seen[k] + grad_hidden[k] * goes_on;
            float of_cell = grad_cell[k] * goes_on + of_hidden * o * (1 - s * s);
            grad[k] = of_cell * g * (i - i * i);
            grad[size + k] = of_cell * cell[k] * (f - f * f);
            grad[2 * size + k] = of_hidden * s * (o - o * o);
            grad[3 * size + k] = of_cell * i * (1 - g * g);
            grad_cell[k] = of_cell * f;
        }
    }
    """
    void cell_row(long size, float* gates, const float* cell, float goes_on, float* squashed, float* seen,
                  float* next_hidden, float* next_cell)
    void gradient_row(long size, const float* gates, const float* cell, float goes_on, const float* squashed,
                      const float* grad_seen, const float* grad_hidden, float* grad_cell, float* grad)


def cell(float[:, ::1] gates, float[:, :] cells, float[:] goes_on, float[:, :] squashed, float[:, :] seen,
         float[:, :] next_hidden, float[:, :] next_cell, int threads=1):
    """Activate raw gates in place; fill tanh of the cell, the hidden numbers and the state after the step."""
    cdef Py_ssize_t n, rows = gates.shape[0], size = cells.shape[1]
    require(rows, size, gates.shape[1], cells, squashed, seen, next_hidden)
    require(rows, size, gates.shape[1], next_cell, squashed, seen, next_hidden)
    for n in prange(rows, nogil=True, schedule="static", num_threads=threads):
        cell_row(size, &gates[n, 0], &cells[n, 0], goes_on[n], &squashed[n, 0], &seen[n, 0],
                 &next_hidden[n, 0], &next_cell[n, 0])


def cell_gradient(float[:, ::1] gates, float[:, :] cells, float[:] goes_on, float[:, :] squashed,
                  float[:, :] grad_seen, float[:, :] grad_hidden, float[:, :] grad_cell, float[:, ::1] grad,
                  int threads=1):
    """Fill `grad`, of the raw gates, from the gradients of `seen` and of the state after the step.

    grad_cell becomes the gradient of the cell before the step.
    """
    cdef Py_ssize_t n, rows = gates.shape[0], size = cells.shape[1]
    require(rows, size, gates.shape[1], cells, squashed, grad_seen, grad_hidden)
    require(rows, size, grad.shape[1], grad_cell, squashed, grad_seen, grad_hidden)
    for n in prange(rows, nogil=True, schedule="static", num_threads=threads):
        gradient_row(size, &gates[n, 0], &cells[n, 0], goes_on[n], &squashed[n, 0], &grad_seen[n, 0],
                     &grad_hidden[n, 0], &grad_cell[n, 0], &grad[n, 0])


cdef require(Py_ssize_t rows, Py_ssize_t size, Py_ssize_t gates, float[:, :] a, float[:, :] b, float[:, :] c,
             float[:, :] d):
    """ValueError unless all have (rows, size), neighbours side by side, and there are 4 * size gates."""
    cdef float[:, :] array
    for array in (a, b, c, d):
        if (array.shape[0] != rows or array.shape[1] != size or array.strides[1] != sizeof(float)
                or gates != 4 * size):
            raise ValueError(f"array of {array.shape[0]} x {array.shape[1]} with {gates} gates given, "
                             f"expected {rows} contiguous rows of {size} with {4 * size} gates")
