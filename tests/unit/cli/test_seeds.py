"""What is told of several fits of stage two: on the terminal and in run.json."""

import hashlib
from pathlib import Path

from ich_seq.cli.seeds import note_of, spread_line
from ich_seq.sequence.seeds import SeededFit
from ich_seq.training.loop import FitResult


def made(base: Path, number: int, loss: float, auc: float | None) -> SeededFit:
    """A finished fit by hand, its best epoch the second of two."""
    folder = base / f"seed_{number}"
    folder.mkdir()
    (folder / "lstm.safetensors").write_text(f"weights {number}")
    records = [{"epoch": epoch, "validation": {"auc": {"any": value}}} for epoch, value in enumerate((0.0, auc))]
    return SeededFit(7 + number, folder, FitResult(1, loss, False, records))


def test_the_spread_is_told_and_noted(tmp_path: Path) -> None:
    """By hand: mean of .5, .3 and .4 is .4; of .8, .9 and .7 it is .8."""
    fits = [made(tmp_path, k, *each) for k, each in enumerate(((0.5, 0.8), (0.3, 0.9), (0.4, 0.7)))]
    assert spread_line(fits, fits[1]) == (
        "Over 3 seeds, on validation patients: loss 0.4000 on average (0.3000 to 0.5000), "
        "AUC any 0.800 on average (0.700 to 0.900). Kept: seed_1, which has the lowest loss."
    )
    noted = note_of(fits, fits[1])
    assert noted["kept"] == "seed_1"
    assert {
        name: (each["seed"], each["validation_loss"], each["auc_any"]) for name, each in noted["seeds"].items()
    } == {
        "seed_0": (7, 0.5, 0.8),
        "seed_1": (8, 0.3, 0.9),
        "seed_2": (9, 0.4, 0.7),
    }
    assert noted["seeds"]["seed_2"]["weights_sha256"] == hashlib.sha256(b"weights 2").hexdigest()
    assert note_of(fits[:1], fits[0]) == {}


def test_an_auc_of_one_class_is_undefined_in_the_spread(tmp_path: Path) -> None:
    fits = [made(tmp_path, k, 0.5, None) for k in range(2)]
    assert "AUC any undefined (one class)" in spread_line(fits, fits[0])
