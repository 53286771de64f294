"""Networks before and after training: made by a factory, checked, found by name, and played by `Actor`."""

import contextlib
import functools
import importlib
import inspect
import math
import sys

import numpy as np
import torch
from torch import nn

from puffer_min.env.spec import GroupRows
from puffer_min.learner.distributions import masked
from puffer_min.learner.networks.groups import PolicyOfGroups, parts_of

METHODS = ("distribution", "initial_state", "forward", "replay")


def build_policy(factory, spec, config) -> nn.Module:
    """The network that `factory(spec, config)` makes, with `spec` and the factory's name as attributes.

    Where agents are in groups, the factory makes one for each, and they are one `PolicyOfGroups`.
    Raises TypeError if factory or network is not as policy.py describes it.
    """
    name = name_of_factory(factory)
    try:
        with contextlib.suppress(ValueError):               # of a callable without a signature
            inspect.signature(factory).bind(spec, config)
    except TypeError as error:
        raise TypeError(f"policy={name} given, expected a function or class that takes (spec, config), as "
                        f"puffer_min/learner/policy.py describes it ({error})") from None
    if isinstance(spec.single_observation_space, GroupRows):
        parts = parts_of(spec.single_observation_space, config)
        policy = PolicyOfGroups([build_policy(factory, *part) for part in parts], spec)
    else:
        policy = factory(spec, config)
    found = {method: getattr(policy, method, None) for method in METHODS}
    missing = [method for method, function in found.items()     # every nn.Module has a forward that raises
               if function is None or getattr(function, "__func__", None) is nn.Module.forward]
    if missing or not isinstance(policy, nn.Module) or not list(policy.parameters()):
        lacking = f" without {', '.join(missing or ['parameters'])}" if isinstance(policy, nn.Module) else ""
        raise TypeError(f"policy={name} gave {type(policy).__name__}{lacking}, expected an nn.Module with "
                        f"{', '.join(METHODS)} and parameters, as puffer_min/learner/policy.py describes it")
    if spec.masks_actions and not hasattr(policy.distribution, "legal"):
        raise ValueError(f"action masks given for actions of {spec.single_action_space}, expected "
                         "Discrete or MultiDiscrete")
    policy.spec, policy.made_by = spec, name
    return policy


def check_policy(policy, observation) -> None:
    """Let `policy` see an observation, a tensor on its device, as two rows of three steps each.

    Raises TypeError or ValueError, in a sentence, for results that are not as policy.py describes them.
    """
    for network in getattr(policy, "networks", ()):             # of groups of agents
        space = network.spec.single_observation_space
        check_policy(network, torch.from_numpy(np.zeros(space.shape, space.dtype)).to(observation.device))
    rows, horizon, device, name = 2, 3, observation.device, policy.made_by.rpartition(":")[2]
    n, outputs = rows * horizon, policy.distribution.num_outputs

    def expect(method, results, **shapes):
        if not isinstance(results, tuple) or len(results) != len(shapes):
            given = len(results) if isinstance(results, tuple) else type(results).__name__
            raise TypeError(f"{name}.{method} gave {given}, expected the tuple ({', '.join(shapes)})")
        for tensor, (what, shape) in zip(results, shapes.items(), strict=True):
            if tensor.shape != shape or tensor.dtype != torch.float32:
                raise ValueError(f"{name}.{method} gave {what} of {tensor.dtype} {tuple(tensor.shape)} for "
                                 f"{n} agents, expected torch.float32 {shape}")

    with torch.no_grad():
        state = policy.initial_state(n).to(device)
        expect("initial_state", (state,), state=(n, state.shape[1] if state.ndim == 2 else "state_size"))
        seen = observation.expand(n, *observation.shape)
        expect("forward", policy(seen, state), outputs=(outputs, n), values=(n,), state=tuple(state.shape))
        ends = torch.zeros(rows, horizon, dtype=torch.bool, device=device)
        expect("replay", policy.replay(seen, state[:rows], ends), outputs=(outputs, n), values=(n,))


