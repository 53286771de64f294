"""Moving pictures for readers without a kernel: a film strip, and a GIF at two frames a second.

    film_strip(frames, captions)            a figure: six frames side by side, each with its caption
    moving_picture(frames, alt="…")         an animated GIF, which also plays in the saved notebook

A frame is an RGB array (height, width, 3) uint8, as `render()` gives it.
"""

import base64
import io
from html import escape

import numpy as np
from PIL import Image

from puffer_min.course.plots import Plot, blank, in_style

MOST = 8                    # frames in a row of a strip
SIDE = 320                  # pixels: larger pictures are halved until they fit


def smaller(frame: np.ndarray) -> np.ndarray:
    """Every second pixel, and again, until neither side is longer than SIDE."""
    while max(frame.shape[:2]) > SIDE:
        frame = frame[::2, ::2]
    return frame


class Picture:
    """An image that a notebook shows with its alt text; `data` is the file's bytes, `kind` gif or png."""

    def __init__(self, data: bytes, kind: str, alt: str):
        self.data, self.kind, self.alt = data, kind, alt

    def _repr_html_(self) -> str:
        code = base64.b64encode(self.data).decode()
        return f'<img alt="{escape(self.alt)}" src="data:image/{self.kind};base64,{code}">'

    def __repr__(self) -> str:
        return f"[{self.kind}] {self.alt}"


def moving_picture(frames, *, alt: str, fps: float = 2.0) -> Picture:
    """The frames as an endless GIF of `fps` frames a second. ValueError without a frame or an alt text."""
    if not len(frames) or not alt.strip():
        raise ValueError(f"{len(frames)} frames and the alt text {alt!r} given, expected at least one frame "
                         "and a sentence that says what happens")
    images = [Image.fromarray(smaller(np.asarray(frame))).quantize(32) for frame in frames]
    file = io.BytesIO()
    images[0].save(file, "gif", save_all=True, append_images=images[1:], duration=round(1000 / fps), loop=0)
    return Picture(file.getvalue(), "gif", alt)


@in_style
def film_strip(frames, captions=(), *, rows: int = 1, title: str = "") -> Plot:
    """The frames side by side in `rows` rows, each with its caption below it."""
    if not len(frames) or len(frames) > MOST * rows:
        raise ValueError(f"{len(frames)} frames given, expected 1 to {MOST} in each of {rows} rows")
    columns = -(-len(frames) // rows)
    height, width = np.shape(frames[0])[:2]
    size = min(8.0 / columns, 3.2)
    figure, axes = blank(rows, columns, height=rows * (size * height / width + 0.45) + 0.3 * bool(title),
                         width=size * columns, squeeze=False)
    for number, place in enumerate(axes.ravel()):
        place.axis("off")
        if number < len(frames):
            place.imshow(frames[number], interpolation="antialiased")
            caption = captions[number] if number < len(captions) else ""
            place.text(0.5, -0.06, caption, transform=place.transAxes, ha="center", va="top", fontsize=7)
    figure.suptitle(title, x=0.02, ha="left", fontsize=11)
    return figure
