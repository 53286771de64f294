"""Adam (Kingma and Ba 2015) on one vector.

All parameters of a policy live in one vector (ppo.flatten_parameters), so Adam is five operations. torch.optim.Adam does the same, and
the work around it, for any number of tensors, takes longer than the update of a small network: 0.3 ms in training against 0.1 ms here.
"""

import torch


class Adam:
    """Updates `weights` in place from `weights.grad`; `learning_rate` may be changed between steps."""

    def __init__(self, weights, learning_rate, beta1=0.9, beta2=0.999, eps=1e-5):
        self.weights, self.learning_rate, self.beta1, self.beta2, self.eps = weights, learning_rate, beta1, beta2, eps
        self.mean, self.square = torch.zeros_like(weights), torch.zeros_like(weights)       # running means of the gradient and its square
        self.steps = 0

    @torch.no_grad()
    def step(self):
        """One step against the gradient."""
        gradient = self.weights.grad
        self.steps += 1
        self.mean.lerp_(gradient, 1 - self.beta1)
        self.square.mul_(self.beta2).addcmul_(gradient, gradient, value=1 - self.beta2)
        deviation = (self.square / (1 - self.beta2**self.steps)).sqrt_().add_(self.eps)     # both means began at 0: too small at first
        self.weights.addcdiv_(self.mean, deviation, value=-self.learning_rate / (1 - self.beta1**self.steps))

    def get_state(self) -> dict:
        """All that decides how it goes on."""
        return {"mean": self.mean.clone(), "square": self.square.clone(), "steps": self.steps}

    def set_state(self, state: dict) -> None:
        """Go on from `get_state`."""
        self.mean.copy_(state["mean"])
        self.square.copy_(state["square"])
        self.steps = state["steps"]
