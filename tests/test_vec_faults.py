"""What can go wrong with workers: each time a sentence that says so, soon, and nothing left behind."""

import gc
import itertools
import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
import traceback
from pathlib import Path

import numpy as np
import psutil
import pytest
from vectorizer_environments import Counter, Failing, Talking, Unlucky

from puffer_min.vector import WorkerDied, make_vec

STARTS = ("fork", "spawn")
TESTS = Path(__file__).parent
warm = set()                # start methods that this process has used before


def gone(pids, patience=10.0):
    """Whether no process of these numbers is left, a zombie neither; waits for it as long as `patience`."""
    deadline = time.monotonic() + patience
    while (alive := [pid for pid in pids if psutil.pid_exists(pid)]) and time.monotonic() < deadline:
        time.sleep(0.01)
    return not alive


def resources():
    """What a vectorizer could leave behind: children, file descriptors, segments with a name, threads."""
    gc.collect()
    return {"children": len(psutil.Process().children(recursive=True)), "descriptors": len(os.listdir("/proc/self/fd")),
            "segments": sorted(os.listdir("/dev/shm")), "maps": Path("/proc/self/maps").read_text().count("memfd:puffer_min"),
            "threads": len([t for t in threading.enumerate() if t.name.startswith("puffer_min")])}


@pytest.fixture
def nothing_left():
    """Fails a test that leaves more behind than it found. Of `Failing`s with seed 0, environment 1 of 3 misbehaves."""
    if sys.platform != "linux":
        yield
        return
    for start_method in STARTS:                                 # Python opens something for good: spawn's resource tracker
        if start_method not in warm:
            make_vec(Counter, 1, 1, "process", start_method=start_method).close()
            warm.add(start_method)
    before = resources()
    yield
    deadline = time.monotonic() + 10
    while resources() != before and time.monotonic() < deadline:
        time.sleep(0.02)
    assert resources() == before


def step_until_it_fails(vec, steps=20):
    vec.reset(0)
    for _ in range(steps):
        vec.step(np.zeros(vec.num_agents, np.int32))


@pytest.mark.parametrize("start_method", STARTS)
def test_exception_of_an_environment_is_raised_here_with_its_traceback(start_method, nothing_left):
    vec = make_vec(Failing, 3, 2, "process", start_method=start_method)
    with pytest.raises(ValueError, match="the maze has no exit") as caught:
        step_until_it_fails(vec)
    text = "".join(traceback.format_exception(caught.value))
    assert "worker 1 (environments 1 to 2)" in text and "in misbehave" in text and "vectorizer_environments.py" in text
    with pytest.raises(RuntimeError, match=r"closed since worker 1 \(environments 1 to 2\) raised ValueError; make a new one"):
        vec.reset(0)
    assert gone(vec.pids)


def test_exception_reaches_the_caller_while_the_other_workers_still_step(nothing_left):
    vec = make_vec(Failing, 2, 2, "process", batch_envs=1, timeout=60)
    vec.async_reset(0)
    with pytest.raises(ValueError, match="the maze has no exit"):
        for _ in range(1000):
            vec.recv()
            vec.send(np.zeros(1, np.int32))
    assert gone(vec.pids)


def test_exception_that_cannot_be_pickled_arrives_with_its_words(nothing_left):
    vec = make_vec(Failing, 2, 2, "process", what="unpicklable")
    with pytest.raises(RuntimeError, match="Asking: where is the exit"):
        step_until_it_fails(vec)


@pytest.mark.parametrize("backend", ["process", "thread"])
def test_an_environment_that_calls_sys_exit_when_it_is_made_is_an_error_too(backend, nothing_left):
    with pytest.raises(RuntimeError, match=r"an environment called sys.exit\(0\)"):
        make_vec(lambda: sys.exit(0), 2, 2, backend)


@pytest.mark.parametrize("backend", ["process", "thread"])
def test_environment_that_calls_sys_exit_is_an_error_of_the_caller_and_not_its_end(backend, nothing_left):
    vec = make_vec(Failing, 2, 2, backend, what="exit")
    with pytest.raises(RuntimeError, match=r"an environment called sys.exit\(3\): end an episode with a terminal flag") as caught:
        step_until_it_fails(vec)
    assert "in misbehave" in "".join(traceback.format_exception(caught.value))


