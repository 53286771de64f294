"""Chapter 3 and its checks say what the package does: listings, shown sources, references, and the form of its prose."""

import ast
import inspect
import json
import textwrap
from pathlib import Path

import numpy as np
import pytest
import torch

import puffer_min
from envs import make
from puffer_min.course.checks import level03, level03_losses, level03_rows
from puffer_min.learner import distributions as sampling
from puffer_min.learner.config import Config
from puffer_min.learner.distributions import Categorical
from puffer_min.learner.ppo import PPO, ppo_loss

ROOT = Path(__file__).resolve().parents[1]
CELLS = json.loads((ROOT / "chapters" / "03_algorithms.ipynb").read_text())["cells"]
CODE = {cell["id"]: cell for cell in CELLS if cell["cell_type"] == "code"}


def source_of(cell):
    return "".join(cell["source"])


def tree(function_source):
    """The syntax tree of a function as text, without its docstring."""
    function = ast.parse(textwrap.dedent(function_source)).body[0]
    if ast.get_docstring(function):
        del function.body[0]
    return ast.dump(function)


@pytest.mark.parametrize("name", ["draw_index", "entropy_of"])
def test_listings_of_the_package_have_its_syntax_tree(name):
    functions = {node.name: node for node in ast.parse(source_of(CODE["draw-index"])).body}
    assert tree(ast.unparse(functions[name])) == tree(inspect.getsource(getattr(sampling, name)))


@pytest.mark.parametrize("cell, thing", [("package-collect", PPO.collect), ("package-loss", ppo_loss), ("package-step", PPO.step_on)])
def test_sources_shown_of_the_package_are_its_present_sources(cell, thing):
    shown = "".join(CODE[cell]["outputs"][0]["data"]["text/markdown"])
    assert shown == f"```python\n{textwrap.dedent(inspect.getsource(thing))}```", "run the chapter again and commit it"


def test_the_compiled_loop_is_the_plain_one_with_types_and_nothing_else():
    def body(cell):
        lines = source_of(CODE[cell]).split("):\n", 1)[1].splitlines()
        return [line for line in lines if not line.strip().startswith("cdef")]

    assert body("gae-cython") == body("gae-loop")


# The references of the exercises against the package

def test_reference_of_draw_actions_is_the_packages_draw():
    rng = np.random.default_rng(0)
    probabilities, uniform = level03.random_probabilities(rng, 300, 5), rng.random(300)
    drawn = sampling.draw_index(torch.from_numpy(probabilities.T.copy()), torch.from_numpy(uniform))
    assert drawn.tolist() == level03.walk(probabilities, uniform).tolist()


def test_reference_of_log_probs_is_the_packages_distribution():
    rng = np.random.default_rng(1)
    logits, actions = rng.normal(size=(50, 4)).astype(np.float32), rng.integers(0, 4, 50)
    logits[:, 3][actions != 3] = -np.inf
    found = Categorical((4,), ()).evaluate(torch.from_numpy(logits.T.copy()), torch.from_numpy(actions))
    for ours, theirs in zip(level03_losses.reference_log_probs(logits, actions), found, strict=False):
        assert np.allclose(ours, theirs, atol=1e-5)


def test_reference_of_gae_is_the_packages_kernel():
    rewards, values, ends, next_values, advantages, gamma, gae_lambda = level03_rows.random_rows(np.random.default_rng(2), 20, 17)
    level03_rows.reference_gae(rewards, values, ends, next_values, advantages, gamma, gae_lambda)
    found, returns = np.zeros_like(rewards), np.zeros_like(rewards)
    puffer_min.gae(rewards, values, ends.astype(bool), np.zeros(ends.shape, bool), None, next_values, found, returns, gamma, gae_lambda)
    assert np.allclose(found, advantages, atol=1e-4)


def test_reference_of_ppo_loss_is_the_packages_loss():
    rng = np.random.default_rng(3)
    logits, actions = rng.normal(size=(4, 60)).astype(np.float32), torch.from_numpy(rng.integers(0, 4, 60))
    old, advantages = (torch.from_numpy(rng.normal(size=60).astype(np.float32)) for _ in range(2))
    batch = type("Batch", (), {"actions": actions, "log_probs": old, "advantages": advantages, "returns": torch.zeros(60)})
    config, distribution = Config(norm_adv=False, ent_coef=0.0, vf_coef=0.0), Categorical((4,), ())
    loss, _, _ = ppo_loss(config, torch.from_numpy(logits), torch.zeros(60), distribution, batch)
    log_probs, _ = distribution.evaluate(torch.from_numpy(logits), actions)
    assert np.isclose(level03_losses.reference_ppo_loss(log_probs.numpy(), old.numpy(), advantages.numpy(), config.clip_coef), loss, rtol=1e-4)


@pytest.mark.parametrize("agents, segments, share", [(4, 4, 1.0), (4, 8, 1.0), (5, 11, 0.6)])
def test_reference_of_segments_is_the_packages_buffer(agents, segments, share):
    cart, rng, horizon = make("cartpole", num_envs=agents), np.random.default_rng(4), 4
    alive = rng.random((200, agents)) < share
    buffer = puffer_min.RolloutBuffer(agents, segments, horizon, cart.single_observation_space, cart.single_action_space)
    steps, observations, numbers = 0, torch.zeros(agents, 4), torch.zeros(agents)
    while not buffer.is_full:
        buffer.record_decision(observations, torch.zeros(agents, dtype=torch.int64), numbers, numbers, alive[steps])
        buffer.record_outcome(cart.rewards, cart.terminals, cart.truncations)
        steps += 1
    assert level03_rows.reference_steps_until_full(alive, segments, horizon) == steps
