"""How observations enter a network: from the environment's own dtype to `hidden_size` numbers.

Observations keep the environment's dtype, mostly uint8, until an encoder turns them into float32: the buffer
and the copy to a device then hold one byte a cell.

    scaled    each number divided by the bound of its space, then a linear layer
    standard  each number minus its running mean, divided by its running deviation, then a linear layer
    normalised   the same as "the 37 details" define it: any deviation counts, and outliers are clipped
    onehot    each cell of small whole numbers as one input for each value, then a linear layer
    conv      a picture (rows, columns), (rows, columns, channels) or (channels, rows, columns): two 3 x 3
              convolutions, then a linear layer
    nature    such a picture of 36 x 36 or more: three convolutions with strides, then a linear layer
    set       the agent's own numbers, and sets of things of one kind, as the environment's
              `observation_sets` says: each thing goes through the same small network; the maximum over each
              set and the agent's own numbers go through a linear layer
    auto      scaled; for rows of bytes (a Dict or Tuple of several dtypes) each leaf by its kind

The parameters are float32, whatever torch's default dtype is.
"""

import math

import numpy as np
import torch
from gymnasium import spaces
from torch import nn
from torch.nn import functional

from puffer_min.emulation.observations import bounds
from puffer_min.learner.kernels import linear_layer, onehot_layer, serves_onehot
from puffer_min.learner.networks.normalisation import RunningMoments

MAX_CODES = 16          # a cell with more values than these is a quantity, not a code
MOST_CHANNELS = 4       # of a picture whose channels come first: colours, or four frames


def make_encoder(name: str, space: spaces.Box, hidden_size: int, sets: dict | None = None) -> nn.Module:
    """The encoder `name` for observations (N, *space.shape) of `space`; it gives (N, hidden_size) float32.

    sets   for "set": name -> (first number, members, numbers of each) in the flat observation

    Raises ValueError where the encoder does not fit the space, TypeError for a space that is no Box.
    """
    if not isinstance(space, spaces.Box):
        raise TypeError(f"observations of {space} given, expected a Box; emulate the environment first")
    encoders = {"auto": Scaled, "scaled": Scaled, "standard": Standardised, "normalised": Normalised,
                "onehot": OneHot, "conv": Convolution, "nature": Nature, "set": Sets}
    if name not in encoders:
        raise ValueError(f"encoder={name!r} given, expected one of {', '.join(encoders)}")
    layout = getattr(space, "layout", None)
    if layout is not None and layout.structured:
        if name != "auto":
            raise ValueError(f"encoder={name!r} given for structured observations, whose rows are bytes; "
                             "use encoder=\"auto\", which unpacks them")
        return Structured(layout, hidden_size)
    return Sets(space, hidden_size, sets) if name == "set" else encoders[name](space, hidden_size)


def linear(inputs: int, outputs: int, gain: float = math.sqrt(2)) -> nn.Linear:
    """A linear layer with orthogonal weights and zero bias."""
    layer = nn.Linear(inputs, outputs, dtype=torch.float32)
    nn.init.orthogonal_(layer.weight, gain)
    nn.init.zeros_(layer.bias)
    return layer


def scale_of(low, high) -> torch.Tensor:
    """1 / the largest magnitude of each number from `low` to `high`, flat; 1 where that is infinite or 0."""
    largest = np.maximum(np.abs(np.float64(low)), np.abs(np.float64(high))).ravel()
    useful = np.isfinite(largest) & (largest > 0) & (largest < 1e6)
    return torch.as_tensor(1 / np.where(useful, largest, 1), dtype=torch.float32)


def numbers_of(observations):
    """Observations (N, ...) of any dtype as (N, numbers) float32."""
    return observations.flatten(1).to(torch.float32)


class Scaled(nn.Module):
    """A linear layer over numbers divided by their bounds: the weights are divided, which are fewer."""

    def __init__(self, space, hidden_size):
        super().__init__()
        self.register_buffer("scale", scale_of(space.low, space.high))
        self.layer = linear(self.scale.numel(), hidden_size)

    def forward(self, observations):
        return linear_layer(observations.flatten(1), self.layer.weight * self.scale, self.layer.bias)


