"""drive: cars on generated roads, a stand-in for a GPU driving simulator that any laptop runs.

Rules         A world is 2 to 4 curved roads that meet near its middle, and up to 32 slots. Some slots stay
              absent, some hold parked cars, the rest are agents, each with a goal 16 to 70 m along its lane.
              Every step is 0.1 s of a kinematic bicycle model. An agent's episode ends when it comes within
              2.5 m of its goal (+1), hits another car (-1, both) or leaves the road (-1); its slot is then
              empty. After 90 steps, or when no agent is left, the agents still driving are cut off
              (truncation) and a new world with new roads begins.
Slots         Ragged on purpose: `masks` is True where the slot holds a driving agent. Parked cars are seen,
              never driven. Nobody starts within 8 m of another car, off the road or at a goal, so no episode
              ends on its first step.
Observation   431 float32 in [-1, 1], seen from the car (x ahead, y to the left; metres / 50),
              zeros where there is nothing:
              0-5        speed / 20, goal x / 2 and y / 2, last steering, last acceleration,
                         fraction of the time left
              6-110      the 15 nearest cars within 50 m, nearest first: x, y, cosine and sine of their
                         heading, speed / 20, parked, 1
              111-430    the 64 nearest road points, nearest first: x, y, cosine and sine of the road,
                         half width / 10
Actions       MultiDiscrete([9, 7]): steering -0.5 to 0.5 rad, acceleration -4 to 4 m/s2; with
              `continuous=True` Box(-1, 1, (2,)).
Rewards       goal +1, collision -1, off the road -1, and 0.01 for each metre nearer to the goal,
              so that waiting earns nothing.
Log           episode_return, episode_length, score (1 if the goal was reached), collided, off_road.
Source        stream 002 (a foreign simulator with worlds x slots, 90 steps, cars done on their first step).
"""

import numpy as np
from gymnasium.spaces import Box, MultiDiscrete

from envs.core import drawing
from envs.core.settings import flag, number, refusal, whole

from libc.math cimport atan2f, cosf, sinf, sqrtf, tanf
from libc.stdint cimport UINT32_MAX, int32_t, uint8_t, uint32_t, uint64_t
from libc.string cimport memcpy, memset

from envs.core.native cimport Native, require
from envs.core.random cimport draw_below, draw_between

cdef enum:
    MAX_SLOTS = 32
    MAX_POINTS = 256                # road points of a world, a multiple of 16
    POINTS_PER_ROAD = 64
    EGO = 6
    PARTNERS = 15
    PARTNER = 7
    ROAD_POINTS = 64
    ROAD_POINT = 5
    PARTNERS_AT = 6                 # EGO
    ROAD_AT = 111                   # EGO + PARTNERS * PARTNER
    OBSERVATION = 431               # ROAD_AT + ROAD_POINTS * ROAD_POINT
    LANES = 16                      # comparisons that the compiler may make at a time
    TIME = 90
    ABSENT = 0
    PARKED = 1
    DRIVING = 2

cdef extern from * nogil:
    """
    #define PI 3.14159265f
    #define STEP 0.1f                   /* seconds */
    #define WHEELBASE 2.8f              /* metres, as all lengths */
    #define TOP_SPEED 20.0f             /* metres a second */
    #define STEERING 0.5f               /* radians */
    #define ACCELERATION 4.0f
    #define WORLD 110.0f                /* half the side of the square in which roads begin and end */
    #define SIGHT 50.0f
    #define GOAL_RADIUS 2.5f
    #define CLEARANCE 8.0f
    #define BODY 1.2f                   /* a car is two discs, this far before and behind its middle, */
    #define RADIUS 1.1f                 /* of this radius */
    #define FAR 1e11f                   /* square metres: further than any road point */
    """
    const float PI, STEP, WHEELBASE, TOP_SPEED, STEERING, ACCELERATION, WORLD, SIGHT, GOAL_RADIUS, CLEARANCE
    const float BODY, RADIUS, FAR

cdef struct Car:
    float x, y, heading, speed
    float cosine, sine              # of the heading
    float goal_x, goal_y
    float steering, acceleration    # last action, -1 to 1
    float reach                     # squared distance within which the ROAD_POINTS nearest road points must
                                    # lie; a guess, mended if short
    int kind

