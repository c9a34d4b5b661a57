"""What TensorBoard reads of a fit, through its own reader: each epoch once, whatever interrupted the fit."""

import math
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.backend.event_processing.event_file_loader import EventFileLoader
from torch import Tensor, nn

from ich_seq.errors import OutputError
from ich_seq.training.loop import Fit
from ich_seq.training.settings import FitSettings, learning_rate_factor, make_fabric

EPOCHS, STEPS = 4, 3
SETTINGS = FitSettings(
    epochs=EPOCHS,
    patience=10,
    learning_rate=0.01,
    schedule="cosine",
    warmup_fraction=0.2,
    decay_fraction=1.0,
    floor_fraction=0.0,
    least_improvement=0.0,
    weight_decay=0.01,
    clip_norm=0.0,
    ema_decay=0.0,
    seed=7,
    fingerprint="fingerprint",
    checkpoint_every_s=0.0,
)


def seeded_network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Linear(1, 1)


@dataclass
class Line:
    """Fits y = 3 x; of its two labels one has one class only."""

    network: nn.Module = field(default_factory=seeded_network)
    fail_at: tuple[int, int] | None = None

    def steps_per_epoch(self) -> int:
        return STEPS

    def batches(self, epoch: int, first_step: int):
        for step in range(first_step, STEPS):
            if self.fail_at == (epoch, step):
                raise KeyboardInterrupt
            yield torch.linspace(-1, 1, 8).unsqueeze(1) + step

    def parts(self, batch: Tensor) -> list[tuple[Tensor, int]]:
        return [(batch, len(batch))]

    def loss(self, batch: Tensor) -> Tensor:
        return ((self.network(batch) - 3 * batch) ** 2).mean()

    def validate(self) -> dict[str, Any]:
        loss = float(self.loss(torch.linspace(-1, 1, 9).unsqueeze(1)))
        return {"loss": loss, "auc": {"any": 1 / (1 + loss), "epidural": math.nan}}


class CutBeforeItsCheckpoint(Fit):
    """Ends as a kill would, when epoch 2 stands in both logs and its checkpoint is not written yet."""

    def _save(self, name: str, *, with_optimizer: bool) -> None:
        if name == "last.pt" and (self.state.epoch, self.state.step) == (2, 0):
            raise KeyboardInterrupt
        super()._save(name, with_optimizer=with_optimizer)


def fit(folder: Path, kind: type[Fit] = Fit, fail_at: tuple[int, int] | None = None) -> Fit:
    return kind(Line(fail_at=fail_at), SETTINGS, make_fabric("cpu", "fp32"), folder)


def scalars(folder: Path) -> dict[str, list[tuple[int, float]]]:
    """What TensorBoard would show: step and value of each point, by name."""
    reader = EventAccumulator(str(folder / "tensorboard"))
    reader.Reload()
    return {
        name: [(event.step, event.value) for event in reader.Scalars(name)] for name in sorted(reader.Tags()["scalars"])
    }


def written(folder: Path) -> list[int]:
    """The steps at which a training loss stands in the files, also those that were taken back."""
    files = sorted((folder / "tensorboard").iterdir())
    events = [event for path in files for event in EventFileLoader(str(path)).Load()]
    return [event.step for event in events for value in event.summary.value if value.tag == "loss/training"]


def test_each_epochs_figures_are_those_of_the_log(tmp_path: Path) -> None:
    records = fit(tmp_path).run().records
    shown = scalars(tmp_path)
    assert list(shown) == [
        "AUC on validation slices/any",
        "learning rate",
        "loss/training",
        "loss/validation",
        "seconds of training",
    ]
    columns = {
        "loss/training": [record["train_loss"] for record in records],
        "loss/validation": [record["validation"]["loss"] for record in records],
        "AUC on validation slices/any": [record["validation"]["auc"]["any"] for record in records],
        "learning rate": [
            0.01 * learning_rate_factor((epoch * STEPS + STEPS - 1) / (EPOCHS * STEPS), SETTINGS)
            for epoch in range(EPOCHS)
        ],
    }
    for name, values in columns.items():
        assert [step for step, _ in shown[name]] == [1, 2, 3, 4]
        assert [value for _, value in shown[name]] == pytest.approx(values, rel=1e-6)  # it keeps float32


@pytest.mark.parametrize("moment", [(0, 1), (1, 0), (3, 2)])
def test_a_resumed_fit_shows_each_epoch_once(tmp_path: Path, moment: tuple[int, int]) -> None:
    fit(tmp_path / "whole").run()
    with pytest.raises(KeyboardInterrupt):
        fit(tmp_path / "cut", fail_at=moment).run()
    fit(tmp_path / "cut").run()
    whole, cut = (scalars(tmp_path / name) for name in ("whole", "cut"))
    whole.pop("seconds of training")
    assert [step for step, _ in cut.pop("seconds of training")] == [1, 2, 3, 4]
    assert cut == whole


def test_an_epoch_that_is_learnt_again_replaces_what_was_written_of_it(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        fit(tmp_path, CutBeforeItsCheckpoint).run()
    assert written(tmp_path) == [1, 2]
    fit(tmp_path).run()
    assert sorted(written(tmp_path)) == [1, 2, 2, 3, 4]
    assert [step for step, _ in scalars(tmp_path)["loss/validation"]] == [1, 2, 3, 4]


def test_a_finished_fit_adds_nothing(tmp_path: Path) -> None:
    fit(tmp_path).run()
    before = {path.name: path.read_bytes() for path in (tmp_path / "tensorboard").iterdir()}
    fit(tmp_path).run()
    assert {path.name: path.read_bytes() for path in (tmp_path / "tensorboard").iterdir()} == before
    assert len(before) == 1


def test_without_the_package_the_same_weights_are_learnt_and_nothing_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown = fit(tmp_path / "with")
    shown.run()
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)  # what Python does where it is not installed
    silent = fit(tmp_path / "without")
    silent.run()
    assert not (tmp_path / "without" / "tensorboard").exists()
    for a, b in zip(shown.network.parameters(), silent.network.parameters(), strict=True):
        assert torch.equal(a, b)


def test_a_place_where_it_cannot_write_is_one_error_by_name(tmp_path: Path) -> None:
    (tmp_path / "tensorboard").write_text("a file")
    with pytest.raises(OutputError, match=r"tensorboard: a file of that name is in the way"):
        fit(tmp_path).run()
