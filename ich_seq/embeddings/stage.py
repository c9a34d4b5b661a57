"""The step between the stages: embeddings of every series of a run, PCA on its training patients, what stage two reads."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import pandas as pd

from ich_seq.embeddings.cache import EmbeddingCache
from ich_seq.embeddings.cluster import Cluster, extract_on_cluster
from ich_seq.embeddings.extract import (
    WHOLE,
    ExtractionReport,
    Extractor,
    Share,
    extract,
    extractor_identity,
    finish,
    identity_in,
)
from ich_seq.embeddings.fit_pca import fit_pca
from ich_seq.embeddings.reduced import write_reduced
from ich_seq.files import remove_dead_leftovers, remove_leftovers
from ich_seq.slices.train import load_cnn
from ich_seq.training import ranks
from ich_seq.training.compute import inference_precision
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
) -> FeaturesReport | None:
    """Fills the run's cache, fits the PCA on training slices only and writes the coordinates for stage two.

    Under torchrun each process does its share of the series, and the first one does the rest; the others return None.

    Raises:
        DatasetError: stage one is not trained, too few training slices, or too many unreadable ones.
        StaleCacheError: the cache was made by other weights or preprocessing, or in another precision.
        UsageError: a precision that the device does not have.
        OutputError: disk full or folder not writable; finished parts stay.
    """
    ranks.join()
    if ranks.world() == 1:
        remove_leftovers(run.features / "parts")
        remove_leftovers(run.features)
    mine = extract_share(run, table, root, device, on_series, Share(ranks.rank(), ranks.world()))
    there, computed = (int(ranks.total(count)) for count in (mine.already_there, mine.computed))
    if ranks.rank() > 0:
        ranks.wait()
        return None
    report = finish_features(run, table, root, replace(mine, already_there=there, computed=computed))
    ranks.wait()
    return report


def extract_share(
    run: Run,
    table: pd.DataFrame,
    root: Path,
    device: str,
    on_series: Callable[[int, int], None],
    share: Share = WHOLE,
) -> ExtractionReport:
    """A share of the series alone; the cache is made of all shares by `extract_features`, which finds them there.

    Raises:
        DatasetError, StaleCacheError, OutputError: as `extract_features`.
    """
    precision = inference_precision(run.config.features.precision, device)
    network = load_cnn(run.config, run.stage_one).to(device)
    for folder in (run.features / "parts", run.features):  # others may be writing theirs
        remove_dead_leftovers(folder)
    extractor = Extractor(network, run.features, run.config.features.batch_size, precision)
    return extract(extractor, table, root, on_series, share)


def extract_features_on(
    cluster: Cluster, run: Run, table: pd.DataFrame, root: Path, on_series: Callable[[int, int], None]
) -> FeaturesReport:
    """As `extract_features`, with the series computed by the workers of a Dask cluster.

    Raises:
        DatasetError, StaleCacheError, OutputError: as `extract_features`.
        UsageError: no such cluster, or its workers do not see the run or the images.
    """
    mine = extract_on_cluster(cluster, run, table, root, on_series)
    return finish_features(run, table, root, mine)


def finish_features(run: Run, table: pd.DataFrame, root: Path, done: ExtractionReport) -> FeaturesReport:
    """The index over all parts, the PCA and the coordinates; what was done is passed on, with the unreadable slices of all."""
    settings = run.config.features
    extractor = identity_in(done.precision, extractor_identity(load_cnn(run.config, run.stage_one)))
    cache, unreadable = finish(extractor, table, root, run.features)
    training = set(table.loc[table["split"].isin(TRAINING_SPLITS), "series_instance_uid"])
    pca, variance_kept = fit_pca(cache, training, settings.pca_components, settings.pca_slices, run.config.seed)
    write_reduced(cache, pca)
    return FeaturesReport(replace(done, unreadable=unreadable), cache, variance_kept)
