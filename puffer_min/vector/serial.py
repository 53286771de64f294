"""Environments stepped in this process, one after the other: `make_batch`, `PythonBatch` and `Serial`.

A *batch* is environments [first_env, first_env + n) over given buffers, as one object that steps them all:

    batch = make_batch("snake", 4)                                      # native: the object itself
    batch = make_batch(MyEnv, 4, first_env=8, buffers=buffers.rows(8, 12))
    batch = make_batch(lambda: gymnasium.make("CartPole-v1"), 4)

A native environment is a batch as it is. Python environments become a `PythonBatch`, in which each writes
into its rows of common buffers. `Serial` drives one batch, and so does each worker, thread or process.

Environment i is seeded from (seed, i) alone, so trajectories do not depend on how the environments are split.
"""

import gymnasium
import numpy as np

import envs
from envs.core.buffers import Buffers
from puffer_min.emulation.gymnasium_env import GymnasiumEnv, common_loop
from puffer_min.emulation.pettingzoo_env import PettingZooEnv
from puffer_min.env.actions import choices, require_mask
from puffer_min.env.described import Described
from puffer_min.env.episodes import EpisodeLog
from puffer_min.env.puffer_env import PufferEnv, whole_seed
from puffer_min.env.spec import EnvSpec
from puffer_min.vector.parts import Received, refuse_turn, same_spec


def make_batch(make_env, num_envs, *, env_settings=None, first_env=0, buffers=None, seed=0,
               report_interval=128, **settings):
    """Environments [first_env, first_env + num_envs) of a larger batch as one object, over `buffers` if any.

    env_settings and settings are passed on to each environment together.
    """
    make_env = envs.load(make_env) if isinstance(make_env, str) else make_env
    settings = (env_settings or {}) | settings
    common = {"first_env": first_env, "buffers": buffers, "seed": seed, "report_interval": report_interval}
    if is_native(make_env):
        return make_env(num_envs, **common, **settings)
    return PythonBatch(make_env, num_envs, settings, **common)


def is_native(make_env) -> bool:
    """Whether `make_env`, a name or a callable, makes native batches; TypeError if it is neither."""
    if isinstance(make_env, str):
        return True
    if not callable(make_env):
        given = f"an environment, {type(make_env).__name__}" if hasattr(make_env, "step") else repr(make_env)
        raise TypeError(f"make_env: given {given}, expected a function or class that makes an environment in "
                        "each call, such as lambda: gymnasium.make(\"CartPole-v1\"), or the name of a native "
                        "environment")
    return getattr(make_env, "native", False)


def seed_of(seed, index):
    """The seed of environment `index` of a batch: below 2**31, as many simulators demand, distinct for each.

    Multiples of 2**31 / golden ratio are spread as evenly as can be: seeds that differ by less than 9,600
    share no environment seed in the first 100,000 environments. Environment 0 has the seed itself.
    """
    return (seed + index * 1_327_217_885) % 2**31


