"""The arena: every pair of players plays, on either side, and what their games say.

    standings = arena("connect4", {"new": result.policy, "old": "old.pt", "search": "scripted:search4"})
    print(standings)                            ladder: Elo with intervals, shares won
    standings.heat_map(); standings.ladder()    pictures
    standings.save("standings")                 standings.json and the pictures

Games of all pairs run side by side in one vectorizer, and at each step every player is asked once, for all of
its games. A slot plays a fixed number of games of one pair, one after the other: to count the games that
finish first would favour short ones.
"""

import contextlib
import dataclasses
import itertools
import json
import math
import time
import warnings
from pathlib import Path

import numpy as np
import torch

from envs.core.settings import number, whole
from puffer_min.selfplay import pictures
from puffer_min.selfplay.players import NOBODY, Table, player_of
from puffer_min.selfplay.ratings import bootstrap, both_sides, cycle, predicted, ratings, wilson
from puffer_min.selfplay.sides import Referee, Sides, two_sided_settings
from puffer_min.vector import make_vec
from puffer_min.vector.serial import is_native

BLOCK = 100                         # games of a pair after which its interval is looked at
NATIVE_ROWS, PYTHON_ROWS = 2**14, 2**6


@dataclasses.dataclass(frozen=True)
class Standings:
    """What an arena found about n players.

    counts      int (n, n, 3): [i, j] are the games that i on side 0 won, drew and lost against j on side 1
    games       int (n, n), on either side
    payoff      (n, n) share of these games that i won, draws half, nan for i = j
    low, high   (n, n) ends of its 95 % interval (Wilson)
    elo         (n,) ratings of mean 0 (ratings.py);  elo_low, elo_high (n,): 95 % intervals by the bootstrap
    predicted   (n, n) the payoff that the ratings predict;  misfit: root mean square of the difference
    cycle       names of players each of whom surely beats the next, the last the first; [] if there are none.
                Then no rating can be right
    first       share of all games that side 0 won, draws half: what the first move is worth
    seconds     that playing took
    """

    env_name: str
    names: list[str]
    counts: np.ndarray
    seconds: float

    def __post_init__(self):
        total = both_sides(self.counts)
        won, games = total[..., 0] + total[..., 1] / 2, total.sum(-1)
        rated = ratings(self.counts)
        low, high = wilson(won, games)
        derived = {"games": games, "payoff": np.where(games > 0, won / np.maximum(games, 1), np.nan),
                   "low": low, "high": high, "elo": rated.elo, "predicted": predicted(rated),
                   "cycle": [self.names[i] for i in cycle(self.counts)]}
        derived["elo_low"], derived["elo_high"] = bootstrap(self.counts)
        derived["misfit"] = float(np.sqrt(np.nanmean((derived["payoff"] - derived["predicted"])**2)))
        played = self.counts.sum((0, 1))
        derived["first"] = float((played[0] + played[1] / 2) / max(1, played.sum()))
        for name, value in derived.items():
            object.__setattr__(self, name, value)

    @property
    def warning(self) -> str | None:
        """A sentence where the ratings are misleading, or None."""
        if not self.cycle:
            return None
        return (f"the players are not in one order: {' beats '.join([*self.cycle, self.cycle[0]])}; read the "
                "payoffs, because no Elo can say this")

    def ranking(self) -> np.ndarray:
        """Numbers of the players, the best first."""
        return np.argsort(-self.elo, kind="stable")

    def __str__(self):
        width = max(map(len, self.names))
        lines = [f"{'':>3} {'player':{width}} {'Elo':>6}  {'95 %':^15}  {'won':>5}"]
        for place, i in enumerate(self.ranking(), 1):
            ends = f"[{self.elo_low[i]:.0f}, {self.elo_high[i]:.0f}]"
            lines.append(f"{place:3} {self.names[i]:{width}} {self.elo[i]:6.0f}  {ends:^15}  "
                         f"{np.nanmean(self.payoff[i]):5.2f}")
        return "\n".join([*lines, *([f"Warning: {self.warning}."] if self.warning else [])])

    def heat_map(self):
        """The payoffs as a matplotlib figure; `figure.alt` says in words what it shows."""
        return pictures.heat_map(self)

    def ladder(self):
        """The ratings with their intervals as a matplotlib figure; `figure.alt` says what it shows."""
        return pictures.ladder(self)

    def as_dict(self) -> dict:
        """Everything as plain numbers, texts and lists; None for what is undefined."""
        fields = {name: value.tolist() if isinstance(value, np.ndarray) else value
                  for name, value in vars(self).items()}
        fields["payoff"] = [[None if i == j else share for j, share in enumerate(row)]
                            for i, row in enumerate(fields["payoff"])]
        return fields | {"warning": self.warning}

    def save(self, folder) -> Path:
        """Write standings.json, heat_map.png and ladder.png (their words in the PNG's Description)."""
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "standings.json").write_text(json.dumps(self.as_dict()) + "\n")
        for name, figure in (("heat_map", self.heat_map()), ("ladder", self.ladder())):
            (folder / f"{name}.png").write_bytes(pictures.png_of(figure))
        return folder


