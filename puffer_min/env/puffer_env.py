"""`PufferEnv`: the base of environments written in Python, with the attributes and methods of native ones.

    class Coin(PufferEnv):
        "Guess which side was shown."
        def __init__(self, buffers=None, seed=0):
            self.single_observation_space = Box(0, 1, (2,), np.uint8)
            self.single_action_space = Discrete(2)
            self.num_agents = 1
            super().__init__(buffers, seed)

        def reset(self, seed=None):
            self.begin_reset(seed)              # random stream, flags, log
            self.show()
            return self.observations, []

        def step(self, actions):
            self.begin_step(actions)            # checks the actions, zeroes rewards and flags
            self.rewards[0] = self.actions[0] == self.side
            self.terminals[0] = True
            self.show()                         # the episode is over: the first observation of the next one
            return self.finish_step()           # adds the step to the log

        def show(self):
            self.side = self.random.integers(2)
            self.observations[0] = np.arange(2) == self.side

Everything is written in place into the buffers (`self.observations[...] = `, never `self.observations = `),
because they may be rows of memory that a vectorizer or another process owns. An
episode that ends starts anew inside the same step (SAME_STEP): the flag stays up beside the first observation
of the next episode.
"""

import copy

import numpy as np
from gymnasium import spaces
from gymnasium.vector.utils import batch_space

from envs.core.actions import take_actions
from envs.core.buffers import Buffers
from envs.core.settings import whole
from puffer_min.env.episodes import EpisodeLog, restore
from puffer_min.env.spec import EnvSpec


