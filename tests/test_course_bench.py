"""`bench`: one thing or several in turns, and ratios only of what was measured alike."""

import pytest

import envs
from puffer_min.course import bench
from puffer_min.course.bench import Comparison, UnlikeConditions
from puffer_min.measure import Conditions, Measurement

QUICK = {"seconds": 0.01, "repeats": 2}


def measured(rate, **conditions):
    return Measurement("thing", (rate,), 1, Conditions(**({"unit": "calls", "num_envs": None, "num_agents": None, "profiled": False,
                                                           "debug": False, "python": "3"} | conditions)), 1.0)


def test_an_environment_is_measured_by_name_and_closed(monkeypatch):
    made = []
    real = envs.make
    monkeypatch.setattr(envs, "make", lambda *a, **k: made.append(real(*a, **k)) or made[-1])
    found = bench("squared", num_envs=7, size=5, **QUICK)
    assert (found.name, found.conditions.num_envs) == ("squared", 7)
    assert made[0].size == 5 and made[0].observations is None
    with pytest.raises(ValueError, match="did you mean 'squared'"):
        bench("sqared")


def test_several_things_are_compared_with_the_first():
    both = bench({"ten": lambda: sum(range(10)), "thousand": lambda: sum(range(1000))}, unit="sums", **QUICK)
    assert both.ratio("ten", "thousand") > 2 and both["ten"].unit == "sums"
    assert both.ratio("ten", "thousand") == pytest.approx(1 / both.ratio("thousand", "ten"))


def test_the_comparison_shows_rates_and_factors():
    both = Comparison({"slow": measured(1e3), "fast": measured(4e3)})
    assert repr(both).splitlines() == ["             best  a call  times slow",
                                       "slow  1 k calls/s    1 ms         1 x",
                                       "fast  4 k calls/s  250 µs         4 x"]
    page = both._repr_html_()
    assert "<th" in page and "4 k calls/s" in page and "<style" not in page


def test_unlike_things_get_no_factor():
    both = Comparison({"plain": measured(1e3), "hooked": measured(4e3, profiled=True)})
    assert both.rows()[1][-1] == "unlike"
    with pytest.raises(UnlikeConditions, match="profiled"):
        both.ratio("hooked", "plain")


def test_html_is_escaped():
    assert "&lt;lambda&gt;" in Comparison({"<lambda>": measured(1)})._repr_html_()


def test_bad_input_is_one_sentence():
    with pytest.raises(ValueError, match="empty dict"):
        bench({})
    with pytest.raises(TypeError, match="num_envs can only be set where the thing is the name of an environment"):
        bench(lambda: None, num_envs=3)
