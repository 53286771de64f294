"""Policies leave the package equal to themselves: ONNX, torch.export, and one decision for one plain observation."""

import gymnasium
import numpy as np
import pytest
import torch
from gymnasium import spaces
from torch import nn

import envs
import puffer_min
from puffer_min.emulation.observations import Layout
from puffer_min.env.spec import EnvSpec
from puffer_min.learner.actor import Actor, build_policy
from puffer_min.learner.config import Config
from puffer_min.learner.policy import make_policy
from puffer_min.learner.presets import settings_for

onnxruntime = pytest.importorskip("onnxruntime", reason="onnxruntime is not installed: pip install onnxruntime")
Box, Discrete, MultiDiscrete = spaces.Box, spaces.Discrete, spaces.MultiDiscrete

NESTED = spaces.Dict(place=Box(-1, 1, (3,), np.float32), tile=Discrete(5, start=2), bag=spaces.Tuple([spaces.MultiBinary(4)]))
SPACES = {
    "numbers": (Box(-3, 3, (4,), np.float32), "auto"), "float64": (Box(-3, 3, (4,), np.float64), "standard"),
    "bytes": (Box(0, 255, (9,), np.uint8), "scaled"), "codes": (Box(0, 5, (3, 3), np.uint8), "onehot"),
    "signed codes": (Box(0, 5, (3, 3), np.int8), "onehot"), "a picture": (Box(0, 255, (8, 9, 3), np.uint8), "conv"),
    "one number": (Discrete(6), "auto"), "bits": (spaces.MultiBinary(7), "auto"), "nested": (NESTED, "auto"),
    "one dtype": (spaces.Dict(a=Box(-1, 1, (2,), np.float32), b=Box(0, 9, (2, 2), np.float32)), "auto"),
}
ACTIONS = {"Discrete": Discrete(3), "MultiDiscrete": MultiDiscrete([3, 2]), "Box": Box(np.float32([-2, 0]), np.float32([2, 0.01]))}


def network(space, action_space, **settings):
    """A network of random weights, large enough that actions differ, and what its rows are made by."""
    layout = Layout(space)
    torch.manual_seed(0)
    policy = build_policy(make_policy, EnvSpec(layout.row_space, action_space), Config(**settings))
    with torch.no_grad():
        for parameter in policy.parameters():
            parameter.add_(0.1 * torch.randn(parameter.shape))
        if isinstance(action_space, Box):
            policy.head.bias[1] += 20                   # beyond the bound
    return policy, layout


def rows_of(layout, count):
    """(samples, packed rows) of the layout's space."""
    layout.space.seed(1)
    samples = [layout.space.sample() for _ in range(count)]
    rows = np.zeros((count, *layout.row_space.shape), layout.row_space.dtype)
    for i, sample in enumerate(samples):
        layout.pack(sample, rows[i:i + 1])
    return samples, rows


def answers(path, inputs):
    """What the file gives for inputs by name."""
    if path.suffix == ".onnx":
        session = onnxruntime.InferenceSession(path)
        assert [given.name for given in session.get_inputs()] == list(inputs)
        return session.run(None, inputs)
    program = torch.export.load(path).module()
    return [output.detach().numpy() for output in program(*map(torch.from_numpy, inputs.values()))]


@pytest.mark.parametrize("kind", [".onnx", ".pt2"])
@pytest.mark.parametrize("number, space", list(enumerate(SPACES)))
def test_an_exported_policy_is_equal_to_it_for_any_number_of_agents(tmp_path, number, space, kind):
    action_space, recurrent = list(ACTIONS.values())[number % 3], number % 2 == 0
    policy, layout = network(SPACES[space][0], action_space, encoder=SPACES[space][1], recurrent=recurrent)
    path = puffer_min.export(policy, tmp_path / f"policy{kind}")
    for count in (1, 2, 7):
        rows = rows_of(layout, count)[1]
        inputs = {"observations": rows}
        if layout.structured:
            inputs = {leaf.path: np.ascontiguousarray(view) for leaf, view in zip(layout.leaves, layout.views(rows), strict=True)}
        state = torch.randn(count, policy.state_size, generator=torch.Generator().manual_seed(count))
        with torch.no_grad():
            outputs, values, after = policy(torch.from_numpy(rows), state)
        expected = [policy.distribution.mode(outputs).numpy(), outputs.t().numpy(), values.numpy(), after.numpy()]
        if isinstance(action_space, Box):
            clipped = expected[0].clip(action_space.low, action_space.high)
            assert not np.array_equal(expected[0], clipped), "there is something to clip"
            expected[0] = clipped
        found = answers(path, inputs | ({"state": state.numpy()} if recurrent else {}))
        assert len(found) == 3 + recurrent
        for one, other in zip(found, expected, strict=False):
            assert one.shape == other.shape and np.abs(one - other).max() <= 1e-5


