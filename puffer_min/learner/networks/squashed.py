"""Bounded actions: a normal distribution squashed by tanh into the bounds of a Box (Haarnoja et al. 2018, C).

    puffer_min.train(make_env, policy=puffer_min.bounded_policy)
    python -m puffer_min train my_env.py:MyEnv --policy puffer_min:bounded_policy

    u ~ Normal(mean, deviation)         action = centre + scale * tanh(u)
    log p(action) = log p(u) - log(scale) - log(1 - tanh(u)^2)

The Gaussian of distributions.py draws outside the bounds and leaves it to environments to clip, so that all
draws beyond a bound are one action to the environment and different ones to the policy.
"""

import math

import numpy as np
import torch
from torch.nn import functional

from puffer_min.learner.distributions import Gaussian
from puffer_min.learner.policy import make_policy

EDGE = 1 - 1e-6                 # largest tanh(u) that is told apart from the bound: |u| is at most 7.25
NODES = 16                      # of the quadrature by which the entropy is computed


def bounded_policy(spec, config):
    """`make_policy` for a Box with finite bounds, within which it acts. Raises ValueError for another."""
    policy, space = make_policy(spec, config), spec.single_action_space
    if not isinstance(policy.distribution, Gaussian) or not space.is_bounded():
        raise ValueError(f"policy=bounded_policy given for actions of {space}, expected a Box with finite "
                         "bounds; leave policy= out")
    policy.distribution = SquashedGaussian(space)
    return policy


class SquashedGaussian(Gaussian):
    """Half of the outputs are means, half logarithms of deviations, both of u (see above)."""

    def __init__(self, space):
        super().__init__(space)
        nodes, weights = np.polynomial.hermite.hermgauss(NODES)
        self.nodes = torch.as_tensor(nodes * math.sqrt(2), dtype=torch.float32).view(-1, 1, 1)
        self.weights = torch.as_tensor(weights / math.sqrt(math.pi), dtype=torch.float32).view(-1, 1, 1)

    def squash(self, u):
        """Actions (N, *shape) of u (size, N)."""
        centre, scale = self.centre.to(u.device), self.scale.to(u.device)
        return (centre + scale * u.tanh().clamp(-EDGE, EDGE)).t().reshape(-1, *self.shape)

    def sample(self, outputs, generator=None):
        mean, deviation = outputs[:self.size], outputs[self.size:].exp()
        normal = torch.randn(*mean.shape, generator=generator, device=outputs.device, dtype=torch.float32)
        actions = self.squash(mean + deviation * normal)
        return actions, self.log_probs(outputs, actions)        # of the rounded action, as in learning

    def log_probs(self, outputs, actions):
        mean, log_deviation = outputs[:self.size], outputs[self.size:]
        centre, scale = self.centre.to(outputs.device), self.scale.to(outputs.device)
        u = torch.atanh(((actions.reshape(-1, self.size).t() - centre) / scale).clamp(-EDGE, EDGE))
        normal = (u - mean) / log_deviation.exp()
        of_u = -0.5 * normal.square() - log_deviation - 0.5 * math.log(2 * math.pi)
        return (of_u - scale.log() - log_slope(u)).sum(0)

    def evaluate(self, outputs, actions):
        """The entropy is that of u plus the expected log-slope of tanh, by Gauss-Hermite quadrature."""
        mean, log_deviation = outputs[:self.size], outputs[self.size:]
        nodes, weights = self.nodes.to(outputs.device), self.weights.to(outputs.device)
        slope = (weights * log_slope(mean + log_deviation.exp() * nodes)).sum(0)
        of_u = log_deviation + 0.5 * math.log(2 * math.pi * math.e)
        entropy = (of_u + self.scale.to(outputs.device).log() + slope).sum(0)
        return self.log_probs(outputs, actions), entropy

    def mode(self, outputs):
        """The median, as is usual: the density itself may be largest at a bound."""
        return self.squash(outputs[:self.size])


def log_slope(u):
    """log(1 - tanh(u)^2) without cancellation."""
    return 2 * (math.log(2) - u - functional.softplus(-2 * u))
