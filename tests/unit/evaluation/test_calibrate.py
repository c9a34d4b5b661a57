"""What validation patients decide: against scikit-learn, a search by hand, and the truth that made the scores."""

import numpy as np
import pytest
from sklearn.isotonic import isotonic_regression
from sklearn.metrics import log_loss

from ich_seq.calibration import Temperature, Uncalibrated, apply_curve, logit
from ich_seq.evaluation.calibrate import fit_calibration, fit_curve, fit_thresholds
from ich_seq.evaluation.data import EvaluationInput, ValidationScores, validation_maximum_over
from ich_seq.evaluation.operating import Scored, choose_threshold
from ich_seq.labels import LABEL_NAMES
from ich_seq.metrics import calibration_error

ANY = LABEL_NAMES.index("any")


@pytest.fixture
def validation(held_out: EvaluationInput) -> ValidationScores:
    names = ("patient_ids", "scan_ids", "labels", "stage_one", "stage_two")
    return ValidationScores(**{name: getattr(held_out, name) for name in names})


def overconfident(slices: int = 20_000) -> tuple[np.ndarray, np.ndarray]:
    """Truth drawn with the probability p, and a score whose logit is twice that of p."""
    rng = np.random.default_rng(5)
    prob = rng.uniform(0.02, 0.98, slices)
    return (rng.random(slices) < prob).astype(int), 1 / (1 + np.exp(-2 * logit(prob)))


def test_a_temperature_undoes_a_doubled_logit() -> None:
    truth, score = overconfident()
    curve = fit_curve(truth, score, "temperature")
    assert isinstance(curve, Temperature)
    # One factor from 20,000 draws: its standard error is about .01.
    assert curve.factor == pytest.approx(0.5, abs=0.03)
    assert calibration_error(truth, apply_curve(curve, score)) < 0.3 * calibration_error(truth, score)


def test_no_factor_on_a_grid_has_a_lower_log_loss() -> None:
    truth, score = overconfident(500)
    curve = fit_curve(truth, score, "temperature")
    losses = [log_loss(truth, apply_curve(Temperature(factor=f), score)) for f in np.geomspace(0.05, 20, 400)]
    assert log_loss(truth, apply_curve(curve, score)) <= min(losses) + 1e-9  # the search stops at 1e-6 of the factor


def test_scores_that_separate_the_classes_get_the_steepest_factor() -> None:
    curve = fit_curve(np.array([0, 0, 1, 1]), np.array([0.1, 0.4, 0.6, 0.9]), "temperature")
    assert isinstance(curve, Temperature)
    assert curve.factor == pytest.approx(np.exp(3))


def test_isotonic_is_scikit_learns_and_never_certain() -> None:
    truth, score = overconfident(300)
    curve = fit_curve(truth, score, "isotonic")
    order = np.argsort(score)
    expected = isotonic_regression(truth[order].astype(float), y_min=1 / 302, y_max=1 - 1 / 302)
    np.testing.assert_allclose(apply_curve(curve, score[order]), expected, atol=1e-9)
    assert np.isfinite(log_loss(truth, apply_curve(curve, score)))


def test_slices_and_their_maxima_get_curves_of_their_own(validation: ValidationScores) -> None:
    found = fit_calibration(validation, "temperature")
    assert found is not None
    assert (found.patients, found.scans, found.slices) == (25, 27, 324)
    assert found.of_slices[ANY] == fit_curve(validation.labels[:, ANY], validation.stage_two[:, ANY], "temperature")
    scans = validation_maximum_over(validation, "scan_ids")
    assert found.of_scans[ANY] == fit_curve(scans.labels[:, ANY], scans.stage_two[:, ANY], "temperature")
    assert found.of_scans[ANY] != found.of_slices[ANY]


@pytest.mark.parametrize("method", ["temperature", "isotonic"])
def test_one_class_stays_uncalibrated_and_says_so(validation: ValidationScores, method) -> None:
    found = fit_calibration(validation, method)
    assert found is not None
    assert found.of_slices[0] == Uncalibrated(reason="no validation slice is positive")
    assert found.of_scans[4] == Uncalibrated(reason="every validation scan is positive")
    assert found.of_slices[2] == Uncalibrated(reason="validation patients that have a slice with it: 1, needed 3")
    assert set(found.uncalibrated()) >= {"epidural", "intraventricular", "subdural"}
    assert found.of_slices[ANY].method == method
    with pytest.raises(ValueError, match="positives and negatives"):
        fit_curve(np.ones(3, int), np.full(3, 0.5), method)


def test_none_is_no_calibration(validation: ValidationScores) -> None:
    assert fit_calibration(validation, "none") is None


def test_thresholds_are_those_of_the_rules_on_slices_and_on_maxima(validation: ValidationScores) -> None:
    found = fit_thresholds(validation)
    scans = validation_maximum_over(validation, "scan_ids")
    for level, scores in (("slice", validation), ("scan", scans)):
        for rule in ("balanced", "sensitive"):
            point = found.find(level, "any", rule)
            assert point is not None
            assert point.score == choose_threshold(Scored(scores.labels[:, ANY], scores.stage_two[:, ANY]), rule)
            assert point.positives == scores.labels[:, ANY].sum()
            assert point.positives + point.negatives == len(scores.labels)
    assert found.patients == 25
    assert found.find("scan", "epidural") is None
    assert found.find("scan", "subdural") is None
