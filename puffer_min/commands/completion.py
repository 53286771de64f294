"""`python -m puffer_min completion bash`: a script that completes the command line in a shell.

    source <(python -m puffer_min completion bash)      # in ~/.bashrc, to keep it
    source <(python -m puffer_min completion zsh)       # in ~/.zshrc, after compinit

It completes `python -m puffer_min ...` (python3 as well) and leaves every other use of Python to the shell:
commands, the names of native environments, flags, and the values of flags that have a list of them. The lists
are written into the script (its frame is completion.bash), so completing starts no Python; write it again
after an update.
"""

import argparse
from pathlib import Path

import envs
from puffer_min.commands import COMMANDS, parser_of

SHELLS = ("bash", "zsh")
CASE = """\
        {command})
            case "$before" in
{values}
                *) if [[ $current == -* ]]; then words="{flags}"; else words="{names}"; fi ;;
            esac ;;"""


def script(shell: str) -> str:
    """The script for a shell."""
    cases = [case(command, parser_of(command)) for command in COMMANDS]
    text = Path(__file__).with_suffix(".bash").read_text(encoding="utf-8")
    text = text.replace("@COMMANDS@", " ".join(COMMANDS)).replace("@CASES@", "\n".join(cases))
    return "autoload -Uz bashcompinit && bashcompinit\n" * (shell == "zsh") + text


def case(command: str, parser) -> str:
    """The part of the script for one command."""
    flags, values, names = [], [], []
    for action in parser._actions:                      # argparse has no public list of them
        choices = " ".join(map(str, action.choices or ()))
        if not action.option_strings:
            names += [choices] if choices else envs.names() if "environment" in action.dest else []
            continue
        flags += action.option_strings
        if action.nargs != 0 and not isinstance(action, argparse.BooleanOptionalAction):
            values.append(f"                {'|'.join(action.option_strings)}) words=\"{choices}\" ;;")
    lists = {"flags": " ".join(flags), "names": " ".join(names)}
    return CASE.format(command=command, values="\n".join(values), **lists)


def add_arguments(parser) -> None:
    """The arguments of `python -m puffer_min completion`."""
    parser.add_argument("shell", choices=SHELLS, help="whose script is printed")


def run(args) -> int:
    """Print the script."""
    print(script(args.shell), end="")
    return 0
