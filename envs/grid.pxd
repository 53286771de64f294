"""One level of `grid`: what its cells are, what an agent sees of them, what its actions do to them,
and how a maze is dug.

A cell is one byte:  kind | colour << 4 | OPAQUE.  A level is kept twice, row by row and column by column,
each copy inside a border of wall cells. So the seven cells of a column of the view lie side by side in one of
the copies, whatever way the agent faces: one load of eight bytes brings them, and no test for the edge of the
level is needed.

    row 0   . . . # ? ? .       # opaque, ? unseen, A the agent, in column 3 of row 6, looking up.
    row 1   . . . # ? . .       A column is a uint64 whose byte j is row j. The OPAQUE bits of column i,
    ...                         shifted to bit i of their bytes and joined with those of the other columns,
    ...                         give the view by rows: a bitboard with byte j for row j and bit i for
    row 6   . . . A . . #       column i. (Byte order: little endian, as on x86-64 and ARM64.)

MiniGrid's `process_vis` goes over such rows from the agent's outwards. In a row, light spreads from each lit
cell that can be seen through to both sides as far as the next opaque cell, that cell included; and from each
cell it went through into the three cells before it in the next row. What a row lights depends only on its
seven transparent and seven lit bits: one table of 128 x 128 bytes.
"""

from libc.stdint cimport int32_t, int64_t, uint8_t, uint64_t
from libc.string cimport memcpy

from envs.core.random cimport Stream, draw_below

cdef extern from * nogil:
    uint64_t byte_swap "__builtin_bswap64"(uint64_t) noexcept

cdef enum:                      # kinds of cell: MiniGrid's object types, with a kind for each state of a door
    UNSEEN, EMPTY, WALL, FLOOR, OPEN_DOOR, KEY, BALL, BOX, GOAL, LAVA, CLOSED_DOOR, LOCKED_DOOR

cdef enum:
    RED, GREEN, BLUE, PURPLE, YELLOW, GREY

cdef enum:
    LEFT, RIGHT, FORWARD, PICKUP, DROP, TOGGLE, DONE

cdef enum:                      # what an action did: CHANGED level or hands; WON or BURNT ends the episode
    NOTHING, CHANGED, WON, BURNT

cdef enum:
    KIND = 15                   # masks of a cell's parts
    COLOUR = 112
    OPAQUE = 128
    GOAL_CELL = 24              # GOAL, GREEN
    DEPTH = 5                   # border along a line: one sees six cells ahead, and nobody stands on the edge
    SIDE = 2                    # lines of border at both sides: one sees three cells to each side
    LARGEST = 47                # cells along the side of a level
    MOST_ROOMS = 529            # of a maze: 23 * 23

cdef struct Agent:
    int64_t level               # seed of the level it is in, -1 for a layout given by hand
    int32_t at[2]               # its place in the copy by rows and in the copy by columns
    int32_t max_steps
    int32_t shortest            # fewest actions from the start to the goal; in mazes only, else -1
    uint8_t direction           # 0 right, 1 down, 2 left, 3 up
    uint8_t carrying            # a cell; EMPTY for nothing

cdef struct Geometry:           # distances within a level, most of them by direction
    int size                    # cells along the side
    Py_ssize_t stride           # from a line of a copy to the next
    Py_ssize_t plane            # bytes of one copy
    int forward[2][4]           # one step ahead, in either copy
    Py_ssize_t sideways[4]      # to the view's next column, in the copy whose lines run along the direction
    Py_ssize_t corner[4]        # from the agent's place to the first byte loaded for column 0

# Tables, filled at import. Those by action are tables because actions come in no order that a branch
# predictor could learn.
cdef uint8_t lights[16384]      # transparent << 7 | lit -> what the row lights, in itself and in the next row
cdef uint64_t pairs[65536]      # two cells -> six bytes: types, colours and states as MiniGrid encodes them
cdef int turns[7]               # action -> change of direction
cdef int enters[7]              # action -> bit k: the agent walks onto a cell of kind k
cdef int happens[2][7]          # [carrying]: action -> bit k: something else happens when kind k is ahead
cdef uint8_t members[16][4]     # a set of directions as bits, n -> its n-th member
cdef uint8_t counts[16]         # a set of directions as bits -> how many


cdef inline int place(const Geometry* geometry, int x, int y) noexcept nogil:
    """Where cell (x, y) is in the copy by rows; with x and y exchanged, in the copy by columns."""
    return (y + SIDE) * geometry.stride + DEPTH + x


cdef inline void put(uint8_t* cells, const Geometry* geometry, int x, int y, int cell) noexcept nogil:
    cells[place(geometry, x, y)] = cells[geometry.plane + place(geometry, y, x)] = cell


cdef inline void stand(Agent* agent, const Geometry* geometry, int x, int y, int direction) noexcept nogil:
    agent.at[0], agent.at[1], agent.direction = place(geometry, x, y), place(geometry, y, x), direction


cdef inline void put_anywhere(uint8_t* cells, const Geometry* geometry, Agent* agent, int cell, int columns,
                              Stream* stream) noexcept nogil:
    """Put `cell`, or for EMPTY the agent, on a random empty cell of the first `columns` inside the wall."""
    cdef int x, y
    while True:
        x = 1 + draw_below(stream, columns)
        y = 1 + draw_below(stream, geometry.size - 2)
        if cells[place(geometry, x, y)] == EMPTY and (cell == EMPTY or place(geometry, x, y) != agent.at[0]):
            break
    if cell == EMPTY:
        stand(agent, geometry, x, y, draw_below(stream, 4))
    else:
        put(cells, geometry, x, y, cell)


