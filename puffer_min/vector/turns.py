"""`Vectorizer`: the part that the backends with workers share: rows, turns and logs.

The environments are divided into `num_workers` contiguous parts; the agents of part w are the rows `spans[w]` of one set of
buffers. A worker is idle, or it runs a step or a reset. The caller *holds* the workers whose results it has received and that
wait for actions:

    async_reset ->  all workers run       recv  ->  the first `batch_workers` that finish are held
    send        ->  the held workers run  recv  ->  the next that finish are held ...
    reset, step ->  all workers run, the caller waits for all, all are held

So send and recv take turns, and with batch_envs = num_envs / 2 one half steps while the policy decides for the other (double
buffering). No worker starves, because results are received in the order in which workers finish. The arrays that `recv` gives
are views where the received workers are neighbours, and copies otherwise.
"""

from typing import NamedTuple

import numpy as np
from gymnasium.vector.utils import batch_space

from envs.core.actions import ActionCheck
from envs.core.buffers import Buffers
from puffer_min.env.episodes import mean_of
from puffer_min.env.puffer_env import whole_seed
from puffer_min.env.spec import EnvSpec


class Received(NamedTuple):
    """What `recv` gives: the results of a step for the agents `rows` of the vectorizer, in the order of the contract.

    action_masks is bool (rows, choices), or None if the environment has no action masks. infos is a list of dicts. rows is a
    slice, and the arrays are views; or rows is an int array where the workers are not neighbours, and the arrays are copies.
    """

    observations: np.ndarray
    rewards: np.ndarray
    terminals: np.ndarray
    truncations: np.ndarray
    masks: np.ndarray
    final_observations: np.ndarray | None
    action_masks: np.ndarray | None
    infos: list
    rows: slice | np.ndarray

    @classmethod
    def of(cls, env, action_masks, infos, rows):
        """The rows of the arrays of `env`, a batch or a vectorizer, and of its action masks."""
        arrays = (env.observations, env.rewards, env.terminals, env.truncations, env.masks, env.final_observations, action_masks)
        return cls(*(None if array is None else array[rows] for array in arrays), infos, rows)


class OnBuffers:
    """Base of objects that have the attributes of an `EnvSpec`, `env_spec`, and the arrays of `Buffers`, `buffers`."""

    def _describe(self, spec: EnvSpec, num_envs: int, num_agents: int):
        """Take over every attribute of `spec`, and derive those of the whole."""
        self.env_spec = spec
        vars(self).update(vars(spec))
        self.num_envs, self.num_agents = num_envs, num_agents
        self.observation_space = batch_space(spec.single_observation_space, num_agents)
        self.action_space = batch_space(spec.single_action_space, num_agents)

    def _use_buffers(self, buffers: Buffers | None):
        """Let the attributes observations, actions, ... be the arrays of `buffers`; None for all after closing."""
        self.buffers = buffers
        vars(self).update(buffers._asdict() if buffers else dict.fromkeys(Buffers._fields))
        if not self.truncates:
            self.final_observations = None
        self._check = ActionCheck(self.single_action_space, self.actions) if buffers else None


