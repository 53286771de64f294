"""crafter: survive in an open world, gather, build and fight; 22 achievements from a sapling to a diamond.

Rules         The game of the `crafter` package 1.8 (Hafner 2021). Given a seed and actions, pictures,
              rewards, ends, inventory and achievements are the package's, to the last bit; one thing it
              leaves to chance is fixed (see Source). A player in a world of 64 x 64 cells grows hungry,
              thirsty and tired, is hunted by zombies in the grass and skeletons in tunnels, and needs wood
              for a table, a table for tools, tools for stone, coal and iron, and a furnace for the iron
              pickaxe that a diamond asks for.
Views         symbolic   143 uint8, below; the default
              pixels     (64, 64, 3) uint8, the package's picture; its textures are read from the installed
                         package
Observation   0 - 62     what the 9 x 7 cells around the player are made of, line by line: 0 outside the
                         world, 1 water, 2 grass, 3 stone, 4 path, 5 sand, 6 tree, 7 lava, 8 coal, 9 iron, 10
                         diamond, 11 table, 12 furnace
              63 - 125   what is there: 0 nothing, 1 to 4 the player facing left, right, up, down, 5 asleep,
                         6 cow, 7 zombie, 8 skeleton, 9 to 12 an arrow flying left, right, up, down, 13
                         plant, 14 ripe plant
              126 - 141  0 to 9 of each: health, food, drink, energy, sapling, wood, stone, coal, iron,
                         diamond; pickaxes of wood, stone, iron; swords of wood, stone, iron
              142        daylight in tenths
Actions       Discrete(17): 0 noop, 1 to 4 move left, right, up, down, 5 do, 6 sleep, 7 to 10 place stone,
              table, furnace, plant, 11 to 13 make a pickaxe of wood, stone, iron, 14 to 16 a sword.
Rewards       0.1 for each point of health won or lost, and 1 for a step that unlocks an achievement.
Ends          Health 0 is terminal, `length` steps truncate; both flags are up if the two fall together.
              `final_observations` holds the last view of every episode.
Noise         At night the picture is noisy, and each pixel's noise is a draw from the stream that also moves
              the animals. The symbolic view shows none and draws none, which makes it a game with a stream
              of its own from the first dusk on; `noise=True` draws it unseen, and a symbolic game is the
              package's as well.
Seeds         Environment k of a batch with seed s plays the package's `Env(seed=s + (k << 32))`, episode by
              episode.
Log           episode_return, episode_length, score (achievements unlocked, of 22). `success_rates()` has
              each one.
Source        The crafter package, danijar/crafter (MIT, copyright 2021 Danijar Hafner). Its chunks are Python
              sets of objects, in the order of memory addresses, so two runs with one seed go different ways.
              Here a chunk is in the order of arrival, and so it is in the package that the test compares
              with.

The parts: crafter_chance.pxd (NumPy's random stream), crafter_noise.pxd (simplex noise), crafter_land.pxd
(the same for all cells at once), crafter_world.pxd (the world and how it is made), crafter_rules.pxd (player,
creatures, balance), crafter_picture.pxd (pixels).
"""

import numpy as np
from gymnasium.spaces import Box, Discrete

from envs.core import crafter_picture
from envs.core.settings import choice, flag, whole

from libc.stdint cimport int32_t, int64_t, uint8_t, uint32_t
from libc.stdlib cimport free, malloc
from libc.string cimport memcpy, memset

from envs.core.native cimport Native, require
from envs.crafter_chance cimport WORDS, skip, world_seed
from envs.crafter_land cimport CELLS, LAYERS, SIZE, Land, Shapes, exact, lay, place, shape
from envs.crafter_noise cimport Simplex, noise3, seed_simplex
from envs.crafter_picture cimport PICTURE, PIXELS, SEEN, TILES, Tables, draw_picture, look_around
from envs.crafter_rules cimport HEALTH, begin, step_game
from envs.crafter_world cimport FEATS, ITEMS, PLAYER_SLOT, SLOTS, Game

cdef extern from * nogil:
    int count_bits "__builtin_popcount"(unsigned int) noexcept

cdef enum:
    SYMBOLS = 143
    SYMBOLS_OF_ITEMS = 126

LONGEST_EPISODE = 1_000_000         # the light of each step stands in a table
HASHED = 2**61 - 1                  # Python's hash of a whole number is its remainder by this prime
APART = 2**32                       # between the seeds of neighbouring environments
VIEWS = ("symbolic", "pixels")
ACHIEVEMENTS = (
    "collect_coal", "collect_diamond", "collect_drink", "collect_iron", "collect_sapling", "collect_stone",
    "collect_wood", "defeat_skeleton", "defeat_zombie", "eat_cow", "eat_plant", "make_iron_pickaxe",
    "make_iron_sword", "make_stone_pickaxe", "make_stone_sword", "make_wood_pickaxe", "make_wood_sword",
    "place_furnace", "place_plant", "place_stone", "place_table", "wake_up")

