"""A policy in a file that other programs run without this package: ONNX or torch.export.

    puffer_min.export("runs/snake/checkpoint.pt", "snake.onnx")     # also a Result, an Actor or a network
    session = onnxruntime.InferenceSession("snake.onnx")
    actions, outputs, values = session.run(None, {"observations": rows})

Inputs, for any number N of agents:

    observations    rows (N, ...) in the environment's own dtype; where rows are bytes (a Dict or Tuple of
                    several dtypes) one input for each leaf, with its path as its name: observation['tile']
    state           (N, state_size) float32, for a network with a memory; zeros when an episode begins

Outputs:

    actions         the most probable ones, (N, ...); of a Box within its bounds
    outputs         (N, num_outputs) float32, what the distribution is made of (distributions.py): logits for
                    whole numbers, with -inf for an illegal action; means and log-deviations for a Box
    values          (N,) float32
    next_state      the state after the step, for a network with a memory

All are equal to the policy's within float32's rounding; tests hold 1e-5.
"""

import contextlib
import copy
import logging
import os
import warnings
from pathlib import Path

import numpy as np
import torch
from torch import nn

from puffer_min.learner.checkpoint import policy_from, read_checkpoint
from puffer_min.learner.networks.groups import PolicyOfGroups

KINDS = (".onnx", ".pt2")


class Exported(nn.Module):
    """A policy with the inputs and outputs of this module's docstring, in their order."""

    def __init__(self, policy):
        super().__init__()
        self.policy = policy
        space, self.box = policy.spec.single_observation_space, policy.spec.single_action_space
        layout = getattr(space, "layout", None)
        self.leaves = layout.leaves if layout is not None and layout.structured else None
        self.state_size = policy.initial_state(1).shape[1]
        self.input_names = [leaf.path for leaf in self.leaves] if self.leaves else ["observations"]
        self.output_names = ["actions", "outputs", "values"]
        if self.state_size:
            self.input_names.append("state")
            self.output_names.append("next_state")

    def forward(self, *inputs):
        seen = inputs[:-1] if self.state_size else inputs
        state = inputs[-1] if self.state_size else inputs[0].new_zeros(inputs[0].shape[0], 0).float()
        outputs, values, after = self.policy(seen if self.leaves else seen[0], state)
        actions = self.policy.distribution.mode(outputs)
        if actions.is_floating_point():
            low, high = (torch.from_numpy(side) for side in (self.box.low, self.box.high))
            actions = torch.minimum(torch.maximum(actions, low), high)
        return (actions, outputs.t(), values, *([after] if self.state_size else []))

    def example(self, agents):
        """Inputs of zeros for some agents."""
        parts = self.leaves or [self.policy.spec.single_observation_space]
        inputs = [torch.from_numpy(np.zeros((agents, *part.shape), part.dtype)) for part in parts]
        return (*inputs, *[self.policy.initial_state(agents)] * bool(self.state_size))


def export(policy, path) -> Path:
    """Write `policy` to `path`, as ONNX (".onnx") or as a program of torch.export (".pt2"); returns the path.

    policy   a checkpoint's path, a `Result`, an `Actor`, or a network that `build_policy` made

    ONNX needs onnx and onnxscript (the extra `export`): ImportError without them. Raises ValueError for
    another ending, and for a network or a space that torch cannot export; nothing is written then.
    """
    path = Path(path)
    if path.suffix not in KINDS:
        raise ValueError(f"path={str(path)!r} given, expected a file that ends in {' or '.join(KINDS)}")
    network = copy.deepcopy(network_of(policy)).cpu().eval().requires_grad_(False)
    exported, agents = Exported(network), torch.export.Dim("agents")
    inputs = exported.example(2)
    temporary = path.with_name(f".{path.name}")
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        with torch.no_grad(), quiet():
            shapes = tuple({0: agents} for _ in inputs)
            program = torch.export.export(exported, inputs, dynamic_shapes=(shapes,))
            if path.suffix == ".pt2":
                torch.export.save(program, temporary)
            else:
                torch.onnx.export(program, dynamo=True, verbose=False, input_names=exported.input_names,
                                  output_names=exported.output_names).save(temporary)
        os.replace(temporary, path)
    except ImportError as error:
        raise ImportError(f"export to {path.name} needs onnx and onnxscript, which are not installed: "
                          "pip install onnx onnxscript, or export to a .pt2 file") from error
    except OSError:
        raise
    except Exception as error:                          # torch raises any
        reason = (str(error).splitlines() or [""])[0]
        raise ValueError(f"torch cannot export this network for {network.spec.single_observation_space} to "
                         f"{path.name} ({type(error).__name__}: {reason})") from error
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink()
    return path


def network_of(policy) -> nn.Module:
    """The network in what `export` takes. Raises TypeError for something else."""
    if isinstance(policy, str | os.PathLike):
        policy = policy_from(read_checkpoint(policy), policy)
    while not isinstance(policy, nn.Module) and hasattr(policy, "policy"):      # Result -> Actor -> network
        policy = policy.policy
    if not isinstance(policy, nn.Module) or not hasattr(policy, "spec"):
        raise TypeError(f"policy: given {type(policy).__name__}, expected the path of a checkpoint, a "
                        "Result, an Actor or a network that build_policy made")
    if isinstance(policy, PolicyOfGroups):
        agent = next(iter(policy.rows.agents))
        raise ValueError("the policy of several groups of agents given, expected the network of one: "
                         f"export(policy.of({agent!r}), path), a file for each group")
    return policy


@contextlib.contextmanager
def quiet():
    """Without what torch logs and warns about itself and about packages that it would also know."""
    log = logging.getLogger("torch.onnx")
    before = log.level
    log.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        log.setLevel(before)
