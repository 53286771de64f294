"""skirmish in plain Python and NumPy: the oracle of `envs/skirmish.pyx`, and stage 0 of level 9.

The rules are in `envs/skirmish.pyx`. With the same seed, index and settings the trajectory is the same.
"""

import math

import gymnasium as gym
import numpy as np

from envs.slow.stream import Stream

SIZE = 64                       # cells a side
UNIT = 6                        # a cell is six units wide; positions are whole units
VISION = 5                      # cells that everybody sees to either side
HERO, TOWER, NEUTRAL, CREEP = range(4)
FIRST_TOWER, FIRST_NEUTRAL, FIRST_CREEP, NUM_ENTITIES = 10, 22, 150, 210
MAX_HEALTH = [500, 1800, 500, 450]          # by kind, as the next four
DAMAGE = [50, 100, 22, 22]
REACH = [3, 5, 1.5, 1.5]                    # cells
PAUSE = [8, 5, 5, 5]                        # ticks between two attacks
BOUNTY = [1.0, 2.0, 0.5, 0.5]
STRIKE, STRIKE_RADIUS, MEND, REST = 60, 2, 150, 15
WAVE, WAVE_SIZE, SLOTS, RETURN = 200, 3, 30, 600
TOWERS = [(42, 6), (26, 6), (46, 17), (38, 25), (57, 21), (57, 37)]     # cells of team 0; team 1: opposite
CORNERS = [(5, 5), (32, 31), (58, 58)]                          # where the three lanes turn, for team 0
BASES = [(58, 5), (5, 58)]
EMPTY, OUTSIDE, OWN, FOE, WILD = 0, 1, 2, 5, 8              # plane 0; OWN and FOE: hero, tower, creep


def opposite(cell):
    return SIZE - 1 - cell[0], SIZE - 1 - cell[1]


def distance(a, b):
    """Between the cells of two entities."""
    return math.sqrt((a.row - b.row) ** 2 + (a.column - b.column) ** 2)


class Entity:
    """Anything that stands on the map. It is alive while its health is above 0."""

    def __init__(self, index, kind, team, home=None):
        self.index, self.kind, self.team, self.home = index, kind, team, home
        self.y = self.x = self.row = self.column = 0
        self.health = 0
        self.pause = 0                                      # ticks until it can attack again
        self.rest = 0                                       # ticks until a hero can use a skill again
        self.lane = self.leg = 0
        self.target = None


