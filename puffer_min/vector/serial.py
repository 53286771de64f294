"""Environments stepped in this process, one after the other: `make_batch` and `Serial`.

A *batch* is environments [first_env, first_env + n) over given buffers, as one object that steps them all:

    batch = make_batch("snake", 4)                                      # native: the object itself
    batch = make_batch(MyEnv, 4, first_env=8, buffers=buffers.rows(8, 12))

A native environment is a batch as it is. Python environments become a `PythonBatch` (env/batch.py).
`Serial` drives one batch, and so does each worker, thread or process.
"""

import gymnasium

import envs
from puffer_min.emulation.gymnasium_env import GymnasiumEnv
from puffer_min.emulation.pettingzoo_env import PettingZooEnv
from puffer_min.env.batch import PythonBatch
from puffer_min.env.puffer_env import PufferEnv
from puffer_min.env.spec import Closing, EnvSpec
from puffer_min.vector.parts import Received, refuse_turn
from puffer_min.wrappers.frame_stack import StackedBatch
from puffer_min.wrappers.groups import with_groups


def make_batch(make_env, num_envs, *, env_settings=None, first_env=0, buffers=None, seed=0,
               report_interval=128, **settings):
    """Environments [first_env, first_env + num_envs) of a larger batch as one object, over `buffers` if any.

    env_settings and settings are passed on to each environment together.
    """
    make_env = envs.find(make_env) if isinstance(make_env, str) else make_env
    settings = (env_settings or {}) | settings
    common = {"first_env": first_env, "buffers": buffers, "seed": seed, "report_interval": report_interval}
    if (frames := settings.pop("frame_stack", None)) is not None:
        common["buffers"] = None        # the environments have rows of their own
        return StackedBatch(make_batch(make_env, num_envs, **common, **settings), frames, buffers)
    if is_native(make_env):
        return make_env(num_envs, **common, **settings)
    return PythonBatch(lambda **settings: adapt(make_env(**settings)), num_envs, settings, **common)


def is_native(make_env) -> bool:
    """Whether `make_env`, a name or callable, makes native batches; TypeError if it is neither."""
    make_env = envs.find(make_env) if isinstance(make_env, str) else make_env
    if not callable(make_env):
        given = f"an environment, {type(make_env).__name__}" if hasattr(make_env, "step") else repr(make_env)
        raise TypeError(f"make_env: given {given}, expected a function or class that makes an environment in "
                        "each call, such as lambda: gymnasium.make(\"CartPole-v1\"), or the name of a native "
                        "environment")
    return getattr(make_env, "native", False)


class Serial(Closing):
    """The serial backend: one batch, stepped in this process. All other attributes are those of the batch."""

    backend, num_workers = "serial", 1

    def __init__(self, batch):
        self.batch, self.batch_envs, self.env_spec = batch, batch.num_envs, EnvSpec.of(batch)
        self._was_reset = False
        self._results = None            # infos of the last async_reset or send, until recv takes them

    def __getattr__(self, name):
        if name == "batch":             # before __init__, as in unpickling
            raise AttributeError(name)
        return getattr(self.batch, name)

    def reset(self, seed=None):
        """Reset every environment; returns (observations, infos)."""
        results = self.batch.reset(seed)
        self._was_reset, self._results = True, None
        return results

    def step(self, actions):
        """Step every environment once; returns (observations, rewards, terminals, truncations, infos)."""
        if self._results is not None or not self._was_reset:
            self._refuse("step()", all_workers=True)
        return self.batch.step(actions)

    def async_reset(self, seed=None):
        """Begin a reset; `recv` gives its result."""
        self._results = self.reset(seed)[1]

    def send(self, actions):
        """Begin a step of the agents that the last `recv` returned; `recv` gives its result."""
        if self._results is not None or not self._was_reset:
            self._refuse("send()")
        self._results = self.batch.step(actions)[4]

    def recv(self):
        """The next `Received`."""
        if self._results is None:
            raise RuntimeError("recv() while no step is running: call async_reset() or send(actions) first")
        infos, self._results = self._results, None
        masks = self.batch.action_masks() if self.env_spec.masks_actions else None
        return Received.of(self.batch, masks, infos, slice(0, self.batch.num_agents))

    def set_state(self, state):
        """Go on from a result of `get_state`; the vectorizer must have been made with the same arguments."""
        self.batch.set_state(state)
        self._was_reset, self._results = True, None

    def close(self):
        """Close the batch. Closing twice is harmless; stepping afterwards is an error."""
        self.batch.close()

    def _refuse(self, method, all_workers=False):
        if self.batch.buffers is None:
            raise RuntimeError("this vectorizer is closed; make a new one with make_vec(...)")
        refuse_turn(method, self._results is not None, all_workers)

    def __repr__(self):
        return f"Serial({self.batch!r})"


# ---------------------------------------------------------------------- what a factory may make

def adapt(env):
    """`env`, of Gymnasium, PettingZoo or ours, as a `PufferEnv`; TypeError for anything else."""
    if isinstance(env, PufferEnv):
        return env
    if isinstance(env, gymnasium.Env):
        return GymnasiumEnv(env)
    if hasattr(env, "possible_agents"):
        return PettingZooEnv(with_groups(env))
    name, module = type(env).__name__, type(env).__module__.removeprefix("envs.")
    if getattr(env, "native", False):
        raise TypeError(f"make_env made a native {name}, which steps a whole batch itself; give its name or "
                        f"its class: make_vec(\"{module}\", ...)")
    raise TypeError(f"make_env made {name}, expected a PufferEnv, gymnasium.Env or PettingZoo environment")
