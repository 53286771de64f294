"""Collection that does not wait for slow environments: agents act as soon as their environment is ready, and
environments step while the learner learns.

    train(make_env, num_envs=16, num_workers=8, backend="process", batch_envs=8)

    recv    the first 8 environments that finish: the results of their last actions go into the rows
    act     the policy acts for these alone; they step again, while the other 8 are still stepping

Each agent has its own row and column (buffer.py, scattered), so fast environments fill more rows. A step that
is under way during an update was decided by the policy before the update, and is recorded with its
probabilities. Which environments are ready first depends on the machine: a seed does not repeat a run.
benchmarks/LEARNER.md has measurements of where it is faster and where it is not.
"""

import numpy as np
import torch

from puffer_min.env.actions import legal_actions
from puffer_min.learner.config import Config
from puffer_min.learner.distributions import masked
from puffer_min.learner.ppo import PPO


class AsynchronousPPO(PPO):
    """`PPO` on a vectorizer with batch_envs < num_envs. `held` (n,): agents that wait for an action."""

    def __init__(self, env, config: Config | None = None, policy=None, **keywords):
        super().__init__(env, config, policy, **keywords)
        self.buffer.scatter()
        env.report_interval = env.report_interval or self.config.horizon    # logs come with the steps,
        self.episodes.log = dict                                # because `env.log()` would wait for them
        self.held = torch.arange(env.num_agents)
        actions = self.buffer.actions
        self.decisions = torch.zeros(env.num_agents, *actions.shape[2:], dtype=actions.dtype)
        self.log_probs, self.values = torch.zeros(2, env.num_agents, dtype=torch.float32)

    @torch.inference_mode()
    def collect(self):
        """Let the agents that are ready act until the buffer has its rows."""
        self.clock.lap("misc")
        while not self.buffer.is_full:
            self.act()
            batch = self.env.recv()
            self.clock.lap("environment")
            self.store(batch)
        self.bootstrap()

    def act(self):
        """Draw, record and send actions for the agents that wait."""
        env, rows = self.env, self.held
        outputs, values, state = self.policy(self.to_device(self.observations[rows]), self.state[rows])
        legal = self.action_masks()
        outputs = masked(outputs, self.to_device(legal[rows]))
        actions, log_probs = self.policy.distribution.sample(outputs, self.generator)
        self.clock.lap("forward")
        self.decisions[rows], self.log_probs[rows] = actions.cpu(), log_probs.cpu()
        self.values[rows] = values.cpu()
        masks = np.zeros(env.num_agents, bool)
        masks[rows.numpy()] = env.masks[rows.numpy()]
        recurrent = self.state.shape[1] > 0
        self.buffer.record_decision(self.observations, self.decisions, self.log_probs, self.values, masks,
                                    self.state.cpu() if recurrent else None, legal)
        if recurrent:                                   # a slot without an agent keeps its memory
            living = torch.from_numpy(masks)[rows]
            self.state[rows[living]] = state[living]
        self.clock.lap("copy")
        env.send(actions.cpu().numpy().astype(env.actions.dtype))

    def action_masks(self):
        """The legal actions of the agents that wait. Those of others may be half written: all True."""
        masks = legal_actions(self.env)
        if masks is None:
            return super().action_masks()
        legal, held = np.ones_like(masks), self.held.numpy()
        legal[held] = masks[held]
        return self.policy.distribution.legal(legal)

    def store(self, batch):
        """Record the results for the agents in `batch`, who now wait for their next action."""
        env, rows = self.env, batch.rows
        self.held = torch.arange(rows.start, rows.stop) if isinstance(rows, slice) else torch.from_numpy(rows)
        self.episodes.add(batch.infos)
        self.buffer.select(self.held)
        acted = self.buffer.agents
        if self.reward_scale is not None:
            self.reward_scale.observe(env.rewards, env.terminals | env.truncations, acted.numpy())
        recurrent = self.state.shape[1] > 0
        self.buffer.record_outcome(env.rewards, env.terminals, env.truncations, env.final_observations,
                                   self.state.cpu() if recurrent else None)
        if recurrent:
            self.state[acted[torch.from_numpy(env.terminals | env.truncations)[acted]]] = 0
        self.clock.lap("copy")

    def bootstrap(self):
        """Record the values of the observations after the last steps."""
        rows = self.held
        self.values[rows] = self.values_of(self.observations[rows], self.state[rows])
        self.buffer.record_next_values(self.values)
        self.buffer.record_final_values(self.values_of)
        self.clock.lap("forward")

    # ------------------------------------------------------------------ checkpoints

    @torch.inference_mode()
    def drain(self):
        """Receive and record all steps under way, so that environments and learner are saved together."""
        rest = self.env.recv_rest()
        if rest is not None:
            self.store(rest)
            self.bootstrap()
        self.held = torch.arange(self.env.num_agents)

    def get_state(self):
        self.drain()
        return super().get_state()

    def set_state(self, state):
        super().set_state(state)
        if self.buffer.aligned:
            self.buffer.scatter()
        self.held = torch.arange(self.env.num_agents)
