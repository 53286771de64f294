"""Chapter 6 and its checks say what the package does: references, figures, and the form of its prose."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

import puffer_min
from puffer_min.course.checks import level06
from puffer_min.course.torch_simulator import CrossingEnv
from puffer_min.course.torch_simulator.crossing import EPISODE, SLOTS
from puffer_min.emulation.observations import Layout
from puffer_min.learner.networks.encoders import Sets

ROOT = Path(__file__).resolve().parents[1]
CELLS = json.loads((ROOT / "chapters" / "06_compatibility.ipynb").read_text())["cells"]


def source_of(cell):
    return "".join(cell["source"])


# The references of the exercises against the package

def space_of(parts):
    from gymnasium.spaces import Box, Tuple
    return Tuple([Box(0, 100, shape, np.dtype(dtype)) for dtype, shape in parts])


@pytest.mark.parametrize("seed", range(20))
def test_reference_of_offsets_is_the_packages_layout(seed):
    parts = level06.random_parts(np.random.default_rng(seed))
    layout = Layout(space_of(parts))
    assert level06.reference_offsets(parts) == ([leaf.offset for leaf in layout.leaves], layout.dtype.itemsize)
    assert level06.walked(parts) == level06.reference_offsets(parts)


@pytest.mark.parametrize("seed", range(10))
def test_reference_of_views_is_the_packages_unpack(seed):
    rng = np.random.default_rng(seed)
    parts = [*level06.random_parts(rng), ("uint8", ()), ("float32", ())]            # two dtypes: rows are bytes
    layout = Layout(space_of(parts))
    rows = rng.integers(0, 255, (5, layout.dtype.itemsize), dtype=np.uint8)
    described = {str(i): (leaf.offset, leaf.dtype, leaf.shape) for i, leaf in enumerate(layout.leaves)}
    for ours, theirs in zip(level06.reference_views(rows, described).values(), layout.unpack(rows), strict=False):
        assert ours.tobytes() == theirs.tobytes() and ours.shape == theirs.shape


def test_reference_of_events_is_what_the_binding_does():
    env, random = CrossingEnv(num_worlds=3), np.random.default_rng(0)
    env.reset(0)
    for _ in range(3 * EPISODE):
        lived = env.masks.copy()
        before = env.simulator.clock.numpy().copy()
        env.step(random.integers(0, 9, env.num_agents, dtype=np.int32))
        dones = (lived & (env.terminals | env.truncations)).astype(np.int32)
        at_limit = np.repeat(before + 1 >= EPISODE, SLOTS) & (np.abs(env.rewards) < 0.5)
        terminals, truncations, masks = level06.reference_events(lived, dones, at_limit)
        assert np.array_equal(terminals, env.terminals) and np.array_equal(truncations, env.truncations)
        going_on = np.repeat(masks.reshape(3, SLOTS).any(1), SLOTS)
        assert np.array_equal(masks[going_on], env.masks[going_on])


def test_reference_of_pool_set_is_the_second_layer_of_the_packages_encoder():
    """The package's encoder has a layer before: with the identity in its place the two are the same."""
    things, weight, bias = (part.astype(np.float32) for part in level06.random_sets(np.random.default_rng(0), 6, 5))
    from gymnasium.spaces import Box
    encoder = Sets(Box(-np.inf, np.inf, (20,)), 6, {"things": (0, 5, 4)})
    inner, outer = encoder.inner["things"], encoder.outer["things"]
    with torch.no_grad():
        inner.weight.zero_(), inner.bias.zero_()
        inner.weight[:4], inner.weight[4:8] = torch.eye(4), -torch.eye(4)          # x = relu(x) - relu(-x)
        outer.weight.zero_()
        outer.weight[:, :4], outer.weight[:, 4:8] = torch.from_numpy(weight.T), -torch.from_numpy(weight.T)
        outer.bias[:] = torch.from_numpy(bias)
        encoder.layer.weight.copy_(torch.eye(6))
        found = encoder(torch.from_numpy(things.reshape(6, 20)))
    assert np.allclose(found, level06.reference_pool(things, weight, bias), atol=1e-5)


# The driver that ships

def test_the_shipped_driver_arrives_many_times_as_often_as_chance_and_its_log_says_so():
    folder = ROOT / "puffer_min" / "policies"
    found = puffer_min.evaluate("drive", puffer_min.load_policy(folder / "drive.pt"), episodes=300)
    assert found["score"] > 0.55 and found["off_road"] < 0.1
    log = [json.loads(line) for line in (folder / "drive.jsonl").read_text().splitlines()]
    assert log[0]["score"] < 0.15 and abs(log[-1]["score"] - found["score"]) < 0.1
    assert [row["step"] for row in log] == sorted(row["step"] for row in log)
