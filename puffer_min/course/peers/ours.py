"""This course's learner on the terms: its own loop, and two networks with tanh, as the others have them."""

import torch
from torch import nn

from puffer_min import PPO, Config, make_vec
from puffer_min.course.peers.terms import network
from puffer_min.env.batch import PythonBatch
from puffer_min.learner.distributions import Categorical, distribution_of


class TwoNetworks(nn.Module):
    """CleanRL's actor and critic, as `PPO(..., policy=TwoNetworks)` takes them
    (puffer_min/learner/policy.py).
    """

    def __init__(self, spec, config):
        super().__init__()
        self.distribution = distribution_of(spec.single_action_space)
        self.actor, self.critic = network(2, gain=0.01), network(1, gain=1.0)

    def initial_state(self, num_agents):
        return torch.zeros(num_agents, 0)

    def forward(self, observations, state):
        return self.actor(observations).t(), self.critic(observations).squeeze(1), state

    def replay(self, observations, states, ends):
        return self.actor(observations).t(), self.critic(observations).squeeze(1)


def train(terms, make_env, seed):
    """Play and learn until the environment says stop."""
    envs = make_vec(make_env, num_envs=terms.num_envs, seed=seed)
    config = Config(num_envs=terms.num_envs, horizon=terms.horizon, minibatch_size=terms.minibatch_size,
                    update_epochs=terms.update_epochs, learning_rate=terms.learning_rate, anneal_lr="none",
                    adam_eps=terms.adam_eps, gamma=terms.gamma, gae_lambda=terms.gae_lambda,
                    clip_coef=terms.clip_coef, vf_clip_coef=terms.clip_coef, vf_coef=2 * terms.vf_coef,
                    ent_coef=terms.ent_coef, max_grad_norm=terms.max_grad_norm)
    learner = PPO(envs, config, TwoNetworks, seed=seed)
    while True:
        learner.iterate()


STAGES = {"environment": [PythonBatch.step], "policy": [TwoNetworks.forward, Categorical.sample],
          "update": [PPO.estimate, PPO.update]}
