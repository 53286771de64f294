"""Callbacks see a run, add to its log and may end it; none of them can lose what was learned, or change it."""

import json
from types import SimpleNamespace

import gymnasium
import numpy as np
import pytest
import torch
from PIL import Image
from test_never_lost import SMALL, Steps

import puffer_min
from puffer_min import Callback, CallbackError, EarlyStop, EpisodeGIF, Evaluation
from puffer_min.__main__ import main
from puffer_min.commands.callbacks.callback import Every
from puffer_min.commands.train import train
from puffer_min.learner.checkpoint import read_checkpoint


class Told(Callback):
    """Writes down what it is told; does `deeds[method]`, if there is one, in that method."""

    def __init__(self, **deeds):
        self.deeds, self.told = deeds, []

    def start(self, run):
        self.told.append(("start", run.run_dir))
        return self.deeds.get("start", lambda run: None)(run)

    def update(self, run, update):
        self.told.append(("update", update["step"]))
        return self.deeds.get("update", lambda run: None)(run)

    def end(self, run):
        self.told.append(("end", run.ended))
        self.deeds.get("end", lambda run: None)(run)


def boom(run):
    raise ZeroDivisionError("no wandb today")


def test_a_callback_is_called_at_the_start_after_each_update_and_at_the_end(tmp_path):
    told = Told()
    result = train("squared", run_dir=tmp_path, callbacks=[told], **SMALL)
    assert told.told == [("start", result.run_dir), *(("update", step) for step in range(64, 513, 64)), ("end", "done")]


def test_a_callback_may_spoil_what_it_is_shown_but_not_what_the_run_counts(tmp_path):
    result = train("squared", run_dir=tmp_path / "a", callbacks=[SimpleNamespace(update=lambda run, update: update.clear())], **SMALL)
    assert [update["step"] for update in result.history] == list(range(64, 513, 64))
    with pytest.raises(CallbackError, match="returned step from update, which the run counts itself, expected other names"):
        train("squared", run_dir=tmp_path / "b", callbacks=[Told(update=lambda run: {"step": 5})], **SMALL)


def test_a_callback_that_exits_at_the_end_costs_no_result(tmp_path, capsys):
    def leave(run):
        raise SystemExit(0)
    assert train("squared", run_dir=tmp_path, callbacks=[Told(end=leave)], **SMALL).ended == "done"
    assert "Told.end failed (SystemExit: 0) and is left out" in capsys.readouterr().err


def test_a_callback_alone_is_refused_and_a_reason_of_any_kind_stops_the_run(tmp_path):
    with pytest.raises(TypeError, match=r"callbacks=.*Told object.* given, expected a list"):
        train("squared", run_dir=tmp_path / "a", callbacks=Told(), **SMALL)
    result = train("squared", run_dir=tmp_path / "b", callbacks=[Told(update=lambda run: run.stop(None))], **SMALL)
    assert (result.ended, len(result.history)) == ("stopped", 1)


def test_any_object_with_one_of_the_methods_will_do(tmp_path):
    steps = []
    train("squared", run_dir=tmp_path, callbacks=[SimpleNamespace(update=lambda run, update: steps.append(update["step"]))], **SMALL)
    assert len(steps) == 8


@pytest.mark.parametrize("given, words", [(Told, "the class Told given"), (3, "3 given"), (print, "<built-in function print> given")])
def test_what_is_no_callback_is_refused_before_the_first_step(tmp_path, given, words):
    with pytest.raises(TypeError, match=f"callbacks: {words}, expected objects with start"):
        train("squared", run_dir=tmp_path, callbacks=[given], **SMALL)


