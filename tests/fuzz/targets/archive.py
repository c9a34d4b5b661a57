"""The bytes of a zip: its listing, its limits, and every member read."""

import contextlib
import io
import zipfile

from fuzz.targets.scratch import scratch_file
from ich_seq.dicom.sources import list_sources
from ich_seq.errors import ArchiveError, NoDicomError


def seeds() -> list[bytes]:
    """Zips of a few members: stored, deflated, in folders, under one name twice, with a comment."""
    found = []
    for method in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA):
        out = io.BytesIO()
        with zipfile.ZipFile(out, "w", method) as zipped:
            zipped.comment = b"a comment"
            for name in ("a.dcm", "folder/b.dcm", "../c.dcm"):
                zipped.writestr(zipfile.ZipInfo(name), b"DICM" * 40, method)
        found.append(out.getvalue())
    return found


def check(data: bytes) -> None:
    """Nothing where every member is read, or the zip is refused."""
    path = scratch_file("archive.zip", data)
    with contextlib.suppress(ArchiveError, NoDicomError):
        for source in list_sources([path], []):
            source.open().read(200)
