"""One run of `train`: the loop around the learner, what is written about it, and how it ends.

    runs/snake-0-20260101-120000/
        log.jsonl           one line an update (log.py)
        checkpoint.pt       the policy, and all that is needed to go on (learner/checkpoint.py); checkpoint-1.pt ... of other processes
"""

import contextlib
import dataclasses
import signal
import sys
import threading
from pathlib import Path

from puffer_min.commands.log import Silence, TensorBoard, TrainingLog
from puffer_min.learner.asynchronous import AsynchronousPPO
from puffer_min.learner.checkpoint import (
    CheckpointError,
    describe_policy,
    pack_state,
    save_checkpoint,
    unpack_state,
)
from puffer_min.learner.config import Config
from puffer_min.learner.distributed import ALONE, PeerLost
from puffer_min.learner.policy import Actor
from puffer_min.learner.ppo import PPO

@dataclasses.dataclass
class Result:
    """What a run gives. `ended` says why it ended: "done", "target" (target_score was reached) or "interrupted" (Ctrl-C)."""

    history: list[dict]
    policy: Actor
    config: Config
    env_name: str
    run_dir: Path
    checkpoint: Path
    ended: str
    description: dict = dataclasses.field(repr=False)

    def save(self, path) -> Path:
        """Write the policy, without what is needed to resume its training, to `path`."""
        return save_checkpoint(path, self.description)

    def __str__(self):
        last = self.history[-1] if self.history else {"step": 0, "seconds": 0, "sps": 0}
        why = {"done": "", "target": ", target reached", "interrupted": ", interrupted"}[self.ended]
        return (f"{last['step']:,} steps of {self.env_name} in {last['seconds']:.1f} s ({last['sps']:,.0f} a second){why}; "
                f"log and checkpoint are in {self.run_dir}")


def learner_for(env):
    """The class of the learner: how it collects. See asynchronous.py."""
    return PPO if getattr(env, "batch_envs", None) in (None, getattr(env, "num_envs", None)) else AsynchronousPPO


class Run:
    """One run: the learner, and what is written about it."""

    def __init__(self, env, env_name, env_settings, config, seed, run_dir, world=ALONE):
        self.env, self.env_name, self.env_settings = env, env_name, env_settings
        self.config, self.seed, self.run_dir, self.world = config, seed, run_dir, world
        self.learner = learner_for(env)(env, config, seed=seed, world=world)
        self.checkpoint = of_rank(run_dir / "checkpoint.pt", world.rank)
        self.seconds_before, self.resumed_at = 0.0, None
        self.history = []

    def go(self, show, tensorboard=False) -> Result:
        """Iterate until total_steps, target_score or Ctrl-C."""
        first = self.world.rank == 0
        board = TensorBoard(self.run_dir / "tensorboard") if tensorboard and first else Silence()
        log = TrainingLog(self.run_dir / "log.jsonl", keep_until=self.resumed_at) if first else Silence()
        with (contextlib.closing(log), contextlib.closing(board), contextlib.closing(show), CtrlC(self.world.size == 1) as ctrl_c,
              self.world.watch()):
            try:
                ended = self.iterate((log.write, board.write, show), ctrl_c)
            except PeerLost as error:
                self.learner.buffer.reset()                     # what was half collected is lost
                self.save()
                raise PeerLost(f"process {self.world.rank} of {self.world.size} stops at step {self.learner.steps:,}: {error}; "
                               f"its checkpoint is {self.checkpoint}") from error
        policy = Actor(self.learner.policy, seed=self.seed)
        return Result(self.history, policy, self.config, self.env_name, self.run_dir, self.checkpoint, ended, self.description())

    def iterate(self, readers, ctrl_c) -> str:
        """Update after update, each shown to all readers; returns why the run ended."""
        learner, config = self.learner, self.config
        learner.clock.restart()
        ended = "done"
        while learner.steps < config.total_steps and ended == "done":
            update = self.describe(learner.iterate())
            self.history.append(update)
            for read in readers:
                read(update)
            if config.checkpoint_interval and learner.updates % config.checkpoint_interval == 0:
                self.save()
            reached = config.target_score is not None and (learner.episodes.recent_score or -float("inf")) >= config.target_score
            pressed, reached = self.world.any(ctrl_c.pressed, reached)
            ended = "target" if reached else "interrupted" if pressed else "done"
        self.save()
        return ended

    def describe(self, report: dict) -> dict:
        """A line of the log. `sps` is step / seconds, the whole run's; `sps_now` and `stages` are this update's."""
        clock = self.learner.clock
        before = self.history[-1] if self.history else {"step": self.resumed_at or 0, "seconds": self.seconds_before}
        clock.lap("misc")
        seconds = before["seconds"] + clock.total
        update = {"update": self.learner.updates, "step": self.learner.steps, "total_steps": self.config.total_steps, "seconds": seconds,
                  "sps": self.learner.steps / seconds, "sps_now": (self.learner.steps - before["step"]) / clock.total,
                  **report, "stages": clock.shares()}
        clock.seconds = dict.fromkeys(clock.seconds, 0.0)
        return update

    def description(self):
        return describe_policy(self.learner.policy, self.env, self.env_name, self.env_settings, self.config, self.seed)

    def save(self):
        """Write the checkpoint."""
        learner = self.learner
        seconds = self.history[-1]["seconds"] if self.history else self.seconds_before
        save_checkpoint(self.checkpoint, self.description() | {"steps": learner.steps, "updates": learner.updates, "seconds": seconds,
                                                               "processes": self.world.size,
                                                               "learner": learner.get_state(), "env": pack_state(self.env)})

    def restore(self, saved, path):
        """Go on from a checkpoint."""
        if saved["processes"] != self.world.size:
            raise CheckpointError(f"{path} is of a run of {saved['processes']} processes, and here {self.world.size} learn: start as many "
                                  "with torchrun --nproc-per-node")
        self.learner.set_state(saved["learner"])
        self.learner.steps, self.learner.updates = saved["steps"], saved["updates"]
        self.seconds_before, self.resumed_at = saved["seconds"], saved["steps"]
        if saved["env"] is None:
            print(f"{path} holds no state of the environment: its episodes start anew, the curve is not exactly the same.", file=sys.stderr)
        else:
            self.env.set_state(unpack_state(saved["env"]))


class CtrlC:
    """While it is entered, the first Ctrl-C sets `pressed` and the second interrupts; the handler before is put back at the end.

    second   False: no second one interrupts, because torchrun passes on the one that the processes have had from the terminal already
    """

    pressed = False

    def __init__(self, second=True):
        self.second = second

    def __enter__(self):
        self.before = None
        if threading.current_thread() is threading.main_thread():
            self.before = signal.signal(signal.SIGINT, self.press)
        return self

    def press(self, *_):
        if self.pressed:
            if self.second:
                raise KeyboardInterrupt
            return
        self.pressed = True
        print("\nCtrl-C: the run ends after this update, with a checkpoint. Again to stop at once.", file=sys.stderr)

    def __exit__(self, *_):
        if self.before is not None:
            signal.signal(signal.SIGINT, self.before)


def of_rank(path, rank: int) -> Path:
    """Where process `rank` keeps its part of a checkpoint: checkpoint.pt, checkpoint-1.pt, checkpoint-2.pt ..."""
    path = Path(path)
    return path.with_name(f"{path.stem}-{rank}{path.suffix}") if rank else path


