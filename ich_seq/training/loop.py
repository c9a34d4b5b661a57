"""One fit: epochs of seeded steps, validation after each, the best epoch kept, exact resume from any checkpoint."""

import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import torch
from lightning_fabric import Fabric
from torch import Tensor, nn

from ich_seq.errors import CheckpointError, ConfigError
from ich_seq.files import make_folder, remove_leftovers
from ich_seq.training import ranks
from ich_seq.training.average import WeightAverage
from ich_seq.training.checkpoint import load_checkpoint, save_checkpoint
from ich_seq.training.compute import seed_for
from ich_seq.training.events import EventLog
from ich_seq.training.log import MetricsLog
from ich_seq.training.settings import FitSettings, learning_rate_factor, make_optimizer


@runtime_checkable
class Task(Protocol):
    """What is fitted: a network, its batches, its loss, its validation."""

    network: nn.Module

    def steps_per_epoch(self) -> int:
        """Steps in each epoch."""
        ...

    def batches(self, epoch: int, first_step: int) -> Iterator[Any]:
        """The batches of `epoch` from `first_step` on, one a step; always the same."""
        ...

    def parts(self, batch: Any) -> list[tuple[Any, int]]:
        """The batch in the parts that go through the network one after another, each with the number of its items.

        Under torchrun a batch is this process's share of a step; one without any item still has a part, which counts nothing.
        """
        ...

    def loss(self, batch: Any) -> Tensor:
        """The loss of one part of a batch, a scalar: a mean over its items."""
        ...

    def validate(self) -> dict[str, Any]:
        """Metrics on the validation patients; `loss` among them decides which epoch is best."""
        ...


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


@contextmanager
def _fitting(path: Path) -> Iterator[None]:
    """A checkpoint whose content is not that of this fit is said to be so."""
    try:
        yield
    except (RuntimeError, LookupError, TypeError, ValueError, AttributeError) as error:
        first = " ".join(str(error).split())[:120]
        raise CheckpointError(
            f"{path}: does not fit this run ({first}); remove {path.parent} to start this step again", path=path
        ) from error


class Fit:
    """A fit in a folder: `last.pt`, `best.pt` and `metrics.jsonl`; run again, it continues where it was interrupted."""

    def __init__(self, task: Task, settings: FitSettings, fabric: Fabric, folder: Path) -> None:
        self.task, self.settings, self.folder = task, settings, make_folder(folder)
        self.fabric = fabric
        self.log, self.events = MetricsLog(folder / "metrics.jsonl"), EventLog(folder / "tensorboard")
        optimizer = make_optimizer(task.network.parameters(), settings)
        self.network, self.optimizer = fabric.setup(task.network, optimizer)
        task.network = self.network
        self.average = WeightAverage(self.network.module, settings.ema_decay)
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
        self.events.close()
        ranks.wait()
        best = load_checkpoint(self.folder / "best.pt", self.settings.fingerprint)
        if best is None:
            raise CheckpointError(
                f"{self.folder / 'best.pt'}: is missing; remove {self.folder} to start this step again"
            )
        with _fitting(self.folder / "best.pt"):
            self.network.load_state_dict(best["network"])
        state = self.state
        return FitResult(state.best_epoch, state.best_loss, state.stopped_early, self.log.records())

    def _resume(self) -> None:
        with ranks.first_alone():
            if ranks.rank() == 0:
                remove_leftovers(self.folder)
            saved = load_checkpoint(self.folder / "last.pt", self.settings.fingerprint)
            if ranks.rank() == 0:
                with _fitting(self.folder / "last.pt"):
                    self.log.keep_epochs_before(int(saved["epoch"]) if saved else 0)
        if saved is None:
            return
        with _fitting(self.folder / "last.pt"):
            self.network.load_state_dict(saved["network"])
            self.optimizer.load_state_dict(saved["optimizer"])
            self.average.load(saved["average"])
            for name in _SAVED:
                setattr(self.state, name, saved[name])

    def _save(self, name: str, *, with_optimizer: bool) -> None:
        self.state.saved_at = time.monotonic()
        if ranks.rank() > 0:
            return
        state: dict[str, Any] = {key: getattr(self.state, key) for key in _SAVED}
        state |= {"fingerprint": self.settings.fingerprint, "network": self.network.state_dict()}
        if with_optimizer:
            state["optimizer"] = self.optimizer.state_dict()
            state["average"] = self.average.state()
        save_checkpoint(self.folder / name, state)

    def _epoch(self, on_progress: Callable[[Progress], None]) -> None:
        state, steps = self.state, self.task.steps_per_epoch()
        self.network.train()
        started = time.monotonic() - (state.train_seconds if state.step else 0.0)  # a resumed epoch counts what it had
        for batch in self.task.batches(state.epoch, state.step):
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
        total = self._backward(self.task.parts(batch))
        if total is None:
            return 0.0
        if settings.clip_norm > 0:
            self.fabric.clip_gradients(self.network, self.optimizer, max_norm=settings.clip_norm)
        self.optimizer.step()
        self.average.update(self.network.module)
        return _finite(total, "training", state)

    def _backward(self, parts: list[tuple[Any, int]]) -> float | None:
        """Gradients of the mean loss over the items of all parts of all processes, and that loss; None where there is no item."""
        items = ranks.total(sum(count for _, count in parts))
        if not items:
            return None
        loss_sum = 0.0
        for place, (part, count) in enumerate(parts, start=1):
            later = ranks.world() > 1 and place < len(parts)  # the processes meet once a step, not for every part
            with self.fabric.no_backward_sync(self.network, enabled=True) if later else nullcontext():
                # The processes' gradients are averaged, and so are their losses: each is its share of the sum, times their number.
                loss = self.task.loss(part) * (count / items)
                self.fabric.backward(loss * ranks.world())
                loss_sum += float(loss.detach())
        return ranks.total(loss_sum)

    def _validate(self) -> dict[str, Any]:
        """The validation's metrics; an epoch better than all before is saved."""
        state = self.state
        self.network.eval()
        ranks.take_from_first(list(self.network.buffers()))
        with self.average.in_place_of(self.network):
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
        record = {"epoch": state.epoch, "train_loss": train_loss, "validation": metrics}
        if ranks.rank() == 0:
            record |= {"train_seconds": state.train_seconds}
            self.log.append(record)
            self.events.append(record, self.optimizer.param_groups[0]["lr"])
        state.stopped_early = state.epoch - state.fell_epoch >= settings.patience
        state.finished = state.stopped_early or state.epoch + 1 >= settings.epochs
        state.epoch, state.step, state.loss_sum = state.epoch + 1, 0, 0.0
        self._save("last.pt", with_optimizer=True)


def _finite(loss: float, kind: str, state: _State) -> float:
    if not math.isfinite(loss):
        raise ConfigError(
            f"the {kind} loss became {loss} in epoch {state.epoch + 1}, step {state.step}: learning diverged; "
            "lower `learning_rate` in the config and start again in another --run folder"
        )
    return loss
