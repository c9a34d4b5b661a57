"""Calibration as it is applied: by hand, and what is refused."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from ich_seq.calibration import LOWEST, Calibration, Isotonic, Temperature, Uncalibrated, apply_curve
from ich_seq.labels import LABEL_NAMES
from ich_seq.thresholds import Threshold, Thresholds

NONE = Uncalibrated(reason="no validation slice is positive")


def calibration(**changes) -> Calibration:
    of_slices = (NONE, *(Temperature(factor=0.5) for _ in LABEL_NAMES[1:]))
    of_scans = (NONE, *(Isotonic(scores=(0.2, 0.6), probabilities=(0.1, 0.3)) for _ in LABEL_NAMES[1:]))
    fields = {
        "method": "temperature",
        "patients": 2,
        "scans": 3,
        "slices": 9,
        "of_slices": of_slices,
        "of_scans": of_scans,
    }
    return Calibration.model_validate(fields | changes)


def test_a_temperature_multiplies_the_logit() -> None:
    """Odds of .9 are 9; half the logit is the square root of the odds, 3, so the probability is 3 / 4."""
    found = apply_curve(Temperature(factor=0.5), np.array([0.9, 0.5, 0.1]))
    np.testing.assert_allclose(found, [0.75, 0.5, 0.25], rtol=1e-12)


def test_an_isotonic_curve_is_a_line_between_its_points_and_level_beyond() -> None:
    found = apply_curve(Isotonic(scores=(0.2, 0.6), probabilities=(0.1, 0.3)), np.array([0.0, 0.2, 0.4, 0.6, 1.0]))
    np.testing.assert_allclose(found, [0.1, 0.1, 0.2, 0.3, 0.3], rtol=1e-12)


@given(st.floats(min_value=0, max_value=1), st.floats(min_value=0.05, max_value=20))
def test_no_calibrated_probability_is_certain(score: float, factor: float) -> None:
    (found,) = apply_curve(Temperature(factor=factor), np.array([score]))
    assert LOWEST <= found <= 1 - LOWEST
    (found,) = apply_curve(Isotonic(scores=(0.5,), probabilities=(1.0,)), np.array([score]))
    assert found == 1 - LOWEST


def test_slices_and_scans_have_curves_of_their_own_and_a_label_without_one_keeps_its_score() -> None:
    score = np.full((1, 6), 0.9)
    np.testing.assert_allclose(calibration().slice_probs(score), [[0.9] + [0.75] * 5])
    np.testing.assert_allclose(calibration().scan_probs(score), [[0.9] + [0.3] * 5])
    assert calibration().uncalibrated() == {"epidural": "no validation slice is positive"}


@pytest.mark.parametrize("wrong", [np.nan, 1.1, -0.1])
def test_what_is_no_score_is_refused(wrong: float) -> None:
    with pytest.raises(ValueError, match=r"score must lie in \[0, 1\]"):
        calibration().slice_probs(np.full((2, 6), wrong))


@pytest.mark.parametrize(
    "curve",
    [
        {"method": "temperature", "factor": 0.0},
        {"method": "isotonic", "scores": [0.1, 0.1], "probabilities": [0.1, 0.2]},
        {"method": "isotonic", "scores": [0.1, 0.2], "probabilities": [0.3, 0.2]},
        {"method": "isotonic", "scores": [0.1], "probabilities": [0.3, 0.4]},
        {"method": "spline"},
    ],
)
def test_a_curve_that_does_not_rise_or_is_unknown_is_refused(curve: dict) -> None:
    with pytest.raises(ValidationError):
        calibration(of_slices=[curve] * 6)
    with pytest.raises(ValidationError):
        calibration(of_slices=[{"method": "temperature", "factor": 1.0}] * 5)


def test_a_calibration_survives_json() -> None:
    assert Calibration.model_validate_json(calibration().model_dump_json()) == calibration()


def test_a_threshold_is_found_by_level_label_and_rule() -> None:
    point = Threshold(level="scan", label="any", rule="balanced", score=0.4, positives=3, negatives=5)
    thresholds = Thresholds(patients=8, points=(point,))
    assert thresholds.find("scan", "any") == point
    assert thresholds.find("slice", "any") is None
    assert thresholds.find("scan", "any", "sensitive") is None
