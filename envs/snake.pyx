"""snake: thousands of snakes on one large board, each of them an agent.

Rules         Each step every snake moves one cell, in the order of its index. Food makes it one cell longer,
              and new food appears on a random empty cell. It dies when it meets the wall, a body or a head,
              or when it has not eaten for `starvation` steps, so that circling in safety does not pay. Its
              own tail is no obstacle: the tail moves on in the same step. A dead snake leaves a corpse: every
              second of its cells can be eaten once. In the same step it starts anew, one cell long, on a
              random empty cell. Each life is an episode.
Observation   (2 * vision + 1, 2 * vision + 1) int8: the 11 x 11 cells around the head. What can be eaten is
              positive, what kills is negative: 6 food, 5 corpse, 0 empty, -1 wall, -2 head, -3 -4 -5 -6 body
              that leads up, down, left, right. The snake's own head is always in the centre; the body that
              leads to it is its neck. The signs matter: a network that only scales its input learns several
              times faster from these codes than from 0 empty, 1 food, 2 corpse, 3 wall and so on.
Actions       Discrete(4): 0 up, 1 down, 2 left, 3 right. A turn back into the own neck is ignored,
              the snake goes straight on.
Rewards       `reward_food` 0.1, `reward_corpse` 0.1, `reward_death` -1.
Settings      `num_snakes` on each of the num_envs boards. Unless `width`, `height` and `num_food` are given,
              there are 900 cells and 16 food for each snake, at 16:9: 1,024 snakes have 1280 x 720, 16 have
              160 x 90, and 4,096 have 2560 x 1440 with 65,536 food, the world of the stream. For the classic
              game: num_snakes=1, width=20, height=15, num_food=1. Of a board of more than 4,096 cells, snakes
              and food may take one half when a game begins. A snake of `max_length` eats without growing (the
              default, which is also the limit, keeps one cell of the board free).
Log           episode_return, episode_length, score (length at death).
Source        PufferLib's `snake` (stream 003). Bodies as a chain of directions, codes for heads,
              and starvation are ours.
"""

import math

import numpy as np
from gymnasium.spaces import Box, Discrete

from envs.core import drawing
from envs.core.settings import LARGEST_REWARD, LONGEST, flag, number, refusal, whole

cimport cython
from libc.stdint cimport int8_t, int32_t, int64_t
from libc.string cimport memcpy, memset

from envs.core.native cimport Native, require
from envs.core.random cimport draw_below

cdef extern from * nogil:
    void prefetch "__builtin_prefetch"(const void*) noexcept

cdef enum:
    FOOD = 6
    CORPSE = 5
    EMPTY = 0                                   # above it is food, below it is death
    WALL = -1
    HEAD = -2
    BODY = -3                                   # BODY - action is body that leads that way
    LAST = -6                                   # BODY - RIGHT: Cython's debug build folds no constants

cdef enum:
    UP, DOWN, LEFT, RIGHT                       # action ^ 1 is the opposite action

cdef enum:
    TRIES = 64                                  # random cells tried before the board is searched
    AHEAD = 8                                   # so many turns before its own a snake's cells are prefetched

MOST_SNAKES = 16_384
MOST_CELLS = 2**24                              # of a board: 4.5 times the world of the stream
LONGEST_SIDE = 2**16
SMALL = 4096                                    # cells of a board that may be full but for one
FARTHEST = 127                                  # cells that a snake can see

cdef struct Snake:
    int head                    # index into `cells`
    int tail                    # the body codes on the board lead from here to the head
    int length
    int heading                 # its last move
    int fed                     # step of this life on which it last ate


