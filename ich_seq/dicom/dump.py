"""A file's header as a list to read, without what could name a person."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, cast

from pydicom import Dataset
from pydicom.datadict import keyword_for_tag
from pydicom.dataelem import DataElement
from pydicom.filereader import data_element_generator

from ich_seq.dicom.elements import FileFaultError, at_pixels, file_boundary, open_body
from ich_seq.dicom.header import file_error
from ich_seq.dicom.sources import FileSource

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
            return [_line(element) for element in _dataset(path)]
    except FileFaultError as fault:
        raise file_error(path.name, fault) from fault


def _dataset(path: Path) -> Dataset:
    body = open_body(FileSource(path, path.name, follow=True))
    with body.stream as stream:
        elements = data_element_generator(
            cast(BinaryIO, stream), body.implicit, body.little_endian, stop_when=at_pixels
        )
        return Dataset({element.tag: element for element in elements})


def _line(element: DataElement) -> HeaderLine:
    tag: Any = element.tag
    shown = tag.group in _SHOWN_GROUPS and str(element.VR) in _SHOWN_VRS
    several = element.VM > 1
    text = "\\".join(str(part) for part in element.value) if several else str(element.value)
    value = " ".join(text.split())[:_LONGEST] if shown else HIDDEN
    return HeaderLine(f"{tag.group:04x},{tag.element:04x}", keyword_for_tag(tag), value)
