"""Checks of level 5: shared memory, the words of a hand-off, first come first served, double buffering,
seeds, dead workers, the bug in a collector.

No check starts a process or waits without limit: the other side of a hand-off is played by the check, between
any two accesses of the answer to memory, and time is a number wherever it can be.
"""

import math

import numpy as np

from puffer_min.course.check import CheckFailed, register
from puffer_min.course.checks.layouts import LINE, random_arrays, random_block
from puffer_min.course.checks.other_sides import (
    GUILTY,
    Collector,
    Groups,
    Pool,
    Words,
    Worker,
    acted,
    double,
    observed,
    outcome,
    play,
    quickest,
    rewarded,
    right_give,
    right_serve,
    right_take,
    said,
)
from puffer_min.course.claims import TRIES, expect, same_values


def laid_out(shared_layout, rng, hidden):
    """For some random layouts: what the answer makes of a block, the block, its former bytes, the places."""
    for count in (1, 3, 8, *((0, 20) if hidden else ())):
        shapes = random_arrays(rng, count, hidden)
        block, places = random_block(rng, shapes)
        before = block.copy()
        arrays = shared_layout(block, dict(shapes))
        expect(isinstance(arrays, dict) and list(arrays) == list(shapes),
               "it must return a dict with the given names in the given order")
        for name, (shape, dtype) in shapes.items():
            array = arrays[name]
            expect(isinstance(array, np.ndarray) and array.shape == shape and array.dtype == dtype,
                   f"{name!r} has the shape {np.shape(array)} and the dtype {getattr(array, 'dtype', None)}, "
                   f"expected {shape} and {np.dtype(dtype)}")
        yield arrays, block, before, places


@register("shared_layout")
def _(shared_layout, rng, hidden):
    "shapes and dtypes; each array holds the bytes of its own lines, in order; the block stays as it was"
    for arrays, block, before, places in laid_out(shared_layout, rng, hidden):
        expect(np.array_equal(block, before),
               "it writes into the block: a second process that lays out the same arrays would wipe what the "
               "first one has written")
        text, end = before.tobytes(), 0
        for name, (first, last) in places.items():
            found = arrays[name].tobytes()
            if found == text[first:last]:
                end = last
                continue
            begins = text.find(found) if len(found) > 3 else -1
            expect(begins >= 0,
                   f"{name!r} does not hold the bytes {first} to {last - 1} of the block: take a view by "
                   "slicing and .view(dtype)")
            expect(begins >= end,
                   f"{name!r} begins at byte {begins}, inside or before the array that it follows in "
                   "`shapes`: keep the order given, and advance by the bytes of an array, its numbers times "
                   "its itemsize")
            expect(begins % LINE == 0,
                   f"{name!r} begins {begins % LINE} bytes into a cache line: round offsets up to a multiple "
                   f"of {LINE}")
            raise CheckFailed(f"{name!r} begins at byte {begins}, expected {first}: the first array at the "
                              "start of the block, whole cache lines for each, and none that stays empty")


@register("shared_layout", part="views", live=True)
def _(shared_layout, rng, hidden):
    "views of the block that can be written, and no copies"
    for arrays, block, _, places in laid_out(shared_layout, rng, hidden):
        for name, array in arrays.items():
            expect(np.shares_memory(array, block),
                   f"{name!r} is a copy, which no other process sees: take a view of the block, by slicing "
                   "and .view(dtype)")
            expect(array.flags.writeable, f"{name!r} cannot be written: hand out the view as it is")
            expect(array.ctypes.data - block.ctypes.data == places[name][0],
                   f"{name!r} lies {array.ctypes.data - block.ctypes.data} bytes into the block, expected "
                   f"{places[name][0]}")


# ---------------------------------------------------------------------- the words of a hand-off

