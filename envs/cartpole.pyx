"""cartpole: balance a pole on a cart by pushing it left or right. The control experiment:
a trainer that fails here is broken.

Rules         The physics of Gymnasium's CartPole-v1 (Barto, Sutton and Anderson 1983; Florian 2005) in double
              precision, every operation in the same order, so that states, observations, rewards and ends are
              equal to the last bit. One step is 0.02 s of Euler's method under a force of 10 N to the left or
              right. The episode terminates when the cart is further than 2.4 m from the centre or the pole
              leans more than 12 degrees, and is truncated at step `max_episode_steps` (500; both flags are up
              if the two fall together). It starts with all four numbers uniform in [-0.05, 0.05). Every step
              gives 1, the last included.
Observation   4 float32, unscaled as in Gymnasium: 0 position / m, 1 velocity / (m/s), 2 angle / rad
              (0 upright, positive to the right), 3 angular velocity / (rad/s). Bounds: 4.8, inf, 0.419, inf.
Actions       Discrete(2): 0 push left, 1 push right. With `continuous=True` Box(-1, 1, (1,)):
              the force is 10 N times the action, clipped to [-1, 1] if it lies outside.
Log           episode_return, episode_length and score, all three the steps survived (500 is solved).
Source        gymnasium/envs/classic_control/cartpole.py.

Sine and cosine are the C library's; NumPy's float64 `sin` and `cos` give the same bits (a test compares
them), which is what makes equality with Gymnasium possible. They take two thirds of the time. The arithmetic
beside them is vectorised, several carts to an instruction, because each quantity is an array of its own and
not a field of a struct; cart by cart it would take twice as long in all.
"""

import math

import numpy as np
from gymnasium.spaces import Box, Discrete

from envs.core import drawing
from envs.core.settings import LONGEST, flag, whole

from libc.math cimport cos, fabs, sin
from libc.stdint cimport int32_t, uint8_t
from libc.string cimport memcpy

from envs.core.native cimport Native
from envs.core.random cimport draw_between

cdef enum:
    LEFT, RIGHT

cdef enum:
    BLOCK = 64                  # carts that take the passes of a step together: they stay in the first cache

cdef double GRAVITY = 9.8, POLE_MASS = 0.1, TOTAL_MASS = POLE_MASS + 1.0
cdef double HALF_LENGTH = 0.5, POLE_MOMENT = POLE_MASS * HALF_LENGTH
cdef double FORCE = 10.0, TIME_STEP = 0.02
cdef double POSITION_LIMIT = 2.4, ANGLE_LIMIT = 12 * 2 * math.pi / 360
cdef double START = 0.05