cdef struct World:
    Car[MAX_SLOTS] cars
    float[MAX_POINTS] x             # road points; beyond num_points they lie far away
    float[MAX_POINTS] y
    float[MAX_POINTS] cosine
    float[MAX_POINTS] sine
    float[MAX_POINTS] half_width
    int num_points
    int num_roads
    int tick


cdef class Drive(Native):
    """drive(num_envs, seed=0, slots=32, parked=0.15, absent=0.25, continuous=False): see the
    module's docstring."""

    cdef World* worlds
    cdef readonly int slots
    cdef readonly bint continuous
    cdef readonly double parked, absent

    keys = {"ArrowUp": (4, 6), "ArrowDown": (4, 0), "ArrowLeft": (7, 4), "ArrowRight": (1, 4)}
    idle_action = (4, 3)
    action_names = ("steer", "accelerate")
    observation_sets = {"partners": (PARTNERS_AT, PARTNERS, PARTNER),
                        "road": (ROAD_AT, ROAD_POINTS, ROAD_POINT)}

    def __init__(self, num_envs=1, *, seed=0, slots=MAX_SLOTS, parked=0.15, absent=0.25, continuous=False,
                 **common):
        self.slots = whole("slots", slots, 1, MAX_SLOTS)
        self.parked = number("parked", parked, 0, below=1)
        self.absent = number("absent", absent, 0, below=1)
        if self.parked + self.absent >= 1:
            raise refusal("absent", absent, f"less than {1 - self.parked:g}, because parked={self.parked:g} "
                                            "and some slots must hold agents")
        self.continuous = flag("continuous", continuous)
        actions = Box(-1, 1, (2,), np.float32) if self.continuous else MultiDiscrete([9, 7])
        self.prepare(num_envs, self.slots, Box(-1, 1, (OBSERVATION,), np.float32), actions, seed, common,
                     metric_names=("score", "collided", "off_road"), truncates=True)
        self.worlds = <World*> self.claim(self.num_envs * sizeof(World))

    # ------------------------------------------------------------------ a new world

    cdef void start(self, int i) noexcept nogil:
        cdef World* world = &self.worlds[i]
        cdef int slot
        memset(world, 0, sizeof(World))
        self.lay_roads(i, world)
        for slot in range(self.slots):
            self.place_car(i, world, slot)
            self.rows.masks[i * self.slots + slot] = world.cars[slot].kind == DRIVING
        for slot in range(self.slots):
            if world.cars[slot].kind == DRIVING:
                self.observe(i, slot, <float*> self.rows.observations)
            else:
                self.clear(i, slot)

    cdef void lay_roads(self, int i, World* world) noexcept nogil:
        """2 to 4 parabolas from edge to edge that pass near the middle of the world."""
        cdef uint64_t* stream = &self.streams[i]
        cdef int road, n, at
        cdef float turn = <float> draw_between(stream, 0, PI), angle, bend, length, width
        cdef float t, x0, y0, x1, y1, x2, y2, dx, dy
        world.num_roads = 2 + draw_below(stream, 3)
        for road in range(world.num_roads):
            angle = turn + road * PI / world.num_roads + <float> draw_between(stream, -0.2, 0.2)
            bend = <float> draw_between(stream, -0.5, 0.5)
            width = <float> draw_between(stream, 4.5, 6.5)
            x0, y0 = -WORLD * cosf(angle), -WORLD * sinf(angle)
            x2, y2 = WORLD * cosf(angle + bend), WORLD * sinf(angle + bend)
            x1 = <float> draw_between(stream, -25, 25)
            y1 = <float> draw_between(stream, -25, 25)
            for n in range(POINTS_PER_ROAD):
                # Neighbours in memory lie on different roads, so in different rings.
                at = n * world.num_roads + road
                t = n * <float> (1.0 / (POINTS_PER_ROAD - 1))
                dx = (1 - t) * (x1 - x0) + t * (x2 - x1)
                dy = (1 - t) * (y1 - y0) + t * (y2 - y1)
                length = sqrtf(dx * dx + dy * dy)
                world.x[at] = (1 - t) * (1 - t) * x0 + 2 * t * (1 - t) * x1 + t * t * x2
                world.y[at] = (1 - t) * (1 - t) * y0 + 2 * t * (1 - t) * y1 + t * t * y2
                world.cosine[at], world.sine[at] = dx / length, dy / length
                world.half_width[at] = width
        world.num_points = world.num_roads * POINTS_PER_ROAD
        for n in range(world.num_points, MAX_POINTS):
            world.x[n] = world.y[n] = 1e6

    cdef void place_car(self, int i, World* world, int slot) noexcept nogil:
        """An absent, a parked or a driving car; a place that is too near another car is drawn again,
        and given up after 20 draws."""
        cdef uint64_t* stream = &self.streams[i]
        cdef Car* car = &world.cars[slot]
        cdef float lot = <float> draw_between(stream, 0, 1), side, offset
        cdef int attempt, other, start, ahead
        cdef bint clear
        if slot > 0 and lot < self.absent:  # slot 0 always drives: a world is never without an agent
            return
        for attempt in range(20):
            start = draw_below(stream, world.num_points)
            side = 1 if draw_below(stream, 2) else -1           # with or against the road's own direction
            offset = -0.45 * world.half_width[start] * side     # right-hand traffic
            car.x = world.x[start] - offset * world.sine[start]
            car.y = world.y[start] + offset * world.cosine[start]
            car.cosine, car.sine = side * world.cosine[start], side * world.sine[start]
            ahead = start + <int> side * world.num_roads * (6 + draw_below(stream, 12))
            if ahead < 0 or ahead >= world.num_points:          # the road ends before the goal
                continue
            clear = True
            for other in range(slot):
                if (world.cars[other].kind != ABSENT
                        and distance2(car, &world.cars[other]) < CLEARANCE * CLEARANCE):
                    clear = False
            if not clear:
                continue
            car.heading = atan2f(car.sine, car.cosine)
            car.goal_x = world.x[ahead] - offset * world.sine[ahead]
            car.goal_y = world.y[ahead] + offset * world.cosine[ahead]
            car.kind = PARKED if slot > 0 and lot < self.absent + self.parked else DRIVING
            car.speed = <float> draw_between(stream, 0, 8) if car.kind == DRIVING else 0
            return
        car.kind = ABSENT

    cdef void reset_range(self, int first, int last) noexcept nogil:
        cdef int i
        for i in range(first, last):
            self.start(i)

    # ------------------------------------------------------------------ a step

    cdef void step_range(self, int first, int last) noexcept nogil:
        cdef World* world
        cdef int i, slot, driving
        for i in range(first, last):
            world = &self.worlds[i]
            world.tick += 1
            for slot in range(self.slots):
                if world.cars[slot].kind == DRIVING:
                    self.move(i, &world.cars[slot], i * self.slots + slot)
            driving = self.judge(i, world)
            if driving and world.tick < TIME:
                # The rows of the others were cleared when they stopped being agents.
                for slot in range(self.slots):
                    if world.cars[slot].kind == DRIVING:
                        self.observe(i, slot, <float*> self.rows.observations)
                continue
            for slot in range(self.slots):
                if world.cars[slot].kind == DRIVING:
                    self.rows.truncations[i * self.slots + slot] = 1
                    self.observe(i, slot, <float*> self.rows.final_observations)
            self.start(i)

    cdef void move(self, int i, Car* car, int agent) noexcept nogil:
        """One step of the kinematic bicycle model, and the reward for coming nearer to the goal."""
        cdef float before = to_goal(car), slip
        if self.continuous:
            car.steering = clamp((<float*> self.rows.actions)[2 * agent], -1, 1)
            car.acceleration = clamp((<float*> self.rows.actions)[2 * agent + 1], -1, 1)
        else:
            car.steering = ((<int32_t*> self.rows.actions)[2 * agent] - 4) * <float> (1.0 / 4)
            car.acceleration = ((<int32_t*> self.rows.actions)[2 * agent + 1] - 3) * <float> (1.0 / 3)
        car.speed = clamp(car.speed + car.acceleration * ACCELERATION * STEP, 0, TOP_SPEED)
        slip = car.speed * tanf(car.steering * STEERING) / WHEELBASE * STEP
        car.heading += slip
        car.cosine, car.sine = cosf(car.heading), sinf(car.heading)
        car.x += car.speed * car.cosine * STEP
        car.y += car.speed * car.sine * STEP
        self.rows.rewards[agent] += <float> 0.01 * (before - to_goal(car))

    cdef int judge(self, int i, World* world) noexcept nogil:
        """Goals, collisions and the edge of the road, after all have moved;
        returns how many agents still drive."""
        cdef bint[MAX_SLOTS] hit
        cdef int slot, other, driving = 0
        cdef Car* car
        memset(hit, 0, sizeof(hit))
        for slot in range(self.slots):
            if world.cars[slot].kind != DRIVING:
                continue
            for other in range(self.slots):
                if other != slot and touching(&world.cars[slot], &world.cars[other]):
                    hit[slot] = True
        for slot in range(self.slots):
            car = &world.cars[slot]
            if car.kind != DRIVING:
                continue
            if hit[slot]:
                self.finish(i, world, slot, -1, 1)
            elif to_goal(car) < GOAL_RADIUS:
                self.finish(i, world, slot, 1, 0)
            elif off_road(world, car):
                self.finish(i, world, slot, -1, 2)
            else:
                driving += 1
        return driving

    cdef void finish(self, int i, World* world, int slot, float reward, int metric) noexcept nogil:
        cdef int agent = i * self.slots + slot
        require(&self.fault, world.tick > 1, b"an episode ended on its first step")
        self.rows.rewards[agent] += reward
        self.rows.terminals[agent] = 1
        self.rows.masks[agent] = 0
        self.metrics[3 * agent + metric] = 1
        world.cars[slot].kind = ABSENT
        self.clear(i, slot)

    # ------------------------------------------------------------------ observation

    cdef void observe(self, int i, int slot, float* rows) noexcept nogil:
        cdef World* world = &self.worlds[i]
        cdef Car* car = &world.cars[slot]
        cdef float* observation = rows + (i * self.slots + slot) * OBSERVATION
        observation[0] = car.speed * (1 / TOP_SPEED)
        observation[1] = clamp(ahead_of(car, car.goal_x, car.goal_y) / (2 * SIGHT), -1, 1)
        observation[2] = clamp(left_of(car, car.goal_x, car.goal_y) / (2 * SIGHT), -1, 1)
        observation[3] = car.steering
        observation[4] = car.acceleration
        observation[5] = <float> (TIME - world.tick) / TIME
        self.observe_partners(world, slot, observation + PARTNERS_AT)
        observe_road(world, car, observation + ROAD_AT)

    cdef void clear(self, int i, int slot) noexcept nogil:
        """Zeros for a slot that holds no agent; they stay until it does."""
        memset(<float*> self.rows.observations + (i * self.slots + slot) * OBSERVATION, 0,
               OBSERVATION * sizeof(float))

    cdef void observe_partners(self, World* world, int slot, float* observation) noexcept nogil:
        """The nearest other cars in sight, nearest first."""
        cdef uint32_t[MAX_SLOTS] nearest
        cdef Car* car = &world.cars[slot]
        cdef Car* partner
        cdef int other, n, count = 0
        for other in range(self.slots):
            nearest[count] = sort_key(distance2(car, &world.cars[other]), other)
            count += ((other != slot) & (world.cars[other].kind != ABSENT)
                      & (distance2(car, &world.cars[other]) < SIGHT * SIGHT))
        sort_keys(nearest, count)
        count = min(count, PARTNERS)
        for n in range(count):
            partner = &world.cars[nearest[n] & (MAX_SLOTS - 1)]
            observation[0] = ahead_of(car, partner.x, partner.y) * (1 / SIGHT)
            observation[1] = left_of(car, partner.x, partner.y) * (1 / SIGHT)
            observation[2] = clamp(car.cosine * partner.cosine + car.sine * partner.sine, -1, 1)
            observation[3] = clamp(car.cosine * partner.sine - car.sine * partner.cosine, -1, 1)
            observation[4] = partner.speed * (1 / TOP_SPEED)
            observation[5] = partner.kind == PARKED
            observation[6] = 1
            observation += PARTNER
        memset(observation, 0, (PARTNERS - count) * PARTNER * sizeof(float))

    # ------------------------------------------------------------------ Python face

    def cars(self, index=0):
        """Float32 (slots, 7) of world `index`: x, y, heading, speed, goal x,
        goal y and kind (0 absent, 1 parked, 2 driving)."""
        cdef World* world = &self.worlds[<int> self.require_index(index)]
        return np.array([[world.cars[n].x, world.cars[n].y, world.cars[n].heading, world.cars[n].speed,
                          world.cars[n].goal_x, world.cars[n].goal_y, world.cars[n].kind]
                         for n in range(self.slots)], np.float32)

    def roads(self, index=0):
        """Float32 (points, 5) of world `index`: x, y, cosine, sine and half width of every road point."""
        cdef World* world = &self.worlds[<int> self.require_index(index)]
        return np.array([[world.x[n], world.y[n], world.cosine[n], world.sine[n], world.half_width[n]]
                         for n in range(world.num_points)], np.float32)

    def render(self, index=0):
        """RGB array of world `index` from above: agents blue with white bonnets and green goals,
        parked cars grey; slot 0 and its goal yellow, a line between."""
        ink, scale, side = drawing.INK, 3, int(2 * WORLD)
        image = drawing.canvas(side * scale, side * scale)
        place = lambda x, y: ((WORLD - y) * scale, (x + WORLD) * scale)
        for x, y, _, _, width in self.roads(index):
            drawing.disc(image, *place(x, y), width * scale, ink["grid"])
        for slot, (x, y, heading, _, goal_x, goal_y, kind) in enumerate(self.cars(index)):
            if kind == ABSENT:
                continue
            colour = ink["muted"] if kind == PARKED else ink["food"] if slot == 0 else ink["agent"]
            if kind == DRIVING:
                drawing.disc(image, *place(goal_x, goal_y), (GOAL_RADIUS if slot == 0 else 1.5) * scale,
                             ink["food"] if slot == 0 else ink["goal"])
                if slot == 0:
                    drawing.line(image, *place(x, y), *place(goal_x, goal_y), colour)
            along, across = np.cos(heading) * BODY, np.sin(heading) * BODY
            drawing.line(image, *place(x - along, y - across), *place(x + along, y + across), colour,
                         2 * RADIUS * scale)
            drawing.disc(image, *place(x + along, y + across), 0.6 * scale,
                         ink["text" if kind == DRIVING else "wall"])
        return image


