"""The two files that `python -m puffer_min new` writes: the same game in Cython and in Python."""

RULES = '''NAME: move a basket under the falling fruit. Replace the rules by your own.

Rules         A fruit starts at the top of a board of 10 x 5 and falls one row a step; the basket starts in
              the middle of the bottom row and moves one column a step. When the fruit is down the episode
              ends.
Observation   50 uint8, row by row: 0 empty, 1 fruit, 2 basket.
Actions       Discrete(3): 0 left, 1 stay, 2 right.
Log           episode_return, episode_length, score (1 if the fruit was caught, else 0). Best 1; at random
              0.2.
'''

COMPILED = '''"""''' + RULES + '''
    python -m puffer_min check NAME.pyx         each command compiles the file first, if it has changed
    python -m puffer_min train NAME.pyx
    python -m puffer_min play NAME.pyx
    python -m puffer_min bench NAME.pyx
"""

import numpy as np
from gymnasium.spaces import Box, Discrete

from envs.core import drawing

from libc.stdint cimport int32_t, uint8_t
from libc.string cimport memset

from envs.core.native cimport Native
from envs.core.random cimport draw_below

cdef enum:
    ROWS = 10
    COLUMNS = 5
    CELLS = 50                  # ROWS * COLUMNS

cdef enum:
    EMPTY, FRUIT, BASKET

cdef struct Game:
    int row                     # of the fruit
    int column
    int basket                  # column


cdef class CLASS(Native):
    """CLASS(num_envs, seed=0): see the module's docstring for rules, observation and actions."""

    cdef Game* games            # one for each environment

    keys = {"ArrowLeft": 0, "ArrowRight": 2}
    idle_action = 1
    action_names = ("left", "stay", "right")

    def __init__(self, int num_envs=1, *, seed=0, **common):
        self.prepare(num_envs, 1, Box(0, 2, (CELLS,), np.uint8), Discrete(3), seed, common, ("score",))
        self.games = <Game*> self.claim(num_envs * sizeof(Game))

    cdef void reset_range(self, int first, int last) noexcept nogil:
        cdef int i
        for i in range(first, last):
            self.start(i)

    cdef void step_range(self, int first, int last) noexcept nogil:
        """Rewards and flags are zero before this; whatever happens is written into the rows."""
        cdef int32_t* actions = <int32_t*> self.rows.actions
        cdef Game* game
        cdef int i
        for i in range(first, last):
            game = &self.games[i]
            game.row += 1
            game.basket = min(max(game.basket + actions[i] - 1, 0), COLUMNS - 1)
            if game.row < ROWS - 1:
                self.draw(i)
            else:
                self.rows.terminals[i] = 1
                self.rows.rewards[i] = 1 if game.basket == game.column else -1
                self.metrics[i] = game.basket == game.column        # the score
                self.start(i)                                       # the next episode, in the same step

    cdef void start(self, int i) noexcept nogil:
        self.games[i] = Game(0, draw_below(&self.streams[i], COLUMNS), COLUMNS // 2)
        self.draw(i)

    cdef void draw(self, int i) noexcept nogil:
        cdef uint8_t* cells = <uint8_t*> self.rows.observations + i * CELLS
        memset(cells, EMPTY, CELLS)
        cells[self.games[i].row * COLUMNS + self.games[i].column] = FRUIT
        cells[(ROWS - 1) * COLUMNS + self.games[i].basket] = BASKET

    def render(self, index=0):
        """RGB array of board `index`."""
        self.require_index(index)
        cells = np.asarray(self.observations[index]).reshape(ROWS, COLUMNS)
        return drawing.tiles(cells, [drawing.INK[name] for name in ("ground", "goal", "agent")], scale=24)
'''

PYTHON = '''"""''' + RULES + '''
    python -m puffer_min check NAME.py
    python -m puffer_min train NAME.py
    python -m puffer_min play NAME.py
    python -m puffer_min bench NAME.py
"""

import numpy as np
from gymnasium.spaces import Box, Discrete

from puffer_min import PufferEnv

ROWS, COLUMNS = 10, 5
EMPTY, FRUIT, BASKET = 0, 1, 2
COLOURS = np.array([(40, 44, 52), (152, 195, 121), (97, 175, 239)], np.uint8)


class CLASS(PufferEnv):
    """See the module's docstring for rules, observation and actions."""

    metric_names = ("score",)
    keys = {"ArrowLeft": 0, "ArrowRight": 2}
    idle_action = 1
    action_names = ("left", "stay", "right")

    def __init__(self, buffers=None, seed=0):
        self.single_observation_space = Box(0, 2, (ROWS * COLUMNS,), np.uint8)
        self.single_action_space = Discrete(3)
        self.num_agents = 1
        super().__init__(buffers, seed)

    def reset(self, seed=None):
        self.begin_reset(seed)                          # random stream, flags, log
        self.start()
        return self.observations, []

    def step(self, actions):
        self.begin_step(actions)                        # checks the actions, zeroes rewards and flags
        self.row += 1
        self.basket = min(max(self.basket + int(self.actions[0]) - 1, 0), COLUMNS - 1)
        if self.row < ROWS - 1:
            self.draw()
        else:
            caught = self.basket == self.column
            self.terminals[0] = True
            self.rewards[0] = 1 if caught else -1
            self.metrics[0, 0] = caught                 # the score
            self.start()                                # the next episode, in the same step
        return self.finish_step()                       # adds the step to the log

    def start(self):
        self.row, self.column, self.basket = 0, int(self.random.integers(COLUMNS)), COLUMNS // 2
        self.draw()

    def draw(self):
        cells = self.observations[0].reshape(ROWS, COLUMNS)         # a view: written in place
        cells[:] = EMPTY
        cells[self.row, self.column] = FRUIT
        cells[ROWS - 1, self.basket] = BASKET

    def render(self, index=0):
        """RGB array of the board."""
        return COLOURS[self.observations[0].reshape(ROWS, COLUMNS)].repeat(24, 0).repeat(24, 1)
'''
