"""Checks of level 3: advantages of rows, and the rows of the buffer."""

import numpy as np

from puffer_min.course.check import register
from puffer_min.course.checks.forms import edges, number
from puffer_min.course.claims import faster, no_python, same_values

# ---------------------------------------------------------------------- GAE

def reference_gae(rewards, values, ends, next_values, advantages, gamma, gae_lambda, truncations=None,
                  final_values=None, *, value_stops=True, sum_stops=True, bootstraps=True, shift=False):
    """Writes the advantages; with one thing left out, to recognise a mistake by its numbers."""
    rewards, values = rewards.astype(np.float64), values.astype(np.float64)
    running, after = np.zeros(len(rewards)), next_values.astype(np.float64) * bootstraps
    for t in reversed(range(rewards.shape[1])):
        goes_on = 1 - ends[:, t].astype(np.float64)
        later = (values[:, t] if shift else after) * (goes_on if value_stops else 1)
        if truncations is not None:
            later = np.where(truncations[:, t], final_values[:, t], later)
        running = (rewards[:, t] + gamma * later - values[:, t]
                   + gamma * gae_lambda * (goes_on if sum_stops else 1) * running)
        advantages[:, t] = running
        after = values[:, t]


def wrong_gae(**left_out):
    return lambda *case: reference_gae(*case, **left_out)


def with_settings(gamma=None, gae_lambda=None):
    """As if gamma or lambda were always the same."""
    return lambda *case: reference_gae(*case[:5], case[5] if gamma is None else gamma,
                                       case[6] if gae_lambda is None else gae_lambda)


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


def adding_gae(*case):
    """Adds to what stands in the advantages already."""
    before = case[4].copy()
    reference_gae(*case)
    case[4][:] += before


def random_rows(rng, rows, horizon, gamma=0.9, gae_lambda=0.7):
    """Arguments of `gae`; the advantages hold what an update before has left there."""
    rewards, values = (rng.normal(size=(rows, horizon)).astype(np.float32) for _ in range(2))
    ends = (rng.random((rows, horizon)) < 0.2).astype(np.uint8)
    next_values = rng.normal(size=rows).astype(np.float32)
    advantages = rng.normal(50, 9, size=(rows, horizon)).astype(np.float32)
    return rewards, values, ends, next_values, advantages, gamma, gae_lambda


IN_PLACE = {"rtol": 1e-3, "atol": 1e-4, "changes_arguments": True}


@register("gae")
def _(gae, rng, hidden):
    "values on random rows, for several gamma and lambda; nothing flows back over the end of an episode"
    cases = [random_rows(rng, *sizes) for sizes in ((1, 1, 0.9, 0.7), (1, 6, 0.99, 0.5), (3, 5, 0.7, 0.95),
                                                    (7, 33))]
    same_values(gae, reference_gae, cases, **IN_PLACE, mistakes={
        "the advantages are left as they were: write into them": lambda *case: None,
        "it adds to what stands in the advantages: an update later that is the last update's": adding_gae,
        "it forgets gamma": with_settings(gamma=1.0),
        "it forgets lambda": with_settings(gae_lambda=1.0),
        "it ignores the ends of episodes": wrong_gae(value_stops=False, sum_stops=False),
        "the end of an episode cuts the value off but not the running sum": wrong_gae(sum_stops=False),
        "the end of an episode cuts the running sum off but not the value": wrong_gae(value_stops=False),
        "it takes nothing to come after the last step: start from next_values": wrong_gae(bootstraps=False),
        "it is off by one: what comes after step t is the value of step t + 1": wrong_gae(shift=True),
        "the running sum of one row goes on in the next: set it to 0 for each row": gae_without_restart})
    row = random_rows(rng, 2, 4)

    def ending(*columns):
        """The row with ends at these steps alone."""
        ends = np.zeros((2, 4), np.uint8)
        ends[:, list(columns)] = 1
        return *row[:2], ends, *row[3:]

    special = {"an end at the last step cuts next_values off": ending(3),
               "an end at the first step is an end as well": ending(0),
               "every step may be the end of an episode": ending(0, 1, 2, 3),
               "it fails where no episode ends": ending(),
               "with lambda 0 nothing but one step counts": (*row[:5], 0.95, 0.0),
               "with gamma and lambda 1 the sum is never discounted": (*row[:5], 1.0, 1.0)}
    if hidden:
        special |= {"it fails on a horizon of 400": random_rows(rng, 3, 400, 0.99, 0.95),
                    "it fails on 300 rows of one step": random_rows(rng, 300, 1),
                    "it fails where there is no row": random_rows(rng, 0, 5),
                    "with gamma 0 there is no future": (*row[:5], 0.0, 0.95),
                    "it fails on large numbers": (row[0] * 1000, row[1] * 1000, *row[2:])}
    edges(gae, reference_gae, special, **IN_PLACE)