cdef Shapes SHAPES                   # made with the first environment


cdef const Shapes* shapes() noexcept:
    if SHAPES.num_corners == 0:
        shape(&SHAPES)
    return &SHAPES


def noise(seed, x, y, z):
    """`opensimplex.OpenSimplex(seed).noise3(x, y, z)`, to the last bit."""
    cdef Simplex simplex
    seed_simplex(&simplex, seed)
    return noise3(&simplex, x, y, z)


def noise_of_world(seed):
    """(2, 13, 64, 64) float64 by [x, y]: all noise that a world of this seed may ask for, as `lay` has it and
    to the last bit."""
    cdef Land* land = <Land*> malloc(sizeof(Land))
    cdef int layer, x, y
    found = np.empty((2, LAYERS, SIZE, SIZE))
    cdef double[:, :, :, ::1] noises = found
    if land == NULL:
        raise MemoryError
    land.shapes = shapes()
    seed_simplex(&land.simplex, seed)
    lay(land)
    for layer in range(LAYERS):
        for x in range(SIZE):
            for y in range(SIZE):
                noises[0, layer, x, y] = land.about[place(layer, x, y)]
                noises[1, layer, x, y] = exact(&land.simplex, layer, x, y)
    free(land)
    return found


cdef class Crafter(Native):
    """crafter(num_envs, seed=0, view="symbolic", length=10000, noise=None): see the module's docstring.
    noise: whether the night's noise is drawn; unless given, in pixels only."""

    cdef Game* games
    cdef Land* land                 # of the world that is being made
    cdef Tables* tables             # NULL in the symbolic view
    cdef double* light              # by step of the episode
    cdef int64_t* reached           # episodes ended since the reset; how many of them unlocked each
    cdef readonly object view
    cdef readonly int length
    cdef readonly bint noise

    keys = {"ArrowLeft": 1, "ArrowRight": 2, "ArrowUp": 3, "ArrowDown": 4, " ": 5, "z": 6,
            "1": 7, "2": 8, "3": 9, "4": 10, "q": 11, "w": 12, "e": 13, "a": 14, "s": 15, "d": 16}
    idle_action = 0
    action_names = ("noop", "left", "right", "up", "down", "do", "sleep",
                    "place stone", "place table", "place furnace", "place plant",
                    "make wood pickaxe", "make stone pickaxe", "make iron pickaxe",
                    "make wood sword", "make stone sword", "make iron sword")

    def __init__(self, num_envs=1, *, seed=0, view="symbolic", length=10000, noise=None, **common):
        self.view = choice("view", view, VIEWS)
        self.length = whole("length", length, 1, LONGEST_EPISODE)
        self.noise = self.view == "pixels" if noise is None else flag("noise", noise)
        pixels = self.view == "pixels"
        if pixels:
            crafter_picture.textures()
        highest = np.repeat(np.array([12, 14, 9, 10], np.uint8), [SEEN, SEEN, ITEMS, 1])
        symbols = Box(np.zeros_like(highest), highest, dtype=np.uint8)
        space = Box(0, 255, (64, 64, 3), np.uint8) if pixels else symbols
        self.prepare(num_envs, 1, space, Discrete(17), seed, common, ("score",), True)
        self.games = <Game*> self.claim(self.num_envs * sizeof(Game))
        self.land = <Land*> self.claim(sizeof(Land))
        self.land.shapes = shapes()
        self.reached = <int64_t*> self.claim((1 + FEATS) * sizeof(int64_t))
        self.light = <double*> self.claim((self.length + 1) * sizeof(double))
        (<double[:self.length + 1]> self.light)[:] = crafter_picture.daylight(self.length)
        if pixels:
            self.tables = <Tables*> self.claim(sizeof(Tables))
            (<uint8_t[:TILES * 147]> &self.tables.tiles[0][0][0])[:] = crafter_picture.tiles().ravel()
            (<uint8_t[:ITEMS * 1470]> &self.tables.items[0][0][0][0])[:] = crafter_picture.items().ravel()
            (<double[:PIXELS]> &self.tables.edges[0])[:] = crafter_picture.edges().ravel()

    def set_seed(self, seed):
        cdef int i
        Native.set_seed(self, seed)
        for i in range(self.num_envs):
            self.streams[i] = (self.seed + APART * self.first_env + APART * i) % HASHED
            if self.games != NULL:          # not yet while the base prepares
                self.games[i].episode = 0

    def reset(self, seed=None):
        self.require_ready()
        memset(self.reached, 0, (1 + FEATS) * sizeof(int64_t))
        return Native.reset(self, seed)

    cdef void reset_range(self, int first, int last) noexcept nogil:
        cdef int i
        for i in range(first, last):
            self.start(i)

    cdef void start(self, int i) noexcept nogil:
        """The next episode of environment i."""
        cdef Game* game = &self.games[i]
        game.episode += 1
        begin(game, self.land, world_seed(self.streams[i], game.episode))
        game.daylight = self.light[0]
        self.observe(i)

    cdef void step_range(self, int first, int last) noexcept nogil:
        cdef int32_t* actions = <int32_t*> self.rows.actions
        cdef Game* game
        cdef uint32_t unlocked
        cdef double reward
        cdef int i
        for i in range(first, last):
            game = &self.games[i]
            require(&self.fault, game.step < self.length, b"an episode is longer than its length")
            game.step += 1
            game.daylight = self.light[game.step]
            unlocked = game.unlocked
            step_game(game, actions[i])
            require(&self.fault, game.used < SLOTS, b"there are more things than cells")
            self.observe(i)
            reward = (game.items[HEALTH] - game.paid_health) / 10.0
            game.paid_health = game.items[HEALTH]
            if game.unlocked != unlocked:
                reward += 1
            self.rows.rewards[i] = reward
            self.rows.terminals[i] = game.items[HEALTH] == 0
            self.rows.truncations[i] = game.step >= self.length
            if self.rows.terminals[i] | self.rows.truncations[i]:
                self.finish(i)

    cdef void finish(self, int i) noexcept nogil:
        """Keep the last view and what was achieved, and start anew."""
        cdef Py_ssize_t size = SYMBOLS if self.tables == NULL else PICTURE, at = i * size
        cdef uint32_t unlocked = self.games[i].unlocked
        cdef int feat
        memcpy(<uint8_t*> self.rows.final_observations + at, <uint8_t*> self.rows.observations + at, size)
        self.metrics[i] = count_bits(unlocked)
        self.reached[0] += 1
        for feat in range(FEATS):
            self.reached[1 + feat] += unlocked >> feat & 1
        self.start(i)

    cdef void observe(self, int i) noexcept nogil:
        cdef Game* game = &self.games[i]
        cdef Py_ssize_t size = SYMBOLS if self.tables == NULL else PICTURE
        cdef uint8_t* row = <uint8_t*> self.rows.observations + i * size
        cdef bint noisy = self.noise and game.daylight < 0.5
        cdef int item
        if self.tables != NULL:
            draw_picture(game, self.tables, noisy, row)
            return
        look_around(game, row, row + SEEN)
        for item in range(ITEMS):
            row[SYMBOLS_OF_ITEMS + item] = game.items[item]
        row[SYMBOLS - 1] = <uint8_t> (10 * game.daylight)
        if noisy:
            skip(&game.chance, 2 * PIXELS)

    # ------------------------------------------------------------------ looking into a game

    def inventory(self, index=0):
        """Item -> how many of it the player of environment `index` has, as in the package's `info`."""
        cdef Game* game = &self.games[self.require_index(index)]
        return {name: game.items[k] for k, name in enumerate(crafter_picture.ITEMS)}

    def achievements(self, index=0):
        """Achievement -> how often it was reached in the running episode, as in the package's `info`."""
        cdef Game* game = &self.games[self.require_index(index)]
        return {name: game.feats[k] for k, name in enumerate(ACHIEVEMENTS)}

    def position(self, index=0):
        """(x, y) of the player of environment `index`."""
        cdef Game* game = &self.games[self.require_index(index)]
        return game.things[PLAYER_SLOT].x, game.things[PLAYER_SLOT].y

    def semantic(self, index=0):
        """(64, 64) uint8 by [x, y], as the package's: materials 1 to 12, on them 13 player, 14 cow,
        15 zombie, 16 skeleton, 17 arrow, 18 plant."""
        cdef Game* game = &self.games[self.require_index(index)]
        cdef int cell, thing
        found = np.empty(CELLS, np.uint8)
        for cell in range(CELLS):
            thing = game.thing_at[cell]
            found[cell] = 12 + game.things[thing].kind if thing else game.material[cell]
        return found.reshape(SIZE, SIZE)

    def random_state(self, index=0):
        """(624 uint32, position) of the random stream of environment `index`: items 1 and 2 of NumPy's
        `RandomState.get_state()`."""
        cdef Game* game = &self.games[self.require_index(index)]
        return np.array(<uint32_t[:WORDS]> &game.chance.words[0]), game.chance.next

    def success_rates(self):
        """Achievement -> share of the episodes since the reset that unlocked it; {} if none has ended.

        Crafter's own score of an agent is exp(mean(log(1 + rate in percent))) - 1 over all 22.
        """
        self.require_ready()
        if not self.reached[0]:
            return {}
        return {name: self.reached[1 + k] / <double> self.reached[0] for k, name in enumerate(ACHIEVEMENTS)}

    def render(self, index=0):
        """RGB array of what the player of environment `index` sees."""
        row = np.asarray(self.observations[self.require_index(index)])
        return crafter_picture.enlarged(row) if self.view == "pixels" else crafter_picture.drawn(row)
