"""Checks of level 10: ratings, opponents of a league, replay of levels, archives, a null test of novelty, and
a diagnosis.
"""

import numpy as np

from puffer_min.course.check import register
from puffer_min.course.claims import expect, same_values
from puffer_min.course.novelty import Archive
from puffer_min.selfplay.curriculum import rank_probabilities, stale_probabilities

SCALE = 400 / np.log(10)                        # Elo points of a factor e in the odds

# ---------------------------------------------------------------------- Elo by maximum likelihood


def likelihood(won, ratings) -> float:
    """The log-likelihood of games `won` (n, n) under ratings (n,)."""
    difference = (ratings[:, None] - ratings) / SCALE
    return float(-(won * np.logaddexp(0, -difference)).sum())


def reference_elo(won) -> np.ndarray:
    """By the minorisation of Zermelo (1929) and Hunter (2004)."""
    strengths, games = np.ones(len(won)), won + won.T
    for _ in range(5000):
        strengths = won.sum(1) / (games / (strengths[:, None] + strengths)).sum(1)
        strengths /= np.exp(np.log(strengths).mean())
    return SCALE * np.log(strengths)


def table_of_games(rng, n):
    """Everyone won and lost something; some play more than others."""
    chance = 1 / (1 + np.exp(-np.subtract.outer(*[rng.normal(0, 1, n)] * 2)))
    won = np.zeros((n, n))
    for i in range(n):
        for j in range(i):
            games = int(rng.integers(20, 200))
            won[i, j] = np.clip(rng.binomial(games, chance[i, j]), 1, games - 1)
            won[j, i] = games - won[i, j]
    return won


@register("elo")
def _(elo, rng):
    "the ratings of greatest likelihood, mean 0; no rating out of one game more than the games say"
    cases = [(table_of_games(rng, n),) for n in (2, 3, 5, 8)]

    def of_shares(won):
        """The share won against everybody, as if all opponents were of the same strength."""
        share = won.sum(1) / (won + won.T).sum(1)
        ratings = SCALE * np.log(share / (1 - share))
        return ratings - ratings.mean()

    def one_pass(won, step=32):
        ratings = np.zeros(len(won))
        for i in range(len(won)):
            for j in range(len(won)):
                for _ in range(int(won[i, j])):
                    change = step / (1 + np.exp((ratings[i] - ratings[j]) / SCALE))
                    ratings[i], ratings[j] = ratings[i] + change, ratings[j] - change
        return ratings - ratings.mean()

    same_values(elo, reference_elo, cases, rtol=0, atol=0.5, mistakes={
        "it rates by the share won, as if everybody had met the same opponents: a win over a strong one "
        "counts more": of_shares,
        "it goes through the games once with K = 32, so the order of the games decides: maximise the "
        "likelihood": one_pass,
        "its ratings do not have mean 0: only differences mean something, so fix the mean":
            lambda won: reference_elo(won) - reference_elo(won)[0],
        "it gives natural logarithms of the odds: an Elo point is ln(10) / 400 of them":
            lambda won: reference_elo(won) / SCALE,
        "rows and columns are exchanged: won[i, j] are the games that i won":
            lambda won: reference_elo(won.T)})


# ---------------------------------------------------------------------- whom to play

@register("opponents")
def _(opponents, rng):
    "a distribution; who beats us more often comes more often; a pool that we always beat is still played"
    def reference(won, power):
        weights = (1 - won) ** power
        return weights / weights.sum() if weights.sum() > 0 else np.full(len(won), 1 / len(won))

    cases = [(rng.uniform(0, 1, n), float(power)) for n in (1, 2, 5, 12) for power in (0.5, 1.0, 2.0)]
    cases += [(np.ones(4), 1.0), (np.array([1.0, 0.0, 1.0]), 2.0), (np.full(6, 0.3), 2.0)]
    expect(np.isfinite(np.asarray(opponents(np.ones(4), 1.0), float)).all(),
           "where we beat everyone in the pool it divides by 0: play all of them alike then")
    same_values(opponents, reference, cases, mistakes={
        "it plays those most whom we beat: weigh by the share that they win":
            lambda won, power: reference(1 - won, power),
        "it forgets the power": lambda won, power: reference(won, 1.0),
        "it always takes the one that beats us most, and forgets the others: weigh, do not choose":
            lambda won, power: np.eye(len(won))[won.argmin()],
        "its weights do not sum to 1": lambda won, power: (1 - won) ** power})


