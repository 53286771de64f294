"""The search behind benchmarks/triple_triad_ceiling.py plays the environment's game, and its probabilities are those of brute force."""

import importlib.util
import sys
from pathlib import Path

import numpy as np
import pytest
from test_triple_triad import Table

# By its path: with benchmarks/ on the search path, its environments.py would stand in for the one of the tests.
spec = importlib.util.spec_from_file_location("triple_triad_ceiling", Path(__file__).parents[1] / "benchmarks/triple_triad_ceiling.py")
ceiling = importlib.util.module_from_spec(spec)
spec.loader.exec_module(ceiling)

BOARD = slice(0, 94)                                            # of an observation: everything but the selected card and the mask


@pytest.fixture(scope="module")
def kernel():
    return ceiling.search()


def random_turns(count, seed):
    """(environment, observations, cards, cells) of turns of 64 random games: each card is selected, its placing is the caller's to send."""
    env, observations = ceiling.deal(64, seed)
    choose = ceiling.random_player(None, np.random.default_rng(seed))
    for _ in range(count):
        before = observations.copy()
        cards, cells = choose(before)
        env.step((ceiling.SELECT + cards).astype(np.int32))
        yield env, before, cards, cells


def positions(free, count, seed=3):
    """Observations of random games in which `free` cells are left and it is the agent's turn."""
    found = []
    for env, observations, _, cells in random_turns(70, seed):
        env.step((ceiling.PLACE + cells).astype(np.int32))
        found += [row for row in observations if row[ceiling.OWNERS].sum() == 9 - free]
    assert len(found) >= count
    return np.array(found[:count])


def moves(observation):
    """All (card, cell) of the agent."""
    taken = observation[ceiling.OWNERS].reshape(2, 9).any(0)
    return [(card, cell) for card in range(5) if observation[ceiling.HAND][card] for cell in range(9) if not taken[cell]]


def turned(observation, card, cell):
    """Cards that a move of the agent turns over."""
    table = Table(observation)
    return table.after("me", card, cell).owned("me") - table.owned("me")


def brute_force(table, least):
    """The agent's turn: the largest probability to own `least` cards at the end. Nothing is left out, nothing ends early."""
    return max(mean_over_answers(table.after("me", hand, cell), least) for hand in range(5) if any(table.hands["me"][hand].values())
               for cell in range(9) if divmod(cell, 3) not in table.cards)


def mean_over_answers(table, least):
    if len(table.cards) == 9:
        return table.owned("me") >= least
    answers = [table.after("them", hand, cell) for hand in range(5) if any(table.hands["them"][hand].values())
               for cell in range(9) if divmod(cell, 3) not in table.cards]
    most = max(answer.owned("them") for answer in answers)
    ties = [answer for answer in answers if answer.owned("them") == most]
    return sum(answer.owned("me") >= least if len(answer.cards) == 9 else brute_force(answer, least) for answer in ties) / len(ties)


def test_every_turn_of_the_environment_is_one_of_the_outcomes(kernel):
    turns, games, flips = 0, 0, 0
    for env, before, cards, cells in random_turns(40, seed=1):
        now, rewards, terminals, _, _ = env.step((ceiling.PLACE + cells).astype(np.int32))
        for i in range(len(before)):
            rows, owned = kernel.outcomes(before[i], cards[i], cells[i])
            if terminals[i]:
                assert rewards[i] in np.sign(owned - 5)
            else:
                assert (rows == now[i, BOARD]).all(1).any()
                flips += (before[i, 45:54] & now[i, 36:45]).sum()
        turns, games = turns + len(before), games + terminals.sum()
    assert turns == 2560 and games > 400 and flips > 300


def test_all_outcomes_of_a_turn_are_equally_probable(kernel):
    """Expectation stands and falls with it: each turn is taken in 4,000 copies of one game."""
    copies, checked = 4000, 0
    env, observations = ceiling.deal(copies, seed=2)
    choose = ceiling.random_player(kernel, np.random.default_rng(2))
    for _ in range(30):
        before = observations[0].copy()
        cards, cells = choose(before[None])
        state = env.get_state()
        tables = state["blocks"][-1]
        size = len(tables) // copies
        tables.reshape(copies, size)[:] = tables[:size].copy()  # the game is copied, each row keeps its own random stream
        env.set_state(state)
        env.step(np.full(copies, ceiling.SELECT + cards[0], np.int32))
        _, _, terminals, _, _ = env.step(np.full(copies, ceiling.PLACE + cells[0], np.int32))
        rows, _ = kernel.outcomes(before, cards[0], cells[0])
        if len(rows) > 1 and not terminals[0]:
            counts = np.array([(observations[:, BOARD] == row).all(1).sum() for row in rows])
            assert counts.sum() == copies, "the outcomes differ from each other, and there are no others"
            spread = ((counts - copies / len(rows)) ** 2 / (copies / len(rows))).sum()
            degrees = len(rows) - 1
            assert spread < degrees + 4 * np.sqrt(2 * degrees), f"{counts} of {copies}"
            checked += 1
    assert checked >= 8


