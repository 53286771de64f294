"""A *batch*: environments [first_env, first_env + n) over given buffers, as one object that steps them all.

    batch = make_batch("snake", 4)                                      # native: the object itself
    batch = make_batch(MyEnv, 4, first_env=8, buffers=buffers.rows(8, 12))
    batch = make_batch(lambda: gymnasium.make("CartPole-v1"), 4)

A native environment is a batch as it is. Python environments become a `PythonBatch`, in which each writes into its rows of
common buffers. Whoever drives batches (__init__.py, a worker of worker.py) needs to know no more than this face.

Environment i is seeded from (seed, i) alone, so the trajectories do not depend on how the environments are split.
"""

import gymnasium
import numpy as np
from gymnasium.vector.utils import batch_space

import envs
from envs.core.buffers import Buffers
from puffer_min.env.action_check import ActionCheck
from puffer_min.env.puffer_env import PufferEnv, whole_seed
from puffer_min.env.episodes import EpisodeLog
from puffer_min.emulation.gymnasium_env import GymnasiumEnv, common_loop
from puffer_min.emulation.pettingzoo_env import PettingZooEnv


def make_batch(make_env, num_envs, *, first_env=0, buffers=None, seed=0, **settings):
    """Environments [first_env, first_env + num_envs) of a larger batch as one object, writing into `buffers` if given."""
    if num_envs < 1:
        raise ValueError(f"num_envs={num_envs} given, expected at least 1")
    if isinstance(make_env, str):
        make_env = envs.load(make_env)
    if not callable(make_env):
        raise TypeError(f"make_env: given {make_env!r}, expected a callable that makes an environment, "
                        f"or the name of one: {', '.join(envs.names())}")
    if is_native(make_env):
        return make_env(num_envs, seed=seed, first_env=first_env, buffers=buffers, **settings)
    return PythonBatch(make_env, num_envs, first_env=first_env, buffers=buffers, seed=seed, **settings)


def is_native(make_env) -> bool:
    """Whether `make_env`, a name or a callable, makes native batches; an unknown name raises ValueError."""
    return getattr(envs.load(make_env) if isinstance(make_env, str) else make_env, "native", False)


def seed_of(seed, index):
    """The seed of environment `index` of a batch: below 2**31 (many simulators take no more), distinct for every index.

    Multiples of 2**31 / golden ratio are spread as evenly as can be: seeds that differ by less than 9,600 share no
    environment seed in the first 100,000 environments. Environment 0 has the seed itself.
    """
    return (seed + index * 1_327_217_885) % 2**31


