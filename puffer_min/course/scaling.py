"""The scaling plan: how long a number of steps takes, what it costs, and what breaks first as processes are
added.

    laptop = Machine("this laptop", steps_per_second=6e5, price=1000, watts=40)
    laptop.days(OPENAI_FIVE_A_DAY), laptop.dollars(OPENAI_FIVE_A_DAY)

    costs = Costs.read("two.json")              two processes, measured by benchmarks/scaling.py
    scaling(costs, (1, 2, 8, 64, 1024))         a Plan for each number of processes

Processes that learn as one (puffer_min/learner/distributed.py) lose time and steps in three ways:

    waiting     all wait for the slowest before each exchange. The seconds that a process plays are drawn from
                the measured ones, so the slowest of a thousand is about the slowest that was ever seen
    exchange    every gradient step averages the gradients. A ring passes 2 (P - 1) / P times the vector
                through each process, in 2 (P - 1) messages: messages x latency + bytes / bandwidth
    batch       P processes make a batch P times as large, and the gradient of a large batch points where that
                of half of it does. With the noise scale B (McCandlish et al. 2018, arXiv:1812.06162) a step
                with a batch b is worth b / (b + B) of an exact one, so a sample is worth 1 / (1 + b / B)

What is left out: that several rings share one cable, and that a process which exchanges also keeps a core
busy. So a plan is a bound; a measurement may be worse.
"""

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np

DAY, YEAR = 86_400, 365.25 * 86_400             # seconds
OPENAI_FIVE_A_DAY = 900 * YEAR * 7.5            # 900 years of play a day, 7.5 observations a second
NEURAL_MMO_3 = 4e5 * 3 * DAY                    # about 400,000 steps/s, 3 days, one GPU (stream 001)
PUFFERLIB_3 = 4e6                               # steps/s, "up to", on one RTX 5090 (puffer.ai/blog.html)


@dataclass(frozen=True)
class Machine:
    """What learns: its speed with learning included, in agent-steps/s, its price in dollars and its watts.

    The price is spread over `years` of use; a kilowatt-hour costs `per_kwh` dollars.
    """

    name: str
    steps_per_second: float
    price: float = 0.0
    watts: float = 0.0
    years: float = 3.0
    per_kwh: float = 0.30

    @property
    def steps_per_day(self) -> float:
        return self.steps_per_second * DAY

    @property
    def dollars_per_day(self) -> float:
        return self.price / (self.years * 365.25) + 24 * self.watts / 1000 * self.per_kwh

    def days(self, steps: float) -> float:
        """Days that so many agent-steps take."""
        return steps / self.steps_per_day

    def dollars(self, steps: float) -> float:
        """What so many agent-steps cost."""
        return self.days(steps) * self.dollars_per_day


