"""Which of stream 003's three repairs made breakout learn? All eight combinations, five seeds each.

    python -m puffer_min.course.ablation           adds what is missing to chapters/runs

On the stream the observation was scaled, the first observation filled and the terminal kept, and then the
game was learned: three changes, one result. Here each is undone alone and together with the others
(puffer_min/course/faults.py), with the same learner and the same budget. Chapter 8 reads the file and runs a
small part again. About ten seconds a run on one core.
"""

import json
import sys
import tempfile
from itertools import product
from pathlib import Path

import envs
import puffer_min
from puffer_min.course.faults import EmptyFirst, NeverEnds, Unscaled

LOG = Path("chapters/runs/breakout_ablation.jsonl")
FAULTS = {"scale": Unscaled, "first": EmptyFirst, "end": NeverEnds}
SETTINGS = {"total_steps": 1_500_000, "num_envs": 128, "horizon": 32, "minibatch_size": 2048,
            "update_epochs": 2, "learning_rate": 0.01, "encoder": "scaled", "gamma": 0.995,
            "gae_lambda": 0.97, "vf_coef": 0.05, "ent_coef": 0.03, "torch_threads": 1}
FRAME_SKIP = 8                      # twice the game's own: the same lesson in half the steps


def learn(broken, seed: int = 0, **settings) -> list[dict]:
    """The history of a training on breakout with the faults named in `broken`, some of FAULTS."""
    config = puffer_min.Config(**SETTINGS | settings)
    env = envs.make("breakout", config.num_envs, seed=seed, report_interval=0, frame_skip=FRAME_SKIP)
    for name in broken:
        env = FAULTS[name](env)
    with tempfile.TemporaryDirectory() as folder:
        result = puffer_min.train(env, config, seed=seed, run_dir=folder)
    if result.ended == "interrupted":
        raise KeyboardInterrupt
    return result.history


def curve(history, points: int = 30) -> list[list[float]]:
    """[steps, mean bricks a game] of `points` equal parts of a history."""
    size = len(history) // points
    parts = [history[first:first + size] for first in range(0, size * points, size)]
    means = []
    for part in parts:
        ended = [(row["episodes"], row["episode_return"]) for row in part if row["episodes"]]
        games = sum(n for n, _ in ended)
        means.append(sum(n * value for n, value in ended) / games if games else 0.0)
    return [[part[-1]["step"], round(mean, 3)] for part, mean in zip(parts, means, strict=True)]


def main(seeds: int = 5) -> None:
    done = [json.loads(line) for line in LOG.read_text().splitlines()] if LOG.exists() else []
    there = {(tuple(run["broken"]), run["seed"]) for run in done}
    for seed in range(seeds):
        for undone in product((False, True), repeat=len(FAULTS)):
            broken = [name for name, is_broken in zip(FAULTS, undone, strict=True) if is_broken]
            if (tuple(broken), seed) not in there:
                run = {"broken": broken, "seed": seed, "curve": curve(learn(broken, seed))}
                with LOG.open("a") as file:
                    file.write(json.dumps(run) + "\n")
                print(broken, seed, run["curve"][-1], flush=True)


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
