"""Rung "types": `envs/slow/skirmish.py` with every variable declared, and nothing else changed. Entities are still Python objects."""

import numpy as np
from gymnasium.spaces import MultiDiscrete

from libc.math cimport sqrt
from libc.stdint cimport int32_t, uint8_t, uint64_t

from envs.core.random cimport draw_below, stream_of

cdef enum:
    SIZE = 64
    UNIT = 6
    VISION = 5
    HERO = 0
    TOWER = 1
    NEUTRAL = 2
    CREEP = 3

MAX_HEALTH_OF, DAMAGE_OF, PAUSE_OF = [500, 1800, 500, 450], [50, 100, 22, 22], [8, 5, 5, 5]
REACH_OF, BOUNTY_OF = [3, 5, 1.5, 1.5], [1, 2, 0.5, 0.5]
TOWERS = [(42, 6), (26, 6), (46, 17), (38, 25), (57, 21), (57, 37)]
CORNERS, BASES = [(5, 5), (32, 31), (58, 58)], [(58, 5), (5, 58)]


cdef class Entity:
    cdef int index, kind, team, y, x, row, column, health, pause, rest, lane, leg, home_row, home_column
    cdef int max_health, damage, pace
    cdef double reach
    cdef Entity target

    def __init__(self, int index, int kind, int team, home=(0, 0)):
        self.index, self.kind, self.team, (self.home_row, self.home_column) = index, kind, team, home
        self.max_health, self.damage, self.pace, self.reach = MAX_HEALTH_OF[kind], DAMAGE_OF[kind], PAUSE_OF[kind], REACH_OF[kind]


cdef double distance(Entity a, Entity b):
    cdef double dy = a.row - b.row, dx = a.column - b.column
    return sqrt(dy ** 2 + dx ** 2)


