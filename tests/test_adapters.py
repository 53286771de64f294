"""Adapters out: Gymnasium's vector environments and Stable-Baselines3's, by their own conventions."""

import subprocess
import sys

import gymnasium
import numpy as np
import pytest
import torch
from gymnasium.spaces import Box, Dict, Discrete, MultiBinary, MultiDiscrete, Tuple
from gymnasium.vector import AutoresetMode, SyncVectorEnv
from gymnasium.wrappers.vector import ClipReward, DictInfoToList, NormalizeReward, RecordEpisodeStatistics
from stable_baselines3 import DQN, PPO
from stable_baselines3.common.vec_env import VecEnv, VecMonitor, VecNormalize

import puffer_min
from puffer_min.vector import make_vec, seed_of


class Drawer(gymnasium.Env):
    """Structured observations; ends by chance, or by time after six steps."""

    observation_space = Dict(pair=Tuple((Box(0, 1, (2,)), MultiBinary(2))), tile=Discrete(4, start=2))
    action_space = Discrete(3)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.count = 0
        return self.look(), {}

    def look(self):
        draw = self.np_random
        return {"pair": (draw.random(2, np.float32), draw.integers(0, 2, 2, np.int8)), "tile": draw.integers(2, 6)}

    def step(self, action):
        self.count += 1
        return self.look(), float(action), bool(self.np_random.random() < 0.1), self.count >= 6, {}


class Flat(Drawer):
    observation_space = Dict(tile=Discrete(4), place=Box(0, 1, (2,)))

    def look(self):
        return {"tile": self.np_random.integers(0, 4), "place": self.np_random.random(2, np.float32)}


