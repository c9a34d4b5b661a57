"""Tensors of our own on disk: safetensors files with their digest inside, distrusted when read. Nothing here needs torch."""

import hashlib
import math
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from ich_seq.distrust import SEAL, DamagedError, open_own, strict_object

_MOST_BYTES = 1 << 40
_MOST_HEADER = 10_000_000
_MOST_TENSORS = 100_000
_MOST_AXES = 8
_BYTES = {"F64": 8, "F32": 4, "F16": 2, "I64": 8, "I32": 4, "U8": 1, "BOOL": 1}


def tensors_digest(tensors: Mapping[str, np.ndarray]) -> str:
    """SHA-256 over names, types, shapes and numbers, as 64 hexadecimal digits; nothing of how they lie in a file counts."""
    digest = hashlib.sha256()
    for name, values in sorted(tensors.items()):
        digest.update(f"{name} {values.dtype.str} {values.shape}\n".encode())
        digest.update(np.asarray(values, order="C").data)
    return digest.hexdigest()


def save_tensors(tensors: Mapping[str, np.ndarray]) -> bytes:
    """The bytes of a safetensors file with its digest in the metadata."""
    from safetensors.numpy import save

    plain = {name: np.asarray(values, order="C") for name, values in tensors.items()}
    return save(plain, metadata={SEAL: tensors_digest(plain)})


def read_tensors(path: Path, *, must_be_sealed: bool = True) -> dict[str, np.ndarray]:
    """The tensors of a safetensors file: its header is looked at before anything is allocated, and every number is finite.

    Raises:
        FileNotFoundError: there is no such file.
        DamagedError: not a safetensors file, a header that lies, changed since it was written, NaN or infinity.
    """
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    with open_own(path, _MOST_BYTES) as file:
        metadata, _ = _checked_header(file)
    try:
        tensors = load_file(path)
    except (SafetensorError, OSError, ValueError, TypeError, KeyError) as error:
        raise DamagedError(f"not a safetensors file ({error})") from error
    seal = metadata.get(SEAL)
    if must_be_sealed and seal is None:
        raise DamagedError("it lacks its digest, as files of earlier versions do")
    if seal is not None and seal != tensors_digest(tensors):
        raise DamagedError("changed since it was written (its SHA-256 does not fit)")
    for name, values in tensors.items():
        if np.issubdtype(values.dtype, np.floating) and not np.isfinite(values).all():
            raise DamagedError(f"{name} holds NaN or infinity")
    return tensors


def tensor_shapes(path: Path) -> dict[str, tuple[int, ...]]:
    """The shape of each tensor of a safetensors file, from its header alone.

    Raises:
        FileNotFoundError: there is no such file.
        DamagedError: not a safetensors file, or a header that lies.
    """
    with open_own(path, _MOST_BYTES) as file:
        return _checked_header(file)[1]


def _checked_header(file: BinaryIO) -> tuple[dict[str, Any], dict[str, tuple[int, ...]]]:
    """The metadata and the shapes of a safetensors file whose tensors fill it exactly, one after another.

    Source: the safetensors format, huggingface.co/docs/safetensors (eight bytes of length, a JSON header, the numbers).
    """
    size = os.fstat(file.fileno()).st_size
    length = int.from_bytes(file.read(8), "little")
    if size < 8 or length > min(size - 8, _MOST_HEADER):
        raise DamagedError(f"not a safetensors file (a header of {length:,} bytes in a file of {size:,})")
    header = strict_object(file.read(length).rstrip(b" "))
    metadata = header.pop("__metadata__", {})
    if not isinstance(metadata, dict) or len(header) > _MOST_TENSORS:
        raise DamagedError("not a safetensors file of ours (its metadata, or too many tensors)")
    end = 0
    spans = sorted((_span(name, entry), name) for name, entry in header.items())
    for (start, stop), name in spans:
        if start != end:
            raise DamagedError(f"not a safetensors file ({name} does not begin where the tensor before it ends)")
        end = stop
    if end != size - 8 - length:
        raise DamagedError(f"not a safetensors file (its tensors are {end:,} bytes, not {size - 8 - length:,})")
    return metadata, {name: tuple(entry["shape"]) for name, entry in header.items()}


def _span(name: str, entry: Any) -> tuple[int, int]:
    """Where a tensor's bytes begin and end; its type and shape take exactly so many."""
    if not isinstance(entry, dict) or entry.keys() != {"dtype", "shape", "data_offsets"}:
        raise DamagedError(f"not a safetensors file ({name} is not described as a tensor)")
    shape, offsets, kind = entry["shape"], entry["data_offsets"], entry["dtype"]
    if not _are_counts(shape, _MOST_AXES) or not _are_counts(offsets, 2) or len(offsets) != 2:
        raise DamagedError(f"not a safetensors file ({name} has no shape, or no place)")
    if not isinstance(kind, str) or kind not in _BYTES:
        raise DamagedError(f"{name} is of type {kind!r}, which no file of ours has")
    if offsets[1] - offsets[0] != math.prod(shape) * _BYTES[kind]:
        raise DamagedError(f"not a safetensors file ({name} has another size than its shape)")
    return offsets[0], offsets[1]


def _are_counts(numbers: Any, most: int) -> bool:
    return isinstance(numbers, list) and len(numbers) <= most and all(type(n) is int and n >= 0 for n in numbers)
