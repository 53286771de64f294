"""`EnvSpec`: the constant attributes of an environment in one record for vectorizers and policies.

`Described`: an object with these attributes and the arrays that its environments write.
"""

import dataclasses

import numpy as np
from gymnasium import spaces
from gymnasium.vector.utils import batch_space

from envs.core.actions import ActionCheck
from envs.core.buffers import Buffers


@dataclasses.dataclass(frozen=True)
class EnvSpec:
    """The constant attributes of an environment. `EnvSpec.of(env)` reads them, from a vectorizer too.

    single_observation_space   Box of one agent's observation
    single_action_space        Discrete, MultiDiscrete or Box of one agent's action
    agents_per_env             agents in each environment
    metric_names               names of what is logged next to return and length
    truncates                  whether episodes can be cut by time: then `final_observations` exists
    keeps_last_observations   whether `final_observations` holds the last observation of every episode,
                              terminated ones included
    masks_actions              whether `env.action_masks()` gives the legal actions: bool (num_agents,
                               choices), where choices is the sum of the sizes of all components of the action
    observation_sets           name -> (first, members, size) of sets in the observation, or None
    keys, idle_action, action_names   for a person who plays
    native                     whether one object steps the whole batch in compiled code
    """

    single_observation_space: spaces.Box
    single_action_space: spaces.Space
    agents_per_env: int = 1
    metric_names: tuple = ()
    truncates: bool = False
    keeps_last_observations: bool = False
    masks_actions: bool = False
    observation_sets: dict | None = None
    keys: dict = dataclasses.field(default_factory=dict)
    idle_action: object = 0
    action_names: tuple = ()
    native: bool = False

    @classmethod
    def of(cls, env):
        """The record that `env` carries as `env_spec`, or else the one of its attributes."""
        spec = getattr(env, "env_spec", None)
        return spec if isinstance(spec, cls) else cls.read(env)

    @classmethod
    def read(cls, env):
        """The record of the attributes of `env`; a missing optional attribute takes its default."""
        names = [field.name for field in dataclasses.fields(cls) if hasattr(env, field.name)]
        given = {name: getattr(env, name) for name in names}
        return cls(**{"masks_actions": callable(getattr(env, "action_masks", None))} | given)


def same_spec(specs):
    """The first of `specs`; ValueError if another one differs in more than the number of agents."""
    first = specs[0]
    for spec in specs[1:]:
        for name, value in vars(spec).items():
            other = getattr(first, name)
            if name != "agents_per_env" and value is not other and np.any(value != other):
                raise ValueError(f"environments differ in {name}: {other} and {value}, expected one kind")
    return first


class Closing:
    """Base of what a `with` statement closes."""

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self.close()


class Described(Closing):
    """Base of batches and vectorizers: has every attribute of an `EnvSpec` and every array of `Buffers`."""

    def describe(self, spec: EnvSpec, num_envs: int, num_agents: int) -> None:
        """Take over every attribute of `spec`, and derive those of all environments together."""
        self.env_spec = spec
        vars(self).update(vars(spec))
        self.num_envs, self.num_agents = num_envs, num_agents
        self.observation_space = batch_space(spec.single_observation_space, num_agents)
        self.action_space = batch_space(spec.single_action_space, num_agents)

    @property
    def spaces(self):
        """(single_observation_space, single_action_space)."""
        return self.single_observation_space, self.single_action_space

    def get_attr(self, name, indices=None):
        """The attribute `name` of each environment in `indices` (None: of all), as a list."""
        return self.call(name, indices=indices)

    def set_attr(self, name, value, indices=None):
        """Set the attribute `name` of the environments in `indices` (None: of all) to `value`.

        For a curriculum, while nothing is on its way: vec.set_attr("level", 3). A list sets one value each;
        ValueError if it is not as long.
        """
        indices = list(range(self.num_envs)) if indices is None else list(indices)
        values = value if isinstance(value, list) else [value] * len(indices)
        if len(values) != len(indices):
            raise ValueError(f"set_attr({name!r}): {len(values)} values given, expected {len(indices)}, one "
                             "for each environment; put a list into a list to set it everywhere")
        for index, each in zip(indices, values, strict=True):
            self.call("set_attr", name, each, indices=[index])

    def use_buffers(self, buffers: Buffers | None) -> None:
        """Let the attributes observations, actions, ... be the arrays of `buffers`; None for all: closed."""
        self.buffers = buffers
        vars(self).update(buffers._asdict() if buffers else dict.fromkeys(Buffers._fields))
        if not self.truncates:
            self.final_observations = None
        self._check = ActionCheck(self.single_action_space, self.actions) if buffers else None
