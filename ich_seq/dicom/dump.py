"""A file's header as a list to read, without what could name a person."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, cast

from pydicom import Dataset
from pydicom.datadict import dictionary_has_tag, dictionary_VR, keyword_for_tag
from pydicom.dataelem import DataElement, RawDataElement
from pydicom.filereader import data_element_generator

from ich_seq.dicom.elements import FileFaultError, file_boundary, open_body, read_elements
from ich_seq.dicom.header import file_error
from ich_seq.dicom.limits import LIMITS
from ich_seq.dicom.sources import FileSource
from ich_seq.dicom.walk import PIXEL_GROUP

HIDDEN = "(not shown)"
_SHOWN_GROUPS = frozenset({0x0008, 0x0018, 0x0020, 0x0028})
_SHOWN_VRS = frozenset({"CS", "DS", "FD", "FL", "IS", "SL", "SS", "UI", "UL", "US"})
_LONGEST = 64


@dataclass(frozen=True, slots=True)
class HeaderLine:
    """One element: its tag as `0028,0010`, its keyword (empty for private ones), its value as text or HIDDEN."""

    tag: str
    keyword: str
    value: str


def dump_header(path: Path) -> list[HeaderLine]:
    """Every top-level element before the pixels.

    Values are shown of numbers, codes and UIDs about the image and its acquisition; names, dates, free text and private elements
    are HIDDEN.

    Raises:
        PixelsUnreadableError: not a DICOM file, beyond a limit, or a header that cannot be parsed; `code` says which.
    """
    try:
        with file_boundary():
            elements = {element.tag: element for element in _elements(path)}
            shown = Dataset({tag: element for tag, element in elements.items() if _is_shown(element)})
            return [_line(tag, shown) for tag in sorted(elements)]
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


def _is_shown(element: RawDataElement | DataElement) -> bool:
    """Whether the value may be shown, by its tag and VR alone; it is not looked at."""
    tag: Any = element.tag
    vr = str(element.VR or (dictionary_VR(tag) if dictionary_has_tag(tag) else "UN"))
    too_long = element.value is None and isinstance(element, RawDataElement) and element.length > 0
    return tag.group in _SHOWN_GROUPS and not too_long and bool(_SHOWN_VRS & set(vr.split(" or ")))


def _line(tag: Any, shown: Dataset) -> HeaderLine:
    value = HIDDEN
    if tag in shown:
        element = shown[tag]
        text = "\\".join(str(part) for part in element.value) if element.VM > 1 else str(element.value)
        value = " ".join(text.split())[:_LONGEST] if str(element.VR) in _SHOWN_VRS else HIDDEN
    return HeaderLine(f"{tag.group:04x},{tag.element:04x}", keyword_for_tag(tag), value)
