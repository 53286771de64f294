"""`python -m puffer_min bench`: how fast the environments are on this machine, and how fast the machine is.

    python -m puffer_min bench squared snake
    python -m puffer_min bench --all --seconds 1 --json bench.json
    python -m puffer_min bench --checkpoint snake.pt            microseconds of one decision of a policy

Each line is one environment: agent-steps/s on one core with 1, 64, 1024 and 4096 environments a call, the
bytes of an agent-step in the buffers, and the best figure as a share of the speed at which NumPy copies
blocks of the same size, measured in the same run. A simulator near 1 is as fast as memory.

A decision is one action for one plain observation, on one thread: by `act` of `load_policy`, and by
onnxruntime, if it is installed, from the policy's ONNX file.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib.util
import json
import platform
import sys
import tempfile
import time
from dataclasses import asdict, dataclass

import numpy as np
import torch

import envs
from envs.core.settings import number
from puffer_min.commands import locate
from puffer_min.commands.log import in_short
from puffer_min.cores import cores
from puffer_min.learner.checkpoint import load_policy
from puffer_min.learner.networks.export import export
from puffer_min.measure import measure, quantity
from puffer_min.selfplay.arena import one_thread
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

    matrix = torch.ones(512, 512)
    with one_thread():
        flops = measure(lambda: torch.mm(matrix, matrix), per_call=2 * 512**3, **each).best
    copies = [copy_speed(size, seconds / 4) for size in (64 * 2**20, 2**19)]
    return Yardstick(measure(adds, per_call=loop, **each).best, *copies, flops, f"torch {torch.__version__}")


def copy_speed(size: int, seconds: float = 0.2) -> float:
    """Bytes read and written per second when NumPy copies a block of `size` bytes again and again."""
    source, target = np.ones(size, np.uint8), np.zeros(size, np.uint8)
    return measure(lambda: np.copyto(target, source), per_call=2 * size, seconds=seconds).best


# ---------------------------------------------------------------------- the table

def speeds(name: str, batches, seconds: float) -> list[dict]:
    """Measure the environment `name` with each number of environments in `batches`, except too large ones.

    Each is a dict: num_envs, bytes_per_step (of an agent), share_of_copy (of the speed of copying them), and
    the fields of a `Measurement`.
    """
    found, make_env = [], locate.load_environment(name)
    for num_envs in batches if is_native(make_env) else [n for n in batches if n <= MAX_COPIES]:
        if found and found[0]["per_call"] // found[0]["num_envs"] * num_envs > MAX_AGENTS:
            break
        with contextlib.closing(make_batch(make_env, num_envs)) as env:
            size = sum(array.nbytes for array in env.buffers if array is not None)
            measurement = measure(env, seconds=seconds, name=name)
            row = size / env.num_agents
            rows_copied = copy_speed(max(size, 64), min(seconds, 0.1)) / 2 / row        # per second
            found.append({"num_envs": num_envs, "bytes_per_step": round(row),
                          "share_of_copy": measurement.best / rows_copied, **measurement.as_dict()})
    return found


# ---------------------------------------------------------------------- one decision

def decisions(checkpoint, seconds: float) -> dict[str, list[float]]:
    """Microseconds of one decision of the policy in `checkpoint`: way -> [median, 99th percentile]."""
    policy = load_policy(checkpoint)
    space = policy.policy.spec.single_observation_space
    layout = getattr(space, "layout", None)
    sample = (space if layout is None else layout.space).sample()
    with one_thread():
        found = {"act": latency(lambda: policy.act(sample), seconds)}
    if importlib.util.find_spec("onnxruntime"):
        found["onnxruntime"] = latency(onnx_decision(policy, sample), seconds)
    return found


def onnx_decision(policy, sample):
    """A function that lets onnxruntime decide for the observation `sample`, on one thread."""
    import onnxruntime  # optional

    with tempfile.TemporaryDirectory() as folder:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        session = onnxruntime.InferenceSession(export(policy, f"{folder}/policy.onnx"), options)
    rows, _ = policy.rows_of(sample)
    layout = getattr(policy.policy.spec.single_observation_space, "layout", None)
    seen = layout.views(rows) if layout is not None and layout.structured else [rows]
    values = [*map(np.ascontiguousarray, seen), policy.policy.initial_state(1).numpy()]
    inputs = {given.name: value for given, value in zip(session.get_inputs(), values, strict=False)}
    return lambda: session.run(["actions"], inputs)


def latency(call, seconds: float) -> list[float]:
    """Median and 99th percentile of the microseconds that a call takes, from about `seconds` of calls."""
    times, until = [], time.perf_counter() + seconds
    for _ in range(20):
        call()
    while len(times) < 100 or time.perf_counter() < until:
        began = time.perf_counter_ns()
        call()
        times.append((time.perf_counter_ns() - began) / 1e3)
    return np.percentile(times, [50, 99]).tolist()


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of `python -m puffer_min bench`."""
    parser.add_argument("environments", nargs="*", metavar="ENV", help="environments: names, or files"
                        " .pyx and .py")
    parser.add_argument("--checkpoint", metavar="FILE",
                        help="a policy, whose time for one decision is measured")
    parser.add_argument("--all", action="store_true", help="every native environment")
    parser.add_argument("--seconds", type=float, default=0.5, help="clocked seconds for each figure (0.5)")
    parser.add_argument("--json", metavar="FILE",
                        help="write the figures to FILE as JSON, or with - to standard output")


