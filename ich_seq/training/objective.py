"""What both stages minimise and how an epoch is judged."""

from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from ich_seq.labels import LABEL_NAMES, METRIC_WEIGHTS
from ich_seq.metrics import roc_auc


def competition_loss(logits: Float[Tensor, "n l"], truth: Float[Tensor, "n l"]) -> Float[Tensor, ""]:
    """Binary cross-entropy weighted as the competition's metric: `any` counts twice, the sum is divided by 7."""
    weights = torch.tensor(METRIC_WEIGHTS, device=logits.device)
    per_label = functional.binary_cross_entropy_with_logits(logits.float(), truth, reduction="none").mean(dim=0)
    return (per_label * weights).sum() / weights.sum()


def validation_metrics(logits: Float[Tensor, "n l"], truth: Float[Tensor, "n l"]) -> dict[str, Any]:
    """The loss and, per label, the AUC (nan where only one class occurs) of slices."""
    prob, labels = torch.sigmoid(logits).numpy(), truth.numpy().astype(np.int64)
    auc = {name: roc_auc(labels[:, index], prob[:, index]) for index, name in enumerate(LABEL_NAMES)}
    return {"loss": float(competition_loss(logits, truth)), "auc": auc}
