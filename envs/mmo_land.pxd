"""How a world of `mmo` comes to be, and what grows in it.

Two fields of value noise, height and moisture, give terrain: lakes where it is low, sand around them, stone
and rock where it is high, forest and thicket where it is wet, grass elsewhere. Land that a newcomer could not
leave is closed: whatever land is not joined to the largest piece becomes rock, so nobody is born into a trap.
Whole numbers only: the same seed gives the same world in every build.
"""

from libc.stdint cimport int32_t, int64_t, uint8_t, uint64_t
from libc.string cimport memset

from envs.core.random cimport draw, draw_below, mix
from envs.mmo_world cimport (BIG_FISHES, BORDER, EDGE, FISHES, FOREST, GRASS, HERBS, NOTHING, OLD_TREE, ORES,
                             PILE, RARE_HERBS, RICH_ORES, ROCK, SAND, STONE, THICKET, TILE, TOWN, TREE, WATER,
                             World, easy, fertile, item_of, lay, mark, rot, terrain_of)

cdef enum:
    COARSE = 32                     # cells between the points of the coarse noise
    FINE = 8
    DISTRICT = 32                   # a town in each square of so many cells
    ATTEMPTS = 8                    # worlds tried until at least half of one is land in one piece
    GROWTH = 128                    # in a tick one cell of so many is asked to grow
    BARREN = 8                      # outside the fertile half one time of so many
    ORE_CHANCE = 4                  # ore knows no seasons


cdef inline int lattice(uint64_t salt, int row, int column) noexcept nogil:
    """The noise at a point of a lattice, 0 to 255."""
    return <int> (mix(salt ^ (<uint64_t> row << 32 | <uint64_t> column)) >> 56)


cdef inline int noise(uint64_t salt, int row, int column, int spacing) noexcept nogil:
    """Between the points of a lattice, 0 to 255."""
    cdef int i = row // spacing, j = column // spacing, down = row % spacing, right = column % spacing
    cdef int up, low
    up = lattice(salt, i, j) * (spacing - right) + lattice(salt, i, j + 1) * right
    low = lattice(salt, i + 1, j) * (spacing - right) + lattice(salt, i + 1, j + 1) * right
    return (up * (spacing - down) + low * down) // (spacing * spacing)


cdef inline int terrain_at(uint64_t salt, int row, int column) noexcept nogil:
    cdef int height = (3 * noise(salt, row, column, COARSE) + noise(salt + 1, row, column, FINE)) // 4
    cdef int moisture = (3 * noise(salt + 2, row, column, COARSE) + noise(salt + 3, row, column, FINE)) // 4
    if height < 80:
        return WATER
    if height < 88:
        return SAND
    if height > 174:
        return ROCK
    if height > 152:
        return STONE
    if moisture > 176:
        return THICKET
    return FOREST if moisture > 142 else GRASS


cdef inline int nature_at(int terrain, int chance) noexcept nogil:
    """What grows there; chance is 0 to 255."""
    if terrain == GRASS:
        return RARE_HERBS if chance < 8 else HERBS if chance < 112 else NOTHING
    if terrain == FOREST:
        return OLD_TREE if chance < 12 else TREE if chance < 160 else NOTHING
    if terrain == THICKET:
        return OLD_TREE if chance < 160 else NOTHING
    if terrain == STONE:
        return RICH_ORES if chance < 8 else ORES if chance < 72 else NOTHING
    if terrain == ROCK:
        return RICH_ORES if chance < 40 else NOTHING
    if terrain == WATER:
        return BIG_FISHES if chance < 12 else FISHES if chance < 112 else NOTHING
    return NOTHING


# ---------------------------------------------------------------------- connection

cdef inline int flood(World* world, int32_t* queue, uint8_t* piece, int cell, int mark) noexcept nogil:
    """Mark the piece of land that `cell` is part of; how many cells it has.
    queue and piece have room for all cells."""
    cdef int head = 0, tail = 1, n, next
    cdef int[4] steps = [-world.stride, world.stride, -1, 1]
    queue[0], piece[cell] = cell, <uint8_t> mark
    while head < tail:
        cell = queue[head]
        head += 1
        for n in range(4):
            next = cell + steps[n]
            if piece[next] == 0 and easy(terrain_of(world, next)):
                piece[next] = <uint8_t> mark
                queue[tail] = next
                tail += 1
    return tail


