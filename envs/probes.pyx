"""probes: six tasks that a broken learner cannot pass. Each needs one part more than those before it, so the
first that fails names the part.

Rules         There are three places, and `task` says what happens at them. With a discount of gamma right is:

              one_action        a step at place 0 pays 1 and terminates               value 1
              two_values        a step at place 0 pays -1, one at place 1 pays 1;     values -1, 1
                                both terminate
              discount          a step at place 0 leads to place 1; a step there      values gamma, 1, gamma
                                pays 1 and terminates. A step at place 2 is
                                truncated, and its last observation is place 1
              choose            at place 0 action 1 pays 1; the step terminates       action 1
              choose_by_sight   at place 0 or 1 the action that has the place's       the place's number
                                number pays 1; the step terminates
              recall            the first step is at place 0 or 1, all others are     the first place's number
                                at place 0; the action that has the first place's
                                number pays 1. Each step terminates with a
                                probability of 1/4, whatever was done

              Where an episode may begin at two places (in `discount` these are 0 and 2), each is as likely.
Observation   3 uint8: one-hot of the place. In `recall` nothing tells that an episode begins, so a memory
              that outlives its episode is wrong.
Actions       Discrete(2); Discrete(1) in the first three tasks, where there are only values to learn.
Log           episode_return, episode_length, score: reward a step. In the last three tasks that is the share
              of right actions: best 1, at random 0.5; in `recall` 0.73 is the best without memory.
Source        The probe environments of Andy Jones, "Debugging RL, without the agonizing pain" (2021), and of
              ARENA's course. Truncation, memory and the log are ours. `python -m puffer_min probe` trains on
              all of them (commands/check/probe.py).
"""

import numpy as np
from gymnasium.spaces import Box, Discrete

from envs.core import drawing
from envs.core.settings import choice

from libc.stdint cimport int32_t, uint8_t
from libc.string cimport memset

from envs.core.native cimport Native
from envs.core.random cimport draw_below

TASKS = ("one_action", "two_values", "discount", "choose", "choose_by_sight", "recall")

cdef enum:
    ONE_ACTION, TWO_VALUES, DISCOUNT, CHOOSE, CHOOSE_BY_SIGHT, RECALL

cdef enum:
    PLACES = 3

cdef struct Visit:
    int place
    int first                   # the place at which the episode began


cdef class Probes(Native):
    """probes(num_envs, seed=0, task="choose_by_sight"): see the module's docstring for tasks and actions."""

    cdef Visit* visits
    cdef int kind               # index of the task in TASKS
    cdef readonly str task

    def __init__(self, num_envs=1, *, seed=0, task="choose_by_sight", **common):
        self.task = choice("task", task, TASKS)
        self.kind = TASKS.index(self.task)
        actions = Discrete(2 if self.kind >= CHOOSE else 1)
        self.prepare(num_envs, 1, Box(0, 1, (PLACES,), np.uint8), actions, seed, common, ("score",),
                     self.kind == DISCOUNT)
        self.visits = <Visit*> self.claim(self.num_envs * sizeof(Visit))

    @property
    def keys(self):
        """Browser key name -> action: the digits from 1 on."""
        return {str(action + 1): action for action in range(self.single_action_space.n)}

    cdef void reset_range(self, int first, int last) noexcept nogil:
        cdef int i
        for i in range(first, last):
            self.start(i)

    cdef void start(self, int i) noexcept nogil:
        """A new episode, at one of the task's first places."""
        cdef int place = 0
        if self.kind != ONE_ACTION and self.kind != CHOOSE:
            place = draw_below(&self.streams[i], 2)
        if self.kind == DISCOUNT:
            place *= 2
        self.visits[i] = Visit(place, place)
        self.observe(<uint8_t*> self.rows.observations, i)

    cdef void step_range(self, int first, int last) noexcept nogil:
        cdef int32_t* actions = <int32_t*> self.rows.actions
        cdef Visit* visit
        cdef float reward
        cdef bint ends, cut
        cdef int i
        for i in range(first, last):
            visit = &self.visits[i]
            ends, cut = True, False
            if self.kind == ONE_ACTION:
                reward = 1
            elif self.kind == TWO_VALUES:
                reward = 2 * visit.place - 1
            elif self.kind == DISCOUNT:
                reward = visit.place == 1
                ends, cut = visit.place == 1, visit.place == 2
                visit.place = 1
            elif self.kind == CHOOSE:
                reward = actions[i]
            else:
                reward = actions[i] == visit.first
                visit.place = 0
                ends = self.kind == CHOOSE_BY_SIGHT or draw_below(&self.streams[i], 4) == 0
            self.rows.rewards[i] = reward
            self.rows.terminals[i] = ends
            self.rows.truncations[i] = cut
            self.metrics[i] = (self.returns[i] + reward) / (self.lengths[i] + 1)
            if cut:
                self.observe(<uint8_t*> self.rows.final_observations, i)
            if ends | cut:
                self.start(i)
            else:
                self.observe(<uint8_t*> self.rows.observations, i)

    cdef void observe(self, uint8_t* observations, int i) noexcept nogil:
        """Write what is seen from the place of environment i."""
        memset(observations + i * PLACES, 0, PLACES)
        observations[i * PLACES + self.visits[i].place] = 1

    def render(self, index=0):
        """RGB array: the places, the present one blue, and below them the actions.

        The last action is green if it paid, red if it cost, else light grey.
        """
        self.require_index(index)
        cells = np.zeros((2, PLACES), int)
        cells[0] = 2 * self.observations[index]
        cells[1, :self.single_action_space.n] = 1
        if self.lengths[index] or self.terminals[index] or self.truncations[index]:
            cells[1, self.actions[index]] = 4 + np.sign(self.rewards[index])
        inks = [drawing.INK[name] for name in ("ground", "wall", "agent", "danger", "muted", "goal")]
        image = drawing.tiles(cells, inks, scale=60)
        for key, action in self.keys.items():
            drawing.glyph(image, 90, 60 * action + 30, key, drawing.INK["ground"], scale=4)
        return image
