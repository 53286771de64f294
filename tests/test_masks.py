"""Legal actions of other people's environments reach the learner, evaluation and play, from a method or from the info."""

import gymnasium
import numpy as np
import pytest
from gymnasium.spaces import Box, Dict, Discrete, MultiDiscrete

import puffer_min
from puffer_min.emulation.gymnasium_env import GymnasiumEnv
from puffer_min.emulation.pettingzoo_env import PettingZooEnv
from puffer_min.env.actions import legal_actions
from puffer_min.vector import make_vec

BACKENDS = [("serial", 1), ("process", 2), ("thread", 2)]


class Clock(gymnasium.Env):
    """Only the action that is equal to the time is legal, or with two components the time and its successor; anything else raises."""

    def __init__(self, sizes=(5,), tells="method"):
        self.action_space = Discrete(sizes[0]) if len(sizes) == 1 else MultiDiscrete(sizes)
        self.sizes, self.tells = sizes, tells
        self.observation_space = Box(0, 99, (1,), np.float32)
        if tells == "observation":
            self.observation_space = Dict(clock=self.observation_space, action_mask=Box(0, 1, (sum(sizes),), np.int8))

    def mask(self):
        return np.concatenate([np.arange(size) == (self.t + i) % size for i, size in enumerate(self.sizes)]).astype(np.int8)

    def results(self):
        clock = np.float32([self.t])
        info = {"action_mask": self.mask()} if self.tells == "info" else {}
        return ({"clock": clock, "action_mask": self.mask()} if self.tells == "observation" else clock), info

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.t = 0
        return self.results()

    def step(self, action):
        assert np.array_equal(np.ravel(action), [(self.t + i) % size for i, size in enumerate(self.sizes)]), "an illegal action"
        self.t += 1
        observation, info = self.results()
        return observation, 1.0, self.t == 7, False, info


class Masked(Clock):
    def action_masks(self):
        return self.mask()


WAYS = {
    "method": Masked, "behind wrappers": lambda **s: gymnasium.wrappers.TimeLimit(Masked(**s), 99),
    "info": lambda **s: puffer_min.masks_from_info(Clock(tells="info", **s)),
    "observation": lambda **s: puffer_min.masks_from_info(Clock(tells="observation", **s)),
}


@pytest.mark.parametrize("sizes", [(5,), (3, 4)], ids=str)
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("backend, workers", BACKENDS)
def test_masks_follow_every_step_and_every_reset(way, backend, workers, sizes):
    with make_vec(WAYS[way], 4, workers, backend, sizes=sizes) as vec:
        for _ in range(2):
            vec.reset(0)
            for t in range(20):
                expected = np.concatenate([np.arange(size) == (t % 7 + i) % size for i, size in enumerate(sizes)])
                assert vec.masks_actions and np.array_equal(vec.action_masks(), [expected] * 4)
                vec.step(np.array([[(t % 7 + i) % size for i, size in enumerate(sizes)]] * 4, np.int32).reshape(vec.actions.shape))


@pytest.mark.parametrize("way", ["method", "info"])
def test_learning_evaluating_and_acting_take_only_legal_actions(tmp_path, way):
    """The environment asserts it."""
    result = puffer_min.train(WAYS[way], total_steps=512, num_envs=4, horizon=16, torch_threads=1, run_dir=tmp_path)
    report = puffer_min.evaluate(WAYS[way], result.policy, episodes=5)
    assert report["episode_return"] == 7
    policy, env = puffer_min.load_policy(result.checkpoint), Masked()
    observation, _ = env.reset()
    for _ in range(7):
        observation, *_ = env.step(policy.act(observation, env.action_masks().astype(bool)))


def test_an_environment_without_masks_masks_nothing():
    with make_vec(lambda: gymnasium.make("CartPole-v1"), 2) as vec:
        vec.reset()
        assert not vec.masks_actions and legal_actions(vec) is None