class Skirmish:
    """One skirmish of ten heroes, each an agent. `index` is the environment's place in a batch.

    `step(actions)` takes (10, 6) whole numbers and returns observations (10, 11, 11, 3) uint8, rewards
    float32, terminals bool, truncations bool and infos, one dict for each hero when the time is up. A new
    skirmish then begins in the same step.
    """

    num_envs, num_agents = 1, 10

    def __init__(self, scan_every=5, limit=1000, index=0):
        self.scan_every, self.limit = scan_every, limit
        shape = (2 * VISION + 1, 2 * VISION + 1, 3)
        high = np.broadcast_to(np.array([WILD, 15, 15], np.uint8), shape)
        self.single_observation_space = gym.spaces.Box(0, high, dtype=np.uint8)
        self.single_action_space = gym.spaces.MultiDiscrete([7, 7, 3, 2, 2, 2])
        self.actions = np.zeros((self.num_agents, 6), np.int32)
        self.index = index
        self.stream = Stream(0, index)

    # ------------------------------------------------------------------ beginning

    def reset(self, seed=None):
        if seed is not None:
            self.stream = Stream(seed, self.index)
        self.start()
        return self.observe(), []

    def start(self):
        self.tick = 0
        self.grid = [[None] * SIZE for _ in range(SIZE)]
        self.rewards = np.zeros(self.num_agents, np.float32)
        self.kills = [0] * self.num_agents
        self.deaths = [0] * self.num_agents
        self.entities = []
        for i in range(self.num_agents):
            team, home = i // 5, (40, 20 + i % 5)
            self.entities.append(Entity(i, HERO, team, opposite(home) if team else home))
        for team in range(2):
            for cell in TOWERS:
                cell_of_team = opposite(cell) if team else cell
                self.entities.append(Entity(len(self.entities), TOWER, team, cell_of_team))
        for _ in range(16):
            camp = (11 + self.stream.below(20), 11 + self.stream.below(20))
            for home in (camp, opposite(camp)):
                for _ in range(4):
                    self.entities.append(Entity(len(self.entities), NEUTRAL, 2, home))
        for entity in self.entities:
            self.place(entity, entity.home)
            entity.home = (entity.row, entity.column)       # each of the four neutrals of a camp has a cell
        while len(self.entities) < NUM_ENTITIES:
            number = len(self.entities)
            self.entities.append(Entity(number, CREEP, (number - FIRST_CREEP) // SLOTS))
        self.send_wave()

    def place(self, entity, cell):
        """Put an entity with full health on a cell, or the next free one, which for team 1 is to the left."""
        row, column = cell
        while self.grid[row][column] is not None:
            following = row * SIZE + column + (-1 if entity.team == 1 else 1)
            row, column = divmod(following % SIZE**2, SIZE)
        self.grid[row][column] = entity
        entity.row, entity.column = row, column
        entity.y, entity.x = row * UNIT + UNIT // 2, column * UNIT + UNIT // 2
        entity.health = MAX_HEALTH[entity.kind]
        entity.pause = entity.rest = 0
        entity.target = None

    def send_wave(self):
        """Three creeps a lane for each side, as long as there are slots."""
        for team in range(2):
            creeps = self.entities[FIRST_CREEP:]
            free = [creep for creep in creeps if creep.team == team and creep.health <= 0]
            for k, creep in enumerate(free[:3 * WAVE_SIZE]):
                creep.lane, creep.leg = k % 3, 0
                self.place(creep, BASES[team])

    # ------------------------------------------------------------------ a step

    def step(self, actions):
        self.tick += 1
        self.rewards = np.zeros(self.num_agents, np.float32)
        if self.tick % WAVE == 0:
            self.send_wave()
        if self.tick % RETURN == 0:
            for neutral in self.entities[FIRST_NEUTRAL:FIRST_CREEP]:
                if neutral.health <= 0:
                    self.place(neutral, neutral.home)
        for hero in self.entities[:self.num_agents]:
            self.play(hero, actions[hero.index])
        for entity in self.entities[FIRST_TOWER:]:
            if entity.health > 0:
                self.act(entity)
        rewards, infos = self.rewards, []
        terminals = np.full(self.num_agents, self.tick >= self.limit)
        if self.tick >= self.limit:
            pairs = zip(self.kills, self.deaths, strict=True)
            infos = [{"score": kills, "deaths": deaths} for kills, deaths in pairs]
            self.start()
        return self.observe(), rewards, terminals, np.zeros(self.num_agents, bool), infos

    def play(self, hero, action):
        """What an agent does: skills, a move, an attack. Team 1 plays the map turned by half a turn."""
        dy, dx, mode, strike, mend, sprint = (int(part) for part in action)
        turn = -1 if hero.team else 1
        speed = 1
        if hero.pause > 0:
            hero.pause -= 1
        if hero.rest > 0:
            hero.rest -= 1
        elif strike:
            hero.rest = REST
            for other in self.scan(hero, STRIKE_RADIUS):
                self.hurt(hero, other, STRIKE)
        elif mend:
            hero.rest = REST
            hero.health = min(hero.health + MEND, MAX_HEALTH[HERO])
        elif sprint:
            hero.rest = REST
            speed = 2
        self.move_to(hero, hero.y + turn * speed * (dy - 3), hero.x + turn * speed * (dx - 3))
        if mode > 0 and hero.pause == 0:
            target = self.nearest(hero, self.scan(hero, VISION, heroes_only=mode == 2))
            if target is not None and distance(hero, target) <= REACH[HERO]:
                self.attack(hero, target)

    def act(self, entity):
        """What towers, neutrals and creeps do: attack the nearest, go to it, or go on their way."""
        if entity.pause > 0:
            entity.pause -= 1
        if (self.tick + entity.index) % self.scan_every == 0:
            entity.target = self.nearest(entity, self.scan(entity, VISION))
        elif entity.target is not None and not self.sees(entity, entity.target):
            entity.target = None
        target = entity.target
        if target is not None:
            if distance(entity, target) <= REACH[entity.kind]:
                if entity.pause == 0:
                    self.attack(entity, target)
            elif entity.kind != TOWER:
                self.move_towards(entity, target.y, target.x)
        elif entity.kind == NEUTRAL:
            if (entity.row, entity.column) != entity.home:
                row, column = entity.home
                self.move_towards(entity, row * UNIT + UNIT // 2, column * UNIT + UNIT // 2)
        elif entity.kind == CREEP:
            self.follow_lane(entity)

    # ------------------------------------------------------------------ scan, nearest, attack, move

    def scan(self, entity, radius, heroes_only=False):
        """The hostile entities in the square window around an entity."""
        found = []
        for row in range(entity.row - radius, entity.row + radius + 1):
            for column in range(entity.column - radius, entity.column + radius + 1):
                other = self.at(row, column)
                if other is None or other.team == entity.team:
                    continue
                if heroes_only and other.kind != HERO:
                    continue
                found.append(other)
        return found

    def at(self, row, column):
        """Who stands on a cell; None for nobody, and for a cell outside the map."""
        if 0 <= row < SIZE and 0 <= column < SIZE:
            return self.grid[row][column]
        return None

    def nearest(self, entity, others):
        """The nearest of them, of two as near the one of lower index; None of nobody."""
        return min(others, key=lambda other: (distance(entity, other), other.index), default=None)

    def sees(self, entity, other):
        near = abs(entity.row - other.row) <= VISION and abs(entity.column - other.column) <= VISION
        return near and other.health > 0

    def attack(self, entity, other):
        entity.pause = PAUSE[entity.kind]
        self.hurt(entity, other, DAMAGE[entity.kind])

    def hurt(self, entity, other, damage):
        other.health -= damage
        if other.health > 0:
            return
        self.grid[other.row][other.column] = None
        if entity.kind == HERO:
            self.kills[entity.index] += 1
            self.rewards[entity.index] += BOUNTY[other.kind]
        if other.kind == HERO:
            self.deaths[other.index] += 1
            self.rewards[other.index] -= 0.25
            self.place(other, other.home)

    def move_to(self, entity, y, x):
        """Go to a position if its cell is free; returns whether it was."""
        y, x = min(max(y, 0), SIZE * UNIT - 1), min(max(x, 0), SIZE * UNIT - 1)
        row, column = y // UNIT, x // UNIT
        if (row, column) != (entity.row, entity.column):
            if self.grid[row][column] is not None:
                return False
            self.grid[entity.row][entity.column] = None
            self.grid[row][column] = entity
            entity.row, entity.column = row, column
        entity.y, entity.x = y, x
        return True

    def move_towards(self, entity, y, x):
        """A third of a cell towards a position; where the way is blocked, a random step."""
        dy = min(max(y - entity.y, -2), 2)
        dx = min(max(x - entity.x, -2), 2)
        if not self.move_to(entity, entity.y + dy, entity.x + dx):
            dy, dx = self.stream.below(5) - 2, self.stream.below(5) - 2
            self.move_to(entity, entity.y + dy, entity.x + dx)

    def follow_lane(self, creep):
        """To the corner of the lane, then to the other side's base; a creep that arrives there is gone."""
        corner = CORNERS[creep.lane]
        if creep.leg == 0:
            row, column = opposite(corner) if creep.team else corner
        else:
            row, column = BASES[1 - creep.team]
        if abs(creep.row - row) <= 2 and abs(creep.column - column) <= 2:
            creep.leg += 1
            if creep.leg == 2:
                creep.health = 0
                self.grid[creep.row][creep.column] = None
        else:
            self.move_towards(creep, row * UNIT + UNIT // 2, column * UNIT + UNIT // 2)

    # ------------------------------------------------------------------ sight

    def observe(self):
        """The window around each hero in three planes: who, health, pause."""
        size = 2 * VISION + 1
        observations = np.zeros((self.num_agents, size, size, 3), np.uint8)
        for hero in self.entities[:self.num_agents]:
            turn = -1 if hero.team else 1
            for i in range(size):
                for j in range(size):
                    row, column = hero.row + turn * (i - VISION), hero.column + turn * (j - VISION)
                    other = self.at(row, column)
                    if other is not None:
                        observations[hero.index, i, j] = self.describe(hero, other)
                    elif not (0 <= row < SIZE and 0 <= column < SIZE):
                        observations[hero.index, i, j, 0] = OUTSIDE
        return observations

    def describe(self, hero, other):
        """Its kind, for a hero; its health in fifteenths; ticks until its attack or the hero's skill."""
        if other.team == 2:
            who = WILD
        else:
            who = (OWN if other.team == hero.team else FOE) + (HERO, TOWER, CREEP).index(other.kind)
        health = math.ceil(other.health * 15 / MAX_HEALTH[other.kind])
        return who, health, hero.rest if other is hero else other.pause
