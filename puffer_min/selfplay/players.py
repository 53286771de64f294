"""What sits at the sides of a game, and who is asked at each step.

    "runs/snake-0/checkpoint.pt"        a checkpoint
    "scripted:random"                   random legal actions
    "scripted:search4"                  a player that the environment's class gives: scripted("search4", seed)
    "scripted:strong"                   a mind inside the simulator, one of its class's mind_names (moba): the
                                        environment itself then moves the row
    policy                              of train or load_policy (an `Actor`), or a network of policy.py
    any object without a memory that has act(observations) -> actions, or act(observations, masks) and
    takes_masks = True

At each step a `Table` asks every player once, for all rows in which it sits and in which it is to move.
"""

from pathlib import Path

import numpy as np
import torch
from gymnasium import spaces
from torch import nn

import envs
from puffer_min.env.actions import legal_actions, random_actions, random_choices
from puffer_min.learner.actor import Actor
from puffer_min.learner.checkpoint import CheckpointError, policy_from, read_checkpoint
from puffer_min.learner.distributions import masked

NOBODY = -1


class Network:
    """A network that plays any rows of `num_agents`, with a memory for each row if it is recurrent.

    greedy    take the most probable action; otherwise actions are drawn
    columns   numbers of an observation that it sees, from the first on; None: all
    """

    def __init__(self, policy, num_agents, *, greedy=False, columns=None):
        self.policy, self.greedy, self.columns = policy, greedy, columns
        self.device = next(policy.parameters()).device
        self.state = policy.initial_state(num_agents).to(self.device)
        self.remembers = self.state.shape[1] > 0

    @torch.inference_mode()
    def outputs(self, observations, rows):
        """The network's outputs (num_outputs, n), on the CPU, for observations (n, ...) of `rows` (n,)."""
        if self.columns is not None:
            observations = np.ascontiguousarray(observations[:, :self.columns])
        rows = torch.from_numpy(rows)
        outputs, _, state = self.policy(torch.from_numpy(observations).to(self.device), self.state[rows])
        if self.remembers:
            self.state[rows] = state
        return outputs.cpu()

    def begin(self, rows):
        """Games begin in `rows` (n,)."""
        if self.remembers:
            self.state[torch.from_numpy(rows)] = 0


class Scripted:
    """Any object with `act`, which has no memory, or a function."""

    remembers = False

    def __init__(self, policy):
        self.policy = policy
        self.act_on, self.takes_masks = getattr(policy, "act", policy), getattr(policy, "takes_masks", False)

    def act(self, observations, rows, masks):
        return self.act_on(observations, *((masks,) if self.takes_masks else ()))

    def begin(self, rows):
        """Nothing is kept from game to game."""


class Mind:
    """Mind `number` of the simulator: written into its `minds`, it moves a row instead of the row's action.
    A `Table` sets all of them to 0 before it asks its players."""

    remembers = False

    def __init__(self, number, vec):
        self.policy, self.minds, self.idle = number, vec.minds, np.zeros_like(vec.actions[0])

    def act(self, observations, rows, masks):
        self.minds[rows] = self.policy
        return np.tile(self.idle, (len(rows), 1))

    def begin(self, rows):
        """Nothing is kept from game to game."""


class RandomPlayer:
    """Random actions, legal ones where the environment masks them."""

    takes_masks = True

    def __init__(self, space, seed=0):
        self.space, self.random = space, np.random.default_rng(seed)

    def act(self, observations, masks=None):
        if masks is None:
            return random_actions(self.space, len(observations), self.random)
        return random_choices(self.space, masks, self.random)


# ---------------------------------------------------------------------- by name

def player_of(given, env, vec, sides, *, seed=0, name="the player"):
    """What plays for `given` (see the module's docstring) in `vec`, a vectorizer of `env` with `sides`.

    name   for errors. Raises ValueError for a scripted player that there is not and for a policy of other
    spaces, CheckpointError for a file that cannot be read or is of another environment, TypeError for
    something that plays nothing.
    """
    if isinstance(given, str) and given.startswith("scripted:"):
        return scripted(given.removeprefix("scripted:"), env, vec, seed)
    greedy = False
    if isinstance(given, str | Path):
        contents, name = read_checkpoint(given), str(given)
        if isinstance(env, str) and contents["env_name"] != env:
            raise CheckpointError(f"{given} is a checkpoint of {contents['env_name']}, expected one of "
                                  f"{env}: give the checkpoint of this environment")
        given = policy_from(contents, given)
    elif isinstance(given, Actor):
        given, greedy = given.policy, given.greedy
    if isinstance(given, nn.Module) and hasattr(given, "distribution"):
        columns = columns_of(given, vec, sides, name)
        return Network(given, vec.num_agents, greedy=greedy, columns=columns)
    if not callable(getattr(given, "act", given)):
        raise TypeError(f"{name}: given {type(given).__name__}, expected a checkpoint, scripted:NAME, a "
                        "policy, or an object with act(observations) -> actions")
    return Scripted(given)