@pytest.mark.parametrize("backend", ["process", "thread"])
def test_failing_reset_is_raised(backend, nothing_left):
    vec = make_vec(Failing, 3, 2, backend, what="reset")
    with pytest.raises(ValueError, match="the maze has no exit") as caught:
        vec.reset(0)
    assert "worker 1 (environments 1 to 2)" in "".join(caught.value.__notes__)


@pytest.mark.parametrize("backend", ["process", "thread"])
def test_resets_that_fail_in_five_of_a_hundred_cases_succeed_as_often_as_they_should(backend, nothing_left):
    succeeded = 0
    for seed in range(20):
        with make_vec(Unlucky, 8, 4, backend, seed=seed) as vec:
            try:
                vec.reset()
                succeeded += 1
            except ValueError as error:
                assert str(error) == "unlucky reset"
    with_one_process = 0
    for seed in range(20):
        with make_vec(Unlucky, 8, seed=seed) as vec:
            try:
                vec.reset()
                with_one_process += 1
            except ValueError:
                pass
    assert succeeded == with_one_process and 8 < succeeded < 19                 # 0.95 ** 8 is 0.66


def test_exception_in_a_thread_is_raised_here(nothing_left):
    vec = make_vec(Failing, 3, 2, "thread")
    with pytest.raises(ValueError, match="the maze has no exit") as caught:
        step_until_it_fails(vec)
    assert "in misbehave" in "".join(traceback.format_exception(caught.value))
    with pytest.raises(RuntimeError, match="closed since worker 1 .* raised ValueError"):
        vec.reset(0)


@pytest.mark.parametrize("start_method", STARTS)
@pytest.mark.parametrize("what, sentence", [
    ("kill", r"worker 1 \(environments 1 to 2\) was killed by SIGKILL; out of memory\?"),
    ("crash", r"worker 1 \(environments 1 to 2\) was killed by SIGSEGV; a crash in compiled code\?"),
    ("leave", r"worker 1 \(environments 1 to 2\) ended with exit code 7"),
])
def test_worker_that_dies_is_reported(what, sentence, start_method, nothing_left):
    vec = make_vec(Failing, 3, 2, "process", what=what, start_method=start_method)
    with pytest.raises(WorkerDied, match=sentence):
        step_until_it_fails(vec)
    with pytest.raises(RuntimeError, match="this vectorizer is closed since worker 1"):
        vec.step(np.zeros(3, np.int32))
    assert gone(vec.pids)


def test_worker_killed_while_idle_is_reported_at_the_next_step(nothing_left):
    vec = make_vec(Counter, 4, 2, "process")
    vec.reset(0)
    os.kill(vec.pids[1], signal.SIGKILL)
    with pytest.raises(WorkerDied, match=r"worker 1 \(environments 2 to 3\) was killed by SIGKILL"):
        step_until_it_fails(vec)
    assert gone(vec.pids)


def test_worker_killed_while_idle_is_reported_by_a_reset_and_a_question_too(nothing_left):
    for use in (lambda vec: vec.reset(0), lambda vec: vec.get_state(), lambda vec: vec.log()):
        vec = make_vec(Counter, 2, 2, "process")
        vec.reset(0)
        os.kill(vec.pids[0], signal.SIGKILL)
        gone(vec.pids[:1], patience=0.2)
        with pytest.raises(WorkerDied, match="worker 0"):
            use(vec)


@pytest.mark.parametrize("start_method", STARTS)
def test_worker_that_hangs_is_given_up_and_ended(start_method, nothing_left):
    vec = make_vec(Failing, 3, 2, "process", what="hang", timeout=0.5 if start_method == "fork" else 5, start_method=start_method)
    with pytest.raises(TimeoutError, match=r"worker 1 \(environments 1 to 2\) did not finish within timeout=.* s"):
        step_until_it_fails(vec)
    assert gone(vec.pids)


def test_thread_that_hangs_is_reported_where_the_caller_does_not_step_itself_and_ends_after_its_step(nothing_left):
    gate = threading.Event()

    class Stuck(Counter):
        def step(self, actions):
            gate.wait(20)
            return super().step(actions)

    vec = make_vec(Stuck, 2, 2, "thread", batch_envs=1, timeout=0.3)
    vec.async_reset(0)
    vec.recv()
    vec.send(np.zeros(1, np.int32))
    vec.recv()
    vec.send(np.zeros(1, np.int32))
    with pytest.raises(TimeoutError, match='backend="process" can end such environments'):
        vec.recv()
    gate.set()


