"""A categorical distribution, compiled: draws, log-probabilities, entropies and their gradient.

torch takes a dozen operations for a draw and another dozen for the rest; on small tensors each of them costs
more than its arithmetic. The functions here do the same as `draw` and `LogProbAndEntropy` of
distributions.py, which serve every device and precision; a test compares them. Exponential and logarithm are
polynomials that the C compiler turns into vector instructions.

Arrays are actions first, as in distributions.py: logits (actions, N) float32 with neighbouring numbers in a
row, all others (N,). A logit of -inf is an action of probability 0: it is never drawn and gets no gradient.
"""

from cython.parallel import prange

from envs.core.freshness import require_fresh

from libc.stdint cimport int64_t

require_fresh("puffer_min.learner.kernels.categorical")

cdef enum:
    BLOCK = 64                      # columns that are worked on at once, in the first-level cache

cdef extern from * nogil:
    """
    #include <stdint.h>
    #include <string.h>
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC optimize("no-trapping-math")  /* else comparisons are branches, loops have no vectors */
#endif
    enum { WIDTH = 64 };                                /* BLOCK */

    static inline float power(float x) {                /* exp(x) for x <= 0; 0 below -87 */
        const float round = 12582912.0f;                /* 1.5 * 2^23: adding it rounds to a whole number */
        float within = x < -87.0f ? -87.0f : x;
        float t = within * 1.44269504f, n = t + round, f = t - (n - round), whole, p;
        unsigned bits;
        p = 0.00961813f + f * (0.00133336f + f * 0.00015469f);
        p = 1.0f + f * (0.69314718f + f * (0.24022651f + f * (0.05550411f + f * p)));
        memcpy(&bits, &n, 4);
        bits = (bits << 23) + 0x3f800000u;              /* n as the exponent of a float */
        memcpy(&whole, &bits, 4);
        return x < -87.0f ? 0.0f : p * whole;
    }

    static inline float logarithm(float x) {        /* x = 2^n * (1 + f), f from -0.3 to 0.42 (Cephes) */
        unsigned bits;
        float m, n, square, y;
        memcpy(&bits, &x, 4);
        bits -= 0x3f3504f3u;                            /* of the root of 1/2: f is around 0 */
        n = (float) ((int) bits >> 23);
        bits = (bits & 0x007fffffu) + 0x3f3504f3u;
        memcpy(&m, &bits, 4);
        m -= 1.0f;
        square = m * m;
        y = 7.0376836292e-2f * m - 1.1514610310e-1f;
        y = y * m + 1.1676998740e-1f; y = y * m - 1.2420140846e-1f; y = y * m + 1.4249322787e-1f;
        y = y * m - 1.6668057665e-1f; y = y * m + 2.0000714765e-1f; y = y * m - 2.4999993993e-1f;
        y = y * m + 3.3333331174e-1f;
        y = y * m * square - 2.12194440e-4f * n - 0.5f * square;
        return m + y + 0.693359375f * n;
    }

    static void normalise(long actions, long stride, long count, const float* logits, float* restrict most,
                          float* restrict sum) {
        for (long k = 0; k < count; k++) most[k] = logits[k], sum[k] = 0;
        for (long a = 1; a < actions; a++)
            for (long k = 0; k < count; k++) {
                float logit = logits[a * stride + k];
                most[k] = logit > most[k] ? logit : most[k];
            }
        for (long a = 0; a < actions; a++)
            for (long k = 0; k < count; k++) sum[k] += power(logits[a * stride + k] - most[k]);
    }

    static void draw_block(long actions, long stride, long count, const float* logits, const float* uniform,
                           int64_t* drawn, float* log_probs) {
        float most[WIDTH], sum[WIDTH], running[WIDTH], p[WIDTH];
        int passed[WIDTH], last[WIDTH];                 /* actions before the draw; the last possible */
        normalise(actions, stride, count, logits, most, sum);
        for (long k = 0; k < count; k++) running[k] = 0, passed[k] = 0, last[k] = 0;
        for (long a = 0; a < actions; a++) {
            for (long k = 0; k < count; k++) p[k] = power(logits[a * stride + k] - most[k]);
            for (long k = 0; k < count; k++) {          /* apart: as one, gcc makes no vectors */
                running[k] += p[k];
                passed[k] += running[k] <= uniform[k] * sum[k];
                last[k] = p[k] > 0 ? (int) a : last[k];
            }
        }
        for (long k = 0; k < count; k++) most[k] += logarithm(sum[k]);
        for (long k = 0; k < count; k++) {
            int action = passed[k] < last[k] ? passed[k] : last[k];
            drawn[k] = action;
            log_probs[k] = logits[action * stride + k] - most[k];
        }
    }

    static void evaluate_block(long actions, long stride, long count, const float* logits,
                               const int64_t* chosen, float* log_p, long out, float* log_probs,
                               float* entropy) {
        float most[WIDTH], sum[WIDTH];
        normalise(actions, stride, count, logits, most, sum);
        for (long k = 0; k < count; k++) most[k] += logarithm(sum[k]), sum[k] = 0;
        for (long a = 0; a < actions; a++)
            for (long k = 0; k < count; k++) {
                float log_of_p = logits[a * stride + k] - most[k], p = power(log_of_p);
                log_p[a * out + k] = log_of_p;
                sum[k] += p > 0 ? p * log_of_p : 0.0f;
            }
        for (long k = 0; k < count; k++) {
            entropy[k] = -sum[k];
            log_probs[k] = log_p[chosen[k] * out + k];
        }
    }

    static void gradient_block(long actions, long stride, long count, const float* log_p,
                               const float* entropy, const int64_t* chosen, const float* of_log_probs,
                               const float* of_entropy, float* restrict grad) {
        for (long a = 0; a < actions; a++)
            for (long k = 0; k < count; k++) {
                float log_of_p = log_p[a * stride + k], p = power(log_of_p);
                float surprise = p > 0 ? log_of_p + entropy[k] : 0.0f;
                float of_chosen = of_log_probs[k] * ((float) (chosen[k] == a) - p);
                grad[a * stride + k] = of_chosen - of_entropy[k] * p * surprise;
            }
    }
    """
    void draw_block(long actions, long stride, long count, const float* logits, const float* uniform,
                    int64_t* drawn, float* log_probs)
    void evaluate_block(long actions, long stride, long count, const float* logits, const int64_t* chosen,
                        float* log_p, long out, float* log_probs, float* entropy)
    void gradient_block(long actions, long stride, long count, const float* log_p, const float* entropy,
                        const int64_t* chosen, const float* of_log_probs, const float* of_entropy,
                        float* grad)