def test_taxi_tells_its_legal_moves_in_the_info(tmp_path):
    env = puffer_min.masks_from_info(gymnasium.make(next(name for name in sorted(gymnasium.registry) if name.startswith("Taxi-v"))))
    with make_vec(lambda: env) as vec:
        vec.reset(0)
        for _ in range(30):
            info = env.unwrapped.action_mask(env.unwrapped.s)
            assert np.array_equal(vec.action_masks()[0], info == 1) and not (info == 1).all()
            vec.step(vec.action_masks().argmax(1).astype(np.int32))


@pytest.mark.parametrize("mask, given", [
    (np.ones(4), r"float64 \(4,\), array.*"), (None, r"object \(\), .*"), ([[1] * 5], r"int64 \(1, 5\), .*"), ([[1], [1, 1]], r"\[\[1\], \[1, 1\]\]"),
    (np.array([0, -np.inf, 0, 0, 0]), r"array\(.*-inf.*"), (np.array([1, np.nan, 0, 0, 0]), r"array\(.*nan.*"), ({"a": [1] * 5}, r"object \(\).*")], ids=str)
def test_a_mask_of_another_size_or_of_other_values_is_refused_in_a_sentence(mask, given):
    class Wrong(Clock):
        def action_masks(self):
            return mask
    env = GymnasiumEnv(Wrong())
    env.reset()
    with pytest.raises(TypeError, match=rf"action_masks of Wrong gave {given}, expected \(5,\): a truth value for each choice"):
        env.action_masks()


def test_an_info_without_the_mask_is_refused_with_its_keys():
    with make_vec(lambda: puffer_min.masks_from_info(Clock(), "legal")) as vec:
        with pytest.raises(ValueError, match="no mask 'legal' given, but an info with nothing: expected a truth value"):
            vec.reset()


class Turns:
    """A parallel environment: agent i may do all but action i; b leaves after two steps, the game ends after four."""

    metadata, possible_agents = {}, ["a", "b", "c"]

    def observation_space(self, agent):
        return Box(0, 9, (1,), np.float32)

    def action_space(self, agent):
        return Discrete(3)

    def told(self):
        return {name: np.float32([self.t]) for name in self.agents}, {
            name: {"action_mask": np.arange(3) != self.possible_agents.index(name)} for name in self.agents if name != "c"} | {
            "c": {"action_mask": np.arange(3) != 2}}

    def reset(self, seed=None, options=None):
        self.t, self.agents = 0, list(self.possible_agents)
        return self.told()

    def step(self, actions):
        assert all(self.possible_agents.index(name) != action for name, action in actions.items()), "an illegal action"
        self.t += 1
        living = list(self.agents)
        observations, infos = self.told()
        ends = {name: self.t == 4 or (self.t == 2 and name == "b") for name in living}
        self.agents = [name for name in living if not ends[name]]
        return observations, dict.fromkeys(living, 1.0), ends, dict.fromkeys(living, False), infos

    def close(self):
        pass


def test_the_masks_of_agents_that_come_and_go_are_in_their_slots(tmp_path):
    with make_vec(lambda: puffer_min.masks_from_info(Turns()), 2) as vec:
        vec.reset(0)
        for t in range(12):
            masks = legal_actions(vec)
            there = [True, t % 4 < 2, True]
            assert np.array_equal(masks, [[True] * 3 if not lives else np.arange(3) != i for i, lives in enumerate(there)] * 2)
            vec.step(masks.argmax(1).astype(np.int32))
    puffer_min.train(lambda: puffer_min.masks_from_info(Turns()), total_steps=192, num_envs=2, horizon=8, torch_threads=1, run_dir=tmp_path)


@pytest.mark.parametrize("masks", [np.ones(3, bool), None, {"d": np.ones(3, bool)}], ids=["array", "None", "stranger"])
def test_masks_of_named_agents_are_a_dict_of_their_names(masks):
    env = PettingZooEnv(Turns())
    env.env.action_masks, env.masks_actions = lambda: masks, True
    with pytest.raises(TypeError, match="action_masks of Turns gave .* expected a dict, agent -> mask, of possible_agents: a, b, c"):
        env.action_masks()


