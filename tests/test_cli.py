"""The command line: each command ends with a sentence, and what it cannot do it says in one."""

import io
import json
import subprocess
import sys
from types import SimpleNamespace

import pytest
from rich.console import Console

from puffer_min.__main__ import COMMANDS, main
from puffer_min.learner.config import Config
from puffer_min.commands.dashboard import NotebookDashboard, Panels, TerminalDashboard, make_dashboard, sparkline
from puffer_min.env.episodes import EpisodeStatistics
from puffer_min.commands.log import TrainingLog, read_log

QUICK = ["--set", "num_envs=16", "--set", "horizon=8", "--set", "minibatch_size=64", "--set", "torch_threads=1", "--total-steps", "1280"]


def command(capsys, *arguments):
    """(exit status, standard output, standard error)"""
    status = main([str(a) for a in arguments])
    return status, *capsys.readouterr()


def test_train_then_eval_then_resume(tmp_path, capsys):
    status, out, _ = command(capsys, "train", "squared", "--seed", 3, "--run-dir", tmp_path / "run", "--dashboard", "none", *QUICK)
    assert status == 0
    assert out.strip().startswith("1,280 steps of squared in ") and out.strip().endswith(f"log and checkpoint are in {tmp_path / 'run'}.")
    status, out, _ = command(capsys, "eval", "squared", "--checkpoint", tmp_path / "run/checkpoint.pt", "--episodes", 20)
    assert status == 0 and "episode_return" in out and out.strip().endswith("Nothing was written to disk.")
    checkpoint = tmp_path / "run/checkpoint.pt"
    status, out, _ = command(capsys, "train", "squared", "--resume", checkpoint, "--total-steps", "2e3", "--dashboard", "none")
    assert status == 0 and out.startswith("2,048 steps")
    assert [line["step"] for line in read_log(tmp_path / "run/log.jsonl")] == list(range(128, 2049, 128))


def test_settings_of_learner_and_environment_are_told_apart(tmp_path, capsys):
    both = ["--set", "env.size=5", "--set", "anneal_lr=none"]
    status, _, _ = command(capsys, "train", "squared", "--run-dir", tmp_path, "--dashboard", "none", *both, *QUICK)
    assert status == 0
    status, out, _ = command(capsys, "eval", "squared", "--checkpoint", tmp_path / "checkpoint.pt", "--episodes", 10)
    assert status == 0, "the checkpoint remembers the environment's settings"


def test_an_environment_of_ones_own_trains_from_its_file(tmp_path, capsys):
    (tmp_path / "coin.py").write_text("""
import numpy as np
from gymnasium.spaces import Box, Discrete
from puffer_min import PufferEnv

class Coin(PufferEnv):
    def __init__(self, buffers=None, seed=0, report_interval=0):
        self.single_observation_space, self.single_action_space, self.num_agents = Box(0, 1, (2,), np.uint8), Discrete(2), 1
        super().__init__(buffers, seed, report_interval)
    def reset(self, seed=None):
        self.begin_reset(seed)
        self.show()
        return self.observations, []
    def step(self, actions):
        self.begin_step(actions)
        self.rewards[0], self.terminals[0] = self.actions[0] == self.side, True
        self.show()
        return self.finish_step()
    def show(self):
        self.side = self.random.integers(2)
        self.observations[0] = np.arange(2) == self.side
""")
    name = f"{tmp_path / 'coin.py'}:Coin"
    status, out, _ = command(capsys, "train", name, "--run-dir", tmp_path / "run", "--dashboard", "none", *QUICK)
    assert status == 0 and "steps of Coin" in out
    status, out, _ = command(capsys, "eval", name, "--checkpoint", tmp_path / "run/checkpoint.pt", "--episodes", 20)
    assert status == 0 and "Played 20 episodes" in out


@pytest.mark.parametrize("arguments, sentence", [
    (["trian"], "unknown command 'trian': did you mean 'train'?"),
    (["train", "sqared"], "unknown environment 'sqared': did you mean 'squared'?"),
    (["train", "squared", "--set", "learning_rat=1"], "there is no setting 'learning_rat': did you mean 'learning_rate'?"),
    (["train", "squared", "--set", "horizon"], "--set horizon given, expected NAME=VALUE"),
    (["train", "squared", "--set", "env.side=3"], "Squared has no setting 'side'; see help(envs.squared)"),
    (["train", "squared", "--set", "horizon=7", "--set", "minibatch_size=64"],
     "minibatch_size=64 is not a multiple of horizon=7: a minibatch is whole rows, so take 63"),
    (["train", "squared", "--resume", "nowhere.pt"], "there is no checkpoint nowhere.pt"),
    (["eval", "squared", "--checkpoint", "nowhere.pt"], "there is no checkpoint nowhere.pt"),
])
def test_what_cannot_be_done_is_said_in_one_sentence(capsys, arguments, sentence):
    status, out, error = command(capsys, *arguments)
    assert (status, out, error.strip()) == (2, "", sentence)


def test_a_traceback_is_shown_when_asked_for():
    with pytest.raises(ValueError, match="unknown environment"):
        main(["train", "sqared", "--traceback"])


