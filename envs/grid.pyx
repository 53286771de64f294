"""grid: MiniGrid's rooms and generated mazes, seen through MiniGrid's eyes.

Rules         One agent in a square of `size` x `size` cells with walls all round. It turns, walks, picks up
              and drops keys, balls and boxes (one at a time), and toggles doors (a locked one only with the
              key of its colour in hand) and boxes (which vanish). Given the same layout and actions,
              observations, rewards and ends are those of the `minigrid` package, bit for bit.
Tasks         empty         agent in one corner, goal in the other; as in MiniGrid,
                            walls do not block the view
              empty_random  the same from anywhere
              four_rooms    four rooms, four gaps, agent and goal anywhere
              door_key      a wall, a locked door in it, its key on the agent's side, the goal behind it
                            (the default)
              lava_gap      a strip of lava with one gap
              maze          a perfect maze (one path between any two cells),
                            agent and goal in any two of its rooms
Observation   (7, 7, 3) uint8, MiniGrid's `image`: [column, row] of the view, the agent in the middle of
              the last row looking up the columns; (type, colour, state). Types: 0 unseen, 1 empty,
              2 wall, 3 floor, 4 door, 5 key, 6 ball, 7 box, 8 goal, 9 lava. Colours: red, green, blue,
              purple, yellow, grey. States of a door: open, closed, locked. What the agent carries is
              shown in its own cell. MiniGrid's `direction` is not part of it (`get_layout` has it), nor
              its `mission`, a constant.
Actions       Discrete(7): 0 left, 1 right, 2 forward, 3 pickup, 4 drop, 5 toggle, 6 done (does nothing).
Rewards       1 - 0.9 * steps / max_steps at the goal, else 0.
Ends          Goal and lava are terminal, `max_steps` truncates; both flags are up when the goal is reached on
              the last step. `final_observations` holds the last view of every episode, terminated ones too.
Levels        All that a task draws comes from a level seed, so (task, size, seed) names a level. `num_levels`
              and `start_level` restrict the seeds to a range (0: unlimited). `set_level` replays a level,
              `set_layout` takes any layout, `get_layout` gives it.
Log           episode_return, episode_length, score (1 if the goal was reached), and in mazes regret:
              the best return that the level allows less the one reached.
Source        MiniGrid (Chevalier-Boisvert et al. 2023) for rules and tasks; Procgen (Cobbe et al. 2020) for
              the level settings. `grid.pxd` has the cells, what is seen of them, and the actions.
"""

import numpy as np
from gymnasium.spaces import Box, Discrete

from envs.core import gridworld
from envs.core.settings import LONGEST, choice, flag, refusal, whole

from libc.stdint cimport int32_t, int64_t, uint8_t, uint64_t
from libc.string cimport memcpy, memset

from envs.core.native cimport Native, require
from envs.core.random cimport Stream, draw, draw_below, stream_of

cdef enum:
    EMPTY_ROOM, EMPTY_RANDOM, FOUR_ROOMS, DOOR_KEY, LAVA_GAP, MAZE

cdef enum:
    BLOCK = 16                              # agents whose views are made together
    WALL_CELL = 0xD2                        # OPAQUE, colour, kind: Cython's debug build folds no constants
    LAVA_CELL = 0x09
    KEY_CELL = 0x45
    LOCKED_CELL = 0xCB

LAST_LEVEL = 2**62 - 1
TASKS = ("empty", "empty_random", "four_rooms", "door_key", "lava_gap", "maze")
SIZES = (8, 8, 19, 8, 7, 15)


