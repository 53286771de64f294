"""PettingZoo agents with different spaces: a row and an action space for all, a network for each group, which sees no other's rows."""

import copy
import dataclasses

import numpy as np
import pytest
import torch
from gymnasium.spaces import Box, Dict, Discrete, MultiDiscrete
from hypothesis import given, settings
from hypothesis import strategies as st
from pettingzoo import ParallelEnv
from pettingzoo.test import parallel_api_test
from torch import nn

import puffer_min
from puffer_min.emulation.actions import ActionLayout
from puffer_min.emulation.pettingzoo_env import PettingZooEnv
from puffer_min.env.spec import EnvSpec, GroupRows
from puffer_min.learner.actor import Actor, build_policy
from puffer_min.learner.checkpoint import CheckpointError, pack_space, unpack_space
from puffer_min.learner.config import Config
from puffer_min.learner.distributions import distribution_of
from puffer_min.learner.ppo import PPO, ppo_loss
from puffer_min.vector import make_vec

COLOURS, WORDS = 3, 4
SPEAKER = Discrete(COLOURS), Discrete(WORDS, start=1)
LISTENER = Dict(heard=Discrete(WORDS + 1), noise=Box(-1, 1, (2,), np.float64)), Dict(pick=Discrete(COLOURS), hop=Discrete(2))
QUICK = dict(num_envs=4, backend="serial", horizon=8, minibatch_size=32, torch_threads=1, dashboard=None)


class Talk(ParallelEnv):
    """In the first step the speaker sees a colour and says a word; in the second the listener, who has heard it, picks a colour.

    Both get 1 for the right one. There are two listeners; the second is in the game in every other episode only.
    """

    metadata = {"name": "talk"}
    possible_agents = ["listener_0", "speaker", "listener_1"]
    episodes = 0

    def observation_space(self, agent):
        return SPEAKER[0] if agent == "speaker" else LISTENER[0]

    def action_space(self, agent):
        return SPEAKER[1] if agent == "speaker" else LISTENER[1]

    def seen(self):
        return {name: self.colour if name == "speaker" else {"heard": self.word, "noise": self.random.uniform(-1, 1, 2)}
                for name in self.agents}

    def reset(self, seed=None, options=None):
        if seed is not None:
            self.random, self.episodes = np.random.default_rng(seed), 0
        self.colour, self.word, self.time, self.episodes = self.random.integers(COLOURS), 0, 0, self.episodes + 1
        self.agents = self.possible_agents[:2 + self.episodes % 2]
        return self.seen(), {name: {} for name in self.agents}

    def step(self, actions):
        assert all(self.action_space(name).contains(action) for name, action in actions.items()), actions
        self.time += 1
        over, right = self.time == 2, [action["pick"] == self.colour for name, action in actions.items() if name != "speaker"]
        rewards = dict.fromkeys(self.agents, float(np.mean(right)) if over else 0.0)
        self.word = int(actions["speaker"])
        seen, acted = self.seen(), self.agents
        self.agents = [] if over else acted
        return seen, rewards, dict.fromkeys(acted, over), dict.fromkeys(acted, False), {name: {} for name in acted}

    def close(self):
        pass


class Masked(Talk):
    """The speaker must not say its first word, and the listeners must not hop; each step asserts it."""

    def action_masks(self):
        masks = {"speaker": np.arange(WORDS) > 0, "listener_0": np.arange(COLOURS + 2) != COLOURS + 1}
        return {name: mask for name, mask in masks.items() if name in self.agents}

    def step(self, actions):
        assert actions["speaker"] != 1 and actions["listener_0"]["hop"] == 0, "an illegal action"
        return super().step(actions)


