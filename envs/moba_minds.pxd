"""The minds of `moba`: creeps, neutrals, towers, scripted heroes.

All do the same: go after the nearest rival in sight, attack it within reach, walk towards it otherwise;
without one, do what they are for. What it costs is looking around, so they look only on every fourth tick,
each entity on the ticks that fit its number (so that no tick is dearer than the others), and keep the target
in between. A target that died or left the window is dropped at once: an entity may so have no target, or one
that is no longer the nearest, for at most CADENCE - 1 ticks. benchmarks/MOBA.md says what that changes.

Neutrals at home with nobody near are asleep: `game.awake` has no bit for them, and they are touched only on
the ticks on which they look around.
"""

from libc.stdint cimport int16_t, int32_t, uint64_t

from envs.moba_combat cimport attack, cast, may_cast
from envs.moba_world cimport (BOTH_TEAMS, HALF, HERO, NOBODY, TOWER, Entity, Game, Hero, Terrain, count_bits,
                              follow, gather, hero_number, look, nearest, step_towards, within)

cdef enum:
    CADENCE = 4
    SIGHT_REACH = 1408              # 5.5 cells: as far as a window shows
    WILD_REACH = 896                # 3.5 cells: neutrals notice only who comes near
    LEASH = 1792                    # 7 cells: as far from home as a neutral goes after somebody
    TOWER_REACH = 1280
    HOME_FIELD = 3
    COMPANY = 3                     # as many of one's side, oneself included, as it takes to go near a tower
    PATIENCE = 48                   # ticks that a hero waits for them
    MIDDLE = 1                      # the lane on which strong heroes go together

cdef enum:                          # plans of a scripted hero
    ADVANCE, HEAL, WAIT

cdef extern from *:
    """
    /* Bits of the slots that look around at tick & 3. */
    static const unsigned long long LOOKING[4] = {0x1111111111111111ULL, 0x2222222222222222ULL,
                                                  0x4444444444444444ULL, 0x8888888888888888ULL};
    """
    const uint64_t* LOOKING


cdef inline bint looks(const Game* game, int slot) noexcept nogil:
    """Whether it is the turn of slot `slot` of a half to look around."""
    return (slot ^ game.tick) & (CADENCE - 1) == 0


cdef inline Entity* target_of(Game* game, Entity* entity, int32_t reach) noexcept nogil:
    """The target if it is still there to be attacked, else NULL, and the entity forgets it."""
    cdef Entity* target
    if entity.target == NOBODY:
        return NULL
    target = &game.entities[entity.target]
    if target.alive and target.exposed and within(entity, target, reach):
        return target
    entity.target = NOBODY
    return NULL


cdef inline void creep_mind(Game* game, const Terrain* terrain, Entity* creep, bint looking) noexcept nogil:
    """Fight who is near, else on along the lane."""
    cdef Entity* target
    if game.tick < creep.stunned_until:
        return
    if looking:
        creep.target = <int16_t> nearest(game, creep, 1 << (1 - creep.side), SIGHT_REACH)
    target = target_of(game, creep, SIGHT_REACH)
    if target == NULL:
        follow(game, terrain, creep, creep.lane)
    elif not attack(game, creep, target):
        step_towards(game, creep, target.y, target.x)


cdef inline bint neutral_mind(Game* game, Entity* neutral, bint looking) noexcept nogil:
    """Fight who comes near, else go home; whether it is awake."""
    cdef Entity* target
    cdef int32_t down = neutral.home_y - neutral.y, right = neutral.home_x - neutral.x
    if game.tick < neutral.stunned_until:
        return True
    if looking:
        neutral.target = <int16_t> nearest(game, neutral, BOTH_TEAMS, WILD_REACH)
    if not (-LEASH < down < LEASH and -LEASH < right < LEASH):
        neutral.target = NOBODY
    target = target_of(game, neutral, SIGHT_REACH)
    if target != NULL:
        if not attack(game, neutral, target):
            step_towards(game, neutral, target.y, target.x)
        return True
    if down == 0 and right == 0:
        return False
    step_towards(game, neutral, neutral.home_y, neutral.home_x)
    return True


cdef inline void tower_mind(Game* game, Entity* tower, bint looking) noexcept nogil:
    """Shoot the nearest."""
    cdef Entity* target
    if looking:
        tower.target = <int16_t> nearest(game, tower, 1 << (1 - tower.side), TOWER_REACH)
    target = target_of(game, tower, TOWER_REACH)
    if target != NULL:
        attack(game, tower, target)


