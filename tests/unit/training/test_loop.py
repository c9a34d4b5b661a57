"""The fit: best epoch, early stop, and a resume that cannot be told from a run without interruption."""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from ich_seq.errors import CheckpointError, ConfigError
from ich_seq.training.average import ema_update
from ich_seq.training.compute import seed_for
from ich_seq.training.loop import Fit
from ich_seq.training.settings import FitSettings, learning_rate_factor, make_fabric

STEPS = 5


def seeded_network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(1, 16), nn.Dropout(0.5), nn.Linear(16, 1))


@dataclass
class Line:
    """Fits y = 3 x through a layer with dropout, so that the seeds of the steps matter."""

    network: nn.Module = field(default_factory=seeded_network)
    fail_at: tuple[int, int] | None = None
    empty_at: tuple[int, int] | None = None
    validation_losses: tuple[float, ...] | None = None
    epoch: int = 0
    micro_batches: int = 1

    def steps_per_epoch(self) -> int:
        return STEPS

    def batches(self, epoch: int, first_step: int) -> Iterator[Tensor]:
        self.epoch = epoch
        generator = torch.Generator().manual_seed(seed_for(epoch))
        x = torch.randn(STEPS, 8, 1, generator=generator)
        for step in range(first_step, STEPS):
            if self.fail_at == (epoch, step):
                raise KeyboardInterrupt
            yield x[step][:0] if self.empty_at == (epoch, step) else x[step]

    def parts(self, batch: Tensor) -> list[tuple[Tensor, int]]:
        return [(part, len(part)) for part in batch.chunk(self.micro_batches)]

    def loss(self, batch: Tensor) -> Tensor:
        return ((self.network(batch) - 3 * batch) ** 2).mean()

    def validate(self) -> dict[str, Any]:
        if self.validation_losses is not None:
            return {"loss": self.validation_losses[self.epoch]}
        x = torch.linspace(-1, 1, 9).unsqueeze(1)
        return {"loss": float(((self.network(x) - 3 * x) ** 2).mean())}


def settings(epochs: int = 4, patience: int = 10, rate: float = 0.01, checkpoint_every_s: float = 0.0) -> FitSettings:
    return FitSettings(
        epochs=epochs,
        patience=patience,
        learning_rate=rate,
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
        checkpoint_every_s=checkpoint_every_s,
    )


def fit(task: Line, folder: Path, chosen: FitSettings | None = None) -> Fit:
    return Fit(task, chosen or settings(), make_fabric("cpu", "fp32"), folder)


def weights_of(each: Fit) -> list[Tensor]:
    return [tensor.clone() for tensor in each.network.state_dict().values()]


@pytest.mark.parametrize("ema_decay", [0.0, 0.8])
@pytest.mark.parametrize("moment", [(0, 0), (0, 3), (1, 0), (2, 4), (3, 1)])
def test_an_interrupted_fit_continues_to_the_same_weights_and_log(
    tmp_path: Path, moment: tuple[int, int], ema_decay: float
) -> None:
    chosen = replace(settings(), ema_decay=ema_decay)
    whole = fit(Line(), tmp_path / "whole", chosen)
    expected = whole.run()
    with pytest.raises(KeyboardInterrupt):
        fit(Line(fail_at=moment), tmp_path / "cut", chosen).run()
    resumed = fit(Line(), tmp_path / "cut", chosen)
    found = resumed.run()
    assert all(torch.equal(a, b) for a, b in zip(weights_of(whole), weights_of(resumed), strict=True))
    for a, b in zip(expected.records, found.records, strict=True):
        assert {**a, "train_seconds": 0} == {**b, "train_seconds": 0}


def test_a_step_of_which_nothing_could_be_read_keeps_its_place_and_is_not_learnt_from(tmp_path: Path) -> None:
    whole = fit(Line(empty_at=(1, 2)), tmp_path / "whole")
    whole.run()
    with pytest.raises(KeyboardInterrupt):
        fit(Line(empty_at=(1, 2), fail_at=(1, 4)), tmp_path / "cut").run()
    resumed = fit(Line(empty_at=(1, 2)), tmp_path / "cut")
    resumed.run()
    assert all(torch.equal(a, b) for a, b in zip(weights_of(whole), weights_of(resumed), strict=True))


def test_small_falls_add_up_against_the_patience(tmp_path: Path) -> None:
    losses = (0.5, 0.497, 0.494, 0.491, 0.488, 0.485, 0.482)  # 0.6 % a step: less than 1 %, but more than 1 % in two
    chosen = replace(settings(7, patience=3), least_improvement=0.01)
    assert not fit(Line(validation_losses=losses), tmp_path, chosen).run().stopped_early


def test_a_finished_fit_is_not_run_again(tmp_path: Path) -> None:
    fit(Line(), tmp_path).run()
    again = fit(Line(fail_at=(0, 0)), tmp_path)
    assert again.finished()
    assert again.run().best_epoch >= 0


def test_the_best_epochs_weights_are_kept_not_the_last(tmp_path: Path) -> None:
    each = fit(Line(validation_losses=(0.5, 0.3, 0.4, 0.6)), tmp_path / "a")
    result = each.run()
    assert (result.best_epoch, result.best_loss, result.stopped_early) == (1, 0.3, False)
    # The same fit cut to two epochs of a constant schedule ends with the weights that were best.
    best = torch.load(tmp_path / "a" / "best.pt", weights_only=True)["network"]
    assert all(torch.equal(a, b) for a, b in zip(weights_of(each), best.values(), strict=True))


