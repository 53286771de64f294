"""The other side in the checks of level 5: what a hand-off, a pool or a dying worker does to the answer.

No process is started. `Words` lets the other side move between any two accesses of the answer to memory, and
`Groups` run on a clock that is a number.
"""

import contextlib
import threading
import time
from types import SimpleNamespace

import numpy as np

from puffer_min.course.claims import TRIES, expect


class Words(dict):
    """Four words; after each access of one side the other side may run, which `elsewhere` does."""

    def __init__(self, elsewhere=None):
        super().__init__(ticket=0, done=0, action=-1, result=-1)
        self.elsewhere, self.inside = elsewhere, False

    def __getitem__(self, name):
        value = super().__getitem__(name)
        self.pause()
        return value

    def __setitem__(self, name, value):
        super().__setitem__(name, value)
        self.pause()

    def pause(self):
        if self.elsewhere is not None and not self.inside:
            self.inside = True
            self.elsewhere()
            self.inside = False


def double(action):
    return 2 * action


def play_handoffs(give, serve, take, chance, watched, step=double, rounds=120):
    """Caller and worker in turns; while the side `watched` runs, the other one may come in between any two of
    its accesses.

    Returns the actions that were stepped, and pairs (action given, result taken).
    """
    stepped, pairs, state = [], [], {"seen": 0, "given": None, "next": 10}

    def kept_step(action):
        stepped.append(action)
        return step(action)

    def worker_moves():
        state["seen"] = serve(words, state["seen"], kept_step)

    def caller_moves():
        if state["given"] is None:
            state["given"] = state["next"]
            state["next"] += 1
            give(words, state["given"])
        else:
            result = take(words)
            if result is not None:
                pairs.append((state["given"], result))
                state["given"] = None

    moves = {"caller": caller_moves, "worker": worker_moves}
    other = moves["worker" if watched == "caller" else "caller"]
    def elsewhere():
        while chance():
            other()

    words = Words(elsewhere)
    for _ in range(rounds):
        moves[watched]()
        # now and then the other one runs undisturbed, so that both get on
        words.inside = True
        if chance():
            other()
        words.inside = False
    return stepped, pairs


def right_give(words, action):
    words["action"] = action
    words["ticket"] += 1


def right_serve(words, seen, step):
    ticket = words["ticket"]
    if ticket != seen:
        words["result"] = step(words["action"])
        words["done"] = ticket
    return ticket


def right_take(words):
    return words["result"] if words["done"] == words["ticket"] else None


# which side runs with the other one's right functions, and what it says when that fails
GUILTY = {
    "give": "the worker stepped {found} when {given} was given, because it saw the ticket before the "
            "action: in give, write the action before the ticket",
    "serve": "with a right caller, the worker stepped {found} for {given}, or its result came too late: in "
             "serve, read the ticket once and before the action, write the result before `done`, and return "
             "the ticket that was served",
    "take": "with a right worker, the caller took {found} for the action {given}: in take, look at `done` "
            "and the ticket before you read the result"}


STILL = {
    "give": "with a right worker the hand-off stands still: in give, add 1 to the ticket, which only grows",
    "serve": "with a right caller the hand-off stands still, because an action is lost: between two looks at "
             "the ticket the caller may have given the next one, so read it once, into a variable, and write "
             "and return that",
    "take": "with a right worker the hand-off stands still: take must return the result as soon as `done` is "
            "the ticket",
    "": "the hand-off stands still: after some rounds either side waits for the other, and an action is lost",
    "0": "the hand-off stands still where a result is 0: a result of 0 is a result, and only None is none"}


def play(functions, watched, rng, sentence, still="", step=double, rounds=120):
    """Expects of three functions that every action is stepped once and its own result taken; `sentence` and
    STILL[still] say so if not.
    """
    for likely in (0.1, 0.3, 0.6, 0.9):
        stepped, pairs = play_handoffs(*functions, lambda likely=likely: rng.random() < likely, watched, step,
                                       rounds)
        expect(len(pairs) >= 3, STILL[still])
        given = [action for action, _ in pairs]
        twice = next((action for action in stepped if stepped.count(action) > 1), None)
        expect(twice is None or any(result != step(action) for action, result in pairs),
               f"the action {twice} is stepped twice for one ticket: serve must return the ticket that it "
               "has served, to be the next `seen`")
        for action, found in zip(given, stepped, strict=False):
            expect(action == found, sentence.format(found=found, given=action))
        for action, result in pairs:
            expect(result == step(action), sentence.format(found=f"{result} (right is {step(action)})",
                                                           given=action))