@pytest.mark.parametrize("name", ["connect4", "memory"])
def test_an_exported_policy_plays_as_the_greedy_one(tmp_path, name):
    """Sixty steps of a native game, the memory handed in and out."""
    env = envs.make(name, 2, seed=3)
    config = settings_for(name)
    torch.manual_seed(1)
    policy = build_policy(make_policy, EnvSpec.of(env), config)
    actor = Actor(policy, greedy=True)
    session = onnxruntime.InferenceSession(puffer_min.export(actor, tmp_path / "policy.onnx"))
    state = policy.initial_state(env.num_agents).numpy()
    env.reset()
    for _ in range(60):
        actions = actor.act(env.observations)
        found, *rest = session.run(None, {"observations": env.observations} | ({"state": state} if config.recurrent else {}))
        assert np.abs(found - actions).max() <= 1e-5
        ends = np.logical_or(*env.step(actions)[2:4])
        actor.observe_ends(ends)
        if config.recurrent:
            state = rest[-1]
            state[ends] = 0


def test_what_leads_to_a_network_can_be_exported(tmp_path):
    result = puffer_min.train("squared", total_steps=512, num_envs=4, horizon=16, run_dir=tmp_path, torch_threads=1)
    rows, found = np.zeros((3, 121), np.uint8), []
    for given in (result, result.checkpoint, str(result.checkpoint), result.policy, result.policy.policy):
        found.append(answers(puffer_min.export(given, tmp_path / "new" / "policy.onnx"), {"observations": rows})[1])
    assert all(np.array_equal(one, found[0]) for one in found)


# ---------------------------------------------------------------------- what cannot be exported

class Branching(nn.Linear):
    """Goes another way for other numbers, which no exported graph can."""

    def __init__(self, spec, config):
        super().__init__(4, 4)
        self.distribution = make_policy(spec, config).distribution

    def initial_state(self, num_agents):
        return torch.zeros(num_agents, 0)

    def forward(self, observations, state):
        both = super().forward(observations if float(observations.sum()) > 0 else -observations).t()
        return both[:-1], both[-1], state

    def replay(self, observations, states, ends):
        return self.forward(observations, states)[:2]


@pytest.mark.parametrize("kind", [".onnx", ".pt2"])
def test_a_network_that_torch_cannot_export_is_refused_in_a_sentence_and_the_file_stays(tmp_path, kind):
    policy = build_policy(Branching, EnvSpec(Box(-1, 1, (4,), np.float32), Discrete(3)), Config())
    path = tmp_path / f"policy{kind}"
    path.write_text("of before")
    with pytest.raises(ValueError, match=r"torch cannot export this network for Box.* to policy") as caught:
        puffer_min.export(policy, path)
    assert "\n" not in str(caught.value) and path.read_text() == "of before" and list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("policy, path, error, sentence", [
    (3, "x.onnx", TypeError, "policy: given int, expected the path of a checkpoint, a Result"),
    (nn.Linear(1, 1), "x.onnx", TypeError, "policy: given Linear, expected"),
    (None, "x.pt", ValueError, "path='x.pt' given, expected a file that ends in .onnx or .pt2"),
    ("missing.pt", "x.pt2", ValueError, "there is no checkpoint missing.pt"),
])
def test_what_is_no_policy_or_no_kind_of_file_is_refused(policy, path, error, sentence):
    with pytest.raises(error, match=sentence):
        puffer_min.export(policy, path)