def test_every_command_has_a_module_and_is_listed(capsys):
    assert main(["--help"]) == 0
    listed = capsys.readouterr().out
    for name in COMMANDS:
        assert f"  {name} " in listed
        with pytest.raises(SystemExit) as end:
            main([name, "--help"])
        assert end.value.code == 0
        assert f"python -m puffer_min {name}" in capsys.readouterr().out


def test_the_module_runs_as_a_program():
    given = subprocess.run([sys.executable, "-m", "puffer_min", "train", "sqared"], capture_output=True, text=True)
    assert given.returncode == 2 and given.stderr == "unknown environment 'sqared': did you mean 'squared'?\n" and given.stdout == ""


# ---------------------------------------------------------------------- what is shown

UPDATE = {"update": 3, "step": 4096, "total_steps": 10_000, "seconds": 2.0, "sps": 2048.0, "sps_now": 2000.0,
          "policy_loss": -0.01, "value_loss": 0.5, "entropy": 1.2, "approx_kl": 0.001, "clip_fraction": 0.1, "grad_norm": 0.3,
          "explained_variance": 0.8, "learning_rate": 0.003, "epochs": 1, "density": 1.0,
          "episodes": 12, "episode_return": 3.5, "episode_length": 20.0, "score": 0.75, "bricks": 7.0,
          "stages": {"environment": 0.1, "copy": 0.1, "forward": 0.3, "advantage": 0.05, "learn": 0.4, "misc": 0.05}}


def text_of(renderable, width=100):
    console = Console(width=width, file=io.StringIO(), record=True)
    console.print(renderable)
    return console.export_text()


def test_the_dashboard_shows_progress_speed_stages_losses_and_episodes():
    panels = Panels("squared")
    for step in range(1, 6):
        panels.add(UPDATE | {"score": float(step)})
    text = text_of(panels.draw())
    for part in ("squared", "4,096 of 10,000 steps", "2,048 steps/s", "2 s, 2 s left", "environment", "30.0%", "value_loss",
                 "explained_variance", "score", "bricks", "▁▃▅▆█"):
        assert part in text, part


@pytest.mark.parametrize("width", [80, 120])
def test_the_dashboard_fits_its_terminal_and_cuts_nothing(width):
    panels = Panels("squared")
    for step in range(1, 200):
        panels.add(UPDATE | {"score": float(step), "step": 123_456_789, "total_steps": 987_654_321, "value_loss": 12345.678})
    text = text_of(panels.draw(width), width)
    assert "…" not in text and {len(line) for line in text.splitlines()} == {width}
    for name in ("environment", "explained_variance", "learning_rate", "episode_length", "123,456,789 of 987,654,321 steps"):
        assert name in text


def test_the_dashboard_shows_a_run_without_finished_episodes():
    panels = Panels("squared")
    panels.add(UPDATE | {"episodes": 0, "score": None, "episode_return": None, "episode_length": None})
    assert "score" in text_of(panels.draw())


def test_in_a_terminal_the_picture_is_drawn_in_place_and_stays():
    console = Console(file=io.StringIO(), force_terminal=True, width=100, height=40)
    dashboard = TerminalDashboard("squared", console=console, frames_per_second=1000)
    for _ in range(3):
        dashboard(UPDATE)
    dashboard.close()
    drawn = console.file.getvalue()
    assert "\x1b[1A" in drawn, "the cursor goes back up"
    assert "2,048 steps/s" in drawn


def test_without_a_terminal_there_are_plain_lines_and_the_last_is_not_lost():
    console = Console(file=io.StringIO(), force_terminal=False)
    dashboard = TerminalDashboard("squared", console=console, interval=1000)
    dashboard(UPDATE)
    dashboard(UPDATE | {"step": 8192})
    dashboard(UPDATE | {"step": 10_000, "score": None})
    dashboard.close()
    assert console.file.getvalue().splitlines() == ["2 s: 4,096 of 10,000 steps, 2,048 steps/s, score 0.75, return 3.5, length 20",
                                                    "2 s: 10,000 of 10,000 steps, 2,048 steps/s, score -, return 3.5, length 20"]


def test_in_a_notebook_one_output_is_replaced(monkeypatch):
    IPython = pytest.importorskip("IPython.display")
    shown = []
    monkeypatch.setattr(IPython, "display", lambda *args, **kwargs: SimpleNamespace(update=lambda data, raw: shown.append(data)))
    dashboard = NotebookDashboard("squared", frames_per_second=1e9)
    dashboard(UPDATE)
    dashboard.close()
    assert len(shown) == 1 and "2,048 steps/s" in shown[0]["text/plain"] and shown[0]["text/html"].startswith("<pre")


@pytest.mark.parametrize("values, expected", [
    ([], ""), ([None], ""), ([1, 1], "▁▁"), ([0, 1, 2, 3, 4, 5, 6, 7], "▁▂▃▄▅▆▇█"), ([0, None, 7], "▁█"), ([0, 0, 7, 7], "▁█"),
])
def test_a_sparkline_is_the_curve_in_blocks(values, expected):
    assert sparkline(values, width=2 if len(values) == 4 else 40) == expected