def draw(const float[:, :] logits, const float[::1] uniform, int64_t[::1] drawn, float[::1] log_probs,
         int threads=1):
    """Fill `drawn` with an action a column, by `uniform` in [0, 1), log_probs with its log-probability."""
    cdef Py_ssize_t block, k, size = logits.shape[1]
    require(logits, logits.shape[0], min(drawn.shape[0], uniform.shape[0], log_probs.shape[0]))
    for block in prange((size + BLOCK - 1) // BLOCK, nogil=True, schedule="static", num_threads=threads):
        k = BLOCK * block
        draw_block(logits.shape[0], logits.strides[0] // sizeof(float), min(BLOCK, size - k), &logits[0, k],
                   &uniform[k], &drawn[k], &log_probs[k])


def evaluate(const float[:, :] logits, const int64_t[::1] chosen, float[:, ::1] log_p, float[::1] log_probs,
             float[::1] entropy, int threads=1):
    """Fill log_p (actions, N) of every action, log_probs (N,) of the `chosen` ones, and entropy (N,).

    Raises ValueError for sizes that do not fit, and for an action that does not exist.
    """
    cdef Py_ssize_t block, k, size = logits.shape[1]
    require(logits, log_p.shape[0], log_p.shape[1])
    require(logits, logits.shape[0], min(chosen.shape[0], log_probs.shape[0], entropy.shape[0]))
    for k in range(size):
        if chosen[k] < 0 or chosen[k] >= logits.shape[0]:
            raise ValueError(f"action {chosen[k]} given, expected 0 to {logits.shape[0] - 1}")
    for block in prange((size + BLOCK - 1) // BLOCK, nogil=True, schedule="static", num_threads=threads):
        k = BLOCK * block
        evaluate_block(logits.shape[0], logits.strides[0] // sizeof(float), min(BLOCK, size - k),
                       &logits[0, k], &chosen[k], &log_p[0, k], size, &log_probs[k], &entropy[k])


def gradient(const float[:, ::1] log_p, const float[::1] entropy, const int64_t[::1] chosen,
             const float[::1] of_log_probs, const float[::1] of_entropy, float[:, ::1] grad, int threads=1):
    """Fill `grad` (actions, N), that of the logits, from those of log_probs and entropy of `evaluate`."""
    cdef Py_ssize_t block, k, columns, size = log_p.shape[1]
    require(log_p, grad.shape[0], grad.shape[1])
    columns = min(entropy.shape[0], chosen.shape[0], of_log_probs.shape[0], of_entropy.shape[0])
    require(log_p, log_p.shape[0], columns)
    for block in prange((size + BLOCK - 1) // BLOCK, nogil=True, schedule="static", num_threads=threads):
        k = BLOCK * block
        gradient_block(log_p.shape[0], size, min(BLOCK, size - k), &log_p[0, k], &entropy[k], &chosen[k],
                       &of_log_probs[k], &of_entropy[k], &grad[0, k])


cdef require(const float[:, :] logits, Py_ssize_t actions, Py_ssize_t columns):
    """ValueError unless there are so many actions and at least so many columns, neighbours side by side."""
    apart = logits.shape[1] > 1 and logits.strides[1] != sizeof(float)
    if logits.shape[0] != actions or actions < 1 or columns < logits.shape[1] or apart:
        raise ValueError(f"logits {logits.shape[0]} x {logits.shape[1]} with arrays for {actions} x "
                         f"{columns} given, expected as many of both, actions first and at least one")
