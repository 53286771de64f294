"""Adapters out: Gymnasium's vector environments and Stable-Baselines3's, by their own conventions."""

import subprocess
import sys

import gymnasium
import numpy as np
import pytest
import torch
from gymnasium.spaces import Box, Dict, Discrete, MultiBinary, MultiDiscrete, Tuple
from gymnasium.vector import AutoresetMode, SyncVectorEnv
from gymnasium.wrappers.vector import (
    ClipReward,
    DictInfoToList,
    NormalizeObservation,
    NormalizeReward,
    RecordEpisodeStatistics,
    RecordVideo,
)
from stable_baselines3 import DQN, PPO
from stable_baselines3.common.vec_env import VecEnv, VecMonitor, VecNormalize, VecVideoRecorder

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


class Pairs(Flat):
    observation_space = Tuple((Box(0, 1, (2,)), Discrete(4)))


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
        for a, b in zip(one[:4], other[:4], strict=False):
            assert same(a, b)
        assert ours.observation_space.contains(one[0])
        ended = one[2] | one[3]
        assert np.array_equal(one[4].get("_final_info", np.zeros(4, bool)), ended)
        for i in np.flatnonzero(ended):
            assert one[4]["_final_obs"][i] and same(one[4]["final_obs"][i], other[4]["final_obs"][i])
            cut += one[3][i]
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
        assert len(infos) == 16 and all(("final_info" in info) == ended for info, ended in zip(infos, terminations, strict=False))
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
        for done, info in zip(dones, infos, strict=False):
            assert done == ("episode" in info)
            if done:
                ended += 1
                assert info["episode"]["r"] == 2 * info["episode"]["l"]
                cut += info["TimeLimit.truncated"]
                assert env.observation_space.contains(info["terminal_observation"])
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
    assert env.env_is_wrapped(VecMonitor) and env.get_attr("action_space") == [Discrete(3)] * 4


def test_what_sb3_has_no_policy_for_is_refused():
    with pytest.raises(TypeError, match="which Stable-Baselines3 has no policy for"):
        puffer_min.as_sb3(make_vec(Drawer, num_envs=2))
    shifted = type("Shifted", (Flat,), {"observation_space": Dict(tile=Discrete(4, start=1), place=Box(0, 1, (2,)))})
    with pytest.raises(TypeError, match="which Stable-Baselines3 has no policy for"):
        puffer_min.as_sb3(make_vec(shifted, num_envs=2))
    for space in (Discrete(4, start=1), MultiDiscrete([3, 4], start=[1, 0])):
        alone = type("Alone", (Flat,), {"observation_space": space, "look": lambda self: self.observation_space.sample()})
        if isinstance(space, Discrete):                 # a row of zeros and one
            space = puffer_min.as_sb3(make_vec(alone, num_envs=2)).observation_space
            assert (space.shape, space.dtype) == ((4,), np.uint8)
            continue
        with pytest.raises(TypeError, match="which Stable-Baselines3 has no policy for"):
            puffer_min.as_sb3(make_vec(alone, num_envs=2))
    env = puffer_min.as_sb3(make_vec("cartpole", num_envs=2))
    for call in (lambda: env.set_attr("gravity", 1), lambda: env.env_method("render")):
        with pytest.raises(NotImplementedError, match="share one object"):
            call()


def test_importing_the_library_imports_neither_sb3_nor_pettingzoo():
    code = ("import sys, puffer_min; puffer_min.make_vec('cartpole', 2); puffer_min.as_gymnasium_vector, puffer_min.as_sb3\n"
            "import puffer_min.emulation.pettingzoo_env\n"
            "sys.exit(any(name in sys.modules for name in ('stable_baselines3', 'pettingzoo', 'torch')))")
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


# ---------------------------------------------------------------------------------------------------------------- the environments within

