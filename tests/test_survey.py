"""The survey of environments: its statistics, and that a missing or broken environment costs its row and one sentence."""

import importlib.util
import sys
import types
from dataclasses import replace
from pathlib import Path

import gymnasium
import numpy as np
import pytest

from puffer_min.course import Ladder, survey_plays
from puffer_min.course.survey import survey, times_the_claim
from puffer_min.course.survey_plays import Clock, Found, Spread, bytes_of, measure_row, observed, play
from puffer_min.course.survey_rows import CLAIMS, ROWS, Claim, Craftax, Crafter, Row, through_gymnasium

CARTPOLE = next(row for row in ROWS if row.name == "CartPole")


class Scripted(gymnasium.Env):
    """Takes `steps` seconds of a clock of its own for a step, `resets` for a reset, `drawing` of a step to draw; episodes of 4."""

    observation_space = gymnasium.spaces.Box(0, 1, (3,), np.float32)
    action_space = gymnasium.spaces.Discrete(2)

    def __init__(self, clock, steps=(2.0,), resets=12.0, drawing=0.5):
        self.clock, self.lasts, self.resets, self.drawing, self.count = clock, steps, resets, drawing, 0

    def draw(self):
        self.clock.now += self.drawing
        return np.zeros(3, np.float32)

    def reset(self, *, seed=None, options=None):
        self.clock.now += self.resets
        return np.zeros(3, np.float32), {}

    def step(self, action):
        self.clock.now += self.lasts[self.count % len(self.lasts)] - self.drawing
        self.count += 1
        return self.draw(), 0.0, self.count % 4 == 0, False, {}


@pytest.fixture
def clock(monkeypatch):
    """Time that only a Scripted environment moves."""
    made = types.SimpleNamespace(now=0.0)
    monkeypatch.setattr(survey_plays, "time", types.SimpleNamespace(perf_counter=lambda: made.now))
    return made


# ---------------------------------------------------------------------- arithmetic

def test_a_spread_is_the_median_the_95th_percentile_and_the_longest():
    assert Spread.of(range(1, 102)) == Spread(51, 96, 101, 101)
    assert Spread.of([0.25]) == Spread(0.25, 0.25, 0.25, 1)


def test_a_rate_holds_the_resets_that_the_play_needed(clock):
    found = survey_plays.play_single(Scripted(clock), (f"{__name__}:Scripted.draw",), 80.0)
    assert found["rate"] == pytest.approx(4 / (4 * 2 + 12))
    assert found["step"] == Spread(2, 2, 2, 16) and found["reset"].median == 12 and found["bytes"] == 12
    assert found["shares"] == pytest.approx({"rules": 0.3, "observation": 0.1, "reset": 0.6})


def test_one_step_during_which_another_program_had_the_core_does_not_move_the_observations_share(clock):
    interrupted = Scripted(clock, steps=(2.0,) * 7 + (200.0,))
    shares = survey_plays.play_single(interrupted, (f"{__name__}:Scripted.draw",), 3000.0)["shares"]
    assert shares["observation"] / (shares["observation"] + shares["rules"]) == pytest.approx(0.5 / 2)


def test_an_observation_that_cannot_be_clocked_is_left_open(clock):
    for places in ((), (f"{__name__}:Scripted.paint",), ("gymnasium:Nothing.draw",)):
        found = survey_plays.play_single(Scripted(clock), places, 80.0)
        assert found["shares"] == pytest.approx({"rules": 0.4, "observation": None, "reset": 0.6})


def test_a_slow_environment_still_makes_three_steps(clock):
    steps, resets = play(Scripted(clock, steps=(100.0, 300.0)), [0], 1.0)
    assert steps == [100, 300, 100] and resets == []


def test_a_clock_counts_the_outermost_call_once_and_goes_away_again():
    clock = Clock()
    inner = clock.around(lambda: None)
    outer = clock.around(lambda: [inner() for _ in range(1000)])
    outer()
    once = clock.seconds
    assert once > 0 and clock.depth == 0
    before = Scripted.draw
    with observed((f"{__name__}:Scripted.draw",)) as found:
        assert Scripted.draw is not before and found.seconds == 0
    assert Scripted.draw is before


