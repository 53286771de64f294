"""A world of `mmo` laid open: its state as NumPy records that a test may change, and its grid and observations computed anew, slowly.

The records are the C structs of `envs/mmo_world.pxd` field by field; what is computed here is written after the docstring of
`envs/mmo.pyx` and not after its code.
"""

import numpy as np

import envs

BORDER = 8
GRASS, SAND, TOWN, FOREST, STONE, THICKET, ROCK, WATER, EDGE = range(9)
NOTHING, HERBS, RARE_HERBS, TREE, OLD_TREE, ORES, RICH_ORES, FISHES, BIG_FISHES, PILE = range(10)
HERB, WOOD, ORE, FISH, RATION, POTION, TOOL, WEAPON, ARMOUR = range(9)
MELEE, RANGE, MAGIC, HERBALISM, LUMBER, MINING, FISHING, CRAFTING = range(8)
STAY, UP, DOWN, LEFT, RIGHT = range(5)
IDLE = (0, 0, 0, 0, 0, 0)
PRICES = (2, 2, 3, 3, 7, 6, 8, 12, 14)

AGENT = np.dtype([("y", "i4"), ("x", "i4"), ("cell", "i4"), ("health", "i4"), ("food", "i4"), ("water", "i4"), ("born", "i4"), ("ready_at", "i4"),
                  ("striker", "i4"), ("hurt", "i4"), ("gained", "i4"), ("gold", "i4"), ("experience", "i4", 8), ("level", "u1", 8), ("goods", "u1", 9),
                  ("tool", "u1"), ("weapon", "u1"), ("armour", "u1"), ("activity", "u1"), ("trade", "i1"), ("plan", "u1"), ("heading", "u1"),
                  ("town", "i4", 2), ("shore", "i4", 2), ("site", "i4", 2), ("count", "i4"), ("near", "u2", 8), ("regions", "u8", 4), ("spent", "i4", 11), ("distance", "i4"),
                  ("trades", "i4"), ("gifts", "i4"), ("kills", "i4"), ("crafted", "i4"), ("gathered", "i4")], align=True)
HEAD = np.dtype([("made", "i8", 9), ("used", "i8", 9), ("ended", "i8"), ("read", "i8"), ("missed", "i8"), ("stock", "i4", 9), ("treasury", "i4"),
                 ("tick", "i4"), ("fertile", "i4")], align=True)
HEAP = np.dtype([("gold", "i4"), ("goods", "u1", 9)], align=True)
NAMES = ("streams", "lengths", "returns", "metrics", "heads", "agents", "lives", "piles", "tiles", "nature", "present", "lakes", "meals", "queue",
         "piece", "standing", "before")


def walking(move):
    return (move, 0, 0, 0, 0, 0)


def using(good):
    return (0, 0, 0, 1 + good, 0, 0)


def crafting(good):
    return (0, 0, 0, 10 + good - RATION, 0, 0)


def selling(good):
    return (0, 0, 0, 0, 1 + good, 0)


def buying(good):
    return (0, 0, 0, 0, 10 + good, 0)


def giving(what, target=0):
    return (0, 0, target, 0, 0, 1 + what)


def striking(style, target=0):
    return (0, 1 + style, target, 0, 0, 0)


def views(env, state) -> dict:
    """Name -> array of each part of a saved state, world by world; writing into them changes the state."""
    blocks, worlds, stride = dict(zip(NAMES, state["blocks"], strict=True)), env.num_envs, env.size + 2 * BORDER
    grid = (worlds, stride, stride)
    return {"head": blocks["heads"].view(HEAD), "agents": blocks["agents"].view(AGENT).reshape(worlds, -1),
            "piles": blocks["piles"].view(HEAP).reshape(grid), "tiles": blocks["tiles"].reshape(*grid, 3), "nature": blocks["nature"].reshape(grid)} | {
                name: blocks[name].reshape(worlds, -1) for name in ("present", "lakes", "meals")}


def bits_of(cells, size):
    """The bytes of a grid of truth values, a bit a cell, as the worlds keep them."""
    packed = np.packbits(cells.ravel(), bitorder="little")
    return np.pad(packed, (0, size - packed.size))


def nearest(cells, y, x):
    """(row, column) in the window of the set cell that is the fewest steps away, 1 for the first; of several the first in the order of reading."""
    found = [(abs(down) + abs(right), down + 6, right + 8) for down in range(-5, 6) for right in range(-7, 8) if cells[y + down, x + right]]
    return min(found)[1:] if found else (0, 0)


def look_into(env) -> dict:
    """A copy of all worlds of `env`."""
    return views(env, env.get_state())


def occupant_of(agent, tick) -> int:
    """The code of an inhabitant in the window."""
    return 1 if tick - agent["born"] < 64 else 2 + (int(agent["level"][:3].max()) - 1) // 3


def fertile(row, size, first) -> bool:
    return (row - first) % size < size / 2


def price(good, stock, inhabitants) -> int:
    return PRICES[good] * inhabitants // (inhabitants + 4 * stock)


def strongest(agent) -> int:
    """1 + the strongest style, 0 where it has learned none."""
    style = int(agent["level"][:3].argmax())
    return style + 1 if agent["level"][style] > 1 else 0


def neighbours(world, n) -> list[int]:
    """The nearest eight in the window of inhabitant n, nearest first."""
    agents = world["agents"]
    down, right = agents["y"] - agents["y"][n], agents["x"] - agents["x"][n]
    seen = [other for other in np.flatnonzero((abs(down) <= 5) & (abs(right) <= 7)).tolist() if other != n]
    return sorted(seen, key=lambda other: (int(down[other]) ** 2 + int(right[other]) ** 2, other))[:8]


