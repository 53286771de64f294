"""The rungs of the ladder on the `crafter` package: each derives from the one before and overrides what it
makes faster. `crafter_ladder` makes, shows, compares and measures them.

The package is by Danijar Hafner (github.com/danijar/crafter, MIT); needs `pip install crafter`.
"""

from __future__ import annotations

import collections
import functools

import numpy as np
from crafter import Env, engine, objects, worldgen

import envs
from puffer_min.course.build import build
from puffer_min.course.crafter_cython import DRAWING, WORLD

OUTSIDE = 127               # grey, where the world ends
NEAR = 2 * 9                # creatures that are as many steps away or more stand still


class InOrder(dict):
    """A set that remembers the order of insertion."""

    def add(self, member):
        self[member] = None

    def remove(self, member):
        del self[member]


class OrderedWorld(engine.World):
    """Chunks in the order of arrival."""

    def reset(self, seed=None):
        super().reset(seed)
        self._chunks = collections.defaultdict(InOrder)


class Ordered(Env):
    """The package, and a seed gives one game."""

    def __init__(self, *arguments, **settings):
        super().__init__(*arguments, **settings)
        self._world.__class__ = OrderedWorld


class RememberedItems(engine.ItemView):
    """The picture of the inventory, put together when it has changed, of cells that are drawn once."""

    shown = None

    def __call__(self, inventory, unit):
        carried = tuple(inventory.values())
        if self.shown is None:
            self.cells = {}                                 # (item, amount) -> its picture
        if carried != self.shown:
            self.shown, self.picture = carried, self.together(inventory, unit)
        return self.picture

    def together(self, inventory, unit):
        canvas = np.zeros((*self._grid * unit, 3), np.uint8)
        for place, (item, amount) in enumerate(inventory.items()):
            if amount < 1:
                continue
            if (item, amount) not in self.cells:
                cell = self.cells[item, amount] = np.zeros((*unit, 3), np.uint8)
                self._item(cell, 0, item, unit)
                self._amount(cell, 0, amount, unit)
            x, y = place % self._grid[0] * unit[0], place // self._grid[0] * unit[1]
            canvas[x:x + unit[0], y:y + unit[1]] = self.cells[item, amount]
        return canvas


class Inventory(Ordered):
    """The inventory's picture is remembered."""

    def __init__(self, *arguments, **settings):
        super().__init__(*arguments, **settings)
        self._item_view.__class__ = RememberedItems


class GatheredGround(engine.LocalView):
    """The ground as one gather: the numbers of the materials in view pick tiles from an atlas."""

    atlas = None

    def __call__(self, player, unit):
        if self.atlas is None:
            self.begin(unit)
        canvas = self.picture_of(self.numbers_of(self._world._mat_map, player.pos))
        self.draw_things(canvas, player, unit)
        return self.lit(canvas, player)

    def begin(self, unit):
        """The atlas: a tile for each material, number 0 for outside."""
        names = list(self._world._mat_names.values())[1:]
        tiles = [self._textures.get(name, unit)[..., :3] for name in names]
        self.atlas = np.array([np.full_like(tiles[0], OUTSIDE), *tiles])

    def numbers_of(self, world_map, centre):
        """(9, 7): the part of a map that is in view; 0 outside."""
        (left, top), (wide, high) = centre - self._offset, self._grid
        seen = np.zeros((wide, high), world_map.dtype)
        inside = world_map[max(left, 0):left + wide, max(top, 0):top + high]
        x, y = max(-left, 0), max(-top, 0)
        seen[x:x + inside.shape[0], y:y + inside.shape[1]] = inside
        return seen

    def picture_of(self, numbers):
        """(63, 49, 3): the tiles of these numbers, side by side."""
        wide, high, unit = *numbers.shape, self.atlas.shape[1]
        return self.atlas[numbers].transpose(0, 2, 1, 3, 4).reshape(wide * unit, high * unit, 3)

    def draw_things(self, canvas, player, unit):
        """What stands on the ground, as in the package."""
        for thing in self._world.objects:
            place = thing.pos - player.pos + self._offset
            if engine._inside((0, 0), place, self._grid):
                engine._draw_alpha(canvas, place * unit, self._textures.get(thing.texture, unit))

    def lit(self, canvas, player):
        """Daylight and sleep, as in the package."""
        canvas = self._light(canvas, self._world.daylight)
        return self._sleep(canvas) if player.sleeping else canvas


