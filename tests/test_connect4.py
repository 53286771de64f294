"""connect4: rules against a plain Python board, the searching opponent against a brute-force solver, self-play."""

import functools

import numpy as np
import pytest

import envs

ROWS, COLUMNS = 6, 7


# ---------------------------------------------------------------------- the oracle: lists, loops and no bit tricks

def drop(board, column, stone):
    """The board (tuple of column strings, bottom first) after a stone, or None if the column is full."""
    if len(board[column]) == ROWS:
        return None
    return (*board[:column], board[column] + stone, *board[column + 1:])


def cell(board, column, row):
    return board[column][row] if 0 <= column < COLUMNS and 0 <= row < len(board[column]) else None


def won(board, stone):
    return any(all(cell(board, column + n * across, row + n * up) == stone for n in range(4))
               for column in range(COLUMNS) for row in range(ROWS) for across, up in ((1, 0), (0, 1), (1, 1), (1, -1)))


@functools.cache
def forced_win(board, mover, other, plies):
    """Fewest plies in which `mover`, to move, can force four, if at most `plies`; else None."""
    best = None
    for column in range(COLUMNS):
        after = drop(board, column, mover)
        if after is None or plies < 1:
            continue
        if won(after, mover):
            return 1
        replies = [drop(after, reply, other) for reply in range(COLUMNS)]
        replies = [reply for reply in replies if reply is not None]
        if plies >= 3 and replies and not any(won(reply, other) for reply in replies):
            lengths = [forced_win(reply, mover, other, plies - 2) for reply in replies]
            if all(length is not None for length in lengths):
                best = min(best or 99, 2 + max(lengths))
    return best


@functools.cache
def outcome(board, mover, other):
    """Of a position without four, for `mover`, to move, if both play best to the end: 1 won, 0 drawn, -1 lost."""
    results = []
    for after in (drop(board, column, mover) for column in range(COLUMNS)):
        if after is not None:
            results.append(1 if won(after, mover) else -outcome(after, other, mover))
            if results[-1] == 1:
                break
    return max(results, default=0)


def as_rows(board):
    return ["".join(board[column][row] if row < len(board[column]) else "." for column in range(COLUMNS)) for row in reversed(range(ROWS))]


def random_position(rng, stones):
    """A position without four, `o` to move (the opponent), reached by random play; None if play ended first."""
    board, turn = ("",) * COLUMNS, "o" if stones % 2 == 0 else "x"
    for _ in range(stones):
        free = [column for column in range(COLUMNS) if len(board[column]) < ROWS]
        board = drop(board, int(rng.choice(free)), turn)
        if won(board, turn):
            return None
        turn = "x" if turn == "o" else "o"
    return board


def quiet_position(rng, stones):
    """The same for a fuller board: nobody completes four where another column is free; None if somebody has to."""
    board, turn = ("",) * COLUMNS, "o" if stones % 2 == 0 else "x"
    for _ in range(stones):
        after = [drop(board, int(column), turn) for column in rng.permutation(COLUMNS)]
        board = next((board for board in after if board is not None and not won(board, turn)), None)
        if board is None:
            return None
        turn = "x" if turn == "o" else "o"
    return board


# ---------------------------------------------------------------------- rules

def test_a_game_agrees_with_a_plain_python_board():
    env = envs.make("connect4", 1, seed=3, opponent="random", threats=False)
    observations, _ = env.reset(seed=3)
    rng, games, before = np.random.default_rng(0), 0, observations[0].copy()
    for _ in range(3000):
        board = tuple("".join(".xo"[before[row * COLUMNS + column]] for row in reversed(range(ROWS))).rstrip(".") for column in range(COLUMNS))
        action = int(rng.integers(COLUMNS))
        observations, rewards, terminals, _, _ = env.step(np.array([action], np.int32))
        after = drop(board, action, "x")
        if after is None or won(after, "x"):
            assert terminals[0] and rewards[0] == (-1 if after is None else 1)
        elif terminals[0]:
            replies = [drop(after, reply, "o") for reply in range(COLUMNS)]
            full = [reply for reply in replies if reply and all(len(column) == ROWS for column in reply)] or all(len(c) == ROWS for c in after)
            assert (rewards[0] == 0 and full) or (rewards[0] == -1 and any(reply and won(reply, "o") for reply in replies))
        else:
            assert rewards[0] == 0
            seen = as_rows(after)
            now = ["".join(".xo"[v] for v in observations[0][row * COLUMNS:(row + 1) * COLUMNS]) for row in range(ROWS)]
            assert sum(a != b for x, y in zip(seen, now, strict=False) for a, b in zip(x, y, strict=False)) == 1, "exactly one stone was answered"
        games += int(terminals[0])
        before = observations[0].copy()
    assert games > 100


