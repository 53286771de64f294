"""Processes and threads give what one process gives: the same numbers, the same order, nothing mixed up."""

import os
import pickle
import threading
from functools import partial

import gymnasium
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from vectorizer_environments import Counter, Talking, Waiting, Walk

import envs
from envs.core.buffers import Buffers
from puffer_min.env.checks import ATTRIBUTES
from puffer_min.vector import ProcessVectorizer, Serial, ThreadVectorizer, make_vec, seed_of
from puffer_min.vector.handoff import DONE, MESSAGE, STEP, STOP, Handoff
from puffer_min.vector.parts import part_bounds

POOLS = ("process", "thread")
MAKERS = {
    "native name": "squared",
    "native class with truncation": envs.load("cartpole"),
    "native with metrics": "pong",
    "Python class": Walk,
    "Python class with several agents": partial(Walk, num_agents=3),
    "Gymnasium's": lambda: gymnasium.make("CartPole-v1"),
}
RESULTS = ("observations", "rewards", "terminals", "truncations", "masks")


def actions_of(vec, t):
    """Random actions; those of row i at time t depend on i and t alone."""
    return np.random.default_rng(t).integers(0, int(vec.single_action_space.n), 5000, dtype=np.int32)[:vec.num_agents]


def play(vec, steps, seed=None):
    """All results of a reset and `steps` steps, copied. Final observations only where there are any."""
    vec.reset(seed)
    trace = [[vec.observations.copy()]]
    for t in range(steps):
        parts = [part.copy() for part in vec.step(actions_of(vec, t))[:4]]
        if vec.truncates:
            parts.append(vec.final_observations[vec.truncations])
        trace.append(parts)
    return trace


def same(trace, other):
    return all(np.array_equal(a, b) for parts, others in zip(trace, other, strict=True) for a, b in zip(parts, others, strict=True))


@pytest.fixture(scope="module")
def serial_traces():
    traces = {}
    for name, make_env in MAKERS.items():
        with make_vec(make_env, 8, seed=3) as vec:
            traces[name] = play(vec, 100), play(vec, 20, seed=11), vec.log()
    return traces


@pytest.mark.parametrize("backend", POOLS)
def test_what_an_environment_says_of_itself_reaches_the_learner(backend):
    with make_vec("drive", 2, 2, backend) as vec:
        assert vec.observation_sets and vec.observation_sets == make_vec("drive").observation_sets


@pytest.mark.parametrize("num_workers", [1, 2, 3, 8])
@pytest.mark.parametrize("backend", POOLS)
@pytest.mark.parametrize("maker", MAKERS)
def test_trajectories_are_the_serial_ones_to_the_bit(maker, backend, num_workers, serial_traces):
    first, second, log = serial_traces[maker]
    with make_vec(MAKERS[maker], 8, num_workers, backend, seed=3) as vec:
        assert vec.backend == backend
        assert same(first, play(vec, 100)) and same(second, play(vec, 20, seed=11))
        assert vec.log() == pytest.approx(log)


@pytest.mark.parametrize("maker", ["native name", "Python class"])
def test_the_backend_that_comes_back_is_the_one_asked_for(maker):
    for backend, kind in (("serial", Serial), ("process", ProcessVectorizer), ("thread", ThreadVectorizer)):
        with make_vec(MAKERS[maker], 2, backend=backend) as vec:
            assert type(vec) is kind and vec.backend == vec.plan.backend == backend
    with make_vec("squared", 2, 2, "process") as vec:
        assert len(set(vec.pids)) == 2 and os.getpid() not in vec.pids and "threads step native environments as fast or faster" in str(vec.plan)


def test_spawned_workers_give_the_same_too(serial_traces):
    with make_vec(Walk, 8, 2, "process", seed=3, start_method="spawn") as vec:
        assert same(serial_traces["Python class"][0], play(vec, 100))


def test_spawned_workers_take_functions_that_pickle_alone_would_refuse():
    edge = 2.0
    with make_vec(lambda num_agents: Walk(num_agents=num_agents, edge=edge), 2, 2, "process", start_method="spawn", num_agents=2) as vec:
        assert vec.num_agents == 4 and np.isfinite(vec.reset(0)[0]).all()


