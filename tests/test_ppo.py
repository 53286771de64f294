"""The learner against plain formulas, step by step, and as a whole."""

import functools
import math
import time
from itertools import pairwise

import gymnasium
import numpy as np
import pytest
import torch
from gymnasium import spaces

import envs
import puffer_min
from puffer_min.clock import STAGES
from puffer_min.commands import evaluate as evaluation
from puffer_min.commands import train as training
from puffer_min.commands.train import name_of, train
from puffer_min.env.puffer_env import PufferEnv
from puffer_min.learner.buffer import Minibatch
from puffer_min.learner.config import Config
from puffer_min.learner.distributions import distribution_of, masked
from puffer_min.learner.ppo import PPO, NotFinite, flatten_parameters, ppo_loss
from puffer_min.learner.presets import PRESETS, settings_for
from puffer_min.vector import make_vec


@pytest.fixture(autouse=True)
def exact_and_alone():
    """Full float32 precision and one thread: these tests compare numbers, and run beside others."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


THREE = spaces.Discrete(3)


class Drift(PufferEnv):
    """Numbers to learn on, with all a learner must cope with: ends of both kinds, slots that are empty at times, any action space."""

    def __init__(self, buffers=None, seed=0, num_agents=4, actions=THREE, death=0.0, poison=None, report_interval=0):
        self.single_observation_space, self.single_action_space = spaces.Box(-1, 1, (5,), np.float32), actions
        self.num_agents, self.death, self.poison, self.truncates, self.clock = num_agents, death, poison, True, 0
        super().__init__(buffers, seed, report_interval)

    def observe(self):
        self.observations[:] = self.random.uniform(-1, 1, self.observations.shape)
        self.masks[:] = self.random.random(self.num_agents) >= self.death

    def reset(self, seed=None):
        self.begin_reset(seed)
        self.observe()
        return self.observations, []

    def step(self, actions):
        self.begin_step(actions)
        self.clock += 1
        self.rewards[:] = self.random.normal(size=self.num_agents)
        self.terminals[:] = self.random.random(self.num_agents) < 0.1
        self.truncations[:] = self.random.random(self.num_agents) < 0.1
        self.final_observations[:] = self.random.uniform(-1, 1, self.observations.shape)
        self.observe()
        if self.poison and self.clock == 30:
            getattr(self, self.poison)[0] = np.nan
        return self.finish_step()


SMALL = Config(num_envs=4, horizon=8, minibatch_size=16, hidden_size=16, total_steps=1000, anneal_lr="none", matmul_precision="highest",
               torch_threads=1)


def cleanrl(config, agent_outputs, newvalue, space, b):
    """CleanRL's ppo.py, line by line, with torch.distributions."""
    if isinstance(space, spaces.Discrete):
        probs = torch.distributions.Categorical(logits=agent_outputs.t())
        newlogprob, entropy = probs.log_prob(b.actions), probs.entropy()
    else:
        size = b.actions.shape[1]
        probs = torch.distributions.Normal(agent_outputs[:size].t(), agent_outputs[size:].t().exp())
        newlogprob, entropy = probs.log_prob(b.actions).sum(1), probs.entropy().sum(1)
    logratio = newlogprob - b.log_probs
    ratio = logratio.exp()
    approx_kl = ((ratio - 1) - logratio).mean()
    clipfrac = ((ratio - 1.0).abs() > config.clip_coef).float().mean()
    mb_advantages = b.advantages
    if config.norm_adv:
        mb_advantages = (mb_advantages - mb_advantages.mean()) / (mb_advantages.std() + 1e-8)
    pg_loss1 = -mb_advantages * ratio
    pg_loss2 = -mb_advantages * torch.clamp(ratio, 1 - config.clip_coef, 1 + config.clip_coef)
    pg_loss = torch.max(pg_loss1, pg_loss2).mean()
    if config.vf_clip_coef is not None:
        v_loss_unclipped = (newvalue - b.returns) ** 2
        v_clipped = b.values + torch.clamp(newvalue - b.values, -config.vf_clip_coef, config.vf_clip_coef)
        v_loss = 0.5 * torch.max(v_loss_unclipped, (v_clipped - b.returns) ** 2).mean()
    else:
        v_loss = 0.5 * ((newvalue - b.returns) ** 2).mean()
    entropy_loss = entropy.mean()
    return pg_loss - config.ent_coef * entropy_loss + v_loss * config.vf_coef, [pg_loss, v_loss, entropy_loss, approx_kl, clipfrac]


