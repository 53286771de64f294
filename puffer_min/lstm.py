"""A long short-term memory (Hochreiter and Schmidhuber 1997) for acting step by step and for learning from whole rows.

One step, from the input's share of the gates, x W + b, and the state (hidden, cell):

    i, f, o = sigmoid(gates);  g = tanh(gates)          input, forget and output gate, and what may be written
    cell    = f * cell + i * g
    hidden  = o * tanh(cell)

For learning, `LSTM.replay` runs a row from the state recorded before it and sets the state to zero after every end, as acting did.
Its gradient, back-propagation through time, is written out in `Unroll`: the loop over time keeps only what must be sequential, and the
gradient of the weights is one product over all steps where autograd makes one a step. Left to autograd, an update took twice as long.
"""

import torch
from torch import nn

from puffer_min.encoders import linear


class LSTM(nn.Module):
    """`size` inputs, hidden and cell numbers each. The state (N, 2 * size), hidden and cell side by side, is given and returned."""

    def __init__(self, size):
        super().__init__()
        self.size = size
        self.input = linear(size, 4 * size, gain=1.0)
        self.state_weight = nn.Parameter(torch.empty(4 * size, size))
        nn.init.orthogonal_(self.state_weight)
        nn.init.ones_(self.input.bias[size:2 * size])           # forget gate open: remember at first

    def forward(self, inputs, state):
        """One step: inputs (N, size) -> hidden (N, size), and the state after it."""
        hidden, cell = state.split(self.size, 1)
        i, f, o, g = activate_(self.input(inputs).addmm_(hidden, self.state_weight.t()), self.size)
        cell = torch.addcmul(f * cell, i, g)
        hidden = o * tanh_(cell.clone())
        return hidden, torch.cat([hidden, cell], 1)

    def replay(self, inputs, state, ends, seams=None):
        """Rows: inputs (rows, horizon, size), the state before them, ends (rows, horizon) bool -> hidden (rows, horizon, size).

        seams (rows, horizon, 2 * size) is added to the state before each step, where another agent goes on in the row.
        """
        hidden, cell = state.split(self.size, 1)
        goes_on = (~ends).to(inputs.dtype).t().unsqueeze(2)
        seams = None if seams is None else seams.transpose(0, 1)
        return Unroll.apply(self.input(inputs.transpose(0, 1)), hidden, cell, self.state_weight, goes_on, seams).transpose(0, 1)


def activate_(gates, size):
    """Turn raw gates (N, 4 * size) into i, f, o, g, in place, and return the four."""
    gates[:, :3 * size].sigmoid_()
    tanh_(gates[:, 3 * size:])
    return gates.split(size, 1)


def tanh_(x):
    """tanh in place, as 2 sigmoid(2x) - 1: on a processor torch computes that ten times as fast."""
    return x.mul_(2).sigmoid_().mul_(2).sub_(1)


class Unroll(torch.autograd.Function):
    """gates (horizon, rows, 4 * size), hidden and cell (rows, size), weight (4 * size, size), goes_on (horizon, rows, 1), seams
    (horizon, rows, 2 * size) or None in; hidden (horizon, rows, size) out."""

    @staticmethod
    def forward(ctx, gates, hidden, cell, weight, goes_on, seams):
        size, horizon, gates = hidden.shape[1], len(gates), gates.clone()
        hiddens, cells = (gates.new_empty(horizon + 1, *hidden.shape) for _ in range(2))        # the state before each step
        squashed, seen = (gates.new_empty(horizon, *hidden.shape) for _ in range(2))            # tanh(cell) and hidden after it
        hiddens[0], cells[0], after = hidden, cell, torch.empty_like(cell)
        for t in range(horizon):
            if t and seams is not None:
                hiddens[t].add_(seams[t, :, :size])
                cells[t].add_(seams[t, :, size:])
            i, f, o, g = activate_(gates[t].addmm_(hiddens[t], weight.t()), size)
            torch.mul(f, cells[t], out=after).addcmul_(i, g)
            torch.mul(o, tanh_(squashed[t].copy_(after)), out=seen[t])
            torch.mul(seen[t], goes_on[t], out=hiddens[t + 1])
            torch.mul(after, goes_on[t], out=cells[t + 1])
        ctx.save_for_backward(gates, hiddens, cells, squashed, weight, goes_on)
        return seen

    @staticmethod
    def backward(ctx, grad_seen):
        gates, hiddens, cells, squashed, weight, goes_on = ctx.saved_tensors
        size = hiddens.shape[2]
        grad = torch.empty_like(gates)                                                          # of the raw gates
        grad_hidden, grad_cell = torch.zeros_like(hiddens[0]), torch.zeros_like(cells[0])       # of the state after the step
        for t in reversed(range(len(gates))):
            i, f, o, g = gates[t].split(size, 1)
            grad_i, grad_f, grad_o, grad_g = grad[t].split(size, 1)
            grad_hidden = torch.addcmul(grad_seen[t], grad_hidden, goes_on[t])
            grad_cell = (grad_cell * goes_on[t]).addcmul_(grad_hidden * o, 1 - squashed[t].square())
            torch.mul(grad_cell, g, out=grad_i)
            torch.mul(grad_cell, cells[t], out=grad_f)
            torch.mul(grad_hidden, squashed[t], out=grad_o)
            torch.mul(grad_cell, i, out=grad_g)
            ifo = gates[t, :, :3 * size]
            grad[t, :, :3 * size].mul_(ifo - ifo.square())      # sigmoid' = s (1 - s)
            grad_g.mul_(1 - g.square())                         # tanh' = 1 - g^2
            grad_cell = grad_cell * f
            grad_hidden = grad[t] @ weight
        return grad, grad_hidden, grad_cell, grad.flatten(0, 1).t() @ hiddens[:-1].flatten(0, 1), None, None