class PythonBatch:
    """`num_envs` Python environments, each bound to its rows of common buffers; the face of a native batch."""

    native = False

    def __init__(self, make_env, num_envs, *, first_env=0, buffers=None, seed=0, report_interval=128, **settings):
        self.environments = [adapt(make_env(**settings)) for _ in range(num_envs)]
        self.driver = driver = self.environments[0]
        for env in self.environments:
            for name in ("single_observation_space", "single_action_space", "metric_names", "truncates"):
                if getattr(env, name) != getattr(driver, name):
                    raise ValueError(f"environments differ in {name}: {getattr(driver, name)} and {getattr(env, name)}, "
                                     "expected one kind of environment")
        self.single_observation_space, self.single_action_space = driver.single_observation_space, driver.single_action_space
        self.metric_names, self.truncates = driver.metric_names, driver.truncates
        self.observation_sets = driver.observation_sets
        self.keys, self.idle_action, self.action_names = driver.keys, driver.idle_action, driver.action_names
        self.first_env, self.seed, self.report_interval = first_env, whole_seed(seed), report_interval
        self.num_envs = sum(env.num_envs for env in self.environments)
        ends = np.cumsum([env.num_agents for env in self.environments]).tolist()
        self.slices = [slice(end - env.num_agents, end) for end, env in zip(ends, self.environments)]
        self.num_agents, self.agents_per_env = ends[-1], driver.agents_per_env
        self.observation_space = batch_space(self.single_observation_space, self.num_agents)
        self.action_space = batch_space(self.single_action_space, self.num_agents)
        self.episodes = EpisodeLog(self.num_agents, self.metric_names)
        self.buffers, self.fresh = None, True
        self.bind(buffers or Buffers.allocate(self.num_agents, self.single_observation_space, self.single_action_space, self.truncates))

    def bind(self, buffers):
        """Write into `buffers` from now on; each environment gets its rows, and their contents move along."""
        buffers.check(self.num_agents, self.single_observation_space, self.single_action_space, self.truncates)
        for env, rows in zip(self.environments, self.slices):
            env.join(buffers.rows(rows.start, rows.stop), self.episodes, rows)
        self.buffers = buffers
        self.observations, self.actions, self.rewards = buffers.observations, buffers.actions, buffers.rewards
        self.terminals, self.truncations, self.masks = buffers.terminals, buffers.truncations, buffers.masks
        self.final_observations = buffers.final_observations
        self.check = ActionCheck(self.single_action_space, self.actions)
        self.steps = [(env.step, env.actions) for env in self.environments]
        self.loop = common_loop(self.environments, buffers)

    def reset(self, seed=None):
        """Reset every environment, with a seed each to its own; returns (observations, infos)."""
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
                raise TypeError(f"{type(env).__name__}.reset replaced self.observations; write into it: self.observations[:] = ...")
        return self.observations, infos

    def step(self, actions):
        """Step every environment once; returns (observations, rewards, terminals, truncations, infos)."""
        self._require_open()
        self.check.take(actions)
        self.rewards.fill(0)
        self.terminals.fill(False)
        self.truncations.fill(False)
        infos = []
        if self.loop is not None:
            self.loop.step()
        else:
            for step, own_actions in self.steps:
                own_infos = step(own_actions)[4]
                if own_infos:
                    infos.extend(own_infos)
        infos += self.episodes.add(self.buffers, self.report_interval)
        return self.observations, self.rewards, self.terminals, self.truncations, infos

    def log(self):
        """Mean over the episodes that ended since the last call, or {}."""
        return self.episodes.report()

    def get_state(self):
        """Everything that decides the future of the batch, as a picklable dict."""
        self._require_open()
        return {"environments": [env.get_state() for env in self.environments], "log": self.episodes.get_state(),
                "seed": self.seed, "fresh": self.fresh}

    def set_state(self, state):
        """Go on from what `get_state` gave; the batch must have been made with the same arguments."""
        self._require_open()
        if len(state["environments"]) != len(self.environments):
            raise ValueError(f"state of {len(state['environments'])} environments given, expected {len(self.environments)}")
        for env, saved in zip(self.environments, state["environments"]):
            env.set_state(saved)
        self.loop = common_loop(self.environments, self.buffers)
        self.episodes.set_state(state["log"])
        self.seed, self.fresh = state["seed"], state["fresh"]

    def render(self, index=0):
        """RGB array of environment `index` of the batch."""
        self._require_open()
        if not 0 <= index < self.num_envs:
            raise IndexError(f"index={index} given, expected 0 to {self.num_envs - 1}")
        for env in self.environments:
            if index < env.num_envs:
                return env.render(index)
            index -= env.num_envs

    def close(self):
        """Close every environment and let go of the buffers. Closing twice is harmless; stepping afterwards is an error."""
        for env in self.environments:
            env.close()
        self.buffers = self.observations = self.actions = self.rewards = self.terminals = None
        self.truncations = self.masks = self.final_observations = None
        self.steps, self.loop = [], None

    def _require_open(self):
        if self.buffers is None:
            raise RuntimeError("this batch is closed; make a new one with make_vec(...)")


def adapt(env):
    """`env`, a `PufferEnv` or an environment of Gymnasium or PettingZoo, as a `PufferEnv`; TypeError if it is none of them."""
    if isinstance(env, PufferEnv):
        return env
    if isinstance(env, gymnasium.Env):
        return GymnasiumEnv(env)
    if hasattr(env, "possible_agents"):
        return PettingZooEnv(env)
    if getattr(env, "native", False):
        raise TypeError(f"make_env made a native {type(env).__name__}, which steps a whole batch itself; "
                        f"give its name or its class: make_vec(\"{type(env).__module__.removeprefix('envs.')}\", num_envs=...)")
    raise TypeError(f"make_env made {type(env).__name__}, expected a PufferEnv, a gymnasium.Env or a PettingZoo environment")
