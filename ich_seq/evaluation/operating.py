"""What a score is worth once a threshold is set: thresholds from validation patients only, figures from held-out ones.

Source of the likelihood ratios and predictive values: Altman & Bland 1994, 10.1136/bmj.309.6947.102 and 10.1136/bmj.309.6948.188.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Shaped
from pydantic import BaseModel, ConfigDict

from ich_seq.evaluation.bootstrap import Estimate, PatientBootstrap, Statistic
from ich_seq.metrics import Truth
from ich_seq.thresholds import BALANCED, RULES, SCAN, SENSITIVE_RULE, SLICE, Thresholds

SENSITIVE = 0.95
"""The sensitivity that the `sensitive` threshold reaches on validation patients."""
PREVALENCES = (0.05, 0.15, 0.40)
"""Where predictive values are stated: few positives, about RSNA's slices (.14), about its patients (.40)."""


class _Result(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


class PredictiveValue(_Result):
    """What a result means where so many have the label."""

    prevalence: float
    """Share that has the label before the test."""
    positive: Estimate
    """Share of those above the threshold that have it (PPV)."""
    negative: Estimate
    """Share of those below it that have it not (NPV)."""


class OperatingPoint(_Result):
    """One system on one label at one threshold, which validation patients chose."""

    system: str
    """`stage one` or `stage two`."""
    label: str
    """Name as in RSNA's files."""
    rule: str
    """`balanced`: the largest sum of sensitivity and specificity; `sensitive`: the highest threshold with sensitivity 0.95 or more."""
    threshold: float
    """Scores at or above it count as positive."""
    sensitivity: Estimate
    """Positives at or above the threshold."""
    specificity: Estimate
    """Negatives below it."""
    accuracy: Estimate
    """All that are on their right side."""
    f1: Estimate
    """Harmonic mean of sensitivity and precision."""
    precision: Estimate | None = None
    """Those at or above the threshold that are positive, at the prevalence at hand. Since 1.2."""
    positive_likelihood_ratio: Estimate
    """Sensitivity by 1 - specificity."""
    negative_likelihood_ratio: Estimate
    """1 - sensitivity by specificity."""
    predictive_values: tuple[PredictiveValue, ...]
    """At stated prevalences, from sensitivity and specificity."""


@dataclass(frozen=True, slots=True)
class Scored:
    """The truth and one system's scores of one label."""

    truth: Truth
    score: Float[np.ndarray, " n"]


def choose_threshold(scored: Scored, rule: str) -> float | None:
    """The threshold that a rule finds, always one of the scores; None with one class only.

    Raises:
        ValueError: no such rule.
    """
    truth = np.asarray(scored.truth, bool)
    if truth.all() or not truth.any():
        return None
    candidates = np.unique(scored.score)
    positives, negatives = np.sort(scored.score[truth]), np.sort(scored.score[~truth])
    sensitivity = 1 - np.searchsorted(positives, candidates, "left") / len(positives)
    specificity = np.searchsorted(negatives, candidates, "left") / len(negatives)
    if rule == BALANCED:
        return float(candidates[np.argmax(sensitivity + specificity)])
    if rule == SENSITIVE_RULE:
        return float(candidates[sensitivity >= SENSITIVE][-1])
    raise ValueError(f"rule={rule!r}; one of {BALANCED}, {SENSITIVE_RULE}")


def choose_thresholds(scored: Scored) -> dict[str, float]:
    """The threshold of each rule; empty with one class only."""
    found = {rule: choose_threshold(scored, rule) for rule in RULES}
    return {rule: threshold for rule, threshold in found.items() if threshold is not None}


def shipped_thresholds(thresholds: Thresholds, level: str, label: str) -> dict[str, float]:
    """The threshold of each rule that a model ships; patients, whose scores are maxima over scans, have the scans'."""
    shipped = (thresholds.find(SLICE if level == SLICE else SCAN, label, rule) for rule in RULES)
    return {each.rule: each.score for each in shipped if each is not None}


def operating_points(
    system: str, label: str, thresholds: Mapping[str, float], held_out: Scored, bootstrap: PatientBootstrap
) -> list[OperatingPoint]:
    """One label at each rule's threshold."""
    return [_measure(system, label, rule, score, held_out, bootstrap) for rule, score in thresholds.items()]


def _measure(
    system: str, label: str, rule: str, threshold: float, scored: Scored, bootstrap: PatientBootstrap
) -> OperatingPoint:
    truth, above = np.asarray(scored.truth, bool), scored.score >= threshold
    hits, misses = _count(bootstrap, truth & above), _count(bootstrap, truth & ~above)
    alarms, passes = _count(bootstrap, ~truth & above), _count(bootstrap, ~truth & ~above)
    sensitivity, specificity = _ratio(hits, hits, misses), _ratio(passes, passes, alarms)
    one_class = "no positive" if not truth.any() else "no negative" if truth.all() else ""
    harmonic = _ratio(2 * hits, 2 * hits, alarms, misses) if truth.any() else np.full(len(hits), np.nan)
    return OperatingPoint(
        system=system,
        label=label,
        rule=rule,
        threshold=threshold,
        sensitivity=_estimate(bootstrap, sensitivity, "no positive"),
        specificity=_estimate(bootstrap, specificity, "no negative"),
        accuracy=_estimate(bootstrap, hits + passes, ""),
        f1=_estimate(bootstrap, harmonic, one_class),
        precision=_estimate(bootstrap, _ratio(hits, hits, alarms), "none above the threshold"),
        positive_likelihood_ratio=_estimate(
            bootstrap, _ratio(sensitivity, 1 - specificity), one_class or "nothing false above"
        ),
        negative_likelihood_ratio=_estimate(
            bootstrap, _ratio(1 - sensitivity, specificity), one_class or "nothing right below"
        ),
        predictive_values=tuple(_predictive(bootstrap, p, sensitivity, specificity, one_class) for p in PREVALENCES),
    )


def _predictive(
    bootstrap: PatientBootstrap, prevalence: float, sensitivity: np.ndarray, specificity: np.ndarray, one_class: str
) -> PredictiveValue:
    """By Bayes' rule."""
    right, wrong = prevalence * sensitivity, (1 - prevalence) * (1 - specificity)
    clear, missed = (1 - prevalence) * specificity, prevalence * (1 - sensitivity)
    return PredictiveValue(
        prevalence=prevalence,
        positive=_estimate(bootstrap, _ratio(right, right, wrong), one_class or "none above the threshold"),
        negative=_estimate(bootstrap, _ratio(clear, clear, missed), one_class or "none below the threshold"),
    )


def _count(bootstrap: PatientBootstrap, which: Shaped[np.ndarray, " n"]) -> np.ndarray:
    """Share of all slices, in the cohort and in each resample."""
    statistic = bootstrap.mean(which.astype(np.float64))
    return np.concatenate([[statistic.value], statistic.resampled])


def _ratio(above: np.ndarray, *below: np.ndarray) -> np.ndarray:
    """`above` by the sum of `below`; nan where that is 0."""
    total = np.sum(below, axis=0)
    return np.divide(above, total, out=np.full(len(above), np.nan), where=total > 0)


def _estimate(bootstrap: PatientBootstrap, values: np.ndarray, reason: str) -> Estimate:
    return Statistic(float(values[0]), values[1:], bootstrap.patients).estimate(reason)


def points_of(found: Sequence[OperatingPoint], rule: str) -> list[OperatingPoint]:
    """Those of one rule, in their order."""
    return [point for point in found if point.rule == rule]
