"""A long short-term memory (Hochreiter and Schmidhuber 1997) for acting step by step and for learning from
whole rows.

One step, from the input and the state (hidden, cell):

    gates   = [input, hidden] W + b                     one product for both
    i, f, o = sigmoid(gates);  g = tanh(gates)          input, forget and output gate, and what may be written
    cell    = f * cell + i * g
    hidden  = o * tanh(cell)

For learning, `LSTM.replay` runs a row from the state recorded before it and sets the state to zero after
every end, as acting did. Its gradient, back-propagation through time, is written out in `Unroll`: the
gradient of the weights is one product over all steps where autograd makes one a step. Left to autograd, an
update took three times as long. The gates of one step of a minibatch fit in the processor's cache, so
everything that can be done with them is done before the next step's. `cell` and `cell_gradient` are the
operations between the products; on the CPU lstm_cell.pyx does them in one pass.
"""

import torch
from torch import nn

from puffer_min.learner.kernels import lstm_cell


class LSTM(nn.Module):
    """`size` inputs, hidden and cell numbers. The state (N, 2 * size) is hidden and cell side by side."""

    def __init__(self, size):
        super().__init__()
        self.size = size
        self.gates = nn.Linear(2 * size, 4 * size, dtype=torch.float32)
        for weight in self.gates.weight.split(size, 1):         # of the input, of the hidden numbers
            nn.init.orthogonal_(weight)
        nn.init.zeros_(self.gates.bias)
        nn.init.ones_(self.gates.bias[size:2 * size])           # forget gate open: remember at first

    @torch.no_grad()
    def forward(self, inputs, state):
        """One step: inputs (N, size) -> hidden (N, size), and the state after it. Without gradient."""
        hidden, before = state.split(self.size, 1)
        gates = self.gates(torch.cat([inputs, hidden], 1))
        after, scratch, seen = torch.empty_like(state), torch.empty_like(inputs), torch.empty_like(inputs)
        cell(gates, before, gates.new_ones(gates.shape[0], 1), scratch, seen, *after.split(self.size, 1))
        return seen, after

    def replay(self, inputs, state, ends):
        """Rows: inputs (rows, horizon, size), the state before them, ends (rows, horizon) bool -> hidden
        (rows, horizon, size)."""
        goes_on = (~ends).to(inputs.dtype).t().contiguous().unsqueeze(2)
        return Unroll.apply(inputs, state, self.gates.weight, self.gates.bias, goes_on)


def is_compiled(tensor) -> bool:
    """Whether lstm_cell.pyx takes this tensor: float32 on the CPU, and not while torch exports a network."""
    on_cpu = tensor.device.type == "cpu" and tensor.dtype == torch.float32
    return on_cpu and not torch.compiler.is_compiling()


def cell(gates, before, goes_on, squashed, seen, next_hidden, next_cell):
    """Activate raw gates (N, 4 * size) in place, and fill tanh(cell), hidden, and the state after.

    The state is zero where goes_on is zero.
    """
    if is_compiled(gates):
        given = gates, before, goes_on[:, 0], squashed, seen, next_hidden, next_cell
        return lstm_cell.cell(*(tensor.numpy() for tensor in given), torch.get_num_threads())
    size = before.shape[1]
    gates[:, :3 * size].sigmoid_()
    gates[:, 3 * size:].tanh_()
    i, f, o, g = gates.split(size, 1)
    after = torch.addcmul(f * before, i, g)
    torch.mul(o, squashed.copy_(after).tanh_(), out=seen)
    next_hidden.copy_(seen * goes_on)
    next_cell.copy_(after * goes_on)


def cell_gradient(gates, before, goes_on, squashed, grad_seen, grad_hidden, grad_cell, grad):
    """Fill `grad`, of the raw gates, from the gradients of `seen` and of the state after.

    grad_cell becomes the gradient of the cell before the step.
    """
    if is_compiled(gates):
        given = gates, before, goes_on[:, 0], squashed, grad_seen, grad_hidden, grad_cell, grad
        return lstm_cell.cell_gradient(*(tensor.numpy() for tensor in given), torch.get_num_threads())
    size = before.shape[1]
    i, f, o, g = gates.split(size, 1)
    of_hidden = torch.addcmul(grad_seen, grad_hidden, goes_on)
    of_cell = (grad_cell * goes_on).addcmul_(of_hidden * o, 1 - squashed.square())
    torch.cat((of_cell * g * i * (1 - i), of_cell * before * f * (1 - f), of_hidden * squashed * o * (1 - o),
               of_cell * i * (1 - g * g)), 1, out=grad)
    torch.mul(of_cell, f, out=grad_cell)


class Unroll(torch.autograd.Function):
    """inputs (rows, horizon, size), state (rows, 2 * size), weight (4 * size, 2 * size) and bias of the
    gates, goes_on (horizon, rows, 1) in; hidden (rows, horizon, size) out. The state has no gradient."""

    @staticmethod
    def forward(ctx, inputs, state, weight, bias, goes_on):
        rows, horizon, size = inputs.shape
        given = inputs.new_empty(horizon, rows, 2 * size)           # input and hidden before each step
        gates = inputs.new_empty(horizon, rows, 4 * size)
        squashed = inputs.new_empty(horizon, rows, size)            # tanh(cell)
        cells = inputs.new_empty(horizon + 1, rows, size)           # before each step
        seen = inputs.new_empty(inputs.shape)                       # hidden after each step
        hidden = state[:, :size].clone()
        cells[0] = state[:, size:]
        for t in range(horizon):
            torch.cat([inputs[:, t], hidden], 1, out=given[t])
            torch.addmm(bias, given[t], weight.t(), out=gates[t])
            cell(gates[t], cells[t], goes_on[t], squashed[t], seen[:, t], hidden, cells[t + 1])
        ctx.save_for_backward(given, gates, cells, squashed, weight, goes_on)
        return seen

    @staticmethod
    def backward(ctx, grad_seen):
        given, gates, cells, squashed, weight, goes_on = ctx.saved_tensors
        horizon, rows, size = squashed.shape
        grad_seen = grad_seen.contiguous()
        grad, grad_inputs = torch.empty_like(gates), torch.empty_like(grad_seen)    # grad: of the raw gates
        grad_given, grad_cell = given.new_zeros(rows, 2 * size), given.new_zeros(rows, size)  # after
        for t in reversed(range(horizon)):
            cell_gradient(gates[t], cells[t], goes_on[t], squashed[t], grad_seen[:, t], grad_given[:, size:],
                          grad_cell, grad[t])
            torch.mm(grad[t], weight, out=grad_given)
            grad_inputs[:, t] = grad_given[:, :size]
        grad = grad.flatten(0, 1)
        return grad_inputs, None, grad.t() @ given.flatten(0, 1), grad.sum(0), None
