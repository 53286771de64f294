"""breakout: a paddle, a ball and two walls of 108 bricks.

Rules         A field of 576 x 330 with 6 rows of 18 bricks (32 x 12) under a free strip. The ball leaves the
              paddle when the agent fires (or after 60 frames), bounces off the walls, breaks the bricks it
              touches and leaves the paddle at an angle that depends on where it struck it. It gets faster
              after the 4th and the 12th return and at its first touch of the two middle and of the two upper
              rows; the paddle (62 wide) shrinks to half once the ball has touched the top wall. A ball that
              gets past the paddle, or breaks nothing for `patience` frames, is lost, and speed and width are
              as at the start again. The episode ends when one ball and 5 spare balls are lost, or when the
              second wall is cleared. A cleared first wall is rebuilt when the ball next touches the paddle.
Observation   117 float32: 0 paddle's centre and 1 ball across (fractions of the width), 2 ball down (fraction
              of the height), 3 and 4 ball's velocity across and down (fraction of the top speed, -1 to 1),
              5 ball in play, 6 balls left (fraction of 6), 7 paddle's width (fraction of the full width),
              8 share of all 216 bricks that are broken, then 108 bricks row by row, each as its share of the
              wall (1/108 standing, 0 broken). As 0 and 1 the bricks drown the five numbers that decide where
              the paddle must be: after 10 M steps a policy scores 270 and not 430.
Actions       Discrete(4): 0 none, 1 fire, 2 left, 3 right; held for `frame_skip` frames.
Rewards       +1 for each brick (216 in all). Its value counts only for the score.
Log           episode_return, episode_length (steps), score (rows are worth 7 7 4 4 1 1 a brick:
              432 a wall, 864 in all).
Source        stream 003 (sizes, points, spare balls). There the observations were raw pixels, the first one
              after a reset was empty, and the flag at the end was cleared before the learner saw it.
"""

import numpy as np
from gymnasium.spaces import Box, Discrete

from envs.core import drawing
from envs.core.settings import LONGEST, whole

from libc.math cimport fabsf, sqrtf
from libc.stdint cimport int32_t, uint8_t
from libc.string cimport memset

from envs.core.native cimport Native, require
from envs.core.random cimport draw_between

cdef enum:
    NONE, FIRE, LEFT, RIGHT
    WIDTH = 576
    HEIGHT = 330
    ROWS = 6
    COLUMNS = 18
    BRICKS = 108                    # ROWS * COLUMNS
    BRICK_WIDTH = 32                # WIDTH / COLUMNS
    BRICK_HEIGHT = 12
    WALL_TOP = 50                   # the free strip above the bricks
    WALL_BOTTOM = 122               # WALL_TOP + ROWS * BRICK_HEIGHT
    BALLS = 6                       # one and five spare
    SCALARS = 9
    OBSERVATION = 117               # SCALARS + BRICKS

cdef float PADDLE_WIDTH = 62, PADDLE_TOP = HEIGHT - 16, PADDLE_SPEED = 6, BALL_HALF = 3
cdef float START_SPEED = 3, FASTER = 0.6, TOP_SPEED = START_SPEED + 4 * FASTER
cdef float STANDING = 1.0 / BRICKS  # what a standing brick is in the observation
cdef float STEEPEST = 0.85          # sine of the flattest angle at which the ball leaves the paddle's edge
cdef int[ROWS] VALUES = [7, 7, 4, 4, 1, 1]
cdef int AUTO_FIRE = 60

cdef struct Game:
    float paddle, width             # centre and width
    float x, y, across, down, speed
    int balls                       # left, the one in play included
    int returns                     # of this ball
    int idle                        # frames without a broken brick, or on the paddle
    int standing                    # bricks of this wall
    int walls                       # cleared
    int points
    bint flying, touched_middle, touched_upper


