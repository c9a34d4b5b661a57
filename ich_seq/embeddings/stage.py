"""The step between the stages: embeddings of every series of a run, PCA on its training patients, what stage two reads."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from ich_seq.embeddings.cache import EmbeddingCache
from ich_seq.embeddings.extract import ExtractionReport, extract, fit_pca
from ich_seq.embeddings.reduced import write_reduced
from ich_seq.slices.train import load_cnn
from ich_seq.training.run import Run

TRAINING_SPLITS = ("stage_one", "stage_two")


@dataclass(frozen=True)
class FeaturesReport:
    """What extraction did, and how much of the embeddings' variance the PCA keeps."""

    extraction: ExtractionReport
    cache: EmbeddingCache
    variance_kept: float


def extract_features(
    run: Run, table: pd.DataFrame, root: Path, device: str, on_series: Callable[[int, int], None]
) -> FeaturesReport:
    """Fills the run's cache, fits the PCA on training slices only and writes the coordinates for stage two.

    Raises:
        DatasetError: stage one is not trained, too few training slices, or too many unreadable ones.
        StaleCacheError: the cache was made by other weights or preprocessing.
        OutputError: disk full or folder not writable; finished parts stay.
    """
    network = load_cnn(run.config, run.stage_one).to(device)
    settings = run.config.features
    cache, extraction = extract(network, table, root, run.features, settings.batch_size, on_series)
    training = set(table.loc[table["split"].isin(TRAINING_SPLITS), "series_instance_uid"])
    pca, variance_kept = fit_pca(cache, training, settings.pca_components, settings.pca_slices, run.config.seed)
    write_reduced(cache, pca)
    return FeaturesReport(extraction, cache, variance_kept)
