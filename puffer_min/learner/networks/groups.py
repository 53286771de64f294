"""A network for each group of agents (`GroupRows`), and all of them as one policy, as the learner wants it.

    rows of bytes --split by group--> a network each, over its own rows --put together--> outputs, values

A network is made by the factory of the policy for the spaces of its group, and never sees a row of another
one. Its outputs become columns of the outputs over `GroupRows.action_space`: of whole numbers, choices that
the group lacks get -inf, which is never drawn and has no gradient, and the one choice of a component that it
lacks gets 0, whose probability is then 1. Of Boxes, numbers that it lacks have mean 0 and deviation 1, which
adds the same to old and new log-probabilities.
"""

import dataclasses
import math

import numpy as np
import torch
from torch import nn

from puffer_min.learner.distributions import Categorical, distribution_of


class PolicyOfGroups(nn.Module):
    """The policy of `networks`, one for each group of `spec`, in their order. Methods as in policy.py.

    Attributes: rows, the `GroupRows`; networks. Raises ValueError for distributions of several kinds.
    """

    observe_every = 1               # a part of the rows could leave a group out

    def __init__(self, networks, spec):
        super().__init__()
        self.rows, self.networks = spec.single_observation_space, nn.ModuleList(networks)
        kinds = {type(network.distribution) for network in networks}
        self.distribution = distribution_of(spec.single_action_space)
        if len(kinds) > 1:
            raise ValueError(f"policy gave networks with {' and '.join(kind.__name__ for kind in kinds)}, "
                             "expected one kind of distribution for all groups of agents")
        if kinds != {type(self.distribution)}:
            self.distribution = kinds.pop()(spec.single_action_space)
        self.state_sizes = [network.initial_state(1).shape[1] for network in networks]
        for number, network in enumerate(networks):
            self.place(number, network)
        if any(hasattr(network, "observe") for network in networks):
            self.observe = self.observe_groups

    def place(self, number, network):
        """Buffers `places`, the columns of a network's outputs, and `others`, what is in all others."""
        if isinstance(self.distribution, Categorical):
            places, absent = map(torch.from_numpy, self.rows.columns_of(number))
            others = torch.full((self.distribution.num_outputs,), -math.inf)
            others[absent] = 0
        else:                                           # means, then logarithms of deviations
            own, size = network.distribution.size, self.distribution.size
            places, others = torch.cat([torch.arange(own), size + torch.arange(own)]), torch.zeros(2 * size)
        self.register_buffer(f"places_{number}", places, persistent=False)
        self.register_buffer(f"others_{number}", others.float().unsqueeze(1), persistent=False)

    def network_of(self, name):
        """The network of an agent or a group. Raises ValueError for an unknown name."""
        groups = list(self.rows.groups)
        group = self.rows.agents.get(name, name)
        if group not in groups:
            raise ValueError(f"agent {name!r} given, expected one of "
                             f"{', '.join(map(str, [*self.rows.agents, *groups]))}")
        return self.networks[groups.index(group)]

    def initial_state(self, num_agents):
        """Zeros (num_agents, state_size): as many numbers as the largest memory of a group."""
        device = next(self.parameters()).device
        return torch.zeros(num_agents, max(self.state_sizes), dtype=torch.float32, device=device)

    def forward(self, observations, state):
        """One step of N agents: outputs (num_outputs, N), values (N,), and the state after it."""
        parts, after = [], state.clone()
        for number, index in self.split(observations[:, -1]):
            seen, before = self.own(number, observations[index]), self.memory(number, state[index])
            outputs, values, own = self.networks[number](seen, before)
            after[index, :own.shape[1]] = own
            parts.append((number, index, outputs, values))
        return *self.together(parts), after

    def replay(self, observations, states, ends):
        """Rows of steps, each of one agent: outputs (num_outputs, rows * horizon) and values."""
        count, horizon = ends.shape
        observations = observations.reshape(count, horizon, -1)
        steps = torch.arange(count * horizon, device=ends.device).view(count, horizon)
        parts = []
        for number, index in self.split(observations[:, 0, -1]):
            seen = self.own(number, observations[index].flatten(0, 1))
            results = self.networks[number].replay(seen, self.memory(number, states[index]), ends[index])
            parts.append((number, steps[index].flatten(), *results))
        return self.together(parts)

    def observe_groups(self, observations, average_=lambda tensor: tensor):
        """Let each network observe the rows of its group, if all processes have some."""
        parts = dict(self.split(observations[:, -1]))
        there = torch.tensor([number in parts for number in range(len(self.networks))])
        there = average_(there.to(observations.device, torch.float32))
        for number, network in enumerate(self.networks):
            if there[number] == 1 and hasattr(network, "observe"):
                network.observe(self.own(number, observations[parts[number]]), average_)

    def split(self, numbers):
        """(number, indices) of each group that is in `numbers` (N,)."""
        counts = numbers.long().bincount(minlength=len(self.networks)).tolist()
        parts = numbers.argsort(stable=True).split(counts)
        return [(number, index) for number, index in enumerate(parts) if len(index)]

    def own(self, number, rows):
        """Rows of bytes (n, width) as observations of the group, (n, ...) in their own dtype."""
        space = list(self.rows.groups.values())[number].single_observation_space
        flat = rows[:, :self.rows.sizes[number]]
        if space.dtype != "uint8":
            flat = flat.view(torch.from_numpy(np.zeros(0, space.dtype)).dtype)
        return flat.reshape(len(rows), *space.shape)

    def memory(self, number, states):
        return states[:, :self.state_sizes[number]].contiguous()

    def together(self, parts):
        """Outputs and values of all rows, from (number, indices, outputs, values) of each group."""
        placed = [getattr(self, f"others_{number}").repeat(1, len(index))
                  .index_copy(0, getattr(self, f"places_{number}"), outputs)
                  for number, index, outputs, _ in parts]
        back = torch.cat([index for _, index, _, _ in parts]).argsort()
        values = torch.cat([values for *_, values in parts])
        return torch.cat(placed, 1).index_select(1, back), values[back]


def parts_of(rows, config):
    """(`EnvSpec`, `Config`) of the network of each group; rows of bytes are read by the kind of each leaf."""
    for spec in rows.groups.values():
        layout = getattr(spec.single_observation_space, "layout", None)
        by_kind = layout is not None and layout.structured
        yield spec, dataclasses.replace(config, encoder="auto") if by_kind else config
