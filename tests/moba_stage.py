"""A game of `moba` laid open: its state as NumPy records that a test may change, and its grid and observations computed anew, slowly.

The records are the C structs of `envs/moba_world.pxd` field by field; what is computed here is written after the docstring of
`envs/moba.pyx` and not after its code.
"""

import numpy as np

import envs

BORDER, STRIDE, UNIT, HALF = 8, 144, 256, 103
HERO, CREEP, NEUTRAL, TOWER, ANCIENT = range(5)
SUPPORT, ASSASSIN, BURST, TANK, CARRY = range(5)
IDLE = (3, 3, 0, 0, 0, 0)
Q, W, E = (3, 3, 0, 1, 0, 0), (3, 3, 0, 0, 1, 0), (3, 3, 0, 0, 0, 1)

ENTITY = np.dtype([("y", "i4"), ("x", "i4"), ("home_y", "i4"), ("home_x", "i4"), ("health", "i4"), ("max_health", "i4"), ("damage", "i4"),
                   ("reach", "i4"), ("attack_at", "i4"), ("stunned_until", "i4"), ("slowed_until", "i4"), ("bounty", "i4"), ("speed", "i2"),
                   ("pace", "i2"), ("target", "i2"), ("id", "i2"), ("kind", "u1"), ("side", "u1"), ("half", "u1"), ("lane", "u1"),
                   ("level", "u1"), ("alive", "u1"), ("exposed", "u1"), ("unused", "u1")], align=True)
HERO_RECORD = np.dtype([("mana", "i4"), ("max_mana", "i4"), ("experience", "i4"), ("ready_at", "i4", 3), ("hasted_until", "i4"),
                        ("back_at", "i4"), ("kills", "i4"), ("deaths", "i4"), ("known_experience", "i4"), ("known_deaths", "i4"),
                        ("known_distance", "i4"), ("plan", "i4"), ("wait_until", "i4")], align=True)
GAME = np.dtype([("entities", ENTITY, 206), ("heroes", HERO_RECORD, 10), ("present", "u1", (3, STRIDE, 20)),
                 ("ids", "u1", (STRIDE, STRIDE)), ("picture", "u4", (STRIDE, STRIDE)), ("creeps", "u8", 2), ("neutrals", "u8", 2),
                 ("awake", "u8", 2), ("towers", "u8", 2), ("fallen", "i4", 2), ("known_fallen", "i4", 2), ("chance", "u8"),
                 ("tick", "i4"), ("first", "i4"), ("winner", "i4")], align=True)


def games(env) -> np.ndarray:
    """A copy of all games of `env` as records of GAME."""
    return env.get_state()["blocks"][-1].view(GAME)[:env.num_envs].copy()


def cells(entities) -> tuple[np.ndarray, np.ndarray]:
    """(rows, columns) on the grid."""
    return entities["y"] >> 8, entities["x"] >> 8


def code_of(entity) -> int:
    """The code of an entity in the picture, for side 0."""
    if entity["side"] == 2:
        return 6
    code = {HERO: 4, CREEP: 5, TOWER: 3, ANCIENT: 2}[int(entity["kind"])]
    return code if entity["side"] == 0 else 12 - code


def picture_of(game, entity) -> int:
    """The four bytes of an entity's cell."""
    mana = 0
    if entity["kind"] == HERO:
        hero = game["heroes"][entity["half"] * 5 + entity["id"] % HALF]
        mana = int(hero["mana"]) * 255 // int(hero["max_mana"])
    return code_of(entity) | int(entity["health"]) * 255 // int(entity["max_health"]) << 8 | mana << 16 | int(entity["level"]) << 24


def grid_of(game) -> dict:
    """ids, picture, present and the sets of the living, computed from the entities and the trees alone."""
    trees = game["ids"] == 255
    ids = np.where(trees, 255, 0).astype(np.uint8)
    picture = trees.astype(np.uint32)
    bits = np.zeros((3, STRIDE, STRIDE + 16), np.uint8)
    sets = {name: [0, 0] for name in ("creeps", "neutrals", "towers")}
    for entity in game["entities"][game["entities"]["alive"] == 1]:
        row, column = entity["y"] >> 8, entity["x"] >> 8
        assert ids[row, column] == 0, f"entity {entity['id']} stands where another entity or a tree is"
        ids[row, column] = entity["id"] + 1
        picture[row, column] = picture_of(game, entity)
        bits[entity["side"], row, column] = 1
        if entity["kind"] != HERO:
            name, first = {CREEP: ("creeps", 5), NEUTRAL: ("neutrals", 55)}.get(int(entity["kind"]), ("towers", 91))
            sets[name][entity["half"]] |= 1 << int(entity["id"]) % HALF - first
    return {"ids": ids, "picture": picture, "present": np.packbits(bits, -1, bitorder="little"),
            **{name: np.array(pair, np.uint64) for name, pair in sets.items()}}


