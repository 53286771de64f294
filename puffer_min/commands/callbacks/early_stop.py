"""`EarlyStop`: the run ends when a number of its log has not improved for a while."""

from envs.core.settings import whole
from puffer_min.commands.callbacks.callback import Callback
from puffer_min.commands.log import say


class EarlyStop(Callback):
    """End the run after `patience` agent-steps without an improvement of `metric`.

    metric    a number of the log: "score", "evaluation_return" (with `Evaluation` before this callback) ...
              Updates without it do not count
    least     an improvement is larger than this
    falling   True for a number that is better when it is smaller
    reach     end the run as soon as the number is this good, too
    """

    def __init__(self, metric: str, patience: int, *, least: float = 0.0, falling: bool = False,
                 reach: float | None = None):
        self.metric, self.patience = metric, whole("patience", patience, 1)
        self.least, self.sign, self.reach = least, -1 if falling else 1, reach

    def start(self, run):
        self.best = None

    def update(self, run, update):
        value, step = update.get(self.metric), update["step"]
        if value is None:
            return
        if self.best is None or self.sign * (value - self.best) > self.least:
            self.best, self.best_step = value, step
        if self.reach is not None and self.sign * (value - self.reach) >= 0:
            run.stop(f"{self.metric} reached {self.reach:.4g}")
        elif step - self.best_step >= self.patience:
            run.stop(f"{self.metric} has not been better than {self.best:.4g} since step {self.best_step:,}")

    def end(self, run):
        if self.best is None and run.history:
            known = [name for name, value in run.history[-1].items() if isinstance(value, int | float)]
            say(f"EarlyStop never saw {self.metric!r} in the log, which holds {', '.join(known)}.")
