"""Checks of level 8, what is asked of every environment: rates with resets, and what to look at on the first
day. The hidden tests draw other sizes, bounds, dtypes and edge cases.
"""

import numpy as np
from gymnasium.spaces import Box, Discrete

from puffer_min.course.check import register
from puffer_min.course.claims import expect, same_values

# ---------------------------------------------------------------------- rates

def reference_rates(step_seconds, reset_seconds, frame_skip):
    total = step_seconds.sum() + reset_seconds.sum()
    rate = len(step_seconds) / total
    return rate, rate * frame_skip, reset_seconds.sum() / total


def rates_without_resets(steps, resets, skip):
    rate = len(steps) / steps.sum()
    return rate, rate * skip, reference_rates(steps, resets, skip)[2]


def wrong_rates(change):
    return lambda *case: change(case, *reference_rates(*case))


RATE_MISTAKES = {
    "it leaves the resets out of the time: a learner waits for them as well": rates_without_resets,
    "its frames/s leave the resets out: they are steps/s times the frame skip, of the same clock":
        lambda *case: (reference_rates(*case)[0], rates_without_resets(*case)[1], reference_rates(*case)[2]),
    "it takes the mean of 1 / step time: steps/s is all steps over all seconds":
        wrong_rates(lambda case, rate, frames, share: ((1 / case[0]).mean(), (1 / case[0]).mean() * case[2],
                                                       share)),
    "it counts a reset as a step":
        wrong_rates(lambda case, rate, frames, share: (rate * (len(case[0]) + len(case[1])) / len(case[0]),
                                                       frames * (len(case[0]) + len(case[1])) / len(case[0]),
                                                       share)),
    "frames a second are steps a second times the frame skip: several frames are one step":
        wrong_rates(lambda case, rate, frames, share: (rate, rate / case[2], share)),
    "its frame skip is always 4: take the one that is given":
        wrong_rates(lambda case, rate, frames, share: (rate, 4 * rate, share)),
    "the share is of all the time, not of the time of the steps":
        wrong_rates(lambda case, rate, frames, share: (rate, frames, case[1].sum() / case[0].sum())),
    "its share is that of the steps: it is asked how much of the time the resets took":
        wrong_rates(lambda case, rate, frames, share: (rate, frames, 1 - share)),
    "it leaves the first step out: all of the steps and of the time belong to the run":
        lambda steps, resets, skip: reference_rates(steps[1:] if len(steps) > 1 else steps, resets, skip),
    "it takes the mean of the resets, and a run may have none": lambda steps, resets, skip:
        reference_rates(steps, resets, skip) if len(resets) else (np.nan,) * 3,
    "it gives seconds for a step: the rate is steps for a second":
        wrong_rates(lambda case, rate, frames, share: (1 / rate, 1 / frames, share)),
    "it counts resets instead of their seconds":
        wrong_rates(lambda case, rate, frames, share: (rate, frames,
                                                       len(case[1]) / (len(case[0]) + len(case[1]))))}


def timings(rng, steps, resets, skip):
    return rng.exponential(2e-3, steps), rng.exponential(rng.choice([1e-3, 0.2]), resets), skip


@register("rates")
def _(rates, rng, hidden):
    "steps and frames a second with the resets in them, and the share of the resets, for random timings"
    cases = [timings(rng, 200, int(rng.integers(1, 9)), int(rng.choice([1, 4, 8]))) for _ in range(12)]
    if hidden:                                          # more resets than steps; a slow machine, a fast one
        cases += [timings(rng, int(rng.integers(2, 3000)), int(rng.integers(1, 60)), skip)
                  for skip in (1, 2, 3, 5, 16)]
        cases += [timings(rng, 7, 40, 2), (rng.uniform(30, 90, 12), rng.uniform(100, 200, 3), 4),
                  (rng.uniform(1e-8, 3e-8, 500), np.array([2e-4]), 4)]
    same_values(rates, reference_rates, cases, rtol=1e-9, mistakes=RATE_MISTAKES)


@register("rates", part="edges")
def _(rates, rng, hidden):
    "a run without a reset, of one step, of whole seconds"
    cases = [(np.full(5, 1e-3), np.zeros(0), 4), (np.array([0.02]), np.array([0.5]), 4),
             (np.array([1, 2, 1]), np.array([6]), 1)]
    if hidden:
        cases += [(rng.exponential(2e-3, 30).astype(np.float32), np.zeros(0, np.float32), 2),
                  (rng.exponential(2e-3, 30).astype(np.float32), rng.exponential(0.2, 4).astype(np.float32),
                   8), (np.array([0.25]), np.zeros(0), 1), (rng.exponential(2e-3, 9), np.zeros(3), 4)]
    same_values(rates, reference_rates, cases, mistakes=RATE_MISTAKES)


# ---------------------------------------------------------------------- the first day