def random_minibatch(space, size=64, seed=0):
    random = torch.Generator().manual_seed(seed)

    def draw(*shape):
        return torch.randn(*shape, generator=random)

    distribution = distribution_of(space)
    outputs = draw(distribution.num_outputs, size)
    actions, log_probs = distribution.sample(outputs, random)
    batch = Minibatch(draw(size, 5), actions, log_probs + 0.3 * draw(size), values=draw(size), advantages=draw(size), returns=draw(size),
                      action_masks=torch.ones(size, 0), ends=torch.zeros(1, size, dtype=torch.bool), states=draw(1, 0))
    return distribution, outputs, draw(size), batch


@pytest.mark.parametrize("space", [spaces.Discrete(6), spaces.Box(-1, 1, (3,))], ids=["discrete", "box"])
@pytest.mark.parametrize("settings", [{}, {"vf_clip_coef": 0.2}, {"norm_adv": False, "ent_coef": 0.3}, {"clip_coef": 0.05, "vf_coef": 2.0}])
@pytest.mark.parametrize("seed", range(3))
def test_loss_and_gradients_equal_cleanrls(space, settings, seed):
    config = Config(**settings)
    distribution, outputs, values, batch = random_minibatch(space, seed=seed)
    gradients = []
    for loss_of in (lambda o, v: ppo_loss(config, o, v, distribution, batch)[:2], lambda o, v: cleanrl(config, o, v, space, batch)):
        o, v = outputs.clone().requires_grad_(), values.clone().requires_grad_()
        loss, parts = loss_of(o, v)
        loss.backward()
        gradients.append((loss.detach(), torch.stack([p.detach() for p in parts]), o.grad, v.grad))
    for ours, theirs in zip(*gradients, strict=False):
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-6)


def test_one_update_equals_plain_pytorch():
    """Three minibatches of two epochs, from the same rows: parameters equal to those of autograd, clip_grad_norm_ and torch's Adam."""
    config = settings_for(None, SMALL, update_epochs=2, ent_coef=0.02, max_grad_norm=0.05)
    learner = PPO(Drift(num_agents=6), settings_for(None, config, num_envs=6), seed=3)
    learner.collect()
    learner.estimate()
    buffer = learner.buffer
    plain = PPO(Drift(num_agents=6), config, seed=3).policy          # the same weights
    plain.load_state_dict(learner.policy.state_dict())
    parameters = [p.detach().clone().requires_grad_() for p in plain.parameters()]
    names = [name for name, _ in plain.named_parameters()]
    optimizer = torch.optim.Adam(parameters, lr=config.learning_rate, eps=config.adam_eps)
    order = torch.Generator()
    order.set_state(learner.shuffle.get_state())
    for _ in range(config.update_epochs):
        for rows in torch.randperm(6, generator=order).split(2):
            b = Minibatch(*(getattr(buffer, n)[rows].flatten(0, 1) for n in ("observations", "actions", "log_probs", "values", "advantages", "returns")), None, None, None)
            w = dict(zip(names, parameters, strict=False))
            hidden = torch.relu(b.observations @ w["encoder.layer.weight"].t() + w["encoder.layer.bias"])
            hidden = torch.relu(hidden @ w["layers.0.weight"].t() + w["layers.0.bias"])
            both = hidden @ w["head.weight"].t() + w["head.bias"]
            loss, _ = cleanrl(config, both[:, :-1].t(), both[:, -1], spaces.Discrete(3), b)
            optimizer.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(parameters, config.max_grad_norm)
            optimizer.step()
    learner.update()
    for name, ours, theirs in zip(names, learner.policy.parameters(), parameters, strict=False):
        torch.testing.assert_close(ours.detach(), theirs.detach(), rtol=1e-4, atol=1e-6, msg=name)


