"""The rules of `crafter`: what the player does, what the creatures do, and how many of them there are.

The order of everything is the package's: the player first, then all others in the order in which they were
made, then every tenth step the chunks in the order in which they were first entered. So is each draw; `and`
keeps one from being made where the package makes none.
"""

from libc.stdint cimport uint32_t

from envs.crafter_chance cimport Twister, draw_uniform, draw_whole
from envs.crafter_land cimport SIZE, Land
from envs.crafter_world cimport (
    ARROW, ARROW_FLIES, CHUNK, COAL, COW, DIAMOND, DOWN, FEATS, FURNACE, GRASS, IRON, ITEMS, LAVA, LEFT,
    NOTHING, NOWHERE, PATH, PLANT, PLAYER, PLAYER_SLOT, PLAYER_WALKS, RIGHT, SKELETON, STEP_X, STEP_Y,
    STONE, TABLE, TREE, UP, WALKABLE, WATER, ZOMBIE, Chunk, Game, Thing, add, apart, is_free, make_world,
    material_at, move, put, release, take_out, thing_on)

cdef enum:                              # actions
    NOOP, MOVE_LEFT, MOVE_RIGHT, MOVE_UP, MOVE_DOWN, DO, SLEEP
    PLACE_STONE, PLACE_TABLE, PLACE_FURNACE, PLACE_PLANT, MAKE_WOOD_PICKAXE

cdef enum:                              # items
    HEALTH, FOOD, DRINK, ENERGY, SAPLING, WOOD, STONES, COALS, IRONS, DIAMONDS
    WOOD_PICKAXE, STONE_PICKAXE, IRON_PICKAXE, WOOD_SWORD, STONE_SWORD, IRON_SWORD

cdef enum:                              # achievements; those of making are 11 to 16
    COLLECT_COAL, COLLECT_DIAMOND, COLLECT_DRINK, COLLECT_IRON, COLLECT_SAPLING, COLLECT_STONE, COLLECT_WOOD
    DEFEAT_SKELETON, DEFEAT_ZOMBIE, EAT_COW, EAT_PLANT
    PLACED_FURNACE = 17
    PLACED_PLANT = 18
    PLACED_STONE = 19
    PLACED_TABLE = 20
    WAKE_UP = 21

cdef enum:
    MOST = 9                            # of an item
    RIPE = 300                          # a plant that has grown longer can be eaten
    FAR = 18                            # steps away from the player where nothing moves

cdef extern from * nogil:
    """
    /* making, from WOOD_PICKAXE on: wood, stone, coal, iron; whether it takes a furnace too; the feat */
    static const int RECIPES[6][6] = {{1, 0, 0, 0, 0, 15}, {1, 1, 0, 0, 0, 13}, {1, 0, 1, 1, 1, 11},
                                      {1, 0, 0, 0, 0, 16}, {1, 1, 0, 0, 0, 14}, {1, 0, 1, 1, 1, 12}};
    """
    const int RECIPES[6][6]


cdef inline void begin(Game* game, Land* land, unsigned int seed) noexcept nogil:
    """A new episode."""
    cdef int i
    make_world(game, land, seed)
    for i in range(ITEMS):
        game.items[i] = MOST if i <= ENERGY else 0
    for i in range(FEATS):
        game.feats[i] = 0
    game.step = game.unlocked = game.asleep = 0
    game.felt_health = game.paid_health = MOST
    game.hunger = game.thirst = game.fatigue = game.recovery = 0


cdef inline void step_game(Game* game, int action) noexcept nogil:
    """One step of the world at its present daylight."""
    cdef const Thing* player = &game.things[PLAYER_SLOT]
    cdef const Thing* thing
    cdef int index = game.first, last = game.last, after, i     # what is made in this step acts in the next
    while index:
        thing = &game.things[index]
        after = thing.after if index != last else 0
        if distance(game, thing) < FAR:
            if thing.kind == PLAYER:
                act(game, action)
            elif thing.kind == COW:
                move_cow(game, index)
            elif thing.kind == ZOMBIE:
                move_zombie(game, index)
            elif thing.kind == SKELETON:
                move_skeleton(game, index)
            elif thing.kind == ARROW:
                fly(game, index)
            else:
                grow(game, index)
            if thing.kind == NOTHING:
                release(game, index)
        index = after
    if game.step % 10 == 0:
        for i in range(game.num_known):
            balance(game, game.known[i])


cdef inline void achieve(Game* game, int feat) noexcept nogil:
    game.feats[feat] += 1
    game.unlocked |= <uint32_t> 1 << feat


