"""snake in plain Python and NumPy: the oracle of `envs/snake.pyx` and its "before".

The rules, codes and settings are in `envs/snake.pyx`. With the same seed and index the trajectory is the
same.
"""

from collections import deque

import gymnasium as gym
import numpy as np

from envs.slow.stream import Stream

FOOD, CORPSE, EMPTY, WALL, HEAD, BODY = 6, 5, 0, -1, -2, -3          # BODY - action: body that leads that way
MOVES = [(-1, 0), (1, 0), (0, -1), (0, 1)]                  # up, down, left, right
OPPOSITE = [1, 0, 3, 2]


class Snake:
    """One life of one snake: `cells` are (row, column) pairs from its head to its tail."""

    def __init__(self, cell, heading):
        self.cells = deque([cell])
        self.heading = heading
        self.steps = 0
        self.hunger = 0                                     # steps since the last meal


class SnakeBoard:
    """One board with `num_snakes` snakes, each an agent. `index` is the environment's place in a batch.

    `step(actions)` takes `num_snakes` whole numbers and returns observations (num_snakes, 2 * vision + 1, 2 *
    vision + 1) int8, rewards float32, terminals bool, truncations bool and infos, one dict for each life that
    ended. A dead snake starts anew in the same step.
    """

    def __init__(self, num_snakes=16, width=160, height=90, num_food=256, vision=5, max_length=883,
                 starvation=256, leave_corpse=True,
                 reward_food=0.1, reward_corpse=0.1, reward_death=-1.0, index=0):
        self.num_agents = num_snakes
        self.width, self.height, self.num_food, self.vision = width, height, num_food, vision
        self.max_length, self.starvation, self.leave_corpse = max_length, starvation, leave_corpse
        self.reward_food, self.reward_corpse, self.reward_death = reward_food, reward_corpse, reward_death
        side = 2 * vision + 1
        self.single_observation_space = gym.spaces.Box(BODY - 3, FOOD, (side, side), np.int8)
        self.single_action_space = gym.spaces.Discrete(4)
        self.index = index
        self.stream = Stream(0, index)

    def reset(self, seed=None):
        if seed is not None:
            self.stream = Stream(seed, self.index)
        self.board = np.full((self.height, self.width), EMPTY, np.int8)
        for _ in range(self.num_food):
            self.board[self.free_cell()] = FOOD
        self.snakes = [self.spawn() for _ in range(self.num_agents)]
        return self.observe(), []

    def step(self, actions):
        rewards = np.zeros(self.num_agents, np.float32)
        terminals = np.zeros(self.num_agents, bool)
        infos = []
        for i, snake in enumerate(self.snakes):
            rewards[i], terminals[i] = self.move(snake, int(actions[i]))
            if terminals[i]:
                infos.append({"score": len(snake.cells), "episode_length": snake.steps})
                self.snakes[i] = self.spawn()
        return self.observe(), rewards, terminals, np.zeros(self.num_agents, bool), infos

    def move(self, snake, action):
        """Move one snake by one cell; returns (reward, dead)."""
        heading = action
        if len(snake.cells) > 1 and action == OPPOSITE[snake.heading]:
            heading = snake.heading
        row, column = snake.cells[0]
        target = (row + MOVES[heading][0], column + MOVES[heading][1])
        met = self.code(target)
        snake.steps += 1
        snake.hunger += 1
        eats = met in (FOOD, CORPSE)
        blocked = not eats and met != EMPTY and target != snake.cells[-1]
        if blocked or (not eats and snake.hunger >= self.starvation):
            self.bury(snake)
            return self.reward_death, True

        self.board[snake.cells[0]] = BODY - heading
        if not eats or len(snake.cells) >= self.max_length:
            self.board[snake.cells.pop()] = EMPTY
        snake.cells.appendleft(target)
        snake.heading = heading
        self.board[target] = HEAD
        if not eats:
            return 0.0, False
        snake.hunger = 0
        if met == CORPSE:
            return self.reward_corpse, False
        self.board[self.free_cell()] = FOOD
        return self.reward_food, False

    def bury(self, snake):
        """Take a dead snake off the board; every second cell stays as a corpse."""
        for i, cell in enumerate(snake.cells):
            self.board[cell] = CORPSE if self.leave_corpse and i % 2 == 1 else EMPTY

    def spawn(self):
        cell = self.free_cell()
        self.board[cell] = HEAD
        return Snake(cell, heading=0 if 2 * cell[0] >= self.height else 1)

    def code(self, cell):
        row, column = cell
        if 0 <= row < self.height and 0 <= column < self.width:
            return self.board[row, column]
        return WALL

    def free_cell(self):
        """A random empty cell; after 64 failures the next one that is empty or a corpse."""
        for _ in range(64):
            k = self.stream.below(self.width * self.height)
            cell = divmod(k, self.width)
            if self.board[cell] == EMPTY:
                return cell
        while self.board[cell] not in (EMPTY, CORPSE):
            k = (k + 1) % (self.width * self.height)
            cell = divmod(k, self.width)
        return cell

    def observe(self):
        """The window around each head, a row an agent."""
        padded = np.pad(self.board, self.vision, constant_values=WALL)
        size = 2 * self.vision + 1
        observations = np.zeros((self.num_agents, size, size), np.int8)
        for i, snake in enumerate(self.snakes):
            row, column = snake.cells[0]
            observations[i] = padded[row:row + size, column:column + size]
        return observations
