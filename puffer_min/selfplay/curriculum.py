"""Curricula over levels that have a seed: which level does an environment play next?

    levels = PrioritisedReplay(num_levels=300)              or Uniform(num_levels=300)
    env = Levels(envs.make("grid", 256, task="maze", size=11), levels)
    learner = LevelLearner(env, config, score="value_loss")     or "regret"
    while learner.steps < 1_000_000:
        learner.iterate()

The method is prioritised level replay (Jiang, Grefenstette and Rocktäschel 2021, arXiv:2010.03934). Every
level that was played keeps a score, the higher the more there is to learn from it. A level that was not
played yet is drawn with the probability with which one is missing, (N - seen) / N. Else a level is replayed:

    P_replay = (1 - staleness) P_score + staleness P_stale
    P_score  ~ (1 / rank of its score)^(1 / temperature)
    P_stale  ~ episodes since the level was last played

Two scores: `value_loss`, the mean over an episode of the positive part of the advantage (Jiang et al. 2021,
"Replay-guided adversarial environment design"), which needs the learner alone; and `regret`, the best return
that the level allows less the one reached, which only a simulator that knows its shortest paths can tell. A
curriculum by regret is the oracle against which the first is judged.
"""

import numpy as np

from envs.core.settings import LONGEST, choice, number, refusal, whole
from puffer_min.learner.ppo import PPO

LAST_LEVEL = 2**62 - 1


def rank_probabilities(scores, temperature: float) -> np.ndarray:
    """P_score of levels with these scores (n,): (1 / rank)^(1 / temperature), made to sum to 1; float64.

    Rank 1 is the highest score. Of equal scores the earlier has the lower rank.
    """
    order = np.argsort(-np.asarray(scores, float), kind="stable")
    ranks = np.empty(len(order))
    ranks[order] = np.arange(1, len(order) + 1)
    weights = ranks ** (-1 / temperature)
    return weights / weights.sum()


def stale_probabilities(last_played, now: int) -> np.ndarray:
    """P_stale of levels last played as episode number last_played (n,), before episode `now`; float64.

    Uniform where none has waited.
    """
    waited = now - np.asarray(last_played, float)
    return waited / waited.sum() if waited.sum() > 0 else np.full(len(waited), 1 / len(waited))


class Uniform:
    """Every level from start_level to start_level + num_levels - 1 with the same probability.

    Raises TypeError or ValueError for a range that is no range of level seeds.
    """

    def __init__(self, num_levels: int, start_level: int = 0, *, seed: int = 0):
        self.num_levels = whole("num_levels", num_levels, 1, LONGEST)
        self.start_level = whole("start_level", start_level, 0, LAST_LEVEL - num_levels + 1)
        self.chance = np.random.default_rng(seed)
        self.episodes = np.zeros(self.num_levels, np.int64)     # how often each level was drawn

    def probabilities(self) -> np.ndarray:
        """(num_levels,) float64: how probable each level is as the next one."""
        return np.full(self.num_levels, 1 / self.num_levels)

    def draw(self) -> int:
        """The seed of the level to play next."""
        index = self.chance.choice(self.num_levels, p=self.probabilities())
        self.episodes[index] += 1
        self.drawn(index)
        return self.start_level + int(index)

    def drawn(self, index: int) -> None:
        """Called when level number `index` of the range begins."""

    def record(self, level_seed: int, score: float) -> None:
        """Tell the score of an episode that ended. Raises ValueError for a level outside the range."""
        index = level_seed - self.start_level
        if not 0 <= index < self.num_levels:
            last = self.start_level + self.num_levels - 1
            raise refusal("level_seed", level_seed, f"one of the levels {self.start_level} to {last}")
        self.scored(int(index), float(score))

    def scored(self, index: int, score: float) -> None:
        """Called with the score of an episode of level number `index`; uniform draws do not need it."""


