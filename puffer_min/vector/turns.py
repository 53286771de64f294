"""`Vectorizer`: what the backends with workers have in common: who owns which rows, whose turn it is, what is reported.

The environments are divided into `num_workers` contiguous parts; the agents of part w are the rows `spans[w]` of one set of
buffers. A worker is idle, or *running* a step or a reset. Those that the caller *holds* have been received and wait for their
actions:

    async_reset ->  all run       recv  ->  the first `batch_workers` that finish are held
    send        ->  the held run  recv  ->  the next that finish are held ...
    reset, step ->  all run, all are awaited, all are held

So send and recv take turns, and with batch_envs = num_envs / 2 one half steps while the policy thinks about the other (double
buffering). No worker starves: who finished first is received first. The rows of a batch are views where its workers are neighbours,
copies otherwise.

A backend implements `_begin`, `_finish`, `_call`, `_stop`.
"""

from typing import NamedTuple

import numpy as np
from gymnasium.vector.utils import batch_space

from puffer_min.env.action_check import ActionCheck
from puffer_min.env.episodes import mean_of
from puffer_min.env.puffer_env import whole_seed

# What a vectorizer says about its environments, in their own words; the same in each of its parts.
SHARED = ("single_observation_space", "single_action_space", "metric_names", "truncates", "keys", "idle_action", "action_names",
          "observation_sets", "native")


class Batch(NamedTuple):
    """What `recv` gives: the results of a step for the agents `rows` of the vectorizer, as views, in the order of the contract.

    rows is a slice, or an array of indices where the workers that finished first are no neighbours: then all arrays are copies.
    """

    observations: np.ndarray
    rewards: np.ndarray
    terminals: np.ndarray
    truncations: np.ndarray
    masks: np.ndarray
    final_observations: np.ndarray | None
    infos: list
    rows: slice | np.ndarray

    @classmethod
    def of(cls, buffers, infos, rows):
        """The rows of `buffers`."""
        b = buffers
        arrays = (b.observations, b.rewards, b.terminals, b.truncations, b.masks, b.final_observations)
        return cls(*(None if array is None else array[rows] for array in arrays), infos, rows)


