"""Sweeps: many short runs with other settings each, in search of a high score at a low cost, by Optuna.

    python -m puffer_min sweep squared --trials 40
    python -m puffer_min sweep squared --trials 40          again: goes on where it stopped, or ends at once
    python -m puffer_min sweep snake --search learning_rate=1e-4:1e-2:log --search horizon=16,32 --gamma 0.98
    python -m puffer_min sweep snake --storage postgresql://host/sweeps         machines share one study

A trial trains once and gives two numbers: the score of its last episodes, to be raised, and its seconds, to
be lowered. No single trial is the best then; the Pareto front holds those that no other trial beats in both.
The first trial of a study has the settings that `train` takes, as far as the search allows them. Start the
command twice and both work on one study: SQLite serves the processes of one machine, any other storage of
Optuna's several machines.

A trial that cannot be trained is given up with the reason; a trial that Ctrl-C or a killed process has cut
short counts as failed, and another one takes its place. Next to the study are written: pareto.png,
importance.png (which settings decide the score; PED-ANOVA, Watanabe et al. 2023), front.json.
"""

import contextlib
import functools
import io
import json
import os
import signal
import socket
import sys
import tempfile
import warnings
from pathlib import Path

import envs
from envs.core.settings import whole
from puffer_min.commands import train as training
from puffer_min.commands.locate import add_environment, environment, name_of, parse_setting
from puffer_min.commands.log import alone_in, in_short
from puffer_min.env.episodes import mean_of
from puffer_min.learner.config import Config, require_setting

SEARCH = {
    "learning_rate": "5e-4:3e-2:log", "gamma": "0.9:0.999:log", "gae_lambda": "0.8:0.995:log",
    "ent_coef": "1e-4:0.1:log", "vf_coef": "0.02:2:log", "update_epochs": "1,2,4", "horizon": "16,32,64",
    "minibatch_size": "4096,8192,16384",
}
SEARCH_IN_PYTHON = SEARCH | {"learning_rate": "1e-4:1e-2:log", "update_epochs": "2,4,6,10",
                             "horizon": "64,128,256", "minibatch_size": "64,128,256,512"}
"""The settings that are searched unless others are named, as LOW:HIGH, LOW:HIGH:log, or A,B,C."""

FROM_ONE = ("gamma", "gae_lambda", "adam_beta1", "adam_beta2")      # a log scale is of their distance from 1
LAST_SHARE = 0.1                # of the updates: the score is the mean of the episodes that ended in these


class SweepError(ValueError):
    """A search that cannot be made; the message says why and what to give."""


