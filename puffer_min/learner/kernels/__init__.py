"""Arithmetic off the reading path: layers over inputs that are nearly all 0, and the LSTM with its
written-out gradient. Each kernel makes training with a default at least 1.15 times as fast (LEARNER.md), and
tests compare it with torch's operations.
"""

import torch
from torch.nn import functional

from puffer_min.learner.kernels import sparse

FEW = 0.15      # share of numbers that are not 0, below which the sum of rows is faster than the product


def serves(numbers, weight, *dtypes) -> bool:
    """Whether the kernels take numbers (N, n) of one of `dtypes`, and these weights: float32 on the CPU."""
    return (numbers.dtype in dtypes and weight.dtype == torch.float32 and numbers.device.type == "cpu"
            and numbers.shape[1] <= sparse.MAX_CELLS)


def linear_layer(numbers, weight, bias):
    """numbers (N, inputs) of any dtype times weight (size, inputs), plus bias (size,): (N, size) float32.

    Bytes of which few are not 0 are not written out as floats: the rows of the others are summed.
    """
    if serves(numbers, weight, torch.uint8, torch.int8):
        numbers = numbers.contiguous()
        if sparse.density(numbers.numpy()) < FEW:
            return SumOfRows.apply(numbers, None, weight.t().contiguous(), bias)
    return functional.linear(numbers.to(torch.float32), weight, bias)


def serves_onehot(cells, weight) -> bool:
    """Whether `onehot_layer` takes these tensors."""
    return serves(cells, weight, torch.uint8)


def onehot_layer(cells, most, weight, bias):
    """bias (size,) plus one row of weight (inputs, size) for each cell that is not 0: (N, size) float32.

    cells (N, n) uint8 from 0 to most (n,) uint8; each cell has `most` inputs, one for each value above 0.
    """
    return SumOfRows.apply(cells.contiguous(), most, weight, bias)


class SumOfRows(torch.autograd.Function):
    """The layer of sparse.pyx over weight (inputs, size), with the gradients of weight and bias."""

    @staticmethod
    def forward(ctx, cells, most, weight, bias):
        ctx.save_for_backward(cells, most)
        ctx.inputs = len(weight)
        out = weight.new_empty(len(cells), weight.shape[1])
        sparse.rows_sum(*arrays(cells, most, weight, bias, out), torch.get_num_threads())
        return out

    @staticmethod
    def backward(ctx, grad):
        of_weight = grad.new_zeros(ctx.inputs, grad.shape[1])
        given = arrays(*ctx.saved_tensors, grad.contiguous(), of_weight)
        sparse.rows_gradient(*given, torch.get_num_threads())
        return None, None, of_weight, grad.sum(0)


def arrays(*tensors):
    """The memory of tensors as NumPy arrays; None stays None."""
    return [tensor if tensor is None else tensor.detach().numpy() for tensor in tensors]
