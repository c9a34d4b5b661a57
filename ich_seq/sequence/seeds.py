"""Several fits of the sequence network, one after another, each from its own seed; the best on the validation patients is kept."""

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

from ich_seq.config import Config
from ich_seq.files import write_bytes
from ich_seq.sequence.dataset import Scan
from ich_seq.sequence.train import WEIGHTS_FILE, train_lstm
from ich_seq.training.loop import FitResult, Progress

Watch = Callable[[int], AbstractContextManager[Callable[[Progress], None]]]


@dataclass(frozen=True)
class SeededFit:
    """One of the fits: the seed that it was fitted from, the folder that it lies in, what came out."""

    seed: int
    folder: Path
    result: FitResult

    @property
    def auc_any(self) -> float | None:
        """AUC of `any` on the validation slices in the best epoch; None where they are of one class."""
        (best,) = [record for record in self.result.records if record["epoch"] == self.result.best_epoch]
        return best["validation"]["auc"]["any"]


def train_seeds(
    config: Config, scans: Mapping[str, list[Scan]], folder: Path, device: str, watch: Watch
) -> list[SeededFit]:
    """Fits `train_lstm.seeds` networks; run again, it continues where it was interrupted.

    A single one lies in `folder` itself. Of several, number k (from 0) lies in `folder/seed_k` and is fitted from the seed
    `config.seed` + k, from which all of its randomness comes: number 0 is the network of a run with a single seed.

    Args:
        config: the experiment.
        scans: as `sequence.train.train_lstm`.
        folder: for all of stage two.
        device: `cpu` or `cuda`.
        watch: given k, a context within which that fit's progress is told.

    Raises:
        DatasetError, CheckpointError, OutputError: as `sequence.train.train_lstm`.
    """
    count, fits = config.train_lstm.seeds, []
    for number in range(count):
        seeded = config.model_copy(update={"seed": config.seed + number})
        place = folder if count == 1 else folder / f"seed_{number}"
        with watch(number) as on_progress:
            result = train_lstm(seeded, scans, place, device, on_progress)
        fits.append(SeededFit(seeded.seed, place, result))
    return fits


def keep_best(fits: list[SeededFit], folder: Path) -> SeededFit:
    """The fit with the lowest validation loss, the first among equals; its log and weights are copied to `folder`.

    Raises:
        OutputError: disk full or folder not writable.
    """
    kept = min(fits, key=lambda each: each.result.best_loss)
    if kept.folder != folder:
        for name in ("metrics.jsonl", WEIGHTS_FILE):
            write_bytes(folder / name, (kept.folder / name).read_bytes())
    return kept
