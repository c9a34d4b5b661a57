"""Whether a model holds up in every kind of scan: thin and thick, tilted, long, of each maker, and in every kind of patient.

A group gets figures where it has at least LEAST_PATIENTS patients with any haemorrhage and as many without; fewer have their counts
only, since an AUC of a handful says nothing. Groups are looked at one attribute at a time, and none is tested against another: with
so many of them some differ by chance.
"""

import math
from collections.abc import Callable, Iterator, Mapping

import numpy as np
import pandas as pd

from ich_seq.evaluation.bootstrap import ROUNDS, Estimate, PatientBootstrap
from ich_seq.evaluation.data import EvaluationInput, maximum_over
from ich_seq.evaluation.result import SubgroupScore
from ich_seq.labels import ANY_INDEX
from ich_seq.metrics import combine_labels, cross_entropy

LEAST_PATIENTS = 10
UNKNOWN = "not known"
SPACING = ("thin, below 2.5 mm", "2.5 to 4 mm", "thick, above 4 mm")
TILT = ("none, below 0.5 degrees", "below 10 degrees", "10 degrees or more")
LENGTH = ("fewer than 30", "30 to 45", "more than 45")
_FIGURES = ("auc_stage_one", "auc_stage_two", "weighted_log_loss_stage_one", "weighted_log_loss_stage_two")
_SEXES = {"M": "male", "F": "female", "O": "other"}


def attributes_of(scores: pd.DataFrame) -> dict[str, dict[str, str]]:
    """Of each attribute the group of each scan, by SeriesInstanceUID; attributes of which no scan says anything are left out.

    Slice spacing is SliceThickness where the header has it, else the median step between slices. Tilt is the angle of the slices to
    the axial plane, whether the gantry was tilted or the head.
    """
    found = {name: {} for name in _GROUPS}
    for uid, rows in scores.groupby("series_instance_uid", sort=True):
        for name, group_of in _GROUPS.items():
            found[name][str(uid)] = group_of(rows)
    return {name: groups for name, groups in found.items() if set(groups.values()) != {UNKNOWN}}


def score_subgroups(
    data: EvaluationInput, attributes: Mapping[str, Mapping[str, str]], rounds: int = ROUNDS, seed: int = 0
) -> Iterator[SubgroupScore]:
    """Both stages in each group, at slice level (not where labels are of whole scans) and scan level, with 95 % intervals.

    Raises:
        KeyError: an attribute lacks a scan.
    """
    levels = {} if data.whole_scans else {"slice": data}
    levels["scan"] = maximum_over(data, "scan_ids")
    for attribute, group_of_scan in attributes.items():
        for level, whole in levels.items():
            group = np.array([group_of_scan[uid] for uid in whole.scan_ids.tolist()])
            for name in _in_order(set(group.tolist())):
                yield _score(attribute, name, level, whole.where(np.flatnonzero(group == name)), rounds, seed)


def _score(attribute: str, group: str, level: str, data: EvaluationInput, rounds: int, seed: int) -> SubgroupScore:
    truth = data.labels[:, ANY_INDEX].astype(bool)
    with_any = set(data.patient_ids[truth].tolist())
    patients = len(np.unique(data.patient_ids))
    fewest = min(len(with_any), patients - len(with_any))
    nothing = Estimate(
        value=None, low=None, high=None, reason=f"fewer than {LEAST_PATIENTS} patients with or without any"
    )
    figures: dict[str, Estimate] = dict.fromkeys(_FIGURES, nothing)
    if fewest >= LEAST_PATIENTS:
        bootstrap = PatientBootstrap(data.patient_ids, rounds, seed)
        for stage, prob in (("stage_one", data.stage_one), ("stage_two", data.stage_two)):
            auc = bootstrap.auc(data.labels[:, ANY_INDEX], prob[:, ANY_INDEX])
            figures[f"auc_{stage}"] = auc.estimate()
            losses = combine_labels(cross_entropy(data.labels, prob))
            figures[f"weighted_log_loss_{stage}"] = bootstrap.mean(losses).estimate()
    return SubgroupScore(
        attribute=attribute,
        group=group,
        level=level,
        count=len(truth),
        patients=patients,
        positives=int(truth.sum()),
        positive_patients=len(with_any),
        **figures,
    )


def _in_order(groups: set[str]) -> list[str]:
    """Ranges from small to large, then names, and what is not known last."""
    ranges = [*SPACING, *TILT, *LENGTH]
    return sorted(groups, key=lambda name: (name == UNKNOWN, ranges.index(name) if name in ranges else 0, name))


def _spacing(rows: pd.DataFrame) -> str:
    thickness, step_mm = (
        float(rows["slice_thickness_mm"].median()),
        float(rows["position_mm"].sort_values().diff().median()),
    )
    size = thickness if math.isfinite(thickness) else step_mm
    if math.isnan(size):
        return UNKNOWN
    return SPACING[0] if size < 2.5 else SPACING[1] if size <= 4 else SPACING[2]


def _tilt(rows: pd.DataFrame) -> str:
    angle = float(rows["tilt_deg"].median()) if "tilt_deg" in rows else math.nan
    if math.isnan(angle):
        return UNKNOWN
    return TILT[0] if angle < 0.5 else TILT[1] if angle < 10 else TILT[2]


def _pixels(rows: pd.DataFrame) -> str:
    bits, signed = int(rows["bits_stored"].iloc[0]), bool(rows["pixel_representation"].iloc[0])
    return f"{bits} bits, {'signed' if signed else 'unsigned'}" if bits else "NIfTI"


def _length(rows: pd.DataFrame) -> str:
    return LENGTH[0] if len(rows) < 30 else LENGTH[1] if len(rows) <= 45 else LENGTH[2]


def _text(column: str) -> Callable[[pd.DataFrame], str]:
    return lambda rows: (str(rows[column].iloc[0]) if column in rows else "") or UNKNOWN


def _sex(rows: pd.DataFrame) -> str:
    return _SEXES.get(_text("sex")(rows), UNKNOWN)


_GROUPS: dict[str, Callable[[pd.DataFrame], str]] = {
    "slice spacing": _spacing,
    "tilt of the slices": _tilt,
    "pixel format": _pixels,
    "slices in the scan": _length,
    "age in years": _text("age_group"),
    "sex": _sex,
    "maker of the scanner": _text("manufacturer"),
}
