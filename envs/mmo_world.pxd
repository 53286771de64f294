"""The world of `mmo`: what it holds, and how things stand and lie on its grid. The rules build on it.

    tiles     three bytes a cell as they are observed: terrain, occupant, item. Kept up to date by whoever
              changes something, so that observing is copying.
    nature    what grows on the cell: the item that comes back after it was taken
    present   a bit for each cell, set where somebody stands, to find neighbours with eleven loads; at most
              one inhabitant a cell
    lakes     the same of water, meals of common herbs and fish, to find the nearest
    standing  the numbers of all inhabitants, row by row as they stand; before: how many stand before each
              64 cells. Who stands on a cell is the number of bits before it, so no number is kept for each
              cell: a large world would not be in the fast caches. Both are made for each observation.
    piles     what the dead left on the cell; its tile shows PILE while there is anything

A border of BORDER cells of EDGE surrounds the world: nobody's window leaves the grid.
"""

from libc.stdint cimport int8_t, int32_t, int64_t, uint8_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memset

from envs.core.random cimport Stream, draw_below

cdef extern from * nogil:
    int lowest_bit "__builtin_ctzll"(uint64_t) noexcept
    int count_bits "__builtin_popcountll"(uint64_t) noexcept

cdef enum:
    BORDER = 8
    TILE = 3                        # bytes of a cell
    OCCUPANT = 1                    # which of them
    ITEM = 2
    NEAR = 8                        # neighbours that are seen as records, and can be targets
    NOBODY = -1

cdef enum:                          # terrain. Up to STONE everybody walks.
    GRASS, SAND, TOWN, FOREST, STONE, THICKET, ROCK, WATER, EDGE

cdef enum:                          # items: a common and a rich one of each kind of goods that is gathered
    NOTHING, HERBS, RARE_HERBS, TREE, OLD_TREE, ORES, RICH_ORES, FISHES, BIG_FISHES, PILE

cdef enum:                          # goods; the item of good g and tier t is 1 + 2 * g + t
    HERB, WOOD, ORE, FISH, RATION, POTION, TOOL, WEAPON, ARMOUR, GOODS

cdef enum:                          # skills; the one that gathers good g is GATHERING + g
    MELEE, RANGE, MAGIC, GATHERING
    MINING = 5
    CRAFTING = 7
    SKILLS = 8
    LUMBER = 4
    TOP_LEVEL = 10

cdef enum:                          # what a tick was spent on; gathering good g is GATHER + g
    IDLE, WALK, DRINK, GATHER
    CRAFT = 7
    TRADE = 8
    GIVE = 9
    FIGHT = 10
    ACTIVITIES = 11

cdef enum:
    FULL = 127                      # of health, food and water
    MOST = 15                       # of one kind of goods that are carried
    NEWBORN_TICKS = 64              # of a life in which it can neither strike nor be struck
    TRIES = 64                      # random cells tried for a birth before the world is searched
    PILE_MOST = 255                 # of one kind of goods in a pile: what is more rots at once

cdef struct Agent:
    int32_t y, x                    # border included
    int32_t cell                    # y * stride + x
    int32_t health, food, water
    int32_t born                    # tick
    int32_t ready_at                # tick from which it may strike again
    int32_t striker                 # who struck it last, or NOBODY
    int32_t hurt                    # by blows in this tick
    int32_t gained                  # levels in this tick
    int32_t gold
    int32_t[SKILLS] experience
    uint8_t[SKILLS] level
    uint8_t[GOODS] goods
    uint8_t tool, weapon, armour    # tiers, 0 for none
    uint8_t activity                # of this tick
    int8_t trade                    # of a scripted mind, NOBODY for an agent that learns
    uint8_t plan                    # of a scripted mind
    uint8_t heading                 # the way it walked last, 0 for none yet
    int32_t[2] town                 # cell of the town that it was in last, 0 for none yet (minds)
    int32_t[2] shore                # where it drank last
    int32_t[2] site                 # where its trade last found something, 0 for nowhere (minds)
    int32_t count                   # of `near`
    uint16_t[NEAR] near             # neighbours as it saw them last, nearest first
    uint64_t[4] regions             # entered, a bit each
    int32_t[ACTIVITIES] spent       # ticks
    int32_t distance, trades, gifts, kills, crafted, gathered

