"""Checks of level 8: rates with resets, what to look at on the first day, the order of tests, effects of an
ablation, which of three listings is at work, and the design of an environment.
"""

import functools
import itertools

import numpy as np
from gymnasium.spaces import Box, Discrete, MultiDiscrete

import envs
from puffer_min.course import faults
from puffer_min.course.check import register
from puffer_min.course.claims import expect, same_values
from puffer_min.course.debugging import expected_tests

# ---------------------------------------------------------------------- rates

def reference_rates(step_seconds, reset_seconds, frame_skip):
    total = step_seconds.sum() + reset_seconds.sum()
    rate = len(step_seconds) / total
    return rate, rate * frame_skip, reset_seconds.sum() / total


@register("rates")
def _(rates, rng):
    "steps and frames a second with the resets in them, and the share of the resets, for random timings"
    cases = [(rng.exponential(2e-3, 200), rng.exponential(rng.choice([1e-3, 0.2]), int(rng.integers(1, 9))),
              int(rng.choice([1, 4, 8]))) for _ in range(12)]
    cases.append((np.full(5, 1e-3), np.zeros(0), 4))

    def wrong(change):
        return lambda *case: change(case, *reference_rates(*case))

    def without_resets(steps, resets, skip):
        rate, frames, _ = reference_rates(steps, np.zeros(0), skip)
        return rate, frames, reference_rates(steps, resets, skip)[2]

    same_values(rates, reference_rates, cases, rtol=1e-9, mistakes={
        "it leaves the resets out of the time: a learner waits for them as well": without_resets,
        "it takes the mean of 1 / step time: steps/s is all steps over all seconds":
            wrong(lambda case, rate, frames, share: ((1 / case[0]).mean(), (1 / case[0]).mean() * case[2],
                                                     share)),
        "it counts a reset as a step":
            wrong(lambda case, rate, frames, share: (rate * (len(case[0]) + len(case[1])) / len(case[0]),
                                                     frames * (len(case[0]) + len(case[1])) / len(case[0]),
                                                     share)),
        "frames a second are steps a second times the frame skip: several frames are one step":
            wrong(lambda case, rate, frames, share: (rate, rate / case[2], share)),
        "the share is of all the time, not of the time of the steps":
            wrong(lambda case, rate, frames, share: (rate, frames, case[1].sum() / case[0].sum())),
        "it counts resets instead of their seconds":
            wrong(lambda case, rate, frames, share: (rate, frames,
                                                     len(case[1]) / (len(case[0]) + len(case[1]))))})


# ---------------------------------------------------------------------- the first day

class Pretend:
    """A batch of short episodes of random numbers, with faults by chance."""

    def __init__(self, rng, num_agents=6, numbers=7):
        self.rng, self.num_agents, self.numbers = rng, num_agents, numbers
        self.single_observation_space = Box(-1, 1, (numbers,), np.float32)
        self.single_action_space = Discrete(3)
        self.fixed = np.flatnonzero(rng.random(numbers) < 0.3)
        self.loud = rng.random() < 0.5
        self.empty_reset, self.empty_later = rng.random(2) < 0.5
        self.length = int(rng.integers(3, 9))
        self.observations = np.zeros((num_agents, numbers), np.float32)
        self.terminals, self.truncations = np.zeros((2, num_agents), bool)
        self.rewards, self.seen = np.zeros(num_agents, np.float32), []

    def look(self, fresh, empty):
        self.observations[:] = self.rng.uniform(-1, 1, self.observations.shape) * (3 if self.loud else 1)
        self.observations[:, self.fixed] = 0.5
        self.observations[fresh & empty] = 0
        self.seen.append((self.observations.copy(), fresh.copy()))

    def reset(self, seed=None):
        self.ages = self.rng.integers(0, self.length, self.num_agents)
        self.seen = []
        self.look(np.ones(self.num_agents, bool), np.full(self.num_agents, self.empty_reset))
        return self.observations, []

    def step(self, actions):
        if np.shape(actions) != (self.num_agents,):
            raise ValueError(f"actions of shape {np.shape(actions)} given, expected ({self.num_agents},)")
        self.ages += 1
        ends = self.ages >= self.length
        cut = self.rng.random(self.num_agents) < 0.3
        self.terminals[:], self.truncations[:] = ends & ~cut, ends & cut
        self.ages[ends] = 0
        self.look(ends, np.full(self.num_agents, self.empty_later))
        return self.observations, self.rewards, self.terminals, self.truncations, []


def reference_first_day(seen, low=-1.0, high=1.0):
    rows = np.stack([rows for rows, _ in seen])
    fresh = np.stack([fresh for _, fresh in seen])
    return {"empty": float((rows[fresh] == 0).all(1).mean()),
            "outside": float(((rows < low) | (rows > high)).mean()),
            "constant": np.flatnonzero((rows == rows[0, 0]).all((0, 1))).tolist(),
            "ends": int(fresh[1:].sum())}