@pytest.fixture(autouse=True)
def one_thread():
    """Small networks: torch's threads would wait for each other."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def same(one, other):
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    return all(map(same, one, other)) if isinstance(one, tuple) else np.array_equal(one, other)


@pytest.mark.parametrize("make_env, actions", [
    (Drawer, 3), (lambda: gymnasium.make("CartPole-v1", max_episode_steps=12), 2), (lambda: gymnasium.make("FrozenLake-v1"), 4),
])
def test_it_gives_what_gymnasiums_own_vectorizer_gives(make_env, actions):
    ours = puffer_min.as_gymnasium_vector(make_vec(make_env, num_envs=4))
    theirs = SyncVectorEnv([make_env] * 4, autoreset_mode=AutoresetMode.SAME_STEP)
    for name in ("single_observation_space", "observation_space", "single_action_space", "action_space", "num_envs"):
        assert getattr(ours, name) == getattr(theirs, name), name
    assert ours.metadata["autoreset_mode"] is theirs.metadata["autoreset_mode"]
    assert same(ours.reset(seed=3)[0], theirs.reset(seed=[seed_of(3, i) for i in range(4)])[0])
    random, cut = np.random.default_rng(0), 0
    for _ in range(80):
        chosen = random.integers(0, actions, 4)
        one, other = ours.step(chosen), theirs.step(chosen)
        for a, b in zip(one[:4], other[:4]):
            assert same(a, b)
        assert ours.observation_space.contains(one[0])
        ended = one[2] | one[3]
        assert np.array_equal(one[4].get("_final_info", np.zeros(4, bool)), ended)
        for i in np.flatnonzero(one[3]):
            assert one[4]["_final_obs"][i] and same(one[4]["final_obs"][i], other[4]["final_obs"][i])
            cut += 1
    assert cut > 5 or actions == 4


def test_episodes_are_in_the_infos_as_gymnasiums_statistics_give_them():
    ours = RecordEpisodeStatistics(puffer_min.as_gymnasium_vector(make_vec("cartpole", num_envs=3)))
    ours.reset(seed=0)
    found = []
    for _ in range(200):
        *_, terminations, truncations, infos = ours.step(np.ones(3, np.int64))
        for i in np.flatnonzero(terminations | truncations):
            episode = infos["final_info"]["episode"]
            assert episode["r"][i] == episode["l"][i] > 1 and infos["final_info"]["_episode"][i]
            found.append(episode["l"][i])
    assert len(found) > 30 and list(ours.length_queue)[:10] == found[:10]


def test_gymnasiums_vector_wrappers_work_on_it():
    envs = DictInfoToList(ClipReward(NormalizeReward(puffer_min.as_gymnasium_vector(make_vec("cartpole", num_envs=16))), max_reward=0.5))
    envs.reset(seed=0)
    for _ in range(60):
        _, rewards, terminations, _, infos = envs.step(envs.action_space.sample())
        assert len(infos) == 16 and all(("final_info" in info) == ended for info, ended in zip(infos, terminations))
    assert 0 < rewards.max() <= 0.5


def test_arrays_are_the_callers_own_unless_asked_otherwise():
    for copy in (True, False):
        envs = puffer_min.as_gymnasium_vector(make_vec("cartpole", num_envs=2), copy=copy)
        first = envs.reset(seed=0)[0]
        kept = first.copy()
        envs.step(np.ones(2, np.int64))
        assert np.array_equal(first, kept) is copy


def test_agents_are_environments_and_empty_slots_are_marked():
    from test_pettingzoo import Pond
    envs = puffer_min.as_gymnasium_vector(make_vec(Pond, num_envs=2))
    assert envs.num_envs == 8 and envs.single_action_space == MultiDiscrete([3, 2]) and envs.action_space.shape == (8, 2)
    assert envs.reset(seed=0)[1]["masks"].tolist() == [True, True, False, True] * 2


def test_impossible_requests_are_refused_with_a_sentence():
    envs = puffer_min.as_gymnasium_vector(make_vec("cartpole", num_envs=2))
    with pytest.raises(TypeError, match=r"seed=\[1, 2\] given, expected a whole number"):
        envs.reset(seed=[1, 2])
    with pytest.raises(ValueError, match="expected none"):
        envs.reset(options={"low": 0})
    envs.reset(seed=0)
    with pytest.raises(ValueError, match="no whole numbers of 32 bits"):
        envs.step(np.array([0.5, 0]))
    with pytest.raises(ValueError, match="agent 1 has 2, expected an action of Discrete"):
        envs.step(np.array([0, 2]))
    envs.close()
    envs.close()
    with pytest.raises(RuntimeError, match="closed"):
        envs.vec.step(np.zeros(2, np.int32))


# ---------------------------------------------------------------------------------------------------------------- Stable-Baselines3

def test_ppo_of_stable_baselines3_learns_cartpole_through_it():
    env = puffer_min.as_sb3(make_vec("cartpole", num_envs=16))
    assert isinstance(env, VecEnv)
    model = PPO("MlpPolicy", env, n_steps=64, batch_size=512, n_epochs=6, learning_rate=3e-3, gamma=0.98, seed=0, device="cpu")
    model.learn(24 * 1024)
    episodes = [info["r"] for info in model.ep_info_buffer]
    assert len(episodes) > 20 and np.mean(episodes) > 150                   # 22 at first


def test_sb3_sees_the_end_of_an_episode_by_its_own_conventions():
    env = puffer_min.as_sb3(make_vec(Flat, num_envs=3))
    env.seed(4)
    observations = env.reset()
    assert env.observation_space.contains({key: part[0] for key, part in observations.items()})
    cut = ended = 0
    for _ in range(60):
        observations, rewards, dones, infos = env.step(np.full(3, 2))
        assert rewards.tolist() == [2] * 3 and len(infos) == 3
        for done, info in zip(dones, infos):
            assert done == ("episode" in info)
            if done:
                ended += 1
                assert info["episode"]["r"] == 2 * info["episode"]["l"]
                cut += info["TimeLimit.truncated"]
                assert info["TimeLimit.truncated"] == ("terminal_observation" in info)
                assert not info["TimeLimit.truncated"] or env.observation_space.contains(info["terminal_observation"])
    assert 5 < cut < ended


def test_seed_of_sb3_repeats_the_episodes():
    env = puffer_min.as_sb3(make_vec("cartpole", num_envs=2))
    env.seed(7)
    first = env.reset()
    env.step(np.ones(2, np.int64))
    env.seed(7)
    assert np.array_equal(env.reset(), first) and not np.array_equal(env.reset(), first)


def test_sb3s_wrappers_and_other_algorithms_take_it():
    env = VecMonitor(VecNormalize(puffer_min.as_sb3(make_vec(Flat, num_envs=4)), norm_obs_keys=["place"]))
    DQN("MultiInputPolicy", env, learning_starts=50, buffer_size=500, seed=0, device="cpu").learn(200)
    assert env.env_is_wrapped(VecMonitor) and env.get_attr("num_envs") == [4] * 4


def test_what_sb3_has_no_policy_for_is_refused():
    with pytest.raises(TypeError, match="which Stable-Baselines3 has no policy for"):
        puffer_min.as_sb3(make_vec(Drawer, num_envs=2))
    shifted = type("Shifted", (Flat,), {"observation_space": Dict(tile=Discrete(4, start=1), place=Box(0, 1, (2,)))})
    with pytest.raises(TypeError, match="which Stable-Baselines3 has no policy for"):
        puffer_min.as_sb3(make_vec(shifted, num_envs=2))
    env = puffer_min.as_sb3(make_vec("cartpole", num_envs=2))
    for call in (lambda: env.set_attr("gravity", 1), lambda: env.env_method("kick")):
        with pytest.raises(NotImplementedError, match="share one object"):
            call()


def test_importing_the_library_imports_neither_sb3_nor_pettingzoo():
    code = ("import sys, puffer_min; puffer_min.make_vec('cartpole', 2); puffer_min.as_gymnasium_vector, puffer_min.as_sb3\n"
            "import puffer_min.emulation.pettingzoo_env\n"
            "sys.exit(any(name in sys.modules for name in ('stable_baselines3', 'pettingzoo', 'torch')))")
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
