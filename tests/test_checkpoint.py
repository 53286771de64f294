"""Checkpoints: a resumed run is the same run, a policy file is enough to play, and a file that does not fit says so."""

import enum
import functools
import os
import signal
import threading
from pathlib import Path

import gymnasium
import numpy as np
import pytest
import torch
from gymnasium import spaces
from test_ppo import Drift, curve, run

import envs
import puffer_min
from puffer_min.commands.run import Run
from puffer_min.commands.train import train
from puffer_min.learner.checkpoint import (
    CheckpointError,
    is_readable,
    pack_space,
    read_checkpoint,
    save_checkpoint,
    unpack_space,
)
from puffer_min.learner.distributions import distribution_of


@pytest.mark.parametrize("env, settings", [
    ("squared", {}), ("cartpole", {"recurrent": True}), ("cartpole", {"encoder": "standard"}),
    ("cartpole", {"vtrace": True, "update_epochs": 2}),
    ("snake", {"num_envs": 2, "env_settings": {"num_snakes": 8}}), (Drift, {"num_envs": 2, "minibatch_size": 32}),
    ("drive", {"num_envs": 2, "encoder": "set", "recurrent": True}),
    (lambda **kwargs: Drift(num_agents=8, death=0.4, actions=spaces.Box(-1, 1, (2,))), {"num_envs": 1, "recurrent": True}),
], ids=["squared", "lstm", "standardised", "vtrace", "snake", "python", "sets and dying", "dying"])
def test_a_resumed_run_has_the_same_curve_as_one_that_never_stopped(tmp_path, env, settings):
    """Every logged number and every weight: what was learned, drawn, begun and logged goes on where it stood."""
    whole = run(tmp_path / "whole", env, seed=5, **settings)
    stop = []

    def press_ctrl_c(update):
        if update["step"] >= 600 and not stop:
            stop.append(update["step"])
            signal.raise_signal(signal.SIGINT)
    half = run(tmp_path / "half", env, seed=5, dashboard=press_ctrl_c, **settings)
    assert half.ended == "interrupted" and half.history[-1]["step"] == stop[0] < 1280
    rest = train(env, resume=half.checkpoint)
    assert rest.run_dir == half.run_dir
    assert curve(half.history + rest.history) == curve(whole.history)
    assert all(a.equal(b) for a, b in zip(rest.policy.policy.parameters(), whole.policy.policy.parameters(), strict=False))
    assert curve(puffer_min.read_log(half.run_dir / "log.jsonl")) == curve(whole.history), "the log is one log"
    times = [update["seconds"] for update in half.history + rest.history]
    assert times == sorted(times)


def test_a_run_that_crashed_goes_on_from_its_last_checkpoint_and_the_log_has_no_line_twice(tmp_path, monkeypatch):
    whole = run(tmp_path / "whole", seed=2)
    monkeypatch.setattr(Run, "fail", lambda run, error, stop: (_ for _ in ()).throw(error))     # nothing is saved in a power cut

    def crash(update):
        if update["step"] == 896:
            raise RuntimeError("power cut")
    with pytest.raises(RuntimeError, match="power cut"):
        run(tmp_path / "crashed", seed=2, checkpoint_interval=3, dashboard=crash)
    checkpoint = tmp_path / "crashed" / "run" / "checkpoint.pt"
    assert read_checkpoint(checkpoint)["steps"] == 768
    train("squared", resume=checkpoint)
    assert curve(puffer_min.read_log(checkpoint.parent / "log.jsonl")) == curve(whole.history)


def test_a_finished_run_can_be_trained_further(tmp_path):
    first = run(tmp_path)
    more = train("squared", resume=first.checkpoint, total_steps=2560)
    assert [update["step"] for update in more.history] == list(range(1408, 2561, 128))
    assert more.config.total_steps == 2560 and more.config.horizon == 8


