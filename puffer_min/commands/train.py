"""`train`: a whole run around the learner of ppo.py, with its log, dashboard, checkpoints and a clean end.

    result = puffer_min.train("cartpole", seed=1)
    result = puffer_min.train("snake", total_steps=5_000_000, learning_rate=1e-3, dashboard="terminal")
    result = puffer_min.train("snake", resume="runs/snake-0-20260101-120000/checkpoint.pt")
    torchrun --nproc-per-node 2 -m puffer_min train snake           several processes that learn as one: distributed.py

    result.history          one dict an update: step, seconds, sps, episode_return, episode_length, score, losses, stages ...
    result.policy           act(observations) -> actions
    result.save("snake.pt") the policy in one file; puffer_min.load_policy reads it
"""

import contextlib
import ctypes
import dataclasses
import functools
import os
import signal
import sys
import threading
import time
from pathlib import Path
from typing import Callable

import torch

import envs
from puffer_min.learner.asynchronous import AsynchronousPPO
from puffer_min.commands.check import load_environment, setting
from puffer_min.learner.checkpoint import (CheckpointError, describe_policy, pack_state, read_checkpoint, require_same_environment, save_checkpoint,
                                   unpack_state)
from puffer_min.learner.config import Config, settings_for
from puffer_min.commands.dashboard import make_dashboard
from puffer_min.learner.distributed import ALONE, PeerLost, join
from puffer_min.learner.overlap import OverlappedPPO
from puffer_min.learner.policy import Actor
from puffer_min.learner.ppo import PPO
from puffer_min.commands.log import Silence, TensorBoard, TrainingLog
from puffer_min.vector import make_vec


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


def train(env, config: Config | None = None, *, seed: int = 0, total_steps: int | None = None, dashboard: str | Callable | None = None,
          tensorboard: bool = False, run_dir=None, resume=None, env_settings: dict | None = None, **overrides) -> Result:
    """Train a policy with PPO.

    env           name of a native environment; a callable that makes environments (a class, a function: see `make_vec`); or a
                  vectorizer or environment, which stays open
    config        all settings; without it the defaults of the environment (presets.py)
    seed          of the environment, the weights and the draws; the same seed gives the same run
    dashboard     "terminal", "notebook", or a function called with a dict once an update
    tensorboard   the same numbers for TensorBoard too, in run_dir/tensorboard
    run_dir       folder for log.jsonl and checkpoint.pt; runs/<env>-<seed>-<time> by default, the checkpoint's folder when resuming
    resume        checkpoint to go on from, exactly as if it had not stopped; its config and seed hold, unless overridden
    env_settings  passed on to the environment, beside what its class adds while a policy learns (`training_settings`): `score` is then
                  of other games than `evaluate` plays
    overrides     single settings of Config: learning_rate=1e-3

    Ctrl-C ends the run after the current update with a checkpoint; a second one at once.
    Raises TypeError for an unknown setting, ValueError for an unknown environment or sizes that do not divide, CheckpointError for
    a checkpoint that is damaged or of another environment, NotFinite when a NaN appears, PeerLost when another process of torchrun's ends.
    """
    if total_steps is not None:
        overrides["total_steps"] = total_steps
    saved = read_checkpoint(resume) if resume else None
    if saved is not None:
        if "learner" not in saved:
            raise CheckpointError(f"{resume} holds a policy only, nothing to go on training from; resume from the checkpoint.pt of a run")
        if isinstance(env, str):
            require_same_environment(saved, resume, None, env)          # before the checkpoint's settings go to another environment
        config, seed = config or Config(**saved["config"]), saved["seed"]
        env_settings = saved["env_settings"] if env_settings is None else env_settings
    config = settings_for(name_of(env), config, **overrides)
    env_settings = env_settings or {}
    made = isinstance(env, str | type) or not hasattr(env, "step")
    with contextlib.ExitStack() as stack:
        world = join(config.device)
        if made:
            if world.size > 1 and config.backend != "serial":
                raise ValueError(f"backend={config.backend!r} given in one of {world.size} processes, expected \"serial\": "
                                 "start more processes instead")
            share = {"first_env": world.rank * config.num_envs} if world.size > 1 else {}
            env = make_vec(env, num_envs=config.num_envs, num_workers=config.num_workers, backend=config.backend, seed=seed,
                           batch_envs=config.batch_envs, isolate=config.isolate, report_interval=0, **share,
                           **training_settings(env) | env_settings)
            stack.callback(env.close)
        env_name = name_of(env)
        run_dir = run_dir or (Path(resume).parent if resume else f"runs/{env_name}-{seed}-{time.strftime('%Y%m%d-%H%M%S')}")
        stack.enter_context(torch_settings(config, world))
        run = Run(env, env_name, env_settings, config, seed, Path(world.share(run_dir)), world)
        if saved is not None:
            require_same_environment(saved, resume, env, env_name)
            run.restore(saved if world.rank == 0 else read_checkpoint(of_rank(resume, world.rank)), resume)
        return run.go(make_dashboard(dashboard if world.rank == 0 else None, env_name, config), tensorboard)


def training_settings(env) -> dict:
    """What the environment's class adds to its settings while a policy learns from it."""
    return getattr(envs.load(env) if isinstance(env, str) else env, "training_settings", {})


