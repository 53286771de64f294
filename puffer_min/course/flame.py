"""`flame`: where the time goes, as a flame graph: who calls whom, as wide as it lasts.

    found = flame(lambda: env.step(0))          # calls it again and again for two seconds
    found                                       # the picture
    found.share("LocalView.__call__")           # of the time, with everything that it calls

A timer interrupts the program every few milliseconds of processor time and notes the functions that are
running. No function carries a hook, so nothing looks slower than it is; what lasts less than a few samples is
not seen. Time inside compiled functions belongs to the Python function that called them.

Main thread only, as all of Python's signals; not on Windows.
"""

from __future__ import annotations

import collections
import signal
import time
from dataclasses import dataclass

from puffer_min.course import plots

INTERVAL = 0.001            # seconds of processor time between samples; most systems make 4 ms of it


@dataclass(frozen=True, repr=False)
class Flame:
    """Samples by stack, the outermost function first."""

    stacks: dict[tuple[str, ...], int]
    calls: int
    seconds: float

    @property
    def samples(self) -> int:
        """How many there are."""
        return sum(self.stacks.values())

    def share(self, function: str) -> float:
        """The part of the samples in which `function` runs or waits for what it calls, by its name or the
        last part of it; 0 for one that no sample saw.
        """
        seen = sum(count for stack, count in self.stacks.items()
                   if any(name == function or name.rpartition(".")[2] == function for name in stack))
        return seen / self.samples

    def boxes(self) -> list[tuple[int, float, float, str]]:
        """(depth, left, width, function) of each box of the graph; left and width as parts of all samples."""
        out, left, total = [], 0, self.samples
        open_boxes: list[tuple[str, int]] = []                  # (function, where it began)
        for stack, count in [*sorted(self.stacks.items()), ((), 0)]:
            same = 0
            while same < min(len(stack), len(open_boxes)) and open_boxes[same][0] == stack[same]:
                same += 1
            while len(open_boxes) > same:
                name, began = open_boxes.pop()
                out.append((len(open_boxes), began / total, (left - began) / total, name))
            open_boxes += [(name, left) for name in stack[same:]]
            left += count
        return sorted(out)

    def plot(self, title: str = "Where the time goes", least: float = 0.004):
        """The graph; boxes narrower than `least` of the whole are left out."""
        return _draw(self, title, least)

    def _repr_png_(self):
        return self.plot()._repr_png_()

    def __repr__(self):
        functions = {name for stack in self.stacks for name in stack}
        widest = sorted(((self.share(name), name) for name in functions), reverse=True)[:12]
        return "\n".join([f"{self.samples} samples of {self.calls} calls in {self.seconds:.2f} s",
                          *(f"{share:6.1%}  {name}" for share, name in widest)])


def flame(call, *, seconds: float = 2.0) -> Flame:
    """Call `call()` again and again for `seconds` and sample what it does. Raises ValueError if no sample was
    taken.
    """
    stacks: collections.Counter = collections.Counter()
    here = flame.__code__

    def note(_, frame):
        stack = []
        while frame is not None and frame.f_code is not here:
            stack.append(frame.f_code.co_qualname)
            frame = frame.f_back
        if frame is not None and stack:
            stacks[tuple(reversed(stack))] += 1

    before = signal.signal(signal.SIGPROF, note)
    signal.setitimer(signal.ITIMER_PROF, INTERVAL, INTERVAL)
    calls, began = 0, time.perf_counter()
    try:
        while time.perf_counter() - began < seconds:
            call()
            calls += 1
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, before)
    if not stacks:
        raise ValueError(f"seconds={seconds} gave no sample, expected some: take more seconds")
    return Flame(dict(stacks), calls, time.perf_counter() - began)


@plots.in_style
def _draw(found: Flame, title: str, least: float):
    boxes = [box for box in found.boxes() if box[2] >= least]
    deepest = max(depth for depth, *_ in boxes)
    figure, axes = plots.blank(height=1.0 + 0.23 * (deepest + 1), width=8.4)
    for depth, left, width, name in boxes:
        colour = plots.COLOURS[(1, 4)[sum(map(ord, name)) % 2]]
        axes.barh(depth, width, 0.92, left, color=colour, alpha=0.55 + 0.04 * (len(name) % 7),
                  edgecolor="white", linewidth=0.7)
        room = int(width * 118)                                 # letters of this size in the whole width
        label = name if len(name) <= room else name.rpartition(".")[2]
        if len(label) <= room:
            axes.text(left + width / 2, depth, label, ha="center", va="center", fontsize=7)
    axes.set_xlim(0, 1)
    axes.set_ylim(-0.6, deepest + 0.6)
    axes.set_yticks([])
    axes.grid(False)
    axes.xaxis.set_major_formatter(lambda share, _: f"{share:.0%}")
    axes.set_xlabel(f"of the time, {found.samples} samples; what stands on a box is called by it")
    axes.set_title(title)
    return figure