@pytest.mark.parametrize("actions", [spaces.Discrete(3), spaces.MultiDiscrete([2, 3]), spaces.Box(-2, 2, (2,))],
                         ids=["discrete", "multidiscrete", "box"])
@pytest.mark.parametrize("settings", [{}, {"recurrent": True}], ids=["mlp", "lstm"])
@pytest.mark.parametrize("death", [0.0, 0.4])
def test_the_update_sees_what_acting_saw(actions, settings, death):
    """Before the first step of Adam, replaying the rows gives the numbers of acting: nothing is shifted, mixed or forgotten."""
    learner = PPO(Drift(num_agents=5, actions=actions, death=death), settings_for(None, SMALL, minibatch_size=8, **settings), seed=1)
    for _ in range(3):
        learner.collect()
        rows = learner.buffer.trained_rows
        batch = learner.buffer.gather(rows)
        with torch.no_grad():
            outputs, values = learner.policy.replay(batch.observations, batch.states, batch.ends)
            log_probs, _ = learner.policy.distribution.evaluate(outputs, batch.actions)
        torch.testing.assert_close(log_probs, batch.log_probs, rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(values, batch.values, rtol=1e-4, atol=1e-5)
        learner.buffer.recycle()


class Masked(Drift):
    """Only some choices are legal at each step; an agent that takes another one is an error. Empty slots have no legal choice."""

    def __init__(self, buffers=None, seed=0, counts=(3, 4), **settings):
        self.counts = counts
        super().__init__(buffers, seed, actions=spaces.MultiDiscrete(counts) if len(counts) > 1 else spaces.Discrete(*counts), **settings)

    def observe(self):
        super().observe()
        self.legal = self.random.random((self.num_agents, sum(self.counts))) < 0.5
        for block in np.split(self.legal, np.cumsum(self.counts)[:-1], 1):
            block[np.arange(self.num_agents), self.random.integers(block.shape[1], size=self.num_agents)] = True
        self.legal &= self.masks[:, None]

    def action_masks(self):
        return self.legal

    def step(self, actions):
        columns = np.reshape(actions, (self.num_agents, -1)) + np.cumsum(self.counts) - self.counts
        assert self.legal[np.arange(self.num_agents)[:, None], columns][self.masks].all(), "an illegal action was taken"
        return super().step(actions)


@pytest.mark.parametrize("counts", [(4,), (3, 4)], ids=["discrete", "multidiscrete"])
@pytest.mark.parametrize("settings", [{}, {"recurrent": True, "vtrace": True, "update_epochs": 2}], ids=["mlp", "lstm"])
@pytest.mark.parametrize("death", [0.0, 0.4])
def test_no_illegal_action_is_taken_and_the_update_sees_the_masks_of_acting(counts, settings, death):
    config = settings_for(None, SMALL, minibatch_size=8, learning_rate=0.0, **settings)
    learner = PPO(Masked(num_agents=5, counts=counts, death=death), config, seed=1)
    for _ in range(3):
        learner.collect()
        batch = learner.buffer.gather(learner.buffer.trained_rows)
        with torch.no_grad():
            outputs, _ = learner.policy.replay(batch.observations, batch.states, batch.ends)
            log_probs, entropy = learner.policy.distribution.evaluate(masked(outputs, batch.action_masks), batch.actions)
        torch.testing.assert_close(log_probs, batch.log_probs, rtol=1e-4, atol=1e-5)
        assert (entropy < sum(map(math.log, counts)) - 1e-3).any()
        learner.estimate()
        learner.update()
        learner.buffer.recycle()


@pytest.mark.parametrize("name", ["connect4", "triple_triad"])
def test_native_games_are_played_by_legal_actions_alone(name):
    env, taken = envs.make(name, 64, seed=0), []
    step = env.step

    def watched(actions):
        taken.append(env.action_masks()[np.arange(64), actions].copy())
        return step(actions)
    config = settings_for(name, num_envs=64, horizon=16, minibatch_size=512, batch_size=None, torch_threads=1)
    env_ = type("Watched", (), {"__getattr__": lambda self, attribute: getattr(env, attribute), "step": staticmethod(watched)})()
    learner = PPO(env_, config, seed=0)
    for _ in range(4):
        learner.iterate()
    assert np.mean(taken) == 1 and len(taken) == 64


def test_masks_of_a_box_action_are_refused():
    class Wrong(Drift):
        def action_masks(self):
            return np.ones((self.num_agents, 2), bool)
    with pytest.raises(ValueError, match=r"action masks given for actions of Box.*, expected Discrete or MultiDiscrete"):
        PPO(Wrong(actions=spaces.Box(-1, 1, (2,))), SMALL)


@pytest.mark.parametrize("recurrent", [False, True])
def test_truncated_steps_bootstrap_from_what_was_seen_at_the_cut(recurrent):
    learner = PPO(Drift(), settings_for(None, SMALL, recurrent=recurrent), seed=0)
    seen = []
    original = learner.buffer.record_outcome

    def watch(rewards, terminals, truncations, final_observations, states=None):
        row, column = learner.buffer.row, learner.buffer.column
        for agent in np.flatnonzero(truncations & ~terminals):
            state = None if states is None else states[agent].clone()
            seen.append((row + agent, column, torch.from_numpy(final_observations[agent].copy()), state))
        original(rewards, terminals, truncations, final_observations, states)
    learner.buffer.record_outcome = watch
    learner.collect()
    assert seen
    for row, column, observation, state in seen:
        with torch.inference_mode():
            value = learner.policy(observation[None], None if state is None else state[None])[1]
        torch.testing.assert_close(learner.buffer.final_values[row, column], value[0], rtol=1e-4, atol=1e-5)


def test_dead_agents_are_excluded_and_not_multiplied_by_zero():
    learner = PPO(Drift(num_agents=6, death=0.5), SMALL, seed=0)
    report = learner.iterate()
    assert 0.3 < report["density"] < 0.7
    assert learner.steps == 6 * 8, "a step is one of a living agent"
    shapes = []
    original = learner.policy.replay
    learner.policy.replay = lambda observations, *rest: shapes.append(len(observations)) or original(observations, *rest)
    learner.iterate()
    assert sum(shapes) == 6 * 8, "only living agents' steps go through the network"


def test_recurrent_state_is_carried_across_updates_and_reset_at_ends():
    learner = PPO(Drift(), settings_for(None, SMALL, recurrent=True), seed=0)
    learner.iterate()
    before, ends = learner.state.clone(), learner.env.terminals | learner.env.truncations
    assert (before[~ends] != 0).any() and (before[ends] == 0).all()
    learner.collect()
    torch.testing.assert_close(learner.buffer.states[:4], before)


def test_vtrace_estimates_again_before_every_epoch_with_the_latest_ratios():
    learner = PPO(Drift(), settings_for(None, SMALL, vtrace=True, update_epochs=3, learning_rate=0.01), seed=0)
    seen = []
    original = learner.estimate
    learner.estimate = lambda: seen.append(learner.buffer.ratios[:4].clone()) or original()
    for _ in range(2):
        learner.iterate()
    assert len(seen) == 6
    for update in (seen[:3], seen[3:]):
        assert (update[0] == 1).all(), "new experience is on policy"
        assert all((ratios != 1).any() and torch.isfinite(ratios).all() for ratios in update[1:])


def test_the_epochs_stop_beyond_target_kl():
    config = settings_for(None, SMALL, update_epochs=4, learning_rate=0.05)
    assert [PPO(Drift(), settings_for(None, config, target_kl=kl), seed=0).iterate()["epochs"] for kl in (1e-4, None)] == [1, 4]


@pytest.mark.parametrize("anneal, half, end", [("linear", 0.5, 0), ("cosine", 0.5, 0), ("none", 1, 1)])
def test_the_learning_rate_is_annealed(anneal, half, end):
    config = Config(total_steps=1000, anneal_lr=anneal)
    assert (config.annealed(0), config.annealed(500), config.annealed(1000)) == pytest.approx((1, half, end))
    learner = PPO(Drift(), settings_for(None, SMALL, anneal_lr=anneal, total_steps=64, learning_rate=0.02), seed=0)
    assert [learner.iterate()["learning_rate"] for _ in range(2)] == pytest.approx([0.02, 0.02 * half])


def test_all_parameters_live_in_one_vector_with_their_gradients():
    policy = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.Tanh(), torch.nn.Linear(4, 2))
    expected, inputs = [p.detach().clone() for p in policy.parameters()], torch.randn(5, 3)
    flat = flatten_parameters(policy)
    assert all(p.equal(e) for p, e in zip(policy.parameters(), expected, strict=False))
    policy(inputs).square().sum().backward()
    assert flat.grad.equal(torch.cat([p.grad.flatten() for p in policy.parameters()])) and flat.grad.abs().sum() > 0
    with torch.no_grad():
        flat.add_(1)
    assert all(p.equal(e + 1) for p, e in zip(policy.parameters(), expected, strict=False))


