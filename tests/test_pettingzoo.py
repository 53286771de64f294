"""PettingZoo's environments behind the contract: slots that stay, agents that come and go, each with episodes of its own."""

import gymnasium
import numpy as np
import pytest
from gymnasium.spaces import Box, Dict, Discrete, MultiDiscrete
from pettingzoo import AECEnv, ParallelEnv
from pettingzoo.test import parallel_api_test
from pettingzoo.utils.conversions import parallel_to_aec

import puffer_min
from puffer_min.emulation.pettingzoo_env import PettingZooEnv
from puffer_min.vector import make_vec


class Pond(ParallelEnv):
    """Frogs at a pond. Frog k leaves after 3 + k steps, the last two by time; frog 2 comes only on the second step."""

    metadata = {"name": "pond"}
    possible_agents = [f"frog_{k}" for k in range(4)]

    def observation_space(self, agent):
        return SPACES[0]

    def action_space(self, agent):
        return SPACES[1]

    def reset(self, seed=None, options=None):
        if seed is not None:
            self.random = np.random.default_rng(seed)
        self.agents, self.time, self.lucky = ["frog_0", "frog_1", "frog_3"], 0, self.random.integers(100)
        return {name: self.look(name) for name in self.agents}, {name: {} for name in self.agents}

    def look(self, name):
        return {"time": np.float32([self.time]), "who": self.possible_agents.index(name), "lucky": np.float32([self.lucky / 100])}

    def step(self, actions):
        assert set(actions) == set(self.agents), (actions, self.agents)
        assert all(SPACES[1].contains(action) for action in actions.values())
        self.time += 1
        acted, rewards = list(self.agents), {name: float(action["hop"]) for name, action in actions.items()}
        over = {name: self.time >= 3 + self.possible_agents.index(name) for name in acted}
        cut = {name: over[name] and name in ("frog_2", "frog_3") for name in acted}
        ended = {name: over[name] and not cut[name] for name in acted}
        self.agents = [name for name in acted if not over[name]]
        if self.time == 2:
            self.agents.append("frog_2")
        seen = {name: self.look(name) for name in {*acted, *self.agents}}
        flags = dict.fromkeys(self.agents, False)
        return seen, dict.fromkeys(self.agents, 0.0) | rewards, flags | ended, flags | cut, {name: {} for name in seen}

    def close(self):
        self.closed = True


SPACES = Dict(time=Box(0, 9, (1,)), who=Discrete(4), lucky=Box(0, 1, (1,))), Dict(hop=Discrete(3), croak=Discrete(2))


class Croaking(Pond):
    """The pond; each frog's info tells how long it stayed."""

    def step(self, actions):
        *results, infos = super().step(actions)
        return *results, {name: {"stayed": self.time} for name in infos}


def test_numbers_of_the_last_info_are_logged_for_each_agent():
    vec = make_vec(lambda: PettingZooEnv(Croaking(), info_keys=["stayed"]), 2, report_interval=0)
    vec.reset(0)
    for _ in range(30):                                             # five times until the last frog has left
        vec.step(np.zeros((vec.num_agents, 2), np.int32))
    log = vec.log()
    assert log["n"] == 2 * 4 * 5 and log["stayed"] == (3 + 4 + 5 + 6) / 4


def made(seed=0):
    env = PettingZooEnv(Pond())
    env.reset(seed)
    return env


def hop(env, *hops):
    return env.step(np.int32([[0, 0]] * 4 if not hops else [[h, 0] for h in hops]))


def seen(env, rows=None):
    return env.layout.unpack(env.observations if rows is None else rows)


def test_the_pond_is_a_pettingzoo_environment():
    parallel_api_test(Pond(), num_cycles=20)


def test_slots_without_an_agent_are_masked_and_zero():
    env = made()
    assert env.masks.tolist() == [True, True, False, True] and env.observations[0].any() and not env.observations[2].any()
    assert seen(env)["who"][[0, 1, 3]].tolist() == [0, 1, 3]


def test_an_agent_that_comes_later_gets_its_own_slot():
    env = made()
    hop(env)
    assert not env.masks[2]
    hop(env)
    assert env.masks.all() and seen(env)["who"].tolist() == [0, 1, 2, 3] and seen(env)["time"].ravel().tolist() == [2] * 4


