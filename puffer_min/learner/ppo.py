"""Proximal policy optimisation (Schulman et al. 2017), top to bottom in the order in which things happen:

    collect     the policy plays until the buffer has its rows; only the buffer remembers
    estimate    advantages and returns over those rows, in the compiled kernel
    update      minibatches of rows: the loss, its gradient, one step of Adam each

    learner = PPO(envs.make("squared", 1024), Config(), seed=0)
    while learner.steps < 10_000_000:
        print(learner.iterate())

`commands/train.py` puts log, dashboard and checkpoints around it. The names and formulas are CleanRL's
`ppo.py`. Three things differ: truncated episodes bootstrap from the observation they were cut at, every step
of a row counts, and minibatches are whole rows unless `whole_rows=False`.
"""

import dataclasses
import math

import torch

from puffer_min.clock import StageClock
from puffer_min.env.actions import legal_actions
from puffer_min.env.episodes import EpisodeStatistics
from puffer_min.env.spec import EnvSpec
from puffer_min.learner.actor import NotFinite, build_policy, check_policy, culprit, flatten_parameters
from puffer_min.learner.buffer import RolloutBuffer
from puffer_min.learner.checkpoint import Resumable
from puffer_min.learner.config import Config
from puffer_min.learner.distributed import ALONE
from puffer_min.learner.distributions import masked
from puffer_min.learner.networks.normalisation import RewardScale
from puffer_min.learner.policy import make_policy

LOSSES = ("policy_loss", "value_loss", "entropy", "approx_kl", "clip_fraction", "grad_norm")


def ppo_loss(config, outputs, values, distribution, batch):
    """The loss of one minibatch, and its parts: policy_loss, value_loss, entropy, approx_kl, clip_fraction.

    outputs (num_outputs, N) and values (N,) are the policy's on batch.observations; batch is a `Minibatch`.
    Returns (loss, five numbers as a detached tensor, the probability ratios (N,) detached).
    """
    log_probs, entropy = distribution.evaluate(outputs, batch.actions)
    log_ratio = log_probs - batch.log_probs
    ratio = log_ratio.exp()
    advantages = batch.advantages
    if config.norm_adv:
        deviation, mean = torch.std_mean(advantages)
        advantages = (advantages - mean) / (deviation + 1e-8)
    clipped = ratio.clamp(1 - config.clip_coef, 1 + config.clip_coef)
    policy_loss = -torch.min(advantages * ratio, advantages * clipped).mean()

    error = (values - batch.returns).square()
    if config.vf_clip_coef is not None:
        near = batch.values + (values - batch.values).clamp(-config.vf_clip_coef, config.vf_clip_coef)
        error = torch.max(error, (near - batch.returns).square())
    value_loss = 0.5 * error.mean()

    entropy = entropy.mean()
    loss = policy_loss - config.ent_coef * entropy + config.vf_coef * value_loss
    with torch.no_grad():
        approx_kl = (ratio - 1 - log_ratio).mean()      # Schulman's, http://joschu.net/blog/kl-approx.html
        clip_fraction = ((ratio - 1).abs() > config.clip_coef).float().mean()
        parts = torch.stack([policy_loss, value_loss, entropy, approx_kl, clip_fraction])
    return loss, parts, ratio.detach()


