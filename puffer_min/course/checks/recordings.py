"""What the checks of level 9 play against answers: recorded games and changes in them, arrays that count the
work done with them, an index with a planted fault.
"""

import builtins
import contextlib
import tracemalloc

import numpy as np

from puffer_min.course.claims import expect


class Recorded:
    """An environment that plays back a recording, in place as the real ones do. `edit` may change the
    recording beforehand.
    """

    def __init__(self, rng, edit=None, steps=12, agents=3, numbers=500, dtype=np.uint8):
        self.recording = {"observations": rng.integers(1, 9, (steps + 1, agents, numbers)).astype(dtype),
                          "rewards": rng.random((steps, agents)).astype(np.float32),
                          "terminals": rng.random((steps, agents)) < 0.1,
                          "truncations": rng.random((steps, agents)) < 0.1}
        if edit is not None:
            edit(self.recording)
        self.arrays = [array[0].copy() for array in self.recording.values()]
        self.tick, self.received = 0, []

    def reset(self, seed=None):
        expect(seed == 0, f"it resets with seed={seed}, expected seed=0: other seeds are other games")
        self.tick, self.received = 0, []
        self.arrays[0][...] = self.recording["observations"][0]
        return self.arrays[0], []

    def step(self, actions):
        self.received.append(np.array(actions))
        for array, (name, recorded) in zip(self.arrays, self.recording.items(), strict=True):
            array[...] = recorded[self.tick + (name == "observations")]
        self.tick += 1
        return *self.arrays, []


def changed(name, at):
    """An edit that changes one entry of a step."""
    def edit(recording):
        entry = recording[name][at]
        place = tuple(number // 2 for number in entry.shape)
        entry[place] = ~entry[place] if entry.dtype == bool else entry[place] + 1
    return edit


def compensated(recording):
    """One entry of a step more, another one as much less."""
    step = recording["observations"][6]
    step[0, step.shape[1] // 4] += 1
    step[-1, -1] -= 1


def exchanged(recording):
    for name, array in recording.items():
        first = 4 + (name == "observations")
        array[[first, first + 1]] = array[[first + 1, first]]


def in_another_order(recording):
    recording["rewards"][3] = recording["rewards"][3][::-1].copy()


def in_the_last_bit(recording):
    recording["rewards"][7, -1] = np.nextafter(recording["rewards"][7, -1], np.float32(2))


def cut_off(recording):
    """Where a game ended at step 5, it is cut off instead."""
    ends = recording["terminals"][5].copy()
    recording["terminals"][5], recording["truncations"][5] = recording["truncations"][5], ends


def one_end(recording):
    recording["terminals"][5], recording["truncations"][5] = False, False
    recording["terminals"][5, 0] = True


@contextlib.contextmanager
def no_builtin_hash():
    """Python's own hash() of texts and bytes begins from a random number in every process."""
    def watched(value):
        expect(not isinstance(value, str | bytes | tuple | memoryview),
               "it uses hash(), whose numbers differ from one process to the next, so nobody could compare "
               "them: take hashlib")
        return kept(value)

    kept, builtins.hash = builtins.hash, watched
    try:
        yield
    finally:
        builtins.hash = kept


class Counted(np.ndarray):
    """An array that counts the numbers which functions of NumPy make of it."""

    made = 0

    def __array_ufunc__(self, function, method, *inputs, out=None, **options):
        plain = [part.view(np.ndarray) if isinstance(part, Counted) else part for part in inputs]
        if out is not None:
            options["out"] = tuple(part.view(np.ndarray) if isinstance(part, Counted) else part
                                   for part in out)
        found = getattr(function, method)(*plain, **options)
        Counted.made += np.size(found)
        return found.view(Counted) if isinstance(found, np.ndarray) and found.dtype != bool else found


def work_of(answer, *case):
    """(numbers that NumPy computes from the arrays of a case, the most bytes in use meanwhile)."""
    Counted.made = 0
    counted = [part.view(Counted) if isinstance(part, np.ndarray) else part for part in case]
    tracemalloc.start()
    try:
        answer(*counted)
        return Counted.made, tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


class Index:
    """Finds the nearest foe of each entity by asking all; `fault` is one of the listings of exercise 9.7."""

    def __init__(self, fault):
        self.fault, self.kept = fault, None

    def nearest(self, rows, columns, sides, radius):
        """found (n,) int, -1 for nobody."""
        crowd = [np.asarray(part) for part in (rows, columns, sides)]
        asked, whole = [f"{part.size} {part.dtype}" for part in crowd], len(sides)
        expect(asked == [f"{whole} int32", f"{whole} int32", f"{whole} uint8"],
               f"it asks the index about {', '.join(asked)}, expected as many rows and columns of int32 as "
               "sides of uint8")
        if self.fault != "stale" or self.kept is None or len(self.kept[0]) != len(rows):
            self.kept = rows.copy(), columns.copy()
        (rows, columns), found = self.kept, []
        reach = radius - (self.fault == "edge")
        for i in range(len(sides)):
            best, best_away = -1, 1 << 30
            for j in range(len(sides)):
                dy, dx = int(rows[j]) - int(rows[i]), int(columns[j]) - int(columns[i])
                away = dy * dy + dx * dx
                closer = away <= best_away if self.fault == "ties" else away < best_away
                if sides[j] != sides[i] and abs(dy) <= reach and abs(dx) <= reach and closer:
                    best, best_away = j, away
            found.append(best)
        return np.array(found)
