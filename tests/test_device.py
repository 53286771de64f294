"""The way to a device, without one: nothing is left behind on the CPU, and what is learned does not depend on the transfers."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from gymnasium import spaces
from test_ppo import SMALL, Drift

from puffer_min.learner.buffer import Minibatch
from puffer_min.learner.config import Config
from puffer_min.learner.policy import Policy
from puffer_min.learner.ppo import PPO, flatten_parameters, ppo_loss
from puffer_min.learner.presets import settings_for

NUMBERS, PICTURE = spaces.Box(-1, 1, (26,), np.float32), spaces.Box(0, 3, (5, 6, 2), np.uint8)


@pytest.mark.parametrize("actions", [spaces.Discrete(3), spaces.MultiDiscrete([2, 3]), spaces.Box(-2, 2, (2,))],
                         ids=["discrete", "multidiscrete", "box"])
@pytest.mark.parametrize("observations, encoder, recurrent", [
    (NUMBERS, "scaled", False), (NUMBERS, "standard", True), (NUMBERS, "set", False), (PICTURE, "conv", True), (PICTURE, "onehot", False),
])
def test_acting_and_learning_stay_on_the_device(observations, encoder, recurrent, actions):
    """On torch's "meta" device tensors have a shape and no numbers, and as elsewhere none may meet one of the CPU."""
    rows, horizon, device = 3, 4, torch.device("meta")
    dtype = torch.uint8 if observations is PICTURE else torch.float32
    policy = Policy(observations, actions, hidden_size=16, encoder=encoder, recurrent=recurrent, observation_sets={"cars": (2, 3, 4)})
    policy = policy.to(device)
    weights = flatten_parameters(policy)
    seen = torch.empty(rows * horizon, *observations.shape, dtype=dtype, device=device)
    with torch.no_grad():
        outputs, values, after = policy(seen, torch.zeros(rows * horizon, policy.state_size, device=device))
        chosen, log_probs = policy.distribution.sample(outputs)
    assert all(tensor.is_meta for tensor in (outputs, values, after, chosen, log_probs))
    numbers = torch.empty(rows * horizon, device=device)
    batch = Minibatch(seen, chosen, numbers, numbers, numbers, numbers, torch.zeros(rows * horizon, 0, dtype=torch.bool, device=device),
                      torch.zeros(rows, horizon, dtype=torch.bool, device=device),
                      torch.zeros(rows, policy.state_size, device=device))
    outputs, values = policy.replay(batch.observations, batch.states, batch.ends)
    loss, parts, ratio = ppo_loss(Config(vf_clip_coef=0.2), outputs, values, policy.distribution, batch)
    loss.backward()
    assert all(tensor.is_meta for tensor in (loss, parts, ratio, weights, weights.grad))


def test_the_meta_device_would_show_a_tensor_left_behind():
    policy = Policy(NUMBERS, spaces.Discrete(3), hidden_size=16).to("meta")
    policy.encoder.scale = torch.ones(26)
    with pytest.raises(RuntimeError, match="device"):
        policy(torch.empty(4, 26, device="meta"))


@pytest.mark.parametrize("settings", [
    {}, {"recurrent": True}, {"vtrace": True, "update_epochs": 2},
], ids=["mlp", "lstm", "vtrace"])
def test_transfers_change_nothing_of_what_is_learned(settings):
    """The branches for another device, taken with copies on the CPU: the same weights, and uint8 or float32 goes over as it is stored."""
    sent = []

    def learned(pretend):
        learner = PPO(Drift(num_agents=4, death=0.3), settings_for(None, SMALL, **settings), seed=2)
        if pretend:
            learner.device = SimpleNamespace(type="pretended")
            learner.to_device = lambda tensor: sent.append(tensor.dtype) or tensor.clone()
        for _ in range(3):
            learner.iterate()
        return learner.weights

    torch.testing.assert_close(learned(True), learned(False), rtol=0, atol=0)
    assert sent and torch.float64 not in sent


def test_what_goes_to_cuda_is_pinned_and_not_waited_for(monkeypatch):
    learner, calls = PPO(Drift(), SMALL, seed=0), []
    monkeypatch.setattr(torch.Tensor, "pin_memory", lambda tensor: calls.append("pinned") or tensor)
    monkeypatch.setattr(torch.Tensor, "to", lambda tensor, device, non_blocking=False: calls.append((device.type, non_blocking)) or tensor)
    learner.device = torch.device("cuda")
    learner.to_device(torch.zeros(3))
    assert calls == ["pinned", ("cuda", True)]
