"""How good scores are: AUC, average precision and the competition's weighted log loss, on plain arrays.

Each metric comes twice: once for one set of slices, and once for many resamplings of its patients. The second
sorts the scores once; a resample is then only a whole number per patient (how often that patient was drawn),
and a thousand of them cost little more than a thousand cumulative sums.

A metric that a set of slices cannot define (one class only, or no slice at all) is `nan`, the value called
UNDEFINED here; it is never replaced by a neutral number such as 0.5.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float64, Integer, Real

from ich_seq.labels import METRIC_WEIGHTS

UNDEFINED = float("nan")
CLIP = 1e-15
_BLOCK_ELEMENTS = 100_000

Truth = Bool[np.ndarray, " n"] | Integer[np.ndarray, " n"]
TruthPerLabel = Bool[np.ndarray, "n l"] | Integer[np.ndarray, "n l"]


def roc_auc(truth: Truth, score: Real[np.ndarray, " n"]) -> float:
    """Area under the ROC curve: how often a positive scores above a negative, a tie counting one half.

    UNDEFINED (nan) when truth holds one class only.

    Raises:
        ValueError: truth holds anything but 0 and 1, or score holds nan.

    Source: Hanley & McNeil 1982, 10.1148/radiology.143.1.7063747 (the Wilcoxon statistic, midranks for ties).
    """
    patient = np.arange(len(truth))
    return float(roc_auc_resampled(truth, score, patient, np.ones((1, len(truth)), np.int64))[0])


def average_precision(truth: Truth, score: Real[np.ndarray, " n"]) -> float:
    """Mean of the precision at each threshold, weighted by the recall gained there; a tie is one threshold.

    UNDEFINED (nan) when truth holds one class only: without a negative it would be 1 whatever the scores.

    Raises:
        ValueError: truth holds anything but 0 and 1, or score holds nan.
    """
    patient = np.arange(len(truth))
    return float(average_precision_resampled(truth, score, patient, np.ones((1, len(truth)), np.int64))[0])


def log_loss_per_label(truth: TruthPerLabel, prob: Real[np.ndarray, "n l"]) -> Float64[np.ndarray, " l"]:
    """Mean cross-entropy of each label, in nats per slice, with probabilities clipped to [1e-15, 1 - 1e-15].

    Defined for one class too; UNDEFINED (nan) only without slices.

    Raises:
        ValueError: truth holds anything but 0 and 1, or prob lies outside [0, 1].
    """
    losses = cross_entropy(truth, prob)
    if not len(losses):
        return np.full(losses.shape[1], UNDEFINED)
    return losses.mean(axis=0)


def weighted_log_loss(truth: TruthPerLabel, prob: Real[np.ndarray, "n 6"]) -> float:
    """The RSNA 2019 competition's metric, in nats: `any` weighs 2, the five subtypes 1 each, divided by 7.

    Raises:
        ValueError: truth holds anything but 0 and 1, or prob lies outside [0, 1].

    Source: RSNA Intracranial Hemorrhage Detection (Kaggle 2019), evaluation.
    """
    return float(combine_labels(log_loss_per_label(truth, prob)))


def combine_labels(loss: Float64[np.ndarray, "*r 6"]) -> Float64[np.ndarray, "*r"]:
    """The competition's weighted mean of the six labels' losses (weights 1 1 1 1 1 2, divisor 7)."""
    weights = np.array(METRIC_WEIGHTS)
    return np.asarray(loss @ (weights / weights.sum()))


def cross_entropy(truth: TruthPerLabel, prob: Real[np.ndarray, "n l"]) -> Float64[np.ndarray, "n l"]:
    """Cross-entropy of each slice and label, in nats, with probabilities clipped to [1e-15, 1 - 1e-15].

    Raises:
        ValueError: truth holds anything but 0 and 1, or prob lies outside [0, 1].
    """
    positive = _as_bool(truth)
    prob = np.asarray(prob, np.float64)
    if not np.all((prob >= 0) & (prob <= 1)):
        raise ValueError("prob must lie in [0, 1]; it holds nan or a value outside")
    clipped = np.clip(prob, CLIP, 1 - CLIP)
    return -np.log(np.where(positive, clipped, 1 - clipped))


def calibration_error(truth: Truth, prob: Real[np.ndarray, " n"], bins: int = 15) -> float:
    """Expected calibration error: the mean distance of probability and frequency in bins of equal width, weighted by their slices.

    UNDEFINED (nan) without slices.

    Raises:
        ValueError: truth holds anything but 0 and 1, or prob lies outside [0, 1].

    Source: Guo et al. 2017, https://proceedings.mlr.press/v70/guo17a.html, equation 3.
    """
    positive, prob = _as_bool(truth), np.asarray(prob, np.float64)
    if not np.all((prob >= 0) & (prob <= 1)):
        raise ValueError("prob must lie in [0, 1]; it holds nan or a value outside")
    if not len(prob):
        return UNDEFINED
    place = np.minimum((prob * bins).astype(np.int64), bins - 1)
    distance = np.bincount(place, prob, bins) - np.bincount(place, positive, bins)
    return float(np.abs(distance).sum() / len(prob))


def roc_auc_resampled(
    truth: Truth,
    score: Real[np.ndarray, " n"],
    patient: Integer[np.ndarray, " n"],
    counts: Integer[np.ndarray, "r p"],
) -> Float64[np.ndarray, " r"]:
    """AUC of each resample r, in which every slice of patient p occurs counts[r, p] times.

    `patient` is each slice's column in counts. Resamples that hold one class only are UNDEFINED (nan).

    Raises:
        ValueError: truth holds anything but 0 and 1, or score holds nan.
    """
    ranked = _rank(truth, score, patient)
    auc = np.empty(len(counts))
    for rounds, weight in _blocks(counts, len(truth)):
        positive, below = weight[ranked.positive_patient], _cumulative(weight[ranked.negative_patient])
        midrank = 0.5 * (below[ranked.negatives_below] + below[ranked.negatives_up_to])
        auc[rounds] = _ratio((positive * midrank).sum(axis=0), positive.sum(axis=0) * below[-1])
    return auc


def average_precision_resampled(
    truth: Truth,
    score: Real[np.ndarray, " n"],
    patient: Integer[np.ndarray, " n"],
    counts: Integer[np.ndarray, "r p"],
) -> Float64[np.ndarray, " r"]:
    """Average precision of each resample r, in which every slice of patient p occurs counts[r, p] times.

    `patient` is each slice's column in counts. Resamples that hold one class only are UNDEFINED (nan).

    Raises:
        ValueError: truth holds anything but 0 and 1, or score holds nan.
    """
    ranked = _rank(truth, score, patient)
    precision = np.empty(len(counts))
    for rounds, weight in _blocks(counts, len(truth)):
        positive = weight[ranked.positive_patient]
        positives_below, below = _cumulative(positive), _cumulative(weight[ranked.negative_patient])
        hits = positives_below[-1] - positives_below[ranked.positives_below]
        false_alarms = below[-1] - below[ranked.negatives_below]
        gained = positive * hits / np.maximum(hits + false_alarms, 1)
        both = (positives_below[-1] > 0) & (below[-1] > 0)
        precision[rounds] = _ratio(gained.sum(axis=0), np.where(both, positives_below[-1], 0))
    return precision


def mean_resampled(
    value: Real[np.ndarray, "n *k"], patient: Integer[np.ndarray, " n"], counts: Integer[np.ndarray, "r p"]
) -> Float64[np.ndarray, "r *k"]:
    """Mean over slices of a value per slice, in each resample; UNDEFINED (nan) in one that holds no slice.

    `patient` is each slice's column in counts.
    """
    patients = counts.shape[1]
    columns = np.asarray(value, np.float64).reshape(len(value), -1)
    sums = np.stack([np.bincount(patient, column, patients) for column in columns.T], axis=1)
    slices = counts @ np.bincount(patient, minlength=patients)
    return _ratio(counts @ sums, slices[:, None]).reshape(len(counts), *value.shape[1:])


@dataclass(frozen=True, slots=True)
class _Ranked:
    """Slices in order of score: each one's patient, and for each positive how many slices lie below it.

    `negatives_below` and `positives_below` count strictly smaller scores, `negatives_up_to` equal ones too.
    """

    positive_patient: Integer[np.ndarray, " a"]
    negative_patient: Integer[np.ndarray, " b"]
    positives_below: Integer[np.ndarray, " a"]
    negatives_below: Integer[np.ndarray, " a"]
    negatives_up_to: Integer[np.ndarray, " a"]


def _rank(truth: Truth, score: Real[np.ndarray, " n"], patient: Integer[np.ndarray, " n"]) -> _Ranked:
    positive = _as_bool(truth)
    if np.isnan(score).any():
        raise ValueError("score must not hold nan")
    order = np.argsort(score, kind="stable")
    positive, score, patient = positive[order], score[order], patient[order]
    hits, rest = score[positive], score[~positive]
    return _Ranked(
        positive_patient=patient[positive],
        negative_patient=patient[~positive],
        positives_below=np.searchsorted(hits, hits, "left"),
        negatives_below=np.searchsorted(rest, hits, "left"),
        negatives_up_to=np.searchsorted(rest, hits, "right"),
    )


def _as_bool(truth: np.ndarray) -> np.ndarray:
    if not np.isin(truth, (0, 1)).all():
        raise ValueError("truth must hold 0 and 1 only")
    return truth.astype(bool)


def _blocks(counts: np.ndarray, slices: int) -> list[tuple[slice, np.ndarray]]:
    """Rounds in blocks that fit the processor's cache, each with its counts as float64 [patient, round]."""
    step = max(16, _BLOCK_ELEMENTS // max(slices, 1))
    starts = range(0, len(counts), step)
    return [(slice(i, i + step), np.ascontiguousarray(counts[i : i + step].T, np.float64)) for i in starts]


def _cumulative(weight: np.ndarray) -> np.ndarray:
    """Running sums over the first axis, with a leading zero: row k is the sum of the first k rows."""
    total = np.zeros((len(weight) + 1, *weight.shape[1:]))
    np.cumsum(weight, axis=0, out=total[1:])
    return total


def _ratio(above: np.ndarray, below: np.ndarray) -> np.ndarray:
    """Quotient, UNDEFINED where the denominator is zero."""
    shape = np.broadcast_shapes(above.shape, below.shape)
    return np.divide(above, below, out=np.full(shape, UNDEFINED), where=below > 0)