class Ground(Inventory):
    """The ground is one gather from an atlas."""

    view = GatheredGround

    def __init__(self, *arguments, **settings):
        super().__init__(*arguments, **settings)
        self._local_view.__class__ = self.view


class RememberedTiles(GatheredGround):
    """A thing on its ground is a tile as well, blended when it is first seen; the map of the world says what
    stands in view.
    """

    def __call__(self, player, unit):
        if self.atlas is None:
            self.begin(unit)
        return self.lit(self.tiles_of(player, unit), player)

    def begin(self, unit):
        super().begin(unit)
        self.number_of = {}                                 # (material, texture) -> place in the atlas

    def tiles_of(self, player, unit):
        """(9, 7): the number of the tile of each cell in view."""
        numbers = self.numbers_of(self._world._mat_map, player.pos).astype(np.intp)
        things = self.numbers_of(self._world._obj_map, player.pos)
        for x, y in zip(*things.nonzero(), strict=True):
            key = numbers[x, y], self._world._objects[things[x, y]].texture
            if key not in self.number_of:
                tile = self.atlas[key[0]].copy()
                engine._draw_alpha(tile, (0, 0), self._textures.get(key[1], unit))
                self.number_of[key] = len(self.atlas)
                self.atlas = np.concatenate([self.atlas, tile[None]])
            numbers[x, y] = self.number_of[key]
        return numbers

    def lit(self, numbers, player):
        return super().lit(self.picture_of(numbers), player)


class Tiles(Ground):
    """What stands on the ground is remembered with it."""

    view = RememberedTiles


class LitTiles(RememberedTiles):
    """By day a tile is lit once, however often it is seen; by night every pixel has noise of its own."""

    def lit(self, numbers, player):
        if self._world.daylight < 0.5:
            return super().lit(numbers, player)
        used, places = np.unique(numbers, return_inverse=True)
        kept, self.atlas = self.atlas, self.atlas[used]
        size = self.atlas.shape
        strip = GatheredGround.lit(self, self.atlas.reshape(-1, size[2], 3), player)
        self.atlas = strip.reshape(size)
        picture = self.picture_of(places.reshape(numbers.shape))
        self.atlas = kept
        return picture


class Light(Tiles):
    """By day each tile in view is lit once."""

    view = LitTiles


class CompiledView(RememberedTiles):
    """Light, noise, tint and sleep in one compiled loop over the pixels."""

    @functools.cached_property
    def draw(self):
        return build(DRAWING, name="crafter_drawing").draw

    def lit(self, numbers, player):
        daylight, shape = self._world.daylight, tuple(self._grid * self._unit)
        amount, noise = 0.0, np.zeros((1, 1))
        if daylight < 0.5:
            amount, noise = 2 * (0.5 - daylight), self._world.random.uniform(32, 127, shape)
        canvas = np.empty((*shape, 3), np.uint8)
        self.draw(numbers, self.atlas, daylight, amount, self._vignette((*shape, 3), 0.5), noise,
                  player.sleeping, canvas)
        return canvas

    def begin(self, unit):
        super().begin(unit)
        self._unit = np.array(unit)


class Compiled(Tiles):
    """The pixels' loop is compiled."""

    view = CompiledView