def test_a_full_column_loses_and_never_wins():
    env = envs.make("connect4", 1, opponent="random")
    env.reset()
    env.set_board(0, ["x......", "x......", "x......", "o......", "o......", "o......"])
    _, rewards, terminals, _, _ = env.step(np.zeros(1, np.int32))
    assert terminals[0] and rewards[0] == -1


@pytest.mark.parametrize("opponent", ["random", "greedy", "search"])
def test_every_column_is_played(opponent):
    env = envs.make("connect4", 512, seed=1, opponent=opponent, depth=2)
    observations, _ = env.reset()
    rng, played = np.random.default_rng(1), np.zeros(COLUMNS, bool)
    for _ in range(30):
        env.step(rng.integers(0, COLUMNS, 512, dtype=np.int32))
        played |= (observations.reshape(-1, ROWS, COLUMNS) == 2).any((0, 1))
    assert played.all()


def test_four_stones_in_column_0_do_not_beat_every_opponent():
    env = envs.make("connect4", 256, seed=0, opponent="greedy")
    env.reset()
    for _ in range(40):
        env.step(np.zeros(256, np.int32))
    assert env.log()["score"] < 0.2


def test_both_sides_start_about_equally_often():
    env = envs.make("connect4", 4000, seed=5, threats=False)
    observations, _ = env.reset()
    assert 0.45 < (observations == 2).any(1).mean() < 0.55


def test_action_masks_are_the_free_columns():
    env = envs.make("connect4", 2)
    env.reset()
    env.set_board(1, ["x.....o", "o.....x", "x.....o", "o.....x", "x.....o", "o.....x"])
    assert env.action_masks()[1].tolist() == [False, True, True, True, True, True, False]


# ---------------------------------------------------------------------- the searching opponent

def test_search_never_loses_a_won_position_at_its_depth():
    rng, tested = np.random.default_rng(7), 0
    depth = 5
    env = envs.make("connect4", 1, opponent="search", depth=depth)
    env.reset()
    while tested < 25:
        board = random_position(rng, int(rng.integers(20, 34)))
        if board is None:
            continue
        length = forced_win(board, "o", "x", depth)
        if length is None:
            continue
        env.set_board(0, as_rows(board))
        for column in env.opponent_moves(0):
            after = drop(board, column, "o")
            replies = [reply for reply in (drop(after, c, "x") for c in range(COLUMNS)) if reply]
            keeps = won(after, "o") or all(
                not won(reply, "x") and (forced_win(reply, "o", "x", length - 2) or 99) <= length - 2 for reply in replies)
            assert keeps, f"column {column} gives away a win in {length} plies:\n" + "\n".join(as_rows(board))
        tested += 1
    forced_win.cache_clear()


def test_search_to_the_end_of_the_board_plays_only_best_moves():
    rng, tested = np.random.default_rng(13), 0
    env = envs.make("connect4", 1, opponent="search", depth=42, node_budget=10**6)
    env.reset()
    while tested < 100:
        board = quiet_position(rng, int(rng.integers(33, 39)))
        if board is None:
            continue
        env.set_board(0, as_rows(board))
        for column in env.opponent_moves(0):
            after = drop(board, column, "o")
            result = 1 if won(after, "o") else -outcome(after, "x", "o")
            assert result == outcome(board, "o", "x"), f"column {column} comes to {result}:\n" + "\n".join(as_rows(board))
        tested += 1
    outcome.cache_clear()


def test_search_avoids_a_loss_it_can_see():
    rng, tested = np.random.default_rng(11), 0
    env = envs.make("connect4", 1, opponent="search", depth=4)
    env.reset()
    while tested < 25:
        board = random_position(rng, int(rng.integers(18, 32)))
        if board is None or forced_win(board, "o", "x", 3):
            continue
        safe = [c for c in range(COLUMNS) if (after := drop(board, c, "o")) and not forced_win(after, "x", "o", 3)]
        if 0 < len(safe) < sum(len(c) < ROWS for c in board):
            env.set_board(0, as_rows(board))
            assert set(env.opponent_moves(0)) <= set(safe), "\n".join(as_rows(board))
            tested += 1
    forced_win.cache_clear()


def test_search_is_deterministic_by_seed():
    def play(seed):
        env = envs.make("connect4", 32, seed=seed, opponent="search")
        observations, _ = env.reset()
        rng = np.random.default_rng(0)
        return [(env.step(rng.integers(0, 7, 32, dtype=np.int32)), observations.copy())[1] for _ in range(50)]

    assert np.array_equal(play(4), play(4)) and not np.array_equal(play(4), play(5))


