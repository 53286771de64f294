"""The arena: every pair plays on both sides, the right player acts for every row, and the standings say what the games say."""

import json
import warnings

import numpy as np
import pytest
import torch
from selfplay_toys import Alone, Always, Cut, CutAndCounted, Endless, RockPaperScissors

import envs
import puffer_min
from puffer_min.__main__ import main
from puffer_min.env.spec import EnvSpec
from puffer_min.learner.actor import Actor, build_policy
from puffer_min.learner.policy import make_policy
from puffer_min.learner.presets import settings_for
from puffer_min.selfplay.arena import arena
from puffer_min.selfplay.players import NOBODY, Network, Table, player_of
from puffer_min.selfplay.ratings import both_sides
from puffer_min.selfplay.sides import Referee, Sides, two_sided_settings
from puffer_min.vector import make_vec

THREE = {"rock": Always(0), "paper": Always(1), "scissors": Always(2)}


def network(name="connect4", seed=0, settings=None, **env_settings):
    torch.manual_seed(seed)
    spec = EnvSpec.of(envs.make(name, **env_settings))
    return build_policy(make_policy, spec, settings_for(name, **(settings or {})))


# ---------------------------------------------------------------------- what is counted

def test_rock_paper_scissors_has_equal_ratings_that_hide_sure_wins_and_the_arena_warns():
    with pytest.warns(UserWarning, match="not in one order: .* beats .* beats .* beats .*no Elo can say this"):
        standings = arena(RockPaperScissors, THREE, games=100)
    assert np.abs(standings.elo).max() < 1e-6                               # equal, says Elo
    assert standings.payoff[1, 0] == standings.payoff[2, 1] == standings.payoff[0, 2] == 1          # and yet
    assert sorted(standings.cycle) == ["paper", "rock", "scissors"]
    beaten = dict(zip(standings.cycle, [*standings.cycle[1:], standings.cycle[0]], strict=True))
    assert beaten == {"paper": "rock", "rock": "scissors", "scissors": "paper"}
    assert standings.misfit == pytest.approx(0.5)
    assert "Warning" in str(standings) and "no Elo can say this" in standings.ladder().axes[0].get_title()


def test_players_that_are_in_one_order_give_no_warning():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        standings = arena("connect4", ["scripted:search4", "scripted:greedy", "scripted:random"], games=200)
    assert standings.ranking().tolist() == [0, 1, 2] and standings.cycle == []
    assert (np.diff(standings.elo[standings.ranking()]) < 0).all()
    assert (standings.elo_low < standings.elo).all() and (standings.elo < standings.elo_high).all()


def test_every_pair_plays_as_many_games_on_either_side():
    standings = arena("connect4", [f"scripted:search{depth}" for depth in (1, 2, 3)], games=60, width=0)
    games = standings.counts.sum(2)
    assert (games[~np.eye(3, dtype=bool)] == 30).all() and (np.diag(games) == 0).all()
    assert (standings.games == games + games.T).all()


def test_a_clear_pair_plays_fewer_games_than_a_close_one():
    assert arena("connect4", ["scripted:search4", "scripted:random"], games=1000).games[0, 1] == 100
    close = arena("connect4", {"a": "scripted:search2", "b": "scripted:search2"}, games=1000)
    assert 300 <= close.games[0, 1] <= 500 and close.high[0, 1] - close.low[0, 1] <= 0.1


def test_games_do_not_depend_on_how_many_are_played_at_a_time_but_on_the_seed():
    def counts(**settings):
        return arena("connect4", ["scripted:greedy", "scripted:search2"], games=100, width=0, **settings).counts
    assert (counts() == counts()).all() and (counts() != counts(seed=1)).any()
    few = counts(num_envs=2)                                                # other streams, the same players
    assert abs(few[..., 0].sum() - counts()[..., 0].sum()) < 40 and (few.sum(2) == counts().sum(2)).all()


