"""What is checked of a compressed frame before a decoder sees it; the first byte says which transfer syntax it claims."""

import contextlib
from functools import cache

from pydicom.encaps import generate_frames

from fuzz.fragments import is_encapsulated
from fuzz.seeds import made_seeds
from fuzz.targets.scratch import scratch_file
from fuzz.tokens import PIXEL_DATA, tokens_of
from ich_seq.dicom.elements import FileFaultError
from ich_seq.dicom.header import PixelLayout, parse_header
from ich_seq.dicom.sources import FileSource
from ich_seq.dicom.streams import check_stream
from ich_seq.dicom.syntaxes import TRANSFER_SYNTAXES

_COMPRESSED = tuple(syntax for syntax in TRANSFER_SYNTAXES.values() if not syntax.native)


@cache
def _layout() -> PixelLayout:
    raw = next(seed.files[0] for seed in made_seeds() if seed.name == "rle")
    path = scratch_file("layout.dcm", raw)
    return parse_header(FileSource(path, path.name)).pixels


def seeds() -> list[bytes]:
    """One frame of each compressed series."""
    found = []
    for seed in made_seeds():
        tokens = tokens_of(seed.files[0])
        if is_encapsulated(tokens):
            uid = next(
                uid for uid in TRANSFER_SYNTAXES if f"UI{chr(len(uid) + len(uid) % 2)}\0{uid}".encode() in tokens.head
            )
            number = next((i for i, syntax in enumerate(_COMPRESSED) if syntax.uid == uid), 0)
            value = tokens.elements[tokens.at(PIXEL_DATA)].value
            found.append(bytes([number]) + next(generate_frames(value, number_of_frames=1)))
    return found


def check(data: bytes) -> None:
    """Nothing where the frame passes or is refused."""
    if data:
        with contextlib.suppress(FileFaultError):
            check_stream(data[1:], _COMPRESSED[data[0] % len(_COMPRESSED)], _layout())