def match(first, second, games):
    """Games won by each of two opponents that play each other, who starts alternating."""
    rng, wins, sides = np.random.default_rng(2), [0, 0], (first, second)
    for game in range(games):
        board, turn = ("",) * COLUMNS, game % 2
        while any(len(column) < ROWS for column in board):
            sides[turn].set_board(0, as_rows(tuple(column.translate(str.maketrans("01", "ox" if turn == 0 else "xo")) for column in board)))
            board = drop(board, int(rng.choice(sides[turn].opponent_moves(0))), str(turn))
            if won(board, str(turn)):
                wins[turn] += 1
                break
            turn = 1 - turn
    return wins


def opponent(**settings):
    env = envs.make("connect4", 1, **settings)
    env.reset()
    return env


def test_a_deeper_search_beats_a_shallower_one_and_the_greedy_player():
    deep = opponent(opponent="search", depth=6)
    wins, losses = match(deep, opponent(opponent="greedy"), 40)
    assert wins > 36
    wins, losses = match(deep, opponent(opponent="search", depth=2), 40)
    assert wins > losses


def test_the_node_budget_ends_a_search_that_would_not_end():
    assert opponent(opponent="search", depth=40, node_budget=2000).opponent_moves(0)


# ---------------------------------------------------------------------- self-play

def test_two_players_take_turns_and_see_each_other():
    env = envs.make("connect4", 1, players=2, threats=False)
    observations, _ = env.reset()
    assert observations.shape == (2, 43) and observations[:, 42].tolist() == [1, 0]
    env.step(np.array([3, 6], np.int32))
    assert observations[:, 42].tolist() == [0, 1]
    assert observations[0, 5 * 7 + 3] == 1 and observations[1, 5 * 7 + 3] == 2
    assert (observations[0, :42] != 0).sum() == 1, "the action of the player not to move is ignored"


def test_two_players_rewards_are_opposite():
    env = envs.make("connect4", 1, players=2, report_interval=0)
    env.reset()
    for first, second in ((0, 1), (0, 1), (0, 1)):
        env.step(np.array([first, 6], np.int32))
        env.step(np.array([6, second], np.int32))
    _, rewards, terminals, _, _ = env.step(np.array([0, 6], np.int32))
    assert rewards.tolist() == [1, -1] and terminals.all()
    assert env.log() == {"n": 2, "episode_return": 0.0, "episode_length": 7.0, "score": 0.5}


@pytest.mark.parametrize("players", [1, 2])
def test_half_of_the_games_begin_after_random_stones_of_both_sides(players):
    env = envs.make("connect4", 4000, opponent="random", openings=3, players=players, threats=False, seed=1)
    boards = np.asarray(env.reset()[0])[::players, :42]
    mine, theirs = (boards == 1).sum(1), (boards == 2).sum(1)
    opponent_began = theirs - mine                      # with two players the first agent begins, always
    assert set(opponent_began.tolist()) == ({0, 1} if players == 1 else {0})
    np.testing.assert_allclose(np.bincount(mine, minlength=4) / 4000, [1 / 2, 1 / 6, 1 / 6, 1 / 6], atol=0.03)
    stones = boards.reshape(-1, 6, 7)
    assert (np.diff((stones > 0).astype(int), axis=1) >= 0).all()       # none hangs in the air
    first_stones = (boards[mine == 1] == 1).reshape(-1, 6, 7).sum((0, 1))
    assert (first_stones > 0.08 * first_stones.sum()).all()             # in every column


def test_a_share_of_the_games_is_against_a_search_that_looks_less_far():
    """Told by where the opponent puts the first stone: in the middle if it looks four plies ahead, anywhere if one."""
    choices = {depth: opponent(opponent="search", depth=depth).opponent_moves(0) for depth in (1, 2, 3, 4)}
    assert choices[4] == [3] and len(choices[1]) == 7
    apart = np.mean([1 - (3 in choices[depth]) / len(choices[depth]) for depth in (1, 2, 3)])
    for weaker in (0.0, 0.4, 1.0):
        boards = np.asarray(envs.make("connect4", 6000, opponent="search", weaker=weaker, seed=3).reset()[0])
        begun = boards[(boards == 2).any(1)]
        assert (begun[:, 38] != 2).mean() == pytest.approx(weaker * apart, abs=0.03)
    shallow, deep = (envs.make("connect4", 500, opponent="search", depth=4, weaker=weaker, seed=7) for weaker in (1.0, 0.0))
    scores = []
    for env in (shallow, deep):
        env.reset()
        rng = np.random.default_rng(1)
        for _ in range(60):
            env.step((rng.random((500, 7)) * env.action_masks()).argmax(1).astype(np.int32))
        scores.append(env.log()["score"])
    assert scores[0] > scores[1] + 0.05


