"""Writes the scenes of the crossing: who drives where, and what lies on the road."""

import json
import random
from pathlib import Path

CARS = (5, 9, 10, 7)
"""How many cars each scene has: no two worlds need be alike."""


def write_scenes(root) -> Path:
    """Write data/scenes/*.json under the folder `root`; returns the folder of the scenes. The same files
    every time.
    """
    folder = Path(root) / "data" / "scenes"
    folder.mkdir(parents=True, exist_ok=True)
    for number, cars in enumerate(CARS):
        draw = random.Random(number)
        places = [(column * 12.0 - 24, row * 12.0 - 24) for column in range(5) for row in range(5)]
        draw.shuffle(places)
        scene = {
            # x, y, heading, goal x, y
            "cars": [[*places[i], round(draw.uniform(-3.1, 3.1), 3), *places[-1 - i]] for i in range(cars)],
            # x, y, kind
            "road": [[*draw.choice(places), draw.randrange(3)] for _ in range(draw.randrange(4, 9))],
        }
        (folder / f"scene_{number}.json").write_text(json.dumps(scene))
    return folder