def test_a_slot_plays_a_fixed_number_of_games_so_that_short_ones_do_not_count_more():
    """Slots that go on until enough games have ended anywhere would count the short ones first."""
    standings = arena("connect4", ["scripted:greedy", "scripted:search2"], games=40, width=0, num_envs=4)
    assert standings.counts.sum() == 40


def test_the_second_side_sees_its_own_stones_and_wins_as_often_when_the_players_are_swapped():
    standings = arena("connect4", {"a": "scripted:search4", "b": "scripted:search4"}, games=600, width=0)
    assert 0.4 < standings.payoff[0, 1] < 0.6 and standings.first > 0.5     # the first move is worth something


def test_a_game_that_is_cut_off_is_drawn_and_one_decided_by_return_is_won():
    two = {"a": Always(0), "b": Always(1)}
    drawn = arena(Cut, two, games=20, width=0)
    assert drawn.counts.sum((0, 1)).tolist() == [0, 20, 0]
    counted = arena(CutAndCounted, two, games=20, width=0)
    assert counted.counts.sum((0, 1)).tolist() == [20, 0, 0] and counted.first == 1


@pytest.mark.parametrize("name, settings", [("triple_triad", {}), ("moba", {"max_ticks": 60}), ("skirmish", {"limit": 40})])
def test_every_environment_with_two_sides_can_be_played(name, settings):
    standings = arena(name, {"a": "scripted:random", "b": network(name, **two_sided_settings(name) | settings)}, games=8,
                      width=0, env_settings=settings)
    assert standings.counts.sum() == 8


def test_the_winner_of_a_skirmish_has_the_larger_return_and_that_of_a_moba_game_the_last_reward():
    vec = make_vec("skirmish", num_envs=3, env_settings={"limit": 30})
    sides, random = Sides("skirmish", vec), np.random.default_rng(0)
    referee = Referee(vec, sides)
    vec.reset(0)
    returns = np.zeros((3, 2))
    for _ in range(30):
        vec.step(random.integers(0, vec.single_action_space.nvec, vec.actions.shape).astype(np.int32))
        returns += vec.rewards.reshape(3, 2, 5).sum(2)
        over, results = referee.judge()
    assert over.tolist() == [0, 1, 2] and results.tolist() == (1 - np.sign(returns[:, 0] - returns[:, 1])).tolist()
    assert set(np.sign(returns[:, 0] - returns[:, 1])) - {0}
    vec = make_vec("moba", num_envs=1, env_settings={"agents": 10})
    referee = Referee(vec, Sides("moba", vec))
    vec.reset(0)
    vec.rewards[:] = [-5.0] * 5 + [5.2] * 5
    vec.terminals[:] = True
    assert [part.tolist() for part in referee.judge()] == [[0], [2]]


# ---------------------------------------------------------------------- who acts

def test_each_row_is_played_by_the_player_that_sits_there_and_only_when_it_is_to_move():
    vec = make_vec("connect4", num_envs=4, env_settings={"players": 2})
    vec.reset(0)
    table = Table(vec, Sides("connect4", vec))
    asked = []

    class Watching(Always):
        def act(self, observations):
            asked.append((self.action, len(observations)))
            return super().act(observations)
    for action in (2, 5):
        table.players[action] = player_of(Watching(action), "connect4", vec, table.sides)
    table.seat(np.arange(0, 8, 2), 2)
    table.seat(np.arange(1, 8, 2), 5)
    table.act()
    assert asked == [(2, 4)] and vec.actions[::2].tolist() == [2] * 4      # the first sides alone are to move
    vec.step(vec.actions)
    table.act()
    assert asked[1:] == [(5, 4)] and vec.actions[1::2].tolist() == [5] * 4


