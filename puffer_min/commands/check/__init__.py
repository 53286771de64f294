"""`check_environment`: does an environment, native or of your own, keep the contract? One line a check.

    python -m puffer_min check cartpole                         a native environment
    python -m puffer_min check my_env.py:MyEnv --set size=7     a class of yours, with a setting

    report = check_environment(MyEnv)
    assert report.ok, report

probe.py finds what is wrong with a learner.
"""

from puffer_min.commands.locate import add_environment, load_environment, parse_setting
from puffer_min.env.contract import Report, check, not_made
from puffer_min.vector import adapt


def check_environment(environment, *, num_envs=8, steps=1000, seed=0, env_settings=None,
                      **settings) -> Report:
    """Check an environment against the contract.

    environment  name of an environment; "file.py:Name" or "module:Name" of a class or function; such a class
                 or function itself (native, `PufferEnv`, `gymnasium.Env`); or an environment, which the
                 last check closes
    num_envs     environments of a native batch; a Python environment is checked alone
    steps        random steps of the play that most checks look at
    env_settings, settings       passed on to the environment; among the first may be names that are taken
                 here, `steps` or the `seed` of the constructor

    Raises ValueError or ImportError if there is no such environment; all other faults are in the report.
    """
    if isinstance(environment, str):
        name, environment = environment, load_environment(environment)
    else:
        name = getattr(environment, "__name__", type(environment).__name__)

    settings = (env_settings or {}) | settings

    def make(num_envs):
        if getattr(environment, "native", False):
            return environment(num_envs, **{"seed": seed} | settings)
        return adapt(environment(**settings))
    made = isinstance(environment, type) or not hasattr(environment, "step")
    ready = hasattr(environment, "native")
    try:
        env = make(num_envs) if made else environment if ready else adapt(environment)
    except (Exception, SystemExit) as error:
        return not_made(name, error)
    return check(env, make if made else None, name=name, steps=steps, seed=seed)


def add_arguments(parser):
    """The arguments of `python -m puffer_min check`."""
    add_environment(parser)
    parser.add_argument("--num-envs", type=int, default=8, help="environments of a native batch (8)")
    parser.add_argument("--steps", type=int, default=1000,
                        help="random steps of the play that most checks look at (1000)")


def run(args) -> int:
    """Print the report; returns 0, or 1 if there is a problem."""
    report = check_environment(args.environment, num_envs=args.num_envs, steps=args.steps, seed=args.seed,
                               env_settings=dict(parse_setting(text) for text in args.set))
    print(report)
    print("Nothing was written to disk.")
    return 0 if report.ok else 1