# ---------------------------------------------------------------------- scripted heroes

cdef inline int allies_near(const Game* game, const Entity* entity) noexcept nogil:
    """How many of its side are in its window, itself included."""
    cdef uint64_t[3] words
    look(game, 1 << entity.side, entity.y >> 8, entity.x >> 8, words)
    return count_bits(words[0]) + count_bits(words[1]) + count_bits(words[2])


cdef inline void scripted_casts(Game* game, Entity* entity, Entity* target, bint hurt,
                                bint fleeing) noexcept nogil:
    """Abilities where they make sense: heal when hurt, haste to flee, leap in when well and back when not,
    harm whenever possible."""
    cdef int kind = entity.id % HALF, ability, what
    cdef bint hero = target != NULL and target.kind == HERO
    for ability in range(3):
        if not may_cast(game, entity, ability):
            continue
        what = 3 * kind + ability
        if what == 1 or what == 10:                     # heals
            if hurt:
                cast(game, entity, ability, NOBODY)
        elif target == NULL or target.kind >= TOWER:
            continue
        elif what == 5:                                 # haste
            if fleeing or hero:
                cast(game, entity, ability, NOBODY)
        elif what == 4 or what == 11:                   # leaps in
            if hero and not hurt:
                cast(game, entity, ability, target.id)
        elif what == 12:                                # leap back
            if fleeing:
                cast(game, entity, ability, target.id)
        elif what == 0 or what == 2 or what == 8:       # hook and stuns: for heroes
            if hero:
                cast(game, entity, ability, target.id)
        else:
            cast(game, entity, ability, target.id)


cdef inline int prey(Game* game, const Entity* entity) noexcept nogil:
    """Whom a strong hero goes for: of those in sight the one soonest dead,
    heroes before all others, towers last."""
    cdef int16_t[122] found
    cdef int count = gather(game, entity, 1 << (1 - entity.side), SIGHT_REACH, found)
    cdef int n, worth, least = 1 << 30, best = NOBODY
    cdef const Entity* other
    for n in range(count):
        other = &game.entities[found[n]]
        if not other.exposed:
            continue
        worth = other.health + (0 if within(entity, other, entity.reach) else 300)
        if other.kind == HERO:
            worth -= 500
        elif other.kind >= TOWER:
            worth += 10000
        if worth < least:
            least, best = worth, other.id
    return best


cdef inline void hero_mind(Game* game, const Terrain* terrain, Entity* entity, bint looking,
                           bint strong) noexcept nogil:
    """Along the lane as a creep, with abilities; home to heal when badly hurt, and out of a tower's reach
    unless creeps go before.

    A strong one looks around on every tick, goes for who is soonest dead, and goes
    down the middle lane with all others.
    """
    cdef Hero* hero = &game.heroes[hero_number(entity)]
    cdef Entity* target
    cdef bint hurt = 2 * entity.health < entity.max_health, at_tower
    cdef int lane = MIDDLE if strong else entity.lane
    looking |= strong
    if looking:
        entity.target = <int16_t> (prey(game, entity) if strong
                                   else nearest(game, entity, 1 << (1 - entity.side), SIGHT_REACH))
        if 4 * entity.health < entity.max_health:
            hero.plan = HEAL
        elif hero.plan == HEAL:
            hero.plan = HEAL if 10 * entity.health < 9 * entity.max_health else ADVANCE
        elif hero.plan == WAIT and (game.tick >= hero.wait_until or allies_near(game, entity) >= COMPANY):
            hero.plan = ADVANCE
        at_tower = entity.target != NOBODY and game.entities[entity.target].kind == TOWER
        if hero.plan == ADVANCE and at_tower and allies_near(game, entity) < COMPANY:
            hero.plan, hero.wait_until = WAIT, game.tick + PATIENCE
    target = target_of(game, entity, SIGHT_REACH)
    if looking:
        scripted_casts(game, entity, target, hurt, hero.plan == HEAL)
    if hero.plan != ADVANCE:
        follow(game, terrain, entity, HOME_FIELD)
        if target != NULL and hero.plan == HEAL:
            attack(game, entity, target)
    elif target == NULL:
        follow(game, terrain, entity, lane)
    elif not attack(game, entity, target):
        step_towards(game, entity, target.y, target.x)
