"""Bounded actions: the squashed normal distribution is torch's transformed one, and learns with it."""

import gymnasium
import numpy as np
import pytest
import torch
from gymnasium.spaces import Box, Discrete
from torch.distributions import AffineTransform, Independent, Normal, TanhTransform, TransformedDistribution

import puffer_min
from puffer_min.learner.distributions import Gaussian
from puffer_min.learner.networks.squashed import SquashedGaussian

SPACE = Box(np.float32([-2, 0, -0.5]), np.float32([2, 1, 0.5]))


def outputs_for(count, seed=0):
    """Outputs (6, count): means around 0, deviations from 0.1 to 1."""
    random = torch.Generator().manual_seed(seed)
    return torch.cat([torch.randn(3, count, generator=random), torch.rand(3, count, generator=random) * 2.3 - 2.3])


def torchs(outputs):
    """The same distribution by torch.distributions, in float64."""
    mean, log_deviation = (part.t().double() for part in outputs.split(3))
    distribution = SquashedGaussian(SPACE)
    affine = AffineTransform(distribution.centre[:, 0].double(), distribution.scale[:, 0].double())
    return Independent(TransformedDistribution(Normal(mean, log_deviation.exp()), [TanhTransform(cache_size=1), affine]), 1)


def test_the_log_probability_is_that_of_torchs_transformed_distribution():
    outputs = outputs_for(500)
    ours = SquashedGaussian(SPACE)
    actions, log_probs = ours.sample(outputs, torch.Generator().manual_seed(1))
    expected = torchs(outputs).log_prob(actions.double())
    assert actions.dtype == torch.float32 and actions.shape == (500, 3)
    assert (log_probs - expected).abs().max() < 2e-3 and (log_probs - expected).abs().mean() < 2e-5


def test_the_gradient_of_the_log_probability_is_torchs():
    outputs = outputs_for(200).requires_grad_()
    actions, _ = SquashedGaussian(SPACE).sample(outputs.detach(), torch.Generator().manual_seed(1))
    (ours,) = torch.autograd.grad(SquashedGaussian(SPACE).evaluate(outputs, actions)[0].sum(), outputs)
    (theirs,) = torch.autograd.grad(torchs(outputs).log_prob(actions.double()).sum(), outputs)
    assert ((ours - theirs).abs() <= 1e-3 + 1e-3 * theirs.abs()).all()


def test_acting_and_learning_give_the_same_log_probability_to_the_bit():
    """Else the first ratio would not be 1; also where tanh is rounded to its bound."""
    outputs = torch.cat([outputs_for(300), torch.full((6, 5), 9.0)], 1)
    ours = SquashedGaussian(SPACE)
    actions, log_probs = ours.sample(outputs, torch.Generator().manual_seed(2))
    assert torch.equal(ours.evaluate(outputs, actions)[0], log_probs) and torch.isfinite(log_probs).all()


def test_the_entropy_is_the_mean_surprise_of_many_draws():
    outputs = outputs_for(20, seed=3)
    draws = outputs.repeat_interleave(40_000, 1)
    ours = SquashedGaussian(SPACE)
    _, log_probs = ours.sample(draws, torch.Generator().manual_seed(4))
    entropy = ours.evaluate(outputs, torch.zeros(20, 3))[1]
    assert (entropy + log_probs.view(20, -1).mean(1)).abs().max() < 0.03


def test_every_action_is_within_its_bounds():
    outputs = torch.cat([torch.full((3, 1000), 3.0), torch.full((3, 1000), 2.0)])
    ours = SquashedGaussian(SPACE)
    for actions in (ours.sample(outputs, torch.Generator().manual_seed(0))[0], ours.mode(outputs), ours.mode(-outputs)):
        assert all(SPACE.contains(action) for action in actions.numpy())
    beyond = Gaussian(SPACE).sample(outputs, torch.Generator().manual_seed(0))[0]
    assert not all(SPACE.contains(action) for action in beyond.numpy()), "the plain Gaussian goes beyond"


class Target(gymnasium.Env):
    """One step: the reward is the negative distance to 0.9 of the way to the upper bound; an action out of bounds raises."""

    observation_space, action_space = Box(-1, 1, (1,)), SPACE

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        return np.zeros(1, np.float32), {}

    def step(self, action):
        assert self.action_space.contains(action)
        way = (action - SPACE.low) / (SPACE.high - SPACE.low)
        return np.zeros(1, np.float32), -float(np.abs(way - 0.9).sum()), True, False, {}


def test_a_bounded_policy_learns_and_is_found_again_by_its_checkpoint(tmp_path):
    result = puffer_min.train(Target, policy=puffer_min.bounded_policy, total_steps=16_000, num_envs=16, horizon=8, minibatch_size=128,
                              update_epochs=4, learning_rate=0.01, ent_coef=0.0, torch_threads=1, run_dir=tmp_path)
    policy = puffer_min.load_policy(result.checkpoint, greedy=True)
    assert isinstance(policy.policy.distribution, SquashedGaussian)
    way = (policy.act(np.zeros(1, np.float32)) - SPACE.low) / (SPACE.high - SPACE.low)
    assert np.abs(way - 0.9).max() < 0.1 and result.history[0]["episode_return"] < -1


@pytest.mark.parametrize("space", [Box(-np.inf, 1, (1,)), Box(-np.inf, np.inf, (2,)), Discrete(3)], ids=str)
def test_actions_without_finite_bounds_are_refused_in_a_sentence(space):
    spec = puffer_min.EnvSpec(Box(-1, 1, (1,)), space)
    with pytest.raises(ValueError, match="policy=bounded_policy given for actions of .*, expected a Box with finite bounds"):
        puffer_min.bounded_policy(spec, puffer_min.Config())