@register("gae", part="truncations")
def _(gae, rng, hidden):
    "where an episode was only cut off, the value of its last observation counts, and nothing after it"
    def case(rows, horizon, *settings):
        rewards, values, ends, *rest = random_rows(rng, rows, horizon, *settings)
        truncations = ends & (rng.random(ends.shape) < 0.5)
        truncations[0, horizon // 2] = ends[0, horizon // 2] = 1
        return rewards, values, ends, *rest, truncations, rng.normal(size=ends.shape).astype(np.float32)

    cases = [case(1, 4), case(5, 20, 0.97, 0.6), case(3, 9, 0.8, 0.95)]
    if hidden:
        last, none = case(2, 6), case(4, 30)
        last[2][:, -1] = last[7][:, -1] = 1
        cases += [last, (*none[:7], none[7] * 0, none[8]), case(60, 1)]

    def instead(change):
        return lambda *case: reference_gae(*case[:7], *change(*case))

    def sum_goes_on(*case):
        """A cut lets the running sum through, and with it the next episode."""
        rewards, values, ends, next_values, advantages, gamma, gae_lambda, truncations, final = case
        running, after = np.zeros(len(rewards)), next_values
        for t in reversed(range(rewards.shape[1])):
            later = np.where(truncations[:, t], final[:, t], after * (1 - ends[:, t]))
            goes_on = 1 - (ends[:, t] & ~truncations[:, t] & 1)
            running = rewards[:, t] + gamma * later - values[:, t] + gamma * gae_lambda * goes_on * running
            advantages[:, t], after = running, values[:, t]

    same_values(gae, reference_gae, cases, **IN_PLACE, mistakes={
        "it takes a truncation for a terminal: the episode would have gone on, to the worth of final_values":
            lambda *case: reference_gae(*case[:7]),
        "it takes the next episode's value after a truncation: final_values has the one at the cut":
            lambda *case: reference_gae(*case[:7], case[7],
                                        np.append(case[1][:, 1:], case[3][:, None], axis=1)),
        "it takes final_values at terminals as well: nothing comes after them":
            instead(lambda *case: (case[2], case[8])),
        "it takes final_values on every step": instead(lambda *case: (np.ones_like(case[7]), case[8])),
        "a truncation lets the running sum through: what follows is another episode": sum_goes_on,
        "it leaves the discount of final_values out": instead(lambda *case: (case[7], case[8] / case[5]))})


@register("gae", part="speed", live=True)
def _(gae, rng):
    "no Python in the loop; at least 300 times as fast as the plain loop"
    no_python(gae)
    large = random_rows(rng, 64, 32)
    faster(lambda: gae(*large), lambda: slow_gae(*large), 300)


# ---------------------------------------------------------------------- rows of experience

def reference_steps_until_full(alive, segments, horizon, begun=None):
    """Steps until `segments` rows are full, or -1 if `alive` (steps, agents) runs out before."""
    column, full = np.zeros(alive.shape[1], np.int64) + (0 if begun is None else begun), 0
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


def exactly_so_many(alive, segments, horizon):
    """Misses the number where two rows become full at once."""
    column, full = np.zeros(alive.shape[1], np.int64), 0
    for step, living in enumerate(alive, 1):
        column[living] += 1
        full += int((column == horizon).sum())
        column[column == horizon] = 0
        if full == segments:
            return step
    return -1


def as_if_immortal(alive, segments, horizon):
    return reference_steps_until_full(np.ones_like(alive), segments, horizon)


def game(rng, steps, agents, share, segments, horizon):
    return rng.random((steps, agents)) < share, segments, horizon


@register("segments")
def _(steps_until_full, rng, hidden):
    "values with and without deaths; rows that become full at once; games that end before the buffer is full"
    def answer(*case):
        return number(steps_until_full(*case))

    games = [(60, 4, 1.1, 4, 8), (60, 4, 1.1, 8, 8), (80, 5, 0.6, 9, 4), (80, 3, 0.5, 7, 5),
             (6, 4, 1.1, 4, 8), (90, 7, 0.8, 40, 6)]
    cases = [game(rng, *settings) for settings in games]
    same_values(answer, reference_steps_until_full, cases, mistakes={
        "it counts the rows handed out, and every agent owns one before the first step: count the rows that "
        "are full": by_rows_handed_out,
        "it pools the samples of all agents: a row belongs to one agent and is full when that agent has "
        "filled it": by_samples,
        "it lets the dead play on: an agent that is not alive writes nothing": as_if_immortal,
        "a death empties the row, expected that it only waits: what was written stays": forgetting_the_dead,
        "an agent that has filled its row must take a fresh one": one_row_each,
        "it wants one row more than it was asked for":
            lambda alive, segments, horizon: reference_steps_until_full(alive, segments + 1, horizon),
        "a row is full when it holds `horizon` cells, not one more":
            lambda alive, segments, horizon: reference_steps_until_full(alive, segments, horizon + 1),
        "it is off by one: after the first step the answer is 1":
            lambda *case: max(-1, reference_steps_until_full(*case) - 1)})
    three = np.ones((6, 3), bool), 2, 2
    same_values(answer, reference_steps_until_full, [three, (np.ones((9, 5), bool), 7, 3)], mistakes={
        "it waits for exactly so many rows, and where several become full at once it jumps over the number: "
        "at least `segments`": exactly_so_many})
    special = {"the buffer may become full on the very last step": (np.ones((4, 2), bool), 2, 4),
               "with a horizon of 1 every step fills a row": (np.ones((3, 1), bool), 3, 1),
               "where nobody lives no row is ever full": (np.zeros((5, 2), bool), 1, 1),
               "one agent may fill all the rows": game(rng, 40, 1, 0.7, 4, 3)}
    if hidden:
        special |= {"it fails where there is no step": (np.zeros((0, 3), bool), 1, 2),
                    "it fails where deaths are rare and rows are long": game(rng, 3000, 9, 0.95, 60, 128),
                    "it fails where one agent plays and the others are dead":
                        (np.arange(3)[None].repeat(30, 0) == 2, 5, 4),
                    "it fails on many agents with short rows": game(rng, 50, 200, 0.3, 900, 2)}
    edges(answer, reference_steps_until_full, special)


@register("segments", part="carried")
def _(steps_until_full, rng, hidden):
    "with `begun`, rows go on where the last update left them, and `begun` stays as it was"
    def case(steps, agents, share, segments, horizon):
        return *game(rng, steps, agents, share, segments, horizon), rng.integers(0, horizon, agents)

    def answer(*case):
        return number(steps_until_full(*case))

    def counting(begun):
        return lambda alive, segments, horizon, given: reference_steps_until_full(
            alive, segments, horizon, begun(given, horizon))

    cases = [case(60, 4, 1.1, 6, 8), case(80, 5, 0.6, 9, 4), case(90, 3, 0.8, 4, 12)]
    if hidden:
        cases += [case(5, 2, 1.1, 9, 6), case(400, 30, 0.5, 100, 9),
                  (np.ones((4, 3), bool), 1, 1, np.zeros(3, int))]
    same_values(answer, reference_steps_until_full, cases, mistakes={
        "it ignores `begun`: rows that were begun go on": lambda *case: reference_steps_until_full(*case[:3]),
        "it takes `begun` for the cells that are missing": counting(lambda begun, horizon: horizon - begun),
        "it counts rows that were begun as full": lambda alive, segments, horizon, begun:
            reference_steps_until_full(alive, segments - int((begun > 0).sum()), horizon),
        "it takes the mean of `begun` for all: each agent has a row of its own":
            counting(lambda begun, horizon: int(begun.mean()))})
