"""`CrossingEnv`: the crossing behind the contract, one row for each slot of each world. Level 6 writes it
step by step.

What differs between the two, and where it is settled:

    torch (worlds, slots, ...)      rows (worlds * slots, ...): the same memory, viewed, actions too
    a call for each result          one step that writes all of them
    data/scenes, here               the working directory is another one while the simulator loads, and only
                                    then
    empty slots, done from step 0   masks; a flag is an event: up once, when a car that was there is done
    done by crash, goal or time     terminals, and truncations with the last observation where it was time
    rewards that stay               rewards of cars that were there
    no reset of a finished world    reset inside the step, in the worlds without a driver
    metres; kind -1 for nothing     new numbers about [-1, 1], in our memory: scaled in place, the simulator's
                                    own would change
"""

import contextlib
import tempfile

import numpy as np
import torch
from gymnasium.spaces import Box, Discrete

from puffer_min.course.torch_simulator.crossing import (
    ACTIONS,
    EGO,
    EPISODE,
    OTHER,
    OTHERS,
    ROAD,
    SLOTS,
    THING,
    Crossing,
)
from puffer_min.course.torch_simulator.scenes import write_scenes
from puffer_min.env.puffer_env import PufferEnv

KINDS = 3
# metres; a car drives at most 120 m an episode, and what is farther looks as far
REACH = 100.0
SEEN = EGO + OTHERS * OTHER + ROAD * (2 + KINDS)


class CrossingEnv(PufferEnv):
    """`num_worlds` crossings as `num_worlds` environments of 12 slots. The score is 1 where a car reached its
    goal.
    """

    metric_names = ("score",)
    truncates = True
    observation_sets = {"cars": (EGO, OTHERS, OTHER), "road": (EGO + OTHERS * OTHER, ROAD, 2 + KINDS)}

    def __init__(self, buffers=None, seed=0, num_worlds=8):
        self.single_observation_space = Box(-3, 3, (SEEN,), np.float32)
        self.single_action_space = Discrete(ACTIONS)
        self.num_envs, self.num_agents = num_worlds, num_worlds * SLOTS
        with tempfile.TemporaryDirectory() as root:
            write_scenes(root)
            with contextlib.chdir(root):                    # of the whole process, so as short as can be
                self.simulator = Crossing(num_worlds, seed)
        super().__init__(buffers, seed)

    def reset(self, seed=None):
        """A scene for every world."""
        self.begin_reset(seed)
        if seed is not None:
            self.simulator.seed(seed)
        self.simulator.reset()
        self.masks[:] = flat(self.simulator.controlled)
        self.show(self.observations)
        return self.observations, []

    def step(self, actions):
        """Step the simulator, and reset the worlds in which no car is left."""
        self.begin_step(actions)
        simulator, lived = self.simulator, self.masks.copy()
        simulator.step(torch.from_numpy(self.actions).view(self.num_envs, SLOTS).long())
        ended = lived & (flat(simulator.get_dones()) == 1)
        rewards = flat(simulator.get_rewards())
        self.rewards[lived] = rewards[lived]
        # neither at the goal nor in a crash
        cut = np.repeat(simulator.clock.numpy() >= EPISODE, SLOTS) & (np.abs(rewards) < 0.5)
        self.terminals[:], self.truncations[:] = ended & ~cut, ended & cut
        self.metrics[:, 0] = rewards > 0.5
        self.masks[:] = lived & ~ended
        if ended.any():
            self.show(self.final_observations)
            left = self.masks.reshape(self.num_envs, SLOTS).any(1)
            simulator.reset(np.flatnonzero(~left).tolist())
            self.masks.reshape(self.num_envs, SLOTS)[~left] = simulator.controlled.numpy()[~left]
        self.show(self.observations)
        return self.finish_step()

    def show(self, rows):
        """What the cars see, scaled into `rows`; zeros in empty slots."""
        seen = flat(self.simulator.get_observations())
        others, road = EGO + OTHERS * OTHER, seen[:, EGO + OTHERS * OTHER:].reshape(-1, ROAD, THING)
        np.multiply(seen[:, :others], SCALE, out=rows[:, :others])
        things = rows[:, others:].reshape(-1, ROAD, 2 + KINDS)
        there = road[:, :, 2:] >= 0
        things[:, :, :2] = road[:, :, :2] / REACH * there
        things[:, :, 2:] = road[:, :, 2:] == np.arange(KINDS)
        np.clip(rows, -3, 3, out=rows)
        if rows is self.observations:
            rows[~self.masks] = 0

    def close(self):
        """Close the simulator: it must be."""
        if self.buffers is not None:
            self.simulator.close()
        super().close()


SCALE = np.float32([1 / 3, 1, 1, 1 / REACH, 1 / REACH] + [1 / REACH, 1 / REACH, 1 / 3, 1] * OTHERS)


def flat(tensor):
    """A tensor (worlds, slots, ...) as a NumPy view (worlds * slots, ...)."""
    return tensor.flatten(0, 1).numpy()


