"""`cores`: how many processors this process may use, limited by the system, a container or `taskset`."""

import contextlib
import os
from pathlib import Path

CGROUP_LIMIT = Path("/sys/fs/cgroup/cpu.max")           # "quota period" in microseconds, or "max period"


def cores() -> int:
    """Processors in this process's affinity, or its container's quota (cgroup v2) if that is lower."""
    count = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    with contextlib.suppress(OSError, ValueError):      # no cgroup v2, or the quota is "max"
        quota, period = CGROUP_LIMIT.read_text().split()
        count = max(1, min(count, round(int(quota) / int(period))))
    return count