class Standardised(Scaled):
    """A linear layer over numbers minus their running mean, divided by their running deviation.

    It helps where a small difference between large numbers counts. The deviation is at least LEAST times the
    number's bound. The learner calls `observe` once an update with some of the collected observations.
    """

    LEAST = 0.1

    def __init__(self, space, hidden_size):
        super().__init__(space, hidden_size)
        numbers = self.scale.numel()
        self.register_buffer("least", self.LEAST / self.scale, persistent=False)
        self.register_buffer("centre", torch.zeros(numbers, dtype=torch.float32))
        self.register_buffer("moments", torch.zeros(2, numbers, dtype=torch.float64))   # numbers, squares
        self.register_buffer("updates", torch.zeros((), dtype=torch.int64))

    def forward(self, observations):
        weight = self.layer.weight * self.scale
        return linear_layer(observations.flatten(1), weight, self.layer.bias - weight @ self.centre)

    @torch.no_grad()
    def observe(self, observations, average_=lambda tensor: tensor):
        """Take observations (N, ...) into the means; average_ makes a tensor its mean over the processes."""
        numbers = observations.flatten(1).to(torch.float64)
        self.updates += 1
        means = average_(torch.stack([numbers.mean(0), numbers.square().mean(0)]))
        self.moments.lerp_(means, 1 / int(self.updates))
        mean, square = self.moments
        self.centre.copy_(mean)
        self.scale.copy_(1 / (square - mean.square()).clamp(min=0).sqrt().maximum(self.least))


class Normalised(nn.Module):
    """A linear layer over normalised numbers (normalisation.py)."""

    def __init__(self, space, hidden_size):
        super().__init__()
        numbers = math.prod(space.shape)
        self.moments, self.layer = RunningMoments(numbers), linear(numbers, hidden_size)

    def forward(self, observations):
        return self.layer(self.moments(numbers_of(observations)))

    def observe(self, observations, average_=lambda tensor: tensor):
        """Take observations (N, ...) into the moments."""
        self.moments.take(observations.flatten(1), average_)


def has_codes(space) -> bool:
    """Whether the numbers of `space` are whole, from 0 to at most MAX_CODES - 1."""
    whole = np.issubdtype(space.dtype, np.integer)
    return bool(whole and space.low.min() >= 0 and space.high.max() < MAX_CODES)


def cells_of(observations):
    """Whole numbers in a dtype that torch can compare: uint8 as it is, all others as int64."""
    return observations if observations.dtype == torch.uint8 else observations.to(torch.int64)


class OneHot(nn.Module):
    """A linear layer over one input for each cell and each value above 0 within its bound (0 is the bias).

    On the CPU the inputs are not written out. Nearly all are 0: the layer is a sum of rows of the weights.
    """

    def __init__(self, space, hidden_size):
        super().__init__()
        if not has_codes(space):
            raise ValueError(f"one-hot inputs need whole numbers from 0 to at most {MAX_CODES - 1}, but the "
                             f"space is {space}; use encoder=\"scaled\"")
        most = space.high.ravel().astype(np.uint8)
        cells = np.repeat(np.arange(most.size), most)                                   # of each input
        codes = np.concatenate([np.arange(n, dtype=np.uint8) + 1 for n in most])        # of each input
        for name, table in (("most", most), ("cells", cells), ("codes", codes)):
            self.register_buffer(name, torch.from_numpy(table), persistent=False)
        layer = linear(len(cells), hidden_size)
        self.weight, self.bias = nn.Parameter(layer.weight.detach().t().contiguous()), layer.bias

    def forward(self, observations):
        flat = cells_of(observations).flatten(1)
        if serves_onehot(flat, self.weight):
            return onehot_layer(flat, self.most, self.weight, self.bias)
        inputs = flat.index_select(1, self.cells) == self.codes
        return torch.addmm(self.bias, inputs.to(self.weight.dtype), self.weight)


def channels_first(shape) -> bool:
    """Whether the first of three dimensions is the channels: at most MOST_CHANNELS, and less than the others.
    """
    return shape[0] <= MOST_CHANNELS and shape[0] < min(shape[1:])