def test_bytes_are_those_of_all_arrays_of_an_observation():
    assert bytes_of({"a": np.zeros((2, 3), np.int16), "b": (np.zeros(4), "four"), "c": np.float32(1)}) == 12 + 32 + 4 + 4


def test_a_claim_is_compared_with_its_nearer_end_and_in_its_own_unit():
    between = Claim("", 100, 300, "x")
    assert [times_the_claim(between, rate) for rate in (50, 100, 200, 300, 900)] == ["0.5", "as said", "as said", "as said", "3"]
    assert times_the_claim(Claim("", 320, 320, "x"), 320) == "1"
    found = survey(0.001, rows=[], vectorized=False)
    found.found = {claim.row: Found(claim.row, 4, False, rate=10.0, vectorized=20.0) for claim in CLAIMS}
    atari = [entry for entry in found.claims().as_dicts() if entry["row"].startswith("Atari")]
    assert {entry["measured"] for entry in atari} == {80.0, 10.0}           # 20 steps of 4 frames, and 10 steps


def test_every_claim_has_a_row_and_names_are_distinct():
    names = [row.name for row in ROWS]
    assert len(set(names)) == len(names) and {claim.row for claim in CLAIMS} <= set(names)


# ---------------------------------------------------------------------- missing and broken

def test_missing_packages_cost_their_rows_and_say_what_to_install(monkeypatch):
    for row in ROWS:
        if row.package:
            monkeypatch.setitem(sys.modules, row.package, None)             # whoever imports it gets an ImportError
            monkeypatch.setitem(sys.modules, row.package.partition(".")[0], None)
    found = survey(0.001, vectorized=False, names=[row.name for row in ROWS if row.package or not row.make] + ["CartPole"])
    assert found["CartPole"].rate > 0 and not found["CartPole"].missing
    gone = [row for row in found if row.name != "CartPole"]
    assert len(gone) == sum(bool(row.package) for row in ROWS) + 1 and not any(row.rate for row in gone)
    assert found["Atari Breakout, RAM"].missing == "not installed: pip install ale-py"
    assert found["NetHack Score"].missing == "not installed: pip install --no-deps nle"
    assert "no wheel" in found["Procgen"].missing
    for shown in (repr(found), found._repr_html_(), repr(found.claims()), found.claims()._repr_html_()):
        assert "pip install" in shown and "no wheel" in shown
    assert found.plot()._repr_png_().startswith(b"\x89PNG")


def raising(*_, **__):
    raise RuntimeError("the wheel came off\nand rolled away")


@pytest.mark.parametrize("where", ["make", "reset", "step"])
def test_a_broken_environment_costs_its_row_and_one_sentence(where):
    def make():
        env = gymnasium.make("CartPole-v1")
        setattr(env, where, raising)
        return env

    broken = Row("broken", "", raising if where == "make" else make)
    found = survey(0.001, rows=[broken, CARTPOLE], vectorized=False)
    assert found["broken"].missing == "RuntimeError: the wheel came off" and found["broken"].rate is None
    assert found["CartPole"].rate > 0 and "the wheel came off" in repr(found)


def test_what_our_vectorizer_refuses_is_measured_alone():
    def make():
        return gymnasium.wrappers.TransformObservation(gymnasium.make("CartPole-v1"), str, gymnasium.spaces.Text(200))

    found = measure_row(Row("text", "", make), 0.01)
    assert found.rate > 0 and found.vectorized is None and "Text" in found.alone


def test_a_wrong_name_and_no_seconds_are_refused():
    with pytest.raises(ValueError, match="'Pacman' given, expected some of CartPole"):
        survey(names=["Pacman"])
    with pytest.raises(ValueError, match="seconds=0 given, expected more than 0"):
        survey(0)
    with pytest.raises(KeyError, match="expected one of CartPole"):
        survey(0.001, names=["CartPole"], vectorized=False)["Pong"]


# ---------------------------------------------------------------------- whole

