"""`Native`: many environments behind one Python call.

An environment derives from `Native`, calls `prepare` in its constructor and writes two loops,
`reset_range` and `step_range`, over its own array of structs. Everything else is here, once:

    step(actions)
      border      dtype, shape and range of the actions, in one pass
      advance     GIL released: rewards and flags zeroed -> step_range (the rules) -> account
      account     returns and lengths of the running episodes; where a flag is up the episode is
                  added to the log
      report      every `report_interval` calls the mean of the log goes into `infos`

Invariants
  * Memory is claimed in the constructor (`claim`) and never after. A struct holds no pointer, only numbers,
    so the state of a batch is its bytes: `get_state` and `set_state` copy them.
  * Rules never clear a flag. The base zeroes rewards, terminals and truncations *before* the rules run, so
    the end of an episode is visible on the step where it happens, beside the first observation of the next
    episode (SAME_STEP autoreset).
  * Environment i of the batch draws only from stream (seed, first_env + i): a batch may
    be split over workers at will.
"""

import math

import numpy as np
from gymnasium.vector.utils import batch_space

from envs.core.buffers import Buffers, action_layout
from envs.core.free_memory import free_memory
from envs.core.freshness import require_fresh
from envs.core.settings import whole

cimport numpy as cnp
from libc.stdint cimport int32_t, uint8_t, uint64_t
from libc.string cimport memcpy, memset

from envs.core.actions cimport ActionCheck
from envs.core.random cimport stream_of

cnp.import_array()

cdef enum:
    ALIGNMENT = 64

MOST = 2**31 - 1        # the largest number in 32 bits
LARGE = 2**26           # bytes from which on it is worth asking how much memory is free


