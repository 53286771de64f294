"""A trained policy is never lost: whatever an environment, a reader, a signal or the disk does, the last good one is on disk."""

import errno
import functools
import os
import pickle
import signal
import subprocess
import sys
import textwrap
import threading
import time
from pathlib import Path
from types import SimpleNamespace

import gymnasium
import numpy as np
import pytest
import torch
from gymnasium.spaces import Box, Discrete
from test_ppo import Drift

import puffer_min
from puffer_min.__main__ import main
from puffer_min.commands import run as running
from puffer_min.commands.log import run_folder
from puffer_min.commands.train import train
from puffer_min.learner.checkpoint import CheckpointError, is_readable, read_checkpoint
from puffer_min.learner.ppo import PPO, NotFinite

ROOT = Path(__file__).resolve().parents[1]
SMALL = {"total_steps": 512, "num_envs": 4, "horizon": 16, "torch_threads": 1, "hidden_size": 16}      # eight updates of 64 steps


class Steps(gymnasium.Env):
    """Episodes of five steps. `at[n]` is called once, at step n of the first environment that comes there."""

    observation_space, action_space = Box(-1, 9, (2,)), Discrete(2)
    at, made = {}, 0

    def __init__(self):
        Steps.made += 1
        self.n = 0

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.t = 0
        return np.full(2, self.t, np.float32), {}

    def step(self, action):
        self.t += 1
        self.n += 1
        reward = self.at.pop(self.n, lambda: 1.0)()
        return np.full(2, self.t, np.float32), reward, self.t == 5, False, {}


@pytest.fixture(autouse=True)
def nothing_happens():
    Steps.at, Steps.made = {}, 0


def fails(error):
    def fail():
        raise error
    return fail


def program(tmp_path, script, *words, **options):
    """A Python program that has been started in tmp_path."""
    file = tmp_path / f"program{len(list(tmp_path.glob('program*')))}.py"
    file.write_text(textwrap.dedent(script))
    options = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True, "cwd": tmp_path} | options
    environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    return subprocess.Popen([sys.executable, str(file), *map(str, words)], env=environment, **options)


def wait_for(path, seconds=60):
    """Until a file is there."""
    until = time.monotonic() + seconds
    while not (path.exists() and path.stat().st_size):
        assert time.monotonic() < until, f"no {path}"
        time.sleep(0.05)


# ---------------------------------------------------------------------- state that cannot be saved

def local_class():
    class Local(Steps):
        pass
    return Local()


def with_attribute(value):
    env = Steps()
    env.thing = value()
    return env


class Unreadable:
    """Can be pickled and not unpickled, as exceptions with arguments of their own."""

    def __init__(self, word):
        self.args = (word,)

    def __reduce__(self):
        return Unreadable, ()


class Leaving:
    """Ends the program when it is pickled, if `leaves`."""

    leaves = True

    def __reduce__(self):
        if self.leaves:
            sys.exit(3)
        return Leaving, ()


UNSAVABLE = {
    "a state that cannot be read back": functools.partial(with_attribute, lambda: Unreadable("word")),
    "a state that ends the program": functools.partial(with_attribute, Leaving),
    "a class inside a function": local_class,
    "a lambda": functools.partial(with_attribute, lambda: lambda reward: reward),
    "a wrapper with a closure": lambda: gymnasium.wrappers.TransformReward(Steps(), lambda reward: reward / 10),
    "a lock": functools.partial(with_attribute, threading.Lock),
    "a generator": functools.partial(with_attribute, lambda: (n for n in range(3))),
}


@pytest.mark.parametrize("make", UNSAVABLE.values(), ids=UNSAVABLE)
def test_an_environment_that_cannot_be_saved_is_left_out_with_one_sentence_at_the_beginning(tmp_path, capsys, make):
    said = []
    result = train(make, run_dir=tmp_path / "run", checkpoint_interval=2,
                   dashboard=lambda update: said.append(capsys.readouterr().err), **SMALL)
    assert result.ended == "done" and len(said) == 8
    assert "cannot be saved (" in said[0] and "a resumed run starts its episodes anew" in said[0] and not any(said[1:])
    assert puffer_min.load_policy(result.checkpoint).act(np.zeros((3, 2), np.float32)).shape == (3,)
    more = train(make, resume=result.checkpoint, total_steps=640)
    assert [update["step"] for update in more.history] == [576, 640]
    assert "holds no state of the environment: its episodes start anew" in capsys.readouterr().err


def test_in_worker_processes_too(tmp_path, capsys):
    result = train(UNSAVABLE["a lock"], run_dir=tmp_path / "run", backend="process", num_workers=2, **SMALL)
    assert result.ended == "done" and read_checkpoint(result.checkpoint)["env"] is None
    assert "cannot be saved (TypeError: cannot pickle '_thread.lock' object)" in capsys.readouterr().err


TABLE = np.zeros(2**17)                     # 1 MiB


class Shared(Steps):
    def __init__(self):
        super().__init__()
        self.table = self.tables[0]

    tables = [TABLE]


