"""The raw data elements of one file up to its pixel data, and where those pixels lie.

Values are taken as bytes, not through pydicom's value classes: those put the text of invalid identifiers into warnings
and logs.
"""

import io
import math
import struct
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ich_seq.dicom.boundary import FileFaultError, file_boundary
from ich_seq.dicom.codes import Code
from ich_seq.dicom.limits import LIMITS
from ich_seq.dicom.pixel_place import PIXEL_DATA, find_pixels
from ich_seq.dicom.sources import Source, is_archive
from ich_seq.dicom.syntaxes import DEFLATED, EXPLICIT_BIG, EXPLICIT_LITTLE, IMPLICIT_LITTLE
from ich_seq.dicom.walk import LONG_VRS, UNDEFINED_LENGTH, Walk, tag_name

__all__ = [
    "PIXEL_DATA",
    "UNDEFINED_LENGTH",
    "Body",
    "Elements",
    "FileFaultError",
    "file_boundary",
    "open_body",
    "read_elements",
]

_PIECE = 1024 * 1024
_PROGRAM_MAGIC = (b"MZ", b"\x7fELF", b"#!", b"\xca\xfe\xba\xbe", *(b"\xfe\xed\xfa" + end for end in (b"\xce", b"\xcf")))
_PROGRAM_MAGIC += tuple(magic[::-1] for magic in _PROGRAM_MAGIC[3:])
_FUNCTIONAL_GROUPS = (0x52009229, 0x52009230)
_SEQUENCES = (0x00283000,)
"""The Modality LUT is only asked whether it is there."""


@dataclass(frozen=True, slots=True)
class Body:
    """A data set after its file meta information: the stream at its first element, and how it is encoded."""

    stream: io.BufferedIOBase
    transfer_syntax_uid: str
    media_sop_class_uid: str
    implicit: bool
    little_endian: bool
    notes: tuple[Code, ...]


@dataclass(frozen=True, slots=True)
class Elements:
    """Top-level elements by tag, as bytes.

    `pixel_offset` and `pixel_length` place the pixel data (offset -1: there are none). `end` is the number of bytes in
    the stream (after inflating a deflated data set).
    """

    values: Mapping[int, bytes]
    body: Body
    pixel_offset: int
    pixel_length: int
    end: int

    def text(self, tag: int) -> str | None:
        """The value as text without padding; None where absent or empty.

        Zero bytes are padding at the very end only: elsewhere they may stand where a sign or a digit was.
        """
        raw = self.values.get(tag)
        if not raw:
            return None
        return raw.decode("latin-1").rstrip("\0").strip(" ") or None

    def texts(self, tag: int) -> tuple[str, ...]:
        """All values of a multi-valued text element, stripped."""
        text = self.text(tag)
        return () if text is None else tuple(part.strip(" ") for part in text.split("\\"))

    def numbers(self, tag: int) -> tuple[float, ...] | None:
        """All values of a decimal or integer string; what is no number becomes nan. None where absent or empty."""
        parts = self.texts(tag)
        return tuple(number_of(part) for part in parts) if parts else None

    def integer(self, tag: int) -> int | None:
        """One integer string; None where absent or not a whole number."""
        numbers = self.numbers(tag)
        if numbers is None or len(numbers) != 1 or not math.isfinite(numbers[0]) or numbers[0] % 1:
            return None
        return int(numbers[0])

    def uint16(self, tag: int) -> int | None:
        """One unsigned 16-bit value; None where absent or empty.

        Raises:
            FileFaultError: of another length: a sign or a size must not be lost without a word.
        """
        if len(self.values.get(tag, b"")) not in (0, 2):
            raise FileFaultError(Code.D_UNREADABLE, f"{tag_name(tag)} is not one 16-bit number")
        return self._struct(tag, "H")

    def word16(self, tag: int, signed: bool) -> int | None:
        """One 16-bit value, US or SS by PixelRepresentation, whatever VR was written; None where absent or of another length."""
        return self._struct(tag, "h" if signed else "H")

    def _struct(self, tag: int, kind: str) -> int | None:
        raw = self.values.get(tag)
        if raw is None or len(raw) != 2:
            return None
        return int(struct.unpack(("<" if self.body.little_endian else ">") + kind, raw)[0])


def open_body(source: Source) -> Body:
    """The data set of a file, positioned after its meta information; a deflated one is inflated within the limits.

    Raises:
        FileFaultError: not DICOM, beyond a limit.
        OSError, ArchiveError: the bytes cannot be read.

    Source: DICOM PS3.10 section 7, PS3.5 annex A.5.
    """
    stream = source.open()
    try:
        return _after_meta(stream)
    except BaseException:
        stream.close()
        raise


def _after_meta(stream: io.BufferedIOBase) -> Body:
    end = stream.seek(0, io.SEEK_END)
    if end > LIMITS.file_bytes:
        raise FileFaultError(Code.D_FILE_SIZE)
    stream.seek(0)
    start = stream.read(132)
    notes: tuple[Code, ...] = ()
    if start[128:132] == b"DICM":
        notes = _preamble_notes(start[:128])
        meta = _read_meta(stream)
    elif _plausible_without_preamble(start):
        stream.seek(0)
        meta = _read_meta(stream)
        notes = (Code.N_NO_PREAMBLE,)
    else:
        raise FileFaultError(Code.D_NESTED_ARCHIVE if is_archive(start) else Code.D_NOT_DICOM)
    syntax = _text(meta.get(0x00020010, b""))
    sop_class = _text(meta.get(0x00020002, b""))
    if syntax == DEFLATED:
        with stream:
            stream = _inflate(stream, end)
    explicit = _looks_explicit(stream, big=syntax == EXPLICIT_BIG)
    if not syntax:
        syntax = EXPLICIT_LITTLE if explicit else IMPLICIT_LITTLE
        notes = (*notes, Code.N_TS_ASSUMED)
    return Body(stream, syntax, sop_class, not explicit, syntax != EXPLICIT_BIG, notes)


