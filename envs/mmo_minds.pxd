"""The scripted minds of `mmo`: forager, miner, hunter, trader. A mind looks at its window and gives an
action, like an agent that learns; the rules know no difference.

    all       drink when thirsty, eat when hungry, strike back, put on gear, sell in towns what they have much
              of, and buy food there when they have none
    forager   herbs and fish; rations of both
    miner     ore, and wood for tools
    hunter    wood for arrows, then whoever comes near, and what these leave
    trader    some of everything, made into goods that a town pays more for
"""

from libc.stdint cimport int16_t, int32_t, uint8_t
from libc.string cimport memset

from envs.core.random cimport draw_below
from envs.mmo_rules cimport (FIRST_RECIPE, RECIPES, bid, may_buy, may_craft, may_fight, may_gather, may_sell,
                             may_strike, may_use, may_walk, step_of)
from envs.mmo_sight cimport COLUMNS, DOWN, RIGHT, ROWS
from envs.mmo_world cimport (BIG_FISHES, FISH, FISHES, GATHER, GOODS, HERB, HERBS, MAGIC, NOBODY,
                             OLD_TREE, ORE, ORES, PILE, POTION, RARE_HERBS, RATION, RICH_ORES, TOOL, TOWN,
                             TRADE, TREE, WATER, WOOD, Agent, World, free, item_of, newborn, terrain_of)

cdef enum:
    FORAGER, MINER, HUNTER, TRADER

cdef enum:                          # plans
    LIVE, SELL

cdef enum:
    WINDOW_CELLS = 165
    MIDDLE = 82                     # of the window
    THIRSTY = 72                    # water below which it looks for some
    STARVING = 72                   # food below which it eats
    LARDER = 3                      # pieces of food that it likes to have
    PLENTY = 10                     # pieces of one kind with which it goes to town
    RESTLESS = 24                   # one tick of so many it turns, where it looks for something out of sight
    ARROWS = 6
    PURSE = 6                       # coins for which a hunter strikes


# ---------------------------------------------------------------------- finding the way

cdef inline int seek(const World* world, const Agent* agent, int items, int terrains, int goal,
                     const int32_t* place) noexcept nogil:
    """The first step of a shortest way, inside the window, to a cell with one of `items` (a set of bits) that
    it may take, or one of `terrains`, or to the cell `goal`; 0 where it is there, NOBODY where there is no
    such cell. With a place (row and column, not 0) then to the cell nearest to it."""
    cdef uint8_t[WINDOW_CELLS] first        # 1 + the first step to each cell, 0 where it was not yet
    cdef int16_t[WINDOW_CELLS] queue
    cdef int head = 0, tail = 1, at, next, move, cell, row, column, item, terrain, y, x, far, found = NOBODY
    cdef int least = 1 << 30
    memset(first, 0, WINDOW_CELLS)
    item = item_of(world, agent.cell)
    if (items >> item & 1 and (item == PILE or may_gather(world, agent, agent.cell))
            or terrains >> terrain_of(world, agent.cell) & 1):
        return 0
    queue[0], first[MIDDLE] = MIDDLE, 1
    while head < tail:
        at = queue[head]
        head += 1
        for move in range(1, 5):
            row = at // COLUMNS + (move == 2) - (move == 1)
            column = at % COLUMNS + (move == 4) - (move == 3)
            next = row * COLUMNS + column
            if row < 0 or row >= ROWS or column < 0 or column >= COLUMNS or first[next]:
                continue
            cell = agent.cell + (row - DOWN) * world.stride + column - RIGHT
            terrain, item = terrain_of(world, cell), item_of(world, cell)
            if terrain != WATER and cell != goal and (not may_walk(agent, terrain) or not free(world, cell)):
                continue
            first[next] = first[at] if at != MIDDLE else <uint8_t> (1 + move)
            if (cell == goal or terrains >> terrain & 1
                    or (items >> item & 1 and (item == PILE or may_gather(world, agent, cell)))):
                return first[next] - 1
            if terrain == WATER:
                continue
            queue[tail] = <int16_t> next
            tail += 1
            if place != NULL and place[0]:
                y, x = agent.y + row - DOWN - place[0], agent.x + column - RIGHT - place[1]
                far = y * y + x * x
                if far < least:
                    found, least = first[next] - 1, far
    return found


