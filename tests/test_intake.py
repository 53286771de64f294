"""What is put around other people's environments: vector environments as one batch, encoders, reset options, attributes."""

import pickle

import gymnasium
import minigrid  # noqa: F401  registers its environments
import numpy as np
import pytest
import torch
from gymnasium import spaces
from gymnasium.spaces import Box, Discrete
from gymnasium.vector import AutoresetMode, SyncVectorEnv
from gymnasium.wrappers import TimeLimit

import puffer_min
from puffer_min import make_vec
from puffer_min.intake.encode import graph_rows, padded, words


class Count(gymnasium.Env):
    """Observes the step within the episode and the level; ends after five steps, or is cut by a TimeLimit around it."""

    observation_space, action_space = Box(-1, 99, (2,), np.float32), Discrete(3, start=1)

    def __init__(self, level=0, end=5):
        self.level, self.end = level, end

    def seen(self):
        return np.float32([self.t, self.level])

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.t, self.level = 0, (options or {}).get("level", self.level)
        return self.seen(), {}

    def step(self, action):
        assert action in (1, 2, 3)
        self.t += 1
        return self.seen(), float(action), self.t == self.end, False, {}


# ---------------------------------------------------------------------- vector environments of others

def theirs(mode, count=3, **settings):
    return SyncVectorEnv([lambda: Count(**settings)] * count, autoreset_mode=mode)


def test_a_vector_environment_of_the_same_step_is_what_our_own_vectorizer_gives():
    ours = make_vec(Count, 3)
    batch = puffer_min.from_vector_env(theirs(AutoresetMode.SAME_STEP))
    random = np.random.default_rng(0)
    assert np.array_equal(ours.reset(0)[0], batch.reset(0)[0]) and batch.single_action_space == Discrete(3)
    for _ in range(17):
        actions = random.integers(0, 3, 3, dtype=np.int32)
        for one, other in zip(ours.step(actions)[:4], batch.step(actions)[:4], strict=True):
            assert np.array_equal(one, other)
        ends = ours.terminals
        assert np.array_equal(ours.final_observations[ends], batch.final_observations[ends]) and batch.masks.all()
    assert ours.log() == batch.log()


def test_one_of_the_next_step_masks_the_row_once_and_counts_no_step_for_it():
    batch = puffer_min.from_vector_env(theirs(AutoresetMode.NEXT_STEP, 2))
    batch.reset(0)
    for t in range(1, 25):
        batch.step(np.zeros(2, np.int32))
        phase = t % 6                                       # five steps and a reset
        assert batch.observations[:, 0].tolist() == [phase] * 2 and batch.masks.tolist() == [phase != 5] * 2
        assert batch.terminals.tolist() == [phase == 5] * 2 and batch.rewards.tolist() == [float(phase != 0)] * 2
        assert phase != 5 or batch.final_observations[:, 0].tolist() == [5, 5]
    assert batch.log() == {"n": 8, "episode_return": 5.0, "episode_length": 5.0, "score": 5.0}


def test_a_gymnasium_vector_environment_learns(tmp_path):
    vec = puffer_min.from_vector_env(gymnasium.make_vec("CartPole-v1", 8))
    result = puffer_min.train(vec, total_steps=1024, horizon=16, torch_threads=1, run_dir=tmp_path)
    assert result.env_name == "CartPole-v1" and result.history[-1]["episode_return"] > 8
    assert puffer_min.evaluate(vec, result.policy, episodes=8)["episodes"] >= 8


class Pool:
    """As EnvPool has it: spaces of one environment, a length, no seed in `reset`, the mode of the next step, dicts of arrays."""

    observation_space, action_space = spaces.Dict(a=Box(0, 9, (2,), np.float32), b=Discrete(4)), Box(-1, 1, (2,), np.float32)

    def __len__(self):
        return 4

    def seen(self):
        return {"a": np.tile(self.t[:, None], (1, 2)).astype(np.float32), "b": (self.t % 4).astype(np.int64)}

    def reset(self):
        self.t = np.arange(4)
        return self.seen(), {}

    def step(self, actions):
        assert actions.shape == (4, 2) and actions.dtype == np.float32 and np.abs(actions).max() <= 1
        self.t = np.where(self.t == 6, 0, self.t + 1)
        return self.seen(), actions[:, 0], self.t == 6, np.zeros(4, bool), {"env_id": np.arange(4)}

    def close(self):
        pass


def test_one_like_envpools_is_taken_in_with_nested_observations():
    batch = puffer_min.from_vector_env(Pool())
    batch.reset(0)
    for _ in range(9):
        batch.step(np.full((4, 2), 7, np.float32))
        seen = batch.single_observation_space.layout.unpack(batch.observations)
        assert np.array_equal(seen["a"][:, 0], batch.envs.t) and np.array_equal(seen["b"], batch.envs.t % 4)
        assert np.array_equal(batch.terminals, batch.envs.t == 6) and np.array_equal(batch.masks, batch.envs.t != 6)


