"""The whole cache after PCA in one small file: what stage two reads."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np
from jaxtyping import Float32, Float64

from ich_seq.distrust import DamagedError, open_own
from ich_seq.embeddings.cache import EmbeddingCache
from ich_seq.embeddings.pca import Pca
from ich_seq.errors import CacheError, StaleCacheError
from ich_seq.files import in_memory, sha256_of
from ich_seq.hdf5 import (
    DIGEST,
    UNUSABLE,
    attribute,
    check_members,
    digest_of,
    read_array,
    read_texts,
    write_attribute,
    write_texts,
)
from ich_seq.labels import LABELS

REDUCED_FILE = "reduced.h5"
_INDEX = "index_sha256"
_MOST_BYTES = 1 << 36
_Columns = dict[str, np.ndarray | tuple[str, ...]]


@dataclass(frozen=True)
class ReducedSeries:
    """One series for stage two, feet to head: `reduced` are its PCA coordinates, `logits` stage one's."""

    series_instance_uid: str
    sop_instance_uids: tuple[str, ...]
    position_mm: Float64[np.ndarray, " s"]
    reduced: Float32[np.ndarray, "s k"]
    logits: Float32[np.ndarray, "s l"]


def write_reduced(cache: EmbeddingCache, pca: Pca) -> Path:
    """Projects every embedding of the cache and writes the result whole or not at all; returns its path.

    Raises:
        CacheError: a part is damaged.
        OutputError: disk full, or the folder is not writable.
    """
    path = cache.folder / REDUCED_FILE
    columns = _projected(cache, pca)
    attributes = {_INDEX: sha256_of(cache.folder / "index.json")}
    with in_memory(path) as buffer, h5py.File(buffer, "w", libver="latest") as file:
        write_attribute(file, _INDEX, attributes[_INDEX])
        write_attribute(file, DIGEST, digest_of(columns, attributes))
        for name, values in columns.items():
            if isinstance(values, np.ndarray):
                file.create_dataset(name, data=values)
            else:
                write_texts(file, name, values)
    return path


def _projected(cache: EmbeddingCache, pca: Pca) -> _Columns:
    rows = cache.index.rows
    reduced = np.empty((rows, len(pca.components)), np.float32)
    logits, position = np.empty((rows, len(LABELS)), np.float32), np.empty(rows, np.float64)
    uids: list[str] = []
    series_uids: list[str] = []
    for entry, features in zip(cache.index.parts, cache.series(), strict=True):
        here = slice(entry.first_row, entry.first_row + entry.rows)
        reduced[here] = pca.reduce(features.embedding)
        logits[here], position[here] = features.logits, features.position_mm
        uids += features.sop_instance_uids
        series_uids.append(features.series_instance_uid)
    return {
        "reduced": reduced,
        "logits": logits,
        "position_mm": position,
        "sop_instance_uid": tuple(uids),
        "series_instance_uid": tuple(series_uids),
    }


def read_reduced(cache: EmbeddingCache) -> Iterator[ReducedSeries]:
    """Each series of the cache after PCA, in the order of the index.

    Raises:
        StaleCacheError: the file was made from another state of the cache.
        CacheError: it is absent or damaged.
    """
    path = cache.folder / REDUCED_FILE
    again = "run `ichseq extract-features` again"
    try:
        with open_own(path, _MOST_BYTES) as plain, h5py.File(plain, "r") as file:
            if attribute(file, _INDEX) != sha256_of(cache.folder / "index.json"):
                raise StaleCacheError(f"{path}: made before the cache was last written; {again}", path=path)
            columns = _read(file, cache.index.rows, len(cache.index.parts))
    except UNUSABLE as error:
        raise CacheError(f"{path}: no usable PCA coordinates ({error}); {again}", path=path) from error
    reduced, logits, position = (columns[name] for name in ("reduced", "logits", "position_mm"))
    uids, series_uids = columns["sop_instance_uid"], columns["series_instance_uid"]
    for entry, series_uid in zip(cache.index.parts, series_uids, strict=True):
        here = slice(entry.first_row, entry.first_row + entry.rows)
        yield ReducedSeries(str(series_uid), tuple(uids[here]), position[here], reduced[here], logits[here])


def _read(file: h5py.File, rows: int, series: int) -> dict:
    columns: _Columns = {
        "reduced": read_array(file, "reduced", np.float32, (rows, None)),
        "logits": read_array(file, "logits", np.float32, (rows, len(LABELS))),
        "position_mm": read_array(file, "position_mm", np.float64, (rows,)),
        "sop_instance_uid": read_texts(file, "sop_instance_uid", rows),
        "series_instance_uid": read_texts(file, "series_instance_uid", series),
    }
    check_members(file, list(columns), (_INDEX, DIGEST))
    if attribute(file, DIGEST) != digest_of(columns, {_INDEX: attribute(file, _INDEX)}):
        raise DamagedError("changed since it was written (its SHA-256 does not fit)")
    if not all(np.isfinite(values).all() for values in columns.values() if isinstance(values, np.ndarray)):
        raise DamagedError("it holds NaN or infinity")
    return columns
