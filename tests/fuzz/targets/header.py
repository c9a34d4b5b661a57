"""The bytes of a DICOM file, up to where its pixels are decoded."""

import contextlib

from fuzz.seeds import made_seeds
from fuzz.targets.scratch import scratch_file
from ich_seq.dicom.checks import check_is_ct, check_slice
from ich_seq.dicom.elements import FileFaultError
from ich_seq.dicom.frames import expand_frames
from ich_seq.dicom.header import parse_header
from ich_seq.dicom.sources import FileSource


def seeds() -> list[bytes]:
    """One file of each series, its pixel data cut to little: what stands in them is not read here."""
    return [seed.files[0] for seed in made_seeds()]


def check(data: bytes) -> None:
    """Nothing where the header is read or refused."""
    path = scratch_file("header.dcm", data)
    with contextlib.suppress(FileFaultError):
        header = parse_header(FileSource(path, path.name))
        check_is_ct(header)
        for frame in expand_frames(header):
            check_slice(frame)