# ---------------------------------------------------------------------- prioritised level replay

def replay_of(scores, seen, last_played, now, temperature, staleness):
    """The right distribution over levels, unseen ones included."""
    found = np.zeros(len(scores))
    if seen.any():
        found[seen] = ((1 - staleness) * rank_probabilities(scores[seen], temperature)
                       + staleness * stale_probabilities(last_played[seen], now)) * seen.mean()
    return found + ~seen / len(scores)


def case_of_levels(rng, n, seen=0.7):
    now = int(rng.integers(50, 90))
    return (rng.normal(size=n), rng.random(n) < seen, rng.integers(1, 50, n), now,
            float(rng.uniform(0.3, 1.5)), float(rng.uniform(0.1, 0.5)))


@register("replay")
def _(replay, rng):
    "the mixture of the paper on random levels; none seen; all seen; the unseen have their share"
    cases = [case_of_levels(rng, n) for n in (3, 8, 20)]
    cases += [case_of_levels(rng, 6, seen=0.0), case_of_levels(rng, 6, seen=1.1)]

    def changed(**how):
        def wrong(scores, seen, last_played, now, temperature, staleness):
            ages = last_played if how.get("ages") else now - last_played
            if not seen.any():
                return replay_of(scores, seen, last_played, now, temperature, staleness)
            given = -scores if how.get("ranks") else scores
            found, rest = np.zeros(len(scores)), np.ones(1) if how.get("share") else seen.mean()
            by_score = rank_probabilities(given[seen], 1 / temperature if how.get("power") else temperature)
            if how.get("values"):
                by_score = np.exp(scores[seen] / temperature) / np.exp(scores[seen] / temperature).sum()
            found[seen] = ((1 - staleness) * by_score + staleness * ages[seen] / ages[seen].sum()) * rest
            return found + (0 if how.get("share") else ~seen / len(scores))
        return wrong

    same_values(replay, replay_of, cases, mistakes={
        "the lowest score has rank 1: the highest is the first": changed(ranks=True),
        "it prefers the levels that were played last: a level's age is now - last_played": changed(ages=True),
        "unseen levels are never drawn: they have (number unseen) / n together": changed(share=True),
        "its exponent is the temperature: (1 / rank) to the power 1 / temperature": changed(power=True),
        "it weighs by the scores themselves: the paper takes their ranks, which no outlier moves":
            changed(values=True)})


# ---------------------------------------------------------------------- an archive

@register("archive")
def _(novel, rng):
    "new against all that came before and were kept; the order counts; distance of all columns"
    cases = [(rng.uniform(size=(n, d)), float(radius))
             for n, d, radius in ((1, 2, 0.5), (30, 2, 0.3), (60, 3, 0.4), (40, 6, 0.8), (25, 1, 0.1))]

    def against_everyone(points, radius):
        return np.array([all(np.linalg.norm(points[i] - points[j]) > radius for j in range(i))
                         for i in range(len(points))])

    def against_the_last(points, radius):
        return np.array([i == 0 or np.linalg.norm(points[i] - points[i - 1]) > radius
                         for i in range(len(points))])

    def by_columns(points, radius):
        kept, new = [], []
        for point in points:
            new.append(all(np.abs(point - other).max() > radius for other in kept))
            kept += [point] if new[-1] else []
        return np.array(new)

    same_values(novel, lambda points, radius: Archive(radius).add(points), cases, mistakes={
        "it compares with every life before: only those that were new are in the archive": against_everyone,
        "it compares with the life before alone": against_the_last,
        "it compares column by column: take the Euclidean distance": by_columns,
        "the first life of all is not new, but there is nothing that it could be like":
            lambda points, radius: np.concatenate([[False], Archive(radius).add(points)[1:]]),
        "new and old are exchanged": lambda points, radius: ~Archive(radius).add(points)})


