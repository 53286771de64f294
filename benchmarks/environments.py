"""Our simulators beside peers from the package index, in one process, so that the ratios mean something.

    python benchmarks/environments.py                    all pairs, a table
    python benchmarks/environments.py --json out.json    the same as JSON
    pip install envpool crafter minigrid                 the peers; those that are missing are named and left
                                                         out

Each pair takes turns on one core (`measure_together`), the best of several repeats counts, actions are drawn
beforehand. A peer that must be reset by its caller is reset inside the clock, as it is in use.
"""

import argparse
import importlib.util
import json
import os
import sys
import warnings

os.environ.setdefault("OMP_NUM_THREADS", "1")                  # one core, before NumPy is imported

import gymnasium
import numpy as np

import envs
from puffer_min.course.survey_rows import Crafter
from puffer_min.measure import measure, measure_together, quantity


class EnvPool:
    """An EnvPool batch with the face that `measure` knows."""

    def __init__(self, task, num_envs):
        import envpool

        self.pool = envpool.make_gymnasium(task, num_envs=num_envs, num_threads=1)
        self.num_envs = self.num_agents = num_envs
        self.single_action_space = self.pool.action_space
        self.actions = np.zeros(num_envs, np.int32)

    def reset(self, seed=None):
        return self.pool.reset()

    def step(self, actions):
        return self.pool.step(actions)


def minigrid(task):
    import minigrid  # noqa: F401 - registers the environments

    return gymnasium.make(task, disable_env_checker=True)


PAIRS = [
    # name of the peer, its package, how it is made, how ours is made at the same number of environments a
    # call
    ("Gymnasium CartPole-v1, 1", "gymnasium",
     lambda: gymnasium.make("CartPole-v1", disable_env_checker=True), lambda: envs.make("cartpole")),
    ("Gymnasium CartPole-v1, its vector version, 1024", "gymnasium",
     lambda: gymnasium.make_vec("CartPole-v1", num_envs=1024,
                                vectorization_mode="vector_entry_point"),
     lambda: envs.make("cartpole", 1024)),
    ("EnvPool CartPole-v1, 1024, one thread", "envpool",
     lambda: EnvPool("CartPole-v1", 1024), lambda: envs.make("cartpole", 1024)),
    ("MiniGrid Empty-8x8, 1", "minigrid",
     lambda: minigrid("MiniGrid-Empty-8x8-v0"), lambda: envs.make("grid", task="empty", size=8)),
    ("MiniGrid DoorKey-8x8, 1", "minigrid",
     lambda: minigrid("MiniGrid-DoorKey-8x8-v0"), lambda: envs.make("grid", task="door_key", size=8)),
    ("MiniGrid FourRooms, 1", "minigrid",
     lambda: minigrid("MiniGrid-FourRooms-v0"), lambda: envs.make("grid", task="four_rooms")),
    ("MiniGrid DoorKey-8x8, 1 (ours 1024 a call)", "minigrid", lambda: minigrid("MiniGrid-DoorKey-8x8-v0"),
     lambda: envs.make("grid", 1024, task="door_key", size=8)),
]

MMO_AGENTS = 1024, 4096, 16_384         # no peer of `mmo` is in the package index: its speed by size


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", metavar="FILE", help="write the figures there as well")
    parser.add_argument("--seconds", type=float, default=1.5,
                        help="clocked time for each side of a pair (default 1.5)")
    arguments = parser.parse_args()
    warnings.filterwarnings("ignore", module="gymnasium|gym")
    rows, missing = [], set()
    print(f"{'peer':<50}{'peer steps/s':>14}{'ours':>12}{'ratio':>10}")
    for name, package, make_peer, make_ours in PAIRS:
        if importlib.util.find_spec(package) is None:
            missing.add(package)
            continue
        found = measure_together({"peer": make_peer(), "ours": make_ours()}, seconds=arguments.seconds)
        peer, ours = found["peer"].best, found["ours"].best
        rows.append({"peer": name, "peer_steps_per_second": peer, "our_steps_per_second": ours,
                     "ratio": ours / peer})
        print(f"{name:<50}{quantity(peer):>14}{quantity(ours):>12}{ours / peer:>9.3g}x", flush=True)
    if importlib.util.find_spec("crafter"):
        found = measure(Crafter(), seconds=2 * arguments.seconds, repeats=3)
        rows.append({"peer": "Crafter, 1", "peer_steps_per_second": found.best,
                     "reset_share": found.reset_share})
        name = f"Crafter, 1 ({found.reset_share:.0%} of the time in resets)"
        print(f"{name:<50}{quantity(found.best):>14}{'-':>12}{'-':>10}")
    else:
        missing.add("crafter")
    for agents in MMO_AGENTS:
        found = measure(envs.make("mmo", agents=agents), seconds=arguments.seconds)
        rows.append({"environment": "mmo", "agents": agents, "our_steps_per_second": found.best})
        name = f"none, mmo with {agents:,} agents in one world"
        print(f"{name:<50}{'-':>14}{quantity(found.best):>12}{'-':>10}", flush=True)
    if missing:
        print(f"Left out, because not installed: {', '.join(sorted(missing))}.")
    if arguments.json:
        with open(arguments.json, "w") as file:
            json.dump(rows, file, indent=1)
    print("Steps are agent-steps, best of five repeats that took turns; "
          f"{'figures in ' + arguments.json if arguments.json else 'nothing was written'}.")


if __name__ == "__main__":
    sys.exit(main())
