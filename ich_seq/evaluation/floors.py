"""What can be had without a network: three floors that every score is printed beside.

Prevalence knows no image; position knows where in the scan a slice lies; histogram knows how much of each
density a slice holds, but not where. All are fitted on training patients and asked about others.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Float32, Float64, Integer, Shaped

from ich_seq.errors import DatasetError

PREVALENCE, POSITION, HISTOGRAM = "prevalence", "position", "histogram"

HISTOGRAM_EDGES_HU = np.array(
    [
        -np.inf,
        -1000,
        -500,
        -200,
        -100,
        -50,
        -25,
        -10,
        *range(0, 100, 4),
        100,
        120,
        150,
        200,
        300,
        500,
        1000,
        np.inf,
    ]
)
"""Bins of 4 HU where brain and blood lie (0 to 100 HU), wider ones elsewhere; each holds its lower edge."""

_WORTH_THREADS = 50_000
# Edges are whole numbers, so counting whole HU and adding them up costs a quarter of looking each pixel up.
_LOWEST_HU, _HIGHEST_HU = int(HISTOGRAM_EDGES_HU[1]) - 1, int(HISTOGRAM_EDGES_HU[-2])
_FIRST_OF_BIN = np.append(0, HISTOGRAM_EDGES_HU[1:-1].astype(int) - _LOWEST_HU)

Labels = Bool[np.ndarray, "n 6"] | Integer[np.ndarray, "n 6"]
TrainLabels = Bool[np.ndarray, "m 6"] | Integer[np.ndarray, "m 6"]
Probs = Float64[np.ndarray, "n 6"]


@dataclass(frozen=True, slots=True)
class FloorData:
    """What the floors read of some slices.

    `relative_position` is 0 at a scan's lowest slice and 1 at its highest; `histogram` is `hu_histogram`'s.
    """

    patient_ids: Shaped[np.ndarray, " n"]
    relative_position: Float[np.ndarray, " n"]
    histogram: Float[np.ndarray, "n bins"]
    labels: Labels


def fit_floors(train: FloorData, held_out: FloorData, seed: int = 0) -> Mapping[str, Probs]:
    """Each floor's probabilities for the held-out slices; fitted on the training slices only.

    Raises:
        DatasetError: a patient is on both sides.
    """
    shared = np.intersect1d(train.patient_ids, held_out.patient_ids)
    if len(shared):
        raise DatasetError(
            f"{len(shared)} patients are in training and held out, {shared[0]} among them; split by patient",
            patient_ids=tuple(shared),
        )
    return {
        PREVALENCE: prevalence_floor(train.labels, len(held_out.labels)),
        POSITION: position_floor(train.relative_position, train.labels, held_out.relative_position),
        HISTOGRAM: histogram_floor(train.histogram, train.labels, held_out.histogram, seed),
    }


def prevalence_floor(train_labels: TrainLabels, slices: int) -> Probs:
    """The same probability for each of `slices`: how common each label is in training.

    Laplace's rule of succession, (positives + 1) / (slices + 2): a label never seen is not called impossible.
    """
    return np.tile((train_labels.sum(axis=0) + 1) / (len(train_labels) + 2), (slices, 1))


def position_floor(
    train_position: Float[np.ndarray, " m"], train_labels: TrainLabels, position: Float[np.ndarray, " n"]
) -> Probs:
    """Probability of each label from the relative position alone: a logistic curve on a cubic spline.

    A label of one class in training gets its prevalence.
    """
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import SplineTransformer

    def fit_and_predict(truth: np.ndarray) -> np.ndarray:
        knots = np.linspace(0, 1, 6)[:, None]
        spline = SplineTransformer(degree=3, knots=knots)  # pyright: ignore[reportArgumentType]
        curve = make_pipeline(spline, LogisticRegression(C=10.0, max_iter=1000))
        return curve.fit(train_position[:, None], truth).predict_proba(position[:, None])[:, 1]

    return _each_label(train_labels, len(position), fit_and_predict)


def histogram_floor(
    train_histogram: Float[np.ndarray, "m bins"],
    train_labels: TrainLabels,
    histogram: Float[np.ndarray, "n bins"],
    seed: int = 0,
) -> Probs:
    """Probability of each label from the slice's HU histogram: gradient boosting, one model per label.

    A label of one class in training gets its prevalence.
    """
    from sklearn.ensemble import HistGradientBoostingClassifier
    from threadpoolctl import threadpool_limits

    def fit_and_predict(truth: np.ndarray) -> np.ndarray:
        # Its own early stopping would hold out slices of patients that it also trains on.
        model = HistGradientBoostingClassifier(
            learning_rate=0.05,
            max_iter=150,
            max_leaf_nodes=15,
            early_stopping=False,  # pyright: ignore[reportArgumentType]
            random_state=seed,
        )
        return model.fit(train_histogram, truth).predict_proba(histogram)[:, 1]

    # Few slices gain nothing from threads, which wait in a busy loop for each other: 1 s became 28 s beside other work.
    with threadpool_limits(1 if len(train_labels) < _WORTH_THREADS else None, user_api="openmp"):
        return _each_label(train_labels, len(histogram), fit_and_predict)


def hu_histogram(hu: Float32[np.ndarray, "y x"]) -> Float32[np.ndarray, " bins"]:
    """Share of the slice's pixels in each bin of HISTOGRAM_EDGES_HU; sums to 1.

    Raises:
        ValueError: hu has no pixel, or holds nan.
    """
    if not hu.size or np.isnan(hu).any():
        raise ValueError("hu needs at least one pixel and must not hold nan")
    whole_hu = np.clip(np.floor(hu), _LOWEST_HU, _HIGHEST_HU).astype(np.int64).ravel()
    counts = np.bincount(whole_hu - _LOWEST_HU, minlength=_HIGHEST_HU - _LOWEST_HU + 1)
    return (np.add.reduceat(counts, _FIRST_OF_BIN) / hu.size).astype(np.float32)


def relative_position(
    scan_ids: Shaped[np.ndarray, " n"], position_mm: Float[np.ndarray, " n"]
) -> Float64[np.ndarray, " n"]:
    """Where in its scan each slice lies: 0 at the lowest, 1 at the highest, 0.5 in a scan without extent."""
    names, scan = np.unique(scan_ids, return_inverse=True)
    low, high = np.full(len(names), np.inf), np.full(len(names), -np.inf)
    np.minimum.at(low, scan, position_mm)
    np.maximum.at(high, scan, position_mm)
    extent = (high - low)[scan]
    return np.divide(position_mm - low[scan], extent, out=np.full(len(scan), 0.5), where=extent > 0)


def _each_label(train_labels: TrainLabels, slices: int, fit_and_predict: Callable[[np.ndarray], np.ndarray]) -> Probs:
    probs = prevalence_floor(train_labels, slices)
    for label, truth in enumerate(train_labels.T):
        if 0 < truth.sum() < len(truth):
            probs[:, label] = fit_and_predict(truth)
    return probs