def test_a_seed_given_with_resume_is_said_not_to_be_used(tmp_path, capsys):
    first = run(tmp_path, seed=2)
    capsys.readouterr()
    train("squared", resume=first.checkpoint, total_steps=1408, seed=5)
    assert capsys.readouterr().err == f"seed=5 is not used: {first.checkpoint} goes on with the random streams of its own seed=2.\n"
    for silent in ({}, {"seed": 2}):
        train("squared", resume=first.checkpoint, total_steps=1408, run_dir=tmp_path / "again", **silent)
        assert "is not used" not in capsys.readouterr().err


def test_ctrl_c_gives_the_signal_handler_back(tmp_path):
    before = signal.getsignal(signal.SIGINT)
    inside = []
    run(tmp_path, dashboard=lambda update: inside.append(signal.getsignal(signal.SIGINT)))
    assert inside[0] != before and signal.getsignal(signal.SIGINT) == before


def test_a_second_ctrl_c_stops_at_once(tmp_path):
    def twice(update):
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path, dashboard=twice)


def test_training_works_outside_the_main_thread(tmp_path):
    results = []
    thread = threading.Thread(target=lambda: results.append(run(tmp_path)))
    thread.start()
    thread.join()
    assert results[0].ended == "done"


@pytest.mark.parametrize("settings", [{}, {"recurrent": True}, {"encoder": "onehot", "num_layers": 1, "hidden_size": 24}])
def test_a_saved_policy_plays_the_same(tmp_path, settings):
    result = run(tmp_path, **settings)
    path = result.save(tmp_path / "policies" / "squared.pt")
    loaded = puffer_min.load_policy(path)
    env = envs.make("squared", 8)
    observations, _ = env.reset(1)
    result.policy.reset()
    for _ in range(10):
        actions = loaded.act(observations)
        assert np.array_equal(actions, result.policy.act(observations))
        _, _, terminals, truncations, _ = env.step(actions)
        for policy in (loaded, result.policy):
            policy.observe_ends(terminals | truncations)


def test_a_policy_file_is_small_and_holds_no_pickle(tmp_path):
    path = run(tmp_path).save(tmp_path / "policy.pt")
    assert path.stat().st_size < 120_000
    assert set(torch.load(path, weights_only=True)) == {"format", "env_name", "env_settings", "config", "seed", "observation_sets", "made_by",
                                                        "observation_space", "action_space", "policy"}


def test_evaluate_gives_every_agent_the_same_number_of_episodes(tmp_path):
    class Always:
        def act(self, observations):
            return np.full(len(observations), 1, np.int32)          # up: 6 steps to the edge, unless the target is on the way
    report = puffer_min.evaluate("squared", Always(), episodes=250, seed=3)
    assert report["episodes"] == 256 and 5 < report["episode_length"] <= 6
    assert report["score"] == pytest.approx(5 / 120, abs=0.05)
    assert report["episode_return"] == pytest.approx(2 * report["score"] - 1, abs=0.1)


@pytest.mark.parametrize("episodes", [0, 2.5, float("nan"), "3", None, True])
def test_a_number_of_episodes_that_is_none_is_refused_by_its_name(episodes):
    with pytest.raises(ValueError, match=f"^episodes={episodes!r} given, expected a whole number >= 1$"):
        puffer_min.evaluate("squared", None, episodes=episodes)


@pytest.mark.parametrize("seed", [2**70, 1.0, float("nan"), -1, None])
def test_a_seed_that_torch_does_not_take_is_refused_by_its_name(seed):
    with pytest.raises(ValueError, match="^seed=.* given, expected a whole number from 0 to 9,223,372,036,854,775,807$"):
        train("squared", seed=seed)


@pytest.mark.parametrize("scalar", [np.int64, torch.tensor])
def test_a_seed_may_be_a_scalar_of_any_library(tmp_path, scalar):
    checkpoint = run(tmp_path, seed=scalar(3)).checkpoint
    assert read_checkpoint(checkpoint)["seed"] == 3
    puffer_min.load_policy(checkpoint, seed=scalar(5)).act(np.zeros((2, 121), np.uint8))


