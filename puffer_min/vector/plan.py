"""`plan_for`: which backend, how many workers, which batch; decided from how an environment behaves when it is stepped here for a moment.

What is measured (`Profile`): the time of single steps of one environment with random actions, ends of episodes and resets included as
they come; whether it waits in them (for a game server, a network, a device: it gives up the processor of its own accord), because
such environments can share a core; the cost of a call on top of the environments in it; bytes of a row; whether it is native. The
time of one that does not wait is processor time, which other programs on the machine do not lengthen.

What is decided, by the sum that a step of all environments would take

    serial      call + sum of all steps
    thread      native only. The same, divided by the cores, if the parts are long enough for the hand-off
    process     hand-off + call + the slowest worker's sum, found by drawing from the measured steps; with more work than cores,
                no less than all work divided by the cores
    asynchronous    the same workers, several to a core, of which recv returns the half that is ready first: the mean worker's sum
                    instead of the slowest one's, and no less than all work divided by the cores

Workers are worth their trouble only if they gain GAIN, and batches that come back in parts only if they gain as much again: a plan is
never to be slower than serial, and a measurement of a moment is not exact.
"""

import dataclasses
import resource
import time

import numpy as np

from puffer_min.vector.serial import make_batch
from puffer_min.cores import cores
from puffer_min.measure import duration, quantity
from puffer_min.env.actions import random_actions

GAIN = 1.15                     # workers must be predicted to be this much faster than serial
PER_CORE = 4                    # workers for each core in asynchronous use, so that a core always has one that is not late
HANDOFF = 6e-6, 3e-6            # seconds of a round trip with processes: for the first worker, and for each further one
THREAD_HANDOFF = 3e-6
LEAST_PART = 10e-6              # seconds of native steps that are worth a thread of their own
SECONDS = 0.25                  # of stepping that a profile takes; slow environments: LEAST_STEPS steps
LEAST_STEPS, MOST_STEPS = 8, 3000
MOST_BYTES = 2**26              # of observations of native environments that are made for a profile
ROUNDS = 200                    # steps of all environments that are drawn from the measured ones


@dataclasses.dataclass(frozen=True)
class Profile:
    """How an environment behaves: seconds, bytes, and the fraction of a step in which the processor works."""

    native: bool
    agents: int                 # of one environment
    row_bytes: int              # of an observation
    call: float                 # cost of stepping no matter how many environments
    steps: np.ndarray = dataclasses.field(repr=False)       # of one environment, each measured
    reset: float
    busy: float

    @property
    def step(self):
        """Mean step of one environment."""
        return float(self.steps.mean())

    def __str__(self):
        spread = self.steps.std() / max(self.step, 1e-12)
        waits = f", {1 - self.busy:.0%} of it waiting" if self.busy < 1 else ""
        slowest = f"slowest of {len(self.steps)}: {duration(self.steps.max())}, spread {spread:.0%}"
        return (f"a step of one environment takes {duration(self.step)}{waits} ({slowest}), a reset {duration(self.reset)}; "
                f"{self.agents} agent{'s' * (self.agents > 1)} of {self.row_bytes:,} bytes each")


@dataclasses.dataclass(frozen=True)
class Plan:
    """What was chosen, and why. `predicted` maps a way of stepping, such as "process with 2", to steps of an environment a second."""

    backend: str
    num_workers: int
    batch_envs: int
    reason: str
    profile: Profile | None = None
    predicted: dict = dataclasses.field(default_factory=dict)

    def __str__(self):
        workers = f"{self.num_workers} worker{'s' * (self.num_workers > 1)}"
        chosen = f"{self.backend}, {workers}, batches of {self.batch_envs} environments: {self.reason}"
        if self.profile is None:
            return chosen
        chosen = f"{chosen}\n  measured: {self.profile}"
        if not self.predicted:
            return chosen
        return f"{chosen}\n  predicted env-steps/s: " + ", ".join(f"{way} {quantity(rate)}" for way, rate in self.predicted.items())


