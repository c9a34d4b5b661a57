"""A file's header as a list to read, without what could name a person."""

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, cast

from pydicom import Dataset
from pydicom.datadict import keyword_for_tag
from pydicom.dataelem import DataElement, RawDataElement
from pydicom.filereader import data_element_generator

from ich_seq.dicom.elements import FileFaultError, file_boundary, number_of, open_body, read_elements
from ich_seq.dicom.header import file_error, is_valid_uid
from ich_seq.dicom.limits import LIMITS
from ich_seq.dicom.sources import FileSource
from ich_seq.dicom.walk import PIXEL_GROUP

HIDDEN = "(not shown)"
_SHOWN_GROUPS = frozenset({0x0008, 0x0018, 0x0020, 0x0028})
_NUMBERS = frozenset({"DS", "FD", "FL", "IS", "SL", "SS", "UL", "US"})
# Coded strings are short text that anyone may have written anything into: these words only are shown.
_WORDS = frozenset(
    {
        *(
            "ORIGINAL",
            "DERIVED",
            "PRIMARY",
            "SECONDARY",
            "AXIAL",
            "LOCALIZER",
            "REFORMATTED",
            "MPR",
            "HELIX",
            "HELICAL",
        ),
        *("SPIRAL", "VOLUME", "CT", "MONOCHROME1", "MONOCHROME2", "HFS", "HFP", "FFS", "FFP", "HEAD", "BRAIN", "SKULL"),
        *("HEADNECK", "NECK", "HU", "US", "YES", "NO", "NONE", "CW", "CC", "SEQUENCED", "STATIONARY", "FREE", "ROUND"),
        *("CONSTANT_ANGLE", "SPIRAL_ROUND", "WEDGE"),
    }
)
_OUR_UIDS = re.compile(r"ID_[0-9a-f]{6,16}")  # RSNA's
_LONGEST = 64


@dataclass(frozen=True, slots=True)
class HeaderLine:
    """One element: its tag as `0028,0010`, its keyword (empty for private ones), its value as text or HIDDEN."""

    tag: str
    keyword: str
    value: str


def dump_header(path: Path) -> list[HeaderLine]:
    """Every top-level element before the pixels.

    Values are shown of numbers, well-known coded words and UIDs about the image and its acquisition; names, dates, free text, private
    elements and whatever is not what its value representation says are HIDDEN.

    Raises:
        PixelsUnreadableError: not a DICOM file, beyond a limit, or a header that cannot be parsed; `code` says which.
    """
    try:
        with file_boundary():
            dataset = Dataset({element.tag: element for element in _elements(path)})
            return [_line(dataset, tag) for tag in sorted(dataset.keys())]
    except FileFaultError as fault:
        raise file_error(path.name, fault) from fault


def _elements(path: Path) -> Iterator[RawDataElement | DataElement]:
    """The top-level elements, after a walk that refuses what is beyond the limits of a header."""
    body = open_body(FileSource(path, path.name, follow=True))
    with body.stream as stream:
        start = stream.tell()
        read_elements(body, [])
        stream.seek(start)
        yield from data_element_generator(
            cast(BinaryIO, stream), body.implicit, body.little_endian, _at_pixels, defer_size=LIMITS.meta_bytes
        )


def _at_pixels(tag: int, _vr: str | None, _length: int) -> bool:
    """Whether a parser has come to the pixel data: pydicom's `stop_when`."""
    return int(tag) >= PIXEL_GROUP


def _line(dataset: Dataset, tag: Any) -> HeaderLine:
    name = f"{tag.group:04x},{tag.element:04x}"
    if tag.group not in _SHOWN_GROUPS:
        return HeaderLine(name, keyword_for_tag(tag), HIDDEN)
    try:
        with file_boundary():
            element: DataElement = dataset[tag]
            values = [str(part) for part in (element.value if element.VM > 1 else [element.value])]
            kind = str(element.VR)
    except FileFaultError:  # not what its value representation says, or too long to be read
        return HeaderLine(name, keyword_for_tag(tag), HIDDEN)
    shown = all(_is_shown(kind, value.strip(" \0")) for value in values)
    return HeaderLine(name, keyword_for_tag(tag), "\\".join(values)[:_LONGEST] if shown else HIDDEN)


def _is_shown(kind: str, value: str) -> bool:
    """Whether a value can say nothing about a person."""
    if kind in _NUMBERS:
        return value in ("", "None") or math.isfinite(number_of(value))
    if kind == "UI":
        return is_valid_uid(value) or _OUR_UIDS.fullmatch(value) is not None
    return kind == "CS" and value.upper() in _WORDS
