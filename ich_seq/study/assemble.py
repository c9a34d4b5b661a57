"""From what reading and the model said to a StudyResult."""

import platform
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import metadata
from typing import Any

import numpy as np
from jaxtyping import Float, Float32, Float64

from ich_seq import __version__
from ich_seq.calibration import Curve, Uncalibrated
from ich_seq.dicom import Candidate, Finding
from ich_seq.errors import ModelError
from ich_seq.labels import LABEL_NAMES, LABELS, Label
from ich_seq.model.bundle import BundleInfo
from ich_seq.model.ensemble import EnsembleInfo, ModelInfo
from ich_seq.study.check import verdict_of
from ich_seq.study.inputs import Scan
from ich_seq.study.result import (
    CalibratedProbabilities,
    Computation,
    LabelScore,
    MemberIdentity,
    ModelIdentity,
    Peak,
    Probabilities,
    SliceScore,
    Status,
    StudyResult,
    reading_of,
)
from ich_seq.study.summaries import (
    candidate_summaries,
    dropped_summaries,
    finding_summaries,
    series_summary,
    status_of_scan,
)
from ich_seq.study.thin import averaged_uids, lowest_mm
from ich_seq.thresholds import SCAN

_COMPUTED_WITH = ("numpy", "pydicom", "nibabel", "torch", "openvino")


@dataclass(frozen=True, slots=True)
class ScanProbabilities:
    """What both stages say of each slice, feet to head."""

    stage_one: Float32[np.ndarray, "s l"]
    stage_two: Float32[np.ndarray, "s l"]


@dataclass(frozen=True, slots=True)
class ModelUse:
    """Which model computed, where, with which library and in which precision; of an ensemble each of its members."""

    info: ModelInfo
    device: str
    runtime: str = "torch"
    precision: str = "fp32"
    members: tuple["ModelUse", ...] = ()


def assemble(
    volume: Scan,
    probabilities: ScanProbabilities,
    use: ModelUse,
    candidates: Sequence[Candidate],
    dropped_elsewhere: Sequence[Finding],
    timings_s: Mapping[str, float],
) -> StudyResult:
    """The result of one study; `volume` is settled and `probabilities` has one row for each of its slices.

    Raises:
        ModelError: a probability is not a finite number in [0, 1].
    """
    refuse_non_probabilities(probabilities.stage_one, probabilities.stage_two)
    status = status_of_scan(volume)
    slices = _slice_scores(volume, probabilities, _calibrated_slices(use.info, probabilities.stage_two))
    calibrated = _calibrated_scan(use.info, probabilities.stage_two)
    return StudyResult(
        status=status,
        suitability=verdict_of(status).value,
        source_format=volume.source_format,
        study_instance_uid=volume.study_instance_uid,
        series_instance_uid=volume.series_instance_uid,
        input_sha256=volume.pixel_digest(),
        model=_model_identity(use),
        scan=tuple(_label_score(label, slices, status, use.info, calibrated[label.name]) for label in LABELS),
        slices=slices,
        series=series_summary(volume),
        candidates=candidate_summaries(candidates),
        findings=finding_summaries(volume.findings),
        dropped=dropped_summaries(volume.findings, dropped_elsewhere),
        timings_s={phase: round(seconds, 4) for phase, seconds in timings_s.items()},
        versions=_versions(use.device),
        computed=Computation(runtime=use.runtime, precision=use.precision, device=use.device),
    )


def shortest_float(value: np.float32) -> float:
    """The float64 with the fewest decimals that becomes this float32 again: exact, and short in JSON."""
    return float(str(value))


def refuse_non_probabilities(*stages: Float[np.ndarray, "s l"]) -> None:
    """Nothing where every number is a probability; raises ModelError, which names the slice, where one is not in [0, 1]."""
    for stage in stages:
        # NaN fails both comparisons.
        wrong = np.flatnonzero(~((stage >= 0) & (stage <= 1)).all(axis=1))
        if wrong.size:
            raise ModelError(f"the model gave no number for slice {int(wrong[0]) + 1}; its weights cannot be used")


def _calibrated_slices(info: ModelInfo, score: Float32[np.ndarray, "s l"]) -> list[CalibratedProbabilities | None]:
    """Of each slice, where the model calibrates; a label without a curve is null."""
    if info.calibration is None:
        return [None] * len(score)
    curves = info.calibration.of_slices
    rows = info.calibration.slice_probs(score.astype(np.float64))
    return [CalibratedProbabilities(**_where_curved(curves, row)) for row in rows]


