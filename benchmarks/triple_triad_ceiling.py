"""triple_triad: the share of games that can be won against the greedy opponent, and what simple players win.

    python benchmarks/triple_triad_ceiling.py                       2,000 games, the table
    python benchmarks/triple_triad_ceiling.py --games 200           a first impression
    python benchmarks/triple_triad_ceiling.py --json out.json       the same as JSON

All players get the same deals, the same coin and, where the opponent starts, the same first card of it: row i
of an environment with one row a game, each row's first game. The best player searches to the end and averages
over the opponent's ties, so the mean of the probabilities it finds at its first move is the ceiling itself,
and its games are the check. The one who knows the ties is a bound that nobody can pass. Intervals are
Wilson's, of 95 %; for the mean of probabilities they are too wide, never too narrow.
"""

import argparse
import json
import math
import sys
import time
from pathlib import Path

import numpy as np

import envs
from puffer_min.course.build import build

SELECT, PLACE = 1, 6                                            # first of the actions
OWNERS = slice(36, 54)
# the upper number of each card in the hand; 0 once it is played
HAND = slice(54, 74, 4)


def search():
    """The compiled search."""
    return build(Path(__file__).with_name("triple_triad_search.pyx"))


# --------------------------------------------------- players: observations (n, 151) -> cards (n,), cells (n,)

def random_player(kernel, rng):
    def choose(observations):
        owned = observations[:, OWNERS].reshape(-1, 2, 9).any(1)
        return ((rng.random((len(observations), 5)) * (observations[:, HAND] > 0)).argmax(1),
                (rng.random((len(observations), 9)) * ~owned).argmax(1))
    return choose


def greedy_player(kernel, rng):
    def draws(count):
        return rng.integers(2**64, size=count, dtype=np.uint64)

    return lambda observations: kernel.greedy_moves(observations, draws(len(observations)))


def foresighted_player(horizon):
    """Most cards owned on average after `horizon` own moves, each with its answer."""
    return lambda kernel, rng: lambda observations: kernel.best_moves(
        observations, least=0, horizon=horizon)[1:]


def best_player(kernel, rng, known=None):
    """The largest probability to win; where that is 0, not to lose. The probabilities found at each call are
    appended to `known`.
    """
    def choose(observations):
        values, cards, cells = kernel.best_moves(observations)
        if known is not None:
            known.append(values)
        hopeless = values == 0
        if hopeless.any():
            _, cards[hopeless], cells[hopeless] = kernel.best_moves(observations[hopeless], least=5)
        return cards, cells
    return choose


PLAYERS = {"random": random_player, "greedy rule": greedy_player, "one move ahead": foresighted_player(1),
           "two moves ahead": foresighted_player(2)}


def deal(games, seed):
    """A fresh environment with one row a game, and its first observations."""
    env = envs.make("triple_triad", games, seed=seed, opponent="greedy", foresight=False, report_interval=0)
    observations, _ = env.reset()
    return env, np.asarray(observations)


def play(choose, games, seed):
    """The result of the first game of each row: 1 won, 0 drawn, -1 lost."""
    env, observations = deal(games, seed)
    playing, results = np.arange(games), np.zeros(games, int)
    while len(playing):
        cards, cells = choose(np.ascontiguousarray(observations[playing]))
        # rows that are done go on with no-ops, and nobody looks
        actions = np.zeros(games, np.int32)
        actions[playing] = SELECT + cards
        env.step(actions)
        actions[playing] = PLACE + cells
        _, rewards, terminals, _, _ = env.step(actions)
        results[playing] = np.rint(rewards[playing])            # 0 before the end, as no step is wasted
        playing = playing[~np.asarray(terminals, bool)[playing]]
    env.close()
    return results


# ---------------------------------------------------------------------- figures

def wilson(share, count):
    """Wilson's interval of 95 % for a share of `count` games."""
    z = 1.959964
    centre = share + z * z / (2 * count)
    half = z * math.sqrt(share * (1 - share) / count + z * z / (4 * count * count))
    return (centre - half) / (1 + z * z / count), (centre + half) / (1 + z * z / count)


def figures(won, drawn, starting):
    """Shares of all games and by who starts; `won` may be probabilities, `drawn` None where it is not known.
    """
    parts = {"all": np.ones(len(won), bool), "agent starts": starting, "opponent starts": ~starting}
    found = {name: {"games": int(part.sum()), "won": float(won[part].mean()),
                    "interval": wilson(won[part].mean(), part.sum())}
             for name, part in parts.items() if part.any()}
    if drawn is not None:
        for name in found:
            found[name]["drawn"] = float(drawn[parts[name]].mean())
            found[name]["lost"] = float((~(won | drawn))[parts[name]].mean())
    return found


def row(name, found):
    """A line of the table."""
    def percent(share):
        return f"{100 * share:7.2f}"
    whole = found["all"]
    low, high = whole["interval"]
    others = "".join(percent(whole[part]) if part in whole else f"{'–':>7}" for part in ("drawn", "lost"))
    halves = "".join(percent(found[part]["won"]) if part in found else f"{'–':>7}"
                     for part in ("agent starts", "opponent starts"))
    return f"{name:<22}{percent(whole['won'])}  [{100 * low:5.2f}, {100 * high:5.2f}]{others}{halves}"


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--games", type=int, default=2000,
                        help="games for each player (default 2,000; the best needs some 0.1 s a game)")
    parser.add_argument("--seed", type=int, default=0,
                        help="of the deals, the coin, the ties and the players' chance (default 0)")
    parser.add_argument("--json", metavar="FILE", help="write the figures there as well")
    arguments = parser.parse_args()
    games, seed = arguments.games, arguments.seed
    if games < 1:
        parser.error(f"--games {games} given, expected at least 1")
    kernel, began = search(), time.perf_counter()
    env, observations = deal(games, seed)
    observations, starting = observations.copy(), ~observations[:, OWNERS].any(1)
    env.close()
    print(f"triple_triad against greedy, {games:,} games (seed {seed}); the agent starts {starting.sum():,} "
          f"of them. Per cent.\n{'':<22}{'won':>7}  "
          f"{'95 %':^14}{'drawn':>7}{'lost':>7}{'starts':>7}{'second':>7}", flush=True)
    report = {"games": games, "seed": seed, "players": {}}

    def add(name, won, drawn):
        report["players"][name] = found = figures(won, drawn, starting)
        print(row(name, found), flush=True)

    for name, player in PLAYERS.items():
        results = play(player(kernel, np.random.default_rng(seed)), games, seed)
        add(name, results == 1, results == 0)
    known = []
    results = play(best_player(kernel, None, known), games, seed)
    values = known[0]                                           # at the first move of each game
    add("best, played", results == 1, results == 0)
    add("best, expected", values, None)
    keys = np.random.default_rng(seed).integers(2**64, size=games, dtype=np.uint64)
    won = kernel.wins_knowing_ties(observations, keys)
    add("one who knows the ties", won, kernel.wins_knowing_ties(observations, keys, 5) & ~won)
    report["certain"] = float((values == 1).mean())
    report["seconds"] = time.perf_counter() - began
    print("\nstarts, second: won where the agent starts and where the opponent does. At the best player's "
          f"first move a win is certain in {report['certain']:.1%}\nof the games, and its smallest "
          f"probability in any is {values.min():.2f}. {report['seconds']:.0f} s of wall clock, one thread.")
    if arguments.json:
        Path(arguments.json).write_text(json.dumps(report, indent=1))
        print(f"Figures in {arguments.json}.")


if __name__ == "__main__":
    sys.exit(main())
