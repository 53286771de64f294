"""Seconds to the goal on the field's standard tasks: ours at defaults, Stable-Baselines3, CleanRL.

    python benchmarks/gymnasium_tasks.py                                    all tasks, five seeds each: hours
    python benchmarks/gymnasium_tasks.py CartPole-v1 Pendulum-v1 --seeds 3 --limit 120
    python benchmarks/gymnasium_tasks.py --json tasks.json --pictures benchmarks/pictures

    ours      puffer_min.train(lambda: gymnasium.make(NAME)), nothing else given
    sb3       Stable-Baselines3's PPO with the settings of its zoo (gymnasium_peers.py)
    cleanrl   the algorithm and the settings of CleanRL's ppo.py and ppo_continuous_action.py

A task is reached when the mean return of the last 100 training episodes (WINDOWS: of 20 where an episode has
1,000 steps) is at its goal. Every run is a process of its own, with one thread of torch for the peers:
networks this small are slower with two. Seconds count from the making of the environments, after all
imports: wall-clock, and of processors (all processes of the run), which other work on the machine changes
less. --limit ends a run after so many seconds of processors.
"""

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
import warnings
from collections import deque
from pathlib import Path

import gymnasium
import gymnasium_peers
import numpy as np
import torch

import puffer_min

GOALS = {  # of Gymnasium's registry where it has one; of Hopper's 3,800 half
    "CartPole-v1": 475,
    "LunarLander-v3": 200,
    "Pendulum-v1": -200,
    "Acrobot-v1": -100,
    "MountainCarContinuous-v0": 90,
    "MountainCar-v0": -110,
    "MiniGrid-DoorKey-8x8-v0": 0.9,
    "Hopper-v5": 1900,
    "HalfCheetah-v5": 4800,
    "BipedalWalker-v3": 300,
}

WINDOWS = {"MountainCarContinuous-v0": 20, "HalfCheetah-v5": 20}


def make(name):
    """A function that makes the task. MiniGrid's mission is a text without fixed size: the image is left."""
    if name.startswith("MiniGrid"):
        import minigrid  # noqa: F401                   registers its tasks
        from minigrid.wrappers import ImgObsWrapper

        return lambda: ImgObsWrapper(gymnasium.make(name))
    return lambda: gymnasium.make(name)


class Curve:
    """Points (wall seconds, processor seconds, steps, mean of the last 100 returns); says when to stop."""

    def __init__(self, goal, limit, window):
        self.goal, self.limit, self.window, self.points, self.reached = goal, limit, window, [], None
        self.began, self.worked = time.perf_counter(), processor_seconds()

    def add(self, steps, returns) -> bool:
        """Note the mean of the last returns, once there are enough; returns whether the run is over."""
        at = time.perf_counter() - self.began, processor_seconds() - self.worked
        if len(returns) >= self.window:
            mean = float(np.mean(list(returns)[-self.window:]))
            self.points.append([round(at[0], 2), round(at[1], 2), steps, round(mean, 3)])
            if self.reached is None and mean >= self.goal:
                self.reached = self.points[-1][:3]
        return self.reached is not None or at[1] > self.limit


def processor_seconds():
    """Of this process and of its children that still run or have ended."""
    total = sum(
        resource.getrusage(who).ru_utime + resource.getrusage(who).ru_stime
        for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    )
    tick = os.sysconf("SC_CLK_TCK")
    for task in Path("/proc/self/task").glob("*/children"):
        for child in task.read_text().split():
            fields = Path(f"/proc/{child}/stat").read_text().rpartition(")")[2].split()
            total += (int(fields[11]) + int(fields[12])) / tick
    return total


# ---------------------------------------------------------------------- ours


def ours(make, name, seed, curve):
    """`train` at defaults."""
    returns = deque(maxlen=100)

    class Stop(puffer_min.Callback):
        def update(self, run, update):
            returns.extend([update["episode_return"]] * update["episodes"])
            if curve.add(run.learner.steps, returns):
                run.stop("goal or limit")

    with tempfile.TemporaryDirectory() as folder:
        puffer_min.train(make(name), seed=seed, run_dir=folder, callbacks=[Stop()])


TRAINERS = {"ours": ours, "sb3": gymnasium_peers.sb3, "cleanrl": gymnasium_peers.cleanrl}
COLOURS = {"ours": "tab:blue", "sb3": "tab:orange", "cleanrl": "tab:green"}


# ---------------------------------------------------------------------- all runs


