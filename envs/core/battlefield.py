"""The map of `moba`: terrain, places and paths. Made once a process, read-only, shared by all games.

128 x 128 cells (row, column). Side 0 lives at the bottom left, side 1 at the top right. The map is its own
image under a half turn, (row, column) -> (127 - row, 127 - column), which exchanges the sides: everything is
written down for side 0 and turned for side 1.

    off lane   up the left edge, then right along the top (side 1 calls it its safe lane)
    mid lane   the diagonal
    safe lane  right along the bottom, then up the right edge
    river      the other diagonal; open ground, as lanes and bases are
    jungle     the rest: clumps of trees with paths between them, and 18 clearings with four neutral creatures
               each

A path is not searched for in a game. A *flow field* says for each cell in which of eight directions the next
step goes; there is one for each lane (to the rival ancient along that lane) and one home. Four fields of 16
KB serve all creeps and heroes of all games, turned by half for side 1, where a table from any cell to any
cell would take 256 MB.
"""

import functools
from typing import NamedTuple

import numpy as np

SIZE = 128
GROUND, TREE, LANE, RIVER, BASE = range(5)
SAFE, MID, OFF, HOME = range(4)

ANCIENT = (117, 10)
LANES = ([(117, 10), (117, 117), (10, 117)], [(117, 10), (10, 117)], [(117, 10), (10, 10), (10, 117)])
HEROES = [(122, 4), (120, 5), (122, 7), (124, 5), (119, 3)]
CREEPS = [(117, 24), (104, 23), (103, 10)]
CAMPS = [(104, 44), (104, 60), (104, 76), (92, 56), (90, 72), (44, 26), (60, 24), (76, 24), (58, 42)]
TOWERS = [(113, 90), (76, 55), (37, 14), (113, 60), (89, 42), (67, 14), (113, 32), (100, 31), (95, 14),
          (111, 13), (114, 16)]
"""Towers by tier, in a tier by lane: three each of the first three tiers, two at the ancient."""


class Battlefield(NamedTuple):
    """Arrays of the map; (row, column) throughout.

    terrain     (128, 128) uint8: GROUND, TREE, LANE, RIVER or BASE
    flow        (4, 128, 128) uint8: 3 * (down + 1) + (right + 1) of the next step for side 0, by lane and
                HOME; 4 at the goal and in trees
    distance    (128, 128) uint8: steps that side 0 walks to the rival ancient, at most 255
    places      (103, 2) int32: where side 0's entities stand: 5 heroes, 50 creeps (the first three: where a
                lane's waves begin), 36 neutrals, 11 towers, the ancient
    """

    terrain: np.ndarray
    flow: np.ndarray
    distance: np.ndarray
    places: np.ndarray


