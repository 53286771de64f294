"""Time to solve: every game with a goal, many seeds, the settings of `python -m puffer_min train GAME`.

    python benchmarks/solving.py                            all games, ten seeds each: half an hour
    python benchmarks/solving.py pong breakout --seeds 3    some of them
    python benchmarks/solving.py --side-by-side             two seeds at a time, each with one thread of torch
    python benchmarks/solving.py --json out.json --pictures folder

Solved means that the mean over the last 100 episodes or more has reached the goal (and that as many episodes
have ended as there are agents). connect4 is trained on other games than are played (its training_settings),
so there the mean is that of EVALUATED games of the real kind, played by the policy as it is once a second,
and of four times as many where these have reached the goal. Seconds are wall clock, from the first step to
the update that reached the goal, without imports; a seed that is not there when the limit is over counts as
unsolved, and stands above all others in the median. With --pictures: a curve of all seeds, and a strip of
frames that the policy of the first seed plays, for each game.
"""

import argparse
import contextlib
import json
import math
import multiprocessing
import os
import statistics
import time
from collections import deque
from pathlib import Path
from typing import NamedTuple

from matplotlib.figure import Figure

import envs
import puffer_min
from puffer_min.commands.evaluate import evaluate
from puffer_min.commands.train import torch_settings
from puffer_min.cores import cores
from puffer_min.learner.actor import Actor
from puffer_min.learner.checkpoint import describe_policy, save_checkpoint
from puffer_min.learner.ppo import PPO
from puffer_min.learner.presets import settings_for


class Goal(NamedTuple):
    """A mean of `metric` to reach within so many seconds. None: no goal, the score at the end of the limit is
    what is told.
    """

    goal: float | None
    seconds: float
    metric: str = "score"
    says: str = ""


GOALS = {
    "cartpole": Goal(475, 3, says="steps upright"),
    "squared": Goal(0.9, 30, says="share of targets reached"),
    "memory": Goal(0.95, 20, says="share of symbols repeated"),
    "pong": Goal(20, 60, says="points more than the rival, of 21"),
    "breakout": Goal(800, 180, says="points of 864"),
    "grid": Goal(0.95, 60, says="share of DoorKey-8x8 solved"),
    "connect4": Goal(0.95, 180, says="points a game against a search of depth 4 (won 1, drawn 1/2)"),
    "triple_triad": Goal(0.8, 120, metric="wins", says="share of games won against the greedy opponent"),
    "snake": Goal(None, 60, says="length at death"),
    "drive": Goal(None, 60, says="share that reach their goal"),
}
WINDOW = 100
EVALUATED = 500
STRIDES = {"cartpole": 30, "squared": 1, "memory": 1, "pong": 12, "breakout": 60, "grid": 6, "connect4": 2,
           "triple_triad": 2, "snake": 25,
           "drive": 8}                                          # steps from one frame of a strip to the next


def solve(name: str, seed: int, threads: int, policy_to: str | None = None) -> dict:
    """Train until the goal or the limit; name, seed, seconds, steps, solved, reached (the last mean), curve:
    [[seconds, mean], ...].
    """
    goal, training = GOALS[name], envs.load(name).training_settings
    config = settings_for(name, torch_threads=threads)
    curve, solved = [], False
    vec = puffer_min.make_vec(name, num_envs=config.num_envs, seed=seed, report_interval=0, **training)
    with contextlib.closing(vec), torch_settings(config):
        learner, start = PPO(vec, config, seed=seed), time.perf_counter()
        judge = Played(name, learner) if training else Recent(goal.metric, max(WINDOW, vec.num_agents))
        while (not solved and time.perf_counter() - start < goal.seconds
               and learner.steps < config.total_steps):
            mean = judge.mean(learner.iterate(), goal.goal)
            seconds = time.perf_counter() - start
            if mean is not None:
                curve.append((round(seconds, 2), round(mean, 4)))
                solved = goal.goal is not None and mean >= goal.goal
        if policy_to:
            save_checkpoint(policy_to, describe_policy(learner.policy, vec, name, {}, config, seed))
    return {"name": name, "seed": seed, "seconds": seconds, "steps": learner.steps, "solved": solved,
            "reached": curve[-1][1] if curve else None, "curve": curve}


class Recent:
    """Judges by the last WINDOW training episodes or more, once `enough` have ended: before, those may all
    have been the lucky ones.
    """

    def __init__(self, metric, enough):
        self.metric, self.enough, self.recent, self.episodes = metric, enough, deque(), 0

    def mean(self, report, goal):
        if report["episodes"]:
            self.episodes += report["episodes"]
            self.recent.append((report["episodes"], report[self.metric]))
            while sum(n for n, _ in self.recent) - self.recent[0][0] >= WINDOW:
                self.recent.popleft()
        if self.episodes < self.enough:
            return None
        return sum(n * value for n, value in self.recent) / sum(n for n, _ in self.recent)


