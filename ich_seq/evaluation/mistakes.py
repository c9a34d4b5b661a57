"""The scans that a model got most wrong: the highest scores without the label, and the lowest with it."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd

from ich_seq.calibration import Uncalibrated, apply_curve
from ich_seq.evaluation.data import EvaluationInput, maximum_over, validation_maximum_over
from ich_seq.evaluation.operating import Scored, choose_threshold, shipped_thresholds
from ich_seq.evaluation.result import Mistake
from ich_seq.labels import ANY, LABEL_NAMES, LABELS, SUBTYPES
from ich_seq.thresholds import BALANCED, SCAN

MOST_OF_ANY = 6
"""Scans of each kind shown for `any`; of each subtype one."""
FALSE_ALARM, MISS = "false alarm", "miss"


@dataclass(frozen=True)
class _Scans:
    """All scans of an evaluation, and all slices, to which a scan's name leads."""

    data: EvaluationInput
    per_scan: EvaluationInput
    calibrated: list[np.ndarray | None]
    scores: pd.DataFrame


def worst_mistakes(data: EvaluationInput, scores: pd.DataFrame, most: int = MOST_OF_ANY) -> Iterator[Mistake]:
    """For `any` at most `most` false alarms and misses, for each subtype at most one of each, the worst first.

    A false alarm is a scan without the label whose score is at or above the balanced threshold, a miss one with it whose score is
    below; where there is no threshold every scan may be shown, in the order of its score. `scores` has the slices' identifiers and
    positions in the rows of `data`.
    """
    per_scan = maximum_over(data, "scan_ids")
    scans = _Scans(data, per_scan, _calibrated(per_scan), scores)
    for label in (ANY, *SUBTYPES):
        k = LABEL_NAMES.index(label.name)
        threshold = _threshold(data, k)
        for kind in (FALSE_ALARM, MISS):
            for scan in _worst(scans, k, kind, threshold)[: most if label is ANY else 1]:
                yield _mistake(scans, int(scan), k, kind, threshold)


def _calibrated(per_scan: EvaluationInput) -> list[np.ndarray | None]:
    """Of each label the scans' calibrated probabilities; None without a curve."""
    if per_scan.calibration is None:
        return [None] * len(LABEL_NAMES)
    return [
        None if isinstance(curve, Uncalibrated) else apply_curve(curve, per_scan.stage_two[:, k])
        for k, curve in enumerate(per_scan.calibration.of_scans)
    ]


def _threshold(data: EvaluationInput, k: int) -> float | None:
    if data.validation is not None:
        scans = validation_maximum_over(data.validation, "scan_ids")
        return choose_threshold(Scored(scans.labels[:, k], scans.stage_two[:, k]), BALANCED)
    if data.thresholds is not None:
        return shipped_thresholds(data.thresholds, SCAN, LABEL_NAMES[k]).get(BALANCED)
    return None


def _worst(scans: _Scans, k: int, kind: str, threshold: float | None) -> np.ndarray:
    """Places of the scans that are wrong, the worst first; equal ones in the order of their names."""
    truth, score = scans.per_scan.labels[:, k].astype(bool), scans.per_scan.stage_two[:, k]
    limit = threshold if threshold is not None else -np.inf if kind == FALSE_ALARM else np.inf
    wrong = ~truth & (score >= limit) if kind == FALSE_ALARM else truth & (score < limit)
    places = np.flatnonzero(wrong)
    return places[np.argsort(-score[places] if kind == FALSE_ALARM else score[places], kind="stable")]


def _mistake(scans: _Scans, scan: int, k: int, kind: str, threshold: float | None) -> Mistake:
    uid, calibrated = scans.per_scan.scan_ids[scan], scans.calibrated[k]
    rows = np.flatnonzero(scans.data.scan_ids == uid)
    positions = scans.scores["position_mm"].to_numpy(np.float64)[rows]
    rows, positions = rows[np.argsort(positions, kind="stable")], np.sort(positions)
    score = scans.data.stage_two[rows, k]
    shown = score
    if kind == MISS and not scans.data.whole_scans:
        shown = np.where(scans.data.labels[rows, k] > 0, score, -1.0)
    key = int(np.argmax(shown))
    return Mistake(
        kind=kind,
        label=LABEL_NAMES[k],
        series_instance_uid=str(uid),
        sop_instance_uid=str(scans.scores["sop_instance_uid"].iloc[rows[key]]),
        slice_number=key + 1,
        slices=len(rows),
        position_mm=round(float(positions[key] - positions[0]), 2),
        scan_score=float(scans.per_scan.stage_two[scan, k]),
        calibrated=None if calibrated is None else float(calibrated[scan]),
        slice_stage_one=float(scans.data.stage_one[rows[key], k]),
        slice_stage_two=float(score[key]),
        threshold=threshold,
        truth=tuple(label.name for label, on in zip(LABELS, scans.per_scan.labels[scan], strict=True) if on),
    )
