"""Several processes learn as one: the same numbers as one process of twice the batch, and a clean end when one of them dies."""

import json
import os
import subprocess
import sys
import textwrap
import threading

import pytest
import torch

import puffer_min
from puffer_min.learner.checkpoint import CheckpointError
from puffer_min.learner.distributed import ALONE
from puffer_min.learner.distributions import noise
from puffer_min.commands.train import of_rank, train

SETTINGS = {"horizon": 8, "total_steps": 32 * 8 * 6, "torch_threads": 1, "checkpoint_interval": 2, "update_epochs": 2, "seed": 3,
            "matmul_precision": "highest", "ent_coef": 0.02, "max_grad_norm": 0.05}
TIMES = {"seconds", "sps", "sps_now", "stages"}


def torchrun(tmp_path, script, processes=2):
    """(exit status, output) of `script` in so many processes. Each has RANK in its environment."""
    file = tmp_path / "script.py"
    file.write_text(textwrap.dedent(script))
    root = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    environment = {**os.environ, "PYTHONPATH": root, "OMP_NUM_THREADS": "1", "GLOO_SOCKET_IFNAME": "lo"}
    done = subprocess.run([sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(processes), str(file)],
                          capture_output=True, text=True, timeout=120, env=environment, cwd=tmp_path)
    return done.returncode, done.stdout + done.stderr


class Part:
    """Number `rank` of three."""

    size = 3

    def __init__(self, rank):
        self.rank = rank


def test_each_process_draws_its_part_of_what_one_would_draw():
    generators = [torch.Generator().manual_seed(7) for _ in range(4)]
    whole = noise(torch.rand, 2, 15, generators[3], "cpu", ALONE)
    parts = [noise(torch.rand, 2, 5, generators[rank], "cpu", Part(rank)) for rank in range(3)]
    assert torch.cat(parts, 1).equal(whole)


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
    ("squared", {}), ("cartpole", {"recurrent": True}), ("drive", {"encoder": "set", "norm_adv": False}), ("squared", {"vtrace": True}),
], ids=["squared", "lstm", "dying agents", "vtrace"])
def test_two_processes_learn_what_one_does_of_twice_the_batch(tmp_path, env, settings):
    """One minibatch an epoch, because each process orders its own rows: then losses, episodes and weights are the same but for rounding."""
    settings, envs_each = SETTINGS | settings, 16 if env != "drive" else 2
    agents = envs_each * (32 if env == "drive" else 1)
    settings |= {"total_steps": agents * 2 * 8 * 6}
    status, output = torchrun(tmp_path, f"""
        import puffer_min
        result = puffer_min.train({env!r}, num_envs={envs_each}, minibatch_size={agents * 8}, run_dir="two", **{settings})
    """)
    assert status == 0, output
    one = train(env, num_envs=2 * envs_each, minibatch_size=2 * agents * 8, run_dir=tmp_path / "one", **settings)
    two = puffer_min.read_log(tmp_path / "two" / "log.jsonl")
    assert len(one.history) == len(two) == 6
    for ours, theirs in zip(one.history, two):
        assert ours["step"] == theirs["step"]
        if env == "drive":
            continue                    # rows fill in another order, and an update holds other rows; the processes stay together
        for name in set(ours) - TIMES - {"waiting"}:
            same = None if ours[name] is None else pytest.approx(ours[name], rel=2e-3, abs=1e-4)
            assert theirs[name] == same, name
    weights = [torch.load(path, weights_only=True)["learner"]["weights"] for path in
               (tmp_path / "two" / "checkpoint.pt", tmp_path / "two" / "checkpoint-1.pt", one.checkpoint)]
    assert weights[0].equal(weights[1]), "the processes' policies are the same to the last bit"
    if env != "drive":
        torch.testing.assert_close(weights[0], weights[2], rtol=1e-3, atol=2e-4)


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
    assert "PeerLost: process 0 of 2 stops at step" in output and "its checkpoint is run/checkpoint.pt" in output, output
    saved = torch.load(tmp_path / "run" / "checkpoint.pt", weights_only=True)
    assert saved["steps"] >= 3 * 2 * 16 * 8 and torch.isfinite(saved["learner"]["weights"]).all()
    assert puffer_min.load_policy(tmp_path / "run" / "checkpoint.pt").act(torch.zeros(2, 121, dtype=torch.uint8).numpy()).shape == (2,)