cdef class Native:
    """Base of the native environments: `num_envs` environments of `agents_per_env` agents,
    stepped by one call.

    Attributes a caller reads: num_envs, num_agents, single_observation_space, single_action_space, and the
    arrays observations, actions, rewards, terminals, truncations, masks (see `Buffers`). `step` writes in
    place and returns the same arrays every time: copy what you keep.
    """

    native = True           # many environments in one object, GIL released inside step
    keys = {}               # browser key name -> action, for a person who plays
    idle_action = 0         # what a person who presses nothing does
    action_names = ()
    training_settings = {}  # added by `train` while a policy learns; evaluation and play do without them
    observation_sets = None # name -> (first, members, size) of sets that a network may read as such

    cdef object prepare(self, object num_envs, int agents_per_env, object observation_space,
                        object action_space, object seed, dict common, tuple metric_names=(),
                        bint truncates=False, object cells=0):
        """Set up buffers, streams and log; the environment's constructor calls it once.

        num_envs      as the caller gave it; from here on `self.num_envs` is a checked int.
        common        the keyword arguments every environment takes: `buffers` (write into the caller's
                      memory), `first_env` (index of environment 0 in a larger batch),
                      `report_interval` (steps between logs).
        metric_names  what the environment logs beside return and length; `self.metrics[agent * k + j]` is
                      read when the agent's episode ends. Without any, the score is the return.
        truncates     whether episodes can be cut by time; gives `rows.final_observations`.
        cells         how many numbers of one environment stand in one claimed array, if that is more than its
                      rows have: `i * cells + k` must fit into 32 bits for every environment i.
        """
        buffers = common.pop("buffers", None)
        self.first_env = whole("first_env", common.pop("first_env", 0), 0, MOST)
        self.report_interval = whole("report_interval", common.pop("report_interval", 128), 0, MOST)
        if common:
            raise TypeError(f"{type(self).__name__} has no setting {', '.join(map(repr, sorted(common)))}; "
                            f"see help({type(self).__module__})")
        if agents_per_env < 1:
            raise ValueError(f"{agents_per_env} agents in each environment given, expected at least 1")
        if len(metric_names) > MAX_METRICS:
            raise ValueError(f"{len(metric_names)} metric names given, expected at most {MAX_METRICS}")
        require_fresh("envs.core.native")
        require_fresh(type(self).__module__)
        widest = max(math.prod(observation_space.shape), math.prod(action_layout(action_space)[0]),
                     len(metric_names), 1)
        self.num_envs = self._require_32_bits(whole("num_envs", num_envs, 1, MOST),
                                              max(agents_per_env * widest, cells))
        self.agents_per_env, self.num_agents = agents_per_env, self.num_envs * agents_per_env
        self.single_observation_space, self.single_action_space = observation_space, action_space
        self.metric_names, self.num_metrics = metric_names, len(metric_names)
        self.truncates = truncates
        self.blocks = []
        if buffers is None:
            layout = Buffers.layout(self.num_agents, observation_space, action_space, truncates)
            self.reserve(sum([math.prod(shape) * dtype.itemsize for shape, dtype in layout.values()]))
        self.streams = <uint64_t*> self.claim(self.num_envs * sizeof(uint64_t))
        self.lengths = <int32_t*> self.claim(self.num_agents * sizeof(int32_t))
        self.returns = <float*> self.claim(self.num_agents * sizeof(float))
        self.metrics = <float*> self.claim(max(1, self.num_agents * self.num_metrics) * sizeof(float))
        self.ready = True
        self.bind(Buffers.allocate(self.num_agents, observation_space, action_space, truncates)
                  if buffers is None else buffers)
        self.set_seed(0 if seed is None else seed)

    cdef void* claim(self, size_t size) except NULL:
        """Zeroed memory of `size` bytes on a 64-byte boundary, part of the batch's state;
        for constructors only."""
        self.reserve(size)
        memory = np.zeros(size + ALIGNMENT, np.uint8)
        start = -<Py_ssize_t> (<size_t> cnp.PyArray_DATA(memory)) % ALIGNMENT
        block = memory[start if start >= 0 else start + ALIGNMENT:][:max(size, 1)]
        self.blocks.append(block)
        return cnp.PyArray_DATA(block)

    def _require_32_bits(self, num_envs, per_env):
        """Return `num_envs` if that many environments of `per_env` numbers are counted in 32 bits,
        else raise ValueError."""
        most = MOST // per_env
        if not most:
            raise ValueError(f"{type(self).__name__} with {per_env:,} numbers in each environment given, "
                             f"expected at most {MOST:,}; make the environment smaller")
        if num_envs > most:
            raise ValueError(f"num_envs={num_envs} given, expected at most {most:,}, "
                             f"because each environment has {per_env:,} numbers, and those of a batch are "
                             "counted in 32 bits; make several batches")
        return num_envs

    cdef object reserve(self, size_t size):
        """Count `size` bytes of memory; ValueError where the batch takes more than is free."""
        self.reserved += size
        if self.reserved >= LARGE:
            free = free_memory()
            if self.reserved > free:
                raise ValueError(f"num_envs={self.num_envs} given, for which {type(self).__name__} takes "
                                 f"{self.reserved / 2**30:.1f} GiB of memory, expected at most the "
                                 f"{free / 2**30:.1f} GiB that are free; make num_envs smaller")

    # -------------------------------------------------------------- the rules, overridden by each environment

    cdef void reset_range(self, int first, int last) noexcept nogil:
        """Start an episode in environments [first, last) and write their first observations."""

    cdef void step_range(self, int first, int last) noexcept nogil:
        """Step environments [first, last) once; where an episode ends raise its flag and start the next."""

    # ------------------------------------------------------------------ the Python face

    @property
    def observation_space(self):
        """The space of `observations`, all agents together."""
        return self._batch_spaces()[0]

    @property
    def action_space(self):
        """The space of `actions`, all agents together."""
        return self._batch_spaces()[1]

    def _batch_spaces(self):
        if self.batch_spaces is None:       # few callers want them; their bounds are as large as the buffers
            self.batch_spaces = tuple(batch_space(space, self.num_agents)
                                      for space in (self.single_observation_space, self.single_action_space))
        return self.batch_spaces

    def bind(self, buffers):
        """Write into `buffers` (a `Buffers` of num_agents rows) from now on;
        their contents are taken over from the old ones.

        Raises ValueError, naming the array, its dtype and shape and the ones expected.
        """
        self.require_ready()
        if not isinstance(buffers, Buffers):
            raise TypeError(f"buffers: given {type(buffers).__name__}, expected a Buffers; "
                            "Buffers.allocate makes fitting ones")
        buffers.check(self.num_agents, self.single_observation_space, self.single_action_space,
                      self.truncates)
        if self.buffers is not None:
            for old, new in zip(self.buffers, buffers):
                if old is not None and new is not None and new is not old:
                    new[...] = old
        self.buffers = buffers
        self.check = ActionCheck(self.single_action_space, buffers.actions)
        self.observations, self.actions, self.rewards = buffers.observations, buffers.actions, buffers.rewards
        self.terminals, self.truncations, self.masks = buffers.terminals, buffers.truncations, buffers.masks
        self.final_observations = buffers.final_observations if self.truncates else None
        self.rows.observations = cnp.PyArray_DATA(self.observations)
        self.rows.actions = cnp.PyArray_DATA(self.actions)
        self.rows.rewards = <float*> cnp.PyArray_DATA(self.rewards)
        self.rows.terminals = <uint8_t*> cnp.PyArray_DATA(self.terminals)
        self.rows.truncations = <uint8_t*> cnp.PyArray_DATA(self.truncations)
        self.rows.masks = <uint8_t*> cnp.PyArray_DATA(self.masks)
        self.rows.final_observations = cnp.PyArray_DATA(self.final_observations) if self.truncates else NULL

    def reset(self, seed=None):
        """Start every environment afresh; returns (observations, infos).

        seed: whole number >= 0. Without one the random streams go on from where they are.
        """
        self.require_ready()
        if seed is not None:
            self.set_seed(seed)
        self.masks[:] = True
        memset(self.lengths, 0, self.num_agents * sizeof(int32_t))
        memset(self.returns, 0, self.num_agents * sizeof(float))
        memset(self.metrics, 0, self.num_agents * self.num_metrics * sizeof(float))
        memset(&self.log_sums, 0, sizeof(Log))
        self.calls = 0
        self.fault = NULL
        self.begun = True
        with nogil:
            self.clear_flags()
            self.reset_range(0, self.num_envs)
            for agent in range(self.num_agents):
                self.lengths[agent] = self.rows.masks[agent] - 1    # see end_episode
        self.raise_fault()
        return self.observations, []

    def step(self, actions):
        """Step every environment once; returns (observations, rewards, terminals, truncations, infos).

        actions: int32 (num_agents,) for Discrete, int32 (num_agents, k) for MultiDiscrete, float32
        (num_agents, ...) for Box; `env.actions` itself may be filled and passed. Raises TypeError or
        ValueError before anything is stepped.
        """
        if not self.begun:
            self._require_begun()
        self.check.take(actions)
        with nogil:
            self.advance()
        if self.fault != NULL:
            self.raise_fault()
        self.calls += 1
        infos = []
        if self.report_interval and self.calls % self.report_interval == 0:
            report = self.log()
            if report:
                infos.append(report)
        return self.observations, self.rewards, self.terminals, self.truncations, infos

    def log(self):
        """Mean over the episodes that ended since the last call, or {}:
        n, episode_return, episode_length, score and the environment's own."""
        cdef Log sums = self.log_sums
        memset(&self.log_sums, 0, sizeof(Log))
        if sums.episodes == 0:
            return {}
        report = {"n": int(sums.episodes), "episode_return": sums.episode_return / sums.episodes,
                  "episode_length": sums.episode_length / sums.episodes}
        for j, name in enumerate(self.metric_names):
            report[name] = sums.metrics[j] / sums.episodes
        report.setdefault("score", report["episode_return"])
        return report

    def get_state(self):
        """Everything that decides the future of the batch, as a dict of arrays and numbers (picklable)."""
        self.require_ready()
        return {"blocks": [block.copy() for block in self.blocks],
                "buffers": [None if b is None else b.copy() for b in self.buffers],
                "log": self.log_sums, "calls": self.calls, "seed": self.seed}

    def set_state(self, state):
        """Go on from what `get_state` gave; the batch must have been made with the same arguments."""
        self.require_ready()
        sizes = [len(block) for block in self.blocks]
        given = [len(block) for block in state["blocks"]]
        if sizes != given:
            raise ValueError(f"state of {sum(given)} bytes given, expected {sum(sizes)}: "
                             "make the environment with the arguments it was saved with")
        for block, saved in zip(self.blocks, state["blocks"]):
            block[:] = saved
        for buffer, saved in zip(self.buffers, state["buffers"]):
            if buffer is not None:
                buffer[...] = saved
        self.log_sums, self.calls, self.seed = state["log"], state["calls"], state["seed"]
        self.begun = True

    def render(self, index=0):
        """RGB array (height, width, 3) uint8 of environment `index`, without any window."""
        raise NotImplementedError(f"{type(self).__name__} draws nothing; "
                                  "give it a render(index) that returns an RGB array")

    def close(self):
        """Let go of all memory. Closing twice is harmless; stepping afterwards is an error."""
        self.ready = self.begun = False
        self.buffers = self.observations = self.actions = self.rewards = self.terminals = None
        self.truncations = self.masks = self.final_observations = None
        self.blocks = []

    def __repr__(self):
        return (f"{type(self).__name__}(num_envs={self.num_envs}, num_agents={self.num_agents}, "
                f"seed={self.seed})")

    # ------------------------------------------------------------------ border, off the fast path

    def require_ready(self):
        if not self.ready:
            raise RuntimeError(f"{type(self).__name__} is closed or was never prepared; "
                               "make a new one with envs.make(...)")

    def _require_begun(self):
        self.require_ready()
        raise RuntimeError("step() before the first reset: call reset(seed)")

    def require_index(self, index, name="index", count=None):
        """`index` as an int; IndexError unless there is such an environment (or other thing: `name`
        and how many there are).

        For `render` and all that looks into a struct.
        """
        self.require_ready()
        try:
            return whole(name, index, 0, (self.num_envs if count is None else count) - 1)
        except ValueError as error:
            raise IndexError(error) from None

    def set_seed(self, seed):
        cdef int i
        self.seed = whole("seed", seed)
        cdef uint64_t low_bits = self.seed & 0xFFFFFFFFFFFFFFFF
        for i in range(self.num_envs):
            self.streams[i] = stream_of(low_bits, <uint64_t> self.first_env + <uint64_t> i)

    def raise_fault(self):
        if self.fault != NULL:
            message = (<bytes> self.fault).decode()
            self.fault = NULL
            raise AssertionError(f"{type(self).__name__}: {message} (debug build)")

    # ------------------------------------------------------------------ inside the released GIL

    cdef void clear_flags(self) noexcept nogil:
        memset(self.rows.rewards, 0, self.num_agents * sizeof(float))
        memset(self.rows.terminals, 0, self.num_agents)
        memset(self.rows.truncations, 0, self.num_agents)

    cdef void advance(self) noexcept nogil:
        self.clear_flags()
        self.step_range(0, self.num_envs)
        self.account()

    cdef void account(self) noexcept nogil:
        """Add this step to the running episodes; where a flag is up, add the episode to the log."""
        cdef float* returns = self.returns
        cdef float* rewards = self.rows.rewards
        cdef int32_t* lengths = self.lengths
        cdef uint8_t* masks = self.rows.masks
        cdef uint8_t* terminals = self.rows.terminals
        cdef uint8_t* truncations = self.rows.truncations
        cdef uint64_t ended, cut
        cdef int i, j, n = self.num_agents
        for i in range(n):
            returns[i] += rewards[i]
            # A slot may empty on the step its episode ends.
            lengths[i] += masks[i] | terminals[i] | truncations[i]
        for i in range(0, n - 7, 8):                    # eight flags at a time: most are down
            memcpy(&ended, terminals + i, 8)
            memcpy(&cut, truncations + i, 8)
            if ended | cut:
                for j in range(i, i + 8):
                    if terminals[j] | truncations[j]:
                        self.end_episode(j)
        for j in range(n - n % 8, n):
            if terminals[j] | truncations[j]:
                self.end_episode(j)

    cdef void end_episode(self, int agent) noexcept nogil:
        cdef Log* log = &self.log_sums
        cdef int j, first = agent * self.num_metrics
        log.episodes += 1
        log.episode_return += self.returns[agent]
        log.episode_length += self.lengths[agent]
        for j in range(self.num_metrics):
            log.metrics[j] += self.metrics[first + j]
            self.metrics[first + j] = 0
        self.returns[agent] = 0
        # An empty slot is at -1: an agent does not act in the step that it appears in.
        self.lengths[agent] = self.rows.masks[agent] - 1
