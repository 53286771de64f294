"""puffer_min: fast reinforcement learning, small enough to hold in the head.

    import puffer_min

    result = puffer_min.train("squared", total_steps=3_000_000)     # policy, history, checkpoint
    vec = puffer_min.make_vec("snake", num_envs=4)                  # any environments behind one object

The way of the data is the way of the reading: env.py, vector.py -> buffer.py -> advantage.pyx -> ppo.py -> training.py.
Importing this package imports neither NumPy nor torch; a name is looked up in its module when it is first used.
"""

import importlib
import os
from pathlib import Path

from envs.core.compile_settings import build_name

# torch's threads wait for each other by spinning, for milliseconds, in which a busy machine of few cores lets nobody work: with
# seven other programs on two cores a run took 20 times as long as with a short spin before sleep, and alone it is no faster.
# libgomp reads this when torch is first imported; whoever has set it, or OMP_WAIT_POLICY, knows better.
if "OMP_WAIT_POLICY" not in os.environ:
    os.environ.setdefault("GOMP_SPINCOUNT", "5000")

if build_name() != "release":                                   # PUFFER_DEBUG=1: the debug build first, as in envs
    __path__.insert(0, str(Path(__file__).parents[1] / "build" / build_name() / "puffer_min"))

_HOME = {
    "PufferEnv": "env", "make_vec": "vector", "check_environment": "check", "GymnasiumEnv": "gymnasium_env",
    "as_gymnasium_vector": "adapters.gymnasium_vector", "as_sb3": "adapters.sb3", "PettingZooEnv": "pettingzoo_env",
    "Layout": "emulation", "ActionLayout": "emulation_actions", "as_numpy": "arrays",
    "train": "training", "Result": "training", "evaluate": "evaluation", "run_sweep": "sweep",
    "PPO": "ppo", "NotFinite": "ppo", "Config": "config", "Policy": "policy", "Actor": "policy", "RandomPolicy": "policy",
    "load_policy": "checkpoint", "CheckpointError": "checkpoint", "RolloutBuffer": "buffer", "gae": "advantage", "vtrace": "advantage",
    "TerminalDashboard": "dashboard", "read_log": "training_log",
}

__all__ = list(_HOME)


def __getattr__(name):
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = globals()[name] = getattr(importlib.import_module(f"{__name__}.{_HOME[name]}"), name)
    return value


def __dir__():
    return sorted([*globals(), *_HOME])
