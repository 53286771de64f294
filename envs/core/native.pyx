"""`Native`: many environments behind one Python call.

An environment derives from `Native`, calls `prepare` in its constructor and writes two loops, `reset_range` and
`step_range`, over its own array of structs. Everything else is here, once:

    step(actions)
      border      dtype, shape and range of the actions, in one pass
      advance     GIL released: rewards and flags zeroed -> step_range (the rules) -> account
      account     returns and lengths of the running episodes; where a flag is up the episode is added to the log
      report      every `report_interval` calls the mean of the log goes into `infos`

Invariants
  * Memory is claimed in the constructor (`claim`) and never after. A struct holds no pointer, only numbers, so the state of
    a batch is its bytes: `get_state` and `set_state` copy them.
  * Rules never clear a flag. The base zeroes rewards, terminals and truncations *before* the rules run, so the end of an
    episode is visible on the step where it happens, beside the first observation of the next episode (SAME_STEP autoreset).
  * Environment i of the batch draws only from stream (seed, first_env + i): a batch may be split over workers at will.
"""

import numpy as np
from gymnasium.vector.utils import batch_space

from envs.core.buffers import Buffers, action_layout
from envs.core.freshness import require_fresh

cimport numpy as cnp
from libc.stdint cimport int32_t, uint8_t, uint32_t, uint64_t
from libc.string cimport memcpy, memset

from envs.core.random cimport stream_of

cnp.import_array()

cdef enum:
    ALIGNMENT = 64


