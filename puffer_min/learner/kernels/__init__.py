"""Arithmetic off the reading path: layers over inputs that are nearly all 0, categorical distributions, and
the LSTM with its written-out gradient. benchmarks/LEARNER.md has what each brings to training, and tests
compare it with torch's operations.
"""

import torch
from torch.nn import functional

from puffer_min.learner.kernels import categorical, sparse

FEW = 0.15      # share of numbers that are not 0, below which the sum of rows is faster than the product
ONE_THREAD = 16_384     # numbers that one thread has worked through before a second one would begin


def serves(numbers, weight, *dtypes) -> bool:
    """Whether the kernels take numbers (N, n) of one of `dtypes`, and these weights: float32 on the CPU."""
    return (not torch.compiler.is_compiling() and numbers.dtype in dtypes and weight.dtype == torch.float32
            and numbers.device.type == "cpu" and numbers.shape[1] <= sparse.MAX_CELLS)


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


def serves_logits(logits) -> bool:
    """Whether the categorical kernels take logits (n, N): float32 on the CPU, neighbours side by side."""
    return logits.device.type == "cpu" and logits.dtype == torch.float32 and logits.stride(1) == 1


def threads_for(logits) -> int:
    """torch's threads, or one for so few logits that a second would come too late."""
    return torch.get_num_threads() if logits.numel() > ONE_THREAD else 1


def draw(logits, uniform):
    """`draw` of distributions.py, compiled."""
    actions, log_probs = torch.empty(len(uniform), dtype=torch.int64), logits.new_empty(len(uniform))
    categorical.draw(*arrays(logits, uniform.contiguous(), actions, log_probs), threads_for(logits))
    return actions, log_probs


class LogProbAndEntropy(torch.autograd.Function):
    """`LogProbAndEntropy` of distributions.py, compiled."""

    @staticmethod
    def forward(ctx, logits, actions):
        actions = actions.contiguous()
        log_p = logits.new_empty(logits.shape)
        log_probs, entropy = logits.new_empty(len(actions)), logits.new_empty(len(actions))
        categorical.evaluate(*arrays(logits, actions, log_p, log_probs, entropy), threads_for(logits))
        ctx.save_for_backward(log_p, entropy, actions)
        return log_probs, entropy

    @staticmethod
    def backward(ctx, d, e):
        log_p, entropy, actions = ctx.saved_tensors
        grad = torch.empty_like(log_p)
        given = arrays(log_p, entropy, actions, d.contiguous(), e.contiguous(), grad)
        categorical.gradient(*given, threads_for(log_p))
        return grad, None
