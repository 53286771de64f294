"""Tianshou's PPO on the terms."""

from tianshou.algorithm import PPO
from tianshou.algorithm.modelfree.reinforce import DiscreteActorPolicy
from tianshou.algorithm.optim import AdamOptimizerFactory
from tianshou.data import Collector, VectorReplayBuffer
from tianshou.env import DummyVectorEnv
from tianshou.trainer import OnPolicyTrainerParams
from tianshou.utils.net.common import Net
from tianshou.utils.net.discrete import DiscreteActor, DiscreteCritic
from torch import nn


def train(terms, make_env, seed):
    """Play and learn until the environment says stop."""
    envs = DummyVectorEnv([make_env] * terms.num_envs)
    envs.seed(seed)
    actor = DiscreteActor(preprocess_net=body(), action_shape=2, softmax_output=False)
    critic = DiscreteCritic(preprocess_net=body())
    for module, gain in ((actor.preprocess, 2**0.5), (actor.last, 0.01), (critic.preprocess, 2**0.5),
                         (critic.last, 1.0)):
        orthogonal(module, gain)
    algorithm = PPO(policy=DiscreteActorPolicy(actor=actor, action_space=envs.action_space[0]), critic=critic,
                    optim=AdamOptimizerFactory(lr=terms.learning_rate, eps=terms.adam_eps), gamma=terms.gamma,
                    gae_lambda=terms.gae_lambda, eps_clip=terms.clip_coef, value_clip=True,
                    vf_coef=terms.vf_coef, ent_coef=terms.ent_coef, max_grad_norm=terms.max_grad_norm)
    collector = Collector(algorithm, envs, VectorReplayBuffer(terms.batch_size, terms.num_envs))
    algorithm.run_training(OnPolicyTrainerParams(
        training_collector=collector, collection_step_num_env_steps=terms.batch_size,
        batch_size=terms.minibatch_size,
        update_step_num_repetitions=terms.update_epochs, epoch_num_steps=10**9, max_epochs=1,
        show_progress=False, verbose=False))


def body():
    """Two hidden layers."""
    return Net(state_shape=4, hidden_sizes=[64, 64], activation=nn.Tanh)


def orthogonal(module, gain):
    """CleanRL's weights."""
    for layer in module.modules():
        if isinstance(layer, nn.Linear):
            nn.init.orthogonal_(layer.weight, gain)
            nn.init.zeros_(layer.bias)


STAGES = {"environment": [DummyVectorEnv.step], "policy": [Collector._compute_action_policy_hidden],
          "update": [PPO.update]}
