"""What an inhabitant of `mmo` does in a tick: walk, work, eat, equip, craft, trade, give, fight.
And what a tick does to it. `envs/mmo.pyx` says the rules in words.

Each part of an action is done if it is legal, else it is left out. `may_...` says whether it is,
for the rules and for the masks of legal actions alike.
"""

from libc.stdint cimport int32_t, uint8_t

from envs.mmo_world cimport (ARMOUR, CRAFT, CRAFTING, DRINK, FIGHT, FISH, FULL, GATHER, GATHERING, GIVE,
                             GOODS, HERB, IDLE, LUMBER, MAGIC, MINING, MOST, NOBODY, NOTHING, PILE, POTION,
                             RANGE, RATION, ROCK, THICKET, TOOL, TOP_LEVEL, TOWN, TRADE, WALK, WATER, WEAPON,
                             WOOD, Agent, World, easy, free, item_of, lay, leave, might, newborn, number_of,
                             pick_up, show, stand, strongest, terrain_of)

cdef enum:
    RICH_LEVEL = 4                  # of the skill, to gather rich items
    CLIMB_LEVEL = 5                 # of mining to walk on rock, of wood to walk through thicket
    TOP_TIER = 3
    HUNGRY = 112                    # food or health below which it eats or drinks a potion
    SIP = 32
    RECIPES = 5
    FIRST_RECIPE = 4                # the good of recipe 0: RATION
    COOLDOWN = 3
    SPELL = 8                       # water that a spell costs
    KILL_EXPERIENCE = 5
    COIN = 9                        # what is given beside goods

cdef extern from *:
    """
    /* Herbs, wood, ore, fish that ration, potion, tool, weapon, armour take; the level; the experience. */
    static const int NEEDS[5][4] = {{1, 0, 0, 1}, {2, 0, 0, 0}, {0, 1, 1, 0}, {0, 1, 2, 0}, {0, 0, 3, 0}};
    static const int CRAFT_LEVEL[5] = {1, 2, 1, 3, 5};
    static const int CRAFT_EXPERIENCE[5] = {1, 2, 2, 3, 4};
    static const int PRICE[9] = {2, 2, 3, 3, 7, 6, 8, 12, 14};      /* of each good the market has none of */
    static const int REACH[3] = {1, 4, 3};                          /* cells, of melee, range, magic */
    static const int DAMAGE[3] = {6, 4, 5};
    """
    const int[4]* NEEDS
    const int* CRAFT_LEVEL
    const int* CRAFT_EXPERIENCE
    const int* PRICE
    const int* REACH
    const int* DAMAGE


cdef inline void practise(Agent* agent, int skill, int experience) noexcept nogil:
    """Level n + 1 is reached with 2 * n * (n + 1) of experience."""
    cdef int level = agent.level[skill]
    if level == TOP_LEVEL:
        return
    agent.experience[skill] += experience
    while level < TOP_LEVEL and agent.experience[skill] >= 2 * level * (level + 1):
        level += 1
        agent.gained += 1
    agent.level[skill] = <uint8_t> level


# ---------------------------------------------------------------------- walking and gathering

cdef inline int step_of(const World* world, int move) noexcept nogil:
    """The cell beside: 1 up, 2 down, 3 left, 4 right."""
    return (0 if move == 0 else -world.stride if move == 1 else world.stride if move == 2
            else -1 if move == 3 else 1)


cdef inline bint may_walk(const Agent* agent, int terrain) noexcept nogil:
    return (easy(terrain) or (terrain == ROCK and agent.level[MINING] >= CLIMB_LEVEL)
            or (terrain == THICKET and agent.level[LUMBER] >= CLIMB_LEVEL))


cdef inline bint may_gather(const World* world, const Agent* agent, int cell) noexcept nogil:
    cdef int item = item_of(world, cell), good = (item - 1) >> 1
    return (NOTHING < item < PILE and agent.goods[good] < MOST
            and ((item - 1) & 1 == 0 or agent.level[GATHERING + good] >= RICH_LEVEL))


cdef inline void gather(World* world, Agent* agent, int cell) noexcept nogil:
    """Take what grows on a cell: one piece, one more if it is rich, and one for each tier of the tool."""
    cdef int item = item_of(world, cell), good = (item - 1) >> 1, rich = (item - 1) & 1
    cdef int taken = min(1 + rich + agent.tool, MOST - agent.goods[good])
    agent.goods[good] += <uint8_t> taken
    agent.gathered += taken
    world.head.made[good] += taken
    lay(world, cell, NOTHING)
    practise(agent, GATHERING + good, 1 + 2 * rich)
    agent.activity = <uint8_t> (GATHER + good)