class Reach(ParallelEnv):
    """Arms of different lengths, each of which sees its goal and has to move there: Boxes of other sizes, ranges and dtypes."""

    metadata = {"name": "reach"}
    possible_agents = ["short", "long"]
    ranges = {"short": (2.0, 4.0, 1), "long": (-10.0, 10.0, 3)}
    episodes = 0

    def observation_space(self, agent):
        return Box(-1, 1, (self.ranges[agent][2],), np.float32)

    def action_space(self, agent):
        low, high, size = self.ranges[agent]
        return Box(low, high, (size,), np.float64 if agent == "long" else np.float32)

    def reset(self, seed=None, options=None):
        if seed is not None:
            self.random = np.random.default_rng(seed)
        self.agents = list(self.possible_agents)
        self.goals = {name: self.random.uniform(-1, 1, self.ranges[name][2]).astype(np.float32) for name in self.agents}
        return self.goals, {name: {} for name in self.agents}

    def step(self, actions):
        rewards, acted = {}, self.agents
        for name, action in actions.items():
            assert self.action_space(name).contains(action), (name, action)
            low, high, _ = self.ranges[name]
            rewards[name] = -float(np.abs((action - (low + high) / 2) / ((high - low) / 2) - self.goals[name]).mean())
        self.agents = []
        return self.goals, rewards, dict.fromkeys(acted, True), dict.fromkeys(acted, False), {name: {} for name in acted}

    def close(self):
        pass


def talk(**methods):
    return lambda: type("Changed", (Talk,), methods)()


def learner_of(make_env, **settings):
    vec = make_vec(make_env, 4)
    return PPO(vec, Config(**dict(num_envs=4, horizon=8, minibatch_size=32, torch_threads=1, norm_adv=False) | settings), seed=0)


def test_the_games_are_pettingzoos():
    for kind in (Talk, Reach):
        parallel_api_test(kind(), num_cycles=20)


# ---------------------------------------------------------------------- rows and actions

def test_agents_with_equal_spaces_are_a_group_and_rows_hold_their_observations():
    vec = make_vec(Talk, 2, seed=3)
    rows = vec.single_observation_space
    assert isinstance(rows, GroupRows) and rows.agents == {"listener_0": "listener_0", "speaker": "speaker", "listener_1": "listener_0"}
    assert list(rows.groups) == ["listener_0", "speaker"] and rows.shape == (32,)           # 8 + 16 bytes, and the number's 8
    assert vec.single_action_space == MultiDiscrete([4, 2])
    vec.reset()
    env = vec.driver.env
    layout = rows.groups["listener_0"].single_observation_space.layout
    assert vec.observations[:, -1].tolist() == [0, 1, 0] * 2
    assert vec.observations[1, :COLOURS].argmax() == env.colour and not vec.observations[1, COLOURS:-1].any()
    vec.step(np.int32([[2, 1]] * 6))
    seen = layout.unpack(vec.observations[[0, 2], :24])
    assert seen["heard"].tolist() == [3, 3] and seen["noise"].all() and len({*seen["noise"].ravel()}) == 4      # words count from 1
    vec.step(np.int32([[2, 1]] * 6))                            # both games end; the second listener is left out of the next one
    assert vec.masks.tolist() == [True, True, False] * 2 and not vec.observations[2].any()
    assert layout.unpack(vec.final_observations[[2], :24])["heard"].tolist() == [3]


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 3), st.integers(0, 1), st.sampled_from(["speaker", "listener_1"]))
def test_each_action_of_the_united_space_is_one_of_the_agent_and_its_own_are_all_there(first, second, agent):
    rows = puffer_min.with_groups(Talk()).rows
    own = ActionLayout(SPEAKER[1] if agent == "speaker" else LISTENER[1]).decode(rows.own_action(agent, np.int32([first, second])))
    if agent == "speaker":
        assert own == 1 + first and SPEAKER[1].contains(own)
    else:
        assert own == {"pick": first % COLOURS, "hop": second} and LISTENER[1].contains(own)


def test_boxes_act_in_units_of_their_own_range():
    rows = puffer_min.with_groups(Reach()).rows
    assert rows.action_space == Box(-1, 1, (3,), np.float32)
    assert rows.own_action("short", np.float32([0.5, 9, 9])).tolist() == [3.5]
    assert rows.own_action("long", np.float32([-1, 0, 1])).tolist() == [-10, 0, 10]


def test_a_box_without_bounds_makes_its_numbers_unbounded():
    free = Box(-np.inf, np.inf, (2,))
    rows = GroupRows({"a": EnvSpec(Box(0, 1, (1,)), free), "b": EnvSpec(Box(0, 1, (1,)), Box(0, 4, (3,)))}, {"a": "a", "b": "b"})
    assert rows.action_space.high.tolist() == [np.inf, np.inf, 1]
    assert rows.own_action("a", np.float32([7, -7, 1])).tolist() == [7, -7] and rows.own_action("b", np.zeros(3)).tolist() == [2, 2, 2]


