"""Scales of explanations for tests: one constant and threshold for all labels, written beside a model."""

from pathlib import Path

from ich_seq.labels import LABEL_NAMES
from ich_seq.model.bundle import read_info
from ich_seq.model.heat_scale import HeatConstant, HeatScale, write_heat_scale


def plain_scale(model: Path, constant: float | None = 0.01, threshold: float | None = 0.0) -> HeatScale:
    """The same constant and threshold for every label and stage of the model in a folder; the scale is written there."""
    constants = tuple(
        HeatConstant(stage=stage, label=label, constant=constant, threshold=threshold, positives=1)
        for stage in ("one", "two")
        for label in LABEL_NAMES
    )
    scale = HeatScale(
        model_digest=read_info(model).digest(), dataset="none", patients=1, scans=1, slices=1, constants=constants
    )
    write_heat_scale(model, scale)
    return scale
