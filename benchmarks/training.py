"""The speed of the learner, end to end: agent-steps a second, where the time goes, and its peers beside it.

    python benchmarks/training.py                        the table; two minutes
    python benchmarks/training.py squared lstm           some rows
    python benchmarks/training.py --json out.json        the same as JSON

Each row trains for --seconds and counts from the second update on: steps of all agents by wall-clock seconds,
on the whole and in the best stretch of a fifth. The peers play `CartPole-v1` at CleanRL's settings (4
environments; level 4 has more of them), with networks of 2 x 64 as our `cartpole` has; both there and here a
step is an agent's step with its share of learning. Time to solve is in solving.py.
"""

import argparse
import contextlib
import json
import time

import torch

import puffer_min
from puffer_min.commands.train import torch_settings
from puffer_min.cores import cores
from puffer_min.course import peers
from puffer_min.learner.ppo import PPO
from puffer_min.learner.presets import settings_for
from puffer_min.measure import quantity

# PufferLib's network and batch
WIDE = {"num_layers": 1, "hidden_size": 128, "horizon": 64, "minibatch_size": 32_768}
ROWS = {
    "squared": ("squared", {}),
    "squared of 1,024": ("squared", {"num_envs": 1024}),
    "snake": ("snake", {}),
    "cartpole": ("cartpole", {}),
    "PufferLib's network": ("squared", WIDE | {"num_envs": 4096}),
    "lstm": ("squared", WIDE | {"num_envs": 2048, "recurrent": True}),
}
PEERS = ("CleanRL style", "Stable-Baselines3", "puffer_min")


def speed(name, settings, seconds, threads) -> dict:
    """Train for so many seconds; sps, best (a fifth of the time), parameters, stages (shares of the time)."""
    config = settings_for(name, torch_threads=threads, total_steps=10**9, **settings)
    vec = puffer_min.make_vec(name, num_envs=config.num_envs, seed=0, report_interval=0)
    with contextlib.closing(vec), torch_settings(config):
        learner = PPO(vec, config, seed=0)
        learner.iterate()
        learner.clock.restart()
        times, steps = [time.perf_counter()], [learner.steps]
        while times[-1] - times[0] < seconds:
            learner.iterate()
            times.append(time.perf_counter())
            steps.append(learner.steps)
        learner.clock.lap("misc")
        stretch = max(1, len(times) // 5)
        best = max((steps[i + stretch] - steps[i]) / (times[i + stretch] - times[i])
                   for i in range(len(times) - stretch))
        return {"sps": (steps[-1] - steps[0]) / (times[-1] - times[0]), "best": best,
                "parameters": learner.weights.numel(), "stages": learner.clock.shares()}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("rows", nargs="*", metavar="ROW",
                        help=f"of {', '.join(map(repr, ROWS))}, peers; all of them")
    parser.add_argument("--seconds", type=float, default=10, help="for each row (10)")
    parser.add_argument("--threads", type=int, default=cores(), help="threads of torch (all cores)")
    parser.add_argument("--json", metavar="FILE")
    args = parser.parse_args()
    unknown = set(args.rows) - {*ROWS, "peers"}
    if unknown:
        parser.error(f"{', '.join(sorted(unknown))} given, expected some of {', '.join(ROWS)}, peers")
    figures = {"threads": args.threads}
    print(f"{args.threads} threads of torch, {args.seconds:g} s each; agent-steps/s, learning included")
    for row, (name, settings) in ROWS.items():
        if not args.rows or row in args.rows:
            figures[row] = found = speed(name, settings, args.seconds, args.threads)
            shares = ", ".join(f"{stage} {share:.0%}" for stage, share in found["stages"].items())
            print(f"  {row:20} {quantity(found['sps']):>8}  best stretch {quantity(found['best']):>8}  "
                  f"{found['parameters']:,} parameters; {shares}",
                  flush=True)
    if not args.rows or "peers" in args.rows:
        torch.set_num_threads(args.threads)
        print("CartPole at CleanRL's settings")
        for name in PEERS:
            found = None if name in peers.missing() else peers.run(name, seconds=args.seconds)
            print(f"  {found or peers.missing()[name]}", flush=True)
            if found:
                figures[f"peer {name}"] = {"sps": found.sps, "mean_return": found.mean_return}
                if "cartpole" in figures:
                    print(f"    our cartpole makes {figures['cartpole']['sps'] / found.sps:.0f} times as "
                          "many steps/s")
    if args.json:
        with open(args.json, "w", encoding="utf-8") as file:
            json.dump(figures, file, indent=1)
    print(f"The figures are in {args.json}." if args.json else "Nothing was written to disk.")


if __name__ == "__main__":
    main()
