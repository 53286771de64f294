"""The C face of `Native`: what an environment's `.pyx` cimports."""

from libc.stdint cimport int32_t, uint8_t, uint64_t

from envs.core.actions cimport ActionCheck

cdef extern from * nogil:
    """
    #ifdef PUFFER_DEBUG
    #define PUFFER_REQUIRE(fault, condition, message) \
        do { if (!(condition) && *(fault) == NULL) *(fault) = (message); } while (0)
    #else
    #define PUFFER_REQUIRE(fault, condition, message) ((void) 0)
    #endif
    """
    # In the debug build the first false condition of a step is raised as an AssertionError after it;
    # in release, nothing.
    void require "PUFFER_REQUIRE"(const char** fault, bint condition, const char* message) noexcept

cdef enum:
    MAX_METRICS = 16

cdef struct Rows:                   # the caller's memory, one row per agent, in the order of the contract
    void* observations              # num_agents * observation_bytes
    void* actions                   # int32 or float32
    float* rewards                  # zero at the start of every step
    uint8_t* terminals              # zero at the start of every step
    uint8_t* truncations            # zero at the start of every step
    uint8_t* masks                  # 1 unless the environment says otherwise
    void* final_observations        # NULL unless the environment truncates

cdef struct Log:                    # sums over the episodes that ended since the last report
    double episodes
    double episode_return
    double episode_length
    double metrics[MAX_METRICS]

cdef class Native:
    # --- for the environment's rules ---
    cdef Rows rows
    cdef uint64_t* streams          # num_envs random streams (random.pxd)
    cdef int32_t* lengths           # num_agents: steps of the running episode before this one
    cdef float* returns             # num_agents: rewards of the running episode before this one
    cdef float* metrics             # num_agents * number of metric names, read when an episode ends
    cdef const char* fault          # the first failed `require` of this step

    cdef object prepare(self, object num_envs, int agents_per_env, object observation_space,
                        object action_space, object seed, dict common, tuple metric_names=*,
                        bint truncates=*, object cells=*)
    cdef void* claim(self, size_t size) except NULL
    cdef object reserve(self, size_t size)

    cdef void reset_range(self, int first, int last) noexcept nogil
    cdef void step_range(self, int first, int last) noexcept nogil

    # --- the base's own ---
    cdef readonly int num_envs, num_agents, agents_per_env
    cdef readonly object single_observation_space, single_action_space
    cdef object batch_spaces        # of observations and of actions, made when they are asked for
    cdef readonly object observations, actions, rewards, terminals, truncations, masks, final_observations
    cdef readonly object buffers
    cdef readonly tuple metric_names
    cdef readonly bint truncates
    cdef readonly int first_env
    cdef readonly object seed
    cdef public int report_interval
    cdef list blocks
    cdef size_t reserved            # bytes of buffers and blocks
    cdef Log log_sums
    cdef bint ready, begun          # prepared and not closed; reset
    cdef int calls, num_metrics
    cdef ActionCheck check          # the border of `step`

    cdef void clear_flags(self) noexcept nogil
    cdef void advance(self) noexcept nogil
    cdef void account(self) noexcept nogil
    cdef void end_episode(self, int agent) noexcept nogil
