"""Collection overlapped with learning: rows are one update old and nothing else differs; runs repeat, resume, and end cleanly."""

import signal
import threading
import time

import pytest
import torch
from gymnasium import spaces
from test_ppo import SMALL, Drift, curve, exact_and_alone, run  # noqa: F401

import puffer_min
from puffer_min.learner.config import settings_for
from puffer_min.learner.overlap import OverlappedPPO
from puffer_min.learner.ppo import PPO, NotFinite
from puffer_min.clock import STAGES
from puffer_min.commands.train import train


def learner(env=None, seed=0, **settings):
    return OverlappedPPO(env or Drift(), settings_for(None, SMALL, **settings), seed=seed)


def test_the_first_update_is_that_of_ppo_and_the_second_learns_from_what_the_first_policy_did():
    overlapped, plain = learner(learning_rate=0.05), PPO(Drift(), settings_for(None, SMALL, learning_rate=0.05), seed=0)
    losses = ("policy_loss", "value_loss", "entropy", "approx_kl", "grad_norm")
    ours, its = overlapped.iterate(), plain.iterate()
    assert [ours[name] for name in losses] == [its[name] for name in losses]
    assert overlapped.weights.equal(plain.weights)
    old = overlapped.collector.policy
    acted = overlapped.buffer.gather(overlapped.buffer.trained_rows)
    for policy, same in ((old, True), (overlapped.policy, False)):
        outputs, values = policy.replay(acted.observations, acted.states, acted.ends)
        log_probs, _ = policy.distribution.evaluate(outputs, acted.actions)
        assert torch.allclose(log_probs, acted.log_probs, atol=1e-5) == torch.allclose(values, acted.values, atol=1e-5) == same
    assert overlapped.iterate()["approx_kl"] > 0


@pytest.mark.parametrize("settings", [{}, {"recurrent": True}, {"recurrent": True, "reuse_rows": True}], ids=["mlp", "lstm", "lstm-reuse"])
@pytest.mark.parametrize("death", [0.0, 0.4])
def test_every_row_is_learned_from_once_in_the_order_of_collecting_also_where_agents_die(settings, death):
    """With a learning rate of 0 both collect the same; what the one collects next the other holds already."""
    overlapped = learner(Drift(death=death), learning_rate=0.0, **settings)
    plain = PPO(Drift(death=death), settings_for(None, SMALL, learning_rate=0.0, **settings), seed=0)
    for _ in range(6):
        overlapped.iterate()
        plain.iterate()
    plain.collect()
    for name in ("observations", "actions", "log_probs", "values", "rewards", "next_values", "final_values", "states"):
        expected = getattr(plain.buffer, name)[plain.buffer.trained_rows]
        assert getattr(overlapped.buffer, name)[overlapped.buffer.trained_rows].equal(expected), name


def test_vtrace_corrects_the_first_epoch_too():
    overlapped, seen = learner(vtrace=True, learning_rate=0.05), []
    estimate = overlapped.estimate
    overlapped.estimate = lambda: seen.append(overlapped.buffer.ratios[:4].clone()) or estimate()
    for _ in range(2):
        overlapped.iterate()
    torch.testing.assert_close(seen[0], torch.ones_like(seen[0]))
    assert ((seen[1] - 1).abs() > 1e-3).any() and torch.isfinite(seen[1]).all()


@pytest.mark.parametrize("env, settings", [
    ("squared", {}), ("squared", {"backend": "thread", "num_workers": 2}), ("cartpole", {"recurrent": True, "vtrace": True}),
    (Drift, {"backend": "process", "isolate": True, "num_workers": 2, "num_envs": 2, "minibatch_size": 32}),
], ids=["squared", "threads", "lstm and vtrace", "processes"])
def test_the_same_seed_gives_the_same_run(tmp_path, env, settings):
    first, second = (run(tmp_path / str(i), env, seed=7, overlap=True, **settings) for i in range(2))
    assert curve(first.history) == curve(second.history)
    assert all(a.equal(b) for a, b in zip(first.policy.policy.parameters(), second.policy.policy.parameters()))


