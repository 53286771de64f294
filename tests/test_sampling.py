"""Sampling by hand: the right frequencies, torch.distributions' numbers, and illegal actions without a nan."""

import numpy as np
import pytest
import torch
from gymnasium import spaces
from scipy import stats
from torch.distributions import Categorical as TorchCategorical
from torch.distributions import Normal

from puffer_min.learner import kernels
from puffer_min.learner.distributions import (
    Categorical,
    LogProbAndEntropy,
    distribution_of,
    draw,
    draw_index,
    masked,
)
from puffer_min.learner.kernels import categorical


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def logits(*shape, seed=0):
    return torch.randn(*shape, generator=generator(seed)) * 1.5


def test_draws_have_the_frequencies_of_the_distribution():
    chosen = distribution_of(spaces.Discrete(6))
    row = logits(6, 1)
    draws, _ = chosen.sample(row.expand(6, 60_000), generator(1))
    expected = torch.softmax(row[:, 0], 0).double() * len(draws)
    assert stats.chisquare(np.bincount(draws, minlength=6), (expected / expected.sum() * len(draws)).numpy()).pvalue > 1e-3


def test_each_component_of_multidiscrete_is_drawn_from_its_own_block():
    chosen = distribution_of(spaces.MultiDiscrete([2, 5, 3]))
    row = logits(10, 1)
    draws, _ = chosen.sample(row.expand(10, 40_000), generator(2))
    assert draws.shape == (40_000, 3)
    for component, block in enumerate(row[:, 0].split((2, 5, 3))):
        expected = torch.softmax(block.double(), 0).numpy() * len(draws)
        assert stats.chisquare(np.bincount(draws[:, component], minlength=len(block)), expected).pvalue > 1e-3
    assert abs(np.corrcoef(draws[:, 0], draws[:, 1])[0, 1]) < 0.02


def test_gaussian_draws_have_mean_and_deviation_in_units_of_the_box():
    chosen = distribution_of(spaces.Box(np.float32([-2, 0]), np.float32([2, 10])))
    outputs = torch.tensor([0.5, -0.2, -1.0, 0.3]).unsqueeze(1).expand(4, 50_000)
    draws, _ = chosen.sample(outputs, generator())
    assert draws.shape == (50_000, 2)
    np.testing.assert_allclose(draws.mean(0), [0 + 2 * 0.5, 5 - 5 * 0.2], atol=0.05)
    np.testing.assert_allclose(draws.std(0), [2 * np.exp(-1.0), 5 * np.exp(0.3)], rtol=0.02)


def test_discrete_log_probs_and_entropy_equal_torch_distributions():
    chosen, outputs = distribution_of(spaces.Discrete(7)), logits(7, 50)
    actions, at_sampling = chosen.sample(outputs, generator())
    log_probs, entropy = chosen.evaluate(outputs, actions)
    peer = TorchCategorical(logits=outputs.t())
    torch.testing.assert_close(log_probs, peer.log_prob(actions))
    torch.testing.assert_close(at_sampling, log_probs)
    torch.testing.assert_close(entropy, peer.entropy())


def test_multidiscrete_log_probs_and_entropy_are_the_sums_over_components():
    chosen, outputs = distribution_of(spaces.MultiDiscrete([3, 4])), logits(7, 50)
    actions, at_sampling = chosen.sample(outputs, generator())
    log_probs, entropy = chosen.evaluate(outputs, actions)
    peers = [TorchCategorical(logits=block.t()) for block in outputs.split((3, 4))]
    torch.testing.assert_close(log_probs, sum(peer.log_prob(actions[:, i]) for i, peer in enumerate(peers)))
    torch.testing.assert_close(at_sampling, log_probs)
    torch.testing.assert_close(entropy, sum(peer.entropy() for peer in peers))