def test_a_network_acts_in_the_arena_as_it_does_in_an_actor():
    policy = network(players=2)
    vec = make_vec("connect4", num_envs=8, env_settings={"players": 2})
    vec.reset(0)
    table, actor = Table(vec, Sides("connect4", vec)), Actor(policy, greedy=True)
    table.players[0] = Network(policy, 16, greedy=True)
    table.seat(np.arange(16), 0)
    for turn in range(5):
        expected = actor.act(vec.observations, vec.action_masks())
        table.act()
        assert (vec.actions[turn % 2::2] == expected[turn % 2::2]).all()
        vec.step(vec.actions)


def test_actions_of_networks_are_drawn_by_their_probabilities_each_by_its_own():
    """Two networks that prefer a column each, drawn together: neither gets the other's actions."""
    vec = make_vec("connect4", num_envs=200, env_settings={"players": 2})
    vec.reset(0)
    table = Table(vec, Sides("connect4", vec))
    for player, column in enumerate((1, 4)):
        policy = network(players=2)
        with torch.no_grad():
            policy.head.weight.zero_()
            policy.head.bias.zero_()
            policy.head.bias[column] = 2.0
        table.players[player] = Network(policy, 400)
    table.seat(np.arange(0, 400, 4), 1)
    table.seat(np.arange(2, 400, 4), 0)
    drawn = np.zeros((2, 7))
    for _ in range(20):
        table.act()
        drawn += [np.bincount(vec.actions[first::4], minlength=7) for first in (2, 0)]
    likely = np.exp(2) / (np.exp(2) + 6)
    for player, column in enumerate((1, 4)):
        assert drawn[player, column] / 2000 == pytest.approx(likely, abs=0.05)
        assert np.allclose(np.delete(drawn[player], column) / 2000, (1 - likely) / 6, atol=0.03)


def test_a_recurrent_player_remembers_each_row_and_forgets_it_when_the_game_is_over():
    policy = network("triple_triad", players=2, settings={"recurrent": True})
    vec = make_vec("triple_triad", num_envs=2, env_settings={"players": 2})
    vec.reset(0)
    player, actor = Network(policy, 4, greedy=True), Actor(policy, greedy=True)
    for _ in range(4):
        masks, backwards = vec.action_masks(), np.array([3, 2, 1, 0])
        outputs = player.outputs(vec.observations[backwards], backwards)
        actions = policy.distribution.mode(outputs.masked_fill(~torch.from_numpy(masks[backwards]).t(), -np.inf)).numpy()[::-1]
        assert (actions == actor.act(vec.observations, masks)).all()
        vec.step(actions.astype(np.int32))
    assert player.state.abs().sum() > 0
    player.begin(np.array([1]))
    assert player.state[1].abs().sum() == 0 and (player.state[[0, 2, 3]].abs().sum(1) > 0).all()


def test_a_policy_of_the_one_sided_game_plays_in_the_two_sided_one():
    standings = arena("connect4", {"one-sided": network(), "two-sided": network(players=2), "random": "scripted:random"}, games=20, width=0)
    assert standings.counts.sum() == 60


def test_the_scripted_players_of_connect4_move_as_the_opponent_of_that_name_does():
    def board(*rows):
        env = envs.make("connect4", 1, players=2, threats=False)
        env.reset(0)
        env.set_board(0, ["......."] * (6 - len(rows)) + list(rows))
        return env.observations[:1]
    def chosen(name, seen):
        player = envs.load("connect4").scripted(name, seed=1)
        return {int(player.act(seen)[0]) for _ in range(200)}
    win, must_stop, full = board("oo.....", "xxx.oo."), board("xx.....", "ooo.x.."), board(*["xo....."] * 3, *["ox....."] * 3)
    for name in ("greedy", "search2", "search6"):
        assert chosen(name, win) == {3} == chosen(name, must_stop)
    assert chosen("random", win) == set(range(7)) and chosen("random", full) == {2, 3, 4, 5, 6} == chosen("greedy", full)
    one_sided = envs.make("connect4", 1, opponent="search", depth=4)        # the same positions, seen from the other side
    one_sided.reset(0)
    one_sided.set_board(0, ["......."] * 4 + ["..xo...", ".xoxo.."])
    two_sided = board("..ox...", ".oxox..")
    assert chosen("search4", two_sided) == set(one_sided.opponent_moves(0))