@pytest.mark.parametrize("backend", POOLS)
@pytest.mark.parametrize("maker", MAKERS)
def test_vectorizer_has_the_attributes_of_an_environment(maker, backend):
    with make_vec(MAKERS[maker], 4, 2, backend) as vec, make_vec(MAKERS[maker], 4) as serial:
        for name in (*ATTRIBUTES, "seed", "batch_envs", "num_workers"):
            assert hasattr(vec, name), name
        for name in ("single_observation_space", "action_space", "num_agents", "agents_per_env", "metric_names", "truncates", "native"):
            assert getattr(vec, name) == getattr(serial, name), name
        vec.reset(0)
        results = vec.step(actions_of(vec, 0))
        assert all(result is getattr(vec, name) for result, name in zip(results, ("observations", "rewards", "terminals", "truncations"), strict=False))


@pytest.mark.parametrize("backend", POOLS)
def test_a_slow_worker_holds_nobody_up_and_is_received_when_it_is_ready(backend, tmp_path):
    gate = tmp_path / "gate"
    with make_vec(Waiting, 3, 3, backend, batch_envs=1, gate=str(gate)) as vec:
        assert [seed_of(0, i) % 2 for i in range(3)] == [0, 1, 0]               # environment 1 waits in its first step
        vec.async_reset(0)
        seen = set()
        while seen != {0, 1, 2}:
            seen.add(vec.recv().rows.start)
            vec.send(np.full(1, 7, np.int32))
        for _ in range(20):
            assert vec.recv().rows.start != 1
            vec.send(np.full(1, 8, np.int32))
        gate.touch()
        while (batch := vec.recv()).rows.start != 1:
            vec.send(np.full(1, 9, np.int32))
        assert batch.observations[0].tolist() == [seed_of(0, 1) % 2**20, 1, 7]


def follow(vec, schedule, backend_seed=0):
    """Play `schedule` (an iterable of "reset", "sync", "async") and check that nothing is lost, mixed up or out of order."""
    seeds = np.array([seed_of(backend_seed, i) % 2**20 for i in range(vec.num_envs)])
    seeds = np.repeat(seeds, vec.agents_per_env)
    counts, last, token, asynchronous, received = np.zeros(vec.num_agents, int), np.full(vec.num_agents, -1), 0, False, None

    def check(rows, observations, rewards, terminals):
        assert np.array_equal(observations[:, 0], seeds[rows]) and np.array_equal(observations[:, 1], counts[rows])
        assert np.array_equal(observations[:, 2], last[rows])
        moved = counts[rows] > 0
        assert np.array_equal(rewards[moved], last[rows][moved])
        assert np.array_equal(terminals, moved & (counts[rows] % 7 == 0))

    def act(rows):
        nonlocal token
        size = len(np.arange(vec.num_agents)[rows])
        actions = ((token + 13 * np.arange(size)) % 1000).astype(np.int32)
        token += 101
        counts[rows] += 1
        last[rows] = actions
        return actions

    vec.reset(backend_seed)
    for move in schedule:
        if move == "reset" or (move == "sync" and asynchronous):
            vec.reset(backend_seed)
            counts[:], last[:], asynchronous, received = 0, -1, False, None
            check(slice(None), vec.observations, vec.rewards, vec.terminals)
        if move == "sync":
            vec.step(act(slice(0, vec.num_agents)))
            check(slice(None), vec.observations, vec.rewards, vec.terminals)
        if move == "async":
            if not asynchronous:
                vec.async_reset(backend_seed)
                counts[:], last[:], asynchronous = 0, -1, True
            elif received is not None:
                vec.send(act(received))
            batch = vec.recv()
            received = batch.rows
            assert len(batch.observations) == vec.num_agents * vec.batch_envs // vec.num_envs
            check(received, batch.observations, batch.rewards, batch.terminals)


SHAPES = [(4, 4, 1, 1), (4, 4, 2, 2), (6, 3, 4, 1), (8, 2, 4, 3), (6, 6, 6, 1)]      # num_envs, num_workers, batch_envs, agents each


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("backend", POOLS)
def test_random_schedules_keep_order_agents_and_data(backend, shape):
    num_envs, num_workers, batch_envs, num_agents = shape
    with make_vec(Counter, num_envs, num_workers, backend, batch_envs=batch_envs, num_agents=num_agents) as vec:
        @settings(max_examples=25)
        @given(st.lists(st.sampled_from(["async", "async", "async", "sync", "reset"]), max_size=30))
        def check(schedule):
            follow(vec, schedule)
        check()


