"""TorchRL's PPO on the terms: its collector, advantages, buffer and loss, in a loop as in its tutorials."""

import torch
from gymnasium.vector import AutoresetMode, SyncVectorEnv
from tensordict.nn import ProbabilisticTensorDictSequential, TensorDictModule
from torch.distributions import Categorical
from torchrl.collectors import Collector
from torchrl.data import LazyTensorStorage, ReplayBuffer
from torchrl.data.replay_buffers.samplers import SamplerWithoutReplacement
from torchrl.envs import EnvBase, GymWrapper
from torchrl.modules import ProbabilisticActor, ValueOperator
from torchrl.objectives import ClipPPOLoss
from torchrl.objectives.value import GAE

from puffer_min.course.peers.terms import network


def train(terms, make_env, seed):
    """Play and learn until the environment says stop."""
    envs = GymWrapper(SyncVectorEnv([make_env] * terms.num_envs, autoreset_mode=AutoresetMode.SAME_STEP),
                      categorical_action_encoding=True)
    envs.set_seed(seed)
    actor = ProbabilisticActor(TensorDictModule(network(2, gain=0.01), ["observation"], ["logits"]),
                               in_keys=["logits"],
                               spec=envs.action_spec, distribution_class=Categorical, return_log_prob=True)
    critic = ValueOperator(network(1, gain=1.0), in_keys=["observation"])
    loss = ClipPPOLoss(actor, critic, clip_epsilon=terms.clip_coef, clip_value=terms.clip_coef,
                       entropy_coeff=terms.ent_coef,
                       critic_coeff=terms.vf_coef, loss_critic_type="l2", normalize_advantage=True)
    advantages = GAE(gamma=terms.gamma, lmbda=terms.gae_lambda, value_network=critic)
    optimizer = torch.optim.Adam(loss.parameters(), lr=terms.learning_rate, eps=terms.adam_eps)
    buffer = ReplayBuffer(storage=LazyTensorStorage(terms.batch_size), sampler=SamplerWithoutReplacement(),
                          batch_size=terms.minibatch_size)
    for rows in Collector(envs, actor, frames_per_batch=terms.batch_size, total_frames=-1,
                          auto_register_policy_transforms=False):
        with torch.no_grad():
            advantages(rows)
        buffer.extend(rows.reshape(-1))
        update(terms, loss, buffer, optimizer)


def update(terms, loss, buffer, optimizer):
    """A few epochs of minibatches over what was collected."""
    for _ in range(terms.update_epochs):
        for minibatch in buffer:
            parts = loss(minibatch)
            optimizer.zero_grad()
            (parts["loss_objective"] + parts["loss_entropy"] + parts["loss_critic"]).backward()
            torch.nn.utils.clip_grad_norm_(loss.parameters(), terms.max_grad_norm)
            optimizer.step()


STAGES = {"environment": [EnvBase.step_and_maybe_reset],
          "policy": [ProbabilisticTensorDictSequential.forward],
          "update": [GAE.forward, ReplayBuffer.extend, update]}
