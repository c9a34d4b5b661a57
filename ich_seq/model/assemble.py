"""From a finished run to the bundle that it ships."""

import json
from dataclasses import dataclass

import pandas as pd

from ich_seq.calibration import Calibration
from ich_seq.embeddings.extract import open_current_cache
from ich_seq.embeddings.fit_pca import load_pca
from ich_seq.embeddings.stage import TRAINING_SPLITS
from ich_seq.files import sha256_of
from ich_seq.model.bundle import BundleInfo, TrainedOn, write_bundle
from ich_seq.model.card import card_to_write
from ich_seq.model.torch_backend import describe, pack_weights
from ich_seq.sequence.train import load_lstm
from ich_seq.slices.train import load_cnn
from ich_seq.thresholds import Thresholds
from ich_seq.training.run import Run


@dataclass(frozen=True)
class Fitted:
    """What validation patients decided beside the weights: curves of calibration, if asked for, and thresholds."""

    calibration: Calibration | None
    thresholds: Thresholds


def assemble(run: Run, table: pd.DataFrame, description: str, fitted: Fitted) -> BundleInfo:
    """Writes the run's trained pipeline to `run.model` and returns its description.

    Args:
        run: with both stages trained and the PCA fitted.
        table: the run's table of slices.
        description: one sentence on the data that taught it, for every output of the model.
        fitted: on the run's validation patients.

    Raises:
        DatasetError: a stage is not trained.
        CacheError: the PCA is missing, or the cache is of other weights.
        OutputError: the model folder cannot be written.
    """
    cnn, lstm = load_cnn(run.config, run.stage_one), load_lstm(run.config, run.stage_two)
    pca = load_pca(open_current_cache(run.features, cnn))
    taught = table[table["split"].isin(TRAINING_SPLITS)]
    trained_on = TrainedOn(
        dataset=str(table["dataset"].iloc[0]),
        description=description,
        patients=taught["patient_id"].nunique(),
        scans=taught["series_instance_uid"].nunique(),
        slices=len(taught),
        table_sha256=sha256_of(run.table),
    )
    losses = {name: _best_loss(run, name) for name in ("stage_one", "stage_two")}
    weights = pack_weights(cnn, pca, lstm)
    described = describe(run.config, cnn, pca, trained_on, losses, weights)
    info = described.model_copy(update={"calibration": fitted.calibration, "thresholds": fitted.thresholds})
    write_bundle(run.model, info, weights, card_to_write(run.model, info))
    return info


def _best_loss(run: Run, stage: str) -> float:
    lines = (run.folder / stage / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
    return min(json.loads(line)["validation"]["loss"] for line in lines)