@cython.final
cdef class Snakes(Native):
    """snake(num_envs, seed=0, num_snakes=1024, width=None, height=None, num_food=None, vision=5,
    max_length=None, starvation=256, leave_corpse=True, reward_food=0.1, reward_corpse=0.1,
    reward_death=-1.0): see the module's docstring."""

    cdef int8_t* cells          # the boards, each with a border of `vision` wall cells, so that a window
                                # needs no test for the edge
    cdef Snake* snakes
    cdef readonly int num_snakes, width, height, num_food, vision, max_length, starvation
    cdef readonly bint leave_corpse
    cdef readonly float reward_food, reward_corpse, reward_death
    cdef int stride, board_size
    cdef int offsets[4]         # action -> distance in `cells`

    keys = {"ArrowUp": UP, "ArrowDown": DOWN, "ArrowLeft": LEFT, "ArrowRight": RIGHT, "w": UP, "s": DOWN,
            "a": LEFT, "d": RIGHT}
    action_names = ("up", "down", "left", "right")

    def __init__(self, num_envs=1, *, seed=0, num_snakes=1024, width=None, height=None, num_food=None,
                 vision=5, max_length=None, starvation=256, leave_corpse=True, reward_food=0.1,
                 reward_corpse=0.1, reward_death=-1.0, **common):
        self.num_snakes = whole("num_snakes", num_snakes, 1, MOST_SNAKES)
        self.width = (round(math.sqrt(1600 * self.num_snakes)) if width is None
                      else whole("width", width, 1, LONGEST_SIDE))
        self.height = (max(1, 900 * self.num_snakes // self.width) if height is None
                       else whole("height", height, 1, LONGEST_SIDE))
        cdef int64_t cells = <int64_t> self.width * self.height
        if cells > MOST_CELLS:
            raise refusal("width", self.width, f"at most {MOST_CELLS // self.height:,} "
                                               f"with height={self.height}: a board of {MOST_CELLS:,} cells")
        # At most so many are taken: a free cell must be found, on a large board without a long search.
        taken = cells - 1 if cells <= SMALL else cells // 2
        if self.num_snakes > taken:
            raise refusal("num_snakes", num_snakes,
                          f"at most {taken:,} on {self.width} x {self.height} cells; enlarge width or height")
        most_food = taken - self.num_snakes
        self.num_food = (min(16 * self.num_snakes, cells // 4, most_food) if num_food is None
                         else whole("num_food", num_food, 0, most_food))
        room = (cells - self.num_food - 1) // self.num_snakes   # whatever the snakes eat, a cell stays free
        self.max_length = room if max_length is None else whole("max_length", max_length, 1, room)
        self.vision = whole("vision", vision, 1, FARTHEST)
        self.starvation = whole("starvation", starvation, 1, LONGEST)
        self.leave_corpse = flag("leave_corpse", leave_corpse)
        self.reward_food = number("reward_food", reward_food, -LARGEST_REWARD, LARGEST_REWARD)
        self.reward_corpse = number("reward_corpse", reward_corpse, -LARGEST_REWARD, LARGEST_REWARD)
        self.reward_death = number("reward_death", reward_death, -LARGEST_REWARD, LARGEST_REWARD)
        self.stride = self.width + 2 * self.vision
        self.board_size = self.stride * (self.height + 2 * self.vision)
        self.offsets = [-self.stride, self.stride, -1, 1]
        window = 2 * self.vision + 1
        self.prepare(num_envs, self.num_snakes, Box(LAST, FOOD, (window, window), np.int8), Discrete(4), seed,
                     common, ("score",), False, self.board_size)
        self.snakes = <Snake*> self.claim(self.num_agents * sizeof(Snake))
        self.cells = <int8_t*> self.claim(<size_t> self.num_envs * self.board_size)

    cdef void reset_range(self, int first, int last) noexcept nogil:
        cdef int env, row, i
        cdef int8_t* board
        for env in range(first, last):
            board = self.cells + env * self.board_size
            memset(board, WALL, self.board_size)
            for row in range(self.vision, self.vision + self.height):
                memset(board + row * self.stride + self.vision, EMPTY, self.width)
            for i in range(self.num_food):
                self.cells[self.free_cell(env)] = FOOD
            for i in range(env * self.num_snakes, (env + 1) * self.num_snakes):
                self.spawn(env, i)
            self.observe(env)

    cdef void step_range(self, int first, int last) noexcept nogil:
        cdef int32_t* actions = <int32_t*> self.rows.actions
        cdef int env, i, end = last * self.num_snakes
        cdef Snake* coming
        for env in range(first, last):
            for i in range(env * self.num_snakes, (env + 1) * self.num_snakes):
                if i + AHEAD < end:         # a big board is not in the fast caches: ask for cells in time
                    coming = &self.snakes[i + AHEAD]
                    prefetch(self.cells + coming.tail)
                    prefetch(self.cells + coming.head)
                    prefetch(self.cells + coming.head + self.offsets[actions[i + AHEAD]])
                self.move(env, i, actions[i])
            self.observe(env)

    cdef void move(self, int env, int i, int action) noexcept nogil:
        cdef Snake* snake = &self.snakes[i]
        cdef int8_t* cells = self.cells
        cdef int heading = snake.heading if action == snake.heading ^ 1 and snake.length > 1 else action
        cdef int target = snake.head + self.offsets[heading], tail = snake.tail, steps = self.lengths[i] + 1
        cdef int8_t met = cells[target]
        require(&self.fault, cells[snake.head] == HEAD, b"a snake's head is not where the snake is")
        if (met < EMPTY and target != tail) or (met <= EMPTY and steps - snake.fed >= self.starvation):
            self.die(env, i)
            return
        cells[snake.head] = <int8_t> (BODY - heading)
        if met > EMPTY and snake.length < self.max_length:
            snake.length += 1
        else:                       # one cell shorter behind, which for a snake of one cell is its old head
            snake.tail = tail + self.offsets[BODY - cells[tail]]
            cells[tail] = EMPTY
        cells[target] = HEAD
        snake.head = target
        snake.heading = heading
        if met > EMPTY:
            snake.fed = steps
            self.rows.rewards[i] = self.reward_food if met == FOOD else self.reward_corpse
            if met == FOOD:
                cells[self.free_cell(env)] = FOOD

    cdef void die(self, int env, int i) noexcept nogil:
        """End the life of snake i, turn its body into a corpse and start its next life."""
        cdef Snake* snake = &self.snakes[i]
        cdef int8_t* cells = self.cells
        cdef int cell = snake.tail, behind, link
        self.rows.rewards[i] = self.reward_death
        self.rows.terminals[i] = 1
        self.metrics[i] = snake.length
        for behind in range(snake.length - 1, 0, -1):   # cells between this one and the head
            require(&self.fault, LAST <= cells[cell] <= BODY, b"a body is broken")
            link = BODY - cells[cell]
            cells[cell] = CORPSE if self.leave_corpse and behind % 2 == 1 else EMPTY
            cell += self.offsets[link]
        require(&self.fault, cell == snake.head, b"a body does not lead to its head")
        cells[cell] = EMPTY
        self.spawn(env, i)

    cdef void spawn(self, int env, int i) noexcept nogil:
        """Snake i, one cell long, on a free cell, facing the upper or lower wall, whichever is farther."""
        cdef int cell = self.free_cell(env)
        cdef int row = (cell - env * self.board_size) // self.stride - self.vision
        self.cells[cell] = HEAD
        self.snakes[i] = Snake(cell, cell, 1, UP if 2 * row >= self.height else DOWN, 0)

    cdef int free_cell(self, int env) noexcept nogil:
        """A random empty cell; on a crowded board the next one that is empty or a corpse
        (`max_length` makes sure of one)."""
        cdef int count = self.width * self.height
        cdef int corner = env * self.board_size + self.vision * (self.stride + 1)
        cdef int tries, k = 0, cell = 0
        for tries in range(TRIES):
            k = draw_below(&self.streams[env], count)
            cell = corner + k // self.width * self.stride + k % self.width
            if self.cells[cell] == EMPTY:
                return cell
        while self.cells[cell] != EMPTY and self.cells[cell] != CORPSE:
            k = (k + 1) % count
            cell = corner + k // self.width * self.stride + k % self.width
        return cell

    cdef void observe(self, int env) noexcept nogil:
        """Copy the window around each head, a row at a time."""
        cdef int window = 2 * self.vision + 1, corner = self.vision * (self.stride + 1), stride = self.stride
        cdef int i, row
        cdef int8_t* out
        cdef int8_t* cell
        for i in range(env * self.num_snakes, (env + 1) * self.num_snakes):
            out = <int8_t*> self.rows.observations + <size_t> i * (window * window)
            cell = self.cells + (self.snakes[i].head - corner)
            if window == 11:
                for row in range(10):       # one load and one store: the 5 bytes too many are the next row's
                    memcpy(out + row * 11, cell + row * stride, 16)
                memcpy(out + 110, cell + 10 * stride, 11)
            else:
                for row in range(window):
                    memcpy(out + row * window, cell + row * stride, window)

    @property
    def idle_action(self):
        """Straight on: the heading of the first snake, the one that a person steers."""
        self.require_ready()
        return self.snakes[0].heading

    def board(self, index=0):
        """Board `index` as an array (height, width) int8 of the codes of the observation:
        a copy, without the border."""
        cdef int i = self.require_index(index)
        cdef const char* board = <const char*> (self.cells + i * self.board_size)
        v = self.vision
        return np.frombuffer(board[:self.board_size], np.int8).reshape(-1, self.stride)[v:-v, v:-v].copy()

    def body(self, agent=0):
        """The cells of a snake as a list of (row, column), from its head to its tail."""
        cdef int i = self.require_index(agent, "agent", self.num_agents)
        cdef Snake* snake = &self.snakes[i]
        cdef int cell = snake.tail, start = i // self.num_snakes * self.board_size, k
        places = []
        for k in range(snake.length):
            places.append(((cell - start) // self.stride - self.vision,
                           (cell - start) % self.stride - self.vision))
            if cell != snake.head:
                cell += self.offsets[BODY - self.cells[cell]]
        return places[::-1]

    def render(self, index=0):
        """RGB array of board `index`, of a large board the 96 x 54 cells around its first snake: that snake
        blue with a white head, the others orange, food yellow, corpses green, 10 to 24 pixels a cell."""
        own_body, own_head = FOOD + 1, FOOD + 2
        cells = np.pad(self.board(index), 1, constant_values=WALL)
        body = self.body(index * self.num_snakes)
        for row, column in body:
            cells[row + 1, column + 1] = own_body if (row, column) != body[0] else own_head
        centre = body[0] if body else (0, 0)      # before the first reset there are no snakes
        top, left = (max(0, min(at + 1 - view // 2, size - view))
                     for at, view, size in zip(centre, (54, 96), cells.shape))
        cells = cells[top:top + 54, left:left + 96]
        ink = drawing.INK
        colours = {FOOD: ink["food"], CORPSE: ink["goal"], EMPTY: ink["ground"], WALL: ink["wall"],
                   HEAD: (255, 160, 90), own_body: ink["agent"], own_head: ink["text"]}
        palette = [colours.get(code, ink["rival"]) for code in range(LAST, own_head + 1)]
        return drawing.tiles(cells - LAST, palette, scale=min(24, 960 // cells.shape[1]))
