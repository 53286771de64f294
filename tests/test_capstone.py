"""The capstone's worked example: its compiled games are its oracle, collective control is a mark, the first reward can be hacked."""

import json
import re
import sys
from pathlib import Path

import numpy as np
import pytest

import puffer_min
from puffer_min.commands.locate import load_environment
from puffer_min.course import build

ROOT = Path(__file__).resolve().parents[1]
FOLDER = ROOT / "capstone"
CELLS = {cell["id"]: "".join(cell["source"]) for cell in json.loads((FOLDER / "lift.ipynb").read_text())["cells"]}
sys.path.insert(0, str(FOLDER))

from lift_objects import OPEN, ROOM, UP, Lift, Person  # noqa: E402


@pytest.fixture(scope="module", params=["lift.pyx", "lift_first.pyx"])
def native(request):
    return build(FOLDER / request.param).Lift


@pytest.mark.parametrize("reward, busy, seed", [("people", 20, 0), ("people", 90, 3), ("progress", 50, 2**40)])
def test_both_compiled_games_play_the_objects_trajectories(native, reward, busy, seed):
    env = native(3, seed=seed, reward=reward, busy=busy)
    twins = [Lift(seed=seed, index=i, reward=reward, busy=busy) for i in range(3)]
    seen, expected = env.reset(seed)[0], [twin.reset(seed)[0][0] for twin in twins]
    rng, episodes = np.random.default_rng(1), 0
    for _ in range(500):
        assert np.array_equal(seen, expected)
        actions = rng.choice([0, 1, 2], 3, p=[0.3, 0.4, 0.3]).astype(np.int32)
        seen, rewards, terminals, truncations, _ = env.step(actions)
        for i, twin in enumerate(twins):
            shown, reward_of, _, cut, _ = twin.step(actions[i:i + 1])
            expected[i] = shown[0]
            assert reward_of[0] == rewards[i] and cut[0] == truncations[i] and not terminals[i]
            episodes += int(cut[0])
            assert not cut[0] or np.array_equal(twin.final_observations[0], env.final_observations[i])
    native_log, logs = env.log(), [twin.log() for twin in twins]
    assert episodes == 6 and all(native_log[name] == pytest.approx(np.mean([log[name] for log in logs]), rel=1e-5)
                                 for name in ("score", "waited", "turned_away", "episode_return"))


@pytest.mark.parametrize("environment", [Lift, str(FOLDER / "lift.pyx")], ids=["objects", "compiled"])
def test_both_keep_the_contract(environment):
    report = puffer_min.check_environment(environment)
    assert report.ok, report


def test_who_arrives_gets_out_before_the_queue_gets_in_and_the_cabin_is_never_overfull():
    house = Lift(seed=0, busy=0)
    house.reset(0)
    house.floor, house.cabin = 1, [Person(1, 0) for _ in range(ROOM)]
    house.queues = [[], [Person(7, 0) for _ in range(6)], *([] for _ in range(6))]
    house.step(np.array([OPEN], np.int32))
    assert [person.to for person in house.cabin] == [7] * ROOM and len(house.queues[1]) == 2 and house.delivered == ROOM
    for _ in range(6):
        house.step(np.array([UP], np.int32))
    house.step(np.array([OPEN], np.int32))
    assert house.floor == 7 and house.cabin == [] and house.waited == 7 * ROOM


def test_the_lift_stays_inside_the_house_and_a_full_floor_turns_people_away():
    house = Lift(seed=1, busy=100)
    house.reset(1)
    for _ in range(100):
        house.step(np.array([UP], np.int32))
    assert house.floor == 7 and len(house.queues[0]) == 6 and house.away > 0
    assert house.came == house.away + sum(map(len, house.queues)) + len(house.cabin) + house.delivered


def test_collective_control_as_in_the_notebook_is_far_better_than_chance():
    names = {"np": np, "puffer_min": puffer_min, "FLOORS": 8, "ROOM": ROOM, "Lift": load_environment(str(FOLDER / "lift.pyx"))}
    exec(CELLS["collective"] + "\n" + CELLS["chance"], names)
    collective, chance = names["marks"]["collective"], names["marks"]["chance"]
    assert collective["score"] > 0.9 > 0.4 > chance["score"] and collective["waited"] < 20 < 60 < chance["waited"]


def test_the_notebook_grades_itself_by_every_row_of_the_rubric():
    rubric = (ROOT / "teaching" / "rubrics.md").read_text().partition("## Capstone")[2]
    parts = re.findall(r"^\| (\w+) \|.*\| \d+ \|$", rubric, re.MULTILINE)
    assert len(parts) == 6 and all(f"| {part} |" in CELLS["grade"] for part in parts)