cdef class Breakout(Native):
    """breakout(num_envs, seed=0, frame_skip=4, patience=3000): see the module's docstring."""

    cdef Game* games
    cdef readonly int frame_skip, patience

    keys = {"ArrowLeft": LEFT, "ArrowRight": RIGHT, " ": FIRE, "ArrowUp": FIRE}
    idle_action = NONE
    action_names = ("none", "fire", "left", "right")

    def __init__(self, num_envs=1, *, seed=0, frame_skip=4, patience=3000, **common):
        self.frame_skip = whole("frame_skip", frame_skip, 1, 1000)
        self.patience = whole("patience", patience, 1, LONGEST)
        low = np.zeros(OBSERVATION, np.float32)
        low[3:5] = -1
        self.prepare(num_envs, 1, Box(low, np.ones(OBSERVATION, np.float32), dtype=np.float32), Discrete(4),
                     seed, common, metric_names=("score",))
        self.games = <Game*> self.claim(self.num_envs * sizeof(Game))

    cdef inline float* bricks(self, int i) noexcept nogil:
        """The bricks live in the observation: they are 0 or STANDING there,
        and one write serves rules and network."""
        return <float*> self.rows.observations + i * OBSERVATION + SCALARS

    cdef void start(self, int i) noexcept nogil:
        cdef Game* game = &self.games[i]
        memset(game, 0, sizeof(Game))
        game.balls = BALLS
        game.paddle = WIDTH / 2.0
        self.build_wall(i, game)
        self.next_ball(game)

    cdef void build_wall(self, int i, Game* game) noexcept nogil:
        cdef float* bricks = self.bricks(i)
        cdef int n
        for n in range(BRICKS):
            bricks[n] = STANDING
        game.standing = BRICKS

    cdef void next_ball(self, Game* game) noexcept nogil:
        game.flying = game.touched_middle = game.touched_upper = False
        game.width, game.speed = PADDLE_WIDTH, START_SPEED
        game.returns = game.idle = 0
        rest(game)

    cdef void reset_range(self, int first, int last) noexcept nogil:
        cdef int i
        for i in range(first, last):
            self.start(i)
            self.observe(i)

    cdef void step_range(self, int first, int last) noexcept nogil:
        cdef int32_t* actions = <int32_t*> self.rows.actions
        cdef int i, frame
        for i in range(first, last):
            for frame in range(self.frame_skip):
                if self.play_frame(i, &self.games[i], actions[i]):
                    break                               # the episode is over, the next has begun
            self.observe(i)

    cdef bint play_frame(self, int i, Game* game, int action) noexcept nogil:
        """One frame; True if the episode ended."""
        cdef float half = game.width / 2, angle
        game.paddle = clamp(game.paddle + PADDLE_SPEED * ((action == RIGHT) - (action == LEFT)),
                            half, WIDTH - half)
        game.idle += 1
        if not game.flying:
            rest(game)
            if action == FIRE or game.idle >= AUTO_FIRE:
                angle = <float> draw_between(&self.streams[i], -0.6, 0.6)
                aim(game, angle)
                game.flying, game.idle = True, 0
            return False
        self.move_across(i, game)
        self.move_down(i, game)
        if game.standing == 0 and game.walls == 1:
            return self.finish(i, game)
        if game.y > HEIGHT or game.idle >= self.patience:
            game.balls -= 1
            if game.balls == 0:
                return self.finish(i, game)
            self.next_ball(game)
        return False

    cdef void move_across(self, int i, Game* game) noexcept nogil:
        """The ball's way across: side walls, and bricks met from the side."""
        cdef float x = game.x + game.across
        if x < BALL_HALF or x > WIDTH - BALL_HALF:
            game.across = -game.across
        elif self.break_brick(i, game, x + (BALL_HALF if game.across > 0 else -BALL_HALF), game.y):
            game.across = -game.across
        else:
            game.x = x

    cdef void move_down(self, int i, Game* game) noexcept nogil:
        """The ball's way up or down: top wall, bricks met from above or below, and the paddle."""
        cdef float y = game.y + game.down, half = game.width / 2 + BALL_HALF
        if y < BALL_HALF:
            game.down = -game.down
            if game.width == PADDLE_WIDTH:
                game.width = PADDLE_WIDTH / 2
        elif self.break_brick(i, game, game.x, y + (BALL_HALF if game.down > 0 else -BALL_HALF)):
            game.down = -game.down
        elif game.y + BALL_HALF <= PADDLE_TOP < y + BALL_HALF and fabsf(game.x - game.paddle) <= half:
            self.strike(i, game, (game.x - game.paddle) / half)
        else:
            game.y = y

    cdef void strike(self, int i, Game* game, float offset) noexcept nogil:
        """The ball meets the paddle: `offset` from -1 at its left edge to 1 at its right edge."""
        game.returns += 1
        if game.returns == 4 or game.returns == 12:
            game.speed += FASTER
        aim(game, offset * STEEPEST)
        if game.standing == 0:
            game.walls += 1
            self.build_wall(i, game)

    cdef bint break_brick(self, int i, Game* game, float x, float y) noexcept nogil:
        """Break the brick at the point (x, y), if one stands there; True if so."""
        cdef int row, column, brick
        cdef float faster = 0
        if y < WALL_TOP or y >= WALL_BOTTOM or x < 0 or x >= WIDTH:
            return False
        row, column = (<int> y - WALL_TOP) // BRICK_HEIGHT, <int> x // BRICK_WIDTH
        brick = row * COLUMNS + column
        require(&self.fault, 0 <= brick < BRICKS, b"a brick outside the wall")
        if self.bricks(i)[brick] == 0:
            return False
        self.bricks(i)[brick] = 0
        game.standing -= 1
        game.idle = 0
        game.points += VALUES[row]
        self.rows.rewards[i] += 1
        if row < 4 and not game.touched_middle:
            game.touched_middle, faster = True, faster + FASTER
        if row < 2 and not game.touched_upper:
            game.touched_upper, faster = True, faster + FASTER
        if faster > 0:
            faster = (game.speed + faster) / game.speed
            game.speed *= faster
            game.across *= faster
            game.down *= faster
        return True

    cdef bint finish(self, int i, Game* game) noexcept nogil:
        self.rows.terminals[i] = 1
        self.metrics[i] = game.points
        self.start(i)
        return True

    cdef void observe(self, int i) noexcept nogil:
        cdef float* observation = <float*> self.rows.observations + i * OBSERVATION
        cdef Game* game = &self.games[i]
        observation[0] = game.paddle * (1.0 / WIDTH)
        observation[1] = game.x * (1.0 / WIDTH)
        observation[2] = min(game.y, <float> HEIGHT) * (1.0 / HEIGHT)
        observation[3] = clamp(game.across * (1 / TOP_SPEED), -1, 1)
        observation[4] = clamp(game.down * (1 / TOP_SPEED), -1, 1)
        observation[5] = game.flying
        observation[6] = game.balls * (1.0 / BALLS)
        observation[7] = game.width * (1 / PADDLE_WIDTH)
        observation[8] = (BRICKS * (game.walls + 1) - game.standing) * (1.0 / (2 * BRICKS))

    def render(self, index=0):
        """RGB array of game `index`: paddle blue, spare balls along the bottom."""
        self.require_index(index)
        cdef Game game = self.games[index]
        ink = drawing.INK
        image = drawing.canvas(HEIGHT, WIDTH)
        colours = [ink["danger"], ink["danger"], ink["rival"], ink["rival"], ink["goal"], ink["goal"]]
        for n in range(BRICKS):
            if self.bricks(index)[n]:
                row, column = divmod(n, COLUMNS)
                drawing.rectangle(image, WALL_TOP + row * BRICK_HEIGHT + 1, column * BRICK_WIDTH + 1,
                                  BRICK_HEIGHT - 2, BRICK_WIDTH - 2, colours[row])
        drawing.rectangle(image, PADDLE_TOP, game.paddle - game.width / 2, 8, game.width, ink["agent"])
        drawing.rectangle(image, game.y - BALL_HALF, game.x - BALL_HALF, 2 * BALL_HALF, 2 * BALL_HALF,
                          ink["text"])
        for n in range(game.balls - 1):
            drawing.rectangle(image, HEIGHT - 6, 6 + 10 * n, 4, 6, ink["muted"])
        return image


cdef inline float clamp(float x, float low, float high) noexcept nogil:
    return low if x < low else (high if x > high else x)


cdef inline void rest(Game* game) noexcept nogil:
    """The ball lies on the paddle."""
    game.x, game.y = game.paddle, PADDLE_TOP - BALL_HALF
    game.across = game.down = 0


cdef inline void aim(Game* game, float sine) noexcept nogil:
    """Send the ball upwards at the game's speed, `sine` of it across."""
    game.across = game.speed * sine
    game.down = -game.speed * sqrtf(1 - sine * sine)
