"""Chapter 10 measures what it says: shipped logs are whole, its references agree with slow twins, and its verdict comes from the data."""

import json
import os
import re
import runpy
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

import envs
from puffer_min.course import novelty, scaling
from puffer_min.course.checks import level10
from puffer_min.selfplay.curriculum import PrioritisedReplay
from puffer_min.selfplay.ratings import ratings

ROOT = Path(__file__).resolve().parents[1]
experiment = SimpleNamespace(**runpy.run_path(str(ROOT / "benchmarks" / "curriculum.py")))
RUNS = ROOT / "chapters" / "runs"
CELLS = json.loads((ROOT / "chapters" / "10_open_endedness.ipynb").read_text())["cells"]
CODE = {cell["id"]: "".join(cell["source"]) for cell in CELLS if cell["cell_type"] == "code"}


def test_the_log_of_the_curricula_has_ten_whole_runs_of_every_arm():
    runs = experiment.read(RUNS / "curriculum.jsonl")
    assert {arm: [run["seed"] for run in found] for arm, found in runs.items()} == {arm: list(range(10)) for arm in experiment.ARMS}
    for run in sum(runs.values(), []):
        curve = np.array(run["curve"])
        assert len(curve) == experiment.LOOKS + 1 and curve[-1, 0] >= experiment.STEPS and (np.diff(curve[:, 0]) > 0).all()
        assert (curve[:, 1:] >= 0).all() and (curve[:, 1] <= 1).all() and (curve[:, 2] <= curve[:, 1]).all()


def test_the_mazes_of_the_chapter_are_those_of_the_experiment():
    env = envs.make("grid", 1, report_interval=0, **experiment.GAME)
    lengths = []
    for seed in range(0, experiment.NUM_LEVELS, 30):
        env.set_level(0, seed)
        lengths.append(env.shortest_path_length(0))
        assert experiment.shortest(env.best_return(0)) == pytest.approx(lengths[-1])
    assert f"MAZE = dict(task={experiment.GAME['task']!r}, size={experiment.GAME['size']}, max_steps={experiment.GAME['max_steps']})".replace("'", '"') in CODE["mazes"]


def test_the_lives_that_are_shipped_are_whole_streams_in_order():
    kept = np.load(RUNS / "novelty.npz")
    for name in ("trained", "shadow", "random", "frozen"):
        points, ticks = kept[f"{name}_points"], kept[f"{name}_ticks"]
        assert points.shape == (len(ticks), 20) and points.dtype == np.uint8 and len(ticks) >= 1000
        assert (np.diff(ticks) >= -256).all(), f"{name}: lives are kept in the order of their ends, up to one reading"
        assert np.abs(points[:, :11].sum(1, dtype=int) / 255 - 1).max() < 0.03, "shares of time sum to 1"


def test_every_measurement_is_guessed_first():
    """A cell `my_guess = ...` stands before each question's answer, and a later cell prints it."""
    guesses = [number for number, cell in enumerate(CELLS) if "".join(cell["source"]).startswith("my_guess")]
    assert len(guesses) >= 7
    for this, following in zip(guesses, [*guesses[1:], len(CELLS)], strict=True):
        assert any("my_guess" in "".join(cell["source"]) for cell in CELLS[this + 1:following]), CELLS[this]["id"]


def test_the_verdict_that_is_printed_is_the_verdict_of_the_shipped_lives():
    kept = np.load(RUNS / "novelty.npz")
    streams = {name: kept[f"{name}_points"] / 255 for name in ("trained", "shadow", "random", "frozen")}
    shown = {cell["id"]: "".join("".join(output.get("text", "")) for output in cell.get("outputs", [])) for cell in CELLS}
    radii = [float(text) for text in re.findall(r"^radius ([\d.]+)$", shown["verdict"], re.MULTILINE)]
    believed = [radius for radius in radii if novelty.judge(streams, radius).keeps_coming]
    assert len(radii) == 3 and f"beyond all controls by {len(believed)} of 3" in shown["answer"]
    assert ("our answer: yes" in shown["answer"]) == bool(believed)


