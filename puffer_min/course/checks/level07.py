"""Checks of level 7: stacks, skips, areas, lives, a guilty stack, and the budget of a chain of wrappers."""

import numpy as np

from puffer_min.course.check import register
from puffer_min.course.claims import expect, same_values

# ---------------------------------------------------------------------- stacks


@register("push_frame")
def _(push_frame, rng):
    "the last k frames, the oldest first; a new episode fills its stack; everything in place"
    for frames in (1, 3, 4):
        stacks = rng.integers(0, 256, (5, frames, 3, 2)).astype(np.uint8)
        array, expected = stacks, stacks.copy()
        for step in range(12):
            newest = rng.integers(0, 256, (5, 3, 2)).astype(np.uint8)
            begins = rng.random(5) < 0.3
            given = newest.copy(), begins.copy()
            before = expected.copy()
            expected = np.concatenate([expected[:, 1:], newest[:, None]], 1)
            expected[begins] = newest[begins][:, None]
            push_frame(stacks, newest, begins)
            expect(stacks is array and np.array_equal(newest, given[0]) and np.array_equal(begins, given[1]),
                   "it changes newest or begins: write into stacks alone")
            expect(not np.array_equal(stacks, before) or np.array_equal(expected, before),
                   "stacks is as it was: write into it in place, stacks[...] = ..., and not into a new array")
            expect(np.array_equal(stacks[:, -1], newest),
                   "the newest frame is not the last one of its stack: the oldest comes first")
            expect(np.array_equal(stacks[~begins], expected[~begins]),
                   f"a stack in the middle of an episode is wrong at step {step}: each frame moves one place "
                   "towards the front, and the oldest one goes")
            expect(np.array_equal(stacks[begins], expected[begins]),
                   "a stack at the beginning of an episode holds other frames than the first one: it leaks "
                   "what was seen before")


# ---------------------------------------------------------------------- skips

class Film:
    """A console for the checks: scripted points, screens and an end."""

    def __init__(self, points, screens, end):
        self.points, self.screens, self.end, self.frame, self.beyond = points, screens, end, 0, False

    def act(self):
        self.beyond |= self.frame >= self.end
        points = self.points[self.frame]
        self.frame += 1
        return points, self.frame >= self.end

    def screen(self):
        return self.screens[self.frame - 1].copy()


@register("skip_frames", live=True)
def _(skip_frames, rng):
    "rewards of all frames summed, then clipped; the maximum of the last two screens; it stops at the end"
    for trial in range(40):
        length = 4 + trial % 3 - 1
        points, screens = rng.integers(-3, 4, 8), rng.integers(0, 256, (8, 4, 3)).astype(np.uint8)
        end = 99 if trial % 4 else int(rng.integers(1, length + 1))
        film = Film(points, screens, end)
        found = skip_frames(film.act, film.screen, length)
        played = min(length, end)
        expect(isinstance(found, tuple) and len(found) == 3,
               f"it returns {type(found).__name__}, expected (picture, reward, over)")
        picture, reward, over = found
        expect(not film.beyond, "it goes on playing after the game is over: stop at the frame that ends it")
        expect(film.frame == played, f"it plays {film.frame} frames, expected {played}")
        expect(bool(over) == (end <= length), f"over is {over}, expected {end <= length}")
        total = int(points[:played].sum())
        if reward != np.sign(total):
            expect(reward != np.sign(points[played - 1]),
                   "the reward is that of the last frame: add up all frames")
            expect(reward != np.sign(points[:played]).sum(),
                   "it clips each frame and adds up then: add up first, and clip the sum")
            expect(reward != total, "the reward is the sum itself: clip it to its sign")
        expect(reward == np.sign(total), f"the reward is {reward} for points {points[:played].tolist()}, "
                                         f"expected {np.sign(total)}")
        last = screens[:played][-2:] if end > length else screens[played - 1:played]
        expect(np.array_equal(picture, last.max(0)),
               "the picture is not the maximum of the last two screens" if end > length else
               "the picture at an early end must be the screen at the end alone")


# ---------------------------------------------------------------------- areas

def right_areas(source, target):
    edges = np.linspace(0, source, target + 1)
    left, right = np.maximum(edges[:-1, None], np.arange(source)), np.minimum(edges[1:, None],
                                                                             np.arange(source) + 1)
    return np.clip(right - left, 0, None) * target / source


