"""What a run writes: the training log, one JSON object on a line after each update; TensorBoard; sentences.

    {"step": 65536, "seconds": 0.05, "sps": 1310720.0, "score": 0.12, ..., "stages": {"learn": 0.42, ...}}

A crash leaves whole lines, which `read_log` reads. JSON has no NaN and no infinity: they become null.
"""

import contextlib
import fcntl
import itertools
import json
import math
import os
import sys
import time
from pathlib import Path


@contextlib.contextmanager
def run_folder(given, name: str, resumed):
    """A folder for one run, locked against other processes while this is entered. It is made if needed.

    given     the folder that the user names, or None
    name      where neither `given` nor `resumed` is given, the folder is name-TIME
    resumed   the checkpoint that the run goes on from, or None; the run may write into its folder

    If the folder holds another run, the new one goes to folder-2, folder-3 ... Raises ValueError if another
    process is resuming the same run, OSError if no folder can be made.
    """
    if isinstance(given, bytes | int) or "\0" in os.fspath(given or ""):
        raise ValueError(f"run_dir={given!r} given, expected the path of a folder, a text or a Path")
    folder = Path(given or (Path(resumed).parent if resumed else f"{name}-{time.strftime('%Y%m%d-%H%M%S')}"))
    own = resumed is not None and Path(resumed).parent.resolve() == folder.resolve()
    if folder.name in ("", ".."):
        folder = folder.resolve()
    for number in itertools.count(1):
        place = folder.with_name(f"{folder.name}-{number}") if number > 1 else folder
        with contextlib.ExitStack() as stack:
            try:
                place.mkdir(parents=True, exist_ok=True)
                stack.enter_context(alone_in(place, wait=False))
            except BlockingIOError:
                if own:
                    raise ValueError(f"another process writes into {folder}: give another run_dir") from None
                continue
            except OSError as error:
                raise OSError(f"the folder {folder} cannot be made ({error}): "
                              "give another run_dir") from error
            if own or not holds_run(place):
                yield place
                return


def holds_run(folder: Path) -> bool:
    """Whether a run has left a checkpoint or a line of its log in `folder`."""
    log = folder / "log.jsonl"
    return (folder / "checkpoint.pt").exists() or (log.exists() and bool(read_log(log)))


@contextlib.contextmanager
def alone_in(folder, *, wait=True):
    """While it is entered, this process holds the lock of `folder`; nothing is written there.

    wait   False: raises BlockingIOError where another process holds it, instead of waiting for it
    """
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except BlockingIOError:
            raise
        except OSError:
            pass                                                # a file system without locks
        yield
    finally:
        os.close(descriptor)


class TrainingLog:
    """Writes the lines of a run to the file `path`.

    keep_until   step of the checkpoint from which a run goes on: lines after it are dropped; None: all are
    """

    def __init__(self, path, *, keep_until: int | None = None):
        self.path = Path(path)
        self.path.parent.mkdir(parents=True, exist_ok=True)
        old = read_log(self.path) if keep_until is not None and self.path.exists() else []
        kept = [line for line in old if line["step"] <= keep_until]
        self.file = open(self.path, "w", encoding="utf-8")
        for line in kept:
            self.write(line)

    def write(self, update: dict) -> None:
        """Add one update as a line; it is in the file when this returns."""
        self.file.write(json.dumps(_plain(update)) + "\n")
        self.file.flush()

    def close(self) -> None:
        """Write everything to the disk. Closing twice is harmless."""
        if not self.file.closed:
            os.fsync(self.file.fileno())
            self.file.close()


class TensorBoard:
    """The numbers of each update as TensorBoard's scalars, in `folder`, by agent-step.

    Raises ImportError if TensorBoard is not installed.
    """

    def __init__(self, folder):
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError as error:
            raise ImportError("--tensorboard needs TensorBoard, which is not installed: "
                              "pip install tensorboard") from error
        self.writer = SummaryWriter(str(folder))

    def write(self, update: dict) -> None:
        """Add one update: the shares of the stages as stages/NAME, all other numbers as training/NAME."""
        plain = {name: value for name, value in update.items() if isinstance(value, int | float)}
        numbers = {f"training/{name}": value for name, value in plain.items()}
        numbers |= {f"stages/{name}": share for name, share in update["stages"].items()}
        for name, value in numbers.items():
            self.writer.add_scalar(name, value, update["step"])

    def close(self) -> None:
        """Write everything to the disk."""
        self.writer.close()


def guarded(name, call):
    """`call`, which is left out with a sentence after its first failure and never ends the run."""
    failed = []

    def guard(*arguments):
        try:
            if not failed:
                call(*arguments)
        except (Exception, SystemExit) as error:
            failed.append(error)
            say(f"{name} failed ({in_short(error)}) and is left out; the run goes on.")
    return guard


def writer(name, output, stack):
    """The guarded `write` of a log, which `stack` closes."""
    stack.callback(guarded(name, output.close))
    return guarded(name, output.write)


def in_short(error) -> str:
    """The kind of an error and the first line of its text."""
    return f"{type(error).__name__}: {(str(error).splitlines() or [''])[0]}"


def here(path) -> Path:
    """`path` as it is named from the present folder, if it lies in that."""
    with contextlib.suppress(OSError, ValueError):              # there may be no present folder any more
        return path.relative_to(Path.cwd())
    return path


def say(text) -> None:
    """Print to standard error, unless it is closed, or a signal interrupted another print."""
    with contextlib.suppress(OSError, ValueError, RuntimeError):
        print(text, file=sys.stderr, flush=True)


def read_log(path) -> list[dict]:
    """The updates in a log, in order, up to the first line that is none, such as one cut short by a crash."""
    updates = []
    for line in Path(path).read_text(encoding="utf-8", errors="replace").splitlines():
        try:
            update = json.loads(line)
        except json.JSONDecodeError:
            break
        if not isinstance(update, dict) or "step" not in update:
            break
        updates.append(update)
    return updates


def _plain(value):
    if isinstance(value, dict):
        return {name: _plain(item) for name, item in value.items()}
    return None if isinstance(value, float) and not math.isfinite(value) else value
