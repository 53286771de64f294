"""The map of `skirmish`: its numbers, what a game holds, and how things stand and move;
the rules are in skirmish.pyx.

A row of the map is the 64 bits of a word. One board of such rows has the bits set where anybody stands,
and one for each side where its own stand: foes are the first without the second, and nothing is rebuilt
when somebody moves. What an entity sees is a `Window`, the 121 bits around it packed into two words, so
that looking is one loop over those who are there. There are few branches: what they depend on is as good
as random, and a wrong guess of the processor costs as much as dozens of instructions. So a group of
entities decides what to do in passes without branches (`decide`), and only those who attack or walk are
called upon one by one.
"""

cimport cython
from libc.stdint cimport int16_t, uint8_t, uint64_t

cdef extern from * nogil:
    """
    /* by kind: hero, tower, neutral, creep; reach is squared, in cells */
    static const int MAX_HEALTH[] = {500, 1800, 500, 450}, DAMAGE[] = {50, 100, 22, 22};
    static const int REACH[] = {9, 25, 2, 2}, PAUSE[] = {8, 5, 5, 5};
    static const float BOUNTY[] = {1.0f, 2.0f, 0.5f, 0.5f};
    /* side 0's towers; where its three lanes turn, then where side 1's do; both bases */
    static const int TOWER_ROWS[] = {42, 26, 46, 38, 57, 57}, TOWER_COLUMNS[] = {6, 6, 17, 25, 21, 37};
    static const int GOAL_ROWS[] = {5, 32, 58, 58, 31, 5}, GOAL_COLUMNS[] = {5, 31, 58, 58, 32, 5};
    /* first entity of each group */
    static const int FIRST[] = {10, 16, 22, 86, 150, 180};
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
    GROUPS = 6                      # towers of either side, neutrals of either half, creeps of either side
    NOBODY = 210                    # an entity that never lives
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
    uint8_t home_row                # where a neutral stands and a hero begins anew; where a creep goes next
    uint8_t home_column
    uint8_t leg                     # corners of its lane that a creep has passed

cdef struct Game:
    # Rows of bits, VISION + row; those before and after the map stay empty,
    # so that a window needs no test for the edge.
    uint64_t[74] taken              # by anybody
    uint64_t[3][74] stand           # by those of side 0, 1, and neutrals
    Entity[NUM_ENTITIES + 1] entities
    uint8_t[4096] who               # cell -> index of the entity; means something only where a bit is set
    uint64_t[GROUPS] busy           # a word for each group of entities, bit b: its b-th is not content to
                                    # stand until it looks again
    int tick
    int env                         # its place in the batch

cdef struct Turn:                   # of one group, bit b: its b-th
    uint64_t attack
    uint64_t walk
    uint64_t alone                  # has no target, or none any more
    uint64_t dropped                # is to forget its target at the end of the turn: a hero that falls may
                                    # come back into sight

cdef struct Window:                 # bit k of the two: the k-th of 11 x 11 cells around somebody, row by row
    uint64_t low
    uint64_t high


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
    return <unsigned int> (difference + most) > <unsigned int> (2 * most)


cdef inline int centre(int at) noexcept nogil:
    return at * UNIT + UNIT // 2


cdef inline uint8_t fifteenths(int health, int largest) noexcept nogil:
    return <uint8_t> ((health * 15 + largest - 1) // largest)


cdef inline int squared_distance(Entity* a, Entity* b) noexcept nogil:
    """Between two cells: of whole numbers, so that a root would change no comparison."""
    cdef int dy = a.row - b.row, dx = a.column - b.column
    return dy * dy + dx * dx


@cython.overflowcheck(False)
cdef inline uint64_t window_mask(int column) noexcept nogil:
    """The bits of a row that lie in the window around `column`."""
    return <uint64_t> 2047 << (column - VISION) if column >= VISION else <uint64_t> 2047 >> (VISION - column)


@cython.overflowcheck(False)
cdef inline uint64_t turned(uint64_t word, int column) noexcept nogil:
    """A row, rotated so that the window around `column` begins at bit 0;
    what lies over either edge has been masked out."""
    return word >> ((column - VISION) & 63) | word << ((VISION - column) & 63)


@cython.overflowcheck(False)
cdef inline Window pack(uint64_t* rows, int column) noexcept nogil:
    """The window around `column` of eleven rows. Rows are taken four at a time, some twice,
    as the processor's vectors are long."""
    cdef uint64_t mask = window_mask(column)
    cdef Window window
    cdef int k
    window.low, window.high = 0, turned(rows[5] & mask, column) >> 9
    for k in range(4):
        window.low |= (turned(rows[k] & mask, column) << (11 * k)
                       | turned(rows[k + 2] & mask, column) << (11 * k + 22))
        window.high |= (turned(rows[k + 6] & mask, column) << (11 * k + 2)
                        | turned(rows[k + 7] & mask, column) << (11 * k + 13))
    return window


cdef inline bint somebody(Window* window) noexcept nogil:
    return (window.low | window.high) != 0


cdef inline unsigned int next_of(Window* window) noexcept nogil:
    """The first cell of a window where somebody stands, 0 to 120; it is taken out."""
    cdef bint first = window.low != 0
    cdef uint64_t word = window.low if first else window.high, rest = word & (word - 1)
    window.low = rest if first else 0
    window.high = window.high if first else rest
    return lowest(word) + (0 if first else 64)


