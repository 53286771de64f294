"""Running normalisation of observations and rewards, as in "the 37 implementation details of PPO" (Huang et
al. 2022, details 5 to 8 of continuous control) and Stable-Baselines3's `VecNormalize`.

    observations    minus their running mean, divided by their running deviation, clipped to -+ CLIP; the
                    encoder "normalised" (encoders.py) does this
    rewards         divided by the running deviation of the discounted return, clipped to -+ CLIP

All use the moments of everything seen so far (Chan, Golub and LeVeque 1979). They are taken in between
updates, so that learning sees the numbers that acting saw.
"""

import numpy as np
import torch
from torch import nn

CLIP = 10.0             # in deviations
LEAST = 1e-8            # added to a variance


class RunningMoments(nn.Module):
    """Mean and variance of each of `numbers` columns over all rows so far; 0 and 1 before the first."""

    def __init__(self, numbers: int):
        super().__init__()
        self.register_buffer("count", torch.zeros((), dtype=torch.float64))
        self.register_buffer("mean", torch.zeros(numbers, dtype=torch.float64))
        self.register_buffer("squares", torch.zeros(numbers, dtype=torch.float64))  # sum of (x - mean)^2
        self.register_buffer("centre", torch.zeros(numbers, dtype=torch.float32))
        self.register_buffer("scale", torch.ones(numbers, dtype=torch.float32))     # 1 / deviation

    @torch.no_grad()
    def take(self, rows, average_=lambda tensor: tensor):
        """Take rows (N, numbers) into the moments; average_ makes a tensor its mean over the processes."""
        rows = rows.to(torch.float64)
        count, mean, square = float(len(rows)), *average_(torch.stack([rows.mean(0), rows.square().mean(0)]))
        total, delta = self.count + count, mean - self.mean
        spread = (square - mean.square()).clamp(min=0) * count
        self.squares += spread + delta.square() * self.count * count / total
        self.mean += delta * count / total
        self.count.copy_(total)
        self.centre.copy_(self.mean)
        self.scale.copy_((self.squares / total + LEAST).rsqrt())

    def forward(self, rows):
        """Rows (N, numbers) float32 in deviations from the mean, clipped."""
        return ((rows - self.centre) * self.scale).clamp_(-CLIP, CLIP)


class RewardScale:
    """The factor of rewards: 1 / the deviation of the agents' discounted returns so far.

    The return of an agent before step t is R, after it gamma * R + reward; 0 after the end of an episode.
    """

    def __init__(self, num_agents: int, gamma: float):
        self.gamma, self.returns = gamma, np.zeros(num_agents)
        self.moments, self.seen = RunningMoments(1), []

    def observe(self, rewards, ends, agents=slice(None)):
        """Rewards and ends (num_agents,), NumPy, of the step that `agents`, a slice or numbers, have made."""
        returns = self.gamma * self.returns[agents] + rewards[agents]
        self.seen.append(returns)
        self.returns[agents] = np.where(ends[agents], 0, returns)

    def update(self, average_=lambda tensor: tensor):
        """Take the returns since the last update into the moments."""
        if self.seen:
            self.moments.take(torch.from_numpy(np.concatenate(self.seen)).unsqueeze(1), average_)
            self.seen = []

    def __call__(self, rewards):
        """Rewards, float32 of any shape, divided and clipped."""
        return (rewards * self.moments.scale).clamp_(-CLIP, CLIP)

    def get_state(self) -> dict:
        """Everything that later rewards depend on."""
        return {"returns": torch.from_numpy(self.returns.copy()),
                "moments": {name: tensor.clone() for name, tensor in self.moments.named_buffers()}}

    def set_state(self, state: dict) -> None:
        """Put back `get_state`."""
        self.returns[:] = state["returns"].numpy()
        self.moments.load_state_dict(state["moments"])
        self.seen = []
