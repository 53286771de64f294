"""Sweeps: a study that goes on where it stopped, is shared by processes, and draws what it found."""

import json
import os
import re
import signal
import socket
import subprocess
import sys

import numpy as np
import pytest

optuna = pytest.importorskip("optuna")

import puffer_min  # noqa: E402
from puffer_min.__main__ import main  # noqa: E402
from puffer_min.commands.sweep import (  # noqa: E402
    SweepError,
    finished,
    last_score,
    parse,
    run_sweep,
    settings_of,
    write_report,
)
from puffer_min.learner.presets import KINDS, settings_for  # noqa: E402

TINY = {"num_envs": 32, "horizon": 8, "total_steps": 512, "torch_threads": 1, "minibatch_size": 128}
SEARCH = {"learning_rate": "1e-3:1e-2:log", "gamma": "0.9:0.99:log", "update_epochs": "1,2"}


def test_a_study_has_a_score_and_seconds_for_every_trial_and_stays_within_the_search(tmp_path):
    lines = []
    study = run_sweep("squared", trials=5, search=SEARCH, out=tmp_path, report=lines.append, **TINY)
    assert finished(study) == len(study.trials) == len(lines) == 5 and lines[-1].startswith("trial 5 of 5: score")
    for trial in study.trials:
        score, seconds = trial.values
        chosen = settings_of(trial)
        assert 0 <= score <= 1 and seconds > 0 and set(chosen) == set(SEARCH)
        assert 1e-3 <= chosen["learning_rate"] <= 1e-2 and 0.9 <= chosen["gamma"] <= 0.99 and chosen["update_epochs"] in (1, 2)
    assert len({trial.params["learning_rate"] for trial in study.trials}) == 5


def test_the_first_trial_has_the_defaults_where_the_search_allows_them(tmp_path):
    search = {"learning_rate": "1e-3:3e-2:log", "gamma": "0.9:0.999:log", "horizon": "8,16", "ent_coef": "0.1:0.2", "update_epochs": "1:4",
              "target_kl": "0.01:0.1"}
    settings = {name: value for name, value in TINY.items() if name not in search}
    first = settings_of(run_sweep("squared", trials=1, search=search, out=tmp_path, report=str, **settings).trials[0])
    present = settings_for("squared", **settings)
    assert first["learning_rate"] == present.learning_rate and first["gamma"] == pytest.approx(present.gamma)
    assert first["update_epochs"] == present.update_epochs and 0.1 <= first["ent_coef"] <= 0.2 and first["horizon"] in (8, 16)
    assert present.target_kl is None and 0.01 <= first["target_kl"] <= 0.1


def test_the_first_trial_of_an_environment_in_python_has_the_preset_of_its_kind(tmp_path):
    settings = {"num_envs": 2, "total_steps": 128, "torch_threads": 1}
    study = run_sweep("CartPole-v1", trials=1, out=tmp_path, report=str, **settings)
    first, preset = settings_of(study.trials[0]), KINDS["discrete actions"]
    assert {name: first[name] for name in ("horizon", "minibatch_size", "update_epochs")} == {
        "horizon": 128, "minibatch_size": 256, "update_epochs": 6} == {name: preset[name] for name in ("horizon", "minibatch_size", "update_epochs")}
    assert first["learning_rate"] == preset["learning_rate"] and study.trials[0].values is not None


def test_a_sweep_goes_on_where_it_stopped_and_ends_at_once_when_it_is_done(tmp_path):
    run_sweep("squared", trials=2, search=SEARCH, out=tmp_path, report=str, **TINY)
    study = run_sweep("squared", trials=3, search=SEARCH, out=tmp_path, report=str, **TINY)
    assert len(study.trials) == 3
    assert len(run_sweep("squared", trials=3, search=SEARCH, out=tmp_path, report=str, **TINY).trials) == 3


def test_two_processes_share_one_study(tmp_path):
    script = f"from puffer_min.commands.sweep import run_sweep; run_sweep('squared', trials=6, search={SEARCH}, out={str(tmp_path)!r}, **{TINY})"
    processes = [subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True) for _ in range(2)]
    outputs = [process.communicate(timeout=120)[0] for process in processes]
    assert all(process.returncode == 0 for process in processes)
    study = optuna.load_study(study_name="squared", storage=f"sqlite:///{tmp_path / 'study.db'}")
    assert 6 <= finished(study) <= 7, "the last trials of both may end together"
    assert sum(output.count("trial ") for output in outputs) == finished(study) and all(outputs), "both had a part"
    assert len({trial.params["learning_rate"] for trial in study.trials}) == len(study.trials), "each tried something else"


