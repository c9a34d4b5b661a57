"""From the files of one series to consistent slices in order: duplicates, outliers, two acquisitions, two patients."""

import hashlib
import math
from collections import Counter, defaultdict
from collections.abc import Callable, Hashable, Sequence
from itertools import pairwise
from typing import TypeVar

import numpy as np
from jaxtyping import Float64

from ich_seq.dicom.checks import rescale_of
from ich_seq.dicom.codes import Code
from ich_seq.dicom.content import is_projection
from ich_seq.dicom.elements import FileFaultError
from ich_seq.dicom.findings import Finding, finding
from ich_seq.dicom.geometry import normal_of, position_of, same_orientation
from ich_seq.dicom.header import SliceHeader
from ich_seq.dicom.limits import LIMITS
from ich_seq.dicom.options import AS_IT_IS, ReadOptions
from ich_seq.dicom.pixels import decode_slice
from ich_seq.dicom.spacing import analyse_spacing

K = TypeVar("K", bound=Hashable)


class SeriesFaultError(Exception):
    """A rule that makes the whole series unusable; never leaves ich_seq.dicom."""

    def __init__(self, code: Code, detail: str = "") -> None:
        super().__init__(detail)
        self.code = code
        self.detail = detail


def arrange(headers: Sequence[SliceHeader], found: list[Finding], options: ReadOptions = AS_IT_IS) -> list[SliceHeader]:
    """The usable slices of one series, feet to head, one at each position.

    What was dropped or noticed is appended to `found`.

    Raises:
        SeriesFaultError: the series cannot be read as one stack of axial CT slices.
    """
    _refuse_mixtures(headers)
    slices = _same_matrix(list(headers), found)
    slices = _with_rescale(slices, found)
    slices = _with_geometry(slices, found)
    slices = _one_of_each_uid(slices, found)
    slices = _largest_stack(slices, found)
    normal = normal_of(slices[0])
    if normal[2] < math.cos(math.radians(LIMITS.axial_deg)):
        raise SeriesFaultError(Code.E_NOT_AXIAL)
    if len(slices) > LIMITS.slices:
        raise SeriesFaultError(Code.E_TOO_MANY_SLICES, f"{len(slices)}; at most {LIMITS.slices}")
    slices.sort(key=lambda header: (float(position_of(header) @ normal), header.sop_instance_uid))
    slices = _one_at_each_position(slices, normal, found)
    slices = _one_of_interleaved(slices, normal, found)
    _compare_frames_of_reference(slices, found)
    _compare_pixel_spacing(slices, found)
    _compare_instance_numbers(slices, found)
    return slices


def _refuse_mixtures(headers: Sequence[SliceHeader]) -> None:
    if not headers:
        raise SeriesFaultError(Code.E_NO_SLICE_LEFT)
    if not headers[0].series_instance_uid:
        raise SeriesFaultError(Code.E_NO_SERIES_UID)
    if len({header.patient_digest for header in headers}) > 1:
        raise SeriesFaultError(Code.E_MIXED_PATIENTS)
    if is_projection(headers):
        raise SeriesFaultError(Code.E_DERIVED)
    if any(header.rescale_type not in ("", "HU") for header in headers):
        raise SeriesFaultError(Code.E_NOT_HU)


def _same_matrix(headers: list[SliceHeader], found: list[Finding]) -> list[SliceHeader]:
    counts = Counter((header.rows, header.columns) for header in headers)
    matrix = max(counts, key=lambda size: (counts[size], size))
    return _keep(headers, lambda header: (header.rows, header.columns) == matrix, Code.D_MATRIX_OUTLIER, found)


def _with_rescale(headers: list[SliceHeader], found: list[Finding]) -> list[SliceHeader]:
    if all(rescale_of(header) is None for header in headers):
        raise SeriesFaultError(Code.E_NO_RESCALE)
    return _keep(headers, lambda header: rescale_of(header) is not None, Code.D_NO_RESCALE, found)


def _with_geometry(headers: list[SliceHeader], found: list[Finding]) -> list[SliceHeader]:
    def located(header: SliceHeader) -> bool:
        present = (header.image_position_patient, header.image_orientation_patient, header.pixel_spacing_mm)
        return all(value is not None for value in present)

    if not any(located(header) for header in headers):
        raise SeriesFaultError(Code.E_NO_GEOMETRY)
    return _keep(headers, located, Code.D_NO_POSITION, found)


