"""Plays every environment the way nobody would, in a build that watches each access: `test_sanitizers.py` runs it.

    PUFFER_DEBUG=1 PUFFER_SANITIZE=1 LD_PRELOAD=$(gcc -print-file-name=libasan.so) ASAN_OPTIONS=detect_leaks=0 python tests/adversary.py squared

One million agent-steps of random actions in the default settings, then in the narrowest and oddest settings constant actions, all
corners of the action space and floats at the end of their range, in batches of 1, 3 and 7. Between the steps environments are reset,
given other buffers, saved, set back, drawn and made anew. An access outside memory ends the process with a report.

Every array has an allocation of its own, so that what is written past its last byte is seen. The state of a batch is not: `Native.claim`
rounds it up to whole cache lines. `Fenced` takes the place of NumPy where it does so and forbids the bytes that are left over.
"""

import argparse
import ctypes
import importlib.util
import itertools
import sys

import environments
import numpy as np
from gymnasium import spaces

import envs
from envs.core import native
from envs.core.buffers import Buffers
from envs.core.compile_settings import is_sanitized

RANDOM_STEPS = 1_000_000                # agent-steps in the default settings
ODD_STEPS = 150                         # steps in a row of each kind of action, in each odd setting
MOST_CORNERS, SOME_CORNERS = 243, 30    # of more corners than these some are drawn
ODD_AGENT_STEPS = 6_000_000             # of all kinds of actions in one odd setting, from which on there are fewer steps of each
HUGE = np.finfo(np.float32).max
FLOATS = (HUGE, -HUGE, np.float32(1e-45), np.float32(-1e-45), 0.0, -0.0, 1.0, -1.0, np.nextafter(np.float32(1), 2))
PIXELS = [{"view": "pixels"}, {"view": "pixels", "length": 2}] if importlib.util.find_spec("crafter") else []      # draws with its textures

ODD = {
    "bandit": [{"arms": 2, "best": 0, "length": 1}, {"arms": 300, "best": 299, "length": 3}],
    "breakout": [{"frame_skip": 1, "patience": 1}, {"frame_skip": 1000}],
    "cartpole": [{"max_episode_steps": 1}, {"continuous": True}, {"continuous": True, "max_episode_steps": 3}],
    "connect4": [{"opponent": "random"}, {"players": 2}, {"opponent": "greedy", "openings": 3}, {"players": 2, "threats": False, "openings": 10},
                 {"opponent": "greedy", "threats": False}, {"players": 2, "openings": 3},
                 {"players": 2, "opponent": "search"}, {"opponent": "search", "weaker": 0.5, "openings": 3}, {"opponent": "search", "depth": 1},
                 {"opponent": "search", "depth": 4, "node_budget": 200}, {"opponent": "search", "depth": 42, "node_budget": 1},
                 {"opponent": "search", "depth": 42, "node_budget": 300}],
    "crafter": [{"length": 1}, {"length": 3, "noise": True}, {"length": 400}, {"noise": True}, *PIXELS],
    "drive": [{"slots": 1}, {"slots": 2, "absent": 0.99, "parked": 0}, {"slots": 2, "absent": 0, "parked": 0.99}, {"absent": 0, "parked": 0},
              {"absent": 0.97, "parked": 0}, {"absent": 0, "parked": 0.97}, {"continuous": True}, {"continuous": True, "slots": 1}],
    "grid": [{"task": task, "size": size} for task in ("empty", "empty_random", "door_key", "lava_gap") for size in (5, 6, 47)]
    + [{"task": task, "size": size} for task in ("maze", "four_rooms") for size in (5, 7, 47)]
    + [{"task": "maze", "size": 5, "max_steps": 1, "num_levels": 1, "start_level": (1 << 62) - 1}, {"task": "door_key", "see_through_walls": True}],
    "memory": [{"symbols": 255, "length": 3, "delay": 0}, {"symbols": 2, "length": 1, "delay": 0}, {"symbols": 2, "length": 7, "delay": 100}],
    "mmo": [{"agents": 1, "size": 32}, {"agents": 64, "size": 32}, {"agents": 1, "natives": 63, "size": 32, "lifespan": 1}, {"agents": 30, "size": 33},
            {"agents": 50, "natives": 10, "size": 40, "autopilot": True, "season_ticks": 1}, {"agents": 20, "size": 47, "lifespan": 7, "seasons": False}],
    "moba": [{"max_ticks": 1}, {"agents": 10, "max_ticks": 3, "first": 1}, {"agents": 10, "autopilot": True, "max_ticks": 2000}, {"continuous": True},
             {"agents": 10, "continuous": True, "max_ticks": 400}, {"rivals": "strong", "autopilot": True, "max_ticks": 3000}],
    "password": [{"password": "0"}, {"password": "9" * 64}],
    "pong": [{"frame_skip": 1, "points_to_win": 1, "rival_speed": 0.001}, {"frame_skip": 1000, "points_to_win": 1, "rival_speed": 2.0}],
    "probes": [{"task": task} for task in ("one_action", "two_values", "discount", "choose", "recall")],
    "skirmish": [{"scan_every": 1}, {"scan_every": 7, "limit": 1}, {"scan_every": 1000, "limit": 3}],
    "snake": [{"num_snakes": 1, "width": 1, "height": 2, "num_food": 0}, {"num_snakes": 1, "width": 3, "height": 1, "num_food": 1},
              {"num_snakes": 4, "width": 3, "height": 3, "num_food": 4, "vision": 1}, {"num_snakes": 2, "width": 5, "height": 4, "vision": 20},
              {"num_snakes": 7, "width": 4, "height": 2, "num_food": 0, "max_length": 1, "starvation": 1},
              {"num_snakes": 3, "width": 2, "height": 30, "num_food": 20, "vision": 2, "starvation": 3, "leave_corpse": False}],
    "squared": [{"size": 3}, {"size": 45}],
    "stochastic": [{"share": 0.5, "length": 2}, {"share": 0.999, "length": 3}],
    "triple_triad": [{"opponent": "random"}, {"players": 2}, {"foresight": False}, {"players": 2, "foresight": False}, {"patience": 10},
                     {"players": 2, "patience": 10}],
}
"""Settings at the edge of what each environment allows."""


