"""The map of `skirmish`: its numbers, what a game holds, and how things stand and move; the rules are in skirmish.pyx.

A row of the map is the 64 bits of a word. For each side there is a board of such rows with the bits set where somebody hostile stands:
looking for a foe is eleven loads and one mask, a cell is taken where either side has a foe, and nothing is rebuilt when somebody moves.
"""

cimport cython
from libc.stdint cimport int16_t, uint8_t, uint64_t

cdef extern from * nogil:
    """
    /* by kind: hero, tower, neutral, creep; reach is squared, in cells */
    static const int MAX_HEALTH[] = {500, 1800, 500, 450}, DAMAGE[] = {50, 100, 22, 22}, REACH[] = {9, 25, 2, 2}, PAUSE[] = {8, 5, 5, 5};
    static const float BOUNTY[] = {1.0f, 2.0f, 0.5f, 0.5f};
    /* side 0's towers; where its three lanes turn, then where side 1's do; both bases */
    static const int TOWER_ROWS[] = {42, 26, 46, 38, 57, 57}, TOWER_COLUMNS[] = {6, 6, 17, 25, 21, 37};
    static const int GOAL_ROWS[] = {5, 32, 58, 58, 31, 5}, GOAL_COLUMNS[] = {5, 31, 58, 58, 32, 5};
    static const int FIRST[] = {10, 22, 86, 150, 180};          /* entity of each group */
    static const int BASE_ROWS[] = {58, 5}, BASE_COLUMNS[] = {5, 58};
    """
    const int MAX_HEALTH[]
    const int DAMAGE[]
    const int REACH[]
    const int PAUSE[]
    const int FIRST[]
    const int TOWER_ROWS[]
    const int TOWER_COLUMNS[]
    const int GOAL_ROWS[]
    const int GOAL_COLUMNS[]
    const int BASE_ROWS[]
    const int BASE_COLUMNS[]
    const float BOUNTY[]
    int lowest "__builtin_ctzll" (unsigned long long)

cdef enum:
    SIZE = 64                       # cells a side: a row of the map is the bits of one word
    UNIT = 6                        # units of position a cell
    LAST = 383                      # SIZE * UNIT - 1
    VISION = 5
    WINDOW = 11
    CELLS = 121
    OBSERVATION = 363
    FIRST_TOWER = 10
    FIRST_NEUTRAL = 22
    FIRST_CREEP = 150
    NUM_ENTITIES = 210
    GROUPS = 5                      # towers, neutrals of either half, creeps of either side
    NOBODY = 255
    WAVE = 200
    SLOTS = 30                      # for a side's creeps
    WAVE_SIZE = 9                   # creeps a side: three for each of three lanes
    RETURN = 600
    STRIKE = 60
    STRIKE_RADIUS = 2
    MEND = 150
    REST = 15

cdef enum:
    HERO, TOWER, NEUTRAL, CREEP

cdef enum:
    EMPTY = 0
    OUTSIDE = 1
    OWN = 2                         # hero, tower, creep
    FOE = 5
    WILD = 8

cdef struct Entity:                 # 16 bytes: four to a line of the cache
    int16_t y
    int16_t x
    int16_t health                  # alive above 0
    uint8_t row
    uint8_t column
    uint8_t bar                     # health in fifteenths, for those who see it
    uint8_t pause                   # ticks until it can attack
    uint8_t rest                    # ticks until a hero's next skill
    uint8_t target                  # index of an entity, or NOBODY
    uint8_t home_row
    uint8_t home_column
    uint8_t lane
    uint8_t leg

cdef struct Game:
    # foes[t][VISION + row], bit c: on that cell stands somebody hostile to side t (2: neutral). The rows before and after stay empty,
    # so that a window needs no test for the edge. Every entity is hostile to side 0 or 1: both together are the taken cells.
    uint64_t[3][74] foes
    Entity[NUM_ENTITIES] entities
    uint8_t[4096] who               # cell -> index of the entity; means something only where a bit is set
    uint64_t[GROUPS] busy           # a word for each group of entities, bit b: its b-th is not content to stand until it looks again
    int tick


cdef inline int overlap(int at, int side) noexcept nogil:
    """5 for a window that lies inside along an axis; more by the rows beyond the far edge, less by those before the near one."""
    cdef int over = max(0, at - (SIZE - 1 - VISION)) - max(0, VISION - at)
    return VISION - over if side else VISION + over


cdef inline int kind_of(int i) noexcept nogil:
    return HERO if i < FIRST_TOWER else TOWER if i < FIRST_NEUTRAL else NEUTRAL if i < FIRST_CREEP else CREEP


cdef inline int side_of(int i) noexcept nogil:
    if i < FIRST_TOWER:
        return i >= 5
    if i < FIRST_NEUTRAL:
        return i >= FIRST_TOWER + 6
    return 2 if i < FIRST_CREEP else i >= FIRST_CREEP + SLOTS


