"""What an independent reader makes of a file: pydicom's own parse of the bytes, by the standard's words.

Nothing here comes from the code under test. What pydicom cannot read, or reads by a VR that the standard does not give that
element, is UNREAD: there the file as it was before it was changed says what is right.
"""

import io
import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

import numpy as np
import pydicom
from pydicom.datadict import dictionary_VR, tag_for_keyword
from pydicom.dataset import Dataset

UNREAD: Any = type("Unread", (), {"__repr__": lambda _: "UNREAD"})()
_GROUPS = {
    "ImagePositionPatient": "PlanePositionSequence",
    "ImageOrientationPatient": "PlaneOrientationSequence",
    "PixelSpacing": "PixelMeasuresSequence",
    "RescaleSlope": "PixelValueTransformationSequence",
    "RescaleIntercept": "PixelValueTransformationSequence",
    "RescaleType": "PixelValueTransformationSequence",
}
_LAYOUT = ("Rows", "Columns", "BitsAllocated", "BitsStored", "HighBit", "PixelRepresentation")
_SINGLE_FRAME = "1.2.840.10008.5.1.4.1.1.2"
_NATIVE = ("1.2.840.10008.1.2", "1.2.840.10008.1.2.1", "1.2.840.10008.1.2.2", "1.2.840.10008.1.2.1.99")


@dataclass(frozen=True)
class Facts:
    """One frame: each field is what the file says, None where it says nothing, or UNREAD."""

    stored: Any
    layout: Any
    padding: Any
    position: Any
    orientation: Any
    spacing: Any
    slope: Any
    intercept: Any
    rescale_type: Any
    identity: Any
    patient: Any
    kind: Any

    def or_else(self, before: "Facts") -> "Facts":
        """These facts, with those of the file before it was changed where this one could not be read."""
        fields = {name: getattr(before, name) for name in self.__dataclass_fields__ if getattr(self, name) is UNREAD}
        return replace(self, **fields)


UNKNOWN = Facts(None, (UNREAD,) * 6, (UNREAD,) * 2, *[UNREAD] * 6, (UNREAD,) * 3, (UNREAD,) * 3, (UNREAD,) * 5)
"""Of a frame of which nothing is known."""


@dataclass(frozen=True)
class Known:
    """The pixels of a file before it was changed: layout, transfer syntax, and the stored values of its frames."""

    layout: Any
    syntax: str
    stored: tuple[np.ndarray, ...]


def facts_of(raw: bytes, known: Known | None = None, kept: bool = False) -> list[Facts] | None:
    """The frames of a file; None where pydicom cannot read it at all.

    Compressed pixels are those that are `known` where they were `kept`; where they were changed nobody can say what they are, and
    `stored` is None.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            dataset = pydicom.dcmread(io.BytesIO(raw), force=True)
            if not len(dataset):  # it met an end that came too early, and forgot the rest
                dataset = pydicom.dcmread(io.BytesIO(raw), force=True, stop_before_pixels=True)
            return None if _given_up(dataset) else _frames(dataset, known, kept)
    except Exception:  # noqa: BLE001  # whatever pydicom raises, it cannot read the file
        return None


def _given_up(dataset: Dataset) -> bool:
    """Whether pydicom lost its way: it found nothing of the image, or guessed from an odd first element an encoding nobody states."""
    syntax = dataset.file_meta.get("TransferSyntaxUID")
    implicit, little = dataset.original_encoding
    guessed = bool(implicit) != (syntax == _NATIVE[0]) if syntax else little is False
    return guessed or all(dataset.get_item(tag) is None for tag in (0x00280010, 0x00280011, 0x00280100))


def known_of(raw: bytes, stored: Sequence[np.ndarray]) -> Known:
    """What is known of a good file whose stored values are known from its making."""
    dataset = pydicom.dcmread(io.BytesIO(raw), force=True)
    layout = tuple(value(dataset, keyword) for keyword in _LAYOUT)
    return Known(layout, str(dataset.file_meta.get("TransferSyntaxUID", "")), tuple(stored))


def pixels_of(raw: bytes) -> list[np.ndarray]:
    """The stored values of a good file, decoded by pydicom; none where it cannot."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            pixels = pydicom.dcmread(io.BytesIO(raw), force=True).pixel_array.astype(np.int64)
    except Exception:  # noqa: BLE001
        return []
    return list(pixels.reshape(-1, *pixels.shape[-2:]))


def _frames(dataset: Dataset, known: Known | None, kept: bool) -> list[Facts]:
    frames = value(dataset, "NumberOfFrames")
    count = 1 if frames in (None, UNREAD) else max(1, min(int(frames), 64))
    per_frame = dataset.get("PerFrameFunctionalGroupsSequence") or []
    shared = (dataset.get("SharedFunctionalGroupsSequence") or [None])[0]
    if not per_frame and _text(dataset, "SOPClassUID") == _SINGLE_FRAME:
        shared = None  # of this class no functional group is a part: PS3.3 A.3
    own: list[Any] = list(per_frame)[:64] or [None] * count
    layout = tuple(value(dataset, keyword) for keyword in _LAYOUT)
    stored = _stored(dataset, layout, max(count, len(own)), known, kept)
    return [_frame(dataset, (stored[index], layout), group, shared) for index, group in enumerate(own)]