def one(who, name, seed, limit):
    """Run in this process; returns the record of the run."""
    warnings.filterwarnings("ignore")
    if who != "ours":
        torch.set_num_threads(1)
    curve = Curve(GOALS[name], limit, WINDOWS.get(name, 100))
    TRAINERS[who](make, name, seed, curve)
    return {
        "who": who,
        "task": name,
        "seed": seed,
        "limit": limit,
        "reached": curve.reached,
        "points": curve.points[:: max(1, len(curve.points) // 60)] + curve.points[-1:],
    }


def table(records) -> list[str]:
    """Markdown: for each task the seeds at the goal and median seconds, those of processors in brackets;
    where most are not there, medians of their last means and of when that was.
    """
    lines = ["| task, goal | ours | Stable-Baselines3, zoo | CleanRL |", "|---|--:|--:|--:|"]
    for name in dict.fromkeys(record["task"] for record in records):
        cells = []
        for who in TRAINERS:
            runs = [record for record in records if record["task"] == name and record["who"] == who]
            there = [run["reached"] for run in runs if run["reached"]]
            cell = f"{len(there)} of {len(runs)}"
            if len(there) > len(runs) / 2:
                late = [float("inf")] * (len(runs) - len(there))
                wall, work = (statistics.median([reached[i] for reached in there] + late) for i in (0, 1))
                cell += f", **{wall:.1f} s** ({work:.1f} s)" if np.isfinite(wall) else ""
            elif runs:
                last = [run["points"][-1] for run in runs if run["points"]]
                if last:
                    work, mean = (statistics.median([point[i] for point in last]) for i in (1, 3))
                    cell += f", at {mean:{'.2f' if abs(mean) < 10 else '.0f'}} after ({work:.0f} s)"
            cells.append(cell if runs else "–")
        lines.append(f"| {name}, {GOALS[name]:g} | {' | '.join(cells)} |")
    return lines


def picture(records, path):
    """Mean return over wall-clock seconds, a curve for each seed."""
    from matplotlib.figure import Figure

    names = list(dict.fromkeys(record["task"] for record in records))
    columns = min(3, len(names))
    figure = Figure(figsize=(4.2 * columns, 2.9 * -(-len(names) // columns)), layout="constrained")
    for place, name in enumerate(names):
        axes = figure.add_subplot(-(-len(names) // columns), columns, place + 1)
        for record in (record for record in records if record["task"] == name and record["points"]):
            seconds, _, _, means = zip(*record["points"], strict=True)
            first = axes.get_legend_handles_labels()[1].count(record["who"]) == 0
            axes.plot(
                seconds, means, color=COLOURS[record["who"]], lw=1, label=record["who"] if first else None
            )
        axes.axhline(GOALS[name], color="black", lw=0.6, ls=":")
        axes.set_title(name, fontsize=9)
        axes.set_xlabel("seconds")
        axes.legend(fontsize=7)
    figure.savefig(path, dpi=110)


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("tasks", nargs="*", help="names of tasks (all)")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--first", type=int, default=1, help="the first seed (1)")
    parser.add_argument("--limit", type=float, default=600, help="seconds of processors for a run (600)")
    parser.add_argument("--who", nargs="*", default=list(TRAINERS), choices=list(TRAINERS))
    parser.add_argument(
        "--json", metavar="FILE", help="add the runs to this file, and draw all that it holds"
    )
    parser.add_argument("--pictures", metavar="FOLDER")
    parser.add_argument(
        "--one", nargs=3, metavar=("WHO", "TASK", "SEED"), help="one run in this process, as JSON"
    )
    args = parser.parse_args()
    if args.one:
        who, name, seed = args.one
        print(json.dumps(one(who, name, int(seed), args.limit)))
        return
    records = json.loads(Path(args.json).read_text()) if args.json and Path(args.json).exists() else []
    for name in args.tasks or GOALS:
        for seed in range(args.first, args.first + args.seeds):
            for who in args.who:  # in turns, so that a busy minute falls on all of them
                command = [
                    sys.executable,
                    __file__,
                    "--one",
                    who,
                    name,
                    str(seed),
                    "--limit",
                    str(args.limit),
                ]
                found = subprocess.run(command, capture_output=True, text=True)
                if found.returncode:
                    sys.exit(found.stderr)
                records.append(json.loads(found.stdout.splitlines()[-1]))
                print(
                    f"{name}, {who}, seed {seed}: {records[-1]['reached'] or records[-1]['points'][-1:]}",
                    flush=True,
                )
                if args.json:
                    Path(args.json).write_text(json.dumps(records) + "\n")
    print("\n".join(table(records)))
    if args.pictures and records:
        picture(records, Path(args.pictures) / "gymnasium_tasks.png")


if __name__ == "__main__":
    main()
