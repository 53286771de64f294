"""`ThreadVectorizer`: the parts of the environments in this process, stepped by its threads.

Made for native environments: their steps run outside Python and its lock (pool.pyx), in memory that every thread sees, so this is
the fastest way onto several cores. Environments in Python gain only where they release the lock, in C or while they wait.

    native parts    at most as many threads as cores; in `step` the caller, who would only wait, steps parts as well
    Python parts    one thread for each worker; the caller only waits, so it hears Ctrl-C and notices a step that hangs

The `recv`, `step` or `reset` that waits for a part raises that part's exception. A thread cannot be killed: after `timeout` the
vectorizer gives up a part that hangs, and its thread ends with the process. Use processes for environments that may hang.
"""

import threading
import time
import weakref

import numpy as np

from envs.core.buffers import Buffers
from puffer_min.cores import cores
from puffer_min.env.spec import EnvSpec
from puffer_min.vector.pool import ThreadPool
from puffer_min.vector.serial import choices, close_all, make_batch, require_distinct
from puffer_min.vector.turns import Vectorizer, exception_of, part_bounds


class ThreadVectorizer(Vectorizer):
    """The thread backend; arguments as in `make_vec`."""

    backend = "thread"

    def __init__(self, make_env, num_envs, num_workers, *, seed=0, batch_envs=None, report_interval=128, timeout=120.0,
                 env_settings=None):
        self._bounds, self._timeout = part_bounds(num_envs, num_workers), timeout
        self._parts = []
        try:
            for first, last in self._bounds:
                self._parts.append(make_batch(make_env, last - first, first_env=first, seed=seed, report_interval=0,
                                              env_settings=env_settings))
            require_distinct([env for part in self._parts for env in getattr(part, "environments", ())])
            self._prepare([Part(part) for part in self._parts], None, batch_envs, seed, report_interval)
            self.bind(Buffers.allocate(self.num_agents, self.single_observation_space, self.single_action_space, self.truncates))
        except BaseException:
            close_all(self._parts)
            raise
        self.driver = getattr(self._parts[0], "driver", self._parts[0])
        if self.masks_actions:
            self._masks = np.ones((self.num_agents, choices(self.single_action_space)), bool)
        self._outcomes = [[] for _ in self._parts]      # of each part that Python steps: its infos, or its exception
        self._requests = [None] * num_workers           # of each part that resets: (seed,)
        self._pool = ThreadPool(self._parts, Runner(self._parts, self._requests, self._outcomes))
        self._most_threads, self._threads = min(num_workers, cores()) if self.native else num_workers, []
        self._finalizer = weakref.finalize(self, self._pool.stop)

    @property
    def parts(self):
        """The batches, one for each worker."""
        return self._parts

    def bind(self, buffers):
        """Write into `buffers` (of num_agents rows) from now on; their contents move along. No step may be on its way."""
        self._require_idle("bind()")
        buffers.check(self.num_agents, self.single_observation_space, self.single_action_space, self.truncates)
        for part, span in zip(self._parts, self.spans, strict=True):
            part.bind(buffers.rows(*span))
        self._use_buffers(buffers)

    # ------------------------------------------------------------------ the hot path

    def _step_all(self, asked):
        if not self.native:
            return super()._step_all(asked)
        self._start_threads(self._most_threads - 1)
        remarkable = self._pool.run_all()
        self._held, self._in_flight = self._everyone, 0
        infos = self._infos(self._everyone) if remarkable else []
        return infos + self._reports() if asked else infos

    def step_alone(self, actions):
        """Step every environment once in the caller's thread: what the serial backend would do. For native environments."""
        self._pool.alone = True
        try:
            return self.step(actions)
        finally:
            self._pool.alone = False

    def _begin_reset(self, seed):
        for worker in self._everyone:
            self._requests[worker] = seed,
            self._pool.use_python(worker, True)
        self._begin_step(self._everyone, ())

    def _begin_step(self, workers, asked):
        self._start_threads(self._most_threads)
        self._pool.give(workers)

    def _finish(self, wanted):
        deadline = None
        while self._pool.await_any(wanted, helping=False) < wanted:
            deadline = deadline or time.monotonic() + self._timeout
            if time.monotonic() > deadline:
                self._close("an environment did not finish in time")
                raise TimeoutError(f"environments did not finish within timeout={self._timeout:g} s: they hang, or are slower than that; "
                                   "make_vec(..., timeout=...) sets the limit, and backend=\"process\" can end such environments")
        workers = self._pool.take_ready(wanted)
        return workers, self._infos(workers)

    def _log_of(self, worker):
        return self._parts[worker].log()

    def _masks_of(self, workers):
        for worker in workers:
            first, last = self.spans[worker]
            self._masks[first:last] = self._parts[worker].action_masks()
        return self._masks

    # ------------------------------------------------------------------ off the fast path

    def _infos(self, workers):
        """The infos of the parts that Python stepped; raises the first exception."""
        infos = []
        self._pool.check_faults()
        for worker in workers:
            outcome = self._outcomes[worker]
            self._outcomes[worker] = []
            if isinstance(outcome, BaseException):
                first, last = self._bounds[worker]
                outcome.add_note(f"This happened in worker {worker} (environments {first} to {last - 1}).")
                self._close(f"worker {worker} raised {type(outcome).__name__}")
                raise outcome
            infos += outcome
            if self._requests[worker] is not None:
                self._requests[worker] = None
                self._pool.use_python(worker, False)
        return infos

    def _start_threads(self, number):
        while len(self._threads) < number:
            thread = threading.Thread(target=self._pool.help, daemon=True, name=f"puffer_min worker {len(self._threads)}")
            thread.start()
            self._threads.append(thread)

    def _call(self, worker, method, *arguments):
        return getattr(self._parts[worker], method)(*arguments)

    def _stop(self):
        self._finalizer()
        deadline = time.monotonic() + 0.5
        for thread in self._threads:
            thread.join(max(0.0, deadline - time.monotonic()))
        if not any(thread.is_alive() for thread in self._threads):
            return close_all(self._parts)


class Part:
    """What the vectorizer must know about a batch."""

    def __init__(self, batch):
        self.env_spec, self.num_envs, self.num_agents = EnvSpec.of(batch), batch.num_envs, batch.num_agents


class Runner:
    """Steps a part in Python, in any thread; keeps its infos or its exception."""

    def __init__(self, parts, requests, outcomes):
        self.parts, self.requests, self.outcomes = parts, requests, outcomes

    def __call__(self, worker):
        part, request = self.parts[worker], self.requests[worker]
        try:
            self.outcomes[worker] = part.reset(*request)[1] if request else part.advance()
        except BaseException as error:
            self.outcomes[worker] = exception_of(error)
