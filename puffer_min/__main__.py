"""The command line: `python -m puffer_min train|eval|sweep|bench|check|probe|play|arena|new ...`.

Each command is a module with `add_arguments(parser)` and `run(args)`, which is imported when the command is
called. Exit status:

    0       the command did its work
    1       it found a fault: a problem in an environment (check) or a learner (probe), a folder that could
            not be written (train), no trial that could be trained (sweep)
    2       it could not work with these arguments; one sentence says why
    130     Ctrl-C ended it; 128 + the number of any other signal (143 for SIGTERM). The policy is saved.
"""

import argparse
import difflib
import importlib
import sys

COMMANDS = {
    "train": ("train", "train a policy on an environment"),
    "eval": ("evaluate", "play episodes with a trained policy and print their score and return"),
    "sweep": ("sweep", "search the learner's settings for a high score at a low cost"),
    "bench": ("bench", "measure how fast environments are on this machine"),
    "check": ("check", "check an environment against the contract"),
    "probe": ("check.probe", "find the part of a learner that is broken"),
    "play": ("play", "play an environment in the terminal"),
    "arena": ("arena", "let policies play against each other and rate them"),
    "new": ("new", "write a small environment of your own, to change"),
}


def main(arguments=None) -> int:
    """Run the command that `arguments` (by default those of this process) name; returns the exit status."""
    arguments = sys.argv[1:] if arguments is None else list(arguments)
    if not arguments or arguments[0] in ("-h", "--help"):
        print("usage: python -m puffer_min COMMAND ...\n")
        print("\n".join(f"  {name:6} {text}" for name, (_, text) in COMMANDS.items()))
        print("\npython -m puffer_min COMMAND --help says more.")
        return 0 if arguments else 2
    name, *rest = arguments
    if name not in COMMANDS:
        near = difflib.get_close_matches(name, COMMANDS, n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"there are {', '.join(COMMANDS)}"
        print(f"unknown command {name!r}: {hint}", file=sys.stderr)
        return 2
    module_name, text = COMMANDS[name]
    module = importlib.import_module(f"puffer_min.commands.{module_name}")
    parser = argparse.ArgumentParser(prog=f"python -m puffer_min {name}",
                                     description=f"{text[0].upper()}{text[1:]}.")
    parser.add_argument("--traceback", action="store_true", help="show where an error comes from")
    module.add_arguments(parser)
    args = parser.parse_args(rest)
    try:
        return module.run(args) or 0
    except (ValueError, TypeError, ImportError, OSError, FloatingPointError) as error:
        if args.traceback:
            raise
        print("\n".join([str(error), *getattr(error, "__notes__", ())]), file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    sys.exit(main())
