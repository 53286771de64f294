"""mmo: a small world in the line of Neural MMO that never ends: many inhabitants live, work, trade,
fight and die in it.

Rules         A world of `size` x `size` cells (256, or more for more than 1,024 inhabitants: 64 cells
              each), made from the seed: grass, sand, forest, stone and towns, on which everybody walks;
              rock and thicket, for the skilled; water. One inhabitant a cell. Each tick everybody acts,
              in an order that turns.
              * Body: health, food and water, 0 to 127. A life begins with 127, 64, 64. Food and water go by 1
                every second tick. Without food or without water health goes by 1 a tick (without both by 2);
                with more than 32 of both, and unhurt, 1 comes back every fourth tick.
              * Stay on herbs, a tree or ore to gather 1 piece, 1 more if it is rich, 1 more for each tier of
                the tool. Walk into water to drink 32 and to catch the fish there. Up to 15 pieces of a kind
                are carried. Who walks onto a pile takes what he can carry.
              * Herbs give 24 food, fish 30, rations 80 and 10 health; potions 40 health and 20 water.
                They are used below 112 of food, or of health.
              * Crafting: ration (a herb, a fish), potion (2 herbs, level 2), tool (wood, ore), weapon (wood,
                2 ore, level 3), armour (3 ore, level 5). Used, gear gives its next tier, up to 3; tier t of
                the tool needs level 2 t in a gathering skill, of weapon and armour in a style of fighting.
              * Fighting: melee reaches 1 cell and does 6, range 4 cells and 4 (and costs 1 wood), magic
                3 cells and 5 (and 8 water); 1 more for each level, 2 more for each tier of the weapon,
                2 less for each tier of the other's armour. Melee beats range, range magic, magic melee: half
                as much again against one whose strongest style is beaten. One blow every 3 ticks. Nobody
                strikes or is struck in a town, or in the first 64 ticks of his life.
              * Skills: melee, range, magic, herbs, wood, mining, fishing, crafting, levels 1 to 10. A use
                gives 1 of experience (a rich item 3, a kill 5, a craft 1 to 4); level n + 1 takes 2 n
                (n + 1). Level 4 opens rich items, mining 5 opens rock, wood 5 opens thicket.
              * Market: on a cell of a town one piece a tick is sold or bought at the posted price, the same
                in all towns. It falls with the market's stock; buying costs more than selling pays.
              * Gifts: a piece or a coin, to the target, if it stands beside.
              * Death by hunger, thirst, a blow, or of age after `lifespan` ticks. What was carried
                stays as a pile, and a new life begins somewhere in the same step. The world goes on:
                nothing is ever truncated.
              * Growth: each tick one cell of 128 is drawn. If what grows there was taken, it comes back: in
                the fertile half of the world always, elsewhere one time of 8; ore one time of 4 everywhere. A
                pile there rots. The fertile half moves down the world, once round in `season_ticks`; with
                `seasons=False` it is the middle half for ever.
              Goods come from gathering and crafting and go by use, craft and rot; gold, 16 for each
              inhabitant, is never made or lost: `ledger` tells.
Agents        `agents` in each of the num_envs worlds, a row each; their lives are the episodes. `natives`
              scripted inhabitants live among them, without rows. With `autopilot=True` the agents are
              scripted, too, and actions are ignored. Inhabitant i is by trade a forager, miner, hunter or
              trader, i mod 4 (mmo_minds.pxd).
Observation   614 uint8, all from 0 to 15 (so a network can take them one-hot).
              0-494    the window: 11 rows of 15 cells of (terrain, occupant, item), oneself in the centre.
                       Terrain: 0 grass, 1 sand, 2 town, 3 forest, 4 stone, 5 thicket, 6 rock, 7 water, 8 the
                       end of the world. Occupant: 0 nobody, 1 in its first 64 ticks, 2 to 5 by its
                       highest level in fighting (1, 4, 7, 10). Items, common and rich: 1 2 herbs, 3 4 tree,
                       5 6 ore, 7 8 fish, 9 pile.
              495-541  oneself: health, food, water (by 8); 8 levels; 9 goods (herb, wood, ore, fish, ration,
                       potion, tool, weapon, armour); gold (15: or more), its binary digits; tiers of tool,
                       weapon, armour; ticks until the next blow; in its first 64 ticks; hurt in this tick (by
                       4); whether the row is fertile; where the fertile half begins, age, row, column (in
                       sixteenths of the world, of `lifespan`); in a town what the market asks for each of the
                       goods, else 0; the way one walked last; row (6 is one's own) and column (8) of the
                       nearest water, or of where one drank last, and of the nearest food
              542-613  the eight nearest in the window, nearest first, 9 numbers each: row (6 is one's
                       own) and column (8), highest level in fighting, strongest style (0 none), health
                       (by 8), tiers of weapon and armour, in its first 64 ticks, binary digits of its
                       gold; zeros where there are fewer
Actions       MultiDiscrete([5, 4, 8, 15, 19, 11]), each done if it is legal, in this order but for the first
              two: walk (0 stay and work, 1 up, 2 down, 3 left, 4 right); style of a blow (0 none, 1 melee,
              2 range, 3 magic); target among the eight nearest, for blow and gift; use (1-9 the goods in
              their order) or craft (10 ration, 11 potion, 12 tool, 13 weapon, 14 armour); market (1-9 sell,
              10-18 buy); give (1-9 the goods, 10 a coin). `action_masks()` tells which would do something.
Rewards       `reward_alive` for each tick survived, `reward_level` for each level gained, `reward_death` for
              a death. `goal="survival"` pays nothing for levels. A level is worth two ticks: at ten a policy
              learns to fight for levels before it learns to drink.
Log           a life each: episode_return, episode_length, score (age in ticks), thirst, hunger, killed (share
              of the deaths), levels (gained), skills (with a level above 1), wealth (gold and goods at base
              prices), distance (cells walked), regions (of 16 x 16 that it entered), gathering, fighting,
              trading (share of its ticks), trades, gifts, kills. `lives()` gives them one by one, with more.
Source        Neural MMO (Suarez et al. 2019, 2021, 2025) for the idea; rules and code are new.
Files         mmo_world.pxd the grid, mmo_land.pxd how a world is made and grows, mmo_rules.pxd the
              rules, mmo_lives.pxd birth and record, mmo_sight.pxd observations and masks, mmo_minds.pxd
              scripted minds,
              core/mmo_picture.py pictures.
"""