def run_sweep(env, *, trials: int = 40, search: dict | None = None, study_name: str | None = None,
              storage: str | None = None, out=None, max_seconds: float = 300, seed: int = 0,
              env_settings: dict | None = None, report=print, **settings):
    """Search settings of the learner on `env`; returns the Optuna study. Its `best_trials` are the front.

    trials       finished trials that the study shall have, by this and earlier calls and other processes
    search       name -> "LOW:HIGH", "LOW:HIGH:log" or "A,B,C" (default: SEARCH)
    study_name   the environment's name by default; a study is a name in a storage
    storage      any storage URL of Optuna's; by default SQLite in `out`
    out          folder for the study and its pictures; sweeps/<study_name> by default
    max_seconds  a trial that takes longer is given up
    report       called with a line after each trial
    settings     settings of Config, the same in all trials

    Raises ImportError without Optuna; SweepError, ValueError and TypeError for a search that cannot be made,
    a study that is damaged or of another search, and where the first three trials fail for one reason;
    KeyboardInterrupt after Ctrl-C and SystemExit after SIGTERM, which count the trial as failed.
    """
    optuna, env_name = require_optuna(), name_of(env)
    trials, seed = whole("trials", trials, 1), whole("seed", seed)
    training.require_trainable(env)
    if isinstance(env, str):
        envs.find(env)                                  # refuses an unknown name before a folder is made
    present = training.preset_of(env, env_settings or {}, settings)
    search = search or (SEARCH_IN_PYTHON if training.makes_python(env) else SEARCH)
    spaces = dict(parse(name, text) for name, text in search.items() if name not in settings)
    out = Path(out or f"sweeps/{study_name or env_name}")
    if storage is None and "?" in str(out):
        raise SweepError(f"out={str(out)!r} given, expected a folder without ?: a URL ends there")
    out.mkdir(parents=True, exist_ok=True)
    storage = storage or f"sqlite:///{out / 'study.db'}"
    me, said = f"{socket.gethostname()}:{os.getpid()}", contextlib.nullcontext

    def watch(update):
        if update["seconds"] > max_seconds:
            raise optuna.TrialPruned(f"longer than {max_seconds:g} s")

    def outcome(trial):
        """(score, seconds) of training with the settings of `trial`; TrialPruned says why it is given up."""
        try:
            with tempfile.TemporaryDirectory() as folder, said():
                result = training.train(env, seed=seed + trial.number, dashboard=watch, run_dir=folder,
                                        env_settings=env_settings, **settings | settings_of(trial))
        except (optuna.TrialPruned, ValueError, TypeError) as error:    # a sentence, such as of sizes
            raise optuna.TrialPruned(str(error)) from error
        except Exception as error:                      # of the environment, or a NaN: of this trial alone
            raise optuna.TrialPruned(in_short(error)) from error
        if result.ended == "interrupted":
            raise KeyboardInterrupt if result.signal == signal.SIGINT else SystemExit(128 + result.signal)
        score = last_score(result.history)
        if score is None:
            raise optuna.TrialPruned("no episode ended")
        return score, result.history[-1]["seconds"]

    with in_a_sentence(optuna, storage):
        ranges = {name: str(text) for name, text in search.items()}
        study = open_study(optuna, storage, study_name or env_name, ranges)
        end_stale_trials(optuna, study)
        if not study.get_trials(deepcopy=False):                        # what is to be beaten
            study.enqueue_trial(within(spaces, present), skip_if_exists=True)
        while (done := finished(study)) < trials:
            trial = study.ask(spaces)
            trial.set_user_attr("process", me)
            try:
                study.tell(trial, outcome(trial))
            except optuna.TrialPruned as error:
                trial.set_user_attr("reason", str(error))
                study.tell(trial, state=optuna.trial.TrialState.PRUNED)
            except BaseException:
                study.tell(trial, state=optuna.trial.TrialState.FAIL)
                raise
            report(line(study, done + 1, trials))
            said = functools.partial(contextlib.redirect_stderr, io.StringIO())     # train has said it all
            reasons = reasons_of(study)
            if len(reasons) == finished(study) >= 3 and len(set(reasons)) == 1:
                raise SweepError(f"no trial of {len(reasons)} could be trained: {reasons[0]}")
    return study


def require_optuna():
    """The package, or an ImportError that says how to get it."""
    try:
        import optuna
    except ImportError as error:
        raise ImportError("sweeps need Optuna, which is not installed: pip install optuna") from error
    return optuna


@contextlib.contextmanager
def in_a_sentence(optuna, storage):
    """Raise SweepError in place of what SQLAlchemy says about a storage that cannot be read or written."""
    try:
        yield
    except Exception as error:
        of_storage = isinstance(error, optuna.exceptions.StorageInternalError)
        if of_storage or type(error).__module__.startswith("sqlalchemy."):
            raise SweepError(f"the study in {storage} cannot be used ({in_short(error)}): it is damaged or "
                             "no database of Optuna's; give another --out or --storage, or delete it"
                             ) from error
        raise


def open_study(optuna, storage, name, search):
    """The study `name` of `storage`, made if there is none; several processes may do so at the same time.

    Raises SweepError if it was made with another search than `search`, name -> range.
    """
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    with warnings.catch_warnings(action="ignore", category=optuna.exceptions.ExperimentalWarning):
        # constant_liar: a trial that another process runs counts as a bad one, so that two processes do not
        # try the same. The sampler has no seed: with one, all processes would try the same.
        sampler = optuna.samplers.TPESampler(constant_liar=True, multivariate=True, n_startup_trials=8)
    options = {"study_name": name, "sampler": sampler, "directions": ["maximize", "minimize"],
               "load_if_exists": True}
    alone, file = contextlib.nullcontext(), storage.removeprefix("sqlite:///")
    if file != storage:
        alone = alone_in(Path(file).parent)     # two processes that make the same tables at once both fail
    with alone:
        if file != storage:
            storage = optuna.storages.RDBStorage(storage, engine_kwargs={"connect_args": {"timeout": 60}})
        study = optuna.create_study(storage=storage, **options)
        before = study.user_attrs.get("search", search)
        if before != search:
            differ = ", ".join(f"{key}={before.get(key, 'nothing')}" for key in {*before, *search}
                               if before.get(key) != search.get(key))
            raise SweepError(f"the study {name!r} has another search ({differ}): give the same --search, "
                             "or another --study")
        study.set_user_attr("search", search)
    return study


