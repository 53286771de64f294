"""The debugging lab: a broken version breaks one thing and nothing else, and the tests show what they are said to show."""

import numpy as np
import pytest

import envs
from puffer_min.course import debugging, faults
from puffer_min.course.debugging import CASES, TESTS, Case, Lab, evidence, expected_tests, shows
from puffer_min.course.film import film_strip, moving_picture
from puffer_min.env.actions import random_legal_actions

QUICK = ("play", "first observation", "scale", "ends")                     # the tests that train nothing
HEALTHY = Case("nothing", ())
EVERY = [(game, name) for game in CASES for name in CASES[game]]


def trajectory(env, steps=300, seed=3):
    """All that a learner is given, over `steps` of random play with the simulator's own draws."""
    random = np.random.default_rng(seed)
    rows = [env.reset(seed)[0].copy()]
    for _ in range(steps):
        actions = random.integers(0, env.single_action_space.n, env.num_agents).astype(np.int32)
        rows += [part.copy() for part in env.step(actions)[:4]]
    return rows


@pytest.mark.parametrize("game", CASES)
def test_a_version_without_a_fault_is_the_simulator_itself(game):
    plain, wrapped = (trajectory(env) for env in (envs.make(game, 16), faults.Broken(envs.make(game, 16))))
    assert all(np.array_equal(a, b) for a, b in zip(plain, wrapped, strict=True))


@pytest.mark.parametrize("kind, changed", [
    (faults.Unscaled, "observations"), (faults.EmptyFirst, "observations"), (faults.AxesExchanged, "observations"),
    (faults.WholeDivision, "observations"), (faults.NeverEnds, "terminals"), (faults.WrongSign, "rewards")])
def test_a_fault_changes_what_it_names_and_nothing_else(kind, changed):
    healthy, broken = faults.Broken(envs.make("breakout", 16)), kind(envs.make("breakout", 16))
    found = {"observations": False, "rewards": False, "terminals": False}
    healthy.reset(0), broken.reset(0)
    random = np.random.default_rng(0)
    for _ in range(400):
        actions = random.integers(0, 4, 16).astype(np.int32)
        healthy.step(actions)
        broken.step(actions)
        for name in found:
            found[name] |= not np.array_equal(getattr(healthy, name), getattr(broken, name))
    assert {name for name, differs in found.items() if differs} == {changed}
    assert np.array_equal(healthy.render(3), broken.render(3))


def test_an_empty_first_observation_is_empty_on_the_first_step_of_every_episode_alone():
    env = faults.EmptyFirst(envs.make("breakout", 8))
    assert not env.reset(0)[0].any()
    for _ in range(600):
        observations, _, terminals, _, _ = env.step(np.full(8, 1, np.int32))
        assert np.array_equal(~observations.any(1), terminals)


def test_faults_can_be_combined_and_their_log_says_what_the_learner_was_paid():
    env = faults.NeverEnds(faults.WrongSign(envs.make("breakout", 8, report_interval=0)))
    env.reset(0)
    for _ in range(600):
        assert not env.step(np.full(8, 1, np.int32))[2].any()
    log = env.log()
    assert log["n"] > 0 and log["episode_return"] < 0 < log["score"]


def test_a_saved_state_goes_on_as_the_original_does():
    env = faults.Unscaled(envs.make("breakout", 4))
    trajectory(env, 50)
    state = env.get_state()
    actions = np.random.default_rng(1).integers(0, 4, (40, 4)).astype(np.int32)
    first = [env.step(row)[0].copy() for row in actions]
    env.set_state(state)
    assert all(np.array_equal(env.step(row)[0], seen) for row, seen in zip(actions, first, strict=True))


def test_whole_moves_offer_only_legal_moves_and_a_game_has_five_at_most():
    env = faults.WholeMoves(envs.make("triple_triad", 32, opponent="random", report_interval=0, **faults.WholeMoves.settings))
    env.reset(0)
    random = np.random.default_rng(0)
    for _ in range(50):
        placed = (env.env.observations[:, 36:54] > 0).sum(1)
        env.step(random_legal_actions(env, random))
        over = env.terminals
        assert ((env.env.observations[:, 36:54] > 0).sum(1) > placed)[~over].all()
    log = env.log()
    assert log["n"] >= 32 * 50 // 5 - 32 and log["episode_length"] <= 10            # two steps of the simulator a move