@pytest.mark.long
@pytest.mark.costly("envs/*.py", "envs/core/*", "puffer_min/*.py", "puffer_min/env/**/*", "puffer_min/vector/**/*",
                    "tests/vectorizer_environments.py")
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("backend", POOLS)
def test_ten_thousand_random_schedules_keep_order_agents_and_data(backend, shape):
    num_envs, num_workers, batch_envs, num_agents = shape
    with make_vec(Counter, num_envs, num_workers, backend, batch_envs=batch_envs, num_agents=num_agents) as vec:
        @settings(max_examples=1000)
        @given(st.lists(st.sampled_from(["async", "async", "async", "sync", "reset"]), max_size=60))
        def check(schedule):
            follow(vec, schedule)
        check()


@pytest.mark.parametrize("backend", POOLS)
def test_neighbouring_workers_are_received_without_a_copy_and_others_as_one(backend):
    with make_vec(Counter, 6, 6, backend, batch_envs=2) as vec:
        vec.reset(0)
        for workers, rows in (([0, 1], slice(0, 2)), ([4, 5], slice(4, 6)), ([0, 2], [0, 2]), ([1, 5], [1, 5])):
            received = vec._received(workers, [])               # which workers finish first is up to the machine
            assert received.rows == rows if isinstance(rows, slice) else received.rows.tolist() == rows
            assert np.shares_memory(received.observations, vec.observations) == isinstance(rows, slice)
            assert np.array_equal(received.observations, vec.observations[received.rows])
        vec.async_reset(0)
        for t in range(100):
            received = vec.recv()
            assert np.shares_memory(received.observations, vec.observations) == isinstance(received.rows, slice)
            vec.send(np.full(2, t, np.int32))


@pytest.mark.parametrize("backend", POOLS)
@pytest.mark.parametrize("maker", ["native class with truncation", "Python class"])
def test_log_counts_every_episode_once(maker, backend):
    with make_vec(MAKERS[maker], 6, 3, backend, report_interval=10) as vec:
        vec.reset(0)
        seen, reported = 0, []
        for t in range(205):
            *_, terminals, truncations, infos = vec.step(actions_of(vec, t))
            assert not infos or t % 10 == 9
            seen += np.count_nonzero(terminals | truncations)
            reported += infos
        assert sum(report["n"] for report in (*reported, vec.log())) == seen > 20 and isinstance(reported[0]["n"], int)
        assert list(reported[0]) == ["n", "episode_return", "episode_length", *dict.fromkeys((*vec.metric_names, "score"))]


@pytest.mark.parametrize("backend", POOLS)
def test_log_of_asynchronous_steps_counts_every_episode_once(backend):
    with make_vec(Counter, 4, 4, backend, batch_envs=1, report_interval=5) as vec:
        vec.async_reset(0)
        seen, reported = 0, []
        for _ in range(400):
            batch = vec.recv()
            seen += np.count_nonzero(batch.terminals)
            reported += batch.infos
            vec.send(np.zeros(1, np.int32))
        missing = seen - sum(report["n"] for report in reported)
        assert seen > 50 and 0 <= missing <= 8                  # an episode is 7 steps long, a worker's log is due every 5 sends


@pytest.mark.parametrize("backend", POOLS)
def test_what_an_environment_reports_arrives_however_long(backend):
    with make_vec(Talking, 4, 2, backend) as vec:
        vec.reset(0)
        for t in range(8):
            infos = vec.step(actions_of(vec, t))[4]
            assert [info["seed"] for info in infos] == [seed_of(0, i) for i in range(4)] and {info["count"] for info in infos} == {t + 1}


