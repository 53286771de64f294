"""Checks of level 3: policy gradient, sampling, log-probabilities, GAE, the clipped loss, segments."""

import numpy as np
import torch

import envs
from puffer_min.course.check import register
from puffer_min.course.claims import expect, faster, holds, learns, no_python, same_values

# ---------------------------------------------------------------------- policy gradient


def softmax(logits):
    powers = np.exp(logits - logits.max())
    return powers / powers.sum()


def reference_bandit_gradient(logits, actions, rewards):
    weights = rewards - rewards.mean()
    return (weights[:, None] * (np.eye(len(logits))[actions] - softmax(logits))).mean(0)


def without_baseline(logits, actions, rewards):
    return (rewards[:, None] * (np.eye(len(logits))[actions] - softmax(logits))).mean(0)


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


@register("bandit_gradient")
def _(bandit_gradient, rng):
    ("values on random pulls; the same for rewards shifted by a constant; it finds the best arm, whichever "
     "it is")
    def pulls(n):
        return rng.normal(size=4), rng.integers(0, 4, n), rng.random(n).round(2)

    cases = [pulls(n) for n in (5, 16, 64)]
    same_values(bandit_gradient, reference_bandit_gradient, cases, mistakes={
        "it uses the rewards as they are: subtract their mean, the baseline": without_baseline,
        "it pushes every pulled arm up and nothing down: the gradient of log p is one_hot - p, and the "
        "rewards need a baseline": only_upwards,
        "it is the gradient of p, expected that of log p: do not multiply by the probability of the arm":
            of_the_probability,
        "it has the wrong sign: rewarded arms must become more probable":
            lambda *case: -reference_bandit_gradient(*case),
        "it adds the pulls up: take their mean":
            lambda *case: reference_bandit_gradient(*case) * len(case[1])})
    holds(lambda logits, actions, rewards: np.allclose(bandit_gradient(logits, actions, rewards + 3),
                                                       bandit_gradient(logits, actions, rewards)),
          cases,
          "a constant added to all rewards must change nothing: is the baseline the mean of these rewards?")
    learns(lambda seed: bandit_return(bandit_gradient, seed), 0.8, seeds=(1, 2, 3, 4), enough=4)


# ---------------------------------------------------------------------- sampling

def walk(probabilities, uniform):
    """The reference of a sampler, agent by agent."""
    actions = np.zeros(len(uniform), np.int64)
    for agent, (row, r) in enumerate(zip(probabilities, uniform, strict=True)):
        running, total = 0.0, float(row.sum(dtype=np.float64))
        for action, probability in enumerate(row):
            running += float(probability)
            if r * total < running:
                actions[agent] = action
                break
    return actions


def random_probabilities(rng, agents, actions):
    powers = rng.random((agents, actions)) + 0.05
    return powers / powers.sum(1, keepdims=True)


@register("draw_actions", live=True)
def _(draw_actions, rng):
    ("values on random probabilities; valid and possible actions where rounding opens a gap; no Python loop "
     "over the agents")
    cases = [(random_probabilities(rng, agents, actions), rng.random(agents))
             for agents, actions in ((1, 2), (6, 4), (200, 7), (50, 50))]
    same_values(draw_actions, walk, cases, mistakes={
        "it always takes the most probable action: that is no draw": lambda p, r: p.argmax(1),
        "it counts the sums above r, expected those that r has passed":
            lambda p, r: (np.cumsum(p, 1) > r[:, None]).sum(1),
        "it is one action too far": lambda p, r: walk(p, r) + 1,
        "it compares r with the probabilities, expected with their running sum":
            lambda p, r: (p <= r[:, None]).sum(1),
        "it adds up over the agents: each agent has a running sum of its own":
            lambda p, r: (np.cumsum(p, 0) <= r[:, None]).sum(1)})
    below_one = np.array([np.nextafter(1, 0)])
    tenths = np.full((1, 10), 0.1)
    expect(draw_actions(tenths, below_one) == 9,
           "ten times 0.1 adds up to a hair below 1, and a draw in the gap gives an action that does not "
           "exist: scale r by the sum of the row")
    gap = np.concatenate([tenths, np.zeros((1, 1))], 1)
    expect(draw_actions(gap, below_one) == 9,
           "a draw in the gap below 1 gives the last action although its probability is 0: scale r by the "
           "sum of the row instead of cutting the result off")
    probabilities, uniform = random_probabilities(rng, 2000, 4), rng.random(2000)
    faster(lambda: draw_actions(probabilities, uniform), lambda: walk(probabilities, uniform), 12,
           advice="is there a Python loop over the agents?")


# ---------------------------------------------------------------------- log-probabilities

