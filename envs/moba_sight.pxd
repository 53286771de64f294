"""What a hero of `moba` sees, written as 590 bytes. `envs/moba.pyx` says what they mean.

Both teams see the map as side 0 does: for side 1 everything is turned by half and allies and rivals change
places. A policy for one side so plays the other, too.
"""

from libc.stdint cimport int32_t, uint8_t, uint32_t, uint64_t
from libc.string cimport memcpy, memset

from envs.moba_combat cimport COST, LEVEL_AT, TOP_LEVEL
from envs.moba_world cimport (ANCIENT_AT, HALF, HERO, HEROES, REACH, SIGHT, STRIDE, TOWER, TOWERS, TURN,
                              WINDOW, Entity, Game, Hero, Terrain, distance2, hero_number, look, lowest_bit,
                              mirrored, next_step, relative)

cdef enum:
    PICTURE_CELLS = 121
    SCALARS_AT = 484
    RECORDS_AT = 510
    RECORDS = 10
    RECORD = 8
    OBSERVATION = 590


cdef inline void see_window(const Game* game, const Entity* entity, uint8_t* observation) noexcept nogil:
    """The picture around the hero: 11 x 11 cells of 4 bytes."""
    cdef const uint32_t* corner = game.picture + ((entity.y >> 8) - SIGHT) * STRIDE + (entity.x >> 8) - SIGHT
    cdef uint32_t[PICTURE_CELLS] cells
    cdef uint32_t cell, code
    cdef int row, column
    if entity.half == 0:
        for row in range(WINDOW):
            memcpy(observation + 44 * row, corner + row * STRIDE, 44)
        return
    corner += (WINDOW - 1) * STRIDE + WINDOW - 1
    for row in range(WINDOW):
        for column in range(WINDOW):
            cell = corner[-row * STRIDE - column]
            code = cell & 255
            # Codes 2 to 10 the other way round.
            cells[row * WINDOW + column] = cell + 12 - 2 * code if code >= 2 else cell
    memcpy(observation, cells, SCALARS_AT)


cdef inline int sorted_by_distance(const Game* game, const Entity* entity, uint32_t* keys) noexcept nogil:
    """Keys of the up to RECORDS nearest in the window, nearest first:
    squared distance << 8 | number as the hero's half counts."""
    cdef int row = entity.y >> 8, column = entity.x >> 8, word, bit, id, n, count = 0
    cdef uint32_t key
    cdef uint64_t[3] words
    look(game, 7, row, column, words)
    for word in range(3):
        while words[word]:
            bit = lowest_bit(words[word]) + 55 * word
            words[word] &= words[word] - 1
            id = game.ids[(row + bit // WINDOW - SIGHT) * STRIDE + column + bit % WINDOW - SIGHT] - 1
            if id == entity.id:
                continue
            key = distance2(entity, &game.entities[id]) << 8 | <uint32_t> relative(id, entity.half)
            if count < RECORDS:
                count += 1
            elif key > keys[RECORDS - 1]:
                continue
            n = count - 1
            while n > 0 and keys[n - 1] > key:
                keys[n] = keys[n - 1]
                n -= 1
            keys[n] = key
    return count


cdef inline void see_records(const Game* game, const Entity* entity, uint8_t* record) noexcept nogil:
    """The nearest ten."""
    cdef uint32_t[RECORDS] keys
    cdef int count = sorted_by_distance(game, entity, keys), n, sign = 1 - 2 * entity.half
    cdef const Entity* other
    for n in range(count):
        other = &game.entities[relative(<int> (keys[n] & 255), entity.half)]
        record[0] = <uint8_t> (sign * (other.y - entity.y) + REACH >> 4)
        record[1] = <uint8_t> (sign * (other.x - entity.x) + REACH >> 4)
        record[2] = other.side == entity.side
        record[3] = other.side == 1 - entity.side
        record[4] = other.kind == HERO
        record[5] = other.kind >= TOWER
        record[6] = <uint8_t> (other.health * 255 // other.max_health)
        record[7] = other.exposed and other.side != entity.side
        record += RECORD
    memset(record, 0, (RECORDS - count) * RECORD)


cdef inline void see_itself(const Game* game, const Terrain* terrain, const Entity* entity, int max_ticks,
                            uint8_t* scalars) noexcept nogil:
    """The 26 scalars."""
    cdef const Hero* hero = &game.heroes[hero_number(entity)]
    cdef const Entity* own = &game.entities[entity.half * HALF + ANCIENT_AT]
    cdef const Entity* rival = &game.entities[mirrored(own.id)]
    cdef int n, code, before = LEVEL_AT[entity.level - 1], tick = game.tick
    cdef int32_t y = entity.y if entity.half == 0 else TURN - entity.y
    cdef int32_t x = entity.x if entity.half == 0 else TURN - entity.x
    scalars[0] = <uint8_t> (entity.health * 255 // entity.max_health)
    scalars[1] = <uint8_t> (hero.mana * 255 // hero.max_mana)
    scalars[2] = entity.level
    scalars[3] = (0 if entity.level == TOP_LEVEL
                  else <uint8_t> ((hero.experience - before) * 255 // (LEVEL_AT[entity.level] - before)))
    scalars[4] = <uint8_t> ((y >> 8) - 8)
    scalars[5] = <uint8_t> ((x >> 8) - 8)
    for n in range(HEROES):
        scalars[6 + n] = entity.id == entity.half * HALF + n
    for n in range(3):
        scalars[11 + n] = hero.mana >= COST[entity.id % HALF][n] and tick + 1 >= hero.ready_at[n]
    scalars[14] = tick + 1 >= entity.attack_at
    scalars[15] = tick + 1 < entity.stunned_until
    scalars[16] = tick + 1 < entity.slowed_until
    scalars[17] = tick + 1 < hero.hasted_until
    scalars[18] = 0 if entity.alive else <uint8_t> max(1, min(255, hero.back_at - tick))
    scalars[19] = <uint8_t> (tick * 255 // max_ticks)
    scalars[20] = <uint8_t> (own.health * 255 // own.max_health)
    scalars[21] = <uint8_t> (rival.health * 255 // rival.max_health)
    scalars[22] = <uint8_t> (TOWERS - game.fallen[entity.half])
    scalars[23] = <uint8_t> (TOWERS - game.fallen[1 - entity.half])
    code = next_step(terrain, entity, entity.lane)
    scalars[24] = <uint8_t> (code // 3 if entity.half == 0 else 2 - code // 3)
    scalars[25] = <uint8_t> (code % 3 if entity.half == 0 else 2 - code % 3)


cdef inline void see(const Game* game, const Terrain* terrain, const Entity* entity, int max_ticks,
                     uint8_t* observation) noexcept nogil:
    """The whole observation; the dead see themselves only."""
    see_itself(game, terrain, entity, max_ticks, observation + SCALARS_AT)
    if entity.alive:
        see_window(game, entity, observation)
        see_records(game, entity, observation + RECORDS_AT)
    else:
        memset(observation, 0, SCALARS_AT)
        memset(observation + RECORDS_AT, 0, RECORDS * RECORD)
