"""Layouts of `grid`: MiniGrid's encoding to and from cells of one byte, and a picture of a level.

A cell is  kind | colour << 4 | OPAQUE  (`envs/grid.pxd`); MiniGrid has three numbers for it: type, colour,
           state.
"""

from typing import NamedTuple

import numpy as np

from envs.core import drawing

EMPTY, WALL, FLOOR, DOOR, KEY, BALL, BOX, GOAL, LAVA = range(1, 10)
GREY, OPAQUE = 5, 128
DOORS = np.array([DOOR, 10, 11])                    # kinds of an open, closed and locked door
ENTERED = (EMPTY, FLOOR, DOOR, GOAL, LAVA)          # kinds on which the agent may stand
MOST = (LAVA, GREY, 2)
"""The largest type, colour and state in an encoded layout or view."""

AHEAD = ((1, 0), (0, 1), (-1, 0), (0, -1))
"""Direction (0 right, 1 down, 2 left, 3 up) -> (x, y) of one step; MiniGrid's y grows downwards."""

COLOURS = np.array([(204, 71, 71), (0, 158, 115), (86, 140, 233), (170, 110, 220), (240, 228, 66),
                    drawing.INK["wall"]], np.uint8)
"""Red, green, blue, purple, yellow, grey, in MiniGrid's order."""


class Layout(NamedTuple):
    """A state of `grid` in MiniGrid's terms, as `get_layout` gives it and `set_layout` takes it."""

    grid: np.ndarray                    # (width, height, 3) uint8 by [x, y]: type, colour, state
    agent_position: tuple[int, int]     # (x, y)
    direction: int                      # 0 right, 1 down, 2 left, 3 up
    carrying: tuple[int, int, int] | None
    max_steps: int


def pack(grid) -> np.ndarray:
    """Cells (width, height) uint8 of an encoded grid (width, height, 3). Raises ValueError for a bad grid."""
    grid = np.asarray(grid)
    if grid.ndim != 3 or grid.shape[2] != 3:
        raise ValueError(f"grid: shape {grid.shape} given, expected (width, height, 3) of (type, colour, "
                         "state)")
    kind, colour, state = np.moveaxis(grid.astype(np.int64), 2, 0)
    known = (kind > 0) & (kind <= LAVA) & (colour >= 0) & (colour <= GREY)
    known &= (state >= 0) & (state <= 2 * (kind == DOOR))
    if not known.all():
        raise ValueError(f"grid: (type, colour, state) {tuple(grid[~known][0].tolist())} given, expected a "
                         f"type from 1 to {LAVA}, a colour from 0 to {GREY}, and state 0 unless it is a door")
    kind = np.where(kind == DOOR, DOORS[state], kind)
    opaque = (kind == WALL) | (kind >= DOORS[1])
    return (kind | (colour << 4) * (kind > EMPTY) | OPAQUE * opaque).astype(np.uint8)


def pack_layout(layout: Layout, size: int) -> tuple[np.ndarray, int]:
    """Cells (size, size) uint8 of a layout, filled up with walls, and the cell carried (EMPTY for nothing).

    Raises ValueError where the layout does not fit, has a way out, or puts the agent where it cannot be.
    """
    given, (x, y) = pack(layout.grid), layout.agent_position
    width, height = given.shape
    edge = np.concatenate([given[0], given[-1], given[:, 0], given[:, -1]])
    if max(width, height) > size or min(width, height) < 3 or (edge & 15 != WALL).any():
        raise ValueError(f"grid: {width} x {height} cells given, expected 3 to {size} a side with walls all "
                         "round")
    if not (0 <= x < width and 0 <= y < height and given[x, y] & 15 in ENTERED):
        raise ValueError(f"agent_position={x, y} given, expected a cell of the grid on which the agent may "
                         "stand")
    if layout.direction not in range(4) or layout.max_steps < 1:
        raise ValueError(f"direction={layout.direction}, max_steps={layout.max_steps} given, expected 0 to "
                         "3, and at least 1 step")
    carried = EMPTY if layout.carrying is None else int(pack([[layout.carrying]])[0, 0])
    if carried & 15 not in (EMPTY, KEY, BALL, BOX):
        raise ValueError(f"carrying={layout.carrying} given, expected None or (type, colour, 0) of a key, "
                         "ball or box")
    cells = np.full((size, size), WALL | GREY << 4 | OPAQUE, np.uint8)
    cells[:width, :height] = given
    return cells, carried


