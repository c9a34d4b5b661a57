"""Fits the PCA on the embeddings of training slices, and keeps it beside the cache."""

import numpy as np

from ich_seq.distrust import DamagedError
from ich_seq.embeddings.cache import EmbeddingCache
from ich_seq.embeddings.pca import Pca, StreamingCovariance
from ich_seq.errors import CacheError, DatasetError
from ich_seq.files import write_bytes
from ich_seq.tensors import read_tensors, save_tensors

PCA_FILE = "pca.safetensors"
_PCA_BLOCK = 4096


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
    total_variance = float(np.trace(covariance.scatter)) / (covariance.count - 1)
    if not total_variance > 0:
        raise DatasetError(
            "PCA cannot be fitted: every slice has the same embedding, so stage one tells none apart; train it anew, at a lower rate"
        )
    write_bytes(cache.folder / PCA_FILE, save_tensors(vars(pca)))
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
        arrays = read_tensors(path)
        _check_shapes(arrays, cache.index.embedding_width)
    except (FileNotFoundError, DamagedError) as error:
        why = "absent" if isinstance(error, FileNotFoundError) else error
        raise CacheError(f"{path}: no usable PCA ({why}); run `ichseq extract-features` again", path=path) from error
    return Pca(**arrays)


def _check_shapes(arrays: dict[str, np.ndarray], width: int) -> None:
    variance = arrays.get("explained_variance")
    reduced = len(variance) if variance is not None and variance.ndim == 1 else 0
    shapes = {"mean": (width,), "components": (reduced, width), "explained_variance": (reduced,)}
    if {name: values.shape for name, values in arrays.items()} != shapes or not reduced:
        raise DamagedError(f"its arrays are not those of a PCA of {width}-d embeddings")
    if any(values.dtype != np.float32 for values in arrays.values()):
        raise DamagedError("its arrays are not float32")