cdef class Skirmish:
    """One skirmish, as the twin: `step(actions)` and `reset(seed)`."""

    cdef readonly int num_envs, num_agents, tick, scan_every
    cdef readonly object single_action_space, actions, observations, rewards, terminals
    cdef uint64_t stream
    cdef list grid, entities
    cdef uint8_t[:, :, :, :] seen
    cdef float[:] gained

    def __init__(self, int scan_every=1):
        self.num_envs, self.num_agents, self.scan_every = 1, 10, scan_every
        self.single_action_space = MultiDiscrete([7, 7, 3, 2, 2, 2])
        self.actions = np.zeros((10, 6), np.int32)
        self.observations, self.rewards = np.zeros((10, 11, 11, 3), np.uint8), np.zeros(10, np.float32)
        self.seen, self.gained = self.observations, self.rewards
        self.terminals = np.zeros(10, bool)

    def reset(self, seed=0):
        cdef int i, k, team
        self.stream, self.tick = stream_of(seed, 0), 0
        self.grid = [[None] * SIZE for _ in range(SIZE)]
        self.entities = [Entity(i, HERO, i // 5, turned(i // 5, (40, 20 + i % 5))) for i in range(10)]
        self.entities += [Entity(10 + i, TOWER, i // 6, turned(i // 6, TOWERS[i % 6])) for i in range(12)]
        for k in range(16):
            camp = draw_below(&self.stream, 20), draw_below(&self.stream, 20)
            for i in range(8):
                self.entities.append(Entity(len(self.entities), NEUTRAL, 2, turned(i // 4, (11 + camp[0], 11 + camp[1]))))
        for entity in self.entities:
            self.place(entity)
            (<Entity> entity).home_row, (<Entity> entity).home_column = (<Entity> entity).row, (<Entity> entity).column
        for i in range(60):
            self.entities.append(Entity(150 + i, CREEP, i // 30, BASES[i // 30]))
        self.send_wave()
        self.observe()
        return self.observations, []

    cdef void place(self, Entity entity):
        cdef int cell = entity.home_row * SIZE + entity.home_column, row, column
        while self.grid[cell // SIZE][cell % SIZE] is not None:
            cell = (cell + (-1 if entity.team == 1 else 1)) & 4095
        row, column = cell // SIZE, cell % SIZE
        self.grid[row][column] = entity
        entity.row, entity.column, entity.health = row, column, entity.max_health
        entity.y, entity.x = row * UNIT + UNIT // 2, column * UNIT + UNIT // 2
        entity.pause = entity.rest = 0
        entity.target = None

    cdef void send_wave(self):
        cdef Entity creep
        cdef int team, sent
        for team in range(2):
            sent = 0
            for creep in self.entities[150 + 30 * team:180 + 30 * team]:
                if creep.health <= 0 and sent < 9:
                    creep.lane, creep.leg = sent % 3, 0
                    self.place(creep)
                    sent += 1

    def step(self, int32_t[:, :] actions):
        cdef Entity entity
        self.tick += 1
        self.rewards.fill(0)
        if self.tick % 200 == 0:
            self.send_wave()
        if self.tick % 600 == 0:
            for entity in self.entities[22:150]:
                if entity.health <= 0:
                    self.place(entity)
        for entity in self.entities[:10]:
            self.play(entity, actions)
        for entity in self.entities[10:]:
            if entity.health > 0:
                self.act(entity)
        self.observe()
        return self.observations, self.rewards, self.terminals, self.terminals, []

    cdef void play(self, Entity hero, int32_t[:, :] actions):
        cdef int i = hero.index, speed = -1 if hero.team else 1
        cdef Entity target
        if hero.pause > 0:
            hero.pause -= 1
        if hero.rest > 0:
            hero.rest -= 1
        elif actions[i, 3]:
            hero.rest = 15
            for target in self.scan(hero, 2, False):
                self.hurt(hero, target, 60)
        elif actions[i, 4]:
            hero.rest = 15
            hero.health = min(hero.health + 150, hero.max_health)
        elif actions[i, 5]:
            hero.rest = 15
            speed *= 2
        self.move_to(hero, hero.y + speed * (actions[i, 0] - 3), hero.x + speed * (actions[i, 1] - 3))
        if actions[i, 2] > 0 and hero.pause == 0:
            target = self.nearest(hero, self.scan(hero, VISION, actions[i, 2] == 2))
            if target is not None and distance(hero, target) <= hero.reach:
                self.attack(hero, target)

    cdef void act(self, Entity entity):
        cdef Entity target
        if entity.pause > 0:
            entity.pause -= 1
        if (self.tick + entity.index) % self.scan_every == 0:
            entity.target = self.nearest(entity, self.scan(entity, VISION, False))
        elif entity.target is not None and not self.sees(entity, entity.target):
            entity.target = None
        target = entity.target
        if target is not None:
            if distance(entity, target) <= entity.reach:
                if entity.pause == 0:
                    self.attack(entity, target)
            elif entity.kind != TOWER:
                self.move_towards(entity, target.y, target.x)
        elif entity.kind == NEUTRAL:
            if entity.row != entity.home_row or entity.column != entity.home_column:
                self.move_towards(entity, entity.home_row * UNIT + UNIT // 2, entity.home_column * UNIT + UNIT // 2)
        elif entity.kind == CREEP:
            self.follow_lane(entity)

    cdef list scan(self, Entity entity, int radius, bint heroes_only):
        cdef int row, column
        cdef Entity other
        cdef list found = []
        for row in range(entity.row - radius, entity.row + radius + 1):
            for column in range(entity.column - radius, entity.column + radius + 1):
                other = self.at(row, column)
                if other is None or other.team == entity.team:
                    continue
                if heroes_only and other.kind != HERO:
                    continue
                found.append(other)
        return found

    cdef Entity at(self, int row, int column):
        if 0 <= row < SIZE and 0 <= column < SIZE:
            return (<list> self.grid[row])[column]
        return None

    cdef Entity nearest(self, Entity entity, list others):
        cdef Entity other, best = None
        for other in others:
            if best is None or (distance(entity, other), other.index) < (distance(entity, best), best.index):
                best = other
        return best

    cdef bint sees(self, Entity entity, Entity other):
        return other.health > 0 and abs(entity.row - other.row) <= VISION and abs(entity.column - other.column) <= VISION

    cdef void attack(self, Entity entity, Entity other):
        entity.pause = entity.pace
        self.hurt(entity, other, entity.damage)

    cdef void hurt(self, Entity entity, Entity other, int damage):
        other.health -= damage
        if other.health > 0:
            return
        self.grid[other.row][other.column] = None
        if entity.kind == HERO:
            self.gained[entity.index] += BOUNTY_OF[other.kind]
        if other.kind == HERO:
            self.gained[other.index] -= 0.25
            self.place(other)

    cdef bint move_to(self, Entity entity, int y, int x):
        cdef int row, column
        y, x = min(max(y, 0), SIZE * UNIT - 1), min(max(x, 0), SIZE * UNIT - 1)
        row, column = y // UNIT, x // UNIT
        if row != entity.row or column != entity.column:
            if (<list> self.grid[row])[column] is not None:
                return False
            self.grid[entity.row][entity.column] = None
            self.grid[row][column] = entity
            entity.row, entity.column = row, column
        entity.y, entity.x = y, x
        return True

    cdef void move_towards(self, Entity entity, int y, int x):
        cdef int dy = min(max(y - entity.y, -2), 2), dx = min(max(x - entity.x, -2), 2)
        if not self.move_to(entity, entity.y + dy, entity.x + dx):
            dy = draw_below(&self.stream, 5) - 2
            dx = draw_below(&self.stream, 5) - 2
            self.move_to(entity, entity.y + dy, entity.x + dx)

    cdef void follow_lane(self, Entity creep):
        cdef int row, column
        row, column = turned(creep.team, CORNERS[creep.lane]) if creep.leg == 0 else BASES[1 - creep.team]
        if abs(creep.row - row) > 2 or abs(creep.column - column) > 2:
            self.move_towards(creep, row * UNIT + UNIT // 2, column * UNIT + UNIT // 2)
            return
        creep.leg += 1
        if creep.leg == 2:
            creep.health = 0
            self.grid[creep.row][creep.column] = None

    cdef void observe(self):
        cdef int i, j, k, row, column, turn, who
        cdef Entity hero, other
        self.observations.fill(0)
        for k in range(10):
            hero = self.entities[k]
            turn = -1 if hero.team else 1
            for i in range(11):
                for j in range(11):
                    row, column = hero.row + turn * (i - VISION), hero.column + turn * (j - VISION)
                    other = self.at(row, column)
                    if other is not None:
                        who = (2 if other.team == hero.team else 5) + other.kind - (other.kind == CREEP)
                        self.seen[k, i, j, 0] = 8 if other.team == 2 else who
                        self.seen[k, i, j, 1] = (other.health * 15 + other.max_health - 1) // other.max_health
                        self.seen[k, i, j, 2] = hero.rest if other is hero else other.pause
                    elif not (0 <= row < SIZE and 0 <= column < SIZE):
                        self.seen[k, i, j, 0] = 1


def turned(team, cell):
    return (63 - cell[0], 63 - cell[1]) if team else cell
