"""Checks of level 1: the loop, its episodes, its speed, its cost, and a rule that balances a pole."""

from itertools import cycle

import numpy as np

import envs
from puffer_min.course.check import register
from puffer_min.course.claims import expect, same_values

SECONDS_A_DAY = 24 * 3600


class Scripted:
    """A batch of one whose rewards and ends follow a script; it resets itself, like all environments here.

    episodes    list of (rewards, end) with end "terminal" or "truncation"; they come again and again
    Observations (1, 1) float32 count the steps since the first reset. `reset` and `step` write into the same
    arrays each time.
    """

    num_agents = 1

    def __init__(self, episodes):
        self.script = [(reward, end if last else None) for rewards, end in episodes
                       for reward, last in zip(rewards, [False] * (len(rewards) - 1) + [True], strict=True)]
        self.steps, self.resets = 0, 0
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
        expect(self.steps < 4 * len(self.script),
               "it goes on for ever: an episode ends when its terminal or its truncation is up")
        self.steps += 1
        reward, end = next(self.coming)
        self.observations[:], self.rewards[:] = self.steps, reward
        self.terminals[:], self.truncations[:] = end == "terminal", end == "truncation"
        return self.observations, self.rewards, self.terminals, self.truncations, []


class Witness:
    """A policy that remembers what it was shown."""

    def __init__(self):
        self.seen = []

    def act(self, observations):
        """Action 0 for each row."""
        self.seen.append(np.asarray(observations).copy().ravel().tolist())
        return np.zeros(len(observations), np.int32)


def random_episodes(rng, end):
    """Three episodes with rewards in steps of a half, the first of them ending by `end`."""
    lengths = rng.integers(2, 12, 3)
    return [(rng.integers(1, 7, length) / 2, kind)
            for length, kind in zip(lengths, (end, "terminal", "terminal"), strict=False)]


@register("loop", live=True)
def _(play_episode, rng):
    "return and length of one episode; a truncation ends it too; nothing of the next episode is counted"
    for end in ("terminal", "truncation", "terminal", "truncation"):
        episodes = random_episodes(rng, end)
        env, policy, rewards = Scripted(episodes), Witness(), episodes[0][0]
        result = play_episode(env, policy)
        expect(isinstance(result, tuple | list) and len(result) == 2,
               f"it returns {result!r}, expected the pair (return, length)")
        total, length = (float(np.squeeze(value)) for value in result)
        expect(len(policy.seen) > 0, "it never asks the policy: policy.act(observations) gives the actions")
        expect(env.steps == len(rewards) or end == "terminal",
               f"it plays on after a truncation: an episode that was cut off after {len(rewards)} steps has "
               "ended too")
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
               f"the return is {total:g} for the rewards {rewards.tolist()}: it is their sum, "
               f"{rewards.sum():g}, with the reward of the last step")