class Hill(gymnasium.Env):
    """Walk up a hill; ends on top or after `limit` steps. The observation is the height and the number of the episode."""

    metadata = {"render_modes": ["rgb_array"], "render_fps": 7}
    observation_space, action_space = Box(-np.inf, np.inf, (2,)), Discrete(3)

    def __init__(self, limit=5):
        self.limit, self.render_mode, self.episode = limit, "rgb_array", 0

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.height, self.count, self.episode = self.np_random.normal(), 0, self.episode + 1
        return self.look(), {}

    def look(self):
        return np.float32([self.height, self.episode])

    def step(self, action):
        self.count += 1
        self.height += float(action) * self.np_random.random()
        return self.look(), float(action), self.height > 2, self.count >= self.limit, {}

    def double(self, number, plus=0):
        return 2 * number + plus

    def render(self):
        return np.full((4, 6, 3), self.episode, np.uint8)


BACKENDS = [("serial", None), ("thread", 2), ("process", 2)]


@pytest.mark.parametrize("backend, workers", BACKENDS)
def test_attributes_and_methods_of_the_environments_are_reached(backend, workers):
    with make_vec(lambda: gymnasium.wrappers.TimeLimit(Hill(), 50), num_envs=4, num_workers=workers, backend=backend) as vec:
        envs = puffer_min.as_gymnasium_vector(vec)
        assert envs.get_attr("limit") == (5,) * 4 and envs.call("double", 3, plus=1) == (7,) * 4
        envs.set_attr("limit", [1, 2, 3, 4])
        envs.reset(seed=0)
        ended = [np.flatnonzero(envs.step(np.zeros(4, int))[3]).tolist() for _ in range(2)]
        assert ended == [[0], [0, 1]] and vec.call("limit") == [1, 2, 3, 4]
        sb3 = puffer_min.as_sb3(vec)
        assert sb3.get_attr("limit", [1, 3]) == [2, 4] and sb3.env_method("double", 5, indices=2) == [10]
        sb3.set_attr("limit", 9, indices=[0])
        assert vec.call("limit") == [9, 2, 3, 4] and vec.call("limit", indices=[3, 0]) == [4, 9]
        with pytest.raises(AttributeError, match="nothing_of_the_kind"):
            envs.get_attr("nothing_of_the_kind")
        envs.step(np.zeros(4, int))                                 # the question did no harm


def test_agents_of_one_environment_share_its_attributes():
    from test_pettingzoo import Pond
    vec = make_vec(Pond, num_envs=2)
    vec.call("set_attr", "mood", "calm", indices=[1])
    envs = puffer_min.as_sb3(vec)
    assert envs.get_attr("metadata") == [Pond.metadata] * 8 and envs.get_attr("mood", [4, 7]) == ["calm"] * 2


def test_an_environment_of_ones_own_is_called_by_its_methods():
    class Coin(puffer_min.PufferEnv):
        single_observation_space, single_action_space, num_agents, weight = Box(0, 1, (1,)), Discrete(2), 1, 0.5

        def weigh(self, more):
            self.weight += more
            return self.weight

    vec = make_vec(Coin, num_envs=2)
    assert vec.call("weigh", 1, indices=[1]) == [1.5] and vec.call("weight") == [0.5, 1.5]


# ---------------------------------------------------------------------------------------------------------------- autoreset modes