class Played:
    """Judges by games of the real kind, once a second."""

    def __init__(self, name, learner):
        self.name, self.learner, self.next = name, learner, time.perf_counter() + 1

    def mean(self, report, goal):
        if time.perf_counter() < self.next:
            return None
        mean = self.play(EVALUATED, 0)
        # the best of many looks may be luck: look again, at more
        if mean >= goal:
            mean = self.play(4 * EVALUATED, 1)
        self.next = time.perf_counter() + 1
        return mean

    def play(self, games, seed):
        policy = Actor(self.learner.policy, seed=2 * self.learner.updates + seed)
        return evaluate(self.name, policy, episodes=games, seed=policy.seed)["score"]


def median_seconds(runs) -> float:
    """Median of the seconds, unsolved seeds above all others; infinite where half are unsolved."""
    return statistics.median_high(run["seconds"] if run["solved"] else math.inf for run in runs)


def row(name, runs) -> str:
    """A line of the table."""
    goal = GOALS[name]
    speed = statistics.median(run["steps"] / run["seconds"] for run in runs)
    reached = sorted(run["reached"] or 0.0 for run in runs)
    head = f"{name:13} {speed / 1e6:5.2f} M/s "
    if goal.goal is None:
        return (head + f"{goal.says}: median {statistics.median(reached):.3g} after {goal.seconds:g} s, "
                       f"{reached[0]:.3g} to {reached[-1]:.3g}")
    slowest = max((run["seconds"] for run in runs if run["solved"]), default=math.nan)
    return (head + f"{sum(run['solved'] for run in runs):3} of {len(runs)} at {goal.goal:g} {goal.says}: "
                   f"median {median_seconds(runs):.1f} s, slowest "
            f"{slowest:.1f} s, limit {goal.seconds:g} s; median of what was reached "
            f"{statistics.median(reached):.3g}, least {reached[0]:.3g}")


def draw(name, runs, folder, policy) -> Path:
    """folder/NAME.png: the curve of every seed, and under it frames that the policy of the first seed plays,
    left to right.
    """
    goal = GOALS[name]
    frames = strip(name, puffer_min.load_policy(policy))
    figure = Figure(figsize=(9, 5.4), dpi=100, layout="constrained")
    grid = figure.add_gridspec(2, len(frames), height_ratios=(3, 2))
    axes = figure.add_subplot(grid[0, :])
    for run in runs:
        axes.plot(*zip(*run["curve"], strict=True), color="C0", alpha=0.5, linewidth=1)
    if goal.goal is not None:
        axes.axhline(goal.goal, color="0.5", linestyle="--", linewidth=1)
    axes.set(title=f"{name}, {len(runs)} seeds: {goal.says}", xlabel="seconds of training",
             ylabel=f"{goal.metric}, "
             + (f"{EVALUATED} games played apart" if envs.load(name).training_settings
                else f"last {WINDOW} episodes"))
    axes.spines[["top", "right"]].set_visible(False)
    for i, frame in enumerate(frames):
        small = figure.add_subplot(grid[1, i])
        small.imshow(frame)
        small.set_axis_off()
    path = Path(folder) / f"{name}.png"
    figure.savefig(path)
    return path


def strip(name, policy, count=6, seed=5):
    """`count` frames of one environment with the policy in it, STRIDES[name] steps apart."""
    env = envs.make(name, num_envs=1, seed=seed)
    observations, _ = env.reset(seed)
    frames, every = [], STRIDES[name]
    for step in range(count * every):
        if step % every == 0:
            frames.append(env.render())
        observations, _, terminals, truncations, _ = env.step(policy.act(observations))
        policy.observe_ends(terminals | truncations)
    env.close()
    return frames


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("games", nargs="*", choices=[*GOALS, []], metavar="GAME",
                        help=f"of {', '.join(GOALS)}; all of them")
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--side-by-side", action="store_true",
                        help="two seeds at a time, each with one thread")
    parser.add_argument("--json", metavar="FILE")
    parser.add_argument("--pictures", metavar="FOLDER", help="curves, strips and the first seed's policy")
    args = parser.parse_args()
    if args.pictures:
        Path(args.pictures).mkdir(parents=True, exist_ok=True)
    games, figures = args.games or list(GOALS), {}
    processes, threads = (2, 1) if args.side_by_side else (1, cores())
    if args.side_by_side:
        os.environ["OMP_NUM_THREADS"] = "1"
    print(f"{args.seeds} seeds, {processes} at a time, {threads} thread{'s' * (threads > 1)} of torch each")
    with multiprocessing.get_context("spawn").Pool(processes, maxtasksperchild=8) as pool:
        for name in games:
            seeds = range(args.first_seed, args.first_seed + args.seeds)
            policy = str(Path(args.pictures) / f"{name}.pt") if args.pictures else None
            figures[name] = pool.starmap(solve,
                                         [(name, seed, threads, policy if seed == seeds[0] else None)
                                          for seed in seeds], chunksize=1)
            print(row(name, figures[name]), flush=True)
            if policy:
                print(f"  {draw(name, figures[name], args.pictures, policy)}")
    if args.json:
        Path(args.json).write_text(json.dumps(figures) + "\n", encoding="utf-8")
    print(f"The figures are in {args.json}." if args.json else "Nothing was written to disk.")


if __name__ == "__main__":
    main()