def observation_of(world, n, size, lifespan) -> np.ndarray:
    """What inhabitant n sees, but for `hurt`, which the world does not keep."""
    head, agents, one = world["head"], world["agents"], world["agents"][n]
    tick, row, column = int(head["tick"]), int(one["y"]) - BORDER, int(one["x"]) - BORDER
    y, x, gold = int(one["y"]), int(one["x"]), int(one["gold"])
    asked = [0] * 9
    if world["tiles"][y, x, 0] == TOWN:
        asked = [price(good, int(head["stock"][good]), len(agents)) + 1 for good in range(9)]
    own = [one["health"] // 8, one["food"] // 8, one["water"] // 8, *one["level"], *one["goods"], min(gold, 15), min(gold.bit_length(), 15), one["tool"],
           one["weapon"], one["armour"], max(0, int(one["ready_at"]) - tick - 1), tick - one["born"] < 64, 0, fertile(row, size, int(head["fertile"])),
           int(head["fertile"]) * 16 // size, (tick - int(one["born"])) * 16 // lifespan, row * 16 // size, column * 16 // size, *asked]
    water, food = (nearest(cells, y, x) for cells in (world["tiles"][..., 0] == WATER, np.isin(world["tiles"][..., 2], (HERBS, FISHES))))
    if water == (0, 0) and one["shore"][0]:
        water = 6 + np.clip(one["shore"][0] - y, -5, 5), 8 + np.clip(one["shore"][1] - x, -7, 7)
    own += [one["heading"], *water, *food]
    records = [[agents["y"][other] - y + 6, agents["x"][other] - x + 8, agents["level"][other][:3].max(), strongest(agents[other]),
                agents["health"][other] // 8, agents["weapon"][other], agents["armour"][other], tick - agents["born"][other] < 64,
                min(15, int(agents["gold"][other]).bit_length())] for other in neighbours(world, n)]
    records += [[0] * 9] * (8 - len(records))
    window = world["tiles"][y - 5:y + 6, x - 7:x + 8]
    return np.concatenate([window.ravel(), np.array(own), np.array(records).ravel()]).astype(np.uint8)


def world_of(parts, i) -> dict:
    """The parts of world i of what `look_into` gives."""
    return {name: part[i] for name, part in parts.items()}


class Stage:
    """A world of grass in which nothing grows, nobody is newborn, hungry or thirsty, and everybody stands where the test puts them.

    stage.agents, stage.tiles, stage.head ... are the state, to be read and written between two steps.
    """

    def __init__(self, agents=1, size=64, seed=0, **settings):
        self.env = envs.make("mmo", 1, seed=seed, agents=agents, size=size, report_interval=0, **settings)
        self.env.reset()
        self.size = size
        self.load()
        inside = slice(BORDER, BORDER + size)
        self.tiles[inside, inside] = 0
        self.nature[:] = 0
        self.head["tick"] = 1000
        self.agents["born"] = 0
        for n in range(len(self.agents)):
            self.put(n, 2 + 16 * (n // 3) % (size - 4), 3 + 20 * (n % 3))
            self.agents[n]["food"] = self.agents[n]["water"] = self.agents[n]["health"] = 100

    def load(self):
        """Read the state of the environment."""
        self.state = self.env.get_state()
        for name, part in views(self.env, self.state).items():
            setattr(self, name, part[0])

    def put(self, n, row, column):
        """Stand inhabitant n on a cell."""
        one = self.agents[n]
        one["y"], one["x"] = row + BORDER, column + BORDER
        one["cell"] = one["y"] * (self.size + 2 * BORDER) + one["x"]

    def place(self, n):
        """(row, column) of inhabitant n."""
        return int(self.agents["y"][n]) - BORDER, int(self.agents["x"][n]) - BORDER

    def ground(self, row, column, terrain=None, item=None):
        """Change a cell."""
        if terrain is not None:
            self.tiles[row + BORDER, column + BORDER, 0] = terrain
        if item is not None:
            self.tiles[row + BORDER, column + BORDER, 2] = item

    def item(self, row, column):
        return int(self.tiles[row + BORDER, column + BORDER, 2])

    def store(self):
        """Give the environment the state, with a grid and neighbours that fit it."""
        self.tiles[..., 1] = 0
        for one in self.agents:
            self.tiles[one["y"], one["x"], 1] = occupant_of(one, int(self.head["tick"]))
        for name, cells in (("present", self.tiles[..., 1] > 0), ("lakes", self.tiles[..., 0] == WATER), ("meals", np.isin(self.tiles[..., 2], (HERBS, FISHES)))):
            getattr(self, name)[:] = bits_of(cells, self.present.size)
        world = {"agents": self.agents}
        for n, one in enumerate(self.agents):
            near = neighbours(world, n)
            one["count"] = len(near)
            one["near"][:len(near)] = near
        self.env.set_state(self.state)

    def masks(self):
        """The legal choices in this state."""
        self.store()
        return self.env.action_masks().copy()

    def step(self, *actions, ticks=1):
        """Step with these actions, idle for all others; (rewards, terminals) of the last."""
        self.store()
        for _ in range(ticks):
            self.env.actions[:] = 0
            for n, action in enumerate(actions):
                self.env.actions[n] = action
            _, rewards, terminals, _, _ = self.env.step(self.env.actions)
        self.load()
        return rewards.copy(), terminals.copy()