@register("handoff_word", live=True)
def _(give, serve, take, rng, hidden):
    "every action is stepped once and its result taken, wherever the other side comes in between"
    words, calls = Words(), []
    found = serve(words, 0, calls.append)
    expect(not calls, "serve steps although there is no new ticket: compare it with `seen` first")
    expect(found == 0, f"serve returns {found} where there is no new ticket, expected `seen`, here 0")
    give(words, 7)
    expect(words["ticket"] > 0,
           "give leaves the ticket as it was, so the worker never knows of the action: add 1 to it")
    expect(take(words) is None,
           "take returns a result before the worker has finished: compare done with the ticket")
    served = serve(words, 0, double)
    expect(served == words["ticket"],
           f"serve returns {served}, expected the ticket that it has finished, {words['ticket']}")
    expect(take(words) == 14,
           f"take returns {take(words)} for the action 7, expected what step(7) returned: 14")
    give(words, 8)
    expect(words["ticket"] > served,
           "the second give leaves the ticket where the first had brought it, so the worker does not know of "
           "another action: it is a counter that only grows, so add 1 to it")
    expect(take(words) is None,
           "take returns the result of the step before: done must be equal to the ticket, not merely above 0")
    sides = {"give": (give, right_serve, right_take, "caller"),
             "serve": (right_give, serve, right_take, "worker"),
             "take": (right_give, right_serve, take, "caller")}
    for name, (*functions, watched) in sides.items():
        play(functions, watched, rng, GUILTY[name], name)
    for watched in ("caller", "worker"):
        play((give, serve, take), watched, rng,
             "the two sides together stepped {found} for {given}: each agrees with a right other side, so "
             "look at what the ticket counts")
    if hidden:
        # results that are 0, and many rounds
        for watched in ("caller", "worker"):
            play((give, serve, take), watched, rng, "a result of 0 is a result: {found} came for {given}",
                 "0", step=lambda action: action - 10, rounds=600)


# ---------------------------------------------------------------------- first come, first served