def test_a_run_with_callbacks_learns_the_same_to_the_bit(tmp_path):
    """Evaluation and pictures draw from random streams of their own, in environments of their own."""
    watched = [Evaluation(128, episodes=3), EpisodeGIF(256, steps=4), EarlyStop("score", 10**6), Told()]
    plain, seen = (train("squared", run_dir=tmp_path / name, seed=5, callbacks=given, **SMALL)
                   for name, given in (("plain", []), ("seen", watched)))
    weights = [read_checkpoint(result.checkpoint)["policy"] for result in (plain, seen)]
    assert all(torch.equal(weights[0][name], weights[1][name]) for name in weights[0])


# ---------------------------------------------------------------------- numbers for the log

def test_numbers_that_a_callback_returns_join_the_log_the_dashboard_and_the_callbacks_after_it(tmp_path):
    seen, shown = [], []
    gives = Told(update=lambda run: {"mine": np.float32(0.5), "tensor": torch.tensor(2)})
    sees = SimpleNamespace(update=lambda run, update: seen.append(update["mine"]))
    result = train("squared", run_dir=tmp_path, callbacks=[gives, sees], dashboard=lambda update: shown.append(update["tensor"]), **SMALL)
    log = puffer_min.read_log(result.run_dir / "log.jsonl")
    assert seen == [0.5] * 8 and shown == [2] * 8 and [line["mine"] for line in log] == [0.5] * 8


@pytest.mark.parametrize("given", [3, {"a": "text"}, {1: 2}, {"a": np.zeros(2)}], ids=str)
def test_what_is_no_number_by_name_ends_the_run_in_a_sentence_and_leaves_a_checkpoint(tmp_path, given):
    with pytest.raises(CallbackError, match="callback Told returned .* from update, expected numbers by name or None"):
        train("squared", run_dir=tmp_path, callbacks=[Told(update=lambda run: given)], **SMALL)
    assert read_checkpoint(tmp_path / "checkpoint.pt")["steps"] == 64


# ---------------------------------------------------------------------- stopping

def test_a_callback_stops_the_run_with_a_checkpoint_and_its_reason(tmp_path):
    told = Told(update=lambda run: run.stop("enough") if run.learner.steps >= 192 else None)
    result = train("squared", run_dir=tmp_path, callbacks=[told], **SMALL)
    assert (result.ended, result.reason, result.history[-1]["step"], told.told[-1]) == ("stopped", "enough", 192, ("end", "stopped"))
    assert "stopped (enough); log and checkpoint are in" in str(result) and read_checkpoint(result.checkpoint)["steps"] == 192
    assert train("squared", resume=result.checkpoint).history[-1]["step"] == 512, "a resumed run goes on"


def stopped_at(curve, **how):
    """The step, in updates of 10, at which EarlyStop("score", 30) ends a run with this curve; None where it goes on."""
    stop, reasons = EarlyStop("score", 30, **how), []
    run = SimpleNamespace(stop=reasons.append, history=[])
    stop.start(run)
    for number, score in enumerate(curve):
        stop.update(run, {"step": 10 * number} | ({} if score is None else {"score": score}))
        if reasons:
            return 10 * number
    return None


@pytest.mark.parametrize("curve, how, end", [
    ([1, 2, 3, 4, 5], {}, None),
    ([1, 5, 4, 4, 4, 4], {}, 40),
    ([1, 5, 4, 5, 6, 4, 4, 4], {}, 70),
    ([None, None, 1, None, None, 1], {}, 50),
    ([None] * 9, {}, None),
    ([1.0, 1.1, 1.2, 1.3, 1.4], {"least": 0.5}, 30),
    ([5, 4, 3, 2], {"falling": True}, None),
    ([1, 2, 3, 4, 5], {"falling": True}, 30),
    ([1, 2, 3, 4], {"reach": 3}, 20),
    ([4, 3, 2], {"reach": 3, "falling": True}, 10),
])
def test_early_stop_counts_the_steps_since_the_last_improvement(curve, how, end):
    assert stopped_at(curve, **how) == end