@pytest.mark.parametrize("free, count", [(2, 60), (3, 30), (4, 6)])
@pytest.mark.parametrize("least", [6, 5])
def test_the_probability_to_win_is_that_of_brute_force(kernel, free, count, least):
    observations = positions(free, count)
    values, _, _ = kernel.best_moves(observations, least)
    assert values == pytest.approx([float(brute_force(Table(row), least)) for row in observations], abs=1e-12)
    assert free == 4 or 0 < values.mean() < 1, "positions that are all won or all lost would show nothing"
    assert free != 3 or ((0 < values) & (values < 1)).any(), "some must depend on the ties"


@pytest.mark.parametrize("free", [5, 6])
def test_a_position_is_worth_the_best_mean_over_what_follows(kernel, free):
    """What the ends of searches that stopped early must not change."""
    observations = positions(free, 12)
    values, cards, cells = kernel.best_moves(observations)
    share, _, _ = kernel.best_moves(observations, least=0, horizon=1)
    for row, value, owned, card, cell in zip(observations, values, share, cards.tolist(), cells.tolist(), strict=False):
        followed = {move: kernel.outcomes(row, *move) for move in moves(row)}
        means = {move: kernel.best_moves(rows)[0].mean() for move, (rows, _) in followed.items()}
        assert value == pytest.approx(max(means.values()), abs=1e-12) and means[card, cell] == pytest.approx(value, abs=1e-12)
        assert owned == pytest.approx(max(cards_owned.mean() for _, cards_owned in followed.values()) / 10)
    assert ((0 < values) & (values < 1)).any(), "some must depend on the ties"


def test_one_who_knows_the_ties_wins_what_is_certain_and_nothing_that_is_impossible(kernel):
    observations = positions(3, 200)
    values, _, _ = kernel.best_moves(observations)
    rng = np.random.default_rng(4)
    wins = np.mean([kernel.wins_knowing_ties(observations, rng.integers(2**64, size=200, dtype=np.uint64)) for _ in range(400)], 0)
    assert (wins[values == 1] == 1).all() and (wins[values == 0] == 0).all()
    between = (0 < values) & (values < 1)
    assert between.sum() >= 10 and (wins[between] >= values[between] - 4 * np.sqrt(0.25 / 400)).all() and (wins[between] < 1).any()


def test_a_win_that_is_certain_at_the_first_move_is_won(kernel):
    """The whole way: observations read, actions sent, results counted."""
    games, seed = 10, 3
    env, observations = ceiling.deal(games, seed)
    certain = kernel.best_moves(observations.copy())[0] == 1
    results = ceiling.play(ceiling.best_player(kernel, None), games, seed)
    assert certain.sum() == 9 and (results[certain] == 1).all()


def test_the_greedy_rule_turns_over_the_most(kernel):
    observations = positions(4, 50)
    cards, cells = kernel.greedy_moves(observations, np.arange(50, dtype=np.uint64))
    for row, card, cell in zip(observations, cards.tolist(), cells.tolist(), strict=False):
        assert turned(row, card, cell) == max(turned(row, *move) for move in moves(row))
    assert len(set(zip(cards.tolist(), cells.tolist(), strict=False))) > 10


def test_wilson_holds_the_share_and_stays_between_0_and_1():
    assert ceiling.wilson(0.5, 100) == pytest.approx((0.4038, 0.5962), abs=1e-4)
    assert ceiling.wilson(1.0, 100) == pytest.approx((0.9630, 1.0), abs=1e-4)


def test_a_table_needs_at_least_one_game(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["triple_triad_ceiling.py", "--games", "0"])
    with pytest.raises(SystemExit):
        ceiling.main()
    assert "expected at least 1" in capsys.readouterr().err
