"""The policy: observations in, the outputs of a distribution over actions and a value out.

    observations (N, ...) -> encoder -> hidden layers -> [LSTM] -> one linear layer: num_outputs + 1 numbers an agent

`Policy` is the network, for the learner. `Actor` plays with it: NumPy in, NumPy out, the recurrent state kept inside.
"""

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from puffer_min.env.actions import random_actions
from puffer_min.learner.encoders import linear, make_encoder
from puffer_min.learner.lstm import LSTM
from puffer_min.learner.distributions import Gaussian, distribution_of


class Policy(nn.Module):
    """Encoder, hidden layers of `hidden_size` with ReLU, an LSTM if `recurrent`, and one head for distribution and value together.

    ReLU and not tanh: torch's tanh takes 140 ns for 64 numbers on one core, as long as the layer before it; ReLU 3 ns.
    """

    def __init__(self, observation_space, action_space, *, hidden_size=64, num_layers=2, encoder="auto", recurrent=False,
                 observation_sets=None):
        super().__init__()
        self.distribution = distribution_of(action_space)
        self.encoder = make_encoder(encoder, observation_space, hidden_size, observation_sets)
        self.layers = nn.ModuleList(linear(hidden_size, hidden_size) for _ in range(num_layers - 1))
        self.lstm = LSTM(hidden_size) if recurrent else None
        self.state_size = 2 * hidden_size if recurrent else 0
        self.gaussian = isinstance(self.distribution, Gaussian)
        outputs = self.distribution.size if self.gaussian else self.distribution.num_outputs
        self.head = linear(hidden_size, outputs + 1)
        nn.init.orthogonal_(self.head.weight[:outputs], 0.01)           # at first every action is about equally likely
        nn.init.orthogonal_(self.head.weight[outputs:], 1.0)
        self.log_deviation = nn.Parameter(torch.zeros(outputs)) if self.gaussian else None

    def initial_state(self, num_agents):
        """The state of a recurrent policy at the start of an episode, (num_agents, state_size) zeros."""
        return torch.zeros(num_agents, self.state_size, device=self.head.weight.device)

    def forward(self, observations, state=None):
        """One step of N agents: outputs (num_outputs, N), values (N,), and the state after it."""
        hidden = self.encode(observations)
        if self.lstm is not None:
            hidden, state = self.lstm(hidden, state)
        return *self.decode(hidden), state

    def replay(self, observations, states, ends):
        """Rows of steps, for learning: observations (rows * horizon, ...), states (rows, state_size) before the rows, ends (rows, horizon).

        Gives outputs (num_outputs, rows * horizon) and values (rows * horizon,), the same as step by step.
        """
        hidden = self.encode(observations)
        if self.lstm is not None:
            hidden = self.lstm.replay(hidden.view(*ends.shape, -1), states, ends).flatten(0, 1)
        return self.decode(hidden)

    def encode(self, observations):
        hidden = functional.relu_(self.encoder(observations))
        for layer in self.layers:
            hidden = functional.relu_(functional.linear(hidden, layer.weight, layer.bias))
        return hidden

    def decode(self, hidden):
        """Outputs and values, actions first (see distributions.py): the transposed product costs nothing."""
        both = torch.addmm(self.head.bias.unsqueeze(1), self.head.weight, hidden.t())
        outputs, values = both.split((len(both) - 1, 1))
        if self.gaussian:
            outputs = torch.cat([outputs, self.log_deviation.unsqueeze(1).expand(-1, outputs.shape[1])])
        return outputs, values.squeeze(0)


class Actor:
    """A policy that plays: `act(observations) -> actions` for any number of agents, NumPy in and out.

    greedy    take the most probable action; otherwise actions are drawn, with a generator of its own from `seed`

    A recurrent policy remembers between calls: `observe_ends(terminals | truncations)` after each step, `reset()` before a new game.
    """

    def __init__(self, policy, *, seed=0, greedy=False):
        self.policy, self.seed, self.greedy = policy, seed, greedy
        self.device = policy.head.weight.device
        self.whole = not policy.gaussian
        self.reset()

    def reset(self):
        """Forget everything: recurrent state to zero, the random stream back to its start."""
        self.state = None
        self.generator = torch.Generator(self.device).manual_seed(self.seed)

    @torch.inference_mode()
    def act(self, observations):
        """Actions for observations (N, ...): int32 (N,) or (N, k), or float32 (N, ...)."""
        if self.state is None or len(self.state) != len(observations):
            self.state = self.policy.initial_state(len(observations))
        seen = torch.from_numpy(np.ascontiguousarray(observations)).to(self.device)
        outputs, _, self.state = self.policy(seen, self.state)
        distribution = self.policy.distribution
        actions = distribution.mode(outputs) if self.greedy else distribution.sample(outputs, self.generator)[0]
        return actions.cpu().numpy().astype(np.int32 if self.whole else np.float32, order="C")

    @torch.inference_mode()
    def observe_ends(self, ends):
        """Episodes that ended at the last step, (N,) bool: their agents' memory starts afresh."""
        if self.policy.state_size and self.state is not None:
            self.state[torch.from_numpy(np.asarray(ends))] = 0


class RandomPolicy:
    """Random actions for every agent of `env`, drawn from its action space (`random_actions`) with `seed`."""

    def __init__(self, env, seed=0):
        self.space, self.num_agents, self.seed = env.single_action_space, env.num_agents, seed
        self.reset()

    def reset(self):
        """Back to the start of the random stream."""
        self.random = np.random.default_rng(self.seed)

    def act(self, observations=None):
        """One random action for each agent, whatever it sees."""
        return random_actions(self.space, self.num_agents, self.random)
