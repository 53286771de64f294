"""`with_groups`: PettingZoo agents with different spaces, or who learn apart; each group has a network.

    puffer_min.train(lambda: speakers_and_listeners())              # a group for each pair of spaces
    puffer_min.train(lambda: puffer_min.with_groups(env(), lambda agent: agent.split("_")[0]))
"""

from puffer_min.emulation.actions import ActionLayout
from puffer_min.emulation.observations import Layout
from puffer_min.emulation.pettingzoo_env import parallel
from puffer_min.env.spec import EnvSpec, GroupRows
from puffer_min.env.values import agent_names, spaces_of


def with_groups(env, group_of=None):
    """`env`, of PettingZoo, whose agents are in groups; as it is if all spaces are equal and none is named.

    group_of    function: name of an agent -> name of its group, in which spaces are equal.
                None: agents with equal spaces are a group, with the name of the first

    What it gives has PettingZoo's parallel API: observations are rows uint8 (width,) and all agents have one
    action space; `GroupRows` says how both are made. Raises TypeError for unequal spaces in a group, for
    whole numbers in one group and a Box in another, and for agents that take turns; ValueError for more than
    256 groups.
    """
    spaces, agents = {}, {}
    for name in agent_names(env):
        own = spaces_of(env, name)
        alike = (group for group, given in spaces.items() if given == own)
        agents[name] = group = next(alike, name) if group_of is None else group_of(name)
        if spaces.setdefault(group, own) != own:
            raise TypeError(f"group {group}: agent {name} has the spaces {own}, expected those of its first "
                            f"agent, {spaces[group]}: agents of a group share a network; name other groups")
    needed = len(spaces) > 1 or group_of is not None
    return GroupedAgents(parallel(env), spaces, agents) if needed else env


class GroupedAgents:
    """See `with_groups`: all see `GroupRows` and act in one space; what is not below is the environment's."""

    def __init__(self, env, spaces, agents):
        layouts = {group: (Layout(seen), ActionLayout(acted)) for group, (seen, acted) in spaces.items()}
        specs = {group: EnvSpec(seen.row_space, acted.row_space) for group, (seen, acted) in layouts.items()}
        self.env, self.rows, self.__name__ = env, GroupRows(specs, agents), type(env).__name__
        self.layouts = {name: layouts[group] for name, group in agents.items()}

    def __getattr__(self, name):
        if name == "env" or name.startswith("__"):      # before __init__, as in unpickling; a copy's own
            raise AttributeError(name)
        return getattr(self.env, name)

    def observation_space(self, agent):
        return self.rows

    def action_space(self, agent):
        return self.rows.action_space

    def reset(self, **arguments):
        return self._shown(self.env.reset(**arguments))

    def step(self, actions):
        own = {name: self.rows.own_action(name, row) for name, row in actions.items()}
        return self._shown(self.env.step({name: self.layouts[name][1].decode(own[name]) for name in own}))

    @property
    def action_masks(self):
        masks = self.env.action_masks                   # AttributeError where it has none
        return None if masks is None else lambda: self.rows.masks_of(masks)

    def _shown(self, results):
        """Results with rows for the observations; results of another form are refused where they go."""
        if not isinstance(results, tuple) or not results or not hasattr(results[0], "items"):
            return results
        return {name: self.rows.row_of(name, self.layouts[name][0].pack, seen)
                for name, seen in results[0].items() if name in self.layouts}, *results[1:]