@pytest.mark.parametrize("how", [{}, {"backend": "process", "num_workers": 2}], ids=["serial", "process"])
def test_what_environments_share_is_stored_once(tmp_path, how):
    result = train(Shared, run_dir=tmp_path / "run", **SMALL | {"num_envs": 16, "total_steps": 256} | how)
    workers = how.get("num_workers", 1)
    assert workers * TABLE.nbytes < result.checkpoint.stat().st_size < (workers + 0.5) * TABLE.nbytes


def test_what_environments_share_they_share_after_a_resume():
    vec, other = (puffer_min.make_vec(Shared, num_envs=4) for _ in range(2))
    vec.reset(0)
    other.set_state(pickle.loads(pickle.dumps(vec.get_state())))
    tables = [env.env.table for env in other.environments]
    assert all(table is tables[0] for table in tables) and tables[0] is not TABLE


def test_a_run_whose_classes_are_in_another_program_starts_its_episodes_anew(tmp_path):
    script = """
        import sys, gymnasium, numpy as np, puffer_min
        from gymnasium.spaces import Box, Discrete
        class {name}(gymnasium.Env):
            observation_space, action_space = Box(-1, 9, (2,)), Discrete(2)
            def reset(self, *, seed=None, options=None):
                super().reset(seed=seed); self.t = 0
                return np.ones(2, np.float32), {{}}
            def step(self, action):
                self.t += 1
                return np.ones(2, np.float32), 1.0, self.t == 5, False, {{}}
        sizes = dict(num_envs=4, horizon=16, torch_threads=1)
        {call}
    """
    first = program(tmp_path, script.format(name="Mine", call="puffer_min.train(Mine, total_steps=128, run_dir='run', **sizes)"))
    assert first.wait(60) == 0, first.stderr.read()
    call = "Yours.__name__ = 'Mine'; print(puffer_min.train(Yours, total_steps=256, resume='run/checkpoint.pt'))"
    out, said = program(tmp_path, script.format(name="Yours", call=call)).communicate(timeout=60)
    assert out.startswith("256 steps of Mine"), said
    assert "cannot be restored here (AttributeError: Can't get attribute 'Mine' on <module '__main__'" in said


def test_resumed_episodes_that_start_anew_are_others_than_those_the_run_began_with(tmp_path):
    seen = []

    class Seeded(Steps):
        def reset(self, *, seed=None, options=None):
            seen.append(seed)
            return super().reset(seed=seed)
    result = train(Seeded, run_dir=tmp_path / "run", seed=3, **SMALL)
    begun = [seed for seed in seen if seed is not None]
    seen.clear()
    train(Seeded, resume=result.checkpoint, total_steps=640)
    again = [seed for seed in seen if seed is not None]
    assert again[:4] == begun[:4] and len({*again[4:8]}) == 4 and not {*again[4:8]} & {*begun}


def test_a_state_that_can_be_saved_no_longer_costs_no_policy(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(Leaving, "leaves", False)
    result = train(functools.partial(with_attribute, Leaving), run_dir=tmp_path / "run",
                   dashboard=lambda update: setattr(Leaving, "leaves", update["step"] > 256), **SMALL)
    assert read_checkpoint(result.checkpoint)["steps"] == 512
    assert capsys.readouterr().err.count("cannot be saved (SystemExit: 3)") == 1


def test_an_environment_that_cannot_be_closed_costs_no_result(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(Steps, "close", lambda self: fails(RuntimeError("no window"))())
    assert train(Steps, run_dir=tmp_path / "run", **SMALL).checkpoint.exists()
    assert "Closing Steps failed (RuntimeError: no window); the run is not affected." in capsys.readouterr().err
    Steps.at = {72: fails(LookupError("the simulator crashed"))}
    with pytest.raises(LookupError, match="the simulator crashed"):
        train(Steps, run_dir=tmp_path / "other", **SMALL)


def test_an_environment_may_change_the_working_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "elsewhere").mkdir()
    Steps.at = {40: lambda: os.chdir("elsewhere") or 1.0}
    result = train(Steps, run_dir="run", **SMALL)
    assert result.run_dir == tmp_path / "run" and not os.listdir(tmp_path / "elsewhere")
    assert read_checkpoint(tmp_path / "run" / "checkpoint.pt")["steps"] == 512


# ---------------------------------------------------------------------- errors in the middle

@pytest.mark.parametrize("error", [RuntimeError("the simulator crashed"), MemoryError(), SystemExit(0), KeyboardInterrupt()],
                         ids=lambda error: type(error).__name__)
def test_an_error_of_the_environment_leaves_the_policy_of_the_last_update(tmp_path, capsys, error):
    Steps.at = {72: fails(error)}                                   # in the fifth update
    with pytest.raises(type(error)) as caught:
        train(Steps, run_dir=tmp_path / "run", **SMALL)
    where = f"The policy of step 256 is in {tmp_path / 'run' / 'checkpoint.pt'}; resume= goes on from there."
    assert caught.value is error and where in error.__notes__
    assert (where in capsys.readouterr().err) == (not isinstance(error, Exception)), "notes of these are not always shown"
    saved = read_checkpoint(tmp_path / "run" / "checkpoint.pt")
    assert (saved["steps"], saved["updates"], saved["env"]) == (256, 4, None), "half stepped environments are not kept"
    Steps.at = {}
    more = train(Steps, resume=tmp_path / "run" / "checkpoint.pt")
    assert [update["step"] for update in more.history] == [320, 384, 448, 512]
    assert [line["step"] for line in puffer_min.read_log(tmp_path / "run" / "log.jsonl")] == list(range(64, 513, 64))


@pytest.mark.parametrize("words", [["train", "quits.py", "--total-steps", "64"], ["bench", "quits.py", "--seconds", "0.01"],
                                   ["sweep", "quits.py", "--trials", "1", "--total-steps", "64"]], ids=lambda words: words[0])
def test_an_environment_that_calls_sys_exit_ends_no_command_as_if_it_had_done_its_work(tmp_path, capsys, monkeypatch, words):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "quits.py").write_text(QUITS)
    assert main(words) == 2
    assert "quits.py, line 8, called sys.exit(None), expected the end of an episode, or an Exception" in capsys.readouterr().err