@pytest.mark.parametrize("kind, free, taxed", [
    (faults.FreeStalling, {"no-op", "selecting"}, set()), (faults.TaxedNoOps, {"selecting"}, {"no-op"}),
    (faults.TaxedStalling, set(), {"no-op", "selecting"})])
def test_remedies_tax_what_they_say(kind, free, taxed):
    env = kind(envs.make("triple_triad", 4, opponent="random", **kind.settings))
    env.reset(0)
    costs = {"no-op": env.step(np.zeros(4, np.int32))[1].copy(), "selecting": env.step(np.full(4, 2, np.int32))[1].copy()}
    for name, rewards in costs.items():
        assert np.allclose(rewards, 0 if name in free else -0.1), name
    free_cell = (env.env.observations[:, 36:54].reshape(4, 2, 9).sum(1) == 0).argmax(1)
    assert np.allclose(env.step((6 + free_cell).astype(np.int32))[1], 0), "placing a card costs nothing"


# ---------------------------------------------------------------------- the tests that a reader buys

def same(a, b):
    return all(np.allclose(np.array(one, float), np.array(other, float)) for one, other in zip(flat(a), flat(b), strict=True))


def flat(numbers):
    return [value for part in numbers.values() for value in (part.values() if isinstance(part, dict) else [part])]


# Numbers that move without showing what is wrong: another game is played, or a mean shifts by a trifle.
FAINT = {("breakout", "first"): {"scale"}, ("breakout", "axes"): {"scale"}, ("breakout", "bytes"): {"ends", "scale"},
         ("triple_triad", "first"): {"scale"}, ("triple_triad", "axes"): {"ends", "scale"},
         ("triple_triad", "bytes"): {"ends", "scale"}, ("triple_triad", "stalling"): {"play", "ends", "scale"}}


@pytest.mark.parametrize("game, name", EVERY)
def test_the_quick_tests_show_what_the_table_says(game, name):
    case = CASES[game][name]
    moved = {test for test in QUICK if not same(evidence(game, case, test).numbers, evidence(game, HEALTHY, test).numbers)}
    assert moved - FAINT.get((game, name), set()) == set(case.shown_by) & set(QUICK)


@pytest.mark.parametrize("game", CASES)
def test_evidence_is_what_a_person_would_see(game):
    of = {name: {test: evidence(game, case, test).numbers for test in QUICK} for name, case in CASES[game].items()}
    assert of["first"]["first observation"]["nonzero"] == 0 < of["end"]["first observation"]["nonzero"]
    assert of["end"]["ends"]["learner"] == 0 < of["end"]["ends"]["simulator"]
    assert of["learner"]["ends"]["learner"] == of["learner"]["ends"]["simulator"]
    if game == "breakout":
        assert of["scale"]["scale"]["most"] > 300 and of["end"]["scale"]["most"] <= 1
        assert of["division"]["scale"]["spread"]["ball across"] == 0
        assert of["sign"]["play"]["reward"] == -1 and of["end"]["play"]["reward"] == 1
        moved = of["bytes"]["play"]["moved"]
        assert moved[0] > 0.3 and moved[1:] == [0, 0, 0]
    else:
        assert of["sign"]["play"] == {**of["end"]["play"], "reward": -of["end"]["play"]["reward"]} and of["end"]["play"]["won"]
        assert of["bytes"]["play"]["as placed"] == [True, False, False, False]
        assert of["axes"]["play"]["as placed"] == [False] * 4
        assert of["division"]["scale"]["spread"]["cards on the board"] == 0


def test_the_control_experiment_clears_the_learner_and_convicts_a_stuck_one():
    healthy = evidence("breakout", CASES["breakout"]["scale"], "control experiment").numbers["return"]
    stuck = evidence("breakout", CASES["breakout"]["learner"], "control experiment").numbers["return"]
    assert stuck < 40 and healthy > 2 * stuck


