"""How rows of bytes enter a network: unpacked into their leaves, each read by its kind.

    Box, MultiBinary            flat numbers, each divided by the bound of its space, then a linear layer
    Discrete, MultiDiscrete     each value a row of a table, as wide as the layer; the same as one-hot inputs, without the zeros

    result = puffer_min.train(lambda: gymnasium.make("MyDictEnv-v0"))           # the default for structured observations

The leaves are views of the batch (observations.py); the first copy is the one to float32, here.
"""

import math

import numpy as np
import torch
from torch import nn

from puffer_min.emulation.observations import bounds, torch_plan, torch_views
from puffer_min.learner.encoders import linear, make_encoder, scale_of


def encoder_for(name: str, space, hidden_size: int, sets: dict | None = None) -> nn.Module:
    """The encoder `name` for observations of `space`, packed or not; "auto" is the one that reads them as they are meant."""
    layout = getattr(space, "layout", None)
    if layout is None or not layout.structured:
        return make_encoder(name, space, hidden_size, sets)
    if name != "auto":
        raise ValueError(f"encoder={name!r} given for structured observations, whose rows are bytes; use encoder=\"auto\", "
                         "which unpacks them")
    return Structured(layout, hidden_size)


class Structured(nn.Module):
    """The sum of a linear layer over all numbers and of one table row for each code, for rows (N, bytes) of `layout`."""

    def __init__(self, layout, hidden_size):
        super().__init__()
        self.plan = torch_plan(layout)
        self.numbers = [i for i, leaf in enumerate(layout.leaves) if leaf.codes is None and math.prod(leaf.shape)]
        self.codes = [i for i, leaf in enumerate(layout.leaves) if leaf.codes is not None]
        if self.numbers:
            scales = [scale_of(Bounded(layout.leaves[i].space)) for i in self.numbers]
            self.register_buffer("scale", torch.cat(scales))
            self.layer = linear(self.scale.numel(), hidden_size)
        if self.codes:
            counts = np.concatenate([layout.leaves[i].codes for i in self.codes]).astype(np.int64)
            starts = np.concatenate([layout.leaves[i].start for i in self.codes]).astype(np.int64)
            self.register_buffer("first_row", torch.from_numpy(np.cumsum(counts) - counts - starts))
            self.table = nn.Embedding(int(counts.sum()), hidden_size)
            nn.init.normal_(self.table.weight, std=1 / math.sqrt(len(counts)))

    def forward(self, observations):
        leaves = torch_views(observations, self.plan)
        hidden = 0
        if self.numbers:
            hidden = self.layer(torch.cat([flat(leaves[i], torch.float32) for i in self.numbers], 1) * self.scale)
        if self.codes:
            rows = torch.cat([flat(leaves[i], torch.int64) for i in self.codes], 1) + self.first_row
            hidden = hidden + self.table(rows).sum(1)
        return hidden


def flat(leaf, dtype):
    """A leaf (N, ...) as (N, numbers) of `dtype`; of one number an agent as (N, 1)."""
    return (leaf.flatten(1) if leaf.ndim > 1 else leaf.unsqueeze(1)).to(dtype)


class Bounded:
    """The bounds of a leaf, as `scale_of` asks for them."""

    def __init__(self, space):
        self.low, self.high = map(np.asarray, bounds(space))
