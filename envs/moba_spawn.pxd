"""How the entities of `moba` come into being: at the start of a game, in waves, in camps,
and back from the dead."""

from libc.stdint cimport int16_t, int32_t, uint8_t, uint64_t

from envs.moba_combat cimport HERO_DAMAGE, HERO_HEALTH, HERO_PACE, HERO_REACH, HERO_SPEED, TOP_LEVEL
from envs.moba_world cimport (ANCIENT, ANCIENT_AT, BORDER, CREEP, CREEP_AT, CREEPS, HALF, HERO, NEUTRAL,
                              NEUTRAL_AT, NEUTRALS, NOBODY, SIZE, TOWER, TOWER_AT, TURN, UNIT, WILD, Entity,
                              Game, Hero, Terrain, hero_number, lowest_bit, put, put_near)

cdef extern from * nogil:
    """
    static const int LANE_OF_HERO[5] = {0, 0, 1, 2, 0};         /* safe, safe, middle, off, safe */
    """
    const int* LANE_OF_HERO

cdef enum:
    WAVE = 5                        # creeps of a wave on each lane
    GROWTH = 2                      # levels that new creeps gain by each rival tower that has fallen


cdef inline int32_t place_of(const Terrain* terrain, int half, int slot, int axis) noexcept nogil:
    """Row (0) or column (1) of a slot's place as a position: the middle of the cell, turned for half 1."""
    cdef int32_t at = (terrain.places[2 * slot + axis] + BORDER) * UNIT + UNIT // 2
    return at if half == 0 else TURN - at


cdef inline int steps_to_go(const Terrain* terrain, const Entity* entity) noexcept nogil:
    """Steps on foot to the rival ancient."""
    cdef int cell = ((entity.y >> 8) - BORDER) * SIZE + (entity.x >> 8) - BORDER
    return terrain.distance[cell if entity.half == 0 else SIZE * SIZE - 1 - cell]


cdef inline void equip(Game* game, const Terrain* terrain, int id) noexcept nogil:
    """An entity of the start; creeps only get their number."""
    cdef Entity* entity = &game.entities[id]
    cdef int half = id // HALF, slot = id % HALF, tier
    entity.id, entity.target, entity.half, entity.side = <int16_t> id, NOBODY, <uint8_t> half, <uint8_t> half
    entity.level = entity.exposed = 1
    if slot < CREEP_AT:
        entity.kind, entity.lane = HERO, <uint8_t> LANE_OF_HERO[slot]
        entity.health = entity.max_health = HERO_HEALTH[slot]
        entity.damage, entity.reach = HERO_DAMAGE[slot], HERO_REACH[slot]
        entity.speed, entity.pace = <int16_t> HERO_SPEED[slot], <int16_t> HERO_PACE[slot]
        game.heroes[hero_number(entity)].mana = game.heroes[hero_number(entity)].max_mana = 100
    elif slot < NEUTRAL_AT:
        entity.kind = CREEP
        return
    elif slot < TOWER_AT:
        entity.kind, entity.side = NEUTRAL, WILD
        entity.health = entity.max_health = 500
        entity.damage, entity.reach, entity.speed, entity.pace, entity.bounty = 22, 480, 90, 5, 35
    elif slot < ANCIENT_AT:
        tier = 1 + (slot - TOWER_AT) // 3
        entity.kind, entity.level, entity.exposed = TOWER, <uint8_t> tier, tier == 1
        entity.health = entity.max_health = 1800 if tier == 1 else 2500
        entity.damage = 100 if tier == 1 else 190
        entity.reach, entity.pace, entity.bounty = 1280, 5, 800 * tier
    else:
        entity.kind, entity.exposed = ANCIENT, 0
        entity.health = entity.max_health = 4500
    entity.home_y, entity.home_x = place_of(terrain, half, slot, 0), place_of(terrain, half, slot, 1)
    entity.alive = 1
    put(game, entity, entity.home_y, entity.home_x)
    if slot >= TOWER_AT:
        game.towers[half] |= <uint64_t> 1 << (slot - TOWER_AT)
    elif slot >= NEUTRAL_AT:
        game.neutrals[half] |= <uint64_t> 1 << (slot - NEUTRAL_AT)
    else:
        game.heroes[hero_number(entity)].known_distance = steps_to_go(terrain, entity)


cdef inline void send_wave(Game* game, const Terrain* terrain, int half) noexcept nogil:
    """Five creeps on each lane, in slots that are free; the better the more rival towers have fallen,
    so that games come to an end."""
    cdef Entity* creep
    cdef uint64_t free
    cdef int lane, n, slot, level = min(TOP_LEVEL, 1 + GROWTH * game.fallen[1 - half])
    for lane in range(3):
        for n in range(WAVE):
            free = ~game.creeps[half] & ((<uint64_t> 1 << CREEPS) - 1)
            if free == 0:
                return
            slot = lowest_bit(free)
            creep = &game.entities[half * HALF + CREEP_AT + slot]
            creep.lane, creep.level, creep.target = <uint8_t> lane, <uint8_t> level, NOBODY
            creep.health = creep.max_health = 430 + 20 * level
            creep.damage, creep.reach = 20 + 2 * level, 480 if n < WAVE - 1 else 1024   # the last one shoots
            creep.speed, creep.pace, creep.bounty = 90, 5, 60
            creep.attack_at = creep.stunned_until = creep.slowed_until = 0
            creep.alive = put_near(game, creep, place_of(terrain, half, CREEP_AT + lane, 0),
                                   place_of(terrain, half, CREEP_AT + lane, 1), 5)
            if creep.alive:
                game.creeps[half] |= <uint64_t> 1 << slot


cdef inline void wake_camps(Game* game, int half) noexcept nogil:
    """The dead neutrals come back where their place is free."""
    cdef uint64_t dead = ~game.neutrals[half] & ((<uint64_t> 1 << NEUTRALS) - 1)
    cdef Entity* neutral
    cdef int slot
    while dead:
        slot = lowest_bit(dead)
        dead &= dead - 1
        neutral = &game.entities[half * HALF + NEUTRAL_AT + slot]
        neutral.health, neutral.target, neutral.attack_at = neutral.max_health, NOBODY, 0
        neutral.alive = put_near(game, neutral, neutral.home_y, neutral.home_x, 0)
        if neutral.alive:
            game.neutrals[half] |= <uint64_t> 1 << slot


cdef inline void bring_back(Game* game, Entity* entity) noexcept nogil:
    """A dead hero stands at its base again, if there is room; else it waits a tick."""
    cdef Hero* hero = &game.heroes[hero_number(entity)]
    entity.health, hero.mana = entity.max_health, hero.max_mana
    entity.stunned_until = entity.slowed_until = entity.attack_at = 0
    entity.alive = put_near(game, entity, entity.home_y, entity.home_x, 4)
