"""Games of `triple_triad` against the greedy opponent searched to their end,
for benchmarks/triple_triad_ceiling.py.

    best_moves      the largest probability to win, and a move that has it: every move of one's own is
                    tried, and the opponent's ties, all equally probable, are averaged over, to the end of
                    the game: nothing is sampled, the figure is exact. With a horizon, what a player finds
                    that looks less far ahead.
    wins_knowing_ties   whether a game can be won by one who knows how every tie will be broken (by a hash of
                        the position and a key)
    greedy_moves    what the opponent's rule would play in the agent's place
    outcomes        every observation that one move can lead to; the tests compare it with the environment

An observation is a row of the environment in which it is the agent's turn and no card is selected. Cards have
numbers: 0-4 in one's own hand, 5-9 in the other, 10-18 lying on cell 0-8 when the search begins. Sets of
cells and of cards are bits.

Pruning       A move counts only if it is better than the best one so far, `bound`. The mean over t ties is at
              most what it would be if all the ties still to come were won, so a tie that leaves too little
              ends the rest (Ballard 1983, "Star1"). A move that is sure to win ends the search of its
              position. Moves that turn over most are tried first.
"""

import numpy as np

from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memset

from envs.core.random cimport mix

cdef enum:
    CELLS = 9
    CARDS = 5
    ALL_CELLS = 511
    LYING = 10                      # number of the card that lies on cell 0
    MINE_AT = 36                    # parts of the observation, as in envs/triple_triad.pyx
    THEIRS_AT = 45
    HAND_AT = 54
    KNOWN = 94                      # the parts that `outcomes` fills in: all before the selected card
    MOVES = 45

cdef int[36] NEIGHBOUR = [-1, 1, 3, -1,  -1, 2, 4, 0,  -1, -1, 5, 1,    # up, right, down, left of a cell
                          0, 4, 6, -1,   1, 5, 7, 3,   2, -1, 8, 4,
                          3, 7, -1, -1,  4, 8, -1, 6,  5, -1, -1, 7]
cdef int[9] AROUND = [10, 21, 34, 81, 170, 276, 136, 336, 160]              # the same as sets of cells

cdef struct Deal:
    uint32_t[40] beats              # card in a hand, direction: the set of cards that its number there beats

cdef struct Position:
    uint8_t[9] card                 # number of the card on each cell; only read where one lies
    uint16_t mine                   # set of cells
    uint16_t free
    uint16_t hands                  # set of cards not yet played
    int score                       # cards that the agent owns

cdef struct Move:
    uint8_t card, cell, turned


# ---------------------------------------------------------------------- the game

cdef void read(const uint8_t* observation, Deal* deal, Position* position) noexcept nogil:
    cdef const uint8_t* own
    cdef const uint8_t* numbers
    cdef int card, other, direction, cell
    memset(deal, 0, sizeof(Deal))
    memset(position, 0, sizeof(Position))
    for cell in range(CELLS):
        position.card[cell] = <uint8_t> (LYING + cell)
        position.mine |= <uint16_t> (observation[MINE_AT + cell] << cell)
        position.free |= <uint16_t> ((not observation[MINE_AT + cell] and not observation[THEIRS_AT + cell])
                                     << cell)
        position.score += observation[MINE_AT + cell]
    for card in range(2 * CARDS):
        own = observation + HAND_AT + 4 * card
        if own[0] == 0:
            continue
        position.hands |= <uint16_t> (1 << card)
        position.score += card < CARDS
        for other in range(LYING + CELLS):
            numbers = observation + (HAND_AT + 4 * other if other < LYING else 4 * (other - LYING))
            for direction in range(4):
                deal.beats[4 * card + direction] |= (<uint32_t> (own[direction] > numbers[direction ^ 2])
                                                     << other)


cdef inline int turned_by(const Deal* deal, const Position* position, int card, int cell, int rivals,
                          int* count) noexcept nogil:
    """The set of the rivals' cells that a card would turn over, and how many they are."""
    cdef int direction, other, cells = 0
    count[0] = 0
    if not rivals & AROUND[cell]:
        return 0
    for direction in range(4):
        other = NEIGHBOUR[4 * cell + direction]
        if (other >= 0 and rivals >> other & 1
                and deal.beats[4 * card + direction] >> position.card[other] & 1):
            cells |= 1 << other
            count[0] += 1
    return cells