@pytest.mark.parametrize("backend, workers", [("serial", 1), ("process", 2), ("thread", 2)])
def test_every_backend_gives_the_same_rows(backend, workers):
    with make_vec(Talk, 4, workers, backend, seed=1) as vec, make_vec(Talk, 4, seed=1) as alone:
        assert vec.single_observation_space == alone.single_observation_space
        vec.reset(), alone.reset()
        random = np.random.default_rng(0)
        for _ in range(9):
            actions = random.integers(0, [4, 2], (12, 2), dtype=np.int32)
            vec.step(actions), alone.step(actions)
            assert all(np.array_equal(getattr(vec, name), getattr(alone, name)) for name in ("observations", "rewards", "masks"))


def test_groups_keep_the_contract():
    for kind in (Talk, Reach):
        report = puffer_min.check_environment(kind)
        assert report.ok, report


def test_agents_with_equal_spaces_are_left_as_they_are_unless_groups_are_named():
    class Equal(Talk):
        def observation_space(self, agent):
            return LISTENER[0]
        action_space = observation_space
    env = Equal()
    assert puffer_min.with_groups(env) is env
    with pytest.raises(TypeError, match="Changed has no possible_agents"):
        make_vec(talk(possible_agents=None))
    named = puffer_min.with_groups(env, lambda name: name[:4])
    assert named.rows.agents == {"listener_0": "list", "speaker": "spea", "listener_1": "list"} and len(named.rows.groups) == 2


# ---------------------------------------------------------------------- a network for each group

def shown(vec, steps=20):
    """Rows that living agents saw in some steps of random play."""
    vec.reset(0)
    rows, random = [], np.random.default_rng(0)
    for _ in range(steps):
        vec.step(puffer_min.env.actions.random_actions(vec.single_action_space, vec.num_agents, random))
        rows.append(vec.observations[vec.masks].copy())
    return torch.from_numpy(np.concatenate(rows))


@pytest.mark.parametrize("make_env", [Talk, Reach])
@pytest.mark.parametrize("recurrent", [False, True])
def test_a_forward_pass_is_that_of_each_network_alone(make_env, recurrent):
    with make_vec(make_env, 3) as vec:
        policy, rows = build_policy(puffer_min.make_policy, EnvSpec.of(vec), Config(recurrent=recurrent)), shown(vec)
    space, n = policy.rows, len(rows)
    state = torch.randn(n, policy.initial_state(1).shape[1])
    with torch.no_grad():
        outputs, values, after = policy(rows, state)
        for number, (name, spec) in enumerate(space.groups.items()):
            mine = torch.nonzero(rows[:, -1] == number)[:, 0]
            own = spec.single_observation_space
            plain = rows[mine, :space.sizes[number]].numpy().copy().view(own.dtype).reshape(len(mine), *own.shape)
            expected, worth, memory = policy.network_of(name)(torch.from_numpy(plain), state[mine])
            assert len(mine) > 5 and torch.allclose(values[mine], worth, atol=1e-6)
            assert not recurrent or torch.allclose(after[mine], memory, atol=1e-6)
            found = outputs[:, mine]
            if make_env is Talk:                                # 4 choices and 2; the speaker lacks the second component
                columns, constant = ([0, 1, 2, 4, 5], {3: -np.inf}) if name == "listener_0" else ([0, 1, 2, 3], {4: 0, 5: -np.inf})
            else:
                columns, constant = ([0, 3], dict.fromkeys((1, 2, 4, 5), 0)) if name == "short" else (range(6), {})
            assert torch.allclose(found[list(columns)], expected, atol=1e-6)
            assert all((found[row] == number).all() for row, number in constant.items())


@pytest.mark.parametrize("recurrent", [False, True])
def test_replaying_rows_is_acting_step_by_step(recurrent):
    learner = learner_of(Talk, recurrent=recurrent)
    learner.collect()
    buffer, chosen = learner.buffer, learner.buffer.trained_rows
    batch = buffer.gather(chosen)
    with torch.no_grad():
        outputs, values = learner.policy.replay(batch.observations, batch.states, batch.ends)
        log_probs, _ = learner.policy.distribution.evaluate(outputs, batch.actions)
    assert torch.allclose(values, batch.values, atol=1e-5) and torch.allclose(log_probs, batch.log_probs, atol=1e-5)
    groups = batch.observations.view(len(chosen), 8, -1)[:, :, -1]
    assert (groups == groups[:, :1]).all() and set(groups[:, 0].tolist()) == {0, 1}
    learner.env.close()