@register("area_weights")
def _(area_weights, rng):
    "each output is the mean of the inputs under it, parts of pixels counted as parts"
    same_values(area_weights, right_areas, [(4, 2), (210, 84), (160, 84), (5, 5),
                                            *(tuple(map(int, sorted(rng.integers(3, 60, 2))[::-1]))
                                              for _ in range(8))], atol=1e-9,
                mistakes={"the rows are sums, not means: divide by the width of an area":
                          lambda n, m: right_areas(n, m) * n / m,
                          "it takes one pixel of each area (the nearest), not their mean":
                          lambda n, m: np.eye(n)[np.arange(m) * n // m]})


# ---------------------------------------------------------------------- lives

@register("life_ends")
def _(life_ends, rng):
    "a lost life ends the episode, the game is reset only when it is over, won lives end nothing"
    for _ in range(20):
        changes = rng.choice([0, 0, 0, -1, 1], 30)
        lives = np.maximum(1, 5 + np.cumsum(changes))
        before = np.concatenate([[5], lives[:-1]])
        over = rng.random(30) < 0.1
        lives = np.where(over, 0, lives)
        before[1:] = np.where(over[:-1], 5, lives[:-1])
        for had, has, ended in zip(before.tolist(), lives.tolist(), over.tolist(), strict=True):
            found = life_ends(had, has, ended)
            expect(isinstance(found, tuple) and len(found) == 2,
                   f"it returns {type(found).__name__}, expected (terminal, reset_game)")
            terminal, reset_game = map(bool, found)
            case = f"{had} lives before, {has} after, over={ended}"
            expect(terminal or not (has < had or ended), f"{case}: the episode ends here")
            expect(not terminal or has < had or ended, f"{case}: it goes on; a life won ends nothing")
            expect(reset_game or not ended, f"{case}: the game is over and must be reset")
            expect(not reset_game or ended,
                   f"{case}: a lost life must not reset the game, or later lives are never seen")


# ---------------------------------------------------------------------- a planted bug

def film_of(kind, rng, frames=4, steps=40):
    """(stacks, newest, begins) of a stack that is healthy or wrong in one of three ways."""
    newest = rng.integers(1, 256, (steps, 2, 2)).astype(np.uint8)
    begins = rng.random(steps) < 0.15
    begins[[0, 7, 20]] = True, True, False
    stack, seen = np.zeros((frames, 2, 2), np.uint8), []
    for step in range(steps):
        stack = np.concatenate([stack[1:], newest[step:step + 1]])
        if begins[step] and (kind != "leaks" or step == 0):
            stack[:] = newest[step]
        if kind == "black" and begins[step]:
            stack[:-1] = 0
        shown = stack[::-1] if kind == "reversed" else stack
        seen.append(shown.copy())
    return np.array(seen), newest, begins


@register("guilty_stack")
def _(guilty_stack, rng):
    "names the wrong stack from what it shows: healthy, leaks, black, reversed"
    kinds = ["healthy", "leaks", "black", "reversed"]
    for _ in range(6):
        for kind in rng.permutation(kinds).tolist():
            arguments = film_of(kind, rng)
            found = guilty_stack(*(array.copy() for array in arguments))
            expect(found in kinds, f"it returns {found!r}, expected one of {', '.join(kinds)}")
            expect(found == kind, f"it says {found!r} of a stack that is {kind!r}")


# ---------------------------------------------------------------------- a budget

def right_budget(costs, layer, times):
    before = sum(costs.values())
    rest = before - costs[layer]
    return 1e6 / before, 1e6 / (rest + costs[layer] / times), 1e6 / rest


@register("chain_budget")
def _(chain_budget, rng):
    "steps a second before, after one layer has become faster, and if it cost nothing"
    cases = []
    for _ in range(8):
        costs = {name: float(rng.uniform(5, 300)) for name in ("game", "grey", "resize", "stack")}
        cases.append((costs, str(rng.choice(list(costs))), float(rng.uniform(1.5, 20))))
    same_values(chain_budget, right_budget, cases, mistakes={
        "the whole chain gets faster by the factor: only the one layer does":
        lambda costs, layer, times: (1e6 / sum(costs.values()), times * 1e6 / sum(costs.values()),
                                     1e6 / (sum(costs.values()) - costs[layer])),
        "costs are microseconds, so a second is 1e6 of them":
        lambda *case: tuple(rate / 1e6 for rate in right_budget(*case))})