# ---------------------------------------------------------------------- geometry

cdef inline float clamp(float x, float low, float high) noexcept nogil:
    return min(max(x, low), high)


cdef inline float distance2(Car* a, Car* b) noexcept nogil:
    """Squared distance between the middles of two cars, square metres."""
    return (a.x - b.x) * (a.x - b.x) + (a.y - b.y) * (a.y - b.y)


cdef inline float to_goal(Car* car) noexcept nogil:
    return sqrtf((car.goal_x - car.x) * (car.goal_x - car.x) + (car.goal_y - car.y) * (car.goal_y - car.y))


cdef inline float ahead_of(Car* car, float x, float y) noexcept nogil:
    """How far a point lies ahead of the car, metres."""
    return (x - car.x) * car.cosine + (y - car.y) * car.sine


cdef inline float left_of(Car* car, float x, float y) noexcept nogil:
    """How far a point lies to the left of the car, metres."""
    return (y - car.y) * car.cosine - (x - car.x) * car.sine


cdef bint touching(Car* a, Car* b) noexcept nogil:
    """Whether one of the two discs of a car overlaps one of the other's."""
    cdef float reach = 2 * (BODY + RADIUS), dx, dy
    cdef int sign
    if a.kind == ABSENT or b.kind == ABSENT or distance2(a, b) > reach * reach:
        return False
    for sign in range(4):
        dx = a.x - b.x + BODY * ((2 * (sign & 1) - 1) * a.cosine - ((sign & 2) - 1) * b.cosine)
        dy = a.y - b.y + BODY * ((2 * (sign & 1) - 1) * a.sine - ((sign & 2) - 1) * b.sine)
        if dx * dx + dy * dy < 4 * RADIUS * RADIUS:
            return True
    return False