def flatten_parameters(policy):
    """Move all parameters of `policy` and their gradients into one vector each; returns it as a parameter.

    The policy's parameters become views of it. Norm, clipping, Adam and the exchange of gradients between
    processes are then one operation on one vector and not one for each layer.
    """
    parameters = list(policy.parameters())
    flat = torch.nn.Parameter(torch.cat([p.detach().flatten() for p in parameters]))
    flat.grad, sizes = torch.zeros_like(flat), [p.numel() for p in parameters]
    for p, data, grad in zip(parameters, flat.detach().split(sizes), flat.grad.split(sizes), strict=True):
        p.data, p.grad = data.view_as(p), grad.view_as(p)
    return flat


class NotFinite(FloatingPointError):
    """A NaN or infinity in training; the message names the step and the tensor."""

    def __init__(self, steps, name):
        super().__init__(f"training stopped at step {steps:,}: {name} holds a NaN or an infinity")
        self.steps, self.name = steps, name


def culprit(batch, rewards, outputs, values, policy):
    """The first tensor, in the order in which they depend on each other, that is not finite."""
    tensors = {f"the policy's parameter {name!r}": p for name, p in policy.named_parameters()}
    tensors |= {"observations (from the environment)": batch.observations,
                "rewards (from the environment)": rewards, "actions": batch.actions,
                "old log_probs": batch.log_probs, "old values": batch.values, "advantages": batch.advantages,
                "returns": batch.returns, "the policy's values": values}
    for name, tensor in tensors.items():
        if not torch.isfinite(tensor).all():
            return name
    if torch.isnan(outputs).any() or (outputs == math.inf).any():       # -inf is an illegal action
        return "the policy's outputs"
    bad = [name for name, p in policy.named_parameters() if not torch.isfinite(p.grad).all()]
    return f"the gradient of {bad[0]!r}" if bad else "the gradient's norm"


def name_of_factory(factory) -> str:
    """"module:name" where importing that gives `factory` again; otherwise a name without a colon."""
    module = getattr(factory, "__module__", None)
    name = getattr(factory, "__qualname__", type(factory).__name__)
    findable = module not in (None, "__main__", "__mp_main__") and _attribute(module, name) is factory
    return f"{module}:{name}" if findable else name


def find_factory(name: str):
    """The factory of `name_of_factory`; None if it cannot be imported here."""
    module, colon, name = name.partition(":")
    if not colon:
        return None
    try:
        importlib.import_module(module)
    except Exception:                                       # whatever the module does when it is imported
        return None
    found = _attribute(module, name)
    return found if getattr(found, "__module__", None) == module else None


def _attribute(module, name):
    """The attribute with the dotted `name` of an imported module, or None."""
    try:
        return functools.reduce(getattr, name.split("."), sys.modules[module])
    except (KeyError, AttributeError):
        return None


