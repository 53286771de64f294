"""How a row of the survey is measured: every step and every reset clocked on its own, what makes the
observation clocked in a second play, and the same environment through our vectorizer.
"""

from __future__ import annotations

import contextlib
import importlib
import os
import sys
import time
import types
from dataclasses import dataclass

import numpy as np

from puffer_min.course.survey_rows import Row
from puffer_min.measure import draw_actions
from puffer_min.vector import make_vec

WORKERS, ENVS = 2, 4            # of the vectorized play
LEAST_STEPS = 3                 # of a play, however slow
RING = 64                       # actions drawn beforehand


@dataclass(frozen=True)
class Spread:
    """How long calls took, in seconds: the median, the 95th percentile, the longest, and how many."""

    median: float
    p95: float
    longest: float
    count: int

    @classmethod
    def of(cls, seconds) -> Spread:
        """Of measured seconds, at least one."""
        middle, high = np.percentile(seconds, [50, 95])
        return cls(float(middle), float(high), float(np.max(seconds)), len(seconds))


@dataclass(frozen=True)
class Found:
    """A row as measured. rate, vectorized: (agent-)steps a second, resets included; None where not measured.

    shares      of the time of a play: "rules", "observation" (None where it cannot be told apart), "reset"
    missing     why there is no measurement, in one sentence; ""
    alone       why there is no vectorized one; ""
    """

    name: str
    frames: int
    ours: bool
    rate: float | None = None
    step: Spread | None = None
    reset: Spread | None = None
    bytes: int | None = None
    shares: dict | None = None
    vectorized: float | None = None
    missing: str = ""
    alone: str = ""


def measure_row(row: Row, seconds: float, vectorized: bool = True) -> Found:
    """One row; a failure becomes a sentence."""
    about = {"name": row.name, "frames": row.frames, "ours": row.native is not None}
    if row.make is None:
        return Found(**about, missing=row.why)
    try:
        if row.package:
            importlib.import_module(row.package)
    except ImportError:
        return Found(**about, missing=f"not installed: pip install {row.install}")
    try:
        with quietly():
            found = (play_batch if row.batch else play_single)(row.make(), row.observing, seconds)
    except Exception as error:
        return Found(**about, missing=sentence(error))
    if vectorized and (row.native or not row.batch):
        try:
            with quietly():
                found["vectorized"] = play_vectorized(row, seconds)
        except Exception as error:
            found["alone"] = sentence(error)
    return Found(**about, **found)


# ---------------------------------------------------------------------- one process

def play_single(env, observing, seconds: float) -> dict:
    """Figures of one Gymnasium environment, which is closed afterwards."""
    try:
        observation, _ = env.reset(seed=0)
        env.action_space.seed(0)
        actions = [env.action_space.sample() for _ in range(RING)]
        play(env, actions, seconds / 10)                                # caches, late imports, compilers
        starts = [clocked(env.reset) for _ in range(3)]
        steps, ends = play(env, actions, seconds)
        with observed(observing) as clock:
            shares = [] if clock is None else shares_of_steps(env, actions, seconds / 3, clock)
    finally:
        env.close()
    in_steps, in_resets = sum(steps), sum(ends)
    rules = in_steps / (in_steps + in_resets)
    seen = rules * float(np.median(shares)) if shares else None
    return {"rate": len(steps) / (in_steps + in_resets), "step": Spread.of(steps),
            "reset": Spread.of(starts + ends), "bytes": bytes_of(observation),
            "shares": {"rules": rules - (seen or 0), "observation": seen, "reset": 1 - rules}}


def play(env, actions, seconds: float) -> tuple[list[float], list[float]]:
    """Seconds of each step and of each reset at an episode's end, until `seconds` are over and at least
    LEAST_STEPS are done.
    """
    steps, resets, clock = [], [], time.perf_counter
    now = clock()
    end = now + seconds
    while now < end or len(steps) < LEAST_STEPS:
        action = actions[len(steps) % len(actions)]
        before = clock()
        _, _, terminal, truncated, _ = env.step(action)
        now = clock()
        steps.append(now - before)
        if terminal or truncated:
            env.reset()
            after = clock()
            resets.append(after - now)
            now = after
    return steps, resets


def shares_of_steps(env, actions, seconds: float, clock) -> list[float]:
    """For each step of a play, the share of its time that `clock` saw. Their middle is a figure; a ratio of
    sums is none, because a single step during which another program had the core outweighs a hundred others.
    """
    shares = []

    def step(action):
        seen, began = clock.seconds, time.perf_counter()
        results = env.step(action)
        shares.append((clock.seconds - seen) / (time.perf_counter() - began))
        return results

    play(types.SimpleNamespace(step=step, reset=env.reset), actions, seconds)
    return shares


