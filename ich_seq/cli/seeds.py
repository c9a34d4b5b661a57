"""What is told of several fits of stage two: their spread on the terminal, each of them in run.json."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from ich_seq.files import sha256_of

if TYPE_CHECKING:
    from ich_seq.sequence.seeds import SeededFit


def note_of(fits: Sequence["SeededFit"], kept: "SeededFit") -> dict[str, Any]:
    """For run.json: every fit and which one was kept; nothing of a single fit, which is the step's own facts."""
    if len(fits) == 1:
        return {}
    return {"kept": kept.folder.name, "seeds": {each.folder.name: _facts(each) for each in fits}}


def spread_line(fits: Sequence["SeededFit"], kept: "SeededFit") -> str:
    """Mean and range of validation loss and AUC over the seeds, each in its best epoch, and which one was kept."""
    losses, areas = [each.result.best_loss for each in fits], [each.auc_any for each in fits]
    defined = [area for area in areas if area is not None]
    auc = _spread(defined, 3) if defined else "undefined (one class)"
    return (
        f"Over {len(fits)} seeds, on validation patients: loss {_spread(losses, 4)}, AUC any {auc}. "
        f"Kept: {kept.folder.name}, which has the lowest loss."
    )


def _spread(values: Sequence[float], digits: int) -> str:
    mean, low, high = sum(values) / len(values), min(values), max(values)
    return f"{mean:.{digits}f} on average ({low:.{digits}f} to {high:.{digits}f})"


def _facts(each: "SeededFit") -> dict[str, Any]:
    from ich_seq.sequence.train import WEIGHTS_FILE

    result = each.result
    return {
        "seed": each.seed,
        "best_epoch": result.best_epoch + 1,
        "epochs": len(result.records),
        "validation_loss": result.best_loss,
        "auc_any": each.auc_any,
        "loss_had_stopped_falling": result.stopped_early,
        "weights_sha256": sha256_of(each.folder / WEIGHTS_FILE),
    }
