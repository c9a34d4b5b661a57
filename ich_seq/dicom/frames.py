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

_Numbers = tuple[float, ...] | None
_HU = "PixelValueTransformationSequence"
_TIME = "TemporalPositionIndex"


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
    frames = [_Groups(own, shared) for own in per_frame]
    acquisitions = _acquisition_numbers(header, frames)
    for index, (groups_of_frame, acquisition) in enumerate(zip(frames, acquisitions, strict=True)):
        yield replace(_frame_header(header, index, groups_of_frame), acquisition_number=acquisition)


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


class _Groups:
    """The functional groups of one frame: its own come before the shared ones."""

    def __init__(self, own: Any, shared: Any) -> None:
        self._holders = [holder for holder in (own, shared) if holder is not None]

    def value(self, group: str, keyword: str) -> Any:
        """An element of a group's first item, by keywords; None where it is absent or empty. Raises FileFaultError for nonsense."""
        with file_boundary():
            for holder in self._holders:
                items = holder.get(group)
                if items and items[0].get(keyword) is not None:
                    return items[0].get(keyword)
        return None

    def numbers(self, group: str, keyword: str, top: _Numbers) -> _Numbers:
        """An element as numbers; what stands at the top level where the groups do not have it."""
        found = self.value(group, keyword)
        return top if found is None else _as_numbers(found)

    def text(self, group: str, keyword: str, top: str) -> str:
        """An element as text, the first of several values; what stands at the top level where the groups do not have it."""
        found = self.value(group, keyword)
        return top if found is None else str(found[0] if _several(found) and found else found).strip()

    def integer(self, group: str, keyword: str) -> int | None:
        """An element as a whole number; None where it is absent or none."""
        found = self.numbers(group, keyword, None)
        return int(found[0]) if found and math.isfinite(found[0]) else None


def _acquisition_numbers(header: SliceHeader, frames: list[_Groups]) -> list[int | None]:
    """A number for each frame that tells apart what must not be mixed at one position: acquisitions, stacks, time points.

    FrameAcquisitionNumber (else AcquisitionNumber) where all frames are of one stack and one time point; else the rank of it with
    StackID and TemporalPositionIndex, from 1. Source: DICOM PS3.3 C.7.6.16.2.2.
    """

    def stated(groups: _Groups) -> int | None:
        number = groups.integer("FrameContentSequence", "FrameAcquisitionNumber")
        return header.acquisition_number if number is None else number

    numbers = [stated(groups) for groups in frames]
    stacks = [
        (groups.text("FrameContentSequence", "StackID", ""), groups.integer("FrameContentSequence", _TIME) or 0)
        for groups in frames
    ]
    if len(set(stacks)) == 1:
        return list(numbers)
    keys = [(number or 0, *stack) for number, stack in zip(numbers, stacks, strict=True)]
    rank = {key: place for place, key in enumerate(sorted(set(keys)), start=1)}
    return [rank[key] for key in keys]


def _frame_header(header: SliceHeader, index: int, groups: _Groups) -> SliceHeader:
    """The header of one frame: its functional groups come before the top level."""
    frame_type = groups.value("CTImageFrameTypeSequence", "FrameType")
    began = groups.text("FrameContentSequence", "FrameAcquisitionDateTime", "")
    given = groups.text("ContrastBolusUsageSequence", "ContrastBolusAgentAdministered", "")
    return replace(
        header,
        pixels=replace(header.pixels, frame=index),
        image_type=tuple(str(part).upper() for part in frame_type) if _several(frame_type) else header.image_type,
        convolution_kernel=groups.text("CTReconstructionSequence", "ConvolutionKernel", header.convolution_kernel),
        contrast_bolus_agent=header.contrast_bolus_agent or given == "YES",
        acquisition_time=began[8:].partition("+")[0].partition("-")[0] or header.acquisition_time,
        image_position_patient=groups.numbers(
            "PlanePositionSequence", "ImagePositionPatient", header.image_position_patient
        ),
        image_orientation_patient=groups.numbers(
            "PlaneOrientationSequence", "ImageOrientationPatient", header.image_orientation_patient
        ),
        pixel_spacing_mm=groups.numbers("PixelMeasuresSequence", "PixelSpacing", header.pixel_spacing_mm),
        slice_thickness_mm=_positive(groups.numbers("PixelMeasuresSequence", "SliceThickness", None)),
        rescale_slope=groups.numbers(_HU, "RescaleSlope", header.rescale_slope),
        rescale_intercept=groups.numbers(_HU, "RescaleIntercept", header.rescale_intercept),
        rescale_type=groups.text(_HU, "RescaleType", header.rescale_type).upper(),
        instance_number=None,
    )


def _positive(numbers: _Numbers) -> float | None:
    """The first number where it is positive and finite."""
    return numbers[0] if numbers and math.isfinite(numbers[0]) and numbers[0] > 0 else None


def _several(value: Any) -> bool:
    """Whether an element has several values (or could have)."""
    return hasattr(value, "__iter__") and not isinstance(value, str)


def _as_numbers(value: Any) -> tuple[float, ...]:
    """One or several decimal values as floats; what is no number becomes nan."""
    values = value if _several(value) else [value]
    numbers = []
    for item in values:
        number = math.nan
        with contextlib.suppress(TypeError, ValueError):
            number = float(item)
        numbers.append(number)
    return tuple(numbers)
