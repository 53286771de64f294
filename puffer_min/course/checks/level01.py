"""Checks of level 1: the loop, its episodes, its speed, its cost, and a rule that balances a pole."""

from itertools import cycle

import numpy as np

import envs
from puffer_min.course.check import register
from puffer_min.course.checks.forms import edges, number, numbers, pair, shown
from puffer_min.course.claims import expect, same_values

SECONDS_A_DAY = 24 * 3600
LONG, LONGEST = 520, 1_500              # steps that no loop of 500 or 1,000 steps reaches


class Scripted:
    """A batch of one whose rewards and ends follow a script; it resets itself, like all environments here.

    episodes    list of (rewards, end) with end "terminal", "truncation" or "both"; they come again and again
    policy      the policy that is to decide: what reaches `step` must be what it chose
    Observations (1, 1) float32 count the steps since the first reset. `reset` and `step` write into the same
    arrays each time.
    """

    num_agents = 1

    def __init__(self, episodes, policy=None):
        self.script = [(reward, end if last else None) for rewards, end in episodes
                       for reward, last in zip(rewards, [False] * (len(rewards) - 1) + [True], strict=True)]
        self.policy, self.steps, self.resets = policy, 0, 0
        self.observations, self.rewards = np.zeros((1, 1), np.float32), np.zeros(1, np.float32)
        self.terminals, self.truncations = np.zeros(1, bool), np.zeros(1, bool)

    def reset(self, seed=None):
        """Back to the first step of the script."""
        self.coming, self.steps, self.resets = cycle(self.script), 0, self.resets + 1
        self.observations[:] = 0
        return self.observations, []

    def step(self, actions):
        """The next line of the script."""
        expect(self.resets,
               "it steps an environment that was never reset: call env.reset() first, it gives the first "
               "observation")
        if self.policy is not None:
            self.policy.decides(actions)
        expect(self.steps < 4 * len(self.script),
               "it goes on for ever: an episode ends when its terminal or its truncation is up")
        self.steps += 1
        reward, end = next(self.coming)
        self.observations[:], self.rewards[:] = self.steps, reward
        self.terminals[:], self.truncations[:] = end in ("terminal", "both"), end in ("truncation", "both")
        return self.observations, self.rewards, self.terminals, self.truncations, []


class Witness:
    """A policy that remembers what it was shown and what it chose: one of five actions."""

    def __init__(self):
        self.seen, self.chosen = [], None

    def act(self, observations):
        """An action for each row, which changes from step to step."""
        shape = np.shape(observations)
        expect(shape == (1, 1),
               f"it shows the policy observations of the shape {shape}, expected (1, 1): the whole batch, "
               "with its one row, and not the row alone")
        self.seen.append(np.asarray(observations).copy().ravel().tolist())
        self.chosen = np.array([(7 * int(self.seen[-1][0]) + 3) % 5], np.int32)
        return self.chosen.copy()

    def decides(self, actions):
        """Claim that `actions` are what the policy chose last."""
        expect(self.seen, "it never asks the policy: policy.act(observations) gives the actions")
        expect(np.shape(actions) == (1,),
               f"it steps with {shown(actions)}, expected an array of one action: hand the environment what "
               "policy.act returns, as it is")
        expect(int(actions[0]) == self.chosen[0],
               f"the policy chose {self.chosen[0]} and the environment was given {int(actions[0])}: step "
               "with what policy.act returns")


def random_episodes(rng, end, length=None):
    """Three episodes with rewards in steps of a half, the first of them ending by `end`."""
    lengths = rng.integers(2, 12, 3)
    lengths[0] = length or lengths[0]
    return [(rng.integers(-3, 7, length) / 2, kind)
            for length, kind in zip(lengths, (end, "terminal", "terminal"), strict=False)]


@register("loop", live=True)
def _(play_episode, rng, hidden):
    ("return and length of one episode, long or short; a truncation ends it too; the policy decides every "
     "step; nothing of the next episode is counted")
    games = [("terminal", None), ("truncation", None), ("both", None), ("terminal", 1),
             ("terminal", LONG), ("truncation", None)]
    if hidden:
        games += [("truncation", 1), ("terminal", LONGEST), ("truncation", LONG)]
    for end, steps in games:
        episodes = random_episodes(rng, end, steps)
        policy, rewards = Witness(), episodes[0][0]
        env = Scripted(episodes, policy)
        total, length = pair(play_episode(env, policy))
        expect(len(policy.seen) > 0, "it never asks the policy: policy.act(observations) gives the actions")
        expect(env.steps == len(rewards) or end != "truncation",
               f"it plays on after a truncation: an episode that was cut off after {len(rewards)} steps has "
               "ended too" if env.steps > len(rewards) else
               f"it stops after {env.steps} of {len(rewards)} steps, before a flag is up")
        expect(env.steps <= len(rewards),
               f"it steps {env.steps} times in an episode of {len(rewards)} steps: what comes after the end "
               "belongs to the next episode")
        expect(env.steps == len(rewards),
               f"it stops after {env.steps} of {len(rewards)} steps, before a flag is up")
        expect(policy.seen == [[step] for step in range(env.steps)],
               "the policy does not see each step's own observation: hand it the latest one")
        expect(length == len(rewards),
               f"the length is {length:g} for an episode of {len(rewards)} steps: count every step, the last "
               "one included")
        expect(np.isclose(total, rewards.sum()),
               f"the return is {total:g} for the rewards {shown(rewards.tolist())}: it is their sum, "
               f"{rewards.sum():g}, with the reward of the last step")


