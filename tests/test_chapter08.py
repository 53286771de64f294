"""Chapter 8 and its checks say what the package does: listings are the sources, logs are whole, every picture has an alt text."""

import inspect
import itertools
import json
import re
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from puffer_min.course import ablation, faults, stalling
from puffer_min.course.check import CheckFailed, check
from puffer_min.course.checks import level08
from puffer_min.course.debugging import CASES, TESTS, expected_tests, shows
from puffer_min.course.solutions import replace_region

ROOT = Path(__file__).resolve().parents[1]
CELLS = json.loads((ROOT / "chapters" / "08_environments.ipynb").read_text())["cells"]
CODE = {cell["id"]: cell for cell in CELLS if cell["cell_type"] == "code"}
SOLUTIONS = json.loads((ROOT / "solutions" / "08_environments.ipynb").read_text())["cells"]


def read(name):
    return [json.loads(line) for line in (ROOT / "chapters/runs" / name).read_text().splitlines()]


# ---------------------------------------------------------------------- what the chapter shows

def test_the_listings_of_faults_are_their_present_sources():
    shown = "".join(CODE["faults-listing"]["outputs"][0]["data"]["text/markdown"])
    for kind in (faults.Unscaled, faults.EmptyFirst, faults.NeverEnds):
        assert inspect.getsource(kind) in shown, "run the chapter again and commit it"


def test_every_picture_of_the_chapter_has_an_alt_text():
    for cell in CODE.values():
        for output in cell["outputs"]:
            data, metadata = output.get("data", {}), output.get("metadata", {})
            if "image/png" in data:
                assert metadata.get("image/png", {}).get("alt"), f"{cell['id']} draws a figure without .described(...)"
            for picture in re.findall(r"<img [^>]*>", "".join(data.get("text/html", ""))):
                assert re.search(r'alt="[^"]{12,}"', picture), f"{cell['id']} shows a picture without an alt text"
    for text in ("".join(cell["source"]) for cell in CELLS if cell["cell_type"] == "markdown"):
        assert "![](" not in text


def test_two_pictures_move_without_a_kernel():
    moving = [cell["id"] for cell in CODE.values() for output in cell["outputs"]
              if "data:image/gif" in "".join(output.get("data", {}).get("text/html", ""))]
    assert len(moving) >= 2


def test_the_diagram_of_the_search_says_what_the_table_of_the_lab_says():
    table, suspects = shows("breakout"), set(CASES["breakout"])
    order = ("first observation", "play", "ends")
    best = min(expected_tests(each, table, suspects) for each in itertools.permutations(TESTS))
    assert expected_tests(order, table, suspects) == best
    left, found = set(suspects), []
    for test in order:
        found.append(f"{len(left & table[test])} of {len(left)}")
        left -= table[test]
    text = (ROOT / "chapters/diagrams/08_search.svg").read_text()
    assert left == {"learner"} and all(share in text for share in found)


# ---------------------------------------------------------------------- the logs and the commands that made them

