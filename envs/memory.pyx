"""memory: repeat what was shown some steps ago. Solved only by a policy that remembers, such as an LSTM.

Rules         `length` symbols (1) are shown one after the other, each one of `symbols` (4) at random. Then
              nothing is shown for `delay` steps (3). Then the agent answers `length` times: the first symbol
              first. Every right answer gives 1 / `length`, and the last answer ends the episode. A symbol is
              asked for `length + delay` steps after it was shown; take more than the learner's horizon to
              test that memory outlives it.
Observation   symbols + 1 uint8: one-hot of the symbol shown, all zeros in the delay;
              the last is 1 when an answer is due.
Actions       Discrete(symbols): the answer; anything while none is due.
Log           episode_return, episode_length, score: share of right answers (equal to the return).
              With memory: 1. At random, or best without memory: 1 / symbols.
Source        The idea is PufferLib's `memory`; stream 001 asks for it as the test of a recurrent policy.
"""

import numpy as np
from gymnasium.spaces import Box, Discrete

from envs.core import drawing
from envs.core.settings import whole

from libc.stdint cimport int32_t, uint8_t
from libc.string cimport memset

from envs.core.native cimport Native
from envs.core.random cimport draw_below


cdef class Memory(Native):
    """memory(num_envs, seed=0, symbols=4, length=1, delay=3): see the module's docstring for rules,
    observation and actions."""

    cdef uint8_t* shown         # num_envs * length symbols
    cdef readonly int symbols, length, delay

    def __init__(self, num_envs=1, *, seed=0, symbols=4, length=1, delay=3, **common):
        self.symbols = whole("symbols", symbols, 2, 255)
        self.length = whole("length", length, 1, 1_000_000)
        self.delay = whole("delay", delay, 0, 1_000_000)
        self.prepare(num_envs, 1, Box(0, 1, (self.symbols + 1,), np.uint8), Discrete(self.symbols), seed,
                     common, ("score",), False, self.length)
        self.shown = <uint8_t*> self.claim(self.num_envs * self.length)

    @property
    def keys(self):
        """Browser key name -> action: the digits from 1 on."""
        return {str(symbol + 1): symbol for symbol in range(min(self.symbols, 9))}

    cdef void reset_range(self, int first, int last) noexcept nogil:
        cdef int i
        for i in range(first, last):
            self.start(i)

    cdef void start(self, int i) noexcept nogil:
        cdef int j
        for j in range(self.length):
            self.shown[i * self.length + j] = draw_below(&self.streams[i], self.symbols)
        self.observe(i, 0)

    cdef void step_range(self, int first, int last) noexcept nogil:
        cdef int32_t* actions = <int32_t*> self.rows.actions
        cdef int i, asked
        for i in range(first, last):
            asked = self.lengths[i] - self.length - self.delay      # which answer is due; negative: none yet
            if asked >= 0 and actions[i] == self.shown[i * self.length + asked]:
                self.rows.rewards[i] = 1 / <float> self.length
                self.metrics[i] += self.rows.rewards[i]
            if asked == self.length - 1:
                self.rows.terminals[i] = 1
                self.start(i)
            else:
                self.observe(i, self.lengths[i] + 1)

    cdef void observe(self, int i, int time) noexcept nogil:
        """What is seen `time` steps into the episode: a symbol, nothing, or that an answer is due."""
        cdef uint8_t* row = <uint8_t*> self.rows.observations + i * (self.symbols + 1)
        memset(row, 0, self.symbols + 1)
        if time < self.length:
            row[self.shown[i * self.length + time]] = 1
        elif time >= self.length + self.delay:
            row[self.symbols] = 1

    def render(self, index=0):
        """RGB array: one square a symbol with the key that answers it, the one shown in yellow;
        a bar below lights up when an answer is due."""
        self.require_index(index)
        seen = np.zeros((2, self.symbols), int)
        seen[0] = 2 * self.observations[index, :self.symbols]
        seen[1] = self.observations[index, self.symbols]
        image = drawing.tiles(seen, [drawing.INK[name] for name in ("wall", "agent", "food")], scale=60)
        for key, symbol in self.keys.items():
            drawing.glyph(image, 30, 60 * symbol + 30, key, drawing.INK["ground"], scale=4)
        return image