class Pretend:
    """A batch of short episodes of random numbers, with faults by chance.

    kind    "constants": number 0 is the seat of each agent, number 1 another one after the reset, number 2
            another one for the last agent in the end (`steps`); "zeros": empty rows in the middle of
            episodes, and first ones that hold one number; "bounds": numbers that lie on a bound; else ""
    """

    def __init__(self, rng, num_agents=6, numbers=7, kind="", low=-1.0, high=1.0, dtype=np.float32, actions=3,
                 steps=40):
        self.rng, self.num_agents, self.numbers, self.kind, self.steps = rng, num_agents, numbers, kind, steps
        self.single_observation_space = Box(np.broadcast_to(low, numbers).astype(dtype),
                                            np.broadcast_to(high, numbers).astype(dtype), dtype=dtype)
        self.single_action_space = Discrete(actions)
        self.fixed = np.flatnonzero(rng.random(numbers) < 0.3)
        self.loud = rng.random() < 0.5
        self.empty_reset, self.empty_later = rng.random(2) < 0.5 if not kind else (False, False)
        self.length = int(rng.integers(3, 9))
        self.observations = np.zeros((num_agents, numbers), dtype)
        self.terminals, self.truncations = np.zeros((2, num_agents), bool)
        self.rewards, self.seen, self.resets, self.actions = np.zeros(num_agents, np.float32), [], 0, set()

    def look(self, fresh, empty):
        space, shape = self.single_observation_space, self.observations.shape
        if self.observations.dtype == np.uint8:
            self.observations[:] = self.rng.integers(0, 256, shape)
        else:
            self.observations[:] = self.rng.uniform(-1, 1, shape) * (3 if self.loud else 1)
        if self.kind == "bounds":
            for bound in (space.low, space.high):
                at = (self.rng.random(shape) < 0.2) & np.isfinite(bound)
                self.observations[at] = np.broadcast_to(bound, shape)[at]
        self.observations[:, self.fixed] = 0.5 if self.observations.dtype.kind == "f" else 9
        if self.kind == "constants":
            self.observations[:, 0] = np.arange(self.num_agents)
            self.observations[:, 1] = 0 if self.seen else 1
            self.observations[:, 2] = (np.arange(self.num_agents) == self.num_agents - 1) \
                & (len(self.seen) == self.steps)
        if self.kind == "zeros":
            self.observations[fresh, :-1] = 0
            self.observations[~fresh & (self.rng.random(self.num_agents) < 0.4)] = 0
        self.observations[fresh & empty] = 0
        self.seen.append((self.observations.copy(), fresh.copy(), self.terminals.copy()))

    def reset(self, seed=None):
        self.ages = self.rng.integers(0, self.length, self.num_agents)
        self.seen, self.resets = [], self.resets + 1
        self.terminals[:], self.truncations[:] = False, False
        self.look(np.ones(self.num_agents, bool), np.full(self.num_agents, self.empty_reset))
        return self.observations, []

    def step(self, actions):
        if np.shape(actions) != (self.num_agents,):
            raise ValueError(f"actions of shape {np.shape(actions)} given, expected ({self.num_agents},)")
        self.actions |= set(np.asarray(actions).tolist())
        self.ages += 1
        ends = self.ages >= self.length
        cut = self.rng.random(self.num_agents) < 0.3
        self.terminals[:], self.truncations[:] = ends & ~cut, ends & cut
        self.ages[ends] = 0
        self.look(ends, np.full(self.num_agents, self.empty_later))
        return self.observations, self.rewards, self.terminals, self.truncations, []


def reference_first_day(rows, fresh, terminals, space):
    """What is right of rows (steps + 1, agents, numbers) and flags (steps + 1, agents)."""
    return {"empty": float((rows[fresh] == 0).all(1).mean()),
            "outside": float(((rows < space.low) | (rows > space.high)).mean()),
            "constant": np.flatnonzero((rows == rows[0, 0]).all((0, 1))).tolist(),
            "ends": int(fresh[1:].sum())}


SAID = {
    "empty": "the share of empty first observations: after the reset, and beside each terminal or truncation,"
             " those all of whose numbers are zero",
    "outside": "the share of all numbers that lie outside single_observation_space, on either side, each "
               "number by its own bounds; a bound itself is inside",
    "constant": "the places that had one value in every row of every observation, that of reset included",
    "ends": "terminals and truncations, each agent's counted"}


def alike(rows, first):
    return np.flatnonzero((rows == first).all((0, 1))).tolist()


def of_references(name):
    """What is found where each row kept is the array that the last step wrote into."""
    return lambda rows, *rest: reference_first_day(np.broadcast_to(rows[-1], rows.shape), *rest)[name]