def reference_log_probs(logits, actions):
    logits = logits.astype(np.float64)
    with np.errstate(divide="ignore", invalid="ignore"):
        log_p = logits - logits.max(1, keepdims=True)
        log_p = log_p - np.log(np.exp(log_p).sum(1, keepdims=True))
        entropy = -np.where(np.isfinite(log_p), np.exp(log_p) * log_p, 0).sum(1)
    return log_p[np.arange(len(actions)), actions].astype(np.float32), entropy.astype(np.float32)


@register("log_probs", live=True)
def _(log_probs_and_entropy, rng):
    "values, also of sure policies; illegal actions; gradients that are there and finite"
    def answer(logits, actions):
        found = log_probs_and_entropy(torch.from_numpy(logits), torch.from_numpy(actions))
        expect(isinstance(found, tuple) and len(found) == 2,
               "it must return two tensors: the log-probabilities and the entropies")
        return tuple(part.detach().numpy() for part in found)

    def twice(logits, actions):
        powers = np.exp(logits - logits.max(1, keepdims=True))
        return reference_log_probs(powers / powers.sum(1, keepdims=True), actions)

    def negated(logits, actions):
        log_probs, entropy = reference_log_probs(logits, actions)
        return log_probs, -entropy

    cases = [(rng.normal(size=shape).astype(np.float32) * scale, rng.integers(0, shape[1], shape[0]))
             for shape, scale in (((1, 2), 1), ((5, 3), 2), ((40, 6), 3))]
    same_values(answer, reference_log_probs, cases, rtol=1e-4, atol=1e-5, mistakes={
        "it normalises what is normalised already: log_softmax of the logits, not of the probabilities":
            twice,
        "the entropy has the wrong sign: it is -sum(p log p), never negative": negated})
    sure = (np.array([[40, 0, -40]], np.float32), np.array([2]))
    same_values(answer, reference_log_probs, [sure], rtol=1e-4, atol=1e-5, mistakes={
        "the log-probability of a rare action is lost to rounding: take log_softmax, not the logarithm of "
        "the softmax":
            lambda logits, actions: (np.log(np.exp(reference_log_probs(logits, actions)[0]) + 1e-8),
                                     reference_log_probs(logits, actions)[1])})
    illegal = np.array([[0.5, -0.5, -np.inf], [-np.inf, 1.0, -np.inf]], np.float32)
    found = answer(illegal, np.array([0, 1]))
    expect(np.isfinite(found[1]),
           "the entropy of a policy with an illegal action is nan: 0 * -inf, where the limit of p log p is 0")
    same_values(answer, reference_log_probs, [(illegal, np.array([0, 1]))], rtol=1e-4, atol=1e-5)
    legal = rng.normal(size=(3, 3)).astype(np.float32)
    logits = torch.from_numpy(np.concatenate([illegal, legal])).requires_grad_()
    log_probs, entropy = log_probs_and_entropy(logits, torch.tensor([0, 1, 2, 0, 1]))
    expect(log_probs.requires_grad and entropy.requires_grad,
           "it cuts the gradient off, and nothing can be learnt: leave out no_grad, detach and item")
    (log_probs.sum() + entropy.sum()).backward()
    expect(np.isfinite(logits.grad.numpy()),
           "the value is right but its gradient is nan: mend -inf before it is multiplied, not the nan "
           "afterwards")


# ---------------------------------------------------------------------- GAE

def reference_gae(rewards, values, ends, next_values, advantages, gamma, gae_lambda):
    rewards, values = rewards.astype(np.float64), values.astype(np.float64)
    running, after = np.zeros(len(rewards)), next_values.astype(np.float64)
    for t in reversed(range(rewards.shape[1])):
        goes_on = 1 - ends[:, t].astype(np.float64)
        delta = rewards[:, t] + gamma * after * goes_on - values[:, t]
        running = delta + gamma * gae_lambda * goes_on * running
        advantages[:, t] = running
        after = values[:, t]


def slow_gae(rewards, values, ends, next_values, advantages, gamma, gae_lambda):
    """The baseline of the speed claim: number by number."""
    for row in range(rewards.shape[0]):
        running, after = 0, next_values[row]
        for t in range(rewards.shape[1] - 1, -1, -1):
            goes_on = 1 - ends[row, t]
            delta = rewards[row, t] + gamma * after * goes_on - values[row, t]
            running = delta + gamma * gae_lambda * goes_on * running
            advantages[row, t] = running
            after = values[row, t]


