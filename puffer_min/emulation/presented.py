"""What the adapters share: observations as the environment declared them, actions of any dtype, and the episodes that end."""

import time

import numpy as np
from gymnasium import spaces


class Presented:
    """The agents of `vec`, each shown as an environment of its own, with spaces as trainers of other libraries expect them."""

    def __init__(self, vec):
        self.vec, self.num_agents = vec, vec.num_agents
        self.layout = getattr(vec.single_observation_space, "layout", None)
        self.observation_space = self.layout.space if self.layout else vec.single_observation_space
        self.action_space = vec.single_action_space
        self.began = time.perf_counter()
        self.returns, self.lengths = np.zeros(self.num_agents), np.zeros(self.num_agents, np.int64)

    def reset(self, seed):
        """Observations after a reset, as `show` gives them."""
        self.returns[:] = self.lengths[:] = 0
        return self.show(self.vec.reset(seed)[0])

    def step(self, actions):
        """The first four results of a step, and [(agent, its finished episode)]."""
        rows, rewards, terminals, truncations, _ = self.vec.step(self.take(actions))
        self.returns += rewards
        self.lengths += 1
        finished = []
        for agent in np.flatnonzero(terminals | truncations).tolist():
            finished.append((agent, {"r": float(self.returns[agent]), "l": int(self.lengths[agent]),
                                     "t": round(time.perf_counter() - self.began, 6)}))
            self.returns[agent] = self.lengths[agent] = 0
        return rows, rewards, terminals, truncations, finished

    def take(self, actions):
        """Actions of any integer or float dtype as the rows that `vec` takes. Raises where a whole number would change."""
        given, expected = np.asarray(actions), self.vec.actions
        taken = given.astype(expected.dtype)
        if expected.dtype == np.int32 and not np.array_equal(taken, given):
            raise ValueError(f"actions of {given.dtype} given that are no whole numbers of 32 bits, expected an action of "
                             f"{self.action_space} for each agent")
        return taken

    def show(self, rows):
        """Rows as the environment declared its observations: nested arrays for structured spaces. Views."""
        return self.layout.unpack(rows) if self.layout else rows

    def last_observation(self, agent):
        """A copy of the last observation of the episode of `agent` that was cut in this step."""
        last = copied(self.show(self.vec.final_observations[agent:agent + 1]))
        return first_of(self.observation_space, last)


def copied(part):
    """A deep copy of nested arrays."""
    if isinstance(part, dict):
        return {key: copied(inner) for key, inner in part.items()}
    return tuple(map(copied, part)) if isinstance(part, tuple) else part.copy()


def first_of(space, part):
    """The first sample of nested batched arrays."""
    if isinstance(space, spaces.Dict):
        return {key: first_of(inner, part[key]) for key, inner in space.spaces.items()}
    return tuple(map(first_of, space.spaces, part)) if isinstance(space, spaces.Tuple) else part[0]