def test_each_agents_episode_ends_by_itself_with_its_last_observation():
    env = made()
    for _ in range(2):
        hop(env, 1, 0, 2, 0)
        assert not (env.terminals | env.truncations).any()
    hop(env, 1, 0, 2, 0)
    assert env.terminals.tolist() == [True, False, False, False] and not env.truncations.any()
    assert env.rewards.tolist() == [1, 0, 2, 0] and env.masks.tolist() == [False, True, True, True]
    last = seen(env, env.final_observations)
    assert last["who"][0] == 0 and last["time"][0, 0] == 3 and not env.observations[0].any()
    hop(env, 1, 0, 2, 0)
    assert env.terminals.tolist() == [False, True, False, False] and env.rewards[0] == 0      # an empty slot acts on nobody


def test_when_all_are_gone_the_environment_starts_anew_in_the_same_step():
    env = made()
    lucky = seen(env)["lucky"][0, 0]
    for _ in range(6):
        hop(env)
    assert env.truncations.tolist() == [False, False, False, True]
    assert env.masks.tolist() == [True, True, False, True] and seen(env)["time"][0, 0] == 0
    assert seen(env, env.final_observations)["time"][3, 0] == 6 and seen(env)["lucky"][0, 0] != lucky


def test_log_counts_an_episode_for_each_agent():
    env = made()
    for _ in range(6):
        hop(env, 1, 1, 1, 1)
    log = env.log()
    assert log["n"] == 4 and log["episode_return"] == np.mean([3, 4, 3, 6])
    assert log["episode_length"] == np.mean([3, 4, 3, 6])           # frog_2 came on the second step, and acted from the third


def test_pettingzoo_environments_keep_the_contract():
    report = puffer_min.check_environment(Pond)
    assert report.ok, report


def test_a_batch_of_ponds_is_the_same_however_it_is_split():
    vec, alone = make_vec(Pond, 3, seed=5), make_vec(Pond, 1, seed=5)
    vec.reset()
    alone.reset()
    random = np.random.default_rng(0)
    for _ in range(40):
        actions = random.integers(0, [3, 2], (12, 2), dtype=np.int32)
        vec.step(actions)
        alone.step(actions[:4])
        for name in ("observations", "rewards", "terminals", "truncations", "masks"):
            assert np.array_equal(getattr(vec, name)[:4], getattr(alone, name)), name
    assert len({row.tobytes() for row in vec.observations[[3, 7, 11]]}) == 3


def test_saved_state_goes_on():
    env = made()
    hop(env)
    saved = env.get_state()
    expected = [hop(env)[0].copy() for _ in range(9)]
    env.set_state(saved)
    assert all(np.array_equal(part, hop(env)[0]) for part in expected)


def test_environments_of_turns_are_taken_where_all_may_act_at_once():
    aec = parallel_to_aec(Pond())
    assert isinstance(aec, AECEnv)
    env = PettingZooEnv(aec)
    env.reset(0)
    for _ in range(30):
        hop(env)
    assert env.log()["n"] >= 10
    aec.metadata = {"is_parallelizable": False}
    with pytest.raises(TypeError, match="AECEnv that is not parallelizable"):
        PettingZooEnv(aec)


def test_training_on_agents_that_come_and_go_learns(tmp_path):
    result = puffer_min.train(Pond, seed=0, total_steps=40_000, num_envs=32, horizon=16, minibatch_size=512, torch_threads=1,
                              run_dir=tmp_path)
    assert result.history[0]["episode_return"] < 5.5 < 7.3 < result.history[-1]["episode_return"]     # 4 by chance, 8 at best


def test_closing_closes_the_environment():
    env = made()
    env.close()
    env.close()
    assert env.env.closed


def broken(**methods):
    return type("Broken", (Pond,), methods)()


def test_what_is_wrong_is_said_with_the_agents_name():
    with pytest.raises(TypeError, match="observation_space of frog_3 is .* expected that of frog_0"):
        PettingZooEnv(broken(observation_space=lambda self, name: Discrete(3 + (name == "frog_3"))))
    for none in ([], None):
        with pytest.raises(TypeError, match="Broken has no possible_agents"):
            PettingZooEnv(broken(possible_agents=none))
    with pytest.raises(ValueError, match="agent frog_0 has no observation in this step"):
        PettingZooEnv(broken(reset=lambda self, seed=None: (list(Pond.reset(self, seed)[0].values()), {}))).reset(0)

    class Silent(Pond):
        def step(self, actions):
            seen, rewards, *rest = super().step(actions)
            rewards.pop("frog_1")
            return seen, rewards, *rest

    class Vanishing(Pond):
        def step(self, actions):
            results = super().step(actions)
            self.agents = [name for name in self.agents if name != "frog_1"]
            return results

    class Wrong(Pond):
        def look(self, name):
            return super().look(name) | ({"who": 9} if name == "frog_1" else {})

    class Unknown(Pond):
        def step(self, actions):
            results = super().step(actions)
            self.agents.append("toad")
            return results

    for kind, sentence in ((Silent, "agent frog_1 has no reward in this step"),
                           (Vanishing, "agent frog_1 left without termination or truncation"),
                           (Wrong, r"agent frog_1, observation\['who'\]: 9 given, expected a whole number from 0 to 3"),
                           (Unknown, "agent toad given in agents, expected one of possible_agents: frog_0")):
        env = PettingZooEnv(kind())
        with pytest.raises(ValueError, match=sentence):
            env.reset(0)
            hop(env)