cdef inline void hurt_player(Game* game, int damage) noexcept nogil:
    game.items[HEALTH] = max(0, game.items[HEALTH] - damage)


# ---------------------------------------------------------------------- the player

cdef inline void act(Game* game, int action) noexcept nogil:
    cdef Thing* player = &game.things[PLAYER_SLOT]
    cdef int x = player.x + STEP_X[player.facing], y = player.y + STEP_Y[player.facing], i
    cdef int ahead = thing_on(game, x, y)
    if game.asleep:
        if game.items[ENERGY] < MOST:
            action = SLEEP
        else:
            game.asleep = False
            achieve(game, WAKE_UP)
    if MOVE_LEFT <= action <= MOVE_DOWN:
        player.facing = action - MOVE_LEFT
        move(game, PLAYER_SLOT, player.facing, PLAYER_WALKS)
        if material_at(game, player.x, player.y) == LAVA:
            game.items[HEALTH] = 0
    elif action == DO and ahead:
        touch(game, ahead)
    elif action == DO:
        collect(game, x, y)
    elif action == SLEEP:
        if game.items[ENERGY] < MOST:
            game.asleep = True
    elif PLACE_STONE <= action <= PLACE_PLANT and not ahead:
        place(game, action, x, y)
    elif action >= MAKE_WOOD_PICKAXE:
        make(game, action - MAKE_WOOD_PICKAXE)
    live(game)
    for i in range(ITEMS):
        game.items[i] = max(0, min(game.items[i], MOST))
    if game.items[HEALTH] < game.felt_health:
        game.asleep = False
    game.felt_health = game.items[HEALTH]


cdef inline void touch(Game* game, int index) noexcept nogil:
    """Strike or eat what stands ahead."""
    cdef Thing* thing = &game.things[index]
    cdef int damage = 2 if game.items[WOOD_SWORD] else 1
    if game.items[STONE_SWORD]:
        damage = 3
    if game.items[IRON_SWORD]:
        damage = 5
    if thing.kind == PLANT:
        if thing.wait > RIPE:
            thing.wait = 0
            game.items[FOOD] += 4
            achieve(game, EAT_PLANT)
    elif COW <= thing.kind <= SKELETON:
        thing.health = max(0, thing.health - damage)
        if thing.health == 0 and thing.kind == COW:
            achieve(game, EAT_COW)
            game.items[FOOD] += 6
            game.hunger = 0
        elif thing.health == 0:
            achieve(game, DEFEAT_ZOMBIE if thing.kind == ZOMBIE else DEFEAT_SKELETON)


cdef inline void collect(Game* game, int x, int y) noexcept nogil:
    cdef int material = material_at(game, x, y), tool = -1, item, feat, leaves = PATH
    if material == WATER:
        game.thirst = 0
        item, feat, leaves = DRINK, COLLECT_DRINK, WATER
    elif material == GRASS:
        item, feat, leaves = SAPLING, COLLECT_SAPLING, GRASS
    elif material == TREE:
        item, feat, leaves = WOOD, COLLECT_WOOD, GRASS
    elif material == STONE:
        item, feat, tool = STONES, COLLECT_STONE, WOOD_PICKAXE
    elif material == COAL:
        item, feat, tool = COALS, COLLECT_COAL, WOOD_PICKAXE
    elif material == IRON:
        item, feat, tool = IRONS, COLLECT_IRON, STONE_PICKAXE
    elif material == DIAMOND:
        item, feat, tool = DIAMONDS, COLLECT_DIAMOND, IRON_PICKAXE
    else:
        return
    if tool >= 0 and game.items[tool] < 1:
        return
    put(game, x, y, leaves)
    if draw_uniform(&game.chance) <= (0.1 if material == GRASS else 1):
        game.items[item] += 1
        achieve(game, feat)


cdef inline void place(Game* game, int action, int x, int y) noexcept nogil:
    """Put something on the cell ahead, on which nothing stands."""
    cdef int where = 1 << material_at(game, x, y)
    if action == PLACE_STONE and game.items[STONES] >= 1 and where & ((1 << WATER) | (1 << LAVA) | WALKABLE):
        game.items[STONES] -= 1
        put(game, x, y, STONE)
        achieve(game, PLACED_STONE)
    elif action == PLACE_TABLE and game.items[WOOD] >= 2 and where & WALKABLE:
        game.items[WOOD] -= 2
        put(game, x, y, TABLE)
        achieve(game, PLACED_TABLE)
    elif action == PLACE_FURNACE and game.items[STONES] >= 4 and where & WALKABLE:
        game.items[STONES] -= 4
        put(game, x, y, FURNACE)
        achieve(game, PLACED_FURNACE)
    elif action == PLACE_PLANT and game.items[SAPLING] >= 1 and where & (1 << GRASS):
        game.items[SAPLING] -= 1
        add(game, PLANT, x, y, 1, 0)
        achieve(game, PLACED_PLANT)


