"""The loops over pixels: `Shrink` makes a small grey frame of two screens, `push` moves a stack on.

`Shrink` does what Atari's wrappers do in three passes and with three copies: colours to grey, the maximum of
two screens, and an average over areas (OpenCV's INTER_AREA, equal to it to the bit: the same sums of float32
in the same order). Most rows of a screen are those of the screen before, so a row is computed only where its
colours have changed.
"""

import numpy as np

from envs.core.freshness import require_fresh

from libc.math cimport rintf
from libc.stdint cimport uint8_t
from libc.string cimport memcmp, memcpy, memmove

require_fresh("puffer_min.wrappers.pixels")


def areas(source, target):
    """(first, weights): output i is the sum of weights[i, t] * input[first[i] + t], its mean over an area.

    first is int32 (target,), weights float32 (target, taps). The areas are `source / target` wide; the
    weights are those of OpenCV's INTER_AREA.
    """
    scale, rows = source / target, np.zeros((target, source), np.float32)
    for i in range(target):
        start, end = i * scale, (i + 1) * scale
        width = min(scale, source - start)
        last = min(int(np.floor(end)), source - 1)
        first = min(int(np.ceil(start)), last)
        rows[i, first:last] = 1 / width
        if first - start > 1e-3:
            rows[i, first - 1] = (first - start) / width
        if end - last > 1e-3:
            rows[i, last] = min(end - last, 1, width) / width
    return windows(rows)


