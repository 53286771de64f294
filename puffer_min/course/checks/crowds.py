"""Crowds for the checks of level 9, who is nearest in them, and the wrong answers that a sentence names."""

import numpy as np


def reference_nearest_foe(rows, columns, sides, row, column, side):
    away = (rows.astype(np.int64) - row) ** 2 + (columns.astype(np.int64) - column) ** 2
    away[sides == side] = 1 << 40
    return int(away.argmin()) if (sides != side).any() else -1


def slow_nearest_foe(rows, columns, sides, row, column, side):
    best, best_away = -1, None
    for i in range(len(rows)):
        away = (rows[i] - row) ** 2 + (columns[i] - column) ** 2
        if sides[i] != side and (best_away is None or away < best_away):
            best, best_away = i, away
    return best


def crowd(rng, n, size=64):
    cells = rng.choice(size * size, n, replace=False)
    sides = rng.integers(0, 2, n).astype(np.uint8)
    return (cells // size).astype(np.int32), (cells % size).astype(np.int32), sides


def crowds(rng, hidden):
    """Cases for nearest_foe; hidden: of nobody, of many, of many sides, on a large map, seen from outside."""
    cases = [(*crowd(rng, n), int(rng.integers(64)), int(rng.integers(64)), int(rng.integers(2)))
             for n in (1, 2, 5, 20, 60)]
    cases.append((*(part[:4] for part in crowd(rng, 8)[:2]), np.zeros(4, np.uint8), 3, 3, 0))
    # a small map of four sides, full of foes as near as each other
    for n in (8, 16):
        rows, columns, _ = crowd(rng, n, size=4)
        cases += [(rows, columns, rng.integers(0, 4, n).astype(np.uint8), int(row), int(column), int(side))
                  for row, column, side in rng.integers(0, 4, (6, 3))]
    if hidden:
        rows, columns, sides = crowd(rng, 300)
        none = rows[:0], columns[:0], sides[:0]
        cases += [(*none, 3, 3, 0), (rows, columns, sides, -40, 100, 1),
                  (rows[:1], columns[:1], sides[:1], 0, 0, 2),
                  (rows * 150, columns * -150, rng.integers(0, 256, 300).astype(np.uint8), 5, 7, 255)]
        same = np.full(4, 9, np.int32)                      # four on one cell
        cases += [(same, same, np.array([1, 0, 2, 0], np.uint8), 9, 9, side) for side in (0, 1, 2)]
    return cases


def of_all(rows, columns, sides, row, column, side):
    return reference_nearest_foe(rows, columns, 1 - np.full_like(sides, side), row, column, side)


def l1(rows, columns, sides, row, column, side):
    away = np.abs(rows - row) + np.abs(columns - column)
    return int(np.where(sides == side, 1 << 30, away).argmin()) if (sides != side).any() else -1


def last_of_the_nearest(rows, columns, sides, row, column, side):
    found = reference_nearest_foe(rows[::-1], columns[::-1], sides[::-1], row, column, side)
    return len(rows) - 1 - found if found >= 0 else -1


def not_on_the_cell(rows, columns, sides, row, column, side):
    return reference_nearest_foe(rows, columns,
                                 np.where((rows == row) & (columns == column), side, sides), row, column,
                                 side)


FOES = {
    "it finds friends too: pass over those of the same side": of_all,
    "it measures by |dx| + |dy|, which is another game: compare squared distances": l1,
    "of two as near it takes the last, expected the one of lower index: compare with <":
        lambda *case: last_of_the_nearest(*case),
    "it takes 1 - side for the only other side: every entity of another side is a foe":
        lambda rows, columns, sides, *rest:
        reference_nearest_foe(rows, columns, np.where(sides == 1 - rest[2], sides, rest[2]), *rest),
    "a foe on the very cell is passed over: a distance of 0 is the nearest of all": not_on_the_cell,
    "where no foe is seen it returns 0, which is an entity: return -1":
        lambda *case: max(reference_nearest_foe(*case), 0)}


def brute_force(rows, columns, sides, radius):
    away = (rows[:, None] - rows.astype(np.int64)) ** 2 + (columns[:, None] - columns.astype(np.int64)) ** 2
    far = (np.abs(rows[:, None] - rows) > radius) | (np.abs(columns[:, None] - columns) > radius)
    out = (sides[:, None] == sides) | far
    away[out] = 1 << 40
    found = away.argmin(1)
    found[out.all(1)] = -1
    return found


def own_bucket_only(rows, columns, sides, radius):
    found = np.full(len(rows), -1)
    for bucket in set(zip(rows // 8, columns // 8, strict=True)):
        members = np.flatnonzero((rows // 8 == bucket[0]) & (columns // 8 == bucket[1]))
        best = brute_force(rows[members], columns[members], sides[members], radius)
        found[members] = np.where(best >= 0, members[best], -1)
    return found


def slow_buckets(rows, columns, sides, radius):
    """The baseline of the speed claim: everybody asks everybody."""
    rows, columns, sides, found = rows.tolist(), columns.tolist(), sides.tolist(), []
    for i in range(len(rows)):
        best, best_away = -1, 1 << 40
        for j in range(len(rows)):
            dy, dx = rows[j] - rows[i], columns[j] - columns[i]
            if (sides[j] != sides[i] and abs(dy) <= radius and abs(dx) <= radius
                and dy * dy + dx * dx < best_away):
                best, best_away = j, dy * dy + dx * dx
        found.append(best)
    return found


def of_one_side(rows, columns, sides, radius):
    """Foes are of side 1 - side alone."""
    found, both = np.full(len(rows), -1), np.flatnonzero(sides <= 1)
    best = brute_force(rows[both], columns[both], sides[both], radius)
    found[both] = np.where(best >= 0, both[best], -1)
    return found


def of_higher_index(rows, columns, sides, radius):
    found = brute_force(rows[::-1], columns[::-1], sides[::-1], radius)[::-1]
    return np.where(found >= 0, len(rows) - 1 - found, -1)


def bucket_cases(rng, hidden):
    cases = [(*crowd(rng, n), radius)
             for n, radius in ((1, 5), (30, 3), (200, 5), (200, 8), (400, 1), (60, 8))]
    rows, columns, _ = crowd(rng, 300)
    cases.append((rows, columns, rng.integers(0, 4, 300).astype(np.uint8), 4))
    if hidden:
        # the corners; the whole map full; friends alone; a radius of 0; many sides, and few entities
        corners = np.array([0, 0, 63, 63, 7, 8], np.int32), np.array([0, 63, 0, 63, 56, 55], np.int32)
        cases += [(*corners, np.array([0, 1, 0, 1, 0, 1], np.uint8), 8), (*crowd(rng, 700), 7),
                  (*crowd(rng, 50)[:2], np.full(50, 3, np.uint8), 8), (*crowd(rng, 300), 0),
                  (*crowd(rng, 20)[:2], rng.integers(0, 256, 20).astype(np.uint8), 8)]
        block = np.arange(256, dtype=np.int32)
        cases.append((20 + block // 16, 40 + block % 16, (block % 7 == 0).astype(np.uint8), 6))
    return cases


BUCKETS = {
    "it looks into the own bucket alone: a foe next door may be nearer": own_bucket_only,
    "it finds friends too: pass over those of the same side":
        lambda rows, columns, sides, radius: brute_force(rows, columns, np.arange(len(rows)), radius),
    "it finds friends, and first of all itself: pass over those of the same side":
        lambda rows, *rest: np.arange(len(rows)),
    "of two as near it takes the one of higher index": of_higher_index,
    "the radius is one short: a foe `radius` rows away is still seen":
        lambda rows, columns, sides, radius: brute_force(rows, columns, sides, radius - 1),
    "it takes 1 - side for the only other side: every entity of another side is a foe": of_one_side}
