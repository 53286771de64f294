"""Checks of level 7: stacks, skips, areas, lives, a guilty stack, and the budget of a chain of wrappers."""

import numpy as np

from puffer_min.course.check import register
from puffer_min.course.claims import expect, same_values

# ---------------------------------------------------------------------- stacks


def pushed(push_frame, rng, frames, agents=5, shape=(3, 2), share=0.3, steps=12):
    """Push `steps` frames onto a batch of stacks and claim after each what must hold."""
    stacks = rng.integers(0, 256, (agents, frames, *shape)).astype(np.uint8)
    expected = stacks.copy()
    for step in range(steps):
        newest = rng.integers(0, 256, (agents, *shape)).astype(np.uint8)
        begins = rng.random(agents) < share
        given = newest.copy(), begins.copy()
        before = expected.copy()
        expected = np.concatenate([expected[:, 1:], newest[:, None]], 1)
        expected[begins] = newest[begins][:, None]
        push_frame(stacks, newest, begins)
        expect(np.array_equal(newest, given[0]) and np.array_equal(begins, given[1]),
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


@register("push_frame")
def _(push_frame, rng, hidden):
    "the last k frames, the oldest first; a new episode fills its stack; everything in place"
    for frames in (3, 4):
        pushed(push_frame, rng, frames)
    for _ in range(6 * hidden):
        agents, frames, *shape = (int(number) for number in rng.integers([2, 2, 1, 1], [9, 9, 7, 7]))
        pushed(push_frame, rng, frames, agents, tuple(shape))


@register("push_frame", part="edges")
def _(push_frame, rng, hidden):
    "stacks of one frame; steps at which no episode begins, or every one"
    for share in (0, 1):
        pushed(push_frame, rng, 4, share=share)
    pushed(push_frame, rng, 1)
    if hidden:
        pushed(push_frame, rng, 5, agents=1, share=0.5)
        pushed(push_frame, rng, 2, shape=(1, 1))
        pushed(push_frame, rng, 3, agents=3, shape=(3, 3))      # sides that a transposition would confuse


# ---------------------------------------------------------------------- skips

class Film:
    """A console for the checks: scripted points, screens and an end."""

    def __init__(self, points, screens, end):
        self.points, self.screens, self.end, self.frame, self.beyond = points, screens, end, 0, False
        self.shown = []                 # the frames whose screens were asked for

    def act(self):
        self.beyond |= self.frame >= self.end
        points = self.points[self.frame]
        self.frame += 1
        return points, self.frame >= self.end

    def screen(self):
        self.shown.append(self.frame)
        return self.screens[self.frame - 1].copy()


def film(rng, length, end, shape=(4, 3), most=3):
    """`length` frames and some more, of which the one numbered `end` is the last, 99 for none."""
    points = [int(number) for number in rng.integers(-most, most + 1, length + 4)]
    return Film(points, rng.integers(0, 256, (length + 4, *shape)).astype(np.uint8), end)


def skipped(skip_frames, film, length):
    """Play `length` frames of a film and claim what must hold of picture, reward and end."""
    found, end, points = skip_frames(film.act, film.screen, length), film.end, film.points
    played = min(length, end)
    expect(isinstance(found, tuple | list) and len(found) == 3,
           f"it returns {type(found).__name__}, expected (picture, reward, over)")
    picture, reward, over = found
    expect(not film.beyond, "it goes on playing after the game is over: stop at the frame that ends it")
    expect(film.frame == played, f"it plays {film.frame} frames, expected {played}")
    expect(bool(over) == (end <= length), f"over is {over}, expected {end <= length}")
    total = sum(points[:played])
    expect(np.size(reward) == 1, f"the reward is {type(reward).__name__} of {np.size(reward)} values, "
                                 "expected one number")
    if reward != np.sign(total):
        expect(reward != np.sign(points[played - 1]),
               "the reward is that of the last frame: add up all frames")
        expect(reward != np.sign(points[:played]).sum(),
               "it clips each frame and adds up then: add up first, and clip the sum")
        expect(reward != total, "the reward is the sum itself: clip it to its sign")
    expect(reward == np.sign(total), f"the reward is {reward} for points {points[:played]}, "
                                     f"expected {np.sign(total)}")
    last = film.screens[:played][-2:] if end > length else film.screens[played - 1:played]
    expect(np.array_equal(picture, last.max(0)),
           "the picture is not the maximum of the last two screens" if end > length else
           "the picture at the end of a game, early or not, must be the screen at the end alone")


@register("skip_frames", live=True)
def _(skip_frames, rng, hidden):
    "rewards of all frames summed, then clipped; the maximum of the last two screens; it stops at the end"
    for trial in range(40):
        length = 4 + trial % 3 - 1
        skipped(skip_frames, film(rng, length, 99 if trial % 4 else int(rng.integers(1, length + 1))), length)
    for length in (1, 2, 7, 12) * hidden:
        for end in (*range(1, length + 1), length + 1, 99):
            skipped(skip_frames, film(rng, length, end, shape=(3, 2, 3), most=60), length)


@register("skip_frames", part="screens", live=True)
def _(skip_frames, rng, hidden):
    "it asks for two screens of a step, and for one where the game ends before the last frame"
    for length, end in [(4, 99), (4, 2), (3, 3), *([(1, 99), (2, 99), (9, 99), (9, 8), (2, 1)] * hidden)]:
        played = film(rng, length, end)
        skipped(skip_frames, played, length)
        needed = 1 if end < length else min(2, length)
        expect(len(played.shown) <= needed, f"it asks for {len(played.shown)} screens of {length} frames"
               f"{f', the game ending at frame {end}' if end <= length else ''}, expected at most {needed}: "
               "every screen that is drawn costs time")


# ---------------------------------------------------------------------- areas

def right_areas(source, target):
    edges = np.linspace(0, source, target + 1)
    left, right = np.maximum(edges[:-1, None], np.arange(source)), np.minimum(edges[1:, None],
                                                                             np.arange(source) + 1)
    return np.clip(right - left, 0, None) * target / source


def nearest_pixels(source, target):
    return np.eye(source)[np.arange(target) * source // target]


AREA_MISTAKES = {
    "the rows are sums, not means: divide by the width of an area":
    lambda n, m: right_areas(n, m) * n / m,
    "it takes one pixel of each area (the nearest), not their mean": nearest_pixels,
    "it has one row for each input and one column for each output: transpose it":
    lambda n, m: right_areas(n, m).T}


@register("area_weights")
def _(area_weights, rng, hidden):
    "each output is the mean of the inputs under it, parts of pixels counted as parts"
    cases = [(4, 2), (210, 84), (160, 84)]
    for _ in range(8):
        target, source = sorted(rng.choice(np.arange(3, 60), 2, replace=False).tolist())
        cases.append((source, target))
    if hidden:
        cases += [(7, 5), (97, 41), (250, 84), (1021, 13),
                  *((int(target + rng.integers(1, 9)), int(target)) for target in rng.integers(2, 40, 8))]
    same_values(area_weights, right_areas, cases, atol=1e-9, rtol=1e-9, mistakes=AREA_MISTAKES)


@register("area_weights", part="edges")
def _(area_weights, rng, hidden):
    "as many outputs as inputs, a single output, a whole number of inputs for each output"
    cases = [(5, 5), (6, 1), (12, 4)]
    if hidden:
        sizes = rng.integers(2, 30, 4).tolist()
        cases += [(1, 1), (2, 1), *((size, size) for size in sizes), *((size * 7, size) for size in sizes)]
    same_values(area_weights, right_areas, cases, atol=1e-9, rtol=1e-9, mistakes=AREA_MISTAKES)


# ---------------------------------------------------------------------- lives

def life_claims(life_ends, had, has, ended):
    found = life_ends(had, has, ended)
    expect(isinstance(found, tuple | list | np.ndarray) and len(found) == 2,
           f"it returns {type(found).__name__}, expected (terminal, reset_game)")
    terminal, reset_game = map(bool, found)
    case = f"{had} lives before, {has} after, over={ended}"
    expect(terminal or not (has < had or ended), f"{case}: the episode ends here")
    expect(not terminal or has < had or ended, f"{case}: it goes on; a life won ends nothing")
    expect(reset_game or not ended, f"{case}: the game is over and must be reset")
    expect(not reset_game or ended,
           f"{case}: only a game that is over is reset, or later lives are never seen")


@register("life_ends")
def _(life_ends, rng, hidden):
    "a lost life ends the episode, the game is reset only when it is over, won lives end nothing"
    for _ in range(20):
        changes = rng.choice([0, 0, 0, -1, 1], 30)
        lives = np.maximum(1, 5 + np.cumsum(changes))
        before = np.concatenate([[5], lives[:-1]])
        over = rng.random(30) < 0.1
        lives = np.where(over, 0, lives)
        before[1:] = np.where(over[:-1], 5, lives[:-1])
        for had, has, ended in zip(before.tolist(), lives.tolist(), over.tolist(), strict=True):
            life_claims(life_ends, had, has, ended)
    for case in [(2, 3, True), (1, 1, True)] + [(0, 0, False), (0, 0, True), (5, 2, False), (0, 5, True),
                                                (9, 10, False), (10, 9, False), (1, 0, False)] * hidden:
        life_claims(life_ends, *case)


# ---------------------------------------------------------------------- a planted bug

def film_of(kind, rng, frames=4, steps=40, shape=(2, 2), share=0.15, still=1):
    """(stacks, newest, begins) of a stack that is healthy or wrong in one of three ways; each picture stays
    for `still` steps, and longer episodes than 1 step exist in every film.
    """
    count = -(-steps // still)
    pictures = rng.integers(0, 256, (count, *shape)) * (rng.random((count, *shape)) < 0.7)
    pictures[:, 0, 0] = 1 + (np.arange(count) + rng.integers(255)) % 255        # none is black, no two alike
    newest = np.repeat(pictures, still, 0)[:steps].astype(np.uint8)
    begins = rng.random(steps) < share
    begins[[0, 7, 8, 9, steps // 2]] = True, True, False, False, False
    stack, seen = np.zeros((frames, *shape), np.uint8), []
    for step in range(steps):
        stack = np.concatenate([stack[1:], newest[step:step + 1]])
        if begins[step] and (kind != "leaks" or step == 0):
            stack[:] = newest[step]
        if kind == "black" and begins[step]:
            stack[:-1] = 0
        shown = stack[::-1] if kind == "reversed" else stack
        seen.append(shown.copy())
    return np.array(seen), newest, begins


KINDS = ["healthy", "leaks", "black", "reversed"]


def accused(guilty_stack, kind, recording):
    found = guilty_stack(*(array.copy() for array in recording))
    expect(str(found) in KINDS, f"it returns {found!r}, expected one of {', '.join(KINDS)}")
    expect(str(found) == kind, f"it says {str(found)!r} of a stack that is {kind!r}")


@register("guilty_stack")
def _(guilty_stack, rng, hidden):
    "names the wrong stack from what it shows: healthy, leaks, black, reversed"
    for _ in range(6):
        for kind in rng.permutation(KINDS).tolist():
            accused(guilty_stack, kind, film_of(kind, rng))
    for frames in (2, 3, 6) * hidden:
        for kind in rng.permutation(KINDS).tolist():
            shape = tuple(int(side) for side in rng.integers(2, 6, 2))
            accused(guilty_stack, kind, film_of(kind, rng, frames, int(rng.integers(24, 60)), shape))
            accused(guilty_stack, kind, film_of(kind, rng, frames, share=0))        # two episodes in all
        accused(guilty_stack, "reversed", film_of("reversed", rng, frames, still=4))


@register("guilty_stack", part="alarms")
def _(guilty_stack, rng, hidden):
    "accuses no healthy stack, in games that stand still and in episodes of a step as well"
    settings = [{}, {"still": 4}] + [{"still": 40}, {"share": 0.8}, {"frames": 2, "share": 0.5},
                                     {"frames": 8, "steps": 12}, {"shape": (5, 3)}] * hidden
    for setting in settings:
        accused(guilty_stack, "healthy", film_of("healthy", rng, **setting))
    accused(guilty_stack, "leaks", film_of("leaks", rng))       # "healthy" for all is no answer


# ---------------------------------------------------------------------- a budget

def right_budget(costs, layer, times):
    before = sum(costs.values())
    rest = before - costs[layer]
    return 1e6 / before, 1e6 / (rest + costs[layer] / times), 1e6 / rest


def chains(rng, names, count):
    """`count` cases of chains of these layers."""
    for _ in range(count):
        costs = {name: float(rng.uniform(5, 300)) for name in names}
        yield costs, str(rng.choice(names)), float(rng.uniform(1.5, 20))


@register("chain_budget")
def _(chain_budget, rng, hidden):
    "steps a second before, after one layer has become faster, and if it cost nothing"
    cases = list(chains(rng, ["game", "grey", "resize", "stack"], 8))
    if hidden:
        for layers in (2, 3, 9):
            cases += chains(rng, [f"layer {number}" for number in rng.permutation(layers)], 4)
        whole = {"game": 300, "resize": 60, "clip": 2}
        cases += [(whole, "resize", 1), (whole, "resize", 0.5), (whole, "game", 10**9), (whole, "clip", 10)]
    same_values(chain_budget, right_budget, cases, rtol=1e-9, mistakes={
        "the whole chain gets faster by the factor: only the one layer does":
        lambda costs, layer, times: (1e6 / sum(costs.values()), times * 1e6 / sum(costs.values()),
                                     1e6 / (sum(costs.values()) - costs[layer])),
        "costs are microseconds, so a second is 1e6 of them":
        lambda *case: tuple(rate / 1e6 for rate in right_budget(*case)),
        "the last rate is of the layer alone: what is left when it costs nothing are the others":
        lambda costs, layer, times: (*right_budget(costs, layer, times)[:2], 1e6 / costs[layer])})
