"""One fit: epochs of seeded steps, validation after each, the best epoch kept, exact resume from any checkpoint."""

import math
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Literal, Protocol, runtime_checkable

import torch
from lightning_fabric import Fabric
from lightning_fabric.plugins.precision import MixedPrecision
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

from ich_seq.config import TrainCnnConfig, TrainLstmConfig
from ich_seq.errors import CheckpointError, ConfigError
from ich_seq.files import make_folder, remove_leftovers
from ich_seq.training.checkpoint import load_checkpoint, save_checkpoint
from ich_seq.training.compute import seed_for
from ich_seq.training.log import MetricsLog


@runtime_checkable
class Task(Protocol):
    """What is fitted: a network, its batches, its loss, its validation."""

    network: nn.Module

    def steps_per_epoch(self) -> int:
        """Steps in each epoch."""
        ...

    def batches(self, epoch: int, first_step: int) -> Iterator[Any]:
        """The batches of `epoch` from `first_step` on, one a step, None for a step of which nothing could be read; always the same."""
        ...

    def parts(self, batch: Any) -> list[tuple[Any, float]]:
        """The batch in the parts that go through the network one after another, each with its share of the batch's loss."""
        ...

    def loss(self, batch: Any) -> Tensor:
        """The loss of one part of a batch, a scalar."""
        ...

    def validate(self) -> dict[str, Any]:
        """Metrics on the validation patients; `loss` among them decides which epoch is best."""
        ...


@dataclass(frozen=True)
class FitSettings:
    """How long and how fast to learn; the fields of the config sections `train_cnn` and `train_lstm`."""

    epochs: int
    patience: int
    learning_rate: float
    schedule: str
    warmup_fraction: float
    decay_fraction: float
    floor_fraction: float
    least_improvement: float
    weight_decay: float
    clip_norm: float
    ema_decay: float
    seed: int
    fingerprint: str
    checkpoint_every_s: float = 300.0


def fit_settings(section: TrainCnnConfig | TrainLstmConfig, seed: int, fingerprint: str) -> FitSettings:
    """The settings of a config section; `fingerprint` says what a checkpoint must have been started with."""
    shared = section.model_dump(include={field.name for field in fields(FitSettings)})
    return FitSettings(**shared, seed=seed, fingerprint=fingerprint)


@dataclass
class Progress:
    """Where a fit stands, for whoever draws it."""

    epoch: int
    step: int
    steps_per_epoch: int
    train_loss: float
    validation: dict[str, Any] | None = None


@dataclass
class FitResult:
    """The best epoch (from 0), its validation loss, whether the loss had stopped falling, and every epoch's record."""

    best_epoch: int
    best_loss: float
    stopped_early: bool
    records: list[dict[str, Any]]


@dataclass
class _State:
    """What a checkpoint holds beside the weights."""

    epoch: int = 0
    step: int = 0
    loss_sum: float = 0.0
    best_epoch: int = -1
    fell_epoch: int = -1
    fell_loss: float = float("inf")
    best_loss: float = float("inf")
    finished: bool = False
    stopped_early: bool = False
    train_seconds: float = 0.0
    saved_at: float = field(default_factory=time.monotonic)


_SAVED = tuple(each.name for each in fields(_State) if each.name != "saved_at")


