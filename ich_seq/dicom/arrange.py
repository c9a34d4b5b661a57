"""From the files of one series to consistent slices in order: outliers, missing geometry, copies, two acquisitions, two patients."""

from collections import Counter
from collections.abc import Callable, Sequence
from itertools import pairwise

import numpy as np
from jaxtyping import Float64

from ich_seq.dicom.acquisitions import one_at_each_position
from ich_seq.dicom.checks import rescale_of
from ich_seq.dicom.codes import Code
from ich_seq.dicom.content import is_multi_energy, is_projection
from ich_seq.dicom.copies import one_of_each_uid
from ich_seq.dicom.findings import Finding, SeriesFaultError, finding
from ich_seq.dicom.geometry import (
    is_upright,
    normal_of,
    position_of,
    same_orientation,
    shifted_slices,
    usual_slice,
)
from ich_seq.dicom.header import SliceHeader
from ich_seq.dicom.limits import LIMITS
from ich_seq.dicom.options import AS_IT_IS, ReadOptions
from ich_seq.dicom.patient import odd_patients, one_patient
from ich_seq.dicom.placing import placed
from ich_seq.dicom.plane import other_zoom
from ich_seq.dicom.rescale import with_assumed_rescale


def arrange(headers: Sequence[SliceHeader], found: list[Finding], options: ReadOptions = AS_IT_IS) -> list[SliceHeader]:
    """The usable slices of one series, feet to head, one at each position.

    What was dropped or noticed is appended to `found`.

    Raises:
        SeriesFaultError: the series cannot be read as one stack of axial CT slices.
    """
    _refuse_mixtures(headers, found, options)
    slices = _originals(headers, found)
    slices = _same_matrix(slices, found)
    slices = _with_rescale(slices, found, options)
    slices = one_of_each_uid(slices, found)
    slices = placed(slices, found, options)
    slices = _largest_stack(slices, found)
    if is_upright(usual_slice(slices)):
        raise SeriesFaultError(Code.E_NOT_AXIAL)
    normal = normal_of(usual_slice(slices))
    if len(slices) > LIMITS.slices:
        raise SeriesFaultError(Code.E_TOO_MANY_SLICES, f"{len(slices)}; at most {LIMITS.slices}")
    slices.sort(key=lambda header: (float(position_of(header) @ normal), header.sop_instance_uid))
    slices = one_at_each_position(slices, normal, found, options)
    slices = _in_line(slices, normal, found)
    _compare_frames_of_reference(slices, found)
    _compare_pixel_spacing(slices, found)
    _compare_instance_numbers(slices, found)
    return slices


def _refuse_mixtures(headers: Sequence[SliceHeader], found: list[Finding], options: ReadOptions) -> None:
    if not headers:
        raise SeriesFaultError(Code.E_NO_SLICE_LEFT)
    if not headers[0].series_instance_uid:
        if not options.assume_one_series:
            raise SeriesFaultError(Code.E_NO_SERIES_UID)
        found.append(finding(Code.W_ASSUMED_SERIES))
    digests = [header.patient_digests for header in headers]
    if not one_patient(digests):
        words, odd = odd_patients(digests)
        what = f"another or no {words} in {len(odd)} of {len(headers)} files"
        raise SeriesFaultError(Code.E_MIXED_PATIENTS, what, [headers[index].name for index in odd])
    if is_projection(headers):
        raise SeriesFaultError(Code.E_DERIVED)


def _originals(headers: Sequence[SliceHeader], found: list[Finding]) -> list[SliceHeader]:
    """The slices without single projections, maps and upright images among them. Raises SeriesFaultError where values are not HU."""
    slices = _keep(list(headers), lambda header: not is_projection([header]), Code.D_DERIVED, found)
    upright = [h for h in slices if h.image_orientation_patient is not None and is_upright(h)]
    if len(upright) <= LIMITS.localizers and 2 * len(upright) < len(slices):
        slices = _keep(slices, lambda header: not any(header is other for other in upright), Code.D_LOCALIZER, found)
    if any(header.rescale_type not in ("", "HU") for header in slices):
        raise SeriesFaultError(Code.E_NOT_HU)
    if any(is_multi_energy([header]) for header in slices):
        raise SeriesFaultError(Code.E_NOT_HU, "ImageType names a multi-energy image")
    return slices


