"""The world of `crafter`: what a game holds, how things stand and move in it, and how it is made from noise.

    material   64 x 64 bytes, column by column as the package keeps it: cell = 64 x + y
    thing_at   which thing stands on a cell: an index into `things`, 0 for none. Thing 1 is the player.
    things     records in two linked lists. One runs through all of them in the order in which they were
               made, which is the order they move in; the other through each chunk of 12 x 12 cells in the
               order of arrival there.

The second order matters: which zombie of a chunk vanishes is drawn by its number. In the package a chunk is
a Python set of objects, so the number depends on memory addresses and a seed does not fix a game.
"""

from libc.math cimport exp, fabs, sqrt
from libc.stdint cimport int16_t, int32_t, uint8_t, uint16_t, uint32_t
from libc.string cimport memset

from envs.crafter_chance cimport Twister, draw_uniform, draw_whole, seed_twister
from envs.crafter_land cimport (
    BEACHES, BUMPS, CAVES, CELLS, CLOSE, COALS, HILLS, LAKES, MAGMA, MEADOW, MEADOW_ENDS, ORES, PONDS, SHAFTS,
    SIZE, TUNNELS, WOODS, Land, above, exact, lay)
from envs.crafter_noise cimport Simplex, seed_simplex

cdef enum:
    CHUNK = 12
    CHUNKS = 36                         # six times six; the last ones are 4 cells wide
    SLOTS = 4098                        # a thing a cell, one that has just left it, and number 0 for none
    ITEMS = 16
    FEATS = 22
    PLAYER_SLOT = 1

cdef enum:                              # materials, numbered as in the package
    OUTSIDE, WATER, GRASS, STONE, PATH, SAND, TREE, LAVA, COAL, IRON, DIAMOND, TABLE, FURNACE

cdef enum:                              # sets of materials as bits
    WALKABLE = 0x34                     # grass, path, sand
    PLAYER_WALKS = 0xB4                 # ... and lava, once
    ARROW_FLIES = 0xB6                  # ... and water

cdef enum:                              # kinds of thing, in the order of the package's semantic map
    NOTHING, PLAYER, COW, ZOMBIE, SKELETON, ARROW, PLANT

cdef enum:                              # directions; d ^ 1 is the opposite one
    LEFT, RIGHT, UP, DOWN
    NOWHERE = -1

cdef extern from * nogil:
    """
    static const int STEP_X[] = {-1, 1, 0, 0}, STEP_Y[] = {0, 0, -1, 1};
    """
    const int STEP_X[]
    const int STEP_Y[]

cdef struct Thing:
    uint8_t x, y, kind
    uint8_t facing                      # of an arrow and of the player
    int16_t health                      # the player's is an item
    int16_t wait                        # until a zombie strikes or a skeleton shoots again; a plant's age
    uint16_t before, after              # in the order of making
    uint16_t chunk_before, chunk_after  # in the order of arrival in its chunk

cdef struct Chunk:
    uint16_t first, last
    uint16_t grass, paths               # cells of these materials
    uint8_t counts[7]                   # things, by kind
    bint known                          # has ever held a thing

cdef struct Game:
    Twister chance
    int32_t episode, step
    double daylight
    int32_t items[ITEMS]
    int32_t feats[FEATS]                # how often each achievement was reached
    uint32_t unlocked                   # the same as bits
    int32_t felt_health                 # at the player's last update
    int32_t paid_health                 # at the last reward
    float hunger, thirst, fatigue, recovery
    bint asleep
    uint16_t first, last                # of all things
    uint16_t free, used                 # slots given back, chained by `after`; slots ever used
    int32_t num_known
    uint8_t known[CHUNKS]               # chunks in the order in which they were first entered
    Chunk chunks[CHUNKS]
    uint8_t material[CELLS]
    uint16_t thing_at[CELLS]
    Thing things[SLOTS]


cdef inline bint inside(int x, int y) noexcept nogil:
    return 0 <= x < SIZE and 0 <= y < SIZE


cdef inline int material_at(const Game* game, int x, int y) noexcept nogil:
    return game.material[x * SIZE + y] if inside(x, y) else OUTSIDE


cdef inline int thing_on(const Game* game, int x, int y) noexcept nogil:
    return game.thing_at[x * SIZE + y] if inside(x, y) else 0


cdef inline int apart(int x0, int y0, int x1, int y1) noexcept nogil:
    """Steps from one cell to another."""
    return (x1 - x0 if x1 > x0 else x0 - x1) + (y1 - y0 if y1 > y0 else y0 - y1)


