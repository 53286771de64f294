"""`train`: a whole run around the learner of ppo.py, with its log, dashboard and checkpoints.

    result = puffer_min.train("cartpole", seed=1)
    result = puffer_min.train("snake", total_steps=5_000_000, learning_rate=1e-3, dashboard="terminal")
    result = puffer_min.train("snake", resume="runs/snake-0-20260101-120000/checkpoint.pt")
    torchrun --nproc-per-node 2 -m puffer_min train snake           several processes (distributed.py)

    result.history          one dict an update: step, seconds, sps, score, episode_return, losses, stages ...
    result.policy           act(observations) -> actions
    result.save("snake.pt") the policy in one file; puffer_min.load_policy reads it
"""

import argparse
import contextlib
import dataclasses
import functools
import inspect
import multiprocessing
import os
import re
import signal
import sys
import typing
import warnings
from collections.abc import Callable

from puffer_min.commands import tune_process

if "torch" not in sys.modules:
    tune_process()                          # torch reads one of its settings when it is imported

import gymnasium
import torch

import envs
from envs.core.settings import whole
from puffer_min.commands import locate
from puffer_min.commands.dashboard import make_dashboard
from puffer_min.commands.locate import name_of
from puffer_min.commands.log import in_short, say
from puffer_min.commands.run import Result, Run
from puffer_min.cores import cores
from puffer_min.env.spec import EnvSpec
from puffer_min.learner import checkpoint as files
from puffer_min.learner import presets
from puffer_min.learner.checkpoint import CheckpointError, read_checkpoint, require_same_environment
from puffer_min.learner.config import Config
from puffer_min.learner.distributed import ALONE, join, of_rank
from puffer_min.measure import duration
from puffer_min.processes import children_allowed, rest_openmp
from puffer_min.selfplay.opponents import League, Opponents
from puffer_min.selfplay.sides import two_sided_settings
from puffer_min.vector import NO_ISOLATE, make_vec
from puffer_min.vector.autotune import probe_of
from puffer_min.vector.process import START_METHOD
from puffer_min.vector.serial import is_native


