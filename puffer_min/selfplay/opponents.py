"""Opponents: games of a training run in which past versions of the policy, files or scripted players play one
side.

    puffer_min.train("connect4", opponents="prioritised")
    puffer_min.train("connect4", opponents=["scripted:search2", "old.pt"])
    puffer_min.train("connect4", opponents=Opponents(pool="uniform", share=0.25, players=["scripted:greedy"]))

`League` stands between vectorizer and learner. In the last `share` of the environments the rows of one side,
side 0 in one and side 1 in the next, belong to opponents; `learns` is the mask of all other rows. The learner
is shown these alone, in buffers of their own, so nothing of an opponent's rows reaches its batch:

    vectorizer     row  0 1 | 2 3 | 4 5 | 6 7           two agents an environment, share=0.5
    learns              1 1 | 1 1 | 1 0 | 0 1
    the learner's  row  0 1   2 3   4     5

After each game the slot gets another opponent. Which, says the pool:

    latest         the newest snapshot of the policy
    uniform        any kept snapshot
    prioritised    more often one that the policy loses to: in proportion to (1 - share won)**2, "prioritised
                   fictitious self-play" of AlphaStar (Vinyals et al. 2019)

Players that are given belong to the pool, whichever it is. The forward passes of the opponents are one for
each of them and step; the learner's clock shows them as the stage "opponents".
"""

import copy
import dataclasses

import numpy as np

from envs.core.buffers import Buffers
from envs.core.settings import number, whole
from puffer_min.env.spec import EnvSpec
from puffer_min.selfplay.players import NOBODY, Network, Scripted, Table, player_of
from puffer_min.selfplay.sides import LOST, Referee, Sides

POOLS = ("latest", "uniform", "prioritised")
PARTS = 16                      # the share is rounded to as many, so that the learner's rows divide well
FORGET = 0.5                    # what results count at the next snapshot: the policy has changed since


@dataclasses.dataclass(frozen=True)
class Opponents:
    """Who plays against the policy that learns.

    pool       "latest", "uniform" or "prioritised" for snapshots of the policy; None: only `players`
    share      of the environments, rounded to sixteenths, at least one
    players    files, scripted players, policies (players.py)
    interval   updates between two snapshots
    size       most snapshots kept: then every second is dropped, and the interval doubles

    Raises ValueError for a pool that there is not, an empty one, and numbers outside their ranges.
    """

    pool: str | None = "prioritised"
    share: float = 0.5
    players: tuple = ()
    interval: int = 20
    size: int = 8

    def __post_init__(self):
        if self.pool not in (None, *POOLS):
            raise ValueError(f"pool={self.pool!r} given, expected one of {', '.join(map(repr, POOLS))}, or "
                             "None for players alone")
        if self.pool is None and not self.players:
            raise ValueError("an empty pool of opponents given, expected players, such as "
                             "scripted:random, or a pool of snapshots, such as \"prioritised\"")
        object.__setattr__(self, "players", tuple(self.players))
        object.__setattr__(self, "share", number("share", self.share, above=0, high=1))
        object.__setattr__(self, "interval", whole("interval", self.interval, 1))
        object.__setattr__(self, "size", whole("size", self.size, 2))

    @classmethod
    def of(cls, given) -> "Opponents | None":
        """`given` as Opponents: a pool's name, a player, several of these, the record of a checkpoint."""
        if given is None or isinstance(given, cls):
            return given
        if isinstance(given, dict):
            if given["players"] is None:
                raise ValueError("the checkpoint could not hold the opponents, expected opponents= again: "
                                 "only files and scripted players are held by name")
            return cls(**given)
        given = list(given) if isinstance(given, list | tuple) else [given]
        pools = [each for each in given if isinstance(each, str) and each in POOLS]
        return cls(pool=pools[0] if pools else None, players=[each for each in given if each not in pools])

    @property
    def record(self) -> dict:
        """What a checkpoint holds of it; players=None where one is no file and no scripted player."""
        named = all(isinstance(each, str) or hasattr(each, "__fspath__") for each in self.players)
        return vars(self) | {"players": [str(each) for each in self.players] if named else None}