# ---------------------------------------------------------------------- whole runs

def run(tmp_path, env="squared", **settings):
    settings = {"num_envs": 16, "horizon": 8, "minibatch_size": 64, "total_steps": 1280, "torch_threads": 1, "checkpoint_interval": 0,
                "run_dir": tmp_path / "run"} | settings
    return train(env, **settings)


TIMES = {"seconds", "sps", "sps_now", "stages"}


def curve(history):
    return [{name: value for name, value in update.items() if name not in TIMES} for update in history]


def test_the_same_seed_gives_the_same_run_and_another_does_not(tmp_path):
    first, second, other = (run(tmp_path / str(i), seed=seed) for i, seed in enumerate((7, 7, 8)))
    assert curve(first.history) == curve(second.history) != curve(other.history)
    assert all(a.equal(b) for a, b in zip(first.policy.policy.parameters(), second.policy.policy.parameters(), strict=False))


@pytest.mark.parametrize("env, backend, settings", [("squared", "thread", {}), (Drift, "process", {"num_envs": 2, "minibatch_size": 32})],
                         ids=["threads", "processes"])
def test_a_run_is_the_same_to_the_bit_whoever_steps_the_environments(tmp_path, env, backend, settings):
    serial = run(tmp_path / "serial", env, seed=3, **(settings))
    workers = run(tmp_path / "workers", env, seed=3, backend=backend, num_workers=2, **settings)
    assert curve(serial.history) == curve(workers.history)
    assert all(a.equal(b) for a, b in zip(serial.policy.policy.parameters(), workers.policy.policy.parameters(), strict=False))


