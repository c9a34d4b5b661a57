"""Where the pixel data lie in a stream, and whether anything stands behind them that should stand before."""

import io
import struct
from collections.abc import Collection, Iterator
from dataclasses import dataclass

from ich_seq.dicom.boundary import FileFaultError
from ich_seq.dicom.codes import Code
from ich_seq.dicom.limits import LIMITS
from ich_seq.dicom.walk import LONG_VRS, UNDEFINED_LENGTH

PIXEL_DATA = 0x7FE00010
_PIXEL_GROUP = 0x7FE0
_ITEM = b"\xfe\xff\x00\xe0"


@dataclass(frozen=True, slots=True)
class PixelPlace:
    """The value of (7FE0,0010): where it begins (-1: there is none) and how long it says it is, both in bytes."""

    stream: io.BufferedIOBase
    implicit: bool
    little_endian: bool
    offset: int
    length: int

    def late(self, end: int, tags: Collection[int]) -> int:
        """The first element behind the pixel data that had to stand before them, or the pixel data again; 0 for none.

        `tags` are those that matter, `end` is the length of the stream. Of two values for one element some readers take the first,
        others the last. What follows the pixel data and is no element is not judged.
        """
        stream = self.stream
        if self.length == UNDEFINED_LENGTH:
            stream.seek(self.offset)
            for _ in range(LIMITS.fragments + 1):
                if len(head := stream.read(8)) < 8 or head[:4] != _ITEM:
                    break
                stream.seek(struct.unpack("<I", head[4:])[0], io.SEEK_CUR)
            else:
                return 0  # more fragments than are read: whoever cuts the frames refuses them
        elif self.offset + self.length + 8 > end:
            return 0
        else:
            stream.seek(self.offset + self.length)
        for tag, length in _heads(stream, self.implicit, self.little_endian):
            if tag in tags or tag == PIXEL_DATA:
                return tag
            if length == UNDEFINED_LENGTH:
                # What follows its end is not seen; in its place it would stand before the pixel data.
                return tag if tag < PIXEL_DATA else 0
            stream.seek(length, io.SEEK_CUR)
        return 0


def find_pixels(stream: io.BufferedIOBase, implicit: bool, little_endian: bool) -> PixelPlace:
    """The place of the pixel data, searched from where the stream stands: at an element of group 7FE0 or behind the last one."""
    for tag, length in _heads(stream, implicit, little_endian):
        if tag == PIXEL_DATA:
            return PixelPlace(stream, implicit, little_endian, stream.tell(), length)
        if length == UNDEFINED_LENGTH or tag >> 16 > _PIXEL_GROUP:
            break
        stream.seek(length, io.SEEK_CUR)
    return PixelPlace(stream, implicit, little_endian, -1, 0)


def _heads(stream: io.BufferedIOBase, implicit: bool, little_endian: bool) -> Iterator[tuple[int, int]]:
    """Tag and stated length of each element; the stream is then at its value, and the caller goes on to the next.

    Source: DICOM PS3.5 section 7.1.
    """
    order = "<" if little_endian else ">"
    for _ in range(LIMITS.group_elements):
        if len(head := stream.read(8)) < 8:
            return
        group, element = struct.unpack(order + "HH", head[:4])
        length = struct.unpack(order + "I", head[4:])[0]
        if not implicit:
            if head[4:6] in LONG_VRS:
                length = struct.unpack(order + "I", stream.read(4).ljust(4, b"\0"))[0]
            else:
                length = struct.unpack(order + "H", head[6:])[0]
        yield group << 16 | element, length
    raise FileFaultError(Code.D_HEADER_LIMIT, f"more than {LIMITS.group_elements} elements beside the pixel data")
