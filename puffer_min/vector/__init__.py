"""`make_vec`: any number of environments behind one object with the methods and attributes of one.

    vec = make_vec("snake", num_envs=4)                                     # native: one object steps all
    vec = make_vec("snake", num_envs=4, num_workers=2, backend="thread")
    vec = make_vec(lambda: gymnasium.make("CartPole-v1"), num_envs=8, num_workers=2, backend="process")
    vec = make_vec(MyEnv, num_envs=64, backend="auto"); print(vec.plan)     # measured, chosen, explained

    observations, infos = vec.reset(seed)                                   # all together
    observations, rewards, terminals, truncations, infos = vec.step(actions)

    vec.async_reset(seed); received = vec.recv(); vec.send(actions)         # first come, first served

Three layers:

    batch           environments [first, first + n) over given buffers: native, or `PythonBatch`, env/batch.py
    vectorizer      drives batches: `Serial` one, in the caller (serial.py), `ThreadVectorizer` one in each
                    thread (thread.py), `ProcessVectorizer` one in each process (process.py,
                    shared_memory.py). The last two share the caller's side (turns.py, parts.py), the worker's
                    side (worker.py) and the hand-off between both (handoff.pyx, waiting.pxd)
    make_vec        takes the backend it is given, or for "auto" lets autotune.py choose

Nothing is copied between environment and learner, which reads the rows that environments write. Trajectories
are the same to the bit for every backend and number of workers: environment i is seeded from (seed, i) alone.
(Not so for environments that draw from the global random state of Python or NumPy: each process has its own.)
"""

import warnings

import envs
from envs.core.settings import number, whole
from puffer_min.env.batch import PythonBatch, seed_of
from puffer_min.vector.autotune import Plan, plan_for
from puffer_min.vector.parts import Received
from puffer_min.vector.process import ProcessVectorizer, WorkerDied
from puffer_min.vector.serial import Serial, adapt, is_native, make_batch
from puffer_min.vector.thread import ThreadVectorizer
from puffer_min.vector.turns import Vectorizer

__all__ = ["Plan", "ProcessVectorizer", "PythonBatch", "Received", "Serial", "ThreadVectorizer", "Vectorizer",
           "WorkerDied", "adapt", "make_batch", "make_vec", "seed_of"]

BACKENDS = ("serial", "process", "thread", "auto")
NO_ISOLATE = "isolate given, which is no option any more: backend=\"process\" always means processes"
LONGEST_WAIT = 2_000_000        # seconds: the system waits for at most 2**31 milliseconds


def make_vec(make_env, num_envs=1, num_workers=None, backend="serial", seed=0, batch_envs=None, *, restarts=0,
             timeout=120.0, start_method=None, report_interval=128, env_settings=None, **settings):
    """A vectorizer over `num_envs` environments: reset(seed), step(actions), or async_reset, recv, send.

    make_env      a name: native, of `envs.register`, or an id of Gymnasium's; a native class; or what makes a
                  Python, Gymnasium or PettingZoo environment, a new one in each call.
    num_workers   threads or processes, for "auto" the most it may take. None: 1, for "auto" a free choice.
    backend       "serial": in this process, one environment after the other.
                  "process": each worker a process, which writes into shared memory. "thread": each worker a
                  thread; for environments that release Python's lock, as native ones do. "auto": each
                  candidate is timed for a tenth of a second, and the fastest is taken; of environments in
                  Python one is stepped here for that. `vec.plan` has the choice, its reason and the figures.
    seed          whole number >= 0, used by the first reset.
    batch_envs    environments that one `recv` returns, the first that finish; a multiple of num_envs /
                  num_workers; None for all.
    timeout       seconds after which a worker that does not answer is given up (process, thread).
    start_method  "fork" or "spawn" for processes; None: fork on Linux, spawn elsewhere.
    restarts      times in all that a worker process that dies or raises in a step is started again, with a
                  warning: its episodes are cut, its environments are made anew; `vec.restarted` counts.
    report_interval     steps between logs in `infos`, 0 for never.
    settings, env_settings      keyword arguments of each environment; the latter may have any names.
                  frame_stack=k among either makes the last k observations one (wrappers/frame_stack.py).

    Raises ValueError for an unknown name, backend or division, TypeError where make_env makes something else.
    """
    if settings.pop("isolate", None) is not None:
        warnings.warn(NO_ISOLATE, DeprecationWarning, stacklevel=2)
    num_envs, report_interval = whole("num_envs", num_envs, 1), whole("report_interval", report_interval)
    num_workers = num_workers if num_workers is None else whole("num_workers", num_workers, 1)
    batch_envs = batch_envs if batch_envs is None else whole("batch_envs", batch_envs, 1)
    restarts = whole("restarts", restarts)
    timeout = number("timeout", timeout, above=0, high=LONGEST_WAIT)
    check_arguments(num_envs, num_workers or 1, backend, batch_envs, start_method)
    if restarts and backend in ("serial", "thread"):
        raise ValueError(f"restarts={restarts} with backend={backend!r}: expected \"process\", because only "
                         "a process can be started again")
    make_env = envs.find(make_env) if isinstance(make_env, str) else make_env
    native, vec = is_native(make_env), None
    common = {"seed": seed, "report_interval": report_interval}
    given = common | {"env_settings": (env_settings or {}) | settings}
    if backend == "auto":
        plan, vec = plan_for(make_env, num_envs, num_workers, batch_envs, start_method, timeout, given)
    else:
        advice = "; threads step native environments as fast or faster" * (native and backend == "process")
        plan = Plan(backend, num_workers or 1, batch_envs or num_envs, "the backend that was given" + advice)
    if vec is None and plan.backend == "serial":
        vec = Serial(make_batch(make_env, num_envs, env_settings=env_settings, **common, **settings))
    elif vec is None:
        kind = ThreadVectorizer
        if plan.backend == "process":
            kind, given = ProcessVectorizer, given | {"start_method": start_method, "restarts": restarts}
        vec = kind(make_env, num_envs, plan.num_workers, batch_envs=plan.batch_envs, timeout=timeout, **given)
    vec.plan = plan
    return vec


def check_arguments(num_envs, num_workers, backend, batch_envs, start_method):
    """Raise ValueError unless the arguments are known and the numbers fit each other."""
    if backend not in BACKENDS:
        raise ValueError(f"backend={backend!r} given, expected one of {', '.join(map(repr, BACKENDS))}")
    if start_method not in (None, "fork", "spawn"):
        raise ValueError(f"start_method={start_method!r} given, expected \"fork\" or \"spawn\"")
    if backend == "serial" and num_workers != 1:
        raise ValueError(f"num_workers={num_workers} given, expected 1: the serial backend has no workers")
    if num_workers > num_envs:
        raise ValueError(f"num_workers={num_workers} with num_envs={num_envs}: expected an environment for "
                         "each worker")
    if batch_envs in (None, num_envs) or backend == "auto" and batch_envs < num_envs:
        return                          # autotune.py finds a number of workers for the batch, or raises
    sizes = f"batch_envs={batch_envs} with num_envs={num_envs}"
    if backend == "serial":
        raise ValueError(f"{sizes}: the serial backend returns all environments; leave batch_envs out")
    if num_envs % num_workers or batch_envs > num_envs or batch_envs % (num_envs // num_workers):
        raise ValueError(f"{sizes} and num_workers={num_workers}: expected num_workers to divide num_envs, "
                         "and batch_envs to be a multiple of num_envs / num_workers below num_envs")