@pytest.mark.parametrize("backend", POOLS)
@pytest.mark.parametrize("maker", MAKERS)
def test_saved_state_goes_on_as_if_nothing_had_happened(maker, backend):
    settings = dict(num_envs=4, num_workers=2, backend=backend)
    with make_vec(MAKERS[maker], **settings) as vec, make_vec(MAKERS[maker], seed=9, **settings) as other:
        play(vec, 40, seed=2)
        saved = pickle.loads(pickle.dumps(vec.get_state()))
        expected = [[part.copy() for part in vec.step(actions_of(vec, t))[:4]] for t in range(60)]
        other.set_state(saved)
        assert same(expected, [[part.copy() for part in other.step(actions_of(vec, t))[:4]] for t in range(60)])
        assert vec.log() == other.log()


def test_state_of_another_division_is_refused():
    with make_vec(Counter, 4, 2, "thread") as vec, make_vec(Counter, 4, 4, "thread") as other:
        vec.reset(0)
        with pytest.raises(ValueError, match="make the vectorizer with the num_envs and num_workers it was saved with"):
            other.set_state(vec.get_state())


@pytest.mark.parametrize("backend", POOLS)
def test_picture_of_the_environment_asked_for(backend):
    with make_vec(Walk, 5, 2, backend) as vec:
        vec.reset(0)
        for index in range(5):
            assert (vec.render(index) == seed_of(0, index) % 256).all()
        with pytest.raises(IndexError, match="index=5 given, expected 0 to 4"):
            vec.render(5)
        vec.step(np.zeros(5, np.int32))                         # a question that was wrong has closed nothing


@pytest.mark.parametrize("backend", POOLS)
def test_calls_out_of_order_are_refused(backend):
    with make_vec(Counter, 4, 2, backend, batch_envs=2) as vec:
        with pytest.raises(RuntimeError, match=r"step\(\) before the first reset: call reset\(seed\)"):
            vec.step(np.zeros(4, np.int32))
        with pytest.raises(RuntimeError, match=r"recv\(\) while no step is running"):
            vec.recv()
        vec.async_reset(0)
        with pytest.raises(RuntimeError, match=r"send\(\) twice: call recv\(\)"):
            vec.send(np.zeros(2, np.int32))
        with pytest.raises(RuntimeError, match=r"step\(\) after send\(\) or async_reset\(\)"):
            vec.step(np.zeros(4, np.int32))
        with pytest.raises(RuntimeError, match=r"log\(\) with a step on its way"):
            vec.log()
        vec.recv()
        with pytest.raises(ValueError, match=r"actions: given shape \(4,\), expected \(2,\)"):
            vec.send(np.zeros(4, np.int32))
        vec.send(np.zeros(2, np.int32))


@pytest.mark.parametrize("backend", POOLS)
@pytest.mark.parametrize("actions, error, sentence", [
    ([0, 0, 0, 0], TypeError, "actions: given list, expected a NumPy array int32"),
    (np.zeros(4, np.int64), TypeError, "actions: given int64, expected int32"),
    (np.zeros(3, np.int32), ValueError, r"actions: given shape \(3,\), expected \(4,\)"),
    (np.array([0, 3, 0, 0], np.int32), ValueError, "actions: agent 1 has 3"),
    (np.array([0, 0, 0, -1], np.int32), ValueError, "actions: agent 3 has -1"),
])
def test_wrong_actions_are_refused_before_anything_is_stepped(actions, error, sentence, backend):
    with make_vec(Walk, 4, 2, backend) as vec, make_vec(Walk, 4) as serial:
        for each in (vec, serial):
            each.reset(0)
            with pytest.raises(error, match=sentence):
                each.step(actions)
        assert np.array_equal(vec.step(np.zeros(4, np.int32))[0], serial.step(np.zeros(4, np.int32))[0])


def test_strided_actions_and_the_vectorizers_own_are_taken():
    with make_vec(Counter, 4, 2, "thread") as vec:
        vec.reset(0)
        assert vec.step(np.arange(8, dtype=np.int32)[::2])[1].tolist() == [0, 2, 4, 6]
        vec.actions[:] = 5
        assert vec.step(vec.actions)[1].tolist() == [5] * 4


def test_threads_move_into_other_memory_in_the_middle_of_an_episode():
    with make_vec(Walk, 4, 2, "thread") as moving, make_vec(Walk, 4) as staying:
        play(moving, 10, seed=1)
        play(staying, 10, seed=1)
        mine = Buffers.allocate(4, moving.single_observation_space, moving.single_action_space, truncates=True)
        moving.bind(mine)
        for t in range(30):
            assert np.array_equal(moving.step(actions_of(moving, t))[0], staying.step(actions_of(staying, t))[0])
        assert moving.observations is mine.observations


