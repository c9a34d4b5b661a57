"""The frames of encapsulated pixel data: a table of offsets that may be empty or wrong, then fragments.

Source: DICOM PS3.5 annex A.4.
"""

import struct

from ich_seq.dicom.boundary import FileFaultError
from ich_seq.dicom.codes import Code
from ich_seq.dicom.limits import LIMITS

_ITEM, _SEQUENCE_END = b"\xfe\xff\x00\xe0", b"\xfe\xff\xdd\xe0"
_END_OF_STREAM = b"\xff\xd9"
_Span = tuple[int, int]


def frame_at(encapsulated: bytes, index: int, frames: int) -> bytes:
    """The compressed bytes of one frame of `frames`, from 0.

    A single frame is all fragments together, whatever the table says. Of several, the table must be empty or point at fragments in
    order, and there must be one fragment a frame, or as many end markers of JPEG streams as frames: wrong cuts would give a
    slice the image of another.

    Raises:
        FileFaultError: fragments that end early, a number of frames that does not match, or more than `LIMITS.fragments`.
    """
    offsets, first = _offset_table(encapsulated, frames)
    spans = _fragments(encapsulated, first)
    if frames == 1:
        own = spans
    elif starts := _frame_starts(encapsulated, spans, [first + offset + 8 for offset in offsets], frames):
        own = spans[starts[index] : (*starts, len(spans))[index + 1]]
    else:
        raise FileFaultError(Code.D_CODESTREAM, f"{len(spans)} fragments for {frames} frames, and no table that fits")
    return b"".join(encapsulated[start:end] for start, end in own)


def _offset_table(encapsulated: bytes, frames: int) -> tuple[tuple[int, ...], int]:
    """The offsets, none or one for each frame, and where the first fragment begins."""
    if encapsulated[:4] != _ITEM or len(encapsulated) < 8:
        raise FileFaultError(Code.D_CODESTREAM, "no offset table before the fragments")
    (length,) = struct.unpack("<I", encapsulated[4:8])
    if length not in (0, 4 * frames):
        raise FileFaultError(Code.D_CODESTREAM, f"an offset table of {length} bytes for {frames} frames")
    if 8 + length > len(encapsulated):
        raise FileFaultError(Code.D_TRUNCATED, "the offset table ends too early")
    return struct.unpack(f"<{length // 4}I", encapsulated[8 : 8 + length]), 8 + length


def _fragments(encapsulated: bytes, first: int) -> list[_Span]:
    """Where each fragment begins and ends."""
    spans: list[_Span] = []
    at = first
    while (mark := encapsulated[at : at + 4]) == _ITEM and at + 8 <= len(encapsulated):
        (length,) = struct.unpack_from("<I", encapsulated, at + 4)
        if at + 8 + length > len(encapsulated):
            raise FileFaultError(Code.D_TRUNCATED, f"fragment {len(spans) + 1} ends too early")
        if len(spans) == LIMITS.fragments:
            raise FileFaultError(Code.D_DIMENSION_LIMIT, f"more than {LIMITS.fragments} fragments")
        spans.append((at + 8, at + 8 + length))
        at += 8 + length
    if len(mark) == 4 and mark not in (_ITEM, _SEQUENCE_END):
        raise FileFaultError(Code.D_CODESTREAM, "something else among the fragments")
    if mark == _ITEM or not spans:
        raise FileFaultError(Code.D_TRUNCATED, f"the pixel data end after {len(spans)} fragments")
    return spans


def _frame_starts(encapsulated: bytes, spans: list[_Span], expected: list[int], frames: int) -> list[int]:
    """The first fragment of each frame; empty where nothing tells."""
    place = {start: number for number, (start, _) in enumerate(spans)}
    fits = expected[:1] == [spans[0][0]] and expected == sorted(set(expected)) and place.keys() >= set(expected)
    if expected and not fits:
        return []
    if len(spans) == frames:
        starts = list(range(frames))
    else:
        ends = [number for number, (_, end) in enumerate(spans) if _END_OF_STREAM in encapsulated[end - 10 : end]]
        if len(ends) != frames or ends[-1] != len(spans) - 1:
            return []
        starts = [0, *(number + 1 for number in ends[:-1])]
    return starts if not expected or [place[start] for start in expected] == starts else []