class Vectorizer:
    """Base of the backends with workers. Its attributes are those of an environment; see `make_vec` for the arguments."""

    backend = ""
    closed_because = ""                 # once closed, why

    def _describe(self, parts, buffers, batch_envs, seed, report_interval):
        """parts: for each worker an object with num_envs, num_agents and the attributes SHARED."""
        first = parts[0]
        for name in SHARED:
            for part in parts:
                if getattr(part, name) != getattr(first, name):
                    raise ValueError(f"environments differ in {name}: {getattr(first, name)} and {getattr(part, name)}, "
                                     "expected one kind of environment")
            setattr(self, name, getattr(first, name))
        self.num_workers = len(parts)
        self.env_ends = np.cumsum([part.num_envs for part in parts]).tolist()
        ends = np.cumsum([part.num_agents for part in parts]).tolist()
        self.spans = list(zip([0, *ends], ends))
        self.num_envs, self.num_agents, self.agents_per_env = self.env_ends[-1], ends[-1], first.agents_per_env
        self.batch_envs = batch_envs or self.num_envs
        self.batch_workers = self.num_workers * self.batch_envs // self.num_envs
        self.observation_space = batch_space(self.single_observation_space, self.num_agents)
        self.action_space = batch_space(self.single_action_space, self.num_agents)
        self.seed, self.report_interval = whole_seed(seed), report_interval
        self._use_buffers(buffers)
        self._everyone = list(range(self.num_workers))
        self._held = []                 # workers that wait for actions
        self._in_flight = 0             # how many run
        self._calls, self._due = 0, set()       # steps sent, workers whose log is due
        self._open = True

    def _use_buffers(self, buffers):
        self.buffers = buffers
        self.observations, self.actions, self.rewards = buffers.observations, buffers.actions, buffers.rewards
        self.terminals, self.truncations, self.masks = buffers.terminals, buffers.truncations, buffers.masks
        self.final_observations = buffers.final_observations if self.truncates else None
        self._check = ActionCheck(self.single_action_space, self.actions)
        self._views = {}                # first and last worker -> Batch without infos

    # ------------------------------------------------------------------ what a backend implements

    def _begin(self, workers, request):
        """Let idle `workers` run; request is ("step", whether to report the log) or ("reset", seed)."""
        raise NotImplementedError

    def _finish(self, wanted):
        """Wait for `wanted` of the running workers; returns (workers, infos), those that finished first first. Raises what they raised."""
        raise NotImplementedError

    def _call(self, worker, method, *arguments):
        """What a method of an idle worker's batch returns."""
        raise NotImplementedError

    def _stop(self):
        """End the workers and let go of everything. Called once."""
        raise NotImplementedError

    # ------------------------------------------------------------------ synchronous use

    def reset(self, seed=None):
        """Reset every environment, with a seed each to its own; returns (observations, infos)."""
        self.async_reset(seed)
        return self.observations, self._receive(self.num_workers)[1]

    def step(self, actions):
        """Step every environment once; returns (observations, rewards, terminals, truncations, infos).

        The arrays are the vectorizer's own, written in place. Raises TypeError or ValueError for actions that do not fit, before
        anything is stepped, and whatever an environment raises.
        """
        if len(self._held) != self.num_workers:
            self._require_turn("step()", all_workers=True)
        self._check.take(actions)
        self._send(self._everyone)
        infos = self._receive(self.num_workers)[1]
        return self.observations, self.rewards, self.terminals, self.truncations, infos

    # ------------------------------------------------------------------ asynchronous use

    def async_reset(self, seed=None):
        """Begin a reset of every environment; `recv` gives the first results."""
        self._require_open()
        if seed is not None:
            self.seed = whole_seed(seed)
        if self._in_flight:
            self._receive(self._in_flight)
        self._held, self._calls, self._due = [], 0, set()
        self._in_flight = self.num_workers
        self._begin(self._everyone, ("reset", seed))

    def send(self, actions):
        """Begin a step of the agents that the last `recv` returned, in the order of its rows."""
        held = self._held
        if not held:
            self._require_turn("send()")
        if len(held) == self.num_workers:
            self._check.take(actions)
        else:
            self._check.take_spans(actions, [self.spans[worker] for worker in held])
        self._send(held)

    def recv(self):
        """The next `Batch`: the results of the `batch_envs` environments that finished first."""
        if self._held or not self._in_flight:
            self._require_open()
            raise RuntimeError("recv() without a step on its way: call async_reset() or send(actions) first")
        workers, infos = self._receive(self.batch_workers)
        first, last = workers[0], workers[-1]
        if last - first != len(workers) - 1:
            return Batch.of(self.buffers, infos, np.concatenate([np.arange(*self.spans[worker]) for worker in workers]))
        if (first, last) not in self._views:
            self._views[first, last] = Batch.of(self.buffers, [], slice(self.spans[first][0], self.spans[last][1]))
        return self._views[first, last]._replace(infos=infos)

    def recv_rest(self):
        """The results of all that is still on its way, a `Batch`, or None; then every environment waits for actions, as after `reset`."""
        self._require_open()
        if not self._in_flight:
            return None
        workers, infos = self._receive(self._in_flight)
        self._held = self._everyone
        return Batch.of(self.buffers, infos, np.concatenate([np.arange(*self.spans[worker]) for worker in sorted(workers)]))

    def _send(self, workers):
        reporting = self._depart(workers)
        if not reporting:
            return self._begin(workers, ("step", False))
        self._begin(reporting, ("step", True))
        if len(reporting) < len(workers):
            self._begin([worker for worker in workers if worker not in reporting], ("step", False))

    def _depart(self, workers):
        """Count a step of `workers`, which are no longer held; returns those whose log is due: each once in report_interval calls."""
        self._held = []
        self._in_flight += len(workers)
        self._calls += 1
        return self._reporters(workers) if self._due or self.report_interval and not self._calls % self.report_interval else ()

    def _reporters(self, workers):
        """Those of `workers` whose log is due, which it is no longer."""
        if self.report_interval and not self._calls % self.report_interval:
            self._due.update(self._everyone)
        reporting = [worker for worker in workers if worker in self._due]
        self._due.difference_update(reporting)
        return reporting

    def _receive(self, wanted):
        workers, infos = self._finish(wanted)
        self._in_flight -= wanted
        self._held = sorted(workers) if wanted < self.num_workers else self._everyone
        return self._held, infos

    # ------------------------------------------------------------------ off the fast path

    def log(self):
        """Mean over the episodes that ended since the last call, or {}."""
        self._require_idle("log()")
        return mean_of([self._call(worker, "log") for worker in self._everyone])

    def get_state(self):
        """Everything that decides the future of the environments, as a picklable dict, for a vectorizer with as many workers."""
        self._require_idle("get_state()")
        return {"parts": [self._call(worker, "get_state") for worker in self._everyone], "env_ends": self.env_ends,
                "calls": self._calls, "due": sorted(self._due), "seed": self.seed}

    def set_state(self, state):
        """Go on from what `get_state` gave; the vectorizer must have been made with the same arguments."""
        self._require_idle("set_state()")
        if state.get("env_ends") != self.env_ends:
            raise ValueError(f"state of environments divided at {state.get('env_ends')} given, expected {self.env_ends}: "
                             "make the vectorizer with the num_envs and num_workers it was saved with")
        for worker, part in enumerate(state["parts"]):
            self._call(worker, "set_state", part)
        self._calls, self._due, self.seed, self._held = state["calls"], set(state["due"]), state["seed"], self._everyone

    def render(self, index=0):
        """RGB array of environment `index`."""
        self._require_idle("render()")
        if not 0 <= index < self.num_envs:
            raise IndexError(f"index={index} given, expected 0 to {self.num_envs - 1}")
        worker = next(worker for worker, end in enumerate(self.env_ends) if index < end)
        return self._call(worker, "render", index - (self.env_ends[worker - 1] if worker else 0))

    def close(self):
        """End the workers, close their environments and let go of the buffers. Closing twice is harmless."""
        self._close("")

    def _close(self, because):
        if not getattr(self, "_open", False):
            return
        self._open, self.closed_because = False, because
        self._held, self._in_flight, self._views = [], 0, {}
        self.buffers = self.observations = self.actions = self.rewards = self.terminals = None
        self.truncations = self.masks = self.final_observations = self._check = None
        self._stop()

    def _require_open(self):
        if not self._open:
            why = f" since {self.closed_because}" if self.closed_because else ""
            raise RuntimeError(f"this vectorizer is closed{why}; make a new one with make_vec(...)")

    def _require_idle(self, what):
        self._require_open()
        if self._in_flight:
            raise RuntimeError(f"{what} with a step on its way: call recv() until all {self.num_workers} workers are there, or reset()")

    def _require_turn(self, what, all_workers=False):
        """Say why it is not the caller's turn to send actions; one whose worker was never reset begins with the first reset."""
        self._require_open()
        if self._in_flight and all_workers:
            raise RuntimeError(f"{what} after send() or async_reset(): call recv() first, or reset() to step all environments together")
        if self._in_flight:
            raise RuntimeError(f"{what} twice: call recv() in between")
        raise RuntimeError(f"{what} before the first reset: call reset(seed) or async_reset(seed)")

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self.close()

    def __repr__(self):
        return f"{type(self).__name__}(num_envs={self.num_envs}, num_workers={self.num_workers}, batch_envs={self.batch_envs})"


def part_bounds(num_envs, num_workers):
    """[first, last) of the environments of each worker, as equal as can be."""
    edges = [num_envs * worker // num_workers for worker in range(num_workers + 1)]
    return list(zip(edges, edges[1:]))
