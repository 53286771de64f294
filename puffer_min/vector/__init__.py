"""`make_vec`: any number of environments behind one object that has the face of one environment.

    vec = make_vec("snake", num_envs=4)                                                 # native: one object steps them all
    vec = make_vec("snake", num_envs=4, num_workers=2, backend="thread")                # two threads
    vec = make_vec(lambda: gymnasium.make("CartPole-v1"), num_envs=8, num_workers=2, backend="process")     # where they pay
    vec = make_vec(MyEnv, num_envs=64, backend="auto"); print(vec.plan)                 # measured, chosen, explained

    observations, infos = vec.reset(seed)                                               # all together
    observations, rewards, terminals, truncations, infos = vec.step(actions)

    vec.async_reset(seed)                                                               # first come, first served
    batch = vec.recv()
    vec.send(actions)

Two layers. A *batch* (serial.py) is environments [first, first + n) over given buffers. A *vectorizer* drives batches: `Serial`
drives one, here and now; `ThreadVectorizer` (thread.py) one a thread; `ProcessVectorizer` (process.py) one a process.
Nothing is copied on the way: the learner reads the rows that the environments write. The trajectories are the same to the bit
whatever the backend and the number of workers, because environment i is seeded from (seed, i) alone.
"""

from puffer_min.vector.serial import PythonBatch, adapt, is_native, make_batch, seed_of
from puffer_min.vector.plan import Plan, plan_for
from puffer_min.vector.process_trial import plan_for_processes
from puffer_min.vector.process import ProcessVectorizer, WorkerDied
from puffer_min.vector.thread import ThreadVectorizer
from puffer_min.vector.turns import Batch, Vectorizer

__all__ = ["Batch", "Plan", "ProcessVectorizer", "PythonBatch", "Serial", "ThreadVectorizer", "Vectorizer", "WorkerDied", "adapt",
           "make_batch", "make_vec", "seed_of"]

BACKENDS = ("serial", "process", "thread", "auto")


def make_vec(make_env, num_envs=1, num_workers=None, backend="serial", seed=0, batch_envs=None, *, isolate=False, timeout=120.0,
             start_method=None, report_interval=128, **settings):
    """A vectorizer over `num_envs` environments: reset(seed), step(actions), or async_reset, recv, send; attributes of an environment.

    make_env      the name of a native environment, or a callable: a native class, or one that returns a `PufferEnv` or a flat
                  `gymnasium.Env` when called with `settings`.
    num_workers   how many environments are stepped at a time: threads or processes; "auto" takes at most so many. None: 1, "auto"
                  as many as it likes.
    backend       "serial": in this process, one after the other. "process": each worker a process, which writes into shared
                  memory; unless isolate, only where that is not slower (see there). "thread": for native environments, and for
                  others that release the GIL. "auto": an environment is stepped here for a quarter of a second, then the fastest
                  of these is chosen. `vec.plan` says which it is and why.
    seed          whole number >= 0, used at the first reset.
    batch_envs    environments that one `recv` returns, those that finish first; a multiple of num_envs / num_workers; None for all.
    isolate       True: with "process" always in processes of their own, so that an environment that crashes ends a worker and not the
                  caller. False: native ones are given to threads of this process, which step them as fast or faster; others are
                  tried in a process for a tenth of a second first, and stepped here if a step takes too few microseconds to be
                  worth handing over (not with batch_envs). The numbers are the same.
    timeout       seconds after which an environment that does not answer is given up (process, thread).
    start_method  "fork" or "spawn" for processes; None: fork on Linux, spawn elsewhere.
    settings      passed on to each environment; report_interval: steps between logs in `infos`, 0 for never.

    Raises ValueError for an unknown name, backend or division, TypeError for a callable that makes something else.
    """
    check_arguments(num_envs, 1 if num_workers is None else num_workers, backend, batch_envs, isolate, timeout, start_method)
    if backend == "auto":
        plan = plan_for(make_env, num_envs, num_workers, batch_envs, seed=seed, **settings)
    elif backend == "process" and not isolate and not is_native(make_env):
        plan = plan_for_processes(make_env, num_envs, num_workers or 1, batch_envs, seed=seed, timeout=timeout, start_method=start_method, **settings)
    elif backend == "process" and not isolate:
        plan = Plan("thread", num_workers or 1, batch_envs or num_envs, "processes were asked for, but it is native, and threads step it as fast or "
                    "faster; isolate=True takes processes all the same")
    else:
        plan = Plan(backend, num_workers or 1, batch_envs or num_envs, "as asked for")
    common = dict(seed=seed, report_interval=report_interval, **settings)
    if plan.backend == "serial":
        vec = Serial(make_batch(make_env, num_envs, **common))
    elif plan.backend == "thread":
        vec = ThreadVectorizer(make_env, num_envs, plan.num_workers, batch_envs=plan.batch_envs, timeout=timeout, **common)
    else:
        vec = ProcessVectorizer(make_env, num_envs, plan.num_workers, batch_envs=plan.batch_envs, timeout=timeout,
                                start_method=start_method, **common)
    vec.plan = plan
    return vec


