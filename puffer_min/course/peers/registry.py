"""Which libraries there are, and how one is run: seeded alike, clocked alike, profiled alike."""

import contextlib
import importlib
import importlib.metadata
import importlib.util
import inspect
import logging
import warnings

import numpy as np
import torch
from torch.distributions import Distribution

from puffer_min.course.peers.terms import BudgetSpent, Run, Terms, Watch, seed_all
from puffer_min.course.profile import CallProfile, profile_calls

PROGRAMS = {                                            # name -> (module here, package)
    "CleanRL style": ("cleanrl_style", "puffer_min"),
    "Stable-Baselines3": ("stable_baselines3", "stable_baselines3"),
    "Tianshou": ("tianshou", "tianshou"),
    "TorchRL": ("torchrl", "torchrl"),
    "skrl": ("skrl", "skrl"),
    "puffer_min": ("ours", "puffer_min"),
}
NAMES = tuple(PROGRAMS)


def missing() -> dict[str, str]:
    """Name -> the sentence that says what to do, for each library that is not installed."""
    return {name: f"{name} is not installed and is left out: pip install {package.replace('_', '-')}"
            for name, (_, package) in PROGRAMS.items() if importlib.util.find_spec(package) is None}


def versions() -> dict[str, str]:
    """Name -> version of each library that is installed; our own two are "this repository"."""
    return {name: "this repository" if package == "puffer_min" else importlib.metadata.version(package)
            for name, (_, package) in PROGRAMS.items() if name not in missing()}


def load(name: str):
    """The module of a library, by its name. Raises ValueError for another name, ImportError with a sentence
    if it is not installed.
    """
    if name not in PROGRAMS:
        raise ValueError(f"name={name!r} given, expected one of {', '.join(map(repr, NAMES))}")
    if name in missing():
        raise ImportError(missing()[name])
    with quiet(), kept_validation():
        module = importlib.import_module(f"puffer_min.course.peers.{PROGRAMS[name][0]}")
    # both greet every reader of a notebook with what they are doing
    for loud in ("torchrl", "skrl"):
        logging.getLogger(loud).setLevel(logging.WARNING)
    return module


def program(name: str):
    """The function `train(terms, make_env, seed)` of a library."""
    return load(name).train


def run(name: str, *, train=None, terms: Terms | None = None, seconds=None, steps=None,
        until: float = float("inf"), seed: int = 1, warm_up: bool = True) -> Run:
    """Let a library play and learn until `seconds` or `steps` are spent; construction and the first update
    are not clocked.

    until   ends the run earlier, as soon as the last 100 episodes have this mean return.
    train   another program than the library's own, such as an `Edited`.
    Every run gets torch's own setting of `validate_args`, which two of the libraries switch off for everybody
    when they are imported, except those two.
    """
    train, terms = train or program(name), terms or Terms()
    watch = Watch(seconds=seconds, steps=steps, until=until, warm_up=terms.batch_size if warm_up else 0)
    drive(name, train, terms, watch, seed)
    return Run(name, terms, watch.steps, watch.seconds, np.array(watch.episodes, float).reshape(-1, 3),
               bytes(watch.actions))


def drive(name, train, terms, watch, seed):
    """Run `train` until the watch ends it."""
    seed_all(seed)
    with quiet(), kept_validation(switched_off=name in ("TorchRL", "skrl")), contextlib.suppress(BudgetSpent):
        train(terms, watch.environment(terms.task), seed)


def stages(name: str, *, terms: Terms | None = None, updates: int = 3,
           seed: int = 1) -> tuple[dict[str, float], CallProfile]:
    """(stage -> share of the time, the whole profile) of so many updates under cProfile, with the playing
    before each.

    environment: from actions to what comes back. policy: from observations to actions. update: advantages and
    gradients. bookkeeping: all the rest. The profiler's hook is in the shares, and functions in Python carry
    more of it than the network does.
    """
    module, terms = load(name), terms or Terms()
    watch = Watch(steps=updates * terms.batch_size)
    profile = profile_calls(lambda: drive(name, module.train, terms, watch, seed))
    elapsed = watch.seconds                             # from the first step on: without construction
    spent = {(row.file, row.line): row.total for row in profile.table}
    shares = {stage: sum(spent.get(place(function), 0.0) for function in functions) / elapsed
              for stage, functions in module.STAGES.items()}
    return shares | {"bookkeeping": max(0.0, 1 - sum(shares.values()))}, profile


def place(function):
    """(file, first line) of a function or method, its decorators taken off."""
    code = inspect.unwrap(function).__code__
    return code.co_filename, code.co_firstlineno


@contextlib.contextmanager
def kept_validation(switched_off: bool = False):
    """torch's setting of `validate_args` for distributions within, and as it was before afterwards."""
    before = Distribution._validate_args
    Distribution.set_default_validate_args(not switched_off)
    try:
        yield
    finally:
        Distribution.set_default_validate_args(before)


@contextlib.contextmanager
def quiet():
    """No warnings of the libraries' own making, and torch's number of threads and default type kept."""
    threads, dtype = torch.get_num_threads(), torch.get_default_dtype()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            yield
        finally:
            torch.set_num_threads(threads)
            torch.set_default_dtype(dtype)
