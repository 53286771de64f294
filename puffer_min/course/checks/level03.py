"""Checks of level 3: policy gradient and sampling."""

import numpy as np

import envs
from puffer_min.course.check import register
from puffer_min.course.checks.forms import edges, numbers, whole_numbers
from puffer_min.course.claims import expect, faster, holds, learns, same_values

# ---------------------------------------------------------------------- policy gradient


def softmax(logits):
    powers = np.exp(logits - logits.max())
    return powers / powers.sum()


def reference_bandit_gradient(logits, actions, rewards, baseline=None):
    weights = rewards - (rewards.mean() if baseline is None else baseline)
    return (weights[:, None] * (np.eye(len(logits))[actions] - softmax(logits))).mean(0)


def without_baseline(logits, actions, rewards):
    return reference_bandit_gradient(logits, actions, rewards, 0.0)


def only_upwards(logits, actions, rewards):
    return (rewards[:, None] * np.eye(len(logits))[actions]).mean(0)


def of_the_probability(logits, actions, rewards):
    p = softmax(logits)
    weights = (rewards - rewards.mean()) * p[actions]
    return (weights[:, None] * (np.eye(len(logits))[actions] - p)).mean(0)


def bandit_return(gradient, seed):
    """Share of pulls of the best arm after 150 updates on a bandit whose best arm depends on the seed."""
    env, rng = envs.make("bandit", num_envs=64, best=seed % 4, seed=seed), np.random.default_rng(seed)
    env.reset(seed=seed)
    logits = np.zeros(4)
    for _ in range(150):
        actions = rng.choice(4, 64, p=softmax(logits)).astype(np.int32)
        env.step(actions)
        logits = logits + gradient(logits.copy(), actions.astype(np.int64), env.rewards.astype(np.float64))
        expect(np.isfinite(logits).all(), "it gives numbers that are not finite")
    env.close()
    return softmax(logits)[seed % 4]


def pulls(rng, arms, count, scale=1.0):
    """Random logits, actions and rewards."""
    return rng.normal(size=arms) * scale, rng.integers(0, arms, count), rng.random(count).round(2)


@register("bandit_gradient")
def _(bandit_gradient, rng, hidden):
    ("values on random pulls of several numbers of arms; the same for rewards shifted by a constant; it "
     "finds the best arm, whichever it is")
    def answer(*case):
        return numbers(bandit_gradient(*case), len(case[0]))

    cases = [pulls(rng, arms, count) for arms, count in ((4, 5), (2, 16), (7, 64))]
    same_values(answer, reference_bandit_gradient, cases, mistakes={
        "it uses the rewards as they are: subtract their mean, the baseline": without_baseline,
        "it pushes every pulled arm up and nothing down: the gradient of log p is one_hot - p, and the "
        "rewards need a baseline": only_upwards,
        "it is the gradient of p, expected that of log p: do not multiply by the probability of the arm":
            of_the_probability,
        "it has the wrong sign: rewarded arms must become more probable":
            lambda *case: -reference_bandit_gradient(*case),
        "it adds the pulls up: take their mean":
            lambda *case: reference_bandit_gradient(*case) * len(case[1]),
        "it divides by the number of arms: take the mean over the pulls": lambda *case:
            reference_bandit_gradient(*case) * len(case[1]) / len(case[0])})
    holds(lambda logits, actions, rewards: np.allclose(answer(logits, actions, rewards + 3),
                                                       answer(logits, actions, rewards)),
          cases,
          "a constant added to all rewards must change nothing: is the baseline the mean of these rewards?")
    special = {
        "logits of a thousand overflow: subtract the largest before exp": pulls(rng, 3, 9, scale=1000.0),
        "of a single pull the mean reward is its own, so the gradient is 0": pulls(rng, 4, 1),
        "it fails on negative rewards": (np.zeros(3), rng.integers(0, 3, 8), -rng.random(8))}
    if hidden:
        special |= {"it fails on rewards of a whole-number type":
                        (rng.normal(size=5), rng.integers(0, 5, 30), rng.integers(-4, 5, 30)),
                    "it fails on float32 and int32":
                        (rng.normal(size=4).astype(np.float32), rng.integers(0, 4, 20).astype(np.int32),
                         rng.random(20).astype(np.float32)),
                    "it fails where one arm is pulled alone":
                        (rng.normal(size=6), np.full(12, 5), rng.random(12)),
                    "it fails on many arms": pulls(rng, 60, 500)}
    edges(answer, reference_bandit_gradient, special)
    learns(lambda seed: bandit_return(answer, seed), 0.8, seeds=(1, 2, 3, 4), enough=4)


