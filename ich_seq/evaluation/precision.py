"""What a lower precision costs, measured on validation patients, and the gate that an int8 graph must pass to be shipped."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pandas as pd
from jaxtyping import Integer

from ich_seq.embeddings.stage import TRAINING_SPLITS
from ich_seq.errors import DatasetError, ModelError
from ich_seq.evaluation.calibration_tiles import calibration_tiles, without_lone_slices
from ich_seq.evaluation.scoring import SeriesScores, score_series
from ich_seq.labels import ANY, LABEL_NAMES
from ich_seq.metrics import roc_auc
from ich_seq.model.bundle import BundleInfo, read_info, write_info
from ich_seq.model.export import write_graph
from ich_seq.model.exported import FOLDER, Calibration8, Exported, Measured, PrecisionLoss
from ich_seq.model.openvino_backend import Computed, OpenVinoModel, machine_has_bf16
from ich_seq.model.quantise import quantise

VALIDATION = "validation"
FLOAT_LAYERS = (0, 4, 10)
"""Convolutions at the front that stay in floating point, tried in this order: all int8 is fastest, and the first ones lose most."""


@dataclass(frozen=True, slots=True)
class Gate:
    """What int8 may cost against fp32 on the validation patients: a change of any probability, and a fall of any label's AUC."""

    prob_change: float = 0.1
    auc_drop: float = 0.002


@dataclass(frozen=True, slots=True)
class MeasuredOn:
    """Rows to calibrate with and rows to measure on, the folder of their images, and the digest of their table.

    `beside` are all rows of the series that calibrate, where neighbours are found.
    """

    calibration: pd.DataFrame
    beside: pd.DataFrame
    validation: pd.DataFrame
    root: Path
    table_sha256: str


@dataclass(frozen=True, slots=True)
class Limits:
    """So many slices calibrate, and so many validation scans are measured, at most."""

    slices: int = 300
    scans: int = 200


def rows_to_measure(table: pd.DataFrame, root: Path, table_sha256: str, limits: Limits) -> MeasuredOn:
    """Training slices for calibration, half of them with a bleed where there are as many, and whole validation scans, both seeded.

    Raises:
        DatasetError: the table has no training or no validation patients.
    """
    training = table[table["split"].isin(TRAINING_SPLITS)]
    validation = table[table["split"] == VALIDATION]
    for rows, whose in ((training, "training"), (validation, "validation")):
        if rows.empty:
            raise DatasetError(f"the table has no {whose} patients; index it with a split, or give the run's own table")
    generator = np.random.default_rng(0)
    bleeding = training[ANY.name].to_numpy() > 0
    half = (limits.slices + 1) // 2
    with_bleed = generator.permutation(np.flatnonzero(bleeding))[:half]
    without = generator.permutation(np.flatnonzero(~bleeding))[: limits.slices - len(with_bleed)]
    scans = generator.permutation(sorted(validation["series_instance_uid"].unique()))[: limits.scans]
    calibration = training.iloc[np.sort(np.concatenate([with_bleed, without]))]
    return MeasuredOn(
        calibration,
        training[training["series_instance_uid"].isin(calibration["series_instance_uid"])],
        validation[validation["series_instance_uid"].isin(scans)],
        root,
        table_sha256,
    )


def measure_precisions(
    folder: Path, on: MeasuredOn, jobs: int, gate: Gate | None, on_step: Callable[[str], None] = lambda step: None
) -> Exported:
    """Measures bf16, where the processor has it, and with a `gate` makes int8 and measures it; model.json gets both losses.

    Of the int8 graphs tried (`FLOAT_LAYERS`) the first that passes is kept.

    Raises:
        ModelError: no int8 graph passed; names the figures of each. The bundle then has none.
        DatasetError: slices cannot be read.
        BundleError, OutputError: the bundle cannot be used or written.
    """
    work = _Measuring(folder, read_info(folder), on, jobs, on_step)
    if machine_has_bf16():
        work.measure_bf16()
    if gate is not None:
        work.add_int8(gate)
    return work.exported


