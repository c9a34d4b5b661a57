"""How far a figure would move with other patients: 95 % percentile intervals from resampled patients.

Slices of one patient resemble each other, so what is drawn, with replacement, is a patient with all slices.
Every figure of one evaluation is computed on the same draws; differences are therefore paired.

Percentiles of resamples of few patients lie too close together; they are taken a little further out, by as
much as Student's interval is wider than the normal one (20 patients: 1.6 and 98.4 % for 2.5 and 97.5 %).

Source: Field & Welsh 2007, 10.1111/j.1467-9868.2007.00593.x (resampling of clusters); Hesterberg 2015,
10.1080/00031305.2015.1089789, section 5.3 (expanded percentiles).
"""

import math
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
from jaxtyping import Float64, Integer, Real, Shaped
from pydantic import BaseModel, ConfigDict

from ich_seq import metrics
from ich_seq.metrics import Truth

CONFIDENCE = 0.95
ROUNDS = 1000
_MOST_UNDEFINED = 0.1
_BLOCK_DRAWS = 100_000


class Estimate(BaseModel):
    """A figure with its interval from `low` to `high`; what is undefined is null and `reason` says why."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    value: float | None
    low: float | None
    high: float | None
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class Statistic:
    """A figure of the cohort (`value`) and of each resample of its `patients`; nan where undefined."""

    value: float
    resampled: Float64[np.ndarray, " r"]
    patients: int

    def __sub__(self, other: "Statistic") -> "Statistic":
        """The paired difference: both figures belong to the same resamples."""
        return Statistic(self.value - other.value, self.resampled - other.resampled, self.patients)

    def estimate(self, why_undefined: str = "undefined for these slices") -> Estimate:
        """The figure with its 95 % percentile interval, in the figure's own unit.

        There is none from one patient, nor when more than a tenth of the resamples have no value, which
        happens when two patients or fewer carry a label: percentiles of the rest would look too sure.
        """
        if math.isnan(self.value):
            return Estimate(value=None, low=None, high=None, reason=why_undefined)
        defined = self.resampled[~np.isnan(self.resampled)]
        missing, rounds = len(self.resampled) - len(defined), len(self.resampled)
        if self.patients < 2:
            return Estimate(value=self.value, low=None, high=None, reason="no interval: one patient only")
        if missing > _MOST_UNDEFINED * rounds:
            reason = f"no interval: undefined in {missing} of {rounds} resamples"
            return Estimate(value=self.value, low=None, high=None, reason=reason)
        tail = _expanded_tail(self.patients)
        low, high = np.quantile(defined, (tail, 1 - tail))
        return Estimate(value=self.value, low=float(low), high=float(high))


class PatientBootstrap:
    """The draws of patients for one evaluation: the cohort as it is, then `rounds` resamples of it."""

    def __init__(self, patient_ids: Shaped[np.ndarray, " n"], rounds: int = ROUNDS, seed: int = 0) -> None:
        """Each slice's patient, in the order of the slices; the same patients and seed give the same draws.

        Raises:
            ValueError: no slice, or fewer than one round.
        """
        if not len(patient_ids) or rounds < 1:
            raise ValueError(f"need a slice and a round at least, got {len(patient_ids)} slices, {rounds} rounds")
        names, self._patient = np.unique(patient_ids, return_inverse=True)
        self.patients = len(names)
        self._counts = _draw(self.patients, rounds, seed)

    def auc(self, truth: Truth, score: Real[np.ndarray, " n"]) -> Statistic:
        """AUC of the cohort and of each resample; undefined with one class only."""
        return self._statistic(metrics.roc_auc_resampled(truth, score, self._patient, self._counts))

    def average_precision(self, truth: Truth, score: Real[np.ndarray, " n"]) -> Statistic:
        """Average precision of the cohort and of each resample; undefined with one class only."""
        return self._statistic(metrics.average_precision_resampled(truth, score, self._patient, self._counts))

    def mean(self, value: Real[np.ndarray, " n"]) -> Statistic:
        """Mean over slices of a value per slice, such as its loss, in that value's unit."""
        return self._statistic(metrics.mean_resampled(value, self._patient, self._counts))

    def _statistic(self, values: np.ndarray) -> Statistic:
        return Statistic(float(values[0]), values[1:], self.patients)


def _expanded_tail(patients: int) -> float:
    """Share of the resamples beyond each end of the interval; 0.025 for many patients, less for few."""
    from scipy.special import stdtrit

    wider = float(stdtrit(patients - 1, (1 + CONFIDENCE) / 2)) * math.sqrt(patients / (patients - 1))
    return NormalDist().cdf(-wider)


def _draw(patients: int, rounds: int, seed: int) -> Integer[np.ndarray, "r p"]:
    """How often each patient occurs: once each in row 0 (the cohort), as drawn in the others."""
    rng = np.random.default_rng(seed)
    counts = np.ones((rounds + 1, patients), np.int32)
    step = max(1, _BLOCK_DRAWS // patients)
    for start in range(1, rounds + 1, step):
        block = counts[start : start + step]
        drawn = rng.integers(0, patients, block.shape) + patients * np.arange(len(block))[:, None]
        block[:] = np.bincount(drawn.ravel(), minlength=block.size).reshape(block.shape)
    return counts
