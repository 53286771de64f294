"""stochastic: play a mixed strategy. Every deterministic policy scores nothing, so a trainer that only
sharpens its policy fails.

Rules         Two actions, `length` steps (64). What counts is the share of action 0 over the episode: it
              should be `share` (0.75). The last step gives 1 - |share played - share| / (1 - share), at
              least 0, and ends the episode: 1 for the exact share, 0 for a player who always does the same.
Observation   1 float32, always 1: nothing to see, nothing to count by. (A policy with memory can count,
              and play 48 times one action and then 16 times the other.)
Actions       Discrete(2).
Log           episode_return, episode_length, share: the share played, score: 1 if it is within half
              of 1 - share of `share`. The right mixture: 0.98 (return 0.83). At random: 0.03 (return 0.10).
              Either action alone: 0.
Source        The idea is PufferLib's `stochastic`; the reward is ours, because there a policy that mixes
              too little does best.
"""

import numpy as np
from gymnasium.spaces import Box, Discrete

from envs.core import drawing
from envs.core.settings import LONGEST, number, whole

from libc.math cimport fabs
from libc.stdint cimport int32_t

from envs.core.native cimport Native


cdef class Stochastic(Native):
    """stochastic(num_envs, seed=0, share=0.75, length=64): see the module's docstring for rules,
    observation and actions."""

    cdef readonly double share
    cdef readonly int length

    keys = {"ArrowLeft": 0, "ArrowRight": 1}
    action_names = ("left", "right")

    def __init__(self, num_envs=1, *, seed=0, share=0.75, length=64, **common):
        self.share = number("share", share, 0.5, below=1)
        self.length = whole("length", length, 2, LONGEST)
        self.prepare(num_envs, 1, Box(0, 1, (1,), np.float32), Discrete(2), seed, common, ("score", "share"))

    cdef void reset_range(self, int first, int last) noexcept nogil:
        cdef int i
        for i in range(first, last):
            (<float*> self.rows.observations)[i] = 1

    cdef void step_range(self, int first, int last) noexcept nogil:
        cdef int32_t* actions = <int32_t*> self.rows.actions
        cdef float* metric
        cdef double distance
        cdef int i
        for i in range(first, last):
            metric = &self.metrics[2 * i]
            metric[1] += actions[i] == 0                        # a count until the episode ends
            if self.lengths[i] + 1 >= self.length:
                metric[1] /= self.length
                distance = fabs(metric[1] - self.share) / (1 - self.share)
                metric[0] = distance <= 0.5
                self.rows.rewards[i] = max(0, 1 - distance)
                self.rows.terminals[i] = 1

    def render(self, index=0):
        """RGB array: how often left was played (blue) of all steps so far,
        and the mark to end at (yellow)."""
        self.require_index(index)
        image = drawing.canvas(80, 400)
        drawing.rectangle(image, 20, 0, 40, 400 * self.lengths[index] / self.length, drawing.INK["wall"])
        drawing.rectangle(image, 20, 0, 40, 400 * self.metrics[2 * index + 1] / self.length,
                          drawing.INK["agent"])
        drawing.rectangle(image, 10, 400 * self.share - 2, 60, 4, drawing.INK["food"])
        return image