class _Measuring:
    """A bundle whose fp32 scores of the validation scans are known, and what has been measured against them."""

    def __init__(
        self, folder: Path, info: BundleInfo, on: MeasuredOn, jobs: int, on_step: Callable[[str], None]
    ) -> None:
        if info.exported is None:
            raise ValueError("the bundle must have been exported before its precisions are measured")
        self.exported = info.exported
        if info.preprocess.adjacent_slices:
            several = [without_lone_slices(rows) for rows in (on.beside, on.validation)]
            chosen = on.calibration[on.calibration.index.isin(several[0].index)]
            on = replace(on, calibration=chosen, beside=several[0], validation=several[1])
        self._folder, self._info, self._on, self._jobs, self._on_step = folder, info, on, jobs, on_step
        self._fp32 = self._model("fp32", self.exported)
        scans = on.validation["series_instance_uid"].nunique()
        on_step(f"scoring {scans} validation scans ({len(on.validation)} slices) in fp32")
        self._reference = self._scores(self._fp32)

    def measure_bf16(self) -> None:
        self._on_step("measuring bf16")
        self._keep(self.exported, "bf16", self._loss(self._model("bf16", self.exported)))

    def add_int8(self, gate: Gate) -> None:
        """Raises ModelError where no graph passes."""
        self._on_step(f"windowing {len(self._on.calibration)} slices for calibration")
        on = self._on
        tiles = list(calibration_tiles(self._fp32, on.calibration, on.beside, on.root))
        refused = []
        for first in FLOAT_LAYERS:
            self._on_step(f"quantising, {first} convolutions at the front in floating point")
            graph = quantise(self._folder, self._info, self.exported, tiles, first)
            digests = write_graph(self._folder, "slices_int8", graph)
            tried = self.exported.model_copy(update={"graphs": {**self.exported.graphs, "slices_int8": digests}})
            self._on_step("measuring int8")
            loss = self._loss(self._model("int8", tried))
            if passes(loss, gate):
                calibration = self._calibration(len(tiles), first)
                self._keep(tried.model_copy(update={"int8": calibration}), "int8", loss)
                return
            refused.append(f"with {first} convolutions in floating point {describe_loss(loss)}")
        for suffix in ("xml", "bin"):
            (self._folder / FOLDER / f"slices_int8.{suffix}").unlink(missing_ok=True)
        raise ModelError(
            f"{self._folder}: int8 is refused, since it may change a probability by {gate.prob_change:g} and lower an AUC by "
            f"{gate.auc_drop:g} at most: {'; '.join(refused)}. The other graphs stay; more --calibration-slices may help"
        )

    def _keep(self, exported: Exported, precision: Measured, loss: PrecisionLoss) -> None:
        self.exported = exported.model_copy(update={"losses": {**exported.losses, precision: loss}})
        write_info(self._folder, self._info.model_copy(update={"exported": self.exported}))

    def _model(self, precision: Computed, exported: Exported) -> OpenVinoModel:
        info = self._info.model_copy(update={"exported": exported})
        return OpenVinoModel(self._folder, info, precision, self._jobs)

    def _scores(self, model: OpenVinoModel) -> SeriesScores:
        """Of all validation scans, in the order of their groups.

        Raises:
            DatasetError: a slice cannot be read.
        """
        found = [score_series(model, rows, self._on.root) for rows in _scans_of(self._on.validation)]
        if unreadable := [fault for each in found for fault in each.unreadable]:
            raise DatasetError(f"{len(unreadable)} validation slices cannot be read; the first: {unreadable[0]}")
        return SeriesScores(
            np.concatenate([each.stage_one for each in found]), np.concatenate([each.stage_two for each in found])
        )

    def _loss(self, model: OpenVinoModel) -> PrecisionLoss:
        rows = pd.concat(_scans_of(self._on.validation))
        labels = rows[list(LABEL_NAMES)].to_numpy(np.int64)
        change, auc = loss_between(self._reference, self._scores(model), labels)
        return PrecisionLoss(
            measured_on=f"validation patients of table {self._on.table_sha256[:12]} ({rows['dataset'].iloc[0]})",
            patients=rows["patient_id"].nunique(),
            scans=rows["series_instance_uid"].nunique(),
            slices=len(rows),
            largest_prob_change=round(change, 6),
            largest_auc_drop=max([0.0, *(-difference for difference in auc.values())]),
            auc_change=auc,
        )

    def _calibration(self, slices: int, first: int) -> Calibration8:
        return Calibration8(
            slices=slices,
            patients=self._on.calibration["patient_id"].nunique(),
            table_sha256=self._on.table_sha256,
            float_layers=first,
            nncf_version=version("nncf"),
        )


def passes(loss: PrecisionLoss, gate: Gate) -> bool:
    """Whether a loss is within the gate."""
    return loss.largest_prob_change <= gate.prob_change and loss.largest_auc_drop <= gate.auc_drop


def describe_loss(loss: PrecisionLoss) -> str:
    """The two figures of the gate in words."""
    return f"it changes one by {loss.largest_prob_change:.4f} and lowers one by {loss.largest_auc_drop:.4f}"


def loss_between(
    reference: SeriesScores, found: SeriesScores, labels: Integer[np.ndarray, "n 6"]
) -> tuple[float, dict[str, float]]:
    """The largest change of a probability by either stage, and by label the change of the slice AUC (stage two).

    A label that all slices have, or none, has no AUC and is left out.

    Raises:
        ValueError: scores of other lengths than the labels.
    """
    if not len(reference.stage_two) == len(found.stage_two) == len(labels):
        raise ValueError(f"{len(reference.stage_two)} and {len(found.stage_two)} scores for {len(labels)} slices")
    change = max(
        np.abs(reference.stage_one - found.stage_one).max(), np.abs(reference.stage_two - found.stage_two).max()
    )
    auc = {}
    for column, name in enumerate(LABEL_NAMES):
        truth = labels[:, column]
        if 0 < truth.sum() < len(truth):
            before, after = (roc_auc(truth, scores.stage_two[:, column]) for scores in (reference, found))
            auc[name] = round(float(after - before), 6)
    return float(change), auc


def _scans_of(rows: pd.DataFrame) -> list[pd.DataFrame]:
    """The rows of each series, feet to head."""
    return [
        series.sort_values(["position_mm", "sop_instance_uid"])
        for _, series in rows.groupby("series_instance_uid", sort=True)
    ]
