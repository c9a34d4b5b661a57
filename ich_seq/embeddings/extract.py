"""Runs stage one over the series of a table and keeps what it says in the embedding cache."""

import hashlib
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from jaxtyping import Float32
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from ich_seq.embeddings.cache import EmbeddingCache, open_cache, write_index
from ich_seq.embeddings.part import SeriesFeatures, part_name, write_part
from ich_seq.embeddings.pca import Pca, StreamingCovariance
from ich_seq.errors import CacheError, DatasetError, PixelsUnreadableError, StaleCacheError
from ich_seq.files import make_folder, remove_leftovers, replacing, write_text
from ich_seq.manifest.table import slice_places
from ich_seq.nifti import read_stored_slice
from ich_seq.slices.network import SliceNet
from ich_seq.slices.read import read_slices

PCA_FILE = "pca.safetensors"
EXTRACTOR_FILE = "extractor.txt"
_READ_AHEAD = 2
_PCA_BLOCK = 4096


@dataclass(frozen=True)
class ExtractionReport:
    """How many series were there already, how many were computed now, and which files could not be read."""

    already_there: int
    computed: int
    unreadable: list[str]


@dataclass(frozen=True)
class _LoadedSeries:
    series_instance_uid: str
    sop_instance_uids: tuple[str, ...]
    position_mm: np.ndarray
    slices_hu: list[Float32[np.ndarray, "y x"]]
    unreadable: list[str]


