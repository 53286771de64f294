"""`plan_for`: backend, workers and batch of `make_vec(..., backend="auto")`, decided by timing candidates.

Environments in Python may be expensive to construct: they open ports, files and licences. So one is made
here, stepped for a moment and closed (`probe_of`), and no other before the decision. Each candidate is timed
with *stand-ins*, environments with the same spaces whose step takes the measured times, in processor time or
asleep. Everything else about a candidate is real: its processes, its hand-off, its memory, the cores it
finds.

    serial      one environment after the other, in this process
    process     as many workers as cores, or more if environments wait in their steps and leave the core
    half        PER_CORE workers for each of these, of which `recv` returns the half that is ready first

Native environments are one object whose construction is an allocation. The thread backend is made with all of
them and timed with its threads and without; if threads do not win, its memory is freed for a serial one.
"""

import contextlib
import dataclasses
import itertools
import resource
import time

import numpy as np

from puffer_min.cores import cores
from puffer_min.env.actions import random_actions, random_legal_actions
from puffer_min.env.puffer_env import PufferEnv
from puffer_min.env.spec import EnvSpec
from puffer_min.measure import duration, quantity
from puffer_min.vector.process import START_METHOD, ProcessVectorizer, WorkerDied, packed_for
from puffer_min.vector.serial import Serial, is_native, make_batch
from puffer_min.vector.thread import ThreadVectorizer

GAIN = 1.15             # a way with workers, or with halves, must be so many times as fast as the simpler one
PER_CORE = 4            # workers for each core that return halves: half are ready while others step
SECONDS = 0.1           # for which a candidate is timed,
ROUNDS = 5              # in so many parts
FEWEST, MOST = 8, 3000  # steps of a probe
LONGEST = 1e-3          # seconds of a stand-in's mean step: slower environments are timed on a shorter scale


@dataclasses.dataclass(frozen=True)
class Plan:
    """A choice and its reason. rates: environment steps a second of each (backend, workers, batch)."""

    backend: str
    num_workers: int
    batch_envs: int
    reason: str
    probe: "Probe | None" = None
    rates: dict = dataclasses.field(default_factory=dict)

    def __str__(self):
        workers = f"{self.num_workers} worker{'s' * (self.num_workers > 1)}"
        lines = [f"{self.backend}, {workers}, batches of {self.batch_envs} environments: {self.reason}"]
        if self.probe is not None:
            lines.append(f"measured: {self.probe}")
        if self.rates:
            ways = [f"{backend} with {workers}, batches of {batch}: {quantity(rate)}"
                    for (backend, workers, batch), rate in self.rates.items()]
            lines.append(f"env-steps/s of {'; '.join(ways)}")
        return "\n  ".join(lines)


@dataclasses.dataclass(frozen=True)
class Probe:
    """The behaviour of an environment. steps: seconds of each; busy: the share in which a processor works."""

    spec: EnvSpec
    steps: np.ndarray = dataclasses.field(repr=False)
    busy: float

    @property
    def step(self):
        """Mean seconds of a step."""
        return float(self.steps.mean())

    def __str__(self):
        waits = f", {1 - self.busy:.0%} of it waiting" if self.busy < 1 else ""
        slowest = f"slowest of {len(self.steps)}: {duration(self.steps.max())}"
        return f"a step of one environment takes {duration(self.step)}{waits} ({slowest})"


def plan_for(make_env, num_envs, most_workers, batch_envs, start_method, timeout, common):
    """(plan, vectorizer) of `make_vec(..., backend="auto")`; the vectorizer is None if it has yet to be made.

    most_workers    the largest number of workers, None for a free choice
    batch_envs      environments that `recv` must return, None for a free choice
    common          seed, report_interval and env_settings, as a dict
    """
    limit, native = min(num_envs, most_workers or num_envs), is_native(make_env)
    if batch_envs not in (None, num_envs):
        workers = workers_for(num_envs, batch_envs, limit)
        reason = f"batches of {batch_envs} need workers that finish one by one"
        return Plan("thread" if native else "process", workers, batch_envs, reason), None
    if limit == 1:
        return Plan("serial", 1, num_envs, "there is nothing for a second worker to do"), None
    if native:
        return plan_for_native(make_env, num_envs, min(limit, cores()), timeout, common)
    return plan_for_python(make_env, num_envs, limit, batch_envs is None, start_method, common), None


