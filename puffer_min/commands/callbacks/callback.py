"""The protocol of callbacks: objects that `train` calls at the start, after each update and at the end.

    puffer_min.train("snake", callbacks=[puffer_min.Evaluation(every=1_000_000), Mine()])
    python -m puffer_min train snake --callback my_callbacks.py:Mine

    class Mine(puffer_min.Callback):
        def update(self, run, update):
            if update["entropy"] < 0.01:
                run.stop("the actions are no longer random")    # after this update, with a checkpoint
            return {"value_mean": float(run.learner.buffer.values.mean())}      # joins the line of the log

`run` is the `Run` of run.py. What a callback reads of it:

    run.make_env, run.env_settings      what makes environments like the run's; None if a vectorizer was given
    run.learner                         policy, steps, updates, buffer, episodes
    run.config, run.seed, run.env_name, run.run_dir, run.resumed_at, run.history
    run.actor(greedy)                   the policy as it is now, to play with
    run.save_policy(path)               the same in one file, for load_policy and `eval`

A callback that raises ends the run: a checkpoint is written first, and `CallbackError` names the callback and
the checkpoint. So does one that closes or replaces run.env, or replaces run.learner or its policy, which are
put back. One that raises in `end` is left out with a sentence. In a run of several processes only those
of the first are called.
"""

import copy
import math
import numbers
from collections.abc import Iterable

from puffer_min.commands.log import guarded, in_short

METHODS = ("start", "update", "end")


class Callback:
    """Base of callbacks; each method does nothing. Any object with one of these methods will do as well."""

    def start(self, run) -> None:
        """The run begins: its folder and learner exist."""

    def update(self, run, update: dict) -> dict | None:
        """An update is finished. `update` is its line of the log, with the numbers of earlier callbacks.

        Returns numbers by name, which join the line, or None. `run.stop(reason)` ends the run.
        """

    def end(self, run) -> None:
        """The run ends. `run.ended` says why, as `Result.ended` does; None means that an error ended it."""


class CallbackError(ValueError):
    """A callback raised or took what the run needs; the message names it, a note the checkpoint."""


class Callbacks:
    """The callbacks of one run, called in order. Raises TypeError for an object that is no callback."""

    def __init__(self, callbacks):
        if not isinstance(callbacks, Iterable):
            raise TypeError(f"callbacks={callbacks!r:.80} given, expected a list: callbacks=[...]")
        self.all, self.started = list(callbacks), []
        for callback in self.all:
            if isinstance(callback, type) or not any(hasattr(callback, method) for method in METHODS):
                given = f"the class {callback.__name__}" if isinstance(callback, type) else repr(callback)
                raise TypeError(f"callbacks: {given} given, expected objects with start(run), update(run, "
                                "update) or end(run), such as those of a subclass of puffer_min.Callback")

    def start(self, run) -> None:
        for callback in self.all:
            self._call(callback, "start", run)
            self.started.append(callback)

    def update(self, run, update: dict) -> None:
        """Show `update` to each callback, and add the numbers that it returns."""
        own = set(update)
        for callback in self.all:
            given = self._call(callback, "update", run, copy.deepcopy(update))
            if given is None:
                continue
            given = numbers_of(given, callback)
            if clash := own & given.keys():
                raise CallbackError(f"callback {type(callback).__name__} returned {', '.join(clash)} from "
                                    "update, which the run counts itself, expected other names")
            update |= given

    def end(self, run) -> None:
        """Let every callback that was started end; one that raises is left out with a sentence."""
        for callback in reversed(self.started):
            guarded(f"{type(callback).__name__}.end", getattr(callback, "end", lambda run: None))(run)

    @staticmethod
    def _call(callback, method, run, *update):
        """Call it; what the run cannot do without is put back afterwards, so that a checkpoint is left."""
        parts = (run, "env"), (run, "learner"), (run.learner, "env"), (run.learner, "policy")
        held = [(owner, name, getattr(owner, name)) for owner, name in parts]
        try:
            given = getattr(callback, method, lambda *_: None)(run, *update)
        except Exception as error:
            raise CallbackError(f"callback {type(callback).__name__} failed in {method} "
                                f"({in_short(error)})") from error
        finally:
            deeds = [f"replaced the {name}" for owner, name, part in held if getattr(owner, name) is not part]
            for part in held:
                setattr(*part)
        if deeds or run.env.observations is None:
            raise CallbackError(f"callback {type(callback).__name__} {(*deeds, 'closed the env')[0]} of the "
                                f"run in {method}, expected it as it is until the run has ended: make "
                                "another one to change or to close")
        return given


def numbers_of(given, callback) -> dict[str, float]:
    """The dict that `callback` returned, with plain numbers. Raises CallbackError for anything else."""
    if isinstance(given, dict):
        given = {name: value.item() if getattr(value, "ndim", None) == 0 else value
                 for name, value in given.items()}
        if all(isinstance(name, str) and isinstance(value, numbers.Real) for name, value in given.items()):
            return given
    raise CallbackError(f"callback {type(callback).__name__} returned {given!r:.60} from update, expected "
                        "numbers by name or None")


def environment_of(callback, run, deed) -> tuple:
    """(what makes environments for `callback`, their settings): its own, or else the run's.

    Raises ValueError if there is neither; `deed` says what the callback does with an environment.
    """
    make_env = callback.make_env or run.make_env
    if make_env is None:
        raise ValueError("the run was given a vectorizer, expected env=, what makes an environment to "
                         f"{deed}: {type(callback).__name__}(every, env=...)")
    return make_env, run.env_settings if callback.env_settings is None else callback.env_settings


class Every:
    """Whether it is time: once for each `steps` agent-steps, and at the last update of a run."""

    def __init__(self, steps):
        self.steps = steps

    def start(self, run) -> None:
        self.due = (run.resumed_at or 0) + self.steps

    def __call__(self, run) -> bool:
        now = run.learner.steps
        if now < min(self.due, run.config.total_steps):
            return False
        self.due = self.steps * (math.floor(now / self.steps) + 1)
        return True
