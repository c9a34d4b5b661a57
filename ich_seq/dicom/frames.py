"""Enhanced multi-frame CT as the single slices that it holds.

Source: DICOM PS3.3 C.7.6.16 (multi-frame functional groups), A.38.
"""

import contextlib
import math
from collections.abc import Iterator
from dataclasses import replace

from ich_seq.dicom.codes import Code
from ich_seq.dicom.elements import FileFaultError, file_boundary, open_body
from ich_seq.dicom.header import SliceHeader
from ich_seq.dicom.hints import positive_mm
from ich_seq.dicom.walk import Values, Walk, Wanted

_Numbers = tuple[float, ...] | None
_SHARED, _PER_FRAME = 0x52009229, 0x52009230
_POSITION, _IMAGE_POSITION = 0x00209113, 0x00200032
_ORIENTATION, _IMAGE_ORIENTATION = 0x00209116, 0x00200037
_MEASURES, _PIXEL_SPACING, _THICKNESS = 0x00289110, 0x00280030, 0x00180050
_TRANSFORMATION, _INTERCEPT, _SLOPE, _RESCALE_TYPE = 0x00289145, 0x00281052, 0x00281053, 0x00281054
_GROUPS: Wanted = {
    _POSITION: {_IMAGE_POSITION: None},
    _ORIENTATION: {_IMAGE_ORIENTATION: None},
    _MEASURES: {_PIXEL_SPACING: None, _THICKNESS: None},
    _TRANSFORMATION: {_INTERCEPT: None, _SLOPE: None, _RESCALE_TYPE: None},
}
_SEQUENCES: Wanted = {_SHARED: _GROUPS, _PER_FRAME: _GROUPS}


def expand_frames(header: SliceHeader) -> Iterator[SliceHeader]:
    """The slices of one file: itself, or one for each frame of an enhanced CT, with its own geometry and rescale.

    Raises:
        FileFaultError: several frames without functional groups, or groups that cannot be read.
    """
    if header.pixels.number_of_frames == 1 and header.image_position_patient is not None:
        yield header
        return
    groups = _functional_groups(header)
    if groups is None:
        if header.pixels.number_of_frames == 1:
            yield header
            return
        raise FileFaultError(Code.D_MULTIFRAME, f"{header.pixels.number_of_frames} frames")
    shared, per_frame = groups
    if len(per_frame) != header.pixels.number_of_frames:
        raise FileFaultError(Code.D_MULTIFRAME, f"{len(per_frame)} groups, {header.pixels.number_of_frames} frames")
    for index, own in enumerate(per_frame):
        yield _frame_header(header, index, own, shared)


def _functional_groups(header: SliceHeader) -> tuple[Values, list[Values]] | None:
    """The shared functional groups (empty: none) and those of each frame; None where the file has none."""
    with file_boundary():
        body = open_body(header.source)
        with body.stream:
            found = Walk(body.stream, body.little_endian).dataset(_SEQUENCES, body.implicit)
    shared, per_frame = found.get(_SHARED), found.get(_PER_FRAME)
    if not isinstance(per_frame, list):
        return None
    return (shared[0] if isinstance(shared, list) and shared else {}), per_frame


def _frame_header(header: SliceHeader, index: int, own: Values, shared: Values) -> SliceHeader:
    """The header of one frame: its own functional groups come before the shared ones, those before the top level."""

    def value(group: int, tag: int) -> str | None:
        for holder in (own, shared):
            items = holder.get(group)
            if isinstance(items, list) and items and isinstance(found := items[0].get(tag), bytes) and found:
                return found.decode("latin-1").strip(" \0")
        return None

    def numbers(group: int, tag: int, top: _Numbers) -> _Numbers:
        found = value(group, tag)
        return top if found is None else _as_numbers(found)

    thickness = numbers(_MEASURES, _THICKNESS, None)
    position, orientation = header.image_position_patient, header.image_orientation_patient
    rescale_type = value(_TRANSFORMATION, _RESCALE_TYPE)
    return replace(
        header,
        pixels=replace(header.pixels, frame=index),
        image_position_patient=numbers(_POSITION, _IMAGE_POSITION, position),
        image_orientation_patient=numbers(_ORIENTATION, _IMAGE_ORIENTATION, orientation),
        pixel_spacing_mm=numbers(_MEASURES, _PIXEL_SPACING, header.pixel_spacing_mm),
        slice_thickness_mm=positive_mm(thickness),
        rescale_slope=numbers(_TRANSFORMATION, _SLOPE, header.rescale_slope),
        rescale_intercept=numbers(_TRANSFORMATION, _INTERCEPT, header.rescale_intercept),
        rescale_type=header.rescale_type if rescale_type is None else rescale_type.upper(),
        instance_number=None,
    )


def _as_numbers(text: str) -> tuple[float, ...]:
    """One or several decimal strings as floats; what is no number becomes nan."""
    numbers = []
    for part in text.split("\\"):
        number = math.nan
        with contextlib.suppress(ValueError):
            number = float(part.strip(" \0"))
        numbers.append(number)
    return tuple(numbers)