def test_without_onnx_the_sentence_says_what_to_install(tmp_path, monkeypatch):
    def missing(*_, **__):
        raise ImportError("No module named onnxscript")
    monkeypatch.setattr(torch.onnx, "export", missing)
    with pytest.raises(ImportError, match="needs onnx and onnxscript, which are not installed: pip install onnx onnxscript"):
        puffer_min.export(network(Box(-1, 1, (2,)), Discrete(2))[0], tmp_path / "x.onnx")


# ---------------------------------------------------------------------- one decision for one observation

@pytest.mark.parametrize("actions", ACTIONS)
@pytest.mark.parametrize("space", SPACES)
def test_a_plain_observation_gets_the_action_of_its_row(space, actions):
    policy, layout = network(SPACES[space][0], ACTIONS[actions], encoder=SPACES[space][1])
    samples, rows = rows_of(layout, 8)
    actor = Actor(policy, greedy=True)
    batch = actor.act(rows)
    for sample, row, expected in zip(samples, rows, batch, strict=True):
        for given in (sample, row):
            action = actor.act(given)
            if actions == "Box":
                expected = expected.clip(ACTIONS["Box"].low, ACTIONS["Box"].high)
            assert ACTIONS[actions].contains(action) and np.abs(action - expected).max() <= 1e-5
    assert type(actor.act(samples[0])) is (int if actions == "Discrete" else np.ndarray)


def test_a_list_of_numbers_is_an_observation_too():
    actor = Actor(network(Box(-3, 3, (4,), np.float32), Discrete(3))[0], greedy=True)
    assert actor.act([0.1, -0.2, 0.3, 1]) == actor.act(np.float32([0.1, -0.2, 0.3, 1]))


def test_a_policy_plays_a_gymnasium_environment_by_itself(tmp_path):
    """The loop of every tutorial, without rows and without a vectorizer."""
    result = puffer_min.train(lambda: gymnasium.make("CartPole-v1"), total_steps=128, num_envs=2, horizon=16, torch_threads=1, run_dir=tmp_path)
    policy, env = puffer_min.load_policy(result.checkpoint), gymnasium.make("CartPole-v1")
    observation, _ = env.reset(seed=0)
    for _ in range(10):
        observation, *_ = env.step(policy.act(observation))


def test_the_memory_is_handed_in_and_out_of_predict_and_none_is_kept():
    policy, layout = network(Box(-1, 1, (3,)), Discrete(4), recurrent=True)
    samples, _ = rows_of(layout, 6)
    keeps, plain, state, seen = Actor(policy, greedy=True), Actor(policy, greedy=True), None, []
    for sample in samples:
        action, state = plain.predict(sample, state)
        assert state.shape == (1, policy.state_size) and action == keeps.act(sample) and torch.equal(state, keeps.state)
        seen.append(state)
    assert plain.state is None and not torch.equal(seen[0], seen[1])
    assert torch.equal(plain.predict(samples[0])[1], seen[0]), "None is the beginning of an episode"


def test_a_mask_of_one_agent_leaves_its_legal_actions():
    actor = Actor(network(Box(-1, 1, (3,)), Discrete(4))[0])
    for mask in (np.array([False, True, False, True]), [False, True, False, True]):
        assert {actor.act(np.zeros(3, np.float32), mask) for _ in range(60)} == {1, 3}


@pytest.mark.parametrize("actions, masks, given", [(Discrete(4), np.ones((1, 4), bool), r"bool \(1, 4\)"), (Box(-1, 1, (2,)), np.ones((2, 4), bool), r"bool \(2, 4\)")])
def test_masks_that_are_not_of_these_rows_or_of_a_box_are_refused(actions, masks, given):
    with pytest.raises(ValueError, match=f"masks: {given} given, expected None for a Box, and else a row for each of the 2 observations"):
        Actor(network(Box(-1, 1, (3,)), actions)[0]).act(np.zeros((2, 3), np.float32), masks)


@pytest.mark.parametrize("observation, error, sentence", [
    ({"place": np.zeros(2)}, ValueError, "place"), ({"wrong": 1}, (TypeError, ValueError), "place"), (None, TypeError, "observation"),
])
def test_a_nested_observation_that_does_not_fit_is_refused_by_its_leaf(observation, error, sentence):
    actor = Actor(network(NESTED, Discrete(3))[0])
    with pytest.raises(error, match=sentence):
        actor.act(observation)
