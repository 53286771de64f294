"""Checks of level 10: ratings, opponents of a league, replay of levels, archives, a null test of novelty, and
a diagnosis. The hidden tests draw other sizes, constants and edge cases.
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
        before = strengths
        strengths = won.sum(1) / (games / (strengths[:, None] + strengths)).sum(1)
        strengths /= np.exp(np.log(strengths).mean())
        if np.allclose(strengths, before, rtol=1e-9, atol=0):
            break
    return SCALE * np.log(strengths)


def table_of_games(rng, n, met=lambda i, j: True):
    """Everyone won and lost something; some play more than others, and a pair that has not `met` not at all.
    """
    chance = 1 / (1 + np.exp(-np.subtract.outer(*[rng.normal(0, 1, n)] * 2)))
    won = np.zeros((n, n))
    for i in range(n):
        for j in filter(lambda j: met(i, j), range(i)):         # noqa: B023 - used at once
            games = int(rng.integers(20, 200))
            won[i, j] = np.clip(rng.binomial(games, chance[i, j]), 1, games - 1)
            won[j, i] = games - won[i, j]
    return won


@register("elo")
def _(elo, rng, hidden):
    "the ratings of greatest likelihood, mean 0; no rating out of one game more than the games say"
    cases = [(table_of_games(rng, n),) for n in (2, 3, 5, 8, *((12, 25) if hidden else ()))]
    if hidden:                                          # far apart: one game in 500, and a chain of such
        cases += [(np.array([[0.0, 499.0], [1.0, 0.0]]),),
                  (np.array([[0.0, 90.0, 99.0], [5.0, 0.0, 80.0], [1.0, 4.0, 0.0]]),)]

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


@register("elo", part="edges")
def _(elo, rng, hidden):
    "whole numbers; pairs that never met; two groups joined by one pair; two who are equal"
    sizes = (4, 6, 9) if hidden else (4,)
    cases = [(table_of_games(rng, n, lambda i, j, n=n: (i - j) % n in (1, n - 1)).astype(int),)
             for n in sizes]                            # a ring: everyone met two others
    cases += [(table_of_games(rng, 6, lambda i, j: (i < 3) == (j < 3) or (i, j) == (3, 2)),)]
    if hidden:
        cases += [(np.array([[0, 7], [7, 0]]),), (np.array([[0, 1, 0], [1, 0, 1], [0, 1, 0]]),)]
    for (won,) in cases:
        found = np.asarray(elo(won.copy()), float)
        expect(np.isfinite(found).all(),
               f"its ratings are not finite where pairs never met: it gives {found.round(1)} for "
               f"{won.tolist()}; their games, 0, must not divide anything")
    same_values(elo, reference_elo, cases, rtol=0, atol=0.5)


# ---------------------------------------------------------------------- whom to play

def weighed(won, power):
    """The right distribution over a pool."""
    weights = (1 - won) ** power
    return weights / weights.sum() if weights.sum() > 0 else np.full(len(won), 1 / len(won))


@register("opponents")
def _(opponents, rng, hidden):
    "a distribution; who beats us more often comes more often"
    powers = (0.5, 1.0, 2.0, *((0.0, 0.1, 3.0, 7.5) if hidden else ()))
    cases = [(rng.uniform(0, 1, n), power) for n in (2, 5, 12, *((3, 40) if hidden else ()))
             for power in powers]
    same_values(opponents, weighed, cases, mistakes={
        "it plays those most whom we beat: weigh by the share that they win":
            lambda won, power: weighed(1 - won, power),
        "it forgets the power": lambda won, power: weighed(won, 1.0),
        "it always takes the one that beats us most, and forgets the others: weigh, do not choose":
            lambda won, power: np.eye(len(won))[won.argmin()],
        "its weights do not sum to 1": lambda won, power: (1 - won) ** power})


@register("opponents", part="edges")
def _(opponents, rng, hidden):
    "a pool that we always beat is still played; a pool of one; one who never loses to us"
    cases = [(np.ones(4), 1.0), (np.array([1.0, 0.0, 1.0]), 2.0), (np.full(6, 0.3), 2.0),
             (np.array([0.4]), 1.0)]
    if hidden:
        nearly = 1 - rng.uniform(1e-7, 9e-7, 5)         # we nearly always win: still not all alike
        cases += [(nearly, 1.0), (nearly, 2.0), (np.ones(1), 2.0), (np.zeros(3), 0.5), (np.ones(7), 0.0),
                  (np.array([1, 0, 1, 0]), 1), (np.array([1.0, 1.0, 0.5]), 0.0)]
    for won, power in cases:
        found = np.asarray(opponents(won.copy(), power), float)
        expect(np.isfinite(found).all(),
               f"it gives {found} for won={won.tolist()}, power={power:g}: where we beat everyone in the "
               "pool it divides by 0, so play all of them alike then")
    same_values(opponents, weighed, cases, rtol=1e-3)


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
def _(replay, rng, hidden):
    "the mixture of the paper on random levels; the unseen have their share"
    cases = [case_of_levels(rng, n) for n in (3, 8, 20, *((2, 7, 60) if hidden else ()))]
    if hidden:                                          # by rank alone, by age alone, nearly the first alone
        scores, seen, last, now, *_ = case_of_levels(rng, 12)
        cases += [(scores, seen, last, now, 1.0, 0.0), (scores, seen, last, now, 1.0, 1.0),
                  (scores, seen, last, now, 0.1, 0.3), (scores - 50, seen, last, now, 0.7, 0.2)]

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


@register("replay", part="edges")
def _(replay, rng, hidden):
    "none seen; all seen; what an unseen level holds means nothing"
    cases = [case_of_levels(rng, 6, seen=0.0), case_of_levels(rng, 6, seen=1.1)]
    if hidden:
        cases += [case_of_levels(rng, 1, seen=0.0), case_of_levels(rng, 1, seen=1.1),
                  (rng.normal(size=5), np.arange(5) == 3, rng.integers(1, 50, 5), 60, 0.5, 0.2)]
    for fill in (1e6, -1e6, *((np.nan,) if hidden else ())):
        scores, seen, last_played, now, *rest = case_of_levels(rng, 9)
        seen[:2] = True, False
        cases += [(np.where(seen, scores, fill), seen, np.where(seen, last_played, 0), now, *rest)]
    same_values(replay, replay_of, cases)


# ---------------------------------------------------------------------- an archive

@register("archive")
def _(novel, rng, hidden):
    "new against all that came before and were kept; the order counts; distance of all columns"
    shapes = [(30, 2, 0.3), (60, 3, 0.4), (40, 6, 0.8), (25, 1, 0.1)]
    shapes += [(300, 2, 0.05), (80, 20, 1.5), (50, 4, 3.0), (50, 4, 1e-6)] if hidden else []
    cases = [(rng.uniform(size=(n, d)), float(radius)) for n, d, radius in shapes]

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


@register("archive", part="edges")
def _(novel, rng, hidden):
    "one life; lives that are the same; a life that is exactly a radius away is not new"
    cases = [(np.array([[0.2, 0.7]]), 0.5), (np.full((4, 2), 0.3), 0.1),
             (np.array([[0.0], [0.5], [1.0]]), 0.5)]
    if hidden:
        cases += [(np.empty((0, 3)), 0.5), (np.array([[0, 0], [3, 4], [6, 8], [0, 0]]), 5.0),
                  (np.array([[0.0, 0.0], [0.0, 0.25], [0.25, 0.25], [0.5, 0.0]]), 0.25),
                  (-rng.uniform(size=(20, 2)) * 10, 2.0)]
    same_values(novel, lambda points, radius: Archive(radius).add(points), cases)


# ---------------------------------------------------------------------- a null test

SOURCES = {"inventing": "invents to the end", "still": "never changed", "noise": "makes noise",
           "fading": "stops inventing half-way"}


def stream(rng, kind, n=150):
    """Lives (n, 6): "inventing" has a new centre every 10 lives, "fading" in the first half alone, "still"
    two for ever, "noise" none."""
    if kind == "noise":
        return rng.uniform(size=(n, 6))
    centres = rng.uniform(size=(n // 10, 6)).repeat(10, 0)
    if kind == "still":
        centres = centres[:2][rng.integers(0, 2, n)] if n >= 20 else centres.repeat(n, 0)[:n]
    if kind == "fading":
        centres[n // 20 * 10:] = centres[:n // 20 * 10][rng.integers(0, n // 20 * 10, n - n // 20 * 10)]
    return centres + 0.01 * rng.normal(size=(n, 6))


def share_as_new(points, radius, rng, orders=200) -> float:
    """The share of shuffled orders with as many new lives in the last third: what p is an estimate of."""
    far = np.linalg.norm(points[:, None] - points, axis=-1) > radius

    def late(order):
        kept, news = [], []
        for i in order:
            news.append(far[i, kept].all())
            kept += [i] if news[-1] else []
        return sum(news[-(len(order) // 3):])

    real = late(range(len(points)))
    return sum(late(rng.permutation(len(points))) >= real for _ in range(orders)) / orders


def probability(found) -> float:
    """What an answer gave, as a number."""
    values = np.ravel(found) if found is not None else []
    expect(len(values) == 1 and 0 <= float(values[0]) <= 1,
           f"it returns {found!r}, expected a number from 0 to 1")
    return float(values[0])


@register("null")
def _(p_value, rng, hidden):
    "small where a source goes on inventing; else the share of shuffled orders that are as new late"
    # Lives by the three, so that all agree on what the last third is.
    kinds = [("inventing", 90, 0.3), ("noise", 60, 0.5), ("noise", 60, 0.6), ("still", 30, 0.05)]
    if hidden:
        kinds += [("inventing", 60, 0.2), ("fading", 60, 0.3), ("noise", 51, 0.4), ("noise", 63, 0.55)]
    for kind, n, radius in kinds:
        points = stream(rng, kind, n)
        found = probability(p_value(points.copy(), radius,
                                    np.random.default_rng(int(rng.integers(1 << 30)))))
        expect(found > 0,
               "it gives exactly 0: the real order is one of the possible ones, so count it too, (1 + as "
               "many) / (1 + orders)")
        if kind == "inventing":
            expect(found < 0.05,
                   f"for a source that invents to the end it gives {found:.2f}, expected less than 0.05: "
                   "count how many of the shuffled orders have as many new lives in the last third as the "
                   "real one")
        share = share_as_new(points, radius, rng)
        expect(abs(found - share) < 0.35,           # more than five deviations of 99 and of 200 orders
               f"for {n} lives of a source that {SOURCES[kind]} it gives {found:.2f}, but of 200 shuffled "
               f"orders {share:.0%} have as many new lives in the last third: compare that third with the "
               "same third of shuffled orders")


@register("null", part="edges")
def _(p_value, rng, hidden):
    "lives that are all the same give 1; the generator decides; the points stay as they were"
    sizes = (30, 31, 3) if hidden else (30,)
    for n in sizes:
        found = probability(p_value(np.full((n, 2), 0.5), 0.3, np.random.default_rng(1)))
        expect(found == 1,
               f"where all lives are the same it gives {found:.2f}, expected 1: every order is as new as the "
               "real one, with 0 late news")
    for n in (30, *((31,) if hidden else ())):
        points = next(each for each in (stream(rng, "noise", n) for _ in range(1000))
                      if 0.2 < share_as_new(each, 0.6, rng, 100) < 0.8)
        before, seed = points.copy(), int(rng.integers(1 << 30))
        found = [probability(p_value(points, 0.6, np.random.default_rng(seed))) for _ in range(2)]
        expect(np.array_equal(points, before), "it shuffles the points in place: work on a copy")
        expect(found[0] == found[1],
               f"with the same generator it gives {found[0]:.2f} and then {found[1]:.2f}: draw the orders "
               "from `rng` alone")
        others = {probability(p_value(points, 0.6, np.random.default_rng(seed + k))) for k in range(1, 9)}
        expect(len(others) > 1, "eight generators give the same number: are the orders drawn from `rng`?")


# ---------------------------------------------------------------------- which bug was planted?

def planted(kind):
    """A version of `replay` with one bug, or the right one."""
    def probabilities(scores, last_played, now, temperature, staleness):
        given = -scores if kind == "ranks" else scores
        ages = last_played - last_played.min() + 1 if kind == "ages" else now - last_played
        share = 1 - staleness if kind == "share" else staleness
        return (1 - share) * rank_probabilities(given, temperature) + share * ages / ages.sum()
    return probabilities


def ask_about(diagnose, kind):
    """What it says of a sampler of that kind, and the number of levels in each of its questions."""
    asked = []

    def probabilities(scores, last_played, now, temperature, staleness):
        scores, last_played = np.asarray(scores, float), np.asarray(last_played)
        asked.append(len(scores))
        expect(scores.shape == last_played.shape and scores.ndim == 1,
               f"it asks about scores {scores.shape} and last_played {last_played.shape}, expected one of "
               "each a level")
        expect(temperature > 0 and 0 <= staleness <= 1 and (last_played <= now).all(),
               f"it asks about levels that there cannot be: temperature={temperature}, "
               f"staleness={staleness}, last_played={last_played.tolist()}, now={now}")
        return planted(kind)(scores, last_played, now, temperature, staleness)

    found = diagnose(probabilities)
    expect(asked, "it never calls the sampler: ask it for its probabilities on levels that you make up")
    return found, asked


@register("diagnose", live=True)
def _(diagnose, rng, hidden):
    "the right one and each planted bug, in any order, on samplers of any number of levels"
    for kind in rng.permutation(["right", "ranks", "ages", "share"] * (8 if hidden else 3)).tolist():
        found, _ = ask_about(diagnose, kind)
        expect(isinstance(found, str) and found in ("right", "ranks", "ages", "share"),
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


@register("diagnose", part="thrift", live=True)
def _(diagnose, rng, hidden):
    "right with at most three questions"
    for kind in rng.permutation(["right", "ranks", "ages", "share"] * (3 if hidden else 1)).tolist():
        found, asked = ask_about(diagnose, kind)
        expect(found == kind, f"it says {found!r} of the sampler {kind!r}; first pass the test above")
        expect(len(asked) <= 3, f"it asks {len(asked)} times about the sampler {kind!r}, expected at most "
                                "three: choose cases in which one part of the sampler alone decides")