def test_an_environments_settings_may_have_any_names(tmp_path):
    given = []

    def make(**settings):
        given.append(settings)
        return gymnasium.make("CartPole-v1")
    settings = {"seed": 5, "num_envs": 7, "timeout": 2}
    result = train(make, run_dir=tmp_path, total_steps=64, num_envs=4, horizon=16, minibatch_size=64, torch_threads=1, env_settings=settings)
    puffer_min.evaluate(make, result.policy, episodes=2, env_settings=settings)
    assert len(given) > 4 and all(settings == seen for seen in given)


# ---------------------------------------------------------------------- files that do not fit

def test_a_truncated_file_is_refused_in_one_sentence(tmp_path):
    checkpoint = run(tmp_path).checkpoint
    whole = checkpoint.read_bytes()
    for size in (0, 10, len(whole) // 2, len(whole) - 10):
        checkpoint.write_bytes(whole[:size])
        with pytest.raises(CheckpointError, match=rf"checkpoint.pt \({size:,} bytes\) is not a checkpoint or was cut short or damaged"):
            puffer_min.load_policy(checkpoint)
        with pytest.raises(CheckpointError, match="cut short"):
            train("squared", resume=checkpoint)


def test_a_checkpoint_of_another_environment_is_refused_by_name(tmp_path):
    checkpoint = run(tmp_path).checkpoint
    with pytest.raises(CheckpointError, match="is a checkpoint of squared, expected one of cartpole"):
        train("cartpole", resume=checkpoint)
    both = r"is a checkpoint of Box\(0, 2, \(121,\), uint8\) and Discrete\(5\), expected one of Box\(0, 2, \(49,\)"
    with pytest.raises(CheckpointError, match=both):
        train("squared", resume=checkpoint, env_settings={"size": 7})


def test_other_files_are_refused(tmp_path):
    with pytest.raises(CheckpointError, match="there is no checkpoint .*nowhere.pt"):
        puffer_min.load_policy(tmp_path / "nowhere.pt")
    with pytest.raises(CheckpointError, match="it is a folder: name the file in it"):
        puffer_min.load_policy(tmp_path)
    torch.save({"format": 99}, tmp_path / "other.pt")
    with pytest.raises(CheckpointError, match="has format 99, expected 1"):
        puffer_min.load_policy(tmp_path / "other.pt")
    policy = run(tmp_path).save(tmp_path / "policy.pt")
    with pytest.raises(CheckpointError, match="holds a policy only, nothing to go on training from"):
        train("squared", resume=policy)


def test_a_write_that_fails_leaves_the_old_file_and_no_other(tmp_path):
    path = save_checkpoint(tmp_path / "c.pt", {"format": 1, "old": True})
    with pytest.raises(CheckpointError, match="which a checkpoint cannot hold"):
        save_checkpoint(path, {"format": 1, "new": lambda: None})
    assert torch.load(path, weights_only=True)["old"] is True
    assert os.listdir(tmp_path) == ["c.pt"]


@pytest.mark.parametrize("space", [
    spaces.Box(0, 2, (3, 4), np.uint8), spaces.Box(np.float32([-np.inf, -1]), np.float32([np.inf, 2])), spaces.Discrete(7),
    spaces.MultiDiscrete([3, 1, 4]),
])
def test_spaces_survive_a_checkpoint(tmp_path, space):
    path = save_checkpoint(tmp_path / "s.pt", {"space": pack_space(space)})
    assert unpack_space(torch.load(path, weights_only=True)["space"]) == space


# ---------------------------------------------------------------------- values that a file cannot hold, and files that were changed

class Mode(enum.Enum):
    SLOW = 1


@pytest.mark.parametrize("value", [np.int64(3), np.float32(0.5), np.array([1, 2]), np.array([[0.5]], np.float32), Path("a/b"), (1, "x", None),
                                   {"a": [np.int8(1), np.arange(2)]}], ids=repr)
def test_numbers_arrays_and_paths_come_back_as_they_were_given(tmp_path, value):
    contents = read_checkpoint(run(tmp_path).save(tmp_path / "p.pt"))
    path = save_checkpoint(tmp_path / "q.pt", contents | {"env_settings": {"size": value}})
    np.testing.assert_equal(read_checkpoint(path)["env_settings"]["size"], value)
    assert type(read_checkpoint(path)["env_settings"]["size"]) is type(value) or isinstance(value, np.generic | Path)


@pytest.mark.parametrize("value", [Mode.SLOW, print, object(), np.array([{}]), {1, 2}, 1 + 2j], ids=lambda value: type(value).__name__)
def test_a_value_that_cannot_be_read_back_is_refused_when_it_is_written_and_the_old_file_stays(tmp_path, value):
    path = save_checkpoint(tmp_path / "c.pt", {"format": 1})
    with pytest.raises(CheckpointError, match=r"env_settings\['mode'\]\[1\] is .*, which a checkpoint cannot hold: expected numbers"):
        save_checkpoint(path, {"format": 1, "env_settings": {"mode": [0, value]}})
    assert torch.load(path, weights_only=True) == {"format": 1} and os.listdir(tmp_path) == ["c.pt"]
    assert not is_readable({"mode": value}) and is_readable({"mode": 3})


def test_a_flipped_bit_is_found(tmp_path):
    path = run(tmp_path, hidden_size=8).save(tmp_path / "p.pt")
    whole, good = path.read_bytes(), read_checkpoint(path)
    found = 0
    for place in np.random.default_rng(0).integers(0, len(whole), 150):
        changed = bytearray(whole)
        changed[place] ^= 1 << int(place) % 8
        path.write_bytes(changed)
        try:
            contents = read_checkpoint(path)
        except CheckpointError:
            found += 1
            continue
        assert all(tensor.equal(good["policy"][name]) for name, tensor in contents["policy"].items()), f"byte {place} changed the policy"
        assert {**contents, "policy": 0, "observation_space": 0} == {**good, "policy": 0, "observation_space": 0}
    assert found > 75


def policy_changes():
    """(what is changed in a checkpoint, the sentence of `load_policy`)"""
    return [
        ({"observation_space": None}, "holds observation_space=None, expected dict"),
        ({"observation_space": {"kind": "x"}}, r"holds spaces that cannot be read \(KeyError: 'of'\)"),
        ({"env_settings": [1]}, r"holds env_settings=\[1\], expected dict"), ({"seed": "x"}, "holds seed='x', expected int"),
        ({"action_space": {"kind": "Discrete", "n": 4}}, "holds weights that do not fit the network .*size mismatch for head.bias"),
        ({"config": {"hidden_size": 2**16}}, "holds hidden_size=65536, but weights of 64"),
        ({"config": {"hidden_size": 10**9}}, "holds a setting that does not fit: hidden_size=1000000000 given, expected at most 65,536"),
        ({"config": {"hidden_size": "wide"}}, "holds a setting that does not fit: hidden_size='wide' given"),
        ({"policy": {}}, "holds weights that do not fit the network"), ({"made_by": "nowhere:at_all"}, "made by nowhere:at_all, which cannot"),
        ({"made_by": "shutil:rmtree"}, "holds weights that do not fit the network"), ({"made_by": "os:system"}, "which cannot be imported here"),
    ]


@pytest.mark.parametrize("change, says", policy_changes(), ids=lambda value: None if isinstance(value, str) else ",".join(value))
def test_a_policy_file_that_was_changed_is_refused_in_a_sentence(tmp_path, change, says):
    path = run(tmp_path).save(tmp_path / "p.pt")
    contents = torch.load(path, weights_only=True)
    if "config" in change:
        change = {"config": contents["config"] | change["config"]}
    torch.save(contents | change, path)
    with pytest.raises(CheckpointError, match=says):
        puffer_min.load_policy(path)


def test_weights_that_are_not_finite_are_refused_by_their_name(tmp_path):
    path = run(tmp_path).save(tmp_path / "p.pt")
    contents = torch.load(path, weights_only=True)
    contents["policy"]["head.bias"][0] = np.nan
    torch.save(contents, path)
    with pytest.raises(CheckpointError, match="holds a NaN or an infinity in 'head.bias'; take an earlier one"):
        puffer_min.load_policy(path)


@pytest.mark.parametrize("change, says", [
    ({"learner": {}}, r"holds a state of training that does not fit this run \(KeyError: 'weights'\)"),
    ({"steps": "many"}, "holds steps='many', expected int"), ({"env": 3}, "holds env=3, expected"), ({"seconds": None}, "holds seconds=None"),
    ({"learner": {"weights": torch.zeros(3)}}, "holds a state of training that does not fit this run"),
], ids=str)
def test_a_checkpoint_that_was_changed_is_not_resumed(tmp_path, change, says):
    checkpoint = run(tmp_path).checkpoint
    torch.save(torch.load(checkpoint, weights_only=True) | change, checkpoint)
    with pytest.raises(CheckpointError, match=says):
        train("squared", resume=checkpoint, total_steps=2560)


@pytest.mark.parametrize("settings", [{}, {"recurrent": True, "encoder": "standard"}], ids=["mlp", "lstm"])
def test_a_resumed_run_with_empty_slots_ends_with_an_equal_checkpoint(tmp_path, settings):
    """To the bit: of rows that are begun only what was written counts."""
    make = functools.partial(Drift, num_agents=8, death=0.4)
    sizes = {"num_envs": 1, "horizon": 8, "minibatch_size": 16, "torch_threads": 1, "anneal_lr": "none"} | settings
    whole = train(make, seed=3, total_steps=640, run_dir=tmp_path / "whole", **sizes)
    half = train(make, seed=3, total_steps=320, run_dir=tmp_path / "half", **sizes)
    rest = train(make, resume=half.checkpoint, total_steps=640)
    states = [read_checkpoint(result.checkpoint)["learner"] for result in (whole, rest)]
    assert not states[0]["buffer"]["aligned"] and len(states[0]["buffer"]["kept"])
    assert_equal(*states)


def assert_equal(one, other, where="learner"):
    """Dicts, lists and tensors that are equal to the bit."""
    assert type(one) is type(other), where
    if isinstance(one, dict):
        assert one.keys() == other.keys(), where
        for key in one:
            assert_equal(one[key], other[key], f"{where}[{key!r}]")
    elif isinstance(one, list):
        assert len(one) == len(other), where
        for i, pair in enumerate(zip(one, other, strict=False)):
            assert_equal(*pair, f"{where}[{i}]")
    else:
        assert one.equal(other) if torch.is_tensor(one) else one == other, where


def test_a_run_with_a_network_of_its_own_goes_on_where_its_factory_is_given_or_can_be_found(tmp_path):
    local = functools.partial(Small)
    for factory, name in ((Small, "test_checkpoint:Small"), (local, "partial")):
        half = train("squared", policy=factory, total_steps=512, num_envs=8, horizon=8, minibatch_size=64, run_dir=tmp_path / name)
        assert read_checkpoint(half.checkpoint)["made_by"] == name
        if factory is local:
            with pytest.raises(CheckpointError, match="made by partial, which cannot be imported here: pass policy="):
                train("squared", resume=half.checkpoint, total_steps=1024)
        rest = train("squared", policy=local if factory is local else None, resume=half.checkpoint, total_steps=1024)
        assert isinstance(rest.policy.policy, Small) and rest.history[-1]["step"] == 1024


class Small(torch.nn.Module):
    """One layer."""

    def __init__(self, spec, config):
        super().__init__()
        self.distribution = distribution_of(spec.single_action_space)
        self.layer = torch.nn.Linear(spec.single_observation_space.shape[0], self.distribution.num_outputs + 1)

    def initial_state(self, num_agents):
        return torch.zeros(num_agents, 0)

    def forward(self, observations, state):
        both = self.layer(observations.float()).t()
        return both[:-1], both[-1], state

    def replay(self, observations, states, ends):
        return self.forward(observations, states)[:2]
