"""lift in plain Python, one house, an object for each person: the oracle of `lift.pyx`, and its "before".

The rules are in `lift.pyx`. With the same seed and index the trajectory is the same, number for number.

    python -m puffer_min check lift_objects.py:Lift
    python -m puffer_min play lift_objects.py:Lift
"""

from dataclasses import dataclass

import numpy as np
from gymnasium.spaces import Box, Discrete

from envs.core import drawing
from envs.slow.stream import Stream
from puffer_min import PufferEnv

FLOORS, ROOM, QUEUE, TIME = 8, 4, 6, 240
DOWN, OPEN, UP = range(3)


@dataclass
class Person:
    """Somebody who wants to go `to` a floor and has been in the house since step `born`."""

    to: int
    born: int


class Lift(PufferEnv):
    """Lift(seed=0, index=0, reward="people", busy=20): see `lift.pyx`. `index` is the place in a batch."""

    metric_names = ("score", "waited", "turned_away")
    truncates = True
    keys = {"ArrowDown": DOWN, " ": OPEN, "ArrowUp": UP}
    idle_action = OPEN
    action_names = ("down", "open", "up")

    def __init__(self, buffers=None, seed=0, index=0, reward="people", busy=20):
        self.single_observation_space = Box(0, QUEUE, (4 * FLOORS,), np.uint8)
        self.single_action_space = Discrete(3)
        self.num_agents = 1
        self.index, self.reward, self.busy = index, reward, busy
        super().__init__(buffers, seed)
        self.stream = Stream(seed, index)

    def reset(self, seed=None):
        self.begin_reset(seed)
        if seed is not None:
            self.stream = Stream(seed, self.index)
        self.start()
        return self.observations, []

    def start(self):
        """An empty house, the lift in the lobby, and the first person at a door."""
        self.floor, self.tick = 0, 0
        self.cabin, self.queues = [], [[] for _ in range(FLOORS)]
        self.came = self.delivered = self.away = self.waited = 0
        self.arrive()
        self.observations[0] = self.look()

    def step(self, actions):
        self.begin_step(actions)
        action = int(self.actions[0])
        away, progress = self.away, 0
        if action == OPEN:
            self.open_doors()
        else:
            floor = min(max(self.floor + action - 1, 0), FLOORS - 1)
            progress = sum(abs(person.to - floor) < abs(person.to - self.floor) for person in self.cabin)
            self.floor = floor
        self.tick += 1
        if self.stream.below(100) < self.busy:
            self.arrive()
        people = len(self.cabin) + sum(map(len, self.queues))
        if self.reward == "progress":
            self.rewards[0] = np.float32(0.1) * np.float32(progress)
        else:
            self.rewards[0] = np.float32(-0.01) * np.float32(people + 50 * (self.away - away))
        if self.tick == TIME:
            self.final_observations[0] = self.look()
            self.truncations[0] = True
            waited = self.waited / max(self.delivered, 1)
            self.metrics[0] = self.delivered / self.came, waited, self.away
            self.start()
        else:
            self.observations[0] = self.look()
        return self.finish_step()

    def open_doors(self):
        """Who is there gets out; then the queue gets in, in order, as long as there is room."""
        leaving = [person for person in self.cabin if person.to == self.floor]
        self.cabin = [person for person in self.cabin if person.to != self.floor]
        self.delivered += len(leaving)
        self.waited += sum(self.tick - person.born for person in leaving)
        queue = self.queues[self.floor]
        while queue and len(self.cabin) < ROOM:
            self.cabin.append(queue.pop(0))

    def arrive(self):
        """A person comes, half of the time in the lobby; a queue of QUEUE turns the next one away."""
        floor = 0 if self.stream.below(2) else 1 + self.stream.below(FLOORS - 1)
        to = (floor + 1 + self.stream.below(FLOORS - 1)) % FLOORS
        self.came += 1
        if len(self.queues[floor]) == QUEUE:
            self.away += 1
        else:
            self.queues[floor].append(Person(to, self.tick))

    def look(self):
        """The observation: waiting to go up, waiting to go down, in the cabin by destination, the lift."""
        seen = np.zeros((4, FLOORS), np.uint8)
        for floor, queue in enumerate(self.queues):
            for person in queue:
                seen[0 if person.to > floor else 1, floor] += 1
        for person in self.cabin:
            seen[2, person.to] += 1
        seen[3, self.floor] = 1
        return seen.ravel()

    def render(self, index=0):
        """RGB array of the house: waiting people (yellow up, orange down), the cabin with its passengers."""
        return picture(self.look())


def picture(observation):
    """The house that `observation` shows, the lobby at the bottom."""
    up, down, cabin, lift = np.asarray(observation).reshape(4, FLOORS).astype(int)
    image, ink = drawing.canvas(FLOORS * 30, 300), drawing.INK
    for floor in range(FLOORS):
        top = (FLOORS - 1 - floor) * 30
        drawing.rectangle(image, top + 28, 0, 2, 300, ink["wall"])
        for place in range(up[floor] + down[floor]):
            colour = ink["food"] if place < up[floor] else ink["rival"]
            drawing.disc(image, top + 18, 110 - 16 * place, 6, colour)
        drawing.rectangle(image, top, 124, 28, 52, ink["agent"] if lift[floor] else ink["grid"])
        for place in range(cabin[floor]):               # at the right: where the passengers want to go
            drawing.disc(image, top + 18, 194 + 16 * place, 6, ink["goal"])
    for place in range(cabin.sum()):
        top = (FLOORS - 1 - int(lift.argmax())) * 30
        drawing.disc(image, top + 18, 131 + 12 * place, 5, ink["ground"])
    return image
