"""Every native environment, small enough to test: the tests of the contract run over `envs.names()`, so that a new one is tested at once.

The tables hold only what differs from the default; an environment without an entry is tested as `envs.make(name)` makes it.
"""

import numpy as np
from gymnasium import spaces

import envs

SMALL = {
    "grid": {"task": "maze", "size": 9, "max_steps": 120, "num_levels": 20},
    "mmo": {"agents": 24, "size": 40, "lifespan": 200},
    "moba": {"max_ticks": 150},
    "pong": {"points_to_win": 2},
    "skirmish": {"limit": 150},
    "snake": {"num_snakes": 8, "width": 24, "height": 14, "num_food": 30, "starvation": 60},
}
"""Settings that make a large environment small, or its episodes short."""

VARIANTS = {
    "connect4": [{"opponent": "greedy", "threats": False}],
    "crafter": [{"noise": True, "length": 280}, {"length": 7}],
    "grid": [{"task": "empty_random", "size": 5}, {"task": "four_rooms"}, {"task": "door_key", "size": 5, "max_steps": 150}, {"task": "lava_gap"},
             {"task": "empty", "size": 6}, {"task": "maze", "size": 47, "max_steps": 100}, {"max_steps": 200}],
    "pong": [{"points_to_win": 2, "frame_skip": 4}],
    "probes": [{"task": task} for task in ("one_action", "two_values", "discount", "choose", "recall")],
    "triple_triad": [{"foresight": False}],
    "skirmish": [{"scan_every": 1, "limit": 350}],
    "mmo": [{"agents": 60, "natives": 40, "size": 40}, {"agents": 48, "size": 64, "autopilot": True, "season_ticks": 100, "lifespan": 300},
            {"agents": 90, "size": 40, "seasons": False, "goal": "survival"}],
    "moba": [{"agents": 10, "max_ticks": 390}, {"agents": 10, "autopilot": True, "max_ticks": 390}, {"continuous": True, "max_ticks": 200},
             {"rivals": "strong", "autopilot": True, "max_ticks": 390}],
    "snake": [{"num_snakes": 1, "width": 9, "height": 7, "num_food": 2, "vision": 3, "leave_corpse": False}, {"num_snakes": 40, "starvation": 30},
              {}],
    "squared": [{"size": 5}],
}
"""Further settings whose trajectories are kept in tests/golden."""

BLANK_AT_FIRST = {"connect4"}
"""Environments whose first observation is rightly all zeros: an empty board."""

SEEDLESS = {"bandit", "password", "stochastic"}
"""Environments in which no observation depends on the seed: there is nothing to see, or only what the agent did."""

STEPS = {}
"""How many random steps it takes until episodes have ended, where 400 are not enough."""


def names() -> list[str]:
    """The names of all native environments."""
    return envs.names()


def steps(name: str) -> int:
    """Random steps after which some episodes of `name` have ended."""
    return STEPS.get(name, 400)


def make(name: str, num_envs: int = 3, seed: int = 0, **settings):
    """`num_envs` small environments `name`."""
    return envs.make(name, num_envs, seed=seed, **(SMALL.get(name, {}) | settings))


def random_actions(env, random: np.random.RandomState) -> np.ndarray:
    """One random action for each agent, in the dtype that the environment takes. RandomState: its stream never changes between NumPy versions."""
    space = env.single_action_space
    if isinstance(space, spaces.Box):
        low, high = np.maximum(space.low, -3), np.minimum(space.high, 3)
        return random.uniform(low, high, env.actions.shape).astype(np.float32)
    counts = space.nvec if isinstance(space, spaces.MultiDiscrete) else space.n
    return (random.random_sample(env.actions.shape) * counts).astype(np.int32)


def play(env, num_steps: int, seed: int = 0):
    """Step `env` with random actions; yields copies of (observations, rewards, terminals, truncations) after every step, and infos."""
    random = np.random.RandomState(seed)
    for _ in range(num_steps):
        *arrays, infos = env.step(random_actions(env, random))
        yield *(array.copy() for array in arrays), infos


def trajectory(env, num_steps: int, seed: int = 0) -> list[np.ndarray]:
    """Observations, rewards, terminals and truncations of `num_steps` random steps, each stacked along a new first axis."""
    columns = zip(*(rows[:4] for rows in play(env, num_steps, seed)), strict=False)
    return [np.stack(column) for column in columns]


def same(one: list[np.ndarray], other: list[np.ndarray]) -> bool:
    """Whether two trajectories are equal to the last bit."""
    return all(a.dtype == b.dtype and a.shape == b.shape and a.tobytes() == b.tobytes() for a, b in zip(one, other, strict=True))
