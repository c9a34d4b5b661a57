"""Enhanced multi-frame CT as the single slices that it holds.

Source: DICOM PS3.3 C.7.6.16 (multi-frame functional groups), A.38.
"""

import contextlib
import math
from collections.abc import Iterator
from dataclasses import replace
from typing import Any, BinaryIO, cast

from ich_seq.dicom.codes import Code
from ich_seq.dicom.elements import FileFaultError, file_boundary
from ich_seq.dicom.header import SliceHeader
from ich_seq.dicom.hints import positive_mm

_Numbers = tuple[float, ...] | None


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


def _functional_groups(header: SliceHeader) -> tuple[Any, list[Any]] | None:
    """The shared functional groups (or None) and those of each frame; None where the file has none."""
    import pydicom

    with file_boundary(), header.source.open() as stream:
        dataset = pydicom.dcmread(cast(BinaryIO, stream), stop_before_pixels=True, force=True)
        shared = dataset.get("SharedFunctionalGroupsSequence")
        per_frame = dataset.get("PerFrameFunctionalGroupsSequence")
        if per_frame is None:
            return None
        return (shared[0] if shared else None), list(per_frame)


def _frame_header(header: SliceHeader, index: int, own: Any, shared: Any) -> SliceHeader:
    """The header of one frame: its own functional groups come before the shared ones, those before the top level."""

    def value(group: str, keyword: str) -> Any:
        with file_boundary():
            for holder in (own, shared):
                items = holder.get(group) if holder is not None else None
                if items and items[0].get(keyword) is not None:
                    return items[0].get(keyword)
        return None

    def numbers(group: str, keyword: str, top: _Numbers) -> _Numbers:
        found = value(group, keyword)
        return top if found is None else _as_numbers(found)

    thickness = numbers("PixelMeasuresSequence", "SliceThickness", None)
    position, orientation = header.image_position_patient, header.image_orientation_patient
    rescale_type = value("PixelValueTransformationSequence", "RescaleType")
    return replace(
        header,
        pixels=replace(header.pixels, frame=index),
        image_position_patient=numbers("PlanePositionSequence", "ImagePositionPatient", position),
        image_orientation_patient=numbers("PlaneOrientationSequence", "ImageOrientationPatient", orientation),
        pixel_spacing_mm=numbers("PixelMeasuresSequence", "PixelSpacing", header.pixel_spacing_mm),
        slice_thickness_mm=positive_mm(thickness),
        rescale_slope=numbers("PixelValueTransformationSequence", "RescaleSlope", header.rescale_slope),
        rescale_intercept=numbers("PixelValueTransformationSequence", "RescaleIntercept", header.rescale_intercept),
        rescale_type=header.rescale_type if rescale_type is None else str(rescale_type).strip().upper(),
        instance_number=None,
    )


def _as_numbers(value: Any) -> tuple[float, ...]:
    """One or several decimal values as floats; what is no number becomes nan."""
    values = value if hasattr(value, "__iter__") and not isinstance(value, str) else [value]
    numbers = []
    for item in values:
        number = math.nan
        with contextlib.suppress(TypeError, ValueError):
            number = float(item)
        numbers.append(number)
    return tuple(numbers)
