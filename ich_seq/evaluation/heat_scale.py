"""Fits the absolute scale of explanations on validation slices that have a label: one constant and threshold a label and stage."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float32, Shaped

from ich_seq.errors import DatasetError, PixelsUnreadableError
from ich_seq.evaluation.operating import Scored, choose_threshold
from ich_seq.labels import LABEL_NAMES
from ich_seq.manifest.table import PER_SCAN, slice_places
from ich_seq.model.heat_scale import ONE, PERCENTILE, TWO, HeatConstant, HeatScale, Stage
from ich_seq.model.torch_backend import TorchModel
from ich_seq.nifti import read_square_slice
from ich_seq.slices.tiles import UNREADABLE_LIMIT
from ich_seq.study.gradcam import GradCam, SeenScan
from ich_seq.thresholds import BALANCED, SLICE
from ich_seq.volume import Slice

VALIDATION = "validation"
MOST_SCANS = 1000
"""So many validation scans at most, in a seeded order: a percentile of some thousand cells needs no more."""


@dataclass
class _Found:
    """What the scans gave so far: cells of the maps of positives by (stage, label), and scores beside the truth."""

    cells: dict[tuple[Stage, str], list[np.ndarray]] = field(default_factory=dict)
    truth: list[np.ndarray] = field(default_factory=list)
    scores: dict[Stage, list[np.ndarray]] = field(default_factory=lambda: {ONE: [], TWO: []})


@dataclass(frozen=True, slots=True)
class SeriesMaps:
    """One series whose slices were read: its rows, which were kept, what stage one saw, and both stages' scores, feet to head."""

    rows: pd.DataFrame
    seen: SeenScan
    scores: dict[Stage, Float32[np.ndarray, "s l"]]
    slices_hu: list[Slice]


def fit_heat_scale(
    model: TorchModel,
    table: pd.DataFrame,
    root: Path,
    on_series: Callable[[int, int], None] = lambda done, total: None,
    seed: int = 0,
) -> HeatScale:
    """The scale of a model from the validation scans of a table: the 99th percentile of map times score over positives' cells.

    Thresholds of stage two are those that the model ships, where it does; the others are chosen on the same slices.

    Raises:
        DatasetError: no validation slices, labels of whole scans, no positive at all, or more than 1 % cannot be read.
        ModelError: the classifier has no feature map with places.
    """
    rows = validation_rows(table, seed)
    cam, found = GradCam(model.cnn, model.pca, model.lstm), _Found()
    for series in read_series(cam, rows, root, on_series):
        _add(found, cam, series)
    if not found.cells:
        raise DatasetError(
            "no validation slice has any label: there is nothing to scale explanations by; index more scans"
        )
    truth = np.concatenate(found.truth)
    constants = [_constant(model, found, truth, stage, name) for stage in (ONE, TWO) for name in LABEL_NAMES]
    return HeatScale(
        model_digest=model.info.digest(),
        dataset=str(rows["dataset"].iloc[0]),
        patients=rows["patient_id"].nunique(),
        scans=rows["series_instance_uid"].nunique(),
        slices=len(truth),
        constants=tuple(constants),
    )


def validation_rows(table: pd.DataFrame, seed: int = 0) -> pd.DataFrame:
    """The rows of at most MOST_SCANS validation scans.

    Raises:
        DatasetError: the table has none, or its labels are of whole scans.
    """
    rows = table[table["split"] == VALIDATION]
    if rows.empty:
        raise DatasetError(
            f"the table has no slices in the split `{VALIDATION}`; raise split.{VALIDATION} in the config"
        )
    if (rows["labelled"] == PER_SCAN).any():
        raise DatasetError("the table's labels are of whole scans; a scale for maps of slices needs labels of slices")
    names = np.random.default_rng(seed).permutation(sorted(rows["series_instance_uid"].unique()))
    return rows[rows["series_instance_uid"].isin(names[:MOST_SCANS])]


