"""Drawn diagrams in one style: a dozen shapes that write an SVG of a few kilobytes, for chapters and slides.

    from draw import Drawing

    def the_loop() -> Drawing:
        d = Drawing(640, 220, "The agent acts and is rewarded, once a step.")  # alt text
        agent = d.box(40, 70, 150, 60, "agent", "policy", colour="blue")
        world = d.box(450, 70, 150, 60, "environment", "simulator", colour="green")
        d.arrow(agent.right(0.3), world.left(0.3), "action")
        d.arrow(world.left(0.7), agent.right(0.7), "observation, reward", below=True)
        return d

    DIAGRAMS = {"03_loop": the_loop}

Such a file is tools/diagrams/level03.py; `make diagrams` writes chapters/diagrams/03_loop.svg. A chapter
shows it in a Markdown cell, ![alt text](diagrams/03_loop.svg), with the drawing's own alt text. Units are
pixels, x to the right, y downwards. The background is white and the ink dark, so that a picture reads the
same in a dark notebook and on paper. The colours are those of `puffer_min.course.plots` (safe for colour-
blind readers), each with one meaning: blue what learns or decides, green what simulates, orange data in
memory, purple time and waiting, red what is wrong, grey what is fixed. Text wider than its box, a shape
outside the picture and a missing alt text are errors.
"""

from dataclasses import dataclass
from html import escape
from typing import NamedTuple

INK, SOFT = "#222222", "#5A6270"
COLOURS = {
    "blue": ("#DCEBF7", "#0072B2"),
    "green": ("#DDF2EB", "#009E73"),
    "orange": ("#FBF0D9", "#B87900"),
    "purple": ("#F6E6EF", "#A8497D"),
    "red": ("#FAE3D6", "#C14900"),
    "grey": ("#EEF0F3", "#5A6270"),
    "white": ("#FFFFFF", "#5A6270"),
}
FONT = "Helvetica, Arial, sans-serif"
MONO = "Menlo, Consolas, monospace"
WIDTH = {FONT: 0.59, MONO: 0.61}  # of an average character, as a share of the size of the type


class Point(NamedTuple):
    x: float
    y: float


@dataclass(frozen=True)
class Box:
    """A rectangle that has been drawn. Arrows touch its sides; `at` is the share from left or top."""

    x: float
    y: float
    width: float
    height: float

    def left(self, at: float = 0.5) -> Point:
        return Point(self.x, self.y + at * self.height)

    def right(self, at: float = 0.5) -> Point:
        return Point(self.x + self.width, self.y + at * self.height)

    def top(self, at: float = 0.5) -> Point:
        return Point(self.x + at * self.width, self.y)

    def bottom(self, at: float = 0.5) -> Point:
        return Point(self.x + at * self.width, self.y + self.height)

    def middle(self) -> Point:
        return Point(self.x + self.width / 2, self.y + self.height / 2)