def train(env, config: Config | None = None, *, policy=None, seed: int = 0,
          total_steps: int | None = None, dashboard: str | Callable | None = None, tensorboard: bool = False,
          run_dir=None, resume=None, env_settings: dict | None = None, callbacks=(), opponents=None,
          **overrides) -> Result:
    """Train a policy with PPO.

    env           name of an environment: native, of envs.register, or Gymnasium's id; a class or function
                  that makes environments (`make_vec`); or a vectorizer or environment, which stays open
    config        all settings; without it the defaults of the environment
    policy        factory (spec, config) -> nn.Module of a network of your own (learner/policy.py)
    seed          of the environment, the weights and the draws; the same seed gives the same run
    dashboard     "terminal", or a function called with a dict once an update; in a notebook
                  puffer_min.course.training_dashboard()
    tensorboard   write the same numbers for TensorBoard too, in run_dir/tensorboard
    run_dir       folder for log.jsonl and checkpoint.pt; runs/<env>-<seed>-<time> by default, the folder
                  of the checkpoint when resuming. If it holds another run, the new one goes to run_dir-2
    resume        checkpoint to go on from, exactly as if it had not stopped; its config and env_settings
                  hold, unless overridden, and its random streams, made from its seed, go on
    env_settings  passed on to the environment. Its class may add more while a policy learns
                  (`training_settings`); `score` is then of other games than `evaluate` plays
    callbacks     objects called at the start, after each update and at the end, which may stop the run
                  (callbacks/callback.py): Evaluation, EarlyStop, EpisodeGIF, or your own
    opponents     who plays one side in a share of the games, where there are two: "latest", "uniform" or
                  "prioritised" past policies, players, or `Opponents` (selfplay/opponents.py). Snapshots of
                  the policy go to run_dir/opponents
    overrides     single settings of Config: learning_rate=1e-3

    Ctrl-C, SIGTERM and SIGHUP end the run after the current update with a checkpoint; a second one ends it
    at once. Where an error ends the run, the policy of the last update is written first and a note of the
    error says where. Raises TypeError for an unknown setting or something that is no environment or network,
    ValueError for an unknown environment or sizes that do not divide, CheckpointError for a checkpoint that
    is damaged or of another environment, OSError if no checkpoint can be written, NotFinite when a NaN
    appears, PeerLost when another process of torchrun's ends, CallbackError when a callback raises.
    """
    require_trainable(env)
    seed = given_seed = whole("seed", seed, 0, MOST_SEED)
    if not isinstance(env_settings or {}, dict):
        raise TypeError(f"env_settings={env_settings!r:.80} given, expected a dict, setting -> value")
    if overrides.pop("isolate", None) is not None:
        warnings.warn(NO_ISOLATE, DeprecationWarning, stacklevel=2)
    if total_steps is not None:
        overrides["total_steps"] = total_steps
    saved = read_checkpoint(resume) if resume else None
    if saved is not None:
        if "learner" not in saved:
            raise CheckpointError(f"{resume} holds a policy only, nothing to go on training from; "
                                  "resume from the checkpoint.pt of a run")
        if isinstance(env, str) and env in envs.names():    # before its settings go to another environment
            require_same_environment(saved, resume, None, env)
        config, seed = config or files.config_of(saved, resume), saved["seed"]
        policy = files.factory_of(saved, resume, policy)
        env_settings = saved["env_settings"] | (env_settings or {})
        missing = [name for name in saved.get("settings_left_out", ()) if name not in env_settings]
        if missing:
            raise CheckpointError(f"{resume} could not hold env_settings {', '.join(missing)}: "
                                  "give them again")
    made, env_settings = not hasattr(env, "step") or isinstance(env, str | type), env_settings or {}
    opponents = Opponents.of((saved or {}).get("opponents") if opponents is None else opponents)
    if opponents and made:
        env_settings = two_sided_settings(env) | env_settings
    preset, make_env = saved and saved.get("preset"), env if made else None
    in_python = config is None and makes_python(env)
    config = presets.settings_for(name_of(env), config, **overrides)
    if in_python:
        workers, seconds = workers_for(env, training_settings(env) | env_settings, overrides)
        config = dataclasses.replace(config, **workers | overrides)
    with contextlib.ExitStack() as stack:
        world = join(config.device)
        if made:
            if world.size > 1 and config.backend != "serial":
                raise ValueError(f"backend={config.backend!r} given in one of {world.size} processes, "
                                 "expected \"serial\": start more processes instead")
            share = {"first_env": world.rank * config.num_envs} if world.size > 1 else {}
            with files.making_with(saved, resume):
                env = make_vec(env, num_envs=config.num_envs, num_workers=config.num_workers,
                               backend=config.backend, seed=seed, batch_envs=config.batch_envs,
                               report_interval=0, env_settings=training_settings(env) | env_settings,
                               restarts=config.worker_restarts, **share)
            stack.callback(close, env)
        if in_python:
            settings = workers | presets.settings_of_kind(EnvSpec.of(env), overrides)
            config = Config(**settings)
            preset = told(env, seconds, settings, overrides)
        if opponents:
            env = League(env, make_env or env, opponents, seed)
            if "minibatch_size" not in overrides:
                fitting = presets.fitting_minibatch(config, env.num_agents)
                config = dataclasses.replace(config, minibatch_size=fitting)
        stack.enter_context(torch_settings(config, world))
        run = Run(env, name_of(env), env_settings, config, seed, world, policy, make_env, preset)
        if opponents:
            env.follow(run.learner, save_snapshot(run))
        if saved is not None:
            require_same_environment(saved, resume, env, run.env_name)
            if given_seed not in (0, seed):             # 0 is the default
                run.say(f"seed={given_seed} is not used: {resume} goes on with the random streams of its own "
                        f"seed={seed}.")
            run.restore(saved if world.rank == 0 else read_checkpoint(of_rank(resume, world.rank)), resume)
        show = make_dashboard(dashboard if world.rank == 0 else None, run.env_name)
        return run.go(show, run_dir=run_dir, resumed=resume, tensorboard=tensorboard, callbacks=callbacks)


MOST_SEED = 2**63 - 1           # that torch takes
LONGEST_PROBE = 5.0             # seconds to wait for the time of a step


def step_seconds(make_env, env_settings: dict) -> float:
    """Seconds of a step of one environment, made and stepped in a process of its own; 0 if it is unknown.

    A process leaves no trace: counters and random streams are as if nothing was made.
    """
    if START_METHOD != "fork" or cores() == 1:
        return 0.0
    rest_openmp()
    fork = multiprocessing.get_context("fork")
    reader, writer = fork.Pipe(duplex=False)
    child = fork.Process(target=send_step_seconds, args=(writer, make_env, env_settings))
    with warnings.catch_warnings(action="ignore"), children_allowed():      # it does not use our threads
        child.start()
    writer.close()
    try:
        return reader.recv() if reader.poll(LONGEST_PROBE) else 0.0
    except EOFError:                                    # the environment has failed
        return 0.0
    finally:
        child.kill()
        child.join()


