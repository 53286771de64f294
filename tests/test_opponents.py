"""Opponents in training: which rows learn is a mask, nothing of the others reaches the loss, pools draw as they say, and a run resumes exactly."""

import numpy as np
import pytest
import torch
from selfplay_toys import Alone, Always, RockPaperScissors

import puffer_min
from puffer_min.__main__ import main
from puffer_min.learner.ppo import PPO
from puffer_min.learner.presets import settings_for
from puffer_min.selfplay.opponents import League, Opponents
from puffer_min.selfplay.players import NOBODY
from puffer_min.selfplay.sides import two_sided_settings
from puffer_min.vector import make_vec

SMALL = {"num_envs": 32, "horizon": 8, "minibatch_size": 128, "torch_threads": 1}


def league_of(name="connect4", opponents=None, num_envs=32, seed=0, env_settings=None, **settings):
    """A league and the learner that it shows its rows to."""
    vec = make_vec(name, num_envs=num_envs, seed=seed, report_interval=0, env_settings=two_sided_settings(name) | (env_settings or {}))
    league = League(vec, name, opponents or Opponents(players=("scripted:random",)), seed)
    config = settings_for(name, **{"horizon": 8, "minibatch_size": 8, "num_envs": num_envs} | settings)
    learner = PPO(league, config, seed=seed)
    league.follow(learner)
    return league, learner


class Rubbish:
    """A vectorizer whose rows `of` hold rubbish whenever a learner could read them, and only then."""

    def __init__(self, vec, of):
        self.inner, self.of, self.random = vec, of, np.random.default_rng(0)

    def __getattr__(self, name):
        return getattr(self.inner, name)

    def spoil(self):
        for name in ("rewards", "observations"):
            rows = getattr(self.inner, name)
            rows[self.of] = self.random.integers(0, 9, rows[self.of].shape)
        self.inner.terminals[self.of] = self.random.random(self.of.sum()) < 0.5


# ---------------------------------------------------------------------- what the learner sees

@pytest.mark.parametrize("name, settings", [("connect4", {}), ("moba", {"max_ticks": 50}), ("triple_triad", {}), ("skirmish", {"limit": 20})])
@pytest.mark.parametrize("share", [0.25, 1.0])
def test_in_the_share_of_games_one_side_is_masked_and_both_sides_are_masked_as_often(name, settings, share):
    league, _ = league_of(name, Opponents(share=share), num_envs=16, env_settings=settings)
    by_game = league.learns.reshape(16, 2, -1)
    assert (by_game.all(2) == by_game.any(2)).all()                         # a side learns whole or not at all
    sides = by_game.all(2)
    games = round(16 * share)
    assert (sides.sum(1) == 1).sum() == games and sides[16 - games:].sum(0).tolist() == [games / 2, games / 2]
    assert league.num_agents == league.learns.sum() and (league.table.seats[league.learns] == NOBODY).all()
    assert (league.table.seats[~league.learns] != NOBODY).all()


def test_the_learner_reads_and_writes_its_own_rows_of_the_vectorizer():
    league, _ = league_of()
    for _ in range(30):
        league.actions[:] = np.arange(league.num_agents) % 7
        league.step(league.actions)
        vec, rows = league.vec, league.rows
        for mine, theirs in ((league.observations, vec.observations), (league.rewards, vec.rewards), (league.terminals, vec.terminals),
                             (league.masks, vec.masks), (league.action_masks(), vec.action_masks())):
            assert (mine == theirs[rows]).all()
        assert (vec.actions[rows] == league.actions).all()


