"""`EnvSpec`: the constant attributes of an environment in one record for vectorizers and policies.

`GroupRows`: the rows of agents whose spaces differ, with an `EnvSpec` for each group of equal ones.
`Described`: an object with these attributes and the arrays that its environments write.
"""

import dataclasses

import numpy as np
from gymnasium import spaces
from gymnasium.vector.utils import batch_space

from envs.core.actions import ActionCheck
from envs.core.buffers import Buffers
from puffer_min.env.values import truths


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


class GroupRows(spaces.Box):
    """Rows of bytes for agents of several groups; a row holds the observation of its group.

        byte    0                       n                 width - 1
                | the row of the group  | zeros           | number of the group |

    groups          name -> `EnvSpec` of the rows of its agents, in the order of their numbers
    agents          name of an agent -> name of its group
    action_space    in which all groups act. Whole numbers: Discrete or MultiDiscrete, each component with as
                    many choices as the group that has most. Boxes: as many numbers as the group that has
                    most, in units of half its own range around its centre, at most 1 where ranges are finite

    Raises ValueError for more than 256 groups, TypeError for whole numbers in one group and a Box in another.
    """

    def __init__(self, groups: dict, agents: dict):
        if len(groups) > 256:
            raise ValueError(f"{len(groups)} groups of agents given, expected at most 256, which a byte can "
                             "number: put agents with equal spaces into one group")
        self.groups, self.agents = groups, agents
        self.numbers = {agent: list(groups).index(group) for agent, group in agents.items()}
        seen, acted = zip(*[(spec.single_observation_space, spec.single_action_space)
                            for spec in groups.values()], strict=True)
        self.sizes = [space.dtype.itemsize * int(np.prod(space.shape)) for space in seen]
        super().__init__(0, 255, (max(self.sizes) // 8 * 8 + 8,), np.uint8)     # leaves stay aligned
        boxes = {isinstance(space, spaces.Box): name for name, space in zip(groups, acted, strict=True)}
        if len(boxes) == 2:
            raise TypeError(f"the actions of {boxes[False]} are whole numbers and those of {boxes[True]} a "
                            "Box, expected one kind for all agents: give the whole numbers as a Box of "
                            "scores in a wrapper, of which the largest is the choice")
        if True in boxes:
            self.ranges = [half_ranges(space) for space in acted]
            high = np.ones(max(bounded.size for *_, bounded in self.ranges), np.float32)
            for *_, bounded in self.ranges:
                high[:bounded.size][~bounded] = np.inf
            self.action_space = spaces.Box(-high, high)
            return
        self.counts = [np.ravel(getattr(space, "nvec", getattr(space, "n", None))) for space in acted]
        most = np.ones(max(map(len, self.counts)), np.int64)
        for counts in self.counts:
            np.maximum(most[:counts.size], counts, out=most[:counts.size])
        self.first, self.choices = np.cumsum(most) - most, int(most.sum())      # columns of a mask
        single = all(isinstance(space, spaces.Discrete) for space in acted)
        self.action_space = spaces.Discrete(int(most[0])) if single else spaces.MultiDiscrete(most)

    def columns_of(self, number):
        """Columns of a mask of `action_space`: choices of a group, and the only choice (0) of each component
        that it lacks."""
        counts = self.counts[number]
        own = [first + np.arange(count) for first, count in zip(self.first, counts, strict=False)]
        return np.concatenate(own), self.first[counts.size:]

    def row_of(self, agent, pack, observation):
        """The row (width,) of an observation that pack(observation, row) writes into the group's own row."""
        row, number = np.zeros(self.shape, np.uint8), self.numbers[agent]
        try:
            pack(observation, row[:self.sizes[number]])
        except (TypeError, ValueError) as error:
            raise type(error)(f"agent {agent}, {error}") from error
        row[-1] = number
        return row

    def own_action(self, agent, action):
        """The row of the agent's own action space. A choice beyond its own ones counts on from 0 again."""
        number, given = self.numbers[agent], np.ravel(action)
        space = self.groups[self.agents[agent]].single_action_space
        if isinstance(space, spaces.Box):
            centre, scale, _ = self.ranges[number]
            return (centre + scale * given[:centre.size]).astype(np.float32).reshape(space.shape)
        counts = self.counts[number]
        return (given[:counts.size] % counts).astype(np.int32).reshape(space.shape)

    def masks_of(self, given):
        """Masks of `action_space` for the agents' own ones, a dict or a function that gives it; what is no
        such dict stays as it is."""
        given = given() if callable(given) else given
        if not isinstance(given, dict):
            return given
        return {agent: self.mask_of(agent, mask) if agent in self.numbers else mask
                for agent, mask in given.items()}

    def mask_of(self, agent, mask):
        """The mask of `action_space` in which the agent's own mask is. Raises TypeError for another size."""
        own, absent = self.columns_of(self.numbers[agent])
        mask, _, right = truths(mask, len(own))
        if not right:
            raise TypeError(f"the action mask of agent {agent} is {mask!r:.60}, expected {own.shape}: a "
                            "truth value for each choice of its own action")
        legal = np.zeros(self.choices, bool)
        legal[own], legal[absent] = mask != 0, True
        return legal

    def __eq__(self, other):
        same = isinstance(other, GroupRows) and self.agents == other.agents
        return same and list(self.groups.items()) == list(other.groups.items())

    def __repr__(self):
        parts = [f"{name}: {spec.single_observation_space} and {spec.single_action_space}"
                 for name, spec in self.groups.items()]
        return f"GroupRows({'; '.join(parts)})"


def half_ranges(box: spaces.Box):
    """Centre and half the range of each number of `box`, flat, and where it has bounds; elsewhere 0 and 1."""
    low, high = (np.asarray(bound, np.float64).ravel() for bound in (box.low, box.high))
    bounded = np.isfinite(low) & np.isfinite(high)
    with np.errstate(invalid="ignore"):
        return np.where(bounded, (low + high) / 2, 0), np.where(bounded, (high - low) / 2, 1), bounded


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
