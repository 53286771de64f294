"""Checks of level 5: shared memory, the words of a hand-off, first come first served, double buffering,
seeds, dead workers.

No check starts a process or waits without limit: the other side of a hand-off is played by the check, between
any two accesses of the answer to memory, and time is a number wherever it can be.
"""

from itertools import pairwise

import numpy as np

from puffer_min.course.check import CheckFailed, register
from puffer_min.course.checks.other_sides import (
    Halves,
    Pool,
    Words,
    Worker,
    acted,
    double,
    observed,
    outcome,
    play_handoffs,
    quickest,
    rewarded,
    said,
)
from puffer_min.course.claims import TRIES, expect

LINE = 64


# ---------------------------------------------------------------------- memory

def lines(size):
    return -(-size // LINE) * LINE


def random_arrays(rng, count):
    """name -> (shape, dtype), with sizes that fill their cache lines exactly and sizes that do not; and the
    bytes of all.
    """
    dtypes = ["float32", "int32", "float64", "uint8", "bool"]
    shapes = {f"array {i}": (tuple(int(n) for n in rng.integers(1, 9, rng.integers(1, 4))),
                             dtypes[rng.integers(5)]) for i in range(count)}
    shapes["line"] = (16,), "float32"
    shapes["last"] = (3,), "float64"
    return shapes, sum(lines(int(np.prod(shape)) * np.dtype(dtype).itemsize)
                       for shape, dtype in shapes.values())


@register("shared_layout", live=True)
def _(shared_layout, rng):
    ("shapes and dtypes; views of the block that leave its bytes alone; each on cache lines of its own, in "
     "order, no line wasted")
    for count in (1, 3, 8):
        shapes, size = random_arrays(rng, count)
        raw = np.zeros(size + 20 * LINE, np.uint8)
        start = -raw.ctypes.data % LINE
        block = raw[start:start + size + 19 * LINE]
        # the first process has written already
        block[:] = rng.integers(1, 255, len(block))
        before = block.copy()
        arrays = shared_layout(block, dict(shapes))
        expect(np.array_equal(block, before),
               "it writes into the block: a second process that lays out the same arrays would wipe what the "
               "first one has written")
        expect(isinstance(arrays, dict) and list(arrays) == list(shapes),
               "it must return a dict with the given names in the given order")
        used = []
        for name, (shape, dtype) in shapes.items():
            array = arrays[name]
            expect(isinstance(array, np.ndarray) and array.shape == shape and array.dtype == dtype,
                   f"{name!r} has the shape {np.shape(array)} and the dtype {getattr(array, 'dtype', None)}, "
                   f"expected {shape} and {dtype}")
            expect(np.shares_memory(array, block) and array.flags.writeable,
                   f"{name!r} is a copy, which no other process sees: take a view of the block, by slicing "
                   "and .view(dtype)")
            first = array.ctypes.data - block.ctypes.data
            expect(first % LINE == 0,
                   f"{name!r} begins {first % LINE} bytes into a cache line: round offsets up to a multiple "
                   f"of {LINE}")
            used.append((first, first + array.nbytes, name))
        behind = next((name for (a, _, name), (b, _, _) in pairwise(used) if a > b), None)
        expect(behind is None,
               f"{behind!r} lies behind the array that follows it in `shapes`: keep the order given")
        expect(used[0][0] == 0,
               f"the first array begins {used[0][0]} bytes into the block, expected at its start")
        for (_, end, name), (begin, _, following) in pairwise(used):
            expect(end <= begin,
                   f"{name!r} and {following!r} overlap: advance by the bytes of an array, its numbers times "
                   "its itemsize")
        next_firsts = [*(first for first, _, _ in used[1:]), lines(used[-1][1])]
        for (begin, end, name), following in zip(used, next_firsts, strict=True):
            expect(following - begin == lines(end - begin),
                   f"{name!r} takes {following - begin} bytes, expected {lines(end - begin)}: "
                   "whole cache lines, and none that stays empty")


# ---------------------------------------------------------------------- the words of a hand-off

@register("handoff_word", live=True)
def _(give, serve, take, rng):
    "every action is stepped once and its result taken, wherever the other side comes in between"
    words, calls = Words(), []
    found = serve(words, 0, calls.append)
    expect(not calls, "serve steps although there is no new ticket: compare it with `seen` first")
    expect(found == 0, f"serve returns {found} where there is no new ticket, expected `seen`, here 0")
    give(words, 7)
    expect(words["ticket"] != 0,
           "give leaves the ticket as it was, so the worker never knows of the action: add 1 to it")
    expect(take(words) is None,
           "take returns a result before the worker has finished: compare done with the ticket")
    served = serve(words, 0, double)
    expect(served == words["ticket"],
           f"serve returns {served}, expected the ticket that it has finished, {words['ticket']}")
    expect(take(words) == 14,
           f"take returns {take(words)} for the action 7, expected what step(7) returned: 14")
    give(words, 8)
    expect(take(words) is None,
           "take returns the result of the step before: done must be equal to the ticket, not merely above 0")
    for watched in ("caller", "worker"):
        for likely in (0.1, 0.3, 0.6, 0.9):
            stepped, pairs = play_handoffs(give, serve, take,
                                           lambda likely=likely: rng.random() < likely, watched)
            expect(len(pairs) >= 3,
                   "the hand-off stands still: after some rounds either side waits for the other, and an "
                   "action is lost")
            wrong = next(((given, found)
                          for (given, _), found in zip(pairs, stepped, strict=False) if found != given),
                         None)
            if wrong and watched == "caller":
                raise CheckFailed(f"the worker stepped {wrong[1]} when {wrong[0]} was given, because it saw "
                                  "the ticket before the action: in give, write the action before the "
                                  "ticket; in serve, read the ticket before the action")
            for action, result in pairs:
                expect(result == double(action),
                       f"the caller took {result} for the action {action}, expected {double(action)}: in "
                       "serve, write the result before the word that take looks at; in take, look at that "
                       "word before the result")
            expect(wrong is None,
                   "an action is stepped twice for one ticket: serve must return the ticket that it has "
                   "served, to be the next `seen`")


# ---------------------------------------------------------------------- first come, first served

@register("first_ready", live=True)
def _(first_ready, rng):
    ("observations, actions and rewards of every environment in its own order, whoever comes first; batches "
     "are overwritten")
    for num_envs, batch, steps in ((4, 4, 5), (6, 2, 8), (8, 3, 12), (5, 1, 6)):
        found = first_ready(Pool(rng, num_envs, batch, steps), acted, steps)
        expect(isinstance(found, tuple | list) and len(found) == 3,
               "it must return three tables: observations, actions, rewards")
        tables = [np.asarray(table) for table in found]
        for name, table in zip(("observations", "actions", "rewards"), tables, strict=True):
            expect(table.shape == (steps, num_envs),
                   f"{name} has the shape {table.shape}, expected ({steps}, {num_envs})")
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
        expect(np.array_equal(actions, acted(right)),
               "an action does not belong to the observation beside it")
        expect(np.array_equal(rewards, rewarded(right, acted(right))),
               "a reward does not belong to the observation and action beside it: "
               "it comes with the *next* batch that holds this environment")


# ---------------------------------------------------------------------- double buffering

@register("double_buffer", live=True)
def _(double_buffer, rng):
    "each half gets its own actions, so many as were asked for; policy and environments work at the same time"
    for step, thought in ((1.0, 1.0), (3.0, 1.0), (1.0, 3.0), tuple(rng.uniform(0.5, 2.0, 2))):
        steps, halves = int(rng.integers(15, 30)), Halves(step, thought)
        double_buffer(halves, halves.policy, steps)
        for half in (0, 1):
            expect(len(halves.acted[half]) == steps,
                   f"half {half} was sent {len(halves.acted[half])} actions, expected steps={steps}")
        best = steps * max(step + thought, 2 * thought) + step
        expect(halves.now <= 1.05 * best + thought,
               f"{steps} steps of {step:.1f} s a half with a policy of {thought:.1f} s took {halves.now:.0f} "
               f"s, expected about {best:.0f}: a half or the policy waits; send a half its actions as soon "
               "as the policy has them, and think about the other half meanwhile")


# ---------------------------------------------------------------------- seeds

MANY = 12_000                   # environments of a large experiment
APART = (1, 2, 3, 5, 10, 100, 1000, 1024, 4096, 65_536, 100_000, 1_000_000)
BY_CHANCE = 5                   # so few of 12,000 numbers below 2**31 may be equal by chance


@register("env_seeds")
def _(env_seeds, rng):
    ("the same for any division among workers; distinct, for thousands of environments too; other seeds give "
     "other environments; below 2**31")
    def whole(seed, count=240):
        found = [int(number) for number in env_seeds(seed, 0, count)]
        expect(len(found) == count, f"it gives {len(found)} seeds for {count} environments")
        expect(all(0 <= number < 2**31 for number in found),
               f"for seed={seed} a seed is not in [0, 2**31), and many simulators take no other")
        return found

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
    for one, other, count in pairs:
        first, second = set(whole(one, count)), set(whole(other, count))
        expect(len(first) >= count - BY_CHANCE,
               f"of {count:,} environments {count - len(first):,} have the seed of another one, so they play "
               "the same episodes")
        shared = len(first & second)
        expect(shared <= BY_CHANCE,
               f"seeds {one} and {other} share {shared:,} of {count:,} environments, so two runs that should "
               "be independent are nearly the same: mix seed and index instead of adding them")
    for large in (3_000_000, 2**31 - 1):
        whole(large, 3)


# ---------------------------------------------------------------------- dead workers

@register("wait_for", live=True)
def _(wait_for, rng):
    ("returns when the word is there; says who died, with its exit code; gives up in time; loses no last "
     "result; does not spin")
    code = -int(rng.integers(2, 15))
    error, seconds = quickest(wait_for, 1.5, 1.0, finishes=0.15)
    expect(error is None, f"it raises {type(error).__name__} for a worker that finishes in time: {error}")
    expect(seconds < 1.0,
           "it returns long after the worker has finished: look often, and do not sleep for the whole "
           "timeout")
    idle = Worker()
    error, seconds = outcome(wait_for, idle, 0.4)
    expect(seconds < 3, "it waits for ever for a worker that hangs: give up after `timeout` seconds")
    expect(isinstance(error, TimeoutError),
           f"of a worker that hangs it says {said(error)}, expected TimeoutError")
    expect(seconds > 0.3, f"it gives up after {seconds:.2f} s, expected timeout=0.4 s")
    expect(idle.looks < 3000,
           f"it looked {idle.looks:,} times in 0.4 s: sleep a little between two looks, the worker needs the "
           "core")
    looks = idle.looks
    for _ in range(TRIES):
        if looks >= 20:
            break
        idle = Worker()
        outcome(wait_for, idle, 0.4)
        looks = max(looks, idle.looks)
    expect(looks >= 20,
           f"it looked {looks} times in 0.4 s, so it notices a step of a millisecond long after it has "
           "ended: look about once a millisecond")
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