def test_gymnasium_and_pettingzoo_environments_are_not_confused():
    assert make_vec(Pond).num_agents == 4 and make_vec(lambda: gymnasium.make("CartPole-v1")).num_agents == 1


@pytest.mark.parametrize("what", ["observation_space", "action_space"])
@pytest.mark.parametrize("given", [None, Discrete(4), {"frog_0": Discrete(4)}], ids=["none", "a space", "a dict"])
def test_spaces_that_are_no_method_of_the_agent_are_said_in_a_sentence(what, given):
    for make in (PettingZooEnv, puffer_min.with_groups, lambda env: make_vec(lambda: env)):
        with pytest.raises(TypeError, match=rf"Broken.{what} is .*, expected a method .*: def {what}\(self, agent\)"):
            make(broken(**{what: given}))


@pytest.mark.parametrize("names", [3, [["frog_0"], ["frog_1"]]], ids=["a number", "lists"])
def test_agents_that_are_no_names_are_said_in_a_sentence(names):
    for make in (PettingZooEnv, puffer_min.with_groups, lambda env: make_vec(lambda: env)):
        with pytest.raises(TypeError, match="Broken has possible_agents=.*, expected a list of texts or numbers"):
            make(broken(possible_agents=names))


def test_an_agent_without_an_info_has_no_number_for_the_log():
    """Infos of None, which PettingZoo allows nowhere and some environments give, are no infos, and a key of `info_keys` misses."""
    def silent(self, actions):
        *results, infos = Pond.step(self, actions)
        return *results, dict.fromkeys(infos)
    plain = make_vec(lambda: PettingZooEnv(broken(step=silent)), 1)
    asked = make_vec(lambda: PettingZooEnv(broken(step=silent), info_keys=["stayed"]), 1)
    for vec in (plain, asked):
        vec.reset(0)
    for _ in range(9):
        plain.step(np.zeros((4, 2), np.int32))
    with pytest.raises(ValueError, match="agent frog_0: info_keys has 'stayed', but the episode ended with an info with nothing"):
        for _ in range(9):
            asked.step(np.zeros((4, 2), np.int32))


CODES = Dict(beat=Discrete(3, start=5), steps=MultiDiscrete([2, 3], start=[4, -7]), place=Box(0, 1, (2,)))


class Marching(ParallelEnv):
    """Two agents whose numbers do not begin at 0; the first leaves early. What the second sees is `second`."""

    metadata, possible_agents, second = {}, ["first", "second"], CODES

    def observation_space(self, agent):
        return CODES if agent == "first" else self.second

    def action_space(self, agent):
        return Discrete(2)

    def seen(self):
        return {name: self.observation_space(name).sample() for name in self.agents}

    def reset(self, seed=None, options=None):
        self.agents, self.time = list(self.possible_agents), 0
        return self.seen(), {name: {} for name in self.agents}

    def step(self, actions):
        self.time += 1
        acted, seen, over = self.agents, self.seen(), {"first": self.time >= 3, "second": self.time >= 6}
        self.agents = [name for name in acted if not over[name]]
        return seen, dict.fromkeys(acted, 1.0), over, dict.fromkeys(acted, False), {name: {} for name in acted}


@pytest.mark.parametrize("second", [CODES, Box(0, 1, (3,))], ids=["equal spaces", "groups"])
def test_an_empty_slot_whose_zeros_are_no_codes_of_the_space_is_no_error(tmp_path, second):
    """The network sees the zeros of an empty slot, too, and 0 is none of the rows of an embedding that begins at 5."""
    env = type("Marching", (Marching,), {"second": second})
    result = puffer_min.train(env, total_steps=256, num_envs=4, horizon=8, minibatch_size=64, backend="serial", run_dir=tmp_path)
    assert result.history[-1]["step"] == 256 and 0.5 < result.history[-1]["density"] < 1