@dataclass(frozen=True)
class Costs:
    """Of one process, measured. Seconds, bytes, agent-steps.

    collect         (n,) seconds of playing of single updates
    learn           seconds of learning an update, without the exchanges
    gradient_steps  exchanges an update
    batch           agent-steps an update; a minibatch has batch / gradient_steps of them
    size            bytes of the gradient
    latency, bandwidth      of one message, in seconds and bytes/s
    noise           the gradient's noise scale, in agent-steps
    """

    collect: np.ndarray
    learn: float
    gradient_steps: int
    batch: int
    size: int
    latency: float
    bandwidth: float
    noise: float

    @classmethod
    def read(cls, path) -> "Costs":
        """From the JSON that benchmarks/scaling.py writes."""
        found = json.loads(Path(path).read_text())
        latency, bandwidth = fit_exchange(*zip(*found["exchange"], strict=True))
        noise = noise_scale(*np.mean(found["norms"], axis=0), found["batch"] // found["gradient_steps"])
        return cls(np.array(found["collect"]), found["learn"], found["gradient_steps"], found["batch"],
                   found["size"], latency, bandwidth, noise)


@dataclass(frozen=True)
class Plan:
    """What `processes` of them come to, as shares of a perfect scaling: 1 loses nothing.

    waiting, exchange, batch    what is left of the speed, or of the worth of a step, after that loss alone
    steps_per_second            played and learned from, before the loss of worth
    """

    processes: int
    waiting: float
    exchange: float
    batch: float
    steps_per_second: float

    @property
    def useful_steps_per_second(self) -> float:
        """Steps/s, each counted as what it is worth in a small batch."""
        return self.steps_per_second * self.batch

    @property
    def worst(self) -> str:
        """Which of the three takes most."""
        return min(("waiting", "exchange", "batch"), key=lambda name: getattr(self, name))


def exchange_seconds(size: float, processes: int, latency: float, bandwidth: float) -> float:
    """One average over `processes` of a vector of `size` bytes, by a ring; 0 for one process."""
    messages = 2 * (processes - 1)
    return messages * latency + messages / processes * size / bandwidth


def fit_exchange(sizes, seconds) -> tuple[float, float]:
    """(latency, bandwidth) that explain averages over two processes of `sizes` bytes; relative least squares.

    Raises ValueError for fewer than two sizes.
    """
    sizes, seconds = np.asarray(sizes, float), np.asarray(seconds, float)
    if len(np.unique(sizes)) < 2:
        raise ValueError(f"sizes: given {len(np.unique(sizes))}, expected two or more that differ: latency "
                         "and bandwidth cannot be told apart from one")
    columns = np.stack([2 / seconds, sizes / seconds], axis=1)
    latency, per_byte = np.linalg.lstsq(columns, np.ones(len(sizes)), rcond=None)[0]
    if latency < 0 or per_byte <= 0:            # noise: give all of it to the other of the two
        latency, per_byte = (0.0, np.mean(seconds / sizes)) if latency < 0 else (np.mean(seconds) / 2, 1e-15)
    return float(latency), float(1 / per_byte)


def noise_scale(one: float, both: float, batch: int) -> float:
    """The noise scale from squared norms of gradients: of batches of `batch` steps, and of means of two.

    McCandlish et al. 2018, appendix A.1. Two equations, |G|^2 + tr(S) / b = one and |G|^2 + tr(S) / 2b =
    both, give tr(S) / |G|^2; infinite where no signal is left.
    """
    signal, noise = 2 * both - one, 2 * batch * (one - both)
    return float(max(noise, 0.0) / signal) if signal > 0 else float("inf")


def plan(costs: Costs, processes: int, updates: int = 200, seed: int = 0) -> Plan:
    """`updates` updates of so many processes, simulated. Raises ValueError for less than one process."""
    if processes < 1:
        raise ValueError(f"processes={processes} given, expected 1 or more")
    drawn = np.random.default_rng(seed).choice(costs.collect, (updates, processes))
    alone, slowest = costs.collect.mean() + costs.learn, drawn.max(1).mean() + costs.learn
    exchanges = costs.gradient_steps * exchange_seconds(costs.size, processes, costs.latency, costs.bandwidth)
    minibatch = costs.batch / costs.gradient_steps
    worth = (1 + minibatch / costs.noise) / (1 + processes * minibatch / costs.noise)
    return Plan(processes, min(1.0, alone / slowest), slowest / (slowest + exchanges), worth,
                processes * costs.batch / (slowest + exchanges))


def scaling(costs: Costs, processes=(1, 2, 8, 32, 128, 512, 1024), **options) -> list[Plan]:
    """A Plan for each number of processes."""
    return [plan(costs, count, **options) for count in processes]


def breaks_first(plans: list[Plan], at: float = 0.5) -> tuple[str, int] | None:
    """(which loss, processes): the first that leaves less than `at`, or None where none does.

    Where several fall together, the one that leaves least.
    """
    for each in sorted(plans, key=lambda each: each.processes):
        if getattr(each, each.worst) < at:
            return each.worst, each.processes
    return None
