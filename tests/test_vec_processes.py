"""Processes within processes: what environments start in a worker, where workers may be started, and that all end together."""

import multiprocessing
import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from pathlib import Path

import numpy as np
import psutil
import pytest
import torch
from vectorizer_environments import Counter, Factory, Parent, Stubborn, sleep

from puffer_min.vector import make_vec

TESTS = Path(__file__).parent


def gone(pids, patience=10.0):
    """Whether no process of these numbers runs any longer; waits for it as long as `patience`."""
    deadline = time.monotonic() + patience
    while (alive := [pid for pid in pids if runs(pid)]) and time.monotonic() < deadline:
        time.sleep(0.02)
    return not alive


def runs(pid):
    """Whether a process is there and no zombie: an orphan is reaped by whoever is the first process here."""
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def children_of(vec):
    """Numbers of the processes that the environments have started."""
    children = [info["child"] for info in vec.reset(0)[1]]
    assert len(children) == vec.num_envs and all(map(runs, children))
    return children


@pytest.mark.parametrize("start_method", ["fork", "spawn"])
@pytest.mark.parametrize("how", ["multiprocessing", "subprocess"])
def test_an_environment_may_start_a_process_and_leave_it_to_the_end_of_its_worker(how, start_method):
    vec = make_vec(Parent, 2, 2, "process", start_method=start_method, how=how)
    children = children_of(vec)
    vec.step(np.zeros(2, np.int32))
    vec.close()
    assert gone(vec.pids + children)


def test_what_an_environment_has_started_ends_with_a_worker_that_is_killed_or_hangs():
    vec = make_vec(Parent, 2, 2, "process")
    children = children_of(vec)
    os.kill(vec.pids[1], signal.SIGKILL)
    with pytest.raises(RuntimeError, match="was killed by SIGKILL"):
        vec.step(np.zeros(2, np.int32))
    assert gone(vec.pids + children)
    vec = make_vec(Parent, 2, 2, "process", hang=True, timeout=0.5)
    children = children_of(vec)
    with pytest.raises(TimeoutError):
        vec.step(np.zeros(2, np.int32))
    assert gone(vec.pids + children)


def use_in_a_pool(number):
    with make_vec(Counter, 4, 2, "process") as vec:
        vec.reset(number)
        return vec.step(np.full(4, number, np.int32))[1].sum()


def test_workers_may_be_started_in_the_worker_of_a_pool():
    with multiprocessing.get_context("fork").Pool(2) as pool:
        assert pool.map(use_in_a_pool, range(4)) == [0, 4, 8, 12]


def test_what_the_caller_starts_is_as_daemonic_as_before():
    with make_vec(Counter, 2, 2, "process"):
        process = multiprocessing.get_context("fork").Process(target=sleep)
        assert not process.daemon and not multiprocessing.current_process().daemon


# ---------------------------------------------------------------------- the caller dies

@pytest.mark.parametrize("where", ["here", "in another thread"])
@pytest.mark.parametrize("start_method", ["fork", "spawn"])
def test_a_caller_killed_during_a_long_step_leaves_no_process(tmp_path, start_method, where):
    script = tmp_path / "script.py"
    script.write_text(textwrap.dedent(f"""
        import sys, threading, time
        sys.path.insert(0, {str(TESTS)!r})
        import numpy as np
        from puffer_min.vector import make_vec
        from vectorizer_environments import Parent

        def main():
            vec = make_vec(Parent, 2, 2, "process", start_method={start_method!r}, hang=True)
            print(*vec.pids, *[info["child"] for info in vec.reset(0)[1]], flush=True)
            vec.step(np.zeros(2, np.int32))

        if __name__ == "__main__":
            if {where != "here"}:
                threading.Thread(target=main).start()
                time.sleep(1000)
            main()
    """))
    process = subprocess.Popen([sys.executable, script], stdout=subprocess.PIPE, text=True)
    pids = [int(pid) for pid in process.stdout.readline().split()]
    assert len(pids) == 4 and all(map(runs, pids))
    time.sleep(0.1)
    process.kill()
    process.communicate()
    assert gone(pids)


def test_workers_outlive_the_thread_that_made_them():
    made = []
    thread = threading.Thread(target=lambda: made.append(make_vec(Counter, 2, 2, "process")))
    thread.start()
    thread.join()
    time.sleep(0.5)
    with made[0] as vec:
        vec.reset(0)
        assert vec.step(np.full(2, 5, np.int32))[1].tolist() == [5, 5]


