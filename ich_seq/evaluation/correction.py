"""Probabilities of slices corrected on validation patients, so that losses of differently trained classifiers can be compared.

Balanced batches teach that two slices of three bleed, a softmax that each slice has one label: such probabilities are worse than
the prevalence whatever the classifier has seen. A logistic curve per label, a factor on the logit and an offset, puts that right
and keeps the order of the slices, so that AUC stays as it is.

Source: Platt 1999, Probabilistic outputs for support vector machines, in Advances in Large Margin Classifiers.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Float64, Integer

from ich_seq.calibration import logit
from ich_seq.labels import LABEL_NAMES

_WEAK_PENALTY = 100.0
"""Inverse of the penalty on the factor: it matters only where a few slices would make it infinite."""


@dataclass(frozen=True, slots=True)
class Correction:
    """Of each label the factor on the logit, never below 0, and the offset."""

    factors: tuple[float, ...]
    offsets: tuple[float, ...]

    def apply(self, prob: Float[np.ndarray, "n 6"]) -> Float64[np.ndarray, "n 6"]:
        """The corrected probabilities of slices."""
        return 1 / (1 + np.exp(-(np.array(self.factors) * logit(prob) + np.array(self.offsets))))


def fit_correction(
    labels: Bool[np.ndarray, "n 6"] | Integer[np.ndarray, "n 6"], prob: Float[np.ndarray, "n 6"]
) -> Correction:
    """The curves with the lowest log loss on these slices; where order and truth disagree, or one class is missing, the prevalence.

    The prevalence is Laplace's, (positives + 1) / (slices + 2).
    """
    fitted = [_curve(labels[:, k].astype(bool), logit(prob[:, k])) for k in range(len(LABEL_NAMES))]
    factors, offsets = zip(*fitted, strict=True)
    return Correction(factors, offsets)


def _curve(truth: np.ndarray, score: np.ndarray) -> tuple[float, float]:
    from sklearn.linear_model import LogisticRegression

    share = (truth.sum() + 1) / (len(truth) + 2)
    alone = (0.0, float(np.log(share / (1 - share))))
    if truth.all() or not truth.any() or np.ptp(score) == 0:
        return alone
    model = LogisticRegression(C=_WEAK_PENALTY, max_iter=1000).fit(score[:, None], truth)
    factor = float(model.coef_[0, 0])
    return (factor, float(np.ravel(model.intercept_)[0])) if factor > 0 else alone
