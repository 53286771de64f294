"""triple_triad: every step against a plain Python table; stalling never pays; self-play is fair."""

import numpy as np
import pytest

import envs

SIDES = {"up": (-1, 0), "right": (0, 1), "down": (1, 0), "left": (0, -1)}
OPPOSITE = {"up": "down", "down": "up", "left": "right", "right": "left"}


class Table:
    """The board as a person would write it, read from an observation."""

    def __init__(self, observation):
        self.cards = {}                                 # (row, column) -> (owner, {side: number})
        for cell in range(9):
            owner = "me" if observation[36 + cell] else "them" if observation[45 + cell] else None
            if owner:
                self.cards[divmod(cell, 3)] = (owner, dict(zip(SIDES, map(int, observation[4 * cell:4 * cell + 4]), strict=False)))
        self.hands = {who: [dict(zip(SIDES, map(int, observation[at + 4 * n:at + 4 * n + 4]), strict=False)) for n in range(5)] for who, at in (("me", 54), ("them", 74))}

    def place(self, who, hand, cell):
        numbers = self.hands[who][hand]
        row, column = divmod(cell, 3)
        assert (row, column) not in self.cards
        self.cards[row, column] = (who, numbers)
        self.hands[who][hand] = dict.fromkeys(SIDES, 0)
        for side, (down, across) in SIDES.items():
            other = self.cards.get((row + down, column + across))
            if other and other[0] != who and numbers[side] > other[1][OPPOSITE[side]]:
                self.cards[row + down, column + across] = (who, other[1])

    def after(self, who, hand, cell):
        """The table once that card lies there; this one stays as it is."""
        copy = Table.__new__(Table)
        copy.cards, copy.hands = dict(self.cards), {side: list(cards) for side, cards in self.hands.items()}
        copy.place(who, hand, cell)
        return copy

    def owned(self, who):
        return sum(owner == who for owner, _ in self.cards.values()) + sum(any(card.values()) for card in self.hands[who])

    def same(self, other):
        return self.cards == other.cards and self.hands == other.hands


def legal_actions(env, rng):
    masks = env.action_masks()
    return (rng.random(masks.shape) * masks).argmax(1).astype(np.int32)


@pytest.mark.parametrize("opponent", ["random", "greedy"])
def test_every_placement_agrees_with_a_plain_table(opponent):
    env = envs.make("triple_triad", 1, seed=2, opponent=opponent, report_interval=0)
    observations, _ = env.reset()
    rng, placements, games = np.random.default_rng(0), 0, 0
    for _ in range(1500):
        before, selected = Table(observations[0]), observations[0, 94:99].copy()
        action = legal_actions(env, rng)
        _, rewards, terminals, _, _ = env.step(action)
        if action[0] >= 6:
            placements += 1
            before.place("me", int(selected.argmax()), int(action[0]) - 6)
            answers = [before] if len(before.cards) == 9 else [
                answer for hand in range(5) if any(before.hands["them"][hand].values()) for cell in range(9)
                if divmod(cell, 3) not in before.cards and (answer := before.after("them", hand, cell))]
            if terminals[0]:
                results = {np.sign(answer.owned("me") - 5) for answer in answers}
                assert rewards[0] in results
                games += 1
            else:
                now = Table(observations[0])
                assert any(now.same(answer) for answer in answers)
                if opponent == "greedy":
                    assert now.owned("them") == max(answer.owned("them") for answer in answers)
    assert placements > 500 and games > 100


def test_the_observation_says_which_actions_do_something():
    env = envs.make("triple_triad", 64, seed=1)
    observations, _ = env.reset()
    rng = np.random.default_rng(3)
    for _ in range(300):
        masks = env.action_masks().copy()
        actions = rng.integers(0, 15, 64, dtype=np.int32)
        _, rewards, terminals, _, _ = env.step(actions)
        wasted = rewards - np.where(terminals, np.round(rewards), 0) < -0.01
        assert np.array_equal(wasted, ~masks[np.arange(64), actions])