def run(args: argparse.Namespace) -> int:
    """Print the table; returns 0, or 1 if an environment could not be measured."""
    names = envs.names() if args.all else args.environments
    if not names and not args.checkpoint:
        print(f"bench: name environments ({', '.join(envs.names())}), or say --all or --checkpoint FILE",
              file=sys.stderr)
        return 2
    number("seconds", args.seconds, above=0)
    show = (lambda *words: None) if args.json == "-" else print
    if args.json not in (None, "-"):
        open(args.json, "a", encoding="utf-8").close()          # what cannot be written is said before
    machine = yardstick(max(args.seconds, 0.4))
    show(machine)
    taken = decisions(args.checkpoint, args.seconds) if args.checkpoint else {}
    if taken:
        figures = (f"{way} {median:.0f} ({late:.0f})" for way, (median, late) in taken.items())
        show(f"\nµs of one decision of {args.checkpoint}, median (99th percentile): {', '.join(figures)}")
    if names:
        show("\nagent-steps/s, one core, by environments behind a call")
        show(_row("environment", "agents", "bytes", [f"{n:,}" for n in BATCHES], "of copying"))
    results, broken = [], 0
    for name in names:
        try:
            found = speeds(name, BATCHES, args.seconds)
        except Exception as error:                      # an environment of one's own may raise any
            broken += 1
            plain = isinstance(error, ImportError | ValueError | TypeError)
            print(f"{name:<14} not measured: {error if plain else in_short(error)}",
                  file=sys.stderr if args.json == "-" else sys.stdout)
            continue
        first, share = found[0], max(speed["share_of_copy"] for speed in found)
        rates = [quantity(speed["best"]) for speed in found] + ["-"] * (len(BATCHES) - len(found))
        agents = first["per_call"] // first["num_envs"]
        show(_row(name, agents, first["bytes_per_step"], rates, f"{share:.2g}"))
        results.append({"name": name, "rows": found})
    report = {"machine": f"{platform.system()} {platform.machine()}, {cores()} cores",
              "numpy": np.__version__, "yardstick": asdict(machine), "decisions": taken,
              "environments": results}
    if args.json == "-":
        print(json.dumps(report, indent=1))
    elif args.json:
        with open(args.json, "w", encoding="utf-8") as file:
            json.dump(report, file, indent=1)
        show(f"\nThe figures are in {args.json}.")
    else:
        show("\nThe figures went to this terminal only; --json FILE keeps them.")
    return 1 if broken else 0


def _row(name, agents, size, rates, share) -> str:
    return f"{name:<14}{agents:>7}{size:>8}" + "".join(f"{rate:>10}" for rate in rates) + f"{share:>12}"