# ---------------------------------------------------------------------- torch on both sides of a fork

class Threaded(Counter):
    """Uses two threads of torch in each step."""

    def step(self, actions):
        torch.set_num_threads(2)
        assert (torch.ones(600, 512) @ torch.ones(512, 512)).sigmoid().sum() > 0
        return super().step(actions)


def test_torch_may_use_threads_on_both_sides_of_a_fork():
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        for _ in range(2):
            assert (torch.ones(800, 800) @ torch.ones(800, 800)).sigmoid().sum() > 0
            with make_vec(Threaded, 2, 2, "process", timeout=60) as vec:
                vec.reset(0)
                for t in range(3):
                    assert vec.step(np.full(2, t, np.int32))[1].tolist() == [t, t]
                    assert (torch.ones(800, 800) @ torch.ones(800, 800)).sigmoid().sum() > 0
    finally:
        torch.set_num_threads(before)


# ---------------------------------------------------------------------- closing

@pytest.mark.parametrize("backend, workers", [("serial", 1), ("thread", 2), ("process", 2), ("process", 4)])
def test_a_close_that_raises_keeps_no_other_environment_open_and_closing_twice_is_harmless(backend, workers, tmp_path):
    vec = make_vec(Stubborn, 4, workers, backend, folder=tmp_path)
    vec.reset(0)
    with pytest.raises(OSError, match="does not close"):
        vec.close()
    assert len(list(tmp_path.iterdir())) == 4
    vec.close()
    with pytest.raises(RuntimeError, match="closed"):
        vec.step(np.zeros(4, np.int32))
    assert gone(getattr(vec, "pids", []))


def test_an_error_of_closing_does_not_hide_the_error_that_closed(tmp_path):
    class Both(Stubborn):
        def step(self, actions):
            raise ValueError("the maze has no exit")

    for backend in ("thread", "process"):
        vec = make_vec(Both, 4, 2, backend, folder=tmp_path)
        vec.reset(0)
        with pytest.raises(ValueError, match="the maze has no exit"):
            vec.step(np.zeros(4, np.int32))
        vec.close()


def test_environments_made_before_one_that_cannot_be_made_are_closed(tmp_path):
    made = []

    def make():
        if len(made) == 3:
            raise OSError("no fourth maze")
        made.append(Stubborn(tmp_path))
        return made[-1]

    with pytest.raises(OSError, match="no fourth maze"):
        make_vec(make, 4)
    assert len(made) == 3 and all(env.buffers is None for env in made)


# ---------------------------------------------------------------------- Ctrl-C with threads

def test_ctrl_c_ends_a_program_whose_threads_hang(tmp_path):
    script = tmp_path / "script.py"
    script.write_text(textwrap.dedent(f"""
        import sys
        sys.path.insert(0, {str(TESTS)!r})
        import numpy as np
        from puffer_min.vector import make_vec
        from vectorizer_environments import Failing

        with make_vec(Failing, 3, 3, "thread", what="hang", when=1) as vec:
            vec.reset(0)
            print("ready", flush=True)
            vec.step(np.zeros(3, np.int32))
    """))
    process = subprocess.Popen([sys.executable, script], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "ready\n"
    time.sleep(0.2)
    process.send_signal(signal.SIGINT)
    errors = process.communicate(timeout=30)[1]
    assert process.returncode != 0 and "KeyboardInterrupt" in errors


def test_a_thread_that_hangs_in_a_step_of_all_is_given_up_after_the_timeout():
    gate = threading.Event()

    class Stuck(Counter):
        def step(self, actions):
            gate.wait(20)
            return super().step(actions)

    vec = make_vec(Stuck, 2, 2, "thread", timeout=0.3)
    vec.reset(0)
    with pytest.raises(TimeoutError, match='backend="process" can end such environments'):
        vec.step(np.zeros(2, np.int32))
    gate.set()


# ---------------------------------------------------------------------- factories

@pytest.mark.parametrize("backend", ["serial", "thread", "process", "auto"])
def test_an_object_with_call_is_a_factory_everywhere(backend):
    with make_vec(Factory("nothing"), 2, backend=backend, num_agents=2) as vec:
        assert vec.reset(0)[0].shape == (4, 3)


def test_a_factory_object_can_be_sent_to_a_spawned_worker():
    with make_vec(Factory("nothing"), 2, 2, "process", start_method="spawn") as vec:
        assert vec.reset(0)[0].shape == (2, 3)