def test_early_stop_says_when_its_number_never_came(tmp_path, capsys):
    assert train("squared", run_dir=tmp_path, callbacks=[EarlyStop("sorce", 64)], **SMALL).ended == "done"
    assert "EarlyStop never saw 'sorce' in the log, which holds update, step" in capsys.readouterr().err


# ---------------------------------------------------------------------- a callback that raises

@pytest.mark.parametrize("at, steps", [(64, 64), (320, 320)])
def test_a_callback_that_raises_ends_the_run_in_a_sentence_after_the_checkpoint(tmp_path, at, steps):
    told = Told(update=lambda run: boom(run) if run.learner.steps == at else None)
    with pytest.raises(CallbackError) as caught:
        train("squared", run_dir=tmp_path, callbacks=[told], checkpoint_interval=2, **SMALL)
    assert str(caught.value) == "callback Told failed in update (ZeroDivisionError: no wandb today)"
    assert f"The policy of step {steps} is in {tmp_path / 'checkpoint.pt'}; resume= goes on from there." in caught.value.__notes__
    assert isinstance(caught.value.__cause__, ZeroDivisionError) and told.told[-1] == ("end", None)
    assert [line["step"] for line in puffer_min.read_log(tmp_path / "log.jsonl")] == list(range(64, steps + 1, 64))


def test_a_run_that_a_callback_ended_goes_on_exactly(tmp_path):
    told = Told(update=lambda run: boom(run) if run.learner.steps == 192 else None)
    with pytest.raises(CallbackError):
        train("squared", run_dir=tmp_path / "broken", seed=3, callbacks=[told], **SMALL)
    resumed = train("squared", resume=tmp_path / "broken" / "checkpoint.pt")
    whole = train("squared", run_dir=tmp_path / "whole", seed=3, **SMALL)
    weights = [read_checkpoint(result.checkpoint)["policy"] for result in (resumed, whole)]
    assert all(torch.equal(weights[0][name], weights[1][name]) for name in weights[0])


def test_a_callback_that_raises_at_the_start_ends_the_run_before_it_begins(tmp_path):
    told = [Told(), Told(start=boom)]
    with pytest.raises(CallbackError, match="callback Told failed in start .ZeroDivisionError") as caught:
        train("squared", run_dir=tmp_path, callbacks=told, **SMALL)
    assert caught.value.__notes__ == ["No update was finished, so there is no checkpoint."]
    assert [len(one.told) for one in told] == [2, 1], "only what was started is ended"


def test_a_callback_that_raises_in_end_is_left_out_and_the_result_comes_back(tmp_path, capsys):
    others = Told()
    result = train("squared", run_dir=tmp_path, callbacks=[others, Told(end=boom)], **SMALL)
    assert result.ended == "done" and others.told[-1] == ("end", "done")
    assert "Told.end failed (ZeroDivisionError: no wandb today) and is left out" in capsys.readouterr().err


@pytest.mark.parametrize("deed, words", [
    (lambda run: run.env.close(), "closed the env"), (lambda run: setattr(run, "env", None), "replaced the env"),
    (lambda run: setattr(run, "learner", None), "replaced the learner"), (lambda run: setattr(run.learner, "policy", None), "replaced the policy")])
def test_a_callback_that_takes_away_what_the_run_needs_is_named_and_the_policy_is_kept(tmp_path, deed, words):
    told = Told(update=lambda run: deed(run) if run.learner.steps == 128 else None)
    with pytest.raises(CallbackError, match=f"^callback Told {words} of the run in update, expected") as caught:
        train("squared", run_dir=tmp_path, callbacks=[told], **SMALL)
    assert "The policy of step 128 is in" in caught.value.__notes__[0] and read_checkpoint(tmp_path / "checkpoint.pt")["steps"] == 128


