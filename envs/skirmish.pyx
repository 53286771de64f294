"""skirmish: five heroes a side among creeps, neutrals and towers; the hot slice of a MOBA,
and what level 9 makes fast step by step.

Rules         A map of 64 x 64 cells, at most one entity on a cell; positions are whole sixths of a cell.
              Side 0 begins at the bottom left, side 1 at the top right, and all of its map is that of side 0
              turned by half a turn. Ten heroes; six towers a side, two on each of three lanes; 32 camps of
              four neutrals, placed at random, that come back every 600 ticks; and every 200 ticks three
              creeps a lane and side, up to 30 a side. A tick: the heroes act in the order of their index,
              then the towers, neutrals and creeps in theirs. These look for the nearest hostile entity in the
              square of their sight, attack it when it is within reach, else walk towards it, a third of a
              cell a tick; where the next cell is taken they take a random step. Without a target a creep
              follows its lane, and a neutral goes home. A hero that falls starts anew at home, beside the
              first tower of the middle lane.
Numbers       hero 500 health, damage 50 within 3 cells every 8 ticks; tower 1800, 100 within 5 every 5;
              neutral 500 and creep 450, 22 on a neighbouring cell every 5. Sight 5 cells. Of two targets as
              near the one of lower index is taken.
Cadence       `scan_every=5`: an entity looks for a target every fifth tick, staggered by its index so that no
              tick is a spike, and keeps it until then unless it falls or leaves the sight. 1 looks every
              tick, as the twin of level 9 begins; how little that changes the game is
              tested (tests/test_skirmish.py).
Observation   (11, 11, 3) uint8, the cells around the hero; side 1 sees the map turned, so that one policy
              plays both sides.
              [..., 0] who: 0 nobody, 1 outside, 2 own hero, 3 own tower, 4 own creep,
                       5 6 7 the same of the foe, 8 neutral;
              [..., 1] health in fifteenths, rounded up;
              [..., 2] ticks until it can attack; in the centre until the next skill.
Actions       MultiDiscrete([7, 7, 3, 2, 2, 2]): down and right in sixths of a cell, minus 3; attack
              nobody, the nearest, the nearest hero; strike (60 to every foe within 2 cells), mend
              (150 health), sprint (double speed for a tick). A skill is followed by a rest of 15 ticks; of
              several the first counts.
Rewards       For what it kills: hero 1, tower 2, creep or neutral 0.5. For its own death -0.25:
              with -1 they learn to stay at home.
End           After `limit` ticks, for all ten (terminal: the game is over, nothing is cut off).
Log           episode_return, episode_length, score (kills), deaths.
Files         skirmish_map.pxd: numbers, what a game holds, how things stand and move.
Source        Stream 000 (the MOBA that was to reach a million steps a second); sizes and numbers as in
              PufferLib's moba of that time.
"""

import numpy as np
from gymnasium.spaces import Box, MultiDiscrete

from envs.core import drawing
from envs.core.settings import LONGEST, whole

cimport cython
cimport numpy as cnp
from libc.stdint cimport int16_t, int32_t, uint8_t, uint64_t
from libc.string cimport memcpy, memset

from envs.core.native cimport Native, require
from envs.core.random cimport Stream, draw_below
from envs.skirmish_map cimport (BASE_COLUMNS, BASE_ROWS, BOUNTY, CELLS, CREEP, DAMAGE, FIRST, FIRST_CREEP,
                                FIRST_NEUTRAL, FIRST_TOWER, GOAL_COLUMNS, GOAL_ROWS, GROUPS, HERO, MAX_HEALTH,
                                MEND, NEUTRAL, NOBODY, NUM_ENTITIES, OBSERVATION, OUTSIDE, OWN, PAUSE, REACH,
                                REST, RETURN, SIZE, SLOTS, STRIKE, STRIKE_RADIUS, TOWER, TOWER_COLUMNS,
                                TOWER_ROWS, UNIT, VISION, WAVE, WAVE_SIZE, WILD, WINDOW, centre, decide,
                                Entity, far, fifteenths, foes_around, Game, kind_of, leave, lowest, move_to,
                                name_of, nearest, next_of, on_map, opposite_if, pack, place, set_busy,
                                sees_foes, settle, side_of, somebody, squared_distance, Turn, Window)