def test_rubbish_in_the_opponents_rows_changes_no_gradient():
    """Between the step and what the learner reads of it every number of the opponents' rows is overwritten."""
    def gradients(spoiled):
        league, learner = league_of(opponents=Opponents(pool=None, players=("scripted:random",)), minibatch_size=48 * 8)
        if spoiled:
            spoiler = Rubbish(league.vec, ~league.learns)
            show = league.show

            def show_after():
                kept = [rows.copy() for rows in (league.vec.observations, league.vec.rewards, league.vec.terminals)]
                spoiler.spoil()
                show()
                for rows, saved in zip((league.vec.observations, league.vec.rewards, league.vec.terminals), kept, strict=True):
                    rows[:] = saved                 # the game itself goes on as it was
            league.show = show_after
        learner.collect()
        learner.estimate()
        batch = learner.buffer.gather(learner.buffer.trained_rows)
        learner.step_on(learner.buffer.trained_rows, learner.config)
        return learner.weights.grad.clone(), batch
    (clean, batch), (spoiled, other) = gradients(False), gradients(True)
    assert clean.abs().sum() > 0 and torch.equal(clean, spoiled)
    assert all(torch.equal(a, b) for a, b in zip(batch, other, strict=True))


def test_the_rubbish_would_have_been_seen():
    """The same rubbish in rows that learn changes the gradient: the test before can fail."""
    def batch(spoiled):
        league, learner = league_of(opponents=Opponents(pool=None, players=("scripted:random",)))
        if spoiled:
            show, spoiler = league.show, Rubbish(league.vec, league.learns)

            def show_after():
                kept = [rows.copy() for rows in (league.vec.observations, league.vec.rewards, league.vec.terminals)]
                spoiler.spoil()
                show()
                for rows, saved in zip((league.vec.observations, league.vec.rewards, league.vec.terminals), kept, strict=True):
                    rows[:] = saved
            league.show = show_after
        learner.collect()
        return learner.buffer.gather(learner.buffer.trained_rows).observations
    assert not torch.equal(batch(False), batch(True))


# ---------------------------------------------------------------------- who is drawn

def test_the_opponents_act_by_their_own_weights_and_games_are_counted_by_opponent():
    class First(Always):
        def act(self, observations):
            return np.zeros(len(observations), np.int32)                    # always rock
    vec = make_vec(RockPaperScissors, num_envs=8, report_interval=0)
    league = League(vec, RockPaperScissors, Opponents(pool=None, players=(First(0), Always(1)), share=1.0))
    learner = PPO(league, settings_for(None, num_envs=8, horizon=4, minibatch_size=4))
    league.follow(learner)
    for _ in range(200):
        league.actions[:] = 1                                               # paper beats rock and draws with paper
        league.step(league.actions)
        assert np.isin(league.vec.actions[~league.learns], (0, 1)).all()
    (won_rock, rock), (won_paper, paper) = league.results[0], league.results[1]
    assert rock + paper == 1600 and 700 < rock < 900 and won_rock == rock and won_paper == paper / 2
    assert league.log()["won"] == pytest.approx((won_rock + won_paper) / 1600)


def test_latest_draws_the_newest_uniform_any_and_prioritised_who_still_wins():
    league, _ = league_of(opponents=Opponents(pool="latest", size=8))
    for _ in range(3):
        league.take_snapshot()
    assert league.weights() == {league.snapshots[-1]: 1.0} and len(league.snapshots) == 4
    league.opponents = Opponents(pool="uniform")
    assert league.weights() == dict.fromkeys(league.snapshots, 0.25)
    league.opponents = Opponents(pool="prioritised")
    for player, won in zip(league.snapshots, (98, 49, 98, 98), strict=True):
        league.results[player] = [won, 98]
    weights = league.weights()
    strong = league.snapshots[1]
    assert weights[strong] == max(weights.values()) > 0.99 and sum(weights.values()) == pytest.approx(1)
    expected = (1 - 50 / 100)**2 / ((1 - 50 / 100)**2 + 3 * (1 - 99 / 100)**2)
    assert weights[strong] == pytest.approx(expected)


def test_a_snapshot_does_not_change_when_the_policy_learns_on():
    league, learner = league_of(minibatch_size=48 * 8)
    before = league.table.players[league.snapshots[0]].policy
    weights = {name: tensor.clone() for name, tensor in before.state_dict().items()}
    learner.iterate()
    assert not torch.equal(learner.policy.head.weight, weights["head.weight"])
    assert all(torch.equal(tensor, weights[name]) for name, tensor in before.state_dict().items())


