"""What an inhabitant of `mmo` sees, written as 614 numbers from 0 to 15, and which actions are legal for it.
`envs/mmo.pyx` says what they mean.
"""

from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memcpy, memset

from envs.mmo_rules cimport (COIN, RECIPES, REACH, ask, distance, may_buy, may_craft, may_fight, may_gather,
                             may_give, may_sell, may_strike, may_use, may_walk, neighbour, step_of)
from envs.mmo_world cimport (BORDER, GATHERING, GOODS, NEAR, NOBODY, SKILLS, TILE, TOWN, WATER, Agent, World,
                             count_bits, fertile, free, lowest_bit, might, newborn, strongest, terrain_of)

cdef enum:
    ROWS = 11                       # of the window
    COLUMNS = 15
    DOWN = 5                        # cells that it shows up and down, left and right
    RIGHT = 7
    ROW_BYTES = 45
    ROW_BITS = 0x7FFF
    OWN_AT = 495
    NEAREST = 42                    # in what it knows of itself: the way it walked last, water, food
    RECORDS_AT = 542
    RECORD = 9
    OBSERVATION = 614
    HIGHEST = 15
    CHOICES = 62                    # 5 + 4 + 8 + 15 + 19 + 11

cdef extern from * nogil:
    int leading_zeros "__builtin_clz"(uint32_t) noexcept
    void prefetch "__builtin_prefetch"(const void*) noexcept
    void prefetch_to_write "__builtin_prefetch"(const void*, int) noexcept


cdef inline uint8_t at_most_15(int number) noexcept nogil:
    return <uint8_t> min(number, HIGHEST)


cdef inline uint8_t size_of(int number) noexcept nogil:
    """Binary digits of a number."""
    return at_most_15(32 - leading_zeros(<uint32_t> number)) if number > 0 else 0


cdef inline uint32_t bits_of(const uint8_t* bits, int cell) noexcept nogil:
    """The bits of the COLUMNS cells from `cell` on."""
    cdef uint32_t found
    memcpy(&found, bits + (cell >> 3), 4)
    return found >> (cell & 7) & ROW_BITS


cdef inline int place(const World* world, int cell) noexcept nogil:
    """How many stand before that cell, row by row: there `standing` has who stands on it."""
    cdef uint64_t some
    memcpy(&some, world.present + 8 * (cell >> 6), 8)
    return world.before[cell >> 6] + count_bits(some & ((<uint64_t> 1 << (cell & 63)) - 1))