def fill_tables():
    """The tables of `grid.pxd` and of the maze; runs once, at import."""
    for transparent in range(128):
        for lit in range(128):
            light = transparent & lit
            for _ in range(6):
                light |= transparent & (light << 1 | light >> 1)
            lights[transparent << 7 | lit] = (light | light << 1 | light >> 1) & 127
    triples = gridworld.unpack(np.arange(256)) @ np.array([1, 1 << 8, 1 << 16])
    for cell, pair in enumerate((triples | triples[:, None] << 24).ravel().tolist()):
        pairs[cell] = pair
    entered, carried, toggled, last = (sum(1 << kind for kind in kinds) for kinds in (
        (EMPTY, FLOOR, OPEN_DOOR, GOAL, LAVA), (KEY, BALL, BOX),
        (OPEN_DOOR, CLOSED_DOOR, LOCKED_DOOR, BOX), (GOAL, LAVA)))
    turns[:] = [-1, 1, 0, 0, 0, 0, 0]
    enters[:] = [0, 0, entered, 0, 0, 0, 0]
    happens[0][:] = [0, 0, last, carried, 0, toggled, 0]
    happens[1][:] = [0, 0, last, 0, 1 << EMPTY, toggled, 0]
    for bits in range(16):
        counts[bits] = bits.bit_count()
        members[bits][:] = ([d for d in range(4) if bits >> d & 1] + [0] * 4)[:4]


fill_tables()


cdef inline double reward_after(int steps, int max_steps) noexcept nogil:
    """MiniGrid's reward for reaching the goal after so many steps;
    0 if they are too many, or -1 for a goal out of reach."""
    return 1 - 0.9 * (steps / <double> max_steps) if 0 <= steps <= max_steps else 0


