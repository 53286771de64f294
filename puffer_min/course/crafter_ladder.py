"""The `crafter` package made faster from the inside, rung by rung, every picture equal to the last pixel.

    slow.make("ground", seed=0)                 # one rung: an environment with the package's reset and step
    print(slow.listing("ground"))               # its source
    slow.require_equal("ground")                # plays it beside "in order"
    ladder.measure("ground", slow.step_speed("ground"))
    ladder.measure("world", slow.reset_speed("world"))

All rungs but the first keep the objects of a chunk in the order of their arrival. The package keeps them in a
set, whose order is that of memory addresses, so there the same seed and actions need not give the same game
twice.
"""

from __future__ import annotations

import functools
import inspect
import json
import os
import platform
import subprocess
import sys
import time

import numpy as np

from envs.core import compile_settings
from puffer_min.course import crafter_rungs as rungs
from puffer_min.course.crafter_cython import DRAWING, WORLD
from puffer_min.course.survey_rows import Crafter
from puffer_min.measure import Conditions, Measurement, draw_actions
from puffer_min.vector import make_vec

RUNGS = {
    "package": (rungs.Env,),
    "in order": (rungs.InOrder, rungs.OrderedWorld, rungs.Ordered),
    "inventory": (rungs.RememberedItems, rungs.Inventory),
    "ground": (rungs.GatheredGround, rungs.Ground),
    "tiles": (rungs.RememberedTiles, rungs.Tiles),
    "light": (rungs.LitTiles, rungs.Light),
    "compiled": (rungs.CompiledView, rungs.Compiled),
    "near": (rungs.NearPlayer, rungs.NearWorld, rungs.GatheredMap, rungs.Near),
    "world": (rungs.MadeWorld,),
    "native": (rungs.Native,),
}
"""The classes that are new on each rung; the last of them is the environment."""

CYTHON = {"compiled": DRAWING, "world": WORLD}
"""What two of the rungs compile, as text."""


def make(name: str, seed: int = 0, length: int = 10000):
    """An environment of that rung: `reset()` gives a picture, `step(action)` picture, reward, done and info.

    Raises ValueError for a name that is no rung.
    """
    return _classes(name)[-1](seed=seed, length=length)


def listing(name: str) -> str:
    """The source of what is new on a rung, what it compiles included."""
    parts = [inspect.getsource(part) for part in _classes(name)] + [CYTHON.get(name, "")]
    return "\n\n\n".join(part.strip() for part in parts if part) + "\n"


def begin(env):
    """The first picture of the first episode, again."""
    if isinstance(env, rungs.Native):
        return env.env.reset(seed=env.seed)[0][0]
    env._episode = 0
    return env.reset()


# ---------------------------------------------------------------------- equal

def difference(name: str, seed: int = 0, steps: int = 300, actions=None, beside: str = "in order") -> str:
    """Where a rung first differs from another one, in one sentence; "" if it does not in that many steps.

    Compared are the picture, the reward, the end, the state of the random stream, and but for the native rung
    all of `info`. actions: whole numbers, else random ones.
    """
    if actions is None:
        actions = random_actions(steps, seed)
    one, other = make(name, seed), make(beside, seed)
    if not np.array_equal(one.reset(), other.reset()):
        return f"{name}, seed {seed}: the first picture differs"
    for step, action in enumerate(actions, 1):
        *a, info = one.step(int(action))
        *b, expected = other.step(int(action))
        found = [what for what, x, y in zip(("picture", "reward", "end"), a, b, strict=True)
                 if not np.array_equal(np.float32(x), np.float32(y))]       # the native reward is single
        if a[2] and b[2]:                               # the native game has begun the next episode by now
            pictures = [env.reset() for env in (one, other) if not isinstance(env, rungs.Native)]
            found += ["next first picture"] * (len({picture.tobytes() for picture in pictures}) > 1)
        elif info:
            found += [key for key in expected
                      if not np.array_equal(_values(info[key]), _values(expected[key]))]
        found += ["random stream"] * (stream_of(one) != stream_of(other))
        if found:
            return f"{name}, seed {seed}: {found[0]} differs at step {step}"
    return ""


def require_equal(name: str, seeds=(0, 1), steps: int = 300) -> int:
    """Play a rung beside "in order" and return the number of equal steps; AssertionError with the first
    difference if there is one.
    """
    for seed in seeds:
        if found := difference(name, seed, steps):
            raise AssertionError(found)
    return len(seeds) * steps


def stream_of(env) -> tuple[bytes, int]:
    """The state of the random stream: 624 words, and how many of them are used."""
    if isinstance(env, rungs.Native):
        words, used = env.env.random_state(0)
    else:
        _, words, used, *_ = env._world.random.get_state()
    return np.asarray(words, np.uint32).tobytes(), int(used)


