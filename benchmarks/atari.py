"""Atari's wrappers: steps a second of five ways to play one game, and what each layer of Gymnasium's costs.

    python benchmarks/atari.py                      a table, and benchmarks/ATARI.md and atari.json

A step is four frames, the maximum of the last two, grey, 84 x 84, a stack of four; random actions, resets
included. All ways take turns in slices, so that a busy moment falls on all of them; the best slice of each
counts. On two cores each way uses what it has for that: processes or its own threads. Needs ale-py,
opencv-python-headless and stable-baselines3; EnvPool is measured where it is installed.
"""

import argparse
import contextlib
import json
import os
import platform
import time
from pathlib import Path

import ale_py
import cv2
import gymnasium
import numpy as np
from gymnasium.wrappers import AtariPreprocessing, FrameStackObservation
from stable_baselines3.common.atari_wrappers import AtariWrapper
from stable_baselines3.common.vec_env import DummyVecEnv, SubprocVecEnv, VecFrameStack

from puffer_min.vector import make_vec
from puffer_min.wrappers.atari import Atari
from puffer_min.wrappers.pixels import push

try:
    import envpool
except ImportError:
    envpool = None

HERE = Path(__file__).resolve().parent
GAMES = {"breakout": "Breakout", "pong": "Pong", "ms_pacman": "MsPacman"}
NUM_ENVS = 8


def bare(game):
    """A game of ale-py without any wrapper, a frame at a time."""
    return gymnasium.make(f"ALE/{GAMES[game]}-v5", frameskip=1, repeat_action_probability=0.0)


def gymnasium_stack(game):
    """Gymnasium's whole chain."""
    return FrameStackObservation(AtariPreprocessing(bare(game)), 4)


@contextlib.contextmanager
def ways(game, cores):
    """name -> a function that steps NUM_ENVS environments once with random actions, on `cores` cores."""
    parallel = {"num_workers": cores, "backend": "process"} if cores > 1 else {}
    gymnasiums = gymnasium.vector.AsyncVectorEnv if cores > 1 else gymnasium.vector.SyncVectorEnv
    sb3s = SubprocVecEnv if cores > 1 else DummyVecEnv
    with contextlib.ExitStack() as stack:
        ours = stack.enter_context(make_vec(Atari, NUM_ENVS, game=game, frame_stack=4, **parallel))
        ours.reset(0)
        made = {"Gymnasium": gymnasiums([lambda: gymnasium_stack(game)] * NUM_ENVS),
                "Stable-Baselines3": VecFrameStack(sb3s([lambda: AtariWrapper(bare(game))] * NUM_ENVS), 4),
                "ale_py.AtariVectorEnv": ale_py.AtariVectorEnv(game, NUM_ENVS, num_threads=cores)}
        if envpool is not None:
            made["EnvPool"] = envpool.make_gymnasium(f"{GAMES[game]}-v5", num_envs=NUM_ENVS,
                                                     num_threads=cores)
        for env in made.values():
            stack.callback(env.close)
            env.reset()
        random, choices = np.random.default_rng(0), int(ours.single_action_space.n)

        def stepping(step):
            return lambda: step(random.integers(0, choices, NUM_ENVS).astype(np.int32))
        yield {name: stepping(env.step) for name, env in (made | {"ours": ours}).items()}


def rates(calls, rounds, seconds):
    """Environment steps a second of each way, the best of its slices."""
    best = dict.fromkeys(calls, 0.0)
    for _ in range(rounds):
        for name, call in calls.items():
            count, began = 0, time.perf_counter()
            while (elapsed := time.perf_counter() - began) < seconds:
                call()
                count += 1
            best[name] = max(best[name], count * NUM_ENVS / elapsed)
    return best


# ---------------------------------------------------------------------- layer by layer

