"""`PettingZooEnv`: a PettingZoo environment, whose agents come and go, as a `PufferEnv` of fixed slots.

    vec = make_vec(lambda: pettingzoo.make("parallel", "butterfly/pistonball-v6"), num_envs=8)

    slot        0       1       2           one for each of `possible_agents`, in their order, which stays
    agents      lion_0  lion_1  --          the agents in the game now
    masks       True    True    False

PettingZoo itself is not needed: any object with `possible_agents` and the methods of its parallel API will
do.
"""

from puffer_min.emulation.adapted import Adapted
from puffer_min.env.values import agent_names, first_observation, flag, info_number, number, spaces_of


class PettingZooEnv(Adapted):
    """A `pettingzoo.ParallelEnv`, or an `AECEnv` that can be made parallel; a row for each possible agent.

    An agent's episode    starts when it appears in `agents` and ends with its own flag. On that step its row
                          of `final_observations` is set. An agent that left is masked and observes zeros
    The environment       is reset in the step in which its last agent leaves
    Observation, actions  as in observations.py and actions.py. Actions of empty slots are not passed on
    Log                   episode_return, episode_length, score (the return), and the numbers under
                          `info_keys` in the agent's last `info`; one episode for each agent

    Raises TypeError or ValueError, naming the agent, for unequal spaces, an end without a flag, a missing
    result, or something else than a reward or a flag.
    """

    derived = ("names", "slots", *Adapted.derived)

    def __init__(self, env, buffers=None, seed=0, report_interval=128, *, info_keys=()):
        kind, env = type(env).__name__, parallel(env)
        self.names = agent_names(env)
        self.slots = {name: slot for slot, name in enumerate(self.names)}
        self.num_agents, spaces = len(self.names), spaces_of(env, self.names[0])
        for slot, name in enumerate(self.names):
            if self.slots[name] != slot:
                raise ValueError(f"possible_agents of {kind} has {name} twice, expected each name once: "
                                 "it is a slot")
            methods = "observation_space", "action_space"
            for method, space, expected in zip(methods, spaces_of(env, name), spaces, strict=True):
                if space != expected:
                    raise TypeError(f"{method} of {name} is {space}, expected that of {self.names[0]}, "
                                    f"{expected}: PettingZooEnv(puffer_min.with_groups(env)) takes others")
        super().__init__(env, *spaces, info_keys, buffers, seed, report_interval)

    def step(self, actions):
        """Step every agent that lives."""
        self.begin_step(actions)
        living = list(self.env.agents)
        chosen = self.action_layout.decode_rows(self.actions)
        results = self.env.step({name: chosen[slot] for name, slot in self._slots_of(living)})
        dicts = isinstance(results, tuple) and all(hasattr(part, "keys") for part in results)
        if not dicts or len(results) != 5:
            raise TypeError(f"step of {type(self.env).__name__} gave {type(results).__name__}, expected the "
                            "five dicts (observations, rewards, terminations, truncations, infos)")
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
                raise ValueError(f"{who} left without termination or truncation; "
                                 "set one of its flags on the step it leaves")
        if staying:
            self._observe(observations)
        else:
            self._begin()
        return self.finish_step()

    def set_attr(self, name, value):
        """Set the attribute `name` of PettingZoo's environment."""
        setattr(getattr(self.env, "unwrapped", self.env), name, value)

    def _find(self, name):
        if name == "set_attr":
            return self.set_attr
        return getattr(self.env, name, *[None] * (name == "render_mode"))

    def _begin(self, seed=None):
        observations = first_observation(self.env.reset, seed, type(self.env).__name__)
        if not self.env.agents:
            raise ValueError(f"{type(self.env).__name__} has no agents after reset, expected at least one")
        self._observe(observations)

    def _slots_of(self, names):
        """(name, slot) of each; ValueError for a name that is not possible."""
        try:
            return [(name, self.slots[name]) for name in names]
        except KeyError as error:
            raise ValueError(f"agent {error.args[0]} given in agents, expected one of possible_agents: "
                             f"{', '.join(map(str, self.names))}") from None

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
    """`env` with the parallel API; PettingZoo converts an environment in which agents take turns."""
    if not hasattr(env, "agent_iter"):
        return env
    if not env.metadata.get("is_parallelizable", False):
        raise TypeError(f"{type(env).__name__} is an AECEnv that is not parallelizable, expected one whose "
                        "agents act at once: play the other agents of a game of turns inside the environment")
    from pettingzoo.utils.conversions import aec_to_parallel  # an AECEnv comes with PettingZoo

    return aec_to_parallel(env)


def of(results, name, what):
    """The result of one agent."""
    if not hasattr(results, "keys") or name not in results:
        raise ValueError(f"agent {name} has no {what} in this step, expected one for each agent that lived "
                         f"before it; there are {', '.join(map(str, results)) or 'none'}")
    return results[name]