FIRST_DAY_MISTAKES = {
    "empty": {
        "the arrays are overwritten in place, so copy what you keep": of_references("empty"),
        "it looks at the reset alone, and an environment may fill that observation and forget the later ones":
            lambda rows, *_: (rows[0] == 0).all(1).mean(),
        "it leaves out the first observations beside a truncation": lambda rows, fresh, terminals, space:
            (rows[np.concatenate([fresh[:1], terminals[1:]])] == 0).all(1).mean(),
        "it leaves out those after the reset": lambda rows, fresh, *_:
            (rows[1:][fresh[1:]] == 0).all(1).mean() if fresh[1:].any() else np.nan,
        "it looks at the observations in the middle of an episode too": lambda rows, *_:
            (rows == 0).all(-1).mean(),
        "one zero is not empty": lambda rows, fresh, *_: (rows[fresh] == 0).any(1).mean(),
        "it looks at the first number alone": lambda rows, fresh, *_: (rows[fresh][:, 0] == 0).mean()},
    "outside": {
        "the arrays are overwritten in place, so copy what you keep": of_references("outside"),
        "it compares with the upper bound alone": lambda rows, _, __, space: (rows > space.high).mean(),
        "it compares with the lower bound alone": lambda rows, _, __, space: (rows < space.low).mean(),
        "it takes a bound itself for outside": lambda rows, _, __, space:
            ((rows <= space.low) | (rows >= space.high)).mean(),
        "it compares with -1 and 1, and not with the space": lambda rows, *_: (np.abs(rows) > 1).mean(),
        "it has one pair of bounds for all numbers": lambda rows, _, __, space:
            ((rows < space.low.min()) | (rows > space.high.max())).mean()},
    "constant": {
        "it compares each agent with itself, and agents may differ": lambda rows, *_: alike(rows, rows[0]),
        "it leaves out what the reset gave": lambda rows, *_: alike(rows[1:], rows[1:2, :1]),
        "it looks at the last step alone: is each row that you keep a copy?": of_references("constant")},
    "ends": {
        "it forgets truncations": lambda _, __, terminals, space: int(terminals[1:].sum()),
        "it counts steps at which something ends, and several agents can end at one": lambda _, fresh, *__:
            int(fresh[1:].any(1).sum()),
        "the reset is no end": lambda _, fresh, *__: int(fresh.sum())}}


def as_found(name, value):
    return sorted(np.ravel(list(value)).tolist()) if name == "constant" else float(np.ravel(value).item())


def equal(name, one, other):
    one, other = as_found(name, one), as_found(name, other)
    return one == other if name == "constant" else abs(one - other) < 1e-6


def look_at(first_day, env):
    """Let it look at a batch for `env.steps` steps, and claim what it must have found."""
    found, steps = first_day(env, env.steps), env.steps
    expect(isinstance(found, dict) and set(found) == set(SAID),
           f"it returns {found!r}, expected a dict with {', '.join(SAID)}")
    expect(env.resets == 1, f"it resets the batch {env.resets} times, expected once, at the beginning: an "
                            "episode that ends begins again by itself")
    expect(len(env.seen) == steps + 1,
           f"it takes {len(env.seen) - 1} steps, expected steps={steps} after one reset")
    expect(env.actions <= set(range(env.single_action_space.n)), "it takes actions that there are not")
    expect(steps * env.num_agents < 60 or len(env.actions) > 1,
           f"it takes no action but {env.actions}: take random_actions(env), or much is never seen")
    day = *(np.stack(part) for part in zip(*env.seen, strict=True)), env.single_observation_space
    right = reference_first_day(*day)
    for name, meaning in SAID.items():
        if not equal(name, found[name], right[name]):
            sentence = next((sentence for sentence, wrong in FIRST_DAY_MISTAKES[name].items()
                             if equal(name, found[name], wrong(*day))), f"it is {meaning}")
            expect(False, f"{name} is {found[name]}, expected {right[name]}: {sentence}")


@register("first_day", live=True)
def _(first_day, rng, hidden):
    "empty first observations, numbers outside the space, constants and ends of random batches"
    for _ in range(12):
        look_at(first_day, Pretend(rng))
    for _ in range(8 * hidden):
        agents, numbers, actions, steps = (int(number) for number in rng.integers(2, [40, 50, 20, 90]))
        look_at(first_day, Pretend(rng, agents, numbers, low=rng.uniform(-3, 0, numbers),
                                   high=rng.uniform(0, 3, numbers), actions=actions, steps=steps))


@register("first_day", part="edges", live=True)
def _(first_day, rng, hidden):
    "nearly constant, nearly empty, exactly on a bound"
    for kind in ("constants", "zeros", "bounds"):
        look_at(first_day, Pretend(rng, kind=kind))
    if hidden:
        for kind in ("constants", "zeros", "bounds"):
            look_at(first_day, Pretend(rng, 3, 4, kind, steps=int(rng.integers(5, 30))))
        open_below, open_above = [-np.inf, -1, -np.inf, -0.5], [1, np.inf, np.inf, 0.5]
        for low, high in ((open_below, open_above), ([-1, -0.2, -2, 0], [-0.5, 0.2, 2, 1])):
            look_at(first_day, Pretend(rng, 5, 4, "bounds", low, high))
        look_at(first_day, Pretend(rng, 4, 5, "bounds", 20, 200, np.uint8))
        look_at(first_day, Pretend(rng, 4, 6, "zeros", 0, 255, np.uint8, actions=2))
        look_at(first_day, Pretend(rng, 1, 1, actions=2, steps=100))
        for steps in (0, 1):
            look_at(first_day, Pretend(rng, steps=steps))
