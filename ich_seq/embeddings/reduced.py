"""The whole cache after PCA in one small file: what stage two reads."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from jaxtyping import Float32, Float64

from ich_seq.embeddings.cache import EmbeddingCache
from ich_seq.embeddings.pca import Pca
from ich_seq.errors import CacheError, StaleCacheError
from ich_seq.files import reserved, sha256_of
from ich_seq.labels import LABELS

REDUCED_FILE = "reduced.h5"
_TEXT = h5py.string_dtype("utf-8")
_BYTES_BESIDE, _BYTES_ONCE = 256, 1 << 20
"""More than position and identifiers of a slice take, and what HDF5 keeps once: room that is asked for before the file is written."""
_BLOCK_ROWS = 32_768


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
    rows, path = cache.index.rows, cache.folder / REDUCED_FILE
    most = rows * (4 * (len(pca.components) + len(LABELS)) + _BYTES_BESIDE) + _BYTES_ONCE
    with reserved(path, most) as buffer, h5py.File(buffer, "w", libver="latest") as file:
        file.attrs["index_sha256"] = sha256_of(cache.folder / "index.json")
        reduced = file.create_dataset("reduced", (rows, len(pca.components)), np.float32)
        logits = file.create_dataset("logits", (rows, len(LABELS)), np.float32)
        position = file.create_dataset("position_mm", (rows,), np.float64)
        uids = file.create_dataset("sop_instance_uid", (rows,), _TEXT)
        series_uids = []
        for entry, features in zip(cache.index.parts, cache.series(), strict=True):
            here = slice(entry.first_row, entry.first_row + entry.rows)
            reduced[here] = pca.reduce(features.embedding)
            logits[here], position[here] = features.logits, features.position_mm
            uids[here] = list(features.sop_instance_uids)
            series_uids.append(features.series_instance_uid)
        file.create_dataset("series_instance_uid", data=series_uids, dtype=_TEXT)
    return path


def read_reduced(cache: EmbeddingCache) -> Iterator[ReducedSeries]:
    """Each series of the cache after PCA, in the order of the index.

    Raises:
        StaleCacheError: the file was made from another state of the cache.
        CacheError: it is absent or damaged.
    """
    path = cache.folder / REDUCED_FILE
    again = "run `ichseq extract-features` again"
    try:
        with h5py.File(path, "r") as file:
            if file.attrs["index_sha256"] != sha256_of(cache.folder / "index.json"):
                raise StaleCacheError(f"{path}: made before the cache was last written; {again}", path=path)
            yield from _blocks(file, cache)
    except StaleCacheError:
        raise
    except (OSError, KeyError, TypeError, ValueError, AttributeError) as error:
        raise CacheError(f"{path}: no usable PCA coordinates ({error}); {again}", path=path) from error


def _blocks(file: Any, cache: EmbeddingCache) -> Iterator[ReducedSeries]:
    """The series, read in blocks of whole series: one by one would take five reads each. Raises ValueError where rows are missing."""
    series_uids = file["series_instance_uid"].asstr()[:].tolist()
    lengths = {len(file[name]) for name in ("reduced", "logits", "position_mm", "sop_instance_uid")}
    if len(series_uids) != len(cache.index.parts) or lengths != {cache.index.rows}:
        raise ValueError("series or slices are missing")
    entries = list(zip(cache.index.parts, series_uids, strict=True))
    while entries:
        first = entries[0][0].first_row
        count = max(1, sum(entry.first_row + entry.rows - first <= _BLOCK_ROWS for entry, _ in entries))
        block, entries = entries[:count], entries[count:]
        rows = slice(first, block[-1][0].first_row + block[-1][0].rows)
        columns = {name: file[name][rows] for name in ("reduced", "logits", "position_mm")}
        if not all(np.isfinite(values).all() for values in columns.values()):
            raise ValueError("a row is not finite")
        uids = file["sop_instance_uid"].asstr()[rows].tolist()
        for entry, series_uid in block:
            here = slice(entry.first_row - first, entry.first_row - first + entry.rows)
            own = {name: values[here].copy() for name, values in columns.items()}
            yield ReducedSeries(series_uid, tuple(uids[here]), own["position_mm"], own["reduced"], own["logits"])