def test_a_callback_is_ended_where_an_environment_raises(tmp_path):
    told = Told()
    Steps.at = {40: lambda: boom(None)}
    with pytest.raises(ZeroDivisionError):
        train(Steps, run_dir=tmp_path, callbacks=[told], **SMALL)
    assert told.told[-1] == ("end", None) and read_checkpoint(tmp_path / "checkpoint.pt")["steps"] == 128


# ---------------------------------------------------------------------- evaluation

class Rising(Callback):
    """Turns the policy's first bias up at each update until step `top`, then down: the first action more often, then less."""

    def __init__(self, top):
        self.top = top

    def update(self, run, update):
        with torch.no_grad():
            run.learner.policy.head.bias[0] = 8 - abs(update["step"] - self.top) / 64


class First(Steps):
    """Pays for the first action."""

    def step(self, action):
        return *super().step(action)[:1], float(action == 0), self.t == 5, False, {}


def test_the_best_policy_is_kept_and_is_worth_what_the_log_says(tmp_path, capsys):
    result = train(First, run_dir=tmp_path, callbacks=[Rising(256), Evaluation(64, episodes=200)], learning_rate=1e-9, **SMALL)
    log = puffer_min.read_log(tmp_path / "log.jsonl")
    returns = {line["step"]: line["evaluation_return"] for line in log}
    best = read_checkpoint(tmp_path / "best.pt")
    value, step = best["evaluation"]
    assert len(returns) == 8 and value == max(returns.values()) == returns[step] and step == 256
    assert all(line["evaluation_length"] == 5 for line in log) and float(best["policy"]["head.bias"][0]) == 8
    report = puffer_min.evaluate(First, puffer_min.load_policy(tmp_path / "best.pt", seed=0), episodes=200, seed=5_000)
    assert report["episode_return"] == value, "evaluate finds the same"
    assert f"that of step 256: {tmp_path / 'best.pt'}." in capsys.readouterr().err and result.history[0]["evaluation_score"] >= 0


def test_a_resumed_run_keeps_the_best_of_before(tmp_path):
    first = train(First, run_dir=tmp_path, callbacks=[Rising(256), Evaluation(64, episodes=50)], learning_rate=1e-9, **SMALL)
    best = (tmp_path / "best.pt").read_bytes()
    again = Evaluation(64, episodes=50)
    train(First, resume=first.checkpoint, total_steps=640, callbacks=[Rising(0), again])
    assert (tmp_path / "best.pt").read_bytes() == best and again.best_step == read_checkpoint(tmp_path / "best.pt")["evaluation"][1]


def test_evaluation_needs_an_environment_of_its_own(tmp_path):
    vec = puffer_min.make_vec("squared", num_envs=4)
    settings = {name: value for name, value in SMALL.items() if name != "num_envs"}
    with pytest.raises(CallbackError, match="the run was given a vectorizer, expected env="):
        train(vec, run_dir=tmp_path / "a", callbacks=[Evaluation(64)], **settings)
    result = train(vec, run_dir=tmp_path / "b", callbacks=[Evaluation(256, 2, env="squared", metric="score")], **settings)
    assert [line["step"] for line in result.history if "evaluation_score" in line] == [256, 512]


def test_a_metric_that_no_evaluation_has_is_refused_with_those_there_are(tmp_path):
    with pytest.raises(CallbackError, match="metric='won' given, expected one of .*episode_return"):
        train("squared", run_dir=tmp_path, callbacks=[Evaluation(64, 2, metric="won")], **SMALL)


@pytest.mark.parametrize("resumed, due", [(None, [30, 60, 80]), (40, [70, 80])])
def test_every_so_many_steps_and_at_the_last(resumed, due):
    every, found = Every(30), []
    run = SimpleNamespace(learner=SimpleNamespace(steps=resumed or 0), resumed_at=resumed, config=SimpleNamespace(total_steps=80))
    every.start(run)
    while run.learner.steps < 80:
        run.learner.steps += 10
        found += [run.learner.steps] * every(run)
    assert found == due


# ---------------------------------------------------------------------- pictures

