"""squared: walk from the centre of a square to a target. The smallest complete environment; read it first.

Rules         One agent starts in the centre of a `size` x `size` square (11 x 11). A target is placed at
              random on one of the other cells. The episode ends when the agent reaches the target (+1),
              leaves the square (-1) or has taken `size` * 3 steps without reaching it (-1).
Observation   size * size uint8, row by row: 0 empty, 1 agent, 2 target.
Actions       Discrete(5): 0 stay, 1 up, 2 down, 3 left, 4 right.
Log           episode_return, episode_length, score (1 if the target was reached, else 0).
Source        PufferLib's `squared`; there the target sits on the edge, here anywhere (ENVS, stream 003).
"""

import numpy as np
from gymnasium.spaces import Box, Discrete

from envs.core import drawing
from envs.core.settings import refusal, whole

from libc.stdint cimport int32_t, uint8_t
from libc.string cimport memset

from envs.core.native cimport Native, require
from envs.core.random cimport draw_below

cdef enum:
    EMPTY, AGENT, TARGET

cdef enum:
    STAY, UP, DOWN, LEFT, RIGHT

cdef struct Square:
    int row
    int column
    int target                  # index of the target's cell


cdef class Squared(Native):
    """squared(num_envs, seed=0, size=11): see the module's docstring for rules, observation and actions."""

    cdef Square* squares
    cdef readonly int size, limit

    keys = {"ArrowUp": UP, "ArrowDown": DOWN, "ArrowLeft": LEFT, "ArrowRight": RIGHT}
    idle_action = STAY
    action_names = ("stay", "up", "down", "left", "right")

    def __init__(self, num_envs=1, *, seed=0, size=11, **common):
        self.size = whole("size", size, 3, 255)
        if self.size % 2 == 0:
            raise refusal("size", size, "an odd number from 3 to 255, so that there is a centre")
        self.limit = 3 * self.size
        self.prepare(num_envs, 1, Box(0, 2, (self.size**2,), np.uint8), Discrete(5), seed, common,
                     metric_names=("score",))
        self.squares = <Square*> self.claim(self.num_envs * sizeof(Square))

    cdef void start(self, int i) noexcept nogil:
        """A new episode: agent in the centre, target on any other cell."""
        cdef int cells = self.size * self.size, centre = cells // 2
        cdef uint8_t* cell = <uint8_t*> self.rows.observations + i * cells
        cdef int target = draw_below(&self.streams[i], cells - 1)
        target += target >= centre
        self.squares[i] = Square(self.size // 2, self.size // 2, target)
        memset(cell, EMPTY, cells)
        cell[centre] = AGENT
        cell[target] = TARGET

    cdef void reset_range(self, int first, int last) noexcept nogil:
        cdef int i
        for i in range(first, last):
            self.start(i)

    cdef void step_range(self, int first, int last) noexcept nogil:
        cdef int size = self.size, cells = size * size, i, here
        cdef int32_t* actions = <int32_t*> self.rows.actions
        cdef uint8_t* observations = <uint8_t*> self.rows.observations
        cdef Square* square
        for i in range(first, last):
            square = &self.squares[i]
            observations[i * cells + square.row * size + square.column] = EMPTY
            square.row += (actions[i] == DOWN) - (actions[i] == UP)
            square.column += (actions[i] == RIGHT) - (actions[i] == LEFT)
            here = square.row * size + square.column
            if square.row < 0 or square.row >= size or square.column < 0 or square.column >= size:
                self.finish(i, -1)
            elif here == square.target:
                self.finish(i, 1)
            elif self.lengths[i] + 1 >= self.limit:
                self.finish(i, -1)
            else:
                require(&self.fault, 0 <= here < cells, b"the agent is outside the square")
                observations[i * cells + here] = AGENT

    cdef void finish(self, int i, float reward) noexcept nogil:
        self.rows.rewards[i] = reward
        self.rows.terminals[i] = 1
        self.metrics[i] = reward > 0
        self.start(i)

    def render(self, index=0):
        """RGB array of square `index`: the agent blue, the target green."""
        self.require_index(index)
        cells = np.asarray(self.observations[index]).reshape(self.size, self.size)
        return drawing.tiles(cells, [drawing.INK[name] for name in ("ground", "agent", "goal")],
                             scale=min(24, max(4, 960 // self.size)))
