"""How a fit went, as one picture: both losses, the validation AUC of each label and the learning rate, by epoch."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from ich_seq.files import write_bytes
from ich_seq.labels import ANY, SUBTYPES, Label
from ich_seq.report.figures import ACCENT, INK, LABEL_COLOURS, SOFT, WARM, as_png, new_figure
from ich_seq.training.log import MetricsLog

CURVES_FILE = "curves.png"
_RATE_POINTS = 400
_FEW_EPOCHS = 30  # up to so many each epoch has its dot
_NOTE = "Training loss: mean over the epoch while it was learnt, with augmentation, dropout and the config's loss."


def write_learning_curves(
    folder: Path, title: str, rate_after: Callable[[float], float], others: Sequence[Path] = ()
) -> Path | None:
    """Draws `folder/metrics.jsonl` as `folder/curves.png` and returns the picture's path; None where no epoch is noted yet.

    Args:
        folder: of a fit, with its log.
        title: what was fitted, as the picture's heading.
        rate_after: the learning rate when so many epochs, also parts of one, are done.
        others: folders of the same fit from other seeds; of each the validation loss is drawn, thin.

    Raises:
        OutputError: the picture cannot be written; one from before stays as it was.
    """
    records = MetricsLog(folder / "metrics.jsonl").records()
    if not records:
        return None
    beside = [MetricsLog(each / "metrics.jsonl").records() for each in others]
    write_bytes(folder / CURVES_FILE, as_png(learning_curves(records, title, rate_after, beside)))
    return folder / CURVES_FILE


def learning_curves(
    records: Sequence[dict[str, Any]],
    title: str,
    rate_after: Callable[[float], float],
    beside: Sequence[Sequence[dict[str, Any]]] = (),
) -> Figure:
    """The picture of a fit's records, one an epoch, at least one; a label whose AUC is null throughout is left out."""
    figure = new_figure(10.4, 4.6)
    grid = figure.add_gridspec(2, 2, height_ratios=(4, 1), width_ratios=(1, 1.25))
    loss, rate = figure.add_subplot(grid[0, 0]), figure.add_subplot(grid[1, 0])
    auc = figure.add_subplot(grid[:, 1])
    _losses(loss, records, beside)
    _rate(rate, len(records), rate_after)
    _areas(auc, records)
    best = best_record(records)
    for axes in (loss, rate, auc):
        axes.axvline(best["epoch"] + 1, color=WARM, linewidth=0.9, linestyle=(0, (4, 3)), zorder=0.5)
        axes.set_xlim(0, len(records) * 1.02)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=10, min_n_ticks=1))
        axes.tick_params(labelsize=8, colors=SOFT)
        axes.grid(axis="y", color="#e7ebef", linewidth=0.7)
        axes.set_axisbelow(True)
        axes.spines[["top", "right"]].set_visible(False)
        axes.spines[["left", "bottom"]].set_color("#b9c2cb")
    loss.tick_params(labelbottom=False)
    heading = f"{title}: {_summary(records, best)}"
    figure.suptitle(
        heading, fontsize=10.5, color=INK, x=0.01, ha="left", parse_math=False
    )  # a config's name may have a $
    figure.supxlabel(_NOTE, fontsize=7, color=SOFT, x=0.01, ha="left")
    return figure


def best_record(records: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """The record of the epoch with the lowest validation loss, the first among equals: the one whose weights are kept."""
    return min(records, key=lambda record: record["validation"]["loss"])


def _summary(records: Sequence[dict[str, Any]], best: dict[str, Any]) -> str:
    count = len(records)
    words = f"{count} epoch{'s' if count > 1 else ''}, best {best['epoch'] + 1}"
    return f"{words}, with validation loss {best['validation']['loss']:.4f}"


def _losses(axes: Axes, records: Sequence[dict[str, Any]], beside: Sequence[Sequence[dict[str, Any]]]) -> None:
    for number, other in enumerate(beside):
        name = "validation, other seeds" if number == 0 else None
        axes.plot(_epochs(other), _validation_losses(other), color=ACCENT, alpha=0.35, linewidth=0.9, label=name)
    dots = _dots(records)
    axes.plot(
        _epochs(records), [each["train_loss"] for each in records], color=SOFT, linewidth=1.4, label="training", **dots
    )
    axes.plot(_epochs(records), _validation_losses(records), color=ACCENT, linewidth=1.8, label="validation", **dots)
    best = best_record(records)
    axes.plot(
        best["epoch"] + 1,
        best["validation"]["loss"],
        "o",
        color="white",
        markeredgecolor=WARM,
        markersize=7,
        markeredgewidth=1.8,
        label="best epoch",
        linestyle="none",
    )
    axes.set_title("Loss", fontsize=9, loc="left", color=INK)
    axes.legend(fontsize=8, frameon=False, labelcolor=INK)


def _areas(axes: Axes, records: Sequence[dict[str, Any]]) -> None:
    """Validation AUC: any haemorrhage thick, the subtypes thin; the legend has the values of the best epoch."""
    axes.set_title("AUC on validation slices", fontsize=9, loc="left", color=INK)
    axes.set_xlabel("epoch", fontsize=8, color=SOFT)
    for label in (ANY, *SUBTYPES):
        area = _auc(records, label)
        if np.isfinite(area).any():
            width, dots = (2.2, _dots(records)) if label is ANY else (1.0, _dots(records, 1.5))
            value = _auc([best_record(records)], label)[0]
            name = f"{label.title} {value:.3f}" if np.isfinite(value) else label.title
            axes.plot(_epochs(records), area, color=LABEL_COLOURS[label.name], linewidth=width, label=name, **dots)
    if not axes.lines:
        axes.text(
            0.5,
            0.5,
            "undefined: each label has one class only",
            transform=axes.transAxes,
            ha="center",
            fontsize=9,
            color=SOFT,
            backgroundcolor="white",
        )
        axes.set_yticks([])
        return
    lowest = min(float(np.nanmin(line.get_ydata())) for line in axes.lines)
    axes.set_ylim(np.floor(lowest * 20) / 20, 1.005)
    axes.legend(
        fontsize=8,
        frameon=False,
        labelcolor=INK,
        loc="center left",
        bbox_to_anchor=(1.0, 0.5),
        title="at the best epoch",
        title_fontsize=8,
        alignment="left",
    )


def _rate(axes: Axes, epochs: int, rate_after: Callable[[float], float]) -> None:
    done = np.linspace(0, epochs, _RATE_POINTS)
    rates = [rate_after(float(each)) for each in done]
    axes.plot(done, rates, color=SOFT, linewidth=1.2)
    axes.set_title("Learning rate", fontsize=9, loc="left", color=INK)
    axes.set_xlabel("epoch", fontsize=8, color=SOFT)
    axes.set_ylim(0, 1.1 * max(rates))
    axes.set_yticks([0, max(rates)], ["0", f"{max(rates):.2g}"])


def _epochs(records: Sequence[dict[str, Any]]) -> list[int]:
    """As they are counted on the terminal: from 1."""
    return [record["epoch"] + 1 for record in records]


def _validation_losses(records: Sequence[dict[str, Any]]) -> list[float]:
    return [record["validation"]["loss"] for record in records]


def _auc(records: Sequence[dict[str, Any]], label: Label) -> np.ndarray:
    """The label's AUC of each epoch, nan where it is undefined."""
    return np.array([record["validation"]["auc"].get(label.name) for record in records], float)


def _dots(records: Sequence[dict[str, Any]], size: float = 3.0) -> dict[str, Any]:
    return {"marker": "o", "markersize": size} if len(records) <= _FEW_EPOCHS else {}
