"""Fits the sequence network on scans in memory."""

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float32
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits

from ich_seq.config import Config, TrainLstmConfig
from ich_seq.errors import CheckpointError, DatasetError
from ich_seq.sequence.dataset import Scan, ScanBatch, batch_scans, thinned
from ich_seq.sequence.network import PROB_EPS, SequenceNet, reduced_width_of
from ich_seq.training.checkpoint import fill_network, load_tensors, save_network
from ich_seq.training.compute import seed_for
from ich_seq.training.loop import Fit, FitResult, Progress
from ich_seq.training.objective import competition_loss, validation_metrics
from ich_seq.training.settings import FitSettings, fit_settings, make_fabric

WEIGHTS_FILE = "lstm.safetensors"
BLEND_STEPS = 20
_SHUFFLE = 1
_VALIDATION_BATCH = 16


@dataclass
class SequenceTask:
    """The sequence network as a `training.loop.Task`; scans stay in memory (504 bytes a slice at 120 + 6 inputs)."""

    network: nn.Module
    train: list[Scan]
    validation: list[Scan]
    settings: TrainLstmConfig
    seed: int
    device: str

    def steps_per_epoch(self) -> int:
        """All training scans once; the last batch may be smaller."""
        return -(-len(self.train) // self.settings.batch_size)

    def batches(self, epoch: int, first_step: int) -> Iterator[ScanBatch]:
        """The training scans in the epoch's own order, from `first_step` on."""
        generator = np.random.default_rng(seed_for(self.seed, epoch, 0, _SHUFFLE))
        order = generator.permutation(len(self.train)).tolist()
        reverse = (generator.random(len(order)) < self.settings.reverse_probability).tolist()
        thin = (generator.random(len(order)) < self.settings.thin_probability).tolist()
        first = generator.integers(0, 2, len(order)).tolist()
        scans = [
            thinned(self.train[scan], first[place]) if thin[place] else self.train[scan]
            for place, scan in enumerate(order)
        ]
        size = self.settings.batch_size
        for start in range(first_step * size, len(order), size):
            yield batch_scans(scans[start : start + size], reverse[start : start + size])

    def parts(self, batch: ScanBatch) -> list[tuple[ScanBatch, int]]:
        """The whole batch: scans are small."""
        return [(batch, int(batch.mask.sum()))]

    def loss(self, batch: ScanBatch) -> Tensor:
        """The competition's loss over the slices of the batch; padding does not count."""
        logits = self._logits(batch)
        return competition_loss(logits[batch.mask], batch.labels.to(self.device)[batch.mask])

    def validate(self) -> dict[str, Any]:
        """Loss and AUC per label on the slices of the validation scans."""
        logits, _, truth = self.validation_logits()
        return validation_metrics(logits, truth)

    def validation_logits(self) -> tuple[Float32[Tensor, "n l"], Float32[Tensor, "n l"], Float32[Tensor, "n l"]]:
        """Of every validation slice: its logits, stage one's probabilities and the truth."""
        parts = []
        for start in range(0, len(self.validation), _VALIDATION_BATCH):
            batch = batch_scans(self.validation[start : start + _VALIDATION_BATCH])
            logits = self._logits(batch)[batch.mask].cpu()
            parts.append((logits, batch.prob[batch.mask], batch.labels[batch.mask]))
        logits, prob, truth = (torch.cat(column) for column in zip(*parts, strict=True))
        return logits, prob, truth

    def _logits(self, batch: ScanBatch) -> Float32[Tensor, "b s l"]:
        return self.network(batch.reduced.to(self.device), batch.prob.to(self.device), batch.lengths)


def train_lstm(
    config: Config,
    scans: Mapping[str, list[Scan]],
    folder: Path,
    device: str,
    on_progress: Callable[[Progress], None] = lambda _: None,
) -> FitResult:
    """Fits the sequence network and leaves `lstm.safetensors`, its best epoch, in `folder`; continues an interrupted fit.

    Args:
        config: `train_lstm.patients` decides which splits are learnt from.
        scans: the scans of each split (`stage_one`, `stage_two`, `validation`).
        folder: for checkpoints, log and weights.
        device: `cpu` or `cuda`.
        on_progress: called after every step and epoch.

    Raises:
        DatasetError: no training or no validation scans.
        CheckpointError, OutputError: as `training.loop.Fit`.
    """
    train = scans["stage_two"] if config.train_lstm.patients == "reserved" else scans["stage_one"] + scans["stage_two"]
    if not train or not scans["validation"]:
        raise DatasetError(
            f"stage two has {len(train)} training and {len(scans['validation'])} validation scans; it needs both"
        )
    torch.manual_seed(seed_for(config.seed, 2))
    network = SequenceNet(train[0].reduced.shape[1], config.lstm)
    task = SequenceTask(network, train, scans["validation"], config.train_lstm, config.seed, device)
    fit = Fit(task, _fit_settings(config, train + scans["validation"]), make_fabric(device, "fp32"), folder)
    result = fit.run(on_progress)
    if config.train_lstm.blend == "validation":
        task.network.eval()
        with torch.inference_mode():
            network.blend.copy_(fit_blend(*task.validation_logits()))
    save_network(network, folder / WEIGHTS_FILE)
    return result


def fit_blend(
    logits: Float32[Tensor, "n l"], prob: Float32[Tensor, "n l"], truth: Float32[Tensor, "n l"]
) -> Float32[Tensor, " l"]:
    """Stage two's share in each label's final logit, in steps of a twentieth, with the lowest log loss; the largest among equals.

    A label without a positive, or without a negative, keeps stage two alone: its losses say nothing of ranks.
    """
    before = torch.logit(prob, eps=PROB_EPS)
    shares = torch.linspace(1, 0, BLEND_STEPS + 1)
    losses = torch.stack(
        [
            binary_cross_entropy_with_logits(share * logits + (1 - share) * before, truth, reduction="none").mean(dim=0)
            for share in shares
        ]
    )
    both = (truth.max(dim=0).values > 0) & (truth.min(dim=0).values < 1)
    return torch.where(both, shares[losses.argmin(dim=0)], 1.0)


def load_lstm(config: Config, folder: Path) -> SequenceNet:
    """The sequence network that `train_lstm` left in `folder`, on the CPU, in evaluation mode.

    Raises:
        DatasetError: stage two has not been trained here.
        CheckpointError: its weights are damaged, or of another network.
    """
    path = folder / WEIGHTS_FILE
    if not path.exists():
        raise DatasetError(f"{path}: stage two is not trained; run `ichseq train-lstm` first")
    state = load_tensors(path, "ichseq train-lstm")
    try:
        width = reduced_width_of(state["lstm.weight_ih_l0"].shape[1], config.lstm)
    except KeyError as error:
        raise CheckpointError(f"{path}: not stage two's weights (no {error}); run `ichseq train-lstm` again") from error
    network = SequenceNet(width, config.lstm)
    fill_network(network, path, "ichseq train-lstm")
    return network.eval()


def refine(network: SequenceNet, scan: Scan) -> Float32[Tensor, "s l"]:
    """Refined probabilities of one scan's slices, feet to head."""
    device = next(network.parameters()).device
    with torch.inference_mode():
        batch = batch_scans([scan])
        logits = network(batch.reduced.to(device), batch.prob.to(device), batch.lengths)
    return torch.sigmoid(logits[0]).cpu()


def _fit_settings(config: Config, scans: list[Scan]) -> FitSettings:
    section = config.train_lstm
    used = config.model_dump(mode="json", include={"seed", "lstm", "train_lstm"})
    used["train_lstm"].pop("seeds")  # how many others are fitted besides does not change this one
    digest = hashlib.sha256(json.dumps(used, sort_keys=True).encode())
    for scan in scans:
        for tensor in (scan.reduced, scan.prob, scan.labels):
            digest.update(tensor.numpy().tobytes())
    return fit_settings(section, config.seed, digest.hexdigest())