cdef inline int chunk_of(int x, int y) noexcept nogil:
    return x // CHUNK * 6 + y // CHUNK


cdef inline void put(Game* game, int x, int y, int material) noexcept nogil:
    cdef Chunk* chunk = &game.chunks[chunk_of(x, y)]
    cdef uint8_t* cell = &game.material[x * SIZE + y]
    chunk.grass += (material == GRASS) - (cell[0] == GRASS)
    chunk.paths += (material == PATH) - (cell[0] == PATH)
    cell[0] = material


# ---------------------------------------------------------------------- things

cdef inline void enter_chunk(Game* game, int index, int number) noexcept nogil:
    cdef Chunk* chunk = &game.chunks[number]
    cdef Thing* thing = &game.things[index]
    thing.chunk_before, thing.chunk_after = chunk.last, 0
    if chunk.last:
        game.things[chunk.last].chunk_after = index
    else:
        chunk.first = index
    chunk.last = index
    chunk.counts[thing.kind] += 1
    if not chunk.known:
        chunk.known = True
        game.known[game.num_known] = number
        game.num_known += 1


cdef inline void leave_chunk(Game* game, int index, int number) noexcept nogil:
    cdef Chunk* chunk = &game.chunks[number]
    cdef Thing* thing = &game.things[index]
    if thing.chunk_before:
        game.things[thing.chunk_before].chunk_after = thing.chunk_after
    else:
        chunk.first = thing.chunk_after
    if thing.chunk_after:
        game.things[thing.chunk_after].chunk_before = thing.chunk_before
    else:
        chunk.last = thing.chunk_before
    chunk.counts[thing.kind] -= 1


cdef inline int add(Game* game, int kind, int x, int y, int health, int facing) noexcept nogil:
    """A new thing on the free cell (x, y); returns its slot."""
    cdef int index = game.free
    cdef Thing* thing
    if index:
        game.free = game.things[index].after
    else:
        game.used += 1
        index = game.used
    thing = &game.things[index]
    thing.x, thing.y, thing.kind, thing.facing, thing.health, thing.wait = x, y, kind, facing, health, 0
    thing.before, thing.after = game.last, 0
    if game.last:
        game.things[game.last].after = index
    else:
        game.first = index
    game.last = index
    game.thing_at[x * SIZE + y] = index
    enter_chunk(game, index, chunk_of(x, y))
    return index


cdef inline void take_out(Game* game, int index) noexcept nogil:
    """Take a thing out of the world. Its record stays until `release`, for the dead act once more."""
    cdef Thing* thing = &game.things[index]
    leave_chunk(game, index, chunk_of(thing.x, thing.y))
    game.thing_at[thing.x * SIZE + thing.y] = 0
    if thing.before:
        game.things[thing.before].after = thing.after
    else:
        game.first = thing.after
    if thing.after:
        game.things[thing.after].before = thing.before
    else:
        game.last = thing.before
    thing.kind = NOTHING


cdef inline void release(Game* game, int index) noexcept nogil:
    game.things[index].after = game.free
    game.free = index


cdef inline bint is_free(const Game* game, int x, int y, int materials) noexcept nogil:
    cdef int cell = x * SIZE + y
    return inside(x, y) and game.thing_at[cell] == 0 and (materials >> game.material[cell]) & 1


cdef inline bint move(Game* game, int index, int direction, int materials) noexcept nogil:
    """Whether the cell in that direction is free; then the thing goes there, unless it has been taken out."""
    cdef Thing* thing = &game.things[index]
    cdef int x, y, old, new
    if direction == NOWHERE:
        return thing.kind == NOTHING        # its own cell, which is free once it has been taken out
    x, y = thing.x + STEP_X[direction], thing.y + STEP_Y[direction]
    if not is_free(game, x, y, materials):
        return False
    if thing.kind == NOTHING:
        return True
    old, new = chunk_of(thing.x, thing.y), chunk_of(x, y)
    game.thing_at[x * SIZE + y] = index
    game.thing_at[thing.x * SIZE + thing.y] = 0
    if old != new:
        leave_chunk(game, index, old)
        enter_chunk(game, index, new)
    thing.x, thing.y = x, y
    return True


# ---------------------------------------------------------------------- making a world

cdef inline double start_of(double distance, double meadow) noexcept nogil:
    """How much a cell belongs to the meadow where the player starts."""
    cdef double start = 4 - distance
    start += 2 * meadow
    return 1 / (1 + exp(-start))                    # NumPy's `exp` may differ, in the last bit


