"""A file's header as a list to read, without what could name a person."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pydicom
from pydicom.datadict import keyword_for_tag
from pydicom.dataelem import DataElement

from ich_seq.errors import PixelsUnreadableError

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
        PixelsUnreadableError: not a DICOM file.
    """
    try:
        dataset = pydicom.dcmread(path, stop_before_pixels=True)
        return [_line(element) for element in dataset]
    except Exception as error:  # pydicom lets many exception types through; at the file's boundary all mean the same
        raise PixelsUnreadableError(
            f"{path.name}: no readable header ({type(error).__name__})", code="D-UNREADABLE"
        ) from error


def _line(element: DataElement) -> HeaderLine:
    tag: Any = element.tag
    shown = tag.group in _SHOWN_GROUPS and str(element.VR) in _SHOWN_VRS
    several = element.VM > 1
    text = "\\".join(str(part) for part in element.value) if several else str(element.value)
    value = " ".join(text.split())[:_LONGEST] if shown else HIDDEN
    return HeaderLine(f"{tag.group:04x},{tag.element:04x}", keyword_for_tag(tag), value)