class League:
    """A vectorizer that shows a learner only the rows that learn, and lets opponents play the others.

    vec        vectorizer of an environment with two sides, made of `env`; it steps all environments together
    seed       of the draws

    Call `follow(learner)` before the first step. Attributes of a vectorizer; also learns (vec.num_agents,)
    bool, and `results`, opponent's number -> [games won by the policy, games], older ones counting less.
    Raises ValueError as `Sides` and `player_of` do.
    """

    def __init__(self, vec, env, opponents: Opponents, seed: int = 0):
        self.vec, self.opponents = vec, opponents
        if getattr(vec, "batch_envs", None) not in (None, vec.num_envs):
            raise ValueError(f"batch_envs={vec.batch_envs} given with opponents, expected None: all "
                             "environments are stepped together")
        self.env_spec, self.sides = EnvSpec.of(vec), Sides(env, vec)
        parts = min(PARTS, vec.num_envs)
        first = vec.num_envs - max(1, round(opponents.share * parts) * vec.num_envs // parts)
        theirs = (self.sides.env_of >= first) & (self.sides.side_of != self.sides.env_of % 2)
        self.learns, self.first = ~theirs, first
        self.rows, self.their_rows = np.flatnonzero(self.learns), np.flatnonzero(theirs)
        self.num_agents = len(self.rows)
        buffers = Buffers.allocate(self.num_agents, vec.single_observation_space, vec.single_action_space,
                                   self.env_spec.truncates)
        vars(self).update(buffers._asdict())
        self.random, self.seed = np.random.default_rng([seed, len(self.their_rows)]), seed
        self.referee, self.table = Referee(vec, self.sides), Table(vec, self.sides, seed)
        self.learner = self.save = None
        self.snapshots, self.interval, self.updates = [], opponents.interval, 0
        for i, given in enumerate(opponents.players):
            self.table.players[i] = player_of(given, env, vec, self.sides, seed=seed + i,
                                              name=f"opponent {i}")
        self.fixed, self.next_number = list(self.table.players), len(opponents.players)
        self.results = {player: [0.0, 0.0] for player in self.fixed}
        self.won = self.played = 0

    def __getattr__(self, name):
        if name == "vec":               # before __init__, as in unpickling
            raise AttributeError(name)
        return getattr(self.vec, name)

    def follow(self, learner, save=None) -> None:
        """Take snapshots of `learner`, the first at once, and use its clock; save(name) writes each later."""
        self.learner, self.save = learner, save
        if self.opponents.pool is not None:
            self.take_snapshot()
        self.seat_anew(np.arange(self.first, self.sides.num_envs))

    # ------------------------------------------------------------------ as a vectorizer

    def reset(self, seed=None):
        """Start every game afresh, against opponents drawn anew; returns (observations, infos)."""
        _, infos = self.vec.reset(seed)
        self.referee.restart()
        if self.learner is not None:
            self.seat_anew(np.arange(self.first, self.sides.num_envs))
        self.show()
        return self.observations, infos

    def step(self, actions):
        """Step every environment once: actions are those of the learner's rows. Returns as a vectorizer."""
        vec, lap = self.vec, self.learner.clock.lap
        vec.actions[self.rows] = actions
        self.table.act()
        lap("opponents")
        infos = vec.step(vec.actions)[4]
        lap("environment")
        over, results = self.referee.judge()
        if len(over):
            against = over >= self.first
            self.note(over[against], results[against])
            self.seat_anew(over[against])
        self.show()
        lap("copy")
        return self.observations, self.rewards, self.terminals, self.truncations, infos

    def show(self):
        """Copy the rows that learn from the vectorizer."""
        vec, rows = self.vec, self.rows
        for name in ("observations", "rewards", "terminals", "truncations", "masks"):
            np.take(getattr(vec, name), rows, 0, getattr(self, name), "clip")
        if self.final_observations is not None and self.truncations.any():
            np.take(vec.final_observations, rows, 0, self.final_observations, "clip")

    def action_masks(self):
        """The legal actions of the rows that learn, bool (num_agents, choices)."""
        return self.vec.action_masks()[self.rows]

    def log(self):
        """The vectorizer's log, which is of all rows, and `won`: the share of games that the policy won
        against opponents, draws half. A learner reads it once an update: that is when snapshots are taken."""
        log = self.vec.log()
        if log and self.played:
            log["won"], self.won, self.played = self.won / self.played, 0, 0
        self.updates += 1
        if self.opponents.pool is not None and self.updates % self.interval == 0:
            self.take_snapshot()
            if self.save is not None:
                self.save(f"step-{self.learner.steps}.pt")
        return log

    # ------------------------------------------------------------------ who plays

    def take_snapshot(self):
        """Add the policy as it is now to the pool."""
        self.add_snapshot(copy.deepcopy(self.learner.policy))
        for result in self.results.values():
            result[:] = [FORGET * count for count in result]
        if len(self.snapshots) > self.opponents.size:
            self.snapshots, self.interval = self.snapshots[::-2][::-1], 2 * self.interval
        seated = {*self.table.seats.tolist()}
        for player in [*self.table.players]:
            if player not in (*self.fixed, *self.snapshots) and player not in seated:
                del self.table.players[player], self.results[player]

    def add_snapshot(self, policy):
        """`policy` as the newest player."""
        player = self.next_number
        self.table.players[player] = Network(policy, self.vec.num_agents)
        self.snapshots.append(player)
        self.results[player] = [0.0, 0.0]
        self.next_number += 1

    def weights(self) -> dict[int, float]:
        """The players of the pool, and how likely each is drawn."""
        latest = self.opponents.pool == "latest"
        pool = self.fixed + (self.snapshots[-1:] if latest else self.snapshots)
        share = np.ones(len(pool))
        if self.opponents.pool == "prioritised":
            won, games = np.array([self.results[player] for player in pool]).T
            share = (1 - (won + 1) / (games + 2))**2
        return dict(zip(pool, share / share.sum(), strict=True))

    def seat_anew(self, environments):
        """Draw opponents for games that begin in `environments` (n,)."""
        weights = self.weights()
        drawn = self.random.choice([*weights], len(environments), p=[*weights.values()])
        place = np.full(self.sides.num_envs, NOBODY)
        place[environments] = drawn
        theirs = place[self.sides.env_of[self.their_rows]]
        for player in np.unique(drawn):
            self.table.seat(self.their_rows[theirs == player], player)

    def note(self, environments, results):
        """Count games that ended, by the opponent that played them."""
        mine = np.where(environments % 2 == 0, results, LOST - results)      # side 0 or 1 is the policy's
        points = (LOST - mine) / 2
        seats = self.table.seats.reshape(self.sides.num_envs, -1)[environments].max(1)
        self.won, self.played = self.won + points.sum(), self.played + len(points)
        for player in np.unique(seats):
            self.results[player][0] += points[seats == player].sum()
            self.results[player][1] += np.count_nonzero(seats == player)

    # ------------------------------------------------------------------ checkpoints

    KEPT = ("snapshots", "interval", "updates", "next_number", "results", "won", "played")

    @property
    def opponents_record(self):
        """What a checkpoint holds of the opponents' settings."""
        return self.opponents.record

    def get_state(self) -> dict:
        """The vectorizer's state, the snapshots, who sits where, and the players' memories and streams."""
        players = self.table.players
        networks = {player: each for player, each in players.items() if isinstance(each, Network)}
        scripted = [i for i, given in enumerate(self.opponents.players) if not isinstance(players[i], Network)
                    and isinstance(given, str)]         # objects of the user's keep what they keep
        state = {"seats": self.table.seats, "random": self.random,
                 "referee": (self.referee.returns, self.referee.steps),
                 "policies": {player: each.policy.state_dict() for player, each in networks.items()
                              if player not in self.fixed},
                 "memories": {player: each.state for player, each in networks.items()},
                 "stream": self.table.generator.get_state(),
                 "scripted": {i: players[i].policy for i in scripted},
                 "league": {name: getattr(self, name) for name in self.KEPT}}
        return {"vec": self.vec.get_state(), **copy.deepcopy(state)}

    def set_state(self, state: dict) -> None:
        """Go on from `get_state`; the learner must be the same."""
        self.vec.set_state(state["vec"])
        state = copy.deepcopy({name: value for name, value in state.items() if name != "vec"})
        self.table.players = {player: self.table.players[player] for player in self.fixed}
        for i, policy in state["scripted"].items():
            if isinstance(self.table.players[i], Scripted):
                self.table.players[i] = Scripted(policy)
        for player, weights in state["policies"].items():
            policy = copy.deepcopy(self.learner.policy)
            policy.load_state_dict(weights)
            self.table.players[player] = Network(policy, self.vec.num_agents)
        for player, memory in state["memories"].items():
            self.table.players[player].state = memory
        self.table.generator.set_state(state["stream"])
        for name, value in state["league"].items():
            setattr(self, name, value)
        self.table.seats[:], self.random = state["seats"], state["random"]
        self.referee.returns[:], self.referee.steps[:] = state["referee"]
        self.show()
