"""Several processes learn as one: their policies stay equal, a run goes on as it was, and ends cleanly when one of them dies."""

import datetime
import os
import signal
import subprocess
import sys
import textwrap
import time
from types import SimpleNamespace

import psutil
import pytest
import torch
from test_checkpoint import assert_equal

import envs
import puffer_min
from puffer_min.commands.run import of_rank
from puffer_min.commands.train import train
from puffer_min.learner.checkpoint import CheckpointError
from puffer_min.learner.config import Config
from puffer_min.learner.distributed import Alone, PeerLost, join
from puffer_min.learner.ppo import PPO

SETTINGS = {"horizon": 8, "total_steps": 32 * 8 * 6, "torch_threads": 1, "checkpoint_interval": 2, "update_epochs": 2, "seed": 3,
            "matmul_precision": "highest", "ent_coef": 0.02, "max_grad_norm": 0.05}
TIMES = {"seconds", "sps", "sps_now", "stages"}


def start(tmp_path, script, processes=2):
    """torchrun with `script` in so many processes, as Popen. Each has RANK in its environment."""
    file = tmp_path / "script.py"
    file.write_text(textwrap.dedent(script))
    root = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    environment = {**os.environ, "PYTHONPATH": root, "OMP_NUM_THREADS": "1", "GLOO_SOCKET_IFNAME": "lo"}
    return subprocess.Popen([sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(processes), str(file)],
                            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment, cwd=tmp_path)


def torchrun(tmp_path, script, processes=2):
    """(exit status, output) of `script` in so many processes."""
    with start(tmp_path, script, processes) as running:
        output, _ = running.communicate(timeout=120)
    return running.returncode, output


class Part(Alone):
    """Number `rank` of two processes that are not there: means over the processes stay as they are."""

    size = 2

    def __init__(self, rank):
        self.rank = rank


def test_processes_begin_with_equal_policies_and_draw_differently():
    first, second = (PPO(envs.make("squared", 4), Config(num_envs=4, horizon=8, minibatch_size=32), seed=3, world=Part(rank)) for rank in (0, 1))
    assert first.weights.equal(second.weights)
    for learner in (first, second):
        learner.collect()
    assert not first.buffer.actions.equal(second.buffer.actions)
    assert not torch.randperm(99, generator=first.shuffle).equal(torch.randperm(99, generator=second.shuffle))


def test_a_step_counts_for_every_process_and_its_gradient_is_the_mean_over_them():
    learner, averaged = PPO(envs.make("squared", 4), Config(num_envs=4, horizon=8, minibatch_size=16), world=Part(0)), []
    learner.world.average_ = lambda tensor: averaged.append(tensor.data_ptr()) or tensor.mul_(0.5)
    learner.iterate()
    assert learner.steps == 2 * 4 * 8 and averaged[:2] == [learner.weights.grad.data_ptr()] * 2


def test_every_process_keeps_a_file_of_its_own():
    assert [of_rank("runs/x/checkpoint.pt", rank).name for rank in range(3)] == ["checkpoint.pt", "checkpoint-1.pt", "checkpoint-2.pt"]


def test_a_checkpoint_of_two_processes_is_not_resumed_by_one(tmp_path):
    result = train("squared", num_envs=4, horizon=4, total_steps=16, torch_threads=1, run_dir=tmp_path)
    contents = torch.load(result.checkpoint, weights_only=True)
    assert contents["processes"] == 1
    torch.save(contents | {"processes": 2}, result.checkpoint)
    with pytest.raises(CheckpointError, match="is of a run of 2 processes, and here 1 learn: start as many with torchrun"):
        train("squared", resume=result.checkpoint, total_steps=32)


@pytest.mark.long
@pytest.mark.parametrize("env, settings", [
    ("squared", {}), ("cartpole", {"recurrent": True}), ("drive", {"encoder": "standard", "target_kl": 1e-4}), ("squared", {"vtrace": True}),
], ids=["squared", "lstm", "dying agents", "vtrace"])
def test_two_processes_learn_as_one(tmp_path, env, settings):
    """Their policies stay equal to the last bit, on environments and draws that differ, and the log counts both."""
    settings, envs_each = SETTINGS | settings, 16 if env != "drive" else 2
    agents = envs_each * (32 if env == "drive" else 1)
    settings |= {"total_steps": agents * 2 * 8 * 6}
    status, output = torchrun(tmp_path, f"""
        import puffer_min
        puffer_min.train({env!r}, num_envs={envs_each}, minibatch_size={agents * 8 // 2}, run_dir="two", **{settings})
    """)
    assert status == 0, output
    log = puffer_min.read_log(tmp_path / "two" / "log.jsonl")
    assert [line["step"] for line in log] == [agents * 2 * 8 * (i + 1) for i in range(6)]
    states = [torch.load(tmp_path / "two" / name, weights_only=True)["learner"] for name in ("checkpoint.pt", "checkpoint-1.pt")]
    for name in ("weights", "statistics", "optimizer"):
        assert_equal(states[0][name], states[1][name], name)
    assert not states[0]["generator"].equal(states[1]["generator"]) and states[0]["episodes"] == states[1]["episodes"]


