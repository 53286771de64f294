"""The world of `moba`: what a game holds, and how things stand and move on its grid.
The rules build on it: combat, minds, sight.

    entities   206 records of one cache line each: 103 for each half of the map in the same order, so that
               the mirror image of entity e is e + 103 or e - 103:
               0-4 heroes  5-54 creeps  55-90 neutrals  91-101 towers  102 ancient
    ids        the grid: entity + 1, 0 for free ground, 255 for trees and the border.
               At most one entity a cell.
    picture    the same grid as it is observed: four bytes a cell, code, health, mana, level,
               as side 0 sees it. Kept up to date by whoever changes an entity, so that observing is copying.
    present    a bitboard for each side. A window of 11 x 11 is eleven loads and shifts, gathered into two
               words and a half; who is in it are the bits that are set, and most windows have few.

Positions are whole numbers, 1/256 of a cell, and all arithmetic on them is odd (f(-x) = -f(x)). So the mirror
image of a game is a game, to the last bit, in every build and on every machine: tests/test_moba_symmetry.py
holds the rules to that.
"""

from libc.math cimport sqrtf
from libc.stdint cimport int16_t, int32_t, uint8_t, uint32_t, uint64_t
from libc.string cimport memcpy

cdef extern from * nogil:
    int lowest_bit "__builtin_ctzll"(uint64_t) noexcept
    int count_bits "__builtin_popcountll"(uint64_t) noexcept

cdef enum:
    SIZE = 128
    BORDER = 8                      # cells of border around the map: nobody's window leaves the grid
    STRIDE = 144                    # cells in a row of the grid
    CELLS = 20736
    UNIT = 256                      # positions in a cell
    TURN = 36863                    # y -> TURN - y is a half turn of the grid
    ROW_BYTES = 20                  # of a bitboard
    BOARD_BYTES = 2880
    SIGHT = 5
    WINDOW = 11                     # cells along a window
    REACH = 1536                    # nobody in a window is as far away as this along either axis

cdef enum:
    HALF = 103
    ENTITIES = 206
    HEROES = 5
    CREEPS = 50
    NEUTRALS = 36
    TOWERS = 11
    CREEP_AT = 5
    NEUTRAL_AT = 55
    TOWER_AT = 91
    ANCIENT_AT = 102

cdef enum:                          # kinds; codes in the picture: ally 2 to 5, neutral 6, rival 7 to 10
    HERO, CREEP, NEUTRAL, TOWER, ANCIENT

cdef enum:
    FREE_CODE = 0
    TREE_CODE = 1
    NEUTRAL_CODE = 6
    TREE_ID = 255
    NOBODY = -1
    WILD = 2                        # the side of the neutrals; 0 and 1 are the teams
    BOTH_TEAMS = 3                  # sides as a set of bits

cdef struct Entity:                 # 64 bytes
    int32_t y, x                    # 1/256 cells, border included
    int32_t home_y, home_x          # where it stands in peace (neutrals), or comes back (heroes)
    int32_t health, max_health
    int32_t damage
    int32_t reach                   # of its attack, 1/256 cells
    int32_t attack_at               # the tick from which it may attack again; so nothing is counted down
    int32_t stunned_until, slowed_until
    int32_t bounty                  # experience for killing it
    int16_t speed                   # 1/256 cells a tick
    int16_t pace                    # ticks between attacks
    int16_t target                  # the entity it is after, or NOBODY
    int16_t id
    uint8_t kind, side, half
    uint8_t lane
    uint8_t level
    uint8_t alive
    uint8_t exposed                 # may be attacked: a tower only once the one before it has fallen
    uint8_t unused

cdef struct Hero:
    int32_t mana, max_mana
    int32_t experience
    int32_t[3] ready_at             # ticks from which Q, W, E may be cast again
    int32_t hasted_until
    int32_t back_at                 # tick of its return, while dead
    int32_t kills, deaths
    int32_t known_experience, known_deaths, known_distance      # what has been rewarded already
    int32_t plan                    # of a scripted hero (minds)
    int32_t wait_until              # the tick on which it tries again alone

cdef struct Game:
    Entity[ENTITIES] entities
    Hero[10] heroes
    uint8_t[3][BOARD_BYTES] present
    uint8_t[CELLS] ids
    uint32_t[CELLS] picture
    uint64_t[2] creeps              # alive, a bit for each of a half's slots
    uint64_t[2] neutrals
    uint64_t[2] awake               # neutrals that are after somebody or not at home
    uint64_t[2] towers              # standing; bit TOWERS is the ancient
    int32_t[2] fallen               # towers lost by each team
    int32_t[2] known_fallen         # what has been rewarded already
    uint64_t chance                 # 64 random bits, new every tick
    int32_t tick
    int32_t first                   # the half that moves first on even ticks
    int32_t winner                  # NOBODY while the game goes on

cdef struct Terrain:                # the map, shared by all games (core/battlefield.py)
    const uint8_t* flow             # 4 fields of SIZE * SIZE
    const uint8_t* distance
    const int32_t* places           # HALF * 2


