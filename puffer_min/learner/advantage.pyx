"""Advantages over rows of experience, compiled: GAE (Schulman et al. 2016), V-trace (Espeholt et al. 2018).

A row is `horizon` steps of one agent, in order. In a row, at step t:

    end[t]    = terminals[t] or truncations[t]          the episode stops here: nothing after t matters to t
    after[t]  = 0                  if terminals[t]      the value of what comes after step t
                final_values[t]    if truncations[t]    (cut by time: the value of the last observation)
                values[t + 1]      otherwise            (next_values[row] after the last step)
    delta[t]  = rewards[t] + gamma * after[t] - values[t]
    GAE       advantages[t] = delta[t] + gamma * gae_lambda * (1 - end[t]) * advantages[t + 1]
    V-trace   advantages[t] = min(rho_clip, ratios[t]) * delta[t]
                              + gamma * gae_lambda * min(c_clip, ratios[t]) * (1 - end[t]) * advantages[t + 1]
    returns[t] = advantages[t] + values[t]

V-trace's returns are the paper's targets v_s, its advantages v_s - V(s): with ratios of 1 it is GAE.

Why it is fast. Only the recurrence over t is sequential. The rest is one flat loop over a block of LANES rows
that the C compiler turns into vector instructions; it leaves delta in `advantages` and the factor of the
recurrence in `returns`, which are free until then. The recurrence is a chain of one multiplication and one
addition a step, which alone would leave the processor waiting, so the LANES chains of a block run side by
side.
"""

from envs.core.freshness import require_fresh

cimport numpy as cnp
from libc.stdint cimport uint8_t

cnp.import_array()
require_fresh("puffer_min.learner.advantage")

cdef enum:
    LANES = 8

cdef struct Batch:                      # the caller's arrays, (rows, horizon) unless said otherwise
    Py_ssize_t rows, horizon
    const float* rewards
    const float* values
    const uint8_t* terminals
    const uint8_t* truncations
    const float* final_values           # NULL if nothing truncates
    const float* next_values            # (rows,)
    const float* ratios                 # NULL for GAE
    float* advantages
    float* returns
    float gamma, trace                  # trace = gamma * gae_lambda
    float rho_clip, c_clip


def gae(cnp.ndarray rewards, cnp.ndarray values, cnp.ndarray terminals, cnp.ndarray truncations,
        cnp.ndarray final_values, cnp.ndarray next_values, cnp.ndarray advantages, cnp.ndarray returns,
        float gamma, float gae_lambda):
    """Generalised advantage estimation; fills `advantages` and `returns` in place.

    rewards, values, advantages, returns    float32 (rows, horizon)
    terminals, truncations                  bool (rows, horizon)
    final_values                            float32 (rows, horizon), read where truncations are up; or None
    next_values                             float32 (rows,): value of the observation after each row

    All are C-contiguous; a ValueError or TypeError names the one that is not as expected.
    """
    cdef Batch batch = checked(rewards, values, terminals, truncations, final_values, next_values, advantages,
                               returns)
    batch.ratios = NULL
    batch.gamma, batch.trace = gamma, gamma * gae_lambda
    with nogil:
        estimate(&batch)


def vtrace(cnp.ndarray rewards, cnp.ndarray values, cnp.ndarray terminals, cnp.ndarray truncations,
           cnp.ndarray final_values, cnp.ndarray next_values, cnp.ndarray ratios, cnp.ndarray advantages,
           cnp.ndarray returns,
           float gamma, float gae_lambda, float rho_clip=1, float c_clip=1):
    """V-trace, its traces shortened by `gae_lambda`: as `gae`, corrected for experience from an older policy.

    ratios    float32 (rows, horizon): probability of the action now / under the policy that acted
    """
    cdef Batch batch = checked(rewards, values, terminals, truncations, final_values, next_values, advantages,
                               returns)
    require("ratios", ratios, cnp.NPY_FLOAT32, rewards)
    batch.ratios = <const float*> cnp.PyArray_DATA(ratios)
    batch.gamma, batch.trace = gamma, gamma * gae_lambda
    batch.rho_clip, batch.c_clip = rho_clip, c_clip
    with nogil:
        estimate(&batch)


cdef void estimate(Batch* batch) noexcept nogil:
    """Block by block, LANES rows each; the rows left over one by one."""
    cdef Py_ssize_t row = 0, horizon = batch.horizon
    while row < batch.rows:
        if batch.rows - row >= LANES:
            prepare(batch, row, LANES)
            recur_lanes(horizon, batch.advantages + row * horizon, batch.returns + row * horizon)
            finish(batch, row, LANES)
            row += LANES
        else:
            prepare(batch, row, 1)
            recur(horizon, batch.advantages + row * horizon, batch.returns + row * horizon)
            finish(batch, row, 1)
            row += 1


