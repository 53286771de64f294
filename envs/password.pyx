"""password: find a sequence by trying. The reward comes only for the whole of it,
so the trainer must explore.

Rules         The agent types one digit a step. After as many as `password` has ("10110") the episode ends,
              with 1 if all were right and 0 otherwise. The password is the same in every environment and
              every episode; the agent never sees it. Its digits are 0 to 9, and there are as many actions as
              its largest digit asks for, at least two.
Observation   length * (digits + 1) uint8, one-hot for each place: 0 not yet typed, 1 + d the digit d.
Actions       Discrete(digits): type that digit.
Log           episode_return, episode_length, score: 1 if the password was typed (equal to the return).
              Knowing it: 1. At random: digits ** -length (1 / 32).
Source        The idea is PufferLib's `password`.
"""

import numpy as np
from gymnasium.spaces import Box, Discrete

from envs.core import drawing
from envs.core.settings import refusal

from libc.stdint cimport int32_t, uint8_t
from libc.string cimport memset

from envs.core.native cimport Native

cdef enum:
    MAX_LENGTH = 64


cdef class Password(Native):
    """password(num_envs, seed=0, password="10110"): see the module's docstring for rules,
    observation and actions."""

    cdef uint8_t[MAX_LENGTH] secret
    cdef int32_t* right         # num_envs: digits typed right in this episode
    cdef readonly int length, digits
    cdef readonly str password

    def __init__(self, num_envs=1, *, seed=0, password="10110", **common):
        if not isinstance(password, str) or not password.isdecimal() or len(password) > MAX_LENGTH:
            raise refusal("password", password, f"a string of 1 to {MAX_LENGTH} digits")
        self.password, self.length = str(password), len(password)
        self.digits = max(2, 1 + max(int(digit) for digit in password))
        for place, digit in enumerate(password):
            self.secret[place] = int(digit)
        self.prepare(num_envs, 1, Box(0, 1, (self.length * (self.digits + 1),), np.uint8),
                     Discrete(self.digits), seed, common, ("score",))
        self.right = <int32_t*> self.claim(self.num_envs * sizeof(int32_t))

    @property
    def keys(self):
        """Browser key name -> action: the digits themselves."""
        return {str(digit): digit for digit in range(self.digits)}

    cdef void reset_range(self, int first, int last) noexcept nogil:
        cdef int i
        for i in range(first, last):
            self.start(i)

    cdef void start(self, int i) noexcept nogil:
        cdef int place, width = self.digits + 1
        cdef uint8_t* row = <uint8_t*> self.rows.observations + i * self.length * width
        self.right[i] = 0
        memset(row, 0, self.length * width)
        for place in range(self.length):
            row[place * width] = 1

    cdef void step_range(self, int first, int last) noexcept nogil:
        cdef int32_t* actions = <int32_t*> self.rows.actions
        cdef int i, place, width = self.digits + 1
        cdef uint8_t* typed
        for i in range(first, last):
            place = self.lengths[i]
            self.right[i] += actions[i] == self.secret[place]
            if place == self.length - 1:
                self.rows.rewards[i] = self.right[i] == self.length
                self.metrics[i] = self.rows.rewards[i]
                self.rows.terminals[i] = 1
                self.start(i)
            else:
                typed = <uint8_t*> self.rows.observations + (i * self.length + place) * width
                typed[0] = 0
                typed[1 + actions[i]] = 1

    def render(self, index=0):
        """RGB array: a column a place, the digit typed there blue, 0 at the top;
        edges green after a right guess, red after a wrong one."""
        self.require_index(index)
        places = self.observations[index].reshape(self.length, self.digits + 1)[:, 1:].T
        image = drawing.tiles(places, [drawing.INK[name] for name in ("wall", "agent")], scale=48)
        for place in range(self.length):
            for digit in range(self.digits):
                drawing.glyph(image, 48 * digit + 24, 48 * place + 24, str(digit), drawing.INK["ground"],
                              scale=3)
        if self.terminals[index]:
            image[:6] = image[-6:] = drawing.INK["goal" if self.rewards[index] else "danger"]
        return image