class Convolution(nn.Module):
    """Two 3 x 3 convolutions of 32 channels over a picture, then a linear layer.

    Small whole numbers enter one-hot, others scaled. Of three dimensions the first is taken for the channels
    where it is at most MOST_CHANNELS and less than the two others, else the last.
    """

    channels = 32

    def __init__(self, space, hidden_size):
        super().__init__()
        shape = space.shape
        self.first = len(shape) == 3 and channels_first(shape)
        rows, columns = shape[1:] if self.first else (*shape, 0, 0)[:2]
        if len(shape) not in (2, 3) or min(rows, columns) < 3:
            raise ValueError("encoder=\"conv\" needs a picture (rows, columns), (rows, columns, channels) or "
                             f"(channels, rows, columns) of at least 3 x 3, but the observation is {shape}; "
                             "use encoder=\"scaled\"")
        self.whole = has_codes(space)
        codes = torch.arange(1, max(2, int(space.high.max()) + 1) if self.whole else 2, dtype=torch.uint8)
        self.register_buffer("codes", codes, persistent=False)
        self.register_buffer("scale", scale_of(space.low, space.high).view(shape))
        inputs = math.prod(shape) // (rows * columns) * len(codes)
        self.layers = nn.Sequential(
            nn.Conv2d(inputs, self.channels, 3, padding=1, dtype=torch.float32), nn.ReLU(),
            nn.Conv2d(self.channels, self.channels, 3, dtype=torch.float32), nn.ReLU())
        for layer in self.layers[::2]:
            nn.init.orthogonal_(layer.weight, math.sqrt(2))
            nn.init.zeros_(layer.bias)
        self.out = linear(self.channels * (rows - 2) * (columns - 2), hidden_size)

    def forward(self, observations):
        if self.whole:
            planes = (cells_of(observations).unsqueeze(-1) == self.codes).to(torch.float32)
        else:
            planes = (observations.to(torch.float32) * self.scale).unsqueeze(-1)
        if self.first:
            planes = planes.movedim(1, 3)               # (N, rows, columns, channels, codes)
        planes = planes.reshape(*planes.shape[:3], -1).permute(0, 3, 1, 2)
        return self.out(self.layers(planes).flatten(1))


class Nature(nn.Module):
    """The three convolutions of Mnih et al. (2015) over a picture of at least 36 x 36, then a linear layer.

    The channels are found as in `Convolution`; a picture without them has one.
    """

    def __init__(self, space, hidden_size):
        super().__init__()
        shape = space.shape if len(space.shape) == 3 else (*space.shape, 1)
        self.first = len(space.shape) == 3 and channels_first(shape)
        channels, rows, columns = shape if self.first else (shape[-1], *shape[:2])
        if len(shape) != 3 or min(rows, columns) < 36:
            raise ValueError("encoder=\"nature\" needs a picture of at least 36 x 36, but the observation is "
                             f"{space.shape}; use encoder=\"conv\"")
        self.register_buffer("scale", scale_of(space.low, space.high).view(shape))
        sizes = [(channels, 32, 8, 4), (32, 64, 4, 2), (64, 64, 3, 1)]          # in, out, kernel, stride
        self.layers = nn.Sequential()
        for inputs, outputs, kernel, stride in sizes:
            rows, columns = (rows - kernel) // stride + 1, (columns - kernel) // stride + 1
            layer = nn.Conv2d(inputs, outputs, kernel, stride, dtype=torch.float32)
            nn.init.orthogonal_(layer.weight, math.sqrt(2))
            nn.init.zeros_(layer.bias)
            self.layers.extend([layer, nn.ReLU()])
        self.out = linear(64 * rows * columns, hidden_size)

    def forward(self, observations):
        planes = observations.view(-1, *self.scale.shape).to(torch.float32) * self.scale
        return self.out(self.layers(planes if self.first else planes.permute(0, 3, 1, 2)).flatten(1))