def profile(make_env, num_envs, settings, seed=0, seconds=SECONDS):
    """Step one environment, then a batch of cheap ones, for a moment. They are made in this process with `settings`, and closed."""
    began = time.perf_counter()
    batch = make_batch(make_env, 1, seed=seed, report_interval=0, **settings)
    making = time.perf_counter() - began
    resets = []
    for _ in range(2):
        began = time.perf_counter()
        batch.reset(seed)
        resets.append(time.perf_counter() - began)
    steps, busy = time_steps(batch, seed, seconds / 2)
    native, agents, row_bytes = batch.native, batch.agents_per_env, batch.observations[0].nbytes
    batch.close()
    call, many = 0.0, min(num_envs, 16, max(1, int(seconds / (making + resets[-1]))))
    if native:                                          # one object for all of them
        many = min(num_envs, 4096, max(1, MOST_BYTES // (agents * row_bytes)))
    if many > 1 and np.median(steps) < 1e-3:
        batch = make_batch(make_env, many, seed=seed, report_interval=0, **settings)      # what of a step is the call, what the environment
        batch.reset(seed)
        together = np.median(time_steps(batch, seed, seconds / 2)[0])
        batch.close()
        each = max((together - np.median(steps)) / (many - 1), 1e-9)
        call = max(float(np.median(steps)) - each, 0.0)
        if native:                                      # next to a call a step is too short to be told from the clock's own noise
            steps = np.full_like(steps, each + call)
    return Profile(native, agents, row_bytes, call, np.maximum(steps - call, 1e-9), min(resets), busy)


def time_steps(batch, seed, seconds):
    """Seconds of single steps, an array; and the share of them in which the processor works, 1 if the environment never waits."""
    random, walls, works = np.random.default_rng(seed), [], []
    ring = [random_actions(batch.single_action_space, batch.num_agents, random) for _ in range(16)]
    for actions in ring[:2]:
        batch.step(actions)
    clock, processor, waits, began = time.perf_counter, time.thread_time, voluntary_switches(), time.perf_counter()
    worked = 0.0                                        # on a busy machine seconds pass in which nothing has been stepped
    while len(walls) < MOST_STEPS and (len(walls) < LEAST_STEPS or worked < seconds and clock() - began < 4 * seconds):
        actions = ring[len(walls) % 16]
        work, wall = processor(), clock()
        batch.step(actions)
        walls.append(clock() - wall)
        works.append(processor() - work)
        worked += works[-1]
    if voluntary_switches() - waits < len(walls) / 2:
        return np.array(works), 1.0
    return np.array(walls), min(1.0, sum(works) / sum(walls))


def voluntary_switches():
    """How often this thread (where the system does not tell: this process) has given up its core to wait for something."""
    return resource.getrusage(getattr(resource, "RUSAGE_THREAD", resource.RUSAGE_SELF)).ru_nvcsw


def plan_for(make_env, num_envs, most_workers=None, batch_envs=None, seed=0, **settings):
    """The plan of `make_vec(..., backend="auto")`.

    most_workers    at most so many, None for a free choice
    batch_envs      environments that `recv` must return, None for a free choice
    """
    measured = profile(make_env, num_envs, settings, seed)
    return choose(measured, num_envs, cores(), most_workers, batch_envs)


def choose(measured, num_envs, num_cores, most_workers=None, batch_envs=None):
    """The plan for a profile."""
    limit = min(num_envs, most_workers or num_envs)
    total = measured.call + num_envs * measured.step
    options = {("serial", 1, num_envs): num_envs / total}
    if measured.native:
        workers = max(1, min(limit, num_cores, int(total / LEAST_PART)))
        if workers > 1:
            options["thread", workers, num_envs] = num_envs / (total / workers + THREAD_HANDOFF)
    else:
        at_once = min(limit, int(num_cores / max(measured.busy, 0.01)))         # environments that wait leave the core to others
        if at_once > 1:
            options["process", at_once, num_envs] = num_envs / round_times(measured, num_envs, at_once, num_cores)[0]
        halves = [count for count in range(2, min(limit, PER_CORE * at_once) + 1, 2) if num_envs % count == 0]
        if halves:
            options["process", halves[-1], num_envs // 2] = num_envs / round_times(measured, num_envs, halves[-1], num_cores)[1]
    predicted = {f"{backend} with {workers}{', asynchronous' * (batch < num_envs)}": rate
                 for (backend, workers, batch), rate in options.items()}
    if batch_envs not in (None, num_envs):
        workers = workers_for(num_envs, batch_envs, limit, num_cores)
        return Plan("thread" if measured.native else "process", workers, batch_envs,
                    f"batches of {batch_envs} were asked for, which takes workers that finish on their own", measured, predicted)
    best, serial = ("serial", 1, num_envs), options["serial", 1, num_envs]
    for option, rate in options.items():
        if rate > GAIN * options[best] and (batch_envs is None or option[2] == num_envs):
            best = option
    others = [rate / serial for option, rate in options.items() if option[0] != "serial"]
    if best[0] == "serial":
        reason = f"workers would bring {max(others):.2f} times its speed" if others else "and there is no use for more"
        return Plan(*best, f"one process steps them all, {reason}", measured, predicted)
    gain = f"about {options[best] / serial:.1f} times as fast as one"
    if best[0] == "thread":
        return Plan(*best, f"it is native, so threads step parts of it at once, {gain}", measured, predicted)
    if best[2] < num_envs:
        return Plan(*best, f"steps or resets are uneven, so recv returns the half that is ready first, {gain} process", measured, predicted)
    return Plan(*best, f"{best[1]} processes are {gain}", measured, predicted)


def round_times(measured, num_envs, num_workers, num_cores):
    """Seconds of a step of all environments by `num_workers` processes: (all awaited, those that are ready received first)."""
    sizes = np.diff([num_envs * worker // num_workers for worker in range(num_workers + 1)])
    random, rounds = np.random.default_rng(0), ROUNDS if num_envs <= 1000 else 20
    drawn = random.choice(measured.steps, (rounds, num_envs))
    parts = np.add.reduceat(drawn, np.concatenate([[0], np.cumsum(sizes)[:-1]]), axis=1) + measured.call
    work = parts.sum(1).mean() * measured.busy / num_cores
    handoff = HANDOFF[0] + HANDOFF[1] * (num_workers - 1)
    return handoff + max(parts.max(1).mean(), work), 2 * handoff + max(parts.mean(), work)


def workers_for(num_envs, batch_envs, limit, num_cores):
    """Fewest workers from num_cores on that can give batches of `batch_envs`; fewer if there is no such number."""
    fitting = [count for count in range(1, limit + 1) if num_envs % count == 0 and batch_envs % (num_envs // count) == 0]
    if not fitting:
        raise ValueError(f"batch_envs={batch_envs} with num_envs={num_envs} and at most {limit} workers: expected num_workers to divide "
                         "num_envs, and batch_envs to be a multiple of num_envs / num_workers")
    return next((count for count in fitting if count >= num_cores), fitting[-1])