def _same_matrix(headers: list[SliceHeader], found: list[Finding]) -> list[SliceHeader]:
    counts = Counter((header.rows, header.columns) for header in headers)
    matrix = max(counts, key=lambda size: (counts[size], size))
    return _keep(headers, lambda header: (header.rows, header.columns) == matrix, Code.D_MATRIX_OUTLIER, found)


def _with_rescale(headers: list[SliceHeader], found: list[Finding], options: ReadOptions) -> list[SliceHeader]:
    if all(rescale_of(header) is None for header in headers):
        return with_assumed_rescale(headers, found, options)
    return _keep(headers, lambda header: rescale_of(header) is not None, Code.D_NO_RESCALE, found)


def _keep(
    headers: list[SliceHeader], wanted: Callable[[SliceHeader], bool], code: Code, found: list[Finding]
) -> list[SliceHeader]:
    kept = [header for header in headers if wanted(header)]
    if len(kept) < len(headers):
        found.append(finding(code, files=[header.name for header in headers if not wanted(header)]))
    return kept


def _largest_stack(headers: list[SliceHeader], found: list[Finding]) -> list[SliceHeader]:
    """The largest group of parallel slices, those with the most common orientation first, as `usual_slice` has it."""
    counts = Counter(header.image_orientation_patient for header in headers)

    def common_first(header: SliceHeader) -> tuple[int, tuple[float, ...], str, int]:
        orientation = header.image_orientation_patient
        return (
            -counts[orientation],
            tuple(-value for value in orientation or ()),
            header.sop_instance_uid,
            header.pixels.frame,
        )

    stacks: list[list[SliceHeader]] = []
    for header in sorted(headers, key=common_first):
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


def _in_line(slices: list[SliceHeader], normal: Float64[np.ndarray, "3"], found: list[Finding]) -> list[SliceHeader]:
    """The slices without those whose position cannot be theirs: far beside the line through the others, in their planes."""
    far = set(shifted_slices(slices, normal, LIMITS.in_plane_lost_mm))
    if far:
        names = [slices[index].name for index in sorted(far)]
        found.append(finding(Code.D_BAD_GEOMETRY, "ImagePositionPatient, far from the others in the plane", names))
    return [header for index, header in enumerate(slices) if index not in far]


def _compare_frames_of_reference(slices: Sequence[SliceHeader], found: list[Finding]) -> None:
    """One frame of reference is silent, two that abut are a warning; a slice without one contradicts nothing.

    Raises:
        SeriesFaultError: they interleave.
    """
    uids = [header.frame_of_reference_uid for header in slices if header.frame_of_reference_uid]
    changes = sum(a != b for a, b in pairwise(uids))
    if changes > max(0, len(set(uids)) - 1):
        raise SeriesFaultError(Code.E_FRAME_OF_REFERENCE)
    if changes:
        found.append(finding(Code.W_FRAME_OF_REFERENCE))


def _compare_pixel_spacing(slices: Sequence[SliceHeader], found: list[Finding]) -> None:
    other = other_zoom(slices)
    if other:
        found.append(finding(Code.W_SPACING_OUTLIER, files=[slices[i].name for i in other]))


def _compare_instance_numbers(slices: Sequence[SliceHeader], found: list[Finding]) -> None:
    numbers = [header.instance_number for header in slices if header.instance_number is not None]
    if len(numbers) == len(slices) and numbers not in (sorted(numbers), sorted(numbers, reverse=True)):
        found.append(finding(Code.N_INSTANCE_ORDER))
