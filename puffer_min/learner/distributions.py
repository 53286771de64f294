"""Sampling, log-probability and entropy, by hand and from one log-softmax.

The network's outputs are kept **actions first**: (outputs, N), one column for each agent. Sums and maxima
then run over long contiguous rows, where a processor is at its best. A distribution holds only the layout of
the space:

    sample(outputs, generator)      -> actions, log_probs       for acting
    evaluate(outputs, actions)      -> log_probs, entropy       for learning; differentiable
    mode(outputs)                   -> actions                  the most probable action

    actions     (N,) int64 for Discrete, (N, k) int64 for MultiDiscrete, (N, *shape) float32 for Box
    log_probs, entropy   (N,) float32

The output of an illegal action is -inf (`masked`): it has probability 0, is never drawn, adds nothing to the
entropy, and gets no gradient.
"""

import math

import torch
from gymnasium import spaces

from puffer_min.env.spec import half_ranges
from puffer_min.learner import kernels


def distribution_of(action_space: spaces.Space):
    """The distribution over `action_space`: Categorical for Discrete and MultiDiscrete, Gaussian for Box."""
    if isinstance(action_space, spaces.Discrete) and action_space.start == 0:
        return Categorical((int(action_space.n),), shape=())
    flat = isinstance(action_space, spaces.MultiDiscrete) and len(action_space.shape) == 1
    if flat and not action_space.start.any():
        return Categorical(tuple(int(n) for n in action_space.nvec), shape=action_space.shape)
    if isinstance(action_space, spaces.Box):
        return Gaussian(action_space)
    raise TypeError(f"actions of {action_space} given, expected Discrete or flat MultiDiscrete counted from "
                    "0, or Box; emulate the environment first")


def masked(outputs: torch.Tensor, action_masks: torch.Tensor) -> torch.Tensor:
    """The outputs (choices, N) with -inf for illegal actions; action_masks (N, choices) bool, or (N, 0)."""
    return outputs.masked_fill(~action_masks.t(), -math.inf) if action_masks.shape[1] else outputs


def draw_index(probabilities: torch.Tensor, uniform: torch.Tensor) -> torch.Tensor:
    """Index drawn from each column of `probabilities` (n, N): where the running sum passes `uniform` (N,).

    It is scaled by the column's sum, so that rounding never pushes the draw past the last probable action.
    """
    running = probabilities.cumsum(0)
    return (running <= uniform * running[-1]).sum(0).clamp_(max=len(probabilities) - 1)


def entropy_of(log_probabilities: torch.Tensor) -> torch.Tensor:
    """Entropy (N,) of the columns (n, N). -inf is clamped, because 0 * -inf is nan where the limit is 0."""
    finite = log_probabilities.clamp(min=torch.finfo(log_probabilities.dtype).min)
    return -(log_probabilities.exp() * finite).sum(0)


def draw(logits: torch.Tensor, uniform: torch.Tensor):
    """Actions (N,) int64 from logits (n, N), by `uniform` (N,) in [0, 1); their log-probabilities (N,)."""
    if kernels.serves_logits(logits):
        return kernels.draw(logits, uniform)
    log_p = torch.log_softmax(logits, 0)
    actions = draw_index(log_p.exp(), uniform)
    return actions, log_p.gather(0, actions.unsqueeze(0))[0]


class LogProbAndEntropy(torch.autograd.Function):
    """logits (n, N), actions (N,) -> each column's log-probability of its action (N,) and entropy (N,).

    Both come from one log-softmax. The gradient is written out, in half the operations that autograd takes.
    With p the probabilities, H the entropy, d and e the gradients of the two results:

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
        surprise = log_p.clamp(min=torch.finfo(log_p.dtype).min).add_(entropy).mul_(p)      # 0 where p is 0
        grad = surprise.mul_(-e).addcmul_(p, d, value=-1)
        return grad.scatter_add_(0, actions.unsqueeze(0), d.unsqueeze(0)), None


class Categorical:
    """One whole number (Discrete) or several independent ones (MultiDiscrete); a block of logits for each."""

    def __init__(self, counts: tuple[int, ...], shape: tuple[int, ...]):
        self.counts, self.shape = counts, shape
        self.num_outputs = sum(counts)

    def legal(self, action_masks):
        """Action masks, NumPy (N, choices) bool, as a tensor. ValueError if an agent has no legal action."""
        if action_masks.dtype != bool or action_masks.shape[1:] != (self.num_outputs,):
            raise ValueError(f"action_masks: {action_masks.dtype} {action_masks.shape} given, expected bool "
                             f"(agents, {self.num_outputs}), a column for each choice of the action")
        legal = torch.from_numpy(action_masks.copy())
        for component, block in enumerate(legal.split(self.counts, 1)):
            if not (found := block.any(1)).all():
                raise ValueError(f"action_masks: agent {int(found.int().argmin())} has no legal action in "
                                 f"component {component}, expected at least one True among {block.shape[1]}: "
                                 "allow one without effect, or clear its env.masks while it cannot act")
        return legal

    def sample(self, outputs, generator=None):
        uniform = torch.rand(len(self.counts), outputs.shape[1], generator=generator, device=outputs.device,
                             dtype=torch.float32)
        if not self.shape:
            return draw(outputs, uniform[0])
        actions, log_probs = zip(*map(draw, outputs.split(self.counts), uniform), strict=True)
        return torch.stack(actions, 1), sum(log_probs)

    def evaluate(self, outputs, actions):
        function = kernels.LogProbAndEntropy if kernels.serves_logits(outputs) else LogProbAndEntropy
        if not self.shape:
            return function.apply(outputs, actions)
        parts = map(function.apply, outputs.split(self.counts), actions.t())
        log_probs, entropies = zip(*parts, strict=True)
        return torch.stack(log_probs).sum(0), torch.stack(entropies).sum(0)

    def mode(self, outputs):
        best = [logits.argmax(0) for logits in outputs.split(self.counts)]
        return torch.stack(best, 1) if self.shape else best[0]


class Gaussian:
    """Independent normal distributions: half of the outputs are means, half logarithms of deviations.

    Both are in units of half the space's range where it is finite, so that an output of 1 means the same in
    any space. Draws are not clipped: their log-probability stays exact, and environments clip their actions.
    """

    def __init__(self, space: spaces.Box):
        centre, scale, _ = half_ranges(space)
        self.shape = tuple(space.shape)
        self.size = centre.size
        self.num_outputs = 2 * self.size
        self.centre = torch.as_tensor(centre, dtype=torch.float32).unsqueeze(1)
        self.scale = torch.as_tensor(scale, dtype=torch.float32).unsqueeze(1)

    def parameters(self, outputs):
        """Mean and deviation, (size, N) each, in the units of the action space."""
        centre, scale = self.centre.to(outputs.device), self.scale.to(outputs.device)
        return centre + scale * outputs[:self.size], scale * outputs[self.size:].exp()

    def sample(self, outputs, generator=None):
        mean, deviation = self.parameters(outputs)
        normal = torch.randn(*mean.shape, generator=generator, device=outputs.device, dtype=torch.float32)
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
