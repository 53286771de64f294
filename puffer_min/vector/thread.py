"""`ThreadVectorizer`: the parts of the environments in this process, stepped by its threads.

For native environments: their steps run outside Python and its lock (pool.pyx), in memory that everyone sees, so this is the
fastest way onto several cores. Environments in Python gain only where they release the lock, in C or while they wait.

    step          the caller steps parts as well: num_workers=2 takes one more thread, num_workers=1 none
    send, recv    threads alone step, and the caller is free in between

At most as many threads as cores. An exception is raised by the `recv`, `step` or `reset` that awaits its part. A thread cannot be
killed: of one that hangs `recv` says so after `timeout`, and it ends with the process; use processes for what may hang.
"""

import threading
import time
import weakref

from envs.core.buffers import Buffers
from puffer_min.env.episodes import mean_of
from puffer_min.vector.serial import make_batch
from puffer_min.cores import cores
from puffer_min.vector.pool import ThreadPool
from puffer_min.vector.turns import Vectorizer, part_bounds


class ThreadVectorizer(Vectorizer):
    """The thread backend; arguments as in `make_vec`."""

    backend = "thread"

    def __init__(self, make_env, num_envs, num_workers, *, seed=0, batch_envs=None, report_interval=128, timeout=120.0, **settings):
        self._bounds, self._timeout = part_bounds(num_envs, num_workers), timeout
        parts = []
        try:
            for first, last in self._bounds:
                parts.append(make_batch(make_env, last - first, first_env=first, seed=seed, report_interval=0, **settings))
            buffers = Buffers.allocate(sum(part.num_agents for part in parts), parts[0].single_observation_space,
                                       parts[0].single_action_space, parts[0].truncates)
            self._describe(parts, buffers, batch_envs, seed, report_interval)
            self._parts = parts
            self.bind(buffers)
        except BaseException:
            for part in parts:
                part.close()
            raise
        self.driver = getattr(parts[0], "driver", parts[0])
        self._outcomes = [[] for _ in parts]        # of each part that Python steps: its infos, or what it raised
        self._requests = [None] * num_workers
        self._pool = ThreadPool(parts, Runner(parts, self._requests, self._outcomes))
        self._most_threads, self._threads = min(num_workers, cores()), []
        self._logging = set()
        self._finalizer = weakref.finalize(self, self._pool.stop)

    @property
    def parts(self):
        """The batches, one a worker."""
        return self._parts

    def bind(self, buffers):
        """Write into `buffers` (of num_agents rows) from now on; their contents move along. Nothing may be on its way."""
        self._require_idle("bind()")
        buffers.check(self.num_agents, self.single_observation_space, self.single_action_space, self.truncates)
        for part, span in zip(self._parts, self.spans):
            part.bind(buffers.rows(*span))
        self._use_buffers(buffers)

    # ------------------------------------------------------------------ the hot path

    def step(self, actions):
        """Step every environment once; returns (observations, rewards, terminals, truncations, infos).

        The arrays are the vectorizer's own, written in place. Raises TypeError or ValueError for actions that do not fit, before
        anything is stepped, and whatever an environment raises.
        """
        if self._held is not self._everyone and len(self._held) != self.num_workers:
            self._require_turn("step()", all_workers=True)
        self._check.take(actions)
        self._held, self._in_flight = (), self.num_workers         # _depart, without a call
        self._calls += 1
        reporting = self._reporters(self._everyone) if self._due or self.report_interval and not self._calls % self.report_interval else ()
        if not self._threads and self._most_threads > 1:
            self._start_threads(self._most_threads - 1)
        remarkable = self._pool.run_all()
        self._held, self._in_flight = self._everyone, 0
        infos = self._infos(self._everyone) if remarkable else []
        if reporting:
            infos += self._reports(reporting)
        return self.observations, self.rewards, self.terminals, self.truncations, infos

    def _begin(self, workers, request):
        self._start_threads(self._most_threads)
        if request[0] == "reset":
            for worker in workers:
                self._requests[worker] = request[1],
                self._pool.use_python(worker, True)
        elif request[1]:
            self._logging.update(workers)
        self._pool.give(workers)

    def _finish(self, wanted):
        helping, deadline = wanted == self._in_flight, None
        while self._pool.await_any(wanted, helping) < wanted:
            deadline = deadline or time.monotonic() + self._timeout
            if time.monotonic() > deadline:
                self._close("an environment did not finish in time")
                raise TimeoutError(f"environments did not finish within timeout={self._timeout:g} s: they hang, or are slower than that; "
                                   "make_vec(..., timeout=...) sets the limit, and backend=\"process\" can end such environments")
        workers = self._pool.take_ready(wanted)
        infos = self._infos(workers)
        reporting = [worker for worker in workers if worker in self._logging]
        if reporting:
            self._logging.difference_update(reporting)
            infos += self._reports(reporting)
        return workers, infos

    # ------------------------------------------------------------------ what is rare

    def _infos(self, workers):
        """What the parts that Python stepped have said; raises the first exception."""
        infos = []
        self._pool.check_faults()
        for worker in workers:
            outcome = self._outcomes[worker]
            if not outcome:
                continue
            self._outcomes[worker] = []
            if isinstance(outcome, BaseException):
                first, last = self._bounds[worker]
                outcome.add_note(f"This happened in worker {worker} (environments {first} to {last - 1}).")
                self._close(f"worker {worker} raised {type(outcome).__name__}")
                raise outcome
            infos += outcome
        for worker in workers:
            if self._requests[worker] is not None:
                self._requests[worker] = None
                self._pool.use_python(worker, False)
        return infos

    def _reports(self, workers):
        log = mean_of([self._parts[worker].log() for worker in workers])
        return [log] if log else []

    def _start_threads(self, number):
        while len(self._threads) < number:
            thread = threading.Thread(target=self._pool.help, daemon=True, name=f"puffer_min worker {len(self._threads)}")
            thread.start()
            self._threads.append(thread)

    def _call(self, worker, method, *arguments):
        return getattr(self._parts[worker], method)(*arguments)

    def _stop(self):
        self._finalizer()
        for thread in self._threads:
            thread.join(0.5)
        if not any(thread.is_alive() for thread in self._threads):
            for part in self._parts:
                part.close()


class Runner:
    """Steps a part by Python, in whichever thread; keeps what it says or raises."""

    def __init__(self, parts, requests, outcomes):
        self.parts, self.requests, self.outcomes = parts, requests, outcomes

    def __call__(self, worker):
        part, request = self.parts[worker], self.requests[worker]
        try:
            self.outcomes[worker] = part.reset(*request)[1] if request else part.step(part.actions)[4]
        except BaseException as error:
            self.outcomes[worker] = error