cdef inline void ground(double start, double hills, double bumps, double lakes, double ponds,
                        double* mountain, double* water) noexcept nogil:
    """What decides about a cell, from its noise; every operation in the package's order."""
    water[0] = lakes + 0.15 * ponds + 0.1
    water[0] -= 2 * start
    mountain[0] = (hills + 0.3 * bumps) / 1.3
    mountain[0] -= 4 * start + 0.3 * water[0]


cdef inline bint near_to(double number, double a, double b, double c) noexcept nogil:
    """Whether a number made from noise to within CLOSE may lie on the other side of one of three."""
    return fabs(number - a) < 4 * CLOSE or fabs(number - b) < 4 * CLOSE or fabs(number - c) < 4 * CLOSE


cdef inline int material_of(Land* land, Twister* chance, int x, int y, uint8_t* tunnel) noexcept nogil:
    """The material of a new world at (x, y). It draws where the package does: `and` keeps the draws apart."""
    cdef double distance = sqrt(<double> ((x - 32) * (x - 32) + (y - 32) * (y - 32))), mountain, water
    cdef Simplex* simplex = &land.simplex
    cdef const float* about = &land.about[x * SIZE + y]
    cdef double start = start_of(distance, about[MEADOW * CELLS]) if distance <= MEADOW_ENDS else 0
    ground(start, about[HILLS * CELLS], about[BUMPS * CELLS], about[LAKES * CELLS], about[PONDS * CELLS],
           &mountain, &water)
    if near_to(mountain, 0.15, 0.18, 0.3) or near_to(water, 0.25, 0.3, 0.35) or fabs(start - 0.5) < CLOSE:
        start = start_of(distance, exact(simplex, MEADOW, x, y))
        ground(start, exact(simplex, HILLS, x, y), exact(simplex, BUMPS, x, y), exact(simplex, LAKES, x, y),
               exact(simplex, PONDS, x, y), &mountain, &water)
    if start > 0.5:
        return GRASS
    if mountain > 0.15:
        if mountain > 0.3 and above(land, CAVES, x, y, 0.15):
            return PATH
        if above(land, TUNNELS, x, y, 0.4) or above(land, SHAFTS, x, y, 0.4):
            tunnel[0] = True
            return PATH
        if above(land, COALS, x, y, 0) and draw_uniform(chance) > 0.85:
            return COAL
        if above(land, ORES, x, y, 0.4) and draw_uniform(chance) > 0.75:
            return IRON
        if mountain > 0.18 and draw_uniform(chance) > 0.994:
            return DIAMOND
        if mountain > 0.3 and above(land, MAGMA, x, y, 0.35):
            return LAVA
        return STONE
    if 0.25 < water <= 0.35 and above(land, BEACHES, x, y, -0.2):
        return SAND
    if water > 0.3:
        return WATER
    if above(land, WOODS, x, y, 0) and draw_uniform(chance) > 0.8:
        return TREE
    return GRASS


cdef inline void make_world(Game* game, Land* land, uint32_t seed) noexcept nogil:
    """An empty game of that seed: the player in the middle, land around it, and animals on the land."""
    cdef uint8_t tunnels[CELLS]
    cdef Twister* chance = &game.chance
    cdef int x, y, material
    cdef double distance
    seed_twister(chance, seed)
    memset(game.chunks, 0, CHUNKS * sizeof(Chunk))
    memset(game.material, OUTSIDE, CELLS)
    memset(game.thing_at, 0, CELLS * sizeof(uint16_t))
    memset(tunnels, 0, CELLS)
    game.first = game.last = game.free = game.used = game.num_known = 0
    add(game, PLAYER, SIZE // 2, SIZE // 2, 0, DOWN)
    seed_simplex(&land.simplex, draw_whole(chance, 2147483647))
    lay(land)
    for x in range(SIZE):
        for y in range(SIZE):
            put(game, x, y, material_of(land, chance, x, y, &tunnels[x * SIZE + y]))
    for x in range(SIZE):
        for y in range(SIZE):
            material = game.material[x * SIZE + y]
            if not (WALKABLE >> material) & 1:
                continue
            distance = sqrt(<double> ((x - 32) * (x - 32) + (y - 32) * (y - 32)))
            if distance > 3 and material == GRASS and draw_uniform(chance) > 0.985:
                add(game, COW, x, y, 3, 0)
            elif distance > 10 and draw_uniform(chance) > 0.993:
                add(game, ZOMBIE, x, y, 5, 0)
            elif material == PATH and tunnels[x * SIZE + y] and draw_uniform(chance) > 0.95:
                add(game, SKELETON, x, y, 3, 0)
