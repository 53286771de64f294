"""moba: five against five on three lanes, a small game in the line of Dota and League of Legends.

Rules         Two teams, each with a base in a corner of a map of 128 x 128 cells, an ancient in it, eleven
              towers along three lanes, and five heroes. The team whose ancient falls has lost. After
              `max_ticks` the game is cut off (truncation).
              * Every 150 ticks five creeps a team set out on each lane. Creeps, towers and neutrals go for
                the nearest rival in sight.
              * A tower can be attacked once the one before it on its lane has fallen, the last two once a
                third one has, the ancient once these two have.
              * 18 camps of four neutrals in the jungle, back every 600 ticks; they mind who comes near.
              * One entity a cell, positions in 1/256 of a cell. Nobody sees further than
                the 11 x 11 cells around it.
              * Who dies near rival heroes gives them experience (creep 60, neutral 35, tower 800 x tier, hero
                100 + a part of its own), shared among those within 6 cells. 30 levels; a level adds health,
                damage, mana, and strength to the abilities.
              * A dead hero comes back at its base after 40 + 6 x level ticks. At the base heroes heal.
Heroes        By row of the observation: support, assassin, burst, tank, carry, with abilities
              Q, W, E each (moba_combat.pxd). Lanes: safe, safe, mid, off, safe.
Agents        `agents=5`: the heroes of side 0 learn, those of side 1 are scripted. `agents=10`: all learn, in
              rows 0-4 and 5-9. With fewer or other numbers the first heroes learn and the rest are scripted:
              `agents=1` is a person's game among nine scripted heroes. With `autopilot=True` every hero is
              scripted and actions are ignored. `minds` (num_agents,) uint8 may be written between steps:
              1 or 2 lets a plain or strong scripted mind move a row's hero, 0 the row's action.
Observation   590 uint8. Side 1 sees the map turned by half, so that both teams play from
              the bottom left to the top right.
              0-483    the window: 11 rows of 11 cells of (code, health, mana, level). Codes: 0 free, 1 tree,
                       2 own ancient, 3 own tower, 4 own hero, 5 own creep, 6 neutral, 7 rival creep, 8 rival
                       hero, 9 rival tower, 10 rival ancient. Health and mana are parts of 255.
              484-509  oneself: health, mana (of 255), level, part of the way to the next level (of 255), row,
                       column, which hero (5), Q W E ready (3), attack ready, stunned, slowed, hasted, ticks
                       until one's return (0 alive), part of the time gone (of 255), health of own and of
                       rival ancient (of 255), own and rival towers standing, the next step along one's lane
                       (row and column; 0 back, 1 none, 2 forth)
              510-589  the ten nearest in the window, nearest first, 8 numbers each: row and column relative
                       to oneself (1/16 cell, 96 is 0), ally, rival, hero, tower or ancient, health (of 255),
                       may be attacked; zeros where there are fewer
Actions       MultiDiscrete([7, 7, 3, 2, 2, 2]): speed along rows and along columns (3 is rest, 0 and 6 full
              speed back and forth, turned for side 1 as the observation is), whom to prefer (0 the nearest,
              1 the weakest, 2 heroes), cast Q, W, E. A basic attack needs no action: it is made whenever
              there is a target in reach. `continuous=True`: Box(-1, 1, (6,)) with the same meaning; the
              target is chosen by thirds, an ability is cast above 0.
Rewards       Sum of: `reward_death` for one's death, `reward_xp` for each point of experience,
              `reward_distance` for each cell nearer to the rival ancient (on foot; a death takes back what
              was gained), `reward_tower` for each rival tower that falls, and its opposite for each own one,
              `reward_win` at the end, negative for the losers.
Log           episode_return, episode_length, score (1 if one's team won, else 0), lost, kills, deaths,
              level, towers (taken).
Scripted      Three heroes on the safe lane, one in the middle, one on the off lane: along the lane as creeps
              do, abilities when they make sense, home to heal, not into a tower's reach alone. Ten of them
              finish games, and neither side wins more often. `rivals="strong"`: those of side 1 choose whom
              they attack and go down the middle together; they win 6 games of 7 against plain ones.
Fairness      Which half moves first changes every tick, beginning with a coin.
              The mirror image of a game is a game.
Chance        Two things are drawn: the coin, and to which side an entity steps when its way is blocked. No
              way is blocked in the first ticks, so games of the same actions begin alike whatever the seed.
Speed         Creeps, neutrals, towers and scripted heroes look around on every fourth tick only
              (moba_minds.pxd says what that changes).
Files         core/battlefield.py the map; moba_world.pxd entities and grid, moba_spawn.pxd their birth,
              moba_combat.pxd fighting, moba_minds.pxd scripted minds, moba_sight.pxd observations.
Source        stream 000 and PufferLib's Ocean `moba` for the idea, the counts and most numbers;
              the code is new.
"""