cdef class Grid(Native):
    """grid(num_envs, seed=0, task="door_key", size=None, max_steps=None, see_through_walls=None,
    num_levels=0, start_level=0): see the module's docstring. size, max_steps and see_through_walls are
    MiniGrid's for the task unless given; a maze is 15 x 15."""

    cdef Agent* agents
    cdef uint8_t* cells                     # num_envs levels of `level_bytes`: a copy by rows, one by columns
    cdef uint8_t* blank                     # the level before anything is drawn
    cdef Geometry geometry
    cdef Py_ssize_t level_bytes
    cdef int kind_of_task
    cdef uint64_t always_seen               # bitboard of the whole view where walls do not block it, else 0
    cdef readonly object task
    cdef readonly int size, max_steps, num_levels
    cdef readonly int64_t start_level
    cdef readonly bint see_through_walls

    keys = {"ArrowLeft": LEFT, "ArrowRight": RIGHT, "ArrowUp": FORWARD, "p": PICKUP, "d": DROP, " ": TOGGLE,
            "Enter": DONE}
    idle_action = DONE
    action_names = ("left", "right", "forward", "pickup", "drop", "toggle", "done")

    def __init__(self, num_envs=1, *, seed=0, task="door_key", size=None, max_steps=None,
                 see_through_walls=None, num_levels=0, start_level=0, **common):
        cdef int i
        self.task = choice("task", task, TASKS)
        self.kind_of_task = which = TASKS.index(self.task)
        self.size = SIZES[which] if size is None else whole("size", size, 5, LARGEST)
        if which in (FOUR_ROOMS, MAZE) and self.size % 2 == 0:
            raise refusal("size", size, f"an odd number from 5 to {LARGEST} for {self.task}")
        usual = 100 if which == FOUR_ROOMS else (10 if which == DOOR_KEY else 4) * self.size**2
        self.max_steps = usual if max_steps is None else whole("max_steps", max_steps, 1, LONGEST)
        self.num_levels = whole("num_levels", num_levels, 0, LONGEST)
        self.start_level = whole("start_level", start_level, 0, LAST_LEVEL)
        self.see_through_walls = (which <= EMPTY_RANDOM if see_through_walls is None
                                  else flag("see_through_walls", see_through_walls))
        self.always_seen = 0x007F7F7F7F7F7F7F if self.see_through_walls else 0
        most = np.broadcast_to(np.array(gridworld.MOST, np.uint8), (7, 7, 3))
        self.prepare(num_envs, 1, Box(np.zeros_like(most), most, dtype=np.uint8), Discrete(7), seed, common,
                     metric_names=("score", "regret") if which == MAZE else ("score",), truncates=True)
        self.measure()
        self.agents = <Agent*> self.claim(self.num_envs * sizeof(Agent))
        self.cells = <uint8_t*> self.claim(self.num_envs * self.level_bytes)
        self.blank = <uint8_t*> self.claim(self.level_bytes)
        self.prepare_blank()
        for i in range(self.num_envs):  # a level to stand in before the first reset; no draw is spent on it
            self.start(i, self.start_level)

    def measure(self):
        """The distances within a level of this size."""
        cdef Geometry* g = &self.geometry
        stride = self.size + DEPTH          # the border after a line is the border before the next
        g.size, g.stride, g.plane = self.size, stride, stride * (self.size + 2 * SIDE) + DEPTH
        g.forward[0][:] = [1, stride, -1, -stride]
        g.forward[1][:] = [stride, 1, -stride, -1]
        g.sideways[:] = [stride, -stride, -stride, stride]
        g.corner[:] = [(-1 if direction < 2 else -6) - 3 * g.sideways[direction] for direction in range(4)]
        self.level_bytes = (2 * g.plane + 63) // 64 * 64

    def prepare_blank(self):
        """Walls and what stands in every level of the task, to be copied at the start of an episode."""
        cdef const Geometry* g = &self.geometry
        cdef int x, y, last = self.size - 2, middle = self.size // 2
        memset(self.blank, WALL_CELL, self.level_bytes)
        for x in range(1, last + 1):
            for y in range(1, last + 1):
                if self.kind_of_task == MAZE:
                    put(self.blank, g, x, y, UNSEEN if x & y & 1 else WALL_CELL)  # UNSEEN: a room not dug yet
                elif self.kind_of_task != FOUR_ROOMS or (x != middle and y != middle):
                    put(self.blank, g, x, y, EMPTY)
        if self.kind_of_task not in (FOUR_ROOMS, MAZE):
            put(self.blank, g, last, last, GOAL_CELL)

    # ------------------------------------------------------------------ levels

    cdef inline uint8_t* level(self, int i) noexcept nogil:
        return self.cells + i * self.level_bytes

    cdef int64_t next_level(self, int i) noexcept nogil:
        if self.num_levels:
            return self.start_level + draw_below(&self.streams[i], self.num_levels)
        return self.start_level + <int64_t> (draw(&self.streams[i]) >> 2)

    cdef void start(self, int i, int64_t seed) noexcept nogil:
        """A new episode of environment i on the level of that seed."""
        cdef Stream stream = stream_of(<uint64_t> seed, 0)
        cdef const Geometry* geometry = &self.geometry
        cdef Agent* agent = &self.agents[i]
        cdef uint8_t* cells = self.level(i)
        cdef int size = self.size, middle = size // 2, task = self.kind_of_task, x, y
        memcpy(cells, self.blank, self.level_bytes)
        agent.level, agent.max_steps, agent.shortest, agent.carrying = seed, self.max_steps, -1, EMPTY
        stand(agent, geometry, 1, 1, 0)
        if task == EMPTY_RANDOM:
            put_anywhere(cells, geometry, agent, EMPTY, size - 2, &stream)
        elif task == FOUR_ROOMS:
            put(cells, geometry, middle, 1 + draw_below(&stream, middle - 1), EMPTY)
            put(cells, geometry, 1 + draw_below(&stream, middle - 1), middle, EMPTY)
            put(cells, geometry, middle + 1 + draw_below(&stream, middle - 1), middle, EMPTY)
            put(cells, geometry, middle, middle + 1 + draw_below(&stream, middle - 1), EMPTY)
            put_anywhere(cells, geometry, agent, EMPTY, size - 2, &stream)
            put_anywhere(cells, geometry, agent, GOAL_CELL, size - 2, &stream)
        elif task == DOOR_KEY:
            x = 2 + draw_below(&stream, size - 4)
            for y in range(1, size - 1):
                put(cells, geometry, x, y, WALL_CELL)
            put_anywhere(cells, geometry, agent, EMPTY, x - 1, &stream)
            put(cells, geometry, x, 1 + draw_below(&stream, size - 3), LOCKED_CELL)
            put_anywhere(cells, geometry, agent, KEY_CELL, x - 1, &stream)
        elif task == LAVA_GAP:
            x = 2 + draw_below(&stream, size - 4)
            for y in range(1, size - 1):
                put(cells, geometry, x, y, LAVA_CELL)
            put(cells, geometry, x, 1 + draw_below(&stream, size - 2), EMPTY)
        elif task == MAZE:
            dig(cells, geometry, agent, &stream)

    # ------------------------------------------------------------------ the batch

    cdef void reset_range(self, int first, int last) noexcept nogil:
        cdef int i
        for i in range(first, last):
            self.start(i, self.next_level(i))
            self.observe(i, i + 1, self.rows.observations)

    cdef void step_range(self, int first, int last) noexcept nogil:
        cdef int32_t* actions = <int32_t*> self.rows.actions
        cdef int i, outcome, end
        while first < last:
            end = min(first + BLOCK, last)
            for i in range(first, end):
                outcome = act(self.level(i), &self.geometry, &self.agents[i], actions[i])
                if outcome >= WON or self.lengths[i] + 1 >= self.agents[i].max_steps:
                    self.finish(i, outcome)
            self.observe(first, end, self.rows.observations)
            first = end

    cdef inline void observe(self, int first, int last, void* observations) noexcept nogil:
        """Write the views of environments [first, last), at most BLOCK. Three passes, so that the processor
        is at work on several agents at a time: each pass is a chain of steps that wait for each other."""
        cdef uint64_t columns[7 * BLOCK]
        cdef uint64_t seen[BLOCK]
        cdef int n = last - first, k, cell
        for k in range(n):
            cell = self.level(first + k)[self.agents[first + k].at[0]]
            require(&self.fault, enters[FORWARD] >> (cell & KIND) & 1, b"the agent is where it cannot stand")
            seen[k] = look(self.level(first + k), &self.geometry, &self.agents[first + k], columns + 7 * k)
        for k in range(n):
            seen[k] = self.always_seen if self.always_seen else light(seen[k])
        for k in range(n):
            show(columns + 7 * k, seen[k], <uint8_t*> observations + <Py_ssize_t> 147 * (first + k))

    cdef void finish(self, int i, int outcome) noexcept nogil:
        """Raise the flags of environment i and start its next episode."""
        cdef int steps = self.lengths[i] + 1, limit = self.agents[i].max_steps
        cdef double reward = reward_after(steps, limit) if outcome == WON else 0
        cdef float* metrics = self.metrics + i * self.num_metrics
        self.observe(i, i + 1, self.rows.final_observations)
        self.rows.rewards[i] = <float> reward
        self.rows.terminals[i] = outcome >= WON
        self.rows.truncations[i] = steps >= limit
        metrics[0] = outcome == WON
        if self.num_metrics == 2:
            metrics[1] = <float> (reward_after(self.agents[i].shortest, limit) - reward)
        self.start(i, self.next_level(i))

    # ------------------------------------------------------------------ levels and layouts from outside

    @property
    def level_seeds(self):
        """(num_envs,) int64: the seed of the level that each environment is in,
        -1 for a layout given by `set_layout`."""
        return np.array([self.agents[i].level for i in range(self.num_envs)], np.int64)

    def set_level(self, index, level_seed):
        """Start a new episode of environment `index` on the level of that seed,
        and write its first observation."""
        cdef int i = self.require_index(index)
        self.start(i, whole("level_seed", level_seed, 0, 2 * LAST_LEVEL + 1))
        self.begin_episode(i)

    def set_layout(self, index, grid, agent_position, direction, carrying=None, max_steps=None):
        """Start a new episode of environment `index` on a layout of your own,
        and write its first observation.

        grid            (width, height, 3) of (type, colour, state) by [x, y], as MiniGrid's `Grid.encode()`
                        gives it, with walls all round. One smaller than `size` is filled up with walls. What
                        is inside a box is not part of an encoding.
        agent_position  (x, y) of a cell on which the agent may stand.
        direction       0 right, 1 down, 2 left, 3 up.
        carrying        None, or (type, colour, 0) of a key, ball or box.
        max_steps       None for the environment's own.

        Raises ValueError for what cannot be; the running episode is then untouched.
        """
        cdef int i = self.require_index(index)
        cdef Agent* agent = &self.agents[i]
        cdef int x, y
        limit = self.max_steps if max_steps is None else max_steps
        layout = gridworld.Layout(grid, agent_position, direction, carrying, limit)
        cells, held = gridworld.pack_layout(layout, self.size)
        for x in range(self.size):
            for y in range(self.size):
                put(self.level(i), &self.geometry, x, y, cells[x, y])
        stand(agent, &self.geometry, agent_position[0], agent_position[1], direction)
        agent.level, agent.max_steps, agent.carrying, agent.shortest = -1, limit, held, -1
        self.begin_episode(i)
        if self.kind_of_task == MAZE:
            shortest = self.shortest_path_length(i)
            agent.shortest = -1 if shortest is None else shortest

    def get_layout(self, index=0):
        """The present state of environment `index` as a `Layout`
        (grid, agent_position, direction, carrying, max_steps).

        `set_layout(i, *get_layout(j))` starts an episode from it.
        """
        cdef int i = self.require_index(index)
        cdef Agent* agent = &self.agents[i]
        cdef int x, y
        cells = [[self.level(i)[place(&self.geometry, x, y)] for y in range(self.size)]
                 for x in range(self.size)]
        row, column = divmod(agent.at[0] - DEPTH, self.geometry.stride)
        carrying = None if agent.carrying == EMPTY else tuple(gridworld.unpack(agent.carrying).tolist())
        return gridworld.Layout(gridworld.unpack(cells), (column, row - SIDE), agent.direction,
                                carrying, agent.max_steps)

    def visible_cells(self, index=0):
        """(size, size) bool by [x, y]: the cells that the agent of environment `index` sees."""
        cdef uint64_t columns[7]
        cdef int i = self.require_index(index)
        cdef uint64_t opaque = look(self.level(i), &self.geometry, &self.agents[i], columns)
        return gridworld.lit_cells(self.get_layout(i),
                                   self.always_seen if self.always_seen else light(opaque))

    def shortest_path_length(self, index=0):
        """Fewest actions from the present state of environment `index` to the goal, None if there is no way.

        A breadth-first search with the environment's own rules over all that can change:
        place, direction, hands and objects.
        """
        cdef int i = self.require_index(index)
        cdef Agent agent = self.agents[i]
        cdef int action, outcome, steps = 0
        cdef bytearray memory = bytearray(self.level_bytes)
        cdef uint8_t* cells = memory
        world = bytes(self.level(i)[:self.level_bytes])
        worlds = {world: world}             # one object for each: equal states share it and compare fast
        known = {(world, agent.at[0], agent.at[1], agent.direction, agent.carrying)}
        frontier = list(known)
        while frontier:
            steps, reached = steps + 1, []
            for state in frontier:
                for action in range(DONE):
                    memory[:] = state[0]
                    agent.at[0], agent.at[1], agent.direction, agent.carrying = state[1:]
                    outcome = act(cells, &self.geometry, &agent, action)
                    if outcome == WON:
                        return steps
                    world = (state[0] if outcome == NOTHING
                             else worlds.setdefault(bytes(memory), bytes(memory)))
                    after = (world, agent.at[0], agent.at[1], agent.direction, agent.carrying)
                    if outcome != BURNT and after not in known:
                        known.add(after)
                        reached.append(after)
            frontier = reached
        return None

    def best_return(self, index=0):
        """The largest return that the running episode of environment `index` can still reach;
        regret is what is missed of it."""
        cdef int i = self.require_index(index)
        shortest = self.shortest_path_length(i)
        return 0.0 if shortest is None else reward_after(self.lengths[i] + shortest, self.agents[i].max_steps)

    def render(self, index=0):
        """RGB array of the whole level; what the agent sees is lit."""
        return gridworld.draw(self.get_layout(index), self.visible_cells(index))

    def begin_episode(self, int index):
        self.lengths[index] = 0
        self.returns[index] = 0
        self.observe(index, index + 1, self.rows.observations)
