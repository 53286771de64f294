"""The commands of `python -m puffer_min`, and their functions: train, evaluate, run_sweep, check_environment.

A command is a module with `add_arguments(parser)` and `run(args)`, which is imported when it is called.
`tune_process` is in this file because it must run before torch is imported, and the other modules import it.
"""

import argparse
import contextlib
import ctypes
import functools
import importlib
import os
import sys

COMMANDS = {                    # name -> (module, what it does)
    "train": ("train", "train a policy on an environment"),
    "eval": ("evaluate", "play episodes with a trained policy and print their score and return"),
    "sweep": ("sweep", "search the learner's settings for a high score at a low cost"),
    "bench": ("bench", "measure how fast environments and policies are on this machine"),
    "check": ("check", "check an environment against the contract"),
    "probe": ("check.probe", "find the part of a learner that is broken"),
    "play": ("play", "play an environment in the terminal"),
    "arena": ("arena", "let policies play against each other and rate them"),
    "exploit": ("arena.exploit", "train a best response to a policy and print how often it wins"),
    "new": ("new", "write a small environment of your own, to change"),
    "completion": ("completion", "print a script that completes these commands in a shell"),
}


def parser_of(name: str) -> argparse.ArgumentParser:
    """The parser of the command `name`; the result of its `parse_args` has the command's `run`."""
    module, text = COMMANDS[name]
    module = importlib.import_module(f"{__name__}.{module}")
    parser = argparse.ArgumentParser(prog=f"python -m puffer_min {name}",
                                     description=f"{text[0].upper()}{text[1:]}.",
                                     formatter_class=functools.partial(argparse.HelpFormatter,
                                                                       max_help_position=28))
    parser.add_argument("--traceback", action="store_true", help="show where an error comes from")
    parser.set_defaults(run=module.run)
    module.add_arguments(parser)
    return parser


def tune_process() -> None:
    """Make training faster by two settings of the whole process; they stay. `train` calls this.

    GOMP_SPINCOUNT      Threads of torch spin while they wait. On a busy machine this keeps other threads off
                        the cores; with this setting they sleep after 5,000 rounds. libgomp reads the variable
                        when torch is first imported, so train.py calls this function before that. A program
                        that imports torch earlier sets the variable itself. A value that is set already, or
                        OMP_WAIT_POLICY, is not changed.
    mallopt             On Linux, glibc keeps freed blocks of several MB. Every minibatch allocates and frees
                        tensors of 2 to 8 MB, and each page of a new block costs a page fault.
    """
    if "torch" not in sys.modules and "OMP_WAIT_POLICY" not in os.environ:
        os.environ.setdefault("GOMP_SPINCOUNT", "5000")
    if sys.platform == "linux":
        with contextlib.suppress(OSError, AttributeError):
            mallopt = ctypes.CDLL(None).mallopt
            mallopt(-1, 2**30)          # M_TRIM_THRESHOLD: bytes at the end of the heap that are kept
            mallopt(-3, 2**30)          # M_MMAP_THRESHOLD: blocks from this size on are pages of their own