def test_a_full_pool_drops_every_second_snapshot_keeps_the_newest_and_doubles_the_interval():
    league, _ = league_of(opponents=Opponents(size=4, interval=3))
    for _ in range(4):
        league.take_snapshot()
    assert league.snapshots == [0, 2, 4] and league.interval == 6
    for _ in range(60):                                                     # games end, and the dropped ones leave their seats
        league.step(league.actions)
    league.take_snapshot()
    assert {*league.table.players} == {*league.snapshots, *league.table.seats[league.table.seats != NOBODY].tolist()}
    assert {*league.results} == {*league.table.players}


def test_opponents_have_a_stage_of_their_own_and_the_stages_still_add_up(tmp_path):
    result = puffer_min.train("connect4", opponents="latest", total_steps=4000, run_dir=tmp_path, **SMALL)
    stages = result.history[-1]["stages"]
    assert stages["opponents"] > 0 and sum(stages.values()) == pytest.approx(1)
    plain = puffer_min.train("connect4", total_steps=1000, run_dir=tmp_path / "plain", **SMALL)
    assert "opponents" not in plain.history[-1]["stages"]


# ---------------------------------------------------------------------- files

def test_snapshots_are_checkpoints_that_play_in_the_arena(tmp_path):
    result = puffer_min.train("connect4", opponents=Opponents(interval=2), total_steps=4000, run_dir=tmp_path, **SMALL)
    files = sorted(map(str, (tmp_path / "opponents").iterdir()))
    assert len(files) == result.history[-1]["update"] // 2 > 1
    standings = puffer_min.arena("connect4", [*files, str(result.checkpoint)], games=4, width=0)
    assert len(standings.names) == len(files) + 1


@pytest.mark.parametrize("settings", [{}, {"recurrent": True}])
def test_a_resumed_run_goes_on_exactly_against_the_same_opponents(tmp_path, settings):
    settings = SMALL | settings | {"anneal_lr": "none"}
    opponents = Opponents(pool="prioritised", interval=1, size=4, players=("scripted:random", "scripted:search2"))
    whole = puffer_min.train("connect4", opponents=opponents, total_steps=8000, run_dir=tmp_path / "whole", **settings)
    half = puffer_min.train("connect4", opponents=opponents, total_steps=4000, run_dir=tmp_path / "half", **settings)
    resumed = puffer_min.train("connect4", resume=half.checkpoint, total_steps=8000, run_dir=tmp_path / "resumed")     # they are in the file
    assert resumed.history[-1]["step"] == whole.history[-1]["step"]
    for name, tensor in whole.policy.policy.state_dict().items():
        assert torch.equal(tensor, resumed.policy.policy.state_dict()[name]), name
    timed = {"seconds", "sps", "sps_now", "stages"}
    for ours, theirs in zip(resumed.history, whole.history[len(half.history):], strict=True):
        assert {k: v for k, v in ours.items() if k not in timed} == {k: v for k, v in theirs.items() if k not in timed}


def test_the_same_run_on_threads_is_the_same_to_the_bit(tmp_path):
    serial, threads = (puffer_min.train("connect4", opponents="uniform", total_steps=3000, run_dir=tmp_path / kind, backend=kind,
                                        num_workers=2 if kind == "thread" else None, **SMALL).policy.policy for kind in ("serial", "thread"))
    assert all(torch.equal(a, b) for a, b in zip(serial.parameters(), threads.parameters(), strict=True))


def test_it_learns_to_beat_a_player_that_always_plays_rock(tmp_path):
    result = puffer_min.train(RockPaperScissors, opponents=Opponents(pool=None, players=(Always(0),), share=1.0), num_envs=16, horizon=16,
                              minibatch_size=64, total_steps=8000, learning_rate=0.02, torch_threads=1, run_dir=tmp_path)
    assert result.history[0]["won"] < 0.7 and result.history[-1]["won"] > 0.9


