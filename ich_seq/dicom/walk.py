"""A data set walked element by element, without recursion beyond a limit, for no more elements than a limit.

Only what is asked for is kept. A sequence of stated length that nobody asked for is stepped over; one of undefined length has to be
walked to find its end. How a malformed element is taken follows pydicom's reader, so that both read the same files alike.
"""

import io
import struct
from collections.abc import Mapping
from typing import Union

from ich_seq.dicom.boundary import FileFaultError
from ich_seq.dicom.codes import Code
from ich_seq.dicom.limits import LIMITS

UNDEFINED_LENGTH = 0xFFFFFFFF
PIXEL_GROUP = 0x7FE00000
LONG_VRS = frozenset((b"OB", b"OD", b"OF", b"OL", b"OV", b"OW", b"SQ", b"SV", b"UC", b"UN", b"UR", b"UT", b"UV"))
_ITEM, _ITEM_END, _SEQUENCE_END = 0xFFFEE000, 0xFFFEE00D, 0xFFFEE0DD
_CHUNK = 16 * 1024

Wanted = Mapping[int, Union["Wanted", None]]
"""Which tags to keep: None for the value of an element, a mapping for what to keep in each item of a sequence."""
Values = dict[int, bytes | list["Values"]]
"""Values by tag, as bytes, or one mapping for each item of a sequence."""