class Pool:
    """Environments that finish in an order of chance. `recv` gives views into arrays that are written again
    and again.
    """

    def __init__(self, rng, num_envs, batch, steps):
        self.rng, self.num_envs, self.batch = rng, num_envs, batch
        self.observations, self.rewards = np.zeros(num_envs), np.full(num_envs, np.nan)
        self.count = np.full(num_envs, -1)
        self.shown, self.given = np.zeros(batch), np.zeros(batch)
        self.running, self.held, self.left = list(range(num_envs)), None, 40 * steps * num_envs

    def recv(self):
        """The environments `rows` (batch,) that finished first, their observations and rewards; NaN as the
        reward of a reset.
        """
        expect(self.held is None, "it calls recv twice: send actions to those that were received, in between")
        self.left -= 1
        expect(self.left > 0, "it goes on for ever: stop as soon as every environment has made `steps` steps")
        late = 0.05 + 0.95 * (np.arange(self.num_envs) % 2)                     # every other one is slow
        order = sorted(self.running, key=lambda env: self.rng.random() * late[env] + 0.02 * self.count[env])
        self.held = np.array(order[:self.batch])
        for env in self.held:
            self.running.remove(env)
            self.count[env] += 1
            self.observations[env] = observed(env, self.count[env])
        self.shown[:], self.given[:] = self.observations[self.held], self.rewards[self.held]
        return SimpleNamespace(rows=self.held.copy(), observations=self.shown, rewards=self.given)

    def send(self, actions):
        """Actions (batch,) for the environments that the last recv returned, in that order."""
        expect(self.held is not None, "it sends without having received: call recv first")
        expect(np.shape(actions) == (self.batch,),
               f"it sends actions of the shape {np.shape(actions)}, expected ({self.batch},): one for "
               "each row of the last recv")
        self.rewards[self.held] = rewarded(self.observations[self.held], np.asarray(actions))
        self.running += self.held.tolist()
        self.held = None


def observed(env, count):
    return 100.0 * env + count


def acted(observations, times=7):
    return (np.asarray(observations) * times % 5).astype(np.int32)


def rewarded(observation, action):
    return observation + 0.125 * action


class Groups:
    """Groups of environments, on a clock that is only a number: a group's step takes `step`, the policy
    `thought`.
    """

    def __init__(self, groups, step, thought):
        self.groups, self.now, self.step, self.thought = groups, 0.0, step, thought
        self.ready, self.running = [step] * groups, [True] * groups
        self.count, self.acted = [0] * groups, [[] for _ in range(groups)]

    def there(self, group):
        expect(group in range(self.groups),
               f"there is no group {group!r}, expected 0 to {self.groups - 1}: there are vec.groups")

    def recv(self, group):
        """Wait for a group; its observations: (which group, how many steps it has made)."""
        self.there(group)
        expect(self.running[group],
               f"it waits for group {group}, which has not been sent a step: send it actions first")
        self.now, self.running[group] = max(self.now, self.ready[group]), False
        return group, self.count[group]

    def policy(self, observations):
        """Actions for observations."""
        self.now += self.thought
        return "actions", *observations

    def send(self, group, actions):
        """Let a group make a step."""
        self.there(group)
        expect(not self.running[group],
               f"it sends group {group} actions while it is still stepping: recv it first")
        expect(isinstance(actions, tuple) and actions[:1] == ("actions",),
               "it sends something else than what policy returned")
        expect(actions == ("actions", group, self.count[group]),
               f"group {group} at step {self.count[group]} is sent the actions for group {actions[1]} at "
               f"step {actions[2]}")
        expect(len(self.acted[group]) < 1000, "it goes on for ever: send each group `steps` actions")
        self.acted[group].append(actions)
        self.ready[group], self.running[group] = self.now + self.step, True
        self.count[group] += 1