@pytest.mark.parametrize("env, settings", [
    ("squared", {}), ("cartpole", {"recurrent": True}), ("cartpole", {"encoder": "standard"}),
    ("cartpole", {"vtrace": True, "update_epochs": 2}),
    (lambda **kwargs: Drift(num_agents=8, death=0.4), {"num_envs": 1, "recurrent": True, "reuse_rows": True}),
    (lambda **kwargs: Drift(num_agents=8, death=0.4, actions=spaces.Box(-1, 1, (2,))), {"num_envs": 1}),
], ids=["squared", "lstm", "standardised", "vtrace", "shared rows", "dying"])
def test_a_resumed_run_has_the_same_curve_as_one_that_never_stopped(tmp_path, env, settings):
    whole = run(tmp_path / "whole", env, seed=5, overlap=True, **settings)

    def press_ctrl_c(update):
        if update["update"] == 4:
            signal.raise_signal(signal.SIGINT)
    half = run(tmp_path / "half", env, seed=5, overlap=True, dashboard=press_ctrl_c, **settings)
    assert half.ended == "interrupted" and len(half.history) == 4
    rest = train(env, resume=half.checkpoint)
    assert curve(half.history + rest.history) == curve(whole.history)
    assert all(a.equal(b) for a, b in zip(rest.policy.policy.parameters(), whole.policy.policy.parameters()))


@pytest.mark.parametrize("before, after", [(False, True), (True, False)])
def test_overlap_can_be_turned_on_and_off_on_the_way(tmp_path, before, after):
    first = run(tmp_path, overlap=before)
    more = train("squared", resume=first.checkpoint, total_steps=2560, overlap=after)
    assert [update["step"] for update in more.history] == list(range(1408, 2561, 128))


def test_stages_add_up_to_the_wall_time_and_sps_is_steps_by_wall_time(tmp_path):
    marks = []
    result = run(tmp_path, total_steps=30 * 128, overlap=True, dashboard=lambda update: marks.append(time.perf_counter()))
    for update in result.history:
        assert set(update["stages"]) == set(STAGES) and sum(update["stages"].values()) == pytest.approx(1)
        assert update["sps"] == pytest.approx(update["step"] / update["seconds"])
    assert result.history[-1]["seconds"] - result.history[0]["seconds"] == pytest.approx(marks[-1] - marks[0], rel=0.1)


class Fails(Drift):
    """Raises at step 30, which is within the fourth batch of eight steps."""

    def step(self, actions):
        if self.clock == 29:
            raise RuntimeError("the environment gave up")
        return super().step(actions)


def test_an_error_of_the_environment_ends_the_run_after_what_had_been_collected(tmp_path):
    with pytest.raises(RuntimeError, match="the environment gave up"):
        run(tmp_path, Fails, num_envs=1, minibatch_size=16, overlap=True)
    assert puffer_min.read_log(tmp_path / "run" / "log.jsonl")[-1]["update"] == 2
    overlapped = learner(Fails())
    with pytest.raises(RuntimeError, match="the environment gave up"):
        for _ in range(10):
            overlapped.iterate()


def test_an_error_of_the_learner_waits_for_the_collector():
    class Slow(Drift):
        def step(self, actions):
            time.sleep(0.005)
            return super().step(actions)
    overlapped = learner(Slow(poison="rewards"))
    with pytest.raises(NotFinite, match=r"rewards \(from the environment\) holds a NaN"):
        for _ in range(10):
            overlapped.iterate()
    assert overlapped.ahead.done()


def test_a_second_ctrl_c_stops_and_nobody_steps_the_environment_any_more(tmp_path):
    stepping = []

    class Watched(Drift):
        def step(self, actions):
            stepping.append(threading.current_thread().name)
            return super().step(actions)

    def press_twice(update):
        if update["update"] == 2:
            signal.raise_signal(signal.SIGINT)
            signal.raise_signal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path, Watched, num_envs=1, minibatch_size=16, overlap=True, total_steps=10**6, dashboard=press_twice)
    steps = len(stepping)
    time.sleep(0.05)
    assert len(stepping) == steps and all(name.startswith("collector") for name in stepping)


def test_cartpole_is_learned(tmp_path):
    result = train("cartpole", seed=1, target_score=195, torch_threads=1, overlap=True, run_dir=tmp_path)
    assert result.ended == "target", result.history[-1]