cdef inline void walk(World* world, Agent* agent, int move) noexcept nogil:
    """Stay and work, drink and fish where the way leads into water, or walk."""
    cdef int cell = agent.cell + step_of(world, move), terrain = terrain_of(world, cell)
    if move == 0:
        if item_of(world, cell) == PILE:
            pick_up(world, agent)
        elif may_gather(world, agent, cell):
            gather(world, agent, cell)
    elif terrain == WATER:
        agent.water = min(FULL, agent.water + SIP)
        agent.activity = DRINK
        agent.shore = [agent.y, agent.x]
        if may_gather(world, agent, cell):
            gather(world, agent, cell)
    elif may_walk(agent, terrain) and free(world, cell):
        leave(world, agent)
        stand(world, agent, agent.y + (move == 2) - (move == 1), agent.x + (move == 4) - (move == 3))
        agent.distance += 1
        agent.heading = <uint8_t> move
        agent.activity = WALK
        if item_of(world, cell) == PILE:
            pick_up(world, agent)


# ---------------------------------------------------------------------- goods

cdef inline bint may_use(const Agent* agent, int good) noexcept nogil:
    """Food when hungry, a potion when hurt, gear of the next tier with the skill for it."""
    cdef int best
    if agent.goods[good] == 0:
        return False
    if good == HERB or good == FISH or good == RATION:
        return agent.food < HUNGRY
    if good == POTION:
        return agent.health < HUNGRY
    if good == TOOL:
        best = max(max(agent.level[GATHERING], agent.level[GATHERING + 1]),
                   max(agent.level[GATHERING + 2], agent.level[GATHERING + 3]))
        return agent.tool < TOP_TIER and best >= 2 * agent.tool + 2
    if good == WEAPON:
        return agent.weapon < TOP_TIER and might(agent) >= 2 * agent.weapon + 2
    return good == ARMOUR and agent.armour < TOP_TIER and might(agent) >= 2 * agent.armour + 2


cdef inline void spend(World* world, Agent* agent, int good, int count) noexcept nogil:
    """Goods that are gone."""
    agent.goods[good] -= <uint8_t> count
    world.head.used[good] += count


cdef inline void use(World* world, Agent* agent, int good) noexcept nogil:
    spend(world, agent, good, 1)
    if good == HERB:
        agent.food = min(FULL, agent.food + 24)
    elif good == FISH:
        agent.food = min(FULL, agent.food + 30)
    elif good == RATION:
        agent.food, agent.health = min(FULL, agent.food + 80), min(FULL, agent.health + 10)
    elif good == POTION:
        agent.health, agent.water = min(FULL, agent.health + 40), min(FULL, agent.water + 20)
    elif good == TOOL:
        agent.tool += 1
    elif good == WEAPON:
        agent.weapon += 1
    else:
        agent.armour += 1


cdef inline bint may_craft(const Agent* agent, int recipe) noexcept nogil:
    cdef int good
    if agent.level[CRAFTING] < CRAFT_LEVEL[recipe] or agent.goods[FIRST_RECIPE + recipe] == MOST:
        return False
    for good in range(FIRST_RECIPE):
        if agent.goods[good] < NEEDS[recipe][good]:
            return False
    return True


cdef inline void craft(World* world, Agent* agent, int recipe) noexcept nogil:
    cdef int good
    for good in range(FIRST_RECIPE):
        spend(world, agent, good, NEEDS[recipe][good])
    agent.goods[FIRST_RECIPE + recipe] += 1
    world.head.made[FIRST_RECIPE + recipe] += 1
    agent.crafted += 1
    practise(agent, CRAFTING, CRAFT_EXPERIENCE[recipe])
    agent.activity = CRAFT


# ---------------------------------------------------------------------- the market

cdef inline int price(const World* world, int good, int stock) noexcept nogil:
    """Less, the more of it the market has for each inhabitant."""
    return PRICE[good] * world.inhabitants // (world.inhabitants + 4 * stock)


cdef inline int bid(const World* world, int good) noexcept nogil:
    """What the market pays for a piece: what it will be worth when it has one more."""
    return price(world, good, world.head.stock[good] + 1)


cdef inline int ask(const World* world, int good) noexcept nogil:
    """What the market takes for a piece: more than it will pay when it has one less,
    so nothing is made of nothing."""
    return price(world, good, world.head.stock[good]) + 1


cdef inline bint may_sell(const World* world, const Agent* agent, int good) noexcept nogil:
    return (agent.goods[good] > 0 and terrain_of(world, agent.cell) == TOWN
            and 0 < bid(world, good) <= world.head.treasury)


cdef inline bint may_buy(const World* world, const Agent* agent, int good) noexcept nogil:
    return (agent.goods[good] < MOST and terrain_of(world, agent.cell) == TOWN
            and world.head.stock[good] > 0 and ask(world, good) <= agent.gold)


