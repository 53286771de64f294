"""A worker process: makes its part of the environments, binds them to its rows of shared memory, then serves until told to stop.

Its life, as its caller (process.py) sees it through a pipe:

    worker -> caller    ("ready", Description)      the environments are made
    caller -> worker    file descriptor, Layout     memory for all; the worker binds its rows and maps the hand-off
    worker -> caller    ("ready", None)

After that steps go through the hand-off alone. The pipe carries what is rare: infos, exceptions with their traceback, and calls
such as get_state.
"""

import contextlib
import ctypes
import os
import pickle
import signal
import sys
import traceback
from dataclasses import dataclass
from multiprocessing import reduction
from types import SimpleNamespace

from puffer_min.vector import handoff
from puffer_min.vector.serial import make_batch
from puffer_min.vector.shared_memory import buffers_of, map_block
from puffer_min.vector.turns import SHARED


@dataclass(frozen=True)
class Job:
    """What a worker is to do. `make_env` and `settings` are pickled by value (cloudpickle), or as they are where the worker is a fork."""

    worker: int
    first_env: int
    num_envs: int
    seed: int
    made: tuple | bytes             # (make_env, settings), or that pickled
    parent: int
    lives_with_parent: bool         # whether the system may end the worker when the thread that started it ends


def log_fields(metric_names):
    """The names in a log, in order; a row of the shared log holds their values."""
    return ("n", "episode_return", "episode_length", *dict.fromkeys((*metric_names, "score")))


def work(job, pipe):
    """The main function of a worker process."""
    if not begin(job):
        return
    try:
        make_env, settings = unpacked(job)
        batch = make_batch(make_env, job.num_envs, first_env=job.first_env, seed=job.seed, report_interval=0, **settings)
        pipe.send_bytes(packed("ready", describe(batch)))
        descriptor = reduction.recv_handle(pipe)
        layout, first, last, waits = pipe.recv()
        arrays = layout.arrays(map_block(descriptor))
        os.close(descriptor)
        batch.bind(buffers_of(arrays).rows(first, last))
        channel = handoff.Handoff(arrays["handoff"], len(arrays["logs"]), **waits)
        answer = Answer(pipe, batch, arrays["logs"][job.worker], channel)
        pipe.send_bytes(packed("ready", None))
    except (EOFError, BrokenPipeError):
        return                                                  # the caller has given up meanwhile
    except BaseException as error:
        pipe.send_bytes(packed_error(error))
        return
    channel.serve(job.worker, batch, answer, job.parent)
    with contextlib.suppress(Exception):
        batch.close()


def begin(job):
    """Make this process one that its caller can rely on; False where the caller is gone already."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)                # Ctrl-C reaches all processes of a terminal; the caller decides
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    if job.lives_with_parent and sys.platform == "linux":
        ctypes.CDLL(None).prctl(1, signal.SIGKILL)              # PR_SET_PDEATHSIG: also ends a worker that hangs
    if os.getppid() != job.parent:
        return False
    if "torch" in sys.modules:                                  # the OpenMP threads of the parent are not there in a fork, and waiting
        sys.modules["torch"].set_num_threads(1)                 # for them would last for ever
    return True


def unpacked(job):
    """(make_env, settings) of a job."""
    return pickle.loads(job.made).fn if isinstance(job.made, bytes) else job.made


def describe(batch):
    """What the caller must know about a batch it cannot see."""
    driver = getattr(batch, "driver", batch)
    inner = getattr(driver, "env", driver)
    spec = getattr(inner, "spec", None)
    module = type(inner).__module__
    name = spec.id if spec is not None else module.removeprefix("envs.") if module.startswith("envs.") else type(inner).__name__
    return SimpleNamespace(**{attribute: getattr(batch, attribute) for attribute in (*SHARED, "num_envs", "num_agents", "agents_per_env")},
                           name=name)


class Answer:
    """What a worker does for one command; see `Handoff.serve`."""

    def __init__(self, pipe, batch, log_row, channel):
        self.pipe, self.batch, self.log_row, self.channel = pipe, batch, log_row, channel
        self.fields = log_fields(batch.metric_names)
        self.deliver = pipe.send_bytes

    def __call__(self, command):
        try:
            if callable(command):
                command()
            if command == handoff.CALL:
                return handoff.MESSAGE, packed("result", self.call(*self.pipe.recv()))
            infos = self.batch.step(self.batch.actions)[4]
            if command == handoff.STEP_AND_LOG:
                log = self.batch.log()
                self.log_row[:] = [log.get(field, 0) for field in self.fields]
            return (handoff.MESSAGE, packed("result", infos)) if infos else (handoff.DONE, None)
        except BaseException as error:                          # SystemExit of an environment included
            return handoff.FAILED, packed_error(error)

    def call(self, method, arguments):
        """A method of the batch; of reset only the infos, the observations are in shared memory."""
        result = getattr(self.batch, method)(*arguments)
        return result[1] if method == "reset" else result


def packed(kind, content):
    """A message for the pipe."""
    return reduction.ForkingPickler.dumps((kind, content))


def packed_error(error):
    """An exception and its traceback as text; where the exception cannot be pickled, a RuntimeError with the same words stands for it."""
    text = "".join(traceback.format_exception(error))
    with contextlib.suppress(Exception):
        message = bytes(packed("error", (error, text)))
        reduction.ForkingPickler.loads(message)
        return message
    return packed("error", (RuntimeError(f"{type(error).__name__}: {error}"), text))