@pytest.mark.parametrize("make_env, recurrent", [(Talk, False), (Talk, True), (Reach, False)])
def test_the_gradient_of_a_group_is_that_of_training_it_alone(make_env, recurrent):
    """With PPO's loss: alone, a group's network has its own distribution, its own rows, and the share of the loss that they are."""
    learner = learner_of(make_env, recurrent=recurrent)
    learner.iterate()                                           # away from the first weights
    learner.collect()
    learner.estimate()
    batch, config = learner.buffer.gather(learner.buffer.trained_rows), learner.config

    def gradients(network, batch, share=1.0):
        network.zero_grad(set_to_none=False)
        outputs, values = network.replay(batch.observations, batch.states, batch.ends)
        (share * ppo_loss(config, outputs, values, network.distribution, batch)[0]).backward()
        return {name: p.grad.clone() for name, p in network.named_parameters()}

    together, space = gradients(learner.policy, batch), learner.policy.rows
    for number, (name, spec) in enumerate(space.groups.items()):
        mine, network, own = batch.observations[:, -1] == number, learner.policy.network_of(name), spec.single_observation_space
        rows = mine.view(batch.ends.shape)[:, 0]
        part = batch._replace(**{field: getattr(batch, field)[mine] for field in batch._fields[:7]}, ends=batch.ends[rows],
                              states=batch.states[rows])
        plain = part.observations[:, :space.sizes[number]].numpy().copy().view(own.dtype).reshape(-1, *own.shape)
        acted, log_probs = part.actions, part.log_probs
        if make_env is Reach:                                   # the own Gaussian is in units of the arm; its density is another
            centre, scale, bounded = space.ranges[number]
            size, union = bounded.size, learner.policy.distribution
            lacking = acted[:, size:]
            constant = (-0.5 * lacking.square() - 0.5 * np.log(2 * np.pi)).sum(1) + float(np.log(scale).sum())
            acted = (acted[:, :size] * torch.from_numpy(scale) + torch.from_numpy(centre)).float()
            log_probs = log_probs - constant
            assert union.size == 3
        elif spec.single_action_space == Discrete(WORDS):
            acted = acted[:, 0]
        part = part._replace(observations=torch.from_numpy(plain), actions=acted, log_probs=log_probs)
        alone = gradients(network, part, mine.float().mean())
        for key, gradient in alone.items():
            assert torch.allclose(gradient, together[f"networks.{number}.{key}"], rtol=1e-3, atol=1e-6), (name, key)
        assert any(gradient.abs().max() > 1e-5 for gradient in alone.values())
    learner.env.close()


def test_the_rows_of_one_group_change_nothing_in_the_others_gradient():
    learner = learner_of(Talk)
    learner.collect()
    learner.estimate()
    batch = learner.buffer.gather(learner.buffer.trained_rows)
    speaks = batch.observations[:, -1] == 1
    found = []
    for colour in (0, 1):
        observations = batch.observations.clone()
        observations[speaks, :COLOURS] = torch.eye(COLOURS, dtype=torch.uint8)[colour]
        learner.policy.zero_grad(set_to_none=False)
        outputs, values = learner.policy.replay(observations, batch.states, batch.ends)
        ppo_loss(learner.config, outputs, values, learner.policy.distribution, batch)[0].backward()
        found.append([[p.grad.clone() for p in network.parameters()] for network in learner.policy.networks])
    listening, speaking = zip(*found, strict=True)
    assert all(map(torch.equal, *listening)) and not all(map(torch.equal, *speaking))
    learner.env.close()


def test_choices_that_a_group_lacks_are_never_drawn_and_add_no_entropy():
    with make_vec(Talk, 2) as vec:
        policy, rows = build_policy(puffer_min.make_policy, EnvSpec.of(vec), Config()), shown(vec)
    outputs, _, _ = policy(rows, policy.initial_state(len(rows)))
    speaks, generator = rows[:, -1] == 1, torch.Generator().manual_seed(0)
    drawn = torch.stack([policy.distribution.sample(outputs, generator)[0] for _ in range(200)])
    assert (drawn[:, speaks, 1] == 0).all() and set(drawn[:, speaks, 0].unique().tolist()) == {0, 1, 2, 3}
    assert set(drawn[:, ~speaks, 0].unique().tolist()) == {0, 1, 2} and set(drawn[:, ~speaks, 1].unique().tolist()) == {0, 1}
    _, entropy = policy.distribution.evaluate(outputs, drawn[0])
    assert entropy[speaks].max() <= np.log(WORDS) + 1e-5 and entropy[~speaks].max() <= np.log(COLOURS * 2) + 1e-5