cdef inline void trade(World* world, Agent* agent, int good, bint selling) noexcept nogil:
    """One piece against gold."""
    cdef int paid = bid(world, good) if selling else -ask(world, good)
    agent.gold += paid
    world.head.treasury -= paid
    if selling:
        agent.goods[good] -= 1
        world.head.stock[good] += 1
    else:
        agent.goods[good] += 1
        world.head.stock[good] -= 1
    agent.trades += 1
    agent.activity = TRADE


# ---------------------------------------------------------------------- neighbours

cdef inline int distance(const Agent* agent, const Agent* other) noexcept nogil:
    """Cells along the longer axis."""
    return max(max(agent.y - other.y, other.y - agent.y), max(agent.x - other.x, other.x - agent.x))


cdef inline Agent* neighbour(const World* world, const Agent* agent, int slot) noexcept nogil:
    """The neighbour that it saw in that slot, or NULL."""
    return &world.agents[agent.near[slot]] if slot < agent.count else NULL


cdef inline bint may_give(const Agent* agent, const Agent* other, int what) noexcept nogil:
    if other == NULL or distance(agent, other) > 1:
        return False
    return agent.gold > 0 if what == COIN else agent.goods[what] > 0 and other.goods[what] < MOST


cdef inline void give(Agent* agent, Agent* other, int what) noexcept nogil:
    """One piece, or a coin."""
    if what == COIN:
        agent.gold -= 1
        other.gold += 1
    else:
        agent.goods[what] -= 1
        other.goods[what] += 1
    agent.gifts += 1
    agent.activity = GIVE


cdef inline bint may_fight(const World* world, const Agent* agent, int style, int tick) noexcept nogil:
    """Whether it could strike on that tick, if there is somebody to be struck."""
    return (tick >= agent.ready_at and not newborn(world, agent) and terrain_of(world, agent.cell) != TOWN
            and (style != RANGE or agent.goods[WOOD] > 0) and (style != MAGIC or agent.water > SPELL))


cdef inline bint may_strike(const World* world, const Agent* agent, const Agent* other,
                            int style) noexcept nogil:
    return (other != NULL and other.health > 0 and distance(agent, other) <= REACH[style]
            and not newborn(world, other) and terrain_of(world, other.cell) != TOWN)


cdef inline void strike(World* world, Agent* agent, Agent* other, int style) noexcept nogil:
    """Melee beats range, range beats magic, magic beats melee: half as much again."""
    cdef int damage = DAMAGE[style] + agent.level[style] + 2 * agent.weapon, rival = strongest(other)
    if rival != NOBODY and (rival - style + 3) % 3 == 1:
        damage += damage // 2
    damage = max(1, damage - 2 * other.armour)
    if style == RANGE:
        spend(world, agent, WOOD, 1)
    elif style == MAGIC:
        agent.water -= SPELL
    other.health -= damage
    other.hurt += damage
    other.striker = number_of(world, agent)
    agent.ready_at = world.head.tick + COOLDOWN
    practise(agent, style, 1)
    if other.health <= 0:
        agent.kills += 1
        practise(agent, style, KILL_EXPERIENCE)
    show(world, agent)
    agent.activity = FIGHT


# ---------------------------------------------------------------------- a tick

cdef inline void act(World* world, Agent* agent, const int32_t* action) noexcept nogil:
    """The parts of an action in order: walk or work, use or craft, trade, give, fight."""
    cdef Agent* other = neighbour(world, agent, action[2])
    walk(world, agent, action[0])
    if 0 < action[3] <= GOODS:
        if may_use(agent, action[3] - 1):
            use(world, agent, action[3] - 1)
    elif action[3] > GOODS and may_craft(agent, action[3] - GOODS - 1):
        craft(world, agent, action[3] - GOODS - 1)
    if 0 < action[4] <= GOODS:
        if may_sell(world, agent, action[4] - 1):
            trade(world, agent, action[4] - 1, True)
    elif action[4] > GOODS and may_buy(world, agent, action[4] - GOODS - 1):
        trade(world, agent, action[4] - GOODS - 1, False)
    if action[5] > 0 and may_give(agent, other, action[5] - 1):
        give(agent, other, action[5] - 1)
    if (action[1] > 0 and may_strike(world, agent, other, action[1] - 1)
            and may_fight(world, agent, action[1] - 1, world.head.tick)):
        strike(world, agent, other, action[1] - 1)


cdef inline void endure(World* world, Agent* agent, int tick) noexcept nogil:
    """Hunger and thirst on every second tick; without food or water health goes, with both it comes back."""
    if tick & 1:
        agent.food, agent.water = max(0, agent.food - 1), max(0, agent.water - 1)
    if agent.food == 0 or agent.water == 0:
        agent.health -= (agent.food == 0) + (agent.water == 0)
    elif tick & 3 == 0 and agent.food > 32 and agent.water > 32 and agent.hurt == 0:
        agent.health = min(FULL, agent.health + 1)