class PrioritisedReplay(Uniform):
    """Levels by what there is to learn from them; see the head of the file.

    temperature   how little the ranks matter: towards 0 only the first is replayed
    staleness     share of the replays that goes to levels which waited longest, 0 to 1
    """

    def __init__(self, num_levels: int, start_level: int = 0, *, seed: int = 0, temperature: float = 0.1,
                 staleness: float = 0.1):
        super().__init__(num_levels, start_level, seed=seed)
        self.temperature = number("temperature", temperature, above=0)
        self.staleness = number("staleness", staleness, 0, 1)
        self.scores = np.zeros(self.num_levels)
        self.seen = np.zeros(self.num_levels, bool)             # a score is known
        self.last_played = np.zeros(self.num_levels, np.int64)  # number of the episode
        self.now = 0                                            # episodes begun so far

    def replay_probabilities(self) -> np.ndarray:
        """P_replay, (num_levels,) float64; 0 for levels without a score."""
        replay = np.zeros(self.num_levels)
        if self.seen.any():
            by_score = rank_probabilities(self.scores[self.seen], self.temperature)
            by_age = stale_probabilities(self.last_played[self.seen], self.now)
            replay[self.seen] = (1 - self.staleness) * by_score + self.staleness * by_age
        return replay

    def probabilities(self):
        unseen = ~self.seen
        return self.replay_probabilities() * self.seen.mean() + unseen / self.num_levels

    def drawn(self, index):
        self.now += 1
        self.last_played[index] = self.now

    def scored(self, index, score):
        self.scores[index], self.seen[index] = score, True


class Levels:
    """An environment whose every episode is on a level that `levels` draws. All else is the environment's.

    env   native, with `set_level(index, level_seed)` and `level_seeds`, such as `grid`
    """

    def __init__(self, env, levels: Uniform):
        if not hasattr(env, "set_level"):
            raise TypeError(f"{type(env).__name__} given, expected an environment with set_level, "
                            "such as grid")
        self.env, self.levels = env, levels
        self.played = []                # of each step: (num_envs,) int64, the levels that it was taken on

    def __getattr__(self, name):
        return getattr(self.env, name)

    def reset(self, seed=None):
        results = self.env.reset(seed)
        self.played.clear()
        self.begin(range(self.env.num_envs))
        return results

    def step(self, actions):
        self.played.append(self.env.level_seeds)
        results = self.env.step(actions)
        self.begin(np.flatnonzero(self.env.terminals | self.env.truncations))
        return results

    def begin(self, indices):
        for index in indices:
            self.env.set_level(index, self.levels.draw())


class BestReturns(dict):
    """The best return of each level of an environment, by its seed; worked out when it is first asked for."""

    def __init__(self, env):
        self.env = env

    def __missing__(self, level_seed):
        self.env.set_level(0, level_seed)
        self[level_seed] = self.env.best_return(0)
        return self[level_seed]


class LevelLearner(PPO):
    """PPO on `Levels`: each episode that ends gives its level a score.

    score   "value_loss" or "regret"; see the head of the file
    best    for "regret": the best return of a level by its seed, such as BestReturns
    """

    def __init__(self, env: Levels, config=None, *, score: str = "value_loss", best=None, **options):
        self.score = choice("score", score, ("value_loss", "regret"))
        if best is None and score == "regret":
            raise TypeError("best: not given, expected the best return of each level by its seed; regret is "
                            "measured from it, so give BestReturns(env)")
        super().__init__(env, config, **options)
        self.best = best
        # of the running episodes: the sum of their positive advantages, and their steps
        self.gained, self.taken = np.zeros((2, env.num_envs))

    def estimate(self):
        super().estimate()
        rows, levels = slice(0, self.env.num_envs), np.stack(self.env.played)
        self.env.played.clear()
        positive = self.buffer.advantages[rows].clamp(min=0).numpy()
        ends = (self.buffer.terminals[rows] | self.buffer.truncations[rows]).numpy()
        rewards = self.buffer.rewards[rows].numpy()
        for step in range(self.config.horizon):
            self.gained += positive[:, step]
            self.taken += 1
            for i in np.flatnonzero(ends[:, step]):
                level = int(levels[step, i])
                score = (self.gained[i] / self.taken[i] if self.score == "value_loss"
                         else self.best[level] - rewards[i, step])
                self.env.levels.record(level, score)
                self.gained[i] = self.taken[i] = 0