cdef inline uint8_t name_of(int i, int side) noexcept nogil:
    """What an entity is for somebody of `side`."""
    cdef int kind = kind_of(i)
    if kind == NEUTRAL:
        return WILD
    return <uint8_t> ((OWN if side_of(i) == side else FOE) + (2 if kind == CREEP else kind))


cdef inline int opposite_if(int side, int at) noexcept nogil:
    """A row or column of side 0's, as it lies for `side`."""
    return SIZE - 1 - at if side else at


cdef inline bint far(int difference, int most) noexcept nogil:
    return (difference > most) | (difference < -most)


cdef inline int centre(int at) noexcept nogil:
    return at * UNIT + UNIT // 2


cdef inline uint8_t fifteenths(int health, int largest) noexcept nogil:
    return <uint8_t> ((health * 15 + largest - 1) // largest)


cdef inline int squared_distance(Entity* a, Entity* b) noexcept nogil:
    """Between two cells: of whole numbers, so that a root would change no comparison."""
    cdef int dy = a.row - b.row, dx = a.column - b.column
    return dy * dy + dx * dx


@cython.overflowcheck(False)
cdef inline uint64_t window_mask(int column, int radius) noexcept nogil:
    """The bits of a row that lie in the window around `column`."""
    cdef uint64_t bits = (<uint64_t> 2 << (2 * radius)) - 1
    return bits << (column - radius) if column >= radius else bits >> (radius - column)


cdef inline int nearest(Game* game, int i, int side, bint heroes_only) noexcept nogil:
    """Index of the nearest entity hostile to `side` that entity i sees, or NOBODY. Rows outwards, until none can hold a nearer one."""
    cdef Entity* entity = &game.entities[i]
    cdef uint64_t* foes = game.foes[side] + entity.row                          # the first row of the window
    cdef uint64_t mask = window_mask(entity.column, VISION), word = 0
    cdef int k, dy, at, index, dx, key, best = NOBODY | 1 << 20
    for k in range(WINDOW):
        word |= foes[k]
    if not word & mask:
        return NOBODY
    for k in range(WINDOW):
        dy = (k + 1) // 2 if k & 1 else -(k // 2)
        if dy * dy > best >> 8:
            break
        word = foes[VISION + dy] & mask
        while word:
            at = lowest(word)
            word &= word - 1
            index = game.who[(entity.row + dy) * SIZE + at]
            dx = at - entity.column
            key = (dy * dy + dx * dx) << 8 | index                              # the distance, then the index: one comparison
            if key < best and (index < FIRST_TOWER or not heroes_only):
                best = key
    return best & 255


cdef inline void enter(Game* game, int i, int side, int row, int column) noexcept nogil:
    cdef uint64_t bit = <uint64_t> 1 << column
    game.foes[(side + 1) % 3][row + VISION] |= bit
    game.foes[(side + 2) % 3][row + VISION] |= bit
    game.who[row * SIZE + column] = <uint8_t> i
    game.entities[i].row, game.entities[i].column = <uint8_t> row, <uint8_t> column


cdef inline void leave(Game* game, int side, int row, int column) noexcept nogil:
    cdef uint64_t bit = <uint64_t> 1 << column
    game.foes[(side + 1) % 3][row + VISION] &= ~bit
    game.foes[(side + 2) % 3][row + VISION] &= ~bit


cdef inline bint taken(Game* game, int row, int column) noexcept nogil:
    return (game.foes[0][row + VISION] | game.foes[1][row + VISION]) >> column & 1


cdef inline void place(Game* game, int i, int side, int kind, int row, int column) noexcept nogil:
    """Put an entity with full health on a cell, or on the next one that is free; for side 1 the next is to the left."""
    cdef Entity* entity = &game.entities[i]
    cdef int cell = row * SIZE + column
    while taken(game, cell // SIZE, cell % SIZE):
        cell = (cell + (-1 if side == 1 else 1)) & 4095
    row, column = cell // SIZE, cell % SIZE
    enter(game, i, side, row, column)
    entity.y, entity.x = <int16_t> centre(row), <int16_t> centre(column)
    entity.health, entity.bar = <int16_t> MAX_HEALTH[kind], 15
    entity.pause = entity.rest = 0
    entity.target = NOBODY


cdef inline void settle(Game* game, int i, int side, int kind, int row, int column) noexcept nogil:
    """Place an entity for the first time: that cell is its home."""
    place(game, i, side, kind, row, column)
    game.entities[i].home_row, game.entities[i].home_column = game.entities[i].row, game.entities[i].column


cdef inline bint move_to(Game* game, int i, int side, int y, int x) noexcept nogil:
    """Go to a position if its cell is free; returns whether it was."""
    cdef Entity* entity = &game.entities[i]
    cdef int row, column
    y, x = min(max(y, 0), LAST), min(max(x, 0), LAST)
    row, column = y // UNIT, x // UNIT
    if (row != entity.row) | (column != entity.column):
        if taken(game, row, column):
            return False
        leave(game, side, entity.row, entity.column)
        enter(game, i, side, row, column)
    entity.y, entity.x = <int16_t> y, <int16_t> x
    return True