def send_step_seconds(writer, make_env, env_settings: dict) -> None:
    """In a process of its own: send the seconds of a step, and show nothing."""
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    signal.alarm(int(LONGEST_PROBE) + 1)                # should nobody be left to end it
    nothing = open(os.devnull, "w", encoding="utf-8")
    os.dup2(nothing.fileno(), 1)
    os.dup2(nothing.fileno(), 2)
    sys.stdout = sys.stderr = nothing                   # a notebook's own write past the two files
    writer.send(probe_of(make_env, {"seed": 0, "env_settings": env_settings}).step)


def workers_for(make_env, env_settings: dict, given: dict) -> tuple[dict, float]:
    """(copies, backend and workers for environments in Python unless they are `given`, seconds of a step)."""
    num_envs = given.get("num_envs", presets.NUM_ENVS)
    settings, decided = {"num_envs": num_envs}, {"backend", "num_workers", "batch_envs"} & given.keys()
    several = "TORCHELASTIC_RUN_ID" in os.environ       # processes of torchrun step their own environments
    seconds = 0.0 if decided or several else step_seconds(make_env, env_settings)
    if seconds * num_envs > presets.WORTH_WORKERS and num_envs > 1:
        settings |= {"backend": "process", "num_workers": min(cores(), num_envs)}
    return settings, seconds


def makes_python(env) -> bool:
    """Whether `env` is a name or a callable that makes environments in Python."""
    return (isinstance(env, str | type) or not hasattr(env, "step")) and not is_native(env)


def preset_of(env, env_settings: dict, given: dict) -> Config:
    """The settings that `train` takes for `env`: the preset of its name, or in Python of its kind."""
    config = presets.settings_for(name_of(env), **given)
    if makes_python(env):
        with contextlib.suppress(Exception):            # one that cannot be made: `train` tells why
            vec = make_vec(env, env_settings=training_settings(env) | env_settings)
            config = Config(**presets.settings_of_kind(EnvSpec.of(vec), given))
            vec.close()
    return config


def save_snapshot(run: Run):
    """A function that writes the policy to a name in run_dir/opponents; None but in the first process."""
    return None if run.world.rank else lambda name: run.save_policy(run.run_dir / "opponents" / name)


def require_trainable(env) -> None:
    """Raise TypeError unless `env` is a name, makes environments, or has the attributes of a vectorizer."""
    if isinstance(env, str) or (callable(env) and not hasattr(env, "step")) or isinstance(env, type):
        return
    if hasattr(env, "num_agents") and hasattr(env, "single_action_space") and hasattr(env, "observations"):
        return
    kind, name = type(env).__name__, name_of(env)
    if isinstance(env, gymnasium.vector.VectorEnv):
        raise TypeError(f"train: given a Gymnasium vector environment ({kind}), expected a function that "
                        f"makes one environment, such as lambda: gymnasium.make({name!r}), or a vectorizer "
                        "of make_vec")
    if hasattr(env, "step"):
        raise TypeError(f"train: given one environment ({name}), expected a function that makes it, "
                        "because several are stepped at a time: write train(lambda: ...), or give its class")
    raise TypeError(f"train: given {kind}, expected the name of an environment, or a function or class that "
                    "makes one")


def close(env) -> None:
    """Close `env`. Where that fails, says so: it is no reason to lose a result, or to hide another error."""
    try:
        env.close()
    except (Exception, SystemExit) as error:
        say(f"Closing {name_of(env)} failed ({in_short(error)}); the run is not affected.")


def told(env, seconds: float, settings: dict, given: dict) -> str:
    """Say which preset an environment in Python has, without the settings `given`, and return the line."""
    takes = f" (a step takes {duration(seconds)})" if seconds else ""
    said = ", ".join(f"{name}={value}" for name, value in settings.items() if name not in given)
    line = (f"{name_of(env)} is written in Python{takes}, so it has the preset for "
            f"{presets.kind_of(EnvSpec.of(env))}: {said}; settings that you give hold.")
    say(line)
    return line


def training_settings(env) -> dict:
    """The settings that the environment's class adds while a policy learns from it."""
    return getattr(envs.find(env) if isinstance(env, str) else env, "training_settings", {})


@contextlib.contextmanager
def torch_settings(config: Config, world=ALONE):
    """torch with the threads, precision and determinism of `config`; afterwards with those from before."""
    tune_process()
    before = (torch.get_num_threads(), torch.get_float32_matmul_precision(),
              torch.are_deterministic_algorithms_enabled())
    torch.set_num_threads(config.torch_threads or world.threads())
    torch.set_float32_matmul_precision(config.matmul_precision)
    torch.use_deterministic_algorithms(config.deterministic)
    try:
        yield
    finally:
        torch.set_num_threads(before[0])
        torch.set_float32_matmul_precision(before[1])
        torch.use_deterministic_algorithms(before[2])


