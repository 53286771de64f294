"""moba: agent-steps a second for 5 and 10 agents, 1 to 128 games a call, and where the time of a tick goes.

    python benchmarks/moba.py                    the tables
    python benchmarks/moba.py --json out.json    the same as JSON

One core. The games are first played for a while by ten scripted heroes, a different while each, so that they
are in all stages. Speeds are of whole steps with everything on, random actions, best of repeats that take
turns. Parts of a tick are run over frozen copies of the same games (moba_stages.pyx) and so see the same
cache misses; `touch` is the bound that memory traffic sets.
"""

import argparse
import json
import os
import sys
import time
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np

import envs
from envs.core.battlefield import battlefield
from puffer_min.course import build
from puffer_min.measure import measure_together, quantity

GAMES = (1, 2, 4, 8, 16, 32, 64, 128)
MODES = {"5 agents against scripted": {"agents": 5}, "10 agents": {"agents": 10},
         "10 scripted heroes": {"agents": 10, "autopilot": True}}


class Played:
    """An environment that begins, at every reset, with games in all stages."""

    def __init__(self, make, num_games, **settings):
        self.env = make(num_games, seed=1, max_ticks=20_000, report_interval=0, **settings)
        pilot = make(num_games, seed=1, max_ticks=20_000, report_interval=0, **settings | {"autopilot": True})
        pilot.reset()
        states = []
        for tick in range(1, 3001):
            pilot.step(pilot.actions)
            if tick % 200 == 0:
                states.append(pilot.get_state())
        self.state, size = states[-1], len(states[-1]["blocks"][-1]) // num_games
        # game i as it was after 200 x (1 + i % 15) ticks
        for i in range(num_games):
            game = slice(i * size, (i + 1) * size)
            self.state["blocks"][-1][game] = states[i % len(states)]["blocks"][-1][game]
        pilot.close()

    def __getattr__(self, name):
        return getattr(self.env, name)

    def reset(self, seed=None):
        self.env.reset(seed=seed)
        self.env.set_state(self.state)

    def step(self, actions):
        return self.env.step(actions)


def best_time(call, seconds):
    """Seconds of a call, the best of as many as fit into `seconds`."""
    times, until = [], time.perf_counter() + seconds
    while time.perf_counter() < until or len(times) < 3:
        began = time.perf_counter()
        call()
        times.append(time.perf_counter() - began)
    return min(times)


def stages(num_games, agents, autopilot, seconds):
    """Nanoseconds a game and tick: of a whole step and of its parts."""
    kernel = build(Path(__file__).with_name("moba_stages.pyx"))
    env = Played(lambda n, **settings: envs.make("moba", n,
                                                 **settings), num_games, agents=agents, autopilot=autopilot)
    made, random = battlefield(), np.random.default_rng(0)
    env.reset()
    games, rows = (env.get_state()["blocks"][-1][:num_games * kernel.size_of_game()].copy(),
                   env.observations.copy())
    numbers = np.array(kernel.lines(games, num_games, agents), np.int64)
    actions = (random.random(env.actions.shape) * [7, 7, 3, 2, 2, 2]).astype(np.int32)
    # a call on one game is too short for the clock
    count = max(1, 128 // num_games)

    def repeated(function, *arguments):
        def call():
            for _ in range(count):
                function(*arguments)
        return best_time(call, seconds) / count / num_games * 1e9

    def see(**parts):
        wanted = (parts.get(part, False) for part in ("window", "records", "scalars"))
        return repeated(kernel.observe, games, num_games, rows, made.flow, made.distance, agents, *wanted)

    empty = see()
    found = {"step": repeated(env.step, actions), "touch": repeated(kernel.touch, games, numbers, rows),
             "scan": repeated(kernel.scan, games, num_games, autopilot), "window": see(window=True) - empty,
             "records": see(records=True) - empty, "scalars": see(scalars=True) - empty}
    # they change the games: a fresh copy for every few ticks
    for name in ("move", "think"):
        copy, times = games.copy(), []
        for _ in range(max(3, int(seconds / 0.002))):
            copy[:] = games
            began = time.perf_counter()
            for _ in range(4):
                getattr(kernel, name)(copy, num_games, made.flow, made.distance)
            times.append((time.perf_counter() - began) / 4)
        found[name] = min(times) / num_games * 1e9
    looks, _ = kernel.scan(games, num_games, autopilot)
    steps = kernel.move(games.copy(), num_games, made.flow, made.distance)
    return found | {"lines": len(numbers) / num_games, "looks": looks / num_games,
                    "creeps": steps / num_games}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", metavar="FILE", help="write the figures there as well")
    parser.add_argument("--seconds", type=float, default=0.5,
                        help="clocked time for each figure (default 0.5)")
    arguments = parser.parse_args()
    report = {"speeds": {}, "stages": {}}
    things = {(mode, n): Played(lambda n, **s: envs.make("moba", n, **s), n, **settings)
              for mode, settings in MODES.items() for n in GAMES}
    found = measure_together(things, seconds=arguments.seconds)
    print("agent-steps/s by games a call" + "".join(f"{n:>9}" for n in GAMES))
    for mode in MODES:
        report["speeds"][mode] = {n: found[mode, n].best for n in GAMES}
        print(f"{mode:<29}" + "".join(f"{quantity(found[mode, n].best):>9}" for n in GAMES), flush=True)
    print("\nns a game and tick" + " " * 16 + "".join(f"{name:>9}" for name in PARTS))
    for n in (1, 8, 128):
        for agents, autopilot in ((10, False), (10, True)):
            name = f"{n} games, 10 {'scripted' if autopilot else 'agents'}"
            report["stages"][name] = parts = stages(n, agents, autopilot, arguments.seconds / 4)
            print(f"{name:<34}" + "".join(f"{parts[part]:>9.0f}" for part in PARTS), flush=True)
    print("think holds scan and most of move; the rest of a step is the heroes' moves, rewards, the base and "
          "Python.")
    if arguments.json:
        Path(arguments.json).write_text(json.dumps(report, indent=1))
    print("Best of repeats on one core; "
          f"{'figures in ' + arguments.json if arguments.json else 'nothing was written'}.")


PARTS = ("step", "touch", "think", "scan", "move", "window", "records", "scalars", "lines", "looks", "creeps")

if __name__ == "__main__":
    sys.exit(main())
