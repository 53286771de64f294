"""Sampling, log-probability and entropy, by hand and from one log-softmax.

What the network puts out is kept **actions first**: (outputs, N), one column for each agent. Sums and maxima then run over long
contiguous rows, where a processor is at its best; over a last dimension of 5 a log-softmax of 4,096 agents costs ten times as much.

A distribution object holds no data, only the layout of the action space:

    sample(outputs, generator, world)   -> actions, log_probs       for acting; of several processes, each draws its part
    evaluate(outputs, actions)          -> log_probs, entropy       for learning; differentiable
    mode(outputs)                       -> actions                  the most probable action

    actions     (N,) int64 for Discrete, (N, k) int64 for MultiDiscrete, (N, *shape) float32 for Box
    log_probs, entropy   (N,) float32

An illegal action is a logit of -inf: it has probability 0, is never drawn, adds nothing to the entropy, and sends no gradient.
"""

import math

import numpy as np
import torch
from gymnasium import spaces

from puffer_min.learner.distributed import ALONE


def distribution_of(action_space: spaces.Space):
    """The distribution over `action_space`: Categorical for Discrete and MultiDiscrete, Gaussian for Box."""
    if isinstance(action_space, spaces.Discrete) and action_space.start == 0:
        return Categorical((int(action_space.n),), shape=())
    if isinstance(action_space, spaces.MultiDiscrete) and action_space.nvec.ndim == 1 and not action_space.start.any():
        return Categorical(tuple(int(n) for n in action_space.nvec), shape=action_space.nvec.shape)
    if isinstance(action_space, spaces.Box):
        return Gaussian(action_space)
    raise TypeError(f"actions of {action_space} given, expected Discrete or flat MultiDiscrete counted from 0, or Box; "
                    "emulate the environment first")


def noise(draw, rows, columns, generator, device, world):
    """draw (torch.rand or torch.randn) of (rows, columns): this process's columns of what one process would draw for all."""
    drawn = draw(rows, world.size * columns, generator=generator, device=device)
    return drawn[:, world.rank * columns:(world.rank + 1) * columns]


def draw_index(probabilities: torch.Tensor, uniform: torch.Tensor) -> torch.Tensor:
    """Index drawn from each column of `probabilities` (n, N): the first at which the running sum passes `uniform` in [0, 1).

    Scaled by the column's own sum, so that rounding can never push the draw past the last action that has any probability.
    """
    running = probabilities.cumsum(0)
    return (running <= uniform * running[-1]).sum(0).clamp_(max=len(probabilities) - 1)


def entropy_of(log_probabilities: torch.Tensor) -> torch.Tensor:
    """Entropy (N,) of the columns (n, N). -inf is clamped, because 0 * -inf is nan where the limit is 0."""
    finite = log_probabilities.clamp(min=torch.finfo(log_probabilities.dtype).min)
    return -(log_probabilities.exp() * finite).sum(0)


def draw(logits: torch.Tensor, uniform: torch.Tensor):
    """One action for each column of logits (n, N), drawn by `uniform` (N,) in [0, 1): actions (N,) int64, their log-probabilities (N,)."""
    log_p = torch.log_softmax(logits, 0)
    actions = draw_index(log_p.exp(), uniform)
    return actions, log_p.gather(0, actions.unsqueeze(0))[0]


class LogProbAndEntropy(torch.autograd.Function):
    """logits (n, N), actions (N,) -> the log-probability (N,) of each column's action, and the column's entropy (N,).

    Both from one log-softmax, and their gradient written out: it is a handful of operations where autograd takes twice as many, and
    on tensors this small each costs more than its arithmetic. With p the probabilities, H the entropy, d and e the gradients of the
    two results:

        gradient of the logits = d * (one_hot(action) - p) - e * p * (log p + H)
    """

    @staticmethod
    def forward(ctx, logits, actions):
        log_p = torch.log_softmax(logits, 0)
        log_probs, entropy = log_p.gather(0, actions.unsqueeze(0))[0], entropy_of(log_p)
        ctx.save_for_backward(log_p, entropy, actions)
        return log_probs, entropy

    @staticmethod
    def backward(ctx, d, e):
        log_p, entropy, actions = ctx.saved_tensors
        p = log_p.exp()
        surprise = log_p.clamp(min=torch.finfo(log_p.dtype).min).add_(entropy).mul_(p)      # p first: 0 * a large number is 0
        return surprise.mul_(-e).addcmul_(p, d, value=-1).scatter_add_(0, actions.unsqueeze(0), d.unsqueeze(0)), None


