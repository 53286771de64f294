"""The training log: one JSON object a line, one line an update, on disk from the first update on; and the same for TensorBoard.

    {"step": 65536, "seconds": 0.05, "sps": 1310720.0, "score": 0.12, ..., "stages": {"environment": 0.02, ...}}

A crash leaves whole lines behind, and `read_log` reads what there is. NaN and infinities, which JSON does not have, become null.
"""

import json
import math
import os
from pathlib import Path


class TrainingLog:
    """Appends to `path`. keep_until: lines after that step are dropped first, for a run that goes on from an earlier checkpoint."""

    def __init__(self, path, *, keep_until: int | None = None):
        self.path = Path(path)
        self.path.parent.mkdir(parents=True, exist_ok=True)
        kept = [line for line in read_log(self.path) if line["step"] <= keep_until] if keep_until is not None and self.path.exists() else []
        self.file = open(self.path, "w", encoding="utf-8")
        for line in kept:
            self.write(line)

    def write(self, update: dict) -> None:
        """Add one update."""
        self.file.write(json.dumps(_plain(update)) + "\n")
        self.file.flush()

    def close(self) -> None:
        """Write through to the disk."""
        if not self.file.closed:
            os.fsync(self.file.fileno())
            self.file.close()


class TensorBoard:
    """The numbers of each update as TensorBoard's scalars, in `folder`, by agent-step. Raises ImportError where it is not installed."""

    def __init__(self, folder):
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError as error:
            raise ImportError("--tensorboard needs TensorBoard, which is not installed: pip install tensorboard") from error
        self.writer = SummaryWriter(str(folder))

    def write(self, update: dict) -> None:
        """Add one update: stages/environment ..., and all other numbers as training/NAME."""
        numbers = {f"training/{name}": value for name, value in update.items() if isinstance(value, (int, float))}
        numbers |= {f"stages/{name}": share for name, share in update["stages"].items()}
        for name, value in numbers.items():
            self.writer.add_scalar(name, value, update["step"])

    def close(self) -> None:
        """Write through to the disk."""
        self.writer.close()


class Silence:
    """A log that nobody reads."""

    def write(self, update: dict) -> None:
        """Nothing."""

    def close(self) -> None:
        """Nothing."""


def read_log(path) -> list[dict]:
    """The updates in a log; a last line cut short by a crash is left out."""
    updates = []
    for line in Path(path).read_text(encoding="utf-8").splitlines():
        try:
            updates.append(json.loads(line))
        except json.JSONDecodeError:
            break
    return updates


def _plain(value):
    if isinstance(value, dict):
        return {name: _plain(item) for name, item in value.items()}
    return None if isinstance(value, float) and not math.isfinite(value) else value