def check_arguments(num_envs, num_workers, backend, batch_envs, isolate, timeout, start_method):
    """Raise ValueError unless the numbers fit each other."""
    if backend not in BACKENDS:
        raise ValueError(f"backend={backend!r} given, expected one of {', '.join(map(repr, BACKENDS))}")
    for name, number in (("num_envs", num_envs), ("num_workers", num_workers)):
        if not isinstance(number, int) or isinstance(number, bool) or number < 1:
            raise ValueError(f"{name}={number!r} given, expected at least 1 and a whole number")
    if isolate and backend != "process":
        raise ValueError(f"isolate=True with backend={backend!r} given, expected \"process\": only processes keep environments apart")
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
    if backend == "auto" and isinstance(batch_envs, int) and 0 < batch_envs < num_envs:
        return                                      # the plan finds a number of workers for it, or says that there is none
    if backend == "serial":
        raise ValueError(f"batch_envs={batch_envs} with num_envs={num_envs}: the serial backend returns all environments at once, "
                         "leave it out")
    part = num_envs // num_workers
    if num_envs % num_workers or not 0 < batch_envs < num_envs or batch_envs % part:
        raise ValueError(f"batch_envs={batch_envs} with num_envs={num_envs} and num_workers={num_workers}: expected num_workers to divide "
                         f"num_envs, and batch_envs to be a multiple of num_envs / num_workers below num_envs")


class Serial:
    """The serial vectorizer: one batch, stepped in this process. All other attributes are those of the batch."""

    backend, num_workers = "serial", 1

    def __init__(self, batch):
        self.batch = batch
        self.batch_envs = batch.num_envs
        self._results = None            # of the last async_reset or send, until recv takes them

    def __getattr__(self, name):
        if name == "batch":             # before __init__, as in unpickling
            raise AttributeError(name)
        return getattr(self.batch, name)

    def reset(self, seed=None):
        """Reset every environment; returns (observations, infos)."""
        self._results = None
        return self.batch.reset(seed)

    def step(self, actions):
        """Step every environment once; returns (observations, rewards, terminals, truncations, infos)."""
        if self._results is not None:
            raise RuntimeError("step() after send() or async_reset(): call recv() first")
        return self.batch.step(actions)

    def async_reset(self, seed=None):
        """Begin a reset; `recv` gives its result."""
        self._results = self.batch.reset(seed)[1]

    def send(self, actions):
        """Begin a step of the agents that the last `recv` returned; `recv` gives its result."""
        if self._results is not None:
            raise RuntimeError("send() twice: call recv() in between")
        self._results = self.batch.step(actions)[4]

    def recv(self):
        """The next `Batch`, as soon as it is there."""
        if self._results is None:
            raise RuntimeError("recv() without a step on its way: call async_reset() or send(actions) first")
        infos, self._results = self._results, None
        b = self.batch
        return Batch(b.observations, b.rewards, b.terminals, b.truncations, b.masks, b.final_observations, infos, slice(0, b.num_agents))

    def close(self):
        """Close the batch. Closing twice is harmless; stepping afterwards is an error."""
        self.batch.close()

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self.close()

    def __repr__(self):
        return f"Serial({self.batch!r})"
