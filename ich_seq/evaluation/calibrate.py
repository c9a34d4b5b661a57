"""What validation patients decide for good, to be shipped inside the model: calibration curves and thresholds of stage two."""

from collections.abc import Iterator

import numpy as np
from jaxtyping import Float

from ich_seq.calibration import LOWEST, Calibration, Curve, Isotonic, Temperature, Uncalibrated, apply_curve
from ich_seq.config import CalibrationMethod
from ich_seq.evaluation.data import ValidationScores, validation_maximum_over
from ich_seq.evaluation.operating import Scored, choose_thresholds
from ich_seq.labels import LABEL_NAMES
from ich_seq.metrics import Truth, cross_entropy
from ich_seq.thresholds import SCAN, SLICE, Threshold, Thresholds

LEAST_PATIENTS = 3
"""A curve fitted on fewer patients of either kind is theirs, not the label's."""
LOG_FACTOR_LIMIT = 3.0
"""The factor on the logit lies between e^-3 (0.05) and e^3 (20)."""


def fit_calibration(validation: ValidationScores, method: CalibrationMethod) -> Calibration | None:
    """Curves for slices and for scans; None where the method is `none`.

    A label with one class among the validation slices (scans), or with fewer than LEAST_PATIENTS patients that have it or that have
    it not, stays uncalibrated there, and its curve says why.
    """
    if method == "none":
        return None
    scans = validation_maximum_over(validation, "scan_ids")
    return Calibration(
        method=method,
        patients=len(np.unique(validation.patient_ids)),
        scans=len(scans.labels),
        slices=len(validation.labels),
        of_slices=_curves(validation, method, SLICE),
        of_scans=_curves(scans, method, SCAN),
    )


def fit_thresholds(validation: ValidationScores) -> Thresholds:
    """Both rules on stage two's scores, for slices and for scans; a label with one class only has none."""
    scans = validation_maximum_over(validation, "scan_ids")
    points = [*_thresholds(validation, SLICE), *_thresholds(scans, SCAN)]
    return Thresholds(patients=len(np.unique(validation.patient_ids)), points=tuple(points))


def fit_curve(truth: Truth, score: Float[np.ndarray, " n"], method: CalibrationMethod) -> Temperature | Isotonic:
    """The curve of one label that has both classes.

    Raises:
        ValueError: one class only, or method `none`.
    """
    positive = np.asarray(truth, bool)
    if positive.all() or not positive.any():
        raise ValueError("a curve needs positives and negatives")
    if method == "temperature":
        return _temperature(positive, score)
    if method == "isotonic":
        return _isotonic(positive, score)
    raise ValueError(f"method={method!r}; one of temperature, isotonic")


def _curves(scores: ValidationScores, method: CalibrationMethod, level: str) -> tuple[Curve, ...]:
    curves: list[Curve] = []
    for k in range(len(LABEL_NAMES)):
        truth = scores.labels[:, k].astype(bool)
        reason = _why_not(truth, scores.patient_ids, level)
        curves.append(Uncalibrated(reason=reason) if reason else fit_curve(truth, scores.stage_two[:, k], method))
    return tuple(curves)


def _why_not(truth: np.ndarray, patient_ids: np.ndarray, level: str) -> str:
    """What keeps a label from having a curve; empty when nothing does."""
    if truth.all() or not truth.any():
        return f"{'every' if truth.all() else 'no'} validation {level} is positive"
    for rows, which in ((truth, "with"), (~truth, "without")):
        if (patients := len(np.unique(patient_ids[rows]))) < LEAST_PATIENTS:
            return f"validation patients that have a {level} {which} it: {patients}, needed {LEAST_PATIENTS}"
    return ""


def _temperature(truth: np.ndarray, score: np.ndarray) -> Temperature:
    """The factor with the lowest log loss, searched on its logarithm; where even the bounds' loss falls, the bound."""
    from scipy.optimize import minimize_scalar

    def loss(log_factor: float) -> float:
        prob = apply_curve(Temperature(factor=float(np.exp(log_factor))), score)
        return float(cross_entropy(truth[:, None], prob[:, None]).mean())

    limit = LOG_FACTOR_LIMIT
    found = minimize_scalar(loss, bounds=(-limit, limit), method="bounded", options={"xatol": 1e-6})
    best = min((float(found.x), -limit, limit), key=loss)  # pyright: ignore[reportAttributeAccessIssue]
    return Temperature(factor=float(f"{np.exp(best):.8g}"))


def _isotonic(truth: np.ndarray, score: np.ndarray) -> Isotonic:
    """Pooled adjacent violators, between Laplace's bounds: from n cases no probability nearer to 0 or 1 than 1 / (n + 2)."""
    from sklearn.isotonic import IsotonicRegression

    nearest = max(1 / (len(truth) + 2), LOWEST)
    model = IsotonicRegression(y_min=nearest, y_max=1 - nearest, out_of_bounds="clip").fit(score, truth.astype(float))
    scores, probabilities = np.asarray(model.X_thresholds_, np.float64), np.asarray(model.y_thresholds_, np.float64)
    rising = np.append(True, np.diff(scores) > 0)
    return Isotonic(scores=tuple(scores[rising].tolist()), probabilities=tuple(probabilities[rising].tolist()))


def _thresholds(scores: ValidationScores, level: str) -> Iterator[Threshold]:
    for k, label in enumerate(LABEL_NAMES):
        truth = scores.labels[:, k].astype(bool)
        for rule, score in choose_thresholds(Scored(truth, scores.stage_two[:, k])).items():
            yield Threshold.model_validate(
                {
                    "level": level,
                    "label": label,
                    "rule": rule,
                    "score": score,
                    "positives": int(truth.sum()),
                    "negatives": int((~truth).sum()),
                }
            )