def test_the_greedy_player_of_triple_triad_is_as_strong_as_the_greedy_opponent():
    assert arena("triple_triad", ["scripted:greedy", "scripted:random"], games=400, width=0).payoff[0, 1] > 0.75


# ---------------------------------------------------------------------- what is written

def test_standings_are_saved_as_json_and_as_pictures_with_words(tmp_path):
    standings = arena("connect4", ["scripted:greedy", "scripted:random"], games=40, width=0)
    folder = standings.save(tmp_path / "standings")
    saved = json.loads((folder / "standings.json").read_text())
    assert saved["names"] == standings.names and saved["payoff"][0][0] is None and saved["warning"] is None
    assert saved["elo"] == standings.elo.tolist() and saved["counts"] == standings.counts.tolist()
    from PIL import Image
    for name in ("heat_map", "ladder"):
        picture = Image.open(folder / f"{name}.png")
        assert "scripted:greedy" in picture.text["Description"] and min(picture.size) > 150
        assert np.asarray(picture.convert("L")).std() > 5


def test_the_command_rates_checkpoints_and_scripted_players(tmp_path, capsys):
    files = []
    for seed in range(2):
        result = puffer_min.train("connect4", seed=seed, total_steps=2048, num_envs=32, horizon=16, minibatch_size=512,
                                  torch_threads=1, run_dir=tmp_path / str(seed))
        files.append(str(result.checkpoint))
    assert main(["arena", "connect4", *files, "scripted:random", "--games", "40", "--width", "0", "--out", str(tmp_path / "out"),
                 "--set", "openings=2"]) == 0
    out = capsys.readouterr().out
    assert all(name in out for name in [*(file.removesuffix("/checkpoint.pt") for file in files), "scripted:random", "Played 120 games"])
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"standings.json", "heat_map.png", "ladder.png"}


# ---------------------------------------------------------------------- bad input: one sentence each

def checkpoint(tmp_path, name, **env_settings):
    return str(puffer_min.train(name, total_steps=128, num_envs=8, horizon=8, minibatch_size=64, torch_threads=1, run_dir=tmp_path / name,
                                env_settings=env_settings).checkpoint)


@pytest.mark.parametrize("case", ["one policy", "no policy", "twice", "other game", "other observation", "other actions", "no sides",
                                  "one agent", "endless", "no player", "unknown scripted", "none scripted", "one player", "games", "width"])