def threat(stones, row, column, who):
    """Would a stone of `who` there be one of four in a row? `stones`: (row, column) -> who, row 0 at the top."""
    return any(all((row + k * down, column + k * across) == (row, column) or stones.get((row + k * down, column + k * across)) == who
                   for k in range(first, first + 4))
               for down, across in ((0, 1), (1, 0), (1, 1), (1, -1)) for first in range(-3, 1))


@pytest.mark.parametrize("settings", [{"opponent": "greedy", "openings": 3}, {"opponent": "search", "weaker": 0.5}, {"players": 2, "openings": 2}],
                         ids=["greedy", "search", "self-play"])
def test_threats_are_the_empty_cells_that_complete_four_on_a_plain_board(settings):
    env = envs.make("connect4", 16, seed=8, threats=True, **settings)
    observations, _ = env.reset()
    rng, seen = np.random.default_rng(3), np.zeros(9, int)
    for _ in range(60):
        for board in observations[:, :42].reshape(-1, ROWS, COLUMNS).tolist():
            stones = {(row, column): who for row, line in enumerate(board) for column, who in enumerate(line) if who in (1, 2)}
            for row, column in np.ndindex(ROWS, COLUMNS):
                if (row, column) not in stones:
                    mine, theirs = threat(stones, row, column, 1), threat(stones, row, column, 2)
                    at_once = row == ROWS - 1 or (row + 1, column) in stones
                    assert board[row][column] == (2 + mine + 2 * theirs + 3 * at_once if mine or theirs else 0)
                seen[board[row][column]] += 1
        env.step((rng.random((env.num_agents, 7)) * env.action_masks()).argmax(1).astype(np.int32))
    assert seen.all(), "everything that can be shown was seen"


@pytest.mark.parametrize("players", [1, 2])
def test_threats_change_nothing_but_what_is_seen(players):
    plain, warned = (envs.make("connect4", 64, seed=4, players=players, threats=threats) for threats in (False, True))
    rng, (seen, _), (more, _) = np.random.default_rng(6), plain.reset(), warned.reset()
    threats = 0
    for _ in range(150):
        boards = more[:, :42]
        assert np.array_equal(np.where(boards > 2, 0, boards), seen[:, :42]) and np.array_equal(more[:, 42:], seen[:, 42:])
        assert np.array_equal(plain.action_masks(), warned.action_masks())
        threats += (boards > 2).sum()
        actions = rng.integers(0, 7, plain.num_agents, dtype=np.int32)
        results = [env.step(actions)[1:4] for env in (plain, warned)]
        assert all(np.array_equal(a, b) for a, b in zip(*results, strict=False))
    assert threats > 1000 and warned.single_observation_space.high.max() == 8 and plain.single_observation_space.high.max() == 2


def test_a_position_that_is_set_shows_its_threats_and_is_drawn_as_without():
    rows = [".......", ".......", ".......", ".......", "o.x....", "ooxxx.."]
    plain, warned = (envs.make("connect4", 1, threats=threats) for threats in (False, True))
    for env in (plain, warned):
        env.reset()
        env.set_board(0, rows)
    assert np.asarray(warned.observations)[0].reshape(6, 7)[5].tolist() == [2, 2, 1, 1, 1, 6, 0]
    assert np.array_equal(plain.render(), warned.render())


@pytest.mark.parametrize("settings", [{"opponent": "greedy"}, {"opponent": "search", "depth": 1}])
def test_an_opponent_that_does_not_look_ahead_has_no_weaker_games(settings):
    assert envs.make("connect4", weaker=0.5, **settings).weaker == 0
    first, second = (np.asarray(envs.make("connect4", 500, weaker=weaker, seed=2, **settings).reset()[0]) for weaker in (0.0, 0.5))
    assert np.array_equal(first, second)


def test_no_game_begins_won_and_without_openings_all_begin_empty():
    env = envs.make("connect4", 5000, opponent="greedy", openings=10, players=2)
    for board in np.asarray(env.reset()[0])[::2, :42].reshape(-1, 6, 7):
        columns = tuple("".join("?xo??????"[cell] for cell in board[::-1, column]).rstrip("?") for column in range(7))
        assert not won(columns, "x") and not won(columns, "o")
    assert not np.asarray(envs.make("connect4", 1000, players=2, threats=False).reset()[0])[:, :42].any()


@pytest.mark.parametrize("wrong", [{"opponent": "seach"}, {"players": 3}, {"depth": 0}, {"openings": -1}, {"openings": 11},
                                   {"weaker": -0.1}, {"weaker": 1.5, "opponent": "search"}])
def test_wrong_settings_are_refused(wrong):
    with pytest.raises(ValueError, match="expected"):
        envs.make("connect4", **wrong)
