"""Chapter 7 and its checks say what the package does, and the chapter runs where Atari, Doom and OpenCV are missing."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from puffer_min import Atari, load_policy, make_vec
from puffer_min.course.check import CheckFailed, check
from puffer_min.course.suspects import PLANTED, LineUp, source_of
from puffer_min.wrappers.pixels import areas, push

ROOT = Path(__file__).resolve().parents[1]
CELLS = json.loads((ROOT / "chapters" / "07_wrappers.ipynb").read_text())["cells"]
CODE = {cell["id"]: "".join(cell["source"]) for cell in CELLS if cell["cell_type"] == "code"}
OPTIONAL = ("ale_py", "cv2", "vizdoom", "stable_baselines3")


def push_frame(stacks, newest, begins):
    rows = [array.reshape(len(array), -1) for array in (stacks, newest)]
    push(*rows, np.zeros(len(stacks), np.uint8), begins.view(np.uint8))


def area_weights(source, target):
    first, weights = areas(source, target)
    full = np.zeros((target, source))
    np.put_along_axis(full, first[:, None] + np.arange(weights.shape[1]), weights, 1)
    return full


def test_the_packages_stack_and_its_areas_pass_the_checks_of_the_exercises(capsys):
    check("push_frame", push_frame, seed=3)
    assert np.allclose(area_weights(210, 84).sum(1), 1, atol=1e-6)
    assert "right" in capsys.readouterr().out


def test_the_packages_areas_are_those_of_the_exercise():
    answers = {}
    cells = json.loads((ROOT / "solutions" / "07_wrappers.ipynb").read_text())["cells"]
    exec("".join(next(cell for cell in cells if cell["id"] == "area_weights-answer")["source"]), {"np": np}, answers)
    for source, target in ((210, 84), (160, 84), (120, 30), (97, 41)):
        assert np.allclose(area_weights(source, target), answers["area_weights"](source, target), atol=1e-4)


def test_a_stack_that_leaks_is_named():
    def leaks(stacks, newest, begins):
        stacks[:, :-1] = stacks[:, 1:]
        stacks[:, -1] = newest

    with pytest.raises(CheckFailed, match="leaks"):
        check("push_frame", leaks)


def test_each_probe_of_the_chapter_catches_one_planted_bug_and_each_bug_one_probe_whatever_the_case():
    printed = "".join(next(cell for cell in CELLS if cell["id"] == "bugs-probes")["outputs"][0]["text"]).splitlines()
    found = dict(line.split(": ", 1) for line in printed)
    assert found.pop("healthy") == "nothing found"
    assert len(set(found.values())) == len(found) == len(PLANTED) == 5 and "nothing found" not in found.values()


def test_a_line_up_shuffles_its_letters_and_keeps_them_until_the_verdict(capsys):
    layers = {name: type(name.title(), (), {}) for name, _ in PLANTED.values()}
    lineups = [LineUp(lambda **wrong: wrong, layers, case) for case in range(20)]
    for lineup in lineups:
        planted = {bug: next(iter(lineup.chains[letter])) for bug, letter in lineup.answers.items()}
        assert planted == {bug: name for bug, (name, _) in PLANTED.items()}
    assert len({tuple(lineup.answers.items()) for lineup in lineups}) > 10
    assert not capsys.readouterr().out
    lineups[0].verdict(lineups[0].answers | {"leaky stack": "?"})
    assert capsys.readouterr().out.splitlines()[-1] == "4 of 5 found"


def test_the_chapter_shows_no_wrong_layer_before_the_verdict():
    before = "".join("".join(cell["source"]) for cell in CELLS[:[cell["id"] for cell in CELLS].index("bugs-verdict")])
    assert not any(name in before for name in ("LeakyStack", "RestartingLives", "EatingNoops", "LastRewardSkip", "ClippedFrames"))
    assert all(source_of(bug).startswith("class ") for bug in PLANTED)


def test_every_picture_has_a_text_for_those_who_cannot_see_it():
    drawn = [output for cell in CELLS for output in cell.get("outputs", []) if "image/png" in output.get("data", {})]
    assert len(drawn) >= 7 and all(output["metadata"]["image/png"]["alt"].endswith(".") for output in drawn)


def test_the_shipped_curves_are_five_seeds_of_each_way_over_the_same_steps():
    runs = [json.loads(line) for line in (ROOT / "puffer_min" / "policies" / "wrappers.jsonl").read_text().splitlines()]
    assert sorted((run["observation"], run["seed"]) for run in runs) == [(way, seed) for way in ("area", "nearest") for seed in range(5)]
    assert all(len(run["steps"]) == len(run["returns"]) and run["steps"][-1] == 32_768 for run in runs)


@pytest.fixture
def one_thread():
    """A batch of four is less work than to wake a second thread."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def test_the_shipped_policy_of_ataris_pong_wins_the_share_of_points_that_the_end_of_its_log_says(one_thread):
    """The first 1,500 steps of four games, some fifty points: whole games take thousands of steps."""
    pytest.importorskip("ale_py", reason="Atari's games are in ale-py: pip install ale-py")
    policies = ROOT / "puffer_min" / "policies"
    log = [json.loads(line) for line in (policies / "atari_pong.jsonl").read_text().splitlines()]
    end = [row for row in log if row["episodes"]][-5:]
    score = np.average([row["score"] for row in end], weights=[row["episodes"] for row in end])
    policy, points = load_policy(policies / "atari_pong.pt"), []
    with make_vec(Atari, 4, game="pong", observation="ram", frame_stack=2, report_interval=0) as games:
        observations, _ = games.reset(11)
        for _ in range(1500):
            observations, rewards = games.step(policy.act(observations))[:2]
            points += rewards[rewards != 0].tolist()
    assert log[0]["score"] < -17 and len(points) > 20
    assert abs(np.mean(points) - score / (42 - abs(score))) < 0.4, (np.mean(points), len(points), score)


@pytest.mark.long
def test_without_atari_doom_and_opencv_the_chapter_runs_and_says_what_is_missing(tmp_path):
    blocked = "import sys\n" + "".join(f"sys.modules[{name!r}] = None\n" for name in OPTIONAL)
    script = tmp_path / "chapter.py"
    script.write_text(blocked + "\n\n".join(CODE.values()))
    done = subprocess.run([sys.executable, str(script)], cwd=tmp_path, capture_output=True, text=True, timeout=600,
                          env=os.environ | {"PYTHONPATH": str(ROOT)})
    assert done.returncode == 0, done.stderr[-3000:]
    for name in ("ale_py", "cv2", "vizdoom", "stable_baselines3.common.atari_wrappers"):
        assert f"{name} is not installed: its parts of this chapter are left out" in done.stdout
    assert all(f"{words} needed for this {part}" in done.stdout for words, part in (("are", "comparison"), ("are", "part"), ("is", "film")))
