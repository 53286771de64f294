"""`check_environment`: does an environment keep the contract? One line for each check, on the reader's own
environment as well.

    python -m puffer_min check cartpole                         a native environment
    python -m puffer_min check my_env.py:MyEnv --set size=7     a class of one's own, with a setting

    report = check_environment(MyEnv)
    assert report.ok, report
"""

import sys

from puffer_min.commands.locate import add_environment, load_environment, parse_setting
from puffer_min.env.contract import Report, check, not_made
from puffer_min.vector import adapt


def check_environment(environment, *, num_envs=8, steps=1000, seed=0, **settings) -> Report:
    """Check an environment against the contract.

    environment  name of a native environment; "file.py:Name" or "module:Name" of a class or function; such a
                 class or function itself (native, `PufferEnv`, `gymnasium.Env`); or an object, which is
                 closed by the last check.
    num_envs     environments of a native batch; a Python environment is checked alone.
    steps        random steps of the play that most checks look at.
    settings     passed on to the environment.

    Raises ValueError or ImportError if there is no such environment; everything the environment does wrong
    is in the report.
    """
    name = environment
    if not isinstance(environment, str):
        name = getattr(environment, "__name__", type(environment).__name__)
    if isinstance(environment, str):
        environment = load_environment(environment)
    make = None
    try:
        if isinstance(environment, type) or not hasattr(environment, "step"):
            make = _maker(environment, seed, settings)
            env = make(num_envs)
        elif hasattr(environment, "native"):
            env = environment
        else:
            env = adapt(environment)
    except Exception as error:
        return not_made(name, error)
    return check(env, make, name=name, steps=steps, seed=seed)


def _maker(environment, seed, settings):
    """A function of num_envs that makes the environment."""
    if getattr(environment, "native", False):
        return lambda num_envs: environment(num_envs, seed=seed, **settings)
    return lambda num_envs: adapt(environment(**settings))


def add_arguments(parser):
    """The arguments of `python -m puffer_min check`."""
    add_environment(parser)
    parser.add_argument("--num-envs", type=int, default=8, help="environments of a native batch (8)")
    parser.add_argument("--steps", type=int, default=1000,
                        help="random steps of the play that most checks look at (1000)")


def run(args) -> int:
    """Print the report; returns 0, 1 if there is a problem, 2 if there is no such environment."""
    try:
        settings = dict(parse_setting(text) for text in args.set)
        report = check_environment(args.environment, num_envs=args.num_envs, steps=args.steps, seed=args.seed,
                                   **settings)
    except (ValueError, ImportError) as error:
        print(error, file=sys.stderr)
        return 2
    print(report)
    print("Nothing was written to disk.")
    return 0 if report.ok else 1