class Fit:
    """A fit in a folder: `last.pt`, `best.pt` and `metrics.jsonl`; run again, it continues where it was interrupted."""

    def __init__(self, task: Task, settings: FitSettings, fabric: Fabric, folder: Path) -> None:
        self.task, self.settings, self.folder = task, settings, make_folder(folder)
        self.fabric = fabric
        self.log = MetricsLog(folder / "metrics.jsonl")
        optimizer = torch.optim.AdamW(
            task.network.parameters(), lr=settings.learning_rate, weight_decay=settings.weight_decay
        )
        self.network, self.optimizer = fabric.setup(task.network, optimizer)
        task.network = self.network
        self.average = self._new_average() if settings.ema_decay > 0 else None
        self.state = _State()

    def finished(self) -> bool:
        """Whether an earlier run of the same fit came to its end; `run` then only loads its best epoch.

        Raises:
            CheckpointError: the folder holds the checkpoint of another config or other data.
        """
        saved = load_checkpoint(self.folder / "last.pt", self.settings.fingerprint)
        return saved is not None and saved["finished"]

    def run(self, on_progress: Callable[[Progress], None] = lambda _: None) -> FitResult:
        """Fits to the end (or from the last checkpoint to the end) and leaves the best epoch's weights in the network.

        Raises:
            CheckpointError: the folder holds the checkpoint of another config or other data.
            OutputError: a checkpoint or the log cannot be written.
        """
        self._resume()
        while not self.state.finished:
            self._epoch(on_progress)
        best = load_checkpoint(self.folder / "best.pt", self.settings.fingerprint)
        if best is None:
            raise CheckpointError(
                f"{self.folder / 'best.pt'}: is missing; remove {self.folder} to start this step again"
            )
        self.network.load_state_dict(best["network"])
        state = self.state
        return FitResult(state.best_epoch, state.best_loss, state.stopped_early, self.log.records())

    def _resume(self) -> None:
        remove_leftovers(self.folder)
        saved = load_checkpoint(self.folder / "last.pt", self.settings.fingerprint)
        if saved is None:
            self.log.path.unlink(missing_ok=True)
            return
        self.network.load_state_dict(saved["network"])
        self.optimizer.load_state_dict(saved["optimizer"])
        if self.average is not None:
            self.average.load_state_dict(saved["average"])
        for name in _SAVED:
            setattr(self.state, name, saved[name])
        self.log.keep_epochs_before(self.state.epoch)

    def _save(self, name: str, *, with_optimizer: bool) -> None:
        state: dict[str, Any] = {key: getattr(self.state, key) for key in _SAVED}
        state |= {"fingerprint": self.settings.fingerprint, "network": self.network.state_dict()}
        if with_optimizer:
            state["optimizer"] = self.optimizer.state_dict()
            if self.average is not None:
                state["average"] = self.average.state_dict()
        save_checkpoint(self.folder / name, state)
        self.state.saved_at = time.monotonic()

    def _epoch(self, on_progress: Callable[[Progress], None]) -> None:
        state, steps = self.state, self.task.steps_per_epoch()
        self.network.train()
        started = time.monotonic() - (state.train_seconds if state.step else 0.0)  # a resumed epoch counts what it had
        for batch in self.task.batches(state.epoch, state.step):
            if batch is not None:
                state.loss_sum += self._step(batch)
            state.step += 1
            on_progress(Progress(state.epoch, state.step, steps, state.loss_sum / state.step))
            if time.monotonic() - state.saved_at > self.settings.checkpoint_every_s and state.step < steps:
                state.train_seconds = time.monotonic() - started
                self._save("last.pt", with_optimizer=True)
        state.train_seconds = time.monotonic() - started
        self._finish_epoch(on_progress)

    def _step(self, batch: Any) -> float:
        state, settings = self.state, self.settings
        torch.manual_seed(seed_for(settings.seed, state.epoch, state.step))
        steps = self.task.steps_per_epoch()
        factor = learning_rate_factor((state.epoch * steps + state.step) / (settings.epochs * steps), settings)
        for group in self.optimizer.param_groups:
            group["lr"] = settings.learning_rate * factor
        self.optimizer.zero_grad()
        total = 0.0
        for part, share in self.task.parts(batch):
            loss = self.task.loss(part) * share
            self.fabric.backward(loss)
            total += float(loss.detach())
        if settings.clip_norm > 0:
            self.fabric.clip_gradients(self.network, self.optimizer, max_norm=settings.clip_norm)
        self.optimizer.step()
        if self.average is not None:
            self.average.update_parameters(self.network.module)
        return _finite(total, "training", state)

    def _validate(self) -> dict[str, Any]:
        """The validation's metrics; an epoch better than all before is saved."""
        state = self.state
        self.network.eval()
        with self._averaged():
            with torch.inference_mode():
                metrics = self.task.validate()
            loss = _finite(metrics["loss"], "validation", state)
            if loss < state.fell_loss * (1 - self.settings.least_improvement):
                state.fell_epoch, state.fell_loss = state.epoch, loss
            if loss < state.best_loss:
                state.best_epoch, state.best_loss = state.epoch, loss
                self._save("best.pt", with_optimizer=False)
        return metrics

    def _finish_epoch(self, on_progress: Callable[[Progress], None]) -> None:
        state, settings, steps = self.state, self.settings, self.task.steps_per_epoch()
        metrics = self._validate()
        train_loss = state.loss_sum / steps
        on_progress(Progress(state.epoch, steps, steps, train_loss, metrics))
        self.log.append(
            {
                "epoch": state.epoch,
                "train_loss": train_loss,
                "validation": metrics,
                "train_seconds": state.train_seconds,
            }
        )
        state.stopped_early = state.epoch - state.fell_epoch >= settings.patience
        state.finished = state.stopped_early or state.epoch + 1 >= settings.epochs
        state.epoch, state.step, state.loss_sum = state.epoch + 1, 0, 0.0
        self._save("last.pt", with_optimizer=True)

    def _new_average(self) -> AveragedModel:
        return AveragedModel(self.network.module, multi_avg_fn=ema_update(self.settings.ema_decay), use_buffers=True)

    @contextmanager
    def _averaged(self) -> Iterator[None]:
        """Within it the network has the average's weights, if there is one; after it those of the last step again."""
        if self.average is None:
            yield
            return
        latest = {key: value.clone() for key, value in self.network.state_dict().items()}
        self.network.load_state_dict(self.average.module.state_dict())
        yield
        self.network.load_state_dict(latest)


