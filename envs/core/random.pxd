"""A random stream for each environment: SplitMix64 (Steele, Lea and Flood 2014).

A stream is one 64-bit counter, so it sits in the environment's own struct and costs a few instructions a
draw. Streams are derived from (seed, index of the environment), never from a worker or a global: the same
seed gives the same trajectories for any split of the work. `envs/slow/stream.py` is the same generator in
Python; the slow twins use it.
"""

cimport cython
from libc.stdint cimport uint32_t, uint64_t

ctypedef uint64_t Stream


@cython.overflowcheck(False)
cdef inline uint64_t mix(uint64_t x) noexcept nogil:
    """SplitMix64's finaliser: every output bit depends on every input bit."""
    x = (x ^ (x >> 30)) * <uint64_t> 0xBF58476D1CE4E5B9u
    x = (x ^ (x >> 27)) * <uint64_t> 0x94D049BB133111EBu
    return x ^ (x >> 31)


@cython.overflowcheck(False)
cdef inline Stream stream_of(uint64_t seed, uint64_t index) noexcept nogil:
    """The stream of environment `index` under `seed`."""
    return mix(mix(seed) ^ mix(index * <uint64_t> 0xD1342543DE82EF95u + 1))


@cython.overflowcheck(False)
cdef inline uint64_t draw(Stream* stream) noexcept nogil:
    """The next 64 random bits."""
    stream[0] += <uint64_t> 0x9E3779B97F4A7C15u
    return mix(stream[0])


@cython.overflowcheck(False)
cdef inline int draw_below(Stream* stream, int n) noexcept nogil:
    """A whole number in [0, n), n > 0, by Lemire's multiplication (bias below n / 2**32, no division)."""
    return <int> (((draw(stream) >> 32) * <uint64_t> n) >> 32)


cdef inline double draw_unit(Stream* stream) noexcept nogil:
    """A float64 in [0, 1) with 53 random bits."""
    return <double> (draw(stream) >> 11) * (1.0 / 9007199254740992.0)


cdef inline double draw_between(Stream* stream, double low, double high) noexcept nogil:
    """A float64 in [low, high)."""
    return low + (high - low) * draw_unit(stream)
