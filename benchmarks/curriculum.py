"""Curricula over mazes: does the choice of the next level help on mazes that nobody trained on?

    python benchmarks/curriculum.py --out chapters/runs/curriculum.jsonl    ten seeds: ten minutes
    python benchmarks/curriculum.py --seeds 0 1 2 --arms uniform oracle         some of them
    python benchmarks/curriculum.py --read chapters/runs/curriculum.jsonl       the table of a log

Every arm learns from the same NUM_LEVELS mazes for the same STEPS, and differs from its neighbour in the
table by one thing. After each tenth of the steps the policy plays HELD_OUT mazes of seeds that no arm trains
on. A line of the log is one run: arm, seed, curve [[steps, solved, return, regret], ...], `levels` (how many
equally frequent levels would be as varied as those played: the exponential of the entropy) and `shortest`
(the mean shortest path of the levels as often as they were played; `all` is that of the range).

The intervals are those of `puffer_min.course.statistics`: interquartile mean over seeds, bootstrap.
"""

import argparse
import json
from pathlib import Path

import numpy as np
import torch

import envs
from puffer_min.commands.evaluate import evaluate
from puffer_min.course.statistics import interval, iqm, probability_of_improvement
from puffer_min.learner.actor import Actor
from puffer_min.learner.presets import settings_for
from puffer_min.selfplay.curriculum import BestReturns, LevelLearner, Levels, PrioritisedReplay, Uniform

GAME = {"task": "maze", "size": 15, "max_steps": 225}
NUM_LEVELS, STEPS, HELD_OUT, LOOKS = 300, 1_000_000, 512, 10
ARMS = {                                        # score, temperature; None: no replay
    "uniform": ("value_loss", None),
    "plr, sharp": ("value_loss", 0.1),          # the paper's temperature
    "plr, soft": ("value_loss", 1.0),
    "oracle": ("regret", 1.0),
}
STALENESS = 0.3                                 # the paper's, for mazes


def run(arm: str, seed: int, best: BestReturns, steps: int = STEPS) -> dict:
    """Train one arm with one seed; the line of the log."""
    score, temperature = ARMS[arm]
    levels = (Uniform(NUM_LEVELS, seed=seed) if temperature is None else
              PrioritisedReplay(NUM_LEVELS, seed=seed, temperature=temperature, staleness=STALENESS))
    config = settings_for("grid", total_steps=steps, horizon=64, torch_threads=1)
    env = Levels(envs.make("grid", config.num_envs, seed=seed, report_interval=0, **GAME), levels)
    learner = LevelLearner(env, config, seed=seed, score=score, best=best)
    curve = [held_out(learner)]
    while learner.steps < steps:
        learner.iterate()
        if learner.steps * LOOKS >= steps * len(curve):
            curve.append(held_out(learner))
    share = levels.episodes[levels.episodes > 0] / levels.episodes.sum()
    lengths = np.array([shortest(best[level]) for level in range(NUM_LEVELS)])
    return {"arm": arm, "seed": seed, "curve": curve,
            "levels": round(float(np.exp(-(share * np.log(share)).sum())), 1),
            "shortest": round(float(lengths @ levels.episodes / levels.episodes.sum()), 2),
            "all": round(float(lengths.mean()), 2)}


def shortest(best_return: float) -> float:
    """The steps of the shortest path that pays `best_return`."""
    return (1 - best_return) * GAME["max_steps"] / 0.9


def held_out(learner) -> list:
    """[steps, share solved, return, regret] on mazes that are not among the training levels."""
    env = envs.make("grid", HELD_OUT // 2, num_levels=HELD_OUT, start_level=10**6, seed=1, report_interval=0,
                    **GAME)
    report = evaluate(env, Actor(learner.policy, seed=1), episodes=HELD_OUT)
    return [learner.steps, *(round(float(report[key]), 4) for key in ("score", "episode_return", "regret"))]


def read(path) -> dict[str, list[dict]]:
    """The runs of a log by arm, in the order of ARMS; a run that was repeated counts once, the last time."""
    every = map(json.loads, Path(path).read_text().splitlines())
    lines = {(line["arm"], line["seed"]): line for line in every}
    return {arm: [line for (name, _), line in sorted(lines.items()) if name == arm] for arm in ARMS}


def table(runs: dict[str, list[dict]]) -> str:
    """Arms with the share of held-out mazes solved at the end, and what they trained on."""
    solved = {arm: np.array([line["curve"][-1][1] for line in lines]) for arm, lines in runs.items() if lines}
    rows = ["| arm | seeds | solved, IQM [95 %] | better than uniform | levels | shortest path |",
            "|:--|--:|--:|--:|--:|--:|"]
    for arm, scores in solved.items():
        better = ""
        if arm != "uniform" and "uniform" in solved:
            better = interval(probability_of_improvement, scores, solved["uniform"])
        middle = (np.mean([line[key] for line in runs[arm]]) for key in ("levels", "shortest"))
        rows.append(f"| {arm} | {len(scores)} | {interval(iqm, scores)} | {better} | "
                    + " | ".join(f"{value:.1f}" for value in middle) + " |")
    return "\n".join(rows)


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, nargs="+", default=range(10))
    parser.add_argument("--arms", nargs="+", choices=ARMS, default=list(ARMS))
    parser.add_argument("--steps", type=int, default=STEPS)
    parser.add_argument("--out", type=Path, help="append a line for each run to this file")
    parser.add_argument("--read", type=Path, help="print the table of this file, and run nothing")
    args = parser.parse_args(arguments)
    if args.read:
        print(table(read(args.read)))
        return
    torch.set_num_threads(1)
    best = BestReturns(envs.make("grid", 1, report_interval=0, **GAME))
    for seed in args.seeds:
        for arm in args.arms:
            line = run(arm, seed, best, args.steps)
            print(arm, seed, line["curve"][-1], line["levels"], line["shortest"], flush=True)
            if args.out:
                with args.out.open("a") as file:
                    file.write(json.dumps(line) + "\n")


if __name__ == "__main__":
    main()