def extractor_identity(network: SliceNet) -> str:
    """SHA-256 over every weight and every number of the preprocessing, as 64 hexadecimal digits."""
    digest = hashlib.sha256(f"{network.preprocess.size} {network.preprocess.antialias}".encode())
    for name, tensor in sorted(network.state_dict().items()):
        digest.update(f"{name} {tuple(tensor.shape)} {tensor.dtype}".encode())
        digest.update(tensor.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()


def extract(
    network: SliceNet,
    table: pd.DataFrame,
    root: Path,
    folder: Path,
    batch_size: int,
    on_series: Callable[[int, int], None] = lambda done, total: None,
) -> tuple[EmbeddingCache, ExtractionReport]:
    """Every series of the table in the cache in `folder`; parts that are there already are kept.

    A slice that cannot be read is left out and reported; its neighbours stay.

    Raises:
        StaleCacheError: the folder holds parts made by other weights or preprocessing.
        DatasetError: more than 1 % of the slices cannot be read.
        OutputError: a part cannot be written; those before it stay.
    """
    extractor = extractor_identity(network)
    claim_folder(folder, extractor)
    device = str(next(network.parameters()).device)
    groups = [rows for _, rows in table.groupby("series_instance_uid", sort=True)]
    identities: list[str] = []
    computed, unreadable = 0, []
    for done, series in enumerate(_read_ahead(groups, root), start=1):
        unreadable += series.unreadable
        if len(unreadable) > max(1, 0.01 * len(table)):
            raise DatasetError(f"{len(unreadable)} of {len(table)} slices cannot be read; the first: {unreadable[0]}")
        if series.slices_hu:
            identity = _identity(extractor, series)
            identities.append(identity)
            if not (folder / "parts" / part_name(identity)).exists():
                logits, embedding = read_slices(network, series.slices_hu, batch_size, device)
                write_part(folder / "parts", identity, _features(series, logits, embedding))
                computed += 1
        on_series(done, len(groups))
    cache = write_index(folder, extractor, identities)
    return cache, ExtractionReport(len(identities) - computed, computed, unreadable)


def claim_folder(folder: Path, extractor: str) -> None:
    """Makes `folder` a cache of this extractor, or sees that it is one already.

    Raises:
        StaleCacheError: it was begun by other weights or preprocessing.
        OutputError: it cannot be made.
    """
    make_folder(folder / "parts")
    remove_leftovers(folder / "parts")
    remove_leftovers(folder)
    owner = folder / EXTRACTOR_FILE
    if not owner.exists():
        write_text(owner, extractor + "\n")
    elif owner.read_text(encoding="utf-8").strip() != extractor:
        raise StaleCacheError(
            f"{folder}: begun by other weights or preprocessing (extractor {owner.read_text(encoding='utf-8')[:12]}, now "
            f"{extractor[:12]}); remove the folder and run `ichseq extract-features` again"
        )


def fit_pca(
    cache: EmbeddingCache, training_series: set[str], components: int, slices: int, seed: int
) -> tuple[Pca, float]:
    """PCA of about `slices` training slices, of whole series in a seeded random order, and its share of the variance.

    The PCA is also kept beside the cache.

    Raises:
        DatasetError: the cache holds fewer training slices than components + 1.
        CacheError: a part is damaged.
    """
    order = np.random.default_rng(seed).permutation(len(cache.index.parts)).tolist()
    wanted, taken = [], 0
    for place in order:
        if taken >= slices:
            break
        if cache.series_uid(place) in training_series:
            wanted.append(place)
            taken += cache.index.parts[place].rows
    covariance = _covariance(cache, sorted(wanted))
    try:
        pca = covariance.pca(min(components, cache.index.embedding_width))
    except ValueError as error:
        raise DatasetError(
            f"PCA cannot be fitted: {error}; use more training scans or fewer `pca_components`"
        ) from error
    with replacing(cache.folder / PCA_FILE) as temporary:
        save_file(vars(pca), temporary)
    total_variance = float(np.trace(covariance.scatter)) / (covariance.count - 1)
    return pca, float(pca.explained_variance.sum() / total_variance)


def _covariance(cache: EmbeddingCache, wanted: list[int]) -> StreamingCovariance:
    """Of the series at these places, in blocks: each update costs as much as some hundred rows."""
    covariance, block = StreamingCovariance(cache.index.embedding_width), []
    for features in cache.series(wanted):
        block.append(features.embedding)
        if sum(map(len, block)) >= _PCA_BLOCK:
            covariance.add(np.concatenate(block))
            block = []
    if block:
        covariance.add(np.concatenate(block))
    return covariance


def load_pca(cache: EmbeddingCache) -> Pca:
    """The PCA that was fitted on this cache.

    Raises:
        CacheError: it is absent or damaged.
    """
    path = cache.folder / PCA_FILE
    try:
        return Pca(**load_file(path))
    except (SafetensorError, OSError, TypeError, ValueError) as error:
        raise CacheError(f"{path}: no usable PCA ({error}); run `ichseq extract-features` again", path=path) from error


def open_current_cache(folder: Path, network: SliceNet) -> EmbeddingCache:
    """The finished cache that this very network made.

    Raises:
        StaleCacheError, CacheError: as `open_cache`.
    """
    return open_cache(folder, extractor_identity(network))


def _features(
    series: _LoadedSeries, logits: Float32[np.ndarray, "s l"], embedding: Float32[np.ndarray, "s d"]
) -> SeriesFeatures:
    return SeriesFeatures(
        series.series_instance_uid,
        series.sop_instance_uids,
        series.position_mm,
        embedding.astype(np.float16),
        logits,
    )


def _identity(extractor: str, series: _LoadedSeries) -> str:
    """What a part depends on: the extractor, and pixels and geometry in order."""
    digest = hashlib.sha256(extractor.encode())
    digest.update(series.position_mm.tobytes())
    for hu in series.slices_hu:
        digest.update(f"{hu.shape}".encode())
        digest.update(np.ascontiguousarray(hu).tobytes())
    digest.update("\n".join((series.series_instance_uid, *series.sop_instance_uids)).encode())
    return digest.hexdigest()


def _read_ahead(groups: list[pd.DataFrame], root: Path) -> Iterator[_LoadedSeries]:
    """The series one after another, the next being read while the one before is computed."""
    with ThreadPoolExecutor(max_workers=_READ_AHEAD) as pool:
        waiting = [pool.submit(_load, group, root) for group in groups[:_READ_AHEAD]]
        for position in range(len(groups)):
            series = waiting.pop(0).result()
            if position + _READ_AHEAD < len(groups):
                waiting.append(pool.submit(_load, groups[position + _READ_AHEAD], root))
            yield series


def _load(rows: pd.DataFrame, root: Path) -> _LoadedSeries:
    ordered = rows.sort_values(["position_mm", "sop_instance_uid"])
    slices, kept, unreadable = [], [], []
    for position, place in enumerate(slice_places(ordered, root)):
        try:
            slices.append(read_stored_slice(*place))
            kept.append(position)
        except PixelsUnreadableError as error:
            unreadable.append(error.message)
    ordered = ordered.iloc[kept]
    return _LoadedSeries(
        str(rows["series_instance_uid"].iloc[0]),
        tuple(ordered["sop_instance_uid"]),
        ordered["position_mm"].to_numpy(np.float64),
        slices,
        unreadable,
    )