class Vectorizer(OnBuffers):
    """Base of the backends with workers. Its attributes are those of an environment; see `make_vec` for the arguments."""

    backend = ""
    closed_because = ""                 # the reason, once an error has closed the vectorizer

    def _prepare(self, parts, buffers, batch_envs, seed, report_interval):
        """parts: for each worker an object with env_spec, num_envs and num_agents."""
        spec = same_spec([part.env_spec for part in parts])
        self.num_workers = len(parts)
        self.env_ends = np.cumsum([part.num_envs for part in parts]).tolist()
        ends = np.cumsum([part.num_agents for part in parts]).tolist()
        self.spans = list(zip([0, *ends], ends, strict=False))
        self._describe(spec, self.env_ends[-1], ends[-1])
        self.batch_envs = batch_envs or self.num_envs
        self.batch_workers = self.num_workers * self.batch_envs // self.num_envs
        self.seed, self.report_interval = whole_seed(seed), report_interval
        self._everyone = list(range(self.num_workers))
        self._held = []                         # workers that wait for actions
        self._in_flight = 0                     # number of workers that run
        self._calls = 0                         # steps sent
        self._due, self._asked = set(), set()   # workers whose log is to be asked for, and those that were asked for it
        self._open = True
        self._use_buffers(buffers)

    def _use_buffers(self, buffers):
        super()._use_buffers(buffers)
        self._views = {}                        # first and last worker -> Received without infos

    # ------------------------------------------------------------------ what a backend implements

    def _begin_reset(self, seed):
        """Let every worker, all of which are idle, reset its environments."""
        raise NotImplementedError

    def _begin_step(self, workers, asked):
        """Let idle `workers` step; those of them in `asked` also hand over their log."""
        raise NotImplementedError

    def _finish(self, wanted):
        """Wait for `wanted` running workers; returns (workers, infos) in the order of finishing. Raises what a worker raised."""
        raise NotImplementedError

    def _log_of(self, worker):
        """The log that an idle worker, which was asked for it, has handed over; a dict, whose "n" may be 0."""
        raise NotImplementedError

    def _masks_of(self, workers):
        """Bool (num_agents, choices); the rows of the idle `workers` are valid."""
        raise NotImplementedError

    def _call(self, worker, method, *arguments):
        """Call a method of an idle worker's batch and return its result. No other worker may run."""
        raise NotImplementedError

    def _stop(self):
        """End the workers and let go of everything; returns an exception of closing an environment, or None. Called once."""
        raise NotImplementedError

    # ------------------------------------------------------------------ synchronous use

    def reset(self, seed=None):
        """Reset every environment, each with a seed derived from `seed`; returns (observations, infos)."""
        self.async_reset(seed)
        return self.observations, self._receive(self.num_workers)[1]

    def step(self, actions):
        """Step every environment once; returns (observations, rewards, terminals, truncations, infos).

        The arrays are the vectorizer's own, written in place. Raises TypeError or ValueError for actions that do not fit, before
        any environment steps, and raises the exception of an environment.
        """
        if self._held is not self._everyone:
            self._require_turn("step()", all_workers=True)
        self._check.take(actions)
        infos = self._step_all(self._depart(self._everyone))
        return self.observations, self.rewards, self.terminals, self.truncations, infos

    def _step_all(self, asked):
        """Step all workers and wait for them; returns their infos."""
        self._begin_step(self._everyone, asked)
        return self._receive(self.num_workers)[1]

    # ------------------------------------------------------------------ asynchronous use

    def async_reset(self, seed=None):
        """Begin a reset of every environment; `recv` gives the first results."""
        self._require_open()
        if seed is not None:
            self.seed = whole_seed(seed)
        if self._in_flight:
            self._receive(self._in_flight)
        self._held, self._calls, self._due, self._asked = [], 0, set(), set()
        self._in_flight = self.num_workers
        self._begin_reset(seed)

    def send(self, actions):
        """Begin a step of the agents that the last `recv` returned; one row for each of its rows, in their order."""
        held = self._held
        if not held:
            self._require_turn("send()")
        if len(held) == self.num_workers:
            self._check.take(actions)
        else:
            self._check.take_spans(actions, [self.spans[worker] for worker in held])
        self._begin_step(held, self._depart(held))

    def recv(self):
        """The next `Received`: the results of the `batch_envs` environments that finished first."""
        if self._held or not self._in_flight:
            self._require_open()
            raise RuntimeError("recv() without a step on its way: call async_reset() or send(actions) first")
        workers, infos = self._receive(self.batch_workers)
        return self._received(workers, infos)

    def recv_rest(self):
        """All results that are still on their way, a `Received`, or None. Then every environment waits for actions, as after `reset`."""
        self._require_open()
        if not self._in_flight:
            return None
        workers, infos = self._receive(self._in_flight)
        self._held = self._everyone
        return Received.of(self, self._masks_for(workers), infos, self._rows_of(workers))

    def action_masks(self):
        """Bool (num_agents, choices): the legal actions. Valid for the rows that the caller holds, until they step."""
        self._require_open()
        if not self.masks_actions:
            raise AttributeError("action_masks: these environments have none; give them a method action_masks()")
        return self._masks_of(self._held)

    def _depart(self, workers):
        """Count a step of `workers`, which are no longer held; returns those whose log is due, once in report_interval calls."""
        self._held = []
        self._in_flight += len(workers)
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
        """Wait for `wanted` running workers and hold them; returns them in order, and their infos with the logs that were due."""
        workers, infos = self._finish(wanted)
        self._in_flight -= wanted
        self._held = sorted(workers) if wanted < self.num_workers else self._everyone
        if self._asked:
            infos = infos + self._reports()
        return self._held, infos

    def _reports(self):
        """[log] of the held workers that were asked for theirs, [] if no episode has ended in them."""
        reporting = [worker for worker in self._held if worker in self._asked]
        self._asked.difference_update(reporting)
        log = mean_of([self._log_of(worker) for worker in reporting])
        return [log] if log else []

    def _received(self, workers, infos):
        first, last = workers[0], workers[-1]
        masks = self._masks_for(workers)
        if last - first != len(workers) - 1:
            return Received.of(self, masks, infos, self._rows_of(workers))
        rows = slice(self.spans[first][0], self.spans[last][1])
        if (first, last) not in self._views:
            self._views[first, last] = Received.of(self, None, [], rows)
        return self._views[first, last]._replace(infos=infos, action_masks=None if masks is None else masks[rows])

    def _masks_for(self, workers):
        return self._masks_of(workers) if self.masks_actions else None

    def _rows_of(self, workers):
        return np.concatenate([np.arange(*self.spans[worker]) for worker in workers])

    # ------------------------------------------------------------------ off the fast path

    def log(self):
        """Mean over the episodes that ended since the last log, or {}."""
        self._require_idle("log()")
        return mean_of([self._call(worker, "log") for worker in self._everyone])

    def get_state(self):
        """Everything that decides the future of the environments, as a picklable dict, for a vectorizer with as many workers."""
        self._require_idle("get_state()")
        return {"parts": [self._call(worker, "get_state") for worker in self._everyone], "env_ends": self.env_ends,
                "calls": self._calls, "due": sorted(self._due), "seed": self.seed, "was_reset": bool(self._held)}

    def set_state(self, state):
        """Go on from the result of `get_state`; the vectorizer must have been made with the same arguments."""
        self._require_idle("set_state()")
        if state.get("env_ends") != self.env_ends:
            raise ValueError(f"state of environments divided at {state.get('env_ends')} given, expected {self.env_ends}: "
                             "make the vectorizer with the num_envs and num_workers it was saved with")
        for worker, part in enumerate(state["parts"]):
            self._call(worker, "set_state", part)
        self._calls, self._due, self.seed = state["calls"], set(state["due"]), state["seed"]
        self._held = self._everyone if state.get("was_reset", True) else []

    def render(self, index=0):
        """RGB array of environment `index`."""
        self._require_idle("render()")
        return self._call(*self._find(index, "render"))

    def call(self, name, *arguments, indices=None, **keywords):
        """A list: the attribute `name` of each environment in `indices`, or the result of its method `name`.

        indices=None is every environment. With processes arguments and results are pickled. Raises TypeError for native environments,
        which are no objects of their own.
        """
        self._require_idle("call()")
        if self.native:
            raise TypeError(f"call({name!r}) of native environments, expected environments written in Python: a batch of native ones is "
                            "one object; make it with other settings")
        if indices is None:
            results = [self._call(worker, "call_each", None, name, arguments, keywords) for worker in self._everyone]
        else:
            results = [self._call(worker, "call_each", [at], name, arguments, keywords)
                       for worker, _, at in (self._find(index, "call") for index in indices)]
        return [result for part in results for result in part]

    def close(self):
        """End the workers, close their environments and let go of the buffers. Closing twice is harmless."""
        self._close("")

    def _close(self, because):
        if not getattr(self, "_open", False):
            return
        self._open, self.closed_because = False, because
        self._held, self._in_flight = [], 0
        self._use_buffers(None)
        error = self._stop()
        if error is not None and not because:
            raise error

    def _require_open(self):
        if not self._open:
            why = f" since {self.closed_because}" if self.closed_because else ""
            raise RuntimeError(f"this vectorizer is closed{why}; make a new one with make_vec(...)")

    def _require_idle(self, method):
        self._require_open()
        if self._in_flight:
            raise RuntimeError(f"{method} with a step on its way: call recv() until all {self.num_workers} workers have finished, or reset()")

    def _find(self, index, method):
        """(worker, method, index among the environments of that worker): the arguments of `_call`."""
        if not 0 <= index < self.num_envs:
            raise IndexError(f"index={index} given, expected 0 to {self.num_envs - 1}")
        worker = next(worker for worker, end in enumerate(self.env_ends) if index < end)
        return worker, method, index - (self.env_ends[worker - 1] if worker else 0)

    def _require_turn(self, method, all_workers=False):
        self._require_open()
        refuse_turn(method, self._in_flight, all_workers)

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self.close()

    def __repr__(self):
        return f"{type(self).__name__}(num_envs={self.num_envs}, num_workers={self.num_workers}, batch_envs={self.batch_envs})"


