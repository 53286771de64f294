"""The rollout buffer. An agent owns a row of `horizon` steps, fills it, then takes the next free one.

              step  0   1   2   3
    row 0         [ a0  a0  a0  a0 ]    full
    row 1         [ a1  a1  a1  .  ]    agent 1 was dead for a step: its row is behind
    row 2         [ a2  a2  a2  a2 ]    full
    row 3         [ a0  .   .   .  ]    agent 0's next row
    row 4         [ a2  .   .   .  ]    agent 2's next row

A row holds one agent's steps in order, so no sequence runs from one agent into another. Only full rows are
learned from: the steps that a dead agent missed cost nothing and are in no loss (stream 001 @3,639, @13,263).

Two counters, which move together and mean different things (stream 001 @15,745):

    next_free   rows handed out so far; starts at num_agents, because every agent owns a row from the start
    full_rows   rows filled so far; starts at 0

Collection goes on until full_rows reaches `segments`. Judged by next_free, a buffer of as many segments as
agents would look used up before its first step. After the update `recycle` starts both again, but keeps the
rows of agents that are behind for a later update, with the log-probabilities of the policy that acted.

As long as no agent is dead, all are *aligned*, at the same column of neighbouring rows, and a step is written
as one slice. The first dead agent makes them *scattered*, each at its own row and column, until `reset`.
"""

import math
from typing import NamedTuple

import numpy as np
import torch

from envs.core.buffers import action_layout
from envs.core.free_memory import free_memory
from puffer_min.learner.advantage import gae, vtrace
from puffer_min.learner.checkpoint import ResumableRows

LARGE = 2**28           # bytes from which on it is worth asking how much memory is free


class Minibatch(NamedTuple):
    """Whole rows, flattened: tensors (rows * horizon, ...), row by row, except ends (rows, horizon) bool and
    states (rows, state_size). action_masks, bool, have 0 columns if all actions are legal."""

    observations: torch.Tensor
    actions: torch.Tensor
    log_probs: torch.Tensor
    values: torch.Tensor
    advantages: torch.Tensor
    returns: torch.Tensor
    action_masks: torch.Tensor
    ends: torch.Tensor
    states: torch.Tensor