cdef inline int rivals_of(const Position* position, int side) noexcept nogil:
    """The cells whose cards side 0 (the agent) or 1 may turn over."""
    return position.mine if side else ALL_CELLS & ~(position.mine | position.free)


cdef inline void place(const Deal* deal, Position* position, int side, Move move) noexcept nogil:
    cdef int turned
    cdef int cells = turned_by(deal, position, move.card, move.cell, rivals_of(position, side), &turned)
    position.card[move.cell] = move.card
    position.free ^= <uint16_t> (1 << move.cell)
    position.hands ^= <uint16_t> (1 << move.card)
    position.mine ^= <uint16_t> (cells if side else cells | 1 << move.cell)
    position.score += -turned if side else turned


cdef int moves_of(const Deal* deal, const Position* position, int side, Move* moves) noexcept nogil:
    """All moves of a side, those that turn over most first; returns how many."""
    cdef Move[225] by_turned                            # a row of MOVES for each number of cards turned over
    cdef int[5] counts = [0, 0, 0, 0, 0]
    cdef int cell, card, turned, n, count = 0, rivals = rivals_of(position, side)
    for cell in range(CELLS):
        if position.free >> cell & 1:
            for card in range(side * CARDS, (side + 1) * CARDS):
                if position.hands >> card & 1:
                    turned_by(deal, position, card, cell, rivals, &turned)
                    by_turned[MOVES * turned + counts[turned]] = Move(card, cell, turned)
                    counts[turned] += 1
    for turned in range(4, -1, -1):
        for n in range(counts[turned]):
            moves[count] = by_turned[MOVES * turned + n]
            count += 1
    return count


cdef int greedy_ties(const Deal* deal, const Position* position, int side, Move* moves) noexcept nogil:
    """The moves between which the greedy rule draws; returns how many."""
    cdef int cell, card, turned, most = -1, count = 0, rivals = rivals_of(position, side)
    for cell in range(CELLS):
        if position.free >> cell & 1:
            for card in range(side * CARDS, (side + 1) * CARDS):
                if position.hands >> card & 1:
                    turned_by(deal, position, card, cell, rivals, &turned)
                    if turned > most:
                        most, count = turned, 0
                    if turned == most:
                        moves[count] = Move(card, cell, turned)
                        count += 1
    return count


# ---------------------------------------------------------------------- the ties unknown: expectimax

cdef inline double worth(const Position* position, int least) noexcept nogil:
    """Between 0 and 1: whether `least` cards are owned or, with a `least` of 0,
    the share of the ten cards."""
    return position.score >= least if least else position.score / (2.0 * CARDS)


cdef double best(const Deal* deal, const Position* position, int least, int horizon, double bound,
                 Move* choice) noexcept nogil:
    """The agent's turn: the largest mean worth after `horizon` moves of its own if it is above `bound`,
    else `bound`."""
    cdef Move[45] moves
    cdef Position after
    cdef double value
    cdef int n
    if position.free == 0 or horizon == 0:
        return worth(position, least)
    for n in range(moves_of(deal, position, 0, moves)):
        after = position[0]
        place(deal, &after, 0, moves[n])
        value = expected(deal, &after, least, horizon - 1, bound)
        if value > bound:
            bound = value
            if choice != NULL:
                choice[0] = moves[n]
            if value >= 1:
                break
    return bound


cdef double expected(const Deal* deal, const Position* position, int least, int horizon,
                     double bound) noexcept nogil:
    """The opponent's turn: the mean over its ties if it is above `bound`, else `bound`."""
    cdef Move[45] ties
    cdef Position after
    cdef double needed, value, total = 0
    cdef int n, count
    if position.free == 0:
        return worth(position, least)
    count = greedy_ties(deal, position, 1, ties)
    for n in range(count):
        # What this tie must exceed if all that follow are worth 1.
        needed = bound * count - total - (count - 1 - n)
        if needed >= 1:
            return bound
        after = position[0]
        place(deal, &after, 1, ties[n])
        value = best(deal, &after, least, horizon, needed, NULL)
        if value <= needed:
            return bound
        total += value
    return total / count


