"""Fighting in `moba`: attacks, death and experience, and the three abilities of each of the five heroes.

An ability costs mana and cools down; it happens at once, with no projectile. Those that need a target do
nothing (and cost nothing) without one in their reach. Towers and ancients are hurt by basic attacks only:
abilities do nothing to them.

    hero        Q                            W                                 E
    0 support   hook: hurt, pull to oneself  heal allies around                stun one
    1 assassin  cull: hurt creeps around     strike: leap to the target, hurt  haste
    2 burst     nuke one                     blast all around                  stun all around
    3 tank      slam: hurt all around        heal oneself                      charge: leap to the target,
                                                                               push all around away
    4 carry     leap back, slow all around   shot: hurt and slow one           volley: hurt all around
"""

from libc.stdint cimport int16_t, int32_t

from envs.moba_world cimport (ANCIENT, ANCIENT_AT, CREEP, CREEP_AT, HALF, HERO, HEROES, NEUTRAL, NEUTRAL_AT,
                              NOBODY, TOWER, TOWER_AT, UNIT, WILD, Entity, Game, Hero, gather, hero_number,
                              move_to, put_near, show, take, within)

cdef extern from * nogil:
    """
    /* By hero and level 1: health, and what a level adds; damage; reach, 1/256 cells;
       speed, 1/256 cells a tick; ticks between attacks. */
    static const int HERO_HEALTH[5] = {480, 500, 460, 680, 500}, HERO_GROWTH[5] = {30, 32, 28, 44, 32};
    static const int HERO_DAMAGE[5] = {46, 56, 46, 50, 54};
    static const int HERO_REACH[5] = {1024, 480, 1024, 480, 1152};
    static const int HERO_SPEED[5] = {128, 140, 128, 124, 128};
    static const int HERO_PACE[5] = {8, 7, 8, 8, 7};

    /* By hero and ability Q, W, E: mana; ticks until the next; how far the target may be, 1/256 cells
       (0: no target). */
    static const int COST[5][3] = {{40, 30, 40}, {30, 40, 20}, {40, 35, 60}, {30, 40, 50}, {20, 25, 35}};
    static const int COOLDOWN[5][3] = {{40, 30, 50}, {20, 40, 60}, {30, 24, 60}, {20, 40, 60}, {50, 24, 30}};
    static const int CAST_REACH[5][3] = {{1280, 0, 1024}, {0, 1280, 0}, {1280, 0, 0}, {0, 0, 1280},
                                         {1280, 1280, 0}};

    /* Experience needed for level n + 1; level 1 needs none. */
    static const int LEVEL_AT[30] = {0, 120, 360, 720, 1200, 1800, 2520, 3360, 4320, 5400, 6600, 7920, 9360,
                                     10920, 12600, 14400, 16320, 18360, 20520, 22800, 25200, 27720, 30360,
                                     33120, 36000, 39000, 42120, 45360, 48720, 52200};
    """
    const int* HERO_HEALTH
    const int* HERO_GROWTH
    const int* HERO_DAMAGE
    const int* HERO_REACH
    const int* HERO_SPEED
    const int* HERO_PACE
    const int (*COST)[3]
    const int (*COOLDOWN)[3]
    const int (*CAST_REACH)[3]
    const int* LEVEL_AT

cdef enum:
    TOP_LEVEL = 30
    DAMAGE_A_LEVEL = 6
    KILL_BOUNTY = 100               # for killing a hero, and the victim's experience / 7.69 on top
    SHARING = 1536                  # experience goes to the heroes this near to the dead, in equal parts
    NEAR = 640                      # 2.5 cells
    AROUND = 896                    # 3.5 cells


# ---------------------------------------------------------------------- hurting, healing, dying

cdef inline void gain(Game* game, Entity* entity, int experience) noexcept nogil:
    """Experience for a hero, and the levels it brings."""
    cdef Hero* hero = &game.heroes[hero_number(entity)]
    cdef int kind = entity.id % HALF
    hero.experience += experience
    while entity.level < TOP_LEVEL and hero.experience >= LEVEL_AT[entity.level]:
        entity.level += 1
        entity.max_health += HERO_GROWTH[kind]
        entity.health += HERO_GROWTH[kind]
        entity.damage += DAMAGE_A_LEVEL
        hero.max_mana += 4
    show(game, entity)


