"""`Vectorizer`: the caller's side of the backends with workers: rows, turns, logs, and waiting for results.

The environments are divided into `num_workers` contiguous parts; the agents of part w are the rows `spans[w]`
of one set of buffers. A worker is idle, or it runs a step or a reset. The caller *holds* the workers whose
results it has received and that wait for actions:

    async_reset ->  all workers run       recv  ->  the first `batch_workers` that finish are held
    send        ->  the held workers run  recv  ->  the next that finish are held ...
    reset, step ->  all workers run, the caller waits for all, all are held

So send and recv take turns, and with batch_envs = num_envs / 2 one half steps while the policy decides for
the other (double buffering). No worker starves, because the first to finish is the first to be received.

Workers are threads (thread.py) or processes (process.py). Both serve the same hand-off (handoff.pyx), write
results, logs and action masks into arrays that the caller sees, and send everything else as a message: infos,
results of calls, exceptions.
"""

import bisect
import time

import numpy as np

from envs.core.buffers import Buffers
from puffer_min.env.actions import choices
from puffer_min.env.episodes import log_fields, mean_of
from puffer_min.env.puffer_env import whole_seed
from puffer_min.env.spec import Described, same_spec
from puffer_min.vector import handoff
from puffer_min.vector.parts import Received, refuse_turn, uninterrupted
from puffer_min.vector.shared_memory import Layout

GRACE = 0.5, 10.0   # seconds in which a worker may finish its step, and then close its environments


