"""The thread pool by itself: every part once, by any thread."""

import threading
import time

import numpy as np
import pytest

import envs
from puffer_min.vector.pool import ThreadPool
from puffer_min.vector import make_vec


class Part:
    """Not native: stepped by Python."""


def pool_of(number, run, helpers):
    pool = ThreadPool([Part() for _ in range(number)], run)
    threads = [threading.Thread(target=pool.help, daemon=True) for _ in range(helpers)]
    for thread in threads:
        thread.start()
    while pool.helpers < helpers:
        time.sleep(0.001)
    return pool, threads


def end(pool, threads):
    pool.stop()
    for thread in threads:
        thread.join(10)
    assert not any(thread.is_alive() for thread in threads)


@pytest.mark.parametrize("helpers", [0, 1, 3])
def test_every_part_is_stepped_once_a_step(helpers):
    counts = [0] * 5

    def run(part):
        counts[part] += 1

    pool, threads = pool_of(5, run, helpers)
    for step in range(1, 300):
        pool.run_all()
        assert counts == [step] * 5
    end(pool, threads)


def test_parts_come_back_in_the_order_in_which_they_finished():
    gates, order = [threading.Event() for _ in range(3)], []

    def run(part):
        gates[part].wait(10)
        order.append(part)

    pool, threads = pool_of(3, run, 3)
    pool.give([0, 1, 2])
    for part in (2, 0, 1):
        gates[part].set()
        while part not in order:
            time.sleep(0.001)
    while pool.await_any(3, False) < 3:
        pass
    assert pool.take_ready(2) == [2, 0] and pool.take_ready(1) == [1]
    end(pool, threads)


def test_the_caller_can_be_told_to_step_all_parts_alone():
    seen = set()
    pool, threads = pool_of(4, lambda part: seen.add(threading.get_ident()), 3)
    pool.alone = True
    for _ in range(50):
        pool.run_all()
    assert seen == {threading.get_ident()}
    end(pool, threads)


def test_native_parts_are_stepped_without_python():
    parts = [envs.make("squared", 8, first_env=8 * i) for i in range(2)]
    for part in parts:
        part.reset(0)
    called = []
    pool = ThreadPool(parts, called.append)
    before = [part.observations.copy() for part in parts]
    for part in parts:
        part.actions[:] = 1
    assert not pool.run_all() and called == []
    assert all(not np.array_equal(part.observations, old) for part, old in zip(parts, before))
    pool.use_python(1, True)
    assert pool.run_all() and called == [1]


def test_closing_ends_every_thread():
    with make_vec("squared", 8, 2, "thread") as vec:
        vec.reset(0)
        vec.step(np.zeros(8, np.int32))
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("puffer_min")]
