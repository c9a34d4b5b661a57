import json
from statistics import NormalDist

import numpy as np
import pytest

from ich_seq.evaluation.bootstrap import Estimate, PatientBootstrap, Statistic

PATIENTS, SLICES = 120, 4
# How far positives lie above negatives, in standard deviations of the score, and the AUC that follows.
SHIFT = 1.2
POPULATION_AUC = NormalDist().cdf(SHIFT / 2**0.5)
WEAKER_AUC = NormalDist().cdf(0.8 / 2**0.5)


def correlated(rng: np.random.Generator, patients: int = PATIENTS) -> np.ndarray:
    """Standard normal values of every slice, with correlation .5 between slices of one patient."""
    patient, own = rng.normal(size=(patients, 1)), rng.normal(size=(patients, SLICES))
    return (np.sqrt(0.5) * patient + np.sqrt(0.5) * own).ravel()


def covers(estimate: Estimate, truth: float) -> bool:
    assert estimate.low is not None
    assert estimate.high is not None
    return estimate.low <= truth <= estimate.high


def coverage(cohorts: int, rounds: int, patients: int = PATIENTS) -> np.ndarray:
    """Share of simulated cohorts whose interval holds the population's mean, AUC and difference of AUCs."""
    held = np.zeros(3)
    patient = np.repeat(np.arange(patients), SLICES)
    for seed in range(cohorts):
        rng = np.random.default_rng(seed)
        bootstrap = PatientBootstrap(patient, rounds=rounds, seed=seed)
        truth, noise = correlated(rng, patients) > 0.5, correlated(rng, patients)
        auc = bootstrap.auc(truth, noise + SHIFT * truth)
        weaker = bootstrap.auc(truth, correlated(rng, patients) + 0.8 * truth)
        held += (
            covers(bootstrap.mean(noise).estimate(), 0.0),
            covers(auc.estimate(), POPULATION_AUC),
            covers((auc - weaker).estimate(), POPULATION_AUC - WEAKER_AUC),
        )
    return held / cohorts


def test_intervals_hold_the_truth_in_93_to_97_percent_of_1000_cohorts_correlated_within_patients():
    share = coverage(cohorts=1000, rounds=1000)
    assert ((share >= 0.93) & (share <= 0.97)).all(), f"mean, AUC, gain of AUC: {share}"


def test_ignoring_the_patients_would_hold_the_truth_too_rarely():
    # Design effect 1 + 3 x .5 = 2.5: naive intervals are 1.58 too narrow and cover 78 % in theory.
    rng = np.random.default_rng(1)
    held = 0
    for seed in range(200):
        naive = PatientBootstrap(np.arange(PATIENTS * SLICES), rounds=300, seed=seed)
        held += covers(naive.mean(correlated(rng)).estimate(), 0.0)
    assert held / 200 < 0.88


def test_interval_is_the_percentiles_of_the_resamples():
    # 0 .. 1000 of so many patients that Student's and the normal quantile agree: 25 and 975.
    estimate = Statistic(400.0, np.arange(1001.0), patients=10**7).estimate()
    assert (estimate.value, estimate.low, estimate.high) == pytest.approx((400.0, 25.0, 975.0), abs=1e-3)


def test_the_interval_of_few_patients_reaches_further_out():
    # 20 patients: t(19) = 2.0930, times sqrt(20 / 19) = 2.1474, beyond which lies .01588 of a normal.
    estimate = Statistic(400.0, np.arange(1001.0), patients=20).estimate()
    assert (estimate.low, estimate.high) == pytest.approx((15.88, 984.12), abs=0.01)


def test_one_patient_gives_a_value_without_an_interval():
    estimate = PatientBootstrap(np.array(["a", "a"]), rounds=50).mean(np.array([1.0, 3.0])).estimate()
    assert (estimate.value, estimate.low, estimate.high) == (2.0, None, None)
    assert estimate.reason == "no interval: one patient only"


def test_the_difference_is_paired_so_that_a_constant_gain_has_no_spread():
    rng = np.random.default_rng(2)
    value = rng.normal(size=40)
    bootstrap = PatientBootstrap(np.arange(40) // 4, rounds=100)
    gain = (bootstrap.mean(value + 0.25) - bootstrap.mean(value)).estimate()
    # Rounding of sums of 40 numbers near one.
    assert (gain.low, gain.high) == (pytest.approx(0.25, abs=1e-12), pytest.approx(0.25, abs=1e-12))


def test_order_of_slices_does_not_matter_and_the_seed_does():
    rng = np.random.default_rng(4)
    patient, value = rng.integers(0, 9, 50), rng.normal(size=50)
    shuffle = rng.permutation(50)
    first = PatientBootstrap(patient, 100, seed=1).mean(value)
    shuffled = PatientBootstrap(patient[shuffle], 100, seed=1).mean(value[shuffle])
    np.testing.assert_allclose(first.resampled, shuffled.resampled, rtol=1e-12)
    assert not np.array_equal(first.resampled, PatientBootstrap(patient, 100, seed=2).mean(value).resampled)


def test_one_class_is_null_with_its_reason_and_never_a_number():
    bootstrap = PatientBootstrap(np.arange(5), rounds=20)
    estimate = bootstrap.auc(np.zeros(5, bool), np.arange(5.0)).estimate("no positive slice")
    assert json.loads(estimate.model_dump_json()) == {
        "value": None,
        "low": None,
        "high": None,
        "reason": "no positive slice",
    }


def test_a_label_of_one_patient_has_a_value_but_no_interval():
    # A resample of 20 misses one given patient with probability .95 ** 20 = .36.
    bootstrap = PatientBootstrap(np.arange(20), rounds=500)
    estimate = bootstrap.auc(np.arange(20) == 7, np.arange(20.0)).estimate()
    assert estimate.value == pytest.approx(7 / 19)
    assert (estimate.low, estimate.high) == (None, None)
    assert "of 500 resamples" in str(estimate.reason)


def test_no_slice_is_refused():
    with pytest.raises(ValueError, match="0 slices"):
        PatientBootstrap(np.array([], str))