def test_an_episode_becomes_a_gif_without_the_first_picture_of_the_next(tmp_path):
    def make(**settings):
        return gymnasium.wrappers.TimeLimit(gymnasium.make("CartPole-v1", render_mode="rgb_array", **settings), 6)
    train(make, run_dir=tmp_path, callbacks=[EpisodeGIF(512)], **SMALL)
    with Image.open(tmp_path / "episode-512.gif") as picture:
        shown = [picture.seek(i) or picture.info["duration"] for i in range(picture.n_frames)]     # equal frames become one
        assert sum(shown) == 6 * 40 and len(shown) > 1 and picture.size == (600, 400)


def test_a_native_game_is_drawn_for_as_many_frames_as_asked(tmp_path):
    train("pong", run_dir=tmp_path, callbacks=[EpisodeGIF(300, steps=7)], **SMALL)
    assert sorted(path.name for path in tmp_path.glob("*.gif")) == ["episode-320.gif", "episode-512.gif"]
    with Image.open(tmp_path / "episode-512.gif") as picture:
        assert 1 < picture.n_frames <= 7


def test_an_environment_by_gymnasiums_id_is_drawn_as_it_is(tmp_path):
    train("CartPole-v1", run_dir=tmp_path, callbacks=[EpisodeGIF(512, steps=3)], **SMALL)
    with Image.open(tmp_path / "episode-512.gif") as picture:
        assert picture.size == (600, 400)


@pytest.mark.parametrize("given, words", [(None, "NoneType"), (np.zeros((4, 4, 3)), r"float64 \(4, 4, 3\)"), ([np.zeros((4, 4, 3), np.uint8)], r"uint8 \(1, ")])
def test_what_is_no_picture_is_refused_before_the_first_step(tmp_path, given, words):
    make = type("Draws", (Steps,), {"render_mode": "rgb_array", "render": lambda self: given})
    with pytest.raises(CallbackError, match=rf"failed in start \(TypeError: render\(\) gave {words}.*expected an array uint8"):
        train(make, run_dir=tmp_path, callbacks=[EpisodeGIF(512)], **SMALL)


def test_what_draws_nothing_is_refused_in_a_sentence(tmp_path):
    with pytest.raises(CallbackError, match=r"EpisodeGIF failed in start \(ValueError: render_mode=None: make the environment with"):
        train(lambda: gymnasium.make("CartPole-v1"), run_dir=tmp_path, callbacks=[EpisodeGIF(512)], **SMALL)


# ---------------------------------------------------------------------- the command line

MINE = """
import json, puffer_min
class Writes(puffer_min.Callback):
    def update(self, run, update):
        with open(run.run_dir / "mine.json", "w") as file:
            json.dump(update["step"], file)
def stops():
    return puffer_min.EarlyStop("step", 10**9, reach=1_000)
class Fails(puffer_min.Callback):
    def update(self, run, update):
        return 1 / 0
"""


def test_the_command_line_takes_callbacks_of_a_file(tmp_path, capsys):
    file = tmp_path / "mine.py"
    file.write_text(MINE)
    small = ["--num-envs", "4", "--horizon", "16", "--hidden-size", "16", "--torch-threads", "1", "--dashboard", "none", "--total-steps", "2048"]
    assert main(["train", "squared", "--run-dir", str(tmp_path / "a"), "--callback", f"{file}:Writes", "--callback", f"{file}:stops", *small]) == 0
    assert "stopped (step reached 1000)" in capsys.readouterr().out
    assert json.loads((tmp_path / "a" / "mine.json").read_text()) == 1024
    assert main(["train", "squared", "--run-dir", str(tmp_path / "b"), "--callback", f"{file}:Fails", *small]) == 2
    said = capsys.readouterr().err
    assert "callback Fails failed in update (ZeroDivisionError: division by zero)\nThe policy of step 64 is in" in said