cdef class Native:
    """Base of the native environments: `num_envs` environments of `agents_per_env` agents, stepped by one call.

    Attributes a caller reads: num_envs, num_agents, single_observation_space, single_action_space, and the arrays
    observations, actions, rewards, terminals, truncations, masks (see `Buffers`). `step` writes in place and returns the
    same arrays every time: copy what you keep.
    """

    native = True           # many environments in one object, GIL released inside step
    keys = {}               # browser key name -> action, for a person who plays
    idle_action = 0         # what a person who presses nothing does
    action_names = ()
    training_settings = {}  # settings that `train` adds while a policy learns; evaluation and play do without them
    observation_sets = None # name -> (first, members, size) of sets in the observation, for a network that reads them as such

    cdef object prepare(self, int num_envs, int agents_per_env, object observation_space, object action_space,
                        object seed, dict common, tuple metric_names=(), bint truncates=False):
        """Set up buffers, streams and log; the environment's constructor calls it once.

        common        the keyword arguments every environment takes: `buffers` (write into the caller's memory),
                      `first_env` (index of environment 0 in a larger batch), `report_interval` (steps between logs).
        metric_names  what the environment logs beside return and length; `self.metrics[agent * k + j]` is read when the
                      agent's episode ends. Without any, the score is the return.
        truncates     whether episodes can be cut by time; gives `rows.final_observations`.
        """
        buffers = common.pop("buffers", None)
        self.first_env = common.pop("first_env", 0)
        self.report_interval = common.pop("report_interval", 128)
        if common:
            raise TypeError(f"{type(self).__name__} has no setting {', '.join(map(repr, sorted(common)))}; see help({type(self).__module__})")
        if num_envs < 1 or agents_per_env < 1:
            raise ValueError(f"num_envs={num_envs} with {agents_per_env} agents each: expected at least 1 of both")
        if len(metric_names) > MAX_METRICS:
            raise ValueError(f"{len(metric_names)} metric names given, expected at most {MAX_METRICS}")
        require_fresh("envs.core.native")
        require_fresh(type(self).__module__)
        self.num_envs, self.agents_per_env, self.num_agents = num_envs, agents_per_env, num_envs * agents_per_env
        self.single_observation_space, self.single_action_space = observation_space, action_space
        self.observation_space = batch_space(observation_space, self.num_agents)
        self.action_space = batch_space(action_space, self.num_agents)
        self.metric_names, self.num_metrics = metric_names, len(metric_names)
        self.truncates = truncates
        self.blocks = []
        self.streams = <uint64_t*> self.claim(num_envs * sizeof(uint64_t))
        self.lengths = <int32_t*> self.claim(self.num_agents * sizeof(int32_t))
        self.returns = <float*> self.claim(self.num_agents * sizeof(float))
        self.metrics = <float*> self.claim(max(1, self.num_agents * self.num_metrics) * sizeof(float))
        self.describe_actions(action_space)
        self.ready = True
        self.bind(buffers or Buffers.allocate(self.num_agents, observation_space, action_space, truncates))
        self.set_seed(0 if seed is None else seed)

    def describe_actions(self, space):
        """Remember how to check an action: its bytes and, for whole numbers, the count of each component."""
        shape, dtype = action_layout(space)
        self.action_width = int(np.prod(shape, dtype=int))
        self.action_bytes = self.action_width * dtype.itemsize
        self.action_type = dtype.num
        counts = getattr(space, "nvec", getattr(space, "n", ()))
        self.counts_memory = np.ascontiguousarray(np.ravel(counts), np.int32)
        self.num_counts = len(self.counts_memory)
        self.action_counts = <int32_t*> cnp.PyArray_DATA(self.counts_memory)

    cdef void* claim(self, size_t size) except NULL:
        """Zeroed memory of `size` bytes on a 64-byte boundary, part of the batch's state; for constructors only."""
        memory = np.zeros(size + ALIGNMENT, np.uint8)
        start = -<Py_ssize_t> (<size_t> cnp.PyArray_DATA(memory)) % ALIGNMENT
        block = memory[start if start >= 0 else start + ALIGNMENT:][:max(size, 1)]
        self.blocks.append(block)
        return cnp.PyArray_DATA(block)

    # ------------------------------------------------------------------ the rules, overridden by each environment

    cdef void reset_range(self, int first, int last) noexcept nogil:
        """Start an episode in environments [first, last) and write their first observations."""

    cdef void step_range(self, int first, int last) noexcept nogil:
        """Step environments [first, last) once; where an episode ends raise its flag and start the next."""

    # ------------------------------------------------------------------ the Python face

    def bind(self, buffers):
        """Write into `buffers` (a `Buffers` of num_agents rows) from now on; their contents are taken over from the old ones.

        Raises ValueError, naming the array, its dtype and shape and the ones expected.
        """
        self.require_ready()
        buffers.check(self.num_agents, self.single_observation_space, self.single_action_space, self.truncates)
        if self.buffers is not None:
            for old, new in zip(self.buffers, buffers):
                if old is not None and new is not None and new is not old:
                    new[...] = old
        self.buffers = buffers
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
        with nogil:
            self.clear_flags()
            self.reset_range(0, self.num_envs)
        self.raise_fault()
        return self.observations, []

    def step(self, actions):
        """Step every environment once; returns (observations, rewards, terminals, truncations, infos).

        actions: int32 (num_agents,) for Discrete, int32 (num_agents, k) for MultiDiscrete, float32 (num_agents, ...) for
        Box; `env.actions` itself may be filled and passed. Raises TypeError or ValueError before anything is stepped.
        """
        cdef int bad
        if not self.ready:
            self.require_ready()
        if actions is not self.actions:
            if (cnp.PyArray_Check(actions) and cnp.PyArray_TYPE(actions) == self.action_type
                    and cnp.PyArray_IS_C_CONTIGUOUS(actions) and cnp.PyArray_SAMESHAPE(actions, self.actions)):
                memcpy(self.rows.actions, cnp.PyArray_DATA(actions), self.num_agents * self.action_bytes)
            else:
                self.copy_actions(actions)
        bad = self.first_bad_action()
        if bad >= 0:
            raise ValueError(f"actions: agent {bad // self.action_width} has {self.actions[bad // self.action_width]}, "
                             f"expected an action of {self.single_action_space}")
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
        """Mean over the episodes that ended since the last call, or {}: n, episode_return, episode_length, score and the environment's own."""
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
        return {"blocks": [block.copy() for block in self.blocks], "buffers": [None if b is None else b.copy() for b in self.buffers],
                "log": self.log_sums, "calls": self.calls, "seed": self.seed}

    def set_state(self, state):
        """Go on from what `get_state` gave; the batch must have been made with the same arguments."""
        self.require_ready()
        sizes = [len(block) for block in self.blocks]
        given = [len(block) for block in state["blocks"]]
        if sizes != given:
            raise ValueError(f"state of {sum(given)} bytes given, expected {sum(sizes)}: make the environment with the arguments it was saved with")
        for block, saved in zip(self.blocks, state["blocks"]):
            block[:] = saved
        for buffer, saved in zip(self.buffers, state["buffers"]):
            if buffer is not None:
                buffer[...] = saved
        self.log_sums, self.calls, self.seed = state["log"], state["calls"], state["seed"]

    def render(self, index=0):
        """RGB array (height, width, 3) uint8 of environment `index`, without any window."""
        raise NotImplementedError(f"{type(self).__name__} draws nothing; give it a render(index) that returns an RGB array")

    def close(self):
        """Let go of all memory. Closing twice is harmless; stepping afterwards is an error."""
        self.ready = False
        self.buffers = self.observations = self.actions = self.rewards = self.terminals = None
        self.truncations = self.masks = self.final_observations = None
        self.blocks = []

    def __repr__(self):
        return f"{type(self).__name__}(num_envs={self.num_envs}, num_agents={self.num_agents}, seed={self.seed})"

    # ------------------------------------------------------------------ border, off the fast path

    def require_ready(self):
        if not self.ready:
            raise RuntimeError(f"{type(self).__name__} is closed or was never prepared; make a new one with envs.make(...)")

    def require_index(self, index):
        """Raise unless there is an environment `index`: for `render` and all that looks into a struct."""
        self.require_ready()
        if not 0 <= index < self.num_envs:
            raise IndexError(f"index={index} given, expected 0 to {self.num_envs - 1}, one of the {self.num_envs} environments")

    def set_seed(self, seed):
        if not isinstance(seed, (int, np.integer)) or isinstance(seed, bool) or seed < 0:
            raise ValueError(f"seed={seed!r} given, expected a whole number >= 0")
        self.seed = int(seed)
        for i in range(self.num_envs):
            self.streams[i] = stream_of(<uint64_t> (self.seed & 0xFFFFFFFFFFFFFFFF), <uint64_t> (self.first_env + i))

    def copy_actions(self, actions):
        """Actions that are not a plain contiguous array of the right kind: a strided one is copied, anything else refused."""
        if not isinstance(actions, np.ndarray):
            raise TypeError(f"actions: given {type(actions).__name__}, expected a NumPy array {self.actions.dtype} {self.actions.shape}; "
                            f"write np.asarray(actions, dtype=np.{self.actions.dtype})")
        if actions.dtype != self.actions.dtype:
            raise TypeError(f"actions: given {actions.dtype}, expected {self.actions.dtype}; write actions.astype(np.{self.actions.dtype})")
        if actions.shape != self.actions.shape:
            raise ValueError(f"actions: given shape {actions.shape}, expected {self.actions.shape}, one row for each agent")
        self.actions[...] = actions

    def raise_fault(self):
        if self.fault != NULL:
            message = (<bytes> self.fault).decode()
            self.fault = NULL
            raise AssertionError(f"{type(self).__name__}: {message} (debug build)")

    # ------------------------------------------------------------------ inside the released GIL

    cdef int first_bad_action(self) noexcept nogil:
        """Flat index of the first action outside its range, -1 if there is none. No early exit, so that it vectorises."""
        cdef int32_t* whole = <int32_t*> self.rows.actions
        cdef float* real = <float*> self.rows.actions
        cdef int i, j, k = self.action_width, size = self.num_agents * self.action_width
        cdef uint32_t count, bad = 0
        if self.num_counts == 0:                        # Box: any finite number will do, environments clip
            for i in range(size):
                bad |= not (real[i] - real[i] == 0)
        elif self.num_counts == 1 and k == 1:
            count = <uint32_t> self.action_counts[0]
            for i in range(size):
                bad |= <uint32_t> whole[i] >= count
        else:
            for i in range(self.num_agents):
                for j in range(k):
                    bad |= <uint32_t> whole[i * k + j] >= <uint32_t> self.action_counts[j]
        if not bad:
            return -1
        for i in range(size):
            if self.num_counts == 0:
                if not (real[i] - real[i] == 0):
                    return i
            elif <uint32_t> whole[i] >= <uint32_t> self.action_counts[i % k]:
                return i
        return -1

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
            lengths[i] += masks[i] | terminals[i] | truncations[i]      # a slot may empty on the step its episode ends
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
        self.lengths[agent] = 0
