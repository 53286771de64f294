"""pong: one paddle against a scripted one, first to 21.

Rules         A field of 160 x 120 units; the agent's paddle stands on the right, the rival's on the left.
              A ball served from the centre bounces off the top and the bottom. Where it strikes a paddle
              decides its angle (middle: straight on, edge: 45 degrees), and every return makes it
              10 % faster, up to 6 units a frame. Who lets it pass loses the point. The rival follows the
              ball at `rival_speed` units a frame, slower than the steepest fast ball, and aims with a
              random part of its paddle, so a rally cannot go on for ever. The agent's paddle moves 2.5:
              who waits in the middle and goes where the ball will arrive reaches every one. (At 2, one
              fast return in a hundred was out of reach, because an action is held for four frames, and
              nobody could win 21 to 0.)
Observation   8 float32: 0 own paddle and 1 rival's paddle (fraction of the height), 2 ball across and 3 down
              (fractions of the field), 4 and 5 ball's velocity across and down (fraction of the top speed,
              -1 to 1), 6 own points and 7 rival's points (fraction of `points_to_win`).
Actions       Discrete(3): 0 stay, 1 up, 2 down; held for `frame_skip` frames. With 4 frames,
              as in the stream, some returns cannot be aimed; with the default of 2 all can.
Rewards       +1 for a point won, -1 for a point lost.
Log           episode_return, episode_length (steps), score (own points minus the rival's: -21 to 21).
Source        stream 003 (the template of the slim binding): 8 observations, 3 actions, score to 21. There
              the two score entries were divided as whole numbers, so always 0, and the serve never went one
              way (`rand() % 2 - 1`).
"""

import numpy as np
from gymnasium.spaces import Box, Discrete

from envs.core import drawing
from envs.core.settings import number, whole

from libc.math cimport fabsf
from libc.stdint cimport int32_t

from envs.core.native cimport Native, require
from envs.core.random cimport draw, draw_between

cdef enum:
    STAY, UP, DOWN
    WIDTH = 160
    HEIGHT = 120

cdef float PADDLE_HALF = 8, PADDLE_SPEED = 2.5, BALL_HALF = 1.5
cdef float LEFT_PLANE = 8, RIGHT_PLANE = WIDTH - 8      # where the paddles' faces are
cdef float SERVE_SPEED = 2, TOP_SPEED = 6, FASTER = 1.1

cdef struct Game:
    float paddle, rival             # centres, units from the top
    float x, y                      # ball
    float across, down              # its velocity, units a frame
    float speed                     # velocity across, before the angle
    float aim                       # part of the rival's paddle it wants to strike with
    int points, rival_points