def test_what_cannot_be_played_is_said_in_one_sentence(case, tmp_path):
    two = {"a": "scripted:random", "b": "scripted:random"}
    bad = {
        "one policy": lambda: arena("connect4", ["scripted:random"]),
        "no policy": lambda: arena("connect4", {}),
        "twice": lambda: arena("connect4", ["scripted:random", "scripted:random"]),
        "other game": lambda: arena("connect4", [checkpoint(tmp_path, "squared"), "scripted:random"]),
        "other observation": lambda: arena("connect4", {"a": network(players=2, threats=False), "b": "scripted:random"}),
        "other actions": lambda: arena("connect4", {"a": network("squared"), "b": "scripted:random"}),
        "no sides": lambda: arena("squared", two),
        "one agent": lambda: arena(Alone, two),
        "one player": lambda: arena("connect4", two, env_settings={"players": 1}),
        "endless": lambda: arena(Endless, two, longest_game=50),
        "no player": lambda: arena("connect4", {"a": 3, "b": "scripted:random"}),
        "unknown scripted": lambda: arena("connect4", ["scripted:serch4", "scripted:random"]),
        "none scripted": lambda: arena("skirmish", ["scripted:greedy", "scripted:random"]),
        "no such mind": lambda: arena("moba", ["scripted:greedy", "scripted:random"]),
        "games": lambda: arena("connect4", two, games=0),
        "width": lambda: arena("connect4", two, width=2),
    }
    says = {
        "one policy": "1 player given, expected at least two", "no policy": "0 players given, expected at least two",
        "twice": "scripted:random given twice, expected each player once",
        "other game": "is a checkpoint of squared, expected one of connect4",
        "other observation": "a reads observations of uint8 .43,. from 0 to 2, expected uint8 .43,. from 0 to 8",
        "other actions": "a gives actions of Discrete.5., expected Discrete.7.",
        "no sides": "squared has no two sides, expected one of connect4, moba, skirmish, triple_triad",
        "one agent": "an environment with 1 agent given, expected an even number",
        "one player": "an environment with 1 agent given, expected an even number.*it has two sides with .'players': 2",
        "endless": "a game has not ended after 50 steps, expected games that end",
        "no player": "a: given int, expected a checkpoint",
        "unknown scripted": "scripted:serch4 given, expected scripted:random, scripted:greedy, or scripted:search1",
        "none scripted": "scripted:greedy given, expected scripted:random: skirmish has no scripted players",
        "no such mind": "scripted:greedy given, expected one of scripted:random, scripted:plain, scripted:strong: moba has no such player",
        "games": "games=0 given", "width": "width=2 given",
    }
    with pytest.raises((ValueError, TypeError), match=says[case]) as caught:
        bad[case]()
    assert "\n" not in str(caught.value)


def test_two_sided_counts_are_symmetric_for_any_counts():
    counts = np.random.default_rng(0).integers(0, 50, (4, 4, 3))
    total = both_sides(counts)
    assert (total == total.swapaxes(0, 1)[..., ::-1]).all() and (total[range(4), range(4)] == 0).all()


def test_nobody_is_asked_where_nobody_is_to_move():
    vec = make_vec("connect4", num_envs=2, env_settings={"players": 2})
    vec.reset(0)
    table = Table(vec, Sides("connect4", vec))
    table.players[0] = player_of(Always(3), "connect4", vec, table.sides)
    table.seat(np.array([1, 3]), 0)                                         # the second sides, while the first are to move
    vec.actions[:] = 6
    table.act()
    assert (vec.actions == 6).all()


def test_minds_of_the_simulator_play_in_the_arena_as_they_play_inside_the_game():
    """Five plain and five strong heroes, seated by a table, against the game that moves the same ten by itself."""
    seated, itself = (make_vec("moba", num_envs=2, env_settings={"agents": 10, "max_ticks": 500} | own)
                      for own in ({}, {"autopilot": True, "rivals": "strong"}))
    table = Table(seated, Sides("moba", seated))
    for number, name in enumerate(("plain", "strong")):
        table.players[number] = player_of(f"scripted:{name}", "moba", seated, table.sides)
        table.seat(np.flatnonzero(table.sides.side_of == number), number)
    seated.reset(3), itself.reset(3)
    for _ in range(600):
        table.act()
        seated.step(seated.actions), itself.step(itself.actions)
        assert np.array_equal(seated.observations, itself.observations) and np.array_equal(seated.rewards, itself.rewards)
    table.seats[:5] = NOBODY
    table.act()
    assert seated.minds.tolist() == [0] * 5 + [2] * 5 + [1] * 5 + [2] * 5, "a row whose player left moves its hero again"


@pytest.mark.long
def test_strong_heroes_beat_plain_ones_and_plain_ones_chance():
    standings = arena("moba", ["scripted:strong", "scripted:plain", "scripted:random"], games=20, width=0)
    assert standings.ranking().tolist() == [0, 1, 2] and standings.payoff[0, 1] > 0.6 and standings.payoff[1, 2] > 0.9