import math

import numpy as np
from gymnasium.spaces import Box, MultiDiscrete

from envs.core import mmo_picture, mmo_records
from envs.core.settings import LARGEST_REWARD, LONGEST, choice, flag, number, refusal, whole

cimport numpy as cnp
from libc.stdint cimport int32_t, int64_t, uint8_t, uint16_t, uint64_t
from libc.string cimport memset

from envs.core.native cimport Native
from envs.mmo_land cimport grow, make_land, turn_season
from envs.mmo_lives cimport begin_life, end_life, log_life
from envs.mmo_minds cimport decide
from envs.mmo_rules cimport act, ask, bid, endure
from envs.mmo_sight cimport (CHOICES, COLUMNS, HIGHEST, NEAREST, OBSERVATION, OWN_AT, RECORD, RECORDS_AT,
                             ROWS, come_near, expect, legal, line_up, look, prefetch, see)
from envs.mmo_world cimport (BORDER, GOODS, IDLE, NEAR, NEWBORN_TICKS, NOBODY, SKILLS, TILE, Agent, Head,
                             Life, Pile, World, drop, leave, show)

cdef enum:
    METRICS = 15
    COMPONENTS = 6
    GOLD = 16                       # for each inhabitant, at first all in the market
    AHEAD = 4                       # so many turns before its own an inhabitant's surroundings are fetched
    RING = 8                        # lives kept for each inhabitant until `lives` gives them

MOST_INHABITANTS = 16_384
LARGEST = 2048                      # cells along a world
CHOICES_OF = (5, 4, 8, 15, 19, 11)
METRIC_NAMES = ("score", "thirst", "hunger", "killed", "levels", "skills", "wealth", "distance", "regions",
                "gathering", "fighting", "trading", "trades", "gifts", "kills")


