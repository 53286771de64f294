"""Settings of the learner, with the names the field uses (CleanRL, PPO's paper). Presets: presets.py."""

import dataclasses
import difflib
import math
import numbers
import reprlib
from dataclasses import dataclass

import numpy as np
import torch


@dataclass(frozen=True)
class Config:
    """All settings of a learner. Together with the environment and the seed they decide a run.

    Numbers of NumPy and torch become plain ones. A value outside its range is a ValueError that names it.
    """

    total_steps: int = 10_000_000       # agent-steps of the whole run
    num_envs: int = 1024                # environments stepped at a time
    backend: str = "serial"             # how they are stepped: serial, thread, process, auto (see make_vec)
    num_workers: int | None = None      # threads or processes that step them; None: make_vec's choice
    worker_restarts: int = 0            # times that worker processes that fail are started again (make_vec)
    batch_envs: int | None = None       # environments that act at a time, as they are ready; None: all
    horizon: int = 32                   # steps in a row of the buffer, and how far back an LSTM learns
    batch_size: int | None = None       # agent-steps an update; None: one row for each agent
    minibatch_size: int = 8192          # agent-steps a gradient step
    whole_rows: bool = True             # minibatches of whole rows; False: of steps drawn from all rows
    update_epochs: int = 1              # passes over each batch

    learning_rate: float = 5e-3         # of Adam; small networks and large minibatches want a large one
    anneal_lr: str = "linear"           # schedule of the learning rate to 0: "linear", "cosine"; "none"
    anneal_ent: bool = False            # anneal ent_coef as well: explore at first, less and less later
    adam_beta1: float = 0.9             # decay of Adam's running mean of the gradient
    adam_beta2: float = 0.999           # decay of Adam's running mean of its square
    adam_eps: float = 1e-5              # added to Adam's divisor
    max_grad_norm: float = 0.5          # largest norm of a gradient; longer ones are scaled down

    gamma: float = 0.99                 # discount
    gae_lambda: float = 0.95            # how far an advantage trusts rewards (1) over values (0)
    until_reward: bool = False          # credit ends at the next reward: each point is its own contest
    vtrace: bool = False                # correct advantages for the age of the experience before every epoch
    vtrace_rho_clip: float = 1.0        # V-trace: largest weight of a step's own error
    vtrace_c_clip: float = 1.0          # V-trace: largest weight of what follows a step

    clip_coef: float = 0.2              # ratios are clipped to 1 -+ clip_coef
    vf_coef: float = 0.5                # weight of the value loss
    vf_clip_coef: float | None = None   # how far a value may move an update; None: any
    ent_coef: float = 0.01              # weight of the entropy bonus
    norm_adv: bool = True               # advantages to mean 0, deviation 1 in each minibatch
    norm_reward: bool = False           # rewards divided by the running deviation of the discounted return
    target_kl: float | None = None      # stop the epochs of an update beyond this approximate divergence

    hidden_size: int = 64               # numbers in each hidden layer
    num_layers: int = 2                 # hidden layers, the encoder's included
    encoder: str = "auto"               # auto, scaled, standard, normalised, onehot, conv, nature, set
    activation: str = "relu"            # after each layer: "relu", "tanh"
    separate_critic: bool = False       # the value has layers of its own; convolutions are shared
    log_std_init: float = 0.0           # of actions that are no whole numbers, 0 is half their range
    recurrent: bool = False             # an LSTM between encoder and heads

    device: str = "cpu"                 # where the policy is: "cpu" or "cuda"
    torch_threads: int | None = None    # threads of torch; None: as many as there are cores
    matmul_precision: str = "medium"    # torch.set_float32_matmul_precision: "highest", "high", "medium"
    deterministic: bool = False         # torch.use_deterministic_algorithms
    checkpoint_interval: int = 200      # updates between checkpoints; 0: only at the end
    target_score: float | None = None   # stop when the mean score of the last 100 episodes reaches it

    def __post_init__(self):
        for field in dataclasses.fields(self):
            object.__setattr__(self, field.name, checked(field, getattr(self, field.name)))

    def annealed(self, steps: int) -> float:
        """Factor of the learning rate after `steps` of total_steps."""
        left = max(0.0, 1 - steps / self.total_steps)
        return {"linear": left, "cosine": (1 - math.cos(math.pi * left)) / 2, "none": 1.0}[self.anneal_lr]

    def rows(self, num_agents: int) -> tuple[int, int]:
        """(rows an update, rows or steps a minibatch). Raises ValueError with sizes that would do."""
        horizon, batch = self.horizon, self.batch_size or num_agents * self.horizon
        unit = horizon if self.whole_rows else 1
        minibatch, step = min(self.minibatch_size, batch), num_agents * horizon
        if batch % step:
            lower = max(1, batch // step) * step
            raise ValueError(
                f"batch_size={batch} is not a multiple of {num_agents} agents x horizon {horizon} = {step}: "
                f"every agent fills whole rows, so take {lower} or {lower + step}, or other agents")
        if minibatch % unit:
            raise ValueError(
                f"minibatch_size={minibatch} is not a multiple of horizon={horizon}: a minibatch is whole "
                f"rows, so take {max(1, minibatch // horizon) * horizon}")
        if batch % minibatch:
            units = batch // unit
            fitting = max(n for n in range(1, minibatch // unit + 1) if units % n == 0)
            raise ValueError(
                f"batch_size={batch} ({num_agents} agents x horizon {horizon} x {batch // step}) does "
                f"not divide into minibatches of {minibatch}: take minibatch_size={fitting * unit}")
        return batch // horizon, minibatch // unit


CHOICES = {"anneal_lr": ("linear", "cosine", "none"), "matmul_precision": ("highest", "high", "medium"),
           "activation": ("relu", "tanh")}
SIGNED = ("target_score", "log_std_init")
UP_TO_1 = ("gamma", "gae_lambda", "adam_beta1", "adam_beta2")
# Beyond these torch crashes (threads), or asks for more memory than there is.
MOST = {"total_steps": 2**63, "torch_threads": 1024, "hidden_size": 2**16, "num_layers": 1024}


def checked(field: dataclasses.Field, value):
    """`value` as the str, bool, int or float that `field` of Config stores, or None. Raises ValueError."""
    name, optional = field.name, isinstance(None, field.type)
    kind = next(k for k in (bool, int, float, str) if k in getattr(field.type, "__args__", (field.type,)))
    scalar = isinstance(value, np.generic | np.ndarray | torch.Tensor) and value.ndim == 0
    plain = value.item() if scalar else value
    if plain is None and optional:
        return None
    if kind is str:
        expected = f"one of {', '.join(map(repr, CHOICES[name]))}" if name in CHOICES else "text"
        good = isinstance(plain, str | torch.device) and str(plain) in CHOICES.get(name, (str(plain),))
    elif kind is bool:
        expected, good = "True or False", isinstance(plain, bool)
    else:
        least = -1e300 if name in SIGNED else int(kind is int and not name.endswith(("interval", "restarts")))
        most = 1 if name in UP_TO_1 else MOST.get(name, 2**31) if kind is int else 1e300
        wanted = numbers.Integral if kind is int else numbers.Real
        good = isinstance(plain, wanted) and not isinstance(plain, bool) and least <= plain <= most
        expected = "a whole number" if kind is int else "a finite number"
        expected = "a number from 0 to 1" if most == 1 else expected + f" of at least {least}" * (least >= 0)
        if kind is int and isinstance(plain, int) and plain > most:
            expected = f"at most {most:,}"
    if not good:
        expected += " or None" * optional
        raise ValueError(f"{name}={reprlib.repr(value)} given, expected {expected}")
    return kind(plain)


def require_setting(name: str) -> dataclasses.Field:
    """The field `name` of Config; TypeError with the nearest name if there is none."""
    fields = {field.name: field for field in dataclasses.fields(Config)}
    if name not in fields:
        near = difflib.get_close_matches(name, fields, n=1, cutoff=0.4)
        advice = f"did you mean {near[0]!r}?" if near else "see puffer_min.Config"
        raise TypeError(f"there is no setting {name!r}: {advice}")
    return fields[name]