cdef inline void line_up(World* world) noexcept nogil:
    """Fill `before` and `standing`."""
    cdef uint64_t some
    cdef int word, n, count = 0
    for word in range(world.cells // 64 + 1):
        world.before[word] = <uint16_t> count
        memcpy(&some, world.present + 8 * word, 8)
        count += count_bits(some)
    for n in range(world.inhabitants):
        world.standing[place(world, world.agents[n].cell)] = <uint16_t> n


cdef inline void look(World* world, Agent* agent) noexcept nogil:
    """Find the up to NEAR nearest in the window, nearest first;
    of two as near the one with the lower number."""
    cdef uint32_t[NEAR] keys
    cdef uint32_t bits, key
    cdef int row, n, count = 0, corner = agent.cell - DOWN * world.stride - RIGHT, at, bit, down, right
    for row in range(ROWS):
        bits = bits_of(world.present, corner + row * world.stride)
        if bits == 0:
            continue
        at = place(world, corner + row * world.stride) - 1
        while bits:
            at += 1
            bit = lowest_bit(bits)
            bits &= bits - 1
            if row == DOWN and bit == RIGHT:
                continue
            down, right = row - DOWN, bit - RIGHT
            key = <uint32_t> (down * down + right * right) << 16 | world.standing[at]
            if count < NEAR:
                count += 1
            elif key > keys[NEAR - 1]:
                continue
            n = count - 1
            while n > 0 and keys[n - 1] > key:
                keys[n] = keys[n - 1]
                n -= 1
            keys[n] = key
    agent.count = count
    for n in range(count):
        agent.near[n] = <uint16_t> keys[n]
        prefetch(&world.agents[agent.near[n]])
        prefetch(&world.agents[agent.near[n]].level)


cdef inline void see_records(const World* world, const Agent* agent, uint8_t* record) noexcept nogil:
    cdef const Agent* other
    cdef int n
    for n in range(agent.count):
        other = &world.agents[agent.near[n]]
        record[0] = <uint8_t> (other.y - agent.y + DOWN + 1)
        record[1] = <uint8_t> (other.x - agent.x + RIGHT + 1)
        record[2] = <uint8_t> might(other)
        record[3] = <uint8_t> (strongest(other) + 1)
        record[4] = <uint8_t> (other.health >> 3)
        record[5] = other.weapon
        record[6] = other.armour
        record[7] = newborn(world, other)
        record[8] = size_of(other.gold)
        record += RECORD
    memset(record, 0, (NEAR - agent.count) * RECORD)


cdef inline int nearest(const World* world, const Agent* agent, const uint8_t* bits) noexcept nogil:
    """Where in the window the nearest cell lies whose bit is set, in steps; of several the first in the order
    of reading, row * COLUMNS + column; NOBODY where there is none."""
    cdef int row, away, column, side, least = ROWS + COLUMNS, found = NOBODY
    cdef int corner = agent.cell - DOWN * world.stride - RIGHT
    cdef uint32_t line, left, right
    for row in range(ROWS):
        line = bits_of(bits, corner + row * world.stride)
        if line:
            left, right = line & (1 << RIGHT) - 1, line >> RIGHT
            column, away = 0, COLUMNS
            if left:
                column = 31 - leading_zeros(left)
                away = RIGHT - column
            if right:
                side = lowest_bit(right)
                if side < away:
                    column, away = RIGHT + side, side
            away += row - DOWN if row > DOWN else DOWN - row
            if away < least:
                least, found = away, row * COLUMNS + column
    return found


cdef inline void see_nearest(const World* world, const Agent* agent, uint8_t* seen) noexcept nogil:
    """The way it walked last; row and column of the nearest water, or of where it drank last if none is
    in sight, and of the nearest food."""
    cdef int water = nearest(world, agent, world.lakes), food = nearest(world, agent, world.meals)
    memset(seen, 0, 5)
    seen[0] = agent.heading
    if water != NOBODY:
        seen[1], seen[2] = <uint8_t> (water // COLUMNS + 1), <uint8_t> (water % COLUMNS + 1)
    elif agent.shore[0]:
        seen[1] = <uint8_t> (DOWN + 1 + max(-DOWN, min(DOWN, agent.shore[0] - agent.y)))
        seen[2] = <uint8_t> (RIGHT + 1 + max(-RIGHT, min(RIGHT, agent.shore[1] - agent.x)))
    if food != NOBODY:
        seen[3], seen[4] = <uint8_t> (food // COLUMNS + 1), <uint8_t> (food % COLUMNS + 1)


cdef inline void see_itself(const World* world, const Agent* agent, uint8_t* own) noexcept nogil:
    cdef int n, tick = world.head.tick
    own[0] = <uint8_t> (agent.health >> 3)
    own[1] = <uint8_t> (agent.food >> 3)
    own[2] = <uint8_t> (agent.water >> 3)
    memcpy(own + 3, agent.level, SKILLS)
    memcpy(own + 11, agent.goods, GOODS)
    own[20] = at_most_15(agent.gold)
    own[21] = size_of(agent.gold)
    own[22] = agent.tool
    own[23] = agent.weapon
    own[24] = agent.armour
    own[25] = <uint8_t> max(0, agent.ready_at - tick - 1)
    own[26] = newborn(world, agent)
    own[27] = at_most_15(agent.hurt >> 2)
    own[28] = fertile(world, agent.y)
    own[29] = <uint8_t> (world.head.fertile * 16 // world.size)
    own[30] = <uint8_t> ((tick - agent.born) * <int64_t> 16 // world.lifespan)
    own[31] = <uint8_t> ((agent.y - BORDER) * 16 // world.size)
    own[32] = <uint8_t> ((agent.x - BORDER) * 16 // world.size)
    if terrain_of(world, agent.cell) == TOWN:
        for n in range(GOODS):
            own[33 + n] = <uint8_t> ask(world, n)
    else:
        memset(own + 33, 0, GOODS)
    see_nearest(world, agent, own + NEAREST)


cdef inline void come_near(const World* world, const Agent* agent) noexcept nogil:
    """Ask for the memory around an inhabitant: a large world is not in the fast caches."""
    cdef int corner = agent.cell - DOWN * world.stride - RIGHT, row
    for row in range(ROWS):
        prefetch(world.tiles + TILE * (corner + row * world.stride))
        prefetch(world.tiles + TILE * (corner + row * world.stride + COLUMNS - 1))


cdef inline void expect(uint8_t* observation) noexcept nogil:
    """Ask for the memory that an observation is written to."""
    cdef int at
    for at in range(0, OBSERVATION, 64):
        prefetch_to_write(observation + at, 1)


cdef inline void see(World* world, Agent* agent, uint8_t* observation) noexcept nogil:
    """The whole observation, after `look`."""
    cdef const uint8_t* corner = world.tiles + TILE * (agent.cell - DOWN * world.stride - RIGHT)
    cdef int row
    for row in range(ROWS):
        memcpy(observation + ROW_BYTES * row, corner + row * TILE * world.stride, ROW_BYTES)
    see_itself(world, agent, observation + OWN_AT)
    see_records(world, agent, observation + RECORDS_AT)


cdef inline void legal(World* world, const Agent* agent, uint8_t* mask) noexcept nogil:
    """Which choices of each part of the action would do something if they were taken alone, CHOICES bytes.

    The first choice of each part, which does nothing, is always legal."""
    cdef int n, slot, cell, terrain, tick = world.head.tick + 1
    cdef const Agent* other
    cdef bint able
    memset(mask, 0, CHOICES)
    mask[0] = mask[5] = mask[9] = mask[17] = mask[32] = mask[51] = 1
    for n in range(1, 5):
        cell = agent.cell + step_of(world, n)
        terrain = terrain_of(world, cell)
        mask[n] = terrain == WATER or (may_walk(agent, terrain) and free(world, cell))
    for n in range(GATHERING):
        able = may_fight(world, agent, n, tick)
        for slot in range(agent.count):
            mask[6 + n] |= able and may_strike(world, agent, &world.agents[agent.near[slot]], n)
    for slot in range(agent.count):
        mask[9 + slot] = 1
    for n in range(GOODS):
        mask[18 + n] = may_use(agent, n)
        mask[33 + n] = may_sell(world, agent, n)
        mask[42 + n] = may_buy(world, agent, n)
    for n in range(RECIPES):
        mask[27 + n] = may_craft(agent, n)
    for slot in range(agent.count):
        other = &world.agents[agent.near[slot]]
        if distance(agent, other) > 1:
            break                           # the nearest come first
        for n in range(GOODS + 1):
            mask[52 + n] |= may_give(agent, other, n)