QUITS = """
import sys, gymnasium, numpy as np
class Quits(gymnasium.Env):
    observation_space, action_space = gymnasium.spaces.Box(0, 1, (1,)), gymnasium.spaces.Discrete(2)
    def reset(self, *, seed=None, options=None):
        return np.zeros(1, np.float32), {}
    def step(self, action):
        sys.exit()
"""


@pytest.mark.parametrize("text, sentence", [("class :", "broken.py, line 1 is no Python (invalid syntax): mend it"),
                                            ("\nimport sys; sys.exit()", "broken.py called sys.exit(None) while it was loaded, expected definitions")])
def test_a_file_that_cannot_be_loaded_is_said_in_a_sentence_with_status_2(tmp_path, capsys, monkeypatch, text, sentence):
    (tmp_path / "broken.py").write_text(text)
    monkeypatch.chdir(tmp_path)
    assert main(["check", "broken.py:Env"]) == main(["train", "broken.py:Env"]) == 2 and sentence in capsys.readouterr().err


def test_an_environment_may_switch_off_gradients(tmp_path):
    before = torch.is_grad_enabled()
    Steps.at = {40: lambda: torch.set_grad_enabled(False) and None or 1.0}
    try:
        assert train(Steps, run_dir=tmp_path, **SMALL).history[-1]["step"] == 512
    finally:
        torch.set_grad_enabled(before)


def test_a_clock_that_shows_no_time_divides_by_none(tmp_path, monkeypatch):
    monkeypatch.setattr(time, "perf_counter", lambda: 1.0)
    assert train("squared", run_dir=tmp_path, **SMALL).history[-1]["sps"] > 0


@pytest.mark.parametrize("run_dir", [3, b"runs", "a\0b"])
def test_a_run_dir_that_is_no_path_is_refused(run_dir):
    with pytest.raises(ValueError, match=r"run_dir=.* given, expected the path of a folder"):
        train("squared", run_dir=run_dir, **SMALL)


def test_an_empty_run_dir_is_the_default_one(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["train", "squared", "--run-dir", "", "--total-steps", "64", "--num-envs", "4", "--horizon", "16", "--dashboard", "none"]) == 0
    assert [path.parent.parent.name for path in tmp_path.rglob("checkpoint.pt")] == ["runs"] and "log and checkpoint are in runs/squared-0" in capsys.readouterr().out


def test_a_result_is_told_where_the_working_folder_is_gone(tmp_path, monkeypatch):
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    result = train("squared", run_dir=tmp_path / "run", **SMALL)
    assert str(result).endswith(f"log and checkpoint are in {tmp_path / 'run'}")
    (tmp_path / "gone").rmdir()
    assert str(result).endswith(f"log and checkpoint are in {tmp_path / 'run'}")


def test_a_device_that_is_none_and_settings_that_are_no_dict_are_refused(tmp_path):
    with pytest.raises(ValueError, match='device=\'nope\' given, expected "cpu"'):
        train("squared", run_dir=tmp_path, device="nope", **SMALL)
    with pytest.raises(TypeError, match=r"env_settings=\[1\] given, expected a dict"):
        train("squared", run_dir=tmp_path, env_settings=[1], **SMALL)