cdef struct Pile:                   # 16 bytes
    int32_t gold
    uint8_t[GOODS] goods

cdef struct Life:                   # a finished life, as `lives` gives it: LIFE in mmo.pyx has the same order
    int32_t agent, trade, born, age, cause
    int32_t[SKILLS] levels
    int32_t gold, wealth, distance, regions, row, column
    int32_t[ACTIVITIES] spent
    int32_t trades, gifts, kills, crafted, gathered

cdef struct Head:                   # the numbers of a world
    int64_t[GOODS] made             # by gathering and crafting, since the world began
    int64_t[GOODS] used             # eaten, equipped, shot, worked up or rotten
    int64_t ended, read, missed     # lives: finished, given by `lives`, overwritten before
    int32_t[GOODS] stock            # of the market
    int32_t treasury                # its gold
    int32_t tick
    int32_t fertile                 # the first row of the fertile half

cdef struct World:                  # where the parts of a world lie: put together for each step, never stored
    Head* head
    Agent* agents
    Pile* piles
    Life* lives
    uint8_t* tiles
    uint8_t* nature
    uint16_t* standing
    uint16_t* before
    uint8_t* present
    uint8_t* lakes
    uint8_t* meals
    Stream* stream
    int32_t size, stride, cells, inhabitants, ring, lifespan, season_ticks


# ---------------------------------------------------------------------- cells

cdef inline int terrain_of(const World* world, int cell) noexcept nogil:
    return world.tiles[TILE * cell]


cdef inline int item_of(const World* world, int cell) noexcept nogil:
    return world.tiles[TILE * cell + ITEM]


cdef inline void mark(uint8_t* bits, int cell, bint set) noexcept nogil:
    """Set or clear a cell's bit."""
    bits[cell >> 3] = <uint8_t> ((bits[cell >> 3] & ~(1 << (cell & 7))) | set << (cell & 7))


cdef inline void lay(World* world, int cell, int item) noexcept nogil:
    world.tiles[TILE * cell + ITEM] = <uint8_t> item
    mark(world.meals, cell, item == HERBS or item == FISHES)


cdef inline bint easy(int terrain) noexcept nogil:
    """Whether everybody walks there."""
    return terrain <= STONE


cdef inline bint fertile(const World* world, int y) noexcept nogil:
    """Whether row y lies in the half of the world where things grow fast now."""
    cdef int down = y - BORDER - world.head.fertile
    return 2 * (down + world.size if down < 0 else down) < world.size