class Fenced:
    """NumPy for `envs.core.native`, but `zeros` forbids the bytes that `claim` asks for beyond the size of a block."""

    ALIGNMENT = 64
    UNCACHED = 2048             # NumPy keeps smaller memory for its next array, and would keep it forbidden
    poison = None

    def __getattr__(self, name):
        return getattr(np, name)

    def zeros(self, size, dtype):
        raw = np.zeros(max(size + self.ALIGNMENT, self.UNCACHED), dtype)
        start = -raw.ctypes.data % self.ALIGNMENT
        memory = raw[start:start + size]                # on the boundary already, so that the block is its first bytes
        block = max(1, size - self.ALIGNMENT)
        Fenced.poison(ctypes.c_void_p(memory.ctypes.data + block), ctypes.c_size_t(len(raw) - start - block))
        return memory


def fence():
    """Put the fence up: from now on every block of every environment has one behind it."""
    Fenced.poison = ctypes.CDLL(None).__asan_poison_memory_region
    native.np = Fenced()


def ways(env, random):
    """Functions that give the actions of a step: at random, then each constant action, each corner, floats at their ends."""
    space, shape = env.single_action_space, env.actions.shape
    yield lambda: environments.random_actions(env, random)
    if isinstance(space, spaces.Box):
        rows = [np.full(shape[1:], value) for value in FLOATS]
        yield lambda: random.choice(np.array(FLOATS, np.float32), shape)
    elif isinstance(space, spaces.MultiDiscrete):
        rows = list(itertools.product(*({0, count // 2, count - 1} for count in space.nvec)))
        if len(rows) > MOST_CORNERS:                    # `mmo` has 729 corners and 1,024 agents: hours
            rows = [rows[k] for k in random.permutation(len(rows))[:SOME_CORNERS]]
    else:
        rows = sorted({*range(min(8, space.n)), space.n - 1})
    for row in rows:
        actions = np.empty(shape, env.actions.dtype)
        actions[...] = row
        yield lambda actions=actions: actions


def fresh_buffers(env):
    return Buffers.allocate(env.num_agents, env.single_observation_space, env.single_action_space, env.truncates)


def trouble(env, random, saved):
    """One of the things a caller may do between two steps."""
    what = random.randint(8)
    if what == 0:
        env.reset()
    elif what == 1:
        env.reset(seed=int(random.randint(2**31)) << 33)
    elif what == 2:
        env.bind(fresh_buffers(env))
    elif what == 3:
        saved[:] = [env.get_state()]
    elif what == 4 and saved:
        env.set_state(saved[0])
    elif what == 5:
        env.render(int(random.randint(env.num_envs)))
    elif what == 6:
        env.log()
    else:
        refused(env)
    if hasattr(env, "action_masks"):
        env.action_masks()


def refused(env):
    """Actions outside the space are refused before they are used as an index."""
    real = env.actions.dtype == np.float32
    for value in (np.inf, -np.inf, np.nan) if real else (-1, 2**31 - 1, -2**31):
        actions = np.zeros_like(env.actions)
        actions.reshape(-1)[-1] = value
        try:
            env.step(actions)
        except ValueError:
            continue
        raise AssertionError(f"{env} took the action {value}")


def play_odd(name, settings, num_envs):
    """Every way of acting for a while, with trouble in between."""
    random = np.random.RandomState(num_envs)
    env = envs.make(name, num_envs, seed=2**64 - 1, first_env=5, report_interval=3, **settings)
    env.reset()
    saved, steps, kinds = [], 0, list(ways(env, random))
    for actions in kinds:
        for _ in range(min(ODD_STEPS, max(20, ODD_AGENT_STEPS // (len(kinds) * env.num_agents)))):
            env.step(actions())
            steps += env.num_agents
            if random.randint(15) == 0:
                trouble(env, random, saved)
    for index in range(num_envs):
        env.render(index)
    env.close()
    return steps


def play_random(name, agent_steps):
    """A long game in the default settings."""
    random = np.random.RandomState(0)
    env = envs.make(name, max(1, 256 // envs.make(name).num_agents), seed=0)
    env.reset()
    for step in range(-(-agent_steps // env.num_agents)):
        env.step(environments.random_actions(env, random))
        if step % 500 == 499:
            env.bind(fresh_buffers(env))
    return (step + 1) * env.num_agents


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="+", metavar="NAME")
    parser.add_argument("--steps", type=int, default=RANDOM_STEPS, help="agent-steps of random actions")
    arguments = parser.parse_args()
    if not is_sanitized():
        sys.exit("This is not the sanitize build: set PUFFER_DEBUG=1 and PUFFER_SANITIZE=1, as the head of this file says.")
    fence()
    for name in arguments.names:
        steps = play_random(name, arguments.steps)
        odd = sum(play_odd(name, settings, num_envs) for settings in [{}, *ODD.get(name, [])] for num_envs in (1, 3, 7))
        print(f"{name}: {steps} random and {odd} adversarial agent-steps", flush=True)


if __name__ == "__main__":
    main()