def test_a_name_longer_than_a_file_systems_is_cut(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    result = train(type("x" * 300, (Steps,), {}), **SMALL)
    assert result.checkpoint.exists() and len(result.run_dir.name) < 100 and result.env_name == "x" * 300


def test_the_policy_that_is_left_is_that_of_the_last_whole_update(tmp_path):
    """The same weights as a run that ended there, although the update that failed had begun to change them."""
    settings = SMALL | {"update_epochs": 4, "minibatch_size": 16, "anneal_lr": "none"}
    whole = train(Steps, run_dir=tmp_path / "whole", **settings | {"total_steps": 256})
    calls = []

    class Failing(PPO):
        def step_on(self, rows, config):
            calls.append(1)
            if len(calls) == 4 * 16 + 7:
                raise MemoryError
            return super().step_on(rows, config)
    with pytest.MonkeyPatch.context() as patch, pytest.raises(MemoryError):
        patch.setattr(running, "PPO", Failing)
        train(Steps, run_dir=tmp_path / "run", **settings)
    left = read_checkpoint(tmp_path / "run" / "checkpoint.pt")
    for name, tensor in read_checkpoint(whole.checkpoint)["policy"].items():
        assert left["policy"][name].equal(tensor), name


def test_a_nan_from_the_environment_leaves_the_weights_before_it(tmp_path):
    make = functools.partial(Drift, num_agents=4, poison="rewards")                 # at step 30, in the fourth update
    with pytest.raises(NotFinite, match="training stopped at step 96: rewards") as caught:
        train(make, run_dir=tmp_path / "run", **SMALL | {"num_envs": 1, "horizon": 8})
    assert "The policy of step 96 is in" in caught.value.__notes__[0]
    saved = read_checkpoint(tmp_path / "run" / "checkpoint.pt")
    assert saved["steps"] == 96 and all(torch.isfinite(tensor).all() for tensor in saved["policy"].values())


def test_weights_that_are_not_finite_are_never_written(tmp_path, monkeypatch):
    """Even where the update that spoiled them reported nothing."""
    def spoil(learner):
        report = iterate(learner)
        if learner.updates == 5:
            learner.weights.data[3] = float("inf")
        return report
    iterate = PPO.iterate
    monkeypatch.setattr(PPO, "iterate", spoil)
    with pytest.raises(NotFinite, match="the policy's parameter 'encoder.layer.weight'"):
        train(Steps, run_dir=tmp_path / "run", checkpoint_interval=1, **SMALL)
    saved = read_checkpoint(tmp_path / "run" / "checkpoint.pt")
    assert saved["steps"] == 256 and all(torch.isfinite(tensor).all() for tensor in saved["policy"].values())


def test_an_error_before_the_first_update_leaves_no_checkpoint_and_says_so(tmp_path):
    Steps.at = {3: fails(RuntimeError("at once"))}
    with pytest.raises(RuntimeError, match="at once") as caught:
        train(Steps, run_dir=tmp_path / "run", **SMALL)
    assert caught.value.__notes__ == ["No update was finished, so there is no checkpoint."]
    assert os.listdir(tmp_path / "run") == ["log.jsonl"]
    Steps.at = {}
    assert train(Steps, run_dir=tmp_path / "run", **SMALL).run_dir == tmp_path / "run", "an empty folder is free"


def test_an_error_of_ones_own_function_ends_the_run_where_it_can_go_on_exactly(tmp_path):
    whole = train("squared", run_dir=tmp_path / "whole", seed=1, **SMALL)

    def stop(update):
        if update["step"] == 256:
            raise LookupError("enough")
    with pytest.raises(LookupError, match="enough"):
        train("squared", run_dir=tmp_path / "run", seed=1, dashboard=stop, **SMALL)
    rest = train("squared", resume=tmp_path / "run" / "checkpoint.pt")
    assert [update["policy_loss"] for update in rest.history] == [update["policy_loss"] for update in whole.history[4:]]


def test_a_reader_may_change_what_it_gets(tmp_path):
    result = train(Steps, run_dir=tmp_path / "run", dashboard=lambda update: [update.pop("stages").clear(), update.clear()], **SMALL)
    assert [update["step"] for update in result.history] == list(range(64, 513, 64)) and all(result.history[-1]["stages"].values())


def test_an_error_while_agents_act_as_they_are_ready_leaves_the_policy(tmp_path):
    """Steps are on their way then, which nobody waits for."""
    Steps.at = {140: fails(RuntimeError("the simulator crashed"))}
    settings = SMALL | {"total_steps": 10_000, "backend": "process", "num_workers": 4, "batch_envs": 2, "batch_size": 64}
    with pytest.raises(RuntimeError, match="the simulator crashed"):
        train(Steps, run_dir=tmp_path / "run", **settings)
    saved = read_checkpoint(tmp_path / "run" / "checkpoint.pt")
    assert saved["steps"] > 64 and saved["env"] is None
    more = train(Steps, resume=tmp_path / "run" / "checkpoint.pt", total_steps=saved["steps"] + 128)
    assert len(more.history) == 2


# ---------------------------------------------------------------------- readers

@pytest.mark.parametrize("method", ["write", "close"])
def test_a_log_that_fails_is_left_out_and_the_run_goes_on(tmp_path, monkeypatch, capsys, method):
    monkeypatch.setattr(running.TrainingLog, method, lambda *_: fails(OSError(errno.ENOSPC, "No space left on device"))())
    result = train("squared", run_dir=tmp_path / "run", **SMALL)
    assert result.ended == "done" and len(result.history) == 8 and result.checkpoint.exists()
    said = capsys.readouterr().err
    assert said.count("The log failed (OSError: [Errno 28] No space left on device) and is left out; the run goes on.") == 1


def test_a_dashboard_that_fails_is_left_out_and_the_run_goes_on(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("puffer_min.commands.dashboard.TerminalDashboard.show", fails(UnicodeEncodeError("ascii", "▁", 0, 1, "?")))
    monkeypatch.setattr("puffer_min.commands.dashboard.TerminalDashboard.show", lambda self: 1 / 0)
    result = train("squared", run_dir=tmp_path / "run", dashboard="terminal", **SMALL)
    assert len(result.history) == 8
    assert capsys.readouterr().err.count("The dashboard failed (ZeroDivisionError: division by zero)") == 1 + 1, "update and end"


# ---------------------------------------------------------------------- the disk

def test_a_folder_that_cannot_be_written_is_said_before_the_first_step(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match=r"the folder .*file/run cannot be made \(.*\): give another run_dir"):
        train(Steps, run_dir=tmp_path / "file" / "run", **SMALL)


def test_a_full_disk_is_said_before_the_first_step(tmp_path, monkeypatch):
    monkeypatch.setattr(running, "save_checkpoint", lambda *_: fails(OSError(errno.ENOSPC, "No space left on device"))())
    updates = []
    with pytest.raises(OSError, match=r"no checkpoint can be written to .*run \(OSError: \[Errno 28\] No space left on device\): make room"):
        train(Steps, run_dir=tmp_path / "run", dashboard=updates.append, **SMALL)
    assert not updates


def test_a_disk_that_fills_up_costs_neither_the_run_nor_the_policy(tmp_path, monkeypatch, capsys):
    """The first checkpoint fits, the second does not: the run goes on, and its last one goes elsewhere."""
    save, calls = running.save_checkpoint, []

    def full(path, contents):
        calls.append(path)
        if len(calls) > 2 and str(path).startswith(str(tmp_path / "run")):          # the rehearsal and one checkpoint
            raise OSError(errno.ENOSPC, "No space left on device")
        return save(path, contents)
    monkeypatch.setattr(running, "save_checkpoint", full)
    monkeypatch.setattr(running.tempfile, "mkdtemp", lambda prefix: (tmp_path / "elsewhere").mkdir() or str(tmp_path / "elsewhere"))
    result = train("squared", run_dir=tmp_path / "run", checkpoint_interval=4, **SMALL)
    said = capsys.readouterr().err
    assert len(result.history) == 8 and result.checkpoint == tmp_path / "elsewhere" / "checkpoint.pt"
    assert read_checkpoint(result.checkpoint)["steps"] == 512 and read_checkpoint(tmp_path / "run" / "checkpoint.pt")["steps"] == 256
    assert "The checkpoint of step 512 cannot be written to" in said and "the last one is of step 256" in said
    assert str(result).endswith(f"the log is in {tmp_path / 'run'}, the checkpoint is {result.checkpoint}")


def test_where_no_checkpoint_can_be_written_at_all_the_result_and_the_status_say_so(tmp_path, monkeypatch, capsys):
    save, calls = running.save_checkpoint, []

    def full(path, contents):
        calls.append(path)
        if len(calls) > 1:                                                          # all but the rehearsal
            raise OSError(errno.ENOSPC, "No space left on device")
        return save(path, contents)
    monkeypatch.setattr(running, "save_checkpoint", full)
    monkeypatch.setattr(running.tempfile, "mkdtemp", lambda prefix: (tmp_path / "elsewhere").mkdir() or str(tmp_path / "elsewhere"))
    assert main(["train", "squared", "--run-dir", str(tmp_path / "run"), "--dashboard", "none", "--total-steps", "128", "--num-envs", "4", "--horizon", "16",
                 "--minibatch-size", "64"]) == 1
    assert "and no checkpoint of the last step could be written." in capsys.readouterr().out and not (tmp_path / "elsewhere").exists()


def test_a_log_that_is_none_is_begun_anew_and_a_checkpoint_that_is_a_link_keeps_its_folder(tmp_path):
    first = train("squared", run_dir=tmp_path / "run", **SMALL)
    first.checkpoint.rename(tmp_path / "kept.pt")
    first.checkpoint.symlink_to(tmp_path / "kept.pt")
    (tmp_path / "run" / "log.jsonl").write_bytes(b'3\n\xff{}\n')
    again = train("squared", resume=first.checkpoint, total_steps=2 * first.history[-1]["step"])
    assert again.run_dir == tmp_path / "run" and len(puffer_min.read_log(tmp_path / "run" / "log.jsonl")) == len(again.history)


def test_settings_that_do_not_fit_the_checkpoint_are_named(tmp_path):
    first = train("squared", run_dir=tmp_path, **SMALL)
    with pytest.raises(CheckpointError, match=r"does not fit this run .*; it was saved with .*hidden_size=16.*: give the same"):
        train("squared", resume=first.checkpoint, hidden_size=32, total_steps=1024)


# ---------------------------------------------------------------------- signals

@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP], ids=lambda number: number.name)
def test_a_signal_ends_the_run_after_the_update_with_a_checkpoint(tmp_path, capsys, number, request):
    if number == signal.SIGHUP:                                     # nohup ignores it, and so would the run
        request.addfinalizer(functools.partial(signal.signal, number, signal.signal(number, signal.SIG_DFL)))
    before = [signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)]
    Steps.at = {40: lambda: signal.raise_signal(number) or 1.0}     # within the third update
    result = train(Steps, run_dir=tmp_path / "run", **SMALL)
    assert (result.ended, result.signal, result.history[-1]["step"]) == ("interrupted", number, 192)
    assert read_checkpoint(result.checkpoint)["steps"] == 192
    assert "the run ends after this update, with a checkpoint" in capsys.readouterr().err
    assert [signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)] == before


