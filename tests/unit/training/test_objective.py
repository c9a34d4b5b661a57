"""The loss that both stages minimise is the competition's metric."""

import numpy as np
import pytest
import torch
from sklearn.metrics import log_loss

from ich_seq.training.objective import class_balance, competition_loss, validation_metrics


def test_the_loss_equals_scikit_learns_log_losses_combined_by_hand() -> None:
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(50, 6, generator=generator)
    truth = torch.rand(50, 6, generator=generator).round()
    per_label = [log_loss(truth[:, k], torch.sigmoid(logits[:, k]).double().numpy(), labels=[0, 1]) for k in range(6)]
    expected = (sum(per_label[:5]) + 2 * per_label[5]) / 7  # `any` is last and counts twice; divisor 7
    assert competition_loss(logits, truth).item() == pytest.approx(expected, rel=1e-5)  # float32 means


def test_class_balance_equals_hand_arithmetic() -> None:
    """10 slices, 2 positive: effective numbers at beta .5 are 2 (1 - .5^8) and 2 (1 - .5^2); mean weight over slices 1."""
    labels = torch.zeros(10, 6)
    labels[:2] = 1
    negative, positive = 1 / (2 * (1 - 0.5**8)), 1 / (2 * (1 - 0.5**2))
    scale = 10 / (8 * negative + 2 * positive)
    found = class_balance(labels, 0.5)
    assert found[:, 0].tolist() == pytest.approx([negative * scale, positive * scale], rel=1e-6)
    assert class_balance(labels, 0.0).tolist() == [[1.0] * 6] * 2


def test_a_class_that_does_not_occur_weighs_nothing() -> None:
    assert class_balance(torch.zeros(4, 6), 0.9).tolist() == [[1.0] * 6, [0.0] * 6]


def test_balanced_loss_weighs_positives_and_negatives_apart() -> None:
    logits, truth = torch.zeros(2, 6), torch.tensor([[0.0] * 6, [1.0] * 6])
    balance = torch.tensor([[1.0] * 6, [3.0] * 6])
    assert competition_loss(logits, truth, balance).item() == pytest.approx(2 * np.log(2))  # (1 + 3) / 2 times log 2


def test_an_epoch_without_positives_has_an_undefined_auc() -> None:
    metrics = validation_metrics(torch.zeros(4, 6), torch.zeros(4, 6))
    assert np.isnan(metrics["auc"]["any"])
    assert metrics["loss"] == pytest.approx(np.log(2))
