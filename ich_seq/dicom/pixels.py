"""Stored values of one slice to HU."""

import struct
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Float32, Integer

from ich_seq.dicom.checks import Rescale, check_pixels, rescale_of
from ich_seq.dicom.codes import Code
from ich_seq.dicom.elements import UNDEFINED_LENGTH, FileFaultError, open_body
from ich_seq.dicom.header import SliceHeader, file_error, parse_header
from ich_seq.dicom.layout import PixelLayout
from ich_seq.dicom.modality_lut import ModalityLut
from ich_seq.dicom.sources import FileSource
from ich_seq.dicom.streams import decode_frame
from ich_seq.dicom.syntaxes import TRANSFER_SYNTAXES

AIR_HU = -1024.0
"""What padding is read as: the lowest HU of a 12-bit CT image."""
_WRAPPED_AIR = 2800
_LOWEST_WRAPPED_HU = -1024
_LOSSY_PADDING_HU = -1100.0
_LARGEST_TISSUE_HU = 3071.0
_LARGEST_AIR_HU = -1000.0
_CUT_OFF = 0.2


@dataclass(frozen=True, slots=True)
class DecodedSlice:
    """One slice in HU as it lies in the file, with the number of padding pixels and what else was noticed."""

    hu: Float32[np.ndarray, "y x"]
    padding_pixels: int
    notes: tuple[Code, ...]


def read_slice_hu(path: Path) -> Float32[np.ndarray, "y x"]:
    """One single-frame CT file in HU, padding read as -1024; the orientation is the file's own.

    Raises:
        PixelsUnreadableError: the file is no CT slice, is truncated, or cannot be decoded; names the file and the rule.

    Source: DICOM PS3.3 C.11.1.1.2 (rescale), C.7.5.1.1.2 (padding).
    """
    try:
        header = parse_header(FileSource(path, path.name, follow=True))
        return decode_slice(header).hu
    except FileFaultError as fault:
        raise file_error(path.name, fault) from fault


def decode_slice(header: SliceHeader) -> DecodedSlice:
    """The slice that a header describes, in HU.

    Raises:
        FileFaultError: by `check_pixels`, no rescale, an undecodable stream. HU are always finite: the rescale is
        bounded. ArchiveError: the zip around it is damaged.
    """
    check_pixels(header)
    rescale = rescale_of(header)
    if rescale is None:
        raise FileFaultError(Code.D_NO_RESCALE)
    stored, masked = stored_values(header)
    _refuse_zeroed_end(stored)
    decoded = hu_of_stored(stored, header.pixels, rescale)
    noticed = {Code.N_HIGH_BITS: masked, Code.N_SHIFTED_BITS: header.pixels.shift > 0}
    return replace(decoded, notes=(*(code for code, holds in noticed.items() if holds), *decoded.notes))


def _refuse_zeroed_end(stored: Integer[np.ndarray, "y x"]) -> None:
    """Nothing where an image ends as images do.

    A copy that was cut short, into a file that had its length already, leaves zeros from the middle of a row on, under one that goes
    on. Padding, or a background that was taken away, begins where what is in the image tapers off.

    Raises:
        FileFaultError: D-TRUNCATED.
    """
    if stored[-1].any() or not stored.any():
        return
    last = int(np.flatnonzero(stored.any(axis=1))[-1])
    end = int(np.flatnonzero(stored[last])[-1])
    if last and np.count_nonzero(stored[last - 1, end + 1 :]) >= _CUT_OFF * stored.shape[1]:
        raise FileFaultError(Code.D_TRUNCATED, f"nothing but zeros from row {last + 1} of {len(stored)} on")


def hu_of_stored(
    stored: Integer[np.ndarray, "y x"], layout: PixelLayout, rescale: Rescale | ModalityLut
) -> DecodedSlice:
    """Stored values of one slice in HU.

    HU = stored value x slope + intercept, exact wherever both are integers. Values that PixelPaddingValue (to
    PixelPaddingRangeLimit) names are padding, and so is what lies at or below a value below -1024 HU that fills
    corners: both become -1024 HU.
    """
    wrapped = _is_wrapped(stored, layout, rescale)
    hu = _unwrapped_hu(stored) if wrapped else to_hu(stored, rescale)
    padding, misplaced = _padding(stored, hu, layout, rescale)
    count = 0 if padding is None else int(np.count_nonzero(padding))
    if padding is not None and count:
        np.putmask(hu, padding, AIR_HU)
    noticed = {
        Code.N_MODALITY_LUT: isinstance(rescale, ModalityLut),
        Code.W_PADDING_VALUE: misplaced,
        Code.W_WRAPPED_12BIT: wrapped,
        Code.W_EMPTY_SLICE: bool((hu == hu[0, 0]).all()),
    }
    return DecodedSlice(hu, count, tuple(code for code, holds in noticed.items() if holds))