@register("bandit_gradient", part="baseline")
def _(bandit_gradient, rng, hidden):
    "with a baseline of its own, a number or one for each pull: what it pushes down depends on p"
    def answer(*case):
        return numbers(bandit_gradient(*case), len(case[0]))

    def weighted(push):
        return lambda logits, actions, rewards, baseline: (
            (rewards - baseline)[:, None] * push(logits, np.eye(len(logits))[actions])).mean(0)

    cases = [(*pulls(rng, 4, 9), 0.4), (*pulls(rng, 3, 30), rng.random(30)), (*pulls(rng, 6, 50), -2.0)]
    same_values(answer, reference_bandit_gradient, cases, mistakes={
        "it ignores the baseline it is given, and takes the mean of the rewards":
            lambda *case: reference_bandit_gradient(*case[:3]),
        "it pushes the pulled arm up and nothing down: with this baseline the - p does not cancel":
            weighted(lambda logits, hot: hot),
        "it subtracts the logits, expected their softmax p": weighted(lambda logits, hot: hot - logits),
        "it takes exp of the logits for p: divide by their sum":
            weighted(lambda logits, hot: hot - np.exp(logits)),
        "it takes the same probability for all arms: p is the softmax of the logits":
            weighted(lambda logits, hot: hot - 1 / len(logits)),
        "it subtracts the mean of the rewards as well: the baseline takes its place": lambda *case:
            reference_bandit_gradient(case[0], case[1], case[2] - case[2].mean(), case[3])})
    special = {"a baseline of 0 is a baseline, and not a missing one": (*pulls(rng, 4, 12), 0.0),
               "logits of a thousand overflow: subtract the largest before exp":
                   (*pulls(rng, 3, 9, scale=1000.0), 0.5)}
    if hidden:
        special |= {"a baseline of 0 for each pull is a baseline": (*pulls(rng, 5, 12), np.zeros(12)),
                    "it fails on a single pull": (*pulls(rng, 5, 1), 0.25),
                    "it fails on a whole number as baseline": (*pulls(rng, 2, 40), 1)}
    edges(answer, reference_bandit_gradient, special)


# ---------------------------------------------------------------------- sampling

def walk(probabilities, uniform, legal=None):
    """The reference of a sampler, agent by agent."""
    probabilities = probabilities if legal is None else np.where(legal, probabilities, 0)
    actions = np.zeros(len(uniform), np.int64)
    for agent, (row, r) in enumerate(zip(probabilities, uniform, strict=True)):
        running, total = 0.0, float(np.cumsum(row, dtype=np.float64)[-1])
        for action, probability in enumerate(row):
            running += float(probability)
            if r * total < running:
                actions[agent] = action
                break
    return actions


def random_probabilities(rng, agents, actions):
    powers = rng.random((agents, actions)) + 0.05
    return powers / powers.sum(1, keepdims=True)


def inside(rng, probabilities, legal=None):
    """Numbers (agents,) that lie well inside the share of one action each: no rounding moves them out."""
    shares = probabilities.astype(float) if legal is None else np.where(legal, probabilities, 0.0)
    shares = shares / shares.sum(1, keepdims=True)
    drawn = np.array([rng.choice(len(row), p=row) for row in shares], int)
    below = np.cumsum(shares, 1) - shares
    rows = np.arange(len(shares))
    return below[rows, drawn] + rng.uniform(0.1, 0.9, len(shares)) * shares[rows, drawn]


def drawn(answer):
    """The answer, whose actions must be whole numbers, one for each agent."""
    return lambda probabilities, uniform, *legal: whole_numbers(answer(probabilities, uniform, *legal),
                                                                len(uniform))


NEXT_BELOW_1 = np.array([np.nextafter(1, 0)])
TENTHS = np.full((1, 10), 0.1)
SURE, SECOND = np.array([[1.0]]), np.array([[0.0, 1.0]])


