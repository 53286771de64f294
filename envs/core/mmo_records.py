"""The rows that `mmo` gives to its callers: of inhabitants, and of lives that have ended."""

import numpy as np

SKILLS, GOODS, ACTIVITIES = 8, 9, 11

BODY = [(name, "i4") for name in ("row", "column", "health", "food", "water", "age", "gold")]
GEAR = [(name, "i4") for name in ("tool", "weapon", "armour", "trade", "activity")]
DEEDS = [(name, "i4") for name in ("trades", "gifts", "kills", "crafted", "gathered")]
PERSON = np.dtype([*BODY, *GEAR, ("levels", "i4", SKILLS), ("goods", "i4", GOODS), ("distance", "i4"),
                   *DEEDS])
"""An inhabitant. trade: index into `env.trades`, -1 for an agent that learns; activity: of the last tick."""

HEAD = [*((name, "i4") for name in ("agent", "trade", "born", "age", "cause")), ("levels", "i4", SKILLS)]
COUNTS = [(name, "i4") for name in ("gold", "wealth", "distance", "regions", "row", "column")]
RAW = np.dtype([*HEAD, *COUNTS, ("spent", "i4", ACTIVITIES), *DEEDS])
"""A life as the simulator keeps it: struct Life of mmo_world.pxd."""

LIFE = np.dtype([("world", "i4"), *HEAD, *COUNTS, ("activity", "f4", ACTIVITIES), *DEEDS])
"""A life that has ended.

world     index of the world; agent: of the inhabitant in it (from `agents` on a native); trade: as in PERSON
born      tick; age: in ticks; cause: index into `env.causes`; levels: in the order of `env.skills`
wealth    gold and goods at base prices; distance: cells walked; regions: of 16 x 16 that it entered
row       where it died, as column
activity  share of its ticks, in the order of `env.activities`, sum 1
"""


def lives(raw: np.ndarray, world: int) -> np.ndarray:
    """Rows of LIFE from rows of RAW of one world."""
    rows = np.zeros(len(raw), LIFE)
    for name in RAW.names:
        if name != "spent":
            rows[name] = raw[name]
    rows["world"] = world
    rows["activity"] = raw["spent"] / raw["age"][:, None]
    return rows