cdef inline void share(Game* game, const Entity* dead, int side, int experience) noexcept nogil:
    """Experience for the heroes of `side` near the dead."""
    cdef Entity* heroes = &game.entities[side * HALF]
    cdef int n, count = 0, near = 0
    for n in range(HEROES):
        if heroes[n].alive and within(&heroes[n], dead, SHARING):
            near |= 1 << n
            count += 1
    for n in range(HEROES):
        if near >> n & 1:
            gain(game, &heroes[n], experience // count)


cdef inline void expose(Game* game, int half, int slot) noexcept nogil:
    """What may be attacked now that tower `slot` of a half has fallen:
    the next tier of its lane, the last tier, the ancient."""
    cdef Entity* towers = &game.entities[half * HALF + TOWER_AT]
    if slot < 6:
        towers[slot + 3].exposed = 1
    elif slot < 9:
        towers[9].exposed = towers[10].exposed = 1
    elif not towers[9].alive and not towers[10].alive:
        game.entities[half * HALF + ANCIENT_AT].exposed = 1


cdef inline int respawn_time(int level) noexcept nogil:
    """Ticks that a hero of this level stays dead."""
    return 40 + 6 * level


cdef inline void die(Game* game, Entity* dead, int side) noexcept nogil:
    """`dead` was killed by `side`."""
    cdef int half = dead.half, slot = dead.id % HALF
    cdef Hero* hero
    take(game, dead)
    dead.alive = 0
    dead.health = 0
    dead.target = NOBODY
    if dead.kind == HERO:
        hero = &game.heroes[hero_number(dead)]
        hero.deaths += 1
        hero.back_at = game.tick + respawn_time(dead.level)
        hero.plan = 0
        if side != WILD:
            share(game, dead, side, KILL_BOUNTY + hero.experience * 100 // 769)
        return
    if dead.kind == CREEP:
        game.creeps[half] &= ~(<unsigned long long> 1 << (slot - CREEP_AT))
    elif dead.kind == NEUTRAL:
        game.neutrals[half] &= ~(<unsigned long long> 1 << (slot - NEUTRAL_AT))
        game.awake[half] &= ~(<unsigned long long> 1 << (slot - NEUTRAL_AT))
    else:
        game.towers[half] &= ~(<unsigned long long> 1 << (slot - TOWER_AT))
        if dead.kind == ANCIENT:
            game.winner = 1 - half
            return
        game.fallen[half] += 1
        expose(game, half, slot - TOWER_AT)
    if side != WILD:
        share(game, dead, side, dead.bounty)


cdef inline void hurt(Game* game, Entity* attacker, Entity* victim, int damage) noexcept nogil:
    """Take health; the last of it is death."""
    if not victim.alive or not victim.exposed:
        return
    victim.health -= damage
    if victim.health > 0:
        show(game, victim)
        return
    if victim.kind == HERO and attacker.kind == HERO:
        game.heroes[hero_number(attacker)].kills += 1
    die(game, victim, attacker.side)


cdef inline void heal(Game* game, Entity* entity, int health) noexcept nogil:
    entity.health = min(entity.health + health, entity.max_health)
    show(game, entity)


cdef inline bint attack(Game* game, Entity* entity, Entity* target) noexcept nogil:
    """A basic attack if the target is in reach and the pace allows it; whether the target is in reach."""
    if not within(entity, target, entity.reach):
        return False
    if game.tick >= entity.attack_at:
        entity.attack_at = game.tick + entity.pace
        hurt(game, entity, target, entity.damage)
    return True


# ---------------------------------------------------------------------- abilities

cdef inline bint may_cast(const Game* game, const Entity* entity, int ability) noexcept nogil:
    """Whether mana and cooldown allow it."""
    cdef const Hero* hero = &game.heroes[hero_number(entity)]
    return hero.mana >= COST[entity.id % HALF][ability] and game.tick >= hero.ready_at[ability]


cdef inline void stun(Game* game, Entity* entity, int ticks) noexcept nogil:
    entity.stunned_until = max(entity.stunned_until, game.tick + ticks)


cdef inline void slow(Game* game, Entity* entity, int ticks) noexcept nogil:
    entity.slowed_until = max(entity.slowed_until, game.tick + ticks)


cdef inline void leap(Game* game, Entity* entity, int32_t y, int32_t x) noexcept nogil:
    """To the free cell nearest to (y, x); back to where it was if there is none within two cells."""
    cdef int32_t from_y = entity.y, from_x = entity.x
    take(game, entity)
    if not put_near(game, entity, y, x, 2):
        put_near(game, entity, from_y, from_x, 0)


cdef inline void push(Game* game, Entity* hero, Entity* victim, int32_t strength) noexcept nogil:
    """Away from the hero, a cell at a time, as far as the way is free."""
    cdef int32_t down = victim.y - hero.y, right = victim.x - hero.x, larger
    larger = max(max(down, -down), max(right, -right))
    if larger == 0:
        return
    down, right = down * UNIT // larger, right * UNIT // larger
    while strength > 0 and move_to(game, victim, victim.y + down, victim.x + right):
        strength -= 1


cdef inline void around(Game* game, Entity* hero, int32_t reach, int damage, int stunned, int slowed,
                        int pushed, bint creeps_only) noexcept nogil:
    """What an ability does to all rivals and neutrals within `reach`."""
    cdef int16_t[122] found
    cdef int count = gather(game, hero, 1 << (1 - hero.side) | 1 << WILD, reach, found), n
    cdef Entity* victim
    for n in range(count):
        victim = &game.entities[found[n]]
        if victim.kind >= TOWER or (creeps_only and victim.kind == HERO):
            continue
        if pushed:
            push(game, hero, victim, pushed)
        if stunned:
            stun(game, victim, stunned)
        if slowed:
            slow(game, victim, slowed)
        if damage:
            hurt(game, hero, victim, damage)


cdef inline void heal_around(Game* game, Entity* hero, int32_t reach, int health) noexcept nogil:
    """Heal the hero and its side's heroes and creeps within `reach`."""
    cdef int16_t[122] found
    cdef int count = gather(game, hero, 1 << hero.side, reach, found), n
    heal(game, hero, health)
    for n in range(count):
        if game.entities[found[n]].kind < TOWER:
            heal(game, &game.entities[found[n]], health)


cdef inline bint cast(Game* game, Entity* entity, int ability, int target_id) noexcept nogil:
    """Cast Q, W or E (0, 1, 2), at a target or NOBODY; whether it was possible."""
    cdef int kind = entity.id % HALF, what = 3 * kind + ability, level = entity.level
    cdef Hero* hero = &game.heroes[hero_number(entity)]
    cdef Entity* target = &game.entities[max(target_id, 0)]
    if not may_cast(game, entity, ability):
        return False
    if CAST_REACH[kind][ability] and (target_id == NOBODY or target.kind >= TOWER or not target.alive
                                      or not within(entity, target, CAST_REACH[kind][ability])):
        return False
    hero.mana -= COST[kind][ability]
    hero.ready_at[ability] = game.tick + COOLDOWN[kind][ability]
    show(game, entity)
    if what == 0:                                       # support: hook
        leap(game, target, entity.y, entity.x)
        hurt(game, entity, target, 50 + 10 * level)
    elif what == 1:                                     # heal allies
        heal_around(game, entity, AROUND, 60 + 12 * level)
    elif what == 2:                                     # stun
        stun(game, target, 12)
        hurt(game, entity, target, 30 + 8 * level)
    elif what == 3:                                     # assassin: cull
        around(game, entity, NEAR, 120 + 20 * level, 0, 0, 0, True)
    elif what == 4:                                     # strike
        leap(game, entity, target.y, target.x)
        hurt(game, entity, target, 70 + 18 * level)
    elif what == 5:                                     # haste
        hero.hasted_until = game.tick + 30
    elif what == 6:                                     # burst: nuke
        hurt(game, entity, target, 90 + 20 * level)
    elif what == 7:                                     # blast
        around(game, entity, AROUND, 50 + 10 * level, 0, 0, 0, False)
    elif what == 8:                                     # stun all
        around(game, entity, NEAR, 20 + 4 * level, 10, 0, 0, False)
    elif what == 9:                                     # tank: slam
        around(game, entity, NEAR, 50 + 10 * level, 0, 0, 0, False)
    elif what == 10:                                    # heal itself
        heal(game, entity, 90 + 20 * level)
    elif what == 11:                                    # charge
        leap(game, entity, target.y, target.x)
        around(game, entity, NEAR, 20 + 6 * level, 0, 10, 2, False)
    elif what == 12:                                    # carry: leap back
        leap(game, entity, entity.y + 3 * max(-UNIT, min(UNIT, entity.y - target.y)),
             entity.x + 3 * max(-UNIT, min(UNIT, entity.x - target.x)))
        around(game, entity, 1280, 0, 0, 20, 0, False)
    elif what == 13:                                    # shot
        slow(game, target, 16)
        hurt(game, entity, target, 50 + 14 * level)
    else:                                               # volley
        around(game, entity, 1152, 30 + 8 * level, 0, 0, 0, False)
    return True