def ema_update(decay: float) -> Callable[[Sequence[Tensor], Sequence[Tensor], Tensor | int], None]:
    """The update of `torch.optim.swa_utils.AveragedModel` for a decay with TensorFlow's ramp: min(decay, (1 + n) / (10 + n))."""

    def update(averages: Sequence[Tensor], values: Sequence[Tensor], updates: Tensor | int) -> None:
        keep = min(decay, (1 + int(updates)) / (10 + int(updates)))
        for average, value in zip(averages, values, strict=True):
            if average.is_floating_point():
                average.lerp_(value, 1 - keep)
            else:
                average.copy_(value)

    return update


def _finite(loss: float, kind: str, state: _State) -> float:
    if not math.isfinite(loss):
        raise ConfigError(
            f"the {kind} loss became {loss} in epoch {state.epoch + 1}, step {state.step}: learning diverged; "
            "lower `learning_rate` in the config and start again in another --run folder"
        )
    return loss


def make_fabric(device: str, precision: Literal["fp32", "bf16"]) -> Fabric:
    """Lightning Fabric for one device, with master weights in fp32 and, for bf16, autocast around the forward pass."""
    kind, _, number = device.partition(":")
    index = int(number or 0)
    plugin = MixedPrecision("bf16-mixed", kind) if precision == "bf16" else None
    return Fabric(accelerator=kind, devices=[index] if kind == "cuda" else 1, plugins=[plugin] if plugin else None)


def learning_rate_factor(progress: float, settings: FitSettings) -> float:
    """The share of the peak learning rate when `progress` (0 to 1) of all steps are done.

    `constant` is 1 throughout. `cosine` rises linearly, falls as half a cosine to `floor_fraction` and stays there.
    """
    if settings.schedule == "constant":
        return 1.0
    if progress < settings.warmup_fraction:
        return progress / settings.warmup_fraction
    falling = max(settings.decay_fraction - settings.warmup_fraction, 1e-9)
    share = min((progress - settings.warmup_fraction) / falling, 1.0)
    return settings.floor_fraction + (1 - settings.floor_fraction) * 0.5 * (1 + math.cos(math.pi * share))
