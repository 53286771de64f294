"""triple_triad: a 3 x 3 card game against a random or a greedy opponent, or against oneself.

Rules         Each side holds five open cards with four numbers from 1 to 10 (up, right, down, left), dealt at
              random and laid out from the smallest sum to the largest. In turn a side selects a card and
              places it on a free cell; the card turns over every neighbouring card of the other side whose
              facing number is smaller. When nine cards lie on the board the side that owns more of the ten
              (its last card in hand counts) has won. A coin decides who starts (and so places five cards).
Wasted steps  A no-op, a card already played or already selected, a cell that is taken or chosen with no card
              selected: nothing happens, and it costs 0.02. A game in which a side has taken `patience` steps
              is lost for it, so that stalling is never better than playing on and losing.
Opponents     `opponent="random"`: any card on any free cell; `"greedy"`: the card and cell that turn over
              most, ties at random.
Self-play     `players=2`: two agents an environment, the first one starts. Only the agent to move plays;
              the other's action is ignored. `scripted("greedy")` plays either side.
Observation   165 uint8, of which the last 14 are foresight: 0-35 numbers of the cards on the board (cell by
              cell; up, right, down, left), 36-44 cells I own, 45-53 cells they own, 54-73 my hand and 74-93
              theirs (0 once played), 94-98 the card I have selected, 99-113 which of the 15 actions does
              something now. 114-149 are what one sees at a glance. Nothing in it is new, but networks are
              slow to look up and to compare numbers, and win 0.65 of the games with it where they win 0.5
              without: the selected card's numbers (114-117), how many cards it would turn over on each cell
              (118-126), how many cards of their hand beat it on each side (127-130); the most that each card
              of mine (131-135) and of theirs (136-140) could turn over, and the most that any of theirs could
              on each cell (141-149). 150 is how many steps I have taken (255 at most), 151-164 foresight.
              With two players one more, the last: 1 if it is my move.
Foresight     14 numbers about the side to move (0 for the other), left out with `foresight=False`. 151-159:
              on each cell where the selected card may go, 1 + the most cards that they could turn over in
              answer; 160-164: for each card of mine 5 + the best difference, over all cells, of what it turns
              over and what they could turn over then. Whoever plays by these differences alone wins 0.55 of
              the games against greedy (benchmarks/LEARNER.md).
Actions       Discrete(15): 0 no-op, 1-5 select a card, 6-14 place it on a cell (row by row).
Rewards       +1 won, -1 lost, 0 drawn, at the end; -0.02 for a wasted step. Selecting costs nothing.
Log           episode_return, episode_length, score (cards owned at the end: 5 at the start,
              at most 10), wins.
Source        stream 003: a policy that was punished for losing but not for stalling learned to stall, first
              with no-ops and, once these cost something, by selecting cards again and again; taxing every
              selection taxes playing, too.
"""

import numpy as np
from gymnasium.spaces import Box, Discrete

from envs.core import drawing
from envs.core.settings import LONGEST, choice, flag, whole

cimport numpy as cnp
from libc.stdint cimport int32_t, uint8_t, uint32_t, uint64_t
from libc.string cimport memcpy, memset

from envs.core.native cimport Native, require
from envs.core.random cimport draw, draw_below

cdef enum:
    CELLS = 9
    CARDS = 5
    NOOP = 0
    SELECT = 1                      # actions 1 to 5
    PLACE = 6                       # actions 6 to 14
    ACTIONS = 15
    BOARD_AT = 0                    # where the parts of the observation begin
    MINE_AT = 36
    THEIRS_AT = 45
    HAND_AT = 54
    THEIR_HAND_AT = 74
    SELECTED_AT = 94
    LEGAL_AT = 99
    IN_HAND_AT = 114                # the selected card's numbers
    TURNS_AT = 118                  # what it would turn over
    BEATEN_AT = 127                 # by how many of their cards it is beaten
    MOST_OF_MINE_AT = 131           # the most that each card would turn over
    MOST_OF_THEIRS_AT = 136
    THREAT_AT = 141                 # the most that they would turn over on each cell
    CLOCK_AT = 150                  # steps taken: without them a value cannot foresee that patience ends
    OBSERVATION = 151
    ANSWER_AT = 151                 # with foresight: the most that they could turn over in answer
    PROSPECT_AT = 160               # and the best difference for each card
    FORESIGHT = 14
    EVEN = 5                        # a prospect of as many cards turned over as lost again
    SPACE = 16                      # cells of a row in `facing`: as many as a vector register has bytes
    ROW = 52                        # turns of a side, 5 x 9, and room for a register behind the last card
    NOTHING = 255                   # faced by a cell that has no rival card beside it
    FREE = 2                        # owner of an empty cell; 0 and 1 are the sides