def best_moves(const uint8_t[:, ::1] observations, int least=6, int horizon=CARDS):
    """For each row the largest mean worth, and the card and cell to play for it.

    least       worth is the probability to own so many cards at the end: 6 to win, 5 not to lose;
                0: the share of the ten cards instead.
    horizon     own moves looked ahead; five are to the end of any game.
    """
    cdef int count = <int> observations.shape[0], i
    values, cards, cells = np.zeros(count), np.zeros(count, np.uint8), np.zeros(count, np.uint8)
    cdef double[::1] value = values
    cdef uint8_t[::1] card = cards, cell = cells
    cdef Deal deal
    cdef Position position
    cdef Move choice
    with nogil:
        for i in range(count):
            read(&observations[i, 0], &deal, &position)
            value[i] = best(&deal, &position, least, horizon, -1, &choice)
            card[i], cell[i] = choice.card, choice.cell
    return values, cards, cells


# ---------------------------------------------------------------------- the ties known

cdef bint wins(const Deal* deal, const Position* position, int side, int least, uint64_t key) noexcept nogil:
    """Whether the agent can own `least` cards at the end if the opponent breaks its ties by a hash of the
    position and `key`."""
    cdef Move[45] moves
    cdef Position after
    cdef uint64_t cards = 0
    cdef int n, count
    if position.free == 0:
        return position.score >= least
    if side == 1:
        for n in range(CELLS):
            cards = cards << 5 | position.card[n]
        count = greedy_ties(deal, position, 1, moves)
        n = <int> (mix(mix(key ^ cards)
                       ^ (<uint64_t> position.mine << 9 | position.free) << 10
                       ^ position.hands) % <uint64_t> count)
        after = position[0]
        place(deal, &after, 1, moves[n])
        return wins(deal, &after, 0, least, key)
    for n in range(moves_of(deal, position, 0, moves)):
        after = position[0]
        place(deal, &after, 0, moves[n])
        if wins(deal, &after, 1, least, key):
            return True
    return False


def wins_knowing_ties(const uint8_t[:, ::1] observations, const uint64_t[::1] keys, int least=6):
    """For each row whether one who knows how all ties will be broken can own `least` cards at the end;
    a key for each row."""
    cdef int count = <int> observations.shape[0], i
    found = np.zeros(count, bool)
    cdef uint8_t[::1] row = found.view(np.uint8)
    cdef Deal deal
    cdef Position position
    with nogil:
        for i in range(count):
            read(&observations[i, 0], &deal, &position)
            row[i] = wins(&deal, &position, 0, least, keys[i])
    return found


# ------------------------------------------------------------------ the rule itself, and what a move leads to

def greedy_moves(const uint8_t[:, ::1] observations, const uint64_t[::1] random):
    """For each row the card and cell that the greedy rule plays in the agent's place;
    64 random bits a row break the ties."""
    cdef int count = <int> observations.shape[0], i
    cards, cells = np.zeros(count, np.uint8), np.zeros(count, np.uint8)
    cdef uint8_t[::1] card = cards, cell = cells
    cdef Deal deal
    cdef Position position
    cdef Move[45] ties
    cdef Move choice
    with nogil:
        for i in range(count):
            read(&observations[i, 0], &deal, &position)
            choice = ties[random[i] % <uint64_t> greedy_ties(&deal, &position, 0, ties)]
            card[i], cell[i] = choice.card, choice.cell
    return cards, cells


def outcomes(const uint8_t[::1] observation, int card, int cell):
    """Where playing `card` on `cell` can lead, an outcome for each tie of the answer:
    observations (n, 94), cards owned (n,)."""
    cdef Deal deal
    cdef Position position, after
    cdef Move[45] ties
    cdef int count, n, lying, place_of
    read(&observation[0], &deal, &position)
    place(&deal, &position, 0, Move(card, cell, 0))
    count = greedy_ties(&deal, &position, 1, ties) if position.free else 1
    rows, owned = np.zeros((count, KNOWN), np.uint8), np.zeros(count, np.int64)
    given = np.asarray(observation)
    for n in range(count):
        after = position
        if position.free:
            place(&deal, &after, 1, ties[n])
        owned[n] = after.score
        for place_of in range(CELLS):
            if not after.free >> place_of & 1:
                lying = after.card[place_of]
                at = HAND_AT + 4 * lying if lying < LYING else 4 * (lying - LYING)
                rows[n, 4 * place_of:4 * place_of + 4] = given[at:at + 4]
                rows[n, MINE_AT + place_of] = after.mine >> place_of & 1
                rows[n, THEIRS_AT + place_of] = not after.mine >> place_of & 1
        for lying in range(LYING):
            if after.hands >> lying & 1:
                at = HAND_AT + 4 * lying
                rows[n, at:at + 4] = given[at:at + 4]
    return rows, owned
