"""How to stop a policy from stalling in triple_triad: five remedies beside none, five seeds each.

    python -m puffer_min.course.stalling       adds what is missing to chapters/runs

On stream 003 losing cost a point, waiting was free, and the policy waited. The stream taxed no-ops, then
everything but placing a card (puffer_min/course/faults.py). Beside that: a mask of legal actions, the same
with a game that is lost after 40 steps (the package's own rule), and actions that are whole moves. The same
learner and budget for all, against the stream's opponent (random) and one that is hard to beat (greedy);
of whole moves one counts as one step.
Chapter 8 reads the file. About six seconds a run on one core.
"""

import json
import sys
import tempfile
from itertools import product
from pathlib import Path

import envs
import puffer_min
from puffer_min.course import faults
from puffer_min.env.actions import actions_of

LOG = Path("chapters/runs/triple_triad_stalling.jsonl")
SETTINGS = {"total_steps": 500_000, "num_envs": 128, "horizon": 32, "minibatch_size": 2048,
            "learning_rate": 5e-3, "encoder": "scaled", "ent_coef": 0.01, "torch_threads": 1}


class Masked(faults.FreeStalling):
    """Waiting is free, and only actions that do something are offered."""

    masked = True


OPPONENTS = ("greedy", "random")
REMEDIES = {"none": faults.FreeStalling, "no-ops cost": faults.TaxedNoOps, "all but placing costs":
            faults.TaxedStalling, "legal actions": Masked, "lost after 40 steps": faults.Broken,
            "whole moves": faults.WholeMoves}


def table(remedy: str, opponent: str, num_envs: int, seed: int):
    """`num_envs` tables of triple_triad with a remedy of REMEDIES."""
    kind = REMEDIES[remedy]
    return kind(envs.make("triple_triad", num_envs, seed=seed, report_interval=0, opponent=opponent,
                          **kind.settings))


def learn(remedy: str, opponent: str, seed: int = 0, **settings):
    """The result of a training with a remedy."""
    config = puffer_min.Config(**SETTINGS | settings)
    with tempfile.TemporaryDirectory() as folder:
        env = table(remedy, opponent, config.num_envs, seed)
        result = puffer_min.train(env, config, seed=seed, run_dir=folder)
    if result.ended == "interrupted":
        raise KeyboardInterrupt
    return result


def judge(remedy: str, opponent: str, policy, tables: int = 256, steps: int = 800) -> dict:
    """Mean of the games that end within `steps` at other tables: steps, cards, share won."""
    env = table(remedy, opponent, tables, seed=1_000)
    observations, _ = env.reset()
    policy.reset()
    for _ in range(steps):
        observations, _, terminals, _, _ = env.step(actions_of(policy, env, observations))
    return {name: round(value, 4) for name, value in env.log().items()}


def main(seeds: int = 5) -> None:
    done = [json.loads(line) for line in LOG.read_text().splitlines()] if LOG.exists() else []
    there = {(run["opponent"], run["remedy"], run["seed"]) for run in done}
    for opponent, seed, remedy in product(OPPONENTS, range(seeds), REMEDIES):
        if (opponent, remedy, seed) not in there:
            policy = learn(remedy, opponent, seed).policy
            run = {"opponent": opponent, "remedy": remedy, "seed": seed, **judge(remedy, opponent, policy)}
            with LOG.open("a") as file:
                file.write(json.dumps(run) + "\n")
            print(run, flush=True)


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
