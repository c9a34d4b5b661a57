"""The whole cache after PCA in one small file, in blocks of whole series: what stage two reads."""

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
from ich_seq.files import reserved, sha256_of
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
_BLOCK_ROWS = 4_096
_NAMES = ("reduced", "logits", "position_mm", "sop_instance_uid", "series_instance_uid")
_BYTES_BESIDE, _BYTES_ONCE = 128, 1 << 20
"""More than position and identifiers of a slice take, and what HDF5 keeps once: room that is asked for before the file is written."""
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

    Memory holds one block of `_BLOCK_ROWS` slices, or one series if that is longer.

    Raises:
        CacheError: a part is damaged.
        OutputError: disk full, or the folder is not writable.
    """
    path, index = cache.folder / REDUCED_FILE, sha256_of(cache.folder / "index.json")
    most = cache.index.rows * (4 * (len(pca.components) + len(LABELS)) + _BYTES_BESIDE) + _BYTES_ONCE
    with reserved(path, most) as buffer, h5py.File(buffer, "w", libver="latest") as file:
        write_attribute(file, _INDEX, index)
        for number, block in enumerate(_blocks(cache, pca)):
            columns = _columns_of(block)
            for name, values in columns.items():
                if isinstance(values, np.ndarray):
                    file.create_dataset(_of(name, number), data=values)
                else:
                    write_texts(file, _of(name, number), values)
            write_attribute(file, _of(DIGEST, number), _digest(columns, index, number))
    return path


def read_reduced(cache: EmbeddingCache) -> Iterator[ReducedSeries]:
    """Each series of the cache after PCA, in the order of the index; each block is verified before its first series comes.

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
            blocks = range(sum(str(name).startswith("reduced-") for name in file))
            names = [_of(name, number) for number in blocks for name in _NAMES]
            check_members(file, names, (_INDEX, *(_of(DIGEST, number) for number in blocks)))
            lengths = [entry.rows for entry in cache.index.parts]
            for number in blocks:
                columns = _read(file, number, lengths)
                yield from _series(columns, lengths)
                del lengths[: len(columns["series_instance_uid"])]
            if lengths:
                raise DamagedError(f"{len(lengths)} series are missing")
    except UNUSABLE as error:
        raise CacheError(f"{path}: no usable PCA coordinates ({error}); {again}", path=path) from error


def _of(name: str, block: int) -> str:
    return f"{name}-{block:05d}"


def _digest(columns: _Columns, index: str, block: int) -> str:
    return digest_of(columns, {_INDEX: index, "block": str(block)})


def _blocks(cache: EmbeddingCache, pca: Pca) -> Iterator[list[ReducedSeries]]:
    """Projected series, as many as a block holds."""
    block: list[ReducedSeries] = []
    rows = 0
    for features in cache.series():
        if block and rows + len(features.logits) > _BLOCK_ROWS:
            yield block
            block, rows = [], 0
        names = features.series_instance_uid, features.sop_instance_uids
        block.append(ReducedSeries(*names, features.position_mm, pca.reduce(features.embedding), features.logits))
        rows += len(features.logits)
    if block:
        yield block


def _columns_of(block: list[ReducedSeries]) -> _Columns:
    return {
        "reduced": np.concatenate([series.reduced for series in block]),
        "logits": np.concatenate([series.logits for series in block]),
        "position_mm": np.concatenate([series.position_mm for series in block]),
        "sop_instance_uid": tuple(uid for series in block for uid in series.sop_instance_uids),
        "series_instance_uid": tuple(series.series_instance_uid for series in block),
    }


def _read(file: h5py.File, block: int, lengths: list[int]) -> _Columns:
    """One block, whole; `lengths` are those of the series that are still to come. Raises DamagedError."""
    series = read_texts(file, _of("series_instance_uid", block))
    rows = sum(lengths[: len(series)])
    if not 0 < len(series) <= len(lengths):
        raise DamagedError(f"block {block} has {len(series)} series, and {len(lengths)} are left in the index")
    columns: _Columns = {
        "reduced": read_array(file, _of("reduced", block), np.float32, (rows, None)),
        "logits": read_array(file, _of("logits", block), np.float32, (rows, len(LABELS))),
        "position_mm": read_array(file, _of("position_mm", block), np.float64, (rows,)),
        "sop_instance_uid": read_texts(file, _of("sop_instance_uid", block), rows),
        "series_instance_uid": series,
    }
    if attribute(file, _of(DIGEST, block)) != _digest(columns, attribute(file, _INDEX), block):
        raise DamagedError("changed since it was written (its SHA-256 does not fit)")
    if not all(np.isfinite(values).all() for values in columns.values() if isinstance(values, np.ndarray)):
        raise DamagedError("it holds NaN or infinity")
    return columns


def _series(columns: _Columns, lengths: list[int]) -> Iterator[ReducedSeries]:
    """The series of one block, each with arrays of its own, so that none keeps the block."""
    reduced, logits, position = (np.asarray(columns[name]) for name in ("reduced", "logits", "position_mm"))
    first = 0
    for series_uid, rows in zip(columns["series_instance_uid"], lengths, strict=False):
        here = slice(first, first + rows)
        uids = tuple(columns["sop_instance_uid"][here])
        yield ReducedSeries(str(series_uid), uids, position[here].copy(), reduced[here].copy(), logits[here].copy())
        first += rows
