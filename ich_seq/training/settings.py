"""How long and how fast a fit learns: its settings, its schedule of the learning rate, its device."""

import math
from collections.abc import Iterable
from dataclasses import dataclass, fields
from inspect import signature
from typing import Any, Literal

import torch
from lightning_fabric import Fabric
from lightning_fabric.plugins.precision import MixedPrecision
from lightning_fabric.strategies.ddp import DDPStrategy
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from ich_seq.config import TrainCnnConfig, TrainLstmConfig
from ich_seq.training import ranks


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
    optimizer: str = "adam"


def fit_settings(section: TrainCnnConfig | TrainLstmConfig, seed: int, fingerprint: str) -> FitSettings:
    """The settings of a config section; `fingerprint` says what a checkpoint must have been started with."""
    shared = section.model_dump(include={field.name for field in fields(FitSettings)})
    return FitSettings(**shared, seed=seed, fingerprint=fingerprint)


def make_optimizer(parameters: Iterable[nn.Parameter], settings: FitSettings) -> torch.optim.Optimizer:
    """AdamW, which without weight decay is Adam; or Adadelta with the constants of Keras."""
    shared: dict[str, Any] = {"lr": settings.learning_rate, "weight_decay": settings.weight_decay}
    if settings.optimizer == "adadelta":
        return torch.optim.Adadelta(parameters, rho=0.95, eps=1e-7, **shared)
    return torch.optim.AdamW(parameters, **shared)


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


def make_fabric(device: str, precision: Literal["fp32", "bf16"]) -> Fabric:
    """Lightning Fabric with master weights in fp32 and, for bf16, autocast around the forward pass.

    One device, or, under torchrun, one a process: gradients are then averaged over all (DDP).
    """
    kind, _, number = device.partition(":")
    plugins: list[Any] | None = [MixedPrecision("bf16-mixed", kind)] if precision == "bf16" else None
    if ranks.world() == 1:
        return Fabric(accelerator=kind, devices=[int(number or 0)] if kind == "cuda" else 1, plugins=plugins)
    ranks.join()
    # Buffers are taken from the first process before each validation: sent in every step, they would be waited for there.
    newer = "forward_sync_buffers" in signature(DistributedDataParallel.__init__).parameters
    unsent: dict[str, Any] = {"forward_sync_buffers" if newer else "broadcast_buffers": False}
    strategy = DDPStrategy(gradient_as_bucket_view=True, **unsent)
    here = ranks.world() // ranks.machines()
    fabric = Fabric(accelerator=kind, devices=here, num_nodes=ranks.machines(), strategy=strategy, plugins=plugins)
    fabric.launch()
    return fabric
