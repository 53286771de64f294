"""`Described`: an object with the attributes of its environments and the arrays that they write."""

from gymnasium.vector.utils import batch_space

from envs.core.actions import ActionCheck
from envs.core.buffers import Buffers
from puffer_min.env.spec import EnvSpec


class Described:
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
