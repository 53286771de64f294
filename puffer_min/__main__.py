"""The command line: `python -m puffer_min COMMAND ...`; commands/__init__.py lists the commands.

Exit status:

    0       the command did its work
    1       it found a fault: a problem in an environment (check) or a learner (probe), a folder that could
            not be written (train), no trial that could be trained (sweep)
    2       it could not work with these arguments; one sentence says why
    130     Ctrl-C ended it; 128 + the number of any other signal (143 for SIGTERM). The policy is saved.
"""

import difflib
import sys
import traceback

from puffer_min.commands import COMMANDS, parser_of


def main(arguments=None) -> int:
    """Run the command that `arguments` (by default those of this process) name; returns the exit status."""
    arguments = sys.argv[1:] if arguments is None else list(arguments)
    if not arguments or arguments[0] in ("-h", "--help"):
        print("usage: python -m puffer_min COMMAND ...\n")
        print("\n".join(f"  {name:10} {text}" for name, (_, text) in COMMANDS.items()))
        print("\npython -m puffer_min COMMAND --help says more.")
        return 0 if arguments else 2
    name, *rest = arguments
    if name not in COMMANDS:
        near = difflib.get_close_matches(name, COMMANDS, n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"there are {', '.join(COMMANDS)}"
        print(f"unknown command {name!r}: {hint}", file=sys.stderr)
        return 2
    args = parser_of(name).parse_args(rest)
    try:
        return args.run(args) or 0
    except (ValueError, TypeError, ImportError, OSError, FloatingPointError) as error:
        if args.traceback:
            raise
        print("\n".join([str(error), *getattr(error, "__notes__", ())]), file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130
    except SystemExit as error:
        if error.code:
            raise
        *_, (frame, line) = traceback.walk_tb(error.__traceback__)
        print(f"{frame.f_code.co_filename}, line {line}, called sys.exit({error.code!r}), expected the end "
              "of an episode, or an Exception: the command was not finished", file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())