class Walk:
    """One pass over a stream, from where it stands, in one byte order.

    Raises FileFaultError from every method: D-HEADER-LIMIT beyond `LIMITS.header_elements` elements and items,
    `LIMITS.header_depth` levels or `LIMITS.meta_bytes` in one value; D-UNREADABLE where a sequence does not end.

    Source: DICOM PS3.5 sections 7.1 and 7.5.
    """

    def __init__(self, stream: io.BufferedIOBase, little_endian: bool) -> None:
        order = "<" if little_endian else ">"
        self._implicit_head = struct.Struct(order + "HHI").unpack_from
        self._explicit_head = struct.Struct(order + "HH2sH").unpack_from
        self._long_length = struct.Struct(order + "I").unpack_from
        self._sequence_end = struct.pack(order + "HH", _SEQUENCE_END >> 16, _SEQUENCE_END & 0xFFFF)
        self._stream = stream
        self._data = b""
        self._base = stream.tell()
        self._at = 0
        self._seen = 0

    def tell(self) -> int:
        """The place in the stream of what comes next, in bytes."""
        return self._base + self._at

    def dataset(self, wanted: Wanted, implicit: bool, depth: int = 0, end: int | None = None) -> Values:
        """The wanted elements up to `end`, the end of the item, or (at depth 0) the pixel data or the end of the stream."""
        values: Values = {}
        while end is None or self._base + self._at < end:
            start = self._base + self._at
            head = self._head(implicit)
            if head is None and depth and end is None:
                raise FileFaultError(Code.D_UNREADABLE, "a sequence without its end")
            if head is None or head[0] == _ITEM_END:
                break
            tag, vr, length = head
            if depth == 0 and tag >= PIXEL_GROUP:
                self._go(start)
                break
            if length == UNDEFINED_LENGTH:
                if tag in wanted and wanted[tag] is None:
                    raise FileFaultError(Code.D_UNREADABLE, f"{tag_name(tag)} without its length")
                items = self._undefined(wanted.get(tag) or {}, vr, implicit, depth)
                if tag in wanted:
                    _keep(values, tag, items)
            elif tag not in wanted:
                self._at += length
            elif (inside := wanted[tag]) is None:
                _keep(values, tag, self._value(length))
            else:
                _keep(values, tag, self._items(inside, implicit, depth + 1, self.tell() + length))
        if end is not None and self.tell() > end:
            raise FileFaultError(Code.D_UNREADABLE, "an element runs over the end of its item")
        return values

    def _head(self, implicit: bool) -> tuple[int, bytes, int] | None:
        """Tag, VR (empty: none) and length of the next element; None at the end of the stream."""
        if self._at + 8 > len(self._data) and not self._have(8):
            return None
        self._seen += 1
        if self._seen > LIMITS.header_elements:
            raise _too_many()
        if implicit:
            group, element, length = self._implicit_head(self._data, self._at)
            self._at += 8
            return group << 16 | element, b"", length
        group, element, vr, length = self._explicit_head(self._data, self._at)
        if vr in LONG_VRS:
            if self._at + 12 > len(self._data) and not self._have(12):
                raise FileFaultError(Code.D_UNREADABLE, "the header ends too early")
            (length,) = self._long_length(self._data, self._at + 8)
            self._at += 4
        elif not b"AA" <= vr <= b"ZZ":  # an element without VR in an explicit data set: writers do it
            group, element, length = self._implicit_head(self._data, self._at)
            vr = b""
        self._at += 8
        return group << 16 | element, vr, length

    def _undefined(self, wanted: Wanted, vr: bytes, implicit: bool, depth: int) -> list[Values]:
        """What is wanted of a value whose end is marked: a sequence, or else the bytes up to the next end of a sequence."""
        tag = self._implicit_head(self._data, self._at)[:2] if self._have(8) else (0, 0)
        if vr in (b"SQ", b"UN") or tag[0] << 16 | tag[1] in (_ITEM, _SEQUENCE_END):
            return self._items(wanted, implicit, depth + 1, None)
        self._skip_to_sequence_end()
        return []

    def _items(self, wanted: Wanted, implicit: bool, depth: int, end: int | None) -> list[Values]:
        """What is wanted of each item of a sequence, which ends at `end` or with its own mark."""
        if depth > LIMITS.header_depth:
            raise FileFaultError(Code.D_HEADER_LIMIT, f"more than {LIMITS.header_depth} levels")
        found: list[Values] = []
        while end is None or self._base + self._at < end:
            if self._at + 8 > len(self._data) and not self._have(8):
                raise FileFaultError(Code.D_UNREADABLE, "a sequence without its end")
            self._seen += 1
            if self._seen > LIMITS.header_elements:
                raise _too_many()
            group, element, length = self._implicit_head(self._data, self._at)
            self._at += 8
            if group << 16 | element == _SEQUENCE_END:
                break
            if group << 16 | element != _ITEM:
                raise FileFaultError(Code.D_UNREADABLE, "a sequence without items")
            if length != UNDEFINED_LENGTH and not wanted:
                self._at += length
                continue
            item_end = None if length == UNDEFINED_LENGTH else self.tell() + length
            item = self.dataset(wanted, implicit or not self._has_vr(), depth, item_end)
            if wanted:
                found.append(item)
            if item_end is not None:
                self._go(item_end)
        if end is not None and self.tell() != end:
            raise FileFaultError(Code.D_UNREADABLE, "a sequence that does not end where its length says")
        return found

    def _has_vr(self) -> bool:
        """Whether the next element carries a VR: an item inside an explicit data set need not (PS3.5 section 6.2.2)."""
        if not self._have(6):
            return True
        vr = self._data[self._at + 4 : self._at + 6]
        return vr.isalpha() and vr.isupper()

    def _value(self, length: int) -> bytes:
        if length > LIMITS.meta_bytes:
            raise FileFaultError(Code.D_HEADER_LIMIT, f"a value of {length} bytes")
        self._have(length)
        value = self._data[self._at : self._at + length]
        self._at += length
        return value

    def _skip_to_sequence_end(self) -> None:
        while self._have(8):
            found = self._data.find(self._sequence_end, self._at)
            if found >= 0:
                self._at = found + 8
                return
            self._at = max(self._at + 1, len(self._data) - 7)
        raise FileFaultError(Code.D_UNREADABLE, "a value without its end")

    def _have(self, count: int) -> bool:
        """Whether `count` bytes follow; they are then in `_data` from `_at`."""
        if self._at + count <= len(self._data):
            return True
        self._base += self._at
        self._at = 0
        self._stream.seek(self._base)
        self._data = self._stream.read(max(count, _CHUNK))
        return len(self._data) >= count

    def _go(self, place: int) -> None:
        self._at = place - self._base
        if self._at < 0:
            self._base, self._at, self._data = place, 0, b""


def tag_name(tag: int) -> str:
    """A tag as the standard writes it, such as (0028,1052)."""
    return f"({tag >> 16:04X},{tag & 0xFFFF:04X})"


def _keep(values: Values, tag: int, value: bytes | list[Values]) -> None:
    """Notes a value. Raises FileFaultError for a second one that differs: readers disagree which of them counts."""
    if values.setdefault(tag, value) != value:
        raise FileFaultError(Code.D_UNREADABLE, f"{tag_name(tag)} stands twice, with two values")


def _too_many() -> FileFaultError:
    return FileFaultError(Code.D_HEADER_LIMIT, f"more than {LIMITS.header_elements} elements")
