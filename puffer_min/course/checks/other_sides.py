"""The other side in the checks of level 5: what a hand-off, a pool or a dying worker does to the answer.

No process is started. `Words` lets the other side move between any two accesses of the answer to memory, and
`Halves` runs on a clock that is a number.
"""

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


def play_handoffs(give, serve, take, chance, watched):
    """Caller and worker in turns; while the side `watched` runs, the other one may come in between any two of
    its accesses.

    Returns the actions that were stepped, and pairs (action given, result taken).
    """
    stepped, pairs, state = [], [], {"seen": 0, "given": None, "next": 10}

    def step(action):
        stepped.append(action)
        return double(action)

    def worker_moves():
        state["seen"] = serve(words, state["seen"], step)

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
    for _ in range(120):
        moves[watched]()
        # now and then the other one runs undisturbed, so that both get on
        words.inside = True
        if chance():
            other()
        words.inside = False
    return stepped, pairs


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


def acted(observations):
    return (np.asarray(observations) * 7 % 5).astype(np.int32)


def rewarded(observation, action):
    return observation + 0.125 * action


class Halves:
    """Two halves of the environments, on a clock that is only a number: a half's step takes `step`, the
    policy `thought`.
    """

    def __init__(self, step, thought):
        self.now, self.step, self.thought = 0.0, step, thought
        self.ready, self.running, self.count, self.acted = [step, step], [True, True], [0, 0], [[], []]

    def recv(self, half):
        """Wait for a half; its observations: (which half, how many steps it has made)."""
        expect(half in (0, 1), f"there is no half {half!r}, expected 0 or 1")
        expect(self.running[half],
               f"it waits for half {half}, which has not been sent a step: send it actions first")
        self.now, self.running[half] = max(self.now, self.ready[half]), False
        return half, self.count[half]

    def policy(self, observations):
        """Actions for observations."""
        self.now += self.thought
        return "actions", *observations

    def send(self, half, actions):
        """Let a half make a step."""
        expect(half in (0, 1), f"there is no half {half!r}, expected 0 or 1")
        expect(not self.running[half],
               f"it sends half {half} actions while it is still stepping: recv it first")
        expect(isinstance(actions, tuple) and actions[:1] == ("actions",),
               "it sends something else than what policy returned")
        expect(actions == ("actions", half, self.count[half]),
               f"half {half} at step {self.count[half]} is sent the actions for half {actions[1]} at step "
               f"{actions[2]}")
        expect(len(self.acted[half]) < 1000, "it goes on for ever: send each half `steps` actions")
        self.acted[half].append(actions)
        self.ready[half], self.running[half] = self.now + self.step, True
        self.count[half] += 1


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
        return self.released or self.after(self.finishes)

    def is_alive(self):
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


def outcome(wait_for, worker, timeout):
    """What `wait_for` raised, or None, and after how many seconds; it is given 3 seconds, then it is let go.
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
    thread.start()
    thread.join(3)
    late = thread.is_alive()
    worker.released = True                              # ends a loop that waits for the word
    thread.join(3)
    if isinstance(result.get("error"), NotImplementedError):
        raise result["error"]
    return result.get("error"), 9.0 if late else result["seconds"]


def quickest(wait_for, timeout, limit, **worker):
    """`outcome`, tried again where it took longer than `limit` seconds: other programs may have had the core.
    """
    for _ in range(TRIES):
        error, seconds = outcome(wait_for, Worker(**worker), timeout)
        if seconds < limit:
            break
    return error, seconds
