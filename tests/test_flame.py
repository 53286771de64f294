"""`flame`: samples of who calls whom, and the boxes drawn from them."""

import signal
import time

import pytest

from puffer_min.course.flame import Flame, flame


def spin(seconds):
    end = time.process_time() + seconds
    while time.process_time() < end:
        pass


def long_part():
    spin(0.09)


def short_part():
    spin(0.03)


def both():
    long_part()
    short_part()


def test_the_share_of_a_function_is_its_part_of_the_time():
    found = flame(both, seconds=0.9)
    assert found.share("both") > 0.9 and found.share("nothing") == 0
    assert 0.55 < found.share("long_part") < 0.92 and found.share("long_part") + found.share("short_part") > 0.9
    assert found.share("spin") > 0.9 and found.calls >= 1
    assert "long_part" in repr(found) and found._repr_png_().startswith(b"\x89PNG")


def test_the_timer_and_its_handler_are_as_before_even_after_an_error():
    before = signal.getsignal(signal.SIGPROF)
    with pytest.raises(ZeroDivisionError):
        flame(lambda: 1 / 0)
    assert signal.getsignal(signal.SIGPROF) is before and signal.getitimer(signal.ITIMER_PROF) == (0, 0)


def test_boxes_lie_on_their_callers_and_equal_neighbours_are_one():
    found = Flame({("a", "b", "c"): 2, ("a", "b"): 1, ("a", "d"): 4, ("e",): 1}, 3, 1.0)
    assert found.boxes() == [(0, 0, 7 / 8, "a"), (0, 7 / 8, 1 / 8, "e"), (1, 0, 3 / 8, "b"), (1, 3 / 8, 4 / 8, "d"), (2, 1 / 8, 2 / 8, "c")]
    assert found.share("b") == 3 / 8 and found.samples == 8


def test_too_few_seconds_are_said():
    with pytest.raises(ValueError, match="seconds=0 gave no sample, expected some: take more seconds"):
        flame(both, seconds=0)
