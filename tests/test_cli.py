"""The command line: each command ends with a sentence, and what it cannot do it says in one."""

import argparse
import dataclasses
import io
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import textwrap
from pathlib import Path
from types import SimpleNamespace

import pytest
from rich.console import Console

from puffer_min.__main__ import COMMANDS, main
from puffer_min.commands import completion
from puffer_min.commands.dashboard import Panels, TerminalDashboard, make_dashboard, sparkline
from puffer_min.commands.locate import load_file, load_object, name_of, parse_setting
from puffer_min.commands.log import TrainingLog, read_log
from puffer_min.commands.train import add_arguments, given_settings
from puffer_min.env.episodes import EpisodeStatistics
from puffer_min.learner import policy as policy_module
from puffer_min.learner.checkpoint import read_checkpoint
from puffer_min.learner.config import Config

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


@pytest.mark.parametrize("words, name", [(["train", "squared"], "seed"), (["train", "squared"], "run_dir"), (["sweep", "squared"], "trials"),
                                         (["exploit", "connect4", "scripted:random"], "games")])
def test_an_argument_that_is_set_as_a_setting_of_the_learner_is_refused(capsys, words, name):
    status, _, error = command(capsys, *words, "--set", f"{name}=3")
    flag = name.replace("_", "-")
    assert (status, error) == (2, f"--set {name} given, expected --{flag} for the command itself, env.{name} for the environment, "
                                  "or a setting of the learner\n")


@pytest.mark.parametrize("seconds", ["nan", "inf", "0"])
def test_bench_takes_a_finite_time(capsys, seconds):
    status, out, error = command(capsys, "bench", "squared", "--seconds", seconds)
    assert (status, out) == (2, "") and error == f"seconds={float(seconds)} given, expected a finite number above 0\n"


@pytest.mark.parametrize("steps", ["nan", "inf", "2.5"])
def test_exploit_takes_a_whole_number_of_steps(capsys, steps):
    with pytest.raises(SystemExit) as ended:
        main(["exploit", "connect4", "scripted:random", "--steps", steps])
    assert ended.value.code == 2 and f"--steps: '{steps}' given, expected a whole number\n" in capsys.readouterr().err


def test_a_checkpoint_of_another_game_is_refused_in_a_sentence_whatever_its_settings(tmp_path, capsys):
    assert command(capsys, "train", "squared", "--run-dir", tmp_path, "--dashboard", "none", "--set", "env.size=5", *QUICK)[0] == 0
    path = tmp_path / "game.py"
    path.write_text("import gymnasium\nclass Own(gymnasium.Env):\n    observation_space = action_space = gymnasium.spaces.Discrete(2)\n")
    for words in (["eval", "--checkpoint"], ["train", "--resume"]):
        status, _, error = command(capsys, words[0], f"{path}:Own", words[1], tmp_path / "checkpoint.pt")
        assert status == 2 and "checkpoint.pt is a checkpoint of squared with env_settings {'size': 5}, with which this environment" in error
        assert error.endswith("give the checkpoint of this environment\n")


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


@pytest.fixture
def network(tmp_path, monkeypatch):
    """A file with the network that the documentation shows, and variations of it."""
    source = re.search(r"    class OneLayer.*?(?=\n\n    distribution )", policy_module.__doc__, re.DOTALL).group()
    file = tmp_path / "one_layer_network.py"
    monkeypatch.setattr(sys, "path", [*sys.path])
    file.write_text("import math\nimport torch\nfrom torch import nn\n"
                    "from puffer_min.learner.distributions import distribution_of\n" + textwrap.dedent(source) + """
class Unwritten(OneLayer):
    forward = nn.Module.forward

class Wordless(nn.Linear):
    def __init__(self, spec, config):
        super().__init__(1, 1)

def lonely(spec):
    return None

NUMBER = 3
""")
    yield file
    sys.modules.pop(file.stem, None)