def test_training_leaves_torchs_settings_and_random_streams_alone(tmp_path):
    torch.manual_seed(5)
    before = torch.get_rng_state(), torch.get_num_threads(), torch.get_float32_matmul_precision(), np.random.get_state()[1].tolist()
    run(tmp_path, torch_threads=2, matmul_precision="medium", deterministic=True)
    after = torch.get_rng_state(), torch.get_num_threads(), torch.get_float32_matmul_precision(), np.random.get_state()[1].tolist()
    assert before[0].equal(after[0]) and before[1:] == after[1:] and not torch.are_deterministic_algorithms_enabled()


@pytest.mark.alone
def test_stages_add_up_to_the_wall_time_and_sps_is_steps_by_wall_time(tmp_path):
    marks = []
    start = time.perf_counter()
    result = run(tmp_path, total_steps=20 * 128, dashboard=lambda update: marks.append(time.perf_counter()))
    for earlier, later in pairwise(result.history):
        assert set(later["stages"]) == set(STAGES) and sum(later["stages"].values()) == pytest.approx(1)
        assert later["sps"] == pytest.approx(later["step"] / later["seconds"])
        passed = later["seconds"] - earlier["seconds"]
        assert later["sps_now"] == pytest.approx((later["step"] - earlier["step"]) / passed)
    clocked, wall = result.history[-1]["seconds"] - result.history[0]["seconds"], marks[-1] - marks[0]
    assert clocked == pytest.approx(wall, rel=0.1)
    assert result.history[-1]["seconds"] <= marks[-1] - start