def wrong_gae(*, gamma_counts=True, value_stops=True, sum_stops=True, bootstraps=True, shift=False):
    """GAE with one thing left out, to recognise the mistake by its numbers."""
    def gae(rewards, values, ends, next_values, advantages, gamma, gae_lambda):
        gamma, horizon = gamma if gamma_counts else 1.0, rewards.shape[1]
        running, after = np.zeros(len(rewards)), next_values * bootstraps
        for t in reversed(range(horizon)):
            goes_on = 1.0 - ends[:, t]
            later = values[:, t] if shift else after
            running = (rewards[:, t] + gamma * later * (goes_on if value_stops else 1) - values[:, t]
                       + gamma * gae_lambda * (goes_on if sum_stops else 1) * running)
            advantages[:, t] = running
            after = values[:, t]
    return gae


def gae_without_restart(rewards, values, ends, next_values, advantages, gamma, gae_lambda):
    """The running sum of a row goes on in the next one."""
    running = 0.0
    for row in range(len(rewards)):
        after = next_values[row]
        for t in reversed(range(rewards.shape[1])):
            goes_on = 1.0 - ends[row, t]
            delta = rewards[row, t] + gamma * after * goes_on - values[row, t]
            running = delta + gamma * gae_lambda * goes_on * running
            advantages[row, t] = running
            after = values[row, t]


def random_rows(rng, rows, horizon):
    rewards, values = (rng.normal(size=(rows, horizon)).astype(np.float32) for _ in range(2))
    ends = (rng.random((rows, horizon)) < 0.2).astype(np.uint8)
    next_values, advantages = rng.normal(size=rows).astype(np.float32), np.zeros((rows, horizon), np.float32)
    return rewards, values, ends, next_values, advantages, 0.9, 0.7


@register("gae", live=True)
def _(gae, rng):
    ("values on random rows; nothing flows back over the end of an episode; no Python in the loop; at least "
     "300 times as fast as the plain loop")
    cases = [random_rows(rng, rows, horizon) for rows, horizon in ((1, 1), (1, 6), (3, 5), (7, 33))]
    same_values(gae, reference_gae, cases, rtol=1e-3, atol=1e-4, changes_arguments=True, mistakes={
        "the advantages are left as they were: write into them": lambda *case: None,
        "it forgets gamma": wrong_gae(gamma_counts=False),
        "it ignores the ends of episodes": wrong_gae(value_stops=False, sum_stops=False),
        "the end of an episode cuts the value off but not the running sum": wrong_gae(sum_stops=False),
        "the end of an episode cuts the running sum off but not the value": wrong_gae(value_stops=False),
        "it takes nothing to come after the last step: start from next_values": wrong_gae(bootstraps=False),
        "it is off by one: what comes after step t is the value of step t + 1": wrong_gae(shift=True),
        "the running sum of one row goes on in the next: set it to 0 for each row": gae_without_restart})
    no_python(gae)
    large = random_rows(rng, 64, 32)
    faster(lambda: gae(*large), lambda: slow_gae(*large), 300)


# ---------------------------------------------------------------------- the clipped loss

def reference_ppo_loss(log_probs, old_log_probs, advantages, clip):
    ratio = np.exp(log_probs - old_log_probs)
    return np.float32(-np.minimum(ratio * advantages, ratio.clip(1 - clip, 1 + clip) * advantages).mean())


