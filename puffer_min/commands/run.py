"""One run of `train`: the loop around the learner, what is written about it, and how it ends.

    runs/snake-0-20260101-120000/
        log.jsonl           one line an update (log.py)
        checkpoint.pt       the policy, and all that is needed to go on (learner/checkpoint.py);
                            checkpoint-1.pt, checkpoint-2.pt ... of other processes

A trained policy is never lost:

    at the beginning        a checkpoint is written, read back and deleted, to say what cannot be saved
    every few updates       a checkpoint is written; if that fails, a sentence says so and the run goes on
    after each update       what was learned is copied in memory
    an error or a NaN       the policy of the last whole update is written; a note of the error says where.
                            Weights that are not finite are never written. A callback's errors count
    Ctrl-C, SIGTERM, SIGHUP the run ends after the update, with a checkpoint; a second signal ends it at once
    a reader that fails     log, TensorBoard or dashboard is left out with a sentence
"""

import contextlib
import copy
import dataclasses
import signal
import tempfile
import threading
from pathlib import Path

import torch

from puffer_min.commands.callbacks.callback import Callbacks
from puffer_min.commands.dashboard import Plain
from puffer_min.commands.log import TensorBoard, TrainingLog, guarded, here, in_short, run_folder, say, writer
from puffer_min.learner import checkpoint as files
from puffer_min.learner.actor import Actor
from puffer_min.learner.asynchronous import AsynchronousPPO
from puffer_min.learner.checkpoint import CheckpointError, is_readable, read_checkpoint, save_checkpoint
from puffer_min.learner.config import Config
from puffer_min.learner.distributed import ALONE, PeerLost, of_rank
from puffer_min.learner.ppo import PPO, NotFinite
from puffer_min.vector import WorkerDied


@dataclasses.dataclass
class Result:
    """The outcome of a run.

    history     one dict an update
    policy      plays: act(observations) -> actions
    checkpoint  its file; outside run_dir if that could not be written
    ended       why the run ended: "done", "target" (target_score was reached), "stopped" (by a callback, for
                `reason`) or "interrupted" (by `signal`)
    signal      number of the signal that interrupted the run, or None
    reason      what the callback said that stopped the run, or None
    saved       whether `checkpoint` holds this policy; False where no file could be written
    """

    history: list[dict]
    policy: Actor
    config: Config
    env_name: str
    run_dir: Path
    checkpoint: Path
    ended: str
    description: dict = dataclasses.field(repr=False)
    signal: int | None = None
    reason: str | None = None
    saved: bool = True

    def save(self, path) -> Path:
        """Write the policy to `path`, without the state that resuming its training needs."""
        return save_checkpoint(path, self.description)

    def __str__(self):
        why = {"done": "", "target": ", target reached", "interrupted": ", interrupted",
               "stopped": f", stopped ({self.reason})"}[self.ended]
        folder = here(self.run_dir)
        places = f"log and checkpoint are in {folder}"
        if self.checkpoint.parent != self.run_dir:
            places = f"the log is in {folder}, the checkpoint is {self.checkpoint}"
        if not self.saved:
            places = f"the log is in {folder}, and no checkpoint of the last step could be written"
        if not self.history:
            return f"No step of {self.env_name}, because total_steps was reached before; {places}"
        last = self.history[-1]
        return (f"{last['step']:,} steps of {self.env_name} in {last['seconds']:.1f} s "
                f"({last['sps']:,.0f} a second){why}; {places}")


def learner_for(env):
    """The class of the learner: how it collects. See asynchronous.py."""
    whole = getattr(env, "batch_envs", None) in (None, getattr(env, "num_envs", None))
    return PPO if whole else AsynchronousPPO


