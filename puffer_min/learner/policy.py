"""The policy: observations in, the outputs of a distribution over actions and a value out.

    observations (N, ...) -> encoder -> hidden layers -> [LSTM] -> one linear layer: num_outputs + 1 numbers

`Policy` is the default network and `Actor` plays with any: NumPy in, NumPy out, the memory kept inside.

A network of your own learns in its place: `train(env, policy=factory)`, `PPO(env, config, policy=factory)`,
or `python -m puffer_min train ENV --policy my_net.py:OneLayer`. The factory is a function or class that gives
an nn.Module for the `EnvSpec` of the environment and the `Config`:

    class OneLayer(nn.Module):
        def __init__(self, spec, config):
            super().__init__()
            self.distribution = distribution_of(spec.single_action_space)
            inputs = math.prod(spec.single_observation_space.shape)
            self.layer = nn.Linear(inputs, self.distribution.num_outputs + 1)

        def initial_state(self, num_agents):
            return torch.zeros(num_agents, 0)

        def forward(self, observations, state):
            both = self.layer(observations.flatten(1).float()).t()
            return both[:-1], both[-1], state

        def replay(self, observations, states, ends):
            return self.forward(observations, states)[:2]

    distribution    of distributions.py: it samples, and knows num_outputs
    initial_state   the memory of agents whose episode starts, zeros (num_agents, state_size) float32, where
                    state_size is 0 for a network without memory
    forward         one step of N agents: observations (N, ...) in the environment's dtype and the state
                    (N, state_size) -> outputs (num_outputs, N), values (N,), the state after the step
    replay          rows of steps, to learn from: observations (rows * horizon, ...) row by row, the states
                    (rows, state_size) before each row, ends (rows, horizon) bool, after which the state is
                    zeros -> outputs (num_outputs, rows * horizon), values (rows * horizon,), the same as step
                    by step
    observe         optional; called once an update with some observations (Standardised in networks/)

Outputs, values and parameters are float32, and outputs are actions first (distributions.py).
"""

import math

import torch
from torch import nn
from torch.nn import functional

from puffer_min.learner.distributions import Gaussian, distribution_of
from puffer_min.learner.kernels.lstm import LSTM
from puffer_min.learner.networks.encoders import linear, make_encoder


def make_policy(spec, config) -> "Policy":
    """The default network for an environment: `Policy`, as the configuration says."""
    own = ("hidden_size", "num_layers", "encoder", "activation", "separate_critic", "log_std_init",
           "recurrent")
    return Policy(spec.single_observation_space, spec.single_action_space,
                  observation_sets=spec.observation_sets, **{name: getattr(config, name) for name in own})


class Policy(nn.Module):
    """Encoder, hidden layers, an LSTM if `recurrent`, and one head for distribution and value.

    With `separate_critic` the encoder gives twice as many numbers, and the value has the second half of them
    and layers and a head of its own. ReLU by default: torch's tanh of a layer takes as long as the layer.
    """

    def __init__(self, observation_space, action_space, *, hidden_size=64, num_layers=2, encoder="auto",
                 activation="relu", separate_critic=False, log_std_init=0.0, recurrent=False,
                 observation_sets=None):
        super().__init__()
        if separate_critic and recurrent:
            raise ValueError("separate_critic=True given with recurrent=True, expected one of them: an LSTM "
                             "serves policy and value")
        self.distribution = distribution_of(action_space)
        self.activate = {"relu": functional.relu_, "tanh": torch.tanh_}[activation]
        self.separate, wide = separate_critic, hidden_size * (1 + separate_critic)
        self.encoder = make_encoder(encoder, observation_space, wide, observation_sets)
        self.layers = nn.ModuleList(linear(hidden_size, hidden_size) for _ in range(num_layers - 1))
        self.lstm = LSTM(hidden_size) if recurrent else None
        self.state_size = 2 * hidden_size if recurrent else 0
        self.gaussian = isinstance(self.distribution, Gaussian)
        outputs = self.distribution.size if self.gaussian else self.distribution.num_outputs
        self.head = linear(hidden_size, outputs + (not separate_critic))
        nn.init.orthogonal_(self.head.weight[:outputs], 0.01)       # at first all actions are nearly equal
        nn.init.orthogonal_(self.head.weight[outputs:], 1.0)
        if separate_critic:
            for layer in self.encoder.modules():
                if isinstance(layer, nn.Linear) and layer.out_features == wide:
                    for half in layer.weight.detach().chunk(2):
                        nn.init.orthogonal_(half, math.sqrt(2))
            self.critic_layers = nn.ModuleList(linear(hidden_size, hidden_size) for _ in self.layers)
            self.critic_head = linear(hidden_size, 1, 1.0)
        deviation = torch.full((outputs,), log_std_init, dtype=torch.float32)
        self.log_deviation = nn.Parameter(deviation) if self.gaussian else None
        if hasattr(self.encoder, "observe"):
            self.observe = self.encoder.observe

    def initial_state(self, num_agents):
        """Zeros (num_agents, state_size)."""
        return torch.zeros(num_agents, self.state_size, dtype=torch.float32, device=self.head.weight.device)

    def forward(self, observations, state=None):
        """One step of N agents: outputs (num_outputs, N), values (N,), and the state after it."""
        hidden = self.encode(observations)
        if self.lstm is not None:
            hidden, state = self.lstm(hidden, state)
        return *self.decode(hidden), state

    def replay(self, observations, states, ends):
        """Rows of steps: outputs (num_outputs, rows * horizon) and values (rows * horizon,)."""
        hidden = self.encode(observations)
        if self.lstm is not None:
            hidden = self.lstm.replay(hidden.view(*ends.shape, -1), states, ends).flatten(0, 1)
        return self.decode(hidden)

    def encode(self, observations):
        """What the heads see, (N, hidden_size); with a separate critic a pair of them, the policy's first."""
        hidden = self.activate(self.encoder(observations))
        if not self.separate:
            return self.through(self.layers, hidden)
        first, second = hidden.chunk(2, 1)
        return self.through(self.layers, first), self.through(self.critic_layers, second)

    def through(self, layers, hidden):
        for layer in layers:
            hidden = self.activate(functional.linear(hidden, layer.weight, layer.bias))
        return hidden

    def decode(self, hidden):
        """Outputs and values, actions first: the transposed product costs nothing."""
        hidden, of_critic = hidden if self.separate else (hidden, None)
        outputs = torch.addmm(self.head.bias.unsqueeze(1), self.head.weight, hidden.t())
        if self.separate:
            values = self.critic_head(of_critic).t()
        else:
            outputs, values = outputs.split((len(outputs) - 1, 1))
        if self.gaussian:
            outputs = torch.cat([outputs, self.log_deviation.unsqueeze(1).expand(-1, outputs.shape[1])])
        return outputs, values.squeeze(0)
