"""What checks of levels 4, 5, 6 and 9 say of a wrong answer points at the place; listings that are shown are the faults that are planted."""

from pathlib import Path

import nbformat
import numpy as np
import pytest

import puffer_min
from puffer_min.course.check import CheckFailed, check
from puffer_min.course.checks import faces, level06, recordings

ROOT = Path(__file__).resolve().parents[1]


def cell(level, grade_id):
    """Source of a cell of a level's solutions notebook."""
    path, = (ROOT / "solutions").glob(f"{level:02d}_*.ipynb")
    return next(cell.source for cell in nbformat.read(path, 4).cells if cell.metadata.get("nbgrader", {}).get("grade_id") == grade_id)


def names(source, **given):
    exec(source, given)
    return given


def the_hand_off(*changes):
    source = cell(5, "handoff_word")
    for old, new in changes:
        assert old in source
        source = source.replace(old, new)
    made = names(source)
    return made["give"], made["serve"], made["take"]


@pytest.mark.parametrize("changes, sentence", [
    ([('return words["result"] if words["done"] == words["ticket"] else None',
       'result = words["result"]\n    return result if words["done"] == words["ticket"] else None')], "in take, look at `done`"),
    ([('    ticket = words["ticket"]\n', '    action, ticket = words["action"], words["ticket"]\n'), ('step(words["action"])', "step(action)")], "in serve, read"),
    ([("        return seen", "        return None")], "serve returns None where there is no new ticket"),
    ([('    words["action"] = action\n    words["ticket"] += 1', '    words["ticket"] += 1\n    words["action"] = action')], "in give, write the action before"),
    ([('words["result"] if', 'words["result"] or None if')], "a result of 0 is a result")])
def test_a_hand_off_that_is_wrong_on_one_side_is_told_which(changes, sentence):
    with pytest.raises(CheckFailed, match=sentence):
        check("handoff_word", *the_hand_off(*changes))
        check("handoff_word", *the_hand_off(*changes), hidden=True)


@pytest.mark.parametrize("old, new, sentence", [
    ("[{} for _ in range(self.num_envs)]", "[{}] * self.num_envs", "one and the same dict"),
    ("vec.final_observations[agent].copy()", "vec.final_observations[agent]", "overwritten by a later episode's"),
    ("vec.final_observations[agent].copy()", "observations[agent].copy()", "not the last observation"),
    ("return vec.reset()[0].copy()", "return vec.reset()[0]", "of reset are overwritten"),
    ("rewards.copy()", "rewards", "the rewards of one step are overwritten")])
def test_a_face_is_told_what_is_shared_and_what_is_wrong(old, new, sentence):
    from stable_baselines3.common.vec_env import VecEnv

    source = cell(4, "vec_face")
    assert old in source
    with pytest.raises(CheckFailed, match=sentence):
        check("vec_face", names(source.replace(old, new), np=np, VecEnv=VecEnv)["make_face"])


def test_a_function_that_is_not_compiled_is_told_so():
    with pytest.raises(CheckFailed, match="not compiled: write it in a %%cython cell"):
        check("white", lambda rows, columns, sides, row, column, side: -1)


def test_one_text_for_a_whole_game_is_told_what_is_missing():
    with pytest.raises(CheckFailed, match="not where: return a list"):
        check("fingerprint", lambda env, actions: "00000000")


def test_a_table_of_whole_numbers_is_told_so():
    source = cell(5, "first_ready").replace("np.zeros((2, steps, vec.num_envs))", "np.zeros((2, steps, vec.num_envs), int)")
    with pytest.raises(CheckFailed, match="expected real numbers"):
        check("first_ready", names(source, np=np)["first_ready"])


def carts():
    return puffer_min.as_sb3(puffer_min.make_vec("cartpole", num_envs=3, seed=4, max_episode_steps=5))


@pytest.mark.parametrize("listing, fault", [("A", "memory"), ("B", "last"), ("C", "time")])
def test_the_adapters_shown_are_those_planted(listing, fault):
    shown, planted = names(cell(4, "adapter_culprit-setup"), np=np)[listing](carts()), faces.planted(fault, 3, 5, 4)
    first = shown.reset()
    assert np.array_equal(first, planted.reset())
    for _ in range(12):
        ours, theirs = shown.step(np.zeros(3, int)), planted.step(np.zeros(3, int))
        assert all(np.array_equal(a, b) for a, b in zip(ours[:3], theirs[:3], strict=True))
        for a, b in zip(ours[3], theirs[3], strict=True):
            assert a.get("TimeLimit.truncated") == b.get("TimeLimit.truncated")
            assert np.array_equal(a.get("terminal_observation"), b.get("terminal_observation"))
    assert (ours[0] is first) == (fault == "memory") == (theirs[0] is planted.rows)


@pytest.mark.parametrize("listing, fault", [("A", "in place"), ("B", "late"), ("C", "bytes")])
def test_the_views_shown_are_those_planted(listing, fault):
    rows = [np.arange(1, 7, dtype=np.float32).reshape(2, 3).view(np.uint8) for _ in range(2)]
    kind, planted = names(cell(6, "view_culprit-setup"), np=np)[listing], level06.View(rows[0], fault)
    shown = kind(rows[1]) if fault == "late" else kind()
    shown.rows = getattr(shown, "rows", rows[1])
    for _ in range(2):
        assert np.array_equal(shown.read(), planted.read()) and np.array_equal(*rows)
        for each in rows:
            each.view(np.float32)[:] += 2


@pytest.mark.parametrize("level, id, line, instead, sentence", [
    (6, "view_culprit", "    numbers[:] = 0.3\n", "", "where it is 'in place'.*zeros stay zeros"),
    (9, "index_culprit", "np.array([10, *columns], np.int32)", "np.array([10, *columns])", "3 int32, 3 int64, 3 uint8, expected"),
    (9, "index_culprit", "np.full(len(places), 10, np.int32)", "np.full(10, len(places), np.int32)", "10 int32, 3 int32, 3 uint8, expected")])
def test_an_experiment_is_told_what_it_took_for_granted(level, id, line, instead, sentence):
    source = cell(level, id)
    assert line in source
    with pytest.raises(CheckFailed, match=sentence):
        check(id, names(source.replace(line, instead), np=np)[id])


def test_the_lines_of_the_index_shown_are_those_planted():
    shown = names(cell(9, "index_culprit-setup"), np=np)
    rows, columns, sides = np.full(3, 9, np.int32), np.array([9, 12, 6], np.int32), np.array([0, 1, 1], np.uint8)
    assert shown["A"]().closer(9, 9) and recordings.Index("ties").nearest(rows, columns, sides, 3)[0] == 2
    assert not shown["B"]().inside(0, 3, 3) and recordings.Index("edge").nearest(rows, columns, sides, 3)[0] == -1
    index, listing = recordings.Index("stale"), shown["C"]()
    assert index.nearest(rows, columns, sides, 3)[0] == 1 and listing.positions(rows, columns)[1] is not columns
    moved = columns + np.array([0, 20, 20], np.int32)
    assert index.nearest(rows, moved, sides, 3)[0] == 1 and np.array_equal(listing.positions(rows, moved)[1], columns)
    assert index.nearest(rows[:2], moved[:2], sides[:2], 3)[0] == -1 and listing.positions(rows[:2], moved[:2])[1].tolist() == [9, 32]
