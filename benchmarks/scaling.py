"""What two processes that learn as one cost each other here; the input of puffer_min/course/scaling.py.

    torchrun --nproc-per-node 2 benchmarks/scaling.py --out two.json
    torchrun --nproc-per-node 2 benchmarks/scaling.py --env snake --seconds 20 --out two.json

Measured: seconds of playing and of learning of each update, without what the processes exchange; seconds to
average vectors of several sizes; and the squared norm of each minibatch's gradient before and after the
average, from which the noise scale follows. Each process has one thread, so two need two free cores.
"""

import argparse
import json
import time
from pathlib import Path

import torch

from puffer_min.learner.distributed import join
from puffer_min.learner.ppo import PPO
from puffer_min.learner.presets import settings_for
from puffer_min.vector import make_vec

SIZES = [2**exponent for exponent in (8, 12, 15, 18, 20, 22)]       # float32 numbers
REPEATS = 15


class Watched:
    """The world of processes, with the time in its averages and the norms of what it averaged."""

    def __init__(self, world):
        self.world, self.seconds, self.norms = world, 0.0, []

    def __getattr__(self, name):
        return getattr(self.world, name)

    def average_(self, tensor):
        before, start = float(tensor.square().sum()), time.perf_counter()
        self.world.average_(tensor)
        self.seconds += time.perf_counter() - start
        if tensor.numel() > 1000:               # the gradient, not the losses
            both = torch.tensor([before, float(tensor.square().sum())], dtype=torch.float64)
            self.norms.append(self.world.average_(both).tolist())
        return tensor


def exchange(world) -> list:
    """[bytes, seconds]: the median of averages of vectors of several sizes."""
    found = []
    for numbers in SIZES:
        tensor, seconds = torch.ones(numbers), []
        for _ in range(REPEATS):
            world.any(False)                    # both are here
            start = time.perf_counter()
            world.average_(tensor)
            seconds.append(time.perf_counter() - start)
        found.append([4 * numbers, sorted(seconds)[REPEATS // 2]])
    return found


def measure(name: str, seconds: float) -> dict:
    """The figures of one run of `seconds`."""
    torch.set_num_threads(1)
    world = Watched(join("cpu"))
    config = settings_for(name, torch_threads=1)
    env = make_vec(name, num_envs=config.num_envs, first_env=world.rank * config.num_envs, report_interval=0)
    learner = PPO(env, config, seed=0, world=world)
    collect, learn, start = [], [], time.perf_counter()
    while not any(world.any(time.perf_counter() - start > seconds)):
        begun, world.seconds = time.perf_counter(), 0.0
        learner.collect()
        played = time.perf_counter()
        learner.estimate()
        learner.update()
        learn.append(time.perf_counter() - played - world.seconds)
        collect.append(played - begun)
        learner.buffer.recycle()
        learner.steps += world.size * learner.buffer.segments * config.horizon
    took = time.perf_counter() - start
    steps = learner.buffer.segments * config.horizon
    return {"env": name, "processes": world.size, "batch": steps,
            "gradient_steps": len(world.norms) // len(collect), "size": learner.weights.numel() * 4,
            "collect": world.gather(collect[1:]), "learn": sum(learn[1:]) / len(learn[1:]),
            "norms": world.norms, "exchange": exchange(world.world),
            "steps_per_second": world.size * steps * len(collect) / took}


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--env", default="squared")
    parser.add_argument("--seconds", type=float, default=5)
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    found = measure(args.env, args.seconds)
    if join("cpu").rank == 0:
        args.out.write_text(json.dumps(found))
        print(f"{found['processes']} processes, {len(found['collect'])} updates, "
              f"{found['steps_per_second']:,.0f} steps/s together")


if __name__ == "__main__":
    main()
