"""`add_step`: one step added to the running episodes of Python environments, compiled; `account` of native.pyx for `EpisodeLog`."""

from envs.core.freshness import require_fresh

cimport numpy as cnp
from libc.stdint cimport int32_t, uint8_t

cnp.import_array()
require_fresh("puffer_min.env.episode_sums")


def add_step(cnp.ndarray rewards, cnp.ndarray terminals, cnp.ndarray truncations, cnp.ndarray masks, cnp.ndarray returns,
             cnp.ndarray lengths):
    """Add `rewards` to `returns` and the agents that live to `lengths`; returns how many episodes ended.

    All are contiguous and of one length: rewards, returns float32, flags and masks bool, lengths int32.
    """
    cdef const float* reward = <const float*> cnp.PyArray_DATA(rewards)
    cdef const uint8_t* terminal = <const uint8_t*> cnp.PyArray_DATA(terminals)
    cdef const uint8_t* truncation = <const uint8_t*> cnp.PyArray_DATA(truncations)
    cdef const uint8_t* mask = <const uint8_t*> cnp.PyArray_DATA(masks)
    cdef float* total = <float*> cnp.PyArray_DATA(returns)
    cdef int32_t* length = <int32_t*> cnp.PyArray_DATA(lengths)
    cdef Py_ssize_t i, n = cnp.PyArray_DIM(rewards, 0)
    cdef int ends = 0
    for i in range(n):
        total[i] += reward[i]
        length[i] += mask[i] | terminal[i] | truncation[i]          # a slot may empty on the step its episode ends
        ends += terminal[i] | truncation[i]
    return ends