def test_a_best_response_beats_a_policy_that_always_plays_rock_and_says_with_what_interval(tmp_path):
    report = puffer_min.exploit(RockPaperScissors, Always(0), steps=8000, games=200, num_envs=16, horizon=16, minibatch_size=64,
                                learning_rate=0.02, torch_threads=1, run_dir=tmp_path)
    assert report.win_rate > 0.9 and report.low < report.win_rate <= report.high
    assert report.won + report.drawn + report.lost >= 200 and report.steps >= 8000
    assert report.win_rate == pytest.approx((report.won + report.drawn / 2) / (report.won + report.drawn + report.lost))


def test_a_response_that_is_given_seconds_stops_then_and_its_learning_rate_ends_near_zero(tmp_path):
    report = puffer_min.exploit("connect4", "scripted:random", seconds=2, games=20, run_dir=tmp_path, **SMALL)
    rates = [line["learning_rate"] for line in report.history]
    assert rates[-1] < 0.1 * rates[0]


def test_the_commands_train_with_opponents_and_exploit(tmp_path, capsys):
    sizes = [text for name, value in SMALL.items() for text in ("--set", f"{name}={value}")]
    assert main(["train", "connect4", "--opponents", "uniform", "scripted:greedy", "--total-steps", "2000", "--dashboard", "none",
                 "--run-dir", str(tmp_path / "run"), *sizes]) == 0
    checkpoint = str(tmp_path / "run" / "checkpoint.pt")
    assert puffer_min.learner.checkpoint.read_checkpoint(checkpoint)["opponents"] == {
        "pool": "uniform", "share": 0.5, "players": ["scripted:greedy"], "interval": 20, "size": 8}
    assert main(["exploit", "connect4", checkpoint, "--steps", "2000", "--games", "20", "--run-dir", str(tmp_path / "response"), *sizes]) == 0
    assert f"of 20 games against {checkpoint}." in capsys.readouterr().out


# ---------------------------------------------------------------------- bad input: one sentence each

@pytest.mark.parametrize("case", ["empty", "empty list", "pool", "share", "size", "sides", "one agent", "observation", "other game", "asynchronous",
                                  "objects"])
def test_opponents_that_cannot_play_are_refused_in_one_sentence(case, tmp_path):
    def run(env="connect4", **settings):
        return puffer_min.train(env, run_dir=tmp_path / "run", **SMALL | {"total_steps": 300} | settings)
    bad = {
        "empty": lambda: Opponents(pool=None), "empty list": lambda: run(opponents=[]),
        "pool": lambda: Opponents(pool="newest"), "share": lambda: Opponents(share=0), "size": lambda: Opponents(size=1),
        "sides": lambda: run("squared", opponents="latest"), "one agent": lambda: run(Alone, opponents="latest"),
        "observation": lambda: run(opponents=[run(env_settings={"threats": False}).policy]),
        "other game": lambda: run(opponents=[str(run("squared").checkpoint)]),
        "asynchronous": lambda: run(opponents="latest", backend="thread", num_workers=2, batch_envs=16),
        "objects": lambda: run(resume=run(opponents=[Always(1)]).checkpoint, total_steps=600),
    }
    says = {
        "empty": "an empty pool of opponents given, expected players", "empty list": "an empty pool of opponents given",
        "pool": "pool='newest' given, expected one of 'latest', 'uniform', 'prioritised'", "share": "share=0 given", "size": "size=1 given",
        "sides": "squared has no two sides", "one agent": "an environment with 1 agent given",
        "observation": "opponent 0 reads observations of uint8 .42,. from 0 to 2, expected uint8 .43,. from 0 to 8",
        "other game": "is a checkpoint of squared, expected one of connect4",
        "asynchronous": "batch_envs=16 given with opponents, expected None",
        "objects": "the checkpoint could not hold the opponents, expected opponents= again",
    }
    with pytest.raises((ValueError, TypeError), match=says[case]) as caught:
        bad[case]()
    assert "\n" not in str(caught.value)
