"""Sliders that leave something to see in the saved notebook, where no kernel runs.

    explore(draw, [{"speed": 1}, {"speed": 3}, {"speed": 6}], speed=(1, 6))

`draw` takes the sliders' values and returns a figure of `plots.py`. Beside the live sliders the output holds
one picture: the figure at each of the named positions, one below the other.
"""

from __future__ import annotations

import base64
import io

import ipywidgets
from PIL import Image

from puffer_min.course.plots import Plot


def stacked(figures: list[Plot]) -> bytes:
    """The figures one below the other, as PNG bytes."""
    pictures = []
    for figure in figures:
        file = io.BytesIO()
        figure.savefig(file, format="png", dpi=figure.dpi)
        pictures.append(Image.open(file))
    whole = Image.new("RGB", (max(picture.width for picture in pictures),
                              sum(picture.height for picture in pictures)), "white")
    top = 0
    for picture in pictures:
        whole.paste(picture, (0, top))
        top += picture.height
    file = io.BytesIO()
    whole.save(file, "png")
    return file.getvalue()


def explore(draw, positions: list[dict], **ranges) -> ipywidgets.interactive:
    """Sliders for the arguments of `draw`: what `ipywidgets.interact` shows, and the figure at `positions`
    for readers of the saved notebook.

    positions   keyword arguments of `draw` for each picture; the arguments left out have their defaults
    ranges      slider of each argument, as `ipywidgets.interact` takes it: (low, high) or (low, high, step)
    """
    if not positions:
        raise ValueError("positions: none given, expected the arguments of at least one picture to save")
    return Explorer(draw, positions, ranges)


class Explorer(ipywidgets.interactive):
    """The sliders of `explore`."""

    def __init__(self, draw, positions, ranges):
        super().__init__(draw, {"auto_display": True}, **ranges)
        self.positions = positions

    def __repr__(self):
        return f"sliders for {', '.join(slider.description for slider in self.kwargs_widgets)}"

    def _repr_mimebundle_(self, **kwargs):
        figures = [self.f(**position) for position in self.positions]
        titles = "; ".join(figure.axes[0].get_title(loc="left") for figure in figures)
        data = super()._repr_mimebundle_(**kwargs)
        return (data | {"image/png": base64.b64encode(stacked(figures)).decode()},
                {"image/png": {"alt": f"The figure at {len(figures)} positions of the sliders: {titles}."}})


class Guess(ipywidgets.VBox):
    """A slider under a line of text; a reader of the saved notebook sees that line."""

    def __repr__(self):
        label, slider = self.children
        return f"{label.value} (slider from {slider.base ** slider.min:g} to {slider.base ** slider.max:g})"