def end_stale_trials(optuna, study) -> None:
    """Mark as failed each running trial whose process on this machine has ended."""
    for trial in study.get_trials(deepcopy=False, states=(optuna.trial.TrialState.RUNNING,)):
        host, _, number = trial.user_attrs.get("process", "").rpartition(":")
        if host == socket.gethostname() and not is_alive(int(number)):
            study.tell(trial.number, state=optuna.trial.TrialState.FAIL)


def is_alive(process: int) -> bool:
    """Whether a process of this number runs on this machine."""
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:                     # of another user
        pass
    return True


def parse(name: str, text: str) -> tuple:
    """(parameter, distribution) of Optuna's for the setting `name` and "LOW:HIGH", "LOW:HIGH:log" or "A,B,C".

    The parameter 1-NAME is the setting's distance from 1. Raises SweepError for something else.
    """
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
    kind = type(getattr(Config(), require_setting(name).name))
    if not text:
        raise SweepError(f"{name} given without a range, expected {name}=LOW:HIGH or {name}=A,B,C")
    if ":" not in text:
        return name, CategoricalDistribution([parse_setting(f"{name}={each}")[1] for each in text.split(",")])
    low, high, *log = text.split(":")
    try:
        low, high = (int(float(x)) if kind is int else float(x) for x in (low, high))
        if not 0 < high - low < float("inf") or log not in ([], ["log"]) or (log and low <= 0):
            raise ValueError
    except (ValueError, OverflowError):
        raise SweepError(f"{name}={text} given, expected LOW:HIGH, LOW:HIGH:log with 0 < LOW < HIGH, "
                         "or A,B,C") from None
    if kind is int:
        return name, IntDistribution(low, high, log=bool(log))
    if not log or name not in FROM_ONE:
        return name, FloatDistribution(low, high, log=bool(log))
    if high >= 1:
        raise SweepError(f"{name}={text} given, expected HIGH below 1: on a log scale its distance "
                         "from 1 is searched")
    return f"1-{name}", FloatDistribution(1 - high, 1 - low, log=True)


def within(spaces: dict, config: Config) -> dict:
    """The parameters of `config` that lie within `spaces`, parameter -> distribution."""
    found = {}
    for parameter, space in spaces.items():
        value = getattr(config, parameter.removeprefix("1-"))
        if hasattr(space, "choices"):
            holds = value in space.choices
        else:
            value = 1 - value if parameter.startswith("1-") else value
            holds = value is not None and space.low <= value <= space.high      # None: a setting that is off
        if holds:
            found[parameter] = value
    return found


def last_score(history) -> float | None:
    """Mean score of the episodes in the last LAST_SHARE of the updates, or in the last one that had any."""
    ended = [update for update in history if update["episodes"]]
    if not ended:
        return None
    first = (1 - LAST_SHARE) * history[-1]["step"]
    last = [update for update in ended if update["step"] > first] or ended[-1:]
    return mean_of({"n": update["episodes"], "score": update["score"]} for update in last)["score"]


def finished(study) -> int:
    """Number of trials that have ended or were given up; interrupted trials do not count."""
    ended = [trial for trial in study.get_trials(deepcopy=False) if trial.state.is_finished()]
    return sum(trial.values is not None or "reason" in trial.user_attrs for trial in ended)


def reasons_of(study) -> list[str]:
    """For each trial that was given up, why."""
    trials = study.get_trials(deepcopy=False)
    return [trial.user_attrs["reason"] for trial in trials if "reason" in trial.user_attrs]


def settings_of(trial) -> dict:
    """The settings of a trial."""
    return {name.removeprefix("1-"): 1 - value if name.startswith("1-") else value
            for name, value in trial.params.items()}


def line(study, done, trials) -> str:
    """The line that is shown after a trial: its result, and the best result so far."""
    *_, last = (trial for trial in study.get_trials(deepcopy=False) if trial.state.is_finished())
    result = (f"score {last.values[0]:.4g} in {last.values[1]:.1f} s" if last.values else
              f"given up ({last.user_attrs.get('reason', 'failed')})")
    settings = ", ".join(f"{name}={value:.3g}" if isinstance(value, float) else f"{name}={value}"
                         for name, value in settings_of(last).items())
    best = max((trial.values for trial in study.best_trials), default=None)
    so_far = f"; best {best[0]:.4g} in {best[1]:.1f} s" if best else ""
    return f"trial {done} of {trials}: {result}; {settings}{so_far}"


# ---------------------------------------------------------------------- what is written

