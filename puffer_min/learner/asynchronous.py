"""Collection without waiting for the slowest: agents act as soon as their environments are ready, and environments step while we learn.

    vec = make_vec(make_env, num_envs=16, num_workers=8, backend="process", batch_envs=8)
    train(vec, ...)                                             # or train(make_env, num_envs=16, num_workers=8, backend="process", batch_envs=8)

    recv    8 environments, those that have finished first: what came of their last actions goes into their agents' rows
    act     the policy on these alone; they are sent off again, and the other 8 are on their way all the time

Each agent is at its own place in its own row (buffer.py, scattered), and a row is full when its agent has made its steps, so fast
environments fill more of them. Between two updates the steps on their way go on: what they bring was decided by the policy before the
update, and is recorded with its probabilities. Who is ready first depends on the machine: a seed does not repeat a run.

Where it pays and where it does not is measured in benchmarks/LEARNER.md.
"""

import numpy as np
import torch

from puffer_min.learner.config import Config
from puffer_min.learner.ppo import PPO


class AsynchronousPPO(PPO):
    """`PPO` on a vectorizer with batch_envs < num_envs. `held` are the agents that wait for an action, (n,) int64."""

    def __init__(self, env, config: Config = Config(), **keywords):
        super().__init__(env, config, **keywords)
        self.buffer.scatter()
        env.report_interval = env.report_interval or config.horizon     # logs come with the steps: while some are on their way none can be
        self.episodes.log = dict                                        # asked for
        self.held = torch.arange(env.num_agents)
        shape = self.buffer.actions.shape[2:]
        self.decisions = torch.zeros(env.num_agents, *shape, dtype=self.buffer.actions.dtype)       # what record_decision takes, for all agents
        self.log_probs, self.values = torch.zeros(env.num_agents), torch.zeros(env.num_agents)

    @torch.inference_mode()
    def collect(self):
        """Let those that are ready act until the buffer has its rows."""
        self.clock.lap("misc")
        while not self.buffer.is_full:
            self.decide()
            batch = self.env.recv()
            self.clock.lap("environment")
            self.receive(batch)
        self.foresee()

    def decide(self):
        """Actions for those that wait, recorded and sent."""
        env, rows = self.env, self.held
        outputs, values, state = self.policy(self.to_device(self.observations[rows]), self.state[rows])
        actions, log_probs = self.policy.distribution.sample(outputs, self.generator, self.world)
        self.clock.lap("forward")
        self.decisions[rows], self.log_probs[rows], self.values[rows] = actions.cpu(), log_probs.cpu(), values.cpu()
        masks = np.zeros(env.num_agents, bool)
        masks[rows.numpy()] = env.masks[rows.numpy()]
        recurrent = self.policy.state_size > 0
        self.buffer.record_decision(self.observations, self.decisions, self.log_probs, self.values, masks, self.state.cpu() if recurrent else None)
        if recurrent:                                           # the memory of a slot without an agent stands still
            living = torch.from_numpy(masks)[rows]
            self.state[rows[living]] = state[living]
        self.clock.lap("copy")
        env.send(actions.cpu().numpy().astype(env.actions.dtype))

    def receive(self, batch):
        """Record what came of the actions of the agents in `batch`, who now wait for the next."""
        env, rows = self.env, batch.rows
        self.held = torch.arange(rows.start, rows.stop) if isinstance(rows, slice) else torch.from_numpy(rows)
        self.episodes.add(batch.infos)
        self.buffer.turn_to(self.held)
        acted = self.buffer.agents
        recurrent = self.policy.state_size > 0
        self.buffer.record_outcome(env.rewards, env.terminals, env.truncations, env.final_observations, self.state.cpu() if recurrent else None)
        if recurrent:
            self.state[acted[torch.from_numpy(env.terminals | env.truncations)[acted]]] = 0
        self.clock.lap("copy")

    def foresee(self):
        """The values of what comes after the last steps received."""
        rows = self.held
        self.values[rows] = self.policy(self.to_device(self.observations[rows]), self.state[rows])[1].cpu()
        self.buffer.record_next_values(self.values)
        self.buffer.record_final_values(lambda *seen: self.policy(*map(self.to_device, seen))[1].cpu())
        self.clock.lap("forward")

    # ------------------------------------------------------------------ checkpoints

    @torch.inference_mode()
    def settle(self):
        """Wait for all that is on its way and record it, so that environments and learner can be saved as one."""
        rest = self.env.recv_rest()
        if rest is not None:
            self.receive(rest)
            self.foresee()
        self.held = torch.arange(self.env.num_agents)

    def get_state(self):
        self.settle()
        return super().get_state()

    def set_state(self, state):
        super().set_state(state)
        if self.buffer.aligned:
            self.buffer.scatter()
        self.held = torch.arange(self.env.num_agents)
