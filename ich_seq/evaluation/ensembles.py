"""What validation patients decide of an ensemble: its votes' thresholds, its weights, and which members it should have.

Whoever tries every subset of members and keeps the best reports the best of many draws. Two figures account for that: White's
reality check (may the best subset's advantage over all members be chance?), and the loss of patients who had no part in a choice:
for each tenth of them, thresholds, weights and the subset are chosen anew on the others.

An ensemble combines slices, and a scan's score is the maximum over them. What is chosen on scans is chosen for that maximum.

Source: White 2000, 10.1111/1468-0262.00152 (reality check).
"""

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from jaxtyping import Bool, Float, Float64, Integer, Shaped

from ich_seq.combining import FITTED, VOTE, WEIGHTED, Combination, Method, Metric, average, equal_weights
from ich_seq.evaluation.data import maximum_of
from ich_seq.evaluation.fitted_weights import fit_weights
from ich_seq.evaluation.operating import Scored, choose_threshold
from ich_seq.labels import LABEL_NAMES
from ich_seq.metrics import CLIP, combine_labels, cross_entropy, roc_auc
from ich_seq.thresholds import BALANCED, SCAN, SLICE

ROUNDS = 1000
MOST_MEMBERS = 10
FOLDS = 10
_YES_FROM = 0.5
"""Where validation patients show one class only, a member votes from one half on; accuracy is of a yes from there, too."""


@dataclass(frozen=True)
class MemberScores:
    """What members say of the same validation slices, and the truth.

    `prob` is [members, n, 6], in the order of LABEL_NAMES; `patient_ids` names each slice's patient. With `scan_ids` choices are made
    on scans, whose truth and scores are the maxima over their slices; without, on slices.
    """

    patient_ids: Shaped[np.ndarray, " n"]
    labels: Bool[np.ndarray, "n 6"] | Integer[np.ndarray, "n 6"]
    prob: Float[np.ndarray, "m n 6"]
    scan_ids: Shaped[np.ndarray, " n"] | None = None

    @property
    def level(self) -> str:
        """`slice` or `scan`."""
        return SLICE if self.scan_ids is None else SCAN

    def of(self, members: Sequence[int]) -> "MemberScores":
        """The same slices of some members."""
        return MemberScores(self.patient_ids, self.labels, self.prob[list(members)], self.scan_ids)

    def where(self, rows: Bool[np.ndarray, " n"]) -> "MemberScores":
        """Some of the slices."""
        scans = None if self.scan_ids is None else self.scan_ids[rows]
        return MemberScores(self.patient_ids[rows], self.labels[rows], self.prob[:, rows], scans)

    @cached_property
    def counted(self) -> "MemberScores":
        """What is counted, by itself: the slices, or each scan with its members' maxima."""
        if self.scan_ids is None:
            return self
        patients, labels = (self.by_level(values) for values in (self.patient_ids, self.labels))
        return MemberScores(patients, labels, np.stack([self.by_level(prob) for prob in self.prob]))

    def by_level(self, values: Shaped[np.ndarray, "n ..."]) -> Shaped[np.ndarray, "s ..."]:
        """Of values by slice those of what is counted."""
        return values if self.scan_ids is None else maximum_of(self.scan_ids, values)

    def losses(self, combination: Combination) -> Float64[np.ndarray, " s"]:
        """The loss of what a combination of these members says, of each that is counted.

        Weighted over labels as the competition does: log loss in nats, of a vote the squared error of its share, which is no
        probability.
        """
        said, truth = self.by_level(combination.combine(self.prob)), np.asarray(self.counted.labels)
        each = (said - truth) ** 2 if combination.method == VOTE else cross_entropy(truth, said)
        return combine_labels(each)


@dataclass(frozen=True, slots=True)
class Subset:
    """A subset of members, by their places, its combination, and its loss on the validation patients, as `MemberScores.losses`."""

    members: tuple[int, ...]
    combination: Combination
    loss: float