class PPO(Resumable):
    """A policy that learns on `env`, a native environment or a vectorizer. The same seed gives the same run.

    policy   factory (spec, config) -> nn.Module of the network that learns (policy.py); None: the default one
    world    the processes that learn as one (distributed.py)

    Attributes: policy, buffer, clock, steps (agent-steps of all processes so far), updates. Raises ValueError
    where the sizes do not divide, and for a policy that does not fit.
    """

    def __init__(self, env, config: Config | None = None, policy=None, *, seed: int = 0, world=ALONE):
        config = config or Config()
        self.env, self.config, self.world, self.device = env, config, world, world.device(config.device)
        self.spec = spec = EnvSpec.of(env)
        segments, self.minibatch_units = config.rows(env.num_agents)
        with torch.random.fork_rng(devices=[]):         # torch's own stream stays as it was
            torch.manual_seed(seed)
            self.policy = build_policy(policy or make_policy, spec, config).to(self.device)
        env.reset(seed)
        self.observations, self.actions = torch.from_numpy(env.observations), torch.from_numpy(env.actions)
        check_policy(self.policy, self.observations[env.masks.argmax()].to(self.device))
        self.state = self.policy.initial_state(env.num_agents).to(self.device)
        if self.state.shape[1] and not config.whole_rows:
            raise ValueError("whole_rows=False given for a policy with a memory, expected True: it learns "
                             "from steps in their order")
        self.weights = flatten_parameters(self.policy)
        self.optimizer = torch.optim.Adam([self.weights], eps=config.adam_eps, fused=True,
                                          betas=(config.adam_beta1, config.adam_beta2))
        self.generator = torch.Generator(self.device).manual_seed(seed + world.rank)        # draws actions
        self.shuffle = torch.Generator().manual_seed(seed + world.rank)                     # orders rows
        sizes = {"state_size": self.state.shape[1],
                 "num_choices": self.policy.distribution.num_outputs if spec.masks_actions else 0}
        self.buffer = RolloutBuffer(env.num_agents, segments, config.horizon, spec.single_observation_space,
                                    spec.single_action_space, **sizes)
        self.reward_scale = RewardScale(env.num_agents, config.gamma) if config.norm_reward else None
        self.episodes = EpisodeStatistics(env, world.gather)
        self.clock = StageClock()
        self.steps = self.updates = 0

    def iterate(self) -> dict:
        """One round of collecting and learning; returns the numbers to log about it."""
        self.collect()
        if self.reward_scale is not None:
            self.reward_scale.update(self.world.average_)
        self.estimate()
        losses = self.update()
        self.steps += self.world.size * self.buffer.segments * self.config.horizon
        self.updates += 1
        if hasattr(self.policy, "observe"):     # between updates, so that learning sees what acting saw
            rows = self.buffer.trained_rows         # of many rows one in eight is enough
            every = getattr(self.policy, "observe_every", 8 if len(rows) >= 256 else 1)
            seen = self.buffer.observations[rows[::every]].flatten(0, 1)
            self.policy.observe(self.to_device(seen), self.world.average_)
        density, waiting = self.buffer.density, self.buffer.waiting
        report = losses | {"density": density, "waiting": waiting} | self.episodes.report()
        self.buffer.recycle()
        return report

    # ------------------------------------------------------------------ collect

    @torch.inference_mode()
    def collect(self):
        """Play until the buffer has its rows. The clock is read between the stages."""
        env, buffer, policy, lap = self.env, self.buffer, self.policy, self.clock.lap
        recurrent = self.state.shape[1] > 0
        lap("misc")
        while not buffer.is_full:
            outputs, values, state = policy(self.to_device(self.observations), self.state)
            legal = self.action_masks()
            outputs = masked(outputs, self.to_device(legal))
            actions, log_probs = policy.distribution.sample(outputs, self.generator)
            if recurrent:                               # a slot without an agent keeps its memory
                living = torch.from_numpy(env.masks).clone()
                state = torch.where(self.to_device(living).unsqueeze(1), state, self.state)
            lap("forward")
            buffer.record_decision(self.observations, actions.cpu(), log_probs.cpu(), values.cpu(), env.masks,
                                   self.state.cpu() if recurrent else None, legal)
            self.actions.copy_(actions)                 # int64 or float32 into the environment's own memory
            lap("copy")
            self.episodes.add(env.step(env.actions)[4])
            lap("environment")
            buffer.record_outcome(env.rewards, env.terminals, env.truncations, env.final_observations,
                                  state.cpu() if recurrent else None)
            if self.reward_scale is not None:
                self.reward_scale.observe(env.rewards, env.terminals | env.truncations)
            if recurrent:
                self.state = state
                self.state[self.to_device(living & torch.from_numpy(env.terminals | env.truncations))] = 0
            lap("copy")
        buffer.record_next_values(self.values_of(self.observations, self.state))    # after the last step
        buffer.record_final_values(self.values_of)
        lap("forward")

    def action_masks(self):
        """The legal actions, bool (num_agents, choices) on the CPU; (num_agents, 0) if none are masked."""
        masks = legal_actions(self.env)
        if masks is None:
            return torch.empty(self.env.num_agents, 0, dtype=torch.bool)
        return self.policy.distribution.legal(masks)

    def values_of(self, observations, states):
        """The policy's values (N,) of observations (N, ...) and states (N, state_size), on the CPU."""
        return self.policy(self.to_device(observations), self.to_device(states))[1].cpu()

    def to_device(self, tensor):
        if self.device.type == "cuda":
            tensor = tensor.pin_memory()                # a copy, from which the device reads while we go on
        return tensor.to(self.device, non_blocking=True)

    # ------------------------------------------------------------------ estimate

    def estimate(self):
        """Advantages and returns, for all rows of the buffer."""
        config = self.config
        clips = (config.vtrace_rho_clip, config.vtrace_c_clip) if config.vtrace else None
        self.buffer.estimate(config.gamma, config.gae_lambda, clips, config.until_reward, self.reward_scale)
        self.clock.lap("advantage")

    # ------------------------------------------------------------------ update

    @torch.enable_grad()                    # an environment may have switched it off
    def update(self) -> dict:
        """Learn from the buffer's rows; returns the means of the losses over the minibatches."""
        config, buffer, left = self.config, self.buffer, self.config.annealed(self.steps)
        self.optimizer.param_groups[0]["lr"] = config.learning_rate * left
        if config.anneal_ent:
            config = dataclasses.replace(config, ent_coef=config.ent_coef * left)
        parts = []
        for epoch in range(config.update_epochs):
            if epoch and config.vtrace:
                self.estimate()
            units = buffer.trained_rows if config.whole_rows else buffer.trained_steps
            order = torch.randperm(len(units), generator=self.shuffle)
            for chosen in units[order].split(self.minibatch_units):
                parts.append(self.step_on(chosen, config))
            if config.target_kl is not None and self.world.average_(parts[-1].clone())[3] > config.target_kl:
                break
        returns = buffer.returns[buffer.trained_rows]
        variance, unexplained = (torch.std_mean(part)[0].item()**2 for part in
                                 (returns, returns - buffer.values[buffer.trained_rows]))
        explained = torch.tensor(1 - unexplained / variance if variance > 0 else 0.0, dtype=torch.float64)
        means = dict(zip(LOSSES, self.world.average_(torch.stack(parts).mean(0)).tolist(), strict=True))
        means["explained_variance"] = self.world.average_(explained).item()
        self.clock.lap("learn")
        return means | {"learning_rate": config.learning_rate * left, "epochs": epoch + 1}

    def step_on(self, chosen, config):
        """One gradient step on rows or steps; returns the logged numbers, in the order of LOSSES."""
        self.clock.lap("learn")
        batch = self.buffer.gather(chosen, config.whole_rows)
        if self.device.type != "cpu":
            batch = type(batch)(*map(self.to_device, batch))
        self.clock.lap("copy")
        outputs, values = self.policy.replay(batch.observations, batch.states, batch.ends)
        outputs = masked(outputs, batch.action_masks)
        loss, parts, ratio = ppo_loss(config, outputs, values, self.policy.distribution, batch)
        if config.vtrace:
            ratios = self.buffer.ratios if config.whole_rows else self.buffer.ratios.view(-1, 1)
            ratios[chosen] = ratio.view(len(chosen), -1).cpu()
        self.weights.grad.zero_()
        loss.backward()
        self.world.average_(self.weights.grad)
        norm = self.weights.grad.norm()
        if not math.isfinite(norm):
            rewards = self.buffer.rewards[self.buffer.trained_rows]
            raise NotFinite(self.steps, culprit(batch, rewards, outputs, values, self.policy))
        if norm > config.max_grad_norm:
            self.weights.grad.mul_(config.max_grad_norm / (norm + 1e-6))
        self.optimizer.step()
        return torch.cat([parts, norm.unsqueeze(0)])
