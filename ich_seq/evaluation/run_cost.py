"""What a run took: its parameters, and the wall times of training and of extraction, whatever interrupted them."""

from pathlib import Path
from typing import Any

import numpy as np
from pydantic import BaseModel, ConfigDict

from ich_seq.distrust import DamagedError
from ich_seq.errors import DatasetError
from ich_seq.tensors import tensor_shapes
from ich_seq.training.log import MetricsLog
from ich_seq.training.run import open_run

_STAGES = ("stage_one", "stage_two")


class Cost(BaseModel):
    """What a run took, where its folder says so."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    parameters: int | None = None
    """Numbers in the classifier's and the sequence network's weights, statistics of batch norm included."""
    ms_a_slice: float | None = None
    """Wall time of `extract-features` by slice, reading included; null where an interruption divided it."""
    training_s: float | None = None
    """Wall time of the steps of both fits, validation not counted."""
    where: str = ""
    """Device and threads of the fits."""


def cost_of(folder: Path) -> Cost:
    """From a run's record, logs and weights; empty for what is no run.

    Raises:
        DatasetError: the weights are damaged.
    """
    if not (folder / "config.json").is_file():
        return Cost()
    steps = open_run(folder).record().get("steps", {})
    weights, features = folder / "model" / "weights.safetensors", steps.get("extract-features", {})
    fits = [steps[name] for name in ("train-cnn", "train-lstm") if name in steps]
    try:
        parts = tensor_shapes(weights) if weights.is_file() else {}
    except DamagedError as error:
        raise DatasetError(f"{weights}: {error}; run `ichseq train-lstm` again") from error
    counted = [int(np.prod(shape)) for name, shape in parts.items() if name.startswith(("cnn.", "lstm."))]
    trained = sum(training_seconds(folder / stage) for stage in _STAGES) if len(fits) == 2 else 0.0
    return Cost(
        parameters=sum(counted) or None,
        ms_a_slice=reading_ms(features),
        training_s=trained or None,
        where=f"{fits[0]['device']}, threads: {fits[0]['threads']}" if fits else "",
    )


def reading_ms(features: dict[str, Any]) -> float | None:
    """Wall time of `extract-features` by slice in ms, from what it noted; None where one call did not compute all of them."""
    if not features.get("slices") or features.get("series_from_before"):
        return None
    return 1000 * features["seconds"] / features["slices"]


def training_seconds(stage: Path) -> float:
    """Wall time of a fit's steps, from its log, whatever interrupted it."""
    records = MetricsLog(stage / "metrics.jsonl").records()
    return sum({each["epoch"]: each["train_seconds"] for each in records}.values())
