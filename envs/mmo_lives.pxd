"""The birth of an inhabitant of `mmo`, and what is written down of its life when it ends."""

from libc.stdint cimport int32_t
from libc.string cimport memset

from envs.mmo_rules cimport PRICE
from envs.mmo_world cimport (ACTIVITIES, BORDER, FIGHT, FULL, GATHER, GOODS, NOBODY, SKILLS, TRADE, Agent,
                             Life, World, count_bits, free_cell, stand)

cdef enum:                          # causes of death
    THIRST, HUNGER, KILLED, AGE

cdef enum:
    START = 64                      # food and water of a newborn


cdef inline void begin_life(World* world, int n, int trade) noexcept nogil:
    """Inhabitant n anew, somewhere."""
    cdef Agent* agent = &world.agents[n]
    cdef int cell = free_cell(world), skill
    memset(agent, 0, sizeof(Agent))
    agent.health, agent.food, agent.water = FULL, START, START
    agent.born, agent.striker = world.head.tick, NOBODY
    agent.trade = trade
    for skill in range(SKILLS):
        agent.level[skill] = 1
    stand(world, agent, cell // world.stride, cell % world.stride)


cdef inline Life* end_life(World* world, int n) noexcept nogil:
    """Write the life of inhabitant n into the ring; its record."""
    cdef Agent* agent = &world.agents[n]
    cdef Life* life = &world.lives[world.head.ended % world.ring]
    cdef int k
    life.agent, life.trade, life.born, life.age = n, agent.trade, agent.born, world.head.tick - agent.born
    life.cause = (AGE if agent.health > 0 else KILLED if agent.hurt > 0
                  else THIRST if agent.water == 0 else HUNGER)
    life.gold, life.wealth = agent.gold, agent.gold
    for k in range(GOODS):
        life.wealth += PRICE[k] * agent.goods[k]
    for k in range(SKILLS):
        life.levels[k] = agent.level[k]
    life.regions = 0
    for k in range(4):
        life.regions += count_bits(agent.regions[k])
    life.spent = agent.spent
    life.distance, life.row, life.column = agent.distance, agent.y - BORDER, agent.x - BORDER
    life.trades, life.gifts, life.kills = agent.trades, agent.gifts, agent.kills
    life.crafted, life.gathered = agent.crafted, agent.gathered
    world.head.ended += 1
    return life


cdef inline void log_life(const Life* life, float* metrics) noexcept nogil:
    """The metrics of METRIC_NAMES in mmo.pyx."""
    cdef int k, gathering = 0
    metrics[0] = life.age
    for k in range(THIRST, AGE):
        metrics[1 + k] = life.cause == k
    metrics[4] = metrics[5] = 0
    for k in range(SKILLS):
        metrics[4] += life.levels[k] - 1
        metrics[5] += life.levels[k] > 1
    for k in range(4):
        gathering += life.spent[GATHER + k]
    metrics[6], metrics[7], metrics[8] = life.wealth, life.distance, life.regions
    metrics[9] = gathering / <float> life.age
    metrics[10], metrics[11] = life.spent[FIGHT] / <float> life.age, life.spent[TRADE] / <float> life.age
    metrics[12], metrics[13], metrics[14] = life.trades, life.gifts, life.kills
