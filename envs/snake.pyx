"""snake: thousands of snakes on one large board, every one an agent.

Rules         Each step every snake moves one cell, in the order of its index. On food it grows by one cell, and new food appears on
              a random empty cell. It dies (`reward_death`) when it meets the wall, a body or a head, or when it has not eaten for
              `starvation` steps, so that circling in safety does not pay. Its own tail is no obstacle: it moves away in the same
              step. A dead snake leaves a corpse: every second of its cells can be eaten and does not come back. It starts anew,
              one cell long, on a random empty cell in the same step: each life is an episode.
Observation   (2 * vision + 1) ** 2 uint8, row by row: the window around the head. From good to bad, so that scaling keeps the order:
              0 food, 1 corpse, 2 empty, 3 wall, 4 head, 5 to 8 body that leads up, down, left, right (towards its head).
              The snake's own head is always in the centre; the body cell that points at it is its neck.
Actions       Discrete(4): 0 up, 1 down, 2 left, 3 right. A turn back into the own neck is ignored: the snake goes straight on.
Rewards       food 0.1, corpse 0.1, death -1 (settings `reward_food`, `reward_corpse`, `reward_death`).
Settings      num_snakes on each board. Unless given, the board has 900 cells and 16 food a snake at 16:9: 16 snakes get 160 x 90,
              4,096 get 2560 x 1440 with 65,536 food, the world of the stream. `max_length`: a longer snake eats without growing.
Log           episode_return, episode_length, score (length at death).
Source        PufferLib's `snake` (stream 003); the body as a chain of directions on the board, heads and starvation are ours.
"""

import math

import numpy as np
from gymnasium.spaces import Box, Discrete

from envs.core import drawing

from libc.stdint cimport int32_t, uint8_t
from libc.string cimport memcpy, memset

from envs.core.native cimport Native, require
from envs.core.random cimport draw_below

cdef extern from * nogil:
    void prefetch "__builtin_prefetch"(const void*) noexcept

cdef enum:
    FOOD, CORPSE, EMPTY, WALL, HEAD, BODY       # edible < EMPTY < deadly; BODY + action is a body cell that leads that way

cdef enum:
    UP, DOWN, LEFT, RIGHT                       # action ^ 1 is the opposite one

cdef enum:
    TRIES = 64                                  # random cells looked at before the board is searched for a free one
    AHEAD = 6                                   # snakes between a prefetch and its use

cdef struct Snake:
    int head                    # index into `cells`
    int tail                    # the last cell; the board's body codes lead from here to the head
    int length
    int heading                 # the last move
    int fed                     # step of this life on which it last ate


