"""Running normalisation of observations and rewards, against NumPy; and the other parts of the presets for environments in Python."""

import math
import sys
import time

import gymnasium
import numpy as np
import pytest
import torch
from gymnasium import spaces

import envs
from puffer_min import load_policy
from puffer_min.commands import train as training
from puffer_min.commands.train import train
from puffer_min.env.puffer_env import PufferEnv
from puffer_min.env.spec import EnvSpec
from puffer_min.learner.checkpoint import read_checkpoint
from puffer_min.learner.config import Config
from puffer_min.learner.networks.encoders import make_encoder
from puffer_min.learner.networks.normalisation import CLIP, LEAST, RewardScale, RunningMoments
from puffer_min.learner.policy import Policy
from puffer_min.learner.ppo import PPO
from puffer_min.learner.presets import KINDS, kind_of, settings_of_kind

FOUR = spaces.Box(-np.inf, np.inf, (4,), np.float32)
ALL = {"encoder": "normalised", "norm_reward": True, "separate_critic": True, "activation": "tanh", "whole_rows": False}
SMALL = {"num_envs": 8, "horizon": 16, "minibatch_size": 32, "update_epochs": 2, "hidden_size": 16, "torch_threads": 1}


# ---------------------------------------------------------------------- observations

def test_moments_of_batches_are_those_of_all_rows_together():
    random, moments = np.random.default_rng(0), RunningMoments(3)
    batches = [random.normal(1000 * i, 1 + i, (n, 3)) for i, n in enumerate((1, 50, 7))]
    for batch in batches:
        moments.take(torch.from_numpy(batch))
    rows = np.concatenate(batches)
    np.testing.assert_allclose(moments.mean, rows.mean(0), rtol=1e-12)
    np.testing.assert_allclose(moments.squares / moments.count, rows.var(0), rtol=1e-9)
    wanted = np.clip((rows - rows.mean(0)) / np.sqrt(rows.var(0) + LEAST), -CLIP, CLIP)
    np.testing.assert_allclose(moments(torch.from_numpy(rows).float()), wanted, atol=1e-3)


def test_outliers_are_clipped_and_a_constant_is_zero():
    encoder = make_encoder("normalised", FOUR, 8)
    rows = torch.randn(1000, 4)
    rows[:, 3] = 7
    encoder.observe(rows)
    seen = encoder.moments(torch.tensor([[1e6, -1e6, 0, 7]]))
    assert seen[0, :2].tolist() == [CLIP, -CLIP] and abs(seen[0, 3]) < 1e-3


def test_acting_and_learning_see_the_same_numbers_and_playing_changes_none(tmp_path):
    learner = PPO(envs.make("cartpole", 8), Config(**SMALL, encoder="normalised"), seed=0)
    learner.collect()
    rows = learner.buffer.trained_rows
    seen = learner.buffer.observations[rows].flatten(0, 1)
    learner.update()
    before = learner.policy.encoder.moments.count.item()
    learner.policy.observe(seen)
    assert before == 0 and learner.policy.encoder.moments.count == len(seen)
    np.testing.assert_allclose(learner.policy.encoder.moments.mean, seen.double().mean(0), rtol=1e-6)


def test_the_moments_are_in_the_checkpoint_and_evaluation_leaves_them_alone(tmp_path):
    result = train("cartpole", Config(**SMALL, total_steps=2000, encoder="normalised"), run_dir=tmp_path / "run")
    learned = result.policy.policy.encoder.moments
    assert learned.count == result.history[-1]["step"]
    loaded = load_policy(result.save(tmp_path / "policy.pt"))
    observations = np.random.default_rng(0).normal(size=(50, 4)).astype(np.float32)
    assert np.array_equal(loaded.act(observations), load_policy(tmp_path / "policy.pt").act(observations))
    moments = loaded.policy.encoder.moments
    assert moments.count == learned.count and torch.equal(moments.scale, learned.scale)


# ---------------------------------------------------------------------- rewards

def test_rewards_are_divided_by_the_deviation_of_the_discounted_returns():
    random, scale, gamma = np.random.default_rng(1), RewardScale(3, 0.9), 0.9
    returns, running = [], np.zeros(3)
    for _ in range(4):                                      # updates
        for _ in range(20):
            rewards, ends = random.normal(3, 2, 3).astype(np.float32), random.random(3) < 0.1
            scale.observe(rewards, ends)
            running = gamma * running + rewards
            returns.append(running.copy())
            running = np.where(ends, 0, running)
        scale.update()
        deviation = np.sqrt(np.concatenate(returns).var() + LEAST)
        given = torch.tensor([-1.0, 5.0, 1e9])
        np.testing.assert_allclose(scale(given), np.clip(given.numpy() / deviation, -CLIP, CLIP), rtol=1e-6)