@register("ppo_loss", live=True)
def _(ppo_loss, rng):
    ("values on random minibatches; no gradient beyond the clip, full gradient where an action must be "
     "pulled back")
    def answer(*case):
        return ppo_loss(*(torch.from_numpy(part) if isinstance(part, np.ndarray) else part
                          for part in case)).detach().numpy()

    def minibatch(n):
        old = -rng.random(n).astype(np.float32) * 2
        return old + rng.normal(0, 0.5, n).astype(np.float32), old, rng.normal(size=n).astype(np.float32), 0.2

    def ratio_of(case):
        return np.exp(case[0] - case[1])

    same_values(answer, reference_ppo_loss, [minibatch(n) for n in (3, 20, 100)], rtol=1e-4, atol=1e-5,
                mistakes={
        "the sign is wrong: a loss is what gets smaller, so it needs a minus":
            lambda *case: -reference_ppo_loss(*case),
        "it takes the maximum, expected the minimum: the more pessimistic of the two":
            lambda *case: np.float32(
            -np.maximum(ratio_of(case) * case[2],
                        ratio_of(case).clip(1 - case[3], 1 + case[3]) * case[2]).mean()),
        "it clips without the min: an action that has become improbable by accident is never pulled back":
            lambda *case: np.float32(
            -(ratio_of(case).clip(1 - case[3], 1 + case[3]) * case[2]).mean()),
        "it does not clip": lambda *case: np.float32(-(ratio_of(case) * case[2]).mean()),
        "the ratio is upside down: it is the probability now over the probability then":
            lambda now, old, advantages, clip:
            reference_ppo_loss(old, now, advantages, clip),
        "the ratio is the difference of the log-probabilities: take exp of it":
            lambda now, old, advantages, clip: np.float32(
            -np.minimum((now - old) * advantages, (now - old).clip(1 - clip, 1 + clip) * advantages).mean()),
        "it adds up: take the mean": lambda *case: reference_ppo_loss(*case) * len(case[0]),
        "it takes the minimum of the ratios, expected of their products with the advantages: for a bad "
        "action the two change places": lambda *case:
            np.float32(-(np.minimum(ratio_of(case),
                                    ratio_of(case).clip(1 - case[3], 1 + case[3])) * case[2]).mean()),
        "it clips at 1 + clip alone: bad actions must be clipped at 1 - clip": lambda *case: np.float32(
            -np.minimum(ratio_of(case) * case[2], ratio_of(case).clip(max=1 + case[3]) * case[2]).mean())})

    def gradient(ratio, advantage):
        log_probs = torch.log(torch.tensor([ratio])).requires_grad_()
        loss = ppo_loss(log_probs, torch.zeros(1), torch.tensor([advantage]), 0.2)
        expect(loss.requires_grad, "there is no gradient: the ratio must not be detached")
        return 0.0 if loss.grad_fn is None else float(torch.autograd.grad(loss, log_probs,
                                                                          allow_unused=True)[0] or 0)

    expect(gradient(1.5, 1.0) == 0 and gradient(0.5, -1.0) == 0, "beyond the clip there must be no gradient")
    expect(gradient(0.5, 1.0) < 0 and gradient(1.5, -1.0) > 0,
           "on the other side of the clip the gradient must pull the action back: is the min there?")


# ---------------------------------------------------------------------- rows of experience

def reference_steps_until_full(alive, segments, horizon):
    """Steps until `segments` rows are full, or -1 if `alive` (steps, agents) runs out before."""
    column, full = np.zeros(alive.shape[1], np.int64), 0
    for step, living in enumerate(alive, 1):
        column[living] += 1
        full += int((column == horizon).sum())
        column[column == horizon] = 0
        if full >= segments:
            return step
    return -1


def by_rows_handed_out(alive, segments, horizon):
    column, handed_out = np.zeros(alive.shape[1], np.int64), alive.shape[1]
    for step, living in enumerate(alive, 1):
        column[living] += 1
        handed_out += int((column == horizon).sum())
        column[column == horizon] = 0
        if handed_out >= segments:
            return step
    return -1


def by_samples(alive, segments, horizon):
    enough = np.flatnonzero(alive.sum(1).cumsum() >= segments * horizon)
    return int(enough[0]) + 1 if len(enough) else -1


def forgetting_the_dead(alive, segments, horizon):
    """A death empties the row."""
    column, full = np.zeros(alive.shape[1], np.int64), 0
    for step, living in enumerate(alive, 1):
        column = np.where(living, column + 1, 0)
        full += int((column == horizon).sum())
        column[column == horizon] = 0
        if full >= segments:
            return step
    return -1


def one_row_each(alive, segments, horizon):
    """Nobody takes a fresh row."""
    for step in range(1, len(alive) + 1):
        if (alive[:step].sum(0) >= horizon).sum() >= segments:
            return step
    return -1


def as_if_immortal(alive, segments, horizon):
    return reference_steps_until_full(np.ones_like(alive), segments, horizon)


@register("segments")
def _(steps_until_full, rng):
    "values with and without deaths; as many rows as agents; games that end before the buffer is full"
    def game(steps, agents, share, segments, horizon):
        return rng.random((steps, agents)) < share, segments, horizon

    cases = [game(60, 4, 1.1, 4, 8), game(60, 4, 1.1, 8, 8), game(80, 5, 0.6, 9, 4), game(80, 3, 0.5, 7, 5),
             game(6, 4, 1.1, 4, 8), game(90, 7, 0.8, 40, 6)]
    same_values(steps_until_full, reference_steps_until_full, cases, mistakes={
        "it counts the rows handed out, and every agent owns one before the first step: count the rows that "
        "are full": by_rows_handed_out,
        "it pools the samples of all agents: a row belongs to one agent and is full when that agent has "
        "filled it": by_samples,
        "it lets the dead play on: an agent that is not alive writes nothing": as_if_immortal,
        "a death empties the row, expected that it only waits: what was written stays": forgetting_the_dead,
        "an agent that has filled its row must take a fresh one": one_row_each,
        "it wants one row more than it was asked for":
            lambda alive, segments, horizon: reference_steps_until_full(alive, segments + 1, horizon),
        "it is off by one: after the first step the answer is 1":
            lambda *case: max(-1, reference_steps_until_full(*case) - 1)})