def test_the_selected_cards_numbers_stand_apart_and_are_those_in_the_hand():
    env = envs.make("triple_triad", 64, seed=4, players=2)
    env.reset()
    rng, held = np.random.default_rng(0), 0
    for _ in range(200):
        env.step(legal_actions(env, rng))
        chosen, hands = env.observations[:, 94:99].astype(bool), env.observations[:, 54:74].reshape(-1, 5, 4)
        assert np.array_equal(env.observations[:, 114:118], (hands * chosen[:, :, None]).sum(1))
        held += chosen.any(1).sum()
    assert 1000 < held < 200 * 128


def turned_by(table, who, hand, cell):
    """How many cards that card would turn over there; 0 where it cannot lie."""
    if not any(table.hands[who][hand].values()) or divmod(cell, 3) in table.cards:
        return 0
    return table.after(who, hand, cell).owned(who) - table.owned(who)


@pytest.mark.parametrize("settings", [{"players": 2}, {"opponent": "greedy"}], ids=["self-play", "greedy"])
def test_what_is_seen_at_a_glance_is_what_trying_it_out_on_a_plain_table_gives(settings):
    env = envs.make("triple_triad", 16, seed=11, report_interval=0, **settings)
    observations, _ = env.reset()
    rng, seen, turning = np.random.default_rng(2), 0, 0
    for step in range(120):
        env.step(legal_actions(env, rng))
        for row in observations[step % 4::4]:
            table = Table(row)
            mine, theirs = ([[turned_by(table, who, hand, cell) for cell in range(9)] for hand in range(5)] for who in ("me", "them"))
            assert row[131:136].tolist() == [max(cells) for cells in mine] and row[136:141].tolist() == [max(cells) for cells in theirs]
            assert row[150] <= 40
            assert row[141:150].tolist() == np.max(theirs, axis=0).tolist()
            if row[94:99].any():
                hand = int(row[94:99].argmax())
                beaten = [sum(card[OPPOSITE[side]] > number for card in table.hands["them"]) for side, number in table.hands["me"][hand].items()]
                assert row[118:127].tolist() == mine[hand] and row[127:131].tolist() == beaten
                seen, turning = seen + 1, turning + max(mine[hand])
            else:
                assert not row[114:131].any()
    assert seen > 200 and turning > 200


@pytest.mark.parametrize("settings", [{"opponent": "greedy"}, {"opponent": "random"}, {"players": 2}], ids=["greedy", "random", "self-play"])
def test_foresight_is_what_trying_out_every_card_and_every_answer_on_a_plain_table_gives(settings):
    env = envs.make("triple_triad", 8, seed=21, foresight=True, report_interval=0, **settings)
    observations, _ = env.reset()
    rng, seen, answered = np.random.default_rng(5), 0, set()
    for step in range(90):
        for row in observations[step % 5::5]:
            table, answer, prospect = Table(row), [0] * 9, [0] * 5
            moves = [hand for hand in range(5) if any(table.hands["me"][hand].values())] if "players" not in settings or row[-1] else []
            for hand in moves:
                differences = []
                for cell in (cell for cell in range(9) if divmod(cell, 3) not in table.cards):
                    after = table.after("me", hand, cell)
                    most = max((turned_by(after, "them", other, there) for other in range(5) for there in range(9)), default=0)
                    differences.append(turned_by(table, "me", hand, cell) - most)
                    if row[94 + hand]:
                        answer[cell] = 1 + most
                        answered.add(most)
                prospect[hand] = 5 + max(differences)
            assert row[151:160].tolist() == answer and row[160:165].tolist() == prospect
            seen += any(answer)
        env.step(legal_actions(env, rng))
    assert seen > 30 and answered >= {0, 1, 2}


@pytest.mark.parametrize("players", [1, 2])
def test_foresight_changes_nothing_but_what_is_seen(players):
    plain, foreseeing = (envs.make("triple_triad", 64, seed=4, players=players, foresight=foresight) for foresight in (False, True))
    rng, (seen, _), (more, _) = np.random.default_rng(6), plain.reset(), foreseeing.reset()
    assert more.shape[1] == seen.shape[1] + 14
    for _ in range(150):
        assert np.array_equal(np.delete(more, np.s_[151:165], axis=1), seen) and more[:, 151:165].any()
        actions = legal_actions(plain, rng)
        results = [env.step(actions)[1:4] for env in (plain, foreseeing)]
        assert all(np.array_equal(a, b) for a, b in zip(*results, strict=False))
        assert (more <= foreseeing.single_observation_space.high).all()