@pytest.mark.parametrize("backend, workers", BACKENDS)
@pytest.mark.parametrize("mode", [AutoresetMode.NEXT_STEP, AutoresetMode.DISABLED])
def test_other_autoreset_modes_give_what_gymnasiums_own_vectorizer_gives(mode, backend, workers):
    with make_vec(Hill, num_envs=4, num_workers=workers, backend=backend, report_interval=0) as vec:
        ours, theirs = puffer_min.as_gymnasium_vector(vec, autoreset_mode=mode), SyncVectorEnv([Hill] * 4, autoreset_mode=mode)
        assert ours.metadata["autoreset_mode"] is ours.autoreset_mode is mode
        assert same(ours.reset(seed=3)[0], theirs.reset(seed=[seed_of(3, i) for i in range(4)])[0])
        random, ends, steps = np.random.default_rng(0), 0, 0
        waiting = np.zeros(4, bool)
        for _ in range(60):
            chosen = random.integers(0, 3, 4)
            one, other = ours.step(chosen), theirs.step(chosen)
            assert all(same(a, b) for a, b in zip(one[:4], other[:4], strict=True)) and not one[4]
            ended = one[2] | one[3]
            ends, steps = ends + ended.sum(), steps + (~waiting).sum()
            waiting = ended if mode is AutoresetMode.NEXT_STEP else np.zeros(4, bool)
            if mode is AutoresetMode.DISABLED and ended.any():
                mask = {"reset_mask": ended}
                assert same(ours.reset(options=dict(mask))[0], theirs.reset(options=dict(mask))[0])
        log = vec.log()
        running = vec.call("count")
        assert log["n"] == ends > 30 and round(log["n"] * log["episode_length"]) == steps - sum(
            count for count, over in zip(running, waiting, strict=True) if not over)


def test_gymnasiums_observation_wrappers_work_where_episodes_end_on_the_next_step():
    envs = NormalizeObservation(puffer_min.as_gymnasium_vector(make_vec(Hill, 4), autoreset_mode="NextStep"))
    envs.reset(seed=0)
    for _ in range(30):
        observations, *_ = envs.step(envs.action_space.sample())
    assert np.abs(observations).max() < 10


def test_a_state_saved_between_an_end_and_the_next_step_goes_on():
    vec = make_vec(lambda: Hill(2), 2)
    envs = puffer_min.as_gymnasium_vector(vec, autoreset_mode="NextStep")
    envs.reset(seed=0)
    for _ in range(2):
        envs.step(np.zeros(2, int))
    state = vec.get_state()
    expected = [envs.step(np.ones(2, int))[0] for _ in range(4)]
    vec.set_state(state)
    assert all(np.array_equal(envs.step(np.ones(2, int))[0], one) for one in expected)
    vec.set_state(state)
    first = envs.reset(seed=0)[0]                                   # the next step is a step, and not a second reset
    assert np.array_equal(envs.step(np.zeros(2, int))[0], first)


def test_other_modes_are_refused_where_environments_restart_by_themselves():
    for make_env in ("cartpole", PufferCoin):
        with pytest.raises(ValueError, match="expected SAME_STEP: these environments restart by themselves"):
            puffer_min.as_gymnasium_vector(make_vec(make_env, 2), autoreset_mode="NextStep")
    envs = puffer_min.as_gymnasium_vector(make_vec(lambda: Hill(1), 2), autoreset_mode=AutoresetMode.DISABLED)
    envs.reset(seed=0)
    envs.step(np.zeros(2, int))
    with pytest.raises(RuntimeError, match=r"the episodes of environments \[0, 1\] are over: call reset"):
        envs.step(np.zeros(2, int))
    with pytest.raises(ValueError, match=r"expected bool \(2,\) with at least one True"):
        envs.reset(options={"reset_mask": np.zeros(2, bool)})


class PufferCoin(puffer_min.PufferEnv):
    single_observation_space, single_action_space, num_agents = Box(0, 1, (1,)), Discrete(2), 1


# ---------------------------------------------------------------------------------------------------------------- pictures, peers

