"""`ThreadVectorizer`: each worker is a thread, which serves the same hand-off as a worker process.

Made for native environments: their steps run outside Python and its lock, in memory that every thread sees,
so this is the fastest way onto several cores. In `step` the caller, which would only wait, steps parts as
well, and no more threads than cores take part. Environments in Python gain only where they release the lock,
in C or while they wait.

A thread cannot be killed: after `timeout` the vectorizer gives up a part that hangs, whose thread ends after
its step, or with the process. Use processes for environments that may hang.
"""

import mmap
import threading
import weakref
from queue import Empty, SimpleQueue

import numpy as np

from puffer_min.cores import cores
from puffer_min.env.batch import close_all, require_distinct
from puffer_min.env.values import exception_of
from puffer_min.vector.handoff import STOP, Handoff
from puffer_min.vector.parts import Part, part_bounds
from puffer_min.vector.serial import make_batch
from puffer_min.vector.shared_memory import buffers_of
from puffer_min.vector.turns import GRACE, Vectorizer
from puffer_min.vector.worker import Answer


class ThreadVectorizer(Vectorizer):
    """The thread backend; arguments as in `make_vec`.

    parts       the batches, one for each worker
    helpers     number of threads that `step` wakes to help the caller with native environments
    """

    backend, advice = "thread", ", and backend=\"process\" can end such environments"

    def __init__(self, make_env, num_envs, num_workers, *, seed=0, batch_envs=None, report_interval=128,
                 timeout=120.0, env_settings=None):
        self._bounds, self._timeout = part_bounds(num_envs, num_workers), timeout
        self.parts, self._threads = [], []
        try:
            for first, last in self._bounds:
                self.parts.append(make_batch(make_env, last - first, first_env=first, seed=seed,
                                             report_interval=0, env_settings=env_settings))
            require_distinct([env for part in self.parts for env in getattr(part, "environments", ())])
            layout = self._prepare([*map(Part.of, self.parts)], num_envs, batch_envs, seed, report_interval)
            arrays = layout.arrays(np.frombuffer(mmap.mmap(-1, layout.size), np.uint8))
            arrays["masks"][:] = True
            self._adopt(arrays, Handoff(arrays["handoff"], num_workers))
            self.bind(buffers_of(arrays))
        except SystemExit as error:                         # in a process it would not end the caller either
            close_all(self.parts)
            raise exception_of(error) from error
        except BaseException:
            close_all(self.parts)
            raise
        self.driver = getattr(self.parts[0], "driver", self.parts[0])
        self._shared, self.helpers = self.native and not self.masks_actions, min(num_workers, cores()) - 1
        if self._shared:
            self._handoff.share(self.parts)
        self._asks = [SimpleQueue() for _ in self.parts]        # (method, arguments) for each worker,
        self._says = [SimpleQueue() for _ in self.parts]        # and its messages
        for worker, part in enumerate(self.parts):
            masks = None if self._masks is None else self._masks[slice(*self.spans[worker])]
            answer = Answer(part, self._asks[worker].get, self._says[worker].put, lambda *said: said, failure,
                            self._logs[worker], masks)
            self._threads.append(threading.Thread(target=self._handoff.serve, args=(worker, part, answer),
                                                  daemon=True, name=f"puffer_min worker {worker}"))
            self._threads[worker].start()
        self._finalizer = weakref.finalize(self, self._handoff.stop, self._everyone, *GRACE)

    def bind(self, buffers):
        """Write into `buffers` (num_agents rows) from now on; the contents move along. No worker may run."""
        self._require_idle("bind()")
        buffers.check(self.num_agents, *self.spaces, self.truncates)
        for part, span in zip(self.parts, self.spans, strict=True):
            part.bind(buffers.rows(*span))
        self.use_buffers(buffers)

    def _step_all(self, asked):
        if asked or not self._shared:
            return super()._step_all(asked)
        self._handoff.step_all(self.helpers)
        return self._receive(self.num_workers)[1]

    def _request(self, worker, method, arguments):
        self._asks[worker].put((method, arguments))

    def _message(self, worker):
        try:
            if self.native:
                self.parts[worker].raise_fault()            # found by the debug build
            return self._says[worker].get(timeout=self._timeout)
        except Empty:
            return None
        except AssertionError as error:
            return failure(error)

    def _end(self, stopped):
        self._finalizer.detach()
        self._handoff.give([worker for worker in self._everyone if worker not in stopped], STOP)
        for worker in stopped:
            self._threads[worker].join()


def failure(error):
    """A message with an exception, which has its traceback."""
    return "error", (exception_of(error), "")
