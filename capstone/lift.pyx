"""lift: a lift in an office house. Carry everybody where they want to go, and let nobody wait long.

Rules         A house has 8 floors, the lobby is floor 0, and one lift with room for 4. Each step the lift goes
              down or up a floor or opens its doors. At open doors, who has arrived gets out; then those who
              wait get in, first come first served, while there is room. In `busy` of 100 steps a person
              comes: half of the time in the lobby, else on another floor, to any other floor. At most 6 wait
              on a floor; one more is turned away. After 240 steps the episode is cut off (truncation).
Observation   32 uint8, four rows of 8 floors: how many wait there to go up; to go down; how many in the cabin
              want to go there; 1 where the lift is.
Actions       Discrete(3): 0 down, 1 open the doors, 2 up.
Rewards       reward="people": -0.01 for each person who waits or rides, -0.5 for each turned away.
              reward="progress": +0.1 for each passenger who comes a floor nearer; the first idea, which can
              be hacked (see lift.ipynb).
Log           episode_return, episode_length, score (share of those who came that were delivered), waited
              (steps from a delivered person's coming to the delivery, mean), turned_away.
"""

import numpy as np
from gymnasium.spaces import Box, Discrete

from envs.core import drawing
from envs.core.settings import refusal, whole

from libc.stdint cimport int16_t, int32_t, uint8_t
from libc.string cimport memcpy, memset

from envs.core.native cimport Native, require
from envs.core.random cimport draw_below

cdef enum:
    FLOORS = 8
    ROOM = 4                        # in the cabin
    QUEUE = 6                       # on a floor
    PLACES = 48                     # FLOORS * QUEUE
    SEEN = 32                       # 4 * FLOORS
    TIME = 240

cdef enum:
    DOWN, OPEN, UP

cdef struct Person:
    int16_t to                      # floor
    int16_t born                    # step of coming

cdef struct House:
    Person[ROOM] cabin
    Person[PLACES] queue            # floor by floor
    int[FLOORS] waiting             # how many of its places are taken
    uint8_t[SEEN] seen              # the observation, kept as people come and go
    int aboard
    int floor
    int tick
    int came, delivered, away, waited


