"""Thresholds and what they are worth, against hand arithmetic and scikit-learn."""

import numpy as np
import pytest
from sklearn.metrics import accuracy_score, average_precision_score, brier_score_loss, f1_score, recall_score

from ich_seq.evaluation.bootstrap import PatientBootstrap
from ich_seq.evaluation.data import STAGE_ONE, STAGE_TWO, EvaluationInput, ValidationScores
from ich_seq.evaluation.evaluate import evaluate
from ich_seq.evaluation.operating import (
    BALANCED,
    SENSITIVE_RULE,
    Scored,
    choose_threshold,
    choose_thresholds,
    operating_points,
    points_of,
)
from ich_seq.labels import LABEL_NAMES
from ich_seq.metrics import calibration_error

ANY = LABEL_NAMES.index("any")


def test_thresholds_by_hand() -> None:
    """Positives at .9 .6 .3, negatives at .7 .2 .1: sensitivity + specificity is largest at .3 (3/3 + 2/3) and so is .95 met there."""
    scored = Scored(np.array([1, 1, 1, 0, 0, 0]), np.array([0.9, 0.6, 0.3, 0.7, 0.2, 0.1]))
    assert choose_threshold(scored, BALANCED) == 0.3
    assert choose_threshold(scored, SENSITIVE_RULE) == 0.3
    many = Scored(np.array([1] * 20 + [0]), np.append(np.arange(1, 21) / 20, 0.0))
    assert choose_threshold(many, SENSITIVE_RULE) == pytest.approx(0.10)  # 19 of 20 at or above
    assert choose_threshold(Scored(np.ones(3, int), np.ones(3)), BALANCED) is None
    with pytest.raises(ValueError, match="one of balanced, sensitive"):
        choose_threshold(scored, "best")


def test_figures_at_a_threshold_are_those_by_hand() -> None:
    """Threshold .5 from validation; held out: 3 of 4 positives above, 1 of 6 negatives above."""
    validation = Scored(np.array([1, 0]), np.array([0.5, 0.4]))
    truth = np.array([1, 1, 1, 1, 0, 0, 0, 0, 0, 0])
    score = np.array([0.9, 0.8, 0.5, 0.2, 0.6, 0.4, 0.3, 0.2, 0.1, 0.0])
    bootstrap = PatientBootstrap(np.arange(10), rounds=50)
    chosen = choose_thresholds(validation)
    point, _ = operating_points("stage two", "any", chosen, Scored(truth, score), bootstrap)
    assert point.threshold == 0.5
    assert point.sensitivity.value == pytest.approx(3 / 4)
    assert point.specificity.value == pytest.approx(5 / 6)
    assert point.accuracy.value == pytest.approx(8 / 10)
    assert point.f1.value == pytest.approx(2 * 3 / (2 * 3 + 1 + 1))
    assert point.positive_likelihood_ratio.value == pytest.approx((3 / 4) / (1 / 6))
    assert point.negative_likelihood_ratio.value == pytest.approx((1 / 4) / (5 / 6))
    of_15 = point.predictive_values[1]
    assert of_15.prevalence == 0.15
    assert of_15.positive.value == pytest.approx(0.15 * 0.75 / (0.15 * 0.75 + 0.85 / 6))
    assert of_15.negative.value == pytest.approx(0.85 * 5 / 6 / (0.85 * 5 / 6 + 0.15 * 0.25))


def test_what_is_undefined_is_null_with_a_reason() -> None:
    validation = Scored(np.array([1, 0]), np.array([0.5, 0.4]))
    bootstrap = PatientBootstrap(np.arange(3), rounds=50)
    chosen, nobody = choose_thresholds(validation), Scored(np.zeros(3, int), np.zeros(3))
    point, _ = operating_points("stage two", "any", chosen, nobody, bootstrap)
    assert point.sensitivity.value is None
    assert point.sensitivity.reason == "no positive"
    assert point.specificity.value == 1
    assert point.positive_likelihood_ratio.value is None
    assert points_of([point], SENSITIVE_RULE) == []


def with_validation(held_out: EvaluationInput) -> EvaluationInput:
    import dataclasses

    validation = ValidationScores(
        patient_ids=held_out.patient_ids,
        scan_ids=held_out.scan_ids,
        labels=held_out.labels,
        stage_one=held_out.stage_one,
        stage_two=held_out.stage_two,
    )
    return dataclasses.replace(held_out, validation=validation)


def test_an_evaluation_has_both_stages_at_thresholds_of_the_validation(held_out: EvaluationInput) -> None:
    level = evaluate(with_validation(held_out), rounds=100).by_slice
    # No slice is epidural and every one is subdural: no threshold for those two.
    assert {(p.system, p.label) for p in level.operating_points} == {
        (system, name)
        for system in (STAGE_ONE, STAGE_TWO)
        for name in LABEL_NAMES
        if name not in (LABEL_NAMES[0], LABEL_NAMES[4])
    }
    for point in level.operating_points:
        prob = held_out.stage_one if point.system == STAGE_ONE else held_out.stage_two
        k = LABEL_NAMES.index(point.label)
        truth, above = held_out.labels[:, k], prob[:, k] >= point.threshold
        assert point.sensitivity.value == pytest.approx(recall_score(truth, above))
        assert point.specificity.value == pytest.approx(recall_score(1 - truth, ~above))
        assert point.accuracy.value == pytest.approx(accuracy_score(truth, above))
        assert point.f1.value == pytest.approx(f1_score(truth, above))
        if point.rule == SENSITIVE_RULE:
            assert point.sensitivity.value is not None
            assert point.sensitivity.value >= 0.95  # the same slices chose it


def test_without_validation_patients_there_is_no_threshold(held_out: EvaluationInput) -> None:
    assert evaluate(held_out, rounds=20).by_slice.operating_points == ()


def test_precision_brier_and_calibration_are_scikit_learns(held_out: EvaluationInput) -> None:
    level = evaluate(held_out, rounds=20).by_slice
    (two,) = [system for system in level.systems if system.system == STAGE_TWO]
    truth, prob = held_out.labels[:, ANY], held_out.stage_two[:, ANY]
    assert two.labels[ANY].average_precision.value == pytest.approx(average_precision_score(truth, prob))
    assert two.labels[ANY].brier.value == pytest.approx(brier_score_loss(truth, prob))
    assert two.labels[ANY].calibration_error == pytest.approx(calibration_error(truth, prob))


def test_calibration_error_by_hand() -> None:
    """Two bins: (.2, .4; truths 0, 1) and (.8, .6; 1, 1): |.6 - 1| and |1.4 - 2| over four slices."""
    found = calibration_error(np.array([0, 1, 1, 1]), np.array([0.2, 0.4, 0.8, 0.6]), bins=2)
    assert found == pytest.approx((0.4 + 0.6) / 4)
    assert calibration_error(np.array([1]), np.array([1.0])) == 0
    assert np.isnan(calibration_error(np.zeros(0, int), np.zeros(0)))


def test_patients_are_counted_by_the_maximum_over_their_scans(held_out: EvaluationInput) -> None:
    level = evaluate(held_out, rounds=20).by_patient
    assert (level.level, level.count) == ("patient", 25)
    expected = [held_out.labels[held_out.patient_ids == name, ANY].max() for name in np.unique(held_out.patient_ids)]
    assert level.counts[ANY].positives == sum(expected)