cdef class Pong(Native):
    """pong(num_envs, seed=0, frame_skip=2, points_to_win=21, rival_speed=1.5): see the module's docstring."""

    cdef Game* games
    cdef readonly int frame_skip, points_to_win
    cdef readonly float rival_speed

    keys = {"ArrowUp": UP, "ArrowDown": DOWN}
    idle_action = STAY
    action_names = ("stay", "up", "down")

    def __init__(self, num_envs=1, *, seed=0, frame_skip=2, points_to_win=21, rival_speed=1.5, **common):
        self.frame_skip = whole("frame_skip", frame_skip, 1, 1000)
        self.points_to_win = whole("points_to_win", points_to_win, 1, 1_000_000)
        self.rival_speed = number("rival_speed", rival_speed, above=0, high=PADDLE_SPEED)
        low = np.array([0, 0, -0.1, 0, -1, -1, 0, 0], np.float32)
        high = np.array([1, 1, 1.1, 1, 1, 1, 1, 1], np.float32)
        self.prepare(num_envs, 1, Box(low, high, dtype=np.float32), Discrete(3), seed, common,
                     metric_names=("score",))
        self.games = <Game*> self.claim(self.num_envs * sizeof(Game))

    cdef void start(self, int i) noexcept nogil:
        cdef Game* game = &self.games[i]
        game.points = game.rival_points = 0
        game.paddle = game.rival = HEIGHT / 2.0
        self.serve(i, game)

    cdef void serve(self, int i, Game* game) noexcept nogil:
        """Ball to the centre, towards either side with equal chance, at a random angle."""
        cdef float side = 1 if draw(&self.streams[i]) >> 63 else -1
        game.x = WIDTH / 2.0
        game.y = <float> draw_between(&self.streams[i], HEIGHT * 0.25, HEIGHT * 0.75)
        game.speed = SERVE_SPEED
        game.across = side * SERVE_SPEED
        game.down = <float> draw_between(&self.streams[i], -SERVE_SPEED, SERVE_SPEED)
        game.aim = <float> draw_between(&self.streams[i], -PADDLE_HALF, PADDLE_HALF)

    cdef void reset_range(self, int first, int last) noexcept nogil:
        cdef int i
        for i in range(first, last):
            self.start(i)
            self.observe(i)

    cdef void step_range(self, int first, int last) noexcept nogil:
        cdef int32_t* actions = <int32_t*> self.rows.actions
        cdef float wish
        cdef int i, frame
        for i in range(first, last):
            wish = PADDLE_SPEED * ((actions[i] == DOWN) - (actions[i] == UP))
            for frame in range(self.frame_skip):
                if self.play_frame(i, &self.games[i], wish):
                    break                               # the game is over, the next has begun
            self.observe(i)

    cdef bint play_frame(self, int i, Game* game, float wish) noexcept nogil:
        """One frame; True if the game ended."""
        cdef float goal = game.y + game.aim if game.across < 0 else HEIGHT / 2.0
        game.paddle = clamp(game.paddle + wish, PADDLE_HALF, HEIGHT - PADDLE_HALF)
        game.rival = clamp(game.rival + clamp(goal - game.rival, -self.rival_speed, self.rival_speed),
                           PADDLE_HALF, HEIGHT - PADDLE_HALF)
        game.x += game.across
        game.y += game.down
        if game.y < BALL_HALF:
            game.y, game.down = 2 * BALL_HALF - game.y, -game.down
        elif game.y > HEIGHT - BALL_HALF:
            game.y, game.down = 2 * (HEIGHT - BALL_HALF) - game.y, -game.down
        if game.x >= RIGHT_PLANE:
            if game.x - game.across < RIGHT_PLANE and fabsf(game.y - game.paddle) <= PADDLE_HALF + BALL_HALF:
                strike(game, game.paddle, RIGHT_PLANE)
                game.aim = <float> draw_between(&self.streams[i], -PADDLE_HALF, PADDLE_HALF)
            elif game.x >= WIDTH:
                game.rival_points += 1
                self.rows.rewards[i] -= 1
                return self.next_point(i, game)
        elif game.x <= LEFT_PLANE:
            if game.x - game.across > LEFT_PLANE and fabsf(game.y - game.rival) <= PADDLE_HALF + BALL_HALF:
                strike(game, game.rival, LEFT_PLANE)
            elif game.x <= 0:
                game.points += 1
                self.rows.rewards[i] += 1
                return self.next_point(i, game)
        return False

    cdef bint next_point(self, int i, Game* game) noexcept nogil:
        """Serve again or, when one side has won, raise the flag and begin the next game;
        True if the game ended."""
        require(&self.fault, game.points <= self.points_to_win and game.rival_points <= self.points_to_win,
                b"a game went on after it was won")
        if game.points < self.points_to_win and game.rival_points < self.points_to_win:
            self.serve(i, game)
            return False
        self.rows.terminals[i] = 1
        self.metrics[i] = game.points - game.rival_points
        self.start(i)
        return True

    cdef void observe(self, int i) noexcept nogil:
        cdef float* observation = <float*> self.rows.observations + 8 * i
        cdef Game* game = &self.games[i]
        observation[0] = game.paddle * (1.0 / HEIGHT)
        observation[1] = game.rival * (1.0 / HEIGHT)
        observation[2] = game.x * (1.0 / WIDTH)
        observation[3] = game.y * (1.0 / HEIGHT)
        observation[4] = game.across * (1 / TOP_SPEED)
        observation[5] = game.down * (1 / TOP_SPEED)
        observation[6] = <float> game.points / self.points_to_win
        observation[7] = <float> game.rival_points / self.points_to_win

    def render(self, index=0):
        """RGB array of game `index`: the agent's paddle blue on the right, the rival's orange,
        points along the top."""
        self.require_index(index)
        cdef Game game = self.games[index]
        ink, scale = drawing.INK, 3
        image = drawing.canvas(HEIGHT * scale, WIDTH * scale)
        for row in range(0, HEIGHT, 8):
            drawing.rectangle(image, row * scale, (WIDTH / 2 - 0.5) * scale, 4 * scale, scale, ink["grid"])
        for plane, centre, colour in ((LEFT_PLANE - 3, game.rival, ink["rival"]),
                                      (RIGHT_PLANE, game.paddle, ink["agent"])):
            drawing.rectangle(image, (centre - PADDLE_HALF) * scale, plane * scale, 2 * PADDLE_HALF * scale,
                              3 * scale, colour)
        drawing.rectangle(image, (game.y - BALL_HALF) * scale, (game.x - BALL_HALF) * scale,
                          2 * BALL_HALF * scale, 2 * BALL_HALF * scale, ink["text"])
        for points, start, colour in ((game.rival_points, 8, ink["rival"]),
                                      (game.points, WIDTH / 2 + 8, ink["agent"])):
            for n in range(points):
                drawing.rectangle(image, 2 * scale, (start + 3 * n) * scale, 2 * scale, 2 * scale, colour)
        return image


cdef inline float clamp(float x, float low, float high) noexcept nogil:
    return low if x < low else (high if x > high else x)


cdef inline void strike(Game* game, float paddle, float plane) noexcept nogil:
    """Send the ball back, faster, at an angle that depends on where it struck the paddle."""
    cdef float away = -1 if game.across > 0 else 1
    cdef float offset = (game.y - paddle) / (PADDLE_HALF + BALL_HALF)
    game.speed = min(game.speed * FASTER, TOP_SPEED)
    game.across = away * game.speed
    game.down = offset * game.speed
    game.x = plane