def _calibrated_scan(info: ModelInfo, score: Float32[np.ndarray, "s l"]) -> dict[str, float | None]:
    """Of the scan, from the largest score of its slices."""
    if info.calibration is None:
        return dict.fromkeys(LABEL_NAMES)
    rows = info.calibration.scan_probs(score.max(axis=0, keepdims=True).astype(np.float64))
    return _where_curved(info.calibration.of_scans, rows[0])


def _where_curved(curves: Sequence[Curve], row: Float64[np.ndarray, " l"]) -> dict[str, float | None]:
    """The probability of each label, to nine decimals; None where there is no curve."""
    values = zip(LABEL_NAMES, curves, row.tolist(), strict=True)
    return {name: None if isinstance(curve, Uncalibrated) else round(value, 9) for name, curve, value in values}


def _slice_scores(
    volume: Scan, probabilities: ScanProbabilities, calibrated: Sequence[CalibratedProbabilities | None]
) -> tuple[SliceScore, ...]:
    positions, names, corners = volume.positions_mm, volume.sop_instance_uids, volume.image_positions_patient
    lowest, averaged = lowest_mm(volume), averaged_uids(volume)
    return tuple(
        SliceScore(
            index=index,
            sop_instance_uid=names[index],
            position_mm=round(positions[index] - lowest, 4),
            image_position_patient=corners[index],
            stage_one=_probabilities(probabilities.stage_one[index]),
            stage_two=_probabilities(probabilities.stage_two[index]),
            calibrated=calibrated[index],
            averaged_sop_instance_uids=averaged[index],
        )
        for index in range(len(volume))
    )


def _probabilities(row: Float32[np.ndarray, " l"]) -> Probabilities:
    return Probabilities(**{name: shortest_float(value) for name, value in zip(LABEL_NAMES, row, strict=True)})


def _label_score(
    label: Label, slices: Sequence[SliceScore], status: Status, info: ModelInfo, calibrated: float | None
) -> LabelScore:
    highest = _peak(label.name, slices, "stage_two")
    shipped = None if info.thresholds is None else info.thresholds.find(SCAN, label.name)
    threshold = None if shipped is None else shipped.score
    return LabelScore.model_validate(
        {
            "label": label.name,
            "title": label.title,
            "stage_one": _peak(label.name, slices, "stage_one"),
            "stage_two": highest,
            "reading": reading_of(status, highest.probability, threshold),
            "calibrated": calibrated,
            "balanced_threshold": threshold,
        }
    )


def _peak(label: str, slices: Sequence[SliceScore], stage: str) -> Peak:
    highest = max(slices, key=lambda score: getattr(score, stage).of(label))
    return Peak(
        probability=getattr(highest, stage).of(label),
        slice_index=highest.index,
        position_mm=highest.position_mm,
        sop_instance_uid=highest.sop_instance_uid,
    )


def _model_identity(use: ModelUse) -> ModelIdentity:
    info = use.info
    own = _of_ensemble(info, use.members) if isinstance(info, EnsembleInfo) else _of_one(info)
    return ModelIdentity(
        name=info.name,
        digest=info.digest(),
        trained_on=info.trained_on_words,
        calibrated=info.calibration is not None,
        thresholded=info.thresholds is not None,
        **own,
    )


def _of_one(info: BundleInfo) -> dict[str, Any]:
    return {
        "backbone": info.cnn.backbone,
        "input_size": info.preprocess.size,
        "windows": tuple((window.level, window.width) for window in info.preprocess.windows),
    }


def _of_ensemble(info: EnsembleInfo, members: tuple[ModelUse, ...]) -> dict[str, Any]:
    each = [_of_one(member) for member in info.members]
    return {
        "backbone": ", ".join(dict.fromkeys(one["backbone"] for one in each)),
        "input_size": max(one["input_size"] for one in each),
        "windows": tuple(dict.fromkeys(window for one in each for window in one["windows"])),
        "combined_by": info.stage_two.method,
        "members": tuple(map(_member_identity, members)),
    }


def _member_identity(use: ModelUse) -> MemberIdentity:
    """Raises ValueError of an ensemble, which no ensemble holds."""
    info = use.info
    if isinstance(info, EnsembleInfo):
        raise ValueError("an ensemble is no member of an ensemble")
    return MemberIdentity(
        name=info.name,
        digest=info.digest(),
        adjacent_slices=info.adjacent_slices,
        runtime=use.runtime,
        precision=use.precision,
        **_of_one(info),
    )


def _versions(device: str) -> dict[str, str]:
    used = {name: metadata.version(name) for name in _COMPUTED_WITH if name in sys.modules}
    return {"ichseq": __version__, "python": platform.python_version(), **used, "device": device}