@dataclass(frozen=True, slots=True)
class Search:
    """All subsets, the best first; how often chance alone gives the best one's advantage; the loss that such a choice has on others.

    `p_value` is White's reality check of the best subset against all members together (1 where that is the best), from `rounds`
    resamples of patients. `loss_elsewhere` is the mean loss of patients for whom nothing was chosen; nan of one patient alone.
    """

    subsets: tuple[Subset, ...]
    p_value: float
    loss_elsewhere: float
    rounds: int


def choose(scores: MemberScores, method: Method, metric: Metric | None) -> Combination:
    """The combination of a method, with what it needs chosen on these slices or scans.

    Raises:
        ValueError: `weighted` without a metric.
    """
    return _Chosen(scores, method, metric).of(range(len(scores.prob)))


class _Chosen:
    """What each member brings to a combination by itself, so that subsets need not look at the slices again."""

    def __init__(self, scores: MemberScores, method: Method, metric: Metric | None) -> None:
        self.scores, self.method, self.metric = scores, method, metric
        if method == WEIGHTED and metric is None:
            raise ValueError("weights by a metric need one: accuracy, auc or log_loss")
        counted = scores.counted
        self._thresholds = [_thresholds(counted.labels, prob) for prob in counted.prob] if method == VOTE else []
        self._metrics = np.zeros(0) if metric is None else _metrics(counted, metric)

    def of(self, members: Sequence[int]) -> Combination:
        """The combination of some members."""
        more: dict[str, object] = {"chosen_on": self.scores.level}
        if self.method == VOTE:
            weights, more["thresholds"] = equal_weights(len(members)), tuple(self._thresholds[k] for k in members)
        elif self.method == WEIGHTED:
            weights, more["metric"] = _shares(self._metrics[list(members)]), self.metric
        elif self.method == FITTED:
            own = self.scores
            weights = fit_weights(own.prob[list(members)], np.asarray(own.counted.labels), own.scan_ids)
        else:
            return average(len(members))
        return Combination.model_validate({"method": self.method, "weights": weights, **more})


def metric_weights(scores: MemberScores, metric: Metric) -> tuple[tuple[float, ...], ...]:
    """Of each member and label, a weight in proportion to a metric of the member.

    `accuracy` is one figure a member, the share of all its labels' answers that are right with a yes from one half on, as paper 004
    weighs; `auc` is of the label, by its distance from .5 (chance weighs nothing); `log_loss` of the label, by its inverse. There
    a label with one class only has equal weights.
    """
    return _shares(_metrics(scores.counted, metric))


def search(scores: MemberScores, method: Method, metric: Metric | None, seed: int = 0) -> Search:
    """Every subset of one member and more, each combined by the same method.

    Raises:
        ValueError: more than MOST_MEMBERS members (a thousand subsets), or fewer than two; fitted weights, which leave out themselves
            whom they give nothing.
    """
    count = len(scores.prob)
    if not 2 <= count <= MOST_MEMBERS:
        raise ValueError(f"{count} members; a search takes 2 to {MOST_MEMBERS}")
    if method == FITTED:
        raise ValueError("fitted weights leave out by a weight of 0; a search over subsets adds nothing to them")
    every = list(_subsets(count))
    combinations, losses = _losses(scores, scores, every, method, metric)
    subsets = [Subset(*each) for each in zip(every, combinations, losses.mean(axis=1).tolist(), strict=True)]
    p_value = _reality_check(losses, scores.counted.patient_ids, every.index(tuple(range(count))), seed)
    elsewhere = _elsewhere(scores, every, method, metric, seed)
    return Search(tuple(sorted(subsets, key=lambda subset: (subset.loss, subset.members))), p_value, elsewhere, ROUNDS)


