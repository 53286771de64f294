"""Checks of level 3: log-probabilities, entropies and the clipped loss, by their values and gradients."""

import numpy as np
import torch

from puffer_min.course.check import register
from puffer_min.course.checks.forms import edges, number, pair_of
from puffer_min.course.claims import expect, same_values

ROUGHLY = {"rtol": 1e-4, "atol": 1e-5}


# ---------------------------------------------------------------------- log-probabilities

def log_softmax(logits):
    logits = logits.astype(np.float64)
    with np.errstate(divide="ignore", invalid="ignore"):
        log_p = logits - logits.max(1, keepdims=True)
        return log_p - np.log(np.exp(log_p).sum(1, keepdims=True))


def reference_log_probs(logits, actions, sizes=None):
    """Log-probabilities and entropies (agents,) float32; with sizes, of several choices together."""
    if sizes is not None:
        parts = np.split(logits, np.cumsum(sizes)[:-1], axis=1)
        found = [reference_log_probs(part, actions[:, i]) for i, part in enumerate(parts)]
        return tuple(np.sum([each[k] for each in found], axis=0) for k in (0, 1))
    log_p = log_softmax(logits)
    with np.errstate(invalid="ignore"):
        entropy = -np.where(np.isfinite(log_p), np.exp(log_p) * log_p, 0).sum(1)
    return log_p[np.arange(len(actions)), actions].astype(np.float32), entropy.astype(np.float32)


def two_results(answer):
    """The answer as a function of arrays that returns two arrays (agents,)."""
    def found(logits, actions, *sizes):
        return pair_of(answer(torch.from_numpy(logits), torch.from_numpy(actions), *sizes), len(logits),
                       "the log-probabilities and the entropies")
    return found


@register("log_probs")
def _(log_probs_and_entropy, rng, hidden):
    "values, also of sure policies, of large logits and of illegal actions"
    answer = two_results(log_probs_and_entropy)

    def twice(logits, actions):
        powers = np.exp(logits - logits.max(1, keepdims=True))
        return reference_log_probs(powers / powers.sum(1, keepdims=True), actions)

    def entropy_by(change):
        def wrong(logits, actions):
            log_probs, entropy = reference_log_probs(logits, actions)
            return log_probs, change(entropy, logits)
        return wrong

    def choices(agents, actions, scale=1.0):
        return (rng.normal(size=(agents, actions)).astype(np.float32) * np.float32(scale),
                rng.integers(0, actions, agents))

    lost = {"the log-probability of a rare action is lost to rounding: take log_softmax, not the logarithm "
            "of the softmax": lambda logits, actions: (
                np.log(np.exp(reference_log_probs(logits, actions)[0].astype(float)) + 1e-8),
                reference_log_probs(logits, actions)[1])}
    cases = [choices(1, 2), choices(5, 3, 2), choices(40, 6, 3)]
    same_values(answer, reference_log_probs, cases, **ROUGHLY, mistakes=lost | {
        "it normalises what is normalised already: log_softmax of the logits, not of the probabilities":
            twice,
        "the log-probabilities have the wrong sign: a logarithm of a probability is never positive":
            lambda *case: (-reference_log_probs(*case)[0], reference_log_probs(*case)[1]),
        "it gives probabilities, expected their logarithms":
            lambda *case: (np.exp(reference_log_probs(*case)[0]), reference_log_probs(*case)[1]),
        "it picks the logits of the actions: normalise them by log_softmax":
            lambda logits, actions: (logits[np.arange(len(actions)), actions],
                                     reference_log_probs(logits, actions)[1]),
        "the entropy has the wrong sign: it is -sum(p log p), never negative":
            entropy_by(lambda entropy, logits: -entropy),
        "the entropy is a mean over the actions: it is -sum(p log p)":
            entropy_by(lambda entropy, logits: entropy / logits.shape[1]),
        "the entropy is in bits: take the natural logarithm":
            entropy_by(lambda entropy, logits: entropy / np.log(2))})
    sure = (np.array([[40, 0, -40]], np.float32), np.array([2]))
    same_values(answer, reference_log_probs, [sure], **ROUGHLY, mistakes=lost)
    illegal = np.array([[0.5, -0.5, -np.inf], [-np.inf, 1.0, -np.inf]], np.float32), np.array([0, 1])
    expect(np.isfinite(answer(illegal[0].copy(), illegal[1])[1]),
           "the entropy of a policy with an illegal action is nan: 0 * -inf, where the limit of p log p is 0")
    special = {"it fails where actions are illegal": illegal,
               "logits of a thousand overflow: log_softmax subtracts the largest": choices(6, 4, 1000.0),
               "logits that are all large are as good as others":
                   (rng.normal(size=(3, 3)).astype(np.float32) + 500, np.array([0, 1, 2])),
               "of one action there is no choice: logarithm and entropy are 0": choices(4, 1)}
    if hidden:
        masked = choices(50, 9)
        masked[0][(rng.random((50, 9)) < 0.5) & (np.arange(9) != masked[1][:, None])] = -np.inf
        special |= {"it fails on float64": (rng.normal(size=(20, 5)), rng.integers(0, 5, 20)),
                    "it fails where many actions are illegal": masked,
                    "it fails on many actions": choices(30, 200),
                    "it fails where all actions are equally probable":
                        (np.zeros((4, 7), np.float32), np.array([0, 6, 3, 1])),
                    "very negative logits of legal actions are legal all the same":
                        (np.array([[-3e4, 0.0, -np.inf]], np.float32), np.array([0]))}
    edges(answer, reference_log_probs, special, **ROUGHLY)


