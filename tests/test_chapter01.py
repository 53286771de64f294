"""Level 1: its claims hold, its listing is the package's, and the policy that it shows plays far better than chance."""

import inspect
import json
import math
from pathlib import Path

import numpy as np

import envs
import puffer_min
from envs.slow.squared import Squared
from puffer_min.course.checks.level01 import Scripted
from puffer_min.learner.checkpoint import read_checkpoint

ROOT = Path(__file__).resolve().parents[1]
CHAPTER = ROOT / "chapters" / "01_results.ipynb"
SNAKE = ROOT / "puffer_min" / "policies" / "snake.pt"
BOARD = dict(num_snakes=1, width=20, height=15, num_food=3)


def code_cells():
    """(source, text output) of every code cell of the chapter."""
    cells = [cell for cell in json.loads(CHAPTER.read_text())["cells"] if cell["cell_type"] == "code"]
    return [("".join(cell["source"]), "".join("".join(output.get("text", "")) for output in cell["outputs"])) for cell in cells]


def mean_return(policy, env, episodes=64):
    return puffer_min.evaluate(env, policy, episodes=episodes)["episode_return"]


def test_the_listing_of_the_slow_step_is_the_packages():
    listed = next(output for source, output in code_cells() if "inspect.getsource(Squared.step)" in source)
    assert listed.rstrip() == inspect.getsource(Squared.step).rstrip()


def test_the_boards_of_the_chapter_are_those_the_policy_was_trained_on():
    made = next(source for source, _ in code_cells() if "def new_game" in source)
    contents = read_checkpoint(SNAKE)
    assert contents["env_name"] == "snake" and contents["env_settings"] == BOARD
    assert ", ".join(f"{name}={value}" for name, value in BOARD.items()) in made


def test_the_shipped_snake_is_small_and_beats_chance_by_far():
    env = envs.make("snake", 64, seed=5, report_interval=0, **BOARD)
    trained, chance = mean_return(puffer_min.load_policy(SNAKE), env), mean_return(puffer_min.RandomPolicy(env), env)
    assert SNAKE.stat().st_size < 200_000
    assert chance < 0 and trained > chance + 2


def test_a_year_a_day_is_365_seconds_a_second_and_openai_fives_day_is_213_billion_steps():
    steps = 900 * 365 * 24 * 3600 * 7.5
    assert math.isclose(steps / (24 * 3600), 900 * 365 * 7.5)
    assert any("28 billion seconds of play = 213 billion steps" in output for _, output in code_cells()) and round(steps / 1e9) == 213


def test_the_scripted_environment_resets_itself_and_repeats_its_script():
    env = Scripted([([1.0, 2.0], "terminal"), ([3.0], "truncation")])
    env.reset()
    seen = [tuple(float(array[0]) for array in env.step(np.zeros(1, np.int32))[1:4]) for _ in range(6)]
    assert seen == 2 * [(1, 0, 0), (2, 1, 0), (3, 0, 1)]
