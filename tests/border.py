"""Gives every environment arguments that nobody would, one after the other in a process that may not grow: test_border.py runs it.

    python tests/border.py squared snake            or, with PUFFER_DEBUG=1, in the build that checks overflow

A trial makes a batch, resets it, steps it and closes it. Either all of that works, or the constructor refuses the arguments in one
sentence that names one of them. Before each trial its arguments are printed, so that after a crash the last line tells what did it; a
trial that takes a minute ends the process.
"""

import ast
import faulthandler
import resource
import sys
from decimal import Decimal
from fractions import Fraction

import numpy as np
import torch
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

import envs
from envs.core.free_memory import free_memory

MEMORY = 512 * 2**20            # bytes that the trials may take
SECONDS = 60                    # for one trial
COMBINATIONS = 200              # trials of several settings at once, for each environment

INTEGERS = (0, 1, -1, 2, 3, 5, 7, 10, 255, 2**15, 2**16 + 1, 2**24 + 1, 2**26, 2**30 + 1, 2**31 - 3, 2**31 - 1, 2**31, 2**32 + 1, 2**62, 2**63,
            -2**31, -2**63 - 1, 10**30, 10**5000)
NUMBERS = (0.5, 1.5, 0.999, -0.0, 1e-45, 1e38, 1e300, float("nan"), float("inf"), -float("inf"))
SCALARS = (np.int64(3), np.int32(1), np.uint8(5), np.uint64(2**64 - 1), np.float32(3), np.float64(0.75), np.float32("nan"), np.array(3),
           np.array(0.5), np.bool_(True), torch.tensor(3), torch.tensor(0.5), torch.tensor(True), Fraction(3), Decimal("0.5"))
OTHERS = (True, False, None, "", "3", "nan", "search", "door_key", b"3", [], [3], (3, 4), {}, {3}, 3 + 0j, object(), int, np.array([3]), np.array([1, 2]),
          np.zeros((2, 2)), np.array("3"), np.array([None]), torch.tensor([3]), torch.zeros(2, 2), slice(3), range(3))
VALUES = INTEGERS + NUMBERS + SCALARS + OTHERS


class Awkward:
    """An object whose every conversion fails in a way of its own."""

    def __repr__(self):
        raise RuntimeError("no repr")

    def __index__(self):
        raise ZeroDivisionError

    def __float__(self):
        raise KeyError("no float")

    def __bool__(self):
        raise TypeError("no truth")

    def __eq__(self, other):
        raise ValueError("no equality")

    __hash__ = None


def settings_of(name: str) -> dict:
    """Setting -> default of environment `name`, as its class says it in the first line of its docstring; with those of every environment."""
    call = envs.load(name).__doc__.partition("): ")[0] + ")"
    keywords = {word.arg: ast.literal_eval(word.value) for word in ast.parse(" ".join(call.split()), mode="eval").body.keywords}
    return {"num_envs": 1, **keywords, "first_env": 0, "report_interval": 128, "buffers": None}


def combinations(name: str):
    """Strategy for the arguments of a trial of two to four settings: boundary values, others, and defaults."""
    defaults = settings_of(name)
    own = [setting for setting in defaults if setting != "buffers"]
    numbers = st.sampled_from(INTEGERS[:-1] + NUMBERS + SCALARS) | st.integers(-2**70, 2**70) | st.floats()
    few = st.lists(st.sampled_from(own), min_size=2, max_size=min(len(own), 4), unique=True)
    return few.flatmap(lambda some: st.fixed_dictionaries({name: st.just(defaults[name]) | numbers for name in some}))


def attempt(name: str, given: dict) -> str:
    """What became of a trial: "made", "refused", or what was wrong."""
    try:
        env = envs.make(name, **({"num_envs": 2} | given))
    except (ValueError, TypeError) as error:
        return judge(str(error), given)
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    try:
        space = env.single_action_space
        highest = getattr(space, "high", None) if getattr(space, "high", None) is not None else getattr(space, "nvec", getattr(space, "n", 0)) - 1
        for seed in (None, 2**64 + 3):
            env.reset(seed)
            env.step(np.zeros_like(env.actions))
            env.actions[...] = highest
            env.step(env.actions)
        if hasattr(env, "action_masks"):
            env.action_masks()
        env.log()
        env.close()
    except Exception as error:
        return f"made, and then {type(error).__name__}: {error}"
    return "made"


def judge(sentence: str, given: dict) -> str:
    """ "refused" if `sentence` is one line that names a setting of `given` and says what was expected; else what is missing."""
    if "\n" in sentence or len(sentence) > 300:
        return f"not one sentence: {sentence}"
    if not any(f"{setting}=" in sentence or f"{setting}:" in sentence for setting in given):
        return f"names no setting: {sentence}"
    return "refused" if "given" in sentence and "expected" in sentence else f"does not say what was expected: {sentence}"


def shown(given: dict) -> str:
    """The arguments of a trial in one short line."""
    def one(value):
        try:
            text = " ".join(repr(value).split())
        except Exception:
            text = f"<{type(value).__name__}>"
        return text if len(text) < 50 else text[:47] + "..."
    return ", ".join(f"{setting}={one(value)}" for setting, value in given.items())


def run_trials(name: str, ignored: list) -> list[str]:
    """What became of every setting at every value, and of several settings at once, as hypothesis draws them."""
    outcomes = []

    def trial(arguments):
        print(f"{name} {shown(arguments)}", flush=True)
        faulthandler.dump_traceback_later(SECONDS, exit=True)
        outcome = attempt(name, arguments)
        if ignored:
            outcome, _ = f"{outcome}, but {ignored[0].exc_value!r} was ignored", ignored.clear()
        if outcome not in ("made", "refused"):
            print(f"WRONG {name} {shown(arguments)}: {outcome}", flush=True)
        outcomes.append(outcome)

    for setting in settings_of(name):
        for value in (*VALUES, Awkward()):
            trial({setting: value})

    @settings(max_examples=COMBINATIONS, derandomize=True, database=None, deadline=None, phases=[Phase.generate],
              suppress_health_check=list(HealthCheck))
    @given(combinations(name))
    def several(arguments):
        trial(arguments)

    several()
    faulthandler.cancel_dump_traceback_later()
    return outcomes


def main(names) -> int:
    """Run the trials of the environments `names`; the status is 1 if one was wrong."""
    ignored, wrong = [], 0
    sys.unraisablehook = ignored.append             # overflow in a rule, in the debug build
    for name in names:
        envs.make(name).reset()                     # what is loaded once is no growth
    in_use = resource.getrlimit(resource.RLIMIT_AS)[1]
    taken = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (taken + MEMORY, in_use))
    assert free_memory() <= MEMORY
    for name in names:
        outcomes = run_trials(name, ignored)
        wrong += sum(outcome not in ("made", "refused") for outcome in outcomes)
        print(f"{name}: {len(outcomes)} trials, {outcomes.count('made')} made, {outcomes.count('refused')} refused", flush=True)
    return wrong > 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