import numpy as np
from gymnasium.spaces import Box, MultiDiscrete

from envs.core import battlefield, moba_picture
from envs.core.settings import LARGEST_REWARD, choice, flag, number, whole

cimport numpy as cnp
from libc.stdint cimport int16_t, int32_t, int64_t, uint8_t, uint64_t
from libc.string cimport memcpy

from envs.core.native cimport Native
from envs.core.random cimport draw
from envs.moba_combat cimport CAST_REACH, attack, cast, heal, may_cast
from envs.moba_minds cimport CADENCE, LOOKING, creep_mind, hero_mind, looks, neutral_mind, tower_mind
from envs.moba_sight cimport OBSERVATION, RECORD, RECORDS, RECORDS_AT, SCALARS_AT, see
from envs.moba_spawn cimport bring_back, equip, send_wave, steps_to_go, wake_camps
from envs.moba_world cimport (ANCIENT, BORDER, CREEP_AT, ENTITIES, HALF, HERO, HEROES, NEUTRAL_AT, NOBODY,
                              STRIDE, TOWER, TOWER_AT, TOWERS, TREE_CODE, TREE_ID, UNIT, WILD, Entity, Game,
                              Hero, Terrain, gather, hero_number, lowest_bit, pace_of, relative, step_by,
                              within)

cdef enum:
    WAVE_TICKS = 150
    NEUTRAL_TICKS = 600
    BASE_REACH = 2048               # 8 cells: as near to their home heroes heal
    METRICS = 6

KEYS = {"ArrowUp": (0, 3, 0, 0, 0, 0), "ArrowDown": (6, 3, 0, 0, 0, 0),
        "ArrowLeft": (3, 0, 0, 0, 0, 0), "ArrowRight": (3, 6, 0, 0, 0, 0),
        "q": (3, 3, 0, 1, 0, 0), "w": (3, 3, 0, 0, 1, 0), "e": (3, 3, 0, 0, 0, 1),
        "2": (3, 3, 1, 0, 0, 0), "3": (3, 3, 2, 0, 0, 0)}


cdef inline float clamp(float x) noexcept nogil:
    return min(max(x, <float> -1), <float> 1)