def lit_cells(layout: Layout, seen: int) -> np.ndarray:
    """(width, height) bool by [x, y]: the cells that are set in the bitboard `seen` of the agent's view."""
    cells = np.zeros(layout.grid.shape[:2], bool)
    (x, y), (dx, dy) = layout.agent_position, AHEAD[layout.direction]
    for row in range(7):
        for column in range(7):
            forward, right = 6 - row, column - 3
            u, v = x + dx * forward - dy * right, y + dy * forward + dx * right
            if seen >> (8 * row + column) & 1 and 0 <= u < len(cells) and 0 <= v < len(cells[0]):
                cells[u, v] = True
    return cells


def unpack(cells) -> np.ndarray:
    """The encoded grid (..., 3) uint8 of cells (...)."""
    cells = np.asarray(cells, np.uint8)
    kind, state = cells & 15, np.zeros_like(cells)
    for value in (1, 2):
        state[kind == DOORS[value]] = value
    return np.stack([np.where(state > 0, DOOR, kind), cells >> 4 & 7, state], -1).astype(np.uint8)


def draw(layout: Layout, visible: np.ndarray) -> np.ndarray:
    """RGB picture of a layout: walls, doors, objects, the agent as an arrowhead; `visible` cells are lit."""
    width, height = visible.shape
    scale = max(10, min(32, 600 // max(width, height)))
    image = drawing.canvas(height * scale, width * scale)
    for x in range(width):
        for y in range(height):
            patch = image[y * scale:(y + 1) * scale, x * scale:(x + 1) * scale]
            draw_cell(patch, scale, *(int(v) for v in layout.grid[x, y]))
            patch[-1] = patch[:, -1] = drawing.INK["grid"]
            if visible[x, y]:
                patch[...] = patch + (255 - patch.astype(int)) // 4
    x, y = layout.agent_position
    patch = image[y * scale:(y + 1) * scale, x * scale:(x + 1) * scale]
    dx, dy = AHEAD[layout.direction]
    rows, columns = (axis / (scale - 1) - 0.5 for axis in np.ogrid[:scale, :scale])
    forward, sideways = columns * dx + rows * dy, columns * dy - rows * dx
    patch[(forward > -0.35) & (np.abs(sideways) < 0.4 * (0.42 - forward))] = drawing.INK["agent"]
    if layout.carrying is not None:                 # small, in the corner of its cell
        corner = patch[:scale // 2, :scale // 2]
        corner[...] = drawing.INK["ground"]
        draw_cell(corner, scale // 2, *layout.carrying)
    return image


def draw_cell(patch: np.ndarray, scale: int, kind: int, colour: int, state: int) -> None:
    """Draw one cell into `patch`, `scale` pixels a side."""
    ink, unit = COLOURS[colour], scale / 16
    if kind in (WALL, GOAL):
        patch[...] = drawing.INK["wall"] if kind == WALL and colour == GREY else ink
    elif kind == LAVA:
        patch[...] = drawing.INK["danger"]
        for top in (4, 9):
            drawing.line(patch, (top + 2) * unit, 2 * unit, top * unit, 8 * unit, drawing.INK["ground"])
            drawing.line(patch, top * unit, 8 * unit, (top + 2) * unit, 14 * unit, drawing.INK["ground"])
    elif kind == FLOOR:
        patch[...] = ink // 3
    elif kind == DOOR and state == 0:
        drawing.rectangle(patch, 0, 13 * unit, scale, 3 * unit, ink)
    elif kind == DOOR:
        patch[...] = ink
        inside = ink // 2 if state == 2 else drawing.INK["ground"]
        drawing.rectangle(patch, 2 * unit, 2 * unit, 12 * unit, 12 * unit, inside)
        drawing.rectangle(patch, 7 * unit, 10 * unit, 2 * unit, 3 * unit, ink)
    elif kind == KEY:
        drawing.disc(patch, 5 * unit, 8 * unit, 3.2 * unit, ink)
        drawing.rectangle(patch, 7 * unit, 7 * unit, 7 * unit, 2 * unit, ink)
        drawing.rectangle(patch, 11 * unit, 9 * unit, 2 * unit, 2 * unit, ink)
        drawing.disc(patch, 5 * unit, 8 * unit, 1.2 * unit, drawing.INK["ground"])
    elif kind == BALL:
        drawing.disc(patch, 8 * unit, 8 * unit, 5 * unit, ink)
    elif kind == BOX:
        drawing.rectangle(patch, 3 * unit, 3 * unit, 10 * unit, 10 * unit, ink)
        drawing.rectangle(patch, 5 * unit, 5 * unit, 6 * unit, 6 * unit, drawing.INK["ground"])
        drawing.rectangle(patch, 7 * unit, 3 * unit, 2 * unit, 10 * unit, ink)