@pytest.mark.parametrize("backend", ["process", "thread"])
def test_environment_that_cannot_be_made_is_reported(backend, nothing_left):
    with pytest.raises(OSError, match="no such maze"):
        make_vec(Failing, 3, 2, backend, what="make")
    with pytest.raises(TypeError, match="unexpected keyword argument 'colour'"):
        make_vec(Counter, 4, 2, backend, colour="red")


def test_worker_that_dies_while_it_makes_its_environment_is_reported(nothing_left):
    with pytest.raises(WorkerDied, match="worker 0 .* ended with exit code 4"):
        make_vec(lambda: os._exit(4), 2, 2, "process")


def test_setting_that_cannot_be_sent_to_a_spawned_worker_is_named_before_any_starts(nothing_left):
    with pytest.raises(TypeError, match="cannot be pickled for a worker"):
        make_vec(Counter, 2, 2, "process", start_method="spawn", lock=threading.Lock())


def test_vectorizer_that_is_forgotten_takes_its_workers_along(nothing_left):
    vec = make_vec(Talking, 4, 2, "process")
    vec.reset(0)
    pids = vec.pids
    del vec
    gc.collect()
    assert gone(pids)


@pytest.mark.parametrize("backend", ["process", "thread"])
def test_vectorizers_can_be_made_and_closed_over_and_over(backend, nothing_left):
    for seed in range(25):
        with make_vec(Counter, 3, 3, backend, seed=seed) as vec:
            vec.reset()
            assert vec.step(np.full(3, seed, np.int32))[1].tolist() == [seed] * 3


def test_two_vectorizers_live_side_by_side_and_one_ends_without_the_other(nothing_left):
    with make_vec(Counter, 2, 2, "process") as one:
        with make_vec(Counter, 4, 2, "process") as other:
            one.reset(0)
            other.reset(0)
        one.step(np.zeros(2, np.int32))
        assert gone(other.pids) and not gone(one.pids, patience=0)


def test_a_vectorizer_closed_in_the_middle_of_a_step_is_closed(nothing_left):
    vec = make_vec(Counter, 4, 2, "process", batch_envs=2)
    vec.async_reset(0)
    vec.recv()
    vec.send(np.zeros(2, np.int32))
    vec.close()
    assert gone(vec.pids)


# ---------------------------------------------------------------------- the caller itself ends

def program(body):
    """A Python program that makes `vec` with two workers, prints their numbers, then does `body`."""
    return textwrap.dedent(f"""
        import os, signal, sys, time
        sys.path.insert(0, {str(TESTS)!r})
        import numpy as np
        from vectorizer_environments import Counter, Failing
        from puffer_min.vector import make_vec

        if __name__ == "__main__":
            vec = make_vec(WHAT, 4, 2, "process", start_method=START)
            vec.reset(0)
            print(*vec.pids, flush=True)
    """) + textwrap.indent(textwrap.dedent(body), "    ")