def to_hu(stored: Integer[np.ndarray, "y x"], rescale: Rescale | ModalityLut) -> Float32[np.ndarray, "y x"]:
    """Stored values x slope + intercept, rounded once to float32; or what the table says."""
    if isinstance(rescale, ModalityLut):
        return rescale.to_hu(stored)
    if rescale.slope == 1.0 and rescale.intercept.is_integer():
        hu = stored.astype(np.float32)
        hu += np.float32(rescale.intercept)
        return hu
    return (stored.astype(np.float64) * rescale.slope + rescale.intercept).astype(np.float32)


def _is_wrapped(stored: Integer[np.ndarray, "y x"], layout: PixelLayout, rescale: Rescale | ModalityLut) -> bool:
    """Whether air lies near 3096 instead of -1000.

    That is: 12 unsigned bits, no intercept, and a border that is mostly above 2800. The header alone is not believed:
    a correct file may have it too. Seen in RSNA 2019's training set.
    """
    if isinstance(rescale, ModalityLut) or layout.bits_stored != 12 or layout.pixel_representation:
        return False
    if rescale.slope != 1 or rescale.intercept <= -100:
        return False
    border = np.concatenate([stored[0], stored[-1], stored[:, 0], stored[:, -1]])
    return int(np.bincount(border).argmax()) > _WRAPPED_AIR


def _unwrapped_hu(stored: Integer[np.ndarray, "y x"]) -> Float32[np.ndarray, "y x"]:
    """(stored + 1024) modulo 4096 - 1024: 3096 becomes -1000, 3072 becomes -1024 and water stays 0.

    The usual recipe has 1000 for 1024, which leaves the lower half of noisy air at 3072 to 3095 HU.
    """
    return ((stored.astype(np.int32) - _LOWEST_WRAPPED_HU) % 4096 + _LOWEST_WRAPPED_HU).astype(np.float32)


def pixel_bytes(header: SliceHeader) -> bytes:
    """The bytes of the pixel data: of the frame where native, from the offset table to the end where encapsulated.

    Raises:
        FileFaultError: the file cannot be opened any more, or has become shorter.
        ArchiveError: the zip around it is damaged.
    """
    layout = header.pixels
    native = TRANSFER_SYNTAXES[layout.transfer_syntax_uid].native
    offset = layout.offset + (layout.frame * layout.frame_bytes if native else 0)
    length = layout.frame_bytes if native else min(layout.length, layout.end - layout.offset)
    try:
        if layout.deflated:
            raw = _inflated(header, offset, length)
        else:
            raw = header.source.read_at(offset, length)
    except OSError as error:
        raise FileFaultError(Code.D_UNREADABLE, f"cannot be opened: {error.strerror or 'input error'}") from error
    if len(raw) < length:
        raise FileFaultError(Code.D_TRUNCATED, f"{len(raw)} of {length} bytes")
    return raw


def _inflated(header: SliceHeader, offset: int, length: int) -> bytes:
    with open_body(header.source).stream as stream:
        stream.seek(offset)
        return stream.read(length)


