"""`cores`: how many processors this process may use, as the system, a container or `taskset` limits it."""

import contextlib
import os
from pathlib import Path

CGROUP_LIMIT = Path("/sys/fs/cgroup/cpu.max")           # "quota period" in microseconds, or "max period"


def cores() -> int:
    """Processors in this process's affinity, or fewer where a container (cgroup v2) is given less time than they have."""
    count = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    with contextlib.suppress(OSError, ValueError):
        quota, period = CGROUP_LIMIT.read_text().split()
        count = max(1, min(count, round(int(quota) / int(period))))     # ValueError: "max"
    return count