def test_a_network_of_ones_own_trains_from_its_file_and_is_found_again(network, tmp_path, capsys):
    run = tmp_path / "run"
    status, out, error = command(capsys, "train", "squared", "--policy", f"{network}:OneLayer", "--run-dir", run, "--dashboard", "none", *QUICK)
    assert status == 0 and "1,280 steps of squared" in out, error
    checkpoint = run / "checkpoint.pt"
    assert read_checkpoint(checkpoint)["made_by"] == "one_layer_network:OneLayer"
    assert command(capsys, "eval", "squared", "--checkpoint", checkpoint, "--episodes", 4)[0] == 0
    module = sys.modules.pop("one_layer_network")
    sys.path.remove(str(tmp_path))                                              # as in another process elsewhere
    status, _, error = command(capsys, "eval", "squared", "--checkpoint", checkpoint, "--episodes", 4)
    assert status == 2 and error.count("\n") == 1 and str(checkpoint) in error
    assert "made by one_layer_network:OneLayer, which cannot be imported here" in error and "--policy FILE.py:NAME" in error
    words = ["eval", "squared", "--checkpoint", checkpoint, "--policy", f"{network}:OneLayer", "--episodes", 4]
    assert command(capsys, *words)[0] == 0 and module.OneLayer
    status, out, _ = command(capsys, "train", "squared", "--resume", checkpoint, "--policy", f"{network}:OneLayer",
                             "--total-steps", 1408, "--dashboard", "none")
    assert status == 0 and out.startswith("1,408 steps")


def test_a_network_is_named_by_its_module_too(tmp_path, capsys):
    words = ["--policy", "puffer_min.learner.policy:make_policy", "--run-dir", tmp_path, "--dashboard", "none"]
    assert command(capsys, "train", "squared", *words, *QUICK)[0] == 0
    assert read_checkpoint(tmp_path / "checkpoint.pt")["made_by"] == "puffer_min.learner.policy:make_policy"


@pytest.mark.parametrize("name, sentence", [
    ("nowhere.py:Net", "there is no file nowhere.py; expected file.py:Name"),
    ("OneLayer", "'OneLayer' given, expected file.py:Name or module:Name"),
    ("nowhere.nets:Net", "No module named 'nowhere.nets': expected file.py:Name or module:Name"),
    ("{file}:Net", "{file} has no Net; it has OneLayer, Unwritten, Wordless, lonely"),
    ("{file}:Unwritten", "policy=one_layer_network:Unwritten gave Unwritten without forward, expected an nn.Module with "
                         "distribution, initial_state, forward, replay and parameters, as puffer_min/learner/policy.py describes it"),
    ("{file}:Wordless", "policy=one_layer_network:Wordless gave Wordless without distribution, initial_state, replay, expected an "
                        "nn.Module with distribution, initial_state, forward, replay and parameters, as "
                        "puffer_min/learner/policy.py describes it"),
    ("{file}:lonely", "policy=one_layer_network:lonely given, expected a function or class that takes (spec, config), as "
                      "puffer_min/learner/policy.py describes it (too many positional arguments)"),
    ("{file}:NUMBER", "policy=int given, expected a function or class that takes (spec, config), as "
                      "puffer_min/learner/policy.py describes it (3 is not a callable object)"),
])
def test_a_policy_that_is_none_is_refused_in_one_sentence(network, capsys, name, sentence):
    status, out, error = command(capsys, "train", "squared", "--policy", name.format(file=network), "--dashboard", "none", *QUICK)
    assert (status, out, error.strip()) == (2, "", sentence.format(file=network))


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


def parsed(*words):
    """What `train` makes of a command line: settings of the learner, settings of the environment."""
    parser = argparse.ArgumentParser()
    add_arguments(parser)
    return given_settings(parser.parse_args(["squared", *words]))


@pytest.mark.parametrize("words, settings", [
    (["--learning-rate", "1e-3"], {"learning_rate": 1e-3}), (["--device", "cuda"], {"device": "cuda"}),
    (["--total-steps", "5e6"], {"total_steps": 5_000_000}), (["--num-envs", "1_024"], {"num_envs": 1024}),
    (["--recurrent"], {"recurrent": True}), (["--no-norm-adv"], {"norm_adv": False}),
    (["--target-kl", "0.02"], {"target_kl": 0.02}), (["--target-kl", "none"], {"target_kl": None}),
    (["--set", "horizon=16", "--horizon", "64"], {"horizon": 64}),
])
def test_every_setting_of_the_learner_is_a_flag(words, settings):
    assert parsed(*words) == (settings, None)
    assert type(next(iter(parsed(*words)[0].values()))) is type(next(iter(settings.values())))


def test_the_help_names_every_setting_with_its_meaning_and_default(capsys):
    with pytest.raises(SystemExit):
        main(["train", "--help"])
    text = " ".join(capsys.readouterr().out.split())
    for field in dataclasses.fields(Config):
        assert f"--{field.name.replace('_', '-')}" in text and f"({field.default})" in text
    assert "discount (0.99)" in text


@pytest.mark.parametrize("width", [60, 80, 120])
@pytest.mark.parametrize("command", COMMANDS)
def test_the_help_of_a_command_fits_its_terminal(command, width, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", str(width))
    with pytest.raises(SystemExit):
        main([command, "--help"])
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) > 5 and max(map(len, lines)) <= width
    assert not [line for line in lines[:6] if "--adam-eps" in line], "the usage is no list of all settings"