@pytest.mark.long
def test_two_processes_are_measured_for_real(tmp_path):
    """The command of the chapter; the file that is shipped has the same figures, of another day."""
    out = tmp_path / "two.json"
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", str(ROOT / "benchmarks" / "scaling.py")]
    done = subprocess.run([*command, "--seconds", "2", "--out", str(out)], capture_output=True, text=True, timeout=200,
                          env=os.environ | {"OMP_NUM_THREADS": "1", "GLOO_SOCKET_IFNAME": "lo", "PYTHONPATH": str(ROOT)})
    assert done.returncode == 0, done.stderr[-2000:]
    found, shipped = json.loads(out.read_text()), json.loads((RUNS / "two.json").read_text())
    assert found.keys() == shipped.keys() and found["processes"] == shipped["processes"] == 2
    costs = scaling.Costs.read(out)
    assert costs.noise > 0 and costs.latency >= 0 and costs.bandwidth > 0 and (costs.collect > 0).all()
    assert scaling.plan(costs, 2).steps_per_second > scaling.plan(costs, 1).steps_per_second


def test_the_chapter_ends_with_the_invitation():
    assert "".join(CELLS[-1]["source"]).rstrip().endswith("**if you have any ideas, let me know.**")


# ---------------------------------------------------------------------- references of the checks

def test_the_reference_of_elo_agrees_with_the_ratings_of_the_package():
    rng = np.random.default_rng(0)
    for n in (2, 4, 7):
        won = level10.table_of_games(rng, n)
        counts = np.stack([won, 0 * won, 0 * won], axis=-1)
        assert np.allclose(level10.reference_elo(won), ratings(counts.astype(int), prior=0.0).elo, atol=0.5)


def test_the_reference_of_elo_is_where_the_likelihood_is_greatest():
    rng = np.random.default_rng(1)
    won = level10.table_of_games(rng, 5)
    best = level10.reference_elo(won)
    assert all(level10.likelihood(won, best) > level10.likelihood(won, best + rng.normal(0, 5, 5)) for _ in range(50))


def test_the_reference_of_replay_is_a_distribution_and_that_of_the_package():
    rng = np.random.default_rng(2)
    for n in (3, 10):
        scores, seen, last, now, temperature, staleness = level10.case_of_levels(rng, n)
        levels = PrioritisedReplay(n, temperature=temperature, staleness=staleness)
        levels.scores, levels.seen, levels.last_played, levels.now = scores, seen, last, now
        found = level10.replay_of(scores, seen, last, now, temperature, staleness)
        assert found.sum() == pytest.approx(1) and np.allclose(found, levels.probabilities())


@pytest.mark.parametrize("kind, invents", [("inventing", True), ("fading", False), ("still", False), ("noise", False)])
def test_streams_of_the_check_are_what_they_are_called(kind, invents):
    points = level10.stream(np.random.default_rng(3), kind, n=600)
    late = novelty.late_rate(novelty.Archive(0.3).add(points))
    shuffled = novelty.late_rate(novelty.Archive(0.3).add(novelty.shuffled(points)))
    assert (late.low > shuffled.high) == invents


def test_the_share_of_orders_is_counted_as_the_package_counts_new_lives():
    points = level10.stream(np.random.default_rng(5), "noise", 45)
    counts = [novelty.Archive(0.5).add(points[order])[-15:].sum() for order in [np.arange(45), *map(np.random.default_rng(4).permutation, [45] * 40)]]
    assert level10.share_as_new(points, 0.5, np.random.default_rng(4), orders=40) == np.mean(np.array(counts[1:]) >= counts[0])


@pytest.mark.parametrize("kind", ["ranks", "ages", "share"])
def test_a_planted_bug_changes_the_distribution_and_the_right_one_is_right(kind):
    scores, last = np.array([1.0, 3.0, 2.0]), np.array([9, 2, 5])
    right, wrong = (level10.planted(each)(scores, last, 10, 0.5, 0.3) for each in ("right", kind))
    assert right.sum() == pytest.approx(1) == wrong.sum() and np.abs(right - wrong).max() > 0.05
    assert np.allclose(right, level10.replay_of(scores, np.ones(3, bool), last, 10, 0.5, 0.3))