def read_elements(body: Body, tags: Sequence[int]) -> Elements:
    """The wanted top-level elements before the pixel data, and where the pixel data lie.

    Raises:
        FileFaultError: a malformed data set, one beyond the limits of a header, or one that says two things: a wanted element
            twice with two values, or one behind the pixel data, where readers disagree whether it counts.
    """
    stream = body.stream
    with file_boundary():
        walk = Walk(stream, body.little_endian)
        found = walk.dataset({tag: {} if tag in _SEQUENCES else None for tag in tags}, body.implicit)
        values = {tag: value if isinstance(value, bytes) else b"" for tag, value in found.items()}
        end = stream.seek(0, io.SEEK_END)
        stream.seek(min(walk.tell(), end))
        place = find_pixels(stream, body.implicit, body.little_endian)
        if place.offset >= 0 and (late := place.late(end, (*tags, *_FUNCTIONAL_GROUPS))):
            raise FileFaultError(Code.D_UNREADABLE, f"{tag_name(late)} stands behind the pixel data")
    return Elements(values, body, place.offset, place.length, end)


def _read_meta(stream: io.BufferedIOBase) -> dict[int, bytes]:
    """The elements of group 2, always explicit little endian; the stream is left at the first element after them."""
    meta: dict[int, bytes] = {}
    for _ in range(LIMITS.group_elements):
        position = stream.tell()
        head = stream.read(8)
        if len(head) < 8 or head[:2] != b"\x02\x00":
            stream.seek(position)
            return meta
        if head[4:6] in LONG_VRS:
            length = struct.unpack("<I", stream.read(4).ljust(4, b"\0"))[0]
        else:
            length = struct.unpack("<H", head[6:])[0]
        if length > LIMITS.meta_bytes:
            raise FileFaultError(Code.D_UNREADABLE, "the file meta information is damaged")
        meta[0x00020000 | struct.unpack("<H", head[2:4])[0]] = stream.read(length)
    raise FileFaultError(Code.D_HEADER_LIMIT, f"more than {LIMITS.group_elements} elements of file meta information")


def _preamble_notes(preamble: bytes) -> tuple[Code, ...]:
    """What the first 128 bytes, which are never read as anything, would make of the file elsewhere.

    A program (of Windows, Linux or macOS, or a script) is warned of; TIFF, which the standard allows there, PDF and anything else
    that is not empty is a note. Source: DICOM PS3.10 section 7.1; CVE-2019-11687.
    """
    if preamble.startswith(_PROGRAM_MAGIC):
        return (Code.W_PREAMBLE_EXECUTABLE,)
    return (Code.N_PREAMBLE_NONZERO,) if preamble.strip(b"\0") else ()


def _plausible_without_preamble(start: bytes) -> bool:
    """Whether a file may be DICOM that begins with group 2 or 8 at once: a sane tag, VR or length."""
    if len(start) < 16 or start[:2] not in (b"\x02\x00", b"\x08\x00") or start[3] != 0:
        return False
    if start[4:6].isalpha() and start[4:6].isupper():
        return struct.unpack("<H", start[6:8])[0] <= 128
    return start[:2] == b"\x08\x00" and struct.unpack("<I", start[4:8])[0] <= 128


def _looks_explicit(stream: io.BufferedIOBase, big: bool) -> bool:
    """Whether the next element carries a VR; says more than the stated transfer syntax where the two differ."""
    position = stream.tell()
    head = stream.read(6)
    stream.seek(position)
    return big or (head[4:6].isalpha() and head[4:6].isupper())


def _inflate(stream: io.BufferedIOBase, end: int) -> io.BytesIO:
    """The rest of a stream, up to `end`, inflated piece by piece within the limits of size and ratio. Raises FileFaultError."""
    most = min(LIMITS.inflated_bytes, max(LIMITS.inflate_ratio_from, LIMITS.inflate_ratio * (end - stream.tell())))
    machine, plain = zlib.decompressobj(-zlib.MAX_WBITS), io.BytesIO()
    try:
        while not machine.eof:
            packed = machine.unconsumed_tail or stream.read(_PIECE)
            plain.write(machine.decompress(packed, _PIECE))
            if plain.tell() > most:
                raise FileFaultError(Code.D_INFLATE_LIMIT)
            if not packed:
                raise FileFaultError(Code.D_TRUNCATED, "the deflated data end too early")
    except zlib.error as error:
        raise FileFaultError(Code.D_UNREADABLE, "the deflated data are damaged") from error
    plain.seek(0)
    return plain


def _text(raw: bytes) -> str:
    return raw.decode("latin-1").strip(" \0")


def number_of(text: str) -> float:
    """A decimal string as a float; nan for what is none."""
    try:
        return math.nan if "_" in text else float(text)
    except ValueError:
        return math.nan