@functools.cache
def battlefield() -> Battlefield:
    """The map."""
    terrain = lay_out()
    places = np.full((103, 2), -1, np.int32)
    places[:5], places[5:8] = HEROES, CREEPS
    places[55:91] = [(row + down, column + right)
                     for row, column in CAMPS for down in (-1, 1) for right in (-1, 1)]
    places[91:102], places[102] = TOWERS, ANCIENT
    walkable = terrain != TREE
    standing = np.concatenate([places[91:], SIZE - 1 - places[91:]])
    dear = np.zeros_like(terrain)
    dear[tuple(standing.T)] = 200                                   # towers are walked around
    rival = (SIZE - 1 - ANCIENT[0], SIZE - 1 - ANCIENT[1])
    prices = [np.where(on_way(lane, 5) | (terrain == BASE), 1, 4) + dear for lane in LANES]
    flow = [steps_to(rival, walkable, price)[1] for price in prices]
    flow.append(steps_to(HEROES[0], walkable, np.where(terrain == GROUND, 2, 1) + dear)[1])
    distance = np.minimum(steps_to(rival, walkable, np.ones_like(dear))[0] // 10, 255)
    made = Battlefield(terrain, np.stack(flow), distance.astype(np.uint8), places)
    for array in made:
        array.flags.writeable = False
    return made


def turned(array: np.ndarray) -> np.ndarray:
    """The array as side 1 sees it, turned by half."""
    return array[::-1, ::-1]


def on_way(points, width: float) -> np.ndarray:
    """Cells within `width` of the broken line through `points`."""
    cells = np.stack(np.mgrid[:SIZE, :SIZE], -1).astype(float)
    near = np.full((SIZE, SIZE), np.inf)
    for start, end in zip(np.array(points[:-1], float), np.array(points[1:], float), strict=True):
        along = np.clip((cells - start) @ (end - start) / ((end - start) @ (end - start)), 0, 1)[..., None]
        near = np.minimum(near, np.linalg.norm(cells - (start + along * (end - start)), axis=-1))
    return near <= width


def lay_out() -> np.ndarray:
    """The terrain: clumps of up to 3 x 3 trees on a lattice of 5, two cells apart; solid at the edge."""
    row, column = np.mgrid[:SIZE, :SIZE]
    random = np.random.RandomState(7)
    clumps = random.random_sample((26, 26)) < 0.8
    ragged = random.random_sample((SIZE, SIZE)) < 0.85
    trees = clumps[row // 5, column // 5] & (row % 5 < 3) & (column % 5 < 3) & ragged
    trees |= np.minimum(row, column) < 3
    terrain = np.where(trees, TREE, GROUND).astype(np.uint8)
    terrain = np.where(row + column > SIZE - 1, terrain, turned(terrain))               # one half decides
    terrain[abs(row - column) <= 4] = RIVER
    for lane in LANES:
        terrain[on_way(lane, 5)] = LANE
    terrain[np.hypot(row - ANCIENT[0], column - ANCIENT[1]) <= 17] = BASE
    for camp in CAMPS:
        terrain[np.hypot(row - camp[0], column - camp[1]) <= 4] = GROUND
    other = turned(terrain)                             # what is open on one side is open on the other
    terrain = np.where((terrain == TREE) & (other != TREE), other, terrain)
    terrain = np.where((other == BASE) | (terrain == BASE), BASE, terrain)
    return np.ascontiguousarray(terrain)


def steps_to(goal, walkable, cost) -> tuple[np.ndarray, np.ndarray]:
    """(distance, code of the next step) from every cell to `goal`: Bellman-Ford over the whole array at once.

    cost   of entering a cell, times 10, and 14 for a diagonal step, which must not cut the corner of a tree.
           Where there is no way the distance is large and the code 4, "stay".
    """
    far = 1 << 28
    distance = np.full((SIZE + 2, SIZE + 2), far)
    distance[goal[0] + 1, goal[1] + 1] = 0
    free = np.pad(walkable, 1)
    price = np.pad(cost.astype(int), 1)
    moves = [(down, right) for down in (-1, 0, 1) for right in (-1, 0, 1) if down or right]

    def neighbour(array, down, right):
        return array[1 + down:SIZE + 1 + down, 1 + right:SIZE + 1 + right]

    def via(down, right):
        length = 14 if down and right else 10
        way = neighbour(distance, down, right) + length * neighbour(price, down, right)
        passable = neighbour(free, down, 0) & neighbour(free, 0, right) & neighbour(free, down, right)
        return np.where(passable & walkable, way, far)

    inner = distance[1:-1, 1:-1]
    while True:
        best = functools.reduce(np.minimum, [via(*move) for move in moves])
        if (best >= inner).all():
            break
        np.minimum(inner, best, out=inner)
    ways = np.stack([inner, *(via(*move) for move in moves)])
    codes = np.array([4, *(3 * (down + 1) + right + 1 for down, right in moves)], np.uint8)
    best = np.where(inner == 0, 0, 1 + ways[1:].argmin(0))
    return inner.copy(), np.where(inner < far, codes[best], 4).astype(np.uint8)
