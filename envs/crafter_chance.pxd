"""Chance in `crafter`: NumPy's `RandomState`, draw for draw, and the seed of an episode by Python's `hash`.

The package draws from `np.random.RandomState`: MT19937 (Matsumoto and Nishimura 1998) under NumPy's legacy
distributions, whose streams are frozen. A block of 624 words is made and tempered at once, in loops that the
compiler vectorises; a draw is then one load.
"""

cimport cython
from libc.stdint cimport int32_t, int64_t, uint32_t, uint64_t

cdef enum:
    WORDS = 624
    FAR = 397                       # how far ahead a word's partner stands
    NEAR = 227                      # WORDS - FAR: how far behind, once the block has been gone through

cdef struct Twister:
    uint32_t words[WORDS]
    uint32_t ready[WORDS]           # the same block, tempered
    int32_t next


@cython.overflowcheck(False)
cdef inline void seed_twister(Twister* twister, uint32_t seed) noexcept nogil:
    """`RandomState(seed)`."""
    cdef int k
    for k in range(WORDS):
        twister.words[k] = seed
        seed = <uint32_t> 1812433253u * (seed ^ (seed >> 30)) + <uint32_t> k + 1
    twister.next = WORDS


@cython.overflowcheck(False)
cdef inline uint32_t twist(uint32_t one, uint32_t two, uint32_t partner) noexcept nogil:
    cdef uint32_t y = (one & <uint32_t> 0x80000000u) | (two & <uint32_t> 0x7FFFFFFFu)
    return partner ^ (y >> 1) ^ (<uint32_t> 0x9908B0DFu * (y & 1))


@cython.overflowcheck(False)
cdef inline void refill(Twister* twister) noexcept nogil:
    """The next block of words."""
    cdef uint32_t* words = twister.words
    cdef uint32_t y
    cdef int k
    for k in range(NEAR):
        words[k] = twist(words[k], words[k + 1], words[k + FAR])
    for k in range(NEAR, WORDS - 1):
        words[k] = twist(words[k], words[k + 1], words[k - NEAR])
    words[WORDS - 1] = twist(words[WORDS - 1], words[0], words[FAR - 1])
    for k in range(WORDS):
        y = words[k]
        y = y ^ (y >> 11)
        y = y ^ ((y << 7) & <uint32_t> 0x9D2C5680u)
        y = y ^ ((y << 15) & <uint32_t> 0xEFC60000u)
        twister.ready[k] = y ^ (y >> 18)
    twister.next = 0


cdef inline uint32_t draw_word(Twister* twister) noexcept nogil:
    if twister.next == WORDS:
        refill(twister)
    twister.next += 1
    return twister.ready[twister.next - 1]


cdef inline void skip(Twister* twister, int words) noexcept nogil:
    """As many draws of a word as that, for their effect on the stream."""
    twister.next += words
    while twister.next > WORDS:
        words = twister.next - WORDS
        refill(twister)
        twister.next = words


cdef inline double draw_uniform(Twister* twister) noexcept nogil:
    """`random.uniform()`: a float64 in [0, 1) with 53 random bits."""
    cdef uint32_t high = draw_word(twister) >> 5, low = draw_word(twister) >> 6
    return (high * 67108864.0 + low) / 9007199254740992.0


cdef inline uint32_t draw_whole(Twister* twister, uint32_t n) noexcept nogil:
    """`random.randint(0, n)`: masked words until one is small enough, and no draw at all for n = 1."""
    cdef uint32_t most = n - 1, mask = n - 1, word
    if most == 0:
        return 0
    mask |= mask >> 1
    mask |= mask >> 2
    mask |= mask >> 4
    mask |= mask >> 8
    mask |= mask >> 16
    word = draw_word(twister) & mask
    while word > most:
        word = draw_word(twister) & mask
    return word


@cython.overflowcheck(False)
cdef inline uint64_t add_lane(uint64_t hashed, uint64_t lane) noexcept nogil:
    hashed += lane * <uint64_t> 14029467366897019727u
    hashed = (hashed << 31) | (hashed >> 33)
    return hashed * <uint64_t> 11400714785074694791u


@cython.overflowcheck(False)
cdef inline uint32_t world_seed(uint64_t seed, uint64_t episode) noexcept nogil:
    """`hash((seed, episode)) % (2**31 - 1)`, CPython's since 3.8; both numbers below 2**61 - 1."""
    cdef uint64_t hashed = add_lane(add_lane(<uint64_t> 2870177450012600261u, seed), episode)
    cdef int64_t rest
    hashed += 2 ^ (<uint64_t> 2870177450012600261u ^ <uint64_t> 3527539u)
    if hashed == ~(<uint64_t> 0):
        hashed = 1546275796
    rest = <int64_t> hashed % <int64_t> 2147483647
    return <uint32_t> (rest if rest >= 0 else rest + 2147483647)
