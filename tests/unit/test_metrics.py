import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as oracle

from ich_seq import metrics
from ich_seq.labels import ANY_INDEX

# Both sides add the same few thousand float64 terms in another order.
ROUNDING = 1e-12


def slices(seed: int, count: int = 200, levels: int | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Random truth and scores that carry some of it; with `levels`, scores are coarse and so tied."""
    rng = np.random.default_rng(seed)
    truth = rng.random(count) < 0.3
    truth[:2] = True, False
    score = rng.normal(size=count) + truth
    return truth, score if levels is None else np.round(score * levels) / levels


cases = given(seed=st.integers(0, 2**32), count=st.integers(2, 300), levels=st.sampled_from([None, 1, 4]))


@cases
@settings(max_examples=60, deadline=None)
def test_auc_is_scikit_learns(seed: int, count: int, levels: int | None):
    truth, score = slices(seed, count, levels)
    assert metrics.roc_auc(truth, score) == pytest.approx(oracle.roc_auc_score(truth, score), abs=ROUNDING)


@cases
@settings(max_examples=60, deadline=None)
def test_average_precision_is_scikit_learns(seed: int, count: int, levels: int | None):
    truth, score = slices(seed, count, levels)
    expected = oracle.average_precision_score(truth, score)
    assert metrics.average_precision(truth, score) == pytest.approx(expected, abs=ROUNDING)


@cases
@settings(max_examples=30, deadline=None)
def test_resampled_metrics_are_scikit_learns_with_sample_weights(seed: int, count: int, levels: int | None):
    truth, score = slices(seed, count, levels)
    rng = np.random.default_rng(seed)
    patient = rng.integers(0, 7, count)
    counts = rng.multinomial(7, np.full(7, 1 / 7), size=5)
    auc = metrics.roc_auc_resampled(truth, score, patient, counts)
    precision = metrics.average_precision_resampled(truth, score, patient, counts)
    for drawn, auc_here, precision_here in zip(counts, auc, precision, strict=True):
        weight = drawn[patient].astype(float)
        if len(set(truth[weight > 0])) < 2:
            assert np.isnan(auc_here)
            assert np.isnan(precision_here)
            continue
        assert auc_here == pytest.approx(oracle.roc_auc_score(truth, score, sample_weight=weight), abs=ROUNDING)
        expected = oracle.average_precision_score(truth, score, sample_weight=weight)
        assert precision_here == pytest.approx(expected, abs=ROUNDING)


def test_auc_by_hand_counts_a_tie_as_one_half():
    # Pairs (positive, negative): 3>1, 3>2, 2>1, 2=2 -> (1 + 1 + 1 + 1/2) / 4.
    assert metrics.roc_auc(np.array([0, 0, 1, 1]), np.array([1, 2, 3, 2])) == 3.5 / 4


def test_constant_scores_have_an_auc_of_one_half_because_every_pair_is_tied():
    assert metrics.roc_auc(np.array([0, 1, 1]), np.zeros(3)) == 0.5


@pytest.mark.parametrize("truth", [np.zeros(4, bool), np.ones(4, bool), np.zeros(0, bool)])
def test_one_class_leaves_auc_and_average_precision_undefined(truth: np.ndarray):
    score = np.linspace(0, 1, len(truth))
    assert np.isnan(metrics.roc_auc(truth, score))
    assert np.isnan(metrics.average_precision(truth, score))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_weighted_log_loss_is_scikit_learns_per_label_combined_by_hand(dtype: type):
    rng = np.random.default_rng(5)
    truth = (rng.random((400, 6)) < 0.2).astype(np.uint8)
    prob = rng.random((400, 6)).astype(dtype)
    per_label = [oracle.log_loss(truth[:, k], prob[:, k].astype(float), labels=[0, 1]) for k in range(6)]
    by_hand = (sum(per_label[:5]) + 2 * per_label[5]) / 7
    assert ANY_INDEX == 5
    assert metrics.weighted_log_loss(truth, prob) == pytest.approx(by_hand, abs=ROUNDING)
    assert metrics.log_loss_per_label(truth, prob) == pytest.approx(np.array(per_label), abs=ROUNDING)


def test_prevalence_of_rsna_scores_its_published_floor():
    # The published slice prevalences, met exactly in 10,000 slices, and the published floor of .231.
    prevalence = np.array([0.0042, 0.0480, 0.0348, 0.0474, 0.0627, 0.1434])
    truth = np.arange(10_000)[:, None] < np.round(prevalence * 10_000)
    loss = metrics.weighted_log_loss(truth, np.broadcast_to(prevalence, truth.shape).copy())
    assert loss == pytest.approx(0.231, abs=5e-4)


def test_certain_and_wrong_costs_the_clipped_amount_and_not_infinity():
    # The float64 nearest to 1 - 1e-15 is 9.99e-16 below one: 1e-3 of the clip, 3e-5 of its logarithm.
    truth, prob = np.array([[1], [0]]), np.array([[0.0], [1.0]])
    assert metrics.log_loss_per_label(truth, prob)[0] == pytest.approx(-np.log(1e-15), rel=1e-4)


def test_mean_of_a_resample_counts_each_patient_as_often_as_drawn():
    value = np.array([[1.0, 0.0], [3.0, 0.0], [10.0, 6.0]])
    patient, counts = np.array([0, 0, 1]), np.array([[1, 1], [2, 0], [0, 3], [0, 0]])
    mean = metrics.mean_resampled(value, patient, counts)
    np.testing.assert_array_equal(mean, [[14 / 3, 2], [2, 0], [10, 6], [np.nan, np.nan]])


def test_many_blocks_of_rounds_give_the_same_as_one(monkeypatch: pytest.MonkeyPatch):
    truth, score = slices(3, 50, levels=2)
    rng = np.random.default_rng(3)
    patient, counts = rng.integers(0, 9, 50), rng.integers(0, 3, (40, 9))
    whole = metrics.roc_auc_resampled(truth, score, patient, counts)
    monkeypatch.setattr(metrics, "_BLOCK_ELEMENTS", 1)
    np.testing.assert_array_equal(metrics.roc_auc_resampled(truth, score, patient, counts), whole)


@pytest.mark.parametrize("truth", [np.array([0, 2]), np.array([-1, 1])])
def test_truth_other_than_zero_and_one_is_refused(truth: np.ndarray):
    with pytest.raises(ValueError, match="0 and 1"):
        metrics.roc_auc(truth, np.array([0.1, 0.2]))


def test_scores_that_are_not_numbers_are_refused():
    with pytest.raises(ValueError, match="nan"):
        metrics.roc_auc(np.array([0, 1]), np.array([0.1, np.nan]))


@pytest.mark.parametrize("prob", [np.nan, -0.1, 1.1])
def test_probabilities_outside_zero_to_one_are_refused(prob: float):
    with pytest.raises(ValueError, match=r"\[0, 1\]"):
        metrics.log_loss_per_label(np.array([[1]]), np.array([[prob]]))


def test_undefined_metrics_raise_no_warning():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        metrics.log_loss_per_label(np.zeros((0, 6), int), np.zeros((0, 6)))
