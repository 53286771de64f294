"""A league against latest-only self-play, and what opponents cost.

    python benchmarks/league.py --out benchmarks/league.jsonl       connect4: how exploitable, five seeds each
    python benchmarks/league.py --speed moba connect4               agent-steps/s beside plain two-sided runs
    python benchmarks/league.py --arena                             20 connect4 policies, all pairs

Exploitability: of each pool and seed a policy is trained against itself and its past, then a best response to
it (`puffer_min.exploit`) with as many steps for all. Lines that the file holds already are not measured
again, so that a long experiment may be run in pieces. Steps decide the result, not seconds: `--threads` and
the machine change nothing but the last digits.
"""

import argparse
import json
import tempfile
import time
from pathlib import Path

import numpy as np
import torch

import envs
import puffer_min
from puffer_min.course.statistics import interval, mean
from puffer_min.env.spec import EnvSpec
from puffer_min.learner.actor import build_policy
from puffer_min.learner.policy import make_policy
from puffer_min.learner.presets import fitting_minibatch, settings_for
from puffer_min.selfplay.opponents import League, Opponents
from puffer_min.selfplay.sides import two_sided_settings

POOLS = ("latest", "uniform", "prioritised")
SCRIPTED = ("random", "greedy", "search2", "search4")
SIZES = {"num_envs": 1024, "horizon": 16, "minibatch_size": 8192}


def exploitability(args):
    """One line of JSON for each pool and seed: the share that a best response wins, and other opponents."""
    out = Path(args.out)
    lines = [json.loads(line) for line in out.read_text().splitlines()] if out.exists() else []
    common = SIZES | {"torch_threads": args.threads}
    for seed in range(args.seeds):
        for pool in args.pools:
            if any((line["pool"], line["seed"]) == (pool, seed) for line in lines):
                continue
            with tempfile.TemporaryDirectory() as folder:
                began = time.perf_counter()
                opponents = Opponents(pool=pool, share=args.share, interval=args.interval)
                result = puffer_min.train("connect4", opponents=opponents, seed=seed, total_steps=args.steps,
                                          run_dir=f"{folder}/run", **common)
                policy = result.policy
                report = puffer_min.exploit("connect4", policy, steps=args.response, seed=seed, games=2000,
                                            run_dir=f"{folder}/response", **common)
            if result.ended != "done" or report.steps < args.response:
                raise SystemExit("interrupted: nothing is written of a run that has not had all its steps")
            against = {}
            for name in SCRIPTED:
                players = {"policy": policy, "other": f"scripted:{name}"}
                standings = puffer_min.arena("connect4", players, games=1000, width=0, seed=seed)
                against[name] = round(float(standings.payoff[0, 1]), 4)
            line = {"pool": pool, "seed": seed, "steps": args.steps, "response_steps": args.response,
                    "share": args.share, "interval": args.interval, "response_wins": report.win_rate,
                    "low": round(report.low, 4), "high": round(report.high, 4), "against": against,
                    "seconds": round(time.perf_counter() - began, 1)}
            lines.append(line)
            with out.open("a") as file:
                file.write(json.dumps(line) + "\n")
            print(json.dumps(line), flush=True)
    summarise(lines)


def summarise(lines):
    """Means with bootstrap intervals over the seeds, and the paired difference from latest-only."""
    by_pool = {pool: {} for pool in POOLS}
    for line in lines:
        by_pool[line["pool"]][line["seed"]] = line["response_wins"]
    for pool, wins in by_pool.items():
        if wins:
            shares = interval(mean, np.array([*wins.values()]))
            print(f"{pool:12} a response wins {shares} ({len(wins)} seeds)")
    for pool in ("uniform", "prioritised"):
        both = sorted(by_pool[pool].keys() & by_pool["latest"].keys())
        if both:
            difference = np.array([by_pool[pool][seed] - by_pool["latest"][seed] for seed in both])
            each = np.round(difference, 3).tolist()
            print(f"{pool} - latest: {interval(mean, difference)}, seed by seed {each}")


def speed(name, args):
    """Agent-steps a second of all agents, and of those that learn, beside a plain two-sided run, in turn."""
    settings = two_sided_settings(name)
    learners = {}
    for kind in ("plain", *POOLS):
        config = settings_for(name, torch_threads=args.threads)
        vec = puffer_min.make_vec(name, num_envs=config.num_envs, report_interval=0, env_settings=settings)
        if kind != "plain":
            vec = League(vec, name, Opponents(pool=kind, share=args.share, interval=5), 0)
            config = settings_for(name, config, minibatch_size=fitting_minibatch(config, vec.num_agents))
        learner = puffer_min.PPO(vec, config)
        if kind != "plain":
            vec.follow(learner)
            for _ in range(vec.opponents.size - 1):     # a full pool, all of which plays
                vec.take_snapshot()
            vec.seat_anew(np.arange(vec.first, vec.num_envs))
        learner.iterate()
        learners[kind] = learner
    best = dict.fromkeys(learners, 0.0)
    shares = {}
    for _ in range(args.repeats):
        for kind, learner in learners.items():
            learner.clock.restart()
            before, began = learner.steps, time.perf_counter()
            while time.perf_counter() - began < args.seconds:
                learner.iterate()
            rate = (learner.steps - before) / (time.perf_counter() - began)
            if rate > best[kind]:
                best[kind], shares[kind] = rate, learner.clock.shares()
    for kind, learner in learners.items():
        rows = len(getattr(learner.env, "learns", learner.env.masks))
        everybody = best[kind] * rows / learner.env.num_agents
        print(f"{name:10} {kind:12} {everybody:10,.0f} agent-steps/s of all agents, "
              f"{everybody / best['plain']:.2f} of plain; {best[kind]:10,.0f} that learn, "
              f"{best[kind] / best['plain']:.2f}; opponents' stage {shares[kind].get('opponents', 0):.1%}",
              flush=True)


def arena(args):
    """All pairs of 20 untrained policies, 1,000 games each."""
    spec = EnvSpec.of(envs.make("connect4", **two_sided_settings("connect4")))
    config = settings_for("connect4")
    players = {f"policy {i}": build_policy(make_policy, spec, config) for i in range(20)}
    standings = puffer_min.arena("connect4", players, games=1000, width=0)
    games = int(standings.games.sum()) // 2
    print(f"{games:,} games of {len(players)} policies in {standings.seconds:.1f} s")


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", help="file of the experiment")
    parser.add_argument("--pools", nargs="+", choices=POOLS, default=["latest", "prioritised"])
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=3_000_000, help="agent-steps of each policy")
    parser.add_argument("--response", type=int, default=2_000_000,
                        help="agent-steps of each best response")
    parser.add_argument("--share", type=float, default=0.5)
    parser.add_argument("--interval", type=int, default=10, help="updates between snapshots")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--speed", nargs="+", metavar="ENVIRONMENT")
    parser.add_argument("--seconds", type=float, default=3.0, help="a measurement of --speed takes this long")
    parser.add_argument("--repeats", type=int, default=3, help="of which the best counts")
    parser.add_argument("--arena", action="store_true")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    for name in args.speed or ():
        speed(name, args)
    if args.arena:
        arena(args)
    if args.out:
        exploitability(args)


if __name__ == "__main__":
    main()
