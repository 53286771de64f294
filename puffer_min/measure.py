"""`measure`: how fast something is, with the conditions under which that was found.

    measure(envs.make("snake"))             # agent-steps/s of an environment or a vectorizer
    measure(lambda: gae(*rows), per_call=rows[0].size, unit="samples")

Only the calls of `step` are clocked. Actions are drawn before (seeded, a ring of up to 64 batches); the first
reset and a warm-up are not clocked. Environments that reset themselves do so inside the clock; the resets of
a plain Gymnasium environment are clocked too, and their share of the time is reported. The best repeat is the
figure, because other programs only make a repeat slower; the median is given too.

An *agent-step* is one row of the batch advanced by one step; a *tick* is one environment advanced by one step
(ten agent-steps in a game of ten agents). Figures that were measured under different `Conditions` cannot be
compared; puffer_min/course/bench.py refuses to.
"""

from __future__ import annotations

import gc
import itertools
import platform
import statistics
import sys
import time
from dataclasses import asdict, dataclass

import gymnasium
import numpy as np

from envs.core import compile_settings
from envs.core.settings import number, whole
from puffer_min.env.actions import random_actions

RING_BYTES = 16 * 2**20         # of actions that are drawn before the clock starts, at most
MAX_REPEATED_CALLS = 10_000_000

INSPECTORS = []
"""Functions thing -> (profiled, debug): how the thing was compiled. The course adds one."""


@dataclass(frozen=True)
class Conditions:
    """What must be equal in two figures that are compared.

    unit        "agent-steps", "calls" or the caller's own word
    num_envs, num_agents    environments and rows of one call; None for a plain callable
    profiled    a profiler was on, or its hook is compiled in: the figure is no speed
    debug       the checks of the compiled code were on
    """

    unit: str
    num_envs: int | None
    num_agents: int | None
    profiled: bool
    debug: bool
    python: str

    def __str__(self):
        parts = [] if self.num_envs is None else [f"num_envs={self.num_envs}, num_agents={self.num_agents}"]
        parts += ["PROFILED"] * self.profiled + ["debug build"] * self.debug + [f"Python {self.python}"]
        return ", ".join(parts)


@dataclass(frozen=True)
class Measurement:
    """The speed of each repeat, and the conditions.

    rates       units per second, one for each repeat, in order
    per_call    units in one call: the number of agents, or the caller's `per_call`
    reset_share share of the time that went into resets; None where the environment resets itself
    """

    name: str
    rates: tuple[float, ...]
    per_call: int
    conditions: Conditions
    seconds: float
    reset_share: float | None = None

    @property
    def best(self) -> float:
        """Units per second in the best repeat: the figure to quote."""
        return max(self.rates)

    @property
    def median(self) -> float:
        """Units per second in the median repeat; far below `best` on a busy machine."""
        return statistics.median(self.rates)

    @property
    def unit(self) -> str:
        """The name of what is counted."""
        return self.conditions.unit

    @property
    def calls(self) -> float:
        """Calls per second in the best repeat."""
        return self.best / self.per_call

    @property
    def ticks(self) -> float | None:
        """Environments advanced per second in the best repeat; None for a plain callable."""
        return None if self.conditions.num_envs is None else self.calls * self.conditions.num_envs

    def __str__(self):
        resets = "" if self.reset_share is None else f", {self.reset_share:.0%} in resets"
        median = f"median {quantity(self.median)} of {len(self.rates)}"
        return (f"{self.name}: {quantity(self.best)} {self.unit}/s ({median}; "
                f"{duration(1 / self.calls)} a call{resets}; {self.conditions})")

    __repr__ = __str__

    def as_dict(self) -> dict:
        """All fields and the figures that follow from them, for JSON."""
        return asdict(self) | {"best": self.best, "median": self.median, "ticks": self.ticks}


def measure(thing, *, seconds: float = 1.0, repeats: int = 5, seed: int = 0, per_call: int = 1,
            unit: str | None = None, name: str | None = None) -> Measurement:
    """Steps per second of an environment, or calls per second of a callable without arguments.

    thing       a native environment, a PufferEnv, a vectorizer; a Gymnasium environment or vector
                environment; a Stable-Baselines3 VecEnv; or a callable
    seconds     clocked time of all repeats together; a call that takes longer is made once a repeat
    seed        of the reset and of the actions
    per_call, unit      for a callable: how many units one call does, and their name (1, "calls")

    Raises TypeError for anything else, ValueError unless seconds is finite and above 0, and repeats >= 1.
    """
    name = name or _name_of(thing)
    options = {"seconds": seconds, "repeats": repeats, "seed": seed, "per_call": per_call, "unit": unit}
    return measure_together({name: thing}, **options)[name]


def measure_together(things: dict, *, seconds: float = 1.0, repeats: int = 5, seed: int = 0,
                     per_call: int = 1, unit: str | None = None) -> dict[str, Measurement]:
    """`measure` for several things, name -> thing, whose ratio matters; `seconds` is for each of them.

    Their repeats take turns, so that other programs slow all of them down.
    """
    seconds, repeats = number("seconds", seconds, above=0), whole("repeats", repeats, 1)
    runners = {name: _runner(thing, seed, per_call) for name, thing in things.items()}
    counts = {name: _calibrate(runner, seconds / repeats) for name, runner in runners.items()}
    times = {name: [] for name in things}
    for _ in range(repeats):
        for name, runner in runners.items():
            times[name].append(runner.run(counts[name]))
    found = {}
    for name, runner in runners.items():
        conditions = Conditions(unit or runner.unit, runner.num_envs, runner.num_agents,
                                *_profiled_and_debug(things[name]), platform.python_version())
        rates = tuple(runner.per_call * counts[name] / t for t in times[name])
        share = None if runner.reset is None else runner.resetting / sum(times[name])
        found[name] = Measurement(name, rates, runner.per_call, conditions, sum(times[name]), share)
    return found