@register("loop", part="discount", live=True)
def _(play_episode, rng, hidden):
    "with gamma, the return in which the reward of step t counts gamma ** t"
    for gamma in (0.5, float(rng.uniform(0.8, 0.99)), *((0.0, 1.0) if hidden else ())):
        for end in ("terminal", "truncation"):
            episodes = random_episodes(rng, end, int(rng.integers(3, 9)))
            policy, rewards = Witness(), episodes[0][0]
            total, length = pair(play_episode(Scripted(episodes, policy), policy, gamma))
            weights = gamma ** np.arange(len(rewards))
            found = f"with gamma={gamma:.3g} and the rewards {rewards.tolist()} it returns {total:.5g}"
            right = float(rewards @ weights)
            expect(not np.isclose(total, rewards.sum()) or np.isclose(right, rewards.sum()),
                   f"{found}, their plain sum: the reward of step t counts gamma ** t")
            expect(not np.isclose(total, gamma * right) or np.isclose(right, gamma * right),
                   f"{found}: the first reward counts whole, since gamma ** 0 is 1")
            turned = float(rewards @ weights[::-1])
            expect(not np.isclose(total, turned) or np.isclose(right, turned),
                   f"{found}: it discounts the first reward most; what comes later must count less")
            expect(np.isclose(total, right), f"{found}, expected {right:.5g}")
            expect(length == len(rewards),
                   f"the length is {length:g}, expected {len(rewards)}: gamma changes the return alone")


def reference_returns(rewards, ends, keeps=False, includes_last=True, unfinished=False, together=False):
    """Returns of the finished episodes, or with one thing wrong."""
    running, found = np.zeros(rewards.shape[1]), []
    for row, over in zip(rewards, ends, strict=True):
        before, running = running, running + row
        found += (running if includes_last else before)[over].tolist()
        running = running if keeps else np.where(over.any() if together else over, 0, running)
    return found + (running.tolist() if unfinished else [])


def mixed_returns(rewards, ends):
    running, found = 0.0, []
    for row, over in zip(rewards, ends, strict=True):
        running += row.sum()
        for _ in range(over.sum()):
            found.append(running)
            running = 0.0
    return found


def returns_by_column(rewards, ends):
    columns = range(rewards.shape[1])
    return [each for j in columns for each in reference_returns(rewards[:, j:j + 1], ends[:, j:j + 1])]


