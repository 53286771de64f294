"""Every environment is learned: short seeded runs on one thread that must reach a score that play at random never does.

The scores are those of the run's last episodes. They are far below what the defaults reach; a learner with a fault misses them all the
same. The runs of more than a few seconds are marked long.
"""

import pytest
from unchanged import LIBRARY

from puffer_min.commands.sweep import last_score
from puffer_min.commands.train import train

QUICK = [                   # environment, its settings, settings of the learner, score at random, score to reach
    ("bandit", {}, {"total_steps": 600_000}, 0.25, 0.95),
    ("cartpole", {}, {"total_steps": 600_000}, 22, 60),
    ("password", {}, {"total_steps": 500_000, "learning_rate": 0.01}, 0.03, 0.9),
    ("memory", {}, {"total_steps": 500_000, }, 0.25, 0.9),
]
LONG = [
    ("squared", {}, {"total_steps": 3_000_000}, 0.14, 0.9),
    ("snake", {"num_snakes": 256}, {"total_steps": 3_000_000, "num_envs": 4}, 4, 20),
    ("connect4", {"opponent": "random"}, {"total_steps": 2_000_000}, 0.4, 0.9),
    ("connect4", {"opponent": "search", "weaker": 0.5}, {"total_steps": 4_000_000}, 0.046, 0.3),        # with depth 4 alone nothing is won for 6 M
    ("triple_triad", {"opponent": "random"}, {"total_steps": 4_000_000}, 4.8, 5.6),
    ("triple_triad", {"opponent": "greedy"}, {"total_steps": 5_000_000}, 3.85, 4.6),
    ("pong", {"points_to_win": 3}, {"total_steps": 4_000_000}, -2.8, 1),
    ("breakout", {}, {"total_steps": 12_000_000}, 13, 150),
    ("drive", {}, {"total_steps": 5_000_000}, 0.07, 0.25),
    ("mmo", {}, {"total_steps": 5_000_000}, 230, 320),
    ("grid", {"task": "empty", "size": 5}, {"total_steps": 500_000}, 0.43, 0.98),
    ("grid", {"task": "door_key", "size": 8}, {}, 0.02, 0.9),
]


def learned(tmp_path, name, env_settings, settings):
    return last_score(train(name, seed=1, torch_threads=1, run_dir=tmp_path, env_settings=env_settings, **settings).history)


@pytest.mark.parametrize("name, env_settings, settings, random, reach", QUICK, ids=[case[0] for case in QUICK])
def test_a_few_seconds_teach(tmp_path, name, env_settings, settings, random, reach):
    score = learned(tmp_path, name, env_settings, settings)
    assert score >= reach > random, f"{name}: {score:.3g}, expected {reach} (at random {random})"


def inputs(parameters):
    """The library without the other environments."""
    return [f"envs/{parameters['name']}*.p*", "envs/*.py", "envs/core/*", *LIBRARY[1:]]


@pytest.mark.long
@pytest.mark.costly(inputs=inputs)
@pytest.mark.parametrize("name, env_settings, settings, random, reach", LONG, ids=["-".join([case[0], *map(str, case[1].values())]) for case in LONG])
def test_a_minute_teaches(tmp_path, name, env_settings, settings, random, reach):
    score = learned(tmp_path, name, env_settings, settings)
    assert score >= reach > random, f"{name}: {score:.3g}, expected {reach} (at random {random})"
