"""`StageClock` times stages that follow each other without a gap, so they add up to the wall time."""

import time

STAGES = ("environment", "copy", "forward", "advantage", "learn", "misc")
"""environment: its steps · copy: into and out of the buffer, to and from the device · forward: acting ·
advantage: GAE or V-trace · learn: losses, gradients, optimiser · misc: everything else. A run with opponents
(selfplay/opponents.py) has one more, `opponents`: their actions."""


class StageClock:
    """`lap(stage)` adds the time since the last lap to `stage`. `seconds` are the sums since `restart`."""

    def __init__(self):
        self.restart()

    def restart(self):
        """Set all stages to zero and start timing."""
        self.seconds = dict.fromkeys(STAGES, 0.0)
        self.last = time.perf_counter()

    def lap(self, stage: str) -> None:
        """Add the time since the last lap to `stage`: a nanosecond at least, where the clock shows none."""
        now = time.perf_counter()
        self.seconds[stage] = self.seconds.get(stage, 0.0) + max(now - self.last, 1e-9)
        self.last = now

    @property
    def total(self) -> float:
        """Seconds from `restart` to the last lap: the sum of the stages."""
        return sum(self.seconds.values())

    def shares(self) -> dict[str, float]:
        """Each stage's share of the total; they sum to 1."""
        total = self.total
        return {stage: seconds / total if total else 0.0 for stage, seconds in self.seconds.items()}