SAID = {
    "empty": "the share of empty first observations: after the reset, and beside each terminal or truncation",
    "outside": "the share of all numbers that lie outside single_observation_space, on either side",
    "constant": "the places that had one value in every row of every observation, that of reset included",
    "ends": "terminals and truncations, each agent's counted"}


@register("first_day", live=True)
def _(first_day, rng):
    "empty first observations, numbers outside the space, constants and ends of random batches"
    for _ in range(12):
        env = Pretend(rng)
        found = first_day(env, 40)
        expect(isinstance(found, dict) and set(found) == set(SAID),
               f"it returns {found!r}, expected a dict with {', '.join(SAID)}")
        expect(len(env.seen) == 41, f"it takes {len(env.seen) - 1} steps, expected steps=40 after one reset")
        right = reference_first_day(env.seen)
        for name, meaning in SAID.items():
            same = (list(found[name]) == right[name] if name == "constant"
                    else abs(float(found[name]) - right[name]) < 1e-9)
            expect(same, f"{name} is {found[name]}, expected {right[name]}: {meaning}; the arrays are "
                         "overwritten in place, so copy what you keep")


# ---------------------------------------------------------------------- the order of tests

# whoever begins with the test that shows most, a, needs 1.625 tests; c, d and b need 1.5
GREEDY_FAILS = {"a": set("02357"), "b": set("123"), "c": set("3567"), "d": set("024")}


def best_order(table, suspects):
    return min(itertools.permutations(table), key=lambda order: expected_tests(order, table, suspects))


def random_table(rng):
    suspects = [f"s{i}" for i in range(int(rng.integers(5, 10)))]
    table = {f"t{i}": {name for name in suspects if rng.random() < 0.35} for i in range(5)}
    for name in suspects:                               # each is shown by some test
        table[f"t{rng.integers(5)}"].add(name)
    return table, suspects


@register("buying")
def _(buying, rng):
    "an order that needs the fewest tests on average, for random tables and one that deceives the greedy"
    cases = [(GREEDY_FAILS, sorted(set().union(*GREEDY_FAILS.values()))),
             *(random_table(rng) for _ in range(12))]
    for table, suspects in cases:
        found = list(buying({test: set(shown) for test, shown in table.items()}, list(suspects)))
        expect(set(found) <= set(table) and len(set(found)) == len(found),
               f"it returns {found}, expected tests of the table, each at most once")
        try:
            cost = expected_tests(found, table, suspects)
        except ValueError as error:
            expect(False, str(error))
        best = expected_tests(best_order(table, suspects), table, suspects)
        expect(cost < best + 1e-9,
               f"its order {', '.join(found)} needs {cost:.3f} tests on average, and one of {best:.3f} "
               f"exists, for the table {({test: ' '.join(sorted(shown)) for test, shown in table.items()})}: "
               "count for each test what it shows that no earlier one did, and let no rule of thumb stand "
               "in for trying the orders")


# ---------------------------------------------------------------------- effects

def reference_effects(scores):
    means = np.asarray(scores, float).mean(-1)
    main = np.array([np.diff(means, axis=k).mean() for k in range(3)])
    pair = np.zeros((3, 3))
    for j, k in itertools.combinations(range(3), 2):
        pair[j, k] = pair[k, j] = np.diff(np.diff(means, axis=k), axis=j).mean()
    return main, pair


@register("effects")
def _(effects, rng):
    "main effects and pairs of random 2 x 2 x 2 ablations with several seeds"
    cases = []
    for _ in range(12):
        size = rng.normal(0, 5, (2, 2, 2))
        cases.append((size[..., None] + rng.normal(0, 1, (2, 2, 2, int(rng.integers(2, 9)))),))

    def changed(main=lambda main, means: main, pair=lambda pair: pair):
        def wrong(scores):
            first, second = reference_effects(scores)
            return main(first, scores.mean(-1)), pair(second)
        return wrong

    def from_healthy(_, means):
        return np.array([means[1, 0, 0], means[0, 1, 0], means[0, 0, 1]]) - means[0, 0, 0]

    same_values(lambda scores: tuple(np.asarray(part, float) for part in effects(scores)), reference_effects,
                cases, rtol=1e-9, atol=1e-9, mistakes={
        "its main effects compare one cell with the healthy one: average over what the other two factors are":
            changed(main=from_healthy),
        "its main effects have the wrong sign: broken (1) minus whole (0)":
            changed(main=lambda main, _: -main),
        "its pairs are half of a difference of differences: do not divide by two":
            changed(pair=lambda pair: pair / 2),
        "its pairs have the wrong sign: both broken and none, minus one of each":
            changed(pair=lambda pair: -pair),
        "its pairs are filled above the diagonal alone: a pair has no order": changed(pair=np.triu),
        "its main effects take the best seed of each cell: the mean of the seeds":
            lambda scores: reference_effects(scores.max(-1, keepdims=True))})


# ---------------------------------------------------------------------- which of three listings

class LateRewards(faults.Broken):
    """What is paid is the reward of the step before."""

    def paid(self, rewards):
        before = getattr(self, "before", np.zeros_like(rewards))
        self.before = rewards.copy()
        rewards[:] = before