def stored_values(header: SliceHeader) -> tuple[Integer[np.ndarray, "y x"], bool]:
    """Stored values with the sign that PixelRepresentation gives them, and whether bits above BitsStored had to be masked."""
    layout = header.pixels
    raw = pixel_bytes(header)
    if TRANSFER_SYNTAXES[layout.transfer_syntax_uid].native:
        kind = ("i" if layout.pixel_representation else "u") + str(layout.bits_allocated // 8)
        order = "<" if layout.little_endian else ">"
        stored = np.frombuffer(raw, dtype=np.dtype(order + kind)).reshape(layout.rows, layout.columns)
    else:
        bare = layout.length != UNDEFINED_LENGTH
        stored = decode_frame(_encapsulated(raw) if bare else raw, layout)
    return _within_bits(stored, layout)


def _encapsulated(stream: bytes) -> bytes:
    """A bare stream as the one fragment of encapsulated pixel data, its offset table empty. Source: DICOM PS3.5 annex A.4."""
    item, end = b"\xfe\xff\x00\xe0", b"\xfe\xff\xdd\xe0" + bytes(4)
    padded = stream + bytes(len(stream) % 2)
    return item + bytes(4) + item + struct.pack("<I", len(padded)) + padded + end


def _within_bits(stored: Integer[np.ndarray, "y x"], layout: PixelLayout) -> tuple[Integer[np.ndarray, "y x"], bool]:
    """Values as HighBit, BitsStored and PixelRepresentation say; bits beside them are dropped, and whether there were any.

    Raises:
        FileFaultError: D-BITS, the bits above belong to the values: without them the image is rougher, where overlays and garbage
            make it smoother. Then the header lies, and dense bone would be read as air.

    Source: DICOM PS3.5 section 8.1.1.
    """
    bits = layout.bits_stored
    if layout.shift:
        cells = stored.astype(np.int32) & ((1 << layout.bits_allocated) - 1)
        values = cells >> layout.shift & ((1 << bits) - 1)
        beside = bool((values << layout.shift != cells).any())
        if layout.pixel_representation:
            values = np.where(values >> bits - 1 == 1, values - (1 << bits), values)
        return values.astype(np.int32), beside
    low, high = (-(1 << bits - 1), (1 << bits - 1) - 1) if layout.pixel_representation else (0, (1 << bits) - 1)
    if bits == layout.bits_allocated or (int(stored.min()) >= low and int(stored.max()) <= high):
        return stored, False
    wide = stored.astype(np.int32) & ((1 << bits) - 1)
    if layout.pixel_representation:
        wide = np.where(wide > high, wide - (1 << bits), wide)
    if _roughness(stored) < _roughness(wide):
        raise FileFaultError(Code.D_BITS, f"values that need more than {bits} {'' if low else 'un'}signed bits")
    return wide.astype(np.int32), True


def _roughness(values: Integer[np.ndarray, "y x"]) -> int:
    """The sum of the steps from each pixel to the next in its row."""
    return int(np.abs(np.diff(values.astype(np.int64), axis=1)).sum())


def _padding(
    stored: Integer[np.ndarray, "y x"],
    hu: Float32[np.ndarray, "y x"],
    layout: PixelLayout,
    rescale: Rescale | ModalityLut,
) -> tuple[Bool[np.ndarray, "y x"] | None, bool]:
    """Where the slice is padding, and whether a declared padding value had to be ignored because tissue has it too."""
    mask: Bool[np.ndarray, "y x"] | None = None
    misplaced = False
    value, limit = layout.pixel_padding_value, layout.pixel_padding_range_limit
    if value is not None:
        first, last = sorted((value, value if limit is None else limit))
        if isinstance(rescale, ModalityLut):
            lowest, highest = rescale.to_hu(np.array([[first, last]]))[0].tolist()
        else:
            lowest, highest = (edge * rescale.slope + rescale.intercept for edge in (first, last))
        if highest <= _LARGEST_AIR_HU or lowest >= _LARGEST_TISSUE_HU:
            mask = stored == first if first == last else (stored >= first) & (stored <= last)
        else:
            misplaced = bool(((stored >= first) & (stored <= last)).any())
    below = undeclared_padding_hu(hu, TRANSFER_SYNTAXES[layout.transfer_syntax_uid].lossy)
    if below is not None:
        undeclared = hu <= np.float32(below)
        mask = undeclared if mask is None else mask | undeclared
    return mask, misplaced


def undeclared_padding_hu(hu: Float32[np.ndarray, "y x"], lossy: bool) -> float | None:
    """Down from which HU a slice is padding by the look of its corners; None where they hold image.

    Padding is one value below -1024 HU in two corners or more; one noisy corner does not count. Compressed with loss
    it is a band of values: there two corners well below -1024 HU make everything below -1024 HU padding.
    """
    corners = sorted(float(hu[y, x]) for y in (0, -1) for x in (0, -1))
    if lossy:
        below_air = float(np.nextafter(np.float32(AIR_HU), np.float32(-np.inf)))
        return below_air if corners[1] < _LOSSY_PADDING_HU else None
    twice = [a for a, b in pairwise(corners) if a == b and a < AIR_HU]
    return max(twice, default=None)
