"""Threads with native batches: each batch is stepped once a step, by the caller or by any thread, however many there are."""

import mmap
import threading
import time

import numpy as np
import pytest

import envs
from puffer_min.vector import make_vec
from puffer_min.vector.handoff import DONE, Handoff


def shared(num_batches, helpers):
    """A Handoff over batches of 8 environments, with a serving thread for each of the workers 1 to `helpers`."""
    batches = [envs.make("squared", 8, seed=3, first_env=8 * i) for i in range(num_batches)]
    for batch in batches:
        batch.reset()
    channel = Handoff(np.frombuffer(mmap.mmap(-1, Handoff.size(num_batches)), np.uint8), num_batches)
    channel.share(batches)
    threads = [threading.Thread(target=channel.serve, args=(worker, batches[worker], lambda command: (DONE, None)), daemon=True)
               for worker in range(1, helpers + 1)]
    for thread in threads:
        thread.start()
    return channel, batches, threads


@pytest.mark.parametrize("helpers", [0, 1, 4])
def test_every_batch_is_stepped_once_a_step(helpers):
    channel, batches, threads = shared(5, helpers)
    bare = envs.make("squared", 40, seed=3)
    bare.reset()
    random = np.random.default_rng(0)
    for _ in range(300):
        actions = random.integers(0, 5, 40, dtype=np.int32)
        bare.step(actions)
        for i, batch in enumerate(batches):
            batch.actions[:] = actions[8 * i:8 * i + 8]
        channel.step_all(helpers)
        while channel.await_any(5) < 5:
            pass
        assert channel.take_all() == ()
        assert np.array_equal(np.concatenate([batch.observations for batch in batches]), bare.observations)
    channel.stop(range(1, helpers + 1), 10, 10)
    for thread in threads:
        thread.join(10)
        assert not thread.is_alive()


def test_a_thread_that_was_not_woken_finds_its_turn_after_steps_that_the_caller_took():
    with make_vec("squared", 8, 4, "thread") as vec, make_vec("squared", 8) as serial:
        for each in (vec, serial):
            each.reset(0)
        for t in range(50):
            actions = np.full(8, t % 5, np.int32)
            vec.helpers = 0 if t % 3 else 3
            vec.step(actions)
            serial.step(actions)
            assert np.array_equal(vec.observations, serial.observations)
        vec.send(actions)
        serial.step(actions)
        assert np.array_equal(vec.recv().observations, serial.observations)
        assert vec.log() == serial.log()


@pytest.fixture
def mine():
    """Gives the threads of vectorizers that this test made: one that hung in another test cannot be ended."""
    before = set(threading.enumerate())

    def found():
        new = set(threading.enumerate()) - before
        return [thread for thread in new if thread.name.startswith("puffer_min")]
    return found


def test_a_worker_is_one_thread_and_closing_ends_it(mine):
    with make_vec("squared", 8, 3, "thread") as vec:
        vec.reset(0)
        vec.step(np.zeros(8, np.int32))
        assert len(mine()) == 3
    assert not mine()


def test_a_vectorizer_that_is_forgotten_ends_its_threads(mine):
    vec = make_vec("squared", 8, 3, "thread")
    vec.reset(0)
    del vec
    deadline = time.monotonic() + 10            # the workers have stopped, but nobody waits for their last lines
    while mine() and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not mine()