def read_series(
    cam: GradCam,
    rows: pd.DataFrame,
    root: Path,
    on_series: Callable[[int, int], None] = lambda done, total: None,
    keep_hu: bool = False,
) -> Iterator[SeriesMaps]:
    """Each series of the rows through both stages, with the feature maps of the slices that have a label.

    Raises:
        DatasetError: more than 1 % of the slices cannot be read.
    """
    groups, unreadable = list(rows.groupby("series_instance_uid", sort=True)), []
    for done, (_, series) in enumerate(groups, start=1):
        ordered = series.sort_values(["position_mm", "sop_instance_uid"])
        slices_hu, kept = [], []
        for row, place in enumerate(slice_places(ordered, root)):
            try:
                slices_hu.append(read_square_slice(*place))
                kept.append(row)
            except PixelsUnreadableError as error:
                unreadable.append(error.message)
        if len(unreadable) > max(1, UNREADABLE_LIMIT * len(rows)):
            raise DatasetError(f"{len(unreadable)} of {len(rows)} slices cannot be read; the first: {unreadable[0]}")
        if kept:
            yield _through(cam, ordered.iloc[kept], slices_hu, keep_hu)
        on_series(done, len(groups))


def _through(cam: GradCam, rows: pd.DataFrame, slices_hu: list[Slice], keep_hu: bool) -> SeriesMaps:
    positive = np.flatnonzero(rows[list(LABEL_NAMES)].to_numpy().any(axis=1)).tolist()
    seen = cam.look(slices_hu, positive)
    with torch.no_grad():
        refined = cam.refined(seen.logits, seen.embedding)[0]
    scores: dict[Stage, np.ndarray] = {
        ONE: torch.sigmoid(seen.logits).cpu().numpy(),
        TWO: torch.sigmoid(refined).cpu().numpy(),
    }
    return SeriesMaps(rows, seen, scores, slices_hu if keep_hu else [])


def maps_of(cam: GradCam, series: SeriesMaps, stage: Stage, label: int) -> Float32[np.ndarray, "n h w"]:
    """Grad-CAM of the slices of a series that have a label, not scaled; in the order of `positives_of`."""
    places = positives_of(series, label)
    rows = [series.seen.places.index(place) for place in places]
    part = SeenScan(tuple(places), series.seen.maps[rows], series.seen.logits, series.seen.embedding)
    return (cam.stage_one(part, label) if stage == ONE else cam.stage_two(part, label)).cpu().numpy()


def positives_of(series: SeriesMaps, label: int) -> list[int]:
    """The slices of a series that have a label, by their place, feet to head."""
    return np.flatnonzero(series.rows[LABEL_NAMES[label]].to_numpy()).tolist()


def _add(found: _Found, cam: GradCam, series: SeriesMaps) -> None:
    found.truth.append(series.rows[list(LABEL_NAMES)].to_numpy(np.int64))
    for stage, scores in series.scores.items():
        found.scores[stage].append(scores)
        for label, name in enumerate(LABEL_NAMES):
            if places := positives_of(series, label):
                heat = maps_of(cam, series, stage, label) * scores[places, label][:, None, None]
                found.cells.setdefault((stage, name), []).append(heat.ravel())


def _constant(
    model: TorchModel, found: _Found, truth: Shaped[np.ndarray, "n l"], stage: Stage, name: str
) -> HeatConstant:
    label = LABEL_NAMES.index(name)
    cells = found.cells.get((stage, name), [])
    constant = float(np.percentile(np.concatenate(cells), PERCENTILE)) if cells else 0.0
    shipped = model.info.thresholds.find(SLICE, name, BALANCED) if stage == TWO and model.info.thresholds else None
    scores = np.concatenate(found.scores[stage])[:, label].astype(np.float64)
    chosen = choose_threshold(Scored(truth[:, label], scores), BALANCED)
    return HeatConstant(
        stage=stage,
        label=name,
        constant=constant or None,
        threshold=chosen if shipped is None else shipped.score,
        positives=int(truth[:, label].sum()),
    )