class RolloutBuffer(ResumableRows):
    """Experience of `num_agents` agents: `segments` full rows of `horizon` steps an update, in CPU memory.

    Tensors (rows, horizon, ...): observations in the environment's own dtype; actions int64 or float32;
    log_probs, values, rewards, final_values, ratios, advantages, returns float32; terminals, truncations
    bool; action_masks bool (rows, horizon, num_choices). next_values (rows,) float32 is the value of the
    observation after each row, states (rows, state_size) float32 a recurrent policy's state before it.

    Call `record_decision` and `record_outcome` around each step of the environment. When `is_full`, call
    `record_next_values` and `record_final_values`.
    """

    def __init__(self, num_agents, segments, horizon, observation_space, action_space, *, state_size=0,
                 num_choices=0):
        self.num_agents, self.segments, self.horizon = num_agents, segments, horizon
        self.num_rows = segments + 2 * num_agents       # each agent may be within a row, and may fill another
        shape, dtype = action_layout(action_space)
        need = segments * horizon * (observation_space.dtype.itemsize * math.prod(observation_space.shape)
                                     + 8 * math.prod(shape) + num_choices + 30)
        if need >= LARGE and need > (free := free_memory()):
            raise ValueError(f"{segments:,} rows of horizon={horizon:,} steps take {need / 2**30:,.1f} GiB, "
                             f"expected at most the {free / 2**30:,.1f} GiB that are free; take fewer "
                             "environments or a smaller horizon")
        self.actions = self._table(horizon, *shape, dtype=np.int64 if dtype.kind == "i" else np.float32)
        self.observations = self._table(horizon, *observation_space.shape, dtype=observation_space.dtype)
        for name in ("log_probs", "values", "rewards", "final_values", "ratios", "advantages", "returns"):
            setattr(self, name, self._table(horizon))
        self.terminals, self.truncations = self._table(horizon, dtype=bool), self._table(horizon, dtype=bool)
        self.action_masks = self._table(horizon, num_choices, dtype=bool)
        self.next_values, self.states = self._table(), self._table(state_size)
        self.reset()

    def _table(self, *shape, dtype=np.float32):
        """Zeros that take memory only where they are written, so spare rows cost nothing."""
        return torch.from_numpy(np.zeros((self.num_rows, *shape), dtype))

    def reset(self):
        """Forget everything, as at the start."""
        self.aligned = True
        self.row, self.column = 0, 0                    # aligned: where agent 0 is; agent i is i rows below
        self.row_of = torch.arange(self.num_agents)     # scattered: where each agent is
        self.column_of = torch.zeros(self.num_agents, dtype=torch.int64)
        self.deciding = torch.zeros(self.num_agents, dtype=torch.bool)  # scattered: outcome due
        self.order = torch.arange(self.num_rows)        # rows in the order they are handed out
        self.filled = torch.zeros(self.num_rows, dtype=torch.int64)     # rows in the order they became full
        self.next_free, self.full_rows = self.num_agents, 0
        self.awaiting = None                            # (agents, their rows that the last step filled)
        self.cuts = []                                  # (rows, columns, last observations, states there)
        self.agent_steps, self.slots = 0, 0
        self.ratios.fill_(1)

    @property
    def is_full(self):
        """Whether there are `segments` full rows."""
        return self.full_rows >= self.segments

    @property
    def density(self):
        """Share of the agents' slots that held a living agent since the last `recycle`."""
        return self.agent_steps / max(1, self.slots)

    @property
    def waiting(self):
        """Agent-steps in rows that are begun and not full."""
        return self.column * self.num_agents if self.aligned else int(self.column_of.sum())

    # ------------------------------------------------------------------ writing

    def record_decision(self, observations, actions, log_probs, values, masks, states=None,
                        action_masks=None):
        """What the agents saw and did, before the environment steps: tensors of num_agents rows.

        masks (num_agents,) bool, NumPy: agents whose mask is False are dead and leave no trace.
        """
        self.record_next_values(values)
        self.living, self.asked = self.num_agents if masks.all() else np.count_nonzero(masks), self.num_agents
        if self.aligned and self.living < self.num_agents:
            self.scatter()
        if self.aligned:
            self.agents = slice(None)
            self.at = slice(self.row, self.row + self.num_agents), self.column
        else:
            self.agents = torch.from_numpy(np.flatnonzero(masks))
            self.at = self.row_of[self.agents], self.column_of[self.agents]
            self.deciding[self.agents] = True
        self.observations[self.at] = observations[self.agents]
        self.actions[self.at] = actions[self.agents]
        self.log_probs[self.at] = log_probs[self.agents]
        self.values[self.at] = values[self.agents]
        if action_masks is not None:
            self.action_masks[self.at] = action_masks[self.agents]
        if states is not None:
            self._record_states(states)

    def _record_states(self, states):
        """Keep the state of agents that begin a row."""
        if not self.aligned:
            begin = self.agents[self.at[1] == 0]
            self.states[self.row_of[begin]] = states[begin]
        elif self.column == 0:
            self.states[self.at[0]] = states

    def select(self, agents):
        """Choose the agents (n,) int64 of the next `record_outcome`, while others are still stepping."""
        self.agents = agents[self.deciding[agents]]
        self.at = self.row_of[self.agents], self.column_of[self.agents]
        self.living, self.asked = len(self.agents), len(agents)

    def record_outcome(self, rewards, terminals, truncations, final_observations=None, states=None):
        """The results of the environment's step, NumPy arrays, and the policy's states after the decision."""
        self.rewards[self.at] = torch.from_numpy(rewards)[self.agents]
        self.terminals[self.at] = torch.from_numpy(terminals)[self.agents]
        if final_observations is not None:
            self.truncations[self.at] = torch.from_numpy(truncations)[self.agents]
            if truncations.any():
                self._record_cut(truncations & ~terminals, final_observations, states)
        self.agent_steps += self.living
        self.slots += self.asked
        if self.aligned:
            self._advance_together()
        else:
            self._advance_each()

    def _record_cut(self, cut, final_observations, states):
        agents = torch.from_numpy(np.flatnonzero(cut))
        if self.aligned:
            rows, columns = self.row + agents, torch.full_like(agents, self.column)
        else:
            agents = agents[torch.isin(agents, self.agents)]
            rows, columns = self.row_of[agents], self.column_of[agents]
        states = torch.empty(len(agents), 0) if states is None else states[agents]
        self.cuts.append((rows, columns, torch.from_numpy(final_observations)[agents], states))

    def _advance_together(self):
        self.column += 1
        if self.column == self.horizon:
            rows = slice(self.row, self.row + self.num_agents)
            self.awaiting = slice(None), rows
            self.filled[self.full_rows:self.full_rows + self.num_agents] = torch.arange(rows.start, rows.stop)
            self.row, self.column = self.next_free, 0
            self.full_rows += self.num_agents
            self.next_free += self.num_agents

    def _advance_each(self):
        self.deciding[self.agents] = False
        self.column_of[self.agents] += 1
        done = self.agents[self.column_of[self.agents] == self.horizon]
        if len(done):
            rows = self.row_of[done]
            self.awaiting = done, rows
            self.filled[self.full_rows:self.full_rows + len(done)] = rows
            self.column_of[done] = 0
            self.row_of[done] = self.order[self.next_free:self.next_free + len(done)]
            self.full_rows += len(done)
            self.next_free += len(done)

    def scatter(self):
        """From now on, until `reset`, each agent has a row and a column of its own."""
        self.aligned = False
        self.row_of[:] = torch.arange(self.row, self.row + self.num_agents)
        self.column_of[:] = self.column

    def record_next_values(self, values):
        """Values (num_agents,) of what the agents see now: rows just filled bootstrap from them."""
        if self.awaiting is not None:
            agents, rows = self.awaiting
            self.next_values[rows] = values[agents]
            self.awaiting = None

    def record_final_values(self, value_of):
        """Fill final_values on the steps that were cut; value_of(observations, states) gives their values."""
        if self.cuts:
            rows, columns, observations, states = map(torch.cat, zip(*self.cuts, strict=True))
            self.final_values[rows, columns] = value_of(observations, states)
            self.cuts = []

    # ------------------------------------------------------------------ reading

    @property
    def trained_rows(self):
        """Numbers of the rows of this update, (segments,) int64."""
        return self.filled[:self.segments]

    @property
    def trained_steps(self):
        """Numbers of the steps of these rows, (segments * horizon,) int64: row * horizon + column."""
        return (self.trained_rows.unsqueeze(1) * self.horizon + torch.arange(self.horizon)).flatten()

    def estimate(self, gamma, gae_lambda, vtrace_clips=None, until_reward=False, reward_scale=None):
        """Fill advantages and returns of all rows that hold steps: GAE, or V-trace with (rho_clip, c_clip).

        until_reward   a step with a reward counts as the end of an episode: no later reward is credited to it
        reward_scale   function that scales the rewards (RewardScale)
        """
        n = self.segments if self.aligned else self.num_rows
        terminals = self.terminals | (self.rewards != 0) if until_reward else self.terminals
        rewards = self.rewards if reward_scale is None else reward_scale(self.rewards)
        tables = [rewards, self.values, terminals, self.truncations, self.final_values, self.next_values]
        results = [self.advantages, self.returns]
        if vtrace_clips is None:
            gae(*(table[:n].numpy() for table in tables + results), gamma, gae_lambda)
        else:
            tables = [*tables, self.ratios, *results]
            vtrace(*(table[:n].numpy() for table in tables), gamma, gae_lambda, *vtrace_clips)

    def gather(self, chosen, whole_rows=True) -> Minibatch:
        """Copies of whole rows, flattened; or of single steps as rows of one, for policies without a memory.

        index_select copies rows; brackets would copy number by number.
        """
        def copies(name):
            table = getattr(self, name)
            return (table if whole_rows else table.flatten(0, 1).unsqueeze(1)).index_select(0, chosen)
        flat = (copies(name).flatten(0, 1) for name in Minibatch._fields[:7])
        states = self.states.index_select(0, chosen) if whole_rows else torch.zeros(len(chosen), 0)
        return Minibatch(*flat, ends=copies("terminals").logical_or_(copies("truncations")), states=states)

    def recycle(self):
        """After the update: free its rows. Begun rows and surplus full rows stay."""
        self.agent_steps, self.slots = 0, 0
        self.ratios[self.trained_rows] = 1
        self.full_rows -= self.segments
        if self.aligned:
            self.row, self.next_free = 0, self.num_agents
            return
        surplus = self.filled[self.segments:self.segments + self.full_rows].clone()
        begun = (self.column_of > 0) | self.deciding    # a decision without its outcome holds its row, too
        kept = torch.cat([self.row_of[begun], surplus])
        taken = torch.zeros(self.num_rows, dtype=torch.bool)
        taken[kept] = True
        free = torch.nonzero(~taken)[:, 0]
        unbegun = int((~begun).sum())
        self.row_of[~begun] = free[:unbegun]
        self.filled[:self.full_rows] = surplus
        self.order = torch.cat([free[:unbegun], kept, free[unbegun:]])
        self.next_free = unbegun + len(kept)