@cython.final
cdef class Skirmish(Native):
    """skirmish(num_envs, seed=0, scan_every=5, limit=1000): see the module's docstring for rules,
    observation and actions."""

    cdef Game* games
    cdef uint8_t* backgrounds       # a window with nobody in it, by how much of it lies outside
    cdef uint64_t* due              # by tick % scan_every, for each group: whose turn it is to look
    cdef uint8_t[512] names         # by side and entity: what the one is for the other
    cdef uint8_t[128] overlaps      # by side and row or column: 5 for a window inside, more by what lies over
                                    # the far edge, less by the near
    cdef object backgrounds_memory, due_memory
    cdef readonly int scan_every, limit

    keys = {"ArrowUp": (0, 3, 1, 0, 0, 0), "ArrowDown": (6, 3, 1, 0, 0, 0), "ArrowLeft": (3, 0, 1, 0, 0, 0),
            "ArrowRight": (3, 6, 1, 0, 0, 0),
            "q": (3, 3, 1, 1, 0, 0), "w": (3, 3, 1, 0, 1, 0), "e": (3, 3, 1, 0, 0, 1),
            "h": (3, 3, 2, 0, 0, 0), "n": (3, 3, 0, 0, 0, 0)}
    idle_action = (3, 3, 1, 0, 0, 0)
    two_sides = {}
    decided_by_return = True
    action_names = ("down", "right", "attack", "strike", "mend", "sprint")

    def __init__(self, num_envs=1, *, seed=0, scan_every=5, limit=1000, **common):
        self.scan_every = whole("scan_every", scan_every, 1, 1000)
        self.limit = whole("limit", limit, 1, LONGEST)
        high = np.broadcast_to(np.array([WILD, 15, 15], np.uint8), (WINDOW, WINDOW, 3))
        self.prepare(num_envs, 10, Box(0, high, dtype=np.uint8), MultiDiscrete([7, 7, 3, 2, 2, 2]), seed,
                     common, metric_names=("score", "deaths"))
        self.games = <Game*> self.claim(self.num_envs * sizeof(Game))
        self.backgrounds_memory = empty_windows()
        self.backgrounds = <uint8_t*> cnp.PyArray_DATA(self.backgrounds_memory)
        self.due_memory = turns(self.scan_every)
        self.due = <uint64_t*> cnp.PyArray_DATA(self.due_memory)
        cdef int i
        for i in range(NUM_ENTITIES):
            self.names[i], self.names[256 + i] = name_of(i, 0), name_of(i, 1)
        for i in range(SIZE):
            over = max(0, i - (SIZE - 1 - VISION)) - max(0, VISION - i)
            self.overlaps[i], self.overlaps[SIZE + i] = VISION + over, VISION - over

    # ------------------------------------------------------------------ beginning

    cdef void reset_range(self, int first, int last) noexcept nogil:
        cdef int env
        for env in range(first, last):
            self.start(env)
            self.observe(env)

    cdef void start(self, int env) noexcept nogil:
        """A new skirmish."""
        cdef Game* game = &self.games[env]
        cdef Stream* stream = &self.streams[env]
        cdef int i, k, side, row, column, at = FIRST_NEUTRAL
        memset(game, 0, sizeof(Game))
        game.env = env
        for i in range(10):
            settle(game, i, i // 5, HERO, opposite_if(i // 5, 40), opposite_if(i // 5, 20 + i % 5))
        for i in range(12):
            side = i // 6
            settle(game, FIRST_TOWER + i, side, TOWER, opposite_if(side, TOWER_ROWS[i % 6]),
                   opposite_if(side, TOWER_COLUMNS[i % 6]))
        for k in range(16):
            row = 11 + draw_below(stream, 20)
            column = 11 + draw_below(stream, 20)
            for i in range(8):
                settle(game, at, 2, NEUTRAL, opposite_if(i // 4, row), opposite_if(i // 4, column))
                at += 1
        self.send_wave(game)

    cdef void send_wave(self, Game* game) noexcept nogil:
        """Three creeps a lane for each side, as long as there are slots."""
        cdef int i, side, sent
        for side in range(2):
            sent = 0
            for i in range(FIRST_CREEP + SLOTS * side, FIRST_CREEP + SLOTS * (side + 1)):
                if game.entities[i].health <= 0 and sent < WAVE_SIZE:
                    game.entities[i].home_row = <uint8_t> GOAL_ROWS[3 * side + sent % 3]
                    game.entities[i].home_column = <uint8_t> GOAL_COLUMNS[3 * side + sent % 3]
                    game.entities[i].leg = 0
                    place(game, i, side, CREEP, BASE_ROWS[side], BASE_COLUMNS[side])
                    set_busy(game, i, True)
                    sent += 1

    # ------------------------------------------------------------------ a tick

    cdef void step_range(self, int first, int last) noexcept nogil:
        cdef int env, i
        for env in range(first, last):
            self.tick(&self.games[env], <int32_t*> self.rows.actions + 60 * env)
            if self.games[env].tick >= self.limit:
                for i in range(10 * env, 10 * env + 10):
                    self.rows.terminals[i] = 1
                self.start(env)
            self.observe(env)

    cdef void tick(self, Game* game, int32_t* actions) noexcept nogil:
        cdef Entity* entity
        cdef uint64_t* due
        cdef int i, group
        game.tick += 1
        if game.tick % WAVE == 0:
            self.send_wave(game)
        if game.tick % RETURN == 0:
            for i in range(FIRST_NEUTRAL, FIRST_CREEP):
                entity = &game.entities[i]
                if entity.health <= 0:
                    place(game, i, 2, NEUTRAL, entity.home_row, entity.home_column)
                    set_busy(game, i, True)         # its home may be taken, so that it has to walk
        for i in range(10):
            self.play(game, i, i // 5, actions + 6 * i)
        due = self.due + GROUPS * (game.tick % self.scan_every)
        for group in range(2):
            self.act_all(game, group, TOWER, group, due[group])
        for group in range(2, 4):
            self.act_all(game, group, NEUTRAL, 2, due[group])
        for group in range(4, 6):
            self.act_all(game, group, CREEP, group - 4, due[group])

    cdef inline void act_all(self, Game* game, int group, int kind, int side, uint64_t due) noexcept nogil:
        """The turn of one group. No member is a foe of another one, so what each of them does is decided for
        all beforehand, and only those who attack or walk are called upon, in order. Where somebody falls by
        that, those who follow decide anew."""
        cdef Turn turn
        cdef uint64_t rest = ~<uint64_t> 0, acting, bit
        cdef int i, first = FIRST[group]
        turn.dropped = 0
        while rest:
            decide(game, group, kind, side, due, rest, rest == ~<uint64_t> 0, &turn)
            acting, rest = turn.attack | turn.walk, 0
            while acting and not rest:
                i = lowest(acting)
                bit = <uint64_t> 1 << i
                acting ^= bit
                if turn.walk & bit:
                    self.walk(game, first + i, kind, side, turn.alone & bit != 0)
                elif self.attack(game, first + i, kind, game.entities[first + i].target):
                    rest = ~(bit | bit - 1)
        while turn.dropped:
            game.entities[first + lowest(turn.dropped)].target = NOBODY
            turn.dropped &= turn.dropped - 1

    cdef inline void walk(self, Game* game, int i, int kind, int side, bint alone) noexcept nogil:
        """A step towards the target; without one, along the lane or home."""
        cdef Entity* entity = &game.entities[i]
        cdef Entity* target = &game.entities[entity.target]
        cdef int y = centre(entity.home_row) if alone else target.y
        cdef int x = centre(entity.home_column) if alone else target.x
        if (kind == CREEP and alone
                and not (far(entity.row - entity.home_row, 2) | far(entity.column - entity.home_column, 2))):
            self.turn_corner(game, i, side)
        else:
            self.move_towards(game, i, side, y, x)

    cdef inline void play(self, Game* game, int i, int side, int32_t* action) noexcept nogil:
        """What an agent does: a skill, a move, an attack."""
        cdef Entity* hero = &game.entities[i]
        cdef int pace = 1 - 2 * side, target
        hero.pause -= hero.pause > 0
        if hero.rest > 0:
            hero.rest -= 1
        elif action[3]:
            hero.rest = REST
            self.strike(game, i, side)
        elif action[4]:
            hero.rest = REST
            hero.health = <int16_t> min(hero.health + MEND, MAX_HEALTH[HERO])
            hero.bar = fifteenths(hero.health, MAX_HEALTH[HERO])
        elif action[5]:
            hero.rest = REST
            pace *= 2
        move_to(game, i, side, hero.y + pace * (action[0] - 3), hero.x + pace * (action[1] - 3))
        if action[2] and hero.pause == 0 and sees_foes(game, side, hero.row, hero.column):
            target = nearest(game, i, side, action[2] == 2)
            if target != NOBODY and squared_distance(hero, &game.entities[target]) <= REACH[HERO]:
                self.attack(game, i, HERO, target)

    # ------------------------------------------------------------------ attack and move

    cdef inline bint attack(self, Game* game, int i, int kind, int target) noexcept nogil:
        game.entities[i].pause = PAUSE[kind]
        return self.hurt(game, i, target, DAMAGE[kind])

    cdef void strike(self, Game* game, int i, int side) noexcept nogil:
        """Hurt every foe around a hero. First all are found:
        one that falls may start anew inside the window."""
        cdef Entity* hero = &game.entities[i]
        cdef Window foes = foes_around(game, side, hero.row, hero.column)
        cdef uint8_t[25] found
        cdef int count = 0
        cdef unsigned int k
        while somebody(&foes):
            k = next_of(&foes)
            if not (far(<int> (k // WINDOW) - VISION, STRIKE_RADIUS)
                    | far(<int> (k % WINDOW) - VISION, STRIKE_RADIUS)):
                found[count] = game.who[on_map(hero.row, hero.column, k)]
                count += 1
        for k in range(<unsigned int> count):
            self.hurt(game, i, found[k], STRIKE)

    cdef bint hurt(self, Game* game, int i, int target, int damage) noexcept nogil:
        """Entity i takes health from another one; where that falls, it pays. Returns whether it fell."""
        cdef Entity* other = &game.entities[target]
        cdef int kind = kind_of(target), agents = 10 * game.env
        other.health -= <int16_t> damage
        if other.health > 0:
            other.bar = fifteenths(other.health, MAX_HEALTH[kind])
            return False
        leave(game, side_of(target), other.row, other.column)
        if i < FIRST_TOWER:
            self.metrics[2 * (agents + i)] += 1
            self.rows.rewards[agents + i] += BOUNTY[kind]
        if kind == HERO:
            self.metrics[2 * (agents + target) + 1] += 1
            self.rows.rewards[agents + target] -= <float> 0.25
            place(game, target, target // 5, HERO, other.home_row, other.home_column)
        else:
            set_busy(game, target, False)
        return True

    cdef inline void move_towards(self, Game* game, int i, int side, int y, int x) noexcept nogil:
        """A third of a cell towards a position; where the way is blocked, a random step."""
        cdef Entity* entity = &game.entities[i]
        cdef Stream* stream = &self.streams[game.env]
        cdef int dy = min(max(y - entity.y, -2), 2), dx = min(max(x - entity.x, -2), 2)
        if not move_to(game, i, side, entity.y + dy, entity.x + dx):
            dy = draw_below(stream, 5) - 2
            dx = draw_below(stream, 5) - 2
            move_to(game, i, side, entity.y + dy, entity.x + dx)

    cdef void turn_corner(self, Game* game, int i, int side) noexcept nogil:
        """A creep goes on to the other side's base; one that has arrived there is gone."""
        cdef Entity* creep = &game.entities[i]
        creep.home_row, creep.home_column = <uint8_t> BASE_ROWS[1 - side], <uint8_t> BASE_COLUMNS[1 - side]
        creep.leg += 1
        if creep.leg == 2:
            creep.health = 0
            leave(game, side, creep.row, creep.column)
            set_busy(game, i, False)

    # ------------------------------------------------------------------ sight

    cdef void observe(self, int env) noexcept nogil:
        """The window around each hero: a background, and on it the cells whose bits are set."""
        cdef Game* game = &self.games[env]
        cdef Entity* hero
        cdef Entity* other
        cdef uint8_t* seen = <uint8_t*> self.rows.observations + 10 * env * OBSERVATION
        cdef uint8_t* cell
        cdef uint8_t* names
        cdef uint8_t* overlap
        cdef Window around
        cdef int side, i, index
        cdef unsigned int k
        for side in range(2):
            names = self.names + 256 * side
            overlap = self.overlaps + SIZE * side
            for i in range(5 * side, 5 * side + 5):
                hero = &game.entities[i]
                memcpy(seen,
                       self.backgrounds + (overlap[hero.row] * WINDOW + overlap[hero.column]) * OBSERVATION,
                       OBSERVATION)
                around = pack(game.taken + hero.row, hero.column)
                while somebody(&around):
                    k = next_of(&around)
                    index = game.who[on_map(hero.row, hero.column, k)]
                    other = &game.entities[index]
                    cell = seen + 3 * (CELLS - 1 - k if side else k)
                    cell[0] = names[index]
                    cell[1] = other.bar
                    cell[2] = other.pause
                require(&self.fault, seen[CELLS // 2 * 3] == OWN,
                        b"a hero does not stand in the centre of its window")
                seen[CELLS // 2 * 3 + 2] = hero.rest
                seen += OBSERVATION

    def entity(self, index, i):
        """What is known of entity `i` (0 to 209) of skirmish `index`, as a dict; for tests and pictures."""
        cdef int game = self.require_index(index), entity = self.require_index(i, "i", NUM_ENTITIES)
        return self.games[game].entities[entity] | {"kind": kind_of(i), "side": side_of(i)}

    def render(self, index=0):
        """RGB array of skirmish `index`: side 0 blue, side 1 red, neutrals grey;
        towers are large squares, heroes discs, the rest dots."""
        self.require_index(index)
        scale, ink = 9, drawing.INK
        image = drawing.canvas(SIZE * scale, SIZE * scale)
        cdef Entity* entity
        cdef int i
        for i in range(NUM_ENTITIES):
            entity = &self.games[<int> index].entities[i]
            if entity.health > 0:
                colour = (ink["agent"], ink["rival"], ink["muted"])[side_of(i)]
                y, x = entity.y * scale / UNIT, entity.x * scale / UNIT
                if kind_of(i) == TOWER:
                    drawing.rectangle(image, y - 7, x - 7, 14, 14, colour)
                else:
                    drawing.disc(image, y, x, 6 if kind_of(i) == HERO else 3, colour)
                if i == 0:
                    drawing.disc(image, y, x, 3, ink["text"])
        return image


def turns(scan_every):
    """(scan_every, GROUPS) uint64, by tick % scan_every: bit b for the b-th of a group where
    (tick + index) % scan_every == 0."""
    groups = [(FIRST[group], size) for group, size in enumerate((6, 6, 64, 64, SLOTS, SLOTS))]
    return np.array([[sum(1 << b for b in range(size) if (tick + first + b) % scan_every == 0)
                      for first, size in groups]
                     for tick in range(scan_every)], np.uint64)


def empty_windows():
    """Windows with nobody in them, (11, 11, OBSERVATION) uint8,
    by `overlap` of their rows and of their columns."""
    reach = np.arange(-VISION, VISION + 1)
    # Over the far edge, over the near edge.
    outside = [(reach > VISION - over) | (reach < -VISION - over) for over in reach]
    windows = np.zeros((WINDOW, WINDOW, WINDOW, WINDOW, 3), np.uint8)
    for i, j in np.ndindex(WINDOW, WINDOW):
        windows[i, j, :, :, 0] = OUTSIDE * (outside[i][:, None] | outside[j])
    return windows