@register("log_probs", part="gradient", live=True)
def _(log_probs_and_entropy, rng, hidden):
    "gradients that are there, finite, and those of the formula, also beside illegal actions"
    logits = np.concatenate([np.array([[0.5, -0.5, -np.inf], [-np.inf, 1.0, -np.inf]], np.float32),
                             rng.normal(size=(9 if hidden else 3, 3)).astype(np.float32)])
    actions = np.append([0, 1], rng.integers(0, 3, len(logits) - 2))
    leaf = torch.from_numpy(logits).requires_grad_()
    log_probs, entropy = log_probs_and_entropy(leaf, torch.from_numpy(actions))
    expect(all(getattr(each, "requires_grad", False) for each in (log_probs, entropy)),
           "it cuts the gradient off, and nothing can be learnt: leave out no_grad, detach and item")
    p = np.exp(log_softmax(logits))
    one_hot, log_p = np.eye(3)[actions], np.where(p > 0, log_softmax(logits), 0)
    wanted = one_hot - p, -p * (log_p - (p * log_p).sum(1, keepdims=True))
    for name, result, right in zip(("log-probabilities", "entropies"), (log_probs, entropy), wanted,
                                   strict=True):
        found, = torch.autograd.grad(result.sum(), leaf, retain_graph=True)
        found = found.numpy()
        expect(np.isfinite(found),
               f"the gradient of the {name} is nan beside an illegal action: mend -inf before it is "
               "multiplied, not the nan afterwards")
        row = int(np.abs(found - right).max(1).argmax())
        at, given, wanted_there = (each[row].astype(float).round(3).tolist()
                                   for each in (logits, found, right))
        expect(np.allclose(found, right, 1e-3, 1e-4),
               f"for the logits {at} the gradient of the {name} is {given}, expected {wanted_there}: "
               "is a part of it detached?")


@register("log_probs", part="several")
def _(log_probs_and_entropy, rng, hidden):
    "with sizes, several choices in one row of logits: the sums over the choices"
    def case(agents, *sizes):
        actions = np.stack([rng.integers(0, size, agents) for size in sizes], 1)
        return rng.normal(size=(agents, sum(sizes))).astype(np.float32) * 2, actions, list(sizes)

    def by(combine):
        """As if the sums over the choices were something else."""
        def wrong(logits, actions, sizes):
            parts = np.split(logits, np.cumsum(sizes)[:-1], axis=1)
            found = [reference_log_probs(part, actions[:, i]) for i, part in enumerate(parts)]
            return tuple(combine([each[k] for each in found]) for k in (0, 1))
        return wrong

    def one_softmax(logits, actions, sizes):
        starts = np.cumsum([0, *sizes[:-1]])
        found = [reference_log_probs(logits, actions[:, i] + start) for i, start in enumerate(starts)]
        return sum(each[0] for each in found), found[0][1]

    cases = [case(1, 2, 3), case(6, 4, 4), case(20, 3, 2, 5)]
    if hidden:
        masked = case(30, 4, 6)
        masked[0][:, 1] = np.where(masked[1][:, 0] == 1, masked[0][:, 1], -np.inf)
        cases += [case(5, 3), case(3, 1, 4), case(7, 2, 2, 2, 2, 2), masked]
    same_values(two_results(log_probs_and_entropy), reference_log_probs, cases, **ROUGHLY, mistakes={
        "one softmax goes over all choices: each choice has a softmax of its own": one_softmax,
        "it looks at the first choice alone": by(lambda each: each[0]),
        "it looks at the last choice alone": by(lambda each: each[-1]),
        "it takes the mean over the choices: independent choices multiply, so their logarithms add up":
            by(lambda each: np.mean(each, axis=0)),
        "it multiplies the logarithms: the probabilities multiply, their logarithms add up":
            by(lambda each: np.prod(each, axis=0))})


