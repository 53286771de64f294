"""`plan_for_processes`: whether the processes that were asked for pay, found out where a crash or a hang of the environment harms nobody.

Handing a step to a process and back costs some microseconds; environments whose steps take less are stepped sooner here. So one is
profiled (plan.py) before the workers are made, in a process of its own, with the seed that the others will have. Whatever goes wrong
there, an exception, a crash, no answer within TRIAL seconds, is left to the workers, which say what happened.
"""

import contextlib
import multiprocessing
import os
import threading
from multiprocessing import connection

from puffer_min.cores import cores
from puffer_min.measure import duration
from puffer_min.plan import Plan, profile, round_times
from puffer_min.process_vector import START_METHOD, end_workers, packed_for
from puffer_min.worker import Job, begin, unpacked

WORTH = 0.9         # of the speed of serial that processes must be predicted to have
TRIAL = 20.0        # seconds that a profile may take; one of cheap steps takes SECONDS
SECONDS = 0.1


def plan_for_processes(make_env, num_envs, num_workers, batch_envs=None, *, seed=0, timeout=120.0, start_method=None, **settings):
    """Processes as they are asked for, or serial where they would be slower than that; arguments as in `make_vec`."""
    asked = Plan("process", num_workers, batch_envs or num_envs, "as asked for")
    if batch_envs not in (None, num_envs):                      # serial has all environments ready or none
        return asked
    measured = profile_apart(make_env, num_envs, seed, min(timeout, TRIAL), start_method or START_METHOD, settings)
    return asked if measured is None else worth(measured, num_envs, num_workers, cores())


def worth(measured, num_envs, num_workers, num_cores):
    """The plan for a profile."""
    serial, processes = measured.call + num_envs * measured.step, round_times(measured, num_envs, num_workers, num_cores)[0]
    predicted = {"serial with 1": num_envs / serial, f"process with {num_workers}": num_envs / processes}
    if serial >= WORTH * processes:
        return Plan("process", num_workers, num_envs, "as asked for", measured, predicted)
    return Plan("serial", 1, num_envs, f"processes were asked for, but a step of all takes {duration(serial)} here and {duration(processes)} there; "
                "isolate=True takes processes all the same", measured, predicted)


def profile_apart(make_env, num_envs, seed, limit, start_method, settings):
    """The profile, taken in a process of its own; None where it did not come to an end there within `limit` seconds."""
    context = multiprocessing.get_context(start_method)
    job = Job(0, 0, num_envs, seed, packed_for(start_method, make_env, settings), os.getpid(), threading.current_thread() is threading.main_thread())
    pipe, far_end = context.Pipe()
    process = context.Process(target=tell_profile, args=(job, far_end), daemon=True, name="puffer_min trial")
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


def tell_profile(job, pipe):
    """The main function of the process: a profile through the pipe, or nothing."""
    if begin(job):
        with contextlib.suppress(BaseException):                # SystemExit of an environment included
            make_env, settings = unpacked(job)
            pipe.send(profile(make_env, job.num_envs, settings, job.seed, SECONDS))
