"""HDF5 files of our own: whole arrays and texts of a fixed length under one digest, distrusted when read.

Nothing in such a file can point elsewhere (links, external storage, virtual sets), grow while it is read (filters, space that was
never written), or be of a type that stands for Python objects. No text has a variable length: those lie in HDF5's heap, which has no
checksum, and in which a single flipped bit made libhdf5 2.0 loop for ever.
"""

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

import h5py
import numpy as np

from ich_seq.distrust import DamagedError

DIGEST = "sha256"
"""The attribute that holds the digest of all data sets and the other attributes."""
UNUSABLE = (OSError, KeyError, ValueError, TypeError, AttributeError, RuntimeError, OverflowError, MemoryError)
"""What h5py raises of a file that is none, or damaged."""

_LONGEST_TEXT = 65_536


def digest_of(columns: Mapping[str, np.ndarray | Sequence[str]], attributes: Mapping[str, str]) -> str:
    """SHA-256 over names, types, shapes and values; nothing of how they lie in the file counts."""
    digest = hashlib.sha256()
    for name, value in sorted(attributes.items()):
        digest.update(f"{name} {len(value)} {value}\n".encode())
    for name, values in sorted(columns.items()):
        if isinstance(values, np.ndarray):
            digest.update(f"{name} {values.dtype.str} {values.shape}\n".encode())
            digest.update(np.ascontiguousarray(values).data)
        else:
            digest.update(f"{name} text {len(values)} {[len(value) for value in values]}\n".encode())
            digest.update("".join(values).encode())
    return digest.hexdigest()


def write_texts(file: h5py.File, name: str, texts: Sequence[str]) -> None:
    """A column of texts in UTF-8, each in as many bytes as the longest takes: what has no length of its own cannot lie about it."""
    encoded = [text.encode() for text in texts]
    longest = max([1, *map(len, encoded)])
    file.create_dataset(name, data=np.array(encoded, h5py.string_dtype("utf-8", longest)))


def write_attribute(file: h5py.File, name: str, text: str) -> None:
    """A text among the attributes, of a fixed length."""
    encoded = text.encode()
    file.attrs.create(name, np.array(encoded, h5py.string_dtype("utf-8", max(1, len(encoded)))))


def read_texts(file: h5py.File, name: str, count: int | None = None) -> tuple[str, ...]:
    """A column of texts; `count` of them where it is given.

    Raises:
        DamagedError: it is none, is stored elsewhere, or has another length.
    """
    dataset = _own(file, name)
    kind = h5py.check_string_dtype(dataset.dtype)
    if kind is None or kind.length is None or kind.length > _LONGEST_TEXT:
        raise DamagedError(f"{name} is not a column of texts of one length")
    _check_place(dataset, name, (count,))
    return tuple(text.decode("utf-8") for text in dataset[:].tolist())


def read_array(file: h5py.File, name: str, dtype: Any, shape: tuple[int | None, ...]) -> np.ndarray:
    """A whole array of this type and shape (None: any extent).

    Raises:
        DamagedError: another type or shape, stored elsewhere, or not stored at all.
    """
    dataset = _own(file, name)
    if dataset.dtype != np.dtype(dtype) or dataset.dtype.metadata is not None:
        raise DamagedError(f"{name} is {dataset.dtype}, not {np.dtype(dtype)}")
    _check_place(dataset, name, shape)
    return dataset[...]


def own_chunked(file: h5py.File, name: str) -> h5py.Dataset:
    """A data set of this very file, which its reader checks further.

    Raises:
        DamagedError: a link, or stored elsewhere.
    """
    return _own(file, name)


def attribute(file: h5py.File, name: str) -> str:
    """A text among the attributes.

    Raises:
        DamagedError: there is none, or it is no single text.
    """
    if name not in file.attrs:
        raise DamagedError(f"it lacks its {name}")
    kept = file.attrs.get_id(name)
    kind = h5py.check_string_dtype(kept.dtype)
    if kept.shape != () or kind is None or kind.length is None:
        raise DamagedError(f"its {name} is no text of one length")
    return np.asarray(file.attrs[name]).item().decode("utf-8")


def check_members(file: h5py.File, names: Sequence[str], attributes: Sequence[str]) -> None:
    """Nothing beside what a file of its kind holds.

    Raises:
        DamagedError: members or attributes are missing, or unknown.
    """
    for found, wanted, what in ((set(file), set(names), "data sets"), (set(file.attrs), set(attributes), "attributes")):
        if missing := wanted - found:
            raise DamagedError(f"it lacks {what}: {', '.join(sorted(missing))}")
        if unknown := found - wanted:
            raise DamagedError(f"it holds unknown {what}: {', '.join(sorted(unknown)[:3])!r}")


def _own(file: h5py.File, name: str) -> h5py.Dataset:
    if not isinstance(file.get(name, getlink=True), h5py.HardLink):
        raise DamagedError(f"{name} is a link, or absent")
    dataset = file[name]
    if not isinstance(dataset, h5py.Dataset) or dataset.external or dataset.is_virtual:
        raise DamagedError(f"{name} is not stored in this file")
    return dataset


def _check_place(dataset: h5py.Dataset, name: str, shape: tuple[int | None, ...]) -> None:
    """The shape is the one wanted, and every byte of it lies in the file as it is: nothing inflates, nothing is made up."""
    fits = len(dataset.shape) == len(shape) and all(
        wanted in (None, found) for wanted, found in zip(shape, dataset.shape, strict=True)
    )
    if not fits:
        raise DamagedError(f"{name} has shape {dataset.shape}, not {tuple('any' if n is None else n for n in shape)}")
    if dataset.id.get_create_plist().get_nfilters() or dataset.id.get_storage_size() != dataset.nbytes:
        raise DamagedError(f"{name} declares {dataset.nbytes:,} bytes and stores {dataset.id.get_storage_size():,}")
