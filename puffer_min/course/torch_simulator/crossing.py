"""`Crossing`: cars at a crossing, in the manner of a simulator built for a graphics card (stream 002).

    simulator = Crossing(num_worlds=4)              # looks for data/scenes in the working directory
    simulator.reset()
    simulator.step(actions)                         # torch.int64 (worlds, slots); gives nothing back
    simulator.get_observations()                    # float32 (worlds, slots, 79), the simulator's own memory
    simulator.get_rewards(), simulator.get_dones()  # float32 and int32 (worlds, slots)

It is written to be bound, and behaves as its kind does: what is odd about it is described where it happens,
and all of it was met on stream.
"""

import json
import math
import random
from pathlib import Path

import torch

SLOTS = 12              # cars a world has room for
OTHERS = SLOTS - 1
ROAD = 10               # things on the road that are seen
EGO, OTHER, THING = 5, 4, 3                 # numbers for oneself, for each other car, for each thing
SIZE = EGO + OTHERS * OTHER + ROAD * THING
EPISODE = 40            # steps until everything ends
ACTIONS = 9             # 3 accelerations x 3 steering angles
FAR = 1000.0            # where cars are put that are not there


class Crossing:
    """`num_worlds` crossings of up to SLOTS cars each.

    controlled   bool (worlds, slots): the slots that hold a car in the present scene. Which these are changes
                 at every reset.
    clock        int32 (worlds,): steps since the world's reset.
    """

    def __init__(self, num_worlds, seed=0):
        self.num_worlds = num_worlds
        files = sorted(Path("data/scenes").glob("*.json"))              # of wherever the program was started
        if not files:
            raise FileNotFoundError("Data directory does not exist or is empty")
        self.scenes = [json.loads(file.read_text()) for file in files]
        self.seed(seed)
        shape = num_worlds, SLOTS
        self.position, self.goal = torch.zeros(*shape, 2), torch.zeros(*shape, 2)
        self.heading, self.speed = torch.zeros(shape), torch.zeros(shape)
        self.road = torch.zeros(num_worlds, ROAD, THING)
        self.controlled = torch.zeros(shape, dtype=torch.bool)
        self.clock = torch.zeros(num_worlds, dtype=torch.int32)
        self.rewards, self.dones = torch.zeros(shape), torch.zeros(shape, dtype=torch.int32)
        self.observations = torch.zeros(*shape, SIZE)
        self.open = True

    def seed(self, seed):
        """Draw the scenes to come from `seed`."""
        self.random = random.Random(seed)

    def reset(self, worlds=None):
        """Load a scene into each of `worlds` (all of them if None)."""
        self.require_open()
        for w in range(self.num_worlds) if worlds is None else worlds:
            scene = self.random.choice(self.scenes)
            cars = torch.tensor(scene["cars"])
            n = len(cars)
            self.controlled[w] = torch.arange(SLOTS) < n
            self.position[w] = FAR
            self.position[w, :n], self.goal[w, :n], self.heading[w, :n] = cars[:, :2], cars[:, 3:], cars[:, 2]
            self.speed[w] = 0
            self.road[w] = -1                                           # kind -1: nothing there
            self.road[w, :len(scene["road"])] = torch.tensor(scene["road"])
            self.rewards[w], self.clock[w] = 0, 0
            self.dones[w] = (~self.controlled[w]).to(torch.int32)       # an empty slot is done from the start
        self.observe()

    def step(self, actions):
        """Drive. Cars that are done stay away, and keep their last reward."""
        self.require_open()
        if (not isinstance(actions, torch.Tensor) or actions.dtype != torch.int64
            or actions.shape != self.dones.shape):
            raise TypeError(f"actions must be a torch.int64 tensor of shape {tuple(self.dones.shape)}")
        live = self.dones == 0
        before = (self.goal - self.position).norm(dim=2)
        self.speed = (self.speed + 0.5 * (actions // 3 - 1)).clamp(0, 3) * live
        self.heading = torch.remainder(self.heading + 0.4 * (actions % 3 - 1) + math.pi,
                                       2 * math.pi) - math.pi
        direction = torch.stack([self.heading.cos(), self.heading.sin()], 2)
        self.position += (self.speed * live).unsqueeze(2) * direction
        after = (self.goal - self.position).norm(dim=2)
        apart = torch.cdist(self.position, self.position) + torch.eye(SLOTS) * FAR
        apart = apart.masked_fill(~(live.unsqueeze(1) & live.unsqueeze(2)), FAR)
        crashed, arrived = live & (apart.amin(2) < 1.5), live & (after < 4)
        self.rewards[live] = (0.02 * (before - after) + arrived.float() - crashed.float())[live]
        self.clock += 1
        self.dones |= (crashed | arrived | (self.clock >= EPISODE).unsqueeze(1)).to(torch.int32)
        self.observe()
        self.position[self.dones == 1] = FAR

    def get_observations(self):
        """Raw numbers, in metres: not a copy."""
        return self.observations

    def get_rewards(self):
        return self.rewards

    def get_dones(self):
        return self.dones

    def observe(self):
        """Write what every car sees into the observations: itself and its goal, the other cars, the road."""
        cos, sin = self.heading.cos(), self.heading.sin()
        # into the car's own frame
        turn = torch.stack([torch.stack([cos, sin], 2), torch.stack([-sin, cos], 2)], 2)
        there = self.position[..., 0] < FAR / 2
        to_goal = torch.einsum("wsij,wsj->wsi", turn, self.goal - self.position)
        self.observations[..., :EGO] = torch.cat([self.speed.unsqueeze(2), cos.unsqueeze(2), sin.unsqueeze(2),
                                                  to_goal], 2)
        between = torch.einsum("wsij,wstj->wsti", turn,
                               self.position.unsqueeze(1) - self.position.unsqueeze(2))
        shown = (there.unsqueeze(1) & there.unsqueeze(2)).unsqueeze(3)
        speeds = self.speed.unsqueeze(1).expand(-1, SLOTS, -1).unsqueeze(3)
        others = torch.cat([between, speeds, torch.ones_like(speeds)], 3) * shown
        keep = ~torch.eye(SLOTS, dtype=torch.bool)
        others = others[:, keep].view(self.num_worlds, SLOTS, OTHERS * OTHER)
        things = torch.einsum("wsij,wsrj->wsri", turn, self.road[:, None, :, :2] - self.position.unsqueeze(2))
        kinds = self.road[:, None, :, 2:].expand(-1, SLOTS, -1, -1)
        self.observations[..., EGO:EGO + OTHERS * OTHER] = others
        self.observations[..., EGO + OTHERS * OTHER:] = torch.cat([things, kinds], 3).flatten(2)
        self.observations[~there] = 0

    def require_open(self):
        if not self.open:
            raise RuntimeError("simulator was closed")

    def close(self):
        """Must be called."""
        self.open = False
