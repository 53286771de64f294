"""Recorded games for the check of `fingerprint` in level 9, and what may be changed in one."""

import builtins
import contextlib

import numpy as np

from puffer_min.course.claims import expect


class Recorded:
    """An environment that plays back a recording, in place as the real ones do. `edit` may change the
    recording beforehand.
    """

    def __init__(self, rng, edit=None):
        steps = 12
        self.recording = {"observations": rng.integers(1, 9, (steps + 1, 3, 500)).astype(np.uint8),
                          "rewards": rng.random((steps, 3)).astype(np.float32),
                          "terminals": rng.random((steps, 3)) < 0.1,
                          "truncations": rng.random((steps, 3)) < 0.1}
        if edit is not None:
            edit(self.recording)
        self.arrays = [array[0].copy() for array in self.recording.values()]
        self.tick, self.received = 0, []

    def reset(self, seed=None):
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
        place = (1,) if entry.ndim == 1 else (1, 250)
        entry[place] = ~entry[place] if entry.dtype == bool else entry[place] + 1
    return edit


def compensated(recording):
    """One entry of a step more, another one as much less."""
    step = recording["observations"][6]
    step[0, 100] += 1
    step[2, 400] -= 1


def exchanged(recording):
    for name, array in recording.items():
        first = 4 + (name == "observations")
        array[[first, first + 1]] = array[[first + 1, first]]


def in_another_order(recording):
    recording["rewards"][3] = recording["rewards"][3][::-1].copy()


def in_the_last_bit(recording):
    recording["rewards"][7, 1] = np.nextafter(recording["rewards"][7, 1], np.float32(2))


def cut_off(recording):
    """Where a game ended at step 5, it is cut off instead."""
    ends = recording["terminals"][5].copy()
    recording["terminals"][5], recording["truncations"][5] = recording["truncations"][5], ends


def one_end(recording):
    recording["terminals"][5], recording["truncations"][5] = (True, False, False), (False, False, False)


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
