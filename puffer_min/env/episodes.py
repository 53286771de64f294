"""Returns, lengths and metrics of episodes, from the running episode to the line of a training log.

    EpisodeLog          adds up the running episodes of a Python environment; `account` in
                        envs/core/native.pyx does it for native ones
    log                 the mean over the episodes that ended: {"n": 3, "episode_return": 1.5,
                        "episode_length": 20.0, "score": 1.5}
    mean_of(logs)       one log of several, each weighted by its number of episodes
    EpisodeStatistics   collects the logs of an environment between two reports of a learner
"""

import copy
from collections import deque

import numpy as np

MEANS = ("episode_return", "episode_length", "score")
LONGEST_EMPTY = 1000            # steps without an agent in any row, after which none is expected


def mean_of(logs) -> dict:
    """One log of several, each name weighted by the number of episodes "n" behind it; {} if no episode ended.

    A log may lack a name that others have: the mean of that name is taken over the logs that have it.
    """
    logs = [log for log in logs if log and log["n"]]
    if len(logs) < 2:
        return dict(logs[0]) if logs else {}
    means = {"n": sum(log["n"] for log in logs)}
    for name in dict.fromkeys(name for log in logs for name in log if name != "n"):
        having = [log for log in logs if name in log]
        means[name] = sum(log["n"] * log[name] for log in having) / sum(log["n"] for log in having)
    return means


class EpisodeLog:
    """Adds up the running episodes of `num_agents` agents.

    lengths   (num_agents,) int32, steps of the running episode so far
    returns   (num_agents,) float32, sum of its rewards so far
    metrics   (num_agents, number of metric names) float32, written by the environment, read when the episode
              ends and zeroed
    acting    (num_agents,) bool, agents that live at the beginning of the step: for the others it is no step
              of an episode
    """

    def __init__(self, num_agents, metric_names=()):
        self.metric_names = tuple(metric_names)
        self.lengths = np.zeros(num_agents, np.int32)
        self.returns = np.zeros(num_agents, np.float32)
        self.metrics = np.zeros((num_agents, len(self.metric_names)), np.float32)
        self.acting = np.ones(num_agents, bool)
        self.clear()

    def clear(self):
        """Forget running and finished episodes."""
        self.lengths[:] = self.returns[:] = 0
        self.metrics[:] = 0
        self.calls, self.episodes, self.sums = 0, 0, np.zeros(2 + len(self.metric_names))

    def begin_step(self, buffers):
        """Before a step: note which agents act in it, and zero rewards and flags."""
        self.acting[:] = buffers.masks
        buffers.rewards.fill(0)
        buffers.terminals.fill(False)
        buffers.truncations.fill(False)

    def add(self, buffers, report_interval=0):
        """Add the step in `buffers`; where a flag is up the episode is over.

        Returns [report] at every report_interval-th call in which there is something to report, else [].
        """
        self.returns += buffers.rewards
        ends = buffers.terminals | buffers.truncations
        self.lengths += self.acting
        if np.count_nonzero(ends):
            ended = np.flatnonzero(ends)
            self.episodes += len(ended)
            self.sums[0] += self.returns[ended].sum(dtype=float)
            self.sums[1] += self.lengths[ended].sum()
            self.sums[2:] += self.metrics[ended].sum(0)
            self.returns[ended] = self.lengths[ended] = 0
            self.metrics[ended] = 0
        self.calls += 1
        if report_interval and self.calls % report_interval == 0:
            report = self.report()
            return [report] if report else []
        return []

    def report(self):
        """Mean over the episodes that ended since the last report, {} if none ended.

        n, episode_return, episode_length, score and the metrics.
        """
        episodes, sums = self.episodes, self.sums
        self.episodes, self.sums = 0, np.zeros_like(sums)
        if episodes == 0:
            return {}
        names = ("episode_return", "episode_length", *self.metric_names)
        means = dict(zip(names, (sums / episodes).tolist(), strict=True))
        return {"n": episodes, **means, "score": means.get("score", means["episode_return"])}

    def get_state(self):
        """Everything in the log, as a picklable dict."""
        return copy.deepcopy(vars(self))

    def set_state(self, state):
        """Go on from what `get_state` gave."""
        restore(self, copy.deepcopy(state))


class EpisodeStatistics:
    """Collects the episode logs of `env`, from its `log()` and from the `infos` of its steps.

    gather   joins the lists of all processes that learn together; with one process a list stays as it is
    window   `recent_score` is the mean score of at least this many episodes. It is None before, and also
             until as many episodes have ended as there are agents: the first to end are shorter than most
    """

    def __init__(self, env, gather=list, window: int = 100):
        self.log = getattr(env, "log", dict)
        self.gather, self.window, self.recent = gather, window, deque()
        self.collected, self.env, self.empty = [], env, 0
        self.ended, self.num_agents = 0, sum(gather([env.num_agents]))

    def add(self, infos) -> None:
        """Keep the episode logs among the infos of one step. Raises ValueError if agents stay away."""
        masks = getattr(self.env, "masks", None)
        self.empty = 0 if masks is None or masks.any() else self.empty + 1
        if self.empty >= LONGEST_EMPTY:             # who collects or plays until agents have acted would hang
            raise ValueError(f"masks: no agent was there in the last {LONGEST_EMPTY:,} steps, expected some: "
                             "set masks to True in the rows of agents, and end the episode, and begin the "
                             "next, in the step in which the last one leaves")
        self.collected.extend(info for info in infos if "n" in info and "episode_return" in info)

    def report(self) -> dict:
        """Means over the episodes of all processes since the last report, named as in `EpisodeLog.report`.

        `episodes` is their number; the means are None where no episode ended.
        """
        mean = mean_of(self.gather([log for log in (*self.collected, self.log()) if log]))
        self.collected = []
        episodes = mean.pop("n", 0)
        if episodes:
            self.ended += episodes
            self.recent.append((episodes, mean["score"]))
            while sum(n for n, _ in self.recent) - self.recent[0][0] >= self.window:
                self.recent.popleft()
        return {"episodes": episodes, **dict.fromkeys(MEANS), **mean}

    @property
    def recent_score(self):
        """Mean score of the last `window` or a few more episodes; None if there have not been so many."""
        mean = mean_of([{"n": n, "score": score} for n, score in self.recent])
        return mean["score"] if mean.get("n", 0) >= self.window and self.ended >= self.num_agents else None


def metric_names_of(info_keys):
    """`info_keys` as names of metrics; ValueError unless they are distinct names of the environment's own."""
    names = None if isinstance(info_keys, str) else tuple(info_keys)
    own = {"n", "episode_return", "episode_length"}
    strings = names is not None and all(isinstance(name, str) for name in names)
    if not strings or len({*names}) < len(names) or own & {*names}:
        raise ValueError(f"info_keys={info_keys!r} given, expected a list of distinct names, such as "
                         f"[\"is_success\"], other than {sorted(own)}")
    return names


def restore(thing, attributes):
    """Set the attributes of `thing`; arrays of equal shape and dtype in place, so that views stay views."""
    for name, saved in attributes.items():
        present = getattr(thing, name, None)
        arrays = isinstance(saved, np.ndarray) and isinstance(present, np.ndarray)
        if arrays and (saved.shape, saved.dtype) == (present.shape, present.dtype):
            present[...] = saved
        else:
            setattr(thing, name, saved)


def log_fields(metric_names):
    """The names in a log, in order; a worker's row of the logs holds their values."""
    return ("n", "episode_return", "episode_length", *dict.fromkeys((*metric_names, "score")))