def test_the_pareto_front_is_what_no_trial_beats_in_both_and_everything_is_written(tmp_path, capsys):
    search = [text for name, values in SEARCH.items() for text in ("--search", f"{name}={values}")]
    settings = [text for name, value in TINY.items() for text in ("--set", f"{name}={value}")]
    arguments = ["sweep", "squared", "--trials", "6", "--out", str(tmp_path), *search, *settings, "--set", "env.size=7"]
    assert main(arguments) == 0
    printed = capsys.readouterr().out
    assert "trial 6 of 6" in printed and str(tmp_path / "pareto.png") in printed
    assert printed.strip().splitlines()[-1].startswith("6 trials, ")
    study = optuna.load_study(study_name="squared", storage=f"sqlite:///{tmp_path / 'study.db'}")
    values = np.array([trial.values for trial in study.trials])
    expected = [trial.number for trial, (score, seconds) in zip(study.trials, values, strict=False)
                if not ((values[:, 0] >= score) & (values[:, 1] <= seconds) & ((values[:, 0] > score) | (values[:, 1] < seconds))).any()]
    front = json.loads((tmp_path / "front.json").read_text())
    assert sorted(point["trial"] for point in front) == expected
    assert [point["seconds"] for point in front] == sorted(point["seconds"] for point in front)
    best = puffer_min.Config(**front[-1]["settings"])
    assert best.learning_rate == pytest.approx(front[-1]["settings"]["learning_rate"])


def test_the_pictures_are_pictures_and_importance_finds_what_decides(tmp_path):
    """A made-up study in which the score is the learning rate and nothing else matters."""
    study = optuna.create_study(study_name="made up", directions=["maximize", "minimize"])

    def objective(trial):
        return trial.suggest_float("learning_rate", 0, 1), 1 + trial.suggest_float("gamma", 0, 1) + 0 * trial.suggest_int("horizon", 1, 9)
    study.optimize(objective, n_trials=40)
    written = write_report(study, tmp_path)
    assert {path.name for path in written} == {"front.json", "pareto.png", "importance.png"}
    assert all(path.read_bytes()[:4] == b"\x89PNG" and path.stat().st_size > 8_000 for path in written[1:])
    from puffer_min.commands.sweep import importance
    shares = importance(study)
    assert max(shares, key=shares.get) == "learning_rate" and shares["learning_rate"] > 0.5


def test_trials_that_cannot_be_trained_are_given_up_with_the_reason(tmp_path):
    study = run_sweep("squared", trials=2, search={"minibatch_size": "100,200"}, out=tmp_path, report=str,
                      **{name: value for name, value in TINY.items() if name != "minibatch_size"})
    assert [trial.state for trial in study.trials] == [optuna.trial.TrialState.PRUNED] * 2
    study = run_sweep("squared", trials=1, search=SEARCH, study_name="slow", out=tmp_path, report=str, max_seconds=0, **TINY)
    assert study.trials[0].state == optuna.trial.TrialState.PRUNED and not study.best_trials


def states(study):
    return [trial.state.name for trial in study.get_trials(deepcopy=False)]


@pytest.mark.parametrize("number, expected", [(signal.SIGINT, KeyboardInterrupt), (signal.SIGTERM, SystemExit)])
def test_a_signal_ends_the_sweep_its_trial_counts_as_failed_and_another_takes_its_place(tmp_path, monkeypatch, number, expected):
    calls, train = [], puffer_min.train

    def pressing(*arguments, **settings):
        calls.append(1)
        if len(calls) == 2:
            show = settings["dashboard"]
            settings["dashboard"] = lambda update: (show(update), update["update"] == 1 and signal.raise_signal(number))
        return train(*arguments, **settings)
    monkeypatch.setattr("puffer_min.commands.train.train", pressing)
    with pytest.raises(expected):
        run_sweep("squared", trials=3, search=SEARCH, out=tmp_path, report=str, **TINY)
    study = optuna.load_study(study_name="squared", storage=f"sqlite:///{tmp_path / 'study.db'}")
    assert states(study) == ["COMPLETE", "FAIL"] and finished(study) == 1
    assert states(run_sweep("squared", trials=3, search=SEARCH, out=tmp_path, report=str, **TINY)) == ["COMPLETE", "FAIL", "COMPLETE", "COMPLETE"]


def test_a_trial_whose_process_was_killed_counts_as_failed_at_the_next_start(tmp_path):
    """And one that another process still runs is left alone."""
    study = run_sweep("squared", trials=1, search=SEARCH, out=tmp_path, report=str, **TINY)
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    for process in (gone.pid, os.getpid()):
        study.ask().set_user_attr("process", f"{socket.gethostname()}:{process}")
    study.ask().set_user_attr("process", f"another machine:{gone.pid}")
    study = run_sweep("squared", trials=2, search=SEARCH, out=tmp_path, report=str, **TINY)
    assert states(study) == ["COMPLETE", "FAIL", "RUNNING", "RUNNING", "COMPLETE"]


TINY_WORDS = [text for name, value in TINY.items() for text in ("--set", f"{name}={value}")]


def sweep(capsys, *words):
    """(exit status, standard output, standard error) of the command."""
    return main(["sweep", *map(str, words)]), *capsys.readouterr()