def test_a_survey_measures_single_vectorized_and_ours_and_leaves_no_files(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    names = ["CartPole", "our breakout, 1,024 a call"]
    found = survey(0.02, names)
    assert [row.name for row in found] == names and all(row.rate > 0 and row.vectorized > 0 for row in found)
    assert found["CartPole"].bytes == 16 and found[names[1]].ours and not found["CartPole"].ours
    found.save(tmp_path / "found.json")
    assert [path.name for path in tmp_path.iterdir()] == ["found.json"]


@pytest.mark.long
@pytest.mark.parametrize("row", [row for row in ROWS if row.make], ids=lambda row: row.name)
def test_every_row_runs_where_its_package_is_installed(row, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)                                             # some leave files
    found = measure_row(replace(row, weight=1), 0.02)
    if found.missing.startswith("not installed"):
        pytest.skip(found.missing)
    assert not found.missing and not found.alone and found.rate > 0 and found.bytes > 0
    assert (found.shares is None) == row.batch
    if row.observing:
        assert 0 <= found.shares["observation"] <= 1, f"{row.observing} are not where the observation is made"


def test_crafter_in_gymnasiums_words_begins_anew_with_a_seed_and_ends_at_death():
    pytest.importorskip("crafter")
    env = Crafter()
    pictures = [env.reset(seed=seed)[0] for seed in (3, 4, 3)]
    assert np.array_equal(pictures[0], pictures[2]) and not np.array_equal(pictures[0], pictures[1])
    env.env._player.health = 0
    assert env.step(0)[2:4] == (True, False)
    env.reset()
    env.env._step = env.env._length - 1
    assert env.step(0)[2:4] == (False, True)


def test_craftax_is_one_batch_whose_keys_are_new_in_every_step(monkeypatch):
    """With the few names of JAX and Craftax that are used; neither is installed with the course."""
    keys = []

    def fake_step(key, state, action, params):
        keys.append(key)
        return np.zeros((2, 9, 9), np.float32), state + len(action), np.zeros(2), np.zeros(2, bool), {}

    random = types.SimpleNamespace(PRNGKey=lambda number: number, split=lambda key, count: (key, count))
    monkeypatch.setitem(sys.modules, "jax", types.SimpleNamespace(random=random, jit=lambda f: f, vmap=lambda f: f, block_until_ready=lambda x: x))
    game = types.SimpleNamespace(default_params=None, reset=lambda key, params: (np.zeros((2, 9, 9), np.float32), 0), step=fake_step)
    monkeypatch.setitem(sys.modules, "craftax", types.SimpleNamespace())
    monkeypatch.setitem(sys.modules, "craftax.craftax_env", types.SimpleNamespace(make_craftax_env_from_name=lambda name, auto_reset: game))
    row = next(row for row in ROWS if row.package == "craftax")
    found = measure_row(replace(row, make=lambda: Craftax(num_envs=2)), 0.001)
    assert found.rate > 0 and found.bytes == 9 * 9 * 4 and not found.missing and found.vectorized is None
    assert len(set(keys)) == len(keys) >= 5 and all(count == 2 for _, count in keys)


def test_the_benchmark_keeps_what_was_written_by_hand(tmp_path, monkeypatch):
    pytest.importorskip("crafter")
    spec = importlib.util.spec_from_file_location("survey_benchmark", Path(__file__).parents[1] / "benchmarks/survey.py")
    benchmark = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(benchmark)
    monkeypatch.setattr(benchmark, "HERE", tmp_path)
    ladder = Ladder("steps")
    ladder.measure("native", benchmark.slow.step_speed("native", steps=5, repeats=1))
    given = survey(0.001, names=["CartPole", "Procgen"], vectorized=False), ladder, ladder, {"with numba": 0.05}, {"serial": 800.0}
    (tmp_path / "SURVEY.md").write_text(benchmark.document(*given).replace(benchmark.BEGIN, benchmark.BEGIN + "\nNight is dark."))
    again = benchmark.document(*given)
    assert again.count("Night is dark.") == 1 and again.count("| CartPole |") == 1 and again.count("| native |") == 2
    assert "with numba 50 ms" in again and "serial 800" in again and "procgen has no wheel" in again


def test_through_gymnasium_passes_its_settings_on():
    env = through_gymnasium("CartPole-v1", max_episode_steps=7)()
    assert env.spec.max_episode_steps == 7