def test_masks_of_the_agents_own_actions_reach_the_learner(tmp_path):
    """The environment asserts it."""
    with make_vec(Masked, 1) as vec:
        vec.reset(0)
        assert vec.action_masks().tolist() == [[True] * 3 + [False, True, False], [False, True, True, True, True, False], [True] * 6]
    result = puffer_min.train(Masked, total_steps=960, run_dir=tmp_path, **QUICK)
    assert puffer_min.evaluate(Masked, result.policy, episodes=12)["episodes"] >= 12


# ---------------------------------------------------------------------- training

@pytest.mark.parametrize("settings", [{}, {"recurrent": True}], ids=["", "lstm"])
def test_a_speaker_and_listeners_learn_to_talk(tmp_path, settings):
    """By chance the listener is right in a third of the games."""
    result = puffer_min.train(Talk, seed=1, total_steps=24_000, num_envs=32, horizon=8, minibatch_size=256, update_epochs=4,
                              learning_rate=0.01, backend="serial", torch_threads=1, run_dir=tmp_path, **settings)
    assert result.history[0]["episode_return"] < 0.45 and result.history[-1]["episode_return"] > 0.85
    speaker, listener = (puffer_min.load_policy(result.checkpoint, greedy=True).of(name) for name in ("speaker", "listener_1"))
    words = [speaker.act(colour) for colour in range(COLOURS)]
    assert len(set(words)) == COLOURS and all(type(word) is int for word in words)      # rows count from 0, words from 1
    if not settings:
        said = [{"heard": word + 1, "noise": np.zeros(2)} for word in words]
        assert [ActionLayout(LISTENER[1]).decode(listener.act(heard))["pick"] for heard in said] == list(range(COLOURS))


@pytest.mark.parametrize("policy", [None, puffer_min.bounded_policy])
def test_arms_of_different_lengths_learn_to_reach(tmp_path, policy):
    """Both start about 1 from the goal; all of the range is 2."""
    result = puffer_min.train(Reach, policy=policy, seed=0, total_steps=20_000, num_envs=64, horizon=8, minibatch_size=256,
                              learning_rate=5e-3, ent_coef=0.0, backend="serial", torch_threads=1, run_dir=tmp_path)
    assert result.history[0]["episode_return"] < -0.6 and result.history[-1]["episode_return"] > -0.35
    arm = puffer_min.load_policy(result.checkpoint, greedy=True).of("long")
    assert np.abs(arm.act(np.float32([0.5, -0.5, 0])) - [5, -5, 0]).max() < 3            # in its own units, of 20
    moments = [network.encoder.moments for network in result.policy.policy.networks]
    assert [list(moment.mean.shape) for moment in moments] == [[1], [3]] and all(moment.count > 1000 for moment in moments)


def test_a_resumed_run_has_the_same_weights_and_the_policy_survives_a_file(tmp_path):
    whole = puffer_min.train(Talk, seed=2, total_steps=1_920, run_dir=tmp_path / "whole", **QUICK)
    half = puffer_min.train(Talk, seed=2, total_steps=1_920, run_dir=tmp_path / "half", callbacks=[Halfway()], **QUICK)
    assert half.history[-1]["step"] < whole.history[-1]["step"]
    gone_on = puffer_min.train(Talk, resume=half.checkpoint, run_dir=tmp_path / "half")
    for one, other in zip(whole.policy.policy.parameters(), gone_on.policy.policy.parameters(), strict=True):
        assert torch.equal(one, other)
    loaded = puffer_min.load_policy(gone_on.checkpoint)
    assert loaded.policy.spec.single_observation_space == gone_on.policy.policy.spec.single_observation_space
    with pytest.raises(CheckpointError, match="is a checkpoint of GroupRows.*expected one of Box"):
        puffer_min.train(make_vec(lambda: type("Talk", (Pool,), {})(), 4), resume=gone_on.checkpoint)