class Collector:
    """Counters in groups, one group a worker; `fault` is one of the listings of exercise 5.7, or "healthy".
    """

    def __init__(self, rng, num_envs, workers, fault):
        self.rng, self.num_envs, self.workers, self.fault = rng, num_envs, workers, fault
        self.part = num_envs // workers
        self.observations, self.rewards = np.zeros(num_envs), np.zeros(num_envs)

    def reset(self, seed):
        """Observations (num_envs,)."""
        index = np.arange(self.num_envs)
        self.state = 1000 * seed + (index % self.part if self.fault == "seeds" else index)
        return self.handed()[0]

    def step(self, actions):
        """(observations, rewards), both (num_envs,)."""
        self.state = (5 * self.state + np.asarray(actions) + 1) % 10_007
        return self.handed()

    def handed(self):
        order = np.arange(self.num_envs).reshape(self.workers, self.part)
        if self.fault == "order":
            order = self.rng.permutation(order)
        self.observations[:] = self.state[order.ravel()]
        self.rewards[:] = np.sqrt(self.state)[order.ravel()]
        tables = self.observations, self.rewards
        return tables if self.fault == "views" else tuple(table.copy() for table in tables)


LONGEST = 3.0                   # seconds that a wait is watched


class Late(BaseException):
    """Ends an answer that waits for ever."""


class Clock:
    """Lets what one thread sleeps pass at once: its clocks show the real time and what it has slept."""

    SECONDS = "monotonic", "perf_counter", "time"

    def __init__(self, thread):
        self.thread, self.slept, self.kept = thread, 0.0, {}

    def __enter__(self):
        for name in ("sleep", *self.SECONDS, *(f"{name}_ns" for name in self.SECONDS)):
            self.kept[name] = getattr(time, name)
        for name in self.SECONDS:
            setattr(time, name, lambda kept=self.kept[name]: kept() + self.ahead())
            setattr(time, f"{name}_ns", lambda kept=self.kept[f"{name}_ns"]: kept() + int(1e9 * self.ahead()))
        time.sleep = self.sleep

    def __exit__(self, *_):
        for name, kept in self.kept.items():
            setattr(time, name, kept)

    def ahead(self):
        return self.slept if threading.current_thread() is self.thread else 0.0

    def sleep(self, seconds):
        if threading.current_thread() is self.thread and seconds >= 0:
            self.slept += seconds
        else:
            self.kept["sleep"](seconds)                     # which refuses a time below 0


class Worker:
    """What a caller sees of a worker: `done()`, `is_alive()`, `exitcode`. Times in seconds from its making;
    None: never.
    """

    def __init__(self, finishes=None, dies=None, exitcode=None, last_moment=False):
        self.began, self.finishes, self.dies, self.code = time.monotonic(), finishes, dies, exitcode
        self.last_moment, self.looks, self.released = last_moment, 0, False

    def after(self, seconds):
        return seconds is not None and time.monotonic() - self.began >= seconds

    def done(self):
        self.looks += 1
        self.end()
        return self.released or self.after(self.finishes)

    def end(self):
        if self.after(LONGEST):
            raise Late

    def is_alive(self):
        self.end()
        # it finishes and leaves just between two looks of the caller
        if self.last_moment:
            self.finishes = 0.0
            return False
        return not self.after(self.dies)

    @property
    def exitcode(self):
        return None if self.is_alive() else self.code


def said(error):
    return type(error).__name__ if error else "nothing"


def outcome(wait_for, worker, timeout, real=False):
    """What `wait_for` raised, or None, and after how many seconds; it is given LONGEST seconds, then it is
    let go. What it sleeps with the module `time` passes at once, unless `real`.
    """
    result = {}

    def call():
        began = time.monotonic()
        try:
            wait_for(worker.done, worker, timeout)
        except BaseException as error:
            result["error"] = error
        result["seconds"] = time.monotonic() - began

    thread = threading.Thread(target=call, daemon=True)
    with contextlib.nullcontext() if real else Clock(thread):
        thread.start()
        thread.join(LONGEST + 0.5)
        worker.released = True                          # ends a loop that waits for the word
        thread.join(LONGEST)
    error = result.get("error")
    if isinstance(error, NotImplementedError):
        raise error
    late = "seconds" not in result or isinstance(error, Late) or result["seconds"] >= LONGEST
    return error, 9.0 if late else result["seconds"]


def quickest(wait_for, timeout, limit, **worker):
    """`outcome`, tried again where it took longer than `limit` seconds: other programs may have had the core.
    """
    for _ in range(TRIES):
        error, seconds = outcome(wait_for, Worker(**worker), timeout)
        if seconds < limit:
            break
    return error, seconds
