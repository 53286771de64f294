"""Crafter, the same game twice: the package and `envs/crafter.pyx`, one core and through vectorizers.

    python benchmarks/crafter_speed.py               a table
    python benchmarks/crafter_speed.py --seconds 10  longer; --json out.json writes the figures as well
    pip install crafter numba                        what it is compared with; what is missing is left out by
                                                     name

The package is measured with numba and without it, in processes of their own: it does not ask for numba,
`opensimplex` uses it where it happens to be installed, and only world generation knows the difference.
Random actions. Steps and resets by processor time of one core; a step of ours is a call in which no episode
ends. The vectorized rows are by the wall clock and hold everything.
"""

import argparse
import json
import os
import subprocess
import sys
import time
from importlib.util import find_spec

os.environ.setdefault("OMP_NUM_THREADS", "1")                  # one core, before NumPy is imported

import gymnasium
import numpy as np

import envs
from puffer_min import make_vec
from puffer_min.course.survey_rows import Crafter


def row(steps, in_steps, resets, in_resets, length):
    """Figures of one contender; `length` are the steps of an episode."""
    step, reset = in_steps / steps, in_resets / resets
    return {"step_us": step * 1e6, "reset_ms": reset * 1e3, "steps_per_second": 1 / (step + reset / length)}


def play_package(seconds):
    """The package, one environment."""
    env, random = Crafter(), np.random.RandomState(0)
    env.reset()                                                 # numba compiles
    steps = in_steps = resets = in_resets = 0
    while in_steps + in_resets < seconds or resets < 5:
        began = time.process_time()
        env.reset()
        in_resets, resets, done = in_resets + time.process_time() - began, resets + 1, False
        actions, taken = random.randint(0, 17, 10_000).tolist(), 0
        began = time.process_time()
        while not done:
            done = any(env.step(actions[taken])[2:4])
            taken += 1
        in_steps, steps = in_steps + time.process_time() - began, steps + taken
    return row(steps, in_steps, resets, in_resets, steps / resets)


def play_native(num_envs, seconds, **settings):
    """Ours, `num_envs` environments a call."""
    env = envs.make("crafter", num_envs, seed=0, report_interval=0, **settings)
    random = np.random.RandomState(0)
    actions = [random.randint(0, 17, num_envs).astype(np.int32) for _ in range(64)]
    env.reset()
    calls = in_calls = count = spent = 0
    while spent < seconds:
        began = time.process_time()
        _, _, terminals, truncations, _ = env.step(actions[count % 64])
        took = time.process_time() - began
        count, spent = count + 1, spent + took
        if not (terminals | truncations).any():
            calls, in_calls = calls + 1, in_calls + took
    began, resets = time.process_time(), max(1, 64 // num_envs)
    length = env.log()["episode_length"]
    for _ in range(resets):
        env.reset()
    return row(calls * num_envs, in_calls, resets * num_envs, time.process_time() - began, length)


def in_process(which, seconds):
    """`play_package` in a process of its own, "with" numba or "without"."""
    command = [sys.executable, __file__, "--package", which, "--seconds", str(seconds)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


def vectorized(vec, steps, seconds):
    """Environment steps a second by the wall clock."""
    random = np.random.RandomState(0)
    actions = [random.randint(0, 17, steps).astype(np.int32) for _ in range(64)]
    vec.reset(seed=0)
    vec.step(actions[0])
    count, began = 0, time.perf_counter()
    while time.perf_counter() - began < seconds:
        vec.step(actions[count % 64])
        count += 1
    rate = count * steps / (time.perf_counter() - began)
    vec.close()
    return rate


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=5, help="for each row (default 5)")
    parser.add_argument("--json", metavar="FILE", help="write the figures there as well")
    parser.add_argument("--package", choices=["with", "without"],
                        help="measure the package alone, with or without numba, and print JSON")
    options = parser.parse_args()
    if options.package:
        if options.package == "without":
            sys.modules["numba"] = None                         # whoever imports it gets an ImportError
        print(json.dumps(play_package(options.seconds)))
        return
    seconds, rows, rates = options.seconds, {}, {}
    if find_spec("crafter") is None:
        print("The package and the pixel view are left out: pip install crafter.")
    else:
        rows["package without numba"] = in_process("without", seconds)
        if find_spec("numba"):
            rows["package with numba"] = in_process("with", seconds)
        else:
            print("The package with numba is left out: pip install numba.")
        for num_envs in (1, 64):
            rows[f"ours, pixels, {num_envs} a call"] = play_native(num_envs, seconds, view="pixels")
    for num_envs in (1, 64):
        rows[f"ours, symbolic, {num_envs} a call"] = play_native(num_envs, seconds)
    print(f"{'one core':<34}{'step, us':>12}{'reset, ms':>12}{'steps/s':>14}")
    for name, found in rows.items():
        step, reset, rate = found["step_us"], found["reset_ms"], found["steps_per_second"]
        print(f"{name:<34}{step:>12.2f}{reset:>12.2f}{rate:>14,.0f}")
    if find_spec("crafter"):
        contenders = {
            "package, Gymnasium's Sync, 8": lambda: (gymnasium.vector.SyncVectorEnv([Crafter] * 8), 8),
            "package, Gymnasium's Async, 8": lambda: (gymnasium.vector.AsyncVectorEnv([Crafter] * 8), 8),
            "package, our 2 processes, 8": lambda: (make_vec(Crafter, 8, 2, "process"), 8),
            "ours, pixels, serial, 64": lambda: (make_vec("crafter", 64, view="pixels"), 64),
            "ours, pixels, 2 processes, 64":
                lambda: (make_vec("crafter", 64, 2, "process", view="pixels"), 64),
        }
        print(f"\n{'vectorized':<34}{'steps/s':>14}")
        for name, made in contenders.items():
            rates[name] = vectorized(*made(), seconds)
            print(f"{name:<34}{rates[name]:>14,.0f}", flush=True)
    if options.json:
        with open(options.json, "w") as file:
            json.dump({"one core": rows, "vectorized": rates}, file, indent=1)
    print(f"Random play; {'figures in ' + options.json if options.json else 'nothing was written'}.")


if __name__ == "__main__":
    sys.exit(main())
