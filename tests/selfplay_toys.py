"""Small two-sided environments in Python, for the tests of opponents and arena."""

import numpy as np
from gymnasium.spaces import Box, Discrete

from puffer_min import PufferEnv

ROCK, PAPER, SCISSORS = range(3)


class RockPaperScissors(PufferEnv):
    """One step a game; the observation is random numbers, so that a policy may be told apart by what it saw."""

    def __init__(self, buffers=None, seed=0):
        self.single_observation_space, self.single_action_space = Box(0, 1, (2,), np.float32), Discrete(3)
        self.num_agents = 2
        super().__init__(buffers, seed)

    def reset(self, seed=None):
        self.begin_reset(seed)
        self.show()
        return self.observations, []

    def step(self, actions):
        self.begin_step(actions)
        won = [0, 1, -1][(int(self.actions[0]) - int(self.actions[1])) % 3]
        self.rewards[:] = won, -won
        self.terminals[:] = True
        self.show()
        return self.finish_step()

    def show(self):
        self.observations[:] = self.random.random((2, 2))


class Endless(RockPaperScissors):
    """A game that nobody ever wins."""

    def step(self, actions):
        self.begin_step(actions)
        return self.finish_step()


class Cut(RockPaperScissors):
    """Three steps, then the game is cut off; side 0 gets a point at each. With `decided_by_return` it wins."""

    truncates = True

    def step(self, actions):
        self.begin_step(actions)
        self.rewards[0] = 1
        self.truncations[:] = self.lengths[0] == 2
        self.final_observations[:] = self.observations
        return self.finish_step()


class CutAndCounted(Cut):
    """The same, decided by the returns."""

    decided_by_return = True


class Alone(RockPaperScissors):
    """One agent: no sides."""

    def __init__(self, buffers=None, seed=0):
        self.single_observation_space, self.single_action_space = Box(0, 1, (1,), np.float32), Discrete(3)
        self.num_agents = 1
        PufferEnv.__init__(self, buffers, seed)


class Always:
    """A player that always plays the same."""

    def __init__(self, action):
        self.action = action

    def act(self, observations):
        return np.full(len(observations), self.action, np.int32)