class Tensors:
    """A simulator of torch tensors, which speak DLPack as JAX's arrays do; it begins anew in the same step, by time too."""

    num_envs = 5

    def reset(self, seed=0):
        self.x = torch.arange(5.0) + seed
        return self.x[:, None], {}

    def step(self, actions):
        self.x = self.x + torch.from_numpy(actions)
        over = self.x > 9
        self.x = torch.where(over, torch.zeros(5), self.x)
        return self.x[:, None], torch.ones(5, requires_grad=True), torch.zeros(5, dtype=torch.bool), over, {}

    def close(self):
        pass


def test_a_batch_of_another_librarys_arrays_comes_in_through_dlpack(tmp_path):
    batch = puffer_min.from_vector_env(Tensors(), None, Box(0, 20, (1,), np.float32), Discrete(2), autoreset="SameStep")
    assert batch.reset(2)[0][:, 0].tolist() == [2, 3, 4, 5, 6] and batch.observations.dtype == np.float32
    for _ in range(4):
        batch.step(np.ones(5, np.int32))
    assert batch.truncations.tolist() == [False] * 4 + [True] and batch.observations[4, 0] == 0
    assert batch.final_observations[4, 0] == 9, "the one before, where no last one is told"
    assert puffer_min.train(batch, total_steps=320, horizon=16, torch_threads=1, run_dir=tmp_path).ended == "done"


@pytest.mark.parametrize("make, error, sentence", [
    (lambda: puffer_min.from_vector_env(theirs(AutoresetMode.DISABLED)), ValueError, "autoreset='Disabled' given, expected 'SameStep' or"),
    (lambda: puffer_min.from_vector_env(Pool(), action_space=spaces.Dict(a=Discrete(2))), TypeError, "expected Discrete, MultiDiscrete or Box"),
    (lambda: puffer_min.from_vector_env(Pool(), 3).reset(), ValueError, "Pool gave .* of shape .4, 2., expected 3 rows"),
])
def test_a_vector_environment_that_does_not_fit_is_refused_in_a_sentence(make, error, sentence):
    with pytest.raises(error, match=sentence):
        make()


# ---------------------------------------------------------------------- encoders

def observed(space, samples):
    """An environment that shows one sample after the other."""
    class Shows(gymnasium.Env):
        observation_space, action_space = space, Discrete(2)

        def reset(self, *, seed=None, options=None):
            super().reset(seed=seed)
            self.left = iter(samples)
            return next(self.left), {}

        def step(self, action):
            return next(self.left), 0.0, False, False, {}
    return Shows()


def test_the_mission_of_minigrid_becomes_the_numbers_of_its_words(tmp_path, capsys):
    vocabulary = "go to the red green blue purple yellow grey door".split()
    def make():
        return puffer_min.encode(gymnasium.make("MiniGrid-GoToDoor-5x5-v0"), mission=words(vocabulary, 6))
    with make_vec(make, 2) as vec:
        vec.reset(3)
        seen = vec.single_observation_space.layout.unpack(vec.observations)
        for i, mission in enumerate(vec.call("mission")):
            assert [([*vocabulary, ""][number - 1]) for number in seen["mission"][i]] == [*mission.split(), *[""] * (6 - len(mission.split()))]
    assert puffer_min.train(make, total_steps=64, num_envs=2, horizon=8, torch_threads=1, run_dir=tmp_path).ended == "done"
    assert "cannot be saved" not in capsys.readouterr().err         # a checkpoint holds the environments


def test_encoders_can_be_pickled_and_give_the_same_afterwards():
    graph = spaces.GraphInstance(np.float32([[1], [2]]), np.float32([[5]]), np.array([[0, 1]]))
    sequence, links = spaces.Sequence(Discrete(4)), spaces.Graph(Box(0, 9, (1,)), Box(0, 9, (1,)))
    for (function, space), value in [(words(["go", "to"], 3), "to go"), (padded(sequence, 3), (1, 3)), (graph_rows(links, 3, 2), graph)]:
        again, same = pickle.loads(pickle.dumps((function, space)))
        assert same == space and space.contains(function(value)) and repr(again(value)) == repr(function(value))


@pytest.mark.parametrize("text, sentence", [("go left", "text 'go left' has the word 'left', expected at most 3 words of go, to"),
                                            ("go to go to", "has 4 words, expected at most 3")])
def test_a_text_that_does_not_fit_is_refused_with_the_word(text, sentence):
    with pytest.raises(ValueError, match=sentence):
        words(["go", "to"], 3)[0](text)


