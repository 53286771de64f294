"""`make_vec`: any number of environments behind one object that has the face of one environment.

    vec = make_vec("snake", num_envs=4)                             # native: one object steps them all
    vec = make_vec(MyEnv, num_envs=8, size=5)                       # a PufferEnv class, or anything that makes one
    vec = make_vec(lambda: gymnasium.make("CartPole-v1"), num_envs=8)

Two layers. A *batch* (batch.py) is environments [first, first + n) over given buffers. A *vectorizer* drives batches: `Serial`
drives one, here and now. Nothing is copied on the way: the learner reads the rows that the environments write.
"""

from typing import NamedTuple

import numpy as np

from puffer_min.batch import PythonBatch, adapt, make_batch, seed_of

__all__ = ["Batch", "PythonBatch", "Serial", "adapt", "make_batch", "make_vec", "seed_of"]

BACKENDS = ("serial",)


class Batch(NamedTuple):
    """What `recv` gives: the results of a step for the agents `rows` of the vectorizer, as views, in the order of the contract."""

    observations: np.ndarray
    rewards: np.ndarray
    terminals: np.ndarray
    truncations: np.ndarray
    masks: np.ndarray
    final_observations: np.ndarray | None
    infos: list
    rows: slice


def make_vec(make_env, num_envs=1, num_workers=1, backend="serial", seed=0, batch_envs=None, **settings):
    """A vectorizer over `num_envs` environments: reset(seed), step(actions), or async_reset, recv, send; attributes of an environment.

    make_env     the name of a native environment, or a callable: a native class, or one that returns a `PufferEnv` or a flat
                 `gymnasium.Env` when called with `settings`.
    num_workers  how many environments are stepped at a time; 1 for the serial backend.
    backend      "serial": in this process, one after the other.
    seed         whole number >= 0, used at the first reset.
    batch_envs   environments that one `recv` returns; None for all of them.
    settings     passed on to each environment.

    Raises ValueError for an unknown name, backend or division, TypeError for a callable that makes something else.
    """
    if backend not in BACKENDS:
        raise ValueError(f"backend={backend!r} is not available yet, use backend=\"serial\"")
    if num_workers != 1:
        raise ValueError(f"num_workers={num_workers} given, expected 1: the serial backend steps in this process")
    if batch_envs not in (None, num_envs):
        raise ValueError(f"batch_envs={batch_envs} with num_envs={num_envs}: the serial backend returns all environments at once, "
                         "leave it out")
    return Serial(make_batch(make_env, num_envs, seed=seed, **settings))


class Serial:
    """The serial vectorizer: one batch, stepped in this process. All other attributes are those of the batch."""

    backend, num_workers = "serial", 1
    plan = "serial: every environment is stepped in this process, one after the other"

    def __init__(self, batch):
        self.batch = batch
        self.batch_envs = batch.num_envs
        self._results = None            # of the last async_reset or send, until recv takes them

    def __getattr__(self, name):
        if name == "batch":             # before __init__, as in unpickling
            raise AttributeError(name)
        return getattr(self.batch, name)

    def reset(self, seed=None):
        """Reset every environment; returns (observations, infos)."""
        self._results = None
        return self.batch.reset(seed)

    def step(self, actions):
        """Step every environment once; returns (observations, rewards, terminals, truncations, infos)."""
        if self._results is not None:
            raise RuntimeError("step() after send() or async_reset(): call recv() first")
        return self.batch.step(actions)

    def async_reset(self, seed=None):
        """Begin a reset; `recv` gives its result."""
        self._results = self.batch.reset(seed)[1]

    def send(self, actions):
        """Begin a step of the agents that the last `recv` returned; `recv` gives its result."""
        if self._results is not None:
            raise RuntimeError("send() twice: call recv() in between")
        self._results = self.batch.step(actions)[4]

    def recv(self):
        """The next `Batch`, as soon as it is there."""
        if self._results is None:
            raise RuntimeError("recv() without a step on its way: call async_reset() or send(actions) first")
        infos, self._results = self._results, None
        b = self.batch
        return Batch(b.observations, b.rewards, b.terminals, b.truncations, b.masks, b.final_observations, infos, slice(0, b.num_agents))

    def close(self):
        """Close the batch. Closing twice is harmless; stepping afterwards is an error."""
        self.batch.close()

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self.close()

    def __repr__(self):
        return f"Serial({self.batch!r})"
