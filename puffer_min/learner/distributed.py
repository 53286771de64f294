"""Several processes that learn as one: torchrun starts them, torch.distributed joins them.

    torchrun --nproc-per-node 2 -m puffer_min train squared                     two processes on this machine
    torchrun --nproc-per-node 8 -m puffer_min train squared --device cuda       eight GPUs

Each process has environments, a buffer and a policy of its own, and draws with the seed `seed + rank`. The
policies begin equal and stay equal, because the processes average their gradients, one vector, before every
step of Adam (gloo on CPUs, nccl on GPUs). `num_envs`, `batch_size` and `minibatch_size` are those of each
process, so two processes make updates of twice the batch. Each normalises the advantages of its own
minibatches and orders its own rows. An update's epochs and the end of the run are decided together.

No process waits for another one without limit: if one ends or does not answer for TIMEOUT, or if torchrun is
killed (Linux), the others write their checkpoints and end with PeerLost.
"""

import atexit
import contextlib
import ctypes
import datetime
import os
import signal
import sys
from pathlib import Path

import torch
from torch import distributed

from puffer_min.cores import cores

TIMEOUT = datetime.timedelta(seconds=300)
PR_SET_PDEATHSIG = 1                    # of prctl: the signal that a process gets when its parent ends


class Alone:
    """One process; the interface of `World`, at no cost."""

    rank, size = 0, 1

    def device(self, name):
        """The device called `name`. Raises ValueError where there is no such device."""
        try:
            device = torch.device(name)
        except RuntimeError:
            raise ValueError(f"device={name!r} given, expected \"cpu\", \"cuda\" or a number after it, as in "
                             "\"cuda:1\"") from None
        if device.type == "cuda" and not torch.cuda.is_available():
            raise ValueError(f"device={name!r} given, but torch finds no CUDA device here; "
                             "use device=\"cpu\"")
        return device

    def threads(self):
        """Number of processors for torch's threads in this process."""
        return cores()

    def average_(self, tensor):
        """Replace `tensor` by its mean over the processes, and return it."""
        return tensor

    def gather(self, items: list) -> list:
        """The lists of all processes, joined."""
        return items

    def share(self, value):
        """The value that the first process has."""
        return value

    def any(self, *flags: bool) -> list[bool]:
        """For each flag, whether it is True in any process."""
        return list(flags)

    def watch(self):
        """While it is entered, SIGTERM raises PeerLost: torchrun has ended, or another process has."""
        return contextlib.nullcontext()


ALONE = Alone()


class World(Alone):
    """The processes that torchrun started; this is number `rank` of `size`."""

    def __init__(self, device: str):
        self.backend = "nccl" if torch.device(device).type == "cuda" else "gloo"
        self.local_rank, self.local_size = int(os.environ["LOCAL_RANK"]), int(os.environ["LOCAL_WORLD_SIZE"])
        if self.backend == "nccl":
            torch.cuda.set_device(self.local_rank)
        if not distributed.is_initialized():            # once a process: a second call can hang
            distributed.init_process_group(self.backend, timeout=TIMEOUT)
            atexit.register(distributed.destroy_process_group)
        self.rank, self.size = distributed.get_rank(), distributed.get_world_size()
        if sys.platform == "linux":
            ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)

    def device(self, name):
        device = super().device(name)
        alike = device.type == "cuda" and device.index is None
        return torch.device("cuda", self.local_rank) if alike else device

    def threads(self):
        return max(1, super().threads() // self.local_size)

    def average_(self, tensor):
        with calling():
            distributed.all_reduce(tensor)
        return tensor.div_(self.size)

    def gather(self, items):
        lists = [None] * self.size
        with calling():
            distributed.all_gather_object(lists, items)
        return [item for list_ in lists for item in list_]

    def share(self, value):
        values = [value]
        with calling():
            distributed.broadcast_object_list(values)
        return values[0]

    def any(self, *flags):
        return [any(flag) for flag in zip(*self.gather([flags]), strict=True)]

    @contextlib.contextmanager
    def watch(self):
        def lost(*_):
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
            raise PeerLost("torchrun has ended, or ends this process because another one has ended")
        before = signal.signal(signal.SIGTERM, lost)
        try:
            yield
        finally:
            if signal.getsignal(signal.SIGTERM) is lost:        # else ignored, until the policy is saved
                signal.signal(signal.SIGTERM, before)


def join(device: str) -> Alone:
    """The world this process belongs to: torchrun's, or `ALONE`."""
    return World(device) if "TORCHELASTIC_RUN_ID" in os.environ else ALONE


def of_rank(path, rank: int) -> Path:
    """The file of process `rank`: checkpoint.pt, checkpoint-1.pt, checkpoint-2.pt ..."""
    path = Path(path)
    return path.with_name(f"{path.stem}-{rank}{path.suffix}") if rank else path


class PeerLost(ConnectionError):
    """Another process of the run, or torchrun, has ended or does not answer."""


@contextlib.contextmanager
def calling():
    """Around a call to the other processes: PeerLost if one of them has ended or does not answer."""
    try:
        yield
    except RuntimeError as error:                       # gloo and nccl raise it
        signal.signal(signal.SIGTERM, signal.SIG_IGN)   # torchrun ends this one as well: save first
        reason = str(error).splitlines()[0]
        raise PeerLost(f"another process of the run has ended, or has not answered for "
                       f"{TIMEOUT.seconds} s ({reason})") from error
