"""A worker process: makes its part of the environments, binds them to its rows of shared memory, and serves until it is stopped.

The pipe between a worker and its caller (process.py) carries, one after the other:

    worker -> caller    ("ready", Description)      the environments are made
    caller -> worker    file descriptor, Layout     memory for all workers; the worker binds its rows and maps the hand-off
    worker -> caller    ("ready", None)

After that, steps go through the hand-off alone. The pipe carries the rest: infos, exceptions with their traceback, and calls
such as get_state.
"""

import contextlib
import multiprocessing
import os
import pickle
import signal
import sys
import threading
import traceback
from dataclasses import dataclass
from multiprocessing import reduction

from puffer_min.env.spec import EnvSpec
from puffer_min.vector import handoff
from puffer_min.vector.serial import make_batch
from puffer_min.vector.shared_memory import buffers_of, map_block
from puffer_min.vector.turns import exception_of


@dataclass(frozen=True)
class Job:
    """The task of a worker: environments [first_env, first_env + num_envs), for the process `parent`.

    made    (make_env, env_settings), or in a spawned worker their pickle by value (cloudpickle)
    """

    worker: int
    first_env: int
    num_envs: int
    seed: int
    made: tuple | bytes
    parent: int


@dataclass(frozen=True)
class Description:
    """What the caller must know about a batch that it cannot see."""

    env_spec: EnvSpec
    num_envs: int
    num_agents: int
    name: str


def log_fields(metric_names):
    """The names in a log, in order; a worker's row of the shared log holds their values."""
    return ("n", "episode_return", "episode_length", *dict.fromkeys((*metric_names, "score")))


def work(job, pipe):
    """The main function of a worker process."""
    if not begin(job.parent):
        return
    try:
        make_env, env_settings = pickle.loads(job.made).fn if isinstance(job.made, bytes) else job.made
        batch = make_batch(make_env, job.num_envs, first_env=job.first_env, seed=job.seed, report_interval=0,
                           env_settings=env_settings)
        pipe.send_bytes(packed("ready", Description(EnvSpec.of(batch), batch.num_envs, batch.num_agents, name_of(batch))))
        descriptor = reduction.recv_handle(pipe)
        layout, first, last, waits = pipe.recv()
        arrays = layout.arrays(map_block(descriptor))
        os.close(descriptor)
        batch.bind(buffers_of(arrays).rows(first, last))
        channel = handoff.Handoff(arrays["handoff"], len(arrays["logs"]), **waits)
        masks = arrays["action_masks"][first:last] if "action_masks" in arrays else None
        answer = Answer(pipe, batch, arrays["logs"][job.worker], masks)
        pipe.send_bytes(packed("ready", None))
    except (EOFError, BrokenPipeError):
        return                                                  # the caller has given up meanwhile
    except BaseException as error:
        pipe.send_bytes(packed_error(error))
        return
    channel.serve(job.worker, batch, answer, job.parent)
    try:
        batch.close()
    except BaseException as error:
        with contextlib.suppress(OSError):                      # the caller may be gone
            pipe.send_bytes(packed_error(error, "close"))


def begin(parent):
    """Prepare this process for environments, which may use threads and start processes; False if the caller is gone already."""
    os.setpgid(0, 0)                                            # so that the processes of environments end with this one
    signal.signal(signal.SIGINT, signal.SIG_IGN)                # Ctrl-C reaches all processes of a terminal; the caller decides
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    multiprocessing.current_process()._config["daemon"] = False     # a daemonic process may not have children
    if os.getppid() != parent:
        return False
    threading.Thread(target=handoff.end_with, args=(parent,), daemon=True, name="puffer_min end").start()
    if "torch" in sys.modules:
        sys.modules["torch"].set_num_threads(1)                 # several workers share the cores
    return True


def name_of(batch):
    """The id of a Gymnasium environment, the name of a native one, else the name of the class."""
    driver = getattr(batch, "driver", batch)
    inner = getattr(driver, "env", driver)
    spec, module = getattr(inner, "spec", None), type(inner).__module__
    return getattr(spec, "id", None) or (module.removeprefix("envs.") if module.startswith("envs.") else type(inner).__name__)


class Answer:
    """Carries out one command after the other; see `Handoff.serve`. masks: the rows of shared memory for action masks, or None."""

    def __init__(self, pipe, batch, log_row, masks):
        self.pipe, self.batch, self.log_row, self.masks = pipe, batch, log_row, masks
        self.fields = log_fields(batch.metric_names)
        self.deliver = pipe.send_bytes

    def __call__(self, command):
        try:
            if callable(command):
                command()
            if command == handoff.CALL:
                return handoff.MESSAGE, packed("result", self.call(*self.pipe.recv()))
            infos = [] if self.batch.native else self.batch.advance()       # `serve` has stepped a native batch
            self.show_masks()
            if command == handoff.STEP_AND_LOG:
                log = self.batch.log()
                self.log_row[:] = [log.get(field, 0) for field in self.fields]
            return (handoff.MESSAGE, packed("result", infos)) if infos else (handoff.DONE, None)
        except BaseException as error:
            return handoff.FAILED, packed_error(error)

    def call(self, method, arguments):
        """Call a method of the batch. Of a reset only the infos are returned, because the observations are in shared memory."""
        result = getattr(self.batch, method)(*arguments)
        if method in ("reset", "set_state"):
            self.show_masks()
        return result[1] if method == "reset" else result

    def show_masks(self):
        """Write the action masks."""
        if self.masks is not None and not getattr(self.batch, "fresh", False):      # fresh: never reset
            self.masks[:] = self.batch.action_masks()


def packed(kind, content):
    """A message for the pipe."""
    return reduction.ForkingPickler.dumps((kind, content))


def packed_error(error, kind="error"):
    """An exception and its traceback as text; a RuntimeError with the same words stands for an exception that cannot be pickled."""
    text = "".join(traceback.format_exception(error))
    error = exception_of(error)
    with contextlib.suppress(Exception):
        message = bytes(packed(kind, (error, text)))
        reduction.ForkingPickler.loads(message)
        return message
    return packed(kind, (RuntimeError(f"{type(error).__name__}: {error}"), text))
