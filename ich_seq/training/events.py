"""The figures of a fit for TensorBoard, where the package `tensorboard` is installed; where not, nothing is written."""

import math
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ich_seq.files import output_errors

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter


class EventLog:
    """Event files in `folder`, the step being the epoch as it is counted on the terminal, from 1.

    Each process that learns something writes a file of its own, whose name is the package's: time, host and process. Its first
    record takes back what an interrupted process before it wrote of the same epoch and of later ones (`purge_step`).
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._writer: SummaryWriter | None = None

    def append(self, record: dict[str, Any], learning_rate: float) -> None:
        """Adds an epoch's record as `training.loop` makes it: losses, AUC where it is defined, seconds; and the last step's rate.

        Raises:
            OutputError: disk full or folder not writable.
        """
        step = record["epoch"] + 1
        with output_errors(self.folder):
            writer = self._open(step)
            if writer is None:
                return
            for name, value in _scalars(record, learning_rate).items():
                writer.add_scalar(name, value, step)
            writer.flush()

    def close(self) -> None:
        """Ends the file, where one was begun."""
        if self._writer is not None:
            with output_errors(self.folder):
                self._writer.close()
            self._writer = None

    def _open(self, step: int) -> "SummaryWriter | None":
        """The writer, opened with the first record, so that a fit that is already finished writes nothing."""
        if self._writer is None:
            try:
                from torch.utils.tensorboard import SummaryWriter
            except ImportError:  # not installed: ichseq does not need it
                return None
            self._wait_for_a_later_name()
            self._writer = SummaryWriter(str(self.folder), purge_step=step)
        return self._writer

    def _wait_for_a_later_name(self) -> None:
        """TensorBoard reads files in the order of their names, and within a second process 10 comes before process 9."""
        while any(self.folder.glob(f"events.out.tfevents.{int(time.time()):010d}.*")):
            time.sleep(0.05)


def _scalars(record: dict[str, Any], learning_rate: float) -> dict[str, float]:
    validation = record["validation"]
    named = {
        "loss/training": record["train_loss"],
        "loss/validation": validation["loss"],
        "learning rate": learning_rate,
        "seconds of training": record["train_seconds"],
    }
    named |= {f"AUC on validation slices/{label}": area for label, area in validation.get("auc", {}).items()}
    return {name: value for name, value in named.items() if math.isfinite(value)}
