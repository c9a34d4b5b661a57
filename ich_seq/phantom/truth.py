"""What is known of a study: bleeds with their mL, labels of each slice by the area rule, mimics, geometry."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float64, UInt8

from ich_seq import labels
from ich_seq.phantom.bleeds import MASK_CODES, PRECEDENCE
from ich_seq.phantom.geometry import Geometry
from ich_seq.phantom.spec import CohortSpec

FORMAT = "ichseq-phantom-truth"
VERSION = 1


@dataclass(frozen=True)
class Truth:
    """Counted from the mask: `area_mm2` per slice and subtype, `ml` per subtype, `labels` in the order of LABEL_NAMES.

    `facts` holds what was drawn: patient, visit, pose, scanner, bleeds, mimics (JSON values).
    """

    area_mm2: Float64[np.ndarray, "s 5"]
    ml: dict[str, float]
    labels: UInt8[np.ndarray, "s 6"]
    facts: dict[str, Any]


def slice_areas_mm2(mask: UInt8[np.ndarray, "s y x"], geometry: Geometry) -> Float64[np.ndarray, "s 5"]:
    """Area in mm2 of each subtype's mask in each slice."""
    counts = [(mask == MASK_CODES[name]).sum((1, 2)) for name in labels.SUBTYPE_NAMES]
    return np.stack(counts, 1) * geometry.pixel_mm**2


def slice_labels(area_mm2: Float64[np.ndarray, "s 5"], min_area_mm2: float) -> UInt8[np.ndarray, "s 6"]:
    """1 where a subtype covers at least `min_area_mm2`; `any` is their logical OR."""
    subtypes = area_mm2 >= min_area_mm2
    return np.concatenate([subtypes, subtypes.any(1, keepdims=True)], 1).astype(np.uint8)


def count_truth(
    mask: UInt8[np.ndarray, "s y x"], geometry: Geometry, min_area_mm2: float, facts: dict[str, Any]
) -> Truth:
    """The truth that a mask states."""
    area = slice_areas_mm2(mask, geometry)
    volume = area.sum(0) * geometry.spacing_mm / 1000.0
    ml = {name: round(float(v), 4) for name, v in zip(labels.SUBTYPE_NAMES, volume, strict=True)}
    return Truth(area, ml, slice_labels(area, min_area_mm2), facts)


def cohort_header(spec: CohortSpec) -> dict[str, Any]:
    """The part of truth.json that holds for the whole cohort."""
    return {
        "format": FORMAT,
        "version": VERSION,
        "notice": "Synthetic images: no patient, no scanner. " + labels.RESEARCH_NOTICE,
        "spec": spec.model_dump(mode="json"),
        "label_rule": f"positive where the subtype's mask covers at least {spec.min_area_mm2:g} mm2 of the slice",
        "mask_rule": "a voxel belongs to the subtype that fills most of it where blood fills at least half of it; "
        "in an overlap the later of " + ", ".join(PRECEDENCE) + " keeps the voxel",
        "mask_codes": dict(MASK_CODES),
    }


def study_record(truth: Truth, geometry: Geometry, names: dict[str, Any]) -> dict[str, Any]:
    """One study of truth.json; `names` holds its identifiers and, per slice from the feet, `files` and `sop_uids`."""
    slices = []
    for k, (stem, sop_uid) in enumerate(zip(names["files"], names["sop_uids"], strict=True)):
        area = dict(zip(labels.SUBTYPE_NAMES, (round(float(a), 3) for a in truth.area_mm2[k]), strict=True))
        label = dict(zip(labels.LABEL_NAMES, (int(v) for v in truth.labels[k]), strict=True))
        place = [round(float(v), 6) for v in geometry.position_mm(k)]
        slices.append(
            {"file": stem, "sop_instance_uid": sop_uid, "position_mm": place, "labels": label, "area_mm2": area}
        )
    shape = {
        "matrix": geometry.matrix,
        "pixel_mm": geometry.pixel_mm,
        "slices": geometry.slices,
        "spacing_mm": geometry.spacing_mm,
        "tilt_deg": geometry.tilt_deg,
        "sub_slices": geometry.sub_slices,
    }
    known = {key: value for key, value in names.items() if key not in ("files", "sop_uids")}
    scan = dict(zip(labels.LABEL_NAMES, (int(v) for v in truth.labels.max(0)), strict=True))
    return {**known, "geometry": shape, "ml": truth.ml, "labels": scan, **truth.facts, "slices": slices}
