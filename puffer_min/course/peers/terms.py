"""The terms of the comparison: one task, one set of PPO's settings, one clock, for every library.

    watch = Watch(seconds=5)
    make_env = watch.environment(Terms().task)        # counts every step, notes every episode, and ends the
                                                      run when the time is over

The budget sits in the environment, the one part that every library calls and none replaces. So no library is
asked to report its own speed or its own returns, and none has to be told how to stop.
"""

import dataclasses
import time

import gymnasium
import numpy as np
import torch
from torch import nn


@dataclasses.dataclass(frozen=True)
class Terms:
    """PPO's settings in the field's names; the defaults are those of CleanRL's `ppo.py`, with a constant
    learning rate.

    vf_coef     of the mean squared error of the values. CleanRL's 0.5 multiplies half the square, so it is
                0.25 here.
    """

    task: str = "CartPole-v1"
    num_envs: int = 4
    horizon: int = 128
    num_minibatches: int = 4
    update_epochs: int = 4
    learning_rate: float = 2.5e-4
    adam_eps: float = 1e-5
    gamma: float = 0.99
    gae_lambda: float = 0.95
    clip_coef: float = 0.2              # of the ratios, and of the change of the values
    vf_coef: float = 0.25
    ent_coef: float = 0.01
    max_grad_norm: float = 0.5

    @property
    def batch_size(self) -> int:
        """Steps an update."""
        return self.num_envs * self.horizon

    @property
    def minibatch_size(self) -> int:
        """Steps a gradient step."""
        return self.batch_size // self.num_minibatches


WIDE = Terms(num_envs=64, horizon=32, learning_rate=5e-3)
"""64 carts, minibatches of 512, a larger learning rate: what level 4 gives to every library in its last
comparison.
"""


def network(outputs: int, gain: float) -> nn.Sequential:
    """CleanRL's network: 4 inputs, two layers of 64 with tanh, orthogonal weights of gain sqrt(2), the last
    layer's of `gain`.
    """
    layers = [nn.Linear(4, 64), nn.Tanh(), nn.Linear(64, 64), nn.Tanh(), nn.Linear(64, outputs)]
    for layer, scale in zip(layers[::2], (2**0.5, 2**0.5, gain), strict=True):
        nn.init.orthogonal_(layer.weight, scale)
        nn.init.zeros_(layer.bias)
    return nn.Sequential(*layers)


class BudgetSpent(BaseException):
    """Ends a run from inside its environment. No `Exception`, so that no library takes it for a failing
    environment.
    """


class Watch:
    """Counts steps and notes episodes of all environments that it makes, until `seconds` or `steps` are
    spent.

    until   ends the run earlier, as soon as the last 100 episodes have this mean return.
    The clock starts after `warm_up` steps, so that construction and what is done but once are not counted.
    Episodes and `actions`, every action taken, as bytes, are kept from the very first step.
    """

    WINDOW = 100                        # episodes whose mean counts

    def __init__(self, *, seconds: float | None = None, steps: int | None = None, warm_up: int = 0,
                 until: float = float("inf")):
        if (seconds is None) == (steps is None):
            raise ValueError(f"seconds={seconds} and steps={steps} given, expected one of the two")
        self.limit_seconds, self.limit_steps = seconds or float("inf"), steps or float("inf")
        self.warm_up, self.steps, self.started = warm_up, -warm_up, None
        self.actions, self.episodes = bytearray(), []
        self.until = until

    @property
    def seconds(self) -> float:
        """Since the end of the warm-up."""
        return 0.0 if self.started is None else time.perf_counter() - self.started

    @property
    def reached(self) -> bool:
        """Whether the last 100 episodes have a mean return of `until`."""
        last = self.episodes[-self.WINDOW:]
        return len(last) == self.WINDOW and sum(total for _, _, total in last) >= self.until * self.WINDOW

    def environment(self, task: str):
        """A function that makes a watched environment."""
        return lambda: Watched(gymnasium.make(task), self)


class Watched(gymnasium.Wrapper):
    """An environment under a `Watch`."""

    def __init__(self, env, watch):
        super().__init__(env)
        self.watch, self.total = watch, 0.0

    def reset(self, **options):
        self.total = 0.0
        return self.env.reset(**options)

    def step(self, action):
        watch = self.watch
        if watch.started is None:
            if watch.steps >= 0:
                watch.started = time.perf_counter()
        elif watch.steps >= watch.limit_steps or time.perf_counter() - watch.started >= watch.limit_seconds:
            raise BudgetSpent
        result = self.env.step(action)
        watch.steps += 1
        watch.actions.append(int(action))
        self.total += float(result[1])
        if result[2] or result[3]:
            watch.episodes.append((watch.seconds, watch.steps + watch.warm_up, self.total))
            if watch.reached:
                raise BudgetSpent
        return result


@dataclasses.dataclass(frozen=True, repr=False)
class Run:
    """What a library did with its budget. `history` is what `plot_learning_curve` draws."""

    name: str
    terms: Terms | None
    steps: int
    seconds: float
    # (episodes, 3): seconds, steps, return, in the order in which they ended
    episodes: np.ndarray
    actions: bytes = b""

    WINDOW = Watch.WINDOW
    SOLVED = 475.0                      # mean return over a window

    @property
    def sps(self) -> float:
        """Steps a second, learning included."""
        return self.steps / self.seconds

    @property
    def mean_return(self) -> float:
        """Of the last 100 episodes; of all while there are fewer."""
        return float(self.episodes[-self.WINDOW:, 2].mean()) if len(self.episodes) else float("nan")

    @property
    def history(self) -> list[dict]:
        """One entry an episode: step, seconds, and the mean return of the 100 episodes up to it."""
        sums = np.concatenate([[0.0], self.episodes[:, 2].cumsum()])
        last = np.arange(1, len(sums))
        means = (sums[last] - sums[np.maximum(0, last - self.WINDOW)]) / np.minimum(last, self.WINDOW)
        return [{"seconds": float(seconds), "step": int(step), "episode_return": float(mean)}
                for (seconds, step, _), mean in zip(self.episodes, means, strict=True)]

    @property
    def solved_after(self) -> float | None:
        """Seconds until 100 episodes in a row had a mean return of 475; None if they had not."""
        return self._solved_at("seconds")

    @property
    def steps_to_solve(self) -> int | None:
        """Steps from the very first on until 100 episodes in a row had a mean return of 475; None if they had
        not.
        """
        return self._solved_at("step")

    def _solved_at(self, key):
        whole = self.history[self.WINDOW - 1:]
        return next((entry[key] for entry in whole if entry["episode_return"] >= self.SOLVED), None)

    def __repr__(self):
        solved = "not solved" if self.solved_after is None else f"solved after {self.solved_after:.1f} s"
        return (f"{self.name}: {self.steps:,} steps in {self.seconds:.1f} s, {self.sps:,.0f} steps/s; "
                f"mean return of the last {min(self.WINDOW, len(self.episodes))} episodes "
                f"{self.mean_return:.0f}, {solved}")


def seed_all(seed: int) -> None:
    """Seed torch and NumPy's global stream, which some libraries draw from."""
    torch.manual_seed(seed)
    np.random.seed(seed)