class Sets(nn.Module):
    """Sets of things of one kind, and the agent's own numbers (Zaheer et al. 2017; Qi et al. 2017).

    Every member of a set goes through the same two layers, of `width` and hidden_size; the maximum over the
    members does not depend on their order. A member of zeros only is absent and is left out; a set without
    members gives zeros.
    """

    width = 32

    def __init__(self, space, hidden_size, sets):
        super().__init__()
        require_layout(sets, space)
        self.sets = {name: (first, members, size) for name, (first, members, size) in sets.items()}
        scale = scale_of(space.low, space.high)
        in_a_set = torch.zeros(scale.numel(), dtype=torch.bool)
        self.inner, self.outer = nn.ModuleDict(), nn.ModuleDict()
        for name, (first, members, size) in self.sets.items():
            numbers = slice(first, first + members * size)
            in_a_set[numbers] = True
            self.inner[name], self.outer[name] = linear(size, self.width), linear(self.width, hidden_size)
            self.register_buffer(f"scale_{name}", scale[numbers].view(members, size).amin(0))
        self.register_buffer("own", torch.nonzero(~in_a_set)[:, 0], persistent=False)
        self.register_buffer("scale", scale[self.own])
        self.layer = linear(len(self.own) + len(self.sets) * hidden_size, hidden_size)

    def forward(self, observations):
        flat = numbers_of(observations)
        parts = [flat.index_select(1, self.own) * self.scale]
        for name, (first, members, size) in self.sets.items():
            things = flat[:, first:first + members * size].unflatten(1, (members, size))
            inner, outer, scale = self.inner[name], self.outer[name], getattr(self, f"scale_{name}")
            hidden = functional.relu_(functional.linear(things, inner.weight * scale, inner.bias))
            absent = (things == 0).all(2, keepdim=True)
            parts.append(functional.relu(outer(hidden).masked_fill_(absent, 0).max(1).values))
        return self.layer(torch.cat(parts, 1))


def require_layout(sets, space) -> None:
    """ValueError unless `sets` is name -> (first, members, size), inside the observation, without overlap."""
    numbers = math.prod(space.shape)
    if not sets:
        raise ValueError("encoder=\"set\" needs an environment that declares observation_sets = "
                         "{name: (first, members, size), ...}; use encoder=\"scaled\"")
    taken = np.zeros(numbers, bool)
    for name, (first, members, size) in sets.items():
        end = first + members * size
        if first < 0 or members < 1 or size < 1 or end > numbers or taken[first:end].any():
            raise ValueError(f"observation_sets[{name!r}] = {(first, members, size)} given, expected (first, "
                             f"members, size) within the {numbers} numbers of the observation and apart from "
                             "the other sets")
        taken[first:end] = True


class Structured(nn.Module):
    """Rows of bytes (N, bytes) of `layout`, unpacked into their leaves, each read by its kind.

    Box and MultiBinary are numbers: each is divided by its bound, then a linear layer over all. Discrete and
    MultiDiscrete are codes: each value is a row of a table as wide as the layer, the same as one-hot inputs
    without the zeros. The result is the sum. The leaves are views; the first copy is the one to float32.
    """

    def __init__(self, layout, hidden_size):
        super().__init__()
        self.layout, leaves = layout, layout.leaves
        self.numbers = [i for i, leaf in enumerate(leaves) if leaf.codes is None and math.prod(leaf.shape)]
        self.codes = [i for i, leaf in enumerate(leaves) if leaf.codes is not None]
        if self.numbers:
            scales = [scale_of(*bounds(leaves[i].space)) for i in self.numbers]
            self.register_buffer("scale", torch.cat(scales))
            self.layer = linear(self.scale.numel(), hidden_size)
        if self.codes:
            counts = np.concatenate([leaves[i].codes for i in self.codes]).astype(np.int64)
            starts = np.concatenate([leaves[i].start for i in self.codes]).astype(np.int64)
            self.register_buffer("first_row", torch.from_numpy(np.cumsum(counts) - counts - starts))
            self.table = nn.Embedding(int(counts.sum()), hidden_size, dtype=torch.float32)
            nn.init.normal_(self.table.weight, std=1 / math.sqrt(len(counts)))

    def forward(self, observations):
        """`observations` are rows of bytes, or the leaves themselves as a tuple, as exported networks get."""
        leaves = observations if isinstance(observations, tuple) else self.layout.views(observations)
        flat = [leaf.reshape(leaf.shape[0], -1) for leaf in leaves]
        hidden = 0
        if self.numbers:
            numbers = [flat[i].to(torch.float32) for i in self.numbers]
            hidden = self.layer(torch.cat(numbers, 1) * self.scale)
        if self.codes:
            codes = torch.cat([flat[i].to(torch.int64) for i in self.codes], 1)
            rows = (codes + self.first_row).clamp(0, self.table.num_embeddings - 1)   # of empty slots: zeros
            hidden = hidden + self.table(rows).sum(1)
        return hidden