def layers(game, steps=300):
    """name -> microseconds that a layer takes of a step: the median of each alone, on a random game."""
    ale_py.ALEInterface.setLoggerMode(ale_py.LoggerMode.Error)
    env, random = Atari(game), np.random.default_rng(0)
    env.reset(0)
    ale, spent = env.ale, []
    grey, other = np.empty((210, 160), np.uint8), np.zeros((210, 160), np.uint8)
    colour, small = np.empty((210, 160, 3), np.uint8), np.zeros((84, 84), np.uint8)
    stack = [small.copy() for _ in range(4)]
    stacks, row = np.zeros((1, 4 * 84 * 84), np.uint8), np.zeros(1, np.uint8)
    parts = {
        "the emulator, four frames": (lambda: ale.act(env.choices[random.integers(len(env.choices))]), 4),
        "colour screens that nobody looks at": (lambda: ale.getScreenRGB(colour), 4),
        "grey, two screens": (lambda: ale.getScreenGrayscale(grey), 2),
        "maximum of two": (lambda: np.maximum(grey, other, out=other), 1),
        "resize, cv2.INTER_AREA": (lambda: cv2.resize(grey, (84, 84), interpolation=cv2.INTER_AREA), 1),
        "stack, four frames copied": (lambda: np.stack(stack), 1),
        "ours: stack moved in place": (lambda: push(stacks, small.reshape(1, -1), row, row), 1),
    }
    found = {name: [] for name in parts}
    for _ in range(steps):
        for name, (call, times) in parts.items():
            began = time.perf_counter()
            call()
            found[name].append(times * (time.perf_counter() - began))
        if ale.game_over():
            env.reset()

    def timed(call):
        def measured(*arguments):
            began = time.perf_counter()
            call(*arguments)
            spent.append(time.perf_counter() - began)
        return measured
    env._look, env._show, name = timed(env._look), timed(env._show), "ours: grey, maximum, resize"
    found[name] = []
    for _ in range(steps):
        spent.clear()
        env.step(random.integers(0, len(env.choices), 1).astype(np.int32))
        found[name].append(sum(spent))
    return {name: 1e6 * float(np.median(taken)) for name, taken in found.items()}


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--games", nargs="+", default=list(GAMES), choices=list(GAMES))
    parser.add_argument("--rounds", type=int, default=5, help="slices of each way (5)")
    parser.add_argument("--seconds", type=float, default=0.5, help="of a slice (0.5)")
    args = parser.parse_args()
    gymnasium.register_envs(ale_py)
    cv2.setNumThreads(1)
    result = {"machine": f"{platform.machine()}, {os.cpu_count()} cores", "python": platform.python_version(),
              "ale_py": ale_py.__version__, "gymnasium": gymnasium.__version__, "num_envs": NUM_ENVS,
              "envpool": None if envpool is None else envpool.__version__, "rates": {}, "layers": {}}
    for game in args.games:
        result["layers"][game] = layers(game)
        for cores in (1, 2):
            with ways(game, cores) as calls:
                result["rates"][f"{game}, {cores}"] = rates(calls, args.rounds, args.seconds)
    (HERE / "atari.json").write_text(json.dumps(result, indent=1) + "\n")
    text = report(result)
    (HERE / "ATARI.md").write_text(text)
    print(text)


def report(result):
    """The figures as Markdown."""
    lines = ["# Atari's wrappers", "",
             f"`python benchmarks/atari.py`: steps a second of {result['num_envs']} environments, steps of "
             "four frames, random actions, resets included; best slice of each way, all in one run. "
             f"{result['machine']}, Python {result['python']}, ale-py {result['ale_py']}, gymnasium "
             f"{result['gymnasium']}. Read the figures as ratios.", ""]
    names = list(next(iter(result["rates"].values())))
    lines += ["| game, cores | " + " | ".join(names) + " | ours / Gymnasium | ours / AtariVectorEnv |",
              "|:--|" + "--:|" * (len(names) + 2)]
    for what, found in result["rates"].items():
        ours = found["ours"]
        lines.append(f"| {what} | " + " | ".join(f"{found[name]:,.0f}" for name in names) +
                     f" | {ours / found['Gymnasium']:.2f} | {ours / found['ale_py.AtariVectorEnv']:.2f} |")
    if result["envpool"] is None:
        lines += ["", "EnvPool is missing: `pip install envpool` adds its column."]
    games = list(result["layers"])
    lines += ["", "Microseconds of a step, layer by layer, each alone (median):", "",
              "| layer | " + " | ".join(games) + " |", "|:--|" + "--:|" * len(games)]
    for name in result["layers"][games[0]]:
        spent = " | ".join(f"{result['layers'][game][name]:.1f}" for game in games)
        lines.append(f"| {name} | {spent} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