class Halfway(puffer_min.Callback):
    def update(self, run, numbers):
        if run.learner.updates == 10:
            run.stop("half of it")


class Pool(ParallelEnv):
    """Two agents with equal spaces."""

    metadata, possible_agents = {}, ["a", "b"]

    def observation_space(self, agent):
        return Box(0, 1, (2,), np.float32)

    def action_space(self, agent):
        return Discrete(2)

    def reset(self, seed=None, options=None):
        self.agents = ["a", "b"]
        return {name: np.zeros(2, np.float32) for name in self.agents}, {name: {} for name in self.agents}

    def step(self, actions):
        acted, self.agents = self.agents, []
        rewards = {name: float(action == (name == "b")) for name, action in actions.items()}
        return ({name: np.zeros(2, np.float32) for name in acted}, rewards, dict.fromkeys(acted, True), dict.fromkeys(acted, False),
                {name: {} for name in acted})

    def close(self):
        pass


def test_agents_with_equal_spaces_learn_apart_where_groups_are_named(tmp_path):
    """What is right for one is wrong for the other, and they see the same: one network gets half of it."""
    settings = dict(total_steps=12_000, num_envs=16, horizon=8, minibatch_size=128, ent_coef=0.0, learning_rate=0.02, backend="serial",
                    torch_threads=1)
    apart = puffer_min.train(lambda: puffer_min.with_groups(Pool(), str), run_dir=tmp_path / "apart", **settings)
    shared = puffer_min.train(Pool, run_dir=tmp_path / "shared", **settings)
    assert apart.history[-1]["episode_return"] > 0.95 and shared.history[-1]["episode_return"] < 0.65
    assert [apart.policy.of(name).act(np.zeros(2, np.float32)) for name in "ab"] == [0, 1]


class Linear(nn.Module):
    """A network of one's own, made for the spaces of each group."""

    made = []

    def __init__(self, spec, config):
        super().__init__()
        self.made.append(spec)
        self.distribution = distribution_of(spec.single_action_space)
        self.layer = nn.Linear(int(np.prod(spec.single_observation_space.shape)), self.distribution.num_outputs + 1)

    def initial_state(self, num_agents):
        return torch.zeros(num_agents, self.distribution.num_outputs)       # a memory of another size in each group

    def forward(self, observations, state):
        both = self.layer(observations.flatten(1).float()).t()
        return both[:-1], both[-1], state + 1

    def replay(self, observations, states, ends):
        return self.forward(observations, states)[:2]


def test_a_factory_makes_a_network_for_each_group(tmp_path):
    result = puffer_min.train(Talk, policy=Linear, total_steps=192, run_dir=tmp_path, whole_rows=True, **QUICK)
    assert [spec.single_action_space for spec in Linear.made[:2]] == [MultiDiscrete([3, 2]), Discrete(4)]
    state = result.policy.policy.initial_state(2)
    rows = torch.zeros(2, 32, dtype=torch.uint8)
    rows[1, -1] = 1
    assert result.policy.policy(rows, state)[2].sum(1).tolist() == [5, 4] and state.shape == (2, 5)


# ---------------------------------------------------------------------- out of it, and bad input

def test_the_network_of_an_agent_is_exported_and_the_whole_policy_is_refused_in_a_sentence(tmp_path):
    result = puffer_min.train(Talk, total_steps=192, run_dir=tmp_path, **QUICK)
    with pytest.raises(ValueError, match=r"several groups of agents given, expected the network of one: export\(policy.of\('listener_0'\)"):
        puffer_min.export(result.checkpoint, tmp_path / "all.pt2")
    program = torch.export.load(puffer_min.export(result.policy.of("speaker"), tmp_path / "speaker.pt2")).module()
    colours = np.eye(COLOURS, dtype=np.uint8)
    speaker = puffer_min.load_policy(result.checkpoint, greedy=True).of("speaker")
    assert program(torch.from_numpy(colours))[0].tolist() == speaker.act(colours).tolist() == [speaker.act(i) for i in range(COLOURS)]


def test_spaces_of_groups_survive_a_file(tmp_path):
    for kind in (Talk, Reach):
        rows = puffer_min.with_groups(kind()).rows
        torch.save(pack_space(rows), tmp_path / "space.pt")
        again = unpack_space(torch.load(tmp_path / "space.pt", weights_only=True))
        assert again == rows and again.action_space == rows.action_space and repr(again) == repr(rows)
    assert puffer_min.with_groups(Talk()).rows != rows


