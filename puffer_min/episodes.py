"""What the episodes came to: the environment's own means, added up with the weight of their episodes."""

from collections import deque

MEANS = ("episode_return", "episode_length", "score")


class EpisodeStatistics:
    """Collects the episode log of `env`, from its `log()` and from the `infos` of its steps.

    window   the mean score `recent_score` is over at least so many episodes, or None before
    """

    def __init__(self, env, window: int = 100):
        self.log = getattr(env, "log", dict)
        self.window, self.recent = window, deque()
        self.collected = []

    def add(self, infos) -> None:
        """Infos of one step; those that hold an episode log are kept."""
        self.collected.extend(info for info in infos if "n" in info and "episode_return" in info)

    def report(self) -> dict:
        """Means over the episodes since the last report: episode_return, episode_length, score, the environment's own; `episodes` counts.

        The means are None where no episode ended.
        """
        logs = [log for log in (*self.collected, self.log()) if log]
        self.collected = []
        episodes = sum(log["n"] for log in logs)
        names = dict.fromkeys(MEANS) | dict.fromkeys(name for log in logs for name in log if name != "n")
        means = {name: sum(log["n"] * log[name] for log in logs if name in log) / episodes if logs else None for name in names}
        if logs:
            self.recent.append((episodes, means["score"]))
            while sum(n for n, _ in self.recent) - self.recent[0][0] >= self.window:
                self.recent.popleft()
        return {"episodes": episodes, **means}

    @property
    def recent_score(self):
        """Mean score of the last `window` or a few more episodes; None if there have not been so many."""
        episodes = sum(n for n, _ in self.recent)
        return sum(n * score for n, score in self.recent) / episodes if episodes >= self.window else None