class PufferEnv:
    """Base of Python environments: `num_agents` rows, stepped together; the methods of a native environment.

    A subclass sets `single_observation_space` (Box), `single_action_space` (Discrete, MultiDiscrete or Box)
    and `num_agents`, then calls `super().__init__(buffers, seed)`, and implements `reset(seed=None)` and
    `step(actions)` as in the module's docstring. It may also set `num_envs` (when it steps a batch of
    environments itself), and as class attributes:

    metric_names    what it logs beside return and length; `self.metrics[agent, j]` is read when the agent's
                    episode ends, and zeroed. Without a metric named "score" the score is the return.
    truncates       True when episodes can be cut by time: then `self.final_observations` exists, and its row
                    must be filled with the last observation where a truncation is raised.
    keeps_last_observations   True where `final_observations` is filled at every end, not only at a
                              truncation.
    observation_sets   name -> (first, members, size) of sets in the observation, for encoder="set"
                       (learner/networks/encoders.py).
    derived         names of attributes that follow from the others and stay out of a saved state.
    training_settings   settings that `train` adds while a policy learns; evaluation and play do without them.
    two_sides, turn_flag, decided_by_return     where two sides play each other: selfplay/sides.py.
    keys, idle_action, action_names   for a person who plays: browser key name -> action, the action of no
                                      key, names.

    Ready for the subclass: the arrays of `Buffers` as attributes; `self.random`, a NumPy Generator seeded by
    `begin_reset`; `self.lengths` (int32) and `self.returns` (float32), steps and rewards of each agent's
    running episode before this step.
    """

    native = False
    num_envs = 1
    metric_names = ()
    truncates = False
    observation_sets = None
    derived = ()
    keys = {}
    idle_action = 0
    action_names = ()
    training_settings = {}
    keeps_last_observations = False
    metadata = {}

    def __init__(self, buffers=None, seed=0, report_interval=128):
        """buffers: memory to write into, None for its own. report_interval: steps between logs in `infos`."""
        name = type(self).__name__
        needed = ("single_observation_space", "single_action_space", "num_agents")
        missing = [attribute for attribute in needed if not hasattr(self, attribute)]
        if missing:
            raise TypeError(f"{name} has no {', '.join(missing)}: set them before super().__init__()")
        if not isinstance(self.single_observation_space, spaces.Box):
            raise TypeError(f"{name}.single_observation_space: given {self.single_observation_space}, "
                            "expected a Box; flatten it into one array")
        if self.num_envs < 1 or self.num_agents < 1 or self.num_agents % self.num_envs:
            raise ValueError(f"{name}: num_agents={self.num_agents} with num_envs={self.num_envs}, expected "
                             "a positive multiple")
        self.agents_per_env = self.num_agents // self.num_envs
        self.observation_space = batch_space(self.single_observation_space, self.num_agents)
        self.action_space = batch_space(self.single_action_space, self.num_agents)
        self.report_interval = report_interval
        self.buffers = None
        given = self.num_agents, self.single_observation_space, self.single_action_space, self.truncates
        self.bind(buffers or Buffers.allocate(*given))
        self._use_log(EpisodeLog(self.num_agents, self.metric_names), slice(None))
        self.joined = False
        self._set_seed(seed)

    def reset(self, seed=None):
        """Start every episode afresh; returns (observations, infos). To be implemented by the subclass."""
        raise NotImplementedError(f"{type(self).__name__} has no reset(seed); start with "
                                  "self.begin_reset(seed), write self.observations")

    def step(self, actions):
        """Step every agent; returns (observations, rewards, terminals, truncations, infos)."""
        raise NotImplementedError(f"{type(self).__name__} has no step(actions); start with "
                                  "self.begin_step(actions), end with self.finish_step()")

    # ------------------------------------------------------------------ for the subclass

    def begin_reset(self, seed=None):
        """The start of `reset`: seeds the random stream, if there is a seed; clears flags, episodes, log."""
        self._require_open()
        if seed is not None:
            self._set_seed(seed)
        for array in (self.rewards, self.terminals, self.truncations):
            array.fill(0)
        self.masks.fill(True)
        if not self.joined:
            self._log.clear()

    def begin_step(self, actions):
        """The start of `step`: checks and copies the actions into `self.actions`, zeroes rewards and flags.

        Raises TypeError or ValueError, before anything is stepped. `self.actions` itself is trusted: who
        filled it has checked.
        """
        if self.joined:                             # the batch has done this for all its environments
            return
        if actions is not self.actions or actions is None:
            self._require_open()
            take_actions(actions, self.actions, self.single_action_space)
        self._log.begin_step(self.buffers)

    def finish_step(self, infos=()):
        """The end of `step`: adds it to the running episodes, ended ones to the log; returns five results."""
        if self.joined:
            return self.observations, self.rewards, self.terminals, self.truncations, infos
        report = self._log.add(self.buffers, self.report_interval)
        return self.observations, self.rewards, self.terminals, self.truncations, [*infos, *report]

    # ------------------------------------------------------------------ shared with native environments

    @property
    def env_spec(self):
        """What the environment says about itself, an `EnvSpec`."""
        return EnvSpec.read(self)

    def bind(self, buffers):
        """Write into `buffers` (of num_agents rows) from now on; they get the contents of the old ones."""
        given = self.num_agents, self.single_observation_space, self.single_action_space, self.truncates
        buffers.check(*given)
        if self.buffers is not None:
            for old, new in zip(self.buffers, buffers, strict=True):
                if old is not None and new is not None and new is not old:
                    new[...] = old
        self.buffers = buffers
        vars(self).update(buffers._asdict())
        if not self.truncates:
            self.final_observations = None

    def join(self, buffers, log, rows):
        """Become part of a batch: write into `buffers`, and keep episodes in `rows` (a slice) of its `log`.

        From then on the batch checks actions, zeroes rewards and flags before each step and adds the step to
        the log.
        """
        self.bind(buffers)
        self._use_log(log, rows)
        self.joined = True

    def log(self):
        """Mean over the episodes that ended since the last call, or {}; see `EpisodeLog.report`."""
        return self._log.report()

    def get_state(self):
        """Everything that decides the future of the environment: deep copies of its attributes, in a dict."""
        return self.copied_state({})

    def copied_state(self, memo):
        """`get_state` with a memo of `copy.deepcopy`: with one memo, copies share as the originals do."""
        self._require_open()
        fixed = {"buffers", "joined", "_log", *self.derived, *Buffers._fields}
        own = {name: value for name, value in vars(self).items() if name not in fixed}
        memo[id(self)] = self
        buffers = [None if buffer is None else buffer.copy() for buffer in self.buffers]
        return {"attributes": copy.deepcopy(own, memo), "buffers": buffers,
                "log": None if self.joined else self._log.get_state()}

    def set_state(self, state):
        """Go on from what `get_state` gave. Arrays are written in place, so that views of them stay views.

        `state["memo"]`, if there is one, is used as in `copied_state`.
        """
        self._require_open()
        memo = state.get("memo", {})
        memo[id(self)] = self
        restore(self, copy.deepcopy(state["attributes"], memo))
        for buffer, saved in zip(self.buffers, state["buffers"], strict=True):
            if buffer is not None:
                buffer[...] = saved
        if not self.joined:
            self._log.set_state(state["log"])

    innermost = property(lambda self: self, doc="The environment itself; an adapter's is the adapted one.")

    def loop_over(self, environments, buffers):
        """An object whose `step` steps all `environments` over `buffers` faster than one by one, or None."""

    def call(self, name, *args, **kwargs):
        """The attribute `name`, or the result of the method `name`; an adapter looks in its environment."""
        found = self._find(name)
        return found(*args, **kwargs) if callable(found) else found

    def set_attr(self, name, value):
        """Set the attribute `name`; an adapter sets that of its environment."""
        setattr(self, name, value)

    @property
    def render_mode(self):
        """"rgb_array" if there is a `render`, else None."""
        return None if type(self).render is PufferEnv.render else "rgb_array"

    def render(self, index=0):
        """RGB array (height, width, 3) uint8 of environment `index`, without any window."""
        raise NotImplementedError(f"{type(self).__name__} draws nothing; give it a render(index) that "
                                  "returns an RGB array")

    def close(self):
        """Let go of the buffers. Closing twice is harmless; stepping afterwards is an error."""
        self.buffers = None
        vars(self).update(dict.fromkeys(Buffers._fields))

    def __repr__(self):
        sizes = f"num_envs={self.num_envs}, num_agents={self.num_agents}"
        return f"{type(self).__name__}({sizes}, seed={self.seed})"

    # ------------------------------------------------------------------ the base's own

    def _find(self, name):
        return getattr(self, name)

    def _require_open(self):
        if self.buffers is None:
            raise RuntimeError(f"{type(self).__name__} is closed or was never prepared by "
                               "super().__init__(); make a new one")

    def _set_seed(self, seed):
        self.seed = whole_seed(seed)
        self.random = np.random.default_rng(self.seed)

    def _use_log(self, log, rows):
        """Keep running episodes in the given rows of `log`."""
        self._log = log
        self.lengths, self.returns, self.metrics = log.lengths[rows], log.returns[rows], log.metrics[rows]


def whole_seed(seed):
    """`seed` as an int; ValueError unless it is a whole number >= 0."""
    return whole("seed", seed)