# ---------------------------------------------------------------------- the clipped loss

def reference_ppo_loss(log_probs, old_log_probs, advantages, clip, alive=None):
    if alive is not None:
        log_probs, old_log_probs, advantages = log_probs[alive], old_log_probs[alive], advantages[alive]
    ratio = np.exp(log_probs - old_log_probs)
    return float(-np.minimum(ratio * advantages, ratio.clip(1 - clip, 1 + clip) * advantages).mean())


def by_ratio(value):
    """A wrong loss: minus the mean of `value(ratio, advantages, clip)`."""
    return lambda now, old, advantages, clip: float(-value(np.exp(now - old), advantages, clip).mean())


def clipped(ratio, clip):
    return ratio.clip(1 - clip, 1 + clip)


WRONG_LOSSES = {
    "the sign is wrong: a loss is what gets smaller, so it needs a minus":
        lambda *case: -reference_ppo_loss(*case),
    "it takes the maximum, expected the minimum: the more pessimistic of the two":
        by_ratio(lambda ratio, a, clip: np.maximum(ratio * a, clipped(ratio, clip) * a)),
    "it clips without the min: an action that has become improbable by accident is never pulled back":
        by_ratio(lambda ratio, a, clip: clipped(ratio, clip) * a),
    "it does not clip": by_ratio(lambda ratio, a, clip: ratio * a),
    "it clips at 0.2 whatever it is given: use `clip`": lambda now, old, a, clip:
        reference_ppo_loss(now, old, a, 0.2),
    "the ratio is upside down: it is the probability now over the probability then":
        lambda now, old, a, clip: reference_ppo_loss(old, now, a, clip),
    "the ratio is the difference of the log-probabilities: take exp of it":
        lambda now, old, a, clip: float(-np.minimum((now - old) * a, clipped(now - old, clip) * a).mean()),
    "it adds up: take the mean": lambda *case: reference_ppo_loss(*case) * len(case[0]),
    "it takes the minimum of the ratios, expected of their products with the advantages: for a bad "
    "action the two change places":
        by_ratio(lambda ratio, a, clip: np.minimum(ratio, clipped(ratio, clip)) * a),
    "it clips at 1 + clip alone: bad actions must be clipped at 1 - clip":
        by_ratio(lambda ratio, a, clip: np.minimum(ratio * a, ratio.clip(max=1 + clip) * a)),
    "it clips at 1 - clip alone: good actions must be clipped at 1 + clip":
        by_ratio(lambda ratio, a, clip: np.minimum(ratio * a, ratio.clip(min=1 - clip) * a)),
    "it normalises the advantages: use them as they are": lambda now, old, a, clip:
        reference_ppo_loss(now, old, (a - a.mean()) / (a.std(ddof=1) + 1e-8), clip),
}


def tensors(case):
    return tuple(torch.from_numpy(part) if isinstance(part, np.ndarray) else part for part in case)


def minibatch(rng, count, clip):
    """Random log-probabilities now and then, advantages, and the clip."""
    old = -rng.random(count).astype(np.float32) * 2
    change, advantages = rng.normal(0, 0.5, count), rng.normal(size=count)
    return old + change.astype(np.float32), old, advantages.astype(np.float32), clip


