"""`plan_for`: which backend, how many workers and which batch `make_vec(..., backend="auto")` takes, decided by timing each.

Python environments are expensive to construct: they open ports, files and licences. So one of them is made here, stepped for a
moment, closed (`probe`), and no other before the decision. The candidates are then timed with *stand-ins*: environments with the
same spaces whose step takes the measured times, in processor time or asleep. Everything else about a candidate is real: its
processes, its hand-off, its memory, the cores it finds.

    serial      the measured step of one environment, for each of them, and the measured call of a batch
    process     as many workers as cores; as many more as leave their core to others, if environments wait in their steps
    half        the same, with PER_CORE workers for each core, of which `recv` returns the half that is ready first

Native environments are one object whose construction is an allocation. The thread backend is made with all of them and timed
with its threads and without; if threads do not win, its memory is given back before the serial backend is made.

Workers must be GAIN times as fast as serial, and halves as much again: a measurement of a moment is not exact.
"""

import contextlib
import dataclasses
import itertools
import resource
import time

import numpy as np

from puffer_min.cores import cores
from puffer_min.env.actions import random_actions
from puffer_min.env.puffer_env import PufferEnv
from puffer_min.env.spec import EnvSpec
from puffer_min.measure import duration, quantity
from puffer_min.vector.process import START_METHOD, ProcessVectorizer, WorkerDied, packed_for
from puffer_min.vector.serial import Serial, is_native, make_batch
from puffer_min.vector.thread import ThreadVectorizer

GAIN = 1.15             # workers must be this many times as fast as serial
PER_CORE = 4            # workers for each core that return halves, so that a core always has one that is not late
SECONDS = 0.1           # for which each candidate is timed,
ROUNDS = 5              # in so many parts
FEWEST, MOST = 8, 3000  # steps of a probe
LONGEST = 1e-3          # seconds of a stand-in's mean step: slower environments are timed on a shorter scale


@dataclasses.dataclass(frozen=True)
class Plan:
    """The choice, and its reason. `rates` maps a way of stepping, such as "process with 2", to its environment steps a second."""

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
            lines.append(f"  measured: {self.probe}")
        if self.rates:
            lines.append("  env-steps/s: " + ", ".join(f"{way} {quantity(rate)}" for way, rate in self.rates.items()))
        return "\n".join(lines)


@dataclasses.dataclass(frozen=True)
class Probe:
    """The behaviour of one environment. steps: seconds of each step; busy: the share of them in which a processor works."""

    spec: EnvSpec
    steps: np.ndarray = dataclasses.field(repr=False)
    busy: float

    @property
    def step(self):
        """Mean seconds of a step."""
        return float(self.steps.mean())

    def __str__(self):
        waits = f", {1 - self.busy:.0%} of it waiting" if self.busy < 1 else ""
        return (f"a step of one environment takes {duration(self.step)}{waits} (slowest of {len(self.steps)}: "
                f"{duration(self.steps.max())})")