cdef float WASTED = -0.02
cdef int[36] NEIGHBOUR = [-1, 1, 3, -1,  -1, 2, 4, 0,  -1, -1, 5, 1,    # up, right, down, left of a cell
                          0, 4, 6, -1,   1, 5, 7, 3,   2, -1, 8, 4,
                          3, 7, -1, -1,  4, 8, -1, 6,  5, -1, -1, 7]

cdef struct Table:
    uint8_t[36] board               # numbers of the card on each cell
    uint8_t[9] owner
    uint8_t[40] hands               # side, card, number; 0 once played
    uint8_t[2] selected             # 0 none, else card + 1
    uint8_t[2 * 4 * SPACE] facing   # side, direction, cell: the number that a card of the side has to beat
    uint8_t[2 * ROW] turns          # side, card, cell: how many cards it would turn over
    uint8_t[2 * CARDS] most         # side, card: on the best cell
    uint8_t[2 * CELLS] threat       # side, cell: with the best card
    int[2] steps                    # taken by each side
    int placed
    int turn
    int first_score                 # cards that side 0 owns

cdef struct Ahead:                  # with foresight, of the side to move
    uint8_t[CARDS * CELLS] answer   # card, cell: 1 + the most that the other side could turn over
    uint8_t[CARDS] prospect         # EVEN + the best difference


