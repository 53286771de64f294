"""Checks of level 8: the order of tests, effects of an ablation, which of three listings is at work, and the
design of an environment. The hidden tests draw other sizes, dtypes and edge cases; for rates and the first
day see level08_survey.py.
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

# ---------------------------------------------------------------------- the order of tests

# whoever begins with the test that shows most, a, needs 1.625 tests; c, d and b need 1.5
GREEDY_FAILS = {"a": set("02357"), "b": set("123"), "c": set("3567"), "d": set("024")}
# whoever tries each first test and goes on with what shows most fails here as well
TWICE_DECEIVED = GREEDY_FAILS | {"z": set("uvwxyz")}


def best_order(table, suspects):
    return min(itertools.permutations(table), key=lambda order: expected_tests(order, table, suspects))


def random_table(rng, tests=5, share=0.35, suspects=None):
    """A table of `tests` tests in random order, and its suspects, each of whom some test shows."""
    suspects = [f"s{i}" for i in range(suspects or int(rng.integers(5, 10)))]
    names = [f"t{i}" for i in rng.permutation(tests)]
    table = {test: {name for name in suspects if rng.random() < share} for test in names}
    for name in suspects:
        table[names[rng.integers(tests)]].add(name)
    return table, suspects


def bought(buying, cases):
    """Claim for each (table, suspects) that the order which it gives is one of the best."""
    for table, suspects in cases:
        found = buying({test: set(shown) for test, shown in table.items()}, list(suspects))
        expect(found is not None, "it returns nothing: is the return missing?")
        found = list(found)
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


@register("buying")
def _(buying, rng, hidden):
    "an order that needs the fewest tests on average, for random tables and one that deceives the greedy"
    cases = [(table, sorted(set().union(*table.values())))
             for table in (GREEDY_FAILS, *[TWICE_DECEIVED] * hidden)]
    cases += [random_table(rng) for _ in range(12)]
    for tests, share in ((2, 0.5), (3, 0.6), (4, 0.2), (6, 0.2), (6, 0.35), (6, 0.5)) * hidden:
        cases += [random_table(rng, tests, share, int(rng.integers(8, 16)))]
    bought(buying, cases)


@register("buying", part="edges")
def _(buying, rng, hidden):
    "a suspect that no test shows, a test that shows nobody, two that show the same"
    unseen = {"a": set("012"), "b": set("3"), "c": set("45")}, list("0123456")
    cases = [unseen, ({"a": set(), "b": set("01"), "c": set("234")}, list("01234")),
             ({"a": set("012"), "b": set("012"), "c": set("34")}, list("01234"))]
    if hidden:
        for _ in range(6):
            table, suspects = random_table(rng, 4)
            cases += [(table | {"none": set()}, [*suspects, "nobody's"]),
                      (table | {"again": set(table["t0"])}, suspects[::-1]),
                      (table, [*suspects, "nobody's"]),
                      (table, suspects[:3])]            # tests that show others than the suspects there are
        cases += [({"a": {"x"}}, ["x", "y"]), ({"a": {"x"}}, ["x"]), ({"a": set()}, ["x"])]
    bought(buying, cases)


# ---------------------------------------------------------------------- effects

def reference_effects(scores):
    means = np.asarray(scores, float).mean(-1)
    main = np.array([np.diff(means, axis=k).mean() for k in range(3)])
    pair = np.zeros((3, 3))
    for j, k in itertools.combinations(range(3), 2):
        pair[j, k] = pair[k, j] = np.diff(np.diff(means, axis=k), axis=j).mean()
    return main, pair


def ablations(rng, hidden):
    """Scores of `same_values` cases; the hidden ones have a seed alone, many, whole numbers, a large part
    that all have in common, and seeds of which some fail.
    """
    def scores(seeds, spread=1.0):
        return rng.normal(0, 5, (2, 2, 2, 1)) + rng.normal(0, spread, (2, 2, 2, seeds))

    cases = [scores(int(rng.integers(2, 9))) for _ in range(12)]
    if hidden:
        cases += [scores(1), scores(40), scores(3, spread=30), scores(5) + 1000,
                  scores(4).astype(np.float32), rng.integers(0, 200, (2, 2, 2, 3)).astype(np.uint8),
                  rng.integers(-9, 9, (2, 2, 2, 1)),
                  np.where(rng.random((2, 2, 2, 9)) < 0.2, -100, scores(9)), np.zeros((2, 2, 2, 2))]
    return [(case,) for case in cases]


def one_of(effects, which):
    """A function that gives the main effects (0) or the pairs (1) of an answer."""
    def part(scores):
        found = effects(scores)
        if found is None:
            return None
        expect(isinstance(found, tuple | list) and len(found) == 2,
               f"it returns a {type(found).__name__}, expected (main, pair)")
        return np.asarray(found[which], float)
    return part


def mean_scores(scores):
    return np.asarray(scores, float).mean(-1)


def from_healthy(scores):
    means = mean_scores(scores)
    return np.array([means[1, 0, 0], means[0, 1, 0], means[0, 0, 1]]) - means[0, 0, 0]


def without_the_third(scores, third=0):
    """The pairs with the third factor whole, or broken."""
    means, pair = mean_scores(scores), np.zeros((3, 3))
    for j, k in itertools.permutations(range(3), 2):
        pair[j, k] = np.diff(np.diff(means, axis=k), axis=j).take(third, axis=3 - j - k).item()
    return pair


SEEDS = {"it takes the best seed of each cell: the mean of the seeds": np.max,
         "it takes the median of the seeds of each cell: the mean of them": np.median,
         "it takes the first seed alone: the mean of the seeds": lambda scores, **_: scores[..., :1]}


def of_seeds(which):
    """The mistakes that come from another summary of the seeds, or from a difference before it."""
    return {sentence: lambda scores, take=take: reference_effects(
        np.reshape(take(scores, axis=-1, keepdims=True), (2, 2, 2, 1)))[which]
        for sentence, take in SEEDS.items()} | {
        "it subtracts whole numbers without a sign, and they cannot be negative: take the mean first":
            lambda scores: before_the_mean(scores)[which]}


def before_the_mean(scores):
    main = np.array([np.diff(scores, axis=k).mean() for k in range(3)])
    pair = np.zeros((3, 3))
    for j, k in itertools.permutations(range(3), 2):
        pair[j, k] = np.diff(np.diff(scores, axis=j), axis=k).mean()
    return main, pair


@register("effects")
def _(effects, rng, hidden):
    "main effects of random 2 x 2 x 2 ablations with several seeds"
    same_values(one_of(effects, 0), lambda scores: reference_effects(scores)[0], ablations(rng, hidden),
                rtol=1e-5, atol=1e-4, mistakes=of_seeds(0) | {
        "it compares one cell with the healthy one: average over what the other two are": from_healthy,
        "its signs are wrong: broken (1) minus whole (0)": lambda scores: -reference_effects(scores)[0],
        "its main effects are four times too large: average over the four comparisons, do not add them up":
            lambda scores: 4 * reference_effects(scores)[0],
        "its main effects are from the mean of all cells: broken minus whole":
            lambda scores: reference_effects(scores)[0] / 2,
        "its factors are in the wrong order: factor k is axis k": lambda scores:
            reference_effects(scores)[0][::-1]})


@register("effects", part="pairs")
def _(effects, rng, hidden):
    "differences of differences, the same both ways round, with zeros on the diagonal"
    def changed(change):
        return lambda scores: change(reference_effects(scores)[1], scores)

    same_values(one_of(effects, 1), lambda scores: reference_effects(scores)[1], ablations(rng, hidden),
                rtol=1e-5, atol=1e-4, mistakes=of_seeds(1) | {
        "it is half of a difference of differences: do not divide by two": changed(lambda pair, _: pair / 2),
        "it adds up over the third factor: take the mean": changed(lambda pair, _: 2 * pair),
        "its signs are wrong: both broken and none, minus one of each": changed(lambda pair, _: -pair),
        "it is filled above the diagonal alone: a pair has no order": changed(lambda pair, _: np.triu(pair)),
        "it looks at the runs alone in which the third factor is whole: average over the third":
            without_the_third,
        "its diagonal holds the main effects: zeros are asked for":
            changed(lambda pair, scores: pair + np.diag(reference_effects(scores)[0])),
        "it multiplies the effects of two factors: by how much does one change when the other is broken?":
            changed(lambda _, scores: (np.multiply.outer(*[reference_effects(scores)[0]] * 2)
                                       * (1 - np.eye(3)))),
        "it adds the effects of two factors up: by how much does one change when the other is broken?":
            changed(lambda _, scores: (np.add.outer(*[reference_effects(scores)[0]] * 2)
                                       * (1 - np.eye(3))))})


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


HINTS = {"rewards": "bricks disappear from the observation one step before their reward is paid",
         "observations": "the paddle moves in the observation one step after its key",
         "ends": "the wall is whole again one step before the terminal",
         "healthy": "nothing is late there"}


def asked(culprit, names, settings):
    """Claim that it names each listing of `names`, in batches of random size, seed and frame skip."""
    for name in names:
        found = culprit(functools.partial(disguised, LISTINGS[name], settings() | {"report_interval": 0}))
        expect(isinstance(found, str) and found in LISTINGS,
               f"it returns {found!r}, expected one of {', '.join(LISTINGS)}")
        expect(found == name, f"it blames {found!r} where it is {name!r}: {HINTS[name]}")


@register("culprit", live=True)
def _(culprit, rng, hidden):
    "the right listing, from what happens alone, in batches of other sizes, seeds and frame skips"
    def settings(sizes=(2, 20), skips=(2, 4, 6)):
        return {"num_envs": int(rng.integers(*sizes)), "seed": int(rng.integers(1000)),
                "frame_skip": int(rng.choice(skips))}

    asked(culprit, rng.permutation([*LISTINGS] * 3).tolist(), settings)
    # one game alone; many; frame by frame; in large steps
    for sizes, skips in [((1, 2), (1, 2, 4, 8)), ((40, 90), (2, 4)), ((1, 20), (1, 3)),
                         ((2, 20), (8, 12))] * hidden:
        asked(culprit, rng.permutation([*LISTINGS]).tolist(), functools.partial(settings, sizes, skips))


@register("culprit", part="alarms", live=True)
def _(culprit, rng, hidden):
    "accuses no healthy batch, however many games there are and wherever they begin"
    sizes = (1, 2, 4, 16, *((33, 100) if hidden else ()))
    for num_envs in sizes:
        for frame_skip in (4, *((1, 7) if hidden else ())):
            settings = {"num_envs": num_envs, "frame_skip": frame_skip, "seed": int(rng.integers(1000))}
            asked(culprit, ["healthy"], lambda settings=settings: settings)
    asked(culprit, ["ends"], lambda: {"num_envs": 4, "seed": 3})    # "healthy" for all is no answer


# ---------------------------------------------------------------------- a design

PAGE = {"name": str, "decision": str, "observation": Box, "action": (Discrete, MultiDiscrete),
        "rewards": dict, "ends": dict, "longest_episode": int, "operations": int, "steps_per_second": float,
        "bytes_per_second": float, "returns": dict, "oracle": str, "control": str}
FASTEST = 3e9                   # simple operations of one core in a second, and that is generous


def number(value) -> bool:
    return isinstance(value, int | float | np.number) and not isinstance(value, bool) and np.isfinite(value)


def complete_page(design):
    """The page, whose entries are there and of their kinds."""
    page = design()
    expect(isinstance(page, dict), f"it returns a {type(page).__name__}, expected a dict")
    missing = [name for name in PAGE if name not in page]
    expect(not missing, f"the page lacks {', '.join(missing)}")
    for name, kind in PAGE.items():
        given = page[name]
        fits = (number(given) if kind is float else number(given) and given == int(given) if kind is int
                else isinstance(given, kind))
        kinds = " or ".join(each.__name__ for each in (kind if isinstance(kind, tuple) else (kind,)))
        expect(fits, f"{name} is a {type(given).__name__} ({given!r}), expected {kinds}")
    for name in ("rewards", "returns"):
        expect(page[name] and all(map(number, page[name].values())),
               f"{name} is {page[name]!r}, expected a finite number for each entry, and one entry at least")
    return page


@register("design", live=True)
def _(design, hidden):
    "a page that is complete: decision, spaces with bounds, rewards, ends of both kinds, oracle, control"
    page = complete_page(design)
    for name in ("decision", "oracle", "control"):
        words = page[name].split()
        expect(len(words) >= 12, f"{name} has {len(words)} words: say in at least twelve what is decided, "
                                 "checked or compared")
        expect(not hidden or len(set(map(str.lower, words))) >= 8,
               f"{name} says the same words over and over")
    expect(not hidden or len({page[name] for name in ("decision", "oracle", "control")}) == 3,
           "decision, oracle and control say the same: three questions have three answers")
    expect(all(page["rewards"].values()),
           "rewards must say of each event what it pays, and leave out what pays nothing")
    expect(set(page["ends"].values()) == {"terminal", "truncation"},
           "ends must say of each end whether it is a 'terminal' or a 'truncation', and name one of each: a "
           "task without a time limit can be stalled")
    space = page["observation"]
    expect(np.isfinite(space.low).all() and np.isfinite(space.high).all(),
           "the observation has no bounds: without them nobody can tell whether it is scaled")
    if hidden:
        expect(page["name"].strip(), "the environment has no name")
        expect(np.prod(space.shape) > 0 and (space.low < space.high).all(),
               "the observation holds no number, or one that can have one value alone")
        expect(np.prod(getattr(page["action"], "nvec", getattr(page["action"], "n", 1))) > 1,
               "there is one action alone, so nothing is decided")
        expect(page["longest_episode"] > 1, "its longest episode is over at once")


@register("design", part="arithmetic", live=True)
def _(design, hidden):
    "operations and bytes that one core can do, and returns that an episode can pay"
    page = complete_page(design)
    rate, operations, space = page["steps_per_second"], page["operations"], page["observation"]
    expect(operations > 0 and rate > 0, "a step takes some operations, and a second holds some steps")
    expect(rate * operations <= FASTEST,
           f"{rate:.3g} steps/s of {operations:,} operations are more than one core does ({FASTEST:.0e} a "
           "second): lower the prediction")
    row = int(np.prod(space.shape)) * space.dtype.itemsize
    expect(abs(page["bytes_per_second"] - rate * row) <= 0.01 * rate * row,
           f"bytes_per_second is {page['bytes_per_second']:.4g}; a row of {row} bytes at {rate:.3g} steps/s "
           f"is {rate * row:.4g}")
    most = page["longest_episode"] * max(map(abs, page["rewards"].values()))
    for name, earned in page["returns"].items() if hidden else [("task", page["returns"].get("task", 0))]:
        expect(abs(earned) <= most,
               f"{name!r} earns {earned:g}, more than its longest episode can pay, {most:g}")
    signs = {float(np.sign(paid)) for paid in page["rewards"].values()}
    for name, earned in page["returns"].items() if hidden else []:
        expect(earned == 0 or np.sign(earned) in signs,
               f"{name!r} earns {earned:g}, but no reward of the page has that sign")


@register("design", part="cheats", live=True)
def _(design, hidden):
    "doing nothing, chance and a cheat of your own are priced, and each earns less than the task"
    returns = complete_page(design)["returns"]
    expect({"task", "nothing", "random"} <= set(returns) and len(returns) >= 4,
           "returns must hold what the task well done earns ('task'), doing nothing ('nothing'), random play "
           "('random') and at least one cheat of your own")
    best = max((name for name in returns if name != "task"), key=returns.get)
    expect(returns[best] < returns["task"],
           f"{best!r} earns {returns[best]:g} and the task {returns['task']:g}: a learner will find that")
    expect(not hidden or all(str(name).strip() for name in returns), "a cheat has no name")
    expect(not hidden or complete_page(design)["returns"] == returns,
           "asked twice, the page gives two answers: write the numbers down")
