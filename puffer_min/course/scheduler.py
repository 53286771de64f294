"""A simulation of a vectorizer on any number of cores, fed with costs measured on this machine.

Workers take turns with the caller as in puffer_min/vector/turns.py: a worker steps its environments one after
the other, the caller receives the `batch_workers` workers that finish first, thinks (hand-off and policy),
and sends them on. Caller and workers need a core to work; there are `num_cores`, and a process that finds
none queues. A discrete-event simulation: time jumps from one end of a piece of work to the next, so an hour
on 128 cores takes as long to simulate as it has events.

    costs = Costs(steps=measured_seconds, handoff=3e-6)
    simulate(costs, num_envs=256, num_workers=128, num_cores=128).steps_per_second
    scaling(costs, cores=(8, 16, 32, 64, 128))          # synchronous and asynchronous, with the ideal

What it leaves out: that cores share memory bandwidth and clock, that a scheduler takes a core away in the
middle of a step, and what a wake on a large machine costs beyond `handoff`. So it is a bound: a measurement
may be worse, and is rarely better.
"""

import dataclasses
import heapq
from collections import deque

import numpy as np

CALLER = -1


@dataclasses.dataclass(frozen=True)
class Costs:
    """Seconds.

    steps       of single steps of an environment; drawn from these at random, with replacement
    call        of a worker, on top of its environments' steps
    handoff     of the caller, for each worker it receives and sends on
    policy_call, policy_env     of the caller, for a batch and for each environment in it
    """

    steps: np.ndarray
    call: float = 0.0
    handoff: float = 0.0
    policy_call: float = 0.0
    policy_env: float = 0.0


@dataclasses.dataclass(frozen=True)
class Simulation:
    """What came out: simulated seconds, environment steps in them, and the share of the time in which the
    cores and the caller worked.
    """

    seconds: float
    steps: int
    cores_busy: float
    caller_busy: float

    @property
    def steps_per_second(self):
        return self.steps / self.seconds


def simulate(costs, num_envs, num_workers, num_cores, batch_workers=None, batches=500, seed=0):
    """Let the caller receive `batches` batches; batch_workers=None: all workers, which is synchronous."""
    batch_workers = batch_workers or num_workers
    if num_envs % num_workers or not 1 <= batch_workers <= num_workers:
        raise ValueError(f"num_envs={num_envs}, num_workers={num_workers}, batch_workers={batch_workers}: "
                         "expected num_workers to divide num_envs, and 1 to num_workers in a batch")
    random, part = np.random.default_rng(seed), num_envs // num_workers
    thinking = batch_workers * costs.handoff + costs.policy_call + batch_workers * part * costs.policy_env
    queue = deque()                                 # (who, seconds of work) that wait for a core
    ends = []                                       # heap of (time at which the work ends, who)
    finished = deque()                              # workers that wait for the caller
    received = ()                                   # workers that the caller thinks about
    now, free, worked, thought, done = 0.0, num_cores, 0.0, 0.0, 0

    def send(workers):
        drawn = random.choice(costs.steps, (len(workers), part)).sum(1) + costs.call
        queue.extend(zip(workers, drawn, strict=True))

    send(range(num_workers))
    while done < batches:
        if not received and len(finished) >= batch_workers:
            received = [finished.popleft() for _ in range(batch_workers)]
            queue.appendleft((CALLER, thinking))    # everyone waits for the caller, so it goes first
        while queue and free:
            who, seconds = queue.popleft()
            heapq.heappush(ends, (now + seconds, who))
            free, worked = free - 1, worked + seconds
        now, who = heapq.heappop(ends)
        free += 1
        if who == CALLER:
            send(received)
            received, done, thought = (), done + 1, thought + thinking
        else:
            finished.append(who)
    return Simulation(now, done * batch_workers * part, min(1.0, worked / now / num_cores), thought / now)


def scaling(costs, cores=(8, 16, 32, 64, 128), envs_per_core=8, workers_per_core=4, batches=300):
    """Steps per second on each number of cores.

    Returns one dict for each: cores, ideal (nothing but steps), synchronous (a worker for each core),
    asynchronous (`workers_per_core` workers for each core, half of them in a batch).
    """
    rows = []
    for count in cores:
        num_envs = envs_per_core * count
        together = simulate(costs, num_envs, count, count, batches=batches)
        apart = simulate(costs, num_envs, workers_per_core * count, count,
                         batch_workers=workers_per_core * count // 2, batches=batches)
        rows.append({"cores": count, "ideal": count / float(np.mean(costs.steps)),
                     "synchronous": together.steps_per_second,
                     "asynchronous": apart.steps_per_second, "caller_busy": apart.caller_busy})
    return rows