@pytest.mark.parametrize("stack", [False, True])
@pytest.mark.parametrize("feature", [Box(-1, 5, (2,), np.float32), Discrete(7, start=2)], ids=["Box", "Discrete"])
def test_a_sequence_becomes_marked_rows_and_zeros(feature, stack):
    space = spaces.Dict(items=spaces.Sequence(feature, stack=stack), x=Box(0, 1, (1,), np.float32))
    space.seed(0)
    samples = [space.sample() for _ in range(20)]
    samples = [sample | {"items": sample["items"][:6]} for sample in samples]
    env = puffer_min.encode(observed(space, samples), items=padded(space["items"], 6))
    width = 1 + feature.shape[0] if feature.shape else 2
    with make_vec(lambda: env) as vec:
        vec.reset()
        for sample in samples:
            rows = vec.single_observation_space.layout.unpack(vec.observations)["items"][0]
            assert rows.shape == (6, width) and rows[:, 0].tolist() == [1.0] * len(sample["items"]) + [0.0] * (6 - len(sample["items"]))
            assert np.allclose(rows[:len(sample["items"]), 1:], np.reshape(sample["items"], (-1, width - 1)))
            assert env.observation_space["items"].contains(rows)
            if sample is not samples[-1]:
                vec.step(np.zeros(1, np.int32))


def test_a_graph_becomes_rows_of_nodes_and_edges():
    space = spaces.Graph(Box(0, 9, (3,)), Discrete(4))
    graph = spaces.GraphInstance(np.float32([[1, 2, 3], [4, 5, 6]]), np.array([3]), np.array([[0, 1]]))
    lonely = spaces.GraphInstance(np.float32([[7, 8, 9]]), None, None)
    env = puffer_min.encode(observed(space, [graph, lonely]), graph_rows(space, 3, 2))
    with make_vec(lambda: env) as vec:
        unpack = vec.single_observation_space.layout.unpack
        vec.reset()
        assert unpack(vec.observations)["nodes"][0].tolist() == [[1, 1, 2, 3], [1, 4, 5, 6], [0] * 4]
        assert unpack(vec.observations)["edges"][0].tolist() == [[1, 0, 1, 3], [0] * 4]
        vec.step(np.zeros(1, np.int32))
        assert unpack(vec.observations)["nodes"][0, 0].tolist() == [1, 7, 8, 9] and not unpack(vec.observations)["edges"].any()
    with pytest.raises(ValueError, match="2 members given, expected at most 1"):
        graph_rows(space, 1, 1)[0](graph)


@pytest.mark.parametrize("arguments, sentence", [
    ({"word": words(["a"], 1)}, r"encode: word given, expected a key of the observations, which are Box\(\)"),
    ({"whole": (len, 3)}, r"expected a pair \(function, space\)"), ({"whole": len}, "expected a pair"),
])
def test_an_encoder_that_does_not_fit_is_refused_in_a_sentence(arguments, sentence):
    with pytest.raises(TypeError, match=sentence):
        puffer_min.encode(Count(), **arguments)


# ---------------------------------------------------------------------- attributes and options of running environments

@pytest.mark.parametrize("backend, workers", [("serial", 1), ("thread", 2), ("process", 2)])
def test_attributes_of_running_environments_are_read_and_set(backend, workers):
    with make_vec(lambda: TimeLimit(Count(), 99), 4, workers, backend) as vec:
        vec.reset(0)
        assert vec.get_attr("level") == [0] * 4
        vec.set_attr("level", 2)
        vec.set_attr("level", [5, 6], indices=[1, 3])
        vec.step(np.zeros(4, np.int32))
        assert vec.get_attr("level", indices=[0, 3]) == [2, 6] and vec.observations[:, 1].tolist() == [2, 5, 2, 6]
        with pytest.raises(ValueError, match=r"set_attr\('level'\): 1 values given, expected 4, one for each environment"):
            vec.set_attr("level", [1])


@pytest.mark.parametrize("backend, workers", [("serial", 1), ("process", 2)])
def test_the_options_of_resets_change_while_the_environments_run(backend, workers):
    with make_vec(lambda: puffer_min.with_options(Count(), {"level": 1}), 2, workers, backend) as vec:
        assert vec.reset(0)[0][:, 1].tolist() == [1, 1]
        vec.set_attr("options", {"level": 7}, indices=[1])
        levels = [vec.step(np.zeros(2, np.int32))[0][:, 1].tolist() for _ in range(6)]
        assert levels == [[1, 1]] * 4 + [[1, 7]] * 2, "from the next episode on"


def test_a_callback_makes_a_curriculum(tmp_path):
    class Harder(puffer_min.Callback):
        def update(self, run, update):
            run.env.set_attr("level", update["update"])
            return {"level": run.env.get_attr("level")[0]}
    result = puffer_min.train(Count, total_steps=256, num_envs=4, horizon=16, torch_threads=1, run_dir=tmp_path, callbacks=[Harder()])
    assert [line["level"] for line in result.history] == [1, 2, 3, 4]


def test_an_environment_of_pettingzoo_is_no_environment_to_encode():
    parallel = type("Parallel", (), {"possible_agents": ["a"], "observation_space": lambda self, agent: Discrete(2)})()
    for given in ({"whole": (int, Discrete(2))}, {"text": (int, Discrete(2))}):
        with pytest.raises(TypeError, match="encode: Parallel given, expected a gymnasium.Env: encode the observations of PettingZoo's agents in"):
            puffer_min.encode(parallel, **given)
