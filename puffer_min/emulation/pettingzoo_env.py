"""`PettingZooEnv`: a PettingZoo environment, whose agents come and go, as a `PufferEnv` of a fixed number of slots.

    vec = make_vec(lambda: pettingzoo.make("parallel", "butterfly/pistonball-v6"), num_envs=8)      # make_vec adapts by itself

    slot        0       1       2           one for each of `possible_agents`, in their order, for good
    agents      lion_0  lion_1  --          the agents that live now
    masks       True    True    False

PettingZoo itself is not needed: any object with `possible_agents` and the methods of its parallel API is taken.
"""

from puffer_min.emulation.actions import ActionLayout
from puffer_min.emulation.observations import Layout
from puffer_min.emulation.values import first_observation, flag, info_number, number
from puffer_min.env.episodes import metric_names_of
from puffer_min.env.puffer_env import PufferEnv


class PettingZooEnv(PufferEnv):
    """A `pettingzoo.ParallelEnv` (or an `AECEnv` that can be made parallel) with one row for each possible agent.

    An agent's episode    starts when it appears in `agents` and ends with its own flag. On that step its reward, its flag and its row of
                          `final_observations` are set; where it does not go on, its mask is down and its observation zeros.
    The environment       is reset inside the step in which its last agent leaves; the rows then hold first observations.
    Observation, actions  as observations.py and actions.py say. Actions of empty slots are not passed on.
    Log                   episode_return, episode_length, score (the return), an episode for each agent; and the numbers that `info_keys`
                          names, from the agent's `info` on the last step of its episode.

    Raises TypeError or ValueError, naming the agent, where agents differ in their spaces, leave without a flag, lack a result, or are
    given a reward or a flag that is none.
    """

    truncates = keeps_last_observations = True
    derived = ("layout", "action_layout", "names", "slots")

    def __init__(self, env, buffers=None, seed=0, report_interval=128, *, info_keys=()):
        self.env, self.metric_names = parallel(env), metric_names_of(info_keys)
        self.names = list(getattr(self.env, "possible_agents", ()))
        if not self.names:
            raise TypeError(f"{type(env).__name__} has no possible_agents, expected the names of all agents that may ever live: "
                            "each gets a slot")
        self.slots = {name: slot for slot, name in enumerate(self.names)}
        self.num_agents, first = len(self.names), self.names[0]
        for slot, name in enumerate(self.names):
            if self.slots[name] != slot:
                raise ValueError(f"possible_agents of {type(env).__name__} has {name} twice, expected each name once: it is a slot")
            for kind in ("observation_space", "action_space"):
                space, expected = getattr(self.env, kind)(name), getattr(self.env, kind)(first)
                if space != expected:
                    raise TypeError(f"{kind} of {name} is {space}, expected that of {first}, {expected}: all slots are rows "
                                    "of one array; pad them in a wrapper")
        self.layout, self.action_layout = Layout(self.env.observation_space(first)), ActionLayout(self.env.action_space(first))
        self.single_observation_space, self.single_action_space = self.layout.row_space, self.action_layout.row_space
        super().__init__(buffers, seed, report_interval)
        self._pending_seed = self.seed

    def reset(self, seed=None):
        """Start afresh, with a seed also the environment's random stream; returns (observations, infos)."""
        self.begin_reset(seed)
        seed, self._pending_seed = (self._pending_seed if seed is None else self.seed), None
        self._begin(seed)
        return self.observations, []

    def step(self, actions):
        """Step every agent that lives."""
        self.begin_step(actions)
        living = list(self.env.agents)
        chosen = self.action_layout.decode_rows(self.actions)
        results = self.env.step({name: chosen[slot] for name, slot in self._slots_of(living)})
        if not isinstance(results, tuple) or len(results) != 5 or not all(hasattr(part, "keys") for part in results):
            raise TypeError(f"step of {type(self.env).__name__} gave {type(results).__name__}, expected the five dicts "
                            "(observations, rewards, terminations, truncations, infos)")
        observations, rewards, terminations, truncations, infos = results
        staying = set(self.env.agents)
        for name, slot in self._slots_of(living):
            who = f"agent {name}"
            self.rewards[slot] = number(of(rewards, name, "reward"), who)
            self.terminals[slot] = flag(of(terminations, name, "termination"), "termination", who)
            self.truncations[slot] = flag(of(truncations, name, "truncation"), "truncation", who)
            if self.terminals[slot] or self.truncations[slot]:
                self._show(self.final_observations, slot, of(observations, name, "observation"))
                for j, key in enumerate(self.metric_names):
                    self.metrics[slot, j] = info_number(of(infos, name, "info"), key, who)
            elif name not in staying:
                raise ValueError(f"{who} left without termination or truncation; set one of its flags on the step it leaves")
        if staying:
            self._observe(observations)
        else:
            self._begin()
        return self.finish_step()

    def render(self, index=0):
        """The environment's own picture; it must have been made with render_mode="rgb_array"."""
        if getattr(self.env, "render_mode", None) != "rgb_array":
            raise ValueError(f"render_mode={getattr(self.env, 'render_mode', None)!r}: make the environment with "
                             "render_mode=\"rgb_array\"")
        return self.env.render()

    def close(self):
        """Close the environment and let go of the buffers."""
        if self.buffers is not None:
            self.env.close()
        super().close()

    def _slots_of(self, names):
        """(name, slot) of each; ValueError for a name that is not possible."""
        try:
            return [(name, self.slots[name]) for name in names]
        except KeyError as error:
            raise ValueError(f"agent {error.args[0]} lives, expected one of possible_agents: "
                             f"{', '.join(map(str, self.names))}") from None

    def _begin(self, seed=None):
        """Reset the environment, with a seed or with its random stream as it is."""
        observations = first_observation(self.env.reset, seed, type(self.env).__name__)
        if not self.env.agents:
            raise ValueError(f"{type(self.env).__name__} has no agents after reset, expected at least one")
        self._observe(observations)

    def _find(self, name):
        return self.set_attr if name == "set_attr" else getattr(self.env, name, *[None] * (name == "render_mode"))

    def set_attr(self, name, value):
        """Set the attribute `name` of PettingZoo's environment."""
        setattr(getattr(self.env, "unwrapped", self.env), name, value)

    def _observe(self, observations):
        """Masks and observations of the agents that live now; zeros in the other rows."""
        self.masks[:] = False
        for name, slot in self._slots_of(self.env.agents):
            self.masks[slot] = True
            self._show(self.observations, slot, of(observations, name, "observation"))
        self.observations[~self.masks] = 0

    def _show(self, rows, slot, observation):
        try:
            self.layout.pack(observation, rows[slot:slot + 1])
        except (TypeError, ValueError) as error:
            raise type(error)(f"agent {self.names[slot]}, {error}") from error


def parallel(env):
    """`env` with the parallel API; an environment in which agents take turns is converted by PettingZoo."""
    if not hasattr(env, "agent_iter"):
        return env
    if not env.metadata.get("is_parallelizable", False):
        raise TypeError(f"{type(env).__name__} is an AECEnv that is not parallelizable, expected one whose agents act at once: "
                        "in a game of turns, play the other agents inside the environment")
    from pettingzoo.utils.conversions import aec_to_parallel       # an AECEnv comes with PettingZoo
    return aec_to_parallel(env)


def of(results, name, what):
    """The result of one agent."""
    if name not in results:
        raise ValueError(f"agent {name} has no {what} in this step, expected one for each agent that lived before it; "
                         f"there are {', '.join(map(str, results)) or 'none'}")
    return results[name]