def _calibrate(runner: _Runner, seconds: float) -> int:
    """Warm the runner up; returns how many calls take about `seconds`."""
    runner.run(1)                               # touches memory, fills caches, does late imports
    count = 1
    while (elapsed := runner.run(count)) < seconds / 4 and count < MAX_REPEATED_CALLS:
        count = min(MAX_REPEATED_CALLS, max(2 * count, int(count * seconds / 4 / max(elapsed, 1e-9))))
    runner.resetting = 0.0
    return max(1, min(MAX_REPEATED_CALLS, round(count * seconds / elapsed)))


# ---------------------------------------------------------------------- what is clocked

class _Runner:
    """A callable, or the `step` of an environment with a ring of actions, in a clocked loop.

    per_call    units of a call; num_envs: None for a callable without arguments
    reset       of an environment that its caller must reset; None: it resets itself
    """

    def __init__(self, call, per_call, num_envs=None, actions=(), reset=None):
        self.call, self.per_call, self.num_envs, self.reset = call, per_call, num_envs, reset
        self.unit, self.num_agents = ("calls", None) if num_envs is None else ("agent-steps", per_call)
        self.actions, self.resetting = itertools.cycle(actions), 0.0

    def run(self, count: int) -> float:
        """The seconds of `count` calls, with garbage collection turned off."""
        collecting = gc.isenabled()
        gc.disable()
        began = time.perf_counter()
        try:
            self.loop(count)
            return time.perf_counter() - began
        finally:
            if collecting:
                gc.enable()

    def loop(self, count):
        call, clock = self.call, time.perf_counter
        if self.num_envs is None:
            for _ in itertools.repeat(None, count):
                call()
        elif self.reset is None:
            for actions in itertools.islice(self.actions, count):
                call(actions)
        else:
            for action in itertools.islice(self.actions, count):
                _, _, terminal, truncated, _ = call(action)
                if terminal or truncated:
                    before = clock()
                    self.reset()
                    self.resetting += clock() - before


def _runner(thing, seed: int, per_call: int) -> _Runner:
    if isinstance(thing, type):
        raise TypeError(f"measure: given the class {thing.__name__}, expected an object: make one first")
    if hasattr(thing, "num_agents") and hasattr(thing, "single_action_space"):              # of this package
        thing.reset(seed=seed)
        return _Runner(thing.step, thing.num_agents, thing.num_envs, draw_actions(thing, seed))
    if isinstance(thing, gymnasium.vector.VectorEnv):
        thing.reset(seed=seed)
        return _Runner(thing.step, thing.num_envs, thing.num_envs, _samples(thing, seed))
    if isinstance(thing, gymnasium.Env):
        thing.reset(seed=seed)
        return _Runner(thing.step, 1, 1, _samples(thing, seed), thing.reset)
    if hasattr(thing, "num_envs") and hasattr(thing, "step_async"):                 # of Stable-Baselines3
        thing.seed(seed)
        thing.reset()
        actions = np.reshape(_samples(thing, seed, 64 * thing.num_envs),
                             (64, thing.num_envs, *thing.action_space.shape))
        return _Runner(thing.step, thing.num_envs, thing.num_envs, actions)
    if callable(thing):
        return _Runner(thing, per_call)
    raise TypeError(f"measure: given {type(thing).__name__}, expected an environment or a callable "
                    "without arguments")


def _samples(thing, seed: int, count: int = 64) -> list:
    """Actions from the seeded action space."""
    thing.action_space.seed(seed)
    return [thing.action_space.sample() for _ in range(count)]


def draw_actions(env, seed: int = 0) -> list[np.ndarray]:
    """Up to 64 batches of random actions of an environment's dtype and shape, of RING_BYTES at most."""
    random = np.random.default_rng(seed)
    count = max(2, min(64, RING_BYTES // max(1, env.actions.nbytes)))
    return [random_actions(env.single_action_space, env.num_agents, random) for _ in range(count)]


def _name_of(thing) -> str:
    spec = getattr(thing, "spec", None)
    return getattr(spec, "id", None) or getattr(thing, "__name__", None) or type(thing).__name__


def _profiled_and_debug(thing) -> tuple[bool, bool]:
    """Whether a profiler is on or compiled in, and whether the compiled code has its checks on."""
    profiling = sys.getprofile() is not None or sys.gettrace() is not None
    found = [(profiling, compile_settings.is_debug()), *(inspector(thing) for inspector in INSPECTORS)]
    return tuple(any(flags) for flags in zip(*found, strict=True))


def quantity(value: float) -> str:
    """A number with three digits and a prefix: 1.23 M."""
    for scale, prefix in ((1e9, " G"), (1e6, " M"), (1e3, " k")):
        if abs(value) >= scale * 0.9995:
            return f"{value / scale:.3g}{prefix}" if value < scale * 999.5 else f"{value / scale:.0f}{prefix}"
    return f"{value:.3g}"


def duration(seconds: float) -> str:
    """Seconds with three digits and a unit: 4.56 µs."""
    for scale, unit in ((1, "s"), (1e-3, "ms"), (1e-6, "µs")):
        if seconds >= scale:
            return f"{seconds / scale:.3g} {unit}"
    return f"{seconds / 1e-9:.3g} ns"