def test_masks_that_are_an_attribute_are_heeded_too():
    class Fixed(Clock):
        action_masks = [0, 1, 0, 0, 0]
    env = GymnasiumEnv(Fixed())
    assert env.masks_actions and env.action_masks().tolist() == [[False, True, False, False, False]]


@pytest.mark.parametrize("told, error, sentence", [
    (((0,), 1.0, False, False), TypeError, "Terse: step gave 4 values, expected"), (((0,), 1.0, False, False, None), TypeError, "Terse: step gave an info of type None"),
    (((0,), 1.0, False, False, {}), ValueError, "no mask 'action_mask' given, but an info with nothing")], ids=["four", "None", "empty"])
def test_a_step_that_tells_no_mask_is_refused_in_a_sentence(told, error, sentence):
    class Terse(Clock):
        def step(self, action):
            return told
    env = puffer_min.masks_from_info(Terse())
    with pytest.raises(error, match=sentence):
        env.step(0)


class Absent(puffer_min.PufferEnv):
    """Two agents, who are there in the steps of `there`, counted from the last reset; those who are may do `legal` of three actions."""

    single_observation_space, single_action_space, num_agents, there, legal = Box(0, 1, (2,)), Discrete(3), 2, range(0), (True, True, True)

    def reset(self, seed=None):
        self.begin_reset(seed)
        self.t, self.observations[:] = 0, 1
        self.masks[:] = self.t in self.there
        return self.observations, []

    def step(self, actions):
        self.begin_step(actions)
        self.t += 1
        self.terminals[:] = self.masks if self.t % 5 == 0 else False
        self.masks[:] = self.t in self.there
        return self.finish_step()

    def action_masks(self):
        return np.array([(True, True, True), self.legal])


QUICK = dict(total_steps=256, num_envs=4, horizon=8, minibatch_size=64, torch_threads=1)


@pytest.mark.parametrize("settings", [{"backend": "serial"}, {"backend": "process", "num_workers": 2, "batch_envs": 2}], ids=["serial", "as they are ready"])
def test_agents_who_stay_away_for_ever_end_a_run_with_a_sentence(tmp_path, settings):
    for there in (range(0), range(20)):                         # never there; gone after two updates
        with pytest.raises(ValueError, match="masks: no agent was there in the last 1,000 steps, expected some: set masks to True"):
            puffer_min.train(type("Gone", (Absent,), {"there": there}), run_dir=tmp_path / str(len(there)), **QUICK | settings)


def test_agents_who_stay_away_for_a_while_are_waited_for(tmp_path):
    result = puffer_min.train(type("Late", (Absent,), {"there": range(500, 2000)}), run_dir=tmp_path, backend="serial", **QUICK)
    assert result.history[-1]["step"] == 256


def test_evaluation_and_the_check_name_an_environment_without_agents():
    player = type("Player", (), {"act": lambda self, rows: np.zeros(len(rows), np.int32)})()
    with pytest.raises(ValueError, match="masks: no agent was there in the last 1,000 steps"):
        puffer_min.evaluate(Absent, player)
    lines = puffer_min.check_environment(Absent, steps=100).lines
    found = next(line for line in lines if line.name == "dead rows")
    assert (found.verdict, found.sentence) == ("problem", "no row holds an agent in 2000 steps of random play; set masks to True in the rows of agents")


@pytest.mark.parametrize("settings", [{"backend": "serial"}, {"backend": "process", "num_workers": 2, "batch_envs": 2}], ids=["serial", "as they are ready"])
def test_an_agent_who_may_do_nothing_is_named_and_told_what_to_do(tmp_path, settings):
    Stuck = type("Stuck", (Absent,), {"there": range(9999), "legal": (False,) * 3})
    with pytest.raises(ValueError, match="agent 1 has no legal action in component 0, .*: allow one without effect, or clear its env.masks"):
        puffer_min.train(Stuck, run_dir=tmp_path, **QUICK | settings)
