"""Golden trajectories: hashes of what every environment does under seeded random actions, kept in tests/golden/NAME.json.

    python tests/trajectories.py                  write tests/golden for every environment
    python tests/trajectories.py snake pong       for these
    python tests/trajectories.py --print snake    print it and write nothing (PUFFER_DEBUG=1 for the debug build)

A hash that changes says that an environment does something else than before with the same seed. If that was meant, write it anew and
say why in the commit; a policy trained before may no longer fit.
"""

import argparse
import hashlib
import json
import sys
from pathlib import Path

import environments
import numpy as np

GOLDEN = Path(__file__).with_name("golden")
NUM_ENVS, SEED, EVERY = 3, 20241008, 50
ARRAYS = ("observations", "rewards", "terminals", "truncations")


def cases(name: str) -> list[dict]:
    """The settings under which environment `name` is recorded."""
    return [environments.SMALL.get(name, {}), *environments.VARIANTS.get(name, [])]


def record(name: str, settings: dict) -> dict:
    """SHA-256 of each array over a trajectory of `NUM_ENVS` environments, and a running short hash, which says where two begin to differ."""
    env = environments.envs.make(name, NUM_ENVS, seed=SEED, report_interval=0, **settings)
    observations, _ = env.reset()
    digests = {array: hashlib.sha256() for array in ARRAYS}
    running = hashlib.sha256(observations.tobytes())
    digests["observations"].update(observations.tobytes())
    num_steps, marks = environments.steps(name), []
    random = np.random.RandomState(SEED % 2**31)
    for step in range(1, num_steps + 1):
        *arrays, _ = env.step(environments.random_actions(env, random))
        for array, digest in zip(arrays, digests.values(), strict=False):
            digest.update(array.tobytes())
            running.update(array.tobytes())
        if step % EVERY == 0:
            marks.append(running.hexdigest()[:8])
    return {"settings": settings, "num_envs": NUM_ENVS, "seed": SEED, "steps": num_steps, "episodes": env.log().get("n", 0),
            **{array: digest.hexdigest() for array, digest in digests.items()}, f"after every {EVERY} steps": " ".join(marks)}


def golden(name: str) -> list[dict]:
    """What tests/golden keeps of environment `name`. Raises FileNotFoundError with the command that writes it."""
    path = GOLDEN / f"{name}.json"
    if not path.exists():
        raise FileNotFoundError(f"tests/golden/{name}.json is missing: write it with `python tests/trajectories.py {name}`")
    return json.loads(path.read_text())


def difference(expected: dict, found: dict) -> str:
    """The first thing in which two records differ, as a sentence, or "" if they are equal."""
    what = [key for key in expected if expected[key] != found.get(key)]
    if not what:
        return ""
    marks = [record[f"after every {EVERY} steps"].split() for record in (expected, found)]
    equal = next((i for i, (a, b) in enumerate(zip(*marks, strict=False)) if a != b), len(marks[0]))
    return f"{', '.join(what[:-1] or what)} differ, first between steps {equal * EVERY} and {(equal + 1) * EVERY}"


def main(arguments=None):
    parser = argparse.ArgumentParser(description="Write or print the golden trajectories.")
    parser.add_argument("names", nargs="*", metavar="NAME", help="environments, all without any")
    parser.add_argument("--print", action="store_true", help="print JSON and write nothing")
    options = parser.parse_args(arguments)
    records = {name: [record(name, settings) for settings in cases(name)] for name in options.names or environments.names()}
    if options.print:
        json.dump(records, sys.stdout, indent=1)
        return
    GOLDEN.mkdir(exist_ok=True)
    for name, found in records.items():
        (GOLDEN / f"{name}.json").write_text(json.dumps(found, indent=1) + "\n")
        print(f"tests/golden/{name}.json holds {len(found)} trajectories of {found[0]['steps']} steps")


if __name__ == "__main__":
    main()
