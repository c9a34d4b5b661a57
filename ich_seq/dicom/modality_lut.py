"""HU by table: the Modality LUT that a file has instead of a rescale slope and intercept."""

from dataclasses import dataclass, field
from typing import Any, BinaryIO, cast

import numpy as np
from jaxtyping import Float32, Integer

from ich_seq.dicom.elements import file_boundary
from ich_seq.dicom.sources import Source

MODALITY_LUT = 0x00283000
_DESCRIPTOR, _TYPE, _DATA = 0x00283002, 0x00283004, 0x00283006
_MOST_ENTRIES = 1 << 16


@dataclass(frozen=True, slots=True)
class ModalityLut:
    """HU of the stored values from `first` on, int16; those outside are read as its ends. `type` is what it says its output is.

    A table without entries is one that could not be read: `rescale_of` refuses it.
    """

    first: int
    type: str
    entries: bytes = field(repr=False)

    def to_hu(self, stored: Integer[np.ndarray, "y x"]) -> Float32[np.ndarray, "y x"]:
        """HU of stored values."""
        table = np.frombuffer(self.entries, np.int16).astype(np.float32)
        return table[np.clip(stored.astype(np.int32) - self.first, 0, len(table) - 1)]


def read_modality_lut(source: Source) -> ModalityLut:
    """The table of one file.

    Entries are unsigned by the standard, which leaves no way to write air; as HU above 32767 do not occur, larger ones are taken for
    negative numbers in two's complement, as files in the wild have them.

    Raises:
        FileFaultError, ArchiveError: the file cannot be parsed.

    Source: DICOM PS3.3 C.11.1.1 (descriptor: entries, with 0 for 65536; first stored value; bits of an entry).
    """
    import pydicom

    with file_boundary("Modality LUT"), source.open() as stream:
        dataset = pydicom.dcmread(cast(BinaryIO, stream), stop_before_pixels=True, force=True)
        items = dataset.get(MODALITY_LUT)
        item = items.value[0] if items is not None and items.value else {}
        descriptor, data, kind = (item[tag].value if tag in item else None for tag in (_DESCRIPTOR, _DATA, _TYPE))
        little = dataset.original_encoding[1] is not False
        name = str(kind or "").strip().upper()
        if isinstance(descriptor, bytes):  # of ambiguous VR: its sign hangs on PixelRepresentation
            descriptor = np.frombuffer(descriptor, "<u2" if little else ">u2").tolist()
        if descriptor is None or data is None or len(descriptor) != 3:
            return ModalityLut(0, name, b"")
        count, first, bits = (int(value) for value in descriptor)
        signed_first = first - (1 << 16) if dataset.get("PixelRepresentation") == 1 and first >= 1 << 15 else first
        return ModalityLut(signed_first, name, _entries(data, count % _MOST_ENTRIES or _MOST_ENTRIES, bits, little))


def _entries(data: Any, count: int, bits: int, little: bool) -> bytes:
    """The first `count` entries as int16; none where there are fewer, or their width is neither 8 nor 16 bits."""
    if not isinstance(data, bytes):
        values = np.atleast_1d(np.asarray(data, np.int64))
    elif bits == 8 and len(data) < 2 * count:
        values = np.frombuffer(data, np.uint8)
    else:
        values = np.frombuffer(data[: len(data) // 2 * 2], "<u2" if little else ">u2")
    if bits not in (8, 16) or len(values) < count:
        return b""
    return (values[:count].astype(np.int64) & 0xFFFF).astype(np.uint16).tobytes()