cdef class TripleTriad(Native):
    """triple_triad(num_envs, seed=0, opponent="greedy", players=1, patience=40, foresight=True): see the
    module's docstring."""

    cdef Table* tables
    cdef Ahead* ahead
    cdef bint greedy
    cdef readonly bint foresight
    cdef readonly int players, patience, observation_size
    cdef readonly object opponent
    cdef object masks_of_actions

    keys = {"1": 1, "2": 2, "3": 3, "4": 4, "5": 5,
            "q": 6, "w": 7, "e": 8, "a": 9, "s": 10, "d": 11, "z": 12, "x": 13, "c": 14}
    idle_action = None              # the game waits for a person
    two_sides = {"players": 2}
    turn_flag = -1
    action_names = ("no-op", "card 1", "card 2", "card 3", "card 4", "card 5", "top left", "top",
                    "top right", "left", "centre", "right", "bottom left", "bottom", "bottom right")

    def __init__(self, num_envs=1, *, seed=0, opponent="greedy", players=1, patience=40, foresight=True,
                 **common):
        self.opponent = choice("opponent", opponent, ("random", "greedy"))
        self.players = whole("players", players, 1, 2)
        self.patience = whole("patience", patience, 2 * CARDS, LONGEST)
        self.foresight = flag("foresight", foresight)
        self.greedy = self.opponent == "greedy"
        self.observation_size = OBSERVATION + FORESIGHT * self.foresight + (self.players == 2)
        high = np.full(self.observation_size, 1, np.uint8)
        high[BOARD_AT:MINE_AT] = high[HAND_AT:SELECTED_AT] = high[IN_HAND_AT:TURNS_AT] = 10
        high[TURNS_AT:BEATEN_AT] = high[MOST_OF_MINE_AT:CLOCK_AT] = 4
        high[CLOCK_AT] = min(255, self.patience)
        high[BEATEN_AT:MOST_OF_MINE_AT] = CARDS
        if self.foresight:
            high[ANSWER_AT:PROSPECT_AT], high[PROSPECT_AT:PROSPECT_AT + CARDS] = 1 + 4, EVEN + 4
        self.prepare(num_envs, self.players, Box(np.zeros_like(high), high, dtype=np.uint8),
                     Discrete(ACTIONS), seed, common, metric_names=("score", "wins"))
        self.tables = <Table*> self.claim(self.num_envs * sizeof(Table))
        self.ahead = <Ahead*> self.claim(self.num_envs * sizeof(Ahead)) if self.foresight else NULL
        self.masks_of_actions = np.ones((self.num_agents, ACTIONS), bool)

    # ------------------------------------------------------------------ the game

    cdef void start(self, int i) noexcept nogil:
        """Deal, and let the opponent begin if the coin says so."""
        cdef Table* table = &self.tables[i]
        cdef uint64_t random
        cdef int n
        memset(table, 0, sizeof(Table))
        memset(table.owner, FREE, CELLS)
        memset(table.facing, NOTHING, 2 * 4 * SPACE)
        table.first_score = CARDS
        for n in range(8 * CARDS):
            if n % 4 == 0:
                random = draw(&self.streams[i])
            table.hands[n] = <uint8_t> (1 + ((random & 0xFFFF) * 10 >> 16))
            random >>= 16
        lay_out(table.hands)
        lay_out(&table.hands[4 * CARDS])
        if self.players == 1 and draw(&self.streams[i]) >> 63:
            self.answer(i, table)
            self.look(i, table)
        elif self.foresight:
            self.foresee(i, table)

    cdef void reset_range(self, int first, int last) noexcept nogil:
        cdef int i
        for i in range(first, last):
            self.start(i)
            self.observe(i)

    cdef void step_range(self, int first, int last) noexcept nogil:
        cdef int32_t* actions = <int32_t*> self.rows.actions
        cdef Table* table
        cdef int i, side, placed
        cdef bint over
        for i in range(first, last):
            table = &self.tables[i]
            side = table.turn if self.players == 2 else 0
            placed = table.placed
            over = self.act(i, table, side, actions[i * self.players + side])
            if not over and self.players == 1 and table.turn == 1:
                over = self.answer(i, table)
            if over:
                self.start(i)
            elif table.placed != placed:
                self.look(i, table)
            self.observe(i)

    cdef bint act(self, int i, Table* table, int side, int action) noexcept nogil:
        """One step of the side to move; True if it ended the game."""
        table.steps[side] += 1
        if PLACE <= action and table.selected[side] and table.owner[action - PLACE] == FREE:
            return self.place(i, table, side, table.selected[side] - 1, action - PLACE)
        if (SELECT <= action < PLACE and table.selected[side] != action
                and table.hands[20 * side + 4 * (action - SELECT)]):
            table.selected[side] = <uint8_t> action
        else:
            self.rows.rewards[i * self.players + side] += WASTED
        if table.steps[side] >= self.patience:
            return self.finish(i, table, -1 if side == 0 else 1)
        return False

    cdef bint place(self, int i, Table* table, int side, int card, int cell) noexcept nogil:
        """Put a card on a free cell and turn its weaker neighbours; True if it was the ninth."""
        cdef uint8_t* numbers = &table.hands[20 * side + 4 * card]
        cdef int direction, other, turned = 0
        require(&self.fault, table.owner[cell] == FREE and numbers[0] != 0,
                b"a card placed twice or on a taken cell")
        for direction in range(4):
            other = NEIGHBOUR[4 * cell + direction]
            if (other >= 0 and table.owner[other] == 1 - side
                    and numbers[direction] > table.board[4 * other + (direction ^ 2)]):
                table.owner[other] = <uint8_t> side
                self.face(table, other)
                turned += 1
        memcpy(&table.board[4 * cell], numbers, 4)
        memset(numbers, 0, 4)
        table.owner[cell] = <uint8_t> side
        for direction in range(8):
            table.facing[SPACE * direction + cell] = NOTHING
        self.face(table, cell)
        table.selected[side] = 0
        table.first_score += turned if side == 0 else -turned
        table.placed += 1
        table.turn = 1 - side
        if table.placed < CELLS:
            return False
        return self.finish(i, table, (table.first_score > CARDS) - (table.first_score < CARDS))

    cdef void face(self, Table* table, int cell) noexcept nogil:
        """Tell the free cells around a card what they face now."""
        cdef int owner = table.owner[cell], direction, other, there
        for direction in range(4):
            other = NEIGHBOUR[4 * cell + direction]
            if other >= 0 and table.owner[other] == FREE:
                there = SPACE * (direction ^ 2) + other
                table.facing[4 * SPACE * owner + there] = NOTHING
                table.facing[4 * SPACE * (1 - owner) + there] = table.board[4 * cell + direction]

    cdef void count(self, Table* table, int side) noexcept nogil:
        """What each card of a side would turn over on each cell:
        for each card four comparisons of whole rows."""
        cdef int card
        for card in range(CARDS):
            count_row(&table.hands[20 * side + 4 * card], &table.facing[4 * SPACE * side],
                      &table.turns[ROW * side + CELLS * card])

    cdef void look(self, int i, Table* table) noexcept nogil:
        """What there is to see of a table on which a card was placed."""
        cdef int side, card, cell
        cdef uint8_t* turns
        cdef uint8_t most
        for side in range(2):
            self.count(table, side)
            turns = &table.turns[ROW * side]
            for card in range(CARDS):
                most = 0
                for cell in range(CELLS):
                    most = max(most, turns[CELLS * card + cell])
                table.most[CARDS * side + card] = most
            for cell in range(CELLS):
                most = max(max(turns[cell], turns[CELLS + cell]),
                           max(turns[2 * CELLS + cell], turns[3 * CELLS + cell]))
                table.threat[CELLS * side + cell] = max(most, turns[4 * CELLS + cell])
        if self.foresight:
            self.foresee(i, table)

    cdef void foresee(self, int i, const Table* table) noexcept nogil:
        """What the other side could answer to each card on each cell, for the side to move."""
        cdef Ahead* ahead = &self.ahead[i]
        cdef int side = table.turn, card, cell, most, difference
        memset(ahead, 0, sizeof(Ahead))
        for card in range(CARDS):
            if table.hands[20 * side + 4 * card]:
                for cell in range(CELLS):
                    if table.owner[cell] == FREE:
                        most = self.worst_answer(table, side, &table.hands[20 * side + 4 * card], cell)
                        difference = EVEN + table.turns[ROW * side + CELLS * card + cell] - most
                        ahead.answer[CELLS * card + cell] = <uint8_t> (1 + most)
                        ahead.prospect[card] = <uint8_t> max(ahead.prospect[card], difference)

    cdef int worst_answer(self, const Table* table, int side, const uint8_t* numbers,
                          int cell) noexcept nogil:
        """The most cards that the other side could turn over once a card of these numbers lies on `cell`."""
        cdef uint8_t[4 * SPACE] facing          # of the other side, as it would be then
        cdef uint8_t[SPACE] row, most
        cdef const uint8_t* hand = &table.hands[20 * (1 - side)]
        cdef int direction, other, card, n, result = 0
        memcpy(facing, &table.facing[4 * SPACE * (1 - side)], 4 * SPACE)
        for direction in range(4):
            other = NEIGHBOUR[4 * cell + direction]
            if other < 0:
                continue
            if table.owner[other] == FREE:
                facing[SPACE * (direction ^ 2) + other] = numbers[direction]
            elif (table.owner[other] == 1 - side
                  and numbers[direction] > table.board[4 * other + (direction ^ 2)]):
                expose(table, other, facing)
        for direction in range(4):
            facing[SPACE * direction + cell] = NOTHING
        memset(most, 0, SPACE)
        for card in range(CARDS):
            count_row(hand + 4 * card, facing, row)
            for n in range(SPACE):
                most[n] = max(most[n], row[n])
        for n in range(CELLS):
            result = max(result, most[n])
        return result

    cdef bint finish(self, int i, Table* table, int result) noexcept nogil:
        """The game is over: 1 won by side 0, -1 lost, 0 drawn. The next one is dealt by the caller."""
        cdef int side, agent
        for side in range(self.players):
            agent = i * self.players + side
            self.rows.rewards[agent] += result if side == 0 else -result
            self.rows.terminals[agent] = 1
            self.metrics[2 * agent] = table.first_score if side == 0 else 2 * CARDS - table.first_score
            self.metrics[2 * agent + 1] = result == 1 if side == 0 else result == -1
        return True

    cdef bint answer(self, int i, Table* table) noexcept nogil:
        """The opponent selects and places in one go; True if that ended the game."""
        cdef uint8_t[CARDS * CELLS] best            # card and cell of each move that turns over most
        cdef int card, cell, turned, chosen, most = -1, ties = 0
        if self.greedy:
            self.count(table, 1)
        for cell in range(CELLS):
            for card in range(CARDS):
                if table.owner[cell] == FREE and table.hands[20 + 4 * card]:
                    turned = table.turns[ROW + CELLS * card + cell] if self.greedy else 0
                    if turned > most:
                        most, ties = turned, 0
                    if turned == most:
                        best[ties] = <uint8_t> (CELLS * card + cell)
                        ties += 1
        chosen = best[draw_below(&self.streams[i], ties)]
        return self.place(i, table, 1, chosen // CELLS, chosen % CELLS)

    # ------------------------------------------------------------------ observation

    cdef void observe(self, int i) noexcept nogil:
        cdef int side
        for side in range(self.players):
            self.observe_side(i, side, (<uint8_t*> self.rows.observations
                                        + (i * self.players + side) * self.observation_size))

    cdef void observe_side(self, int i, int side, uint8_t* observation) noexcept nogil:
        cdef const Table* table = &self.tables[i]
        cdef int n, card
        cdef uint8_t beaten
        cdef bint holding = table.selected[side] != 0
        memcpy(observation + BOARD_AT, table.board, 36)
        for n in range(CELLS):
            observation[MINE_AT + n] = table.owner[n] == side
            observation[THEIRS_AT + n] = table.owner[n] == 1 - side
            observation[LEGAL_AT + PLACE + n] = holding and table.owner[n] == FREE
        memcpy(observation + HAND_AT, &table.hands[20 * side], 20)
        memcpy(observation + THEIR_HAND_AT, &table.hands[20 * (1 - side)], 20)
        observation[LEGAL_AT + NOOP] = 0
        for n in range(CARDS):
            observation[SELECTED_AT + n] = table.selected[side] == n + 1
            observation[LEGAL_AT + SELECT + n] = (table.selected[side] != n + 1
                                                  and table.hands[20 * side + 4 * n] != 0)
        memcpy(observation + MOST_OF_MINE_AT, &table.most[CARDS * side], CARDS)
        memcpy(observation + MOST_OF_THEIRS_AT, &table.most[CARDS * (1 - side)], CARDS)
        observation[CLOCK_AT] = <uint8_t> min(255, table.steps[side])
        memcpy(observation + THREAT_AT, &table.threat[CELLS * (1 - side)], CELLS)
        if not holding:
            memset(observation + IN_HAND_AT, 0, MOST_OF_MINE_AT - IN_HAND_AT)
        else:
            memcpy(observation + IN_HAND_AT, &table.hands[20 * side + 4 * (table.selected[side] - 1)], 4)
            memcpy(observation + TURNS_AT, &table.turns[ROW * side + CELLS * (table.selected[side] - 1)],
                   CELLS)
            for n in range(4):
                beaten = 0
                for card in range(CARDS):
                    beaten += table.hands[20 * (1 - side) + 4 * card + (n ^ 2)] > observation[IN_HAND_AT + n]
                observation[BEATEN_AT + n] = beaten
        if self.foresight:
            memset(observation + ANSWER_AT, 0, FORESIGHT)
            if table.turn == side:
                memcpy(observation + PROSPECT_AT, self.ahead[i].prospect, CARDS)
                if holding:
                    memcpy(observation + ANSWER_AT, &self.ahead[i].answer[CELLS * (table.selected[side] - 1)],
                           CELLS)
        if self.players == 2:
            observation[self.observation_size - 1] = table.turn == side

    def action_masks(self):
        """Bool (num_agents, 15), True where the action does something: numbers 99 to 113 of the observation.

        Valid after a reset and after each step, for both players also of the one who waits. A row is never
        all False, because a side holds a card until the game is over. Each call writes and returns
        the same array.
        """
        self.require_ready()
        cdef const uint8_t* observations = <const uint8_t*> self.rows.observations
        cdef uint8_t* masks = <uint8_t*> cnp.PyArray_DATA(self.masks_of_actions)
        cdef int agent
        for agent in range(self.num_agents):
            memcpy(masks + agent * ACTIONS, observations + agent * self.observation_size + LEGAL_AT, ACTIONS)
        return self.masks_of_actions

    @staticmethod
    def scripted(name, seed=0):
        """A player of either side, for games with two: "greedy"."""
        return GreedyPlayer(name, seed)

    def render(self, index=0):
        """RGB array of table `index`: own hand on the left, board in the middle, the other hand on the right;
        the selected card is framed."""
        self.require_index(index)
        cdef Table table = self.tables[index]
        ink, size, gap = drawing.INK, 56, 8
        image = drawing.canvas(CARDS * (size + gap) + gap, 5 * (size + gap) + 4 * gap)
        for side, left, colour in ((0, gap, ink["agent"]), (1, 4 * (size + gap) + 4 * gap, ink["rival"])):
            for card in range(CARDS):
                numbers = [table.hands[20 * side + 4 * card + n] for n in range(4)]
                top = gap + card * (size + gap)
                if table.selected[side] == card + 1:
                    drawing.rectangle(image, top - 4, left - 4, size + 8, size + 8, ink["food"])
                if numbers[0]:
                    draw_card(image, top, left, size, colour, numbers)
        for cell in range(CELLS):
            top, left = gap + size + (cell // 3) * (size + gap), 3 * gap + size + (cell % 3) * (size + gap)
            if table.owner[cell] == FREE:
                drawing.rectangle(image, top, left, size, size, ink["grid"])
            else:
                colour = ink["agent"] if table.owner[cell] == 0 else ink["rival"]
                draw_card(image, top, left, size, colour, [table.board[4 * cell + n] for n in range(4)])
        return image


class GreedyPlayer:
    """The greedy opponent as a player: act(observations) -> actions. The card that turns over most, ties at
    random, then the cell."""

    def __init__(self, name, seed=0):
        if name != "greedy":
            raise ValueError(f"scripted:{name} given, expected scripted:random or scripted:greedy")
        self.random = np.random.default_rng(seed)

    def act(self, observations):
        """Actions (n,) int32 for observations (n, 151 or more) uint8."""
        turned = np.zeros((len(observations), ACTIONS))
        turned[:, SELECT:PLACE] = observations[:, MOST_OF_MINE_AT:MOST_OF_THEIRS_AT]
        turned[:, PLACE:] = observations[:, TURNS_AT:BEATEN_AT] + 9.0      # who holds a card places it
        legal = observations[:, LEGAL_AT:IN_HAND_AT] > 0
        return np.where(legal, turned + self.random.random(turned.shape), -1).argmax(1).astype(np.int32)


cdef inline void lay_out(uint8_t* hand) noexcept nogil:
    """Five cards in the order of their sums; no branch, so that nothing can be guessed wrong."""
    cdef uint32_t[CARDS] cards
    cdef uint64_t[CARDS] keys                   # sum, then the card's own bytes
    cdef uint32_t pairs
    cdef int n
    memcpy(cards, hand, 4 * CARDS)
    for n in range(CARDS):
        pairs = (cards[n] & 0x00FF00FF) + (cards[n] >> 8 & 0x00FF00FF)
        keys[n] = <uint64_t> ((pairs + (pairs >> 16)) & 0xFF) << 32 | cards[n]
    order(&keys[0], &keys[3])                   # a sorting network of nine comparisons
    order(&keys[1], &keys[4])
    order(&keys[0], &keys[2])
    order(&keys[1], &keys[3])
    order(&keys[0], &keys[1])
    order(&keys[2], &keys[4])
    order(&keys[1], &keys[2])
    order(&keys[3], &keys[4])
    order(&keys[2], &keys[3])
    for n in range(CARDS):
        cards[n] = <uint32_t> keys[n]
    memcpy(hand, cards, 4 * CARDS)


cdef inline void order(uint64_t* smaller, uint64_t* larger) noexcept nogil:
    cdef uint64_t least = min(smaller[0], larger[0])
    larger[0] = max(smaller[0], larger[0])
    smaller[0] = least


cdef inline void expose(const Table* table, int cell, uint8_t* facing) noexcept nogil:
    """Write into `facing` what the free cells around a card would face of it."""
    cdef int direction, other
    for direction in range(4):
        other = NEIGHBOUR[4 * cell + direction]
        if other >= 0 and table.owner[other] == FREE:
            facing[SPACE * (direction ^ 2) + other] = table.board[4 * cell + direction]


cdef inline void count_row(const uint8_t* numbers, const uint8_t* facing, uint8_t* turns) noexcept nogil:
    """How many cards a card would turn over on each cell. SPACE bytes are written,
    those behind the ninth are the next card's."""
    cdef uint8_t[SPACE] row
    cdef int cell
    for cell in range(SPACE):
        row[cell] = ((numbers[0] > facing[cell]) + (numbers[1] > facing[SPACE + cell])
                     + (numbers[2] > facing[2 * SPACE + cell]) + (numbers[3] > facing[3 * SPACE + cell]))
    memcpy(turns, row, SPACE)


def draw_card(image, top, left, size, colour, numbers):
    """A card with its four numbers at the edges; 10 is written A, as on the table."""
    drawing.rectangle(image, top, left, size, size, colour)
    for number, row, column in zip(numbers, (0.18, 0.5, 0.82, 0.5), (0.5, 0.82, 0.5, 0.18)):
        drawing.glyph(image, top + row * size, left + column * size, "A" if number == 10 else str(number),
                      drawing.INK["ground"], scale=2)
