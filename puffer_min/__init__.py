"""puffer_min: fast reinforcement learning, small enough to read whole.

    import puffer_min

    result = puffer_min.train("squared", total_steps=3_000_000)     # policy, history, checkpoint
    vec = puffer_min.make_vec("snake", num_envs=4)                  # any environments behind one object

Rooms in the order of the data: env/ -> emulation/ -> wrappers/ -> intake/ -> vector/ -> learner/ ->
selfplay/ -> commands/. README.md in this folder says which file answers which question. Importing this
package changes nothing in the process and imports neither NumPy nor torch; a name is imported from its
module when it is first used.
"""

import importlib
import importlib.machinery
import sys
import warnings

import envs.core.compile_settings  # noqa: F401                 finds the debug build if PUFFER_DEBUG=1

_HOME = {
    "PufferEnv": "env.puffer_env", "EnvSpec": "env.spec", "make_vec": "vector",
    "GymnasiumEnv": "emulation.gymnasium_env", "PettingZooEnv": "emulation.pettingzoo_env",
    "as_gymnasium_vector": "emulation.adapters", "as_sb3": "emulation.adapters",
    "Layout": "emulation.observations", "ActionLayout": "emulation.actions", "as_numpy": "env.arrays",
    "Atari": "wrappers.atari", "with_groups": "wrappers.groups",
    "masks_from_info": "intake.masks", "with_options": "intake.options", "encode": "intake.encode",
    "from_vector_env": "intake.vector_env", "as_tianshou": "intake.tianshou",
    "bounded_policy": "learner.networks.squashed",
    "PPO": "learner.ppo", "NotFinite": "learner.ppo", "Config": "learner.config", "Actor": "learner.actor",
    "Policy": "learner.policy", "make_policy": "learner.policy", "RandomPolicy": "env.actions",
    "load_policy": "learner.checkpoint", "CheckpointError": "learner.checkpoint",
    "export": "learner.networks.export",
    "RolloutBuffer": "learner.buffer", "gae": "learner.advantage", "vtrace": "learner.advantage",
    "train": "commands.train", "Result": "commands.run", "evaluate": "commands.evaluate",
    "Callback": "commands.callbacks", "CallbackError": "commands.callbacks",
    "Evaluation": "commands.callbacks", "EarlyStop": "commands.callbacks", "EpisodeGIF": "commands.callbacks",
    "run_sweep": "commands.sweep", "check_environment": "commands.check", "probe": "commands.check.probe",
    "arena": "selfplay.arena", "Standings": "selfplay.arena", "Opponents": "selfplay.opponents",
    "exploit": "commands.arena.exploit", "Exploit": "commands.arena.exploit",
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


# ---------------------------------------------------------------------- where modules were in version 0.1

_MOVED = {                          # room -> names of its modules, "name=path" where the name has changed too
    "env": "arrays contract recording=random_play episodes=episode_log",
    "emulation": "actions=emulation_actions packing=emulation_kernel gymnasium_env pettingzoo_env "
                 "adapters=adapters.gymnasium_vector adapters=adapters.presented adapters=adapters.sb3",
    "vector": "handoff process=process_vector serial=batch shared_memory "
              "thread=thread_vector turns=vectorizer worker",
    "learner": "ppo config buffer advantage distributions=sampling policy asynchronous distributed "
               "networks.encoders=encoders networks.encoders=structured_encoder checkpoint",
    "commands": "train=training evaluate=evaluation bench=benchmark log=training_log sweep check play game "
                "dashboard",
    "course": "statistics",
}
_NOW = {f"{__name__}.{old or new}": f"{__name__}.{room}.{new}" for room, names in _MOVED.items()
        for new, _, old in (name.partition("=") for name in names.split())}
_NOW |= {f"{__name__}.stages": f"{__name__}.clock", f"{__name__}.episodes": f"{__name__}.env.episodes"}


class _OldPaths:
    """Finds a module by its path in version 0.1, with a DeprecationWarning that names the new path."""

    @staticmethod
    def find_spec(path, *_):
        if path in _NOW or path == f"{__name__}.adapters":
            return importlib.machinery.ModuleSpec(path, _OldPaths, is_package=path not in _NOW)
        return None

    @staticmethod
    def create_module(spec):
        return None                                     # an empty module, or the empty package `adapters`

    @staticmethod
    def exec_module(module):
        old = module.__name__
        if old in _NOW:
            _warn(old, _NOW[old], 3)
            sys.modules[old] = importlib.import_module(_NOW[old])       # import takes it from there


def _warn(old, new, level):
    text = f"{old} is now {new}; the old path ends with the next version"
    warnings.warn(text, DeprecationWarning, stacklevel=level)


def _old_attribute(package, module, name):
    """The attribute `name` of a package that was a module in version 0.1; it is in `module` now."""
    found = None if name.startswith("__") else vars(importlib.import_module(f"{package}.{module}")).get(name)
    if found is None:
        raise AttributeError(f"module {package!r} has no attribute {name!r}")
    _warn(f"{package}.{name}", f"{package}.{module}.{name}", 4)
    return found


sys.meta_path.append(_OldPaths)
