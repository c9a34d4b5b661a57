"""The loss that both stages minimise is the competition's metric."""

import numpy as np
import pytest
import torch
from sklearn.metrics import log_loss

from ich_seq.training.objective import competition_loss, validation_metrics


def test_the_loss_equals_scikit_learns_log_losses_combined_by_hand() -> None:
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(50, 6, generator=generator)
    truth = torch.rand(50, 6, generator=generator).round()
    per_label = [log_loss(truth[:, k], torch.sigmoid(logits[:, k]).double().numpy(), labels=[0, 1]) for k in range(6)]
    expected = (sum(per_label[:5]) + 2 * per_label[5]) / 7  # `any` is last and counts twice; divisor 7
    assert competition_loss(logits, truth).item() == pytest.approx(expected, rel=1e-5)  # float32 means


def test_an_epoch_without_positives_has_an_undefined_auc() -> None:
    metrics = validation_metrics(torch.zeros(4, 6), torch.zeros(4, 6))
    assert np.isnan(metrics["auc"]["any"])
    assert metrics["loss"] == pytest.approx(np.log(2))