def test_a_policy_that_is_watched_stalls_where_stalling_is_free():
    found = evidence("triple_triad", CASES["triple_triad"]["stalling"], "two frames a second")
    assert "," in found.numbers["captions"][0] and len(found.numbers["captions"]) == 12
    assert sum(", +0" in caption for caption in found.numbers["captions"]) >= 11          # no game ends, nothing is paid
    assert '<img alt="Twelve steps of a game of triple_triad' in found._repr_html_()


def test_a_policy_that_is_watched_is_paid_for_bricks_unless_the_sign_is_wrong():
    paid = {name: evidence("breakout", CASES["breakout"][name], "two frames a second").numbers["paid"] for name in ("end", "sign")}
    assert paid["sign"] < 0 < paid["end"]


# ---------------------------------------------------------------------- the game

@pytest.mark.parametrize("game", CASES)
def test_every_suspect_is_the_case_of_some_number_and_a_number_is_always_the_same_case(game):
    cases = [Lab(game, case)._name for case in range(80)]
    assert set(cases) == set(CASES[game]) and cases == [Lab(game, case)._name for case in range(80)]


def test_a_verdict_counts_each_test_once_and_names_the_truth():
    lab = Lab("breakout", 0)
    truth = lab._name
    lab.buy("ends"), lab.buy("ends"), lab.buy("play")
    verdict = lab.accuse(truth)
    assert verdict.right and verdict.bought == ("ends", "play") and "after 2 tests" in str(verdict)
    other = next(name for name in lab.suspects if name != truth)
    assert not lab.accuse(other).right and str(lab.accuse(other)).startswith("Wrong")
    assert CASES["breakout"][truth].sentence in str(verdict)


@pytest.mark.parametrize("call, words", [
    (lambda: Lab("chess"), "game"), (lambda: Lab(case=-1), "case"), (lambda: Lab().buy("luck"), "test"),
    (lambda: Lab().accuse("me"), "suspect"), (lambda: expected_tests(["ends"], shows("breakout"), CASES["breakout"]), "leaves")])
def test_what_does_not_exist_is_refused_by_name(call, words):
    with pytest.raises(ValueError, match=words):
        call()


def test_expected_tests_of_a_small_table_by_hand():
    table = {"a": {"x", "y"}, "b": {"z"}, "c": {"w"}}
    assert expected_tests(["a", "b", "c"], table, "xyzw") == (1 + 1 + 2 + 2) / 4          # w is left over after two
    assert expected_tests(["c", "b", "a"], table, "xyzw") == (1 + 2 + 3 + 3) / 4


# ---------------------------------------------------------------------- pictures

def test_a_moving_picture_is_a_gif_with_its_frames_and_an_alt_text():
    frames = [np.full((40, 60, 3), value, np.uint8) for value in (0, 120, 240)]
    picture = moving_picture(frames, alt='three "greys"')
    assert picture.data.startswith(b"GIF89a") and picture.data.count(b"\x21\xf9\x04") == 3
    assert 'alt="three &quot;greys&quot;"' in picture._repr_html_()
    for wrong in (lambda: moving_picture([], alt="x"), lambda: moving_picture(frames, alt=" ")):
        with pytest.raises(ValueError, match="expected at least one frame"):
            wrong()


def test_a_film_strip_holds_the_frames_and_refuses_too_many():
    frames = [np.zeros((40, 60, 3), np.uint8)] * 5
    figure = film_strip(frames, ["one", "two"], rows=2)
    assert len(figure.axes) == 6 and figure._repr_png_().startswith(b"\x89PNG")
    with pytest.raises(ValueError, match="17 frames"):
        film_strip((frames * 4)[:17])


def test_the_learner_of_the_lab_is_the_same_for_every_case_but_one():
    assert [name for name, case in CASES["breakout"].items() if case.learner] == ["learner"]
    assert set(debugging.STUCK) < set(dir(debugging.puffer_min.Config)) and len(TESTS) == 6