@pytest.mark.long
def test_two_processes_learn_as_one_against_their_past(tmp_path):
    """Snapshots of the policy play one side in each process; the policies that learn stay equal."""
    status, output = torchrun(tmp_path, f"""
        import puffer_min
        from puffer_min.selfplay.opponents import Opponents
        puffer_min.train("connect4", opponents=Opponents(pool="uniform", interval=1, share=0.5), num_envs=16, run_dir="two",
                         **{SETTINGS | {"minibatch_size": 64, "total_steps": 32 * 2 * 8 * 6}})
    """)
    assert status == 0, output
    states = [torch.load(tmp_path / "two" / name, weights_only=True)["learner"] for name in ("checkpoint.pt", "checkpoint-1.pt")]
    for name in ("weights", "optimizer"):
        assert_equal(states[0][name], states[1][name], name)
    steps = [line["step"] for line in puffer_min.read_log(tmp_path / "two" / "log.jsonl")]
    assert steps == [384 * (i + 1) for i in range(8)], "of the 32 rows of each process 24 learn, 8 steps an update"


@pytest.mark.long
def test_two_processes_resume_as_if_they_had_not_stopped(tmp_path):
    status, output = torchrun(tmp_path, f"""
        import puffer_min
        settings = {SETTINGS | {"num_envs": 16, "minibatch_size": 32}}
        steps = settings.pop("total_steps")
        puffer_min.train("squared", total_steps=steps, run_dir="whole", anneal_lr="none", **settings)
        puffer_min.train("squared", total_steps=steps // 2, run_dir="half", anneal_lr="none", **settings)
        puffer_min.train("squared", total_steps=steps, resume="half/checkpoint.pt")
    """)
    assert status == 0, output
    whole, half = ([{name: value for name, value in update.items() if name not in TIMES | {"total_steps"}}
                    for update in puffer_min.read_log(tmp_path / name / "log.jsonl")] for name in ("whole", "half"))
    assert len(whole) == 6 and half == whole


@pytest.mark.long
def test_a_dead_process_ends_the_run_with_a_message_and_a_checkpoint(tmp_path):
    status, output = torchrun(tmp_path, f"""
        import os, signal, puffer_min

        from puffer_min.commands.train import Run
        describe = Run.describe
        def describe_and_die(run, report):
            if run.world.rank == 1 and run.learner.updates == 3:
                os.kill(os.getpid(), signal.SIGKILL)
            return describe(run, report)
        Run.describe = describe_and_die
        puffer_min.train("squared", num_envs=16, run_dir="run", **{SETTINGS | {"total_steps": 10**7, "checkpoint_interval": 0}})
    """)
    assert status != 0
    assert "PeerLost: process 0 of 2 stops at step" in output and f"its checkpoint is {tmp_path}/run/checkpoint.pt" in output, output
    saved = torch.load(tmp_path / "run" / "checkpoint.pt", weights_only=True)
    assert saved["steps"] >= 3 * 2 * 16 * 8 and torch.isfinite(saved["learner"]["weights"]).all()
    assert puffer_min.load_policy(tmp_path / "run" / "checkpoint.pt").act(torch.zeros(2, 121, dtype=torch.uint8).numpy()).shape == (2,)


@pytest.mark.long
def test_processes_whose_torchrun_is_killed_end_with_a_sentence_and_a_checkpoint(tmp_path):
    with start(tmp_path, f"""
        import puffer_min
        puffer_min.train("squared", num_envs=16, run_dir="run", **{SETTINGS | {"total_steps": 10**9, "checkpoint_interval": 0}})
    """) as running:
        log, deadline = tmp_path / "run" / "log.jsonl", time.monotonic() + 90
        while not (log.exists() and log.stat().st_size):
            assert running.poll() is None and time.monotonic() < deadline
            time.sleep(0.1)
        workers = psutil.Process(running.pid).children()
        running.kill()
        gone, alive = psutil.wait_procs(workers, timeout=30)
        alive = [worker for worker in alive if worker.status() != psutil.STATUS_ZOMBIE]     # nobody waits for an orphan here
        for worker in alive:
            worker.kill()
        output, _ = running.communicate()
    assert len(workers) == 2 and not alive, output
    assert "PeerLost: process 0 of 2 stops at step" in output and f"its checkpoint is {tmp_path}/run/checkpoint.pt" in output, output
    assert "torchrun has ended, or ends this process because" in output and (tmp_path / "run" / "checkpoint.pt").exists(), output


def test_a_process_waits_for_another_one_for_five_minutes_at_most(monkeypatch):
    given = {}
    monkeypatch.setattr(torch.distributed, "is_initialized", lambda: False)
    monkeypatch.setattr(torch.distributed, "init_process_group", lambda backend, **options: given.update(options, backend=backend))
    monkeypatch.setattr(torch.distributed, "get_rank", lambda: 0)
    monkeypatch.setattr(torch.distributed, "get_world_size", lambda: 2)
    monkeypatch.setattr("puffer_min.learner.distributed.atexit.register", lambda function: None)
    monkeypatch.setattr("puffer_min.learner.distributed.ctypes.CDLL", lambda name: SimpleNamespace(prctl=lambda *numbers: given.update(prctl=numbers)))
    for name in ("LOCAL_RANK", "LOCAL_WORLD_SIZE", "TORCHELASTIC_RUN_ID"):
        monkeypatch.setenv(name, "1")
    assert join("cpu").size == 2
    assert given == {"backend": "gloo", "timeout": datetime.timedelta(seconds=300)} | ({"prctl": (1, signal.SIGTERM)} if sys.platform == "linux" else {})
    monkeypatch.setattr(torch.distributed, "all_reduce", lambda tensor: (_ for _ in ()).throw(RuntimeError("Timed out waiting 300000ms")))
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(PeerLost, match=r"has ended, or has not answered for 300 s \(Timed out waiting"):
        join("cpu").average_(torch.zeros(1))
    signal.signal(signal.SIGTERM, before)