cdef inline int walking_time(const uint8_t* trail, int moves, int direction) noexcept nogil:
    """Actions along a path from room to room of a maze: two steps forward for each move, and the turns."""
    cdef int i, turn, time = 2 * moves
    for i in range(moves):
        turn = (trail[i] - direction) & 3
        time += 1 if turn == 3 else turn
        direction = trail[i]
    return time


cdef inline void dig(uint8_t* cells, const Geometry* geometry, Agent* agent, Stream* stream) noexcept nogil:
    """A perfect maze by depth-first search from the agent's room. `trail` is the way from there:
    at the goal, the shortest path."""
    cdef const int* across = geometry.forward[0]
    cdef const int* down = geometry.forward[1]
    cdef uint8_t* turned = cells + geometry.plane
    cdef uint8_t trail[MOST_ROOMS]
    cdef int rooms = geometry.size // 2, depth = 0, direction, sides, row, column
    cdef int first = draw_below(stream, rooms * rooms), last = draw_below(stream, rooms * rooms - 1), goal
    last += last >= first
    goal = place(geometry, 1 + 2 * (last % rooms), 1 + 2 * (last // rooms))
    stand(agent, geometry, 1 + 2 * (first % rooms), 1 + 2 * (first // rooms), draw_below(stream, 4))
    row, column = agent.at[0], agent.at[1]
    cells[row] = turned[column] = EMPTY
    while True:
        sides = 0
        for direction in range(4):
            sides |= (cells[row + 2 * across[direction]] == UNSEEN) << direction
        if sides:
            direction = members[sides][draw_below(stream, counts[sides])]
            cells[row + across[direction]] = turned[column + down[direction]] = EMPTY
            row += 2 * across[direction]
            column += 2 * down[direction]
            cells[row] = turned[column] = EMPTY
            trail[depth] = direction
            depth += 1
            if row == goal:
                agent.shortest = walking_time(trail, depth, agent.direction)
        elif depth:
            depth -= 1
            row -= 2 * across[trail[depth]]
            column -= 2 * down[trail[depth]]
        else:
            break
    put(cells, geometry, 1 + 2 * (last % rooms), 1 + 2 * (last // rooms), GOAL_CELL)


cdef inline uint64_t look(const uint8_t* cells, const Geometry* geometry, const Agent* agent,
                          uint64_t* columns) noexcept nogil:
    """Load the seven columns of the agent's view; returns the bitboard of the opaque cells."""
    cdef int direction = agent.direction, i
    cdef const uint8_t* line = (cells + (direction & 1) * geometry.plane + agent.at[direction & 1]
                                + geometry.corner[direction])
    cdef uint64_t opaque = 0, column, swap = -<uint64_t> (direction < 2)
    for i in range(7):
        memcpy(&column, line + i * geometry.sideways[direction], 8)
        columns[i] = column ^ ((column ^ byte_swap(column)) & swap)
        opaque |= (columns[i] >> 7 & <uint64_t> 0x0101010101010101) << i
    columns[3] = columns[3] & <uint64_t> 0xFF00FFFFFFFFFFFF | <uint64_t> agent.carrying << 48
    return opaque


cdef inline uint64_t light(uint64_t opaque) noexcept nogil:
    """MiniGrid's `process_vis`: the bitboard of the cells seen, given that of the opaque ones."""
    cdef uint64_t way = 1 << 3, ways = 0
    cdef int j
    for j in range(48, -1, -8):
        way = lights[(~opaque >> j & 127) << 7 | way]
        ways |= way << j
    # What a row lights in itself, what it is lit by, and the agent.
    return ways | ways >> 8 | <uint64_t> 8 << 48


cdef inline void show(const uint64_t* columns, uint64_t seen, uint8_t* view) noexcept nogil:
    """Write MiniGrid's encoded view: 7 columns of 7 cells of (type, colour, state), 147 bytes."""
    cdef uint64_t column = 0
    cdef int i
    for i in range(7):
        column = columns[i] & (seen >> i & <uint64_t> 0x0101010101010101) * 255
        memcpy(view + 21 * i, &pairs[column & 65535], 8)
        memcpy(view + 21 * i + 6, &pairs[column >> 16 & 65535], 8)
        memcpy(view + 21 * i + 12, &pairs[column >> 32 & 65535], 8)
        if i < 6:
            memcpy(view + 21 * i + 18, &pairs[column >> 48], 8)
    memcpy(view + 144, &pairs[column >> 48], 3)


cdef inline int act(uint8_t* cells, const Geometry* geometry, Agent* agent, int action) noexcept nogil:
    """One action by MiniGrid's rules."""
    cdef int direction = agent.direction
    cdef int across = agent.at[0] + geometry.forward[0][direction]
    cdef int down = agent.at[1] + geometry.forward[1][direction]
    cdef int cell = cells[across], kind = cell & KIND, after = EMPTY
    cdef int walks = enters[action] >> kind & 1
    agent.direction = (direction + turns[action]) & 3
    agent.at[0] += geometry.forward[0][direction] * walks
    agent.at[1] += geometry.forward[1][direction] * walks
    if not happens[agent.carrying != EMPTY][action] >> kind & 1:
        return NOTHING
    if action == FORWARD:
        return WON if kind == GOAL else BURNT
    if action == PICKUP:
        agent.carrying = cell
    elif action == DROP:
        after = agent.carrying
        agent.carrying = EMPTY
    elif kind == LOCKED_DOOR and agent.carrying != KEY + (cell & COLOUR):
        return NOTHING
    elif kind == OPEN_DOOR:
        after = CLOSED_DOOR + (cell & COLOUR) + OPAQUE
    elif kind != BOX:                                   # a box vanishes
        after = OPEN_DOOR + (cell & COLOUR)
    cells[across] = cells[geometry.plane + down] = after
    return CHANGED