class PythonBatch(Described):
    """`num_envs` Python environments over common buffers, with the methods of a native batch."""

    def __init__(self, make_env, num_envs, settings=None, *, first_env=0, buffers=None, seed=0,
                 report_interval=128):
        self.environments = []
        try:
            for _ in range(num_envs):
                self.environments.append(adapt(make_env(**settings or {})))
            require_distinct(self.environments)
            ends = np.cumsum([env.num_agents for env in self.environments]).tolist()
            self.slices = [slice(first, last) for first, last in zip([0, *ends[:-1]], ends, strict=True)]
            spec = same_spec([EnvSpec.of(env) for env in self.environments])
            self.describe(spec, sum(env.num_envs for env in self.environments), ends[-1])
            self.driver = self.environments[0]
            self.first_env, self.seed, self.report_interval = first_env, whole_seed(seed), report_interval
            self.episodes, self.fresh = EpisodeLog(self.num_agents, self.metric_names), True
            self.legal = np.ones((self.num_agents, choices(self.single_action_space)), bool)
            self.bind(buffers or Buffers.allocate(self.num_agents, *self.spaces, self.truncates))
        except BaseException:
            close_all(self.environments)
            raise

    def bind(self, buffers):
        """Write into `buffers` from now on; each environment gets its rows, and their contents move along."""
        buffers.check(self.num_agents, *self.spaces, self.truncates)
        for env, rows in zip(self.environments, self.slices, strict=True):
            env.join(buffers.rows(rows.start, rows.stop), self.episodes, rows)
        self.use_buffers(buffers)
        self.steps = [(env.step, env.actions) for env in self.environments]
        self.loop = common_loop(self.environments, buffers)

    def reset(self, seed=None):
        """Reset every environment, each with a seed of its own; returns (observations, infos)."""
        self._require_open()
        if seed is not None:
            self.seed = whole_seed(seed)
        seeded, self.fresh = self.fresh or seed is not None, False
        self.rewards[:], self.terminals[:], self.truncations[:], self.masks[:] = 0, False, False, True
        self.episodes.clear()
        infos = []
        for i, env in enumerate(self.environments):
            observations = env.observations
            infos.extend(env.reset(seed_of(self.seed, self.first_env + i) if seeded else None)[1])
            if env.observations is not observations:
                raise TypeError(f"{type(env).__name__}.reset replaced self.observations; write into it: "
                                "self.observations[:] = ...")
            if self.masks_actions:
                require_mask(env)
        return self.observations, infos

    def step(self, actions):
        """Step every environment once; returns (observations, rewards, terminals, truncations, infos)."""
        self._require_open()
        self._check.take(actions)
        return self.observations, self.rewards, self.terminals, self.truncations, self.advance()

    def advance(self):
        """Step with the actions in the buffers, which the caller has checked; returns the infos."""
        self.episodes.begin_step(self.buffers)
        infos = []
        if self.loop is not None:
            self.loop.step()
        else:
            for step, own_actions in self.steps:
                own_infos = step(own_actions)[4]
                if own_infos:
                    infos.extend(own_infos)
        infos += self.episodes.add(self.buffers, self.report_interval)
        return infos

    def action_masks(self):
        """Bool (num_agents, choices): the legal actions of every agent; the same array each time."""
        self._require_open()
        for env, rows in zip(self.environments, self.slices, strict=True):
            self.legal[rows] = env.action_masks()
        return self.legal

    def log(self):
        """Mean over the episodes that ended since the last call, or {}."""
        return self.episodes.report()

    def get_state(self):
        """Everything that decides the future of the batch, as a picklable dict."""
        self._require_open()
        memo = {}                       # a table that all environments share is copied once, and pickled once
        states = [env.copied_state(memo) if type(env).get_state is PufferEnv.get_state else env.get_state()
                  for env in self.environments]
        own = {"log": self.episodes.get_state(), "seed": self.seed, "fresh": self.fresh}
        return {"environments": states, **own}

    def set_state(self, state):
        """Go on from a result of `get_state`; the batch must have been made with the same arguments."""
        self._require_open()
        given, expected = len(state["environments"]), len(self.environments)
        if given != expected:
            raise ValueError(f"state of {given} environments given, expected {expected}")
        memo = {}
        for env, saved in zip(self.environments, state["environments"], strict=True):
            env.set_state(saved | {"memo": memo} if "attributes" in saved else saved)
        self.loop = common_loop(self.environments, self.buffers)
        self.episodes.set_state(state["log"])
        self.seed, self.fresh = state["seed"], state["fresh"]

    def render(self, index=0):
        """RGB array of environment `index` of the batch."""
        env, index = self._find(index)
        return env.render(index)

    def call(self, name, *arguments, indices=None, **keywords):
        """A list: the attribute `name` of each environment in `indices`, or the result of its method.

        indices=None is every environment; an object that steps several of them is called once.
        """
        return self.call_each(indices, name, arguments, keywords)

    def call_each(self, indices, name, arguments, keywords):
        """See `call`."""
        self._require_open()
        environments = self.environments if indices is None else [self._find(index)[0] for index in indices]
        return [env.call(name, *arguments, **keywords) for env in environments]

    def _find(self, index):
        """The object that steps environment `index` of the batch, and the index of that environment in it."""
        self._require_open()
        if not 0 <= index < self.num_envs:
            raise IndexError(f"index={index} given, expected 0 to {self.num_envs - 1}")
        for env in self.environments:
            if index < env.num_envs:
                return env, index
            index -= env.num_envs

    def close(self):
        """Close every environment, even if one raises, and let go of the buffers. Twice is harmless."""
        self.use_buffers(None)
        environments, self.environments, self.steps, self.loop = self.environments, [], [], None
        close_all(environments, raising=True)

    def _require_open(self):
        if self.buffers is None:
            raise RuntimeError("this batch is closed; make a new one with make_vec(...)")


class Serial:
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
            raise RuntimeError("recv() without a step on its way: call async_reset() or send(actions) first")
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

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self.close()

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
        return PettingZooEnv(env)
    kind = type(env)
    if getattr(env, "native", False):
        raise TypeError(f"make_env made a native {kind.__name__}, which steps a whole batch itself; give its "
                        f"name or its class: make_vec(\"{kind.__module__.removeprefix('envs.')}\", ...)")
    raise TypeError(f"make_env made {kind.__name__}, expected a PufferEnv, a gymnasium.Env or a "
                    "PettingZoo environment")


def require_distinct(environments):
    """Raise ValueError if two of `environments`, or of those inside their wrappers, are one object."""
    adapted = [env.env if isinstance(env, GymnasiumEnv | PettingZooEnv) else env for env in environments]
    inner = [getattr(env, "unwrapped", env) for env in adapted]
    if len({id(env) for env in inner}) < len(inner):
        raise ValueError(f"make_env made the same {type(inner[0]).__name__} twice, expected another one in "
                         "each call: make it inside the function, lambda: MyEnv(), not lambda: env")


def close_all(closable, raising=False):
    """Close all of `closable`, environments or batches; then, if `raising`, raise the first exception."""
    errors = []
    for thing in closable:
        try:
            thing.close()
        except Exception as error:
            errors.append(error)
    if errors and raising:
        raise errors[0]