cdef class Snakes(Native):
    """snake(num_envs, seed=0, num_snakes=16, width=None, height=None, num_food=None, vision=5, max_length=None, starvation=256,
    leave_corpse=True, reward_food=0.1, reward_corpse=0.1, reward_death=-1.0): see the module's docstring."""

    cdef uint8_t* cells         # num_envs boards, each with a border of `vision` wall cells: a window needs no test for the edge
    cdef Snake* snakes
    cdef readonly int num_snakes, width, height, num_food, vision, max_length, starvation
    cdef readonly bint leave_corpse
    cdef readonly float reward_food, reward_corpse, reward_death
    cdef int stride, board_size
    cdef int offsets[4]         # action -> distance in `cells`

    keys = {"ArrowUp": UP, "ArrowDown": DOWN, "ArrowLeft": LEFT, "ArrowRight": RIGHT, "w": UP, "s": DOWN, "a": LEFT, "d": RIGHT}
    action_names = ("up", "down", "left", "right")

    def __init__(self, int num_envs=1, *, seed=0, int num_snakes=16, width=None, height=None, num_food=None, int vision=5,
                 max_length=None, int starvation=256, bint leave_corpse=True, float reward_food=0.1, float reward_corpse=0.1,
                 float reward_death=-1.0, **common):
        self.width = max(8, round(math.sqrt(num_snakes * 1600))) if width is None else width
        self.height = max(8, num_snakes * 900 // self.width) if height is None else height
        self.num_food = min(16 * num_snakes, self.width * self.height // 4) if num_food is None else num_food
        self.num_snakes, self.vision, self.starvation, self.leave_corpse = num_snakes, vision, starvation, leave_corpse
        self.reward_food, self.reward_corpse, self.reward_death = reward_food, reward_corpse, reward_death
        self.stride = self.width + 2 * vision
        self.board_size = self.stride * (self.height + 2 * vision)
        self.offsets = [-self.stride, self.stride, -1, 1]
        room = (self.width * self.height - self.num_food - 1) // num_snakes
        self.max_length = room if max_length is None else max_length
        window = 2 * vision + 1
        self.prepare(num_envs, num_snakes, Box(0, BODY + RIGHT, (window * window,), np.uint8), Discrete(4), seed, common, metric_names=("score",))
        self.snakes = <Snake*> self.claim(self.num_agents * sizeof(Snake))
        self.cells = <uint8_t*> self.claim(<size_t> num_envs * self.board_size)

    @property
    def idle_action(self):
        """Straight on: the heading of the first snake, which a person steers."""
        return self.snakes[0].heading

    cdef void reset_range(self, int first, int last) noexcept nogil:
        cdef int env, row, i
        cdef uint8_t* board
        for env in range(first, last):
            board = self.cells + <size_t> env * self.board_size
            memset(board, WALL, self.board_size)
            for row in range(self.vision, self.vision + self.height):
                memset(board + row * self.stride + self.vision, EMPTY, self.width)
            for i in range(self.num_food):
                self.cells[self.free_cell(env)] = FOOD
            for i in range(env * self.num_snakes, (env + 1) * self.num_snakes):
                self.spawn(env, i)
            self.observe(env)

    cdef void step_range(self, int first, int last) noexcept nogil:
        cdef int env, i, end
        for env in range(first, last):
            end = (env + 1) * self.num_snakes
            for i in range(env * self.num_snakes, end):
                if i + AHEAD < end:
                    prefetch(&self.cells[self.snakes[i + AHEAD].head])
                    prefetch(&self.cells[self.snakes[i + AHEAD].tail])
                self.move(env, i)
            self.observe(env)

    cdef void move(self, int env, int i) noexcept nogil:
        cdef Snake* snake = &self.snakes[i]
        cdef uint8_t* cells = self.cells
        cdef int action = (<int32_t*> self.rows.actions)[i]
        cdef int heading = snake.heading if (action ^ 1) == snake.heading and snake.length > 1 else action
        cdef int target = snake.head + self.offsets[heading], tail = snake.tail
        cdef uint8_t met = cells[target]
        if (met > EMPTY and target != tail) or (met >= EMPTY and self.lengths[i] - snake.fed >= self.starvation):
            self.die(env, i)
            return
        cells[snake.head] = BODY + heading
        if met < EMPTY and snake.length < self.max_length:
            snake.length += 1
        else:
            snake.tail = tail + self.offsets[cells[tail] - BODY]
            cells[tail] = EMPTY
        cells[target] = HEAD
        snake.head = target
        snake.heading = heading
        if met < EMPTY:
            snake.fed = self.lengths[i] + 1
            self.rows.rewards[i] = self.reward_food if met == FOOD else self.reward_corpse
            if met == FOOD:
                cells[self.free_cell(env)] = FOOD

    cdef void die(self, int env, int i) noexcept nogil:
        """Log the life, turn the body into a corpse and start the next life."""
        cdef Snake* snake = &self.snakes[i]
        cdef uint8_t* cells = self.cells
        cdef int cell = snake.tail, rank, link
        self.rows.rewards[i] = self.reward_death
        self.rows.terminals[i] = 1
        self.metrics[i] = snake.length
        for rank in range(snake.length - 1, -1, -1):        # 0 is the head
            link = cells[cell] - BODY
            cells[cell] = CORPSE if rank % 2 == 1 and self.leave_corpse else EMPTY
            if rank > 0:
                cell += self.offsets[link]
        require(&self.fault, cell == snake.head, b"the chain of a body does not end at its head")
        self.spawn(env, i)
        snake.fed = 0

    cdef void spawn(self, int env, int i) noexcept nogil:
        """Snake i, one cell long, on a free cell, its face to the farther of the upper and lower wall."""
        cdef int cell = self.free_cell(env)
        cdef int row = (cell - env * self.board_size) // self.stride - self.vision
        self.cells[cell] = HEAD
        self.snakes[i] = Snake(cell, cell, 1, UP if row * 2 >= self.height else DOWN, 0)

    cdef int free_cell(self, int env) noexcept nogil:
        """A random empty cell. On a crowded board the next one that is empty or corpse; the bound on `max_length` leaves one."""
        cdef int count = self.width * self.height, start = env * self.board_size + self.vision * (self.stride + 1), k, tries, cell
        for tries in range(TRIES):
            k = draw_below(&self.streams[env], count)
            cell = start + k // self.width * self.stride + k % self.width
            if self.cells[cell] == EMPTY:
                return cell
        while self.cells[cell] != EMPTY and self.cells[cell] != CORPSE:
            k = (k + 1) % count
            cell = start + k // self.width * self.stride + k % self.width
        return cell

    cdef void observe(self, int env) noexcept nogil:
        """Copy the window round each head, a row at a time."""
        cdef int window = 2 * self.vision + 1, corner = self.vision * (self.stride + 1), stride = self.stride
        cdef int i, row, last = (env + 1) * self.num_snakes
        cdef uint8_t* out
        cdef uint8_t* cell
        for i in range(env * self.num_snakes, last):
            out = <uint8_t*> self.rows.observations + <size_t> i * window * window
            cell = self.cells + (self.snakes[i].head - corner)
            if window == 11:                                # a constant size is two moves, not a call
                for row in range(11):
                    memcpy(out + row * 11, cell + row * stride, 11)
            else:
                for row in range(window):
                    memcpy(out + row * window, cell + row * stride, window)

    def render(self, index=0):
        return None