def play_batch(env, observing, seconds: float) -> dict:
    """Figures of one batch that resets itself: a step is a call divided by its agents."""
    try:
        actions = draw_actions(env)
        observations = env.reset(seed=0)[0]
        for first in actions[:2]:                                       # JAX compiles in both
            env.step(first)
        resets = [clocked(env.reset) / env.num_envs for _ in range(3)]
        calls, end = [], time.perf_counter() + seconds
        while time.perf_counter() < end or len(calls) < LEAST_STEPS:
            calls.append(clocked(env.step, actions[len(calls) % len(actions)]))
    finally:
        env.close()
    return {"rate": len(calls) * env.num_agents / sum(calls), "bytes": bytes_of(observations[0]),
            "step": Spread.of(np.array(calls) / env.num_agents), "reset": Spread.of(resets)}


def clocked(call, *arguments) -> float:
    """Seconds of one call."""
    began = time.perf_counter()
    call(*arguments)
    return time.perf_counter() - began


# ---------------------------------------------------------------------- through our vectorizer

def play_vectorized(row: Row, seconds: float) -> float:
    """Agent-steps a second by the wall clock, through WORKERS threads if it is ours; else through as many
    processes of ENVS environments together, each process served when it is ready.
    """
    if row.native:
        name, num_envs, settings = row.native
        vec = make_vec(name, num_envs, WORKERS, "thread", **settings)
    else:
        vec = make_vec(row.make, ENVS, WORKERS, "process", batch_envs=ENVS // WORKERS, report_interval=0)
    try:
        actions = draw_actions(vec)
        vec.async_reset(seed=0)
        for _ in range(2 * WORKERS):                                    # the resets, and a first step
            received = vec.recv()
            vec.send(actions[0][received.rows])
        count, calls, began = 0, 0, time.perf_counter()
        while time.perf_counter() - began < seconds or calls < LEAST_STEPS:
            received = vec.recv()
            calls += 1
            count += len(received.rewards)
            vec.send(actions[calls % len(actions)][received.rows])
        return count / (time.perf_counter() - began)
    finally:
        vec.close()


# ---------------------------------------------------------------------- details

class Clock:
    """Sums the seconds of the functions that it wraps, of the outermost where one calls another."""

    def __init__(self):
        self.seconds, self.depth = 0.0, 0

    def around(self, function):
        """`function`, clocked."""
        def timed(*args, **kwargs):
            self.depth += 1
            began = time.perf_counter()
            try:
                return function(*args, **kwargs)
            finally:
                self.depth -= 1
                if not self.depth:
                    self.seconds += time.perf_counter() - began
        return timed


@contextlib.contextmanager
def observed(places):
    """A Clock around the functions "module:Class.method"; None if there are none, or where the installed
    version has not all of them.
    """
    clock, found = Clock(), []
    for place in places:
        module, _, path = place.partition(":")
        owner, _, name = path.partition(".")
        owner = getattr(importlib.import_module(module), owner, None)
        if name not in vars(owner or object):
            found = []
            break
        found.append((owner, name, vars(owner)[name]))
    try:
        for owner, name, function in found:
            setattr(owner, name, clock.around(function))
        yield clock if found else None
    finally:
        for owner, name, function in found:
            setattr(owner, name, function)


@contextlib.contextmanager
def quietly():
    """What C libraries print goes nowhere: Python's own streams are left alone."""
    sys.stdout.flush(), sys.stderr.flush()
    kept = [(stream, os.dup(stream)) for stream in (1, 2)]
    nowhere = os.open(os.devnull, os.O_WRONLY)
    try:
        for stream, _ in kept:
            os.dup2(nowhere, stream)
        yield
    finally:
        for stream, copy in kept:
            os.dup2(copy, stream)
            os.close(copy)
        os.close(nowhere)


def bytes_of(observation) -> int:
    """Bytes of an observation: of an array, or of all arrays of a dict or tuple; a text counts as it is."""
    if isinstance(observation, dict):
        return sum(map(bytes_of, observation.values()))
    if isinstance(observation, (tuple, list)):
        return sum(map(bytes_of, observation))
    return len(observation) if isinstance(observation, str) else np.asarray(observation).nbytes


def sentence(error: BaseException) -> str:
    """The first line of an error, with its name."""
    lines = str(error).strip().splitlines() or [""]
    return f"{type(error).__name__}: {lines[0]}"[:160].rstrip(": ")
