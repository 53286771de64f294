"""`EnvSpec`: the constant attributes of an environment in one record for vectorizers and policies."""

import dataclasses

import numpy as np
from gymnasium import spaces


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