@pytest.mark.parametrize("backend", POOLS)
def test_environments_of_different_spaces_are_refused(backend, tmp_path):
    def make():
        (tmp_path / str(len(list(tmp_path.iterdir())))).touch()
        return Walk() if len(list(tmp_path.iterdir())) == 1 else Counter()

    with pytest.raises(ValueError, match="environments differ in single_observation_space"):
        make_vec(make, 2, 2, backend) if backend == "thread" else make_vec(make, 2, 1, backend)


@pytest.mark.parametrize("backend", POOLS)
def test_closed_vectorizer_says_so_and_closing_twice_is_harmless(backend):
    with make_vec(Counter, 2, 2, backend) as vec:
        vec.reset(0)
    vec.close()
    for use in (lambda: vec.step(np.zeros(2, np.int32)), vec.reset, vec.recv, vec.get_state):
        with pytest.raises(RuntimeError, match=r"this vectorizer is closed; make a new one with make_vec\(...\)"):
            use()


def test_parts_are_as_equal_as_can_be():
    for num_envs in range(1, 30):
        for num_workers in range(1, num_envs + 1):
            sizes = [last - first for first, last in part_bounds(num_envs, num_workers)]
            assert sum(sizes) == num_envs and max(sizes) - min(sizes) <= 1 and min(sizes) >= 1


def test_handoff_wants_memory_on_a_cache_line():
    memory = np.zeros(4096, np.uint8)
    offset = -memory.ctypes.data % 64
    Handoff(memory[offset:], 3)
    with pytest.raises(ValueError, match="on a cache line"):
        Handoff(memory[offset + 8:], 3)
    with pytest.raises(ValueError, match="memory of 64 bytes given"):
        Handoff(memory[offset:offset + 64], 3)


def test_turns_are_kept_when_the_counters_wrap():
    block = np.zeros(Handoff.size(2) + 64, np.uint8)
    memory = block[-block.ctypes.data % 64:][:Handoff.size(2)]
    words = memory.view(np.uint32)
    words[[16, 17, 18]] = 2**32 - 5                             # orders, finished, events
    for lines in (words[32:64], words[64:96]):
        lines[[0, 16]] = 2**32 - 5                              # ticket, done
    caller, steps = Handoff(memory, 2), [0, 0]

    class Answer:
        def __init__(self, worker):
            self.worker = worker

        def __call__(self, command):
            steps[self.worker] += 1
            return DONE, None

    threads = [threading.Thread(target=Handoff(memory, 2).serve, args=(w, None, Answer(w), os.getppid()), daemon=True) for w in range(2)]
    for thread in threads:
        thread.start()
    for step in range(1, 50):
        caller.give([0, 1], STEP)
        while caller.await_any(2) < 2:
            pass
        assert sorted(caller.take_ready(2)) == [(0, DONE), (1, DONE)] and steps == [step, step]
    assert words[0] < 200 and words[32] < 200                   # they did wrap
    assert caller.stop([0, 1], 10, 10) == [(0, DONE), (1, DONE)]
    for thread in threads:
        thread.join(10)


def test_a_worker_that_is_stopped_while_it_still_delivers_a_message_closes_its_environments():
    block = np.zeros(Handoff.size(1) + 64, np.uint8)
    memory = block[-block.ctypes.data % 64:][:Handoff.size(1)]
    caller, done, told = Handoff(memory, 1), [], threading.Event()

    class Answer:
        def __call__(self, command):
            done.append(command)
            return (MESSAGE, "infos") if command == STEP else (DONE, None)

        def deliver(self, message):
            assert told.wait(10)

    thread = threading.Thread(target=Handoff(memory, 1).serve, args=(0, None, Answer(), os.getppid()), daemon=True)
    thread.start()
    caller.give([0], STEP)
    while not caller.await_any(1):
        pass
    assert caller.take_ready(1) == [(0, MESSAGE)]
    caller.give([0], STOP)                                      # it has said that it is done, and delivers what it found
    told.set()
    thread.join(10)
    assert done == [STEP, STOP] and not thread.is_alive() and not caller.is_unfinished(0)