def test_history_log_and_dashboard_hold_the_same(tmp_path):
    shown = []
    result = run(tmp_path, dashboard=shown.append)
    assert shown == result.history and len(shown) == 10
    logged = puffer_min.read_log(result.run_dir / "log.jsonl")
    assert curve(logged) == curve(shown)
    assert {"step", "seconds", "sps", "score", "episode_return", "episode_length", "episodes", "policy_loss", "value_loss", "entropy",
            "approx_kl", "clip_fraction", "explained_variance", "grad_norm", "learning_rate", "density", "stages"} <= set(shown[-1])
    assert [update["step"] for update in shown] == list(range(128, 1281, 128))


def test_a_run_stops_at_its_target_score(tmp_path):
    result = run(tmp_path, target_score=-2.0, total_steps=100_000)
    assert result.ended == "target" and result.history[-1]["step"] < 100_000
    assert sum(update["episodes"] for update in result.history) >= 100


@pytest.mark.parametrize("poison, named", [("rewards", "rewards"), ("observations", "observations")])
def test_a_nan_stops_training_and_names_step_and_tensor(poison, named):
    learner = PPO(Drift(num_agents=4, poison=poison), SMALL, seed=0)
    with pytest.raises(NotFinite, match=rf"training stopped at step 96: {named} \(from the environment\) holds a NaN"):
        for _ in range(10):
            learner.iterate()


def test_a_nan_in_the_weights_is_named_by_its_parameter():
    learner = PPO(Drift(), SMALL, seed=0)
    learner.iterate()
    learner.collect()
    learner.estimate()
    with torch.no_grad():
        learner.policy.layers[0].weight[0, 0] = math.nan
    with pytest.raises(NotFinite, match="the policy's parameter 'layers.0.weight'"):
        learner.update()


def test_a_run_has_the_name_of_what_makes_its_environments():
    class Wrapped(gymnasium.Wrapper):
        pass

    names = {"squared": "squared", Drift: "Drift", Wrapped: "Wrapped", functools.partial(functools.partial(Drift), num_agents=2): "Drift"}
    for env, name in names.items():
        assert name_of(env) == name
    assert name_of(gymnasium.make("CartPole-v1")) == name_of(make_vec(lambda: gymnasium.make("CartPole-v1"), 2)) == "CartPole-v1"


def test_settings_are_checked_by_name_and_value():
    with pytest.raises(TypeError, match="there is no setting 'learning_rte': did you mean 'learning_rate'?"):
        train("squared", learning_rte=1)
    with pytest.raises(ValueError, match="gamma=1.5 given, expected a number from 0 to 1"):
        Config(gamma=1.5)
    with pytest.raises(ValueError, match="horizon=0 given, expected a whole number of at least 1"):
        Config(horizon=0)
    with pytest.raises(ValueError, match="anneal_lr='exp' given, expected one of 'linear', 'cosine', 'none'"):
        Config(anneal_lr="exp")
    with pytest.raises(ValueError, match="unknown environment 'sqared': did you mean 'squared'?"):
        train("sqared")