# ---------------------------------------------------------------------- completion

def completed(tmp_path, *words):
    """What bash offers for the last of these words."""
    script = tmp_path / "completion"
    script.write_text(completion.script("bash"))
    program = (f"source {script}; COMP_WORDS=({' '.join(map(shlex.quote, words))}); COMP_CWORD={len(words) - 1}; _puffer_min; "
               "echo ${COMPREPLY[@]}")
    return subprocess.run(["bash", "-c", program], capture_output=True, text=True, check=True).stdout.split()


PROGRAM = ("python", "-m", "puffer_min")


@pytest.mark.parametrize("words, offered", [
    ((*PROGRAM, "t"), ["train"]), ((*PROGRAM, "train", "sn"), ["snake"]), ((*PROGRAM, "train", "snake", "--gam"), ["--gamma"]),
    ((*PROGRAM, "train", "snake", "--no-v"), ["--no-vtrace"]), ((*PROGRAM, "train", "snake", "--dashboard", "t"), ["terminal"]),
    ((*PROGRAM, "eval", "--ch"), ["--checkpoint"]), ((*PROGRAM, "completion", ""), ["bash", "zsh"]),
    (("python3", "-X", "dev", "-m", "puffer_min", "be"), ["bench"]),
    ((*PROGRAM, "train", "snake", "--run-dir", "sn"), []), (("python", "tr"), []), (("python", "-m", "puff"), []),
], ids=" ".join)
def test_the_shell_completes_commands_environments_flags_and_values(tmp_path, words, offered):
    """And leaves files, and every other use of Python, to the shell."""
    if shutil.which("bash") is None:
        pytest.skip("bash is not installed")
    assert completed(tmp_path, *words) == offered


def test_every_setting_of_the_learner_is_completed_and_zsh_reads_the_same_script(tmp_path, capsys):
    assert main(["completion", "zsh"]) == 0
    text = capsys.readouterr().out
    assert text.startswith("autoload -Uz bashcompinit && bashcompinit\n_puffer_min()") and text.endswith(completion.script("bash"))
    for field in dataclasses.fields(Config):
        assert f"--{field.name.replace('_', '-')}" in text


def test_flags_that_the_documentation_shows_exist():
    """`python -m puffer_min train ...` in a docstring, a README, a table of figures or a chapter is a command line that can be parsed."""
    root, shown = Path(__file__).resolve().parents[1], []
    pages = ["*.md", "docs/*.md", "envs/*.md", "benchmarks/*.md", "puffer_min/**/*.md", "puffer_min/**/*.py", "chapters/*.ipynb", "solutions/*.ipynb"]
    for path in (path for pattern in pages for path in root.glob(pattern)):
        text = path.read_text().replace("\\n", "\n")               # of a notebook
        shown += re.findall(r"-m puffer_min train ([\w.:/]+(?: +--[^ `\n\"]+(?: [^-`\n \"#][^ `\n\"]*)?)*)", text)
    assert any("my_env.py:MyEnv --learning-rate 1e-3" in line for line in shown)
    assert len(shown) > 4 and any("--device cuda" in line for line in shown)
    for line in shown:
        parser = argparse.ArgumentParser(exit_on_error=False)
        add_arguments(parser)
        parser.parse_args(line.split())


@pytest.mark.parametrize("text", ["ten", "1.5", "1e400"])
def test_a_flag_with_the_wrong_kind_of_value_says_what_is_expected(text, capsys):
    with pytest.raises(SystemExit):
        main(["train", "squared", "--horizon", text])
    assert f"argument --horizon: '{text}' given, expected a whole number" in capsys.readouterr().err


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


def test_importing_the_package_changes_nothing_in_the_process():
    script = "import os; before = dict(os.environ); import puffer_min; assert dict(os.environ) == before"
    assert subprocess.run([sys.executable, "-c", script]).returncode == 0


