"""`Recording`: one random play of an environment, with the observations that the checks of checks.py need."""

import random as python_random
import sys

import numpy as np

from puffer_min.env.actions import random_actions

PATIENCE = 20           # a play without an end goes on for this many times its steps
RESULTS = ("observations", "rewards", "terminals", "truncations")


class Recording:
    """One random play from a reset: `steps` steps, or more until an episode has ended.

    wrong                 name of a check -> the first problem found
    steps, ends           steps taken, episodes that ended
    reports               the episode logs of the play
    restarts              observations that followed the end of an episode of a whole environment
    running, finished     return and length of each agent's running episode, and their sums over the finished
                          ones
    streams               global random streams that changed
    lived, seen, largest  steps in which each row held an agent, whether it ever held a number, the
                          largest size of each element
    """

    def __init__(self, env, seed, steps):
        random, n, size = np.random.default_rng(seed), env.num_agents, env.observations[0].size
        self.wrong, before = {}, global_streams()
        self.steps, self.ends, self.reports, self.restarts = 0, 0, [], []
        self.running, self.finished = np.zeros((n, 2)), np.zeros(2)
        self.lived, self.seen, self.largest = np.zeros(n), np.zeros(n, bool), np.zeros(size)
        arrays = {name: getattr(env, name) for name in RESULTS}
        addresses = {name: array.ctypes.data for name, array in arrays.items()}
        env.observations[...] = 0                       # `first_observation` finds elements left unwritten
        observations = env.reset(seed)[0]
        if observations is not env.observations:
            self.note("same arrays",
                      "reset returned another array than env.observations; return self.observations itself")
        self.look(env, observations)
        while self.steps < steps or (self.ends == 0 and self.steps < PATIENCE * steps):
            actions = random_actions(env.single_action_space, n, random)
            self.acting = env.masks.copy()              # an agent that appears in this step has not acted yet
            results = env.step(actions)
            self.steps += 1
            for name, result in zip(RESULTS, results, strict=False):        # infos come after them
                if result is not getattr(env, name):
                    self.note("same arrays", f"step returned another array than env.{name}; "
                                             f"return self.{name} itself, in the order {', '.join(RESULTS)}")
                if getattr(env, name).ctypes.data != addresses[name]:
                    self.note("addresses", f"env.{name} moved in memory; write self.{name}[...] = ..., "
                                           f"never self.{name} = ...")
            self.look(env, results[0])
            self.account(env, *results)
        self.reports = [report for report in [*self.reports, env.log()] if report]
        self.streams = [name for name, state in global_streams().items() if state != before[name]]

    def note(self, name, sentence):
        """Remember the first problem of a check."""
        self.wrong.setdefault(name, sentence)

    def look(self, env, observations):
        """Check observations against the space, and remember how large they are and which rows live."""
        live = env.masks
        rows = observations.reshape(len(observations), -1)[live]
        low, high = env.single_observation_space.low.ravel(), env.single_observation_space.high.ravel()
        bad = ~((rows >= low) & (rows <= high) & np.isfinite(rows))
        if bad.any():
            row, element = np.argwhere(bad)[0]
            self.note("observations in space",
                      f"after {self.steps} steps agent {np.flatnonzero(live)[row]} observes "
                      f"{rows[row, element]} in element {element}, expected a finite number in "
                      f"[{low[element]:g}, {high[element]:g}]")
        else:
            self.largest = np.maximum(self.largest, np.abs(rows.astype(np.float64)).max(0, initial=0))
        self.lived += live
        self.seen |= observations.reshape(len(observations), -1).any(1)

    def account(self, env, observations, rewards, terminals, truncations, infos):
        """Check rewards and infos of a step, count ended episodes, and keep the observations after an end."""
        bad = np.flatnonzero(~np.isfinite(rewards))
        if len(bad):
            self.note("rewards", f"after {self.steps} steps agent {bad[0]} gets {rewards[bad[0]]}, "
                                 "expected a finite number")
        if not isinstance(infos, list) or not all(isinstance(info, dict) for info in infos):
            self.note("infos", f"step gave infos of type {type(infos).__name__}, expected a list of dicts, "
                               "mostly empty: []")
        else:
            self.reports += [info for info in infos if "episode_return" in info]
        ended = terminals | truncations
        self.running += np.stack([rewards, self.acting], 1)
        self.ends += np.count_nonzero(ended)
        self.finished += self.running[ended].sum(0)
        self.running[ended] = 0
        whole = ended.reshape(env.num_envs, -1).all(1)      # every agent of the environment at once
        together = np.repeat(whole, env.agents_per_env)
        if together.any() and len(self.restarts) < 256:
            self.restarts.extend(observations.reshape(len(observations), -1)[together].copy())


def global_streams():
    """The states of the random streams that all of a process shares, by name."""
    legacy = np.random.get_state(legacy=True)
    states = {"random": python_random.getstate(), "np.random": (legacy[1].tobytes(), legacy[2:])}
    torch = sys.modules.get("torch")
    return states | ({"torch's random stream": torch.get_rng_state().numpy().tobytes()} if torch else {})
