"""Does novelty keep coming? Measures of it, and the controls without which they are worth nothing.

    points = describe(env.lives())                      (n, 20), a row a life, in the order of their ends
    new = Archive(radius=0.25).add(points)              which lives were unlike all before them
    coverage(points, bins=4)                            cells of the space that were seen so far
    print(judge({"trained": points, "random": ..., "frozen": ..., "shadow": ...}, radius=0.25))

A measure of novelty rises for many reasons that have nothing to do with invention: chance (a noisy television
is new in every frame), a world that moves by itself, a radius so small that nothing is ever the same. Each
has a control, and `judge` believes a stream only where it beats them all:

    random      policies that draw their actions: what chance alone finds
    frozen      a policy that does not learn any more, in the same moving world: what the world alone brings
    shuffled    the stream's own lives in another order. A source that does not change is as new late as its
                shuffled self; one that goes on inventing is newer, for the shuffled one has seen it all early
    columns     each column shuffled by itself: lives that nobody led, with the same averages. Of these more
                are new, unless the numbers of a life have nothing to do with each other, as noise has
    shadow      the same training with another seed. It says how far two runs differ by luck: less is no gain

Novelty search and its archive: Lehman and Stanley 2011; shadow runs: Bedau et al. 1998.
"""

from dataclasses import dataclass

import numpy as np

from puffer_min.course.statistics import Interval, interval, mean

LATE = 1 / 3                    # of a stream: the part that counts as late
BLOCKS = 12                     # parts of the late third, whose rates the bootstrap draws from
TRADES = {"forager": ("herbs", "fish"), "woodcutter": ("wood",), "miner": ("mine",), "hunter": ("fight",),
          "trader": ("trade", "give"), "crafter": ("craft",)}


def describe(lives) -> np.ndarray:
    """What a life was like: (n, 20) float32, each number from 0 to 1, from the records of `mmo.lives()`.

    The shares of time by activity (11), the levels of the skills (8, 0 for one never used, 1 for the top),
    and the share of the world's regions that it saw, as a square root, for most lives see few.
    """
    return np.concatenate([lives["activity"], (lives["levels"] - 1) / 9,
                           np.sqrt(lives["regions"][:, None] / 256)], axis=1).astype(np.float32)


def main_trades(lives, activities) -> np.ndarray:
    """(n,) int: the number in TRADES of what each life spent most of its working time on, -1 if it did not
    work. `activities` are the names of the columns of lives["activity"], `mmo.activities`.
    """
    spent = np.stack([lives["activity"][:, [activities.index(name) for name in names]].sum(1)
                      for names in TRADES.values()], axis=1)
    return np.where(spent.max(1) > 0, spent.argmax(1), -1)


def trade_shares(trades, windows: int = 10) -> dict[str, np.ndarray]:
    """By trade, the share of the lives whose main trade it was, in each of `windows` equal parts of (n,)."""
    parts = np.array_split(trades, windows)
    return {name: np.array([(part == number).mean() for part in parts]) for number, name in enumerate(TRADES)}


class Archive:
    """The points that were new: further than `radius` (Euclidean) from all that are in it already."""

    def __init__(self, radius: float):
        if not radius > 0:
            raise ValueError(f"radius={radius} given, expected a number above 0")
        self.radius, self.points = radius, None

    def distances(self, points) -> np.ndarray:
        """(n,) float64: how far each point is from the nearest in the archive; infinite if it is empty."""
        if self.points is None:
            return np.full(len(points), np.inf)
        squares = ((points**2).sum(1)[:, None] - 2 * points @ self.points.T + (self.points**2).sum(1)).min(1)
        return np.sqrt(np.maximum(squares, 0))

    def add(self, points) -> np.ndarray:
        """(n,) bool: which points (n, d) were new, one after the other, in their order."""
        points, new = np.asarray(points, float), np.zeros(len(points), bool)
        for start in range(0, len(points), 256):
            block = points[start:start + 256]
            for i in np.flatnonzero(self.distances(block) > self.radius):
                kept = self.points
                if kept is None or self.distances(block[i:i + 1])[0] > self.radius:
                    self.points = block[i:i + 1] if kept is None else np.vstack([kept, block[i]])
                    new[start + i] = True
        return new


