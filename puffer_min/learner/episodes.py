"""What the episodes came to: the environment's own means, added up with the weight of their episodes."""

from collections import deque

from puffer_min.learner.distributed import ALONE

MEANS = ("episode_return", "episode_length", "score")


class EpisodeStatistics:
    """Collects the episode log of `env`, from its `log()` and from the `infos` of its steps.

    window   the mean score `recent_score` is over at least so many episodes; None before, and before as many have ended as there are
             agents: those that end first may all be the lucky ones
    """

    def __init__(self, env, world=ALONE, window: int = 100):
        self.log = getattr(env, "log", dict)
        self.world, self.window, self.recent = world, window, deque()
        self.collected = []
        self.ended, self.num_agents = 0, env.num_agents * world.size

    def add(self, infos) -> None:
        """Infos of one step; those that hold an episode log are kept."""
        self.collected.extend(info for info in infos if "n" in info and "episode_return" in info)

    def report(self) -> dict:
        """Means over the episodes of all processes since the last report: episode_return, episode_length, score, the environment's own.

        `episodes` counts them.

        The means are None where no episode ended.
        """
        logs = self.world.gather([log for log in (*self.collected, self.log()) if log])
        self.collected = []
        episodes = sum(log["n"] for log in logs)
        self.ended += episodes
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
        known = episodes >= self.window and self.ended >= self.num_agents
        return sum(n * score for n, score in self.recent) / episodes if known else None
