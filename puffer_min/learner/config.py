"""Settings of the learner: one frozen dataclass, with the names the field uses (CleanRL, PPO's paper).

`settings_for("snake", learning_rate=1e-3)` is the default, changed by what `presets.py` says of the environment, changed by what is given.
"""

import dataclasses
import difflib
import math
from dataclasses import dataclass

from puffer_min.learner.presets import DEFAULTS


@dataclass(frozen=True)
class Config:
    """What can be set. A learner is decided by these, the environment and the seed."""

    total_steps: int = 10_000_000           # agent-steps of the whole run
    num_envs: int = 1024                    # environments stepped at a time
    backend: str = "serial"                 # how they are stepped: "serial", "thread", "process", "auto" (see make_vec)
    num_workers: int | None = None          # threads or processes that step them; None: make_vec's choice
    batch_envs: int | None = None           # environments that act at a time: those ready first (asynchronous.py); None: all, or as "auto" finds
    horizon: int = 32                       # steps in a row of the buffer; also how far back a recurrent policy learns
    batch_size: int | None = None           # agent-steps an update; None: one row for each agent
    minibatch_size: int = 8192              # agent-steps a gradient step; whole rows
    update_epochs: int = 1                  # passes over each batch

    learning_rate: float = 5e-3             # small networks and large minibatches want a large one
    anneal_lr: str = "linear"               # to zero over total_steps: "linear", "cosine"; "none" keeps it
    anneal_ent: bool = False                # the entropy bonus likewise: explore at first, be sure in the end
    adam_beta1: float = 0.9
    adam_beta2: float = 0.999
    adam_eps: float = 1e-5
    max_grad_norm: float = 0.5

    gamma: float = 0.99                     # discount
    gae_lambda: float = 0.95
    until_reward: bool = False              # credit reaches as far as the next reward: where every point of a match is a contest of its own
    vtrace: bool = False                    # correct advantages for the age of the experience before every epoch
    vtrace_rho_clip: float = 1.0
    vtrace_c_clip: float = 1.0

    clip_coef: float = 0.2                  # ratios are clipped to 1 -+ clip_coef
    vf_coef: float = 0.5
    vf_clip_coef: float | None = None       # None: the value loss is not clipped
    ent_coef: float = 0.01
    norm_adv: bool = True                   # advantages to mean 0, deviation 1 in each minibatch
    target_kl: float | None = None          # stop the epochs of an update beyond this approximate divergence

    hidden_size: int = 64
    num_layers: int = 2                     # hidden layers, the encoder's included
    encoder: str = "auto"                   # how observations enter: "auto", "scaled", "standard", "onehot", "conv", "set"
    recurrent: bool = False                 # an LSTM between encoder and heads

    device: str = "cpu"                     # or "cuda"
    torch_threads: int | None = None        # None: as many as there are cores
    matmul_precision: str = "medium"        # torch.set_float32_matmul_precision: "highest", "high", "medium"
    deterministic: bool = False             # torch.use_deterministic_algorithms
    checkpoint_interval: int = 200          # updates between checkpoints; 0: only at the end
    target_score: float | None = None       # stop when the mean score of the last 100 episodes reaches it

    def __post_init__(self):
        for name in ("total_steps", "num_envs", "horizon", "minibatch_size", "update_epochs", "hidden_size", "num_layers"):
            value = getattr(self, name)
            if not isinstance(value, int) or isinstance(value, bool) or value < 1:
                raise ValueError(f"{name}={value!r} given, expected a whole number of at least 1")
        shares = ("gamma", "gae_lambda", "adam_beta1", "adam_beta2")
        sizes = ("learning_rate", "clip_coef", "max_grad_norm", "vf_coef", "ent_coef")
        for names, most in ((shares, 1), (sizes, None)):
            for name in names:
                value = getattr(self, name)
                if not isinstance(value, (int, float)) or not 0 <= value <= (most or value):
                    raise ValueError(f"{name}={value!r} given, expected a number {f'from 0 to {most}' if most else 'of at least 0'}")
        for name, choices in (("anneal_lr", ("linear", "cosine", "none")), ("matmul_precision", ("highest", "high", "medium"))):
            if getattr(self, name) not in choices:
                raise ValueError(f"{name}={getattr(self, name)!r} given, expected one of {', '.join(map(repr, choices))}")

    def annealed(self, steps: int) -> float:
        """Factor of the learning rate after `steps` of total_steps."""
        left = max(0.0, 1 - steps / self.total_steps)
        return {"linear": left, "cosine": (1 - math.cos(math.pi * left)) / 2, "none": 1.0}[self.anneal_lr]

    def rows(self, num_agents: int) -> tuple[int, int]:
        """(rows an update, rows a minibatch) for `num_agents` agents. Raises ValueError with sizes that would do."""
        horizon, batch = self.horizon, self.batch_size or num_agents * self.horizon
        minibatch = min(self.minibatch_size, batch)
        if batch % (num_agents * horizon):
            lower = max(1, batch // (num_agents * horizon)) * num_agents * horizon
            raise ValueError(f"batch_size={batch} is not a multiple of {num_agents} agents x horizon {horizon} = {num_agents * horizon}: "
                             f"every agent fills whole rows, so take {lower} or {lower + num_agents * horizon}, or other agents")
        if minibatch % horizon:
            raise ValueError(f"minibatch_size={minibatch} is not a multiple of horizon={horizon}: a minibatch is whole rows, "
                             f"so take {max(1, minibatch // horizon) * horizon}")
        if batch % minibatch:
            rows = batch // horizon
            fitting = max(r for r in range(1, minibatch // horizon + 1) if rows % r == 0)
            raise ValueError(f"batch_size={batch} ({num_agents} agents x horizon {horizon} x {rows // num_agents}) does not divide into "
                             f"minibatches of {minibatch}: take minibatch_size={fitting * horizon}")
        return batch // horizon, minibatch // horizon


def settings_for(env_name: str | None, config: Config | None = None, **overrides) -> Config:
    """The configuration for an environment: `config`, or the defaults of `env_name`, changed by `overrides`.

    Raises TypeError for a name that is no setting, with the nearest one.
    """
    for name in overrides:
        require_setting(name)
    base = config or Config(**DEFAULTS.get(env_name, {}))
    return dataclasses.replace(base, **overrides)


def require_setting(name: str) -> dataclasses.Field:
    """The field `name` of Config; TypeError with the nearest name if there is none."""
    fields = {field.name: field for field in dataclasses.fields(Config)}
    if name not in fields:
        near = difflib.get_close_matches(name, fields, n=1, cutoff=0.4)
        raise TypeError(f"there is no setting {name!r}: {f'did you mean {near[0]!r}?' if near else 'see puffer_min.Config'}")
    return fields[name]