class Categorical:
    """One whole number (Discrete) or several independent ones (MultiDiscrete); a block of logits for each."""

    def __init__(self, counts: tuple[int, ...], shape: tuple[int, ...]):
        self.counts, self.shape = counts, shape
        self.num_outputs = sum(counts)

    def sample(self, outputs, generator=None, world=ALONE):
        uniform = noise(torch.rand, len(self.counts), outputs.shape[1], generator, outputs.device, world)
        if not self.shape:
            return draw(outputs, uniform[0])
        actions, log_probs = zip(*map(draw, outputs.split(self.counts), uniform))
        return torch.stack(actions, 1), sum(log_probs)

    def evaluate(self, outputs, actions):
        if not self.shape:
            return LogProbAndEntropy.apply(outputs, actions)
        parts = [LogProbAndEntropy.apply(logits, chosen) for logits, chosen in zip(outputs.split(self.counts), actions.t())]
        log_probs, entropies = zip(*parts)
        return torch.stack(log_probs).sum(0), torch.stack(entropies).sum(0)

    def mode(self, outputs):
        best = [logits.argmax(0) for logits in outputs.split(self.counts)]
        return torch.stack(best, 1) if self.shape else best[0]


class Gaussian:
    """Independent normal distributions; the first half of the outputs is the mean, the second the logarithm of the deviation.

    Both are in units of half the space's range where it is finite, so that an output of 1 means the same in any space.
    Draws are not clipped: their log-probability stays exact, and environments clip what they are given.
    """

    def __init__(self, space: spaces.Box):
        low, high = (np.asarray(bound, np.float64).ravel() for bound in (space.low, space.high))
        bounded = np.isfinite(low) & np.isfinite(high)
        with np.errstate(invalid="ignore"):
            centre, scale = np.where(bounded, (low + high) / 2, 0), np.where(bounded, (high - low) / 2, 1)
        self.shape = tuple(space.shape)
        self.size = low.size
        self.num_outputs = 2 * self.size
        self.centre = torch.as_tensor(centre, dtype=torch.float32).unsqueeze(1)
        self.scale = torch.as_tensor(scale, dtype=torch.float32).unsqueeze(1)

    def parameters(self, outputs):
        """Mean and deviation, (size, N) each, in the units of the action space."""
        centre, scale = self.centre.to(outputs.device), self.scale.to(outputs.device)
        return centre + scale * outputs[:self.size], scale * outputs[self.size:].exp()

    def sample(self, outputs, generator=None, world=ALONE):
        mean, deviation = self.parameters(outputs)
        normal = noise(torch.randn, *mean.shape, generator, outputs.device, world)
        drawn = mean + deviation * normal
        log_probs = (-0.5 * normal.square() - deviation.log() - 0.5 * math.log(2 * math.pi)).sum(0)
        return drawn.t().reshape(-1, *self.shape), log_probs

    def evaluate(self, outputs, actions):
        mean, deviation = self.parameters(outputs)
        normal = (actions.reshape(-1, self.size).t() - mean) / deviation
        log_deviation = deviation.log()
        log_probs = (-0.5 * normal.square() - log_deviation - 0.5 * math.log(2 * math.pi)).sum(0)
        return log_probs, (log_deviation + 0.5 * math.log(2 * math.pi * math.e)).sum(0)

    def mode(self, outputs):
        return self.parameters(outputs)[0].t().reshape(-1, *self.shape)