# ---------------------------------------------------------------------- a null test

def stream(rng, kind, n=150):
    """Lives (n, 6): "inventing" has a new centre every 10 lives, "still" two for ever, "noise" none."""
    if kind == "noise":
        return rng.uniform(size=(n, 6))
    centres = (rng.uniform(size=(n // 10, 6)).repeat(10, 0) if kind == "inventing" else
               rng.uniform(size=(2, 6))[rng.integers(0, 2, n)])
    return centres + 0.01 * rng.normal(size=(n, 6))


@register("null")
def _(p_value, rng):
    "small where a source goes on inventing; spread over 0 to 1 where it does not change; noise is no news"
    def ask(kind, radius=0.3):
        points = stream(rng, kind)
        before = points.copy()
        found = p_value(points, radius, np.random.default_rng(int(rng.integers(1 << 30))))
        expect(np.array_equal(points, before), "it shuffles the points in place: work on a copy")
        expect(found is not None and 0 <= float(found) <= 1,
               f"it returns {found!r}, expected a number from 0 to 1")
        return float(found)

    inventing = [ask("inventing") for _ in range(4)]
    expect(max(inventing) < 0.05,
           f"for a source that invents to the end it gives {max(inventing):.2f}, expected less than 0.05: "
           "count how many of the shuffled orders have as many new lives in the last third as the real one")
    noise = [ask("noise", radius) for radius in (0.45, 0.45, 0.5, 0.5, 0.55, 0.55, 0.5, 0.45)]
    expect(min(noise) > 0 and ask("still") > 0,
           "it gives exactly 0: the real order is one of the possible ones, so count it too, (1 + as many) / "
           "(1 + orders)")
    expect(np.mean(noise) > 0.2,
           f"for noise it gives {np.mean(noise):.2f} on average, so it takes a noisy television for an "
           "inventor: compare the last third with that of shuffled orders, not with the first third")
    expect(np.mean(noise) < 0.9 and np.std(noise) > 0.02,
           f"for noise it gives {np.mean(noise):.2f} and hardly varies: are the orders really shuffled, and "
           "by `rng`?")


# ---------------------------------------------------------------------- which bug was planted?

def planted(kind):
    """A version of `replay` with one bug, or the right one."""
    def probabilities(scores, last_played, now, temperature, staleness):
        given = -scores if kind == "ranks" else scores
        ages = last_played - last_played.min() + 1 if kind == "ages" else now - last_played
        share = 1 - staleness if kind == "share" else staleness
        return (1 - share) * rank_probabilities(given, temperature) + share * ages / ages.sum()
    return probabilities


@register("diagnose", live=True)
def _(diagnose, rng):
    "the right one and each planted bug, in any order, on samplers of any number of levels"
    kinds = ["right", "ranks", "ages", "share"] * 3
    for kind in rng.permutation(kinds):
        asked = []

        def probabilities(scores, last_played, now, temperature, staleness, asked=asked, kind=kind):
            scores, last_played = np.asarray(scores, float), np.asarray(last_played)
            asked.append(len(scores))
            return planted(kind)(scores, last_played, now, temperature, staleness)

        found = diagnose(probabilities)
        expect(asked, "it never calls the sampler: ask it for its probabilities on levels that you make up")
        expect(found in ("right", "ranks", "ages", "share"),
               f'it returns {found!r}, expected "right", "ranks", "ages" or "share"')
        sentences = {
            "right": f"it accuses the right sampler of {found!r}: does your case have ties, or a staleness "
                     "of a half?",
            "ranks": f"it says {found!r} of a sampler that replays the lowest scores most: with staleness 0 "
                     "the highest score must be the most probable",
            "ages": f"it says {found!r} of a sampler that replays what was played last: with staleness 1 the "
                    "level that waited longest must be the most probable",
            "share": f"it says {found!r} of a sampler that exchanges staleness and 1 - staleness: with "
                     "staleness 0 the ages must not matter"}
        expect(found == kind, sentences[kind])