@pytest.mark.parametrize("words, status, sentence", [
    (["sqared"], 2, "unknown environment 'sqared': did you mean 'squared'?"),
    (["squared", "--seed", "-1"], 2, "seed=-1 given, expected a whole number >= 0"),
    (["squared", "--trials", "0"], 2, "trials=0 given, expected a whole number >= 1"),
    (["squared", "--out", "a?b"], 2, "out='a?b' given, expected a folder without ?"),
    (["squared", "--set", "encoder=nothing"], 2, "no trial of 3 could be trained: "),
    (["squared", "--set", "env.side=3"], 2, "no trial of 3 could be trained: Squared has no setting 'side'"),
    (["squared", "--search", "minibatch_size=129:255"], 1, "no trial of 3 could be trained; the last one: "),
], ids=["unknown", "seed", "trials", "out", "encoder", "setting", "sizes"])
def test_a_sweep_in_which_no_trial_can_be_trained_ends_with_the_reason(tmp_path, capsys, words, status, sentence):
    words = words if "--search" in words else [*words, "--search", "gamma=0.9:0.99"]
    sizes = TINY_WORDS[:-2] if any("minibatch" in word for word in words) else TINY_WORDS
    ended, out, said = sweep(capsys, "--trials", 3, "--out", tmp_path, *words, *sizes)
    assert ended == status and sentence in said and "Traceback" not in said
    assert status == 2 or re.search(r"given up \((minibatch_size=.* is not a multiple|.* does not divide)", out)


def test_an_environment_that_fails_in_one_trial_costs_that_trial_only(tmp_path, monkeypatch):
    calls, train = [], puffer_min.train

    def failing(*arguments, **settings):
        calls.append(1)
        if len(calls) == 1:
            raise RuntimeError("the simulator crashed")
        return train(*arguments, **settings)
    monkeypatch.setattr("puffer_min.commands.train.train", failing)
    lines = []
    study = run_sweep("squared", trials=2, search=SEARCH, out=tmp_path, report=lines.append, **TINY)
    assert states(study) == ["PRUNED", "COMPLETE"] and "given up (RuntimeError: the simulator crashed)" in lines[0]


def test_a_file_that_is_no_study_is_said_in_a_sentence(tmp_path, capsys):
    (tmp_path / "study.db").write_text("text in place of a database " * 100)
    ended, _, said = sweep(capsys, "squared", "--trials", 1, "--out", tmp_path, *TINY_WORDS)
    assert ended == 2 and f"the study in sqlite:///{tmp_path}/study.db cannot be used (DatabaseError: " in said
    assert "give another --out or --storage, or delete it" in said and len(said.splitlines()) == 1


def test_another_search_in_the_same_study_is_said_in_a_sentence(tmp_path):
    run_sweep("squared", trials=1, search={"gamma": "0.9:0.99"}, out=tmp_path, report=str, **TINY)
    with pytest.raises(SweepError, match=r"the study 'squared' has another search \(gamma=0.9:0.99\): give the same --search, or another --study"):
        run_sweep("squared", trials=2, search={"gamma": "0.9,0.95"}, out=tmp_path, report=str, **TINY)


def test_the_score_is_that_of_the_last_tenth_weighted_by_episodes():
    history = [{"step": step, "episodes": 10, "score": 0.0} for step in range(1, 91)]
    history += [{"step": 91, "episodes": 1, "score": 1.0}, {"step": 100, "episodes": 3, "score": 0.2}]
    assert last_score(history) == pytest.approx((1.0 + 0.6) / 4)
    assert last_score([{"step": 1, "episodes": 2, "score": 0.5}, {"step": 100, "episodes": 0, "score": None}]) == 0.5
    assert last_score([{"step": 1, "episodes": 0, "score": None}]) is None


@pytest.mark.parametrize("name, text, sentence", [
    ("learning_rate", "0.1:0.01", "learning_rate=0.1:0.01 given, expected LOW:HIGH"),
    ("learning_rate", "0:1:log", "with 0 < LOW < HIGH"),
    ("learning_rate", "a:b", "expected LOW:HIGH"),
    ("learning_rate", "0.1:inf", "expected LOW:HIGH"),
    ("horizon", "16:inf", "expected LOW:HIGH"),
    ("gamma", "0.9:1:log", "expected HIGH below 1"),
])
def test_a_range_that_is_none_is_refused_in_a_sentence(name, text, sentence):
    with pytest.raises(SweepError, match=sentence):
        parse(name, text)


def test_a_setting_that_does_not_exist_is_named(tmp_path, capsys):
    assert main(["sweep", "squared", "--search", "learning_rat=1:2", "--out", str(tmp_path)]) == 2
    assert "did you mean 'learning_rate'?" in capsys.readouterr().err


def test_without_optuna_one_sentence_says_how_to_get_it(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "optuna", None)
    with pytest.raises(ImportError, match="sweeps need Optuna, which is not installed: pip install optuna"):
        run_sweep("squared", out=tmp_path)