class Actor:
    """A policy that plays: `act(observations) -> actions` for any number of agents, NumPy in and out.

    greedy    take the most probable action; otherwise actions are drawn, by a generator made from `seed`

    A policy with a memory needs `observe_ends(terminals | truncations)` after each step, and `reset()` before
    a new game; or its memory is handed in and out of `predict`.

    A single observation, as one environment of Gymnasium gives it (also a nested or a whole-number one, or a
    list of numbers), gets a single action: an int, or an array within the bounds of a Box. Where the actions
    that the environment declares are nested or do not count from 0, `ActionLayout(space).decode(action)`
    gives them.

    Where agents are in groups (`with_groups`), `of` gives the actor of one agent.
    """

    takes_masks = True

    def __init__(self, policy, *, seed=0, greedy=False):
        self.policy, self.seed, self.greedy = policy, int(seed), greedy
        self.device = next(policy.parameters()).device
        self.reset()

    def reset(self):
        """Set the memory to zero and the random stream back to its start."""
        self.state = None
        self.generator = torch.Generator(self.device).manual_seed(self.seed)

    def of(self, name):
        """An actor with the network of one agent, or of a group, by its name: it takes that agent's own
        observations, plain ones too, and gives its own actions. Raises ValueError for an unknown name."""
        if not isinstance(self.policy, PolicyOfGroups):
            raise ValueError(f"of({name!r}) given for a policy that all agents share; use act(observation)")
        return Actor(self.policy.network_of(name), seed=self.seed, greedy=self.greedy)

    @torch.inference_mode()
    def act(self, observations, masks=None):
        """Actions for observations (N, ...): int32 (N,) or (N, k), or float32 (N, ...).

        masks   bool (N, choices), the legal actions as `env.action_masks()` gives them; None: all are legal

        Raises TypeError or ValueError for observations that are not rows of the policy's space, ValueError
        for masks that are not these rows' or leave an agent no action.
        """
        actions, self.state = self.predict(observations, self.state, masks)
        return actions

    @torch.inference_mode()
    def predict(self, observations, state=None, masks=None):
        """(actions, the memory after them), as `act`, from the memory `state` and not the one kept inside.

        state   what the call before returned, (N, state_size); None where an episode begins
        """
        rows, single = self.rows_of(observations)
        seen = torch.from_numpy(np.ascontiguousarray(rows)).to(self.device)
        if state is None or len(state) != len(seen):
            state = self.policy.initial_state(len(seen)).to(self.device)
        outputs, _, state = self.policy(seen, state)
        distribution = self.policy.distribution
        if masks is not None:
            masks = np.asarray(masks)[None] if single and np.ndim(masks) == 1 else np.asarray(masks)
            if not hasattr(distribution, "legal") or len(masks) != len(seen):
                raise ValueError(f"masks: {masks.dtype} {masks.shape} given, expected None for a Box, and "
                                 f"else a row for each of the {len(seen)} observations")
            outputs = masked(outputs, distribution.legal(masks).to(self.device))
        if self.greedy:
            actions = distribution.mode(outputs)
        else:
            actions, _ = distribution.sample(outputs, self.generator)
        dtype = np.float32 if actions.is_floating_point() else np.int32
        actions = actions.cpu().numpy().astype(dtype, order="C")
        return self._plain(actions[0]) if single else actions, state

    def _plain(self, action):
        """The action of one agent as an environment takes it."""
        space = self.policy.spec.single_action_space
        if action.dtype == np.float32:
            return np.clip(action, space.low, space.high)
        return int(action) if action.ndim == 0 else action

    def rows_of(self, observations):
        """(rows of the space that the policy was made for, whether they are one single observation)."""
        spec, rows = getattr(self.policy, "spec", None), isinstance(observations, np.ndarray)
        if isinstance(self.policy, PolicyOfGroups) and not (rows and observations.dtype == np.uint8):
            raise TypeError(f"observations: {type(observations).__name__} given to the policy of all groups "
                            "of agents, expected the rows that make_vec gives, or, of one agent, "
                            f"policy.of({next(iter(self.policy.rows.agents))!r}).act(observation)")
        space = None if spec is None else spec.single_observation_space
        shape, layout = getattr(space, "shape", None), getattr(space, "layout", None)
        if isinstance(observations, np.ndarray) and observations.shape == shape:
            return observations[None], True
        if layout is not None and not (isinstance(observations, np.ndarray) and observations.ndim):
            row = np.empty((1, *shape), space.dtype)
            layout.pack(observations, row)
            return row, True
        if shape is not None and isinstance(observations, list) and np.shape(observations) == shape:
            return np.array(observations, space.dtype)[None], True
        if not isinstance(observations, np.ndarray) or observations.dtype == object:
            raise TypeError(f"observations: {type(observations).__name__} given, expected the NumPy rows "
                            "that make_vec or an adapter gives, not a Gymnasium environment's observation")
        if shape is not None and observations.shape[1:] != shape:
            raise ValueError(f"observations: shape {observations.shape} given, expected "
                             f"(N, {', '.join(map(str, shape))}), one row for each agent, or {shape} of one")
        return observations, False

    @torch.inference_mode()
    def observe_ends(self, ends):
        """Episodes that ended at the last step, (N,) bool: their agents' memory starts afresh."""
        if self.state is not None:
            self.state[torch.from_numpy(np.asarray(ends))] = 0