def test_advantages_are_of_scaled_rewards_and_the_log_of_plain_ones():
    learners = [PPO(envs.make("cartpole", 8), Config(**SMALL, norm_reward=norm), seed=0) for norm in (False, True)]
    for learner in learners:
        report = learner.iterate()
    plain, scaled = (learner.buffer for learner in learners)
    assert torch.equal(plain.rewards, scaled.rewards) and report["episode_return"] > 5
    values, rewards = scaled.values[:8, -1], learners[1].reward_scale(scaled.rewards)[:8, -1]
    ends = (scaled.terminals | scaled.truncations)[:8, -1]
    expected = rewards + torch.where(ends, 0, 0.99 * scaled.next_values[:8])
    assert not learners[1].buffer.truncations.any() and torch.allclose(scaled.returns[:8, -1], expected, atol=1e-5)
    assert (scaled.advantages[:8, -1] - (expected - values)).abs().max() < 1e-5


@pytest.mark.parametrize("settings", [ALL, ALL | {"whole_rows": True, "vtrace": True}], ids=["steps", "rows"])
def test_a_resumed_run_with_all_parts_is_the_run_that_never_stopped(tmp_path, settings):
    config = {**SMALL, **settings, "seed": 3, "anneal_lr": "none"}
    whole = train("cartpole", total_steps=1280, run_dir=tmp_path / "whole", **config)
    half = train("cartpole", total_steps=640, run_dir=tmp_path / "half", **config)
    rest = train("cartpole", total_steps=1280, resume=half.checkpoint, run_dir=tmp_path / "rest")
    first, second = (read_checkpoint(result.checkpoint) for result in (whole, rest))
    assert all(torch.equal(first["policy"][name], second["policy"][name]) for name in first["policy"])
    moments = [contents["learner"]["reward_scale"]["moments"] for contents in (first, second)]
    assert moments[0]["count"] == 1280 and all(torch.equal(moments[0][name], moments[1][name]) for name in moments[0])


# ---------------------------------------------------------------------- the network, and minibatches of steps

@pytest.mark.parametrize("encoder", ["scaled", "normalised"])
def test_a_separate_critic_shares_no_weight_with_the_policy(encoder):
    policy = Policy(FOUR, spaces.Discrete(3), encoder=encoder, separate_critic=True, activation="tanh", hidden_size=16)
    observations = torch.randn(20, 4)
    gradients = []
    for part in range(2):
        policy.zero_grad()
        policy(observations)[part].square().sum().backward()
        first = policy.encoder.layer.weight.grad.clone()
        gradients.append(first)
        others = policy.critic_layers if part == 0 else policy.layers
        assert all(p.grad is None or not p.grad.any() for p in others.parameters())
    assert not gradients[0][16:].any() and not gradients[1][:16].any() and gradients[0][:16].any() and gradients[1][16:].any()
    for half in policy.encoder.layer.weight.detach().chunk(2):
        assert torch.allclose(half.t() @ half, 2 * torch.eye(4), atol=1e-5)     # orthogonal, with gain sqrt(2)


def test_activations_and_the_first_deviation_are_settings():
    policy = Policy(FOUR, spaces.Box(-1, 1, (2,)), activation="tanh", log_std_init=-1.5, num_layers=1)
    outputs, values, _ = policy(torch.full((1, 4), 1e6))
    assert outputs[2:].eq(-1.5).all() and abs(values) < policy.head.weight[-1].abs().sum() + 1e-5


def test_a_separate_critic_has_no_memory_and_a_memory_wants_whole_rows():
    with pytest.raises(ValueError, match="separate_critic=True given with recurrent=True, expected one of them"):
        Policy(FOUR, spaces.Discrete(2), separate_critic=True, recurrent=True)
    with pytest.raises(ValueError, match="whole_rows=False given for a policy with a memory, expected True"):
        PPO(envs.make("cartpole", 8), Config(**SMALL, recurrent=True, whole_rows=False))