@pytest.mark.parametrize("name, given, plain", [
    ("num_envs", np.int64(64), 64), ("num_envs", torch.tensor(64), 64), ("learning_rate", np.float32(0.25), 0.25),
    ("gamma", torch.tensor(0.5), 0.5), ("gamma", 1, 1.0), ("batch_size", np.array(128), 128), ("norm_adv", np.bool_(False), False),
    ("target_score", np.float64(3.5), 3.5), ("encoder", np.str_("conv"), "conv"), ("device", torch.device("cpu"), "cpu"),
])
def test_numbers_of_numpy_and_torch_are_stored_as_plain_ones(name, given, plain):
    stored = getattr(Config(**{name: given}), name)
    assert stored == plain and type(stored) is type(plain)


@pytest.mark.parametrize("name, given, expected", [
    ("learning_rate", math.nan, "a finite number of at least 0"), ("max_grad_norm", math.inf, "a finite number of at least 0"),
    ("learning_rate", 10**400, "a finite number of at least 0"), ("gamma", np.array([0.5]), "a number from 0 to 1"),
    ("target_score", -math.inf, "a finite number or None"), ("num_envs", 2**31 + 1, "at most 2,147,483,648"),
    ("num_envs", 2.5, "a whole number of at least 1"), ("batch_size", 0, "a whole number of at least 1 or None"),
    ("torch_threads", 10**6, "at most 1,024 or None"), ("hidden_size", 10**9, "at most 65,536"), ("num_layers", 10**6, "at most 1,024"),
    ("recurrent", 1, "True or False"), ("num_workers", True, "a whole number of at least 1 or None"), ("backend", None, "text"),
])
def test_a_setting_outside_its_range_is_refused_by_name(name, given, expected):
    with pytest.raises(ValueError, match=f"^{name}=.* given, expected {expected}$"):
        Config(**{name: given})


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device here")
def test_a_missing_cuda_device_is_said_in_a_sentence():
    with pytest.raises(ValueError, match="device='cuda' given, but torch finds no CUDA device here; use device=\"cpu\""):
        PPO(Drift(), settings_for(None, SMALL, device="cuda"))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="torch finds no CUDA device here")
@pytest.mark.parametrize("recurrent", [False, True])
def test_on_cuda_the_update_sees_what_acting_saw_and_learning_goes_on(recurrent):
    learner = PPO(Drift(death=0.3), settings_for(None, SMALL, device="cuda", recurrent=recurrent), seed=1)
    learner.iterate()
    learner.collect()
    batch = learner.buffer.gather(learner.buffer.trained_rows)
    with torch.no_grad():
        _, values = learner.policy.replay(*(learner.to_device(t) for t in (batch.observations, batch.states, batch.ends)))
    torch.testing.assert_close(values.cpu(), batch.values, rtol=1e-3, atol=1e-4)


def test_presets_hold_only_what_differs():
    for name, settings in PRESETS.items():
        assert name in envs.names() and settings_for(name)
        same = [key for key, value in settings.items() if getattr(Config(), key) == value]
        assert not same, f"{name}: {same} are the defaults anyway"


def test_what_an_environment_is_given_for_training_alone_is_not_in_the_checkpoint_and_yields_to_what_is_asked_for(tmp_path, monkeypatch):
    made = []
    monkeypatch.setattr(training, "make_vec", lambda *arguments, **settings: made.append(settings["env_settings"]) or make_vec(*arguments, **settings))
    sizes = {"num_envs": 8, "horizon": 8, "minibatch_size": 64, "hidden_size": 8}
    result = run(tmp_path, "connect4", total_steps=64, **sizes)
    assert made[0]["openings"] == envs.load("connect4").training_settings["openings"] > 0 and made[0]["weaker"] > 0
    assert result.description["env_settings"] == {}
    run(tmp_path, "connect4", total_steps=128, resume=result.checkpoint, **sizes)
    assert made[1]["openings"] == made[0]["openings"]
    asked = run(tmp_path, "connect4", total_steps=64, env_settings={"openings": 0}, **sizes)
    assert made[2]["openings"] == 0 and made[2]["weaker"] == made[0]["weaker"] and asked.description["env_settings"]["openings"] == 0


