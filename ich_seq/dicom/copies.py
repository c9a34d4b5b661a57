"""Files that claim one identifier: copies of one image, or two images that must not be mixed."""

import hashlib
from collections import defaultdict
from collections.abc import Callable, Hashable, Sequence
from typing import TypeVar

from ich_seq.dicom.codes import Code
from ich_seq.dicom.elements import FileFaultError
from ich_seq.dicom.findings import Finding, SeriesFaultError, finding
from ich_seq.dicom.header import SliceHeader
from ich_seq.dicom.pixels import decode_slice

K = TypeVar("K", bound=Hashable)


def one_of_each_uid(headers: Sequence[SliceHeader], found: list[Finding]) -> list[SliceHeader]:
    """Slices without second copies of one SOPInstanceUID.

    Raises:
        SeriesFaultError: two different images under one UID, or no slice that can be read.
    """
    by_uid = grouped(headers, lambda header: (header.sop_instance_uid, header.pixels.frame))
    kept: list[SliceHeader] = []
    for (uid, _), copies in by_uid.items():
        if len(copies) == 1 or not uid:
            kept.extend(copies)
            continue
        able = readable(copies, found)
        if len({(image_digest(header), _geometry(header)) for header in able}) > 1:
            raise SeriesFaultError(Code.E_UID_COLLISION, files=[header.name for header in able])
        if len(able) > 1:
            found.append(finding(Code.N_DUPLICATE_FILE, files=[header.name for header in able[1:]]))
        kept.extend(able[:1])
    if not kept:
        raise SeriesFaultError(Code.E_NO_SLICE_LEFT)
    return kept


def readable(headers: Sequence[SliceHeader], found: list[Finding]) -> list[SliceHeader]:
    """Those whose pixels can be decoded, in an order that file names do not decide; why the others cannot goes to `found`."""
    kept = []
    for header in headers:
        try:
            decode_slice(header)
        except FileFaultError as fault:
            found.append(finding(fault.code, fault.detail, [header.name]))
        else:
            kept.append(header)
    return sorted(kept, key=lambda h: (h.sop_instance_uid, h.pixels.transfer_syntax_uid))


def image_digest(header: SliceHeader) -> bytes:
    """SHA-256 of the slice in HU. Raises FileFaultError as `decode_slice`."""
    return hashlib.sha256(decode_slice(header).hu.tobytes()).digest()


def grouped(headers: Sequence[SliceHeader], key: Callable[[SliceHeader], K]) -> dict[K, list[SliceHeader]]:
    """The headers by a key, each group in their order."""
    groups: dict[K, list[SliceHeader]] = defaultdict(list)
    for header in headers:
        groups[key(header)].append(header)
    return groups


def _geometry(header: SliceHeader) -> tuple[Hashable, ...]:
    return header.image_position_patient, header.image_orientation_patient, header.pixel_spacing_mm