cdef bint off_road(World* world, Car* car) noexcept nogil:
    """Whether the car's middle is further from every road point than that road's half width."""
    cdef int n, inside = 0
    cdef float dx, dy
    for n in range(MAX_POINTS):
        dx, dy = world.x[n] - car.x, world.y[n] - car.y
        inside |= dx * dx + dy * dy < world.half_width[n] * world.half_width[n] + 1
    return not inside


cdef void observe_road(World* world, Car* car, float* observation) noexcept nogil:
    """The nearest road points, nearest first, turned into the car's view."""
    cdef uint32_t[MAX_POINTS] nearest
    cdef float[ROAD_POINTS] x
    cdef float[ROAD_POINTS] y
    cdef float[ROAD_POINTS] cosine
    cdef float[ROAD_POINTS] sine
    cdef int n, point, count = points_within(world, car, car.reach, nearest)
    if count < ROAD_POINTS:
        count = points_within(world, car, FAR, nearest)
    sort_keys(nearest, count)
    car.reach = next_reach(nearest[ROAD_POINTS - 1])
    for n in range(ROAD_POINTS):
        point = nearest[n] & (MAX_POINTS - 1)
        x[n], y[n] = world.x[point], world.y[point]
        cosine[n], sine[n] = world.cosine[point], world.sine[point]
        observation[ROAD_POINT * n + 4] = world.half_width[point] * <float> 0.1
    for n in range(ROAD_POINTS):
        observation[ROAD_POINT * n] = clamp(ahead_of(car, x[n], y[n]) * (1 / SIGHT), -1, 1)
        observation[ROAD_POINT * n + 1] = clamp(left_of(car, x[n], y[n]) * (1 / SIGHT), -1, 1)
        observation[ROAD_POINT * n + 2] = clamp(car.cosine * cosine[n] + car.sine * sine[n], -1, 1)
        observation[ROAD_POINT * n + 3] = clamp(car.cosine * sine[n] - car.sine * cosine[n], -1, 1)


