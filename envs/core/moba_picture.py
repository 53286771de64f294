"""The picture of a game of `moba`: what `render` returns."""

import functools

import numpy as np

from envs.core import battlefield, drawing

SCALE = 6                                               # pixels a cell of the map
PANEL = 220                                             # pixels of the column at its right
NAMES = ("support", "assassin", "burst", "tank", "carry")
HERO, CREEP, NEUTRAL, TOWER, ANCIENT = range(5)
TEAM = (drawing.INK["agent"], drawing.INK["rival"], drawing.INK["goal"])
DARK = tuple(tuple(part // 3 for part in colour) for colour in TEAM)
MANA, LOW = (120, 120, 220), drawing.INK["danger"]
GROUNDS = {battlefield.GROUND: (34, 48, 36), battlefield.TREE: (20, 30, 24), battlefield.LANE: (66, 60, 50),
           battlefield.RIVER: (34, 54, 76), battlefield.BASE: (58, 60, 68)}
CODES = ((34, 48, 36), (20, 30, 24), TEAM[0], TEAM[0], TEAM[0], TEAM[0], TEAM[2], TEAM[1], TEAM[1], TEAM[1],
         TEAM[1])
SIZES = (0, 0, 9, 7, 7, 4, 4, 4, 7, 7, 9)


@functools.cache
def ground() -> np.ndarray:
    """The empty map with the panel beside it."""
    colours = [GROUNDS[kind] for kind in range(5)]
    image = drawing.canvas(battlefield.SIZE * SCALE, battlefield.SIZE * SCALE + PANEL)
    image[:, :-PANEL] = drawing.tiles(battlefield.battlefield().terrain, colours, SCALE, gap=0)
    return image


def bar(image, top, left, width, share, colour, height=3):
    """A bar of which `share` (0 to 1) is filled."""
    drawing.rectangle(image, top, left, height, width, (10, 12, 16))
    drawing.rectangle(image, top, left, height, width * min(1.0, max(0.0, share)), colour)


def draw(entities, heroes, situation, observation) -> np.ndarray:
    """The RGB array (768, 988, 3) of the results of `entities`, `heroes`, `situation`, and an observation."""
    image = ground().copy()
    alive = entities[entities["alive"]]
    for one in alive[alive["target"] >= 0]:
        other = entities[one["target"]]
        if other["alive"] and np.hypot(other["y"] - one["y"], other["x"] - one["x"]) <= one["reach"]:
            start, end = (one["y"] * SCALE, one["x"] * SCALE), (other["y"] * SCALE, other["x"] * SCALE)
            drawing.line(image, *start, *end, DARK[one["side"]], 2)
    for one in alive[np.argsort(alive["kind"] == HERO, kind="stable")]:             # heroes on top
        figure(image, one)
    if entities["alive"][0]:
        frame(image, int(entities["y"][0]) - 5, int(entities["x"][0]) - 5)
    window(image, observation)
    for n in range(10):
        table_row(image, 250 + 44 * n + 12 * (n // 5), n, entities[n // 5 * 103 + n % 5], heroes[n])
    scores(image, entities, situation)
    return image


def figure(image, one):
    """An entity on the map: heroes are large discs with a white dot, towers squares, others small discs."""
    row, column, colour = one["y"] * SCALE, one["x"] * SCALE, TEAM[one["side"]]
    share = one["health"] / one["max_health"]
    if one["kind"] in (TOWER, ANCIENT):
        half = 7 if one["kind"] == TOWER else 11
        dark, inner = DARK[one["side"]], 2 * half - 6
        frame = colour if one["exposed"] else dark
        drawing.rectangle(image, row - half, column - half, 2 * half, 2 * half, frame)
        drawing.rectangle(image, row - half + 3, column - half + 3, inner, inner, dark)
        bar(image, row - half - 5, column - half, 2 * half, share, colour)
    elif one["kind"] == HERO:
        drawing.disc(image, row, column, 6, colour)
        drawing.disc(image, row, column, 3, drawing.INK["food"] if one["stunned"] else drawing.INK["text"])
        bar(image, row - 11, column - 8, 16, share, colour if share > 0.3 else LOW)
    else:
        drawing.disc(image, row, column, 3, colour)
        if share < 1:
            bar(image, row - 6, column - 4, 8, share, colour, 2)


def frame(image, row, column):
    """The edge of a window of 11 x 11 cells."""
    top, left, side, light = row * SCALE, column * SCALE, 11 * SCALE, drawing.INK["muted"]
    limit = battlefield.SIZE * SCALE
    for edge in ((top, left, 1, side), (top + side, left, 1, side),
                 (top, left, side, 1), (top, left + side, side, 1)):
        drawing.rectangle(image[:, :limit], *edge, light)


def window(image, observation):
    """The view of the first agent, 20 pixels a cell: towers as squares, others as discs, health as a bar."""
    left = battlefield.SIZE * SCALE
    for row, line in enumerate(observation[:484].reshape(11, 11, 4)):
        for column, (code, health, mana, _) in enumerate(line):
            top, side = 20 * row, left + 20 * column
            drawing.rectangle(image, top, side, 19, 19, CODES[int(code == 1)])           # a tree, or ground
            if code > 1:
                shape = drawing.rectangle if code in (2, 3, 9, 10) else drawing.disc
                size = SIZES[code]
                at = top + 9, side + 9, size
                if shape is drawing.rectangle:
                    at = top + 9 - size, side + 9 - size, 2 * size, 2 * size
                shape(image, *at, CODES[code])
                bar(image, top + 1, side + 2, 16, health / 255, drawing.INK["text"], 2)
                if mana:
                    bar(image, top + 17, side + 2, 16, mana / 255, MANA, 2)


def table_row(image, top, n, one, hero):
    """A hero's level, health, mana, its three abilities (bright: ready), kills and deaths as ticks."""
    left, colour = battlefield.SIZE * SCALE + 8, TEAM[n // 5] if one["alive"] else DARK[n // 5]
    drawing.disc(image, top + 12, left + 10, 9, colour)
    number(image, top + 12, left + 10, n % 5 + 1, drawing.INK["ground"])
    number(image, top + 12, left + 38, one["level"], drawing.INK["text"])
    bar(image, top + 3, left + 60, 90, one["health"] / one["max_health"], colour, 6)
    bar(image, top + 12, left + 60, 90, hero["mana"] / hero["max_mana"], MANA, 5)
    for ability in range(3):
        ready = 1 - min(1.0, hero["ready_in"][ability] / 60)
        ink = drawing.INK["food" if ready == 1 else "muted"]
        bar(image, top + 20, left + 60 + 32 * ability, 26, ready, ink, 4)
    number(image, top + 8, left + 178, hero["kills"], drawing.INK["goal"])
    number(image, top + 22, left + 178, hero["deaths"], drawing.INK["danger"])


def number(image, row, column, value, colour):
    """A whole number centred on (row, column)."""
    digits = str(int(value))
    for n, digit in enumerate(digits):
        drawing.glyph(image, row, column + 8 * (n - (len(digits) - 1) / 2), digit, colour)


def scores(image, entities, situation):
    """The bottom of the panel: both ancients' health, towers lost, the tick."""
    left, top = battlefield.SIZE * SCALE + 8, 716
    for side in (0, 1):
        ancient = entities[side * 103 + 102]
        bar(image, top + 12 * side, left, 140, ancient["health"] / ancient["max_health"], TEAM[side], 8)
        number(image, top + 12 * side + 4, left + 160, situation["fallen"][1 - side], TEAM[side])
    number(image, top + 36, left + 30, situation["tick"], drawing.INK["text"])