@register("ppo_loss")
def _(ppo_loss, rng, hidden):
    "values on random minibatches, for several clips"
    def answer(*case):
        return number(ppo_loss(*tensors(case)))

    cases = [minibatch(rng, count, clip) for count, clip in ((3, 0.2), (20, 0.1), (100, 0.3))]
    same_values(answer, reference_ppo_loss, cases, **ROUGHLY, mistakes=WRONG_LOSSES)
    now, old, advantages, clip = minibatch(rng, 30, float(rng.uniform(0.05, 0.5)))
    special = {"probabilities of exp(-200) are 0 in float32: subtract the logarithms first, then take exp":
                   (now - 200, old - 200, advantages, clip),
               "of one action the loss is its own": minibatch(rng, 1, 0.2),
               "an advantage of 0 costs nothing": (now, old, advantages * 0, clip),
               "where nothing has changed the ratio is 1": (old, old, advantages, clip)}
    if hidden:
        special |= {"it fails on float64": (*(each.astype(float) for each in (now, old, advantages)), 0.15),
                    "it fails with a clip of 0": (now, old, advantages, 0.0),
                    "it fails with a clip over 1": (now * 3, old, advantages, 1.5),
                    "it fails on a large minibatch": minibatch(rng, 5000, 0.1),
                    "it fails where all actions are bad": (now, old, -abs(advantages), clip)}
    edges(answer, reference_ppo_loss, special, **ROUGHLY)


@register("ppo_loss", part="gradient", live=True)
def _(ppo_loss, rng, hidden):
    "no gradient beyond the clip, full gradient where an action must be pulled back, for several clips"
    def gradient(log_probs, old, advantages, clip):
        given = torch.from_numpy(log_probs).requires_grad_()
        loss = ppo_loss(given, *tensors((old, advantages)), clip)
        expect(getattr(loss, "requires_grad", False),
               "there is no gradient: return a tensor, and leave out detach, no_grad and item")
        found, = torch.autograd.grad(loss.sum(), given, allow_unused=True)
        return np.zeros(len(log_probs)) if found is None else found.numpy()

    for clip in (0.2, float(rng.uniform(0.05, 0.15)), *((0.4,) if hidden else ())):
        high, low = np.log(np.float32([1 + 2 * clip])), np.log(np.float32([1 - 2 * clip]))
        zero, good = np.zeros(1, np.float32), np.ones(1, np.float32)
        expect(gradient(high, zero, good, clip) == 0 and gradient(low, zero, -good, clip) == 0,
               f"with clip={clip:.2g} there is a gradient beyond the clip: there must be none, the action "
               "has been pushed far enough")
        expect(gradient(low, zero, good, clip) < 0 and gradient(high, zero, -good, clip) > 0,
               f"with clip={clip:.2g}, on the other side of the clip the gradient must pull the action back: "
               "is the min there?")
        now, old, advantages, _ = minibatch(rng, 40, clip)
        ratio = np.exp(now - old)
        free = np.where(advantages > 0, ratio < 1 + clip, ratio > 1 - clip)
        right = -np.where(free, ratio * advantages, 0) / len(now)
        expect(np.allclose(gradient(now, old, advantages, clip), right, 1e-3, 1e-6),
               f"with clip={clip:.2g} the gradient is not that of the clipped loss, though values may be "
               "right: is a part of the ratio detached?")


@register("ppo_loss", part="alive")
def _(ppo_loss, rng, hidden):
    "with `alive`, the mean over the living; what stands in the other places counts nothing, nan included"
    def case(count, clip, padding):
        now, old, advantages, _ = minibatch(rng, count, clip)
        alive = rng.random(count) < 0.6
        alive[0], alive[-1] = True, False
        now[~alive], advantages[~alive] = padding, padding
        return now, old, advantages, clip, alive

    def answer(*case):
        return number(ppo_loss(*tensors(case)))

    cases = [case(4, 0.2, 0.5), case(30, 0.1, -3.0), case(80, float(rng.uniform(0.1, 0.4)), 1.0)]
    same_values(answer, reference_ppo_loss, cases, **ROUGHLY, mistakes={
        "it ignores `alive`, and the padding counts": lambda *case: reference_ppo_loss(*case[:4]),
        "it divides by all places, expected by the number of the living":
            lambda *case: reference_ppo_loss(*case) * float(case[4].mean()),
        "it keeps the dead and leaves out the living: turn the mask round":
            lambda *case: reference_ppo_loss(*case[:4], ~case[4])})
    special = {"what stands in the place of the dead may be nan, and 0 times nan is nan: pick the living "
               "instead of multiplying": case(20, 0.2, np.nan)}
    if hidden:
        now, old, advantages, clip, _ = case(12, 0.25, 0.0)
        only = np.arange(12) == 5
        special |= {"where everybody lives the mask changes nothing":
                        (now, old, advantages, clip, np.ones(12, bool)),
                    "of one living agent the loss is its own": (now, old, advantages, clip, only),
                    "what stands in the place of the dead may be infinite": case(50, 0.1, np.inf)}
    edges(answer, reference_ppo_loss, special, **ROUGHLY)