@register("episodes")
def _(episode_returns, rng, hidden):
    ("returns of the finished episodes, in the order of their ends; each column on its own; unfinished ones "
     "left out")
    def case(steps, columns, share=0.25, last=None):
        ends = rng.random((steps, columns)) < share
        ends[steps // 2, 0], ends[0] = True, False
        ends[-1] = ends[-1] if last is None else last
        return rng.integers(-8, 20, (steps, columns)) / 4, ends

    def answer(rewards, ends):
        return numbers(episode_returns(rewards, ends))

    cases = [case(12, 1), case(20, 3, last=False), case(30, 5)]
    same_values(answer, lambda *a: np.array(reference_returns(*a)), cases, mistakes={
        "it counts episodes that never ended: only a flag in `ends` finishes one":
            lambda *a: np.array(reference_returns(*a, unfinished=True)),
        "the sum is not set back to zero at the end of an episode":
            lambda *a: np.array(reference_returns(*a, keeps=True)),
        "it leaves out the reward of the last step, which comes together with the flag":
            lambda *a: np.array(reference_returns(*a, includes_last=False)),
        "one agent's end sets the sums of the others back as well":
            lambda *a: np.array(reference_returns(*a, together=True)),
        "the columns are mixed: each is an agent with a sum of its own":
            lambda *a: np.array(mixed_returns(*a)),
        "it lists one agent after the other, expected the order in which the episodes ended":
            lambda *a: np.array(returns_by_column(*a)),
        "it looks at the ends of the row before": lambda rewards, ends: np.array(
            reference_returns(rewards, np.roll(ends, 1, axis=0))),
        "it leaves out the last row of the record, where an episode may end":
            lambda rewards, ends: np.array(reference_returns(rewards[:-1], ends[:-1])),
    })
    tall = case(400, 30)
    special = {
        "an episode may end at the last step of the record":
            (np.ones((3, 1)), np.array([[0], [0], [1]], bool)),
        "no episode has ended, so there is no return to list": (np.ones((4, 2)), np.zeros((4, 2), bool)),
        "a return of 0 is a return: list it":
            (np.array([[1.0], [-1.0], [2.0]]), np.array([[0], [1], [1]], bool)),
        "every step may be an episode of its own": (rng.integers(1, 9, (4, 2)) / 4, np.ones((4, 2), bool)),
        "it fails on a record of 400 steps of 30 agents": tall,
    }
    if hidden:
        special |= {"it fails on a record without a step": (np.zeros((0, 3)), np.zeros((0, 3), bool)),
                    "it fails on a record of one step": case(1, 4, last=True),
                    "it fails on rewards in float32": (tall[0].astype(np.float32), tall[1]),
                    "it fails on a record that is a view of a larger one":
                        (tall[0][::2, ::3], tall[1][::2, ::3])}
    edges(answer, lambda *a: np.array(reference_returns(*a)), special)


class Clock:
    """A clock that only the environment moves; reading it is free, and it does not begin at 0."""

    def __init__(self, now):
        self.now, self.reads = now, 0

    def __call__(self):
        self.reads += 1
        return self.now


class Timed:
    """An environment whose steps take `step_seconds`, one after the other, on `clock`."""

    def __init__(self, clock, actions, step_seconds, reset_seconds):
        self.clock, self.actions, self.num_agents = clock, actions, len(actions)
        self.step_seconds, self.reset_seconds = step_seconds, reset_seconds
        self.steps = self.resets = 0

    def reset(self, seed=None):
        """Takes long."""
        self.clock.now += self.reset_seconds
        self.resets += 1
        return np.zeros((self.num_agents, 1), np.float32), []

    def step(self, actions):
        """Takes what its turn takes."""
        expect(self.resets, "it steps an environment that was never reset: reset it first, outside the clock")
        expect(np.shape(actions) == (self.num_agents,),
               f"it steps with actions of the shape {np.shape(actions)}, expected ({self.num_agents},): one "
               "for each agent")
        expect(np.array_equal(actions, self.actions), "it steps with other actions than those it was given")
        self.clock.now += self.step_seconds[self.steps % len(self.step_seconds)]
        self.steps += 1
        flags = np.zeros(self.num_agents, bool)
        observations = np.zeros((self.num_agents, 1), np.float32)
        return observations, observations[:, 0], flags, flags, []


@register("sps", live=True)
def _(steps_per_second, rng, hidden):
    "agent-steps a second on a clock of the check's own, with steps that take unequally long; no reset in it"
    sizes = [tuple(map(int, rng.integers(2, 50, 2))) for _ in range(5)]
    for agents, calls in sizes + ([(1, 1), (1, 30), (700, 3), (3, 5000)] if hidden else []):
        each, reset = rng.uniform(0.001, 0.5, calls), rng.uniform(3, 9)
        clock, actions = Clock(rng.uniform(10, 1000)), rng.integers(0, 4, agents).astype(np.int32)
        env = Timed(clock, actions.copy(), each, reset)
        found = number(steps_per_second(env, actions, calls, clock))
        right = agents * calls / each.sum()
        expect(clock.reads >= 2,
               "it does not read the clock that it is given: call clock() before the first step and after "
               "the last")
        expect(env.steps == calls, f"it calls env.step {env.steps} times, expected {calls}")
        if agents > 1:
            expect(not np.isclose(found, right / agents),
                   "it counts calls: one call advances every agent by a step")
        expect(not np.isclose(found, agents * calls / (each.sum() + reset)),
               "the reset is inside the clock: read the clock after it")
        expect(not np.isclose(found, 1 / right), "that is seconds a step: turn it over")
        if calls > 1:
            expect(not np.isclose(found, agents / each[-1]),
                   "that is the speed of the last call alone: read the clock once before all of them")
            expect(not np.isclose(found, agents / each.min()),
                   "that is the speed of the fastest call alone: all calls count, the slow ones too")
            expect(not np.isclose(found, (agents / each).mean()),
                   "it averages the speeds of the single calls, in which a slow call hardly counts: divide "
                   "all steps by all seconds")
        expect(np.isclose(found, right),
               f"{agents} agents and {calls} calls that take {each.sum():.4g} s together are {right:.5g} "
               f"agent-steps/s, given {found:.5g}")


def reference_days(years_per_day, observations_per_second, steps_per_second, learner=np.inf):
    steps = years_per_day * 365 * observations_per_second
    return steps / steps_per_second + steps / learner


def days(days_needed):
    """The answer as a function, whose years may have 365.25 days: that is as good."""
    def answer(*case):
        found, right = number(days_needed(*case)), reference_days(*case)
        return right if np.isclose(found, right * 365.25 / 365, rtol=1e-6, atol=0) else found
    return answer


@register("cost")
def _(days_needed, rng, hidden):
    "days of one machine for one day of practice, for any practice, rate of looking and speed"
    cases = [(rng.uniform(1, 2000), rng.uniform(1.5, 30), 10 ** rng.uniform(3.2, 8)) for _ in range(20)]
    cases += [(900, 7.5, 1_000_000), (1, 60, 250)]
    same_values(days(days_needed), reference_days, cases, mistakes={
        "it forgets how many observations a second there are":
            lambda years, looks, speed: reference_days(years, 1, speed),
        "it divides the wrong way: a faster machine must need fewer days": lambda *a: 1 / reference_days(*a),
        "that is hours: a day has 24 of them": lambda *a: 24 * reference_days(*a),
        "that is seconds: a day has 86,400 of them": lambda *a: SECONDS_A_DAY * reference_days(*a),
        "it takes OpenAI Five's 7.5 observations a second whatever it is given":
            lambda years, looks, speed: reference_days(years, 7.5, speed),
        "it takes OpenAI Five's 900 years a day whatever it is given":
            lambda years, looks, speed: reference_days(900, looks, speed),
    })
    if hidden:
        edges(days(days_needed), reference_days, {
            "no practice needs no days": (0, 7.5, 1e6),
            "it fails on very little practice on a very slow machine": (0.01, 1, 1),
            "it fails on very much of both": (10 ** 7, 240, 10 ** 12),
            "it fails on NumPy's numbers": (np.int64(900), np.float32(7.5), np.float64(1e6))})


@register("cost", part="learning")
def _(days_needed, rng, hidden):
    "with a learner: simulating and learning take turns, so their times add up"
    cases = [(rng.uniform(1, 2000), rng.uniform(1.5, 30), 10 ** rng.uniform(5, 8), 10 ** rng.uniform(5, 7))
             for _ in range(10)]
    if hidden:
        cases += [(900, 7.5, 2e6, np.inf), (900, 7.5, 1e6, 1e6), (900, 7, 3_000_000, 1_000_000)]

    def with_speed(combine):
        return lambda years, looks, speed, learner: reference_days(years, looks, combine(speed, learner))

    same_values(days(days_needed), reference_days, cases, mistakes={
        "it ignores the learner: each step is simulated and then learnt from": with_speed(lambda a, b: a),
        "it ignores the simulator: each step is simulated before it is learnt from":
            with_speed(lambda a, b: b),
        "it adds the speeds, and a second thing to do makes it faster: add the times": with_speed(np.add),
        "it counts the slower of the two alone, as if they ran at the same time: they take turns":
            with_speed(min),
        "it takes the mean of the two speeds: add the times": with_speed(lambda a, b: (a + b) / 2)})


@register("balance")
def _(balance, rng, hidden):
    "int32 actions for every row, and a mean return of at least 300 on 64 carts"
    for carts in (64, 1, 7, *((200, 1, 1, 1) if hidden else ())):
        env = envs.make("cartpole", carts, seed=int(rng.integers(1, 10_000)), report_interval=0)
        observations, _ = env.reset()
        returns, playing = np.zeros(carts), np.ones(carts, bool)
        for _ in range(500 if carts >= 64 else 100):
            given = observations.copy()
            actions = balance(given)
            expect(isinstance(actions, np.ndarray),
                   f"it returns {shown(actions)}, expected a NumPy array, one action for each row")
            expect(actions.shape == (carts,),
                   f"it returns the shape {actions.shape} for observations ({carts}, 4), expected "
                   f"({carts},): one action for each row")
            expect(actions.dtype == np.int32,
                   f"it returns {actions.dtype}, expected int32: .astype(np.int32)")
            expect(np.isin(actions, (0, 1)), "it gives other actions than 0 (left) and 1 (right)")
            expect(np.array_equal(given, observations), "it changes the observations: work on a copy")
            _, rewards, terminals, truncations, _ = env.step(actions)
            returns += rewards * playing
            playing &= ~(terminals | truncations)
        env.close()
        if carts >= 64:
            expect(returns.mean() >= 300,
                   f"the mean return is {returns.mean():.0f}, expected at least 300: where the pole leans "
                   "is not enough, and how fast it turns is not enough; use both, and not too much of the "
                   "second")
        expect(returns.mean() >= 60,
               f"in a batch of {carts} a cart stays up for {returns.mean():.0f} steps, and among 64 for more "
               "than 300: an action must follow from its own row, not from the rest of the batch")