cdef inline void make(Game* game, int which) noexcept nogil:
    """A tool or a weapon, beside a table (and a furnace)."""
    cdef const Thing* player = &game.things[PLAYER_SLOT]
    cdef const int* recipe = &RECIPES[which][0]
    cdef int near = 0, x, y, i
    if player.x > 0 and player.y > 0:       # NumPy's slice from -1 on is empty: nothing is near here
        for x in range(player.x - 1, player.x + 2):
            for y in range(player.y - 1, player.y + 2):
                near |= 1 << material_at(game, x, y)
    if not near >> TABLE & 1 or recipe[4] and not near >> FURNACE & 1:
        return
    if (game.items[WOOD] < recipe[0] or game.items[STONES] < recipe[1] or game.items[COALS] < recipe[2]
            or game.items[IRONS] < recipe[3]):
        return
    game.items[WOOD] -= recipe[0]
    for i in range(1, 4):
        game.items[WOOD + i] -= recipe[i]
    game.items[WOOD_PICKAXE + which] += 1
    achieve(game, recipe[5])


cdef inline void live(Game* game) noexcept nogil:
    """Hunger, thirst and tiredness, and what they do to health."""
    cdef float pace = 0.5 if game.asleep else 1
    game.hunger += pace
    if game.hunger > 25:
        game.hunger = 0
        game.items[FOOD] -= 1
    game.thirst += pace
    if game.thirst > 20:
        game.thirst = 0
        game.items[DRINK] -= 1
    game.fatigue = min(game.fatigue - 1, 0) if game.asleep else game.fatigue + 1
    if game.fatigue < -10:
        game.fatigue = 0
        game.items[ENERGY] += 1
    if game.fatigue > 30:
        game.fatigue = 0
        game.items[ENERGY] -= 1
    if game.items[FOOD] > 0 and game.items[DRINK] > 0 and (game.items[ENERGY] > 0 or game.asleep):
        game.recovery += 2 if game.asleep else 1
    else:
        game.recovery -= pace
    if game.recovery > 25:
        game.recovery = 0
        game.items[HEALTH] += 1
    if game.recovery < -15:
        game.recovery = 0
        hurt_player(game, 1)


# ---------------------------------------------------------------------- creatures, arrows, plants

cdef inline int distance(const Game* game, const Thing* thing) noexcept nogil:
    cdef const Thing* player = &game.things[PLAYER_SLOT]
    return apart(player.x, player.y, thing.x, thing.y)


cdef inline int toward(const Game* game, const Thing* thing, bint long_axis) noexcept nogil:
    """The direction to the player along the longer or the shorter axis; NOWHERE if that one is 0 long."""
    cdef int x = game.things[PLAYER_SLOT].x - thing.x, y = game.things[PLAYER_SLOT].y - thing.y
    if (x * x > y * y) == long_axis:
        return LEFT if x < 0 else RIGHT if x > 0 else NOWHERE
    return UP if y < 0 else DOWN if y > 0 else NOWHERE


cdef inline int any_way(Twister* chance) noexcept nogil:
    return draw_whole(chance, 4)


cdef inline void move_cow(Game* game, int index) noexcept nogil:
    if game.things[index].health == 0:
        take_out(game, index)
    if draw_uniform(&game.chance) < 0.5:
        move(game, index, any_way(&game.chance), WALKABLE)


cdef inline void move_zombie(Game* game, int index) noexcept nogil:
    cdef Thing* zombie = &game.things[index]
    if zombie.health == 0:
        take_out(game, index)
    if distance(game, zombie) <= 8 and draw_uniform(&game.chance) < 0.9:
        move(game, index, toward(game, zombie, draw_uniform(&game.chance) < 0.8), WALKABLE)
    else:
        move(game, index, any_way(&game.chance), WALKABLE)
    if distance(game, zombie) <= 1:
        if zombie.wait:
            zombie.wait -= 1
        else:
            hurt_player(game, 7 if game.asleep else 2)
            zombie.wait = 5


