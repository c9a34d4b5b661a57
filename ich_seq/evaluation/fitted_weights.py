"""Weights of an ensemble's members with the lowest log loss on validation patients, label by label.

Of slices the loss is convex in the weights, and EM for mixture proportions goes to its minimum. A scan's score is the maximum over
its slices: there EM is done on the slices that have it, which are looked up anew after each.

Source: EM for mixture proportions, Dempster, Laird & Rubin 1977, section 4.3.
"""

import numpy as np
from jaxtyping import Bool, Float, Float64, Integer, Shaped

from ich_seq.metrics import CLIP

_EM_STEPS, _EM_TOLERANCE = 2000, 1e-10
_SCAN_STEPS, _SCAN_PATIENCE, _KEPT_APART = 50, 3, 0.1


def fit_weights(
    prob: Float[np.ndarray, "m n l"],
    labels: Bool[np.ndarray, "s l"] | Integer[np.ndarray, "s l"],
    scan_ids: Shaped[np.ndarray, " n"] | None = None,
) -> tuple[tuple[float, ...], ...]:
    """Of each member and label, the weights (none below 0, sum 1) with the lowest log loss that was found; equal for one class only.

    EM ends after 2,000 steps at most. On scans it starts from the best of equal weights and single members, and the best that was met
    is kept.

    Args:
        prob: of each member, slice and label.
        labels: of slices, or with `scan_ids` of scans, in order of their names.
        scan_ids: the scan of each slice.
    """
    columns = []
    for label in range(labels.shape[1]):
        truth, said = labels[:, label].astype(bool), np.asarray(prob[:, :, label], np.float64)
        equal = np.full(len(said), 1 / len(said))
        if truth.all() or not truth.any():
            columns.append(equal)
        elif scan_ids is None:
            columns.append(_mixture(_likelihood(said, truth), equal))
        else:
            columns.append(_on_scans(said, truth, scan_ids))
    return tuple(tuple(row) for row in np.column_stack(columns).tolist())


def _on_scans(
    prob: Float64[np.ndarray, "m n"], truth: Bool[np.ndarray, " s"], scan_ids: Shaped[np.ndarray, " n"]
) -> Float64[np.ndarray, " m"]:
    order = np.argsort(scan_ids, kind="stable")
    parts = np.split(order, np.unique(scan_ids[order], return_index=True)[1][1:])

    def hottest(weights: np.ndarray) -> np.ndarray:
        said = weights @ prob
        return np.array([slices[said[slices].argmax()] for slices in parts])

    def loss(weights: np.ndarray) -> float:
        return float(-np.log(weights @ _likelihood(prob[:, hottest(weights)], truth)).mean())

    equal = np.full(len(prob), 1 / len(prob))
    best = min([equal, *np.eye(len(prob))], key=loss)
    lowest, weights, waited = loss(best), (1 - _KEPT_APART) * best + _KEPT_APART * equal, 0
    for _ in range(_SCAN_STEPS):
        weights = _mixture(_likelihood(prob[:, hottest(weights)], truth), weights)
        found = loss(weights)
        waited = 0 if found < lowest else waited + 1
        if found < lowest:
            best, lowest = weights, found
        if waited == _SCAN_PATIENCE:
            break
    return best


def _likelihood(prob: Float64[np.ndarray, "m n"], truth: Bool[np.ndarray, " n"]) -> Float64[np.ndarray, "m n"]:
    return np.clip(np.where(truth, prob, 1 - prob), CLIP, None)


def _mixture(likelihood: Float64[np.ndarray, "m n"], weights: Float64[np.ndarray, " m"]) -> Float64[np.ndarray, " m"]:
    """The proportions with the highest likelihood, from where they are."""
    for _ in range(_EM_STEPS):
        joint = weights[:, None] * likelihood
        after = (joint / joint.sum(axis=0)).mean(axis=1)
        if np.abs(after - weights).max() < _EM_TOLERANCE:
            break
        weights = after
    return weights / weights.sum()