def _frame(dataset: Dataset, pixels: tuple[Any, Any], own: Any, shared: Any) -> Facts:
    def said(keyword: str) -> Any:
        for holder in (own, shared):
            items = holder.get(_GROUPS[keyword]) if holder is not None else None
            if items and value(items[0], keyword) is not None:
                return value(items[0], keyword)
        return value(dataset, keyword)

    return Facts(
        stored=pixels[0],
        layout=pixels[1],
        padding=(value(dataset, "PixelPaddingValue"), value(dataset, "PixelPaddingRangeLimit")),
        position=_numbers(said("ImagePositionPatient")),
        orientation=_numbers(said("ImageOrientationPatient")),
        spacing=_numbers(said("PixelSpacing")),
        slope=_numbers(said("RescaleSlope")),
        intercept=_numbers(said("RescaleIntercept")),
        rescale_type=said("RescaleType"),
        identity=tuple(
            _text(dataset, keyword) for keyword in ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID")
        ),
        patient=tuple(_bytes(dataset, keyword) for keyword in ("PatientID", "PatientName", "PatientBirthDate")),
        kind=tuple(
            _text(dataset, keyword)
            for keyword in ("SOPClassUID", "Modality", "PhotometricInterpretation", "SamplesPerPixel", "ImageType")
        ),
    )


@cache
def _tag_and_vrs(keyword: str) -> tuple[int, frozenset[str | None]]:
    """The element's tag, and the VRs that it may have: the standard's, UN, or none where VRs are implicit."""
    tag = tag_for_keyword(keyword) or 0
    return tag, frozenset((None, "UN", *dictionary_VR(tag).split(" or ")))


def value(dataset: Dataset, keyword: str) -> Any:
    """The value of one element; None where absent or empty, UNREAD where pydicom cannot read it or its VR is another."""
    tag, vrs = _tag_and_vrs(keyword)
    raw = dataset.get_item(tag)
    if raw is None:
        return None
    if raw.VR not in vrs:
        return UNREAD
    try:
        found = dataset[tag].value
    except Exception:  # noqa: BLE001
        return UNREAD
    return None if found is None or (hasattr(found, "__len__") and len(found) == 0) else found


def _numbers(found: Any) -> Any:
    """A decimal or several as a tuple of floats."""
    if found is None or found is UNREAD:
        return found
    parts = list(found) if hasattr(found, "__iter__") and not isinstance(found, str | bytes) else [found]
    try:
        return tuple(float(part) for part in parts)
    except (TypeError, ValueError, OverflowError):
        return UNREAD


def _text(dataset: Dataset, keyword: str) -> Any:
    found = value(dataset, keyword)
    return found if found in (None, UNREAD) else str(found).strip(" \0")


def _bytes(dataset: Dataset, keyword: str) -> Any:
    """The bytes of a text, for telling two patients apart without decoding."""
    raw = dataset.get_item(_tag_and_vrs(keyword)[0])
    found = b"" if raw is None or raw.value is None else raw.value
    return found.strip(b" \0") if isinstance(found, bytes) else UNREAD


def _stored(dataset: Dataset, layout: Any, frames: int, known: Known | None, kept: bool) -> Sequence[Any]:
    """The stored values of each frame, with BitsStored and PixelRepresentation applied. Source: PS3.5 section 8.1.1."""
    syntax = str(dataset.file_meta.get("TransferSyntaxUID") or "")
    try:
        wrapped = not syntax and dataset["PixelData"].is_undefined_length  # compressed, and nobody says how
        if (syntax and syntax not in _NATIVE) or wrapped:
            if known is None or not kept:
                return [None] * frames
            if (layout, syntax, frames) == (known.layout, known.syntax, len(known.stored)):
                return known.stored
            return list(dataset.pixel_array.reshape(frames, *layout[:2]).astype(np.int64))
        return list(_native(dataset.PixelData, layout, frames, dataset.original_encoding[1] is False))
    except Exception:  # noqa: BLE001
        return [UNREAD] * frames


def _native(pixels: bytes, layout: tuple[Any, ...], frames: int, big: bool) -> np.ndarray:
    """Uncompressed pixels as (frame, row, column)."""
    rows, columns, allocated, bits, _, signed = layout
    if signed not in (0, 1):
        raise ValueError("the sign is not stated")
    kind = np.dtype(f"{'>' if big else '<'}u{allocated // 8}")
    wide = np.frombuffer(pixels, kind, count=frames * rows * columns).astype(np.int64) & ((1 << bits) - 1)
    if signed:
        wide = np.where(wide >= 1 << (bits - 1), wide - (1 << bits), wide)
    return wide.reshape(frames, rows, columns)


def hu_of(facts: Facts) -> np.ndarray | None:
    """Stored value x slope + intercept; None where the file does not say it."""
    numbers = (facts.slope, facts.intercept)
    if (
        facts.stored is UNREAD
        or facts.stored is None
        or any(n is None or n is UNREAD or len(n) != 1 or not math.isfinite(n[0]) for n in numbers)
    ):
        return None
    return (facts.stored * facts.slope[0] + facts.intercept[0]).astype(np.float32)