def _keep(
    headers: list[SliceHeader], wanted: Callable[[SliceHeader], bool], code: Code, found: list[Finding]
) -> list[SliceHeader]:
    kept = [header for header in headers if wanted(header)]
    if len(kept) < len(headers):
        found.append(finding(code, files=[header.name for header in headers if not wanted(header)]))
    return kept


def _one_of_each_uid(headers: list[SliceHeader], found: list[Finding]) -> list[SliceHeader]:
    """Slices without second copies of one SOPInstanceUID; two different images under one UID refuse the series."""
    by_uid = _grouped(headers, lambda header: (header.sop_instance_uid, header.pixels.frame))
    kept: list[SliceHeader] = []
    for (uid, _), copies in by_uid.items():
        if len(copies) == 1 or not uid:
            kept.extend(copies)
            continue
        readable = _readable(copies, found)
        if len({(_image_digest(header), _geometry(header)) for header in readable}) > 1:
            raise SeriesFaultError(Code.E_UID_COLLISION)
        if len(readable) > 1:
            found.append(finding(Code.N_DUPLICATE_FILE, files=[header.name for header in readable[1:]]))
        kept.extend(readable[:1])
    if not kept:
        raise SeriesFaultError(Code.E_NO_SLICE_LEFT)
    return kept


def _largest_stack(headers: list[SliceHeader], found: list[Finding]) -> list[SliceHeader]:
    """The largest group of parallel slices; between equal groups the one whose first SOPInstanceUID sorts first."""
    stacks: list[list[SliceHeader]] = []
    for header in sorted(headers, key=lambda h: (h.sop_instance_uid, h.pixels.frame)):
        home = next((stack for stack in stacks if same_orientation(stack[0], header)), None)
        if home is None:
            stacks.append([header])
        else:
            home.append(header)
    largest = max(stacks, key=len)
    if len(stacks) > 1:
        others = [header.name for stack in stacks if stack is not largest for header in stack]
        found.append(finding(Code.W_ORIENTATION_SPLIT, f"{len(largest)} of {len(headers)} slices", files=others))
    return largest


def _one_at_each_position(
    slices: list[SliceHeader], normal: Float64[np.ndarray, "3"], found: list[Finding]
) -> list[SliceHeader]:
    """One slice at each position: equal images once; different ones only where they are two acquisitions."""
    shared = [group for group in _by_position(slices, normal) if len(group) > 1]
    if not shared:
        return slices
    conflicts = []
    dropped: set[int] = set()
    for group in shared:
        readable = _readable(group, found)
        dropped.update(id(header) for header in group if not any(header is kept for kept in readable))
        if len({_image_digest(header) for header in readable}) > 1:
            conflicts.append(readable)
        elif len(readable) > 1:
            found.append(finding(Code.N_DUPLICATE_SLICE, files=[header.name for header in readable[1:]]))
            dropped.update(id(header) for header in readable[1:])
    slices = [header for header in slices if id(header) not in dropped]
    if not slices:
        raise SeriesFaultError(Code.E_NO_SLICE_LEFT)
    return _best_acquisition(slices, normal, found) if conflicts else slices


def _best_acquisition(
    slices: list[SliceHeader], normal: Float64[np.ndarray, "3"], found: list[Finding]
) -> list[SliceHeader]:
    """The most complete acquisition of several that share positions.

    Raises:
        SeriesFaultError: all slices lie at one position, or neither AcquisitionNumber nor a time tells the images
        apart.
    """
    places = len(_by_position(slices, normal))
    if places == 1:
        raise SeriesFaultError(Code.E_NO_VOLUME)
    keys: tuple[Callable[[SliceHeader], Hashable], ...] = (
        lambda header: header.acquisition_number,
        lambda header: header.acquisition_time,
        lambda header: header.content_time,
    )
    for key in keys:
        parts = [part for part in _grouped(slices, key).values() if 2 * len(part) >= places]
        whole = [part for part in parts if _is_stack(part, normal)]
        if len(whole) > 1:
            return _best_of(whole, slices, found)
    raise SeriesFaultError(Code.E_CONFLICTING_SLICES)


def _best_of(
    whole: Sequence[list[SliceHeader]], slices: Sequence[SliceHeader], found: list[Finding]
) -> list[SliceHeader]:
    best = max(whole, key=lambda part: (len(part), part[0].sop_instance_uid))
    others = [header.name for header in slices if not any(header is kept for kept in best)]
    found.append(finding(Code.W_MULTI_ACQUISITION, f"{len(best)} of {len(slices)} slices", files=others))
    return best