def test_minibatches_of_steps_are_every_step_once_in_an_order_across_rows():
    learner = PPO(envs.make("cartpole", 8), Config(**SMALL, whole_rows=False), seed=0)
    learner.collect()
    learner.estimate()
    buffer, seen = learner.buffer, []
    gather = buffer.gather
    buffer.gather = lambda chosen, whole_rows: (seen.append(chosen), gather(chosen, whole_rows))[1]
    learner.update()
    assert [len(chosen) for chosen in seen] == [32] * 8
    assert torch.cat(seen[:4]).sort().values.tolist() == list(range(8 * 16)) and len({*(seen[0] // 16).tolist()}) > 4
    batch, rows, columns = gather(seen[0], False), seen[0] // 16, seen[0] % 16
    assert torch.equal(batch.observations, buffer.observations[rows, columns]) and torch.equal(batch.returns, buffer.returns[rows, columns])
    assert torch.equal(batch.ends[:, 0], buffer.terminals[rows, columns])


# ---------------------------------------------------------------------- presets by kind

def spec_of(shape=(4,), dtype=np.float32, actions=None):
    high = 255 if dtype == np.uint8 else 1
    return EnvSpec(spaces.Box(0, high, shape, dtype), actions or spaces.Discrete(2))


@pytest.mark.parametrize("spec, kind", [
    (spec_of(), "discrete actions"), (spec_of(actions=spaces.MultiDiscrete([2, 3])), "discrete actions"),
    (spec_of(actions=spaces.Box(-1, 1, (2,))), "continuous actions"), (spec_of((84, 84), np.uint8), "pictures"),
    (spec_of((3, 96, 96), np.uint8), "pictures"), (spec_of((7, 7, 3), np.uint8), "discrete actions"),
    (spec_of((96, 96, 3), np.uint8, spaces.Box(-1, 1, (3,))), "pictures"),
], ids=str)
def test_the_kind_follows_from_the_spaces(spec, kind):
    assert kind_of(spec) == kind


class Slow(PufferEnv):
    """Takes `seconds` for a step, and counts what is made in this process."""
    made = 0

    def __init__(self, seconds=0.0, buffers=None, seed=0):
        Slow.made += 1
        self.single_observation_space, self.single_action_space, self.num_agents = FOUR, spaces.Discrete(2), 1
        self.seconds = seconds
        super().__init__(buffers, seed)

    def reset(self, seed=None):
        self.begin_reset(seed)
        return self.observations, []

    def step(self, actions):
        self.begin_step(actions)
        until = time.perf_counter() + self.seconds
        while time.perf_counter() < until:
            pass
        return self.finish_step()


def test_a_slow_environment_is_stepped_in_processes_unless_the_user_says_how(monkeypatch):
    monkeypatch.setattr(training, "cores", lambda: 2)
    before = Slow.made
    settings, seconds = training.workers_for(Slow, {"seconds": 2e-3}, {})
    assert settings == {"num_envs": 16, "backend": "process", "num_workers": 2} and seconds > 1e-3
    assert Slow.made == before, "it was made and stepped in a process of its own"
    assert training.workers_for(Slow, {"seconds": 2e-3}, {"backend": "serial"}) == ({"num_envs": 16}, 0.0)
    assert training.workers_for(Slow, {"seconds": 0.0}, {"num_envs": 2})[0] == {"num_envs": 2}


@pytest.mark.parametrize("fault", [RuntimeError("no licence"), SystemExit(3), KeyboardInterrupt()], ids=lambda fault: type(fault).__name__)
def test_an_environment_that_fails_while_it_is_timed_is_stepped_in_this_process(monkeypatch, tmp_path, fault):
    monkeypatch.setattr(training, "cores", lambda: 2)

    def make_env():
        print("loading", flush=True)
        raise fault
    with open(tmp_path / "said", "w+", buffering=1) as said:        # as in a notebook, whose streams are not files 1 and 2
        monkeypatch.setattr(sys, "stdout", said)
        monkeypatch.setattr(sys, "stderr", said)
        assert training.step_seconds(make_env, {}) == 0.0
        monkeypatch.undo()
        said.seek(0)
        assert said.read() == ""


@pytest.mark.parametrize("given", [{"horizon": 100}, {"horizon": 500}, {"minibatch_size": 64}, {"batch_size": 3 * 16 * 128}, {"num_envs": 3},
                                   {"recurrent": True}, {"learning_rate": 1e-4, "encoder": "scaled"}, {"whole_rows": True}], ids=str)
def test_settings_of_the_user_hold_and_the_sizes_divide(given):
    settings = settings_of_kind(spec_of(), given)
    assert settings.items() >= given.items()
    config = Config(**settings)
    config.rows(config.num_envs)                            # raises where sizes do not divide


@pytest.mark.parametrize("shape, noise", [((1,), 1), ((3,), 1), ((4,), 0.75), ((6,), 0.5), ((2, 3), 0.5)], ids=str)
def test_the_noise_of_many_numbers_is_together_that_of_three(shape, noise):
    settings = settings_of_kind(spec_of(actions=spaces.Box(-1, 1, shape)), {})
    assert math.isclose(math.exp(settings["log_std_init"]), noise, rel_tol=0.01)
    assert settings_of_kind(spec_of(actions=spaces.Box(-1, 1, shape)), {"log_std_init": -2.0})["log_std_init"] == -2
    assert "log_std_init" not in settings_of_kind(spec_of(), {})


class Unpaid(gymnasium.Env):
    """Random observations and no reward, ever."""

    observation_space, action_space = spaces.Box(-1, 1, (8,), np.float32), spaces.Discrete(5)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        return np.zeros(8, np.float32), {}

    def step(self, action):
        row = self.np_random.uniform(-1, 1, 8).astype(np.float32)
        return row, 0.0, bool(self.np_random.random() < 0.02), False, {}


@pytest.mark.parametrize("given, decided", [({}, False), ({"norm_adv": True, "ent_coef": 0.01}, True)], ids=["preset", "normalised advantages"])
def test_the_preset_stays_undecided_while_nothing_pays(tmp_path, given, decided):
    result = train(Unpaid, total_steps=30_000, seed=0, run_dir=tmp_path, **given)
    assert (result.history[-1]["entropy"] < 0.95 * math.log(5)) == decided


def test_the_preset_is_said_in_one_line_and_is_in_the_checkpoint(tmp_path, capsys):
    result = train(lambda: gymnasium.make("CartPole-v1"), total_steps=1, num_envs=4, run_dir=tmp_path / "run")
    said = capsys.readouterr().err.splitlines()
    assert len(said) == 1 and said[0].startswith("CartPole-v1 is written in Python") and "preset for discrete actions: " in said[0]
    assert "learning_rate=" in said[0] and "num_envs=" not in said[0] and said[0].endswith("settings that you give hold.")
    assert read_checkpoint(result.checkpoint)["preset"] == said[0]
    wanted = KINDS["discrete actions"] | {"total_steps": 1, "num_envs": 4}
    assert {name: getattr(result.config, name) for name in wanted} == wanted
    resumed = train(lambda: gymnasium.make("CartPole-v1"), total_steps=1000, resume=result.checkpoint, run_dir=tmp_path / "rest")
    assert resumed.config.encoder == "normalised" and read_checkpoint(resumed.checkpoint)["preset"] == said[0]


def test_native_environments_and_a_config_of_the_user_have_no_preset_by_kind(tmp_path, capsys):
    train("cartpole", total_steps=1, num_envs=4, minibatch_size=64, run_dir=tmp_path / "a")
    train(lambda: gymnasium.make("CartPole-v1"), Config(**SMALL, total_steps=1), run_dir=tmp_path / "b")
    assert "preset" not in capsys.readouterr().err


# ---------------------------------------------------------------------- pictures

@pytest.mark.parametrize("shape", [(84, 84), (84, 84, 4), (4, 84, 84), (210, 160, 3)])
def test_nature_takes_pictures_with_their_channels_first_last_or_none(shape):
    encoder = make_encoder("nature", spaces.Box(0, 255, shape, np.uint8), 32)
    picture = torch.randint(0, 256, (2, *shape), dtype=torch.uint8)
    assert encoder(picture).shape == (2, 32)
    if shape == (4, 84, 84):
        assert [tuple(layer.weight.shape) for layer in encoder.layers[::2]] == [(32, 4, 8, 8), (64, 32, 4, 4), (64, 64, 3, 3)]
        assert encoder.out.in_features == 64 * 7 * 7                        # as in the paper


def test_nature_refuses_small_pictures_in_a_sentence():
    with pytest.raises(ValueError, match=r'encoder="nature" needs a picture of at least 36 x 36, but the observation is \(7, 7, 3\)'):
        make_encoder("nature", spaces.Box(0, 255, (7, 7, 3), np.uint8), 32)


# ---------------------------------------------------------------------- learning

@pytest.mark.parametrize("name, steps, random, reach", [("CartPole-v1", 60_000, 22, 300), ("Pendulum-v1", 150_000, -1200, -400)])
def test_somebody_elses_environment_is_learned_at_defaults(tmp_path, name, steps, random, reach):
    result = train(lambda: gymnasium.make(name), seed=1, total_steps=steps, run_dir=tmp_path)
    scores = [line["score"] for line in result.history if line["score"] is not None]
    assert scores[0] < random + 0.3 * abs(random) < reach < np.mean(scores[-3:])
