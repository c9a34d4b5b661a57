"""Compressed frames: what their own streams declare, checked against the header before a decoder runs, then decoded."""

import io
import struct
from typing import Any

import numpy as np
from jaxtyping import Int32

from ich_seq.dicom.codes import Code
from ich_seq.dicom.elements import FileFaultError, file_boundary
from ich_seq.dicom.header import PixelLayout
from ich_seq.dicom.syntaxes import TRANSFER_SYNTAXES, TransferSyntax

_START_OF_FRAME = frozenset({*range(0xC0, 0xD0), 0xF7} - {0xC4, 0xC8, 0xCC})
_END_OF_STREAM = b"\xff\xd9"
_WITHOUT_LENGTH = frozenset({0x01, *range(0xD0, 0xD8)})


def decode_frame(encapsulated: bytes, layout: PixelLayout) -> Int32[np.ndarray, "y x"]:
    """The stored values of one frame of encapsulated pixel data (from the basic offset table on).

    The one door to native decoders, so that they can be moved into another process.

    Raises:
        FileFaultError: a stream that contradicts the header, ends too early, or that the decoder refuses.

    Source: DICOM PS3.5 annex A.4; JPEG: ITU-T T.81 annex B; JPEG-LS: T.87 annex C; JPEG 2000: T.800 annex A.
    """
    syntax = TRANSFER_SYNTAXES[layout.transfer_syntax_uid]
    with file_boundary(syntax.name):
        frame = _frame(encapsulated, layout)
        check_stream(frame, syntax, layout)
        return _decode(frame, syntax, layout)


def check_stream(frame: bytes, syntax: TransferSyntax, layout: PixelLayout) -> None:
    """Nothing where the stream ends with its marker and declares what the header does.

    That is its matrix, one component, and no more bits than allocated.

    A stream may have fewer bits than BitsStored: encoders of real CT write the bits that occur.

    Raises:
        FileFaultError: D-TRUNCATED or D-CODESTREAM.
    """
    if syntax.stream == "rle":
        _check_rle(frame, layout)
        return
    if not _is_ended(frame):
        raise FileFaultError(Code.D_TRUNCATED, f"{syntax.name} without its end marker")
    rows, columns, components, precision = _j2k_size(frame) if syntax.stream == "j2k" else _jpeg_size(frame)
    if (rows, columns, components) != (layout.rows, layout.columns, 1):
        raise FileFaultError(Code.D_CODESTREAM, f"{rows} x {columns} x {components} in the stream")
    if precision > layout.bits_allocated:
        raise FileFaultError(Code.D_CODESTREAM, f"{precision} bits in the stream, {layout.bits_allocated} allocated")


def _frame(encapsulated: bytes, layout: PixelLayout) -> bytes:
    """One frame of the pixel data. Raises FileFaultError where it is absent or cannot be told from the others."""
    from pydicom.encaps import generate_frames

    _check_cuts(encapsulated, layout.number_of_frames)
    frames = generate_frames(io.BytesIO(encapsulated), number_of_frames=layout.number_of_frames)
    for index, frame in enumerate(frames):
        if index == layout.frame:
            return frame
    raise FileFaultError(Code.D_TRUNCATED, f"frame {layout.frame + 1} of {layout.number_of_frames} is absent")


def _check_cuts(encapsulated: bytes, frames: int) -> None:
    """Nothing where it is certain which fragments are which of several frames: wrong cuts give a slice the image of another.

    The basic offset table is empty, or has an entry for each frame, at which a fragment begins; and there are as many fragments as
    frames, or as many fragments that end a JPEG stream. Of a single frame the table is not used.
    """
    from pydicom.encaps import generate_fragments, parse_basic_offsets, parse_fragments

    stream = io.BytesIO(encapsulated)
    table = parse_basic_offsets(stream)
    if table and len(table) != frames:
        raise FileFaultError(Code.D_CODESTREAM, f"an offset table of {len(table)} entries for {frames} frames")
    if frames == 1:
        return
    first = stream.tell()
    count, places = parse_fragments(stream)
    if table and (table[0] or table != sorted(set(table)) or not {at - first for at in places}.issuperset(table)):
        raise FileFaultError(Code.D_CODESTREAM, "an offset table that does not fit the fragments")
    if count != frames and sum(map(_is_ended, generate_fragments(stream))) != frames:
        raise FileFaultError(Code.D_CODESTREAM, f"{count} fragments for {frames} frames")


def _is_ended(stream: bytes) -> bool:
    """Whether a JPEG stream ends with its marker; real files pad it to even length with 00, and with FF."""
    end = stream[-16:].rstrip(b"\0")
    return _END_OF_STREAM in (end[-2:], end[-3:-1])


def _decode(frame: bytes, syntax: TransferSyntax, layout: PixelLayout) -> Int32[np.ndarray, "y x"]:
    from pydicom.encaps import encapsulate
    from pydicom.pixels import get_decoder

    options: dict[str, Any] = {
        "rows": layout.rows,
        "columns": layout.columns,
        "samples_per_pixel": 1,
        "photometric_interpretation": layout.photometric_interpretation or "MONOCHROME2",
        "number_of_frames": 1,
        "bits_allocated": layout.bits_allocated,
        "bits_stored": layout.bits_stored,
        "pixel_representation": layout.pixel_representation,
        "pixel_keyword": "PixelData",
    }
    decoder = get_decoder(syntax.uid)
    decoded, _ = decoder.as_array(encapsulate([frame]), raw=True, decoding_plugin=syntax.plugin, **options)
    if decoded.shape != (layout.rows, layout.columns):
        raise FileFaultError(Code.D_CODESTREAM, f"decoded to shape {decoded.shape}")
    return decoded.astype(np.int32)


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
    width, height, left, top = struct.unpack(">4I", frame[8:24])
    components, depth = struct.unpack(">HB", frame[40:43])
    return height - top, width - left, components, (depth & 0x7F) + 1