# ---------------------------------------------------------------------- halves, sides and distances

cdef inline int mirrored(int id) noexcept nogil:
    return id + HALF if id < HALF else id - HALF


cdef inline int relative(int id, int half) noexcept nogil:
    """The entity's number as `half` counts: its own first. Ties are broken by it,
    so that they are broken alike on both halves."""
    return id if half == 0 else mirrored(id)


cdef inline int hero_number(const Entity* entity) noexcept nogil:
    """0 to 9: the index of a hero in `heroes` and of its agent in the game."""
    return entity.id - entity.half * (HALF - HEROES)


cdef inline int coin(const Game* game, const Entity* entity) noexcept nogil:
    """A random bit for this entity in this tick, the same for its mirror image in the mirrored game."""
    return <int> (game.chance >> (relative(entity.id, game.first) & 63)) & 1


cdef inline uint32_t distance2(const Entity* a, const Entity* b) noexcept nogil:
    """Squared distance, 1/65536 cells."""
    cdef int32_t down = a.y - b.y, right = a.x - b.x
    return <uint32_t> (down * down + right * right)


cdef inline bint within(const Entity* a, const Entity* b, int32_t reach) noexcept nogil:
    """Whether b is at most `reach` away from a. No overflow:
    nobody asks across more than a few windows' width."""
    cdef int32_t down = a.y - b.y, right = a.x - b.x
    return (-4 * REACH < down < 4 * REACH and -4 * REACH < right < 4 * REACH
            and down * down + right * right <= reach * reach)


cdef inline int cell_of(const Entity* entity) noexcept nogil:
    return (entity.y >> 8) * STRIDE + (entity.x >> 8)


# ---------------------------------------------------------------------- standing on the grid

