"""What validation patients decide of an ensemble: its votes' thresholds, its weights, and which members it should have.

Whoever tries every subset of members and keeps the best reports the best of many draws. Two figures account for that: White's
reality check (may the best subset's advantage over all members be chance?), and the loss on the patients left out of each resample
by the subset that the same resample would have chosen.

Source: White 2000, 10.1111/1468-0262.00152 (reality check); Efron & Tibshirani 1997, 10.1080/01621459.1997.10474007 (patients
left out of a resample); EM for mixture proportions, Dempster, Laird & Rubin 1977, section 4.3.
"""

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Float64, Integer, Shaped

from ich_seq.combining import FITTED, VOTE, WEIGHTED, Combination, Method, Metric, average, equal_weights
from ich_seq.evaluation.operating import Scored, choose_threshold
from ich_seq.labels import LABEL_NAMES
from ich_seq.metrics import CLIP, combine_labels, cross_entropy, roc_auc
from ich_seq.thresholds import BALANCED

ROUNDS = 1000
MOST_MEMBERS = 10
_EM_STEPS, _EM_TOLERANCE = 2000, 1e-10
_NO_CLASS_THRESHOLD = 0.5
"""Where validation patients show one class only, a member votes from one half on."""


@dataclass(frozen=True, slots=True)
class MemberScores:
    """What members say of the same validation slices (or scans), and the truth.

    `prob` is [members, n, 6], in the order of LABEL_NAMES; `patient_ids` names each row's patient.
    """

    patient_ids: Shaped[np.ndarray, " n"]
    labels: Bool[np.ndarray, "n 6"] | Integer[np.ndarray, "n 6"]
    prob: Float[np.ndarray, "m n 6"]

    def of(self, members: Sequence[int]) -> "MemberScores":
        """The same rows of some members."""
        return MemberScores(self.patient_ids, self.labels, self.prob[list(members)])


@dataclass(frozen=True, slots=True)
class Subset:
    """A subset of members, by their places, its combination, and its weighted log loss on the validation patients."""

    members: tuple[int, ...]
    combination: Combination
    loss: float


@dataclass(frozen=True, slots=True)
class Search:
    """All subsets, the best first; how often chance alone gives the best one's advantage; the loss that such a choice has on others.

    `p_value` is White's reality check of the best subset against all members together (1 where that is the best).
    `loss_elsewhere` is the mean loss on the patients left out of each resample by the subset that the resample chose.
    """

    subsets: tuple[Subset, ...]
    p_value: float
    loss_elsewhere: float
    rounds: int


def choose(scores: MemberScores, method: Method, metric: Metric | None, level: str) -> Combination:
    """The combination of a method, with what it needs chosen on these rows, which are slices or scans as `level` says.

    Raises:
        ValueError: `weighted` without a metric.
    """
    members = len(scores.prob)
    if method == VOTE:
        thresholds = tuple(_thresholds(scores.labels, prob) for prob in scores.prob)
        return _made(method, equal_weights(members), level, thresholds=thresholds)
    if method == WEIGHTED:
        if metric is None:
            raise ValueError("weights by a metric need one: accuracy, auc or log_loss")
        return _made(method, metric_weights(scores, metric), level, metric=metric)
    if method == FITTED:
        return _made(method, fit_weights(scores), level)
    return average(members)


def metric_weights(scores: MemberScores, metric: Metric) -> tuple[tuple[float, ...], ...]:
    """Of each member and label, a weight in proportion to a metric of the member on the label.

    `accuracy` at the member's balanced threshold, as printed in paper 004; `auc` by its distance from .5 (chance weighs nothing);
    `log_loss` by its inverse. A label with one class only has equal weights.
    """
    table = np.array(
        [[_metric(truth, p, metric) for truth, p in _columns(scores.labels, prob)] for prob in scores.prob]
    )
    table = np.nan_to_num(table, nan=0.0)
    sums = table.sum(axis=0)
    weights = np.where(sums > 0, table / np.where(sums > 0, sums, 1), 1 / len(table))
    return tuple(tuple(row) for row in weights.tolist())


def fit_weights(scores: MemberScores) -> tuple[tuple[float, ...], ...]:
    """Of each member and label, the weights (none below 0, sum 1) whose mixture has the lowest log loss; equal for one class only.

    The loss is convex in the weights; EM for mixture proportions climbs to its only minimum from equal weights.
    """
    columns = []
    for label in range(len(LABEL_NAMES)):
        truth = scores.labels[:, label].astype(bool)
        if truth.all() or not truth.any():
            columns.append(np.full(len(scores.prob), 1 / len(scores.prob)))
            continue
        prob = np.asarray(scores.prob[:, :, label], np.float64)
        columns.append(_mixture(np.clip(np.where(truth, prob, 1 - prob), CLIP, None)))
    return tuple(tuple(row) for row in np.column_stack(columns).tolist())


