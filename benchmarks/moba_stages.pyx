"""The parts of a tick of `moba` on frozen games, for benchmarks/moba.py:
each is run again and again over the same states.

    scan        those whose turn it is look around: creeps, neutrals, towers
                and, with ten scripted heroes, heroes
    move        every living creep takes a step along its lane (its bit, its cell, its bytes of the picture)
    think       creeps', neutrals' and towers' minds, looking around included, as in a tick
    window, records, scalars    the three parts of an observation, for every hero
    touch       no rules at all: one load from every cache line that a tick needs, in the same order.
                No program that keeps its games like this can be faster than that;
                the difference is instructions.

`games` are the bytes of the games (`get_state()["blocks"][-1]`); move and think change them.
"""

from libc.stdint cimport int64_t, uint8_t, uint64_t

from envs.moba_minds cimport (CADENCE, LOOKING, SIGHT_REACH, TOWER_REACH, WILD_REACH, creep_mind,
                              neutral_mind, tower_mind)
from envs.moba_sight cimport OBSERVATION, see_itself, see_records, see_window
from envs.moba_world cimport (BOTH_TEAMS, CREEP_AT, ENTITIES, HALF, HEROES, NEUTRAL_AT, ROW_BYTES, SIGHT,
                              STRIDE, TOWER_AT, TOWERS, Entity, Game, Terrain, follow, lowest_bit, nearest)


def size_of_game():
    """Bytes of a game."""
    return sizeof(Game)


def scan(uint8_t[::1] games, int num_games, bint heroes):
    """Looks of one tick; returns (looks, targets found)."""
    cdef Game* game
    cdef Entity* own
    cdef uint64_t looking, some
    cdef int i, half, slot, looks = 0, found = 0
    with nogil:
        for i in range(num_games):
            game = <Game*> &games[i * <int64_t> sizeof(Game)]
            looking = LOOKING[game.tick & (CADENCE - 1)]
            for half in range(2):
                own = &game.entities[half * HALF]
                for slot in range(HEROES):
                    if heroes and own[slot].alive and looking >> slot & 1:
                        looks += 1
                        found += nearest(game, &own[slot], 1 << (1 - half), SIGHT_REACH) >= 0
                some = game.creeps[half] & looking
                while some:
                    looks += 1
                    found += nearest(game, &own[CREEP_AT + lowest_bit(some)], 1 << (1 - half),
                                     SIGHT_REACH) >= 0
                    some &= some - 1
                some = game.neutrals[half] & looking
                while some:
                    looks += 1
                    found += nearest(game, &own[NEUTRAL_AT + lowest_bit(some)], BOTH_TEAMS, WILD_REACH) >= 0
                    some &= some - 1
                some = game.towers[half] & looking & (<uint64_t> 1 << TOWERS) - 1
                while some:
                    looks += 1
                    found += nearest(game, &own[TOWER_AT + lowest_bit(some)], 1 << (1 - half),
                                     TOWER_REACH) >= 0
                    some &= some - 1
    return looks, found


cdef Terrain terrain_of(const uint8_t[:, :, ::1] flow, const uint8_t[:, ::1] distance):
    cdef Terrain terrain
    terrain.flow, terrain.distance, terrain.places = &flow[0, 0, 0], &distance[0, 0], NULL
    return terrain


def move(uint8_t[::1] games, int num_games, const uint8_t[:, :, ::1] flow, const uint8_t[:, ::1] distance):
    """Steps of one tick; returns how many."""
    cdef Terrain terrain = terrain_of(flow, distance)
    cdef Game* game
    cdef Entity* creep
    cdef uint64_t some
    cdef int i, half, steps = 0
    with nogil:
        for i in range(num_games):
            game = <Game*> &games[i * <int64_t> sizeof(Game)]
            for half in range(2):
                some = game.creeps[half]
                while some:
                    creep = &game.entities[half * HALF + CREEP_AT + lowest_bit(some)]
                    follow(game, &terrain, creep, creep.lane)
                    some &= some - 1
                    steps += 1
    return steps


