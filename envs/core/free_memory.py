"""How much memory this process may still take: a batch that needs more is refused."""

import os
from pathlib import Path

try:
    import resource
except ImportError:                     # Windows
    resource = None

UNLIMITED = 2**62
CGROUP = Path("/sys/fs/cgroup")


def free_memory() -> int:
    """Bytes that the machine, the container and the limits of the process leave, or UNLIMITED."""
    return max(0, min(_machine(), _container(), _process()))


def _machine() -> int:
    """Memory that the kernel can give without swapping, on Linux; elsewhere what is built in."""
    try:
        for line in Path("/proc/meminfo").read_text().splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError, AttributeError):
        return UNLIMITED


def _container() -> int:
    """Bytes that the control group leaves; cached files do not count, because the kernel drops them first."""
    for limit, usage, statistics, cached in (("memory.max", "memory.current", "memory.stat", "inactive_file"),
                                             ("memory/memory.limit_in_bytes", "memory/memory.usage_in_bytes",
                                              "memory/memory.stat", "total_inactive_file")):
        try:
            most = (CGROUP / limit).read_text().strip()
            if most == "max":
                return UNLIMITED
            counters = dict(line.split() for line in (CGROUP / statistics).read_text().splitlines())
            return int(most) - int((CGROUP / usage).read_text()) + int(counters.get(cached, 0))
        except (OSError, ValueError):
            continue
    return UNLIMITED


def _process() -> int:
    """What RLIMIT_AS leaves of the address space."""
    most = resource.getrlimit(resource.RLIMIT_AS)[0] if resource else -1
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[0])
    except OSError:
        return UNLIMITED
    return most - pages * os.sysconf("SC_PAGE_SIZE") if most >= 0 else UNLIMITED
