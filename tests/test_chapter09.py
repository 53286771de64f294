"""Chapter 9 and its checks say what the package does: the rungs are the game, the listings are the sources, the prose types no speed."""

import hashlib
import inspect
import json
import re
from pathlib import Path

import numpy as np
import pytest

import envs
from chapters.skirmish_stages.ablation import ABLATIONS, whole, without
from envs.slow.skirmish import Skirmish
from puffer_min.course.annotate import annotate
from puffer_min.course.build import build
from puffer_min.course.checks import level09

ROOT = Path(__file__).resolve().parents[1]
STAGES = ROOT / "chapters" / "skirmish_stages"
CELLS = json.loads((ROOT / "chapters" / "09_custom_simulation.ipynb").read_text())["cells"]
CODE = {cell["id"]: cell for cell in CELLS if cell["cell_type"] == "code"}
FAST = {"compile_args": ["-O1"]}


def source_of(cell):
    return "".join(cell["source"])


def fingerprint(env, ticks=60, seed=1):
    random = np.random.RandomState(seed)
    digest = hashlib.sha256(env.reset(seed=seed)[0].tobytes())
    for _ in range(ticks):
        observations, rewards, *_ = env.step((random.random_sample((10, 6)) * (7, 7, 3, 2, 2, 2)).astype(np.int32))
        digest.update(observations.tobytes() + rewards.tobytes())
    return digest.hexdigest()


@pytest.fixture(scope="module")
def stages():
    return {name: build(STAGES / f"{name}.pyx", **FAST) for name in ("typed", "structs", "bits", "indexes")}


@pytest.mark.parametrize("scan_every", [1, 5])
def test_every_rung_plays_the_same_game_as_the_twin_and_the_package(stages, scan_every):
    expected = fingerprint(Skirmish(scan_every=scan_every))
    for name in ("typed", "structs", "bits"):
        assert fingerprint(stages[name].Skirmish(scan_every=scan_every)) == expected, name
    assert fingerprint(envs.make("skirmish", scan_every=scan_every)) == expected


def test_five_indexes_give_one_answer(stages):
    rng, indexes = np.random.default_rng(0), stages["indexes"]
    for n, radius in ((1, 3), (2, 63), (40, 5), (300, 1), (900, 12)):
        crowd = level09.crowd(rng, n)
        answers = {}
        for name in indexes.NAMES:
            answers[name] = np.empty(n, np.int32)
            indexes.nearest(name, *crowd, radius, answers[name])
        assert all(np.array_equal(answers[name], level09.brute_force(*crowd, radius)) for name in indexes.NAMES)


def test_an_index_that_does_not_exist_is_refused_with_those_that_do(stages):
    with pytest.raises(ValueError, match="expected one of window, entity list, buckets, quadtree, bit rows"):
        stages["indexes"].nearest("octree", *level09.crowd(np.random.default_rng(0), 4), 3, np.empty(4, np.int32))


@pytest.mark.parametrize("idea", ABLATIONS)
def test_every_ablation_changes_the_source_of_the_package_and_not_its_game(idea):
    """The chapter plays them and compares; here each is a change that the present source still allows."""
    assert without(idea) != whole() and whole().count("cdef class Skirmish(Native)") == 1


def test_the_rung_of_structs_is_white_and_asks_for_no_exception():
    notes = annotate(STAGES / "structs.pyx")
    hot = [name for name in notes.functions if "." not in name]
    assert len(hot) >= 14
    for name in hot:
        assert not notes.python_lines(name) and not notes.exception_checks(name), name


@pytest.mark.parametrize("cell, names", [("typed-listing", ("scan", "at", "nearest")), ("structs-listing", ("distance", "nearest")),
                                         ("bakeoff-listing", ("window", "everybody", "buckets", "bit_rows")),
                                         ("bits-listing", ("enter", "leave", "nearest"))])
def test_listings_shown_of_the_stages_are_their_present_sources(cell, names):
    shown = "".join(CODE[cell]["outputs"][0]["data"]["text/markdown"])
    texts = [path.read_text() for path in STAGES.glob("*.pyx")]
    functions = shown.removeprefix("```cython\n").removesuffix("\n```").split("\n\n")
    assert len(functions) == len(names)
    assert all(any(function in text for text in texts) for function in functions), "run the chapter again and commit it"


def test_listings_shown_of_the_package_are_its_present_sources():
    slow = "".join(CODE["show-slow"]["outputs"][0]["data"]["text/markdown"])
    for function in (Skirmish.act, Skirmish.scan, Skirmish.at, Skirmish.nearest):
        assert inspect.getsource(function) in slow, "run the chapter again and commit it"
    native = "".join(CODE["index-listing"]["outputs"][0]["data"]["text/markdown"])
    package = (ROOT / "envs" / "skirmish_map.pxd").read_text()
    functions = native.removeprefix("```cython\n").removesuffix("\n```").split("\n\n")
    assert len(functions) == 2 and all(function in package for function in functions), "run the chapter again and commit it"


def test_reference_of_nearest_foe_is_its_slow_version():
    rng = np.random.default_rng(2)
    for n in (1, 3, 40):
        crowd = level09.crowd(rng, n)
        assert level09.reference_nearest_foe(*crowd, 9, 50, 1) == level09.slow_nearest_foe(*crowd, 9, 50, 1)


def test_reference_of_buckets_is_its_slow_version():
    crowd = level09.crowd(np.random.default_rng(3), 150)
    assert level09.brute_force(*crowd, 6).tolist() == level09.slow_buckets(*crowd, 6)


def test_every_rung_is_predicted_examined_proven_equal_and_measured():
    """For each rung: a slider, `examine` (score, calls, lines), and a proof before the measurement; the game is the same in all of them."""
    text = "\n".join(source_of(cell) for cell in CODE.values())
    predicted = re.findall(r'ladder\.slider\("([^"]+)"', text)
    measured = re.findall(r'(?:climb|ladder\.measure)\("([^"]+)"', text)
    assert len(predicted) == 10 and set(predicted) <= set(measured)
    assert len(re.findall(r"(?<!def )\bexamine\(", text)) == 10
    proven = [cell for cell in CODE.values() if "climb(" in source_of(cell) and "def climb" not in source_of(cell)]
    for cell in proven:
        before = source_of(CELLS[CELLS.index(cell) - 1]) if cell["id"] == "cadence" else source_of(cell)
        assert "assert fingerprint(" in before, f"{cell['id']} measures what it has not proven equal"
    assert "np.array_equal(one[0], all_games[0][:10])" in source_of(CODE["batch-equal"])