def search(scores: MemberScores, method: Method, metric: Metric | None, level: str, seed: int = 0) -> Search:
    """Every subset of one member and more, each combined by the same method.

    Raises:
        ValueError: more than MOST_MEMBERS members (a thousand subsets), or fewer than two.
    """
    count = len(scores.prob)
    if not 2 <= count <= MOST_MEMBERS:
        raise ValueError(f"{count} members; a search takes 2 to {MOST_MEMBERS}")
    every = list(_subsets(count))
    chosen = [choose(scores.of(members), method, metric, level) for members in every]
    losses = np.stack(
        [
            combine_labels(cross_entropy(scores.labels, one.combine(scores.prob[list(members)])))
            for members, one in zip(every, chosen, strict=True)
        ]
    )
    means = losses.mean(axis=1)
    subsets = [Subset(*each) for each in zip(every, chosen, means.tolist(), strict=True)]
    p_value, elsewhere = _account(losses, scores.patient_ids, every.index(tuple(range(count))), seed)
    return Search(tuple(sorted(subsets, key=lambda subset: (subset.loss, subset.members))), p_value, elsewhere, ROUNDS)


def _account(
    losses: Float64[np.ndarray, "k n"], patients: np.ndarray, reference: int, seed: int
) -> tuple[float, float]:
    """White's p-value of the best of k subsets against `reference`, and the mean loss on patients left out, by resampled patients."""
    names, place = np.unique(patients, return_inverse=True)
    sums = np.stack([np.bincount(place, row, len(names)) for row in losses])
    rows = np.bincount(place, minlength=len(names))
    drawn = np.random.default_rng(seed).multinomial(len(names), np.full(len(names), 1 / len(names)), ROUNDS)
    resampled = (drawn @ sums.T) / (drawn @ rows)[:, None]
    gain = (sums[reference].sum() - sums.sum(axis=1)) / rows.sum()
    centred = (resampled[:, [reference]] - resampled) - gain
    # Adding the observed one keeps the p-value above 0.
    p_value = (1 + int((centred.max(axis=1) >= gain.max()).sum())) / (ROUNDS + 1) if gain.max() > 0 else 1.0
    out = (drawn == 0).astype(np.float64)
    left = out.any(axis=1)
    best = resampled.argmin(axis=1)
    elsewhere = (out * sums[best]).sum(axis=1)[left] / (out @ rows)[left]
    return p_value, float(elsewhere.mean()) if left.any() else float("nan")


def _subsets(count: int) -> Iterator[tuple[int, ...]]:
    return itertools.chain.from_iterable(itertools.combinations(range(count), size) for size in range(1, count + 1))


def _mixture(likelihood: Float64[np.ndarray, "m n"]) -> Float64[np.ndarray, " m"]:
    """The proportions with the highest likelihood."""
    weights = np.full(len(likelihood), 1 / len(likelihood))
    for _ in range(_EM_STEPS):
        joint = weights[:, None] * likelihood
        after = (joint / joint.sum(axis=0)).mean(axis=1)
        if np.abs(after - weights).max() < _EM_TOLERANCE:
            break
        weights = after
    return weights / weights.sum()


def _made(method: Method, weights: tuple, level: str, **more: object) -> Combination:
    return Combination.model_validate({"method": method, "weights": weights, "chosen_on": level, **more})


def _thresholds(labels: np.ndarray, prob: np.ndarray) -> tuple[float, ...]:
    found = (choose_threshold(Scored(truth, p), BALANCED) for truth, p in _columns(labels, prob))
    return tuple(_NO_CLASS_THRESHOLD if threshold is None else threshold for threshold in found)


def _columns(labels: np.ndarray, prob: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    return zip(labels.T.astype(bool), np.asarray(prob, np.float64).T, strict=True)


def _metric(truth: np.ndarray, prob: np.ndarray, metric: Metric) -> float:
    """Higher is better; 0 for what deserves no weight, and for one class only."""
    if truth.all() or not truth.any():
        return 0.0
    if metric == "auc":
        return max(0.0, roc_auc(truth, prob) - 0.5)
    if metric == "log_loss":
        return float(1 / max(CLIP, cross_entropy(truth[:, None], prob[:, None]).mean()))
    threshold = choose_threshold(Scored(truth, prob), BALANCED)
    return float(((prob >= threshold) == truth).mean())