class Vectorizer(Described):
    """Base of the backends with workers, with the attributes of an environment; `make_vec` has the arguments.

    A backend implements

        _request(worker, method, arguments)     send the particulars of a CALL
        _message(worker)                        the next message (kind, content), None after `timeout` seconds
        _look_after(workers)                    raise if one of these running workers is dead
        _living()                               workers that can be stopped
        _excuse(worker, error)                  whether a worker whose step has failed goes on all the same
        _end(stopped)                           end all workers, of which these have stopped
    """

    backend = advice = ""               # advice: what to do about workers that hang
    closed_because = ""                 # the reason, once an error has closed the vectorizer

    def _prepare(self, parts, made, batch_envs, seed, report_interval):
        """parts: a `Part` a worker, of `made` objects in all. Returns the `Layout` that the workers write."""
        self.num_workers, self._everyone = len(parts), list(range(len(parts)))
        self.env_ends = np.cumsum([part.num_envs for part in parts]).tolist()
        ends = np.cumsum([part.num_agents for part in parts]).tolist()
        self.spans = list(zip([0, *ends[:-1]], ends, strict=True))
        self.describe(same_spec([part.env_spec for part in parts]), self.env_ends[-1], ends[-1])
        self.batch_envs = (batch_envs or made) * self.num_envs // made
        self.batch_workers = self.num_workers * self.batch_envs // self.num_envs
        self.seed, self.report_interval = whole_seed(seed), report_interval
        self._held = []                         # workers that wait for actions
        self._calls = 0                         # steps sent
        self._due, self._asked = set(), set()   # workers to be asked for their log, and workers asked
        self._open = True
        rows = Buffers.layout(self.num_agents, *self.spaces, self.truncates)
        if self.masks_actions:
            rows["action_masks"] = (self.num_agents, choices(self.single_action_space)), np.bool_
        self._fields = log_fields(self.metric_names)
        return Layout({"handoff": ((handoff.Handoff.size(self.num_workers),), np.uint8),
                       "logs": ((self.num_workers, len(self._fields)), np.float64), **rows})

    def _adopt(self, arrays, channel):
        """Use `arrays` of the layout, and the `Handoff` in them."""
        self._logs, self._masks, self._handoff = arrays["logs"], arrays.get("action_masks"), channel

    def use_buffers(self, buffers):
        super().use_buffers(buffers)
        self._views = {}                        # first and last worker -> Received without infos

    # ------------------------------------------------------------------ synchronous use

    def reset(self, seed=None):
        """Reset every environment, each with a seed derived from `seed`; returns (observations, infos)."""
        self.async_reset(seed)
        return self.observations, self._receive(self.num_workers)[1]

    def step(self, actions):
        """Step every environment once; returns (observations, rewards, terminals, truncations, infos).

        The arrays are the vectorizer's own, written in place. Raises TypeError or ValueError for actions that
        do not fit, before any environment steps, and raises the exception of an environment.
        """
        if self._held is not self._everyone:
            self._refuse("step()", all_workers=True)
        self._check.take(actions)
        infos = self._step_all(self._depart(self._everyone))
        return self.observations, self.rewards, self.terminals, self.truncations, infos

    def _step_all(self, asked):
        self._begin_step(self._everyone, asked)
        return self._receive(self.num_workers)[1]

    # ------------------------------------------------------------------ asynchronous use

    def async_reset(self, seed=None):
        """Begin a reset of every environment; `recv` gives the first results."""
        self._require_open()
        if seed is not None:
            self.seed = whole_seed(seed)
        channel = self._handoff
        if channel.in_flight:
            self._finish(channel.in_flight)
        with uninterrupted():
            for worker in list(channel.unread):         # an interrupt came between results and their message
                self._answer(worker)
            self._held, self._calls, self._due, self._asked = [], 0, set(), set()
            channel.give(self._everyone, handoff.CALL)
            for worker in self._everyone:
                self._request(worker, "reset", (seed,))

    def send(self, actions):
        """Begin a step of the agents that the last `recv` returned; `actions` has a row for each of them."""
        held = self._held
        if not held:
            self._refuse("send()")
        if len(held) == self.num_workers:
            self._check.take(actions)
        else:
            self._check.take_spans(actions, [self.spans[worker] for worker in held])
        self._begin_step(held, self._depart(held))

    def recv(self):
        """The next `Received`: the results of the `batch_envs` environments that finished first."""
        self._require_open()
        if self._held or not self._handoff.in_flight:
            raise RuntimeError("recv() while no step is running: call async_reset() or send(actions) first")
        return self._received(*self._receive(self.batch_workers))

    def recv_rest(self):
        """All results on their way, a `Received`, or None; then every environment waits, as after `reset`."""
        self._require_open()
        if not self._handoff.in_flight:
            return None
        received = self._received(*self._receive(self._handoff.in_flight))
        self._held = self._everyone
        return received

    def action_masks(self):
        """Bool (num_agents, choices): the legal actions, valid for the rows that the caller holds."""
        self._require_open()
        if not self.masks_actions:
            raise AttributeError("these environments have no method action_masks()")
        return self._masks

    def _depart(self, workers):
        """Count a step of `workers`, no longer held; returns the workers to be asked for their log."""
        self._held = []
        self._calls += 1
        if self.report_interval and self._calls % self.report_interval == 0:
            self._due.update(self._everyone)
        if not self._due:
            return ()
        asked = [worker for worker in workers if worker in self._due]
        self._due.difference_update(asked)
        self._asked.update(asked)
        return asked

    def _receive(self, wanted):
        """Wait for `wanted` running workers and hold them; returns them in order, and their infos."""
        workers, infos = self._finish(wanted)
        self._held = sorted(workers) if wanted < self.num_workers else self._everyone
        return self._held, infos + self._reports() if self._asked else infos

    def _reports(self):
        """[log] of the held workers that were asked for it, [] if no episode has ended in them."""
        reporting = [worker for worker in self._held if worker in self._asked]
        self._asked.difference_update(reporting)
        logs = [dict(zip(self._fields, self._logs[worker].tolist(), strict=True)) for worker in reporting]
        log = mean_of([log | {"n": int(log["n"])} for log in logs])
        return [log] if log else []

    def _received(self, workers, infos):
        first, last, masks = workers[0], workers[-1], self._masks
        if last - first != len(workers) - 1:
            rows = np.concatenate([np.arange(*self.spans[worker]) for worker in workers])
            return Received.of(self, masks, infos, rows)
        if (first, last) not in self._views:
            rows = slice(self.spans[first][0], self.spans[last][1])
            self._views[first, last] = Received.of(self, masks, [], rows)
        return self._views[first, last]._replace(infos=infos)

    # ------------------------------------------------------------------ the hand-off

    def _begin_step(self, workers, asked):
        """Let idle `workers` step; the workers in `asked` also hand over their log."""
        if asked:
            self._handoff.give(asked, handoff.STEP_AND_LOG)
            workers = [worker for worker in workers if worker not in asked]
        self._handoff.give(workers, handoff.STEP)

    def _finish(self, wanted):
        """Wait for `wanted` running workers; returns (workers, infos) in the order of finishing."""
        channel = self._handoff
        if channel.await_any(wanted) < wanted:
            self._await(wanted)
        if wanted == self.num_workers:
            workers, said = self._everyone, channel.take_all()
        else:
            ready = channel.take_ready(wanted)
            workers, said = [worker for worker, _ in ready], [pair for pair in ready if pair[1]]
        infos = []
        if said:
            with uninterrupted():
                for worker, status in said:
                    infos += self._answer(worker, excused=status == handoff.FAILED) or []
        return workers, infos

    def _await(self, wanted):
        """Wait on in slices of 50 ms, looking for dead workers and at the time."""
        deadline = time.monotonic() + self._timeout
        while self._handoff.await_any(wanted) < wanted:
            late = self._handoff.unfinished_workers()
            self._look_after(late)
            if time.monotonic() > deadline:
                self._give_up(", ".join(map(self._name, late)), "finish")

    def _look_after(self, workers):
        pass

    def _living(self):
        return self._everyone

    def _excuse(self, worker, error):
        return False

    def _give_up(self, names, deed):
        """Close the vectorizer because workers are late, and say so."""
        self._close(f"{names} did not {deed} in time", patient=False)
        raise TimeoutError(f"{names} did not {deed} within timeout={self._timeout:g} s: its environments "
                           f"hang or are slower; make_vec(..., timeout=...) sets the limit{self.advice}")

    def _call(self, worker, method, *arguments):
        """The result of a method of an idle worker's batch. No other worker may run."""
        with uninterrupted():
            self._handoff.give([worker], handoff.CALL)
            self._request(worker, method, arguments)
        self._await(1)
        with uninterrupted():
            self._handoff.take_ready(1)
            return self._answer(worker, close=False)

    def _answer(self, worker, close=True, excused=False):
        """The content of the message that a worker sends; raises the exception that the message holds."""
        kind, content = self._message(worker) or self._give_up(self._name(worker), "answer")
        if self._handoff is not None:           # None while a process makes its environments
            self._handoff.unread.discard(worker)
        if kind != "error":
            return content
        error = self._error_of(worker, content)
        if excused and self._excuse(worker, error):
            return None
        if close:
            self._close(f"{self._name(worker)} raised {type(error).__name__}")
        raise error

    def _error_of(self, worker, content):
        """The exception of a message, with a note of where it happened."""
        error, text = content
        error.add_note(f"This happened in {self._name(worker)}" + (f":\n\n{text}" if text else "."))
        return error

    def _name(self, worker):
        first, last = self._bounds[worker]
        return f"worker {worker} (environments {first} to {last - 1})"

    # ------------------------------------------------------------------ off the fast path

    def log(self):
        """Mean over the episodes that ended since the last log, or {}."""
        self._require_idle("log()")
        return mean_of([self._call(worker, "log") for worker in self._everyone])

    def get_state(self):
        """Everything that decides the future, as a picklable dict, for a vectorizer with as many workers."""
        self._require_idle("get_state()")
        parts = [self._call(worker, "get_state") for worker in self._everyone]
        return {"parts": parts, "env_ends": self.env_ends, "calls": self._calls, "due": sorted(self._due),
                "seed": self.seed}

    def set_state(self, state):
        """Go on from a result of `get_state`; the vectorizer must have been made with the same arguments."""
        self._require_idle("set_state()")
        if state.get("env_ends") != self.env_ends:
            given = state.get("env_ends")
            raise ValueError(f"state of environments divided at {given} given, expected {self.env_ends}: "
                             "make the vectorizer with the num_envs and num_workers it was saved with")
        for worker, part in enumerate(state["parts"]):
            self._call(worker, "set_state", part)
        self._calls, self._due, self.seed = state["calls"], set(state["due"]), state["seed"]
        self._held = self._everyone

    def render(self, index=0):
        """RGB array of environment `index`."""
        self._require_idle("render()")
        return self._call(*self._find(index, "render"))

    def call(self, name, *arguments, indices=None, **keywords):
        """A list: the attribute `name` of each environment in `indices`, or the result of its method `name`.

        indices=None is every environment. With processes arguments and results are pickled. Raises TypeError
        for native environments, which are no objects of their own.
        """
        self._require_idle("call()")
        if self.native:
            raise TypeError(f"call({name!r}) of native environments, expected environments written in Python"
                            ": a batch of native ones is one object; make it with other settings")
        if indices is None:
            results = [self._call(worker, "call_each", None, name, arguments, keywords)
                       for worker in self._everyone]
        else:
            results = [self._call(worker, "call_each", [at], name, arguments, keywords)
                       for worker, _, at in (self._find(index, "call") for index in indices)]
        return [result for part in results for result in part]

    def close(self):
        """End the workers, close their environments and release the buffers. Closing twice is harmless."""
        self._close("")

    def _close(self, because, patient=True):
        if not getattr(self, "_open", False):
            return
        self._open, self.closed_because, self._held = False, because, []
        self.use_buffers(None)
        stopped = []
        if self._handoff is not None and patient:
            stopped = self._handoff.stop(self._living(), *GRACE)
        failed = [worker for worker, status in stopped if status == handoff.FAILED and not because]
        errors = [self._closing_error(worker) for worker in failed]
        self._end([worker for worker, _ in stopped])
        self._logs = self._masks = self._handoff = None
        if errors:
            raise errors[0]

    def _closing_error(self, worker):
        kind = content = None
        while kind != "error":                  # results that nobody has received come first
            kind, content = self._message(worker)
        return self._error_of(worker, content)

    def _require_open(self):
        if not self._open:
            why = f" since {self.closed_because}" if self.closed_because else ""
            raise RuntimeError(f"this vectorizer is closed{why}; make a new one with make_vec(...)")

    def _require_idle(self, method):
        self._require_open()
        if self._handoff.in_flight:
            raise RuntimeError(f"{method} with a step on its way: call recv() until all {self.num_workers} "
                               "workers have finished, or reset()")

    def _find(self, index, method):
        """(worker, method, index among the environments of that worker): the arguments of `_call`."""
        if not 0 <= index < self.num_envs:
            raise IndexError(f"index={index} given, expected 0 to {self.num_envs - 1}")
        worker = bisect.bisect_right(self.env_ends, index)
        return worker, method, index - (self.env_ends[worker - 1] if worker else 0)

    def _refuse(self, method, all_workers=False):
        self._require_open()
        refuse_turn(method, self._handoff.in_flight, all_workers)

    def __repr__(self):
        sizes = f"num_envs={self.num_envs}, num_workers={self.num_workers}, batch_envs={self.batch_envs}"
        return f"{type(self).__name__}({sizes})"
