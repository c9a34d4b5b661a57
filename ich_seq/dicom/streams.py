"""Compressed frames: what their own streams declare, checked against the header before a decoder runs, then decoded."""

import struct

import numpy as np
from jaxtyping import Int32

from ich_seq.dicom.children import decode_in_child
from ich_seq.dicom.codes import Code
from ich_seq.dicom.elements import FileFaultError, file_boundary
from ich_seq.dicom.fragments import frame_at
from ich_seq.dicom.layout import PixelLayout
from ich_seq.dicom.limits import LIMITS, MIB
from ich_seq.dicom.syntaxes import TRANSFER_SYNTAXES, TransferSyntax

_START_OF_FRAME = frozenset({*range(0xC0, 0xD0), 0xF7} - {0xC4, 0xC8, 0xCC})
_END_OF_STREAM = b"\xff\xd9"
_TILE_PART = b"\xff\x90"
_WITHOUT_LENGTH = frozenset({0x01, *range(0xD0, 0xD8)})


def decode_frame(encapsulated: bytes, layout: PixelLayout) -> Int32[np.ndarray, "y x"]:
    """The stored values of one frame of encapsulated pixel data (from the basic offset table on).

    The one door to decoders: what the stream says of itself is checked here, and a child process decodes.

    Raises:
        FileFaultError: a stream that contradicts the header, ends too early, or that the decoder refuses or dies of.
        IchSeqError: no child process can be started.

    Source: DICOM PS3.5 annex A.4; JPEG: ITU-T T.81 annex B; JPEG-LS: T.87 annex C; JPEG 2000: T.800 annex A.
    """
    syntax = TRANSFER_SYNTAXES[layout.transfer_syntax_uid]
    frame = frame_at(encapsulated, layout.frame, layout.number_of_frames)
    with file_boundary(syntax.name):
        check_stream(frame, syntax, layout)
    return decode_in_child(frame, syntax, layout)


def check_stream(frame: bytes, syntax: TransferSyntax, layout: PixelLayout) -> None:
    """Nothing where the stream ends with its marker and declares what the header does.

    That is its matrix, one component, and no more bits than allocated.

    A stream may have fewer bits than BitsStored: encoders of real CT write the bits that occur.

    Raises:
        FileFaultError: D-TRUNCATED or D-CODESTREAM.
    """
    if len(frame) > 2 * layout.frame_bytes + MIB:  # no encoder makes a slice larger than it was, but for headers
        raise FileFaultError(Code.D_DIMENSION_LIMIT, f"{len(frame)} bytes of {syntax.name} for one slice")
    if syntax.stream == "rle":
        _check_rle(frame, layout)
        return
    end = frame[-16:].rstrip(b"\0")
    if _END_OF_STREAM not in (end[-2:], end[-3:-1]):  # real files pad to even length with 00, and with FF
        raise FileFaultError(Code.D_TRUNCATED, f"{syntax.name} without its end marker")
    rows, columns, components, precision = _j2k_size(frame) if syntax.stream == "j2k" else _jpeg_size(frame)
    if (rows, columns, components) != (layout.rows, layout.columns, 1):
        raise FileFaultError(Code.D_CODESTREAM, f"{rows} x {columns} x {components} in the stream")
    if precision > layout.bits_allocated:
        raise FileFaultError(Code.D_CODESTREAM, f"{precision} bits in the stream, {layout.bits_allocated} allocated")


def _check_rle(frame: bytes, layout: PixelLayout) -> None:
    """One segment for each byte of a sample, at rising offsets inside the frame. Source: DICOM PS3.5 annex G.5."""
    if len(frame) < 64:
        raise FileFaultError(Code.D_TRUNCATED, "RLE without its header")
    count, *offsets = struct.unpack("<16I", frame[:64])
    expected = layout.bits_allocated // 8
    if count != expected:
        raise FileFaultError(Code.D_CODESTREAM, f"{count} RLE segments instead of {expected}")
    used = offsets[:count]
    if used != sorted(used) or used[0] != 64 or used[-1] >= len(frame):
        raise FileFaultError(Code.D_CODESTREAM, "RLE segments outside the frame")


def _jpeg_size(frame: bytes) -> tuple[int, int, int, int]:
    """Rows, columns, components and bits from the start-of-frame segment of JPEG or JPEG-LS."""
    if frame[:2] != b"\xff\xd8":
        raise FileFaultError(Code.D_CODESTREAM, "no JPEG start marker")
    position = 2
    while position + 9 < len(frame):
        if frame[position] != 0xFF:
            break
        marker = frame[position + 1]
        if marker == 0xFF:
            position += 1
        elif marker in _WITHOUT_LENGTH:
            position += 2
        elif marker in _START_OF_FRAME:
            precision, rows, columns, components = struct.unpack(">BHHB", frame[position + 4 : position + 10])
            return rows, columns, components, precision
        else:
            position += 2 + struct.unpack(">H", frame[position + 2 : position + 4])[0]
    raise FileFaultError(Code.D_CODESTREAM, "no JPEG frame header")


def _j2k_size(frame: bytes) -> tuple[int, int, int, int]:
    """Rows, columns, components and bits from the SIZ segment, which follows the start marker at once."""
    if frame[:4] != b"\xff\x4f\xff\x51" or len(frame) < 43:
        raise FileFaultError(Code.D_CODESTREAM, "no JPEG 2000 size marker")
    width, height, left, top, tile_width, tile_height, tile_left, tile_top = struct.unpack(">8I", frame[8:40])
    components, depth = struct.unpack(">HB", frame[40:43])
    across, down = (
        -(-(size - start) // max(1, tile))
        for size, start, tile in ((width, tile_left, tile_width), (height, tile_top, tile_height))
    )
    if across * down > LIMITS.tiles:
        raise FileFaultError(Code.D_DIMENSION_LIMIT, f"{across * down} tiles in the stream")
    _check_tile_parts(frame, across * down)
    return height - top, width - left, components, (depth & 0x7F) + 1


def _check_tile_parts(frame: bytes, tiles: int) -> None:
    """Every tile of JPEG 2000 is there, and its parts end inside the stream: a decoder fills in what is missing, and says nothing.

    Source: ITU-T T.800 annex A.4.2.
    """
    position, length, seen = 2, 0, set[int]()
    while frame[position : position + 2] != _TILE_PART:
        if position + 4 > len(frame) or frame[position] != 0xFF:
            raise FileFaultError(Code.D_CODESTREAM, "no JPEG 2000 tile")
        position += 2 + struct.unpack(">H", frame[position + 2 : position + 4])[0]
    while frame[position : position + 2] == _TILE_PART and position + 12 <= len(frame):
        tile, length = struct.unpack(">HI", frame[position + 4 : position + 10])
        seen.add(tile)
        position += length or len(frame)  # 0: the last part goes on to the end
        if 0 < length < 14:
            raise FileFaultError(Code.D_CODESTREAM, "a JPEG 2000 tile without data")
    if position > len(frame) and length:
        raise FileFaultError(Code.D_TRUNCATED, "a JPEG 2000 tile ends too early")
    if seen != set(range(tiles)):
        raise FileFaultError(Code.D_CODESTREAM, f"{len(seen)} of {tiles} JPEG 2000 tiles")