def learner_for(env, config):
    """The class of the learner: how it collects. See overlap.py and asynchronous.py."""
    if getattr(env, "batch_envs", None) not in (None, getattr(env, "num_envs", None)):
        return AsynchronousPPO
    return OverlappedPPO if config.overlap else PPO


class Run:
    """One run: the learner, and what is written about it."""

    def __init__(self, env, env_name, env_settings, config, seed, run_dir, world=ALONE):
        self.env, self.env_name, self.env_settings = env, env_name, env_settings
        self.config, self.seed, self.run_dir, self.world = config, seed, run_dir, world
        self.learner = learner_for(env, config)(env, config, seed=seed, world=world)
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


@contextlib.contextmanager
def torch_settings(config: Config, world=ALONE):
    """torch as the run wants it: threads, precision of products, determinism. All is put back at the end, save `keep_freed_memory`."""
    before = torch.get_num_threads(), torch.get_float32_matmul_precision(), torch.are_deterministic_algorithms_enabled()
    torch.set_num_threads(config.torch_threads or (max(1, world.threads() // 2) if config.overlap else world.threads()))
    torch.set_float32_matmul_precision(config.matmul_precision)
    torch.use_deterministic_algorithms(config.deterministic)
    keep_freed_memory()
    try:
        yield
    finally:
        torch.set_num_threads(before[0])
        torch.set_float32_matmul_precision(before[1])
        torch.use_deterministic_algorithms(before[2])


def keep_freed_memory():
    """Tell glibc to keep freed blocks of several MB instead of giving them back to the system.

    A minibatch allocates and frees tensors of 2 to 8 MB all the time, and each fresh page costs a fault: on `squared` that was half of the
    update. Elsewhere than on Linux with glibc nothing is done.
    """
    if sys.platform == "linux":
        with contextlib.suppress(OSError, AttributeError):
            mallopt = ctypes.CDLL(None).mallopt
            mallopt(-1, 2**30)          # M_TRIM_THRESHOLD: bytes at the end of the heap that are kept
            mallopt(-3, 2**30)          # M_MMAP_THRESHOLD: blocks from this size on are pages of their own


def of_rank(path, rank: int) -> Path:
    """Where process `rank` keeps its part of a checkpoint: checkpoint.pt, checkpoint-1.pt, checkpoint-2.pt ..."""
    path = Path(path)
    return path.with_name(f"{path.stem}-{rank}{path.suffix}") if rank else path


def name_of(env) -> str:
    """The name under which an environment goes: that of a native one, the id of a Gymnasium one, else the name of its class or function."""
    if isinstance(env, str):
        return env
    while isinstance(env, functools.partial):
        env = env.func
    for inner in ("batch", "driver", "env"):                    # a vectorizer's batch, its first Python environment, what that adapts
        env = getattr(env, inner, env)
    if not isinstance(env, type) and getattr(env, "spec", None) is not None:           # of a class of wrappers `spec` is a property
        return env.spec.id.replace("/", "-")
    kind = type(env) if hasattr(env, "step") and not isinstance(env, type) else env
    return kind.__module__.removeprefix("envs.") if kind.__module__.startswith("envs.") else kind.__name__


# ---------------------------------------------------------------------- the command line

def whole_number(text: str) -> int:
    """5000000, 5_000_000 or 5e6."""
    number = float(text)
    if number != int(number) or number < 1:
        raise ValueError(f"{text} given, expected a whole number of at least 1")
    return int(number)


def add_arguments(parser) -> None:
    """The arguments of `python -m puffer_min train`."""
    parser.add_argument("environment", help="name of a native environment, or file.py:Name, or module:Name")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--total-steps", type=whole_number, metavar="N", help="agent-steps of the whole run, 5e6 for instance")
    parser.add_argument("--set", action="append", default=[], metavar="NAME=VALUE",
                        help="a setting of the learner (learning_rate=1e-3), or of the environment (env.size=7); may be repeated")
    parser.add_argument("--run-dir", metavar="FOLDER", help="where log.jsonl and checkpoint.pt go (runs/ENV-SEED-TIME)")
    parser.add_argument("--resume", metavar="CHECKPOINT", help="go on from this checkpoint, exactly as if it had not stopped")
    parser.add_argument("--tensorboard", action="store_true", help="write the run for TensorBoard too, in FOLDER/tensorboard")
    parser.add_argument("--dashboard", choices=("terminal", "none"), default="terminal", help="what to show while it trains (terminal)")


def split_settings(texts) -> tuple[dict, dict | None]:
    """Settings of the learner, and of the environment (None without any), of ["learning_rate=1e-3", "env.size=7"]."""
    settings = dict(setting(text) for text in texts)
    env_settings = {name.removeprefix("env."): value for name, value in settings.items() if name.startswith("env.")}
    return {name: value for name, value in settings.items() if not name.startswith("env.")}, env_settings or None


def run(args) -> int:
    """Train, and say where the output went."""
    overrides, env_settings = split_settings(args.set)
    environment = load_environment(args.environment) if ":" in args.environment else args.environment
    result = train(environment, seed=args.seed, total_steps=args.total_steps, run_dir=args.run_dir, resume=args.resume,
                   tensorboard=args.tensorboard, env_settings=env_settings,
                   dashboard=None if args.dashboard == "none" else args.dashboard, **overrides)
    if int(os.environ.get("RANK", 0)) == 0:             # torchrun's number of this process
        print(f"{result}.")
    return 0