def test_gaussian_log_probs_and_entropy_equal_torch_distributions():
    space = spaces.Box(np.float32([[-2, 0, -np.inf]]), np.float32([[2, 10, np.inf]]))
    chosen, outputs = distribution_of(space), logits(6, 50)
    actions, at_sampling = chosen.sample(outputs, generator())
    assert actions.shape == (50, 1, 3)
    log_probs, entropy = chosen.evaluate(outputs, actions)
    centre, scale = torch.tensor([0., 5, 0]).unsqueeze(1), torch.tensor([2., 5, 1]).unsqueeze(1)
    peer = Normal(centre + scale * outputs[:3], scale * outputs[3:].exp())
    torch.testing.assert_close(log_probs, peer.log_prob(actions[:, 0].t()).sum(0), rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(at_sampling, log_probs, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(entropy, peer.entropy().sum(0))


@pytest.mark.parametrize("space, outputs", [(spaces.Discrete(4), 4), (spaces.MultiDiscrete([2, 4]), 6), (spaces.Box(-1, 1, (2,)), 4)])
def test_gradients_equal_torch_distributions(space, outputs):
    chosen = distribution_of(space)
    ours, theirs = logits(outputs, 30).requires_grad_(), logits(outputs, 30).requires_grad_()
    actions, _ = chosen.sample(ours.detach(), generator())
    weights = torch.randn(30, generator=generator(3))
    log_probs, entropy = chosen.evaluate(ours, actions)
    (weights * log_probs + entropy).sum().backward()
    if isinstance(space, spaces.Box):
        peers = [(Normal(theirs[i], theirs[2 + i].exp()), actions[:, i]) for i in range(2)]
    else:
        blocks = theirs.split(chosen.counts)
        peers = [(TorchCategorical(logits=block.t()), actions if space.shape == () else actions[:, i]) for i, block in enumerate(blocks)]
    sum((weights * peer.log_prob(chosen_) + peer.entropy()).sum() for peer, chosen_ in peers).backward()
    torch.testing.assert_close(ours.grad, theirs.grad, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("space", [spaces.Discrete(5), spaces.MultiDiscrete([5, 2])])
def test_illegal_actions_are_never_drawn_and_make_no_nan(space):
    chosen = distribution_of(space)
    outputs = logits(chosen.num_outputs, 5_000)
    outputs[[0, 4]] = -torch.inf
    outputs.requires_grad_()
    actions, log_probs = chosen.sample(outputs, generator())
    first = actions if space.shape == () else actions[:, 0]
    assert set(first.tolist()) == {1, 2, 3}
    log_probs, entropy = chosen.evaluate(outputs, actions)
    (log_probs.sum() + entropy.sum()).backward()
    assert torch.isfinite(log_probs).all() and torch.isfinite(entropy).all() and torch.isfinite(outputs.grad).all()
    assert (outputs.grad[[0, 4]] == 0).all()
    masked = TorchCategorical(logits=outputs.detach()[1:4].t()).entropy()
    expected = masked if space.shape == () else masked + TorchCategorical(logits=outputs.detach()[5:].t()).entropy()
    torch.testing.assert_close(entropy.detach(), expected)


@pytest.mark.parametrize("space", [spaces.Discrete(5), spaces.MultiDiscrete([3, 2])])
def test_masked_outputs_equal_torch_distributions_over_the_legal_actions_and_so_do_their_gradients(space):
    chosen, random = distribution_of(space), np.random.default_rng(0)
    masks = random.random((400, 5)) < 0.6
    masks[:, [0, 3]] |= ~np.stack([masks[:, :3].any(1), masks[:, 3:].any(1)], 1)
    legal, weights = chosen.legal(masks), torch.randn(400, generator=generator(3))
    ours, theirs = logits(5, 400).requires_grad_(), logits(5, 400).requires_grad_()
    actions, _ = chosen.sample(masked(ours, legal).detach(), generator(1))
    log_probs, entropy = chosen.evaluate(masked(ours, legal), actions)
    (weights * log_probs + entropy).sum().backward()
    blocks = zip(theirs.split(chosen.counts), legal.split(chosen.counts, 1), actions.view(400, -1).t(), strict=False)
    for block, allowed, action in blocks:
        assert allowed[torch.arange(400), action].all(), "an illegal action was drawn"
        p = torch.where(allowed.t(), block, -1e30).softmax(0)
        log_p = (p + ~allowed.t()).log()
        (weights * log_p.gather(0, action[None])[0] - (p * log_p).sum(0)).sum().backward(retain_graph=True)
    torch.testing.assert_close(ours.grad, theirs.grad, rtol=1e-4, atol=1e-5)
    assert (ours.grad[~legal.t()] == 0).all()


def test_an_agent_without_a_legal_action_is_named():
    masks = np.ones((6, 5), bool)
    masks[4, 3:] = False
    with pytest.raises(ValueError, match="agent 4 has no legal action in component 1, expected at least one True among 2"):
        distribution_of(spaces.MultiDiscrete([3, 2])).legal(masks)
    with pytest.raises(ValueError, match=r"action_masks: bool \(6, 4\) given, expected bool \(agents, 5\)"):
        distribution_of(spaces.Discrete(5)).legal(masks[:, :4])
    with pytest.raises(ValueError, match="action_masks: int64 "):
        distribution_of(spaces.Discrete(5)).legal(masks.astype(int))


def test_a_single_legal_action_has_probability_1_and_no_entropy():
    chosen, outputs = distribution_of(spaces.Discrete(3)), torch.full((3, 100), -torch.inf)
    outputs[1] = 2.0
    actions, log_probs = chosen.sample(outputs, generator())
    assert (actions == 1).all() and (log_probs == 0).all()
    assert (chosen.evaluate(outputs, actions)[1] == 0).all()


def test_rounding_never_draws_an_action_without_probability():
    probabilities = torch.tensor([[0.1] * 7 + [0.3 - 1e-8] + [0.0] * 2]).t().expand(10, 3)
    most = torch.nextafter(torch.tensor(1.0), torch.tensor(0.0))
    assert draw_index(probabilities, torch.stack([torch.tensor(0.0), torch.tensor(0.5), most])).tolist() == [0, 5, 7]
    nothing_first = torch.tensor([[0.0], [1.0]])
    assert draw_index(nothing_first, torch.zeros(1)).tolist() == [1]


def test_the_mode_is_the_most_probable_action():
    outputs = torch.tensor([[0.1, 2.0], [0.3, 1.0], [5.0, 0.0], [0.0, 7.0]])
    assert distribution_of(spaces.Discrete(4)).mode(outputs).tolist() == [2, 3]
    assert distribution_of(spaces.MultiDiscrete([2, 2])).mode(outputs).tolist() == [[1, 0], [0, 1]]
    np.testing.assert_allclose(distribution_of(spaces.Box(-3, 3, (2,))).mode(outputs), [[0.3, 0.9], [6.0, 3.0]], rtol=1e-6)


def test_the_same_generator_gives_the_same_draws():
    chosen, outputs = distribution_of(spaces.Discrete(9)), logits(9, 500)
    assert chosen.sample(outputs, generator(5))[0].equal(chosen.sample(outputs, generator(5))[0])
    assert not chosen.sample(outputs, generator(5))[0].equal(chosen.sample(outputs, generator(6))[0])


@pytest.mark.parametrize("space", [spaces.Discrete(3, start=1), spaces.MultiBinary(3), spaces.Dict({"a": spaces.Discrete(2)})])
def test_a_space_without_a_distribution_is_refused_by_name(space):
    with pytest.raises(TypeError, match="expected Discrete or flat MultiDiscrete counted from 0, or Box"):
        distribution_of(space)


def test_the_written_gradient_equals_autograds_to_the_last_digits():
    """In double precision, with illegal actions, and with any weights of log-probability and entropy."""
    outputs = (logits(6, 40).double() * 3).index_fill(0, torch.tensor([4]), -torch.inf).requires_grad_()
    actions, weights = torch.randint(0, 4, (40,), generator=generator(1)), torch.randn(2, 40, generator=generator(2)).double() * 50
    written, = torch.autograd.grad((weights * torch.stack(LogProbAndEntropy.apply(outputs, actions))).sum(), outputs)
    legal = outputs.detach()[[0, 1, 2, 3, 5]].requires_grad_()
    log_p = torch.log_softmax(legal, 0)
    plain = torch.stack([log_p.gather(0, actions.unsqueeze(0))[0], -(log_p.exp() * log_p).sum(0)])
    expected, = torch.autograd.grad((weights * plain).sum(), legal)
    torch.testing.assert_close(written[[0, 1, 2, 3, 5]], expected)
    assert (written[4] == 0).all()


@pytest.mark.parametrize("compiled", [True, False])
@pytest.mark.parametrize("columns", [0, 1, 7, 63, 64, 65, 1000])
@pytest.mark.parametrize("actions, spread", [(1, 1), (2, 1), (5, 0.01), (5, 30), (15, 3), (90, 10)])
def test_single_precision_gives_what_double_precision_gives(monkeypatch, actions, spread, columns, compiled):
    monkeypatch.setattr(kernels, "ONE_THREAD", 0)
    monkeypatch.setattr(kernels, "serves_logits", lambda logits: compiled and logits.dtype == torch.float32)
    random = generator(columns)
    outputs = torch.randn(actions + 1, columns, generator=random)[:actions] * spread        # a view, as the policy's outputs are
    if actions > 2:
        outputs[torch.rand(actions, columns, generator=random) < 0.2] = -torch.inf
        outputs[1] = 0.5
    uniform, outputs = torch.rand(columns, generator=random), outputs.requires_grad_()
    drawn, at_drawing = draw(outputs.detach(), uniform)
    running = torch.softmax(outputs.detach().double(), 0).cumsum(0)
    after = running.gather(0, drawn.unsqueeze(0))[0]
    before = torch.where(drawn > 0, running.gather(0, (drawn - 1).clamp(min=0).unsqueeze(0))[0], 0)
    assert ((before - 1e-6 <= uniform) & (uniform <= after + 1e-6) & (after > before)).all()

    weights = torch.randn(2, columns, generator=random)
    results = []
    chosen = Categorical((actions,), shape=())
    for given in (outputs, outputs.detach().double().requires_grad_()):
        log_probs, entropy = chosen.evaluate(given, drawn)
        gradient, = torch.autograd.grad((weights[0] * log_probs + weights[1] * entropy).sum(), given)
        results.append((log_probs, entropy, gradient))
    for ours, exact in zip(*results, strict=False):
        torch.testing.assert_close(ours.double(), exact, rtol=2e-6, atol=2e-6 * max(1, spread))
    torch.testing.assert_close(at_drawing, results[0][0].detach(), rtol=2e-6, atol=2e-6 * max(1, spread))


def test_the_kernel_is_asked_only_for_what_it_can_do(monkeypatch):
    asked = []
    monkeypatch.setattr(kernels, "draw", lambda *given: asked.append("draw"))
    for outputs in (logits(4, 6).double(), logits(4, 1).expand(4, 6), logits(6, 4).t()):
        draw(outputs, torch.rand(6))
        assert Categorical((4,), ()).evaluate(outputs.requires_grad_(), torch.zeros(6, dtype=torch.int64))[0].grad_fn._forward_cls is LogProbAndEntropy
    assert asked == []
    draw(logits(4, 6), torch.rand(6))
    assert asked == ["draw"]


def test_the_kernel_refuses_what_does_not_fit():
    table, row, chosen = np.zeros((4, 6), np.float32), np.zeros(6, np.float32), np.zeros(6, np.int64)
    with pytest.raises(ValueError, match="logits 4 x 6 with arrays for 4 x 5 given"):
        categorical.draw(table, row, chosen[:5], row.copy())
    with pytest.raises(ValueError, match="4 x 6 with arrays for 3 x 6"):
        categorical.evaluate(table, chosen, table[:3].copy(), row.copy(), row.copy())
    with pytest.raises(ValueError, match="4 x 6 with arrays for 4 x 5"):
        categorical.gradient(table, row, chosen, row[:5], row, table.copy())
    for action in (-1, 4):
        with pytest.raises(ValueError, match=f"action {action} given, expected 0 to 3"):
            categorical.evaluate(table, np.full(6, action), table.copy(), row.copy(), row.copy())
    with pytest.raises(ValueError, match="4 x 6 with arrays for 4 x 6 given, expected as many of both, actions first"):
        categorical.draw(np.asfortranarray(table), row, chosen, row.copy())


def test_an_action_without_probability_is_never_drawn_whatever_the_rounding():
    least, most = torch.tensor(0.0), torch.nextafter(torch.tensor(1.0), torch.tensor(0.0))
    outputs = logits(7, 20_000) * 10
    outputs[[0, 6]] = -torch.inf
    for uniform in (least, most):
        drawn, log_probs = draw(outputs, uniform.repeat(20_000))
        assert drawn.min() >= 1 and drawn.max() <= 5 and torch.isfinite(log_probs).all()