cdef inline int close_traps(World* world, int32_t* queue, uint8_t* piece) noexcept nogil:
    """Make rock of all land but the largest piece; how many cells that has.

    The marks are 1 for a piece that was looked at, 2 for the largest."""
    cdef int cell, best = 0, most = 0, found
    memset(piece, 0, world.cells)
    for cell in range(world.cells):
        if piece[cell] == 0 and easy(terrain_of(world, cell)):
            found = flood(world, queue, piece, cell, 1)
            if found > most:
                best, most = cell, found
    if most == 0:
        return 0
    memset(piece, 0, world.cells)
    flood(world, queue, piece, best, 2)
    for cell in range(world.cells):
        if piece[cell] == 0 and easy(terrain_of(world, cell)):
            world.tiles[TILE * cell] = ROCK
    return most


# ---------------------------------------------------------------------- making

cdef inline void shape(World* world, uint64_t salt, bint plain) noexcept nogil:
    """Terrain everywhere; grass only where `plain`."""
    cdef int row, column, terrain
    memset(world.tiles, 0, TILE * world.cells)
    for row in range(world.stride):
        for column in range(world.stride):
            if (row < BORDER or column < BORDER or row >= BORDER + world.size
                or column >= BORDER + world.size):
                terrain = EDGE
            else:
                terrain = GRASS if plain else terrain_at(salt, row - BORDER, column - BORDER)
            world.tiles[TILE * (row * world.stride + column)] = <uint8_t> terrain


cdef inline void found_towns(World* world) noexcept nogil:
    """A town of up to 5 x 5 cells on the land of each district."""
    cdef int row, column, y, x, down, right, cell, tries
    for row in range((world.size + DISTRICT - 1) // DISTRICT):
        for column in range((world.size + DISTRICT - 1) // DISTRICT):
            for tries in range(16):
                y = BORDER + min(row * DISTRICT + 2 + draw_below(world.stream, DISTRICT - 4), world.size - 3)
                x = BORDER + min(column * DISTRICT + 2 + draw_below(world.stream, DISTRICT - 4),
                                 world.size - 3)
                if easy(terrain_of(world, y * world.stride + x)):
                    for down in range(-2, 3):
                        for right in range(-2, 3):
                            cell = (y + down) * world.stride + x + right
                            if easy(terrain_of(world, cell)):
                                world.tiles[TILE * cell] = TOWN
                    break


cdef inline void make_land(World* world, int32_t* queue, uint8_t* piece) noexcept nogil:
    """Terrain, towns, and everything grown."""
    cdef int attempt, cell
    cdef uint64_t salt
    for attempt in range(ATTEMPTS + 1):
        shape(world, draw(world.stream), attempt == ATTEMPTS)
        if 2 * close_traps(world, queue, piece) >= world.size * world.size:
            break
    found_towns(world)
    salt = draw(world.stream)
    for cell in range(world.cells):
        world.nature[cell] = <uint8_t> nature_at(terrain_of(world, cell),
                                                 <int> (mix(salt ^ <uint64_t> cell) >> 56))
        lay(world, cell, world.nature[cell])
        mark(world.lakes, cell, terrain_of(world, cell) == WATER)


# ---------------------------------------------------------------------- growing

cdef inline void turn_season(World* world) noexcept nogil:
    """Where the fertile half begins now; it stays in the middle where there are no seasons."""
    if world.season_ticks:
        world.head.fertile = <int32_t> (<int64_t> world.size * (world.head.tick % world.season_ticks)
                                        // world.season_ticks)
    else:
        world.head.fertile = world.size // 4


cdef inline void grow(World* world) noexcept nogil:
    """Ask some cells at random to bear again what grows on them; piles there rot."""
    cdef int n, k, cell, item
    cdef uint64_t chance
    for n in range(world.size * world.size // GROWTH):
        chance = draw(world.stream)
        k = <int> ((chance >> 32) * <uint64_t> (world.size * world.size) >> 32)
        cell = (BORDER + k // world.size) * world.stride + BORDER + k % world.size
        item = item_of(world, cell)
        if item == PILE:
            rot(world, cell)
        elif item == NOTHING and world.nature[cell] != NOTHING:
            if world.nature[cell] == ORES or world.nature[cell] == RICH_ORES:
                if chance % ORE_CHANCE == 0:
                    lay(world, cell, world.nature[cell])
            elif fertile(world, cell // world.stride) or chance % BARREN == 0:
                lay(world, cell, world.nature[cell])
