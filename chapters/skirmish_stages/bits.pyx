"""Rung "bit rows": structs.pyx, and beside the cells one bit for each of them, a row of the map in a word. Whoever looks, jumps from one
set bit to the next; whoever moves, clears one and sets another.
"""

import numpy as np
from gymnasium.spaces import MultiDiscrete

from libc.stdint cimport int32_t, uint8_t, uint64_t
from libc.string cimport memset

from envs.core.random cimport draw_below, stream_of

cdef extern from * nogil:
    """
    static const int MAX_HEALTH[] = {500, 1800, 500, 450}, DAMAGE[] = {50, 100, 22, 22}, REACH[] = {9, 25, 2, 2}, PAUSE[] = {8, 5, 5, 5};
    static const float BOUNTY[] = {1.0f, 2.0f, 0.5f, 0.5f};
    static const int TOWERS[][2] = {{42, 6}, {26, 6}, {46, 17}, {38, 25}, {57, 21}, {57, 37}};
    static const int CORNERS[][2] = {{5, 5}, {32, 31}, {58, 58}}, BASES[][2] = {{58, 5}, {5, 58}};
    """
    const int MAX_HEALTH[]
    const int DAMAGE[]
    const int REACH[]
    const int PAUSE[]
    const float BOUNTY[]
    const int TOWERS[][2]
    const int CORNERS[][2]
    const int BASES[][2]
    int lowest "__builtin_ctzll" (unsigned long long)

cdef enum:
    SIZE = 64
    UNIT = 6
    VISION = 5
    HERO = 0
    TOWER = 1
    NEUTRAL = 2
    CREEP = 3
    FIRST = 1               # heroes 1 to 10, towers from 11, neutrals from 23, creeps from 151; 0 is nobody
    END = 211

cdef struct Entity:
    int kind, team, y, x, row, column, health, pause, rest, lane, leg, home_row, home_column, target

cdef struct Game:
    Entity[END] entities
    uint8_t[SIZE][SIZE] cells
    uint64_t[3][SIZE] stand         # bit c of stand[team][r]: somebody of that team stands on row r, column c
    uint64_t stream
    int tick


cdef class Skirmish:
    """One skirmish, as the twin: `step(actions)` and `reset(seed)`."""

    cdef readonly int num_envs, num_agents, scan_every
    cdef readonly object single_action_space, actions, observations, rewards, terminals
    cdef uint8_t[:, :, :, ::1] seen
    cdef float[::1] gained
    cdef Game game

    def __init__(self, int scan_every=1):
        self.num_envs, self.num_agents, self.scan_every = 1, 10, scan_every
        self.single_action_space = MultiDiscrete([7, 7, 3, 2, 2, 2])
        self.actions = np.zeros((10, 6), np.int32)
        self.observations, self.rewards = np.zeros((10, 11, 11, 3), np.uint8), np.zeros(10, np.float32)
        self.seen, self.gained = self.observations, self.rewards
        self.terminals = np.zeros(10, bool)

    def reset(self, seed=0):
        start(&self.game, seed)
        memset(&self.seen[0, 0, 0, 0], 0, self.seen.nbytes)
        observe(&self.game, &self.seen[0, 0, 0, 0])
        return self.observations, []

    def step(self, int32_t[:, ::1] actions):
        with nogil:
            memset(&self.gained[0], 0, 10 * sizeof(float))
            tick(&self.game, &actions[0, 0], &self.gained[0], self.scan_every)
            memset(&self.seen[0, 0, 0, 0], 0, 10 * 363)
            observe(&self.game, &self.seen[0, 0, 0, 0])
        return self.observations, self.rewards, self.terminals, self.terminals, []

    def counts(self):
        """Living towers, neutrals and creeps."""
        living = [self.game.entities[i].health > 0 for i in range(END)]
        return sum(living[11:23]), sum(living[23:151]), sum(living[151:])


cdef int jitter(Game* game) noexcept nogil:
    """-2 to 2."""
    return draw_below(&game.stream, 5) - 2


cdef int distance(Entity* a, Entity* b) noexcept nogil:
    """Squared: without the root the order is the same."""
    cdef int dy = a.row - b.row, dx = a.column - b.column
    return dy * dy + dx * dx


cdef void enter(Game* game, int i, int row, int column) noexcept nogil:
    game.cells[row][column] = i
    game.stand[game.entities[i].team][row] |= <uint64_t> 1 << column


cdef void leave(Game* game, int i) noexcept nogil:
    cdef Entity* entity = &game.entities[i]
    game.cells[entity.row][entity.column] = 0
    game.stand[entity.team][entity.row] &= ~(<uint64_t> 1 << entity.column)


cdef uint64_t seen_from(int column) noexcept nogil:
    """The columns that lie in the window around `column`, a bit for each."""
    cdef uint64_t mask = 2047
    return mask << (column - VISION) if column >= VISION else mask >> (VISION - column)