class Run:
    """One run: the learner, and what is written about it. make_env made `env`; None: it was given."""

    def __init__(self, env, env_name, env_settings, config, seed, world=ALONE, policy=None, make_env=None,
                 preset=None):
        self.env, self.env_name, self.config, self.seed, self.world = env, env_name, config, seed, world
        self.make_env, self.preset, self.ended, self.reason = make_env, preset, None, None
        self.env_settings = {name: value for name, value in env_settings.items() if is_readable(value)}
        self.settings_left_out = sorted(env_settings.keys() - self.env_settings.keys())
        self.learner = learner_for(env)(env, config, policy, seed=seed, world=world)
        self.seconds_before, self.resumed_at, self.saved_at = 0.0, None, None
        self.saves_env, self.inside_update = True, False
        self.history = []

    def go(self, show, *, run_dir=None, resumed=None, tensorboard=False, callbacks=()) -> Result:
        """Iterate until total_steps, target_score, a callback's `stop` or a signal.

        run_dir   folder for log and checkpoint; None: that of the checkpoint `resumed`, or a new one
        """
        first = self.world.rank == 0
        self.callbacks = Callbacks(callbacks if first else ())
        default = f"runs/{self.env_name[:50]}-{self.seed}"      # a file system takes 255 bytes
        with contextlib.ExitStack() as stack, Stop(alone=self.world.size == 1) as stop, self.world.watch():
            folder = stack.enter_context(run_folder(run_dir, default, resumed)) if first else None
            self.run_dir = Path(self.world.share(folder and folder.absolute()))     # an environment may chdir
            self.checkpoint = of_rank(self.run_dir / "checkpoint.pt", self.world.rank)
            if run_dir and self.run_dir.resolve() != Path(run_dir).resolve():
                self.say(f"{run_dir} holds another run, which stays as it is: this one is in {self.run_dir}.")
            source = None if resumed is None else of_rank(resumed, self.world.rank).resolve()
            if source == self.checkpoint.resolve():
                self.saved_at = self.resumed_at
            self.rehearse()
            readers = [show if isinstance(show, Plain) else guarded("The dashboard", show)]
            stack.callback(guarded("The dashboard", show.close))
            if first and tensorboard:
                readers.insert(0, writer("TensorBoard", TensorBoard(self.run_dir / "tensorboard"), stack))
            if first:
                log = TrainingLog(self.run_dir / "log.jsonl", keep_until=self.resumed_at)
                readers.insert(0, writer("The log", log, stack))
            self.remember()
            stack.callback(self.callbacks.end, self)
            try:
                self.callbacks.start(self)
                self.ended = self.iterate(readers, stop)
            except BaseException as error:
                self.ended = self.fail(error, stop)
        return Result(self.history, self.actor(), self.config, self.env_name, self.run_dir, self.checkpoint,
                      self.ended, self.description(), stop.signal if self.ended == "interrupted" else None,
                      self.reason if self.ended == "stopped" else None,
                      self.saved_at == self.learner.steps)

    def iterate(self, readers, stop) -> str:
        """Run update after update and show each to all readers; returns why the run ended."""
        learner, config, ended = self.learner, self.config, "done"
        learner.clock.restart()
        while learner.steps < config.total_steps and ended == "done":
            self.inside_update = True
            report = learner.iterate()
            self.remember()
            self.inside_update = False
            self.history.append(self.describe(report))
            try:
                self.callbacks.update(self, self.history[-1])
            finally:
                for read in readers:
                    read(copy.deepcopy(self.history[-1]))       # a reader may keep or change what it gets
            if config.checkpoint_interval and learner.updates % config.checkpoint_interval == 0:
                self.save()
            score = learner.episodes.recent_score
            reached = None not in (config.target_score, score) and score >= config.target_score
            conditions = self.world.any(reached, self.reason is not None, stop.signal is not None)
            reasons = zip(("target", "stopped", "interrupted"), conditions, strict=True)
            ended = next((why for why, holds in reasons if holds), "done")
        if self.saved_at != learner.steps and not self.save():
            self.save_elsewhere(self.contents(learner.get_state(), None))
        return ended

    def describe(self, report: dict) -> dict:
        """A line of the log: `sps` is the whole run's speed, `sps_now` and `stages` are of this update."""
        clock = self.learner.clock
        start = {"step": self.resumed_at or 0, "seconds": self.seconds_before}
        before = self.history[-1] if self.history else start
        clock.lap("misc")
        steps, seconds = self.learner.steps, before["seconds"] + clock.total
        update = {"update": self.learner.updates, "step": steps, "total_steps": self.config.total_steps,
                  "seconds": seconds, "sps": steps / seconds,
                  "sps_now": (steps - before["step"]) / clock.total, **report, "stages": clock.shares()}
        clock.seconds = dict.fromkeys(clock.seconds, 0.0)
        return update

    # ------------------------------------------------------------------ for callbacks

    def stop(self, reason: str) -> None:
        """End the run after this update, with a checkpoint; `Result.reason` is this reason."""
        self.reason = str(reason)

    def actor(self, greedy=False) -> Actor:
        """The policy as it is now, to play with."""
        return Actor(self.learner.policy, seed=self.seed, greedy=greedy)

    def save_policy(self, path, **more) -> Path:
        """Write the policy as it is now to `path`, with what `more` names."""
        return save_checkpoint(path, self.description() | more)

    # ------------------------------------------------------------------ what is kept

    def remember(self) -> None:
        """Keep a copy of what was learned, to go back to if the next update fails. Raises NotFinite."""
        learner = self.learner
        for name, tensor in learner.policy.named_parameters():
            if not torch.isfinite(tensor).all():
                raise NotFinite(learner.steps, f"the policy's parameter {name!r}")
        self.good = learner.steps, learner.updates, learner.learned()

    def description(self) -> dict:
        """The part of a checkpoint that playing needs."""
        more = {"settings_left_out": self.settings_left_out, "preset": self.preset}
        described = files.describe_policy(self.learner.policy, self.env, self.env_name, self.env_settings,
                                          self.config, self.seed)
        return {name: value for name, value in more.items() if value} | described

    def contents(self, learner_state: dict, env_state) -> dict:
        """A whole checkpoint."""
        seconds = self.history[-1]["seconds"] if self.history else self.seconds_before
        return self.description() | {
            "steps": self.learner.steps, "updates": self.learner.updates, "seconds": seconds,
            "processes": self.world.size, "learner": learner_state, "env": env_state}

    def env_state(self, trial=False):
        """The environment's state for a checkpoint; None, and once a sentence, where it cannot be saved.

        trial   True: try to read it back, too
        """
        try:
            if not self.saves_env:
                return None
            if not hasattr(self.env, "get_state"):
                raise TypeError(f"{type(self.env).__name__} has no get_state")
            state = files.pack_state(self.env)
            if trial:
                files.unpack_state(state)
            return state
        except (Exception, SystemExit) as error:                # an environment may hold anything
            self.saves_env = False
            self.say(f"The state of {self.env_name} cannot be saved ({in_short(error)}): checkpoints hold "
                     "the policy and the learner without it, and a resumed run starts its episodes anew.")
            return None

    def rehearse(self) -> None:
        """Write, read and delete a checkpoint. Says what cannot be saved; raises OSError if nothing can."""
        if self.settings_left_out:
            self.say(f"A checkpoint cannot hold env_settings {', '.join(self.settings_left_out)}: they are "
                     "no numbers, texts or arrays, so give them again to resume or to evaluate.")
        trial = self.checkpoint.with_name(f".{self.checkpoint.name}.trial")
        contents = self.contents(self.learner.get_state(), self.env_state(trial=True))
        try:
            save_checkpoint(trial, contents)
            read_checkpoint(trial)
        except (OSError, RuntimeError) as error:                # torch raises RuntimeError on a full disk
            raise OSError(f"no checkpoint can be written to {self.run_dir} ({in_short(error)}): "
                          "make room, or give another run_dir") from error
        except CheckpointError as error:
            bad = ", ".join(name for name, value in contents.items() if not is_readable(value))
            raise CheckpointError(f"a checkpoint of this run could not be read back because of its {bad}: "
                                  "expected tensors, arrays, numbers and texts") from error
        finally:
            with contextlib.suppress(OSError):
                trial.unlink()

    def save(self) -> bool:
        """Write the checkpoint. If that fails, says so and returns False; the last one stays."""
        return self.write(self.checkpoint, self.contents(self.learner.get_state(), self.env_state()))

    def write(self, path, contents) -> bool:
        """Write a checkpoint to `path`. If that fails, says so and returns False."""
        try:
            save_checkpoint(path, contents)
        except Exception as error:
            none = self.saved_at is None
            before = "there is none before it" if none else f"the last one is of step {self.saved_at:,}"
            say(f"The checkpoint of step {self.learner.steps:,} cannot be written to {path} "
                f"({in_short(error)}); {before}.")
            return False
        self.saved_at, self.checkpoint = self.learner.steps, path
        return True

    def save_elsewhere(self, contents) -> None:
        """Write the last checkpoint into a temporary folder, because the run's own cannot be written."""
        with contextlib.suppress(OSError):
            folder = Path(tempfile.mkdtemp(prefix="puffer_min-"))
            if self.write(folder / self.checkpoint.name, contents):
                return say(f"The last checkpoint is {self.checkpoint}.")
            folder.rmdir()

    # ------------------------------------------------------------------ errors, and resuming

    def fail(self, error, stop) -> str:
        """Write the policy of the last whole update, note in `error` where it is, and raise `error`.

        Returns "interrupted" if the error follows from a signal that the workers got, too.
        """
        if self.good[0] not in (self.saved_at, self.resumed_at or 0):
            self.rescue()
        where = "No update was finished, so there is no checkpoint."
        if self.saved_at is not None:
            where = (f"The policy of step {self.saved_at:,} is in {self.checkpoint}; "
                     "resume= goes on from there.")
        if isinstance(error, WorkerDied) and stop.signal is not None:
            say(f"{error}, as the signal went to the workers, too. {where}")
            return "interrupted"
        if isinstance(error, PeerLost):
            who = f"process {self.world.rank} of {self.world.size}"
            where = "there is none" if self.saved_at is None else self.checkpoint
            raise PeerLost(f"{who} stops at step {self.learner.steps:,}: {error}; "
                           f"its checkpoint is {where}") from error
        error.add_note(where)
        if not isinstance(error, Exception):            # Python may not show notes of an exit or Ctrl-C
            say(where)
        raise error

    def rescue(self) -> None:
        """Write what was learned until the last whole update, and as much else as can be saved."""
        learner = self.learner
        attempts = [lambda: self.contents(learner.get_state(), self.env_state()),
                    lambda: self.contents(PPO.get_state(learner), None)]
        if self.inside_update:                          # half an update, from environments half stepped
            learner.steps, learner.updates, learned = self.good
            learner.set_learned(learned)
            learner.buffer.reset()
            del attempts[0]
        for contents in attempts:
            with contextlib.suppress(BaseException):    # the environment may fail again while saving
                if self.write(self.checkpoint, contents()):
                    return
        self.save_elsewhere(attempts[-1]())

    def restore(self, saved, path) -> None:
        """Continue from the contents of the checkpoint `path`. Raises CheckpointError if they do not fit."""
        if saved["processes"] != self.world.size:
            raise CheckpointError(f"{path} is of a run of {saved['processes']} processes, and here "
                                  f"{self.world.size} learn: start as many with torchrun --nproc-per-node")
        parts = dict(enumerate(self.world.gather([saved["steps"]])))
        if len({*parts.values()}) > 1:
            steps = ", ".join(f"{of_rank(path, rank).name} is of step {step:,}"
                              for rank, step in parts.items())
            raise CheckpointError(f"the parts of {path} were not written together: {steps}; "
                                  "resume from parts of one step")
        if saved["steps"] >= self.config.total_steps:
            self.say(f"{path} is of step {saved['steps']:,}, so total_steps={self.config.total_steps:,} is "
                     "reached: give a larger total_steps to go on.")
        learner = self.learner
        files.restore_learner(learner, saved, path)
        self.seconds_before, self.resumed_at = saved["seconds"], saved["steps"]
        why = "holds no state of the environment"
        if saved["env"] is not None:
            try:
                self.env.set_state(files.unpack_state(saved["env"]))
                return
            except Exception as error:          # classes of another program, or of another version
                why = f"holds a state of the environment that cannot be restored here ({in_short(error)})"
        self.say(f"{path} {why}: its episodes start anew, the curve is not exactly the same.")
        self.env.reset((self.seed + saved["steps"]) % 2**31)        # other episodes than at first
        learner.state = learner.policy.initial_state(self.env.num_agents)

    def say(self, text) -> None:
        """Print a sentence to standard error, in the first process only."""
        if self.world.rank == 0:
            say(text)