cdef class Moba(Native):
    """moba(num_envs, seed=0, agents=5, rivals="plain", autopilot=False, continuous=False, max_ticks=10000,
    first=None, reward_death=-0.1, reward_xp=0.005, reward_distance=0.01, reward_tower=1.0,
    reward_win=5.0): see the module's docstring. first: the half that moves first, None for a coin."""

    cdef Game* games
    cdef Game* blank                # a game at its start, before the coin is thrown
    cdef Terrain terrain
    cdef readonly object places, flow, distance
    cdef readonly int agents, max_ticks
    cdef readonly bint autopilot, continuous
    cdef readonly object rivals
    cdef bint strong
    cdef uint8_t* driven            # who moves a row's hero: 0 the row, 1 a plain mind, 2 a strong one
    cdef readonly object minds      # the same memory
    cdef readonly object first
    cdef int first_half
    cdef readonly float reward_death, reward_xp, reward_distance, reward_tower, reward_win

    two_sides = {"agents": 10}
    mind_names = ("plain", "strong")
    action_names = ("row", "column", "target", "Q", "W", "E")
    observation_sets = {"nearest": (RECORDS_AT, RECORDS, RECORD)}

    def __init__(self, num_envs=1, *, seed=0, agents=5, rivals="plain", autopilot=False, continuous=False,
                 max_ticks=10_000, first=None, reward_death=-0.1, reward_xp=0.005, reward_distance=0.01,
                 reward_tower=1.0, reward_win=5.0, **common):
        self.agents = whole("agents", agents, 1, 10)
        self.rivals = choice("rivals", rivals, ("plain", "strong"))
        self.autopilot = flag("autopilot", autopilot)
        self.continuous = flag("continuous", continuous)
        self.max_ticks = whole("max_ticks", max_ticks, 1, 1_000_000)
        self.first = None if first is None else whole("first", first, 0, 1)
        self.reward_death = number("reward_death", reward_death, -LARGEST_REWARD, LARGEST_REWARD)
        self.reward_xp = number("reward_xp", reward_xp, -LARGEST_REWARD, LARGEST_REWARD)
        self.reward_distance = number("reward_distance", reward_distance, -LARGEST_REWARD, LARGEST_REWARD)
        self.reward_tower = number("reward_tower", reward_tower, -LARGEST_REWARD, LARGEST_REWARD)
        self.reward_win = number("reward_win", reward_win, -LARGEST_REWARD, LARGEST_REWARD)
        self.strong = self.rivals == "strong"
        self.first_half = NOBODY if self.first is None else self.first
        actions = Box(-1, 1, (6,), np.float32) if self.continuous else MultiDiscrete([7, 7, 3, 2, 2, 2])
        self.prepare(num_envs, self.agents, Box(np.zeros(OBSERVATION, np.uint8), highest(), dtype=np.uint8),
                     actions, seed, common,
                     metric_names=("score", "lost", "kills", "deaths", "level", "towers"), truncates=True)
        made = battlefield.battlefield()
        self.places, self.flow, self.distance = made.places, made.flow, made.distance
        self.terrain.places = <const int32_t*> cnp.PyArray_DATA(self.places)
        self.terrain.flow = <const uint8_t*> cnp.PyArray_DATA(self.flow)
        self.terrain.distance = <const uint8_t*> cnp.PyArray_DATA(self.distance)
        self.driven = <uint8_t*> self.claim(self.num_agents)
        self.minds = self.blocks[len(self.blocks) - 1]
        self.blank = <Game*> self.claim(sizeof(Game))
        self.games = <Game*> self.claim(self.num_envs * sizeof(Game))
        self.lay_out(made.terrain == battlefield.TREE)

    def lay_out(self, trees):
        """The start of a game: trees on the grid, and everybody in place but the creeps,
        which come with the first wave."""
        cdef Game* game = self.blank
        cdef int row, column, id
        inside = np.ones((STRIDE, STRIDE), bool)
        inside[BORDER:-BORDER, BORDER:-BORDER] = trees
        for row in range(STRIDE):
            for column in range(STRIDE):
                if inside[row, column]:
                    game.ids[row * STRIDE + column] = TREE_ID
                    game.picture[row * STRIDE + column] = TREE_CODE
        game.winner = NOBODY
        for id in range(ENTITIES):
            equip(game, &self.terrain, id)

    # ------------------------------------------------------------------ a game

    cdef void start(self, int i) noexcept nogil:
        cdef Game* game = &self.games[i]
        memcpy(game, self.blank, sizeof(Game))
        game.first = (self.first_half if self.first_half != NOBODY
                      else <int32_t> (draw(&self.streams[i]) >> 63))

    cdef void reset_range(self, int first, int last) noexcept nogil:
        cdef int i
        for i in range(first, last):
            self.start(i)
            self.observe(i, <uint8_t*> self.rows.observations)

    cdef void step_range(self, int first, int last) noexcept nogil:
        cdef Game* game
        cdef int i
        for i in range(first, last):
            game = &self.games[i]
            self.tick(i, game)
            self.reward(i, game)
            if game.winner != NOBODY or game.tick >= self.max_ticks:
                self.finish(i, game)
            self.observe(i, <uint8_t*> self.rows.observations)

    cdef void tick(self, int i, Game* game) noexcept nogil:
        """Everybody's move, one half after the other."""
        cdef int half = (game.first + game.tick) & 1, n
        game.chance = draw(&self.streams[i])
        game.tick += 1
        for n in range(2):
            if game.tick % WAVE_TICKS == 1:
                send_wave(game, &self.terrain, half ^ n)
            if game.tick % NEUTRAL_TICKS == 0:
                wake_camps(game, half ^ n)
        for n in range(2):
            self.move_heroes(i, game, half ^ n)
            self.move_others(game, half ^ n)

    cdef void move_heroes(self, int i, Game* game, int half) noexcept nogil:
        cdef Entity* entity
        cdef Hero* hero
        cdef int slot, n, mind
        for slot in range(HEROES):
            entity = &game.entities[half * HALF + slot]
            hero = &game.heroes[half * HEROES + slot]
            if not entity.alive:
                if game.tick >= hero.back_at:
                    bring_back(game, entity)
                continue
            self.recover(game, entity, hero)
            if game.tick < entity.stunned_until:
                continue
            n = half * HEROES + slot
            mind = self.driven[i * self.agents + n] if n < self.agents else 0
            if self.autopilot or n >= self.agents:
                hero_mind(game, &self.terrain, entity, looks(game, slot), half == 1 and self.strong)
            elif mind:
                hero_mind(game, &self.terrain, entity, looks(game, slot), mind == 2)
            else:
                self.act(i, game, entity)

    cdef void move_others(self, Game* game, int half) noexcept nogil:
        """Creeps, neutrals and towers of a half. None of them dies by its own half's hand,
        so the sets may be read once."""
        cdef Entity* own = &game.entities[half * HALF]
        cdef uint64_t looking = LOOKING[game.tick & (CADENCE - 1)], some = game.creeps[half], bit
        cdef int slot
        while some:
            slot = lowest_bit(some)
            creep_mind(game, &self.terrain, &own[CREEP_AT + slot], looking >> slot & 1)
            some &= some - 1
        some = game.neutrals[half] & (game.awake[half] | looking)
        while some:
            slot = lowest_bit(some)
            bit = some & -some
            if neutral_mind(game, &own[NEUTRAL_AT + slot], looking >> slot & 1):
                game.awake[half] |= bit
            else:
                game.awake[half] &= ~bit
            some ^= bit
        some = game.towers[half] & (<uint64_t> 1 << TOWERS) - 1
        while some:
            slot = lowest_bit(some)
            tower_mind(game, &own[TOWER_AT + slot], looking >> slot & 1)
            some &= some - 1

    cdef void recover(self, Game* game, Entity* entity, Hero* hero) noexcept nogil:
        """Mana and health come back, at the base fast."""
        if within(entity, &self.blank.entities[entity.id], BASE_REACH):
            hero.mana = min(hero.mana + 4, hero.max_mana)
            heal(game, entity, entity.max_health // 16)
        elif game.tick % 2 == 0:
            hero.mana = min(hero.mana + 1, hero.max_mana)
            heal(game, entity, 1 if game.tick % 4 == 0 else 0)

    # ------------------------------------------------------------------ an agent's move

    cdef void act(self, int i, Game* game, Entity* entity) noexcept nogil:
        """Abilities, then the basic attack if its pace allows one, then the step."""
        cdef int at = 6 * (i * self.agents + hero_number(entity)), kind = entity.id % HALF
        cdef int ability, preference, target
        cdef int32_t* whole = <int32_t*> self.rows.actions + at
        cdef float* real = <float*> self.rows.actions + at
        cdef int32_t speed = pace_of(game, entity), down, right
        cdef bint[3] pressed
        if self.continuous:
            down, right = <int32_t> (speed * clamp(real[0])), <int32_t> (speed * clamp(real[1]))
            preference = (clamp(real[2]) > <float> (-1 / 3.0)) + (clamp(real[2]) > <float> (1 / 3.0))
            pressed = [real[3] > 0, real[4] > 0, real[5] > 0]
        else:
            down, right, preference = (whole[0] - 3) * speed // 3, (whole[1] - 3) * speed // 3, whole[2]
            pressed = [whole[3] != 0, whole[4] != 0, whole[5] != 0]
        for ability in range(3):
            if pressed[ability] and may_cast(game, entity, ability):
                target = NOBODY
                if CAST_REACH[kind][ability]:
                    target = self.choose(game, entity, preference, CAST_REACH[kind][ability], TOWER)
                cast(game, entity, ability, target)
        if game.tick >= entity.attack_at:
            target = self.choose(game, entity, preference, entity.reach, ANCIENT + 1)
            if target != NOBODY:
                attack(game, entity, &game.entities[target])
        if down or right:
            if down and right:
                down, right = down * 181 // UNIT, right * 181 // UNIT
            if entity.half == 1:
                down, right = -down, -right
            step_by(game, entity, down, right)

    cdef int choose(self, Game* game, Entity* entity, int preference, int32_t reach,
                    int kinds) noexcept nogil:
        """Whom an agent's hero goes for among rivals and neutrals of a kind below `kinds`:
        the nearest, the weakest, or heroes first."""
        cdef int16_t[122] found
        cdef int count = gather(game, entity, 1 << (1 - entity.side) | 1 << WILD, reach, found)
        cdef int n, best = NOBODY
        cdef int64_t key, least = 0
        cdef Entity* other
        cdef int32_t down, right
        for n in range(count):
            other = &game.entities[found[n]]
            if not other.exposed or other.kind >= kinds:
                continue
            down, right = other.y - entity.y, other.x - entity.x
            key = down * down + right * right
            if preference == 1:
                key = other.health
            elif preference == 2 and other.kind != HERO:
                key += <int64_t> 1 << 32
            key = key << 8 | relative(other.id, entity.half)
            if best == NOBODY or key < least:
                best, least = other.id, key
        return best

    # ------------------------------------------------------------------ rewards and the end

    cdef void reward(self, int i, Game* game) noexcept nogil:
        """What has changed since the last tick, weighted."""
        cdef int n, half, distance
        cdef int[2] fallen = [game.fallen[0] - game.known_fallen[0], game.fallen[1] - game.known_fallen[1]]
        cdef Hero* hero
        cdef float reward
        for n in range(self.agents):
            hero, half = &game.heroes[n], n // HEROES
            distance = steps_to_go(&self.terrain, &game.entities[half * HALF + n % HEROES])
            reward = self.reward_distance * (hero.known_distance - distance)
            if hero.known_experience != hero.experience or hero.known_deaths != hero.deaths:
                reward += (self.reward_xp * (hero.experience - hero.known_experience)
                           + self.reward_death * (hero.deaths - hero.known_deaths))
                hero.known_experience, hero.known_deaths = hero.experience, hero.deaths
            hero.known_distance = distance
            reward += self.reward_tower * (fallen[1 - half] - fallen[half])
            if game.winner != NOBODY:
                reward += self.reward_win if game.winner == half else -self.reward_win
            self.rows.rewards[i * self.agents + n] = reward
        game.known_fallen = game.fallen

    cdef void finish(self, int i, Game* game) noexcept nogil:
        """The end of a game: flags, metrics, last observations, and the next game."""
        cdef int n, half, agent
        cdef float* metrics
        if game.winner == NOBODY:
            self.observe(i, <uint8_t*> self.rows.final_observations)
        for n in range(self.agents):
            half, agent = n // HEROES, i * self.agents + n
            self.rows.terminals[agent] = game.winner != NOBODY
            self.rows.truncations[agent] = game.winner == NOBODY
            metrics = self.metrics + METRICS * agent
            metrics[0], metrics[1] = game.winner == half, game.winner == 1 - half
            metrics[2], metrics[3] = game.heroes[n].kills, game.heroes[n].deaths
            metrics[4], metrics[5] = game.entities[half * HALF + n % HEROES].level, game.fallen[1 - half]
        self.start(i)

    cdef void observe(self, int i, uint8_t* rows) noexcept nogil:
        cdef Game* game = &self.games[i]
        cdef int n
        for n in range(self.agents):
            see(game, &self.terrain, &game.entities[n // HEROES * HALF + n % HEROES], self.max_ticks,
                rows + <size_t> (i * self.agents + n) * OBSERVATION)

    # ------------------------------------------------------------------ Python face

    @property
    def keys(self):
        """Arrows walk, q w e cast, 2 and 3 prefer the weakest and heroes."""
        if not self.continuous:
            return KEYS
        return {key: tuple(number / limit * 2 - 1 for number, limit in zip(action, (6, 6, 2, 1, 1, 1)))
                for key, action in KEYS.items()}

    @property
    def idle_action(self):
        """Stand and attack the nearest."""
        if self.continuous:
            return 0.0, 0.0, -1.0, -1.0, -1.0, -1.0
        return 3, 3, 0, 0, 0, 0

    def entities(self, index=0):
        """Structured array (206,) of game `index`: a copy of every entity's record.
        Positions y, x in cells of the map."""
        self.require_index(index)
        cdef Game* game = &self.games[<int> index]
        cdef Entity* e
        cdef int n
        rows = np.zeros(ENTITIES, ENTITY)
        for n in range(ENTITIES):
            e = &game.entities[n]
            rows[n] = (e.kind, e.side, e.lane, e.level, e.alive, e.exposed, e.target,
                       (e.y / <float> UNIT) - BORDER, (e.x / <float> UNIT) - BORDER,
                       e.health, e.max_health, e.reach / <float> UNIT, e.damage,
                       max(0, e.attack_at - game.tick), max(0, e.stunned_until - game.tick),
                       max(0, e.slowed_until - game.tick))
        return rows

    def heroes(self, index=0):
        """Structured array (10,) of game `index`: mana, experience, ticks until Q, W, E are ready, kills,
        deaths, ticks until return."""
        self.require_index(index)
        cdef Game* game = &self.games[<int> index]
        cdef Hero* h
        cdef int n
        rows = np.zeros(10, HERO_ROW)
        for n in range(10):
            h = &game.heroes[n]
            rows[n] = (h.mana, h.max_mana, h.experience,
                       [max(0, h.ready_at[k] - game.tick) for k in range(3)],
                       max(0, h.hasted_until - game.tick), h.kills, h.deaths,
                       0 if game.entities[n // HEROES * HALF + n % HEROES].alive
                       else max(0, h.back_at - game.tick))
        return rows

    def situation(self, index=0):
        """Dict of game `index`: tick, first (the half that moved first on tick 1),
        winner (None: none yet), towers lost by each side."""
        self.require_index(index)
        cdef Game* game = &self.games[<int> index]
        winner = None if game.winner == NOBODY else game.winner
        return {"tick": game.tick, "first": game.first, "winner": winner, "fallen": list(game.fallen)}

    def render(self, index=0):
        """RGB array of game `index`: the map, and beside it the first hero's window and all heroes.
        Side 0 blue, side 1 orange, neutrals green; lines show who attacks whom."""
        return moba_picture.draw(self.entities(index), self.heroes(index), self.situation(index),
                                 self.observations[index * self.agents])


ENTITY = np.dtype([("kind", "u1"), ("side", "u1"), ("lane", "u1"), ("level", "u1"), ("alive", "?"),
                   ("exposed", "?"), ("target", "i2"), ("y", "f4"), ("x", "f4"), ("health", "i4"),
                   ("max_health", "i4"), ("reach", "f4"), ("damage", "i4"), ("attack_in", "i4"),
                   ("stunned", "i4"), ("slowed", "i4")])
HERO_ROW = np.dtype([("mana", "i4"), ("max_mana", "i4"), ("experience", "i4"), ("ready_in", "i4", 3),
                     ("hasted", "i4"), ("kills", "i4"), ("deaths", "i4"), ("back_in", "i4")])


def highest():
    """The largest values of an observation, (590,) uint8: what a network scales by."""
    high = np.full(OBSERVATION, 255, np.uint8)
    high[:SCALARS_AT:4], high[3:SCALARS_AT:4] = 10, 30
    high[SCALARS_AT:RECORDS_AT] = [255, 255, 30, 255, 127, 127, *[1] * 12, 255, 255, 255, 255,
                                   TOWERS, TOWERS, 2, 2]
    high[RECORDS_AT:] = [192, 192, 1, 1, 1, 1, 255, 1] * 10
    return high