class Drawing:
    """A picture of `width` × `height` pixels. `alt` says in a sentence or two what a reader would see."""

    def __init__(self, width: int, height: int, alt: str):
        if not alt.strip():
            raise ValueError(
                "an empty alt text was given, expected a sentence that says what the picture shows"
            )
        self.width, self.height, self.alt, self.shapes = width, height, " ".join(alt.split()), []

    # ---------------------------------------------------------------------------------------------- shapes
    def box(
        self,
        x: float,
        y: float,
        width: float,
        height: float,
        text: str = "",
        small: str = "",
        *,
        colour: str = "white",
        size: float = 15,
        mono: bool = False,
        dashed: bool = False,
        corner: float = 6,
    ) -> Box:
        """A box with lines of text (split by newlines) and smaller lines under it. Gives its sides."""
        fill, edge = self._colour(colour)
        self._inside(x, y, x + width, y + height)
        self.shapes.append(
            f'<rect x="{x:g}" y="{y:g}" width="{width:g}" height="{height:g}" rx="{corner:g}" fill="{fill}" '
            f'stroke="{edge}" stroke-width="1.5"{self._dashes(dashed)}/>'
        )
        lines = [(line, size, INK) for line in text.split("\n") if text]
        lines += [(line, size - 3, SOFT) for line in small.split("\n") if small]
        top = y + height / 2 - sum(1.25 * each for _, each, _ in lines) / 2
        for line, each, ink in lines:
            font = MONO if mono else FONT
            if len(line) * WIDTH[font] * each > width:
                raise ValueError(
                    f"{line!r} was given for a box of {width:g} pixels, expected at most "
                    f"{int(width / WIDTH[font] / each)} characters: widen the box or shorten the text"
                )
            self._text(x + width / 2, top + 0.95 * each, line, each, "middle", ink, font)
            top += 1.25 * each
        return Box(x, y, width, height)

    def text(
        self,
        x: float,
        y: float,
        text: str,
        *,
        size: float = 13,
        align: str = "left",
        colour: str | None = None,
        mono: bool = False,
        bold: bool = False,
    ) -> None:
        """Text whose first baseline is at (x, y); newlines go down a line. `align`: left, centre or right."""
        ink = INK if colour is None else self._colour(colour)[1]
        anchor = {"left": "start", "centre": "middle", "right": "end"}[align]
        font = MONO if mono else FONT
        for number, line in enumerate(text.split("\n")):
            wide = len(line) * WIDTH[font] * size
            start = x - {"left": 0, "centre": wide / 2, "right": wide}[align]
            self._inside(start, y - size, start + wide, y + 1.3 * size * number)
            self._text(x, y + 1.3 * size * number, line, size, anchor, ink, font, bold)

    def line(self, *points, colour: str = "grey", dashed: bool = False, width: float = 1.5) -> None:
        """A line through the points."""
        for x, y in points:
            self._inside(x, y, x, y)
        path = " ".join(f"{x:g},{y:g}" for x, y in points)
        self.shapes.append(
            f'<polyline points="{path}" fill="none" stroke="{self._colour(colour)[1]}" '
            f'stroke-width="{width:g}"{self._dashes(dashed)}/>'
        )

    def arrow(
        self,
        start,
        end,
        text: str = "",
        *,
        via=(),
        colour: str = "grey",
        below: bool = False,
        dashed: bool = False,
        size: float = 12,
    ) -> None:
        """An arrow from `start` to `end` by the points `via`; `text` is above or below its longest piece."""
        points = [start, *via, end]
        self.line(*points, colour=colour, dashed=dashed, width=1.7)
        (x0, y0), (x1, y1) = points[-2], points[-1]
        length = ((x1 - x0) ** 2 + (y1 - y0) ** 2) ** 0.5
        if not length:
            raise ValueError(f"an arrow from {start} to {end} was given, expected two different points")
        ux, uy = (x1 - x0) / length, (y1 - y0) / length
        head = [
            (x1, y1),
            (x1 - 9 * ux - 4 * uy, y1 - 9 * uy + 4 * ux),
            (x1 - 9 * ux + 4 * uy, y1 - 9 * uy - 4 * ux),
        ]
        self.shapes.append(
            f'<polygon points="{" ".join(f"{x:.1f},{y:.1f}" for x, y in head)}" '
            f'fill="{self._colour(colour)[1]}"/>'
        )
        if text:
            pieces = list(zip(points, points[1:], strict=False))
            a, b = max(
                pieces, key=lambda piece: abs(piece[0][0] - piece[1][0]) + abs(piece[0][1] - piece[1][1])
            )
            x, y = (a[0] + b[0]) / 2, (a[1] + b[1]) / 2
            lines = text.count("\n") + 1
            if abs(a[0] - b[0]) < abs(a[1] - b[1]):  # beside an upright arrow
                self.text(
                    x + (-7 if below else 7),
                    y + 4 - 0.65 * size * (lines - 1),
                    text,
                    size=size,
                    align="right" if below else "left",
                )
            else:
                self.text(
                    x,
                    y + 1.25 * size if below else y - 6 - 1.3 * size * (lines - 1),
                    text,
                    size=size,
                    align="centre",
                )

    def cells(
        self,
        x: float,
        y: float,
        rows: list,
        *,
        width: float = 34,
        height: float = 26,
        size: float = 12,
        colours=None,
        mono: bool = True,
    ) -> list[list[Box]]:
        """A table of boxes: `rows` of texts; `colours` is one name, or rows of names. Gives the boxes."""
        names = (
            [[colours or "white"] * len(row) for row in rows]
            if colours is None or isinstance(colours, str)
            else colours
        )
        return [
            [
                self.box(
                    x + column * width,
                    y + number * height,
                    width,
                    height,
                    str(text),
                    colour=names[number][column],
                    size=size,
                    mono=mono,
                    corner=0,
                )
                for column, text in enumerate(row)
            ]
            for number, row in enumerate(rows)
        ]

    def bar(
        self,
        x: float,
        y: float,
        width: float,
        height: float,
        text: str = "",
        *,
        colour: str = "blue",
        size: float = 12,
    ) -> Box:
        """A filled bar of a timeline; its text stands in it, and is left out where it would not fit."""
        self._inside(x, y, x + width, y + height)
        fill = self._colour(colour)[1]
        self.shapes.append(
            f'<rect x="{x:g}" y="{y:g}" width="{width:g}" height="{height:g}" rx="2" fill="{fill}" '
            f'stroke="#FFFFFF" stroke-width="1"/>'
        )
        if text and len(text) * WIDTH[FONT] * size <= width:
            self._text(x + width / 2, y + height / 2 + 0.35 * size, text, size, "middle", "#FFFFFF", FONT)
        return Box(x, y, width, height)

    def dot(self, x: float, y: float, radius: float = 5, *, colour: str = "blue") -> None:
        """A filled circle."""
        self._inside(x - radius, y - radius, x + radius, y + radius)
        self.shapes.append(f'<circle cx="{x:g}" cy="{y:g}" r="{radius:g}" fill="{self._colour(colour)[1]}"/>')

    # ---------------------------------------------------------------------------------------------- the file
    def svg(self) -> str:
        """The whole picture as text. The same drawing gives the same text."""
        return "\n".join(
            [
                f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {self.width} {self.height}" '
                f'width="{self.width}" height="{self.height}" role="img">',
                f"<title>{escape(self.alt)}</title>",
                f'<rect width="{self.width}" height="{self.height}" rx="8" fill="#FFFFFF"/>',
                *self.shapes,
                "</svg>",
                "",
            ]
        )

    # ---------------------------------------------------------------------------------------------- inner
    def _text(self, x, y, line, size, anchor, ink, font, bold=False):
        weight = ' font-weight="bold"' if bold else ""
        self.shapes.append(
            f'<text x="{x:g}" y="{y:.1f}" font-size="{size:g}" font-family="{font}" text-anchor="{anchor}" '
            f'fill="{ink}"{weight} xml:space="preserve">{escape(line)}</text>'
        )

    def _colour(self, name):
        if name not in COLOURS:
            raise ValueError(f"the colour {name!r} was given, expected one of {', '.join(COLOURS)}")
        return COLOURS[name]

    def _dashes(self, dashed):
        return ' stroke-dasharray="6 4"' if dashed else ""

    def _inside(self, left, top, right, bottom):
        if left < 0 or top < 0 or right > self.width or bottom > self.height:
            raise ValueError(
                f"a shape from ({left:.0f}, {top:.0f}) to ({right:.0f}, {bottom:.0f}) was given, expected it "
                f"inside the picture of {self.width} × {self.height}"
            )
