"""The worker's side: `Answer` carries out commands in a thread or a process; `work` is a worker process.

A worker process makes its environments, binds them to its rows of shared memory, and serves until it is
stopped. The pipe between it and its caller (process.py) carries, one after the other:

    worker -> caller    ("ready", Part)             the environments are made
    caller -> worker    file descriptor, Layout     memory for all; the worker binds its rows of it, and
                        ...                         resets them, if it takes the place of one that failed
    worker -> caller    ("ready", None)

After that, steps go through the hand-off alone. The pipe carries the rest: infos, exceptions with their
traceback, and calls such as get_state.
"""

import contextlib
import multiprocessing
import os
import pickle
import signal
import sys
import threading
import traceback
from multiprocessing import reduction

from puffer_min.env.episodes import log_fields
from puffer_min.env.values import exception_of
from puffer_min.vector import handoff
from puffer_min.vector.parts import Part
from puffer_min.vector.serial import make_batch
from puffer_min.vector.shared_memory import buffers_of, map_block


class Answer:
    """Carries out one command after the other on `batch`; see `Handoff.serve`.

    receive, deliver    give the (method, arguments) of a CALL, and send a message to the caller
    pack, failure       make a message of a kind and a content, or of an exception
    log_row, masks      the worker's row of the logs, and its rows of the action masks or None
    """

    def __init__(self, batch, receive, deliver, pack, failure, log_row, masks):
        self.batch, self.receive, self.deliver, self.pack = batch, receive, deliver, pack
        self.failure, self.log_row, self.masks = failure, log_row, masks
        self.fields = log_fields(batch.metric_names)

    def __call__(self, command):
        try:
            if callable(command):
                command()
            if command == handoff.CALL:
                return handoff.MESSAGE, self.pack("result", self.call(*self.receive()))
            if command == handoff.STOP:
                return handoff.DONE, self.batch.close()
            infos = [] if self.batch.native else self.batch.advance()   # `serve` has stepped a native batch
            self.show_masks()
            if command == handoff.STEP_AND_LOG:
                log = self.batch.log()
                self.log_row[:] = [log.get(field, 0) for field in self.fields]
            return (handoff.MESSAGE, self.pack("result", infos)) if infos else (handoff.DONE, None)
        except BaseException as error:
            return handoff.FAILED, self.failure(error)

    def call(self, method, arguments):
        """Call a method of the batch. A reset returns only its infos: the observations are in their rows."""
        result = getattr(self.batch, method)(*arguments)
        if method in ("reset", "set_state"):
            self.show_masks()
        return result[1] if method == "reset" else result

    def show_masks(self):
        """Write the action masks."""
        if self.masks is not None and not getattr(self.batch, "fresh", False):      # fresh: never reset
            self.masks[:] = self.batch.action_masks()


# ---------------------------------------------------------------------- processes

def work(pipe, worker, first_env, num_envs, seed, made, parent):
    """The main function of a worker process of `parent`: environments [first_env, first_env + num_envs).

    made    (make_env, env_settings), or in a spawned worker their pickle by value (cloudpickle)
    """
    if not begin(parent):
        return
    try:
        make_env, env_settings = pickle.loads(made).fn if isinstance(made, bytes) else made
        batch = make_batch(make_env, num_envs, first_env=first_env, seed=seed, report_interval=0,
                           env_settings=env_settings)
        pipe.send_bytes(packed("ready", Part.of(batch)))
        descriptor = reduction.recv_handle(pipe)
        layout, first, last, waits, reset = pipe.recv()
        arrays = layout.arrays(map_block(descriptor))
        os.close(descriptor)
        batch.bind(buffers_of(arrays).rows(first, last))
        masks = arrays["action_masks"][first:last] if "action_masks" in arrays else None
        logs = arrays["logs"]
        answer = Answer(batch, pipe.recv, pipe.send_bytes, packed, packed_error, logs[worker], masks)
        channel = handoff.Handoff(arrays["handoff"], len(logs), **waits)
        if reset is not None:                                   # of a worker that was started again
            batch.reset(reset)
            answer.show_masks()
        pipe.send_bytes(packed("ready", None))
    except (EOFError, BrokenPipeError):
        return                                                  # the caller has given up meanwhile
    except BaseException as error:
        pipe.send_bytes(packed_error(error))
        return
    channel.serve(worker, batch, answer, parent)


def begin(parent):
    """Prepare this process for any environments; returns False if the caller is gone already."""
    os.setpgid(0, 0)                                    # processes of environments end with the group
    signal.signal(signal.SIGINT, signal.SIG_IGN)        # Ctrl-C reaches all processes; the caller decides
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    multiprocessing.current_process()._config["daemon"] = False     # a daemonic process may not have children
    if os.getppid() != parent:
        return False
    threading.Thread(target=handoff.end_with, args=(parent,), daemon=True, name="puffer_min end").start()
    if "torch" in sys.modules:
        sys.modules["torch"].set_num_threads(1)         # several workers share the cores
    return True


def packed(kind, content):
    """A message for the pipe."""
    return reduction.ForkingPickler.dumps((kind, content))


def packed_error(error):
    """A message with an exception and its traceback; a RuntimeError replaces one that does not pickle."""
    text = "".join(traceback.format_exception(error))
    error = exception_of(error)
    with contextlib.suppress(Exception):
        message = bytes(packed("error", (error, text)))
        reduction.ForkingPickler.loads(message)
        return message
    return packed("error", (RuntimeError(f"{type(error).__name__}: {error}"), text))