@register("episodes")
def _(episode_returns, rng):
    ("returns of the finished episodes, in the order of their ends; each column on its own; unfinished ones "
     "left out")
    def reference(rewards, ends, keeps=False, includes_last=True, unfinished=False, together=False):
        running, found = np.zeros(rewards.shape[1]), []
        for row, over in zip(rewards, ends, strict=True):
            before, running = running, running + row
            found += (running if includes_last else before)[over].tolist()
            running = running if keeps else np.where(over.any() if together else over, 0, running)
        return found + (running.tolist() if unfinished else [])

    def mixed(rewards, ends):
        running, found = 0.0, []
        for row, over in zip(rewards, ends, strict=True):
            running += row.sum()
            for _ in range(over.sum()):
                found.append(running)
                running = 0.0
        return found

    def case(steps, columns):
        ends = rng.random((steps, columns)) < 0.25
        ends[steps // 2, 0], ends[-1] = True, False
        return rng.integers(1, 20, (steps, columns)) / 4, ends

    cases = [case(12, 1), case(20, 3), case(30, 5)]
    same_values(lambda *arrays: list(episode_returns(*arrays)), reference, cases, mistakes={
        "it counts episodes that never ended: only a flag in `ends` finishes one":
            lambda *a: reference(*a, unfinished=True),
        "the sum is not set back to zero at the end of an episode": lambda *a: reference(*a, keeps=True),
        "it leaves out the reward of the last step, which comes together with the flag":
            lambda *a: reference(*a, includes_last=False),
        "one agent's end sets the sums of the others back as well": lambda *a: reference(*a, together=True),
        "the columns are mixed: each is an agent with a sum of its own": mixed,
    })
    expect(len(episode_returns(np.ones((4, 2)), np.zeros((4, 2), bool))) == 0,
           "no episode has ended, so there is no return to list")


class Clock:
    """A clock that only the environment moves; reading it is free."""

    def __init__(self):
        self.now, self.reads = 0.0, 0

    def __call__(self):
        self.reads += 1
        return self.now


class Timed:
    """An environment that takes exactly `reset_seconds` and `step_seconds` on `clock`."""

    def __init__(self, clock, num_agents, step_seconds, reset_seconds):
        self.clock, self.num_agents = clock, num_agents
        self.step_seconds, self.reset_seconds = step_seconds, reset_seconds
        self.steps = self.resets = 0

    def reset(self, seed=None):
        """Takes long."""
        self.clock.now += self.reset_seconds
        self.resets += 1
        return np.zeros((self.num_agents, 1), np.float32), []

    def step(self, actions):
        """Takes `step_seconds`."""
        expect(self.resets, "it steps an environment that was never reset: reset it first, outside the clock")
        expect(len(actions) == self.num_agents,
               f"it gives {len(actions)} actions to {self.num_agents} agents")
        self.clock.now += self.step_seconds
        self.steps += 1
        flags = np.zeros(self.num_agents, bool)
        observations = np.zeros((self.num_agents, 1), np.float32)
        return observations, observations[:, 0], flags, flags, []


@register("sps", live=True)
def _(steps_per_second, rng):
    "agent-steps a second on a clock of the check's own; the reset is outside"
    for _ in range(5):
        agents, calls = (int(number) for number in rng.integers(2, 50, 2))
        each, reset = rng.uniform(0.001, 0.5), rng.uniform(3, 9)
        clock = Clock()
        env = Timed(clock, agents, each, reset)
        found = float(steps_per_second(env, np.zeros(agents, np.int32), calls, clock))
        right = agents / each
        expect(clock.reads >= 2,
               "it does not read the clock that it is given: call clock() before the first step and after "
               "the last")
        expect(env.steps == calls, f"it calls env.step {env.steps} times, expected {calls}")
        expect(not np.isclose(found, right / agents),
               "it counts calls: one call advances every agent by a step")
        expect(not np.isclose(found, agents * calls / (calls * each + reset)),
               "the reset is inside the clock: read the clock after it")
        expect(not np.isclose(found, 1 / right), "that is seconds a step: turn it over")
        expect(np.isclose(found, right),
               f"{agents} agents and {calls} calls of {each:.3g} s are {right:.5g} agent-steps/s, given "
               f"{found:.5g}")


@register("cost")
def _(days_needed, rng):
    "days of one machine for one day of practice, for any practice, rate of looking and speed"
    def reference(years_per_day, observations_per_second, steps_per_second):
        return years_per_day * 365 * observations_per_second / steps_per_second

    same_values(days_needed, reference,
                [(rng.uniform(1, 2000), rng.uniform(1.5, 30), 10 ** rng.uniform(3.2, 8)) for _ in range(20)],
                mistakes={
        "it forgets how many observations a second there are":
            lambda years, looks, speed: reference(years, 1, speed),
        "it divides the wrong way: a faster machine must need fewer days": lambda *a: 1 / reference(*a),
        "that is hours: a day has 24 of them": lambda *a: 24 * reference(*a),
        "that is seconds: a day has 86,400 of them": lambda *a: SECONDS_A_DAY * reference(*a),
    }, rtol=2e-3)               # 365 or 365.25 days a year


@register("balance")
def _(balance, rng):
    "int32 actions for every row, and a mean return of at least 300 on 64 carts"
    env = envs.make("cartpole", 64, seed=int(rng.integers(1, 10_000)), report_interval=0)
    observations, _ = env.reset()
    returns, playing = np.zeros(64), np.ones(64, bool)
    for _ in range(500):
        actions = balance(observations)
        expect(isinstance(actions, np.ndarray),
               f"it returns a {type(actions).__name__}, expected a NumPy array, one action for each row")
        expect(actions.shape == (64,),
               f"it returns the shape {actions.shape} for observations (64, 4), expected (64,): one action "
               "for each row")
        expect(actions.dtype == np.int32, f"it returns {actions.dtype}, expected int32: .astype(np.int32)")
        _, rewards, terminals, truncations, _ = env.step(actions)
        returns += rewards * playing
        playing &= ~(terminals | truncations)
    env.close()
    expect(returns.mean() >= 300,
           f"the mean return is {returns.mean():.0f}, expected at least 300: where the pole leans is not "
           "enough, and how fast it turns is not enough; use both, and not too much of the second")
