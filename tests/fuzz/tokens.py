"""A good file as a list of elements that can be changed one by one and put together again, right or wrong.

Source: DICOM PS3.5 section 7, PS3.10 section 7.
"""

import struct
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

UNDEFINED = 0xFFFFFFFF
PIXEL_DATA = 0x7FE00010
BROKEN = (ValueError, struct.error, zlib.error, RecursionError)
"""What `tokens_of` raises for a file that is not as the standard wants it."""
ITEM, ITEM_END, SEQUENCE_END = 0xFFFEE000, 0xFFFEE00D, 0xFFFEE0DD
LONG_VRS = (b"OB", b"OD", b"OF", b"OL", b"OV", b"OW", b"SQ", b"SV", b"UC", b"UN", b"UR", b"UT", b"UV")


@dataclass(frozen=True)
class Element:
    """One element; `length` is what its length field says where that is not the length of `value`."""

    tag: int
    vr: bytes
    value: bytes
    length: int | None = None

    @property
    def name(self) -> str:
        """The tag as it is usually written."""
        return f"({self.tag >> 16:04X},{self.tag & 0xFFFF:04X})"


@dataclass(frozen=True)
class Tokens:
    """A file: what stands before its data set (preamble and meta information), its elements, and how they are encoded."""

    head: bytes
    elements: tuple[Element, ...]
    implicit: bool
    big: bool
    deflated: bool

    def with_elements(self, elements: Sequence[Element]) -> "Tokens":
        """The same file with other elements."""
        return replace(self, elements=tuple(elements))

    def joined(self) -> bytes:
        """The bytes of the file."""
        body = b"".join(encoded(element, self.implicit, self.big) for element in self.elements)
        if self.deflated:
            machine = zlib.compressobj(wbits=-zlib.MAX_WBITS)
            body = machine.compress(body) + machine.flush()
        return self.head + body

    def at(self, tag: int) -> int:
        """The place of an element, -1 where there is none."""
        return next((i for i, element in enumerate(self.elements) if element.tag == tag), -1)


def encoded(element: Element, implicit: bool, big: bool) -> bytes:
    """The bytes of one element."""
    order = ">" if big else "<"
    tag = struct.pack(order + "HH", element.tag >> 16 & 0xFFFF, element.tag & 0xFFFF)
    length = len(element.value) if element.length is None else element.length
    if implicit or element.tag >> 16 == 0xFFFE:
        return tag + struct.pack(order + "I", length & UNDEFINED) + element.value
    if element.vr in LONG_VRS:
        return tag + element.vr + b"\0\0" + struct.pack(order + "I", length & UNDEFINED) + element.value
    return tag + element.vr + struct.pack(order + "H", length & 0xFFFF) + element.value


@lru_cache(maxsize=120)
def tokens_of(raw: bytes) -> Tokens:
    """The elements of a file that is as the standard wants it. Raises one of BROKEN for another."""
    syntax, start = _meta(raw)
    body = raw[start:]
    deflated = syntax == b"1.2.840.10008.1.2.1.99"
    if deflated:
        body = zlib.decompress(body, -zlib.MAX_WBITS)
    big = syntax == b"1.2.840.10008.1.2.2"
    implicit = syntax == b"1.2.840.10008.1.2" or not body[4:6].isalpha()
    elements, at = [], 0
    while at < len(body):
        element, at = _element(body, at, implicit, big)
        elements.append(element)
    return Tokens(raw[:start], tuple(elements), implicit, big, deflated)


def _meta(raw: bytes) -> tuple[bytes, int]:
    """The transfer syntax and where the data set begins."""
    at, syntax = (132 if raw[128:132] == b"DICM" else 0), b""
    while raw[at : at + 2] == b"\2\0":
        element, at = _element(raw, at, False, False)
        if element.tag == 0x00020010:
            syntax = element.value.rstrip(b"\0 ")
    return syntax, at


def _element(data: bytes, at: int, implicit: bool, big: bool) -> tuple[Element, int]:
    order = ">" if big else "<"
    group, number = struct.unpack_from(order + "HH", data, at)
    tag, vr, start = group << 16 | number, b"", at + 8
    if implicit or group == 0xFFFE:
        (length,) = struct.unpack_from(order + "I", data, at + 4)
    else:
        vr = data[at + 4 : at + 6]
        if vr in LONG_VRS:
            (length,) = struct.unpack_from(order + "I", data, at + 8)
            start = at + 12
        else:
            (length,) = struct.unpack_from(order + "H", data, at + 6)
    if length != UNDEFINED:
        if start + length > len(data):
            raise ValueError("an element beyond the end")
        return Element(tag, vr, data[start : start + length]), start + length
    end = _end_of_items(data, start, implicit, big)
    return Element(tag, vr, data[start:end], UNDEFINED), end


def _end_of_items(data: bytes, at: int, implicit: bool, big: bool) -> int:
    """Behind the delimiter that ends a sequence (or fragments) of undefined length."""
    order = ">" if big else "<"
    while True:
        group, number, length = struct.unpack_from(order + "HHI", data, at)
        at += 8
        if group << 16 | number == SEQUENCE_END:
            return at
        if length != UNDEFINED:
            at += length
            continue
        while True:
            element, at = _element(data, at, implicit, big)
            if element.tag == ITEM_END:
                break
