"""`EpisodeLog`: returns, lengths and metrics of running episodes, and their mean over the episodes that ended.

The native base does this in C (`account` in envs/core/native.pyx); this is the same for Python environments. One log serves
any number of rows, so a vectorizer of many small environments keeps one for all of them and pays NumPy's overhead once.
"""

import copy

import numpy as np

from puffer_min.env.episode_sums import add_step


class EpisodeLog:
    """Adds up the running episodes of `num_agents` agents.

    lengths   (num_agents,) int32, steps of the running episode so far
    returns   (num_agents,) float32, sum of its rewards so far
    metrics   (num_agents, number of metric names) float32, written by the environment, read when the episode ends and zeroed
    """

    def __init__(self, num_agents, metric_names=()):
        self.metric_names = tuple(metric_names)
        self.lengths = np.zeros(num_agents, np.int32)
        self.returns = np.zeros(num_agents, np.float32)
        self.metrics = np.zeros((num_agents, len(self.metric_names)), np.float32)
        self.clear()

    def clear(self):
        """Forget running and finished episodes."""
        self.lengths[:] = self.returns[:] = 0
        self.metrics[:] = 0
        self.calls, self.episodes, self.sums = 0, 0, np.zeros(2 + len(self.metric_names))

    def add(self, buffers, report_interval=0):
        """Add the step in `buffers`; where a flag is up the episode is over. Returns [report] at each report_interval-th call, else []."""
        if add_step(buffers.rewards, buffers.terminals, buffers.truncations, buffers.masks, self.returns, self.lengths):
            ended = np.flatnonzero(buffers.terminals | buffers.truncations)
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
        """Mean over the episodes that ended since the last report, or {}: n, episode_return, episode_length, score and the metrics."""
        episodes, sums = self.episodes, self.sums
        self.episodes, self.sums = 0, np.zeros_like(sums)
        if episodes == 0:
            return {}
        means = dict(zip(("episode_return", "episode_length", *self.metric_names), (sums / episodes).tolist()))
        return {"n": episodes, **means, "score": means.get("score", means["episode_return"])}

    def get_state(self):
        """Everything in the log, as a picklable dict."""
        return copy.deepcopy(vars(self))

    def set_state(self, state):
        """Go on from what `get_state` gave."""
        restore(self, copy.deepcopy(state))


def metric_names_of(info_keys):
    """`info_keys` as names of metrics; ValueError unless they are distinct names of the environment's own."""
    names = None if isinstance(info_keys, str) else tuple(info_keys)
    own = {"n", "episode_return", "episode_length"}
    if names is None or len({*names}) < len(names) or own & {*names} or not all(isinstance(name, str) for name in names):
        raise ValueError(f"info_keys={info_keys!r} given, expected a list of distinct names, such as [\"is_success\"], other than {sorted(own)}")
    return names


def restore(thing, attributes):
    """Set the attributes of `thing`; an array of fitting shape and dtype is written in place, so that views of it stay views."""
    for name, saved in attributes.items():
        present = getattr(thing, name, None)
        arrays = isinstance(saved, np.ndarray) and isinstance(present, np.ndarray)
        if arrays and (saved.shape, saved.dtype) == (present.shape, present.dtype):
            present[...] = saved
        else:
            setattr(thing, name, saved)
