"""`explore`: sliders, and the figure at a few of their positions for readers without a kernel."""

import base64
import io

import pytest
from PIL import Image

from puffer_min.course import explore, plot_bars


def draw(speed=2):
    return plot_bars({"one": 1, "other": 10 ** speed}, title=f"speed {speed}")


def test_the_saved_output_holds_the_figure_at_each_named_position():
    sliders = explore(draw, [{"speed": 1}, {"speed": 3}, {}], speed=(1, 6))
    data, metadata = sliders._repr_mimebundle_()
    assert data["text/plain"] == "sliders for speed" and "application/vnd.jupyter.widget-view+json" in data
    assert metadata["image/png"]["alt"] == "The figure at 3 positions of the sliders: speed 1; speed 3; speed 2."
    whole = Image.open(io.BytesIO(base64.b64decode(data["image/png"])))
    parts = [Image.open(io.BytesIO(draw(speed)._repr_png_())).convert("RGB") for speed in (1, 3, 2)]
    assert whole.height == sum(part.height for part in parts)
    assert whole.crop((0, parts[0].height, parts[1].width, parts[0].height + parts[1].height)).tobytes() == parts[1].tobytes()


def test_a_moved_slider_draws_again():
    drawn = []
    sliders = explore(lambda speed=2: drawn.append(speed), [{"speed": 1}], speed=(1, 6))
    sliders.children[0].value = 5
    assert drawn == [2, 5]


def test_positions_are_required():
    with pytest.raises(ValueError, match="positions: none given"):
        explore(draw, [], speed=(1, 6))
