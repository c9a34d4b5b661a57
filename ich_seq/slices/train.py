"""Fits the slice classifier on the slices of a table."""

import hashlib
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn

from ich_seq.config import Config, TrainCnnConfig
from ich_seq.errors import DatasetError
from ich_seq.labels import LABEL_NAMES
from ich_seq.slices.augment import Draws, augment, draw
from ich_seq.slices.heads import Head, head_loss
from ich_seq.slices.network import SliceNet
from ich_seq.slices.sampling import Sampling
from ich_seq.slices.tile_cache import TileCache
from ich_seq.slices.tiles import TileBatch, TileSource
from ich_seq.slices.weights import load_pretrained
from ich_seq.training import ranks
from ich_seq.training.checkpoint import fill_network, save_network
from ich_seq.training.compute import resolve_precision, seed_for
from ich_seq.training.loop import Fit, FitResult, Progress
from ich_seq.training.objective import class_balance, competition_loss, validation_metrics
from ich_seq.training.settings import FitSettings, fit_settings, make_fabric

WEIGHTS_FILE = "cnn.safetensors"
_VALIDATION_BATCH = 64


@dataclass
class SliceTask:
    """The slice classifier as a `training.loop.Task`."""

    network: nn.Module
    train: TileSource
    validation: TileSource
    settings: TrainCnnConfig
    seed: int
    device: str
    balance: Tensor | None = None
    head: nn.Module | None = None

    def steps_per_epoch(self) -> int:
        """All training slices once, or as many steps as the config has."""
        return self._sampling().steps_per_epoch()

    def batches(self, epoch: int, first_step: int) -> Iterator[TileBatch]:
        """The training slices as `Sampling` draws them, from `first_step` on; of each step every process reads its share."""
        rank, world = ranks.rank(), ranks.world()
        steps = self._sampling().steps(epoch, first_step)
        for step, batch in zip(steps, self.train.batches([rows[rank::world] for rows in steps]), strict=True):
            yield TileBatch(batch.tiles, batch.labels, batch.places * world + rank, len(step))

    def parts(self, batch: TileBatch) -> list[tuple[tuple[TileBatch, Draws], int]]:
        """The batch in micro-batches, each with its draws for the augmentation and its number of slices.

        Every process has the same number of them, since synchronised batch norm meets in each.
        """
        draws = draw(self.settings.batch_size)
        share = -(-batch.planned // ranks.world())
        number = -(-share // (self.settings.micro_batch or share))
        found = []
        for rows in torch.arange(len(batch.labels)).tensor_split(number):
            part = TileBatch(batch.tiles[rows], batch.labels[rows], batch.places[rows])
            if not len(rows):  # this process still takes part, with slices that count nothing
                nothing = torch.zeros(2, dtype=torch.int64)
                part = TileBatch(torch.zeros((2, *batch.tiles.shape[1:])), torch.zeros((2, len(LABEL_NAMES))), nothing)
            found.append(((part, draws.of(part.places)), len(rows)))
        return found

    def loss(self, batch: tuple[TileBatch, Draws]) -> Tensor:
        """The config's loss on augmented tiles."""
        part, draws = batch
        tiles = augment(part.tiles.to(self.device), self.settings.augment, draws.to(self.device))
        truth, output = part.labels.to(self.device), self.network(tiles)
        if isinstance(self.head, Head) and self.head.output != "sigmoid":
            return head_loss(self.head, output.embedding, truth, self.settings)
        smoothing = self.settings.label_smoothing
        drawn = truth * (1 - smoothing) + smoothing / 2
        return competition_loss(output.logits, drawn, self.balance, self.settings.any_weight)

    def _sampling(self) -> Sampling:
        return Sampling(self.train.labels, self.settings, self.seed)

    def validate(self) -> dict[str, Any]:
        """Loss and AUC per label on the validation slices, as they are; every process reads its share and learns the whole."""
        rows = list(range(len(self.validation)))
        chunks = [rows[start : start + _VALIDATION_BATCH] for start in range(0, len(rows), _VALIDATION_BATCH)]
        found = []
        for batch in self.validation.batches(chunks[ranks.rank() :: ranks.world()]):
            if len(batch.labels):
                logits = self.network(batch.tiles.to(self.device)).logits.float().cpu()
                found.append((logits.numpy(), batch.labels.numpy()))
        both = [pair for part in ranks.gathered(found) for pair in part]
        if not both:
            raise DatasetError("no validation slice can be read")
        logits, truth = (torch.from_numpy(np.concatenate(column)) for column in zip(*both, strict=True))
        return validation_metrics(logits, truth)


def train_cnn(
    config: Config,
    table: pd.DataFrame,
    origin: Path | TileCache,
    folder: Path,
    device: str,
    on_progress: Callable[[Progress], None] = lambda _: None,
) -> FitResult:
    """Fits the slice classifier and leaves `cnn.safetensors`, its best epoch, in `folder`; continues an interrupted fit.

    `origin` is where tiles come from: the folder of the images, or a tile cache, whose 256 steps change the numbers a little.

    Raises:
        WeightsError: the pretrained weights cannot be had; found out before any slice is read.
        DatasetError: no training or validation slices, or more than 1 % of them unreadable.
        CacheError: the tile cache lacks slices of the table, or is damaged.
        CheckpointError, OutputError: as `training.loop.Fit`.
    """
    settings = config.train_cnn
    torch.manual_seed(seed_for(config.seed))
    network = SliceNet(config.cnn, config.preprocess)
    network.frozen_statistics = settings.freeze_batch_norm
    load_pretrained(network.backbone, config.cnn.backbone, config.cnn.weights)
    train_splits = ["stage_one"] if config.train_lstm.patients == "reserved" else ["stage_one", "stage_two"]
    train, validation = (
        TileSource(_rows(table, splits, settings.sampling), origin, network.preprocess, settings.workers)
        for splits in (train_splits, ["validation"])
    )
    balanced = settings.loss == "class_balanced"
    balance = class_balance(train.labels, settings.balance_beta).to(device) if balanced else None
    if isinstance(network.head, Head):
        network.head.learn_shares(train.labels)
    task = SliceTask(network, train, validation, settings, config.seed, device, balance, network.head)
    fabric = make_fabric(device, resolve_precision(settings.precision, device))
    if ranks.world() > 1 and device.startswith("cuda"):
        task.network = nn.SyncBatchNorm.convert_sync_batchnorm(network)
    fit = Fit(task, _fit_settings(config, table, isinstance(origin, TileCache)), fabric, folder)
    if settings.keep_tiles_in_memory and not fit.finished():
        for source in (train, validation):
            source.keep_in_memory()
    result = fit.run(on_progress)
    if ranks.rank() == 0:
        save_network(fit.network, folder / WEIGHTS_FILE)
    ranks.wait()
    return result


def load_cnn(config: Config, folder: Path) -> SliceNet:
    """The slice classifier that `train_cnn` left in `folder`, on the CPU, in evaluation mode.

    Raises:
        DatasetError: stage one has not been trained here.
        CheckpointError: its weights are damaged, or of another network.
    """
    path = folder / WEIGHTS_FILE
    if not path.exists():
        raise DatasetError(f"{path}: stage one is not trained; run `ichseq train-cnn` first")
    network = SliceNet(config.cnn, config.preprocess)
    fill_network(network, path, "ichseq train-cnn")
    return network.eval()


def _fit_settings(config: Config, table: pd.DataFrame, from_cache: bool) -> FitSettings:
    section = config.train_cnn
    used = config.model_dump(mode="json", include={"seed", "preprocess", "cnn", "train_cnn"})
    used["patients"] = config.train_lstm.patients
    if from_cache:
        used["tiles"] = "uint8"
    used["train_cnn"].pop("checkpoint_every_s")
    used["train_cnn"].pop("workers")
    content = table[["path", "split", *LABEL_NAMES]].to_csv(index=False)
    fingerprint = hashlib.sha256((json.dumps(used, sort_keys=True) + content).encode()).hexdigest()
    return fit_settings(section, config.seed, fingerprint)


def _rows(table: pd.DataFrame, splits: list[str], sampling: str) -> pd.DataFrame:
    rows = table[table["split"].isin(splits)]
    if sampling == "positives":
        rows = rows[rows["any"] == 1]
    if rows.empty:
        kind = "slices with blood" if sampling == "positives" else "slices"
        raise DatasetError(f"the table has no {kind} in {' or '.join(splits)}; index a larger set or change [split]")
    return rows
