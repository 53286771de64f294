"""A long short-term memory (Hochreiter and Schmidhuber 1997) for acting step by step and for learning from whole rows.

One step, from the input's share of the gates, x W + b, and the state (hidden, cell):

    i, f, o = sigmoid(gates);  g = tanh(gates)          input, forget and output gate, and what may be written
    cell    = f * cell + i * g
    hidden  = o * tanh(cell)

For learning, `LSTM.replay` runs a row from the state recorded before it and sets the state to zero after every end, as acting did.
Its gradient, back-propagation through time, is written out in `Unroll`: the loop over time keeps only what must be sequential, and the
gradients of the weights are one product over all steps where autograd makes one a step. Left to autograd, an update took three times as
long. What lies between the products is `cell` and `cell_gradient`; on the CPU lstm_cell.pyx does the same in one pass.
"""

import torch
from torch import nn

from puffer_min import lstm_cell
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

    @torch.no_grad()
    def forward(self, inputs, state):
        """One step: inputs (N, size) -> hidden (N, size), and the state after it. Has no gradient: `replay` has."""
        hidden, before = state.split(self.size, 1)
        gates = self.input(inputs).addmm_(hidden, self.state_weight.t())
        after, scratch, seen = torch.empty_like(state), torch.empty_like(before), torch.empty_like(before)
        cell(gates, before, gates.new_ones(len(gates), 1), scratch, seen, *after.split(self.size, 1))
        return seen, after

    def replay(self, inputs, state, ends, seams=None):
        """Rows: inputs (rows, horizon, size), the state before them, ends (rows, horizon) bool -> hidden (rows, horizon, size).

        seams (rows, horizon, 2 * size) is added to the state before each step, where another agent goes on in the row.
        """
        goes_on = (~ends).to(inputs.dtype).t().contiguous().unsqueeze(2)
        seams = None if seams is None else seams.transpose(0, 1)
        inputs = inputs.transpose(0, 1).contiguous()
        return Unroll.apply(inputs, state, self.input.weight, self.input.bias, self.state_weight, goes_on, seams).transpose(0, 1)


def cell(gates, before, goes_on, squashed, seen, next_hidden, next_cell):
    """Activate raw gates (N, 4 * size) in place, and fill tanh(cell), hidden, and the state after, which is zero where goes_on is."""
    if on_cpu(gates):
        return lstm_cell.cell(*(tensor.numpy() for tensor in (gates, before, goes_on[:, 0], squashed, seen, next_hidden, next_cell)))
    size = before.shape[1]
    gates[:, :3 * size].sigmoid_()
    gates[:, 3 * size:].tanh_()
    i, f, o, g = gates.split(size, 1)
    after = torch.addcmul(f * before, i, g)
    torch.mul(o, squashed.copy_(after).tanh_(), out=seen)
    next_hidden.copy_(seen * goes_on)
    next_cell.copy_(after * goes_on)


def cell_gradient(gates, before, goes_on, squashed, grad_seen, grad_hidden, grad_cell, grad):
    """Fill `grad`, of the raw gates, from those of `seen` and of the state after; grad_cell becomes that of the cell before the step."""
    if on_cpu(gates):
        given = gates, before, goes_on[:, 0], squashed, grad_seen, grad_hidden, grad_cell, grad
        return lstm_cell.cell_gradient(*(tensor.numpy() for tensor in given))
    size = before.shape[1]
    i, f, o, g = gates.split(size, 1)
    of_hidden = torch.addcmul(grad_seen, grad_hidden, goes_on)
    of_cell = (grad_cell * goes_on).addcmul_(of_hidden * o, 1 - squashed.square())
    parts = of_cell * g * i * (1 - i), of_cell * before * f * (1 - f), of_hidden * squashed * o * (1 - o), of_cell * i * (1 - g * g)
    torch.cat(parts, 1, out=grad)
    torch.mul(of_cell, f, out=grad_cell)


def on_cpu(tensor):
    return tensor.device.type == "cpu" and tensor.dtype == torch.float32


class Unroll(torch.autograd.Function):
    """inputs (horizon, rows, size), state (rows, 2 * size), the input's weight (4 * size, size) and bias, the state's weight, goes_on
    (horizon, rows, 1), seams (horizon, rows, 2 * size) or None in; hidden (horizon, rows, size) out. Of the state there is no gradient."""

    @staticmethod
    def forward(ctx, inputs, state, input_weight, bias, weight, goes_on, seams):
        horizon, rows, size = inputs.shape
        gates = torch.addmm(bias, inputs.flatten(0, 1), input_weight.t()).view(horizon, rows, 4 * size)
        states = state.new_empty(horizon + 1, rows, 2 * size)                               # before each step
        squashed, seen = torch.empty_like(inputs), torch.empty_like(inputs)                 # tanh(cell) and hidden after it
        states[0] = state
        for t in range(horizon):
            if t and seams is not None:
                states[t] += seams[t]
            hidden, before = states[t].split(size, 1)
            gates[t].addmm_(hidden, weight.t())
            cell(gates[t], before, goes_on[t], squashed[t], seen[t], *states[t + 1].split(size, 1))
        ctx.save_for_backward(inputs, gates, states, squashed, input_weight, weight, goes_on)
        return seen

    @staticmethod
    def backward(ctx, grad_seen):
        inputs, gates, states, squashed, input_weight, weight, goes_on = ctx.saved_tensors
        horizon, rows, size = inputs.shape
        grad, grad_seen = torch.empty_like(gates), grad_seen.contiguous()                   # of the raw gates
        grad_hidden, grad_cell = grad_seen.new_zeros(rows, size), grad_seen.new_zeros(rows, size)       # of the state after the step
        for t in reversed(range(horizon)):
            cell_gradient(gates[t], states[t, :, size:], goes_on[t], squashed[t], grad_seen[t], grad_hidden, grad_cell, grad[t])
            torch.mm(grad[t], weight, out=grad_hidden)
        grad = grad.flatten(0, 1)
        of_weight = grad.t() @ states[:-1, :, :size].flatten(0, 1)
        return (grad @ input_weight).view_as(inputs), None, grad.t() @ inputs.flatten(0, 1), grad.sum(0), of_weight, None, None