def run(tmp_path, body, start_method, what="Counter"):
    script = tmp_path / "script.py"
    script.write_text(program(body).replace("START", repr(start_method)).replace("WHAT", what))
    process = subprocess.Popen([sys.executable, script], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    return process, [int(pid) for pid in process.stdout.readline().split()]


@pytest.mark.parametrize("start_method", STARTS)
def test_interpreter_that_exits_without_close_leaves_no_worker_and_no_word(tmp_path, start_method):
    process, pids = run(tmp_path, "vec.step(np.zeros(4, np.int32))", start_method)
    output, errors = process.communicate(timeout=60)
    assert process.returncode == 0 and errors == "" and len(pids) == 2 and gone(pids)


@pytest.mark.parametrize("start_method", STARTS)
def test_caller_that_fails_leaves_no_worker(tmp_path, start_method):
    process, pids = run(tmp_path, "raise ZeroDivisionError", start_method)
    assert "ZeroDivisionError" in process.communicate(timeout=60)[1] and gone(pids)


@pytest.mark.parametrize("what", ["Counter", "lambda **s: Failing(what='hang', **s)"])
@pytest.mark.parametrize("start_method", STARTS)
def test_caller_that_is_killed_leaves_no_worker(tmp_path, start_method, what):
    process, pids = run(tmp_path, "while True: vec.step(np.zeros(4, np.int32))", start_method, what)
    time.sleep(0.1)
    segments = set(os.listdir("/dev/shm")) if sys.platform == "linux" else set()
    process.kill()
    process.wait(60)
    assert len(pids) == 2 and gone(pids)
    assert not segments - set(os.listdir("/dev/shm")) if sys.platform == "linux" else True
    process.communicate()


@pytest.mark.parametrize("start_method", STARTS)
def test_ctrl_c_interrupts_the_caller_alone_and_it_can_go_on(tmp_path, start_method):
    process, pids = run(tmp_path, """
        interrupted = 0
        while interrupted < 3:
            try:
                vec.async_reset(0)
                print("ready", flush=True)
                while True:
                    vec.recv()
                    vec.send(np.zeros(4, np.int32))
            except KeyboardInterrupt:
                interrupted += 1
        vec.reset(0)
        print("alive", vec.step(np.ones(4, np.int32))[1].sum(), flush=True)
        vec.close()
    """, start_method)
    group = [process.pid, *pids]
    for _ in range(3):
        assert process.stdout.readline() == "ready\n"
        time.sleep(0.05)
        for pid in group:                                       # as a terminal does: to all processes of the group
            os.kill(pid, signal.SIGINT)
    output, errors = process.communicate(timeout=60)
    assert output == "alive 4.0\n" and errors == "" and process.returncode == 0 and gone(pids)


def interruption(nth):
    """A trace function that raises KeyboardInterrupt before the nth line of turns.py where Ctrl-C is not put off."""
    lines = itertools.count()

    def trace(frame, event, argument):
        if not frame.f_code.co_filename.endswith("turns.py"):
            return None
        heard = event == "line" and signal.SIGINT not in signal.pthread_sigmask(signal.SIG_BLOCK, ())
        if heard and next(lines) == nth:
            raise KeyboardInterrupt
        return trace
    return trace


@pytest.mark.parametrize("backend", ["process", "thread"])
def test_after_an_interrupt_on_any_line_a_reset_goes_on(backend):
    interrupted = 0
    with make_vec(Counter, 4, 2, backend, batch_envs=2, timeout=10, report_interval=1) as vec:
        while interrupted < 500:
            sys.settrace(interruption(interrupted))
            try:
                vec.async_reset(0)
                vec.recv()
                vec.send(np.ones(2, np.int32))
                vec.recv_rest()
                break
            except KeyboardInterrupt:
                interrupted += 1
            finally:
                sys.settrace(None)
            vec.reset(0)
            assert vec.step(np.ones(4, np.int32))[1].sum() == 4.0
    assert 50 < interrupted < 500


def test_ctrl_c_while_a_worker_hangs_is_heard_at_once(tmp_path):
    process, pids = run(tmp_path, """
        try:
            for _ in range(10):
                vec.step(np.zeros(4, np.int32))
        except KeyboardInterrupt:
            print("heard", flush=True)
        vec.close()
    """, "fork", "lambda **s: Failing(what='hang', **s)")
    time.sleep(0.3)
    os.kill(process.pid, signal.SIGINT)
    output, errors = process.communicate(timeout=60)
    assert output == "heard\n" and errors == "" and gone(pids)


# ---------------------------------------------------------------------- politeness

@pytest.mark.parametrize("backend", ["process", "thread"])
def test_an_idle_vectorizer_burns_no_cpu(backend):
    with make_vec("squared", 64, 2, backend) as vec:
        vec.reset(0)
        for _ in range(100):
            vec.step(np.zeros(64, np.int32))
        processes = [psutil.Process(pid) for pid in getattr(vec, "pids", [os.getpid()])]
        time.sleep(0.1)
        before = sum(sum(process.cpu_times()[:2]) for process in processes)
        time.sleep(1.0)
        assert sum(sum(process.cpu_times()[:2]) for process in processes) - before < 0.1


def test_a_caller_that_awaits_a_slow_worker_burns_no_cpu():
    class Slow(Counter):
        def step(self, actions):
            time.sleep(0.5)
            return super().step(actions)

    with make_vec(Slow, 2, 2, "process") as vec:
        vec.reset(0)
        before = time.process_time()
        vec.step(np.zeros(2, np.int32))
        assert time.process_time() - before < 0.1


# ---------------------------------------------------------------------- workers that are started again

class Mortal(Counter):
    """Dies of `how` in the step in which the file `token` is there, once, because it removes the file."""

    def __init__(self, token, how):
        super().__init__()
        self.token, self.how = Path(token), how

    def step(self, actions):
        try:
            self.token.unlink()
        except FileNotFoundError:
            return super().step(actions)
        if self.how == "raises":
            raise LookupError("no licence")
        if self.how == "exits":
            os._exit(3)
        os.kill(os.getpid(), signal.SIGKILL)


@pytest.mark.parametrize("start_method", STARTS)
@pytest.mark.parametrize("how, words", [("raises", r"raised LookupError\('no licence'\)"), ("exits", "ended with exit code 3"),
                                        ("is killed", "was killed by SIGKILL; out of memory")])
def test_a_worker_that_fails_is_started_again_on_request_and_its_episodes_are_cut(tmp_path, nothing_left, start_method, how, words):
    token = tmp_path / "token"
    with make_vec(Mortal, 4, 2, "process", start_method=start_method, restarts=1, token=str(token), how=how) as vec:
        vec.reset(0)
        actions, pids = np.zeros(4, np.int32), list(vec.pids)
        for _ in range(3):
            vec.step(actions)
        before, ended = vec.observations.copy(), vec.terminals | vec.truncations
        token.touch()
        with pytest.warns(RuntimeWarning, match=rf"^worker [01] \(environments \d to \d\) {words}.*: it is started again \(1 of 1 restarts\)"):
            vec.step(actions)
        assert not token.exists() and vec.restarted == 1
        failed = next(worker for worker in range(2) if vec.pids[worker] != pids[worker])
        rows, others = slice(2 * failed, 2 * failed + 2), slice(2 - 2 * failed, 4 - 2 * failed)
        cut = vec.truncations if vec.truncates else vec.terminals
        assert cut[rows].all() and not vec.rewards[rows].any() and not ended[rows].any()
        if vec.truncates:
            assert np.array_equal(vec.final_observations[rows], before[rows])
        assert not np.array_equal(vec.observations[others], before[others]), "the other worker has stepped"
        assert gone([pids[failed]])
        for _ in range(3):
            vec.step(actions)
        assert not (vec.terminals | vec.truncations)[rows].all() and len(vec.get_state()["parts"]) == 2
        token.touch()
        with pytest.raises((WorkerDied, LookupError)):
            vec.step(actions)


def test_a_worker_is_started_again_while_the_others_are_received_as_they_are_ready(tmp_path, nothing_left):
    token = tmp_path / "token"
    with make_vec(Mortal, 6, 3, "process", batch_envs=2, restarts=2, token=str(token), how="exits") as vec:
        vec.async_reset(0)
        with pytest.warns(RuntimeWarning, match="started again"):
            for step in range(40):                              # the two others are enough for a while
                vec.recv()
                if step in (7, 21):
                    token.touch()
                vec.send(np.zeros(2, np.int32))
            received = vec.recv_rest()
        assert vec.restarted == 2 and received.terminals.sum() >= 2
        assert vec.step(np.zeros(6, np.int32))[0].shape == (6, 3)


def test_only_processes_are_started_again():
    with pytest.raises(ValueError, match="restarts=1 with backend='thread': expected \"process\""):
        make_vec(Counter, 2, 2, "thread", restarts=1)


def test_training_goes_on_where_a_worker_was_started_again(tmp_path):
    from puffer_min import train
    token = tmp_path / "token"
    settings = {"total_steps": 512, "num_envs": 4, "horizon": 16, "torch_threads": 1, "hidden_size": 16, "backend": "process",
                "num_workers": 2, "worker_restarts": 1}
    touch = type("Touch", (), {"update": lambda self, run, update: token.touch() if update["update"] == 3 else None})
    with pytest.warns(RuntimeWarning, match="started again"):
        result = train(Mortal, run_dir=tmp_path / "run", env_settings={"token": str(token), "how": "is killed"}, callbacks=[touch()], **settings)
    assert result.ended == "done" and result.history[-1]["step"] == 512
