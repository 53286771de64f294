"""bandit: which action pays? A trainer that fails here does not connect rewards to actions.

Rules         `arms` arms (4). Arm `best` (2) pays 1 with probability 0.8, every other arm with probability
              0.2. The episode ends after `length` pulls (16). The best arm is the same in every
              environment and every episode.
Observation   1 float32, always 1: there is nothing to see.
Actions       Discrete(arms): pull that arm.
Log           episode_return (best 0.8 a pull), episode_length, score: share of the pulls that went to the
              best arm. Always the best arm: 1. At random: 1 / arms.
Source        The idea is PufferLib's `bandit`; the numbers are ours.
"""

import numpy as np
from gymnasium.spaces import Box, Discrete

from envs.core import drawing
from envs.core.settings import LONGEST, refusal, whole

from libc.stdint cimport int32_t

from envs.core.native cimport Native
from envs.core.random cimport draw_unit

cdef double GOOD = 0.8, BAD = 0.2

MOST_ARMS = 1_000_000


cdef class Bandit(Native):
    """bandit(num_envs, seed=0, arms=4, best=2, length=16): see the module's docstring for rules,
    observation and actions."""

    cdef readonly int arms, best, length

    def __init__(self, num_envs=1, *, seed=0, arms=4, best=2, length=16, **common):
        self.arms = whole("arms", arms, 2, MOST_ARMS)
        self.best = whole("best", best, 0, MOST_ARMS - 1)
        if self.best >= self.arms:
            raise refusal("best", best, f"a whole number below arms={self.arms}")
        self.length = whole("length", length, 1, LONGEST)
        self.prepare(num_envs, 1, Box(0, 1, (1,), np.float32), Discrete(self.arms), seed, common, ("score",))

    @property
    def keys(self):
        """Browser key name -> action: the digits from 1 on."""
        return {str(arm + 1): arm for arm in range(min(self.arms, 9))}

    cdef void reset_range(self, int first, int last) noexcept nogil:
        cdef int i
        for i in range(first, last):
            (<float*> self.rows.observations)[i] = 1

    cdef void step_range(self, int first, int last) noexcept nogil:
        cdef int32_t* actions = <int32_t*> self.rows.actions
        cdef int i
        for i in range(first, last):
            self.rows.rewards[i] = draw_unit(&self.streams[i]) < (GOOD if actions[i] == self.best else BAD)
            self.metrics[i] += <float> (actions[i] == self.best) / self.length
            self.rows.terminals[i] = self.lengths[i] + 1 >= self.length

    def render(self, index=0):
        """RGB array: one square for each arm, with the key that pulls it (up to 16 arms);
        the arm pulled last is green if it paid, red if not."""
        self.require_index(index)
        arms = np.zeros((1, self.arms), int)
        if self.lengths[index] or self.terminals[index]:
            arms[0, self.actions[index]] = 2 if self.rewards[index] else 1
        side = min(60, max(1, 960 // self.arms))
        image = drawing.tiles(arms, [drawing.INK[name] for name in ("wall", "danger", "goal")], scale=side)
        for key, arm in self.keys.items() if side == 60 else ():
            drawing.glyph(image, 30, 60 * arm + 30, key, drawing.INK["ground"], scale=4)
        return image
