"""The like-Gym simulator of level 6: its oddities are real, and its binding settles each of them."""

import contextlib
import json

import numpy as np
import pytest
import torch

import puffer_min
from puffer_min.course.torch_simulator import Crossing, CrossingEnv, write_scenes
from puffer_min.course.torch_simulator.crossing import EPISODE, SLOTS
from puffer_min.course.torch_simulator.scenes import CARS


@pytest.fixture
def simulator(tmp_path, monkeypatch):
    write_scenes(tmp_path)
    monkeypatch.chdir(tmp_path)
    made = Crossing(3, seed=1)
    made.reset()
    return made


def drive(simulator, action=4):
    simulator.step(torch.full((simulator.num_worlds, SLOTS), action))


# ---------------------------------------------------------------------------------------------------------------- the simulator is odd

def test_it_finds_its_scenes_in_the_working_directory_alone(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(FileNotFoundError, match="Data directory does not exist or is empty"):
        Crossing(1)
    write_scenes(tmp_path)
    assert len(Crossing(1).scenes) == len(CARS)


def test_scenes_are_the_same_every_time(tmp_path):
    one, other = write_scenes(tmp_path / "a"), write_scenes(tmp_path / "b")
    assert [path.read_text() for path in sorted(one.iterdir())] == [path.read_text() for path in sorted(other.iterdir())]
    assert [len(json.loads(path.read_text())["cars"]) for path in sorted(one.iterdir())] == list(CARS)


def test_empty_slots_are_done_from_the_start_and_flags_stay_up(simulator):
    dones = simulator.get_dones().clone()
    assert torch.equal(dones == 1, ~simulator.controlled) and dones.any()
    for _ in range(EPISODE):
        drive(simulator, 7)
    assert (simulator.get_dones() == 1).all()


def test_its_observations_are_its_own_memory(simulator):
    before = simulator.get_observations()[0, 0, 3].item()
    for expected in (before / 100, before / 10_000):
        simulator.get_observations().div_(100)
        assert simulator.get_observations()[0, 0, 3].item() == pytest.approx(expected)


def test_rewards_of_cars_that_are_done_stay(simulator):
    for _ in range(EPISODE):
        drive(simulator, 7)
    kept = simulator.get_rewards().clone()
    drive(simulator, 7)
    assert torch.equal(kept, simulator.get_rewards()) and kept.any()


def test_unset_things_have_the_kind_minus_one(simulator):
    kinds = simulator.get_observations()[..., -1]
    with pytest.raises(RuntimeError, match="non-negative"):
        torch.nn.functional.one_hot(kinds.long())


def test_actions_of_another_shape_or_container_are_refused(simulator):
    for actions in (np.zeros((3, SLOTS), np.int64), torch.zeros(3 * SLOTS, dtype=torch.int64), torch.zeros(3, SLOTS)):
        with pytest.raises(TypeError, match="must be a torch.int64 tensor of shape"):
            simulator.step(actions)


# ---------------------------------------------------------------------------------------------------------------- the binding is not

def test_the_binding_keeps_the_contract():
    report = puffer_min.check_environment(CrossingEnv)
    assert report.ok, report


def test_the_binding_leaves_the_working_directory_alone(tmp_path):
    with contextlib.chdir(tmp_path):
        env = CrossingEnv(num_worlds=1)
        assert not list(tmp_path.iterdir())
    assert env.simulator.scenes


def test_masks_are_the_cars_and_no_flag_is_up_for_an_empty_slot():
    env = CrossingEnv(num_worlds=4)
    env.reset(0)
    cars = env.masks.reshape(4, SLOTS).sum(1)
    assert set(cars.tolist()) <= set(CARS) and not env.observations[~env.masks].any()
    random = np.random.default_rng(0)
    for _ in range(100):
        lived = env.masks.copy()
        env.step(random.integers(0, 9, env.num_agents, dtype=np.int32))
        assert not (env.terminals | env.truncations)[~lived].any() and not env.rewards[~lived].any()
        assert not (env.terminals & env.truncations).any()


def test_time_is_a_truncation_with_the_last_observation_and_a_goal_is_none():
    env = CrossingEnv(num_worlds=8)
    env.reset(0)
    idle = np.full(env.num_agents, 4, np.int32)
    for _ in range(EPISODE - 1):
        env.step(idle)
        assert not env.truncations.any()
    stayed = env.masks.copy()
    shown = env.observations.copy()
    env.step(idle)
    assert np.array_equal(env.truncations, stayed) and stayed.sum() > 40
    assert np.allclose(env.final_observations[stayed], shown[stayed])       # who does not drive sees the same to the end
    assert env.masks.reshape(8, SLOTS).any(1).all()                         # every world has begun anew


def test_looking_twice_changes_nothing():
    env = CrossingEnv(num_worlds=2)
    first = env.reset(3)[0].copy()
    env.show(env.observations)
    assert np.array_equal(first, env.observations)


def test_worlds_of_a_vectorizer_go_on_alone():
    vec = puffer_min.make_vec(CrossingEnv, num_envs=2, num_worlds=3)
    vec.reset(0)
    assert vec.num_agents == 2 * 3 * SLOTS and vec.num_envs == 6 and vec.observation_sets == CrossingEnv.observation_sets
    vec.step(np.full(vec.num_agents, 7, np.int32))
    assert not np.array_equal(vec.observations[:36], vec.observations[36:])


def test_closing_the_binding_closes_the_simulator():
    env = CrossingEnv(num_worlds=1)
    simulator = env.simulator
    env.close()
    env.close()
    with pytest.raises(RuntimeError, match="simulator was closed"):
        simulator.reset()


def test_cars_learn_to_drive_to_their_goal(tmp_path):
    result = puffer_min.train(CrossingEnv, seed=0, total_steps=150_000, num_envs=1, horizon=32, minibatch_size=1536, learning_rate=3e-3,
                              env_settings={"num_worlds": 32}, torch_threads=1, run_dir=tmp_path)
    first, last = result.history[0], result.history[-1]
    assert last["episode_return"] > first["episode_return"] + 0.25 and first["density"] < 0.8


@pytest.mark.parametrize("batch", [None, 1])
def test_objects_that_hold_several_worlds_each_are_shared_out_among_workers(batch):
    with contextlib.closing(puffer_min.make_vec(CrossingEnv, num_envs=2, num_workers=2, backend="process", batch_envs=batch, seed=3,
                                                env_settings={"num_worlds": 4})) as vec:
        assert vec.num_envs == 8 and vec.batch_envs == 8 // (1 if batch is None else 2)
        vec.async_reset(0)
        received = vec.recv()
        assert len(received.rewards) == vec.num_agents // (1 if batch is None else 2)
