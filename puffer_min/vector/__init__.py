"""`make_vec`: any number of environments behind one object that has the methods and attributes of one environment.

    vec = make_vec("snake", num_envs=4)                                     # native: one object steps all
    vec = make_vec("snake", num_envs=4096, num_workers=2, backend="thread")
    vec = make_vec(lambda: gymnasium.make("CartPole-v1"), num_envs=8, num_workers=2, backend="process")
    vec = make_vec(MyEnv, num_envs=64, backend="auto"); print(vec.plan)     # measured, chosen, explained

    observations, infos = vec.reset(seed)                                   # all together
    observations, rewards, terminals, truncations, infos = vec.step(actions)

    vec.async_reset(seed)                                                   # first come, first served
    received = vec.recv()
    vec.send(actions)

Three layers, each in the files named:

    batch           environments [first, first + n) over given buffers; a native object, or a `PythonBatch` (serial.py)
    vectorizer      drives batches: `Serial` one, in the caller (serial.py); `ThreadVectorizer` one in each thread (thread.py,
                    pool.pyx); `ProcessVectorizer` one in each process (process.py, worker.py, shared_memory.py). The last
                    two share rows, turns and logs (turns.py) and the way of waiting (handoff.pyx, waiting.pxd)
    make_vec        checks arguments and takes the backend asked for, or lets autotune.py choose one

Nothing is copied on the way: the learner reads the rows that the environments write. The trajectories are the same to the bit
for every backend and number of workers, because environment i is seeded from (seed, i) alone. (An environment that draws from
the global random state of Python or NumPy breaks this: workers have one each.)
"""

import numpy as np

from puffer_min.vector.autotune import Plan, plan_for
from puffer_min.vector.process import ProcessVectorizer, WorkerDied
from puffer_min.vector.serial import PythonBatch, Serial, adapt, is_native, make_batch, seed_of
from puffer_min.vector.thread import ThreadVectorizer
from puffer_min.vector.turns import Received, Vectorizer

__all__ = ["Plan", "ProcessVectorizer", "PythonBatch", "Received", "Serial", "ThreadVectorizer", "Vectorizer", "WorkerDied",
           "adapt", "make_batch", "make_vec", "seed_of"]

BACKENDS = ("serial", "process", "thread", "auto")


def make_vec(make_env, num_envs=1, num_workers=None, backend="serial", seed=0, batch_envs=None, *, timeout=120.0,
             start_method=None, report_interval=128, env_settings=None, **settings):
    """A vectorizer over `num_envs` environments: reset(seed), step(actions), or async_reset, recv, send.

    make_env      the name of a native environment; or a callable: a native class, or a class or function that makes a
                  `PufferEnv`, a `gymnasium.Env` or a PettingZoo environment, a new one in each call.
    num_workers   threads or processes; for "auto" the largest number it may take. None: 1, for "auto" a free choice.
    backend       "serial": in this process, one environment after the other.
                  "process": each worker a process, which writes into shared memory.
                  "thread": each worker a thread; for native environments, and for others that release Python's lock.
                  "auto": one environment is stepped here, the candidates are timed for a tenth of a second each, and
                  the fastest is taken. `vec.plan` has the choice, its reason and the figures.
    seed          whole number >= 0, used by the first reset.
    batch_envs    environments that one `recv` returns, those that finish first; a multiple of num_envs / num_workers;
                  None for all.
    timeout       seconds after which a worker that does not answer is given up (process, thread).
    start_method  "fork" or "spawn" for processes; None: fork on Linux, spawn elsewhere.
    report_interval     steps between logs in `infos`, 0 for never.
    env_settings, settings      keyword arguments of each environment; env_settings may have the names of arguments above.

    Raises ValueError for an unknown name, backend or division, TypeError for a `make_env` that makes something else.
    """
    num_envs, batch_envs = whole(num_envs, "num_envs"), batch_envs if batch_envs is None else whole(batch_envs, "batch_envs")
    workers = 1 if num_workers is None else whole(num_workers, "num_workers")
    report_interval = whole(report_interval, "report_interval", least=0)
    check_arguments(num_envs, workers, backend, batch_envs, timeout, start_method)
    native, vec = is_native(make_env), None
    common = {"seed": seed, "report_interval": report_interval, "env_settings": (env_settings or {}) | settings}
    if backend == "auto":
        most = None if num_workers is None else workers
        plan, vec = plan_for(make_env, num_envs, most, batch_envs, start_method, timeout, common)
    else:
        advice = "; for native environments threads are as fast or faster" if native and backend == "process" else ""
        plan = Plan(backend, workers, batch_envs or num_envs, "as asked for" + advice)
    if vec is not None:
        pass
    elif plan.backend == "serial":
        vec = Serial(make_batch(make_env, num_envs, seed=seed, report_interval=report_interval, env_settings=env_settings, **settings))
    elif plan.backend == "thread":
        vec = ThreadVectorizer(make_env, num_envs, plan.num_workers, batch_envs=plan.batch_envs, timeout=timeout, **common)
    else:
        vec = ProcessVectorizer(make_env, num_envs, plan.num_workers, batch_envs=plan.batch_envs, timeout=timeout,
                                start_method=start_method, **common)
    vec.plan = plan
    return vec


def whole(number, name, least=1):
    """`number` as an int; ValueError unless it is a whole number, Python's or NumPy's, of at least `least`."""
    if not isinstance(number, int | np.integer) or isinstance(number, bool) or number < least:
        raise ValueError(f"{name}={number!r} given, expected at least {least} and a whole number")
    return int(number)


def check_arguments(num_envs, num_workers, backend, batch_envs, timeout, start_method):
    """Raise ValueError unless the arguments are known and the numbers fit each other."""
    if backend not in BACKENDS:
        raise ValueError(f"backend={backend!r} given, expected one of {', '.join(map(repr, BACKENDS))}")
    if not timeout > 0:
        raise ValueError(f"timeout={timeout!r} given, expected seconds > 0")
    if start_method not in (None, "fork", "spawn"):
        raise ValueError(f"start_method={start_method!r} given, expected \"fork\" or \"spawn\"")
    if backend == "serial" and num_workers != 1:
        raise ValueError(f"num_workers={num_workers} given, expected 1: the serial backend steps in this process")
    if num_workers > num_envs:
        raise ValueError(f"num_workers={num_workers} with num_envs={num_envs}: expected at least one environment for each worker")
    if batch_envs in (None, num_envs):
        return
    if backend == "auto" and batch_envs < num_envs:
        return                                      # the plan finds a number of workers for it, or says that there is none
    if backend == "serial":
        raise ValueError(f"batch_envs={batch_envs} with num_envs={num_envs}: the serial backend returns all environments at once, "
                         "leave it out")
    if num_envs % num_workers or batch_envs > num_envs or batch_envs % (num_envs // num_workers):
        raise ValueError(f"batch_envs={batch_envs} with num_envs={num_envs} and num_workers={num_workers}: expected num_workers to "
                         "divide num_envs, and batch_envs to be a multiple of num_envs / num_workers below num_envs")
