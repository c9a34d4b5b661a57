"""What both stages minimise and how an epoch is judged."""

from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from ich_seq.labels import ANY_INDEX, LABEL_NAMES, METRIC_WEIGHTS
from ich_seq.metrics import roc_auc


def competition_loss(
    logits: Float[Tensor, "n l"],
    truth: Float[Tensor, "n l"],
    balance: Float[Tensor, "2 l"] | None = None,
    any_weight: float = METRIC_WEIGHTS[ANY_INDEX],
) -> Float[Tensor, ""]:
    """Binary cross-entropy weighted as the competition's metric: `any` counts twice, the sum is divided by 7.

    `balance` weighs each label's negatives (row 0) and positives (row 1) besides; truth between 0 and 1 takes a share of both. Another
    `any_weight` is divided by again: paper 004 has 5, papers 000 and 003 a plain mean.
    """
    weights = torch.tensor(METRIC_WEIGHTS, device=logits.device)
    weights[ANY_INDEX] = any_weight
    every = functional.binary_cross_entropy_with_logits(logits.float(), truth, reduction="none")
    if balance is not None:
        every = every * (balance[0] + (balance[1] - balance[0]) * truth)
    return (every.mean(dim=0) * weights).sum() / weights.sum()


def class_balance(labels: Float[Tensor, "n l"], beta: float) -> Float[Tensor, "2 l"]:
    """Weights of each label's negatives and positives: the inverse of their effective number, their mean over the slices 1.

    A class that does not occur weighs nothing.

    Source: Cui et al. 2019, 10.1109/CVPR.2019.00949, equation 2: effective number (1 - beta^n) / (1 - beta).
    """
    positive = labels.double().sum(dim=0)
    counts = torch.stack((len(labels) - positive, positive))
    effective = (1 - beta**counts) / (1 - beta)
    weights = torch.where(counts > 0, 1 / effective.clamp(min=1e-12), 0.0)
    return (weights * len(labels) / (weights * counts).sum(dim=0)).float()


def validation_metrics(logits: Float[Tensor, "n l"], truth: Float[Tensor, "n l"]) -> dict[str, Any]:
    """The loss and, per label, the AUC (nan where only one class occurs) of slices."""
    prob, labels = torch.sigmoid(logits).numpy(), truth.numpy().astype(np.int64)
    auc = {name: roc_auc(labels[:, index], prob[:, index]) for index, name in enumerate(LABEL_NAMES)}
    return {"loss": float(competition_loss(logits, truth)), "auc": auc}