class Stop:
    """While it is entered, Ctrl-C, SIGTERM and SIGHUP ask for the run's end. Earlier handlers are put back.

    The first sets `signal` to its number, the second ends the run at once: KeyboardInterrupt for Ctrl-C,
    else SystemExit with 128 + its number. A SIGTERM or SIGHUP that the program ignores (nohup) stays
    ignored. Only Python's main thread can have handlers; in others nothing is done.

    alone   False: one of several processes of torchrun. Only Ctrl-C is handled, and only once, because
            torchrun passes on the one that the processes have had from the terminal; SIGTERM says that
            another process has ended.
    """

    signal = None

    def __init__(self, alone=True):
        self.alone, self.before = alone, {}

    def __enter__(self):
        others = [signal.SIGTERM, signal.SIGHUP] if self.alone else []
        heard = [number for number in others if signal.getsignal(number) is not signal.SIG_IGN]
        if threading.current_thread() is threading.main_thread():
            self.before = {number: signal.signal(number, self.press) for number in (signal.SIGINT, *heard)}
        return self

    def press(self, number, _):
        if self.signal is None:
            self.signal = number
            name = "Ctrl-C" if number == signal.SIGINT else signal.Signals(number).name
            say(f"\n{name}: the run ends after this update, with a checkpoint. Again to stop at once.")
        elif self.alone:
            raise KeyboardInterrupt if number == signal.SIGINT else SystemExit(128 + number)

    def __exit__(self, *_):
        for number, handler in self.before.items():
            if handler is not None:             # one that Python did not install cannot be put back
                signal.signal(number, handler)