cdef inline int wander(World* world, Agent* agent) noexcept nogil:
    """Straight on; another way where that is blocked, and now and then."""
    cdef int tries, cell
    for tries in range(4):
        if agent.heading and draw_below(world.stream, RESTLESS):
            cell = agent.cell + step_of(world, agent.heading)
            if may_walk(agent, terrain_of(world, cell)) and free(world, cell):
                return agent.heading
        agent.heading = <uint8_t> (1 + draw_below(world.stream, 4))
    return 0


# ---------------------------------------------------------------------- parts of an action

cdef inline int meals(const Agent* agent) noexcept nogil:
    return agent.goods[HERB] + agent.goods[FISH] + 3 * agent.goods[RATION]


cdef inline int to_use(const Agent* agent) noexcept nogil:
    """Gear, a potion when hurt, food when hungry; else what it can craft by trade."""
    cdef int good, recipe
    for good in range(TOOL, GOODS):
        if may_use(agent, good):
            return 1 + good
    if agent.health < STARVING and may_use(agent, POTION):
        return 1 + POTION
    if agent.food < STARVING:
        for good in range(RATION, -1, -1):
            if may_use(agent, good):
                return 1 + good
    for recipe in range(RECIPES - 1, -1, -1):
        if not may_craft(agent, recipe) or agent.goods[FIRST_RECIPE + recipe] >= PLENTY:
            continue
        if recipe == RATION - FIRST_RECIPE or agent.trade == TRADER:
            return 1 + GOODS + recipe
        if agent.trade == MINER and recipe == TOOL - FIRST_RECIPE and agent.goods[TOOL] == 0:
            return 1 + GOODS + recipe
    return 0


cdef inline int kept(const Agent* agent, int good) noexcept nogil:
    """Pieces of a kind that it does not sell."""
    if good == HERB or good == FISH or good == RATION:
        return LARDER
    if good == WOOD and agent.trade == HUNTER:
        return ARROWS
    if (good == WOOD or good == ORE) and agent.trade == TRADER:
        return LARDER
    return 0


cdef inline int to_trade(const World* world, const Agent* agent) noexcept nogil:
    """Sell what is left over, the dearest first; buy food that is needed; a trader buys what it works up."""
    cdef int good, best = 0, paid = 0
    for good in range(GOODS):
        if agent.goods[good] > kept(agent, good) and may_sell(world, agent, good) and bid(world, good) > paid:
            best, paid = 1 + good, bid(world, good)
    if best:
        return best
    if meals(agent) < LARDER:
        for good in range(RATION, -1, -1):
            if good != WOOD and good != ORE and may_buy(world, agent, good):
                return 1 + GOODS + good
    if agent.trade == TRADER:
        for good in range(FIRST_RECIPE):
            if agent.goods[good] < LARDER and may_buy(world, agent, good):
                return 1 + GOODS + good
    return 0


cdef inline bint hunts(const Agent* agent, const Agent* other) noexcept nogil:
    """Whether a hunter goes for the other: one of another trade with a full purse,
    no healthier than itself."""
    return (agent.trade == HUNTER and other.trade != HUNTER and other.gold >= PURSE
            and 0 < other.health <= agent.health)


cdef inline int to_strike(const World* world, const Agent* agent, int32_t* target) noexcept nogil:
    """A style and a target: prey of a hunter, or who struck it."""
    cdef int slot, style
    cdef const Agent* other
    for slot in range(agent.count):
        other = &world.agents[agent.near[slot]]
        if agent.near[slot] != agent.striker and not hunts(agent, other):
            continue
        for style in range(MAGIC + 1):
            if (may_fight(world, agent, style, world.head.tick) and may_strike(world, agent, other, style)
                    and (style != MAGIC or agent.water > THIRSTY)):
                target[0] = slot
                return 1 + style
    return 0