cdef inline void move_skeleton(Game* game, int index) noexcept nogil:
    cdef Twister* chance = &game.chance
    cdef Thing* skeleton = &game.things[index]
    cdef int far, way, x, y
    if skeleton.health == 0:
        take_out(game, index)
    skeleton.wait = max(0, skeleton.wait - 1)
    far = distance(game, skeleton)
    if far <= 3:
        way = toward(game, skeleton, draw_uniform(chance) < 0.6)
        if move(game, index, NOWHERE if way == NOWHERE else way ^ 1, WALKABLE):
            return
    if far <= 5 and draw_uniform(chance) < 0.5:
        way = toward(game, skeleton, True)
        x, y = skeleton.x + STEP_X[way], skeleton.y + STEP_Y[way]
        if not skeleton.wait and is_free(game, x, y, ARROW_FLIES):
            add(game, ARROW, x, y, 0, way)
            skeleton.wait = 4
    elif far <= 8 and draw_uniform(chance) < 0.3:
        move(game, index, toward(game, skeleton, draw_uniform(chance) < 0.6), WALKABLE)
    elif draw_uniform(chance) < 0.2:
        move(game, index, any_way(chance), WALKABLE)


cdef inline void fly(Game* game, int index) noexcept nogil:
    """An arrow wounds what it meets, and breaks tables and furnaces."""
    cdef Thing* arrow = &game.things[index]
    cdef int x = arrow.x + STEP_X[arrow.facing], y = arrow.y + STEP_Y[arrow.facing]
    cdef int met = thing_on(game, x, y), material = material_at(game, x, y)
    if met == PLAYER_SLOT:
        hurt_player(game, 2)
    elif met:
        game.things[met].health = max(0, game.things[met].health - 2)
    elif (ARROW_FLIES >> material) & 1:
        move(game, index, arrow.facing, ARROW_FLIES)
        return
    elif material == TABLE or material == FURNACE:
        put(game, x, y, PATH)
    take_out(game, index)


cdef inline void grow(Game* game, int index) noexcept nogil:
    """A plant ripens, unless something beside it eats it first."""
    cdef Thing* plant = &game.things[index]
    cdef int way, beside
    plant.wait = min(plant.wait + 1, RIPE + 1)
    for way in range(4):
        beside = thing_on(game, plant.x + STEP_X[way], plant.y + STEP_Y[way])
        if COW <= game.things[beside].kind <= SKELETON:          # number 0 is NOTHING
            plant.health = 0
    if plant.health == 0:
        take_out(game, index)


# ---------------------------------------------------------------------- how many there are

cdef inline void balance(Game* game, int number) noexcept nogil:
    """Let creatures appear in a chunk that has too few of a kind, and vanish from one that has too many."""
    cdef Chunk* chunk = &game.chunks[number]
    cdef int zombies = <int> (3.5 - 3 * game.daylight), cows = <int> (1.5 + game.daylight)
    balance_kind(game, number, ZOMBIE, GRASS, 6, 0, 0.3, 0.4, zombies if chunk.grass >= 50 else 0, zombies)
    balance_kind(game, number, SKELETON, PATH, 7, 7, 0.1, 0.1, chunk.paths >= 6, 2)
    balance_kind(game, number, COW, GRASS, 5, 5, 0.01, 0.1, chunk.grass >= 30, cows)


cdef inline void balance_kind(Game* game, int number, int kind, int material, int span, int despan,
                              double spawns, double despawns, int fewest, int most) noexcept nogil:
    cdef const Thing* player = &game.things[PLAYER_SLOT]
    cdef Chunk* chunk = &game.chunks[number]
    cdef Twister* chance = &game.chance
    cdef int count = chunk.counts[kind], x, y, n, index
    if count < fewest and draw_uniform(chance) < spawns:
        n = draw_whole(chance, chunk.grass if material == GRASS else chunk.paths)
        x, y = number // 6 * CHUNK, number % 6 * CHUNK
        while True:                                     # the n-th cell of that material, column by column
            if game.material[x * SIZE + y] == material:
                if n == 0:
                    break
                n -= 1
            y += 1
            if y == SIZE or y % CHUNK == 0:
                x, y = x + 1, number % 6 * CHUNK
        if game.thing_at[x * SIZE + y] == 0 and apart(player.x, player.y, x, y) >= span:
            add(game, kind, x, y, 5 if kind == ZOMBIE else 3, 0)
    elif count > most and draw_uniform(chance) < despawns:
        n = draw_whole(chance, count)
        index = chunk.first
        while True:
            if game.things[index].kind == kind:
                if n == 0:
                    break
                n -= 1
            index = game.things[index].chunk_after
        if distance(game, &game.things[index]) >= despan:
            take_out(game, index)
            release(game, index)
