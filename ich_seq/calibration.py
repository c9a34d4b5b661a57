"""Calibration as it ships inside a model: per label a rising curve from score to probability, applied with numpy alone.

Slices and scans have curves of their own: a scan's score is a maximum over slices, which is biased upwards, and the more so the
longer the scan. Curves are fitted in `ich_seq.evaluation.calibrate`, on validation patients.

Source: Guo et al. 2017, https://proceedings.mlr.press/v70/guo17a.html (temperature); Zadrozny & Elkan 2002, 10.1145/775047.775151
(isotonic).
"""

from typing import Annotated, Literal

import numpy as np
from jaxtyping import Float, Float64
from pydantic import BaseModel, ConfigDict, Field, model_validator

from ich_seq.labels import LABEL_NAMES

LOWEST = 1e-6
"""Scores and calibrated probabilities are kept this far from 0 and 1, so that a logit and a log loss stay finite."""

Positive = Annotated[float, Field(gt=0)]
Within = Annotated[float, Field(ge=0, le=1)]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False, use_attribute_docstrings=True)


class Uncalibrated(_Part):
    """A label without a curve."""

    method: Literal["none"] = "none"
    reason: str
    """Why: validation patients show one class only, or too few of them the one or the other."""


class Temperature(_Part):
    """The logit of the score times one factor; the order of scores stays."""

    method: Literal["temperature"] = "temperature"
    factor: Positive
    """Inverse of the temperature: below 1 it draws towards one half."""


class Isotonic(_Part):
    """A rising line through breakpoints, level beyond its ends."""

    method: Literal["isotonic"] = "isotonic"
    scores: tuple[Within, ...] = Field(min_length=1)
    """Rising."""
    probabilities: tuple[Within, ...] = Field(min_length=1)
    """One for each score; none falls below the one before."""

    @model_validator(mode="after")
    def _rising(self) -> "Isotonic":
        if len(self.scores) != len(self.probabilities):
            raise ValueError(f"{len(self.scores)} scores for {len(self.probabilities)} probabilities")
        if (np.diff(self.scores) <= 0).any() or (np.diff(self.probabilities) < 0).any():
            raise ValueError("scores must rise and probabilities must not fall")
        return self


Curve = Annotated[Uncalibrated | Temperature | Isotonic, Field(discriminator="method")]
Curves = Annotated[tuple[Curve, ...], Field(min_length=len(LABEL_NAMES), max_length=len(LABEL_NAMES))]


class Calibration(_Part):
    """What turns stage two's scores into probabilities; fitted on the validation patients that are counted here."""

    method: Literal["temperature", "isotonic"]
    """How the curves were fitted."""
    patients: int = Field(gt=0)
    """Validation patients."""
    scans: int = Field(gt=0)
    """Their scans."""
    slices: int = Field(gt=0)
    """Their slices."""
    of_slices: Curves
    """One curve a label, in the order of LABEL_NAMES, for the score of a slice."""
    of_scans: Curves
    """The same for a scan's score, the maximum over its slices."""

    def slice_probs(self, score: Float[np.ndarray, "n 6"]) -> Float64[np.ndarray, "n 6"]:
        """Calibrated probabilities of slices; a label without a curve keeps its score.

        Raises:
            ValueError: a score outside [0, 1].
        """
        return _apply(self.of_slices, score)

    def scan_probs(self, score: Float[np.ndarray, "n 6"]) -> Float64[np.ndarray, "n 6"]:
        """Calibrated probabilities of scans, from the maxima over their slices; a label without a curve keeps its score.

        Raises:
            ValueError: a score outside [0, 1].
        """
        return _apply(self.of_scans, score)

    def uncalibrated(self) -> dict[str, str]:
        """The labels that have no curve for scans or for slices, each with the reason."""
        named = [*zip(LABEL_NAMES, self.of_scans, strict=True), *zip(LABEL_NAMES, self.of_slices, strict=True)]
        return {label: curve.reason for label, curve in named if isinstance(curve, Uncalibrated)}


def apply_curve(curve: Curve, score: Float[np.ndarray, " n"]) -> Float64[np.ndarray, " n"]:
    """The calibrated probabilities of one label's scores, within [LOWEST, 1 - LOWEST]; without a curve the scores themselves."""
    if isinstance(curve, Uncalibrated):
        return np.asarray(score, np.float64)
    if isinstance(curve, Temperature):
        return _bounded(1 / (1 + np.exp(-curve.factor * logit(score))))
    return _bounded(np.interp(score, curve.scores, curve.probabilities))


def logit(score: Float[np.ndarray, "*n"]) -> Float64[np.ndarray, "*n"]:
    """Log odds of scores, which are first kept within [LOWEST, 1 - LOWEST]."""
    kept = _bounded(np.asarray(score, np.float64))
    return np.log(kept) - np.log1p(-kept)


def _bounded(prob: np.ndarray) -> np.ndarray:
    return np.clip(prob, LOWEST, 1 - LOWEST)


def _apply(curves: tuple[Curve, ...], score: np.ndarray) -> np.ndarray:
    if not ((score >= 0) & (score <= 1)).all():
        raise ValueError("score must lie in [0, 1]; it holds nan or a value outside")
    return np.stack([apply_curve(curve, score[:, k]) for k, curve in enumerate(curves)], axis=1)
