"""The picture of a world of `mmo`: what `render` returns."""

import numpy as np

from envs.core import drawing

SIDE = 768                                      # pixels of the whole world
CELL = 14                                       # pixels a cell of the window
PANEL = 15 * CELL
GROUNDS = ((44, 66, 40), (112, 102, 70), (96, 90, 104), (30, 50, 34), (82, 80, 78), (18, 36, 24),
           (54, 50, 52), (34, 62, 96), (10, 12, 16))
ITEMS = (None, (126, 168, 72), (190, 220, 90), (36, 96, 52), (24, 130, 70), (168, 132, 92), (226, 170, 80),
         (110, 160, 196), (160, 210, 236), drawing.INK["food"])
TRADES = (drawing.INK["goal"], (204, 121, 167), drawing.INK["rival"], drawing.INK["food"],
          drawing.INK["agent"])                 # the last for those that learn, whose trade is -1
OCCUPANTS = (None, (170, 176, 186), drawing.INK["agent"], (120, 150, 240), (230, 130, 60),
             drawing.INK["danger"])
BODY = (drawing.INK["danger"], (200, 150, 60), (70, 130, 220))


def draw(tiles, people, situation, observation, seasons=True) -> np.ndarray:
    """The RGB array (768, 978, 3) of `tiles_of`, `people`, `situation` and the first agent's observation."""
    image = drawing.canvas(SIDE, SIDE + PANEL)
    image[:, :SIDE] = world(tiles, people, situation)
    window(image[:, SIDE:], observation)
    panel(image[:, SIDE:], people[0], situation)
    return image


def world(tiles, people, situation) -> np.ndarray:
    """The whole world (768, 768, 3): ground and items, inhabitants as dots by trade, the fertile half bright,
    the first agent's window framed."""
    size = len(tiles)
    ground = np.array(GROUNDS, np.float32)[tiles[..., 0]]
    for item, colour in enumerate(ITEMS):
        if colour is not None:
            here = tiles[..., 2] == item
            ground[here] = 0.5 * ground[here] + 0.5 * np.array(colour, np.float32)
    barren = 2 * ((np.arange(size) - situation["fertile"]) % size) >= size
    ground[barren] *= 0.72
    at = np.arange(SIDE) * size // SIDE
    image = ground.astype(np.uint8)[at][:, at]
    scale, radius = SIDE / size, max(1.0, SIDE / size * 0.6)
    for n in range(len(people) - 1, -1, -1):
        one = people[n]
        row, column = (one["row"] + 0.5) * scale, (one["column"] + 0.5) * scale
        drawing.disc(image, row, column, radius, TRADES[one["trade"]])
    top, left = (people["row"][0] - 5) * scale, (people["column"][0] - 7) * scale
    height, width = 11 * scale, 15 * scale
    for edge in ((top, left, 1, width), (top + height, left, 1, width),
                 (top, left, height, 1), (top, left + width, height, 1)):
        drawing.rectangle(image, *edge, drawing.INK["text"])
    return image


def window(image, observation):
    """What the first agent sees, 14 pixels a cell: items as squares, inhabitants as discs."""
    for row, line in enumerate(observation[:495].reshape(11, 15, 3)):
        for column, (terrain, occupant, item) in enumerate(line):
            top, left = row * CELL, column * CELL
            drawing.rectangle(image, top, left, CELL - 1, CELL - 1, GROUNDS[terrain])
            if item:
                drawing.rectangle(image, top + 4, left + 4, 5, 5, ITEMS[item])
            if occupant:
                drawing.disc(image, top + 6, left + 6, 4, OCCUPANTS[occupant])
    drawing.disc(image, 5 * CELL + 6, 7 * CELL + 6, 2, drawing.INK["text"])


def panel(image, one, situation):
    """Below the window: health, food, water as bars; goods, levels, gear; gold, age and tick as numbers."""
    top = 11 * CELL + 12
    for n, (name, colour) in enumerate(zip(("health", "food", "water"), BODY, strict=True)):
        bar(image, top + 14 * n, one[name] / 127, colour)
    for values, colour, least, most, first in ((one["goods"], drawing.INK["food"], 0, 15, top + 54),
                                               (one["levels"], drawing.INK["goal"], 1, 10, top + 184)):
        for n, value in enumerate(values):
            bar(image, first + 13 * n, value / most, colour, left=30)
            ink = "text" if value > least else "muted"
            number(image, first + 13 * n + 4, 14, value, drawing.INK[ink])
    first = top + 300
    for n, name in enumerate(("tool", "weapon", "armour")):
        bar(image, first + 13 * n, one[name] / 3, drawing.INK["rival"])
    facts = {"food": one["gold"], "text": one["age"], "danger": one["kills"], "muted": situation["tick"]}
    for n, (colour, value) in enumerate(facts.items()):
        number(image, first + 60 + 18 * n, 40, value, drawing.INK[colour])


def bar(image, top, share, colour, left=8):
    """A bar of which `share` (0 to 1) is filled."""
    width = PANEL - left - 12
    drawing.rectangle(image, top, left, 8, width, (10, 12, 16))
    drawing.rectangle(image, top, left, 8, width * min(1.0, max(0.0, share)), colour)


def number(image, row, column, value, colour):
    """A whole number centred on (row, column)."""
    digits = str(int(value))
    for n, digit in enumerate(digits):
        drawing.glyph(image, row, column + 8 * (n - (len(digits) - 1) / 2), digit, colour)
