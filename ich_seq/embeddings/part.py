"""One series' embeddings in one HDF5 file: complete or absent, and distrusted when read."""

import hashlib
import io
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np
from jaxtyping import Float16, Float32, Float64

from ich_seq.distrust import DamagedError, read_own
from ich_seq.errors import CacheError
from ich_seq.files import in_memory
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

_NAME = re.compile(r"[0-9a-f]{64}\.h5")
_MOST_BYTES = 1_000_000_000
_COLUMNS = ("embedding", "logits", "position_mm", "sop_instance_uid")
_ATTRIBUTES = ("identity", "series_instance_uid")


@dataclass(frozen=True)
class SeriesFeatures:
    """What stage one says of one series, feet to head.

    `embedding` is the pooled vector, `logits` are stage one's six, `position_mm` lies along the slice normal.
    """

    series_instance_uid: str
    sop_instance_uids: tuple[str, ...]
    position_mm: Float64[np.ndarray, " s"]
    embedding: Float16[np.ndarray, "s d"]
    logits: Float32[np.ndarray, "s l"]

    def __post_init__(self) -> None:
        if not all(np.isfinite(values).all() for values in (self.embedding, self.logits, self.position_mm)):
            raise ValueError(f"series {self.series_instance_uid}: embeddings, logits or positions are not finite")


def part_name(identity: str) -> str:
    """The file name of the part with this identity (64 hexadecimal digits).

    Raises:
        ValueError: `identity` is anything else; no identifier from a DICOM file ever becomes a path.
    """
    name = f"{identity}.h5"
    if not _NAME.fullmatch(name):
        raise ValueError(f"identity {identity!r}: not 64 hexadecimal digits")
    return name


def write_part(folder: Path, identity: str, features: SeriesFeatures) -> Path:
    """Writes one part whole or not at all and returns its path.

    Raises:
        OutputError: disk full, or the folder is not writable.
    """
    path = folder / part_name(identity)
    attributes = {"identity": identity, "series_instance_uid": features.series_instance_uid}
    with in_memory(path) as buffer, h5py.File(buffer, "w", libver="latest", track_order=True) as file:
        for name, text in attributes.items():
            write_attribute(file, name, text)
        write_attribute(file, DIGEST, digest_of(_columns(features), attributes))
        # One chunk of a whole scan, no filter: 0.46 ms a scan; gzip saves 35 % and takes three times as long. Each is flushed: where
        # it comes to lie would else depend on when its object is freed, which a watching thread (a Dask worker's) may put off.
        file.create_dataset("embedding", data=features.embedding, chunks=features.embedding.shape)
        file.flush()
        file.create_dataset("logits", data=features.logits)
        file.flush()
        file.create_dataset("position_mm", data=features.position_mm)
        file.flush()
        write_texts(file, "sop_instance_uid", features.sop_instance_uids)
    return path


def read_part(folder: Path, identity: str, sha256: str | None = None) -> SeriesFeatures:
    """The part with this identity; where `sha256` is given, these very bytes.

    Raises:
        CacheError: absent, damaged, of another identity, with links or external storage, of wrong shape, or not finite.
    """
    with _opened(folder / part_name(identity), identity, sha256) as file:
        return _read(file)


def series_uid_of_part(folder: Path, identity: str, sha256: str | None = None) -> str:
    """Which series the part with this identity is of; nothing else of it is looked at.

    Raises:
        CacheError: absent, damaged, or of another identity.
    """
    with _opened(folder / part_name(identity), identity, sha256) as file:
        return attribute(file, "series_instance_uid")


def is_whole(folder: Path, identity: str) -> bool:
    """Whether the part with this identity is there and can be used; one that was damaged is to be written again."""
    try:
        read_part(folder, identity)
    except CacheError:
        return False
    return True


@contextmanager
def _opened(path: Path, identity: str, sha256: str | None) -> Iterator[h5py.File]:
    """The file is read once: what its digest was taken of is what is looked at."""
    try:
        content = read_own(path, _MOST_BYTES)
        if sha256 is not None and hashlib.sha256(content).hexdigest() != sha256:
            raise DamagedError("it was changed: its SHA-256 is not the one in the index")
        with h5py.File(io.BytesIO(content), "r") as file:
            if attribute(file, "identity") != identity:
                raise DamagedError("its identity is not its name")
            yield file
    except FileNotFoundError as error:
        raise CacheError(
            f"{path}: this part of the embedding cache is missing; run `ichseq extract-features` again", path=path
        ) from error
    except UNUSABLE as error:
        raise CacheError(
            f"{path}: this part of the embedding cache cannot be used ({error}); remove the file and run "
            "`ichseq extract-features` again",
            path=path,
        ) from error


def _read(file: h5py.File) -> SeriesFeatures:
    check_members(file, _COLUMNS, (*_ATTRIBUTES, DIGEST))
    embedding = read_array(file, "embedding", np.float16, (None, None))
    slices = len(embedding)
    features = SeriesFeatures(
        series_instance_uid=attribute(file, "series_instance_uid"),
        sop_instance_uids=read_texts(file, "sop_instance_uid", slices),
        position_mm=read_array(file, "position_mm", np.float64, (slices,)),
        embedding=embedding,
        logits=read_array(file, "logits", np.float32, (slices, len(LABELS))),
    )
    attributes = {name: attribute(file, name) for name in _ATTRIBUTES}
    if attribute(file, DIGEST) != digest_of(_columns(features), attributes):
        raise DamagedError("changed since it was written (its SHA-256 does not fit)")
    return features


def _columns(features: SeriesFeatures) -> dict[str, np.ndarray | tuple[str, ...]]:
    return {
        "embedding": features.embedding,
        "logits": features.logits,
        "position_mm": features.position_mm,
        "sop_instance_uid": features.sop_instance_uids,
    }