def scripted(name, env, vec, seed):
    """The scripted player `name` of `env`; "random" plays any environment."""
    if name == "random":
        return Scripted(RandomPlayer(vec.single_action_space, seed))
    kind = envs.find(env) if isinstance(env, str) else env
    minds, called = getattr(kind, "mind_names", ()), env if isinstance(env, str) else kind.__name__
    if name in minds:
        if not hasattr(vec, "minds"):
            raise ValueError(f'scripted:{name} given for {called} in processes or threads, expected '
                             f'backend="serial": the mind lives in the simulator')
        return Mind(1 + minds.index(name), vec)
    if not hasattr(kind, "scripted"):
        named = ", ".join(f"scripted:{each}" for each in ("random", *minds))
        raise ValueError(f"scripted:{name} given, expected {'one of ' * bool(minds)}{named}: {called} has no "
                         f"{'such player' if minds else 'scripted players'}")
    return Scripted(kind.scripted(name, seed))


def columns_of(policy, vec, sides, name):
    """None if `policy` reads the observations of `vec`; if it reads all but the flag of whose move it is, as
    a policy of the one-sided game does, how many numbers these are. Raises ValueError if it reads others."""
    spec, seen, actions = policy.spec, vec.single_observation_space, vec.single_action_space
    if spec.single_action_space != actions:
        raise ValueError(f"{name} gives actions of {spec.single_action_space}, expected {actions}: take a "
                         "policy that was trained on this environment with these settings")
    if spec.single_observation_space == seen:
        return None
    if sides.turn_flag == -1 and spec.single_observation_space == spaces.Box(
            seen.low[:-1], seen.high[:-1], dtype=seen.dtype):
        return seen.shape[0] - 1
    given, expected = (f"{space.dtype} {space.shape} from {space.low.min():g} to {space.high.max():g}"
                       for space in (spec.single_observation_space, seen))
    raise ValueError(f"{name} reads observations of {given}, expected {expected}: take a policy that was "
                     "trained on this environment with these settings")


# ---------------------------------------------------------------------- who is asked

class Table:
    """Players at the rows of a vectorizer. `seats` (num_agents,) is the number of each row's player, NOBODY
    for rows whose actions come from elsewhere; `players` are the players by number."""

    def __init__(self, vec, sides, seed=0):
        self.vec, self.sides = vec, sides
        self.seats = np.full(vec.num_agents, NOBODY)
        self.players, self.minds = {}, getattr(vec, "minds", None)
        self.generator = torch.Generator().manual_seed(seed)        # draws the actions of all networks

    def seat(self, rows, number):
        """Let player `number` play `rows` (n,), from the beginning of their games."""
        self.seats[rows] = number
        self.players[number].begin(rows)

    def act(self):
        """Write the actions of all seated rows that hold an agent and are to move into `vec.actions`."""
        vec, seats, flag = self.vec, self.seats, self.sides.turn_flag
        asked = (seats != NOBODY) & vec.masks
        if self.minds is not None:
            self.minds[:] = 0
        if flag is not None:
            asked &= (vec.observations[:, flag] == 1) | self.remembering()
        rows = np.flatnonzero(asked)
        rows = rows[np.argsort(seats[rows], kind="stable")]
        numbers, begins = np.unique(seats[rows], return_index=True)
        masks, networks = legal_actions(vec), []
        for number, begin, end in zip(numbers, begins, [*begins, len(rows)][1:], strict=True):
            mine, player = rows[begin:end], self.players[number]
            if isinstance(player, Network):
                networks.append((player, mine, player.outputs(vec.observations[mine], mine)))
            else:
                legal = None if masks is None else masks[mine]
                vec.actions[mine] = player.act(vec.observations[mine], mine, legal)
        for greedy in (False, True):
            self.choose([each for each in networks if each[0].greedy == greedy], masks, greedy)

    @torch.inference_mode()
    def choose(self, networks, masks, greedy):
        """Write the actions of (network, rows, outputs): one draw for all, which costs as much as for one."""
        if not networks:
            return
        players, rows, outputs = zip(*networks, strict=True)
        distribution = players[0].policy.distribution
        rows, outputs = np.concatenate(rows), torch.cat(outputs, 1)
        if masks is not None:
            outputs = masked(outputs, distribution.legal(masks[rows]))
        actions = distribution.mode(outputs) if greedy else distribution.sample(outputs, self.generator)[0]
        self.vec.actions[rows] = actions.numpy()

    def remembering(self):
        """Rows whose player has a memory, which misses no observation: bool (num_agents,), or False."""
        those = [number for number, player in self.players.items() if player.remembers]
        return np.isin(self.seats, those) if those else False