def test_the_average_of_the_weights_is_what_is_kept_and_the_fit_goes_on_from_the_last_step(tmp_path: Path) -> None:
    plain, averaged = fit(Line(), tmp_path / "plain"), fit(Line(), tmp_path / "ema", replace(settings(), ema_decay=0.9))
    plain.run()
    averaged.run()
    last = [torch.load(tmp_path / name / "last.pt", weights_only=True) for name in ("plain", "ema")]
    for key, value in last[0]["network"].items():
        assert torch.equal(value, last[1]["network"][key])
    best = torch.load(tmp_path / "ema" / "best.pt", weights_only=True)["network"]
    assert all(torch.equal(value, last[1]["average"][f"module.{key}"]) for key, value in best.items())
    assert not torch.equal(best["0.weight"], last[1]["network"]["0.weight"])


def test_the_average_ramps_up_to_its_decay() -> None:
    """By hand: after 0 updates it keeps 1/10, after 8 it keeps 9/18 = 1/2, after 1,000 the decay; counters are copied."""
    for updates, keep in ((0, 0.1), (8, 0.5), (1000, 0.9)):
        average, counter = torch.tensor([1.0]), torch.tensor(3)
        ema_update(0.9)([average, counter], [torch.tensor([2.0]), torch.tensor(7)], updates)
        assert (float(average), int(counter)) == (pytest.approx(keep * 1 + (1 - keep) * 2), 7)


def test_micro_batches_sum_to_the_gradient_of_the_batch(tmp_path: Path) -> None:
    """Without dropout the same steps are taken, to rounding."""
    found = []
    for micro_batches in (1, 4):
        network = nn.Sequential(nn.Linear(1, 16), nn.Linear(16, 1))
        for parameter in network.parameters():
            nn.init.constant_(parameter, 0.1)
        each = fit(Line(network, micro_batches=micro_batches), tmp_path / str(micro_batches))
        each.run()
        found.append(weights_of(each))
    assert all(torch.allclose(a, b, rtol=1e-4, atol=1e-6) for a, b in zip(*found, strict=True))


def test_long_gradients_are_shortened(tmp_path: Path) -> None:
    """Plain descent's step is its gradient; Adam's first step does not show its length, so the gradient itself is looked at."""
    each = fit(Line(), tmp_path, replace(settings(epochs=1), clip_norm=1e-3))
    each.run()
    norm = torch.cat([parameter.grad.flatten() for parameter in each.network.parameters()]).norm()
    assert float(norm) == pytest.approx(1e-3, rel=1e-3)


def test_it_stops_when_the_loss_has_not_fallen_for_the_patience(tmp_path: Path) -> None:
    result = fit(Line(validation_losses=(0.5, 0.3, 0.31, 0.32, 0.1)), tmp_path, settings(5, patience=2)).run()
    assert result.stopped_early
    assert len(result.records) == 4
    assert result.best_epoch == 1


def test_an_interrupted_fit_remembers_when_its_loss_last_fell(tmp_path: Path) -> None:
    losses = (0.5, 0.4, 0.399, 0.398, 0.3, 0.2)  # falls of less than 1 % in between do not count, and do not stop it
    chosen = replace(settings(6, patience=3), least_improvement=0.01)
    with pytest.raises(KeyboardInterrupt):
        fit(Line(validation_losses=losses, fail_at=(3, 2)), tmp_path, chosen).run()
    result = fit(Line(validation_losses=losses), tmp_path, chosen).run()
    assert (result.best_epoch, len(result.records), result.stopped_early) == (5, 6, False)


def test_a_diverging_fit_is_one_clear_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="validation loss became nan in epoch 1.*lower `learning_rate`"):
        fit(Line(validation_losses=(float("nan"),)), tmp_path).run()


def test_a_checkpoint_of_another_config_is_refused(tmp_path: Path) -> None:
    fit(Line(), tmp_path).run()
    other = replace(settings(), fingerprint="another")
    with pytest.raises(CheckpointError, match="made with another config or other data"):
        fit(Line(), tmp_path, other).run()


def test_a_damaged_checkpoint_is_refused_by_name(tmp_path: Path) -> None:
    fit(Line(), tmp_path).run()
    (tmp_path / "last.pt").write_bytes((tmp_path / "last.pt").read_bytes()[:200])
    with pytest.raises(CheckpointError, match=r"last\.pt: damaged checkpoint"):
        fit(Line(), tmp_path).run()


def test_the_cosine_rises_over_its_warm_up_and_falls_to_its_floor() -> None:
    """Warm-up over a tenth, down at 60 %: half-way at 35 % it is the mean of peak and floor; after 60 % it stays."""
    chosen = replace(settings(), warmup_fraction=0.1, decay_fraction=0.6, floor_fraction=0.02)
    factors = [learning_rate_factor(progress, chosen) for progress in (0, 0.05, 0.1, 0.35, 0.6, 1.0)]
    assert factors == pytest.approx([0, 0.5, 1.0, 0.51, 0.02, 0.02])
    assert learning_rate_factor(0.5, replace(settings(), schedule="constant")) == 1.0


def test_a_fall_below_the_least_improvement_does_not_prolong_the_fit(tmp_path: Path) -> None:
    losses = (0.5, 0.4, 0.399, 0.398, 0.1)
    chosen = replace(settings(5, patience=2), least_improvement=0.01)
    result = fit(Line(validation_losses=losses), tmp_path, chosen).run()
    assert len(result.records) == 4
    assert result.best_epoch == 3  # the weights of the lowest loss are kept all the same


def test_seeds_of_different_steps_differ_and_repeat() -> None:
    seeds = [seed_for(seed, epoch, step) for seed in range(3) for epoch in range(5) for step in range(20)]
    assert len(set(seeds)) == len(seeds)
    assert seed_for(1, 2, 3) == seed_for(1, 2, 3)
