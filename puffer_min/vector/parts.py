"""`Received` and `Part`, the division of environments among workers, and errors of calls out of turn."""

import contextlib
import signal
from typing import NamedTuple

import numpy as np

from puffer_min.env.spec import EnvSpec


class Received(NamedTuple):
    """The results that `recv` gives, of the agents `rows` of the vectorizer, in the order of the contract.

    rows is a slice, and the arrays are views; or, where the workers are not neighbours, it is an int array,
    and the arrays are copies. action_masks is bool (rows, choices) or None. infos is a list of dicts.
    """

    observations: np.ndarray
    rewards: np.ndarray
    terminals: np.ndarray
    truncations: np.ndarray
    masks: np.ndarray
    final_observations: np.ndarray | None
    action_masks: np.ndarray | None
    infos: list
    rows: slice | np.ndarray

    @classmethod
    def of(cls, env, action_masks, infos, rows):
        """The rows of the arrays of `env`, a batch or a vectorizer, and of its action masks."""
        arrays = [getattr(env, name) for name in cls._fields[:6]] + [action_masks]
        return cls(*(None if array is None else array[rows] for array in arrays), infos, rows)


class Part(NamedTuple):
    """What a vectorizer knows about the batch of a worker."""

    env_spec: EnvSpec
    num_envs: int
    num_agents: int
    name: str

    @classmethod
    def of(cls, batch):
        """The name is a Gymnasium environment's id, a native environment's name, or the name of the class."""
        driver = getattr(batch, "driver", batch)
        inner = getattr(driver, "env", driver)
        spec, kind = getattr(inner, "spec", None), inner if hasattr(inner, "__name__") else type(inner)
        name = kind.__module__.removeprefix("envs.") if kind.__module__.startswith("envs.") else kind.__name__
        return cls(EnvSpec.of(batch), batch.num_envs, batch.num_agents, getattr(spec, "id", None) or name)


def refuse_turn(method, in_flight, all_workers=False):
    """Raise RuntimeError, saying why `method` cannot send actions: workers run, or they were never reset."""
    if in_flight and all_workers:
        raise RuntimeError(f"{method} after send() or async_reset(): call recv() first, or reset()")
    if in_flight:
        raise RuntimeError(f"{method} twice: call recv() in between")
    raise RuntimeError(f"{method} before the first reset: call reset(seed) or async_reset(seed)")


@contextlib.contextmanager
def uninterrupted():
    """Put off Ctrl-C, so that no KeyboardInterrupt separates a command or a status from its message."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def part_bounds(num_envs, num_workers):
    """[first, last) of the environments of each worker; the parts differ by one environment at most."""
    edges = [num_envs * worker // num_workers for worker in range(num_workers + 1)]
    return list(zip(edges[:-1], edges[1:], strict=True))