@pytest.mark.parametrize("make_env", ["cartpole", Hill])
def test_videos_are_recorded_where_the_environment_draws(make_env, tmp_path):
    envs = puffer_min.as_gymnasium_vector(make_vec(make_env, num_envs=2))
    assert envs.render_mode == "rgb_array" and envs.metadata["render_modes"] == ["rgb_array"] and envs.metadata["render_fps"] > 0
    recorder = RecordVideo(envs, str(tmp_path / "gymnasium"), video_length=4)
    recorder.reset(seed=0)
    for _ in range(6):
        recorder.step(recorder.action_space.sample())
    recorder.close()
    env = puffer_min.as_sb3(make_vec(make_env, num_envs=2))
    env.reset()
    assert env.render_mode == "rgb_array" and env.render().ndim == 3 and len(env.get_images()) == 2
    recorder = VecVideoRecorder(env, str(tmp_path / "sb3"), record_video_trigger=lambda step: step == 0, video_length=4)
    recorder.reset()
    for _ in range(6):
        recorder.step(np.array([recorder.action_space.sample() for _ in range(2)]))
    recorder.close()
    assert list(tmp_path.glob("gymnasium/*.mp4")) and list(tmp_path.glob("sb3/*.mp4"))
    assert puffer_min.as_gymnasium_vector(make_vec(Flat, num_envs=2)).render_mode is None


@pytest.mark.parametrize("make_env", ["breakout", "cartpole", PufferCoin])
def test_every_end_has_a_last_observation_where_the_environment_keeps_none(make_env):
    """Of a terminated episode it is then the observation that the last action was chosen on."""
    class Ending(PufferCoin):
        def reset(self, seed=None):
            self.begin_reset(seed)
            self.observations[:] = 0.25
            return self.observations, []

        def step(self, actions):
            self.begin_step(actions)
            self.terminals[:], self.observations[:] = True, 0.5
            return self.finish_step()

    vec = make_vec(Ending if make_env is PufferCoin else make_env, num_envs=3)
    envs, seen = puffer_min.as_gymnasium_vector(vec), []
    before, _ = envs.reset(seed=0)
    envs.action_space.seed(0)
    for _ in range(600):
        after, _, terminated, truncated, infos = envs.step(envs.action_space.sample())
        for i in np.flatnonzero(terminated & ~truncated):
            assert np.array_equal(infos["final_obs"][i], before[i])
            seen.append(i)
        before = after
    assert len(seen) > 2


def test_an_empty_slot_plays_no_episode():
    from test_pettingzoo import Pond
    envs = puffer_min.as_gymnasium_vector(make_vec(Pond, num_envs=1))
    envs.reset(seed=0)
    lengths = {slot: [] for slot in range(4)}
    for _ in range(24):
        infos = envs.step(np.zeros((4, 2), int))[4]
        for slot in np.flatnonzero(infos.get("_final_info", [])):
            lengths[slot].append(infos["final_info"]["episode"]["l"][slot])
    assert lengths == {0: [3] * 4, 1: [4] * 4, 2: [3] * 4, 3: [6] * 4}
    sb3 = puffer_min.as_sb3(make_vec(Pond, num_envs=1))
    sb3.reset()
    assert [info.get("mask") for info in sb3.step(np.zeros((4, 2), int))[3]] == [None, None, False, None]


def test_options_are_refused_by_both():
    env = puffer_min.as_sb3(make_vec(Hill, num_envs=2))
    env.set_options({"level": 7})
    with pytest.raises(ValueError, match=r"options=\{'level': 7\} given, expected none"):
        env.reset()


def test_an_environment_is_no_vectorizer():
    for adapter in (puffer_min.as_sb3, puffer_min.as_gymnasium_vector):
        with pytest.raises(TypeError, match="Hill given, expected a vectorizer, as puffer_min.make_vec"):
            adapter(Hill())


def test_torchrl_and_skrl_take_the_vectorizer():
    torchrl, skrl = pytest.importorskip("torchrl.envs"), pytest.importorskip("skrl.envs.wrappers.torch")
    for make_env in ("cartpole", lambda: gymnasium.make("CartPole-v1", max_episode_steps=10)):
        torchrl.check_env_specs(torchrl.GymWrapper(puffer_min.as_gymnasium_vector(make_vec(make_env, num_envs=3))))
        env = skrl.wrap_env(puffer_min.as_gymnasium_vector(make_vec(make_env, num_envs=3)))
        assert env.reset()[0].shape == (3, 4) and env.step(torch.zeros(3, 1, dtype=torch.int64))[1].shape == (3, 1)