def test_the_log_of_the_ablation_holds_every_combination_five_times():
    runs = read("breakout_ablation.jsonl")
    there = Counter(tuple(run["broken"]) for run in runs)
    every = [tuple(name for name, broken in zip(ablation.FAULTS, undone, strict=True) if broken)
             for undone in itertools.product((False, True), repeat=3)]
    assert there == dict.fromkeys(every, 5) and {run["seed"] for run in runs} == set(range(5))
    updates = -(-ablation.SETTINGS["total_steps"] // 4096)
    assert {run["curve"][-1][0] for run in runs} == {updates // 30 * 30 * 4096}


def test_the_log_of_remedies_holds_every_remedy_five_times_against_both_opponents():
    runs = read("triple_triad_stalling.jsonl")
    assert Counter((run["opponent"], run["remedy"]) for run in runs) == dict.fromkeys(itertools.product(stalling.OPPONENTS, stalling.REMEDIES), 5)


def test_a_run_of_the_ablation_is_the_same_for_the_same_seed_and_keeps_its_faults(tmp_path):
    small = dict(total_steps=16_384, num_envs=64)
    one, again = (ablation.learn(("end", "scale"), seed=3, **small) for _ in range(2))
    keys = ("step", "episode_return", "episode_length", "value_loss")
    assert [[row[key] for key in keys] for row in one] == [[row[key] for key in keys] for row in again]
    healthy = ablation.learn((), seed=3, **small)
    assert [row["value_loss"] for row in healthy] != [row["value_loss"] for row in one]
    assert len(ablation.curve(one, points=4)) == 4


@pytest.mark.parametrize("remedy", stalling.REMEDIES)
def test_each_remedy_trains_and_is_judged(remedy):
    policy = stalling.learn(remedy, "random", total_steps=4096).policy
    report = stalling.judge(remedy, "random", policy, tables=16, steps=450)
    assert report["n"] >= 16 and 0 <= report["wins"] <= 1


# ---------------------------------------------------------------------- the checks

def test_the_listings_of_the_planted_bug_are_those_that_the_check_plants():
    shown = "".join(next(cell for cell in SOLUTIONS if cell["id"] == "culprit-setup")["source"])
    for letter, name in zip("ABC", ("rewards", "observations", "ends"), strict=True):
        body = inspect.getsource(level08.LISTINGS[name]).split('"""\n\n')[1].rstrip()
        assert body in shown.split(f"class {letter}(Broken):")[1], name


def test_the_greedy_order_is_not_the_best_one_in_the_table_that_deceives_it():
    table = level08.GREEDY_FAILS
    suspects = sorted(set().union(*table.values()))
    left, order = set(suspects), []
    while len(order) < len(table):
        order.append(max(sorted(set(table) - set(order)), key=lambda test: len(table[test] & left)))
        left -= table[order[-1]]
    assert expected_tests(order, table, suspects) > expected_tests(level08.best_order(table, suspects), table, suspects)


def test_going_on_greedily_from_every_first_test_is_not_the_best_in_the_table_that_deceives_it_twice():
    table = level08.TWICE_DECEIVED
    suspects = sorted(set().union(*table.values()))
    best = expected_tests(level08.best_order(table, suspects), table, suspects)
    for order in ([test] for test in table):
        left = set(suspects) - table[order[0]]
        while len(order) < len(table):
            order.append(max(sorted(set(table) - set(order)), key=lambda test: len(table[test] & left)))
            left -= table[order[-1]]
        assert expected_tests(order, table, suspects) > best, order


@pytest.mark.parametrize("mistake, said", [
    ("looks at the reset alone", "it looks at the reset alone"), ("keeps references", "copy what you keep"),
    ("forgets truncations", "beside a truncation"), ("the upper bound alone", "the upper bound alone"),
    ("counts steps with an end", "several agents can end at one"), ("one bound for all numbers", "one pair of bounds"),
    ("a bound counts as outside", "takes a bound itself for outside"), ("empty rows of all times", "in the middle of an episode"),
    ("constant in time alone", "agents may differ"), ("empty where the first number is zero", "the first number alone"),
    ("resets at the first end of each step", "begins again by itself"), ("always the same action", "random_actions(env)")])
def test_the_first_days_check_names_the_mistake(mistake, said):
    cell = next(cell for cell in SOLUTIONS if cell["id"] == "first_day-answer")
    source = next(entry["source"] for entry in cell["metadata"]["exercise"]["mistakes"] if entry["name"] == mistake)
    scope = {}
    exec("".join(next(cell for cell in SOLUTIONS if cell["id"] == "setup")["source"]), scope)
    exec(replace_region("".join(cell["source"]), source), scope)
    with pytest.raises(CheckFailed, match=re.escape(said)):
        for part, hidden in itertools.product(("", "edges"), (False, True)):
            check("first_day", scope["first_day"], part=part, hidden=hidden)


def test_effects_of_a_table_by_hand():
    scores = np.zeros((2, 2, 2, 2))
    scores[0, :, 0] = 8                                 # eight bricks unless the first or the third factor is broken
    main, pair = level08.reference_effects(scores)
    assert main.tolist() == [-4, 0, -4] and pair.tolist() == [[0, 0, 8], [0, 0, 0], [8, 0, 0]]


def test_the_chapter_computes_the_effects_that_the_check_expects():
    scope = {"np": np, "SEED": 0}
    source = "".join(CODE["ablation-effects"]["source"]).split("sizes = ")[0]
    runs = read("breakout_ablation.jsonl")
    cells = list(itertools.product((0, 1), repeat=3))
    scope["scores"] = np.array([[run["curve"][-1][1] for run in runs if tuple(int(name in run["broken"]) for name in ablation.FAULTS) == cell]
                                for cell in cells]).reshape(2, 2, 2, -1)
    exec(source, scope)
    main, pair = level08.reference_effects(scope["scores"])
    found = [scope["effect"](scope["main"](k))[0] for k in range(3)]
    assert np.allclose(found, main) and np.isclose(scope["effect"](scope["pair"](0, 2))[0], pair[0, 2])
