"""The loop over Gymnasium environments: the same as one by one, faster, and clear about what an environment gets wrong."""

import time

import gymnasium
import numpy as np
import pytest
import torch
from gymnasium.spaces import Box, Dict, Discrete
from gymnasium.vector import SyncVectorEnv

from puffer_min.emulation.gymnasium_env import GymnasiumEnv
from puffer_min.env.arrays import as_numpy
from puffer_min.env.batch import PythonBatch
from puffer_min.env.puffer_env import PufferEnv
from puffer_min.vector import make_vec


class Trivial(gymnasium.Env):
    """An empty step: what is measured with it is everything else."""

    observation_space, action_space = Box(-1, 1, (4,)), Discrete(2)
    result = np.zeros(4, np.float32), 0.0, False, False, {}

    def reset(self, *, seed=None, options=None):
        return self.result[0], {}

    def step(self, action):
        return self.result


class Walk(gymnasium.Env):
    """A random walk with a Dict observation that ends at 3 or after 9 steps."""

    observation_space, action_space = Dict(at=Box(-9, 9, (1,)), side=Discrete(2)), Discrete(3, start=-1)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.at, self.count = self.np_random.normal(), 0
        return self.look(), {}

    def look(self):
        return {"at": np.float32([self.at]), "side": int(self.at > 0)}

    def step(self, action):
        self.at += self.np_random.normal() + action
        self.count += 1
        return self.look(), np.float64(self.at), np.bool_(abs(self.at) > 3), self.count >= 9, {}


def test_the_loop_gives_what_single_environments_give():
    vec, single = make_vec(Walk, 5, seed=2), [GymnasiumEnv(Walk()) for _ in range(5)]
    assert vec.batch.loop is not None
    vec.reset(2)
    for env, inner in zip(single, vec.environments, strict=False):
        env.reset(inner.seed)
    random, ends = np.random.default_rng(0), 0
    for _ in range(200):
        actions = random.integers(0, 3, 5, dtype=np.int32)
        vec.step(actions)
        for i, env in enumerate(single):
            env.step(actions[i:i + 1])
            for name in ("observations", "rewards", "terminals", "truncations"):
                assert np.array_equal(getattr(vec, name)[i:i + 1], getattr(env, name)), name
            if env.terminals[0] or env.truncations[0]:
                assert np.array_equal(vec.final_observations[i:i + 1], env.final_observations)
                ends += 1
    assert ends > 100


class Success(Walk):
    """The walk, which tells at its end how it went."""

    def step(self, action):
        *results, _ = super().step(action)
        return *results, {"is_success": np.bool_(self.at > 3), "steps": self.count, "note": "words"} if results[2] or results[3] else {}


@pytest.mark.parametrize("backend, workers", [("serial", None), ("process", 2)])
def test_numbers_of_the_last_info_are_logged(backend, workers):
    with make_vec(lambda: GymnasiumEnv(Success(), info_keys=["is_success", "steps"]), 6, workers, backend, seed=3, report_interval=0) as vec:
        vec.reset(3)
        random, successes, episodes = np.random.default_rng(0), 0, 0
        for _ in range(100):
            vec.step(random.integers(0, 3, 6, dtype=np.int32))
            ended = vec.terminals | vec.truncations
            at = vec.single_observation_space.layout.unpack(vec.final_observations)["at"][:, 0]
            episodes, successes = episodes + ended.sum(), successes + (ended & (at > 3)).sum()
        log = vec.log()
    assert log["n"] == episodes and 0 < successes < episodes
    assert log["is_success"] == pytest.approx(successes / episodes) and log["steps"] == pytest.approx(log["episode_length"])


@pytest.mark.parametrize("missing", ["observation_space", "action_space"])
def test_an_environment_without_a_space_is_said_in_a_sentence(missing):
    spaces = {"observation_space": Box(0, 1, (2,)), "action_space": Discrete(2)}
    del spaces[missing]
    Bare = type("Bare", (gymnasium.Env,), spaces)
    for wrapped in (Bare, lambda: gymnasium.wrappers.TimeLimit(Bare(), 9)):
        with pytest.raises(TypeError, match=f"Bare has no {missing}, expected a space of gymnasium.spaces: set self.{missing} in __init__"):
            make_vec(wrapped)


def test_a_key_that_is_missing_or_no_number_is_named():
    for key, given in (("score", "an info with 'is_success', 'steps', 'note'"), ("note", "'words'")):
        vec = make_vec(lambda key=key: GymnasiumEnv(Success(), info_keys=[key]), 2, seed=3)
        vec.reset(3)
        with pytest.raises(ValueError, match=f"environment 0: info_keys has '{key}', but the episode ended with {given}, expected a number"):
            for _ in range(20):
                vec.step(np.zeros(2, np.int32))
    for keys in ("is_success", ["a", "a"], ["n"], [1]):
        with pytest.raises(ValueError, match="expected a list of distinct names"):
            GymnasiumEnv(Success(), info_keys=keys)


def test_other_python_environments_are_stepped_one_by_one():
    class Own(PufferEnv):
        single_observation_space, single_action_space, num_agents = Box(0, 1, (1,)), Discrete(2), 1

    assert PythonBatch(Own, 2).loop is None


def rate(step, steps):
    best = 0.0
    for _ in range(5):
        began = time.perf_counter()
        for _ in range(steps):
            step()
        best = max(best, steps / (time.perf_counter() - began))
    return best