cdef class MMO(Native):
    """mmo(num_envs, seed=0, agents=1024, natives=0, autopilot=False, size=None, seasons=True,
    season_ticks=4000, lifespan=5000, goal="levels", reward_alive=0.01, reward_level=0.02,
    reward_death=0.0): see the module's docstring."""

    cdef Head* heads
    cdef Agent* inhabitants
    cdef Pile* piles
    cdef Life* finished
    cdef uint8_t* tiles
    cdef uint8_t* nature
    cdef uint8_t* present
    cdef uint8_t* lakes
    cdef uint8_t* meals
    cdef int32_t* queue             # this and the rest serve all worlds, one after the other
    cdef uint8_t* piece
    cdef uint16_t* standing
    cdef uint16_t* before
    cdef readonly int agents, natives, size, season_ticks, lifespan
    cdef readonly bint autopilot, seasons
    cdef readonly object goal
    cdef readonly float reward_alive, reward_level, reward_death
    cdef float level_pays           # reward_level, or 0 where survival is the goal
    cdef int population, stride, cells, bytes_of_bits, ring
    cdef object masks_of_actions

    keys = {"ArrowUp": (1, 0, 0, 0, 0, 0), "ArrowDown": (2, 0, 0, 0, 0, 0), "ArrowLeft": (3, 0, 0, 0, 0, 0),
            "ArrowRight": (4, 0, 0, 0, 0, 0), "1": (0, 1, 0, 0, 0, 0), "2": (0, 2, 0, 0, 0, 0),
            "3": (0, 3, 0, 0, 0, 0), "q": (0, 1, 1, 0, 0, 0), "h": (0, 0, 0, 1, 0, 0),
            "f": (0, 0, 0, 4, 0, 0), "e": (0, 0, 0, 5, 0, 0), "p": (0, 0, 0, 6, 0, 0),
            "t": (0, 0, 0, 7, 0, 0), "r": (0, 0, 0, 10, 0, 0), "c": (0, 0, 0, 12, 0, 0),
            "o": (0, 0, 0, 0, 3, 0), "b": (0, 0, 0, 0, 14, 0), "g": (0, 0, 0, 0, 0, 1)}
    idle_action = (0, 0, 0, 0, 0, 0)        # stay, and gather what grows there
    action_names = ("walk", "blow", "target", "use", "market", "give")
    observation_sets = {"nearest": (RECORDS_AT, NEAR, RECORD)}
    skills = ("melee", "range", "magic", "herbs", "wood", "mining", "fishing", "crafting")
    goods = ("herb", "wood", "ore", "fish", "ration", "potion", "tool", "weapon", "armour")
    activities = ("idle", "walk", "drink", "herbs", "wood", "mine", "fish", "craft", "trade", "give", "fight")
    causes = ("thirst", "hunger", "killed", "age")
    trades = ("forager", "miner", "hunter", "trader")

    def __init__(self, num_envs=1, *, seed=0, agents=1024, natives=0, autopilot=False, size=None,
                 seasons=True, season_ticks=4000, lifespan=5000, goal="levels", reward_alive=0.01,
                 reward_level=0.02, reward_death=0.0, **common):
        self.agents = whole("agents", agents, 1, MOST_INHABITANTS)
        self.natives = whole("natives", natives, 0, MOST_INHABITANTS)
        self.population = self.agents + self.natives
        self.autopilot = flag("autopilot", autopilot)
        most = 8 * math.ceil(math.sqrt(self.population))
        self.size = (min(LARGEST, max(256, most)) if size is None else whole("size", size, 32, LARGEST))
        if self.population > self.size**2 // 16:
            raise refusal("size", size, f"at least {4 * math.ceil(math.sqrt(self.population)):,} "
                                        f"for {self.population:,} inhabitants: 16 cells each")
        self.seasons = flag("seasons", seasons)
        self.season_ticks = whole("season_ticks", season_ticks, 1, LONGEST)
        self.lifespan = whole("lifespan", lifespan, 1, LONGEST)
        self.goal = choice("goal", goal, ("levels", "survival"))
        self.reward_alive = number("reward_alive", reward_alive, -LARGEST_REWARD, LARGEST_REWARD)
        self.reward_level = number("reward_level", reward_level, -LARGEST_REWARD, LARGEST_REWARD)
        self.reward_death = number("reward_death", reward_death, -LARGEST_REWARD, LARGEST_REWARD)
        self.level_pays = self.reward_level if self.goal == "levels" else 0
        self.stride = self.size + 2 * BORDER
        self.cells = self.stride * self.stride
        self.bytes_of_bits = 8 * (self.cells // 64 + 2) # eight bytes are read at once
        self.ring = RING * self.population
        self.prepare(num_envs, self.agents, Box(np.zeros(OBSERVATION, np.uint8), highest(), dtype=np.uint8),
                     MultiDiscrete(CHOICES_OF), seed, common, METRIC_NAMES, False,
                     max(TILE * self.cells, self.ring, self.agents * CHOICES))
        worlds = <size_t> self.num_envs
        self.heads = <Head*> self.claim(worlds * sizeof(Head))
        self.inhabitants = <Agent*> self.claim(worlds * self.population * sizeof(Agent))
        self.finished = <Life*> self.claim(worlds * self.ring * sizeof(Life))
        self.piles = <Pile*> self.claim(worlds * self.cells * sizeof(Pile))
        self.tiles = <uint8_t*> self.claim(worlds * self.cells * TILE)
        self.nature = <uint8_t*> self.claim(worlds * self.cells)
        self.present = <uint8_t*> self.claim(worlds * self.bytes_of_bits)
        self.lakes = <uint8_t*> self.claim(worlds * self.bytes_of_bits)
        self.meals = <uint8_t*> self.claim(worlds * self.bytes_of_bits)
        self.queue = <int32_t*> self.claim(self.cells * sizeof(int32_t))
        self.piece = <uint8_t*> self.claim(self.cells)
        self.standing = <uint16_t*> self.claim(self.population * sizeof(uint16_t))
        self.before = <uint16_t*> self.claim((self.cells // 64 + 1) * sizeof(uint16_t))
        self.masks_of_actions = np.zeros((self.num_agents, CHOICES), bool)

    cdef World world(self, int i) noexcept nogil:
        """Where the parts of world i lie."""
        cdef World world
        world.head = &self.heads[i]
        world.agents = &self.inhabitants[<size_t> i * self.population]
        world.piles = &self.piles[<size_t> i * self.cells]
        world.lives = &self.finished[<size_t> i * self.ring]
        world.tiles = &self.tiles[<size_t> i * self.cells * TILE]
        world.nature = &self.nature[<size_t> i * self.cells]
        world.standing, world.before = self.standing, self.before
        world.present = &self.present[<size_t> i * self.bytes_of_bits]
        world.lakes = &self.lakes[<size_t> i * self.bytes_of_bits]
        world.meals = &self.meals[<size_t> i * self.bytes_of_bits]
        world.stream = &self.streams[i]
        world.size, world.stride, world.cells = self.size, self.stride, self.cells
        world.inhabitants, world.ring = self.population, self.ring
        world.lifespan = self.lifespan
        world.season_ticks = self.season_ticks if self.seasons else 0
        return world

    # ------------------------------------------------------------------ a world

    cdef void reset_range(self, int first, int last) noexcept nogil:
        cdef World world
        cdef int i, n
        for i in range(first, last):
            world = self.world(i)
            memset(world.head, 0, sizeof(Head))
            memset(world.piles, 0, self.cells * sizeof(Pile))
            memset(world.present, 0, self.bytes_of_bits)
            world.head.treasury = GOLD * self.population
            make_land(&world, self.queue, self.piece)
            turn_season(&world)
            for n in range(self.population):
                self.bear(&world, n)
            self.observe(&world, i)

    cdef void step_range(self, int first, int last) noexcept nogil:
        cdef World world
        cdef int i, n
        for i in range(first, last):
            world = self.world(i)
            world.head.tick += 1
            turn_season(&world)
            grow(&world)
            self.move(&world, i)
            for n in range(self.population):
                self.live(&world, i, n)
            self.observe(&world, i)

    cdef void move(self, World* world, int i) noexcept nogil:
        """Everybody acts; who comes first turns from tick to tick."""
        cdef const int32_t* actions = <const int32_t*> self.rows.actions + COMPONENTS * i * self.agents
        cdef int32_t[COMPONENTS] decided
        cdef int n = world.head.tick * 7 % self.population, turn
        cdef Agent* agent
        for turn in range(self.population):
            prefetch(&world.tiles[TILE * world.agents[(n + AHEAD) % self.population].cell])
            agent = &world.agents[n]
            if agent.health > 0:
                if agent.trade != NOBODY:
                    decide(world, agent, decided)
                agent.activity = IDLE
                act(world, agent, actions + COMPONENTS * n if agent.trade == NOBODY else decided)
            n = n + 1 if n + 1 < self.population else 0

    cdef void live(self, World* world, int i, int n) noexcept nogil:
        """The end of a tick for one inhabitant: body, reward, death."""
        cdef Agent* agent = &world.agents[n]
        cdef int row = i * self.agents + n, age = world.head.tick - agent.born
        cdef bint dead
        endure(world, agent, world.head.tick + n)
        agent.spent[agent.activity] += 1
        dead = agent.health <= 0 or age >= self.lifespan
        if n < self.agents:
            self.rows.rewards[row] = (self.level_pays * agent.gained
                                      + (self.reward_death if dead else self.reward_alive))
            if dead:
                self.rows.terminals[row] = 1
        agent.gained = 0
        if dead:
            self.bury(world, i, n)
            self.bear(world, n)
        elif age == NEWBORN_TICKS:
            show(world, agent)

    cdef void bear(self, World* world, int n) noexcept nogil:
        begin_life(world, n, n & 3 if self.autopilot or n >= self.agents else NOBODY)

    cdef void bury(self, World* world, int i, int n) noexcept nogil:
        """The end of a life: its record, its log, its pile."""
        cdef Agent* agent = &world.agents[n]
        cdef Life* life = end_life(world, n)
        if n < self.agents:
            log_life(life, self.metrics + METRICS * (i * self.agents + n))
        drop(world, agent)
        leave(world, agent)

    cdef void observe(self, World* world, int i) noexcept nogil:
        """What everybody sees. A large world is not in the fast caches, so inhabitants follow each other as
        they stand, row by row, where neighbours see the same; and what is still far is asked for in time."""
        cdef uint8_t* rows = <uint8_t*> self.rows.observations + <size_t> i * self.agents * OBSERVATION
        cdef int k, n
        line_up(world)
        for k in range(-3 * AHEAD, self.population):
            if k + 3 * AHEAD < self.population:
                prefetch(&world.agents[world.standing[k + 3 * AHEAD]])
            if 0 <= k + 2 * AHEAD < self.population:
                come_near(world, &world.agents[world.standing[k + 2 * AHEAD]])
            if 0 <= k + AHEAD < self.population:
                look(world, &world.agents[world.standing[k + AHEAD]])
                if world.standing[k + AHEAD] < self.agents:
                    expect(rows + <size_t> world.standing[k + AHEAD] * OBSERVATION)
            if 0 <= k:
                n = world.standing[k]
                if n < self.agents:
                    see(world, &world.agents[n], rows + <size_t> n * OBSERVATION)
                world.agents[n].hurt = 0

    # ------------------------------------------------------------------ Python face

    def action_masks(self):
        """Bool (num_agents, 62), the choices of the six parts side by side: True where a choice
        would do something, and for the first of each part, which does nothing. A blow and a gift
        also need the right target.

        Valid after a reset and after each step. Each call writes and returns the same array.
        """
        self.require_ready()
        cdef uint8_t* masks = <uint8_t*> cnp.PyArray_DATA(self.masks_of_actions)
        cdef World world
        cdef int i, n
        for i in range(self.num_envs if self.begun else 0):
            world = self.world(i)
            for n in range(self.agents):
                legal(&world, &world.agents[n], masks + <size_t> (i * self.agents + n) * CHOICES)
        return self.masks_of_actions

    def lives(self):
        """Structured array of the lives that ended since the last call, world by world, oldest first (LIFE in
        core/mmo_records.py): agents and natives. The last 8 for each inhabitant are kept; `lives_missed`
        counts those that were overwritten before they were given."""
        self.require_ready()
        cdef Head* head
        found = []
        for i in range(self.num_envs):
            head = &self.heads[<int> i]
            kept = min(head.ended - head.read, self.ring)
            head.missed += head.ended - head.read - kept
            ring = (<const char*> &self.finished[<size_t> i * self.ring])[:self.ring * sizeof(Life)]
            ring = np.frombuffer(ring, mmo_records.RAW)
            found.append(mmo_records.lives(ring[np.arange(head.ended - kept, head.ended) % self.ring], i))
            head.read = head.ended
        return np.concatenate(found)

    @property
    def lives_missed(self):
        """How many lives were overwritten before `lives` gave them, in all worlds."""
        self.require_ready()
        return sum([self.heads[i].missed for i in range(self.num_envs)])

    def tiles_of(self, index=0):
        """(size, size, 3) uint8 of world `index`: terrain, occupant and item of each cell as they are
        observed; a copy."""
        self.require_index(index)
        tiles = (<const char*> &self.tiles[<size_t> index * self.cells * TILE])[:self.cells * TILE]
        inside = slice(BORDER, BORDER + self.size)
        return np.frombuffer(tiles, np.uint8).reshape(self.stride, self.stride, TILE)[inside, inside].copy()

    def people(self, index=0):
        """Structured array of the inhabitants of world `index` (PERSON in core/mmo_records.py): a copy."""
        self.require_index(index)
        cdef World world = self.world(index)
        cdef Agent* a
        cdef int n
        rows = np.zeros(self.population, mmo_records.PERSON)
        for n in range(self.population):
            a = &world.agents[n]
            rows[n] = (a.y - BORDER, a.x - BORDER, a.health, a.food, a.water, world.head.tick - a.born,
                       a.gold, a.tool, a.weapon, a.armour, a.trade, a.activity,
                       [a.level[k] for k in range(SKILLS)], [a.goods[k] for k in range(GOODS)], a.distance,
                       a.trades, a.gifts, a.kills, a.crafted, a.gathered)
        return rows

    def situation(self, index=0):
        """Dict of world `index`: tick, treasury (the market's gold), first row of the fertile half, and for
        each of the goods stock, bid and ask of the market, made and used since the world began, and piles (in
        all piles, gold last)."""
        self.require_index(index)
        cdef World world = self.world(index)
        cdef int k, cell
        piles = [0] * (GOODS + 1)
        for cell in range(self.cells):
            piles[GOODS] += world.piles[cell].gold
            for k in range(GOODS):
                piles[k] += world.piles[cell].goods[k]
        return {"tick": world.head.tick, "treasury": world.head.treasury, "fertile": world.head.fertile,
                "stock": list(world.head.stock), "bid": [bid(&world, k) for k in range(GOODS)],
                "ask": [ask(&world, k) for k in range(GOODS)], "made": list(world.head.made),
                "used": list(world.head.used), "piles": piles}

    def render(self, index=0):
        """RGB array of world `index`: the whole of it, and beside it the first agent's
        window and what it has."""
        return mmo_picture.draw(self.tiles_of(index), self.people(index), self.situation(index),
                                self.observations[index * self.agents], self.seasons)


def highest():
    """The largest values of an observation, (614,) uint8."""
    high = np.full(OBSERVATION, HIGHEST, np.uint8)
    high[:OWN_AT] = [8, 5, 9] * (ROWS * COLUMNS)
    high[OWN_AT + 3:OWN_AT + 11] = 10
    high[OWN_AT + 22:OWN_AT + 29] = [3, 3, 3, 2, 1, 15, 1]
    high[OWN_AT + NEAREST:RECORDS_AT] = [4, ROWS, COLUMNS, ROWS, COLUMNS]
    high[RECORDS_AT:] = [11, 15, 10, 3, 15, 3, 3, 1, 15] * NEAR
    return high