def coverage(points, bins: int = 4) -> np.ndarray:
    """(n,) int: how many cells of a grid the first 1, 2, ... n points have entered; `bins` cells a column."""
    cells = np.minimum((np.asarray(points) * bins).astype(np.int64), bins - 1)
    first = np.unique(cells, axis=0, return_index=True)[1]
    found = np.zeros(len(cells), np.int64)
    found[first] = 1
    return found.cumsum()


def shuffled(points, seed: int = 0) -> np.ndarray:
    """The same points in another order."""
    return np.random.default_rng(seed).permutation(points)


def shuffled_columns(points, seed: int = 0) -> np.ndarray:
    """Every column in an order of its own: the averages stay, what belonged together does not."""
    return np.random.default_rng(seed).permuted(points, axis=0)


def late_rate(new) -> Interval:
    """New lives of a thousand in the last third of the stream, with its bootstrap interval over BLOCKS parts.

    Raises ValueError for a stream too short for that many parts.
    """
    late = np.asarray(new)[-int(len(new) * LATE):] if len(new) else np.empty(0)
    if len(late) < BLOCKS:
        raise ValueError(f"a stream of {len(new)} lives given, expected at least {int(BLOCKS / LATE)}")
    return interval(mean, np.array([1000 * part.mean() for part in np.array_split(late, BLOCKS)]))


@dataclass(frozen=True)
class Verdict:
    """What remains of a stream's late novelty beside its controls: `rates` by name, "trained" among them.

    luck        how far trained and shadow differ, in new lives of a thousand
    beaten      the controls that trained exceeds, by interval and by more than luck; "columns" is beaten
                where fewer are new
    """

    rates: dict[str, Interval]
    luck: float
    beaten: tuple[str, ...]

    @property
    def keeps_coming(self) -> bool:
        """Whether novelty keeps coming for a reason that no control explains."""
        return set(self.beaten) == set(self.rates) - {"trained", "shadow"}

    @property
    def explained_by(self) -> tuple[str, ...]:
        """The controls that do as well."""
        return tuple(name for name in self.rates if name not in (*self.beaten, "trained", "shadow"))

    def __str__(self):
        lines = [f"{name:9} {rate} new of 1,000 late lives" for name, rate in self.rates.items()]
        end = ("novelty keeps coming, and no control explains it" if self.keeps_coming else
               f"not shown: {', '.join(self.explained_by)} would look the same")
        return "\n".join([*lines, f"two seeds differ by {self.luck:.3g}", end])


def judge(streams: dict[str, np.ndarray], radius: float, seed: int = 0) -> Verdict:
    """Late novelty of streams["trained"] beside its controls; all are cut to as many lives as the shortest.

    streams     points (n, d) by name: "trained", "random", "frozen" and "shadow"; the shuffled ones are made
                here. Raises ValueError where one is missing.
    """
    missing = {"trained", "random", "frozen", "shadow"} - set(streams)
    if missing:
        raise ValueError(f"streams: {', '.join(sorted(missing))} missing, expected trained, random, frozen "
                         "and shadow: without its controls novelty says nothing")
    length = min(map(len, streams.values()))
    parts = {name: thin(points, length) for name, points in streams.items()}
    parts["shuffled"] = shuffled(parts["trained"], seed)
    parts["columns"] = shuffled_columns(parts["trained"], seed)
    rates = {name: late_rate(Archive(radius).add(points)) for name, points in parts.items()}
    trained = rates["trained"]
    luck = abs(trained.estimate - rates["shadow"].estimate)
    beaten = [name for name in ("random", "frozen", "shuffled") if trained.low > rates[name].high
              and trained.estimate - rates[name].estimate > luck]
    beaten += ["columns"] if trained.high < rates["columns"].low else []
    return Verdict(rates, luck, tuple(beaten))


def thin(points, length: int) -> np.ndarray:
    """`length` of the points, evenly spread over the stream, in order."""
    return np.asarray(points)[np.linspace(0, len(points) - 1, length).astype(int)]
