"""Environments that do what a vectorizer must bear: talk, wait, fail, hang, die. At the top of a module, so that spawn finds them."""

import ctypes
import faulthandler
import multiprocessing
import os
import signal
import subprocess
import sys
import time

import numpy as np
from gymnasium.spaces import Box, Discrete

from puffer_min.env.puffer_env import PufferEnv


class Walk(PufferEnv):
    """A number walks at random, pushed by the action, from 0; the episode ends beyond `edge`, or by time after 20 steps."""

    metric_names = ("score", "edge")
    truncates = True

    def __init__(self, buffers=None, seed=0, num_agents=1, edge=3.0):
        self.single_observation_space = Box(-np.inf, np.inf, (2,), np.float32)
        self.single_action_space = Discrete(3)
        self.num_agents, self.edge = num_agents, edge
        super().__init__(buffers, seed)

    def reset(self, seed=None):
        self.begin_reset(seed)
        self.observations[:] = self.random.normal(size=(self.num_agents, 2))
        return self.observations, []

    def step(self, actions):
        self.begin_step(actions)
        self.observations += self.random.normal(size=(self.num_agents, 2)) + 0.1 * (self.actions[:, None] - 1)
        self.rewards[:] = self.observations[:, 0]
        self.terminals[:] = np.abs(self.observations[:, 0]) > self.edge
        self.truncations[:] = (self.lengths + 1 >= 20) & ~self.terminals
        ends = self.terminals | self.truncations
        if ends.any():
            self.metrics[ends] = 1, self.edge
            self.final_observations[ends] = self.observations[ends]
            self.observations[ends] = self.random.normal(size=(np.count_nonzero(ends), 2))
        return self.finish_step()

    def render(self, index=0):
        return np.full((2, 2, 3), self.seed % 256, np.uint8)


class Counter(PufferEnv):
    """Shows (seed modulo 2**20, steps since the reset, the last action): whatever is mixed up shows."""

    def __init__(self, buffers=None, seed=0, num_agents=1):
        self.single_observation_space = Box(-1, 2**20, (3,), np.int64)
        self.single_action_space = Discrete(1000)
        self.num_agents = num_agents
        super().__init__(buffers, seed)

    def reset(self, seed=None):
        self.begin_reset(seed)
        self.count = 0
        self.observations[:] = self.seed % 2**20, 0, -1
        return self.observations, []

    def step(self, actions):
        self.begin_step(actions)
        self.count += 1
        self.observations[:, 1], self.observations[:, 2] = self.count, self.actions
        self.rewards[:] = self.actions
        self.terminals[:] = self.count % 7 == 0
        return self.finish_step()


class Waiting(Counter):
    """A Counter that, in environments of odd seed, waits for its caller: it steps once `gate` (a path) is there."""

    def __init__(self, gate, **base):
        self.gate = gate
        super().__init__(**base)

    def step(self, actions):
        while self.seed % 2 and not os.path.exists(self.gate):
            time.sleep(0.001)
        return super().step(actions)


class Talking(Counter):
    """Reports something of its own at every step; at the 5th more than a pipe holds."""

    def step(self, actions):
        results = super().step(actions)
        return *results[:4], [{"seed": self.seed, "count": self.count, "long": "x" * (300_000 if self.count == 5 else 1)}]


class Asking(Exception):
    """An exception that no pickle can hold."""

    def __init__(self, question, *, thing):
        super().__init__(question)
        self.thing = thing


class Failing(Counter):
    """Does `what` at step `when`, if its seed is odd; what = "reset": in a reset instead."""

    def __init__(self, what="raise", when=3, **base):
        self.what, self.when = what, when
        if what == "make":
            raise OSError("no such maze")
        super().__init__(**base)

    def reset(self, seed=None):
        results = super().reset(seed)
        if self.what == "reset" and self.seed % 2:
            raise ValueError("the maze has no exit")
        return results

    def step(self, actions):
        results = super().step(actions)
        if self.count == self.when and self.seed % 2:
            self.misbehave()
        return results

    def misbehave(self):
        if self.what == "raise":
            raise ValueError("the maze has no exit")
        if self.what == "unpicklable":
            raise Asking("where is the exit", thing=sys.stdout)
        if self.what == "exit":
            sys.exit(3)
        if self.what == "leave":
            os._exit(7)
        if self.what == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        if self.what == "crash":
            faulthandler.disable()                  # pytest's would print this on purpose as if it were an accident
            ctypes.string_at(0)
        if self.what == "hang":
            time.sleep(1000)
        if self.what == "unpicklable info":
            return


class Unlucky(Counter):
    """Its reset fails in 5 of 100 cases."""

    def reset(self, seed=None):
        results = super().reset(seed)
        if self.random.random() < 0.05:
            raise ValueError("unlucky reset")
        return results


def sleep():
    time.sleep(1000)


class Parent(Counter):
    """Starts a process of its own, which sleeps, and reports its number at each reset."""

    def __init__(self, how="multiprocessing", hang=False, **base):
        super().__init__(**base)
        self.hang = hang
        if how == "multiprocessing":
            self.child = multiprocessing.get_context("fork").Process(target=sleep)
            self.child.start()
        else:
            self.child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(1000)"])

    def reset(self, seed=None):
        return super().reset(seed)[0], [{"child": self.child.pid}]

    def step(self, actions):
        if self.hang:
            time.sleep(1000)
        return super().step(actions)


class Stubborn(Counter):
    """Its close notes that it was called, and raises if its seed is odd."""

    def __init__(self, folder, **base):
        self.folder = folder
        super().__init__(**base)

    def close(self):
        (self.folder / str(self.seed)).touch()
        if self.buffers is not None:
            super().close()
            if self.seed % 2:
                raise OSError(f"seed {self.seed} does not close")


class Factory:
    """A factory that is an object."""

    def __init__(self, what):
        self.what = what

    def __call__(self, **settings):
        return Failing(self.what, **settings)
