"""`python -m puffer_min.course.peers`: every library that is installed, one after the other, for so many seconds each."""

import argparse

import torch

from puffer_min.course.peers import NAMES, missing, run


def main():
    parser = argparse.ArgumentParser(prog="python -m puffer_min.course.peers", description=__doc__.split(": ")[1])
    parser.add_argument("--seconds", type=float, default=20, help="for each library (20)")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--threads", type=int, default=1, help="threads of torch (1)")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    for name in NAMES:
        print(missing().get(name) or run(name, seconds=options.seconds, seed=options.seed), flush=True)
    print("Nothing was written to disk.")


if __name__ == "__main__":
    main()