@register("draw_actions")
def _(draw_actions, rng, hidden):
    "values on random probabilities; valid and possible actions at 0, at the joints and in the gap below 1"
    cases = [(random_probabilities(rng, agents, actions), rng.random(agents))
             for agents, actions in ((1, 2), (6, 4), (200, 7), (50, 50))]
    same_values(drawn(draw_actions), walk, cases, mistakes={
        "it always takes the most probable action: that is no draw": lambda p, r: p.argmax(1),
        "it counts the sums above r, expected those that r has passed":
            lambda p, r: (np.cumsum(p, 1) > r[:, None]).sum(1),
        "it is one action too far": lambda p, r: walk(p, r) + 1,
        "it compares r with the probabilities, expected with their running sum":
            lambda p, r: (p <= r[:, None]).sum(1),
        "it adds up over the agents: each agent has a running sum of its own":
            lambda p, r: (np.cumsum(p, 0) <= r[:, None]).sum(1)})
    half = np.array([[0.5, 0.0, 0.5], [0.5, 0.5, 0.0]])
    special = {
        "the number 0 draws an action whose probability is 0: a running sum of 0 has not passed 0":
            (SECOND, np.zeros(1)),
        "a number that equals a running sum belongs to the next possible action: the sum must pass it":
            (half, np.array([0.5, 0.5])),
        "ten times 0.1 adds up to a hair below 1, and a draw in the gap gives an action that does not "
        "exist: scale r by the sum of the row": (TENTHS, NEXT_BELOW_1),
        "a draw in the gap below 1 gives the last action although its probability is 0: scale r by the "
        "sum of the row instead of cutting the result off":
            (np.concatenate([TENTHS, np.zeros((1, 1))], 1), NEXT_BELOW_1),
        "of one action there is only one to draw": (SURE, np.array([0.7]))}
    if hidden:
        single = random_probabilities(rng, 300, 9).astype(np.float32)
        zeros = random_probabilities(rng, 60, 8) * (rng.random((60, 8)) < 0.4) + SECOND.repeat(4, 1) / 100
        zeros /= zeros.sum(1, keepdims=True)
        special |= {"it fails on probabilities in float32": (single, inside(rng, single)),
                    "it fails where many actions have the probability 0": (zeros, inside(rng, zeros)),
                    "the number 0 must draw the first possible action": (zeros, np.zeros(60)),
                    "it fails without an agent": (np.zeros((0, 4)), np.zeros(0)),
                    "it fails on a view of a larger array": (zeros[::2], inside(rng, zeros[::2])),
                    "the gap below 1 is missed for another number of actions":
                        (np.full((3, 49), 1 / 49), np.repeat(NEXT_BELOW_1, 3))}
    edges(drawn(draw_actions), walk, special)


@register("draw_actions", part="legal")
def _(draw_actions, rng, hidden):
    "illegal actions are never drawn, and the others keep their proportions"
    def case(agents, actions):
        probabilities, legal = random_probabilities(rng, agents, actions), rng.random((agents, actions)) < 0.6
        legal[np.arange(agents), rng.integers(actions, size=agents)] = True
        return probabilities, inside(rng, probabilities, legal), legal

    def unscaled(p, r, legal):
        return (np.cumsum(np.where(legal, p, 0), 1) <= r[:, None]).sum(1)

    cases = [case(1, 3), case(40, 4), case(100, 9)]
    same_values(drawn(draw_actions), walk, cases, mistakes={
        "it draws illegal actions": lambda p, r, legal: walk(p, r),
        "the legal probabilities no longer add up to 1, and r runs past the last of them: scale it by their "
        "sum": unscaled,
        "where the legal probabilities no longer reach r it takes the last action: scale r by their sum":
            lambda p, r, legal: unscaled(p, r, legal).clip(max=p.shape[1] - 1),
        "it draws the illegal actions alone: turn the mask round": lambda p, r, legal: walk(p, r, ~legal),
        "it gives all legal actions the same probability": lambda p, r, legal: walk(legal / 1.0, r)})
    special = {"a row with one legal action has no choice":
                   (random_probabilities(rng, 3, 3), rng.random(3), np.eye(3, dtype=bool)),
               "the number 0 draws an illegal action": (TENTHS, np.zeros(1), np.arange(10)[None] > 3),
               "the number just below 1 draws an illegal action":
                   (TENTHS, NEXT_BELOW_1, np.arange(10)[None] < 7)}
    if hidden:
        free = random_probabilities(rng, 50, 6)
        rare = np.where(np.arange(6) == 2, 1e-12, free)
        special |= {"where everything is legal the mask changes nothing":
                        (free, inside(rng, free), np.ones((50, 6), bool)),
                    "a legal action of a tiny probability is the only one left":
                        (rare, rng.random(50), np.arange(6)[None].repeat(50, 0) == 2)}
    edges(drawn(draw_actions), walk, special)


@register("draw_actions", part="speed", live=True)
def _(draw_actions, rng):
    "no Python loop over the agents"
    probabilities, uniform = random_probabilities(rng, 2000, 4), rng.random(2000)
    faster(lambda: draw_actions(probabilities, uniform), lambda: walk(probabilities, uniform), 12,
           advice="is there a Python loop over the agents?")
