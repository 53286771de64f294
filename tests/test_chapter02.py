"""Chapter 2 says what the package does: its wrappers spoil and its rewards pay what they say, its prose keeps its form."""

import json
import re
import tempfile
from pathlib import Path

import numpy as np
import pytest

import envs
import puffer_min
from puffer_min.course import statistics
from puffer_min.course.checks import level02, level02_effects

ROOT = Path(__file__).resolve().parents[1]
CELLS = json.loads((ROOT / "chapters" / "02_research.ipynb").read_text())["cells"]
CODE = {cell["id"]: "".join(cell["source"]) for cell in CELLS if cell["cell_type"] == "code"}


def source_of(cell):
    return "".join(cell["source"])


@pytest.fixture(scope="module")
def chapter():
    """The names that the chapter's helper cells define; nothing is trained."""
    names = {"np": np, "envs": envs, "puffer_min": puffer_min, "tempfile": tempfile, "THREADS": 1, "SEED": 0, "ProgressBar": range}
    for cell in ("helpers", "control-env", "control-faults", "hack-env", "hack-rules"):
        exec(CODE[cell], names)
    return names


def test_the_chapter_says_that_no_source_records_its_level():
    assert "No source records levels 1 and 2" in source_of(CELLS[0])


def test_the_two_methods_of_the_opening_differ_in_nothing_but_the_seed():
    made = re.findall(r'one_run\("cartpole", seed=(\d+)\)', CODE["question-run"])
    assert len(made) == 2 and made[0] != made[1]


# What its code claims

def test_the_port_scales_what_is_seen_and_erases_ends_that_the_environment_still_counts(chapter):
    port = chapter["Ported"]([chapter["scale"], chapter["ends"]], seed=3)
    port.reset(3)
    plain = envs.make("cartpole", 64, seed=3, report_interval=0)
    plain.reset(3)
    assert np.array_equal(port.observations, 100 * plain.observations)
    actions, ended = np.random.default_rng(0), 0
    for _ in range(100):
        chosen = actions.integers(0, 2, 64, dtype=np.int32)
        port.step(chosen), plain.step(chosen)
        ended += plain.terminals.sum()
        assert np.array_equal(port.observations, 100 * plain.observations) and not port.terminals.any()
    assert port.log()["n"] == ended > 50


def test_going_back_and_forth_is_an_income_under_the_first_reward_and_none_under_the_second(chapter):
    distances, never = np.array([2, 1] * 10 + [2]), np.zeros(1, bool)
    steps = list(zip(distances[:-1, None], distances[1:, None], strict=False))
    by_progress, by_potential = (sum(0.99 ** t * rule(before, now, never)[0] for t, (before, now) in enumerate(steps))
                                 for rule in (chapter["closer"], chapter["potential"]))
    weight = chapter["closer"](np.array([2]), np.array([1]), never)[0]
    assert by_progress > 8 * weight
    assert by_potential == pytest.approx(weight * (2 - 0.99**20 * 2))       # the start's potential against the end's alone


def test_the_helped_board_adds_its_rule_to_the_rewards_and_never_over_the_end_of_an_episode(chapter):
    seen = []
    env = chapter["Helped"](lambda before, now, ended: seen.append((before, now, ended.copy())) or 0 * before, seed=1)
    env.reset(1)
    plain = envs.make("squared", 64, seed=1, size=chapter["SIZE"], report_interval=0)
    plain.reset(1)
    chance = np.random.default_rng(0)
    for _ in range(50):
        actions = chance.integers(0, 5, 64, dtype=np.int32)
        env.step(actions), plain.step(actions)
        assert np.array_equal(env.rewards, plain.rewards) and np.array_equal(seen[-1][2], plain.terminals)
    before, now, ended = (np.stack(part) for part in zip(*seen, strict=False))
    assert (abs(now - before)[~ended] <= 1).all() and (before[1:] == now[:-1]).all() and ended.any()
    assert not chapter["closer"](before, now, ended)[ended].any()
    assert np.allclose(chapter["potential"](before, now, ended)[ended], chapter["potential"](before, 0 * now, ended)[ended])


def test_the_same_seed_gives_the_same_run_and_another_seed_another(chapter, tmp_path):
    chapter["FOLDER"] = type("Folder", (), {"name": str(tmp_path)})
    one, same, other = (chapter["final"](chapter["one_run"]("bandit", seed, total_steps=8192), "score") for seed in (1, 1, 2))
    assert one == same != other


# The references of the exercises against the package

def test_references_of_the_exercises_are_the_packages_statistics():
    rng = np.random.default_rng(0)
    scores = rng.normal(size=(9, 3))
    ends = level02.wrong_bootstrap(level02.draws)(scores, level02.STATISTICS[0], rng)
    found = statistics.interval(statistics.mean, scores, resamples=5000)
    assert ends == pytest.approx([found.low, found.high], abs=0.05 * found.width)
    for sentence, wrong in level02.WRONG_BOOTSTRAPS.items():
        assert wrong(level02.random_scores(rng, 8, 2), level02.STATISTICS[0], rng) is not None, sentence


def test_shaping_pays_minus_the_potential_of_the_start_over_any_episode():
    rng = np.random.default_rng(1)
    for _ in range(20):
        potential = rng.normal(size=rng.integers(2, 20))
        ends = np.arange(len(potential)) == len(potential) - 1
        paid = level02_effects.reference_shaped(np.zeros(len(potential)), potential, np.roll(potential, -1), ends, 0.97)
        assert (paid * 0.97 ** np.arange(len(potential))).sum() == pytest.approx(-potential[0])


def test_effects_take_a_sum_of_effects_apart():
    first, second, both = 5.0, -3.0, 8.0
    i, j = np.mgrid[0:2, 0:2]
    scores = (10 + first * i + second * j + both * i * j)[..., None] + np.zeros(4)
    assert level02_effects.reference_effects(scores) == pytest.approx((first + both / 2, second + both / 2, both))