cdef class Lift(Native):
    """Lift(num_envs, seed=0, reward="people", busy=20): see the module's docstring."""

    cdef House* houses
    cdef bint for_progress
    cdef readonly int busy

    keys = {"ArrowDown": 0, " ": 1, "ArrowUp": 2}
    idle_action = 1
    action_names = ("down", "open", "up")

    def __init__(self, int num_envs=1, *, seed=0, reward="people", busy=20, **common):
        if reward not in ("people", "progress"):
            raise refusal("reward", reward, "'people' or 'progress'")
        self.for_progress = reward == "progress"
        self.busy = whole("busy", busy, 0, 100)
        self.prepare(num_envs, 1, Box(0, QUEUE, (SEEN,), np.uint8), Discrete(3), seed, common,
                     ("score", "waited", "turned_away"), True)
        self.houses = <House*> self.claim(num_envs * sizeof(House))

    cdef void reset_range(self, int first, int last) noexcept nogil:
        cdef int i
        for i in range(first, last):
            self.start(i)

    cdef void start(self, int i) noexcept nogil:
        """An empty house, the lift in the lobby, and the first person at a door."""
        cdef House* house = &self.houses[i]
        memset(house, 0, sizeof(House))
        house.seen[3 * FLOORS] = 1
        self.arrive(i)
        memcpy(<uint8_t*> self.rows.observations + i * SEEN, house.seen, SEEN)

    cdef void step_range(self, int first, int last) noexcept nogil:
        cdef int32_t* actions = <int32_t*> self.rows.actions
        cdef House* house
        cdef int i, away, progress
        for i in range(first, last):
            house = &self.houses[i]
            away, progress = house.away, 0
            if actions[i] == OPEN:
                open_doors(house)
            else:
                progress = ride(house, actions[i] - 1)
            house.tick += 1
            if draw_below(&self.streams[i], 100) < self.busy:
                self.arrive(i)
            if self.for_progress:
                self.rows.rewards[i] = <float> 0.1 * progress
            else:
                self.rows.rewards[i] = <float> -0.01 * (people(house) + 50 * (house.away - away))
            if house.tick == TIME:
                memcpy(<uint8_t*> self.rows.final_observations + i * SEEN, house.seen, SEEN)
                self.rows.truncations[i] = 1
                self.metrics[3 * i] = <double> house.delivered / house.came
                self.metrics[3 * i + 1] = <double> house.waited / max(house.delivered, 1)
                self.metrics[3 * i + 2] = house.away
                self.start(i)
            else:
                memcpy(<uint8_t*> self.rows.observations + i * SEEN, house.seen, SEEN)

    cdef void arrive(self, int i) noexcept nogil:
        """A person comes, half of the time in the lobby; a queue of QUEUE turns the next one away."""
        cdef House* house = &self.houses[i]
        cdef int floor = 0, to
        if draw_below(&self.streams[i], 2) == 0:
            floor = 1 + draw_below(&self.streams[i], FLOORS - 1)
        to = (floor + 1 + draw_below(&self.streams[i], FLOORS - 1)) % FLOORS
        require(&self.fault, to != floor, b"a person wants to go where she is")
        house.came += 1
        if house.waiting[floor] == QUEUE:
            house.away += 1
            return
        house.queue[floor * QUEUE + house.waiting[floor]] = Person(to, house.tick)
        house.waiting[floor] += 1
        house.seen[(0 if to > floor else FLOORS) + floor] += 1

    def render(self, index=0):
        """RGB array of house `index`: waiting people (yellow up, orange down), the cabin, destinations."""
        self.require_index(index)
        up, down, cabin, lift = np.asarray(self.observations[index]).reshape(4, FLOORS).astype(int)
        image, ink = drawing.canvas(FLOORS * 30, 300), drawing.INK
        for floor in range(FLOORS):
            top = (FLOORS - 1 - floor) * 30
            drawing.rectangle(image, top + 28, 0, 2, 300, ink["wall"])
            for place in range(up[floor] + down[floor]):
                colour = ink["food"] if place < up[floor] else ink["rival"]
                drawing.disc(image, top + 18, 110 - 16 * place, 6, colour)
            drawing.rectangle(image, top, 124, 28, 52, ink["agent"] if lift[floor] else ink["grid"])
            for place in range(cabin[floor]):           # at the right: where the passengers want to go
                drawing.disc(image, top + 18, 194 + 16 * place, 6, ink["goal"])
        for place in range(cabin.sum()):
            top = (FLOORS - 1 - int(lift.argmax())) * 30
            drawing.disc(image, top + 18, 131 + 12 * place, 5, ink["ground"])
        return image


cdef int ride(House* house, int way) noexcept nogil:
    """Go a floor down (-1) or up (1), not out of the house; returns how many passengers came nearer."""
    cdef int floor = min(max(house.floor + way, 0), FLOORS - 1), n, nearer = 0
    for n in range(house.aboard):
        nearer += (house.cabin[n].to - house.floor) * way > 0
    house.seen[3 * FLOORS + house.floor] = 0
    house.seen[3 * FLOORS + floor] = 1
    house.floor = floor
    return nearer


cdef void open_doors(House* house) noexcept nogil:
    """Who is there gets out; then the queue gets in, in order, as long as there is room."""
    cdef Person* queue = &house.queue[house.floor * QUEUE]
    cdef int n, kept = 0, boarding
    for n in range(house.aboard):
        if house.cabin[n].to == house.floor:
            house.delivered += 1
            house.waited += house.tick - house.cabin[n].born
        else:
            house.cabin[kept] = house.cabin[n]
            kept += 1
    house.seen[2 * FLOORS + house.floor] = 0
    boarding = min(house.waiting[house.floor], ROOM - kept)
    for n in range(boarding):
        house.cabin[kept + n] = queue[n]
        house.seen[2 * FLOORS + queue[n].to] += 1
        house.seen[(0 if queue[n].to > house.floor else FLOORS) + house.floor] -= 1
    house.aboard = kept + boarding
    house.waiting[house.floor] -= boarding
    for n in range(house.waiting[house.floor]):
        queue[n] = queue[n + boarding]


cdef inline int people(House* house) noexcept nogil:
    """How many wait or ride."""
    cdef int floor, count = house.aboard
    for floor in range(FLOORS):
        count += house.waiting[floor]
    return count
