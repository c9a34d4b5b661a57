"""Pixel data that are not in the transfer syntax that their header states: what they are, by their first bytes."""

import io
import struct
from dataclasses import replace

from ich_seq.dicom.elements import UNDEFINED_LENGTH
from ich_seq.dicom.layout import PixelLayout
from ich_seq.dicom.limits import LIMITS
from ich_seq.dicom.syntaxes import DEFLATED, EXPLICIT_BIG, EXPLICIT_LITTLE, TRANSFER_SYNTAXES

_ITEM = b"\xfe\xff\x00\xe0"
_JPEG_START, _J2K_START = b"\xff\xd8\xff", b"\xff\x4f\xff\x51"
_LOOKED_AT = 1 << 16
_JPEG = "1.2.840.10008.1.2.4."
_RLE = "1.2.840.10008.1.2.5"
_BY_START_OF_FRAME = {0xC0: _JPEG + "50", 0xC1: _JPEG + "51", 0xC3: _JPEG + "57", 0xF7: _JPEG + "80"}
_START_OF_SCAN, _J2K_CODING_STYLE, _J2K_CAPABILITIES = 0xDA, 0x52, 0x50


def as_found(layout: PixelLayout, stream: io.BufferedIOBase) -> PixelLayout:
    """The layout with the transfer syntax that the pixel data have, `mislabelled` where that is not the stated one.

    Only data that contradict the statement in form are looked at: encapsulated or of the wrong length where they should be native, of
    a stated length where they should be encapsulated. Where they are nothing known the layout stays as it is, and is refused later.

    Source: DICOM PS3.5 annex A.4; markers: ITU-T T.81 annex B, T.87 annex C, T.800 annex A, T.814.
    """
    stated = TRANSFER_SYNTAXES.get(layout.transfer_syntax_uid)
    if stated is None or layout.offset < 0 or stated.uid in (DEFLATED, EXPLICIT_BIG):
        return layout
    encapsulated = layout.length == UNDEFINED_LENGTH
    needed = layout.frame_bytes * layout.number_of_frames
    whole = not encapsulated and needed <= layout.length <= needed + LIMITS.trailing_pixel_bytes
    if whole if stated.native else encapsulated:
        return layout
    stream.seek(layout.offset)
    wrapped = encapsulated or stream.read(len(_ITEM)) == _ITEM
    stream.seek(layout.offset)
    found = _codec(_first_fragment(stream) if wrapped else stream.read(_LOOKED_AT), layout, wrapped)
    if not found and whole:
        found = EXPLICIT_LITTLE
    if not found or (layout.number_of_frames != 1 and not wrapped and found != EXPLICIT_LITTLE):
        return layout
    if wrapped and not encapsulated:  # encapsulated, and its length stated nevertheless
        end = min(layout.end, layout.offset + layout.length)
        layout = replace(layout, length=UNDEFINED_LENGTH, end=end)
    return replace(layout, transfer_syntax_uid=found, mislabelled=True)


def _first_fragment(stream: io.BufferedIOBase) -> bytes:
    """How the first frame of encapsulated data begins, after the basic offset table; empty where they are not encapsulated."""
    table = stream.read(8)
    if len(table) < 8 or table[:4] != _ITEM:
        return b""
    stream.seek(struct.unpack("<I", table[4:])[0], io.SEEK_CUR)
    return stream.read(_LOOKED_AT)[8:]


def _codec(start: bytes, layout: PixelLayout, encapsulated: bool) -> str:
    """The transfer syntax of a stream that begins so; empty where it is none that is known."""
    if start.startswith(_JPEG_START):
        return _jpeg(start)
    if start.startswith(_J2K_START):
        return _j2k(start)
    segments = layout.bits_allocated // 8
    if encapsulated and len(start) >= 8 and struct.unpack("<2I", start[:8]) == (segments, 64):
        return _RLE
    return ""


def _jpeg(start: bytes) -> str:
    """By the frame header; JPEG-LS is lossless where its scan header says that no error is allowed."""
    found = ""
    for marker, segment in _segments(start):
        found = found or _BY_START_OF_FRAME.get(marker, "")
        if marker == _START_OF_SCAN and found.endswith(".80") and len(segment) >= 3:
            return _JPEG + ("80" if segment[-3] == 0 else "81")
    return found


def _j2k(start: bytes) -> str:
    """By the coding style: reversible wavelets are lossless; with a capabilities segment it is HTJ2K."""
    high_throughput = False
    for marker, segment in _segments(start):
        high_throughput = high_throughput or marker == _J2K_CAPABILITIES
        if marker == _J2K_CODING_STYLE and len(segment) >= 10:
            reversible = segment[9] == 1
            return _JPEG + (("201" if reversible else "203") if high_throughput else ("90" if reversible else "91"))
    return ""


def _segments(start: bytes) -> list[tuple[int, bytes]]:
    """Marker and content of the segments after the start marker, up to the first scan or tile."""
    found, position = [], 2
    while position + 4 <= len(start) and start[position] == 0xFF:
        marker = start[position + 1]
        length = struct.unpack(">H", start[position + 2 : position + 4])[0]
        found.append((marker, start[position + 4 : position + 2 + length]))
        if marker in (_START_OF_SCAN, 0x90):
            break
        position += 2 + length
    return found
