"""Arithmetic off the reading path: the one-hot layer, compiled because it earns its place (LEARNER.md), and
the LSTM with its written-out gradient. Tests hold both to what torch gives.
"""

import torch

from puffer_min.learner.kernels import onehot


def serves_onehot(cells, weight) -> bool:
    """Whether `onehot_layer` takes these tensors: a fact of space, device and precision, not of the batch."""
    return (cells.dtype == torch.uint8 and weight.dtype == torch.float32 and cells.device.type == "cpu"
            and cells.shape[1] <= onehot.MAX_CELLS)


def onehot_layer(cells, most, weight, bias):
    """bias (size,) plus one row of weight (inputs, size) for each cell that is not 0: (N, size) float32.

    cells (N, n) uint8 from 0 to most (n,) uint8; each cell has `most` inputs, one for each value above 0.
    """
    return OneHotLayer.apply(cells.contiguous(), most, weight, bias)


class OneHotLayer(torch.autograd.Function):
    """`onehot_layer`, with the gradients of weight and bias."""

    @staticmethod
    def forward(ctx, cells, most, weight, bias):
        ctx.save_for_backward(cells, most)
        ctx.inputs = len(weight)
        out = weight.new_empty(len(cells), weight.shape[1])
        given = cells, most, weight, bias, out
        onehot.rows_sum(*(tensor.detach().numpy() for tensor in given), torch.get_num_threads())
        return out

    @staticmethod
    def backward(ctx, grad):
        cells, most = ctx.saved_tensors
        of_weight = grad.new_zeros(ctx.inputs, grad.shape[1])
        given = cells, most, grad.contiguous(), of_weight
        onehot.rows_gradient(*(tensor.numpy() for tensor in given), torch.get_num_threads())
        return None, None, of_weight, grad.sum(0)
