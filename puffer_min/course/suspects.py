"""Five wrong wrappers for level 7, in a line-up that keeps its answers until the verdict.

    lineup = LineUp(chain_of, {"noops": Noops, "skip": Skip, "lives": Lives, "stack": Stack}, case=1)
    lineup.chains                                   {"P": a wrong chain, "Q": another, ...}
    lineup.verdict({"leaky stack": "Q", ...})       prints who was who, and how many you found
    print(source_of("leaky stack"))                 the wrong layer itself

`chain_of` is the chapter's function that puts the layers together; each wrong layer is a class of the
chapter with one method changed. Another `case` shuffles the letters.
"""

import inspect
import textwrap

import numpy as np

LETTERS = "PQRST"


def leaky_stack(Stack):
    class LeakyStack(Stack):
        def reset(self, seed=None):
            if not hasattr(self, "pictures"):
                return super().reset(seed)
            return self.picture(self.inner.reset(seed))
    return LeakyStack


def restarting_lives(Lives):
    class RestartingLives(Lives):
        def reset(self, seed=None):
            picture = self.inner.reset(seed)
            self.over, self.lives = False, self.console.lives()
            return picture
    return RestartingLives


def eating_noops(Noops):
    class EatingNoops(Noops):
        def reset(self, seed=None):
            picture = self.inner.reset(seed)
            for _ in range(self.random.integers(1, 31)):
                self.inner.step(0)
            return picture
    return EatingNoops


def last_reward_skip(Skip):
    class LastRewardSkip(Skip):
        def step(self, action):
            self.inner.step(action), self.inner.step(action)
            one, _, _, _ = self.inner.step(action)
            other, reward, over, info = self.inner.step(action)
            return np.maximum(one, other), reward, over, info
    return LastRewardSkip


def clipped_frames(Game):
    class ClippedFrames(Game):
        def step(self, action):
            picture, reward, over, info = super().step(action)
            return picture, float(np.sign(reward)), over, info
    return ClippedFrames


# bug -> the layer in whose place it stands, and what makes it
PLANTED = {"leaky stack": ("stack", leaky_stack), "life loss restarts": ("lives", restarting_lives),
           "clip before the sum": ("game", clipped_frames), "one reward of four": ("skip", last_reward_skip),
           "no-ops eat the first frame": ("noops", eating_noops)}


class LineUp:
    """The five wrong chains under letters that `case` shuffles.

    chain_of    function that makes a chain; called with one wrong layer under the layer's name
    layers      name -> healthy class, for every name in PLANTED
    """

    def __init__(self, chain_of, layers, case=0):
        bugs = np.random.default_rng(case).permutation(list(PLANTED)).tolist()
        self.answers = dict(sorted(zip(bugs, LETTERS, strict=True)))
        self.chains = {letter: self.chain_with(bug, chain_of, layers)
                       for letter, bug in zip(LETTERS, bugs, strict=True)}

    @staticmethod
    def chain_with(bug, chain_of, layers):
        """A chain with one bug."""
        name, wrong = PLANTED[bug]
        return chain_of(**{name: wrong(layers[name])})

    def verdict(self, guess):
        """Print the letter of each bug beside the guess, and the number of those that agree."""
        for bug, letter in self.answers.items():
            print(f"{bug:27} {letter}, you said {guess.get(bug, '?')}")
        found = sum(guess.get(bug) == letter for bug, letter in self.answers.items())
        print(f"{found} of {len(self.answers)} found")


def source_of(bug):
    """The class of a bug of PLANTED, as text."""
    lines = inspect.getsource(PLANTED[bug][1]).splitlines()
    return textwrap.dedent("\n".join(lines[1:-1]))