def test_an_actor_of_all_groups_asks_for_the_agent():
    with make_vec(Talk, 1) as vec:
        actor = Actor(build_policy(puffer_min.make_policy, EnvSpec.of(vec), Config()))
        vec.reset(0)
        assert actor.act(vec.observations).shape == (3, 2)
    with pytest.raises(TypeError, match=r"int given to the policy of all groups.*policy.of\('listener_0'\).act\(observation\)"):
        actor.act(2)
    with pytest.raises(ValueError, match="agent 'toad' given, expected one of listener_0, speaker, listener_1"):
        actor.of("toad")
    with pytest.raises(ValueError, match=r"of\('speaker'\) given for a policy that all agents share"):
        actor.of("speaker").of("speaker")


def test_what_cannot_be_taken_is_said_in_a_sentence():
    with pytest.raises(TypeError, match="group all: agent speaker has the spaces .*expected those of its first agent"):
        make_vec(lambda: puffer_min.with_groups(Talk(), lambda name: "all"))
    with pytest.raises(TypeError, match="the actions of listener_0 are whole numbers and those of speaker a Box, expected one kind"):
        make_vec(talk(action_space=lambda self, agent: Box(0, 1, (2,)) if agent == "speaker" else LISTENER[1]))
    with pytest.raises(ValueError, match="257 groups of agents given, expected at most 256"):
        make_vec(talk(possible_agents=list(range(257)), observation_space=lambda self, agent: Discrete(2 + agent)))
    with pytest.raises(TypeError, match="observation_space of speaker is .*puffer_min.with_groups"):
        PettingZooEnv(Talk())
    with pytest.raises(TypeError, match="frame_stack=2 given for structured observations"):
        make_vec(Talk, 1, frame_stack=2)
    vec = make_vec(Talk)
    with pytest.raises(TypeError, match="agents of several groups given, expected agents with equal spaces"):
        puffer_min.as_gymnasium_vector(vec)

    def seen(self):
        return {name: 9 if name == "speaker" else {"heard": 0, "noise": np.zeros(2)} for name in self.agents}
    with pytest.raises(ValueError, match="agent speaker, observation: 9 given, expected a whole number from 0 to 2"):
        make_vec(talk(seen=seen)).reset(0)
    for mask, said in (([1, 1], r"array\(\[1, 1\]\)"), ([0, 1, 2, 1], r"array\(\[0, 1, 2, 1\]\)"), ([1, [1, 1]], r"\[1, \[1, 1\]\]")):
        vec = make_vec(talk(action_masks={"speaker": mask}))
        with pytest.raises(TypeError, match=rf"the action mask of agent speaker is {said}, expected \(4,\): a truth value"):
            vec.reset(0)
    for other in ([1, 1, 1, 1], {"toad": [1]}):
        with pytest.raises(TypeError, match="expected a dict, agent -> mask, of possible_agents: listener_0, speaker"):
            make_vec(talk(action_masks=lambda self, other=other: other)).reset(0)
    assert not make_vec(talk(action_masks=None)).masks_actions

    def mixed(spec, config):
        policy = puffer_min.make_policy(spec, config)
        if spec.single_action_space == Discrete(WORDS):
            policy.distribution = type("Other", (type(policy.distribution),), {})((WORDS,), ())
        return policy
    with make_vec(Talk) as vec, pytest.raises(ValueError, match="networks with .*Other.*, expected one kind of distribution"):
        build_policy(mixed, EnvSpec.of(vec), Config())
    with make_vec(Talk) as vec, pytest.raises(ValueError, match="encoder='nature' given|needs a picture"):
        build_policy(puffer_min.make_policy, EnvSpec.of(vec), dataclasses.replace(Config(), encoder="nature"))


def test_an_environment_of_turns_is_taken_where_all_may_act_at_once():
    from pettingzoo.utils.conversions import parallel_to_aec
    with make_vec(lambda: parallel_to_aec(Talk()), 1) as vec:
        vec.reset(0)
        for _ in range(8):
            vec.step(np.int32([[3, 1]] * 3))
        assert vec.log()["n"] >= 4


