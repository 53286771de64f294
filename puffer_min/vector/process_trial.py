"""`plan_for_processes`: whether the processes that were asked for pay, found out where a crash or a hang of the environment harms nobody.

Handing a step to a process and back costs some microseconds; environments whose steps take less are stepped sooner here. So before
the workers are made one environment is profiled (plan.py), and if all of them together are CHEAP both ways of stepping them are
timed: as one batch, in a process of its own, and by workers as asked for. What was made for that is thrown away. Whatever goes wrong,
an exception, a crash, no answer within TRIAL seconds, is left to the workers, which say what happened.

One process takes the same time whenever it is asked. Several share the cores with whoever waits for them, and a step takes 23 us in one
moment and 40 in the next, as the system places them. So the workers are taken where they are GAIN times as fast in one of their bad
moments as the batch is in its best.
"""

import contextlib
import multiprocessing
import os
import threading
from multiprocessing import connection

from puffer_min.vector.serial import make_batch
from puffer_min.measure import duration, measure
from puffer_min.vector.plan import GAIN, Plan, profile
from puffer_min.vector.process import START_METHOD, ProcessVectorizer, end_workers, packed_for
from puffer_min.vector.worker import Job, begin, unpacked

CHEAP = 500e-6      # seconds of a step of all environments from which on no hand-off matters
TRIAL = 20.0        # seconds that the process of its own may take; with cheap steps it takes PROFILE + SECONDS
PROFILE = 0.1       # seconds of stepping one environment
SECONDS = 0.2       # seconds of stepping all of them, either way,
MOMENTS = 10        # in so many parts
BAD = 3             # workers count as slow as in the third worst of them: two may be somebody else's


def plan_for_processes(make_env, num_envs, num_workers, batch_envs=None, *, seed=0, timeout=120.0, start_method=None, **settings):
    """Processes as they are asked for, or serial where they would be slower than that; arguments as in `make_vec`."""
    asked = Plan("process", num_workers, batch_envs or num_envs, "as asked for")
    if batch_envs not in (None, num_envs):                      # serial has all environments ready or none
        return asked
    timeout = min(timeout, TRIAL)
    trial = try_apart(make_env, num_envs, seed, timeout, start_method or START_METHOD, settings)
    if trial is None:
        return asked
    measured, serial = trial
    asked = Plan("process", num_workers, num_envs, "as asked for", measured)
    if serial > CHEAP:
        return asked
    try:
        with ProcessVectorizer(make_env, num_envs, num_workers, seed=seed, report_interval=0, timeout=timeout,
                               start_method=start_method, **settings) as vec:
            processes = sorted(moments(vec, seed))[-BAD]
    except Exception:
        return asked
    if GAIN * processes <= serial:
        return asked
    return Plan("serial", 1, num_envs, f"processes were asked for, but a step of all takes {duration(serial)} here and {duration(processes)} there, "
                "not worth the hand-off; isolate=True takes processes all the same", measured)


def moments(vec, seed) -> list[float]:
    """Seconds of a step of all environments, in each of the MOMENTS."""
    found = measure(vec, seconds=SECONDS, repeats=MOMENTS, seed=seed)
    return [found.per_call / rate for rate in found.rates]


def try_apart(make_env, num_envs, seed, limit, start_method, settings):
    """What `tell_trial` tells from a process of its own; None where it came to no end there within `limit` seconds."""
    context = multiprocessing.get_context(start_method)
    job = Job(0, 0, num_envs, seed, packed_for(start_method, make_env, settings), os.getpid(), threading.current_thread() is threading.main_thread())
    pipe, far_end = context.Pipe()
    process = context.Process(target=tell_trial, args=(job, far_end), daemon=True, name="puffer_min trial")
    try:
        process.start()
        far_end.close()
        connection.wait([pipe, process.sentinel], limit)
        return pipe.recv() if pipe.poll() else None
    except (EOFError, ConnectionResetError):
        return None
    finally:
        if process.pid is not None:
            end_workers([process], [pipe], os.getpid())


def tell_trial(job, pipe):
    """The main function of that process: (profile, seconds of a step of all environments) through the pipe, or nothing."""
    if not begin(job):
        return
    with contextlib.suppress(BaseException):                    # SystemExit of an environment included
        make_env, settings = unpacked(job)
        measured = profile(make_env, job.num_envs, settings, job.seed, PROFILE)
        serial = measured.call + job.num_envs * measured.step
        if serial < 2 * CHEAP:                                  # a mean of short steps has the clock's outliers in it
            with contextlib.closing(make_batch(make_env, job.num_envs, seed=job.seed, report_interval=0, **settings)) as batch:
                serial = min(moments(batch, job.seed))
        pipe.send((measured, serial))