def refuse_turn(method, in_flight, all_workers=False):
    """Raise RuntimeError, saying why `method` cannot send actions now: the workers run, or they were never reset."""
    if in_flight and all_workers:
        raise RuntimeError(f"{method} after send() or async_reset(): call recv() first, or reset() to step all environments together")
    if in_flight:
        raise RuntimeError(f"{method} twice: call recv() in between")
    raise RuntimeError(f"{method} before the first reset: call reset(seed) or async_reset(seed)")


def exception_of(error):
    """`error`, or a RuntimeError in its place if it would end the caller's program: SystemExit and its like."""
    if isinstance(error, Exception):
        return error
    deed = f"called sys.exit({error.code!r})" if isinstance(error, SystemExit) else f"raised {type(error).__name__}"
    return RuntimeError(f"an environment {deed}: end an episode with a terminal flag, report a fault with an Exception") \
        .with_traceback(error.__traceback__)


def same_spec(specs):
    """The first of `specs`; ValueError if another one differs in more than the number of agents."""
    first = specs[0]
    for spec in specs[1:]:
        for name, value in vars(spec).items():
            expected = getattr(first, name)
            if name != "agents_per_env" and value is not expected and np.any(value != expected):
                raise ValueError(f"environments differ in {name}: {expected} and {value}, expected one kind of environment")
    return first


def part_bounds(num_envs, num_workers):
    """[first, last) of the environments of each worker; the parts differ by one environment at most."""
    edges = [num_envs * worker // num_workers for worker in range(num_workers + 1)]
    return list(zip(edges, edges[1:], strict=False))
