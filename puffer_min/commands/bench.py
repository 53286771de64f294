"""`python -m puffer_min bench`: how fast the environments are on this machine, and how fast the machine is.

    python -m puffer_min bench squared snake
    python -m puffer_min bench --all --seconds 1 --json bench.json

Each line is one environment: agent-steps/s on one core with 1, 64, 1024 and 4096 environments a call, the
bytes of an agent-step in the buffers, and the best figure as a share of the speed at which NumPy copies
blocks of the same size, measured in the same run. A simulator near 1 is as fast as memory.
"""

from __future__ import annotations

import argparse
import json
import platform
import sys
from dataclasses import asdict, dataclass

import numpy as np
import torch

import envs
from puffer_min.commands import locate
from puffer_min.cores import cores
from puffer_min.measure import Measurement, measure, quantity
from puffer_min.vector.serial import is_native, make_batch

BATCHES = (1, 64, 1024, 4096)
MAX_AGENTS = 2**18              # a batch of more agents is left out
MAX_COPIES = 64                 # of an environment in Python


# ---------------------------------------------------------------------- the machine

@dataclass(frozen=True)
class Yardstick:
    """Speed of the machine, one thread, measured before the table to compare figures of two machines.

    python_adds     additions per second in a Python loop
    copy_memory, copy_cache     bytes read and written per second by np.copyto, of 64 MiB and of 512 KiB
    matmul          float32 operations per second, 512 x 512 x 512
    """

    python_adds: float
    copy_memory: float
    copy_cache: float
    matmul: float
    matmul_by: str

    def __str__(self):
        memory, cache = (f"{rate / 1e9:.0f} GB/s" for rate in (self.copy_memory, self.copy_cache))
        return (f"Yardstick, one thread: Python loop {quantity(self.python_adds)} additions/s; "
                f"copy of 64 MiB {memory}, of 512 KiB {cache} (bytes read and written); "
                f"float32 product 512 x 512 x 512 {self.matmul / 1e9:.0f} GFLOP/s ({self.matmul_by})")


def yardstick(seconds: float = 1.0) -> Yardstick:
    """Measure the machine in about `seconds` seconds."""
    each = {"seconds": seconds / 4, "repeats": 5}
    loop = 100_000

    def adds():
        total = 0
        for i in range(loop):
            total += i

    matrix, threads = torch.ones(512, 512), torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        flops = measure(lambda: torch.mm(matrix, matrix), per_call=2 * 512**3, **each).best
    finally:
        torch.set_num_threads(threads)
    copies = [copy_speed(size, seconds / 4) for size in (64 * 2**20, 2**19)]
    return Yardstick(measure(adds, per_call=loop, **each).best, *copies, flops, f"torch {torch.__version__}")


def copy_speed(size: int, seconds: float = 0.2) -> float:
    """Bytes read and written per second when NumPy copies a block of `size` bytes again and again."""
    source, target = np.ones(size, np.uint8), np.zeros(size, np.uint8)
    return measure(lambda: np.copyto(target, source), per_call=2 * size, seconds=seconds).best


# ---------------------------------------------------------------------- the table

@dataclass(frozen=True)
class Speed:
    """One environment at one batch size: its speed, bytes per agent-step, share of the copying bound."""

    num_envs: int
    measurement: Measurement
    bytes_per_step: int
    share_of_copy: float


def speeds(name: str, batches, seconds: float) -> list[Speed]:
    """Measure the environment `name` with each number of environments in `batches`, except too large ones."""
    found, make_env = [], locate.load_environment(name)
    for num_envs in batches if is_native(make_env) else [n for n in batches if n <= MAX_COPIES]:
        if found and found[0].measurement.per_call // found[0].num_envs * num_envs > MAX_AGENTS:
            break
        env = make_batch(make_env, num_envs)
        try:
            size = sum(array.nbytes for array in env.buffers if array is not None)
            measurement = measure(env, seconds=seconds, name=name)
            row = size / env.num_agents
            rows_copied = copy_speed(max(size, 64), min(seconds, 0.1)) / 2 / row        # per second
            found.append(Speed(num_envs, measurement, round(row), measurement.best / rows_copied))
        finally:
            env.close()
    return found


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of `python -m puffer_min bench`."""
    parser.add_argument("environments", nargs="*", metavar="ENV", help="environments: names, or files"
                        " .pyx and .py")
    parser.add_argument("--all", action="store_true", help="every native environment")
    parser.add_argument("--seconds", type=float, default=0.5, help="clocked seconds for each figure (0.5)")
    parser.add_argument("--json", metavar="FILE",
                        help="write the figures to FILE as JSON, or with - to standard output")


def run(args: argparse.Namespace) -> int:
    """Print the table; returns 0, or 1 if an environment could not be measured."""
    names = envs.names() if args.all else args.environments
    if not names:
        print(f"bench: name environments ({', '.join(envs.names())}) or say --all", file=sys.stderr)
        return 2
    show = (lambda *words: None) if args.json == "-" else print
    machine = yardstick(max(args.seconds, 0.4))
    show(f"{machine}\n\nagent-steps/s, one core, by environments behind a call")
    show(_row("environment", "agents", "bytes", [f"{n:,}" for n in BATCHES], "of copying"))
    results, broken = [], 0
    for name in names:
        try:
            found = speeds(name, BATCHES, args.seconds)
        except (ImportError, ValueError, TypeError) as error:
            broken += 1
            show(f"{name:<14} not measured: {error}")
            continue
        first, share = found[0], max(speed.share_of_copy for speed in found)
        rates = [quantity(speed.measurement.best) for speed in found] + ["-"] * (len(BATCHES) - len(found))
        agents = first.measurement.per_call // first.num_envs
        show(_row(name, agents, first.bytes_per_step, rates, f"{share:.2g}"))
        rows = [{"num_envs": speed.num_envs, "bytes_per_step": speed.bytes_per_step,
                 "share_of_copy": speed.share_of_copy, **speed.measurement.as_dict()} for speed in found]
        results.append({"name": name, "rows": rows})
    report = {"machine": f"{platform.system()} {platform.machine()}, {cores()} cores",
              "numpy": np.__version__, "yardstick": asdict(machine), "environments": results}
    if args.json == "-":
        print(json.dumps(report, indent=1))
    elif args.json:
        with open(args.json, "w", encoding="utf-8") as file:
            json.dump(report, file, indent=1)
        show(f"\nThe figures are in {args.json}.")
    else:
        show("\nThe table went to this terminal only; --json FILE keeps the figures.")
    return 1 if broken else 0


def _row(name, agents, size, rates, share) -> str:
    return f"{name:<14}{agents:>7}{size:>8}" + "".join(f"{rate:>10}" for rate in rates) + f"{share:>12}"