def test_an_unknown_dashboard_is_refused():
    with pytest.raises(ValueError, match="dashboard='web' given"):
        make_dashboard("web", "squared", Config())


# ---------------------------------------------------------------------- what is kept

def test_the_log_is_valid_json_a_line_and_survives_a_cut(tmp_path):
    log = TrainingLog(tmp_path / "a" / "log.jsonl")
    log.write({"step": 1, "score": None, "loss": float("nan"), "stages": {"misc": float("inf")}})
    log.write({"step": 2})
    log.close()
    path = tmp_path / "a" / "log.jsonl"
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    assert lines == [{"step": 1, "score": None, "loss": None, "stages": {"misc": None}}, {"step": 2}]
    path.write_text(path.read_text() + '{"step": 3, "sc')
    assert [line["step"] for line in read_log(path)] == [1, 2]
    TrainingLog(path, keep_until=1).close()
    assert [line["step"] for line in read_log(path)] == [1]


def test_episodes_are_weighted_by_their_number_wherever_they_are_reported():
    logs = [{"n": 3, "episode_return": 1.0, "episode_length": 10.0, "score": 1.0, "bricks": 2.0}]
    statistics = EpisodeStatistics(SimpleNamespace(num_agents=2, log=lambda: logs.pop() if logs else {}))
    statistics.add([{"n": 1, "episode_return": 5.0, "episode_length": 2.0, "score": 0.0}, {"other": 1}])
    report = statistics.report()
    assert report == {"episodes": 4, "episode_return": 2.0, "episode_length": 8.0, "score": 0.75, "bricks": 2.0}       # bricks are known of three episodes
    assert statistics.report() == {"episodes": 0, "episode_return": None, "episode_length": None, "score": None}


def test_the_recent_score_waits_until_as_many_episodes_have_ended_as_there_are_agents():
    """Of 1,000 agents the first 200 to end may be the few that found the goal."""
    ends = iter([(200, 1.0), (700, 0.0), (100, 0.0), (50, 0.3), (50, 0.3)])
    names = ("n", "score", "episode_return", "episode_length")
    statistics = EpisodeStatistics(SimpleNamespace(num_agents=1000, log=lambda: dict(zip(names, (*next(ends), 0.0, 1.0)))))
    seen = []
    for _ in range(5):
        statistics.report()
        seen.append(statistics.recent_score)
    assert seen == [None, None, 0.0, pytest.approx(0.1), pytest.approx(0.3)]


def test_the_recent_score_is_over_the_last_hundred_episodes_and_none_before():
    logs = []
    logs[:] = [{"n": 40, "episode_return": 0.0, "episode_length": 1.0, "score": score} for score in (0.0, 0.0, 0.6, 0.6, 0.6)]
    statistics = EpisodeStatistics(SimpleNamespace(num_agents=2, log=lambda: logs.pop(0)))
    seen = []
    for _ in range(5):
        statistics.report()
        seen.append(statistics.recent_score)
    assert seen == [None, None, pytest.approx(0.2), pytest.approx(0.4), pytest.approx(0.6)]


def test_tensorboard_holds_what_the_log_holds(tmp_path):
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
    settings = [text for name in ("num_envs=16", "horizon=8", "minibatch_size=64", "torch_threads=1") for text in ("--set", name)]
    arguments = ["--tensorboard", "--dashboard", "none", "--run-dir", str(tmp_path), "--total-steps", "640"]
    assert main(["train", "squared", *arguments, *settings]) == 0
    events = EventAccumulator(str(tmp_path / "tensorboard")).Reload()
    history = read_log(tmp_path / "log.jsonl")
    for name in ("sps", "policy_loss", "score", "learning_rate"):
        logged = [(update["step"], update[name]) for update in history if update[name] is not None]
        found = [(event.step, event.value) for event in events.Scalars(f"training/{name}")]
        assert len(found) == len(logged) and all(f == (step, pytest.approx(value, rel=1e-5)) for f, (step, value) in zip(found, logged))
    assert len(events.Scalars("stages/learn")) == len(history) == 5


def test_without_tensorboard_one_sentence_says_how_to_get_it(monkeypatch, tmp_path, capsys):
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    assert main(["train", "squared", "--tensorboard", "--dashboard", "none", "--run-dir", str(tmp_path), "--total-steps", "640"]) == 2
    assert capsys.readouterr().err == "--tensorboard needs TensorBoard, which is not installed: pip install tensorboard\n"


def test_eval_names_the_mismatch_before_it_hands_on_the_settings_of_another_environment(tmp_path, capsys):
    quick = [*QUICK, "--run-dir", str(tmp_path), "--dashboard", "none"]
    assert main(["train", "squared", "--set", "env.size=7", *quick]) == 0
    capsys.readouterr()
    status, out, error = command(capsys, "eval", "cartpole", "--checkpoint", tmp_path / "checkpoint.pt")
    assert (status, out) == (2, "")
    assert error == (f"{tmp_path / 'checkpoint.pt'} is a checkpoint of squared, expected one of cartpole: "
                     "give the checkpoint of this environment\n")