def think(uint8_t[::1] games, int num_games, const uint8_t[:, :, ::1] flow, const uint8_t[:, ::1] distance):
    """The minds of one tick but the heroes'; returns how many."""
    cdef Terrain terrain = terrain_of(flow, distance)
    cdef Game* game
    cdef Entity* own
    cdef uint64_t some, looking
    cdef int i, half, slot, minds = 0
    with nogil:
        for i in range(num_games):
            game = <Game*> &games[i * <int64_t> sizeof(Game)]
            looking = LOOKING[game.tick & (CADENCE - 1)]
            game.tick += 1
            for half in range(2):
                own = &game.entities[half * HALF]
                some = game.creeps[half]
                while some:
                    slot = lowest_bit(some)
                    creep_mind(game, &terrain, &own[CREEP_AT + slot], looking >> slot & 1)
                    some &= some - 1
                    minds += 1
                some = game.neutrals[half] & (game.awake[half] | looking)
                while some:
                    slot = lowest_bit(some)
                    neutral_mind(game, &own[NEUTRAL_AT + slot], looking >> slot & 1)
                    some &= some - 1
                    minds += 1
                some = game.towers[half] & (<uint64_t> 1 << TOWERS) - 1
                while some:
                    slot = lowest_bit(some)
                    tower_mind(game, &own[TOWER_AT + slot], looking >> slot & 1)
                    some &= some - 1
                    minds += 1
    return minds


def observe(uint8_t[::1] games, int num_games, uint8_t[:, ::1] rows, const uint8_t[:, :, ::1] flow,
            const uint8_t[:, ::1] distance, int heroes, bint window, bint records, bint scalars):
    """The parts asked for of the observations of the first `heroes` heroes of each game."""
    cdef Terrain terrain = terrain_of(flow, distance)
    cdef Game* game
    cdef Entity* entity
    cdef uint8_t* row
    cdef int i, n
    with nogil:
        for i in range(num_games):
            game = <Game*> &games[i * <int64_t> sizeof(Game)]
            for n in range(heroes):
                entity, row = &game.entities[n // HEROES * HALF + n % HEROES], &rows[i * heroes + n, 0]
                if window:
                    see_window(game, entity, row)
                if scalars:
                    see_itself(game, &terrain, entity, 10_000, row + 484)
                if records:
                    see_records(game, entity, row + 510)


def lines(uint8_t[::1] games, int num_games, int heroes):
    """Numbers of the cache lines of `games` that a tick reads or writes, in the order of a tick: int64 list.

    Entities that are alive or look whether they are; the bitboards' rows and the cells around those who look
    around and who observe; the cells on which somebody stands.
    """
    cdef Game* game
    cdef Entity* entity
    cdef int i, id, row, column, side, first
    cdef int64_t base, at
    found = []
    for i in range(num_games):
        base = i * <int64_t> sizeof(Game)
        game = <Game*> &games[base]
        first = len(found)
        for id in range(ENTITIES):
            entity = &game.entities[id]
            if not entity.alive:
                continue
            found.append((base + <char*> entity - <char*> game) >> 6)
            at = base + (<char*> &game.ids[(entity.y >> 8) * STRIDE + (entity.x >> 8)] - <char*> game)
            found.append(at >> 6)
            sees = id % HALF < HEROES and id // HALF * HEROES + id % HALF < heroes
            if sees or (id + game.tick) % 4 == 0:
                for side in range(3):
                    at = base + (<char*> &game.present[side][((entity.y >> 8) - SIGHT) * ROW_BYTES]
                                 - <char*> game)
                    found += range(at >> 6, (at + 11 * ROW_BYTES >> 6) + 1)
            if sees:
                for row in range(-SIGHT, SIGHT + 1):
                    at = base + (<char*> &game.picture[((entity.y >> 8) + row) * STRIDE
                                                       + (entity.x >> 8) - SIGHT] - <char*> game)
                    found += range(at >> 6, (at + 43 >> 6) + 1)
        found[first:] = dict.fromkeys(found[first:])
    return found


def touch(uint8_t[::1] games, const int64_t[::1] numbers, uint8_t[:, ::1] rows):
    """One load from each line, and one store to each line of the observations;
    returns a sum, so that nothing is left out."""
    cdef int64_t n, total = 0
    cdef uint8_t* row
    with nogil:
        for n in range(numbers.shape[0]):
            total += games[numbers[n] << 6]
        for n in range(0, rows.shape[0] * <int64_t> OBSERVATION, 64):
            row = &rows[0, 0] + n
            row[0] = 1
    return total
