"""What may be said of games between players: shares with intervals, Elo by maximum likelihood, cycles.

`counts` is an integer array (n, n, 3): counts[i, j] are the games that player i on side 0 won, drew and lost
against player j on side 1. Games of a player against itself are ignored.

Ratings follow Bradley and Terry (1952) with Davidson's ties (1970). With strengths s = 10 ** (elo / 400),

    P(i beats j) = s_i / Z      P(tie) = draw * sqrt(s_i s_j) / Z       Z = s_i + s_j + draw * sqrt(s_i s_j)

The likelihood is concave in the logarithms, so Newton's method finds its maximum. A rating is one number, so
it can only say that i beats j and j beats k if i beats k: `cycle` looks for what it cannot say.
"""

from typing import NamedTuple

import numpy as np

ELO = 400 / np.log(10)          # Elo of a factor e in strength
SURE = 3.0                      # standard errors of a win that counts as one in `cycle`


class Ratings(NamedTuple):
    """elo (..., n), mean 0; draw (...), Davidson's weight of a tie, 0 where no game was drawn."""

    elo: np.ndarray
    draw: np.ndarray


def wilson(won, games, z=1.96):
    """Ends of Wilson's interval (1927) of a share: `won` of `games`, draws half; z=1.96 for 95 %.

    With draws it is a little wider than needed. Without games it is from 0 to 1.
    """
    games = np.asarray(games, float)
    safe = np.maximum(games, 1)
    share = np.asarray(won, float) / safe
    centre = (share + z**2 / (2 * safe)) / (1 + z**2 / safe)
    half = z / (1 + z**2 / safe) * np.sqrt(share * (1 - share) / safe + z**2 / (4 * safe**2))
    low, high = np.clip(centre - half, 0, 1), np.clip(centre + half, 0, 1)
    return np.where(games > 0, low, 0.0), np.where(games > 0, high, 1.0)


def both_sides(counts):
    """Won, drawn and lost (..., n, n, 3) by i against j on either side, zeros on the diagonal."""
    n = counts.shape[-2]
    total = counts + np.swapaxes(counts, -3, -2)[..., ::-1]
    return total * ~np.eye(n, dtype=bool)[..., None]


def expected(strengths, eta):
    """P(i beats j) and P(tie), (..., n, n), for log strengths (..., n) and the log of the draw (...)."""
    difference = strengths[..., :, None] - strengths[..., None, :]
    win, loss = np.exp(difference / 2), np.exp(-difference / 2)
    tie = np.exp(eta)[..., None, None]
    total = win + loss + tie
    return win / total, tie / total


def ratings(counts, prior: float = 1.0) -> Ratings:
    """The ratings under which `counts` (..., n, n, 3) are most probable.

    prior   games added to each pair that has played, half of them won by either: without them the rating of
            a player that always wins is infinite
    """
    total = both_sides(np.asarray(counts, float))
    total[..., [0, 2]] += (prior / 2 * (total.sum(-1) > 0))[..., None]
    games, ties, score = total.sum(-1), total[..., 1], total[..., 0] + total[..., 1] / 2
    n, drawn = games.shape[-1], ties.sum((-2, -1)) / 2
    draws = drawn > 0
    strengths, eta = np.zeros(games.shape[:-1]), np.where(draws, 0.0, -np.inf)
    for _ in range(200):
        win, tie = expected(strengths, eta)
        mean = win + tie / 2
        variance = games * (win + tie / 4 - mean**2)
        slope = np.concatenate([(score - games * mean).sum(-1),
                                (drawn - (games * tie).sum((-2, -1)) / 2)[..., None]], -1)
        curve = np.zeros((*games.shape[:-2], n + 1, n + 1))
        curve[..., :n, :n] = np.eye(n) * variance.sum(-1)[..., None] - variance + 1 / n     # the mean stays 0
        curve[..., :n, n] = curve[..., n, :n] = (games * tie * (0.5 - mean)).sum(-1)
        curve[..., n, n] = np.where(draws, (games * tie * (1 - tie)).sum((-2, -1)) / 2, 1)
        step = np.linalg.solve(curve + 1e-12 * np.eye(n + 1), slope[..., None])[..., 0]
        step /= np.maximum(1, np.abs(step).max(-1, keepdims=True))
        strengths, eta = strengths + step[..., :n], eta + step[..., n]
        if np.abs(step).max() < 1e-9:
            break
    return Ratings(ELO * (strengths - strengths.mean(-1, keepdims=True)), np.exp(eta))


def predicted(rated: Ratings):
    """The share that i wins against j, draws half, according to the ratings: (..., n, n)."""
    win, tie = expected(rated.elo / ELO, np.log(np.maximum(rated.draw, 1e-300)))
    return win + tie / 2


def bootstrap(counts, *, resamples: int = 200, prior: float = 1.0, seed: int = 0, level: float = 0.95):
    """Ends (n,) and (n,) of the ratings' intervals: the games of each pair and seating are drawn anew.

    To each pair and seating the prior's games are added first: of a pair in which one player won every game,
    games drawn from these alone would always be won.
    """
    counts = np.asarray(counts, float)
    smooth = counts + prior / 4 * (counts.sum(-1, keepdims=True) > 0) * [1, 0, 1]
    total = np.maximum(smooth.sum(-1, keepdims=True), 1e-9)
    chances = np.where(counts.sum(-1, keepdims=True) > 0, smooth / total, [1, 0, 0])
    drawn = np.random.default_rng(seed).multinomial(counts.sum(-1).astype(int), chances,
                                                    (resamples, *counts.shape[:2]))
    elo = ratings(drawn, prior).elo
    return tuple(np.quantile(elo, [(1 - level) / 2, (1 + level) / 2], axis=0))


def cycle(counts) -> list[int]:
    """A shortest cycle of players each of whom surely beats the next, the last the first; [] if none.

    Surely: the share won is above a half by SURE standard errors, so that in a matrix of many pairs chance
    makes no cycle.
    """
    total = both_sides(np.asarray(counts))
    low, _ = wilson(total[..., 0] + total[..., 1] / 2, total.sum(-1), SURE)
    beaten = [np.flatnonzero(row > 0.5).tolist() for row in low]
    shortest = []
    for start in range(len(beaten)):
        paths, seen = [[start]], {start}
        while paths and (not shortest or len(paths[0]) < len(shortest)):
            path = paths.pop(0)
            if start in beaten[path[-1]]:
                shortest = path
                break
            for other in beaten[path[-1]]:
                if other not in seen:
                    seen.add(other)
                    paths.append([*path, other])
    return shortest