cdef inline int prey(const World* world, const Agent* agent) noexcept nogil:
    """The cell of the nearest neighbour that a hunter may strike, or NOBODY."""
    cdef int slot
    cdef const Agent* other
    for slot in range(agent.count):
        other = &world.agents[agent.near[slot]]
        if hunts(agent, other) and not newborn(world, other) and terrain_of(world, other.cell) != TOWN:
            return other.cell
    return NOBODY


cdef inline bint laden(const Agent* agent) noexcept nogil:
    """Whether it has enough to go to town with."""
    cdef int good
    for good in range(GOODS):
        if agent.goods[good] >= (PLENTY if good < FIRST_RECIPE or agent.trade != TRADER else LARDER + 1):
            return True
    return False


cdef inline int works_at(const Agent* agent) noexcept nogil:
    """The items that its trade is after, as a set of bits."""
    cdef int food = 1 << HERBS | 1 << RARE_HERBS | 1 << FISHES | 1 << BIG_FISHES
    cdef int wood = 1 << TREE | 1 << OLD_TREE, ore = 1 << ORES | 1 << RICH_ORES
    if agent.trade == FORAGER or meals(agent) < LARDER:
        return food
    if agent.trade == MINER:
        return ore if agent.goods[WOOD] or agent.tool > 0 else ore | wood
    if agent.trade == HUNTER:
        return wood
    return ((food if agent.goods[HERB] < LARDER or agent.goods[FISH] < LARDER else 0)
            | (wood if agent.goods[WOOD] < LARDER else 0) | (ore if agent.goods[ORE] < LARDER else 0))


cdef inline void remember(const World* world, Agent* agent) noexcept nogil:
    """The town that it is in, and where it found what its trade is after; a place where nothing is left is
    forgotten."""
    cdef int work = (GATHER + HERB if agent.trade == FORAGER else GATHER + ORE if agent.trade == MINER
                     else GATHER + WOOD if agent.trade == HUNTER else TRADE)
    cdef int down = agent.y - agent.site[0], right = agent.x - agent.site[1]
    if terrain_of(world, agent.cell) == TOWN:
        agent.town = [agent.y, agent.x]
    if agent.activity == work:
        agent.site = [agent.y, agent.x]
    elif down * down + right * right <= 2:
        agent.site = [0, 0]


cdef inline int to_walk(World* world, Agent* agent) noexcept nogil:
    """Water, food, what the trade is after; out of sight of all that, to where it was found before, or on."""
    cdef int food = 1 << HERBS | 1 << RARE_HERBS | 1 << FISHES | 1 << BIG_FISHES | 1 << PILE, move, cell
    if agent.water < THIRSTY:
        move = seek(world, agent, 0, 1 << WATER, NOBODY, agent.shore)
    elif agent.food < STARVING and meals(agent) == 0:
        move = seek(world, agent, food, 0, NOBODY, NULL)
    elif agent.plan == SELL:
        move = seek(world, agent, 0, 1 << TOWN, NOBODY, agent.town)
    else:
        cell = prey(world, agent) if agent.trade == HUNTER else NOBODY
        move = seek(world, agent, works_at(agent) | 1 << PILE, 0, cell, agent.site)
    return wander(world, agent) if move == NOBODY else move


cdef inline void decide(World* world, Agent* agent, int32_t* action) noexcept nogil:
    """An action of six parts."""
    remember(world, agent)
    action[2] = action[5] = 0
    action[1] = to_strike(world, agent, &action[2])
    action[3] = to_use(agent)
    action[4] = to_trade(world, agent)
    if laden(agent):
        agent.plan = SELL
    elif terrain_of(world, agent.cell) == TOWN and action[4] == 0:
        agent.plan = LIVE
    action[0] = 0 if action[1] or action[4] else to_walk(world, agent)
