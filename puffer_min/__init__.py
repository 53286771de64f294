"""puffer_min: fast reinforcement learning, small enough to hold in the head.

    import puffer_min

    result = puffer_min.train("squared", total_steps=3_000_000)     # policy, history, checkpoint
    vec = puffer_min.make_vec("snake", num_envs=4)                  # any environments behind one object

The way of the data is the way of the reading: env/ -> emulation/ -> vector/ -> learner/ -> commands/.
Importing this package imports neither NumPy nor torch; a name is looked up in its module when it is first used.
"""

import importlib

import envs.core.compile_settings  # noqa: F401                  finds the debug build, where PUFFER_DEBUG=1 asks for it

_HOME = {
    "PufferEnv": "env.puffer_env", "make_vec": "vector", "check_environment": "commands.check",
    "GymnasiumEnv": "emulation.gymnasium_env", "PettingZooEnv": "emulation.pettingzoo_env",
    "as_gymnasium_vector": "emulation.gymnasium_vector", "as_sb3": "emulation.sb3",
    "Layout": "emulation.observations", "ActionLayout": "emulation.actions", "as_numpy": "emulation.arrays",
    "PPO": "learner.ppo", "NotFinite": "learner.ppo", "Config": "learner.config",
    "Policy": "learner.policy", "Actor": "learner.policy", "RandomPolicy": "learner.policy",
    "load_policy": "learner.checkpoint", "CheckpointError": "learner.checkpoint",
    "RolloutBuffer": "learner.buffer", "gae": "learner.advantage", "vtrace": "learner.advantage",
    "train": "commands.train", "Result": "commands.run", "evaluate": "commands.evaluate", "run_sweep": "commands.sweep",
    "TerminalDashboard": "commands.dashboard", "read_log": "commands.log",
}

__all__ = list(_HOME)


def __getattr__(name):
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = globals()[name] = getattr(importlib.import_module(f"{__name__}.{_HOME[name]}"), name)
    return value


def __dir__():
    return sorted([*globals(), *_HOME])
