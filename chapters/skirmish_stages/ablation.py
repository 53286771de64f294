"""Ablations of the package's skirmish: its source with one idea taken out; everything else stays the same.

    build(without("16 bytes an entity"), name="skirmish")

envs/skirmish.pyx and its map, skirmish_map.pxd, become one text, because what is taken out stands in either.
"""

import re
from pathlib import Path

import envs

SOURCES = Path(envs.__file__).parent

ONE_BY_ONE = '''\
        cdef uint64_t todo = game.busy[group] | due, bit
        cdef Entity* entity
        cdef Entity* target
        cdef int i, first = FIRST[group]
        cdef bint home
        while todo:
            i = first + lowest(todo)
            bit = todo & -todo
            todo ^= bit
            entity = &game.entities[i]
            if entity.health <= 0:
                continue
            if entity.pause > 0:
                entity.pause -= 1
            if due & bit:
                entity.target = NOBODY
                if sees_foes(game, side, entity.row, entity.column):
                    entity.target = <uint8_t> nearest(game, i, side, False)
            target = &game.entities[entity.target]
            if target.health <= 0 or far(target.row - entity.row, VISION):
                entity.target = NOBODY
            elif far(target.column - entity.column, VISION):
                entity.target = NOBODY
            home = kind != CREEP and entity.row == entity.home_row and entity.column == entity.home_column
            if entity.target != NOBODY and squared_distance(entity, target) <= REACH[kind]:
                if entity.pause == 0:
                    self.attack(game, i, kind, entity.target)
            elif kind != TOWER and not (entity.target == NOBODY and home):
                self.walk(game, i, kind, side, entity.target == NOBODY)
            home = kind != CREEP and entity.row == entity.home_row and entity.column == entity.home_column
            if home and entity.target == NOBODY and entity.pause == 0:
                game.busy[group] &= ~bit
            else:
                game.busy[group] |= bit

'''

# What is taken out -> pairs of a pattern, which occurs once in the source, and what stands in its place.
HOME_IS_KNOWN = r"(?<=game\.entities\[i\]\.row, game\.entities\[i\]\.column\n)"
IN_ACT_ALL = r"(?<=int kind, int side, uint64_t due\) noexcept nogil:\n).*?(?=    cdef inline void walk)"

ABLATIONS = {
    "16 bytes an entity": [
        (r"(?<=    uint8_t home_column\n)(?=    uint8_t leg)", "    uint8_t[41] spread   # 56 bytes\n")],
    "busy bits": [
        (r"    game\.busy\[group\] &= ~content\n", ""),
        (HOME_IS_KNOWN, "    if i >= FIRST_TOWER:\n        set_busy(game, i, True)\n")],
    "groups without branches": [
        (IN_ACT_ALL, ONE_BY_ONE)],
}


def whole() -> str:
    """The two files as one source."""
    rules, its_map = (SOURCES / "skirmish.pyx").read_text(), (SOURCES / "skirmish_map.pxd").read_text()
    before, after = re.split(r"from envs\.skirmish_map cimport \(.*?\)\n", rules, maxsplit=1, flags=re.DOTALL)
    return before + its_map.split('"""', 2)[2] + after


def without(idea: str) -> str:
    """The source without one of ABLATIONS."""
    text = whole()
    for pattern, instead in ABLATIONS[idea]:
        count = len(re.findall(pattern, text, re.DOTALL))
        assert count == 1, f"{idea}: {pattern!r} occurs {count} times in the package's source, expected once"
        text = re.sub(pattern, instead.replace("\\", r"\\"), text, flags=re.DOTALL)
    return text