def test_a_second_signal_ends_the_run_at_once_and_the_policy_is_saved_all_the_same(tmp_path):
    Steps.at = {40: lambda: [signal.raise_signal(signal.SIGTERM) for _ in range(2)]}
    with pytest.raises(SystemExit) as end:
        train(Steps, run_dir=tmp_path / "run", **SMALL)
    assert end.value.code == 128 + signal.SIGTERM
    assert read_checkpoint(tmp_path / "run" / "checkpoint.pt")["steps"] == 128


def test_a_hangup_that_the_program_ignores_stays_ignored(tmp_path):
    """As under nohup."""
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        Steps.at = {40: lambda: signal.raise_signal(signal.SIGHUP) or 1.0}
        assert train(Steps, run_dir=tmp_path / "run", **SMALL).ended == "done"
        assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before)


def test_the_command_ends_with_128_and_the_number_of_the_signal(tmp_path):
    number = signal.SIGTERM
    script = "import sys; from puffer_min.__main__ import main; sys.exit(main(sys.argv[1:]))"
    process = program(tmp_path, script, "train", "squared", "--run-dir", "run", "--num-envs", "16", "--total-steps", "1e9",
                      "--torch-threads", "1", "--dashboard", "none")
    wait_for(tmp_path / "run" / "log.jsonl")
    process.send_signal(number)
    out, said = process.communicate(timeout=60)
    assert process.returncode == 128 + number, said
    assert "interrupted; log and checkpoint are in run." in out and f"{number.name}: the run ends after this update" in said
    steps = [line["step"] for line in puffer_min.read_log(tmp_path / "run" / "log.jsonl")]
    assert read_checkpoint(tmp_path / "run" / "checkpoint.pt")["steps"] == steps[-1] == 512 * len(steps)