def write_report(study, out) -> list[Path]:
    """pareto.png, importance.png and front.json into the folder `out`; returns those that could be made."""
    out = Path(out)
    front = sorted(study.best_trials, key=lambda trial: trial.values[1])
    written = [out / "front.json"]
    points = [{"score": trial.values[0], "seconds": trial.values[1], "trial": trial.number,
               "settings": settings_of(trial)} for trial in front]
    written[0].write_text(json.dumps(points, indent=1) + "\n", encoding="utf-8")
    return written + (draw(study, importance(study), out) if front else [])


def importance(study) -> dict[str, float]:
    """Share of each setting in what decides the score; {} with fewer than four trials or one score."""
    optuna = require_optuna()
    complete = [trial for trial in study.get_trials(deepcopy=False) if trial.values]
    if len(complete) < 4 or len({trial.values[0] for trial in complete}) < 2:
        return {}
    with warnings.catch_warnings(action="ignore"):              # it says each time that a low target is good
        evaluator = optuna.importance.PedAnovaImportanceEvaluator()
        return optuna.importance.get_param_importances(study, evaluator=evaluator,
                                                       target=lambda trial: -trial.values[0])


def draw(study, shares, out) -> list[Path]:
    """pareto.png: score and cost of each trial. importance.png: `shares`, unless there are none."""
    from matplotlib import pyplot  # matplotlib belongs to the course and to sweeps only
    from optuna.visualization import matplotlib as pictures

    optuna = require_optuna()
    drawings = {"pareto.png": lambda: pictures.plot_pareto_front(
        study, target_names=["seconds of training", "score of the last episodes"],
        targets=lambda trial: (trial.values[1], trial.values[0]))}
    if shares:
        drawings["importance.png"] = lambda: pictures.plot_param_importances(
            study, evaluator=optuna.importance.PedAnovaImportanceEvaluator(),
            target=lambda trial: -trial.values[0], target_name="the score")
    for name, picture in drawings.items():
        with warnings.catch_warnings(action="ignore"):          # the pictures are experimental
            figure = picture().figure
        figure.savefig(out / name, bbox_inches="tight")
        pyplot.close(figure)
    return [out / name for name in drawings]


# ---------------------------------------------------------------------- the command line

def add_arguments(parser) -> None:
    """The arguments of `python -m puffer_min sweep`."""
    parser.usage = "%(prog)s ENVIRONMENT [option ...]"
    add_environment(parser, "a setting of the environment (env.size=7), or of the learner, of all trials")
    parser.add_argument("--trials", type=int, default=40,
                        help="finished trials that the study will have (40)")
    parser.add_argument("--search", action="append", default=[], metavar="NAME=RANGE",
                        help="a setting to search, LOW:HIGH, LOW:HIGH:log or A,B,C; by default "
                             f"{', '.join(SEARCH)}")
    parser.add_argument("--study", metavar="NAME", help="name of the study (the environment's)")
    parser.add_argument("--storage", metavar="URL", help="storage of the study (SQLite in the folder)")
    parser.add_argument("--out", metavar="DIR", help="folder for the study and its pictures (sweeps/NAME)")
    parser.add_argument("--max-seconds", type=float, default=300,
                        help="a trial that takes longer is given up (300)")
    training.add_config_flags(parser)


def run(args) -> int:
    """Search, draw, and say where everything is."""
    search = dict(text.partition("=")[::2] for text in args.search) or None
    settings, env_settings = training.given_settings(args)
    out = Path(args.out or f"sweeps/{args.study or args.environment.replace(':', '-').replace('/', '-')}")
    try:
        study = run_sweep(environment(args.environment), trials=args.trials, search=search,
                          study_name=args.study, storage=args.storage, out=out, seed=args.seed,
                          max_seconds=args.max_seconds, env_settings=env_settings,
                          report=functools.partial(print, flush=True), **settings)
    except (KeyboardInterrupt, SystemExit):
        print("Interrupted: the trial that ran counts as failed. "
              f"The same command goes on with the study in {out}.")
        raise
    written = write_report(study, out)
    if not study.best_trials:
        print(f"no trial of {finished(study)} could be trained; the last one: {reasons_of(study)[-1]}",
              file=sys.stderr)
        return 1
    for trial in sorted(study.best_trials, key=lambda trial: trial.values[1]):
        print(f"{trial.values[0]:10.4g} in {trial.values[1]:6.1f} s  {settings_of(trial)}")
    print(f"{finished(study)} trials, {len(study.best_trials)} on the Pareto front; "
          f"written to {', '.join(map(str, written))}.")
    return 0
