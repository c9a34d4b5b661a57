"""Correction of probabilities on validation slices: against the maximum of the likelihood, and what it must leave alone."""

import numpy as np
import pytest

from ich_seq.calibration import logit
from ich_seq.evaluation.correction import fit_correction
from ich_seq.metrics import cross_entropy, roc_auc

N = 4000


def biased(offset: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Labels drawn from known probabilities, those, and what a classifier says that was taught other shares of positives."""
    rng = np.random.default_rng(0)
    prob = 1 / (1 + np.exp(-(rng.standard_normal((N, 6)) * 2 - 2)))
    return (rng.random((N, 6)) < prob).astype(int), prob, 1 / (1 + np.exp(-(logit(prob) / 2 + offset)))


def test_a_known_factor_and_offset_are_taken_back() -> None:
    labels, prob, told = biased(offset=3.0)
    correction = fit_correction(labels, told)
    # logit p = 2 logit told - 6; 4,000 slices say so to about .1.
    assert correction.factors == pytest.approx((2,) * 6, abs=0.2)
    assert correction.offsets == pytest.approx((-6,) * 6, abs=0.6)
    assert np.abs(correction.apply(told) - prob).max() < 0.05


def test_the_order_and_so_the_auc_stays_and_the_loss_falls() -> None:
    labels, _, told = biased(offset=3.0)
    corrected = fit_correction(labels, told).apply(told)
    for k in range(6):
        assert roc_auc(labels[:, k], corrected[:, k]) == pytest.approx(roc_auc(labels[:, k], told[:, k]))
    assert (cross_entropy(labels, corrected).mean(axis=0) < cross_entropy(labels, told).mean(axis=0) / 2).all()


def test_what_says_nothing_or_the_contrary_becomes_the_prevalence() -> None:
    labels, _, told = biased(offset=0.0)
    told = told.copy()
    told[:, 0], told[:, 1] = 0.5, 1 - told[:, 1]
    labels[:, 2] = 0
    corrected = fit_correction(labels, told).apply(told)
    for k in range(3):
        assert corrected[:, k] == pytest.approx((labels[:, k].sum() + 1) / (N + 2))