def test_a_signal_to_the_whole_group_ends_the_run_with_a_checkpoint_although_it_ends_the_workers_first(tmp_path):
    script = """
        import gymnasium, puffer_min
        if __name__ == "__main__":
            result = puffer_min.train(lambda: gymnasium.make("CartPole-v1"), run_dir="run", total_steps=10**9, num_envs=4, horizon=16,
                                      backend="process", num_workers=2, torch_threads=1)
            print(result.ended, result.signal, result.checkpoint.exists())
    """
    process = program(tmp_path, script, start_new_session=True)
    wait_for(tmp_path / "run" / "log.jsonl")
    os.killpg(process.pid, signal.SIGTERM)
    out, said = process.communicate(timeout=60)
    assert out == "interrupted 15 True\n", said
    assert read_checkpoint(tmp_path / "run" / "checkpoint.pt")["steps"] > 0


# ---------------------------------------------------------------------- folders

@pytest.mark.skipif(sys.platform != "linux", reason="there a fork times no step")
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT], ids=lambda number: number.name)
def test_the_process_that_times_a_step_ends_with_its_run(tmp_path, number):
    (tmp_path / "hanging.py").write_text(textwrap.dedent("""
        import os, pathlib, time, test_never_lost
        from puffer_min.commands import train as training
        class Hanging(test_never_lost.Steps):
            def step(self, action):
                pathlib.Path("new").write_text(str(os.getpid()))
                os.rename("new", "timing")
                time.sleep(1000)
        training.cores = lambda: 2
        training.step_seconds(Hanging, {})"""))
    environment = os.environ | {"PYTHONPATH": f"{ROOT}:{ROOT / 'tests'}"}
    process = subprocess.Popen([sys.executable, "hanging.py"], cwd=tmp_path, env=environment, stderr=subprocess.DEVNULL)
    while not (tmp_path / "timing").exists():
        assert process.poll() is None
        time.sleep(0.02)
    timing = int((tmp_path / "timing").read_text())
    process.send_signal(number)
    process.wait()
    until = time.monotonic() + 20
    while Path(f"/proc/{timing}").exists() and " Z " not in Path(f"/proc/{timing}/stat").read_text():
        assert time.monotonic() < until, "the process that times goes on without its run"
        time.sleep(0.02)


