"""The tiles of `crafter` from the package's textures, and a picture drawn without them.

The textures are files of the `crafter` package, read where it is installed and not kept here. Each tile is
blended once, by the operations and in the precision of the package's `engine.py`; the simulator copies it
from then on.
"""

import importlib.util
from pathlib import Path

import numpy as np

from envs.core import drawing

MATERIALS = ("outside", "water", "grass", "stone", "path", "sand", "tree", "lava", "coal", "iron", "diamond",
             "table", "furnace")
LOOKS = ("nothing", "player-left", "player-right", "player-up", "player-down", "player-sleep", "cow",
         "zombie", "skeleton", "arrow-left", "arrow-right", "arrow-up", "arrow-down", "plant", "plant-ripe")
ITEMS = ("health", "food", "drink", "energy", "sapling", "wood", "stone", "coal", "iron", "diamond",
         "wood_pickaxe", "stone_pickaxe", "iron_pickaxe", "wood_sword", "stone_sword", "iron_sword")
UNIT = 7                # pixels along a tile
WIDTH, HEIGHT = 63, 49  # of the view


def textures() -> Path:
    """The folder of the installed package's textures. Raises ImportError where it is not installed."""
    found = importlib.util.find_spec("crafter")
    if found is None:
        raise ImportError("view='pixels' given, expected the crafter package, whose textures it draws with: "
                          "pip install crafter, or take view='symbolic'")
    return Path(found.origin).parent / "assets"


def texture(folder: Path, name: str, size: int) -> np.ndarray:
    """(size, size, 3 or 4) uint8 by [y, x]: the texture at another size by Pillow's nearest pixels."""
    from PIL import Image  # the package needs it, the symbolic view does not

    return np.asarray(Image.open(folder / f"{name}.png").resize((size, size), Image.Resampling.NEAREST))


def blend(ground: np.ndarray, above: np.ndarray) -> np.ndarray:
    """`above` over `ground` by its alpha, in single precision."""
    if above.shape[-1] < 4:
        return above
    alpha, colour = above[..., 3:].astype(np.float32) / 255, above[..., :3].astype(np.float32) / 255
    return (255 * (alpha * colour + (1 - alpha) * (ground.astype(np.float32) / 255))).astype(np.uint8)


def tiles() -> np.ndarray:
    """(13 * 15, 3, 7, 7) uint8 by [material * 15 + look, colour, y, x]."""
    folder = textures()
    outside = np.full((UNIT, UNIT, 3), 127, np.uint8)
    grounds = [outside, *(texture(folder, name, UNIT)[..., :3] for name in MATERIALS[1:])]
    things = [texture(folder, name, UNIT) for name in LOOKS[1:]]
    found = [[ground, *(blend(ground, thing) for thing in things)] for ground in grounds]
    return np.ascontiguousarray(np.array(found).reshape(-1, UNIT, UNIT, 3).transpose(0, 3, 1, 2))


def items() -> np.ndarray:
    """(16, 10, 7, 7, 3) uint8 by [item, number, y, x, colour]; number 0 is black."""
    folder, found = textures(), np.zeros((len(ITEMS), 10, UNIT, UNIT, 3), np.uint8)
    for item, name in enumerate(ITEMS):
        for number in range(1, 10):
            cell = found[item, number]
            cell[:5, :5] = blend(cell[:5, :5], texture(folder, name, 5))
            cell[2:6, 2:6] = blend(cell[2:6, 2:6], texture(folder, str(number), 4))
    return found


def edges() -> np.ndarray:
    """(49, 63) float64: how much the night's noise shows at each pixel of the view."""
    xs, ys = np.meshgrid(np.linspace(-1, 1, WIDTH), np.linspace(-1, 1, HEIGHT))
    return 1 - np.exp(-0.5 * (xs**2 + ys**2) / (0.5**2))


def daylight(length: int) -> np.ndarray:
    """(length + 1,) float64: the light at each step, dark around every 300th. The third power is of single
    numbers, as in the package, because NumPy rounds those of an array in another way."""
    waves = np.abs(np.cos(np.pi * ((np.arange(length + 1) / 300) % 1 + 0.3)))
    return 1 - np.array([wave**3 for wave in waves.tolist()])


def enlarged(picture: np.ndarray) -> np.ndarray:
    """A picture (64, 64, 3) of the package, each pixel as 6 x 6."""
    return picture.repeat(6, 0).repeat(6, 1)


GROUND_INK = ((0, 0, 0), (62, 110, 196), (86, 142, 70), (120, 120, 124), (176, 160, 130), (222, 208, 150),
              (36, 92, 44), (226, 100, 28), (52, 52, 56), (202, 160, 130), (240, 250, 255),
              (142, 98, 58), (88, 72, 72))
THING_INK = ("ground", *["agent"] * 4, "muted", "text", "goal", "wall", *["danger"] * 4, "food", "danger")
"""By look: a plant is a small square of yellow and a ripe one of red, arrows are thin."""


def drawn(symbols: np.ndarray, scale: int = 40) -> np.ndarray:
    """RGB picture of the symbolic view: cells and what is on them, bars for ten items, a square a tool."""
    grounds, looks = symbols[:63].reshape(7, 9), symbols[63:126].reshape(7, 9)
    image = drawing.canvas(9 * scale, 9 * scale)
    image[:7 * scale] = drawing.tiles(grounds, GROUND_INK, scale)
    for (row, column), look in np.ndenumerate(looks):
        top, left, ink = row * scale, column * scale, drawing.INK[THING_INK[look]]
        if 9 <= look <= 12:
            long, wide = scale * 0.7, scale * 0.12
            height, width = (wide, long) if look <= 10 else (long, wide)
            top, left = top + (scale - height) / 2, left + (scale - width) / 2
            drawing.rectangle(image, top, left, height, width, ink)
        elif look >= 13:
            drawing.rectangle(image, top + scale * 0.35, left + scale * 0.35, scale * 0.3, scale * 0.3, ink)
        elif look:
            drawing.disc(image, top + scale / 2, left + scale / 2, scale * 0.36, ink)
        if 1 <= look <= 4:                                      # which way the player looks
            dx, dy = ((-1, 0), (1, 0), (0, -1), (0, 1))[look - 1]
            row, column = top + scale * (0.5 + 0.22 * dy), left + scale * (0.5 + 0.22 * dx)
            drawing.disc(image, row, column, scale * 0.1, drawing.INK["ground"])
    image[:7 * scale] = image[:7 * scale] * (0.35 + 0.065 * symbols[142])
    inks = [drawing.INK[name] for name in ("danger", "food", "rival", "goal")]
    inks += [GROUND_INK[material] for material in (2, 11, 3, 8, 9, 10)]
    for item, (amount, ink) in enumerate(zip(symbols[126:136], inks, strict=True)):
        height = amount / 9 * scale * 0.9
        drawing.rectangle(image, 8 * scale - height, (item + 0.15) * scale * 0.9, height, scale * 0.6, ink)
    for tool, count in enumerate(symbols[136:142]):
        ink = [GROUND_INK[material] for material in (11, 3, 9)][tool % 3] if count else drawing.INK["grid"]
        drawing.rectangle(image, 8.25 * scale, (tool + 0.25) * scale * 1.4, scale * 0.5, scale * 0.7, ink)
    return image