def test_the_clock_counts_the_steps_of_a_game():
    env = envs.make("triple_triad", 64, seed=13)
    observations, _ = env.reset()
    rng, steps = np.random.default_rng(4), np.zeros(64, int)
    for _ in range(100):
        assert np.array_equal(observations[:, 150], steps)
        _, _, terminals, _, _ = env.step(rng.integers(0, 15, 64, dtype=np.int32))
        steps = np.where(terminals, 0, steps + 1)
    assert steps.max() > 30


@pytest.mark.parametrize("opponent", ["random", "greedy"])
def test_ties_are_broken_evenly(opponent):
    """Nothing can be turned over by the first card: each of the 45 ways to play it is as likely as the others."""
    env = envs.make("triple_triad", 20_000, seed=12, opponent=opponent)
    observations, _ = env.reset()
    began = observations[:, 45:54].any(1)
    cells, cards = observations[began, 45:54].argmax(1), (observations[began, 74:94].reshape(-1, 5, 4)[:, :, 0] == 0).argmax(1)
    counts = np.bincount(9 * cards + cells, minlength=45)
    assert 0.49 < began.mean() < 0.51 and counts.min() > 0.7 * counts.mean() and counts.max() < 1.3 * counts.mean()


def test_stalling_is_worse_than_playing_at_random_and_losing_to_greedy():
    """The streams' policy learned to stall, because losing was punished and stalling was not."""
    returns = {}
    for name in ("no-op", "reselect", "play"):
        env = envs.make("triple_triad", 256, seed=4, opponent="greedy", report_interval=0)
        env.reset()
        rng = np.random.default_rng(5)
        for step in range(200):
            action = {"no-op": np.zeros(256, np.int32), "reselect": np.full(256, 1 + step % 2, np.int32)}.get(name)
            env.step(legal_actions(env, rng) if action is None else action)
        returns[name] = env.log()["episode_return"]
    assert returns["play"] > returns["reselect"] >= returns["no-op"] and returns["reselect"] <= -1


def test_greedy_is_stronger_than_random():
    def wins(opponent):
        env = envs.make("triple_triad", 512, seed=6, opponent=opponent, report_interval=0)
        env.reset()
        rng = np.random.default_rng(7)
        for _ in range(200):
            env.step(legal_actions(env, rng))
        return env.log()["wins"]

    assert wins("greedy") < 0.15 < 0.3 < wins("random")


def test_cards_are_dealt_evenly():
    env = envs.make("triple_triad", 4000, seed=8, players=2)
    observations, _ = env.reset()
    hands = observations[::2, 54:94]
    counts = np.bincount(hands.ravel(), minlength=11)
    assert counts[0] == 0 and counts[1:].min() > 0.95 * counts[1:].mean()
    assert abs(hands[:, :20].mean() - hands[:, 20:].mean()) < 0.05


def test_two_players_see_the_same_table_from_both_sides():
    env = envs.make("triple_triad", 32, seed=9, players=2)
    observations, _ = env.reset()
    rng = np.random.default_rng(1)
    for _ in range(200):
        _, rewards, terminals, _, _ = env.step(legal_actions(env, rng))
        first, second = observations[::2], observations[1::2]
        assert np.array_equal(first[:, 36:45], second[:, 45:54]) and np.array_equal(first[:, 54:74], second[:, 74:94])
        assert np.array_equal(first[:, -1] + second[:, -1], np.ones(32))
        assert np.array_equal(terminals[::2], terminals[1::2])
    assert abs(env.log().get("score", 5) - 5) < 1e-9, "the ten cards are shared out"


@pytest.mark.parametrize("wrong", [{"opponent": "gredy"}, {"players": 0}, {"patience": 3}])
def test_wrong_settings_are_refused(wrong):
    with pytest.raises(ValueError, match="expected"):
        envs.make("triple_triad", **wrong)