def observation_of(game, agent: int, max_ticks: int, flow) -> np.ndarray:
    """What an agent sees, written after the table in the docstring of `moba`, a cell and an entity at a time."""
    half, entities = agent // 5, game["entities"]
    me, hero, tick = entities[half * HALF + agent % 5], game["heroes"][agent], int(game["tick"])
    sign = 1 if half == 0 else -1
    row, column = int(me["y"]) >> 8, int(me["x"]) >> 8
    window, records = np.zeros((11, 11, 4), np.uint8), np.zeros((10, 8), np.uint8)
    if me["alive"]:
        for i in range(11):
            for j in range(11):
                at = row + sign * (i - 5), column + sign * (j - 5)
                number = int(game["ids"][at])
                if number == 255:
                    window[i, j, 0] = 1
                elif number:
                    other = entities[number - 1]
                    code, health, mana, level = picture_of(game, other).to_bytes(4, "little")
                    window[i, j] = code if half == 0 else 12 - code, health, mana, level
        seen = [other for other in entities if other["alive"] and other["id"] != me["id"]
                and abs((other["y"] >> 8) - row) <= 5 and abs((other["x"] >> 8) - column) <= 5]
        seen.sort(key=lambda other: (int(other["y"] - me["y"])**2 + int(other["x"] - me["x"])**2, (int(other["id"]) + half * HALF) % 206))
        for record, other in zip(records, seen, strict=False):
            record[:] = (sign * int(other["y"] - me["y"]) // 16 + 96, sign * int(other["x"] - me["x"]) // 16 + 96, other["side"] == half,
                         other["side"] == 1 - half, other["kind"] == HERO, other["kind"] >= TOWER,
                         int(other["health"]) * 255 // int(other["max_health"]), other["exposed"] and other["side"] != half)
    scalars = np.zeros(26, np.uint8)
    level, levels = int(me["level"]), [60 * n * (n + 1) for n in range(30)]
    scalars[0] = int(me["health"]) * 255 // int(me["max_health"])
    scalars[1] = int(hero["mana"]) * 255 // int(hero["max_mana"])
    scalars[2] = level
    if level < 30:
        scalars[3] = (int(hero["experience"]) - levels[level - 1]) * 255 // (levels[level] - levels[level - 1])
    scalars[4:6] = (row - BORDER, column - BORDER) if half == 0 else (127 - row + BORDER, 127 - column + BORDER)
    scalars[6 + agent % 5] = 1
    scalars[11:14] = [hero["mana"] >= cost and tick + 1 >= ready for cost, ready in zip(COSTS[agent % 5], hero["ready_at"], strict=False)]
    scalars[14] = tick + 1 >= me["attack_at"]
    scalars[15:18] = tick + 1 < np.array([me["stunned_until"], me["slowed_until"], hero["hasted_until"]])
    scalars[18] = 0 if me["alive"] else min(255, max(1, int(hero["back_at"]) - tick))
    scalars[19] = tick * 255 // max_ticks
    for n, side in enumerate((half, 1 - half)):
        ancient = entities[side * HALF + 102]
        scalars[20 + n] = int(ancient["health"]) * 255 // int(ancient["max_health"])
        scalars[22 + n] = 11 - game["fallen"][side]
    at = (int(scalars[4]), int(scalars[5]))
    scalars[24:26] = divmod(int(flow[me["lane"]][at]), 3)
    return np.concatenate([window.ravel(), scalars, records.ravel()])


COSTS = [(40, 30, 40), (30, 40, 20), (40, 35, 60), (30, 40, 50), (20, 25, 35)]


class Stage:
    """One game of ten agents in which a test puts the entities where it wants them; everybody else waits far away."""

    def __init__(self, **settings):
        self.env = envs.make("moba", 1, seed=0, **{"agents": 10, "first": 0, "max_ticks": 20_000, "report_interval": 0} | settings)
        self.env.reset()
        self.read()
        self.game["tick"] = 1                           # the first wave has gone; the next comes at 151

    def read(self):
        """Take the state over from the environment."""
        self.state = self.env.get_state()
        self.game = self.state["blocks"][-1].view(GAME)[0]
        self.entities, self.heroes = self.game["entities"], self.game["heroes"]

    def write(self):
        """Give the state back, its grid computed anew."""
        for name, value in grid_of(self.game).items():
            self.game[name] = value
        self.env.set_state(self.state)

    def put(self, id, row, column, **fields):
        """Stand an entity alive in the middle of a cell of the map, with other fields changed."""
        entity = self.entities[id]
        entity["y"], entity["x"], entity["alive"] = (row + BORDER) * UNIT + UNIT // 2, (column + BORDER) * UNIT + UNIT // 2, 1
        for name, value in fields.items():
            entity[name] = value
        return entity

    def creep(self, side, slot, row, column, **fields):
        """A creep of a first wave."""
        fields = {"kind": CREEP, "health": 450, "max_health": 450, "damage": 22, "reach": 480, "speed": 90, "pace": 5, "bounty": 60,
                  "lane": 1, "target": -1} | fields
        return self.put(side * HALF + 5 + slot, row, column, **fields)

    def step(self, actions=None, ticks=1):
        """Step with `actions` (agent -> action), everybody else idle; returns the rewards of the last step."""
        self.write()
        for _ in range(ticks):
            self.env.actions[:] = IDLE
            for agent, action in (actions or {}).items():
                self.env.actions[agent] = action
            self.env.step(self.env.actions)
        self.read()
        return self.env.rewards.copy()

    def cell(self, id):
        """(row, column) of an entity on the map."""
        return int(self.entities[id]["y"] >> 8) - BORDER, int(self.entities[id]["x"] >> 8) - BORDER

    def distance(self, a, b):
        """Distance of two entities in cells."""
        one, other = self.entities[a], self.entities[b]
        return np.hypot(one["y"] - other["y"], one["x"] - other["x"]) / UNIT