cdef inline void show(Game* game, const Entity* entity) noexcept nogil:
    """Write the entity into the picture."""
    cdef uint32_t code = NEUTRAL_CODE, mana = 0
    if entity.side != WILD:
        code = <uint32_t> (4 + entity.kind if entity.kind <= CREEP else 6 - entity.kind)
        if entity.side == 1:
            code = 12 - code
    if entity.kind == HERO:
        mana = <uint32_t> (game.heroes[hero_number(entity)].mana * 255
                           // game.heroes[hero_number(entity)].max_mana)
    game.picture[cell_of(entity)] = (code | <uint32_t> (entity.health * 255 // entity.max_health) << 8
                                     | mana << 16 | <uint32_t> entity.level << 24)


cdef inline void flip(Game* game, const Entity* entity) noexcept nogil:
    """Set the entity's bit where it is clear, clear it where it is set."""
    game.present[entity.side][(entity.y >> 8) * ROW_BYTES
                              + (entity.x >> 11)] ^= <uint8_t> (1 << (entity.x >> 8 & 7))


cdef inline void put(Game* game, Entity* entity, int32_t y, int32_t x) noexcept nogil:
    """Stand an entity that is nowhere on a free cell."""
    entity.y, entity.x = y, x
    game.ids[cell_of(entity)] = <uint8_t> (entity.id + 1)
    flip(game, entity)
    show(game, entity)


cdef inline void take(Game* game, const Entity* entity) noexcept nogil:
    """Take an entity off the grid."""
    cdef int cell = cell_of(entity)
    game.ids[cell] = 0
    game.picture[cell] = FREE_CODE
    flip(game, entity)


cdef inline bint move_to(Game* game, Entity* entity, int32_t y, int32_t x) noexcept nogil:
    """Move there if that cell is free or the entity's own; whether it did."""
    cdef int before = cell_of(entity), after = (y >> 8) * STRIDE + (x >> 8)
    if before != after:
        if game.ids[after] != 0:
            return False
        game.ids[before], game.ids[after] = 0, <uint8_t> (entity.id + 1)
        game.picture[after], game.picture[before] = game.picture[before], FREE_CODE
        flip(game, entity)
        entity.y, entity.x = y, x
        flip(game, entity)
    entity.y, entity.x = y, x
    return True


cdef inline bint put_near(Game* game, Entity* entity, int32_t y, int32_t x, int radius) noexcept nogil:
    """Stand an entity on the free cell nearest to (y, x), ring by ring;
    whether there was one within `radius` cells.

    The rings are walked the other way round for half 1: its mirror image of the same cell is found.
    """
    cdef int ring, down, right, sign = 1 - 2 * entity.half
    for ring in range(radius + 1):
        for down in range(-ring, ring + 1):
            for right in range(-ring, ring + 1):
                if (down == ring or down == -ring or right == ring or right == -ring) \
                        and game.ids[((y >> 8) + sign * down) * STRIDE + (x >> 8) + sign * right] == 0:
                    put(game, entity, y + sign * down * UNIT, x + sign * right * UNIT)
                    return True
    return False


# ---------------------------------------------------------------------- moving

cdef inline int pace_of(const Game* game, const Entity* entity) noexcept nogil:
    """Speed in this tick."""
    cdef int speed = entity.speed
    if entity.kind == HERO and game.tick < game.heroes[hero_number(entity)].hasted_until:
        speed += speed // 2
    return speed // 2 if game.tick < entity.slowed_until else speed


cdef inline void step_by(Game* game, Entity* entity, int32_t down, int32_t right) noexcept nogil:
    """Move by that much; if the way is blocked, along one axis where the way is rather diagonal,
    else to one side at random."""
    cdef int32_t tall = down if down > 0 else -down, wide = right if right > 0 else -right
    cdef int sign
    if move_to(game, entity, entity.y + down, entity.x + right):
        return
    if (2 * tall >= wide and 2 * wide >= tall
            and (move_to(game, entity, entity.y + down, entity.x)
                 or move_to(game, entity, entity.y, entity.x + right))):
        return
    sign = 2 * coin(game, entity) - 1
    move_to(game, entity, entity.y - sign * right, entity.x + sign * down)


cdef inline void step_towards(Game* game, Entity* entity, int32_t y, int32_t x) noexcept nogil:
    """One tick's walk straight to a point."""
    cdef int32_t down = y - entity.y, right = x - entity.x, speed = pace_of(game, entity)
    cdef float length = sqrtf(<float> (down * down + right * right))
    if length > speed:
        down, right = <int32_t> (down * (speed / length)), <int32_t> (right * (speed / length))
    step_by(game, entity, down, right)


cdef inline int next_step(const Terrain* terrain, const Entity* entity, int field) noexcept nogil:
    """Code of the next step of a flow field, 3 * (down + 1) + (right + 1)."""
    cdef int cell = ((entity.y >> 8) - BORDER) * SIZE + (entity.x >> 8) - BORDER
    if entity.half == 0:
        return terrain.flow[field * SIZE * SIZE + cell]
    return 8 - terrain.flow[field * SIZE * SIZE + SIZE * SIZE - 1 - cell]


cdef inline void follow(Game* game, const Terrain* terrain, Entity* entity, int field) noexcept nogil:
    """One tick's walk along a flow field."""
    cdef int code = next_step(terrain, entity, field), down = code // 3 - 1, right = code % 3 - 1
    cdef int speed = pace_of(game, entity)
    if down != 0 and right != 0:
        speed = speed * 181 // UNIT                     # 1 / sqrt(2)
    step_by(game, entity, down * speed, right * speed)


# ---------------------------------------------------------------------- looking around

cdef inline void look(const Game* game, int sides, int row, int column, uint64_t* words) noexcept nogil:
    """The window of 11 x 11 around a cell: bit 11 * i + j of (words[0], words[1], words[2]),
    55 bits to a word, is row i and column j."""
    cdef int side, i, at = (row - SIGHT) * ROW_BYTES + (column - SIGHT >> 3), shift = column - SIGHT & 7
    cdef uint32_t bits, some
    words[0] = words[1] = words[2] = 0
    for i in range(WINDOW):
        bits = 0
        for side in range(3):
            if sides >> side & 1:
                memcpy(&some, &game.present[side][at + i * ROW_BYTES], 4)
                bits |= some
        words[i // 5] |= <uint64_t> (bits >> shift & 0x7FF) << i % 5 * WINDOW


cdef inline int gather(const Game* game, const Entity* entity, int sides, int32_t reach,
                       int16_t* found) noexcept nogil:
    """Everybody of `sides` within `reach` of an entity, itself left out,
    in an order that is the same for its mirror image."""
    cdef int row = entity.y >> 8, column = entity.x >> 8, word, bit, id, count = 0, n
    cdef int16_t other
    cdef uint64_t[3] words
    look(game, sides, row, column, words)
    for word in range(3):
        while words[word]:
            bit = lowest_bit(words[word]) + 55 * word
            words[word] &= words[word] - 1
            id = game.ids[(row + bit // WINDOW - SIGHT) * STRIDE + column + bit % WINDOW - SIGHT] - 1
            if id != entity.id and within(entity, &game.entities[id], reach):
                found[count] = <int16_t> id
                count += 1
    if entity.half == 1:
        for n in range(count // 2):
            other = found[n]
            found[n], found[count - 1 - n] = found[count - 1 - n], other
    return count


cdef inline int nearest(const Game* game, const Entity* entity, int sides, int32_t reach) noexcept nogil:
    """The nearest of `sides` within `reach` that may be attacked, or NOBODY."""
    cdef int row = entity.y >> 8, column = entity.x >> 8, word, bit, id, best = NOBODY
    cdef uint32_t key, least = <uint32_t> (reach * reach) << 8 | 255
    cdef uint64_t[3] words
    look(game, sides, row, column, words)
    for word in range(3):
        while words[word]:
            bit = lowest_bit(words[word]) + 55 * word
            words[word] &= words[word] - 1
            id = game.ids[(row + bit // WINDOW - SIGHT) * STRIDE + column + bit % WINDOW - SIGHT] - 1
            key = distance2(entity, &game.entities[id]) << 8 | <uint32_t> relative(id, entity.half)
            if key < least and game.entities[id].exposed and id != entity.id:
                least, best = key, id
    return best
