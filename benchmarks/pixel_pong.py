"""Does a cheaper resize change what is learned? Pong's drill by the mean over areas and the nearest pixel.

    python benchmarks/pixel_pong.py                 the runs that puffer_min/policies/wrappers.jsonl lacks

Five seeds of each, everything else equal. A line of the file is a run: observation, seed, and the return and
the step of each update. Level 7 reads it and asks level 2's question of it. A run takes some ten seconds on a
quiet core.
"""

import argparse
import json
import tempfile
import time
from pathlib import Path

import torch

import puffer_min
from puffer_min.course.console import PixelDrill

LOG = Path(puffer_min.__file__).parent / "policies" / "wrappers.jsonl"
CONFIG = puffer_min.Config(total_steps=32_768, num_envs=32, horizon=32, minibatch_size=256, update_epochs=4,
                           learning_rate=4e-3, hidden_size=64, gamma=0.9, torch_threads=1)
ENVIRONMENT = {"size": (20, 32), "frame_stack": 2, "noops": 0, "max_frames": 400}


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--seeds", type=int, default=5, help="runs of each way (5)")
    parser.add_argument("--log", type=Path, default=LOG)
    args = parser.parse_args()
    lines = args.log.read_text().splitlines() if args.log.exists() else []
    done = {(run["observation"], run["seed"]) for run in map(json.loads, lines)}
    torch.set_num_threads(1)
    for seed in range(args.seeds):
        for observation in ("area", "nearest"):
            if (observation, seed) in done:
                continue
            began = time.perf_counter()
            with tempfile.TemporaryDirectory() as folder:
                result = puffer_min.train(PixelDrill, seed=seed, config=CONFIG, run_dir=folder,
                                          env_settings=ENVIRONMENT | {"observation": observation})
            curve = [(row["step"], row["episode_return"]) for row in result.history if row["episodes"]]
            run = {"observation": observation, "seed": seed, "steps": [step for step, _ in curve],
                   "returns": [round(value, 3) for _, value in curve]}
            with args.log.open("a") as file:
                file.write(json.dumps(run) + "\n")
            print(f"{observation}, seed {seed}: {run['returns'][-1]}, {time.perf_counter() - began:.0f} s",
                  flush=True)


if __name__ == "__main__":
    main()