@register("first_ready", live=True)
def _(first_ready, rng, hidden):
    ("observations, actions and rewards of every environment in its own order, whoever comes first, and its "
     "last observation; batches are overwritten")
    sizes = [(4, 4, 5, 7), (6, 2, 8, 7), (8, 3, 12, 7), (5, 1, 6, 7)]
    if hidden:
        sizes += [(1, 1, 1, 3), (20, 7, 25, 3), (3, 2, 1, 11), (2, 1, 60, 2)]
    for num_envs, batch, steps, times in sizes:
        def act(observations, times=times):
            return acted(observations, times)

        pool = Pool(rng, num_envs, batch, steps)
        found = first_ready(pool, act, steps)
        expect(isinstance(found, tuple | list) and len(found) == 4,
               "it must return three tables, observations, actions, rewards, and the last observations")
        *tables, last = (np.asarray(table) for table in found)
        for name, table in zip(("observations", "actions", "rewards"), tables, strict=True):
            expect(table.shape == (steps, num_envs),
                   f"{name} has the shape {table.shape}, expected ({steps}, {num_envs})")
        expect(last.shape == (num_envs,),
               f"the last observations have the shape {last.shape}, expected ({num_envs},)")
        observations, actions, rewards = tables
        right = np.array([[observed(env, t) for env in range(num_envs)] for t in range(steps)])
        expect(not np.isnan(rewards.astype(float)).any(),
               "there is NaN among the rewards: the first result of each environment is that of its reset, "
               "which no action has earned")
        expect(rewards.dtype.kind == "f" and observations.dtype.kind == "f",
               f"the tables hold {observations.dtype} observations and {rewards.dtype} rewards, expected "
               "real numbers: whole ones lose what is behind the point")
        strange = np.argwhere(observations // 100 != np.arange(num_envs))
        expect(not len(strange),
               f"column {strange[0, 1] if len(strange) else 0} holds an observation of another environment, "
               "or none: write to the column batch.rows[i], count the steps of each environment apart, and "
               "copy what recv shows")
        expect(np.array_equal(observations, right),
               "the observations of an environment are not its first ones in their order: copy what "
               "recv shows, which is overwritten, and count the steps of each environment apart")
        expect(np.array_equal(actions, act(right)),
               "an action does not belong to the observation beside it")
        expect(np.array_equal(rewards, rewarded(right, act(right))),
               "a reward does not belong to the observation and action beside it: "
               "it comes with the *next* batch that holds this environment")
        wanted = np.array([observed(env, steps) for env in range(num_envs)])
        wrong = np.flatnonzero(last != wanted)
        expect(not len(wrong),
               f"the last observation of environment {wrong[0] if len(wrong) else 0} is not what it showed "
               "after its step number `steps`: the batch that brings the last reward brings it too, and a "
               "quick environment comes again later")
        expect(pool.count.min() == steps,
               f"it goes on until the slowest has made {pool.count.min()} steps, expected {steps}: stop as "
               "soon as it has")


# ---------------------------------------------------------------------- double buffering

@register("double_buffer", live=True)
def _(double_buffer, rng, hidden):
    ("each group gets its own actions, so many as were asked for; policy and environments work at the same "
     "time; the last observations")
    cases = [(2, 1.0, 1.0), (2, 3.0, 1.0), (2, 1.0, 3.0), (3, 2.0, 1.0), (2, *rng.uniform(0.5, 2.0, 2))]
    for groups, step, thought in cases + ([(5, 8.0, 2.0), (1, 1.0, 1.0), (4, 0.5, 1.0)] if hidden else []):
        steps, vec = int(rng.integers(15, 30)), Groups(groups, step, thought)
        last = double_buffer(vec, vec.policy, steps)
        for group in range(groups):
            expect(len(vec.acted[group]) == steps,
                   f"group {group} of {groups} was sent {len(vec.acted[group])} actions, expected "
                   f"steps={steps}")
        expect(isinstance(last, tuple | list) and list(last)
               == [(group, steps) for group in range(groups)],
               f"it returns {last!r:.80}, expected the observations of each group after its last step: recv "
               "every group once more")
        best = steps * max(step + thought, groups * thought) + 2 * step
        expect(vec.now <= 1.05 * best + thought,
               f"{steps} steps of {step:.1f} s with {groups} groups and a policy of {thought:.1f} s took "
               f"{vec.now:.0f} s, expected about {best:.0f}: a group or the policy waits; send a group its "
               "actions as soon as the policy has them, and think about another group meanwhile")


@register("double_buffer", part="groups")
def _(groups_needed, rng, hidden):
    "the fewest groups with which the policy never waits, for random times"
    cases = [(1.0, 1.0), (3.0, 1.0), (1.0, 4.0), (2.5, 1.0), *(rng.integers(1, 40, (12, 2)) / 4).tolist()]
    if hidden:
        cases += [(0.0, 1.0), (0.25, 8.0), (64.0, 0.5), *(rng.integers(1, 4000, (20, 2)) / 8).tolist()]
    same_values(groups_needed, lambda step, thought: math.ceil((step + thought) / thought), cases, rtol=0,
                atol=0, mistakes={
        "it forgets the group that the policy is thinking about: while the others step, it is one more":
            lambda step, thought: math.ceil(step / thought),
        "it rounds down: the policy then waits for a part of a step":
            lambda step, thought: int((step + thought) // thought),
        "it is one too many where the times fit exactly: round up": lambda step, thought:
            int((step + thought) // thought) + 1,
        "it has two groups whatever the times are": lambda step, thought: 2,
        "it takes the times the wrong way round": lambda step, thought: math.ceil((step + thought) / step)})


# ---------------------------------------------------------------------- seeds

MANY = 12_000                   # environments of a large experiment
APART = (1, 2, 3, 5, 10, 100, 1000, 1024, 4096, 65_536, 100_000, 1_000_000)
BY_CHANCE = 5                   # so few of 12,000 numbers below 2**31 may be equal by chance


@register("env_seeds")
def _(env_seeds, rng, hidden):
    ("the same for any division among workers; distinct, for thousands of environments too; other seeds give "
     "other environments; below 2**31")
    def whole(seed, count=240, first=0):
        found = list(env_seeds(seed, first, count))
        expect(len(found) == count, f"it gives {len(found)} seeds for {count} environments")
        for number in found:
            expect(isinstance(number, int | np.integer) and not isinstance(number, bool),
                   f"it gives {number!r}, expected whole numbers")
            expect(0 <= number < 2**31,
                   f"for seed={seed} a seed is not in [0, 2**31), and many simulators take no other")
        return [int(number) for number in found]

    seed = int(rng.integers(1, 10_000))
    for base in (0, seed):
        together = whole(base)
        expect(len(set(together)) == 240,
               "two environments have the same seed, so they play the same episodes")
        expect(whole(base) == together,
               "it gives other seeds when it is asked again: use no global random stream and no clock")
        for workers in (2, 3, 8):
            part = 240 // workers
            divided = [int(found) for worker in range(workers)
                       for found in env_seeds(base, worker * part, part)]
            expect(divided == together,
                   f"with {workers} workers the environments have other seeds than with one: environment i "
                   "must be seeded from (seed, i) alone, with i counted over all workers")
    pairs = [(0, 1, 240), (1, 2, 240), *((seed, seed + apart, 1000) for apart in APART), (0, 1, MANY)]
    if hidden:
        pairs += [(int(one), int(other), 1500) for one, other in rng.integers(0, 2**31, (8, 2))]
    for one, other, count in pairs:
        first, second = set(whole(one, count)), set(whole(other, count))
        expect(len(first) >= count - BY_CHANCE,
               f"of {count:,} environments {count - len(first):,} have the seed of another one, so they play "
               "the same episodes")
        shared = len(first & second)
        expect(shared <= BY_CHANCE,
               f"seeds {one} and {other} share {shared:,} of {count:,} environments, so two runs that should "
               "be independent are nearly the same: mix seed and index instead of adding them")
    alone = {whole(number, 1)[0] for number in range(3000)}
    expect(len(alone) >= 3000 - BY_CHANCE,
           f"in 3,000 runs the first environment has only {len(alone):,} seeds, so runs with different seeds "
           "begin alike")
    for large in (3_000_000, 2**31 - 1):
        whole(large, 3)
    if hidden:
        expect(whole(seed, 0) == [] and whole(seed, 5, 1_000_000) == whole(seed, 8, 999_997)[3:],
               "environment i must be seeded from (seed, i) alone, for the millionth environment too, and no "
               "environment has no seed")


# ---------------------------------------------------------------------- dead workers

def returns_and_gives_up(wait_for, timeouts):
    """The claims about a worker that lives."""
    error, seconds = quickest(wait_for, 1.5, 1.0, finishes=0.15)
    expect(error is None, f"it raises {type(error).__name__} for a worker that finishes in time: {error}")
    expect(seconds < 1.0,
           "it returns long after the worker has finished: look often, and do not sleep for the whole "
           "timeout")
    for timeout in timeouts:
        idle = Worker()
        error, seconds = outcome(wait_for, idle, timeout)
        expect(seconds < 3, "it waits for ever for a worker that hangs: give up after `timeout` seconds")
        expect(isinstance(error, TimeoutError),
               f"of a worker that hangs it says {said(error)}, expected TimeoutError")
        expect(seconds > 0.75 * timeout, f"it gives up after {seconds:.2f} s, expected timeout={timeout} s")
    looks = idle.looks
    if looks >= 3000:                                       # or does it sleep by another module than time?
        idle = Worker()
        outcome(wait_for, idle, 0.4, real=True)
        looks = idle.looks
    expect(looks < 3000,
           f"it looked {looks:,} times in 0.4 s: sleep a little between two looks, the worker needs the core")
    for _ in range(TRIES):
        if looks >= 20:
            break
        idle = Worker()
        outcome(wait_for, idle, 0.4)
        looks = max(looks, idle.looks)
    expect(looks >= 20,
           f"it looked {looks} times in 0.4 s, so it notices a step of a millisecond long after it has "
           "ended: look about once a millisecond")


@register("wait_for", part="timeout", live=True)
def _(wait_for, hidden):
    "returns when the word is there; gives up in time; looks often and does not spin"
    returns_and_gives_up(wait_for, (1.0, 0.2, 0.4) if hidden else (0.4,))


@register("wait_for", live=True)
def _(wait_for, rng, hidden):
    ("returns when the word is there; says who died, with its exit code; gives up in time; loses no last "
     "result; does not spin")
    returns_and_gives_up(wait_for, (0.4,))
    code = int(rng.integers(2, 15)) if hidden else -int(rng.integers(2, 15))
    error, seconds = quickest(wait_for, 2.5, 2.0, dies=0.1, exitcode=code)
    expect(seconds < 3, "it waits for ever for a worker that is dead: ask process.is_alive() as well")
    expect(isinstance(error, RuntimeError) and seconds < 2,
           f"of a worker that died it says {said(error)} after {seconds:.1f} s, expected "
           "RuntimeError at once: ask process.is_alive() at every look")
    expect(str(code) in str(error),
           f"the message says {str(error)!r}, expected the exit code in it, here {code}")
    error, seconds = quickest(wait_for, 2.5, 2.0, dies=0.1, exitcode=0)
    expect(isinstance(error, RuntimeError) and seconds < 2,
           f"of a worker that left with exit code 0 and without its word it says {said(error)} after "
           f"{seconds:.1f} s, expected RuntimeError at once: the word will not come, so ask "
           "process.is_alive(), whatever the exit code")
    error, _ = outcome(wait_for, Worker(finishes=0.0, dies=0.0, exitcode=0), 0.5)
    expect(error is None,
           "it reports a worker that had finished before it left: look at the word first, then whether it is "
           "alive")
    error, _ = outcome(wait_for, Worker(exitcode=0, last_moment=True), 0.5)
    if error is not None:
        raise CheckFailed("it loses the last result of a worker that finished and left between the two "
                          "looks: when it is dead, look at the word once more before you raise")
    if hidden:
        error, seconds = quickest(wait_for, 2.5, 2.0, dies=0.0, exitcode=code)
        expect(isinstance(error, RuntimeError) and seconds < 2,
               f"of a worker that was dead before the first look it says {said(error)} after {seconds:.1f} "
               "s, expected RuntimeError at once")
        error, _ = outcome(wait_for, Worker(finishes=0.0), 0.0)
        expect(error is None, "with timeout=0 it does not see a word that is there: look before you give up")


# ---------------------------------------------------------------------- the planted bug

@register("collector_culprit", live=True)
def _(culprit, rng, hidden):
    "the right listing for collectors of other sizes, from what they hand out alone"
    hints = {"seeds": "already after the reset, the environments of one worker are those of another",
             "order": "the reset may look right, but rows of results lie where other environments belong",
             "views": "what one step handed out is overwritten by the next",
             "healthy": "with one worker and with several it hands out the same, and nothing changes later"}
    # an answer that looks once finds three workers in order one time in six: only many of them find it out
    names = [*hints] * 6 + ["order"] * 12 if hidden else [*hints] * 2
    for name in rng.permutation(names).tolist():
        part = int(rng.integers(1, 5))
        num_envs = 12 * part if hidden else 12
        stream = np.random.default_rng(rng.integers(1000))
        found = culprit(lambda workers, name=name, num_envs=num_envs, stream=stream:
                        Collector(stream, num_envs, workers, name))
        expect(found in hints, f"it returns {found!r}, expected one of {', '.join(hints)}")
        expect(found == name, f"it blames {found!r} where it is {name!r}: {hints[name]}")
