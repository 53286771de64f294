"""Rectangles, discs and tiles in an RGB array, for `render`, without a window or a GPU."""

import numpy as np

INK = {
    "ground": (24, 28, 36),
    "grid": (36, 42, 54),
    "wall": (92, 100, 116),
    "agent": (86, 180, 233),
    "rival": (213, 94, 0),
    "goal": (0, 158, 115),
    "food": (240, 228, 66),
    "danger": (204, 71, 71),
    "text": (232, 236, 241),
    "muted": (140, 149, 163),
}
"""Colours by meaning, after Okabe and Ito's palette (told apart by colour-blind readers too)."""


def canvas(height: int, width: int, colour=INK["ground"]) -> np.ndarray:
    """An RGB image (height, width, 3) uint8 of one colour."""
    image = np.empty((height, width, 3), np.uint8)
    image[:] = colour
    return image


def tiles(cells: np.ndarray, colours, scale: int = 16, gap: int = 1) -> np.ndarray:
    """A grid of whole numbers (rows, columns) as squares of `scale` pixels; n is drawn in `colours[n]`."""
    palette = np.asarray(colours, np.uint8)
    image = palette[cells].repeat(scale, 0).repeat(scale, 1)
    if gap and scale > 3:
        image[scale - 1::scale] = image[:, scale - 1::scale] = INK["grid"]
    return image


def rectangle(image: np.ndarray, top: float, left: float, height: float, width: float, colour) -> None:
    """Fill a rectangle, in pixels; what lies outside the image is cut."""
    top, left, bottom, right = (max(0, int(round(v))) for v in (top, left, top + height, left + width))
    image[top:bottom, left:right] = colour


def disc(image: np.ndarray, row: float, column: float, radius: float, colour) -> None:
    """Fill a disc around (row, column), in pixels; what lies outside the image is cut."""
    top, left = max(0, int(row - radius)), max(0, int(column - radius))
    bottom, right = int(row + radius) + 2, int(column + radius) + 2
    patch = image[top:bottom, left:right]
    rows, columns = np.ogrid[top:top + patch.shape[0], left:left + patch.shape[1]]
    patch[(rows - row) ** 2 + (columns - column) ** 2 <= radius**2] = colour


def line(image: np.ndarray, row0: float, column0: float, row1: float, column1: float, colour,
         thickness: float = 1) -> None:
    """Draw a straight line between two points, in pixels."""
    steps = max(2, int(2 * max(abs(row1 - row0), abs(column1 - column0))))
    points = zip(np.linspace(row0, row1, steps), np.linspace(column0, column1, steps), strict=True)
    for row, column in points:
        if thickness <= 1:
            if 0 <= row < image.shape[0] and 0 <= column < image.shape[1]:
                image[int(row), int(column)] = colour
        else:
            disc(image, row, column, thickness / 2, colour)


_GLYPHS = {
    "0": "111 101 101 101 111",
    "1": "010 110 010 010 111",
    "2": "111 001 111 100 111",
    "3": "111 001 111 001 111",
    "4": "101 101 111 001 001",
    "5": "111 100 111 001 111",
    "6": "111 100 111 101 111",
    "7": "111 001 010 010 010",
    "8": "111 101 111 101 111",
    "9": "111 101 111 001 111",
    "A": "010 101 111 101 101",
}
"""Digits on 3 x 5 cells, row by row."""


def glyph(image: np.ndarray, row: float, column: float, character: str, colour, scale: int = 2) -> None:
    """Write one digit (or A) centred on (row, column), `scale` pixels a cell."""
    rows = _GLYPHS[character].split()
    for r, cells in enumerate(rows):
        for c, cell in enumerate(cells):
            if cell == "1":
                rectangle(image, row + (r - 2.5) * scale, column + (c - 1.5) * scale, scale, scale, colour)