cdef inline int number_of(const World* world, const Agent* agent) noexcept nogil:
    # Not a difference of pointers: with overflow checks Cython counts that in bytes.
    return <int> ((<size_t> agent - <size_t> world.agents) // sizeof(Agent))


cdef inline bint newborn(const World* world, const Agent* agent) noexcept nogil:
    return world.head.tick - agent.born < NEWBORN_TICKS


cdef inline int strongest(const Agent* agent) noexcept nogil:
    """The style of the highest level; NOBODY where it has learned none."""
    cdef int style, best = NOBODY, level = 1
    for style in range(GATHERING):
        if agent.level[style] > level:
            best, level = style, agent.level[style]
    return best


cdef inline int might(const Agent* agent) noexcept nogil:
    """The highest level in a style."""
    return max(max(agent.level[MELEE], agent.level[RANGE]), agent.level[MAGIC])


# ---------------------------------------------------------------------- standing

cdef inline void show(World* world, const Agent* agent) noexcept nogil:
    """Write the inhabitant into its tile: 1 newborn, 2 to 5 by its strongest style."""
    cdef int code = 1 if newborn(world, agent) else 2 + (might(agent) - 1) // 3
    world.tiles[TILE * agent.cell + OCCUPANT] = <uint8_t> code


cdef inline void flip(World* world, const Agent* agent) noexcept nogil:
    """Set the inhabitant's bit where it is clear, clear it where it is set."""
    world.present[agent.cell >> 3] ^= <uint8_t> (1 << (agent.cell & 7))


cdef inline void leave(World* world, const Agent* agent) noexcept nogil:
    world.tiles[TILE * agent.cell + OCCUPANT] = 0
    flip(world, agent)


cdef inline void stand(World* world, Agent* agent, int y, int x) noexcept nogil:
    """Stand an inhabitant that is nowhere on a free cell."""
    cdef int region = ((y - BORDER) * 16 // world.size) * 16 + (x - BORDER) * 16 // world.size
    agent.y, agent.x = y, x
    agent.cell = y * world.stride + x
    agent.regions[region >> 6] |= <uint64_t> 1 << (region & 63)
    flip(world, agent)
    show(world, agent)


cdef inline int free_cell(World* world) noexcept nogil:
    """A random free cell outside towns on which everybody walks."""
    cdef int k = 0, cell = 0, tries
    for tries in range(TRIES):
        k = draw_below(world.stream, world.size * world.size)
        cell = (BORDER + k // world.size) * world.stride + BORDER + k % world.size
        if can_be_born(world, cell):
            return cell
    while not can_be_born(world, cell):
        k = (k + 1) % (world.size * world.size)
        cell = (BORDER + k // world.size) * world.stride + BORDER + k % world.size
    return cell


cdef inline bint free(const World* world, int cell) noexcept nogil:
    """Whether nobody stands there."""
    return world.tiles[TILE * cell + OCCUPANT] == 0


cdef inline bint can_be_born(const World* world, int cell) noexcept nogil:
    return easy(terrain_of(world, cell)) and terrain_of(world, cell) != TOWN and free(world, cell)


# ---------------------------------------------------------------------- what lies on the ground

cdef inline void drop(World* world, Agent* agent) noexcept nogil:
    """All that it carries, onto its cell. What grew there is trampled down."""
    cdef Pile* pile = &world.piles[agent.cell]
    cdef int good, kept
    cdef bint any = agent.gold > 0
    for good in range(GOODS):
        if agent.goods[good]:
            any = True
            kept = min(agent.goods[good], PILE_MOST - pile.goods[good])
            pile.goods[good] += <uint8_t> kept
            world.head.used[good] += agent.goods[good] - kept
            agent.goods[good] = 0
    pile.gold += agent.gold
    agent.gold = 0
    if any:
        lay(world, agent.cell, PILE)


cdef inline void pick_up(World* world, Agent* agent) noexcept nogil:
    """As much of the pile on its cell as it can carry."""
    cdef Pile* pile = &world.piles[agent.cell]
    cdef int good, taken
    cdef bint left = False
    agent.gold += pile.gold
    pile.gold = 0
    for good in range(GOODS):
        taken = min(pile.goods[good], MOST - agent.goods[good])
        agent.goods[good] += <uint8_t> taken
        pile.goods[good] -= <uint8_t> taken
        left |= pile.goods[good] > 0
    if not left:
        lay(world, agent.cell, NOTHING)


cdef inline void rot(World* world, int cell) noexcept nogil:
    """A pile that nobody took: goods are gone, gold goes back to the market."""
    cdef Pile* pile = &world.piles[cell]
    cdef int good
    for good in range(GOODS):
        world.head.used[good] += pile.goods[good]
    world.head.treasury += pile.gold
    memset(pile, 0, sizeof(Pile))
    lay(world, cell, NOTHING)
