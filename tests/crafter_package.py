"""The `crafter` package as the oracle of `envs/crafter.pyx`, and records of its games, for machines without it.

    python tests/crafter_package.py                  plays the package and writes tests/crafter_games.json

The package keeps the objects of a chunk in a set, and the order of a set of objects is that of their
addresses. The oracle is the package with that container in the order of insertion; nothing else is changed.
"""

import collections
import hashlib
import importlib
import importlib.util
import json
from pathlib import Path

import numpy as np

RECORDS = Path(__file__).with_name("crafter_games.json")
INSTALLED = importlib.util.find_spec("crafter") is not None
GAMES = [{"seed": seed, "style": style, "length": length, "steps": 700}
         for seed, style, length in ((0, "random", 10000), (1, "wanderer", 10000), (2, "miner", 10000), (2**31 - 2, "sleeper", 10000), (7, "miner", 211))]
"""The games that tests/crafter_games.json holds."""


class InOrder(dict):
    """A set that remembers the order of insertion."""

    def add(self, member):
        self[member] = None

    def remove(self, member):
        del self[member]


class Hashes:
    """Of a game's pictures, and of all else that a step shows."""

    def __init__(self):
        self.pictures, self.rest = hashlib.sha256(), hashlib.sha256()

    def mark(self) -> str:
        return f"{self.pictures.hexdigest()[:8]} {self.rest.hexdigest()[:8]}"


def package(seed, length=10000, order=InOrder):
    """`crafter.Env` whose chunks are in the order of arrival, or in that of `order`."""
    engine = importlib.import_module("crafter.engine")

    class World(engine.World):
        def reset(self, seed=None):
            super().reset(seed)
            self._chunks = collections.defaultdict(order)

    env = importlib.import_module("crafter").Env(seed=seed, length=length)
    env._world.__class__ = World
    return env


def actions(style, steps, seed):
    """(steps,) int32 of a scripted or random player; the same in every NumPy."""
    random, chosen = np.random.RandomState(seed), []
    while len(chosen) < steps:
        draw = random.random_sample()
        if style == "random":
            chosen.append(int(draw * 17))
        elif style == "wanderer":                               # long walks, a strike now and then
            chosen += [1 + int(draw * 4)] * (1 + int(random.random_sample() * 12)) + [5] * int(random.random_sample() * 4)
        elif style == "miner":                                  # takes what is ahead, builds and makes whatever it can
            chosen += [1 + int(draw * 4)] * (1 + int(random.random_sample() * 3)) + [5] * 3
            if random.random_sample() < 0.3:
                chosen += [7 + int(random.random_sample() * 4), *(range(11, 17))]
        else:                                                   # sleeps whenever it can
            chosen += [6] * int(draw * 60) + [1 + int(random.random_sample() * 4)] * 3 + [5] * 5
    return np.array(chosen[:steps], np.int32)


def numbers(inventory, achievements, position, semantic, reward, done) -> bytes:
    """What a step shows beside its picture, as bytes."""
    return b"".join([np.array([*inventory.values(), *achievements.values(), *position], np.int64).tobytes(),
                     np.ascontiguousarray(semantic, np.uint8).tobytes(), np.float32(reward).tobytes(), bytes([bool(done)])])


def play_package(seed, style, length, steps) -> dict:
    """Hashes of a game of the package: of the pictures, and of all else; both after every 50 steps."""
    env, hashes, marks, ends = package(seed, length), Hashes(), [], 0
    hashes.pictures.update(np.ascontiguousarray(env.reset()))
    for step, action in enumerate(actions(style, steps, seed % 1000), 1):
        picture, reward, done, info = env.step(int(action))
        hashes.pictures.update(np.ascontiguousarray(picture))
        if done:                                                # the native game shows the next world by then
            hashes.rest.update(np.float32(reward).tobytes() + b"end")
            hashes.pictures.update(np.ascontiguousarray(env.reset()))
            ends += 1
        else:
            hashes.rest.update(numbers(info["inventory"], info["achievements"], info["player_pos"], info["semantic"], reward, done))
        if step % 50 == 0:
            marks.append(hashes.mark())
    return {"seed": seed, "style": style, "length": length, "steps": steps, "ends": ends, "after every 50 steps": marks}


if __name__ == "__main__":
    RECORDS.write_text(json.dumps([play_package(**game) for game in GAMES], indent=1) + "\n")
    print(f"{RECORDS.name} holds {len(GAMES)} games of {GAMES[0]['steps']} steps")