def _one_of_interleaved(
    slices: list[SliceHeader], normal: Float64[np.ndarray, "3"], found: list[Finding]
) -> list[SliceHeader]:
    """The most complete of several acquisitions that lie between each other; all slices where there is but one.

    Each must be a stack by itself over nearly the whole length: acquisitions that follow each other, as those of a gantry that
    moves on after every turn, are one scan.
    """
    length = float((position_of(slices[-1]) - position_of(slices[0])) @ normal)

    def is_scan(part: Sequence[SliceHeader]) -> bool:
        own = float((position_of(part[-1]) - position_of(part[0])) @ normal)
        return len(part) > 1 and own >= LIMITS.acquisition_share * length and _is_stack(part, normal)

    for key in (lambda header: header.acquisition_number, lambda header: header.acquisition_time):
        whole = [part for part in _grouped(slices, key).values() if is_scan(part)]
        if len(whole) > 1:
            return _best_of(whole, slices, found)
    return slices


def _is_stack(part: Sequence[SliceHeader], normal: Float64[np.ndarray, "3"]) -> bool:
    if any(len(group) > 1 for group in _by_position(part, normal)):
        return False
    positions = [float(position_of(header) @ normal) for header in part]
    return not analyse_spacing(positions, [header.slice_thickness_mm for header in part]).refused


def _by_position(slices: Sequence[SliceHeader], normal: Float64[np.ndarray, "3"]) -> list[list[SliceHeader]]:
    """Ordered slices in groups that are less than 0.1 mm apart."""
    groups: list[list[SliceHeader]] = []
    last = -math.inf
    for header in slices:
        place = float(position_of(header) @ normal)
        if place - last < LIMITS.same_position_mm:
            groups[-1].append(header)
        else:
            groups.append([header])
            last = place
    return groups


def _compare_frames_of_reference(slices: Sequence[SliceHeader], found: list[Finding]) -> None:
    """One frame of reference is silent, two that abut are a warning. Raises SeriesFaultError where they interleave."""
    uids = [header.frame_of_reference_uid for header in slices]
    changes = sum(a != b for a, b in pairwise(uids))
    if changes > len(set(uids)) - 1:
        raise SeriesFaultError(Code.E_FRAME_OF_REFERENCE)
    if changes:
        found.append(finding(Code.W_FRAME_OF_REFERENCE))


def _compare_pixel_spacing(slices: Sequence[SliceHeader], found: list[Finding]) -> None:
    spacings = np.array([header.pixel_spacing_mm for header in slices])
    usual = np.median(spacings, axis=0)
    other = np.flatnonzero((np.abs(spacings - usual) > LIMITS.pixel_spacing * usual).any(axis=1))
    if other.size:
        found.append(finding(Code.W_SPACING_OUTLIER, files=[slices[int(i)].name for i in other]))


def _compare_instance_numbers(slices: Sequence[SliceHeader], found: list[Finding]) -> None:
    numbers = [header.instance_number for header in slices if header.instance_number is not None]
    if len(numbers) == len(slices) and numbers not in (sorted(numbers), sorted(numbers, reverse=True)):
        found.append(finding(Code.N_INSTANCE_ORDER))


def _readable(headers: Sequence[SliceHeader], found: list[Finding]) -> list[SliceHeader]:
    """Those whose pixels can be decoded, in an order that file names do not decide."""
    kept = []
    for header in headers:
        try:
            decode_slice(header)
        except FileFaultError as fault:
            found.append(finding(fault.code, fault.detail, [header.name]))
        else:
            kept.append(header)
    return sorted(kept, key=lambda h: (h.sop_instance_uid, h.pixels.transfer_syntax_uid))


def _image_digest(header: SliceHeader) -> bytes:
    return hashlib.sha256(decode_slice(header).hu.tobytes()).digest()


def _geometry(header: SliceHeader) -> tuple[Hashable, ...]:
    return header.image_position_patient, header.image_orientation_patient, header.pixel_spacing_mm


def _grouped(headers: Sequence[SliceHeader], key: Callable[[SliceHeader], K]) -> dict[K, list[SliceHeader]]:
    groups: dict[K, list[SliceHeader]] = defaultdict(list)
    for header in headers:
        groups[key(header)].append(header)
    return groups