cdef int points_within(World* world, Car* car, float reach, uint32_t* keys) noexcept nogil:
    """Keys of the road points whose squared distance is below `reach`, in the order of memory;
    returns how many there are.

    No branch depends on the data: every key is written, and the next one overwrites it unless it counts.
    """
    cdef float[MAX_POINTS] distances
    cdef float dx, dy
    cdef int n, count = 0
    for n in range(MAX_POINTS):
        dx, dy = world.x[n] - car.x, world.y[n] - car.y
        distances[n] = dx * dx + dy * dy
    for n in range(world.num_points):
        keys[count] = sort_key(distances[n], n)
        count += distances[n] < reach
    return count


cdef inline uint32_t sort_key(float distance, int index) noexcept nogil:
    """A distance >= 0 whose last 8 bits give way to an index below 256, so that sorting keys
    sorts what they stand for.

    Floats >= 0 order as their bits do, so keys compare as whole numbers;
    the distance is exact to 1 part in 30,000.
    """
    cdef uint32_t key
    memcpy(&key, &distance, sizeof(key))
    return (key & ~<uint32_t> 255) | <uint32_t> index


cdef inline float next_reach(uint32_t key) noexcept nogil:
    """What the reach must be a step later:
    the car and the furthest of its points are at most TOP_SPEED * STEP further apart then."""
    cdef float distance
    memcpy(&distance, &key, sizeof(distance))
    distance = sqrtf(distance) + <float> 1.01 * TOP_SPEED * STEP
    return distance * distance


cdef void sort_keys(uint32_t* keys, int count) noexcept nogil:
    """Sort `count` different keys, ascending: the place of a key is the number of smaller ones.

    count * count comparisons, and yet the fastest way for a hundred keys: no branch depends on the data
    and 8 or 16 comparisons are one instruction. `keys` has room for `count` rounded up to LANES.
    """
    cdef uint32_t[MAX_POINTS] unsorted
    cdef int32_t[LANES] place
    cdef uint32_t key
    cdef int block, first, n, m
    memcpy(unsorted, keys, count * sizeof(uint32_t))
    for n in range(count, (count + LANES - 1) & ~(LANES - 1)):
        unsorted[n] = UINT32_MAX
    for block in range((count + LANES - 1) // LANES):
        first = block * LANES
        memset(place, 0, sizeof(place))
        for n in range(count):
            key = unsorted[n]
            for m in range(LANES):
                place[m] += key < unsorted[first + m]
        for m in range(min(LANES, count - first)):
            keys[place[m]] = unsorted[first + m]