cdef void settle(Game* game, int i, int kind, int team, int row, int column) noexcept nogil:
    cdef Entity* entity = &game.entities[i]
    if team == 1:
        row, column = SIZE - 1 - row, SIZE - 1 - column
    entity.kind, entity.team, entity.home_row, entity.home_column = kind, team, row, column
    place(game, i)
    entity.home_row, entity.home_column = entity.row, entity.column


cdef void start(Game* game, uint64_t seed) noexcept nogil:
    cdef int i, k, row, column
    memset(game, 0, sizeof(Game))
    game.stream = stream_of(seed, 0)
    for i in range(10):
        settle(game, 1 + i, HERO, i // 5, 40, 20 + i % 5)
    for i in range(12):
        settle(game, 11 + i, TOWER, i // 6, TOWERS[i % 6][0], TOWERS[i % 6][1])
    for k in range(16):
        row, column = 11 + draw_below(&game.stream, 20), 0
        column = 11 + draw_below(&game.stream, 20)
        for i in range(8):
            settle(game, 23 + 8 * k + i, NEUTRAL, 2, SIZE - 1 - row if i > 3 else row, SIZE - 1 - column if i > 3 else column)
    for i in range(60):
        game.entities[151 + i].kind, game.entities[151 + i].team = CREEP, i // 30
        game.entities[151 + i].home_row, game.entities[151 + i].home_column = BASES[i // 30][0], BASES[i // 30][1]
    send_wave(game)


cdef void place(Game* game, int i) noexcept nogil:
    cdef Entity* entity = &game.entities[i]
    cdef int cell = entity.home_row * SIZE + entity.home_column, row, column
    while game.cells[cell // SIZE][cell % SIZE]:
        cell = (cell + (-1 if entity.team == 1 else 1)) & 4095
    row, column = cell // SIZE, cell % SIZE
    enter(game, i, row, column)
    entity.row, entity.column, entity.health = row, column, MAX_HEALTH[entity.kind]
    entity.y, entity.x = row * UNIT + UNIT // 2, column * UNIT + UNIT // 2
    entity.pause = entity.rest = entity.target = 0


cdef void send_wave(Game* game) noexcept nogil:
    cdef int team, sent, i
    for team in range(2):
        sent = 0
        for i in range(151 + 30 * team, 181 + 30 * team):
            if game.entities[i].health <= 0 and sent < 9:
                game.entities[i].lane, game.entities[i].leg = sent % 3, 0
                place(game, i)
                sent += 1


cdef void tick(Game* game, int32_t* actions, float* gained, int scan_every) noexcept nogil:
    cdef int i
    game.tick += 1
    if game.tick % 200 == 0:
        send_wave(game)
    if game.tick % 600 == 0:
        for i in range(23, 151):
            if game.entities[i].health <= 0:
                place(game, i)
    for i in range(FIRST, 11):
        play(game, i, actions + 6 * (i - FIRST), gained)
    for i in range(11, END):
        if game.entities[i].health > 0:
            act(game, i, (game.tick + i - FIRST) % scan_every == 0, gained)


cdef void play(Game* game, int i, int32_t* action, float* gained) noexcept nogil:
    cdef Entity* hero = &game.entities[i]
    cdef int speed = -1 if hero.team else 1, target, row, column, count = 0, k
    cdef uint8_t[25] found
    if hero.pause > 0:
        hero.pause -= 1
    if hero.rest > 0:
        hero.rest -= 1
    elif action[3]:
        hero.rest = 15
        for row in range(max(hero.row - 2, 0), min(hero.row + 3, SIZE)):
            for column in range(max(hero.column - 2, 0), min(hero.column + 3, SIZE)):
                target = game.cells[row][column]
                if target and game.entities[target].team != hero.team:
                    found[count] = target
                    count += 1
        for k in range(count):
            hurt(game, i, found[k], 60, gained)
    elif action[4]:
        hero.rest = 15
        hero.health = min(hero.health + 150, MAX_HEALTH[HERO])
    elif action[5]:
        hero.rest = 15
        speed *= 2
    move_to(game, i, hero.y + speed * (action[0] - 3), hero.x + speed * (action[1] - 3))
    if action[2] > 0 and hero.pause == 0:
        target = nearest(game, i, action[2] == 2)
        if target and distance(hero, &game.entities[target]) <= REACH[HERO]:
            attack(game, i, target, gained)


cdef void act(Game* game, int i, bint looks, float* gained) noexcept nogil:
    cdef Entity* entity = &game.entities[i]
    cdef Entity* target
    if entity.pause > 0:
        entity.pause -= 1
    if looks:
        entity.target = nearest(game, i, False)
    elif entity.target and not sees(entity, &game.entities[entity.target]):
        entity.target = 0
    if entity.target:
        target = &game.entities[entity.target]
        if distance(entity, target) <= REACH[entity.kind]:
            if entity.pause == 0:
                attack(game, i, entity.target, gained)
        elif entity.kind != TOWER:
            move_towards(game, i, target.y, target.x)
    elif entity.kind == NEUTRAL:
        if entity.row != entity.home_row or entity.column != entity.home_column:
            move_towards(game, i, entity.home_row * UNIT + UNIT // 2, entity.home_column * UNIT + UNIT // 2)
    elif entity.kind == CREEP:
        follow_lane(game, i)


cdef int nearest(Game* game, int i, bint heroes_only) noexcept nogil:
    """A row of the window is one word; only cells with a foe on them are looked at."""
    cdef Entity* entity = &game.entities[i]
    cdef int row, column, other, away, best = 0, best_away = 1 << 20, y = entity.row, x = entity.column
    cdef uint64_t* foes = game.stand[(entity.team + 1) % 3]
    cdef uint64_t* others = game.stand[(entity.team + 2) % 3]
    cdef uint64_t word, mask = seen_from(x)
    for row in range(max(y - VISION, 0), min(y + VISION + 1, SIZE)):
        word = (foes[row] | others[row]) & mask
        while word:
            column = lowest(word)
            word &= word - 1
            other = game.cells[row][column]
            away = (row - y) * (row - y) + (column - x) * (column - x)
            if not (heroes_only and other > 10) and (away < best_away or away == best_away and other < best):
                best, best_away = other, away
    return best


cdef bint sees(Entity* entity, Entity* other) noexcept nogil:
    return other.health > 0 and -VISION <= entity.row - other.row <= VISION and -VISION <= entity.column - other.column <= VISION


cdef void attack(Game* game, int i, int target, float* gained) noexcept nogil:
    game.entities[i].pause = PAUSE[game.entities[i].kind]
    hurt(game, i, target, DAMAGE[game.entities[i].kind], gained)


cdef void hurt(Game* game, int i, int target, int damage, float* gained) noexcept nogil:
    cdef Entity* other = &game.entities[target]
    other.health -= damage
    if other.health > 0:
        return
    leave(game, target)
    if i <= 10:
        gained[i - FIRST] += BOUNTY[other.kind]
    if target <= 10:
        gained[target - FIRST] -= 0.25
        place(game, target)


cdef bint move_to(Game* game, int i, int y, int x) noexcept nogil:
    cdef Entity* entity = &game.entities[i]
    cdef int row, column
    y, x = min(max(y, 0), SIZE * UNIT - 1), min(max(x, 0), SIZE * UNIT - 1)
    row, column = y // UNIT, x // UNIT
    if row != entity.row or column != entity.column:
        if game.cells[row][column]:
            return False
        leave(game, i)
        enter(game, i, row, column)
        entity.row, entity.column = row, column
    entity.y, entity.x = y, x
    return True


cdef void move_towards(Game* game, int i, int y, int x) noexcept nogil:
    cdef Entity* entity = &game.entities[i]
    cdef int dy = min(max(y - entity.y, -2), 2), dx = min(max(x - entity.x, -2), 2)
    if not move_to(game, i, entity.y + dy, entity.x + dx):
        dy = jitter(game)
        dx = jitter(game)
        move_to(game, i, entity.y + dy, entity.x + dx)


cdef void follow_lane(Game* game, int i) noexcept nogil:
    cdef Entity* creep = &game.entities[i]
    cdef int row = BASES[1 - creep.team][0], column = BASES[1 - creep.team][1]
    if creep.leg == 0:
        row, column = CORNERS[creep.lane][0], CORNERS[creep.lane][1]
        if creep.team:
            row, column = SIZE - 1 - row, SIZE - 1 - column
    if not (-2 <= creep.row - row <= 2 and -2 <= creep.column - column <= 2):
        move_towards(game, i, row * UNIT + UNIT // 2, column * UNIT + UNIT // 2)
        return
    creep.leg += 1
    if creep.leg == 2:
        creep.health = 0
        leave(game, i)


cdef void observe(Game* game, uint8_t* seen) noexcept nogil:
    cdef int i, j, k, row, column, turn, index
    cdef uint64_t word, mask
    cdef uint8_t* cell
    cdef Entity* hero
    cdef Entity* other
    for k in range(FIRST, 11):
        hero = &game.entities[k]
        turn, mask = -1 if hero.team else 1, seen_from(hero.column)
        for i in range(11):
            row = hero.row + turn * (i - VISION)
            for j in range(max(0, VISION - (SIZE - 1 - hero.column if hero.team else hero.column)) if 0 <= row < SIZE else 11):
                seen[33 * i + 3 * j] = 1
            for j in range(min(11, VISION + (hero.column + 1 if hero.team else SIZE - hero.column)) if 0 <= row < SIZE else 11, 11):
                seen[33 * i + 3 * j] = 1
            word = (game.stand[0][row] | game.stand[1][row] | game.stand[2][row]) & mask if 0 <= row < SIZE else 0
            while word:
                column = lowest(word)
                word &= word - 1
                index = game.cells[row][column]
                other = &game.entities[index]
                cell = seen + 33 * i + 3 * (VISION + turn * (column - hero.column))
                cell[0] = 8 if other.team == 2 else (2 if other.team == hero.team else 5) + other.kind - (other.kind == CREEP)
                cell[1] = (other.health * 15 + MAX_HEALTH[other.kind] - 1) // MAX_HEALTH[other.kind]
                cell[2] = hero.rest if index == k else other.pause
        seen += 363
