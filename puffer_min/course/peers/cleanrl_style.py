"""PPO in one file, in the style of CleanRL: no class of a library, no callback, no registry. Everything you
may want to change is here.

Written for this course. Truncation is treated as CleanRL's `ppo.py` treats it: as an end like any other
(exercise 4.1 mends that).
"""

import torch
from gymnasium.vector import AutoresetMode, SyncVectorEnv
from torch import nn
from torch.distributions import Categorical

from puffer_min.course.peers.terms import network


def train(terms, make_env, seed):
    """Play and learn until the environment says stop."""
    envs = SyncVectorEnv([make_env] * terms.num_envs, autoreset_mode=AutoresetMode.SAME_STEP)
    actor, critic = network(2, gain=0.01), network(1, gain=1.0)
    parameters = [*actor.parameters(), *critic.parameters()]
    optimizer = torch.optim.Adam(parameters, lr=terms.learning_rate, eps=terms.adam_eps)
    state = torch.as_tensor(envs.reset(seed=seed)[0]), torch.zeros(terms.num_envs)
    steps = 0
    while True:
        ent_coef = terms.ent_coef
        rows, state = collect(terms, envs, actor, critic, state)
        advantages = estimate(terms, rows, critic, state)
        update(terms, rows, advantages, actor, critic, parameters, optimizer, ent_coef)
        steps += terms.batch_size


@torch.no_grad()
def collect(terms, envs, actor, critic, state):
    """Play `horizon` steps; returns the columns observations, actions, log_probs, values, rewards, ends
    before, each (horizon, envs).
    """
    rows, (observations, ends) = [], state
    for _ in range(terms.horizon):
        actions, log_probs, values = act(actor, critic, observations)
        following, rewards, terminals, truncations, _ = envs.step(actions.numpy())
        rows.append((observations, actions, log_probs, values, torch.as_tensor(rewards, dtype=torch.float32),
                     ends))
        observations = torch.as_tensor(following)
        ends = torch.as_tensor(terminals | truncations, dtype=torch.float32)
    return [torch.stack(column) for column in zip(*rows, strict=True)], (observations, ends)


def act(actor, critic, observations):
    """Draw actions; returns them, their log-probabilities and the values."""
    policy = Categorical(logits=actor(observations))
    actions = policy.sample()
    return actions, policy.log_prob(actions), critic(observations).flatten()


@torch.no_grad()
def estimate(terms, rows, critic, state):
    """Generalised advantage estimation over the columns."""
    _, _, _, values, rewards, ends = rows
    values = torch.cat([values, critic(state[0]).T])
    goes_on = 1 - torch.cat([ends[1:], state[1][None]])
    advantages, running = torch.zeros_like(rewards), torch.zeros(terms.num_envs)
    for t in reversed(range(terms.horizon)):
        delta = rewards[t] + terms.gamma * values[t + 1] * goes_on[t] - values[t]
        running = advantages[t] = delta + terms.gamma * terms.gae_lambda * goes_on[t] * running
    return advantages


def update(terms, rows, advantages, actor, critic, parameters, optimizer, ent_coef):
    """A few epochs of minibatches over what was collected."""
    values = rows[3]
    flat = [column.flatten(0, 1) for column in (*rows[:4], advantages, advantages + values)]
    for _ in range(terms.update_epochs):
        for chosen in torch.randperm(terms.batch_size).split(terms.minibatch_size):
            observations, actions, old_log_probs, old_values, advantage, target = (
                column[chosen] for column in flat)
            policy, value = Categorical(logits=actor(observations)), critic(observations).flatten()
            ratio = (policy.log_prob(actions) - old_log_probs).exp()
            advantage = (advantage - advantage.mean()) / (advantage.std() + 1e-8)
            clipped = ratio.clamp(1 - terms.clip_coef, 1 + terms.clip_coef)
            policy_loss = -torch.min(advantage * ratio, advantage * clipped).mean()
            near = old_values + (value - old_values).clamp(-terms.clip_coef, terms.clip_coef)
            value_loss = torch.max((value - target) ** 2, (near - target) ** 2).mean()
            optimizer.zero_grad()
            (policy_loss - ent_coef * policy.entropy().mean() + terms.vf_coef * value_loss).backward()
            nn.utils.clip_grad_norm_(parameters, terms.max_grad_norm)
            optimizer.step()


STAGES = {"environment": [SyncVectorEnv.step], "policy": [act], "update": [estimate, update]}
