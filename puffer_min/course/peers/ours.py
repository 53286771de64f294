"""This course's learner on the terms: its own loop, and two networks with tanh instead of one with ReLU, as the others have them."""

from puffer_min import PPO, Config, Policy, make_vec
import torch

from puffer_min.vector.serial import PythonBatch
from puffer_min.course.peers.terms import network
from puffer_min.learner.ppo import flatten_parameters
from puffer_min.learner.distributions import Categorical


class TwoNetworks(Policy):
    """CleanRL's actor and critic in the place of one network with two heads."""

    def __init__(self, envs):
        super().__init__(envs.single_observation_space, envs.single_action_space, hidden_size=1, num_layers=1)
        self.actor, self.critic = network(2, gain=0.01), network(1, gain=1.0)

    def forward(self, observations, state=None):
        return self.actor(observations).t(), self.critic(observations).squeeze(1), state

    def replay(self, observations, states, ends):
        return self.actor(observations).t(), self.critic(observations).squeeze(1)


def train(terms, make_env, seed):
    """Play and learn until the environment says stop."""
    envs = make_vec(make_env, num_envs=terms.num_envs, seed=seed)
    config = Config(num_envs=terms.num_envs, horizon=terms.horizon, minibatch_size=terms.minibatch_size,
                    update_epochs=terms.update_epochs, learning_rate=terms.learning_rate, anneal_lr="none", adam_eps=terms.adam_eps,
                    gamma=terms.gamma, gae_lambda=terms.gae_lambda, clip_coef=terms.clip_coef, vf_clip_coef=terms.clip_coef,
                    vf_coef=2 * terms.vf_coef, ent_coef=terms.ent_coef, max_grad_norm=terms.max_grad_norm)
    learner = PPO(envs, config, seed=seed)
    learner.policy = TwoNetworks(envs)
    learner.weights = flatten_parameters(learner.policy)
    learner.optimizer = torch.optim.Adam([learner.weights], config.learning_rate, eps=config.adam_eps, fused=True)
    while True:
        learner.iterate()


STAGES = {"environment": [PythonBatch.step], "policy": [TwoNetworks.forward, Categorical.sample], "update": [PPO.estimate, PPO.update]}