class Near(Compiled):
    """The rules look at creatures nearby only, and count steps without NumPy; `info` has a gathered map."""

    def __init__(self, *arguments, **settings):
        super().__init__(*arguments, **settings)
        self._view = tuple(self._view.tolist())             # the step asks for its maximum again and again
        self._sem_view.__class__ = GatheredMap
        self._sem_view._obj_ids[NearPlayer] = self._sem_view._obj_ids[objects.Player]
        self._world.__class__ = NearWorld

    def step(self, action):
        self._player.__class__ = NearPlayer
        self._world.player = self._player
        return super().step(action)


class NearPlayer(objects.Player):
    """Counts the steps to a creature in whole numbers: an array of two costs more than the sum."""

    def distance(self, target):
        (x, y), (to_x, to_y) = self.pos.tolist(), getattr(target, "pos", target).tolist()
        return abs(to_x - x) + abs(to_y - y)


class NearWorld(OrderedWorld):
    """`objects` without those that the package's step would leave alone."""

    @property
    def objects(self):
        (x, y), far = self.player.pos, NEAR + 1         # the player acts first, and may come a step closer
        seen = self._obj_map[max(x - far, 0):x + far, max(y - far, 0):y + far]
        return [self._objects[index] for index in np.sort(seen[seen > 0]).tolist()]


class GatheredMap(engine.SemanticView):
    """The number of each object's kind, gathered by the map of objects."""

    def __call__(self):
        kinds = np.array([self._obj_ids.get(type(thing), 0) for thing in self._world._objects], np.uint8)
        things = self._world._obj_map
        return np.where(things > 0, kinds[things], self._world._mat_map)


class MadeWorld(Near):
    """Noise, materials and the places of the first animals are compiled; the draws are the package's."""

    @functools.cached_property
    def materials(self):
        return build(WORLD, name="crafter_world")

    def reset(self):
        before = worldgen.generate_world
        worldgen.generate_world = self.generate
        try:
            return super().reset()
        finally:
            worldgen.generate_world = before

    def generate(self, world, player):
        """The package's `generate_world`. A uniform draw is a draw of `random_sample`: as many as could be
        needed are taken at once, and the stream is set back to where the last one was used.
        """
        seed, state = world.random.randint(0, 2 ** 31 - 1), world.random.get_state()
        draws = world.random.random_sample(8 * world._mat_map.size)
        used, animals = self.materials.make_world(seed, draws, world._mat_map)
        world.random.set_state(state)
        world.random.random_sample(used)
        for kind, x, y in animals:
            world.add((objects.Cow, objects.Zombie, objects.Skeleton)[kind](
                world, (x, y), *[player] * (kind > 0)))


class Native:
    """`envs/crafter.pyx` with the package's face: one environment, pixels."""

    def __init__(self, seed=0, length=10000):
        self.seed = seed
        self.env = envs.make("crafter", 1, seed=seed, view="pixels", length=length, report_interval=0)
        self.action = np.zeros(1, np.int32)

    def reset(self):
        """The first picture of the next episode, (64, 64, 3) uint8."""
        return self.env.reset()[0][0]

    def step(self, action):
        """Picture, reward, whether the episode is over, info. At an end the next episode has begun."""
        self.action[0] = action
        observations, rewards, terminals, truncations, _ = self.env.step(self.action)
        done = bool(terminals[0] | truncations[0])
        picture = self.env.final_observations[0] if done else observations[0]
        return picture, float(rewards[0]), done, {}


RUNGS = {"package": Env, "in order": Ordered, "inventory": Inventory, "ground": Ground, "tiles": Tiles,
         "light": Light, "compiled": Compiled, "near": Near, "world": MadeWorld, "native": Native}
PARTS = {"in order": (InOrder, OrderedWorld, Ordered), "inventory": (RememberedItems, Inventory),
         "ground": (GatheredGround, Ground), "tiles": (RememberedTiles, Tiles), "light": (LitTiles, Light),
         "compiled": (CompiledView, Compiled), "near": (NearWorld, GatheredMap, Near),
         "world": (MadeWorld,), "native": (Native,)}