cdef inline int on_map(int row, int column, unsigned int k) noexcept nogil:
    """Cell of the map that is the k-th of the window around (row, column)."""
    return (row - VISION) * SIZE + column - VISION + <int> (k + k // WINDOW * (SIZE - WINDOW))


cdef inline Window foes_around(Game* game, int side, int row, int column) noexcept nogil:
    """Where in the window around a cell somebody hostile to `side` stands."""
    cdef uint64_t[WINDOW] foes
    cdef int k
    for k in range(WINDOW):
        foes[k] = game.taken[row + k] & ~game.stand[side][row + k]
    return pack(foes, column)


cdef inline bint sees_foes(Game* game, int side, int row, int column) noexcept nogil:
    """Whether there is any foe in the window; rows are taken as in `pack`."""
    cdef uint64_t* taken = game.taken + row
    cdef uint64_t* own = game.stand[side] + row
    cdef uint64_t word = 0
    cdef int k
    for k in range(4):
        word |= taken[k] & ~own[k] | taken[k + 4] & ~own[k + 4] | taken[k + 7] & ~own[k + 7]
    return word & window_mask(column) != 0


cdef inline int nearest(Game* game, int i, int side, bint heroes_only) noexcept nogil:
    """Index of the nearest entity hostile to `side` that entity i sees, or NOBODY."""
    cdef Entity* entity = &game.entities[i]
    cdef Window foes
    cdef int dy, dx, index, key, best = NOBODY | 1 << 20
    cdef unsigned int k
    foes = foes_around(game, side, entity.row, entity.column)
    while somebody(&foes):
        k = next_of(&foes)
        dy, dx = <int> (k // WINDOW) - VISION, <int> (k % WINDOW) - VISION
        index = game.who[on_map(entity.row, entity.column, k)]
        key = (dy * dy + dx * dx) << 8 | index          # the distance, then the index: one comparison
        if heroes_only:
            key |= (index >= FIRST_TOWER) << 24
        best = min(best, key)
    return best & 255


cdef inline void enter(Game* game, int i, int side, int row, int column) noexcept nogil:
    cdef uint64_t bit = <uint64_t> 1 << column
    game.taken[row + VISION] |= bit
    game.stand[side][row + VISION] |= bit
    game.who[row * SIZE + column] = <uint8_t> i
    game.entities[i].row, game.entities[i].column = <uint8_t> row, <uint8_t> column


cdef inline void leave(Game* game, int side, int row, int column) noexcept nogil:
    cdef uint64_t bit = <uint64_t> 1 << column
    game.taken[row + VISION] &= ~bit
    game.stand[side][row + VISION] &= ~bit


cdef inline void set_busy(Game* game, int i, bint busy) noexcept nogil:
    """Whether entity i, no hero, has something to do."""
    cdef int group = (i >= FIRST[1]) + (i >= FIRST[2]) + (i >= FIRST[3]) + (i >= FIRST[4]) + (i >= FIRST[5])
    cdef uint64_t bit = <uint64_t> 1 << (i - FIRST[group])
    game.busy[group] = game.busy[group] | bit if busy else game.busy[group] & ~bit


cdef inline bint taken(Game* game, int row, int column) noexcept nogil:
    return game.taken[row + VISION] >> column & 1


cdef inline void place(Game* game, int i, int side, int kind, int row, int column) noexcept nogil:
    """Put an entity with full health on a cell, or on the next one that is free;
    for side 1 the next is to the left."""
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
    cdef unsigned int row, column
    y, x = min(max(y, 0), LAST), min(max(x, 0), LAST)
    row, column = <unsigned int> y // UNIT, <unsigned int> x // UNIT
    if taken(game, row, column) & (game.who[row * SIZE + column] != i):
        return False
    leave(game, side, entity.row, entity.column)                # mostly to the same cell: cheaper than to ask
    enter(game, i, side, row, column)
    entity.y, entity.x = <int16_t> y, <int16_t> x
    return True


cdef inline void decide(Game* game, int group, int kind, int side, uint64_t due, uint64_t rest, bint begins,
                        Turn* turn) noexcept nogil:
    """What those members of a group do who are in `rest`, without branches.
    begins: their pauses have not been counted down yet."""
    cdef Entity* entity
    cdef Entity* target
    cdef uint64_t todo = game.busy[group] & rest, looking = due & rest, seeing = 0, content = 0
    cdef uint64_t alone, close, ready, home
    cdef int i, dy, dx, first = FIRST[group]
    if kind == CREEP:
        looking &= todo                                         # every creep that lives is busy
    while looking:
        i = lowest(looking)
        looking &= looking - 1
        entity = &game.entities[first + i]
        entity.target = NOBODY
        seeing |= <uint64_t> (sees_foes(game, side, entity.row, entity.column) & (entity.health > 0)) << i
    todo |= seeing
    game.busy[group] |= seeing
    while seeing:
        i = first + lowest(seeing)
        seeing &= seeing - 1
        game.entities[i].target = <uint8_t> nearest(game, i, side, False)
    turn.attack = turn.walk = turn.alone = 0
    turn.dropped &= ~rest
    while todo:
        i = lowest(todo)
        todo &= todo - 1
        entity = &game.entities[first + i]
        entity.pause -= begins & (entity.pause > 0)
        target = &game.entities[entity.target]
        dy, dx = target.row - entity.row, target.column - entity.column
        alone = (target.health <= 0) | far(dy, VISION) | far(dx, VISION)
        close = (dy * dy + dx * dx <= REACH[kind]) & ~alone
        ready = entity.pause == 0
        home = (kind != CREEP) & (entity.row == entity.home_row) & (entity.column == entity.home_column)
        turn.attack |= (close & ready) << i
        turn.alone |= alone << i
        turn.dropped |= (alone & (entity.target != NOBODY)) << i
        if kind != TOWER:
            turn.walk |= (~close & ~(alone & home) & 1) << i
        content |= (home & ready & (entity.target == NOBODY)) << i
    game.busy[group] &= ~content
