"""Lives in mmo, of a policy that learns and of its controls, for `puffer_min.course.novelty`.

    python benchmarks/novelty.py learn --seed 0 --steps 8e6 --out runs/trained.npz --policy runs/mmo.pt
    python benchmarks/novelty.py learn --seed 1 --steps 8e6 --out runs/shadow.npz
    python benchmarks/novelty.py random --steps 8e6 --out runs/random.npz
    python benchmarks/novelty.py frozen --steps 8e6 --policy runs/mmo.pt --out runs/frozen.npz
    python benchmarks/novelty.py join runs/*.npz --out chapters/runs/novelty.npz

Every run is one world of AGENTS agents that pays for staying alive and for nothing else, with seasons that
move what grows. A file holds KEPT of its lives, evenly spread over the run, in the order
of their ends: `points` uint8 (n, 20), 255 times what `describe` gives; `trades` uint8 (n,), the number of the
main trade in TRADES, 255 for none; `ages` int32 (n,); `ticks` int32 (n,), when each ended.
"""

import argparse
import time
from pathlib import Path

import numpy as np
import torch

import envs
from puffer_min.course.novelty import describe, main_trades, thin
from puffer_min.env.actions import actions_of, random_choices
from puffer_min.learner.checkpoint import describe_policy, load_policy, save_checkpoint
from puffer_min.learner.ppo import PPO
from puffer_min.learner.presets import settings_for

AGENTS, KEPT, EVERY = 1024, 5000, 256           # EVERY: ticks between readings of the lives


class Diary:
    """The lives of an environment, read while it runs."""

    def __init__(self, env):
        self.env, self.read, self.next = env, [], EVERY

    def look(self, tick: int) -> None:
        if tick >= self.next:
            self.read.append(self.env.lives())
            self.next = tick + EVERY

    def save(self, path) -> None:
        lives = thin(np.concatenate([*self.read, self.env.lives()]), KEPT)
        points = np.round(255 * describe(lives)).astype(np.uint8)
        np.savez_compressed(path, points=points, ages=lives["age"], ticks=lives["born"] + lives["age"],
                            trades=main_trades(lives, self.env.activities).astype(np.uint8))
        age = np.median(lives["age"][-len(lives) // 10:])
        print(f"{path}: {len(lives)} lives, median age of the last tenth {age:.0f} ticks, "
              f"{self.env.lives_missed} lives missed")


def learn(env, steps: int, seed: int, seconds: float, path=None) -> Diary:
    """The lives of a policy while it learns for so many agent-steps or seconds; `path` keeps the policy."""
    config = settings_for("mmo", total_steps=steps, num_envs=1, torch_threads=1)
    learner, diary, start = PPO(env, config, seed=seed), Diary(env), time.perf_counter()
    while learner.steps < steps and time.perf_counter() - start < seconds:
        report = learner.iterate()
        diary.look(learner.steps // AGENTS)
        if learner.updates % 50 == 0:
            print(f"{learner.steps / 1e6:.1f} M steps, {time.perf_counter() - start:.0f} s, age "
                  f"{report.get('score')}, entropy {report['entropy']:.2f}", flush=True)
    if path:
        save_checkpoint(path, describe_policy(learner.policy, env, "mmo", {}, config, seed))
    return diary


def play(env, policy, steps: int, seed: int, seconds: float) -> Diary:
    """The lives of a policy that does not learn, in so many agent-steps or seconds."""
    diary, start = Diary(env), time.perf_counter()
    env.reset(seed)
    for tick in range(int(steps) // AGENTS):
        env.step(actions_of(policy, env, env.observations))
        diary.look(tick)
        if time.perf_counter() - start > seconds:
            break
    return diary


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("learn", "random", "frozen", "join"))
    parser.add_argument("files", type=Path, nargs="*")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--steps", type=float, default=8e6)
    parser.add_argument("--seconds", type=float, default=3600, help="stop after so many seconds")
    parser.add_argument("--policy", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    torch.set_num_threads(1)
    if args.what == "join":
        np.savez_compressed(args.out, **{f"{path.stem}_{name}": array for path in args.files
                                         for name, array in np.load(path).items()})
        return
    env = envs.make("mmo", 1, seed=args.seed, agents=AGENTS, goal="survival", report_interval=0)
    if args.what == "learn":
        diary = learn(env, int(args.steps), args.seed, args.seconds, args.policy)
    else:
        chance = np.random.default_rng(args.seed)
        policy = (load_policy(args.policy) if args.what == "frozen" else
                  lambda _: random_choices(env.single_action_space, env.action_masks(), chance))
        diary = play(env, policy, args.steps, args.seed, args.seconds)
    diary.save(args.out)


if __name__ == "__main__":
    main()