class Duel(ParallelEnv):
    """Red names a number of three that it sees, blue one of four that is marked in a vector; the larger return of four steps has won."""

    metadata, possible_agents, decided_by_return = {"name": "duel"}, ["red", "blue"], True

    def observation_space(self, agent):
        return Discrete(3) if agent == "red" else Box(-1, 1, (5,), np.float32)

    def action_space(self, agent):
        return Discrete(3) if agent == "red" else Discrete(4)

    def seen(self):
        self.right = {"red": int(self.random.integers(3)), "blue": int(self.random.integers(4))}
        return {"red": self.right["red"], "blue": np.float32(np.arange(5) == self.right["blue"])}

    def reset(self, seed=None, options=None):
        if seed is not None:
            self.random = np.random.default_rng(seed)
        self.agents, self.time = list(self.possible_agents), 0
        return self.seen(), {name: {} for name in self.agents}

    def step(self, actions):
        rewards = {name: float(actions[name] == right) for name, right in self.right.items()}
        self.time += 1
        acted, over = self.agents, self.time == 4
        self.agents = [] if over else acted
        return self.seen(), rewards, dict.fromkeys(acted, over), dict.fromkeys(acted, False), {name: {} for name in acted}

    def close(self):
        pass


def plays_well(policy):
    """Whether both networks answer right to all that they may see."""
    red, blue = policy.of("red"), policy.of("blue")
    return ([red.act(i) for i in range(3)], [blue.act(np.float32(np.arange(5) == i)) for i in range(4)]) == ([0, 1, 2], [0, 1, 2, 3])


def test_groups_learn_against_past_policies_and_resume_exactly(tmp_path):
    settings = dict(QUICK, num_envs=16, learning_rate=0.01, update_epochs=4, minibatch_size=64, opponents=["uniform", "scripted:random"])
    whole = puffer_min.train(Duel, seed=1, total_steps=6_720, run_dir=tmp_path / "whole", **settings)
    half = puffer_min.train(Duel, seed=1, total_steps=6_720, run_dir=tmp_path / "half", callbacks=[Halfway()], **settings)
    gone_on = puffer_min.train(Duel, resume=half.checkpoint, run_dir=tmp_path / "half")
    assert all(map(torch.equal, whole.policy.policy.parameters(), gone_on.policy.policy.parameters()))
    assert plays_well(puffer_min.load_policy(whole.checkpoint, greedy=True))
    standings = puffer_min.arena(Duel, {"learned": whole.checkpoint, "random": "scripted:random"}, games=40)
    assert standings.payoff[0, 1] > 0.8


@pytest.mark.parametrize("recurrent", [False, True])
def test_groups_learn_in_environments_that_are_not_waited_for(tmp_path, recurrent):
    settings = dict(QUICK, num_envs=16, backend="process", num_workers=2, batch_envs=8, learning_rate=0.01, update_epochs=4, minibatch_size=64)
    settings |= {"recurrent": recurrent, "whole_rows": recurrent, "separate_critic": False}
    result = puffer_min.train(Duel, total_steps=8_000, run_dir=tmp_path, **settings)
    assert plays_well(puffer_min.load_policy(result.checkpoint, greedy=True)) or recurrent
    assert result.history[-1]["episode_return"] > 3.7           # of 4; by chance 1.2
    assert puffer_min.train(Duel, resume=result.checkpoint, total_steps=8_640, run_dir=tmp_path).history[-1]["episode_return"] > 3.7


def test_a_place_in_the_observation_that_tells_whose_turn_it_is_needs_one_array(tmp_path):
    with pytest.raises(ValueError, match="turn_flag=-1 given for observations of several kinds, expected one array in which it is a place"):
        puffer_min.train(type("Turns", (Duel,), {"turn_flag": -1}), opponents="latest", total_steps=192, run_dir=tmp_path, **QUICK)


def test_a_copy_is_made_of_the_wrapper_and_not_of_the_environment_alone():
    """Checkpoints copy environments; one that copies itself has a method for it, which is not the wrapper's."""
    for wrap in (puffer_min.with_groups, puffer_min.masks_from_info):
        wrapped = wrap(type("Copied", (Talk,), {"__deepcopy__": lambda self, memo: type(self)()})())
        again = copy.deepcopy(wrapped)
        assert type(again) is type(wrapped) and type(again.env) is type(wrapped.env) and again.env is not wrapped.env