class LateObservations(faults.Broken):
    """What is seen is the observation before the step."""

    def seen(self, rows, fresh):
        before = getattr(self, "before", rows)
        self.before = rows.copy()
        rows[:] = before


class LateEnds(faults.Broken):
    """The flag goes up one step after the end."""

    def ended(self, flags):
        before = getattr(self, "before", np.zeros_like(flags))
        self.before = flags.copy()
        flags[:] = before


LISTINGS = {"rewards": LateRewards, "observations": LateObservations, "ends": LateEnds,
            "healthy": faults.Broken}


class Disguised:
    """A batch of which only what a learner uses is to be seen."""

    def __init__(self, env):
        self.num_agents, self.single_action_space = env.num_agents, env.single_action_space
        self.single_observation_space, self.action_names = env.single_observation_space, env.action_names
        self.reset, self.step = env.reset, env.step


def disguised(kind, settings):
    return Disguised(kind(envs.make("breakout", **settings)))


@register("culprit", live=True)
def _(culprit, rng):
    "the right listing, from what happens alone, for twelve batches of other sizes, seeds and frame skips"
    right = [*LISTINGS, *LISTINGS, *LISTINGS]
    rng.shuffle(right)
    for name in right:
        settings = {"num_envs": int(rng.integers(2, 20)), "seed": int(rng.integers(1000)),
                    "frame_skip": int(rng.choice([2, 4, 6])), "report_interval": 0}
        found = culprit(functools.partial(disguised, LISTINGS[name], settings))
        expect(found in LISTINGS, f"it returns {found!r}, expected one of {', '.join(LISTINGS)}")
        hint = {"rewards": "bricks disappear from the observation one step before their reward is paid",
                "observations": "the paddle moves in the observation one step after its key",
                "ends": "the wall is whole again one step before the terminal",
                "healthy": "nothing is late there"}[name]
        expect(found == name, f"it blames {found!r} where it is {name!r}: {hint}")


# ---------------------------------------------------------------------- a design

PAGE = {"name": str, "decision": str, "observation": Box, "action": (Discrete, MultiDiscrete),
        "rewards": dict, "ends": dict, "longest_episode": int, "operations": int, "steps_per_second": float,
        "bytes_per_second": float, "returns": dict, "oracle": str, "control": str}
FASTEST = 3e9                   # simple operations of one core in a second, and that is generous


@register("design", live=True)
def _(design):
    "a page that is complete, whose arithmetic holds, and whose cheats earn less than the task"
    page = design()
    missing = [name for name in PAGE if name not in page]
    expect(not missing, f"the page lacks {', '.join(missing)}")
    for name, kind in PAGE.items():
        given = page[name]
        fits = isinstance(given, kind) or kind is float and isinstance(given, int)
        kinds = " or ".join(each.__name__ for each in (kind if isinstance(kind, tuple) else (kind,)))
        expect(fits and not isinstance(given, bool), f"{name} is a {type(given).__name__}, expected {kinds}")
    for name in ("decision", "oracle", "control"):
        words = len(page[name].split())
        expect(words >= 12, f"{name} has {words} words: say in at least twelve what is decided, checked or "
                            "compared")
    expect(len(page["rewards"]) >= 1 and all(isinstance(paid, int | float) and paid != 0
                                             for paid in page["rewards"].values()),
           "rewards must say of each event what it pays, and leave out what pays nothing")
    expect({"terminal", "truncation"} <= set(page["ends"].values()),
           "ends must say of each end whether it is a 'terminal' or a 'truncation', and name one of each: a "
           "task without a time limit can be stalled")
    space = page["observation"]
    row = int(np.prod(space.shape)) * space.dtype.itemsize
    expect(np.isfinite(space.low).all() and np.isfinite(space.high).all(),
           "the observation has no bounds: without them nobody can tell whether it is scaled")
    expect(page["operations"] > 0 and page["steps_per_second"] * page["operations"] <= FASTEST,
           f"{page['steps_per_second']:.3g} steps/s of {page['operations']:,} operations are more than one "
           f"core does ({FASTEST:.0e} a second): lower the prediction")
    flow = page["steps_per_second"] * row
    expect(abs(page["bytes_per_second"] - flow) <= 0.01 * flow,
           f"bytes_per_second is {page['bytes_per_second']:.4g}; a row of {row} bytes at "
           f"{page['steps_per_second']:.3g} steps/s is {flow:.4g}")
    returns = page["returns"]
    expect({"task", "nothing", "random"} <= set(returns) and len(returns) >= 4,
           "returns must hold what the task well done earns ('task'), doing nothing ('nothing'), random play "
           "('random') and at least one cheat of your own")
    best = max((name for name in returns if name != "task"), key=returns.get)
    expect(returns[best] < returns["task"],
           f"{best!r} earns {returns[best]:g} and the task {returns['task']:g}: a learner will find that")
    most = page["longest_episode"] * max(map(abs, page["rewards"].values()))
    expect(abs(returns["task"]) <= most,
           f"the task earns {returns['task']:g}, more than its longest episode can pay, {most:g}")
