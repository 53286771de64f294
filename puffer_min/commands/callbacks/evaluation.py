"""`Evaluation`: every so many steps, whole episodes on separate environments; the best policy stays on disk.

    result = puffer_min.train("snake", callbacks=[puffer_min.Evaluation(every=1_000_000)])
    puffer_min.load_policy(result.run_dir / "best.pt")

The episodes that end while a policy learns are played by many policies, the older of them worse, and with
settings that help learning (`training_settings`). These here are played by one policy, in the game that
`evaluate` plays, and each time from the same seed: two evaluations differ by their policies alone.
"""

import contextlib

from envs.core.settings import whole
from puffer_min.commands.callbacks.callback import Callback, Every, environment_of
from puffer_min.commands.evaluate import evaluate, sized
from puffer_min.commands.log import say
from puffer_min.learner.checkpoint import CheckpointError, read_checkpoint

OTHER_SEEDS = 5_000             # added to the run's seed: these environments are none of those it learns from


class Evaluation(Callback):
    """Evaluate every `every` agent-steps and at the end; keep the best policy in run_dir/best.pt.

    episodes   played each time, at least
    env        what makes the environments, if not what makes the run's; env_settings and seed likewise
    greedy     take the most probable actions instead of drawing them
    metric     number of the report (`evaluate`) by which one policy is better than another

    Adds evaluation_return, evaluation_length, evaluation_score and, for another metric, evaluation_METRIC to
    the log. Attributes: best (the metric's best value), best_step. A resumed run goes on with the best of
    before. Raises ValueError in `start` where nothing says how to make an environment.
    """

    def __init__(self, every: int, episodes: int = 20, *, env=None, env_settings: dict | None = None,
                 seed: int | None = None, greedy: bool = False, metric: str = "episode_return"):
        self.every, self.episodes = Every(whole("every", every, 1)), whole("episodes", episodes, 1)
        self.make_env, self.env_settings, self.seed = env, env_settings, seed
        self.greedy, self.metric = greedy, metric

    def start(self, run):
        make_env, settings = environment_of(self, run, "evaluate in")
        self.own_seed = run.seed + OTHER_SEEDS if self.seed is None else self.seed
        self.env = sized(make_env, self.episodes, self.own_seed, settings)
        self.every.start(run)
        self.path, self.best, self.best_step = run.run_dir / "best.pt", None, None
        if run.resumed_at:
            with contextlib.suppress(CheckpointError):              # there is none, or it was cut short
                self.best, self.best_step = read_checkpoint(self.path).get("evaluation", (None, None))

    def update(self, run, update):
        if not self.every(run):
            return None
        report = evaluate(self.env, run.actor(self.greedy), episodes=self.episodes, seed=self.own_seed)
        if self.metric not in report:
            raise ValueError(f"metric={self.metric!r} given, expected one of {', '.join(report)}")
        value = report[self.metric]
        if self.best is None or value > self.best:
            self.best, self.best_step = float(value), run.learner.steps
            run.save_policy(self.path, evaluation=(self.best, self.best_step))
        names = {"return": "episode_return", "length": "episode_length", "score": "score"}
        own = {} if self.metric in names.values() else {self.metric: self.metric}
        return {f"evaluation_{name}": report[source] for name, source in (names | own).items()}

    def end(self, run):
        self.env.close()
        if self.best is not None:
            say(f"The best policy (evaluation of {self.metric} {self.best:.4g}) is that of step "
                f"{self.best_step:,}: {self.path}.")
