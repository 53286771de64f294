"""The learner's compiled kernels on arrays of many sizes, odd ones above all, for a build that watches memory (test_sanitizers.py).

    python tests/kernels.py         prints of how many sizes

Every array is an allocation of its own, so that a step outside it is a step into nobody's memory.
"""

import numpy as np

from puffer_min.learner import advantage
from puffer_min.learner.kernels import categorical, lstm_cell, sparse

random = np.random.default_rng(0)


def floats(*shape):
    return random.normal(size=shape).astype(np.float32)


def flags(*shape):
    return random.random(shape) < 0.2


def advantages(rows, horizon):
    """gae and vtrace over rows x horizon."""
    rewards, values, final_values = (floats(rows, horizon) for _ in range(3))
    tables = rewards, values, flags(rows, horizon), flags(rows, horizon), final_values, floats(rows)
    results = [np.full((rows, horizon), np.nan, np.float32) for _ in range(2)]
    advantage.gae(*tables, *results, 0.99, 0.95)
    assert np.isfinite(results).all()
    advantage.vtrace(*tables, np.exp(floats(rows, horizon)), *results, 0.99, 0.95, 1.0, 1.0)
    assert np.isfinite(results).all()


def lstm(rows, size, threads):
    """A cell forward and back."""
    gates, grad, goes_on = floats(rows, 4 * size), np.zeros((rows, 4 * size), np.float32), 1 - flags(rows).astype(np.float32)
    cells, squashed, seen, hidden, after, grad_seen, grad_hidden, grad_cell = (floats(rows, size) for _ in range(8))
    lstm_cell.cell(gates, cells, goes_on, squashed, seen, hidden, after, threads)
    lstm_cell.cell_gradient(gates, cells, goes_on, squashed, grad_seen, grad_hidden, grad_cell, grad, threads)
    assert np.isfinite(grad).all()


def sums(rows, cells, size, threads):
    """Sums of the weights' rows, and their gradient: for one-hot inputs, and for numbers."""
    most = random.integers(0, 4, cells).astype(np.uint8)
    codes = random.integers(0, most + 1, (rows, cells)).astype(np.uint8)
    numbers = random.integers(-3, 4, (rows, cells)).astype(np.int8)
    for observations, bounds, inputs in ((codes, most, int(most.sum())), (numbers, None, cells)):
        weight, out, grad_weight = floats(inputs, size), np.zeros((rows, size), np.float32), np.zeros((inputs, size), np.float32)
        sparse.rows_sum(observations, bounds, weight, floats(size), out, threads)
        sparse.rows_gradient(observations, bounds, floats(rows, size), grad_weight, threads)
        sparse.density(observations)
        assert np.isfinite(out).all() and np.isfinite(grad_weight).all()


def choices(columns, actions, threads):
    """Draws, what is known of them, and the gradient."""
    logits, chosen, log_probs, entropy = floats(actions, columns), np.zeros(columns, np.int64), floats(columns), floats(columns)
    log_p, grad = np.zeros_like(logits), np.full_like(logits, np.nan)
    logits[1:][flags(actions - 1, columns)] = -np.inf
    categorical.draw(logits, random.random(columns, np.float32), chosen, log_probs, threads)
    categorical.evaluate(logits, chosen, log_p, log_probs, entropy, threads)
    categorical.gradient(log_p, entropy, chosen, floats(columns), floats(columns), grad, threads)
    assert np.isfinite(grad).all()


def main():
    sizes = 0
    for rows in (0, 1, 2, 7, 8, 9, 31, 257):
        for width in (1, 2, 3, 8, 15, 16, 17, 63, 130):
            if rows:
                advantages(rows, width)
            for threads in (1, 2, 3):
                choices(rows, width, threads)
                lstm(rows, width, threads)
                for cells in (1, 8, 11, 70):
                    sums(rows, cells, width, threads)
            sizes += 1
    print(f"{sizes} sizes")


if __name__ == "__main__":
    main()