def _losses(
    chosen_on: MemberScores,
    told_of: MemberScores,
    every: Sequence[tuple[int, ...]],
    method: Method,
    metric: Metric | None,
) -> tuple[list[Combination], Float64[np.ndarray, "k s"]]:
    """Of each subset its combination, chosen on the first rows, and its losses on the second ones."""
    chosen = _Chosen(chosen_on, method, metric)
    combinations = [chosen.of(members) for members in every]
    pairs = zip(every, combinations, strict=True)
    return combinations, np.stack([told_of.of(members).losses(one) for members, one in pairs])


def _elsewhere(
    scores: MemberScores, every: Sequence[tuple[int, ...]], method: Method, metric: Metric | None, seed: int
) -> float:
    names, place = np.unique(scores.patient_ids, return_inverse=True)
    if len(names) < 2:
        return float("nan")
    fold = np.random.default_rng(seed).permutation(len(names)) % min(FOLDS, len(names))
    found = []
    for number in range(fold.max() + 1):
        out = fold[place] == number
        inside, outside = scores.where(~out), scores.where(out)
        combinations, losses = _losses(inside, inside, every, method, metric)
        best = int(losses.mean(axis=1).argmin())
        found.append(outside.of(every[best]).losses(combinations[best]))
    return float(np.concatenate(found).mean())


def _reality_check(losses: Float64[np.ndarray, "k s"], patients: np.ndarray, reference: int, seed: int) -> float:
    """White's p-value of the best of k subsets against `reference`, by resampled patients."""
    names, place = np.unique(patients, return_inverse=True)
    sums = np.stack([np.bincount(place, row, len(names)) for row in losses])
    rows = np.bincount(place, minlength=len(names))
    drawn = np.random.default_rng(seed).multinomial(len(names), np.full(len(names), 1 / len(names)), ROUNDS)
    resampled = (drawn @ sums.T) / (drawn @ rows)[:, None]
    gain = (sums[reference].sum() - sums.sum(axis=1)) / rows.sum()
    centred = (resampled[:, [reference]] - resampled) - gain
    # Adding the observed one keeps the p-value above 0.
    return (1 + int((centred.max(axis=1) >= gain.max()).sum())) / (ROUNDS + 1) if gain.max() > 0 else 1.0


def _subsets(count: int) -> Iterator[tuple[int, ...]]:
    return itertools.chain.from_iterable(itertools.combinations(range(count), size) for size in range(1, count + 1))


def _shares(metrics: Float64[np.ndarray, "m 6"]) -> tuple[tuple[float, ...], ...]:
    """Weights in proportion, label by label; equal where all are 0."""
    sums = metrics.sum(axis=0)
    weights = np.where(sums > 0, metrics / np.where(sums > 0, sums, 1), 1 / len(metrics))
    return tuple(tuple(row) for row in weights.tolist())


def _metrics(counted: MemberScores, metric: Metric) -> Float64[np.ndarray, "m 6"]:
    if metric == "accuracy":
        right = ((counted.prob >= _YES_FROM) == counted.labels.astype(bool)).mean(axis=(1, 2))
        return np.repeat(right[:, None], len(LABEL_NAMES), axis=1)
    columns = [list(_columns(counted.labels, prob)) for prob in counted.prob]
    return np.nan_to_num(np.array([[_metric(*pair, metric) for pair in row] for row in columns]), nan=0.0)


def _thresholds(labels: np.ndarray, prob: np.ndarray) -> tuple[float, ...]:
    found = (choose_threshold(Scored(truth, p), BALANCED) for truth, p in _columns(labels, prob))
    return tuple(_YES_FROM if threshold is None else threshold for threshold in found)


def _columns(labels: np.ndarray, prob: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    return zip(labels.T.astype(bool), np.asarray(prob, np.float64).T, strict=True)


def _metric(truth: np.ndarray, prob: np.ndarray, metric: Metric) -> float:
    """Higher is better; 0 for what deserves no weight, and for one class only."""
    if truth.all() or not truth.any():
        return 0.0
    if metric == "auc":
        return max(0.0, roc_auc(truth, prob) - 0.5)
    return float(1 / max(CLIP, cross_entropy(truth[:, None], prob[:, None]).mean()))