def plan_for(make_env, num_envs, most_workers, batch_envs, start_method, timeout, common):
    """(plan, vectorizer) of `make_vec(..., backend="auto")`; the vectorizer is None if it has yet to be made as planned.

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
        return plan_for_native(make_env, num_envs, limit, timeout, common)
    return plan_for_python(make_env, num_envs, limit, batch_envs is None, start_method, common), None


def workers_for(num_envs, batch_envs, limit):
    """The fewest workers, at least one for each core, that can return batches of `batch_envs`; fewer if no such number exists."""
    fitting = [count for count in range(1, limit + 1) if num_envs % count == 0 and batch_envs % (num_envs // count) == 0]
    if not fitting:
        raise ValueError(f"batch_envs={batch_envs} with num_envs={num_envs} and at most {limit} workers: expected num_workers to "
                         "divide num_envs, and batch_envs to be a multiple of num_envs / num_workers")
    return next((count for count in fitting if count >= cores()), fitting[-1])


# ---------------------------------------------------------------------- native environments

def plan_for_native(make_env, num_envs, limit, timeout, common):
    """Serial or threads, timed on the environments themselves; returns (plan, vectorizer or None)."""
    workers = min(limit, cores())
    if workers == 1:
        return Plan("serial", 1, num_envs, "there is one core"), None
    vec = ThreadVectorizer(make_env, num_envs, workers, timeout=timeout, **common)
    kept = False
    try:
        before = vec.get_state()
        vec.reset(0)
        actions = random_actions(vec.single_action_space, vec.num_agents, np.random.default_rng(0))
        ways = {"serial": lambda: vec.step_alone(actions), f"thread with {workers}": lambda: vec.step(actions)}
        rates = {way: num_envs * speed for way, speed in calls_per_second(ways).items()}
        alone, together = rates.values()
        gain = f"threads are {together / alone:.2f} times as fast as one"
        kept = together > GAIN * alone
        if kept:
            vec.set_state(before)
            return Plan("thread", workers, num_envs, gain, rates=rates), vec
        return Plan("serial", 1, num_envs, gain, rates=rates), None
    finally:
        if not kept:
            vec.close()


# ---------------------------------------------------------------------- environments in Python

def plan_for_python(make_env, num_envs, limit, halves_allowed, start_method, common):
    """Serial, processes, or processes that return halves; timed with stand-ins for the environments."""
    probe = probe_of(make_env, common)
    at_once = min(limit, int(cores() / max(probe.busy, 0.01)))     # environments that wait leave their core to others
    if at_once == 1:
        return Plan("serial", 1, num_envs, "there is one core", probe)
    candidates = {"serial": (1, num_envs), f"process with {at_once}": (at_once, num_envs)}
    halves = [count for count in range(2, min(limit, PER_CORE * at_once) + 1, 2) if num_envs % count == 0]
    if halves and halves_allowed:
        candidates[f"process with {halves[-1]}, half a batch"] = halves[-1], num_envs // 2
    try:
        packed_for(start_method or START_METHOD, make_env, common["env_settings"])
        rates = rates_of(candidates, probe, num_envs, start_method)
    except (OSError, TypeError, WorkerDied) as error:
        return Plan("serial", 1, num_envs, f"processes cannot be used here: {error}", probe)
    best = "serial"
    for way, rate in rates.items():
        if rate > GAIN * rates[best]:
            best = way
    (workers, batch), gains = candidates[best], {way: rate / rates["serial"] for way, rate in rates.items() if way != "serial"}
    if best == "serial":
        return Plan("serial", 1, num_envs, f"processes are {max(gains.values()):.2f} times as fast", probe, rates)
    half = ", where recv returns the half that is ready first" if batch < num_envs else ""
    return Plan("process", workers, batch, f"{gains[best]:.2f} times as fast as serial{half}", probe, rates)


def probe_of(make_env, common):
    """The `Probe` of one environment, which is made for this and closed. Raises what the environment raises."""
    common = common | {"report_interval": 0}
    with contextlib.closing(make_batch(make_env, 1, **common)) as batch:
        batch.reset(common["seed"])
        steps, busy = time_steps(batch, common["seed"])
        spec = EnvSpec.of(batch)
    nothing = Probe(spec, np.zeros(1), 1.0)
    with contextlib.closing(make_batch(StandIn, 1, env_settings={"probe": nothing, "count": 1, "scale": 1.0})) as batch:
        batch.reset(0)
        call = np.median(time_steps(batch, 0)[0])               # of the batch around the environment, and of the clock
    return Probe(spec, np.maximum(steps - call, 1e-9), busy)


def time_steps(batch, seed):
    """Seconds of single steps with random actions, an array, and the share of them in which a processor works."""
    random, walls, works = np.random.default_rng(seed), [], []
    clock, processor, waits, began = time.perf_counter, time.thread_time, voluntary_switches(), time.perf_counter()
    all_threads = time.process_time()
    while len(walls) < MOST and (clock() - began < SECONDS or len(walls) < FEWEST and clock() - began < 10 * SECONDS):
        actions = legal_actions(batch, random)
        work, wall = processor(), clock()
        batch.step(actions)
        walls.append(clock() - wall)
        works.append(processor() - work)
    if voluntary_switches() - waits < len(walls) / 2:       # it never gives up its core: other programs lengthen its walls
        return np.array(works), 1.0
    return np.array(walls), min(1.0, (time.process_time() - all_threads) / sum(walls))


def voluntary_switches():
    """How often this thread (or process, where the system counts no threads) has given up its core in order to wait."""
    return resource.getrusage(getattr(resource, "RUSAGE_THREAD", resource.RUSAGE_SELF)).ru_nvcsw


def legal_actions(batch, random):
    """One random action for each agent, which the action masks allow, if there are any."""
    space = batch.single_action_space
    if not batch.masks_actions:
        return random_actions(space, batch.num_agents, random)
    masks = batch.action_masks()
    luck = random.random(masks.shape) * masks
    edges = np.cumsum(np.ravel(getattr(space, "nvec", ())))[:-1]
    columns = [part.argmax(1) for part in np.split(luck, edges, axis=1)]
    return np.stack(columns, 1).reshape(batch.actions.shape).astype(batch.actions.dtype)


def rates_of(candidates, probe, num_envs, start_method):
    """Environment steps a second of each candidate, way -> (workers, batch_envs), with stand-ins; they take turns."""
    ways, units = {}, {}
    with contextlib.ExitStack() as stack:
        for way, (workers, batch_envs) in candidates.items():
            count = -(-num_envs // workers)
            scale = min(1.0, LONGEST / (count * probe.step))
            common = {"report_interval": 0, "env_settings": {"probe": probe, "count": count, "scale": scale}}
            if way == "serial":
                vec = Serial(make_batch(StandIn, 1, **common))
            else:
                part = workers * batch_envs // num_envs
                vec = ProcessVectorizer(StandIn, workers, workers, batch_envs=part, start_method=start_method, **common)
            stack.callback(vec.close)
            vec.async_reset(0)
            ways[way], units[way] = turn_of(vec), batch_envs * scale
        return {way: units[way] * speed for way, speed in calls_per_second(ways).items()}


def calls_per_second(ways):
    """Median speed of each function, way -> function; they take turns, so that a busy moment falls on all of them."""
    speeds = {way: [] for way in ways}
    for _ in range(ROUNDS):
        for way, call in ways.items():
            speed_of(call, SECONDS / ROUNDS / 2)        # results may have waited meanwhile, and caches are another way's
            speeds[way].append(speed_of(call, SECONDS / ROUNDS))
    return {way: float(np.median(found)) for way, found in speeds.items()}


def speed_of(call, seconds):
    """Calls a second, over `seconds` or one call."""
    count, began, elapsed = 0, time.perf_counter(), 0.0
    while elapsed < seconds:
        call()
        count, elapsed = count + 1, time.perf_counter() - began
    return count / elapsed


def turn_of(vec):
    """A function that receives the next results of `vec` and sends its agents on."""
    actions = np.zeros_like(vec.actions[:vec.num_agents * vec.batch_envs // vec.num_envs])

    def turn():
        vec.recv()
        vec.send(actions)
    return turn


class StandIn(PufferEnv):
    """Takes the time of `count` environments, each step one of the probe's, drawn at random, times `scale`."""

    derived = ("durations",)

    def __init__(self, probe, count, scale, buffers=None, seed=0):
        self.single_observation_space, self.single_action_space = probe.spec.single_observation_space, probe.spec.single_action_space
        self.num_agents = count * probe.spec.agents_per_env
        super().__init__(buffers, seed)
        self.probe, self.shape, self.scale = probe, (100, count), scale

    def reset(self, seed=None):
        self.begin_reset(seed)
        self.durations = itertools.cycle((self.scale * self.random.choice(self.probe.steps, self.shape).sum(1)).tolist())
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
