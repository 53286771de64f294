"""`PythonBatch`: environments in Python as one object that steps them all, as a native environment is.

Each environment writes into its rows of common buffers. Environment i is seeded from (seed, i) alone, so
trajectories do not depend on how the environments are divided among batches.
"""

import numpy as np

from envs.core.buffers import Buffers
from puffer_min.env.actions import choices, require_mask
from puffer_min.env.episodes import EpisodeLog
from puffer_min.env.puffer_env import PufferEnv, whole_seed
from puffer_min.env.spec import Described, EnvSpec, same_spec


def seed_of(seed, index):
    """The seed of environment `index` of a batch: below 2**31, as many simulators demand, distinct for each.

    Multiples of 2**31 / golden ratio are spread as evenly as can be: seeds that differ by less than 9,600
    share no environment seed in the first 100,000 environments. Environment 0 has the seed itself.
    """
    return (seed + index * 1_327_217_885) % 2**31


class PythonBatch(Described):
    """`num_envs` environments over common buffers, with the methods of a native batch.

    make_env    called with `settings` for each; returns a `PufferEnv`
    first_env   index of the first one in a larger batch, from which the seeds follow

    Raises ValueError if two of them are one object, or of different kinds.
    """

    def __init__(self, make_env, num_envs, settings=None, *, first_env=0, buffers=None, seed=0,
                 report_interval=128):
        self.environments = []
        try:
            for _ in range(num_envs):
                self.environments.append(make_env(**settings or {}))
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
        self.loop = self.environments[0].loop_over(self.environments, buffers)

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
        self.loop = self.driver.loop_over(self.environments, self.buffers)
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
        """Close every environment, even if one raises, and release the buffers. Twice is harmless."""
        self.use_buffers(None)
        environments, self.environments, self.steps, self.loop = self.environments, [], [], None
        close_all(environments, raising=True)

    def _require_open(self):
        if self.buffers is None:
            raise RuntimeError("this batch is closed; make a new one with make_vec(...)")


def require_distinct(environments):
    """Raise ValueError if two of `environments`, or of those inside their wrappers, are one object."""
    inner = [env.innermost for env in environments]
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