@pytest.mark.parametrize("name", envs.names())
def test_the_game_that_is_trained_is_the_game_that_is_evaluated_but_for_its_training_settings(tmp_path, monkeypatch, name):
    class Made(Exception):
        pass

    def note(make_env, num_envs=1, *, env_settings, **ways):
        raise Made(make_env, env_settings)

    made = []
    monkeypatch.setattr(training, "make_vec", note)
    monkeypatch.setattr(evaluation, "make_vec", note)
    for way in (lambda: train(name, run_dir=tmp_path), lambda: evaluation.evaluate(name, None)):
        with pytest.raises(Made) as error:
            way()
        made.append(error.value.args)
    assert made == [(name, envs.load(name).training_settings), (name, {})]
    assert envs.load(name).training_settings.keys() == ({"openings", "weaker"} if name == "connect4" else set())


def test_an_environment_in_python_names_its_own_training_settings(tmp_path):
    class Practice(Drift):
        training_settings = {"death": 0.5}

    assert training.training_settings(Practice) == {"death": 0.5} and training.training_settings(lambda: Practice()) == {}
    result = run(tmp_path, Practice, total_steps=512, num_envs=2)
    assert result.description["env_settings"] == {}


def test_a_python_environment_and_a_gymnasium_one_train(tmp_path):
    import gymnasium
    result = run(tmp_path, Drift, total_steps=512, num_envs=2)
    assert result.env_name == "Drift" and len(result.history) == 512 // (2 * 4 * 8)
    result = run(tmp_path, lambda: gymnasium.make("CartPole-v1"), total_steps=512, num_envs=2, minibatch_size=16)
    returns = [line["episode_return"] for line in result.history if line["episode_return"] is not None]
    assert result.env_name == "CartPole-v1" and min(returns) > 1
    vec = puffer_min.make_vec("cartpole", num_envs=4)
    assert run(tmp_path, vec, total_steps=64, minibatch_size=32).env_name == "cartpole"
    vec.reset(0)
    vec.close()


def test_cartpole_learns_to_195_and_beyond(tmp_path):
    """With the default settings; random play lasts 22 steps. About a second on an idle core."""
    result = train("cartpole", seed=1, target_score=195, torch_threads=1, run_dir=tmp_path)
    assert result.ended == "target", result.history[-1]


def test_a_memory_task_is_learned_with_the_lstm_and_not_without(tmp_path):
    """What is seen first tells which action is right `delay` steps later, and nothing in between does. The horizon is shorter than that."""
    class Recall(PufferEnv):
        delay = 6

        def __init__(self, buffers=None, seed=0, report_interval=0):
            self.single_observation_space, self.single_action_space = spaces.Box(-1, 1, (2,), np.float32), spaces.Discrete(2)
            self.num_agents = 128
            super().__init__(buffers, seed, report_interval)

        def reset(self, seed=None):
            self.begin_reset(seed)
            self.age = self.random.integers(0, self.delay, self.num_agents)
            self.shown = self.random.integers(0, 2, self.num_agents)
            return self.observe()

        def observe(self):
            self.observations[:, 0] = np.where(self.age == 0, 2 * self.shown - 1, 0)
            self.observations[:, 1] = self.age == self.delay
            return self.observations, []

        def step(self, actions):
            self.begin_step(actions)
            over = self.age == self.delay
            self.rewards[:] = over * (self.actions == self.shown)
            self.terminals[:] = over
            self.age = np.where(over, 0, self.age + 1)
            self.shown = np.where(over, self.random.integers(0, 2, self.num_agents), self.shown)
            self.observe()
            return self.finish_step()

    scores = {}
    for recurrent in (True, False):
        result = train(Recall, seed=0, num_envs=1, horizon=4, minibatch_size=512, total_steps=200_000, recurrent=recurrent, hidden_size=32,
                       num_layers=1, learning_rate=1e-2, torch_threads=1, target_score=0.95, run_dir=tmp_path / str(recurrent))
        scores[recurrent] = result.history[-1]["score"]
    assert scores[True] > 0.9 and scores[False] < 0.65, scores