def arena(env, players, *, games: int = 1000, width: float = 0.1, seed: int = 0,
          env_settings: dict | None = None, num_envs: int | None = None,
          longest_game: int = 20_000) -> Standings:
    """Let every pair of players play, half of the games on either side.

    env           name of a native environment, or a class or function that makes environments, with two sides
                  (sides.py)
    players       {name: player}, or a list of files and scripted players (players.py), which are named as
                  they are given, runs/x/checkpoint.pt as runs/x
    games         the most of each pair; a few more where they do not divide over the slots
    width         a pair has played enough once the 95 % interval of its payoff is this narrow, which is
                  looked at after every hundred games; 0: always `games`
    env_settings  of the environment. Greedy policies repeat one game over and over, unless a setting such as
                  connect4's openings=3 makes games begin differently
    num_envs      games at a time, if the choice is not to be left to the arena
    longest_game  steps after which a game that has not ended is an error

    Warns where the players are not in one order. Raises ValueError for fewer than two players, for an
    environment without two sides, for a player of other spaces and for a game that does not end,
    CheckpointError for a file that is damaged or of another environment, TypeError for a player that plays
    nothing.
    """
    players = named(players)
    games, width = whole("games", games, 1), number("width", width, 0, 1)
    longest_game = whole("longest_game", longest_game, 1)
    settings = two_sided_settings(env) | (env_settings or {})
    pairs = list(itertools.permutations(range(len(players)), 2))           # (side 0, side 1)
    block = games if width == 0 else min(games, BLOCK)
    began = time.perf_counter()
    with make_vec(env, num_envs=1, seed=seed, report_interval=0, env_settings=settings) as one:
        Sides(env, one)
        rows = NATIVE_ROWS if is_native(env) else PYTHON_ROWS
        most = max(len(pairs), whole("num_envs", num_envs or max(1, rows // one.num_agents), 1))
    slots = len(pairs) * min(most // len(pairs), math.ceil(block / 2))
    counts = np.zeros((len(players), len(players), 3), np.int64)
    common = {"seed": seed, "report_interval": 0, "env_settings": settings}
    with one_thread(), make_vec(env, num_envs=slots, **common) as vec:
        hall = Hall(env, vec, players, seed, longest_game)
        while pairs:
            hall.play(pairs, block, counts)
            total = both_sides(counts)
            low, high = wilson(total[..., 0] + total[..., 1] / 2, total.sum(-1))
            pairs = [(i, j) for i, j in pairs if total[i, j].sum() < games and high[i, j] - low[i, j] > width]
        standings = Standings(env if isinstance(env, str) else getattr(env, "__name__", type(env).__name__),
                              list(players), counts, time.perf_counter() - began)
    if standings.warning:
        warnings.warn(standings.warning, stacklevel=2)
    return standings


@contextlib.contextmanager
def one_thread():
    """torch with one thread: for batches as small as the games of one player in a step."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def named(players) -> dict:
    """`players` as a dict with names; ValueError if there are fewer than two."""
    if not isinstance(players, dict):
        listed = list(players)
        names = [str(each).removesuffix("/checkpoint.pt") for each in listed]
        if len({*names}) < len(names):
            twice = next(name for name in names if names.count(name) > 1)
            raise ValueError(f"{twice} given twice, expected each player once, or a dict of names")
        players = dict(zip(names, listed, strict=True))
    if len(players) < 2:
        raise ValueError(f"{len(players)} player{'s' * (len(players) != 1)} given, expected at least two: "
                         "add another checkpoint, or scripted:random")
    return players


class Hall:
    """A vectorizer in whose environments pairs of players play."""

    def __init__(self, env, vec, players: dict, seed: int, longest_game: int):
        self.vec, self.seed, self.blocks = vec, seed, 0
        self.sides = sides = Sides(env, vec)
        self.referee = Referee(vec, sides, longest_game)
        self.table = Table(vec, sides, seed)
        self.table.players = {i: player_of(given, env, vec, sides, seed=seed + i, name=name)
                              for i, (name, given) in enumerate(players.items())}

    def play(self, pairs, games, counts):
        """Add `games` of each pair, half of them in each order, to `counts` (players, players, 3)."""
        vec, sides, table, referee = self.vec, self.sides, self.table, self.referee
        vec.reset(self.seed + self.blocks)
        self.blocks += 1
        referee.restart()
        slots = min(sides.num_envs // len(pairs), math.ceil(games / 2))
        left = np.zeros(sides.num_envs, np.int64)
        left[:slots * len(pairs)] = math.ceil(games / 2 / slots)
        seated = np.full((sides.num_envs, 2), NOBODY)
        seated[:slots * len(pairs)] = np.repeat(pairs, slots, axis=0)
        table.seats[:] = seated[sides.env_of, sides.side_of]
        for player in range(len(counts)):
            table.players[player].begin(np.arange(vec.num_agents))
        while left.any():
            table.act()
            vec.step(vec.actions)
            over, results = referee.judge()
            if not len(over):
                continue
            counted = left[over] > 0
            np.add.at(counts, (*seated[over[counted]].T, results[counted]), 1)
            left[over[counted]] -= 1
            began = np.isin(sides.env_of, over)
            for player in np.unique(table.seats[began & (table.seats != NOBODY)]):
                table.players[player].begin(np.flatnonzero(began & (table.seats == player)))
            table.seats[np.isin(sides.env_of, over[left[over] == 0])] = NOBODY      # it plays on, uncounted