def workers_for(num_envs, batch_envs, limit):
    """The fewest workers, at least one for each core, that can return such batches; or else the most."""
    fitting = [count for count in range(1, limit + 1)
               if num_envs % count == 0 and batch_envs % (num_envs // count) == 0]
    if not fitting:
        raise ValueError(f"batch_envs={batch_envs} with num_envs={num_envs} and at most {limit} workers: "
                         "expected a number of workers that divides num_envs, and batch_envs a multiple of "
                         "their environments")
    return next((count for count in fitting if count >= cores()), fitting[-1])


def plan_for_native(make_env, num_envs, workers, timeout, common):
    """Serial or threads; returns (plan, vectorizer or None)."""
    if workers == 1:
        return Plan("serial", 1, num_envs, "there is one core"), None
    with contextlib.ExitStack() as stack:
        vec = ThreadVectorizer(make_env, num_envs, workers, timeout=timeout, **common)
        stack.callback(vec.close)
        before = vec.get_state()
        vec.reset(0)
        actions = random_actions(vec.single_action_space, vec.num_agents, np.random.default_rng(0))

        def step_with(helpers):
            vec.helpers = helpers
            vec.step(actions)
        calls = {("serial", 1, num_envs): lambda: step_with(0),
                 ("thread", workers, num_envs): lambda: step_with(workers - 1)}
        plan = fastest({way: num_envs * speed for way, speed in speeds_of(calls).items()})
        if plan.backend == "serial":
            return plan, None
        vec.set_state(before)
        vec._held = []                                  # as before the first reset
        stack.pop_all()
        return plan, vec


def plan_for_python(make_env, num_envs, limit, halves_allowed, start_method, common):
    """Serial, processes, or processes that return halves."""
    probe = probe_of(make_env, common)
    at_once = min(limit, int(cores() / max(probe.busy, 0.01)))
    if at_once == 1:
        return Plan("serial", 1, num_envs, "there is one core", probe)
    ways = [("serial", 1, num_envs), ("process", at_once, num_envs)]
    halves = [count for count in range(2, min(limit, PER_CORE * at_once) + 1, 2) if num_envs % count == 0]
    if halves and halves_allowed:
        ways.append(("process", halves[-1], num_envs // 2))
    try:
        packed_for(start_method or START_METHOD, make_env, common["env_settings"])
        return fastest(rates_of(ways, probe, num_envs, start_method), probe)
    except (OSError, TypeError, WorkerDied) as error:
        return Plan("serial", 1, num_envs, f"processes cannot be used here: {error}", probe)


def fastest(rates, probe=None):
    """The plan of the fastest way, where a later way must be GAIN times as fast as the best before it."""
    serial, *others = rates
    best = serial
    for way in others:
        if rates[way] > GAIN * rates[best]:
            best = way
    gain = max(rates[way] for way in ([best] if best != serial else others)) / rates[serial]
    reason = f"the others are {gain:.2f} times as fast"
    if best != serial:
        reason = f"{gain:.2f} times as fast as serial"
    return Plan(*best, reason, probe, rates)


# ---------------------------------------------------------------------- timing

def probe_of(make_env, common):
    """The `Probe` of one environment, which is made for this and closed. Raises its exceptions."""
    with contextlib.closing(make_batch(make_env, 1, **common | {"report_interval": 0})) as batch:
        batch.reset(common["seed"])
        spec, (steps, busy) = EnvSpec.of(batch), time_steps(batch, common["seed"])
    nothing = {"probe": Probe(spec, np.zeros(1), 1.0), "count": 1, "scale": 1.0}
    with contextlib.closing(make_batch(StandIn, 1, env_settings=nothing)) as batch:
        batch.reset(0)
        call = np.median(time_steps(batch, 0)[0])       # the batch around the environment, and the clock
    return Probe(spec, np.maximum(steps - call, 1e-9), busy)


def time_steps(batch, seed):
    """Seconds of single steps with random actions, an array, and the share in which a processor works."""
    random, walls, works, clock = np.random.default_rng(seed), [], [], time.perf_counter
    who = getattr(resource, "RUSAGE_THREAD", resource.RUSAGE_SELF)
    waits, worked, began = resource.getrusage(who).ru_nvcsw, time.process_time(), clock()
    while len(walls) < MOST and clock() - began < (SECONDS if len(walls) >= FEWEST else 10 * SECONDS):
        actions = random_legal_actions(batch, random)
        work, wall = time.thread_time(), clock()
        batch.step(actions)
        walls.append(clock() - wall)
        works.append(time.thread_time() - work)
    if resource.getrusage(who).ru_nvcsw - waits < len(walls) / 2:       # it hardly ever waits
        return np.array(works), 1.0
    return np.array(walls), min(1.0, (time.process_time() - worked) / sum(walls))


def rates_of(ways, probe, num_envs, start_method):
    """Environment steps a second of each (backend, workers, batch), with stand-ins."""
    calls, units = {}, {}
    with contextlib.ExitStack() as stack:
        for way in ways:
            backend, workers, batch_envs = way
            count = -(-num_envs // workers)
            scale = min(1.0, LONGEST / (count * probe.step))
            common = {"report_interval": 0, "env_settings": {"probe": probe, "count": count, "scale": scale}}
            if backend == "serial":
                vec = Serial(make_batch(StandIn, 1, **common))
            else:
                part = workers * batch_envs // num_envs
                vec = ProcessVectorizer(StandIn, workers, workers, batch_envs=part, start_method=start_method,
                                        **common)
            stack.callback(vec.close)
            vec.async_reset(0)
            calls[way], units[way] = turn_of(vec), scale * batch_envs
        return {way: units[way] * speed for way, speed in speeds_of(calls).items()}


def turn_of(vec):
    """A function that receives the next results of `vec` and sends its agents on."""
    actions = np.zeros_like(vec.actions[:vec.num_agents * vec.batch_envs // vec.num_envs])
    return lambda: (vec.recv(), vec.send(actions))


def speeds_of(calls):
    """Median calls a second of each function; they take turns, so that a busy moment falls on all of them."""
    speeds = {way: [] for way in calls}
    for way, call in ROUNDS * list(calls.items()):
        speed_of(call, SECONDS / ROUNDS / 2)            # results may have waited meanwhile
        speeds[way].append(speed_of(call, SECONDS / ROUNDS))
    return {way: float(np.median(found)) for way, found in speeds.items()}


def speed_of(call, seconds):
    """Calls a second, over `seconds` or one call."""
    count, began, elapsed = 0, time.perf_counter(), 0.0
    while elapsed < seconds:
        call()
        count, elapsed = count + 1, time.perf_counter() - began
    return count / elapsed


class StandIn(PufferEnv):
    """Takes the time of `count` environments: `scale` times so many steps of the probe, drawn at random."""

    derived = ("durations",)

    def __init__(self, probe, count, scale, buffers=None, seed=0):
        self.single_observation_space = probe.spec.single_observation_space
        self.single_action_space = probe.spec.single_action_space
        self.num_agents = count * probe.spec.agents_per_env
        super().__init__(buffers, seed)
        self.probe, self.shape, self.scale = probe, (100, count), scale

    def reset(self, seed=None):
        self.begin_reset(seed)
        drawn = self.random.choice(self.probe.steps, self.shape).sum(1)
        self.durations = itertools.cycle((self.scale * drawn).tolist())
        return self.observations, []

    def step(self, actions):
        self.begin_step(actions)
        seconds = next(self.durations)
        until = time.thread_time() + self.probe.busy * seconds      # wall time would pass without a core, too
        while time.thread_time() < until:
            pass
        if self.probe.busy < 1:
            time.sleep((1 - self.probe.busy) * seconds)
        return self.finish_step()
