"""`python -m puffer_min.course.peers`: every installed library, for so many seconds or until it is solved.

    python -m puffer_min.course.peers --seconds 60
    python -m puffer_min.course.peers --solve libraries.jsonl       steps to a mean return of 475, five seeds
"""

import argparse
import json

import torch

from puffer_min.course.peers import NAMES, Run, missing, run
from puffer_min.course.peers.terms import WIDE

SEEDS, MOST_STEPS = range(1, 6), 600_000


def main():
    parser = argparse.ArgumentParser(prog="python -m puffer_min.course.peers",
                                     description=__doc__.split(": ")[1].split("\n")[0])
    parser.add_argument("--seconds", type=float, default=20, help="for each library (20)")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--threads", type=int, default=1, help="threads of torch (1)")
    parser.add_argument("--solve", metavar="FILE",
                        help="run each library with 64 carts until it is solved, five seeds, one line of "
                             "FILE for each")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    for name in NAMES:
        if name in missing():
            print(missing()[name])
        elif options.solve:
            solve(name, options.solve)
        else:
            print(run(name, seconds=options.seconds, seed=options.seed), flush=True)
    print(f"{options.solve or 'Nothing'} was written to disk.")


def solve(name: str, file: str) -> None:
    """Append a line for each seed: the steps until the last 100 episodes had a mean return of 475, null where
    `MOST_STEPS` were too few.
    """
    for seed in SEEDS:
        found = run(name, terms=WIDE, steps=MOST_STEPS, until=Run.SOLVED, seed=seed)
        print(found, flush=True)
        with open(file, "a", encoding="utf-8") as log:
            log.write(json.dumps({"library": name, "seed": seed, "steps_to_solve": found.steps_to_solve})
                      + "\n")


if __name__ == "__main__":
    main()