def test_training_tunes_torch_before_it_is_imported_unless_told_otherwise():
    """libgomp reads GOMP_SPINCOUNT when torch is first imported."""
    script = "import os, puffer_min; puffer_min.train; print(os.environ.get('GOMP_SPINCOUNT'))"
    for given, expected in (({}, "5000"), ({"GOMP_SPINCOUNT": "7"}, "7"), ({"OMP_WAIT_POLICY": "ACTIVE"}, "None")):
        environment = {name: value for name, value in os.environ.items() if name not in ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY")}
        done = subprocess.run([sys.executable, "-c", script], env=environment | given, capture_output=True, text=True)
        assert done.stdout.strip() == expected, done.stderr


# ---------------------------------------------------------------------- files and names

WITH_A_DATACLASS = """
from __future__ import annotations
from dataclasses import dataclass
import beside

@dataclass
class Thing:
    size: int = beside.SIZE
"""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder with thing.py, which imports beside.py; sys.path and the modules are put back."""
    monkeypatch.setattr(sys, "path", sys.path[:])
    before = set(sys.modules)
    (tmp_path / "thing.py").write_text(WITH_A_DATACLASS)
    (tmp_path / "beside.py").write_text("SIZE = 3")
    yield tmp_path
    for name in set(sys.modules) - before:
        del sys.modules[name]


def test_a_file_is_a_module_like_any_other(folder):
    """Its dataclasses work, modules beside it are found, and its objects pickle by the name of the module."""
    import pickle
    Thing = load_object(f"{folder / 'thing.py'}:Thing")
    assert Thing.__module__ == "thing" and Thing().size == 3
    assert pickle.loads(pickle.dumps(Thing(5))) == Thing(5)
    assert load_object(f"{folder / 'thing.py'}:Thing") is Thing, "loaded once"


def test_a_file_that_has_changed_is_loaded_again(folder):
    path = folder / "changing.py"
    path.write_text("number = 1")
    assert load_file(path).number == 1
    path.write_text("number = 2")
    os.utime(path, ns=(1, 1))
    assert load_file(path).number == 2


def test_two_files_of_one_name_are_two_modules(folder):
    """The second cannot be imported by its name in a worker process, so its classes travel by value."""
    import cloudpickle
    (folder / "other").mkdir()
    (folder / "other" / "thing.py").write_text("class Thing: pass")
    first, second = (load_object(f"{folder / name}:Thing") for name in ("thing.py", "other/thing.py"))
    assert first is not second and sys.modules[second.__module__].Thing is second and second.__module__ != "thing"
    script = f"import pickle; print(type(pickle.loads({cloudpickle.dumps(second())!r})).__name__)"
    assert subprocess.run([sys.executable, "-c", script], capture_output=True, text=True).stdout == "Thing\n"


def test_a_file_that_fails_leaves_no_module_behind(folder):
    (folder / "broken.py").write_text("1 / 0")
    with pytest.raises(ZeroDivisionError):
        load_file(folder / "broken.py")
    assert "broken" not in sys.modules


@pytest.mark.parametrize("name, sentence", [
    ("nowhere.py:Thing", "there is no file nowhere.py; expected file.py:Name"),
    ("thing.py:", "'thing.py:' given, expected file.py:Name or module:Name"),
    ("puffer_min.env.puffer_env:Nothing", "puffer_min.env.puffer_env has no Nothing; it has PufferEnv"),
])
def test_what_is_not_found_is_said_in_a_sentence(name, sentence):
    with pytest.raises(ValueError, match=re.escape(sentence)):
        load_object(name)


@pytest.mark.parametrize("text, pair", [
    ("size=7", ("size", 7)), ("rate=1e-3", ("rate", 1e-3)), ("name=door_key", ("name", "door_key")), ("on=True", ("on", True)),
    ("path=a=b", ("path", "a=b")), ("sizes=[1, 2]", ("sizes", [1, 2])), ("empty=", ("empty", "")),
])
def test_a_setting_is_a_python_literal_or_text(text, pair):
    assert parse_setting(text) == pair


def test_whatever_makes_environments_has_a_name():
    class Factory:
        def __call__(self):
            pass
    assert name_of(Factory()) == "Factory" and name_of(lambda: None) == "lambda"


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


@pytest.mark.parametrize("values, expected", [
    ([], ""), ([None], ""), ([1, 1], "▁▁"), ([0, 1, 2, 3, 4, 5, 6, 7], "▁▂▃▄▅▆▇█"), ([0, None, 7], "▁█"), ([0, 0, 7, 7], "▁█"),
])
def test_a_sparkline_is_the_curve_in_blocks(values, expected):
    assert sparkline(values, width=2 if len(values) == 4 else 40) == expected


def test_an_unknown_dashboard_is_refused():
    with pytest.raises(ValueError, match="dashboard='web' given"):
        make_dashboard("web", "squared")


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
    statistics = EpisodeStatistics(SimpleNamespace(num_agents=1000, log=lambda: dict(zip(names, (*next(ends), 0.0, 1.0), strict=False))))
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
        assert len(found) == len(logged) and all(f == (step, pytest.approx(value, rel=1e-5)) for f, (step, value) in zip(found, logged, strict=False))
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
