"""connect4: four in a row against a searching, a greedy or a random opponent, or against oneself.

Rules         7 columns of 6 cells; stones fall to the lowest free cell of a column; four in a row, column or
              diagonal win. A coin decides who starts. A stone put on a full column loses the game at once.
Opponents     `opponent="search"` looks `depth` plies ahead (alpha-beta; beyond `node_budget` nodes a move it
              judges without looking further, so its strength never depends on the clock) and breaks ties at
              random; `"greedy"` takes a win, else stops one, else plays at random; `"random"` any free
              column. All draw from the environment's own stream.
Training      While a policy learns, `train` adds openings=3 and weaker=0.5 (`training_settings`); evaluation
              and play do without them. `openings=n`: half of the games, by a coin, begin after 1 to n random
              stones of each side (with the empty board where these would make four). A policy that only
              learns from the empty board may find one way to win most games and see nothing else. `weaker=p`:
              in a share p of the games, by lot, the search looks fewer plies ahead, 1 to depth - 1. Against
              depth 4 nothing at all is won for millions of steps; a policy that wins now and then against
              less depth learns sooner, and learns more ways of playing. Other opponents, and a search of
              depth 1, have no weaker games.
Self-play     `players=2`: two agents an environment, the first one starts. Only the agent to move plays;
              the other's action is ignored. `scripted("search4")` seats an opponent at either side.
Observation   42 uint8, row by row from the top: 0 empty, 1 mine, 2 theirs, 3 to 8 empty with a threat.
              With two players one more: 1 if it is my move.
Threats       On an empty cell 3 shows that a stone of mine would complete four there, 4 that one of theirs
              would, 5 both, as soon as the cells below are filled; 6, 7 and 8 show the same where the next
              stone of the column falls. With `threats=False` all of them are 0.
Actions       Discrete(7): the column. `action_masks()` tells which are free (as in the first seven cells
              of the observation).
Rewards       +1 won, -1 lost, 0 drawn.
Log           episode_return, episode_length, score (1 won, 0.5 drawn, 0 lost).
Source        stream 003; bit boards after J. Tromp, threats as in P. Pons, "Solving Connect 4". The bot of
              the stream (`rand() % 6 + 1`) never played column 0 and lost every game to four stones there; a
              full column could win.

A board is two 64-bit numbers. Bit 7 * column + row is a cell, row 0 at the bottom; the seventh bit of a
column stays empty, so that shifted lines do not run over the edge:

    5 12 19 26 33 40 47
    ...                     four in a row: shift by 7, in a column: 1, on the diagonals: 6 and 8
    0  7 14 21 28 35 42
"""

import numpy as np
from gymnasium.spaces import Box, Discrete

from envs.core import drawing
from envs.core.settings import choice, flag, number, whole

cimport cython
cimport numpy as cnp
from libc.stdint cimport int32_t, uint8_t, uint64_t
from libc.string cimport memset

from envs.core.native cimport Native, require
from envs.core.random cimport draw, draw_below, draw_unit, stream_of

cdef extern from * nogil:
    int bits "__builtin_popcountll" (unsigned long long)
    int lowest "__builtin_ctzll" (unsigned long long)

cdef enum:
    COLUMNS = 7
    ROWS = 6
    CELLS = 42
    STRIDE = 7                      # bits a column takes
    RANDOM = 0
    GREEDY = 1
    SEARCH = 2
    WIN = 10000
    MOST_OPENINGS = 10
    NODES = 20000
    THREAT = 2                      # an empty cell with a threat shows this, + 1 for mine, + 2 for theirs and
    AT_ONCE = 3                     # so much more where the next stone falls

cdef uint64_t BOTTOM = 0x0040810204081          # row 0 of every column
cdef uint64_t BOARD = 0x0FDFBF7EFDFBF           # the 42 cells
cdef uint64_t CENTRE = <uint64_t> 0x3F << (3 * STRIDE)
cdef int[COLUMNS] CENTRE_FIRST = [3, 2, 4, 1, 5, 0, 6]

OPPONENTS = {"search": SEARCH, "greedy": GREEDY, "random": RANDOM}

cdef struct Game:
    uint64_t mine                   # stones of the agent (of the first agent, with two players)
    uint64_t theirs
    int second_to_move              # two players only
    int depth                       # plies that the search looks ahead


