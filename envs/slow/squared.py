"""squared in plain Python, as a Gymnasium environment: the oracle of `envs/squared.pyx`, its "before".

The rules are in `envs/squared.pyx`. With the same seed and index the trajectory is the same, as long as
`reset()` is called where an episode ends.
"""

import gymnasium as gym
import numpy as np

from envs.slow.stream import Stream

EMPTY, AGENT, TARGET = 0, 1, 2
MOVES = [(0, 0), (-1, 0), (1, 0), (0, -1), (0, 1)]          # stay, up, down, left, right


class Squared(gym.Env):
    """Walk from the centre of a `size` x `size` square to the target. `index` is the place in a batch.

    Observation size * size uint8 (0 empty, 1 agent, 2 target), Discrete(5) actions, reward 1 at the target
    and -1 for leaving the square or taking 3 * size steps.
    """

    def __init__(self, size=11, index=0):
        self.size = size
        self.index = index
        self.observation_space = gym.spaces.Box(0, 2, (size * size,), np.uint8)
        self.action_space = gym.spaces.Discrete(5)
        self.stream = Stream(0, index)

    def reset(self, *, seed=None, options=None):
        if seed is not None:
            self.stream = Stream(seed, self.index)
        centre = self.size // 2
        cells = [(row, column) for row in range(self.size) for column in range(self.size)]
        others = [cell for cell in cells if cell != (centre, centre)]
        self.agent = (centre, centre)
        self.target = others[self.stream.below(len(others))]
        self.steps = 0
        return self.observe(), {}

    def step(self, action):
        row, column = MOVES[action]
        self.agent = (self.agent[0] + row, self.agent[1] + column)
        self.steps += 1
        inside = 0 <= self.agent[0] < self.size and 0 <= self.agent[1] < self.size
        if self.agent == self.target:
            reward, terminated = 1.0, True
        elif not inside or self.steps >= 3 * self.size:
            reward, terminated = -1.0, True
        else:
            reward, terminated = 0.0, False
        return self.observe(), reward, terminated, False, {}

    def observe(self):
        cells = np.zeros((self.size, self.size), np.uint8)
        cells[self.target] = TARGET
        if 0 <= self.agent[0] < self.size and 0 <= self.agent[1] < self.size:
            cells[self.agent] = AGENT
        return cells.ravel()