cdef void prepare(Batch* batch, Py_ssize_t row, Py_ssize_t count) noexcept nogil:
    """Leave delta in advantages and the factor of advantages[t + 1] in returns, for `count` rows from `row`.

    The loops run over the rows as one flat array, and so take the first value of the next row for what
    follows the last step; the last column is then written again with the right one.
    """
    cdef Py_ssize_t i, r, horizon = batch.horizon, n = count * horizon, start = row * horizon
    cdef const float* rewards = batch.rewards + start
    cdef const float* values = batch.values + start
    cdef const float* final_values = NULL
    cdef const float* ratios = NULL
    cdef const uint8_t* terminals = batch.terminals + start
    cdef const uint8_t* truncations = batch.truncations + start
    cdef float* delta = batch.advantages + start
    cdef float* factor = batch.returns + start
    cdef float after, gamma = batch.gamma, trace = batch.trace
    cdef float rho_clip = batch.rho_clip, c_clip = batch.c_clip
    for i in range(n - 1):
        after = gamma * values[i + 1]
        delta[i] = rewards[i] - values[i] + (0 if terminals[i] | truncations[i] else after)
    for i in range(n):
        factor[i] = 0 if terminals[i] | truncations[i] else trace
    for r in range(count):
        i = (r + 1) * horizon - 1
        after = gamma * batch.next_values[row + r]
        delta[i] = rewards[i] - values[i] + (0 if terminals[i] | truncations[i] else after)
    if batch.final_values != NULL:
        final_values = batch.final_values + start
        for i in range(n):
            delta[i] += gamma * final_values[i] if truncations[i] & (terminals[i] ^ 1) else 0
    if batch.ratios != NULL:
        ratios = batch.ratios + start
        for i in range(n):
            delta[i] *= rho_clip if rho_clip < ratios[i] else ratios[i]
            factor[i] *= c_clip if c_clip < ratios[i] else ratios[i]


cdef void recur(Py_ssize_t horizon, float* advantages, const float* factor) noexcept nogil:
    """The recurrence of one row, in place."""
    cdef Py_ssize_t t
    cdef float running = 0
    for t in range(horizon - 1, -1, -1):
        running = advantages[t] + factor[t] * running
        advantages[t] = running


cdef void recur_lanes(Py_ssize_t horizon, float* advantages, const float* factor) noexcept nogil:
    """The recurrence of LANES rows, side by side."""
    cdef Py_ssize_t t
    cdef int lane
    cdef float running[LANES]
    for lane in range(LANES):
        running[lane] = 0
    for t in range(horizon - 1, -1, -1):
        for lane in range(LANES):
            running[lane] = advantages[lane * horizon + t] + factor[lane * horizon + t] * running[lane]
            advantages[lane * horizon + t] = running[lane]


cdef void finish(Batch* batch, Py_ssize_t row, Py_ssize_t count) noexcept nogil:
    """returns = advantages + values."""
    cdef Py_ssize_t i, start = row * batch.horizon
    cdef const float* advantages = batch.advantages + start
    cdef const float* values = batch.values + start
    cdef float* returns = batch.returns + start
    for i in range(count * batch.horizon):
        returns[i] = advantages[i] + values[i]


# ---------------------------------------------------------------------- the border

cdef Batch checked(cnp.ndarray rewards, cnp.ndarray values, cnp.ndarray terminals, cnp.ndarray truncations,
                   cnp.ndarray final_values, cnp.ndarray next_values, cnp.ndarray advantages,
                   cnp.ndarray returns) except *:
    cdef Batch batch
    if rewards is None or cnp.PyArray_NDIM(rewards) != 2 or cnp.PyArray_SIZE(rewards) == 0:
        given = "None" if rewards is None else f"shape {(<object> rewards).shape}"
        raise ValueError(f"rewards: given {given}, expected (rows, horizon), neither of them 0")
    require("rewards", rewards, cnp.NPY_FLOAT32, rewards)
    require("values", values, cnp.NPY_FLOAT32, rewards)
    require("terminals", terminals, cnp.NPY_BOOL, rewards)
    require("truncations", truncations, cnp.NPY_BOOL, rewards)
    require("advantages", advantages, cnp.NPY_FLOAT32, rewards)
    require("returns", returns, cnp.NPY_FLOAT32, rewards)
    if final_values is not None:
        require("final_values", final_values, cnp.NPY_FLOAT32, rewards)
    if (next_values is None or cnp.PyArray_TYPE(next_values) != cnp.NPY_FLOAT32
            or not cnp.PyArray_IS_C_CONTIGUOUS(next_values) or cnp.PyArray_NDIM(next_values) != 1
            or cnp.PyArray_DIM(next_values, 0) != cnp.PyArray_DIM(rewards, 0)):
        given = "None" if next_values is None else f"{next_values.dtype} {(<object> next_values).shape}"
        raise ValueError(f"next_values: given {given}, expected C-contiguous float32 "
                         f"({cnp.PyArray_DIM(rewards, 0)},), one for each row")
    batch.rows, batch.horizon = cnp.PyArray_DIM(rewards, 0), cnp.PyArray_DIM(rewards, 1)
    batch.rewards = <const float*> cnp.PyArray_DATA(rewards)
    batch.values = <const float*> cnp.PyArray_DATA(values)
    batch.terminals = <const uint8_t*> cnp.PyArray_DATA(terminals)
    batch.truncations = <const uint8_t*> cnp.PyArray_DATA(truncations)
    batch.final_values = NULL if final_values is None else <const float*> cnp.PyArray_DATA(final_values)
    batch.next_values = <const float*> cnp.PyArray_DATA(next_values)
    batch.advantages = <float*> cnp.PyArray_DATA(advantages)
    batch.returns = <float*> cnp.PyArray_DATA(returns)
    return batch


cdef inline int require(str name, cnp.ndarray array, int type_number, cnp.ndarray like) except -1:
    if (array is not None and cnp.PyArray_TYPE(array) == type_number and cnp.PyArray_IS_C_CONTIGUOUS(array)
            and cnp.PyArray_SAMESHAPE(array, like)):
        return 0
    expected = f"C-contiguous {'bool' if type_number == cnp.NPY_BOOL else 'float32'} {(<object> like).shape}"
    if array is None:
        raise TypeError(f"{name}: given None, expected {expected}")
    strided = "" if cnp.PyArray_IS_C_CONTIGUOUS(array) else ", not contiguous"
    raise ValueError(f"{name}: given {array.dtype} {(<object> array).shape}{strided}, expected {expected}")