cdef class Connect4(Native):
    """connect4(num_envs, seed=0, opponent="search", depth=4, node_budget=20000, players=1, openings=0,
    weaker=0.0, threats=True): see above."""

    cdef Game* games
    cdef int opponent_kind
    cdef readonly int depth, node_budget, players, openings, observation_size
    cdef readonly double weaker
    cdef readonly bint threats
    cdef readonly object opponent, masks_of_actions

    keys = {"1": 0, "2": 1, "3": 2, "4": 3, "5": 4, "6": 5, "7": 6}
    idle_action = None              # the game waits for a person
    training_settings = {"openings": 3, "weaker": 0.5}
    two_sides = {"players": 2}
    turn_flag = -1
    action_names = ("column 1", "column 2", "column 3", "column 4", "column 5", "column 6", "column 7")

    def __init__(self, num_envs=1, *, seed=0, opponent="search", depth=4, node_budget=NODES, players=1,
                 openings=0, weaker=0.0, threats=True, **common):
        self.opponent = choice("opponent", opponent, OPPONENTS)
        self.depth = whole("depth", depth, 1, CELLS)
        self.node_budget = whole("node_budget", node_budget, 1, 1_000_000)
        self.players = whole("players", players, 1, 2)
        self.openings = whole("openings", openings, 0, MOST_OPENINGS)
        self.weaker = number("weaker", weaker, 0, 1)
        self.threats = flag("threats", threats)
        self.opponent_kind, self.observation_size = OPPONENTS[self.opponent], CELLS + (self.players == 2)
        if self.opponent_kind != SEARCH or self.depth == 1:
            self.weaker = 0.0
        seen = Box(0, 8 if self.threats else 2, (self.observation_size,), np.uint8)
        self.prepare(num_envs, self.players, seen, Discrete(COLUMNS), seed, common, metric_names=("score",))
        self.games = <Game*> self.claim(self.num_envs * sizeof(Game))
        self.masks_of_actions = np.ones((self.num_agents, COLUMNS), bool)

    # ------------------------------------------------------------------ the game

    cdef void start(self, int i) noexcept nogil:
        """A new game: the opponent's strength, random stones if so,
        and the opponent's first stone if the coin says so."""
        cdef Game* game = &self.games[i]
        game.depth = self.depth
        if self.weaker and draw_unit(&self.streams[i]) < self.weaker:
            game.depth = 1 + draw_below(&self.streams[i], self.depth - 1)
        self.clear(i)
        if self.openings and not draw(&self.streams[i]) >> 63:
            self.scatter(i, 2 * (1 + draw_below(&self.streams[i], self.openings)))
            if has_four(game.mine) or has_four(game.theirs):
                self.clear(i)
        if self.players == 1 and draw(&self.streams[i]) >> 63:
            self.place(i, False, self.answer(i, game.theirs, game.mine))

    cdef void clear(self, int i) noexcept nogil:
        """Take all stones off the board; with two players it is the first one's move."""
        cdef uint8_t* observation = (<uint8_t*> self.rows.observations
                                     + i * self.players * self.observation_size)
        self.games[i] = Game(0, 0, 0, self.games[i].depth)
        memset(observation, 0, self.players * self.observation_size)
        if self.players == 2:
            observation[CELLS] = 1

    cdef void scatter(self, int i, int stones) noexcept nogil:
        """Random stones, one side's and the other's in turn."""
        cdef int n
        for n in range(stones):
            self.place(i, n % 2 == 0, pick(playable(self.games[i].mine | self.games[i].theirs),
                                           &self.streams[i]) // STRIDE)

    cdef void reset_range(self, int first, int last) noexcept nogil:
        cdef int i
        for i in range(first, last):
            self.start(i)
            if self.threats:
                self.show_threats(i)

    cdef void step_range(self, int first, int last) noexcept nogil:
        cdef int32_t* actions = <int32_t*> self.rows.actions
        cdef Game* game
        cdef int i
        for i in range(first, last):
            game = &self.games[i]
            if self.players == 1:
                if not self.play(i, True, actions[i]):
                    self.play(i, False, self.answer(i, game.theirs, game.mine))
            elif not self.play(i, not game.second_to_move, actions[2 * i + game.second_to_move]):
                self.pass_turn(i, game)
            if self.threats:
                self.show_threats(i)

    cdef bint play(self, int i, bint first, int column) noexcept nogil:
        """One stone of the first or the second side; True if it ended the game."""
        cdef Game* game = &self.games[i]
        cdef uint64_t stones
        if not free_cell(game.mine | game.theirs, column):
            return self.finish(i, -1 if first else 1)
        self.place(i, first, column)
        stones = game.mine if first else game.theirs
        if has_four(stones):
            return self.finish(i, 1 if first else -1)
        if (game.mine | game.theirs) == BOARD:
            return self.finish(i, 0)
        return False

    cdef void place(self, int i, bint first, int column) noexcept nogil:
        """Drop a stone into a free column, on the board and in the observations."""
        cdef Game* game = &self.games[i]
        cdef uint64_t cell = free_cell(game.mine | game.theirs, column)
        cdef int where = place_of(lowest(cell))
        cdef uint8_t* observation = (<uint8_t*> self.rows.observations
                                     + i * self.players * self.observation_size)
        require(&self.fault, cell != 0, b"a stone on a full column")
        if first:
            game.mine |= cell
        else:
            game.theirs |= cell
        observation[where] = 1 if first else 2
        if self.players == 2:
            observation[self.observation_size + where] = 2 if first else 1

    cdef void show_threats(self, int i) noexcept nogil:
        """Mark the empty cells where four would be complete;
        a threat lasts until a stone lies on it, so there is none to take back."""
        cdef Game* game = &self.games[i]
        cdef uint8_t* observation = (<uint8_t*> self.rows.observations
                                     + i * self.players * self.observation_size)
        cdef uint64_t taken = game.mine | game.theirs, next_cells = playable(taken)
        cdef uint64_t mine = winning_cells(game.mine, taken), theirs = winning_cells(game.theirs, taken)
        cdef uint64_t left = mine | theirs
        cdef int cell, where, shown, for_me, for_them
        while left:
            cell = lowest(left)
            left &= left - 1
            where, for_me, for_them = place_of(cell), <int> (mine >> cell & 1), <int> (theirs >> cell & 1)
            shown = THREAT + AT_ONCE * <int> (next_cells >> cell & 1)
            observation[where] = shown + for_me + 2 * for_them
            if self.players == 2:
                observation[self.observation_size + where] = shown + for_them + 2 * for_me

    cdef void pass_turn(self, int i, Game* game) noexcept nogil:
        cdef uint8_t* turn = <uint8_t*> self.rows.observations + 2 * i * self.observation_size + CELLS
        game.second_to_move = not game.second_to_move
        turn[0] = not game.second_to_move
        turn[self.observation_size] = game.second_to_move

    cdef bint finish(self, int i, int result) noexcept nogil:
        """The game is over: 1 won by the first side, -1 lost, 0 drawn."""
        cdef int agent = i * self.players
        self.rows.rewards[agent] = result
        self.rows.terminals[agent] = 1
        self.metrics[agent] = (result + 1) * 0.5
        if self.players == 2:
            self.rows.rewards[agent + 1] = -result
            self.rows.terminals[agent + 1] = 1
            self.metrics[agent + 1] = (1 - result) * 0.5
        self.start(i)
        return True

    # ------------------------------------------------------------------ the opponent

    cdef int answer(self, int i, uint64_t mine, uint64_t theirs) noexcept nogil:
        """The column the opponent plays; `mine` are its own stones."""
        return pick(good_moves(self.opponent_kind, mine, theirs, self.games[i].depth, self.node_budget),
                    &self.streams[i]) // STRIDE

    # ------------------------------------------------------------------ Python face

    def action_masks(self):
        """Bool (num_agents, 7), True where the column is free: the actions that do not lose at once.

        Valid after a reset and after each step, for both players also of the one who waits. A row is never
        all False, because a full board ends the game. Each call writes and returns the same array.
        """
        self.require_ready()
        cdef const uint8_t* observations = <const uint8_t*> self.rows.observations
        cdef uint8_t* masks = <uint8_t*> cnp.PyArray_DATA(self.masks_of_actions)
        cdef int agent, column
        for agent in range(self.num_agents):
            for column in range(COLUMNS):
                masks[agent * COLUMNS + column] = (
                    not 1 <= observations[agent * self.observation_size + column] <= 2)
        return self.masks_of_actions

    def set_board(self, index, rows):
        """Put game `index` into a position: six strings of seven characters, top row first, `x` the agent's,
        `o` the opponent's, `.` empty."""
        cdef int game = self.require_index(index)
        cells = [row.lower() for row in rows]
        if len(cells) != ROWS or any(len(row) != COLUMNS or set(row) - set("xo.") for row in cells):
            raise ValueError(f"{rows!r} given, expected {ROWS} strings of {COLUMNS} characters "
                             "out of 'x', 'o', '.'")
        self.games[game] = Game(0, 0, 0, self.depth)
        np.asarray(self.observations)[game * self.players:(game + 1) * self.players, :CELLS] = 0
        for column in range(COLUMNS):
            stack = "".join(cells[row][column] for row in reversed(range(ROWS))).rstrip(".")
            if "." in stack:
                raise ValueError(f"column {column} of the board given has a gap; stones fall to the bottom")
            for stone in stack:
                self.place(game, stone == "x", column)
        if self.threats:
            self.show_threats(game)

    @staticmethod
    def scripted(name, seed=0):
        """The opponents as players of either side, for games with two: "random", "greedy", "search1" to
        "search42" (the depth)."""
        return ScriptedPlayer(name, seed)

    def opponent_moves(self, index):
        """Columns among which the opponent would choose if it were to move in game `index`
        (for tests and lessons)."""
        cdef Game game = self.games[<int> self.require_index(index)]
        cdef uint64_t chosen = good_moves(self.opponent_kind, game.theirs, game.mine, game.depth,
                                          self.node_budget)
        return [column for column in range(COLUMNS) if chosen >> (column * STRIDE) & 0x3F]

    def render(self, index=0):
        """RGB array of game `index`: the agent's stones blue, the opponent's orange,
        above each column the key that plays it."""
        self.require_index(index)
        cells = np.asarray(self.observations[index * self.players, :CELLS]).reshape(ROWS, COLUMNS)
        ink, scale = drawing.INK, 48
        image = drawing.canvas(ROWS * scale + scale // 2, COLUMNS * scale, ink["grid"])
        for column in range(COLUMNS):
            drawing.glyph(image, 0.25 * scale, (column + 0.5) * scale, str(column + 1), ink["muted"])
            for row in range(ROWS):
                colour = {1: ink["agent"], 2: ink["rival"]}.get(int(cells[row, column]), ink["ground"])
                drawing.disc(image, (row + 1) * scale, (column + 0.5) * scale, 0.4 * scale, colour)
        return image


cdef class ScriptedPlayer:
    """The environment's opponents as a player: act(observations) -> columns. See `Connect4.scripted`."""

    cdef int kind, depth
    cdef uint64_t stream

    def __init__(self, name, seed=0):
        depth = name.removeprefix("search")
        searches = depth != name and depth.isdecimal() and 1 <= int(depth) <= CELLS
        if not searches and name not in ("random", "greedy"):
            raise ValueError(f"scripted:{name} given, expected scripted:random, scripted:greedy, or "
                             f"scripted:search1 to scripted:search{CELLS} (plies)")
        self.kind, self.depth = (SEARCH, int(depth)) if searches else (OPPONENTS[name], 1)
        self.stream = stream_of(<uint64_t> whole("seed", seed), 0)

    def act(self, observations):
        """Columns (n,) int32 for observations (n, 42 or more) uint8. Where the board is full, 0."""
        cdef const uint8_t[:, :] seen = observations
        cdef int32_t[:] columns
        cdef uint64_t[2] stones
        cdef Py_ssize_t row
        cdef int cell, what
        out = np.zeros(len(observations), np.int32)
        columns = out
        with nogil:
            for row in range(seen.shape[0]):
                stones[0] = stones[1] = 0
                for cell in range(COLUMNS * STRIDE):
                    if cell % STRIDE < ROWS:
                        what = seen[row, place_of(cell)]
                        if what == 1 or what == 2:
                            stones[what - 1] |= <uint64_t> 1 << cell
                if (stones[0] | stones[1]) != BOARD:
                    columns[row] = pick(good_moves(self.kind, stones[0], stones[1], self.depth, NODES),
                                        &self.stream) // STRIDE
        return out


# ---------------------------------------------------------------------- bit boards

cdef inline uint64_t playable(uint64_t stones) noexcept nogil:
    """The lowest free cell of every column: adding the bottom row carries up to it."""
    return (stones + BOTTOM) & BOARD


cdef inline uint64_t free_cell(uint64_t stones, int column) noexcept nogil:
    """The cell a stone in `column` falls to; 0 if the column is full."""
    return playable(stones) & (<uint64_t> 0x3F << (column * STRIDE))


cdef inline int place_of(int cell) noexcept nogil:
    """Where the observation shows a cell: row by row from the top."""
    return (ROWS - 1 - cell % STRIDE) * COLUMNS + cell // STRIDE


cdef inline bint has_four(uint64_t stones) noexcept nogil:
    cdef uint64_t pairs
    cdef int shift
    for shift in range(1, 9):
        if shift == 1 or shift >= 6:
            pairs = stones & (stones >> shift)
            if pairs & (pairs >> (2 * shift)):
                return True
    return False


@cython.overflowcheck(False)           # bits shifted out at the top are meant to be lost
cdef inline uint64_t threats(uint64_t stones, int shift) noexcept nogil:
    """Cells that complete four with stones on a line of direction `shift`."""
    cdef uint64_t above = (stones << shift) & (stones << (2 * shift))
    cdef uint64_t below = (stones >> shift) & (stones >> (2 * shift))
    return ((above & ((stones << (3 * shift)) | (stones >> shift)))
            | (below & ((stones << shift) | (stones >> (3 * shift)))))


@cython.overflowcheck(False)
cdef inline uint64_t winning_cells(uint64_t stones, uint64_t taken) noexcept nogil:
    """Free cells, reachable now or later, that would complete four."""
    cdef uint64_t column = (stones << 1) & (stones << 2) & (stones << 3)
    return (column | threats(stones, 6) | threats(stones, 7) | threats(stones, 8)) & (BOARD ^ taken)


cdef inline int pick(uint64_t cells, uint64_t* stream) noexcept nogil:
    """Index of one of the set bits, each equally likely."""
    cdef int skip = draw_below(stream, bits(cells))
    while skip:
        cells &= cells - 1
        skip -= 1
    return lowest(cells)


# ---------------------------------------------------------------------- opponents

cdef uint64_t good_moves(int kind, uint64_t mine, uint64_t theirs, int depth, int node_budget) noexcept nogil:
    """The cells among which an opponent with the stones `mine` chooses."""
    cdef uint64_t moves = playable(mine | theirs), chosen = 0
    if kind == SEARCH:
        chosen = best_moves(mine, theirs, moves, depth, node_budget)
    elif kind == GREEDY:
        chosen = moves & winning_cells(mine, mine | theirs)
        if not chosen:
            chosen = moves & winning_cells(theirs, mine | theirs)
    return chosen if chosen else moves


cdef inline int evaluate(uint64_t mine, uint64_t my_wins, uint64_t theirs,
                         uint64_t their_wins) noexcept nogil:
    """A guess for a position nobody wins at once: threats kept, then stones in the centre."""
    return 16 * (bits(my_wins) - bits(their_wins)) + bits(mine & CENTRE) - bits(theirs & CENTRE)


cdef int negamax(uint64_t mine, uint64_t theirs, int depth, int alpha, int beta,
                 int* nodes_left) noexcept nogil:
    """Value of a position for the side to move, `depth` plies deep: WIN less the plies to it, or a guess.

    Winning cells answer the last two plies without playing them: a side that can win does; a side that faces
    two winning cells, or can only play below one, has lost.
    """
    cdef uint64_t taken = mine | theirs, moves = playable(taken), my_wins, their_wins, forced, move
    cdef int n, value
    if not moves:
        return 0
    my_wins = winning_cells(mine, taken)
    if my_wins & moves:
        return WIN - 1
    their_wins = winning_cells(theirs, taken)
    nodes_left[0] -= 1
    if depth < 2:
        return evaluate(mine, my_wins, theirs, their_wins)
    forced = moves & their_wins
    if forced:
        if forced & (forced - 1):
            return 2 - WIN
        moves = forced
    moves &= ~(their_wins >> 1)
    if not moves:
        return 2 - WIN
    if depth == 2 or nodes_left[0] < 0:
        return evaluate(mine, my_wins, theirs, their_wins)
    for n in range(COLUMNS):
        move = moves & (<uint64_t> 0x3F << (CENTRE_FIRST[n] * STRIDE))
        if move:
            value = -further(negamax(theirs, mine | move, depth - 1,
                                     -nearer(beta), -nearer(alpha), nodes_left))
            if value >= beta:
                return value
            if value > alpha:
                alpha = value
    return alpha


cdef inline int further(int value) noexcept nogil:
    """A win or a loss is one ply further away, seen from the move before."""
    return value - 1 if value > WIN // 2 else (value + 1 if value < -WIN // 2 else value)


cdef inline int nearer(int value) noexcept nogil:
    """The opposite of `further`, for the bounds."""
    return value + 1 if value > WIN // 2 else (value - 1 if value < -WIN // 2 else value)


cdef uint64_t best_moves(uint64_t mine, uint64_t theirs, uint64_t moves, int depth,
                         int node_budget) noexcept nogil:
    """The cells of all moves of the best value."""
    cdef uint64_t wins = moves & winning_cells(mine, mine | theirs), best = 0, move
    cdef int n, value, best_value = -2 * WIN, nodes_left
    if wins or depth < 2:
        return wins if wins else moves
    for n in range(COLUMNS):
        move = moves & (<uint64_t> 0x3F << (CENTRE_FIRST[n] * STRIDE))
        if move:
            nodes_left = node_budget // COLUMNS
            value = -further(negamax(theirs, mine | move, depth - 1, -2 * WIN, -best_value + 1, &nodes_left))
            if value > best_value:
                best_value, best = value, 0
            if value == best_value:
                best |= move
    return best
