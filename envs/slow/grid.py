"""grid in plain Python and NumPy, as a Gymnasium environment: the oracle of `envs/grid.pyx`, its "before".

The rules, tasks and codes are in `envs/grid.pyx`. With the same seed and index the trajectory is the same, as
long as `reset()` is called where an episode ends.
"""

import gymnasium as gym
import numpy as np

from envs.slow.stream import Stream

UNSEEN, EMPTY, WALL, FLOOR, DOOR, KEY, BALL, BOX, GOAL, LAVA = range(10)
RED, GREEN, BLUE, PURPLE, YELLOW, GREY = range(6)
OPEN, CLOSED, LOCKED = range(3)
LEFT, RIGHT, FORWARD, PICKUP, DROP, TOGGLE, DONE = range(7)
STEPS = [(1, 0), (0, 1), (-1, 0), (0, -1)]                  # direction -> step in x, y: right, down, left, up
NOTHING = (EMPTY, 0, 0)                                     # objects are (type, colour, state)
THE_WALL = (WALL, GREY, 0)
VIEW = 7
SIZES = {"empty": 8, "empty_random": 8, "four_rooms": 19, "door_key": 8, "lava_gap": 7, "maze": 15}


class Grid(gym.Env):
    """The levels of a task, drawn from the stream of (seed, index); `index` is the place in a batch.

    Observation (7, 7, 3) uint8, Discrete(7) actions, reward 1 - 0.9 * steps / max_steps at the goal; goal and
    lava terminate, `max_steps` truncates.
    """

    def __init__(self, task="door_key", size=None, max_steps=None, see_through_walls=None, num_levels=0,
                 start_level=0, index=0):
        self.task, self.size = task, size or SIZES[task]
        factor = 10 if task == "door_key" else 4
        self.max_steps = max_steps or (100 if task == "four_rooms" else factor * self.size**2)
        self.see_through_walls = task.startswith("empty") if see_through_walls is None else see_through_walls
        self.num_levels, self.start_level = num_levels, start_level
        self.index = index
        self.observation_space = gym.spaces.Box(0, 9, (VIEW, VIEW, 3), np.uint8)
        self.action_space = gym.spaces.Discrete(7)
        self.stream = Stream(0, index)

    def reset(self, *, seed=None, options=None):
        if seed is not None:
            self.stream = Stream(seed, self.index)
        if self.num_levels:
            self.level_seed = self.start_level + self.stream.below(self.num_levels)
        else:
            self.level_seed = self.start_level + (self.stream.draw() >> 2)
        self.random = Stream(self.level_seed)
        self.grid = {(x, y): THE_WALL for x in range(self.size) for y in range(self.size)}
        self.position, self.direction, self.carrying, self.steps = (1, 1), 0, None, 0
        getattr(self, "build_" + self.task)()
        return self.observe(), {}

    # ------------------------------------------------------------------ levels

    def clear_inside(self):
        for x in range(1, self.size - 1):
            for y in range(1, self.size - 1):
                self.grid[x, y] = NOTHING

    def build_empty(self):
        self.clear_inside()
        self.grid[self.size - 2, self.size - 2] = (GOAL, GREEN, 0)

    def build_empty_random(self):
        self.build_empty()
        self.place_agent()

    def build_four_rooms(self):
        self.clear_inside()
        middle = self.size // 2
        for k in range(self.size):
            self.grid[middle, k] = self.grid[k, middle] = THE_WALL
        self.grid[middle, 1 + self.random.below(middle - 1)] = NOTHING
        self.grid[1 + self.random.below(middle - 1), middle] = NOTHING
        self.grid[middle + 1 + self.random.below(middle - 1), middle] = NOTHING
        self.grid[middle, middle + 1 + self.random.below(middle - 1)] = NOTHING
        self.place_agent()
        self.grid[self.random_empty_cell()] = (GOAL, GREEN, 0)

    def build_door_key(self):
        self.build_empty()
        wall = 2 + self.random.below(self.size - 4)
        for y in range(1, self.size - 1):
            self.grid[wall, y] = THE_WALL
        self.place_agent(columns=wall - 1)
        self.grid[wall, 1 + self.random.below(self.size - 3)] = (DOOR, YELLOW, LOCKED)
        self.grid[self.random_empty_cell(wall - 1)] = (KEY, YELLOW, 0)

    def build_lava_gap(self):
        self.build_empty()
        strip = 2 + self.random.below(self.size - 4)
        for y in range(1, self.size - 1):
            self.grid[strip, y] = (LAVA, RED, 0)
        self.grid[strip, 1 + self.random.below(self.size - 2)] = NOTHING

    def build_maze(self):
        """Depth-first search: dig on to a random room not dug yet, go back where there is none."""
        rooms = self.size // 2
        first, goal = self.random.below(rooms**2), self.random.below(rooms**2 - 1)
        goal += goal >= first
        self.position = (1 + 2 * (first % rooms), 1 + 2 * (first // rooms))
        self.direction = self.random.below(4)
        self.grid[self.position] = NOTHING
        path = [self.position]
        while path:
            x, y = path[-1]
            sides = [(dx, dy) for dx, dy in STEPS if 0 < x + 2 * dx < self.size and 0 < y + 2 * dy < self.size
                     and self.grid[x + 2 * dx, y + 2 * dy] == THE_WALL]
            if not sides:
                path.pop()
                continue
            dx, dy = sides[self.random.below(len(sides))]
            self.grid[x + dx, y + dy] = self.grid[x + 2 * dx, y + 2 * dy] = NOTHING
            path.append((x + 2 * dx, y + 2 * dy))
        self.grid[1 + 2 * (goal % rooms), 1 + 2 * (goal // rooms)] = (GOAL, GREEN, 0)

    def random_empty_cell(self, columns=None):
        while True:
            x = 1 + self.random.below(columns or self.size - 2)
            y = 1 + self.random.below(self.size - 2)
            if self.grid[x, y] == NOTHING and (x, y) != self.position:
                return x, y

    def place_agent(self, columns=None):
        self.position = None
        self.position = self.random_empty_cell(columns)
        self.direction = self.random.below(4)

    # ------------------------------------------------------------------ actions

    def step(self, action):
        self.steps += 1
        reward, terminated = 0.0, False
        ahead = self.ahead()
        kind, colour, state = self.grid[ahead]
        if action == LEFT:
            self.direction = (self.direction - 1) % 4
        elif action == RIGHT:
            self.direction = (self.direction + 1) % 4
        elif action == FORWARD:
            if kind in (EMPTY, FLOOR, GOAL, LAVA) or (kind == DOOR and state == OPEN):
                self.position = ahead
            terminated = kind in (GOAL, LAVA)
            if kind == GOAL:
                reward = 1 - 0.9 * (self.steps / self.max_steps)
        elif action == PICKUP:
            if kind in (KEY, BALL, BOX) and self.carrying is None:
                self.carrying = self.grid[ahead]
                self.grid[ahead] = NOTHING
        elif action == DROP:
            if kind == EMPTY and self.carrying is not None:
                self.grid[ahead] = self.carrying
                self.carrying = None
        elif action == TOGGLE:
            if kind == BOX:
                self.grid[ahead] = NOTHING
            elif kind == DOOR and state == OPEN:
                self.grid[ahead] = (DOOR, colour, CLOSED)
            elif kind == DOOR and (state == CLOSED or self.carrying == (KEY, colour, 0)):
                self.grid[ahead] = (DOOR, colour, OPEN)
        return self.observe(), reward, terminated, self.steps >= self.max_steps, {}

    def ahead(self):
        (x, y), (dx, dy) = self.position, STEPS[self.direction]
        return x + dx, y + dy

    # ------------------------------------------------------------------ sight

    def observe(self):
        """The view by [column, row]: the agent at [3, 6] looks towards row 0."""
        (x, y), (dx, dy) = self.position, STEPS[self.direction]
        view = np.zeros((VIEW, VIEW, 3), np.uint8)
        for i in range(VIEW):
            for j in range(VIEW):
                forward, right = VIEW - 1 - j, i - VIEW // 2
                cell = x + dx * forward - dy * right, y + dy * forward + dx * right
                view[i, j] = self.grid.get(cell, THE_WALL)
        if not self.see_through_walls:
            view[~self.lit_cells(view)] = (UNSEEN, 0, 0)
        view[VIEW // 2, VIEW - 1] = NOTHING if self.carrying is None else self.carrying
        return view

    def lit_cells(self, view):
        """Light goes from the agent along its row, right and left, and from each cell into the next row."""
        lit = np.zeros((VIEW, VIEW), bool)
        lit[VIEW // 2, VIEW - 1] = True
        for j in reversed(range(VIEW)):
            for columns, side in ((range(VIEW - 1), 1), (range(VIEW - 1, 0, -1), -1)):
                for i in columns:
                    kind, _, state = view[i, j]
                    if lit[i, j] and kind != WALL and not (kind == DOOR and state != OPEN):
                        lit[i + side, j] = True
                        if j > 0:
                            lit[i, j - 1] = lit[i + side, j - 1] = True
        return lit
