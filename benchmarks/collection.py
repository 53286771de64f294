"""Three ways to collect from slow, uneven environments in Python: what they bring in steps/s and learning.

    python benchmarks/collection.py                     three kinds of environment, steps/s with a light and a
                                                        heavy learner: four minutes
    python benchmarks/collection.py --solve 3           CartPole made slow: seconds and steps to a mean return
                                                        of 195, three seeds each

    serial          in this process, one after the other
    together        two processes; every step awaits the slowest of 16 environments
    as ready        eight processes, recv gives the half of the environments that has finished first
                    (asynchronous.py)

The work of a step is a core's time, not time on the wall. Ways take turns, `--rounds` times; the best of each
counts.
"""

import argparse
import functools
import statistics
import tempfile
import time
from pathlib import Path

import gymnasium
from gymnasium.envs.classic_control.cartpole import CartPoleEnv

from puffer_min.commands.train import train

LIGHT = {"update_epochs": 4}
HEAVY = {"update_epochs": 8, "hidden_size": 256, "num_layers": 3}
COMMON = {"num_envs": 16, "horizon": 64, "minibatch_size": 256, "learning_rate": 1e-3, "gae_lambda": 0.95,
          "vf_coef": 0.05, "checkpoint_interval": 0}
KINDS = {
    "steps of 100 µs": dict(seconds=1e-4),
    "uneven: 100 µs, 1 in 50 takes 5 ms": dict(seconds=1e-4, rare=50, long_seconds=5e-3),
    "slow resets: 1 in 100 takes 20 ms": dict(seconds=1e-4, rare=100, long_seconds=2e-2),
}
WAYS = {
    "serial": {},
    "together": {"backend": "process", "num_workers": 2},
    "as ready": {"backend": "process", "num_workers": 8, "batch_envs": 8},
}


class SlowCartPole(gymnasium.Wrapper):
    """CartPole whose step takes `seconds` of a core's time, one in `rare` of them `long_seconds`."""

    def __init__(self, seconds, rare=0, long_seconds=0.0):
        super().__init__(gymnasium.wrappers.TimeLimit(CartPoleEnv(), 500))
        self.seconds, self.rare, self.long_seconds = seconds, rare, long_seconds

    def step(self, action):
        results = self.env.step(action)
        long = self.rare and self.unwrapped.np_random.random() < 1 / self.rare
        until = time.thread_time() + (self.long_seconds if long else self.seconds)
        while time.thread_time() < until:
            pass
        return results


class Enough(Exception):
    """The time of a run is over."""


def speed(kind, settings, seconds, folder) -> float:
    """Steps/s from the second update on."""
    marks = []

    def watch(update):
        marks.append((time.perf_counter(), update["step"]))
        if marks[-1][0] - marks[0][0] > seconds:
            raise Enough
    try:
        train(functools.partial(SlowCartPole, **KINDS[kind]), total_steps=10**9, dashboard=watch,
              run_dir=tempfile.mkdtemp(dir=folder), **COMMON, **settings)
    except Enough:
        pass
    return (marks[-1][1] - marks[0][1]) / (marks[-1][0] - marks[0][0])


def solve(kind, settings, seed, folder) -> tuple[float, int, bool]:
    """Seconds and steps to a mean return of 195 over the last 100 episodes, and whether it was reached within
    400,000 steps.
    """
    result = train(functools.partial(SlowCartPole, **KINDS[kind]), seed=seed, total_steps=400_000,
                   target_score=195, anneal_lr="none",
                   run_dir=tempfile.mkdtemp(dir=folder), **COMMON, **settings)
    return result.history[-1]["seconds"], result.history[-1]["step"], result.ended == "target"


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=4, help="of each run (4)")
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--solve", type=int, metavar="SEEDS", help="learn to balance instead, so many seeds")
    parser.add_argument("--threads", type=int, default=1, help="of torch (1)")
    parser.add_argument("--folder", default="runs/collection", help="for the logs of the runs")
    args = parser.parse_args()
    Path(args.folder).mkdir(parents=True, exist_ok=True)
    for kind in KINDS:
        for learner, settings in (("light", LIGHT), ("heavy", HEAVY)):
            if args.solve and learner == "heavy":
                continue
            print(f"{kind}; {learner} learner, {settings}", flush=True)
            settings = settings | {"torch_threads": args.threads}
            if args.solve:
                for way, how in WAYS.items():
                    runs = [solve(kind, settings | how, seed, args.folder) for seed in range(args.solve)]
                    seconds, steps = (statistics.median(column)
                                      for column in list(zip(*runs, strict=True))[:2])
                    print(f"  {way:9} {sum(run[2] for run in runs)} of {len(runs)}, median {seconds:.1f} s, "
                          f"{steps / 1e3:.0f} k steps", flush=True)
                continue
            best = dict.fromkeys(WAYS, 0.0)
            for _ in range(args.rounds):
                for way, how in WAYS.items():
                    best[way] = max(best[way], speed(kind, settings | how, args.seconds, args.folder))
            for way, rate in best.items():
                print(f"  {way:9} {rate / 1e3:6.2f} k steps/s, {rate / best['together']:.2f} times together",
                      flush=True)
    print(f"The logs of the runs are in {args.folder}.")


if __name__ == "__main__":
    main()