def test_runs_that_begin_in_one_second_have_a_folder_each(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("puffer_min.commands.log.time", SimpleNamespace(strftime=lambda _: "20260101-000000"))
    results = [train("squared", learning_rate=rate, **SMALL | {"total_steps": 64}) for rate in (1e-3, 2e-3, 3e-3)]
    assert [result.run_dir.name for result in results] == [f"squared-0-20260101-000000{end}" for end in ("", "-2", "-3")]
    for result in results:
        assert read_checkpoint(result.checkpoint)["config"]["learning_rate"] == result.config.learning_rate
        assert len(puffer_min.read_log(result.run_dir / "log.jsonl")) == 1


def test_processes_that_ask_for_one_folder_at_once_get_one_each(tmp_path):
    script = """
        from puffer_min.commands.log import run_folder
        with run_folder(None, "runs/squared-0", None) as folder, open(folder / "log.jsonl", "w") as log:
            print(folder, flush=True)
            input()
    """
    processes = [program(tmp_path, script, stdin=subprocess.PIPE) for _ in range(3)]
    folders = {process.stdout.readline() for process in processes}
    for process in processes:
        process.communicate("\n", timeout=60)
    assert len(folders) == 3


def test_a_folder_of_another_run_is_left_as_it_is_and_the_new_one_goes_beside_it(tmp_path, capsys):
    first = train("squared", run_dir=tmp_path / "run", **SMALL)
    kept = {path: path.read_bytes() for path in (tmp_path / "run").iterdir()}
    second = train("squared", seed=1, run_dir=tmp_path / "run", **SMALL)
    assert second.run_dir == tmp_path / "run-2" and {path: path.read_bytes() for path in (tmp_path / "run").iterdir()} == kept
    assert f"{tmp_path / 'run'} holds another run, which stays as it is: this one is in {tmp_path / 'run-2'}." in capsys.readouterr().err
    more = train("squared", resume=first.checkpoint, total_steps=640)
    assert more.run_dir == tmp_path / "run", "a resumed run goes on in its own"
    assert [line["step"] for line in puffer_min.read_log(tmp_path / "run" / "log.jsonl")] == list(range(64, 641, 64))


def test_the_present_folder_may_be_named_by_a_dot(tmp_path, monkeypatch):
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    (tmp_path / "here" / "checkpoint.pt").write_text("of another run")
    with run_folder(".", "name", None) as folder:
        assert folder == tmp_path / "here-2"


def test_a_run_is_not_resumed_by_two_processes_at_once(tmp_path):
    with run_folder(tmp_path, "name", tmp_path / "checkpoint.pt"):
        with pytest.raises(ValueError, match=f"another process writes into {tmp_path}: give another run_dir"):
            with run_folder(None, "name", tmp_path / "checkpoint.pt"):
                pass


def test_resuming_a_finished_run_says_how_to_go_on(tmp_path, capsys):
    first = train("squared", run_dir=tmp_path, **SMALL)
    before = first.checkpoint.read_bytes()
    again = train("squared", resume=first.checkpoint)
    assert again.ended == "done" and again.history == [] and again.policy.act(np.zeros((2, 121), np.uint8)).shape == (2,)
    assert str(again) == f"No step of squared, because total_steps was reached before; log and checkpoint are in {tmp_path}"
    said = f"{first.checkpoint} is of step 512, so total_steps=512 is reached: give a larger total_steps to go on."
    assert said in capsys.readouterr().err and first.checkpoint.read_bytes() == before


def test_a_checkpoint_with_settings_of_the_version_before_is_resumed_and_played(tmp_path):
    first = train("squared", run_dir=tmp_path, **SMALL)
    contents = read_checkpoint(first.checkpoint)
    contents["config"] |= {"isolate": False, "overlap": False, "reuse_rows": True}
    running.save_checkpoint(first.checkpoint, contents)
    assert puffer_min.load_policy(first.checkpoint) and len(train("squared", resume=first.checkpoint, total_steps=576).history) == 1
    with pytest.warns(DeprecationWarning, match="isolate given, which is no option any more"):
        train("squared", resume=first.checkpoint, total_steps=640, isolate=True)


def test_parts_of_different_steps_are_not_resumed_as_one():
    run = SimpleNamespace(world=SimpleNamespace(size=2, gather=lambda steps: [27_648, 20_480]))
    with pytest.raises(CheckpointError, match="were not written together: checkpoint.pt is of step 27,648, checkpoint-1.pt is of step 20,480"):
        running.Run.restore(run, {"processes": 2, "steps": 27_648}, "run/checkpoint.pt")


# ---------------------------------------------------------------------- settings

class Sized(Steps):
    def __init__(self, size=1, rule=None):
        super().__init__()
        self.size, self.rule = size, rule


@pytest.mark.parametrize("value, kept", [(np.int64(3), 3), (np.float32(0.5), 0.5), (np.array([1, 2]),) * 2,
                                         ([1, (2, "a")],) * 2, ({"a": None},) * 2, (True, True), (Path("x"),) * 2],
                         ids=lambda value: type(value).__name__)
def test_settings_come_back_from_a_checkpoint_and_numbers_of_numpy_as_plain_ones(tmp_path, value, kept):
    result = train(Sized, run_dir=tmp_path, env_settings={"size": value}, **SMALL)
    back = read_checkpoint(result.checkpoint)["env_settings"]["size"]
    assert type(back) is type(kept) and np.all(back == kept) and puffer_min.load_policy(result.checkpoint)


@pytest.mark.parametrize("value", [len, {1, 2}, signal.SIGINT, object()], ids=lambda value: type(value).__name__)
def test_settings_that_a_checkpoint_cannot_hold_are_left_out_and_asked_for_again(tmp_path, capsys, value):
    assert not is_readable(value)
    result = train(Sized, run_dir=tmp_path, env_settings={"size": 2, "rule": value}, **SMALL)
    assert "A checkpoint cannot hold env_settings rule" in capsys.readouterr().err
    assert read_checkpoint(result.checkpoint)["env_settings"] == {"size": 2}
    with pytest.raises(CheckpointError, match="could not hold env_settings rule: give them again"):
        train(Sized, resume=result.checkpoint, total_steps=640)
    more = train(Sized, resume=result.checkpoint, total_steps=640, env_settings={"rule": value})
    assert more.history[-1]["step"] == 640


# ---------------------------------------------------------------------- what is given as an environment

class Factory:
    def __call__(self):
        return gymnasium.make("CartPole-v1")


@pytest.mark.parametrize("make", [Factory(), functools.partial(gymnasium.make, "CartPole-v1"), lambda: gymnasium.make("CartPole-v1")],
                         ids=["an object", "a partial", "a lambda"])
def test_whatever_can_be_called_makes_environments(tmp_path, monkeypatch, make):
    monkeypatch.chdir(tmp_path)
    result = train(make, **SMALL)
    assert result.env_name == "CartPole-v1" and result.run_dir.name.startswith("CartPole-v1-0-")


@pytest.mark.parametrize("call, sentence", [
    (lambda: train(gymnasium.make("CartPole-v1")), r"train: given one environment \(CartPole-v1\), expected a function that makes it"),
    (lambda: train(gymnasium.make_vec("CartPole-v1", num_envs=2)), "train: given a Gymnasium vector environment .* expected a function"),
    (lambda: train(3), "train: given int, expected the name of an environment, or a function or class that makes one"),
    (lambda: puffer_min.evaluate("squared", None), r"policy: given NoneType, expected an object with act\(observations\) -> actions"),
    (lambda: puffer_min.evaluate(gymnasium.make_vec("CartPole-v1", num_envs=2), puffer_min.RandomPolicy(puffer_min.make_vec("cartpole"))),
     "evaluate: given a Gymnasium vector environment"),
], ids=["an environment", "a vector environment", "a number", "no policy", "evaluate a vector environment"])
def test_what_is_no_maker_is_refused_in_a_sentence(call, sentence):
    with pytest.raises(TypeError, match=sentence):
        call()


def test_evaluate_takes_one_environment_and_leaves_it_open():
    env = gymnasium.make("CartPole-v1")
    report = puffer_min.evaluate(env, SimpleNamespace(act=lambda observations: np.zeros(len(observations), np.int32)), episodes=5)
    assert report["episodes"] == 5 and 8 < report["episode_length"] < 12
    env.reset()


def test_an_environment_in_python_is_made_a_few_times_by_default_and_the_sizes_are_said(tmp_path, capsys):
    result = train(Steps, total_steps=1, run_dir=tmp_path, torch_threads=1)
    assert Steps.made == 16 and result.history[-1]["step"] == 16 * 128, "the steps of another one are timed in a process of its own"
    said = capsys.readouterr().err
    assert "Steps is written in Python" in said and "num_envs=16, horizon=128, minibatch_size=256" in said


@pytest.mark.parametrize("given, minibatch", [({"horizon": 100}, 200), ({"horizon": 500}, 250), ({"minibatch_size": 64}, 64),
                                              ({"batch_size": 3 * 16 * 128}, 256), ({"num_envs": 3}, 192)])
def test_the_sizes_of_an_environment_in_python_divide_whatever_is_given(tmp_path, given, minibatch):
    assert train(Steps, total_steps=1, run_dir=tmp_path, torch_threads=1, **given).config.minibatch_size == minibatch


# ---------------------------------------------------------------------- files of one's own

MINE = """
from __future__ import annotations
from dataclasses import dataclass
import gymnasium, numpy as np
from gymnasium.spaces import Box, Discrete
from rules import LENGTH

@dataclass
class State:
    t: int = 0

class MyEnv(gymnasium.Env):
    observation_space, action_space = Box(-1, 9, (2,)), Discrete(2)
    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.state = State()
        return np.ones(2, np.float32), {}
    def step(self, action):
        self.state.t += 1
        return np.ones(2, np.float32), 1.0, self.state.t == LENGTH, False, {}
"""


def test_an_environment_in_a_file_is_trained_resumed_evaluated_and_checked_from_anywhere(tmp_path):
    """With a dataclass, a module beside it, and worker processes that import it afresh."""
    for name, text in (("my_env.py", MINE), ("rules.py", "LENGTH = 5")):
        (tmp_path / name).write_text(text)
    (tmp_path / "other").mkdir()
    script = f"""
        import sys
        from puffer_min.__main__ import main
        if __name__ == "__main__":
            sizes = ["--num-envs", "4", "--horizon", "16", "--torch-threads", "1", "--dashboard", "none"]
            name, checkpoint = "{tmp_path}/my_env.py:MyEnv", "run/checkpoint.pt"
            assert main(["train", name, "--total-steps", "128", "--run-dir", "run", *sizes]) == 0
            assert main(["train", name, "--total-steps", "256", "--resume", checkpoint, "--dashboard", "none"]) == 0
            assert main(["eval", name, "--checkpoint", checkpoint, "--episodes", "3"]) == 0
            assert main(["check", name, "--steps", "50"]) == 0
            import puffer_min
            from puffer_min.commands.locate import load_environment
            vec = puffer_min.make_vec(load_environment(name), 2, 2, "process", start_method="spawn")
            puffer_min.train(vec, total_steps=64, horizon=16, run_dir="spawned", torch_threads=1)
            vec.close()
    """
    process = program(tmp_path / "other", script)
    out, said = process.communicate(timeout=100)
    assert process.returncode == 0, said
    assert "128 steps of MyEnv" in out and "256 steps of MyEnv" in out and "cannot be saved" not in said and "anew" not in said
    for name in ("run", "spawned"):
        assert read_checkpoint(tmp_path / "other" / name / "checkpoint.pt")["env"] is not None