def nearest(source, target):
    """(first, weights) as `areas` gives them, for the first input of each area as it is (INTER_NEAREST)."""
    return windows(np.eye(source, dtype=np.float32)[np.arange(target) * source // target])


def windows(rows):
    """Rows of weights (target, source) as the first input of each and its weights (target, taps)."""
    used = rows != 0
    first = used.argmax(1)
    taps = (rows.shape[1] - used[:, ::-1].argmax(1) - first).max()
    first = np.minimum(first, rows.shape[1] - taps)
    return first.astype(np.int32), np.take_along_axis(rows, first[:, None] + np.arange(taps), 1)


cdef class Shrink:
    """Two screens of palette colours -> one small grey frame, the maximum of both.

    rows, columns     (first, weights) of the frame's rows and columns: see `areas`

        emulator.getScreen(shrink.screen)       a screen, uint8 (210, 160), as colours of the palette
        if not shrink.look(0):                  it is screen 0; False: it has colours not seen before
            shrink.teach(0, emulator.getScreenGrayscale())
        shrink.write(row)                       uint8 (84, 84)
    """

    cdef readonly object screen
    cdef uint8_t[:, ::1] arrived
    cdef uint8_t[:, :, ::1] colours, greys
    cdef uint8_t[::1] table, known, changed
    cdef uint8_t[:, ::1] small
    cdef float[:, ::1] across           # rows of the maximum, shrunk to the frame's width
    cdef float[::1] line, total
    cdef int[::1] top, left
    cdef float[:, ::1] down_weights, across_weights
    cdef int height, width

    def __init__(self, height, width, rows, columns):
        self.height, self.width = height, width
        self.screen = np.zeros((height, width), np.uint8)
        self.arrived, self.colours = self.screen, np.zeros((2, height, width), np.uint8)
        self.greys = np.zeros((2, height, width), np.uint8)
        self.table, self.known = np.zeros(256, np.uint8), np.zeros(256, np.uint8)
        self.changed = np.ones(height, np.uint8)
        (self.top, self.down_weights), (self.left, across_weights) = rows, columns
        self.across_weights = np.ascontiguousarray(across_weights.T)
        self.small = np.zeros((len(rows[0]), len(columns[0])), np.uint8)
        self.across = np.zeros((height, len(columns[0])), np.float32)
        self.line, self.total = np.zeros(width, np.float32), np.zeros(len(columns[0]), np.float32)
        self.known[0] = True            # black, of which both screens are at first

    def look(self, int which):
        """Take `screen` as screen `which`; False if it has a colour whose grey was never taught."""
        cdef int y, x
        cdef uint8_t all_known = True
        cdef uint8_t* new
        cdef uint8_t* grey
        for y in range(self.height):
            new = &self.arrived[y, 0]
            if memcmp(new, &self.colours[which, y, 0], self.width) == 0:
                continue
            memcpy(&self.colours[which, y, 0], new, self.width)
            grey = &self.greys[which, y, 0]
            self.changed[y] = True
            for x in range(self.width):
                grey[x] = self.table[new[x]]
                all_known &= self.known[new[x]]
        return bool(all_known)

    def teach(self, int which, const uint8_t[:, ::1] grey):
        """Learn the grey of each colour from screen `which` and its picture in grey."""
        cdef int y, x
        for y in range(self.height):
            for x in range(self.width):
                self.table[self.colours[which, y, x]] = grey[y, x]
                self.known[self.colours[which, y, x]] = True
        self.greys[which, :, :] = grey
        self.changed[:] = True

    def write(self, uint8_t[:, ::1] frame):
        """Write the frame of both screens; it has the shape of the rows and columns of `__init__`."""
        cdef int y, d, t
        cdef bint moved
        if frame.shape[0] != self.small.shape[0] or frame.shape[1] != self.small.shape[1]:
            raise ValueError(f"frame of shape {frame.shape[0]} x {frame.shape[1]} given, expected "
                             f"{self.small.shape[0]} x {self.small.shape[1]}")
        for y in range(self.height):
            if self.changed[y]:
                self.shrink_row(y)
        for d in range(self.small.shape[0]):
            moved = False
            for t in range(self.down_weights.shape[1]):
                moved |= self.changed[self.top[d] + t]
            if moved:
                self.shrink_column(d)
        self.changed[:] = False
        memcpy(&frame[0, 0], &self.small[0, 0], self.small.shape[0] * self.small.shape[1])

    cdef void shrink_row(self, int y) noexcept nogil:
        """The maximum of both screens in row y, shrunk to the frame's width."""
        cdef int x, t, taps = <int> self.across_weights.shape[0], columns = <int> self.across.shape[1]
        cdef float* line = &self.line[0]
        cdef float* out = &self.across[y, 0]
        cdef float* weights
        cdef uint8_t* one = &self.greys[0, y, 0]
        cdef uint8_t* other = &self.greys[1, y, 0]
        for x in range(self.width):
            line[x] = <float> (one[x] if one[x] > other[x] else other[x])
        for x in range(columns):
            out[x] = 0
        for t in range(taps):
            weights = &self.across_weights[t, 0]
            for x in range(columns):
                out[x] += line[self.left[x] + t] * weights[x]

    cdef void shrink_column(self, int d) noexcept nogil:
        """Row d of the frame: the weighted sum of the shrunk rows under it, rounded to even."""
        cdef int x, t, columns = <int> self.across.shape[1]
        cdef float* total = &self.total[0]
        cdef float* row
        cdef float weight
        for x in range(columns):
            total[x] = 0
        for t in range(<int> self.down_weights.shape[1]):
            weight, row = self.down_weights[d, t], &self.across[self.top[d] + t, 0]
            for x in range(columns):
                total[x] += weight * row[x]
        for x in range(columns):
            self.small[d, x] = <uint8_t> rintf(total[x])


def push(uint8_t[:, ::1] stacks, const uint8_t[:, ::1] newest, const uint8_t[::1] ends,
         const uint8_t[::1] begins, uint8_t[:, ::1] final_stacks=None, const uint8_t[:, ::1] last=None):
    """Move every stack on by its newest observation; all arrays hold the bytes of one agent in a row.

    stacks          (num_agents, k * size): the last k observations, the oldest first
    newest          (num_agents, size); where an episode begins, the first one, which then fills the stack
    ends, begins    (num_agents,) whether an episode has ended at this step, and whether the next has begun
    final_stacks    where given, and where an episode has ended, the stack with `last`, its last observation,
                    at the end
    """
    cdef Py_ssize_t i, j, size = newest.shape[1], older = stacks.shape[1] - newest.shape[1]
    cdef Py_ssize_t before = older // size
    cdef uint8_t* stack
    if stacks.shape[0] != newest.shape[0] or older < 0 or stacks.shape[1] % size:
        raise ValueError(f"stacks of shape {stacks.shape[0]} x {stacks.shape[1]} given, expected "
                         f"{newest.shape[0]} rows of a multiple of {size} bytes")
    with nogil:
        for i in range(newest.shape[0]):
            stack = &stacks[i, 0]
            memmove(stack, stack + size, older)
            if ends[i] and final_stacks is not None:
                memcpy(&final_stacks[i, 0], stack, older)
                memcpy(&final_stacks[i, older], &last[i, 0], size)
            if begins[i]:
                for j in range(before):
                    memcpy(stack + j * size, &newest[i, 0], size)
            memcpy(stack + older, &newest[i, 0], size)