# ---------------------------------------------------------------------- the command line

def add_arguments(parser) -> None:
    """The arguments of `python -m puffer_min train`."""
    parser.usage = "%(prog)s ENVIRONMENT [option ...]"      # of all options it would fill a screen
    locate.add_environment(parser, "a setting of the environment (env.size=7), or of the learner")
    locate.add_policy(parser)
    parser.add_argument("--run-dir", metavar="FOLDER",
                        help="where log.jsonl and checkpoint.pt go (runs/ENV-SEED-TIME)")
    parser.add_argument("--resume", metavar="CHECKPOINT",
                        help="go on from this checkpoint, exactly as if it had not stopped")
    parser.add_argument("--callback", action="append", default=[], metavar="FILE.py:NAME",
                        help="a callback, or a function or class that gives one, also module:Name (see "
                             "puffer_min/commands/callbacks); may be repeated")
    parser.add_argument("--opponents", nargs="+", metavar="PLAYER",
                        help="who plays one side in half of the games: latest, uniform or prioritised past "
                             "policies, checkpoints, scripted:NAME")
    parser.add_argument("--tensorboard", action="store_true",
                        help="write the run for TensorBoard too, in FOLDER/tensorboard")
    parser.add_argument("--dashboard", choices=("terminal", "none"), default="terminal",
                        help="what to show while it trains (terminal)")
    add_config_flags(parser)


def add_config_flags(parser) -> None:
    """A flag for each field of Config. Its help is the comment next to the field in config.py."""
    found = re.findall(r"^    (\w+): .+?\s# (.*(?:\n +# .*)*)$", inspect.getsource(Config), re.MULTILINE)
    comments = {name: re.sub(r"\n +# +", " ", comment) for name, comment in found}
    group = parser.add_argument_group("settings of the learner", "The default is in brackets, unless the "
                                      "environment has one of its own.")
    kinds = typing.get_type_hints(Config)
    for field in dataclasses.fields(Config):
        kind = kinds[field.name]
        how = {"action": argparse.BooleanOptionalAction} if kind is bool else \
              {"type": functools.partial(parse_value, kind), "metavar": METAVARS[plain_type(kind)]}
        group.add_argument("--" + field.name.replace("_", "-"), dest=field.name, default=argparse.SUPPRESS,
                           help=f"{comments[field.name]} ({field.default})".strip().replace("%", "%%"), **how)


METAVARS = {int: "N", float: "X", str: "NAME"}


def plain_type(kind) -> type:
    """The type of a value that is not None: int of `int | None`."""
    return (typing.get_args(kind) or (kind,))[0]


def parse_value(kind, text: str):
    """`text` as a value of a type such as `int | None`; 5000000, 5_000_000 and 5e6 are whole numbers."""
    if type(None) in typing.get_args(kind) and text.lower() == "none":
        return None
    kind = plain_type(kind)
    if kind not in (int, float):
        return text
    try:
        number = float(text)
        if kind is int and not number.is_integer():
            raise ValueError
        return kind(number)
    except (ValueError, OverflowError):
        expected = "a whole number" if kind is int else "a number"
        raise argparse.ArgumentTypeError(f"{text!r} given, expected {expected}") from None


def given_settings(args) -> tuple[dict, dict | None]:
    """Settings of the learner, and of the environment (None without any), from --set and all flags."""
    settings, env_settings = locate.parse_settings(args)
    flags = {field.name for field in dataclasses.fields(Config)} & vars(args).keys()
    return settings | {name: getattr(args, name) for name in flags}, env_settings


def run(args) -> int:
    """Train, and say where the output went."""
    settings, env_settings = given_settings(args)
    policy = args.policy and locate.load_object(args.policy)
    given = map(locate.load_object, args.callback)
    callbacks = [callback() if callable(callback) else callback for callback in given]
    result = train(locate.environment(args.environment), policy=policy, seed=args.seed, run_dir=args.run_dir,
                   resume=args.resume, tensorboard=args.tensorboard, env_settings=env_settings,
                   dashboard=None if args.dashboard == "none" else args.dashboard, callbacks=callbacks,
                   opponents=args.opponents, **settings)
    if int(os.environ.get("RANK", 0)) == 0:             # torchrun's number of this process
        print(f"{result}.")
    if result.signal is not None:
        return 128 + result.signal
    return 0 if result.saved and result.checkpoint.parent == result.run_dir else 1