def test_tianshou_gets_what_its_own_vector_environment_gives():
    own = pytest.importorskip("tianshou.env")
    for make_env, actions in ((Flat, 3), (lambda: gymnasium.make("CartPole-v1", max_episode_steps=12), 2)):
        ours = puffer_min.as_tianshou(make_vec(make_env, num_envs=3))
        theirs, draw = own.DummyVectorEnv([make_env] * 3), np.random.default_rng(0)
        ours.reset(seed=5)
        theirs.seed([seed_of(5, i) for i in range(3)])          # a reset with a seed, after which the stream goes on
        begun = [envs.reset()[0] for envs in (ours, theirs)]
        assert begun[0].dtype == begun[1].dtype and all(map(same, *begun))
        ends = 0
        for _ in range(60):
            taken = draw.integers(0, actions, 3)
            results = [envs.step(taken) for envs in (ours, theirs)]
            assert all(all(map(same, one, other)) for one, other in zip(*[result[:4] for result in results], strict=True))
            assert [info["env_id"] for info in results[0][4]] == [0, 1, 2]
            over = np.flatnonzero(results[1][2] | results[1][3])
            if len(over):
                assert all(map(same, *[envs.reset(over)[0] for envs in (ours, theirs)]))
            ends += len(over)
        assert ends > 10
        ours.close()


def test_a_collector_of_tianshou_collects_and_its_ppo_learns():
    pytest.importorskip("tianshou")
    from tianshou.algorithm import PPO as TianshouPPO
    from tianshou.algorithm.algorithm_base import policy_within_training_step
    from tianshou.algorithm.modelfree.reinforce import DiscreteActorPolicy
    from tianshou.algorithm.optim import AdamOptimizerFactory
    from tianshou.data import Collector, VectorReplayBuffer
    from tianshou.utils.net.common import Net
    from tianshou.utils.net.discrete import DiscreteActor, DiscreteCritic
    from tianshou.utils.torch_utils import torch_train_mode

    torch.manual_seed(0)
    envs = puffer_min.as_tianshou(make_vec("cartpole", num_envs=8))
    space, net = envs.observation_space[0], lambda: Net(state_shape=(4,), hidden_sizes=[32])
    actor = DiscreteActor(preprocess_net=net(), action_shape=2, softmax_output=False)
    policy = DiscreteActorPolicy(actor=actor, action_space=envs.action_space[0], observation_space=space)
    learner = TianshouPPO(policy=policy, critic=DiscreteCritic(preprocess_net=net()), optim=AdamOptimizerFactory(lr=3e-3))
    collector, returns = Collector(learner, envs, VectorReplayBuffer(8_000, len(envs))), []
    collector.reset(gym_reset_kwargs={"seed": 0})
    for _ in range(5):
        returns.append(collector.collect(n_step=1024).returns_stat.mean)
        with torch_train_mode(learner), policy_within_training_step(policy):
            learner.update(buffer=collector.buffer, batch_size=256, repeat=4)
        collector.reset_buffer()
    assert returns[-1] > 1.5 * returns[0]
    played = collector.collect(n_episode=11, reset_before_collect=True)
    assert len(played.returns) == 11 and np.array_equal(played.returns, played.lens)        # one for each step: nothing is lost


def test_what_tianshou_may_not_ask_is_refused_in_a_sentence():
    envs = puffer_min.as_tianshou(make_vec(Flat, num_envs=2))
    envs.reset()
    with pytest.raises(ValueError, match=r"reset of environment 1 given in the middle of an episode, expected one whose episode"):
        envs.reset([1])
    with pytest.raises(ValueError, match="options=.* given, expected none"):
        envs.reset(options={"a": 1})
    with pytest.raises(TypeError, match="which Tianshou refuses; expected a Box or a Dict"):
        puffer_min.as_tianshou(make_vec(Pairs, num_envs=2))
    envs.set_env_attr("count", 3, [1])
    assert envs.get_env_attr("count") == [0, 3] and len(envs) == 2