def random_actions(steps: int, seed: int = 0) -> list[int]:
    """Uniform random actions."""
    return np.random.RandomState(seed).randint(0, 17, steps).tolist()


# ---------------------------------------------------------------------- fast

def step_speed(name: str, steps: int = 300, repeats: int = 3, seed: int = 0,
               resets: bool = False) -> Measurement:
    """Steps a second of a rung: the same random game on each rung, 300 steps for a day and a night.

    Every step is clocked on its own but for those that end an episode, where the native rung resets itself.
    resets: whether the resets at those ends count as well, for what a user of the environment sees.
    """
    env, actions, rates = make(name, seed), random_actions(steps, seed), []
    for _ in range(repeats + 1):                        # the first fills caches and compiles
        begin(env)
        seconds, counted, clock = 0.0, 0, time.perf_counter
        for action in actions:
            began = clock()
            done = env.step(action)[2]
            if done and not isinstance(env, rungs.Native):
                if not resets:
                    began = clock()
                env.reset()
            if resets or not done:
                seconds, counted = seconds + clock() - began, counted + 1
        rates.append(counted / seconds)
    return _measured(name, "steps", rates[1:])


def reset_speed(name: str, repeats: int = 5, seed: int = 0) -> Measurement:
    """Resets a second of a rung: each is the next world of the same seed."""
    env, rates = make(name, seed), []
    begin(env)
    for _ in range(repeats):
        began = time.perf_counter()
        env.reset()
        rates.append(1 / (time.perf_counter() - began))
    return _measured(name, "resets", rates)


def with_and_without_numba(repeats: int = 3) -> dict[str, float]:
    """Seconds of a reset of the package, best of `repeats`, with numba and without, each in a process of its
    own: `opensimplex` compiles its noise if numba can be imported, and says nothing.
    """
    code = ("import json; from puffer_min.course.crafter_ladder import reset_speed; "
            f"print(json.dumps(1 / reset_speed('package', {repeats}).best))")
    found = {}
    for title, settings in (("with numba", {}), ("without", {"NUMBA_DISABLE_JIT": "1"})):
        done = subprocess.run([sys.executable, "-c", code], env={**os.environ, **settings}, text=True,
                              capture_output=True, check=True)
        found[title] = json.loads(done.stdout)
    return found


# ---------------------------------------------------------------------- many at once

def stalls(seconds: float = 2.0, num_envs: int = 8, workers: int = 2,
           rung: str = "package") -> dict[str, float]:
    """Steps a second of `num_envs` environments by the wall clock: one after the other, in worker processes
    that wait for each other after each step, and in worker processes that do not.
    """
    crafter, together = functools.partial(Crafter, _classes(rung)[-1]), f"{workers} processes, all together"
    processes = {"num_workers": workers, "backend": "process"}
    plans = {"serial": {}, together: processes,
             f"{workers} processes, first come": processes | {"batch_envs": num_envs // workers}}
    found = {}
    for title, plan in plans.items():
        vec = make_vec(crafter, num_envs, report_interval=0, **plan)
        try:
            actions, calls, count = draw_actions(vec), 0, 0
            vec.async_reset(seed=0)
            for _ in range(2 * workers):                # the resets, and a first step
                received = vec.recv()
                vec.send(actions[0][received.rows])
            began = time.perf_counter()
            while time.perf_counter() - began < seconds:
                received = vec.recv()
                calls, count = calls + 1, count + len(received.rewards)
                vec.send(actions[calls % len(actions)][received.rows])
            found[title] = count / (time.perf_counter() - began)
        finally:
            vec.close()
    return found


def expected_rate(step: float, reset: float, length: float, workers: int = 1, together: bool = True) -> float:
    """Steps a second of `workers` processes with a core and an environment each, by arithmetic.

    step, reset     seconds that they take; length: steps of an episode
    together        every step waits for the slowest: if one of them resets, all do nothing for so long
    """
    resetting = 1 - (1 - 1 / length) ** workers if together else 1 / length
    return workers / (step + resetting * reset)


# ---------------------------------------------------------------------- details

def _classes(name: str) -> tuple[type, ...]:
    if name not in RUNGS:
        raise ValueError(f"{name!r} given, expected one of {', '.join(RUNGS)}")
    return RUNGS[name]


def _values(value):
    """A dict of numbers as the list of them."""
    return list(value.items()) if isinstance(value, dict) else value


def _measured(name: str, unit: str, rates) -> Measurement:
    conditions = Conditions(unit, 1, 1, False, compile_settings.is_debug(), platform.python_version())
    return Measurement(name, tuple(rates), 1, conditions, sum(1 / rate for rate in rates))