@pytest.mark.alone
def test_the_loop_is_faster_than_gymnasiums_own():
    ours, theirs = make_vec(Trivial, 16), SyncVectorEnv([Trivial] * 16)
    ours.reset(0)
    theirs.reset(seed=0)
    actions, wide = np.zeros(16, np.int32), np.zeros(16, np.int64)
    assert rate(lambda: ours.step(actions), 300) > 1.3 * rate(lambda: theirs.step(wide), 300)


def steps_to(**attributes):
    """An environment whose step gives something else."""
    def step(self, action):
        parts = dict(zip(("observation", "reward", "terminated", "truncated", "info"), Trivial.result, strict=False)) | attributes
        return tuple(parts[name] for name in parts)
    return type("Wrong", (Trivial,), {"step": step})


@pytest.mark.parametrize("kind, error, sentence", [
    (steps_to(reward=None), TypeError, "environment 1: step gave the reward None, expected a finite number"),
    (steps_to(reward=np.array("3")), TypeError, "environment 1: step gave the reward array.*, expected a finite number"),
    (steps_to(reward=np.ma.masked), TypeError, "environment 1: step gave the reward masked, expected a finite number"),
    (steps_to(reward=10**400), TypeError, "environment 1: step gave the reward 1000.*, expected a finite number"),
    (steps_to(terminated=None), TypeError, "environment 1: step gave terminated=None, expected a bool"),
    (steps_to(truncated="no"), TypeError, "environment 1: step gave truncated='no', expected a bool"),
    (steps_to(info=None), TypeError, "environment 1: step gave an info of type NoneType, expected a dict"),
    (steps_to(observation=np.zeros(3, np.float32)), ValueError, r"observation: shape \(3,\) given, expected float32 \(4,\)"),
    (steps_to(observation=None), TypeError, r"observation: NoneType given, expected float32 \(4,\)"),
    (type("Old", (Trivial,), {"step": lambda self, action: (np.zeros(4), 0.0, False, {})}), TypeError,
     "environment 1: step gave 4 values, expected .*; an environment of the old Gym returns four"),
])
def test_what_an_environment_gets_wrong_is_said(kind, error, sentence):
    makers = iter([Trivial, kind])
    vec = make_vec(lambda: next(makers)(), 2)
    vec.reset(0)
    with pytest.raises(error, match=sentence):
        vec.step(np.zeros(2, np.int32))


def test_a_reset_of_the_old_gym_is_refused():
    old = type("Old", (Trivial,), {"reset": lambda self, seed=None, options=None: np.zeros(4, np.float32)})
    with pytest.raises(TypeError, match=r"environment 0: reset gave ndarray, expected the tuple \(observation, info\)"):
        make_vec(old, 1).reset(0)


def test_rewards_and_flags_of_other_libraries_are_understood():
    kind = steps_to(reward=torch.tensor(2.5), terminated=np.bool_(True), truncated=np.array([False]), observation=torch.ones(4))
    vec = make_vec(kind, 2)
    vec.reset(0)
    vec.step(np.zeros(2, np.int32))
    assert vec.rewards.tolist() == [2.5, 2.5] and vec.terminals.all() and not vec.truncations.any()
    assert vec.final_observations.tolist() == [[1] * 4] * 2


def test_every_environment_is_closed():
    class Closing(Trivial):
        closed = 0

        def close(self):
            Closing.closed += 1

    with make_vec(Closing, 3) as vec:
        vec.reset(0)
    vec.close()
    assert Closing.closed == 3


# ---------------------------------------------------------------------------------------------------------------- arrays of others

class Foreign:
    """What any array library offers: memory, and DLPack."""

    def __init__(self, memory, device=(1, 0)):
        self.memory, self.device_pair, self.device = memory, device, "cuda:0" if device[0] == 2 else "cpu"

    def __dlpack_device__(self):
        return self.device_pair

    def __dlpack__(self, **settings):
        return self.memory.__dlpack__(**settings)


@pytest.mark.parametrize("array", [torch.zeros(3, 2), torch.zeros(3, dtype=torch.bool), torch.zeros(4, 4, dtype=torch.int64)[::2, 1:]])
def test_torch_tensors_are_taken_over_without_a_copy(array):
    view = as_numpy(array)
    array[0] = 1
    assert view.shape == tuple(array.shape) and np.asarray(view[0]).all()


def test_anything_with_dlpack_is_taken_over_without_a_copy():
    memory = np.arange(6, dtype=np.float32)
    assert np.shares_memory(as_numpy(Foreign(memory)), memory)
    assert np.shares_memory(as_numpy(memory), memory)


def test_a_tensor_that_is_differentiated_is_viewed():
    assert as_numpy(torch.ones(2, requires_grad=True)).tolist() == [1, 1]


@pytest.mark.parametrize("array, error, sentence", [
    (Foreign(np.zeros(1), device=(2, 0)), ValueError, r"on device cuda:0 given, expected CPU memory; run the simulator on the CPU"),
    (torch.zeros(2, dtype=torch.bfloat16), TypeError, "torch Tensor of torch.bfloat16 given, which NumPy cannot view"),
    (object(), TypeError, "object given, expected an array"),
])
def test_what_cannot_be_viewed_is_refused(array, error, sentence):
    with pytest.raises(error, match=sentence):
        as_numpy(array)
