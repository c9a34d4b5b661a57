"""The picture of a fit: what it draws is what the log says, and it is there whole or not at all."""

import json
import resource
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ich_seq.errors import OutputError
from ich_seq.files import write_text
from ich_seq.labels import LABEL_NAMES, LABELS
from ich_seq.report.learning_curves import learning_curves, write_learning_curves
from ich_seq.training.log import MetricsLog

TRAIN, VALIDATION, ANY_AUC = (0.6, 0.4, 0.3, 0.2), (0.5, 0.3, 0.35, 0.3), (0.7, 0.8, 0.85, 0.9)


def record(epoch: int, one_class: tuple[str, ...] = ()) -> dict[str, Any]:
    """An epoch's record as `training.loop` writes it; each subtype's AUC is .1 below that of `any`."""
    auc = {name: float("nan") if name in one_class else ANY_AUC[epoch] - 0.1 * (name != "any") for name in LABEL_NAMES}
    validation = {"loss": VALIDATION[epoch], "auc": auc}
    return {"epoch": epoch, "train_loss": TRAIN[epoch], "validation": validation, "train_seconds": 1.0}


def logged(folder: Path, epochs: int = 4, one_class: tuple[str, ...] = ()) -> list[dict[str, Any]]:
    """The records of a log that was written and read again: an undefined AUC is None by then."""
    folder.mkdir(exist_ok=True)
    log = MetricsLog(folder / "metrics.jsonl")
    for epoch in range(epochs):
        log.append(record(epoch, one_class))
    return log.records()


def halving(epochs: float) -> float:
    return 0.01 * 0.5**epochs


def panel(figure: Figure, title: str) -> Axes:
    (axes,) = [axes for axes in figure.axes if axes.get_title(loc="left") == title]
    return axes


def lines(axes: Axes) -> dict[str, list[tuple[float, float]]]:
    """The points of each line that the legend names, by that name without the value that stands behind it."""
    named = {line.get_label().rstrip("0123456789."): line for line in axes.lines if line.get_label()[0] != "_"}
    return {name.strip(): list(zip(*map(np.ravel, line.get_data()), strict=True)) for name, line in named.items()}


def test_losses_and_areas_are_those_of_the_log_by_epoch_from_1(tmp_path: Path) -> None:
    figure = learning_curves(logged(tmp_path), "Stage one", halving)
    drawn = lines(panel(figure, "Loss"))
    assert drawn["training"] == list(zip((1, 2, 3, 4), TRAIN, strict=True))
    assert drawn["validation"] == list(zip((1, 2, 3, 4), VALIDATION, strict=True))
    areas = lines(panel(figure, "AUC on validation slices"))
    assert list(areas) == ["Any haemorrhage", *(label.title for label in LABELS[:-1])]
    assert areas["Any haemorrhage"] == list(zip((1, 2, 3, 4), ANY_AUC, strict=True))
    assert [y for _, y in areas["Subdural"]] == pytest.approx([value - 0.1 for value in ANY_AUC])
    (rate,) = [line for line in panel(figure, "Learning rate").lines if len(line.get_xdata()) > 2]
    assert np.interp([0, 1, 4], *rate.get_data()) == pytest.approx([0.01, 0.005, 0.000625], rel=1e-3)  # between samples


def test_the_first_epoch_of_the_lowest_validation_loss_is_marked_with_its_areas(tmp_path: Path) -> None:
    figure = learning_curves(logged(tmp_path), "Stage one", halving)
    assert lines(panel(figure, "Loss"))["best epoch"] == [(2, 0.3)]
    assert figure.get_suptitle() == "Stage one: 4 epochs, best 2, with validation loss 0.3000"
    legend = panel(figure, "AUC on validation slices").get_legend()
    assert legend is not None
    assert next(text.get_text() for text in legend.get_texts()) == "Any haemorrhage 0.800"


def test_a_label_with_one_class_only_is_left_out(tmp_path: Path) -> None:
    figure = learning_curves(logged(tmp_path / "some", one_class=("epidural", "any")), "Stage one", halving)
    assert not {"Epidural", "Any haemorrhage"} & set(lines(panel(figure, "AUC on validation slices")))
    assert "Subdural" in lines(panel(figure, "AUC on validation slices"))
    figure = learning_curves(logged(tmp_path / "all", one_class=LABEL_NAMES), "Stage one", halving)
    axes = panel(figure, "AUC on validation slices")
    assert lines(axes) == {}
    assert axes.texts[0].get_text() == "undefined: each label has one class only"


@pytest.mark.parametrize("epochs", [1, 4])
def test_the_picture_is_a_png_and_the_same_bytes_again(tmp_path: Path, epochs: int) -> None:
    logged(tmp_path, epochs)
    path = write_learning_curves(tmp_path, "Stage $one of $100", halving)
    assert path == tmp_path / "curves.png"
    first = path.read_bytes()
    assert first.startswith(b"\x89PNG\r\n\x1a\n")
    write_learning_curves(tmp_path, "Stage $one of $100", halving)
    assert path.read_bytes() == first
    assert sorted(each.name for each in tmp_path.iterdir()) == ["curves.png", "metrics.jsonl"]


def test_other_seeds_are_drawn_beside_it(tmp_path: Path) -> None:
    records, other = logged(tmp_path / "seed_0"), logged(tmp_path / "seed_1", epochs=2)
    drawn = lines(panel(learning_curves(records, "Stage two", halving, [other]), "Loss"))
    assert drawn["validation, other seeds"] == [(1, VALIDATION[0]), (2, VALIDATION[1])]
    alone = write_learning_curves(tmp_path / "seed_0", "Stage two", halving)
    assert alone is not None
    before = alone.read_bytes()
    write_learning_curves(tmp_path / "seed_0", "Stage two", halving, [tmp_path / "seed_1"])
    assert alone.read_bytes() != before


def test_a_fit_without_an_epoch_has_no_picture(tmp_path: Path) -> None:
    assert write_learning_curves(tmp_path, "Stage one", halving) is None
    write_text(tmp_path / "metrics.jsonl", json.dumps(record(0))[:20])
    assert write_learning_curves(tmp_path, "Stage one", halving) is None
    assert not (tmp_path / "curves.png").exists()


def test_a_picture_for_which_the_disk_has_no_room_leaves_the_one_before(tmp_path: Path) -> None:
    """A limit of 10 kB on the size of a file stands for the full disk."""
    logged(tmp_path)
    path = write_learning_curves(tmp_path, "Stage one", halving)
    assert path is not None
    before = path.read_bytes()
    MetricsLog(tmp_path / "metrics.jsonl").append(record(3) | {"epoch": 4})
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, limits[1]))
    try:
        with pytest.raises(OutputError, match=r"curves\.png: .*free some space"):
            write_learning_curves(tmp_path, "Stage one", halving)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, ignored)
    assert path.read_bytes() == before
    assert not list(tmp_path.glob(".writing-*"))


def test_it_draws_without_torch() -> None:
    code = "import sys, ich_seq.report.learning_curves; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