cdef class Cartpole(Native):
    """cartpole(num_envs, seed=0, continuous=False, max_episode_steps=500): see the module's docstring."""

    cdef double* x              # num_envs each: metres from the centre
    cdef double* x_dot          # m/s
    cdef double* theta          # radians from upright
    cdef double* theta_dot      # rad/s
    cdef readonly bint continuous
    cdef readonly int max_episode_steps

    def __init__(self, num_envs=1, *, seed=0, continuous=False, max_episode_steps=500, **common):
        self.continuous = flag("continuous", continuous)
        self.max_episode_steps = whole("max_episode_steps", max_episode_steps, 1, LONGEST)
        bounds = np.array([2 * POSITION_LIMIT, np.inf, 2 * ANGLE_LIMIT, np.inf], np.float32)
        actions = Box(-1, 1, (1,), np.float32) if self.continuous else Discrete(2)
        self.prepare(num_envs, 1, Box(-bounds, bounds, dtype=np.float32), actions, seed, common, (), True)
        self.x = <double*> self.claim(self.num_envs * sizeof(double))
        self.x_dot = <double*> self.claim(self.num_envs * sizeof(double))
        self.theta = <double*> self.claim(self.num_envs * sizeof(double))
        self.theta_dot = <double*> self.claim(self.num_envs * sizeof(double))

    @property
    def keys(self):
        """Browser key name -> action."""
        return ({"ArrowLeft": -1.0, "ArrowRight": 1.0} if self.continuous
                else {"ArrowLeft": LEFT, "ArrowRight": RIGHT})

    @property
    def idle_action(self):
        """What a person who presses nothing does: no force where there is such an action,
        else a push to the left."""
        return 0.0 if self.continuous else LEFT

    @property
    def action_names(self):
        """Names of the discrete actions, in order."""
        return () if self.continuous else ("left", "right")

    cdef void reset_range(self, int first, int last) noexcept nogil:
        cdef int i
        for i in range(first, last):
            self.start(i)

    cdef void start(self, int i) noexcept nogil:
        """A new episode: all four numbers near zero."""
        self.x[i] = draw_between(&self.streams[i], -START, START)
        self.x_dot[i] = draw_between(&self.streams[i], -START, START)
        self.theta[i] = draw_between(&self.streams[i], -START, START)
        self.theta_dot[i] = draw_between(&self.streams[i], -START, START)
        self.observe(i, i + 1)

    cdef void step_range(self, int first, int last) noexcept nogil:
        cdef int end
        while first < last:
            end = min(first + BLOCK, last)
            self.move(first, end)
            self.observe(first, end)
            self.judge(first, end)
            first = end

    cdef void move(self, int first, int last) noexcept nogil:
        """One step of Euler's method for carts [first, last), at most BLOCK.
        The order of operations is Gymnasium's: keep it."""
        cdef double force[BLOCK]
        cdef double sine[BLOCK]
        cdef double cosine[BLOCK]
        cdef double push, acceleration, angular_acceleration
        cdef int32_t* whole = <int32_t*> self.rows.actions + first
        cdef float* real = <float*> self.rows.actions + first
        cdef double* x = self.x + first
        cdef double* x_dot = self.x_dot + first
        cdef double* theta = self.theta + first
        cdef double* theta_dot = self.theta_dot + first
        cdef int i, n = last - first
        if self.continuous:
            for i in range(n):
                force[i] = FORCE * min(max(real[i], -1.0), 1.0)
        else:
            for i in range(n):
                force[i] = FORCE if whole[i] == RIGHT else -FORCE
        for i in range(n):
            sine[i] = sin(theta[i])
            cosine[i] = cos(theta[i])
        for i in range(n):
            push = (force[i] + POLE_MOMENT * (theta_dot[i] * theta_dot[i]) * sine[i]) / TOTAL_MASS
            angular_acceleration = (GRAVITY * sine[i] - cosine[i] * push) / (
                HALF_LENGTH * (4.0 / 3.0 - POLE_MASS * (cosine[i] * cosine[i]) / TOTAL_MASS))
            acceleration = push - POLE_MOMENT * angular_acceleration * cosine[i] / TOTAL_MASS
            x[i] += TIME_STEP * x_dot[i]
            x_dot[i] += TIME_STEP * acceleration
            theta[i] += TIME_STEP * theta_dot[i]
            theta_dot[i] += TIME_STEP * angular_acceleration

    cdef void observe(self, int first, int last) noexcept nogil:
        cdef float* observation = <float*> self.rows.observations
        cdef int i
        for i in range(first, last):
            observation[4 * i] = self.x[i]
            observation[4 * i + 1] = self.x_dot[i]
            observation[4 * i + 2] = self.theta[i]
            observation[4 * i + 3] = self.theta_dot[i]

    cdef void judge(self, int first, int last) noexcept nogil:
        """Rewards and flags of carts [first, last); where an episode ended its last observation is kept
        and the next one starts."""
        cdef float* rewards = self.rows.rewards
        cdef uint8_t* terminals = self.rows.terminals
        cdef uint8_t* truncations = self.rows.truncations
        cdef int i
        for i in range(first, last):
            rewards[i] = 1
            terminals[i] = fabs(self.x[i]) > POSITION_LIMIT or fabs(self.theta[i]) > ANGLE_LIMIT
            truncations[i] = self.lengths[i] + 1 >= self.max_episode_steps
        for i in range(first, last):
            if terminals[i] | truncations[i]:
                memcpy(<float*> self.rows.final_observations + 4 * i, <float*> self.rows.observations + 4 * i,
                       4 * sizeof(float))
                self.start(i)

    def physics_state(self, index=0):
        """(x, x_dot, theta, theta_dot) of cart `index` in double precision: metres, m/s, radians, rad/s."""
        cdef int i = self.require_index(index)
        return self.x[i], self.x_dot[i], self.theta[i], self.theta_dot[i]

    def set_physics_state(self, index, state):
        """Put cart `index` into `state`, four finite numbers as `physics_state` gives;
        its episode goes on with the length it has."""
        cdef int i = self.require_index(index)
        numbers = np.asarray(state, np.float64)
        if numbers.shape != (4,) or not np.isfinite(numbers).all():
            raise ValueError(f"state: given {state!r}, expected four finite numbers "
                             "(x, x_dot, theta, theta_dot)")
        self.x[i], self.x_dot[i], self.theta[i], self.theta_dot[i] = numbers
        self.observe(i, i + 1)

    def render(self, index=0):
        """RGB array (240, 480, 3) uint8 of cart `index`: the track with its ends in red, cart, pole,
        and the last push as an orange bar."""
        self.require_index(index)
        image = drawing.canvas(240, 480)
        metre, ground, ink = 86, 200, drawing.INK
        column = 240 + metre * self.x[index]
        top = ground - 34                                           # of the cart, where the pole is hinged
        drawing.rectangle(image, ground, 0, 2, 480, ink["muted"])
        for end in (-POSITION_LIMIT, POSITION_LIMIT):
            drawing.rectangle(image, ground - 12, 240 + metre * end - 2, 26, 4, ink["danger"])
        drawing.rectangle(image, top, column - 30, 26, 60, ink["agent"])
        for wheel in (column - 18, column + 18):
            drawing.disc(image, ground - 6, wheel, 6, ink["text"])
        if self.lengths[index] > 0:
            strength = float(self.actions[index, 0]) if self.continuous else 2.0 * self.actions[index] - 1
            length = 30 * min(max(strength, -1.0), 1.0)
            drawing.rectangle(image, top + 10, column + min(0, length) + (30 if length > 0 else -30),
                              6, abs(length), ink["rival"])
        tip = column + metre * math.sin(self.theta[index])
        drawing.line(image, top, column, top - metre * math.cos(self.theta[index]), tip, ink["food"],
                     thickness=9)
        drawing.disc(image, top, column, 4, ink["ground"])
        return image
